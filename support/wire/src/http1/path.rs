//! A target as a place: percent-encoding undone, `.` and `..` walked, slashes merged, query and fragment split off.
//! Called by `web` to choose locations and files; what leaves for a server or in `Location` is escaped anew (`escape`).
//!
//! One pass, one judgement: nothing is decoded twice, so `%252e` stays `%2e` and `..` cannot come back.

use super::escape::{decode, unescape};
use std::borrow::Cow;

/// A target taken apart and made plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized<'a> {
    /// Starts with `/`, is decoded, holds no NUL and no `.` or `..` part. Borrowed when the target was plain already.
    pub path: Cow<'a, [u8]>,
    /// What follows the first `?`, undecoded, without the fragment; `None` without a `?`.
    pub query: Option<&'a [u8]>,
    /// The path was percent-encoded somewhere, so it must be escaped when it becomes part of another target.
    pub quoted: bool,
    /// The path holds a `+`, sent as such or encoded.
    pub plus: bool,
}

/// A target that is no place below `/`: broken percent-encoding, an encoded NUL, or `..` above the root. 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath;

impl std::fmt::Display for BadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("target is no place below the root")
    }
}

impl std::error::Error for BadPath {}

/// Makes the path of an origin-form target plain: `/a//b/%2e%2e/c?x#y` is `/a/c` with the query `x`.
///
/// An encoded `/` or `.` counts as such; an encoded `?`, `#` or `%` is part of a name. Without a path (`?x`, behind an
/// absolute target's host) it is `/`. With `merge_slashes`, slashes that follow each other are one.
///
/// # Errors
/// See [`BadPath`]; also for a target that starts with anything but `/`, `?` or `#`.
pub fn normalize_target(target: &[u8], merge_slashes: bool) -> Result<Normalized<'_>, BadPath> {
    let target = &target[..memchr::memchr(b'#', target).unwrap_or(target.len())];
    let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (raw, query) = (&target[..path_end], target.get(path_end + 1..));
    let (path, plus, quoted) = match raw {
        [] => (Cow::Borrowed(&b"/"[..]), false, false),
        [b'/', ..] if is_plain(raw) => (Cow::Borrowed(raw), raw.contains(&b'+'), false),
        [b'/', ..] => {
            let path = walk(raw, merge_slashes)?;
            let plus = path.contains(&b'+');
            (Cow::Owned(path), plus, raw.contains(&b'%'))
        }
        _ => return Err(BadPath),
    };
    Ok(Normalized { path, query, quoted, plus })
}

/// A path and a query. See [`internal_target`].
pub type Internal<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// A place that a server or a rule names (`X-Accel-Redirect`, and the like): path, decoded where it was encoded, and
/// query.
///
/// # Errors
/// If it is empty, has no path, holds a NUL, or has `..` as a part before or after decoding: such a name is not
/// repaired but refused.
pub fn internal_target(target: &[u8]) -> Result<Internal<'_>, BadPath> {
    let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (raw, query) = (&target[..path_end], target.get(path_end + 1..));
    let path = match raw.contains(&b'%') {
        true => Cow::Owned(unescape(raw)),
        false => Cow::Borrowed(raw),
    };
    let climbs = |path: &[u8]| path.split(|byte| *byte == b'/').any(|part| part == b"..");
    match raw.is_empty() || path.contains(&0) || climbs(raw) || climbs(&path) {
        true => Err(BadPath),
        false => Ok((path, query)),
    }
}

/// Is there nothing to do: no `%`, no `//`, no part that starts with a dot?
fn is_plain(path: &[u8]) -> bool {
    let mut slash = false;
    path.iter().all(|byte| {
        let odd = matches!(byte, b'%' | 0) || (slash && matches!(byte, b'/' | b'.'));
        slash = *byte == b'/';
        !odd
    })
}

/// Decodes and walks. `path` starts with `/`.
fn walk(path: &[u8], merge_slashes: bool) -> Result<Vec<u8>, BadPath> {
    let mut place = Place { text: Vec::with_capacity(path.len()), merge_slashes };
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let (decoded, after) = decode(after).ok_or(BadPath)?;
                rest = after;
                place.push(decoded)?;
            }
            _ => place.push(*byte)?,
        }
    }
    place.end_part()?;
    Ok(place.text)
}

/// The path so far; starts with `/` once it holds anything.
struct Place {
    text: Vec<u8>,
    merge_slashes: bool,
}

impl Place {
    fn push(&mut self, byte: u8) -> Result<(), BadPath> {
        match byte {
            0 => return Err(BadPath),
            b'/' if self.end_part()? => {}
            b'/' if self.merge_slashes && self.text.ends_with(b"/") => {}
            _ => self.text.push(byte),
        }
        Ok(())
    }

    /// Walks the last part if it is `.` or `..`. True if it was; the text then ends with the slash in front of it.
    fn end_part(&mut self) -> Result<bool, BadPath> {
        let Some(slash) = memchr::memrchr(b'/', &self.text) else { return Ok(false) };
        let keep = match &self.text[slash + 1..] {
            b"." => slash,
            b".." => memchr::memrchr(b'/', &self.text[..slash]).ok_or(BadPath)?,
            _ => return Ok(false),
        };
        self.text.truncate(keep + 1);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Target, with slashes merged, path, query. The path `-` means refused.
    const TARGETS: &[(&str, bool, &str, Option<&str>)] = &[
        ("/", true, "/", None),
        ("", true, "/", None),
        ("?a=b", true, "/", Some("a=b")),
        ("?a#f", true, "/", Some("a")),
        ("/a/b?c?d", true, "/a/b", Some("c?d")),
        ("/a?", true, "/a", Some("")),
        ("/a#x?y", true, "/a", None),
        ("/foo/bar/.?args", true, "/foo/bar/", Some("args")),
        ("/foo/bar/.#frag", true, "/foo/bar/", None),
        ("/foo/bar/..?args", true, "/foo/", Some("args")),
        ("/foo/bar/..#frag", true, "/foo/", None),
        ("/foo/bar/.", true, "/foo/bar/", None),
        ("/foo/bar/..", true, "/foo/", None),
        ("/a/./b/../c", true, "/a/c", None),
        ("/a/../b", true, "/b", None),
        ("/a/b/../../c", true, "/c", None),
        ("//a///b//", true, "/a/b/", None),
        ("//a///b//", false, "//a///b//", None),
        ("/foo//../bar", false, "/foo/bar", None),
        ("/foo///../bar", false, "/foo//bar", None),
        ("/foo//../bar", true, "/bar", None),
        ("/foo/.//bar", false, "/foo//bar", None),
        ("/.a/..b/...", true, "/.a/..b/...", None),
        ("/a.b/c..", true, "/a.b/c..", None),
        ("/%61%2Fb", true, "/a/b", None),
        ("/a/%2e%2E/b", true, "/b", None),
        ("/a%2f%2e%2e%2fb", true, "/b", None),
        ("/a%2f..%2fb", true, "/b", None),
        ("/a/.%2e", true, "/", None),
        ("/%2f%2F/a", true, "/a", None),
        ("/%252e%252e/", true, "/%2e%2e/", None),
        ("/a%3Fb?c", true, "/a?b", Some("c")),
        ("/a%23b#c", true, "/a#b", None),
        ("/..%3F/", true, "/..?/", None),
        ("/%02", true, "/\x02", None),
        ("/a%20b?%20", true, "/a b", Some("%20")),
        ("/a+b", true, "/a+b", None),
        ("/..", true, "-", None),
        ("/../", true, "-", None),
        ("/a/../..", true, "-", None),
        ("/a/../../b", true, "-", None),
        ("/%2e%2e/etc/passwd", true, "-", None),
        ("//..", true, "-", None),
        ("//../..", false, "-", None),
        ("/%00", true, "-", None),
        ("/a%", true, "-", None),
        ("/a%1", true, "-", None),
        ("/a%1g", true, "-", None),
        ("/a%%41", true, "-", None),
        ("a", true, "-", None),
        ("*", true, "-", None),
    ];

    #[test]
    fn targets_become_places() {
        for (target, merge, path, query) in TARGETS {
            let found = normalize_target(target.as_bytes(), *merge);
            let shown = found.map(|found| {
                (String::from_utf8(found.path.into_owned()).unwrap(), found.query.map(|query| query.to_vec()))
            });
            let expected = match *path {
                "-" => Err(BadPath),
                _ => Ok((path.to_string(), query.map(|query| query.as_bytes().to_vec()))),
            };
            assert_eq!(shown, expected, "{target} {merge}");
        }
    }

    #[test]
    fn plain_targets_are_borrowed_and_flags_tell_what_was_there() {
        let of = |target: &'static str| normalize_target(target.as_bytes(), true).unwrap();
        assert!(matches!(of("/a/b.c?x=%20//..").path, Cow::Borrowed(_)));
        assert!(matches!(of("?x").path, Cow::Borrowed(b"/")));
        let flags = |target| (of(target).quoted, of(target).plus);
        assert_eq!(flags("/a"), (false, false));
        assert_eq!(flags("/a+b"), (false, true));
        assert_eq!(flags("/a//b"), (false, false));
        assert_eq!(flags("/%61"), (true, false));
        assert_eq!(flags("/%2b"), (true, true));
        assert_eq!(flags("/a?%2b+"), (false, false));
    }

    #[test]
    fn places_named_inside_are_not_repaired() {
        let of = |target: &'static str| {
            internal_target(target.as_bytes())
                .map(|(path, query)| (String::from_utf8(path.into_owned()).unwrap(), query.is_some()))
        };
        assert_eq!(of("/a%20b?c"), Ok(("/a b".into(), true)));
        assert_eq!(of("@name"), Ok(("@name".into(), false)));
        assert_eq!(of("/a%zzb"), Ok(("/a%zzb".into(), false)));
        for bad in ["", "?a", "../a", "/..", "/a/../b", "/a/%2e%2e/b", "/a/..%2fb", "/a%00b"] {
            assert_eq!(of(bad), Err(BadPath), "{bad}");
        }
    }
}
