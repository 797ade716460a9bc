//! Addresses, hosts and ports.

use super::Parameter::{Int, OptionalInt, OptionalText, Text};
use super::{Argument, Call, Function, function};
use crate::network::canonical;
use crate::rule::{Value, leading_number};
use std::net::IpAddr;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("address", &[], |_, v| address(&v).map(Value::Address)),
    function("host_only", &[], host),
    function("mask", &[Int, OptionalInt], masked).checked(bits),
    function("mask_with", &[Text, OptionalText], masked_with).checked(masks),
    function("port_only", &[], |_, v| Some(Value::Int(port(&v.into_text())))),
];

/// An address that may have a port or brackets around it, as `X-Forwarded-For` carries them.
fn address(value: &Value<'_>) -> Option<IpAddr> {
    value.to_address().or_else(|| {
        let Value::Text(text) = value else { return None };
        let host = host_only(text.trim_ascii());
        let bare = host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(host);
        std::str::from_utf8(bare).ok()?.parse().ok()
    })
}

fn host<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    Some(Value::owned(host_only(&text).to_ascii_lowercase()))
}

/// Host of a `host[:port]`, brackets of an IPv6 literal kept.
pub fn host_only(host: &[u8]) -> &[u8] {
    let from =
        if host.first() == Some(&b'[') { host.iter().position(|b| *b == b']').unwrap_or(0) } else { 0 };
    match host[from..].iter().position(|b| *b == b':') {
        Some(colon) => &host[..from + colon],
        None => host,
    }
}

/// Port of a `host[:port]`, 0 without one.
fn port(host: &[u8]) -> i64 {
    let rest = &host[host_only(host).len()..];
    rest.strip_prefix(b":").map_or(0, leading_number)
}

fn bits(arguments: &[Argument]) -> Result<(), &'static str> {
    let fits = |index: usize, most: i64| match arguments.get(index) {
        Some(Argument::Int(n)) => (0..=most).contains(n),
        _ => true,
    };
    if fits(0, 32) && fits(1, 128) {
        return Ok(());
    }
    Err("a mask has at most 32 bits for IPv4 and 128 for IPv6")
}

/// Prefix of the address with so many bits (IPv4, IPv6). Without bits for IPv6, such an address has none.
fn masked<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let address = canonical(value.to_address()?);
    let bits = call.int(usize::from(address.is_ipv6()))?;
    Some(Value::Address(mask(address, u8::try_from(bits).ok()?)))
}

fn masks(arguments: &[Argument]) -> Result<(), &'static str> {
    let fits = |index: usize, v4: bool| match arguments.get(index) {
        Some(Argument::Text(text)) => parse(text).is_some_and(|mask| mask.is_ipv4() == v4),
        _ => true,
    };
    if fits(0, true) && fits(1, false) { Ok(()) } else { Err("masks are an IPv4 and an IPv6 address") }
}

fn parse(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The bits of the address that are set in the mask of its family.
fn masked_with<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let address = canonical(value.to_address()?);
    let mask = parse(&call.text(usize::from(address.is_ipv6()))?)?;
    Some(Value::Address(match (address, mask) {
        (IpAddr::V4(a), IpAddr::V4(mask)) => IpAddr::V4(a & mask),
        (IpAddr::V6(a), IpAddr::V6(mask)) => IpAddr::V6(a & mask),
        _ => return None,
    }))
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(a) & keep).into())
        }
        IpAddr::V6(a) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(a) & keep).into())
        }
    }
}
