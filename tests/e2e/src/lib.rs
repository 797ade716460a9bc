//! Harness of the end-to-end stories: the built binary, real sockets, real servers.
//!
//! Used by `tests/all` only. A harness that cannot do its part panics with what it tried: the story
//! that asked for it has failed then, so `unwrap` is the right word here.
//!
//! - [`Balancer`] runs the binary under test (or Debian's HAProxy, the *oracle*) on a configuration.
//! - [`Server`] is a `demo` process that can be killed, frozen and restarted; [`Scripted`] answers
//!   byte for byte what a story wants, and records what it was asked.
//! - [`Client`] speaks HTTP/1 in small steps and says how an exchange ended; [`Load`] does that on
//!   many connections at once.
//! - [`namespace::inside`] gives a story a network of its own, with ports such as 80 free.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing harness is a failing test"
)]

pub mod balancer;
pub mod cases;
pub mod client;
pub mod databases;
pub mod http;
pub mod load;
pub mod names;
pub mod namespace;
pub mod oracle;
pub mod port;
pub mod process;
pub mod runtime;
pub mod scripted;
pub mod server;
pub mod waiting;

pub use balancer::{Balancer, Program};
pub use client::Client;
pub use http::{Failure, Response};
pub use load::{Load, Report};
pub use port::Port;
pub use process::Process;
pub use runtime::RuntimeSocket;
pub use scripted::{Peer, Scripted, Seen, Step};
pub use server::Server;
pub use waiting::{eventually, until};

/// Whether the long form of the stories was asked for (`E2E_FULL=1`, `make faults`).
pub fn full() -> bool {
    std::env::var_os("E2E_FULL").is_some_and(|value| value == "1")
}

/// Prints one line of figures, which a reader of the test run wants to see.
#[expect(clippy::print_stderr, reason = "figures are for the person who runs the tests")]
pub fn figures(line: &str) {
    eprintln!("figures: {line}");
}
