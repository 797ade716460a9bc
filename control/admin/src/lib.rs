//! The words of the runtime socket, HAProxy's and ours: parsing, rights, answers and the connection.
//!
//! The supervisor accepts connections, implements [`Control`] and calls [`serve`]. Answers are drawn from a
//! `dashboard::Snapshot`; changes go through [`Control`]. The statistics page's form uses
//! [`ServerChange::of`].

pub mod answer;
pub mod command;
pub mod control;
mod master;
mod parse;
pub mod patterns;
pub mod serve;
pub mod session;
mod words;

pub use answer::Answer;
pub use command::{
    Command, ErrorSide, HealthWord, Order, Output, RateLimit, ServerChange, SiteChange, Target, Usage, parse,
};
pub use control::{Control, Refusal, Reloaded, RingPart, RingView};
pub use serve::{LINE_BYTES, TIMEOUT, serve};
pub use session::{Mode, Session};
