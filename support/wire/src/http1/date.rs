//! Dates in heads: IMF-fixdate (RFC 9110 section 5.6.7). The caller brings the clock.

/// Length of a formatted date.
pub const DATE_BYTES: usize = 29;

const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// Formats seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`. Years over 9999 are shown as 9999.
pub fn format(unix_seconds: u64) -> [u8; DATE_BYTES] {
    const LAST: u64 = 253_402_300_799;
    let seconds = unix_seconds.min(LAST);
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(three(DAYS, days % 7));
    two(&mut text[5..7], day);
    text[8..11].copy_from_slice(three(MONTHS, month - 1));
    two(&mut text[12..14], year / 100);
    two(&mut text[14..16], year % 100);
    two(&mut text[17..19], time / 3600);
    two(&mut text[20..22], time / 60 % 60);
    two(&mut text[23..25], time % 60);
    text
}

/// Seconds since 1970 of a date in one of its three forms (RFC 9110 section 5.6.7): IMF-fixdate, RFC 850 and asctime.
/// A year of two digits from 70 on is of the last century. Names of days are not checked.
pub fn parse(text: &[u8]) -> Option<i64> {
    let mut parts = text.split(|b| matches!(b, b' ' | b',' | b'-')).filter(|part| !part.is_empty());
    let mut part = || parts.next();
    let (_, second) = (part()?, part()?);
    let (day, month, year, time) = match month_of(second) {
        Some(month) => {
            let (day, time) = (part()?, part()?);
            (day, month, part()?, time)
        }
        None => {
            let (month, year) = (month_of(part()?)?, part()?);
            let time = part()?;
            part().filter(|zone| *zone == b"GMT")?;
            (second, month, year, time)
        }
    };
    if part().is_some() {
        return None;
    }
    let (day, year) = (number(day)?, full_year(number(year)?)?);
    if !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    Some((days_before(year, month, day) * 86_400 + seconds_of(time)?) as i64)
}

fn month_of(name: &[u8]) -> Option<u64> {
    let names = MONTHS.chunks(3);
    names.zip(1..).find(|(known, _)| *known == name).map(|(_, month)| month)
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 4 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn full_year(said: u64) -> Option<u64> {
    match said {
        0..70 => Some(said + 2000),
        70..100 => Some(said + 1900),
        1970.. => Some(said),
        _ => None,
    }
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `HH:MM:SS`.
fn seconds_of(time: &[u8]) -> Option<u64> {
    let mut parts = time.split(|b| *b == b':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && hour < 24 && minute < 60 && second < 61)
        .then_some(hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date: the way back of [`civil`].
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month from 1, day from 1, of a day counted from 1970-01-01. Years are counted from March, so that the leap
/// day is the last one.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (shown, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, shown, day - (153 * month + 2) / 5 + 1)
}

fn three(names: &[u8], index: u64) -> &[u8] {
    let start = index as usize * 3;
    &names[start..start + 3]
}

fn two(place: &mut [u8], number: u64) {
    place.copy_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, text) in cases {
            assert_eq!(String::from_utf8_lossy(&format(seconds)), text);
        }
    }

    #[test]
    fn dates_are_read_in_three_forms_and_nothing_else() {
        let cases: &[(&str, Option<i64>)] = &[
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Wed, 08 Jul 2037 22:53:52 GMT", Some(0x7F00_0000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("", None),
            ("wrong", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT GMT", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:60:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1969 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999 08:49:37 GMT", None),
            ("Sun, 06 XXX 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov -1994 08:49:37 GMT", Some(784_111_777)),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text.as_bytes()), *seconds, "{text:?}");
        }
        for seconds in (0..4_000_000_000).step_by(7_654_321) {
            assert_eq!(parse(&format(seconds)), Some(seconds as i64));
        }
    }
}
