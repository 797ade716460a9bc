//! Requests that stick to a server of a pool with smooth balancing: by a cookie of ours, a route, or a session learnt from
//! answers.

use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use plan::Balance;
use plan::rule::{Facts, Template};
use plan::smooth::{CookieLife, Sticky, StickyCookie};
use pool::{Pool, Server};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::http1::{RequestHead, ResponseHead};

/// What the pool says about it; `None` for most pools.
pub(crate) fn of(pool: &Pool) -> Option<&Sticky> {
    match &pool.plan.balance {
        Balance::Smooth(smooth) => smooth.sticky.as_ref(),
        _ => None,
    }
}

/// The value of the server that a request sticks to.
pub(crate) fn hint(pool: &Pool, exchange: &Exchange, request: &RequestHead) -> Option<Box<[u8]>> {
    let sticky = of(pool)?;
    let scene = Scene { exchange, request, response: None };
    let id = first(&sticky.lookup, &scene)?;
    match pool.sessions() {
        Some(sessions) => {
            let sid = sessions.find(&id, pool.now_ms())?;
            Some(sid.as_bytes().into())
        }
        None => Some(id.into()),
    }
}

/// The head of the answer is there: tells the client its server, and learns when it is to be learnt now.
pub(crate) fn at_head(pool: &Pool, server: &Server, exchange: &Exchange, work: &mut Workspace) {
    if of(pool).is_none() {
        return;
    }
    if let Some(line) = cookie(pool, server, exchange, &work.request) {
        work.response.fields.append(b"Set-Cookie", &line);
    }
    let session = session(pool, exchange, &work.request, Some(&work.response));
    if let Some(session) = session.filter(|session| session.at_head) {
        session.learn(pool, server);
    }
}

/// The answer ended well.
pub(crate) fn at_end(pool: &Pool, server: &Server, exchange: &Exchange, work: &Workspace) {
    if of(pool).is_none() {
        return;
    }
    let session = session(pool, exchange, &work.request, Some(&work.response));
    if let Some(session) = session.filter(|session| !session.at_head) {
        session.learn(pool, server);
    }
}

/// The value of `Set-Cookie` that tells the client its server.
pub(crate) fn cookie(
    pool: &Pool,
    server: &Server,
    exchange: &Exchange,
    request: &RequestHead,
) -> Option<Vec<u8>> {
    let cookie = of(pool)?.cookie.as_ref()?;
    Some(line(cookie, &server.sid(), &Scene { exchange, request, response: None }))
}

/// A session that an answer begins or goes on with.
pub(crate) struct Session {
    id: Vec<u8>,
    begins: bool,
    /// To be learnt as soon as the head of the answer is there.
    pub at_head: bool,
}

/// The session of an answer, when sessions are learnt.
pub(crate) fn session(
    pool: &Pool,
    exchange: &Exchange,
    request: &RequestHead,
    response: Option<&ResponseHead>,
) -> Option<Session> {
    let sticky = of(pool)?;
    let learn = sticky.learn.as_ref()?;
    let scene = Scene { exchange, request, response };
    let (id, begins) = match first(&learn.create, &scene) {
        Some(id) => (id, true),
        None => (first(&sticky.lookup, &scene)?, false),
    };
    Some(Session { id, begins, at_head: learn.at_head })
}

impl Session {
    /// It belongs to this server from now on.
    pub(crate) fn learn(&self, pool: &Pool, server: &Server) {
        if let Some(sessions) = pool.sessions() {
            sessions.learn(&self.id, &server.sid(), self.begins, pool.now_ms());
        }
    }
}

/// The first that is not empty.
fn first(templates: &[Template], facts: &dyn Facts) -> Option<Vec<u8>> {
    templates.iter().map(|template| template.text(facts)).find(|text| !text.is_empty())
}

/// The value of `Set-Cookie`.
fn line(cookie: &StickyCookie, sid: &str, facts: &dyn Facts) -> Vec<u8> {
    let mut line = format!("{}={sid}", cookie.name).into_bytes();
    match cookie.life {
        Some(CookieLife::Forever) => {
            line.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000");
        }
        Some(CookieLife::For(life)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let until = now.as_secs().saturating_add(life.as_secs());
            line.extend_from_slice(
                format!("; expires={}; max-age={}", date(until), life.as_secs()).as_bytes(),
            );
        }
        None => {}
    }
    let part = |line: &mut Vec<u8>, name: &str, value: &[u8]| {
        if !value.is_empty() {
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(value);
        }
    };
    if let Some(domain) = &cookie.domain {
        part(&mut line, "; domain=", &domain.text(facts));
    }
    if cookie.http_only {
        line.extend_from_slice(b"; httponly");
    }
    if cookie.secure {
        line.extend_from_slice(b"; secure");
    }
    if let Some(same_site) = &cookie.same_site {
        let value = same_site.text(facts);
        let words: [&[u8]; 3] = [b"strict", b"lax", b"none"];
        let known = value.is_empty() || words.iter().any(|word| value.eq_ignore_ascii_case(word));
        part(&mut line, "; samesite=", if known { &value } else { b"strict" });
    }
    if let Some(path) = &cookie.path {
        part(&mut line, "; path=", path.as_bytes());
    }
    // What variables bring must not end the field.
    line.retain(|byte| !byte.is_ascii_control());
    line
}

/// A date as cookies have it, from seconds since 1970.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Years that begin in March, in eras of 400: leap days come last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 2 } else { shifted_month - 10 };
    let year = year + era * 400 + u64::from(month < 2);
    let year = if year > 2037 { format!("{year}") } else { format!("{:02}", year % 100) };
    let weekday = DAYS.get((days % 7) as usize).unwrap_or(&"");
    let month = MONTHS.get(month as usize).unwrap_or(&"");
    format!("{weekday}, {day:02}-{month}-{year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "Thu, 01-Jan-70 00:00:00 GMT"),
            (951_782_400, "Tue, 29-Feb-00 00:00:00 GMT"),
            (2_145_916_555, "Thu, 31-Dec-37 23:55:55 GMT"),
            (2_145_916_800, "Fri, 01-Jan-2038 00:00:00 GMT"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
