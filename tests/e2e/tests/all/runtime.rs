//! The runtime socket: what operators type, and what it does to the traffic.

use std::path::PathBuf;

use e2e::{Balancer, Client, Port, RuntimeSocket, Server, eventually};
use tempfile::TempDir;

use crate::farm::{addresses, listen, who_answers};

/// A balancer with three servers, a socket for administrators and one for everybody.
struct Managed {
    admin: RuntimeSocket,
    user: RuntimeSocket,
    port: Port,
    balancer: Balancer,
    servers: Vec<Server>,
    _directory: TempDir,
}

impl Managed {
    fn start() -> Self {
        let servers = Server::start_many(3);
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { directory.path().join(name) };
        let (admin, user, port) = (path("admin.sock"), path("user.sock"), Port::free());
        let config = format!(
            "global\n    stats socket {} mode 600 level admin\n    stats socket {} mode 666 level user\n{}",
            admin.display(),
            user.display(),
            listen(&port, "balance roundrobin", &addresses(&servers), "")
        );
        let balancer = Balancer::with(&config).ports([&port]).start();
        eventually("the sockets are there", || admin.exists() && user.exists());
        let [admin, user] = [admin, user].map(RuntimeSocket::at);
        Self { admin, user, port, balancer, servers, _directory: directory }
    }

    /// Who answers six requests, each name once.
    fn who(&self) -> Vec<String> {
        let mut names = who_answers(&mut Client::to(self.port.address()), 6);
        names.sort();
        names.dedup();
        names
    }
}

#[test]
fn show_info_and_show_stat_tell_what_is() {
    let farm = Managed::start();
    if farm.balancer.program.is_mainstay() {
        assert_eq!(farm.admin.info("Pid"), farm.balancer.process.id().to_string());
    }
    let before: u64 = farm.admin.info("CumReq").parse().unwrap();
    let names = who_answers(&mut Client::to(farm.port.address()), 9);
    assert_eq!(names, ["web1", "web2", "web3"].repeat(3));
    eventually("nine requests are counted", || farm.admin.number("app", "BACKEND", "req_tot") == 9);
    assert!(farm.admin.info("CumReq").parse::<u64>().unwrap() >= before + 9);
    for server in ["web1", "web2", "web3"] {
        assert_eq!(farm.admin.number("app", server, "hrsp_2xx"), 3, "{server}");
        assert_eq!(farm.admin.number("app", server, "lbtot"), 3, "{server}");
        assert_eq!(farm.admin.cell("app", server, "status"), "no check");
    }
    assert_eq!(farm.admin.number("app", "FRONTEND", "req_tot"), 9);
    assert_eq!(farm.admin.cell("app", "FRONTEND", "status"), "OPEN");
    let json = farm.admin.ask("show stat json");
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    let state = farm.admin.ask("show servers state app");
    assert!(state.starts_with("1\n# be_id be_name srv_id srv_name srv_addr srv_op_state"), "{state}");
    assert_eq!(state.lines().filter(|line| line.contains(" app ")).count(), 3, "{state}");
}

#[test]
fn a_server_in_maintenance_gets_nothing_until_it_is_ready() {
    let farm = Managed::start();
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
    farm.admin.order("set server app/web2 state maint");
    assert_eq!(farm.admin.cell("app", "web2", "status"), "MAINT");
    assert_eq!(farm.who(), ["web1", "web3"]);
    farm.admin.order("set server app/web2 state ready");
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
    farm.admin.order("set server app/web3 state drain");
    assert_eq!(farm.admin.cell("app", "web3", "status"), "DRAIN");
    assert_eq!(farm.who(), ["web1", "web2"]);
    farm.admin.order("set server app/web3 state ready");
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
}

#[test]
fn all_in_maintenance_is_a_503() {
    let farm = Managed::start();
    for server in ["web1", "web2", "web3"] {
        farm.admin.order(&format!("set server app/{server} state maint"));
    }
    assert_eq!(Client::to(farm.port.address()).get("/whoami").unwrap().status, 503);
    assert_eq!(farm.servers.len(), 3);
}

#[test]
fn disable_and_enable_take_effect() {
    let farm = Managed::start();
    farm.admin.order("disable server app/web1");
    assert_eq!(farm.admin.cell("app", "web1", "status"), "MAINT");
    assert_eq!(farm.who(), ["web2", "web3"]);
    farm.admin.order("enable server app/web1");
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
}

#[test]
fn a_weight_shifts_the_share() {
    let farm = Managed::start();
    farm.admin.order("set weight app/web3 0");
    assert_eq!(farm.who(), ["web1", "web2"]);
    farm.admin.order("set weight app/web1 3");
    farm.admin.order("set server app/web2 weight 1");
    assert!(farm.admin.ask("get weight app/web1").starts_with("3 (initial 1)"));
    assert_eq!(farm.admin.number("app", "web1", "weight"), 3);
    let names = who_answers(&mut Client::to(farm.port.address()), 40);
    assert_eq!(names.iter().filter(|name| *name == "web1").count(), 30, "{names:?}");
    // In percent of what the file says.
    farm.admin.order("set weight app/web1 100%");
    assert!(farm.admin.ask("get weight app/web1").starts_with("1 (initial 1)"));
}

#[test]
fn rights_are_kept() {
    let farm = Managed::start();
    assert!(farm.user.ask("show info").contains("Name: "));
    assert!(farm.user.ask("show stat").contains("app,web1,"));
    for refused in [
        "set server app/web1 state maint",
        "disable server app/web1",
        "set weight app/web1 0",
        "clear counters",
    ] {
        let said = farm.user.ask(refused);
        assert!(said.contains("Permission denied") || said.contains("Unknown command"), "{refused}: {said}");
    }
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
    // An administrator may lay rights down, for one session.
    let said = farm.admin.ask("user; set server app/web1 state maint");
    assert!(said.contains("Permission denied") || said.contains("Unknown command"), "{said}");
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
}

#[test]
fn wrong_words_are_answered_and_change_nothing() {
    let farm = Managed::start();
    for wrong in [
        "set server app/nobody state maint",
        "set server nowhere/web1 state maint",
        "set server app/web1 state asleep",
        "set weight app/web1 999",
        "no such command",
    ] {
        assert_ne!(farm.admin.ask(wrong).trim(), "", "{wrong}");
    }
    assert_eq!(farm.who(), ["web1", "web2", "web3"]);
}

#[test]
fn what_was_said_outlives_a_reload() {
    let farm = Managed::start();
    if !farm.balancer.program.is_mainstay() {
        return e2e::figures("not told: a reloaded HAProxy forgets, unless a state file is kept for it");
    }
    farm.admin.order("set server app/web2 state maint");
    let before: u64 = farm.admin.info("Uptime_sec").parse().unwrap();
    let said = farm.balancer.process.lines();
    farm.balancer.reload();
    farm.balancer.process.line_after(said, "reload", std::time::Duration::from_secs(5));
    assert!(farm.admin.info("Uptime_sec").parse::<u64>().unwrap() >= before);
    assert_eq!(farm.who(), ["web1", "web3"]);
}
