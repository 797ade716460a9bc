//! Is this a host with an optional port (RFC 9110 section 7.2, RFC 3986 section 3.2.2)? Used for `Host` fields and
//! absolute targets.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Longest host with port, in bytes.
const LONGEST: usize = 255;

/// Is it a name, an IPv4 address or an IPv6 address in brackets, with an optional port from 1 to 65535?
///
/// An empty port (`a.test:`) is legal. User information, paths, commas and spaces are not.
#[inline]
pub fn is_valid_host(host: &[u8]) -> bool {
    let (name, port) = split_port(host);
    host.len() <= LONGEST && is_valid_name(name) && port.is_none_or(is_valid_port)
}

/// The host as names are compared: in lower case, without the port, without the dot that ends a full name.
pub fn host_name(host: &[u8]) -> Cow<'_, [u8]> {
    let name = split_port(host).0;
    let name = name.strip_suffix(b".").unwrap_or(name);
    match name.iter().any(u8::is_ascii_uppercase) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

/// Is there something between all dots? One may end the name.
pub(crate) fn has_labels(host: &[u8]) -> bool {
    let name = split_port(host).0;
    let name = name.strip_suffix(b".").unwrap_or(name);
    !name.is_empty()
        && (name.starts_with(b"[") || name.split(|byte| *byte == b'.').all(|label| !label.is_empty()))
}

/// Does it consist of a colon and then only of letters, digits, dots and dashes?
pub(crate) fn is_like_host(host: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    host.len() <= LONGEST
        && host.split_first().is_some_and(|(first, rest)| *first == b':' && rest.iter().all(plain))
}

/// The host and what follows its last colon, if there is a port part at all.
pub fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let name_ends = match host.first() {
        Some(b'[') => memchr::memchr(b']', host).map_or(host.len(), |at| at + 1),
        _ => memchr::memchr(b':', host).unwrap_or(host.len()),
    };
    match host[name_ends..].split_first() {
        Some((b':', port)) => (&host[..name_ends], Some(port)),
        Some(_) => (host, None),
        None => (host, None),
    }
}

fn is_valid_name(name: &[u8]) -> bool {
    match name {
        [] => false,
        [b'[', b'v' | b'V', inner @ .., b']'] => is_future_address(inner),
        [b'[', inner @ .., b']'] => str::from_utf8(inner).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
        _ => name.iter().all(|byte| REG_NAME[*byte as usize]) && percent_is_encoded(name),
    }
}

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )` (RFC 3986 section 3.2.2).
fn is_future_address(address: &[u8]) -> bool {
    let Some(dot) = memchr::memchr(b'.', address) else { return false };
    let (version, rest) = (&address[..dot], &address[dot + 1..]);
    let is_good = |byte: &u8| *byte != b'%' && (REG_NAME[*byte as usize] || b",:".contains(byte));
    !version.is_empty()
        && version.iter().all(u8::is_ascii_hexdigit)
        && !rest.is_empty()
        && rest.iter().all(is_good)
}

fn is_valid_port(port: &[u8]) -> bool {
    let digits = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    let number =
        port.iter().fold(0_u32, |sum, digit| sum.wrapping_mul(10).wrapping_add(u32::from(*digit & 15)));
    port.is_empty() || (digits && (1..=65_535).contains(&number))
}

fn percent_is_encoded(name: &[u8]) -> bool {
    memchr::memchr_iter(b'%', name)
        .all(|at| name.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

/// `unreserved`, `sub-delims` without the comma, and `%`.
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~%!$&'()*+;=";
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
    fn hosts() {
        let good = [
            "a.test",
            "a.test.",
            "A.TEST:80",
            "a.test:",
            "10.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b.test",
            "localhost",
            "a.test:65535",
            "xn--bcher-kva.test",
            "a%20b",
        ];
        for host in good {
            assert!(is_valid_host(host.as_bytes()), "{host}");
        }
        let bad = [
            "",
            ":80",
            "a.test:0",
            "a.test:65536",
            "a.test:99999",
            "a.test:8x",
            "a.test:+80",
            "a.test:80:80",
            "u@a.test",
            "a.test/x",
            "a.test?x",
            "a.test#x",
            "a b",
            "a,b",
            "[::1",
            "::1",
            "[::g]",
            "[]",
            "[::1]x",
            "a%2",
            "a%zz",
            "b\u{fc}cher.test",
            "a\\b",
            "[::1]:0",
            "<a>",
            "a.test:000080",
        ];
        for host in bad {
            assert!(!is_valid_host(host.as_bytes()), "{host}");
        }
        assert!(!is_valid_host(&[b'a'; 256]));
        assert!(is_valid_host(&[b'a'; 255]));
        assert!(!is_valid_host(b"a\0"));
    }

    #[test]
    fn names_are_compared_plain() {
        for (host, name) in
            [("A.b", "a.b"), ("a.:80", "a"), ("[::A]:80", "[::a]"), ("a:", "a"), ("a..", "a.")]
        {
            assert_eq!(host_name(host.as_bytes()).as_ref(), name.as_bytes(), "{host}");
        }
        for good in ["a", "a.b", "a.b.", "a.b.:80", "[::1.2.3.4]", "[v1.a..b]:1"] {
            assert!(has_labels(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", ".a", "a..", "a..b", "..:80", ":80"] {
            assert!(!has_labels(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn addresses_of_the_future() {
        for good in ["[v1.a]", "[V0aF.!$&'()*+,;=-._~:]:80"] {
            assert!(is_valid_host(good.as_bytes()), "{good}");
        }
        for bad in ["[v.a]", "[v1.]", "[v1]", "[vg.a]", "[v1.a%20]", "[v1.a/]"] {
            assert!(!is_valid_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn ports_are_split_off() {
        assert_eq!(split_port(b"a:80"), (&b"a"[..], Some(&b"80"[..])));
        assert_eq!(split_port(b"[::1]:80"), (&b"[::1]"[..], Some(&b"80"[..])));
        assert_eq!(split_port(b"[::1]"), (&b"[::1]"[..], None));
        assert_eq!(split_port(b"a:"), (&b"a"[..], Some(&b""[..])));
    }
}
