//! The PROXY protocol, versions 1 and 2: who the client really is, told by the proxy in front of us.
//!
//! `listener` reads it before anything else on a connection; `pool` and `health` write it towards servers.
//! Reading is strict: a header that is not exactly right ends the connection, nothing is guessed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, with its CRLF.
pub const V1_BYTES: usize = 107;
/// Longest header of version 2 we accept, TLVs included. The protocol would allow 65 551.
pub const V2_BYTES: usize = 4096;

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;
const TLV_CRC32C: u8 = 0x03;
const TLV_SSL: u8 = 0x20;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// The addresses of the socket hold: `LOCAL` (a check by the proxy itself), `UNKNOWN`, or a transport without
    /// addresses we can use (UNIX sockets, datagrams).
    OfSocket,
    /// These addresses hold.
    Told {
        /// The client.
        source: SocketAddr,
        /// The address the client connected to.
        destination: SocketAddr,
    },
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Whose connection it is.
    pub peers: Peers,
    /// Version 2 only: what else the proxy told; checked.
    pub tlvs: Tlvs<'a>,
}

/// What the reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Good so far; call again with the same bytes and more behind them.
    Partial,
    /// The header is read.
    Complete {
        /// What it says.
        header: Header<'a>,
        /// Its length in bytes.
        consumed: usize,
    },
}

/// Why the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// The connection does not start with a PROXY header.
    Missing,
    /// Version 1: not exactly `PROXY family source destination port port CRLF`.
    BadLine,
    /// Over [`V1_BYTES`] or [`V2_BYTES`].
    TooBig,
    /// Version 2: version, command, family or transport is not one the protocol knows.
    BadCommand,
    /// Version 2: the addresses do not fit into the length.
    ShortAddress,
    /// Version 2: a TLV is cut or reaches beyond the header.
    BadTlv,
    /// Version 2: the checksum is wrong.
    BadChecksum,
}

/// Reads a header of either version from the start of `buf`.
///
/// # Errors
/// As soon as the bytes cannot become a header.
pub fn parse(buf: &[u8]) -> Result<Parsed<'_>, ProxyError> {
    if is_prefix(buf, V2_SIGNATURE) {
        parse_v2(buf)
    } else if is_prefix(buf, V1_START) {
        parse_v1(buf)
    } else {
        Err(ProxyError::Missing)
    }
}

/// Writes version 1. Families that differ are both written as IPv6.
pub fn write_v1(out: &mut Vec<u8>, peers: &Peers) {
    let Peers::Told { source, destination } = peers else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let (from, to) = same_family(source.ip(), destination.ip());
    let family = if from.is_ipv4() { 4 } else { 6 };
    let line = format!("PROXY TCP{family} {from} {to} {} {}\r\n", source.port(), destination.port());
    out.extend_from_slice(line.as_bytes());
}

/// Writes version 2 without TLVs; [`Peers::OfSocket`] becomes `LOCAL`.
pub fn write_v2(out: &mut Vec<u8>, peers: &Peers) {
    out.extend_from_slice(V2_SIGNATURE);
    let Peers::Told { source, destination } = peers else {
        out.extend_from_slice(&[0x20, 0, 0, 0]);
        return;
    };
    match same_family(source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&to_v6(from).octets());
            out.extend_from_slice(&to_v6(to).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

/// Is `buf` the start of `text`, or the other way round?
fn is_prefix(buf: &[u8], text: &[u8]) -> bool {
    let len = buf.len().min(text.len());
    buf[..len] == text[..len]
}

fn parse_v1(buf: &[u8]) -> Result<Parsed<'_>, ProxyError> {
    let seen = &buf[..buf.len().min(V1_BYTES)];
    let Some(end) = memchr::memchr2(b'\r', b'\n', seen) else {
        return if buf.len() < V1_BYTES { Ok(Parsed::Partial) } else { Err(ProxyError::TooBig) };
    };
    match seen[end..] {
        [b'\r'] if buf.len() < V1_BYTES => Ok(Parsed::Partial),
        [b'\r', b'\n', ..] => {
            let header = Header { peers: v1_peers(&seen[..end])?, tlvs: Tlvs(&[]) };
            Ok(Parsed::Complete { header, consumed: end + 2 })
        }
        _ => Err(ProxyError::BadLine),
    }
}

fn v1_peers(line: &[u8]) -> Result<Peers, ProxyError> {
    let line = str::from_utf8(line).map_err(|_| ProxyError::BadLine)?;
    let mut words = line.split(' ').skip(1);
    let mut next = || words.next().ok_or(ProxyError::BadLine);
    let is_v4 = match next()? {
        "UNKNOWN" => return Ok(Peers::OfSocket),
        "TCP4" => true,
        "TCP6" => false,
        _ => return Err(ProxyError::BadLine),
    };
    let (from, to) = (v1_address(next()?, is_v4)?, v1_address(next()?, is_v4)?);
    let (source, destination) = (v1_port(next()?)?, v1_port(next()?)?);
    match words.next() {
        Some(_) => Err(ProxyError::BadLine),
        None => Ok(Peers::Told {
            source: SocketAddr::new(from, source),
            destination: SocketAddr::new(to, destination),
        }),
    }
}

/// The standard parser refuses leading zeros, so nothing is read as octal.
fn v1_address(word: &str, is_v4: bool) -> Result<IpAddr, ProxyError> {
    word.parse().ok().filter(|address: &IpAddr| address.is_ipv4() == is_v4).ok_or(ProxyError::BadLine)
}

fn v1_port(word: &str) -> Result<u16, ProxyError> {
    let canonical = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| canonical).ok_or(ProxyError::BadLine)
}

fn parse_v2(buf: &[u8]) -> Result<Parsed<'_>, ProxyError> {
    if buf.get(12).is_some_and(|byte| !matches!(byte, 0x20 | 0x21)) {
        return Err(ProxyError::BadCommand);
    }
    let Some((head, _)) = buf.split_first_chunk::<V2_HEAD>() else { return Ok(Parsed::Partial) };
    let consumed = V2_HEAD + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if consumed > V2_BYTES {
        return Err(ProxyError::TooBig);
    }
    let is_local = head[12] == 0x20;
    let address_bytes = if is_local { 0 } else { address_bytes(head[13])? };
    if consumed < V2_HEAD + address_bytes {
        return Err(ProxyError::ShortAddress);
    }
    let Some(whole) = buf.get(..consumed) else { return Ok(Parsed::Partial) };
    let (addresses, rest) = whole[V2_HEAD..].split_at(address_bytes);
    // The whole block of LOCAL is to be discarded unseen.
    let tlvs = Tlvs(if is_local { &[] } else { rest });
    tlvs.check(whole)?;
    let peers = if is_local { Peers::OfSocket } else { v2_peers(head[13], addresses) };
    Ok(Parsed::Complete { header: Header { peers, tlvs }, consumed })
}

/// Length of the address block for a family (high half) and transport (low half).
fn address_bytes(family: u8) -> Result<usize, ProxyError> {
    match (family >> 4, family & 15) {
        (0, 0..=2) => Ok(0),
        (1, 0..=2) => Ok(12),
        (2, 0..=2) => Ok(36),
        (3, 0..=2) => Ok(216),
        _ => Err(ProxyError::BadCommand),
    }
}

fn v2_peers(family: u8, block: &[u8]) -> Peers {
    match (family, block.len()) {
        (0x11, 12) => told(v4(&block[..4]), v4(&block[4..8]), &block[8..]),
        (0x21, 36) => told(v6(&block[..16]), v6(&block[16..32]), &block[32..]),
        _ => Peers::OfSocket,
    }
}

fn told(from: IpAddr, to: IpAddr, ports: &[u8]) -> Peers {
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Peers::Told { source: SocketAddr::new(from, port(0)), destination: SocketAddr::new(to, port(2)) }
}

fn v4(octets: &[u8]) -> IpAddr {
    let mut address = [0; 4];
    address.copy_from_slice(octets);
    IpAddr::from(address)
}

fn v6(octets: &[u8]) -> IpAddr {
    let mut address = [0; 16];
    address.copy_from_slice(octets);
    IpAddr::from(address)
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn same_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    match from.is_ipv4() == to.is_ipv4() {
        true => (from, to),
        false => (to_v6(from).into(), to_v6(to).into()),
    }
}

/// The type-length-value parts of a version 2 header: an iterator of type and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Tlvs<'a> {
    /// The first value of a type, for example 0x02: the server name the client asked for.
    pub fn find(self, kind: u8) -> Option<&'a [u8]> {
        let mut rest = self;
        rest.find_map(|(this, value)| (this == kind).then_some(value))
    }

    /// Walks all parts to their end; `whole` is the header from its first byte.
    fn check(self, whole: &[u8]) -> Result<(), ProxyError> {
        let mut rest = self;
        while !rest.0.is_empty() {
            let (kind, value) = rest.next().ok_or(ProxyError::BadTlv)?;
            match kind {
                TLV_CRC32C => check_crc(whole, value, whole.len() - rest.0.len())?,
                TLV_SSL => check_ssl(value)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, high, low], rest) = self.0.split_first_chunk::<3>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        self.0 = rest;
        Some((kind, value))
    }
}

/// One byte of flags, four of verification result, then parts of its own.
fn check_ssl(value: &[u8]) -> Result<(), ProxyError> {
    let mut inner = Tlvs(value.get(5..).ok_or(ProxyError::BadTlv)?);
    while !inner.0.is_empty() {
        inner.next().ok_or(ProxyError::BadTlv)?;
    }
    Ok(())
}

/// The checksum covers the whole header, with zeros in its own place, which ends at `end`.
fn check_crc(whole: &[u8], value: &[u8], end: usize) -> Result<(), ProxyError> {
    let &[a, b, c, d] = value else { return Err(ProxyError::BadTlv) };
    let start = end - 4;
    let sum = [&whole[..start], &[0; 4], &whole[end..]].iter().fold(!0, |sum, part| crc32c(sum, part));
    match !sum == u32::from_be_bytes([a, b, c, d]) {
        true => Ok(()),
        false => Err(ProxyError::BadChecksum),
    }
}

fn crc32c(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| sum >> 8 ^ CRC32C[usize::from(sum as u8 ^ byte)])
}

/// CRC-32C (RFC 9260 appendix A), reflected.
const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProxyError::Missing => "no PROXY header",
            ProxyError::BadLine => "malformed PROXY line",
            ProxyError::TooBig => "PROXY header too long",
            ProxyError::BadCommand => "unknown version, command or family in the PROXY header",
            ProxyError::ShortAddress => "addresses cut short in the PROXY header",
            ProxyError::BadTlv => "malformed TLV in the PROXY header",
            ProxyError::BadChecksum => "wrong checksum in the PROXY header",
        })
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn peers(from: &str, to: &str) -> Peers {
        Peers::Told { source: from.parse().unwrap(), destination: to.parse().unwrap() }
    }

    /// Reads it whole and in every cut; all must agree.
    fn check(input: &[u8], expected: Result<(Peers, usize), ProxyError>) {
        let whole = parse(input).map(|parsed| match parsed {
            Parsed::Complete { header, consumed } => (header.peers, consumed),
            Parsed::Partial => (Peers::OfSocket, usize::MAX),
        });
        assert_eq!(whole, expected, "{:?}", input.escape_ascii().to_string());
        let first =
            (0..=input.len()).map(|end| parse(&input[..end])).find(|found| found != &Ok(Parsed::Partial));
        match (first, whole) {
            (Some(Ok(Parsed::Complete { header, consumed })), Ok(whole)) => {
                assert_eq!((header.peers, consumed), whole);
            }
            (Some(Err(error)), Err(whole)) => assert_eq!(error, whole),
            (first, whole) => assert_eq!((first, whole), (None, Ok((Peers::OfSocket, usize::MAX)))),
        }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut header = V2_SIGNATURE.to_vec();
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&(block.len() as u16).to_be_bytes());
        header.extend_from_slice(block);
        header
    }

    const BLOCK: &[u8] = &[10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 80];

    fn block(tlvs: &[u8]) -> Vec<u8> {
        [BLOCK, tlvs].concat()
    }

    #[test]
    fn version_1_is_read() {
        let line = b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\nGET";
        check(line, Ok((peers("10.0.0.1:12345", "10.0.0.2:80"), line.len() - 3)));
        let line = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n";
        check(line, Ok((peers("[2001:db8::1]:1", "[::1]:65535"), line.len())));
        check(b"PROXY UNKNOWN\r\n", Ok((Peers::OfSocket, 15)));
        check(b"PROXY UNKNOWN what ever\r\n", Ok((Peers::OfSocket, 25)));
        check(b"PROXY TCP4 1", Ok((Peers::OfSocket, usize::MAX)));
    }

    #[test]
    fn version_1_is_never_guessed() {
        for line in [
            "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
            "PROXY TCP4 010.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 ::1 2.2.2.2 1 2\r\n",
            "PROXY TCP6 1.1.1.1 ::1 1 2\r\n",
            "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx",
            "PROXY \r\n",
        ] {
            check(line.as_bytes(), Err(ProxyError::BadLine));
        }
        check(b"GET / HTTP/1.1\r\n", Err(ProxyError::Missing));
        check(b"PROXY\tTCP4", Err(ProxyError::Missing));
        check(&[b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat(), Err(ProxyError::TooBig));
        let longest = [b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat();
        check(&longest, Ok((Peers::OfSocket, V1_BYTES)));
    }

    #[test]
    fn version_2_is_read() {
        let told = peers("10.0.0.1:12345", "10.0.0.2:80");
        check(&v2(0x21, 0x11, BLOCK), Ok((told, 28)));
        check(&v2(0x20, 0x00, &[]), Ok((Peers::OfSocket, 16)));
        check(&v2(0x20, 0xff, &[1, 2, 3]), Ok((Peers::OfSocket, 19)));
        check(&v2(0x21, 0x00, &[]), Ok((Peers::OfSocket, 16)));
        check(&v2(0x21, 0x12, BLOCK), Ok((Peers::OfSocket, 28)));
        check(&v2(0x21, 0x31, &[0; 216]), Ok((Peers::OfSocket, 232)));
        check(&v2(0x21, 0x11, &block(&[2, 0, 1, b'a', 4, 0, 0])), Ok((told, 35)));
        let header = v2(0x21, 0x11, &block(&[2, 0, 1, b'a', 4, 0, 0]));
        let Ok(Parsed::Complete { header, .. }) = parse(&header) else { panic!("not complete") };
        assert_eq!(header.tlvs.find(2), Some(&b"a"[..]));
        assert_eq!(header.tlvs.find(9), None);
        assert_eq!(header.tlvs.count(), 2);
    }

    #[test]
    fn version_2_is_never_guessed() {
        check(&v2(0x31, 0x11, BLOCK), Err(ProxyError::BadCommand));
        check(&v2(0x2f, 0x11, BLOCK), Err(ProxyError::BadCommand));
        check(&v2(0x21, 0x41, BLOCK), Err(ProxyError::BadCommand));
        check(&v2(0x21, 0x13, BLOCK), Err(ProxyError::BadCommand));
        check(&v2(0x21, 0x11, &BLOCK[1..]), Err(ProxyError::ShortAddress));
        check(&v2(0x21, 0x11, &block(&[2, 0])), Err(ProxyError::BadTlv));
        check(&v2(0x21, 0x11, &block(&[2, 0, 2, b'a'])), Err(ProxyError::BadTlv));
        check(&v2(0x21, 0x11, &block(&[0x20, 0, 4, 0, 0, 0, 0])), Err(ProxyError::BadTlv));
        check(&v2(0x21, 0x11, &block(&[0x20, 0, 6, 0, 0, 0, 0, 0, 9])), Err(ProxyError::BadTlv));
        check(&v2(0x21, 0x11, &[0; 5000]), Err(ProxyError::TooBig));
    }

    #[test]
    fn version_2_checksum() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        let mut header = v2(0x21, 0x11, &block(&[3, 0, 4, 0, 0, 0, 0, 2, 0, 1, b'a']));
        check(&header, Err(ProxyError::BadChecksum));
        let sum = !crc32c(!0, &header);
        header[31..35].copy_from_slice(&sum.to_be_bytes());
        check(&header, Ok((peers("10.0.0.1:12345", "10.0.0.2:80"), 39)));
        check(&v2(0x21, 0x11, &block(&[3, 0, 3, 0, 0, 0])), Err(ProxyError::BadTlv));
    }

    #[test]
    fn what_is_written_is_read() {
        let mixed = peers("10.0.0.1:1", "[::1]:2");
        let both_v6 = peers("[::ffff:10.0.0.1]:1", "[::1]:2");
        for (told, read) in [
            (peers("10.0.0.1:1", "10.0.0.2:65535"), peers("10.0.0.1:1", "10.0.0.2:65535")),
            (peers("[2001:db8::1]:1", "[::1]:2"), peers("[2001:db8::1]:1", "[::1]:2")),
            (mixed, both_v6),
            (Peers::OfSocket, Peers::OfSocket),
        ] {
            for write in [write_v1, write_v2] {
                let mut out = Vec::new();
                write(&mut out, &told);
                check(&out, Ok((read, out.len())));
            }
        }
    }
}
