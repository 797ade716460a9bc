//! Address ranges for `src`-like matches and trusted peers.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address with a prefix length, IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
    v4: bool,
    prefix: u8,
}

impl Network {
    /// The network of `address/prefix`; `None` when the prefix is too long for the family.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Network> {
        let v4 = address.is_ipv4();
        let bits = if v4 { 32 } else { 128 };
        if prefix > bits {
            return None;
        }
        let shift = u32::from(bits - prefix);
        let full = if v4 { u128::from(u32::MAX) } else { u128::MAX };
        let mask = if shift >= 128 { 0 } else { (u128::MAX << shift) & full };
        Some(Network { address: number(address) & mask, mask, v4, prefix })
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        if self.v4 {
            IpAddr::V4((self.address as u32).into())
        } else {
            IpAddr::V6(Ipv6Addr::from(self.address))
        }
    }

    /// Bits of the prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// True for IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.v4
    }

    /// True when `address` lies in this network. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        address.is_ipv4() == self.v4 && number(address) & self.mask == self.address
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads `A`, `A/PREFIX` or, for IPv4, `A/MASK` (contiguous).
    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || format!("'{text}' is not an address or network");
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            None => {
                if address.is_ipv4() {
                    32
                } else {
                    128
                }
            }
            Some(p) => p.parse::<u8>().ok().or_else(|| dotted(p)).ok_or_else(wrong)?,
        };
        Network::new(address, prefix).ok_or_else(wrong)
    }
}

/// A list of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    /// True when one of them holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|n| n.contains(address))
    }
}

/// `::ffff:1.2.3.4` as `1.2.3.4`; any other address unchanged.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn dotted(mask: &str) -> Option<u8> {
    let bits = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
    (bits.leading_ones() + bits.trailing_zeros() == 32 || bits == 0).then_some(bits.leading_ones() as u8)
}

/// The address that trusted proxies tell in a list, the last word first: the last one, or with `recursive` the last that
/// is not trusted itself. A word that is no address ends the search.
pub fn told(list: &[u8], recursive: bool, trusted: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let words = list.split(|byte| matches!(byte, b',' | b' ')).filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.collect();
    let mut found = None;
    for word in words.into_iter().rev() {
        let Some(address) = address_in(word) else { break };
        found = Some(address);
        if !recursive || !trusted(address.ip()) {
            break;
        }
    }
    found
}

/// An address with or without a port.
fn address_in(word: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(word).ok()?;
    let bare = || {
        text.trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
            .map(|ip: IpAddr| SocketAddr::new(ip, 0))
    };
    text.parse::<SocketAddr>().ok().or_else(bare)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        };
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("10.0.0.0/255.255.0.0", "10.0.9.9", true);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("0.0.0.0/0", "::1", false);
        check("10.0.0.1", "::ffff:10.0.0.1", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("::1", "::2", false);
    }

    #[test]
    fn wrong_networks_are_refused() {
        for text in ["", "10.0.0.0/33", "a/8", "10.0.0.0/255.0.255.0", "::1/129"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn proxies_tell_addresses_from_the_end() {
        let check = |list: &str, recursive: bool, expected: &str| {
            let found = told(list.as_bytes(), recursive, |address| address.to_string().starts_with("10."));
            assert_eq!(found.map(|found| found.to_string()).unwrap_or_default(), expected, "{list}");
        };
        check("192.0.2.1", false, "192.0.2.1:0");
        check("192.0.2.1, 10.0.0.1", false, "10.0.0.1:0");
        check("192.0.2.2,192.0.2.1, 10.0.0.1", true, "192.0.2.1:0");
        check("unknown, 10.0.0.1", true, "10.0.0.1:0");
        check("[2001:db8::1]:80", false, "[2001:db8::1]:80");
        check("2001:db8::1", false, "[2001:db8::1]:0");
        check("", false, "");
    }
}
