//! Content types by the ending of a name.

use plan::host::{Charset, Types};
use wire::http1::{Fields, Name};

/// Longest ending that is looked up, bytes.
const LONGEST: usize = 64;

/// The content type of a file by the last part of its path; empty when none is said.
pub fn of<'t>(types: &'t Types, path: &[u8]) -> &'t str {
    let found = ending(path).and_then(|ending| {
        let mut small = [0u8; LONGEST];
        let small = small.get_mut(..ending.len())?;
        small.copy_from_slice(ending);
        small.make_ascii_lowercase();
        types.by_extension.get(&*small)
    });
    found.map_or(&types.default, |found| found)
}

/// Names the charset in the content type of an answer that has none, if it is of a type that is text.
pub fn name_charset(charset: &Charset, answer: &mut Fields) {
    let Some(kind) = answer.find(Name::ContentType) else { return };
    let is_wanted = |types: &[Box<str>]| types.iter().any(|one| kind.eq_ignore_ascii_case(one.as_bytes()));
    let fits = charset.types.as_deref().is_none_or(is_wanted) && !kind.contains(&b';');
    if fits && answer.find(Name::ContentEncoding).is_none() {
        let named = [kind, b"; charset=", charset.name.as_bytes()].concat();
        answer.set(b"Content-Type", &named);
    }
}

/// What stands behind the last dot of the last part, without a dot at its front: `.profile` has none.
fn ending(path: &[u8]) -> Option<&[u8]> {
    let name = &path[path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)..];
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    Some(&name[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_decide() {
        let types = Types {
            by_extension: [("html", "text/html"), ("gz", "application/gzip"), ("profile", "no/no")]
                .map(|(ending, kind)| (ending.as_bytes().into(), kind.into()))
                .into(),
            default: "text/plain".into(),
        };
        for (path, expected) in [
            ("/a.html", "text/html"),
            ("/a.HtMl", "text/html"),
            ("/a.tar.gz", "application/gzip"),
            ("/a.html/b", "text/plain"),
            ("/a", "text/plain"),
            ("/a.", "text/plain"),
            ("/.profile", "text/plain"),
            ("", "text/plain"),
        ] {
            assert_eq!(of(&types, path.as_bytes()), expected, "{path}");
        }
        let long = format!("/a.{}", "x".repeat(1000));
        assert_eq!(of(&types, long.as_bytes()), "text/plain");
    }

    #[test]
    fn charsets_are_named_for_text() {
        let charset = Charset { name: "utf-8".into(), types: Some(["text/html".into()].into()) };
        for (kind, expected) in [
            ("text/html", "text/html; charset=utf-8"),
            ("text/html; charset=latin1", "text/html; charset=latin1"),
            ("image/png", "image/png"),
        ] {
            let mut fields = Fields::new();
            fields.append(b"Content-Type", kind.as_bytes());
            name_charset(&charset, &mut fields);
            assert_eq!(fields.find(Name::ContentType), Some(expected.as_bytes()));
        }
    }
}
