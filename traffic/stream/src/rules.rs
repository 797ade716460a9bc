//! Rules before the tunnel: on the connection, then on its first bytes.

use crate::scene::{Scene, Truth};
use crate::session::{Session, Source};
use listener::Peer;
use plan::rule::{Action, Expr, Rule, Scope, Value};
use plan::stream::{Preread, StreamSettings};
use pool::Pool;
use std::future::poll_fn;
use std::net::SocketAddr;
use tasks::Stream;
use telemetry::Cause;
use wire::hello::HelloError;

/// Variables set by rules. They all live as long as the connection, which is one transaction here.
#[derive(Debug, Default)]
pub(crate) struct Variables(Vec<(Scope, Box<str>, Value<'static>)>);

/// What rules keep of a connection; few have any.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub variables: Variables,
    pub captures: Vec<Vec<u8>>,
}

impl Variables {
    pub fn get(&self, scope: Scope, name: &str) -> Option<Value<'_>> {
        self.0.iter().find(|v| v.0 == scope && *v.1 == *name).map(|v| v.2.clone())
    }

    fn set(&mut self, scope: Scope, name: &str, value: Option<Value<'static>>) {
        self.0.retain(|v| v.0 != scope || *v.1 != *name);
        if let Some(value) = value {
            self.0.push((scope, name.into(), value));
        }
    }
}

/// How a list of rules ended.
enum Verdict {
    Allow,
    Reject,
    /// Rejected without a packet to the client.
    Drop,
    /// A rule needs more bytes.
    Later,
}

/// Runs the rules on the connection and on who connected; false when the connection is over. As for HAProxy, it then is no session and
/// has no log line.
pub(crate) fn on_connection(session: &mut Session) -> bool {
    let site = session.site.clone();
    for rules in [&site.plan.rules.connection, &site.plan.rules.session] {
        if rules.is_empty() {
            continue;
        }
        let verdict = run(rules, session, true);
        if matches!(verdict, Verdict::Reject | Verdict::Drop) {
            site.stats.at(session.local.worker.index).denied_connections.add(1);
            vanish_if(&verdict, session.source.bytes());
            return false;
        }
    }
    true
}

/// Runs the content rules of the site, waiting for bytes up to the inspection delay.
pub(crate) async fn on_content(session: &mut Session) -> Result<(), Cause> {
    let site = session.site.clone();
    if site.plan.rules.content.is_empty() {
        return Ok(());
    }
    session.deadline.set(site.plan.inspect_delay);
    let mut over = site.plan.inspect_delay.is_none();
    loop {
        match run(&site.plan.rules.content, session, over) {
            Verdict::Allow => return Ok(()),
            Verdict::Later => over = more(session).await?,
            refused => return deny(session, &refused),
        }
    }
}

/// Runs the content rules of the pool on the bytes that are there.
pub(crate) fn on_pool_content(session: &mut Session, pool: &Pool) -> Result<(), Cause> {
    match run(&pool.plan.rules.content, session, true) {
        Verdict::Allow | Verdict::Later => Ok(()),
        refused => deny(session, &refused),
    }
}

fn deny(session: &Session, verdict: &Verdict) -> Result<(), Cause> {
    session.site.stats.at(session.local.worker.index).denied_requests.add(1);
    vanish_if(verdict, session.source.bytes());
    Err(Cause::Denied)
}

/// Waits for more bytes; true when there will be none: end, time, or a full buffer.
async fn more(session: &mut Session) -> Result<bool, Cause> {
    if matches!(session.source, Source::Datagrams(_)) || session.early().is_full() {
        return Ok(true);
    }
    let Session { source: Source::Bytes(stream), deadline, early: Some(early), .. } = session else {
        return Ok(true);
    };
    let read = deadline.guard(poll_fn(|cx| early.poll_fill(stream, cx))).await;
    match read {
        Ok(Ok(length)) => Ok(length == 0),
        Ok(Err(_)) => Err(Cause::ClientAbortRequest),
        Err(_) => Ok(true),
    }
}

/// Limits, variables and access, as the settings have them.
pub(crate) fn admit(session: &mut Session, settings: &StreamSettings) -> Result<(), Cause> {
    if !settings.limits.connections.is_empty() {
        limit(session, settings)?;
    }
    for (id, value) in &settings.set {
        let value = value.text(&Scene { session, over: true });
        if let Some(visit) = &session.visit {
            visit.notes.borrow_mut().set(*id, value.into());
        }
    }
    match settings.admits(session.client.ip().map(|client| client.ip())) {
        true => Ok(()),
        false => {
            session.site.stats.at(session.local.worker.index).denied_requests.add(1);
            Err(Cause::Denied)
        }
    }
}

fn limit(session: &mut Session, settings: &StreamSettings) -> Result<(), Cause> {
    let (limits, mut held) = (&settings.limits, Vec::new());
    let (zones, scene) = (&session.site.tables.limits, Scene { session, over: true });
    let ruling = zones.connection(&limits.connections, &limits.on_connection, &scene, &mut held);
    if let Some(visit) = &mut session.visit {
        (visit.limited, visit.held) = (ruling.status, held);
    }
    ruling.refused.map_or(Ok(()), |_| Err(Cause::Denied))
}

/// What became of the wait for a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is there, or what came is none.
    Enough,
    /// The client ended, or took too long.
    Ended,
}

/// Waits until the client's TLS greeting is whole, or it is clear that there is none.
pub(crate) async fn preread(session: &mut Session, plan: Preread) -> Result<Seen, Cause> {
    if matches!(session.source, Source::Datagrams(_)) {
        return Ok(Seen::Enough);
    }
    session.deadline.set(Some(plan.timeout));
    loop {
        let room = plan.buffer.min(session.early().size());
        let Session { source: Source::Bytes(stream), deadline, early: Some(early), .. } = session else {
            return Ok(Seen::Enough);
        };
        let came = early.bytes();
        if !matches!(wire::hello::parse(came), Err(HelloError::Incomplete)) && !came.is_empty() {
            return Ok(Seen::Enough);
        }
        if came.len() >= room {
            return Err(Cause::RequestTooBig);
        }
        match deadline.guard(poll_fn(|cx| early.poll_fill(stream, cx))).await {
            Ok(Ok(length)) if length > 0 => {}
            _ => return Ok(Seen::Ended),
        }
    }
}

fn run(rules: &[Rule], session: &mut Session, over: bool) -> Verdict {
    for rule in rules {
        match (Scene { session, over }).truth(&rule.condition) {
            Truth::Yes => {}
            Truth::No => continue,
            Truth::Later => return Verdict::Later,
        }
        match &rule.action {
            Action::Allow => return Verdict::Allow,
            Action::Reject => return Verdict::Reject,
            Action::SilentDrop => return Verdict::Drop,
            other => act(other, session, over),
        }
    }
    Verdict::Allow
}

/// Actions that go on. Those on HTTP messages have nothing to act on; the plan keeps them out of TCP rules.
fn act(action: &Action, session: &mut Session, over: bool) {
    let value = |session: &Session, expr: &Expr| expr.value(&Scene { session, over });
    match action {
        Action::SetVariable(scope, name, expr) => {
            // Without a value it keeps the one it has.
            if let Some(value) = value(session, expr) {
                session.kept.get_or_insert_default().variables.set(*scope, name, Some(value));
            }
        }
        Action::SetVariableText(scope, name, template) => {
            let text = template.text(&Scene { session, over });
            session.kept.get_or_insert_default().variables.set(*scope, name, Some(Value::Text(text.into())));
        }
        Action::UnsetVariable(scope, name) => {
            session.kept.get_or_insert_default().variables.set(*scope, name, None);
        }
        Action::SetLogLevel(level) => session.log_level = Some(*level),
        Action::SetClientAddress(expr) => {
            if let Some(address) = value(session, expr).and_then(|value| value.to_address()) {
                session.client = Peer::from(SocketAddr::new(address, 0));
            }
        }
        Action::Capture(expr, index) => {
            let text = value(session, expr).map(|value| value.into_text().into_owned());
            let captures = &mut session.kept.get_or_insert_default().captures;
            if captures.len() <= *index {
                captures.resize(index + 1, Vec::new());
            }
            captures[*index] = text.unwrap_or_default();
        }
        Action::Track(track) => {
            if let Some(key) = value(session, &track.key) {
                let site = session.site.clone();
                site.tables.track(&mut session.tracked, session.tracking, track, &key);
            }
        }
        Action::ChangeTracked(change) => {
            session.site.tables.change(&session.tracked, change, |expr| value(session, expr));
        }
        _ => {}
    }
}

/// A dropped client hears nothing: the reset that closing sends dies at the first router.
fn vanish_if(verdict: &Verdict, stream: Option<&Stream>) {
    let Some(stream) = stream.filter(|_| matches!(verdict, Verdict::Drop)) else { return };
    if rustix::net::sockopt::set_ip_ttl(stream, 1).is_err() {
        let _ = rustix::net::sockopt::set_ipv6_unicast_hops(stream, Some(1));
    }
    stream.reset_on_close();
}
