//! What becomes of a server's answer: orders for us in it, fields that clients do not get, redirects and cookies that
//! name the server.

use super::rewrite::{self, Cookies, Keep};
use crate::exchange::Exchange;
use crate::host::Visit;
use crate::local::Workspace;
use crate::scene::Scene;
use plan::host::{Groups, Proxy};
use plan::rule::Facts;
use wire::http1::{BodyFraming, Fields, Name, ResponseHead};

/// What a server orders with fields of its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Another place of ours answers.
    pub redirect: Option<Vec<u8>>,
    /// Whether the answer is kept for slow clients.
    pub buffering: Option<bool>,
    /// Bytes a second; 0 = as fast as can be.
    pub rate: Option<u64>,
    /// Character set of the text.
    pub charset: Option<Vec<u8>>,
}

impl Orders {
    /// Those in an answer that are not to be ignored.
    pub fn of(answer: &ResponseHead, ignored: &[Box<str>]) -> Orders {
        let mut orders = Orders::default();
        for (name, value) in answer.fields.pairs() {
            if !starts(name, b"x-accel-")
                || ignored.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(name))
            {
                continue;
            }
            let value = || value.to_vec();
            match &name.to_ascii_lowercase()[8..] {
                b"redirect" => orders.redirect = orders.redirect.or_else(|| Some(value())),
                b"buffering" => match &value().to_ascii_lowercase()[..] {
                    b"yes" => orders.buffering = Some(true),
                    b"no" => orders.buffering = Some(false),
                    _ => {}
                },
                b"limit-rate" => {
                    orders.rate = std::str::from_utf8(&value()).ok().and_then(|n| n.parse().ok());
                }
                b"charset" => orders.charset = Some(value()),
                _ => {}
            }
        }
        orders
    }
}

fn starts(name: &[u8], with: &[u8]) -> bool {
    name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// Fields that count once: what comes after the first is left out.
const SINGLE: [Name; 10] = [
    Name::ContentType,
    Name::Date,
    Name::Etag,
    Name::Server,
    Name::Location,
    Name::Expires,
    Name::LastModified,
    Name::ContentRange,
    Name::ContentEncoding,
    Name::ContentLength,
];

/// Makes the client's head in `work.response` from the server's.
pub(super) fn take(
    exchange: &Exchange,
    work: &mut Workspace,
    proxy: &Proxy,
    answer: &ResponseHead,
    orders: &Orders,
) {
    let mut response = std::mem::take(&mut work.response);
    response.clear();
    response.set_status(answer.status, answer.reason());
    response.set_framing(answer.announced_length().map_or(BodyFraming::None, BodyFraming::Length));
    let scene = Behind { exchange, work, answer };
    let cookies =
        Cookies { domains: &proxy.cookie_domains, paths: &proxy.cookie_paths, flags: &proxy.cookie_flags };
    let mut seen = 0u16;
    for field in &answer.fields {
        let (name, value) = (answer.fields.name(field), answer.fields.value(field));
        let single = SINGLE.iter().position(|single| *single == field.id).map_or(0, |at| 1 << at);
        if seen & single != 0 || is_hidden(proxy, name) {
            continue;
        }
        seen |= single;
        let changed = match field.id {
            Name::Connection | Name::KeepAlive | Name::TransferEncoding | Name::ContentLength => continue,
            Name::Location => rewrite::location(&proxy.redirects, value, &scene)
                .map(|to| crate::host::reply::location(exchange, &to)),
            Name::SetCookie if !cookies.is_empty() => cookies.rewrite(value, &scene),
            Name::ContentType => with_charset(value, orders),
            Name::Other if name.eq_ignore_ascii_case(b"refresh") => {
                rewrite::refresh(&proxy.redirects, value, &scene)
            }
            _ => None,
        };
        response.fields.append(name, changed.as_deref().unwrap_or(value));
    }
    work.response = response;
}

/// A content type with the character set that the server ordered.
fn with_charset(value: &[u8], orders: &Orders) -> Option<Vec<u8>> {
    let charset = orders.charset.as_ref()?;
    let has = value.split(|b| *b == b';').skip(1).any(|part| starts(part.trim_ascii(), b"charset="));
    (!has && starts(value, b"text/")).then(|| [value, b"; charset=", charset].concat())
}

fn is_hidden(proxy: &Proxy, name: &[u8]) -> bool {
    proxy.hide.iter().any(|hidden| hidden.as_bytes().eq_ignore_ascii_case(name))
}

/// Fields of an answer that stay when another place of ours answers instead.
pub(super) fn kept(answer: &ResponseHead) -> Fields {
    let mut kept = Fields::new();
    for field in &answer.fields {
        let name = answer.fields.name(field);
        let stays =
            matches!(field.id, Name::ContentType | Name::SetCookie | Name::CacheControl | Name::Expires)
                || name.eq_ignore_ascii_case(b"content-disposition")
                || name.eq_ignore_ascii_case(b"accept-ranges");
        if stays {
            kept.append(name, answer.fields.value(field));
        }
    }
    kept
}

/// The question for a password of an answer whose page is ours.
pub(super) fn questions(answer: &ResponseHead) -> Fields {
    let mut kept = Fields::new();
    for value in answer.fields.find_all(Name::WwwAuthenticate) {
        kept.append(b"WWW-Authenticate", value);
    }
    kept
}

/// Puts the fields that a server's answer left behind into ours.
pub(in crate::host) fn add_kept(visit: &Visit, response: &mut ResponseHead) {
    for (name, value) in visit.proxy.kept.pairs() {
        match Name::of(name) {
            Name::SetCookie | Name::CacheControl | Name::WwwAuthenticate => {
                response.fields.append(name, value);
            }
            _ => {
                response.fields.set(name, value);
            }
        }
    }
}

/// The facts once a server has answered.
struct Behind<'a> {
    exchange: &'a Exchange,
    work: &'a Workspace,
    answer: &'a ResponseHead,
}

impl Facts for Behind<'_> {
    fn each(&self, fetch: &plan::Fetch, each: &mut dyn FnMut(plan::Value<'_>) -> std::ops::ControlFlow<()>) {
        let Behind { exchange, work, answer } = self;
        Scene { exchange, request: &work.request, response: Some(answer) }.each(fetch, each);
    }

    fn keep(&self, groups: Groups) {
        if let Some(visit) = self.exchange.visit.as_deref() {
            visit.keep(groups);
        }
    }

    fn client(&self) -> Option<std::net::IpAddr> {
        Some(self.exchange.client.ip()?.ip())
    }
}

impl Keep for Behind<'_> {
    fn keep(&self, groups: Groups) {
        Facts::keep(self, groups);
    }

    fn facts(&self) -> &dyn Facts {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_unless_ignored() {
        let mut answer = ResponseHead::new(200, b"OK");
        for (name, value) in [
            ("X-Accel-Redirect", "/x"),
            ("x-accel-redirect", "/y"),
            ("X-Accel-Buffering", "No"),
            ("X-Accel-Limit-Rate", "100"),
            ("X-Other", "1"),
        ] {
            answer.fields.append(name.as_bytes(), value.as_bytes());
        }
        let all = Orders::of(&answer, &[]);
        let expected =
            Orders { redirect: Some(b"/x".to_vec()), buffering: Some(false), rate: Some(100), charset: None };
        assert_eq!(all, expected);
        let some = Orders::of(&answer, &["x-accel-redirect".into(), "x-accel-limit-rate".into()]);
        assert_eq!(some, Orders { buffering: Some(false), ..Orders::default() });
    }
}
