//! The cache of a location: before a server is asked, when it has answered, and when it has failed.
//!
//! ```text
//!   look ─► fresh ─────────────────────────► kept answer (HIT)
//!        ─► stale, being fetched, allowed ─► kept answer (UPDATING)
//!        ─► stale, ours to fetch ─► kept answer (STALE), then the server behind it
//!        ─► nothing ─► server ─► kept on its way to the client (MISS, EXPIRED, BYPASS)
//!                        ├─ 304 ─► kept answer (REVALIDATED)
//!                        └─ failed, allowed ─► kept answer (STALE)
//! ```

use super::answer::{self, Orders};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::host::send::{self, Body};
use crate::host::{Reply, Turn, text};
use crate::local::Workspace;
use crate::scene::Scene;
use ::cache::{Ask, Body as Kept, Entry, Found, Ticket, Wait, Writer, Zone, policy};
use plan::cache::{Cache, CacheName, CacheStatus};
use plan::host::Proxy;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tasks::clock;
use telemetry::Cause;
use wire::http1::{Name, ResponseHead};

/// Waits of one request for others that fetch.
const WAITS: u32 = 1000;

/// What a visit knows of its cache.
#[derive(Default)]
pub(crate) struct Seen {
    /// What it had to do with the answer.
    pub status: Option<CacheStatus>,
    /// The answer that is asked about anew.
    pub stale: Option<Arc<Entry>>,
}

/// A request whose answer may be kept.
pub(super) struct Fetch<'p> {
    cache: &'p Cache,
    /// The right to keep the answer; taken when it is used.
    ticket: Option<Ticket>,
    /// A stale answer that may help out.
    stale: Option<Arc<Entry>>,
    /// The server is asked whether the stale answer still holds.
    revalidates: bool,
    /// The client has its answer already.
    pub background: bool,
}

/// What a cache says about a request.
pub(super) enum Looked<'p> {
    /// It is not for the cache.
    Passed,
    /// This follows.
    Turn(Turn),
    /// The server is asked.
    Fetch(Fetch<'p>),
    /// The client gets a stale answer, and the server is asked behind it.
    Background(Fetch<'p>, Arc<Entry>),
}

/// Milliseconds since 1970.
fn now_ms(conn: &Conn) -> u64 {
    u64::try_from(conn.local.wall_us(clock::exact()) / 1000).unwrap_or(0)
}

/// The cache of this request. `Err` = it names one that is not there.
fn zone_of(
    conn: &Conn,
    work: &Workspace,
    exchange: &mut Exchange,
    cache: &Cache,
) -> Result<Option<Arc<Zone>>, Turn> {
    let computed;
    let name = match &cache.zone {
        CacheName::Fixed(name) => &**name,
        CacheName::Computed(template) => {
            computed = text(exchange, work, template);
            std::str::from_utf8(&computed).unwrap_or("?")
        }
    };
    match name {
        "" | "off" => Ok(None),
        name => match conn.site.caches.get(name) {
            Some(zone) => Ok(Some(Arc::clone(zone))),
            None => {
                let what = format!("cache \"{name}\" not found");
                crate::host::tell::tell(conn, work, exchange, plan::Severity::Error, &what);
                exchange.fail(Cause::Internal);
                Err(Turn::Fail(500))
            }
        },
    }
}

/// Asks the cache. `url` makes the key when the configuration says none.
pub(super) async fn look<'p>(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    proxy: &'p Proxy,
    url: impl FnOnce(&Exchange, &Workspace) -> Result<Vec<u8>, u16>,
) -> Looked<'p> {
    let Some(cache) = proxy.cache.as_deref() else { return Looked::Passed };
    let method = work.request.method();
    let zone = match zone_of(conn, work, exchange, cache) {
        Ok(Some(zone)) => zone,
        Ok(None) => return Looked::Passed,
        Err(turn) => return Looked::Turn(turn),
    };
    let key = match &cache.key {
        Some(template) => Ok(text(exchange, work, template)),
        None => url(exchange, work),
    };
    let Ok(mut key) = key else { return Looked::Passed };
    if !cache.takes(method) {
        if !matches!(method, b"OPTIONS" | b"TRACE") {
            note_change(exchange, zone, key);
        }
        return Looked::Passed;
    }
    // An answer to HEAD must never answer GET.
    if method == b"HEAD" && !cache.convert_head {
        key.extend_from_slice(b" HEAD");
    }
    if is_bypassed(exchange, work, cache) {
        let ask = Ask { key: &key, request: &work.request.fields, min_uses: 1, lock: None };
        let ticket = zone.bypass(&ask);
        say(exchange, CacheStatus::Bypass, None);
        return Looked::Fetch(fetch(cache, Some(ticket), None));
    }
    let mut looked = ask_zone(conn, work, exchange, cache, &zone, &key).await;
    if let (Looked::Fetch(fetch), Some(most)) = (&mut looked, cache.max_range_offset)
        && let Some(range) = work.request.fields.find(Name::Range)
        && policy::is_far_range(range, most)
    {
        fetch.ticket = None;
    }
    looked
}

fn fetch(cache: &Cache, ticket: Option<Ticket>, stale: Option<Arc<Entry>>) -> Fetch<'_> {
    let revalidates = cache.revalidate && stale.as_ref().is_some_and(|entry| can_be_asked(entry));
    Fetch { cache, ticket, stale, revalidates, background: false }
}

fn can_be_asked(entry: &Entry) -> bool {
    entry.etag().is_some() || entry.last_modified().is_some()
}

fn is_bypassed(exchange: &Exchange, work: &Workspace, cache: &Cache) -> bool {
    let scene = Scene { exchange, request: &work.request, response: None };
    policy::any_set(&cache.bypass, &scene)
}

fn say(exchange: &mut Exchange, status: CacheStatus, stale: Option<Arc<Entry>>) {
    if let Some(state) = exchange.upstream() {
        state.cache = Seen { status: Some(status), stale };
    }
}

/// Remembers to forget an answer once a request that changes things has succeeded (RFC 9111, 4.4).
fn note_change(exchange: &mut Exchange, zone: Arc<Zone>, key: Vec<u8>) {
    if let Some(state) = exchange.upstream() {
        state.changes = Some((zone, key));
    }
}

/// Looks, and waits for others that fetch the same.
async fn ask_zone<'p>(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    cache: &'p Cache,
    zone: &Arc<Zone>,
    key: &[u8],
) -> Looked<'p> {
    let begun = clock::exact();
    for _ in 0..WAITS {
        let now = now_ms(conn);
        let found = {
            let request = &work.request.fields;
            zone.look(&Ask { key, request, min_uses: cache.min_uses, lock: cache.lock }, now)
        };
        let wait = match found {
            Found::Busy(wait) => wait,
            other => return decided(exchange, cache, other, now),
        };
        let most = cache.lock.unwrap_or_default().timeout;
        let left = most.saturating_sub(clock::exact().saturating_sub(begun));
        match wait_for(conn, work, &wait, left, cache).await {
            Waited::Over => {}
            Waited::Late => break,
            Waited::Gone => {
                exchange.fail(Cause::ClientAbortQueue);
                exchange.status = Some(499);
                return Looked::Turn(Turn::Done(crate::exchange::After::Close));
            }
        }
    }
    // Who waited too long asks for himself.
    say(exchange, CacheStatus::Miss, None);
    Looked::Fetch(fetch(cache, None, None))
}

enum Waited {
    Over,
    Late,
    Gone,
}

/// Waits until the other one is done, or until it takes too long and somebody else may fetch.
async fn wait_for(
    conn: &mut Conn,
    work: &mut Workspace,
    wait: &Wait,
    left: Duration,
    cache: &Cache,
) -> Waited {
    if left.is_zero() {
        return Waited::Late;
    }
    let age = cache.lock.unwrap_or_default().age;
    conn.deadline.set(Some(left.min(age.max(Duration::from_millis(1)))));
    let mut watch = crate::attempt::ClientWatch::new(true);
    let mut over = std::pin::pin!(wait.over());
    let (stream, deadline, buffer) = (&mut conn.stream, &conn.deadline, &mut work.buffer);
    std::future::poll_fn(|cx| {
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Waited::Over);
        }
        if watch.poll_gone(cx, stream, buffer) {
            return Poll::Ready(Waited::Gone);
        }
        deadline.poll_fired(cx).map(|_| Waited::Over)
    })
    .await
}

fn decided<'p>(exchange: &mut Exchange, cache: &'p Cache, found: Found, now: u64) -> Looked<'p> {
    let while_updating = |entry: &Entry| cache.use_stale.updating || entry.may_serve_updating(now);
    match found {
        Found::Fresh(entry) => {
            say(exchange, CacheStatus::Hit, None);
            Looked::Turn(Turn::Kept(entry))
        }
        Found::Failed(status) => {
            say(exchange, CacheStatus::Hit, None);
            match status {
                502 => exchange.fail(Cause::ConnectFailed),
                504 => exchange.fail(Cause::FirstByteTimeout),
                _ => {}
            }
            Looked::Turn(Turn::Fail(status))
        }
        Found::Updating(entry, _) if while_updating(&entry) => {
            say(exchange, CacheStatus::Updating, None);
            Looked::Turn(Turn::Kept(entry))
        }
        Found::Stale(entry, ticket) if cache.background_update && while_updating(&entry) => {
            say(exchange, CacheStatus::Stale, Some(Arc::clone(&entry)));
            let mut fetch = fetch(cache, Some(ticket), Some(Arc::clone(&entry)));
            fetch.background = true;
            Looked::Background(fetch, entry)
        }
        Found::Stale(entry, ticket) | Found::Updating(entry, ticket) => {
            say(exchange, CacheStatus::Expired, Some(Arc::clone(&entry)));
            Looked::Fetch(fetch(cache, Some(ticket), Some(entry)))
        }
        Found::Missing(ticket) => {
            say(exchange, CacheStatus::Miss, None);
            Looked::Fetch(fetch(cache, Some(ticket), None))
        }
        Found::Scarce | Found::Busy(_) => {
            say(exchange, CacheStatus::Miss, None);
            Looked::Fetch(fetch(cache, None, None))
        }
    }
}

/// What becomes of an answer whose head is there.
pub(super) enum Answered {
    /// It is passed on, and perhaps kept.
    Passed(Option<Box<Writer>>),
    /// A kept answer stands in its place.
    Kept(Arc<Entry>),
}

impl Fetch<'_> {
    /// True when the server is asked as a cache asks: for the whole, without the client's conditions.
    pub fn is_whole(&self) -> bool {
        self.ticket.is_some()
    }

    /// The server is asked with GET.
    pub fn converts_head(&self) -> bool {
        self.ticket.is_some() && self.cache.convert_head
    }

    /// Validators to ask with: tag and date.
    pub fn validators(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        match self.stale.as_deref().filter(|_| self.revalidates) {
            Some(entry) => (entry.etag(), entry.last_modified()),
            None => (None, None),
        }
    }

    /// The head of the server's answer is there.
    pub fn answered(
        &mut self,
        conn: &Conn,
        work: &Workspace,
        exchange: &mut Exchange,
        head: &ResponseHead,
    ) -> Answered {
        let now = now_ms(conn);
        if head.status == 304
            && self.revalidates
            && let (Some(entry), Some(ticket)) = (&self.stale, self.ticket.take())
        {
            let entry = self.confirm(ticket, entry, head, now);
            say(exchange, CacheStatus::Revalidated, None);
            return Answered::Kept(entry);
        }
        if self.cache.use_stale.statuses.contains(&head.status)
            && let Some(entry) = self.stale.take()
        {
            say(exchange, CacheStatus::Stale, None);
            return Answered::Kept(entry);
        }
        Answered::Passed(self.writer(work, exchange, head, now).map(Box::new))
    }

    /// A stale answer that still holds.
    fn confirm(&self, ticket: Ticket, entry: &Arc<Entry>, head: &ResponseHead, now: u64) -> Arc<Entry> {
        // What the 304 does not say is as the kept answer said it (RFC 9111, 4.3.4).
        let mut merged = entry.head.clone();
        policy::refresh(&mut merged, head);
        match policy::judge(self.cache, false, &merged, now) {
            Ok(kept) => ticket.confirm(entry, head, kept.life, now),
            Err(_) => Arc::clone(entry),
        }
    }

    fn writer(
        &mut self,
        work: &Workspace,
        exchange: &Exchange,
        head: &ResponseHead,
        now: u64,
    ) -> Option<Writer> {
        let ticket = self.ticket.take()?;
        let scene = Scene { exchange, request: &work.request, response: Some(head) };
        if policy::any_set(&self.cache.no_store, &scene) {
            return None;
        }
        let request = &work.request.fields;
        let authorized = request.find(Name::Authorization).is_some();
        let kept = policy::judge(self.cache, authorized, head, now).ok()?;
        ticket.begin(kept, head, request)
    }

    /// No server answered: a stale answer that may stand in.
    pub fn failed(
        &mut self,
        conn: &Conn,
        exchange: &mut Exchange,
        kind: super::line::Kind,
        status: u16,
    ) -> Option<Arc<Entry>> {
        use super::line::Kind;
        let (use_stale, now) = (&self.cache.use_stale, now_ms(conn));
        let allowed = match kind {
            Kind::Error => use_stale.error,
            Kind::Timeout => use_stale.timeout,
            Kind::Invalid => use_stale.invalid_header,
            Kind::Status(_) | Kind::Client(..) | Kind::Ours => return None,
        };
        if let Some(entry) = self.stale.take_if(|entry| allowed || entry.may_serve_error(now)) {
            say(exchange, CacheStatus::Stale, None);
            return Some(entry);
        }
        if let (502 | 504, Some(time)) = (status, self.cache.valid_for(status))
            && let Some(ticket) = self.ticket.take()
        {
            ticket.failed(status, time, now);
        }
        None
    }
}

/// The answer went by whole: it is kept. A cache that cannot write is no fault of the answer.
pub(super) fn finish(conn: &Conn, writer: Writer) {
    let _ = writer.finish(now_ms(conn));
}

/// Answers with what is kept.
pub(in crate::host) async fn serve_kept(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    entry: &Arc<Entry>,
) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Fail(500) };
    let location = Arc::clone(&visit.location);
    let plan::host::Content::Proxy(proxy) = &location.content else { return Turn::Fail(500) };
    let orders = Orders::of(&entry.head, &proxy.ignore);
    if let Some(turn) = super::ordered(work, exchange, proxy, &entry.head, &orders) {
        return turn;
    }
    answer::take(exchange, work, proxy, &entry.head, &orders);
    if entry.life.said {
        let age = entry.life.age_at(now_ms(conn));
        work.response.fields.set(b"Age", itoa::Buffer::new().format(age).as_bytes());
    }
    if let Some(state) = exchange.upstream() {
        state.answer = Some(Box::new(entry.head.clone()));
    }
    let body = match &entry.body {
        Kept::Memory(bytes) => Body::from(bytes.to_vec()),
        Kept::File { file, start, length } => match file.try_clone() {
            Ok(file) => Body::part(file.into(), *start, *length),
            Err(_) => {
                exchange.fail(Cause::Internal);
                return Turn::Fail(500);
            }
        },
    };
    let head = std::mem::take(&mut work.response);
    let reply = Reply { head, body, ranges: true, streamed: false, varies: false };
    send::send(conn, work, exchange, reply).await
}
