//! TCP mode: bytes are bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use e2e::databases::{Postgres, Redis};
use e2e::{Peer, Server, eventually};

use crate::farm::Farm;

const BIG: usize = 20_000_000;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn everything(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A server that reads up to the end, then answers with what it read, and closes.
fn mirror() -> Peer {
    Peer::start(|mut stream, _| {
        let mut bytes = Vec::new();
        if stream.read_to_end(&mut bytes).is_ok() {
            let _ = stream.write_all(&bytes);
        }
    })
}

#[test]
fn a_half_closed_connection_still_gets_its_answer() {
    let server = mirror();
    let farm = Farm::start("mode tcp", &[server.address], "");
    let mut stream = connect(farm.port.address());
    stream.write_all(b"all of it").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(everything(&mut stream), b"all of it");
}

#[test]
fn many_bytes_pass_both_ways_at_once() {
    let server = Peer::start(|mut stream, _| {
        let mut back = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut back);
    });
    let farm = Farm::start("mode tcp", &[server.address], "");
    let mut stream = connect(farm.port.address());
    let mut upward = stream.try_clone().unwrap();
    let sent = (0..=250).collect::<Vec<u8>>().repeat(BIG / 251);
    let copy = sent.clone();
    let writer = thread::spawn(move || {
        upward.write_all(&copy).unwrap();
        upward.shutdown(Shutdown::Write).unwrap();
    });
    assert!(everything(&mut stream) == sent, "the bytes differ");
    writer.join().unwrap();
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let server = Peer::start(|mut stream, _| {
        let _ = stream.write_all(b"220 welcome\r\n");
    });
    let farm = Farm::start("mode tcp", &[server.address], "");
    assert_eq!(everything(&mut connect(farm.port.address())), b"220 welcome\r\n");
}

/// What a server reads first, while it answers nothing.
fn first_words(lines: &str, words: &str, client_says: &[u8]) -> (Vec<u8>, SocketAddr, SocketAddr) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let server = Peer::start(move |mut stream, _| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        *ear.lock().unwrap() = bytes;
    });
    let farm = Farm::start(&format!("mode tcp\n{lines}"), &[server.address], words);
    let mut stream = connect(farm.port.address());
    let local = stream.local_addr().unwrap();
    stream.write_all(client_says).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    everything(&mut stream);
    let heard = heard.lock().unwrap().clone();
    (heard, local, farm.port.address())
}

#[test]
fn proxy_protocol_v1_tells_the_client() {
    let (heard, client, listener) = first_words("", "send-proxy", b"hello");
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", client.port(), listener.port());
    assert_eq!(String::from_utf8_lossy(&heard), expected);
}

#[test]
fn proxy_protocol_v2_tells_the_client() {
    let (heard, client, listener) = first_words("", "send-proxy-v2", b"hello");
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    expected.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    expected.extend(client.port().to_be_bytes());
    expected.extend(listener.port().to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(heard, expected);
}

/// A balancer whose port takes the PROXY protocol and whose server gets it.
fn told(client_says: &[u8]) -> String {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let server = Peer::start(move |mut stream, _| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        *ear.lock().unwrap() = bytes;
    });
    let port = e2e::Port::free();
    let config = crate::farm::listen(&port, "mode tcp", &[server.address], "send-proxy")
        .replace(&format!("bind 127.0.0.1:{port}"), &format!("bind 127.0.0.1:{port} accept-proxy"));
    let _balancer = e2e::Balancer::with(&config).ports([&port]).start();
    let mut stream = connect(port.address());
    // A connection that is refused may already be gone.
    let _ = stream.write_all(client_says).and_then(|()| stream.shutdown(Shutdown::Write));
    let _ = stream.read_to_end(&mut Vec::new());
    String::from_utf8_lossy(&heard.lock().unwrap()).into_owned()
}

#[test]
fn proxy_protocol_is_believed_where_the_file_says_so() {
    let v1 = told(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\nhello");
    assert_eq!(v1, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\nhello");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([192, 0, 2, 7, 198, 51, 100, 1]);
    v2.extend([0x12, 0x67, 0, 80]);
    v2.extend(b"hello");
    assert_eq!(told(&v2), v1);
}

#[test]
fn without_its_proxy_line_a_connection_is_closed() {
    assert_eq!(told(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n"), "");
}

/// Accepts connections and says nothing that a check could take for the real thing.
fn impostor() -> Peer {
    Peer::start(|mut stream, _| {
        let _ = stream.write_all(b"-ERR not here\r\n");
        let _ = stream.read(&mut [0; 64]);
    })
}

fn ask(address: SocketAddr, question: &[u8], answer: &[u8]) -> bool {
    let mut stream = connect(address);
    let mut heard = vec![0; answer.len()];
    stream.write_all(question).is_ok() && stream.read_exact(&mut heard).is_ok() && heard == answer
}

#[test]
fn a_redis_check_tells_redis_from_others() {
    let redis = Redis::start();
    let lines = "mode tcp\nbalance roundrobin\noption redis-check";
    let farm = Farm::start(lines, &[impostor().address, redis.address()], "check inter 100 fall 1 rise 1");
    let all_reach_redis = || (0..6).all(|_| ask(farm.port.address(), b"PING\r\n", b"+PONG\r\n"));
    eventually("only Redis is used", all_reach_redis);
}

#[test]
fn a_postgresql_check_tells_postgresql_from_others() {
    let postgres = Postgres::start();
    let impostor = impostor();
    let lines = "mode tcp\nbalance roundrobin\noption pgsql-check user postgres";
    let farm = Farm::start(lines, &[impostor.address, postgres.address()], "check inter 100 fall 1 rise 1");
    // "May we use TLS?" "No."
    let question = [0, 0, 0, 8, 4, 210, 22, 47];
    let all_reach_postgresql = || (0..6).all(|_| ask(farm.port.address(), &question, b"N"));
    eventually("only PostgreSQL is used", all_reach_postgresql);

    postgres
        .execute("create table users (id int primary key, name text); insert into users values (1, 'John')");
    let database = format!("--database=postgres://postgres@{}/postgres", farm.port.address());
    let application = Server::start_with("web1", &[&database]);
    let users = e2e::client::get(application.address, "/api/v1/users").unwrap();
    assert!(users.text().contains("John"), "{}", users.text());
}

#[test]
fn a_plain_check_finds_a_dead_port_and_its_return() {
    let (mut first, second) = (Server::start("web1"), Server::start("web2"));
    let farm = Farm::start("mode tcp", &[first.address, second.address], "check inter 100 fall 1 rise 1");
    let names =
        || -> Vec<_> { (0..4).filter_map(|_| Some(farm.client().get("/whoami").ok()?.text())).collect() };
    assert_eq!(names(), ["web1", "web2", "web1", "web2"]);
    first.kill();
    eventually("only web2 serves", || names() == ["web2"; 4]);
    first.restart();
    eventually("both serve", || names().contains(&"web1".to_owned()));
}
