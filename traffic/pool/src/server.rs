//! One server of a running pool: what is known about it, and the setters of `health` and `admin`.

use crate::clock::Clock;
use crate::observer::{Change, Observer, Outcome};
use crate::pool::Core;
use crate::queue::Lobby;
use crate::report::CheckReport;
use crate::smooth::Sitting;
use arc_swap::ArcSwap;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use plan::ServerAddress;
use plan::smooth::Keep;
use plan::table::ServerKey;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::Duration;
use telemetry::FlowStats;

/// Steps in which weight and limit grow during the slow start; also the scale of exact weights.
pub(crate) const STEPS: u32 = 16;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEndpoint {
    /// TCP. All zeros when the address is the client's destination or not known yet.
    Tcp(SocketAddr),
    /// Unix stream socket.
    Unix(Arc<Path>),
}

impl fmt::Display for ServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerEndpoint::Tcp(address) => write!(f, "{address}"),
            ServerEndpoint::Unix(path) => write!(f, "unix@{}", path.display()),
        }
    }
}

/// What checks (or the agent) say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Takes traffic.
    #[default]
    Up,
    /// Takes none.
    Down,
}

/// What operators say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminState {
    /// Takes traffic.
    #[default]
    Ready,
    /// Takes only requests bound to it.
    Drain,
    /// Takes none and is not checked.
    Maintenance,
}

/// Who says so. Each has a word of its own; the strictest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminCause {
    /// `disabled` in the configuration.
    Config,
    /// A runtime command. `Ready` also takes back the words of configuration and agent.
    Operator,
    /// The agent.
    Agent,
    /// Its name has no address.
    Resolution,
    /// A health check, or an operator in its place: `Drain` = only requests that are bound to it.
    Health,
    /// The server whose state it follows.
    Tracked,
}

/// One server as a cycle knows it. What is known at run time is shared with the same server of the
/// cycle before.
pub struct Server {
    /// Unique in the life of the process.
    pub uid: u32,
    /// What was configured.
    pub plan: plan::Server,
    /// The configured server whose name led here.
    pub template: Option<Arc<str>>,
    /// Name of its pool.
    pub pool_name: Arc<str>,
    /// Counters.
    pub stats: Arc<FlowStats>,
    pub(crate) pool_stats: Arc<FlowStats>,
    pub(crate) lobby: Arc<Lobby>,
    pub(crate) state: Arc<State>,
    observer: Arc<dyn Observer>,
    clock: Clock,
    full_connections: Option<u32>,
    pub(crate) tcp_keep_alive: bool,
    /// What the pool says about idle connections.
    pub(crate) keep: Option<Keep>,
}

/// What is known at run time.
pub(crate) struct State {
    uid: u32,
    stats: Arc<FlowStats>,
    /// Bits: see `flag`.
    flags: AtomicU32,
    /// Set at run time.
    weight: Setting,
    /// Set at run time; 0 = no limit.
    max_connections: Setting,
    /// Milliseconds of the clock; 0 = not in slow start.
    warm_since: AtomicU64,
    /// It had a limit in some cycle, so requests may wait for its places.
    had_limit: AtomicBool,
    last_answer_ms: AtomicU64,
    /// Number of the last turn in which it was chosen (least connections).
    pub(crate) turn: AtomicU64,
    address: ArcSwap<ServerEndpoint>,
    /// Name set at run time.
    host: Mutex<Option<String>>,
    /// Host of the service instance it is.
    target: Mutex<Option<String>>,
    /// Why its name leads to no address.
    unresolved: Mutex<&'static str>,
    record: Mutex<Record>,
    report: ArcSwap<CheckReport>,
    agent_report: ArcSwap<CheckReport>,
    homes: Mutex<Vec<Weak<Core>>>,
    cut_count: AtomicU64,
    /// Idle connections that all workers keep, where somebody wants to know.
    pub(crate) idle: AtomicUsize,
    /// Failures that make it sit out.
    pub(crate) sitting: Sitting,
}

/// A number set at run time in place of a configured one. It counts as long as the configured one is the
/// same, so that a reload with a new number wins.
struct Setting(AtomicU64);

impl Setting {
    /// The configured number counts.
    fn unset() -> Setting {
        Setting(AtomicU64::new(u64::MAX))
    }

    #[inline]
    fn read(&self, configured: u32) -> u32 {
        Setting::of(self.0.load(Acquire), configured)
    }

    /// Gives what counted before.
    fn set(&self, configured: u32, value: u32) -> u32 {
        Setting::of(self.0.swap(u64::from(configured) << 32 | u64::from(value), Release), configured)
    }

    #[inline]
    fn of(packed: u64, configured: u32) -> u32 {
        let (base, value) = (packed >> 32, packed & u64::from(u32::MAX));
        if base == u64::from(configured) { value as u32 } else { configured }
    }
}

/// Bits of `State::flags`. The words of `AdminCause` follow from bit 8, two bits each.
mod flag {
    pub const CHECK_DOWN: u32 = 1;
    pub const AGENT_DOWN: u32 = 2;
    pub const SUSPECT: u32 = 4;
    pub const RISING: u32 = 8;
    pub const DOWN: u32 = CHECK_DOWN | AGENT_DOWN;
    pub const ADMIN_SHIFT: u32 = 8;
    pub const DRAINS: u32 = 0b0101_0101_0101 << ADMIN_SHIFT;
    pub const MAINTENANCES: u32 = 0b1010_1010_1010 << ADMIN_SHIFT;
}

/// Times and counts of going down; for a server or a whole pool.
#[derive(Debug, Default)]
pub(crate) struct Record {
    up: bool,
    changed_ms: u64,
    downs: u64,
    down_ms: u64,
}

impl Record {
    pub(crate) fn new(now_ms: u64) -> Record {
        Record { up: true, changed_ms: now_ms, downs: 0, down_ms: 0 }
    }

    /// Takes in the state; true when it is another than before.
    pub(crate) fn note(&mut self, up: bool, now_ms: u64) -> bool {
        if up == self.up {
            return false;
        }
        if up {
            self.down_ms += now_ms.saturating_sub(self.changed_ms);
        }
        self.up = up;
        self.changed_ms = now_ms;
        true
    }

    /// It failed; going out for maintenance is not counted.
    pub(crate) fn count_down(&mut self) {
        self.downs += 1;
    }

    pub(crate) fn since(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms.saturating_sub(self.changed_ms))
    }

    pub(crate) fn downs(&self) -> u64 {
        self.downs
    }

    pub(crate) fn down_time(&self, now_ms: u64) -> Duration {
        let running = if self.up { 0 } else { now_ms.saturating_sub(self.changed_ms) };
        Duration::from_millis(self.down_ms + running)
    }
}

/// What all servers of a pool have in common.
pub(crate) struct Household {
    pub pool_name: Arc<str>,
    pub pool_stats: Arc<FlowStats>,
    pub lobby: Arc<Lobby>,
    pub observer: Arc<dyn Observer>,
    pub clock: Clock,
    pub full_connections: Option<u32>,
    pub tcp_keep_alive: bool,
    pub keep: Option<Keep>,
    pub workers: usize,
}

impl Server {
    /// What stick tables call it.
    pub fn stick_key(&self, kind: ServerKey) -> String {
        match (kind, self.address()) {
            (ServerKey::Name, _) => self.plan.name.clone(),
            (ServerKey::Address, ServerEndpoint::Tcp(address)) => address.to_string(),
            (ServerKey::Address, ServerEndpoint::Unix(path)) => path.display().to_string(),
        }
    }

    /// A server of `house`; `before` is the same server in the cycle before.
    pub(crate) fn new(
        plan: &plan::Server,
        house: &Household,
        before: Option<&Server>,
        endpoint: Option<ServerEndpoint>,
    ) -> Server {
        let state = match before.filter(|before| is_same(&before.plan, plan)) {
            Some(before) => Arc::clone(&before.state),
            None => Arc::new(State::new(plan, house, endpoint)),
        };
        state.had_limit.fetch_or(plan.max_connections.is_some(), Release);
        Server {
            uid: state.uid,
            plan: plan.clone(),
            template: None,
            pool_name: Arc::clone(&house.pool_name),
            stats: Arc::clone(&state.stats),
            pool_stats: Arc::clone(&house.pool_stats),
            lobby: Arc::clone(&house.lobby),
            state,
            observer: Arc::clone(&house.observer),
            clock: house.clock.clone(),
            full_connections: house.full_connections,
            tcp_keep_alive: house.tcp_keep_alive,
            keep: house.keep,
        }
    }

    /// Where it listens now.
    pub fn address(&self) -> ServerEndpoint {
        ServerEndpoint::clone(&self.state.address.load())
    }

    /// Gives it another address. Idle connections to the old one are found by
    /// [`Idle::purge`](crate::Idle::purge).
    pub fn set_address(&self, address: ServerEndpoint) {
        let address = Arc::new(address);
        let before = self.state.address.swap(Arc::clone(&address));
        if before != address {
            self.changed(Change::Address);
        }
        *self.state.unresolved.lock() = "";
        self.set_admin(AdminState::Ready, AdminCause::Resolution);
    }

    /// Its name leads to no address any more, for this reason: it goes into maintenance until
    /// [`set_address`](Server::set_address).
    pub fn lose_address(&self, reason: &'static str) {
        if !self.is_unresolved() {
            *self.state.unresolved.lock() = reason;
            self.set_admin(AdminState::Maintenance, AdminCause::Resolution);
        }
    }

    /// True when its name leads to no address.
    pub fn is_unresolved(&self) -> bool {
        self.admin_by(AdminCause::Resolution) == AdminState::Maintenance
    }

    /// Why its name leads to no address; empty when it does, or never did.
    pub fn unresolved_reason(&self) -> &'static str {
        *self.state.unresolved.lock()
    }

    /// True when a connection to `endpoint` is one to this server, as it is now.
    pub(crate) fn has_address(&self, endpoint: &ServerEndpoint) -> bool {
        self.follows_client() || **self.state.address.load() == *endpoint
    }

    /// True when its address depends on where the client wanted to go.
    pub(crate) fn follows_client(&self) -> bool {
        match self.plan.address {
            ServerAddress::Transparent | ServerAddress::MappedPort(..) | ServerAddress::MappedName(..) => {
                matches!(**self.state.address.load(), ServerEndpoint::Tcp(address) if address.port() == 0)
            }
            _ => false,
        }
    }

    /// Where to connect for a client that asked for `destination`. `None`: the plan says "where the client
    /// wanted to go" and that is not known.
    pub fn endpoint_for(&self, destination: Option<SocketAddr>) -> Option<ServerEndpoint> {
        let now = self.address();
        // An address given at run time with a port of its own counts as it is.
        let ServerEndpoint::Tcp(address) = now else { return Some(now) };
        match &self.plan.address {
            ServerAddress::Transparent if address.port() == 0 => destination.map(ServerEndpoint::Tcp),
            ServerAddress::MappedPort(_, offset) | ServerAddress::MappedName(_, offset)
                if address.port() == 0 =>
            {
                let port = u16::try_from(i32::from(destination?.port()) + offset).ok()?;
                Some(ServerEndpoint::Tcp(SocketAddr::new(address.ip(), port)))
            }
            _ => Some(now),
        }
    }

    /// The name that is looked up for it: the configured one, or what was set at run time.
    pub fn host(&self) -> Option<String> {
        let set = self.state.host.lock().clone();
        set.or_else(|| self.plan.address.name().map(str::to_owned))
    }

    /// The host that its service leads to now; `None` = it is no instance of a service.
    pub fn target(&self) -> Option<String> {
        self.state.target.lock().clone()
    }

    /// It is this instance of its service now, or none.
    pub fn set_target(&self, host: Option<&str>) {
        let mut target = self.state.target.lock();
        if target.as_deref() != host {
            *target = host.map(str::to_owned);
        }
    }

    /// Another name is looked up for it from now on; whoever looks names up must be told.
    pub fn set_host(&self, host: String) {
        *self.state.host.lock() = Some(host);
    }

    /// True when balancing may choose it: up, neither drained nor in maintenance, weight above 0.
    pub fn is_usable(&self) -> bool {
        let flags = self.flags();
        flags & (flag::DOWN | flag::DRAINS | flag::MAINTENANCES) == 0 && self.weight() > 0
    }

    /// True when checks and agent both say up.
    pub fn is_up(&self) -> bool {
        self.flags() & flag::DOWN == 0
    }

    /// True when requests bound to it may go there: up, not in maintenance.
    pub fn takes_bound(&self) -> bool {
        self.flags() & (flag::DOWN | flag::MAINTENANCES) == 0
    }

    /// Down or rising, and not held back by an operator: the last resort.
    pub(crate) fn is_rising(&self) -> bool {
        let flags = self.flags();
        flags & flag::RISING != 0 && flags & (flag::DRAINS | flag::MAINTENANCES) == 0 && self.weight() > 0
    }

    /// What the checks say.
    pub fn health(&self) -> Health {
        health(self.flags() & flag::CHECK_DOWN == 0)
    }

    /// The checks decided. Coming up begins the slow start.
    pub fn set_health(&self, health: Health) {
        let change = if health == Health::Up { Change::Up } else { Change::Down };
        self.set_down(flag::CHECK_DOWN, health, change);
    }

    /// What the agent says.
    pub fn agent_health(&self) -> Health {
        health(self.flags() & flag::AGENT_DOWN == 0)
    }

    /// The agent decided.
    pub fn set_agent_health(&self, health: Health) {
        let change = if health == Health::Up { Change::AgentUp } else { Change::AgentDown };
        self.set_down(flag::AGENT_DOWN, health, change);
    }

    /// The last check.
    pub fn report(&self) -> CheckReport {
        CheckReport::clone(&self.state.report.load())
    }

    /// Keeps the last check for statistics.
    pub fn set_report(&self, report: CheckReport) {
        self.state.report.store(Arc::new(report));
    }

    /// The last agent check.
    pub fn agent_report(&self) -> CheckReport {
        CheckReport::clone(&self.state.agent_report.load())
    }

    /// Keeps the last agent check for statistics.
    pub fn set_agent_report(&self, report: CheckReport) {
        self.state.agent_report.store(Arc::new(report));
    }

    /// The strictest of what is said about it.
    pub fn admin(&self) -> AdminState {
        match self.flags() {
            f if f & flag::MAINTENANCES != 0 => AdminState::Maintenance,
            f if f & flag::DRAINS != 0 => AdminState::Drain,
            _ => AdminState::Ready,
        }
    }

    /// What one of them says.
    pub fn admin_by(&self, cause: AdminCause) -> AdminState {
        match (self.flags() >> shift(cause)) & 3 {
            0 => AdminState::Ready,
            1 => AdminState::Drain,
            _ => AdminState::Maintenance,
        }
    }

    /// One of them says so. The operator's `Ready` also takes back what configuration and agent said.
    pub fn set_admin(&self, admin: AdminState, cause: AdminCause) {
        let before = self.admin();
        self.word(cause, admin);
        if (admin, cause) == (AdminState::Ready, AdminCause::Operator) {
            self.word(AdminCause::Config, AdminState::Ready);
            self.word(AdminCause::Agent, AdminState::Ready);
        }
        let after = self.admin();
        if before != after {
            self.note_service(false);
            self.changed(Change::Admin(after));
        }
    }

    /// Weight as set: 0 … 256, or what a pool with smooth balancing says.
    pub fn weight(&self) -> u16 {
        u16::try_from(self.state.weight.read(self.plan.weight.into())).unwrap_or(u16::MAX)
    }

    /// Sets the weight, at most 256. 0 = only requests bound to it.
    pub fn set_weight(&self, weight: u16) {
        let weight = weight.min(256);
        if self.state.weight.set(self.plan.weight.into(), weight.into()) != u32::from(weight) {
            self.changed(Change::Weight(weight));
        }
    }

    /// Weight that counts now: less than [`weight`](Server::weight) during the slow start, at least 1.
    pub fn effective_weight(&self) -> u16 {
        u16::try_from(self.scaled_weight(self.clock.now_ms()).div_ceil(STEPS)).unwrap_or(256)
    }

    /// Percent of its weight that counts during the slow start; `None` otherwise.
    pub fn throttle_percent(&self) -> Option<u32> {
        let step = self.warm_step(self.clock.now_ms());
        (step < STEPS).then_some(step * 100 / STEPS)
    }

    /// Weight that counts now, in sixteenths.
    pub(crate) fn scaled_weight(&self, now_ms: u64) -> u32 {
        u32::from(self.weight()) * self.warm_step(now_ms)
    }

    /// Most requests at once, as set; `None` = no limit.
    pub fn max_connections(&self) -> Option<u32> {
        Some(self.raw_limit()).filter(|&max| max > 0)
    }

    /// Sets the limit; `None` or 0 = no limit. The queue moves on at once.
    pub fn set_max_connections(&self, limit: Option<u32>) {
        let limit = limit.unwrap_or(0);
        self.state.had_limit.fetch_or(limit > 0, Release);
        if self.state.max_connections.set(self.plan.max_connections.unwrap_or(0), limit) != limit {
            self.changed(Change::MaxConnections(self.max_connections()));
        }
    }

    /// Most requests at once just now: grows with the pool's load (`min_connections`) and during the
    /// slow start.
    pub fn limit_now(&self) -> Option<u32> {
        let max = self.max_connections()?;
        let step = self.warm_step(self.clock_if_warm());
        let limit = self.limit_by_load(max);
        Some(if step < STEPS { (limit * step / STEPS).max(1) } else { limit })
    }

    fn limit_by_load(&self, max: u32) -> u32 {
        let (Some(min), Some(full)) = (self.plan.min_connections, self.full_connections) else { return max };
        let load = u64::from(self.pool_stats.current.now() + self.pool_stats.queue.now());
        let grown = load * u64::from(max) / u64::from(full.max(1));
        u32::try_from(grown).unwrap_or(max).max(min).min(max)
    }

    /// Its last check timed out and no answer came since.
    pub fn suspect(&self) -> bool {
        self.flags() & flag::SUSPECT != 0
    }

    /// Set by the health crate; a suspect server is chosen only without others.
    pub fn set_suspect(&self, suspect: bool) {
        if self.set_flag(flag::SUSPECT, suspect) {
            self.changed(Change::Suspect(suspect));
        }
    }

    /// It is down, but its most recent check passed.
    pub fn rising(&self) -> bool {
        self.flags() & flag::RISING != 0
    }

    /// Set by the health crate; a rising server is chosen when no other is usable.
    pub fn set_rising(&self, rising: bool) {
        if self.set_flag(flag::RISING, rising) {
            self.changed(Change::Rising(rising));
        }
    }

    /// An answer came, at `now_ms` of the caller's clock. On the path of a request.
    #[inline]
    pub fn note_answer(&self, now_ms: u64) {
        self.state.last_answer_ms.store(now_ms, Relaxed);
    }

    /// When the last answer came; 0 = never.
    #[inline]
    pub fn last_answer_ms(&self) -> u64 {
        self.state.last_answer_ms.load(Relaxed)
    }

    /// A place there ended, in a pool with smooth balancing.
    pub(crate) fn place_ended(&self, failed: bool) {
        let Some(said) = &self.plan.smooth else { return };
        let sitting = &self.state.sitting;
        if failed {
            let now_ms = self.clock.now_ms();
            if sitting.fail(said.max_fails, now_ms / 1000) {
                self.observer.changed(self, Change::SitsOut);
            }
        } else if sitting.succeed(said.max_fails) && self.plan.slow_start.is_some() {
            self.state.warm_since.store(self.clock.now_ms(), Release);
            self.state.homes().iter().for_each(|home| home.refresh());
        }
    }

    /// Its value in sticky cookies and routes: the one configured, or the MD5 digest of its address.
    pub fn sid(&self) -> String {
        if let Some(route) = self.plan.smooth.as_ref().and_then(|said| said.route.clone()) {
            return route;
        }
        let address = match self.address() {
            ServerEndpoint::Tcp(address) => address.to_string(),
            ServerEndpoint::Unix(path) => format!("unix:{}", path.display()),
        };
        Md5::digest(address).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A request or connection went so; the observer hears it.
    pub fn note_outcome(&self, outcome: Outcome) {
        self.observer.outcome(self, outcome);
    }

    /// How often its connections were to be cut: by an operator, when it goes down (`cut_when_down`), or
    /// when a better server comes up (`cut_backups_when_up` there). Whoever holds a connection compares it
    /// with the number at the start; [`Change::Cut`] tells when to look.
    #[inline]
    pub fn cut_count(&self) -> u64 {
        self.state.cut_count.load(Relaxed)
    }

    /// Asks all who hold connections to this server to cut them.
    pub fn cut_connections(&self) {
        self.state.cut_count.fetch_add(1, Relaxed);
        self.observer.changed(self, Change::Cut);
    }

    /// Time since it last went into or out of service.
    pub fn last_change(&self) -> Duration {
        self.state.record.lock().since(self.clock.now_ms())
    }

    /// How often it went down.
    pub fn downs(&self) -> u64 {
        self.state.record.lock().downs()
    }

    /// Time spent down, the present one included.
    pub fn down_time(&self) -> Duration {
        self.state.record.lock().down_time(self.clock.now_ms())
    }

    /// True when no request more may wait for it.
    pub(crate) fn queue_is_full(&self) -> bool {
        self.plan.max_queue.is_some_and(|max| max > 0 && self.stats.queue.now() >= max)
    }

    /// True when a request at once more may need to wait.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.raw_limit() != 0
    }

    /// True when a request may wait for a place here, be it one of another cycle.
    #[inline]
    pub(crate) fn may_be_awaited(&self) -> bool {
        self.state.had_limit.load(Acquire)
    }

    #[inline]
    fn raw_limit(&self) -> u32 {
        self.state.max_connections.read(self.plan.max_connections.unwrap_or(0))
    }

    /// True when it has as many requests as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.is_limited() && self.limit_now().is_some_and(|limit| self.stats.current.now() >= limit)
    }

    /// Counts one request in unless the server is full.
    #[inline]
    pub(crate) fn try_enter(&self) -> bool {
        let entered = if self.is_limited() { self.enter_limited() } else { self.enter_freely() };
        if entered {
            self.pool_stats.current.enter();
        }
        entered
    }

    #[inline]
    fn enter_freely(&self) -> bool {
        self.stats.current.enter();
        true
    }

    fn enter_limited(&self) -> bool {
        match self.limit_now() {
            Some(limit) => self.stats.current.try_enter(limit),
            None => self.enter_freely(),
        }
    }

    /// Counts one request out. The caller offers the place to the queue.
    #[inline]
    pub(crate) fn leave(&self) {
        self.stats.current.leave();
        self.pool_stats.current.leave();
    }

    /// When the slow start makes its next step, on the clock; `None` when it is over, and then it is ended.
    pub(crate) fn next_warm_step(&self, now_ms: u64) -> Option<u64> {
        let since = self.state.warm_since.load(Acquire);
        let step = self.warm_step(now_ms);
        if step == STEPS {
            let _ = self.state.warm_since.compare_exchange(since, 0, Release, Relaxed);
            return None;
        }
        let slow = self.slow_start_ms()?;
        Some(since + (slow * u64::from(step)).div_ceil(u64::from(STEPS)))
    }

    /// 1 … STEPS.
    fn warm_step(&self, now_ms: u64) -> u32 {
        let since = self.state.warm_since.load(Acquire);
        if since == 0 {
            return STEPS;
        }
        let Some(slow) = self.slow_start_ms() else { return STEPS };
        let passed = now_ms.saturating_sub(since).min(slow) * u64::from(STEPS) / slow + 1;
        u32::try_from(passed).unwrap_or(STEPS).min(STEPS)
    }

    fn slow_start_ms(&self) -> Option<u64> {
        let slow = self.plan.slow_start?;
        Some(u64::try_from(slow.as_millis()).unwrap_or(u64::MAX / 32)).filter(|&ms| ms > 0)
    }

    /// Reads the clock only during a slow start: this is on the path of a request.
    fn clock_if_warm(&self) -> u64 {
        if self.state.warm_since.load(Relaxed) == 0 { 0 } else { self.clock.now_ms() }
    }

    fn flags(&self) -> u32 {
        self.state.flags.load(Acquire)
    }

    /// True when this changed something.
    fn set_flag(&self, bit: u32, on: bool) -> bool {
        let flags = &self.state.flags;
        let before = if on { flags.fetch_or(bit, Release) } else { flags.fetch_and(!bit, Release) };
        (before & bit != 0) != on
    }

    fn set_down(&self, bit: u32, health: Health, change: Change) {
        if !self.set_flag(bit, health == Health::Down) {
            return;
        }
        if health == Health::Up && bit == flag::CHECK_DOWN {
            self.set_flag(flag::RISING, false);
        }
        self.note_service(true);
        self.changed(change);
    }

    /// It may have gone into or out of service: keeps the times, begins the slow start.
    fn note_service(&self, by_failure: bool) {
        let now_ms = self.clock.now_ms();
        let serves = self.takes_bound();
        let mut record = self.state.record.lock();
        if !record.note(serves, now_ms) {
            return;
        }
        if serves {
            self.state.warm_since.store(now_ms, Release);
        } else if by_failure {
            record.count_down();
        }
        drop(record);
        self.cut_as_planned(serves);
    }

    /// `cut_when_down` and `cut_backups_when_up` of the plan.
    fn cut_as_planned(&self, serves: bool) {
        if !serves && self.plan.cut_when_down {
            self.cut_connections();
        }
        if serves && self.plan.cut_backups_when_up && !self.plan.backup {
            self.state.homes().iter().for_each(|home| home.cut_backups());
        }
    }

    fn word(&self, cause: AdminCause, admin: AdminState) {
        let shift = shift(cause);
        let bits = match admin {
            AdminState::Ready => 0,
            AdminState::Drain => 1,
            AdminState::Maintenance => 2,
        };
        let update = |flags: u32| (flags & !(3 << shift)) | (bits << shift);
        self.state.flags.update(Release, Acquire, update);
    }

    /// The pools rebuild their tables, then the observer hears of it.
    fn changed(&self, change: Change) {
        for home in self.state.homes() {
            home.refresh();
        }
        self.observer.changed(self, change);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} #{}", self.pool_name, self.plan.name, self.uid)
    }
}

impl State {
    fn new(plan: &plan::Server, house: &Household, endpoint: Option<ServerEndpoint>) -> State {
        let unknown = ServerEndpoint::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        let drained = plan.smooth.as_ref().is_some_and(|said| said.drained);
        let disabled = if plan.disabled { 2 } else { u32::from(drained) } << shift(AdminCause::Config);
        let nameless = if endpoint.is_none() { 2 << shift(AdminCause::Resolution) } else { 0 };
        State {
            uid: next_uid(),
            stats: Arc::new(FlowStats::new(house.workers)),
            flags: AtomicU32::new(disabled | nameless),
            weight: Setting::unset(),
            max_connections: Setting::unset(),
            warm_since: AtomicU64::new(0),
            had_limit: AtomicBool::new(false),
            last_answer_ms: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            address: ArcSwap::from_pointee(endpoint.unwrap_or(unknown)),
            host: Mutex::default(),
            target: Mutex::default(),
            unresolved: Mutex::new(""),
            record: Mutex::new(Record::new(house.clock.now_ms())),
            report: ArcSwap::from_pointee(CheckReport::default()),
            agent_report: ArcSwap::from_pointee(CheckReport::default()),
            homes: Mutex::default(),
            cut_count: AtomicU64::new(0),
            idle: AtomicUsize::new(0),
            sitting: Sitting::default(),
        }
    }

    /// This pool wants to hear of changes.
    pub(crate) fn join(&self, home: Weak<Core>) {
        let mut homes = self.homes.lock();
        homes.retain(|home| home.strong_count() > 0);
        homes.push(home);
    }

    fn homes(&self) -> Vec<Arc<Core>> {
        self.homes.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// True when what is known of one holds for the other: same name and address, and nobody who spoke for the
/// one falls silent for the other.
fn is_same(before: &plan::Server, after: &plan::Server) -> bool {
    before.name == after.name
        && before.address == after.address
        && before.disabled == after.disabled
        && before.smooth.as_ref().map(|said| said.drained) == after.smooth.as_ref().map(|said| said.drained)
        && before.check.is_some() == after.check.is_some()
        && before.agent.is_some() == after.agent.is_some()
}

/// Numbers of servers are unique in the process because idle connections of all workers are kept under
/// them: the one counter that must be global.
fn next_uid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Relaxed)
}

fn health(up: bool) -> Health {
    if up { Health::Up } else { Health::Down }
}

fn shift(cause: AdminCause) -> u32 {
    flag::ADMIN_SHIFT
        + match cause {
            AdminCause::Config => 0,
            AdminCause::Operator => 2,
            AdminCause::Agent => 4,
            AdminCause::Resolution => 6,
            AdminCause::Health => 8,
            AdminCause::Tracked => 10,
        }
}
