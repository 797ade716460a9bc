//! What commands say to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use plan::Problem;

/// A line on standard output.
pub fn out(text: &str) {
    println!("{text}");
}

/// A line on standard error.
pub fn err(text: &str) {
    eprintln!("{text}");
}

/// All problems, and how many.
pub fn problems(problems: &[Problem]) {
    for problem in problems {
        err(&problem.to_string());
    }
    let count = problems.len();
    err(&format!("mainstay: {count} problem{}", if count == 1 { "" } else { "s" }));
}
