//! HTTP/1 as clients and servers really speak it.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use e2e::http::field;
use e2e::scripted::answer;
use e2e::{Client, Failure, Scripted, Server, Step, cases};
use tungstenite::Message;

use crate::farm::{Farm, addresses};

const BIG: usize = 50_000_000;

/// A balancer before one scripted server.
fn before(server: &Scripted) -> Farm {
    Farm::start("", &[server.address], "")
}

#[test]
fn connections_are_kept_on_both_sides() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = before(&server);
    let mut client = farm.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").unwrap().text(), "hello");
        assert!(client.is_open());
    }
    assert_eq!(server.connections(), 1, "server connections are reused");
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = before(&server);
    let mut client = farm.client();
    client.send(b"GET /old HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.answer("GET").unwrap().text(), "hello");
    assert_eq!(server.last().target, "/old");
    assert!(!client.is_open() || client.sees_close());
}

#[test]
fn http_1_0_with_keep_alive_is_kept() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = before(&server);
    let mut client = farm.client();
    for _ in 0..2 {
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let answer = client.answer("GET").unwrap();
        assert_eq!(answer.text(), "hello");
        assert!(client.is_open(), "{answer:?}");
    }
}

#[test]
fn head_has_a_length_and_no_body() {
    let servers = Server::start_many(1);
    let farm = Farm::start("", &addresses(&servers), "");
    let mut client = farm.client();
    let answer = client.request("HEAD", "/bytes/1000", &[], b"").unwrap();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("1000")));
    assert_eq!(client.get("/whoami").unwrap().text(), "web1");
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n";
    let server = Scripted::answering(reply);
    let farm = before(&server);
    let mut client = farm.client();
    for _ in 0..2 {
        let request = "POST /up HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\
                       Trailer: X-Check\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Check: 7\r\n\r\n";
        client.send(request.as_bytes()).unwrap();
        let answer = client.answer("POST").unwrap();
        assert_eq!(answer.text(), "hello world");
        assert_eq!(field(&answer.trailers, "x-sum"), Some("11"));
        let seen = server.last();
        assert_eq!(seen.body, b"abcdefg");
        assert_eq!(field(&seen.trailers, "x-check"), Some("7"));
    }
}

#[test]
fn expect_100_continue_asks_the_server_first() {
    let go_on = |_: &_| vec![Step::send("HTTP/1.1 100 Continue\r\n\r\n")];
    let server = Scripted::staged(go_on, |_| vec![Step::send(&answer(200, "", "thanks"))]);
    let farm = before(&server);
    let mut client = farm.client();
    let head = "POST /up HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    client.send(head.as_bytes()).unwrap();
    let connection = client.connection();
    assert_eq!(connection.line().unwrap(), "HTTP/1.1 100 Continue");
    while !connection.line().unwrap().is_empty() {}
    client.send(b"body").unwrap();
    assert_eq!(client.answer("POST").unwrap().text(), "thanks");
    assert_eq!(server.last().body, b"body");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Scripted::start(|seen| vec![Step::send(&answer(200, "", &seen.target))]);
    let farm = before(&server);
    let mut client = farm.client();
    let one = |number: u32| format!("GET /{number} HTTP/1.1\r\nHost: app.example\r\n\r\n");
    client.send((0..5).map(one).collect::<String>().as_bytes()).unwrap();
    let answers: Vec<_> = (0..5).map(|_| client.answer("GET").unwrap().text()).collect();
    assert_eq!(answers, ["/0", "/1", "/2", "/3", "/4"]);
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = before(&server);
    let mut client = farm.client();
    for byte in b"GET /slow HTTP/1.1\r\nHost: app.example\r\n\r\n" {
        client.send(&[*byte]).unwrap();
    }
    assert_eq!(client.answer("GET").unwrap().text(), "hello");
}

#[test]
fn a_dialog_over_websocket_goes_through_and_outlives_a_reload() {
    let server = Server::start("web1");
    let farm = Farm::start("timeout tunnel 1h", &[server.address], "");
    let mut client = farm.client();
    client.connect().unwrap();
    let request = format!("ws://{}/dialogs", farm.port.address());
    let (mut socket, _) = tungstenite::client(request, client.into_stream()).unwrap();
    let mut say = |text: &str| {
        socket.send(Message::text(text)).unwrap();
        socket.read().unwrap().into_text().unwrap().to_string()
    };
    assert_eq!(say("hello"), "web1: hello");
    let long = "x".repeat(100_000);
    assert_eq!(say(&long), format!("web1: {long}"));
    if farm.balancer.program.is_mainstay() {
        farm.balancer.reload();
        e2e::eventually("the reloaded one serves", || farm.client().get("/whoami").is_ok());
    }
    assert_eq!(say("still here"), "web1: still here");
}

#[test]
fn an_upgrade_that_the_server_refuses_is_an_ordinary_answer() {
    let server = Scripted::answering(&answer(426, "", "no"));
    let farm = before(&server);
    let mut client = farm.client();
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(client.get_with("/dialogs", &headers).unwrap().status, 426);
    assert_eq!(client.get("/").unwrap().status, 426);
}

#[test]
fn forwardfor_tells_the_server_who_asks() {
    let server = Scripted::answering(&answer(200, "", ""));
    let farm = Farm::start("option forwardfor", &[server.address], "");
    farm.client().get("/").unwrap();
    assert_eq!(server.last().header("x-forwarded-for"), Some("127.0.0.1"));
    // What a client claims stays in front of what we know.
    farm.client().get_with("/", &[("X-Forwarded-For", "192.0.2.9")]).unwrap();
    let values: Vec<_> = server.last().headers;
    let joined: Vec<_> = values
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"))
        .map(|(_, value)| value.replace(' ', ""))
        .collect();
    assert_eq!(joined.join(","), "192.0.2.9,127.0.0.1");
}

#[test]
fn an_inserted_cookie_keeps_a_visitor_on_a_server() {
    let servers = Server::start_many(3);
    let port = e2e::Port::free();
    let lines: String =
        servers.iter().map(|one| format!("    server {0} {1} cookie {0}\n", one.name, one.address)).collect();
    let frame = crate::farm::listen(&port, "balance roundrobin\ncookie SRV insert indirect nocache", &[], "");
    let _balancer = e2e::Balancer::with(&(frame + &lines)).ports([&port]).start();
    let mut client = Client::to(port.address());
    let first = client.get("/whoami").unwrap();
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(cookie, format!("SRV={}", first.text()));
    for _ in 0..5 {
        let again = client.get_with("/whoami", &[("Cookie", &cookie)]).unwrap();
        assert_eq!(again.text(), first.text());
        assert_eq!(again.header("set-cookie"), None, "it has the cookie already");
    }
    assert_ne!(client.get("/whoami").unwrap().text(), client.get("/whoami").unwrap().text());
}

#[test]
fn an_indirect_cookie_is_ours_and_never_reaches_the_server() {
    let server = Scripted::answering(&answer(200, "", ""));
    let farm = Farm::start("cookie SRV insert indirect", &[server.address], "cookie one");
    farm.client().get_with("/", &[("Cookie", "a=1; SRV=one; b=2")]).unwrap();
    assert_eq!(server.last().header("cookie"), Some("a=1; b=2"));
    farm.client().get_with("/", &[("Cookie", "SRV=one")]).unwrap();
    assert_eq!(server.last().header("cookie"), None);
}

#[test]
fn an_error_file_replaces_our_own_words() {
    let sorry = cases::path("sorry.http");
    let nobody = e2e::Port::free().address();
    let farm = Farm::start(&format!("retries 0\nerrorfile 503 {}", sorry.display()), &[nobody], "");
    let answer = farm.client().get("/").unwrap();
    assert_eq!((answer.status, answer.header("x-sorry")), (503, Some("yes")));
    assert!(answer.text().contains("We are sorry"));
}

#[test]
fn an_early_413_arrives_while_the_upload_runs() {
    let refuse = |_: &_| vec![Step::send(&answer(413, "Connection: close\r\n", "too much")), Step::Close];
    let server = Scripted::staged(refuse, |_| Vec::new());
    let farm = before(&server);
    let answer = farm.client().post("/up", &[], &vec![b'x'; 1_000_000]).unwrap();
    assert_eq!((answer.status, answer.text()), (413, "too much".to_owned()));
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    let server = Scripted::start(|seen| {
        vec![Step::send(match seen.target.as_str() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 100\r\n\r\n",
            "/0" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => {
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            }
        })]
    });
    let farm = before(&server);
    let mut client = farm.client();
    for (path, status, body) in [("/204", 204, ""), ("/304", 304, ""), ("/0", 200, ""), ("/103", 200, "ok")] {
        let answer = client.get(path).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{path}");
        assert!(client.is_open(), "{path}");
        if path == "/103" {
            assert_eq!(answer.interim.len(), 1, "{answer:?}");
            assert_eq!(field(&answer.interim[0].1, "link"), Some("</a.css>"));
        }
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_body_may_end_with_the_connection() {
    let server = Scripted::start(|_| vec![Step::send("HTTP/1.1 200 OK\r\n\r\nuntil the end"), Step::Close]);
    let farm = before(&server);
    assert_eq!(farm.client().get("/").unwrap().text(), "until the end");
}

#[test]
fn fifty_megabytes_come_down_intact() {
    let server = Server::start("web1");
    let farm = Farm::start("", &[server.address], "");
    let body = farm.client().get(&format!("/bytes/{BIG}")).unwrap().body;
    assert_eq!(body.len(), BIG);
    assert!(body == pattern(), "the bytes differ");
}

#[test]
fn fifty_megabytes_go_up_and_come_back_intact() {
    let server = Server::start("web1");
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();
    client.connect().unwrap();
    let mut upward = client.connection().stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let head = e2e::client::head("POST", "/echo", &[], BIG);
        upward.write_all(head.as_bytes()).unwrap();
        upward.write_all(&pattern()).unwrap();
    });
    let answer = client.answer("POST").unwrap();
    writer.join().unwrap();
    assert!(answer.body == pattern(), "{} bytes came back", answer.body.len());
}

/// What GET /bytes of the sample application gives.
fn pattern() -> Vec<u8> {
    let block: Vec<u8> = (b'a'..b'a' + 23).cycle().take(23 * 1024).collect();
    let mut all = block.repeat(BIG.div_ceil(block.len()));
    all.truncate(BIG);
    all
}

#[test]
fn a_body_that_the_server_cuts_is_cut_for_the_client() {
    for end in [Step::Close, Step::Reset] {
        for head in
            ["Content-Length: 100\r\n\r\n0123456789", "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n"]
        {
            let steps = vec![Step::send(&format!("HTTP/1.1 200 OK\r\n{head}")), end.clone()];
            let server = Scripted::start(move |_| steps.clone());
            let farm = before(&server);
            let failure = farm.client().get("/").expect_err("it must not look complete");
            assert!(matches!(failure, Failure::Truncated | Failure::Reset), "{failure:?} {head} {end:?}");
        }
    }
}

#[test]
fn a_dying_server_does_not_look_like_a_complete_download() {
    let mut server = Server::start("web1");
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();
    client.send(b"GET /bytes/500000000 HTTP/1.1\r\nHost: app.example\r\n\r\n").unwrap();
    client.connection().take(1_000_000).unwrap();
    server.kill();
    let started = Instant::now();
    let rest = client.connection().take(500_000_000);
    assert_eq!(rest.unwrap_err(), Failure::Truncated);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn answers_that_are_no_http_become_502() {
    let bad = [
        "nonsense\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConte",
    ];
    for text in bad {
        let steps = vec![Step::send(text), Step::Close];
        let server = Scripted::start(move |_| steps.clone());
        let farm = before(&server);
        let answer = farm.client().get("/").unwrap_or_else(|failure| panic!("{failure:?}: {text:?}"));
        assert_eq!(answer.status, 502, "{text:?}");
    }
}

#[test]
fn a_server_that_hangs_up_without_a_word_is_a_502() {
    for end in [Step::Close, Step::Reset] {
        let server = Scripted::start(move |_| vec![end.clone()]);
        let farm = before(&server);
        assert_eq!(farm.client().post("/", &[], b"once").unwrap().status, 502);
        assert_eq!(server.seen().len(), 1, "a POST is never repeated");
    }
}

#[test]
fn bytes_that_nobody_asked_for_never_reach_the_next_visitor() {
    let server = Scripted::start(|seen| {
        let mut text = answer(200, "", &seen.target);
        text.push_str(&answer(200, "", "poison"));
        vec![Step::send(&text)]
    });
    let farm = before(&server);
    for number in 0..10 {
        let path = format!("/{number}");
        match farm.client().get(&path) {
            Ok(answer) => {
                assert!(answer.text() == path || answer.status == 502, "{path} got {}", answer.text());
            }
            Err(failure) => assert_eq!(failure, Failure::Reset),
        }
    }
}

#[test]
fn requests_with_two_meanings_are_refused() {
    let server = Scripted::answering(&answer(200, "", ""));
    let farm = before(&server);
    let bad = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    ];
    for text in bad {
        let mut client = farm.client();
        client.send(text.as_bytes()).unwrap();
        assert_eq!(client.answer("GET").unwrap().status, 400, "{text:?}");
    }
    assert!(server.seen().is_empty(), "{:?}", server.seen());
}

#[test]
fn an_unfinished_head_is_answered_408() {
    let server = Scripted::answering(&answer(200, "", ""));
    let farm = Farm::start("timeout http-request 300", &[server.address], "");
    let mut client = farm.client();
    client.send(b"GET / HTTP/1.1\r\nHost: app.exam").unwrap();
    assert_eq!(client.answer("GET").unwrap().status, 408);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_full_server_lets_others_wait_and_then_refuses() {
    let server = Server::start("web1");
    let farm = Farm::start("timeout queue 10s", &[server.address], "maxconn 1");
    let address = farm.port.address();
    let started = Instant::now();
    let both: Vec<_> = (0..2).map(|_| thread::spawn(move || slow(address))).collect();
    assert!(both.into_iter().all(|one| one.join().unwrap() == 200));
    assert!(started.elapsed() >= Duration::from_millis(800), "they did not wait: {:?}", started.elapsed());

    let impatient = Farm::start("timeout queue 100", &[server.address], "maxconn 1");
    let address = impatient.port.address();
    let both: Vec<_> = (0..2).map(|_| thread::spawn(move || slow(address))).collect();
    let mut statuses: Vec<_> = both.into_iter().map(|one| one.join().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

fn slow(address: SocketAddr) -> u16 {
    e2e::client::get(address, "/slow/400").unwrap().status
}

#[test]
fn a_dead_server_among_three_costs_no_request() {
    let servers = Server::start_many(2);
    let mut all = addresses(&servers);
    let nobody = e2e::Port::free();
    all.insert(1, nobody.address());
    let farm = Farm::start("balance roundrobin\noption redispatch 1", &all, "");
    let mut client = farm.client();
    for number in 0..9 {
        let answer = client.post("/work", &[("X-Request-Id", &number.to_string())], b"").unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(servers.iter().map(|server| server.statistic("posts_executed")).sum::<u64>(), 9);
}
