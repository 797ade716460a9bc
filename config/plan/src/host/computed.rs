//! Values that are computed from others when they are asked for: `map`, `geo`, `split_clients`.

use super::{Groups, NameTable};
use crate::hash::murmur2;
use crate::network::Network;
use crate::rule::{Facts, Fetch, HeaderFetch, Occurrence, Template, Value};
use std::net::IpAddr;
use std::ops::ControlFlow;

/// A value computed from another one.
#[derive(Clone, Debug)]
pub enum Computed {
    /// Looked up in a table; groups of an expression that matched are kept for the request.
    Map {
        /// What is looked up.
        key: Template,
        /// Values by key.
        table: NameTable<Template>,
        /// Value of all others.
        default: Template,
        /// Keys are host names: a dot at their end does not count.
        hostnames: bool,
    },
    /// Chosen by an address.
    Geo {
        /// The address; `None` = the client's.
        address: Option<Template>,
        /// Values by network.
        table: Geo,
        /// Proxies whose `X-Forwarded-For` is believed.
        proxies: Vec<Network>,
        /// Of that list the last address that is no such proxy counts.
        recursive: bool,
    },
    /// Chosen by a hash, in shares.
    Split {
        /// What is hashed (MurmurHash2, seed 0).
        key: Template,
        /// Shares in order.
        shares: Vec<Share>,
    },
}

/// A share of all hashes.
#[derive(Clone, Debug)]
pub struct Share {
    /// Hashes below this one; `None` = all that are left.
    pub below: Option<u32>,
    /// Value.
    pub value: Template,
}

/// Values by network: the longest prefix counts.
#[derive(Clone, Debug, Default)]
pub struct Geo {
    /// Ranges of IPv4 addresses with their values, both ends included, sorted, none overlapping.
    pub v4: Vec<(u32, u32, Box<[u8]>)>,
    /// The same for IPv6.
    pub v6: Vec<(u128, u128, Box<[u8]>)>,
    /// Value of all others.
    pub default: Box<[u8]>,
}

impl Geo {
    /// The value for an address. IPv4 in IPv6 form counts as IPv4.
    pub fn find(&self, address: IpAddr) -> &[u8] {
        let found = match address.to_canonical() {
            IpAddr::V4(address) => in_range(&self.v4, u32::from(address)),
            IpAddr::V6(address) => in_range(&self.v6, u128::from(address)),
        };
        found.unwrap_or(&self.default)
    }
}

fn in_range<N: Ord + Copy>(ranges: &[(N, N, Box<[u8]>)], n: N) -> Option<&[u8]> {
    let at = ranges.partition_point(|(from, ..)| *from <= n).checked_sub(1)?;
    ranges.get(at).filter(|(_, to, _)| n <= *to).map(|(.., value)| &**value)
}

impl Computed {
    /// Gives the value for these facts to `each`.
    pub fn each(&self, facts: &dyn Facts, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        match self {
            Computed::Map { key, table, default, hostnames } => {
                let key = key.text(facts);
                let key = if *hostnames { key.strip_suffix(b".").unwrap_or(&key) } else { &key };
                let found = table.find(key);
                let (value, groups): (&Template, Option<Groups>) = found.unwrap_or((default, None));
                if let Some(groups) = groups {
                    facts.keep(groups);
                }
                give(value, facts, each);
            }
            Computed::Geo { address, table, proxies, recursive } => {
                let address = match address {
                    Some(template) => Value::text(&template.text(facts)).to_address(),
                    None => facts.client(),
                };
                let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
                let address = match address.filter(|address| is_proxy(*address)) {
                    Some(proxy) => forwarded(facts, *recursive, is_proxy).or(Some(proxy)),
                    None => address,
                };
                let value = address.map_or(&*table.default, |address| table.find(address));
                let _ = each(Value::text(value));
            }
            Computed::Split { key, shares } => {
                let hash = murmur2(&key.text(facts));
                let share = shares.iter().find(|share| share.below.is_none_or(|below| hash < below));
                if let Some(share) = share {
                    give(&share.value, facts, each);
                }
            }
        }
    }
}

/// The client that proxies tell of.
fn forwarded(facts: &dyn Facts, recursive: bool, is_proxy: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let lines = Fetch::Header(HeaderFetch {
        name: "x-forwarded-for".into(),
        occurrence: Occurrence::Any,
        whole_line: true,
    });
    let mut list = Vec::new();
    facts.each(&lines, &mut |line| {
        list.extend_from_slice(&line.into_text());
        list.push(b',');
        ControlFlow::Continue(())
    });
    crate::network::told(&list, recursive, is_proxy).map(|address| address.ip())
}

fn give(template: &Template, facts: &dyn Facts, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
    let _ = match template.as_fixed() {
        Some(text) => each(Value::text(text)),
        None => each(Value::text(&template.text(facts))),
    };
}
