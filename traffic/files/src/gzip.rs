//! Whether an answer is compressed for this client, and what its head says then. The compressor is `web`'s.

use plan::host::{Gzip, Proxied};
use wire::http1::{BodyFraming, Fields, Name, RequestHead, ResponseHead, Version, date};

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves as it is, for every client.
    Never,
    /// It leaves as it is for this client; others may get it compressed.
    NotHere,
    /// It is compressed.
    Compress,
}

/// Judges an answer. `length` is that of its body as far as it is known.
pub fn judge(
    gzip: &Gzip,
    request: &RequestHead,
    answer: &ResponseHead,
    length: Option<u64>,
    now_s: i64,
) -> Verdict {
    let fits = gzip.on
        && matches!(answer.status, 200 | 403 | 404)
        && answer.fields.find(Name::ContentEncoding).is_none_or(<[u8]>::is_empty)
        && length.is_none_or(|length| length >= gzip.least_bytes)
        && is_wanted_type(gzip, answer.fields.find(Name::ContentType));
    match fits {
        false => Verdict::Never,
        true if may_have(gzip, request, Some(&answer.fields), now_s) => Verdict::Compress,
        true => Verdict::NotHere,
    }
}

/// Changes the head of an answer that is compressed: no length, no ranges, a weak tag (RFC 9110, 8.8.1).
pub fn into_compressed(answer: &mut ResponseHead) {
    answer.fields.append(b"Content-Encoding", b"gzip");
    answer.fields.remove_id(Name::ContentLength);
    answer.fields.remove(b"accept-ranges");
    weaken_tag(answer);
    answer.set_framing(BodyFraming::Chunked);
}

/// Says that the answer depends on what the client accepts.
pub fn say_vary(answer: &mut ResponseHead) {
    answer.fields.append(b"Vary", b"Accept-Encoding");
}

/// A tag that is none is removed.
fn weaken_tag(answer: &mut ResponseHead) {
    match answer.fields.find(Name::Etag) {
        Some(tag) if tag.starts_with(b"\"") => {
            let weak = [b"W/", tag].concat();
            answer.fields.set(b"ETag", &weak);
        }
        Some(tag) if !tag.starts_with(b"W/") => drop(answer.fields.remove_id(Name::Etag)),
        _ => {}
    }
}

fn is_wanted_type(gzip: &Gzip, content_type: Option<&[u8]>) -> bool {
    let Some(content_type) = content_type.filter(|found| !found.is_empty()) else { return false };
    let end = content_type.iter().position(|b| *b == b';').unwrap_or(content_type.len());
    let kind = content_type[..end].trim_ascii_end();
    let Some(types) = &gzip.types else { return true };
    types.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(kind))
}

/// May this client have it compressed? Without an answer what proxies may have is not looked at.
pub fn may_have(gzip: &Gzip, request: &RequestHead, answer: Option<&Fields>, now_s: i64) -> bool {
    let Some(accepted) = request.fields.find(Name::AcceptEncoding) else { return false };
    if !accepts_gzip(accepted) || request.version == Version::Http10 && !gzip.http10 {
        return false;
    }
    if let Some(agent) = request.fields.find(Name::UserAgent)
        && (gzip.spare_old_msie && is_old_msie(agent) || gzip.spared.iter().any(|re| re.is_match(agent)))
    {
        return false;
    }
    if request.fields.find(Name::Via).is_none() {
        return true;
    }
    may_proxies(gzip.proxied, &request.fields, answer, now_s)
}

/// Requests that came through proxies: only what was said may be compressed for them.
fn may_proxies(proxied: Proxied, request: &Fields, answer: Option<&Fields>, now_s: i64) -> bool {
    if proxied == Proxied::default() {
        return false;
    }
    if proxied.any || proxied.auth && request.find(Name::Authorization).is_some() {
        return true;
    }
    let nothing = Fields::new();
    let answer = answer.unwrap_or(&nothing);
    if let Some(expires) = answer.find(Name::Expires) {
        let expires = date::parse(expires);
        let sent = answer.find(Name::Date).and_then(date::parse).unwrap_or(now_s);
        return proxied.expired && expires.is_some_and(|expires| expires < sent);
    }
    let mut controls = answer.find_all(Name::CacheControl).peekable();
    if controls.peek().is_some() {
        let wanted = [
            (proxied.no_cache, &b"no-cache"[..]),
            (proxied.no_store, b"no-store"),
            (proxied.private, b"private"),
        ];
        return controls.any(|control| {
            let says = |word: &[u8]| contains(control, word);
            wanted.iter().any(|(asked, word)| *asked && says(word))
        });
    }
    let forbids = |asked, name| asked && answer.find(name).is_some();
    !forbids(proxied.no_last_modified, Name::LastModified) && !forbids(proxied.no_tag, Name::Etag)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Does `Accept-Encoding` name gzip with a quality above 0? `*` alone does not count.
fn accepts_gzip(accepted: &[u8]) -> bool {
    wire::http1::tokens(accepted).any(|one| {
        let mut parts = one.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"))
            && parts.next().is_none_or(is_above_zero)
    })
}

/// `q=0.5` (RFC 9110, 12.4.2). What is no quality is none.
fn is_above_zero(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else { return false };
    match value {
        [b'1'] => true,
        [b'1', b'.', zeros @ ..] => zeros.len() <= 3 && zeros.iter().all(|b| *b == b'0'),
        [b'0', b'.', digits @ ..] => {
            digits.len() <= 3
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().any(|digit| *digit != b'0')
        }
        _ => false,
    }
}

/// Internet Explorer 4 to 6, but for the second service pack of 6, and for Opera, which called itself so.
fn is_old_msie(agent: &[u8]) -> bool {
    let Some(at) = agent.windows(5).position(|part| part == b"MSIE ") else { return false };
    match &agent[at + 5..] {
        [b'4' | b'5', b'.', ..] => !contains(agent, b"Opera"),
        [b'6', b'.', rest @ ..] => !contains(rest, b"SV1") && !contains(agent, b"Opera"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip() -> Gzip {
        Gzip { on: true, ..Gzip::default() }
    }

    fn request(lines: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new(b"GET", b"/", b"a");
        for (name, value) in lines {
            head.fields.append(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn answer(status: u16, lines: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(status, b"");
        for (name, value) in lines {
            head.fields.append(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn answers_are_chosen() {
        let asks = request(&[("Accept-Encoding", "gzip")]);
        let html = [("Content-Type", "text/HTML; charset=utf-8")];
        let judged = |answer: &ResponseHead, length| judge(&gzip(), &asks, answer, length, 0);
        assert_eq!(judged(&answer(200, &html), Some(20)), Verdict::Compress);
        assert_eq!(judged(&answer(200, &html), None), Verdict::Compress);
        assert_eq!(judged(&answer(404, &html), None), Verdict::Compress);
        assert_eq!(judged(&answer(206, &html), None), Verdict::Never);
        assert_eq!(judged(&answer(200, &html), Some(19)), Verdict::Never);
        assert_eq!(judged(&answer(200, &[("Content-Type", "text/htm")]), None), Verdict::Never);
        assert_eq!(judged(&answer(200, &[]), None), Verdict::Never);
        let encoded = answer(200, &[html[0], ("Content-Encoding", "br")]);
        assert_eq!(judged(&encoded, None), Verdict::Never);
        assert_eq!(judge(&gzip(), &request(&[]), &answer(200, &html), None, 0), Verdict::NotHere);
        let all = Gzip { types: None, ..gzip() };
        assert_eq!(judge(&all, &asks, &answer(200, &[("Content-Type", "a/b")]), None, 0), Verdict::Compress);
    }

    #[test]
    fn clients_say_what_they_take() {
        for (accepted, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("gzip,deflate", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip; q=1.000", true),
            ("gzip;q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=2", false),
            ("gzip;q=nan", false),
            ("gzip;x=1", false),
            ("x-gzip", false),
            ("gzipx", false),
            ("*", false),
            ("", false),
        ] {
            let head = request(&[("Accept-Encoding", accepted)]);
            assert_eq!(may_have(&gzip(), &head, None, 0), expected, "{accepted}");
        }
        let mut old = request(&[("Accept-Encoding", "gzip")]);
        old.version = Version::Http10;
        assert!(!may_have(&gzip(), &old, None, 0));
        assert!(may_have(&Gzip { http10: true, ..gzip() }, &old, None, 0));
    }

    #[test]
    fn some_agents_are_spared() {
        let msie = Gzip { spare_old_msie: true, ..gzip() };
        for (agent, old) in [
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", true),
            ("Mozilla/4.0 (compatible; MSIE 5.5)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", false),
            ("Mozilla/4.0 (compatible; MSIE 7.0)", false),
            ("Mozilla/4.0 (compatible; MSIE 6.0) Opera 8", false),
            ("Mozilla/5.0", false),
        ] {
            let head = request(&[("Accept-Encoding", "gzip"), ("User-Agent", agent)]);
            assert_eq!(may_have(&msie, &head, None, 0), !old, "{agent}");
            assert!(may_have(&gzip(), &head, None, 0));
        }
    }

    #[test]
    fn proxies_get_what_was_said() {
        let via = [("Accept-Encoding", "gzip"), ("Via", "1.1 x")];
        let plain = request(&via);
        let with_password = request(&[via[0], via[1], ("Authorization", "Basic x")]);
        let check = |proxied, head: &RequestHead, lines: &[(&str, &str)], expected| {
            let gzip = Gzip { proxied, ..gzip() };
            let found = may_have(&gzip, head, Some(&answer(200, lines).fields), 1_000_000_000);
            assert_eq!(found, expected, "{proxied:?} {lines:?}");
        };
        let off = Proxied::default();
        check(off, &plain, &[], false);
        check(Proxied { any: true, ..off }, &plain, &[], true);
        check(Proxied { auth: true, ..off }, &with_password, &[("Cache-Control", "x")], true);
        check(Proxied { auth: true, ..off }, &plain, &[("Cache-Control", "x")], false);
        let past = ("Expires", "Thu, 01 Jan 1970 00:00:01 GMT");
        check(Proxied { expired: true, ..off }, &plain, &[past], true);
        check(Proxied { no_cache: true, ..off }, &plain, &[past, ("Cache-Control", "no-cache")], false);
        check(Proxied { no_cache: true, ..off }, &plain, &[("Cache-Control", "max-age=0, No-Cache")], true);
        check(Proxied { no_store: true, ..off }, &plain, &[("Cache-Control", "no-cache")], false);
        check(Proxied { private: true, ..off }, &plain, &[("Cache-Control", "private")], true);
        check(Proxied { no_tag: true, ..off }, &plain, &[("ETag", "\"a\"")], false);
        check(Proxied { no_tag: true, ..off }, &plain, &[], true);
        check(Proxied { no_last_modified: true, ..off }, &plain, &[("Last-Modified", "x")], false);
    }

    #[test]
    fn tags_become_weak() {
        for (tag, expected) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None)] {
            let mut head = answer(200, &[("ETag", tag), ("Content-Length", "5"), ("Accept-Ranges", "bytes")]);
            into_compressed(&mut head);
            assert_eq!(head.fields.find(Name::Etag), expected.map(str::as_bytes), "{tag}");
            assert_eq!(head.fields.find(Name::ContentLength), None);
        }
    }
}
