//! What variables of a configuration by visits (nginx's) tell of a session: [`VisitFact`]s. Those about HTTP have no value.

use crate::attempt::{Line, Linked, Tries};
use crate::course::Try;
use crate::scene::Scene;
use crate::session::{Session, Source, wall_us};
use listener::{Peer, Told};
use plan::host::{Groups, VariableId};
use plan::limit::LimitStatus;
use plan::rule::{UpstreamFact, Value, VisitFact, write_int};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tables::limit::Held;
use tasks::clock;
use telemetry::Cause;
use telemetry::clock::{Calendar, milliseconds, write_offset};

/// What only sites with settings for their sessions have.
#[derive(Default)]
pub(crate) struct Visit {
    /// The session is over; before, it has no status.
    pub over: bool,
    /// What a PROXY header told.
    pub told: Option<Told>,
    /// The client's address before realip changed it.
    pub peer: Option<Peer>,
    /// What was tried, while another server may still be asked.
    pub tries: Option<Box<Tries>>,
    /// What became of each try.
    pub course: Vec<Try>,
    pub notes: RefCell<Notes>,
    /// What limits said.
    pub limited: Option<LimitStatus>,
    /// Its places in the zones of limits.
    pub held: Vec<Held>,
}

/// What steps and tables leave for those after them.
#[derive(Default)]
pub(crate) struct Notes {
    /// What an expression caught last.
    groups: Groups,
    /// Values of variables, by number.
    values: Vec<Option<Box<[u8]>>>,
}

impl Notes {
    /// Keeps what an expression caught, by number and by name.
    pub fn keep(&mut self, groups: Groups) {
        let named: Vec<_> = groups.named().map(|(id, text)| (id, Box::from(text))).collect();
        named.into_iter().for_each(|(id, text)| self.set(id, text));
        self.groups = groups;
    }

    /// Sets a variable.
    pub fn set(&mut self, id: VariableId, value: Box<[u8]>) {
        let at = usize::from(id.0);
        if self.values.len() <= at {
            self.values.resize(at + 1, None);
        }
        self.values[at] = Some(value);
    }
}

impl Scene<'_> {
    pub(crate) fn visit(&self, fact: &VisitFact) -> Option<Value<'_>> {
        use VisitFact as F;
        let session = self.session;
        let visit = session.visit.as_deref();
        let peer = visit.and_then(|visit| visit.peer).unwrap_or(session.client);
        Some(match fact {
            F::ClientAddress => address(session.client.ip()),
            F::ClientAddressBinary => binary(session.client.ip()),
            F::ClientPort => Value::Int(session.client.ip()?.port().into()),
            F::PeerAddress => address(peer.ip()),
            F::PeerPort => Value::Int(peer.ip()?.port().into()),
            F::ToldClientAddress => Value::Address(visit?.told?.source.ip()),
            F::ToldClientPort => Value::Int(visit?.told?.source.port().into()),
            F::ToldServerAddress => Value::Address(visit?.told?.destination.ip()),
            F::ToldServerPort => Value::Int(visit?.told?.destination.port().into()),
            F::Connection => Value::Int(i64::try_from(session.ticket.seat().number()).ok()?),
            F::UnixTime => seconds_us(wall_us()),
            F::TimeLocal => Value::owned(self.time_local()),
            F::TimeIso => Value::owned(self.time_iso()),
            F::Version => Value::text(b"1.31.5"),
            F::Status => Value::owned(format!("{:03}", status(session))),
            F::BytesSent => Value::Int(session.bytes_out as i64),
            F::BytesReceived => Value::Int((session.bytes_in + session.unmoved()) as i64),
            F::SessionTime | F::ConnectionTime => seconds(session.age()),
            F::Protocol => Value::text(match session.source {
                Source::Bytes(_) => b"TCP",
                Source::Datagrams(_) => b"UDP",
            }),
            F::Group(n) => Value::owned(visit?.notes.borrow().groups.get(*n)?),
            F::Variable(id) => {
                let notes = visit?.notes.borrow();
                Value::owned(&**notes.values.get(usize::from(id.0))?.as_ref()?)
            }
            F::Upstream(fact) => Value::owned(self.of_tries(*fact)?),
            F::ConnectionLimit => Value::text(visit?.limited?.word().as_bytes()),
            _ => return None,
        })
    }

    fn time_local(&self) -> Vec<u8> {
        let clock = &self.session.local.clock;
        let mut text = clock.date(wall_us()).to_vec();
        text.push(b' ');
        write_offset(clock.offset_s(), false, &mut text);
        text
    }

    fn time_iso(&self) -> Vec<u8> {
        let offset = self.session.local.clock.offset_s();
        let second = wall_us().div_euclid(1_000_000) + i64::from(offset);
        let mut text = Calendar::of(second).iso_date().to_vec();
        write_offset(offset, true, &mut text);
        text
    }

    /// One value for each try, with commas.
    fn of_tries(&self, fact: UpstreamFact) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        for (at, one) in self.session.visit.iter().flat_map(|visit| &visit.course).enumerate() {
            if at > 0 {
                text.extend_from_slice(b", ");
            }
            of_try(one, fact, &mut text)?;
        }
        (!text.is_empty()).then_some(text)
    }
}

/// `None` for facts about HTTP.
fn of_try(one: &Try, fact: UpstreamFact, out: &mut Vec<u8>) -> Option<()> {
    match fact {
        UpstreamFact::Address => out.extend_from_slice(one.name.as_bytes()),
        UpstreamFact::ConnectTime => time(one.connect_time(), out),
        UpstreamFact::FirstByteTime => time(one.first_byte_time(), out),
        UpstreamFact::SessionTime | UpstreamFact::ResponseTime => time(Some(one.time()), out),
        UpstreamFact::BytesSent => write_int(one.sent as i64, out),
        UpstreamFact::BytesReceived => write_int(one.received as i64, out),
        _ => return None,
    }
    Some(())
}

/// Seconds with milliseconds, `-` without a time.
fn time(time: Option<Duration>, out: &mut Vec<u8>) {
    match time {
        Some(time) => out.extend_from_slice(&with_milliseconds(time)),
        None => out.push(b'-'),
    }
}

fn seconds(time: Duration) -> Value<'static> {
    Value::owned(with_milliseconds(time))
}

fn seconds_us(us: i64) -> Value<'static> {
    let mut text = Vec::with_capacity(16);
    write_int(us.div_euclid(1_000_000), &mut text);
    text.push(b'.');
    text.extend_from_slice(&milliseconds(us));
    Value::owned(text)
}

fn with_milliseconds(time: Duration) -> Vec<u8> {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis()).into_bytes()
}

fn address(peer: Option<SocketAddr>) -> Value<'static> {
    match peer {
        Some(peer) => Value::Address(peer.ip()),
        None => Value::text(b"unix:"),
    }
}

fn binary(peer: Option<SocketAddr>) -> Value<'static> {
    match peer.map(|peer| peer.ip()) {
        Some(IpAddr::V4(v4)) => Value::owned(v4.octets()),
        Some(IpAddr::V6(v6)) => Value::owned(v6.octets()),
        None => Value::text(b"unix:"),
    }
}

/// How a session ended, in the numbers that logs of streams have.
fn status(session: &Session) -> u16 {
    if session.visit.as_ref().is_some_and(|visit| !visit.over) {
        return 0;
    }
    let Some(cause) = session.cause else { return 200 };
    // Once bytes can flow, any end is the end of a session that was served.
    let flowed = matches!(session.linked, Some(Linked { line: Line::Bytes(_), .. }));
    match cause {
        Cause::BadRequest | Cause::RequestTooBig => 400,
        Cause::Denied if session.is_limited() => 503,
        Cause::Denied => 403,
        Cause::NoPool | Cause::Internal => 500,
        Cause::ClientAbortRequest | Cause::ClientAbortQueue | Cause::ClientAbortConnect => 200,
        Cause::ClientAbortWait | Cause::ClientAbortData | Cause::ClientTimeoutData => 200,
        _ if flowed => 200,
        _ => 502,
    }
}

impl Session {
    fn is_limited(&self) -> bool {
        self.visit.as_ref().is_some_and(|visit| visit.limited == Some(LimitStatus::Rejected))
    }

    /// Bytes of the client that were read and went nowhere yet.
    fn unmoved(&self) -> u64 {
        self.early.as_ref().map_or(0, |early| early.len() as u64)
    }

    fn age(&self) -> Duration {
        clock::now().saturating_sub(self.times.accepted)
    }
}
