//! SIGHUP under load: the new file counts, and no visitor notices.

use std::thread;
use std::time::{Duration, Instant};

use e2e::load::RunningLoad;
use e2e::{Balancer, Load, Port, Server, eventually, figures, full};

use crate::farm::{addresses, listen};

const PAUSE: Duration = Duration::from_millis(2);

/// How many reloads, and the time between two.
fn reloads() -> (usize, Duration) {
    if full() { (100, Duration::from_millis(160)) } else { (20, Duration::from_millis(150)) }
}

struct Setup {
    servers: Vec<Server>,
    port: Port,
    balancer: Balancer,
    load: RunningLoad,
}

fn under_load() -> Setup {
    let servers = Server::start_many(3);
    let port = Port::free();
    let config = listen(&port, "balance roundrobin", &addresses(&servers), "check");
    let balancer = Balancer::with(&config).ports([&port]).reloadable().start();
    let load = Load::get(port.address(), "/whoami").pause(PAUSE).start();
    load.wait_for(500);
    Setup { servers, port, balancer, load }
}

/// One reload, seen to work. HAProxy's master is deaf while it starts again, so it is asked more often.
fn reload_surely(balancer: &Balancer, worked: impl Fn() -> bool) {
    balancer.reload();
    let mut asked = Instant::now();
    eventually("the reload works", || {
        if !balancer.program.is_mainstay() && asked.elapsed() > Duration::from_secs(1) {
            asked = Instant::now();
            balancer.reload();
        }
        worked()
    });
}

#[test]
fn many_reloads_lose_no_request() {
    let Setup { servers, port, balancer, load } = under_load();
    let (count, time) = reloads();
    for _ in 0..count {
        balancer.reload();
        // The pace is the story: as a deployment script would do it.
        thread::sleep(time);
    }
    // The last one changes something, so that we know reloads happen at all.
    balancer.rewrite(&listen(
        &port,
        "http-request return status 299 if { path /new }",
        &addresses(&servers),
        "check",
    ));
    reload_surely(&balancer, || {
        e2e::client::get(port.address(), "/new").is_ok_and(|answer| answer.status == 299)
    });
    load.wait_for(500);
    let report = load.stop();
    figures(&format!("{count} reloads: {} reuse races: {}", report.line(), report.reuse_races()));
    assert_eq!(report.failed() - report.reuse_races(), 0, "{:?}", report.outcomes());
    if balancer.program.is_mainstay() {
        // Kept connections stay where they are.
        assert_eq!(report.reuse_races(), 0, "kept connections were closed under a request");
    }
}

#[test]
fn a_broken_file_changes_nothing_and_is_named() {
    let Setup { servers, port, balancer, load } = under_load();
    let broken = listen(&port, "balance roundrobin\nno_such_word at all", &addresses(&servers), "check");
    let line = 1 + broken.lines().position(|line| line.contains("no_such_word")).unwrap();
    balancer.rewrite(&broken);
    let (count, time) = reloads();
    for _ in 0..count {
        let said = balancer.process.lines();
        let place = format!("haproxy.cfg:{line}");
        reload_surely(&balancer, || balancer.process.hears(said, &place, Duration::ZERO).is_some());
        thread::sleep(time / 4);
    }
    load.wait_for(500);
    let report = load.stop();
    figures(&format!("{count} reloads of a broken file: {}", report.line()));
    assert_eq!(report.failed() - report.reuse_races(), 0, "{:?}", report.outcomes());
    if balancer.program.is_mainstay() {
        assert_eq!(report.reuse_races(), 0);
    }
}

#[test]
fn a_download_that_runs_outlives_a_reload() {
    let Setup { servers: _servers, port, balancer, load } = under_load();
    let mut client = e2e::Client::to(port.address());
    client.send(b"GET /slow/1200 HTTP/1.1\r\nHost: app.example\r\n\r\n").unwrap();
    balancer.reload();
    assert_eq!(client.answer("GET").unwrap().status, 200);
    drop(load.stop());
}
