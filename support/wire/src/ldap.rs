//! As much of LDAPv3 (RFC 4511) as a health check needs: an anonymous bind and the result of it. Called by `health`.

/// An anonymous simple bind: message 1, version 3, no name, no password.
pub const BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";

/// The answer to [`BIND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not all of it is here.
    Partial,
    /// The result code; 0 is success.
    Result(u8),
}

/// This is no answer to our bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLdap;

/// Reads a bind response from the start of `buf`: a sequence of our message id and the response, whose first part is
/// the result code.
///
/// # Errors
/// When it cannot be one.
pub fn parse_answer(buf: &[u8]) -> Result<Answer, NotLdap> {
    let mut left = buf;
    let found = element(&mut left, 0x30, false)
        .and_then(|()| element(&mut left, 0x02, true).and_then(|()| byte(&mut left, Some(1))))
        .and_then(|_| element(&mut left, 0x61, false))
        .and_then(|()| element(&mut left, 0x0a, true))
        .and_then(|()| byte(&mut left, None));
    match found {
        Ok(code) => Ok(Answer::Result(code)),
        Err(Missing::Bytes) => Ok(Answer::Partial),
        Err(Missing::Sense) => Err(NotLdap),
    }
}

/// Why no element was found.
enum Missing {
    Bytes,
    Sense,
}

/// Takes the tag and the length of an element; a single one is one byte long.
fn element(left: &mut &[u8], tag: u8, single: bool) -> Result<(), Missing> {
    byte(left, Some(tag))?;
    let length = byte(left, single.then_some(1))?;
    // Above 127 it is the number of bytes of the length, of which we need only know how many to pass over.
    if length & 0x80 != 0 {
        for _ in 0..(length & 0x7f).min(8) {
            byte(left, None)?;
        }
    }
    Ok(())
}

fn byte(left: &mut &[u8], expected: Option<u8>) -> Result<u8, Missing> {
    let (byte, rest) = left.split_first().ok_or(Missing::Bytes)?;
    if expected.is_some_and(|expected| expected != *byte) {
        return Err(Missing::Sense);
    }
    *left = rest;
    Ok(*byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let short = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
        let long =
            b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x31\x04\x00\x04\x00";
        assert_eq!(parse_answer(short), Ok(Answer::Result(0)));
        assert_eq!(parse_answer(long), Ok(Answer::Result(0x31)));
        for end in 0..10 {
            assert_eq!(parse_answer(&short[..end]), Ok(Answer::Partial), "{end}");
        }
        for wrong in [&b"HTTP"[..], b"\x30\x0c\x02\x01\x02", b"\x30\x0c\x02\x01\x01\x65"] {
            assert_eq!(parse_answer(wrong), Err(NotLdap), "{}", wrong.escape_ascii());
        }
    }
}
