//! Thousands of small accidents, by seed: requests come, leave and give up while servers fail, recover,
//! drain and change. After each step the promises of the pool are checked.

#![allow(clippy::unwrap_used, clippy::panic)]

use fastrand::Rng;
use plan::pool::{Balance, HashKind, HashMethod};
use plan::{Place, ServerAddress};
use pool::{AdminCause, AdminState, Admission, Ask, Health, NoObserver, Pool, Server, Slot, Waiting};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[test]
fn promises_hold_for_any_seed() {
    for seed in 0..150 {
        World::new(seed).live(400);
    }
}

struct World {
    seed: u64,
    random: Rng,
    plan: plan::Pool,
    pool: Arc<Pool>,
    slots: Vec<Slot>,
    /// In the order of coming.
    waiting: Vec<Guest>,
}

struct Guest {
    waiting: Pin<Box<Waiting>>,
    pool: Arc<Pool>,
    /// In the pool's queue, without wishes of its own.
    plain: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Rng::with_seed(seed);
        let plan = some_plan(&mut random);
        let pool = Arc::new(Pool::build(&plan, 1, None, &|_| None, Arc::new(NoObserver)));
        World { seed, random, plan, pool, slots: Vec::new(), waiting: Vec::new() }
    }

    fn live(mut self, steps: usize) {
        for step in 0..steps {
            self.step();
            self.collect(step);
            self.check(step);
        }
        self.slots.clear();
        self.waiting.clear();
        self.check(steps);
        assert_eq!(
            (self.pool.stats.current.now(), self.pool.stats.queue.now()),
            (0, 0),
            "seed {}",
            self.seed
        );
    }

    fn step(&mut self) {
        match self.random.u32(0..100) {
            0..45 => self.admit(),
            45..75 => self.leave(),
            75..80 => self.give_up(),
            80..97 => self.accident(),
            _ => self.reload(),
        }
    }

    fn admit(&mut self) {
        let key = self.random.u32(..).to_be_bytes();
        let bound = self.random.choice(&*self.pool.servers()).filter(|_| self.random.u32(0..5) == 0).cloned();
        let tried = self.random.choice(&*self.pool.servers()).map_or(0, |s| s.uid);
        let ask = Ask {
            key: self.random.bool().then_some(&key[..]),
            bound: bound.as_ref(),
            tried: if self.random.u32(0..5) == 0 { &[tried] } else { &[] },
            worker: 0,
            may_wait: self.random.u32(0..10) > 0,
            ..Ask::default()
        };
        let hashes = matches!(self.plan.balance, Balance::Source);
        match self.pool.admit(&ask) {
            Admission::Served(slot) => self.welcome(slot, &ask),
            Admission::Wait(waiting) => {
                let plain = ask.bound.is_none() && ask.tried.is_empty() && !(hashes && ask.key.is_some());
                self.waiting.push(Guest { waiting: Box::pin(waiting), pool: Arc::clone(&self.pool), plain });
            }
            Admission::Refused(_) => {}
        }
    }

    fn welcome(&mut self, slot: Slot, ask: &Ask<'_>) {
        let server = slot.server();
        let bound = ask.bound.is_some_and(|bound| bound.uid == server.uid) && !slot.balanced;
        assert!(takes(server) || (bound && server.takes_bound()), "seed {}: chose {server:?}", self.seed);
        assert!(within_limit(server), "seed {}: {server:?} is over its limit", self.seed);
        let others = self.pool.servers().iter().any(|s| self.pool.in_use(s) && !ask.tried.contains(&s.uid));
        assert!(bound || !others || !ask.tried.contains(&server.uid), "seed {}: tried again", self.seed);
        self.slots.push(slot);
    }

    fn leave(&mut self) {
        if !self.slots.is_empty() {
            let at = self.random.usize(0..self.slots.len());
            self.slots.swap_remove(at);
        }
    }

    fn give_up(&mut self) {
        if !self.waiting.is_empty() {
            let at = self.random.usize(0..self.waiting.len());
            self.waiting.remove(at);
        }
    }

    fn accident(&mut self) {
        let random = &mut self.random;
        let Some(server) = random.choice(&*self.pool.servers()).cloned() else { return };
        match random.u32(0..8) {
            0 => server.set_health(Health::Down),
            1 | 2 => server.set_health(Health::Up),
            3 => server.set_admin(AdminState::Drain, AdminCause::Operator),
            4 => server.set_admin(AdminState::Ready, AdminCause::Operator),
            5 => server.set_weight(random.u16(0..4)),
            6 => server.set_max_connections(Some(random.u32(1..4))),
            _ => server.set_suspect(random.bool()),
        }
    }

    /// Servers come and go; the limits and weights of others are said anew.
    fn reload(&mut self) {
        let fresh = some_plan(&mut self.random);
        self.plan = plan::Pool { balance: self.plan.balance.clone(), hash: self.plan.hash, ..fresh };
        self.pool = Arc::new(Pool::build(&self.plan, 1, Some(&self.pool), &|_| None, Arc::new(NoObserver)));
    }

    /// Takes the places that were given to those who wait; they are given in order.
    fn collect(&mut self, step: usize) {
        let mut passed_over: Vec<Arc<Pool>> = Vec::new();
        let mut left = Vec::new();
        for mut guest in std::mem::take(&mut self.waiting) {
            match guest.waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => {
                    if guest.plain {
                        passed_over.push(Arc::clone(&guest.pool));
                    }
                    left.push(guest);
                }
                Poll::Ready(given) => {
                    let slot = given.unwrap();
                    let overtook = passed_over.iter().any(|pool| Arc::ptr_eq(pool, &guest.pool));
                    assert!(!(guest.plain && overtook), "seed {} step {step}: overtaken", self.seed);
                    self.slots.push(slot);
                }
            }
        }
        self.waiting = left;
    }

    fn check(&self, step: usize) {
        let seed = self.seed;
        assert_eq!(self.pool.stats.current.now() as usize, self.slots.len(), "seed {seed} step {step}");
        for server in &*self.pool.servers() {
            let held = self.slots.iter().filter(|slot| slot.server().uid == server.uid).count();
            assert_eq!(server.stats.current.now() as usize, held, "seed {seed} step {step}");
        }
        let waits = self.waiting.iter().any(|guest| guest.plain && Arc::ptr_eq(&guest.pool, &self.pool));
        let servers = self.pool.servers();
        let free = servers.iter().find(|s| self.pool.in_use(s) && has_place(s));
        assert!(!waits || free.is_none(), "seed {seed} step {step}: {free:?} is free and someone waits");
    }
}

fn some_plan(random: &mut Rng) -> plan::Pool {
    let balances = [
        Balance::RoundRobin,
        Balance::StaticRoundRobin,
        Balance::LeastConnections,
        Balance::First,
        Balance::Source,
        Balance::Random(2),
    ];
    let balance = random.choice(balances).unwrap();
    let methods = [HashMethod::Map, HashMethod::Consistent];
    let hash = HashKind {
        method: random.choice(methods).unwrap(),
        balance_factor: random.bool().then_some(150),
        ..HashKind::default()
    };
    let count = random.u32(1..6);
    let servers = (1..=count).map(|id| some_server(id, random)).collect();
    let hold = Some(Duration::from_secs(1));
    plan::Pool { name: "p".into(), balance, hash, servers, hold, ..plan::Pool::default() }
}

fn some_server(id: u32, random: &mut Rng) -> plan::Server {
    let port = 1000 + id as u16 * 10 + random.u16(0..2);
    let address = ServerAddress::Tcp(([127, 0, 0, 1], port).into());
    let mut server = plan::Server::new(Place::none(), format!("s{id}"), id, address);
    server.weight = random.u16(1..4);
    server.max_connections = (random.u32(0..5) > 0).then(|| random.u32(1..4));
    server.max_queue = random.bool().then(|| random.u32(1..4));
    server.backup = random.u32(0..5) == 0;
    server
}

fn takes(server: &Server) -> bool {
    server.is_usable()
}

fn within_limit(server: &Server) -> bool {
    server.limit_now().is_none_or(|limit| server.stats.current.now() <= limit)
}

fn has_place(server: &Server) -> bool {
    server.limit_now().is_none_or(|limit| server.stats.current.now() < limit)
}

/// Real threads, real wake-ups: nobody is forgotten, no limit is passed.
#[test]
fn four_threads_share_three_places() {
    let mut plan = plan::Pool { name: "p".into(), ..plan::Pool::default() };
    for (id, limit) in [(1, 1), (2, 2)] {
        let address = ServerAddress::Tcp(([127, 0, 0, 1], 1).into());
        let mut server = plan::Server::new(Place::none(), format!("s{id}"), id, address);
        server.max_connections = Some(limit);
        plan.servers.push(server);
    }
    let pool = Arc::new(Pool::build(&plan, 4, None, &|_| None, Arc::new(NoObserver)));
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (pool, most) = (&pool, &most);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    for n in 0..500 {
                        work(pool, most, worker, n).await;
                    }
                });
            });
        }
    });
    assert!(most.load(SeqCst) <= 3);
    assert_eq!((pool.stats.current.now(), pool.stats.queue.now()), (0, 0));
    assert!(pool.servers()[0].stats.current.max() <= 1 && pool.servers()[1].stats.current.max() <= 2);
}

async fn work(pool: &Arc<Pool>, most: &AtomicU32, worker: usize, n: usize) {
    let servers = pool.servers();
    let bound = n.is_multiple_of(7).then(|| &servers[n % 2]);
    let ask = Ask { worker, bound, may_wait: true, ..Ask::default() };
    let slot = match pool.admit(&ask) {
        Admission::Served(slot) => slot,
        Admission::Wait(waiting) => waiting.await.unwrap(),
        Admission::Refused(cause) => panic!("{cause:?}"),
    };
    most.fetch_max(pool.stats.current.now(), SeqCst);
    tokio::task::yield_now().await;
    drop(slot);
}
