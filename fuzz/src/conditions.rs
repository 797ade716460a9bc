//! Conditions and ranges of requests: what comes out lies inside the body, and no date, tag or range makes us fall over.
//!
//! Lines of the input are values of `Range`, `If-Range`, the four conditions, `Accept-Encoding` and the answer's tag.

use files::range::{Wanted, into_many, parse, wanted};
use plan::host::{Gzip, ModifiedSince};
use wire::http1::{Fields, RequestHead, ResponseHead, date};

const NAMES: [&str; 7] = [
    "Range",
    "If-Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "Accept-Encoding",
];

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let length = lines.next().map_or(0, |line| line.len() as u64 * 97);
    let mut request = RequestHead::new(b"GET", b"/", b"a");
    for (name, value) in NAMES.iter().zip(lines.by_ref()) {
        request.fields.append(name.as_bytes(), value);
        date_is_read_back(value);
        for most in [0, 1, 1000] {
            inside(&parse(value, length, most), length, most);
        }
    }
    let mut answer = ResponseHead::new(200, b"");
    answer.fields.append(b"ETag", lines.next().unwrap_or(b"\"tag\""));
    answer.fields.append(b"Content-Type", lines.next().unwrap_or(b"text/html"));
    answer.fields.append(b"Last-Modified", b"Sun, 06 Nov 1994 08:49:37 GMT");
    judged(&request, &answer);
    let found = wanted(&request.fields, &answer.fields, length, None);
    inside(&found, length, usize::MAX);
    if let Wanted::Many(ranges) = found {
        let frame = into_many(&mut answer, &ranges, length, 1);
        assert_eq!(frame.before.len(), ranges.len());
        assert!(frame.length(&ranges) >= ranges.iter().map(|range| range.end - range.start).sum());
    }
}

fn judged(request: &RequestHead, answer: &ResponseHead) {
    let nothing = Fields::new();
    for since in [ModifiedSince::Ignored, ModifiedSince::Exact, ModifiedSince::Before] {
        let _ = files::condition::judge(&request.fields, &answer.fields, since);
        let _ = files::condition::judge(&request.fields, &nothing, since);
    }
    let gzip = Gzip { on: true, ..Gzip::default() };
    let _ = files::gzip::judge(&gzip, request, answer, None, 0);
}

/// Every range lies in the body, and together they are no longer than it.
fn inside(found: &Wanted, length: u64, most: usize) {
    let ranges = match found {
        Wanted::Whole | Wanted::Nothing => return,
        Wanted::One(one) => std::slice::from_ref(one),
        Wanted::Many(many) => many,
    };
    assert!(ranges.len() <= most);
    assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
    assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= length);
}

fn date_is_read_back(value: &[u8]) {
    if let Some(seconds) = date::parse(value)
        && let Ok(seconds) = u64::try_from(seconds)
    {
        assert_eq!(date::parse(&date::format(seconds)), Some(seconds as i64));
    }
}
