//! What Content-Length and Transfer-Encoding say together (RFC 9112 section 6): one clear thing, or an error.
//! Used by both parsers.

use super::bytes::{is_token, tokens};
use super::{BodyFraming, Fields, HeadError, HeadErrorKind, Name, Version};

/// Largest body length: 2^63-1, so that sums and signed readers behind us stay safe.
pub(crate) const LONGEST_BODY: u64 = i64::MAX as u64;

/// The framing the fields announce; `BodyFraming::None` when they announce nothing.
///
/// Several equal Content-Length fields are an error in a request and one length in a response.
pub(crate) fn announced(fields: &Fields, version: Version, repeat: Repeat) -> Result<BodyFraming, HeadError> {
    let coded = fields.find(Name::TransferEncoding).is_some();
    match (length(fields, repeat)?, coded) {
        (None, false) => Ok(BodyFraming::None),
        (Some(length), false) => Ok(BodyFraming::Length(length)),
        (Some(_), true) => Err(bad("both Content-Length and Transfer-Encoding")),
        (None, true) if version == Version::Http10 => Err(bad("Transfer-Encoding in HTTP/1.0")),
        (None, true) => only_chunked(fields).map(|()| BodyFraming::Chunked),
    }
}

/// Is a second, equal Content-Length an error?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Refused,
    Tolerated,
}

fn length(fields: &Fields, repeat: Repeat) -> Result<Option<u64>, HeadError> {
    let mut length = None;
    for value in fields.find_all(Name::ContentLength) {
        let this = number(value)?;
        if length.is_some_and(|first| repeat == Repeat::Refused || first != this) {
            return Err(bad("several Content-Length values"));
        }
        length = Some(this);
    }
    Ok(length)
}

/// `1*DIGIT`, no sign, no list, at most 2^63-1; leading zeros are legal.
pub(crate) fn number(value: &[u8]) -> Result<u64, HeadError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad("Content-Length is not a number"));
    }
    value
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .filter(|length| *length <= LONGEST_BODY)
        .ok_or(HeadError::new(HeadErrorKind::BodyTooBig, "Content-Length over 2^63-1"))
}

/// Everything but the single coding `chunked` is refused: we could not know where the message ends.
fn only_chunked(fields: &Fields) -> Result<(), HeadError> {
    let codings = || fields.find_all(Name::TransferEncoding).flat_map(tokens);
    let chunked = codings().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    if codings().any(|coding| !is_token(coding)) {
        return Err(bad("malformed Transfer-Encoding"));
    }
    match (chunked, codings().count()) {
        (1, 1) => Ok(()),
        (2.., _) => Err(bad("chunked more than once")),
        _ => Err(HeadError::new(HeadErrorKind::UnknownCoding, "transfer coding other than chunked")),
    }
}

const fn bad(reason: &'static str) -> HeadError {
    HeadError::new(HeadErrorKind::BadFraming, reason)
}
