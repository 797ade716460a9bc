//! The road of one connection.
//!
//! ```text
//!   accepted ─ rules ─ route ─ queue ─ connect ─ tunnel ─ log
//!                 └───────┴───────┴───────┴──── failed ─────┘
//! ```

use crate::attempt::{self, Linked};
use crate::rules::{self, Variables};
use crate::{Local, Site};
use listener::{Accepted, Peer, Ticket};
use plan::Severity;
use pool::{Pool, Server};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tables::{Level, Tracked};
use tasks::copy::{Copy, End, Side, Silence, Tunnel, both};
use tasks::{Buffer, Deadline, Fired, Stream, clock};
use telemetry::Cause;

/// Everything about one connection but its bytes.
pub(crate) struct Session {
    pub local: Rc<Local>,
    pub site: Arc<Site>,
    pub client: Peer,
    pub own: Peer,
    /// Index of the bind in the site.
    pub bind: u16,
    pub stream: Stream,
    /// What was read before there was a tunnel.
    pub early: Option<Box<Buffer>>,
    /// The client sends no more than what was read before.
    pub client_ended: bool,
    /// The server's side, while there is one.
    pub linked: Option<Linked>,
    pub deadline: Deadline,
    pub pool: Option<Arc<Pool>>,
    pub server: Option<Arc<Server>>,
    /// The server's cut count when it was chosen.
    pub cuts: u64,
    pub server_address: Option<SocketAddr>,
    pub variables: Variables,
    /// What it tracks in stick tables.
    pub tracked: Tracked,
    /// How long what a rule begins to track now is tracked.
    pub tracking: Level,
    pub captures: Vec<Vec<u8>>,
    pub times: Times,
    /// Acceptance, Unix microseconds; 0 when nobody will ask.
    pub accepted_us: i64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub cause: Option<Cause>,
    /// The letters when they are not the cause's.
    pub letters: Option<[u8; 2]>,
    pub retries: u32,
    pub redispatched: bool,
    pub server_queue: u32,
    pub pool_queue: u32,
    /// `Some(None)` = no log line.
    pub log_level: Option<Option<Severity>>,
    pub logged: bool,
    /// Its place among the limits, and what lists of connections tell of it.
    pub ticket: Ticket,
}

/// Moments of a connection on the worker's clock; `None` = not reached.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    pub accepted: Duration,
    /// A pool was asked for a server.
    pub asked: Option<Duration>,
    /// A server was given.
    pub queued: Option<Duration>,
    /// The connection stood.
    pub connected: Option<Duration>,
}

/// Serves a connection until it ends.
pub fn serve(local: Rc<Local>, site: Arc<Site>, accepted: Accepted) -> impl Future<Output = ()> {
    // Made outside, so that the future holds it once. (An async function holds its arguments twice.)
    let mut session = Session::new(local, site, accepted);
    async move { run(&mut session).await }
}

async fn run(session: &mut Session) {
    if !rules::on_connection(session) {
        return;
    }
    session.site.stats.at(session.local.worker.index).sessions.add(1);
    session.ticket.seat().begin();
    session.site.tables.count(&session.tracked, tables::Event::Session);
    session.tracking = Level::Content;
    match Box::pin(open(session)).await {
        Ok(linked) => {
            session.linked = Some(linked);
            let spliced = tunnel(session).await;
            session.site.process.at(session.local.worker.index).spliced_bytes_out.add(spliced);
        }
        Err(cause) => session.cause = Some(cause),
    }
    session.finish();
}

/// Everything before the tunnel.
async fn open(session: &mut Session) -> Result<Linked, Cause> {
    rules::on_content(session).await?;
    let pool = attempt::route(session).ok_or(Cause::NoPool)?;
    session.pool = Some(Arc::clone(&pool));
    session.ticket.seat().at_pool(pool.plan.id);
    pool.stats.at(session.local.worker.index).sessions.add(1);
    rules::on_pool_content(session, &pool)?;
    let linked = attempt::link(session, &pool).await?;
    session.note_linked();
    Ok(linked)
}

/// Moves bytes until both sides ended, one broke, or one was silent too long. Gives how many went to the
/// client through a pipe.
async fn tunnel(session: &mut Session) -> u64 {
    let mut tunnel = Tunnel::new(session.early_first(), Copy::to_end());
    let silence = session.silence();
    loop {
        session.watch_server();
        let Session { stream, linked, deadline, local, site, pool, server, bytes_in, bytes_out, .. } =
            session;
        let Some(linked) = linked else { return 0 };
        let moved = |up, down| {
            (*bytes_in, *bytes_out) = (*bytes_in + up, *bytes_out + down);
            crate::record::count_bytes(local, site, pool.as_deref(), server.as_deref(), up, down);
        };
        let ends = (stream, &mut linked.stream);
        let end = both(&mut tunnel, &local.worker, ends, &silence, deadline, moved).await;
        let cause = match end {
            End::Done => return tunnel.spliced_down(),
            End::Broken(Side::Client, _) => Cause::ClientAbortData,
            End::Broken(Side::Server, _) => Cause::TruncatedBody,
            End::Silent(Side::Client) => Cause::ClientTimeoutData,
            End::Silent(Side::Server) => Cause::BodyTimeout,
            End::Fired(Fired::Watched) if session.must_leave_server() => {
                // An active server is back, and connections of backups are to go to it: that is no failure.
                let back = session.server.as_ref().is_some_and(|server| server.plan.backup && server.is_up());
                session.letters = Some(if back { *b"U-" } else { *b"D-" });
                Cause::ServerWentDown
            }
            // Tunnels outlive reloads and a graceful stop, up to the hard stop.
            End::Fired(_) => continue,
        };
        session.cause = Some(cause);
        return tunnel.spliced_down();
    }
}

impl Session {
    fn new(local: Rc<Local>, site: Arc<Site>, accepted: Accepted) -> Session {
        let Accepted { stream, client, local: own, bind, ticket, .. } = accepted;
        Session {
            deadline: local.worker.deadlines.slot(),
            accepted_us: if site.log.is_some() { wall_us() } else { 0 },
            times: Times { accepted: clock::now(), ..Times::default() },
            local,
            site,
            client,
            own,
            bind: u16::try_from(bind).unwrap_or(u16::MAX),
            stream,
            linked: None,
            early: None,
            client_ended: false,
            pool: None,
            server: None,
            cuts: 0,
            server_address: None,
            variables: Variables::default(),
            tracked: Tracked::default(),
            tracking: Level::Connection,
            captures: Vec::new(),
            bytes_in: 0,
            bytes_out: 0,
            cause: None,
            letters: None,
            retries: 0,
            redispatched: false,
            server_queue: 0,
            pool_queue: 0,
            log_level: None,
            logged: false,
            ticket,
        }
    }

    /// The buffer of early bytes; taken when first needed.
    pub fn early(&mut self) -> &mut Buffer {
        let buffers = &self.local.worker.buffers;
        self.early.get_or_insert_with(|| Box::new(buffers.take()))
    }

    /// The direction to the server, early bytes first.
    fn early_first(&mut self) -> Copy {
        match self.early.take() {
            Some(early) if early.is_empty() => {
                self.local.worker.buffers.give(*early);
                Copy::to_end()
            }
            Some(early) => Copy::to_end().after(*early),
            None => Copy::to_end(),
        }
    }

    fn silence(&self) -> Silence {
        let client = &self.site.plan.timeouts;
        let server = self.pool.as_ref().map(|pool| pool.plan.timeouts).unwrap_or_default();
        Silence {
            client: client.client,
            client_fin: client.client_fin,
            server: server.server,
            server_fin: server.server_fin,
            tunnel: server.tunnel,
        }
    }

    fn watch_server(&self) {
        self.deadline.watch(self.server.as_ref().map(|server| server.uid));
    }

    /// The server's connections are to be cut since this one was made.
    fn must_leave_server(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.cut_count() != self.cuts)
    }
}

/// Unix microseconds.
pub(crate) fn wall_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}
