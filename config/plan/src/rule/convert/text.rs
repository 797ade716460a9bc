//! Parts of texts, letters, joining and comparing.

use super::Parameter::{Int, OptionalInt, OptionalText, Text};
use super::{Argument, Call, Function, function, part};
use crate::rule::Value;
use std::borrow::Cow;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("bytes", &[Int, OptionalInt], bytes).checked(bytes_checked),
    function("compare", &[Text], compare),
    function("concat", &[OptionalText, OptionalText, OptionalText], concat),
    function("field", &[Int, Text, OptionalInt], field).checked(parts_checked),
    function("length", &[], |_, v| Some(Value::Int(v.into_text().len() as i64))),
    function("lower", &[], lower),
    function("upper", &[], upper),
    function("word", &[Int, Text, OptionalInt], word).checked(parts_checked),
];

fn lower<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    if !text.iter().any(u8::is_ascii_uppercase) {
        return Some(Value::Text(text));
    }
    let mut text = text.into_owned();
    text.make_ascii_lowercase();
    Some(Value::owned(text))
}

fn upper<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    if !text.iter().any(u8::is_ascii_lowercase) {
        return Some(Value::Text(text));
    }
    let mut text = text.into_owned();
    text.make_ascii_uppercase();
    Some(Value::owned(text))
}

fn bytes_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [Argument::Int(..0), ..] => Err("the offset cannot be negative"),
        [_, Argument::Int(..=0), ..] => Err("the length must be positive"),
        _ => Ok(()),
    }
}

fn parts_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [Argument::Int(0), ..] => Err("parts count from 1, or from -1 backwards"),
        [_, Argument::Text(separators), ..] if separators.is_empty() => Err("separators are missing"),
        [_, _, Argument::Int(..0)] => Err("the number of parts cannot be negative"),
        _ => Ok(()),
    }
}

/// From an offset, so many bytes; nothing when the offset lies behind the end.
fn bytes<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let from = usize::try_from(call.int(0)?).ok()?;
    if from >= text.len() {
        return Some(Value::text(b""));
    }
    let rest = text.len() - from;
    let length = match call.is_given(1) {
        true => usize::try_from(call.int(1)?).ok()?.min(rest),
        false => rest,
    };
    Some(part(text, from..from + length))
}

fn concat<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let mut text = value.into_text().into_owned();
    for index in 0..3 {
        if let Some(more) = call.text(index) {
            text.extend_from_slice(&more);
        }
    }
    Some(Value::owned(text))
}

/// 0 when both texts are the same, negative when the value sorts first, else positive.
fn compare<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let (text, other) = (value.into_text(), call.text(0)?);
    let differing = text.iter().zip(other.iter()).find(|(a, b)| a != b);
    Some(Value::Int(match differing {
        Some((a, b)) => i64::from(*a) - i64::from(*b),
        None => (text.len() as i64 - other.len() as i64).signum(),
    }))
}

fn field<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    parts(call, value.into_text(), true)
}

fn word<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    parts(call, value.into_text(), false)
}

/// Parts `n` and following up to `count` (0 = all that follow) between separators, from the front or, negative,
/// from the back. With `empty_counts`, empty parts count.
fn parts<'a>(call: &Call<'_>, text: Cow<'a, [u8]>, empty_counts: bool) -> Option<Value<'a>> {
    let (n, separators) = (call.int(0)?, call.text(1)?);
    let count = call.int(2).unwrap_or(1);
    let bounds = bounds(&text, &separators, empty_counts);
    let steps = usize::try_from(count).ok()?;
    let range = if n > 0 {
        let first = usize::try_from(n - 1).ok()?;
        let last = if steps == 0 { bounds.len() } else { first.saturating_add(steps).min(bounds.len()) };
        (first < last).then(|| bounds[first].0..bounds[last - 1].1)
    } else {
        let last = bounds.len().checked_sub(usize::try_from(n.unsigned_abs()).ok()?.checked_sub(1)?)?;
        let first = if steps == 0 { 0 } else { last.saturating_sub(steps) };
        (first < last).then(|| bounds[first].0..bounds[last - 1].1)
    };
    range.map(|range| part(text, range))
}

/// Where each part begins and ends.
fn bounds(text: &[u8], separators: &[u8], empty_counts: bool) -> Vec<(usize, usize)> {
    let mut list = Vec::new();
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        if separators.contains(byte) {
            list.push((start, at));
            start = at + 1;
        }
    }
    list.push((start, text.len()));
    if !empty_counts {
        list.retain(|(from, to)| from < to);
    }
    list
}
