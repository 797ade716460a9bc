//! One request and its response: rules, route, pool, own answers. Tries at servers are in [`crate::attempt`].

use crate::answer::{self, Own};
use crate::attempt;
use crate::client::{Conn, Interrupted};
use crate::course::{self, Overrides, is_enough};
use crate::local::{PagesAnswer, PagesRequest, Site, Workspace};
use crate::persistence::Weight;
use crate::rules::{self, Denied, Variables, Verdict};
use crate::scene::Scene;
use crate::squeeze;
use listener::Peer;
use plan::compression::Coding;
use plan::log::Severity;
use plan::pages::ErrorPages;
use plan::rule::Facts;
use plan::site::{ForwardedFor, OddNames, RouteTarget, Statistics};
use pool::{Pool, Server};
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Duration;
use tables::{Event, Level, Stores, Tracked};
use telemetry::Cause;
use wire::http1::{BodyFraming, Name, RequestHead};

/// Everything about one request that is not in its head.
pub(crate) struct Exchange {
    pub site: Arc<Site>,
    pub client: Peer,
    pub local: Peer,
    /// Index of the bind in the site.
    pub bind: usize,
    /// Number on its connection, from 1.
    pub number: u64,
    pub pool: Option<Arc<Pool>>,
    pub server: Option<Arc<Server>>,
    /// The server's cut count when it was chosen.
    pub cuts: u64,
    /// Offset of the local zone, seconds east of UTC.
    pub zone_s: i32,
    pub server_address: Option<std::net::SocketAddr>,
    pub pool_address: Option<std::net::SocketAddr>,
    pub variables: Variables,
    /// What the connection and this request track in stick tables.
    pub tracked: Tracked,
    /// Where its server is to be remembered.
    pub stores: Stores,
    /// How long what a rule begins to track now is tracked.
    pub tracking: Level,
    /// The request was counted in what is tracked; what is tracked later counts it at once.
    pub request_counted: bool,
    pub request_captures: Vec<Option<Vec<u8>>>,
    pub response_captures: Vec<Option<Vec<u8>>>,
    pub request_cookie: Option<Vec<u8>>,
    pub response_cookie: Option<Vec<u8>>,
    pub unique_id: UniqueId,
    pub times: Times,
    /// Unix microseconds of the first byte: for the log, and for the time of the last session.
    pub wall_us: i64,
    pub status: Option<u16>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub cause: Option<Cause>,
    /// The letters when they are not the cause's.
    pub letters: Option<[u8; 2]>,
    pub cookie_letters: [u8; 2],
    pub weight: Weight,
    pub retries: u32,
    pub redispatched: bool,
    pub reused: bool,
    pub server_queue: u32,
    pub pool_queue: u32,
    pub failed_rewrites: u32,
    pub denied: bool,
    pub response_denied: bool,
    pub intercepted: bool,
    /// `Some(None)` = no log line.
    pub log_level: Option<Option<Severity>>,
    /// We told the client to go on with its body (RFC 9110, 10.1.1).
    pub continued: bool,
    /// Its log line is written.
    pub logged: bool,
    /// The request head could not be read.
    pub bad_request: bool,
    /// It may be repeated (RFC 9110, 9.2.2).
    pub idempotent: bool,
    /// Part of its body is gone: nothing more can be read from this client.
    pub body_spent: bool,
    /// How the answer is to be compressed, if it can be.
    pub squeeze_answer: Option<Coding>,
    /// How the request's body is compressed.
    pub squeeze_request: Option<Coding>,
    /// The statistics page answered.
    pub is_page: bool,
    /// The client went away while its body was waited for.
    pub client_left: bool,
    /// What rules changed about its course.
    pub course: Option<Box<Overrides>>,
    /// The first line of a head that was refused.
    pub refused_line: Option<Box<[u8]>>,
    /// Its walk through virtual hosts.
    pub visit: Option<Box<crate::host::Visit>>,
    /// Number of the client's connection.
    pub connection: u64,
    /// When that was accepted, on the worker's clock.
    pub connected_at: Duration,
    /// What a PROXY header told of client and server.
    pub told: Option<listener::Told>,
    /// It came before the answer to the one before was sent.
    pub pipelined: bool,
    /// The request as received, when rules changed it: method and target.
    received: Option<Box<(Vec<u8>, Vec<u8>)>>,
}

/// The id of a request: made once, and stable from then on.
#[derive(Default)]
pub(crate) struct UniqueId {
    id: OnceCell<Vec<u8>>,
    in_making: Cell<bool>,
}

impl UniqueId {
    /// The id when it was made.
    pub fn made(&self) -> &[u8] {
        self.id.get().map_or(b"", Vec::as_slice)
    }
}

/// Moments of a request on the worker's clock; `None` = not reached.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    /// End of the response before, or acceptance.
    pub since: Duration,
    /// First byte.
    pub first_byte: Duration,
    /// Head complete.
    pub head: Option<Duration>,
    /// A server was given.
    pub queued: Option<Duration>,
    /// The connection stood.
    pub connected: Option<Duration>,
    /// Response head complete.
    pub answered: Option<Duration>,
}

/// What happens to the client's connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    KeepAlive,
    /// Closed at once in order: the client was read to the end of its last request.
    End,
    /// Closed in order; unread bytes are drained first, so that the answer is not lost to a reset.
    Close,
    /// Closed at once, so that the client sees a cut message.
    Cut,
    /// Nothing more is sent, not even an end.
    Vanish,
}

impl Exchange {
    /// A request whose first byte came now.
    pub fn new(conn: &Conn, since: Duration, first_byte: Duration) -> Exchange {
        Exchange {
            site: Arc::clone(&conn.site),
            client: conn.peers.client,
            local: conn.peers.local,
            bind: conn.peers.bind,
            number: conn.requests,
            pool: None,
            server: None,
            cuts: 0,
            zone_s: conn.local.clock.offset_s(),
            server_address: None,
            pool_address: None,
            variables: Variables::default(),
            tracked: Tracked::default(),
            stores: Stores::default(),
            tracking: Level::Content,
            request_counted: false,
            request_captures: Vec::new(),
            response_captures: Vec::new(),
            request_cookie: None,
            response_cookie: None,
            unique_id: UniqueId::default(),
            times: Times { since, first_byte, ..Times::default() },
            wall_us: conn.local.wall_us(first_byte),
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            cause: None,
            letters: None,
            cookie_letters: *b"--",
            retries: 0,
            weight: Weight::Usual,
            redispatched: false,
            reused: false,
            server_queue: 0,
            pool_queue: 0,
            failed_rewrites: 0,
            denied: false,
            response_denied: false,
            intercepted: false,
            log_level: None,
            continued: false,
            logged: false,
            bad_request: false,
            idempotent: false,
            body_spent: false,
            squeeze_answer: None,
            squeeze_request: None,
            is_page: false,
            client_left: false,
            course: None,
            refused_line: None,
            visit: None,
            connection: conn.id,
            connected_at: conn.accepted,
            told: conn.peers.told,
            pipelined: false,
            received: None,
        }
    }

    /// A request of ours beside this one; it shows the target that the client sent.
    pub fn beside(&self, conn: &Conn, request: &RequestHead) -> Exchange {
        let mut other = Exchange::new(conn, self.times.since, tasks::clock::now());
        (other.client, other.local, other.number) = (self.client, self.local, self.number);
        other.times.head = Some(tasks::clock::now());
        other.idempotent = true;
        other.received = Some(Box::new((b"GET".to_vec(), self.target_as_received(request).to_vec())));
        other
    }

    /// Unix seconds of the request.
    pub fn wall_seconds(&self) -> i64 {
        self.wall_us.div_euclid(1_000_000)
    }

    /// Unix time of its first byte in parts of a second.
    pub fn wall_parts(&self, per_second: i64) -> i64 {
        self.wall_us.div_euclid(1_000_000 / per_second)
    }

    /// Remembers method and target before a rule changes them.
    pub fn keep_target(&mut self, request: &RequestHead) {
        if self.received.is_none() {
            self.received = Some(Box::new((request.method().to_vec(), request.received_target().to_vec())));
        }
    }

    /// The target as the client sent it.
    pub fn target_as_received<'a>(&'a self, request: &'a RequestHead) -> &'a [u8] {
        self.received.as_ref().map_or_else(|| request.received_target(), |kept| &kept.1)
    }

    /// Path, query and fragment as the client sent them, without scheme and host.
    pub fn path_as_received<'a>(&'a self, request: &'a RequestHead) -> &'a [u8] {
        let Some(kept) = &self.received else { return request.sent_target() };
        let authority = memchr::memmem::find(&kept.1, b"://").filter(|_| !kept.1.starts_with(b"/"));
        let path = authority.map_or(0, |at| {
            memchr::memchr2(b'/', b'?', &kept.1[at + 3..]).map_or(kept.1.len(), |slash| at + 3 + slash)
        });
        &kept.1[path..]
    }

    /// The method as the client sent it.
    pub fn method_as_received<'a>(&'a self, request: &'a RequestHead) -> &'a [u8] {
        self.received.as_ref().map_or_else(|| request.method(), |kept| &kept.0)
    }

    /// Keeps a value in a request capture slot.
    pub fn capture_request(&mut self, slot: usize, value: Option<Vec<u8>>) {
        if self.request_captures.len() <= slot {
            self.request_captures.resize(slot + 1, None);
        }
        self.request_captures[slot] = value;
    }

    /// A capture that found nothing has its place in a log line all the same.
    fn fill_captures(&mut self) {
        let plan = &self.site.plan;
        let (request, response) = (plan.request_captures.len(), plan.response_captures.len());
        for (captures, count) in
            [(&mut self.request_captures, request), (&mut self.response_captures, response)]
        {
            if captures.len() < count {
                captures.resize(count, None);
            }
        }
    }

    /// Error pages in order: the pool's before the site's.
    pub fn pages(&self) -> Vec<&ErrorPages> {
        self.pool.iter().map(|pool| &pool.plan.pages).chain([&self.site.plan.pages]).collect()
    }

    /// True when no rule, capture or cookie waits for the response.
    pub fn is_plain_response(&self) -> bool {
        let nothing_after = |rules: &plan::Rules| {
            rules.response_content.is_empty() && rules.response.is_empty() && rules.after_response.is_empty()
        };
        nothing_after(&self.site.plan.rules)
            && self.site.plan.response_captures.is_empty()
            && self.site.plan.cookie_capture.is_none()
            && self
                .pool
                .as_ref()
                .is_none_or(|pool| nothing_after(&pool.plan.rules) && pool.plan.cookie.is_none())
    }

    /// Begins to track a key. What begins late counts at once what has happened: the request, and with an
    /// answer its status.
    pub fn track(&mut self, track: &plan::table::Track, key: &plan::Value<'_>, status: Option<u16>) {
        let site = Arc::clone(&self.site);
        if !site.tables.track(&mut self.tracked, self.tracking, track, key) {
            return;
        }
        let now = site.tables.now();
        if self.request_counted {
            self.tracked.count_in(track.slot, Event::Request, now);
        }
        if let Some(event) = status.and_then(event_of) {
            self.tracked.count_in(track.slot, event, now);
        }
    }

    /// Counts an event in what is tracked.
    pub fn count(&self, event: Event) {
        self.site.tables.count(&self.tracked, event);
    }

    /// A request that is none: counted as one, and as the client's fault.
    pub fn count_faulty_request(&self) {
        self.count(Event::Request);
        self.count(Event::Error);
    }

    /// Counts a status that came from a server.
    pub fn count_status(&self, status: u16) {
        if let Some(event) = event_of(status) {
            self.count(event);
        }
    }

    /// The id of the request, made when it is first asked for.
    pub fn unique_id(&self, scene: &Scene<'_>) -> &[u8] {
        let Some(template) = &self.site.plan.unique_id else { return b"" };
        // A format that asks for the id itself finds none.
        if self.unique_id.id.get().is_none() && !self.unique_id.in_making.replace(true) {
            let id = template.text(scene);
            self.unique_id.in_making.set(false);
            let _ = self.unique_id.id.set(id);
        }
        self.unique_id.made()
    }

    /// Counts a failure. The first cause stays.
    pub fn fail(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }
}

/// Serves the request whose head stands in `work`.
pub(crate) async fn serve(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> After {
    if conn.site.plan.hosts.is_some() {
        return Box::pin(crate::host::serve(conn, work, exchange)).await;
    }
    let after = answer_it(conn, work, exchange).await;
    exchange.fill_captures();
    after
}

async fn answer_it(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> After {
    let site = Arc::clone(&conn.site);
    if site.plan.monitor_path.is_some()
        && let Some(after) = Box::pin(monitor(conn, work, exchange)).await
    {
        return after;
    }
    capture(&site, exchange, &work.request);
    if let Some(after) = inspected(&site.plan.rules.content, exchange, &mut work.request) {
        return after;
    }
    exchange.count(Event::Request);
    exchange.request_counted = true;
    if site.plan.http.buffer_request
        && let Err(cause) = Box::pin(body_comes(conn, work, exchange, None, 0)).await
    {
        exchange.body_spent = true;
        return Box::pin(fail(conn, work, exchange, cause)).await;
    }
    match rules::on_request(&site.plan.rules.request, 0, exchange, &mut work.request) {
        Verdict::Continue => {}
        verdict => {
            let rules = &site.plan.rules.request;
            if let Some(after) = Box::pin(carry_out(conn, work, exchange, rules, verdict)).await {
                return after;
            }
        }
    }
    if is_odd(site.plan.http.odd_names, &mut work.request) {
        return Box::pin(deny_odd(conn, work, exchange)).await;
    }
    if let Some(page) = site.plan.statistics.as_ref().filter(|page| is_page(page, &work.request)) {
        return Box::pin(statistics(conn, work, exchange, page, &site.plan.name)).await;
    }
    if site.plan.unique_id.is_some() {
        exchange.unique_id(&Scene { exchange, request: &work.request, response: None });
    }
    let Some(pool) = route(&site, exchange, &work.request) else {
        return Box::pin(fail(conn, work, exchange, Cause::NoPool)).await;
    };
    exchange.pool = Some(Arc::clone(&pool));
    if let Some(after) = inspected(&pool.plan.rules.content, exchange, &mut work.request) {
        return after;
    }
    if !pool.plan.rules.request.is_empty() {
        match rules::on_request(&pool.plan.rules.request, 0, exchange, &mut work.request) {
            Verdict::Continue => {}
            verdict => {
                let rules = &pool.plan.rules.request;
                if let Some(after) = Box::pin(carry_out(conn, work, exchange, rules, verdict)).await {
                    return after;
                }
            }
        }
    }
    if is_odd(pool.plan.http.odd_names, &mut work.request) {
        return Box::pin(deny_odd(conn, work, exchange)).await;
    }
    if let Some(page) = pool.plan.statistics.as_ref().filter(|page| is_page(page, &work.request)) {
        return Box::pin(statistics(conn, work, exchange, page, &pool.plan.name)).await;
    }
    if pool.plan.http.buffer_request
        && let Err(cause) = Box::pin(body_comes(conn, work, exchange, None, 0)).await
    {
        exchange.body_spent = true;
        return Box::pin(fail(conn, work, exchange, cause)).await;
    }
    if exchange.client_left {
        return Box::pin(fail(conn, work, exchange, Cause::ClientAbortRequest)).await;
    }
    if work.request.is_connect() {
        return Box::pin(no_tunnel(conn, work, exchange)).await;
    }
    exchange.mark_packets(conn);
    prepare(&site, &pool, exchange, &mut work.request);
    exchange.idempotent = work.request.is_idempotent();
    attempt::proxy(conn, work, exchange, &pool).await
}

/// Takes out the fields with odd names, as `odd` says; true when the request is to be refused for them.
fn is_odd(odd: OddNames, request: &mut RequestHead) -> bool {
    let is_plain = |name: &[u8]| name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    match odd {
        OddNames::Keep => false,
        OddNames::Delete => {
            request.fields.remove_where(|name, _| !is_plain(name));
            false
        }
        OddNames::Refuse => request.fields.iter().any(|field| !is_plain(request.fields.name(field))),
    }
}

async fn deny_odd(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> After {
    exchange.denied = true;
    exchange.count(Event::Error);
    exchange.fail(Cause::Denied);
    let own = answer::error_page(403, &exchange.pages(), None);
    say(conn, work, exchange, own).await
}

/// CONNECT that no rule answered: a balancer that opened tunnels would be an open door.
async fn no_tunnel(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> After {
    exchange.fail(Cause::BadRequest);
    // What follows was meant for the other end of the tunnel.
    exchange.body_spent = true;
    let own = answer::error_page(405, &exchange.pages(), None);
    say(conn, work, exchange, own).await
}

/// Does what the rules of a request wait for until one of them ends it; `None` when all have run.
async fn carry_out(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    rules: &[plan::Rule],
    mut verdict: Verdict,
) -> Option<After> {
    loop {
        match verdict {
            Verdict::Continue => return None,
            Verdict::Errand(errand, next) => {
                if let Err(cause) = course::run(conn, work, exchange, errand).await {
                    exchange.body_spent = true;
                    // As with HAProxy, its time then is not that of a request.
                    exchange.times.head = None;
                    return Some(fail(conn, work, exchange, cause).await);
                }
                verdict = rules::on_request(rules, next, exchange, &mut work.request);
            }
            verdict => return Some(decided(conn, work, exchange, verdict).await),
        }
    }
}

/// Waits until the request's body is there, as far as the buffer goes (`option http-buffer-request`), or until
/// `at_least` bytes of it are (0 = all). When the client leaves meanwhile, rules still run, and no server is asked.
pub(crate) async fn body_comes(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    longest: Option<Duration>,
    at_least: u64,
) -> Result<(), Cause> {
    let is_here = |work: &Workspace| is_enough(work.buffer.bytes(), work.request.framing(), at_least);
    if is_here(work) {
        return Ok(());
    }
    if work.request.expects_continue() && !exchange.continued {
        exchange.continued = true;
        if !conn.write_all(b"HTTP/1.1 100 Continue\r\n\r\n", exchange).await {
            return Err(Cause::ClientAbortRequest);
        }
    }
    let request = conn.site.plan.timeouts.request;
    conn.deadline.set(longest.or(request).or(exchange.client_timeout()));
    while !is_here(work) && !work.buffer.is_full() {
        match conn.fill(work).await {
            Ok(0) | Err(Interrupted::Io) => {
                exchange.client_left = true;
                exchange.body_spent = true;
                return Ok(());
            }
            Ok(_) => {}
            Err(Interrupted::Fired(_)) => {
                // The request was the head and the body; it never was there.
                exchange.times.head = None;
                return Err(Cause::RequestTimeout);
            }
        }
    }
    Ok(())
}

/// Rules on the first bytes, which here are the request's head: what they wait for is there.
fn inspected(rules: &[plan::Rule], exchange: &mut Exchange, request: &mut RequestHead) -> Option<After> {
    if rules.is_empty() {
        return None;
    }
    match rules::on_request(rules, 0, exchange, request) {
        Verdict::Continue => None,
        verdict => Some(refused(exchange, &verdict)),
    }
}

/// Rules on the connection and on who connected, before a byte of a request is read.
pub(crate) fn admitted(conn: &mut Conn) -> Option<After> {
    let site = Arc::clone(&conn.site);
    let plan = &site.plan.rules;
    if plan.connection.is_empty() && plan.session.is_empty() {
        return None;
    }
    let mut exchange = Exchange::new(conn, conn.since, conn.since);
    exchange.tracking = Level::Connection;
    for rules in [&plan.connection, &plan.session] {
        match rules::on_request(rules, 0, &mut exchange, &mut RequestHead::default()) {
            Verdict::Continue => {}
            verdict => {
                conn.site.stats.at(conn.local.worker.index).denied_connections.add(1);
                return Some(refused(&mut exchange, &verdict));
            }
        }
    }
    exchange.count(Event::Session);
    exchange.mark_packets(conn);
    conn.peers.client = exchange.client;
    conn.peers.local = exchange.local;
    conn.session = exchange.variables.into_session();
    conn.tracked = exchange.tracked;
    None
}

/// What a status says about client and server.
pub(crate) fn event_of(status: u16) -> Option<Event> {
    match status {
        400..=499 => Some(Event::Error),
        501 | 505 => None,
        500..=599 => Some(Event::Failure),
        _ => None,
    }
}

/// A connection that a rule of the lower layer ends.
fn refused(exchange: &mut Exchange, verdict: &Verdict) -> After {
    exchange.denied = true;
    exchange.fail(Cause::Denied);
    if matches!(verdict, Verdict::SilentDrop) { After::Vanish } else { After::End }
}

/// The first route whose condition holds and whose pool exists.
fn route(site: &Site, exchange: &Exchange, request: &RequestHead) -> Option<Arc<Pool>> {
    let scene = Scene { exchange, request, response: None };
    for (route, pool) in site.plan.routes.iter().zip(&site.routes) {
        if !route.condition.holds(&scene as &dyn Facts) {
            continue;
        }
        match (&route.target, pool) {
            (_, Some(pool)) => return Some(Arc::clone(pool)),
            (RouteTarget::Computed(name), None) => {
                let name = name.text(&scene);
                let found = std::str::from_utf8(&name).ok().and_then(|name| site.pools.get(name));
                if let Some(pool) = found {
                    return Some(Arc::clone(pool));
                }
            }
            (RouteTarget::Pool(_), None) => {}
        }
    }
    site.default_pool.clone()
}

/// What every request gets on its way to a server.
fn prepare(site: &Site, pool: &Pool, exchange: &mut Exchange, request: &mut RequestHead) {
    let (pool, http) = (&pool.plan.http, &site.plan.http);
    if pool.compression.is_some() || http.compression.is_some() {
        squeeze::wish(exchange, request);
    }
    address_field([&pool.forwarded_for, &http.forwarded_for], exchange.client, request);
    address_field([&pool.original_to, &http.original_to], exchange.local, request);
    let id = exchange.unique_id.made();
    if let Some(header) = site.plan.unique_id_header.as_ref().filter(|_| !id.is_empty()) {
        request.fields.set(header.as_bytes(), id);
    }
}

/// Tells the server who the client is, or where it connected to. The pool's name for the field wins; each may
/// except addresses; a field that is there already counts only when all who ask for it say so.
fn address_field(asked: [&Option<ForwardedFor>; 2], peer: Peer, request: &mut RequestHead) {
    let Some(peer) = peer.ip() else { return };
    let asked = || asked.into_iter().flatten();
    let Some(first) = asked().next() else { return };
    let named = first.header.as_bytes();
    let present = || request.fields.position(named).is_some();
    let excepted = asked().any(|one| one.except.contains(peer.ip()));
    if excepted || (asked().all(|one| one.if_none) && present()) {
        return;
    }
    let mut text = [0u8; 48];
    request.fields.append(named, address_text(peer.ip(), &mut text));
}

/// An address as text without the heap.
fn address_text(address: std::net::IpAddr, into: &mut [u8; 48]) -> &[u8] {
    use std::io::Write;
    let mut rest = &mut into[..];
    let _ = write!(rest, "{address}"); // 39 bytes at the most
    let left = rest.len();
    &into[..48 - left]
}

fn capture(site: &Site, exchange: &mut Exchange, request: &RequestHead) {
    for (slot, (name, length)) in site.plan.request_captures.iter().enumerate() {
        exchange.capture_request(slot, last_value(&request.fields, name, *length));
    }
    if let Some((name, length)) = &site.plan.cookie_capture {
        let line = request.fields.find(Name::Cookie);
        exchange.request_cookie = line.and_then(|line| cookie_pair(line, name.as_bytes(), *length));
    }
}

/// The last value of a header, cut to `length`.
pub(crate) fn last_value(fields: &wire::http1::Fields, name: &str, length: usize) -> Option<Vec<u8>> {
    let lower = name.to_ascii_lowercase();
    let value = fields.find_str(lower.as_bytes()).next_back()?;
    Some(value[..value.len().min(length)].to_vec())
}

/// The pair `name…=value` of a cookie line, cut to `length`.
pub(crate) fn cookie_pair(line: &[u8], beginning: &[u8], length: usize) -> Option<Vec<u8>> {
    let pair = line.split(|b| *b == b';').map(<[u8]>::trim_ascii).find(|pair| pair.starts_with(beginning))?;
    Some(pair[..pair.len().min(length)].to_vec())
}

/// The monitor path is answered before everything else, without a log line.
async fn monitor(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Option<After> {
    let site = Arc::clone(&conn.site);
    let path = site.plan.monitor_path.as_ref()?;
    let request = &work.request;
    if exchange.target_as_received(request) != path.as_bytes() && request.path_and_query() != path.as_bytes()
    {
        return None;
    }
    let scene = Scene { exchange, request, response: None };
    let failing = site.plan.monitor_fail.iter().any(|condition| condition.holds(&scene));
    exchange.intercepted = true;
    exchange.log_level = Some(None);
    exchange.letters = Some(*b"LR");
    let page = answer::error_page(if failing { 503 } else { 200 }, &[&site.plan.pages], None);
    Some(say(conn, work, exchange, page).await)
}

/// Carries out a verdict of request rules that ends the request.
async fn decided(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, verdict: Verdict) -> After {
    let own = match verdict {
        Verdict::Continue | Verdict::Reject => {
            exchange.denied = true;
            exchange.fail(Cause::Denied);
            return After::Close;
        }
        Verdict::SilentDrop => {
            exchange.denied = true;
            exchange.fail(Cause::Denied);
            return After::Vanish;
        }
        Verdict::BadTarget => {
            exchange.times.head = None;
            return fail(conn, work, exchange, Cause::BadRequest).await;
        }
        Verdict::Failed | Verdict::TooLate | Verdict::Errand(..) => {
            return fail(conn, work, exchange, Cause::Internal).await;
        }
        Verdict::Tarpit(answer) => {
            hold(conn, exchange).await;
            exchange.letters = Some(*b"PT");
            refuse(work, exchange, &answer)
        }
        Verdict::Answer(answer, Denied::Yes) => refuse(work, exchange, &answer),
        Verdict::Answer(answer, Denied::No) => {
            exchange.intercepted = true;
            exchange.letters = Some(*b"LR");
            let scene = Scene { exchange, request: &work.request, response: None };
            answer::fixed(&answer, &exchange.pages(), &scene)
        }
        Verdict::Metrics => {
            exchange.intercepted = true;
            exchange.letters = Some(*b"LR");
            let query = String::from_utf8_lossy(work.request.query().unwrap_or_default()).into_owned();
            page_answer(conn.site.process.pages.metrics(&query))
        }
        Verdict::Redirect(redirect, location) => {
            exchange.intercepted = true;
            exchange.letters = Some(*b"LR");
            let scene = Scene { exchange, request: &work.request, response: None };
            answer::redirect(&redirect, &location, &scene)
        }
        Verdict::Authenticate(realm) => {
            exchange.intercepted = true;
            exchange.letters = Some(*b"LR");
            answer::authenticate(realm_of(&realm, exchange), &exchange.pages())
        }
    };
    say(conn, work, exchange, own).await
}

/// The realm of a password question: without a name of its own it has that of whoever asks.
fn realm_of<'r>(said: &'r str, exchange: &'r Exchange) -> &'r str {
    let asker = exchange.pool.as_ref().map_or(&exchange.site.plan.name, |pool| &pool.plan.name);
    if said.is_empty() { asker } else { said }
}

fn refuse(work: &Workspace, exchange: &mut Exchange, answer: &plan::Answer) -> Own {
    exchange.denied = true;
    exchange.count(Event::Error);
    exchange.fail(Cause::Denied);
    let scene = Scene { exchange, request: &work.request, response: None };
    answer::fixed(answer, &exchange.pages(), &scene)
}

async fn hold(conn: &mut Conn, exchange: &Exchange) {
    let timeouts = &conn.site.plan.timeouts;
    let said = exchange.said_timeout(plan::rule::TimeoutKind::Tarpit);
    let wait = said.or(timeouts.tarpit).or(timeouts.request).unwrap_or(Duration::from_secs(10));
    course::sleep(conn, wait).await;
}

/// Answers with the error page of `cause`.
pub(crate) async fn fail(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    cause: Cause,
) -> After {
    exchange.fail(cause);
    if cause == Cause::QueueTimeout {
        // All of its time was waiting, and the log says how long that was.
        exchange.times.queued.get_or_insert(tasks::clock::now());
    }
    let own = {
        let scene = Scene { exchange, request: &work.request, response: None };
        answer::error_page(cause.status(), &exchange.pages(), Some(&scene))
    };
    say(conn, work, exchange, own).await
}

/// Sends an answer of our own and takes in what is left of the request's body.
pub(crate) async fn say(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, own: Own) -> After {
    let (mut head, body, framing) = match own {
        Own::Message(head, body) => {
            let length = body.len() as u64;
            (head, body, BodyFraming::Length(length))
        }
        Own::Whole(head, body) => {
            let framing = head.announced_length().map_or(BodyFraming::UntilClose, BodyFraming::Length);
            (head, body, framing)
        }
        Own::Nothing => return After::Close,
    };
    if exchange.number > 0 && !exchange.bad_request {
        after_response_rules(exchange, &work.request, &mut head);
    }
    let keep = !exchange.bad_request
        && !exchange.body_spent
        && head.keep_alive()
        && framing != BodyFraming::UntilClose
        && conn.may_keep(&work.request)
        && body_is_here(work);
    exchange.status = Some(head.status);
    let mut out = std::mem::take(&mut work.out);
    out.clear();
    let headless = exchange.method_as_received(&work.request) == b"HEAD" && !exchange.bad_request;
    answer::write(&head, &body, framing, keep, headless, work.request.version, &mut out);
    let sent = conn.write_all(&out, exchange).await;
    work.out = out;
    match (sent, keep) {
        (false, _) => After::Cut,
        (true, true) => {
            drop_body(work);
            After::KeepAlive
        }
        (true, false) => {
            let whole = !exchange.bad_request && !exchange.body_spent && body_is_here(work);
            if whole {
                drop_body(work);
            }
            if whole && work.buffer.is_empty() { After::End } else { After::Close }
        }
    }
}

/// Rules on every response, the pool's before the site's.
pub(crate) fn after_response_rules(
    exchange: &mut Exchange,
    request: &RequestHead,
    response: &mut wire::http1::ResponseHead,
) {
    let own = |pool: &Arc<Pool>| pool.plan.rules.after_response.is_empty();
    if exchange.site.plan.rules.after_response.is_empty() && exchange.pool.as_ref().is_none_or(own) {
        return;
    }
    let site = Arc::clone(&exchange.site);
    let pool = exchange.pool.clone();
    for list in pool.iter().map(|p| &p.plan.rules.after_response).chain([&site.plan.rules.after_response]) {
        let _ = rules::on_response(list, 0, exchange, request, response);
    }
}

/// True when all of the request's body already lies in the buffer.
fn body_is_here(work: &Workspace) -> bool {
    match work.request.framing() {
        BodyFraming::None => true,
        BodyFraming::Length(n) => work.buffer.len() as u64 >= n,
        BodyFraming::Chunked | BodyFraming::UntilClose => false,
    }
}

fn drop_body(work: &mut Workspace) {
    if let BodyFraming::Length(n) = work.request.framing() {
        work.buffer.consume(n as usize);
    }
}

fn is_page(page: &Statistics, request: &RequestHead) -> bool {
    let target = request.path_and_query();
    let own = page.path.as_bytes();
    target.starts_with(own)
        || page.metrics_path.as_deref().is_some_and(|path| request.path() == path.as_bytes())
}

/// The statistics page: password, then the page itself.
async fn statistics(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    page: &Arc<Statistics>,
    holder: &str,
) -> After {
    exchange.intercepted = true;
    exchange.letters = Some(*b"LR");
    if !page.users.users.is_empty() && !crate::auth::is_user(&page.users, &work.request) {
        exchange.is_page = true;
        let now = Some(tasks::clock::now());
        (exchange.times.queued, exchange.times.connected) = (now, now);
        let own = answer::authenticate(&page.realm, &exchange.pages());
        return say(conn, work, exchange, own).await;
    }
    let admin = {
        let scene = Scene { exchange, request: &work.request, response: None };
        page.admin.as_ref().is_some_and(|condition| condition.holds(&scene))
    };
    let post = if work.request.method() == b"POST" { Some(conn.small_body(work).await) } else { None };
    let rest = {
        let target = work.request.path_and_query();
        let rest = target.strip_prefix(page.path.as_bytes()).unwrap_or(target);
        String::from_utf8_lossy(rest).into_owned()
    };
    let request = PagesRequest { rest: &rest, post: post.as_deref(), admin };
    let own = page_answer(conn.site.process.pages.answer(holder, page, &request));
    // The page is its own server, reached at once.
    let now = Some(tasks::clock::now());
    exchange.is_page = true;
    (exchange.times.queued, exchange.times.connected, exchange.times.answered) = (now, now, now);
    say(conn, work, exchange, own).await
}

fn page_answer(reply: PagesAnswer) -> Own {
    let mut head = answer::head(reply.status);
    head.fields.append(b"cache-control", b"no-cache");
    head.fields.append(b"content-type", reply.content_type.as_bytes());
    for (name, value) in &reply.headers {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    Own::Message(head, reply.body)
}
