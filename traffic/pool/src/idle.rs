//! Idle connections to servers, kept for the next request.
//!
//! Every worker has an [`Idle`] of its own; [`IdleRooms`] holds them all, so that a worker without a fitting connection may
//! take one that another keeps. A room's lock is taken by its worker, and seldom by others.

use crate::connect::Connection;
use crate::server::Server;
use crate::server::State;
use parking_lot::{Mutex, MutexGuard};
use plan::pool::Reuse;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How much is kept, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleLimits {
    /// Connections per server and worker, where the server says nothing else.
    pub per_server: usize,
    /// Connections per worker.
    pub total: usize,
    /// Longest idle time.
    pub max_idle: Duration,
}

impl Default for IdleLimits {
    fn default() -> IdleLimits {
        IdleLimits { per_server: 512, total: 8192, max_idle: Duration::from_secs(5) }
    }
}

/// Idle connections of one worker.
#[derive(Debug, Default)]
pub struct Idle {
    limits: IdleLimits,
    /// By uid of the server. An empty one stays until the next look at all of them.
    shelves: HashMap<u32, Shelf, BuildHasherDefault<ByNumber>>,
    /// Connections that belong to one client, by uid of the server and id of the client.
    private: HashMap<(u32, u64), Box<Connection>>,
    total: usize,
}

/// Spreads numbers that we gave out ourselves, so nobody can choose them to collide. The usual hash costs more than
/// the rest of a visit here.
#[derive(Debug, Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Shared connections to one server, the one used last at the back.
#[derive(Debug, Default)]
struct Shelf {
    /// Used by one client so far: it may break with the first reuse.
    fresh: VecDeque<Box<Connection>>,
    /// Reused at least once without trouble.
    proven: VecDeque<Box<Connection>>,
}

impl Shelf {
    fn len(&self) -> usize {
        self.fresh.len() + self.proven.len()
    }

    fn server(&self) -> Option<&Arc<Server>> {
        self.fresh.front().or_else(|| self.proven.front()).map(|connection| &connection.server)
    }

    /// Since when its oldest connection is idle.
    fn oldest(&self) -> Duration {
        let first = [&self.fresh, &self.proven].into_iter().filter_map(|list| list.front());
        first.map(|connection| connection.idle_since).min().unwrap_or(Duration::MAX)
    }

    fn lists(&mut self) -> [&mut VecDeque<Box<Connection>>; 2] {
        [&mut self.proven, &mut self.fresh]
    }

    fn retain(&mut self, keep: impl Fn(&Connection) -> bool) {
        self.lists().into_iter().for_each(|list| list.retain(|connection| keep(connection)));
    }
}

impl Idle {
    /// Keeps none yet.
    pub fn new(limits: IdleLimits) -> Idle {
        Idle { limits, ..Idle::default() }
    }

    /// An idle connection to `server` that `client` may use under `reuse`; sound as far as can be seen.
    /// `first_request`: it is the first one of this client connection.
    pub fn take(
        &mut self,
        server: &Server,
        client: u64,
        reuse: Reuse,
        first_request: bool,
    ) -> Option<Box<Connection>> {
        if let Some(own) = self.take_own(server, client) {
            return Some(own);
        }
        self.take_shared(server, client, reuse, first_request).map(|connection| used_by(connection, client))
    }

    fn take_shared(
        &mut self,
        server: &Server,
        client: u64,
        reuse: Reuse,
        first_request: bool,
    ) -> Option<Box<Connection>> {
        let shelf = self.shelves.get_mut(&server.uid)?;
        let before = shelf.len();
        let taken = match (reuse, first_request) {
            (Reuse::Never, _) | (Reuse::Safe | Reuse::Unsaid, true) => None,
            (Reuse::Aggressive, true) => newest(&mut shelf.proven, server, client),
            (Reuse::Always, _) | (Reuse::Safe | Reuse::Unsaid | Reuse::Aggressive, false) => {
                newest(&mut shelf.proven, server, client).or_else(|| newest(&mut shelf.fresh, server, client))
            }
        };
        self.total -= before - shelf.len();
        taken
    }

    /// Keeps a connection whose request was sent and whose answer was read completely (otherwise the caller
    /// drops it). Under [`Reuse::Never`] it stays its owner's. Where the server has a limit of its own, those beyond it are
    /// closed; else the oldest one goes when there are too many.
    pub fn put(&mut self, connection: Box<Connection>, reuse: Reuse) {
        let mut connection = connection;
        if is_worn(&connection) || !is_sound(&connection, &connection.server) {
            return;
        }
        connection.idle_since = tasks::clock::now();
        let uid = connection.server.uid;
        if connection.private || reuse == Reuse::Never {
            self.put_own(connection);
        } else if let Some(mark) = IdleMark::enter(&connection.server) {
            connection.mark = mark;
            let limit = self.limits.per_server;
            let shelf = self.shelves.entry(uid).or_default();
            let list = if connection.uses > 1 { &mut shelf.proven } else { &mut shelf.fresh };
            list.push_back(connection);
            self.total += 1;
            if shelf.len() > limit {
                drop_oldest(shelf);
                self.total -= 1;
            }
            self.keep_pool(uid);
        }
        self.keep_total(uid);
    }

    /// A client connection ended: those that were only for it are closed. (Under `Never` and for private ones.)
    pub fn forget_client(&mut self, client: u64) {
        if self.private.is_empty() {
            return;
        }
        let before = self.private.len();
        self.private.retain(|(_, owner), _| *owner != client);
        self.total -= before - self.private.len();
    }

    /// Closes all to servers for which `keep` is false: gone, down, moved.
    pub fn purge(&mut self, keep: impl Fn(&Server) -> bool) {
        self.retain(|connection| keep(&connection.server) && is_at_home(connection, &connection.server));
    }

    /// Closes those that were idle for too long or that the server closed. Call it now and then.
    pub fn close_expired(&mut self) {
        let (now, max) = (tasks::clock::now(), self.limits.max_idle);
        let life =
            |server: &Server| server.plan.idle_life.or(server.keep.map(|keep| keep.idle)).unwrap_or(max);
        self.retain(|c| now.saturating_sub(c.idle_since) < life(&c.server) && is_sound(c, &c.server));
    }

    /// Connections kept for `server`.
    pub fn count(&self, server: &Server) -> usize {
        let own = self.private.keys().filter(|(uid, _)| *uid == server.uid).count();
        self.shelves.get(&server.uid).map_or(0, Shelf::len) + own
    }

    /// Connections kept in all.
    pub fn len(&self) -> usize {
        self.total
    }

    /// True when none is kept.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn take_own(&mut self, server: &Server, client: u64) -> Option<Box<Connection>> {
        if self.private.is_empty() {
            return None;
        }
        let own = self.private.remove(&(server.uid, client))?;
        self.total -= 1;
        is_sound(&own, server).then(|| used_by(own, client))
    }

    fn put_own(&mut self, connection: Box<Connection>) {
        let key = (connection.server.uid, connection.owner);
        if self.private.insert(key, connection).is_none() {
            self.total += 1;
        }
    }

    /// Where a pool says how many all its servers keep, the oldest one of them goes when there are more.
    fn keep_pool(&mut self, uid: u32) {
        let Some(server) = self.shelves.get(&uid).and_then(Shelf::server) else { return };
        let Some(most) = server.keep.map(|keep| keep.connections as usize) else { return };
        if self.total <= most {
            return;
        }
        let home = Arc::clone(&server.pool_stats);
        let ours =
            |shelf: &&mut Shelf| shelf.server().is_some_and(|server| Arc::ptr_eq(&server.pool_stats, &home));
        let shelves: SmallVec<[&mut Shelf; 16]> = self.shelves.values_mut().filter(ours).collect();
        if shelves.iter().map(|shelf| shelf.len()).sum::<usize>() > most
            && let Some(oldest) = shelves.into_iter().min_by_key(|shelf| shelf.oldest())
        {
            drop_oldest(oldest);
            self.total -= 1;
        }
    }

    fn keep_total(&mut self, uid: u32) {
        if self.total <= self.limits.total {
            return;
        }
        if let Some(shelf) = self.shelves.get_mut(&uid).filter(|shelf| shelf.len() > 0) {
            drop_oldest(shelf);
            self.total -= 1;
        } else if let Some(key) = self.private.keys().next().copied() {
            self.private.remove(&key);
            self.total -= 1;
        }
    }

    fn retain(&mut self, keep: impl Fn(&Connection) -> bool) {
        self.shelves.values_mut().for_each(|shelf| shelf.retain(&keep));
        self.shelves.retain(|_, shelf| shelf.len() > 0);
        self.private.retain(|_, connection| keep(connection));
        self.total = self.shelves.values().map(Shelf::len).sum::<usize>() + self.private.len();
    }
}

/// The one used last: it is the least likely to be closed, and the others may grow old and go.
fn newest(list: &mut VecDeque<Box<Connection>>, server: &Server, client: u64) -> Option<Box<Connection>> {
    let mut at = list.len();
    while at > 0 {
        at -= 1;
        if list.get(at).is_some_and(|connection| is_on_probation(connection, client)) {
            continue;
        }
        let connection = list.remove(at)?;
        if !is_stale(&connection) && is_sound(&connection, server) {
            return Some(connection);
        }
    }
    None
}

/// What a server sends behind an answer comes at once; later than this it would be no worse than any other answer
/// that a broken server makes up.
const PROBATION: Duration = Duration::from_millis(50);

/// The client whose answer it was may use it at once: it could only harm itself.
fn is_on_probation(connection: &Connection, client: u64) -> bool {
    connection.owner != client && connection.distrusted.is_some_and(|since| since.elapsed() < PROBATION)
}

fn drop_oldest(shelf: &mut Shelf) {
    let age = |list: &VecDeque<Box<Connection>>| list.front().map_or(Duration::MAX, |c| c.idle_since);
    let older = if age(&shelf.fresh) <= age(&shelf.proven) { &mut shelf.fresh } else { &mut shelf.proven };
    older.pop_front();
}

/// The idle connections of all workers.
#[derive(Debug)]
pub struct IdleRooms(Box<[Mutex<Idle>]>);

impl IdleRooms {
    /// An empty room for each of so many workers.
    pub fn new(workers: usize, limits: IdleLimits) -> IdleRooms {
        IdleRooms((0..workers.max(1)).map(|_| Mutex::new(Idle::new(limits))).collect())
    }

    /// The room of a worker.
    #[inline]
    pub fn room(&self, worker: usize) -> MutexGuard<'_, Idle> {
        self.0[worker % self.0.len()].lock()
    }

    /// As [`Idle::take`] from the room of `worker`, and if there is none for it, one that another worker keeps.
    /// Call it on the runtime of `worker`, which then owns the connection.
    pub fn take(
        &self,
        worker: usize,
        server: &Server,
        client: u64,
        reuse: Reuse,
        first_request: bool,
    ) -> Option<Box<Connection>> {
        let own = self.room(worker).take(server, client, reuse, first_request);
        if own.is_some() || reuse == Reuse::Never || !may_borrow(server) {
            return own;
        }
        for (_, other) in self.0.iter().enumerate().filter(|(at, _)| *at != worker) {
            // One room at a time is locked, and each for some steps only.
            let lend = || other.lock().take_shared(server, client, reuse, first_request);
            if let Some(lent) = std::iter::from_fn(lend).find_map(|lent| moved_here(*lent)) {
                return Some(used_by(lent, client));
            }
        }
        None
    }
}

/// True when the server has so many idle connections that workers take those of others.
fn may_borrow(server: &Server) -> bool {
    server.plan.idle_low.is_none_or(|low| server.state.idle.load(Relaxed) >= low as usize)
}

/// The same connection, watched by the runtime of the caller; `None` when its server has closed.
fn moved_here(connection: Connection) -> Option<Box<Connection>> {
    let stream = connection.stream.move_here().ok().flatten()?;
    Some(Box::new(Connection { stream, ..connection }))
}

/// Counts an idle connection of a server as long as it lives. Only where the plan has a number to compare with.
pub(crate) struct IdleMark(Arc<State>);

impl std::fmt::Debug for IdleMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdleMark")
    }
}

impl IdleMark {
    /// `None` when the server has as many as it may.
    fn enter(server: &Server) -> Option<Option<IdleMark>> {
        let (state, plan) = (&server.state, &server.plan);
        if plan.idle_connections.is_none() && plan.idle_low.is_none() {
            return Some(None);
        }
        let before = state.idle.fetch_add(1, Relaxed);
        let mark = IdleMark(Arc::clone(state));
        plan.idle_connections.is_none_or(|most| before < most as usize).then_some(Some(mark))
    }
}

impl Drop for IdleMark {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Relaxed);
    }
}

/// It was used as often as it may be, or none is kept.
fn is_worn(connection: &Connection) -> bool {
    let plan = &connection.server.plan;
    if let Some(keep) = &connection.server.keep {
        let age = tasks::clock::now().saturating_sub(connection.made_at);
        return keep.connections == 0 || connection.uses >= keep.requests || age > keep.age;
    }
    plan.max_reuse.is_some_and(|most| connection.uses > most) || plan.idle_life == Some(Duration::ZERO)
}

/// It was idle for longer than its pool says.
fn is_stale(connection: &Connection) -> bool {
    let idle = || tasks::clock::now().saturating_sub(connection.idle_since);
    connection.server.keep.is_some_and(|keep| idle() >= keep.idle)
}

fn used_by(mut connection: Box<Connection>, client: u64) -> Box<Connection> {
    connection.mark = None;
    connection.distrusted = None;
    connection.uses += 1;
    connection.owner = client;
    connection
}

/// Nothing unasked is readable, not even the end, and the server still lives at that address. Costs no
/// system call while the runtime has seen nothing arrive, unless it is distrusted.
fn is_sound(connection: &Connection, server: &Server) -> bool {
    let quiet = match connection.stream.try_read(&mut [0]) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    quiet
        && (connection.distrusted.is_none() || connection.stream.is_silent())
        && is_at_home(connection, server)
}

/// Servers whose address depends on the client cannot be compared.
fn is_at_home(connection: &Connection, server: &Server) -> bool {
    server.has_address(&connection.endpoint)
}
