//! Persistence by cookie: which server a client's cookie names, and the cookie that names it.

use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::{Scene, split_once};
use plan::pool::{Cookie, CookieMode, PersistenceEffect};
use pool::{Pool, Server};
use std::sync::Arc;
use tables::{Remembered, Stores};
use wire::http1::{Name, RequestHead, ResponseHead};

/// The server that the pool's rules choose.
pub(crate) fn chosen(pool: &Pool, exchange: &Exchange, request: &RequestHead) -> Option<Arc<Server>> {
    pool.chosen(&Scene { exchange, request, response: None })
}

/// How much persistence counts for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weight {
    /// As long as the server takes requests.
    #[default]
    Usual,
    /// Also when it is down, until it fails.
    Down,
    /// Also when it is down, and no other server will do.
    Forced,
    /// Not at all.
    None,
}

impl Weight {
    /// What the pool says about this request.
    pub(crate) fn of(pool: &Pool, exchange: &Exchange, request: &RequestHead) -> Weight {
        let usual = if pool.plan.persist_to_down { Weight::Down } else { Weight::Usual };
        if pool.plan.persistence_rules.is_empty() {
            return usual;
        }
        let scene = Scene { exchange, request, response: None };
        let rule = pool.plan.persistence_rules.iter().find(|rule| rule.condition.holds(&scene));
        rule.map_or(usual, |rule| match rule.effect {
            PersistenceEffect::Force => Weight::Forced,
            PersistenceEffect::Ignore => Weight::None,
        })
    }

    fn reaches(self, server: &Server) -> bool {
        match self {
            Weight::Usual => server.takes_bound(),
            Weight::Down | Weight::Forced => true,
            Weight::None => false,
        }
    }
}

/// The server that the request's cookie names, and the letter that says how it was: `N` none, `V` valid,
/// `D` the server is down, `I` unknown, `U` a rule says that it does not count.
pub(crate) fn bound(
    pool: &Pool,
    exchange: &mut Exchange,
    request: &RequestHead,
    weight: Weight,
) -> Option<Arc<Server>> {
    let cookie = pool.plan.cookie.as_ref()?;
    exchange.weight = weight;
    exchange.cookie_letters[1] = b'N';
    let named = value(request, cookie.name.as_bytes());
    if weight == Weight::None {
        exchange.cookie_letters[0] = if named.is_some() { b'U' } else { b'N' };
        return None;
    }
    let server = named.and_then(|value| pool.server_by_cookie(server_part(cookie, value)));
    exchange.cookie_letters[0] = match (named, &server) {
        (None, _) => b'N',
        (Some(_), None) => b'I',
        (Some(_), Some(server)) if server.takes_bound() => b'V',
        (Some(_), Some(_)) => b'D',
    };
    server.filter(|server| weight.reaches(server))
}

/// Runs the rules of stick tables: the server they remember, unless a cookie has named one.
pub(crate) fn stuck(
    pool: &Pool,
    exchange: &mut Exchange,
    request: &RequestHead,
    mut bound: Option<Arc<Server>>,
    weight: Weight,
) -> Option<Arc<Server>> {
    let mut stores = Stores::default();
    let scene = Scene { exchange, request, response: None };
    exchange.site.tables.stick(&pool.plan.stick, &scene, &mut stores, &mut |remembered| {
        bound = bound.take().or_else(|| server_of(pool, &remembered, weight));
        bound.is_some()
    });
    exchange.stores = stores;
    bound
}

fn server_of(pool: &Pool, remembered: &Remembered, weight: Weight) -> Option<Arc<Server>> {
    let by_key = remembered.key.as_ref().and_then(|(kind, key)| pool.server_by_key(*kind, key));
    let server = by_key.or_else(|| pool.server_by_id(remembered.id?));
    server.filter(|server| weight.reaches(server))
}

/// Remembers the server that has answered.
pub(crate) fn remember(exchange: &mut Exchange, work: &Workspace, server: &Server) {
    let mut stores = std::mem::take(&mut exchange.stores);
    if let Some(pool) = &exchange.pool {
        let scene = Scene { exchange, request: &work.request, response: Some(&work.response) };
        let rules = &pool.plan.stick_response;
        exchange.site.tables.stick(rules, &scene, &mut stores, &mut |_| false);
    }
    if !server.plan.non_stick {
        let now = exchange.site.tables.now();
        stores.remember(server.plan.id, now, |kind| server.stick_key(kind));
    }
}

/// Takes our cookie out of the request where the application must not see it.
pub(crate) fn hide(pool: &Pool, request: &mut RequestHead) {
    let Some(cookie) = &pool.plan.cookie else { return };
    let name = cookie.name.as_bytes();
    match cookie.mode {
        CookieMode::Insert if cookie.indirect => edit_cookies(request, name, |_| None),
        CookieMode::Prefix => edit_cookies(request, name, |value| {
            let own = value.iter().position(|b| *b == b'~').map_or(value, |at| &value[at + 1..]);
            Some(own.to_vec())
        }),
        _ => {}
    }
}

/// Sets the cookie in the response, as the mode says.
pub(crate) fn mark(
    pool: &Pool,
    server: &Server,
    exchange: &mut Exchange,
    request: &RequestHead,
    response: &mut ResponseHead,
) {
    let Some(cookie) = &pool.plan.cookie else { return };
    if exchange.weight == Weight::None && cookie.mode == CookieMode::Insert {
        return;
    }
    let Some(own) = &server.plan.cookie else {
        return forget(cookie, exchange, request, response);
    };
    let from_server =
        response.fields.find_all(Name::SetCookie).any(|line| names(line, cookie.name.as_bytes()));
    exchange.cookie_letters[1] = if from_server { b'P' } else { b'N' };
    match cookie.mode {
        CookieMode::Insert => insert(cookie, own, exchange, request, response, from_server),
        CookieMode::Prefix | CookieMode::Rewrite => rewrite(cookie, own, exchange, response),
    }
}

/// A server without a value of its own, such as a spare: the browser is to forget the one it has.
fn forget(cookie: &Cookie, exchange: &mut Exchange, request: &RequestHead, response: &mut ResponseHead) {
    let bound = is_where_it_belongs(exchange);
    let unwanted = cookie.post_only && request.method() != b"POST";
    if cookie.mode != CookieMode::Insert || bound || unwanted {
        return;
    }
    let line = set_cookie(cookie, "; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
    response.fields.append(b"set-cookie", line.as_bytes());
    if cookie.no_cache && is_cacheable(request, response) {
        response.fields.append(b"cache-control", b"private");
    }
    exchange.cookie_letters[1] = b'I';
}

/// The server that answers is the one that the cookie named.
fn is_where_it_belongs(exchange: &Exchange) -> bool {
    let down = || matches!(exchange.weight, Weight::Down | Weight::Forced);
    let named = exchange.cookie_letters[0] == b'V' || (exchange.cookie_letters[0] == b'D' && down());
    named && !exchange.redispatched
}

fn insert(
    cookie: &Cookie,
    own: &str,
    exchange: &mut Exchange,
    request: &RequestHead,
    response: &mut ResponseHead,
    from_server: bool,
) {
    let valid = is_where_it_belongs(exchange);
    if (from_server && cookie.preserve) || (valid && cookie.indirect) {
        return;
    }
    let known = value(request, cookie.name.as_bytes()).is_some_and(|value| value == own.as_bytes());
    if valid && known || (cookie.post_only && request.method() != b"POST") {
        return;
    }
    if from_server {
        response.fields.remove_where(|name, line| {
            name.eq_ignore_ascii_case(b"set-cookie") && names(line, cookie.name.as_bytes())
        });
    }
    response.fields.append(b"set-cookie", set_cookie(cookie, own).as_bytes());
    if cookie.no_cache && is_cacheable(request, response) {
        response.fields.append(b"cache-control", b"private");
    }
    exchange.cookie_letters[1] = b'I';
}

/// Whether a cache could keep the answer, RFC 9110, 9.2.3 and 15.1.
fn is_cacheable(request: &RequestHead, response: &ResponseHead) -> bool {
    matches!(request.method(), b"GET" | b"HEAD")
        && matches!(response.status, 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501)
        && !response.fields.find_all(Name::CacheControl).any(|line| {
            let line = line.to_ascii_lowercase();
            [&b"private"[..], b"no-store", b"no-cache", b"max-age=0"]
                .iter()
                .any(|word| line.windows(word.len()).any(|part| part == *word))
        })
}

fn set_cookie(cookie: &Cookie, own: &str) -> String {
    let mut text = format!("{}={own}; path=/", cookie.name);
    for domain in &cookie.domains {
        text.push_str("; domain=");
        text.push_str(domain);
    }
    if let Some(life) = cookie.max_life {
        text.push_str(&format!("; Max-Age={}", life.as_secs()));
    }
    for (on, word) in [(cookie.http_only, "; HttpOnly"), (cookie.secure, "; Secure")] {
        if on {
            text.push_str(word);
        }
    }
    for attribute in &cookie.attributes {
        text.push_str("; ");
        text.push_str(attribute);
    }
    text
}

/// Puts the server before, or in place of, the value that the application set.
fn rewrite(cookie: &Cookie, own: &str, exchange: &mut Exchange, response: &mut ResponseHead) {
    let name = cookie.name.as_bytes();
    let edits: Vec<(usize, Vec<u8>)> = response
        .fields
        .iter()
        .enumerate()
        .filter(|(_, field)| field.id == Name::SetCookie && names(response.fields.value(field), name))
        .map(|(index, field)| (index, rewritten(cookie, own, response.fields.value(field))))
        .collect();
    for (index, line) in edits {
        response.fields.replace_value(index, &line);
        exchange.cookie_letters[1] = b'R';
    }
}

fn rewritten(cookie: &Cookie, own: &str, line: &[u8]) -> Vec<u8> {
    let (pair, rest) = match line.iter().position(|b| *b == b';') {
        Some(at) => line.split_at(at),
        None => (line, &b""[..]),
    };
    let value = split_once(pair, b'=').map_or(&b""[..], |(_, value)| value);
    let new: Vec<u8> = match cookie.mode {
        CookieMode::Prefix => [own.as_bytes(), b"~", value].concat(),
        _ => own.as_bytes().to_vec(),
    };
    [cookie.name.as_bytes(), b"=", &new, rest].concat()
}

fn names(line: &[u8], name: &[u8]) -> bool {
    split_once(line, b'=').is_some_and(|(key, _)| key.trim_ascii() == name)
}

fn value<'r>(request: &'r RequestHead, name: &'r [u8]) -> Option<&'r [u8]> {
    request.fields.find_all(Name::Cookie).find_map(|line| crate::scene::cookie_values(line, name).next())
}

fn server_part<'v>(cookie: &Cookie, value: &'v [u8]) -> &'v [u8] {
    let stop = match cookie.mode {
        CookieMode::Prefix => b'~',
        // Insert mode may carry dates behind a bar (maxidle, maxlife of HAProxy).
        _ => b'|',
    };
    value.split(|b| *b == stop).next().unwrap_or(value)
}

/// Gives each pair of cookie `name` to `edit`: `None` removes it.
fn edit_cookies(request: &mut RequestHead, name: &[u8], edit: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let lines: Vec<(usize, Vec<u8>)> = request
        .fields
        .iter()
        .enumerate()
        .filter(|(_, field)| field.id == Name::Cookie)
        .map(|(index, field)| (index, request.fields.value(field).to_vec()))
        .collect();
    let mut emptied = false;
    for (index, line) in lines {
        let kept: Vec<Vec<u8>> = line
            .split(|b| *b == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty())
            .filter_map(|pair| match split_once(pair, b'=') {
                Some((key, value)) if key.trim_ascii() == name => {
                    edit(value).map(|value| [name, b"=", &value].concat())
                }
                _ => Some(pair.to_vec()),
            })
            .collect();
        emptied |= kept.is_empty();
        request.fields.replace_value(index, &kept.join(&b"; "[..]));
    }
    if emptied {
        request.fields.remove_where(|field, value| field.eq_ignore_ascii_case(b"cookie") && value.is_empty());
    }
}
