//! Problems in nginx's words, for whoever called the program by its name.

use super::tree::COMMAND_LINE;
use plan::Problem;

/// `WHAT in FILE:LINE`, as it stands behind `nginx: [emerg] `.
pub fn emergency(problem: &Problem) -> String {
    let Problem { place, what, .. } = problem;
    match (&*place.file, place.line) {
        ("", _) => what.clone(),
        (COMMAND_LINE, _) => format!("{what} in command line"),
        (file, 0) => format!("{what} in {file}"),
        (file, line) => format!("{what} in {file}:{line}"),
    }
}
