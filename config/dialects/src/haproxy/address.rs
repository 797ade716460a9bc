//! Addresses of listeners, servers, logs and runtime sockets: one grammar, four uses.
//!
//! `[FAMILY@]ADDRESS[:PORT]` where FAMILY is `ipv4`, `ipv6`, `unix`, `abns`, `fd`, … and ADDRESS may be
//! empty or `*`. Variables are put in here a second time, also outside quotes.

use super::environment::Environment;
use super::said::{Done, Said};
use super::text;
use crate::Sources;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// A network address: host and port.
    Host(Host, Ports),
    /// A unix socket.
    Unix(String),
    /// A unix socket in the abstract name space.
    Abstract(String),
    /// An inherited descriptor.
    Descriptor(i32),
}

/// Host part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// Empty or `*`.
    Any(Family),
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(String),
}

/// Family said before the `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Nothing said.
    Either,
    /// `ipv4@`.
    V4,
    /// `ipv6@`.
    V6,
}

/// Port part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// Nothing said.
    Missing,
    /// A port or a range of them, both ends included.
    Range(u16, u16),
    /// `+N` or `-N`: relative to another port.
    Offset(i32),
}

/// An address together with the variables in it that were not set.
pub(super) struct Read {
    /// The address.
    pub written: Written,
    /// Whether a stream was asked for: `tcp@` or `stream+`.
    pub stream: bool,
    /// Variables that were not set.
    pub missing: Vec<String>,
}

/// Reads an address.
pub(super) fn read(text: &str, environment: &Environment<'_>) -> Done<Read> {
    let (text, missing) = text::expand(text, &|name| environment.get(name))?;
    let written = parse(&text).map_err(Said::new)?;
    let stream = ["tcp@", "tcp4@", "tcp6@", "stream+"].iter().any(|word| text.starts_with(word));
    Ok(Read { written, stream, missing })
}

/// The address of a host, looked up when it is a name.
pub(super) fn resolve(host: &Host, sources: &dyn Sources) -> Done<IpAddr> {
    match host {
        Host::Any(Family::V6) => Ok(Ipv6Addr::UNSPECIFIED.into()),
        Host::Any(_) => Ok(Ipv4Addr::UNSPECIFIED.into()),
        Host::Address(address) => Ok(*address),
        Host::Name(name) => sources.lookup(name).ok_or_else(|| {
            Said::new(format!("the address of '{name}' is not known")).hint("write the address in numbers")
        }),
    }
}

fn parse(text: &str) -> Result<Written, String> {
    let text = text.strip_prefix("stream+").unwrap_or(text);
    if text.starts_with('/') {
        return unix(text);
    }
    let Some((family, rest)) = text.split_once('@') else { return host_and_port(text, Family::Either) };
    match family {
        "unix" | "uxst" => unix(rest),
        "abns" if !rest.is_empty() => Ok(Written::Abstract(rest.into())),
        "fd" => match rest.parse() {
            Ok(fd) if fd >= 0 => Ok(Written::Descriptor(fd)),
            _ => Err(format!("'{text}' names no descriptor")),
        },
        "ipv4" | "tcp4" | "tcp" => {
            host_and_port(rest, if family == "tcp" { Family::Either } else { Family::V4 })
        }
        "ipv6" | "tcp6" => host_and_port(rest, Family::V6),
        "udp" | "udp4" | "udp6" => host_and_port(rest, Family::Either),
        "quic" | "quic4" | "quic6" => Err(format!("'{text}': QUIC is not supported yet")),
        "abns" | "abnsz" | "sockpair" | "rhttp" | "dgram" | "mptcp" | "mptcp4" | "mptcp6" | "uxdg" => {
            Err(format!("'{text}': addresses of the kind '{family}@' are not supported yet"))
        }
        _ => Err(format!("'{text}' has an unknown kind of address '{family}@'")),
    }
}

fn unix(path: &str) -> Result<Written, String> {
    match path.len() {
        0 => Err("a unix socket needs a path".into()),
        1..=107 => Ok(Written::Unix(path.into())),
        length => Err(format!("'{path}': the path of a unix socket has {length} bytes, at most 107 fit")),
    }
}

fn host_and_port(text: &str, family: Family) -> Result<Written, String> {
    let (host, port) = cut_port(text);
    let ports = match port {
        None | Some("") => Ports::Missing,
        Some(port) => ports(port).ok_or_else(|| format!("'{port}' in '{text}' is no port"))?,
    };
    Ok(Written::Host(read_host(host, family, text)?, ports))
}

fn cut_port(text: &str) -> (&str, Option<&str>) {
    if let Some(end) = text.strip_prefix('[').and_then(|t| t.find(']')) {
        return (&text[..end + 2], text[end + 2..].strip_prefix(':'));
    }
    text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
}

fn ports(text: &str) -> Option<Ports> {
    if let Some(offset) = text.strip_prefix('+') {
        return offset.parse::<u16>().ok().map(|n| Ports::Offset(i32::from(n)));
    }
    if let Some(offset) = text.strip_prefix('-') {
        return offset.parse::<u16>().ok().map(|n| Ports::Offset(-i32::from(n)));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some(Ports::Range(low, high))
}

fn read_host(host: &str, family: Family, whole: &str) -> Result<Host, String> {
    if host.is_empty() || host == "*" {
        return Ok(Host::Any(family));
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    match (bare.parse::<IpAddr>(), family) {
        (Ok(IpAddr::V4(_)), Family::V6) => Err(format!("'{whole}' is no IPv6 address")),
        (Ok(IpAddr::V6(_)), Family::V4) => Err(format!("'{whole}' is no IPv4 address")),
        (Ok(address), _) => Ok(Host::Address(address)),
        (Err(_), _) if host == whole && host.bytes().all(|b| b.is_ascii_digit()) => Err(format!(
            "'{whole}' is neither an address nor a host name; a port stands behind a colon: ':{whole}'"
        )),
        (Err(_), _) if is_host_name(host) => Ok(Host::Name(host.into())),
        (Err(_), _) => Err(format!("'{host}' in '{whole}' is neither an address nor a host name")),
    }
}

fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let v4 = |text: &str| Host::Address(text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST)));
        let check = |text: &str, expected: Option<Written>| assert_eq!(parse(text).ok(), expected, "{text}");
        check(":80", Some(Written::Host(Host::Any(Family::Either), Ports::Range(80, 80))));
        check("*:80-90", Some(Written::Host(Host::Any(Family::Either), Ports::Range(80, 90))));
        check("10.0.0.1:80", Some(Written::Host(v4("10.0.0.1"), Ports::Range(80, 80))));
        check("10.0.0.1", Some(Written::Host(v4("10.0.0.1"), Ports::Missing)));
        check("10.0.0.1:+10", Some(Written::Host(v4("10.0.0.1"), Ports::Offset(10))));
        check("[::1]:80", Some(Written::Host(v4("::1"), Ports::Range(80, 80))));
        check(":::80", Some(Written::Host(v4("::"), Ports::Range(80, 80))));
        check("ipv6@:80", Some(Written::Host(Host::Any(Family::V6), Ports::Range(80, 80))));
        check("stream+fd@5", Some(Written::Descriptor(5)));
        check("unix@/a", Some(Written::Unix("/a".into())));
        check("/a/b", Some(Written::Unix("/a/b".into())));
        check("abns@x", Some(Written::Abstract("x".into())));
        check(
            "gateway-1:8083",
            Some(Written::Host(Host::Name("gateway-1".into()), Ports::Range(8083, 8083))),
        );
        for text in [
            "1.2.3:80",
            "10.0.0.1:x",
            "10.0.0.1:70000",
            "fd@x",
            "foo@1",
            "a b:1",
            "[::1:80",
            "ipv4@::1:2",
            "quic4@:443",
        ] {
            check(text, None);
        }
    }
}
