//! The head that goes to a server. It is written anew: the client's own stays as it is, for variables and for whatever
//! the request still does.

use super::super::text;
use super::cache::Fetch;
use crate::exchange::Exchange;
use crate::local::Workspace;
use plan::host::{Proxy, ProxyUri};
use wire::http1::{Escape, Fields, Name, RequestKind, escape_into, is_token, tokens};

/// A request as it goes to servers.
pub(super) struct Outgoing {
    /// Its head, with the empty line.
    pub bytes: Vec<u8>,
    /// What reading the answer depends on.
    pub kind: RequestKind,
    /// It does no harm to send it to another server although one may have done it already.
    pub repeatable: bool,
    /// The server is told that its connection will be closed.
    pub closes: bool,
    /// It goes on when the client leaves: others want the answer, too.
    pub goes_on: bool,
}

/// How the body follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyAhead {
    /// None does.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Writes the head. `uri` replaces path and query when the target said them itself.
///
/// # Errors
/// The status of the failure: 500 for a method or a path that cannot be sent.
pub(super) fn write(
    exchange: &Exchange,
    work: &Workspace,
    proxy: &Proxy,
    uri: Option<&[u8]>,
    body: BodyAhead,
    fetch: Option<&Fetch<'_>>,
) -> Result<Outgoing, u16> {
    let mut out = Vec::with_capacity(512);
    let method = match &proxy.method {
        Some(template) => text(exchange, work, template),
        None if work.request.method() == b"HEAD" && fetch.is_some_and(Fetch::converts_head) => {
            b"GET".to_vec()
        }
        None => work.request.method().to_vec(),
    };
    if !is_token(&method) {
        return Err(500);
    }
    out.extend_from_slice(&method);
    out.push(b' ');
    path(exchange, work, proxy, uri, &mut out)?;
    out.extend_from_slice(if proxy.old_version { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
    let said = set_fields(exchange, work, proxy, &mut out);
    match body {
        BodyAhead::Nothing => {}
        BodyAhead::Length(length) => {
            field(b"Content-Length", itoa::Buffer::new().format(length).as_bytes(), &mut out);
        }
        BodyAhead::Chunked => field(b"Transfer-Encoding", b"chunked", &mut out),
    }
    if proxy.pass_headers {
        client_fields(&work.request.fields, proxy, fetch.is_some_and(Fetch::is_whole), &mut out);
    }
    if let Some(fetch) = fetch {
        validators(fetch, proxy, &mut out);
    }
    out.extend_from_slice(b"\r\n");
    let wants_switch = said.upgrades && work.request.fields.find(Name::Upgrade).is_some();
    Ok(Outgoing {
        bytes: out,
        kind: RequestKind {
            head: method == b"HEAD",
            connect: false,
            upgrade: wants_switch,
            websocket: false,
        },
        repeatable: !matches!(&method[..], b"POST" | b"LOCK" | b"PATCH"),
        goes_on: fetch.is_some_and(Fetch::is_whole),
        closes: said.closes || proxy.old_version && !said.keeps,
    })
}

/// What the set fields said about the connection.
#[derive(Default)]
struct Said {
    closes: bool,
    keeps: bool,
    upgrades: bool,
}

fn set_fields(exchange: &Exchange, work: &Workspace, proxy: &Proxy, out: &mut Vec<u8>) -> Said {
    let mut said = Said::default();
    for set in &proxy.set_headers {
        let name = set.name.as_bytes();
        let value = text(exchange, work, &set.value);
        match Name::of(name) {
            // The body's own framing is written with it.
            Name::ContentLength | Name::TransferEncoding => continue,
            Name::Connection => {
                said.closes |= tokens(&value).any(|token| token.eq_ignore_ascii_case(b"close"));
                said.keeps |= tokens(&value).any(|token| token.eq_ignore_ascii_case(b"keep-alive"));
            }
            Name::Upgrade => said.upgrades |= !value.is_empty(),
            _ => {}
        }
        if !value.is_empty() {
            field(name, &value, out);
        }
    }
    said
}

/// Fields by which a client asks for less than the whole.
const CONDITIONAL: [&[u8]; 6] =
    [b"if-modified-since", b"if-unmodified-since", b"if-none-match", b"if-match", b"range", b"if-range"];

/// What the server is asked about a kept answer.
fn validators(fetch: &Fetch<'_>, proxy: &Proxy, out: &mut Vec<u8>) {
    let (tag, date) = fetch.validators();
    for (name, value) in [(&b"If-None-Match"[..], tag), (b"If-Modified-Since", date)] {
        if let Some(value) = value.filter(|_| !is_set(proxy, name)) {
            field(name, value, out);
        }
    }
}

/// The client's fields, except those that are set and those that are about its own connection.
fn client_fields(fields: &Fields, proxy: &Proxy, whole: bool, out: &mut Vec<u8>) {
    for one in fields {
        let name = fields.name(one);
        let ends_here = matches!(
            one.id,
            Name::Host
                | Name::Connection
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::Te
                | Name::KeepAlive
                | Name::Expect
                | Name::Upgrade
        );
        let conditional = whole && CONDITIONAL.iter().any(|other| name.eq_ignore_ascii_case(other));
        if !ends_here && !conditional && !is_set(proxy, name) {
            field(name, fields.value(one), out);
        }
    }
}

fn is_set(proxy: &Proxy, name: &[u8]) -> bool {
    proxy.set_headers.iter().any(|set| set.name.as_bytes().eq_ignore_ascii_case(name))
}

/// True when the configuration takes the length of the body away: then no body may follow.
pub(super) fn hides_length(proxy: &Proxy) -> bool {
    is_set(proxy, b"content-length")
        && proxy.set_headers.iter().any(|set| {
            set.name.eq_ignore_ascii_case("content-length") && set.value.as_fixed() == Some(&b""[..])
        })
}

/// A field line. A value cannot end its line.
fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..] {
        if matches!(*byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Path and query for the server.
pub(super) fn path(
    exchange: &Exchange,
    work: &Workspace,
    proxy: &Proxy,
    uri: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), u16> {
    let start = out.len();
    let visit = exchange.visit.as_deref().ok_or(500u16)?;
    match (uri, &proxy.uri) {
        (Some(uri), _) => out.extend_from_slice(uri),
        (None, ProxyUri::Whole(template)) => out.extend_from_slice(&text(exchange, work, template)),
        (None, ProxyUri::Same) if visit.untouched => {
            out.extend_from_slice(work.request.target());
        }
        (None, same_or_replaced) => {
            let mut rest = &visit.path[..];
            if let ProxyUri::Replaced(length, new) = same_or_replaced
                && visit.fits_location
            {
                out.extend_from_slice(new.as_bytes());
                rest = visit.path.get(*length..).unwrap_or_default();
            }
            match visit.quoted || visit.internal {
                true => escape_into(out, rest, Escape::Path),
                false => out.extend_from_slice(rest),
            }
            if !visit.arguments.is_empty() {
                out.push(b'?');
                out.extend_from_slice(&visit.arguments);
            }
        }
    }
    let bad = |byte: &u8| byte.is_ascii_control() || *byte == b' ';
    match out.len() == start {
        true => return Err(500),
        // What would end the request line must not get into it, wherever it came from.
        false if out[start..].iter().any(bad) => {
            let written = out.split_off(start);
            for byte in written {
                match bad(&byte) {
                    true => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                    false => out.push(byte),
                }
            }
        }
        false => {}
    }
    Ok(())
}
