//! Servers known by name: they come, go and move while requests run, and stay when the name service does not.

use std::net::SocketAddr;
use std::time::Duration;

use e2e::names::{Mood, NameServer};
use e2e::{Balancer, Client, Load, Port, RuntimeSocket, Server, eventually};

use crate::farm::who_answers;

const SOCKET: &str = "runtime.sock";

/// Servers of one port on loopback addresses of their own: 127.0.7.1, 127.0.7.2, …
fn instances(net: u8, count: u8) -> Vec<Server> {
    let port = Port::free();
    let start = |n: u8| {
        let address: SocketAddr = format!("127.0.{net}.{n}:{}", port.number()).parse().unwrap();
        Server::start_on(&format!("i{n}"), address)
    };
    (1..=count).map(start).collect()
}

struct Stage {
    balancer: Balancer,
    port: Port,
    runtime: RuntimeSocket,
}

/// A balancer with these `server` lines, asking `names` ten times a second.
fn stage(names: &NameServer, lines: &str, resolvers: &str) -> Stage {
    let port = Port::free();
    let config = format!(
        "global\n    stats socket {SOCKET} level admin\n    nbthread 2\ndefaults\n    mode http\n    timeout connect 2s\n    \
         timeout client 5s\n    timeout server 5s\nresolvers dns\n    nameserver ns1 {}\n    timeout resolve 100ms\n    \
         timeout retry 100ms\n    {resolvers}\nlisten l\n    bind {}\n    option redispatch\n    balance roundrobin\n    \
         {lines}\n",
        names.address,
        port.address(),
    );
    let balancer = Balancer::with(&config).ports([&port]).start();
    let runtime = RuntimeSocket::at(balancer.file.with_file_name(SOCKET));
    Stage { balancer, port, runtime }
}

impl Stage {
    fn usable(&self, count: usize) {
        eventually(&format!("{count} servers are usable"), || {
            let csv = self.runtime.ask("show stat -1 4 -1");
            csv.lines().filter(|line| line.contains(",no check,") || line.contains(",UP,")).count() == count
        });
    }

    /// Names of those that answer `count` requests, sorted, each once.
    fn answering(&self, count: usize) -> Vec<String> {
        let mut names = who_answers(&mut Client::to(self.port.address()), count);
        names.sort();
        names.dedup();
        names
    }
}

fn template(port: u16) -> String {
    format!("server-template web 5 app.test:{port} resolvers dns resolve-prefer ipv4 init-addr none")
}

#[test]
fn a_template_follows_the_name_service_without_a_failed_request() {
    let names = NameServer::start();
    let servers = instances(7, 5);
    names.host("app.test", &["127.0.7.1", "127.0.7.2", "127.0.7.3"]);
    let stage = stage(&names, &template(servers[0].address.port()), "");
    stage.usable(3);
    let load = Load::get(stage.port.address(), "/").connections(8).start();
    load.wait_for(100);
    names.host("app.test", &["127.0.7.1", "127.0.7.2", "127.0.7.3", "127.0.7.4", "127.0.7.5"]);
    stage.usable(5);
    load.wait_for(100);
    assert_eq!(stage.answering(20), ["i1", "i2", "i3", "i4", "i5"]);
    names.host("app.test", &["127.0.7.4"]);
    stage.usable(1);
    load.wait_for(100);
    assert_eq!(stage.answering(5), ["i4"]);
    let report = load.stop();
    assert_eq!(report.failed(), 0, "{}", report.line());
}

#[test]
fn a_name_service_that_is_silent_refuses_or_raves_takes_no_server_away() {
    let names = NameServer::start();
    let servers = instances(8, 2);
    names.host("app.test", &["127.0.8.1", "127.0.8.2"]);
    let stage = stage(&names, &template(servers[0].address.port()), "hold nx 10s");
    stage.usable(2);
    for mood in [Mood::Silent, Mood::Refusing, Mood::Raving, Mood::Missing] {
        names.mood(mood);
        names.wait_for(8);
        assert_eq!(stage.answering(6), ["i1", "i2"], "{mood:?}");
    }
    let counts = stage.runtime.ask("show resolvers dns");
    for word in ["valid", "nx", "refused", "timeout", "invalid"] {
        let line = counts.lines().find(|line| line.contains(&format!(" {word}:"))).unwrap();
        assert!(!line.trim_end().ends_with(" 0"), "{counts}");
    }
    names.mood(Mood::Honest);
    names.host("app.test", &["127.0.8.2"]);
    stage.usable(1);
}

#[test]
fn a_name_that_is_gone_for_too_long_takes_its_servers_out() {
    let names = NameServer::start();
    let servers = instances(9, 1);
    names.host("app.test", &["127.0.9.1"]);
    let line = format!("server web1 app.test:{} resolvers dns init-addr none", servers[0].address.port());
    let stage = stage(&names, &line, "hold nx 300ms\n    hold timeout 300ms");
    stage.usable(1);
    for mood in [Mood::Missing, Mood::Silent] {
        names.mood(mood);
        eventually("the server is in maintenance", || {
            stage.runtime.cell("l", "web1", "status") == "MAINT (resolution)"
        });
        assert_eq!(Client::to(stage.port.address()).get("/").unwrap().status, 503);
        names.mood(Mood::Honest);
        stage.usable(1);
        assert_eq!(stage.answering(1), ["i1"]);
    }
}

#[test]
fn instances_of_a_service_have_ports_and_weights() {
    let names = NameServer::start();
    let servers = [Server::start("a"), Server::start("b")];
    for host in ["a.test", "b.test"] {
        names.host(host, &["127.0.0.1"]);
    }
    let ports = [servers[0].address.port(), servers[1].address.port()];
    // 0 and 512 become 1 and 3.
    names.service("_http._tcp.app.test", &[("a.test", ports[0], 0), ("b.test", ports[1], 512)]);
    let line = "server-template web 3 _http._tcp.app.test resolvers dns resolve-prefer ipv4";
    let stage = stage(&names, line, "");
    stage.usable(2);
    let answers = who_answers(&mut Client::to(stage.port.address()), 40);
    assert_eq!(answers.iter().filter(|name| *name == "b").count(), 30, "{answers:?}");
    let state = stage.runtime.ask("show servers state l");
    assert!(state.contains(&format!("b.test {} _http._tcp.app.test", ports[1])), "{state}");
    names.service("_http._tcp.app.test", &[("b.test", ports[1], 0)]);
    stage.usable(1);
    assert_eq!(stage.answering(6), ["b"]);
}

#[test]
fn a_server_that_moves_takes_its_traffic_along() {
    let names = NameServer::start();
    let servers = instances(10, 2);
    names.host("app.test", &["127.0.10.1"]);
    let line = format!("server web1 app.test:{} resolvers dns init-addr none", servers[0].address.port());
    let stage = stage(&names, &line, "");
    stage.usable(1);
    assert_eq!(stage.answering(3), ["i1"]);
    names.host("app.test", &["127.0.10.2"]);
    eventually("the other instance answers", || stage.answering(1) == ["i2"]);
    names.host("other.test", &["127.0.10.1"]);
    let told = stage.runtime.ask("set server l/web1 fqdn other.test");
    assert!(told.contains("changed its FQDN from app.test to other.test"), "{told}");
    eventually("the name set at run time counts", || stage.answering(1) == ["i1"]);
    drop(stage.balancer);
}

#[test]
fn names_are_looked_up_at_the_start() {
    let server = Server::start("web1");
    let port = Port::free();
    let config = |host: &str, more: &str| {
        format!(
            "defaults\n    mode http\n    timeout connect 2s\n    timeout client 5s\n    timeout server 5s\nlisten l\n    \
             bind {}\n    server s1 {host}:{} {more}\n",
            port.address(),
            server.address.port()
        )
    };
    let started = Balancer::with(&config("localhost", "")).ports([&port]).start();
    assert_eq!(who_answers(&mut Client::to(port.address()), 1), ["web1"]);
    drop(started);
    let fixed =
        Balancer::with(&config("nowhere.invalid", "init-addr last,libc,127.0.0.1")).ports([&port]).start();
    assert_eq!(who_answers(&mut Client::to(port.address()), 1), ["web1"]);
    drop(fixed);
    let waiting = Balancer::with(&config("nowhere.invalid", "init-addr libc,none")).ports([&port]).start();
    assert_eq!(Client::to(port.address()).get("/").unwrap().status, 503);
    drop(waiting);
    let mut refused = Balancer::with(&config("nowhere.invalid", "")).spawn();
    let status = refused.process.wait(Duration::from_secs(10));
    assert!(!status.success());
    assert!(refused.process.output().contains("nowhere.invalid"), "{}", refused.process.output());
}
