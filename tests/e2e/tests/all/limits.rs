//! Limits: of requests at a server, of repeats, of what the machine gives.

use std::time::{Duration, Instant};

use e2e::scripted::answer;
use e2e::{Balancer, Client, Port, Scripted, Server, Step, eventually};

use crate::farm::{Farm, listen, who_answers};

#[test]
fn a_full_server_lets_requests_wait_in_line() {
    let server = Server::start("web1");
    let farm = Farm::start("timeout queue 5s", &[server.address], "maxconn 1");
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = farm.client();
            std::thread::spawn(move || client.get("/slow/100").unwrap().status)
        })
        .collect();
    let started = Instant::now();
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    assert!(started.elapsed() >= Duration::from_millis(300), "they were served at once");
}

/// A server that spoils every request in one way, and one that answers.
struct Spoilt {
    bad: Scripted,
    good: Scripted,
    farm: Farm,
}

impl Spoilt {
    fn by(steps: Vec<Step>, retry_on: &str) -> Self {
        let bad = Scripted::start(move |_| steps.clone());
        let good = Scripted::answering(&answer(200, "", "good"));
        let lines =
            format!("balance roundrobin\nretries 3\noption redispatch 1\n{retry_on}\ntimeout server 300");
        let farm = Farm::start(&lines, &[bad.address, good.address], "");
        Self { bad, good, farm }
    }

    fn seen(&self) -> usize {
        self.bad.seen().len() + self.good.seen().len()
    }
}

fn ways() -> [(&'static str, u16, Vec<Step>); 4] {
    [
        ("empty-response", 502, vec![Step::Close]),
        ("response-timeout", 504, vec![Step::Wait(Duration::from_secs(1)), Step::Close]),
        ("503", 503, vec![Step::send(&answer(503, "", "bad"))]),
        ("junk-response", 502, vec![Step::send("this is no HTTP\r\n\r\n"), Step::Close]),
    ]
}

fn is_repeated(way: &str, steps: Vec<Step>) {
    let farm = Spoilt::by(steps, &format!("retry-on conn-failure {way}"));
    let answer = farm.farm.client().get("/").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "good"), "{way}");
    assert_eq!((farm.bad.seen().len(), farm.good.seen().len()), (1, 1), "{way}");
}

#[test]
fn a_get_is_repeated_where_the_file_says_so() {
    for (way, _, steps) in ways().into_iter().filter(|(way, ..)| *way != "503") {
        is_repeated(way, steps);
    }
}

#[test]
fn a_get_is_repeated_on_a_status_that_the_file_names() {
    is_repeated("503", vec![Step::send(&answer(503, "", "bad"))]);
}

/// HAProxy repeats it when `retry-on` says so. We never do once a server may have begun (RFC 9110, 9.2.2).
#[test]
fn a_post_is_never_repeated() {
    for (way, status, steps) in ways() {
        let farm = Spoilt::by(steps, &format!("retry-on conn-failure {way}"));
        if !farm.farm.balancer.program.is_mainstay() {
            return e2e::figures("not told: HAProxy repeats a POST when 'retry-on' says so");
        }
        let answer = farm.farm.client().post("/pay", &[], b"amount=1").unwrap();
        assert_eq!(answer.status, status, "{way}");
        assert_eq!(farm.seen(), 1, "{way}: the POST was sent again");
    }
}

#[test]
fn a_post_goes_elsewhere_when_nobody_was_reached() {
    let nobody = Port::free();
    let server = Server::start("web2");
    let farm =
        Farm::start("balance roundrobin\noption redispatch 1", &[nobody.address(), server.address], "");
    for number in 0..4 {
        let id = format!("request-{number}");
        let answer = farm.client().post("/work", &[("X-Request-Id", &id)], b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(server.executed().len(), 4);
}

/// More than any machine gives.
#[test]
fn too_few_descriptors_end_the_start_with_a_reason() {
    let port = Port::free();
    let config = format!("global\n    maxconn 1500000000\n{}", listen(&port, "", &[], ""));
    let mut balancer = Balancer::with(&config).spawn();
    if !balancer.program.is_mainstay() {
        return e2e::figures("not told: HAProxy asks for the memory first, and may get it");
    }
    assert_eq!(balancer.process.wait(Duration::from_secs(5)).code(), Some(1));
    let said = balancer.process.output();
    assert!(said.contains("maxconn") && said.contains("file descriptors"), "{said}");
    assert!(said.contains("ulimit -n"), "no hint in: {said}");
}

#[test]
fn fifty_connections_on_two_threads_share_out_exactly() {
    let servers = Server::start_many(3);
    let port = Port::free();
    let addresses = crate::farm::addresses(&servers);
    let config = format!("global\n    nbthread 2\n{}", listen(&port, "balance roundrobin", &addresses, ""));
    let _balancer = Balancer::with(&config).ports([&port]).start();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = Client::to(port.address());
            std::thread::spawn(move || who_answers(&mut client, 12))
        })
        .collect();
    let names: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    for server in ["web1", "web2", "web3"] {
        assert_eq!(names.iter().filter(|name| *name == server).count(), 200, "{server}");
    }
    let requests = || servers.iter().map(|server| server.statistic("requests")).collect::<Vec<_>>();
    eventually("all are counted", || requests().iter().all(|count| *count >= 200));
}
