//! Tools that speak with the runtime socket: what they send and how they read the answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use e2e::{Balancer, Client, Port, RuntimeSocket, Server, eventually};
use tempfile::TempDir;

use crate::farm::{addresses, listen, who_answers};

struct Console {
    socket: PathBuf,
    port: Port,
    balancer: Balancer,
    servers: Vec<Server>,
    _directory: TempDir,
}

impl Console {
    fn start() -> Self {
        let servers = Server::start_many(2);
        let directory = tempfile::tempdir().unwrap();
        let (socket, port) = (directory.path().join("admin"), Port::free());
        let config = format!(
            "global\n    stats socket {} mode 600 level admin\n{}",
            socket.display(),
            listen(&port, "balance roundrobin", &addresses(&servers), "check inter 200")
        );
        let balancer = Balancer::with(&config).ports([&port]).start();
        eventually("the socket is there", || socket.exists());
        Self { socket, port, balancer, servers, _directory: directory }
    }
}

/// A session as hatop and people have it: a prompt, many commands, answers up to the next prompt.
struct Session(UnixStream);

impl Session {
    fn open(socket: &PathBuf) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(stream)
    }

    /// The answer, without the empty line and the prompt.
    fn say(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\n> ") {
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "closed in {}", String::from_utf8_lossy(&answer));
            answer.push(byte[0]);
        }
        let text = String::from_utf8(answer).unwrap();
        text.trim_end_matches("> ").trim_end().to_owned()
    }
}

/// hatop: `show info` and `show stat` again and again on one session, and keys that change servers.
#[test]
fn hatop_watches_and_steers() {
    let console = Console::start();
    let mut session = Session::open(&console.socket);
    assert_eq!(session.say("prompt"), "");
    assert_eq!(session.say("set timeout cli 1d"), "");
    for _ in 0..3 {
        let info = session.say("show info");
        for (name, number) in [
            ("Name", false),
            ("Version", false),
            ("Pid", true),
            ("Nbproc", true),
            ("Process_num", true),
            ("Uptime", false),
            ("Uptime_sec", true),
            ("Maxconn", true),
            ("CurrConns", true),
            ("ConnRate", true),
            ("Tasks", true),
            ("Run_queue", true),
            ("node", false),
        ] {
            let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            let value = line.unwrap_or_else(|| panic!("no {name} in {info}"));
            assert!(!number || value.parse::<u64>().is_ok(), "{name}: {value}");
        }
        let stat = session.say("show stat");
        let head = stat.lines().next().unwrap();
        assert!(head.starts_with("# pxname,svname,qcur,"), "{head}");
        let columns = head.split(',').count();
        for row in stat.lines().skip(1) {
            assert_eq!(row.split(',').count(), columns, "{row}");
        }
    }
    assert_eq!(session.say("disable server app/web1"), "");
    assert_eq!(who_answers(&mut Client::to(console.port.address()), 4), ["web2"; 4]);
    assert!(
        session.say("show stat").lines().any(|row| row.starts_with("app,web1,") && row.contains(",MAINT,"))
    );
    assert_eq!(session.say("enable server app/web1"), "");
    assert_eq!(session.say("get weight app/web1"), "1 (initial 1)");
    assert_eq!(session.say("set weight app/web1 50%"), "");
    assert_eq!(session.say("set weight app/web1 100%"), "");
    assert_eq!(session.say("shutdown sessions server app/web1"), "");
    assert_eq!(session.say("clear counters all"), "");
    assert!(session.say("help").starts_with("The following commands are valid at this level:\n"));
    assert!(console.balancer.program.is_mainstay() || !console.servers.is_empty());
}

/// socat: one line in, the answers of all its commands out, then the end.
#[test]
fn a_line_through_socat_is_answered_and_closed() {
    let console = Console::start();
    let address = format!("UNIX-CONNECT:{}", console.socket.display());
    let Ok(mut socat) = std::process::Command::new("socat")
        .args(["-t", "5", "-", &address])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
    else {
        // Without socat: the same bytes by hand.
        let answer = RuntimeSocket::at(&console.socket).ask("show backend;get weight app/web1");
        return assert_eq!(answer, "# name\napp\n\n1 (initial 1)\n\n");
    };
    socat.stdin.take().unwrap().write_all(b"show backend;get weight app/web1\n").unwrap();
    let output = socat.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "# name\napp\n\n1 (initial 1)\n\n");
}

/// Columns that Prometheus' haproxy_exporter reads by their place, for frontends, backends and servers.
const EXPORTED: [(&str, usize, &str); 34] = [
    ("bs", 2, "qcur"),
    ("bs", 3, "qmax"),
    ("fbs", 4, "scur"),
    ("fbs", 5, "smax"),
    ("fbs", 6, "slim"),
    ("fbs", 7, "stot"),
    ("fbs", 8, "bin"),
    ("fbs", 9, "bout"),
    ("f", 10, "dreq"),
    ("f", 12, "ereq"),
    ("bs", 13, "econ"),
    ("bs", 14, "eresp"),
    ("bs", 15, "wretr"),
    ("bs", 16, "wredis"),
    ("bs", 18, "weight"),
    ("b", 19, "act"),
    ("b", 20, "bck"),
    ("s", 21, "chkfail"),
    ("bs", 22, "chkdown"),
    ("bs", 24, "downtime"),
    ("fbs", 32, "type"),
    ("fbs", 33, "rate"),
    ("f", 34, "rate_lim"),
    ("fbs", 35, "rate_max"),
    ("s", 38, "check_duration"),
    ("fbs", 39, "hrsp_1xx"),
    ("fbs", 40, "hrsp_2xx"),
    ("fbs", 43, "hrsp_5xx"),
    ("fbs", 44, "hrsp_other"),
    ("f", 48, "req_tot"),
    ("bs", 49, "cli_abrt"),
    ("bs", 50, "srv_abrt"),
    ("bs", 58, "qtime"),
    ("bs", 61, "ttime"),
];

#[test]
fn the_exporter_for_prometheus_finds_its_numbers() {
    let console = Console::start();
    assert_eq!(who_answers(&mut Client::to(console.port.address()), 2).len(), 2);
    let socket = RuntimeSocket::at(&console.socket);
    eventually("both servers were checked", || {
        ["web1", "web2"].iter().all(|server| !socket.cell("app", server, "check_duration").is_empty())
    });
    let stat = socket.ask("show stat");
    let names: Vec<&str> = stat.lines().next().unwrap().trim_start_matches("# ").split(',').collect();
    // It refuses rows with fewer than 33 fields and goes by type: 0 frontend, 1 backend, 2 server.
    for row in stat.lines().skip(1).filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split(',').collect();
        let kind = ["f", "b", "s"][cells[32].parse::<usize>().unwrap()];
        for (kinds, place, name) in EXPORTED {
            assert_eq!(names[place], name);
            // A limit that there is none of is empty; nothing else of this list may be.
            let value = cells[place];
            if kinds.contains(kind) && !(value.is_empty() && name == "slim") {
                assert!(value.parse::<i64>().is_ok(), "{name} of {row} is {value:?}");
            }
        }
    }
    let info = socket.ask("show info");
    assert!(info.lines().any(|line| line.starts_with("Release_date: ")) && info.contains("\nVersion: "));
}
