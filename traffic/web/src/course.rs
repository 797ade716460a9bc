//! The course of a request as rules change it: what it waits for, its time-outs and tries, its addresses.

use crate::client::Conn;
use crate::exchange::{Exchange, body_comes};
use crate::local::Workspace;
use crate::rules::Verdict;
use crate::scene::Scene;
use listener::Peer;
use plan::rule::{Action, Course, Expr, NewValue, Rule, TimeoutKind, Value, WaitForBody, normalize};
use socket2::SockRef;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;
use telemetry::Cause;
use wire::http1::{BodyFraming, Chunk, Chunked, RequestHead, ResponseHead, Version};

/// Longest pause that a rule can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// What rules changed for one request. Boxed: hardly any request has one.
#[derive(Default)]
pub(crate) struct Overrides {
    client: Option<Duration>,
    connect: Option<Duration>,
    queue: Option<Duration>,
    server: Option<Duration>,
    tarpit: Option<Duration>,
    tunnel: Option<Duration>,
    tries: Option<u32>,
    no_retry: bool,
    abort_on_close: Option<bool>,
    mark: Option<u32>,
    tos: Option<u32>,
}

/// What has to be done before the rules go on.
pub(crate) enum Errand {
    /// Wait for the body.
    Body(WaitForBody),
    /// Wait.
    Pause(Duration),
    /// Send this interim answer.
    Hints(Vec<u8>),
}

impl Exchange {
    /// The time-out that rules set for this request.
    pub fn said_timeout(&self, kind: TimeoutKind) -> Option<Duration> {
        let said = self.course.as_deref()?;
        match kind {
            TimeoutKind::Client => said.client,
            TimeoutKind::Connect => said.connect,
            TimeoutKind::Queue => said.queue,
            TimeoutKind::Server => said.server,
            TimeoutKind::Tarpit => said.tarpit,
            TimeoutKind::Tunnel => said.tunnel,
        }
    }

    /// Longest silence of the client.
    pub fn client_timeout(&self) -> Option<Duration> {
        match &self.visit {
            None => self.said_timeout(TimeoutKind::Client).or(self.site.plan.timeouts.client),
            Some(visit) => Some(visit.send_timeout()),
        }
    }

    /// The number of further tries that rules set.
    pub fn said_tries(&self) -> Option<u32> {
        self.course.as_deref()?.tries
    }

    /// Only a failed connection allows another try.
    pub fn forbids_retries(&self) -> bool {
        self.course.as_deref().is_some_and(|said| said.no_retry)
    }

    /// What a location says about the course of its requests at servers.
    pub fn say_course(&mut self, timeouts: &plan::host::ProxyTimeouts, send: Duration, abort_on_close: bool) {
        let said = self.overrides();
        (said.connect, said.client) = (Some(timeouts.connect), Some(send));
        (said.server, said.tunnel) = (Some(timeouts.read), Some(timeouts.read));
        said.abort_on_close = Some(abort_on_close);
    }

    /// Whether rules said that a client that half-closes is gone.
    pub fn said_abort_on_close(&self) -> Option<bool> {
        self.course.as_deref()?.abort_on_close
    }

    fn overrides(&mut self) -> &mut Overrides {
        self.course.get_or_insert_default()
    }

    /// Gives the client's socket the options that rules set.
    pub fn mark_packets(&mut self, conn: &Conn) {
        let Some(said) = self.course.as_deref_mut() else { return };
        let socket = SockRef::from(&conn.stream);
        // Without the rights for it packets go out as they are, as with HAProxy.
        if let Some(mark) = said.mark.take() {
            let _ = socket.set_mark(mark);
        }
        if let Some(tos) = said.tos.take()
            && socket.set_tos_v4(tos).is_err()
        {
            let _ = socket.set_tclass_v6(tos);
        }
    }
}

/// Carries out an action; those on the target need the request.
pub(crate) fn act(
    course: &Course,
    exchange: &mut Exchange,
    request: &RequestHead,
    response: Option<&ResponseHead>,
) -> ControlFlow<Verdict> {
    let value = |expr: &Expr, exchange: &Exchange| expr.value(&Scene { exchange, request, response });
    let number = |expr: &Expr, exchange: &Exchange| value(expr, exchange).and_then(|v| v.to_int());
    match course {
        Course::ClientPort(expr) => {
            if let Some(port) = number(expr, exchange) {
                exchange.client = with_port(exchange.client, port);
            }
        }
        Course::LocalAddress(expr) => {
            if let Some(address) = value(expr, exchange).and_then(|v| v.to_address()) {
                let port = exchange.local.ip().map_or(0, |local| local.port());
                exchange.local = Peer::from(SocketAddr::new(address, port));
            }
        }
        Course::LocalPort(expr) => {
            if let Some(port) = number(expr, exchange) {
                exchange.local = with_port(exchange.local, port);
            }
        }
        Course::WaitForBody(wait) => return ControlFlow::Break(Verdict::Errand(Errand::Body(*wait), 0)),
        Course::Pause(expr) => {
            if let Some(time) = number(expr, exchange).and_then(milliseconds) {
                let errand = Errand::Pause(time.min(LONGEST_PAUSE));
                return ControlFlow::Break(Verdict::Errand(errand, 0));
            }
        }
        Course::Timeout(kind, expr) => {
            if let Some(time) = number(expr, exchange).and_then(milliseconds) {
                set_timeout(exchange.overrides(), *kind, time);
            }
        }
        Course::Tries(expr) => {
            let tries = number(expr, exchange).filter(|n| (0..=100).contains(n));
            if let Some(tries) = tries {
                exchange.overrides().tries = Some(tries as u32);
            }
        }
        Course::NoRetry => exchange.overrides().no_retry = true,
        Course::ClientMark(expr) => {
            let mark = number(expr, exchange).and_then(|n| u32::try_from(n).ok());
            exchange.overrides().mark = mark;
        }
        Course::ClientTos(expr) => {
            let tos = number(expr, exchange).and_then(|n| u8::try_from(n).ok());
            exchange.overrides().tos = tos.map(u32::from);
        }
        Course::CaptureResponse(expr, slot) => {
            let text = value(expr, exchange).map(|v| v.into_text().into_owned());
            capture_response(exchange, *slot, text);
        }
        Course::SetVariable(set) => {
            let new = match &set.value {
                NewValue::Value(expr) => value(expr, exchange),
                NewValue::Text(text) => {
                    Some(Value::Text(text.text(&Scene { exchange, request, response }).into()))
                }
            };
            let Some(new) = new else { return ControlFlow::Continue(()) };
            let old = exchange.variables.get(set.scope, &set.name);
            if set.when.iter().all(|condition| condition.holds(old.as_ref(), &new)) {
                exchange.variables.set(set.scope, &set.name, Some(new));
            }
        }
        // The loop over the rules keeps these itself.
        Course::EarlyHint(..) | Course::Strict(_) | Course::Normalize(_) => {}
    }
    ControlFlow::Continue(())
}

/// Rewrites the target; a broken escape is a bad request where the rule is strict.
pub(crate) fn normalize_target(
    step: plan::rule::Normalizer,
    exchange: &mut Exchange,
    request: &mut RequestHead,
) -> ControlFlow<Verdict> {
    let Some(target) = normalize(step, request.target()) else {
        return ControlFlow::Break(Verdict::BadTarget);
    };
    if target != request.target() {
        exchange.keep_target(request);
        request.set_target(&target);
    }
    ControlFlow::Continue(())
}

fn set_timeout(said: &mut Overrides, kind: TimeoutKind, time: Duration) {
    let slot = match kind {
        TimeoutKind::Client => &mut said.client,
        TimeoutKind::Connect => &mut said.connect,
        TimeoutKind::Queue => &mut said.queue,
        TimeoutKind::Server => &mut said.server,
        TimeoutKind::Tarpit => &mut said.tarpit,
        TimeoutKind::Tunnel => &mut said.tunnel,
    };
    *slot = Some(time);
}

fn milliseconds(number: i64) -> Option<Duration> {
    u64::try_from(number).ok().filter(|n| *n > 0).map(Duration::from_millis)
}

fn with_port(peer: Peer, port: i64) -> Peer {
    let address = peer.ip().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |known| known.ip());
    Peer::from(SocketAddr::new(address, port as u16))
}

fn capture_response(exchange: &mut Exchange, slot: usize, text: Option<Vec<u8>>) {
    let Some((_, length)) = exchange.site.plan.response_captures.get(slot) else { return };
    let text = text.map(|text| text[..text.len().min(*length)].to_vec());
    if exchange.response_captures.len() <= slot {
        exchange.response_captures.resize(slot + 1, None);
    }
    exchange.response_captures[slot] = text;
}

/// The 103 answer of the hints that follow each other from `rules[0]` on, and how many rules those are.
pub(crate) fn hints(rules: &[Rule], exchange: &Exchange, request: &RequestHead) -> (Vec<u8>, usize) {
    let scene = Scene { exchange, request, response: None };
    let mut out = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
    let mut count = 0;
    for rule in rules {
        let Action::Course(course) = &rule.action else { break };
        let Course::EarlyHint(name, text) = &**course else { break };
        count += 1;
        if rule.condition.holds(&scene) {
            let value = text.text(&scene);
            // Nothing of a value may begin another line.
            if value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t') {
                out.extend_from_slice(&[name.as_bytes(), b": ", &value, b"\r\n"].concat());
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    (out, count)
}

/// Does what request rules wait for.
pub(crate) async fn run(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    errand: Errand,
) -> Result<(), Cause> {
    match errand {
        Errand::Body(wait) => body_comes(conn, work, exchange, Some(wait.longest), wait.at_least).await,
        Errand::Pause(time) => {
            sleep(conn, time).await;
            Ok(())
        }
        // HTTP/1.0 clients do not know interim answers.
        Errand::Hints(_) if work.request.version == Version::Http10 => Ok(()),
        Errand::Hints(bytes) => match conn.write_all(&bytes, exchange).await {
            true => Ok(()),
            false => Err(Cause::ClientAbortRequest),
        },
    }
}

/// Waits for so long.
pub(crate) async fn sleep(conn: &mut Conn, time: Duration) {
    conn.deadline.set(Some(time));
    let _ = conn.deadline.guard(std::future::pending::<()>()).await;
}

/// True when `bytes` hold the whole body, a byte that makes it invalid, or `at_least` bytes of it (0 = all).
pub(crate) fn is_enough(bytes: &[u8], framing: BodyFraming, at_least: u64) -> bool {
    let enough = |length: u64| at_least > 0 && length >= at_least;
    match framing {
        BodyFraming::None => true,
        BodyFraming::Length(n) => bytes.len() as u64 >= n || enough(bytes.len() as u64),
        BodyFraming::UntilClose => enough(bytes.len() as u64),
        BodyFraming::Chunked => {
            let (mut decoder, mut at, mut length) = (Chunked::new(), 0, 0);
            loop {
                match decoder.next(&bytes[at..]) {
                    Ok(Chunk::Data { skip, len }) => {
                        at += skip + len;
                        length += len as u64;
                    }
                    Ok(Chunk::Need { .. }) => return enough(length),
                    Ok(Chunk::End { .. }) | Err(_) => return true,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_there_when_it_is_whole_or_long_enough() {
        for (bytes, framing, at_least, expected) in [
            ("abc", BodyFraming::Length(3), 0, true),
            ("ab", BodyFraming::Length(3), 0, false),
            ("ab", BodyFraming::Length(3), 2, true),
            ("ab", BodyFraming::Length(1), 9, true),
            ("ab", BodyFraming::UntilClose, 0, false),
            ("ab", BodyFraming::UntilClose, 2, true),
            ("", BodyFraming::None, 5, true),
            ("3\r\nabc\r\n", BodyFraming::Chunked, 0, false),
            ("3\r\nabc\r\n", BodyFraming::Chunked, 3, true),
            ("3\r\nabc\r\n0\r\n\r\n", BodyFraming::Chunked, 9, true),
            ("x\r\n", BodyFraming::Chunked, 9, true),
        ] {
            assert_eq!(is_enough(bytes.as_bytes(), framing, at_least), expected, "{bytes} {framing:?}");
        }
    }
}
