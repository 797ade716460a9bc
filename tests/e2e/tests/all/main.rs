//! The stories: what a person who runs Mainstay sees, told with the built binary and real sockets.
//!
//! One executable for all of them, because linking is what takes the time. To try the stories
//! themselves, run them on Debian's HAProxy: `E2E_PROGRAM=/usr/sbin/haproxy`. `E2E_FULL=1` makes the
//! long ones long.
//!
//! HAProxy 2.6 itself misses four bars, which are ours to hold:
//! - `faults::a_frozen_server_stalls_nobody_for_long`: it needs 1.6 to 1.8 s, whatever the knobs;
//! - `faults::killing_one_of_three_loses_no_get` and others: only with knobs that the story gives it;
//! - `http::requests_with_two_meanings_are_refused`: NUL in a field reaches the server;
//! - `http::answers_that_are_no_http_become_502`: a status of two digits reaches the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod application;
mod bad_configurations;
mod commands;
mod consoles;
mod conversations;
mod conversion;
mod farm;
mod faults;
mod harness;
mod health;
mod http;
mod inspection;
mod limits;
mod logs;
mod masters;
mod metrics;
mod names;
mod oracle;
mod page;
mod paths;
mod peers;
mod reloads;
mod robust;
mod rotation;
mod runtime;
mod seeds_of_nginx;
mod streams;
mod surroundings;
mod tcp;
