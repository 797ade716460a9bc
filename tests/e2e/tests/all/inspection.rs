//! Rules below HTTP on an HTTP site, bodies that are waited for, lines written early.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use e2e::scripted::answer;
use e2e::{Balancer, Client, Port, Scripted, Step};

use crate::farm::DEFAULTS;

fn balancer(server: &Scripted, lines: &str, global: &str) -> (Balancer, Port) {
    let port = Port::free();
    let config = format!(
        "global\n    maxconn 100\n{global}{DEFAULTS}frontend web\n    bind 127.0.0.1:{port}\n{lines}
    default_backend servers\nbackend servers\n    server web1 {}\n",
        server.address
    );
    let balancer = Balancer::with(&config).ports([&port]).start();
    (balancer, port)
}

#[test]
fn a_connection_rule_closes_before_a_byte_is_read() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let rule = "    tcp-request connection reject if { src 127.0.0.0/8 }";
    let (_balancer, port) = balancer(&server, rule, "");
    assert!(Client::to(port.address()).get("/").is_err());
    assert!(server.seen().is_empty());
}

#[test]
fn a_content_rule_sees_the_request() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let rules = "    tcp-request inspect-delay 5s\n    tcp-request content reject if { path_beg /secret }";
    let (_balancer, port) = balancer(&server, rules, "");
    assert_eq!(Client::to(port.address()).get("/open").unwrap().status, 200);
    assert!(Client::to(port.address()).get("/secret/1").is_err());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_body_is_waited_for_before_a_server_is_asked() {
    let server = Scripted::answering(&answer(200, "", "hello"));
    let lines = "    option http-buffer-request\n    timeout http-request 300";
    let (_balancer, port) = balancer(&server, lines, "");
    let mut slow = Client::to(port.address());
    slow.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nab").unwrap();
    assert_eq!(slow.answer("POST").unwrap().status, 408);
    assert!(server.seen().is_empty());
    let chunks =
        b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let mut whole = Client::to(port.address());
    whole.send(chunks).unwrap();
    assert_eq!(whole.answer("POST").unwrap().status, 200);
    let mut asking = TcpStream::connect(port.address()).unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    asking.write_all(head).unwrap();
    let mut interim = [0; 25];
    asking.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    asking.write_all(b"ab").unwrap();
    let mut status = [0; 12];
    asking.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[test]
fn an_early_line_does_not_wait_for_the_body() {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let place = log.local_addr().unwrap();
    let server = Scripted::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        vec![Step::send(head), Step::Wait(Duration::from_secs(2)), Step::send("world")]
    });
    let lines = format!("    log {place} local0\n    option httplog\n    option logasap");
    let (_balancer, port) = balancer(&server, &lines, "");
    let mut client = Client::to(port.address());
    client.send(b"GET /early HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let started = std::time::Instant::now();
    let line = loop {
        let mut bytes = [0; 4096];
        let length = log.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if line.contains("/early") {
            break line;
        }
    };
    assert!(started.elapsed() < Duration::from_secs(1), "{line}");
    assert!(line.contains(" 200 +"), "{line}");
    assert_eq!(client.answer("GET").unwrap().text(), "helloworld");
}
