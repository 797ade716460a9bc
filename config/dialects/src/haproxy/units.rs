//! Times, sizes, statuses, names and expressions as configurations write them.

use regex::bytes::{Regex, RegexBuilder};
use std::time::Duration;

/// Time units and their length in microseconds.
const UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
/// Longest time: 2³¹ - 1 milliseconds.
const MAX_MICROS: u64 = (i32::MAX as u64) * 1000;

/// `5s`, `100ms`; a bare number counts `unit_ms` milliseconds.
pub(super) fn time(text: &str, unit_ms: u64) -> Result<Duration, String> {
    let (number, unit) =
        number_and_unit(text).ok_or_else(|| format!("'{text}' is no time such as 5s or 100ms"))?;
    let factor = match unit {
        "" => unit_ms * 1000,
        unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, micros)| *micros).ok_or_else(|| {
            format!("'{unit}' in '{text}' is no unit of time: us, ms, s, m, h or d is expected")
        })?,
    };
    match number.checked_mul(factor) {
        Some(micros) if micros <= MAX_MICROS => Ok(Duration::from_micros(micros)),
        _ => Err(format!("'{text}' is longer than 24 days")),
    }
}

/// `16384`, `16k`, `1m`, `1g`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size such as 16384 or 16k");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).filter(|n| *n <= 1 << 48).ok_or_else(wrong)
}

/// A time of 0 means "without limit".
pub(super) fn limit(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

/// The first character that may not stand in a name of a section, a server or a condition.
pub(super) fn bad_in_name(name: &str) -> Option<char> {
    name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | ':'))
}

/// Permissions in octal.
pub(super) fn permissions(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

/// An expression on bytes.
pub(super) fn expression(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    // The flag stands in the text, so that whoever writes the expression down writes it too.
    let text = if ignore_case { format!("(?i){pattern}") } else { pattern.to_owned() };
    RegexBuilder::new(&text).unicode(false).size_limit(4 << 20).build().map_err(|error| {
        let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        format!("'{pattern}' is no expression that is understood here: {reason}")
    })
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        let check = |text, expected: Option<u64>| {
            assert_eq!(time(text, 1).ok().map(|d| d.as_micros() as u64), expected);
        };
        check("5s", Some(5_000_000));
        check("100", Some(100_000));
        check("7us", Some(7));
        check("2m", Some(120_000_000));
        check("30d", None);
        check("5x", None);
        check("s", None);
        check("-1", None);
        check("99999999999999999999", None);
        assert_eq!(size("16k"), Ok(16384));
        assert!(size("9999999999g").is_err());
    }
}
