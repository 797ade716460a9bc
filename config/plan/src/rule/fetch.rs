//! Where values come from: fetches, and the facts that answer them.

use super::{Condition, Converter, Template, Value};
use std::ops::ControlFlow;
use std::sync::Arc;

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
    /// Name in lower case; empty for all headers.
    pub name: Box<str>,
    /// Which value.
    pub occurrence: Occurrence,
    /// True: whole lines count as values. False: lines are split at commas.
    pub whole_line: bool,
}

/// A parameter of a request target, by a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterFetch {
    /// Name; empty for the first parameter, whatever its name.
    pub name: Box<[u8]>,
    /// What begins the parameters in the target; they are separated by `&`, `;` and this sign, and end before a
    /// `?` only when it is this sign.
    pub delimiter: u8,
    /// Capital and small letters of the name are the same.
    pub ignore_case: bool,
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
    /// Host, as it was sent, and path.
    Base,
    /// A request header.
    Header(HeaderFetch),
    /// How many values a request header has.
    HeaderCount(HeaderFetch),
    /// A request cookie.
    Cookie(Box<str>),
    /// A parameter of the query.
    QueryParameter(Box<str>),
    /// A parameter of the query, or of what stands behind another sign.
    Parameter(Box<ParameterFetch>),
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
    /// Unix time in parts of a second, plus an offset in the same: parts per second (1000, 1000000), offset.
    DateParts(i64, i64),
    /// What an expression gives; the value behind it when that gives nothing.
    Otherwise(Box<Expr>, Value<'static>),
    /// What an expression gives; without a value what the other one gives.
    Either(Box<Expr>, Box<Expr>),
    /// A template looked up in a table: the first entry that matches (nginx `map`, HAProxy maps).
    Map(Arc<MapTable>),
    /// A field of the finished request, for logs.
    Record(RecordField),
    /// A fact without arguments.
    Fact(super::Fact),
    /// Something of a pool; `None` = the current one.
    OfPool(super::PoolFact, Option<Box<str>>),
    /// Something of a server of a pool; without a pool, of the current one.
    OfServer(super::ServerFact, Option<Box<str>>, Box<str>),
    /// Names of header fields, joined; of the response when the flag says so.
    HeaderNames(bool, Box<[u8]>),
    /// Names of cookies, joined; of the response when the flag says so.
    CookieNames(bool, Box<[u8]>),
    /// How many cookies have this name, or there are at all; of the response when the flag says so.
    CookieCount(bool, Box<str>),
    /// Something of the first bytes of a connection.
    Early(Box<super::EarlyFetch>),
    /// About the entry of a table that is tracked, or that of the client.
    Table(Box<crate::table::TableFetch>),
    /// Entries of a table.
    TableUsed(Box<str>),
    /// Places left in a table.
    TableFree(Box<str>),
    /// A fact about a request in a site with virtual hosts.
    Visit(super::VisitFact),
    /// A value computed from others.
    Computed(Arc<crate::host::Computed>),
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
    /// `TotalTime` without the idle time: what the client waited.
    UserTime,
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
    /// Captured request headers one after the other, `-` for one that is missing; quotes go around each.
    RequestHeaderList,
    /// The same of the response.
    ResponseHeaderList,
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
    /// Target without the query: the path, behind scheme and host when they were sent.
    TargetPath,
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
        let mut converted = |value: Value<'_>| match convert(&self.converters, value, facts) {
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
            Fetch::Computed(computed) => computed.each(facts, &mut converted),
            Fetch::Either(expr, other) => match expr.value(facts) {
                Some(value) => {
                    let _ = converted(value);
                }
                None => other.each(facts, &mut converted),
            },
            Fetch::Otherwise(expr, other) => match expr.value(facts) {
                Some(value) => {
                    let _ = converted(value);
                }
                None => {
                    let _ = converted(other.clone());
                }
            },
            fetch => facts.each(fetch, &mut converted),
        }
    }

    /// Whether templates and variables go on after a value: of most things the last one counts, of parameters the
    /// first.
    pub(super) fn after_value(&self) -> ControlFlow<()> {
        match &self.fetch {
            Fetch::QueryParameter(_) | Fetch::Parameter(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// The value as templates and variables take it: the last one, of parameters the first.
    pub fn value(&self, facts: &dyn Facts) -> Option<Value<'static>> {
        let mut last = None;
        self.each(facts, &mut |value| {
            last = Some(value.into_owned());
            self.after_value()
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

    /// Offset of the local zone at a Unix time, seconds east of UTC.
    fn zone_offset(&self, _unix: i64) -> i32 {
        0
    }

    /// Keeps what an expression caught, for the templates that name its groups. Only requests in sites with virtual
    /// hosts keep it.
    fn keep(&self, _groups: crate::host::Groups) {}

    /// Address of the client, where that is known.
    fn client(&self) -> Option<std::net::IpAddr> {
        None
    }

    /// Looks a value up in a table; nothing where there are no tables.
    fn look_up(&self, lookup: &crate::table::TableLookup, value: &Value<'_>) -> Option<Value<'static>> {
        let _ = (lookup, value);
        None
    }
}

fn convert<'a>(converters: &[Converter], mut value: Value<'a>, facts: &dyn Facts) -> Option<Value<'a>> {
    for converter in converters {
        value = converter.apply(value, facts)?;
    }
    Some(value)
}
