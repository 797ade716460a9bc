//! The road of one connection.
//!
//! ```text
//!   accepted ─ rules ─ route ─ queue ─ connect ─ tunnel ─ log
//!                 └───────┴───────┴───────┴──── failed ─────┘
//! ```

use crate::attempt::{self, Line, Linked};
use crate::rules::{self, Kept, Seen};
use crate::scene::Scene;
use crate::visit::Visit;
use crate::{Local, Site, content, datagrams};
use listener::{Accepted, Arrived, Flow, Peer, Ticket};
use plan::Severity;
use plan::rule::Template;
use plan::stream::{Content, StreamSettings};
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
    /// What comes from the client.
    pub source: Source,
    /// What was read before there was a tunnel.
    pub early: Option<Box<Buffer>>,
    /// The client sends no more than what was read before.
    pub client_ended: bool,
    /// The server's side, while there is one.
    pub linked: Option<Linked>,
    /// What only sites with settings for their sessions have.
    pub visit: Option<Box<Visit>>,
    pub deadline: Deadline,
    pub pool: Option<Arc<Pool>>,
    pub server: Option<Arc<Server>>,
    /// The server's cut count when it was chosen.
    pub cuts: u64,
    pub server_address: Option<SocketAddr>,
    pub kept: Option<Box<Kept>>,
    /// What it tracks in stick tables.
    pub tracked: Tracked,
    /// How long what a rule begins to track now is tracked.
    pub tracking: Level,
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

/// What comes from a client.
pub(crate) enum Source {
    Bytes(Stream),
    Datagrams(Box<Flow>),
}

impl Source {
    /// The bytes, unless it is datagrams.
    pub fn bytes(&self) -> Option<&Stream> {
        match self {
            Source::Bytes(stream) => Some(stream),
            Source::Datagrams(_) => None,
        }
    }
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
    let Accepted { stream, client, local: own, bind, ticket, told, broken, .. } = accepted;
    let mut session = Session::new(local, site, Source::Bytes(stream), (client, own), ticket);
    session.bind = u16::try_from(bind).unwrap_or(u16::MAX);
    if let Some(visit) = &mut session.visit {
        visit.told = told;
    }
    if broken {
        session.cause = Some(Cause::BadRequest);
    }
    async move { run(&mut session).await }
}

/// Serves the datagrams of a client until their session ends.
pub fn serve_flow(local: Rc<Local>, site: Arc<Site>, arrived: Arrived) -> impl Future<Output = ()> {
    let Arrived { flow, client, local: own, bind, ticket } = arrived;
    let mut session = Session::new(local, site, Source::Datagrams(Box::new(flow)), (client, own), ticket);
    session.bind = u16::try_from(bind).unwrap_or(u16::MAX);
    async move { run(&mut session).await }
}

async fn run(session: &mut Session) {
    session.take_real_address();
    if !rules::on_connection(session) {
        return;
    }
    session.site.stats.at(session.local.worker.index).sessions.add(1);
    session.ticket.seat().begin();
    session.site.tables.count(&session.tracked, tables::Event::Session);
    session.tracking = Level::Content;
    match Box::pin(open(session)).await {
        Ok(Opened::Linked(linked)) => {
            session.linked = Some(linked);
            let spliced = match session.source {
                Source::Bytes(_) => tunnel(session).await,
                Source::Datagrams(_) => Box::pin(datagrams::relay(session)).await,
            };
            session.site.process.at(session.local.worker.index).spliced_bytes_out.add(spliced);
        }
        Ok(Opened::Served) => {}
        Err(cause) => session.cause = Some(cause),
    }
    session.finish();
}

/// What became of a session before its tunnel.
enum Opened {
    /// A server is there.
    Linked(Linked),
    /// It is over, and all is well.
    Served,
}

/// Everything before the tunnel.
async fn open(session: &mut Session) -> Result<Opened, Cause> {
    if let Some(cause) = session.cause {
        return Err(cause);
    }
    rules::on_content(session).await?;
    if let Some(settings) = session.site.plan.stream.clone() {
        rules::admit(session, &settings)?;
        if let Some(preread) = settings.preread
            && rules::preread(session, preread).await? == Seen::Ended
        {
            return Ok(Opened::Served);
        }
        if let Content::Text(text) = &settings.content {
            return content::answer(session, text).await.map(|()| Opened::Served);
        }
    }
    let pool = content::pool(session).await?;
    session.pool = Some(Arc::clone(&pool));
    session.ticket.seat().at_pool(pool.plan.id);
    pool.stats.at(session.local.worker.index).sessions.add(1);
    rules::on_pool_content(session, &pool)?;
    let linked = attempt::link(session, &pool).await?;
    session.note_linked();
    Ok(Opened::Linked(linked))
}

/// Moves bytes until both sides ended, one broke, or one was silent too long. Gives how many went to the
/// client through a pipe.
async fn tunnel(session: &mut Session) -> u64 {
    let mut tunnel = session.as_tunnel();
    let silence = session.silence();
    loop {
        session.watch_server();
        let Session {
            source, linked, deadline, local, site, pool, server, bytes_in, bytes_out, visit, ..
        } = session;
        let (Source::Bytes(stream), Some(Linked { line: Line::Bytes(far), .. })) = (source, linked) else {
            return 0;
        };
        let moved = |up, down| {
            (*bytes_in, *bytes_out) = (*bytes_in + up, *bytes_out + down);
            if let Some(last) = visit.as_mut().and_then(|visit| visit.course.last_mut()) {
                last.moved(up, down);
            }
            crate::record::count_bytes(local, site, pool.as_deref(), server.as_deref(), up, down);
        };
        let ends = (stream, far);
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
    fn new(
        local: Rc<Local>,
        site: Arc<Site>,
        source: Source,
        (client, own): (Peer, Peer),
        ticket: Ticket,
    ) -> Session {
        let visit = site.plan.stream.is_some().then(Box::default);
        Session {
            deadline: local.worker.deadlines.slot(),
            accepted_us: if site.log.is_some() { wall_us() } else { 0 },
            times: Times { accepted: clock::now(), ..Times::default() },
            local,
            site,
            client,
            own,
            bind: 0,
            source,
            linked: None,
            visit,
            early: None,
            client_ended: false,
            pool: None,
            server: None,
            cuts: 0,
            server_address: None,
            kept: None,
            tracked: Tracked::default(),
            tracking: Level::Connection,
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

    /// The client is who the PROXY header tells, when it comes from one that is believed.
    fn take_real_address(&mut self) {
        let Some(visit) = &mut self.visit else { return };
        let Some(told) = visit.told else { return };
        let peer = self.client.ip().map(|peer| peer.ip());
        let trusted = self.site.plan.stream.as_ref().and_then(|settings| settings.real_ip_from.as_ref());
        if trusted.is_some_and(|trusted| trusted.trusts(peer)) {
            visit.peer = Some(self.client);
            self.client = Peer::from(told.source);
        }
    }

    fn silence(&self) -> Silence {
        if let Some(settings) = &self.site.plan.stream {
            return Silence { tunnel: Some(settings.silence), ..Silence::default() };
        }
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

    /// The tunnel, early bytes first, as the settings want it.
    fn as_tunnel(&mut self) -> Tunnel {
        let tunnel = Tunnel::new(self.early_first(), Copy::to_end());
        match &self.site.plan.stream {
            Some(settings) => self.paced(tunnel, settings),
            None => tunnel,
        }
    }

    fn paced(&self, tunnel: Tunnel, settings: &StreamSettings) -> Tunnel {
        let rate = |template: &Option<Template>| {
            let text = template.as_ref()?.text(&Scene { session: self, over: true });
            Some(plan::rule::Value::text(&text).to_int()?.max(0) as u64)
        };
        if !settings.no_delay
            && let Some(tcp) = self.source.bytes().and_then(Stream::tcp)
        {
            let _ = tcp.set_nodelay(false);
        }
        let (up, down) = (rate(&settings.upload_rate), rate(&settings.download_rate));
        tunnel.ending_at_once(!settings.half_close).at_rates(
            &self.local.worker,
            up.unwrap_or(0),
            down.unwrap_or(0),
        )
    }

    /// How long both sides may be silent.
    pub fn patience(&self) -> Option<Duration> {
        let silence = self.silence();
        silence.tunnel.or(silence.server).or(silence.client)
    }

    pub(crate) fn watch_server(&self) {
        self.deadline.watch(self.server.as_ref().map(|server| server.uid));
    }

    /// The server's connections are to be cut since this one was made.
    pub(crate) fn must_leave_server(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.cut_count() != self.cuts)
    }
}

/// Unix microseconds.
pub(crate) fn wall_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}
