//! What is measured: one row per case. Read by the configuration writer, the runner and the report.

/// One situation in which all programs are compared.
pub struct Case {
    /// Name for `--case` and the report.
    pub name: &'static str,
    /// One line for the report.
    pub about: &'static str,
    /// What the clients do.
    pub load: Load,
    /// Threads (or worker processes) of the program under test.
    pub threads: usize,
    /// Whether the program writes an access log.
    pub log: bool,
    /// Number of ACLs that every request has to pass without matching one. With any, 20 rules more look at the request and
    /// change it.
    pub rules: usize,
}

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Requests on 64 kept connections.
    KeepAlive {
        /// Request target; chooses the size of the answer.
        target: &'static str,
    },
    /// A new client connection for each request, 64 at a time.
    Close,
    /// Plain TCP: 8 connections that read as fast as they can.
    Bulk,
    /// This many client connections, each after one request, doing nothing.
    Idle {
        /// How many connections.
        connections: usize,
    },
}

impl Load {
    /// The unit of work that the cost is divided by.
    pub fn cost_unit(self) -> &'static str {
        match self {
            Load::KeepAlive { .. } | Load::Close => "CPU µs/request",
            Load::Bulk => "CPU ms/GB",
            Load::Idle { .. } => "RSS bytes/connection",
        }
    }

    /// The unit of the rate column.
    pub fn rate_unit(self) -> &'static str {
        match self {
            Load::KeepAlive { .. } | Load::Close => "requests/s",
            Load::Bulk => "MB/s",
            Load::Idle { .. } => "RSS MB in all",
        }
    }
}

const KEEPALIVE: Case = Case {
    name: "keepalive",
    about: "64 kept connections, small GET, 3 servers, checks and statistics on, no log",
    load: Load::KeepAlive { target: "/small" },
    threads: 1,
    log: false,
    rules: 0,
};

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    KEEPALIVE,
    Case { name: "log", about: "as keepalive, with an access log line per request", log: true, ..KEEPALIVE },
    Case {
        name: "close",
        about: "a new client connection for each request, 64 at a time",
        load: Load::Close,
        ..KEEPALIVE
    },
    Case {
        name: "body-1m",
        about: "as keepalive, answers of 1 MB",
        load: Load::KeepAlive { target: "/1m" },
        ..KEEPALIVE
    },
    Case {
        name: "rules-200",
        about: "as keepalive, 200 ACLs that do not match and 20 rules: variables, refusals, paths, headers",
        rules: 200,
        ..KEEPALIVE
    },
    Case { name: "threads-2", about: "as keepalive, 2 threads, nothing pinned", threads: 2, ..KEEPALIVE },
    Case {
        name: "tcp",
        about: "plain TCP, 8 connections reading without end",
        load: Load::Bulk,
        ..KEEPALIVE
    },
    Case {
        name: "idle-8000",
        about: "memory of 8000 client connections, idle after one request each",
        load: Load::Idle { connections: 8000 },
        ..KEEPALIVE
    },
];
