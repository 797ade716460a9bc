//! Which lines a target takes, and how they look: header, text, line end.

use super::LogIdentity;
use crate::clock::{Calendar, write_offset};
use crate::record::hash_hex;
use plan::log::{LogAddress, LogHeader, LogTarget, Severity};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the lines of one route go.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) targets: Vec<RouteTarget>,
}

#[derive(Debug)]
pub(super) struct RouteTarget {
    pub(super) address: LogAddress,
    header: LogHeader,
    facility: u8,
    level: Severity,
    max_level: Severity,
    length: usize,
    sample: Option<(u32, u32, u32)>,
    seen: u32,
    /// What of the header is the same for all lines: from after the date to the text.
    origin: Vec<u8>,
}

impl Route {
    pub(super) fn new(targets: &[LogTarget], identity: &LogIdentity) -> Route {
        Route { targets: targets.iter().map(|t| RouteTarget::new(t, identity)).collect() }
    }
}

impl RouteTarget {
    pub(super) fn new(target: &LogTarget, identity: &LogIdentity) -> RouteTarget {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let hostname = match identity.hostname.as_deref() {
            Some("") => Some(machine()),
            Some(name) => Some(name.to_owned()),
            None => None,
        };
        let LogIdentity { tag, pid, .. } = identity;
        let tag = target.tag.as_ref().unwrap_or(tag);
        let origin = match target.header {
            LogHeader::Rfc3164 => {
                let host = hostname.map(|h| h + " ").unwrap_or_default();
                format!(" {host}{tag}[{pid}]: ")
            }
            LogHeader::HostTag => format!(" {} {tag}: ", machine()),
            LogHeader::Tag => format!(" {tag}: "),
            LogHeader::Bracketed => format!("{pid}#{pid}: "),
            LogHeader::Rfc5424 => format!(" {} {tag} {pid} - - ", hostname.unwrap_or_else(|| "-".into())),
            _ => String::new(),
        };
        RouteTarget {
            address: target.address.clone(),
            header: target.header,
            facility: target.facility,
            level: target.level,
            max_level: target.max_level,
            length: target.length,
            sample: target.sample,
            seen: 0,
            origin: origin.into_bytes(),
        }
    }

    /// True when this line is among those that are sent.
    pub(super) fn takes(&mut self, severity: Severity) -> bool {
        if severity > self.level {
            return false;
        }
        let Some((first, last, round)) = self.sample else { return true };
        self.seen = self.seen % round.max(1) + 1;
        (first..=last).contains(&self.seen)
    }

    /// Header, text and newline, no longer than the target allows.
    pub(super) fn write(&self, severity: Severity, text: &[u8], dates: &Dates, out: &mut Vec<u8>) {
        let start = out.len();
        let severity = severity.max(self.max_level) as u8;
        let priority = u32::from(self.facility) * 8 + u32::from(severity);
        let _ = match self.header {
            LogHeader::Rfc3164 | LogHeader::HostTag | LogHeader::Tag => write!(out, "<{priority}>"),
            LogHeader::Rfc5424 => write!(out, "<{priority}>1 "),
            LogHeader::Priority => write!(out, "<{priority}>"),
            LogHeader::Short | LogHeader::Timed => write!(out, "<{severity}>"),
            LogHeader::Raw | LogHeader::Plain | LogHeader::Bracketed => Ok(()),
        };
        match self.header {
            LogHeader::Rfc3164 | LogHeader::HostTag | LogHeader::Tag => {
                out.extend_from_slice(&dates.syslog);
            }
            LogHeader::Rfc5424 => dates.write_iso_us(out),
            LogHeader::Timed => {
                dates.write_iso_us(out);
                out.push(b' ');
            }
            LogHeader::Bracketed => dates.write_bracketed(severity, out),
            _ => {}
        }
        out.extend_from_slice(&self.origin);
        match self.header {
            LogHeader::Plain => write_line(text, out),
            _ => write_safe(text, out),
        }
        out.truncate(start + self.length.saturating_sub(1).max(1));
        out.push(b'\n');
    }
}

/// One line stays one line; all else is the format's business.
pub(super) fn write_line(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if matches!(byte, b'\n' | b'\r') { hash_hex(*byte, out) } else { out.push(*byte) }
    }
}

/// The last guard against forged lines: no control byte leaves, whatever a format let through. Tabs stay.
fn write_safe(text: &[u8], out: &mut Vec<u8>) {
    let bad = |b: u8| (b < 0x20 && b != b'\t') || b == 0x7f;
    if !text.iter().any(|b| bad(*b)) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        if bad(*byte) { hash_hex(*byte, out) } else { out.push(*byte) }
    }
}

/// Date texts of headers.
#[derive(Debug)]
pub(super) struct Dates {
    second: i64,
    micros: u32,
    offset_s: i32,
    syslog: [u8; 15],
    iso: Vec<u8>,
}

impl Dates {
    pub(super) fn new() -> Dates {
        Dates { second: i64::MIN, micros: 0, offset_s: 0, syslog: [0; 15], iso: Vec::new() }
    }

    pub(super) fn update(&mut self, offset_s: i32) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.micros = now.subsec_micros();
        let second = now.as_secs() as i64;
        if second == self.second && offset_s == self.offset_s {
            return;
        }
        let local = Calendar::of(second + i64::from(offset_s));
        (self.second, self.offset_s, self.syslog) = (second, offset_s, local.syslog_date());
        self.iso.clear();
        self.iso.extend_from_slice(&local.iso_date());
        write_offset(offset_s, true, &mut self.iso);
    }

    /// `YYYY/MM/DD hh:mm:ss [LEVEL] `.
    fn write_bracketed(&self, severity: u8, out: &mut Vec<u8>) {
        const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];
        let date = self.iso[..19].iter().map(|byte| match byte {
            b'-' => b'/',
            b'T' => b' ',
            other => *other,
        });
        out.extend(date);
        let level = LEVELS[usize::from(severity).min(7)];
        let _ = write!(out, " [{level}] ");
    }

    fn write_iso_us(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.iso[..19]);
        let _ = write!(out, ".{:06}", self.micros);
        out.extend_from_slice(&self.iso[19..]);
    }
}
