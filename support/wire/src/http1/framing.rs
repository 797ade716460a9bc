//! What Content-Length and Transfer-Encoding say together (RFC 9112 section 6): one clear thing, or an error.
//! Used by both parsers.

use super::bytes::{is_token, tokens};
use super::{BodyFraming, Fields, HeadError, HeadErrorKind, Name, Version};

/// Largest body length: 2^63-1, so that sums and signed readers behind us stay safe.
pub(crate) const LONGEST_BODY: u64 = i64::MAX as u64;

/// What the fields announce.
pub(crate) struct Announced {
    /// `BodyFraming::None` when they announce nothing.
    pub framing: BodyFraming,
    /// An older reader could find another end, so nothing may follow on the connection.
    pub last: bool,
}

/// What the fields announce. `keeps`: more messages may follow on the connection.
///
/// Transfer-Encoding wins over Content-Length, and the connection ends after such a message (RFC 9112 section 6.1). In
/// HTTP/1.0 it is faulty; a message after which the connection ends anyway is taken all the same.
pub(crate) fn announced(
    fields: &Fields,
    version: Version,
    framings: Framings,
    keeps: bool,
) -> Result<Announced, HeadError> {
    let coded = fields.find(Name::TransferEncoding).is_some();
    let framing = |framing, last| Ok(Announced { framing, last });
    match (length(fields, framings.repeats)?, coded) {
        (None, false) => framing(BodyFraming::None, false),
        (Some(length), false) => framing(BodyFraming::Length(length), false),
        (Some(_), true) if !framings.both => Err(bad("both Content-Length and Transfer-Encoding")),
        (None, true) if version == Version::Http10 && (keeps || !framings.old_chunks) => {
            Err(bad("Transfer-Encoding in HTTP/1.0"))
        }
        (length, true) => {
            only_chunked(fields)?;
            framing(BodyFraming::Chunked, length.is_some() || version == Version::Http10)
        }
    }
}

/// What is taken though it is not said once and clearly.
#[derive(Clone, Copy)]
pub(crate) struct Framings {
    /// Several equal Content-Length fields are one length.
    pub repeats: bool,
    /// Content-Length beside Transfer-Encoding.
    pub both: bool,
    /// Transfer-Encoding in HTTP/1.0.
    pub old_chunks: bool,
}

impl Framings {
    /// In a request: several equal lengths are an error.
    pub(crate) const REQUEST: Framings = Framings { repeats: false, both: true, old_chunks: true };
    /// In an answer.
    pub(crate) const ANSWER: Framings = Framings { repeats: true, ..Framings::REQUEST };
    /// In a request of which one clear field is asked.
    pub(crate) const ONE: Framings = Framings { repeats: false, both: false, old_chunks: false };
    /// In an answer of which one clear field is asked. Old servers do send chunks.
    pub(crate) const ONE_IN_ANSWER: Framings = Framings { old_chunks: true, ..Framings::ONE };
}

fn length(fields: &Fields, repeats: bool) -> Result<Option<u64>, HeadError> {
    let mut length = None;
    for value in fields.find_all(Name::ContentLength) {
        let this = number(value)?;
        if length.is_some_and(|first| !repeats || first != this) {
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

/// Everything but the single coding `chunked` is refused: we could not know where the message ends, or not decode it.
fn only_chunked(fields: &Fields) -> Result<(), HeadError> {
    let codings = || fields.find_all(Name::TransferEncoding).flat_map(tokens);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if codings().any(|coding| !is_token(coding)) {
        return Err(bad("malformed Transfer-Encoding"));
    }
    let (count, last) =
        (codings().filter(|c| is_chunked(c)).count(), codings().last().is_some_and(is_chunked));
    match (count, last, codings().count()) {
        (1, true, 1) => Ok(()),
        (1, true, _) => {
            Err(HeadError::new(HeadErrorKind::UnknownCoding, "transfer coding other than chunked"))
        }
        (2.., _, _) => Err(bad("chunked more than once")),
        _ => Err(bad("the last transfer coding is not chunked")),
    }
}

const fn bad(reason: &'static str) -> HeadError {
    HeadError::new(HeadErrorKind::BadFraming, reason)
}
