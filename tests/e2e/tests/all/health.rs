//! What takes a server out besides its checks: its traffic, its agent; and how it comes back.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use e2e::scripted::answer;
use e2e::{Balancer, Client, Peer, Port, RuntimeSocket, Scripted, Server, Step, eventually};
use tempfile::TempDir;

use crate::farm::{DEFAULTS, who_answers};

/// A balancer with a runtime socket; `servers` are whole lines.
struct Watched {
    socket: RuntimeSocket,
    port: Port,
    _balancer: Balancer,
    _directory: TempDir,
}

impl Watched {
    fn start(servers: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (path, port): (PathBuf, _) = (directory.path().join("admin.sock"), Port::free());
        let config = format!(
            "global\n    stats socket {} mode 600 level admin\n{DEFAULTS}
listen app\n    bind 127.0.0.1:{port}\n    balance roundrobin\n    option httpchk GET /health\n{servers}\n",
            path.display(),
        );
        let balancer = Balancer::with(&config).ports([&port]).start();
        eventually("the socket is there", || path.exists());
        Self { socket: RuntimeSocket::at(path), port, _balancer: balancer, _directory: directory }
    }

    fn client(&self) -> Client {
        Client::to(self.port.address())
    }

    fn status(&self, server: &str) -> String {
        self.socket.cell("app", server, "status")
    }
}

/// Its checks see a sound server, its visitors do not.
#[test]
fn a_server_whose_answers_are_errors_is_marked_down() {
    let bad = Scripted::start(|seen| {
        let status = if seen.target == "/health" { 200 } else { 500 };
        vec![Step::send(&answer(status, "", "bad"))]
    });
    let good = Server::start("web2");
    let farm = Watched::start(&format!(
        "    server web1 {} check inter 60s observe layer7 error-limit 3 on-error mark-down
    server web2 {} check inter 60s",
        bad.address, good.address
    ));
    let mut client = farm.client();
    let statuses: Vec<_> = (0..6).map(|_| client.get("/whoami").unwrap().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 3, "{statuses:?}");
    eventually("web1 is down", || farm.status("web1").starts_with("DOWN"));
    assert_eq!(who_answers(&mut client, 6), ["web2"; 6]);
}

/// An agent that says what we put into its mouth.
fn agent(words: &Arc<Mutex<String>>) -> Peer {
    let words = Arc::clone(words);
    Peer::start(move |mut stream, _| {
        let said = words.lock().unwrap().clone();
        let _ = stream.write_all(said.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 64]);
    })
}

#[test]
fn an_agent_has_its_say() {
    let words = Arc::new(Mutex::new("up ready 100%\n".to_owned()));
    let (agent, servers) = (agent(&words), Server::start_many(2));
    let line = |number: usize, more: &str| {
        let address: SocketAddr = servers[number - 1].address;
        format!("    server web{number} {address} weight 10 check inter 1s {more}\n")
    };
    let with_agent =
        format!("agent-check agent-addr 127.0.0.1 agent-port {} agent-inter 100", agent.address.port());
    let farm = Watched::start(&(line(1, &with_agent) + &line(2, "")));
    let say = |text: &str| text.clone_into(&mut words.lock().unwrap());
    let mut client = farm.client();
    let mut share = || who_answers(&mut client, 20).iter().filter(|name| *name == "web1").count();

    eventually("the agent was heard", || farm.socket.cell("app", "web1", "agent_status") == "L7OK");
    assert_eq!(share(), 10);
    say("30%\n");
    eventually("the weight is 3", || farm.socket.number("app", "web1", "weight") == 3);
    assert!((4..=5).contains(&share()), "3 of 13");
    say("drain\n");
    eventually("web1 is drained", || farm.status("web1").starts_with("DRAIN"));
    assert_eq!(share(), 0);
    say("ready 100%\n");
    eventually("web1 is back", || farm.status("web1") == "UP");
    say("down # too hot\n");
    eventually("web1 is down", || farm.status("web1").starts_with("DOWN"));
    assert_eq!(share(), 0);
    say("up\n");
    eventually("web1 is up", || farm.status("web1") == "UP");
    assert_eq!(share(), 10);
}

#[test]
fn a_server_that_returns_gets_its_share_little_by_little() {
    let mut servers = Server::start_many(2);
    let line = |number: usize, address: SocketAddr| {
        format!("    server web{number} {address} weight 100 check inter 100 fall 1 rise 1 slowstart 20s\n")
    };
    let farm = Watched::start(&(line(1, servers[0].address) + &line(2, servers[1].address)));
    let weight = || farm.socket.number("app", "web1", "weight");
    eventually("web1 is up", || farm.status("web1") == "UP");
    assert_eq!(weight(), 100, "a start is no return");
    servers[0].kill();
    eventually("web1 is down", || farm.status("web1").starts_with("DOWN"));
    servers[0].restart();
    eventually("web1 is up again", || farm.status("web1") == "UP");
    let first = weight();
    assert!(first <= 50, "web1 has a weight of {first} at once");
    let mut client = farm.client();
    let names = who_answers(&mut client, 60);
    let count = names.iter().filter(|name| *name == "web1").count();
    assert!(count < 25, "{count} of 60 went to a server that has just returned");
    eventually("the weight grows", || weight() > first);
}
