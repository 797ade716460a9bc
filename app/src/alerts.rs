//! Problems and notes in the form that HAProxy's users know: `[ALERT]    (pid) : config : parsing [file:line] : …`.
//!
//! Used whenever the program is called as `haproxy`; our hint stands in the line below.

use crate::say;
use plan::{Note, Place, Problem};

/// All problems of a load, then the words that scripts look for at the end.
pub fn problems(problems: &[Problem]) {
    for problem in problems {
        tell("[ALERT]   ", &problem.place, &problem.what);
        if !problem.hint.is_empty() {
            say::err(&format!("    hint: {}", problem.hint));
        }
    }
    let mut files: Vec<&str> =
        problems.iter().map(|p| &*p.place.file).filter(|file| !file.is_empty()).collect();
    files.dedup();
    for file in files {
        line("[ALERT]   ", &format!("config : Error(s) found in configuration file : {file}"));
    }
    line("[ALERT]   ", "config : Fatal errors found in configuration.");
}

/// A remark that HAProxy would make as a warning.
pub fn warning(note: &Note) {
    tell("[WARNING] ", &note.place, &note.what);
}

/// A remark on the command line.
pub fn notice(text: &str) {
    line("[NOTICE]  ", text);
}

fn tell(level: &str, place: &Place, what: &str) {
    match (&*place.file, place.line) {
        ("", _) => line(level, &format!("config : {what}")),
        (file, 0) => line(level, &format!("config : [{file}] : {what}")),
        (file, number) => line(level, &format!("config : parsing [{file}:{number}] : {what}")),
    }
}

fn line(level: &str, text: &str) {
    say::err(&format!("{level} ({}) : {text}", std::process::id()));
}
