//! A place at a server.

use crate::server::Server;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use telemetry::counters::Padded;

/// A place at a server, counted in the gauges of server and pool. Dropping it gives the place to the
/// request that waits longest.
#[derive(Debug)]
pub struct Slot {
    server: Held,
    /// Chosen by balancing, not by persistence.
    pub balanced: bool,
    failed: bool,
}

impl Slot {
    /// The gauges were entered before.
    #[inline]
    pub(crate) fn entered(server: Held, balanced: bool) -> Slot {
        Slot { server, balanced, failed: false }
    }

    /// The request failed there: smooth balancing counts it when the place ends.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The server is there: smooth balancing need not wait for the end of the place to know it.
    pub fn works(&self) {
        if self.server.plan.smooth.is_some() {
            self.server.place_ended(false);
        }
    }

    /// The server.
    #[inline]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        self.server.leave();
        if self.server.plan.smooth.is_some() {
            self.server.place_ended(self.failed);
        }
        if self.server.may_be_awaited() {
            self.server.lobby.offer(&self.server);
        }
    }
}

/// A server in use. Workers count their uses in handles of their own, because a count that all cores
/// write to costs more than the choice itself.
pub(crate) enum Held {
    /// Counted at the server.
    Own(Arc<Server>),
    /// Counted at a worker's handle.
    Lent(Arc<Padded<Arc<Server>>>),
}

impl Deref for Held {
    type Target = Arc<Server>;

    #[inline]
    fn deref(&self) -> &Arc<Server> {
        match self {
            Held::Own(server) => server,
            Held::Lent(handle) => &handle.0,
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A server of a cycle with a handle for each worker.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    server: Arc<Server>,
    handles: Arc<[Arc<Padded<Arc<Server>>>]>,
}

impl Member {
    pub(crate) fn new(server: &Arc<Server>, workers: usize) -> Member {
        let handles = (0..workers).map(|_| Arc::new(Padded(Arc::clone(server)))).collect();
        Member { server: Arc::clone(server), handles }
    }

    /// The server, held by this worker.
    #[inline]
    pub(crate) fn hold(&self, worker: usize) -> Held {
        match self.handles.get(worker) {
            Some(handle) => Held::Lent(Arc::clone(handle)),
            None => Held::Own(Arc::clone(&self.server)),
        }
    }
}

impl Deref for Member {
    type Target = Arc<Server>;

    #[inline]
    fn deref(&self) -> &Arc<Server> {
        &self.server
    }
}
