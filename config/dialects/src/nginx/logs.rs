//! `error_log`, and where lines go.

use super::scope::Ground;
use super::tree::Directive;
use plan::Problem;
use plan::log::{LogAddress, LogHeader, LogTarget, Severity};
use std::net::SocketAddr;
use std::path::Path;

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
    if directive.argument(0).starts_with("syslog:") {
        return Ok(LogTarget {
            level,
            max_level: Severity::Error,
            ..syslog(directive, ground, Severity::Error)?
        });
    }
    Ok(target(address(directive, ground)?, level))
}

/// Syslog facilities by number.
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp",
    "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// `syslog:server=ADDRESS[,facility=…][,severity=…][,tag=…][,nohostname]`. Lines that have no severity of
/// their own are sent at `severity`.
pub(super) fn syslog(
    directive: &Directive,
    ground: &Ground<'_>,
    severity: Severity,
) -> Result<LogTarget, Problem> {
    let wrong = |what: String| directive.problem(what);
    let mut made = LogTarget {
        header: LogHeader::HostTag,
        facility: 23,
        level: Severity::Debug,
        max_level: severity,
        tag: Some("nginx".into()),
        ..target(LogAddress::Stderr, severity)
    };
    let mut server = None;
    for option in directive.argument(0).trim_start_matches("syslog:").split(',') {
        match option.split_once('=') {
            Some(("server", address)) => server = Some(server_address(directive, address, ground)?),
            Some(("facility", name)) => {
                let at = FACILITIES.iter().position(|known| *known == name);
                let at = at.ok_or_else(|| wrong(format!("unknown syslog facility \"{name}\"")))?;
                made.facility = at as u8;
            }
            Some(("severity", name)) => {
                let found = LEVELS.iter().find(|(known, _)| *known == name);
                let (_, level) = found.ok_or_else(|| wrong(format!("unknown syslog severity \"{name}\"")))?;
                made.max_level = *level;
            }
            Some(("tag", tag)) => {
                let good = tag.len() <= 32 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if !good {
                    return Err(wrong(
                        "syslog \"tag\" only allows alphanumeric characters and underscore".into(),
                    ));
                }
                made.tag = Some(tag.to_owned());
            }
            None if option == "nohostname" => made.header = LogHeader::Tag,
            _ => return Err(wrong(format!("unknown syslog parameter \"{option}\""))),
        }
    }
    made.address = server.ok_or_else(|| wrong("no syslog server specified".into()))?;
    Ok(made)
}

fn server_address(directive: &Directive, text: &str, ground: &Ground<'_>) -> Result<LogAddress, Problem> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(LogAddress::Unix(path.into()));
    }
    if let Ok(address) = text.parse() {
        return Ok(LogAddress::Udp(address));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && port.parse::<u16>().is_ok() => (host, port),
        _ => (text, "514"),
    };
    let ip = host.trim_matches(['[', ']']).parse().ok().or_else(|| ground.sources.lookup(host));
    match (ip, port.parse()) {
        (Some(ip), Ok(port)) => Ok(LogAddress::Udp(SocketAddr::new(ip, port))),
        _ => Err(directive.problem(format!("host not found in syslog server \"{text}\""))),
    }
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
        text => Ok(file(&ground.path(text))),
    }
}

/// Where errors go when nobody says.
pub(super) fn unsaid(ground: &Ground<'_>) -> LogTarget {
    let address = match ground.error_log.as_deref() {
        Some("stderr") | None => LogAddress::Stderr,
        Some(path) => file(&ground.path(path)),
    };
    target(address, Severity::Error)
}

/// Where lines of an access log go, as they are.
pub(super) fn plain(address: LogAddress) -> LogTarget {
    LogTarget { header: LogHeader::Plain, ..target(address, Severity::Debug) }
}

/// The address of a file; the names of standard output and error need no file.
pub(super) fn file(path: &Path) -> LogAddress {
    match path.to_str() {
        Some("/dev/stdout" | "/proc/self/fd/1") => LogAddress::Stdout,
        Some("/dev/stderr" | "/proc/self/fd/2") => LogAddress::Stderr,
        _ => LogAddress::File(path.to_path_buf()),
    }
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
        tag: None,
    }
}
