//! Watches a head arrive: finds its end, and its first fault as soon as the fault is visible, each byte looked at once.
//!
//! The parsers use it when a head does not come whole and clean in one piece. It is the only judge of syntax faults,
//! so a head is judged the same however it is cut.

use super::bytes::{is_space, is_token, is_token_byte};
use super::manners::without_end;
use super::{HeadError, HeadErrorKind, Limits};

/// Longest method we pass on.
pub(crate) const METHOD_BYTES: usize = 64;

/// Room for the method, the version and the spaces around the target.
const REQUEST_LINE_EXTRA: usize = METHOD_BYTES + 12;

/// What the first line must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartLine {
    Request,
    Status,
}

/// How far a head was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Bytes looked at.
    at: usize,
    /// Where the line that is arriving starts.
    line: usize,
    /// Lines that are complete, without a leading empty one.
    lines: usize,
}

impl Scan {
    /// Nothing was looked at yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.at == 0
    }

    /// Looks at what is new in `head`. The end of the head if it is there, `None` if more must come.
    pub(crate) fn advance(
        &mut self,
        head: &[u8],
        limits: &Limits,
        start: StartLine,
    ) -> Result<Option<usize>, HeadError> {
        if self.at > head.len() {
            *self = Scan::default();
        }
        let seen = &head[..head.len().min(limits.head_bytes)];
        while self.at < seen.len() {
            let at = self.at;
            if at - self.line >= limits.line_bytes {
                return Err(line_too_long(self.lines));
            }
            match seen[at] {
                b'\n' => {
                    if self.end_line(seen, limits, start)? {
                        return Ok(Some(at + 1));
                    }
                }
                byte => self.check_byte(byte, seen, limits, start)?,
            }
            self.at += 1;
        }
        match head.len() > limits.head_bytes {
            true => Err(error(HeadErrorKind::TooBig, "head over its limit")),
            false => Ok(None),
        }
    }

    /// Judges the line that this LF ends. True if it was the empty line after the head.
    fn end_line(&mut self, seen: &[u8], limits: &Limits, start: StartLine) -> Result<bool, HeadError> {
        let tolerant = limits.manners.bare_lf;
        if !tolerant && self.before(seen) != Some(b'\r') {
            return Err(syntax("line ended by LF alone"));
        }
        let line = without_end(&seen[self.line..=self.at]);
        let first = self.lines == 0;
        self.line = self.at + 1;
        match (first, line.is_empty()) {
            (true, true) if (tolerant || self.at == 1) && start == StartLine::Request => return Ok(false),
            (true, true) => return Err(syntax("empty line before the head")),
            (false, true) => return Ok(true),
            (true, false) => check_start_line(line, limits, start)?,
            (false, false) => check_field_line(line, limits)?,
        }
        self.lines += 1;
        match self.lines > limits.fields + 1 {
            true => Err(error(HeadErrorKind::TooBig, "too many header fields")),
            false => Ok(false),
        }
    }

    fn check_byte(&self, byte: u8, seen: &[u8], limits: &Limits, start: StartLine) -> Result<(), HeadError> {
        if self.before(seen) == Some(b'\r') {
            return Err(syntax("CR without LF"));
        }
        if byte.is_ascii_control() && byte != b'\r' && byte != b'\t' {
            return Err(syntax("control byte in the head"));
        }
        if is_space(byte) && self.at == self.line {
            return Err(syntax("line starts with white space"));
        }
        match self.lines {
            0 => self.check_start_byte(byte, seen, limits, start),
            _ => Ok(()),
        }
    }

    fn check_start_byte(
        &self,
        byte: u8,
        seen: &[u8],
        limits: &Limits,
        start: StartLine,
    ) -> Result<(), HeadError> {
        let index = self.at - self.line;
        if index > limits.target_bytes + REQUEST_LINE_EXTRA {
            return Err(error(HeadErrorKind::TargetTooLong, "first line over its limit"));
        }
        match start {
            StartLine::Status if index < 7 && byte != b"HTTP/1."[index] => {
                Err(error(HeadErrorKind::BadVersion, "answer does not start with HTTP/1."))
            }
            StartLine::Request if byte == b'\t' || (byte >= 0x80 && !limits.manners.loose_targets) => {
                Err(syntax("forbidden byte in the request line"))
            }
            StartLine::Request if byte == b'\r' && index == 0 && (self.at == 0 || limits.manners.bare_lf) => {
                Ok(())
            }
            StartLine::Request if index <= METHOD_BYTES + 1 => {
                check_method_byte(byte, &seen[self.line..self.at])
            }
            _ => Ok(()),
        }
    }

    fn before(&self, seen: &[u8]) -> Option<u8> {
        self.at.checked_sub(1).map(|at| seen[at])
    }
}

/// `before` is the line up to this byte. Once it holds a space the method is over.
fn check_method_byte(byte: u8, before: &[u8]) -> Result<(), HeadError> {
    if before.contains(&b' ') {
        return Ok(());
    }
    if before.len() > METHOD_BYTES {
        return Err(error(HeadErrorKind::UnknownMethod, "method over 64 bytes"));
    }
    match is_token_byte(byte) || byte == b' ' {
        true => Ok(()),
        false => Err(error(HeadErrorKind::BadMethod, "method is not a token")),
    }
}

fn check_start_line(line: &[u8], limits: &Limits, start: StartLine) -> Result<(), HeadError> {
    match start {
        StartLine::Request => check_request_line(line, limits),
        StartLine::Status => check_status_line(line),
    }
}

/// `method SP request-target SP HTTP-version`, where several spaces are taken as one (RFC 9112 section 3).
fn check_request_line(line: &[u8], limits: &Limits) -> Result<(), HeadError> {
    if line.ends_with(b" ") {
        return Err(syntax("white space at the end of the request line"));
    }
    let mut parts = line.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
    let (Some(_), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(syntax("request line is not method, target, version"));
    };
    if target.len() > limits.target_bytes {
        return Err(error(HeadErrorKind::TargetTooLong, "target over its limit"));
    }
    check_version(version)
}

fn check_version(version: &[u8]) -> Result<(), HeadError> {
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(error(HeadErrorKind::BadVersion, "HTTP version other than 1.0 and 1.1"))
        }
        _ => Err(syntax("malformed HTTP version")),
    }
}

/// `HTTP-version SP status-code [ SP reason-phrase ]`, status 100 to 599 (RFC 9112 section 4).
fn check_status_line(line: &[u8]) -> Result<(), HeadError> {
    let Some((version, rest)) = line.split_at_checked(8) else { return Err(syntax("status line too short")) };
    check_version(version)?;
    match rest {
        [b' ', b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => Ok(()),
        [b' ', b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..] => Ok(()),
        _ => Err(error(HeadErrorKind::BadStatus, "status is not 100 to 599")),
    }
}

fn check_field_line(line: &[u8], limits: &Limits) -> Result<(), HeadError> {
    let name = field_name(line)?;
    match name.len() > limits.name_bytes {
        true => Err(error(HeadErrorKind::TooBig, "field name over its limit")),
        false => Ok(()),
    }
}

/// The name of a field line: a token with the colon right behind it (RFC 9112 section 5.1).
pub(crate) fn field_name(line: &[u8]) -> Result<&[u8], HeadError> {
    let colon = memchr::memchr(b':', line).ok_or(syntax("field line without a colon"))?;
    let name = &line[..colon];
    match is_token(name) {
        true => Ok(name),
        false => Err(error(HeadErrorKind::BadName, "field name is not a token")),
    }
}

/// `lines`: how many are complete before it.
fn line_too_long(lines: usize) -> HeadError {
    match lines {
        0 => error(HeadErrorKind::TargetTooLong, "first line over its limit"),
        _ => error(HeadErrorKind::TooBig, "field line over its limit"),
    }
}

const fn syntax(reason: &'static str) -> HeadError {
    error(HeadErrorKind::BadSyntax, reason)
}

const fn error(kind: HeadErrorKind, reason: &'static str) -> HeadError {
    HeadError::new(kind, reason)
}
