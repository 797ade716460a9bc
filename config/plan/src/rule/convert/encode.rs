//! Codings of bytes as text and back.

use super::{Call, Function, function};
use crate::rule::Value;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("base64", &[], |_, v| Some(Value::owned(base64(&v.into_bytes())))),
    function("hex", &[], |_, v| Some(Value::owned(hex(&v.into_bytes())))),
    function("percent_decode", &[], percent),
];

fn percent<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    Some(Value::owned(percent_decode(&value.into_text())))
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn base64(text: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (word >> (18 - 6 * i)) as usize & 63;
            out.push(if i <= chunk.len() { ALPHABET[sextet] } else { b'=' });
        }
    }
    out
}

fn hex(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| b"0123456789ABCDEF"[d as usize]).collect()
}
