//! What belongs to the process and outlives every cycle.

use crate::watcher::Watcher;
use arc_swap::ArcSwap;
use listener::{Pace, Quota};
use plan::Severity;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use telemetry::{Event, Events, LogHub, LogProcess, LogQueue, LogRoute, ProcessStats, Rates};

/// What belongs to the process and outlives every cycle.
pub(crate) struct Process {
    /// Name in logs and answers: `mainstay`, or `haproxy` when called so.
    pub name: String,
    /// Worker threads.
    pub workers: usize,
    /// Counters.
    pub stats: Arc<ProcessStats>,
    /// Limit of client connections.
    pub quota: Arc<Quota>,
    /// The limit at the start.
    pub initial_limit: u32,
    /// Connections per second.
    pub connection_pace: Arc<Pace>,
    /// Sessions per second.
    pub session_pace: Arc<Pace>,
    /// Logs.
    pub hub: LogHub,
    /// What log lines say about the process.
    pub log: LogProcess,
    /// What HTTP sites know of the process.
    pub web: Arc<web::Process>,
    /// Clock of servers and checks.
    pub clock: pool::Clock,
    /// What wakes groups of peers.
    pub wakes: crate::share::Wakes,
    /// Recent events.
    pub events: parking_lot::Mutex<Events>,
    /// Log routes of the running cycle's pools.
    pub pool_logs: ArcSwap<HashMap<String, LogRoute>>,
    /// Rates by the second.
    pub rates: parking_lot::Mutex<Rates>,
    queue: parking_lot::Mutex<LogQueue>,
    route: parking_lot::Mutex<LogRoute>,
    watcher: OnceLock<Arc<Watcher>>,
    /// What happens is said on standard error too.
    speaks: bool,
    stopping: AtomicBool,
    reloads: AtomicU32,
    failed_reloads: AtomicU32,
    /// When the running configuration came into force, Unix milliseconds.
    in_force_ms: AtomicU64,
    startup_log: parking_lot::Mutex<String>,
    idle_percent: AtomicU64,
    /// Idle server connections of all workers.
    pub idle: Arc<pool::IdleRooms>,
}

impl Process {
    /// Things of a process that begins now.
    pub fn new(
        name: String,
        workers: usize,
        hub: LogHub,
        pages: Arc<dyn web::Pages>,
        quota: Arc<Quota>,
    ) -> Process {
        let stats = Arc::new(ProcessStats::new(workers, unix_ms()));
        let log = LogProcess { pid: std::process::id(), hostname: hostname() };
        let web = web::Process {
            stats: Arc::clone(&stats),
            pages,
            log: log.clone(),
            invalids: Arc::default(),
            compressed: web::Meter::default(),
            names: pool::Names::default(),
            passing: pool::Passing::default(),
            connections: Default::default(),
            visitors: Default::default(),
        };
        Process {
            name,
            workers,
            stats,
            initial_limit: quota.limit(),
            quota,
            connection_pace: Arc::default(),
            session_pace: Arc::default(),
            log,
            web: Arc::new(web),
            clock: pool::Clock::system(),
            wakes: crate::share::Wakes::default(),
            events: parking_lot::Mutex::new(Events::new(1024)),
            pool_logs: ArcSwap::default(),
            rates: parking_lot::Mutex::default(),
            queue: parking_lot::Mutex::new(hub.queue()),
            route: parking_lot::Mutex::new(LogRoute::none()),
            watcher: OnceLock::new(),
            speaks: true,
            stopping: AtomicBool::new(false),
            reloads: AtomicU32::new(0),
            failed_reloads: AtomicU32::new(0),
            in_force_ms: AtomicU64::new(unix_ms()),
            startup_log: parking_lot::Mutex::default(),
            idle_percent: AtomicU64::new(100),
            idle: Arc::new(pool::IdleRooms::new(workers, pool::IdleLimits::default())),
            hub,
        }
    }

    /// The same, saying on standard error what happens, or not.
    pub fn speaking(mut self, speaks: bool) -> Process {
        self.speaks = speaks;
        self
    }

    /// Says something on standard error, if the process speaks at all.
    pub fn say(&self, text: &str) {
        if self.speaks {
            say(text);
        }
    }

    /// A line of what went wrong, for the log only.
    pub fn log_error(&self, text: &str) {
        let route = self.route.lock().clone();
        self.queue.lock().push(&route, Severity::Error, text.as_bytes());
    }

    /// Who hears what happens at servers. Set once, before the first cycle is prepared.
    pub fn set_watcher(&self, watcher: Arc<Watcher>) {
        let _ = self.watcher.set(watcher);
    }

    /// Who hears what happens at servers.
    pub fn observer(&self) -> Arc<dyn pool::Observer> {
        match self.watcher.get() {
            Some(watcher) => Arc::clone(watcher) as Arc<dyn pool::Observer>,
            None => Arc::new(pool::NoObserver),
        }
    }

    /// A graceful stop began.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// A graceful stop is under way.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// A reload ended so.
    pub fn set_reload_ok(&self, ok: bool) {
        self.reloads.fetch_add(1, Relaxed);
        match ok {
            true => {
                self.failed_reloads.store(0, Relaxed);
                self.in_force_ms.store(unix_ms(), Relaxed);
            }
            false => drop(self.failed_reloads.fetch_add(1, Relaxed)),
        }
    }

    /// The last reload worked, or there was none.
    pub fn last_reload_ok(&self) -> bool {
        self.failed_reloads.load(Relaxed) == 0
    }

    /// Reloads so far, and how many failed since the last one that worked.
    pub fn reloads(&self) -> (u32, u32) {
        (self.reloads.load(Relaxed), self.failed_reloads.load(Relaxed))
    }

    /// When the running configuration came into force, Unix milliseconds.
    pub fn in_force_ms(&self) -> u64 {
        self.in_force_ms.load(Relaxed)
    }

    /// What was said at the start or the last reload.
    pub fn startup_log(&self) -> String {
        self.startup_log.lock().clone()
    }

    /// This was said at the start or a reload, as lines.
    pub fn set_startup_log(&self, text: String) {
        *self.startup_log.lock() = text;
    }

    /// Share of time the workers waited in the last second, percent.
    pub fn idle_percent(&self) -> u64 {
        self.idle_percent.load(Relaxed)
    }

    /// Sets that share.
    pub fn set_idle_percent(&self, percent: u64) {
        self.idle_percent.store(percent.min(100), Relaxed);
    }

    /// Where lines about the process itself go.
    pub fn set_log(&self, route: LogRoute) {
        *self.route.lock() = route;
    }

    /// Keeps an event and writes its line to `route`.
    pub fn event_to(&self, route: &LogRoute, event: Event) {
        self.queue.lock().event(route, &event);
        self.events.lock().push(unix_ms(), event);
    }

    /// Keeps an event and writes its line to the process's log.
    pub fn event(&self, event: Event) {
        let route = self.route.lock().clone();
        self.event_to(&route, event);
    }

    /// Keeps an event of a pool and writes its line where the pool's events go.
    pub fn pool_event(&self, pool: &str, event: Event) {
        let route = self.pool_logs.load().get(pool).cloned().unwrap_or_else(LogRoute::none);
        self.event_to(&route, event);
    }

    /// Something an operator should know about: to the log and to standard error.
    pub fn report(&self, text: &str) {
        self.say(text);
        let route = self.route.lock().clone();
        self.queue.lock().push(&route, Severity::Warning, text.as_bytes());
    }
}

/// A line on standard error.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    // A terminal that is gone must not end the process.
    let _ = writeln!(std::io::stderr(), "mainstay: {text}");
}

/// Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| d.as_millis() as u64)
}

/// Name of this node: as configured, or the machine's.
pub(crate) fn node_name(plan: &plan::Process) -> String {
    plan.node.clone().filter(|node| !node.is_empty()).unwrap_or_else(hostname)
}

/// Name of the machine.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
