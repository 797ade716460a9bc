//! What is known of a connection while it lives, for those who list them: stores without a lock.

use std::cell::Cell;

/// Where a connection is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// A request is being served, or bytes are passed on; false while it is idle.
    pub busy: bool,
    /// Number of the pool that serves it, 0 = none yet.
    pub pool: u32,
    /// Number of the server in that pool, 0 = none yet.
    pub server: u32,
}

/// Of one connection, on its own worker.
#[derive(Debug, Default)]
pub struct Seat {
    number: Cell<u64>,
    at: Cell<At>,
    requests: Cell<u64>,
}

impl Seat {
    /// Number of the connection, unique in the process; 0 until it is given.
    pub fn number(&self) -> u64 {
        self.number.get()
    }

    /// Gives it its number.
    pub fn set_number(&self, number: u64) {
        self.number.set(number);
    }

    /// Where it is.
    pub fn at(&self) -> At {
        self.at.get()
    }

    /// Requests begun on it.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// A request begins.
    #[inline]
    pub fn begin(&self) {
        self.at.set(At { busy: true, pool: 0, server: 0 });
        self.requests.set(self.requests.get() + 1);
    }

    /// This pool serves it.
    #[inline]
    pub fn at_pool(&self, pool: u32) {
        self.at.set(At { pool, server: 0, ..self.at.get() });
    }

    /// This server serves it.
    #[inline]
    pub fn at_server(&self, server: u32) {
        self.at.set(At { server, ..self.at.get() });
    }

    /// It is idle.
    #[inline]
    pub fn rest(&self) {
        self.at.set(At::default());
    }
}
