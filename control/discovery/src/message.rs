//! Messages of DNS (RFC 1035, RFC 2782, RFC 6891): a question as bytes, bytes as the answer to a question. Pure; called
//! by `ask` and by the fuzz target.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::net::IpAddr;

/// Records of one answer that are looked at. More than any pool has servers, few enough to bound the work.
const MAX_RECORDS: usize = 4096;
/// Aliases that are followed.
const MAX_ALIASES: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services.
    Srv,
}

impl Wanted {
    fn record_type(self) -> RecordType {
        match self {
            Wanted::A => RecordType::A,
            Wanted::Aaaa => RecordType::AAAA,
            Wanted::Srv => RecordType::SRV,
        }
    }
}

/// What a name server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Addresses, at least one.
    Hosts(Vec<IpAddr>),
    /// Services, at least one.
    Services(Vec<Service>),
    /// The name is there, such records are not.
    Empty,
    /// The name is not there.
    Missing,
    /// The name server does not want to answer.
    Refused,
    /// Any other failure.
    Failed,
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    /// Name of the host, in lower case, without the dot at the end.
    pub target: String,
    /// Where it listens.
    pub port: u16,
    /// As in the record, 0 … 65535.
    pub weight: u16,
    /// Addresses that came along.
    pub addresses: Vec<IpAddr>,
}

/// Why bytes are no answer to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No message of DNS, or one that answers something else: as if it had not come.
    Foreign,
    /// The answer was cut: to be asked again over a connection.
    Cut,
}

/// The bytes of a question; `None` when the name cannot be asked for.
pub(crate) fn question(id: u16, name: &str, wanted: Wanted, payload_bytes: u16) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(absolute(name)?, wanted.record_type()));
    let mut edns = Edns::new();
    edns.set_max_payload(payload_bytes);
    message.set_edns(edns);
    message.to_vec().ok()
}

/// Reads the answer to a question.
pub(crate) fn answer(bytes: &[u8], id: u16, name: &str, wanted: Wanted) -> Result<Reply, Unfit> {
    let message = Message::from_vec(bytes).map_err(|_| Unfit::Foreign)?;
    let name = absolute(name).ok_or(Unfit::Foreign)?;
    if !answers(&message, id, &name, wanted) {
        return Err(Unfit::Foreign);
    }
    if message.metadata.truncation {
        return Err(Unfit::Cut);
    }
    Ok(match message.metadata.response_code {
        ResponseCode::NoError => records(&message, &name, wanted),
        ResponseCode::NXDomain => Reply::Missing,
        ResponseCode::Refused => Reply::Refused,
        _ => Reply::Failed,
    })
}

/// Reads arbitrary bytes as answers to three questions with the id that the bytes begin with; gives how many they
/// answer. The fuzz target calls it.
pub fn read_any(bytes: &[u8]) -> usize {
    read_as(bytes, bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id)))
}

/// The same with another id.
pub fn read_as(bytes: &[u8], id: u16) -> usize {
    let questions = [("a.test", Wanted::A), ("a.test", Wanted::Aaaa), ("_h._tcp.test", Wanted::Srv)];
    questions.iter().filter(|(name, wanted)| answer(bytes, id, name, *wanted).is_ok()).count()
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// RFC 5452, section 9.1: the answer must match the question in id, name, class and type. The address and port are
/// seen to by the connected socket.
fn answers(message: &Message, id: u16, name: &Name, wanted: Wanted) -> bool {
    let head = &message.metadata;
    let asked = |query: &Query| {
        query.query_type() == wanted.record_type()
            && query.query_class() == DNSClass::IN
            && query.name().to_lowercase() == name.to_lowercase()
    };
    head.id == id
        && head.message_type == MessageType::Response
        && head.op_code == OpCode::Query
        && matches!(message.queries.as_slice(), [query] if asked(query))
}

fn records(message: &Message, name: &Name, wanted: Wanted) -> Reply {
    let records = &message.answers[..message.answers.len().min(MAX_RECORDS)];
    let owner = canonical(records, name);
    let ours = records.iter().filter(|r| r.dns_class == DNSClass::IN && r.name.to_lowercase() == owner);
    match wanted {
        Wanted::A | Wanted::Aaaa => {
            let mut hosts: Vec<IpAddr> = Vec::new();
            let fits = |ip: &IpAddr| ip.is_ipv4() == (wanted == Wanted::A) && !ip.is_unspecified();
            hosts.extend(ours.filter_map(address).filter(fits));
            hosts.sort_unstable();
            hosts.dedup();
            if hosts.is_empty() { Reply::Empty } else { Reply::Hosts(hosts) }
        }
        Wanted::Srv => {
            let along = addresses(&message.additionals);
            let mut services: Vec<Service> = ours.filter_map(|record| service(record, &along)).collect();
            services.sort_unstable();
            services.dedup_by(|a, b| a.target == b.target && a.port == b.port);
            if services.is_empty() { Reply::Empty } else { Reply::Services(services) }
        }
    }
}

/// Where the aliases lead, in lower case.
fn canonical(records: &[Record], name: &Name) -> Name {
    let aliases: HashMap<Name, Name> = records
        .iter()
        .filter_map(|record| match &record.data {
            RData::CNAME(to) => Some((record.name.to_lowercase(), to.to_lowercase())),
            _ => None,
        })
        .collect();
    let mut name = name.to_lowercase();
    for _ in 0..MAX_ALIASES {
        match aliases.get(&name) {
            Some(to) => name = to.clone(),
            None => break,
        }
    }
    name
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

/// Addresses by name, in lower case.
fn addresses(records: &[Record]) -> HashMap<Name, Vec<IpAddr>> {
    let mut along: HashMap<Name, Vec<IpAddr>> = HashMap::new();
    for record in records.iter().take(MAX_RECORDS) {
        if let Some(ip) = address(record).filter(|ip| !ip.is_unspecified()) {
            along.entry(record.name.to_lowercase()).or_default().push(ip);
        }
    }
    along.values_mut().for_each(|list| list.sort_unstable());
    along
}

/// A target of `.` means: decidedly not available (RFC 2782).
fn service(record: &Record, along: &HashMap<Name, Vec<IpAddr>>) -> Option<Service> {
    let RData::SRV(srv) = &record.data else { return None };
    if srv.target.is_root() || srv.port == 0 {
        return None;
    }
    let target = srv.target.to_lowercase();
    Some(Service {
        addresses: along.get(&target).cloned().unwrap_or_default(),
        target: target.to_ascii().trim_end_matches('.').to_owned(),
        port: srv.port,
        weight: srv.weight,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn name(text: &str) -> Name {
        absolute(text).unwrap()
    }

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner), 60, data)
    }

    fn v4(last: u8) -> RData {
        RData::A(A(Ipv4Addr::new(10, 0, 0, last)))
    }

    /// An answer as a name server would give it, changed by `change`.
    fn reply(wanted: Wanted, change: impl FnOnce(&mut Message)) -> Result<Reply, Unfit> {
        let asked = Message::from_vec(&question(7, "App.test", wanted, 512).unwrap()).unwrap();
        let mut message = asked.into_response();
        change(&mut message);
        answer(&message.to_vec().unwrap(), 7, "app.test", wanted)
    }

    fn hosts(list: &[&str]) -> Result<Reply, Unfit> {
        Ok(Reply::Hosts(list.iter().map(|ip| ip.parse().unwrap()).collect()))
    }

    #[test]
    fn addresses_of_the_name_that_was_asked_for() {
        let answered = reply(Wanted::A, |m| {
            m.add_answers([record("APP.test", v4(2)), record("app.test", v4(1)), record("app.test", v4(2))]);
            m.add_answers([record("other.test", v4(9))]);
            m.add_answer(record("app.test", RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))));
            m.add_answer(record("app.test", RData::A(A(Ipv4Addr::UNSPECIFIED))));
        });
        assert_eq!(answered, hosts(&["10.0.0.1", "10.0.0.2"]));
    }

    #[test]
    fn aliases_are_followed_as_far_as_they_lead() {
        let alias = |from: &str, to: &str| record(from, RData::CNAME(CNAME(name(to))));
        let answered = reply(Wanted::A, |m| {
            m.add_answers([alias("b.test", "c.test"), alias("app.test", "b.test"), record("c.test", v4(3))]);
        });
        assert_eq!(answered, hosts(&["10.0.0.3"]));
        let endless = reply(Wanted::A, |m| {
            m.add_answers([
                alias("app.test", "b.test"),
                alias("b.test", "app.test"),
                record("c.test", v4(3)),
            ]);
        });
        assert_eq!(endless, Ok(Reply::Empty));
    }

    #[test]
    fn services_with_the_addresses_that_come_along() {
        let srv = |port, weight, target: &str| {
            record("app.test", RData::SRV(SRV::new(1, weight, port, name(target))))
        };
        let answered = reply(Wanted::Srv, |m| {
            m.add_answers([
                srv(81, 256, "B.test"),
                srv(80, 0, "a.test"),
                srv(80, 1, "."),
                srv(0, 1, "c.test"),
            ]);
            m.add_additional(record("b.test", v4(2)));
        });
        let service = |target: &str, port, weight, addresses: Vec<IpAddr>| Service {
            target: target.into(),
            port,
            weight,
            addresses,
        };
        let expected =
            [service("a.test", 80, 0, vec![]), service("b.test", 81, 256, vec!["10.0.0.2".parse().unwrap()])];
        assert_eq!(answered, Ok(Reply::Services(expected.to_vec())));
    }

    #[test]
    fn what_does_not_match_the_question_is_foreign() {
        type Change = fn(&mut Message);
        let changes: [Change; 6] = [
            |m| m.metadata.id = 8,
            |m| m.metadata.message_type = MessageType::Query,
            |m| m.metadata.op_code = OpCode::Notify,
            |m| m.queries.clear(),
            |m| m.queries = vec![Query::query(name("evil.test"), RecordType::A)],
            |m| m.queries = vec![Query::query(name("app.test"), RecordType::AAAA)],
        ];
        for change in changes {
            let answered = reply(Wanted::A, |m| {
                m.add_answer(record("app.test", v4(1)));
                change(m);
            });
            assert_eq!(answered, Err(Unfit::Foreign));
        }
        assert_eq!(answer(b"", 7, "app.test", Wanted::A), Err(Unfit::Foreign));
        assert_eq!(answer(&[0; 12], 0, "app.test", Wanted::A), Err(Unfit::Foreign));
    }

    #[test]
    fn failures() {
        let code = |code| reply(Wanted::A, move |m| m.metadata.response_code = code);
        assert_eq!(code(ResponseCode::NoError), Ok(Reply::Empty));
        assert_eq!(code(ResponseCode::NXDomain), Ok(Reply::Missing));
        assert_eq!(code(ResponseCode::Refused), Ok(Reply::Refused));
        assert_eq!(code(ResponseCode::ServFail), Ok(Reply::Failed));
        assert_eq!(reply(Wanted::A, |m| m.metadata.truncation = true), Err(Unfit::Cut));
    }

    #[test]
    fn names_that_cannot_be_asked_for() {
        assert!(question(1, &"a".repeat(64), Wanted::A, 512).is_none());
        assert!(question(1, "a..b", Wanted::A, 512).is_none());
        assert!(question(1, "_http._tcp.app.test", Wanted::Srv, 512).is_some());
    }
}
