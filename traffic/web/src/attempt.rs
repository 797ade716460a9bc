//! A request at a server: choose, connect, send, wait, and when that fails, decide whether to try again.
//!
//! A request is tried again only when nothing of it can have been done: the connection failed, or it is
//! idempotent (RFC 9110, 9.2.2) and no byte of an answer came. What was sent is kept until then.
//!
//! Rare ways are boxed futures: the usual way of a request stays small enough for the processor's caches.

use crate::body::{Pump, PumpError, Side};
use crate::client::Conn;
use crate::course::{self, Errand, is_enough};
use crate::exchange::{self, After, Exchange, fail};
use crate::local::Workspace;
use crate::persistence::{self, Weight};
use crate::rules::{self, Denied, Verdict};
use crate::scene::Scene;
use crate::squeeze::{self, Squeezer};
use crate::sticky;
use plan::pool::{Balance, Redispatch};
use plan::rule::{Facts, TimeoutKind, WaitForBody};
use plan::smooth::SmoothMethod;
use pool::{Admission, Ask, Connection, Journey, Pool, Server, Slot, WaitReason};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tasks::{Buffer, Fired, Stream, clock};
use telemetry::Cause;
use wire::http1::{
    self, BodyFraming, HeadErrorKind, Limits, Progress, RequestEdit, ResponseEdit, ResponseHead, Version,
    parse_response, write_request, write_response,
};

/// Interim answers (1xx) of one request that are passed on before the server is taken for broken.
const INTERIM_ANSWERS: u32 = 100;

/// Serves the request by a server of `pool`.
pub(crate) async fn proxy(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    pool: &Arc<Pool>,
) -> After {
    let weight = Weight::of(pool, exchange, &work.request);
    let bound = persistence::bound(pool, exchange, &work.request, weight);
    let bound = match pool.plan.server_rules.is_empty() {
        true => bound,
        false => persistence::chosen(pool, exchange, &work.request).or(bound),
    };
    let bound = if pool.plan.stick.is_empty() {
        bound
    } else {
        persistence::stuck(pool, exchange, &work.request, bound, weight)
    };
    persistence::hide(pool, &mut work.request);
    let mut tries = Tries::new(pool, bound, weight, exchange.said_tries());
    tries.hint = sticky::hint(pool, exchange, &work.request);
    conn.ticket.seat().at_pool(pool.plan.id);
    loop {
        let mut slot = match acquire(conn, work, exchange, pool, &tries).await {
            Ok(slot) => slot,
            Err(Cause::ClientAbortQueue) => return gone(exchange, Cause::ClientAbortQueue),
            Err(cause) => return Box::pin(fail(conn, work, exchange, tries.cause(cause))).await,
        };
        let server = Arc::clone(slot.server());
        if tries.returns_to(pool, &server)
            && let Err(cause) = Box::pin(rest(conn, work, exchange, &server)).await
        {
            if cause == Cause::ServerWentDown {
                return Box::pin(fail(conn, work, exchange, tries.cause(Cause::AllDown))).await;
            }
            return gone(exchange, cause);
        }
        exchange.begin_at(conn.local.worker.index, &server);
        conn.ticket.seat().at_server(server.plan.id);
        if let Some(prefix) = &server.plan.redirect_prefix {
            return Box::pin(redirected(conn, work, exchange, prefix)).await;
        }
        let failure = match connect(conn, work, exchange, &server).await {
            Err(failure) => failure,
            Ok(connection) => match at_server(conn, work, exchange, connection, &tries).await {
                Ok(after) => {
                    sticky::at_end(pool, &server, exchange, work);
                    return after;
                }
                Err(failure) => failure,
            },
        };
        if is_fault_of_server(failure.cause, work.response.status) {
            slot.fail();
        }
        drop(slot);
        conn.deadline.watch(None);
        let again = tries.again(pool, exchange, &server, &failure);
        exchange.note_failure(conn.local.worker.index, &server, failure.cause, again);
        if failure.cause == Cause::KeepAliveRace {
            // Its other idle connections are likely to be as dead.
            conn.local.idle.room(conn.local.worker.index).purge(|other| other.uid != server.uid);
        }
        if !again {
            return Box::pin(failed(conn, work, exchange, failure)).await;
        }
    }
}

/// The longest wait before a server that refused a connection is asked once more.
const TURN_AROUND: Duration = Duration::from_secs(1);

/// Gives a server that could not be connected to some time, while watching the client. Checks that take the server
/// out meanwhile end the wait.
async fn rest(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &Exchange,
    server: &Server,
) -> Result<(), Cause> {
    let connect = exchange.pool.as_ref().and_then(|pool| pool.plan.timeouts.connect);
    conn.deadline.set(Some(connect.map_or(TURN_AROUND, |connect| connect.min(TURN_AROUND))));
    conn.deadline.watch(Some(server.uid));
    let mut watch = ClientWatch::new(exchange.abort_on_close());
    let (stream, deadline, buffer) = (&mut conn.stream, &conn.deadline, &mut work.buffer);
    let waited = std::future::poll_fn(|cx| match watch.poll_gone(cx, stream, buffer) {
        true => Poll::Ready(Err(Cause::ClientAbortConnect)),
        false => deadline.poll_fired(cx).map(|fired| match fired {
            Fired::Watched if !server.is_up() => Err(Cause::ServerWentDown),
            _ => Ok(()),
        }),
    })
    .await;
    conn.deadline.watch(None);
    waited
}

/// The client left before a server had its request: nobody is there to be answered.
fn gone(exchange: &mut Exchange, cause: Cause) -> After {
    if cause == Cause::ClientAbortQueue {
        // All of its time was waiting, and the log says how long that was.
        exchange.times.queued = Some(clock::now());
    }
    exchange.fail(cause);
    After::Cut
}

/// What was tried so far.
pub(crate) struct Tries {
    /// Servers that failed, by uid.
    tried: SmallVec<[u32; 4]>,
    bound: Option<Arc<Server>>,
    /// Only the server it is bound to will do.
    stays: bool,
    /// How much it counts that it is bound.
    weight: Weight,
    left: u32,
    /// Its way through servers with smooth balancing.
    journey: RefCell<Journey>,
    /// The value of the server that it sticks to.
    hint: Option<Box<[u8]>>,
    /// Of the last failure.
    last: Option<Cause>,
}

/// Why a try failed.
pub(crate) struct Failure {
    pub cause: Cause,
    /// How far the request may have come.
    reach: Reach,
    /// A response head had begun to leave, so no answer of ours may follow.
    answered: bool,
}

/// How far a request may have come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Not a byte left us.
    Nothing,
    /// It may have been read, but all of it is still here.
    Sent,
    /// Part of its body is gone.
    Spent,
}

impl Tries {
    fn new(pool: &Pool, bound: Option<Arc<Server>>, weight: Weight, said: Option<u32>) -> Tries {
        Tries {
            tried: SmallVec::new(),
            stays: bound.is_some() && matches!(weight, Weight::Down | Weight::Forced),
            bound,
            weight,
            left: said
                .unwrap_or(pool.plan.retry.tries)
                .min(pool.chances().map_or(u32::MAX, |chances| chances.saturating_sub(1))),
            journey: RefCell::default(),
            hint: None,
            last: None,
        }
    }

    /// True when this server could not be connected to just now, and no other one can be asked in its place.
    fn returns_to(&self, pool: &Pool, server: &Server) -> bool {
        let alone = || self.tried.last().is_some_and(|last| *last == server.uid) && pool.usable() <= 1;
        self.last.is_some_and(is_connect_failure) && (self.stays || alone())
    }

    /// The cause to report: that of the last try tells more than "no server left".
    fn cause(&self, cause: Cause) -> Cause {
        match (self.last, cause) {
            (Some(last), Cause::AllDown) => last,
            _ => cause,
        }
    }

    /// True when an answer with this status is to be thrown away for another try: the last one stands.
    fn wants_other(&self, exchange: &Exchange, status: u16) -> bool {
        let Some(pool) = &exchange.pool else { return false };
        let retry = &pool.plan.retry;
        retry.on.statuses.contains(&status)
            && !exchange.forbids_retries()
            && self.left > 0
            && exchange.idempotent
    }

    /// Decides on another try and takes note of it.
    fn again(
        &mut self,
        pool: &Arc<Pool>,
        exchange: &mut Exchange,
        server: &Arc<Server>,
        failure: &Failure,
    ) -> bool {
        self.last = Some(failure.cause);
        if failure.cause == Cause::KeepAliveRace {
            self.journey.get_mut().forgive(server);
        }
        if failure.answered || self.left == 0 || !may_repeat(pool, exchange, failure) || !pool.retry_allowed()
        {
            return false;
        }
        if failure.cause != Cause::KeepAliveRace {
            let forced = self.stays && self.weight == Weight::Forced;
            self.stays = forced || pool.plan.retry.redispatch == Redispatch::Never;
            if self.stays {
                self.bound = Some(Arc::clone(server));
            } else {
                self.tried.push(server.uid);
                if self.bound.take().is_some() && exchange.cookie_letters[0] == b'V' {
                    exchange.cookie_letters[0] = b'D';
                }
            }
        }
        self.left -= 1;
        exchange.retries += 1;
        true
    }
}

/// True when the request may be sent once more.
fn may_repeat(pool: &Pool, exchange: &Exchange, failure: &Failure) -> bool {
    let on = &pool.plan.retry.on;
    let wanted = match failure.cause {
        cause if is_connect_failure(cause) => on.connect_failure,
        Cause::ResetBeforeHead | Cause::KeepAliveRace | Cause::ServerWentDown => on.empty_response,
        Cause::ClosedInHead | Cause::InvalidHead | Cause::WrongProtocol => on.junk_response,
        Cause::HeadTooBig | Cause::Unexpected101 => on.junk_response,
        Cause::UnwantedStatus => true,
        Cause::FirstByteTimeout => on.response_timeout,
        _ => false,
    };
    let connects = matches!(
        failure.cause,
        Cause::ConnectRefused | Cause::ConnectTimeout | Cause::NoRoute | Cause::ConnectFailed
    );
    if exchange.forbids_retries() && !connects {
        return false;
    }
    let harmless = match failure.reach {
        Reach::Nothing => true,
        Reach::Sent => exchange.idempotent,
        Reach::Spent => false,
    };
    wanted && harmless
}

/// What smooth balancing counts against a server. An answer that says "not for you" or "not here" is none.
fn is_fault_of_server(cause: Cause, status: u16) -> bool {
    match cause {
        Cause::UnwantedStatus => !matches!(status, 403 | 404),
        Cause::ResetBeforeHead
        | Cause::ClosedInHead
        | Cause::InvalidHead
        | Cause::WrongProtocol
        | Cause::HeadTooBig
        | Cause::Unexpected101
        | Cause::FirstByteTimeout => true,
        cause => is_connect_failure(cause),
    }
}

fn is_connect_failure(cause: Cause) -> bool {
    matches!(cause, Cause::ConnectRefused | Cause::ConnectTimeout | Cause::NoRoute | Cause::ConnectFailed)
}

/// A place at a server, waiting in a queue if need be.
async fn acquire(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    pool: &Arc<Pool>,
    tries: &Tries,
) -> Result<Slot, Cause> {
    let admission = {
        let scene = Scene { exchange, request: &work.request, response: None };
        let mut memory = [0u8; 16];
        let key = key(pool, &scene, &mut memory);
        let ask = Ask {
            key: key.as_deref(),
            bound: tries.bound.as_ref(),
            force_bound: tries.stays,
            tried: &tries.tried,
            journey: Some(&tries.journey),
            hint: tries.hint.as_deref(),
            worker: conn.local.worker.index,
            may_wait: true,
        };
        pool.admit(&ask)
    };
    let slot = match admission {
        Admission::Served(slot) => slot,
        Admission::Refused(cause) => return Err(cause),
        Admission::Wait(waiting) => {
            exchange.server_queue = waiting.server_queue_place() as u32;
            exchange.pool_queue = waiting.pool_queue_place() as u32;
            let slot = Box::pin(queue(conn, work, exchange, pool, waiting)).await?;
            tries.journey.borrow_mut().note(slot.server());
            slot
        }
    };
    exchange.times.queued = Some(clock::now());
    Ok(slot)
}

/// Waits in the queue while watching the client.
pub(crate) async fn queue(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &Exchange,
    pool: &Pool,
    waiting: pool::Waiting,
) -> Result<Slot, Cause> {
    let (patience, late) = match waiting.reason() {
        WaitReason::Full => {
            let said = exchange.said_timeout(TimeoutKind::Queue);
            (said.or(pool.plan.timeouts.queue).or(pool.plan.timeouts.connect), Cause::QueueTimeout)
        }
        WaitReason::NoServer => (pool.plan.hold, Cause::AllDown),
    };
    conn.deadline.set(patience);
    let mut waiting = std::pin::pin!(waiting);
    let abort_on_close = exchange.abort_on_close();
    let mut watch = ClientWatch::new(abort_on_close);
    let (stream, deadline, buffer) = (&mut conn.stream, &conn.deadline, &mut work.buffer);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = waiting.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if watch.poll_gone(cx, stream, buffer) {
            return Poll::Ready(Err(Cause::ClientAbortQueue));
        }
        deadline.poll_fired(cx).map(|_| Err(late))
    })
    .await
}

/// The bytes that the pool's way of balancing hashes.
pub(crate) fn key<'k>(
    pool: &Pool,
    scene: &'k Scene<'_>,
    memory: &'k mut [u8; 16],
) -> Option<std::borrow::Cow<'k, [u8]>> {
    use std::borrow::Cow;
    use std::net::IpAddr;
    let text = |fetch: plan::Fetch| {
        let mut found = None;
        scene.each(&fetch, &mut |value| {
            found = Some(value.into_text().into_owned());
            std::ops::ControlFlow::Continue(())
        });
        found.map(Cow::Owned)
    };
    let network = |balance: &Balance| match balance {
        Balance::Source => true,
        Balance::Smooth(smooth) => matches!(smooth.method, SmoothMethod::ClientNetwork),
        _ => false,
    };
    match &pool.plan.balance {
        Balance::Smooth(smooth) if let SmoothMethod::Key { key, .. } = &smooth.method => {
            Some(Cow::Owned(key.text(scene)))
        }
        balance if network(balance) => Some(match scene.exchange.client.ip()?.ip() {
            IpAddr::V4(v4) => {
                memory[..4].copy_from_slice(&v4.octets());
                Cow::Borrowed(&memory[..4])
            }
            IpAddr::V6(v6) => {
                memory.copy_from_slice(&v6.octets());
                Cow::Borrowed(&memory[..])
            }
        }),
        Balance::Uri(kind) => Some(match scene.request.uri() {
            Cow::Borrowed(uri) => Cow::Borrowed(pool::uri_key(uri, *kind)),
            Cow::Owned(uri) => Cow::Owned(pool::uri_key(&uri, *kind).to_vec()),
        }),
        Balance::QueryParameter(name) => {
            crate::scene::parameter(scene.request.query()?, name.as_bytes()).map(Cow::Borrowed)
        }
        Balance::Header { name, domain_only } => {
            let value = scene.request.fields.find_str(name.as_bytes()).next_back()?;
            let value = if *domain_only { pool::main_domain(value).to_vec() } else { value.to_vec() };
            Some(Cow::Owned(value))
        }
        Balance::Hash(expr) if expr.converters.is_empty() => text(expr.fetch.clone()),
        Balance::Hash(expr) => expr.value(scene).map(|value| Cow::Owned(value.into_text().into_owned())),
        _ => None,
    }
}

/// A connection to `server`: an idle one, or a new one.
pub(crate) async fn connect(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    server: &Arc<Server>,
) -> Result<Box<Connection>, Failure> {
    let reuse = exchange.reuse();
    // On the very first request of a client the connection may be private (see `plan::pool::Reuse`).
    let first = exchange.number == 1;
    let (idle, worker) = (&conn.local.idle, conn.local.worker.index);
    let taken = match conn.site.own_idle_connections {
        true => idle.room(worker).take(server, conn.id, reuse, first),
        false => idle.take(worker, server, conn.id, reuse, first),
    };
    // A request that must not be repeated looks once more whether the server has closed.
    if let Some(connection) = taken.filter(|c| exchange.idempotent || is_quiet(&c.stream)) {
        exchange.connected(conn.local.worker.index, server, &connection, clock::now());
        return Ok(connection);
    }
    let header = proxy_header(server, exchange);
    let said = exchange.said_timeout(TimeoutKind::Connect);
    let usual = || exchange.pool.as_ref().and_then(|pool| pool.plan.timeouts.connect);
    conn.deadline.set(said.or_else(usual));
    server.stats.at(conn.local.worker.index).connects.add(1);
    let mut connecting = std::pin::pin!(pool::connect_for(server, exchange.local.ip(), &header));
    let mut watch = ClientWatch::new(exchange.abort_on_close());
    let (stream, deadline, buffer) = (&mut conn.stream, &conn.deadline, &mut work.buffer);
    let result = std::future::poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|error| error.cause)),
        Poll::Pending if watch.poll_gone(cx, stream, buffer) => Poll::Ready(Err(Cause::ClientAbortConnect)),
        Poll::Pending => deadline.poll_fired(cx).map(|_| Err(Cause::ConnectTimeout)),
    })
    .await;
    match result {
        Ok(mut connection) => {
            connection.owner = conn.id;
            exchange.connected(conn.local.worker.index, server, &connection, clock::now());
            Ok(connection)
        }
        Err(cause) => Err(Failure { cause, reach: Reach::Nothing, answered: false }),
    }
}

/// True when nothing, not even an end, waits on an idle connection.
fn is_quiet(stream: &Stream) -> bool {
    let mut byte = [0u8; 1];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn proxy_header(server: &Server, exchange: &Exchange) -> Vec<u8> {
    use plan::listener::ProxyVersion;
    use wire::proxy::{Peers, write_v1, write_v2};
    let Some(version) = server.plan.send_proxy else { return Vec::new() };
    let peers = match (exchange.client.ip(), exchange.local.ip()) {
        (Some(source), Some(destination)) => Peers::Told { source, destination },
        _ => Peers::OfSocket,
    };
    let mut header = Vec::new();
    match version {
        ProxyVersion::V1 => write_v1(&mut header, &peers),
        ProxyVersion::V2 => write_v2(&mut header, &peers),
    }
    header
}

/// The server's side of one try.
struct Line {
    connection: Box<Connection>,
    buffer: Buffer,
    /// Moves the request.
    up: Pump,
    /// Bytes at the front of the client's buffer that were sent as a copy.
    held: usize,
    up_failed: bool,
}

/// Sends the request and passes the answer on.
async fn at_server(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    connection: Box<Connection>,
    tries: &Tries,
) -> Result<After, Failure> {
    let reused = connection.uses > 1;
    let mut line = send(conn, work, exchange, connection);
    let result = answer(conn, work, exchange, &mut line, tries, reused).await;
    conn.local.worker.buffers.give(line.buffer);
    let memory = line.up.into_memory();
    if memory.capacity() > work.out.capacity() {
        work.out = memory;
    }
    match result {
        Ok((after, reusable)) => {
            exchange.release(conn, line.connection, reusable);
            Ok(after)
        }
        Err(failure) => Err(failure),
    }
}

/// Writes the head (and a body that is here already) into a pump.
fn send(conn: &Conn, work: &mut Workspace, exchange: &Exchange, connection: Box<Connection>) -> Line {
    let mut out = std::mem::take(&mut work.out);
    out.clear();
    let edit = RequestEdit {
        connection: if work.request.offer().is_some() {
            http1::Connection::Upgrade
        } else if exchange.server_keeps() || exchange.pretends_to_keep() {
            http1::Connection::KeepAlive
        } else {
            http1::Connection::Close
        },
        drop_expect: exchange.continued,
        chunked: exchange.squeeze_request.is_some(),
        ..RequestEdit::default()
    };
    write_request(&work.request, &mut out, &edit);
    let framing = work.request.framing();
    let held = match framing {
        BodyFraming::Length(n)
            if exchange.squeeze_request.is_none()
                && n <= work.buffer.len() as u64
                && (exchange.continued || !work.request.expects_continue()) =>
        {
            n as usize
        }
        _ => 0,
    };
    out.extend_from_slice(&work.buffer.bytes()[..held]);
    let rest = if held > 0 { BodyFraming::None } else { framing };
    let up = match exchange.squeeze_request {
        None => Pump::new(out, rest, rest),
        Some(coding) => {
            let mut up = Pump::new(out, rest, BodyFraming::Chunked);
            up.squeeze(Box::new(Squeezer::new(coding, exchange.site.compression)));
            up
        }
    };
    Line { connection, buffer: conn.local.worker.buffers.take(), up, held, up_failed: false }
}

/// Waits for the answer and passes it on; true when the server connection may serve again.
async fn answer(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
    tries: &Tries,
    reused: bool,
) -> Result<(After, bool), Failure> {
    let mut interim = 0;
    loop {
        response_head(conn, work, exchange, line, reused).await?;
        if !work.response.is_interim() || work.response.status == 101 {
            break;
        }
        interim += 1;
        if interim > INTERIM_ANSWERS {
            return Err(line.failure(Cause::InvalidHead));
        }
        Box::pin(pass_interim(conn, work, exchange)).await?;
    }
    exchange.answered(conn, line.connection.server.as_ref(), work.response.status);
    if tries.wants_other(exchange, work.response.status) && !line.up.has_begun() {
        return Err(line.failure(Cause::UnwantedStatus));
    }
    exchange.count_status(work.response.status);
    if !exchange.stores.is_empty()
        || exchange.pool.as_ref().is_some_and(|p| !p.plan.stick_response.is_empty())
    {
        persistence::remember(exchange, work, &line.connection.server);
    }
    if let Some(pool) = &exchange.pool {
        sticky::at_head(pool, &line.connection.server, exchange, work);
    }
    if work.response.status == 101 {
        if !line.up.is_done() || line.up_failed {
            return Err(line.failure(Cause::Unexpected101));
        }
        return Ok((Box::pin(switch(conn, work, exchange, line)).await, false));
    }
    respond(conn, work, exchange, line).await
}

impl Line {
    fn failure(&self, cause: Cause) -> Failure {
        let spent = self.up.has_begun();
        Failure { cause, reach: if spent { Reach::Spent } else { Reach::Sent }, answered: false }
    }
}

/// Reads until a response head is complete, sending what is left of the request meanwhile.
async fn response_head(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
    reused: bool,
) -> Result<(), Failure> {
    let limits = Limits::response();
    work.response.clear();
    conn.deadline.set(exchange.server_timeout());
    let kind = work.request.kind();
    loop {
        if !line.buffer.is_empty() {
            match parse_response(line.buffer.bytes(), &limits, kind, &mut work.response) {
                Ok(Progress::Complete { consumed }) => {
                    line.buffer.consume(consumed);
                    return Ok(());
                }
                Ok(Progress::Partial) => {}
                Err(error) => {
                    conn.keep_invalid(exchange, line.buffer.bytes(), true);
                    return Err(line.failure(head_cause(error.kind, line.buffer.bytes())));
                }
            }
            if line.buffer.is_full() {
                line.buffer.grow(limits.head_bytes + 1024);
            }
        }
        let first = line.buffer.is_empty();
        match more(conn, work, exchange, line).await {
            Ok(n) if n > 0 => {}
            Err(cause) => return Err(line.failure(cause)),
            _ if !first => return Err(line.failure(Cause::ClosedInHead)),
            _ if reused => return Err(line.failure(Cause::KeepAliveRace)),
            _ => return Err(line.failure(Cause::ResetBeforeHead)),
        }
    }
}

pub(crate) fn head_cause(kind: HeadErrorKind, bytes: &[u8]) -> Cause {
    match kind {
        HeadErrorKind::TooBig => Cause::HeadTooBig,
        HeadErrorKind::FalseSwitch => Cause::Unexpected101,
        _ if !bytes.starts_with(b"HTTP/") => Cause::WrongProtocol,
        _ => Cause::InvalidHead,
    }
}

/// Reads once from the server, moving the request body meanwhile. 0 = closed or reset.
async fn more(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
) -> Result<usize, Cause> {
    let mut watch = ClientWatch::new(exchange.abort_on_close());
    let movable = exchange.idempotent && exchange.has_other_servers();
    let uid = line.connection.server.uid;
    conn.deadline.watch(Some(uid));
    let (client, deadline) = (&mut conn.stream, &conn.deadline);
    let client_timeout = exchange.client_timeout();
    let server_timeout = exchange.server_timeout();
    let Line { connection, buffer, up, up_failed, .. } = line;
    let mut sent = (0, 0);
    std::future::poll_fn(|cx| {
        if !*up_failed && !up.is_done() {
            match up.poll(cx, client, &mut work.buffer, &mut connection.stream) {
                Poll::Ready(Ok(())) => deadline.prolong(server_timeout),
                Poll::Ready(Err(PumpError::Sink)) => *up_failed = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(request_cause(&error))),
                Poll::Pending => {}
            }
            if sent != (up.moved, up.written) {
                sent = (up.moved, up.written);
                let wait = if up.waits_for == Side::Source { client_timeout } else { server_timeout };
                deadline.prolong(if up.is_done() { server_timeout } else { wait });
            }
        }
        if (*up_failed || up.is_done()) && watch.poll_gone(cx, client, &mut work.buffer) {
            return Poll::Ready(Err(Cause::ClientAbortWait));
        }
        match buffer.poll_fill(&mut connection.stream, cx) {
            Poll::Ready(Ok(n)) => return Poll::Ready(Ok(n)),
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(0)),
            Poll::Pending => {}
        }
        match deadline.poll_fired(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Fired::Watched) => {
                let server = &connection.server;
                let lost = !server.is_up() || server.suspect();
                let cut = exchange.must_leave_server();
                if lost && (movable || cut) {
                    return Poll::Ready(Err(Cause::ServerWentDown));
                }
                deadline.set(server_timeout);
                deadline.watch(Some(uid));
                deadline.poll_fired(cx).map(|_| Err(Cause::FirstByteTimeout))
            }
            Poll::Ready(_) if !up.is_done() && up.waits_for == Side::Source => {
                Poll::Ready(Err(Cause::RequestTimeout))
            }
            Poll::Ready(_) => Poll::Ready(Err(Cause::FirstByteTimeout)),
        }
    })
    .await
}

fn request_cause(error: &PumpError) -> Cause {
    match error {
        PumpError::Invalid => Cause::BadRequest,
        PumpError::Truncated | PumpError::Source => Cause::ClientAbortData,
        PumpError::Sink => Cause::ResetBeforeHead,
    }
}

/// Passes an interim answer on. HTTP/1.0 clients do not know them.
async fn pass_interim(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Result<(), Failure> {
    if work.request.version == Version::Http10 {
        return Ok(());
    }
    // Only who waits for the server is to hear of it.
    conn.deadline.watch(None);
    let mut out = Vec::with_capacity(256);
    let edit = ResponseEdit { framing: BodyFraming::None, ..ResponseEdit::default() };
    write_response(&work.response, &mut out, &edit);
    if conn.write_all(&out, exchange).await {
        return Ok(());
    }
    Err(Failure { cause: Cause::ClientAbortWait, reach: Reach::Spent, answered: true })
}

/// Passes the final answer on.
async fn respond(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
) -> Result<(After, bool), Failure> {
    if exchange.is_plain_response() {
        // Nothing to do, as for most.
    } else if let Some(after) = Box::pin(response_rules(conn, work, exchange, line)).await {
        return Ok((after, false));
    }
    // From here on the request cannot be repeated: what was sent as a copy is used up.
    work.buffer.consume(line.held);
    exchange.bytes_in += line.held as u64;
    let kind = work.request.kind();
    let received = work.response.framing(kind);
    let old_client = work.request.version == Version::Http10;
    let squeezer = match exchange.squeeze_answer {
        Some(_) if exchange.method_as_received(&work.request) != b"HEAD" => {
            squeeze::of_response(exchange, &work.request, &mut work.response, clock::now())
        }
        _ => None,
    };
    // A rule may have changed the method; the client reads the answer to the one it sent.
    let sent = match received {
        _ if exchange.method_as_received(&work.request) == b"HEAD" => BodyFraming::None,
        _ if kind.head => BodyFraming::Length(0),
        _ if squeezer.is_some() => BodyFraming::Chunked,
        BodyFraming::Chunked | BodyFraming::UntilClose if old_client => BodyFraming::UntilClose,
        BodyFraming::UntilClose => BodyFraming::Chunked,
        same => same,
    };
    let keep = sent != BodyFraming::UntilClose && !work.response.is_last() && conn.may_keep(&work.request);
    let request_done = line.up.is_done();
    let keep = keep && (request_done || !line.up_failed);
    let mut out = Vec::new();
    std::mem::swap(&mut out, &mut work.out);
    out.clear();
    let edit = ResponseEdit {
        connection: if keep { http1::Connection::KeepAlive } else { http1::Connection::Close },
        version_to_client: work.request.version,
        framing: sent,
        ..ResponseEdit::default()
    };
    write_response(&work.response, &mut out, &edit);
    exchange.status = Some(work.response.status);
    if exchange.site.plan.log.early {
        exchange.log_early(conn, work, out.len() as u64);
    }
    let server_keeps = work.response.keep_alive() && received != BodyFraming::UntilClose;
    let mut down = Pump::new(out, received, sent);
    if let Some(squeezer) = squeezer {
        down.squeeze(squeezer);
    }
    let outcome = transfer(conn, work, exchange, line, &mut down).await;
    conn.deadline.watch(None);
    exchange.bytes_out += down.written;
    exchange.bytes_in += line.up.moved;
    let (worker, now) = (conn.local.worker.index, clock::now());
    if down.squeezes() {
        squeeze::count(exchange, worker, now, down.moved, down.squeezed);
    } else if exchange.squeeze_answer.is_some() {
        squeeze::count_bypassed(exchange, worker, now, down.moved);
    }
    let body_done = line.up.is_done() && !line.up_failed;
    let nothing_sent = down.written == 0;
    work.out = down.into_memory();
    if nothing_sent && outcome == Err(Cause::BadChunk) {
        // The head waited for data to leave with, so an honest answer can still be given.
        exchange.status = None;
        exchange.letters = Some(*b"PH");
        return Err(Failure { cause: Cause::BadChunk, reach: Reach::Spent, answered: false });
    }
    Ok(match outcome {
        Err(cause) => {
            exchange.fail(cause);
            (After::Cut, false)
        }
        Ok(()) => {
            // Unasked bytes behind the answer make the connection useless (RFC 9112, 9.2).
            let reusable = server_keeps && body_done && line.buffer.is_empty() && exchange.server_keeps();
            if kind.head && reusable && announces_body(&work.response) {
                line.connection.distrust();
            }
            let after = match (keep, body_done && work.buffer.is_empty()) {
                (true, _) if body_done => After::KeepAlive,
                (_, true) => After::End,
                _ => After::Close,
            };
            (after, reusable)
        }
    })
}

/// Moves both bodies until the answer is complete.
async fn transfer(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &Exchange,
    line: &mut Line,
    down: &mut Pump,
) -> Result<(), Cause> {
    let client_timeout = exchange.client_timeout();
    let server_timeout = exchange.server_timeout();
    let (client, deadline) = (&mut conn.stream, &conn.deadline);
    let Line { connection, buffer, up, up_failed, .. } = line;
    // Who half-closes here still reads; who resets is gone.
    let mut watch = ClientWatch::new(false);
    let mut progress = (u64::MAX, 0);
    std::future::poll_fn(|cx| {
        if !*up_failed && !up.is_done() {
            match up.poll(cx, client, &mut work.buffer, &mut connection.stream) {
                Poll::Ready(Err(PumpError::Sink)) => *up_failed = true,
                Poll::Ready(Err(PumpError::Invalid)) => return Poll::Ready(Err(Cause::BadRequest)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Cause::ClientAbortData)),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        if (*up_failed || up.is_done()) && watch.poll_gone(cx, client, &mut work.buffer) {
            return Poll::Ready(Err(Cause::ClientAbortData));
        }
        match down.poll(cx, &mut connection.stream, buffer, client) {
            Poll::Ready(result) => return Poll::Ready(result.map_err(|error| response_cause(&error))),
            Poll::Pending => {}
        }
        if progress != (down.written, up.written) {
            progress = (down.written, up.written);
            deadline.prolong(if down.waits_for == Side::Source { server_timeout } else { client_timeout });
        }
        match deadline.poll_fired(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Fired::Watched) if !exchange.must_leave_server() => {
                deadline.set(if down.waits_for == Side::Source { server_timeout } else { client_timeout });
                deadline.watch(Some(connection.server.uid));
                deadline.poll_fired(cx).map(|_| Err(Cause::BodyTimeout))
            }
            Poll::Ready(Fired::Watched) => Poll::Ready(Err(Cause::ServerWentDown)),
            Poll::Ready(_) if down.waits_for == Side::Source => Poll::Ready(Err(Cause::BodyTimeout)),
            Poll::Ready(_) => Poll::Ready(Err(Cause::ClientTimeoutData)),
        }
    })
    .await
}

/// True when the answer to the same request with GET would have a body. To HEAD it has none, and some servers send it.
pub(crate) fn announces_body(response: &ResponseHead) -> bool {
    let get = http1::RequestKind { head: false, ..http1::RequestKind::default() };
    response.framing(get) != BodyFraming::None && response.framing(get) != BodyFraming::Length(0)
}

pub(crate) fn response_cause(error: &PumpError) -> Cause {
    match error {
        PumpError::Invalid => Cause::BadChunk,
        PumpError::Truncated | PumpError::Source => Cause::TruncatedBody,
        PumpError::Sink => Cause::ClientAbortData,
    }
}

/// Rules on the answer, the pool's before the site's; `Some` when one replaced it.
async fn response_rules(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
) -> Option<After> {
    let site = Arc::clone(&exchange.site);
    let pool = exchange.pool.clone()?;
    capture_response(&site.plan, exchange, &work.response);
    for rules in [&pool.plan.rules, &site.plan.rules] {
        for list in [&rules.response_content, &rules.response] {
            let verdict = run_response_rules(conn, work, exchange, line, list).await;
            if !matches!(verdict, Verdict::Continue) {
                return Some(replace_response(conn, work, exchange, line, verdict).await);
            }
        }
    }
    exchange.mark_packets(conn);
    persistence::mark(&pool, &line.connection.server, exchange, &work.request, &mut work.response);
    exchange::after_response_rules(exchange, &work.request, &mut work.response);
    None
}

fn capture_response(site: &plan::Site, exchange: &mut Exchange, response: &ResponseHead) {
    exchange.response_captures.clear();
    for (name, length) in &site.response_captures {
        let value = exchange::last_value(&response.fields, name, *length);
        exchange.response_captures.push(value);
    }
    if let Some((name, length)) = &site.cookie_capture {
        let lines = response.fields.find_all(http1::Name::SetCookie);
        let pair = |line| exchange::cookie_pair(line, name.as_bytes(), *length);
        exchange.response_cookie = lines.into_iter().find_map(pair);
    }
}

/// Runs a list of response rules, doing what they wait for.
async fn run_response_rules(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
    list: &[plan::Rule],
) -> Verdict {
    let mut next = 0;
    loop {
        match rules::on_response(list, next, exchange, &work.request, &mut work.response) {
            Verdict::Errand(Errand::Body(wait), then) => {
                if !response_body_comes(conn, work, exchange, line, wait).await {
                    return Verdict::TooLate;
                }
                next = then;
            }
            Verdict::Errand(Errand::Pause(time), then) => {
                conn.deadline.watch(None);
                course::sleep(conn, time).await;
                next = then;
            }
            Verdict::Errand(_, then) => next = then,
            verdict => return verdict,
        }
    }
}

/// Waits for the body of the answer; false when it did not come in time.
async fn response_body_comes(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
    wait: WaitForBody,
) -> bool {
    let framing = work.response.framing(work.request.kind());
    conn.deadline.set(Some(wait.longest));
    while !is_enough(line.buffer.bytes(), framing, wait.at_least) && !line.buffer.is_full() {
        match more(conn, work, exchange, line).await {
            Ok(n) if n > 0 => {}
            // It ends here; passing it on shows whether that is right.
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// Our own answer in place of the server's.
async fn replace_response(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    line: &mut Line,
    verdict: Verdict,
) -> After {
    conn.deadline.watch(None);
    let own = match verdict {
        Verdict::Answer(answer, denied) => {
            if denied == Denied::Yes {
                exchange.response_denied = true;
                exchange.fail(Cause::ResponseDenied);
            }
            let response = (denied == Denied::No).then_some(&work.response);
            let scene = Scene { exchange, request: &work.request, response };
            crate::answer::fixed(&answer, &exchange.pages(), &scene)
        }
        Verdict::Redirect(redirect, location) => {
            let scene = Scene { exchange, request: &work.request, response: Some(&work.response) };
            crate::answer::redirect(&redirect, &location, &scene)
        }
        Verdict::SilentDrop => {
            exchange.response_denied = true;
            exchange.fail(Cause::ResponseDenied);
            return After::Vanish;
        }
        Verdict::TooLate => error_own(work, exchange, Cause::FirstByteTimeout),
        Verdict::Reject => {
            exchange.response_denied = true;
            exchange.letters = Some(*b"PD");
            exchange.times.answered = None;
            exchange.fail(Cause::ResponseDenied);
            return After::End;
        }
        _ => error_own(work, exchange, Cause::Internal),
    };
    leave_request(work, exchange, line);
    exchange::say(conn, work, exchange, own).await
}

fn error_own(work: &Workspace, exchange: &mut Exchange, cause: Cause) -> crate::answer::Own {
    exchange.fail(cause);
    let scene = Scene { exchange, request: &work.request, response: None };
    crate::answer::error_page(cause.status(), &exchange.pages(), Some(&scene))
}

/// The answer will not be the server's: what is left of the request's body is settled with the client.
fn leave_request(work: &mut Workspace, exchange: &mut Exchange, line: &Line) {
    work.buffer.consume(line.held);
    exchange.bytes_in += line.held as u64 + line.up.moved;
    if line.up.is_done() && !line.up_failed {
        work.request.set_framing(BodyFraming::None);
    } else {
        exchange.body_spent = true;
    }
}

/// 101: from now on bytes pass both ways until one side ends.
async fn switch(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, line: &mut Line) -> After {
    exchange.status = Some(101);
    conn.deadline.watch(None);
    let mut out = Vec::with_capacity(512);
    let edit = ResponseEdit {
        connection: http1::Connection::Upgrade,
        version_to_client: Version::Http11,
        framing: BodyFraming::None,
        ..ResponseEdit::default()
    };
    exchange::after_response_rules(exchange, &work.request, &mut work.response);
    write_response(&work.response, &mut out, &edit);
    if !conn.write_all(&out, exchange).await {
        return After::Cut;
    }
    crate::tunnel::run(conn, work, exchange, &mut line.connection.stream, &mut line.buffer).await;
    After::Close
}

/// A server that only redirects.
async fn redirected(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, prefix: &str) -> After {
    let location = [prefix.as_bytes(), work.request.path_and_query()].concat();
    let mut head = crate::answer::head(302);
    head.fields.append(b"location", &location);
    exchange::say(conn, work, exchange, crate::answer::Own::Message(head, Vec::new())).await
}

/// The last try failed: our answer, if one can still be given.
async fn failed(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, failure: Failure) -> After {
    if failure.answered {
        exchange.fail(failure.cause);
        return After::Cut;
    }
    if matches!(failure.cause, Cause::ClientAbortConnect | Cause::ClientAbortWait | Cause::ClientAbortData) {
        exchange.fail(failure.cause);
        exchange.status = Some(failure.cause.status()).filter(|status| *status > 0);
        return After::Cut;
    }
    if failure.reach == Reach::Spent {
        // Part of the request's body is gone, so what follows on this connection cannot be trusted.
        exchange.body_spent = true;
    }
    if is_servers_fault(failure.cause) {
        exchange.count(tables::Event::Failure);
    }
    fail(conn, work, exchange, failure.cause).await
}

/// True when a server was there and did not answer as it should.
fn is_servers_fault(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ResetBeforeHead
            | Cause::KeepAliveRace
            | Cause::ClosedInHead
            | Cause::InvalidHead
            | Cause::WrongProtocol
            | Cause::HeadTooBig
            | Cause::Unexpected101
            | Cause::FirstByteTimeout
            | Cause::BadChunk
    )
}

/// Notices a client that goes away while it should be waiting.
pub(crate) struct ClientWatch {
    abort_on_close: bool,
    done: bool,
}

impl ClientWatch {
    pub(crate) fn new(abort_on_close: bool) -> ClientWatch {
        ClientWatch { abort_on_close, done: false }
    }

    /// True when the client is gone. Bytes that come are kept for the next request.
    pub(crate) fn poll_gone(
        &mut self,
        cx: &mut std::task::Context<'_>,
        stream: &mut Stream,
        buffer: &mut Buffer,
    ) -> bool {
        while !self.done && !buffer.is_full() {
            match buffer.poll_fill(stream, cx) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => return true,
                Poll::Ready(Ok(0)) => {
                    self.done = true;
                    return self.abort_on_close;
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
        false
    }
}
