//! What a server's manners let in beyond the strict grammar, what they refuse, and that it leaves clean. Every case is
//! read whole and in every cut.

#![allow(clippy::unwrap_used, clippy::panic)]

use wire::http1::{
    Limits, Manners, Name, Names, Progress, RequestEdit, RequestHead, RequestKind, ResponseHead, host_name,
    parse_request, parse_response, write_request,
};

fn limits() -> Limits {
    Limits { manners: Manners::SERVER, ..Limits::default() }
}

/// The head, or the status of its refusal; 0 if more would have to come.
fn feed(input: &[u8], ends: impl Iterator<Item = usize>, limits: &Limits) -> Result<RequestHead, u16> {
    let mut head = RequestHead::default();
    for end in ends {
        match parse_request(&input[..end], limits, &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { consumed }) if consumed == input.len() => return Ok(head),
            Ok(Progress::Complete { .. }) => panic!("the head ends early: {}", input.escape_ascii()),
            Err(error) => return Err(error.status),
        }
    }
    Err(0)
}

fn read_with(input: &[u8], limits: &Limits) -> Result<RequestHead, u16> {
    let whole = feed(input, [input.len()].into_iter(), limits);
    let bytewise = feed(input, 0..=input.len(), limits);
    assert_eq!(written(&bytewise), written(&whole), "byte by byte: {}", input.escape_ascii());
    if input.len() < 600 {
        for cut in 0..input.len() {
            let halves = feed(input, [cut, input.len()].into_iter(), limits);
            assert_eq!(written(&halves), written(&whole), "cut at {cut}: {}", input.escape_ascii());
        }
    }
    whole
}

/// As it leaves for a server, without the last empty line; or the status.
fn written(head: &Result<RequestHead, u16>) -> String {
    match head {
        Err(status) => status.to_string(),
        Ok(head) => {
            let mut out = Vec::new();
            write_request(head, &mut out, &RequestEdit::default());
            assert!(!out.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r'), "LF alone leaves");
            let mut again = RequestHead::default();
            let strict = parse_request(&out, &Limits::default(), &mut again);
            assert_eq!(strict, Ok(Progress::Complete { consumed: out.len() }), "{}", out.escape_ascii());
            let shown = out.escape_ascii().to_string();
            let shown = shown.strip_suffix("\\r\\n\\r\\n").unwrap();
            shown.strip_suffix("\\r\\nConnection: keep-alive").unwrap_or(shown).to_owned()
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    check_with(cases, &limits());
}

fn check_with(cases: &[(&str, &str)], limits: &Limits) {
    for (input, expected) in cases {
        let found = written(&read_with(input.as_bytes(), limits));
        assert_eq!(found, *expected, "{}", input.escape_debug());
    }
}

#[test]
fn lf_alone_ends_lines_and_leaves_as_crlf() {
    check(&[
        ("GET / HTTP/1.0\n\n", "GET / HTTP/1.0"),
        ("GET / HTTP/1.0\nHost: a\nX: 1\n\n", "GET / HTTP/1.0\\r\\nHost: a\\r\\nX: 1"),
        ("GET / HTTP/1.0\r\nHost: a\nX: 1\r\n\n", "GET / HTTP/1.0\\r\\nHost: a\\r\\nX: 1"),
        ("GET / HTTP/1.0\nHost: a\r\n\r\n", "GET / HTTP/1.0\\r\\nHost: a"),
        ("\n\r\n\nGET / HTTP/1.0\n\n", "GET / HTTP/1.0"),
        ("GET  /x   HTTP/1.0\n\n", "GET /x HTTP/1.0"),
        ("GET / HTTP/1.0\nX:\t 1 \t\nY:\n\n", "GET / HTTP/1.0\\r\\nX: 1\\r\\nY: "),
        ("GET /\n", "400"),
        ("GET / HTTP/1.0 \n\n", "400"),
        ("GET / HTTP/1.0\r\r\n\n", "400"),
        ("GET / HTTP/1.0\nX: a\rb\n\n", "400"),
        ("GET / HTTP/1.0\nX: a\0b\n\n", "400"),
        ("GET / HTTP/1.0\nX: a\n b\n\n", "400"),
        ("GET / HTTP/1.0\n X: a\n\n", "400"),
        ("GET / HTTP/1.0\nX : a\n\n", "400"),
        ("GET / HTTP/1.0\nX\n\n", "400"),
        ("GET / HTTP/1.0\n: a\n\n", "400"),
        ("GET / HTTP/1.0\nX\u{2}: a\n\n", "400"),
        ("GET / HTTP/1.0\n(x): a\n\n", "400"),
        (" GET / HTTP/1.0\n\n", "400"),
        ("GET / HTTP/1.0\nX: 1", "0"),
        ("GET / HTTP/1.0\nX: 1\n", "0"),
    ]);
}

#[test]
fn lines_of_framing_are_not_hidden_by_line_ends() {
    check(&[
        (
            "POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\n",
            "POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 3",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nX: 1\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\\r\\nHost: a\\r\\nX: 1\\r\\nTransfer-Encoding: chunked",
        ),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: 3\nContent-Length: 3\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nContent-Length: 3\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n", "501"),
        ("POST / HTTP/1.0\nConnection: close\nTransfer-Encoding: chunked\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: 99999999999999999999\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: +1\n\n", "400"),
        ("POST / HTTP/1.1\nHost: a\nContent_Length: 3\n\n", "POST / HTTP/1.1\\r\\nHost: a"),
    ]);
}

#[test]
fn odd_names_are_dropped() {
    let head = "GET / HTTP/1.0\nA-1: 1\nb_c: 2\n_d: 3\ne.f: 4\n!g: 5\n\n";
    let with = |names| Limits { manners: Manners { names, ..Manners::SERVER }, ..limits() };
    check(&[(head, "GET / HTTP/1.0\\r\\nA-1: 1")]);
    check_with(
        &[(head, "GET / HTTP/1.0\\r\\nA-1: 1\\r\\nb_c: 2\\r\\n_d: 3")],
        &with(Names::Plain { underscores: true }),
    );
    check_with(
        &[
            (head, "GET / HTTP/1.0\\r\\nA-1: 1\\r\\nb_c: 2\\r\\n_d: 3\\r\\ne.f: 4\\r\\n!g: 5"),
            ("GET / HTTP/1.0\ncoo: foo\n</kie>: x\n\n", "400"),
        ],
        &with(Names::Any),
    );
}

#[test]
fn hosts() {
    check(&[
        ("GET / HTTP/1.1\n\n", "400"),
        ("GET / HTTP/1.1\nHost:\n\n", "400"),
        ("GET / HTTP/1.0\nHost:\n\n", "400"),
        ("GET / HTTP/1.1\nHost: a\nHost: a\n\n", "400"),
        ("GET / HTTP/1.0\nHost: a\u{2}\n\n", "400"),
        ("GET / HTTP/1.0\nHost: ..a\n\n", "400"),
        ("GET / HTTP/1.0\nHost: a.:1.2\n\n", "400"),
        ("GET / HTTP/1.0\nHost: .\n\n", "400"),
        ("GET / HTTP/1.0\nHost: 1.2.3.4:98777\n\n", "400"),
        ("GET / HTTP/1.0\nHost: a/\\:552\n\n", "400"),
        ("GET / HTTP/1.0\nHost: [::1].\n\n", "400"),
        ("GET / HTTP/1.0\nHost: x[::1]:98\n\n", "400"),
        ("GET http://b/ HTTP/1.0\nHost: a\n\n", "GET http://b/ HTTP/1.0\\r\\nHost: b"),
        ("GET http://b:8080/x?y#z HTTP/1.0\nHost: a\n\n", "GET http://b:8080/x?y HTTP/1.0\\r\\nHost: b:8080"),
        ("GET http://b HTTP/1.1\nHost: a\n\n", "GET http://b/ HTTP/1.1\\r\\nHost: b"),
        ("GET http://b?x HTTP/1.0\n\n", "GET http://b/?x HTTP/1.0\\r\\nHost: b"),
        ("GET http://b#x HTTP/1.0\n\n", "GET http://b/ HTTP/1.0\\r\\nHost: b"),
        ("GET http://b/ HTTP/1.1\n\n", "400"),
        ("GET http:/// HTTP/1.0\n\n", "400"),
        ("GET http://./ HTTP/1.0\n\n", "400"),
        ("GET http://u@b/ HTTP/1.0\n\n", "400"),
        ("GET http://b..:/ HTTP/1.0\n\n", "400"),
        ("GET http://\\e/b HTTP/1.0\n\n", "400"),
        ("GET http://b:9000:80/ HTTP/1.0\n\n", "400"),
    ]);
    let named = |host: &str| {
        let head = read_with(format!("GET / HTTP/1.0\nHost: {host}\n\n").as_bytes(), &limits()).unwrap();
        String::from_utf8(host_name(head.host()).into_owned()).unwrap()
    };
    for (host, name) in [
        ("L", "l"),
        ("a-b.g02.xyz:", "a-b.g02.xyz"),
        ("a.b.:88", "a.b"),
        ("A.b", "a.b"),
        ("[ABcd::ef98:0:7654:321]:80", "[abcd::ef98:0:7654:321]"),
        ("[::ffff:12.30.67.89]", "[::ffff:12.30.67.89]"),
        ("[v0A.!$&'()*+,;=-._~AZ:]", "[v0a.!$&'()*+,;=-._~az:]"),
    ] {
        assert_eq!(named(host), name);
    }
}

#[test]
fn methods_and_versions() {
    check(&[
        ("PATCH_X-Y / HTTP/1.0\n\n", "PATCH_X-Y / HTTP/1.0"),
        ("get / HTTP/1.0\n\n", "400"),
        ("G!T / HTTP/1.0\n\n", "400"),
        ("TRACE / HTTP/1.0\n\n", "405"),
        ("CONNECT a:80 HTTP/1.1\nHost: a\n\n", "405"),
        ("CONNECT a HTTP/1.1\nHost: a\n\n", "400"),
        ("CONNECT / HTTP/1.1\nHost: a\n\n", "400"),
        ("GET / HTTP/2.0\n\n", "505"),
        ("GET / http/1.0\n\n", "400"),
        ("GET / HTTP/1.10\n\n", "400"),
    ]);
}

#[test]
fn targets_leave_clean() {
    check(&[
        ("GET /a#b?c HTTP/1.0\n\n", "GET /a HTTP/1.0"),
        ("GET /a?b#c HTTP/1.0\n\n", "GET /a?b HTTP/1.0"),
        ("GET /\u{fc}?\u{e9}#f HTTP/1.0\n\n", "GET /%C3%BC?%C3%A9 HTTP/1.0"),
        ("GET #a HTTP/1.0\n\n", "400"),
        ("GET /\u{2} HTTP/1.0\n\n", "400"),
        ("GET /\u{7f} HTTP/1.0\n\n", "400"),
        ("GET / / HTTP/1.0\n\n", "400"),
        ("GET /\\x HTTP/1.0\n\n", "400"),
    ]);
    let read = read_with(b"GET / HTTP/1.0\nHTTP2-Settings: x\n\n", &limits()).unwrap();
    assert!(read.fields.find(Name::Http2Settings).is_none());
    let sent = |input: &str| read_with(input.as_bytes(), &limits()).unwrap().sent_target().to_vec();
    assert_eq!(sent("GET /a?b#c HTTP/1.0\n\n"), b"/a?b#c");
    assert_eq!(sent("GET /\u{fc}#c HTTP/1.0\n\n"), "/\u{fc}#c".as_bytes());
    assert_eq!(sent("GET http://a/\u{fc} HTTP/1.0\n\n"), "/\u{fc}".as_bytes());
    assert_eq!(sent("GET /a HTTP/1.0\n\n"), b"/a");
}

#[test]
fn handshakes_are_the_servers_affair() {
    check(&[
        ("POST / HTTP/1.1\nHost: a\nExpect: x\n\n", "POST / HTTP/1.1\\r\\nHost: a"),
        (
            "GET / HTTP/1.1\nHost: a\nHTTP2-Settings: x\nConnection: Upgrade\nUpgrade: websocket\n\n",
            "GET / HTTP/1.1\\r\\nHost: a",
        ),
    ]);
}

#[test]
fn lines_have_a_limit_of_their_own() {
    let limits = Limits { line_bytes: 30, target_bytes: 30, fields: 3, ..limits() };
    let target = |len: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(len));
    let field = |len: usize| format!("GET / HTTP/1.0\nX: {}\r\n\r\n", "a".repeat(len));
    let status = |input: String| read_with(input.as_bytes(), &limits).err().unwrap_or(200);
    assert_eq!((status(target(14)), status(target(15)), status(target(300))), (200, 414, 414));
    assert_eq!((status(field(25)), status(field(26)), status(field(300))), (200, 494, 494));
    let fields = |count| format!("GET / HTTP/1.0\n{}\n", "A: b\n".repeat(count));
    assert_eq!((status(fields(3)), status(fields(4))), (200, 494));
}

#[test]
fn limits_may_be_known_late() {
    let kept = |limits: Limits| {
        let head =
            read_with(b"\nGET /aaaa HTTP/1.0\nX: bbbbbbbbbbbbbbbbbbbb\nY:\n\n", &self::limits()).unwrap();
        head.keep_to(&limits).err().map_or(200, |error| error.status)
    };
    assert_eq!(kept(limits()), 200);
    assert_eq!(kept(Limits { line_bytes: 23, fields: 2, ..limits() }), 200);
    assert_eq!(kept(Limits { line_bytes: 22, ..limits() }), 494);
    assert_eq!(kept(Limits { line_bytes: 18, ..limits() }), 414);
    assert_eq!(kept(Limits { fields: 1, ..limits() }), 494);
}

/// Status, version, names and values in order; or the status of the refusal, 0 if more would have to come.
fn answered(input: &[u8], ends: impl Iterator<Item = usize>) -> String {
    let limits = Limits { manners: Manners::SERVER, ..Limits::response() };
    let mut head = ResponseHead::default();
    for end in ends {
        match parse_response(&input[..end], &limits, RequestKind::default(), &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { consumed }) => {
                assert_eq!(consumed, input.len());
                let fields: Vec<_> = head
                    .fields
                    .pairs()
                    .map(|(n, v)| format!("{}={}", n.escape_ascii(), v.escape_ascii()))
                    .collect();
                return format!("{} {} {}", head.status, head.reason().escape_ascii(), fields.join(" "));
            }
            Err(error) => return error.status.to_string(),
        }
    }
    "0".into()
}

#[test]
fn answers_end_their_lines_by_lf_too() {
    for (input, expected) in [
        ("HTTP/1.0 200 OK\n\n", "200 OK "),
        ("HTTP/1.1 200 OK\nA: 1\nB_c.d:\r\n\n", "200 OK A=1 B_c.d="),
        ("HTTP/1.1 404\nA: 1\n\r\n", "404  A=1"),
        ("HTTP/1.1 200 OK\nContent-Length: foo\n\n", "502"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\nContent-Length: 0\n\n", "502"),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: foo\n\n", "502"),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n", "502"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\nTransfer-Encoding: chunked\n\n", "502"),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 0\n\n", "502"),
        ("HTTP/1.1 200 OK\nExpires: foo\nExpires: bar\nA: 1\nA: 2\n\n", "200 OK Expires=foo A=1 A=2"),
        ("HTTP/1.1 200 OK\nX: a\rb\n\n", "502"),
        ("HTTP/1.1 200 OK\n X: a\n\n", "502"),
        ("HTTP/1.1 20 OK\n\n", "502"),
        ("HTTP/2.0 200 OK\n\n", "502"),
        ("garbage\n\n", "502"),
        ("HTTP/1.1 101 X\n\n", "502"),
        ("HTTP/1.1 200 OK\nX: 1\n", "0"),
    ] {
        let input = input.as_bytes();
        let whole = answered(input, [input.len()].into_iter());
        assert_eq!(whole, expected, "{}", input.escape_ascii());
        assert_eq!(answered(input, 0..=input.len()), expected, "byte by byte: {}", input.escape_ascii());
    }
}

#[test]
fn strict_readers_stay_strict() {
    let mut head = RequestHead::default();
    let error = parse_request(b"GET / HTTP/1.0\nHost: a\n\n", &Limits::default(), &mut head).unwrap_err();
    assert_eq!(error.status, 400);
    assert!(head.fields.find(Name::Host).is_none());
}

/// Heads made of good and bad pieces: judged the same in every cut, and what leaves is strict (see `written`).
#[test]
fn made_up_heads_are_judged_the_same_however_cut() {
    const STARTS: &[&str] = &["", "\n", "\r\n\n", "\r", " "];
    const METHODS: &[&str] = &["GET", "POST", "get", "OPTIONS", "CONNECT", "G!"];
    const TARGETS: &[&str] =
        &["/", "/a#b", "/\u{fc}?x", "*", "http://a", "http://A.b:80?x#y", "a:80", "", "/\\", "/ x"];
    const VERSIONS: &[&str] = &["HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/2.0", "HTTP/1.1 ", ""];
    const ENDS: &[&str] = &["\n", "\r\n", "\r\n", "\r\r\n", "\r"];
    const FIELDS: &[&str] = &[
        "Host: a",
        "Host: A.b.:80",
        "Host:",
        "host: ..",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "transfer-encoding:\tchunked ",
        "x_y: 1",
        "x.y:2 ",
        "(x): 1",
        "X",
        " X: 1",
        "X: \u{fc}\t",
        "X: a\0",
        "Connection: close, X",
        "Connection: upgrade\nUpgrade: websocket",
        "Expect: 100-continue",
        "Expect: x",
    ];
    let mut state = 7_u64;
    let mut pick = |list: &'static [&'static str]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list[(state >> 33) as usize % list.len()]
    };
    let mut good = 0;
    for round in 0..1000 {
        let mut head = if round % 8 == 0 { pick(STARTS).to_owned() } else { String::new() };
        let (method, target) = if round % 2 == 0 { (pick(METHODS), pick(TARGETS)) } else { ("POST", "/x") };
        let version = if round % 4 == 0 { pick(VERSIONS) } else { "HTTP/1.1" };
        head += &format!("{method} {target} {version}{}Host: b\n", pick(&ENDS[..3]));
        for _ in 0..round % 4 {
            head += pick(FIELDS);
            head += if round % 8 == 1 { pick(ENDS) } else { "\n" };
        }
        head = if round % 3 == 0 { head } else { head.replacen("Host: b\n", "", 1) };
        head += pick(&ENDS[..3]);
        good += usize::from(read_with(head.as_bytes(), &limits()).is_ok());
    }
    assert!(good > 50, "{good} heads were good");
}
