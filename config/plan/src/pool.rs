//! A pool: servers and how one is chosen. HAProxy's backend, nginx's upstream.

use crate::Mode;
use crate::check::{AgentCheck, Check, Probe};
use crate::listener::ProxyVersion;
use crate::pages::ErrorPages;
use crate::place::Place;
use crate::resolver::Lookup;
use crate::rule::{Condition, Expr, Rules, Template};
use crate::site::{HttpOptions, Statistics};
use crate::smooth::{Keep, Smooth, SmoothServer};
use crate::table::StickRule;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Servers and how one is chosen.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Where it was said.
    pub place: Place,
    /// Name, unique among pools.
    pub name: String,
    /// Number in statistics and runtime commands.
    pub id: u32,
    /// What it speaks.
    pub mode: Mode,
    /// Takes no traffic.
    pub disabled: bool,
    /// Free text for the statistics page.
    pub description: Option<String>,
    /// Servers in order of the file.
    pub servers: Vec<Server>,
    /// How a server is chosen.
    pub balance: Balance,
    /// How hashes become servers.
    pub hash: HashKind,
    /// Time-outs towards servers.
    pub timeouts: PoolTimeouts,
    /// Tries after a failure.
    pub retry: Retry,
    /// Persistence by cookie.
    pub cookie: Option<Cookie>,
    /// Persistence by table, for requests that no cookie binds.
    pub stick: Vec<StickRule>,
    /// Those that remember the server when it answers.
    pub stick_response: Vec<StickRule>,
    /// A server that persistence names is asked even when it is down or in maintenance.
    pub persist_to_down: bool,
    /// When persistence counts for more or for nothing; the first that holds decides.
    pub persistence_rules: Vec<PersistenceRule>,
    /// Rules that choose a server, in order.
    pub server_rules: Vec<ServerRule>,
    /// What checks ask; servers without `check` are not asked.
    pub probe: Option<Probe>,
    /// Each check outcome becomes a log line.
    pub log_checks: bool,
    /// Alert mails about its servers.
    pub alerts: Option<Arc<crate::alert::MailAlerts>>,
    /// HTTP behaviour.
    pub http: HttpOptions,
    /// Reuse of idle server connections.
    pub reuse: Reuse,
    /// How many idle connections all servers together keep, and for how long; `None` = each server says so.
    pub keep: Option<Keep>,
    /// Rules by phase.
    pub rules: Rules,
    /// Error pages.
    pub pages: ErrorPages,
    /// Statistics page answered by this pool.
    pub statistics: Option<Arc<Statistics>>,
    /// Requests at once at which a server with `min_connections` gets its full `max_connections`.
    pub full_connections: Option<u32>,
    /// File of server states, as `show servers state` prints them, applied at the start.
    pub state_file: Option<std::path::PathBuf>,
    /// All backup servers are used at once, not the first only.
    pub all_backups: bool,
    /// TCP keep-alive towards servers.
    pub tcp_keep_alive: bool,
    /// Requests wait this long while no server is usable; `None` = fail at once.
    pub hold: Option<Duration>,
    /// Targets of health events (server up or down); the dialect fills in the log targets in force.
    pub event_logs: Vec<crate::log::LogTarget>,
}

/// When persistence counts for more or for nothing.
#[derive(Clone, Debug)]
pub struct PersistenceRule {
    /// Where it was said.
    pub place: Place,
    /// When.
    pub condition: Condition,
    /// What then.
    pub effect: PersistenceEffect,
}

/// What becomes of persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistenceEffect {
    /// The server it names is asked even when it is down or in maintenance, and no other one.
    Force,
    /// It names none.
    Ignore,
}

/// A rule that chooses a server before persistence and balancing do.
#[derive(Clone, Debug)]
pub struct ServerRule {
    /// Where it was said.
    pub place: Place,
    /// When.
    pub condition: Condition,
    /// Which.
    pub target: ServerTarget,
}

/// The server that a rule chooses.
#[derive(Clone, Debug)]
pub enum ServerTarget {
    /// A server of the pool by name; it exists.
    Named(String),
    /// A server whose name is made for each request; if there is none, no further rule is asked.
    Computed(Template),
}

/// One server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it was said.
    pub place: Place,
    /// Name, unique in its pool.
    pub name: String,
    /// Number in statistics and runtime commands, from 1.
    pub id: u32,
    /// Address.
    pub address: ServerAddress,
    /// How a name becomes an address.
    pub lookup: Lookup,
    /// Active checks; `None` = taken as up.
    pub check: Option<Check>,
    /// Agent.
    pub agent: Option<AgentCheck>,
    /// Share of the load, 0 … 256 (with [`Balance::Smooth`] 1 … 65535). 0 = no new requests.
    pub weight: u16,
    /// Used only when no other server is usable.
    pub backup: bool,
    /// Starts in maintenance.
    pub disabled: bool,
    /// Requests (HTTP) or connections (TCP) at once; `None` = no limit.
    pub max_connections: Option<u32>,
    /// Limit that grows to `max_connections` with the load of the pool.
    pub min_connections: Option<u32>,
    /// Requests that may wait for this server; `None` = no limit.
    pub max_queue: Option<u32>,
    /// Time over which weight and limit grow after the server came up.
    pub slow_start: Option<Duration>,
    /// Value of the persistence cookie.
    pub cookie: Option<String>,
    /// PROXY protocol header towards the server.
    pub send_proxy: Option<ProxyVersion>,
    /// Server whose state it follows, instead of checks of its own.
    pub track: Option<Tracked>,
    /// What its checks would need to bring it up; told in statistics also without a check.
    pub told_rise: u32,
    /// Passive observation.
    pub observe: Option<Observe>,
    /// Local address to connect from.
    pub source: Option<SocketAddr>,
    /// Connections are cut when the server goes down.
    pub cut_when_down: bool,
    /// Connections to backup servers are cut when this one comes up.
    pub cut_backups_when_up: bool,
    /// Idle connections kept at most; `None` = a built-in limit.
    pub idle_connections: Option<u32>,
    /// Idle connections below which a worker takes none that another one keeps.
    pub idle_low: Option<u32>,
    /// Longest idle time of a connection; zero = none is kept, `None` = a built-in limit.
    pub idle_life: Option<Duration>,
    /// Times a connection may be used again; `None` = no limit.
    pub max_reuse: Option<u32>,
    /// Location prefix for redirects instead of proxying.
    pub redirect_prefix: Option<String>,
    /// Tables never remember it.
    pub non_stick: bool,
    /// What it says with [`Balance::Smooth`].
    pub smooth: Option<Box<SmoothServer>>,
}

impl Server {
    /// A server with defaults.
    pub fn new(place: Place, name: impl Into<String>, id: u32, address: ServerAddress) -> Server {
        Server {
            place,
            name: name.into(),
            id,
            address,
            lookup: Lookup::default(),
            check: None,
            agent: None,
            weight: 1,
            backup: false,
            disabled: false,
            max_connections: None,
            min_connections: None,
            max_queue: None,
            slow_start: None,
            cookie: None,
            send_proxy: None,
            track: None,
            told_rise: 2,
            observe: None,
            source: None,
            cut_when_down: false,
            cut_backups_when_up: false,
            idle_connections: None,
            idle_low: None,
            idle_life: None,
            max_reuse: None,
            redirect_prefix: None,
            non_stick: false,
            smooth: None,
        }
    }
}

/// A server whose state another one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub server: String,
}

impl std::fmt::Display for Tracked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pool, self.server)
    }
}

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// TCP address.
    Tcp(SocketAddr),
    /// The address the client asked for.
    Transparent,
    /// The client's destination port (plus an offset) at this address.
    MappedPort(std::net::IpAddr, i32),
    /// Name and port.
    Name(String, u16),
    /// Name, and the client's destination port plus an offset.
    MappedName(String, i32),
    /// Name of a service: addresses, ports and weights come from its records (RFC 2782).
    Service(String),
    /// Unix stream socket.
    Unix(PathBuf),
}

impl ServerAddress {
    /// The name that is looked up; `None` = the address is known as it stands.
    pub fn name(&self) -> Option<&str> {
        match self {
            ServerAddress::Name(name, _)
            | ServerAddress::MappedName(name, _)
            | ServerAddress::Service(name) => Some(name),
            ServerAddress::Tcp(_)
            | ServerAddress::Transparent
            | ServerAddress::MappedPort(..)
            | ServerAddress::Unix(_) => None,
        }
    }

    /// The port when it is fixed by the configuration; 0 when it is the client's or unknown.
    pub fn port(&self) -> u16 {
        match self {
            ServerAddress::Tcp(address) => address.port(),
            ServerAddress::Name(_, port) => *port,
            _ => 0,
        }
    }
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerAddress::Tcp(address) => write!(f, "{address}"),
            ServerAddress::Transparent => f.write_str("*"),
            ServerAddress::MappedPort(address, offset) => write!(f, "{address}:{offset:+}"),
            ServerAddress::Name(name, port) => write!(f, "{name}:{port}"),
            ServerAddress::MappedName(name, offset) => write!(f, "{name}:{offset:+}"),
            ServerAddress::Service(name) => f.write_str(name),
            ServerAddress::Unix(path) => write!(f, "unix@{}", path.display()),
        }
    }
}

/// How a server is chosen.
#[derive(Clone, Debug, Default)]
pub enum Balance {
    /// In turn, by weight; weights may change at run time.
    #[default]
    RoundRobin,
    /// In turn over a fixed table.
    StaticRoundRobin,
    /// The one with the fewest requests per weight; in turn among equals.
    LeastConnections,
    /// The first with a free slot, by id.
    First,
    /// Hash of the client's address.
    Source,
    /// Hash of the path.
    Uri(UriHash),
    /// Hash of a query parameter; without it, in turn.
    QueryParameter(String),
    /// Hash of a header; without it, in turn.
    Header {
        /// Name in lower case.
        name: String,
        /// Only the main part of a domain name counts.
        domain_only: bool,
    },
    /// Hash of an expression; without a value, in turn.
    Hash(Expr),
    /// The least loaded of so many drawn at random.
    Random(u32),
    /// In ways that learn from failures where they happen.
    Smooth(Box<Smooth>),
}

/// What of the URI is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriHash {
    /// Only so many bytes.
    pub length: Option<usize>,
    /// Only so many directories.
    pub depth: Option<usize>,
    /// The query too.
    pub whole: bool,
    /// Never scheme and host of an absolute form.
    pub path_only: bool,
}

/// How hashes become servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKind {
    /// Table or ring.
    pub method: HashMethod,
    /// Function.
    pub function: HashFunction,
    /// An avalanche step after the function.
    pub avalanche: bool,
    /// Largest load of a server relative to the average, percent (consistent hashing with bounded loads).
    pub balance_factor: Option<u32>,
}

/// Table or ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashMethod {
    /// Static table by weight: even, but most keys move when a server leaves.
    #[default]
    Map,
    /// Ring: few keys move.
    Consistent,
}

/// Hash function of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HashFunction {
    #[default]
    Sdbm,
    Djb2,
    Wt6,
    Crc32,
    /// The value as a number.
    None,
}

/// Time-outs towards servers. `None` = without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolTimeouts {
    /// To connect.
    pub connect: Option<Duration>,
    /// Longest silence of the server.
    pub server: Option<Duration>,
    /// The same after we shut down our side.
    pub server_fin: Option<Duration>,
    /// In a queue; `None` = `connect`.
    pub queue: Option<Duration>,
    /// Longest silence of both sides of an upgraded or TCP connection.
    pub tunnel: Option<Duration>,
    /// For the answer to a check once connected; `None` = the check's interval in all.
    pub check: Option<Duration>,
}

/// Tries after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Further tries after the first.
    pub tries: u32,
    /// Another server may be tried. (Ours: also at once after a refused connection.)
    pub redispatch: Redispatch,
    /// What is tried again.
    pub on: RetryOn,
    /// Share of retries in all requests, percent, above a floor of 10 per second.
    pub budget_percent: Option<u32>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { tries: 3, redispatch: Redispatch::Unsaid, on: RetryOn::default(), budget_percent: None }
    }
}

/// Whether another server may be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redispatch {
    /// Nothing was said: another server is tried unless persistence binds the request to one.
    #[default]
    Unsaid,
    /// Also against persistence.
    Always,
    /// Never.
    Never,
}

/// What is tried again. A request that is not idempotent (RFC 9110, 9.2.2) is never repeated once a
/// byte of it may have been read, whatever is set here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection could not be made.
    pub connect_failure: bool,
    /// The connection closed before any byte of a response.
    pub empty_response: bool,
    /// The response head was not whole or not valid.
    pub junk_response: bool,
    /// No response in time.
    pub response_timeout: bool,
    /// Responses with one of these statuses.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    /// Ours: connect failures, and empty responses to idempotent requests.
    fn default() -> RetryOn {
        RetryOn {
            connect_failure: true,
            empty_response: true,
            junk_response: false,
            response_timeout: false,
            statuses: Vec::new(),
        }
    }
}

/// Reuse of idle server connections by other clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Nothing was said: idempotent requests share always, since they can be sent again; others as `Safe`.
    #[default]
    Unsaid,
    /// A connection serves one client.
    Never,
    /// The first request of a client opens its own; later ones may share.
    Safe,
    /// As `Safe`, and first requests use connections that were reused before.
    Aggressive,
    /// Always shared.
    Always,
}

/// Persistence by cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Cookie name.
    pub name: String,
    /// How it is made.
    pub mode: CookieMode,
    /// Removed from the request; not set again when the client has the right one.
    pub indirect: bool,
    /// Responses that set it are marked uncacheable.
    pub no_cache: bool,
    /// Set only on responses to POST.
    pub post_only: bool,
    /// A value the server sets is left alone.
    pub preserve: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `Secure`.
    pub secure: bool,
    /// `Domain` attributes.
    pub domains: Vec<String>,
    /// Further attributes.
    pub attributes: Vec<String>,
    /// Longest life.
    pub max_life: Option<Duration>,
}

/// How a persistence cookie is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMode {
    /// We set it.
    Insert,
    /// We put the server before the application's value.
    Prefix,
    /// We replace the application's value.
    Rewrite,
}

/// Passive observation of a server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// What counts as an error.
    pub layer: ObserveLayer,
    /// Errors in a row that act.
    pub error_limit: u32,
    /// What happens then.
    pub action: ObserveAction,
}

/// What counts as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserveLayer {
    /// Failed connections.
    Connection,
    /// Those, invalid or missing answers, and 5xx except 501 and 505.
    Http,
}

/// What happens at the error limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObserveAction {
    /// Checks run at the fast interval.
    FastInter,
    /// One failed check is counted.
    #[default]
    FailCheck,
    /// The next failed check takes the server down.
    SuddenDeath,
    /// The server goes down now.
    MarkDown,
}
