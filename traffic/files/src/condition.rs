//! Conditional requests (RFC 9110, 13): whether an answer of 200 is sent, or 304 or 412 in its place.
//!
//! The date and the tag of the answer are taken from its head, so that it does not matter who made it.

use plan::host::ModifiedSince;
use wire::http1::{Fields, Name, ResponseHead, date};

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// The client has it: 304.
    NotModified,
    /// What the client took for granted does not hold: 412.
    Failed,
}

/// Judges an answer of 200 by the conditions of its request. Other statuses are to be sent without asking.
///
/// `If-Match` compares strongly, `If-None-Match` weakly (RFC 9110, 8.8.3.2). With `If-None-Match` and
/// `If-Modified-Since` both must say that nothing has changed.
pub fn judge(request: &Fields, answer: &Fields, since: ModifiedSince) -> Verdict {
    let conditions = Conditions::of(request);
    let Some(conditions) = conditions else { return Verdict::Send };
    let changed = last_modified(answer);
    let tag = answer.find(Name::Etag);
    if conditions.unmodified_since.is_some_and(|said| !was_there(said, changed)) {
        return Verdict::Failed;
    }
    if let Some(list) = conditions.matches
        && !names_tag(list, tag, Comparison::Strong)
    {
        return Verdict::Failed;
    }
    if conditions.modified_since.is_none() && conditions.matches_not.is_none() {
        return Verdict::Send;
    }
    if conditions.modified_since.is_some_and(|said| is_newer(said, changed, since)) {
        return Verdict::Send;
    }
    match conditions.matches_not {
        Some(list) if !names_tag(list, tag, Comparison::Weak) => Verdict::Send,
        _ => Verdict::NotModified,
    }
}

/// Turns a 200 into a 304: nothing stays that describes a body (RFC 9110, 15.4.5).
pub fn into_not_modified(answer: &mut ResponseHead) {
    answer.set_status(304, b"");
    let fields = &mut answer.fields;
    for gone in [Name::ContentType, Name::ContentLength, Name::ContentEncoding] {
        fields.remove_id(gone);
    }
    fields.remove(b"accept-ranges");
    answer.set_framing(wire::http1::BodyFraming::None);
}

/// When the answer changed last, Unix seconds.
pub fn last_modified(answer: &Fields) -> Option<i64> {
    answer.find(Name::LastModified).and_then(date::parse)
}

/// The conditions of a request, as they stand there.
struct Conditions<'a> {
    matches: Option<&'a [u8]>,
    matches_not: Option<&'a [u8]>,
    modified_since: Option<&'a [u8]>,
    unmodified_since: Option<&'a [u8]>,
}

impl<'a> Conditions<'a> {
    /// `None` for the usual request, which has none. One look over the fields.
    fn of(request: &'a Fields) -> Option<Conditions<'a>> {
        let mut found =
            Conditions { matches: None, matches_not: None, modified_since: None, unmodified_since: None };
        let mut any = false;
        for field in request {
            let place = match field.id {
                Name::IfNoneMatch => &mut found.matches_not,
                Name::IfModifiedSince => &mut found.modified_since,
                Name::Other => match request.name(field) {
                    name if name.eq_ignore_ascii_case(b"if-match") => &mut found.matches,
                    name if name.eq_ignore_ascii_case(b"if-unmodified-since") => &mut found.unmodified_since,
                    _ => continue,
                },
                _ => continue,
            };
            any = true;
            place.get_or_insert(request.value(field));
        }
        any.then_some(found)
    }
}

/// Has nothing changed after this date?
fn was_there(said: &[u8], changed: Option<i64>) -> bool {
    match (date::parse(said), changed) {
        (Some(said), Some(changed)) => said >= changed,
        _ => false,
    }
}

fn is_newer(said: &[u8], changed: Option<i64>, since: ModifiedSince) -> bool {
    let (Some(changed), Some(said)) = (changed, date::parse(said)) else { return true };
    match since {
        ModifiedSince::Ignored => true,
        ModifiedSince::Exact => said != changed,
        ModifiedSince::Before => said < changed,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Does the list name the tag? `*` names whatever there is.
fn names_tag(list: &[u8], tag: Option<&[u8]>, how: Comparison) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(tag) = tag else { return false };
    let opaque = |one: &'_ [u8]| one.strip_prefix(b"W/").map_or(one.len(), <[u8]>::len);
    let plain = |one| match how {
        Comparison::Strong => one,
        Comparison::Weak => tail(one, opaque(one)),
    };
    tags(list).any(|one| plain(one) == plain(tag))
}

fn tail(text: &[u8], length: usize) -> &[u8] {
    &text[text.len() - length..]
}

/// The tags of a list. A comma may stand inside of one, so quotes count.
fn tags(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', rest @ ..] = list {
            list = rest;
        }
        if list.is_empty() {
            return None;
        }
        let mut quoted = false;
        let ends = |byte: &u8| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        };
        let end = list.iter().position(ends).unwrap_or(list.len());
        let (tag, rest) = list.split_at(end);
        list = rest;
        Some(tag.trim_ascii_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[track_caller]
    fn check(request: &[(&str, &str)], since: ModifiedSince, expected: Verdict) {
        let answer = fields(&[("Last-Modified", DATE), ("ETag", "\"a,b\"")]);
        assert_eq!(judge(&fields(request), &answer, since), expected, "{request:?} {since:?}");
    }

    #[test]
    fn dates_and_tags_decide() {
        use ModifiedSince::{Before, Exact, Ignored};
        use Verdict::{Failed, NotModified, Send};
        type Case<'a> = (&'a [(&'a str, &'a str)], ModifiedSince, Verdict);
        let cases: &[Case<'_>] = &[
            (&[], Exact, Send),
            (&[("If-Modified-Since", DATE)], Exact, NotModified),
            (&[("If-Modified-Since", LATER)], Exact, Send),
            (&[("If-Modified-Since", LATER)], Before, NotModified),
            (&[("If-Modified-Since", EARLIER)], Before, Send),
            (&[("If-Modified-Since", DATE)], Ignored, Send),
            (&[("If-Modified-Since", "nonsense")], Before, Send),
            (&[("If-None-Match", "\"a,b\"")], Exact, NotModified),
            (&[("If-None-Match", "W/\"a,b\"")], Exact, NotModified),
            (&[("If-None-Match", "\"x\", \"a,b\" , \"y\"")], Exact, NotModified),
            (&[("If-None-Match", "\"a\", \"b\"")], Exact, Send),
            (&[("If-None-Match", "a,b")], Exact, Send),
            (&[("If-None-Match", "*")], Exact, NotModified),
            (&[("If-None-Match", "\"x\""), ("If-Modified-Since", DATE)], Exact, Send),
            (&[("If-None-Match", "\"a,b\""), ("If-Modified-Since", LATER)], Exact, Send),
            (&[("If-None-Match", "\"a,b\""), ("If-Modified-Since", DATE)], Exact, NotModified),
            (&[("If-Match", "\"a,b\"")], Exact, Send),
            (&[("If-Match", "\"foo\",\t\"a,b\" ,\"x\"")], Exact, Send),
            (&[("If-Match", "W/\"a,b\"")], Exact, Failed),
            (&[("If-Match", "\"x\"")], Exact, Failed),
            (&[("If-Match", "*")], Exact, Send),
            (&[("If-Unmodified-Since", DATE)], Exact, Send),
            (&[("If-Unmodified-Since", LATER)], Ignored, Send),
            (&[("If-Unmodified-Since", EARLIER)], Exact, Failed),
            (&[("If-Unmodified-Since", "nonsense")], Exact, Failed),
        ];
        for (request, since, expected) in cases {
            check(request, *since, *expected);
        }
    }

    #[test]
    fn an_answer_without_date_and_tag_matches_nothing_but_the_star() {
        let none = Fields::new();
        let judged = |name, value| judge(&fields(&[(name, value)]), &none, ModifiedSince::Before);
        assert_eq!(judged("If-Modified-Since", LATER), Verdict::Send);
        assert_eq!(judged("If-None-Match", "\"a\""), Verdict::Send);
        assert_eq!(judged("If-None-Match", "*"), Verdict::NotModified);
        assert_eq!(judged("If-Match", "\"a\""), Verdict::Failed);
        assert_eq!(judged("If-Unmodified-Since", LATER), Verdict::Failed);
    }

    #[test]
    fn a_304_says_nothing_about_a_body() {
        let mut head = ResponseHead::new(200, b"");
        for (name, value) in
            [("Content-Type", "a/b"), ("Content-Length", "3"), ("ETag", "\"1\""), ("Accept-Ranges", "bytes")]
        {
            head.fields.append(name.as_bytes(), value.as_bytes());
        }
        into_not_modified(&mut head);
        let names: Vec<_> = head.fields.pairs().map(|(name, _)| name.to_vec()).collect();
        assert_eq!((head.status, names), (304, vec![b"ETag".to_vec()]));
    }
}
