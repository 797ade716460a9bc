//! Who is up: asks servers, watches what requests report, and tells the pools. Called by `supervisor` (start, reload)
//! and `admin` (enable, disable, force).
//!
//! ```text
//!   probe ──(how a check ended)──► machine ──(up, down, suspect, rising)──► task ──► pool, telemetry
//!   pool  ──(how requests ended)──────▲
//! ```

#![forbid(unsafe_code)]

mod entry;
mod inbox;
pub mod machine;
pub mod mail;
pub mod probe;
pub mod steps;
mod task;

pub use inbox::OUTCOMES;
pub use task::{Checks, Emit};
