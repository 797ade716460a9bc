//! The same keys land on the same servers as with HAProxy: a change-over moves no client.
//!
//! `haproxy_choices.txt` was recorded from HAProxy 2.6.12; this test asks our pool the same questions.

#![allow(clippy::unwrap_used, clippy::panic)]

use plan::pool::{Balance, HashFunction, HashKind, HashMethod, UriHash};
use plan::{Place, ServerAddress};
use pool::{Admission, Ask, NoObserver, Pool, main_domain, uri_key};
use std::sync::Arc;

const RECORDED: &str = include_str!("haproxy_choices.txt");

#[test]
fn same_choices_as_recorded() {
    let mut wrong = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [what, weights, expected] = parts[..] else { panic!("{line}") };
        let chosen = choices(what, weights, expected.len());
        if chosen != expected {
            wrong.push(format!("{what}\n  HAProxy {expected}\n  ours    {chosen}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn choices(what: &str, weights: &str, count: usize) -> String {
    let words: Vec<&str> = what.split(' ').collect();
    let pool = Arc::new(build(balance(words[0]), hash_kind(&words), weights));
    (0..count).map(|n| choose(&pool, key(words[0], n).as_deref())).collect()
}

fn choose(pool: &Arc<Pool>, key: Option<&[u8]>) -> String {
    match pool.admit(&Ask { key, ..Ask::default() }) {
        Admission::Served(slot) => slot.server().plan.name.clone(),
        other => panic!("{other:?}"),
    }
}

fn build(balance: Balance, hash: HashKind, weights: &str) -> Pool {
    let server = |(at, weight): (usize, &str)| {
        let address = ServerAddress::Tcp(([127, 0, 0, 1], 1000).into());
        let mut server = plan::Server::new(Place::none(), at.to_string(), at as u32 + 1, address);
        server.weight = weight.parse().unwrap();
        server
    };
    let servers = weights.split(' ').enumerate().map(server).collect();
    let plan = plan::Pool { name: "b".into(), servers, balance, hash, ..plan::Pool::default() };
    Pool::build(&plan, 1, None, &|_| None, Arc::new(NoObserver))
}

fn balance(word: &str) -> Balance {
    let plain = UriHash::default();
    match word {
        "roundrobin" => Balance::RoundRobin,
        "static-rr" => Balance::StaticRoundRobin,
        "leastconn" => Balance::LeastConnections,
        "first" => Balance::First,
        "source" => Balance::Source,
        "param" => Balance::QueryParameter("id".into()),
        "host" => Balance::Header { name: "host".into(), domain_only: true },
        _ => Balance::Uri(plain),
    }
}

fn hash_kind(words: &[&str]) -> HashKind {
    let method = if words.contains(&"consistent") { HashMethod::Consistent } else { HashMethod::Map };
    let function = match words.get(3) {
        Some(&"djb2") => HashFunction::Djb2,
        Some(&"wt6") => HashFunction::Wt6,
        Some(&"crc32") => HashFunction::Crc32,
        _ => HashFunction::Sdbm,
    };
    HashKind { method, function, avalanche: words.contains(&"avalanche"), balance_factor: None }
}

/// The key of the `n`th recorded request.
fn key(word: &str, n: usize) -> Option<Vec<u8>> {
    let kind = UriHash::default();
    let target = format!("{}?q=1", path(n));
    let uri = |kind| Some(uri_key(target.as_bytes(), kind).to_vec());
    match word {
        "uri" => uri(kind),
        "uri-depth" => uri(UriHash { depth: Some(2), ..kind }),
        "uri-len" => uri(UriHash { length: Some(6), ..kind }),
        "uri-whole" => uri(UriHash { whole: true, ..kind }),
        "source" => Some(vec![127, 0, (n / 3) as u8, (n * 5 + 1) as u8]),
        "param" => Some((n * 977).to_string().into_bytes()),
        "host" => Some(main_domain(host(n).as_bytes()).to_vec()),
        _ => None,
    }
}

fn path(n: usize) -> String {
    const PATHS: [&str; 11] = [
        "/",
        "/a",
        "/b",
        "/index.html",
        "/img/logo.png",
        "/api/users/42",
        "/api/users/43/orders",
        "/static/js/app.js",
        "/static/css/app.css",
        "/%7Euser/x",
        "/a/b/c/d/e",
    ];
    PATHS.get(n).map_or_else(|| format!("/item/{}", (n - PATHS.len()) * 7919), |path| (*path).into())
}

fn host(n: usize) -> String {
    match n {
        20 => "localhost".into(),
        21 => "a.b".into(),
        n => format!("www.site{n}.example{n}.com:80"),
    }
}
