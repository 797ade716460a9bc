//! A small reader of DNS messages for names that are looked up on demand: it tells how long answers count and where
//! aliases lead, and takes what name servers in the wild send (long names, other sections left aside). Pure; called by
//! `demand` and by the fuzz target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name that is written or read, bytes. Aliases beyond what RFC 1035 allows are followed all the same.
const MAX_NAME: usize = 1024;
/// Records that are looked at.
const MAX_RECORDS: usize = 4096;
/// Jumps inside one name.
const MAX_JUMPS: usize = 64;
/// Aliases that are followed inside one answer.
const MAX_ALIASES: usize = 50;

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A = 1,
    Aaaa = 28,
    Srv = 33,
}

const CNAME: u16 = 5;
const INTERNET: u16 = 1;

/// What a name server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0 = no error.
    pub code: u8,
    /// To be asked again over a connection.
    pub cut: bool,
    pub addresses: Vec<IpAddr>,
    pub services: Vec<Instance>,
    /// Where the name leads, when it is an alias.
    pub alias: Option<String>,
    /// Seconds that all of it counts.
    pub ttl: u32,
}

/// One instance of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instance {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// The bytes of a question; `None` when the name cannot be asked for.
pub(crate) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let mut bytes = Vec::with_capacity(name.len() + 18);
    bytes.extend_from_slice(&id.to_be_bytes());
    // Recursion is desired; one question.
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&(kind as u16).to_be_bytes());
    bytes.extend_from_slice(&INTERNET.to_be_bytes());
    Some(bytes)
}

/// Reads the answer to a question; `None` when it is none, or cannot be read.
pub(crate) fn answer(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let mut reader = Reader { bytes, at: 0 };
    let (theirs, flags) = (reader.u16()?, reader.u16()?);
    let [questions, answers] = [reader.u16()?, reader.u16()?];
    reader.skip(4)?;
    let is_response = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if theirs != id || !is_response || questions != 1 {
        return None;
    }
    let asked = reader.name()?;
    if asked != name.to_ascii_lowercase() || reader.u16()? != kind as u16 || reader.u16()? != INTERNET {
        return None;
    }
    let mut answer = Answer { code: (flags & 15) as u8, cut: flags & 0x0200 != 0, ..Answer::default() };
    if answer.cut || answer.code != 0 {
        return Some(answer);
    }
    let mut records = Vec::new();
    for _ in 0..usize::from(answers).min(MAX_RECORDS) {
        records.push(reader.record()?);
    }
    collect(&mut answer, &records, &asked, kind)?;
    Some(answer)
}

/// Reads any bytes as answers to three questions; gives how many they answer. For the fuzz target.
pub fn read_plain(bytes: &[u8], id: u16) -> usize {
    let questions = [("a.test", Kind::A), ("a.test", Kind::Aaaa), ("_h._tcp.test", Kind::Srv)];
    questions.iter().filter(|(name, kind)| answer(bytes, id, name, *kind).is_some()).count()
}

/// Takes what belongs to the name, or to where its aliases lead.
fn collect(answer: &mut Answer, records: &[Record<'_>], asked: &str, kind: Kind) -> Option<()> {
    let mut owner = asked.to_owned();
    let mut ttl = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let alias = records.iter().find(|record| record.kind == CNAME && record.owner == owner);
        let Some(alias) = alias else { break };
        owner = alias.data.clone().name()?;
        ttl = ttl.min(alias.ttl);
        answer.alias = Some(owner.clone());
    }
    for record in records.iter().filter(|record| record.kind == kind as u16 && record.owner == owner) {
        ttl = ttl.min(record.ttl);
        let mut data = record.data.clone();
        match kind {
            Kind::A => answer.addresses.push(Ipv4Addr::from(data.array::<4>(record.length)?).into()),
            Kind::Aaaa => answer.addresses.push(Ipv6Addr::from(data.array::<16>(record.length)?).into()),
            Kind::Srv => answer.services.push(Instance {
                priority: data.u16()?,
                weight: data.u16()?,
                port: data.u16()?,
                target: data.name()?,
            }),
        }
    }
    answer.addresses.retain(|ip| !ip.is_unspecified());
    answer.services.retain(|service| service.port > 0 && !service.target.is_empty());
    answer.ttl = if ttl == u32::MAX { 0 } else { ttl.min(i32::MAX as u32) };
    Some(())
}

struct Record<'m> {
    /// In lower case.
    owner: String,
    kind: u16,
    ttl: u32,
    length: usize,
    data: Reader<'m>,
}

#[derive(Clone)]
struct Reader<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, count: usize) -> Option<&'m [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Data that must be just so long.
    fn array<const N: usize>(&mut self, length: usize) -> Option<[u8; N]> {
        (length == N).then(|| self.take(N)).flatten()?.try_into().ok()
    }

    /// A name in lower case, jumps followed.
    fn name(&mut self) -> Option<String> {
        let mut name: Vec<u8> = Vec::new();
        let (mut at, mut jumps, mut end) = (self.at, 0, None);
        loop {
            let length = usize::from(*self.bytes.get(at)?);
            match length >> 6 {
                0 if length == 0 => break,
                0 => {
                    let label = self.bytes.get(at + 1..at + 1 + length)?;
                    if !name.is_empty() {
                        name.push(b'.');
                    }
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    at += 1 + length;
                }
                3 if jumps < MAX_JUMPS => {
                    jumps += 1;
                    let low = usize::from(*self.bytes.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    at = (length & 63) << 8 | low;
                }
                _ => return None,
            }
            if name.len() > MAX_NAME {
                return None;
            }
        }
        self.at = end.unwrap_or(at + 1);
        String::from_utf8(name).ok()
    }

    fn record(&mut self) -> Option<Record<'m>> {
        let owner = self.name()?;
        let (kind, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let length = usize::from(self.u16()?);
        let data = self.clone();
        self.skip(length)?;
        let kind = if class == INTERNET { kind } else { 0 };
        Some(Record { owner, kind, ttl, length, data })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A reply to the question, with these records (owner as bytes, kind, ttl, data).
    fn reply(name: &str, kind: Kind, flags: u16, records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = question(7, name, kind).unwrap();
        bytes[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        bytes[7] = records.len() as u8;
        for (owner, kind, ttl, data) in records {
            bytes.extend_from_slice(owner);
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&[0, 1]);
            bytes.extend_from_slice(&ttl.to_be_bytes());
            bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
            bytes.extend_from_slice(data);
        }
        bytes
    }

    fn read(bytes: &[u8], name: &str, kind: Kind) -> Option<Answer> {
        answer(bytes, 7, name, kind)
    }

    const ASKED: &[u8] = &[0xc0, 12];

    #[test]
    fn addresses_and_how_long_they_count() {
        let bytes =
            reply("App.test", Kind::A, 0, &[(ASKED, 1, 60, &[10, 0, 0, 2]), (ASKED, 1, 9, &[10, 0, 0, 1])]);
        let found = read(&bytes, "app.test", Kind::A).unwrap();
        assert_eq!(found.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap(), "10.0.0.1".parse().unwrap()]);
        assert_eq!((found.ttl, found.code, found.alias), (9, 0, None));
    }

    #[test]
    fn aliases_count_as_long_as_the_shortest() {
        let chain: &[(&[u8], u16, u32, &[u8])] =
            &[(ASKED, 5, 3, b"\x01b\xc0\x10"), (b"\x01b\x04test\0", 1, 60, &[10, 0, 0, 3])];
        let found = read(&reply("app.test", Kind::A, 0, chain), "app.test", Kind::A).unwrap();
        assert_eq!((found.addresses.len(), found.ttl, found.alias.as_deref()), (1, 3, Some("b.test")));
        let only = read(&reply("app.test", Kind::A, 0, &chain[..1]), "app.test", Kind::A).unwrap();
        assert_eq!((only.addresses.len(), only.alias.as_deref()), (0, Some("b.test")));
    }

    #[test]
    fn services() {
        let data = [0, 1, 0, 5, 0, 80, 1, b'h', 0xc0, 20];
        let found =
            read(&reply("_h._tcp.test", Kind::Srv, 0, &[(ASKED, 33, 60, &data)]), "_h._tcp.test", Kind::Srv);
        let target = "h.test".to_owned();
        assert_eq!(found.unwrap().services, [Instance { priority: 1, weight: 5, port: 80, target }]);
    }

    #[test]
    fn what_is_no_answer() {
        let good = reply("app.test", Kind::A, 0, &[(ASKED, 1, 60, &[10, 0, 0, 2])]);
        assert!(read(&good, "other.test", Kind::A).is_none());
        assert!(read(&good, "app.test", Kind::Aaaa).is_none());
        assert!(answer(&good, 8, "app.test", Kind::A).is_none());
        for end in 0..good.len() {
            assert!(read(&good[..end], "app.test", Kind::A).is_none(), "{end}");
        }
        let short = reply("app.test", Kind::A, 0, &[(ASKED, 1, 60, &[])]);
        assert!(read(&short, "app.test", Kind::A).is_none());
        let circle = reply("app.test", Kind::A, 0, &[(&[0xc0, 26], 1, 60, &[10, 0, 0, 2])]);
        assert!(read(&circle, "app.test", Kind::A).is_none());
    }

    #[test]
    fn failures_and_long_names() {
        assert_eq!(read(&reply("a.test", Kind::A, 2, &[]), "a.test", Kind::A).unwrap().code, 2);
        assert!(read(&reply("a.test", Kind::A, 0x0200, &[]), "a.test", Kind::A).unwrap().cut);
        assert!(question(1, &vec!["a".repeat(63); 4].join("."), Kind::A).is_some());
        assert!(question(1, &"a".repeat(64), Kind::A).is_none());
        assert!(question(1, "a..b", Kind::A).is_none());
    }
}
