//! Parts of texts, letters, joining and comparing.

use super::Parameter::{Int, OptionalInt, OptionalText, Text};
use super::{Argument, Call, Function, function, part};
use crate::rule::{Value, leading_number};
use std::borrow::Cow;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("append", &[Text, OptionalText, OptionalText], append),
    function("before_newline", &[], before_newline),
    function("bytes", &[Int, OptionalInt], bytes).checked(bytes_checked),
    function("choose", &[Text, Text], |c, v| {
        c.text(usize::from(v.to_int()? == 0)).map(|t| Value::owned(&*t))
    }),
    function("compare", &[Text], compare),
    function("concat", &[OptionalText, OptionalText, OptionalText], concat),
    function("field", &[Int, Text, OptionalInt], field).checked(parts_checked),
    function("has_control", &[OptionalInt], has_control),
    function("language", &[Text, OptionalText], language),
    function("length", &[], |_, v| Some(Value::Int(v.into_text().len() as i64))),
    function("lower", &[], lower),
    function("parameter", &[Text, OptionalText], parameter),
    function("reverse", &[], reverse),
    function("reverse_domain", &[], reverse_domain),
    function("same_bytes", &[Text], same_bytes),
    function("trim_end", &[Text], |c, v| trim(c, v, false)),
    function("trim_start", &[Text], |c, v| trim(c, v, true)),
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

/// From an offset, so many bytes; none when the offset lies behind the end or an argument is no such number.
fn bytes<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let number = |index| call.int(index).and_then(|n| usize::try_from(n).ok());
    let length = if call.is_given(1) { number(1) } else { Some(text.len()) };
    let (Some(from), Some(length)) = (number(0).filter(|from| *from < text.len()), length) else {
        return Some(Value::text(b""));
    };
    let to = from.saturating_add(length).min(text.len());
    Some(part(text, from..to))
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

/// As `concat` of a delimiter, a text and a suffix; the delimiter only between texts that are not empty.
fn append<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let mut text = value.into_text().into_owned();
    let [middle, end] = [1, 2].map(|index| call.text(index).unwrap_or_default());
    let more = !middle.is_empty() || !end.is_empty();
    if more && !text.is_empty() {
        text.extend_from_slice(&call.text(0)?);
    }
    text.extend_from_slice(&middle);
    text.extend_from_slice(&end);
    Some(Value::owned(text))
}

fn before_newline<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let end = text.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(text.len());
    Some(part(text, 0..end))
}

fn trim<'a>(call: &Call<'_>, value: Value<'a>, start: bool) -> Option<Value<'a>> {
    let (text, blanks) = (value.into_text(), call.text(0)?);
    let kept = |b: &u8| !blanks.contains(b);
    let range = match start {
        true => text.iter().position(kept).unwrap_or(text.len())..text.len(),
        false => 0..text.iter().rposition(kept).map_or(0, |last| last + 1),
    };
    Some(part(text, range))
}

fn reverse<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let mut text = value.into_text().into_owned();
    text.reverse();
    Some(Value::owned(text))
}

/// `www.example.com` as `com.example.www`; one dot at the end does not count, empty labels are wrong.
fn reverse_domain<'a>(_: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let name = text.strip_suffix(b".").unwrap_or(&text);
    let mut labels: Vec<&[u8]> = name.split(|b| *b == b'.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    labels.reverse();
    Some(Value::owned(labels.join(&b'.')))
}

/// True when both are the same; takes equally long wherever two of one length differ.
fn same_bytes<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let (bytes, other) = (value.into_bytes(), call.value(0)?.into_bytes());
    let differing = bytes.iter().zip(other.iter()).fold(0, |all, (a, b)| all | (a ^ b));
    Some(Value::Bool(bytes.len() == other.len() && std::hint::black_box(differing) == 0))
}

/// All control characters but the tab; bit 32 stands for DEL.
const CONTROLS: i64 = 0x1_ffff_fdff;

/// True when a control character of the mask is in it: a bit for each of 0 to 31, bit 32 for 127.
fn has_control<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let mask = call.int(0).unwrap_or(CONTROLS);
    let hit = |b: &u8| match b {
        0..=31 => mask >> b & 1 == 1,
        127 => mask >> 32 & 1 == 1,
        _ => false,
    };
    Some(Value::Bool(value.into_bytes().iter().any(hit)))
}

/// Value of the first parameter of that name between delimiters (`&`); empty when it has none.
fn parameter<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let (text, name) = (value.into_text(), call.text(0)?);
    let delimiter = call.text(1).and_then(|d| d.first().copied()).unwrap_or(b'&');
    let mut start = 0;
    for piece in text.split(|b| *b == delimiter) {
        let end = start + piece.len();
        if let Some(rest) = piece.strip_prefix(&*name) {
            match rest.first() {
                None => return Some(part(text, end..end)),
                Some(b'=') => {
                    let from = start + name.len() + 1;
                    return Some(part(text, from..end));
                }
                Some(_) => {}
            }
        }
        start = end + 1;
    }
    None
}

/// The first language of a list with the highest weight that is among those asked for (`da;en`), or the
/// default. A range `en-US` stands for `en` too.
fn language<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let (text, wanted) = (value.into_text(), call.text(0)?);
    let known = |tag: &[u8]| wanted.split(|b| *b == b';').find(|w| w.trim_ascii() == tag);
    let mut best: Option<(i64, &[u8])> = None;
    for item in text.split(|b| *b == b',') {
        let mut parts = item.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let tag = parts.next().unwrap_or_default();
        let weight = parts.find_map(|p| p.strip_prefix(b"q=")).map_or(1000, thousandths);
        let base = tag.split(|b| *b == b'-').next().unwrap_or_default();
        let Some(found) = known(tag).or_else(|| known(base)) else { continue };
        if weight > 0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, found));
        }
    }
    match best {
        Some((_, found)) => Some(Value::owned(found.trim_ascii())),
        None => call.text(1).map(|default| Value::owned(&*default)),
    }
}

/// A weight from 0 to 1 with at most three decimals (RFC 9110, 12.4.2), in thousandths.
fn thousandths(text: &[u8]) -> i64 {
    let mut parts = text.splitn(2, |b| *b == b'.');
    let whole = parts.next().map_or(0, leading_number);
    let decimals = parts.next().unwrap_or_default().iter().take(3).take_while(|b| b.is_ascii_digit());
    let digits: Vec<i64> = decimals.map(|b| i64::from(b - b'0')).chain([0, 0, 0]).take(3).collect();
    whole.min(1) * 1000 + digits.iter().fold(0, |n, d| n * 10 + d)
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
