//! A site: listeners, rules, routes. HAProxy's frontend, nginx's server.

use crate::Mode;
use crate::compression::Compression;
use crate::listener::Bind;
use crate::log::LogPlan;
use crate::network::Networks;
use crate::pages::ErrorPages;
use crate::place::Place;
use crate::rule::{Condition, Rules, Template, Userlist};
use std::sync::Arc;
use std::time::Duration;

/// Where clients come in and how their requests find a pool.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Where it was said.
    pub place: Place,
    /// Name, unique among sites.
    pub name: String,
    /// Number in statistics and runtime commands.
    pub id: u32,
    /// What it speaks.
    pub mode: Mode,
    /// True: parsed and listed, but not listening.
    pub disabled: bool,
    /// Free text for the statistics page.
    pub description: Option<String>,
    /// Where it listens.
    pub binds: Vec<Bind>,
    /// Rules by phase.
    pub rules: Rules,
    /// Longest wait for `rules.content` to decide (TCP).
    pub inspect_delay: Option<Duration>,
    /// Routes, first match counts.
    pub routes: Vec<Route>,
    /// Pool without a matching route.
    pub default_pool: Option<String>,
    /// Time-outs towards clients.
    pub timeouts: SiteTimeouts,
    /// Connections at once; `None` = the process's.
    pub max_connections: Option<u32>,
    /// Sessions that may begin in a second; `None` = no limit.
    pub session_rate: Option<u32>,
    /// Logging.
    pub log: LogPlan,
    /// HTTP behaviour.
    pub http: HttpOptions,
    /// Error pages.
    pub pages: ErrorPages,
    /// Statistics page answered by this site.
    pub statistics: Option<Arc<Statistics>>,
    /// Path that is answered 200 without a pool or a log line.
    pub monitor_path: Option<String>,
    /// When one holds, the monitor path answers 503.
    pub monitor_fail: Vec<Condition>,
    /// Request headers kept for logs and rules: name and longest length.
    pub request_captures: Vec<(String, usize)>,
    /// Response headers kept.
    pub response_captures: Vec<(String, usize)>,
    /// Cookie kept: name (or its beginning) and longest length.
    pub cookie_capture: Option<(String, usize)>,
    /// Id given to each request.
    pub unique_id: Option<Template>,
    /// Header that carries the id to servers.
    pub unique_id_header: Option<String>,
    /// TCP keep-alive towards clients.
    pub tcp_keep_alive: bool,
    /// Virtual hosts that choose by name and path, in place of rules and routes.
    pub hosts: Option<Arc<crate::host::Hosts>>,
    /// How sessions are passed on where the pool does not say it (TCP, UDP).
    pub stream: Option<Arc<crate::stream::StreamSettings>>,
}

/// A condition and where it leads.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it was said.
    pub place: Place,
    /// When.
    pub condition: Condition,
    /// Where to.
    pub target: RouteTarget,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub enum RouteTarget {
    /// A pool by name; it exists.
    Pool(String),
    /// A pool whose name is made for each request; if there is none, the next route is tried.
    Computed(Template),
}

/// Time-outs towards clients. `None` = without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteTimeouts {
    /// Longest silence of the client.
    pub client: Option<Duration>,
    /// The same after we shut down our side.
    pub client_fin: Option<Duration>,
    /// From the first byte of a request to the end of its head (and of a buffered body).
    pub request: Option<Duration>,
    /// From the end of a response to the first byte of the next request; `None` = `request`, then `client`.
    pub keep_alive: Option<Duration>,
    /// How long a tarpitted client is held.
    pub tarpit: Option<Duration>,
}

/// HTTP behaviour of a site or a pool. A request passes both; the stricter connection mode wins.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// What happens to connections after a response.
    pub connection: ConnectionMode,
    /// Adds `X-Forwarded-For`.
    pub forwarded_for: Option<ForwardedFor>,
    /// Adds `X-Original-To`: where the client connected to.
    pub original_to: Option<ForwardedFor>,
    /// The body must be there (as far as the buffer goes) before a server is chosen.
    pub buffer_request: bool,
    /// A client that half-closes while it waits is taken as gone.
    pub abort_on_close: Option<bool>,
    /// Requests that leave without an answer send `Connection: close` to idle clients at a graceful stop.
    pub idle_close_on_response: bool,
    /// Probes that send nothing are not counted as errors.
    pub ignore_probes: bool,
    /// Bodies that are compressed on their way.
    pub compression: Option<Compression>,
    /// Servers whose connections are closed after each answer are not told beforehand.
    pub pretend_keep_alive: bool,
    /// Fields of requests whose names hold more than letters, digits and `-`.
    pub odd_names: OddNames,
}

/// What becomes of a request's fields whose names hold more than letters, digits and `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OddNames {
    /// They are passed on.
    #[default]
    Keep,
    /// They are taken out once the rules have run.
    Delete,
    /// The request is refused once the rules have run.
    Refuse,
}

/// What happens to connections after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ConnectionMode {
    /// Both sides stay open.
    #[default]
    KeepAlive,
    /// The server side closes, the client side stays.
    ServerClose,
    /// Both close.
    Close,
}

/// `X-Forwarded-For`, or a field of its kind, towards servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedFor {
    /// Header name.
    pub header: String,
    /// Addresses for which it is not added.
    pub except: Networks,
    /// Not added when the request has one.
    pub if_none: bool,
}

/// A statistics page.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Path under which it answers; a prefix.
    pub path: String,
    /// Users; empty = without authentication.
    pub users: Userlist,
    /// Realm shown to the user.
    pub realm: String,
    /// The page asks to be loaded again after this time.
    pub refresh: Option<Duration>,
    /// Conditions under which the page may change servers.
    pub admin: Option<Condition>,
    /// Version left out.
    pub hide_version: bool,
    /// Node name shown.
    pub node: Option<String>,
    /// Description shown.
    pub description: Option<String>,
    /// Further details shown (legends).
    pub legends: bool,
    /// Names of the proxies shown; empty = all. `.` = the one that holds the page.
    pub scope: Vec<String>,
    /// Also answers Prometheus text at this path.
    pub metrics_path: Option<String>,
}
