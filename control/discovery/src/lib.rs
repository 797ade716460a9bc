//! Addresses of servers that are known by name: asks name servers while the process runs, and gives servers the
//! addresses, ports and weights that the answers hold.
//!
//! ```text
//!   Discovery ──mail──► Task ──► Machine (per group of name servers: when to ask what, what is known)
//!                        │  ▲
//!                        ▼  └── ask: a small task per question and name server, read by `message`
//!                      seats (which server gets which address) ──► pool::Server
//! ```
//!
//! The supervisor starts the task on the control thread and tells it of every new cycle. Nothing here is on
//! the path of a request: servers' addresses change under it.

mod ask;
mod counters;
mod demand;
mod machine;
mod message;
mod plain;
mod roll;
mod seats;
mod task;

pub use counters::{Counts, NameServerCounts};
pub use message::{read_any, read_as};
pub use plain::read_plain;
pub use seats::spread;
pub use task::{Discovery, Emit};
