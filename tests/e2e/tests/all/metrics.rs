//! What Prometheus scrapes: the names that dashboards are drawn from, and numbers that move.

use std::collections::BTreeSet;
use std::path::Path;

use e2e::scripted::answer;
use e2e::{Balancer, Client, Port, Program, Scripted, Server, Step, eventually, figures};

use crate::farm::{addresses, listen, who_answers};

/// Everything that the dashboard of Grafana's collection number 12693 asks for.
fn names() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../observe/dashboard/src/names_12693.txt");
    let names: Vec<_> = std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    assert!(names.len() > 100, "the list of names is cut");
    names
}

/// A scrape, and how to read it.
struct Scrape(String);

impl Scrape {
    fn of(port: &Port) -> Self {
        let answer = e2e::client::get(port.address(), "/metrics").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        Self(answer.text())
    }

    fn names(&self) -> BTreeSet<&str> {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
    }

    /// The value of a series, such as `haproxy_server_status{proxy="app",state="UP"}`, labels in any order.
    fn value(&self, series: &str) -> f64 {
        let (name, wanted) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
        let mut lines = self.0.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && wanted.split(',').all(|label| rest.contains(label))
        });
        let line = lines.next().unwrap_or_else(|| panic!("no {series} in:\n{}", self.0));
        assert_eq!(lines.next(), None, "{series} is not one series");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// These have a series for each stick table, and there are no stick tables yet.
const OF_STICK_TABLES: [&str; 2] = ["haproxy_sticktable_size", "haproxy_sticktable_used"];

const LINES: &str = "balance roundrobin
    option httpchk GET /health
    http-request use-service prometheus-exporter if { path /metrics }";

#[test]
fn every_name_of_the_dashboard_is_there() {
    if !Program::subject().is_mainstay() {
        return figures("not told: Debian's HAProxy is built without the exporter's newer names");
    }
    let servers = Server::start_many(2);
    let port = Port::free();
    let _balancer =
        Balancer::with(&listen(&port, LINES, &addresses(&servers), "check")).ports([&port]).start();
    // Some have no value before the first request, and before the first check is over.
    who_answers(&mut Client::to(port.address()), 2);
    let checked = "haproxy_server_check_duration_seconds";
    eventually("a check is over", || Scrape::of(&port).names().contains(checked));
    let scrape = Scrape::of(&port);
    let there = scrape.names();
    let missing: Vec<_> = names().into_iter().filter(|name| !there.contains(name.as_str())).collect();
    assert_eq!(missing, OF_STICK_TABLES);
    // Each family is introduced once, before its samples.
    for name in &there {
        let types = scrape.0.lines().filter(|line| line.starts_with(&format!("# TYPE {name} "))).count();
        assert_eq!(types, 1, "{name}");
    }
}

#[test]
fn numbers_move_with_the_traffic() {
    let server = Scripted::start(|seen| {
        let status = if seen.target == "/missing" { 404 } else { 200 };
        vec![Step::send(&answer(status, "", "hello"))]
    });
    let port = Port::free();
    let lines = "http-request use-service prometheus-exporter if { path /metrics }";
    let _balancer = Balancer::with(&listen(&port, lines, &[server.address], "")).ports([&port]).start();

    let before = Scrape::of(&port);
    let mut client = Client::to(port.address());
    for _ in 0..20 {
        client.get("/").unwrap();
    }
    let body = vec![b'x'; 10_000];
    client.post("/missing", &[], &body).unwrap();
    // A request is counted when it is over; that may be a moment after its last byte was read.
    let grew = |series: &str| Scrape::of(&port).value(series) - before.value(series);
    eventually("the requests are counted", || {
        grew(r#"haproxy_server_http_responses_total{proxy="app",server="web1",code="4xx"}"#) > 0.0
    });
    let server = r#"proxy="app",server="web1""#;
    let is = |series: &str, expected: f64| {
        let grown = grew(series);
        assert!((grown - expected).abs() < 0.5, "{series} grew by {grown}, not by {expected}");
    };
    is(&format!("haproxy_server_http_responses_total{{{server},code=\"2xx\"}}"), 20.0);
    is(&format!("haproxy_server_http_responses_total{{{server},code=\"4xx\"}}"), 1.0);
    is(&format!("haproxy_server_http_responses_total{{{server},code=\"5xx\"}}"), 0.0);
    is(r#"haproxy_backend_http_responses_total{proxy="app",code="2xx"}"#, 20.0);
    is(r#"haproxy_backend_http_requests_total{proxy="app"}"#, 21.0);
    // Scrapes are requests of the frontend, too.
    assert!(grew(r#"haproxy_frontend_http_requests_total{proxy="app"}"#) >= 22.0);
    assert!(grew(r#"haproxy_frontend_http_responses_total{proxy="app",code="2xx"}"#) >= 21.0);
    assert!(grew(&format!("haproxy_server_bytes_in_total{{{server}}}")) >= 10_000.0);
    assert!(grew(&format!("haproxy_server_bytes_out_total{{{server}}}")) >= 21.0 * 5.0);
    assert!(grew(r#"haproxy_frontend_bytes_in_total{proxy="app"}"#) >= 10_000.0);
    assert!(grew("haproxy_process_requests_total") >= 22.0);
}

#[test]
fn a_dead_server_shows() {
    let mut servers = Server::start_many(2);
    let port = Port::free();
    let config = listen(&port, LINES, &addresses(&servers), "check inter 100 fall 2 rise 1");
    let _balancer = Balancer::with(&config).ports([&port]).start();
    let state = |server: &str, state: &str| {
        let series = format!("haproxy_server_status{{proxy=\"app\",server=\"{server}\",state=\"{state}\"}}");
        Scrape::of(&port).value(&series) > 0.5
    };
    let active = || Scrape::of(&port).value(r#"haproxy_backend_active_servers{proxy="app"}"#);
    eventually("both are up", || state("web1", "UP") && state("web2", "UP"));
    assert!(!state("web2", "DOWN") && (active() - 2.0).abs() < 0.5);
    servers[1].kill();
    eventually("web2 is down", || state("web2", "DOWN"));
    assert!(!state("web2", "UP") && state("web1", "UP") && (active() - 1.0).abs() < 0.5);
    servers[1].restart();
    eventually("web2 is up again", || state("web2", "UP"));
    assert!(!state("web2", "DOWN"));
}
