//! Servers die, freeze and come back under load; visitors should not notice.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use e2e::load::{Outcome, Report, RunningLoad};
use e2e::{Load, Program, Server, figures, full};

use crate::farm::{Farm, addresses};

const CHECKED: &str = "check inter 500 fall 2 rise 2";

/// How long a story takes: `(quick, full)`.
fn either<T>(quick: T, long: T) -> T {
    if full() { long } else { quick }
}

/// Three servers with checks. Mainstay gets the plain file; HAProxy needs every knob to come near.
fn farm(servers: &[Server], knobs: &str) -> Farm {
    let plain = "balance roundrobin\noption httpchk GET /health";
    let lines = if Program::subject().is_mainstay() { plain.to_owned() } else { format!("{plain}\n{knobs}") };
    Farm::start(&lines, &addresses(servers), CHECKED)
}

/// A limit on time. The quick run shares two cores with other stories, so it gets three times as much.
fn bar(limit_ms: u64) -> Duration {
    milliseconds(either(3, 1) * limit_ms)
}

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

#[test]
fn killing_one_of_three_loses_no_get() {
    let mut servers = Server::start_many(3);
    let farm = farm(&servers, "option redispatch 1\nretry-on conn-failure empty-response");
    let load = Load::get(farm.port.address(), "/whoami").start();
    load.wait_for(either(4_000, 30_000));
    servers[0].kill();
    load.wait_for(either(4_000, 50_000));
    servers[0].restart();
    let back = load.now();
    load.wait_for(either(2_000, 20_000));
    e2e::until("web1 is used again", Duration::from_secs(3).saturating_sub(load.now() - back), || {
        (servers[0].statistic("requests") > 100).then_some(())
    });
    let report = load.stop();
    figures(&format!("kill -9 one of three, GET: {}", report.line()));
    assert_eq!(report.failed(), 0, "{:?}", report.outcomes());
    assert!(report.samples.len() >= either(10_000, 100_000));
    assert!(report.longest_gap() <= bar(100), "{:?}", report.longest_gap());
}

#[test]
fn killing_one_of_three_repeats_no_post() {
    let mut servers = Server::start_many(3);
    let farm = farm(&servers, "option redispatch 1");
    let load = Load::post(farm.port.address(), "/work?ms=50").start();
    load.wait_for(either(300, 2_000));
    servers[0].kill();
    load.wait_for(either(500, 3_000));
    servers[0].restart();
    load.wait_for(either(500, 3_000));
    let report = load.stop();
    figures(&format!("kill -9 one of three, POST: {}", report.line()));
    nothing_was_repeated(&servers, &report);
    let in_flight = 50_usize.div_ceil(3) + 2;
    assert!(report.failed() <= in_flight, "more than were in flight: {:?}", report.outcomes());
}

/// No id was executed twice, on the same or on different servers, and every answered one was executed.
fn nothing_was_repeated(servers: &[Server], report: &Report) {
    let executed: Vec<_> = servers.iter().flat_map(Server::executed).collect();
    let different: HashSet<_> = executed.iter().collect();
    assert_eq!(executed.len(), different.len(), "requests executed twice");
    assert!(executed.len() <= report.samples.len(), "more executed than sent");
    assert!(executed.len() >= report.samples.len() - report.failed(), "answered, but never executed");
}

#[test]
fn with_all_servers_gone_the_answer_is_quick_and_the_return_too() {
    let mut servers = Server::start_many(3);
    let farm = farm(&servers, "retries 0\ndefault-server fastinter 100 downinter 100");
    let load = Load::get(farm.port.address(), "/whoami").pause(milliseconds(5)).start();
    load.wait_for(1_000);
    for server in &mut servers {
        server.kill();
    }
    let gone = load.now();
    load.run_for(Duration::from_secs(2));
    let down = gone..load.now();
    servers[0].restart();
    let listens = load.now();
    load.run_for(Duration::from_secs(2));
    let report = load.stop();
    figures(&format!("all servers gone for 2 s: {}", report.line()));

    let refused: Vec<_> =
        report.samples.iter().filter(|one| down.contains(&one.sent) && down.contains(&one.ended())).collect();
    assert!(refused.len() > 100, "the load stalled: {} answers", refused.len());
    let slowest = refused.iter().map(|sample| sample.took).max().unwrap();
    figures(&format!("all servers gone: {} refused, the slowest after {slowest:?}", refused.len()));
    assert!(refused.iter().all(|sample| sample.outcome == Outcome::Status(503)), "{:?}", report.outcomes());
    assert!(slowest <= bar(50), "{slowest:?}");
    let first = report.samples.iter().find(|one| one.is_success() && one.ended() > down.end).unwrap();
    let wait = first.ended().saturating_sub(listens);
    figures(&format!("all servers gone: first success {wait:?} after a server listens"));
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
}

#[test]
fn a_frozen_server_stalls_nobody_for_long() {
    let servers = Server::start_many(3);
    let knobs =
        "option redispatch 1\nretry-on all-retryable-errors\ndefault-server on-marked-down shutdown-sessions";
    let farm = farm(&servers, knobs);
    let load = Load::get(farm.port.address(), "/whoami").start();
    load.wait_for(1_000);
    frozen_for(&load, &servers[0], Duration::from_secs(4));
    load.wait_for(1_000);
    let report = load.stop();
    figures(&format!("one of three frozen for 4 s: {}", report.line()));
    assert_eq!(report.failed(), 0, "{:?}", report.outcomes());
    assert!(report.longest_gap() <= milliseconds(1500), "{:?}", report.longest_gap());
}

fn frozen_for(load: &RunningLoad, server: &Server, time: Duration) {
    server.freeze();
    load.run_for(time);
    server.thaw();
}

#[test]
fn a_frozen_server_repeats_no_post() {
    let servers = Server::start_many(3);
    let farm = farm(&servers, "timeout server 2s");
    let load = Load::post(farm.port.address(), "/work?ms=20").start();
    load.wait_for(300);
    frozen_for(&load, &servers[0], Duration::from_secs(4));
    load.wait_for(300);
    let report = load.stop();
    figures(&format!("one of three frozen for 4 s, POST: {}", report.line()));
    nothing_was_repeated(&servers, &report);
}

#[test]
fn a_server_that_never_answers_ends_in_504() {
    let server = Server::start("web1");
    let farm = Farm::start("timeout server 500", &[server.address], "");
    server.fault(r#"{"kind":"hang"}"#);
    let started = std::time::Instant::now();
    let answer = farm.client().post("/work", &[("X-Request-Id", "one")], b"").unwrap();
    assert_eq!(answer.status, 504);
    let took = started.elapsed();
    assert!(took >= milliseconds(400) && took <= milliseconds(1000), "{took:?}");
}

#[test]
fn nobody_listening_is_a_503() {
    let nobody: SocketAddr = e2e::Port::free().address();
    let farm = Farm::start("retries 0", &[nobody], "");
    assert_eq!(farm.client().get("/").unwrap().status, 503);
}
