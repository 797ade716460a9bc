//! From a connection to a server: route, queue, connect, and when that fails, again.
//!
//! Nothing of the client's has been sent before the server connection stands, so every try is safe.

use crate::datagrams::Up;
use crate::scene::Scene;
use crate::session::{Session, Source};
use plan::Balance;
use plan::listener::ProxyVersion;
use plan::pool::Redispatch;
use plan::rule::Facts;
use plan::site::RouteTarget;
use plan::smooth::SmoothMethod;
use pool::{
    Admission, Ask, Journey, Manner, Outcome, Pool, Server, ServerEndpoint, Slot, WaitReason, Waiting,
};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tasks::{Stream, clock};
use telemetry::Cause;
use wire::proxy::{Peers, write_v1, write_v2};

/// Rest before a server that just failed is tried again.
const TURN_AROUND: Duration = Duration::from_secs(1);

/// A way to a server, and the place there.
pub(crate) struct Linked {
    pub line: Line,
    /// Its place; given back when the connection is over.
    pub slot: Option<Slot>,
}

/// A way to a server.
pub(crate) enum Line {
    Bytes(Stream),
    Datagrams(Rc<Up>),
}

/// The first route whose condition holds and whose pool exists.
pub(crate) fn route(session: &Session) -> Option<Arc<Pool>> {
    let site = &session.site;
    let scene = Scene { session, over: true };
    for (route, pool) in site.plan.routes.iter().zip(&site.routes) {
        if !route.condition.holds(&scene as &dyn Facts) {
            continue;
        }
        let found = match (&route.target, pool) {
            (_, Some(pool)) => Some(pool),
            (RouteTarget::Computed(name), None) => {
                std::str::from_utf8(&name.text(&scene)).ok().and_then(|name| site.pools.get(name))
            }
            (RouteTarget::Pool(_), None) => None,
        };
        if let Some(pool) = found {
            return Some(Arc::clone(pool));
        }
    }
    site.default_pool.clone()
}

/// What was tried so far.
pub(crate) struct Tries {
    /// Servers that failed, by uid.
    tried: Vec<u32>,
    /// The only server that may be tried again.
    bound: Option<Arc<Server>>,
    /// The server that a stick table remembers; it is asked first.
    stuck: Option<Arc<Server>>,
    left: u32,
    /// Its way through servers with smooth balancing.
    journey: RefCell<Journey>,
    /// No further try begins after this.
    until: Option<Duration>,
    last: Option<Cause>,
}

/// Connects to a server of `pool`.
pub(crate) async fn link(session: &mut Session, pool: &Arc<Pool>) -> Result<Linked, Cause> {
    session.times.asked = Some(clock::now());
    let mut stores = tables::Stores::default();
    let stuck = if pool.plan.stick.is_empty() { None } else { stuck(session, pool, &mut stores) };
    let chosen = match pool.plan.server_rules.is_empty() {
        true => None,
        false => pool.chosen(&Scene { session, over: true }),
    };
    let tries = Tries::new(session, pool, chosen.or(stuck));
    reach(session, pool, tries, stores).await
}

/// Goes on to another server after one that took a datagram was not there.
pub(crate) async fn link_again(
    session: &mut Session,
    pool: &Arc<Pool>,
    cause: Cause,
) -> Result<Linked, Cause> {
    let (Some(mut tries), Some(server)) =
        (session.visit.as_mut().and_then(|visit| visit.tries.take()), session.server.clone())
    else {
        return Err(cause);
    };
    tries.next(session, pool, &server, cause)?;
    reach(session, pool, *tries, tables::Stores::default()).await
}

async fn reach(
    session: &mut Session,
    pool: &Arc<Pool>,
    mut tries: Tries,
    stores: tables::Stores,
) -> Result<Linked, Cause> {
    loop {
        let mut slot = match acquire(session, pool, &tries).await {
            Ok(slot) => slot,
            // What the last try met tells more than "no server left".
            Err(Cause::AllDown) => {
                session.note_nobody(pool);
                return Err(tries.last.unwrap_or(Cause::AllDown));
            }
            Err(cause) => {
                if matches!(cause, Cause::Empty | Cause::Drained | Cause::QueueFull) {
                    session.note_nobody(pool);
                }
                return Err(cause);
            }
        };
        let server = Arc::clone(slot.server());
        if tries.tried.contains(&server.uid) || tries.bound.is_some() {
            rest(session, pool).await?;
        }
        session.begin_at(&server);
        session.ticket.seat().at_server(server.plan.id);
        match connect(session, pool, &server).await {
            Ok(line) => {
                remember(session, pool, &server, stores);
                session.connected(&server);
                if matches!(line, Line::Bytes(_)) {
                    slot.works();
                }
                if let (Line::Datagrams(_), Some(visit)) = (&line, &mut session.visit) {
                    visit.tries = Some(Box::new(tries));
                }
                return Ok(Linked { line, slot: Some(slot) });
            }
            Err(cause) => {
                if cause != Cause::ClientAbortConnect {
                    slot.fail();
                }
                tries.failed(session, pool, &server, cause)?;
            }
        }
    }
}

impl Tries {
    fn new(session: &Session, pool: &Pool, stuck: Option<Arc<Server>>) -> Tries {
        let next = session.site.plan.stream.as_ref().map(|settings| settings.next);
        let (left, until) = match next {
            None => (pool.plan.retry.tries, None),
            Some(next) if !next.on => (0, None),
            Some(next) => {
                let left = next.tries.unwrap_or(u32::MAX).saturating_sub(1);
                (left, next.time.map(|time| clock::now().saturating_add(time)))
            }
        };
        // Each server has its chance, once.
        let chances = match (pool.chances(), next) {
            (Some(chances), _) => chances,
            (None, Some(_)) => pool.servers().len() as u32,
            (None, None) => u32::MAX,
        };
        let left = left.min(chances.saturating_sub(1));
        Tries { tried: Vec::new(), bound: None, stuck, left, until, journey: RefCell::default(), last: None }
    }

    /// Takes note of a failure and decides whether there is another try.
    fn failed(
        &mut self,
        session: &mut Session,
        pool: &Pool,
        server: &Arc<Server>,
        cause: Cause,
    ) -> Result<(), Cause> {
        if cause == Cause::ClientAbortConnect {
            return Err(cause);
        }
        let next = self.next(session, pool, server, cause);
        session.note_failure(server, cause, next.is_ok());
        next
    }

    /// Decides whether there is another try after this server failed.
    fn next(
        &mut self,
        session: &mut Session,
        pool: &Pool,
        server: &Arc<Server>,
        cause: Cause,
    ) -> Result<(), Cause> {
        let in_time = self.until.is_none_or(|until| clock::now() < until);
        if !in_time || !pool.plan.retry.on.connect_failure || self.left == 0 || !pool.retry_allowed() {
            return Err(cause);
        }
        self.left -= 1;
        self.stuck = None;
        self.last = Some(cause);
        session.retries += 1;
        match pool.plan.retry.redispatch {
            Redispatch::Never => self.bound = Some(Arc::clone(server)),
            Redispatch::Unsaid | Redispatch::Always => self.tried.push(server.uid),
        }
        Ok(())
    }
}

/// Runs the rules of stick tables: the server they remember, and what they want to remember.
fn stuck(session: &Session, pool: &Pool, stores: &mut tables::Stores) -> Option<Arc<Server>> {
    let mut found = None;
    let scene = Scene { session, over: true };
    session.site.tables.stick(&pool.plan.stick, &scene, stores, &mut |remembered| {
        found = server_of(pool, &remembered);
        found.is_some()
    });
    found
}

fn server_of(pool: &Pool, remembered: &tables::Remembered) -> Option<Arc<Server>> {
    let by_key = remembered.key.as_ref().and_then(|(kind, key)| pool.server_by_key(*kind, key));
    let server = by_key.or_else(|| pool.server_by_id(remembered.id?));
    server.filter(|server| server.is_usable())
}

/// Remembers the server that the connection stands to.
fn remember(session: &Session, pool: &Pool, server: &Server, mut stores: tables::Stores) {
    let rules = &pool.plan.stick_response;
    if !rules.is_empty() {
        let scene = Scene { session, over: true };
        session.site.tables.stick(rules, &scene, &mut stores, &mut |_| false);
    }
    if !stores.is_empty() && !server.plan.non_stick {
        let now = session.site.tables.now();
        stores.remember(server.plan.id, now, |kind| server.stick_key(kind));
    }
}

/// A place at a server, waiting in a queue if need be.
async fn acquire(session: &mut Session, pool: &Arc<Pool>, tries: &Tries) -> Result<Slot, Cause> {
    let key = key(session, pool);
    let admission = pool.admit(&Ask {
        key: key.as_deref(),
        bound: tries.bound.as_ref().or(tries.stuck.as_ref()),
        force_bound: tries.bound.is_some(),
        tried: &tries.tried,
        journey: Some(&tries.journey),
        hint: None,
        worker: session.local.worker.index,
        may_wait: true,
    });
    let slot = match admission {
        Admission::Served(slot) => slot,
        Admission::Refused(cause) => return Err(cause),
        Admission::Wait(waiting) => {
            let slot = queue(session, pool, waiting).await?;
            tries.journey.borrow_mut().note(slot.server());
            slot
        }
    };
    session.times.queued = Some(clock::now());
    Ok(slot)
}

async fn queue(session: &mut Session, pool: &Pool, waiting: Waiting) -> Result<Slot, Cause> {
    session.server_queue = waiting.server_queue_place() as u32;
    session.pool_queue = waiting.pool_queue_place() as u32;
    let (patience, late) = match waiting.reason() {
        WaitReason::Full => (pool.plan.timeouts.queue.or(pool.plan.timeouts.connect), Cause::QueueTimeout),
        WaitReason::NoServer => (pool.plan.hold, Cause::AllDown),
    };
    session.deadline.set(patience);
    let mut waiting = pin!(waiting);
    let abort = abort_on_close(session);
    poll_fn(|cx| match waiting.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending if client_left(session, abort, cx) => Poll::Ready(Err(Cause::ClientAbortQueue)),
        Poll::Pending => session.deadline.poll_fired(cx).map(|_| Err(late)),
    })
    .await
}

async fn rest(session: &mut Session, pool: &Pool) -> Result<(), Cause> {
    let connect = pool.plan.timeouts.connect.unwrap_or(TURN_AROUND);
    session.deadline.set(Some(connect.min(TURN_AROUND)));
    let abort = abort_on_close(session);
    poll_fn(|cx| match client_left(session, abort, cx) {
        true => Poll::Ready(Err(Cause::ClientAbortConnect)),
        false => session.deadline.poll_fired(cx).map(|_| Ok(())),
    })
    .await
}

async fn connect(session: &mut Session, pool: &Pool, server: &Arc<Server>) -> Result<Line, Cause> {
    match &session.source {
        Source::Bytes(_) => connect_bytes(session, pool, server).await.map(Line::Bytes),
        Source::Datagrams(_) => open_datagrams(session, server).map(|up| Line::Datagrams(Rc::new(up))),
    }
}

fn open_datagrams(session: &mut Session, server: &Arc<Server>) -> Result<Up, Cause> {
    let source = manner(session, server).source;
    let (socket, address) = pool::open_datagrams(server, session.own.ip(), source).map_err(|e| e.cause)?;
    session.server_address = Some(address);
    let Source::Datagrams(flow) = &session.source else { return Err(Cause::Internal) };
    Ok(Up::new(session, socket, flow.parting()))
}

async fn connect_bytes(session: &mut Session, pool: &Pool, server: &Arc<Server>) -> Result<Stream, Cause> {
    let header = proxy_header(session, server);
    let settings = session.site.plan.stream.as_ref();
    let patience = settings.map_or(pool.plan.timeouts.connect, |settings| Some(settings.connect_timeout));
    session.deadline.set(patience);
    let manner = manner(session, server);
    let mut connecting = pin!(pool::connect_as(server, session.own.ip(), &header, manner));
    let abort = abort_on_close(session);
    let connection = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|error| error.cause)),
        Poll::Pending if client_left(session, abort, cx) => Poll::Ready(Err(Cause::ClientAbortConnect)),
        Poll::Pending => session.deadline.poll_fired(cx).map(|_| Err(Cause::ConnectTimeout)),
    })
    .await?;
    session.server_address = match &connection.endpoint {
        ServerEndpoint::Tcp(address) => Some(*address),
        ServerEndpoint::Unix(_) => None,
    };
    Ok(connection.stream)
}

/// How the connection is made: as the site says, else as the server does.
fn manner(session: &Session, server: &Server) -> Manner {
    let own = Manner::of(server);
    let Some(settings) = &session.site.plan.stream else { return own };
    let source = settings.source.as_ref().and_then(|source| {
        let text = source.text(&Scene { session, over: true });
        let text = std::str::from_utf8(&text).ok()?;
        text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 0)))
    });
    Manner {
        source: source.or(own.source),
        keep_alive: settings.keep_alive || own.keep_alive,
        no_delay: settings.no_delay,
    }
}

fn proxy_header(session: &Session, server: &Server) -> Vec<u8> {
    let peers = match (session.client.ip(), session.own.ip()) {
        (Some(source), Some(destination)) => Peers::Told { source, destination },
        _ => Peers::OfSocket,
    };
    let mut header = Vec::new();
    let settings = session.site.plan.stream.as_ref();
    match server.plan.send_proxy.or(settings.and_then(|settings| settings.send_proxy)) {
        None => {}
        Some(ProxyVersion::V1) => write_v1(&mut header, &peers),
        Some(ProxyVersion::V2) => write_v2(&mut header, &peers),
    }
    header
}

/// The bytes that the pool's way of balancing hashes.
fn key(session: &Session, pool: &Pool) -> Option<Vec<u8>> {
    match &pool.plan.balance {
        Balance::Source => client_octets(session),
        Balance::Smooth(smooth) => match &smooth.method {
            SmoothMethod::ClientNetwork => client_octets(session),
            SmoothMethod::Key { key, .. } => Some(key.text(&Scene { session, over: true })),
            _ => None,
        },
        Balance::Hash(expr) => {
            expr.value(&Scene { session, over: true }).map(|value| value.into_text().into_owned())
        }
        _ => None,
    }
}

fn client_octets(session: &Session) -> Option<Vec<u8>> {
    Some(match session.client.ip()?.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    })
}

fn abort_on_close(session: &Session) -> bool {
    let pool = session.pool.as_ref().and_then(|pool| pool.plan.http.abort_on_close);
    pool.or(session.site.plan.http.abort_on_close).unwrap_or(false)
}

/// True when the client is gone while it waits. Its bytes are kept for the tunnel; a full buffer hides a
/// later end, which the tunnel then meets.
fn client_left(session: &mut Session, abort_on_close: bool, cx: &mut Context<'_>) -> bool {
    // What is read ahead would pass by the limit of its rate.
    if session.site.plan.stream.as_ref().is_some_and(|settings| settings.upload_rate.is_some()) {
        return false;
    }
    loop {
        let Source::Bytes(stream) = &session.source else { return false };
        if session.early.is_none() && stream.poll_readable(cx).is_pending() {
            return false;
        }
        session.early();
        let Session { source: Source::Bytes(stream), early: Some(early), .. } = session else { return false };
        if early.is_full() || session.client_ended {
            return false;
        }
        match early.poll_fill(stream, cx) {
            Poll::Pending => return false,
            Poll::Ready(Err(_)) => return true,
            Poll::Ready(Ok(0)) => {
                session.client_ended = true;
                return abort_on_close;
            }
            Poll::Ready(Ok(_)) => {}
        }
    }
}

impl Session {
    /// A server was chosen.
    fn begin_at(&mut self, server: &Arc<Server>) {
        let worker = self.local.worker.index;
        if let Some(before) = &self.server {
            let other = before.uid != server.uid;
            self.redispatched |= other;
            for cell in self.flows(worker) {
                if other { cell.redispatches.add(1) } else { cell.retries.add(1) }
            }
        }
        self.cuts = server.cut_count();
        self.server = Some(Arc::clone(server));
        self.note_try(server);
        server.stats.at(worker).sessions.add(1);
        for cell in self.flows(worker) {
            cell.connects.add(1);
        }
    }

    fn connected(&mut self, server: &Server) {
        self.times.connected = Some(clock::now());
        if server.plan.observe.is_some() {
            server.note_outcome(Outcome::Ok);
        }
        self.note_connected();
    }
}
