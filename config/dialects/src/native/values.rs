//! Names of values: one table of fetches, one of log fields, one of converters, each read both ways.

use plan::rule::{Fetch, HeaderFetch, Occurrence, RecordField as F, Scope};

/// Values without an argument.
pub(super) const PLAIN: &[(&str, Fetch)] = &[
    ("client.address", Fetch::ClientAddress),
    ("client.port", Fetch::ClientPort),
    ("client.encrypted", Fetch::Encrypted),
    ("local.address", Fetch::LocalAddress),
    ("local.port", Fetch::LocalPort),
    ("method", Fetch::Method),
    ("version", Fetch::Version),
    ("target", Fetch::Target),
    ("path", Fetch::Path),
    ("path_and_query", Fetch::PathAndQuery),
    ("query", Fetch::Query),
    ("host_and_path", Fetch::Base),
    ("body_length", Fetch::BodyLength),
    ("response.status", Fetch::Status),
    ("site.name", Fetch::SiteName),
    ("pool.name", Fetch::PoolName),
    ("server.name", Fetch::ServerName),
    ("received_bytes", Fetch::ReceivedBytes),
    ("inspection_over", Fetch::InspectionOver),
    ("first_request", Fetch::FirstRequest),
];

/// Values named by a word after a dot, or in parentheses: `cookie.sid`, `cookie("s id")`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A header: what of it, and whose.
    Header(HeaderPart, Side),
    Cookie(Side),
    QueryParameter,
    Variable(Scope),
    /// The name may be left out.
    UsableServers,
    /// The name may be left out.
    SiteConnections,
}

/// What of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderPart {
    Value,
    Line,
    ValueCount,
    LineCount,
}

/// Whose header or cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// Values named by a word.
pub(super) const NAMED: &[(&str, NameKind)] = &[
    ("header", NameKind::Header(HeaderPart::Value, Side::Request)),
    ("header_line", NameKind::Header(HeaderPart::Line, Side::Request)),
    ("header_count", NameKind::Header(HeaderPart::ValueCount, Side::Request)),
    ("header_line_count", NameKind::Header(HeaderPart::LineCount, Side::Request)),
    ("cookie", NameKind::Cookie(Side::Request)),
    ("query", NameKind::QueryParameter),
    ("response.header", NameKind::Header(HeaderPart::Value, Side::Response)),
    ("response.header_line", NameKind::Header(HeaderPart::Line, Side::Response)),
    ("response.header_count", NameKind::Header(HeaderPart::ValueCount, Side::Response)),
    ("response.header_line_count", NameKind::Header(HeaderPart::LineCount, Side::Response)),
    ("response.cookie", NameKind::Cookie(Side::Response)),
    ("var.proc", NameKind::Variable(Scope::Process)),
    ("var.sess", NameKind::Variable(Scope::Session)),
    ("var.txn", NameKind::Variable(Scope::Transaction)),
    ("var.req", NameKind::Variable(Scope::Request)),
    ("var.res", NameKind::Variable(Scope::Response)),
    ("var.check", NameKind::Variable(Scope::Check)),
    ("pool.usable_servers", NameKind::UsableServers),
    ("site.connections", NameKind::SiteConnections),
];

/// Values with arguments of their own.
pub(super) const WITH_ARGUMENTS: &[&str] = &[
    "address",
    "holds",
    "capture.request",
    "capture.response",
    "authenticated",
    "random",
    "date",
    "map",
    "true",
    "false",
];

/// Scopes of variables.
pub(super) const SCOPES: &[(&str, Scope)] = &[
    ("proc", Scope::Process),
    ("sess", Scope::Session),
    ("txn", Scope::Transaction),
    ("req", Scope::Request),
    ("res", Scope::Response),
    ("check", Scope::Check),
];

/// Fields of the finished request: `log.` and the name.
pub(super) const RECORD: &[(&str, F)] = &[
    ("client_address", F::ClientAddress),
    ("client_port", F::ClientPort),
    ("site_address", F::SiteAddress),
    ("site_port", F::SitePort),
    ("server_address", F::ServerAddress),
    ("server_port", F::ServerPort),
    ("pool_address", F::PoolAddress),
    ("pool_port", F::PoolPort),
    ("accept_date", F::AcceptDate),
    ("request_date", F::RequestDate),
    ("request_date_zone", F::RequestDateZone),
    ("request_date_utc", F::RequestDateUtc),
    ("accept_date_zone", F::AcceptDateZone),
    ("accept_date_utc", F::AcceptDateUtc),
    ("accept_seconds", F::AcceptSeconds),
    ("accept_milliseconds", F::AcceptMilliseconds),
    ("site_marked", F::SiteNameMarked),
    ("site", F::SiteName),
    ("pool", F::PoolName),
    ("server", F::ServerName),
    ("handshake_time", F::HandshakeTime),
    ("idle_time", F::IdleTime),
    ("request_time", F::RequestTime),
    ("full_request_time", F::FullRequestTime),
    ("queue_time", F::QueueTime),
    ("connect_time", F::ConnectTime),
    ("response_time", F::ResponseTime),
    ("data_time", F::DataTime),
    ("active_time", F::ActiveTime),
    ("total_time", F::TotalTime),
    ("user_time", F::UserTime),
    ("status", F::Status),
    ("bytes_out", F::BytesOut),
    ("bytes_in", F::BytesIn),
    ("termination_with_cookie", F::TerminationWithCookie),
    ("termination", F::Termination),
    ("cause", F::Cause),
    ("process_connections", F::ProcessConnections),
    ("site_connections", F::SiteConnections),
    ("pool_connections", F::PoolConnections),
    ("server_connections", F::ServerConnections),
    ("retries", F::Retries),
    ("server_queue", F::ServerQueue),
    ("pool_queue", F::PoolQueue),
    ("request_headers", F::RequestHeaders),
    ("response_headers", F::ResponseHeaders),
    ("request_header_list", F::RequestHeaderList),
    ("response_header_list", F::ResponseHeaderList),
    ("request_cookie", F::RequestCookie),
    ("response_cookie", F::ResponseCookie),
    ("request_line", F::RequestLine),
    ("method", F::Method),
    ("target", F::Target),
    ("path", F::Path),
    ("target_path", F::TargetPath),
    ("query", F::Query),
    ("version", F::Version),
    ("process_id", F::ProcessId),
    ("hostname", F::Hostname),
    ("request_counter", F::RequestCounter),
    ("unique_id", F::UniqueId),
];

/// The name of a plain value or a log field.
pub(super) fn plain_name(fetch: &Fetch) -> Option<String> {
    if let Fetch::Record(field) = fetch {
        return RECORD.iter().find(|(_, f)| f == field).map(|(name, _)| format!("log.{name}"));
    }
    let same = |known: &Fetch| std::mem::discriminant(known) == std::mem::discriminant(fetch);
    PLAIN.iter().find(|(_, known)| same(known)).map(|(name, _)| (*name).to_owned())
}

/// The plain value or log field of that name.
pub(super) fn plain(name: &str) -> Option<Fetch> {
    if let Some(field) = name.strip_prefix("log.") {
        return RECORD.iter().find(|(known, _)| *known == field).map(|(_, field)| Fetch::Record(*field));
    }
    PLAIN.iter().find(|(known, _)| *known == name).map(|(_, fetch)| fetch.clone())
}

/// The value of a kind and a name.
pub(super) fn make(kind: NameKind, name: Option<&str>, occurrence: Occurrence) -> Option<Fetch> {
    let optional = || name.map(Box::from);
    let needed = || name.map(Box::<str>::from);
    Some(match kind {
        NameKind::UsableServers => Fetch::UsableServers(optional()),
        NameKind::SiteConnections => Fetch::SiteConnections(optional()),
        NameKind::Cookie(Side::Request) => Fetch::Cookie(needed()?),
        NameKind::Cookie(Side::Response) => Fetch::ResponseCookie(needed()?),
        NameKind::QueryParameter => Fetch::QueryParameter(needed()?),
        NameKind::Variable(scope) => Fetch::Variable(scope, needed()?),
        NameKind::Header(part, side) => {
            let whole_line = matches!(part, HeaderPart::Line | HeaderPart::LineCount);
            let header = HeaderFetch { name: needed()?, occurrence, whole_line };
            match (part, side) {
                (HeaderPart::Value | HeaderPart::Line, Side::Request) => Fetch::Header(header),
                (HeaderPart::Value | HeaderPart::Line, Side::Response) => Fetch::ResponseHeader(header),
                (_, Side::Request) => Fetch::HeaderCount(header),
                (_, Side::Response) => Fetch::ResponseHeaderCount(header),
            }
        }
    })
}

/// The kind and name of a value that has them.
pub(super) fn taken_apart(fetch: &Fetch) -> Option<(NameKind, Option<&str>, Occurrence)> {
    let header = |header: &HeaderFetch, count: bool, side| {
        let part = match (count, header.whole_line) {
            (false, false) => HeaderPart::Value,
            (false, true) => HeaderPart::Line,
            (true, false) => HeaderPart::ValueCount,
            (true, true) => HeaderPart::LineCount,
        };
        (NameKind::Header(part, side), header.occurrence)
    };
    let (kind, name, occurrence) = match fetch {
        Fetch::Header(h) => with_name(header(h, false, Side::Request), &h.name),
        Fetch::HeaderCount(h) => with_name(header(h, true, Side::Request), &h.name),
        Fetch::ResponseHeader(h) => with_name(header(h, false, Side::Response), &h.name),
        Fetch::ResponseHeaderCount(h) => with_name(header(h, true, Side::Response), &h.name),
        Fetch::Cookie(name) => (NameKind::Cookie(Side::Request), Some(&**name), Occurrence::Any),
        Fetch::ResponseCookie(name) => (NameKind::Cookie(Side::Response), Some(&**name), Occurrence::Any),
        Fetch::QueryParameter(name) => (NameKind::QueryParameter, Some(&**name), Occurrence::Any),
        Fetch::Variable(scope, name) => (NameKind::Variable(*scope), Some(&**name), Occurrence::Any),
        Fetch::UsableServers(name) => (NameKind::UsableServers, name.as_deref(), Occurrence::Any),
        Fetch::SiteConnections(name) => (NameKind::SiteConnections, name.as_deref(), Occurrence::Any),
        _ => return None,
    };
    Some((kind, name, occurrence))
}

fn with_name((kind, occurrence): (NameKind, Occurrence), name: &str) -> (NameKind, Option<&str>, Occurrence) {
    (kind, Some(name), occurrence)
}
