//! Who gets the next request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;

use e2e::namespace::{Neighbour, inside};
use e2e::{Balancer, Client, Port, Server, cases, eventually};

use crate::farm::{Farm, addresses, listen, server_lines, who_answers};

/// Base64 of admin:admin.
const ADMIN: (&str, &str) = ("Authorization", "Basic YWRtaW46YWRtaW4=");

/// The file of the write-up, word for word: its ports, its user, its addresses from the environment.
#[test]
fn seed_004_runs_word_for_word() {
    inside("rotation::seed_004_runs_word_for_word", || {
        let addresses = ["10.0.4.11", "10.0.4.12", "10.0.4.13"];
        let neighbour = Neighbour::with_addresses(&addresses);
        let at = |number: usize| format!("{}:80", addresses[number]).parse().unwrap();
        let servers: Vec<_> = (0..3)
            .map(|number| Server::start_in(&neighbour, &format!("web{}", number + 1), at(number)))
            .collect();
        let start = Balancer::with(&cases::read("seed-004/haproxy.cfg")).ports([80_u16, 8404]);
        let start = (1..)
            .zip(addresses)
            .fold(start, |start, (number, address)| start.env(&format!("WEB{number}_IP"), address));
        let _balancer = start.start();

        let mut visitor = Client::to("127.0.0.1:80".parse().unwrap());
        assert_eq!(who_answers(&mut visitor, 9), ["web1", "web2", "web3"].repeat(3));
        assert!(visitor.get("/").unwrap().text().contains("Served by: <strong>web1</strong>"));
        statistics_need_the_password("127.0.0.1:8404".parse().unwrap());

        drop(servers);
        eventually("the visitor gets 503", || visitor.get("/").is_ok_and(|answer| answer.status == 503));
    });
}

fn statistics_need_the_password(address: SocketAddr) {
    let refused = Client::to(address).get("/stats").unwrap();
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic realm="));
    let page = Client::to(address).get_with("/stats", &[ADMIN]).unwrap();
    assert_eq!(page.status, 200);
    for word in ["web_servers", "web1", "web2", "web3", "http_front"] {
        assert!(page.text().contains(word), "{word} is missing on the page");
    }
    let csv = Client::to(address).get_with("/stats;csv", &[ADMIN]).unwrap().text();
    assert!(csv.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,"), "{csv}");
    for name in ["web1", "web2", "web3", "BACKEND"] {
        assert!(csv.contains(&format!("\nweb_servers,{name},")), "{csv}");
    }
}

#[test]
fn two_threads_keep_the_sequence_exact() {
    let servers = Server::start_many(3);
    let port = Port::free();
    let config =
        format!("global\n    nbthread 2\n{}", listen(&port, "balance roundrobin", &addresses(&servers), ""));
    let _balancer = Balancer::with(&config).ports([&port]).start();

    // Each on a connection of its own, so that both threads serve.
    let order: Vec<_> = (0..60).flat_map(|_| who_answers(&mut Client::to(port.address()), 1)).collect();
    assert_eq!(order, ["web1", "web2", "web3"].repeat(20));

    let counts = count_in_parallel(port.address(), 10, 30);
    assert!(counts.values().all(|count| *count == 100), "{counts:?}");
}

/// How often each server answered `clients` clients with `each` requests, every one on a new connection.
fn count_in_parallel(address: SocketAddr, clients: usize, each: usize) -> BTreeMap<String, usize> {
    let ask = move || (0..each).flat_map(|_| who_answers(&mut Client::to(address), 1)).collect::<Vec<_>>();
    let threads: Vec<_> = (0..clients).map(|_| thread::spawn(ask)).collect();
    let mut counts = BTreeMap::new();
    for name in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn seed_003_alternates_between_two_gateways_then_three() {
    let gateways = Server::start_many(3);
    for count in [2, 3] {
        let (_balancer, port) = seed_003("roundrobin", &gateways[..count]);
        let names: Vec<_> = gateways[..count].iter().map(|gateway| gateway.name.as_str()).collect();
        assert_eq!(who_answers(&mut Client::to(port.address()), 2 * count), names.repeat(2));
    }
}

#[test]
fn seed_003_source_keeps_a_client_on_its_gateway() {
    let gateways = Server::start_many(3);
    let (_balancer, port) = seed_003("source", &gateways);
    let answers: Vec<_> = (0..6).flat_map(|_| who_answers(&mut Client::to(port.address()), 1)).collect();
    assert!(answers.iter().all(|name| *name == answers[0]), "{answers:?}");
}

#[test]
fn seed_003_leastconn_avoids_the_busy_gateway() {
    let gateways = Server::start_many(3);
    let (_balancer, port) = seed_003("leastconn", &gateways);
    let mut busy = Client::to(port.address());
    let head =
        "POST /work?ms=1500 HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: slow\r\nContent-Length: 0\r\n\r\n";
    busy.send(head.as_bytes()).unwrap();
    let executed = || gateways.iter().map(|gateway| gateway.statistic("posts_executed")).sum::<u64>();
    eventually("the slow request has arrived", || executed() == 1);
    let quick: Vec<_> = (0..12).flat_map(|_| who_answers(&mut Client::to(port.address()), 1)).collect();
    let slow = busy.answer("POST").unwrap().text();
    assert!(!quick.contains(&slow), "{slow} was busy, but: {quick:?}");
}

fn seed_003(balance: &str, gateways: &[Server]) -> (Balancer, Port) {
    let (port, stats) = (Port::free(), Port::free());
    let servers = server_lines(&addresses(gateways), "check");
    let config = cases::fill(
        &cases::read("seed-003/haproxy.cfg"),
        &[
            ("port", &port.to_string()),
            ("stats", &stats.to_string()),
            ("balance", balance),
            ("servers", &servers),
        ],
    );
    let balancer = Balancer::with(&config).ports([&port, &stats]).start();
    assert_eq!(Client::to(stats.address()).get("/stats").unwrap().status, 200);
    (balancer, port)
}

#[test]
fn weights_share_out_in_proportion() {
    let servers = Server::start_many(2);
    let port = Port::free();
    let config = format!(
        "{}    server web1 {} weight 3\n    server web2 {} weight 1\n",
        listen(&port, "balance roundrobin", &[], ""),
        servers[0].address,
        servers[1].address
    );
    let _balancer = Balancer::with(&config).ports([&port]).start();
    let answers = who_answers(&mut Client::to(port.address()), 40);
    assert_eq!(answers.iter().filter(|name| *name == "web1").count(), 30);
}

#[test]
fn a_backup_server_serves_only_when_the_others_are_gone() {
    let mut servers = Server::start_many(2);
    let port = Port::free();
    let config = format!(
        "{}    server web1 {} check inter 100 fall 1 rise 1\n    server web2 {} backup\n",
        listen(&port, "option httpchk GET /health", &[], ""),
        servers[0].address,
        servers[1].address
    );
    let _balancer = Balancer::with(&config).ports([&port]).start();
    let mut client = Client::to(port.address());
    assert_eq!(who_answers(&mut client, 4), ["web1"; 4]);
    servers[0].kill();
    eventually("the backup serves", || client.get("/whoami").is_ok_and(|answer| answer.text() == "web2"));
    servers[0].restart();
    eventually("the first one serves again", || {
        client.get("/whoami").is_ok_and(|answer| answer.text() == "web1")
    });
}

#[test]
fn a_server_that_fails_its_check_gets_no_requests() {
    let servers = Server::start_many(3);
    let lines = "option httpchk GET /health\nhttp-check expect status 200";
    let farm = Farm::start(lines, &addresses(&servers), "check inter 100 fall 2 rise 2");
    let mut client = farm.client();
    servers[1].fault(r#"{"kind":"health"}"#);
    eventually("web2 is out", || !who_answers(&mut client, 3).contains(&"web2".to_owned()));
    assert!(!who_answers(&mut client, 12).contains(&"web2".to_owned()));
    servers[1].fault(r#"{"kind":"none"}"#);
    eventually("web2 is back", || who_answers(&mut client, 3).contains(&"web2".to_owned()));
}
