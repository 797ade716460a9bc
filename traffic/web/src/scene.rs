//! What rules, routes, templates and log lines can know about a request: the facts.

use crate::exchange::Exchange;
use plan::rule::{Fact, Facts, Fetch, HeaderFetch, Occurrence, ParameterFetch, Value};
use plan::table::TableLookup;
use std::ops::ControlFlow;
use wire::http1::{Fields, RequestHead, ResponseHead, Version};

/// One request and, once there is one, its response.
pub(crate) struct Scene<'a> {
    pub exchange: &'a Exchange,
    pub request: &'a RequestHead,
    pub response: Option<&'a ResponseHead>,
}

type Each<'e> = &'e mut dyn FnMut(Value<'_>) -> ControlFlow<()>;

impl Facts for Scene<'_> {
    fn each(&self, fetch: &Fetch, each: Each<'_>) {
        match fetch {
            Fetch::Header(header) => return values(&self.request.fields, header, each),
            Fetch::ResponseHeader(header) => {
                if let Some(response) = self.response {
                    values(&response.fields, header, each);
                }
                return;
            }
            Fetch::Record(field) => return self.exchange.record(self.request, self.response, *field, each),
            Fetch::Visit(fact) => return crate::host::each_fact(self, fact, each),
            Fetch::Cookie(name) if name.is_empty() => {
                if let Some((_, value)) = self.cookie_pairs(false).and_then(|pairs| pairs.first().copied()) {
                    let _ = each(Value::text(value));
                }
                return;
            }
            Fetch::Cookie(name) => return cookies(&self.request.fields, name.as_bytes(), each),
            Fetch::QueryParameter(name) => {
                let found =
                    parameters(self.request.query().unwrap_or_default(), name.as_bytes(), b'?', false);
                return each_text(found, each);
            }
            Fetch::Parameter(fetch) => {
                let target = self.exchange.target_as_received(self.request);
                return each_text(parameters_of(target, fetch), each);
            }
            _ => {}
        }
        if let Some(value) = self.one(fetch) {
            let _ = each(value);
        }
    }

    fn look_up(&self, lookup: &TableLookup, value: &Value<'_>) -> Option<Value<'static>> {
        self.exchange.site.tables.look_up(lookup, value)
    }

    fn keep(&self, groups: plan::host::Groups) {
        if let Some(visit) = self.exchange.visit.as_deref() {
            visit.keep(groups);
        }
    }

    fn client(&self) -> Option<std::net::IpAddr> {
        Some(self.exchange.client.ip()?.ip())
    }

    fn zone_offset(&self, _unix: i64) -> i32 {
        self.exchange.zone_s
    }
}

impl Scene<'_> {
    /// Fetches with at most one value.
    fn one(&self, fetch: &Fetch) -> Option<Value<'_>> {
        let request = self.request;
        let exchange = self.exchange;
        Some(match fetch {
            Fetch::ClientAddress => Value::Address(exchange.client.ip()?.ip()),
            Fetch::ClientPort => Value::Int(exchange.client.ip()?.port().into()),
            Fetch::LocalAddress => Value::Address(exchange.local.ip()?.ip()),
            Fetch::LocalPort => Value::Int(exchange.local.ip()?.port().into()),
            Fetch::Encrypted => Value::Bool(false),
            Fetch::Method => Value::text(request.method()),
            Fetch::Version => Value::text(if request.version == Version::Http10 { b"1.0" } else { b"1.1" }),
            Fetch::Target => Value::text(exchange.target_as_received(request)),
            Fetch::Path => Value::text(request.path()),
            Fetch::PathAndQuery => Value::text(request.path_and_query()),
            Fetch::Query => Value::text(request.query()?),
            Fetch::Base => {
                let mut base = request.host().to_vec();
                base.extend_from_slice(request.path());
                Value::Text(base.into())
            }
            Fetch::HeaderCount(header) => Value::Int(count(&request.fields, header)),
            Fetch::BodyLength => Value::Int(match request.framing() {
                wire::http1::BodyFraming::None => 0,
                wire::http1::BodyFraming::Length(n) => i64::try_from(n).ok()?,
                _ => -1,
            }),
            Fetch::Status => Value::Int(self.response?.status.into()),
            Fetch::ResponseHeaderCount(header) => Value::Int(count(&self.response?.fields, header)),
            Fetch::ResponseCookie(name) if name.is_empty() => {
                Value::text(self.cookie_pairs(true)?.first()?.1)
            }
            Fetch::ResponseCookie(name) => Value::text(set_cookie(&self.response?.fields, name.as_bytes())?),
            Fetch::SiteName => Value::text(exchange.site.plan.name.as_bytes()),
            Fetch::PoolName => Value::text(exchange.pool.as_ref()?.plan.name.as_bytes()),
            Fetch::ServerName => Value::text(exchange.server.as_ref()?.plan.name.as_bytes()),
            Fetch::UsableServers(name) => {
                let pool = match name {
                    Some(name) => exchange.site.pools.get(&**name),
                    None => exchange.pool.as_ref(),
                }?;
                Value::Int(pool.usable() as i64)
            }
            Fetch::SiteConnections(_) => Value::Int(exchange.site.stats.current.now().into()),
            Fetch::Variable(scope, name) => exchange.variables.get(*scope, name)?,
            Fetch::RequestCapture(index) => Value::text(exchange.request_captures.get(*index)?.as_deref()?),
            Fetch::ResponseCapture(index) => Value::text(exchange.response_captures.get(*index)?.as_deref()?),
            Fetch::Authenticated(users) => Value::Bool(crate::auth::is_user(users, request)),
            Fetch::FirstRequest => Value::Bool(exchange.number == 1),
            Fetch::Random(bound) => Value::Int(fastrand::u32(0..(*bound).max(1)).into()),
            Fetch::Date(offset) => Value::Int(exchange.wall_seconds() + offset),
            Fetch::DateParts(parts, offset) => {
                Value::Int(exchange.wall_parts(*parts).saturating_add(*offset))
            }
            // What is inspected here is a whole head.
            Fetch::InspectionOver => Value::Bool(true),
            Fetch::ReceivedBytes => Value::Int(exchange.bytes_in as i64),
            Fetch::Table(fetch) => {
                let client = exchange.client.ip().map(|client| client.ip());
                exchange.site.tables.fetch(fetch, client, &exchange.tracked)?
            }
            Fetch::TableUsed(name) => Value::Int(exchange.site.tables.count_of(name, false)?),
            Fetch::TableFree(name) => Value::Int(exchange.site.tables.count_of(name, true)?),
            Fetch::Fact(fact) => return self.fact(*fact),
            Fetch::OfPool(fact, name) => {
                let pool = match name {
                    Some(name) => exchange.site.pools.get(&**name),
                    None => exchange.pool.as_ref(),
                };
                return pool::facts::of_pool(pool?, *fact);
            }
            Fetch::OfServer(fact, pool, server) => {
                let pool = match pool {
                    Some(name) => exchange.site.pools.get(&**name),
                    None => exchange.pool.as_ref(),
                };
                pool::facts::of_server(&*pool?.server(server)?, *fact)
            }
            Fetch::HeaderNames(response, delimiter) => {
                let fields = if *response { &self.response?.fields } else { &request.fields };
                Value::owned(names(fields.pairs().map(|(name, _)| name), delimiter)?.to_ascii_lowercase())
            }
            Fetch::CookieNames(response, delimiter) => {
                let found = self.cookie_pairs(*response)?;
                Value::owned(names(found.iter().map(|(name, _)| *name), delimiter)?)
            }
            Fetch::CookieCount(response, name) => {
                let found = self.cookie_pairs(*response)?;
                let counts = |(key, _): &&(&[u8], &[u8])| name.is_empty() || *key == name.as_bytes();
                Value::Int(found.iter().filter(counts).count() as i64)
            }
            Fetch::Early(_) => return None,
            // Multi-valued ones, and those that expressions answer themselves.
            Fetch::Header(_) | Fetch::ResponseHeader(_) | Fetch::Cookie(_) | Fetch::Record(_) => return None,
            Fetch::QueryParameter(_) | Fetch::Parameter(_) => return None,
            Fetch::Constant(_)
            | Fetch::Holds(_)
            | Fetch::Map(_)
            | Fetch::Otherwise(..)
            | Fetch::Either(..) => return None,
            Fetch::Visit(_) | Fetch::Computed(_) => return None,
        })
    }
}

impl Scene<'_> {
    fn fact(&self, fact: Fact) -> Option<Value<'_>> {
        let exchange = self.exchange;
        let site = &exchange.site.plan;
        Some(match fact {
            Fact::BindName => Value::text(site.binds.get(exchange.bind)?.name.as_deref()?.as_bytes()),
            Fact::BindId => Value::Int(exchange.bind as i64 + 1),
            Fact::SiteId => Value::Int(site.id.into()),
            Fact::SiteDefaultPool => Value::text(site.default_pool.as_deref()?.as_bytes()),
            Fact::SiteClientTimeout => {
                Value::Int(i64::try_from(site.timeouts.client.unwrap_or_default().as_millis()).ok()?)
            }
            Fact::ServerId => Value::Int(exchange.server.as_ref()?.plan.id.into()),
            Fact::ServerAddress => Value::Address(exchange.server_address?.ip()),
            Fact::ServerPort => Value::Int(exchange.server_address?.port().into()),
            Fact::PoolAddress => Value::Address(exchange.pool_address?.ip()),
            Fact::PoolPort => Value::Int(exchange.pool_address?.port().into()),
            Fact::Uuid => Value::owned(pool::facts::uuid()),
            Fact::ClientIsLocal => Value::Bool(exchange.client.ip()?.ip() == exchange.local.ip()?.ip()),
            Fact::LocalIsLocal => Value::Bool(exchange.local.ip()?.ip().is_loopback()),
            Fact::RequestLines => Value::owned(lines(&self.request.fields)),
            Fact::ResponseLines => Value::owned(lines(&self.response?.fields)),
            Fact::DateMicroseconds => Value::Int(exchange.wall_us.rem_euclid(1_000_000)),
            Fact::ProcessId => Value::Int(std::process::id().into()),
            Fact::HttpMajor => Value::Int(1),
        })
    }

    /// Names and values of cookies.
    fn cookie_pairs(&self, response: bool) -> Option<Vec<(&[u8], &[u8])>> {
        if response {
            let lines = self.response?.fields.find_all(wire::http1::Name::SetCookie);
            return Some(lines.filter_map(|line| pair(line.split(|b| *b == b';').next()?)).collect());
        }
        let lines = self.request.fields.find_all(wire::http1::Name::Cookie);
        Some(lines.flat_map(|line| line.split(|b| *b == b';')).filter_map(pair).collect())
    }
}

/// Name and value of a cookie.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    split_once(text.trim_ascii(), b'=').map(|(name, value)| (name.trim_ascii(), value.trim_ascii()))
}

/// Names in order, joined; nothing when there is none.
fn names<'n>(all: impl Iterator<Item = &'n [u8]>, delimiter: &[u8]) -> Option<Vec<u8>> {
    let list: Vec<&[u8]> = all.collect();
    (!list.is_empty()).then(|| list.join(delimiter))
}

/// All fields as they stand on the wire, with the empty line behind them.
fn lines(fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields.pairs() {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn values(fields: &Fields, header: &HeaderFetch, each: Each<'_>) {
    match header.occurrence {
        Occurrence::Any => {
            for value in all(fields, header) {
                if each(Value::text(value)).is_break() {
                    break;
                }
            }
        }
        Occurrence::Nth(n) => {
            let found: Vec<&[u8]> = all(fields, header).collect();
            let index =
                if n > 0 { n as usize - 1 } else { found.len().wrapping_sub(n.unsigned_abs() as usize) };
            if let Some(value) = found.get(index) {
                let _ = each(Value::text(value));
            }
        }
    }
}

fn count(fields: &Fields, header: &HeaderFetch) -> i64 {
    all(fields, header).count() as i64
}

/// Values of a header, or of all without a name: whole lines, or their comma-separated parts, blanks around them left out.
fn all<'f>(fields: &'f Fields, header: &'f HeaderFetch) -> impl Iterator<Item = &'f [u8]> {
    let whole = header.whole_line;
    let any = header.name.is_empty().then(|| fields.pairs().map(|(_, value)| value));
    let named = (!header.name.is_empty()).then(|| fields.find_str(header.name.as_bytes()));
    any.into_iter().flatten().chain(named.into_iter().flatten()).flat_map(move |line| {
        let parts = if whole { None } else { Some(commas(line).map(<[u8]>::trim_ascii)) };
        let line = whole.then_some(line.trim_ascii());
        line.into_iter().chain(parts.into_iter().flatten())
    })
}

/// Parts of a header line between commas, quoted strings respected (RFC 9110, 5.6.1).
fn commas(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let was_escaped = escaped;
        escaped = quoted && *byte == b'\\' && !was_escaped;
        if *byte == b'"' && !was_escaped {
            quoted = !quoted;
        }
        *byte == b',' && !quoted
    })
}

fn cookies(fields: &Fields, name: &[u8], each: Each<'_>) {
    for line in fields.find_all(wire::http1::Name::Cookie) {
        for value in cookie_values(line, name) {
            if each(Value::text(value)).is_break() {
                return;
            }
        }
    }
}

/// Values of cookie `name` in a `Cookie` line (RFC 6265, 4.2.1).
pub(crate) fn cookie_values<'l>(line: &'l [u8], name: &'l [u8]) -> impl Iterator<Item = &'l [u8]> {
    line.split(|b| *b == b';').filter_map(move |pair| {
        let (key, value) = split_once(pair.trim_ascii(), b'=')?;
        (key.trim_ascii() == name).then_some(value.trim_ascii())
    })
}

fn set_cookie<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    fields.find_all(wire::http1::Name::SetCookie).find_map(|line| {
        let pair = line.split(|b| *b == b';').next()?;
        let (key, value) = split_once(pair, b'=')?;
        (key.trim_ascii() == name).then_some(value.trim_ascii())
    })
}

fn each_text<'t>(mut found: impl Iterator<Item = &'t [u8]>, each: Each<'_>) {
    let _ = found.try_for_each(|value| each(Value::text(value)));
}

/// Values of a parameter behind a sign of its own.
fn parameters_of<'t>(target: &'t [u8], fetch: &'t ParameterFetch) -> impl Iterator<Item = &'t [u8]> {
    let all = split_once(target, fetch.delimiter).map_or(&b""[..], |(_, all)| all);
    parameters(all, &fetch.name, fetch.delimiter, fetch.ignore_case)
}

/// Values of the parameters of that name, or of all without one; they stand between `&`, `;` and `sign`. A name
/// without `=` behind it is no parameter.
fn parameters<'t>(
    text: &'t [u8],
    name: &'t [u8],
    sign: u8,
    ignore_case: bool,
) -> impl Iterator<Item = &'t [u8]> {
    text.split(move |b| matches!(b, b'&' | b';') || *b == sign).filter_map(move |pair| {
        let (key, value) = split_once(pair, b'=')?;
        let is_it = if ignore_case { key.eq_ignore_ascii_case(name) } else { key == name };
        (is_it || name.is_empty()).then_some(value)
    })
}

/// Value of parameter `name` in a query.
pub(crate) fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|b| *b == b'&').find_map(|pair| match split_once(pair, b'=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name).then_some(&b""[..]),
    })
}

pub(crate) fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|b| *b == at)?;
    Some((&text[..index], &text[index + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_quotes_do_not_split() {
        let parts: Vec<&[u8]> = commas(br#"a, "b, \" c" ,d"#).map(<[u8]>::trim_ascii).collect();
        assert_eq!(parts, [&b"a"[..], br#""b, \" c""#, b"d"]);
    }

    #[test]
    fn parameters_stand_behind_the_sign_that_is_asked_for() {
        let value = |target: &'static [u8], name: &[u8], delimiter: u8, ignore_case: bool| {
            let fetch = ParameterFetch { name: name.into(), delimiter, ignore_case };
            parameters_of(target, &fetch).next().map(<[u8]>::to_vec)
        };
        assert_eq!(value(b"/a;a=3?a=4", b"a", b';', false), Some(b"3?a=4".to_vec()));
        assert_eq!(value(b"/a;b=3?x=1?A=7", b"A", b'?', false), Some(b"7".to_vec()));
        assert_eq!(value(b"/q?b=1&AA=3&a=8;a=9", b"a", b'?', false), Some(b"8".to_vec()));
        assert_eq!(value(b"/q?b=1&AA=3", b"aa", b'?', true), Some(b"3".to_vec()));
        assert_eq!(value(b"/q?b=1&AA=3", b"aa", b'?', false), None);
        assert_eq!(value(b"/q?b=1&AA=3", b"", b'?', false), Some(b"1".to_vec()));
        assert_eq!(value(b"/n", b"a", b'?', false), None);
        assert_eq!(value(b"/n?a", b"a", b'?', false), None);
    }

    #[test]
    fn cookies_and_parameters_are_found_by_whole_name() {
        let line = b"ab=1; a=2;a = 3";
        let found: Vec<&[u8]> = cookie_values(line, b"a").collect();
        assert_eq!(found, [b"2", b"3"]);
        assert_eq!(parameter(b"x=1&y=2&z", b"y"), Some(&b"2"[..]));
        assert_eq!(parameter(b"x=1&y=2&z", b"z"), Some(&b""[..]));
        assert_eq!(parameter(b"x=1", b"y"), None);
    }
}
