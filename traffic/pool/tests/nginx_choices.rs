//! The same requests go the same way as with nginx: turns, hashes, failures, backups.
//!
//! `nginx_choices.txt` was recorded from nginx 1.22.1; this test asks our pool the same questions.

#![allow(clippy::unwrap_used, clippy::panic)]

use plan::pool::Balance;
use plan::smooth::{Smooth, SmoothMethod, SmoothServer, Sticky};
use plan::{Place, ServerAddress, Template};
use pool::{Admission, Ask, Clock, Journey, NoObserver, Pool, Slot};
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const RECORDED: &str = include_str!("nginx_choices.txt");

#[test]
fn same_choices_as_recorded() {
    let mut wrong = Vec::new();
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    for (number, line) in lines.enumerate() {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [method, servers, failing, expected] = parts[..] else { panic!("{line}") };
        let pool = Arc::new(build(method, servers, Clock::system()));
        let count = expected.split(' ').count();
        let ours: Vec<String> = (0..count).map(|n| request(&pool, method, n, failing)).collect();
        let ours = ours.join(" ");
        if ours != expected {
            wrong.push(format!("{number}: {method} {servers} {failing}\n  nginx {expected}\n  ours  {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One request with all its tries.
fn request(pool: &Arc<Pool>, method: &str, n: usize, failing: &str) -> String {
    let key = key(method, n);
    let journey = RefCell::new(Journey::default());
    let mut left = pool.chances().unwrap();
    let mut tries = Vec::new();
    loop {
        let ask = Ask { key: key.as_deref(), journey: Some(&journey), may_wait: true, ..Ask::default() };
        let mut slot = match pool.admit(&ask) {
            Admission::Served(slot) => slot,
            Admission::Refused(_) => {
                tries.push("-".to_owned());
                break;
            }
            other @ Admission::Wait(_) => panic!("{other:?}"),
        };
        let name = slot.server().plan.name.clone();
        tries.push(name.clone());
        if !failing.contains(&name) || left <= 1 {
            break;
        }
        slot.fail();
        left -= 1;
    }
    tries.join(">")
}

fn build(method: &str, servers: &str, clock: Clock) -> Pool {
    let key = |ring| SmoothMethod::Key { key: Template::default(), ring };
    let method = match method {
        "turns" => SmoothMethod::Turns,
        "least" => SmoothMethod::LeastConnections,
        "network" => SmoothMethod::ClientNetwork,
        "random" => SmoothMethod::Random,
        "two" => SmoothMethod::RandomOfTwo,
        "key" => key(false),
        "ring" => key(true),
        other => panic!("{other}"),
    };
    let servers = servers.split("; ").enumerate().map(|(at, said)| server(at, said)).collect();
    let sticky = Some(Sticky { lookup: Vec::new(), cookie: None, learn: None });
    let balance = Balance::Smooth(Box::new(Smooth { method, sticky, queue: None }));
    let plan = plan::Pool { name: "u".into(), servers, balance, ..plan::Pool::default() };
    Pool::build_with_clock(&plan, 1, None, &|_| None, Arc::new(NoObserver), clock)
}

fn server(at: usize, said: &str) -> plan::Server {
    let address = ([127, 0, 0, 1], 18_100 + at as u16).into();
    let mut server =
        plan::Server::new(Place::none(), at.to_string(), at as u32 + 1, ServerAddress::Tcp(address));
    let mut smooth = SmoothServer::new(address.to_string());
    for word in said.split(' ').filter(|word| *word != "-") {
        match word.split_once('=') {
            Some(("weight", n)) => server.weight = n.parse().unwrap(),
            Some(("max_fails", n)) => smooth.max_fails = n.parse().unwrap(),
            Some(("max_conns", n)) => server.max_connections = Some(n.parse().unwrap()),
            Some(("fail_timeout", n)) => smooth.window = Duration::from_secs(n.parse().unwrap()),
            Some(("route", route)) => smooth.route = Some(route.into()),
            None if word == "down" => server.disabled = true,
            None if word == "backup" => server.backup = true,
            None if word == "drain" => smooth.drained = true,
            _ => panic!("{word}"),
        }
    }
    server.smooth = Some(Box::new(smooth));
    server
}

/// The key of the nth request.
fn key(method: &str, n: usize) -> Option<Vec<u8>> {
    match method {
        "network" => Some(match clients()[n % clients().len()] {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        }),
        "key" | "ring" => Some(match n {
            0..40 => format!("k{n}").into_bytes(),
            40 => b"/a/b".to_vec(),
            41 => vec![b'x'; 60],
            _ => b"%D0%BF".to_vec(),
        }),
        _ => None,
    }
}

fn clients() -> Vec<IpAddr> {
    let mut clients = Vec::new();
    for a in [0, 7, 200] {
        for b in [1, 99] {
            clients.extend([1, 2, 250].map(|c| IpAddr::from([10, a, b, c])));
        }
    }
    let others = ["192.168.1.7", "8.8.8.8", "2001:db8::1", "2001:db8::2", "fe80::1234", "::1"];
    clients.extend(others.map(|text| text.parse::<IpAddr>().unwrap()));
    clients
}

/// A pool whose time is turned by hand.
fn with_time(method: &str, servers: &str) -> (Arc<Pool>, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(86_400_000));
    let clock = Arc::clone(&time);
    (Arc::new(build(method, servers, Clock::from_fn(move || clock.load(Relaxed)))), time)
}

fn names(pool: &Arc<Pool>, method: &str, count: usize, failing: &str) -> String {
    (0..count).map(|n| request(pool, method, n, failing)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_server_that_sat_out_gets_one_live_try() {
    let (pool, time) = with_time("turns", "max_fails=1; -");
    assert_eq!(names(&pool, "turns", 3, "0"), "0>1 1 1");
    time.fetch_add(10_000, Relaxed);
    assert_eq!(names(&pool, "turns", 2, "0"), "1 1", "ten seconds are not over yet");
    time.fetch_add(1_000, Relaxed);
    assert_eq!(names(&pool, "turns", 3, "0"), "1 1 0>1", "it is tried, and fails again");
    time.fetch_add(11_000, Relaxed);
    // Its share was nothing for one turn, then it grows back, and it works again.
    assert_eq!(names(&pool, "turns", 6, ""), "1 1 0 1 0 1");
}

#[test]
fn failures_are_forgotten_when_the_window_passes_without_another() {
    let (pool, time) = with_time("turns", "max_fails=2; max_fails=2");
    assert_eq!(names(&pool, "turns", 1, "0"), "0>1");
    time.fetch_add(11_000, Relaxed);
    names(&pool, "turns", 4, "");
    assert_eq!(names(&pool, "turns", 2, "0"), "1 0>1", "that is its first failure again");
    assert!(names(&pool, "turns", 4, "").contains('0'));
}

#[test]
fn a_server_alone_never_sits_out() {
    let (pool, _) = with_time("turns", "max_fails=1");
    assert_eq!(pool.chances(), Some(1));
    let mut slot = served(&pool, &Ask::default()).unwrap();
    slot.fail();
    drop(slot);
    assert!(served(&pool, &Ask::default()).is_some());
}

fn served(pool: &Arc<Pool>, ask: &Ask<'_>) -> Option<Slot> {
    match pool.admit(ask) {
        Admission::Served(slot) => Some(slot),
        _ => None,
    }
}

fn all_at_once(pool: &Arc<Pool>, method: &str, count: usize) -> String {
    let slots: Vec<Option<Slot>> =
        (0..count).map(|_| served(pool, &Ask { key: key(method, 1).as_deref(), ..Ask::default() })).collect();
    let name = |slot: &Option<Slot>| slot.as_ref().map_or("-".into(), |s| s.server().plan.name.clone());
    slots.iter().map(name).collect::<Vec<String>>().join(" ")
}

#[test]
fn limits_are_kept() {
    let all = |method, servers| all_at_once(&with_time(method, servers).0, method, 6);
    assert_eq!(all("turns", "max_conns=2; backup max_conns=3"), "0 0 1 1 1 -");
    assert_eq!(all("turns", "max_conns=1 weight=2; -"), "0 1 1 1 1 1");
    assert_eq!(all("least", "max_conns=2; backup max_conns=3"), "0 0 1 1 1 -");
    assert_eq!(all("least", "weight=2; weight=1"), "0 1 0 1 0 0");
    assert_eq!(all("turns", "max_conns=3"), "0 0 0 - - -");
    for method in ["network", "key", "ring", "random", "two"] {
        let mut line: Vec<char> =
            all(method, "max_conns=1; max_conns=2").chars().filter(|c| *c != ' ').collect();
        line.sort_unstable();
        assert_eq!(line, ['-', '-', '-', '0', '1', '1'], "{method}");
    }
}

#[test]
fn drained_servers_serve_those_that_stick_to_them() {
    let (pool, _) = with_time("turns", "route=a drain; route=b; route=c");
    assert_eq!(names(&pool, "turns", 4, ""), "1 2 1 2");
    let to = |hint: &'static str| {
        let ask = Ask { hint: Some(hint.as_bytes()), ..Ask::default() };
        served(&pool, &ask).unwrap().server().plan.name.clone()
    };
    assert_eq!(["a", "a", "c", "c"].map(to).join(" "), "0 0 2 2");
    // What was bound to 2 counts as its turns.
    assert_eq!(names(&pool, "turns", 5, ""), "1 1 1 2 1");
}

#[test]
fn a_server_without_a_route_is_known_by_the_digest_of_its_address() {
    let (pool, _) = with_time("turns", "-; -");
    // printf 127.0.0.1:18101 | md5sum
    assert_eq!(pool.server("1").unwrap().sid(), "a44db3549e461fcd8a5ae22f73f91140");
}

#[test]
fn random_choices_follow_weight_and_load() {
    let (pool, _) = with_time("random", "weight=3; weight=1");
    let first = names(&pool, "random", 2000, "").matches('0').count();
    assert!((1350..1650).contains(&first), "{first}");
    // Of two that are drawn the one with less to do is taken.
    let (pool, _) = with_time("two", "-; -");
    let busy = served(&pool, &Ask::default()).unwrap().server().plan.name.clone();
    let held: Vec<Slot> = (0..9).filter_map(|_| served(&pool, &Ask::default())).collect();
    let at_first = held.iter().filter(|slot| slot.server().plan.name == busy).count();
    assert!((4..=5).contains(&at_first), "{at_first}");
}
