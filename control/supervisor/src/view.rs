//! The running process as a snapshot: what statistics, metrics and runtime commands show.

use crate::cycle::Cycle;
use crate::process::{Process, unix_ms};
use dashboard::Snapshot;
use dashboard::view::{
    Admin, CheckView, FlowView, Health, PoolView, ProcessView, ServerView, SiteStatus, SiteView, TableView,
};
use health::Checks;
use listener::Accepting;
use plan::pool::Balance;
use plan::smooth::SmoothMethod;
use plan::{Mode, ServerAddress};
use pool::{AdminCause, AdminState, CheckReport, Pool, Server, ServerEndpoint};
use std::sync::Arc;
use std::time::Duration;
use telemetry::rates::{RateKey, Readings};

/// HAProxy's version whose interfaces are spoken; tools look at it.
const RELEASE: &str = "2026/11/20";

/// Everything at this moment.
pub(crate) fn snapshot(process: &Process, cycle: &Cycle, checks: Option<&Checks>) -> Snapshot {
    let now_ms = unix_ms();
    Snapshot {
        tables: cycle.tables.all().iter().map(|table| table_view(table)).collect(),
        now_ms,
        process: process_view(process, cycle, now_ms),
        sites: cycle
            .plan
            .sites
            .iter()
            .zip(&cycle.sites)
            .map(|(plan, state)| site(process, plan, state))
            .collect(),
        pools: cycle
            .plan
            .pools
            .iter()
            .filter_map(|p| cycle.pools.get(&p.name))
            .map(|p| pool_view(process, cycle, p, checks, now_ms))
            .collect(),
        events: recent(process),
        invalid_total: process.web.invalids.total(),
    }
}

fn table_view(table: &tables::Table) -> TableView {
    TableView {
        name: table.plan.name.clone(),
        kind: tables::orders::kind_word(table.plan.key),
        size: table.plan.size.into(),
        used: table.used() as u64,
    }
}

fn recent(process: &Process) -> Vec<(u64, u8, String)> {
    let events = process.events.lock();
    let mut list: Vec<_> = events
        .recent(0, 20)
        .into_iter()
        .map(|e| (e.at_ms, e.event.severity() as u8, e.event.text()))
        .collect();
    list.reverse();
    list
}

fn process_view(process: &Process, cycle: &Cycle, now_ms: u64) -> ProcessView {
    let plan = &cycle.plan.process;
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let mut view = ProcessView {
        name: "HAProxy".into(),
        version: format!("{}-mainstay", env!("CARGO_PKG_VERSION")),
        release_date: RELEASE.into(),
        node: plan.node.clone().unwrap_or_else(|| process.log.hostname.clone()),
        description: plan.description.clone().unwrap_or_default(),
        pid: process.log.pid,
        threads: process.workers as u32,
        descriptors: descriptors.unwrap_or(u64::MAX),
        max_connections: process.quota.limit().into(),
        hard_max_connections: process.initial_limit.into(),
        listeners: cycle.listeners().len() as u64,
        stopping: process.is_stopping(),
        dropped_logs: process.hub.dropped(),
        memory: memory_bytes(),
        idle_percent: process.idle_percent(),
        last_reload_ok: process.last_reload_ok(),
        reloads: process.reloads().0,
        failed_reloads: process.reloads().1,
        reloaded_s: now_ms.saturating_sub(process.in_force_ms()) / 1000,
        connection_rate_limit: process.connection_pace.limit(),
        session_rate_limit: process.session_pace.limit(),
        waiting: process.stats.current.now().into(),
        ..ProcessView::default()
    };
    let rates = process.rates.lock().of(&RateKey::Process);
    view.count(&process.stats, &rates, now_ms);
    view
}

/// Resident memory (proc(5), statm).
fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

fn site(process: &Process, plan: &plan::Site, state: &crate::cycle::SiteState) -> SiteView {
    let limit = state.quota.limit();
    let limit = if limit == u32::MAX { process.quota.limit() } else { limit };
    let mut view = SiteView {
        name: plan.name.clone(),
        id: plan.id,
        http: plan.mode == Mode::Http,
        status: match state.accepting() {
            _ if plan.disabled || process.is_stopping() => SiteStatus::Stopped,
            Accepting::Drain => SiteStatus::Stopped,
            Accepting::Paused => SiteStatus::Paused,
            Accepting::Yes if state.quota.taken() >= limit => SiteStatus::Full,
            Accepting::Yes => SiteStatus::Open,
        },
        description: plan.description.clone().unwrap_or_default(),
        limit: limit.into(),
        ..SiteView::default()
    };
    let rates = process.rates.lock().of(&RateKey::Site(plan.name.clone()));
    view.count(&state.stats, &rates);
    view
}

fn pool_view(
    process: &Process,
    cycle: &Cycle,
    pool: &Arc<Pool>,
    checks: Option<&Checks>,
    now_ms: u64,
) -> PoolView {
    let plan = &pool.plan;
    let rates = process.rates.lock().of(&RateKey::Pool(plan.name.clone()));
    let servers = pool.servers();
    let usable = |backup: bool| servers.iter().filter(move |s| s.is_usable() && s.plan.backup == backup);
    PoolView {
        name: plan.name.clone(),
        id: plan.id,
        http: plan.mode == Mode::Http,
        description: plan.description.clone().unwrap_or_default(),
        algorithm: algorithm(&plan.balance).into(),
        dynamic: pool.is_dynamic(),
        cookie: plan.cookie.as_ref().map(|c| c.name.clone()).unwrap_or_default(),
        flow: FlowView::of(&pool.stats, &rates, now_ms),
        limit: plan.full_connections.map_or_else(|| full(process, &cycle.plan, plan), u64::from),
        up: servers.is_empty() || pool.is_up(),
        weight: pool.total_weight().into(),
        user_weight: usable(false).map(|s| u64::from(s.weight())).sum(),
        active: usable(false).count() as u64,
        backup: usable(true).count() as u64,
        downs: pool.downs(),
        last_change_s: pool.last_change().as_secs(),
        down_s: pool.down_time().as_secs(),
        servers: servers.iter().map(|s| server_view(process, pool, s, checks, now_ms)).collect(),
    }
}

/// What counts as full when nothing is said: a tenth of the limits of the sites that lead there.
fn full(process: &Process, plan: &plan::Plan, pool: &plan::Pool) -> u64 {
    let leads = |site: &&plan::Site| {
        let named = |target: &plan::RouteTarget| matches!(target, plan::RouteTarget::Pool(name) if *name == pool.name);
        site.default_pool.as_ref() == Some(&pool.name) || site.routes.iter().any(|route| named(&route.target))
    };
    let limit = |site: &plan::Site| site.max_connections.unwrap_or(process.quota.limit());
    let sum: u64 = plan.sites.iter().filter(leads).map(|site| u64::from(limit(site))).sum();
    sum.div_ceil(10).max(1)
}

/// HAProxy's name of a way of balancing; where it has none, ours.
fn algorithm(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRoundRobin => "static-rr",
        Balance::LeastConnections => "leastconn",
        Balance::First => "first",
        Balance::Source => "source",
        Balance::Uri(_) => "uri",
        Balance::QueryParameter(_) => "url_param",
        Balance::Header { .. } => "hdr",
        Balance::Hash(_) => "hash",
        Balance::Random(_) => "random",
        Balance::Smooth(smooth) => match &smooth.method {
            SmoothMethod::Turns => "smooth",
            SmoothMethod::LeastConnections => "smooth-leastconn",
            SmoothMethod::ClientNetwork => "smooth-source",
            SmoothMethod::Key { .. } => "smooth-hash",
            SmoothMethod::Random | SmoothMethod::RandomOfTwo => "smooth-random",
        },
    }
}

fn server_view(
    process: &Process,
    pool: &Pool,
    server: &Server,
    checks: Option<&Checks>,
    now_ms: u64,
) -> ServerView {
    let plan = &server.plan;
    let rates = process.rates.lock().of(&RateKey::Server(pool.plan.name.clone(), plan.name.clone()));
    let (address, port) = match server.address() {
        // Without an address it still has the port it will have.
        _ if server.is_unresolved() => ("-".to_owned(), plan.address.port()),
        ServerEndpoint::Tcp(address) => (address.ip().to_string(), address.port()),
        ServerEndpoint::Unix(path) => (path.display().to_string(), 0),
    };
    let (host, service) = match &plan.address {
        ServerAddress::Service(_) => (server.target(), server.host()),
        _ => (server.host(), None),
    };
    let report = server.report();
    let idle = server.stats.sum(|cell| &cell.idle);
    let flow = FlowView::of(&server.stats, &rates, now_ms);
    ServerView {
        name: plan.name.clone(),
        id: plan.id,
        address,
        port,
        host,
        cookie: plan.cookie.clone().unwrap_or_default(),
        backup: plan.backup,
        limit: server.max_connections().map(u64::from),
        queue_limit: plan.max_queue.map(u64::from),
        health: health(server, &report),
        admin: admin(server),
        disabled_by_file: server.admin_by(AdminCause::Config) == AdminState::Maintenance,
        unresolved: server.is_unresolved(),
        service,
        drained_by_agent: server.admin_by(AdminCause::Agent) == AdminState::Drain,
        agent_down: server.agent_health() == pool::Health::Down,
        tracked: plan.track.as_ref().map(ToString::to_string),
        inherits: server.admin_by(AdminCause::Tracked) != AdminState::Ready,
        told_rise: plan.told_rise,
        observed: plan.observe.is_some(),
        weight: server.effective_weight().into(),
        user_weight: server.weight().into(),
        initial_weight: plan.weight.into(),
        throttle_percent: server.throttle_percent().map(u64::from),
        check: plan.check.as_ref().map(|check| CheckView {
            enabled: checks.is_none_or(|checks| checks.checks_enabled(server)),
            port: check.port.unwrap_or(0),
            address: check.address.map(|a| a.to_string()),
            ..check_view(&report)
        }),
        agent: plan.agent.as_ref().map(|agent| CheckView {
            enabled: checks.is_none_or(|checks| checks.agent_enabled(server)),
            port: agent.port,
            address: agent.address.map(|a| a.to_string()),
            ..check_view(&server.agent_report())
        }),
        downs: server.downs(),
        last_change_s: server.last_change().as_secs(),
        down_s: server.down_time().as_secs(),
        idle,
        idle_by_thread: server.stats.workers.iter().map(|cell| cell.0.idle.read()).collect(),
        idle_safe: idle,
        idle_limit: plan.idle_connections.map(u64::from),
        used: flow.current,
        needed: flow.current_max,
        flow,
    }
}

/// What is said about the server, but for what checks say.
fn admin(server: &Server) -> Admin {
    let causes = [AdminCause::Config, AdminCause::Operator, AdminCause::Agent, AdminCause::Tracked];
    match server.admin() {
        AdminState::Maintenance => Admin::Maintenance,
        AdminState::Drain if causes.iter().any(|c| server.admin_by(*c) == AdminState::Drain) => Admin::Drain,
        _ => Admin::Ready,
    }
}

fn health(server: &Server, report: &CheckReport) -> Health {
    let (rise, fall) = (report.rise, report.fall);
    let up = server.is_up();
    match (server.plan.check.is_some(), up) {
        (_, true) if server.admin_by(AdminCause::Health) == AdminState::Drain => Health::Stopping,
        (true, true) if report.health > 0 && report.health < rise + fall - 1 => {
            Health::GoingDown(report.health + 1 - rise.min(report.health + 1), fall)
        }
        (_, true) => Health::Up,
        (true, false) if report.health > 0 => Health::GoingUp(report.health, rise),
        (_, false) => Health::Down,
    }
}

/// Only some outcomes have a code, which may be 0.
fn told_code(report: &CheckReport) -> Option<u32> {
    use pool::CheckStatus::{L7Ok, L7OkCond, L7Status};
    let told = report.code > 0 || matches!(report.status, L7Ok | L7OkCond | L7Status);
    told.then_some(u32::from(report.code))
}

fn check_view(report: &CheckReport) -> CheckView {
    CheckView {
        enabled: true,
        status: report.status.label().into(),
        code: told_code(report),
        duration_ms: report.duration.map(|d: Duration| d.as_millis() as u64),
        info: report.text.to_string(),
        rise: report.rise,
        fall: report.fall,
        health: report.health,
        failures: report.failures,
        port: 0,
        address: None,
    }
}

/// Readings of everything, for the rates.
pub(crate) fn readings(process: &Process, cycle: &Cycle) -> Vec<(RateKey, Readings)> {
    let stats = &process.stats;
    let own = Readings {
        connections: stats.sum(|c| &c.connections),
        sessions: stats.sum(|c| &c.connections),
        requests: stats.sum(|c| &c.requests),
        bytes_out: stats.sum(|c| &c.bytes_out),
    };
    let sites = cycle.sites.iter().map(|site| {
        (
            RateKey::Site(site.name.clone()),
            Readings {
                connections: site.stats.sum(|c| &c.connections),
                sessions: site.stats.sum(|c| &c.sessions),
                requests: site.stats.sum(|c| &c.requests),
                bytes_out: site.stats.sum(|c| &c.bytes_out),
            },
        )
    });
    let flow = |stats: &telemetry::FlowStats| Readings {
        connections: stats.sum(|c| &c.connects),
        sessions: stats.sum(|c| &c.sessions),
        requests: stats.sum(|c| &c.requests),
        bytes_out: stats.sum(|c| &c.bytes_out),
    };
    let pools = cycle.pools.values().flat_map(|pool| {
        let name = &pool.plan.name;
        let all = pool.servers();
        let servers =
            all.iter().map(move |s| (RateKey::Server(name.clone(), s.plan.name.clone()), flow(&s.stats)));
        servers.chain([(RateKey::Pool(name.clone()), flow(&pool.stats))]).collect::<Vec<_>>()
    });
    [(RateKey::Process, own)].into_iter().chain(sites).chain(pools).collect()
}
