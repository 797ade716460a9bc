//! Codings of bytes as text and back.

use super::Parameter::{OptionalInt, OptionalText};
use super::{Argument, Call, Function, function};
use crate::rule::Value;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("base64", &[], |_, v| Some(Value::owned(base64(&v.into_bytes(), STANDARD, true)))),
    function("base64_decode", &[], |_, v| unbase64(&v.into_text()).map(Value::owned)),
    function("base64url", &[], |_, v| Some(Value::owned(base64(&v.into_bytes(), URL, false)))),
    function("base64url_decode", &[], |_, v| unbase64url(&v.into_text()).map(Value::owned)),
    function("bits", &[], bits),
    function("hex", &[], |_, v| Some(Value::owned(hex(&v.into_bytes())))),
    function("hex_chunks", &[OptionalText, OptionalInt, OptionalInt], hex_chunks).checked(chunk_checked),
    function("hex_number", &[], hex_number),
    function("number_chunks", &[OptionalText, OptionalInt, OptionalInt], |c, v| {
        numbers(c, v, |chunk| chunk.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    })
    .checked(number_chunk_checked),
    function("number_chunks_le", &[OptionalText, OptionalInt, OptionalInt], |c, v| {
        numbers(c, v, |chunk| chunk.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    })
    .checked(number_chunk_checked),
    function("percent_decode", &[OptionalInt], percent),
    function("percent_encode", &[], |_, v| Some(Value::owned(percent_encode(&v.into_text())))),
];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Percent-decoding. `+` becomes a space behind a `?`, or everywhere when the argument is not 0. Nothing when a
/// `%` has no two digits.
fn percent<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let form = call.int(0).unwrap_or(0) != 0;
    let text = value.into_text();
    if !text.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Value::Text(text));
    }
    percent_decode(&text, form).map(Value::owned)
}

fn percent_decode(text: &[u8], mut form: bool) -> Option<Vec<u8>> {
    let digit = |at: usize| text.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' if form => out.push(b' '),
            b'?' => {
                form = true;
                out.push(b'?');
            }
            b'%' => {
                out.push((digit(at)? * 16 + digit(at + 1)?) as u8);
                at += 2;
            }
            byte => out.push(*byte),
        }
    }
    Some(out)
}

/// All but unreserved characters (RFC 3986, 2.3) as `%XX`.
fn percent_encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(&hex(&[*byte]));
        }
    }
    out
}

fn base64(text: &[u8], alphabet: &[u8; 64], padded: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (word >> (18 - 6 * i)) as usize & 63;
            match i <= chunk.len() {
                true => out.push(alphabet[sextet]),
                false if padded => out.push(b'='),
                false => {}
            }
        }
    }
    out
}

/// Bytes of padded Base64; nothing when it is wrong.
pub(super) fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|b| **b == b'=').take(2).count();
    sextets(&text[..text.len() - padding], STANDARD)
}

/// Bytes of Base64 in the alphabet for URLs, with or without padding.
pub(super) fn unbase64url(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|b| **b == b'=').take(2).count();
    sextets(&text[..text.len() - padding], URL)
}

fn sextets(text: &[u8], alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.chunks(4) {
        let mut word = 0u32;
        for byte in chunk {
            word = word << 6 | u32::try_from(alphabet.iter().position(|a| a == byte)?).ok()?;
        }
        word <<= 6 * (4 - chunk.len());
        let bytes = [(word >> 16) as u8, (word >> 8) as u8, word as u8];
        out.extend_from_slice(&bytes[..chunk.len().checked_sub(1).filter(|n| *n > 0)?]);
    }
    Some(out)
}

fn hex(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| b"0123456789ABCDEF"[d as usize]).collect()
}

/// Eight digits 0 or 1 per byte.
fn bits<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let bytes = value.into_bytes();
    let digits = bytes.iter().flat_map(|b| (0..8).rev().map(move |bit| b'0' + (b >> bit & 1)));
    Some(Value::owned(digits.collect::<Vec<u8>>()))
}

/// The number that hexadecimal digits mean; nothing when they are wrong or too many.
fn hex_number<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let digits: Option<Vec<u32>> = text.iter().map(|b| (*b as char).to_digit(16)).collect();
    let digits = digits.filter(|d| !d.is_empty() && d.len() <= 16)?;
    Some(Value::Int(digits.iter().fold(0u64, |n, d| n << 4 | u64::from(*d)) as i64))
}

fn chunk_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [_, Argument::Int(..=0), ..] => Err("the size of a chunk must be positive"),
        _ => Ok(()),
    }
}

fn number_chunk_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [_, Argument::Int(9..), ..] => Err("a chunk has at most 8 bytes"),
        other => chunk_checked(other),
    }
}

/// Chunks of so many bytes; with truncation the last one counts only when it is whole.
fn chunks<'b>(call: &Call<'_>, bytes: &'b [u8]) -> Option<impl Iterator<Item = &'b [u8]>> {
    let size = usize::try_from(call.int(1)?).ok().filter(|n| *n > 0)?;
    let truncated = call.int(2).unwrap_or(0) != 0;
    Some(bytes.chunks(size).filter(move |chunk| !truncated || chunk.len() == size))
}

fn hex_chunks<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let bytes = value.into_bytes();
    if !call.is_given(1) {
        return Some(Value::owned(hex(&bytes)));
    }
    let list: Vec<Vec<u8>> = chunks(call, &bytes)?.map(hex).collect();
    Some(Value::owned(list.join(&*call.text(0).unwrap_or_default())))
}

fn numbers<'a>(call: &Call<'_>, value: Value<'a>, number: fn(&[u8]) -> u64) -> Option<Value<'a>> {
    let bytes = value.into_bytes();
    let list: Vec<Vec<u8>> = chunks(call, &bytes)?
        .map(|chunk| number(&chunk[..chunk.len().min(8)]).to_string().into_bytes())
        .collect();
    Some(Value::owned(list.join(&*call.text(0).unwrap_or_default())))
}
