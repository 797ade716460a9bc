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

/// The log line of each story, on a connection of its own.
fn told(program: &Program, lines: &str) -> Vec<String> {
    let server = server();
    let logged = Logged::start(program, server.address, lines);
    STORIES
        .iter()
        .map(|story| {
            let mut client = Client::to(logged.port.address());
            client.send(story.as_bytes()).unwrap();
            let ended = client.answer(story.split(' ').next().unwrap());
            assert!(!matches!(ended, Err(Failure::Timeout)), "{story}");
            drop(client);
            logged.line()
        })
        .collect()
}

/// What must be equal: the whole line after the tag, with N for numbers that differ from run to run.
fn shape(line: &str) -> String {
    let (_, message) = line.split_once("]: ").expect("a tag with a process id");
    let mut timers_done = false;
    let fields = message.split(' ').map(|field| match field {
        _ if is_address(field) || is_date(field) || are_numbers(field, 3) => numbers(field),
        _ if are_numbers(field, 5) && !timers_done => {
            timers_done = true;
            numbers(field)
        }
        // The first two of the counters include connections that are just being closed.
        _ if are_numbers(field, 5) => format!("N/N/{}", field.splitn(3, '/').last().unwrap_or_default()),
        _ => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join(" ")
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
        assert!(ours.starts_with("<134>"), "facility and severity: {ours}");
        assert_eq!(shape(ours), shape(theirs), "{story}\nours:   {ours}\ntheirs: {theirs}");
    }
}

#[test]
fn httplog_is_the_oracle_s_line() {
    same_as_the_oracle("    option httplog");
}

#[test]
fn tcplog_and_the_default_line_are_the_oracle_s() {
    let ours = told_tcp(&Program::subject());
    let theirs = told_tcp(&Program::oracle());
    assert_eq!(shape(&ours), shape(&theirs), "\nours:   {ours}\ntheirs: {theirs}");
}

fn told_tcp(program: &Program) -> String {
    let server = server();
    let logged = Logged::start(program, server.address, "    option tcplog\n    option httpclose");
    Client::to(logged.port.address()).get("/").unwrap();
    logged.line()
}

#[test]
fn captures_and_a_format_of_one_s_own() {
    let format = "    capture request header Host len 20\n    capture response header Content-Type len 10\n    option httplog";
    same_as_the_oracle(format);
    same_as_the_oracle("    log-format \"%ci:%cp [%tr] %ST %B %b %s %ts %{+Q}r %HM %HP %hr\"");
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
