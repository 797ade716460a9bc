//! `mainstay convert`: any dialect as mainstay.yaml.

use crate::say;
use std::process::ExitCode;
use supervisor::Input;

/// Writes the native form on standard output.
pub fn convert(input: &Input) -> ExitCode {
    let written = supervisor::load(input).and_then(|plan| {
        plan.notes.iter().for_each(|note| say::err(&note.to_string()));
        dialects::native::write(&plan)
    });
    match written {
        Ok(text) => {
            say::out(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            say::problems(&problems);
            ExitCode::FAILURE
        }
    }
}
