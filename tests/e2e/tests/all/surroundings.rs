//! What stands beside the balancer goes bad while traffic runs: files of patterns, syslog servers.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use e2e::load::RunningLoad;
use e2e::{Balancer, Client, Load, Port, Report, RuntimeSocket, Server, eventually};
use tempfile::TempDir;

use crate::farm::DEFAULTS;

/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A balancer whose answers come from files, and visitors who never stop.
struct Library {
    _server: Server,
    directory: TempDir,
    balancer: Balancer,
    port: Port,
    load: RunningLoad,
}

impl Library {
    fn open() -> Self {
        let (directory, server, port) = (tempfile::tempdir().unwrap(), Server::start("web1"), Port::free());
        let at = directory.path().display();
        let config = format!(
            "{DEFAULTS}
frontend web
    bind 127.0.0.1:{port}
    http-request set-header X-Net %[src,map_ip({at}/nets.map,none)]
    http-request return status 200 hdr X-Map %[path,map({at}/paths.map,nothing)] if {{ path_beg /probe }}
    http-request deny if {{ path -f {at}/blocked.lst }}
    use_backend %[path,map({at}/backends.map,servers)]
backend servers
    server web1 {}
",
            server.address
        );
        let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        file("nets.map", "127.0.0.0/8 here\n");
        file("paths.map", "/probe one\n");
        file("blocked.lst", "/blocked\n");
        file("backends.map", "/whoami servers\n");
        let balancer = Balancer::with(&config).ports([&port]).reloadable().start();
        // Half at full speed, so that the others of this machine have some of it.
        let load =
            Load::get(port.address(), "/whoami").connections(20).pause(Duration::from_millis(1)).start();
        load.wait_for(200);
        Self { _server: server, directory, balancer, port, load }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Another file comes to this place, in one step.
    fn replace(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path("beside"), bytes).unwrap();
        fs::rename(self.path("beside"), self.path(name)).unwrap();
    }

    /// What the map says now.
    fn told(&self) -> String {
        let answer = e2e::client::get(self.port.address(), "/probe").unwrap();
        answer.header("X-Map").unwrap().to_owned()
    }

    fn reload_until_told(&self, value: &str) {
        self.balancer.reload();
        eventually(&format!("the map says {value}"), || self.told() == value);
    }

    /// A reload that must be refused with these words, and change nothing.
    fn reload_refused(&self, words: &str) {
        let (before, said) = (self.told(), self.balancer.process.lines());
        self.balancer.reload();
        self.balancer.process.line_after(said, words, PATIENCE);
        assert_eq!(self.told(), before, "what runs goes on as it was");
        self.load.wait_for(100);
    }

    /// No visitor has noticed anything.
    fn close(self) {
        self.load.wait_for(200);
        all_went_well(&self.load.stop());
    }
}

fn all_went_well(report: &Report) {
    e2e::figures(&report.line());
    assert_eq!(report.failed(), 0, "{:?}", report.outcomes());
}

#[test]
fn files_of_patterns_change_under_us() {
    let library = Library::open();
    assert_eq!(library.told(), "one");
    // Written to by somebody, cut off, taken away: what was read at the start counts until a reload.
    for text in ["/probe tw", "", "\0\u{7f}garbage\n"] {
        fs::write(library.path("paths.map"), text).unwrap();
        library.load.wait_for(50);
        assert_eq!(library.told(), "one");
    }
    fs::write(library.path("paths.map"), "").unwrap();
    library.reload_until_told("nothing");
    library.replace("paths.map", b"/probe two\n/other three\n");
    library.reload_until_told("two");
    // A line that was cut in its middle is what it says.
    library.replace("paths.map", b"/probe tw");
    library.reload_until_told("tw");
    fs::remove_file(library.path("paths.map")).unwrap();
    library.reload_refused("paths.map");
    library.replace("paths.map", b"/probe four\n");
    library.reload_until_told("four");
    library.close();
}

#[test]
fn a_file_of_networks_with_garbage_is_refused_and_named() {
    let library = Library::open();
    library.replace("nets.map", b"127.0.0.0/8 here\n10.0.0.0/8 there\n300.1.2.3 nowhere\n");
    library.reload_refused("nets.map:3");
    let noise: Vec<u8> = (0..65_536_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    library.replace("nets.map", &noise);
    library.reload_refused("nets.map");
    fs::remove_file(library.path("nets.map")).unwrap();
    fs::create_dir(library.path("nets.map")).unwrap();
    library.reload_refused("nets.map");
    fs::remove_dir(library.path("nets.map")).unwrap();
    library.replace("nets.map", b"127.0.0.0/8 here\n");
    library.replace("paths.map", b"/probe mended\n");
    library.reload_until_told("mended");
    library.close();
}

#[test]
fn a_list_that_is_written_while_reloads_happen_blocks_only_what_it_named() {
    let library = Library::open();
    let status = |path: &str| e2e::client::get(library.port.address(), path).unwrap().status;
    assert_eq!((status("/blocked"), status("/whoami?2")), (403, 200));
    for round in 0..20 {
        // Not in one step: a reload may see nothing of it, a part, or all.
        let list: String = (0..2_000).map(|n| format!("/blocked/{round}/{n}\n")).collect();
        library.balancer.reload();
        fs::write(library.path("blocked.lst"), "/blocked\n".to_owned() + &list).unwrap();
        assert!([403, 404].contains(&status("/blocked")));
    }
    library.balancer.reload();
    eventually("the whole list counts", || status("/blocked/19/1999") == 403);
    assert_eq!((status("/blocked"), status("/blocked/18/1")), (403, 404));
    library.close();
}

/// A balancer that logs each request to three syslog servers.
struct Logging {
    _server: Server,
    directory: TempDir,
    _balancer: Balancer,
    port: Port,
    logs: Port,
    load: RunningLoad,
}

impl Logging {
    /// With nobody at any of the three places.
    fn start() -> Self {
        let logs = Port::free();
        Self::start_at(logs, tempfile::tempdir().unwrap())
    }

    fn start_at(logs: Port, directory: TempDir) -> Self {
        let (server, port) = (Server::start("web1"), Port::free());
        let at = directory.path().display();
        let config = format!(
            "global
    log 127.0.0.1:{logs} local0
    log {at}/syslog local1
    log tcp@127.0.0.1:{logs} local2
    stats socket {at}/cli level admin
{DEFAULTS}    log global
    option httplog

frontend web
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    server web1 {}
",
            server.address
        );
        let balancer = Balancer::with(&config).ports([&port]).start();
        let load = Load::get(port.address(), "/whoami").start();
        Self { _server: server, directory, _balancer: balancer, port, logs, load }
    }

    fn cli(&self) -> RuntimeSocket {
        RuntimeSocket::at(self.directory.path().join("cli"))
    }

    fn dropped(&self) -> u64 {
        self.cli().info("DroppedLogs").parse().unwrap()
    }

    /// Traffic went on at full speed: no request failed, none waited for a log.
    fn close(self) {
        self.load.wait_for(2_000);
        let report = self.load.stop();
        all_went_well(&report);
        assert!(report.longest_gap() < Duration::from_secs(1), "{:?}", report.longest_gap());
        assert!(report.quantile(0.99) < Duration::from_millis(500), "{:?}", report.quantile(0.99));
        let told = Client::to(self.port.address()).get("/whoami").unwrap();
        assert_eq!(told.status, 200);
    }
}

/// A line about a request, from a server for datagrams.
fn has_a_line(bytes: &[u8], facility: &str) {
    let line = String::from_utf8_lossy(bytes);
    assert!(line.starts_with(facility) && line.contains("\"GET /whoami HTTP/1.1\""), "{line}");
}

/// The first lines of a connection, which must be whole. Those that waited longest are about the start.
fn whole_lines(stream: &mut TcpStream) {
    let lines = lines_of(stream);
    let whole = |line: &String| line.starts_with("<149>") || line.starts_with("<150>");
    assert!(lines.iter().all(whole), "{lines:?}");
    has_a_line(lines[9].as_bytes(), "<150>");
}

fn lines_of(stream: &mut TcpStream) -> Vec<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut came, mut bytes) = (Vec::new(), [0; 65_536]);
    while came.iter().filter(|byte| **byte == b'\n').count() < 10 {
        let length = stream.read(&mut bytes).expect("log lines");
        assert!(length > 0, "closed");
        came.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8_lossy(&came).lines().map(str::to_owned).take(10).collect()
}

#[test]
fn syslog_servers_that_are_not_there_cost_nothing_and_are_found_again() {
    let logging = Logging::start();
    logging.load.wait_for(2_000);
    assert!(logging.dropped() > 0, "nobody has taken a line");
    // They come up one after the other, under load.
    let udp = UdpSocket::bind(logging.logs.address()).unwrap();
    let unix = UnixDatagram::bind(logging.directory.path().join("syslog")).unwrap();
    let tcp = TcpListener::bind(logging.logs.address()).unwrap();
    let mut bytes = [0; 4_096];
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = udp.recv(&mut bytes).unwrap();
    has_a_line(&bytes[..length], "<134>");
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = unix.recv(&mut bytes).unwrap();
    has_a_line(&bytes[..length], "<142>");
    let (mut stream, _) = tcp.accept().unwrap();
    whole_lines(&mut stream);
    // And go again, the unix socket with its name and without.
    drop((udp, unix, stream));
    logging.load.wait_for(1_000);
    fs::remove_file(logging.directory.path().join("syslog")).unwrap();
    logging.load.wait_for(1_000);
    // The one by TCP is back: its first line is a whole one.
    let (mut stream, _) = tcp.accept().unwrap();
    whole_lines(&mut stream);
    logging.close();
}

#[test]
fn syslog_servers_that_sleep_cost_lines_and_no_time() {
    let (logs, directory) = (Port::free(), tempfile::tempdir().unwrap());
    // They are there, and never read.
    let _udp = UdpSocket::bind(logs.address()).unwrap();
    let _unix = UnixDatagram::bind(directory.path().join("syslog")).unwrap();
    let _tcp = TcpListener::bind(logs.address()).unwrap();
    let logging = Logging::start_at(logs, directory);
    logging.load.wait_for(3_000);
    assert!(logging.dropped() > 0, "the queue of a unix socket takes some hundred lines");
    logging.close();
}
