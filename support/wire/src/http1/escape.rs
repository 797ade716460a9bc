//! Percent-encoding out and back in, by where the text goes; and text into HTML. Called by `web` for `Location`, proxied
//! targets, arguments and error pages.

use std::borrow::Cow;

/// Where an escaped text goes. Control bytes, bytes from 0x7F and ``"<>\^`{|}`` and space are escaped everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Into the path of a target or of `Location`: also `#`, `%`, `?`.
    Path,
    /// Into an argument of a query: also `#`, `%`, `&`, `+`, `;`, `?`.
    Argument,
    /// Into one part of a path or query: everything but letters, digits and `-._~`.
    Component,
}

impl Escape {
    /// Must this byte be escaped there?
    pub fn takes(self, byte: u8) -> bool {
        let unsafe_anywhere =
            matches!(byte, 0..=b' ' | 0x7F.. | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{'..=b'}');
        match self {
            Escape::Path => unsafe_anywhere || matches!(byte, b'#' | b'%' | b'?'),
            Escape::Argument => unsafe_anywhere || matches!(byte, b'#' | b'%' | b'?' | b'&' | b'+' | b';'),
            Escape::Component => !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
        }
    }
}

/// Percent-encodes a text for its place; borrowed when nothing needs it. At most three times as long.
pub fn escape(text: &[u8], place: Escape) -> Cow<'_, [u8]> {
    match text.iter().position(|byte| place.takes(*byte)) {
        None => Cow::Borrowed(text),
        Some(first) => {
            let mut out = Vec::with_capacity(text.len() + 16);
            out.extend_from_slice(&text[..first]);
            escape_into(&mut out, &text[first..], place);
            Cow::Owned(out)
        }
    }
}

/// As [`escape`], behind what is in `out`.
pub fn escape_into(out: &mut Vec<u8>, text: &[u8], place: Escape) {
    for byte in text {
        match place.takes(*byte) {
            true => push_percent(out, *byte),
            false => out.push(*byte),
        }
    }
}

/// Writes a byte as `%XX`.
pub(crate) fn push_percent(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// Undoes percent-encoding, once. A `%` without two hexadecimal digits behind it stays as it is.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, decode(after)) {
            (b'%', Some((decoded, after))) => {
                out.push(decoded);
                rest = after;
            }
            _ => out.push(*byte),
        }
    }
    out
}

/// Undoes percent-encoding in the target of a redirect up to the first `?`, encoded or not: visible characters above
/// `%` are decoded, all others stay encoded, so no line can be injected.
pub fn unescape_redirect(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, decode(after)) {
            (b'%', Some((decoded @ b'&'..=b'~', after))) => {
                out.push(decoded);
                rest = after;
            }
            _ => out.push(*byte),
        }
        if out.last() == Some(&b'?') {
            break;
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The byte that two hexadecimal digits at the start stand for, and what follows them.
pub(crate) fn decode(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    match text {
        [high, low, rest @ ..] => Some((digit(high)? << 4 | digit(low)?, rest)),
        _ => None,
    }
}

/// Makes a text harmless in HTML, between tags and in quoted attributes; borrowed when it is already.
pub fn escape_html(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| entity(*byte).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text {
        match entity(*byte) {
            Some(entity) => out.extend_from_slice(entity),
            None => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

fn entity(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'"' => Some(b"&quot;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &[u8], expected: &str) {
        assert_eq!(String::from_utf8_lossy(found), expected);
    }

    #[test]
    fn each_place_has_its_own_bytes() {
        let strict = b"/a \"#%<>?\\^`{|}";
        check(&escape(strict, Escape::Path), "/a%20%22%23%25%3C%3E%3F%5C%5E%60%7B%7C%7D");
        check(&escape(b"/a&b+c;d=e:@!$'()*,[]~", Escape::Path), "/a&b+c;d=e:@!$'()*,[]~");
        check(
            &escape(b"a&b+c;d=e/?%# \r\n\x7f\xfc", Escape::Argument),
            "a%26b%2Bc%3Bd=e/%3F%25%23%20%0D%0A%7F%FC",
        );
        check(&escape(b"aZ09-._~/:&=+ ", Escape::Component), "aZ09-._~%2F%3A%26%3D%2B%20");
        assert!(matches!(escape(b"/plain/path", Escape::Path), Cow::Borrowed(_)));
    }

    #[test]
    fn back_in() {
        check(&unescape(b"/a%20b%2Fc?d%3f"), "/a b/c?d?");
        check(&unescape(b"%zz%1%"), "%zz%1%");
        check(&unescape(b"%2541"), "%41");
    }

    #[test]
    fn redirects_keep_what_could_inject() {
        for (text, expected) in [
            ("http%3A%2F%2Fexample.com%2F%3Ffrom", "http://example.com/?from"),
            ("http%3A%2F%2Fexample.com%0D%0Asplit", "http://example.com%0D%0Asplit"),
            ("http://h/%3Ffrom%3Dblah", "http://h/?from%3Dblah"),
            ("http://h/blah%20%2Fblah?%41", "http://h/blah%20/blah?%41"),
            ("/%25%22%7f%80%41", "/%25%22%7f%80A"),
            ("/%4", "/%4"),
        ] {
            check(&unescape_redirect(text.as_bytes()), expected);
        }
    }

    #[test]
    fn html() {
        check(&escape_html(b"<a href=\"x\">&amp;"), "&lt;a href=&quot;x&quot;&gt;&amp;amp;");
        assert!(matches!(escape_html(b"plain 'text'"), Cow::Borrowed(_)));
    }
}
