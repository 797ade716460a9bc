//! One running configuration: sockets, sites, pools. Made beside the one before, then swapped whole.

use crate::caches::{self, Caretaker};
use crate::names::FirstAddresses;
use crate::process::Process;
use ::cache::Caches;
use listener::{Accepting, Pace, Quota, Socket};
use parking_lot::Mutex;
use plan::stream::SessionTarget;
use plan::{Bind, LogTarget, Mode, Plan, Problem, Problems};
use pool::Pool;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;
use tables::Tables;
use telemetry::{Line, LogIdentity, LogRoute, SiteStats};
use wire::http1::Limits;

/// One running configuration.
pub(crate) struct Cycle {
    pub plan: Plan,
    pub pools: Arc<HashMap<String, Arc<Pool>>>,
    /// Stick tables.
    pub tables: Arc<Tables>,
    /// Caches of answers.
    pub caches: Arc<Caches>,
    /// Looks after them.
    _caretaker: Caretaker,
    /// HTTP sites by name.
    pub http: Arc<web::Sites>,
    /// TCP sites by name.
    pub tcp: Arc<TcpSites>,
    /// Taken away at a graceful stop, so that the addresses are free at once.
    pub listeners: Mutex<Vec<Arc<Listener>>>,
    /// Counters of all sites, in order of the plan.
    pub sites: Vec<Arc<SiteState>>,
    /// Log routes of pools for health events.
    pub pool_logs: Arc<HashMap<String, LogRoute>>,
    /// Log route of the process.
    pub log: LogRoute,
    /// Servers that go on and have another address by name now; done when the cycle begins.
    pub moved: Moves,
}

/// Servers and where they are to be found from now on.
pub(crate) type Moves = Vec<(Arc<pool::Server>, pool::ServerEndpoint)>;

/// All TCP sites by name.
pub(crate) type TcpSites = HashMap<String, Arc<stream::Site>>;

/// Sockets by address.
pub(crate) type Opened = HashMap<plan::BindAddress, Arc<Socket>>;

/// What is kept of a site across reloads.
pub(crate) struct SiteState {
    pub name: String,
    pub stats: Arc<SiteStats>,
    pub quota: Arc<Quota>,
    /// Sessions per second (`rate-limit sessions`).
    pub pace: Arc<Pace>,
    accepting: AtomicU8,
}

impl SiteState {
    fn new(name: &str, workers: usize, limit: Option<u32>) -> SiteState {
        SiteState {
            name: name.to_owned(),
            stats: Arc::new(SiteStats::new(workers)),
            quota: Arc::new(Quota::new(limit)),
            pace: Arc::default(),
            accepting: AtomicU8::new(0),
        }
    }

    /// What its listeners were told last.
    pub fn accepting(&self) -> Accepting {
        match self.accepting.load(Relaxed) {
            0 => Accepting::Yes,
            1 => Accepting::Paused,
            _ => Accepting::Drain,
        }
    }

    /// Keeps what its listeners are told.
    pub fn set_accepting(&self, accepting: Accepting) {
        let number = match accepting {
            Accepting::Yes => 0,
            Accepting::Paused => 1,
            Accepting::Drain => 2,
        };
        self.accepting.store(number, Relaxed);
    }
}

/// A listening socket and the site it belongs to. The same value as long as nothing about it changes.
pub(crate) struct Listener {
    pub bind: Arc<Bind>,
    /// Index of the bind in the site.
    pub index: usize,
    pub site: String,
    pub mode: Mode,
    pub socket: Arc<Socket>,
    pub quota: Arc<Quota>,
    pub state: Arc<SiteState>,
}

impl Cycle {
    /// The listeners that are open.
    pub fn listeners(&self) -> Vec<Arc<Listener>> {
        self.listeners.lock().clone()
    }

    /// Lets the listeners go; workers that still drain them keep them open until they are empty.
    pub fn close_listeners(&self) {
        self.listeners.lock().clear();
    }

    /// Makes everything a plan needs. On problems nothing has changed but sockets opened in vain, which close.
    /// `opened`: sockets that are open already, because the rights to open them are gone.
    pub fn prepare(
        plan: Plan,
        process: &Arc<Process>,
        previous: Option<&Cycle>,
        opened: &Opened,
    ) -> Result<Cycle, Problems> {
        let mut problems = Problems::new();
        let mut moved = Moves::new();
        let sites = site_states(&plan, process, previous);
        let listeners = open_listeners(&plan, &sites, previous, (opened, process.workers), &mut problems);
        let pools = Arc::new(build_pools(&plan, process, previous, &mut moved, &mut problems));
        let tables = Arc::new(build_tables(&plan, process, previous));
        let caches = caches::build(&plan, previous.map(|cycle| &cycle.caches), &mut problems);
        let mut logs = Logs { process, plan: &plan, problems: &mut problems };
        let pool_logs =
            Arc::new(plan.pools.iter().map(|p| (p.name.clone(), logs.route(&p.event_logs, None))).collect());
        let log = logs.route(&plan.process.logs, None);
        let http = Arc::new(http_sites(&plan, &sites, &pools, (&tables, &caches), &mut logs));
        let tcp = Arc::new(tcp_sites(&plan, &sites, &pools, &tables, &mut logs));
        if problems.is_empty() {
            Ok(Cycle {
                plan,
                pools,
                tables,
                _caretaker: Caretaker::start(&caches),
                caches,
                http,
                tcp,
                listeners: Mutex::new(listeners),
                sites,
                pool_logs,
                log,
                moved,
            })
        } else {
            Err(problems)
        }
    }
}

fn site_states(plan: &Plan, process: &Process, previous: Option<&Cycle>) -> Vec<Arc<SiteState>> {
    let before: HashMap<&str, &Arc<SiteState>> =
        previous.iter().flat_map(|c| &c.sites).map(|s| (s.name.as_str(), s)).collect();
    plan.sites
        .iter()
        .map(|site| {
            let limit = site.max_connections;
            match before.get(site.name.as_str()) {
                Some(state) => {
                    state.pace.set_limit(site.session_rate.unwrap_or(0));
                    state.quota.set_limit(limit.unwrap_or(u32::MAX));
                    Arc::clone(state)
                }
                None => {
                    let state = SiteState::new(&site.name, process.workers, limit);
                    state.pace.set_limit(site.session_rate.unwrap_or(0));
                    Arc::new(state)
                }
            }
        })
        .collect()
}

fn open_listeners(
    plan: &Plan,
    sites: &[Arc<SiteState>],
    previous: Option<&Cycle>,
    sockets: (&Opened, usize),
    problems: &mut Problems,
) -> Vec<Arc<Listener>> {
    let mut listeners = Vec::new();
    for (site, state) in plan.sites.iter().zip(sites).filter(|(site, _)| !site.disabled) {
        for index in 0..site.binds.len() {
            match open_listener(site, index, state, previous, sockets) {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    problems.push(Problem::new(site.binds[index].place.clone(), error.to_string()));
                }
            }
        }
    }
    listeners
}

fn open_listener(
    site: &plan::Site,
    index: usize,
    state: &Arc<SiteState>,
    previous: Option<&Cycle>,
    (opened, workers): (&Opened, usize),
) -> Result<Arc<Listener>, listener::BindError> {
    let bind = &site.binds[index];
    let running: Vec<_> = previous.map(Cycle::listeners).unwrap_or_default();
    let before = || running.iter();
    let is_there = |l: &&Arc<Listener>| l.site == site.name && l.mode == site.mode && l.index == index;
    let same = before().find(|l| is_there(l) && is_same(&l.bind, bind));
    if let Some(listener) = same {
        return Ok(Arc::clone(listener));
    }
    // The socket stays open when only its options or its site changed.
    let kept = before().find(|l| l.bind.address == bind.address).map(|l| &l.socket);
    let socket = match opened.get(&bind.address).or(kept) {
        Some(socket) => Arc::clone(socket),
        None => {
            let socket = listener::bind_for(bind, &site.name, workers)?;
            if site.tcp_keep_alive {
                let _ = socket.keep_alive(true);
            }
            Arc::new(socket)
        }
    };
    Ok(Arc::new(Listener {
        bind: Arc::new(bind.clone()),
        index,
        site: site.name.clone(),
        mode: site.mode,
        socket,
        quota: Arc::new(Quota::new(bind.max_connections)),
        state: Arc::clone(state),
    }))
}

/// Equal but for the place in the file.
fn is_same(a: &Bind, b: &Bind) -> bool {
    let bare = |bind: &Bind| format!("{:?}", Bind { place: plan::Place::none(), ..bind.clone() });
    bare(a) == bare(b)
}

fn build_pools(
    plan: &Plan,
    process: &Arc<Process>,
    previous: Option<&Cycle>,
    moved: &mut Moves,
    problems: &mut Problems,
) -> HashMap<String, Arc<Pool>> {
    let mut pools = HashMap::new();
    for pool in &plan.pools {
        let before = previous.and_then(|cycle| cycle.pools.get(&pool.name)).map(|pool| &**pool);
        let first = FirstAddresses::of(pool, before, problems);
        let built = Pool::build_with_clock(
            pool,
            process.workers,
            before,
            &|server| first.get(server),
            process.observer(),
            process.clock.clone(),
        );
        FirstAddresses::spread(&built);
        moved.extend(first.moved(&built));
        pools.insert(pool.name.clone(), Arc::new(built));
    }
    pools
}

/// Opens log routes and collects what cannot be opened.
struct Logs<'a> {
    process: &'a Process,
    plan: &'a Plan,
    problems: &'a mut Problems,
}

impl Logs<'_> {
    fn route(&mut self, targets: &[LogTarget], tag: Option<&String>) -> LogRoute {
        let process = &self.plan.process;
        let identity = LogIdentity {
            tag: tag.or(process.log_tag.as_ref()).cloned().unwrap_or_else(|| self.process.name.clone()),
            hostname: process.log_hostname.clone(),
            pid: self.process.log.pid,
        };
        match self.process.hub.route(targets, &identity) {
            Ok(route) => route,
            Err(error) => {
                let source = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
                self.problems.push(
                    Problem::new(plan::Place::none(), format!("{error}{source}"))
                        .hint("check the path and the rights on it"),
                );
                LogRoute::none()
            }
        }
    }
}

/// What running sites of both modes have in common.
struct Ways {
    routes: Vec<Option<Arc<Pool>>>,
    default_pool: Option<Arc<Pool>>,
    log: Option<LogRoute>,
    line: Line,
    error_line: Option<Line>,
}

impl Ways {
    fn of(site: &plan::Site, pools: &HashMap<String, Arc<Pool>>, logs: &mut Logs<'_>) -> Ways {
        let named = |name: &String| pools.get(name).cloned();
        let route = |route: &plan::Route| match &route.target {
            plan::RouteTarget::Pool(name) => named(name),
            plan::RouteTarget::Computed(_) => None,
        };
        let log = logs.route(&site.log.targets, site.log.tag.as_ref());
        Ways {
            routes: site.routes.iter().map(route).collect(),
            default_pool: site.default_pool.as_ref().and_then(named),
            log: (!site.log.targets.is_empty()).then_some(log),
            line: Line::of(&site.log.line),
            error_line: site.log.error_line.as_ref().map(Line::of_template),
        }
    }
}

/// Tables that did not change keep their entries.
fn build_tables(plan: &Plan, process: &Process, previous: Option<&Cycle>) -> Tables {
    let clock = process.clock.clone();
    let previous = previous.map(|cycle| &*cycle.tables);
    let clock = Arc::new(move || clock.now_ms());
    Tables::build(&plan.tables, previous, clock, |table| process.wakes.journal(plan, table)).with_limits(
        &plan.rate_zones,
        &plan.connection_zones,
        previous,
    )
}

fn http_sites(
    plan: &Plan,
    states: &[Arc<SiteState>],
    pools: &Arc<HashMap<String, Arc<Pool>>>,
    (tables, caches): (&Arc<Tables>, &Arc<Caches>),
    logs: &mut Logs<'_>,
) -> web::Sites {
    let head_bytes = plan.process.head_bytes.unwrap_or(Limits::default().head_bytes);
    let limits = Limits { head_bytes, ..Limits::default() };
    let mut sites = web::Sites::new();
    for (site, state) in plan.sites.iter().zip(states).filter(|(site, _)| site.mode == Mode::Http) {
        let Ways { routes, default_pool, log, line, error_line } = Ways::of(site, pools, logs);
        let error_logs = site.hosts.iter().flat_map(|hosts| &hosts.error_logs);
        let error_routes = error_logs.map(|targets| logs.route(targets, None)).collect();
        let access_logs = site.hosts.iter().flat_map(|hosts| &hosts.access_logs);
        let access_routes =
            access_logs.map(|target| logs.route(std::slice::from_ref(target), None)).collect();
        let running = web::Site {
            plan: site.clone(),
            stats: Arc::clone(&state.stats),
            pools: Arc::clone(pools),
            routes,
            default_pool,
            tables: Arc::clone(tables),
            caches: Arc::clone(caches),
            limits,
            bind_limits: bind_limits(site),
            own_idle_connections: plan.process.own_idle_connections,
            compression: plan.process.compression,
            log,
            line,
            error_line,
            error_routes,
            access_routes,
            process: Arc::clone(&logs.process.web),
        };
        sites.insert(site.name.clone(), Arc::new(running));
    }
    sites
}

/// How heads are read at the binds that hosts share.
fn bind_limits(site: &plan::Site) -> Box<[(Limits, Duration)]> {
    let binds = site.hosts.iter().flat_map(|hosts| &hosts.binds);
    binds.map(|bind| bind.heads()).map(|heads| (web::limits_of(&heads), heads.timeout)).collect()
}

/// Lines that a TCP site wants besides that of its log.
fn access_logs(site: &plan::Site, logs: &mut Logs<'_>) -> Vec<stream::AccessLog> {
    let said = site.stream.iter().flat_map(|settings| &settings.logs);
    said.map(|log| stream::AccessLog {
        target: match &log.target {
            SessionTarget::Open(target) => {
                stream::LogEnd::Open(logs.route(std::slice::from_ref(target), None))
            }
            SessionTarget::Made(path, keep) => stream::LogEnd::Made(path.clone(), *keep),
        },
        line: log.line.clone(),
        when: log.when.clone(),
    })
    .collect()
}

fn tcp_sites(
    plan: &Plan,
    states: &[Arc<SiteState>],
    pools: &Arc<HashMap<String, Arc<Pool>>>,
    tables: &Arc<Tables>,
    logs: &mut Logs<'_>,
) -> TcpSites {
    let log_process = Arc::new(logs.process.log.clone());
    let mut sites = TcpSites::new();
    for (site, state) in plan.sites.iter().zip(states).filter(|(site, _)| site.mode == Mode::Tcp) {
        let Ways { routes, default_pool, log, line, error_line } = Ways::of(site, pools, logs);
        let running = stream::Site {
            plan: site.clone(),
            stats: Arc::clone(&state.stats),
            pools: Arc::clone(pools),
            routes,
            default_pool,
            tables: Arc::clone(tables),
            log,
            line,
            error_line,
            access_logs: access_logs(site, logs),
            process: Arc::clone(&logs.process.stats),
            log_process: Arc::clone(&log_process),
        };
        sites.insert(site.name.clone(), Arc::new(running));
    }
    sites
}
