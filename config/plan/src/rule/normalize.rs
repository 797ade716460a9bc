//! Normalising request targets (RFC 3986, section 6.2.2).

use super::Normalizer;

/// The target after one step of normalising; `None` when a strict step finds a broken escape.
pub fn normalize(step: Normalizer, target: &[u8]) -> Option<Vec<u8>> {
    match step {
        Normalizer::FragmentEncode => Some(replace_hashes(target)),
        Normalizer::FragmentStrip => Some(before(target, b'#').to_vec()),
        Normalizer::MergeSlashes => Some(on_path(target, merge_slashes)),
        Normalizer::StripDot => Some(on_path(target, |path| strip_dots(path, false, false))),
        Normalizer::StripDotDot { full } => Some(on_path(target, |path| strip_dots(path, true, full))),
        Normalizer::DecodeUnreserved { strict } => escapes(target, strict, |byte, escape, out| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => out.extend_from_slice(escape),
        }),
        Normalizer::UpperCaseEscapes { strict } => {
            escapes(target, strict, |_, escape, out| out.extend(escape.to_ascii_uppercase()))
        }
        Normalizer::SortQuery => Some(sort_query(target)),
    }
}

fn before(text: &[u8], end: u8) -> &[u8] {
    &text[..text.iter().position(|b| *b == end).unwrap_or(text.len())]
}

fn replace_hashes(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len());
    for byte in target {
        match byte {
            b'#' => out.extend_from_slice(b"%23"),
            other => out.push(*other),
        }
    }
    out
}

/// Applies `change` to the path of a target, an absolute one included.
fn on_path(target: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let end = before(target, b'?').len();
    let start = match target[..end].windows(3).position(|w| w == b"://") {
        Some(at) if !target.starts_with(b"/") => {
            at + 3 + target[at + 3..end].iter().position(|b| *b == b'/').unwrap_or(end - at - 3)
        }
        _ => 0,
    };
    if target.get(start) != Some(&b'/') {
        return target.to_vec();
    }
    [&target[..start], &change(&target[start..end]), &target[end..]].concat()
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

/// Removes segments `.`, or with `parents` segments `..` together with the segment before.
fn strip_dots(path: &[u8], parents: bool, full: bool) -> Vec<u8> {
    let segments: Vec<&[u8]> = path[1..].split(|b| *b == b'/').collect();
    let last = segments.len() - 1;
    let mut kept: Vec<&[u8]> = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter().enumerate() {
        let removed = match (*segment, parents) {
            (b".", false) => true,
            (b"..", true) => match kept.last() {
                Some(&b"..") | None if !full => false,
                Some(_) => kept.pop().is_some(),
                None => true,
            },
            _ => false,
        };
        if !removed {
            kept.push(segment);
        } else if index == last {
            kept.push(b"");
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    out
}

/// Gives every escape `%xx` to `change` with the byte that it stands for.
fn escapes(target: &[u8], strict: bool, change: impl Fn(u8, &[u8], &mut Vec<u8>)) -> Option<Vec<u8>> {
    let digit = |at: usize| target.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(target.len());
    let mut at = 0;
    while at < target.len() {
        match (target[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                change((high * 16 + low) as u8, &target[at..at + 3], &mut out);
                at += 3;
            }
            (b'%', ..) if strict => return None,
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Some(out)
}

/// Shorter names stand first; those of one name keep their order.
fn sort_query(target: &[u8]) -> Vec<u8> {
    let path = before(target, b'?');
    if path.len() == target.len() {
        return target.to_vec();
    }
    let query = before(&target[path.len() + 1..], b'#');
    let rest = &target[path.len() + 1 + query.len()..];
    let mut parameters: Vec<&[u8]> = query.split(|b| *b == b'&').collect();
    parameters.sort_by(|one, other| before(one, b'=').cmp(before(other, b'=')));
    [path, b"?", &parameters.join(&b"&"[..]), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: Normalizer, target: &str, expected: Option<&str>) {
        let found = normalize(step, target.as_bytes()).map(|t| String::from_utf8_lossy(&t).into_owned());
        assert_eq!(found.as_deref(), expected, "{step:?} {target}");
    }

    #[test]
    fn targets_are_normalised() {
        use Normalizer::*;
        for (step, target, expected) in [
            (FragmentEncode, "/a#b#c", "/a%23b%23c"),
            (FragmentStrip, "/a?x#b", "/a?x"),
            (MergeSlashes, "//a///b?c//d", "/a/b?c//d"),
            (MergeSlashes, "http://h//a", "http://h/a"),
            (MergeSlashes, "*", "*"),
            (StripDot, "/.", "/"),
            (StripDot, "/./bar/", "/bar/"),
            (StripDot, "/a/./a", "/a/a"),
            (StripDot, "/a/.", "/a/"),
            (StripDot, "/.well-known/", "/.well-known/"),
            (StripDotDot { full: false }, "/foo/../", "/"),
            (StripDotDot { full: false }, "/foo/..", "/"),
            (StripDotDot { full: false }, "/foo/bar/../", "/foo/"),
            (StripDotDot { full: false }, "/../bar/", "/../bar/"),
            (StripDotDot { full: false }, "/bar/../../", "/../"),
            (StripDotDot { full: false }, "/foo//../", "/foo/"),
            (StripDotDot { full: true }, "/../bar/", "/bar/"),
            (StripDotDot { full: true }, "/bar/../../", "/"),
            (DecodeUnreserved { strict: false }, "/%61dmin%3F?%7e=%ZZ", "/admin%3F?~=%ZZ"),
            (DecodeUnreserved { strict: false }, "/%%36%36", "/%66"),
            (UpperCaseEscapes { strict: false }, "/%6f%zz?%aa", "/%6F%zz?%AA"),
            (SortQuery, "/?aaa=3&a=1&aa=2", "/?a=1&aa=2&aaa=3"),
            (SortQuery, "/?a=3&b=4&a=1&b=5&a=2", "/?a=3&a=1&a=2&b=4&b=5"),
        ] {
            check(step, target, Some(expected));
        }
        check(DecodeUnreserved { strict: true }, "/%%36%36", None);
        check(UpperCaseEscapes { strict: true }, "/%zz", None);
    }
}
