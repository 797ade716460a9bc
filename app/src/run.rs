//! `mainstay run`: the configuration in the foreground.

use crate::say;
use std::process::ExitCode;
use supervisor::{Input, Options, Outcome};

/// Runs until stopped.
pub fn run(input: Input) -> ExitCode {
    with(&Options { input, name: "mainstay".into(), ..Options::default() })
}

/// Runs with these options; problems go to standard error.
pub fn with(options: &Options) -> ExitCode {
    match supervisor::run(options) {
        Outcome::Stopped => ExitCode::SUCCESS,
        Outcome::Refused(problems) => {
            say::problems(&problems);
            ExitCode::FAILURE
        }
    }
}
