//! What may be kept, for how long, and for whom (RFC 9111, 3 and 4, with nginx's knobs).
//!
//! As nginx: nothing is fresh by guessing (no heuristics); a time of 0 means that it is not kept; `X-Accel-Expires`
//! wins over `Cache-Control`, that over `Expires`, and these over `proxy_cache_valid`. Other than nginx, the age that
//! an answer had when it came counts, `Expires` counts from `Date`, and answers to requests with `Authorization` are
//! kept only when they allow it.

use crate::control::{self, Age, Directives};
use crate::entry::Life;
use crate::vary::{self, Vary};
use plan::cache::Cache;
use wire::http1::{Fields, Name, ResponseHead};

/// An answer that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How long it holds.
    pub life: Life,
    /// Names of the fields it depends on, or empty.
    pub vary: Box<[u8]>,
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is a part, or about something else.
    Status,
    /// It says so.
    Forbidden,
    /// Nobody says for how long it would be fresh, or it is stale already.
    NotFresh,
    /// It sets a cookie.
    SetsCookie,
    /// It depends on what nobody can know.
    Varies,
    /// It may be only for this user.
    Authorized,
}

/// Whether and how an answer is kept; `authorized` = the client's request had `Authorization`. `now` in milliseconds
/// since 1970.
pub fn judge(cache: &Cache, authorized: bool, head: &ResponseHead, now: u64) -> Result<Kept, Refusal> {
    if matches!(head.status, 100..=199 | 206 | 304) {
        return Err(Refusal::Status);
    }
    let fields = &head.fields;
    let said = match cache.ignore.cache_control {
        true => Directives::default(),
        false => control::read(fields.find_all(Name::CacheControl)),
    };
    if !cache.ignore.set_cookie && fields.find(Name::SetCookie).is_some() {
        return Err(Refusal::SetsCookie);
    }
    let vary = match vary::read(fields) {
        _ if cache.ignore.vary => Box::default(),
        Vary::Nothing => Box::default(),
        Vary::Fields(names) => names,
        Vary::Unknown => return Err(Refusal::Varies),
    };
    if authorized && cache.guard_authorization && !said.permits_authorized {
        return Err(Refusal::Authorized);
    }
    let life = life(cache, head, &said, now)?;
    Ok(Kept { life, vary })
}

/// How long an answer holds.
fn life(cache: &Cache, head: &ResponseHead, said: &Directives, now: u64) -> Result<Life, Refusal> {
    let age = age_of(&head.fields);
    let (fresh, by_itself) = match freshness(cache, head, said, now)? {
        Freshness::Until(at) => (at, false),
        Freshness::For(seconds) => {
            let left = (seconds * 1000).saturating_sub(age);
            if left == 0 {
                return Err(Refusal::NotFresh);
            }
            (now.saturating_add(left), true)
        }
        Freshness::Default(ms) => (now.saturating_add(ms), false),
    };
    let after = |seconds: Option<u64>| fresh.saturating_add(seconds.unwrap_or(0).saturating_mul(1000));
    // What must be asked for is not used stale because of what the answer says elsewhere.
    let (updating, error) = match said.must_revalidate {
        true => (fresh, fresh),
        false => (after(said.while_revalidate), after(said.if_error.max(said.while_revalidate))),
    };
    Ok(Life { stored: now, age, fresh, updating, error, said: by_itself })
}

enum Freshness {
    /// Until this time, which may be over.
    Until(u64),
    /// For so many seconds since it was made.
    For(u64),
    /// For so many milliseconds from now on.
    Default(u64),
}

fn freshness(cache: &Cache, head: &ResponseHead, said: &Directives, now: u64) -> Result<Freshness, Refusal> {
    let fields = &head.fields;
    if !cache.ignore.x_accel_expires
        && let Some(value) = fields.find_str(b"x-accel-expires").next()
        && let Some(freshness) = accelerated(value)?
    {
        return Ok(freshness);
    }
    if said.forbids {
        return Err(Refusal::Forbidden);
    }
    match said.max_age {
        Some(Age::Seconds(0) | Age::Unclear) => return Err(Refusal::NotFresh),
        Some(Age::Seconds(seconds)) => return Ok(Freshness::For(seconds)),
        None => {}
    }
    if !cache.ignore.expires
        && let Some(value) = fields.find(Name::Expires)
    {
        // What is no date is over (RFC 9111, 5.3).
        let expires = date(value).ok_or(Refusal::NotFresh)?;
        let made = fields.find(Name::Date).and_then(date).unwrap_or(now / 1000);
        return match expires.saturating_sub(made) {
            0 => Err(Refusal::NotFresh),
            seconds => Ok(Freshness::For(seconds)),
        };
    }
    match cache.valid_for(head.status) {
        Some(time) if !time.is_zero() => {
            Ok(Freshness::Default(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
        }
        _ => Err(Refusal::NotFresh),
    }
}

/// `X-Accel-Expires`: seconds, or `@` and the time when it is over. What is neither has no say.
fn accelerated(value: &[u8]) -> Result<Option<Freshness>, Refusal> {
    if let Some(at) = value.strip_prefix(b"@") {
        return Ok(control::seconds(at).map(|seconds| Freshness::Until(seconds * 1000)));
    }
    match control::seconds(value) {
        Some(0) => Err(Refusal::Forbidden),
        Some(seconds) => Ok(Some(Freshness::For(seconds))),
        None => Ok(None),
    }
}

/// Age of an answer when it came, milliseconds.
fn age_of(fields: &Fields) -> u64 {
    fields.find(Name::Age).and_then(control::seconds).unwrap_or(0) * 1000
}

/// Takes over what the server says of an answer that still holds (RFC 9111, 3.2): fields that came stand in place of
/// the old ones, but for those about the body, which did not come.
pub fn refresh(head: &mut ResponseHead, from: &ResponseHead) {
    let mut done: Vec<Box<[u8]>> = Vec::new();
    for (name, value) in from.fields.pairs() {
        if is_about_body(name) || !is_kept(name) {
            continue;
        }
        let lower = name.to_ascii_lowercase().into_boxed_slice();
        if done.contains(&lower) {
            head.fields.append(name, value);
        } else {
            head.fields.set(name, value);
            done.push(lower);
        }
    }
}

fn is_about_body(name: &[u8]) -> bool {
    [&b"content-length"[..], b"content-encoding", b"content-type", b"content-range"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// False for fields that are about a connection, the framing, or the age.
pub fn is_kept(name: &[u8]) -> bool {
    const NOT: &[&[u8]] = &[
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"content-length",
        b"te",
        b"trailer",
        b"upgrade",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"age",
    ];
    !NOT.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// True when one of the texts is neither empty nor `0` (`proxy_cache_bypass`, `proxy_no_cache`).
pub fn any_set(templates: &[plan::Template], facts: &dyn plan::rule::Facts) -> bool {
    templates.iter().any(|template| !matches!(template.text(facts).as_slice(), b"" | b"0"))
}

/// True when a request for a part begins behind `most`, or counts from the end: the server gets it as it is.
pub fn is_far_range(range: &[u8], most: u64) -> bool {
    let Some(set) = range.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes=")).map(|_| &range[6..])
    else {
        return false;
    };
    let first = set.trim_ascii_start();
    match first.iter().position(|b| !b.is_ascii_digit()) {
        Some(0) => first.first() == Some(&b'-'),
        Some(end) => control::seconds(&first[..end]).is_some_and(|start| start >= most),
        None => false,
    }
}

/// Seconds since 1970 of a date, in the three forms of RFC 9110, 5.6.7.
pub fn date(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let words: Vec<&str> = text.split([' ', '-', ',']).filter(|word| !word.is_empty()).collect();
    // Sun, 06 Nov 1994 08:49:37 GMT · Sunday, 06-Nov-94 08:49:37 GMT · Sun Nov  6 08:49:37 1994
    let (day, month, year, time) = match words.as_slice() {
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let year = match (year.len(), year.parse::<u64>().ok()?) {
        (2, short) => short + if short < 70 { 2000 } else { 1900 },
        (4, year) => year,
        _ => return None,
    };
    let month = MONTHS.iter().position(|known| known == month)? as u64 + 1;
    let day: u64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let clock: Vec<u64> = time.split(':').map_while(|part| part.parse().ok()).collect();
    let [hour @ 0..24, minute @ 0..60, second @ 0..=60] = clock[..] else { return None };
    let days = days_before(year, month)? + day - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days from 1970 to the first of a month. Years begin in March, so that the leap day is the last one.
fn days_before(year: u64, month: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let shifted = (month + 9) % 12;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (shifted * 153 + 2) / 5;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::cache::CacheValid;
    use std::time::Duration;

    const NOW: u64 = 1_800_000_000_000;

    fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(status, b"");
        for (name, value) in fields {
            assert!(head.fields.append(name.as_bytes(), value.as_bytes()));
        }
        head
    }

    /// For how many milliseconds it is fresh.
    fn fresh(cache: &Cache, status: u16, fields: &[(&str, &str)]) -> Result<u64, Refusal> {
        judge(cache, false, &head(status, fields), NOW).map(|kept| kept.life.fresh.saturating_sub(NOW))
    }

    #[test]
    fn who_says_for_how_long() {
        let cache = Cache::of("z");
        let check = |fields: &[(&str, &str)], expected: Result<u64, Refusal>| {
            assert_eq!(fresh(&cache, 200, fields), expected, "{fields:?}");
        };
        let far = ("Expires", "Thu, 31 Dec 2037 23:55:55 GMT");
        let past = ("Expires", "Thu, 01 Jan 1970 00:00:01 GMT");
        let minute = ("Cache-Control", "max-age=60");
        let never = ("Cache-Control", "no-cache");
        check(&[], Err(Refusal::NotFresh));
        check(&[minute], Ok(60_000));
        check(&[minute, past], Ok(60_000));
        check(&[past, minute], Ok(60_000));
        check(&[far, never], Err(Refusal::Forbidden));
        check(&[never, minute], Err(Refusal::Forbidden));
        check(&[("Cache-Control", "max-age=0"), far], Err(Refusal::NotFresh));
        check(&[("X-Accel-Expires", "60"), past, never], Ok(60_000));
        check(&[minute, far, ("X-Accel-Expires", "0")], Err(Refusal::Forbidden));
        check(&[("X-Accel-Expires", "60"), ("X-Accel-Expires", "0")], Ok(60_000));
        check(&[("X-Accel-Expires", "@60")], Ok(0));
        check(&[("X-Accel-Expires", "soon"), minute], Ok(60_000));
        check(&[past], Err(Refusal::NotFresh));
        check(&[("Expires", "0")], Err(Refusal::NotFresh));
        check(&[("Cache-Control", "max-age=60"), ("Age", "20")], Ok(40_000));
        check(&[("Cache-Control", "max-age=60"), ("Age", "60")], Err(Refusal::NotFresh));
        // Its clock is an hour behind, which does not matter.
        check(
            &[("Date", "Fri, 15 Jan 2027 07:00:00 GMT"), ("Expires", "Fri, 15 Jan 2027 07:00:09 GMT")],
            Ok(9000),
        );
    }

    #[test]
    fn what_is_never_kept() {
        let mut cache = Cache::of("z");
        let minute = ("Cache-Control", "max-age=60");
        assert_eq!(fresh(&cache, 206, &[minute]), Err(Refusal::Status));
        assert_eq!(fresh(&cache, 304, &[minute]), Err(Refusal::Status));
        assert_eq!(fresh(&cache, 200, &[minute, ("Set-Cookie", "a=b")]), Err(Refusal::SetsCookie));
        assert_eq!(fresh(&cache, 200, &[minute, ("Vary", "*")]), Err(Refusal::Varies));
        cache.ignore.set_cookie = true;
        cache.ignore.vary = true;
        assert_eq!(fresh(&cache, 200, &[minute, ("Vary", "*"), ("Set-Cookie", "a=b")]), Ok(60_000));
    }

    #[test]
    fn answers_for_one_user_are_not_for_all() {
        let cache = Cache::of("z");
        let ask = |value: &str| judge(&cache, true, &head(200, &[("Cache-Control", value)]), NOW).map(drop);
        assert_eq!(ask("max-age=60"), Err(Refusal::Authorized));
        assert_eq!(ask("max-age=60, public"), Ok(()));
        assert_eq!(ask("s-maxage=60"), Ok(()));
        assert_eq!(ask("max-age=60, must-revalidate"), Ok(()));
        let trusting = Cache { guard_authorization: false, ..cache.clone() };
        assert!(judge(&trusting, true, &head(200, &[("Cache-Control", "max-age=60")]), NOW).is_ok());
    }

    #[test]
    fn defaults_by_status_come_last() {
        let mut cache = Cache::of("z");
        let valid = |statuses: &[u16], seconds| CacheValid {
            statuses: statuses.to_vec(),
            time: Duration::from_secs(seconds),
        };
        cache.valid = vec![valid(&[200, 301], 9), valid(&[404], 0), valid(&[], 1)];
        assert_eq!(fresh(&cache, 200, &[]), Ok(9000));
        assert_eq!(fresh(&cache, 404, &[]), Err(Refusal::NotFresh));
        assert_eq!(fresh(&cache, 500, &[]), Ok(1000));
        assert_eq!(fresh(&cache, 200, &[("Cache-Control", "max-age=60")]), Ok(60_000));
        cache.ignore.cache_control = true;
        cache.ignore.expires = true;
        assert_eq!(fresh(&cache, 200, &[("Cache-Control", "private"), ("Expires", "0")]), Ok(9000));
    }

    #[test]
    fn stale_answers_may_be_used_as_they_say() {
        let cache = Cache::of("z");
        let ask = |value: &str| {
            let life = judge(&cache, false, &head(200, &[("Cache-Control", value)]), NOW).unwrap().life;
            (life.updating - NOW, life.error - NOW)
        };
        assert_eq!(ask("max-age=1"), (1000, 1000));
        assert_eq!(ask("max-age=1, stale-while-revalidate=5"), (6000, 6000));
        assert_eq!(ask("max-age=1, stale-if-error=5"), (1000, 6000));
        assert_eq!(ask("max-age=1, stale-if-error=5, must-revalidate"), (1000, 1000));
    }

    #[test]
    fn a_confirmed_answer_takes_new_fields_over() {
        let mut kept =
            head(200, &[("ETag", "\"a\""), ("X", "old"), ("Content-Type", "text/html"), ("Y", "y")]);
        let from =
            head(304, &[("X", "new"), ("x", "more"), ("Content-Type", "x/x"), ("Connection", "close")]);
        refresh(&mut kept, &from);
        let pairs: Vec<_> = kept
            .fields
            .pairs()
            .map(|(n, v)| (String::from_utf8_lossy(n).into_owned(), String::from_utf8_lossy(v).into_owned()))
            .collect();
        let text: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(text, ["ETag=\"a\"", "X=new", "Content-Type=text/html", "Y=y", "x=more"]);
    }

    #[test]
    fn ranges_far_behind() {
        let check = |range: &str, far| assert_eq!(is_far_range(range.as_bytes(), 2), far, "{range}");
        check("bytes=1-", false);
        check("bytes=2-", true);
        check("bytes=3-", true);
        check("bytes=-1", true);
        check("lines=9-", false);
        check("bytes=", false);
        check("", false);
    }

    #[test]
    fn dates() {
        let check = |text: &str, expected| assert_eq!(date(text.as_bytes()), expected, "{text}");
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
        check("Sun Nov  6 08:49:37 1994", Some(784_111_777));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199));
        check("Thu, 01 Jan 1960 00:00:00 GMT", None);
        for text in
            ["", "0", "now", "Sun, 06 Nov 1994 25:49:37 GMT", "a b c d e", "Sun, 06 Nov 99999 08:49:37 GMT"]
        {
            check(text, None);
        }
    }
}
