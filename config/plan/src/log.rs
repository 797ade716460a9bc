//! Access logs and event logs: where they go and what a line holds.

use crate::rule::{Condition, Template};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Logging of one site.
#[derive(Clone, Debug, Default)]
pub struct LogPlan {
    /// Targets; empty = no log.
    pub targets: Vec<LogTarget>,
    /// A line per request (HTTP) or connection (TCP).
    pub line: LogFormat,
    /// A line for failed requests, when it differs.
    pub error_line: Option<Template>,
    /// Tag of the lines; `None` = the process's.
    pub tag: Option<String>,
    /// Connections that sent no byte are not logged.
    pub skip_empty: bool,
    /// Only failures are logged.
    pub only_errors: bool,
    /// Failures are logged at `err` instead of `info`.
    pub errors_at_err: bool,
    /// Log as soon as the response head is there.
    pub early: bool,
    /// Log only when this holds.
    pub when: Option<Condition>,
}

/// What an access log line holds.
#[derive(Clone, Debug, Default)]
pub enum LogFormat {
    /// No line per request.
    None,
    /// Source, destination and mode only: `Connect from A:P to A:P (site/MODE)`.
    #[default]
    Short,
    /// A template.
    Text(Template),
    /// One JSON object per line with all fields.
    Json,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Address.
    pub address: LogAddress,
    /// Header form of a line.
    pub header: LogHeader,
    /// Syslog facility number (RFC 5424, 6.2.1).
    pub facility: u8,
    /// Least severe level that is sent.
    pub level: Severity,
    /// More severe levels are lowered to this one.
    pub max_level: Severity,
    /// Longest line, bytes.
    pub length: usize,
    /// One line in so many is sent: (first, last, size of the round).
    pub sample: Option<(u32, u32, u32)>,
    /// Tag of these lines; `None` = that of the log.
    pub tag: Option<String>,
}

/// Address of a log target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogAddress {
    /// Syslog by UDP.
    Udp(SocketAddr),
    /// Syslog by TCP, a line each (RFC 6587, 3.4.2).
    Tcp(SocketAddr),
    /// Syslog by unix datagram.
    Unix(PathBuf),
    /// A file that lines are appended to.
    File(PathBuf),
    /// A file that compressed lines are appended to.
    Gzip(GzipFile),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// An inherited descriptor.
    Descriptor(i32),
}

/// A file of lines compressed by gzip (RFC 1952): many of them at once, as members one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GzipFile {
    /// Its path.
    pub path: PathBuf,
    /// Effort, 1 to 9.
    pub level: u8,
    /// Lines that are compressed together, bytes.
    pub bytes: usize,
    /// Longest time that a line waits for others; `None` = as long as the process runs.
    pub flush: Option<Duration>,
}

/// Header before the text of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogHeader {
    /// `<PRI>Mon DD hh:mm:ss [host ]tag[pid]: ` (RFC 3164).
    #[default]
    Rfc3164,
    /// `<PRI>Mon DD hh:mm:ss host tag: `, host = the machine's.
    HostTag,
    /// `<PRI>Mon DD hh:mm:ss tag: `.
    Tag,
    /// RFC 5424.
    Rfc5424,
    /// `<PRI>` only.
    Priority,
    /// `<LEVEL>` only, as systemd reads it.
    Short,
    /// Date, as RFC 3164, without the priority.
    Timed,
    /// `YYYY/MM/DD hh:mm:ss [LEVEL] PID#PID: `, as nginx has it in its error log.
    Bracketed,
    /// Nothing.
    Raw,
    /// Nothing; and the text as it is, but for the end of the line.
    Plain,
}

/// Syslog severity, RFC 5424 6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    #[default]
    Debug,
}
