//! HTTP/1.1: from a client's bytes to a server's answer. Called by the supervisor, once per accepted
//! connection of a site with `mode http`.
//!
//! The way of a request: [`client`] reads its head into a `Workspace` · [`exchange`] runs the rules,
//! finds pool, server and connection, sends, waits, tries again · [`body`] moves bodies ·
//! [`answer`] writes what we say ourselves · [`record`] counts and logs. One task per client connection;
//! the server connection that serves it is polled by the same task, so nothing crosses threads.

pub mod answer;
mod attempt;
mod auth;
mod body;
mod client;
mod course;
mod exchange;
mod host;
mod htpasswd;
mod local;
mod persistence;
mod record;
mod rules;
mod scene;
mod squeeze;
mod sticky;
mod tunnel;

pub use auth::password_matches;
pub use client::serve;
pub use host::Visitors;
pub use local::{Local, Pages, PagesAnswer, PagesRequest, Process, Site, Sites, limits_of};
pub use squeeze::Meter;
