//! [`plan::pool::Balance::Smooth`]: smooth turns by weight and the ways that fall back on them, each server at most once
//! per request, servers that sit out after failures. Gives the sequences that nginx gives.
//!
//! One [`Crew`] per pool, behind one lock: a choice changes it. What is known of a server beyond this cycle is in
//! [`Sitting`], which a place that ends changes without the lock.

use crate::server::Server;
use crate::slot::{Held, Member};
use plan::hash::crc32;
use plan::pool::Balance;
use plan::smooth::{Smooth, SmoothMethod};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Looks at servers by hash or at random before turns decide.
const LOOKS: u32 = 20;

/// Points on the ring for each unit of weight.
const POINTS: u64 = 160;

/// The way of one request through the servers of a pool: kept from try to try.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    tried: SmallVec<[u32; 4]>,
    /// The others had nobody.
    at_backups: bool,
    begun: bool,
    hash: u32,
    rehash: u32,
    looks: u32,
}

impl Journey {
    /// The server may be tried again: what failed was not its fault.
    pub fn forgive(&mut self, server: &Server) {
        self.tried.retain(|uid| *uid != server.uid);
    }

    /// The server is being tried, having been waited for.
    pub fn note(&mut self, server: &Server) {
        if !self.tried.contains(&server.uid) {
            self.tried.push(server.uid);
        }
    }

    /// Servers tried so far, by uid.
    pub(crate) fn tried(&self) -> &[u32] {
        &self.tried
    }

    fn has_tried(&self, peer: &Peer) -> bool {
        self.tried.contains(&peer.member.uid)
    }
}

/// A request that waits for a server.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub journey: Journey,
    pub key: Option<Box<[u8]>>,
    pub hint: Option<Box<[u8]>>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call<'a> {
    /// What is hashed.
    pub key: Option<&'a [u8]>,
    /// The value of the server that it sticks to.
    pub hint: Option<&'a [u8]>,
    /// The worker that asks.
    pub worker: usize,
}

/// Failures of one server, for as long as it lives. All times in seconds of the pool's clock.
#[derive(Debug, Default)]
pub(crate) struct Sitting {
    fails: AtomicU32,
    /// Of the last failure.
    failed_at: AtomicU64,
    /// Of the last failure, or of the choice that looks whether it works again.
    checked_at: AtomicU64,
    /// Failures that its share has not paid for yet.
    unpaid: AtomicU32,
}

impl Sitting {
    /// A request failed there. Gives true when it sits out from now.
    pub(crate) fn fail(&self, max_fails: u32, now: u64) -> bool {
        let fails = self.fails.fetch_add(1, Relaxed).saturating_add(1);
        self.failed_at.store(now, Relaxed);
        self.checked_at.store(now, Relaxed);
        self.unpaid.fetch_add(1, Relaxed);
        max_fails > 0 && fails >= max_fails
    }

    /// A request went well. Gives true when that ends its sitting out.
    pub(crate) fn succeed(&self, max_fails: u32) -> bool {
        let cleared = self.failed_at.load(Relaxed) < self.checked_at.load(Relaxed)
            && self.fails.load(Relaxed) > 0
            && self.fails.swap(0, Relaxed) >= max_fails;
        cleared && max_fails > 0
    }

    pub(crate) fn sits_out(&self, max_fails: u32, window: u64, now: u64) -> bool {
        max_fails > 0
            && self.fails.load(Relaxed) >= max_fails
            && now.saturating_sub(self.checked_at.load(Relaxed)) <= window
    }

    /// It is looked at again when its window is over.
    fn check(&self, window: u64, now: u64) {
        if now.saturating_sub(self.checked_at.load(Relaxed)) > window {
            self.checked_at.store(now, Relaxed);
        }
    }
}

/// Whom balancing may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    /// Only those that stick to it.
    Drained,
    Out,
}

impl Standing {
    fn of(server: &Server) -> Standing {
        match (server.is_usable(), server.takes_bound()) {
            (true, _) => Standing::Ready,
            (false, true) => Standing::Drained,
            (false, false) => Standing::Out,
        }
    }
}

/// One server in its line.
struct Peer {
    member: Member,
    standing: Standing,
    /// Its share; in sixteenths when somebody in the line starts slowly.
    weight: i64,
    /// The share that counts: less after failures, growing back with each choice.
    effective: i64,
    current: i64,
    max_fails: u32,
    /// Seconds.
    window: u64,
    /// Which servers were written alike.
    label: u32,
    /// Its value in cookies and routes.
    sid: String,
}

impl Peer {
    fn sitting(&self) -> &Sitting {
        &self.member.state.sitting
    }

    fn sits_out(&self, now: u64) -> bool {
        self.sitting().sits_out(self.max_fails, self.window, now)
    }

    fn is_full(&self) -> bool {
        self.member.is_full()
    }

    fn load(&self) -> i64 {
        self.member.stats.current.now().into()
    }

    /// Takes part in this turn. Gives its share.
    fn step(&mut self) -> i64 {
        self.pay();
        let share = self.effective;
        self.current += share;
        if self.effective < self.weight {
            self.effective += 1;
        }
        share
    }

    /// Failures since the last look lower its share.
    fn pay(&mut self) {
        let unpaid = &self.member.state.sitting.unpaid;
        if unpaid.load(Relaxed) == 0 {
            return;
        }
        let fails = unpaid.swap(0, Relaxed);
        if self.max_fails > 0 {
            let price = self.weight / i64::from(self.max_fails);
            self.effective = (self.effective - price * i64::from(fails)).max(0);
        }
    }
}

/// Servers that stand together: the usual ones, or the backups.
#[derive(Default)]
struct Line {
    peers: Vec<Peer>,
    total_weight: i64,
    /// There is nobody else, in this line or another.
    single: bool,
}

/// All servers of a pool.
pub(crate) struct Crew {
    method: Method,
    usual: Line,
    backups: Line,
    has_backups: bool,
    /// Points and labels, by point.
    ring: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Turns,
    Least,
    Network,
    Key,
    Ring,
    Random,
    OfTwo,
}

/// Why nobody was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// Somebody would do but is full.
    Full,
    /// Nobody is left.
    None,
}

impl Crew {
    /// `None` for pools that balance otherwise.
    pub(crate) fn of(plan: &plan::Pool) -> Option<Crew> {
        let Balance::Smooth(smooth) = &plan.balance else { return None };
        let method = match &smooth.method {
            SmoothMethod::Turns => Method::Turns,
            SmoothMethod::LeastConnections => Method::Least,
            SmoothMethod::ClientNetwork => Method::Network,
            SmoothMethod::Key { ring: false, .. } => Method::Key,
            SmoothMethod::Key { ring: true, .. } => Method::Ring,
            SmoothMethod::Random => Method::Random,
            SmoothMethod::RandomOfTwo => Method::OfTwo,
        };
        Some(Crew {
            method,
            usual: Line::default(),
            backups: Line::default(),
            has_backups: false,
            ring: Vec::new(),
        })
    }

    /// Takes in who is there now and how they stand; turns go on where shares are as they were.
    pub(crate) fn follow(&mut self, smooth: &Smooth, members: &[Member], now_ms: u64) {
        let mut labels: Vec<&str> = Vec::new();
        let slow = members.iter().any(|member| member.plan.slow_start.is_some());
        let sids = smooth.sticky.is_some();
        let mut lines = [Vec::new(), Vec::new()];
        let mut before: Vec<Peer> = self.usual.peers.drain(..).chain(self.backups.peers.drain(..)).collect();
        for member in members.iter().filter(|member| !member.is_unresolved()) {
            let written = written(member);
            let label = labels.iter().position(|known| *known == written).unwrap_or_else(|| {
                labels.push(written);
                labels.len() - 1
            });
            let label = u32::try_from(label).unwrap_or(u32::MAX);
            let mut peer = Peer::new(member, label, slow, sids, now_ms);
            if let Some(at) = before.iter().position(|old| old.member.uid == member.uid) {
                let old = before.swap_remove(at);
                // While some start slowly, shares change without a new beginning.
                match old.weight == peer.weight {
                    true => (peer.effective, peer.current) = (old.effective, old.current),
                    false if slow => peer.current = old.current,
                    false => {}
                }
            }
            lines[usize::from(member.plan.backup)].push(peer);
        }
        let [usual, backups] = lines;
        self.has_backups = members.iter().any(|member| member.plan.backup);
        self.usual = Line::new(usual, !self.has_backups);
        self.backups = Line::new(backups, false);
        if self.method == Method::Ring {
            self.ring = ring(&self.usual.peers, &labels);
        }
    }

    /// Tries that one request has.
    pub(crate) fn chances(&self) -> u32 {
        if self.usual.single {
            return 1;
        }
        let peers = self.usual.peers.iter().chain(&self.backups.peers);
        let ready = peers.filter(|peer| peer.standing == Standing::Ready).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// Chooses and enters a server. `now` in seconds.
    pub(crate) fn choose(
        &mut self,
        journey: &mut Journey,
        call: &Call<'_>,
        now: u64,
    ) -> Result<Held, Nobody> {
        let found = match self.method {
            Method::Turns => self.in_turn(journey, call, now),
            Method::Least => self.least(journey, call, now),
            Method::Network => self.by_network(journey, call, now),
            Method::Key => self.by_key(journey, call, now),
            Method::Ring => self.by_ring(journey, call, now),
            Method::Random => self.drawn(journey, call, now),
            Method::OfTwo => self.of_two(journey, call, now),
        };
        let Some(at) = found else { return Err(self.why_nobody(journey, now)) };
        let peer = &self.line(journey).peers[at];
        if peer.member.try_enter() { Ok(peer.member.hold(call.worker)) } else { Err(Nobody::Full) }
    }

    fn line(&mut self, journey: &Journey) -> &mut Line {
        if journey.at_backups { &mut self.backups } else { &mut self.usual }
    }

    fn why_nobody(&self, journey: &Journey, now: u64) -> Nobody {
        let would_do = |peer: &Peer| {
            peer.standing == Standing::Ready
                && !journey.has_tried(peer)
                && !peer.sits_out(now)
                && peer.is_full()
        };
        let mut peers = self.usual.peers.iter().chain(&self.backups.peers);
        if peers.any(would_do) { Nobody::Full } else { Nobody::None }
    }

    /// Goes to the backups; false when it is there already, or there are none.
    fn turn_to_backups(&self, journey: &mut Journey) -> bool {
        let turns = self.has_backups && !journey.at_backups;
        journey.at_backups |= turns;
        turns
    }

    fn in_turn(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let line = self.line(journey);
        let found = if line.single { line.only(journey, call, now) } else { line.turn(journey, call, now) };
        if found.is_none() && self.turn_to_backups(journey) {
            return self.in_turn(journey, call, now);
        }
        found
    }

    fn least(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let line = self.line(journey);
        if line.single {
            return self.in_turn(journey, call, now);
        }
        let found = line.bound(journey, call, now).or_else(|| line.least(journey, now));
        if let Some(at) = found {
            line.take(at, journey, now);
        } else if self.turn_to_backups(journey) {
            return self.least(journey, call, now);
        }
        found
    }

    fn by_network(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let octets = match call.key {
            Some(octets) if octets.len() == 4 => &octets[..3],
            Some(octets) => octets,
            None => &[0, 0, 0],
        };
        if !std::mem::replace(&mut journey.begun, true) {
            journey.hash = 89;
        }
        let mut hash = journey.hash;
        let found = self.looked_up(journey, call, now, |_, line| {
            hash = octets.iter().fold(hash, |hash, octet| (hash * 113 + u32::from(*octet)) % 6271);
            line.at_weight(hash)
        });
        if found.is_some() {
            journey.hash = hash;
        }
        found
    }

    fn by_key(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let Some(key) = call.key.filter(|key| !key.is_empty()) else {
            return self.in_turn(journey, call, now);
        };
        self.looked_up(journey, call, now, |journey, line| {
            let hash = match journey.rehash {
                0 => crc32(key),
                n => crc32(&[n.to_string().as_bytes(), key].concat()),
            };
            journey.hash = journey.hash.wrapping_add((hash >> 16) & 0x7fff);
            journey.rehash += 1;
            line.at_weight(journey.hash)
        })
    }

    fn drawn(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        self.looked_up(journey, call, now, |_, line| line.draw())
    }

    /// Looks where `next` leads, as often as is allowed, then takes turns.
    fn looked_up(
        &mut self,
        journey: &mut Journey,
        call: &Call<'_>,
        now: u64,
        mut next: impl FnMut(&mut Journey, &Line) -> usize,
    ) -> Option<usize> {
        let line = self.line(journey);
        if journey.looks > LOOKS || line.peers.len() < 2 {
            return self.in_turn(journey, call, now);
        }
        if let Some(at) = line.bound(journey, call, now) {
            line.take(at, journey, now);
            return Some(at);
        }
        while journey.looks <= LOOKS {
            let at = next(journey, line);
            if line.is_ready(at, journey, now) {
                line.take(at, journey, now);
                return Some(at);
            }
            journey.looks += 1;
        }
        self.in_turn(journey, call, now)
    }

    fn by_ring(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let key = call.key.filter(|key| !key.is_empty());
        let (Some(key), false, false) = (key, self.usual.single, self.ring.is_empty()) else {
            return self.in_turn(journey, call, now);
        };
        if journey.looks > LOOKS {
            return self.in_turn(journey, call, now);
        }
        if !std::mem::replace(&mut journey.begun, true) {
            let hash = crc32(key);
            let point = self.ring.partition_point(|(point, _)| *point < hash);
            journey.hash = u32::try_from(point).unwrap_or(0);
        }
        if let Some(at) = self.usual.bound(journey, call, now) {
            self.usual.take(at, journey, now);
            return Some(at);
        }
        while journey.looks <= LOOKS {
            let (_, label) = self.ring[journey.hash as usize % self.ring.len()];
            if let Some(at) = self.usual.turn_among(journey, now, |peer| peer.label == label) {
                self.usual.take(at, journey, now);
                return Some(at);
            }
            journey.hash = journey.hash.wrapping_add(1);
            journey.looks += 1;
        }
        self.in_turn(journey, call, now)
    }

    fn of_two(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let line = self.line(journey);
        if journey.looks > LOOKS || line.peers.len() < 2 {
            return self.in_turn(journey, call, now);
        }
        let mut found = line.bound(journey, call, now);
        let mut first: Option<usize> = None;
        while found.is_none() && journey.looks <= LOOKS {
            let at = line.draw();
            if first == Some(at) || !line.is_ready(at, journey, now) {
                journey.looks += 1;
                continue;
            }
            match first {
                Some(first) => found = Some(line.lighter(first, at)),
                None => {
                    first = Some(at);
                    journey.looks += 1;
                }
            }
        }
        let Some(at) = found else { return self.in_turn(journey, call, now) };
        line.take(at, journey, now);
        Some(at)
    }
}

impl Peer {
    fn new(member: &Member, label: u32, slow: bool, sids: bool, now_ms: u64) -> Peer {
        let weight = if slow { member.scaled_weight(now_ms).into() } else { i64::from(member.weight()) };
        let said = member.plan.smooth.as_deref();
        Peer {
            standing: Standing::of(member),
            weight,
            effective: weight,
            current: 0,
            max_fails: said.map_or(1, |said| said.max_fails),
            window: said.map_or(10, |said| said.window.as_secs()),
            label,
            sid: if sids { member.sid() } else { String::new() },
            member: member.clone(),
        }
    }
}

impl Line {
    fn new(peers: Vec<Peer>, alone: bool) -> Line {
        let mut peers = peers;
        let single = alone && peers.len() == 1;
        if single {
            // Nobody could stand in for it, so it never sits out.
            peers.iter_mut().for_each(|peer| peer.max_fails = 0);
        }
        Line { total_weight: peers.iter().map(|peer| peer.weight).sum(), single, peers }
    }

    /// True when balancing may choose this one now.
    fn is_ready(&self, at: usize, journey: &Journey, now: u64) -> bool {
        let Some(peer) = self.peers.get(at) else { return false };
        peer.standing == Standing::Ready && !journey.has_tried(peer) && !peer.sits_out(now) && !peer.is_full()
    }

    /// The one that a request sticks to, if it takes it.
    fn bound(&self, journey: &Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let hint = call.hint?;
        let at = self.peers.iter().position(|peer| peer.sid.as_bytes() == hint)?;
        let peer = &self.peers[at];
        let takes = peer.standing != Standing::Out
            && !journey.has_tried(peer)
            && !peer.sits_out(now)
            && !peer.is_full();
        takes.then_some(at)
    }

    /// The one that there is. It never sits out.
    fn only(&self, journey: &Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let peer = self.peers.first()?;
        let bound = self.bound(journey, call, now);
        bound.or_else(|| (peer.standing == Standing::Ready && !peer.is_full()).then_some(0))
    }

    /// One turn, or the one that the request sticks to; that pays for its turn as long as it is not too deep in debt.
    fn turn(&mut self, journey: &mut Journey, call: &Call<'_>, now: u64) -> Option<usize> {
        let bound = self.bound(journey, call, now);
        let found = match bound {
            Some(at) if self.peers[at].current <= self.peers[at].weight - self.total_weight => Some(at),
            Some(at) => {
                let total = self.step(journey, now, |_| true).1;
                self.peers[at].current -= total;
                Some(at)
            }
            None => self.turn_among(journey, now, |_| true),
        }?;
        self.take(found, journey, now);
        Some(found)
    }

    /// One turn among some.
    fn turn_among(&mut self, journey: &Journey, now: u64, part: impl Fn(&Peer) -> bool) -> Option<usize> {
        let (best, total) = self.step(journey, now, part);
        self.peers[best?].current -= total;
        best
    }

    /// All that take part gain their share; gives the one with the most, and all shares together.
    fn step(&mut self, journey: &Journey, now: u64, part: impl Fn(&Peer) -> bool) -> (Option<usize>, i64) {
        let (mut best, mut total) = (None::<usize>, 0);
        for at in 0..self.peers.len() {
            if !self.is_ready(at, journey, now) || !part(&self.peers[at]) {
                continue;
            }
            total += self.peers[at].step();
            if best.is_none_or(|best| self.peers[at].current > self.peers[best].current) {
                best = Some(at);
            }
        }
        (best, total)
    }

    fn least(&mut self, journey: &Journey, now: u64) -> Option<usize> {
        let (mut best, mut many) = (None::<usize>, false);
        for at in 0..self.peers.len() {
            if !self.is_ready(at, journey, now) {
                continue;
            }
            let order = best.map(|best: usize| self.compare(at, best));
            match order {
                None | Some(std::cmp::Ordering::Less) => (best, many) = (Some(at), false),
                Some(std::cmp::Ordering::Equal) => many = true,
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        let first = best?;
        if !many {
            return Some(first);
        }
        let (mut best, mut total) = (first, 0);
        for at in first..self.peers.len() {
            if !self.is_ready(at, journey, now) || self.compare(at, best).is_ne() {
                continue;
            }
            total += self.peers[at].step();
            if self.peers[at].current > self.peers[best].current {
                best = at;
            }
        }
        self.peers[best].current -= total;
        Some(best)
    }

    /// By requests per weight.
    fn compare(&self, one: usize, other: usize) -> std::cmp::Ordering {
        let (one, other) = (&self.peers[one], &self.peers[other]);
        (one.load() * other.weight).cmp(&(other.load() * one.weight))
    }

    fn lighter(&self, first: usize, second: usize) -> usize {
        if self.compare(second, first).is_gt() { first } else { second }
    }

    /// Whose part of the weights this number falls in.
    fn at_weight(&self, number: u32) -> usize {
        let mut rest = i64::from(number) % self.total_weight.max(1);
        for (at, peer) in self.peers.iter().enumerate() {
            if rest < peer.weight {
                return at;
            }
            rest -= peer.weight;
        }
        0
    }

    fn draw(&self) -> usize {
        let total = u32::try_from(self.total_weight).unwrap_or(u32::MAX);
        self.at_weight(fastrand::u32(0..total.max(1)))
    }

    /// It is chosen.
    fn take(&mut self, at: usize, journey: &mut Journey, now: u64) {
        let peer = &self.peers[at];
        journey.tried.push(peer.member.uid);
        peer.sitting().check(peer.window, now);
    }
}

fn written(member: &Member) -> &str {
    member.plan.smooth.as_deref().map_or(&member.plan.name, |said| &said.written)
}

/// Points of all labels: a chain of checksums that begins with host and port, as Cache::Memcached::Fast makes it.
fn ring(peers: &[Peer], labels: &[&str]) -> Vec<(u32, u32)> {
    let mut points = Vec::new();
    for peer in peers {
        let written = labels.get(peer.label as usize).copied().unwrap_or_default();
        let (host, port) = host_and_port(written);
        let mut text = [host.as_bytes(), b"\0", port.as_bytes(), &[0; 4]].concat();
        let tail = text.len() - 4;
        for _ in 0..peer.weight.unsigned_abs() * POINTS {
            let point = crc32(&text);
            points.push((point, peer.label));
            text[tail..].copy_from_slice(&point.to_le_bytes());
        }
    }
    points.sort_by_key(|(point, _)| *point);
    points.dedup_by_key(|(point, _)| *point);
    points
}

fn host_and_port(written: &str) -> (&str, &str) {
    if written.len() >= 5 && written.as_bytes()[..5].eq_ignore_ascii_case(b"unix:") {
        return (&written[5..], "");
    }
    match written.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (written, ""),
    }
}
