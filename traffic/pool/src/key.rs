//! Which bytes of a request are hashed. Called by `web` before [`Pool::admit`](crate::Pool::admit).

use plan::pool::UriHash;

/// The part of a request target that `balance uri` hashes: the path without the query, as far as `kind` says.
///
/// Takes any form of target; scheme and authority are left out only with `path_only`.
pub fn uri_key(target: &[u8], kind: UriHash) -> &[u8] {
    let target = if kind.path_only { without_authority(target) } else { target };
    let target = &target[..kind.length.unwrap_or(target.len()).min(target.len())];
    let target = if kind.whole { target } else { until(target, b'?', 1) };
    match kind.depth {
        Some(depth) => until(target, b'/', depth + 1),
        None => target,
    }
}

/// The label before the last dot of a domain name: `example` of `www.example.com:80`. Without a dot, all of it.
pub fn main_domain(host: &[u8]) -> &[u8] {
    let Some(end) = host.iter().rposition(|&b| b == b'.') else { return host };
    let start = host[..end].iter().rposition(|&b| b == b'.').map_or(0, |dot| dot + 1);
    &host[start..end]
}

/// Everything before the `nth` `stop`.
fn until(bytes: &[u8], stop: u8, nth: usize) -> &[u8] {
    let end = bytes.iter().enumerate().filter(|&(_, &b)| b == stop).nth(nth - 1).map(|(at, _)| at);
    &bytes[..end.unwrap_or(bytes.len())]
}

fn without_authority(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme) = target.windows(3).position(|w| w == b"://") else { return target };
    let rest = &target[scheme + 3..];
    rest.iter().position(|&b| b == b'/').map_or(b"/", |slash| &rest[slash..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, kind: UriHash, expected: &str) {
        assert_eq!(uri_key(target.as_bytes(), kind), expected.as_bytes(), "{target} {kind:?}");
    }

    #[test]
    fn uri_keys() {
        let plain = UriHash::default();
        check("/a/b?q=1", plain, "/a/b");
        check("http://h/a?q", plain, "http://h/a");
        check("/a?q", UriHash { whole: true, ..plain }, "/a?q");
        check("http://h:80/a?q", UriHash { path_only: true, ..plain }, "/a");
        check("http://h", UriHash { path_only: true, ..plain }, "/");
        check("*", UriHash { path_only: true, ..plain }, "*");
        check("/a/b/c", UriHash { depth: Some(1), ..plain }, "/a");
        check("/a/b/c", UriHash { depth: Some(2), ..plain }, "/a/b");
        check("/a/b/c", UriHash { depth: Some(9), ..plain }, "/a/b/c");
        check("/abcdef", UriHash { length: Some(3), ..plain }, "/ab");
        check("", plain, "");
    }

    #[test]
    fn main_domains() {
        for (host, expected) in [
            ("www.example.com", "example"),
            ("example.com:8080", "example"),
            ("localhost", "localhost"),
            ("a.b.c.d", "c"),
            (".com", ""),
            ("", ""),
        ] {
            assert_eq!(main_domain(host.as_bytes()), expected.as_bytes(), "{host}");
        }
    }
}
