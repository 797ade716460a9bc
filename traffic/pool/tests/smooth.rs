//! Pools with smooth balancing: names that are many servers, queues, idle connections of a whole pool.

#![allow(clippy::unwrap_used, clippy::panic)]

use plan::pool::{Balance, Reuse};
use plan::smooth::{Keep, Smooth, SmoothServer};
use plan::{Place, ServerAddress};
use pool::{Admission, Ask, Connection, Idle, IdleLimits, Instance, NoObserver, Pool, Slot, connect};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Cause;
use tokio::net::{TcpListener, TcpStream};

fn server(at: u32, address: ServerAddress) -> plan::Server {
    let mut server = plan::Server::new(Place::none(), format!("s{at}"), at, address);
    let mut said = SmoothServer::new(server.address.to_string());
    said.every_address = true;
    server.smooth = Some(Box::new(said));
    server
}

fn named(at: u32, name: &str) -> plan::Server {
    server(at, ServerAddress::Name(name.into(), 80))
}

fn fixed(at: u32, address: &str) -> plan::Server {
    server(at, ServerAddress::Tcp(address.parse().unwrap()))
}

fn plan_of(servers: Vec<plan::Server>, queue: Option<u32>) -> plan::Pool {
    let balance = Balance::Smooth(Box::new(Smooth { queue, ..Smooth::default() }));
    plan::Pool { name: "u".into(), servers, balance, ..plan::Pool::default() }
}

fn build(plan: &plan::Pool, previous: Option<&Pool>) -> Arc<Pool> {
    Arc::new(Pool::build(plan, 1, previous, &|_| None, Arc::new(NoObserver)))
}

fn served(pool: &Arc<Pool>) -> Result<Slot, Cause> {
    match pool.admit(&Ask::default()) {
        Admission::Served(slot) => Ok(slot),
        Admission::Refused(cause) => Err(cause),
        Admission::Wait(_) => panic!("it waits"),
    }
}

fn addresses(pool: &Arc<Pool>, count: usize) -> String {
    let address = |slot: Slot| slot.server().address().to_string();
    (0..count).map(|_| served(pool).map_or_else(|c| c.label().into(), address)).collect::<Vec<_>>().join(" ")
}

fn instances(list: &[&str]) -> Vec<Instance> {
    list.iter().map(|text| text.parse::<SocketAddr>().unwrap().into()).collect()
}

#[test]
fn a_name_becomes_as_many_servers_as_it_has_addresses() {
    let pool = build(
        &plan_of(vec![fixed(1, "10.0.0.9:80"), named(2, "app.test"), fixed(3, "10.0.0.8:80")], None),
        None,
    );
    assert_eq!(addresses(&pool, 3), "10.0.0.9:80 10.0.0.8:80 10.0.0.9:80", "nobody knows the name yet");
    assert!(pool.follow_name("s2", &instances(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"])));
    assert_eq!(pool.servers().len(), 4);
    assert!(!addresses(&pool, 8).is_empty());
    assert_eq!(addresses(&pool, 4).split(' ').collect::<std::collections::BTreeSet<_>>().len(), 4);
    let kept = pool.server("s2=10.0.0.2:80").unwrap();
    assert!(!pool.follow_name("s2", &instances(&["10.0.0.1:80", "10.0.0.2:80"])), "nothing new");
    assert!(pool.follow_name("s2", &instances(&["10.0.0.3:80", "10.0.0.2:80"])));
    assert_eq!(pool.server("s2=10.0.0.2:80").unwrap().uid, kept.uid);
    assert!(pool.server("s2=10.0.0.1:80").is_none());
    assert!(pool.follow_name("s2", &[]));
    assert!(pool.server("s2").unwrap().is_unresolved());
    assert_eq!(pool.chances(), Some(2));
}

#[test]
fn a_pool_of_names_that_lead_nowhere_serves_nobody() {
    let pool = build(&plan_of(vec![named(1, "app.test")], None), None);
    assert_eq!(addresses(&pool, 1), "all_drained");
    assert!(pool.follow_name("s1", &instances(&["10.0.0.1:80"])));
    assert_eq!(addresses(&pool, 2), "10.0.0.1:80 10.0.0.1:80");
}

#[test]
fn a_reload_keeps_what_is_known_of_names() {
    let plan = plan_of(vec![named(1, "app.test"), named(2, "other.test")], None);
    let before = build(&plan, None);
    before.follow_name("s1", &instances(&["10.0.0.1:80"]));
    let mut after = plan.clone();
    after.servers[0].weight = 3;
    after.servers[1].address = ServerAddress::Name("moved.test".into(), 80);
    before.follow_name("s2", &instances(&["10.0.0.2:80"]));
    let pool = build(&after, Some(&before));
    let known = pool.server("s1=10.0.0.1:80").unwrap();
    assert_eq!((known.uid, known.weight()), (before.server("s1=10.0.0.1:80").unwrap().uid, 3));
    assert!(pool.server("s2").unwrap().is_unresolved(), "another name is another server");
}

#[tokio::test]
async fn requests_wait_while_all_are_full() {
    let mut one = fixed(1, "10.0.0.1:80");
    one.max_connections = Some(1);
    let pool = build(&plan_of(vec![one], Some(1)), None);
    let first = served(&pool).unwrap();
    let ask = Ask { may_wait: true, ..Ask::default() };
    let Admission::Wait(waiting) = pool.admit(&ask) else { panic!() };
    assert!(matches!(pool.admit(&ask), Admission::Refused(Cause::QueueFull)), "the queue holds one");
    drop(first);
    assert_eq!(waiting.await.unwrap().server().plan.name, "s1");
}

/// A connection to the only server, and its other end.
async fn connection(pool: &Pool, listener: &TcpListener) -> (Box<Connection>, TcpStream) {
    let server = Arc::clone(&pool.servers()[0]);
    let (made, accepted) = tokio::join!(connect(&server, b""), listener.accept());
    (made.unwrap(), accepted.unwrap().0)
}

async fn keeping(keep: Keep) -> (Arc<Pool>, TcpListener, Idle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plan = plan_of(vec![fixed(1, &listener.local_addr().unwrap().to_string())], None);
    plan.keep = Some(keep);
    (build(&plan, None), listener, Idle::new(IdleLimits::default()))
}

#[tokio::test]
async fn a_pool_keeps_so_many_idle_connections() {
    let (pool, listener, mut idle) = keeping(Keep { connections: 1, ..Keep::default() }).await;
    let (one, _one) = connection(&pool, &listener).await;
    let (two, _two) = connection(&pool, &listener).await;
    let second = two.local_address;
    idle.put(one, Reuse::Always);
    idle.put(two, Reuse::Always);
    assert_eq!(idle.len(), 1);
    let server = &pool.servers()[0];
    assert_eq!(
        idle.take(server, 1, Reuse::Always, true).unwrap().local_address,
        second,
        "the older one went"
    );
}

#[tokio::test]
async fn connections_of_a_pool_wear_out() {
    let (pool, listener, mut idle) = keeping(Keep { requests: 2, ..Keep::default() }).await;
    let (made, _end) = connection(&pool, &listener).await;
    idle.put(made, Reuse::Always);
    let again = idle.take(&pool.servers()[0], 1, Reuse::Always, true).unwrap();
    idle.put(again, Reuse::Always);
    assert!(idle.is_empty(), "two requests were enough");

    for keep in [Keep { connections: 0, ..Keep::default() }, Keep { idle: Duration::ZERO, ..Keep::default() }]
    {
        let (pool, listener, mut idle) = keeping(keep).await;
        let (made, _end) = connection(&pool, &listener).await;
        idle.put(made, Reuse::Always);
        assert!(idle.take(&pool.servers()[0], 1, Reuse::Always, true).is_none(), "{keep:?}");
    }
}
