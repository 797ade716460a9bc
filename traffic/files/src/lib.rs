//! Files below a root: what a path leads to, and what of it a client gets. Called by `web`.
//!
//! What decides is pure and works on heads, so that answers of servers pass through the same functions:
//! [`condition`] (need it be sent at all), [`range`] (which part), [`freshness`] (how long it lasts), [`gzip`]
//! (compressed or not). [`path`] makes the name of a file, [`open`] opens it, [`keep`] keeps small ones, [`listing`] lists a folder, [`types`]
//! knows content types. Sending is `web`'s business.

pub mod condition;
pub mod freshness;
pub mod gzip;
pub mod keep;
pub mod listing;
pub mod open;
pub mod path;
pub mod range;
pub mod types;

pub use keep::Keeper;
pub use open::{Facts, Fault, Kind, Opened, open};
