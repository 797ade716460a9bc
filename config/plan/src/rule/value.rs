//! Values while a rule is evaluated, and how one kind is taken for another.

use std::borrow::Cow;
use std::net::IpAddr;

/// A value while a rule is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Int(i64),
    /// Bytes, usually text.
    Text(Cow<'a, [u8]>),
    /// An address.
    Address(IpAddr),
}

impl<'a> Value<'a> {
    /// Borrowed text.
    pub fn text(bytes: &'a [u8]) -> Value<'a> {
        Value::Text(Cow::Borrowed(bytes))
    }

    /// Text of its own.
    pub fn owned(bytes: impl Into<Vec<u8>>) -> Value<'a> {
        Value::Text(Cow::Owned(bytes.into()))
    }

    /// The value as text: numbers in decimal, booleans as `1` and `0`.
    pub fn into_text(self) -> Cow<'a, [u8]> {
        match self {
            Value::Text(text) => text,
            Value::Bool(yes) => Cow::Borrowed(if yes { b"1" } else { b"0" }),
            Value::Int(n) => {
                let mut out = Vec::with_capacity(20);
                super::write_int(n, &mut out);
                Cow::Owned(out)
            }
            Value::Address(a) => Cow::Owned(a.to_string().into_bytes()),
        }
    }

    /// The value as bytes in network order: numbers take 8, addresses 4 or 16.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Value::Int(n) => Cow::Owned(n.to_be_bytes().to_vec()),
            Value::Bool(yes) => Cow::Owned(i64::from(yes).to_be_bytes().to_vec()),
            Value::Address(IpAddr::V4(a)) => Cow::Owned(a.octets().to_vec()),
            Value::Address(IpAddr::V6(a)) => Cow::Owned(a.octets().to_vec()),
            Value::Text(text) => text,
        }
    }

    /// The value as a number: of text the number it begins with (0 without one), of an IPv4 address its
    /// 32 bits. `None` for empty text and IPv6 addresses.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Value::Bool(yes) => Some(i64::from(*yes)),
            Value::Int(n) => Some(*n),
            Value::Text(text) => (!text.is_empty()).then(|| leading_number(text)),
            Value::Address(IpAddr::V4(a)) => Some(i64::from(u32::from(*a))),
            Value::Address(IpAddr::V6(_)) => None,
        }
    }

    /// The value as an address; a number is taken for an IPv4 address.
    pub fn to_address(&self) -> Option<IpAddr> {
        match self {
            Value::Address(a) => Some(*a),
            Value::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
            Value::Int(n) => Some(IpAddr::V4((*n as u32).into())),
            Value::Bool(_) => None,
        }
    }

    /// A value that outlives its source.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bool(yes) => Value::Bool(yes),
            Value::Int(n) => Value::Int(n),
            Value::Address(a) => Value::Address(a),
        }
    }
}

/// The number that text begins with, 0 without one; too large ones stop at the ends of the range.
pub fn leading_number(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut n: i64 = 0;
    for digit in digits.iter().take_while(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0')) {
        let step = if negative { -digit } else { digit };
        n = n.saturating_mul(10).saturating_add(step);
    }
    n
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_begins_with_a_number() {
        let check =
            |text: &str, n: Option<i64>| assert_eq!(Value::text(text.as_bytes()).to_int(), n, "{text}");
        check("12", Some(12));
        check("12x", Some(12));
        check("-7", Some(-7));
        check("+7", Some(7));
        check("x", Some(0));
        check("", None);
        check("99999999999999999999", Some(i64::MAX));
        check("-99999999999999999999", Some(i64::MIN));
    }

    #[test]
    fn addresses_and_numbers_stand_for_each_other() {
        assert_eq!(Value::Address("1.2.3.4".parse().unwrap()).to_int(), Some(0x0102_0304));
        assert_eq!(Value::Int(0x0102_0304).to_address(), Some("1.2.3.4".parse().unwrap()));
        assert_eq!(Value::Address("::1".parse().unwrap()).to_int(), None);
        assert_eq!(&*Value::Int(5).into_bytes(), &[0, 0, 0, 0, 0, 0, 0, 5]);
    }
}
