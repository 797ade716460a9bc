//! Classes of bytes in HTTP/1 heads, as tables. Used by every file of this module.

/// A byte of a token: method, field name, coding (RFC 9110 section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Is it a token: at least one byte, all of them token bytes?
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// A byte that may stand in a field value: visible ASCII, space, tab, obs-text (RFC 9110 section 5.5).
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// A byte that may stand in a request target: visible ASCII without `#`.
pub(crate) const fn is_target_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'#'
}

/// Optional white space (RFC 9110 section 5.6.3).
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Without the white space at both ends.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// The elements of a comma list, trimmed, empty ones included.
pub fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim)
}

/// Does the comma list name this element, in any case?
pub(crate) fn list_has(list: &[u8], element: &[u8]) -> bool {
    tokens(list).any(|token| token.eq_ignore_ascii_case(element))
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_rfc_tokens() {
        assert!(is_token(b"X-Forwarded-For") && is_token(b"!#$%&'*+-.^_`|~09azAZ"));
        for bad in [&b""[..], b"a b", b"a:", b"a\0", b"\x85", b"(x)", b"a/b", b"\"a\"", b"a@"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn lists_keep_empty_elements() {
        let all: Vec<_> = tokens(b" a ,,\tb").collect();
        assert_eq!(all, [&b"a"[..], b"", b"b"]);
        assert!(list_has(b"close, Upgrade", b"upgrade"));
        assert!(!list_has(b"closed", b"close"));
    }
}
