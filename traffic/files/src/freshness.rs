//! How long an answer is fresh, and fields added to heads.
//!
//! Pure: the caller brings the clock, the zone and the values of the templates.

use plan::host::Expires;
use wire::http1::{Fields, Name, date};

const DAY: i64 = 86_400;

/// Statuses whose heads get added fields when those are not added always (successes and redirects).
pub fn is_addable(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

/// Says in the head how long the answer is fresh. `now` in Unix seconds, `zone_s` in seconds east of UTC; `text` gives
/// the value of a computed one.
pub fn say(
    expires: &Expires,
    answer: &mut Fields,
    now: i64,
    zone_s: i64,
    text: impl FnOnce(&plan::Template) -> Vec<u8>,
) {
    let said = match expires {
        Expires::Said { text: template, after_change } => Expires::parse(&text(template), *after_change),
        fixed => Ok(Some(fixed.clone())),
    };
    let Ok(Some(said)) = said else { return };
    let (expires, control) = match said {
        Expires::Epoch => (1, "no-cache".to_owned()),
        Expires::Max => (2_145_916_555, "max-age=315360000".to_owned()),
        Expires::Daily(second) => until(next_time(second, now, zone_s), now, false),
        Expires::After(0) | Expires::AfterChange(0) => (now, "max-age=0".to_owned()),
        Expires::After(seconds) => until(now + seconds, now, seconds < 0),
        Expires::AfterChange(seconds) => {
            let changed = super::condition::last_modified(answer).unwrap_or(now);
            until(changed + seconds, now, seconds < 0)
        }
        // A text is never read as another text.
        Expires::Said { .. } => return,
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

/// Adds a field to a head; an empty value adds nothing.
///
/// `ETag` and `Last-Modified` are there only once: a value takes the place of what is there, an empty one removes it.
pub fn add_one(answer: &mut Fields, name: &str, value: &[u8]) {
    let name = name.as_bytes();
    let single = matches!(Name::of(name), Name::Etag | Name::LastModified);
    match (single, value.is_empty()) {
        (true, true) => drop(answer.remove(name)),
        (true, false) => drop(answer.set(name, value)),
        (false, true) => {}
        (false, false) => drop(answer.append_said(name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mon, 01 Mar 2021 12:00:00 GMT.
    const NOW: i64 = 1_614_600_000;

    fn said(expires: &Expires, changed: Option<&str>) -> (String, String) {
        let mut fields = Fields::new();
        if let Some(changed) = changed {
            fields.append(b"Last-Modified", changed.as_bytes());
        }
        fields.append(b"Cache-Control", b"public");
        say(expires, &mut fields, NOW, 3600, |_| Vec::new());
        let text = |name| String::from_utf8_lossy(fields.find(name).unwrap_or_default()).into_owned();
        (text(Name::Expires), text(Name::CacheControl))
    }

    #[track_caller]
    fn check(said_is: &Expires, changed: Option<&str>, expires: &str, control: &str) {
        let what = format!("{said_is:?} {changed:?}");
        assert_eq!(said(said_is, changed), (expires.to_owned(), control.to_owned()), "{what}");
    }

    #[test]
    fn heads_say_how_long() {
        check(&Expires::Epoch, None, "Thu, 01 Jan 1970 00:00:01 GMT", "no-cache");
        check(&Expires::Max, None, "Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000");
        check(&Expires::After(0), None, "Mon, 01 Mar 2021 12:00:00 GMT", "max-age=0");
        check(&Expires::After(60), None, "Mon, 01 Mar 2021 12:01:00 GMT", "max-age=60");
        check(&Expires::After(-60), None, "Mon, 01 Mar 2021 11:59:00 GMT", "no-cache");
        check(&Expires::AfterChange(60), None, "Mon, 01 Mar 2021 12:01:00 GMT", "max-age=60");
        let changed = Some("Mon, 01 Mar 2021 11:59:30 GMT");
        check(&Expires::AfterChange(60), changed, "Mon, 01 Mar 2021 12:00:30 GMT", "max-age=30");
        check(&Expires::AfterChange(20), changed, "Mon, 01 Mar 2021 11:59:50 GMT", "no-cache");
        check(&Expires::Daily(13 * 3600 + 60), None, "Mon, 01 Mar 2021 12:01:00 GMT", "max-age=60");
        check(&Expires::Daily(13 * 3600), None, "Tue, 02 Mar 2021 12:00:00 GMT", "max-age=86400");
    }

    #[test]
    fn fields_are_added() {
        let mut fields = Fields::new();
        fields.append(b"ETag", b"\"1\"");
        fields.append(b"last-modified", b"y");
        fields.append(b"Cache-Control", b"b");
        for (name, value) in [
            ("X-A", "1"),
            ("X-C", ""),
            ("ETag", "foo"),
            ("ETag", ""),
            ("Last-Modified", "x"),
            ("Cache-Control", "a"),
        ] {
            add_one(&mut fields, name, value.as_bytes());
        }
        let line = |(n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v));
        let all = fields.pairs().map(line).collect::<Vec<_>>().join(", ");
        assert_eq!(all, "Last-Modified: x, Cache-Control: b, X-A: 1, Cache-Control: a");
        assert!(is_addable(206) && !is_addable(404));
    }
}
