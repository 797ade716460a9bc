//! `mainstay run`: the configuration in the foreground.

use crate::say;
use std::process::ExitCode;
use supervisor::{Input, Options, Outcome};

/// Runs until stopped.
pub fn run(input: Input) -> ExitCode {
    with(&Options { input, name: "mainstay".into(), ..Options::default() }, say::problems)
}

/// Runs with these options; `tell` says what problems refuse the start.
pub fn with(options: &Options, tell: impl FnOnce(&[plan::Problem])) -> ExitCode {
    match supervisor::run(options) {
        Outcome::Stopped => ExitCode::SUCCESS,
        // As a shell tells of a signal.
        Outcome::Signalled(signal) => ExitCode::from(128u8.saturating_add(signal as u8)),
        Outcome::Refused(problems) => {
            tell(&problems);
            ExitCode::FAILURE
        }
    }
}
