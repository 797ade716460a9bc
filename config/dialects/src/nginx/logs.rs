//! `error_log`, and where lines go.

use super::scope::Ground;
use super::tree::Directive;
use plan::Problem;
use plan::log::{LogAddress, LogHeader, LogTarget, Severity};

/// Words of levels, from the most severe.
const LEVELS: &[(&str, Severity)] = &[
    ("emerg", Severity::Emergency),
    ("alert", Severity::Alert),
    ("crit", Severity::Critical),
    ("error", Severity::Error),
    ("warn", Severity::Warning),
    ("notice", Severity::Notice),
    ("info", Severity::Info),
    ("debug", Severity::Debug),
];

/// Longest line of a log, bytes.
const LINE: usize = 1 << 16;

/// Where lines of `error_log FILE [LEVEL]` go.
pub(super) fn error_log(directive: &Directive, ground: &Ground<'_>) -> Result<LogTarget, Problem> {
    let level = match directive.arguments.len() {
        1 => Severity::Error,
        2 => level(directive, 1)?,
        _ => return Err(directive.problem(format!("invalid log level \"{}\"", directive.argument(2)))),
    };
    Ok(target(address(directive, ground)?, level))
}

fn level(directive: &Directive, index: usize) -> Result<Severity, Problem> {
    let word = directive.argument(index);
    // Parts of nginx that can be debugged by themselves: we have no such lines.
    if word.starts_with("debug_") {
        return Ok(Severity::Debug);
    }
    LEVELS.iter().find(|(name, _)| *name == word).map(|(_, level)| *level).ok_or_else(|| {
        directive
            .problem(format!("invalid log level \"{word}\""))
            .hint("debug, info, notice, warn, error, crit, alert or emerg")
    })
}

fn address(directive: &Directive, ground: &Ground<'_>) -> Result<LogAddress, Problem> {
    match directive.argument(0) {
        "stderr" => Ok(LogAddress::Stderr),
        text if text.starts_with("memory:") => {
            Err(directive.problem("nginx was built without debug support").hint("name a file"))
        }
        text if text.starts_with("syslog:") => Err(directive
            .problem("\"error_log\" to syslog is not supported yet")
            .hint("name a file or stderr")),
        text => Ok(LogAddress::File(ground.path(text))),
    }
}

/// Where lines of the process go when nobody says.
pub(super) fn unsaid(path: Option<&str>, ground: &Ground<'_>) -> LogTarget {
    let address = match path {
        Some("stderr") | None => LogAddress::Stderr,
        Some(path) => LogAddress::File(ground.path(path)),
    };
    target(address, Severity::Error)
}

fn target(address: LogAddress, level: Severity) -> LogTarget {
    LogTarget {
        address,
        header: LogHeader::Bracketed,
        facility: 0,
        level,
        // What is an alert to HAProxy's users (a server is down) is a failure to nginx's.
        max_level: Severity::Error,
        length: LINE,
        sample: None,
    }
}
