//! Who is told about outcomes and changes of servers. The health crate implements [`Observer`].

use crate::server::{AdminState, Server};

/// Hears what happens at servers. Called on workers: must not block.
pub trait Observer: Send + Sync {
    /// A request or connection ended so at `server`. On the path of a request.
    fn outcome(&self, server: &Server, outcome: Outcome);
    /// Something known about `server` changed; the pool's tables already follow it.
    fn changed(&self, server: &Server, change: Change);
}

/// Passive observation: how a request or connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A connection was made, or bytes came (TCP).
    Ok,
    /// The connection could not be made.
    ConnectFailed,
    /// No answer, or not a valid one.
    BadAnswer,
    /// An answer with this status.
    Status(u16),
}

/// What changed about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its checks made it up.
    Up,
    /// Its checks made it down.
    Down,
    /// Its agent says up.
    AgentUp,
    /// Its agent says down.
    AgentDown,
    /// True: its last check timed out; chosen only without others. False: trusted again.
    Suspect(bool),
    /// True: down, but its last check passed; chosen as a last resort.
    Rising(bool),
    /// Its administrative state is now this.
    Admin(AdminState),
    /// Its weight is now this.
    Weight(u16),
    /// Its limit is now this; `None` = no limit.
    MaxConnections(Option<u32>),
    /// Its address is another.
    Address,
    /// It failed so often that smooth balancing passes it over for a while.
    SitsOut,
    /// Its connections are to be cut, see [`Server::cut_count`].
    Cut,
}

/// Hears nothing; for pools without checks and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn outcome(&self, _: &Server, _: Outcome) {}
    fn changed(&self, _: &Server, _: Change) {}
}
