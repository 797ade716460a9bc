//! `stream {}` of an nginx.conf: TCP beside Debian's nginx, and datagrams whose servers die.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use e2e::{Balancer, Port, Program};

/// Where Debian puts the module.
const MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";

/// A server of datagrams that answers each with its name and what was asked, until it is told to die.
struct Echo {
    address: SocketAddr,
    dies: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Echo {
    fn start(name: &'static str) -> Echo {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (address, dies) = (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&dies);
        let run = move || {
            let mut block = [0; 2048];
            while !told.load(Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut block) {
                    let answer = [name.as_bytes(), b" ", &block[..length]].concat();
                    socket.send_to(&answer, from).unwrap();
                }
            }
        };
        Echo { address, dies, thread: Some(thread::spawn(run)) }
    }

    fn die(&mut self) {
        self.dies.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn ask(to: SocketAddr, question: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect(to).unwrap();
    socket.send(question.as_bytes()).unwrap();
    let mut block = [0; 2048];
    let length = socket.recv(&mut block).unwrap();
    String::from_utf8(block[..length].to_vec()).unwrap()
}

#[test]
fn every_question_is_answered_when_one_of_two_servers_dies() {
    let directory = tempfile::tempdir().unwrap();
    let (mut one, two) = (Echo::start("one"), Echo::start("two"));
    let (port, ready) = (Port::free(), Port::free());
    let config = format!(
        "daemon off; pid {folder}/pid; {MODULE} events {{}}
         stream {{
             upstream dns {{ server {one}; server {two}; }}
             log_format ends '$status $upstream_addr';
             server {{
                 listen {port} udp; proxy_pass dns; proxy_responses 1; proxy_timeout 20s;
                 proxy_next_upstream on; access_log {folder}/ends.log ends;
             }}
             server {{ listen {ready}; return ready; }}
         }}",
        folder = directory.path().display(),
        one = one.address,
        two = two.address,
        port = port.address(),
        ready = ready.address(),
    );
    let program = Program::subject().called_nginx(directory.path());
    let mut server =
        Balancer::with(&config).file_name("nginx.conf").program(&program).ports([&ready]).start();
    let names = |range: std::ops::Range<u32>| -> Vec<String> {
        let asked = range.map(|n| ask(port.address(), &format!("question {n}")));
        asked.map(|answer| answer.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let before = names(0..10);
    assert_eq!(before.iter().filter(|name| *name == "one").count(), 5, "{before:?}");
    one.die();
    let after = names(10..30);
    assert!(after.iter().all(|name| name == "two"), "{after:?}");
    server.process.stop();
    let log = std::fs::read_to_string(directory.path().join("ends.log")).unwrap();
    assert_eq!(log.lines().count(), 30, "{log}");
    assert!(log.lines().all(|line| line.starts_with("200 ")), "{log}");
    assert!(log.contains(&format!("200 {}, {}\n", one.address, two.address)), "{log}");
}

/// What a server does, and what a client sends to it. `$other` is the address of one that says `other`.
const CASES: &[(&str, &str)] = &[
    ("return plain;", ""),
    ("return \"$protocol $remote_addr $server_addr $status $bytes_sent $bytes_received\";", ""),
    ("return \"$proxy_protocol_addr:$proxy_protocol_port\";", ""),
    ("return \"$mapped $located $shared\";", ""),
    ("set $it first; set $it \"$it second\"; return $it;", ""),
    ("deny all; return x;", ""),
    ("allow 127.0.0.1; deny all; return allowed;", ""),
    ("deny 127.0.0.0/8; allow all; return x;", ""),
    ("allow 10.0.0.0/8; deny all; return x;", ""),
    ("deny unix:; return \"not unix\";", ""),
    ("proxy_pass $other;", ""),
    ("proxy_pass other;", ""),
    ("proxy_pass $target;", ""),
    ("proxy_pass nobody;", "lost"),
    ("proxy_pass told; proxy_protocol on;", ""),
    ("proxy_pass $other; proxy_download_rate 1k;", ""),
    (
        "ssl_preread on; return \"[$ssl_preread_protocol|$ssl_preread_server_name|$ssl_preread_alpn_protocols]\";",
        "GET / HTTP/1.0\r\n\r\n",
    ),
    (
        "ssl_preread on; return \"[$ssl_preread_protocol|$ssl_preread_server_name]\";",
        "\u{16}\u{3}\u{1}\u{0}\u{38}\u{1}\u{0}\u{0}\u{34}\u{3}\u{2}AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH\u{0}\u{0}\u{0}\u{0}\u{0}\u{c}\u{0}\u{0}\u{0}\u{8}\u{0}\u{6}\u{0}\u{0}\u{3}foo",
    ),
    ("limit_conn zone 5; return within;", ""),
];

fn exchange(to: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(sent.as_bytes());
    let mut answer = Vec::new();
    // A reset is an end like any other here.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// What each case answers.
fn play(program: &Program, folder: &std::path::Path) -> Vec<String> {
    let (ports, other, told) =
        (CASES.iter().map(|_| Port::free()).collect::<Vec<_>>(), Port::free(), Port::free());
    let closed = Port::free();
    let servers: String = CASES
        .iter()
        .zip(&ports)
        .map(|((text, _), port)| {
            let text = text.replace("$other", &other.address().to_string());
            format!("server {{ listen {}; {text} }}\n", port.address())
        })
        .collect();
    let config = format!(
        "daemon off; pid {folder}/pid; {MODULE} events {{}}
         stream {{
             map $protocol $mapped {{ default none; ~^(?<start>T)CP $start; }}
             map 1 $target {{ default {other}; }}
             geo $located {{ default far; 127.0.0.0/8 near; 127.0.0.0/24 nearer; }}
             split_clients fixed $shared {{ 50% half; * rest; }}
             limit_conn_zone $binary_remote_addr zone=zone:1m;
             upstream other {{ server {other}; }}
             upstream told {{ server {told}; }}
             upstream nobody {{ server {closed}; }}
             server {{ listen {other}; return \"other\"; }}
             server {{ listen {told} proxy_protocol; return \"told $proxy_protocol_addr\"; }}
             {servers}
         }}",
        folder = folder.display(),
        other = other.address(),
        told = told.address(),
        closed = closed.address(),
    );
    let _server = Balancer::with(&config).file_name("nginx.conf").program(program).ports([&other]).start();
    CASES.iter().zip(&ports).map(|((_, sent), port)| exchange(port.address(), sent)).collect()
}

#[test]
fn streams_answer_as_nginx_does() {
    let directory = tempfile::tempdir().unwrap();
    let ours = play(&Program::subject().called_nginx(directory.path()), directory.path());
    let theirs = play(&Program::oracle_for_nginx(), directory.path());
    let differ: Vec<_> = CASES
        .iter()
        .zip(ours.iter().zip(&theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|((text, _), (ours, theirs))| format!("{text}\n  ours:   {ours:?}\n  nginx:  {theirs:?}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(theirs.iter().filter(|text| !text.is_empty()).count() >= 12, "{theirs:?}");
}
