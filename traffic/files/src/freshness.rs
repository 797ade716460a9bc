//! How long an answer is fresh, and fields added to heads.
//!
//! Pure: the caller brings the clock, the zone and the values of the templates.

use plan::files::{AddedField, Fresh, Freshness};
use wire::http1::{Fields, Name, date};

/// Longest time that is taken from a text: 68 years. What is longer is no time.
const LONGEST: i64 = i32::MAX as i64;
const DAY: i64 = 86_400;

/// Statuses whose heads get added fields when those are not added always (successes and redirects).
pub fn is_addable(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

/// Says in the head how long the answer is fresh. `now` in Unix seconds, `zone_s` in seconds east of UTC; `text` gives
/// the value of a computed one.
pub fn say(
    freshness: &Freshness,
    answer: &mut Fields,
    now: i64,
    zone_s: i64,
    text: impl FnOnce(&plan::Template) -> Vec<u8>,
) {
    let fresh = match freshness {
        Freshness::Unsaid => return,
        Freshness::Fixed(fresh) => Some(*fresh),
        Freshness::Computed { text: template, from_change } => parse(&text(template), *from_change),
    };
    let (expires, control) = match fresh {
        None | Some(Fresh::Off) => return,
        Some(Fresh::Epoch) => (1, "no-cache".to_owned()),
        Some(Fresh::Max) => (2_145_916_555, "max-age=315360000".to_owned()),
        Some(Fresh::Daily(second)) => until(next_time(second, now, zone_s), now, false),
        Some(Fresh::FromNow(0) | Fresh::FromChange(0)) => (now, "max-age=0".to_owned()),
        Some(Fresh::FromNow(seconds)) => until(now + seconds, now, seconds < 0),
        Some(Fresh::FromChange(seconds)) => {
            let changed = super::condition::last_modified(answer).unwrap_or(now);
            until(changed + seconds, now, seconds < 0)
        }
    };
    answer.set(b"Expires", &date::format(expires.max(0) as u64));
    answer.set(b"Cache-Control", control.as_bytes());
}

fn until(moment: i64, now: i64, stale: bool) -> (i64, String) {
    let left = moment - now;
    (moment, if stale || left < 0 { "no-cache".to_owned() } else { format!("max-age={left}") })
}

/// The next time that the clocks of the zone show this second of the day.
fn next_time(second: u32, now: i64, zone_s: i64) -> i64 {
    let midnight = (now + zone_s).div_euclid(DAY) * DAY - zone_s;
    let today = midnight + i64::from(second);
    if today > now { today } else { today + DAY }
}

/// Reads `epoch`, `max`, `off`, `[+|-]TIME` or `@TIME`, as a configuration or a value says it. Counted `from_change`
/// only a time is understood.
pub fn parse(text: &[u8], from_change: bool) -> Option<Fresh> {
    if !from_change {
        match text {
            b"epoch" => return Some(Fresh::Epoch),
            b"max" => return Some(Fresh::Max),
            b"off" => return Some(Fresh::Off),
            _ => {}
        }
    }
    let (mark, time) = match text {
        [mark @ (b'@' | b'+' | b'-'), time @ ..] => (*mark, time),
        time => (b'+', time),
    };
    let seconds = seconds(time)?;
    match (mark, from_change) {
        (b'@', true) => None,
        (b'@', false) => u32::try_from(seconds).ok().filter(|s| i64::from(*s) <= DAY).map(Fresh::Daily),
        (sign, true) => Some(Fresh::FromChange(if sign == b'-' { -seconds } else { seconds })),
        (sign, false) => Some(Fresh::FromNow(if sign == b'-' { -seconds } else { seconds })),
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

/// Adds fields to a head of this status. `text` gives the value of a template; an empty one adds nothing.
///
/// `ETag` and `Last-Modified` are there only once: a value takes the place of what is there, an empty one removes it.
pub fn add(
    added: &[AddedField],
    status: u16,
    answer: &mut Fields,
    mut text: impl FnMut(&plan::Template, &Fields) -> Vec<u8>,
) {
    let usual = is_addable(status);
    for field in added.iter().filter(|field| field.always || usual) {
        let value = text(&field.value, answer);
        let name = field.name.as_bytes();
        let single = matches!(Name::of(name), Name::Etag | Name::LastModified);
        match (single, value.is_empty()) {
            (true, true) => drop(answer.remove(name)),
            (true, false) => drop(answer.set(name, &value)),
            (false, true) => {}
            (false, false) => drop(answer.append(name, &value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mon, 01 Mar 2021 12:00:00 GMT.
    const NOW: i64 = 1_614_600_000;

    fn said(fresh: Fresh, changed: Option<&str>) -> (String, String) {
        let mut fields = Fields::new();
        if let Some(changed) = changed {
            fields.append(b"Last-Modified", changed.as_bytes());
        }
        fields.append(b"Cache-Control", b"public");
        say(&Freshness::Fixed(fresh), &mut fields, NOW, 3600, |_| Vec::new());
        let text = |name| String::from_utf8_lossy(fields.find(name).unwrap_or_default()).into_owned();
        (text(Name::Expires), text(Name::CacheControl))
    }

    #[track_caller]
    fn check(fresh: Fresh, changed: Option<&str>, expires: &str, control: &str) {
        assert_eq!(said(fresh, changed), (expires.to_owned(), control.to_owned()), "{fresh:?} {changed:?}");
    }

    #[test]
    fn heads_say_how_long() {
        check(Fresh::Off, None, "", "public");
        check(Fresh::Epoch, None, "Thu, 01 Jan 1970 00:00:01 GMT", "no-cache");
        check(Fresh::Max, None, "Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000");
        check(Fresh::FromNow(0), None, "Mon, 01 Mar 2021 12:00:00 GMT", "max-age=0");
        check(Fresh::FromNow(60), None, "Mon, 01 Mar 2021 12:01:00 GMT", "max-age=60");
        check(Fresh::FromNow(-60), None, "Mon, 01 Mar 2021 11:59:00 GMT", "no-cache");
        check(Fresh::FromChange(60), None, "Mon, 01 Mar 2021 12:01:00 GMT", "max-age=60");
        let changed = Some("Mon, 01 Mar 2021 11:59:30 GMT");
        check(Fresh::FromChange(60), changed, "Mon, 01 Mar 2021 12:00:30 GMT", "max-age=30");
        check(Fresh::FromChange(20), changed, "Mon, 01 Mar 2021 11:59:50 GMT", "no-cache");
        check(Fresh::Daily(13 * 3600 + 60), None, "Mon, 01 Mar 2021 12:01:00 GMT", "max-age=60");
        check(Fresh::Daily(13 * 3600), None, "Tue, 02 Mar 2021 12:00:00 GMT", "max-age=86400");
    }

    #[test]
    fn words_and_times() {
        let cases: &[(&str, bool, Option<Fresh>)] = &[
            ("epoch", false, Some(Fresh::Epoch)),
            ("max", false, Some(Fresh::Max)),
            ("off", false, Some(Fresh::Off)),
            ("epoch", true, None),
            ("max", true, None),
            ("2048", false, Some(Fresh::FromNow(2048))),
            ("+2048", false, Some(Fresh::FromNow(2048))),
            ("-1", false, Some(Fresh::FromNow(-1))),
            ("-1h30m", true, Some(Fresh::FromChange(-5400))),
            ("1d 12h", true, Some(Fresh::FromChange(129_600))),
            ("1y", false, Some(Fresh::FromNow(31_536_000))),
            ("1M1w", false, Some(Fresh::FromNow(37 * DAY))),
            ("@15h30m33s", false, Some(Fresh::Daily(55_833))),
            ("@33s", false, Some(Fresh::Daily(33))),
            ("@25h", false, None),
            ("@1h", true, None),
            ("1m1h", false, None),
            ("1h1h", false, None),
            ("", false, None),
            ("bad", false, None),
            ("-", false, None),
            ("1x", false, None),
            ("99999999999999999999", false, None),
            ("9999999999y", false, None),
        ];
        for (text, from_change, expected) in cases {
            assert_eq!(parse(text.as_bytes(), *from_change), *expected, "{text:?} {from_change}");
        }
    }

    #[test]
    fn fields_are_added_by_status() {
        let field = |name: &str, value: &str, always| AddedField {
            name: name.into(),
            value: plan::Template::fixed(value),
            always,
        };
        let added = [
            field("X-A", "1", false),
            field("X-B", "2", true),
            field("X-C", "", true),
            field("ETag", "foo", true),
            field("ETag", "", true),
            field("Last-Modified", "x", false),
            field("Cache-Control", "a", false),
        ];
        let names = |status| {
            let mut fields = Fields::new();
            fields.append(b"ETag", b"\"1\"");
            fields.append(b"last-modified", b"y");
            fields.append(b"Cache-Control", b"b");
            let text = |t: &plan::Template, _: &Fields| t.as_fixed().unwrap_or_default().to_vec();
            add(&added, status, &mut fields, text);
            let line = |(n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v));
            fields.pairs().map(line).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(names(200), "Last-Modified: x, Cache-Control: b, X-A: 1, X-B: 2, Cache-Control: a");
        assert_eq!(names(404), "last-modified: y, Cache-Control: b, X-B: 2");
    }
}
