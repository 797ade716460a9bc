//! A shared cache of answers by RFC 9111, with nginx's knobs: `web` asks it before a server and gives it what a
//! server answered; the supervisor builds it for each cycle and lets its keeper run.
//!
//! | file | what |
//! |---|---|
//! | [`control`], [`vary`], [`policy`] | pure: what a head says about keeping it, for how long and for whom |
//! | [`format`] | pure: the head of a file on disk, to bytes and back |
//! | [`entry`] | an answer that is kept |
//! | `index` | keys in order of their use; what is known of each, who fetches it |
//! | `disk` | files: names, reading, writing beside and renaming |
//! | [`zone`] | a cache: looked into, filled by a [`Ticket`] and a [`Writer`] |
//! | [`keeper`] | takes in what is on disk, removes what is unused or too much |
//! | [`set`] | all caches by name, over reloads |
//!
//! Times are milliseconds since 1970 and come as arguments. A hit takes one short lock of a shard. Small answers on
//! disk are also held in memory, larger ones with their file open, both bounded.

#![forbid(unsafe_code)]

pub mod control;
mod disk;
pub mod entry;
pub mod format;
mod index;
pub mod keeper;
pub mod policy;
pub mod set;
#[cfg(test)]
mod tests;
pub mod vary;
pub mod zone;

pub use entry::{Body, Entry, Life, Record};
pub use index::Key;
pub use keeper::Keeper;
pub use policy::{Kept, Refusal};
pub use set::Caches;
pub use zone::{Ask, Found, Ticket, Wait, Writer, Zone};
