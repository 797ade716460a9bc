//! One client connection: waits for requests, reads their heads, keeps the connection or ends it.
//!
//! ```text
//!   idle ──byte──► busy: head ► exchange ► (next head …) ──silence──► idle
//!    │                    │                                            │
//!    └── end, time-out ───┴── error, Connection: close ────────────────┘──► closed
//! ```
//!
//! While idle a connection holds no buffer; what it needs while busy lies in a boxed future of its own.

use crate::answer;
use crate::exchange::{self, After, Exchange};
use crate::local::{Local, Site, Workspace};
use crate::rules::Variables;
use listener::{Accepted, Peer, Ticket};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tasks::{Deadline, Fired, Stream, clock};
use telemetry::{Cause, Invalid};
use tokio::io::AsyncWrite;
use wire::http1::{BodyFraming, HeadError, HeadErrorKind, Progress, RequestHead, parse_request};

/// After so much silence a kept connection gives its buffers back.
const SETTLE: Duration = Duration::from_secs(1);
/// Unread request bytes are drained for at most so long, so that the last answer arrives.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// A client connection.
pub(crate) struct Conn {
    pub stream: Stream,
    pub local: Rc<Local>,
    pub site: Arc<Site>,
    pub peers: Box<Peers>,
    pub deadline: Deadline,
    /// Its place among the limits, and what lists of connections tell of it.
    pub ticket: Ticket,
    /// Its number in the process.
    pub id: u64,
    /// Requests begun on it.
    pub requests: u64,
    /// End of the last response, or acceptance, on the worker's clock.
    pub since: Duration,
    /// Acceptance on the same clock.
    pub accepted: Duration,
    /// How long it may be idle, when its last request said so.
    pub idle_time: Option<Duration>,
    /// Variables that live as long as the connection.
    pub session: Variables,
    /// What it tracks in stick tables.
    pub tracked: tables::Tracked,
    generation: u64,
}

/// Who is connected.
pub(crate) struct Peers {
    pub client: Peer,
    pub local: Peer,
    /// Index of the bind in the site.
    pub bind: usize,
    /// Acceptance, Unix microseconds.
    pub accepted_us: i64,
    /// What a PROXY header told.
    pub told: Option<listener::Told>,
}

/// Serves a connection until it ends.
pub async fn serve(local: Rc<Local>, site: Arc<Site>, accepted: Accepted) {
    let Accepted { stream, client, local: own, bind, ticket, told, .. } = accepted;
    let accepted_us = local.wall_us(clock::now());
    let id = site.process.connections.fetch_add(1, Relaxed);
    site.stats.at(local.worker.index).sessions.add(1);
    let mut conn = Conn {
        stream,
        deadline: local.worker.deadlines.slot(),
        ticket,
        id,
        requests: 0,
        since: clock::now(),
        accepted: clock::now(),
        idle_time: None,
        session: Variables::default(),
        tracked: tables::Tracked::default(),
        generation: local.generation(),
        peers: Box::new(Peers { client, local: own, bind, accepted_us, told }),
        site,
        local,
    };
    match crate::exchange::admitted(&mut conn) {
        None => conn.run().await,
        Some(after) => conn.finish(after).await,
    }
    conn.local.idle.room(conn.local.worker.index).forget_client(conn.id);
}

/// What a waiting connection saw.
enum Seen {
    Bytes,
    Silence,
    End,
}

impl Conn {
    async fn run(&mut self) {
        loop {
            match self.wait_idle().await {
                Seen::Bytes => {}
                Seen::Silence if self.requests == 0 => {
                    let after = Box::pin(self.silent()).await;
                    return self.finish(after).await;
                }
                Seen::End if self.requests == 0 && !self.ignores_probes() => {
                    Box::pin(self.without_request(Cause::ClientAbortRequest)).await;
                    return;
                }
                Seen::Silence | Seen::End => return,
            }
            let mut work = self.local.workspace();
            let after = Box::pin(self.busy(&mut work)).await;
            let left = work.buffer.len();
            self.local.give_back(work);
            match after {
                After::KeepAlive if left == 0 => {}
                after => return self.finish(after).await,
            }
        }
    }

    /// Waits for a byte without holding anything.
    async fn wait_idle(&mut self) -> Seen {
        loop {
            self.deadline.set(self.patience());
            self.deadline.set_idle(true);
            let seen = std::future::poll_fn(|cx| match self.stream.poll_readable(cx) {
                Poll::Ready(result) => Poll::Ready(Ok(result)),
                Poll::Pending => self.deadline.poll_fired(cx).map(Err),
            })
            .await;
            self.deadline.set_idle(false);
            match seen {
                Ok(Ok(())) => return Seen::Bytes,
                Ok(Err(_)) => return Seen::End,
                Err(Fired::Timeout) if self.local.is_stopping() => return Seen::End,
                Err(Fired::Timeout) => return Seen::Silence,
                // How long to wait is another question now.
                Err(Fired::Watched | Fired::Stop) => {}
            }
        }
    }

    /// How long it may still be idle. During a graceful stop a kept connection is over, and a new one, whose
    /// client is about to ask, gets a moment.
    fn patience(&self) -> Option<Duration> {
        let left = self.idle_time().map(|wait| wait.saturating_sub(clock::now().saturating_sub(self.since)));
        match (self.local.is_stopping(), self.requests) {
            (false, _) => left,
            (true, _) if self.site.plan.http.idle_close_on_response => left,
            (true, 0) => Some(left.map_or(SETTLE, |left| left.min(SETTLE))),
            (true, _) => Some(Duration::ZERO),
        }
    }

    fn idle_time(&self) -> Option<Duration> {
        if self.idle_time.is_some() {
            return self.idle_time;
        }
        let timeouts = &self.site.plan.timeouts;
        if self.requests == 0 {
            timeouts.request.or(timeouts.client)
        } else {
            timeouts.keep_alive.or(timeouts.request).or(timeouts.client)
        }
    }

    /// Serves requests as long as they come without a pause.
    async fn busy(&mut self, work: &mut Workspace) -> After {
        let mut pipelined = false;
        loop {
            let after = self.one(work, pipelined).await;
            if after != After::KeepAlive {
                return after;
            }
            self.since = clock::now();
            self.ticket.seat().rest();
            let waits = work.buffer.is_empty();
            pipelined = !waits;
            if waits && !(self.local.has_room() && self.next_comes(work).await) {
                return After::KeepAlive;
            }
        }
    }

    /// Reads the first bytes of the next request; false after a pause, a stop or the end.
    async fn next_comes(&mut self, work: &mut Workspace) -> bool {
        let wait = self.idle_time().map_or(SETTLE, |wait| wait.min(SETTLE));
        self.deadline.set(Some(wait));
        self.deadline.set_idle(true);
        if self.local.is_stopping() {
            return false;
        }
        let (stream, deadline) = (&mut self.stream, &self.deadline);
        let came = std::future::poll_fn(|cx| match work.buffer.poll_fill(stream, cx) {
            Poll::Ready(Ok(n)) => Poll::Ready(n > 0),
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Pending => deadline.poll_fired(cx).map(|_| false),
        })
        .await;
        self.deadline.set_idle(false);
        came
    }

    /// One request from its first byte to its last log line.
    async fn one(&mut self, work: &mut Workspace, pipelined: bool) -> After {
        self.follow_reload();
        work.request.clear();
        self.ticket.seat().begin();
        let mut exchange = Exchange::new(self, self.since, clock::now());
        exchange.pipelined = pipelined;
        exchange.variables = std::mem::take(&mut self.session);
        exchange.tracked = std::mem::take(&mut self.tracked);
        let mut busy = None;
        match self.read_head(work, &mut exchange, &mut busy).await {
            Head::Complete => {
                if let Some(busy) = &mut busy {
                    busy.writes();
                }
            }
            Head::Nothing if self.requests == 0 && !self.ignores_probes() => {
                self.count_request();
                let after = self.gave_up(work, &mut exchange, Cause::ClientAbortRequest).await;
                exchange.finish(self, work);
                return after;
            }
            Head::Nothing => return After::Close,
            Head::Invalid(error) => {
                self.count_request();
                exchange.count_faulty_request();
                let after = self.refuse(work, &mut exchange, error).await;
                exchange.finish(self, work);
                return after;
            }
            Head::Failed(cause) => {
                self.count_request();
                exchange.count_faulty_request();
                let after = self.gave_up(work, &mut exchange, cause).await;
                exchange.finish(self, work);
                return after;
            }
        }
        self.requests += 1;
        exchange.number = self.requests;
        exchange.times.head = Some(clock::now());
        self.count_request();
        let after = exchange::serve(self, work, &mut exchange).await;
        exchange.finish(self, work);
        self.session = exchange.variables.into_session();
        self.tracked = exchange.tracked.into_connection();
        after
    }

    /// Counts a request, be it a bad one.
    fn count_request(&self) {
        let worker = self.local.worker.index;
        self.site.stats.at(worker).requests.add(1);
        self.site.process.stats.at(worker).requests.add(1);
    }

    /// A reload happened: from now on this connection belongs to the site of the same name.
    fn follow_reload(&mut self) {
        let generation = self.local.generation();
        if generation != self.generation {
            self.generation = generation;
            let Some(site) = self.local.site(&self.site.plan.name) else { return };
            // The listener may stand at another place there; without one nobody would know its hosts.
            let address = self.site.plan.binds.get(self.peers.bind).map(|bind| &bind.address);
            let place = site.plan.binds.iter().position(|bind| Some(&bind.address) == address);
            if place.is_some() || site.plan.hosts.is_none() {
                self.peers.bind = place.unwrap_or(self.peers.bind);
                self.site = site;
            }
        }
    }

    async fn read_head(
        &mut self,
        work: &mut Workspace,
        exchange: &mut Exchange,
        busy: &mut Option<crate::host::Busy>,
    ) -> Head {
        let (limits, patience) = self.site.head_limits(self.peers.bind);
        let mut timed = false;
        loop {
            if !work.buffer.is_empty() {
                if busy.is_none() && self.site.plan.hosts.is_some() {
                    *busy = Some(crate::host::Busy::reads(&self.site.process));
                }
                match parse_request(work.buffer.bytes(), &limits, &mut work.request) {
                    Ok(Progress::Complete { consumed }) => {
                        work.buffer.consume(consumed);
                        exchange.bytes_in += consumed as u64;
                        return Head::Complete;
                    }
                    Ok(Progress::Partial) => {}
                    Err(error) => return Head::Invalid(error),
                }
                if work.buffer.is_full() {
                    work.buffer.grow(limits.head_bytes + 1024);
                }
            }
            if !timed {
                timed = true;
                self.deadline.set(patience);
            }
            match self.fill(work).await {
                Ok(0) if work.buffer.is_empty() => return Head::Nothing,
                Ok(0) => return Head::Failed(Cause::ClientAbortRequest),
                Ok(_) => {}
                Err(Interrupted::Fired(_)) if self.is_probe(work) => return Head::Nothing,
                Err(Interrupted::Fired(_)) => return Head::Failed(Cause::RequestTimeout),
                Err(Interrupted::Io) if work.buffer.is_empty() => return Head::Nothing,
                Err(Interrupted::Io) => return Head::Failed(Cause::ClientAbortRequest),
            }
        }
    }

    /// Reads once from the client, until the deadline. 0 = the end.
    pub async fn fill(&mut self, work: &mut Workspace) -> Result<usize, Interrupted> {
        let (stream, deadline) = (&mut self.stream, &self.deadline);
        std::future::poll_fn(|cx| match work.buffer.poll_fill(stream, cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Interrupted::Io)),
            Poll::Pending => deadline.poll_fired(cx).map(|fired| Err(Interrupted::Fired(fired))),
        })
        .await
    }

    /// A head that must not be served: one answer, then the end.
    async fn refuse(&mut self, work: &mut Workspace, exchange: &mut Exchange, error: HeadError) -> After {
        exchange.bad_request = true;
        exchange.number = self.requests + 1;
        self.keep_invalid(exchange, work.buffer.bytes(), false);
        exchange.bytes_in += work.buffer.len() as u64;
        let too_big = matches!(error.kind, HeadErrorKind::TooBig | HeadErrorKind::TargetTooLong);
        exchange.fail(if too_big { Cause::RequestTooBig } else { Cause::BadRequest });
        if self.site.plan.hosts.is_some() {
            exchange.refused_line = first_line(work.buffer.bytes());
            return Box::pin(crate::host::refuse(self, work, exchange, error.status)).await;
        }
        let own = answer::error_page(error.status, &exchange.pages(), None);
        exchange::say(self, work, exchange, own).await
    }

    /// Keeps an invalid message for the operator.
    pub fn keep_invalid(&self, exchange: &Exchange, bytes: &[u8], response: bool) {
        let server = exchange.server.as_ref().filter(|_| response);
        let client = match exchange.client {
            Peer::Ip(address) => address.to_string(),
            Peer::Unix => "unix:0".to_owned(),
        };
        self.site.process.invalids.keep(Invalid {
            at_ms: (self.local.wall_us(clock::now()) / 1000) as u64,
            site: (self.site.plan.name.clone(), self.site.plan.id),
            pool: exchange.pool.as_ref().map(|pool| (pool.plan.name.clone(), pool.plan.id)),
            server: server.map(|server| (server.plan.name.clone(), server.plan.id)),
            response,
            client,
            bytes: bytes.to_vec(),
        });
    }

    /// The client stalled or left inside a head.
    async fn gave_up(&mut self, work: &mut Workspace, exchange: &mut Exchange, cause: Cause) -> After {
        exchange.bad_request = true;
        exchange.bytes_in += work.buffer.len() as u64;
        exchange.fail(cause);
        if self.site.plan.hosts.is_some() {
            // Nobody is answered who never asked.
            return match cause {
                Cause::RequestTimeout if self.requests == 0 && work.buffer.is_empty() => After::Close,
                Cause::RequestTimeout => Box::pin(crate::host::refuse(self, work, exchange, 408)).await,
                _ => After::Close,
            };
        }
        let own = answer::error_page(cause.status(), &exchange.pages(), None);
        exchange::say(self, work, exchange, own).await
    }

    /// A client that never sent a byte: 408, unless such probes are to be ignored.
    async fn silent(&mut self) -> After {
        if self.site.plan.http.ignore_probes {
            return After::Close;
        }
        self.without_request(Cause::RequestTimeout).await
    }

    /// Whether connections without a byte count for nothing. The others are told, counted and logged.
    fn ignores_probes(&self) -> bool {
        self.site.plan.http.ignore_probes || self.local.is_stopping()
    }

    /// Nothing ever came, and that counts for nothing.
    fn is_probe(&self, work: &Workspace) -> bool {
        self.requests == 0 && work.buffer.is_empty() && self.ignores_probes()
    }

    async fn without_request(&mut self, cause: Cause) -> After {
        let mut work = self.local.workspace();
        let mut exchange = Exchange::new(self, self.since, self.since);
        self.count_request();
        let after = self.gave_up(&mut work, &mut exchange, cause).await;
        exchange.finish(self, &mut work);
        self.local.give_back(work);
        after
    }

    /// True when the connection may serve another request after this one.
    pub fn may_keep(&self, request: &RequestHead) -> bool {
        use plan::site::ConnectionMode::Close;
        let closing = self.site.plan.http.connection == Close;
        request.keep_alive() && !closing && !self.local.is_stopping()
    }

    /// Writes all of `bytes`; false when the client is gone or stalls.
    pub async fn write_all(&mut self, bytes: &[u8], exchange: &mut Exchange) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.deadline.set(exchange.client_timeout());
            let (stream, deadline) = (&mut self.stream, &self.deadline);
            let wrote = std::future::poll_fn(|cx| poll_write(stream, deadline, cx, rest)).await;
            match wrote {
                Ok(n) => {
                    exchange.bytes_out += n as u64;
                    rest = &rest[n..];
                }
                Err(cause) => {
                    exchange.fail(cause);
                    return false;
                }
            }
        }
        true
    }

    /// The body of a small request (a form of the statistics page), bounded by the buffer.
    pub async fn small_body(&mut self, work: &mut Workspace) -> Vec<u8> {
        let BodyFraming::Length(length) = work.request.framing() else { return Vec::new() };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(work.buffer.size());
        self.deadline.set(self.site.plan.timeouts.client.or(Some(LINGER)));
        while work.buffer.len() < length {
            match self.fill(work).await {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
        work.buffer.bytes()[..length.min(work.buffer.len())].to_vec()
    }

    async fn finish(&mut self, after: After) {
        match after {
            After::End => {}
            After::KeepAlive | After::Close => self.linger().await,
            After::Cut | After::Vanish => self.stream.reset_on_close(),
        }
    }

    /// Ends our side, then reads what the client still sends, for a while: closing with unread bytes
    /// would reset the connection and could destroy the answer on its way (RFC 9112, 9.6).
    async fn linger(&mut self) {
        let _ = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
        self.deadline.set(Some(LINGER));
        let mut sink = self.local.worker.buffers.take();
        let mut left = LINGER_BYTES;
        let (stream, deadline) = (&mut self.stream, &self.deadline);
        while left > 0 {
            sink.clear();
            let read = std::future::poll_fn(|cx| match sink.poll_fill(stream, cx) {
                Poll::Ready(Ok(n)) => Poll::Ready(n),
                Poll::Ready(Err(_)) => Poll::Ready(0),
                Poll::Pending => deadline.poll_fired(cx).map(|_| 0),
            })
            .await;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        self.local.worker.buffers.give(sink);
    }
}

/// What a log shows of a head that was refused: its first line, as far as it came and is not too long.
fn first_line(bytes: &[u8]) -> Option<Box<[u8]>> {
    const SHOWN: usize = 2048;
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = &bytes[start..];
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
    Some(line[..end.min(SHOWN)].into())
}

/// What became of reading a head.
enum Head {
    Complete,
    /// The connection ended before a byte.
    Nothing,
    Invalid(HeadError),
    Failed(Cause),
}

/// Why reading from a client ended without bytes.
pub(crate) enum Interrupted {
    Fired(#[allow(dead_code)] Fired),
    Io,
}

fn poll_write(
    stream: &mut Stream,
    deadline: &Deadline,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<Result<usize, Cause>> {
    let gone = |_: io::Error| Cause::ClientAbortData;
    match Pin::new(stream).poll_write(cx, bytes) {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(Cause::ClientAbortData)),
        Poll::Ready(result) => Poll::Ready(result.map_err(gone)),
        Poll::Pending => deadline.poll_fired(cx).map(|_| Err(Cause::ClientTimeoutData)),
    }
}
