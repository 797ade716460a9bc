//! Tables that are shared: what one balancer counts, the other one knows. The other one is Mainstay again, or
//! Debian's HAProxy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Balancer, Client, Port, Program, RuntimeSocket, until};

/// Two balancers and a third that may be there.
struct Cluster {
    directory: tempfile::TempDir,
    /// Ports of clients and of peers, by name.
    ports: Vec<(&'static str, Port, Port)>,
}

impl Cluster {
    fn new() -> Cluster {
        let ports = ["one", "two", "three"].map(|name| (name, Port::free(), Port::free()));
        Cluster { directory: tempfile::tempdir().unwrap(), ports: ports.into() }
    }

    fn of(&self, name: &str) -> &(&'static str, Port, Port) {
        self.ports.iter().find(|(known, ..)| *known == name).unwrap()
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self, name: &str) -> String {
        let peers: String = self
            .ports
            .iter()
            .map(|(name, _, port)| format!("    peer {name} 127.0.0.1:{}\n", port.number()))
            .collect();
        let (_, clients, _) = self.of(name);
        format!(
            "global\n    localpeer {name}\n    stats socket {socket} level admin\n\
             defaults\n    mode http\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n\
             peers cluster\n{peers}    table words type string len 16 size 100 expire 1m store gpc0\n\
             frontend web\n    bind 127.0.0.1:{port}\n\
             http-request track-sc0 req.hdr(X-Key) table keys\n\
             http-request track-sc1 req.hdr(X-Key) table cluster/words\n\
             http-request track-sc2 src table sources\n\
             http-request sc-inc-gpc0(0)\n    http-request sc-inc-gpc0(1)\n    http-request sc-inc-gpc(1,2)\n\
             http-request return status 200\n\
             backend keys\n    stick-table type string size 100 expire 1m \
             store server_id,gpc0,conn_cur,http_req_cnt,conn_rate(50000) peers cluster\n\
             backend sources\n    stick-table type ip size 100 store gpc(2),gpc_rate(2,1m),gpt(1) peers cluster\n",
            socket = self.socket(name).display(),
            port = clients.number(),
        )
    }

    fn start(&self, name: &str, program: &Program) -> Balancer {
        let (_, clients, peers) = self.of(name);
        Balancer::with(&self.config(name)).program(program).ports([clients, peers]).start()
    }

    fn ask(&self, name: &str, key: &str) {
        let request =
            format!("GET / HTTP/1.1\r\nHost: app.example\r\nX-Key: {key}\r\nConnection: close\r\n\r\n");
        let mut client = Client::to(self.of(name).1.address());
        client.send(request.as_bytes()).unwrap();
        assert_eq!(client.answer("GET").unwrap().status, 200);
    }

    /// Waits until a table of `name` shows an entry with all these parts.
    fn knows(&self, name: &str, table: &str, parts: &[&str]) {
        let mut shown = String::new();
        until(&format!("{name} has {parts:?} in {table}"), Duration::from_secs(15), || {
            shown = show(&self.socket(name), table);
            let entry = |line: &str| parts.iter().all(|part| line.contains(part));
            shown.lines().any(entry).then_some(())
        });
    }
}

fn show(socket: &Path, table: &str) -> String {
    RuntimeSocket::at(socket).ask(&format!("show table {table}"))
}

/// What was counted on `from` is known on `to`, with every kind of value.
fn taught(cluster: &Cluster, from: &str, to: &str, key: &str) {
    cluster.ask(from, key);
    cluster.ask(from, key);
    let key = format!("key={key} ");
    cluster.knows(to, "keys", &[&key, "gpc0=2", "http_req_cnt=2", "conn_rate(50000)=2", "conn_cur=0"]);
    cluster.knows(to, "cluster/words", &[&key, "gpc0=2"]);
    cluster.knows(to, "sources", &["key=127.0.0.1 ", "gpc1=", "gpc1_rate(60000)="]);
}

fn both_know(one: &Program, two: &Program) {
    let cluster = Cluster::new();
    let _one = cluster.start("one", one);
    let before = "made-before";
    cluster.ask("one", before);
    // What was there before is taught to who comes.
    let _two = cluster.start("two", two);
    cluster.knows("two", "keys", &["key=made-before ", "gpc0=1"]);
    taught(&cluster, "one", "two", "first");
    taught(&cluster, "two", "one", "second");
}

#[test]
fn two_of_ours_share_their_tables() {
    both_know(&Program::subject(), &Program::subject());
}

#[test]
fn haproxy_learns_from_us_and_we_from_it() {
    both_know(&Program::subject(), &Program::oracle());
    both_know(&Program::oracle(), &Program::subject());
}

#[test]
fn a_peer_that_comes_back_knows_all_again_and_its_absence_hurts_nobody() {
    let cluster = Cluster::new();
    let _one = cluster.start("one", &Program::subject());
    let two = cluster.start("two", &Program::subject());
    taught(&cluster, "two", "one", "early");
    drop(two);
    for _ in 0..20 {
        cluster.ask("one", "alone");
    }
    let _two = cluster.start("two", &Program::subject());
    cluster.knows("two", "keys", &["key=early ", "gpc0=2"]);
    cluster.knows("two", "keys", &["key=alone ", "gpc0=20"]);
}
