//! Answers of servers that may reach a client, and those that may not. Every case is read whole and in every cut.

#![allow(clippy::unwrap_used, clippy::panic)]

use wire::http1::{
    BodyFraming, HeadError, HeadErrorKind, HeadErrorKind::*, Limits, Progress, RequestKind, ResponseHead,
    Version, parse_response, reason_of,
};

const GET: RequestKind = RequestKind { head: false, connect: false, upgrade: false, websocket: false };
const HEAD: RequestKind = RequestKind { head: true, ..GET };
const UPGRADE: RequestKind = RequestKind { upgrade: true, ..GET };

type Outcome = Result<(ResponseHead, usize), HeadError>;

fn feed(input: &[u8], request: RequestKind, cuts: impl Iterator<Item = usize>) -> Option<Outcome> {
    let mut head = ResponseHead::default();
    for end in cuts.chain([input.len()]) {
        match parse_response(&input[..end], &Limits::response(), request, &mut head) {
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
            let reason = head.reason().escape_ascii();
            format!("{} {reason} {:?} {:?} {consumed}", head.status, head.version, head.framing(GET))
        }
    }
}

fn read(input: &[u8], request: RequestKind) -> Option<Outcome> {
    let whole = feed(input, request, std::iter::empty());
    let bytewise = feed(input, request, 0..input.len());
    assert_eq!(shown(&bytewise), shown(&whole), "byte by byte: {}", input.escape_ascii());
    if input.len() < 600 {
        for cut in 0..input.len() {
            let halves = feed(input, request, [cut].into_iter());
            assert_eq!(shown(&halves), shown(&whole), "cut at {cut}: {}", input.escape_ascii());
        }
    }
    whole
}

fn good(text: &str, request: RequestKind) -> ResponseHead {
    match read(text.as_bytes(), request) {
        Some(Ok((head, _))) => head,
        other => panic!("{text:?}: {}", shown(&other)),
    }
}

fn refused(input: &[u8], kind: HeadErrorKind) {
    match read(input, GET) {
        Some(Err(error)) => assert_eq!((error.kind, error.status), (kind, 502), "{}", input.escape_ascii()),
        other => panic!("not refused: {}: {}", input.escape_ascii(), shown(&other)),
    }
}

fn with(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")
}

#[test]
fn a_usual_answer_is_taken_apart() {
    let head = good("HTTP/1.1 404 Not  Here\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc", GET);
    assert_eq!((head.status, head.reason(), head.version), (404, &b"Not  Here"[..], Version::Http11));
    assert_eq!((head.framing(GET), head.keep_alive()), (BodyFraming::Length(3), true));
    for line in ["HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"] {
        assert_eq!(good(line, GET).reason(), b"");
    }
    assert_eq!(good("HTTP/1.1 200 caf\u{e9}\r\n\r\n", GET).reason(), "caf\u{e9}".as_bytes());
    assert_eq!(good("HTTP/1.0 200 OK\r\n\r\n", GET).version, Version::Http10);
    assert!(!good("HTTP/1.0 200 OK\r\n\r\n", GET).keep_alive());
    assert!(!good(&with("Connection: close"), GET).keep_alive());
}

#[test]
fn where_the_body_ends() {
    let framing = |text: &str, request| good(text, request).framing(request);
    assert_eq!(framing(&with("X: y"), GET), BodyFraming::UntilClose);
    assert_eq!(framing(&with("Content-Length: 0"), GET), BodyFraming::Length(0));
    assert_eq!(framing(&with("Transfer-Encoding: chunked"), GET), BodyFraming::Chunked);
    assert_eq!(framing(&with("Content-Length: 5"), HEAD), BodyFraming::None);
    assert_eq!(good(&with("Content-Length: 5"), HEAD).announced_length(), Some(5));
    assert_eq!(framing(&with("Content-Length: 5\r\nContent-Length: 5"), GET), BodyFraming::Length(5));
    for status in ["103 Early", "204 No", "304 Not"] {
        assert_eq!(
            framing(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n"), GET),
            BodyFraming::None
        );
    }
    assert!(good("HTTP/1.1 100 Continue\r\n\r\n", GET).is_interim());
    assert_eq!(framing("HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\n\r\n", UPGRADE), BodyFraming::None);
}

#[test]
fn an_answer_with_two_lengths_ends_its_connections() {
    let both = good(&with("Content-Length: 5\r\nTransfer-Encoding: chunked"), GET);
    assert_eq!((both.framing(GET), both.keep_alive(), both.is_last()), (BodyFraming::Chunked, false, false));
    let old = good("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", GET);
    assert_eq!((old.framing(GET), old.keep_alive(), old.is_last()), (BodyFraming::Chunked, false, true));
}

#[test]
fn what_a_client_must_not_see() {
    refused(b"HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\n\r\n", FalseSwitch);
    let socket = RequestKind { websocket: true, ..UPGRADE };
    let text = "HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\n\r\n";
    let mut head = ResponseHead::default();
    assert!(parse_response(text.as_bytes(), &Limits::response(), socket, &mut head).is_err());
    let text = "HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    assert_eq!(good(text, socket).status, 101);
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 No",
        "HTTP/1.1 600 No",
        "HTTP/1.1 999 No",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1",
    ] {
        refused(format!("{line}\r\n\r\n").as_bytes(), BadStatus);
    }
    for line in ["HTTP/2.0 200 OK", "HTTQ/1.1 200 OK", "http/1.1 200 OK", "<html>", "ICY 200 OK"] {
        refused(format!("{line}\r\n\r\n").as_bytes(), BadVersion);
    }
    refused(b"HTTP/1.2 200 OK\r\n\r\n", BadVersion);
    refused(b"\r\nHTTP/1.1 200 OK\r\n\r\n", BadVersion);
    for text in [
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
    ] {
        refused(text.as_bytes(), BadSyntax);
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -5",
        "Content-Length: 5, 5",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
    ] {
        refused(with(lines).as_bytes(), BadFraming);
    }
    refused(with("Transfer-Encoding: gzip, chunked").as_bytes(), UnknownCoding);
    refused(with(&vec!["X: y"; 201].join("\r\n")).as_bytes(), TooBig);
    refused(with(&format!("X: {}", "x".repeat(200_000))).as_bytes(), TooBig);
}

#[test]
fn limits_for_answers_are_wider() {
    assert_eq!(good(&with(&vec!["X: y"; 200].join("\r\n")), GET).fields.len(), 200);
    good(&with(&format!("X: {}", "x".repeat(60_000))), GET);
}

#[test]
fn our_own_answers() {
    let mut head = ResponseHead::new(503, b"");
    assert_eq!((head.status, head.reason()), (503, reason_of(503).as_bytes()));
    head.set_status(200, b"a\r\nb");
    assert_eq!((head.status, head.reason()), (200, &b"a  b"[..]));
    assert_eq!(reason_of(299), "");
}
