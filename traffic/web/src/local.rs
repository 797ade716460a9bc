//! What a worker's HTTP connections share: the running sites, idle server connections, work space.

use plan::host::FieldNames;
use plan::site::Statistics;
use pool::{IdleRooms, Pool};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tasks::{Buffer, Worker};
use telemetry::{Invalids, Line, LogClock, LogProcess, LogQueue, LogRoute, ProcessStats, SiteStats, Zone};
use wire::http1::{Limits, Manners, Names, RequestHead, ResponseHead};

/// A running site. Shared by all workers; replaced whole by a reload.
pub struct Site {
    /// What is meant.
    pub plan: plan::Site,
    /// Its counters; they outlive reloads.
    pub stats: Arc<SiteStats>,
    /// All pools by name.
    pub pools: Arc<HashMap<String, Arc<Pool>>>,
    /// Pools of `plan.routes`, in order; `None` where the name is computed.
    pub routes: Vec<Option<Arc<Pool>>>,
    /// Pool without a matching route.
    pub default_pool: Option<Arc<Pool>>,
    /// Stick tables.
    pub tables: Arc<tables::Tables>,
    /// Caches of answers.
    pub caches: Arc<cache::Caches>,
    /// Limits of request heads.
    pub limits: Limits,
    /// Limits of request heads by bind, where hosts share them; empty where `limits` count.
    pub bind_limits: Box<[(Limits, Duration)]>,
    /// Idle server connections serve only requests of the worker that opened them.
    pub own_idle_connections: bool,
    /// Effort and limits of compression.
    pub compression: plan::compression::CompressionLimits,
    /// Where its log lines go; `None` = no access log.
    pub log: Option<LogRoute>,
    /// Its access log line, compiled.
    pub line: Line,
    /// Its line for failures, when it differs.
    pub error_line: Option<Line>,
    /// Where lines about requests go, as its virtual hosts name them.
    pub error_routes: Vec<LogRoute>,
    /// Where access log lines go, as its virtual hosts name them.
    pub access_routes: Vec<LogRoute>,
    /// Things of the whole process.
    pub process: Arc<Process>,
}

impl Site {
    /// Limits of request heads that come in at this bind, and how long one may take.
    pub(crate) fn head_limits(&self, bind: usize) -> (Limits, Option<Duration>) {
        match self.bind_limits.get(bind) {
            Some((limits, timeout)) => (*limits, Some(*timeout)),
            None => (self.limits, self.plan.timeouts.request.or(self.plan.timeouts.client)),
        }
    }
}

/// The limits of heads that a host asks for.
pub fn limits_of(heads: &plan::host::Heads) -> Limits {
    let names = match heads.names {
        FieldNames::Plain => Names::Plain { underscores: false },
        FieldNames::Underscores => Names::Plain { underscores: true },
        FieldNames::All => Names::Any,
    };
    Limits {
        head_bytes: heads.bytes(),
        fields: heads.fields,
        target_bytes: heads.line(),
        name_bytes: heads.line(),
        line_bytes: heads.line(),
        manners: Manners { names, ..Manners::SERVER },
    }
}

/// Things of the whole process that a request may need.
pub struct Process {
    /// Counters of the process.
    pub stats: Arc<ProcessStats>,
    /// Statistics pages.
    pub pages: Arc<dyn Pages>,
    /// What log lines say about the process.
    pub log: LogProcess,
    /// The last invalid messages.
    pub invalids: Arc<Invalids>,
    /// Names that requests lead to.
    pub names: pool::Names,
    /// Pools for addresses that only requests know.
    pub passing: pool::Passing,
    /// What goes into compression.
    pub compressed: crate::Meter,
    /// Numbers client connections.
    pub connections: AtomicU64,
    /// What visitors of virtual hosts do now.
    pub visitors: crate::Visitors,
}

/// Answers requests to statistics pages. Implemented by the supervisor.
pub trait Pages: Send + Sync {
    /// The answer to `request`, asked at proxy `holder`.
    fn answer(&self, holder: &str, page: &Statistics, request: &PagesRequest<'_>) -> PagesAnswer;

    /// The counters in Prometheus' text format, as far as `query` asks for them.
    fn metrics(&self, query: &str) -> PagesAnswer;
}

/// A request to a statistics page.
pub struct PagesRequest<'a> {
    /// The target behind the page's own path.
    pub rest: &'a str,
    /// Body of a POST.
    pub post: Option<&'a [u8]>,
    /// The page may change servers.
    pub admin: bool,
}

/// The answer of a statistics page.
pub struct PagesAnswer {
    /// Status.
    pub status: u16,
    /// Content type.
    pub content_type: &'static str,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// Work spaces that are kept for the next busy connection.
const KEEP: usize = 256;

/// All sites by name.
pub type Sites = HashMap<String, Arc<Site>>;

/// One worker's HTTP things.
pub struct Local {
    /// The worker.
    pub worker: Worker,
    /// Idle server connections.
    pub idle: Arc<IdleRooms>,
    /// Log lines of this worker.
    pub log: RefCell<LogQueue>,
    pub(crate) clock: LogClock,
    /// Zero of this worker's clock on the scale of the servers' clock, milliseconds.
    server_clock_ms: u64,
    /// Zero of this worker's clock in Unix microseconds; set again every second.
    wall_zero_us: Cell<i64>,
    sites: RefCell<Arc<Sites>>,
    /// Small files that were sent.
    pub(crate) files: RefCell<files::Keeper>,
    generation: Cell<u64>,
    stopping: Cell<bool>,
    /// Boxed, so that taking one moves a pointer.
    #[allow(clippy::vec_box)]
    free: RefCell<Vec<Box<Workspace>>>,
    /// Work spaces in use.
    busy: Cell<usize>,
}

impl Local {
    /// A worker's things before any site runs.
    pub fn new(
        worker: Worker,
        log: LogQueue,
        zone: Arc<Zone>,
        servers: &pool::Clock,
        idle: Arc<IdleRooms>,
    ) -> Rc<Local> {
        let zero = servers.now_ms().saturating_sub(tasks::clock::exact().as_millis() as u64);
        Rc::new(Local {
            server_clock_ms: zero,
            wall_zero_us: Cell::new(wall_zero_us()),
            worker,
            idle,
            log: RefCell::new(log),
            clock: LogClock::new(zone),
            sites: RefCell::default(),
            files: RefCell::default(),
            generation: Cell::new(0),
            stopping: Cell::new(false),
            free: RefCell::default(),
            busy: Cell::new(0),
        })
    }

    /// From now on requests find these sites. Connections notice before their next request.
    pub fn replace(&self, sites: Arc<Sites>) {
        *self.sites.borrow_mut() = sites;
        self.generation.set(self.generation.get() + 1);
    }

    /// Answers say `Connection: close` from now on, and idle connections end.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.worker.deadlines.wake_idle();
    }

    /// True when the worker is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// The running site of this name.
    pub fn site(&self, name: &str) -> Option<Arc<Site>> {
        self.sites.borrow().get(name).cloned()
    }

    /// Tells the counters how many idle connections each server has here. Called every second.
    pub fn publish_idle(&self) {
        let sites = self.sites.borrow();
        let Some(site) = sites.values().next() else { return };
        let idle = self.idle.room(self.worker.index);
        for server in site.pools.values().flat_map(|pool| pool.servers().to_vec()) {
            server.stats.at(self.worker.index).idle.set(idle.count(&server) as u64);
        }
    }

    /// Follows changes of the system's time. Called every second.
    pub fn follow_wall_clock(&self) {
        self.wall_zero_us.set(wall_zero_us());
    }

    /// A moment of this worker's clock in Unix microseconds.
    pub(crate) fn wall_us(&self, now: Duration) -> i64 {
        self.wall_zero_us.get() + now.as_micros() as i64
    }

    /// A moment of this worker's clock on the scale of the servers' clock.
    pub(crate) fn server_clock_ms(&self, now: Duration) -> u64 {
        self.server_clock_ms + now.as_millis() as u64
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    pub(crate) fn workspace(&self) -> Box<Workspace> {
        self.busy.set(self.busy.get() + 1);
        let mut work = self.free.borrow_mut().pop().unwrap_or_default();
        work.buffer = self.worker.buffers.take();
        work
    }

    /// True while few connections are busy: then each may keep its work space through a short silence.
    pub(crate) fn has_room(&self) -> bool {
        self.busy.get() <= KEEP
    }

    pub(crate) fn give_back(&self, mut work: Box<Workspace>) {
        self.busy.set(self.busy.get() - 1);
        const LARGEST: usize = 64 * 1024;
        self.worker.buffers.give(std::mem::take(&mut work.buffer));
        let mut free = self.free.borrow_mut();
        if free.len() < KEEP && work.out.capacity() <= LARGEST {
            free.push(work);
        }
    }
}

fn wall_zero_us() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    wall.as_micros() as i64 - tasks::clock::exact().as_micros() as i64
}

/// What a busy connection needs; given back while it is idle.
#[derive(Default)]
pub(crate) struct Workspace {
    /// The client's bytes.
    pub buffer: Buffer,
    pub request: RequestHead,
    pub response: ResponseHead,
    /// Memory for heads that leave.
    pub out: Vec<u8>,
}
