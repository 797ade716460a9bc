//! Sites with virtual hosts: the walk of a request from its host to the content that answers it.
//!
//! ```text
//!   Host ──► Locate ──► Enter ──► Limits ──► Access ──► Content ──► Reply ──► Done
//!    ▲          ▲         │          │          │          │
//!    │          └─ path ──┘          ▼          ▼          │
//!    │           changed            Fail ◄──────┴──────────┘
//!    └──── internal redirect ◄───────┤ (an error page of ours)
//!                                    └──► Reply
//! ```
//!
//! Every arrow is a [`Turn`]; a request takes at most [`CHANGES`] internal redirects.

mod access;
mod counters;
mod files;
mod limits;
mod logs;
mod proxy;
mod realip;
mod reply;
mod send;
mod steps;
mod subrequest;
mod tell;
mod variables;

use crate::client::Conn;
use crate::exchange::{After, Exchange};
use crate::local::{Workspace, limits_of};
pub(crate) use counters::Busy;
pub use counters::Visitors;
pub(crate) use logs::log;
use plan::host::{Content, Fallback, Found, Groups, Host, Location, VariableId};
use plan::rule::Template;
pub(crate) use reply::Reply;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use telemetry::Cause;
use wire::http1::{BodyFraming, Escape, HeadError, RequestHead, escape, host_name, normalize_target};

pub(crate) use variables::each as each_fact;

/// Internal redirects of one request at the most.
const CHANGES: u8 = 10;

/// Where a request is on its walk.
pub(crate) struct Visit {
    pub host: Arc<Host>,
    pub location: Arc<Location>,
    /// The host that the request asked for: lower case, without port.
    pub name: Vec<u8>,
    /// The path now, decoded and normalised.
    pub path: Vec<u8>,
    /// The query now.
    pub arguments: Vec<u8>,
    /// The path is still the one that the client sent, so its bytes may be sent on.
    pub untouched: bool,
    /// The path still begins with that of the location.
    pub fits_location: bool,
    /// The client's path was percent-encoded, or holds a `+`.
    pub quoted: bool,
    /// It came here by an internal redirect.
    pub internal: bool,
    /// Further internal redirects.
    changes: u8,
    /// What the last expression caught.
    pub groups: RefCell<Groups>,
    /// Groups are escaped where templates name them, because they become arguments.
    pub escapes_groups: Cell<bool>,
    /// Variables that steps set.
    pub variables: RefCell<Vec<Option<Vec<u8>>>>,
    /// Status of the failure whose page is on its way, and which the answer is to have.
    pub failure: Option<u16>,
    /// An error page is on its way: further failures get the built-in page.
    in_error_page: bool,
    /// Where a redirect of ours leads.
    pub redirect_to: Option<Vec<u8>>,
    /// Bytes of the head of our answer.
    pub head_bytes: u64,
    /// Our id, once it was asked for.
    pub id: std::cell::OnceCell<[u8; 32]>,
    /// The client's address before a proxy told another one.
    pub peer: listener::Peer,
    /// Rate of the answer that a step set.
    pub rate: Option<Vec<u8>>,
    /// It is a request of ours beside another one: no guard asks it.
    pub is_beside: bool,
    /// The client's address was told by a trusted proxy.
    pub real_ip_known: bool,
    /// What `WWW-Authenticate` says, as another server said it.
    pub challenge: Option<Vec<u8>>,
    /// What a name and a password are asked for.
    pub realm: Option<Vec<u8>>,
    /// What limits decided.
    pub limited: limits::Limited,
    /// The path was tried, and found (`try_files`).
    pub tried: bool,
    /// Length of a body in which no range lies that was asked for.
    pub unsatisfied: Option<u64>,
    /// Its ways to servers.
    pub proxy: proxy::State,
}

/// What happens next to a request.
pub(crate) enum Turn {
    /// Steps of the host.
    Host,
    /// A location is looked for.
    Locate,
    /// Steps of the location.
    Enter,
    /// Whether the client asks too often.
    Limits,
    /// Whether the client may.
    Access,
    /// The content answers.
    Content,
    /// The failure with this status is answered.
    Fail(u16),
    /// A kept answer is the answer.
    Kept(Arc<cache::Entry>),
    /// This is the answer.
    Reply(Box<Reply>),
    /// It is over.
    Done(After),
}

/// Serves the request whose head stands in `work`.
pub(crate) async fn serve(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> After {
    let turn = begin(conn, work, exchange);
    walk(conn, work, exchange, turn).await
}

/// Goes on from `turn` to the end.
async fn walk(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, mut turn: Turn) -> After {
    loop {
        turn = match turn {
            Turn::Host => {
                realip::follow(work, exchange);
                steps::of_host(work, exchange)
            }
            Turn::Locate => locate(work, exchange),
            Turn::Enter => steps::of_location(work, exchange),
            Turn::Limits => limits::check(conn, work, exchange).await,
            Turn::Access => match access::check(conn, work, exchange).await {
                Turn::Content => tried(work, exchange),
                turn => turn,
            },
            Turn::Content => content(conn, work, exchange).await,
            Turn::Kept(entry) => proxy::serve_kept(conn, work, exchange, &entry).await,
            Turn::Fail(status) => fail(work, exchange, status),
            Turn::Reply(reply) => send::send(conn, work, exchange, *reply).await,
            Turn::Done(after) => return after,
        }
    }
}

/// A request that cannot be served: its head was no head, came too late, or said what it must not say.
pub(crate) async fn refuse(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    status: u16,
) -> After {
    // An error page may be elsewhere. It is asked for by a request of ours: nothing of this one can be trusted.
    work.request = RequestHead::new(b"GET", b"/", b"");
    if exchange.visit.is_none() {
        let _ = begin(conn, work, exchange);
    }
    walk(conn, work, exchange, Turn::Fail(status)).await
}

/// Finds the host and makes the visit.
fn begin(conn: &Conn, work: &Workspace, exchange: &mut Exchange) -> Turn {
    let Some(hosts) = &conn.site.plan.hosts else { return Turn::Done(After::Close) };
    let Some(bind) = hosts.binds.get(exchange.bind) else { return Turn::Done(After::Close) };
    let name = host_name(work.request.host()).into_owned();
    let (host, groups) = bind.find(&name);
    let mut visit = Box::new(Visit::new(host, exchange.client));
    visit.name = name;
    visit.variables.borrow_mut().resize(hosts.variables.len(), None);
    if let Some(groups) = groups {
        visit.keep(groups);
    }
    let good = !exchange.bad_request && visit.take_target(work, bind.default.heads.merge_slashes);
    exchange.idempotent = work.request.is_idempotent();
    exchange.visit = Some(visit);
    if exchange.bad_request {
        return Turn::Fail(400);
    }
    if let Err(error) = keep_to_host(conn, work, exchange) {
        exchange.fail(Cause::RequestTooBig);
        return Turn::Fail(error.status);
    }
    if !good || (work.request.host().is_empty() && work.request.version == wire::http1::Version::Http11) {
        exchange.fail(Cause::BadRequest);
        return Turn::Fail(400);
    }
    if work.request.is_connect() || work.request.method() == b"TRACE" {
        exchange.fail(Cause::BadRequest);
        return Turn::Fail(405);
    }
    Turn::Host
}

/// The head was read by the limits of all hosts of the bind; those of its own may be narrower.
fn keep_to_host(conn: &Conn, work: &Workspace, exchange: &Exchange) -> Result<(), HeadError> {
    let Some(visit) = exchange.visit.as_deref() else { return Ok(()) };
    let (of_bind, of_host) = (conn.site.head_limits(exchange.bind).0, limits_of(&visit.host.heads));
    if of_bind == of_host { Ok(()) } else { work.request.keep_to(&of_host) }
}

/// Makes the visit of a request beside `exchange`: the same host, another path. False when the path is none.
fn begin_beside(exchange: &Exchange, beside: &mut Exchange, path: &[u8]) -> bool {
    let Some(visit) = exchange.visit.as_deref() else { return false };
    let Ok((path, query)) = wire::http1::internal_target(path) else { return false };
    let mut inner = Visit::new(&visit.host, visit.peer);
    inner.name = visit.name.clone();
    (inner.path, inner.arguments) = (path.into_owned(), query.unwrap_or_default().to_vec());
    inner.variables = RefCell::new(visit.variables.borrow().clone());
    inner.id = visit.id.clone();
    (inner.untouched, inner.internal, inner.is_beside) = (false, true, true);
    inner.real_ip_known = visit.real_ip_known;
    beside.visit = Some(Box::new(inner));
    true
}

impl Visit {
    /// A visit that begins at a host.
    fn new(host: &Arc<Host>, peer: listener::Peer) -> Visit {
        Visit {
            location: Arc::clone(&host.outside),
            host: Arc::clone(host),
            name: Vec::new(),
            path: Vec::new(),
            arguments: Vec::new(),
            untouched: true,
            fits_location: true,
            quoted: false,
            internal: false,
            changes: CHANGES,
            groups: RefCell::default(),
            escapes_groups: Cell::new(false),
            variables: RefCell::default(),
            failure: None,
            in_error_page: false,
            redirect_to: None,
            head_bytes: 0,
            id: std::cell::OnceCell::new(),
            peer,
            rate: None,
            is_beside: false,
            real_ip_known: false,
            challenge: None,
            realm: None,
            limited: limits::Limited::default(),
            tried: false,
            unsatisfied: None,
            proxy: proxy::State::default(),
        }
    }

    /// Takes path and query from the request's target; false when it is no path.
    fn take_target(&mut self, work: &Workspace, merge_slashes: bool) -> bool {
        let Ok(target) = normalize_target(work.request.target(), merge_slashes) else { return false };
        self.quoted = target.quoted || target.plus;
        self.path = target.path.into_owned();
        self.arguments = target.query.unwrap_or_default().to_vec();
        true
    }

    /// Keeps what an expression caught, and sets the variables that its groups name.
    pub fn keep(&self, groups: Groups) {
        let mut variables = self.variables.borrow_mut();
        for (variable, value) in groups.named() {
            set(&mut variables, variable, value);
        }
        drop(variables);
        *self.groups.borrow_mut() = groups;
    }

    /// Sets a variable.
    pub fn set(&self, variable: VariableId, value: &[u8]) {
        set(&mut self.variables.borrow_mut(), variable, value);
    }

    /// Another path of ours, as if the client had asked for it.
    fn redirect(&mut self, path: Vec<u8>, arguments: Option<Vec<u8>>) -> Turn {
        if !self.may_change() {
            return Turn::Fail(500);
        }
        self.path = path;
        self.arguments = arguments.unwrap_or_default();
        (self.internal, self.untouched, self.fits_location) = (true, false, true);
        self.tried = false;
        self.location = Arc::clone(&self.host.outside);
        Turn::Host
    }

    /// A location by its name, with path and query as they are.
    fn go_to(&mut self, name: &[u8]) -> Turn {
        if !self.may_change() {
            return Turn::Fail(500);
        }
        let host = Arc::clone(&self.host);
        let Some(location) = host.locations.named(name) else { return Turn::Fail(500) };
        (self.internal, self.untouched) = (true, self.untouched);
        self.location = Arc::clone(location);
        Turn::Enter
    }

    /// Counts an internal redirect; false when there were too many.
    fn may_change(&mut self) -> bool {
        let left = self.changes > 0;
        self.changes = self.changes.saturating_sub(1);
        left
    }
}

fn set(variables: &mut [Option<Vec<u8>>], variable: VariableId, value: &[u8]) {
    if let Some(slot) = variables.get_mut(usize::from(variable.0)) {
        *slot = Some(value.to_vec());
    }
}

/// Looks for the location of the path.
fn locate(work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Done(After::Close) };
    visit.fits_location = true;
    let host = Arc::clone(&visit.host);
    match host.locations.find(&visit.path) {
        None => visit.location = Arc::clone(&host.outside),
        Some(Found::At(location, groups)) => {
            if location.internal && !visit.internal {
                visit.location = Arc::clone(location);
                return Turn::Fail(404);
            }
            visit.location = Arc::clone(location);
            if let Some(groups) = groups {
                visit.keep(groups);
            }
        }
        Some(Found::Slash(location)) => {
            visit.location = Arc::clone(location);
            let mut to = escape(location.name.as_bytes(), Escape::Path).into_owned();
            if !visit.arguments.is_empty() {
                to.push(b'?');
                to.extend_from_slice(&visit.arguments);
            }
            visit.redirect_to = Some(to);
            return Turn::Fail(301);
        }
    }
    visit.follow_method(work.request.method());
    let visit = match exchange.visit.as_deref() {
        Some(visit) if visit.location.settings.real_ip.is_some() => {
            realip::follow(work, exchange);
            exchange.visit.as_deref()
        }
        visit => visit,
    };
    let Some(visit) = visit else { return Turn::Done(After::Close) };
    let largest = visit.location.settings.client.body_max;
    if let BodyFraming::Length(length) = work.request.framing()
        && largest > 0
        && length > largest
        && !exchange.body_spent
    {
        exchange.fail(Cause::RequestTooBig);
        return Turn::Fail(413);
    }
    Turn::Enter
}

impl Visit {
    /// Other methods may have another location.
    fn follow_method(&mut self, method: &[u8]) {
        let other = match &self.location.other_methods {
            Some((methods, other)) if !methods.iter().any(|name| name.as_bytes() == method) => {
                Arc::clone(other)
            }
            _ => return,
        };
        self.location = other;
    }
}

/// Paths that are tried before the content.
fn tried(work: &Workspace, exchange: &mut Exchange) -> Turn {
    let Some(location) = exchange.visit.as_deref().map(|visit| Arc::clone(&visit.location)) else {
        return Turn::Done(After::Close);
    };
    let Some(tries) = &location.settings.try_files else { return Turn::Content };
    for (template, is_directory) in &tries.tries {
        let path = text(exchange, work, template);
        if let Some(path) = files::found(exchange, work, &path, *is_directory) {
            if let Some(visit) = exchange.visit.as_deref_mut() {
                visit.path = path;
                (visit.untouched, visit.tried) = (false, true);
            }
            return Turn::Content;
        }
    }
    fall_back(work, exchange, &tries.last)
}

fn fall_back(work: &Workspace, exchange: &mut Exchange, last: &Fallback) -> Turn {
    match last {
        Fallback::Status(status) => Turn::Fail(*status),
        Fallback::Path(template) => {
            let target = text(exchange, work, template);
            let (path, arguments) = split_arguments(target);
            change(exchange, |visit| visit.redirect(path, arguments))
        }
        Fallback::Named(name) => change(exchange, |visit| visit.go_to(name.as_bytes())),
    }
}

/// A path and what stands behind its first `?`.
fn split_arguments(mut target: Vec<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
    match memchr::memchr(b'?', &target) {
        None => (target, None),
        Some(at) => {
            let arguments = target[at + 1..].to_vec();
            target.truncate(at);
            (target, Some(arguments))
        }
    }
}

fn change(exchange: &mut Exchange, act: impl FnOnce(&mut Visit) -> Turn) -> Turn {
    let turn = exchange.visit.as_deref_mut().map_or(Turn::Done(After::Close), act);
    if matches!(turn, Turn::Fail(500)) {
        exchange.fail(Cause::Internal);
    }
    turn
}

/// What the location answers with.
async fn content(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let Some(location) = exchange.visit.as_deref().map(|visit| Arc::clone(&visit.location)) else {
        return Turn::Done(After::Close);
    };
    match &location.content {
        Content::Files => files::serve(conn, work, exchange).await,
        Content::Counters if !matches!(work.request.method(), b"GET" | b"HEAD") => Turn::Fail(405),
        Content::Counters => Turn::Reply(Box::new(counters::page(&conn.site))),
        Content::Proxy(proxy) => proxy::serve(conn, work, exchange, proxy).await,
    }
}

/// A failure: its error page, or the built-in one.
fn fail(work: &mut Workspace, exchange: &mut Exchange, status: u16) -> Turn {
    let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Done(After::Close) };
    if status == 444 {
        return Turn::Done(After::Close);
    }
    let location = Arc::clone(&visit.location);
    let settings = &location.settings;
    let page = settings.error_pages.iter().find(|page| page.statuses.contains(&status));
    visit.failure = Some(status);
    match page.filter(|_| !visit.in_error_page) {
        Some(page) => {
            visit.in_error_page = !settings.recursive_error_pages;
            send_to(work, exchange, page, status)
        }
        None => Turn::Reply(Box::new(reply::error_page(exchange, status))),
    }
}

fn send_to(work: &mut Workspace, exchange: &mut Exchange, page: &plan::host::ErrorPage, status: u16) -> Turn {
    use plan::host::{ErrorStatus, ErrorTarget};
    let said = match page.status {
        None => Some(status),
        Some(ErrorStatus::Fixed(status)) => Some(status),
        Some(ErrorStatus::Answers) => None,
    };
    let target = match &page.target {
        ErrorTarget::Path(template) | ErrorTarget::Redirect(template) => text(exchange, work, template),
        ErrorTarget::Named(name) => name.as_bytes().to_vec(),
    };
    let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Done(After::Close) };
    visit.failure = said;
    match &page.target {
        ErrorTarget::Path(_) => {
            let (path, arguments) = split_arguments(target);
            if work.request.method() != b"HEAD" {
                exchange.keep_target(&work.request);
                work.request.set_method(b"GET");
            }
            change(exchange, |visit| visit.redirect(path, arguments))
        }
        ErrorTarget::Named(_) => change(exchange, |visit| visit.go_to(&target)),
        ErrorTarget::Redirect(_) => {
            let status = said.filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308)).unwrap_or(302);
            visit.failure = Some(status);
            visit.redirect_to = Some(target);
            Turn::Reply(Box::new(reply::error_page(exchange, status)))
        }
    }
}

/// The text of a template for this request.
pub(crate) fn text(exchange: &Exchange, work: &Workspace, template: &Template) -> Vec<u8> {
    match template.as_fixed() {
        Some(text) => text.to_vec(),
        None => template.text(&crate::scene::Scene { exchange, request: &work.request, response: None }),
    }
}

/// All values of a field, joined.
fn joined(fields: &wire::http1::Fields, name: &[u8], with: &[u8]) -> Option<Vec<u8>> {
    let all: Vec<&[u8]> = fields.find_str(name).collect();
    (!all.is_empty()).then(|| all.join(with))
}
