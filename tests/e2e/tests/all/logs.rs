//! Access logs: the same line as HAProxy's, field by field.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use e2e::scripted::answer;
use e2e::{Balancer, Client, Failure, Port, Program, Scripted, Step};

use crate::farm::DEFAULTS;

/// A balancer that sends its log to us.
struct Logged {
    _balancer: Balancer,
    log: UdpSocket,
    port: Port,
}

impl Logged {
    fn start(program: &Program, server: SocketAddr, lines: &str) -> Self {
        let log = UdpSocket::bind("127.0.0.1:0").unwrap();
        log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (port, place) = (Port::free(), log.local_addr().unwrap());
        let config = format!(
            "global\n    log {place} local0\n{DEFAULTS}    timeout server 300\n    retries 0\n    log global\n
frontend web\n    bind 127.0.0.1:{port}\n{lines}\n    use_backend none if {{ path /nobody }}
    default_backend servers\n
backend none\n    balance roundrobin\n
backend servers\n    server web1 {server}\n"
        );
        let balancer = Balancer::with(&config).program(program).ports([&port]).start();
        Self { _balancer: balancer, log, port }
    }

    /// The next line of an access log; lines about the program itself do not count.
    fn line(&self) -> String {
        let mut bytes = [0; 8192];
        loop {
            let length = self.log.recv(&mut bytes).expect("a log line");
            let line = String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned();
            if line.contains("]: 127.0.0.1:") {
                return line;
            }
        }
    }
}

fn server() -> Scripted {
    Scripted::start(|seen| match seen.target.as_str() {
        "/hang" => vec![Step::Wait(Duration::from_millis(800)), Step::Close],
        "/hangup" => vec![Step::Close],
        "/cut" => vec![Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), Step::Close],
        "/missing" => vec![Step::send(&answer(404, "", "no"))],
        _ => vec![Step::send(&answer(200, "Content-Type: text/plain\r\n", "hello"))],
    })
}

const STORIES: [&str; 9] = [
    "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "GET /missing?q=1 HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "POST /form HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\na=bc",
    "HEAD / HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "GET /nobody HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "GET /hang HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "POST /hangup HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n",
    "GET /cut HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "GET /bad header HTTP/1.1\r\n\r\n",
];

/// A log line, and the bytes of the answer that really came.
struct Told {
    line: String,
    received: usize,
}

/// What is told of each story, on a connection of its own.
fn told(program: &Program, lines: &str) -> Vec<Told> {
    let server = server();
    let logged = Logged::start(program, server.address, lines);
    STORIES
        .iter()
        .map(|story| {
            let mut client = Client::to(logged.port.address());
            client.send(story.as_bytes()).unwrap();
            let ended = client.answer(story.split(' ').next().unwrap());
            assert!(!matches!(ended, Err(Failure::Timeout)), "{story}");
            let received = client.received();
            drop(client);
            Told { line: logged.line(), received }
        })
        .collect()
}

/// A line apart: what must be equal, and the number of bytes that were sent to the client.
///
/// What must be equal is everything behind the tag, with N for numbers that differ from run to run. One
/// of these is the number of bytes: HAProxy 2.6 counts its own inner form of an answer, which is some
/// bytes longer or shorter than what goes out; we count what goes out, and are held to that below.
fn apart(line: &str) -> (String, Option<usize>) {
    let (_, message) = line.split_once("]: ").expect("a tag with a process id");
    let (mut timers_done, mut until_bytes, mut bytes) = (false, None, None);
    let mut shape = Vec::new();
    for field in message.split(' ') {
        let to_go = until_bytes.map(|fields: u32| fields.wrapping_sub(1));
        until_bytes = to_go;
        shape.push(match field {
            _ if to_go == Some(0) => {
                bytes = field.trim_start_matches("bytes=").parse().ok();
                numbers(field)
            }
            _ if field.starts_with("bytes=") => {
                bytes = field.trim_start_matches("bytes=").parse().ok();
                numbers(field)
            }
            // Timers of TCP; the next field is the number of bytes.
            _ if are_numbers(field, 3) && !timers_done => {
                (timers_done, until_bytes) = (true, Some(1));
                numbers(field)
            }
            // Timers of HTTP; the status stands between.
            _ if are_numbers(field, 5) && !timers_done => {
                (timers_done, until_bytes) = (true, Some(2));
                numbers(field)
            }
            _ if is_address(field) || is_date(field) => numbers(field),
            // The first two of the counters include connections that are just being closed.
            _ if are_numbers(field, 5) => {
                format!("N/N/{}", field.splitn(3, '/').last().unwrap_or_default())
            }
            _ => field.to_owned(),
        });
    }
    (shape.join(" "), bytes)
}

fn is_address(field: &str) -> bool {
    field.parse::<SocketAddr>().is_ok()
}

fn is_date(field: &str) -> bool {
    field.starts_with('[') && field.matches(':').count() == 3
}

/// Whether the field is that many numbers with slashes between them.
fn are_numbers(field: &str, count: usize) -> bool {
    let parts: Vec<_> = field.split('/').collect();
    parts.len() == count && parts.iter().all(|part| part.trim_start_matches('+').parse::<i64>().is_ok())
}

fn numbers(field: &str) -> String {
    let mut shape = String::new();
    for byte in field.chars() {
        if !byte.is_ascii_digit() {
            shape.push(byte);
        } else if !shape.ends_with('N') {
            shape.push('N');
        }
    }
    shape
}

fn same_as_the_oracle(lines: &str) {
    let ours = told(&Program::subject(), lines);
    let theirs = told(&Program::oracle(), lines);
    for ((story, ours), theirs) in STORIES.iter().zip(&ours).zip(&theirs) {
        assert!(ours.line.starts_with("<134>"), "facility and severity: {}", ours.line);
        same(story, ours, theirs);
    }
}

fn same(story: &str, ours: &Told, theirs: &Told) {
    let [(our_shape, bytes), (their_shape, _)] = [ours, theirs].map(|told| apart(&told.line));
    assert_eq!(our_shape, their_shape, "{story}\nours:   {}\ntheirs: {}", ours.line, theirs.line);
    if Program::subject().is_mainstay() {
        assert_eq!(bytes, Some(ours.received), "bytes that came to the client: {}", ours.line);
    }
}

#[test]
fn httplog_is_the_oracle_s_line() {
    same_as_the_oracle("    option httplog");
}

#[test]
fn tcplog_and_the_default_line_are_the_oracle_s() {
    same("GET /", &told_tcp(&Program::subject()), &told_tcp(&Program::oracle()));
}

fn told_tcp(program: &Program) -> Told {
    let server = server();
    let logged = Logged::start(program, server.address, "    option tcplog\n    option httpclose");
    let mut client = Client::to(logged.port.address());
    client.get("/").unwrap();
    Told { line: logged.line(), received: client.received() }
}

#[test]
fn captures_and_a_format_of_one_s_own() {
    let captures = "    capture request header Host len 20\n    capture response header Content-Type len 10";
    same_as_the_oracle(&format!("{captures}\n    option httplog"));
    same_as_the_oracle("    log-format \"%ci:%cp [%tr] %ST bytes=%B %b %s %ts %{+Q}r %HM %HP %hr\"");
}

/// One server that takes one request at a time, and visitors who do not wait for ever.
#[test]
fn a_visitor_who_waited_too_long_is_told_and_logged() {
    let server = Scripted::start(|seen| {
        let pause = if seen.target == "/slow" { 1_200 } else { 0 };
        vec![Step::Wait(Duration::from_millis(pause)), Step::send(&answer(200, "", "hello"))]
    });
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (port, place) = (Port::free(), log.local_addr().unwrap());
    let config = format!(
        "global\n    log {place} local0\n{DEFAULTS}    timeout queue 200\n    log global\n
frontend web\n    bind 127.0.0.1:{port}\n    option httplog\n    default_backend servers\n
backend servers\n    server web1 {} maxconn 1\n",
        server.address
    );
    let balancer = Balancer::with(&config).ports([&port]).start();
    let logged = Logged { _balancer: balancer, log, port };
    let mut slow = Client::to(logged.port.address());
    slow.send(b"GET /slow HTTP/1.1\r\nHost: app.example\r\n\r\n").unwrap();
    e2e::eventually("the slow request has arrived", || server.seen().len() == 1);
    let waited = Client::to(logged.port.address()).get("/quick").unwrap();
    assert_eq!(waited.status, 503);
    let line = logged.line();
    let fields: Vec<_> = line.split(' ').skip_while(|field| !field.starts_with("servers/")).collect();
    assert_eq!(fields[0], "servers/<NOSRV>", "{line}");
    assert_eq!((fields[2], fields[6]), ("503", "sQ--"), "{line}");
    let timers: Vec<i64> = fields[1].split('/').map(|timer| timer.parse().unwrap()).collect();
    assert!((200..600).contains(&timers[1]) && timers[2..4] == [-1, -1], "{line}");
    assert_eq!(slow.answer("GET").unwrap().text(), "hello");
    assert_eq!(server.seen().len(), 1, "the one that waited never came to the server");
}

#[test]
fn timers_add_up() {
    let server = server();
    let logged = Logged::start(&Program::subject(), server.address, "    option httplog");
    Client::to(logged.port.address()).get("/").unwrap();
    let line = logged.line();
    let timers: Vec<i64> = line
        .split(' ')
        .find(|field| field.matches('/').count() == 4 && !field.contains('"'))
        .unwrap_or_else(|| panic!("{line}"))
        .split('/')
        .map(|timer| timer.parse().unwrap())
        .collect();
    assert!(timers.iter().all(|timer| *timer >= 0), "{line}");
    assert!(timers[0] + timers[1] + timers[2] + timers[3] <= timers[4] + 3, "{line}");
}
