//! Stick tables: what is counted and remembered for each key of clients, and what connections track.
//!
//! Rules, fetches and converters of HTTP and TCP sites come here, the supervisor keeps the tables
//! over reloads, the runtime socket shows them, peers exchange their entries.
//!
//! | file | what |
//! |---|---|
//! | [`key`] | from a value to a key of the table's type |
//! | [`layout`], [`rate`] | where each kind of data lies in an entry, and how rates count |
//! | [`table`], `shard` | the entries: found, made, expired, never more than the size |
//! | [`ask`] | questions of fetches and converters |
//! | [`tracked`] | what a connection or request tracks, and what it counts there |
//! | [`stick`] | servers that clients stay at |
//! | [`limit`] | requests per time and things at once, by a key (nginx `limit_req`, `limit_conn`) |
//! | [`orders`] | runtime commands |
//! | [`journal`] | changes in order, for peers |
//!
//! A table is cut into shards with a small lock each; an entry has a lock of its own, held for an addition or
//! two. Nothing here reads a clock: methods take `now` in milliseconds on one scale for the whole process.

#![forbid(unsafe_code)]

pub mod ask;
pub mod journal;
pub mod key;
pub mod layout;
pub mod limit;
pub mod orders;
pub mod rate;
mod set;
mod shard;
pub mod stick;
pub mod table;
#[cfg(test)]
mod tests;
pub mod tracked;

pub use key::Key;
pub use layout::Layout;
pub use rate::Rate;
pub use set::{Clock, Tables};
pub use stick::{Remembered, Stores};
pub use table::{Entry, Table};
pub use tracked::{Event, Level, Tracked};
