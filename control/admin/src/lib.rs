//! The words of the runtime socket, HAProxy's and ours: parsing, rights, answers and the connection.
//!
//! The supervisor accepts connections, implements [`Control`] and calls [`serve`]. Answers are drawn from a
//! `dashboard::Snapshot`; changes go through [`Control`]. The statistics page's form uses
//! [`ServerChange::of`].

pub mod command;
pub mod control;
pub mod serve;
pub mod session;

pub use command::{Command, HealthWord, Output, ServerChange, SiteChange, Usage, parse};
pub use control::{Control, Refusal};
pub use serve::{LINE_BYTES, TIMEOUT, serve};
pub use session::Session;
