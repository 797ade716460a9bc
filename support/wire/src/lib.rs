//! Codecs for the bytes Mainstay reads and writes: HTTP/1, the PROXY protocol, peers' tables, and what health checks say to
//! servers of other protocols.
//!
//! Everything here is a pure function or a small machine over byte slices: no socket, no clock, no runtime.
//! `web` and `stream` feed it what they received, `health` builds its probes with it, `fuzz/` attacks it.

#![forbid(unsafe_code)]

pub mod hello;
pub mod http1;
pub mod ldap;
pub mod mysql;
pub mod peers;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod smtp;
pub mod tls_hello;
