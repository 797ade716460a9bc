//! How long answers stay fresh, and the words for it.

use crate::rule::Template;

/// `Expires` and `Cache-Control` (nginx: `expires`).
#[derive(Clone, Debug)]
pub enum Expires {
    /// 1 January 1970, `no-cache`.
    Epoch,
    /// 31 December 2037, ten years.
    Max,
    /// So many seconds from now; negative = `no-cache`.
    After(i64),
    /// So many seconds after the last change of the content, from now without one.
    AfterChange(i64),
    /// At a time of the day, seconds from midnight in the zone of the process.
    Daily(u32),
    /// As the text says, in these same words; what is none of them changes nothing.
    Said {
        /// The text.
        text: Template,
        /// A time counts from the last change.
        after_change: bool,
    },
}

/// A text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTime;

/// Longest time that is taken from a text: 68 years. What is longer is no time.
const LONGEST: i64 = i32::MAX as i64;
const DAY: i64 = 86_400;

impl Expires {
    /// Reads `epoch`, `max`, `off` (which gives `None`), `[+|-]TIME` or `@TIME`, as a configuration or a value says it.
    /// Counted after the last change only a time is understood.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &[u8], after_change: bool) -> Result<Option<Expires>, NoTime> {
        match text {
            b"epoch" | b"max" | b"off" if after_change => return Err(NoTime),
            b"epoch" => return Ok(Some(Expires::Epoch)),
            b"max" => return Ok(Some(Expires::Max)),
            b"off" => return Ok(None),
            _ => {}
        }
        let (mark, time) = match text {
            [mark @ (b'@' | b'+' | b'-'), time @ ..] => (*mark, time),
            time => (b'+', time),
        };
        let seconds = seconds(time).ok_or(NoTime)?;
        let signed = if mark == b'-' { -seconds } else { seconds };
        Ok(Some(match (mark, after_change) {
            (b'@', false) if seconds <= DAY => Expires::Daily(u32::try_from(seconds).map_err(|_| NoTime)?),
            (b'@', _) => return Err(NoTime),
            (_, true) => Expires::AfterChange(signed),
            (_, false) => Expires::After(signed),
        }))
    }
}

/// `1h30m`, `2048`, `1d 12h`: parts in falling order, each once, seconds without a unit at the end.
fn seconds(text: &[u8]) -> Option<i64> {
    const UNITS: [(u8, i64); 7] = [
        (b'y', 365 * DAY),
        (b'M', 30 * DAY),
        (b'w', 7 * DAY),
        (b'd', DAY),
        (b'h', 3600),
        (b'm', 60),
        (b's', 1),
    ];
    let mut units = UNITS.iter();
    let (mut total, mut rest) = (0i64, text);
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number: i64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let (unit, behind) = match &rest[digits..] {
            [] => (1, &[][..]),
            [letter, behind @ ..] => (units.find(|(known, _)| known == letter)?.1, behind),
        };
        total =
            number.checked_mul(unit).and_then(|part| total.checked_add(part)).filter(|t| *t <= LONGEST)?;
        rest = behind.strip_prefix(b" ").unwrap_or(behind);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_times() {
        let cases: &[(&str, bool, &str)] = &[
            ("epoch", false, "Ok(Some(Epoch))"),
            ("max", false, "Ok(Some(Max))"),
            ("off", false, "Ok(None)"),
            ("epoch", true, "Err(NoTime)"),
            ("off", true, "Err(NoTime)"),
            ("2048", false, "Ok(Some(After(2048)))"),
            ("+2048", false, "Ok(Some(After(2048)))"),
            ("-1", false, "Ok(Some(After(-1)))"),
            ("-1h30m", true, "Ok(Some(AfterChange(-5400)))"),
            ("1d 12h", true, "Ok(Some(AfterChange(129600)))"),
            ("1y", false, "Ok(Some(After(31536000)))"),
            ("1M1w", false, "Ok(Some(After(3196800)))"),
            ("@15h30m33s", false, "Ok(Some(Daily(55833)))"),
            ("@33s", false, "Ok(Some(Daily(33)))"),
            ("@25h", false, "Err(NoTime)"),
            ("@1h", true, "Err(NoTime)"),
            ("1m1h", false, "Err(NoTime)"),
            ("1h1h", false, "Err(NoTime)"),
            ("", false, "Err(NoTime)"),
            ("bad", false, "Err(NoTime)"),
            ("-", false, "Err(NoTime)"),
            ("1x", false, "Err(NoTime)"),
            ("99999999999999999999", false, "Err(NoTime)"),
            ("9999999999y", false, "Err(NoTime)"),
        ];
        for (text, after_change, expected) in cases {
            let found = format!("{:?}", Expires::parse(text.as_bytes(), *after_change));
            assert_eq!(found, *expected, "{text:?} {after_change}");
        }
    }
}
