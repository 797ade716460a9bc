//! Facts about a request in a site with virtual hosts: what `Fetch::Visit` gives. nginx's manual lists them as variables.

use super::counters::counts;
use super::{Visit, joined};
use crate::exchange::Exchange;
use crate::scene::{Scene, split_once};
use plan::rule::{RecordField, Value, VisitFact};
use std::net::IpAddr;
use std::ops::ControlFlow;
use tasks::clock;
use wire::http1::{Escape, Fields, Name, Version, escape};

/// Gives the value of `fact` to `each`; nothing when there is none.
pub(crate) fn each(scene: &Scene<'_>, fact: &VisitFact, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
    let Some(visit) = scene.exchange.visit.as_deref() else { return };
    let view = View { scene, visit, exchange: scene.exchange };
    match fact {
        VisitFact::Group(n) => view.group(*n, each),
        VisitFact::Variable(variable) => {
            if let Some(Some(value)) = visit.variables.borrow().get(usize::from(variable.0)) {
                let _ = each(Value::text(value));
            }
        }
        VisitFact::Path => drop(each(Value::text(&visit.path))),
        VisitFact::Arguments => drop(each(Value::text(&visit.arguments))),
        fact => {
            if let Some(value) = view.one(fact) {
                let _ = each(value);
            }
        }
    }
}

struct View<'v> {
    scene: &'v Scene<'v>,
    visit: &'v Visit,
    exchange: &'v Exchange,
}

impl View<'_> {
    /// A group of the last match; escaped where it becomes an argument.
    fn group(&self, n: usize, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let groups = self.visit.groups.borrow();
        let Some(group) = groups.get(n) else { return };
        let _ = match self.visit.escapes_groups.get() && self.visit.quoted {
            true => each(Value::text(&escape(group, Escape::Argument))),
            false => each(Value::text(group)),
        };
    }

    fn one(&self, fact: &VisitFact) -> Option<Value<'_>> {
        let (visit, exchange, request) = (self.visit, self.exchange, self.scene.request);
        Some(match fact {
            VisitFact::QuestionMark => Value::text(if visit.arguments.is_empty() { b"" } else { b"?" }),
            VisitFact::RequestTarget => Value::text(exchange.path_as_received(request)),
            VisitFact::Host if visit.name.is_empty() => Value::text(visit.host.name.as_bytes()),
            VisitFact::Host => Value::text(&visit.name),
            VisitFact::ServerName => Value::text(visit.host.name.as_bytes()),
            VisitFact::RequestLine => Value::owned(self.request_line()),
            VisitFact::RequestLength => Value::Int(exchange.bytes_in as i64),
            VisitFact::RequestTime => {
                Value::owned(seconds(clock::exact().saturating_sub(exchange.times.first_byte)))
            }
            VisitFact::RequestId => Value::text(visit.id.get_or_init(random_id)),
            VisitFact::Completion => {
                Value::text(if exchange.cause.is_none() && exchange.status.is_some() { b"OK" } else { b"" })
            }
            VisitFact::User => Value::owned(crate::auth::user(request)?),
            VisitFact::Scheme => Value::text(b"http"),
            VisitFact::Https => return None,
            VisitFact::ClientAddress => address(exchange.client),
            VisitFact::ClientAddressBinary => match exchange.client.ip().map(|client| client.ip()) {
                Some(IpAddr::V4(address)) => Value::owned(address.octets()),
                Some(IpAddr::V6(address)) => Value::owned(address.octets()),
                None => Value::text(b"unix:"),
            },
            VisitFact::ClientPort => Value::Int(exchange.client.ip()?.port().into()),
            VisitFact::PeerAddress => address(visit.peer),
            VisitFact::PeerPort => Value::Int(visit.peer.ip()?.port().into()),
            VisitFact::Connection => Value::Int(exchange.connection as i64 + 1),
            VisitFact::ConnectionRequests => Value::Int(exchange.number as i64),
            VisitFact::ConnectionTime => {
                Value::owned(seconds(clock::exact().saturating_sub(exchange.connected_at)))
            }
            VisitFact::Pipelined => Value::text(if exchange.pipelined { b"p" } else { b"." }),
            VisitFact::UnixTime => Value::owned(milliseconds(now_ms(exchange))),
            VisitFact::TimeLocal => return self.record(RecordField::RequestDateZone),
            VisitFact::TimeIso => Value::owned(iso(now_ms(exchange).div_euclid(1000), exchange.zone_s)),
            VisitFact::Status => Value::owned(format!("{:03}", self.status()?)),
            VisitFact::BytesSent => Value::Int(exchange.bytes_out as i64),
            VisitFact::BodyBytesSent => {
                Value::Int(exchange.bytes_out.saturating_sub(visit.head_bytes) as i64)
            }
            VisitFact::Version => Value::text(b"1.31.5"),
            VisitFact::Header(name) => {
                let with: &[u8] = if &**name == "cookie" { b"; " } else { b", " };
                Value::owned(field(&request.fields, name, with)?)
            }
            VisitFact::Cookie(name) => Value::owned(cookie(&request.fields, name.as_bytes())?),
            VisitFact::Argument(name) => Value::text(argument(&visit.arguments, name.as_bytes())?),
            VisitFact::SentHeader(name) => Value::owned(field(&self.scene.response?.fields, name, b", ")?),
            VisitFact::RequestLimit => Value::text(visit.limited.request?.word().as_bytes()),
            VisitFact::ConnectionLimit => Value::text(visit.limited.connection?.word().as_bytes()),
            VisitFact::ForwardedFor => Value::owned(self.forwarded_for()),
            VisitFact::FileName => Value::owned(super::files::file_name(exchange, request, &visit.path)?),
            VisitFact::Root => Value::owned(super::files::root(exchange, request)),
            VisitFact::RealRoot => Value::owned(super::files::real_root(exchange, request)?),
            VisitFact::ConnectionsActive => Value::Int(counts(&exchange.site).active),
            VisitFact::ConnectionsReading => Value::Int(counts(&exchange.site).reading),
            VisitFact::ConnectionsWriting => Value::Int(counts(&exchange.site).writing),
            VisitFact::ConnectionsWaiting => Value::Int(counts(&exchange.site).waiting),
            VisitFact::ToldClientAddress => Value::Address(exchange.told?.source.ip()),
            VisitFact::ToldClientPort => Value::Int(exchange.told?.source.port().into()),
            VisitFact::ToldServerAddress => Value::Address(exchange.told?.destination.ip()),
            VisitFact::ToldServerPort => Value::Int(exchange.told?.destination.port().into()),
            _ => return super::proxy::fact(self.scene, visit, fact),
        })
    }

    fn record(&self, field: RecordField) -> Option<Value<'_>> {
        let mut found = None;
        self.exchange.record(self.scene.request, self.scene.response, field, &mut |value| {
            found = Some(value.into_owned());
            ControlFlow::Break(())
        });
        found
    }

    fn status(&self) -> Option<u16> {
        self.exchange
            .status
            .or(self.scene.response.map(|response| response.status))
            .filter(|status| *status > 0)
    }

    fn request_line(&self) -> Vec<u8> {
        if let Some(line) = &self.exchange.refused_line {
            return line.to_vec();
        }
        let request = self.scene.request;
        let version: &[u8] = if request.version == Version::Http10 { b" HTTP/1.0" } else { b" HTTP/1.1" };
        [self.exchange.method_as_received(request), b" ", self.exchange.target_as_received(request), version]
            .concat()
    }

    fn forwarded_for(&self) -> Vec<u8> {
        let client = address(self.exchange.client).into_text().into_owned();
        match field(&self.scene.request.fields, "x-forwarded-for", b", ") {
            Some(before) => [&before[..], b", ", &client].concat(),
            None => client,
        }
    }
}

fn address(peer: listener::Peer) -> Value<'static> {
    match peer.ip() {
        Some(address) => Value::Address(address.ip()),
        None => Value::text(b"unix:"),
    }
}

fn now_ms(exchange: &Exchange) -> i64 {
    let since = clock::exact().saturating_sub(exchange.times.first_byte);
    (exchange.wall_us + since.as_micros() as i64) / 1000
}

/// Seconds with milliseconds: `1.234`.
pub(super) fn seconds(time: std::time::Duration) -> Vec<u8> {
    milliseconds(time.as_millis() as i64)
}

fn milliseconds(ms: i64) -> Vec<u8> {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000)).into_bytes()
}

/// `2026-11-20T09:11:24+01:00`.
fn iso(unix: i64, zone_s: i32) -> Vec<u8> {
    let mut out = telemetry::clock::Calendar::of(unix + i64::from(zone_s)).iso_date().to_vec();
    telemetry::clock::write_offset(zone_s, true, &mut out);
    out
}

fn random_id() -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bits = (fastrand::u128(..), 0);
    std::array::from_fn(|_| {
        bits.1 = (bits.0 & 15) as usize;
        bits.0 >>= 4;
        DIGITS[bits.1]
    })
}

/// All values of a field, joined; `_` in the name stands for `-` too.
pub(super) fn field(fields: &Fields, name: &str, with: &[u8]) -> Option<Vec<u8>> {
    if !name.contains('_') {
        return joined(fields, name.as_bytes(), with);
    }
    let same = |other: &[u8]| {
        let plain = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
        other.len() == name.len() && other.iter().map(plain).eq(name.bytes())
    };
    let all: Vec<&[u8]> = fields.pairs().filter(|(other, _)| same(other)).map(|(_, value)| value).collect();
    (!all.is_empty()).then(|| all.join(with))
}

/// The first cookie of this name; parts end at `;` and `,` does not count.
fn cookie(fields: &Fields, name: &[u8]) -> Option<Vec<u8>> {
    let lines = fields.find_all(Name::Cookie);
    let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let (key, value) = split_once(pair.trim_ascii(), b'=')?;
        key.trim_ascii().eq_ignore_ascii_case(name).then(|| value.trim_ascii().to_vec())
    })
}

/// An argument of a query; names compare without case.
fn argument<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = split_once(pair, b'=')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_zone() {
        assert_eq!(iso(0, 3600), b"1970-01-01T01:00:00+01:00");
        assert_eq!(iso(0, -5400), b"1969-12-31T22:30:00-01:30");
        assert_eq!(milliseconds(1_234), b"1.234");
    }

    #[test]
    fn arguments_are_found_without_case() {
        assert_eq!(argument(b"a=1&B=2", b"b"), Some(&b"2"[..]));
        assert_eq!(argument(b"ab=1", b"b"), None);
    }
}
