//! Dates of log lines: the calendar, the local zone, and a cache so that a line costs little.
//!
//! Pure: the offset of the zone is told from outside ([`Zone::set`]; the log thread in [`crate::sink`]
//! keeps it right), times come in as Unix microseconds.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// Offset of the local time zone from UTC, shared by all who write dates.
#[derive(Debug, Default)]
pub struct Zone {
    offset_s: AtomicI32,
}

impl Zone {
    /// A zone with a fixed offset, seconds east of UTC.
    pub fn fixed(offset_s: i32) -> Zone {
        Zone { offset_s: AtomicI32::new(offset_s) }
    }

    /// Changes the offset (summer time).
    pub fn set(&self, offset_s: i32) {
        self.offset_s.store(offset_s, Relaxed);
    }

    /// Seconds east of UTC.
    pub fn offset_s(&self) -> i32 {
        self.offset_s.load(Relaxed)
    }
}

/// A date and time of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Year.
    pub year: i32,
    /// Month, from 1.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
}

impl Calendar {
    /// The date of a Unix time (already moved by the zone's offset). Any second of the years ±32767.
    pub fn of(unix_s: i64) -> Calendar {
        let (days, rest) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
        // Civil date from days: years are counted from March, so that the leap day is the last of a year.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Calendar {
            year: (era * 400 + year_of_era + i64::from(month <= 2)) as i32,
            month: month as u8,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Three letters of the month.
    pub fn month_name(&self) -> &'static [u8] {
        let at = (usize::from(self.month).clamp(1, 12) - 1) * 3;
        &MONTHS[at..at + 3]
    }

    /// `20/Nov/2026:09:11:24`.
    pub fn log_date(&self) -> [u8; 20] {
        let mut text = *b"DD/Mmm/YYYY:hh:mm:ss";
        two(&mut text, 0, self.day);
        text[3..6].copy_from_slice(self.month_name());
        let year = self.year.clamp(0, 9999);
        two(&mut text, 7, (year / 100) as u8);
        two(&mut text, 9, (year % 100) as u8);
        two(&mut text, 12, self.hour);
        two(&mut text, 15, self.minute);
        two(&mut text, 18, self.second);
        text
    }

    /// `Nov  9 09:11:24` (RFC 3164, 4.1.2: a day below 10 has a space in front).
    pub fn syslog_date(&self) -> [u8; 15] {
        let mut text = *b"Mmm DD hh:mm:ss";
        text[..3].copy_from_slice(self.month_name());
        two(&mut text, 4, self.day);
        if self.day < 10 {
            text[4] = b' ';
        }
        two(&mut text, 7, self.hour);
        two(&mut text, 10, self.minute);
        two(&mut text, 13, self.second);
        text
    }

    /// `2026-11-20T09:11:24` (RFC 3339).
    pub fn iso_date(&self) -> [u8; 19] {
        let mut text = *b"YYYY-MM-DDThh:mm:ss";
        let year = self.year.clamp(0, 9999);
        two(&mut text, 0, (year / 100) as u8);
        two(&mut text, 2, (year % 100) as u8);
        two(&mut text, 5, self.month);
        two(&mut text, 8, self.day);
        two(&mut text, 11, self.hour);
        two(&mut text, 14, self.minute);
        two(&mut text, 17, self.second);
        text
    }
}

/// `+0100` (or `+01:00` with `colon`) for an offset in seconds.
pub fn write_offset(offset_s: i32, colon: bool, out: &mut Vec<u8>) {
    let minutes = offset_s.unsigned_abs() / 60;
    let mut text = *b"+hhmm";
    text[0] = if offset_s < 0 { b'-' } else { b'+' };
    two(&mut text, 1, (minutes / 60 % 100) as u8);
    two(&mut text, 3, (minutes % 60) as u8);
    out.extend_from_slice(&text[..3]);
    if colon {
        out.push(b':');
    }
    out.extend_from_slice(&text[3..]);
}

fn two(text: &mut [u8], at: usize, n: u8) {
    text[at] = b'0' + n / 10 % 10;
    text[at + 1] = b'0' + n % 10;
}

/// Writes log dates; keeps the text of the last second. One per worker.
#[derive(Debug)]
pub struct LogClock {
    zone: Arc<Zone>,
    second: Cell<i64>,
    text: Cell<[u8; 20]>,
}

impl LogClock {
    /// A clock for this zone.
    pub fn new(zone: Arc<Zone>) -> LogClock {
        LogClock { zone, second: Cell::new(i64::MIN), text: Cell::new([0; 20]) }
    }

    /// Offset of the zone, seconds.
    pub fn offset_s(&self) -> i32 {
        self.zone.offset_s()
    }

    /// `20/Nov/2026:09:11:24.123` in local time.
    pub fn date_ms(&self, unix_us: i64) -> [u8; 24] {
        let mut text = [b'.'; 24];
        text[..20].copy_from_slice(&self.date(unix_us));
        text[21..].copy_from_slice(&milliseconds(unix_us));
        text
    }

    /// `20/Nov/2026:09:11:24` in local time.
    pub fn date(&self, unix_us: i64) -> [u8; 20] {
        let second = unix_us.div_euclid(1_000_000) + i64::from(self.zone.offset_s());
        if self.second.get() != second {
            self.text.set(Calendar::of(second).log_date());
            self.second.set(second);
        }
        self.text.get()
    }
}

/// Milliseconds part of a time, three digits.
pub fn milliseconds(unix_us: i64) -> [u8; 3] {
    let ms = (unix_us.rem_euclid(1_000_000) / 1000) as u16;
    [b'0' + (ms / 100) as u8, b'0' + (ms / 10 % 10) as u8, b'0' + (ms % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
        for (second, expected) in [
            (0, "01/Jan/1970:00:00:00"),
            (951_782_400, "29/Feb/2000:00:00:00"),
            (1_709_251_199, "29/Feb/2024:23:59:59"),
            (1_795_165_884, "20/Nov/2026:09:11:24"),
            (4_107_542_400, "01/Mar/2100:00:00:00"),
            (-1, "31/Dec/1969:23:59:59"),
        ] {
            assert_eq!(String::from_utf8_lossy(&Calendar::of(second).log_date()), expected);
        }
    }

    #[test]
    fn every_day_of_400_years_follows_the_one_before() {
        let mut last = Calendar::of(0);
        for day in 1..146_097 {
            let next = Calendar::of(day * 86_400);
            let same_month = next.month == last.month && next.day == last.day + 1;
            let next_month = next.day == 1 && last.day >= 28 && next.month == last.month % 12 + 1;
            assert!(same_month || next_month, "{last:?} {next:?}");
            last = next;
        }
        assert_eq!((last.year, last.month, last.day), (2369, 12, 31));
    }

    #[test]
    fn the_clock_follows_the_zone() {
        let zone = Arc::new(Zone::fixed(0));
        let clock = LogClock::new(Arc::clone(&zone));
        assert_eq!(&clock.date_ms(1_795_165_884_123_999), b"20/Nov/2026:09:11:24.123");
        zone.set(3600);
        assert_eq!(&clock.date_ms(1_795_165_884_007_000), b"20/Nov/2026:10:11:24.007");
        let mut text = Vec::new();
        write_offset(-12_600, true, &mut text);
        assert_eq!(text, b"-03:30");
        assert_eq!(&Calendar::of(1_794_215_484).syslog_date(), b"Nov  9 09:11:24");
    }
}
