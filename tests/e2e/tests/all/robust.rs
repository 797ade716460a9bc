//! Visitors and servers who leave, stall, answer too early or say more than they were asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::http::Reader;
use e2e::scripted::{Peer, answer};
use e2e::{Balancer, Client, Failure, Port, RuntimeSocket, Scripted, Server, Step, eventually};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::farm::{Farm, listen};

/// Soon, on a machine that is busy with other stories.
const SOON: Duration = Duration::from_secs(3);

/// A farm with an administrator's socket.
struct Managed {
    admin: RuntimeSocket,
    port: Port,
    balancer: Balancer,
    _directory: TempDir,
}

impl Managed {
    fn start(lines: &str, servers: &[SocketAddr], words: &str) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), Port::free());
        let socket: PathBuf = directory.path().join("admin.sock");
        let global = format!("global\n    stats socket {} level admin\n", socket.display());
        let config = global + &listen(&port, lines, servers, words);
        let balancer = Balancer::with(&config).ports([&port]).start();
        eventually("the socket is there", || socket.exists());
        Self { admin: RuntimeSocket::at(socket), port, balancer, _directory: directory }
    }

    fn client(&self) -> Client {
        Client::to(self.port.address())
    }

    /// Connections of visitors, and requests at the servers, that are counted as open.
    fn open(&self) -> (u64, u64) {
        let at = |who| self.admin.number("app", who, "scur");
        (at("FRONTEND"), at("BACKEND"))
    }
}

/// A server that answers one request and says nothing to the next one; tells when the other side left.
fn silent_server() -> (Peer, mpsc::Receiver<()>) {
    let (left, when) = mpsc::channel();
    let server = Peer::start(move |mut stream, _| {
        let mut bytes = [0; 4096];
        if !matches!(stream.read(&mut bytes), Ok(1..)) {
            return;
        }
        let _ = stream.write_all(answer(200, "", "").as_bytes());
        while matches!(stream.read(&mut bytes), Ok(1..)) {}
        let _ = left.send(());
    });
    (server, when)
}

fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn a_visitor_who_resets_while_waiting_frees_the_server() {
    let (server, left) = silent_server();
    let farm = Managed::start("", &[server.address], "");
    let mut client = farm.client();
    client.get("/").unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the request is at the server", || farm.open().1 == 1);
    reset(client.into_stream());
    assert!(left.recv_timeout(SOON).is_ok(), "the server still works for nobody");
    eventually("nothing is counted as open", || farm.open() == (0, 0));
}

#[test]
fn a_visitor_who_closes_while_waiting_frees_the_server_when_wanted() {
    let (server, left) = silent_server();
    let farm = Managed::start("option abortonclose", &[server.address], "");
    let mut client = farm.client();
    client.get("/").unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the request is at the server", || farm.open().1 == 1);
    client.finish();
    assert!(left.recv_timeout(SOON).is_ok(), "the server still works for nobody");
}

#[test]
fn a_visitor_who_resets_inside_a_stalled_answer_frees_the_server() {
    let (left, when) = mpsc::channel();
    let server = Peer::start(move |mut stream, _| {
        let mut bytes = [0; 4096];
        if !matches!(stream.read(&mut bytes), Ok(1..)) {
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin");
        while matches!(stream.read(&mut bytes), Ok(1..)) {}
        let _ = left.send(());
    });
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    while !client.connection().ahead.ends_with(b"begin") {
        client.connection().fill().unwrap();
    }
    reset(client.into_stream());
    assert!(when.recv_timeout(SOON).is_ok(), "the server still works for nobody");
}

#[test]
fn a_refused_answer_takes_no_byte_of_the_next_request() {
    for body in [40, 30_000] {
        let server = Scripted::start(|seen| {
            let secret = if seen.target == "/first" { "X-Secret: yes\r\n" } else { "" };
            vec![Step::send(&answer(200, secret, &seen.target))]
        });
        let farm = Farm::start("http-response deny if { res.hdr(X-Secret) -m found }", &[server.address], "");
        let mut client = farm.client();
        let first = e2e::client::head("POST", "/first", &[], body) + &"x".repeat(body);
        let second = e2e::client::head("GET", "/second", &[("X-Long", &"y".repeat(6_000))], 0);
        client.send((first + &second).as_bytes()).unwrap();
        assert!(client.answer("POST").unwrap().status >= 400);
        if client.is_open() {
            assert_eq!(client.answer("GET").unwrap().text(), "/second", "after a body of {body}");
        }
        assert!(server.seen().iter().all(|seen| seen.body.len() == body || seen.target == "/second"));
    }
}

#[test]
fn a_connection_outlives_a_refused_answer_and_a_change_of_its_server() {
    let server = Scripted::answering(&answer(200, "X-Secret: yes\r\n", "hello"));
    let farm = Managed::start("http-response deny if { res.hdr(X-Secret) -m found }", &[server.address], "");
    let mut client = farm.client();
    assert!(client.get("/").unwrap().status >= 400);
    assert!(client.is_open());
    client.send(b"GET / HTTP/1.1\r\n").unwrap();
    farm.admin.order("disable server app/web1");
    farm.admin.order("enable server app/web1");
    client.send(b"Host: a\r\n\r\n").unwrap();
    assert_ne!(client.answer("GET").unwrap().status, 408);
}

#[test]
fn an_upload_may_last_longer_than_the_servers_time_out_when_its_answer_has_begun() {
    let server = Peer::start(|mut stream, _| {
        let mut reader = Reader::new(stream.try_clone().unwrap());
        while !reader.ahead.windows(4).any(|end| end == b"\r\n\r\n") {
            if !reader.fill().unwrap_or(false) {
                return;
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        while !reader.ahead.ends_with(b"end") && reader.fill().unwrap_or(false) {}
        let _ = stream.write_all(b"done");
    });
    let farm = Farm::start("timeout server 600", &[server.address], "");
    let mut client = farm.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 103\r\n\r\n").unwrap();
    for _ in 0..10 {
        client.send(b"0123456789").unwrap();
        // The pace is the story.
        std::thread::sleep(Duration::from_millis(120));
    }
    client.send(b"end").unwrap();
    assert_eq!(client.answer("POST").unwrap().text(), "done");
}

#[test]
fn an_empty_chunked_body_is_not_waited_for_twice() {
    let server = Scripted::start(|seen| match (seen.target.as_str(), seen.connection) {
        ("/second", 1) => vec![Step::Close],
        _ => vec![Step::send(&answer(200, "", "hello"))],
    });
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client().patience(SOON);
    for path in ["/first", "/second"] {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        client.send(head.as_bytes()).unwrap();
        let status = client.answer("PUT").unwrap().status;
        assert!(matches!(status, 200 | 502), "{path}: {status}");
    }
}

#[test]
fn bad_chunks_of_visitors_are_no_fault_of_the_server() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let words = "check inter 60s observe layer7 error-limit 2 on-error mark-down";
    let farm = Managed::start("", &[server.address], words);
    for _ in 0..5 {
        let mut client = farm.client();
        client
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .unwrap();
        eventually("it is at the server", || farm.open().1 == 1);
        client.send(b"nonsense\r\n").unwrap();
        assert_eq!(client.answer("POST").unwrap().status, 400);
        eventually("it is over", || farm.open().1 == 0);
    }
    assert_eq!(farm.client().get("/").unwrap().text(), "hello");
    assert_eq!(farm.admin.number("app", "web1", "eresp"), 0);
}

#[test]
fn visitors_who_stop_sending_are_no_fault_of_the_server() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let words = "check inter 60s observe layer7 error-limit 2 on-error mark-down";
    let farm = Managed::start("timeout client 100", &[server.address], words);
    for _ in 0..4 {
        let mut client = farm.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello").unwrap();
        assert_eq!(client.answer("POST").unwrap().status, 408);
    }
    assert_eq!(farm.client().get("/").unwrap().text(), "hello");
    assert_eq!(farm.admin.number("app", "web1", "eresp"), 0);
}

#[test]
fn a_kept_connection_does_not_delay_a_graceful_stop() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let mut farm = Farm::start("", &[server.address], "");
    let mut clients: Vec<_> = (0..3).map(|_| farm.client()).collect();
    for client in &mut clients {
        client.get("/").unwrap();
    }
    stops_soon(&mut farm);
}

#[test]
fn an_answer_that_ends_after_the_stop_does_not_delay_it() {
    let server = Scripted::start(|_| {
        vec![
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
            Step::Wait(Duration::from_millis(400)),
            Step::send("world"),
        ]
    });
    let mut farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    while !client.connection().ahead.ends_with(b"hello") {
        client.connection().fill().unwrap();
    }
    stops_soon(&mut farm);
    assert_eq!(client.answer("GET").unwrap().text(), "helloworld");
}

#[test]
fn who_has_just_connected_is_served_during_a_graceful_stop() {
    let server = Scripted::start(|seen| {
        let pause = if seen.target == "/slow" { Duration::from_secs(2) } else { Duration::ZERO };
        vec![Step::Wait(pause), Step::send(&answer(200, "", "hello"))]
    });
    let farm = Farm::start("", &[server.address], "");
    let mut slow = farm.client();
    slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut client = farm.client();
    client.connect().unwrap();
    assert_eq!(farm.client().get("/").unwrap().text(), "hello");
    farm.balancer.process.signal(graceful(&farm.balancer));
    eventually("nobody new is taken", || farm.client().connect().is_err());
    assert_eq!(client.get("/").unwrap().text(), "hello");
    assert_eq!(slow.answer("GET").unwrap().text(), "hello");
}

fn graceful(balancer: &Balancer) -> Signal {
    if balancer.program.is_mainstay() { Signal::TERM } else { Signal::USR1 }
}

fn stops_soon(farm: &mut Farm) {
    farm.balancer.process.signal(graceful(&farm.balancer));
    let begun = Instant::now();
    farm.balancer.process.wait(Duration::from_secs(40));
    assert!(begun.elapsed() < SOON, "the stop took {:?}", begun.elapsed());
}

#[test]
fn an_operator_cuts_a_download_that_never_pauses() {
    let server = Peer::start(|mut stream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    let farm = Managed::start("", &[server.address], "");
    let mut client = farm.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.connection().take(1_000_000).unwrap();
    let reader = std::thread::spawn(move || {
        let (begun, mut bytes) = (Instant::now(), vec![0; 1 << 20]);
        let stream = &mut client.connection().stream;
        while begun.elapsed() < SOON {
            if !matches!(stream.read(&mut bytes), Ok(1..)) {
                return true;
            }
        }
        false
    });
    farm.admin.order("shutdown sessions server app/web1");
    assert!(reader.join().unwrap(), "the download goes on");
}

#[test]
fn an_early_answer_spoils_no_other_request() {
    let early = |seen: &e2e::Seen| match seen.target.as_str() {
        "/early" => vec![Step::send(&answer(200, "", "early"))],
        _ => Vec::new(),
    };
    let server = Scripted::staged(early, |seen| match seen.target.as_str() {
        "/early" => Vec::new(),
        other => vec![Step::send(&answer(200, "", other))],
    });
    let farm = Farm::start("http-reuse always", &[server.address], "");
    let mut attacker = farm.client();
    attacker.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n").unwrap();
    assert_eq!(attacker.answer("POST").unwrap().text(), "early");
    for number in 0..5 {
        let path = format!("/victim{number}");
        assert_eq!(farm.client().get(&path).unwrap().text(), path);
    }
    assert!(server.seen().iter().all(|seen| seen.target != "/early" || seen.body.is_empty()));
}

#[test]
fn a_body_sent_after_a_refused_expectation_is_never_a_request() {
    let refuse = |_: &_| vec![Step::send(&answer(401, "", "who are you?"))];
    let server = Scripted::staged(refuse, |_| Vec::new());
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = hidden.len();
    let head =
        format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n");
    client.send(head.as_bytes()).unwrap();
    let mut stream = {
        client.connect().unwrap();
        client.connection().stream.try_clone().unwrap()
    };
    assert_eq!(client.answer("POST").unwrap().status, 401);
    let _ = stream.write_all(hidden.as_bytes());
    let _ = stream.set_read_timeout(Some(SOON));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(server.seen().iter().all(|seen| seen.target == "/"), "{:?}", server.seen());
}

#[test]
fn a_body_behind_the_answer_to_head_reaches_nobody() {
    for pause in [0, 100] {
        let server = Scripted::start(move |seen| match seen.method.as_str() {
            "HEAD" => vec![
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"),
                Step::Wait(Duration::from_millis(pause)),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
            ],
            _ => vec![Step::send(&answer(200, "", &seen.target))],
        });
        let farm = Farm::start("http-reuse always", &[server.address], "");
        let mut client = farm.client();
        assert_eq!(client.request("HEAD", "/", &[], b"").unwrap().status, 200);
        // The late bytes arrive meanwhile.
        std::thread::sleep(Duration::from_millis(2 * pause));
        for number in 0..3 {
            let path = format!("/{number}");
            assert_eq!(client.get(&path).unwrap().text(), path);
        }
    }
}

#[test]
fn bytes_that_come_after_a_time_out_are_never_a_request() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = Farm::start("timeout client 200", &[server.address], "");
    let mut client = farm.client();
    client.send(b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\nhalf").unwrap();
    let mut stream = client.connection().stream.try_clone().unwrap();
    assert_eq!(client.answer("POST").unwrap().status, 408);
    let _ = stream.write_all(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = stream.set_read_timeout(Some(SOON));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(server.seen().iter().all(|seen| seen.target != "/late"));
}

#[test]
fn a_get_turned_from_head_by_a_rule_has_no_body_for_the_visitor() {
    let server = Scripted::start(|seen| vec![Step::send(&answer(200, "", &seen.method))]);
    let farm = Farm::start("http-request set-method GET if { method HEAD }", &[server.address], "");
    let mut client = farm.client();
    for _ in 0..2 {
        let answer = client.request("HEAD", "/", &[], b"").unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("3")));
    }
    assert_eq!(client.get("/").unwrap().text(), "GET");
}

#[test]
fn requests_are_held_while_no_server_is_there() {
    let mut server = Server::start("web1");
    let (directory, port) = (tempfile::tempdir().unwrap(), Port::free());
    let socket = directory.path().join("admin.sock");
    let config = format!(
        "process: {{ runtime: [{{ address: \"unix:{}\", level: admin }}] }}\n\
         sites:\n  front: {{ mode: http, listen: [\"127.0.0.1:{port}\"], timeouts: {{ client: 10s }}, pool: app }}\n\
         pools:\n  app:\n    mode: http\n    hold: 8s\n    timeouts: {{ connect: 200ms, server: 5s, queue: 200ms }}\n\
         \x20   check: {{ http: GET /health, every: 100ms, rise: 1, fall: 1 }}\n\
         \x20   servers: {{ web1: \"{}\" }}\n",
        socket.display(),
        server.address
    );
    let _balancer = Balancer::with(&config).file_name("mainstay.yaml").ports([&port]).start();
    eventually("the socket is there", || socket.exists());
    let admin = RuntimeSocket::at(socket);
    server.kill();
    eventually("it is seen down", || admin.cell("app", "web1", "status").starts_with("DOWN"));
    let address = port.address();
    let waiting = std::thread::spawn(move || e2e::client::get(address, "/whoami"));
    eventually("it waits", || admin.number("app", "BACKEND", "qcur") == 1);
    // Longer than the queue's time-out: that one is for servers that are full.
    std::thread::sleep(Duration::from_millis(600));
    server.restart();
    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
}

#[test]
fn nothing_stays_open_after_hostile_visitors() {
    let servers = Server::start_many(2);
    let farm = Managed::start("timeout http-request 500", &crate::farm::addresses(&servers), "maxconn 5");
    let address = farm.port.address();
    let hostile: [&[u8]; 6] = [
        b"GET / HTT",
        b"\x16\x03\x01\x00\xff\xff\xff",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
        b"GET /slow/300 HTTP/1.1\r\nHost: a\r\n\r\nGET /whoami HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /bytes/1000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let visits: Vec<_> = (0..120).map(|number| (number, hostile[number % hostile.len()])).collect();
    let streams: Vec<_> = visits
        .iter()
        .map(|(number, bytes)| {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(bytes);
            (*number, stream)
        })
        .collect();
    for (number, stream) in streams {
        if number % 2 == 0 { reset(stream) } else { drop(stream) }
    }
    eventually("nothing is counted as open", || farm.open() == (0, 0));
    assert_eq!(farm.admin.number("app", "BACKEND", "qcur"), 0);
    assert_eq!(farm.client().get("/whoami").unwrap().status, 200);
    assert!(!farm.balancer.process.output().contains("panicked"), "{}", farm.balancer.process.output());
}

/// The client of the harness tells a race on a kept connection from a failure.
#[test]
fn a_server_that_closes_between_requests_costs_no_request() {
    let server = Scripted::start(|_| vec![Step::send(&answer(200, "", "hello")), Step::Close]);
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();
    for number in 0..50 {
        match client.get("/") {
            Ok(answer) => assert_eq!(answer.status, 200, "request {number}"),
            Err(failure) => assert_eq!(failure, Failure::ReuseRace),
        }
    }
}

#[test]
fn a_bad_first_chunk_is_a_502() {
    let bad = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    let server = Scripted::answering(bad);
    let farm = Farm::start("log stdout format raw local0\noption httplog", &[server.address], "");
    assert_eq!(farm.client().get("/").unwrap().status, 502);
    assert!(farm.balancer.process.line_after(0, " 502 ", SOON).contains(" PH-- "));
}

#[test]
fn a_visitor_who_leaves_inside_a_body_is_the_one_who_left() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = Farm::start("log stdout format raw local0\noption httplog", &[server.address], "");
    let mut client = farm.client();
    client.send(b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhello").unwrap();
    client.finish();
    let line = farm.balancer.process.line_after(0, "/half", SOON);
    assert!(line.contains(" CD-- "), "{line}");
}

#[test]
fn bad_requests_are_requests() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let farm = Managed::start("", &[server.address], "");
    let mut client = farm.client();
    client.send(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.answer("GET").unwrap().status, 400);
    let tell = |column| farm.admin.number("app", "FRONTEND", column);
    eventually("it is counted", || tell("hrsp_4xx") == 1);
    assert_eq!((tell("req_tot"), tell("ereq")), (1, 1));
}

#[test]
fn requests_that_wait_outlive_a_reload() {
    let server = Server::start("web1");
    let port = Port::free();
    let config = |limit| listen(&port, "timeout queue 10s", &[server.address], &format!("maxconn {limit}"));
    let balancer = Balancer::with(&config(1)).ports([&port]).reloadable().start();
    let address = port.address();
    let clients: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || e2e::client::get(address, "/slow/400").map(|one| one.status)))
        .collect();
    eventually("one is at work", || server.statistic("requests") > 0);
    balancer.rewrite(&config(2));
    balancer.reload();
    for client in clients {
        assert_eq!(client.join().unwrap(), Ok(200));
    }
}
