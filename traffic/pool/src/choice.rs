//! The table of servers that balancing chooses from: rebuilt when something changes, read without a lock.

use crate::balance::{Ring, bounded_load, due_round, load, reduce, static_round};
use crate::hash;
use crate::server::Server;
use crate::slot::{Held, Member};
use crate::smooth::Waiter;
use plan::pool::{Balance, HashMethod};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use telemetry::Cause;

/// Servers that failed a request already, by uid.
pub(crate) type Tried = SmallVec<[u32; 4]>;

/// What a choice depends on besides the servers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Hash of the key; `None` = in turn.
    pub hash: Option<u32>,
    /// Not again, unless nothing else is usable.
    pub tried: Tried,
    /// The worker that asks.
    pub worker: usize,
    /// What smooth balancing needs to know.
    pub smooth: Option<Box<Waiter>>,
}

/// A wish at the moment of choosing.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a> {
    pub hash: Option<u32>,
    pub tried: &'a [u32],
    pub worker: usize,
    /// It has already waited for its turn, so it need not stand behind others.
    pub queued: bool,
}

impl Wish {
    /// The wish of a request that waited.
    pub(crate) fn want(&self) -> Want<'_> {
        Want { hash: self.hash, tried: &self.tried, worker: self.worker, queued: true }
    }
}

/// Outcome of a choice.
pub(crate) enum Choice {
    /// The gauges of this server are entered.
    Entered(Held),
    /// Every place is taken. With a server: the request belongs there.
    Full(Option<Arc<Server>>),
    /// Every place is taken, and no queue of a server takes one more.
    QueuesFull,
}

/// The servers in use, and how one is chosen. Never changed once made.
pub(crate) struct Table {
    /// In use now, in order of the file.
    servers: Vec<Member>,
    /// One round by weight: indices into `servers`.
    round: Vec<u32>,
    /// Weights of `servers`, in sixteenths.
    weights: Vec<u32>,
    method: Method,
    /// True when one of them may be full.
    pub limited: bool,
    /// Why there is none, when there is none.
    pub empty: Cause,
    /// When a slow start makes its next step.
    pub next_step_ms: Option<u64>,
    /// Usable servers that are no backups.
    pub usable: usize,
    /// Usable backups.
    pub usable_backups: usize,
    /// Tries of a request with smooth balancing.
    pub chances: u32,
    /// Weights of `servers`, together.
    pub total_weight: u32,
}

enum Method {
    /// Through the round; a hash is an index into it.
    Round,
    /// Fewest requests per weight.
    Least,
    /// First with a free place.
    First,
    /// Nearest on the ring; never above this percentage of the average load.
    Ring(Ring, Option<u32>),
    /// The least loaded of so many drawn.
    Draw(u32),
}

/// Things that go on while tables come and go.
pub(crate) trait Turns {
    /// Number of the next turn, from 0, without gaps.
    fn next(&self) -> usize;
    /// Runs `choose` alone.
    fn alone<R>(&self, choose: impl FnOnce(u64) -> R) -> R;
    /// A number below `n`.
    fn random(&self, n: usize) -> usize;
    /// Requests in the whole pool.
    fn in_flight(&self) -> u64;
}

impl Table {
    /// The table for what is known now.
    pub(crate) fn build(plan: &plan::Pool, all: &[Member], now_ms: u64) -> Table {
        // Smooth balancing chooses by itself; the table says who could be chosen, also by those who wait.
        let smooth = matches!(plan.balance, Balance::Smooth(_));
        let mut servers = match (plan.disabled, smooth) {
            (true, _) => Vec::new(),
            (false, true) => all.iter().filter(|server| server.takes_bound()).cloned().collect(),
            (false, false) => in_use(all, plan.all_backups),
        };
        if matches!(plan.balance, Balance::First) {
            servers.sort_by_key(|server| server.plan.id);
        }
        let weights: Vec<u32> = servers.iter().map(|s| s.scaled_weight(now_ms).max(1)).collect();
        let mut reduced = weights.clone();
        reduce(&mut reduced);
        let total: u32 = servers.iter().map(|s| u32::from(s.weight())).sum();
        let usable = |backup| all.iter().filter(|s| s.plan.backup == backup && s.is_usable()).count();
        Table {
            round: if smooth { Vec::new() } else { round(&plan.balance, &reduced) },
            method: method(plan, &servers, &weights),
            limited: servers.iter().any(|s| s.is_limited()),
            empty: why_empty(plan, all),
            next_step_ms: servers.iter().filter_map(|s| s.next_warm_step(now_ms)).min(),
            usable: if plan.disabled { 0 } else { usable(false) },
            usable_backups: if plan.disabled { 0 } else { usable(true) },
            total_weight: total,
            chances: 0,
            servers,
            weights,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The table in use serves this server.
    pub(crate) fn serves(&self, uid: u32) -> Option<&Member> {
        self.servers.iter().find(|s| s.uid == uid)
    }

    /// True when a server is left that did not fail the request already.
    pub(crate) fn has_untried(&self, tried: &[u32]) -> bool {
        self.servers.iter().any(|s| !tried.contains(&s.uid))
    }

    /// Chooses and enters a server. The table is not empty.
    #[inline]
    pub(crate) fn choose(&self, want: Want<'_>, turns: &impl Turns) -> Choice {
        let untried = want.tried.is_empty() || self.has_untried(want.tried);
        let want = if untried { want } else { Want { tried: &[], ..want } };
        let pick = Pick { table: self, want };
        match (&self.method, want.hash) {
            (Method::Round, None) => pick.in_turn(turns),
            (Method::Round, Some(hash)) => pick.by_hash(self.round_at(hash)),
            (Method::Least, _) => turns.alone(|turn| pick.least(turn)),
            (Method::First, _) => pick.first(0..self.servers.len()),
            (Method::Ring(ring, None), Some(hash)) => pick.by_hash(ring.walk(hash)),
            (Method::Ring(ring, Some(percent)), Some(hash)) => pick.bounded(ring.walk(hash), *percent, turns),
            (Method::Ring(..), None) => pick.in_turn(turns),
            (Method::Draw(draws), _) => pick.drawn(*draws, turns),
        }
    }

    /// The round from the place of a hash on.
    fn round_at(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let from = hash as usize % self.round.len().max(1);
        self.round[from..].iter().chain(&self.round[..from]).map(|&at| at as usize)
    }
}

/// One choice from a table.
struct Pick<'a> {
    table: &'a Table,
    want: Want<'a>,
}

impl Pick<'_> {
    /// The next one in the round with a free place. Each look takes a turn of its own, so that the others
    /// keep their shares while one is full.
    #[inline]
    fn in_turn(&self, turns: &impl Turns) -> Choice {
        let round = &self.table.round;
        for _ in 0..round.len() {
            let at = round[within(turns.next(), round.len())] as usize;
            if let Some(server) = self.enter(at) {
                return Choice::Entered(server);
            }
        }
        self.first(0..self.table.servers.len())
    }

    /// The first with a free place.
    fn first(&self, order: impl Iterator<Item = usize>) -> Choice {
        let mut order = order;
        order.find_map(|at| self.enter(at)).map_or(Choice::Full(None), Choice::Entered)
    }

    /// The one the hash leads to, full or not; another one only after it failed or when its queue is full.
    fn by_hash(&self, order: impl Iterator<Item = usize>) -> Choice {
        let mut order = order.filter(|&at| !self.is_tried(at) && !self.has_full_queue(at));
        let Some(at) = order.next() else { return Choice::QueuesFull };
        match self.enter(at) {
            Some(server) => Choice::Entered(server),
            None => Choice::Full(Some(Arc::clone(&self.table.servers[at]))),
        }
    }

    /// The first on the way that is not above the bound.
    fn bounded(&self, order: impl Iterator<Item = usize>, percent: u32, turns: &impl Turns) -> Choice {
        let total: u64 = self.table.weights.iter().map(|&w| u64::from(w)).sum();
        let in_flight = turns.in_flight();
        let fits = |at: &usize| {
            let most = bounded_load(in_flight, self.table.weights[*at], total, percent);
            u64::from(self.table.servers[*at].stats.current.now()) < most
        };
        match self.first(order.filter(fits)) {
            Choice::Entered(server) => Choice::Entered(server),
            _ => self.first(0..self.table.servers.len()),
        }
    }

    /// Fewest requests per weight; among equals the one that was not chosen for the longest time.
    fn least(&self, turn: u64) -> Choice {
        let all = 0..self.table.servers.len();
        let best = all.clone().filter(|&at| !self.is_tried(at)).min_by_key(|&at| self.rank(at));
        let entered = best.and_then(|at| self.enter(at)).or_else(|| self.enter_ranked(all));
        let Some(server) = entered else { return Choice::Full(None) };
        server.state.turn.store(turn, Relaxed);
        Choice::Entered(server)
    }

    /// The best one with a free place.
    #[cold]
    fn enter_ranked(&self, order: impl Iterator<Item = usize>) -> Option<Held> {
        let mut ranked: Vec<_> = order.map(|at| (self.rank(at), at)).collect();
        ranked.sort_unstable();
        ranked.into_iter().find_map(|(_, at)| self.enter(at))
    }

    fn rank(&self, at: usize) -> (u64, u64) {
        let server = &self.table.servers[at];
        (self.load(at), server.state.turn.load(Relaxed))
    }

    /// The least loaded of some drawn at random by weight.
    fn drawn(&self, draws: u32, turns: &impl Turns) -> Choice {
        let round = &self.table.round;
        let mut drawn: SmallVec<[usize; 4]> = SmallVec::new();
        for _ in 0..draws.max(1) {
            let from = turns.random(round.len());
            let order = round[from..].iter().chain(&round[..from]).map(|&at| at as usize);
            let mut fresh = order.filter(|at| !drawn.contains(at) && !self.is_tried(*at));
            drawn.extend(fresh.next());
        }
        drawn.sort_by_key(|&at| self.load(at));
        match self.first(drawn.into_iter()) {
            Choice::Entered(server) => Choice::Entered(server),
            _ => self.first(0..self.table.servers.len()),
        }
    }

    fn load(&self, at: usize) -> u64 {
        let stats = &self.table.servers[at].stats;
        load(stats.current.now() + stats.queue.now(), self.table.weights[at])
    }

    /// Takes a place there, if one is free and nobody waits for it.
    #[inline]
    fn enter(&self, at: usize) -> Option<Held> {
        if self.is_tried(at) {
            return None;
        }
        let server = &self.table.servers[at];
        if self.table.limited && !self.want.queued && server.is_limited() && server.stats.queue.now() > 0 {
            return None;
        }
        server.try_enter().then(|| server.hold(self.want.worker))
    }

    #[inline]
    fn is_tried(&self, at: usize) -> bool {
        !self.want.tried.is_empty() && self.want.tried.contains(&self.table.servers[at].uid)
    }

    fn has_full_queue(&self, at: usize) -> bool {
        !self.want.queued && self.table.servers[at].queue_is_full()
    }
}

/// `turn % length`, in 32 bits while they suffice: the wide division alone would cost as much as an atomic.
#[inline]
fn within(turn: usize, length: usize) -> usize {
    match (u32::try_from(turn), u32::try_from(length)) {
        (Ok(turn), Ok(length)) => (turn % length) as usize,
        _ => turn % length,
    }
}

/// The servers in use: trusted ones, else suspect ones, else backups, else those that rise.
fn in_use(all: &[Member], all_backups: bool) -> Vec<Member> {
    let tiers: [&dyn Fn(&Server) -> bool; 6] = [
        &|s| !s.plan.backup && s.is_usable() && !s.suspect(),
        &|s| !s.plan.backup && s.is_usable(),
        &|s| s.plan.backup && s.is_usable() && !s.suspect(),
        &|s| s.plan.backup && s.is_usable(),
        &|s| !s.plan.backup && s.is_rising(),
        &|s| s.plan.backup && s.is_rising(),
    ];
    let members = |tier: &&dyn Fn(&Server) -> bool| -> Vec<Member> {
        all.iter().filter(|s| tier(s)).cloned().collect()
    };
    let mut chosen = tiers.iter().map(members).find(|tier| !tier.is_empty()).unwrap_or_default();
    if !all_backups && chosen.first().is_some_and(|s| s.plan.backup) {
        chosen.truncate(1);
    }
    chosen
}

fn why_empty(plan: &plan::Pool, all: &[Member]) -> Cause {
    if all.is_empty() {
        Cause::Empty
    } else if !plan.disabled && all.iter().any(|s| !s.is_up()) {
        Cause::AllDown
    } else {
        Cause::Drained
    }
}

fn round(balance: &Balance, weights: &[u32]) -> Vec<u32> {
    match balance {
        Balance::RoundRobin => due_round(weights),
        _ => static_round(weights),
    }
}

fn method(plan: &plan::Pool, servers: &[Member], weights: &[u32]) -> Method {
    match &plan.balance {
        Balance::RoundRobin | Balance::StaticRoundRobin => Method::Round,
        Balance::LeastConnections => Method::Least,
        Balance::First | Balance::Smooth(_) => Method::First,
        Balance::Random(draws) => Method::Draw(*draws),
        Balance::Source
        | Balance::Uri(_)
        | Balance::QueryParameter(_)
        | Balance::Header { .. }
        | Balance::Hash(_) => match plan.hash.method {
            HashMethod::Map => Method::Round,
            HashMethod::Consistent => {
                let points = servers.iter().zip(weights).map(|(s, &weight)| (s.plan.id, weight));
                Method::Ring(Ring::new(points), plan.hash.balance_factor.filter(|&f| f > 0))
            }
        },
    }
}

/// Hash of a key as the pool's balance says; `None` when it does not hash.
#[inline]
pub(crate) fn hash_of(plan: &plan::Pool, key: Option<&[u8]>) -> Option<u32> {
    match &plan.balance {
        Balance::RoundRobin
        | Balance::StaticRoundRobin
        | Balance::LeastConnections
        | Balance::First
        | Balance::Random(_)
        | Balance::Smooth(_) => None,
        Balance::Source => key.map(|octets| hash::address(plan.hash, octets)),
        _ => key.map(|key| hash::hash(plan.hash, key)),
    }
}
