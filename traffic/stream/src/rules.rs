//! Rules before the tunnel: on the connection, then on its first bytes.

use crate::scene::{Scene, Truth};
use crate::session::Session;
use listener::Peer;
use plan::rule::{Action, Expr, Rule, Scope, Value};
use pool::Pool;
use std::future::poll_fn;
use std::net::SocketAddr;
use tasks::Stream;
use telemetry::Cause;

/// Variables set by rules. They all live as long as the connection, which is one transaction here.
#[derive(Debug, Default)]
pub(crate) struct Variables(Vec<(Scope, Box<str>, Value<'static>)>);

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
            vanish_if(&verdict, &session.stream);
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
    vanish_if(verdict, &session.stream);
    Err(Cause::Denied)
}

/// Waits for more bytes; true when there will be none: end, time, or a full buffer.
async fn more(session: &mut Session) -> Result<bool, Cause> {
    if session.early().is_full() {
        return Ok(true);
    }
    let Session { stream, deadline, early: Some(early), .. } = session else { return Ok(true) };
    let read = deadline.guard(poll_fn(|cx| early.poll_fill(stream, cx))).await;
    match read {
        Ok(Ok(length)) => Ok(length == 0),
        Ok(Err(_)) => Err(Cause::ClientAbortRequest),
        Err(_) => Ok(true),
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
                session.variables.set(*scope, name, Some(value));
            }
        }
        Action::SetVariableText(scope, name, template) => {
            let text = template.text(&Scene { session, over });
            session.variables.set(*scope, name, Some(Value::Text(text.into())));
        }
        Action::UnsetVariable(scope, name) => session.variables.set(*scope, name, None),
        Action::SetLogLevel(level) => session.log_level = Some(*level),
        Action::SetClientAddress(expr) => {
            if let Some(address) = value(session, expr).and_then(|value| value.to_address()) {
                session.client = Peer::from(SocketAddr::new(address, 0));
            }
        }
        Action::Capture(expr, index) => {
            let text = value(session, expr).map(|value| value.into_text().into_owned());
            if session.captures.len() <= *index {
                session.captures.resize(index + 1, Vec::new());
            }
            session.captures[*index] = text.unwrap_or_default();
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
fn vanish_if(verdict: &Verdict, stream: &Stream) {
    if !matches!(verdict, Verdict::Drop) {
        return;
    }
    if rustix::net::sockopt::set_ip_ttl(stream, 1).is_err() {
        let _ = rustix::net::sockopt::set_ipv6_unicast_hops(stream, Some(1));
    }
    stream.reset_on_close();
}
