//! `Cache-Control` of answers (RFC 9111, 5.2.2; RFC 5861).

/// Longest time that counts, seconds: longer ones are this (RFC 9111, 1.2.2).
const LONGEST: u64 = 1 << 31;

/// What the directives of an answer say. Of repeated ones the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store`, `no-cache` or `private`, with or without field names: a shared cache that asks the server each
    /// time gains nothing.
    pub forbids: bool,
    /// `public`, `s-maxage` or `must-revalidate`: also answers to requests with `Authorization` may be kept.
    pub permits_authorized: bool,
    /// `s-maxage`, or else `max-age`: seconds.
    pub max_age: Option<Age>,
    /// `stale-while-revalidate`, seconds.
    pub while_revalidate: Option<u64>,
    /// `stale-if-error`, seconds.
    pub if_error: Option<u64>,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
}

/// How long an answer is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// So many seconds.
    Seconds(u64),
    /// What was said is no number: the answer counts as stale.
    Unclear,
}

/// Reads the directives of all `Cache-Control` fields.
pub fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Directives {
    let mut said = Directives::default();
    let mut shared = None;
    let mut private = None;
    for directive in values.flat_map(directives) {
        let (name, value) = split(directive);
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" | b"no-cache" | b"private" => said.forbids = true,
            b"public" => said.permits_authorized = true,
            b"must-revalidate" => {
                said.permits_authorized = true;
                said.must_revalidate = true;
            }
            b"proxy-revalidate" => said.must_revalidate = true,
            b"s-maxage" => {
                said.permits_authorized = true;
                shared = shared.or(Some(age(value)));
            }
            b"max-age" => private = private.or(Some(age(value))),
            b"stale-while-revalidate" => said.while_revalidate = said.while_revalidate.or(seconds(value)),
            b"stale-if-error" => said.if_error = said.if_error.or(seconds(value)),
            _ => {}
        }
    }
    said.max_age = shared.or(private);
    said
}

/// Splits at commas outside of quotes.
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    value
        .split(move |byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => return true,
                _ => {}
            }
            false
        })
        .map(<[u8]>::trim_ascii)
        .filter(|directive| !directive.is_empty())
}

fn split(directive: &[u8]) -> (&[u8], &[u8]) {
    match directive.iter().position(|byte| *byte == b'=') {
        Some(at) => (directive[..at].trim_ascii(), directive[at + 1..].trim_ascii()),
        None => (directive, b""),
    }
}

fn age(value: &[u8]) -> Age {
    seconds(value).map_or(Age::Unclear, Age::Seconds)
}

/// A number of seconds, also in quotes.
pub(crate) fn seconds(value: &[u8]) -> Option<u64> {
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum = value.iter().fold(0u64, |sum, b| sum.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    Some(sum.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let check = |fields: &[&str], expected: Directives| {
            assert_eq!(read(fields.iter().map(|f| f.as_bytes())), expected, "{fields:?}");
        };
        let none = Directives::default();
        let fresh = |n| Directives { max_age: Some(Age::Seconds(n)), ..none };
        check(&[], none);
        check(&["max-age=60"], fresh(60));
        check(&["Max-Age = 60 , max-age=5"], fresh(60));
        check(&["max-age=\"7\""], fresh(7));
        check(&["max-age=9223372036854775808"], fresh(LONGEST));
        check(&["max-age=x"], Directives { max_age: Some(Age::Unclear), ..none });
        check(&["max-age=-1"], Directives { max_age: Some(Age::Unclear), ..none });
        check(&["max-age=1, s-maxage=10"], Directives { permits_authorized: true, ..fresh(10) });
        check(&["max-age=1", "no-cache"], Directives { forbids: true, ..fresh(1) });
        check(&["private=\"a, no-x\", max-age=1"], Directives { forbids: true, ..fresh(1) });
        check(&["x=\"no-store, private\", max-age=1"], fresh(1));
        check(&["no-storex, xno-cache, community=private"], none);
        check(
            &["max-age=1, stale-while-revalidate=2, stale-if-error=3, proxy-revalidate"],
            Directives { while_revalidate: Some(2), if_error: Some(3), must_revalidate: true, ..fresh(1) },
        );
        check(&["public"], Directives { permits_authorized: true, ..none });
        check(&[",, ,"], none);
        check(&["x=\"\\\", private"], none);
    }
}
