//! As much of MySQL's protocol as a health check needs: the greeting, a login without a password, the answer to it.
//! Called by `health`.
//!
//! A packet is a length of three bytes (little-endian), a number, and as many bytes as the length says.

/// Largest packet we wait for, in bytes. Real ones are under 1 KiB.
pub const PACKET_BYTES: usize = 16 * 1024;

/// What came from the server first, or after our login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Not all of it is here.
    Partial,
    /// The server greets; its version in words.
    Greeting(&'a [u8]),
    /// The server takes us in, or wants more before it does: it is alive.
    Accepted,
    /// The server refuses.
    Error {
        /// Number of the error.
        code: u16,
        /// In words.
        message: &'a [u8],
    },
}

/// This is no MySQL server, or a broken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerError {
    /// A number other than the one that comes next.
    OutOfSequence(u8),
    /// A packet too short for what it begins with.
    TooShort,
}

/// Which form of the login packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Before MySQL 4.1: two bytes of capabilities.
    Old,
    /// Since MySQL 4.1: four bytes of capabilities and a character set.
    V41,
    /// The same, naming the plug-in `mysql_native_password`.
    V80,
}

const CLIENT_LONG_PASSWORD: u32 = 0x0000_0001;
const CLIENT_PROTOCOL_41: u32 = 0x0000_0200;
const CLIENT_SECURE_CONNECTION: u32 = 0x0000_8000;
const CLIENT_PLUGIN_AUTH: u32 = 0x0008_0000;

/// Reads the packet that a server begins with.
///
/// # Errors
/// When it cannot be the beginning of a MySQL server's talk.
pub fn parse_greeting(buf: &[u8]) -> Result<Answer<'_>, AnswerError> {
    let Some((number, body)) = packet(buf) else { return Ok(Answer::Partial) };
    if body.first() == Some(&0xff) {
        return error(body);
    }
    if number != 0 {
        return Err(AnswerError::OutOfSequence(number));
    }
    // Protocol version, then the server's version up to a NUL.
    let (_, version) = body.split_first().ok_or(AnswerError::TooShort)?;
    let end = memchr::memchr(0, version).ok_or(AnswerError::TooShort)?;
    Ok(Answer::Greeting(&version[..end]))
}

/// How many bytes of `buf` its first packet takes; all of them when it is not whole.
pub fn packet_length(buf: &[u8]) -> usize {
    packet(buf).map_or(buf.len(), |(_, body)| 4 + body.len())
}

/// Reads the answer to a login, behind the greeting.
///
/// # Errors
/// When it cannot be such an answer.
pub fn parse_result(buf: &[u8]) -> Result<Answer<'_>, AnswerError> {
    let Some((number, body)) = packet(buf) else { return Ok(Answer::Partial) };
    if body.first() == Some(&0xff) {
        return error(body);
    }
    if number != 2 {
        return Err(AnswerError::OutOfSequence(number));
    }
    if body.is_empty() { Err(AnswerError::TooShort) } else { Ok(Answer::Accepted) }
}

/// Writes a login of this user without a password, and `COM_QUIT`. Bytes after a NUL in the name are left out.
pub fn write_login(out: &mut Vec<u8>, user: &[u8], form: Login) {
    let user = user.split(|byte| *byte == 0).next().unwrap_or_default();
    let user = &user[..user.len().min(256)];
    let mut body = Vec::new();
    match form {
        Login::Old => {
            body.extend_from_slice(&((CLIENT_SECURE_CONNECTION) as u16).to_le_bytes());
            // Largest packet: three bytes.
            body.extend_from_slice(&[0, 0, 1]);
            body.extend_from_slice(user);
            body.extend_from_slice(&[0, 0]);
        }
        Login::V41 | Login::V80 => {
            let mut wants = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION;
            if form == Login::V80 {
                wants |= CLIENT_PLUGIN_AUTH | CLIENT_LONG_PASSWORD;
            }
            body.extend_from_slice(&wants.to_le_bytes());
            // Largest packet, 16 MiB and 32 KiB.
            body.extend_from_slice(&[0, 0x80, 0, 1]);
            body.push(0x21);
            body.extend_from_slice(&[0; 23]);
            body.extend_from_slice(user);
            body.extend_from_slice(&[0, 0]);
            if form == Login::V80 {
                body.extend_from_slice(b"mysql_native_password\0");
            }
        }
    }
    write_packet(out, 1, &body);
    write_packet(out, 0, &[1]);
}

fn write_packet(out: &mut Vec<u8>, number: u8, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_le_bytes()[..3]);
    out.push(number);
    out.extend_from_slice(body);
}

/// Number and body of the first packet, once all of it is here; one too large is cut at [`PACKET_BYTES`].
fn packet(buf: &[u8]) -> Option<(u8, &[u8])> {
    let (&[a, b, c, number], rest) = buf.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    Some((number, rest.get(..length.min(PACKET_BYTES))?))
}

fn error(body: &[u8]) -> Result<Answer<'_>, AnswerError> {
    match body {
        [_, low, high, message @ ..] => {
            Ok(Answer::Error { code: u16::from_le_bytes([*low, *high]), message: text(message) })
        }
        _ => Err(AnswerError::TooShort),
    }
}

/// Up to the first NUL.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn packet_of(number: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_packet(&mut out, number, body);
        out
    }

    #[test]
    fn logins() {
        let mut out = Vec::new();
        write_login(&mut out, b"u\0ser", Login::Old);
        assert_eq!(out, b"\x08\0\0\x01\0\x80\0\0\x01u\0\0\x01\0\0\0\x01");
        out.clear();
        write_login(&mut out, b"u", Login::V41);
        assert_eq!(out.len(), 4 + 35 + 5);
        assert!(out.starts_with(b"\x23\0\0\x01\0\x82\0\0\0\x80\0\x01\x21"), "{}", out.escape_ascii());
        out.clear();
        write_login(&mut out, b"u", Login::V80);
        assert!(out.ends_with(b"u\0\0mysql_native_password\0\x01\0\0\0\x01"));
    }

    #[test]
    fn answers() {
        let greeting = packet_of(0, b"\x0a8.0.19\0rest");
        let refused = packet_of(0, b"\xff\x15\x04#28000Access denied");
        let expected = Answer::Error { code: 1045, message: b"#28000Access denied" };
        assert_eq!(parse_greeting(&greeting), Ok(Answer::Greeting(b"8.0.19")));
        assert_eq!(parse_greeting(&refused), Ok(expected.clone()));
        assert_eq!(parse_result(&packet_of(2, &refused[4..])), Ok(expected));
        assert_eq!(parse_result(&packet_of(2, b"\0\0\0")), Ok(Answer::Accepted));
        assert_eq!(parse_result(&packet_of(2, b"")), Err(AnswerError::TooShort));
        assert_eq!(parse_result(&packet_of(1, b"\0")), Err(AnswerError::OutOfSequence(1)));
        assert_eq!(parse_greeting(&packet_of(7, b"\x0a8\0")), Err(AnswerError::OutOfSequence(7)));
        assert_eq!(parse_greeting(&packet_of(0, b"\x0a8.0")), Err(AnswerError::TooShort));
        assert_eq!(parse_greeting(&packet_of(0, b"\xff\x01")), Err(AnswerError::TooShort));
        for end in 0..greeting.len() {
            assert_eq!(parse_greeting(&greeting[..end]), Ok(Answer::Partial), "{end}");
        }
        assert_eq!(parse_greeting(b"\xff\xff\xff\0aaaa"), Ok(Answer::Partial));
    }
}
