//! As much Redis protocol as a health check needs: PING, and the line that answers. Called by `health`.

/// `PING` in the form every server and proxy of the protocol understands.
pub const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// `PING` as one line, as `redis-cli` users type it; what HAProxy's `option redis-check` sends.
pub const PING_INLINE: &[u8] = b"PING\r\n";

/// Longest answer line we read, in bytes.
pub const LINE_BYTES: usize = 1024;

/// The answer to a PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The line is not whole.
    Partial,
    /// `+PONG`
    Pong,
    /// The server is alive but refuses: `-NOAUTH …`, `-LOADING …`. The words without the dash.
    Error(&'a [u8]),
}

/// This is no Redis server, or a broken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerError {
    /// Neither `+PONG` nor an error line.
    Unexpected,
    /// No end of line within [`LINE_BYTES`].
    TooLong,
}

/// Reads the answer to a PING from the start of `buf`.
///
/// # Errors
/// As soon as it cannot be the answer of a Redis server.
pub fn parse_answer(buf: &[u8]) -> Result<Answer<'_>, AnswerError> {
    let seen = &buf[..buf.len().min(LINE_BYTES)];
    match (seen.first(), memchr::memmem::find(seen, b"\r\n")) {
        (None, _) => Ok(Answer::Partial),
        (Some(b'+'), _) => pong(seen),
        (Some(b'-'), Some(end)) => Ok(Answer::Error(&seen[1..end])),
        (Some(b'-'), None) if buf.len() < LINE_BYTES => Ok(Answer::Partial),
        (Some(b'-'), None) => Err(AnswerError::TooLong),
        (Some(_), _) => Err(AnswerError::Unexpected),
    }
}

fn pong(seen: &[u8]) -> Result<Answer<'_>, AnswerError> {
    const PONG: &[u8] = b"+PONG\r\n";
    let len = seen.len().min(PONG.len());
    match (seen[..len] == PONG[..len], len == PONG.len()) {
        (true, true) => Ok(Answer::Pong),
        (true, false) => Ok(Answer::Partial),
        (false, _) => Err(AnswerError::Unexpected),
    }
}

impl std::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AnswerError::Unexpected => "answer is neither +PONG nor an error",
            AnswerError::TooLong => "answer line does not end",
        })
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let endless = [b'-'; LINE_BYTES + 1];
        let cases: &[(&[u8], Result<Answer<'_>, AnswerError>)] = &[
            (b"", Ok(Answer::Partial)),
            (b"+PON", Ok(Answer::Partial)),
            (b"+PONG\r", Ok(Answer::Partial)),
            (b"+PONG\r\n", Ok(Answer::Pong)),
            (b"+PANG", Err(AnswerError::Unexpected)),
            (b"-LOADING", Ok(Answer::Partial)),
            (b"-LOADING data\r\n", Ok(Answer::Error(b"LOADING data"))),
            (b"HTTP", Err(AnswerError::Unexpected)),
            (&endless, Err(AnswerError::TooLong)),
        ];
        for (input, expected) in cases {
            assert_eq!(parse_answer(input), *expected, "{}", input.escape_ascii());
        }
    }
}
