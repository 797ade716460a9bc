//! Heads as they leave: what is passed on, what ends here, and one framing field.

#![allow(clippy::unwrap_used)]

use wire::http1::{
    BodyFraming, Connection, Keep, Limits, Progress, RequestEdit, RequestHead, RequestKind, ResponseEdit,
    ResponseHead, Version, parse_request, parse_response, write_request, write_response,
};

fn request(lines: &[&str]) -> RequestHead {
    let mut head = RequestHead::default();
    let text = format!("{}\r\n\r\n", lines.join("\r\n"));
    let progress = parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
    assert_eq!(progress, Progress::Complete { consumed: text.len() });
    head
}

fn response(lines: &[&str]) -> ResponseHead {
    let mut head = ResponseHead::default();
    let kind = RequestKind { upgrade: true, ..RequestKind::default() };
    let text = format!("{}\r\n\r\n", lines.join("\r\n"));
    parse_response(text.as_bytes(), &Limits::response(), kind, &mut head).unwrap();
    head
}

fn lines(out: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(out);
    let head = text.strip_suffix("\r\n\r\n").unwrap();
    head.split("\r\n").map(str::to_owned).collect()
}

fn forwarded(head: &RequestHead, edit: RequestEdit) -> Vec<String> {
    let mut out = Vec::new();
    write_request(head, &mut out, &edit);
    lines(&out)
}

fn answered(head: &ResponseHead, edit: ResponseEdit) -> Vec<String> {
    let mut out = Vec::new();
    write_response(head, &mut out, &edit);
    lines(&out)
}

fn keep() -> RequestEdit {
    RequestEdit::default()
}

#[test]
fn fields_pass_in_order_and_spelling() {
    let head = request(&["GET /a?b HTTP/1.1", "hOST:a.test", "X-A:  1 ", "Cookie: a=b", "x-a: 2", "Empty:"]);
    let expected = ["GET /a?b HTTP/1.1", "hOST: a.test", "X-A: 1", "Cookie: a=b", "x-a: 2", "Empty: "];
    assert_eq!(forwarded(&head, keep()), expected);
}

#[test]
fn what_ends_at_this_hop() {
    let head = request(&[
        "GET / HTTP/1.1",
        "Connection: X-Private, keep-alive, HTTP2-Settings, Upgrade",
        "Host: a.test",
        "X-Private: 1",
        "Keep-Alive: 5",
        "Proxy-Connection: x",
        "Proxy: evil",
        "Proxy-Authorization: Basic eA==",
        "HTTP2-Settings: AAM",
        "Upgrade: h2c",
        "TE: gzip",
        "X-Public: 2",
    ]);
    assert_eq!(forwarded(&head, keep()), ["GET / HTTP/1.1", "Host: a.test", "X-Public: 2"]);
}

#[test]
fn connection_cannot_remove_what_matters() {
    let head = request(&[
        "POST / HTTP/1.1",
        "Host: a.test",
        "Connection: close, Host, Content-Length, Authorization, Cookie, X-Forwarded-For, X-Forwarded-Ssl, Forwarded, X-Real-IP, Gone",
        "Content-Length: 005",
        "Authorization: x",
        "Cookie: y",
        "X-Forwarded-For: 1",
        "X-Forwarded-Ssl: on",
        "Forwarded: z",
        "X-Real-IP: 2",
        "gone: 3",
    ]);
    assert_eq!(
        forwarded(&head, keep()),
        [
            "POST / HTTP/1.1",
            "Host: a.test",
            "Content-Length: 5",
            "Authorization: x",
            "Cookie: y",
            "X-Forwarded-For: 1",
            "X-Forwarded-Ssl: on",
            "Forwarded: z",
            "X-Real-IP: 2",
        ]
    );
    let head = request(&[
        "POST / HTTP/1.1",
        "Host: a.test",
        "Connection: Transfer-Encoding",
        "Transfer-Encoding: Chunked",
    ]);
    assert_eq!(forwarded(&head, keep()), ["POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked"]);
}

#[test]
fn connection_is_ours_to_say() {
    let head = request(&["GET / HTTP/1.1", "Host: a.test", "Connection: close"]);
    assert_eq!(forwarded(&head, keep()).len(), 2);
    let close = RequestEdit { connection: Connection::Close, ..keep() };
    assert_eq!(forwarded(&head, close)[2..], ["Connection: close"]);
    let head = request(&["GET / HTTP/1.1", "Host: a.test", "TE: gzip;q=1, trailers"]);
    assert_eq!(forwarded(&head, keep())[2..], ["TE: trailers", "Connection: TE"]);
    assert_eq!(forwarded(&head, close)[2..], ["TE: trailers", "Connection: close, TE"]);
}

#[test]
fn only_websocket_is_an_upgrade() {
    let head = request(&[
        "GET /ws HTTP/1.1",
        "Host: a.test",
        "Connection: Upgrade",
        "Upgrade: h2c, websocket",
        "Sec-WebSocket-Key: x",
    ]);
    let upgrade = RequestEdit { connection: Connection::Upgrade, ..keep() };
    assert_eq!(
        forwarded(&head, upgrade)[1..],
        ["Host: a.test", "Sec-WebSocket-Key: x", "Connection: upgrade", "Upgrade: websocket"]
    );
    assert_eq!(forwarded(&head, keep())[1..], ["Host: a.test", "Sec-WebSocket-Key: x"]);
}

#[test]
fn one_framing_field_leaves() {
    let head = request(&["POST / HTTP/1.1", "Host: a.test", "Content-Length: 7", "X: y"]);
    let chunked = RequestEdit { chunked: true, ..keep() };
    assert_eq!(forwarded(&head, chunked)[2..], ["Transfer-Encoding: chunked", "X: y"]);
    let whole = RequestEdit { length: Some(9), ..keep() };
    assert_eq!(forwarded(&head, whole)[2..], ["Content-Length: 9", "X: y"]);
    let mut head = request(&["POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked"]);
    assert_eq!(forwarded(&head, whole)[2..], ["Content-Length: 9"]);
    head.fields.append(b"Content-Length", b"3");
    head.fields.append(b"Transfer-Encoding", b"gzip");
    assert_eq!(forwarded(&head, keep())[2..], ["Transfer-Encoding: chunked"]);
    let head = RequestHead::new(b"POST", b"/", b"a.test");
    assert_eq!(forwarded(&head, whole)[2..], ["Content-Length: 9"]);
}

#[test]
fn a_request_in_http_1_0_stays_one_without_chunks() {
    let head = request(&["GET / HTTP/1.0", "X: y"]);
    assert_eq!(forwarded(&head, keep()), ["GET / HTTP/1.0", "X: y", "Connection: keep-alive"]);
    let chunked = RequestEdit { chunked: true, ..keep() };
    assert_eq!(forwarded(&head, chunked), ["GET / HTTP/1.1", "X: y", "Host:", "Transfer-Encoding: chunked"]);
    let head = request(&["GET / HTTP/1.0", "Host: a.test"]);
    let keeps = "Connection: keep-alive";
    assert_eq!(forwarded(&head, keep()), ["GET / HTTP/1.0", "Host: a.test", keeps]);
    assert_eq!(forwarded(&head, chunked)[0], "GET / HTTP/1.1");
    let head = request(&["GET http://a.test HTTP/1.0"]);
    assert_eq!(forwarded(&head, keep()), ["GET http://a.test/ HTTP/1.0", "Host: a.test", keeps]);
}

#[test]
fn expectations_pass_or_are_ours() {
    let head = request(&["POST / HTTP/1.1", "Host: a.test", "Content-Length: 1", "Expect: 100-continue"]);
    assert_eq!(forwarded(&head, keep())[3..], ["Expect: 100-continue"]);
    assert_eq!(forwarded(&head, RequestEdit { drop_expect: true, ..keep() }).len(), 3);
    let head = request(&["POST / HTTP/1.0", "Host: a.test", "Content-Length: 1", "Expect: 100-continue"]);
    assert_eq!(forwarded(&head, keep())[3..], ["Connection: keep-alive"]);
}

#[test]
fn the_target_decides_the_host() {
    let mut head = request(&["GET http://A.test:80/x HTTP/1.1", "X: y", "Host: a.test"]);
    assert_eq!(forwarded(&head, keep()), ["GET http://A.test/x HTTP/1.1", "X: y", "Host: A.test"]);
    head.set_path(b"/a b");
    head.fields.set(b"X", b"1\r\nEvil: 2");
    assert_eq!(
        forwarded(&head, keep()),
        ["GET http://A.test/a%20b HTTP/1.1", "X: 1  Evil: 2", "Host: A.test"]
    );
    head.fields.set(b"Host", b"b.test");
    assert_eq!(forwarded(&head, keep())[0], "GET http://b.test/a%20b HTTP/1.1");
    head.fields.set(b"Host", b"no host/");
    assert_eq!(forwarded(&head, keep())[0], "GET /a%20b HTTP/1.1", "a rule cannot tear the line apart");
}

#[test]
fn answers_pass_with_one_framing_field() {
    let head = response(&[
        "HTTP/1.0 200 Fine",
        "Server: x",
        "Connection: close, X-Private",
        "X-Private: 1",
        "Keep-Alive: 5",
        "Upgrade: h2c",
        "Content-Length: 005",
        "Content-Length: 5",
        "Set-Cookie: a",
        "Set-Cookie: b",
    ]);
    let edit = ResponseEdit { framing: BodyFraming::Length(5), ..ResponseEdit::default() };
    let keeps = "Connection: keep-alive";
    assert_eq!(
        answered(&head, edit),
        ["HTTP/1.0 200 Fine", "Server: x", "Content-Length: 5", "Set-Cookie: a", "Set-Cookie: b", keeps]
    );
    let chunked = ResponseEdit { framing: BodyFraming::Chunked, ..ResponseEdit::default() };
    assert_eq!(answered(&head, chunked)[0], "HTTP/1.1 200 Fine");
    assert_eq!(answered(&head, chunked)[2], "Transfer-Encoding: chunked");
    let old = ResponseEdit { version_to_client: Version::Http10, ..edit };
    assert_eq!(answered(&head, old)[5..], ["Connection: keep-alive"]);
}

#[test]
fn an_answer_that_ends_by_close_says_so() {
    let head = response(&["HTTP/1.1 200 OK"]);
    let edit = ResponseEdit { framing: BodyFraming::UntilClose, ..ResponseEdit::default() };
    assert_eq!(answered(&head, edit), ["HTTP/1.1 200 OK", "Connection: close"]);
}

#[test]
fn answers_without_body() {
    let none = ResponseEdit::default();
    let lines = |status: &str| answered(&response(&[status, "Content-Length: 5"]), none)[1..].to_vec();
    assert_eq!(lines("HTTP/1.1 204 No Content"), Vec::<String>::new());
    assert_eq!(lines("HTTP/1.1 103 Early Hints"), Vec::<String>::new());
    assert_eq!(lines("HTTP/1.1 304 Not Modified"), ["Content-Length: 5"]);
    assert_eq!(lines("HTTP/1.1 200 OK"), ["Content-Length: 5"], "to a HEAD request");
    let close = ResponseEdit { connection: Connection::Close, ..none };
    assert_eq!(answered(&response(&["HTTP/1.1 100 Continue"]), close), ["HTTP/1.1 100 Continue"]);
    assert_eq!(
        answered(&ResponseHead::new(204, b""), close),
        ["HTTP/1.1 204 No Content", "Connection: close"]
    );
}

#[test]
fn a_switch_to_websocket_passes() {
    let head = response(&[
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: x",
    ]);
    let edit = ResponseEdit { connection: Connection::Upgrade, ..ResponseEdit::default() };
    assert_eq!(
        answered(&head, edit)[1..],
        ["Sec-WebSocket-Accept: x", "Connection: upgrade", "Upgrade: websocket"]
    );
}

#[test]
fn an_invitation_to_switch_passes_where_it_is_meant_to() {
    let head =
        response(&["HTTP/1.1 426 Upgrade Required", "Connection: Upgrade", "Upgrade: h2c, websocket, x/1"]);
    let edit =
        ResponseEdit { framing: BodyFraming::Length(0), keeps_upgrade: true, ..ResponseEdit::default() };
    let expected = [
        "HTTP/1.1 426 Upgrade Required",
        "Content-Length: 0",
        "Connection: upgrade",
        "Upgrade: websocket, x/1",
    ];
    assert_eq!(answered(&head, edit), expected);
    assert_eq!(answered(&head, ResponseEdit { keeps_upgrade: false, ..edit }), expected[..2]);
    let head = response(&["HTTP/1.1 200 OK", "Upgrade: h2c"]);
    assert_eq!(answered(&head, edit), ["HTTP/1.1 200 OK", "Content-Length: 0"]);
}

#[test]
fn kept_connections_may_be_spoken_of() {
    let head = response(&["HTTP/1.1 200 OK", "Keep-Alive: timeout=1"]);
    let edit =
        ResponseEdit { framing: BodyFraming::Length(0), keep: Keep::SaidFor(9), ..ResponseEdit::default() };
    let expected =
        ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: keep-alive", "Keep-Alive: timeout=9"];
    assert_eq!(answered(&head, edit), expected);
    assert_eq!(answered(&head, ResponseEdit { keep: Keep::Said, ..edit }), expected[..3]);
    let close = ResponseEdit { connection: Connection::Close, ..edit };
    assert_eq!(answered(&head, close), ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"]);
}
