//! Where values come from: fetches, converters, and the facts that answer them.

use super::{Condition, Template};
use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A value while a rule is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Int(i64),
    /// Bytes, usually text.
    Text(Cow<'a, [u8]>),
    /// An address.
    Address(IpAddr),
}

impl<'a> Value<'a> {
    /// Borrowed text.
    pub fn text(bytes: &'a [u8]) -> Value<'a> {
        Value::Text(Cow::Borrowed(bytes))
    }

    /// The value as text: numbers in decimal, booleans as `1` and `0`.
    pub fn into_text(self) -> Cow<'a, [u8]> {
        match self {
            Value::Text(text) => text,
            Value::Bool(yes) => Cow::Borrowed(if yes { b"1" } else { b"0" }),
            Value::Int(n) => Cow::Owned(n.to_string().into_bytes()),
            Value::Address(a) => Cow::Owned(a.to_string().into_bytes()),
        }
    }

    /// The value as a number; text must be all decimal.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Value::Bool(yes) => Some(i64::from(*yes)),
            Value::Int(n) => Some(*n),
            Value::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
            Value::Address(_) => None,
        }
    }

    /// The value as an address.
    pub fn to_address(&self) -> Option<IpAddr> {
        match self {
            Value::Address(a) => Some(*a),
            Value::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
            _ => None,
        }
    }
}

/// Which of several values of a header counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// Each in turn until one matches; in a template, the last.
    Any,
    /// From the front (1 = first) or, negative, from the back (-1 = last).
    Nth(i32),
}

/// A header to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFetch {
    /// Name in lower case.
    pub name: Box<str>,
    /// Which value.
    pub occurrence: Occurrence,
    /// True: whole lines count as values. False: lines are split at commas.
    pub whole_line: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Fetch {
    /// Address of the client (after the PROXY protocol).
    ClientAddress,
    /// Port of the client.
    ClientPort,
    /// Address the client connected to.
    LocalAddress,
    /// Port the client connected to.
    LocalPort,
    /// True when the client connection is encrypted.
    Encrypted,
    /// Request method.
    Method,
    /// Version as `1.0`, `1.1`.
    Version,
    /// Request target as received.
    Target,
    /// Path without the query.
    Path,
    /// Path with the query.
    PathAndQuery,
    /// Query without the question mark.
    Query,
    /// Host and path: `host` in lower case followed by the path.
    Base,
    /// A request header.
    Header(HeaderFetch),
    /// How many values a request header has.
    HeaderCount(HeaderFetch),
    /// A request cookie.
    Cookie(Box<str>),
    /// A parameter of the query.
    QueryParameter(Box<str>),
    /// Length of the request body by its head, -1 when unknown.
    BodyLength,
    /// Response status.
    Status,
    /// A response header.
    ResponseHeader(HeaderFetch),
    /// How many values a response header has.
    ResponseHeaderCount(HeaderFetch),
    /// A response cookie (`Set-Cookie`).
    ResponseCookie(Box<str>),
    /// Name of the site.
    SiteName,
    /// Name of the pool.
    PoolName,
    /// Name of the server.
    ServerName,
    /// Usable servers of a pool; `None` = the current one.
    UsableServers(Option<Box<str>>),
    /// Requests or connections in progress at a site; `None` = the current one.
    SiteConnections(Option<Box<str>>),
    /// A constant.
    Constant(Value<'static>),
    /// Outcome of a condition.
    Holds(Box<Condition>),
    /// A variable.
    Variable(super::Scope, Box<str>),
    /// A request capture, by index.
    RequestCapture(usize),
    /// A response capture, by index.
    ResponseCapture(usize),
    /// True when basic authentication names a user of the list with the right password.
    Authenticated(Arc<super::Userlist>),
    /// Bytes of the client's that wait in the buffer (TCP content rules).
    ReceivedBytes,
    /// True once the inspection delay is over or the client sends no more (TCP content rules).
    InspectionOver,
    /// Number of the request on its connection is 1.
    FirstRequest,
    /// A random number below the bound.
    Random(u32),
    /// Unix time in seconds, plus an offset.
    Date(i64),
    /// A template looked up in a table: the first entry that matches (nginx `map`, HAProxy maps).
    Map(Arc<MapTable>),
    /// A field of the finished request, for logs.
    Record(RecordField),
}

/// A table for [`Fetch::Map`].
#[derive(Clone, Debug)]
pub struct MapTable {
    /// What is looked up.
    pub key: Template,
    /// Patterns and their values, first match counts.
    pub entries: Vec<(super::Matcher, Template)>,
    /// Value without a match.
    pub default: Option<Template>,
}

/// Fields of a finished request or connection, as access logs show them. Times are milliseconds, -1
/// when the phase was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordField {
    /// Client address.
    ClientAddress,
    /// Client port.
    ClientPort,
    /// Address the client connected to.
    SiteAddress,
    /// Port the client connected to.
    SitePort,
    /// Server address.
    ServerAddress,
    /// Server port.
    ServerPort,
    /// Address used towards the server.
    PoolAddress,
    /// Port used towards the server.
    PoolPort,
    /// `20/Nov/2026:09:11:24.123` in local time: acceptance of the connection.
    AcceptDate,
    /// The same for the first byte of the request.
    RequestDate,
    /// `20/Nov/2026:09:11:24 +0000` of the first byte of the request, local zone.
    RequestDateZone,
    /// The same in UTC.
    RequestDateUtc,
    /// `20/Nov/2026:09:11:24 +0000` of the acceptance, local zone.
    AcceptDateZone,
    /// The same in UTC.
    AcceptDateUtc,
    /// Unix seconds of the acceptance.
    AcceptSeconds,
    /// Milliseconds part of the acceptance, three digits.
    AcceptMilliseconds,
    /// `site`, with `~` after it on an encrypted connection.
    SiteNameMarked,
    /// `site`.
    SiteName,
    /// `pool`.
    PoolName,
    /// `server`, or `<NOSRV>`.
    ServerName,
    /// Handshakes.
    HandshakeTime,
    /// Idle time before the request.
    IdleTime,
    /// Time until the request head was complete.
    RequestTime,
    /// `RequestTime` with the idle and handshake time.
    FullRequestTime,
    /// Time in queues.
    QueueTime,
    /// Time to connect.
    ConnectTime,
    /// Time until the response head.
    ResponseTime,
    /// Time of data transfer.
    DataTime,
    /// Time since the first byte of the request.
    ActiveTime,
    /// Time since acceptance.
    TotalTime,
    /// Status code, -1 without one.
    Status,
    /// Bytes sent to the client.
    BytesOut,
    /// Bytes received from the client.
    BytesIn,
    /// Four letters: how the request ended, when, and the persistence cookie's two.
    TerminationWithCookie,
    /// The first two letters only.
    Termination,
    /// The one precise cause of a failure, or empty.
    Cause,
    /// Connections of the process.
    ProcessConnections,
    /// Connections of the site.
    SiteConnections,
    /// Requests in the pool.
    PoolConnections,
    /// Requests at the server.
    ServerConnections,
    /// Retries, `+` in front after a redispatch.
    Retries,
    /// Requests before this one in the server's queue.
    ServerQueue,
    /// Requests before this one in the pool's queue.
    PoolQueue,
    /// Captured request headers `{a|b}`, empty without any.
    RequestHeaders,
    /// Captured response headers.
    ResponseHeaders,
    /// Captured request cookie, `-` without one.
    RequestCookie,
    /// Captured response cookie.
    ResponseCookie,
    /// The request line, or `<BADREQ>`.
    RequestLine,
    /// Method.
    Method,
    /// Target as received.
    Target,
    /// Path.
    Path,
    /// Query with the question mark.
    Query,
    /// Version as `HTTP/1.1`.
    Version,
    /// Process id.
    ProcessId,
    /// Host name.
    Hostname,
    /// Number of requests of the process so far.
    RequestCounter,
    /// Unique id of the request.
    UniqueId,
}

/// What is done to a value on its way.
#[derive(Clone, Debug)]
pub enum Converter {
    /// ASCII lower case.
    Lower,
    /// ASCII upper case.
    Upper,
    /// Length in bytes.
    Length,
    /// The part between separators, from 1, or from the end when negative; empty parts count.
    Field(i32, Box<[u8]>),
    /// As `Field`, but empty parts do not count.
    Word(i32, Box<[u8]>),
    /// Host without the port.
    HostOnly,
    /// Percent-decoding.
    PercentDecode,
    /// Base64.
    Base64,
    /// Hexadecimal, upper case.
    Hex,
    /// Prefix of the address with so many bits (IPv4, IPv6).
    Mask(u8, u8),
    /// Logical not.
    Not,
    /// Adds a number.
    Add(i64),
    /// Remainder of a division; a divisor of 0 is refused when the plan is made.
    Modulo(i64),
}

/// A fetch and what is done to its value.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Where the value comes from.
    pub fetch: Fetch,
    /// What is done to it, in order.
    pub converters: Vec<Converter>,
}

impl Expr {
    /// A fetch without converters.
    pub fn of(fetch: Fetch) -> Expr {
        Expr { fetch, converters: Vec::new() }
    }

    /// Gives each value of this expression to `each` until it breaks.
    pub fn each(&self, facts: &dyn Facts, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let mut converted = |value: Value<'_>| match convert(&self.converters, value) {
            Some(value) => each(value),
            None => ControlFlow::Continue(()),
        };
        match &self.fetch {
            Fetch::Constant(value) => {
                let _ = converted(value.clone());
            }
            Fetch::Holds(condition) => {
                let _ = converted(Value::Bool(condition.holds(facts)));
            }
            Fetch::Map(table) => table.look_up(facts, &mut converted),
            fetch => facts.each(fetch, &mut converted),
        }
    }

    /// The value as templates and variables take it: the last one.
    pub fn value(&self, facts: &dyn Facts) -> Option<Value<'static>> {
        let mut last = None;
        self.each(facts, &mut |value| {
            last = Some(owned(value));
            ControlFlow::Continue(())
        });
        last
    }
}

impl MapTable {
    fn look_up(&self, facts: &dyn Facts, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let key = self.key.text(facts);
        let found = self.entries.iter().find(|(m, _)| m.accepts(&Value::text(&key))).map(|(_, t)| t);
        if let Some(template) = found.or(self.default.as_ref()) {
            let text = template.text(facts);
            let _ = each(Value::text(&text));
        }
    }
}

/// Answers fetches about one request or connection.
pub trait Facts {
    /// Gives each value of `fetch` to `each` until it breaks; nothing when there is none (yet).
    fn each(&self, fetch: &Fetch, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>);
}

/// A value that outlives its source.
pub(super) fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        Value::Bool(yes) => Value::Bool(yes),
        Value::Int(n) => Value::Int(n),
        Value::Address(a) => Value::Address(a),
    }
}

fn convert<'a>(converters: &[Converter], mut value: Value<'a>) -> Option<Value<'a>> {
    for converter in converters {
        value = converter.apply(value)?;
    }
    Some(value)
}

impl Converter {
    /// The converted value; `None` when there is no result (the value then counts as missing).
    pub fn apply<'a>(&self, value: Value<'a>) -> Option<Value<'a>> {
        Some(match self {
            Converter::Lower => Value::Text(value.into_text().to_ascii_lowercase().into()),
            Converter::Upper => Value::Text(value.into_text().to_ascii_uppercase().into()),
            Converter::Length => Value::Int(value.into_text().len() as i64),
            Converter::Field(n, separators) => {
                Value::Text(part(&value.into_text(), *n, separators, true)?.to_vec().into())
            }
            Converter::Word(n, separators) => {
                Value::Text(part(&value.into_text(), *n, separators, false)?.to_vec().into())
            }
            Converter::HostOnly => Value::Text(host_only(&value.into_text()).to_vec().into()),
            Converter::PercentDecode => Value::Text(percent_decode(&value.into_text()).into()),
            Converter::Base64 => Value::Text(base64(&value.into_text()).into()),
            Converter::Hex => Value::Text(hex(&value.into_text()).into()),
            Converter::Mask(v4, v6) => Value::Address(mask(value.to_address()?, *v4, *v6)),
            Converter::Not => Value::Bool(value.to_int()? == 0),
            Converter::Add(n) => Value::Int(value.to_int()?.wrapping_add(*n)),
            Converter::Modulo(n) => Value::Int(value.to_int()?.checked_rem(*n)?),
        })
    }
}

fn part<'t>(text: &'t [u8], n: i32, separators: &[u8], empty_counts: bool) -> Option<&'t [u8]> {
    let parts: Vec<&[u8]> =
        text.split(|b| separators.contains(b)).filter(|part| empty_counts || !part.is_empty()).collect();
    let index = match n {
        0 => return None,
        n if n > 0 => n as usize - 1,
        n => parts.len().checked_sub(n.unsigned_abs() as usize)?,
    };
    parts.get(index).copied()
}

/// Host of a `host[:port]`, brackets of an IPv6 literal kept.
pub fn host_only(host: &[u8]) -> &[u8] {
    let from =
        if host.first() == Some(&b'[') { host.iter().position(|b| *b == b']').unwrap_or(0) } else { 0 };
    match host[from..].iter().position(|b| *b == b':') {
        Some(colon) => &host[..from + colon],
        None => host,
    }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn base64(text: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (word >> (18 - 6 * i)) as usize & 63;
            out.push(if i <= chunk.len() { ALPHABET[sextet] } else { b'=' });
        }
    }
    out
}

fn hex(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| b"0123456789ABCDEF"[d as usize]).collect()
}

fn mask(address: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(a) & keep).into())
        }
        IpAddr::V6(a) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(a) & keep).into())
        }
    }
}
