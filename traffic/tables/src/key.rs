//! Keys: from a value to a key of the table's type, and back to text.

use plan::rule::Value;
use plan::table::KeyKind;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A key of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// A number.
    Integer(u32),
    /// Text or bytes.
    Bytes(Box<[u8]>),
}

impl Key {
    /// The key that a value makes in a table of this type; `None` when it cannot be one, such as an IPv6
    /// address in a table of IPv4 addresses.
    pub fn of(kind: KeyKind, value: &Value<'_>) -> Option<Key> {
        Some(match kind {
            KeyKind::Ipv4 => Key::V4(ipv4(address(value)?)?),
            KeyKind::Ipv6 => Key::V6(ipv6(address(value)?)),
            KeyKind::Integer => Key::Integer(integer(value)?),
            KeyKind::Text(length) => {
                let text = value.clone().into_text();
                Key::Bytes(text[..text.len().min(length as usize)].into())
            }
            KeyKind::Binary(length) => Key::binary(bytes(value), length as usize),
        })
    }

    /// The key of an address.
    pub fn of_address(kind: KeyKind, address: IpAddr) -> Option<Key> {
        Key::of(kind, &Value::Address(address))
    }

    /// Bytes cut or filled up to the length of the table's keys.
    pub fn binary(mut bytes: Vec<u8>, length: usize) -> Key {
        bytes.resize(length, 0);
        Key::Bytes(bytes.into())
    }

    /// The key as a value, for `sc_key`.
    pub fn value(&self) -> Value<'static> {
        match self {
            Key::V4(address) => Value::Address(IpAddr::V4(*address)),
            Key::V6(address) => Value::Address(IpAddr::V6(*address)),
            Key::Integer(number) => Value::Int(i64::from(*number)),
            Key::Bytes(bytes) => Value::Text(bytes.to_vec().into()),
        }
    }

    /// The key as the runtime socket shows it: text with what could break a line escaped, bytes in
    /// hexadecimal.
    pub fn text(&self, kind: KeyKind) -> String {
        match self {
            Key::V4(address) => address.to_string(),
            Key::V6(address) => address.to_string(),
            Key::Integer(number) => number.to_string(),
            Key::Bytes(bytes) if matches!(kind, KeyKind::Binary(_)) => {
                bytes.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02X}");
                    text
                })
            }
            Key::Bytes(bytes) => escaped(bytes),
        }
    }

    /// The key that text on the runtime socket means.
    pub fn parse(kind: KeyKind, text: &str) -> Option<Key> {
        Some(match kind {
            KeyKind::Ipv4 => Key::V4(ipv4(text.parse().ok()?)?),
            KeyKind::Ipv6 => Key::V6(ipv6(text.parse().ok()?)),
            KeyKind::Integer => Key::Integer(text.parse().ok()?),
            KeyKind::Text(length) => Key::Bytes(text.as_bytes()[..text.len().min(length as usize)].into()),
            KeyKind::Binary(length) => Key::binary(from_hex(text)?, length as usize),
        })
    }

    /// Memory beside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Key::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

fn address(value: &Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Int(number) => Some(Ipv4Addr::from(u32::try_from(*number).ok()?).into()),
        other => other.to_address(),
    }
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    }
}

fn ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// As HAProxy: numbers of 32 bits, higher ones are cut.
fn integer(value: &Value<'_>) -> Option<u32> {
    match value {
        Value::Address(IpAddr::V4(address)) => Some(u32::from(*address)),
        other => other.to_int().map(|number| number as u32),
    }
}

fn bytes(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Address(IpAddr::V4(address)) => address.octets().to_vec(),
        Value::Address(IpAddr::V6(address)) => address.octets().to_vec(),
        Value::Int(number) => number.to_be_bytes().to_vec(),
        other => other.clone().into_text().into_owned(),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' | b'=' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            0x1b => text.push_str("\\e"),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => drop(write!(text, "\\x{other:02x}")),
        }
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    digits.chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_become_keys_of_the_tables_type() {
        let check = |kind, value: Value<'_>, expected: Option<&str>| {
            let key = Key::of(kind, &value);
            assert_eq!(key.map(|key| key.text(kind)).as_deref(), expected, "{kind:?} {value:?}");
        };
        let address = |text: &str| Value::Address(text.parse().unwrap());
        check(KeyKind::Ipv4, address("10.0.0.1"), Some("10.0.0.1"));
        check(KeyKind::Ipv4, address("::ffff:10.0.0.1"), Some("10.0.0.1"));
        check(KeyKind::Ipv4, address("2001:db8::1"), None);
        check(KeyKind::Ipv4, Value::text(b"10.0.0.2"), Some("10.0.0.2"));
        check(KeyKind::Ipv4, Value::text(b"none"), None);
        check(KeyKind::Ipv6, address("10.0.0.1"), Some("::ffff:10.0.0.1"));
        check(KeyKind::Integer, Value::text(b"42"), Some("42"));
        check(KeyKind::Integer, Value::text(b"x"), Some("0"));
        check(KeyKind::Integer, Value::text(b""), None);
        check(KeyKind::Text(4), Value::text(b"abcdef"), Some("abcd"));
        check(KeyKind::Text(9), Value::text(b"a b\n\xff"), Some("a\\ b\\n\\xff"));
        check(KeyKind::Binary(4), Value::text(b"ab"), Some("61620000"));
        check(KeyKind::Binary(4), address("10.0.0.1"), Some("0A000001"));
    }

    #[test]
    fn text_on_the_socket_means_a_key() {
        for (kind, text, shown) in [
            (KeyKind::Ipv4, "10.0.0.1", Some("10.0.0.1")),
            (KeyKind::Ipv6, "10.0.0.1", Some("::ffff:10.0.0.1")),
            (KeyKind::Integer, "-1", None),
            (KeyKind::Binary(2), "abcd", Some("ABCD")),
            (KeyKind::Binary(2), "abc", None),
        ] {
            assert_eq!(Key::parse(kind, text).map(|k| k.text(kind)).as_deref(), shown);
        }
    }
}
