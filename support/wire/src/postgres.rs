//! As much PostgreSQL protocol 3 as a health check needs: ask to start a session, understand the first answer.
//! Called by `health`.

/// Asks whether the server speaks TLS; the answer is one byte, `S` or `N`.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Longest first answer we read, in bytes. Real ones are under 1 KiB.
pub const ANSWER_BYTES: usize = 8 * 1024;

/// The first answer to a startup packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Not all of it is here.
    Partial,
    /// The server asks for authentication or grants it: it is alive and takes sessions.
    Authentication,
    /// The server refuses; it is alive, but may be starting up, in recovery or full.
    Error {
        /// `FATAL`, `ERROR` …
        severity: &'a [u8],
        /// SQLSTATE, for example `57P03`.
        code: &'a [u8],
        /// In words.
        message: &'a [u8],
    },
}

/// This is no PostgreSQL server, or a broken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerError {
    /// A first message that cannot follow a startup packet.
    UnexpectedType(u8),
    /// A length under its minimum or over [`ANSWER_BYTES`].
    BadLength,
    /// The fields of an error message do not end.
    Malformed,
}

/// Writes a startup packet for this user. Bytes after a NUL in the name are left out: the protocol cannot carry them.
pub fn write_startup(out: &mut Vec<u8>, user: &[u8]) {
    let user = user.split(|byte| *byte == 0).next().unwrap_or_default();
    let user = &user[..user.len().min(ANSWER_BYTES)];
    let length = 4 + 4 + "user\0".len() + user.len() + 1 + 1;
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&[0, 3, 0, 0]);
    out.extend_from_slice(b"user\0");
    out.extend_from_slice(user);
    out.extend_from_slice(&[0, 0]);
}

/// Writes a `Terminate` message: the polite way to leave.
pub fn write_terminate(out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'X', 0, 0, 0, 4]);
}

/// Reads the first answer to a startup packet from the start of `buf`.
///
/// # Errors
/// When it cannot be the answer of a PostgreSQL server.
pub fn parse_answer(buf: &[u8]) -> Result<Answer<'_>, AnswerError> {
    match buf.first() {
        None => return Ok(Answer::Partial),
        Some(b'R' | b'E') => {}
        Some(other) => return Err(AnswerError::UnexpectedType(*other)),
    }
    let Some(&[kind, a, b, c, d]) = buf.first_chunk::<5>() else { return Ok(Answer::Partial) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let least = if kind == b'R' { 8 } else { 5 };
    if !(least..=ANSWER_BYTES).contains(&length) {
        return Err(AnswerError::BadLength);
    }
    match (buf.get(5..=length), kind) {
        (None, _) => Ok(Answer::Partial),
        (Some(_), b'R') => Ok(Answer::Authentication),
        (Some(body), _) => parse_error(body),
    }
}

/// Fields of a type byte and a string each, then a zero byte.
fn parse_error(mut body: &[u8]) -> Result<Answer<'_>, AnswerError> {
    let (mut severity, mut code, mut message) = (&[][..], &[][..], &[][..]);
    loop {
        let (kind, rest) = body.split_first().ok_or(AnswerError::Malformed)?;
        if *kind == 0 {
            return Ok(Answer::Error { severity, code, message });
        }
        let end = memchr::memchr(0, rest).ok_or(AnswerError::Malformed)?;
        match kind {
            b'S' => severity = &rest[..end],
            b'C' => code = &rest[..end],
            b'M' => message = &rest[..end],
            _ => {}
        }
        body = &rest[end + 1..];
    }
}

impl std::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AnswerError::UnexpectedType(kind) => write!(f, "unexpected message type {kind:#04x}"),
            AnswerError::BadLength => f.write_str("message length out of range"),
            AnswerError::Malformed => f.write_str("malformed error message"),
        }
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_packet() {
        let mut out = Vec::new();
        write_startup(&mut out, b"check\0options\0x");
        assert_eq!(out, b"\0\0\0\x14\0\x03\0\0user\0check\0\0");
        assert_eq!(out.len(), 0x14);
    }

    #[test]
    fn answers() {
        let error = b"E\0\0\0\x1dSFATAL\0C57P03\0Mstarting\0\0";
        let expected = Answer::Error { severity: b"FATAL", code: b"57P03", message: b"starting" };
        let cases: &[(&[u8], Result<Answer<'_>, AnswerError>)] = &[
            (b"", Ok(Answer::Partial)),
            (b"R\0\0\0", Ok(Answer::Partial)),
            (b"R\0\0\0\x08\0\0\0", Ok(Answer::Partial)),
            (b"R\0\0\0\x08\0\0\0\0", Ok(Answer::Authentication)),
            (b"R\0\0\0\x0c\0\0\0\x05saltZ", Ok(Answer::Authentication)),
            (b"R\0\0\0\x07\0\0\0\0", Err(AnswerError::BadLength)),
            (b"R\xff\xff\xff\xff", Err(AnswerError::BadLength)),
            (b"E\0\0\x40\0", Err(AnswerError::BadLength)),
            (b"E\0\0\0\x07Sx\0", Err(AnswerError::Malformed)),
            (b"E\0\0\0\x06Sx", Err(AnswerError::Malformed)),
            (b"HTTP/1.1 400", Err(AnswerError::UnexpectedType(b'H'))),
            (error, Ok(expected)),
        ];
        for (input, expected) in cases {
            assert_eq!(parse_answer(input), *expected, "{}", input.escape_ascii());
        }
        for end in 0..error.len() {
            assert_eq!(parse_answer(&error[..end]), Ok(Answer::Partial), "{end}");
        }
    }
}
