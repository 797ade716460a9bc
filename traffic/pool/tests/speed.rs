//! What a place costs on the path of a request. Prints figures; only fails when something is badly wrong.
//! Run with `--profile quick --no-capture` for figures that mean something.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use plan::pool::Balance;
use plan::{Place, ServerAddress};
use pool::{Admission, Ask, NoObserver, Pool};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const BATCHES: u32 = 200;
const BATCH: u32 = 1000;

#[test]
fn admit_and_leave() {
    for (what, balance, limit) in [
        ("round robin", Balance::RoundRobin, None),
        ("round robin, limited", Balance::RoundRobin, Some(1000)),
        ("least connections", Balance::LeastConnections, None),
    ] {
        for threads in [1, 2] {
            let each = measure(&balance, limit, threads);
            println!("{what}, {threads} threads: {} ns for each admit and leave", each.as_nanos());
            assert!(each < Duration::from_micros(100), "{what}");
        }
    }
}

fn measure(balance: &Balance, limit: Option<u32>, threads: usize) -> Duration {
    let pool = Arc::new(build(balance, limit, threads));
    let start = Barrier::new(threads);
    let batch = |worker| {
        let begin = Instant::now();
        for _ in 0..BATCH {
            let admission = pool.admit(&Ask { worker, may_wait: true, ..Ask::default() });
            assert!(matches!(admission, Admission::Served(_)));
        }
        begin.elapsed() / BATCH
    };
    let run = |worker| {
        start.wait();
        // The median: the machine does other things too.
        let mut batches: Vec<Duration> = (0..BATCHES).map(|_| batch(worker)).collect();
        batches.sort_unstable();
        batches[batches.len() / 2]
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|worker| scope.spawn(move || run(worker))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    })
}

fn build(balance: &Balance, limit: Option<u32>, workers: usize) -> Pool {
    let server = |id: u32| {
        let address = ServerAddress::Tcp(([127, 0, 0, 1], 1).into());
        let mut server = plan::Server::new(Place::none(), format!("s{id}"), id, address);
        server.max_connections = limit;
        server
    };
    let servers = (1..=3).map(server).collect();
    let plan = plan::Pool { servers, balance: balance.clone(), ..plan::Pool::default() };
    Pool::build(&plan, workers, None, &|_| None, Arc::new(NoObserver))
}
