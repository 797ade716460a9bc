//! Facts about a request in a site with virtual hosts. nginx's variables compile to these and to the other fetches.

use crate::host::VariableId;

/// A fact about a request in a site with virtual hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisitFact {
    /// The path now, decoded and normalised (`$uri`).
    Path,
    /// The query now (`$args`).
    Arguments,
    /// `?` when there is a query.
    QuestionMark,
    /// Path and query as the client sent them (`$request_uri`).
    RequestTarget,
    /// Host of the request, lower case, without port; else the host's first name (`$host`).
    Host,
    /// First name of the virtual host (`$server_name`).
    ServerName,
    /// File that the path stands for (`$request_filename`).
    FileName,
    /// Root or alias (`$document_root`).
    Root,
    /// The same without symbolic links (`$realpath_root`).
    RealRoot,
    /// The request line as received.
    RequestLine,
    /// Bytes of the request: line, fields, body.
    RequestLength,
    /// Seconds since the first byte, with milliseconds.
    RequestTime,
    /// 32 random hexadecimal digits, the same for the whole request.
    RequestId,
    /// The body, when it is in memory.
    Body,
    /// Name of the file that holds the body.
    BodyFile,
    /// `OK` once the answer was sent whole.
    Completion,
    /// Name of the user who authenticated, or claims to (`$remote_user`).
    User,
    /// `http` or `https`.
    Scheme,
    /// `on` on encrypted connections.
    Https,
    /// Address of the client, `unix:` for unix sockets.
    ClientAddress,
    /// The same in binary.
    ClientAddressBinary,
    /// Port of the client.
    ClientPort,
    /// Address of the client before it was replaced by the one that a proxy told.
    PeerAddress,
    /// Its port.
    PeerPort,
    /// What the PROXY header told: client's address.
    ToldClientAddress,
    /// Client's port.
    ToldClientPort,
    /// Server's address.
    ToldServerAddress,
    /// Server's port.
    ToldServerPort,
    /// Number of the connection.
    Connection,
    /// Requests on it so far.
    ConnectionRequests,
    /// Its age, seconds with milliseconds.
    ConnectionTime,
    /// `p` when the request was pipelined, else `.`.
    Pipelined,
    /// Unix time, seconds with milliseconds.
    UnixTime,
    /// `20/Nov/2026:09:11:24 +0000`, local.
    TimeLocal,
    /// `2026-11-20T09:11:24+00:00`, local.
    TimeIso,
    /// Status of the answer, three digits.
    Status,
    /// Bytes sent to the client.
    BytesSent,
    /// The same without the head.
    BodyBytesSent,
    /// Bytes received from the client (streams).
    BytesReceived,
    /// Seconds of the session (streams).
    SessionTime,
    /// `TCP` or `UDP` (streams).
    Protocol,
    /// Version of the server that the configuration was written for (`$nginx_version`).
    Version,
    /// All values of a request field, joined; name in lower case.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// An argument of the query, name without regard to case.
    Argument(Box<str>),
    /// All values of a field of the answer that is sent, joined.
    SentHeader(Box<str>),
    /// A trailer of the answer that is sent.
    SentTrailer(Box<str>),
    /// A group of the expression that matched last.
    Group(usize),
    /// A variable that steps or named groups set.
    Variable(VariableId),
    /// Rate limit of the answer, bytes in a second.
    Rate,
    /// Name and port of the server in the URL it is reached by (`$proxy_host`).
    ProxyHost,
    /// Port of that URL.
    ProxyPort,
    /// `X-Forwarded-For` of the request with the client's address behind it.
    ForwardedFor,
    /// Something of the tries at servers, one value for each.
    Upstream(UpstreamFact),
    /// A field of the server's answer, all values joined.
    UpstreamHeader(Box<str>),
    /// A cookie that the server set.
    UpstreamCookie(Box<str>),
    /// A trailer of the server's answer.
    UpstreamTrailer(Box<str>),
    /// What a limit of requests decided.
    RequestLimit,
    /// What a limit of connections decided.
    ConnectionLimit,
    /// Connections of clients.
    ConnectionsActive,
    /// Of these, heads being read.
    ConnectionsReading,
    /// Requests in progress.
    ConnectionsWriting,
    /// Kept without a request.
    ConnectionsWaiting,
}

/// Something of the tries at servers. Values of several tries are separated by commas, of several groups of servers by
/// colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFact {
    /// Address.
    Address,
    /// Status.
    Status,
    /// Seconds to connect.
    ConnectTime,
    /// Seconds to the head.
    HeaderTime,
    /// Seconds to the first byte (streams).
    FirstByteTime,
    /// Seconds to the end.
    ResponseTime,
    /// Seconds of the session (streams).
    SessionTime,
    /// Bytes of the body.
    ResponseLength,
    /// Bytes received.
    BytesReceived,
    /// Bytes sent.
    BytesSent,
    /// What the cache had.
    CacheStatus,
    /// When what the cache had was changed last.
    CacheLastModified,
}
