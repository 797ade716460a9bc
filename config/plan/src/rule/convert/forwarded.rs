//! The `Forwarded` header (RFC 7239): its fields, and nodes with their names and ports.

use super::Parameter::Text;
use super::{Argument, Call, Function, function};
use crate::rule::Value;
use std::net::IpAddr;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("forwarded_field", &[Text], field).checked(known),
    function("forwarded_node", &[], node_text),
    function("forwarded_node_name", &[], |_, v| node_of(&v.into_text()).map(|node| node.name)),
    function("forwarded_node_port", &[], |_, v| node_of(&v.into_text())?.port),
    function("forwarded_port", &[], port_text),
    function("forwarded_valid", &[], |_, v| Some(Value::Bool(pairs(&v.into_text()).is_some()))),
];

const FIELDS: [&[u8]; 4] = [b"proto", b"host", b"for", b"by"];

fn known(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments.first() {
        Some(Argument::Text(name)) if !FIELDS.contains(&&**name) => {
            Err("the fields are proto, host, for and by")
        }
        _ => Ok(()),
    }
}

/// Value of a field of the first element, quotes taken off.
fn field<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let (text, wanted) = (value.into_text(), call.text(0)?);
    let list = pairs(&text)?;
    list.into_iter().find(|(name, _)| **name == *wanted).map(|(_, value)| Value::owned(value))
}

/// Fields of an element: `name=value;…`. Nothing when one is unknown, doubled or wrong.
fn pairs(text: &[u8]) -> Option<Vec<(&'static [u8], Vec<u8>)>> {
    let mut list: Vec<(&'static [u8], Vec<u8>)> = Vec::new();
    let mut rest = text;
    loop {
        let equals = rest.iter().position(|b| *b == b'=')?;
        let name = *FIELDS.iter().find(|f| f.eq_ignore_ascii_case(&rest[..equals]))?;
        let (value, after) = token_or_string(&rest[equals + 1..])?;
        if list.iter().any(|(known, _)| *known == name) || !fits(name, &value) {
            return None;
        }
        list.push((name, value));
        match after {
            [] => return Some(list),
            [b';', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

fn fits(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"proto" => matches!(value, b"http" | b"https"),
        b"host" => {
            !value.is_empty() && value.iter().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(b))
        }
        _ => node_of(value).is_some(),
    }
}

/// A token or a quoted string, and what follows it.
fn token_or_string(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    if text.first() != Some(&b'"') {
        let length =
            text.iter().take_while(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)).count();
        return (length > 0).then(|| (text[..length].to_vec(), &text[length..]));
    }
    let mut value = Vec::new();
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some((value, &text[at + 1..])),
            b'\\' => {
                value.push(*text.get(at + 1)?);
                at += 2;
            }
            byte => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

/// A node: its name, and its port if it has one.
struct Node {
    name: Value<'static>,
    port: Option<Value<'static>>,
}

fn node_of(text: &[u8]) -> Option<Node> {
    let text = std::str::from_utf8(text).ok()?;
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (Value::Address(IpAddr::V6(address)), port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            let name = match name.parse::<std::net::Ipv4Addr>() {
                Ok(address) => Value::Address(IpAddr::V4(address)),
                Err(_) if name == "unknown" || is_obscure(name) => Value::owned(name),
                Err(_) => return None,
            };
            (name, port)
        }
    };
    let port = match port {
        None => None,
        Some(port) if is_obscure(port) => Some(Value::owned(port)),
        Some(port) => Some(Value::Int(port.parse::<u16>().ok()?.into())),
    };
    Some(Node { name, port })
}

/// `_` and at least one letter, digit, `.`, `_` or `-`.
fn is_obscure(text: &str) -> bool {
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && is_plain(rest.as_bytes()))
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// The name of a node for a header: an address, or a text as an obscure name.
fn node_text<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    Some(Value::owned(match value {
        Value::Address(IpAddr::V6(address)) => format!("[{address}]").into_bytes(),
        Value::Address(address) => address.to_string().into_bytes(),
        other => match other.into_text() {
            text if text.is_empty() => b"unknown".to_vec(),
            text if is_plain(&text) => [b"_", &*text].concat(),
            _ => return None,
        },
    }))
}

/// The port of a node for a header: a number, or a text as an obscure name.
fn port_text<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    Some(Value::owned(match value {
        Value::Int(port) => u16::try_from(port).ok()?.to_string().into_bytes(),
        other => match other.into_text() {
            text if !text.is_empty() && is_plain(&text) => [b"_", &*text].concat(),
            _ => return None,
        },
    }))
}
