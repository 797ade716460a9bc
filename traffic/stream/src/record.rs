//! What a connection leaves behind: counters of site, pool, server and process, and a line in the log.

use crate::attempt::Line;
use crate::scene::Scene;
use crate::session::Session;
use crate::{Local, LogEnd, Site};
use plan::{LogFormat, Severity};
use pool::{Outcome, Pool, Server};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, PathBuf};
use std::time::Duration;
use tasks::clock;
use telemetry::{Cause, FlowCell, Record, Timers};

/// Bytes moved, counted while the connection lives.
pub(crate) fn count_bytes(
    local: &Local,
    site: &Site,
    pool: Option<&Pool>,
    server: Option<&Server>,
    up: u64,
    down: u64,
) {
    let worker = local.worker.index;
    let (site_cell, process) = (site.stats.at(worker), site.process.at(worker));
    site_cell.bytes_in.add(up);
    site_cell.bytes_out.add(down);
    process.bytes_in.add(up);
    process.bytes_out.add(down);
    let flows = [pool.map(|pool| pool.stats.at(worker)), server.map(|server| server.stats.at(worker))];
    for cell in flows.into_iter().flatten() {
        cell.bytes_in.add(up);
        cell.bytes_out.add(down);
    }
}

impl Session {
    /// Counters of pool and server.
    pub fn flows(&self, worker: usize) -> impl Iterator<Item = &FlowCell> {
        let pool = self.pool.as_ref().map(|pool| pool.stats.at(worker));
        pool.into_iter().chain(self.server.as_ref().map(|server| server.stats.at(worker)))
    }

    /// A try to connect failed: counted where it happened, as an error only when there is no other try.
    pub fn note_failure(&self, server: &Server, cause: Cause, again: bool) {
        for cell in self.flows(self.local.worker.index).filter(|_| !again) {
            cell.connect_errors.add(1);
        }
        server.stats.causes.count(cause);
        if let Some(pool) = &self.pool {
            pool.stats.causes.count(cause);
        }
        server.note_outcome(Outcome::ConnectFailed);
    }

    /// The tunnel stands. A short line, or one asked for early, is written now: the end may be days away.
    pub fn note_linked(&mut self) {
        let log = &self.site.plan.log;
        let short = matches!(log.line, LogFormat::Short);
        if (short || log.early) && !log.skip_empty {
            self.log(true);
        }
    }

    /// Counts what is known at the end and writes the line.
    pub fn finish(&mut self) {
        let moved = tables::Event::Bytes(self.bytes_in, self.bytes_out);
        self.site.tables.count(&self.tracked, moved);
        if let Some(early) = self.early.take() {
            self.local.worker.buffers.give(*early);
        }
        let worker = self.local.worker.index;
        if let Some(cause) = self.cause {
            self.site.stats.causes.count(cause);
            if matches!(cause, Cause::ClientAbortRequest) {
                self.site.stats.at(worker).request_errors.add(1);
            }
        }
        self.flows(worker).for_each(|cell| self.count_flow(cell));
        // The line tells how many others there are.
        if let Some(linked) = &mut self.linked {
            linked.slot = None;
        }
        self.end_try();
        if let Some(visit) = &mut self.visit {
            visit.over = true;
        }
        if !self.logged {
            self.log(false);
        }
        self.write_access_logs();
    }

    fn count_flow(&self, cell: &FlowCell) {
        let times = &self.times;
        let total = clock::now().saturating_sub(times.accepted).as_millis() as u64;
        for (timing, value) in [
            (&cell.queue_time, millis(times.asked, times.queued)),
            (&cell.connect_time, millis(times.queued, times.connected)),
            (&cell.total_time, Some(total)),
        ] {
            if let Some(value) = value {
                timing.add(value);
            }
        }
        if self.accepted_us > 0 {
            cell.last_session_ms.set(self.accepted_us as u64 / 1000);
        }
        match self.cause {
            Some(Cause::ClientAbortData | Cause::ClientTimeoutData | Cause::ClientAbortQueue) => {
                cell.client_aborts.add(1);
            }
            Some(Cause::ClientAbortConnect) => cell.client_aborts.add(1),
            Some(Cause::TruncatedBody) => {
                cell.server_aborts.add(1);
                cell.response_errors.add(1);
            }
            Some(Cause::BodyTimeout) => cell.server_aborts.add(1),
            Some(Cause::QueueTimeout | Cause::QueueFull | Cause::AllDown | Cause::Drained | Cause::Empty)
                if self.server.is_none() =>
            {
                cell.connect_errors.add(1);
            }
            Some(Cause::Denied) => cell.denied_requests.add(1),
            _ => {}
        }
    }

    fn log(&mut self, early: bool) {
        let Some(severity) = self.severity() else { return };
        let site = &self.site;
        let Some(route) = site.log.as_ref().filter(|route| route.wants(severity)) else { return };
        let failed = self.cause.is_some();
        let line = site.error_line.as_ref().filter(|_| failed).unwrap_or(&site.line);
        let scene = Scene { session: self, over: true };
        let unwanted = site.plan.log.when.as_ref().is_some_and(|condition| !condition.holds(&scene));
        if line.is_none() || unwanted || self.is_unlogged() {
            return;
        }
        let mut record = self.as_record();
        record.early = early && site.plan.log.early;
        self.local.log.borrow().write(route, severity, |out| line.write(&record, &scene, out));
        self.logged = true;
    }

    fn write_access_logs(&self) {
        if self.site.access_logs.is_empty() {
            return;
        }
        let scene = Scene { session: self, over: true };
        for log in &self.site.access_logs {
            if log.when.as_ref().is_some_and(|when| matches!(&*when.text(&scene), b"" | b"0")) {
                continue;
            }
            let queue = self.local.log.borrow();
            match &log.target {
                // Most severe: a syslog target lowers it to what it was told.
                LogEnd::Open(route) => {
                    queue.write(route, Severity::Emergency, |out| log.line.write(&scene, out));
                }
                LogEnd::Made(path, keep) => {
                    if let Some(path) = made(path.text(&scene)) {
                        queue.append(path, *keep, log.line.text(&scene));
                    }
                }
            }
        }
    }

    /// Level of the line; `None` = a rule wants none.
    fn severity(&self) -> Option<Severity> {
        match self.log_level {
            Some(level) => level,
            None if self.is_error() && self.site.plan.log.errors_at_err => Some(Severity::Error),
            None => Some(Severity::Info),
        }
    }

    fn is_unlogged(&self) -> bool {
        let plan = &self.site.plan.log;
        (plan.skip_empty && self.bytes_in == 0 && self.bytes_out == 0)
            || (plan.only_errors && !self.is_error())
    }

    fn is_error(&self) -> bool {
        self.cause.is_some() || self.retries > 0
    }

    /// Our own address on the connection to the server.
    pub fn pool_address(&self) -> Option<std::net::SocketAddr> {
        match &self.linked.as_ref()?.line {
            Line::Bytes(stream) => stream.tcp()?.local_addr().ok(),
            Line::Datagrams(up) => up.local_address(),
        }
    }

    /// The connection as the log sees it, so far.
    pub fn as_record(&self) -> Record<'_> {
        let mut record = Record::new(&self.local.clock, &self.site.log_process);
        record.client = self.client.ip();
        record.site_address = self.own.ip();
        record.server_address = self.server_address;
        record.pool_address = self.pool_address();
        record.accepted_us = self.accepted_us;
        record.requested_us = self.accepted_us;
        record.site = &self.site.plan.name;
        record.pool = self.pool.as_ref().map_or(&self.site.plan.name, |pool| &pool.plan.name);
        record.server = self.server.as_ref().map(|server| server.plan.name.as_str());
        record.timers = self.timers();
        record.bytes_in = self.bytes_in;
        record.bytes_out = self.bytes_out;
        record.termination = self.termination();
        record.cause = self.cause;
        record.process_connections = self.site.process.current.now();
        record.site_connections = self.site.stats.current.now();
        record.pool_connections = self.pool.as_ref().map_or(0, |pool| pool.stats.current.now());
        record.server_connections = self.server.as_ref().map_or(0, |server| server.stats.current.now());
        record.retries = self.retries;
        record.redispatched = self.redispatched;
        record.server_queue = self.server_queue;
        record.pool_queue = self.pool_queue;
        record.request_headers = self.kept.as_ref().map_or(&[], |kept| &kept.captures);
        record
    }

    fn timers(&self) -> Timers {
        let times = &self.times;
        let between = |from, to| millis(from, to).map(|ms| ms as u32);
        let total = clock::now().saturating_sub(times.accepted).as_millis() as u32;
        Timers {
            handshake: Some(0),
            queue: between(times.asked, times.queued),
            connect: between(times.queued, times.connected),
            data: between(times.connected, times.connected.map(|_| clock::now())),
            total: Some(total),
            ..Timers::default()
        }
    }

    fn termination(&self) -> [u8; 4] {
        let [who, when] = match (self.letters, self.cause) {
            (Some(letters), _) => letters,
            (None, Some(cause)) => <[u8; 2]>::try_from(cause.letters().as_bytes()).unwrap_or(*b"--"),
            (None, None) => *b"--",
        };
        [who, when, b'-', b'-']
    }
}

/// Longest path that a session may make.
const LONGEST: usize = 4096;

/// The path of a file that a session makes. What the client sent must not lead out of the folder.
fn made(path: Vec<u8>) -> Option<PathBuf> {
    let usable = !path.is_empty() && path.len() <= LONGEST && !path.contains(&0);
    let path = usable.then(|| PathBuf::from(OsString::from_vec(path)))?;
    (!path.components().any(|part| part == Component::ParentDir)).then_some(path)
}

fn millis(from: Option<Duration>, to: Option<Duration>) -> Option<u64> {
    Some(to?.saturating_sub(from?).as_millis() as u64)
}
