//! Requests that must be refused, and requests that must not. Every case is read whole and in every cut.

#![allow(clippy::unwrap_used, clippy::panic)]

use wire::http1::{
    BodyFraming, HeadError, HeadErrorKind, HeadErrorKind::*, Limits, Progress, RequestHead, Scheme, Version,
    parse_request,
};

type Outcome = Result<(RequestHead, usize), HeadError>;

/// Feeds the input up to each cut, then whole. `None` if more would have to come.
fn feed(input: &[u8], cuts: impl Iterator<Item = usize>, limits: &Limits) -> Option<Outcome> {
    let mut head = RequestHead::default();
    for end in cuts.chain([input.len()]) {
        match parse_request(&input[..end], limits, &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { consumed }) => return Some(Ok((head, consumed))),
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

fn shown(outcome: &Option<Outcome>) -> String {
    match outcome {
        None => "partial".into(),
        Some(Err(error)) => format!("{error:?}"),
        Some(Ok((head, consumed))) => {
            let fields: Vec<_> = head
                .fields
                .pairs()
                .map(|(n, v)| format!("{}={}", n.escape_ascii(), v.escape_ascii()))
                .collect();
            let (method, target) = (head.method().escape_ascii(), head.target().escape_ascii());
            format!("{method} {target} {:?} {:?} {consumed} {fields:?}", head.version, head.framing())
        }
    }
}

fn read_with(input: &[u8], limits: &Limits) -> Option<Outcome> {
    let whole = feed(input, std::iter::empty(), limits);
    let bytewise = feed(input, 0..input.len(), limits);
    assert_eq!(shown(&bytewise), shown(&whole), "byte by byte: {}", input.escape_ascii());
    if input.len() < 600 {
        for cut in 0..input.len() {
            let halves = feed(input, [cut].into_iter(), limits);
            assert_eq!(shown(&halves), shown(&whole), "cut at {cut}: {}", input.escape_ascii());
        }
    }
    whole
}

fn read(input: &[u8]) -> Option<Outcome> {
    read_with(input, &Limits::default())
}

fn good(input: &[u8]) -> RequestHead {
    match read(input) {
        Some(Ok((head, _))) => head,
        other => panic!("{}: {}", input.escape_ascii(), shown(&other)),
    }
}

fn refused(input: &[u8], kind: HeadErrorKind, status: u16) {
    match read(input) {
        Some(Err(error)) => {
            assert_eq!((error.kind, error.status), (kind, status), "{}", input.escape_ascii());
        }
        other => panic!("not refused: {}: {}", input.escape_ascii(), shown(&other)),
    }
}

/// A GET with these further lines.
fn with(lines: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n\r\n").into_bytes()
}

/// A request with this first line.
fn first(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a.test\r\n\r\n").into_bytes()
}

#[test]
fn a_usual_request_is_taken_apart() {
    let input = b"GET /a/b?c=d?e HTTP/1.1\r\nHost: A.test:8080\r\nX-Tag: \t one two \t\r\nEmpty:\r\nx-tag:3\r\n\r\nrest";
    let Some(Ok((head, consumed))) = read(input) else { panic!("refused") };
    assert_eq!(consumed, input.len() - 4);
    assert_eq!((head.method(), head.target()), (&b"GET"[..], &b"/a/b?c=d?e"[..]));
    assert_eq!((head.path(), head.query()), (&b"/a/b"[..], Some(&b"c=d?e"[..])));
    assert_eq!((head.host(), head.version), (&b"A.test:8080"[..], Version::Http11));
    assert_eq!(head.fields.find_str(b"x-tag").collect::<Vec<_>>(), [&b"one two"[..], b"3"]);
    assert_eq!(head.fields.find_str(b"empty").collect::<Vec<_>>(), [b""]);
    assert!(head.keep_alive() && head.is_idempotent() && !head.is_head() && !head.is_absolute());
    assert_eq!(head.framing(), BodyFraming::None);
}

#[test]
fn nothing_is_said_before_the_head_is_whole() {
    for input in [
        &b""[..],
        b"\r",
        b"\r\n",
        b"G",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: a.test\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r",
    ] {
        assert!(read(input).is_none(), "{}", input.escape_ascii());
    }
}

#[test]
fn a_head_is_reused_without_leftovers() {
    let mut head = RequestHead::default();
    let limits = Limits::default();
    let one = b"POST /1 HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n";
    let two = b"GET http://b.test/2 HTTP/1.1\r\nHost: b.test\r\nExpect: 100-continue\r\n\r\n";
    parse_request(one, &limits, &mut head).unwrap();
    assert!(head.keep_alive() && head.framing() == BodyFraming::Length(3));
    parse_request(two, &limits, &mut head).unwrap();
    assert!(head.expects_continue() && head.is_absolute() && head.framing() == BodyFraming::None);
    parse_request(b"GET", &limits, &mut head).unwrap();
    head.clear();
    parse_request(&first("GET /3 HTTP/1.1"), &limits, &mut head).unwrap();
    assert_eq!((head.target(), head.fields.len(), head.expects_continue()), (&b"/3"[..], 1, false));
    assert!(parse_request(b"\0", &limits, &mut head).is_err());
    parse_request(&first("GET /4 HTTP/1.1"), &limits, &mut head).unwrap();
    assert_eq!(head.target(), b"/4");
}

#[test]
fn line_ends_are_crlf() {
    for input in [
        "GET /x HTTP/1.1\nHost: a.test\n\n",
        "GET /x HTTP/1.1\nHost: a.test\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\nX: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\nEmpty:\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\n\n",
        "GET /x HTTP/1.1\r\nHost: a.test\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\n\nGET /y HTTP/1.1\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\rX: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\nX: a\rb\r\n\r\n",
        "GET /x HTTP/1.1\rHost: a.test\r\n\r\n",
        "GET /x HTTP/1.1\r\r\nHost: a.test\r\n\r\n",
        "\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ] {
        refused(input.as_bytes(), BadSyntax, 400);
    }
    refused(b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", BadMethod, 400);
    assert_eq!(good(b"\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").target(), b"/x");
}

#[test]
fn folds_and_white_space_are_refused() {
    refused(&with("X: a\r\n b"), BadSyntax, 400);
    refused(&with("X: a\r\n\tb"), BadSyntax, 400);
    refused(&with(" X: a"), BadSyntax, 400);
    refused(&with("X: a\r\n \r\nY: b"), BadSyntax, 400);
    refused(b"GET /x HTTP/1.1\r\n Host: a.test\r\n\r\n", BadSyntax, 400);
    refused(&with("X : a"), BadName, 400);
    refused(&with("X\t: a"), BadName, 400);
}

#[test]
fn names_are_tokens_and_values_are_printable() {
    for line in ["", "\"X\"", "X@", "X[", "(X)", "X/Y", "X Y", "X\u{85}", "X\u{e9}"] {
        refused(&with(&format!("{line}: a")), BadName, 400);
    }
    refused(&with("no colon"), BadSyntax, 400);
    for byte in (0..32).chain([127]).filter(|byte| ![b'\t', b'\r', b'\n'].contains(byte)) {
        refused(
            &[b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: a", &[byte][..], b"b\r\n\r\n"].concat(),
            BadSyntax,
            400,
        );
        refused(
            &[b"GET /x HTTP/1.1\r\nHost: a.test\r\nX", &[byte][..], b": b\r\n\r\n"].concat(),
            BadSyntax,
            400,
        );
    }
    let head = good(b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: \xff\tcaf\xe9\r\n\r\n");
    assert_eq!(head.fields.find_str(b"x").next(), Some(&b"\xff\tcaf\xe9"[..]));
}

#[test]
fn methods() {
    refused(&first("G(E)T / HTTP/1.1"), BadMethod, 400);
    refused(b"GE\0T / HTTP/1.1\r\nHost: a.test\r\n\r\n", BadSyntax, 400);
    refused(&first("get / HTTP/1.1"), UnknownMethod, 501);
    assert!(good(&first("CONNECT a.test:443 HTTP/1.1")).is_connect());
    refused(&first("TRACE / HTTP/1.1"), RefusedMethod, 405);
    refused(&[b'A'; 70_000], UnknownMethod, 501);
    for method in ["PROPFIND", "PATCH", "M-SEARCH", "QUERY"] {
        assert_eq!(good(&first(&format!("{method} / HTTP/1.1"))).method(), method.as_bytes());
    }
    let idempotent = |method: &str| good(&first(&format!("{method} / HTTP/1.1"))).is_idempotent();
    assert!(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].into_iter().all(idempotent));
    assert!(!["POST", "PATCH", "LOCK"].into_iter().any(idempotent));
}

#[test]
fn the_first_bytes_already_tell() {
    for (start, kind) in [
        (&b"\x16"[..], BadSyntax),
        (b"\0", BadSyntax),
        (b" ", BadSyntax),
        (b"\xef\xbb\xbf", BadSyntax),
        (b"\x80", BadSyntax),
        (b":", BadMethod),
        (b"GET\t", BadSyntax),
        (b"SSH-2.0-x\r\n", BadMethod),
        (b"GET / HTTP/1.1\r\n ", BadSyntax),
        (b"GET / HTTP/1.1\nH", BadSyntax),
        (b"EHLO a.test\r\n", BadSyntax),
    ] {
        refused(start, kind, 400);
    }
}

#[test]
fn targets() {
    for target in [
        "a",
        "*",
        "a.test:80",
        "file:///etc",
        "ftp://a.test/",
        "http://",
        "http:///x",
        "http://a.test:99999/",
        "javascript:x",
    ] {
        refused(&first(&format!("GET {target} HTTP/1.1")), BadTarget, 400);
    }
    for target in ["/a#b", "/a\\b", "http://a.test#b", "http://a.test/a\\b"] {
        refused(&first(&format!("GET {target} HTTP/1.1")), BadTarget, 400);
    }
    for target in ["/caf\u{e9}", "/a\u{1}", "/\0", "/a\u{7f}"] {
        refused(&first(&format!("GET {target} HTTP/1.1")), BadSyntax, 400);
    }
    for target in ["//x", "/", "/%00", "/a%0d%0ab", "/a|b{c}", "/?a\\b", "/../..", "/a%2fb", "/?\"<>"] {
        assert_eq!(good(&first(&format!("GET {target} HTTP/1.1"))).target(), target.as_bytes());
    }
    assert_eq!(good(&first("OPTIONS * HTTP/1.1")).target(), b"*");
    refused(&first("OPTIONS *x HTTP/1.1"), BadTarget, 400);
}

#[test]
fn an_absolute_target_names_the_host() {
    let head = good(&first("GET HTTP://A.test:80/p?q HTTP/1.1"));
    assert_eq!(
        (head.target(), head.host(), head.scheme()),
        (&b"/p?q"[..], &b"A.test"[..], Some(Scheme::Http))
    );
    assert_eq!(good(&first("GET http://a.test HTTP/1.1")).target(), b"/");
    assert_eq!(good(&first("GET http://a.test?q HTTP/1.1")).target(), b"/?q");
    assert_eq!(&*good(&first("GET http://a.test?q HTTP/1.1")).uri(), b"http://a.test/?q");
    assert_eq!(good(&first("OPTIONS http://a.test HTTP/1.1")).target(), b"*");
    assert_eq!(good(&first("GET https://a.test:443/ HTTP/1.1")).scheme(), Some(Scheme::Https));
    refused(&first("GET http://b.test/ HTTP/1.1"), BadHost, 400);
    refused(&first("GET https://a.test:80/ HTTP/1.1"), BadHost, 400);
    assert_eq!(good(b"GET http://a.test/ HTTP/1.1\r\n\r\n").host(), b"a.test");
    assert_eq!(good(b"GET http://a.test/ HTTP/1.0\r\n\r\n").host(), b"a.test");
}

#[test]
fn versions_and_separators() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"] {
        refused(&first(&format!("GET / {version}")), BadVersion, 505);
    }
    for line in [
        "GET / HTTP/1.10",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/4294967297.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        "GET  HTTP/1.1",
        "GET /",
        "GET / ",
        "GET\t/\tHTTP/1.1",
        "GET / ICY/1.1",
    ] {
        refused(&first(line), BadSyntax, 400);
    }
    for line in ["GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET   /   HTTP/1.1"] {
        assert_eq!(good(&first(line)).target(), b"/", "{line}");
    }
    refused(&first("GET"), BadMethod, 400);
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BadVersion, 505);
    refused(b"GET /x\r\n", BadSyntax, 400);
}

#[test]
fn at_most_one_valid_host() {
    assert_eq!(good(b"GET / HTTP/1.1\r\n\r\n").host(), b"");
    refused(&with("Host: a.test"), BadHost, 400);
    refused(&with("host: b.test"), BadHost, 400);
    for host in ["", "a.test, b.test", "a test", "u@a.test", "a.test/x", "a.test:0", "a.test:99999", "[::1"] {
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), BadHost, 400);
        refused(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes(), BadHost, 400);
    }
    assert_eq!(good(b"GET / HTTP/1.0\r\n\r\n").host(), b"");
    assert_eq!(good(b"GET / HTTP/1.1\r\nHost:\ta.test. \r\n\r\n").host(), b"a.test.");
}

#[test]
fn content_length_is_one_plain_number() {
    for value in [
        "", "+5", "-5", "-0", "0x5", "5_0", "5 0", "5,5", "5, 5", ",5", "5,", "\"5\"", "5;x", "5.0", "five",
        "\u{ff15}",
    ] {
        refused(&with(&format!("Content-Length: {value}")), BadFraming, 400);
    }
    refused(&with("Content-Length: 5\r\nContent-Length: 5"), BadFraming, 400);
    refused(&with("Content-Length: 0\r\nContent-Length: 5"), BadFraming, 400);
    refused(&with("Content-Length:\r\nContent-Length: 5"), BadFraming, 400);
    for value in
        ["9223372036854775808", "18446744073709551615", "18446744073709551616", "18446744073709551621"]
    {
        refused(&with(&format!("Content-Length: {value}")), BodyTooBig, 413);
    }
    refused(&with(&format!("Content-Length: {}", "9".repeat(60))), BodyTooBig, 413);
    for (value, length) in [
        ("0", 0),
        ("05", 5),
        ("010", 10),
        ("9223372036854775807", i64::MAX as u64),
        ("4294967301", 4_294_967_301),
    ] {
        assert_eq!(good(&with(&format!("Content-Length: {value}"))).framing(), BodyFraming::Length(length));
    }
    assert_eq!(
        good(&with(&format!("content-LENGTH: {}7", "0".repeat(30)))).framing(),
        BodyFraming::Length(7)
    );
}

#[test]
fn transfer_encoding_is_chunked_alone() {
    for value in ["chunked", "Chunked", "CHUNKED \t", "\tchunked"] {
        assert_eq!(good(&with(&format!("Transfer-Encoding: {value}"))).framing(), BodyFraming::Chunked);
    }
    for value in [
        "",
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "\"chunked\"",
        "chunked;q=1",
        "chunked chunked",
        "chunked,,gzip",
        "\u{a0}chunked",
    ] {
        refused(&with(&format!("Transfer-Encoding: {value}")), BadFraming, 400);
    }
    for value in ["gzip", "identity", "xchunked", "chunked, identity"] {
        refused(&with(&format!("Transfer-Encoding: {value}")), BadFraming, 400);
    }
    for value in ["gzip, chunked", "identity, chunked"] {
        refused(&with(&format!("Transfer-Encoding: {value}")), UnknownCoding, 422);
    }
    refused(&with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), BadFraming, 400);
    refused(&with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), BadFraming, 400);
}

#[test]
fn chunks_win_over_a_length_and_end_the_connection() {
    for lines in
        ["Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 0\r\nTransfer-Encoding: chunked"]
    {
        let head = good(&with(lines));
        assert_eq!((head.framing(), head.keep_alive()), (BodyFraming::Chunked, false), "{lines}");
        let mut out = Vec::new();
        wire::http1::write_request(&head, &mut out, &wire::http1::RequestEdit::default());
        assert!(!out.windows(14).any(|text| text == b"Content-Length"), "{}", out.escape_ascii());
    }
    refused(&with("Transfer-Encoding: chunked\r\nContent-Length: 5,5"), BadFraming, 400);
    let old = |lines| format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked{lines}\r\n\r\n");
    assert_eq!(good(old("").as_bytes()).framing(), BodyFraming::Chunked);
    refused(old("\r\nConnection: keep-alive").as_bytes(), BadFraming, 400);
}

/// A request line and a `Host`, and what becomes of them: the target as the log has it, and the host; `!` = refused.
fn settled(method: &str, target: &str, host: &str, expected: &str) {
    let input = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let shown = match read(input.as_bytes()) {
        Some(Ok((head, _))) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            format!("{} {}", text(head.received_target()), text(head.host()))
        }
        Some(Err(_)) => "!".to_owned(),
        None => "partial".to_owned(),
    };
    assert_eq!(shown, expected, "{method} {target} beside {host}");
}

#[test]
fn target_and_host_become_one() {
    settled("GET", "http://u:p@a.test:80/x", "a.test:80", "http://u:p@a.test/x a.test");
    settled("GET", "http://a.test:8080/x", "a.test:8080", "http://a.test:8080/x a.test:8080");
    settled("GET", "https://a.test:80/x", "a.test:80", "https://a.test:80/x a.test:80");
    settled("GET", "http://a.test/x", "a.test:80", "http://a.test/x a.test:80");
    settled("GET", "http://a.test/x", "a.test:", "http://a.test/x a.test:");
    settled("GET", "http://a.test:/x", "a.test:80", "http://a.test/x a.test");
    settled("GET", "http://a.test:80", "a.test:", "http://a.test/ a.test");
    settled("GET", "http://a.test:?q", "a.test", "http://a.test?q a.test");
    settled("GET", "http://[::1]:80/", "[::1]", "http://[::1]/ [::1]");
    settled("GET", "http://:", ":80", "http:/// ");
    for host in ["b.test", ":81", "a.test:80", "x y"] {
        settled("GET", "http://:", host, "!");
    }
    settled("GET", "http://a.test:8080/", "a.test", "!");
    settled("GET", "http://a.test/", "a.test:81", "!");
    settled("CONNECT", "a.test:443", "a.test:443", "a.test:443 a.test");
    settled("CONNECT", "a.test:443", "a.test:", "a.test:443 a.test:");
    settled("CONNECT", "a.test:8443", "a.test:8443", "a.test:8443 a.test:8443");
    for (target, host) in
        [("a.test:80", "a.test:443"), ("a.test:8443", "a.test"), ("a.test", "a.test"), ("a.test:", "a.test")]
    {
        settled("CONNECT", target, host, "!");
    }
    settled("CONNECT", "/", "a.test", "!");
    settled("CONNECT", "http://a.test:80", "a.test", "!");
}

#[test]
fn look_alikes_are_dropped() {
    let head = good(&with(
        "Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 1\r\nX.Forwarded.For: 2\r\nX_Own: 3",
    ));
    assert_eq!(head.framing(), BodyFraming::None);
    let names: Vec<_> = head.fields.pairs().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"X_Own"]);
}

#[test]
fn connection_and_upgrade() {
    let asks = |lines: &str| good(&with(lines));
    assert!(!asks("Connection: close").keep_alive());
    assert!(!asks("Connection: keep-alive, CLOSE").keep_alive());
    assert!(!asks("Connection: keep-alive\r\nConnection: close").keep_alive());
    assert!(!good(b"GET / HTTP/1.0\r\n\r\n").keep_alive());
    assert!(good(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive());

    let socket = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x";
    assert!(asks(socket).is_websocket_upgrade());
    refused(&with("Connection: upgrade\r\nUpgrade: one\r\nUpgrade: h2c, websocket"), BadUpgrade, 400);
    let offer = |head: &RequestHead| head.offer().map(|all| String::from_utf8(all.into_owned()).unwrap());
    assert_eq!(offer(&asks(socket)).as_deref(), Some("websocket"));
    assert!(!asks("Upgrade: websocket").is_websocket_upgrade());
    assert_eq!(offer(&asks("Upgrade: websocket")), None);
    let others = "Connection: Upgrade\r\nUpgrade: SPDY/3.1, h2c, TLS/1.0, HTTP/2.0, a b\r\nUpgrade: tcp";
    assert_eq!(offer(&asks(others)).as_deref(), Some("SPDY/3.1, tcp"));
    assert_eq!(offer(&asks(&format!("{others}\r\nContent-Length: 5"))).as_deref(), Some("SPDY/3.1, tcp"));
    assert_eq!(offer(&asks("Connection: Upgrade\r\nUpgrade: h2c")), None);
    assert!(!asks("Connection: Upgrade\r\nUpgrade: h2c").is_websocket_upgrade());
    assert!(!asks(&format!("{socket}\r\nContent-Length: 5")).is_websocket_upgrade());
    assert!(
        !good(format!("POST / HTTP/1.1\r\nHost: a\r\n{socket}\r\n\r\n").as_bytes()).is_websocket_upgrade()
    );
    assert!(
        !good(format!("GET / HTTP/1.0\r\nHost: a\r\n{socket}\r\n\r\n").as_bytes()).is_websocket_upgrade()
    );
}

#[test]
fn expectations() {
    assert!(good(&with("Expect: 100-Continue")).expects_continue());
    refused(&with("Expect: 200-ok"), BadExpect, 417);
    refused(&with("Expect:"), BadExpect, 417);
    refused(&with("Expect: 100-continue\r\nExpect: x"), BadExpect, 417);
    assert!(!good(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue());
}

#[test]
fn limits_hold_exactly() {
    let limits = Limits { head_bytes: 200, fields: 3, target_bytes: 20, name_bytes: 10, ..Limits::default() };
    let kind = |input: &[u8]| match read_with(input, &limits) {
        Some(Err(error)) => Some((error.kind, error.status)),
        _ => None,
    };
    let pad =
        |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(len - 32)).into_bytes();
    assert_eq!((pad(200).len(), kind(&pad(200))), (200, None));
    assert_eq!(kind(&pad(201)), Some((TooBig, 431)));
    assert_eq!(kind(&[pad(200), pad(200)].concat()), None);
    let lines = |count: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(count - 1)).into_bytes()
    };
    assert_eq!(kind(&lines(3)), None);
    assert_eq!(kind(&lines(4)), Some((TooBig, 431)));
    let target =
        |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1)).into_bytes();
    assert_eq!(kind(&target(20)), None);
    assert_eq!(kind(&target(21)), Some((TargetTooLong, 414)));
    assert_eq!(kind(&target(150)), Some((TargetTooLong, 414)));
    let name =
        |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}: 1\r\n\r\n", "x".repeat(len)).into_bytes();
    assert_eq!(kind(&name(10)), None);
    assert_eq!(kind(&name(11)), Some((TooBig, 431)));
}

#[test]
fn heads_over_the_usual_limits() {
    let many = |count: usize| with(&vec!["X: 1"; count - 1].join("\r\n"));
    assert_eq!(good(&many(100)).fields.len(), 100);
    assert_eq!(good(&many(33)).fields.len(), 33);
    refused(&many(101), TooBig, 431);
    refused(&many(20_000), TooBig, 431);
    refused(&with(&format!("X: {}", "x".repeat(40_000))), TooBig, 431);
    refused(&with(&format!("{}: x", "x".repeat(257))), TooBig, 431);
    refused(format!("GET /{}", "x".repeat(70_000)).as_bytes(), TargetTooLong, 414);
}

#[test]
fn a_late_length_is_never_lost() {
    let lines = format!("{}\r\nContent-Length: 5", vec!["X: 1"; 90].join("\r\n"));
    assert_eq!(good(&with(&lines)).framing(), BodyFraming::Length(5));
}

#[test]
fn rules_edit_the_request_line() {
    let mut head = good(&first("GET /a/b?q=1 HTTP/1.1"));
    head.set_path(b"/c d?\r\n");
    assert_eq!(head.target(), b"/c%20d%3F%0D%0A?q=1");
    head.set_query(b"x=#1");
    assert_eq!(head.target(), b"/c%20d%3F%0D%0A?x=%231");
    head.set_query(b"");
    assert_eq!((head.path_and_query(), head.query()), (&b"/c%20d%3F%0D%0A"[..], None));
    head.set_target(b"new");
    assert_eq!(head.target(), b"/new");
    head.set_target(b"/a\\b?c\\d");
    assert_eq!(head.target(), b"/a%5Cb?c\\d");
    head.set_target(b"*");
    assert_eq!(head.target(), b"/*");
    assert!(head.set_method(b"POST") && !head.set_method(b"P T"));
    assert_eq!(head.method(), b"POST");
    head.fields.set(b"host", b"b.test");
    assert_eq!(head.host(), b"b.test");
}
