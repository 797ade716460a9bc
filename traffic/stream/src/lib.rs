//! Plain TCP and UDP: bytes or datagrams between a client and a server, unread. Called by the supervisor, once per accepted
//! connection, or client that sends datagrams, of a site with `mode tcp`.
//!
//! The way of a session: [`session`] is the main road · [`rules`] may end it, at once or after a look at
//! the first bytes · [`content`] answers it or says which pool · [`attempt`] finds server and connection, waits, tries
//! again · the tunnel itself is [`tasks::copy`], for datagrams [`datagrams`] · [`record`] counts and logs, [`course`] keeps
//! what became of each try. One task per connection. Everything before the tunnel lives
//! in boxed futures that are gone by then, so that an idle connection is small.

#![forbid(unsafe_code)]

mod attempt;
mod content;
mod course;
#[cfg(test)]
mod datagram_tests;
mod datagrams;
mod record;
mod rules;
mod scene;
mod session;
#[cfg(test)]
mod tests;
mod visit;

pub use session::{serve, serve_flow};

use pool::Pool;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tasks::Worker;
use telemetry::{Line, LogClock, LogProcess, LogQueue, LogRoute, ProcessStats, SiteStats, Zone};

/// A running site. Shared by all workers; replaced whole by a reload. Connections keep the one they began with.
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
    /// Where its log lines go; `None` = no log.
    pub log: Option<LogRoute>,
    /// Its log line, compiled.
    pub line: Line,
    /// Its line for failures, when it differs.
    pub error_line: Option<Line>,
    /// Further lines at the end of each session.
    pub access_logs: Vec<AccessLog>,
    /// Counters of the process.
    pub process: Arc<ProcessStats>,
    /// What log lines say about the process.
    pub log_process: Arc<LogProcess>,
}

/// A line that is written at the end of each session.
pub struct AccessLog {
    /// Where it goes.
    pub target: LogEnd,
    /// The line.
    pub line: plan::Template,
    /// Only when this text is neither empty nor `0`.
    pub when: Option<plan::Template>,
}

/// Where such a line goes.
pub enum LogEnd {
    /// A target that is always open.
    Open(LogRoute),
    /// A file whose path is made for each session.
    Made(plan::Template, plan::host::KeepOpen),
}

/// One worker's things.
pub struct Local {
    /// The worker.
    pub worker: Worker,
    log: RefCell<LogQueue>,
    clock: LogClock,
    /// Room for one datagram.
    datagram: RefCell<Vec<u8>>,
    targets: content::Targets,
    names: pool::Names,
}

impl Local {
    /// A worker's things.
    pub fn new(worker: Worker, log: LogQueue, zone: Arc<Zone>, names: pool::Names) -> Rc<Local> {
        Rc::new(Local {
            worker,
            log: RefCell::new(log),
            clock: LogClock::new(zone),
            datagram: RefCell::default(),
            targets: content::Targets::default(),
            names,
        })
    }
}
