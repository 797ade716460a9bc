//! A finished request or connection, and how it becomes an access log line.
//!
//! `web` and `stream` fill in a [`Record`] and hand it, with a [`Line`] made once from the plan's format,
//! to a [`crate::sink::LogQueue`]. [`Record::field`] answers `Fetch::Record` for their rule facts.

use crate::cause::Cause;
use crate::clock::{Calendar, LogClock, milliseconds, write_offset};
use crate::json;
use plan::log::LogFormat;
use plan::rule::{Expr, Facts, Fetch, Piece, RecordField, Style, Template, Value, write_int};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

/// What log lines say about the process.
#[derive(Clone, Debug, Default)]
pub struct LogProcess {
    /// Process id.
    pub pid: u32,
    /// Name of this host.
    pub hostname: String,
}

/// Times of a request by phase, milliseconds; `None` = not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// Handshakes of the client connection (PROXY protocol, TLS).
    pub handshake: Option<u32>,
    /// From there, or from the end of the response before, to the first byte of the request.
    pub idle: Option<u32>,
    /// From the first byte to the end of the request head.
    pub request: Option<u32>,
    /// In queues.
    pub queue: Option<u32>,
    /// To connect to the server.
    pub connect: Option<u32>,
    /// From the connection to the end of the response head.
    pub response: Option<u32>,
    /// From the response head to the last byte.
    pub data: Option<u32>,
    /// From the first byte of the request to the last of the response.
    pub active: Option<u32>,
    /// From acceptance (TCP) or the end of the response before (HTTP) to the end.
    pub total: Option<u32>,
}

impl Timers {
    /// The total without the idle time.
    pub fn user(&self) -> Option<u32> {
        self.total.map(|total| total.saturating_sub(self.idle.unwrap_or(0)))
    }
}

/// The request line of a record.
#[derive(Clone, Copy, Debug, Default)]
pub enum RequestLine<'a> {
    /// None: a TCP connection, or nothing was received.
    #[default]
    None,
    /// Not valid: `<BADREQ>`.
    Bad,
    /// As received.
    Good {
        /// Method.
        method: &'a [u8],
        /// Target as received.
        target: &'a [u8],
        /// Version as `HTTP/1.1`.
        version: &'a [u8],
    },
}

/// Everything an access log line of one finished request or connection needs.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Clock of the worker that writes.
    pub clock: &'a LogClock,
    /// The process.
    pub process: &'a LogProcess,
    /// Client, after the PROXY protocol; `None` = not an IP client.
    pub client: Option<SocketAddr>,
    /// Address the client connected to.
    pub site_address: Option<SocketAddr>,
    /// Server.
    pub server_address: Option<SocketAddr>,
    /// Our address towards the server.
    pub pool_address: Option<SocketAddr>,
    /// Acceptance, Unix microseconds.
    pub accepted_us: i64,
    /// First byte of the request, Unix microseconds; of the acceptance for TCP.
    pub requested_us: i64,
    /// Site.
    pub site: &'a str,
    /// True for HTTP, false for TCP.
    pub http: bool,
    /// The client connection is encrypted.
    pub encrypted: bool,
    /// Pool; the site's name when none was chosen.
    pub pool: &'a str,
    /// Server; `None` = none was chosen.
    pub server: Option<&'a str>,
    /// Times.
    pub timers: Timers,
    /// Status sent to the client.
    pub status: Option<u16>,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// HAProxy's termination state: who, when, and two for the persistence cookie.
    pub termination: [u8; 4],
    /// Why it failed.
    pub cause: Option<Cause>,
    /// Connections of the process when the line is written.
    pub process_connections: u32,
    /// Connections of the site.
    pub site_connections: u32,
    /// Requests in the pool.
    pub pool_connections: u32,
    /// Requests at the server.
    pub server_connections: u32,
    /// Retries.
    pub retries: u32,
    /// Went to another server after a failure.
    pub redispatched: bool,
    /// Requests before this one in the server's queue.
    pub server_queue: u32,
    /// Requests before this one in the pool's queue.
    pub pool_queue: u32,
    /// Captured request headers in order of declaration, empty texts for those that were not there.
    pub request_headers: &'a [Vec<u8>],
    /// Captured response headers.
    pub response_headers: &'a [Vec<u8>],
    /// Captured request cookie.
    pub request_cookie: Option<&'a [u8]>,
    /// Captured response cookie.
    pub response_cookie: Option<&'a [u8]>,
    /// Request line.
    pub request: RequestLine<'a>,
    /// Unique id.
    pub unique_id: &'a [u8],
    /// Number of requests of the process so far.
    pub request_counter: u64,
    /// Written before the end (`option logasap`): total time and bytes get a `+`.
    pub early: bool,
}

impl<'a> Record<'a> {
    /// A record with nothing in it but the clock and the process.
    pub fn new(clock: &'a LogClock, process: &'a LogProcess) -> Record<'a> {
        Record {
            clock,
            process,
            client: None,
            site_address: None,
            server_address: None,
            pool_address: None,
            accepted_us: 0,
            requested_us: 0,
            site: "",
            http: false,
            encrypted: false,
            pool: "",
            server: None,
            timers: Timers::default(),
            status: None,
            bytes_out: 0,
            bytes_in: 0,
            termination: *b"----",
            cause: None,
            process_connections: 0,
            site_connections: 0,
            pool_connections: 0,
            server_connections: 0,
            retries: 0,
            redispatched: false,
            server_queue: 0,
            pool_queue: 0,
            request_headers: &[],
            response_headers: &[],
            request_cookie: None,
            response_cookie: None,
            request: RequestLine::None,
            unique_id: b"",
            request_counter: 0,
            early: false,
        }
    }

    /// Gives the value of a field to `each`, for an answer to `Fetch::Record`; nothing when it has none.
    pub fn field(&self, field: RecordField, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let mut composed = Vec::new();
        let value = match self.part(field) {
            Part::Missing => return,
            Part::Int(n) => Value::Int(n),
            Part::Address(address) => Value::Address(address),
            Part::Text(text, _) => Value::text(text),
            Part::Composed => {
                self.compose(field, Escape::None, &mut composed);
                Value::text(&composed)
            }
        };
        let _ = each(value);
    }

    /// Writes `Connect from A:P to A:P (site/MODE)`.
    pub fn write_short(&self, out: &mut Vec<u8>) {
        let endpoint = |address: Option<SocketAddr>, out: &mut Vec<u8>| match address {
            Some(address) => {
                write_address(address.ip(), out);
                out.push(b':');
                write_int(i64::from(address.port()), out);
            }
            None => out.extend_from_slice(b"unix:1"),
        };
        out.extend_from_slice(b"Connect from ");
        endpoint(self.client, out);
        out.extend_from_slice(b" to ");
        endpoint(self.site_address, out);
        out.extend_from_slice(b" (");
        out.extend_from_slice(self.site.as_bytes());
        out.extend_from_slice(if self.http { b"/HTTP)" } else { b"/TCP)" });
    }

    /// Writes one JSON object with all fields. Times that were not reached, and what is missing, are `null`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        write_iso(self.accepted_us, self.clock.offset_s(), out);
        out.push(b'"');
        let mut composed = Vec::new();
        for (name, field) in JSON_FIELDS {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            self.write_json_value(*field, &mut composed, out);
        }
        for (name, captures) in
            [("request_headers", self.request_headers), ("response_headers", self.response_headers)]
        {
            json::write_list(name, captures, out);
        }
        let encrypted = if self.encrypted { "true" } else { "false" };
        let redispatched = if self.redispatched { "true" } else { "false" };
        let _ = write!(out, ",\"encrypted\":{encrypted},\"redispatched\":{redispatched}}}");
    }

    fn write_json_value(&self, field: RecordField, composed: &mut Vec<u8>, out: &mut Vec<u8>) {
        let part =
            if field == RecordField::Retries { Part::Int(i64::from(self.retries)) } else { self.part(field) };
        let part = match field {
            RecordField::RequestCookie if self.request_cookie.is_none() => Part::Missing,
            RecordField::ResponseCookie if self.response_cookie.is_none() => Part::Missing,
            _ => part,
        };
        match part {
            Part::Missing | Part::Int(-1) => out.extend_from_slice(b"null"),
            Part::Int(n) => write_int(n, out),
            Part::Address(address) => {
                out.push(b'"');
                write_address(address, out);
                out.push(b'"');
            }
            Part::Text(text, _) => json::write_string(text, out),
            Part::Composed => {
                composed.clear();
                self.compose(field, Escape::None, composed);
                json::write_string(composed.strip_prefix(b"+").unwrap_or(composed), out);
            }
        }
    }

    /// The one list of what each field is. Fields made of several parts are left to [`Record::compose`].
    fn part(&self, field: RecordField) -> Part<'_> {
        use RecordField as F;
        match field {
            F::ClientAddress => Part::address(self.client),
            F::ClientPort => Part::port(self.client),
            F::SiteAddress => Part::address(self.site_address),
            F::SitePort => Part::port(self.site_address),
            F::ServerAddress => Part::address(self.server_address),
            F::ServerPort => Part::port(self.server_address),
            F::PoolAddress => Part::address(self.pool_address),
            F::PoolPort => Part::port(self.pool_address),
            F::AcceptDate | F::AcceptDateZone | F::AcceptDateUtc => Part::Composed,
            F::RequestDate | F::RequestDateZone | F::RequestDateUtc => Part::Composed,
            F::AcceptSeconds => Part::Int(self.accepted_us.div_euclid(1_000_000)),
            F::AcceptMilliseconds => Part::Composed,
            F::SiteNameMarked if self.encrypted => Part::Composed,
            F::SiteNameMarked | F::SiteName => Part::name(self.site),
            F::PoolName => Part::name(self.pool),
            F::ServerName => Part::Text(self.server.unwrap_or("<NOSRV>").as_bytes(), Set::Name),
            F::HandshakeTime => Part::time(self.timers.handshake),
            F::IdleTime => Part::time(self.timers.idle),
            F::RequestTime => Part::time(self.timers.request),
            F::FullRequestTime => Part::time(self.full_request_time()),
            F::QueueTime => Part::time(self.timers.queue),
            F::ConnectTime => Part::time(self.timers.connect),
            F::ResponseTime => Part::time(self.timers.response),
            F::DataTime => Part::time(self.timers.data),
            F::ActiveTime | F::TotalTime | F::UserTime | F::BytesOut if self.early => Part::Composed,
            F::ActiveTime => Part::time(self.timers.active),
            F::TotalTime => Part::time(self.timers.total),
            F::UserTime => Part::time(self.timers.user()),
            F::Status => Part::Int(self.status.map_or(-1, i64::from)),
            F::BytesOut => Part::count(self.bytes_out),
            F::BytesIn => Part::count(self.bytes_in),
            F::TerminationWithCookie => Part::Text(&self.termination, Set::Name),
            F::Termination => Part::Text(&self.termination[..2], Set::Name),
            F::Cause => self.cause.map_or(Part::Missing, |c| Part::name(c.label())),
            F::ProcessConnections => Part::Int(i64::from(self.process_connections)),
            F::SiteConnections => Part::Int(i64::from(self.site_connections)),
            F::PoolConnections => Part::Int(i64::from(self.pool_connections)),
            F::ServerConnections => Part::Int(i64::from(self.server_connections)),
            F::Retries if self.redispatched => Part::Composed,
            F::Retries => Part::Int(i64::from(self.retries)),
            F::ServerQueue => Part::Int(i64::from(self.server_queue)),
            F::PoolQueue => Part::Int(i64::from(self.pool_queue)),
            F::RequestHeaders if self.request_headers.is_empty() => Part::Missing,
            F::ResponseHeaders if self.response_headers.is_empty() => Part::Missing,
            F::RequestHeaders | F::ResponseHeaders => Part::Composed,
            F::RequestHeaderList if self.request_headers.is_empty() => Part::Missing,
            F::ResponseHeaderList if self.response_headers.is_empty() => Part::Missing,
            F::RequestHeaderList | F::ResponseHeaderList => Part::Composed,
            F::RequestCookie => Part::cookie(self.request_cookie),
            F::ResponseCookie => Part::cookie(self.response_cookie),
            F::RequestLine => Part::Composed,
            F::Method | F::Target | F::Path | F::TargetPath | F::Query | F::Version => {
                self.request_part(field)
            }
            F::ProcessId => Part::Int(i64::from(self.process.pid)),
            F::Hostname => Part::name(&self.process.hostname),
            F::RequestCounter => Part::count(self.request_counter),
            F::UniqueId => Part::text(self.unique_id, Set::Header),
        }
    }

    fn request_part(&self, field: RecordField) -> Part<'_> {
        let (method, target, version) = match self.request {
            RequestLine::None => return Part::Missing,
            RequestLine::Bad => return Part::Text(b"<BADREQ>", Set::Uri),
            RequestLine::Good { method, target, version } => (method, target, version),
        };
        let query = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
        match field {
            RecordField::Method => Part::text(method, Set::Uri),
            RecordField::Path => Part::text(path_of(&target[..query]), Set::Uri),
            RecordField::TargetPath => Part::text(&target[..query], Set::Uri),
            RecordField::Query => Part::text(&target[query..], Set::Uri),
            RecordField::Version => Part::text(version, Set::Uri),
            _ => Part::text(target, Set::Uri),
        }
    }

    /// Writes a field that is made of several parts; the parts are escaped, the frame around them is not.
    fn compose(&self, field: RecordField, escape: Escape, out: &mut Vec<u8>) {
        use RecordField as F;
        match field {
            F::AcceptDate => out.extend_from_slice(&self.clock.date_ms(self.accepted_us)),
            F::RequestDate => out.extend_from_slice(&self.clock.date_ms(self.requested_us)),
            F::AcceptDateZone => write_zone_date(self.clock, self.accepted_us, out),
            F::RequestDateZone => write_zone_date(self.clock, self.requested_us, out),
            F::AcceptDateUtc => write_utc_date(self.accepted_us, out),
            F::RequestDateUtc => write_utc_date(self.requested_us, out),
            F::AcceptMilliseconds => out.extend_from_slice(&milliseconds(self.accepted_us)),
            F::SiteNameMarked => {
                escape.write(self.site.as_bytes(), Set::Name, out);
                out.push(b'~');
            }
            F::ActiveTime => plus(time_value(self.timers.active), out),
            F::TotalTime => plus(time_value(self.timers.total), out),
            F::UserTime => plus(time_value(self.timers.user()), out),
            F::BytesOut => plus(self.bytes_out as i64, out),
            F::Retries => plus(i64::from(self.retries), out),
            F::RequestHeaders => write_captures(self.request_headers, escape, out),
            F::ResponseHeaders => write_captures(self.response_headers, escape, out),
            F::RequestHeaderList => write_list(self.request_headers, escape, false, out),
            F::ResponseHeaderList => write_list(self.response_headers, escape, false, out),
            F::RequestLine => self.write_request_line(escape, out),
            _ => {}
        }
    }

    fn write_request_line(&self, escape: Escape, out: &mut Vec<u8>) {
        match self.request {
            RequestLine::None | RequestLine::Bad => out.extend_from_slice(b"<BADREQ>"),
            RequestLine::Good { method, target, version } => {
                escape.write(method, Set::Uri, out);
                out.push(b' ');
                escape.write(target, Set::Uri, out);
                if !version.is_empty() {
                    out.push(b' ');
                    escape.write(version, Set::Uri, out);
                }
            }
        }
    }

    fn full_request_time(&self) -> Option<u32> {
        let before = self.timers.handshake.unwrap_or(0).saturating_add(self.timers.idle.unwrap_or(0));
        self.timers.request.map(|request| request.saturating_add(before))
    }
}

/// Names of JSON fields; those of times end in `_ms`.
const JSON_FIELDS: &[(&str, RecordField)] = &[
    ("client", RecordField::ClientAddress),
    ("client_port", RecordField::ClientPort),
    ("site_address", RecordField::SiteAddress),
    ("site_port", RecordField::SitePort),
    ("site", RecordField::SiteName),
    ("pool", RecordField::PoolName),
    ("server", RecordField::ServerName),
    ("server_address", RecordField::ServerAddress),
    ("server_port", RecordField::ServerPort),
    ("pool_address", RecordField::PoolAddress),
    ("pool_port", RecordField::PoolPort),
    ("method", RecordField::Method),
    ("target", RecordField::Target),
    ("version", RecordField::Version),
    ("status", RecordField::Status),
    ("cause", RecordField::Cause),
    ("termination", RecordField::TerminationWithCookie),
    ("bytes_in", RecordField::BytesIn),
    ("bytes_out", RecordField::BytesOut),
    ("handshake_ms", RecordField::HandshakeTime),
    ("idle_ms", RecordField::IdleTime),
    ("request_ms", RecordField::RequestTime),
    ("queue_ms", RecordField::QueueTime),
    ("connect_ms", RecordField::ConnectTime),
    ("response_ms", RecordField::ResponseTime),
    ("data_ms", RecordField::DataTime),
    ("active_ms", RecordField::ActiveTime),
    ("total_ms", RecordField::TotalTime),
    ("process_connections", RecordField::ProcessConnections),
    ("site_connections", RecordField::SiteConnections),
    ("pool_connections", RecordField::PoolConnections),
    ("server_connections", RecordField::ServerConnections),
    ("retries", RecordField::Retries),
    ("server_queue", RecordField::ServerQueue),
    ("pool_queue", RecordField::PoolQueue),
    ("request_cookie", RecordField::RequestCookie),
    ("response_cookie", RecordField::ResponseCookie),
    ("unique_id", RecordField::UniqueId),
    ("request_counter", RecordField::RequestCounter),
    ("pid", RecordField::ProcessId),
    ("hostname", RecordField::Hostname),
];

/// Bytes that a usual line takes.
const USUAL_LINE: usize = 256;

/// A log format made ready: the template's pieces with record fields told apart, so that a usual line is
/// written without a call through [`Facts`]. Made once per plan; the template stays the source of truth.
#[derive(Clone, Debug, Default)]
pub struct Line(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    None,
    #[default]
    Short,
    Json,
    Text(Box<[LinePiece]>),
}

#[derive(Clone, Debug)]
enum LinePiece {
    /// One byte of text, which most texts between values are.
    Byte(u8),
    Text(Box<[u8]>),
    Field(RecordField, Style),
    Other(Template),
}

impl Line {
    /// Makes a format ready.
    pub fn of(format: &LogFormat) -> Line {
        Line(match format {
            LogFormat::None => Kind::None,
            LogFormat::Short => Kind::Short,
            LogFormat::Json => Kind::Json,
            LogFormat::Text(template) => return Line::of_template(template),
        })
    }

    /// Makes a template ready.
    pub fn of_template(template: &Template) -> Line {
        Line(Kind::Text(template.0.iter().map(LinePiece::of).collect()))
    }

    /// True when no line is to be written at all.
    pub fn is_none(&self) -> bool {
        matches!(self.0, Kind::None)
    }

    /// Appends the line, without a newline. `facts` answers what is not a record field.
    ///
    /// As HAProxy does, a value that is nothing at all (no captures configured) takes the space after it
    /// away with it.
    pub fn write(&self, record: &Record<'_>, facts: &dyn Facts, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::None => {}
            Kind::Short => record.write_short(out),
            Kind::Json => record.write_json(out),
            Kind::Text(pieces) => write_pieces(pieces, record, facts, out),
        }
    }
}

/// Appends the text of a template, every value asked of `facts`. [`Line::write`] does the same faster.
pub fn write_line(template: &Template, facts: &dyn Facts, out: &mut Vec<u8>) {
    template.write(facts, out);
}

impl LinePiece {
    fn of(piece: &Piece) -> LinePiece {
        match piece {
            Piece::Text(text) if text.len() == 1 => LinePiece::Byte(text[0]),
            Piece::Text(text) => LinePiece::Text(text.clone()),
            Piece::Value(Expr { fetch: Fetch::Record(field), converters }, style)
                if converters.is_empty() =>
            {
                LinePiece::Field(*field, *style)
            }
            other => LinePiece::Other(Template(vec![other.clone()])),
        }
    }
}

fn write_pieces(pieces: &[LinePiece], record: &Record<'_>, facts: &dyn Facts, out: &mut Vec<u8>) {
    out.reserve(USUAL_LINE);
    let line = out.len();
    let mut wrote = true;
    for piece in pieces {
        let start = out.len();
        match piece {
            LinePiece::Byte(byte) if wrote || !is_glued(*byte, line, out) => out.push(*byte),
            LinePiece::Text(text) if wrote || !is_glued(text.first().copied().unwrap_or(0), line, out) => {
                out.extend_from_slice(text);
            }
            LinePiece::Text(text) => out.extend_from_slice(&text[1..]),
            LinePiece::Byte(_) => {}
            LinePiece::Field(field, style) => {
                write_field(record, *field, *style, out);
                wrote = out.len() > start;
                continue;
            }
            LinePiece::Other(template) => {
                template.write(facts, out);
                wrote = out.len() > start;
                continue;
            }
        }
        wrote = true;
    }
}

/// After a value that was nothing: a space is left out where one is already, or at the start of the line.
#[cold]
fn is_glued(first: u8, line: usize, out: &[u8]) -> bool {
    first == b' ' && (out.len() == line || out.last() == Some(&b' '))
}

#[inline]
fn write_field(record: &Record<'_>, field: RecordField, style: Style, out: &mut Vec<u8>) {
    match field {
        RecordField::RequestHeaderList => {
            return write_list(record.request_headers, Escape::of(style), style.quoted, out);
        }
        RecordField::ResponseHeaderList => {
            return write_list(record.response_headers, Escape::of(style), style.quoted, out);
        }
        _ => {}
    }
    let part = record.part(field);
    let quoted = style.quoted && part.takes_quotes(field);
    if quoted {
        out.push(b'"');
    }
    let start = out.len();
    match part {
        Part::Missing => {}
        Part::Int(n) if style.hex => drop(write!(out, "{n:X}")),
        Part::Int(n @ 0..10) => out.push(b'0' + n as u8),
        Part::Int(n) => write_int(n, out),
        Part::Address(IpAddr::V4(a)) if style.hex => drop(write!(out, "{:08X}", u32::from(a))),
        Part::Address(address) => write_address(address, out),
        Part::Text(text, set) => Escape::of(style).write(text, set, out),
        Part::Composed => record.compose(field, Escape::of(style), out),
    }
    let frame = matches!(field, RecordField::RequestHeaders | RecordField::ResponseHeaders);
    if out.len() == start && style.dash && !quoted && !frame {
        out.push(b'-');
    }
    if quoted {
        out.push(b'"');
    }
}

/// What a field is.
enum Part<'r> {
    Missing,
    Int(i64),
    Address(IpAddr),
    Text(&'r [u8], Set),
    Composed,
}

impl<'r> Part<'r> {
    /// Whether `+Q` puts it in quotes: texts and addresses, but no numbers, dates, letters of the end.
    fn takes_quotes(&self, field: RecordField) -> bool {
        use RecordField as F;
        match self {
            Part::Text(..) => !matches!(field, F::Termination | F::TerminationWithCookie),
            Part::Address(_) => true,
            Part::Missing => !matches!(field, F::RequestHeaders | F::ResponseHeaders),
            Part::Composed => {
                matches!(field, F::RequestLine | F::SiteNameMarked | F::RequestHeaders | F::ResponseHeaders)
            }
            Part::Int(_) => false,
        }
    }

    fn address(address: Option<SocketAddr>) -> Part<'r> {
        address.map_or(Part::Missing, |a| Part::Address(a.ip()))
    }

    fn port(address: Option<SocketAddr>) -> Part<'r> {
        address.map_or(Part::Missing, |a| Part::Int(i64::from(a.port())))
    }

    fn time(ms: Option<u32>) -> Part<'r> {
        Part::Int(time_value(ms))
    }

    fn count(n: u64) -> Part<'r> {
        Part::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    fn name(text: &'r str) -> Part<'r> {
        Part::text(text.as_bytes(), Set::Name)
    }

    fn text(text: &'r [u8], set: Set) -> Part<'r> {
        if text.is_empty() { Part::Missing } else { Part::Text(text, set) }
    }

    fn cookie(text: Option<&'r [u8]>) -> Part<'r> {
        text.map_or(Part::Missing, |text| Part::Text(text, Set::Header))
    }
}

fn time_value(ms: Option<u32>) -> i64 {
    ms.map_or(-1, i64::from)
}

/// What must be escaped in a printable text, besides control and non-ASCII bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Names of our own configuration: nothing more.
    Name,
    /// Parts of the request line: what ends a quoted text or begins an escape.
    Uri,
    /// Captures: also what frames them.
    Header,
}

/// How texts from outside are written.
#[derive(Clone, Copy)]
enum Escape {
    None,
    Printable,
    Backslash,
}

impl Escape {
    fn of(style: Style) -> Escape {
        match style {
            Style { escaped: true, .. } => Escape::Backslash,
            Style { printable: true, .. } => Escape::Printable,
            _ => Escape::None,
        }
    }

    #[inline]
    fn write(self, text: &[u8], set: Set, out: &mut Vec<u8>) {
        let class = match self {
            Escape::None => return out.extend_from_slice(text),
            Escape::Backslash => BACKSLASH | CONTROL,
            Escape::Printable => match set {
                Set::Name => CONTROL,
                Set::Uri => CONTROL | QUOTE,
                Set::Header => CONTROL | QUOTE | FRAME,
            },
        };
        if text.iter().all(|b| CLASSES[usize::from(*b)] & class == 0) {
            return out.extend_from_slice(text);
        }
        for byte in text {
            match CLASSES[usize::from(*byte)] & class {
                0 => out.push(*byte),
                BACKSLASH => out.extend_from_slice(&[b'\\', *byte]),
                _ if class & BACKSLASH != 0 && *byte == b'"' => out.extend_from_slice(b"\\\""),
                _ => hash_hex(*byte, out),
            }
        }
    }
}

const CONTROL: u8 = 1;
const QUOTE: u8 = 2;
const FRAME: u8 = 4;
const BACKSLASH: u8 = 8;

/// Classes of bytes that need an escape.
const CLASSES: [u8; 256] = {
    let mut classes = [0u8; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte < 0x20 || byte >= 0x7f {
            classes[byte] |= CONTROL;
        }
        byte += 1;
    }
    classes[b'"' as usize] |= QUOTE | BACKSLASH;
    classes[b'#' as usize] |= QUOTE;
    classes[b'{' as usize] |= FRAME;
    classes[b'|' as usize] |= FRAME;
    classes[b'}' as usize] |= FRAME;
    classes[b'\\' as usize] |= BACKSLASH;
    classes[b']' as usize] |= BACKSLASH;
    classes
};

/// `#XX`.
pub(crate) fn hash_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'#', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn write_captures(captures: &[Vec<u8>], escape: Escape, out: &mut Vec<u8>) {
    let mut before = b'{';
    for capture in captures {
        out.push(before);
        escape.write(capture, Set::Header, out);
        before = b'|';
    }
    out.push(b'}');
}

fn write_list(captures: &[Vec<u8>], escape: Escape, quoted: bool, out: &mut Vec<u8>) {
    for (index, capture) in captures.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        match (quoted, capture.is_empty()) {
            (true, _) => {
                out.push(b'"');
                escape.write(capture, Set::Header, out);
                out.push(b'"');
            }
            (false, true) => out.push(b'-'),
            (false, false) => escape.write(capture, Set::Header, out),
        }
    }
}

fn plus(n: i64, out: &mut Vec<u8>) {
    out.push(b'+');
    write_int(n, out);
}

/// Path of a target without its query: of an absolute form, what follows the authority.
fn path_of(target: &[u8]) -> &[u8] {
    match target.windows(3).position(|w| w == b"://") {
        Some(scheme) if target[0] != b'/' => {
            let authority = &target[scheme + 3..];
            let slash = authority.iter().position(|b| *b == b'/').unwrap_or(authority.len());
            &authority[slash..]
        }
        _ => target,
    }
}

fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(v4) = address else {
        return drop(write!(out, "{address}"));
    };
    for (index, octet) in v4.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        write_int(i64::from(octet), out);
    }
}

fn write_zone_date(clock: &LogClock, unix_us: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&clock.date(unix_us));
    out.push(b' ');
    write_offset(clock.offset_s(), false, out);
}

fn write_utc_date(unix_us: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&Calendar::of(unix_us.div_euclid(1_000_000)).log_date());
    out.extend_from_slice(b" +0000");
}

fn write_iso(unix_us: i64, offset_s: i32, out: &mut Vec<u8>) {
    let local = Calendar::of(unix_us.div_euclid(1_000_000) + i64::from(offset_s));
    out.extend_from_slice(&local.iso_date());
    out.push(b'.');
    out.extend_from_slice(&milliseconds(unix_us));
    write_offset(offset_s, true, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Zone;
    use std::sync::Arc;

    /// Answers record fields as `web` does.
    struct RecordFacts<'r>(&'r Record<'r>);

    impl Facts for RecordFacts<'_> {
        fn each(&self, fetch: &Fetch, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
            match fetch {
                Fetch::Record(field) => self.0.field(*field, each),
                Fetch::Path => drop(each(Value::text(b"/from/facts"))),
                _ => {}
            }
        }
    }

    const DASH: Style = Style {
        quoted: false,
        escaped: false,
        hex: false,
        dash: true,
        printable: true,
        backslash: false,
        json: false,
    };

    fn text(text: &str) -> Piece {
        Piece::Text(text.as_bytes().into())
    }

    fn field(field: RecordField) -> Piece {
        Piece::Value(Expr::of(Fetch::Record(field)), DASH)
    }

    /// `option httplog`.
    fn httplog() -> Template {
        use RecordField as F;
        let quoted = Piece::Value(Expr::of(Fetch::Record(F::RequestLine)), Style { quoted: true, ..DASH });
        let mut pieces = Vec::new();
        for (value, after) in [
            (F::ClientAddress, ":"),
            (F::ClientPort, " ["),
            (F::RequestDate, "] "),
            (F::SiteNameMarked, " "),
            (F::PoolName, "/"),
            (F::ServerName, " "),
            (F::RequestTime, "/"),
            (F::QueueTime, "/"),
            (F::ConnectTime, "/"),
            (F::ResponseTime, "/"),
            (F::ActiveTime, " "),
            (F::Status, " "),
            (F::BytesOut, " "),
            (F::RequestCookie, " "),
            (F::ResponseCookie, " "),
            (F::TerminationWithCookie, " "),
            (F::ProcessConnections, "/"),
            (F::SiteConnections, "/"),
            (F::PoolConnections, "/"),
            (F::ServerConnections, "/"),
            (F::Retries, " "),
            (F::ServerQueue, "/"),
            (F::PoolQueue, " "),
            (F::RequestHeaders, " "),
            (F::ResponseHeaders, " "),
        ] {
            pieces.extend([field(value), text(after)]);
        }
        pieces.push(quoted);
        Template(pieces)
    }

    fn usual<'a>(clock: &'a LogClock, process: &'a LogProcess) -> Record<'a> {
        let mut record = Record::new(clock, process);
        record.client = Some("10.1.2.3:33317".parse().unwrap());
        record.site_address = Some("10.0.0.1:80".parse().unwrap());
        record.accepted_us = 1_795_165_884_123_456;
        record.requested_us = 1_795_165_884_123_456;
        record.site = "www";
        record.http = true;
        record.pool = "app";
        record.server = Some("s1");
        record.timers = Timers {
            handshake: Some(0),
            idle: Some(3),
            request: Some(1),
            queue: Some(0),
            connect: Some(0),
            response: Some(69),
            data: Some(2),
            active: Some(109),
            total: Some(112),
        };
        record.status = Some(200);
        record.bytes_out = 2750;
        record.request =
            RequestLine::Good { method: b"GET", target: b"/index.html?a=1", version: b"HTTP/1.1" };
        record
    }

    fn line_of(template: &Template, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        Line::of_template(template).write(record, &RecordFacts(record), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn setting() -> (LogClock, LogProcess) {
        let process = LogProcess { pid: 42, hostname: "node1".into() };
        (LogClock::new(Arc::new(Zone::fixed(3600))), process)
    }

    #[test]
    fn httplog_lines_look_as_parsers_expect() {
        let (clock, process) = setting();
        let usual = usual(&clock, &process);
        let headers = [b"a{\"#|b\x01".to_vec(), Vec::new()];
        for (record, expected) in [
            (
                usual.clone(),
                "10.1.2.3:33317 [20/Nov/2026:10:11:24.123] www app/s1 1/0/0/69/109 200 2750 - - ---- 0/0/0/0/0 0/0 \
                 \"GET /index.html?a=1 HTTP/1.1\"",
            ),
            (
                Record {
                    encrypted: true,
                    server: None,
                    status: None,
                    timers: Timers::default(),
                    termination: *b"CR--",
                    request: RequestLine::Bad,
                    request_headers: &headers,
                    ..usual.clone()
                },
                "10.1.2.3:33317 [20/Nov/2026:10:11:24.123] www~ app/<NOSRV> -1/-1/-1/-1/-1 -1 2750 - - CR-- 0/0/0/0/0 \
                 0/0 {a#7B#22#23#7Cb#01|} \"<BADREQ>\"",
            ),
            (
                Record {
                    early: true,
                    redispatched: true,
                    retries: 2,
                    request_cookie: Some(b"SRV=s1"),
                    response_headers: &headers[1..],
                    request: RequestLine::Good { method: b"GET", target: b"/{|}\"#", version: b"" },
                    ..usual.clone()
                },
                "10.1.2.3:33317 [20/Nov/2026:10:11:24.123] www app/s1 1/0/0/69/+109 200 +2750 SRV=s1 - ---- \
                 0/0/0/0/+2 0/0 {} \"GET /{|}#22#23\"",
            ),
        ] {
            assert_eq!(line_of(&httplog(), &record), expected);
        }
    }

    #[test]
    fn the_fast_path_and_the_template_agree() {
        let (clock, process) = setting();
        let headers = [b"h".to_vec()];
        let record =
            Record { request_headers: &headers, response_headers: &headers, ..usual(&clock, &process) };
        let plain = Style { printable: false, ..DASH };
        for (_, name) in JSON_FIELDS.iter().chain(&[
            ("", RecordField::RequestLine),
            ("", RecordField::AcceptDateZone),
            ("", RecordField::RequestDateUtc),
            ("", RecordField::FullRequestTime),
            ("", RecordField::RequestHeaders),
            ("", RecordField::Query),
            ("", RecordField::Path),
        ]) {
            for style in [DASH, plain, Style { hex: true, ..plain }, Style { quoted: true, ..plain }] {
                if style == DASH && *name == RecordField::RequestHeaders {
                    continue; // the template escapes the braces too, see `Part::Composed`
                }
                if style.quoted && !record.part(*name).takes_quotes(*name) {
                    continue; // the template quotes what any expression gives
                }
                let template = Template(vec![Piece::Value(Expr::of(Fetch::Record(*name)), style)]);
                let mut slow = Vec::new();
                write_line(&template, &RecordFacts(&record), &mut slow);
                assert_eq!(line_of(&template, &record).into_bytes(), slow, "{name:?} {style:?}");
            }
        }
        let mixed = Template(vec![text("p="), Piece::Value(Expr::of(Fetch::Path), DASH)]);
        assert_eq!(line_of(&mixed, &record), "p=/from/facts");
    }

    #[test]
    fn short_and_absolute_forms() {
        let (clock, process) = setting();
        let mut record = usual(&clock, &process);
        let mut out = Vec::new();
        Line::of(&LogFormat::Short).write(&record, &RecordFacts(&record), &mut out);
        assert_eq!(out, b"Connect from 10.1.2.3:33317 to 10.0.0.1:80 (www/HTTP)");
        record.request = RequestLine::Good { method: b"GET", target: b"http://h/p?q", version: b"HTTP/2.0" };
        let path =
            Template(vec![field(RecordField::Path), field(RecordField::Query), field(RecordField::Target)]);
        assert_eq!(line_of(&path, &record), "/p?qhttp://h/p?q");
    }

    #[test]
    fn json_holds_everything() {
        let (clock, process) = setting();
        let headers = [b"\xffx\n".to_vec()];
        let record = Record {
            cause: Some(Cause::ConnectRefused),
            request_headers: &headers,
            early: true,
            timers: Timers { total: Some(7), ..Timers::default() },
            ..usual(&clock, &process)
        };
        let mut out = Vec::new();
        record.write_json(&mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for (name, expected) in [
            ("time", serde_json::json!("2026-11-20T10:11:24.123+01:00")),
            ("cause", serde_json::json!("connect_refused")),
            ("client", serde_json::json!("10.1.2.3")),
            ("client_port", serde_json::json!(33317)),
            ("connect_ms", serde_json::Value::Null),
            ("server_address", serde_json::Value::Null),
            ("request_headers", serde_json::json!(["\u{fffd}x\n"])),
            ("target", serde_json::json!("/index.html?a=1")),
            ("redispatched", serde_json::json!(false)),
        ] {
            assert_eq!(json[name], expected, "{name}");
        }
    }

    #[test]
    fn hostile_texts_cannot_forge_lines() {
        let (clock, process) = setting();
        let mut random = fastrand::Rng::with_seed(7);
        let mut noise =
            |most: usize| -> Vec<u8> { (0..random.usize(..most)).map(|_| random.u8(..)).collect() };
        for _ in 0..2000 {
            let (target, version, cookie) = (noise(40), noise(9), noise(20));
            let headers = [noise(30), noise(5)];
            let record = Record {
                request: RequestLine::Good { method: b"GET", target: &target, version: &version },
                request_headers: &headers,
                response_headers: &headers,
                request_cookie: Some(&cookie),
                unique_id: &cookie,
                ..usual(&clock, &process)
            };
            let line = line_of(&httplog(), &record);
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
            assert_eq!(line.matches('"').count(), 2, "{line:?}");
            let mut json = Vec::new();
            record.write_json(&mut json);
            assert!(!json.contains(&b'\n') && serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        }
    }

    /// Prints what a line costs: `cargo test --release -p telemetry speed -- --nocapture`.
    #[test]
    fn speed_of_a_usual_line() {
        let (clock, process) = setting();
        let record = usual(&clock, &process);
        let line = Line::of_template(&httplog());
        let mut out = Vec::with_capacity(1 << 16);
        let best = (0..50).map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..100 {
                line.write(std::hint::black_box(&record), &RecordFacts(&record), &mut out);
            }
            out.clear();
            start.elapsed().as_nanos() / 100
        });
        let ns = best.min().unwrap_or(0);
        #[allow(clippy::print_stdout)]
        {
            println!("{ns} ns per line");
        }
    }
}
