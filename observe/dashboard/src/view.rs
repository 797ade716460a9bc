//! One moment of the whole process as plain numbers and strings. The supervisor fills it in, once for each
//! page, scrape or runtime command; everything in this crate is a function of it.

use telemetry::counters::{FlowStats, Timing};
use telemetry::rates::{Rate, RateSet};
use telemetry::{Cause, Counter, FlowCell, ProcessStats, SiteStats};

/// One moment of the whole process.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When, Unix milliseconds.
    pub now_ms: u64,
    /// The process.
    pub process: ProcessView,
    /// Sites (FRONTEND rows).
    pub sites: Vec<SiteView>,
    /// Pools (BACKEND rows) with their servers.
    pub pools: Vec<PoolView>,
    /// Last events, newest first, for the page: time in Unix milliseconds, severity number, text.
    pub events: Vec<(u64, u8, String)>,
    /// Invalid requests and responses so far.
    pub invalid_total: u64,
    /// Stick tables.
    pub tables: Vec<TableView>,
}

/// A stick table.
#[derive(Clone, Debug, Default)]
pub struct TableView {
    /// Name.
    pub name: String,
    /// Type of its keys, in HAProxy's word.
    pub kind: &'static str,
    /// Entries at most.
    pub size: u64,
    /// Entries.
    pub used: u64,
}

/// The process.
#[derive(Clone, Debug, Default)]
pub struct ProcessView {
    /// Product name as `show info` tells it; tools that look for `HAProxy` want that word.
    pub name: String,
    /// Version.
    pub version: String,
    /// Date of the release, `YYYY/MM/DD`.
    pub release_date: String,
    /// Node name.
    pub node: String,
    /// Description, may be empty.
    pub description: String,
    /// Process id.
    pub pid: u32,
    /// Worker threads.
    pub threads: u32,
    /// Start, Unix seconds.
    pub started_s: u64,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Descriptor limit.
    pub descriptors: u64,
    /// Connections at once that are allowed.
    pub max_connections: u64,
    /// What the system would allow.
    pub hard_max_connections: u64,
    /// Connections now.
    pub connections: u64,
    /// Connections so far.
    pub connections_total: u64,
    /// Encrypted connections now.
    pub encrypted: u64,
    /// Encrypted connections so far.
    pub encrypted_total: u64,
    /// Requests so far.
    pub requests_total: u64,
    /// Bytes to clients so far.
    pub bytes_out: u64,
    /// Of these, spliced in the kernel.
    pub spliced_bytes_out: u64,
    /// Rates.
    pub connection_rate: Rate,
    /// Rates of sessions.
    pub session_rate: Rate,
    /// Bytes to clients per second.
    pub bytes_out_rate: u64,
    /// Listening sockets.
    pub listeners: u64,
    /// Tasks of the workers; 0 when not known.
    pub tasks: u64,
    /// Share of time the workers wait, percent.
    pub idle_percent: u64,
    /// A graceful stop is under way.
    pub stopping: bool,
    /// Log lines lost.
    pub dropped_logs: u64,
    /// Memory in use, bytes.
    pub memory: u64,
    /// Failed name lookups.
    pub failed_resolutions: u64,
    /// The last reload worked (true also when there was none).
    pub last_reload_ok: bool,
    /// Reloads so far.
    pub reloads: u32,
    /// Reloads that failed since the last one that worked.
    pub failed_reloads: u32,
    /// Seconds since the running configuration came into force.
    pub reloaded_s: u64,
    /// Limit of connections per second, 0 = none.
    pub connection_rate_limit: u32,
    /// Limit of sessions per second, 0 = none.
    pub session_rate_limit: u32,
    /// Limit of new encrypted sessions per second, 0 = none.
    pub encrypted_rate_limit: u32,
    /// Limit of bytes per second into compression, 0 = none.
    pub compression_rate_limit: u64,
    /// Clients that are being read from, for nginx's page.
    pub reading: u64,
    /// Clients that are being served.
    pub writing: u64,
    /// Idle clients.
    pub waiting: u64,
}

/// Whether a site takes connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SiteStatus {
    /// Yes.
    #[default]
    Open,
    /// Its connection limit is reached.
    Full,
    /// Paused on request.
    Paused,
    /// Stopped.
    Stopped,
}

/// A site.
#[derive(Clone, Debug, Default)]
pub struct SiteView {
    /// Name.
    pub name: String,
    /// Number.
    pub id: u32,
    /// True for HTTP.
    pub http: bool,
    /// Whether it takes connections.
    pub status: SiteStatus,
    /// Description, may be empty.
    pub description: String,
    /// Connection limit.
    pub limit: u64,
    /// Connections now.
    pub current: u64,
    /// Most connections at once.
    pub current_max: u64,
    /// Connections so far.
    pub connections: u64,
    /// Sessions so far.
    pub sessions: u64,
    /// Requests so far.
    pub requests: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests denied.
    pub denied_requests: u64,
    /// Responses denied.
    pub denied_responses: u64,
    /// Connections denied.
    pub denied_connections: u64,
    /// Sessions denied.
    pub denied_sessions: u64,
    /// Invalid requests.
    pub request_errors: u64,
    /// Requests answered by ourselves.
    pub intercepted: u64,
    /// Responses 1xx … 5xx, other.
    pub responses: [u64; 6],
    /// Compression of answers: bytes in, bytes out, bytes that passed for lack of time, answers.
    pub compression: [u64; 4],
    /// Header edits that failed.
    pub failed_rewrites: u64,
    /// Own faults.
    pub internal_errors: u64,
    /// Connections per second.
    pub connection_rate: Rate,
    /// Sessions per second.
    pub session_rate: Rate,
    /// Requests per second.
    pub request_rate: Rate,
    /// Failures by cause, those above 0.
    pub causes: Vec<(Cause, u64)>,
}

/// What pools and servers both count.
#[derive(Clone, Debug, Default)]
pub struct FlowView {
    /// Waiting now.
    pub queue: u64,
    /// Most that waited at once.
    pub queue_max: u64,
    /// In progress now.
    pub current: u64,
    /// Most in progress at once.
    pub current_max: u64,
    /// So far.
    pub sessions: u64,
    /// Requests so far.
    pub requests: u64,
    /// Chosen by balancing.
    pub balanced: u64,
    /// Connections opened or tried.
    pub connects: u64,
    /// Requests on a used connection.
    pub reuses: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests denied.
    pub denied_requests: u64,
    /// Responses denied.
    pub denied_responses: u64,
    /// Failed connections.
    pub connect_errors: u64,
    /// Failed responses.
    pub response_errors: u64,
    /// Retries.
    pub retries: u64,
    /// Changes of the server after a failure.
    pub redispatches: u64,
    /// Transfers ended by clients.
    pub client_aborts: u64,
    /// Transfers ended by servers.
    pub server_aborts: u64,
    /// Responses 1xx … 5xx, other.
    pub responses: [u64; 6],
    /// Compression of answers: bytes in, bytes out, bytes that passed for lack of time, answers.
    pub compression: [u64; 4],
    /// Header edits that failed.
    pub failed_rewrites: u64,
    /// Own faults.
    pub internal_errors: u64,
    /// Seconds since the last request; `None` = never one.
    pub last_session_s: Option<u64>,
    /// Time in queues, to connect, to the response, in all: averages of about the last 1024, milliseconds.
    pub average_ms: [u64; 4],
    /// The greatest of the same.
    pub max_ms: [u64; 4],
    /// Sessions per second.
    pub rate: Rate,
    /// Failures by cause, those above 0.
    pub causes: Vec<(Cause, u64)>,
}

/// A pool.
#[derive(Clone, Debug, Default)]
pub struct PoolView {
    /// Name.
    pub name: String,
    /// Number.
    pub id: u32,
    /// True for HTTP.
    pub http: bool,
    /// Description, may be empty.
    pub description: String,
    /// Balancing as HAProxy names it.
    pub algorithm: String,
    /// Weights may change and servers come and go at run time.
    pub dynamic: bool,
    /// Name of the persistence cookie, may be empty.
    pub cookie: String,
    /// Numbers.
    pub flow: FlowView,
    /// Limit shown; HAProxy shows `fullconn`.
    pub limit: u64,
    /// It can serve requests. A pool without servers counts as up, as HAProxy has it.
    pub up: bool,
    /// Sum of the weights of the usable servers.
    pub weight: u64,
    /// The same from the weights set by users.
    pub user_weight: u64,
    /// Usable servers.
    pub active: u64,
    /// Usable backup servers.
    pub backup: u64,
    /// Times it went down.
    pub downs: u64,
    /// Seconds since it changed.
    pub last_change_s: u64,
    /// Seconds it was down in all.
    pub down_s: u64,
    /// Servers in order of the file.
    pub servers: Vec<ServerView>,
}

/// What checks say about a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It takes requests.
    #[default]
    Up,
    /// It takes requests, but this many of so many failures are counted.
    GoingDown(u32, u32),
    /// It takes only requests bound to it.
    Stopping,
    /// It takes none, but this many of so many successes are counted.
    GoingUp(u32, u32),
    /// It takes none.
    Down,
}

impl Health {
    /// True when requests may go there.
    pub fn is_up(self) -> bool {
        matches!(self, Health::Up | Health::GoingDown(..) | Health::Stopping)
    }
}

/// Administrative state of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// As checks say.
    #[default]
    Ready,
    /// No new requests.
    Drain,
    /// No requests, no checks.
    Maintenance,
}

/// A check or an agent.
#[derive(Clone, Debug, Default)]
pub struct CheckView {
    /// It is switched on.
    pub enabled: bool,
    /// Outcome as `L4OK`, `L7STS` …; empty before the first.
    pub status: String,
    /// Code of the protocol.
    pub code: Option<u32>,
    /// How long the last one took, milliseconds.
    pub duration_ms: Option<u64>,
    /// Text of the last outcome.
    pub info: String,
    /// Successes needed.
    pub rise: u32,
    /// Failures needed.
    pub fall: u32,
    /// HAProxy's count: 0 … rise-1 down, rise … rise+fall-1 up.
    pub health: u32,
    /// Failed checks while up.
    pub failures: u64,
    /// Port of its own, 0 = the server's.
    pub port: u16,
    /// Address of its own.
    pub address: Option<String>,
}

/// A server.
#[derive(Clone, Debug, Default)]
pub struct ServerView {
    /// Name.
    pub name: String,
    /// Number in its pool.
    pub id: u32,
    /// Address alone, without the port; `-` when it has none.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Host name it was looked up from.
    pub host: Option<String>,
    /// Cookie value, may be empty.
    pub cookie: String,
    /// Used only when no other is usable.
    pub backup: bool,
    /// Numbers.
    pub flow: FlowView,
    /// Requests at once allowed.
    pub limit: Option<u64>,
    /// Requests that may wait.
    pub queue_limit: Option<u64>,
    /// Health; always [`Health::Up`] without check and agent.
    pub health: Health,
    /// Administrative state.
    pub admin: Admin,
    /// The configuration said `disabled`.
    pub disabled_by_file: bool,
    /// An agent or rule drained it.
    pub drained_by_agent: bool,
    /// The agent says that it is down.
    pub agent_down: bool,
    /// In maintenance because its name has no address.
    pub unresolved: bool,
    /// Server whose state it follows, as `pool/server`.
    pub tracked: Option<String>,
    /// In maintenance or drained because that one is.
    pub inherits: bool,
    /// Passed checks that would bring it up.
    pub told_rise: u32,
    /// Its traffic is observed (`observe`).
    pub observed: bool,
    /// The service that its address comes from.
    pub service: Option<String>,
    /// Weight in force (a slow start counts).
    pub weight: u64,
    /// Weight set by the user, 0 … 256.
    pub user_weight: u64,
    /// Weight of the file.
    pub initial_weight: u64,
    /// Share of a slow start, percent; `None` = not in one.
    pub throttle_percent: Option<u64>,
    /// Check; `None` = none.
    pub check: Option<CheckView>,
    /// Agent; `None` = none.
    pub agent: Option<CheckView>,
    /// Times it went down.
    pub downs: u64,
    /// Seconds since it changed.
    pub last_change_s: u64,
    /// Seconds it was down in all.
    pub down_s: u64,
    /// Idle connections now.
    pub idle: u64,
    /// The same by thread; empty when there are none.
    pub idle_by_thread: Vec<u64>,
    /// Of these, safe for a first request.
    pub idle_safe: u64,
    /// Idle connections allowed.
    pub idle_limit: Option<u64>,
    /// Connections in use.
    pub used: u64,
    /// Connections that are thought to be needed.
    pub needed: u64,
}

impl ServerView {
    /// True when requests may go there.
    pub fn is_usable(&self) -> bool {
        self.admin == Admin::Ready
            && self.health.is_up()
            && self.health != Health::Stopping
            && self.weight > 0
    }

    /// Status as the statistics show it.
    pub fn status(&self) -> String {
        let checked = self.check.as_ref().is_some_and(|c| c.enabled) || self.tracked.is_some();
        let agent = self.agent.as_ref().is_some_and(|a| a.enabled);
        match (self.admin, self.health) {
            (Admin::Maintenance, _) if self.unresolved => "MAINT (resolution)".into(),
            (Admin::Maintenance, _) if self.inherits => {
                format!("MAINT (via {})", self.tracked.as_deref().unwrap_or_default())
            }
            (Admin::Maintenance, _) => "MAINT".into(),
            (_, Health::Down | Health::GoingUp(..)) if agent && self.agent_down => "DOWN (agent)".into(),
            (_, Health::Down) => "DOWN".into(),
            (_, Health::GoingUp(n, of)) => format!("DOWN {n}/{of}"),
            (Admin::Drain, _) if agent => "DRAIN (agent)".into(),
            (Admin::Drain, Health::GoingDown(n, of)) => format!("DRAIN {n}/{of}"),
            (Admin::Drain, _) => "DRAIN".into(),
            (_, Health::Stopping) => "NOLB".into(),
            (_, Health::GoingDown(n, of)) => format!("UP {n}/{of}"),
            (_, Health::Up) if checked => "UP".into(),
            (_, Health::Up) => "no check".into(),
        }
    }

    /// The state of the `server_status` metric.
    pub fn state(&self) -> &'static str {
        match (self.admin, self.health) {
            (Admin::Maintenance, _) => "MAINT",
            (_, Health::Down | Health::GoingUp(..)) => "DOWN",
            (Admin::Drain, _) => "DRAIN",
            (_, Health::Stopping) => "NOLB",
            (_, Health::Up | Health::GoingDown(..)) => "UP",
        }
    }

    /// `address:port`, brackets around IPv6.
    pub fn endpoint(&self) -> String {
        match self.address.contains(':') {
            true => format!("[{}]:{}", self.address, self.port),
            false if self.port == 0 => self.address.clone(),
            false => format!("{}:{}", self.address, self.port),
        }
    }
}

impl SiteStatus {
    /// As the statistics show it.
    pub fn text(self) -> &'static str {
        match self {
            SiteStatus::Open => "OPEN",
            SiteStatus::Full => "FULL",
            SiteStatus::Paused => "PAUSED",
            SiteStatus::Stopped => "STOP",
        }
    }
}

impl SiteView {
    /// Fills in what the counters know.
    pub fn count(&mut self, stats: &SiteStats, rates: &RateSet) {
        let sum = |counter: fn(&telemetry::SiteCell) -> &Counter| stats.sum(counter);
        self.current = u64::from(stats.current.now());
        self.current_max = u64::from(stats.current.max());
        self.connections = sum(|c| &c.connections);
        self.sessions = sum(|c| &c.sessions);
        self.requests = sum(|c| &c.requests);
        self.bytes_in = sum(|c| &c.bytes_in);
        self.bytes_out = sum(|c| &c.bytes_out);
        self.denied_requests = sum(|c| &c.denied_requests);
        self.denied_responses = sum(|c| &c.denied_responses);
        self.denied_connections = sum(|c| &c.denied_connections);
        self.denied_sessions = sum(|c| &c.denied_sessions);
        self.request_errors = sum(|c| &c.request_errors);
        self.intercepted = sum(|c| &c.intercepted);
        self.responses = std::array::from_fn(|i| stats.sum(|c| &c.responses[i]));
        self.compression = std::array::from_fn(|i| stats.sum(|c| &c.compression[i]));
        self.failed_rewrites = sum(|c| &c.failed_rewrites);
        self.internal_errors = sum(|c| &c.internal_errors);
        self.connection_rate = rates.connections;
        self.session_rate = rates.sessions;
        self.request_rate = rates.requests;
        self.causes = causes(|cause| stats.causes.read(cause));
    }
}

impl FlowView {
    /// What the counters know, at `now_ms` (Unix).
    pub fn of(stats: &FlowStats, rates: &RateSet, now_ms: u64) -> FlowView {
        let sum = |counter: fn(&FlowCell) -> &Counter| stats.sum(counter);
        let times: [fn(&FlowCell) -> &Timing; 4] =
            [|c| &c.queue_time, |c| &c.connect_time, |c| &c.response_time, |c| &c.total_time];
        let last_ms = stats.greatest(|c| &c.last_session_ms);
        FlowView {
            queue: u64::from(stats.queue.now()),
            queue_max: u64::from(stats.queue.max()),
            current: u64::from(stats.current.now()),
            current_max: u64::from(stats.current.max()),
            sessions: sum(|c| &c.sessions),
            requests: sum(|c| &c.requests),
            balanced: sum(|c| &c.balanced),
            connects: sum(|c| &c.connects),
            reuses: sum(|c| &c.reuses),
            bytes_in: sum(|c| &c.bytes_in),
            bytes_out: sum(|c| &c.bytes_out),
            denied_requests: sum(|c| &c.denied_requests),
            denied_responses: sum(|c| &c.denied_responses),
            connect_errors: sum(|c| &c.connect_errors),
            response_errors: sum(|c| &c.response_errors),
            retries: sum(|c| &c.retries),
            redispatches: sum(|c| &c.redispatches),
            client_aborts: sum(|c| &c.client_aborts),
            server_aborts: sum(|c| &c.server_aborts),
            responses: std::array::from_fn(|i| stats.sum(|c| &c.responses[i])),
            compression: std::array::from_fn(|i| stats.sum(|c| &c.compression[i])),
            failed_rewrites: sum(|c| &c.failed_rewrites),
            internal_errors: sum(|c| &c.internal_errors),
            last_session_s: (last_ms > 0).then(|| now_ms.saturating_sub(last_ms) / 1000),
            average_ms: times.map(|time| stats.average_ms(time)),
            max_ms: times.map(|time| stats.max_ms(time)),
            rate: rates.sessions,
            causes: causes(|cause| stats.causes.read(cause)),
        }
    }
}

impl ProcessView {
    /// Fills in what the counters know.
    pub fn count(&mut self, stats: &ProcessStats, rates: &RateSet, now_ms: u64) {
        self.started_s = stats.started_ms / 1000;
        self.uptime_s = stats.uptime_s(now_ms);
        self.connections = u64::from(stats.current.now());
        self.connections_total = stats.sum(|c| &c.connections);
        self.encrypted = u64::from(stats.current_encrypted.now());
        self.encrypted_total = stats.sum(|c| &c.encrypted_connections);
        self.requests_total = stats.sum(|c| &c.requests);
        self.bytes_out = stats.sum(|c| &c.bytes_out);
        self.spliced_bytes_out = stats.sum(|c| &c.spliced_bytes_out);
        self.connection_rate = rates.connections;
        self.session_rate = rates.sessions;
        self.bytes_out_rate = rates.bytes_out.now;
    }
}

fn causes(count: impl Fn(Cause) -> u64) -> Vec<(Cause, u64)> {
    Cause::all().map(|cause| (cause, count(cause))).filter(|(_, n)| *n > 0).collect()
}
