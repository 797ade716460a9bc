//! Ranges (RFC 9110, 14): which bytes of an answer a client wants, and the head and the frame of a part.

use std::ops::Range;
use wire::http1::{Fields, Name, ResponseHead, date};

/// Which part of a body leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// One range.
    One(Range<u64>),
    /// Several, each framed as a part of `multipart/byteranges`.
    Many(Vec<Range<u64>>),
    /// None of the ranges lies in the body: 416.
    Nothing,
}

/// Most ranges that are looked at without a limit of the operator: each costs memory.
const MOST: usize = 1024;

/// What a request wants of a body of `length` bytes, whose head is `answer`.
///
/// A `Range` that is not understood asks for the whole (RFC 9110, 14.2), and so do one whose `If-Range` names another
/// version, more ranges than `most`, and ranges that together are longer than the body: somebody wants to hurt.
pub fn wanted(request: &Fields, answer: &Fields, length: u64, most: Option<u32>) -> Wanted {
    let Some(said) = request.find(Name::Range) else { return Wanted::Whole };
    if most == Some(0) || !is_same_version(request, answer) {
        return Wanted::Whole;
    }
    let most = most.map_or(MOST, |most| (most as usize).min(MOST));
    parse(said, length, most)
}

/// `If-Range`: a strong tag or the date of the last change, each to the letter.
fn is_same_version(request: &Fields, answer: &Fields) -> bool {
    let Some(version) = request.find_str(b"if-range").next() else { return true };
    if version.len() >= 2 && version.ends_with(b"\"") {
        return !version.starts_with(b"W/") && answer.find(Name::Etag) == Some(version);
    }
    let changed = super::condition::last_modified(answer);
    changed.is_some() && date::parse(version) == changed
}

/// Reads a `Range` field for a body of `length` bytes.
pub fn parse(said: &[u8], length: u64, most: usize) -> Wanted {
    let unit = said.get(..6).unwrap_or_default();
    if !unit.eq_ignore_ascii_case(b"bytes=") || said.len() < 7 {
        return Wanted::Whole;
    }
    let mut ranges = Vec::new();
    let mut total = 0u64;
    for one in said[6..].split(|byte| *byte == b',') {
        let Some(range) = parse_one(one, length) else { return Wanted::Nothing };
        if range.start < range.end {
            if ranges.len() == most {
                return Wanted::Whole;
            }
            total = total.saturating_add(range.end - range.start);
            ranges.push(range);
        } else if range.start == 0 {
            return Wanted::Whole;
        }
    }
    match ranges.len() {
        0 => Wanted::Nothing,
        _ if total > length => Wanted::Whole,
        1 => ranges.pop().map_or(Wanted::Nothing, Wanted::One),
        _ => Wanted::Many(ranges),
    }
}

/// `FROM-TO`, `FROM-` or `-LAST`; empty when it lies behind the end, `None` when it is none of these.
fn parse_one(text: &[u8], length: u64) -> Option<Range<u64>> {
    let text = text.trim_ascii();
    let dash = text.iter().position(|byte| *byte == b'-')?;
    let (from, to) = (text[..dash].trim_ascii_end(), text[dash + 1..].trim_ascii_start());
    if from.is_empty() {
        let last = number(to)?;
        return Some(length.saturating_sub(last)..length);
    }
    let start = number(from)?;
    let end = if to.is_empty() { length } else { number(to)?.saturating_add(1).min(length) };
    Some(start..end)
}

/// Digits only; a number too large for us is no number.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    text.iter().try_fold(0u64, add).filter(|sum| *sum < i64::MAX as u64)
}

/// Says that the answer may be asked for in parts.
pub fn offer(answer: &mut ResponseHead) {
    answer.fields.set(b"Accept-Ranges", b"bytes");
}

/// The head of an answer with one range of a body of `length` bytes.
pub fn into_one(answer: &mut ResponseHead, range: &Range<u64>, length: u64) {
    answer.set_status(206, b"");
    answer.fields.remove(b"accept-ranges");
    answer.fields.set(b"Content-Range", content_range(range, length).as_bytes());
}

/// Says of a 416 how long the body is.
pub fn into_nothing(answer: &mut ResponseHead, length: u64) {
    answer.fields.set(b"Content-Range", format!("bytes */{length}").as_bytes());
}

fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

/// The frame of several ranges: what stands before each and behind the last.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Before each range, in order.
    pub before: Vec<Vec<u8>>,
    /// Behind the last.
    pub end: Vec<u8>,
}

impl Frame {
    /// Bytes of the frame and of the ranges together.
    pub fn length(&self, ranges: &[Range<u64>]) -> u64 {
        let framing: usize = self.before.iter().map(Vec::len).sum::<usize>() + self.end.len();
        framing as u64 + ranges.iter().map(|range| range.end - range.start).sum::<u64>()
    }
}

/// The head of an answer with several ranges, and their frame. `boundary` must not stand in the body: a number never
/// used before is good enough.
pub fn into_many(answer: &mut ResponseHead, ranges: &[Range<u64>], length: u64, boundary: u64) -> Frame {
    let content_type = answer.fields.find(Name::ContentType).unwrap_or_default().to_vec();
    answer.set_status(206, b"");
    answer.fields.remove(b"accept-ranges");
    answer.fields.remove(b"content-range");
    let multipart = format!("multipart/byteranges; boundary={boundary:020}");
    answer.fields.set(b"Content-Type", multipart.as_bytes());
    let before = |range: &Range<u64>| {
        let mut out = format!("\r\n--{boundary:020}\r\n").into_bytes();
        if !content_type.is_empty() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(&content_type);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("Content-Range: {}\r\n\r\n", content_range(range, length)).as_bytes());
        out
    };
    Frame {
        before: ranges.iter().map(before).collect(),
        end: format!("\r\n--{boundary:020}--\r\n").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_hundred_bytes() {
        use Wanted::{Many, Nothing, One, Whole};
        let cases: &[(&str, Wanted)] = &[
            ("bytes=0-9", One(0..10)),
            ("bytes=10-", One(10..100)),
            ("bytes=-10", One(90..100)),
            ("bytes=-1000", One(0..100)),
            ("bytes=0-0", One(0..1)),
            ("bytes=99-", One(99..100)),
            ("bytes=99-1000", One(99..100)),
            ("BYTES= 0 - 9 ", One(0..10)),
            ("bytes=0-9,20-29", Many(vec![0..10, 20..30])),
            ("bytes=0-9, -10 ,50-50", Many(vec![0..10, 90..100, 50..51])),
            ("bytes=0-9,200-", One(0..10)),
            ("bytes=100-", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=9-0", Nothing),
            ("bytes=100-,200-300", Nothing),
            ("bytes=a-b", Nothing),
            ("bytes=1-b", Nothing),
            ("bytes=-", Nothing),
            ("bytes=1", Nothing),
            ("bytes=0-9,", Nothing),
            ("bytes=,0-9", Nothing),
            ("bytes=--1", Nothing),
            ("bytes=0-99999999999999999999", Nothing),
            ("bytes=18446744073709551615-", Nothing),
            ("bytes=-9223372036854775807", Nothing),
            ("bytes=0-9223372036854775806", One(0..100)),
            ("bytes=0-,0-", Whole),
            ("bytes=0-98,0-1", Whole),
            ("bytes=", Whole),
            ("lines=0-9", Whole),
            ("bytes", Whole),
            ("", Whole),
        ];
        for (said, expected) in cases {
            assert_eq!(parse(said.as_bytes(), 100, MOST), *expected, "{said}");
        }
        assert_eq!(parse(b"bytes=0-", 0, MOST), Whole);
        assert_eq!(parse(b"bytes=-5", 0, MOST), Whole);
        assert_eq!(parse(b"bytes=5-", 0, MOST), Nothing);
        assert_eq!(parse(b"bytes=0-0,2-2,4-4", 100, 2), Whole);
        assert_eq!(parse(b"bytes=0-0,2-2", 100, 2), Many(vec![0..1, 2..3]));
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn if_range_asks_for_the_whole_when_the_version_is_another() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let answer = fields(&[("Last-Modified", date), ("ETag", "\"a\"")]);
        let weak = fields(&[("ETag", "W/\"a\"")]);
        let one = Wanted::One(0..10);
        for (version, answer, expected) in [
            (date, &answer, &one),
            ("Sun, 06 Nov 1994 08:49:38 GMT", &answer, &Wanted::Whole),
            ("wrong", &answer, &Wanted::Whole),
            ("wrong", &weak, &Wanted::Whole),
            ("\"a\"", &answer, &one),
            ("\"b\"", &answer, &Wanted::Whole),
            ("W/\"a\"", &answer, &Wanted::Whole),
            ("\"a\"", &weak, &Wanted::Whole),
            ("W/\"a\"", &weak, &Wanted::Whole),
        ] {
            let request = fields(&[("Range", "bytes=0-9"), ("If-Range", version)]);
            assert_eq!(wanted(&request, answer, 100, None), *expected, "{version}");
        }
        let plain = fields(&[("Range", "bytes=0-9")]);
        assert_eq!(wanted(&plain, &answer, 100, None), one);
        assert_eq!(wanted(&plain, &answer, 100, Some(0)), Wanted::Whole);
    }

    #[test]
    fn parts_are_framed() {
        let mut head = ResponseHead::new(200, b"");
        head.fields.append(b"Content-Type", b"text/plain");
        let ranges = [0..1, 98..100];
        let frame = into_many(&mut head, &ranges, 100, 7);
        assert_eq!(
            head.fields.find(Name::ContentType),
            Some(&b"multipart/byteranges; boundary=00000000000000000007"[..])
        );
        let first =
            "\r\n--00000000000000000007\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/100\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&frame.before[0]), first);
        assert_eq!(frame.length(&ranges), (first.len() * 2 + 2 + 3 + frame.end.len()) as u64);
    }
}
