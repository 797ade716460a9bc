//! Starting as service files start HAProxy: master and worker, replacing an older process, states from a file.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Balancer, Client, Port, Process, Program, RuntimeSocket, Server, eventually};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::farm::{listen, who_answers};

/// A folder with a link named haproxy and a configuration.
struct Bench {
    directory: TempDir,
    port: Port,
    server: Server,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = Self { directory, port: Port::free(), server: Server::start("web1") };
        std::fs::write(bench.path("haproxy.cfg"), listen(&bench.port, "", &[bench.server.address], ""))
            .unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `haproxy` with these arguments and the configuration.
    fn command(&self, arguments: &[&str]) -> Command {
        let link = self.path("haproxy");
        if !link.exists() {
            Program::subject().called_haproxy(self.directory.path());
        }
        let mut command = Command::new(link);
        command.current_dir(self.directory.path()).args(arguments).args(["-f", "haproxy.cfg"]);
        command
    }

    fn serves(&self) -> bool {
        Client::to(self.port.address()).get("/whoami").is_ok_and(|answer| answer.text() == "web1")
    }
}

fn first_message(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// What systemd, scripts and HAProxy's own tests do with a master.
#[test]
fn a_master_tells_reloads_and_ends_by_its_signal() {
    let bench = Bench::new();
    let manager = first_message(&bench.path("notify"));
    let mut command = bench.command(&["-Ws", "-S", "master.sock,mode,600", "-p", "pid"]);
    let mut process = Process::start("haproxy", command.env("NOTIFY_SOCKET", bench.path("notify")));
    let mut ready = String::new();
    while !ready.contains("READY=1") {
        let mut message = [0; 512];
        let length = manager.recv(&mut message).unwrap();
        ready = String::from_utf8_lossy(&message[..length]).into_owned();
    }
    assert!(ready.contains(&format!("MAINPID={}", process.id())), "{ready}");
    assert_eq!(std::fs::read_to_string(bench.path("pid")).unwrap().trim(), process.id().to_string());
    if !Program::subject().is_mainstay() {
        return e2e::figures("the rest is not told: 2.6 closes the socket at a reload");
    }
    let ask = |line: &str| {
        // The master goes on until its client ends; quit does.
        RuntimeSocket::at(bench.path("master.sock")).ask(&format!("{line}\nquit"))
    };
    assert!(ask("@1 show info").contains("\nProcess_num: 1\n"));
    assert!(ask("show info").starts_with("Unknown command."));
    assert!(ask("@1;show backend").starts_with("# name\napp\n"));
    assert!(ask("@!1 show info").starts_with("Can't find the target PID"));
    let processes = ask("show proc");
    assert!(processes.starts_with("#<PID> ") && processes.contains("\n# workers\n"), "{processes}");
    assert!(ask("reload").starts_with("Success=1\n--\n"));
    let config = std::fs::read_to_string(bench.path("haproxy.cfg")).unwrap();
    std::fs::write(bench.path("haproxy.cfg"), format!("{config}\nnonsense\n")).unwrap();
    let refused = ask("reload");
    assert!(refused.starts_with("Success=0\n--\n") && refused.contains("haproxy.cfg:"), "{refused}");
    assert!(ask("prompt").ends_with("master[ReloadFailed]> "));
    assert!(bench.serves(), "the old configuration goes on");
    process.signal(Signal::INT);
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(130));
}

#[test]
fn a_new_process_takes_the_place_of_an_old_one() {
    let bench = Bench::new();
    let mut old = Process::start("old", &mut bench.command(&["-db"]));
    eventually("the old one serves", || bench.serves());
    let pid = old.id().to_string();
    let _new = Process::start("new", &mut bench.command(&["-db", "-sf", &pid]));
    old.wait(Duration::from_secs(10));
    eventually("the new one serves", || bench.serves());
}

/// A bad file must not cost the process that runs.
#[test]
fn a_bad_file_does_not_end_the_old_process() {
    let bench = Bench::new();
    let mut old = Process::start("old", &mut bench.command(&["-db"]));
    eventually("the old one serves", || bench.serves());
    std::fs::write(bench.path("haproxy.cfg"), "nonsense\n").unwrap();
    let pid = old.id().to_string();
    let new = bench.command(&["-db", "-sf", &pid]).output().unwrap();
    assert_eq!(new.status.code(), Some(1));
    assert!(old.ended().is_none() && bench.serves());
}

/// What `show servers state` printed is how the servers begin after a start.
#[test]
fn states_of_servers_are_read_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let [socket, states] = ["admin", "states"].map(|name| directory.path().join(name));
    let servers = Server::start_many(3);
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let start = || {
        let port = Port::free();
        let global = format!(
            "global\n    stats socket {} level admin\n    server-state-base {}\n    server-state-file states\n",
            socket.display(),
            directory.path().display()
        );
        let options = "balance roundrobin\n    load-server-state-from-file global";
        let balancer = Balancer::with(&format!("{global}{}", listen(&port, options, &addresses, "")))
            .ports([&port])
            .start();
        (balancer, port)
    };
    let (balancer, _port) = start();
    let admin = RuntimeSocket::at(&socket);
    admin.order("set server app/web1 state maint");
    admin.order("set server app/web2 weight 7");
    std::fs::write(&states, admin.ask("show servers state")).unwrap();
    drop(balancer);
    let (_balancer, port) = start();
    assert_eq!(admin.cell("app", "web1", "status"), "MAINT");
    assert!(admin.ask("get weight app/web2").starts_with("7 (initial 1)"));
    assert!(!who_answers(&mut Client::to(port.address()), 8).contains(&"web1".to_owned()));
}
