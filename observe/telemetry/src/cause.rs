//! The one precise cause of a failure. It chooses status, log letters, metric label and advice.

/// Why a request or connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// The client's request is not valid.
    BadRequest,
    /// The client's request is over a limit.
    RequestTooBig,
    /// The client sent nothing, or not a whole request, in time.
    RequestTimeout,
    /// The client went away before its request was complete.
    ClientAbortRequest,
    /// The client went away while it waited in a queue.
    ClientAbortQueue,
    /// The client went away while we connected.
    ClientAbortConnect,
    /// The client went away while the server worked.
    ClientAbortWait,
    /// The client went away, or stalled, during the transfer.
    ClientAbortData,
    /// The client stalled during the transfer.
    ClientTimeoutData,
    /// A rule denied it.
    Denied,
    /// No pool serves this request.
    NoPool,
    /// Every server is down.
    AllDown,
    /// The pool has no servers.
    Empty,
    /// Every server is drained or in maintenance.
    Drained,
    /// The wait in the queue was too long.
    QueueTimeout,
    /// The queue is full.
    QueueFull,
    /// Nothing listens at the server's address.
    ConnectRefused,
    /// The connection was not made in time.
    ConnectTimeout,
    /// No route to the server.
    NoRoute,
    /// The connection failed in another way.
    ConnectFailed,
    /// No local port or descriptor left for a connection.
    NoLocalResource,
    /// The server closed or reset before any byte of an answer.
    ResetBeforeHead,
    /// The same on a connection that was used before: the server closed it while we wrote.
    KeepAliveRace,
    /// The server closed inside the head of its answer.
    ClosedInHead,
    /// The head of the answer is not valid.
    InvalidHead,
    /// The answer is of another protocol.
    WrongProtocol,
    /// The head of the answer is over the limit.
    HeadTooBig,
    /// The server switched protocols without being asked.
    Unexpected101,
    /// The answer has a status on which the plan wants another try.
    UnwantedStatus,
    /// No answer in time.
    FirstByteTimeout,
    /// The body of the answer is cut.
    TruncatedBody,
    /// The body of the answer has a bad chunk.
    BadChunk,
    /// The server stalled inside the body.
    BodyTimeout,
    /// The server went down while it worked.
    ServerWentDown,
    /// A response rule denied it.
    ResponseDenied,
    /// Our own fault.
    Internal,
}

/// One row of the table of causes.
struct Row {
    cause: Cause,
    label: &'static str,
    letters: &'static str,
    status: u16,
    advice: &'static str,
}

const fn row(
    cause: Cause,
    label: &'static str,
    letters: &'static str,
    status: u16,
    advice: &'static str,
) -> Row {
    Row { cause, label, letters, status, advice }
}

/// Label, log letters (who ended it, when), status, advice. Order as in the enum.
const TABLE: [Row; 36] = [
    row(Cause::BadRequest, "bad_request", "PR", 400, "the client sends an invalid request"),
    row(
        Cause::RequestTooBig,
        "request_too_big",
        "PR",
        431,
        "raise the head limit, or find the client that sends such heads",
    ),
    row(
        Cause::RequestTimeout,
        "request_timeout",
        "cR",
        408,
        "the client is slow or only opened a connection",
    ),
    row(Cause::ClientAbortRequest, "client_abort_request", "CR", 400, "the client went away"),
    row(
        Cause::ClientAbortQueue,
        "client_abort_queue",
        "CQ",
        0,
        "clients give up in the queue: raise maxconn or add servers",
    ),
    row(Cause::ClientAbortConnect, "client_abort_connect", "CC", 0, "the client went away"),
    row(
        Cause::ClientAbortWait,
        "client_abort_wait",
        "CH",
        400,
        "clients give up waiting: the application is slow",
    ),
    row(Cause::ClientAbortData, "client_abort_data", "CD", 0, "the client went away during the transfer"),
    row(Cause::ClientTimeoutData, "client_timeout_data", "cD", 0, "the client stopped reading or sending"),
    row(Cause::Denied, "denied", "PR", 403, "a rule denied it"),
    row(Cause::NoPool, "no_pool", "SC", 503, "no route matches and there is no default pool"),
    row(
        Cause::AllDown,
        "all_down",
        "SC",
        503,
        "every server fails its checks: look at the last check of each",
    ),
    row(Cause::Empty, "no_servers", "SC", 503, "the pool has no servers"),
    row(Cause::Drained, "all_drained", "SC", 503, "every server is drained or in maintenance"),
    row(Cause::QueueTimeout, "queue_timeout", "sQ", 503, "all slots are taken: raise maxconn or add servers"),
    row(Cause::QueueFull, "queue_full", "SQ", 503, "the queue is full: raise maxqueue or add servers"),
    row(
        Cause::ConnectRefused,
        "connect_refused",
        "SC",
        503,
        "nothing listens there: start the application or correct the port",
    ),
    row(
        Cause::ConnectTimeout,
        "connect_timeout",
        "sC",
        503,
        "the host is down, filtered, or its accept queue is full",
    ),
    row(Cause::NoRoute, "no_route", "SC", 503, "no route to the server: look at the network"),
    row(Cause::ConnectFailed, "connect_failed", "SC", 503, "look at the error text in the event log"),
    row(
        Cause::NoLocalResource,
        "no_local_resource",
        "RC",
        503,
        "raise the descriptor limit or the local port range",
    ),
    row(
        Cause::ResetBeforeHead,
        "reset_before_head",
        "SH",
        502,
        "the application closed without an answer: look for a crash or restart",
    ),
    row(
        Cause::KeepAliveRace,
        "keepalive_race",
        "SH",
        502,
        "the application's keep-alive time is shorter than ours",
    ),
    row(Cause::ClosedInHead, "closed_in_head", "SH", 502, "the application died while it answered"),
    row(Cause::InvalidHead, "invalid_head", "PH", 502, "the application's answer is not valid HTTP"),
    row(Cause::WrongProtocol, "wrong_protocol", "PH", 502, "another service listens on this port"),
    row(
        Cause::HeadTooBig,
        "head_too_big",
        "PH",
        502,
        "the answer's head is over the limit: too many cookies?",
    ),
    row(Cause::Unexpected101, "unexpected_101", "PH", 502, "the application switched protocols unasked"),
    row(
        Cause::UnwantedStatus,
        "unwanted_status",
        "SH",
        503,
        "every server tried answers with a status of 'retry-on'",
    ),
    row(Cause::FirstByteTimeout, "first_byte_timeout", "sH", 504, "the application is slow or hangs"),
    row(Cause::TruncatedBody, "truncated_body", "SD", 0, "the application died while it sent the body"),
    row(Cause::BadChunk, "bad_chunk", "SD", 502, "the application's chunked body is not valid"),
    row(Cause::BodyTimeout, "body_timeout", "sD", 0, "the application stalled inside the body"),
    row(Cause::ServerWentDown, "server_went_down", "DH", 503, "the server failed its checks while it worked"),
    row(Cause::ResponseDenied, "response_denied", "PH", 502, "a response rule denied it"),
    row(Cause::Internal, "internal", "IH", 500, "a fault of the balancer: please report it"),
];

impl Cause {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();

    /// All, in order.
    pub fn all() -> impl Iterator<Item = Cause> {
        TABLE.iter().map(|row| row.cause)
    }

    /// Metric label and log word.
    pub fn label(self) -> &'static str {
        self.row().label
    }

    /// HAProxy's first two termination letters.
    pub fn letters(self) -> &'static str {
        self.row().letters
    }

    /// Status of our answer; 0 when an answer had already begun or none is due.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// What an operator can do about it.
    pub fn advice(self) -> &'static str {
        self.row().advice
    }

    /// Index into tables by cause.
    pub fn index(self) -> usize {
        self as usize
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.cause as usize, index, "{:?}", row.cause);
            assert_eq!(row.letters.len(), 2);
        }
        assert_eq!(Cause::Internal as usize + 1, Cause::COUNT);
    }
}
