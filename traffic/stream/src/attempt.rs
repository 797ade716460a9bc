//! From a connection to a server: route, queue, connect, and when that fails, again.
//!
//! Nothing of the client's has been sent before the server connection stands, so every try is safe.

use crate::scene::Scene;
use crate::session::Session;
use plan::Balance;
use plan::listener::ProxyVersion;
use plan::pool::Redispatch;
use plan::rule::Facts;
use plan::site::RouteTarget;
use plan::smooth::SmoothMethod;
use pool::{
    Admission, Ask, Connection, Journey, Outcome, Pool, Server, ServerEndpoint, Slot, WaitReason, Waiting,
};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tasks::{Stream, clock};
use telemetry::Cause;
use wire::proxy::{Peers, write_v1, write_v2};

/// Rest before a server that just failed is tried again.
const TURN_AROUND: Duration = Duration::from_secs(1);

/// A connection to a server, and the place there.
pub(crate) struct Linked {
    pub stream: Stream,
    /// Its place; given back when the connection is over.
    pub slot: Option<Slot>,
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
struct Tries {
    /// Servers that failed, by uid.
    tried: Vec<u32>,
    /// The only server that may be tried again.
    bound: Option<Arc<Server>>,
    /// The server that a stick table remembers; it is asked first.
    stuck: Option<Arc<Server>>,
    left: u32,
    /// Its way through servers with smooth balancing.
    journey: RefCell<Journey>,
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
    let stuck = chosen.or(stuck);
    let chances = pool.chances().map_or(u32::MAX, |chances| chances.saturating_sub(1));
    let left = pool.plan.retry.tries.min(chances);
    let mut tries =
        Tries { tried: Vec::new(), bound: None, stuck, left, journey: RefCell::default(), last: None };
    loop {
        let mut slot = match acquire(session, pool, &tries).await {
            Ok(slot) => slot,
            // What the last try met tells more than "no server left".
            Err(Cause::AllDown) => return Err(tries.last.unwrap_or(Cause::AllDown)),
            Err(cause) => return Err(cause),
        };
        let server = Arc::clone(slot.server());
        if tries.tried.contains(&server.uid) || tries.bound.is_some() {
            rest(session, pool).await?;
        }
        session.begin_at(&server);
        session.ticket.seat().at_server(server.plan.id);
        match connect(session, pool, &server).await {
            Ok(connection) => {
                remember(session, pool, &server, stores);
                return Ok(Linked { stream: session.connected(&server, connection), slot: Some(slot) });
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
        let may = pool.plan.retry.on.connect_failure && self.left > 0 && pool.retry_allowed();
        session.note_failure(server, cause, may);
        if !may {
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

async fn connect(session: &mut Session, pool: &Pool, server: &Arc<Server>) -> Result<Connection, Cause> {
    let header = proxy_header(session, server);
    session.deadline.set(pool.plan.timeouts.connect);
    let mut connecting = pin!(pool::connect_for(server, session.own.ip(), &header));
    let abort = abort_on_close(session);
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|error| error.cause)),
        Poll::Pending if client_left(session, abort, cx) => Poll::Ready(Err(Cause::ClientAbortConnect)),
        Poll::Pending => session.deadline.poll_fired(cx).map(|_| Err(Cause::ConnectTimeout)),
    })
    .await
}

fn proxy_header(session: &Session, server: &Server) -> Vec<u8> {
    let peers = match (session.client.ip(), session.own.ip()) {
        (Some(source), Some(destination)) => Peers::Told { source, destination },
        _ => Peers::OfSocket,
    };
    let mut header = Vec::new();
    match server.plan.send_proxy {
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
    loop {
        if session.early.is_none() && session.stream.poll_readable(cx).is_pending() {
            return false;
        }
        session.early();
        let Session { stream, early: Some(early), .. } = session else { return false };
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
        server.stats.at(worker).sessions.add(1);
        for cell in self.flows(worker) {
            cell.connects.add(1);
        }
    }

    fn connected(&mut self, server: &Server, connection: Connection) -> Stream {
        self.times.connected = Some(clock::now());
        if server.plan.observe.is_some() {
            server.note_outcome(Outcome::Ok);
        }
        self.server_address = match &connection.endpoint {
            ServerEndpoint::Tcp(address) => Some(*address),
            ServerEndpoint::Unix(_) => None,
        };
        connection.stream
    }
}
