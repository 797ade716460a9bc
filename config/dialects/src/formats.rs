//! The two standard access log lines, as values: one for HTTP, one for TCP.
//!
//! The native dialect calls them `http` and `tcp`; the haproxy dialect reads the same lines for
//! `option httplog` and `option tcplog`.

use plan::rule::{Expr, Fetch, Piece, RecordField as F, Style, Template};

/// Fixed text before a field, and the field. A `"` at the end of the text puts the field in quotes.
type Line = &'static [(&'static str, F)];

const HTTP: Line = &[
    ("", F::ClientAddress),
    (":", F::ClientPort),
    (" [", F::RequestDate),
    ("] ", F::SiteNameMarked),
    (" ", F::PoolName),
    ("/", F::ServerName),
    (" ", F::RequestTime),
    ("/", F::QueueTime),
    ("/", F::ConnectTime),
    ("/", F::ResponseTime),
    ("/", F::ActiveTime),
    (" ", F::Status),
    (" ", F::BytesOut),
    (" ", F::RequestCookie),
    (" ", F::ResponseCookie),
    (" ", F::TerminationWithCookie),
    (" ", F::ProcessConnections),
    ("/", F::SiteConnections),
    ("/", F::PoolConnections),
    ("/", F::ServerConnections),
    ("/", F::Retries),
    (" ", F::ServerQueue),
    ("/", F::PoolQueue),
    (" ", F::RequestHeaders),
    (" ", F::ResponseHeaders),
    (" \"", F::RequestLine),
];

const TCP: Line = &[
    ("", F::ClientAddress),
    (":", F::ClientPort),
    (" [", F::AcceptDate),
    ("] ", F::SiteNameMarked),
    (" ", F::PoolName),
    ("/", F::ServerName),
    (" ", F::QueueTime),
    ("/", F::ConnectTime),
    ("/", F::TotalTime),
    (" ", F::BytesOut),
    (" ", F::Termination),
    (" ", F::ProcessConnections),
    ("/", F::SiteConnections),
    ("/", F::PoolConnections),
    ("/", F::ServerConnections),
    ("/", F::Retries),
    (" ", F::ServerQueue),
    ("/", F::PoolQueue),
];

/// How values stand in a log line: a missing one is `-`, nothing in one can forge a line.
pub(crate) const LOG_STYLE: Style = Style {
    quoted: false,
    escaped: false,
    hex: false,
    dash: true,
    printable: true,
    backslash: false,
    json: false,
};

/// The line of HTTP sites.
pub(crate) fn http_log() -> Template {
    template(HTTP)
}

/// The line of TCP sites.
pub(crate) fn tcp_log() -> Template {
    template(TCP)
}

fn template(line: Line) -> Template {
    let mut pieces = Vec::new();
    for (text, field) in line {
        let fixed = text.trim_end_matches('"');
        if !fixed.is_empty() {
            pieces.push(Piece::Text(fixed.as_bytes().into()));
        }
        let style = Style { quoted: text.ends_with('"'), ..LOG_STYLE };
        pieces.push(Piece::Value(Expr::of(Fetch::Record(*field)), style));
    }
    Template(pieces)
}
