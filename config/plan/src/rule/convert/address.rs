//! Addresses, hosts and ports.

use super::Parameter::{Int, OptionalInt};
use super::{Argument, Call, Function, function};
use crate::rule::Value;
use std::net::IpAddr;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("address", &[], |_, v| v.to_address().map(Value::Address)),
    function("host_only", &[], host),
    function("mask", &[Int, OptionalInt], masked).checked(bits),
];

fn host<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let length = host_only(&text).len();
    Some(super::part(text, 0..length))
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

/// Prefix of the address with so many bits (IPv4, IPv6).
fn masked<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let v4 = u8::try_from(call.int(0)?).ok()?;
    let v6 = if call.is_given(1) { u8::try_from(call.int(1)?).ok()? } else { 128 };
    Some(Value::Address(mask(value.to_address()?, v4, v6)))
}

fn mask(address: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(a) & keep).into())
        }
        IpAddr::V6(a) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(a) & keep).into())
        }
    }
}
