//! Checks made of steps: connect, send, expect. One engine for rules that users write and for the checks of known
//! protocols. [`machine`] decides, `probe::script` does what it says.
//!
//! ```text
//!   Probe ──prepare──► steps ──► machine ──(connect, send, read)──► probe::script
//!                                   ▲──────(connected, sent, bytes)──────┘
//! ```

mod answer;
mod facts;
mod judge;
pub mod machine;
mod prepare;
mod talk;

pub use machine::{Connect, Machine, Outcome, Todo};
pub use prepare::{Prepared, prepare};

/// What is known about the server being checked, for texts with values.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Pool.
    pub pool: String,
    /// Server.
    pub server: String,
    /// What HTTP/1.1 requests name when nothing is said (RFC 9112, 3.2 demands it).
    pub host: String,
    /// The server is down: an answer that passes on a condition does not bring it back.
    pub down: bool,
    /// Value of the header that tells the server's state; empty = no such header.
    pub state: String,
    /// Number of the pool.
    pub pool_id: u32,
    /// Number of the server.
    pub server_id: u32,
    /// Connections of the server now.
    pub connections: u32,
    /// Connections it may have; 0 = no limit.
    pub max_connections: u32,
    /// The pool speaks HTTP.
    pub http: bool,
    /// Unix time in seconds.
    pub unix: i64,
    /// Number drawn for this check.
    pub random: u64,
}

#[cfg(test)]
mod tests;
