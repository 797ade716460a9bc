//! Prometheus text (exposition format 0.0.4) by HAProxy's names, and our own `mainstay_*`.
//!
//! One table per scope: name, type, help and how the value is read. What a build without TLS, compression,
//! caches and peers cannot have is truly 0.

use crate::checks;
use crate::view::{
    CheckView, FlowView, Health, PoolView, ServerView, SiteStatus, SiteView, Snapshot, TableView,
};
use std::fmt::Write as _;
use telemetry::Cause;

/// A value of a series.
enum Number {
    /// A count.
    Of(u64),
    /// Milliseconds, shown in seconds.
    Ms(u64),
    /// No series.
    None,
}

/// Name without the prefix, help, value.
type Metric<T> = (&'static str, &'static str, fn(&T) -> Number);

use Number::{Ms, Of};

const PROCESS: &[Metric<Snapshot>] = &[
    ("nbthread", "Worker threads.", |s| Of(s.process.threads.into())),
    ("nbproc", "Processes.", |_| Of(1)),
    ("relative_process_id", "Number of this process.", |_| Of(1)),
    ("uptime_seconds", "Seconds since the start.", |s| Of(s.process.uptime_s)),
    ("pool_failures_total", "Failed allocations.", zero),
    ("max_fds", "Descriptor limit.", |s| Of(s.process.descriptors)),
    ("max_sockets", "Socket limit.", |s| Of(s.process.descriptors)),
    ("max_connections", "Connection limit.", |s| Of(s.process.max_connections)),
    ("hard_max_connections", "Connection limit of the start.", |s| Of(s.process.hard_max_connections)),
    ("current_connections", "Connections now.", |s| Of(s.process.connections)),
    ("connections_total", "Connections so far.", |s| Of(s.process.connections_total)),
    ("requests_total", "Requests so far.", |s| Of(s.process.requests_total)),
    ("max_ssl_connections", "Limit of encrypted connections.", zero),
    ("current_ssl_connections", "Encrypted connections now.", |s| Of(s.process.encrypted)),
    ("ssl_connections_total", "Encrypted connections so far.", |s| Of(s.process.encrypted_total)),
    ("max_pipes", "Pipe limit.", zero),
    ("pipes_used_total", "Pipes in use.", zero),
    ("pipes_free_total", "Pipes kept.", zero),
    ("current_connection_rate", "Connections per second.", |s| Of(s.process.connection_rate.now)),
    ("limit_connection_rate", "Limit of connections per second, 0 = none.", zero),
    ("max_connection_rate", "Most connections per second.", |s| Of(s.process.connection_rate.max)),
    ("current_session_rate", "Sessions per second.", |s| Of(s.process.session_rate.now)),
    ("limit_session_rate", "Limit of sessions per second, 0 = none.", zero),
    ("max_session_rate", "Most sessions per second.", |s| Of(s.process.session_rate.max)),
    ("current_ssl_rate", "Encrypted sessions per second.", zero),
    ("limit_ssl_rate", "Limit of encrypted sessions per second, 0 = none.", zero),
    ("max_ssl_rate", "Most encrypted sessions per second.", zero),
    ("current_frontend_ssl_key_rate", "Key exchanges with clients per second.", zero),
    ("max_frontend_ssl_key_rate", "Most key exchanges with clients per second.", zero),
    ("frontend_ssl_reuse", "Resumed sessions of clients, percent.", zero),
    ("current_backend_ssl_key_rate", "Key exchanges with servers per second.", zero),
    ("max_backend_ssl_key_rate", "Most key exchanges with servers per second.", zero),
    ("ssl_cache_lookups_total", "Look-ups in the session cache.", zero),
    ("ssl_cache_misses_total", "Look-ups in the session cache without a find.", zero),
    ("http_comp_bytes_in_total", "Bytes given to compression.", zero),
    ("http_comp_bytes_out_total", "Bytes out of compression.", zero),
    ("limit_http_comp", "Limit of compressed bytes per second, 0 = none.", zero),
    ("current_zlib_memory", "Memory of compression, bytes.", zero),
    ("max_zlib_memory", "Memory limit of compression, bytes.", zero),
    ("current_tasks", "Tasks.", |s| Of(s.process.tasks)),
    ("current_run_queue", "Tasks that wait to run.", zero),
    ("idle_time_percent", "Time the workers wait, percent.", |s| Of(s.process.idle_percent)),
    ("stopping", "1 during a graceful stop.", |s| Of(s.process.stopping.into())),
    ("jobs", "Connections and listeners.", |s| Of(s.process.connections + s.process.listeners)),
    ("unstoppable_jobs", "Jobs that a stop does not end.", zero),
    ("listeners", "Listening sockets.", |s| Of(s.process.listeners)),
    ("active_peers", "Peers.", zero),
    ("connected_peers", "Connected peers.", zero),
    ("dropped_logs_total", "Log lines lost.", |s| Of(s.process.dropped_logs)),
    ("busy_polling_enabled", "1 when workers poll without waiting.", zero),
    ("failed_resolutions", "Failed name look-ups.", |s| Of(s.process.failed_resolutions)),
    ("bytes_out_total", "Bytes to clients.", |s| Of(s.process.bytes_out)),
    ("spliced_bytes_out_total", "Bytes to clients that the kernel moved.", |s| {
        Of(s.process.spliced_bytes_out)
    }),
    ("bytes_out_rate", "Bytes to clients per second.", |s| Of(s.process.bytes_out_rate)),
    ("recv_logs_total", "Log lines received.", zero),
    ("max_memory_bytes", "Memory limit, bytes, 0 = none.", zero),
    ("pool_allocated_bytes", "Memory in use, bytes.", |s| Of(s.process.memory)),
    ("pool_used_bytes", "Memory in use, bytes.", |s| Of(s.process.memory)),
    ("start_time_seconds", "Start, Unix seconds.", |s| Of(s.process.started_s)),
];

fn zero<T>(_: &T) -> Number {
    Of(0)
}

const SITE: &[Metric<SiteView>] = &[
    ("current_sessions", "Connections now.", |s| Of(s.current)),
    ("max_sessions", "Most connections at once.", |s| Of(s.current_max)),
    ("limit_sessions", "Connection limit.", |s| Of(s.limit)),
    ("sessions_total", "Sessions so far.", |s| Of(s.sessions)),
    ("bytes_in_total", "Bytes from clients.", |s| Of(s.bytes_in)),
    ("bytes_out_total", "Bytes to clients.", |s| Of(s.bytes_out)),
    ("requests_denied_total", "Requests denied by rules.", |s| Of(s.denied_requests)),
    ("responses_denied_total", "Responses denied by rules.", |s| Of(s.denied_responses)),
    ("request_errors_total", "Invalid or aborted requests.", |s| Of(s.request_errors)),
    ("current_session_rate", "Sessions per second.", |s| Of(s.session_rate.now)),
    ("limit_session_rate", "Limit of sessions per second, 0 = none.", zero),
    ("max_session_rate", "Most sessions per second.", |s| Of(s.session_rate.max)),
    ("connections_rate_max", "Most connections per second.", |s| Of(s.connection_rate.max)),
    ("connections_total", "Connections so far.", |s| Of(s.connections)),
    ("http_requests_rate_max", "Most requests per second.", |s| http(s.http, s.request_rate.max)),
    ("http_requests_total", "Requests so far.", |s| http(s.http, s.requests)),
    ("http_comp_bytes_in_total", "Bytes given to compression.", |s| http(s.http, s.compression[0])),
    ("http_comp_bytes_out_total", "Bytes out of compression.", |s| http(s.http, s.compression[1])),
    ("http_comp_bytes_bypassed_total", "Bytes that compression let pass.", |s| {
        http(s.http, s.compression[2])
    }),
    ("http_comp_responses_total", "Compressed responses.", |s| http(s.http, s.compression[3])),
    ("http_cache_lookups_total", "Look-ups in caches.", |s| http(s.http, 0)),
    ("http_cache_hits_total", "Responses out of caches.", |s| http(s.http, 0)),
    ("intercepted_requests_total", "Requests answered by ourselves.", |s| Of(s.intercepted)),
    ("denied_connections_total", "Connections denied by rules.", |s| Of(s.denied_connections)),
    ("denied_sessions_total", "Sessions denied by rules.", |s| Of(s.denied_sessions)),
    ("failed_header_rewriting_total", "Header edits that failed.", |s| Of(s.failed_rewrites)),
    ("internal_errors_total", "Faults of our own.", |s| Of(s.internal_errors)),
];

fn http(http: bool, value: u64) -> Number {
    if http { Of(value) } else { Number::None }
}

/// What pools and servers both have.
const FLOW: &[Metric<FlowView>] = &[
    ("current_queue", "Requests waiting.", |f| Of(f.queue)),
    ("max_queue", "Most requests that waited at once.", |f| Of(f.queue_max)),
    ("current_sessions", "Requests in progress.", |f| Of(f.current)),
    ("max_sessions", "Most requests in progress at once.", |f| Of(f.current_max)),
    ("sessions_total", "Requests or connections so far.", |f| Of(f.sessions)),
    ("current_session_rate", "Sessions per second.", |f| Of(f.rate.now)),
    ("max_session_rate", "Most sessions per second.", |f| Of(f.rate.max)),
    ("last_session_seconds", "Seconds since the last request.", |f| {
        f.last_session_s.map_or(Number::None, Of)
    }),
    ("connection_attempts_total", "Connections opened or tried.", |f| Of(f.connects)),
    ("connection_reuses_total", "Requests on a connection used before.", |f| Of(f.reuses)),
    ("bytes_in_total", "Bytes from clients.", |f| Of(f.bytes_in)),
    ("bytes_out_total", "Bytes to clients.", |f| Of(f.bytes_out)),
    ("queue_time_average_seconds", "Time in queues, average of the last 1024.", |f| Ms(f.average_ms[0])),
    ("connect_time_average_seconds", "Time to connect, average of the last 1024.", |f| Ms(f.average_ms[1])),
    ("response_time_average_seconds", "Time to the response, average of the last 1024.", |f| {
        Ms(f.average_ms[2])
    }),
    ("total_time_average_seconds", "Whole time, average of the last 1024.", |f| Ms(f.average_ms[3])),
    ("max_queue_time_seconds", "Longest time in queues.", |f| Ms(f.max_ms[0])),
    ("max_connect_time_seconds", "Longest time to connect.", |f| Ms(f.max_ms[1])),
    ("max_response_time_seconds", "Longest time to the response.", |f| Ms(f.max_ms[2])),
    ("max_total_time_seconds", "Longest whole time.", |f| Ms(f.max_ms[3])),
    ("responses_denied_total", "Responses denied by rules.", |f| Of(f.denied_responses)),
    ("connection_errors_total", "Failed connections.", |f| Of(f.connect_errors)),
    ("response_errors_total", "Failed responses.", |f| Of(f.response_errors)),
    ("retry_warnings_total", "Retries.", |f| Of(f.retries)),
    ("redispatch_warnings_total", "Changes of the server after a failure.", |f| Of(f.redispatches)),
    ("failed_header_rewriting_total", "Header edits that failed.", |f| Of(f.failed_rewrites)),
    ("internal_errors_total", "Faults of our own.", |f| Of(f.internal_errors)),
    ("client_aborts_total", "Transfers ended by clients.", |f| Of(f.client_aborts)),
    ("server_aborts_total", "Transfers ended by servers.", |f| Of(f.server_aborts)),
    ("loadbalanced_total", "Times chosen by balancing.", |f| Of(f.balanced)),
];

const POOL: &[Metric<PoolView>] = &[
    ("limit_sessions", "Requests at which full limits hold.", |p| Of(p.limit)),
    ("requests_denied_total", "Requests denied by rules.", |p| Of(p.flow.denied_requests)),
    ("weight", "Weight of the usable servers.", |p| Of(p.weight)),
    ("uweight", "The same as set by users.", |p| Of(p.user_weight)),
    ("active_servers", "Usable servers.", |p| Of(p.active)),
    ("backup_servers", "Usable backup servers.", |p| Of(p.backup)),
    ("check_up_down_total", "Times it went down.", |p| Of(p.downs)),
    ("check_last_change_seconds", "Seconds since it changed.", |p| Of(p.last_change_s)),
    ("downtime_seconds_total", "Seconds it was down.", |p| Of(p.down_s)),
    ("http_requests_total", "Requests so far.", |p| http(p.http, p.flow.requests)),
    ("http_comp_bytes_in_total", "Bytes given to compression.", |p| http(p.http, p.flow.compression[0])),
    ("http_comp_bytes_out_total", "Bytes out of compression.", |p| http(p.http, p.flow.compression[1])),
    ("http_comp_bytes_bypassed_total", "Bytes that compression let pass.", |p| {
        http(p.http, p.flow.compression[2])
    }),
    ("http_comp_responses_total", "Compressed responses.", |p| http(p.http, p.flow.compression[3])),
    ("http_cache_lookups_total", "Look-ups in caches.", |p| http(p.http, 0)),
    ("http_cache_hits_total", "Responses out of caches.", |p| http(p.http, 0)),
];

const SERVER: &[Metric<ServerView>] = &[
    ("limit_sessions", "Requests at once allowed.", |s| s.limit.map_or(Number::None, Of)),
    ("queue_limit", "Requests that may wait.", |s| s.queue_limit.map_or(Number::None, Of)),
    ("weight", "Weight in force.", |s| Of(s.weight)),
    ("uweight", "Weight set by the user.", |s| Of(s.user_weight)),
    ("check_failures_total", "Failed checks while up.", |s| check(s, |c| Of(c.failures))),
    ("check_up_down_total", "Times it went down.", |s| Of(s.downs)),
    ("check_last_change_seconds", "Seconds since it changed.", |s| Of(s.last_change_s)),
    ("check_code", "Code of the last check.", |s| {
        check(s, |c| c.code.map_or(Number::None, |n| Of(n.into())))
    }),
    ("check_duration_seconds", "Time the last check took.", |s| {
        check(s, |c| c.duration_ms.map_or(Number::None, Ms))
    }),
    ("downtime_seconds_total", "Seconds it was down.", |s| Of(s.down_s)),
    ("current_throttle", "Share of a slow start, percent.", |s| Of(s.throttle_percent.unwrap_or(100))),
    ("idle_connections_current", "Idle connections.", |s| Of(s.idle)),
    ("idle_connections_limit", "Idle connections allowed.", |s| s.idle_limit.map_or(Number::None, Of)),
    ("unsafe_idle_connections_current", "Idle connections not for first requests.", |s| {
        Of(s.idle.saturating_sub(s.idle_safe))
    }),
    ("safe_idle_connections_current", "Idle connections for any request.", |s| Of(s.idle_safe)),
    ("used_connections_current", "Connections in use.", |s| Of(s.used)),
    ("need_connections_current", "Connections thought to be needed.", |s| Of(s.needed)),
];

fn check(server: &ServerView, value: impl Fn(&CheckView) -> Number) -> Number {
    server.check.as_ref().filter(|c| c.enabled).map_or(Number::None, value)
}

const CODES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// What a scrape asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// The process.
    pub process: bool,
    /// Sites.
    pub sites: bool,
    /// Pools.
    pub pools: bool,
    /// Servers.
    pub servers: bool,
    /// Stick tables.
    pub tables: bool,
    /// Servers in maintenance are left out.
    pub no_maintenance: bool,
}

impl Default for Scopes {
    fn default() -> Scopes {
        Scopes { process: true, sites: true, pools: true, servers: true, tables: true, no_maintenance: false }
    }
}

impl Scopes {
    /// From the query of a scrape: `scope=` (repeated, or `*`), `no-maint`. `None` = the query is not valid.
    pub fn from_query(query: &str) -> Option<Scopes> {
        let mut scopes = Scopes::default();
        let mut chosen = false;
        for part in query.split('&').filter(|p| !p.is_empty()) {
            match part.split_once('=') {
                Some(("scope", scope)) => {
                    if !std::mem::replace(&mut chosen, true) {
                        scopes = Scopes { no_maintenance: scopes.no_maintenance, ..Scopes::none() };
                    }
                    scopes.add(scope)?;
                }
                None if part == "no-maint" => scopes.no_maintenance = true,
                _ => {} // unknown parameters are ignored, as exporters do
            }
        }
        Some(scopes)
    }

    fn none() -> Scopes {
        Scopes {
            process: false,
            sites: false,
            pools: false,
            servers: false,
            tables: false,
            no_maintenance: false,
        }
    }

    fn add(&mut self, scope: &str) -> Option<()> {
        match scope {
            "*" => *self = Scopes { no_maintenance: self.no_maintenance, ..Scopes::default() },
            "global" => self.process = true,
            "frontend" => self.sites = true,
            "backend" => self.pools = true,
            "server" => self.servers = true,
            "sticktable" => self.tables = true,
            "listener" | "" => {}
            _ => return None,
        }
        Some(())
    }
}

/// The metrics. Content type: `text/plain; version=0.0.4`.
pub fn prometheus(snapshot: &Snapshot, scopes: Scopes) -> String {
    let mut out = Writer(String::with_capacity(64 << 10));
    if scopes.process {
        process(snapshot, &mut out);
    }
    if scopes.sites {
        sites(snapshot, &mut out);
    }
    if scopes.pools {
        pools(snapshot, &mut out);
    }
    if scopes.servers {
        servers(snapshot, scopes.no_maintenance, &mut out);
    }
    if scopes.tables {
        tables(snapshot, &mut out);
    }
    own(snapshot, &mut out);
    out.0
}

fn tables(snapshot: &Snapshot, out: &mut Writer) {
    let mut all = |name, help, value: fn(&TableView) -> u64| {
        out.head(name, help);
        for table in &snapshot.tables {
            let labels = format!("{},{}", label("name", &table.name), label("type", table.kind));
            out.series(name, &labels, &Of(value(table)));
        }
    };
    all("haproxy_sticktable_size", "Entries a table has room for.", |table| table.size);
    all("haproxy_sticktable_used", "Entries of a table.", |table| table.used);
}

struct Writer(String);

impl Writer {
    fn head(&mut self, name: &str, help: &str) {
        let kind = match name {
            "haproxy_process_failed_resolutions" => "counter",
            _ if name.ends_with("_total") => "counter",
            _ => "gauge",
        };
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn series(&mut self, name: &str, labels: &str, value: &Number) {
        let _ = match value {
            Number::None => Ok(()),
            Of(n) if labels.is_empty() => writeln!(self.0, "{name} {n}"),
            Of(n) => writeln!(self.0, "{name}{{{labels}}} {n}"),
            Ms(n) => writeln!(self.0, "{name}{{{labels}}} {}.{:03}", n / 1000, n % 1000),
        };
    }

    /// A metric over all things of a scope: each with its labels made before.
    fn table<T, U>(&mut self, scope: &str, table: &[Metric<T>], things: &[(String, &U)], part: fn(&U) -> &T) {
        for (name, help, value) in table {
            let name = format!("haproxy_{scope}_{name}");
            self.head(&name, help);
            for (labels, thing) in things {
                self.series(&name, labels, &value(part(thing)));
            }
        }
    }

    /// A state set: one series per state, 1 for the present one.
    fn states<U>(
        &mut self,
        name: &str,
        help: &str,
        things: &[(String, &U)],
        states: &[&str],
        now: fn(&U) -> &str,
    ) {
        self.head(name, help);
        for (labels, thing) in things {
            for state in states {
                let labels = format!("{labels},state=\"{state}\"");
                self.series(name, &labels, &Of(u64::from(now(thing) == *state)));
            }
        }
    }

    fn codes<U>(&mut self, scope: &str, things: &[(String, &U)], responses: fn(&U) -> Option<&[u64; 6]>) {
        let name = format!("haproxy_{scope}_http_responses_total");
        self.head(&name, "Responses by class of status.");
        for (labels, thing) in things {
            for (code, count) in CODES.iter().zip(responses(thing).into_iter().flatten()) {
                self.series(&name, &format!("{labels},code=\"{code}\""), &Of(*count));
            }
        }
    }
}

fn process(snapshot: &Snapshot, out: &mut Writer) {
    for (name, help, value) in PROCESS {
        let name = format!("haproxy_process_{name}");
        out.head(&name, help);
        out.series(&name, "", &value(snapshot));
    }
    out.head("haproxy_process_build_info", "Version.");
    out.series("haproxy_process_build_info", &label("version", &snapshot.process.version), &Of(1));
}

fn sites(snapshot: &Snapshot, out: &mut Writer) {
    let sites: Vec<_> = snapshot.sites.iter().map(|s| (label("proxy", &s.name), s)).collect();
    out.states("haproxy_frontend_status", "Whether it takes connections.", &sites, &["UP", "DOWN"], |s| {
        if matches!(s.status, SiteStatus::Open | SiteStatus::Full) { "UP" } else { "DOWN" }
    });
    out.table("frontend", SITE, &sites, |s| s);
    out.codes("frontend", &sites, |s| s.http.then_some(&s.responses));
}

fn pools(snapshot: &Snapshot, out: &mut Writer) {
    let pools: Vec<_> = snapshot.pools.iter().map(|p| (label("proxy", &p.name), p)).collect();
    out.states("haproxy_backend_status", "Whether it can serve requests.", &pools, &["UP", "DOWN"], |p| {
        if p.up { "UP" } else { "DOWN" }
    });
    out.table("backend", FLOW, &pools, |p| &p.flow);
    out.table("backend", POOL, &pools, |p| p);
    out.codes("backend", &pools, |p| p.http.then_some(&p.flow.responses));
    aggregates(&pools, out);
}

const SERVER_STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

/// How many servers of a pool are in each state.
fn aggregates(pools: &[(String, &PoolView)], out: &mut Writer) {
    for name in ["haproxy_backend_agg_server_status", "haproxy_backend_agg_server_check_status"] {
        out.head(name, "Servers by state.");
        for (labels, pool) in pools {
            for state in SERVER_STATES {
                let count = pool.servers.iter().filter(|s| s.state() == state).count() as u64;
                out.series(name, &format!("{labels},state=\"{state}\""), &Of(count));
            }
        }
    }
    let name = "haproxy_backend_agg_check_status";
    out.head(name, "Servers by outcome of the last check.");
    for (labels, pool) in pools {
        for state in checks::STATES {
            let count = pool.servers.iter().filter(|s| check_label(s) == state).count() as u64;
            out.series(name, &format!("{labels},state=\"{state}\""), &Of(count));
        }
    }
}

fn check_label(server: &ServerView) -> &str {
    server.check.as_ref().filter(|c| c.enabled).map_or("", |c| &c.status)
}

fn servers(snapshot: &Snapshot, no_maintenance: bool, out: &mut Writer) {
    let all = snapshot.pools.iter().flat_map(|p| p.servers.iter().map(move |s| (p, s)));
    let wanted: Vec<_> = all
        .filter(|(_, s)| !(no_maintenance && s.state() == "MAINT"))
        .map(|(p, s)| ((p, s), format!("{},{}", label("proxy", &p.name), label("server", &s.name))))
        .collect();
    let servers: Vec<(String, &ServerView)> =
        wanted.iter().map(|((_, s), labels)| (labels.clone(), *s)).collect();
    let http: Vec<_> =
        wanted.iter().filter(|((p, _), _)| p.http).map(|((_, s), labels)| (labels.clone(), *s)).collect();
    let checked: Vec<_> = servers.iter().filter(|(_, s)| !check_label(s).is_empty()).cloned().collect();
    out.states("haproxy_server_status", "State.", &servers, &SERVER_STATES, ServerView::state);
    out.states("haproxy_server_check_status", "Last check.", &checked, &checks::STATES, check_label);
    out.table("server", FLOW, &servers, |s| &s.flow);
    out.table("server", SERVER, &servers, |s| s);
    out.codes("server", &http, |s| Some(&s.flow.responses));
}

/// Our own metrics.
fn own(snapshot: &Snapshot, out: &mut Writer) {
    let name = "mainstay_errors_total";
    out.head(name, "Failures by their one precise cause.");
    let mut series = |cause: Cause, count: u64, proxy: &str, server: &str| {
        let labels =
            format!("cause=\"{}\",{},{}", cause.label(), label("proxy", proxy), label("server", server));
        out.series(name, &labels, &Of(count));
    };
    // A site's failures are also its pool's and server's; each is counted where it happened.
    for site in &snapshot.sites {
        site.causes.iter().for_each(|(cause, n)| series(*cause, *n, &site.name, "FRONTEND"));
    }
    for pool in &snapshot.pools {
        pool.flow.causes.iter().for_each(|(cause, n)| series(*cause, *n, &pool.name, "BACKEND"));
        for server in &pool.servers {
            server.flow.causes.iter().for_each(|(cause, n)| series(*cause, *n, &pool.name, &server.name));
        }
    }
    let rising =
        |p: &PoolView| p.servers.iter().filter(|s| matches!(s.health, Health::GoingUp(..))).count() as u64;
    out.head("mainstay_rising_servers", "Servers that are coming back.");
    for pool in &snapshot.pools {
        out.series("mainstay_rising_servers", &label("proxy", &pool.name), &Of(rising(pool)));
    }
    out.head("mainstay_config_last_reload_success", "1 when the last reload worked.");
    out.series("mainstay_config_last_reload_success", "", &Of(snapshot.process.last_reload_ok.into()));
}

/// `name="value"` with backslash, quote and line end escaped.
fn label(name: &str, value: &str) -> String {
    let mut out = format!("{name}=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;
    use std::collections::HashSet;

    /// Names that the dashboard 12693 asks for.
    const NAMES: &str = include_str!("names_12693.txt");

    #[test]
    fn every_name_of_the_dashboard_is_there() {
        let text = prometheus(&sample::snapshot(), Scopes::default());
        let types: HashSet<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let series: HashSet<&str> =
            text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(['{', ' ']).next()).collect();
        for name in NAMES.split_whitespace() {
            assert!(types.contains(name), "{name}");
            let no_data = name.ends_with("_last_session_seconds");
            assert!(no_data || series.contains(name), "no series of {name}");
        }
        assert!(series.iter().all(|name| types.contains(name)));
    }

    #[test]
    fn series_are_well_formed_and_unique() {
        let text = prometheus(&sample::snapshot(), Scopes::default());
        let mut seen = HashSet::new();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "twice: {series}");
        }
        for line in [
            "haproxy_server_status{proxy=\"app\",server=\"s1\",state=\"DOWN\"} 1",
            "haproxy_server_status{proxy=\"app\",server=\"s2\",state=\"MAINT\"} 1",
            "haproxy_server_status{proxy=\"app\",server=\"s2\",state=\"UP\"} 0",
            "haproxy_server_check_status{proxy=\"app\",server=\"s1\",state=\"L4CON\"} 1",
            "haproxy_server_total_time_average_seconds{proxy=\"app\",server=\"s1\"} 1.234",
            "haproxy_frontend_http_responses_total{proxy=\"www\",code=\"2xx\"} 5",
            "haproxy_backend_agg_server_status{proxy=\"app\",state=\"DOWN\"} 1",
            "mainstay_errors_total{cause=\"bad_request\",proxy=\"www\",server=\"FRONTEND\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        assert!(text.contains("# TYPE haproxy_process_failed_resolutions counter\n"));
    }

    #[test]
    fn scopes_and_labels() {
        let none = Scopes::none();
        for (query, expected) in [
            ("", Some(Scopes::default())),
            ("scope=server&no-maint", Some(Scopes { servers: true, no_maintenance: true, ..none })),
            (
                "no-maint&scope=global&scope=frontend",
                Some(Scopes { process: true, sites: true, no_maintenance: true, ..none }),
            ),
            ("scope=*", Some(Scopes::default())),
            ("scope=what", None),
        ] {
            assert_eq!(Scopes::from_query(query), expected, "{query}");
        }
        let only = prometheus(&sample::snapshot(), Scopes { servers: true, no_maintenance: true, ..none });
        assert!(!only.contains("haproxy_frontend") && !only.contains("\"s2\"") && only.contains("\"s1\""));
        assert_eq!(label("proxy", "a\"\\\n"), "proxy=\"a\\\"\\\\\\n\"");
    }
}
