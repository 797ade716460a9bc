//! Content from servers: a request of a location at the servers of a pool.
//!
//! ```text
//!   target ──► body ──► head ──► place ──► connection ──► answer ──► transfer ──► Done
//!                                 ▲                          │
//!                                 └── the next server ◄──────┤
//!                                      error page, other place of ours ◄──┘
//! ```
//!
//! The request that goes to a server is written anew ([`head`]); that of the client stays as it is. What failed has a
//! cause, and the plan says whether another server is asked.

mod answer;
mod cache;
mod facts;
mod head;
mod line;
mod receive;
mod rewrite;
mod spool;
mod tank;
mod target;
mod transfer;

use super::{Turn, Visit, reply};
use crate::attempt;
use crate::body::Pump;
use crate::client::Conn;
use crate::exchange::{After, Exchange};
use crate::local::Workspace;
use crate::scene::Scene;
use crate::sticky;
use ::cache::Writer;
pub(super) use answer::add_kept;
pub(super) use cache::serve_kept;
use cache::{Answered, Fetch, Looked};
use head::{BodyAhead, Outgoing};
use line::{Kind, Line, Lost, Sending};
use plan::host::Proxy;
use plan::rule::{UpstreamFact, Value, VisitFact};
use pool::{Admission, Ask, Journey, Pool, Server, Slot};
use receive::Unread;
use smallvec::SmallVec;
use spool::Spool;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tasks::clock;
use telemetry::Cause;
use transfer::{Held, Released, Transfer};
use wire::http1::{
    self, BodyFraming, Fields, Name, ResponseEdit, ResponseHead, Version, internal_target, write_response,
};

/// What a visit keeps of its ways to servers.
#[derive(Default)]
pub(crate) struct State {
    /// The client's body once it was read whole.
    body: Option<Rc<Spool>>,
    tries: facts::Tries,
    /// The last answer of a server as it came.
    answer: Option<Box<ResponseHead>>,
    /// Trailers behind it.
    trailers: Fields,
    /// What the server is called, and its port.
    name: Vec<u8>,
    port: Vec<u8>,
    /// Fields that the next answer of ours gets.
    kept: Fields,
    /// What the cache had to do with it.
    cache: cache::Seen,
    /// What is kept under this key is over when the request succeeds.
    changes: Option<(Arc<::cache::Zone>, Vec<u8>)>,
}

/// A request on its way from server to server.
struct Trip<'p> {
    proxy: &'p Proxy,
    pool: Arc<Pool>,
    outgoing: Outgoing,
    body: Sending,
    /// Servers that failed, by uid.
    tried: SmallVec<[u32; 4]>,
    /// Its way through servers with smooth balancing.
    journey: RefCell<Journey>,
    /// The value of the server that it sticks to.
    hint: Option<Box<[u8]>>,
    /// Tries that are left.
    left: u32,
    begun: Duration,
    /// Part of a streamed body is gone.
    spent: bool,
    /// The answer may be kept.
    fetch: Option<Fetch<'p>>,
    /// The answer that the client gets before the server is asked.
    first: Option<Arc<::cache::Entry>>,
}

/// Answers by a server.
pub(super) async fn serve(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    proxy: &Arc<Proxy>,
) -> Turn {
    match prepared(conn, work, exchange, proxy).await {
        Ok(mut trip) => match trip.first.take() {
            Some(entry) => behind(conn, work, exchange, trip, &entry).await,
            None => trip.run(conn, work, exchange).await,
        },
        Err(turn) => turn,
    }
}

/// Everything before a server is asked.
async fn prepared<'p>(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    proxy: &'p Proxy,
) -> Result<Trip<'p>, Turn> {
    let target = target::find(conn, work, exchange, proxy).await?;
    let key_name = if proxy.cache.is_some() { target.name.clone() } else { Vec::new() };
    let location = match exchange.visit.as_deref_mut() {
        Some(visit) => {
            visit.proxy.tries.begin_location();
            (visit.proxy.name, visit.proxy.port) = (target.name, target.port);
            Arc::clone(&visit.location)
        }
        None => return Err(Turn::Done(After::Close)),
    };
    exchange.pool = Some(Arc::clone(&target.pool));
    exchange.say_course(&proxy.timeouts, location.settings.client.send_timeout, !proxy.ignore_client_abort);
    let body = body(conn, work, exchange, proxy).await?;
    let ahead = match &body {
        Sending::Nothing if work.request.framing() == BodyFraming::Length(0) => BodyAhead::Length(0),
        Sending::Nothing => BodyAhead::Nothing,
        Sending::Kept(spool) => BodyAhead::Length(spool.length()),
        Sending::Streamed(BodyFraming::Length(length)) => BodyAhead::Length(*length),
        Sending::Streamed(_) => BodyAhead::Chunked,
    };
    let uri = target.uri.as_deref();
    let looked = cache::look(conn, work, exchange, proxy, |exchange, work| {
        let mut url = [b"http://", &key_name[..]].concat();
        head::path(exchange, work, proxy, uri, &mut url).map(|()| url)
    });
    let (fetch, first) = match looked.await {
        Looked::Passed => (None, None),
        Looked::Turn(turn) => return Err(turn),
        Looked::Fetch(fetch) => (Some(fetch), None),
        Looked::Background(fetch, entry) => (Some(fetch), Some(entry)),
    };
    let outgoing = head::write(exchange, work, proxy, uri, ahead, fetch.as_ref()).map_err(|status| {
        exchange.fail(Cause::Internal);
        Turn::Fail(status)
    })?;
    let servers = target.pool.chances().unwrap_or_else(|| {
        let servers = target.pool.usable() + target.pool.usable_backups();
        u32::try_from(servers).unwrap_or(u32::MAX)
    });
    let left = match (proxy.next.tries, servers) {
        (0, servers) => servers,
        (tries, servers) => tries.min(servers),
    };
    let hint = sticky::hint(&target.pool, exchange, &work.request);
    Ok(Trip {
        hint,
        proxy,
        pool: target.pool,
        outgoing,
        body,
        tried: SmallVec::new(),
        journey: RefCell::default(),
        left,
        begun: clock::now(),
        spent: false,
        fetch,
        first,
    })
}

/// The body that goes to servers. It is read whole first, unless it is to be passed on as it comes.
async fn body(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    proxy: &Proxy,
) -> Result<Sending, Turn> {
    let framing = work.request.framing();
    let here = crate::course::is_enough(work.buffer.bytes(), framing, 0);
    let streams = !proxy.buffer_request
        && proxy.pass_body
        && proxy.set_body.is_none()
        && framing != BodyFraming::None
        && !(proxy.old_version && framing == BodyFraming::Chunked)
        && !here;
    if streams {
        return match receive::go_on(conn, work, exchange).await {
            Ok(()) => Ok(Sending::Streamed(framing)),
            Err(unread) => Err(exchange.unread(unread)),
        };
    }
    if let Err(unread) = receive::whole(conn, work, exchange).await {
        return Err(exchange.unread(unread));
    }
    if let Some(template) = &proxy.set_body {
        return Ok(Sending::Kept(Rc::new(Spool::of(super::text(exchange, work, template)))));
    }
    let kept = exchange.visit.as_deref().and_then(|visit| visit.proxy.body.clone());
    Ok(match kept {
        Some(spool) if proxy.pass_body && !head::hides_length(proxy) => Sending::Kept(spool),
        _ => Sending::Nothing,
    })
}

impl Exchange {
    /// What follows when a body could not be read.
    fn unread(&mut self, unread: Unread) -> Turn {
        match unread {
            Unread::Failed(status) => Turn::Fail(status),
            Unread::Gone(status) => {
                self.status = Some(status);
                Turn::Done(After::End)
            }
        }
    }

    fn upstream(&mut self) -> Option<&mut State> {
        self.visit.as_deref_mut().map(|visit| &mut visit.proxy)
    }

    /// Ends the try at hand.
    fn end_try(&mut self, status: Option<u16>) {
        let now = clock::now();
        if let Some(one) = self.upstream().and_then(|state| state.tries.now()) {
            one.status = status.unwrap_or(one.status);
            one.response.get_or_insert(now.saturating_sub(one.begun));
        }
    }
}

impl Trip<'_> {
    async fn run(&mut self, conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Turn {
        loop {
            let slot = match self.place(conn, work, exchange).await {
                Ok(slot) => slot,
                Err(lost) => return self.nobody(conn, exchange, &lost),
            };
            let server = Arc::clone(slot.server());
            exchange.begin_at(conn.local.worker.index, &server);
            conn.ticket.seat().at_server(server.plan.id);
            let address = address_of(&server);
            if let Some(state) = exchange.upstream() {
                state.tries.begin(&address, clock::now());
            }
            let lost = match self.at(conn, work, exchange, slot, &server).await {
                Ok(turn) => return turn,
                Err(lost) => lost,
            };
            if let Some(turn) = self.after_loss(conn, exchange, &server, &lost) {
                return turn;
            }
        }
    }

    /// A place at a server, waiting in a queue if need be.
    async fn place(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
    ) -> Result<Slot, Lost> {
        let admission = {
            let scene = Scene { exchange, request: &work.request, response: None };
            let mut memory = [0u8; 16];
            let key = attempt::key(&self.pool, &scene, &mut memory);
            let ask = Ask {
                key: key.as_deref(),
                tried: &self.tried,
                journey: Some(&self.journey),
                hint: self.hint.as_deref(),
                worker: conn.local.worker.index,
                may_wait: true,
                ..Ask::default()
            };
            self.pool.admit(&ask)
        };
        let slot = match admission {
            Admission::Served(slot) => Ok(slot),
            Admission::Refused(cause) => Err(cause),
            Admission::Wait(waiting) => {
                exchange.server_queue = waiting.server_queue_place() as u32;
                exchange.pool_queue = waiting.pool_queue_place() as u32;
                let slot = Box::pin(attempt::queue(conn, work, exchange, &self.pool, waiting)).await;
                slot.inspect(|slot| self.journey.borrow_mut().note(slot.server()))
            }
        };
        exchange.times.queued = Some(clock::now());
        slot.map_err(Lost::new)
    }

    /// No server takes it.
    fn nobody(&mut self, conn: &Conn, exchange: &mut Exchange, lost: &Lost) -> Turn {
        let name = self.pool.plan.name.clone();
        if let Some(state) = exchange.upstream() {
            state.tries.begin(&name, clock::now());
        }
        exchange.end_try(Some(502));
        self.give_up(conn, exchange, lost)
    }

    /// What follows a loss: `None` = the next server.
    fn after_loss(
        &mut self,
        conn: &Conn,
        exchange: &mut Exchange,
        server: &Arc<Server>,
        lost: &Lost,
    ) -> Option<Turn> {
        conn.deadline.watch(None);
        let race = lost.cause == Cause::KeepAliveRace;
        if race {
            self.journey.get_mut().forgive(server);
        } else {
            self.left = self.left.saturating_sub(1);
            self.tried.push(server.uid);
        }
        let sent = exchange.upstream().and_then(|state| state.tries.now()).is_some_and(|one| one.sent > 0);
        let again = self.may_go_on(lost, sent);
        exchange.end_try(Some(status_of(lost)));
        exchange.note_failure(conn.local.worker.index, server, lost.cause, again);
        if race {
            // Its other idle connections are likely to be as dead.
            conn.local.idle.room(conn.local.worker.index).purge(|other| other.uid != server.uid);
        }
        if again {
            exchange.retries += 1;
            return None;
        }
        Some(self.give_up(conn, exchange, lost))
    }

    /// Whether another server may be asked.
    fn may_go_on(&self, lost: &Lost, sent: bool) -> bool {
        let next = &self.proxy.next;
        let wanted = match lost.kind {
            Kind::Error => next.error,
            Kind::Timeout => next.timeout,
            Kind::Invalid => next.invalid_header,
            Kind::Status(status) => next.statuses.contains(&status),
            Kind::Client(..) | Kind::Ours => false,
        };
        let streamed = matches!(self.body, Sending::Streamed(_));
        let late =
            !next.timeout_after.is_zero() && clock::now().saturating_sub(self.begun) >= next.timeout_after;
        wanted
            && self.left > 0
            && !(sent && (streamed || self.spent))
            && (!sent || self.outgoing.repeatable || next.non_idempotent)
            && !late
            && self.pool.retry_allowed()
    }

    /// Nobody else is asked.
    fn give_up(&mut self, conn: &Conn, exchange: &mut Exchange, lost: &Lost) -> Turn {
        if let Some(fetch) = &mut self.fetch
            && let Some(entry) = fetch.failed(conn, exchange, lost.kind, status_of(lost))
        {
            return Turn::Kept(entry);
        }
        exchange.fail(lost.cause);
        if self.spent {
            exchange.body_spent = true;
        }
        match lost.kind {
            Kind::Client(status, false) => {
                exchange.status = Some(status);
                Turn::Done(if status == 499 { After::Cut } else { After::End })
            }
            _ => Turn::Fail(status_of(lost)),
        }
    }

    /// One try.
    async fn at(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
        slot: Slot,
        server: &Arc<Server>,
    ) -> Result<Turn, Lost> {
        let connection = match attempt::connect(conn, work, exchange, server).await {
            Ok(connection) => connection,
            Err(failure) => return Err(blamed(slot, Lost::new(failure.cause))),
        };
        if let Some(one) = exchange.upstream().and_then(|state| state.tries.now()) {
            one.connect = Some(clock::now().saturating_sub(one.begun));
            one.address = connection.endpoint.to_string().into();
        }
        let memory = std::mem::take(&mut work.out);
        let mut line =
            Line::begin(&conn.local.worker.buffers, memory, &self.outgoing, &self.body, connection);
        let mut buffer = conn.local.worker.buffers.take();
        let mut answer = exchange.upstream().and_then(|state| state.answer.take()).unwrap_or_default();
        let read = line::answer_head(
            conn,
            work,
            exchange,
            (self.proxy, &self.outgoing),
            &mut line,
            &mut buffer,
            &mut answer,
        )
        .await;
        self.spent |= matches!(self.body, Sending::Streamed(_)) && line.up.has_begun();
        if let Some(one) = exchange.upstream().and_then(|state| state.tries.now()) {
            (one.received, one.sent) = (line.received, line.up.written);
        }
        if let Err(lost) = read {
            exchange.bytes_in += line.taken();
            return Err(blamed(slot, lost));
        }
        let head_bytes = line.received - buffer.len() as u64;
        if let Some(one) = exchange.upstream().and_then(|state| state.tries.now()) {
            one.status = answer.status;
            one.header = Some(clock::now().saturating_sub(one.begun));
        }
        exchange.answered(conn, server, answer.status);
        let refused = Lost { cause: Cause::UnwantedStatus, kind: Kind::Status(answer.status) };
        if self.proxy.next.statuses.contains(&answer.status)
            && self.left > 1
            && self.may_go_on(&refused, true)
        {
            exchange.bytes_in += line.taken();
            if let Some(state) = exchange.upstream() {
                state.answer = Some(answer);
            }
            return Err(blamed(slot, refused));
        }
        exchange.count_status(answer.status);
        if let Some(line) = sticky::cookie(&self.pool, server, exchange, &work.request) {
            answer.fields.append(b"Set-Cookie", &line);
        }
        if let Some(state) = exchange.upstream() {
            state.answer = Some(answer);
        }
        let session = sticky::session(&self.pool, exchange, &work.request, None);
        let (now, later) = match session {
            Some(session) if session.at_head => (Some(session), None),
            later => (None, later),
        };
        if let Some(session) = now {
            session.learn(&self.pool, server);
        }
        let arrived = Arrived { held: Held { line, slot }, buffer, head_bytes };
        let turn = self.decide(conn, work, exchange, arrived).await;
        if let Some(session) = later {
            session.learn(&self.pool, server);
        }
        Ok(turn)
    }

    /// The head of an answer is there: what becomes of it.
    async fn decide(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
        arrived: Arrived,
    ) -> Turn {
        let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Done(After::Cut) };
        let Some(answer) = visit.proxy.answer.take() else { return Turn::Done(After::Cut) };
        if let Some((zone, key)) = visit.proxy.changes.take_if(|_| (200..400).contains(&answer.status)) {
            zone.invalidate(&key);
        }
        let mut writer = None;
        if let Some(fetch) = &mut self.fetch {
            match fetch.answered(conn, work, exchange, &answer) {
                Answered::Passed(kept) => writer = kept,
                Answered::Kept(entry) => {
                    self.let_go(conn, work, exchange, arrived, &answer);
                    return Turn::Kept(entry);
                }
            }
            if fetch.background {
                return self.only_keep(conn, work, exchange, arrived, &answer, writer).await;
            }
        }
        let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Done(After::Cut) };
        let orders = answer::Orders::of(&answer, &self.proxy.ignore);
        if let Some(rate) = orders.rate {
            visit.rate = Some(rate.to_string().into_bytes());
        }
        if let Some(place) = &orders.redirect {
            visit.proxy.kept = answer::kept(&answer);
            visit.proxy.answer = Some(answer);
            leave(work, exchange, arrived);
            exchange.end_try(None);
            return elsewhere(work, exchange, place);
        }
        let status = answer.status;
        if self.proxy.intercept_errors && status >= 300 && has_page(visit, status) {
            if status == 401 {
                visit.proxy.kept = answer::questions(&answer);
            }
            visit.proxy.answer = Some(answer);
            leave(work, exchange, arrived);
            exchange.end_try(None);
            if let Some(writer) = writer {
                writer.keep_status(status);
            }
            return Turn::Fail(status);
        }
        answer::take(exchange, work, self.proxy, &answer, &orders);
        let shape = self.shape(&answer);
        if let Some(state) = exchange.upstream() {
            state.answer = Some(answer);
        }
        if status == 101 {
            return Turn::Done(Box::pin(switch(conn, work, exchange, arrived)).await);
        }
        let buffered = orders.buffering.unwrap_or(self.proxy.buffers.on);
        self.respond(conn, work, exchange, arrived, &shape, (buffered, writer)).await
    }

    /// Passes the answer on.
    async fn respond(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
        arrived: Arrived,
        shape: &Shape,
        (buffered, writer): (bool, Option<Box<Writer>>),
    ) -> Turn {
        reply::dress(exchange, work, conn);
        let headless = exchange.method_as_received(&work.request) == b"HEAD";
        let squeezer = super::send::squeezer(exchange, work, conn).filter(|_| !headless);
        let old_client = work.request.version == Version::Http10;
        let sent = match shape.received {
            _ if headless => BodyFraming::None,
            _ if self.outgoing.kind.head => BodyFraming::Length(0),
            _ if squeezer.is_some() => BodyFraming::Chunked,
            BodyFraming::Chunked | BodyFraming::UntilClose if old_client => BodyFraming::UntilClose,
            BodyFraming::UntilClose => BodyFraming::Chunked,
            same => same,
        };
        let line = &arrived.held.line;
        let request_whole = line.up.is_done() || !line.up_failed;
        let keep = sent != BodyFraming::UntilClose
            && !shape.is_last
            && request_whole
            && reply::keeps(conn, work, exchange);
        let mut out = Vec::with_capacity(1024);
        let edit = ResponseEdit {
            connection: if keep { http1::Connection::KeepAlive } else { http1::Connection::Close },
            version_to_client: work.request.version,
            framing: sent,
            keeps_upgrade: true,
            keep: reply::told(exchange),
        };
        write_response(&work.response, &mut out, &edit);
        exchange.status = Some(work.response.status);
        let send = match exchange.visit.as_deref_mut() {
            Some(visit) => {
                visit.head_bytes = out.len() as u64;
                visit.send_timeout()
            }
            None => Duration::ZERO,
        };
        let mut down = Pump::new(out, shape.received, sent).keeping(writer);
        if let Some(squeezer) = squeezer {
            down.squeeze(Box::new(squeezer));
        }
        let Arrived { held, buffer, head_bytes } = arrived;
        let mut transfer = Transfer::new(down, buffer, held, self.proxy, buffered, send);
        transfer.pacer = super::send::pacer(work, exchange);
        let outcome = transfer.run(conn, work).await;
        let Transfer { mut down, buffer, released, whole, .. } = transfer;
        if let Some(writer) = down.keeper.take().filter(|_| whole) {
            cache::finish(conn, *writer);
        }
        exchange.bytes_out += down.written;
        conn.local.worker.buffers.give(buffer);
        let mut body_done = false;
        if let Some(released) = released {
            body_done = released.sent_whole;
            exchange.bytes_in += released.taken;
            self.note_end(exchange, &released, head_bytes);
            self.keep_or_close(conn, work, exchange, released, shape);
        }
        match outcome {
            Err(Cause::BadChunk) if down.written == 0 => {
                exchange.status = None;
                exchange.fail(Cause::BadChunk);
                exchange.body_spent |= !body_done;
                Turn::Fail(502)
            }
            Err(cause) => {
                exchange.fail(cause);
                let client = matches!(cause, Cause::ClientAbortData | Cause::ClientTimeoutData);
                Turn::Done(if client { After::Cut } else { After::End })
            }
            Ok(()) => Turn::Done(match (keep, body_done && work.buffer.is_empty()) {
                (true, _) if body_done => reply::keep_open(conn, exchange),
                (_, true) => After::End,
                _ => After::Close,
            }),
        }
    }

    /// Nobody but the cache takes the answer.
    async fn only_keep(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
        arrived: Arrived,
        answer: &ResponseHead,
        writer: Option<Box<Writer>>,
    ) -> Turn {
        let shape = self.shape(answer);
        let Arrived { held, buffer, head_bytes } = arrived;
        let Some(writer) = writer else { return Turn::Done(After::End) };
        let down = Pump::new(Vec::new(), shape.received, BodyFraming::None).keeping(Some(writer));
        let mut transfer = Transfer::new(down, buffer, held, self.proxy, false, Duration::ZERO);
        transfer.alone();
        let _ = transfer.run(conn, work).await;
        let Transfer { mut down, buffer, released, whole, .. } = transfer;
        if let Some(writer) = down.keeper.take().filter(|_| whole) {
            cache::finish(conn, *writer);
        }
        conn.local.worker.buffers.give(buffer);
        if let Some(released) = released {
            self.note_end(exchange, &released, head_bytes);
            self.keep_or_close(conn, work, exchange, released, &shape);
        }
        Turn::Done(After::End)
    }

    /// The server has said all: its connection serves again if nothing is left in it.
    fn let_go(
        &self,
        conn: &Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
        arrived: Arrived,
        answer: &ResponseHead,
    ) {
        let shape = self.shape(answer);
        exchange.end_try(None);
        let Arrived { held: Held { line, slot }, buffer, .. } = arrived;
        drop(slot);
        let reusable = shape.received == BodyFraming::None
            && shape.keeps
            && buffer.is_empty()
            && line.up.is_done()
            && !line.up_failed
            && !self.outgoing.closes
            && exchange.server_keeps();
        exchange.bytes_in += line.taken();
        work.request.set_framing(BodyFraming::None);
        conn.local.worker.buffers.give(buffer);
        exchange.release(conn, line.split().0, reusable);
    }

    fn shape(&self, answer: &ResponseHead) -> Shape {
        Shape {
            received: answer.framing(self.outgoing.kind),
            keeps: answer.keep_alive(),
            is_last: answer.is_last(),
            announces: attempt::announces_body(answer),
        }
    }

    fn note_end(&self, exchange: &mut Exchange, released: &Released, head_bytes: u64) {
        if let Some(one) = exchange.upstream().and_then(|state| state.tries.now()) {
            one.response = Some(released.at.saturating_sub(one.begun));
            (one.received, one.sent) = (released.received, released.sent);
            one.length = released.received.saturating_sub(head_bytes);
        }
    }

    /// The server connection serves again, or ends.
    fn keep_or_close(
        &self,
        conn: &Conn,
        work: &mut Workspace,
        exchange: &Exchange,
        released: Released,
        shape: &Shape,
    ) {
        let Released { mut connection, memory, clean, sent_whole, .. } = released;
        if memory.capacity() > work.out.capacity() {
            work.out = memory;
        }
        let reusable = clean
            && sent_whole
            && shape.keeps
            && shape.received != BodyFraming::UntilClose
            && !self.outgoing.closes
            && exchange.server_keeps();
        if reusable && self.outgoing.kind.head && shape.announces {
            connection.distrust();
        }
        exchange.release(conn, connection, reusable);
    }
}

/// The client gets a stale answer at once, and the server is asked behind it. What the request itself came to is not
/// touched by that.
async fn behind(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    mut trip: Trip<'_>,
    entry: &Arc<::cache::Entry>,
) -> Turn {
    let turn = cache::serve_kept(conn, work, exchange, entry).await;
    let Turn::Done(after) = turn else { return turn };
    let (status, cause) = (exchange.status, exchange.cause);
    let take = |state: &mut State| (std::mem::take(&mut state.tries), std::mem::take(&mut state.cache));
    let seen = exchange.upstream().map(take);
    let _ = Box::pin(trip.run(conn, work, exchange)).await;
    (exchange.status, exchange.cause) = (status, cause);
    if let (Some(state), Some((tries, cache))) = (exchange.upstream(), seen) {
        (state.tries, state.cache) = (tries, cache);
    }
    Turn::Done(after)
}

/// What a kept answer orders besides being sent.
fn ordered(
    work: &mut Workspace,
    exchange: &mut Exchange,
    proxy: &Proxy,
    answer: &ResponseHead,
    orders: &answer::Orders,
) -> Option<Turn> {
    let visit = exchange.visit.as_deref_mut()?;
    if let Some(rate) = orders.rate {
        visit.rate = Some(rate.to_string().into_bytes());
    }
    if let Some(place) = &orders.redirect {
        visit.proxy.kept = answer::kept(answer);
        return Some(elsewhere(work, exchange, place));
    }
    if proxy.intercept_errors && answer.status >= 300 && has_page(visit, answer.status) {
        return Some(Turn::Fail(answer.status));
    }
    None
}

/// An answer whose head was read.
struct Arrived {
    held: Held,
    buffer: tasks::Buffer,
    head_bytes: u64,
}

/// How an answer is framed, and what follows.
struct Shape {
    received: BodyFraming,
    keeps: bool,
    is_last: bool,
    announces: bool,
}

/// The answer will not be the server's.
fn leave(work: &mut Workspace, exchange: &mut Exchange, arrived: Arrived) {
    let line = arrived.held.line;
    exchange.bytes_in += line.taken();
    if line.up.is_done() && !line.up_failed {
        work.request.set_framing(BodyFraming::None);
    } else if line.up.has_begun() {
        exchange.body_spent = true;
    }
}

/// The place of ours that a server named.
fn elsewhere(work: &mut Workspace, exchange: &mut Exchange, place: &[u8]) -> Turn {
    if let Some(name) = place.strip_prefix(b"@") {
        return super::change(exchange, |visit| visit.go_to(name));
    }
    let Ok((path, arguments)) = internal_target(place) else { return Turn::Fail(404) };
    let (path, arguments) = (path.into_owned(), arguments.map(<[u8]>::to_vec));
    if work.request.method() != b"HEAD" {
        exchange.keep_target(&work.request);
        work.request.set_method(b"GET");
    }
    super::change(exchange, |visit| visit.redirect(path, arguments))
}

fn has_page(visit: &Visit, status: u16) -> bool {
    visit.location.settings.error_pages.iter().any(|page| page.statuses.contains(&status))
}

/// The server's balancing hears of a loss that is the server's.
fn blamed(mut slot: Slot, lost: Lost) -> Lost {
    match lost.kind {
        Kind::Status(403 | 404) | Kind::Client(..) | Kind::Ours => {}
        _ if lost.cause == Cause::KeepAliveRace => {}
        _ => slot.fail(),
    }
    lost
}

/// Status that a client gets for a loss.
fn status_of(lost: &Lost) -> u16 {
    match lost.kind {
        Kind::Error | Kind::Invalid => 502,
        Kind::Timeout => 504,
        Kind::Status(status) | Kind::Client(status, _) => status,
        Kind::Ours => 500,
    }
}

fn address_of(server: &Server) -> String {
    server.address().to_string()
}

/// 101: from now on bytes pass both ways until one side ends.
async fn switch(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, arrived: Arrived) -> After {
    let Arrived { held, mut buffer, head_bytes } = arrived;
    let Held { mut line, slot } = held;
    exchange.status = Some(101);
    reply::dress(exchange, work, conn);
    let mut out = Vec::with_capacity(512);
    let edit = ResponseEdit {
        connection: http1::Connection::Upgrade,
        version_to_client: Version::Http11,
        framing: BodyFraming::None,
        ..ResponseEdit::default()
    };
    write_response(&work.response, &mut out, &edit);
    if let Some(visit) = exchange.visit.as_deref_mut() {
        visit.head_bytes = out.len() as u64;
    }
    if !conn.write_all(&out, exchange).await {
        return After::Cut;
    }
    let before = (exchange.bytes_out, exchange.bytes_in);
    crate::tunnel::run(conn, work, exchange, &mut line.connection.stream, &mut buffer).await;
    let (down, up) = (exchange.bytes_out - before.0, exchange.bytes_in - before.1);
    if let Some(one) = exchange.upstream().and_then(|state| state.tries.now()) {
        (one.length, one.received, one.sent) = (down, head_bytes + down, one.sent + up);
    }
    exchange.end_try(None);
    drop(slot);
    After::End
}

/// Facts about servers.
pub(super) fn fact<'s>(_: &'s Scene<'_>, visit: &'s Visit, fact: &VisitFact) -> Option<Value<'s>> {
    let state = &visit.proxy;
    let answer = || state.answer.as_deref();
    Some(match fact {
        VisitFact::Body => Value::text(state.body.as_deref()?.in_memory()?),
        VisitFact::BodyFile => Value::owned(state.body.as_deref()?.path()?.as_os_str().as_encoded_bytes()),
        VisitFact::ProxyHost => Value::text(&state.name),
        VisitFact::ProxyPort => Value::text(&state.port),
        VisitFact::Upstream(UpstreamFact::CacheStatus) => Value::text(state.cache.status?.word().as_bytes()),
        VisitFact::Upstream(UpstreamFact::CacheLastModified) => {
            Value::owned(state.cache.stale.as_deref()?.last_modified()?)
        }
        VisitFact::Upstream(what) => Value::owned(state.tries.fact(*what)?),
        VisitFact::UpstreamHeader(name) => {
            Value::owned(super::variables::field(&answer()?.fields, name, b", ")?)
        }
        VisitFact::UpstreamCookie(name) => Value::owned(cookie(&answer()?.fields, name.as_bytes())?),
        VisitFact::UpstreamTrailer(name) => {
            Value::owned(super::variables::field(&state.trailers, name, b", ")?)
        }
        _ => return None,
    })
}

/// Value of a cookie that the server set.
fn cookie(fields: &Fields, name: &[u8]) -> Option<Vec<u8>> {
    fields.find_all(Name::SetCookie).find_map(|line| {
        let pair = line.split(|byte| *byte == b';').next()?;
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let spaces = |text: &[u8]| text.iter().take_while(|byte| **byte == b' ').count();
        let (key, value) = (&pair[spaces(pair)..at.max(spaces(pair))], &pair[at + 1..]);
        let key = &key[..key.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1)];
        key.eq_ignore_ascii_case(name).then(|| value.trim_ascii().to_vec())
    })
}
