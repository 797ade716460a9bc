//! What differs from run to run is taken out of lines, and nothing else.
//!
//! A case that shows something of its own which differs writes a `~` before it: `~123` and `~a1b2` become
//! `~N`; `~-1` stays.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Places and what stands there, in the order in which they are replaced.
static LOG: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let table = [
        (r"^<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ", "<$1>DATE "),
        (r"\b\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?", "DATE"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", "DATE"),
        // Process ids: of RFC 3164 and of RFC 5424.
        (r"\[\d+\]: ", "[PID]: "),
        (r"^(<\d+>1 DATE \S+ \S+) \d+ ", "$1 PID "),
        (r"check duration: \d+ms", "check duration: Nms"),
        (r"\b\d+ sessions active", "N sessions active"),
        // How HAProxy 2.6 said what today's calls by name.
        (r#"info: "Connection refused""#, r#"info: "ECONNREFUSED returned by OS""#),
        // How much goes on at the same moment depends on what is just being closed; retries stay.
        (r" ([A-Za-z-]{2,4}) \d+/\d+/\d+/\d+/(\+?\d+) ", " $1 N/N/N/N/$2 "),
    ];
    table.map(|(pattern, to)| (Regex::new(pattern).unwrap(), to)).into()
});

/// Timers and the number of bytes. HAProxy counts bytes of its own inner form of an answer; `logs.rs`
/// holds us to what went out.
static HTTP_TIMERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r" (-?\d+/-?\d+/-?\d+/-?\d+/\+?\d+) (-1|\d{3}) \+?\d+ ").unwrap());
static TCP_TIMERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r" (-?\d+/-?\d+/\+?\d+) (\+?\d+) ([A-Za-z-]{2}) ").unwrap());

/// A log line as it is compared.
pub fn log_line(line: &str) -> String {
    let line =
        LOG.iter().fold(line.to_owned(), |line, (pattern, to)| pattern.replace(&line, *to).into_owned());
    let line = HTTP_TIMERS
        .replace(&line, |found: &Captures<'_>| format!(" {} {} BYTES ", timers(&found[1]), &found[2]));
    TCP_TIMERS
        .replace(&line, |found: &Captures<'_>| format!(" {} BYTES {} ", timers(&found[1]), &found[3]))
        .into_owned()
}

/// `0/3/-1` becomes `t/t/-1`.
fn timers(field: &str) -> String {
    let one = |timer: &str| if timer == "-1" { "-1" } else { "t" };
    field.split('/').map(one).collect::<Vec<_>>().join("/")
}

/// What nginx says of itself differs between versions.
static NGINX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"nginx/\d+\.\d+\.\d+").unwrap());

/// A date that depends on when the case is played; `max-age` tells how far it is.
static NEAR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"expires: \w+, \d+ \w+ 20[2-3][0-6] .*").unwrap());

/// A line of what nginx tells, or we in its place.
pub fn nginx_line(line: &str) -> String {
    let line = NGINX.replace_all(line, "nginx/VERSION");
    NEAR.replace(&line, "expires: NEAR").into_owned()
}

static OWN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let table = [
        // Other ports are the clients' and, in answers of the runtime socket, places in memory.
        (r"\b(127\.\d+\.\d+\.\d+|::1):\d+", "$1:PORT"),
        (r"\b0x[0-9a-f]{6,}", "PLACE"),
        (r"\bexp=\d+", "exp=N"),
        // HAProxy tells it since 2.7, and it is always this one.
        (r" shard=0\b", ""),
        (r"~[0-9A-Za-z][0-9A-Za-z.]*", "~N"),
    ];
    table.map(|(pattern, to)| (Regex::new(pattern).unwrap(), to)).into()
});

/// Any line, after the blanks of the case have their names back.
pub fn any_line(line: &str, names: &[(String, String)]) -> String {
    let named = names.iter().fold(line.to_owned(), |line, (value, name)| replace_whole(&line, value, name));
    OWN.iter().fold(named, |line, (pattern, to)| pattern.replace_all(&line, *to).into_owned())
}

/// Like `str::replace`, but leaves a value alone that is only a part of a longer number.
fn replace_whole(line: &str, value: &str, name: &str) -> String {
    let digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    let (mut named, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(place) = rest.find(value) {
        let (before, found) = rest.split_at(place);
        let behind = &found[value.len()..];
        let longer = digit(before.chars().last().or_else(|| named.chars().last()))
            && digit(value.chars().next())
            || digit(value.chars().last()) && digit(behind.chars().next());
        named.push_str(before);
        named.push_str(if longer { value } else { name });
        rest = behind;
    }
    named + rest
}

/// How a header of the PROXY protocol's second version begins.
pub const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Such a header in words, the client's port left out.
pub fn proxy_v2(header: &[u8]) -> String {
    let command = header.get(12).copied().unwrap_or_default();
    let family = header.get(13).copied().unwrap_or_default();
    let rest = header.get(16..).unwrap_or_default();
    if family != 0x11 || rest.len() < 12 {
        return format!("PROXY v2 {command:#x} {family:#x} {}", super::escape::shown(rest));
    }
    let address =
        |place: usize| rest[place..place + 4].iter().map(u8::to_string).collect::<Vec<_>>().join(".");
    let port = u16::from_be_bytes([rest[10], rest[11]]);
    let more = super::escape::shown(&rest[12..]);
    format!("PROXY v2 {command:#x} TCP4 {} {}:{port} {more}", address(0), address(4))
}

#[cfg(test)]
mod tests {
    use super::any_line;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let names = [("127.0.0.1:1234", "{{web1}}"), ("1234", "{{web1-port}}")];
        let names = names.map(|(value, name)| (value.to_owned(), name.to_owned()));
        assert_eq!(any_line(line, &names), expected);
    }

    #[test]
    fn a_port_is_named_only_where_it_stands_alone() {
        check("to 127.0.0.1:1234 and 1234", "to {{web1}} and {{web1-port}}");
        check("id 51234, 12345, 12341234", "id 51234, 12345, 12341234");
        check("from 127.0.0.1:12345", "from 127.0.0.1:PORT");
    }
}
