//! Dates as text: HTTP's form, strftime(3) and back.

use super::Parameter::{OptionalInt, OptionalText, Text};
use super::{Argument, Call, Function, function};
use crate::rule::Value;

/// Functions of this topic. Numbers count seconds since 1970, or as many parts of a second as the name says; the
/// offset is added first and counts the same. Zones: `utc`, or that of this machine.
pub(super) const FUNCTIONS: &[Function] = &[
    function("date_seconds", &[], |_, v| parsed(&v.into_text()).map(Value::Int)),
    function("http_date", &[OptionalInt, OptionalText], http).checked(unit_checked),
    function("local_time", &[Text, OptionalInt], |c, v| formatted(c, v, 1, true)),
    function("local_time_ms", &[Text, OptionalInt], |c, v| formatted(c, v, 1000, true)),
    function("local_time_us", &[Text, OptionalInt], |c, v| formatted(c, v, 1_000_000, true)),
    function("utc_time", &[Text, OptionalInt], |c, v| formatted(c, v, 1, false)),
    function("utc_time_ms", &[Text, OptionalInt], |c, v| formatted(c, v, 1000, false)),
    function("utc_time_us", &[Text, OptionalInt], |c, v| formatted(c, v, 1_000_000, false)),
];

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Seconds of the years ±32767: what lies outside has no text.
const MOST_SECONDS: i64 = 32_767 * 366 * 86_400;

/// A moment taken apart.
struct Moment {
    unix: i64,
    nanoseconds: i64,
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
    /// From 0.
    day_of_year: i64,
    /// From Sunday = 0.
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// Seconds east of UTC.
    offset: i64,
}

impl Moment {
    fn new(unix: i64, nanoseconds: i64, offset: i64) -> Option<Moment> {
        if unix.abs() > MOST_SECONDS {
            return None;
        }
        let local = unix + offset;
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        Some(Moment {
            unix,
            nanoseconds,
            year,
            month,
            day,
            day_of_year: days - days_before(year, 1, 1),
            weekday: (days + 4).rem_euclid(7),
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            offset,
        })
    }

    /// Week of the year when weeks begin on this weekday (0 = Sunday).
    fn week(&self, first: i64) -> i64 {
        (self.day_of_year + 7 - (self.weekday - first).rem_euclid(7)) / 7
    }

    /// Year and week of ISO 8601.
    fn iso_week(&self) -> (i64, i64) {
        let weekday = (self.weekday + 6) % 7;
        let week = (self.day_of_year - weekday + 10) / 7;
        match week {
            0 => (self.year - 1, weeks(self.year - 1)),
            53 if weeks(self.year) == 52 => (self.year + 1, 1),
            week => (self.year, week),
        }
    }
}

/// Weeks of a year in ISO 8601.
fn weeks(year: i64) -> i64 {
    let first = |year: i64| (days_before(year, 1, 1) + 4).rem_euclid(7);
    let long = first(year) == 4
        || (first(year) == 3 && days_before(year + 1, 1, 1) - days_before(year, 1, 1) == 366);
    if long { 53 } else { 52 }
}

/// Year, month and day of a number of days since 1970 (the Gregorian calendar, counted in eras of 400 years that
/// begin in March).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn name<'n>(names: &'n [&'n str], index: i64) -> &'n str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

/// Parts of a second.
fn unit(name: &[u8]) -> Option<i64> {
    match name {
        b"s" => Some(1),
        b"ms" => Some(1000),
        b"us" => Some(1_000_000),
        _ => None,
    }
}

fn unit_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [_, Argument::Text(name)] if unit(name).is_none() => Err("the unit is s, ms or us"),
        _ => Ok(()),
    }
}

/// IMF-fixdate (RFC 9110, 5.6.7); parts of a second behind a dot when the number counts them.
fn http<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let unit = call.text(1).map_or(Some(1), |name| unit(&name))?;
    let number = value.to_int()?.saturating_add(call.int(0).unwrap_or(0));
    let m = Moment::new(number.div_euclid(unit), 0, 0)?;
    let fraction = if unit > 1 { format!(".{}", number.rem_euclid(unit)) } else { String::new() };
    let (day, month) = (&name(&DAYS, m.weekday)[..3], &name(&MONTHS, m.month - 1)[..3]);
    let text = format!(
        "{day}, {:02} {month} {:04} {:02}:{:02}:{:02}{fraction} GMT",
        m.day, m.year, m.hour, m.minute, m.second
    );
    Some(Value::owned(text))
}

fn formatted<'a>(call: &Call<'_>, value: Value<'a>, unit: i64, local: bool) -> Option<Value<'a>> {
    let number = value.to_int()?.saturating_add(call.int(1).unwrap_or(0));
    let unix = number.div_euclid(unit);
    let offset = if local { i64::from(call.facts.zone_offset(unix)) } else { 0 };
    let moment = Moment::new(unix, number.rem_euclid(unit) * (1_000_000_000 / unit), offset)?;
    let format = call.text(0)?;
    let mut out = Vec::with_capacity(format.len() * 4);
    strftime(&moment, &format, if local { "UTC" } else { "GMT" }, &mut out, 0);
    Some(Value::owned(out))
}

/// Appends a date as strftime(3) does in the C locale; `%N` is nanoseconds, `%3N` milliseconds.
fn strftime(m: &Moment, format: &[u8], zone: &str, out: &mut Vec<u8>, depth: u8) {
    let mut at = 0;
    while let Some(byte) = format.get(at) {
        at += 1;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let width = format.get(at).filter(|b| matches!(b, b'1'..=b'9') && format.get(at + 1) == Some(&b'N'));
        at += usize::from(width.is_some());
        let Some(letter) = format.get(at) else {
            out.push(b'%');
            return;
        };
        at += 1;
        match composed(*letter) {
            Some(format) if depth == 0 => strftime(m, format, zone, out, 1),
            _ => out.extend_from_slice(field(m, *letter, width.map_or(9, |w| w - b'0'), zone).as_bytes()),
        }
    }
}

/// Letters that stand for a format.
fn composed(letter: u8) -> Option<&'static [u8]> {
    Some(match letter {
        b'c' => b"%a %b %e %H:%M:%S %Y",
        b'D' | b'x' => b"%m/%d/%y",
        b'F' => b"%Y-%m-%d",
        b'r' => b"%I:%M:%S %p",
        b'R' => b"%H:%M",
        b'T' | b'X' => b"%H:%M:%S",
        _ => return None,
    })
}

fn field(m: &Moment, letter: u8, width: u8, zone: &str) -> String {
    let two = |n: i64| format!("{n:02}");
    let blank = |n: i64| format!("{n:2}");
    let twelve = if m.hour % 12 == 0 { 12 } else { m.hour % 12 };
    match letter {
        b'a' => name(&DAYS, m.weekday)[..3].to_owned(),
        b'A' => name(&DAYS, m.weekday).to_owned(),
        b'b' | b'h' => name(&MONTHS, m.month - 1)[..3].to_owned(),
        b'B' => name(&MONTHS, m.month - 1).to_owned(),
        b'C' => two(m.year.div_euclid(100)),
        b'd' => two(m.day),
        b'e' => blank(m.day),
        b'g' => two(m.iso_week().0.rem_euclid(100)),
        b'G' => m.iso_week().0.to_string(),
        b'H' => two(m.hour),
        b'I' => two(twelve),
        b'j' => format!("{:03}", m.day_of_year + 1),
        b'k' => blank(m.hour),
        b'l' => blank(twelve),
        b'm' => two(m.month),
        b'M' => two(m.minute),
        b'n' => "\n".to_owned(),
        b'N' => format!("{:09}", m.nanoseconds)[..usize::from(width)].to_owned(),
        b'p' => if m.hour < 12 { "AM" } else { "PM" }.to_owned(),
        b'P' => if m.hour < 12 { "am" } else { "pm" }.to_owned(),
        b's' => m.unix.to_string(),
        b'S' => two(m.second),
        b't' => "\t".to_owned(),
        b'u' => if m.weekday == 0 { 7 } else { m.weekday }.to_string(),
        b'U' => two(m.week(0)),
        b'V' => two(m.iso_week().1),
        b'w' => m.weekday.to_string(),
        b'W' => two(m.week(1)),
        b'y' => two(m.year.rem_euclid(100)),
        b'Y' => m.year.to_string(),
        b'z' => east(m.offset),
        b'Z' if m.offset == 0 => zone.to_owned(),
        b'Z' => east(m.offset),
        b'%' => "%".to_owned(),
        other => format!("%{}", char::from(other)),
    }
}

/// `+0130`.
fn east(offset: i64) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / 60;
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

/// Seconds since 1970 of an HTTP date in any of its three forms (RFC 9110, 5.6.7).
fn parsed(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|w| !w.is_empty()).collect();
    let month_of =
        |w: &str| MONTHS.iter().position(|m| w.len() == 3 && m.starts_with(w)).map(|i| i as i64 + 1);
    let (day, month, year, time) = match words.as_slice() {
        [_, day, month, year, time, "GMT"] => (*day, month_of(month)?, *year, *time),
        [_, month, day, time, year] => (*day, month_of(month)?, *year, *time),
        _ => return None,
    };
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let year = match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        100..10_000 => year,
        _ => return None,
    };
    let clock: Vec<i64> = time.split(':').map_while(|part| part.parse().ok()).collect();
    let [hour @ 0..24, minute @ 0..60, second @ 0..61] = clock.as_slice() else { return None };
    (1..=31)
        .contains(&day)
        .then(|| days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}
