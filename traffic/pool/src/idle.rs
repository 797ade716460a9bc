//! Idle connections to servers, kept for the next request. One [`Idle`] per worker: no lock.

use crate::connect::Connection;
use crate::server::Server;
use plan::pool::Reuse;
use std::collections::{HashMap, VecDeque};
use std::io;
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
    shelves: HashMap<u32, Shelf>,
    /// Connections that belong to one client, by uid of the server and id of the client.
    private: HashMap<(u32, u64), Connection>,
    total: usize,
}

/// Shared connections to one server, the one used last at the back.
#[derive(Debug, Default)]
struct Shelf {
    /// Used by one client so far: it may break with the first reuse.
    fresh: VecDeque<Connection>,
    /// Reused at least once without trouble.
    proven: VecDeque<Connection>,
}

impl Shelf {
    fn len(&self) -> usize {
        self.fresh.len() + self.proven.len()
    }

    fn lists(&mut self) -> [&mut VecDeque<Connection>; 2] {
        [&mut self.proven, &mut self.fresh]
    }

    fn retain(&mut self, keep: impl Fn(&Connection) -> bool) {
        self.lists().into_iter().for_each(|list| list.retain(&keep));
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
    ) -> Option<Connection> {
        if let Some(own) = self.take_own(server, client) {
            return Some(own);
        }
        let shelf = self.shelves.get_mut(&server.uid)?;
        let before = shelf.len();
        let taken = match (reuse, first_request) {
            (Reuse::Never, _) | (Reuse::Safe | Reuse::Unsaid, true) => None,
            (Reuse::Aggressive, true) => newest(&mut shelf.proven, server),
            (Reuse::Always, _) | (Reuse::Safe | Reuse::Unsaid | Reuse::Aggressive, false) => {
                newest(&mut shelf.proven, server).or_else(|| newest(&mut shelf.fresh, server))
            }
        };
        self.total -= before - shelf.len();
        if shelf.len() == 0 {
            self.shelves.remove(&server.uid);
        }
        taken.map(|connection| used_by(connection, client))
    }

    /// Keeps a connection whose request was sent and whose answer was read completely (otherwise the caller
    /// drops it). Under [`Reuse::Never`] it stays its owner's. The oldest one goes when there are too many.
    pub fn put(&mut self, connection: Connection, reuse: Reuse) {
        let mut connection = connection;
        let limit = self.limit_of(&connection.server);
        if limit == 0 || !is_sound(&connection, &connection.server) {
            return;
        }
        connection.idle_since = tasks::clock::now();
        let uid = connection.server.uid;
        if connection.private || reuse == Reuse::Never {
            self.put_own(connection);
        } else {
            let shelf = self.shelves.entry(uid).or_default();
            let list = if connection.uses > 1 { &mut shelf.proven } else { &mut shelf.fresh };
            list.push_back(connection);
            self.total += 1;
            if shelf.len() > limit {
                drop_oldest(shelf);
                self.total -= 1;
            }
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
        self.retain(|c| now.saturating_sub(c.idle_since) < max && is_sound(c, &c.server));
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

    fn take_own(&mut self, server: &Server, client: u64) -> Option<Connection> {
        if self.private.is_empty() {
            return None;
        }
        let own = self.private.remove(&(server.uid, client))?;
        self.total -= 1;
        is_sound(&own, server).then(|| used_by(own, client))
    }

    fn put_own(&mut self, connection: Connection) {
        let key = (connection.server.uid, connection.owner);
        if self.private.insert(key, connection).is_none() {
            self.total += 1;
        }
    }

    /// The server's own limit is for all workers together.
    fn limit_of(&self, server: &Server) -> usize {
        match server.plan.idle_connections {
            Some(all) => (all as usize).div_ceil(server.workers),
            None => self.limits.per_server,
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
fn newest(list: &mut VecDeque<Connection>, server: &Server) -> Option<Connection> {
    while let Some(connection) = list.pop_back() {
        if is_sound(&connection, server) {
            return Some(connection);
        }
    }
    None
}

fn drop_oldest(shelf: &mut Shelf) {
    let age = |list: &VecDeque<Connection>| list.front().map_or(Duration::MAX, |c| c.idle_since);
    let older = if age(&shelf.fresh) <= age(&shelf.proven) { &mut shelf.fresh } else { &mut shelf.proven };
    older.pop_front();
}

fn used_by(mut connection: Connection, client: u64) -> Connection {
    connection.uses += 1;
    connection.owner = client;
    connection
}

/// Nothing unasked is readable, not even the end, and the server still lives at that address. Costs no
/// system call while the runtime has seen nothing arrive.
fn is_sound(connection: &Connection, server: &Server) -> bool {
    let quiet = match connection.stream.try_read(&mut [0]) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    quiet && is_at_home(connection, server)
}

/// Servers whose address depends on the client cannot be compared.
fn is_at_home(connection: &Connection, server: &Server) -> bool {
    server.has_address(&connection.endpoint)
}
