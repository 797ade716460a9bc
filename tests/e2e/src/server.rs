//! `demo` processes: the servers behind the balancer, which stories kill, freeze and restart.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::balancer::built;
use crate::client::Client;
use crate::namespace::Neighbour;
use crate::port::Port;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(10);

/// One instance of the sample application.
pub struct Server {
    /// Its name, which its answers tell.
    pub name: String,
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
    command: Vec<String>,
    process: Process,
    directory: TempDir,
    /// Keeps the number ours.
    port: Option<Port>,
}

impl Server {
    /// Starts an instance on a free port.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// Starts an instance on a free port with more arguments.
    pub fn start_with(name: &str, arguments: &[&str]) -> Self {
        let port = Port::free();
        let mut server = Self::start_at(name, port.address(), arguments, Vec::new());
        server.port = Some(port);
        server
    }

    /// Starts an instance on this address.
    pub fn start_on(name: &str, address: SocketAddr) -> Self {
        Self::start_at(name, address, &[], Vec::new())
    }

    /// Starts an instance on an address of the neighbouring network.
    pub fn start_in(neighbour: &Neighbour, name: &str, address: SocketAddr) -> Self {
        Self::start_at(name, address, &[], neighbour.entering())
    }

    /// Starts web1, web2, … webN.
    pub fn start_many(count: usize) -> Vec<Self> {
        (1..=count).map(|number| Self::start(&format!("web{number}"))).collect()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: connections are still accepted by the kernel, nothing is answered.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Starts it again on the same address with the same journal; returns when it listens.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.name, &self.command);
    }

    /// Tells it to misbehave, see `demo`'s POST /fault: `{"kind":"hang"}`.
    pub fn fault(&self, fault: &str) {
        let mut client = Client::to(self.address);
        let answer =
            client.post("/fault", &[("Content-Type", "application/json")], fault.as_bytes()).unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// A number from its GET /stats: `requests`, `posts_executed`, `duplicates`.
    pub fn statistic(&self, name: &str) -> u64 {
        let answer = Client::to(self.address).get("/stats").unwrap();
        let all: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        all[name].as_u64().unwrap()
    }

    /// Ids of all POST /work it ever executed, also those of killed processes.
    pub fn executed(&self) -> Vec<String> {
        let journal = fs::read_to_string(self.directory.path().join("journal")).unwrap_or_default();
        journal.lines().map(ToOwned::to_owned).collect()
    }

    fn start_at(name: &str, address: SocketAddr, arguments: &[&str], wrapper: Vec<String>) -> Self {
        let program = built("demo");
        assert!(program.exists(), "{} is missing: cargo build -p demo", program.display());
        let directory = tempfile::tempdir().unwrap();
        let mut command = wrapper;
        command.extend([
            program.display().to_string(),
            format!("--listen={address}"),
            format!("--name={name}"),
            format!("--journal={}", directory.path().join("journal").display()),
            "--allow-faults".to_owned(),
        ]);
        command.extend(arguments.iter().map(ToString::to_string));
        let process = launch(name, &command);
        Self { name: name.to_owned(), address, command, process, directory, port: None }
    }
}

fn launch(name: &str, command: &[String]) -> Process {
    let process = Process::start(name, Command::new(&command[0]).args(&command[1..]));
    process.line_after(0, "listens on", START_LIMIT);
    process
}
