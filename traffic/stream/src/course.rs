//! What became of each try at a server, for variables in logs. Kept only for sites whose settings can ask for it.

use crate::session::Session;
use pool::{Pool, Server, ServerEndpoint};
use std::time::Duration;
use tasks::clock;

/// Most tries that are kept.
const KEPT: usize = 64;

/// One try at a server.
pub(crate) struct Try {
    /// Address of the server; the pool's name when there was nobody to try.
    pub name: Box<str>,
    begun: Duration,
    connected: Option<Duration>,
    first_byte: Option<Duration>,
    ended: Option<Duration>,
    pub sent: u64,
    pub received: u64,
}

impl Try {
    fn new(name: Box<str>) -> Try {
        let begun = clock::now();
        Try { name, begun, connected: None, first_byte: None, ended: None, sent: 0, received: 0 }
    }

    /// Bytes went to the server and came from it.
    pub fn moved(&mut self, up: u64, down: u64) {
        self.sent += up;
        self.received += down;
        if down > 0 && self.first_byte.is_none() {
            self.first_byte = Some(clock::now());
        }
    }

    /// Time to connect; `None` = it never did.
    pub fn connect_time(&self) -> Option<Duration> {
        Some(self.connected?.saturating_sub(self.begun))
    }

    /// Time to the first byte; `None` = none came.
    pub fn first_byte_time(&self) -> Option<Duration> {
        Some(self.first_byte?.saturating_sub(self.begun))
    }

    /// Time it took.
    pub fn time(&self) -> Duration {
        self.ended.unwrap_or_else(clock::now).saturating_sub(self.begun)
    }
}

impl Session {
    /// A try begins.
    pub fn note_try(&mut self, server: &Server) {
        self.begin_try(|| match server.address() {
            ServerEndpoint::Tcp(address) => address.to_string().into(),
            ServerEndpoint::Unix(path) => format!("unix:{}", path.display()).into(),
        });
    }

    /// There was nobody to try.
    pub fn note_nobody(&mut self, pool: &Pool) {
        self.begin_try(|| pool.plan.name.as_str().into());
    }

    fn begin_try(&mut self, name: impl FnOnce() -> Box<str>) {
        self.end_try();
        if let Some(visit) = self.visit.as_mut().filter(|visit| visit.course.len() < KEPT) {
            visit.course.push(Try::new(name()));
        }
    }

    /// The last try.
    pub fn last_try(&mut self) -> Option<&mut Try> {
        self.visit.as_mut()?.course.last_mut()
    }

    /// The server of the last try is there.
    pub fn note_connected(&mut self) {
        if let Some(last) = self.last_try() {
            last.connected = Some(clock::now());
        }
    }

    /// The last try is over.
    pub fn end_try(&mut self) {
        if let Some(last) = self.last_try() {
            last.ended.get_or_insert_with(clock::now);
        }
    }
}
