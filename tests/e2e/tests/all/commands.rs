//! The process itself: ready, stop, its other name.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::load::Outcome;
use e2e::{Balancer, Client, Failure, Load, Port, Process, Program, Server, eventually, figures};
use rustix::process::Signal;

use crate::farm::{addresses, listen};

/// Whether this story is only about Mainstay's own command line, and the subject is HAProxy now.
fn only_mainstay_has_this() -> bool {
    let other = !Program::subject().is_mainstay();
    if other {
        figures("not told: HAProxy has no such command");
    }
    other
}

#[test]
fn ready_is_said_on_stderr_and_to_the_service_manager() {
    if only_mainstay_has_this() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let server = Server::start("web1");
    let port = Port::free();
    let config = listen(&port, "", &[server.address], "");
    let balancer = Balancer::with(&config).env("NOTIFY_SOCKET", &path.display().to_string()).spawn();
    balancer.process.line_after(0, "mainstay: ready", Duration::from_secs(5));
    assert_eq!(Client::to(port.address()).get("/whoami").unwrap().text(), "web1");
    let mut message = [0; 512];
    let length = socket.recv(&mut message).unwrap();
    let text = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(text.lines().any(|line| line == "READY=1"), "{text:?}");
}

#[test]
fn a_file_that_says_daemon_stays_in_the_foreground() {
    let port = Port::free();
    let config = format!("global\n    daemon\n{}", listen(&port, "", &[], ""));
    let mut balancer = Balancer::with(&config).ports([&port]).start();
    assert!(balancer.process.ended().is_none());
}

#[test]
fn sigterm_lets_the_last_answer_out() {
    let server = Server::start("web1");
    let port = Port::free();
    let config = listen(&port, "", &[server.address], "");
    let mut balancer = Balancer::with(&config).ports([&port]).start();
    let mut client = Client::to(port.address());
    client.send(b"GET /slow/500 HTTP/1.1\r\nHost: app.example\r\n\r\n").unwrap();
    let mut asked = 0;
    eventually("the request has arrived", || {
        asked += 1; // Asking is a request, too.
        server.statistic("requests") > asked
    });
    if balancer.program.is_mainstay() {
        balancer.process.signal(Signal::TERM);
        assert_eq!(client.answer("GET").unwrap().text(), "web1");
        assert_eq!(balancer.process.wait(Duration::from_secs(5)).code(), Some(0));
    } else {
        // HAProxy's word for a soft stop is SIGUSR1.
        balancer.process.signal(Signal::USR1);
        assert_eq!(client.answer("GET").unwrap().text(), "web1");
        balancer.process.wait(Duration::from_secs(5));
    }
    let gone = std::net::TcpStream::connect(port.address()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
}

/// What had begun is finished; only connections that came later are refused.
#[test]
fn sigterm_under_load_loses_nothing() {
    let servers = Server::start_many(3);
    let port = Port::free();
    let config = listen(&port, "balance roundrobin", &addresses(&servers), "check");
    let mut balancer = Balancer::with(&config).ports([&port]).start();
    let load = Load::post(port.address(), "/work?ms=200").pause(Duration::from_millis(5)).start();
    load.wait_for(200);
    let stop = if balancer.program.is_mainstay() { Signal::TERM } else { Signal::USR1 };
    balancer.process.signal(stop);
    let status = balancer.process.wait(Duration::from_secs(5));
    let report = load.stop();
    figures(&format!("SIGTERM under load: {}", report.line()));
    if balancer.program.is_mainstay() {
        assert_eq!(status.code(), Some(0));
    }
    // A kept connection that is idle may end while its client writes (RFC 9112, 9.3.1).
    let refused = report.count(&Outcome::Failed(Failure::Refused));
    let answered = report.count(&Outcome::Status(200));
    assert_eq!(answered + refused + report.reuse_races(), report.samples.len(), "{:?}", report.outcomes());
    let executed: usize = servers.iter().map(|server| server.executed().len()).sum();
    assert_eq!(executed, answered, "executed, but not answered");
}

/// Ids of a thread as the kernel tells them: real, effective, saved, file system.
fn ids(status: &str, field: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn no_thread_keeps_the_rights_of_root() {
    if !rustix::process::geteuid().is_root() {
        return figures("not told: only root has rights to give up");
    }
    let server = Server::start("web1");
    let port = Port::free();
    let global = "global\n    user nobody\n    group nogroup\n    nbthread 2\n";
    let config = format!("{global}{}", listen(&port, "", &[server.address], "check"));
    let balancer = Balancer::with(&config).ports([&port]).start();
    assert_eq!(Client::to(port.address()).get("/whoami").unwrap().text(), "web1");
    let expected = ["-u", "-g"].map(|option| {
        let id = Command::new("id").args([option, "nobody"]).output().unwrap();
        String::from_utf8_lossy(&id.stdout).trim().parse::<u32>().unwrap()
    });
    let threads = std::fs::read_dir(format!("/proc/{}/task", balancer.process.id())).unwrap();
    let mut count = 0;
    for thread in threads {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert_eq!(ids(&status, "Uid"), [expected[0]; 4], "{status}");
        assert_eq!(ids(&status, "Gid"), [expected[1]; 4], "{status}");
        let groups = ids(&status, "Groups");
        assert!(groups.iter().all(|group| *group == expected[1]), "supplementary groups: {groups:?}");
        let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
        assert_eq!(u64::from_str_radix(rights, 16).unwrap(), 0, "capabilities are left");
        count += 1;
    }
    assert!(count >= 2, "two workers, but {count} threads");
}

#[test]
fn sigint_stops_at_once() {
    let server = Server::start("web1");
    let port = Port::free();
    let mut balancer = Balancer::with(&listen(&port, "", &[server.address], "")).ports([&port]).start();
    let mut client = Client::to(port.address());
    client.send(b"GET /slow/20000 HTTP/1.1\r\nHost: app.example\r\n\r\n").unwrap();
    let started = Instant::now();
    balancer.process.signal(Signal::INT);
    balancer.process.wait(Duration::from_secs(2));
    assert!(client.answer("GET").is_err());
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Scripts and units that start `haproxy` go on to work when that is a link to us.
#[test]
fn a_link_named_haproxy_takes_its_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("haproxy");
    let (Program::Mainstay(program) | Program::Haproxy(program) | Program::Nginx(program)) =
        Program::subject();
    symlink(program, &link).unwrap();
    let server = Server::start("web1");
    let port = Port::free();
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, listen(&port, "", &[server.address], "")).unwrap();

    let version = Command::new(&link).arg("-v").output().unwrap();
    assert!(version.status.success() && !version.stdout.is_empty());
    let check = Command::new(&link).args(["-c", "-f"]).arg(&file).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));

    let pid_file = directory.path().join("pid");
    let mut command = Command::new(&link);
    command.args(["-W", "-f"]).arg(&file).arg("-p").arg(&pid_file);
    let process = Process::start("haproxy", &mut command);
    eventually("it listens", || e2e::port::is_listening(port.number()));
    assert_eq!(Client::to(port.address()).get("/whoami").unwrap().text(), "web1");
    eventually("the pid file is written", || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text.trim() == process.id().to_string())
    });
}
