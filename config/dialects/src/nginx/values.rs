//! Values of arguments: flags, numbers, sizes, times, choices, with nginx's words for what is wrong.

use super::tree::Directive;
use plan::Problem;
use std::io;
use std::time::Duration;

impl Directive {
    /// `on` or `off`. The tree has checked it where the table says so.
    pub fn flag(&self, index: usize) -> Result<bool, Problem> {
        match self.argument(index).to_ascii_lowercase().as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            value => Err(self.problem(format!(
                "invalid value \"{value}\" in \"{}\" directive, it must be \"on\" or \"off\"",
                self.name
            ))),
        }
    }

    /// A number without unit.
    pub fn number(&self, index: usize) -> Result<u64, Problem> {
        number(self.argument(index)).ok_or_else(|| self.wrong("invalid number"))
    }

    /// A size in memory: bytes, `k`, `m`.
    pub fn size(&self, index: usize) -> Result<u64, Problem> {
        size(self.argument(index)).ok_or_else(|| self.wrong("invalid value"))
    }

    /// A size of files and bodies: bytes, `k`, `m`, `g`.
    pub fn offset(&self, index: usize) -> Result<u64, Problem> {
        offset(self.argument(index)).ok_or_else(|| self.wrong("invalid value"))
    }

    /// A time to the millisecond: `ms`, `s`, `m`, `h`, `d`, `w` and sums of them, such as `1h30m`.
    pub fn time(&self, index: usize) -> Result<Duration, Problem> {
        time(self.argument(index)).ok_or_else(|| self.wrong("invalid value"))
    }

    /// A time to the second: as [`Directive::time`], with `M` and `y` and without `ms`.
    pub fn seconds(&self, index: usize) -> Result<Duration, Problem> {
        seconds(self.argument(index)).ok_or_else(|| self.wrong("invalid value"))
    }

    /// One of these words.
    pub fn choice<T: Copy>(&self, index: usize, choices: &[(&str, T)]) -> Result<T, Problem> {
        let value = self.argument(index);
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.problem(format!("invalid value \"{value}\"")).hint(format!("one of: {}", words.join(", ")))
        })
    }

    /// `"name" directive WHAT`.
    pub fn wrong(&self, what: &str) -> Problem {
        self.problem(format!("\"{}\" directive {what}", self.name))
    }
}

/// True for `on` and `off`.
pub(super) fn is_flag(text: &str) -> bool {
    text.eq_ignore_ascii_case("on") || text.eq_ignore_ascii_case("off")
}

/// Digits only.
pub fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && i64::try_from(*n).is_ok())
}

/// Bytes, `k`, `m`.
pub fn size(text: &str) -> Option<u64> {
    if text.ends_with(['g', 'G']) { None } else { offset(text) }
}

/// Bytes, `k`, `m`, `g`.
pub fn offset(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift).filter(|n| i64::try_from(*n).is_ok())
}

/// A time to the millisecond.
pub fn time(text: &str) -> Option<Duration> {
    sum(text, &UNITS[2..])
}

/// A time to the second.
pub fn seconds(text: &str) -> Option<Duration> {
    sum(text, &UNITS[..UNITS.len() - 1])
}

/// Units from the largest to the smallest, in milliseconds. Each may come once, and only in this order.
const UNITS: [(&str, u64); 8] = [
    ("y", 365 * 86_400_000),
    ("M", 30 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Numbers with units; one without, at the end, is in seconds.
fn sum(text: &str, mut units: &[(&str, u64)]) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0u64);
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let value = number(&rest[..digits])?;
        rest = &rest[digits..];
        let length = if rest.starts_with("ms") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) };
        let scale = match &rest[..length] {
            "" | " " => 1000,
            unit => {
                let at = units.iter().position(|(name, _)| *name == unit)?;
                let scale = units[at].1;
                units = &units[at + 1..];
                scale
            }
        };
        total = total.checked_add(value.checked_mul(scale)?)?;
        rest = rest[length..].trim_start_matches(' ');
        if rest.is_empty() {
            return i64::try_from(total).ok().map(|_| Duration::from_millis(total));
        }
    }
}

/// An error of the system as nginx writes it: `2: No such file or directory`.
pub fn told(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            format!("{number}: {}", text.trim_end_matches(&format!(" (os error {number})")))
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", Some(0)),
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("100ms", Some(100)),
            ("1h30m", Some(5_400_000)),
            ("1m 30s", Some(90_000)),
            ("1d12", Some(86_412_000)),
            ("1s1m", None),
            ("1m1m", None),
            ("1M", None),
            ("-1", None),
            ("s", None),
            ("", None),
            ("1x", None),
            ("1s1ü", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(time(text), ms.map(Duration::from_millis), "{text}");
        }
        assert_eq!(seconds("1y1M"), Some(Duration::from_secs(395 * 86_400)));
        assert_eq!(seconds("5ms"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(
            (size("8k"), size("1M"), size("12"), size("1g")),
            (Some(8192), Some(1 << 20), Some(12), None)
        );
        assert_eq!((offset("1g"), offset("k"), offset("1 k"), offset("")), (Some(1 << 30), None, None, None));
        assert_eq!(offset("99999999999g"), None);
    }
}
