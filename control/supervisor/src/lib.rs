//! Runs the cycle: load, start, reload, drain, stop. The only crate that sees everything.
//!
//! ```text
//!   files ──load──► Plan ──prepare──► Cycle ──► every worker          (reload: the same, beside the old)
//!                                       │
//!        control thread: signals · checks · runtime sockets · statistics · rates
//! ```
//!
//! Whatever fails while a new cycle is prepared leaves the running one untouched.

mod caches;
mod control;
mod cycle;
mod guests;
mod limits;
mod load;
mod names;
mod notify;
mod orders;
mod privileges;
mod process;
mod run;
mod sessions;
mod share;
mod signals;
mod sockets;
mod states;
mod view;
mod watcher;
mod worker;

pub use load::{FileSources, Input, load, nginx_files};
pub use notify::Notifier;
pub use run::{Manner, Options, Outcome, Replaces, run};
pub use signals::{Asked, Meanings};
