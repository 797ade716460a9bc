//! What a request leaves behind: counters of site, pool, server and process, and a line in the access log.

use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use plan::Severity;
use plan::pool::Reuse;
use plan::rule::{RecordField, TimeoutKind, Value};
use plan::site::ConnectionMode;
use pool::{Connection, Outcome, Server, ServerEndpoint};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tasks::clock;
use telemetry::counters::class;
use telemetry::{Cause, FlowCell, Record, RequestLine, Timers};
use wire::http1::{RequestHead, ResponseHead, Version};

impl Exchange {
    /// A server was chosen. That another try was needed counts at the server that failed.
    pub fn begin_at(&mut self, worker: usize, server: &Arc<Server>) {
        if let Some(before) = &self.server {
            let other = before.uid != server.uid;
            self.redispatched |= other;
            for stats in self.pool.iter().map(|pool| &pool.stats).chain([&before.stats]) {
                let cell = stats.at(worker);
                if other { cell.redispatches.add(1) } else { cell.retries.add(1) }
            }
        }
        server.stats.at(worker).sessions.add(1);
        self.cuts = server.cut_count();
        self.server = Some(Arc::clone(server));
    }

    /// A connection to the server stands.
    pub fn connected(&mut self, worker: usize, server: &Server, connection: &Connection, now: Duration) {
        self.times.connected = Some(now);
        self.reused = connection.uses > 1;
        if self.reused {
            server.stats.at(worker).reuses.add(1);
        }
        (self.server_address, self.pool_address) = match &connection.endpoint {
            ServerEndpoint::Tcp(address) => (Some(*address), connection.local_address),
            ServerEndpoint::Unix(_) => (None, None),
        };
    }

    /// The head of an answer came.
    pub fn answered(&mut self, conn: &Conn, server: &Server, status: u16) {
        let now = clock::now();
        self.times.answered = Some(now);
        server.note_answer(conn.local.server_clock_ms(now));
        if server.plan.observe.is_some() {
            server.note_outcome(Outcome::Status(status));
        }
    }

    /// A try failed: counted where it happened, but as an error only when there is no other try.
    pub fn note_failure(&self, worker: usize, server: &Arc<Server>, cause: Cause, again: bool) {
        let connect = matches!(
            cause,
            Cause::ConnectRefused
                | Cause::ConnectTimeout
                | Cause::NoRoute
                | Cause::ConnectFailed
                | Cause::NoLocalResource
        );
        let client = is_clients(cause) || matches!(cause, Cause::BadRequest | Cause::RequestTimeout);
        for stats in self.pool.iter().map(|pool| &pool.stats).chain([&server.stats]) {
            let cell = stats.at(worker);
            match (connect, client) {
                _ if again => {}
                (true, _) => cell.connect_errors.add(1),
                (_, true) => {}
                _ => cell.response_errors.add(1),
            }
            stats.causes.count(cause);
        }
        if cause == Cause::NoLocalResource {
            // Our own shortage says nothing about the server.
        } else if connect {
            server.note_outcome(Outcome::ConnectFailed);
        } else if !client {
            server.note_outcome(Outcome::BadAnswer);
        }
    }

    /// The server connection is free: kept for the next request, or closed.
    pub fn release(&self, conn: &Conn, connection: Box<Connection>, reusable: bool) {
        if reusable && !conn.local.is_stopping() && connection.server.is_up() {
            conn.local.idle.room(conn.local.worker.index).put(connection, self.reuse());
        }
    }

    /// How idle server connections may be shared for this request.
    pub fn reuse(&self) -> Reuse {
        // What the connection began with names one client.
        if self.server.as_ref().is_some_and(|server| server.plan.send_proxy.is_some()) {
            return Reuse::Never;
        }
        match self.pool.as_ref().map(|pool| pool.plan.reuse).unwrap_or_default() {
            Reuse::Unsaid if self.idempotent => Reuse::Always,
            said => said,
        }
    }

    /// Longest silence of the server.
    pub fn server_timeout(&self) -> Option<Duration> {
        let said = self.said_timeout(TimeoutKind::Server);
        said.or_else(|| self.pool.as_ref().and_then(|pool| pool.plan.timeouts.server))
    }

    /// A client that half-closes while it waits is taken as gone.
    pub fn abort_on_close(&self) -> bool {
        let pool = self.pool.as_ref().and_then(|pool| pool.plan.http.abort_on_close);
        self.said_abort_on_close().or(pool).or(self.site.plan.http.abort_on_close).unwrap_or(false)
    }

    /// True when server connections stay open after a request.
    pub fn server_keeps(&self) -> bool {
        let pool = self.pool.as_ref().map(|pool| pool.plan.http.connection).unwrap_or_default();
        self.site.plan.http.connection.max(pool) == ConnectionMode::KeepAlive
    }

    /// The server is not told that its connection will be closed.
    pub fn pretends_to_keep(&self) -> bool {
        self.site.plan.http.pretend_keep_alive
            || self.pool.as_ref().is_some_and(|pool| pool.plan.http.pretend_keep_alive)
    }

    /// The server's connections are to be cut since this request was given to it.
    pub fn must_leave_server(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.cut_count() != self.cuts)
    }

    /// True when another server could take the request.
    pub fn has_other_servers(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.usable() > 1)
    }

    /// Counts the request and writes its line. Called once per request.
    pub fn finish(&self, conn: &Conn, work: &mut Workspace) {
        self.count(tables::Event::Bytes(self.bytes_in, self.bytes_out));
        let worker = conn.local.worker.index;
        self.count_site(worker);
        self.count_pool(worker);
        if let Some(cause) = self.cause {
            self.site.stats.causes.count(cause);
        }
        self.log(conn, work, false);
    }

    fn count_site(&self, worker: usize) {
        let cell = self.site.stats.at(worker);
        cell.bytes_in.add(self.bytes_in);
        cell.bytes_out.add(self.bytes_out);
        if let Some(status) = self.status {
            cell.responses[class(status)].add(1);
        }
        for (counter, happened) in [
            (&cell.denied_requests, self.denied),
            (&cell.denied_responses, self.response_denied),
            (&cell.intercepted, self.intercepted && self.is_at_site()),
            (&cell.request_errors, self.bad_request || self.never_came()),
            (&cell.failed_rewrites, self.failed_rewrites > 0),
        ] {
            if happened {
                counter.add(1);
            }
        }
        let process = self.site.process.stats.at(worker);
        process.bytes_in.add(self.bytes_in);
        process.bytes_out.add(self.bytes_out);
    }

    /// True while no pool apart from the site's own section has it.
    fn is_at_site(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.plan.name == self.site.plan.name)
    }

    /// The body was waited for, and the request was never whole.
    fn never_came(&self) -> bool {
        self.cause == Some(Cause::RequestTimeout) && self.times.head.is_none()
    }

    fn count_pool(&self, worker: usize) {
        let Some(pool) = &self.pool else { return };
        let queue = millis(self.times.head, self.times.queued);
        let connect = millis(self.times.queued, self.times.connected);
        let response = millis(self.times.connected, self.times.answered);
        let total = clock::now().saturating_sub(self.times.first_byte).as_millis() as u64;
        let now_ms = (self.wall_us / 1000) as u64;
        pool.stats.at(worker).sessions.add(1);
        if self.server.is_none() && self.cause.is_some_and(is_lack_of_servers) {
            pool.stats.at(worker).connect_errors.add(1);
        }
        let flows = [Some(&pool.stats), self.server.as_ref().map(|server| &server.stats)];
        for (stats, is_server) in flows.into_iter().flatten().zip([false, true]) {
            let cell = stats.at(worker);
            self.count_flow(cell, is_server);
            for (timing, value) in [
                (&cell.queue_time, queue),
                (&cell.connect_time, connect),
                (&cell.response_time, response),
                (&cell.total_time, Some(total)),
            ] {
                if let Some(value) = value {
                    timing.add(value);
                }
            }
            if now_ms > 0 {
                cell.last_session_ms.set(now_ms);
            }
        }
    }

    /// Answers count at a server only when they are its own.
    fn count_flow(&self, cell: &FlowCell, is_server: bool) {
        cell.bytes_in.add(self.bytes_in);
        cell.bytes_out.add(self.bytes_out);
        if !is_server || self.times.answered.is_some() {
            cell.requests.add(1);
            if let Some(status) = self.status {
                cell.responses[class(status)].add(1);
            }
        }
        if self.response_denied {
            cell.denied_responses.add(1);
        }
        if self.denied && !is_server {
            cell.denied_requests.add(1);
        }
        match self.cause {
            Some(cause) if is_clients(cause) => cell.client_aborts.add(1),
            Some(Cause::TruncatedBody | Cause::BodyTimeout) => cell.server_aborts.add(1),
            _ => {}
        }
    }

    /// Writes the line now, before the end (`option logasap`): the end may be far.
    /// `head` = bytes of the answer's head, which is what leaves first.
    pub fn log_early(&mut self, conn: &Conn, work: &Workspace, head: u64) {
        self.bytes_out += head;
        self.log(conn, work, true);
        self.bytes_out -= head;
        self.logged = true;
    }

    fn log(&self, conn: &Conn, work: &Workspace, early: bool) {
        if self.logged {
            return;
        }
        if let Some(visit) = self.visit.as_deref() {
            return crate::host::log(conn, work, self, &visit.location.settings.logs);
        }
        let Some(route) = &self.site.log else { return };
        let Some(severity) = self.severity() else { return };
        if !route.wants(severity) || self.is_unlogged() {
            return;
        }
        let failed = self.cause.is_some();
        let line = self.site.error_line.as_ref().filter(|_| failed).unwrap_or(&self.site.line);
        if line.is_none() {
            return;
        }
        let (request, response) = (&work.request, &work.response);
        let scene = Scene { exchange: self, request, response: Some(response) };
        if self.site.plan.log.when.as_ref().is_some_and(|condition| !condition.holds(&scene)) {
            return;
        }
        let lists = Lists::of(self);
        let mut record = self.as_record(conn, request, &lists);
        record.early = early;
        conn.local.log.borrow().write(route, severity, |out| line.write(&record, &scene, out));
    }

    /// Level of the line; `None` = a rule wants none.
    fn severity(&self) -> Option<Severity> {
        let plan = &self.site.plan.log;
        match self.log_level {
            Some(level) => level,
            None if plan.errors_at_err && self.is_error() => Some(Severity::Error),
            None => Some(Severity::Info),
        }
    }

    fn is_unlogged(&self) -> bool {
        let plan = &self.site.plan.log;
        let nothing_came = self.bytes_in == 0 && self.status.is_none_or(|status| matches!(status, 400 | 408));
        (plan.skip_empty && nothing_came) || (plan.only_errors && !self.is_error())
    }

    /// True when the line is that of an error: a failure, another try, or a status that says so.
    fn is_error(&self) -> bool {
        self.cause.is_some() || self.retries > 0 || self.status.is_some_and(|status| status >= 500)
    }

    /// Answers `Fetch::Record` outside the final log line: what is known by now.
    pub fn record(
        &self,
        request: &RequestHead,
        response: Option<&ResponseHead>,
        field: RecordField,
        each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>,
    ) {
        if field == RecordField::UniqueId {
            let id = self.unique_id(&Scene { exchange: self, request, response });
            if !id.is_empty() {
                let _ = each(Value::text(id));
            }
            return;
        }
        let lists = Lists::of(self);
        let clock = telemetry::LogClock::new(Arc::default());
        let mut record = Record::new(&clock, &self.site.process.log);
        self.fill(&mut record, request, &lists);
        record.field(field, each);
    }

    fn as_record<'r>(&'r self, conn: &'r Conn, request: &'r RequestHead, lists: &'r Lists) -> Record<'r> {
        let mut record = Record::new(&conn.local.clock, &self.site.process.log);
        record.accepted_us = conn.peers.accepted_us;
        self.fill(&mut record, request, lists);
        record
    }

    fn fill<'r>(&'r self, record: &mut Record<'r>, request: &'r RequestHead, lists: &'r Lists) {
        record.client = self.client.ip();
        record.site_address = self.local.ip();
        record.server_address = self.server_address;
        record.pool_address = self.pool_address;
        record.requested_us = self.wall_us;
        record.site = &self.site.plan.name;
        record.http = true;
        record.pool = self.pool.as_ref().map_or(&self.site.plan.name, |pool| &pool.plan.name);
        let page = self.is_page.then_some("<STATS>");
        record.server = self.server.as_ref().map(|server| server.plan.name.as_str()).or(page);
        record.timers = self.timers();
        record.status = self.status;
        record.bytes_out = self.bytes_out;
        record.bytes_in = self.bytes_in;
        record.termination = self.termination();
        record.cause = self.cause;
        record.process_connections = self.site.process.stats.current.now();
        record.site_connections = self.site.stats.current.now();
        record.pool_connections = self.pool.as_ref().map_or(0, |pool| pool.stats.current.now());
        record.server_connections = self.server.as_ref().map_or(0, |server| server.stats.current.now());
        record.request_counter = self.site.process.stats.sum(|cell| &cell.requests);
        record.retries = self.retries;
        record.redispatched = self.redispatched;
        record.server_queue = self.server_queue;
        record.pool_queue = self.pool_queue;
        record.request_headers = &lists.request;
        record.response_headers = &lists.response;
        record.request_cookie = self.request_cookie.as_deref();
        record.response_cookie = self.response_cookie.as_deref();
        record.unique_id = self.unique_id.made();
        record.request = if self.bad_request { RequestLine::Bad } else { self.request_line(request) };
    }

    fn request_line<'r>(&'r self, request: &'r RequestHead) -> RequestLine<'r> {
        RequestLine::Good {
            method: self.method_as_received(request),
            target: self.target_as_received(request),
            version: if request.version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" },
        }
    }

    fn timers(&self) -> Timers {
        let times = &self.times;
        let now = clock::now();
        let ms = |from: Duration, to: Duration| Some(to.saturating_sub(from).as_millis() as u32);
        let between = |from: Option<Duration>, to: Option<Duration>| ms(from?, to?);
        // The time in the tarpit is told as time in a queue.
        let tarpit = self.letters == Some(*b"PT");
        Timers {
            handshake: Some(0),
            idle: ms(times.since, times.first_byte),
            request: times.head.filter(|_| !tarpit).and_then(|head| ms(times.first_byte, head)),
            queue: between(times.head, if tarpit { Some(now) } else { times.queued }),
            connect: between(times.queued, times.connected),
            response: between(times.connected, times.answered),
            data: times.answered.and_then(|answered| ms(answered, now)),
            active: ms(times.first_byte, now),
            total: ms(times.since, now),
        }
    }

    fn termination(&self) -> [u8; 4] {
        let first = match (self.letters, self.cause) {
            (Some(letters), _) => letters,
            (None, Some(cause)) => <[u8; 2]>::try_from(cause.letters().as_bytes()).unwrap_or(*b"--"),
            (None, None) => *b"--",
        };
        [first[0], first[1], self.cookie_letters[0], self.cookie_letters[1]]
    }
}

/// Captured headers as log lines take them.
struct Lists {
    request: Vec<Vec<u8>>,
    response: Vec<Vec<u8>>,
}

impl Lists {
    fn of(exchange: &Exchange) -> Lists {
        let texts = |list: &[Option<Vec<u8>>]| list.iter().map(|v| v.clone().unwrap_or_default()).collect();
        Lists { request: texts(&exchange.request_captures), response: texts(&exchange.response_captures) }
    }
}

fn millis(from: Option<Duration>, to: Option<Duration>) -> Option<u64> {
    Some(to?.saturating_sub(from?).as_millis() as u64)
}

/// True when no server was there to be asked.
fn is_lack_of_servers(cause: Cause) -> bool {
    use Cause as C;
    matches!(cause, C::QueueTimeout | C::QueueFull | C::AllDown | C::Drained | C::Empty)
}

/// True when the client ended it.
fn is_clients(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ClientAbortRequest
            | Cause::ClientAbortQueue
            | Cause::ClientAbortConnect
            | Cause::ClientAbortWait
            | Cause::ClientAbortData
            | Cause::ClientTimeoutData
    )
}
