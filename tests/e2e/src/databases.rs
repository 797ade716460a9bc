//! Real PostgreSQL and real Redis, each with its data in a directory that goes when the story ends.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::port::{Port, is_listening};
use crate::process::Process;
use crate::waiting::until;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A `redis-server`.
pub struct Redis {
    /// The process, to be killed by the story.
    pub process: Process,
    port: Port,
    _directory: TempDir,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub fn start() -> Self {
        let (port, directory) = (Port::free(), tempfile::tempdir().unwrap());
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]);
        let mut process = Process::start("redis", command.arg(directory.path()));
        wait_for_port("redis", &mut process, &port);
        Self { process, port, _directory: directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

/// A `postgres` of its own, superuser `postgres` without a password.
pub struct Postgres {
    /// The process, to be killed by the story.
    pub process: Process,
    port: Port,
    _directory: TempDir,
}

impl Postgres {
    /// Makes a new cluster and starts it.
    pub fn start() -> Self {
        let (port, directory) = (Port::free(), tempfile::tempdir().unwrap());
        give_to_its_user(directory.path());
        let data = directory.path().join("data");
        let mut make = as_its_user("initdb", directory.path());
        make.args([
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(&data);
        let made = make.stdout(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "{make:?}: {}", String::from_utf8_lossy(&made.stderr));
        let mut serve = as_its_user("postgres", directory.path());
        serve.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
        let mut process = Process::start("postgres", serve.args(["-p", &port.to_string(), "-D"]).arg(&data));
        wait_for_port("postgres", &mut process, &port);
        process.line_after(0, "ready to accept connections", START_LIMIT);
        Self { process, port, _directory: directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Runs statements.
    pub fn execute(&self, statements: &str) {
        let mut command = Command::new(program("psql"));
        command.args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
            "-p",
            &self.port.to_string(),
        ]);
        let done = command.args(["-c", statements, "postgres"]).output().unwrap();
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

fn wait_for_port(name: &str, process: &mut Process, port: &Port) {
    until(&format!("{name} listens"), START_LIMIT, || {
        assert!(process.ended().is_none(), "{name} ended: {}", process.output());
        is_listening(port.number()).then_some(())
    });
}

/// PostgreSQL refuses to run as root; then it runs as its own user.
fn as_its_user(name: &str, directory: &Path) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut other = Command::new("setpriv");
        other.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program(name));
        other
    } else {
        Command::new(program(name))
    };
    command.current_dir(directory);
    command
}

fn give_to_its_user(directory: &Path) {
    if rustix::process::geteuid().is_root() {
        let number = |kind: &str| {
            let output = Command::new("id").args([kind, "postgres"]).output().unwrap().stdout;
            String::from_utf8(output).unwrap().trim().parse().expect("the user postgres exists")
        };
        chown(directory, Some(number("-u")), Some(number("-g"))).unwrap();
    }
}

/// Debian keeps the programs of each major version apart; the newest will do.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let programs = versions.map(|version| version.unwrap().path().join("bin").join(name));
    programs.filter(|path| path.exists()).max().expect("PostgreSQL is installed")
}
