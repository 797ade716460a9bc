//! Events: what a person would want to know. Log lines, pages and alerts are drawn from these values.
//!
//! Wording follows what parsers of HAProxy's logs expect, where HAProxy has such an event.

use parking_lot::Mutex;
use plan::log::Severity;
use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter, Write as _};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A server changed its state.
    Server {
        /// Pool.
        pool: String,
        /// Server.
        server: String,
        /// The server is a backup.
        backup: bool,
        /// How it changed.
        change: ServerChange,
        /// What the pool has now.
        usable: Usable,
    },
    /// A check ended, and either the pool logs all of them or the outcome changed.
    Check {
        /// Pool.
        pool: String,
        /// Server.
        server: String,
        /// The server is a backup.
        backup: bool,
        /// It was the agent that was asked.
        agent: bool,
        /// It passed.
        passed: bool,
        /// It passed for requests that persistence binds to the server only.
        conditional: bool,
        /// What it found.
        outcome: CheckText,
        /// Successes or failures counted, of how many needed to change the state.
        count: (u32, u32),
        /// State of the server after it.
        up: bool,
    },
    /// The last usable server of a pool is gone.
    PoolEmpty {
        /// Pool.
        pool: String,
        /// The pool is the half of a HAProxy `listen` section: called `proxy`, not `backend`.
        listen: bool,
    },
    /// A site stopped listening on request.
    SitePaused {
        /// Site.
        site: String,
    },
    /// A site listens again.
    SiteResumed {
        /// Site.
        site: String,
    },
    /// A listener could not take its address.
    ListenerFailed {
        /// Address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The process runs.
    Started {
        /// Version.
        version: String,
        /// Sites that listen.
        sites: usize,
        /// Pools.
        pools: usize,
    },
    /// A new configuration is in force.
    Reloaded {
        /// Milliseconds it took.
        took_ms: u64,
    },
    /// All that was begun before a reload has ended.
    Retired {
        /// Number of the process that served it.
        pid: u32,
    },
    /// A new configuration was refused; the old one stays.
    ReloadFailed {
        /// Why.
        reason: String,
    },
    /// The process stops taking connections.
    Stopping {
        /// Connections that are still open.
        connections: u32,
    },
    /// Log lines were lost.
    LogDropped {
        /// How many since the last such event.
        lines: u64,
    },
    /// A task died of a fault of our own and was started again.
    TaskDied {
        /// Which.
        task: String,
        /// How.
        reason: String,
    },
}

/// How a server changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerChange {
    /// Takes no more requests.
    Down(Why),
    /// Takes requests again.
    Up(Why),
    /// Takes only requests that persistence binds to it (a check answered 404, an agent said so).
    Stopping(Why),
    /// Went into maintenance; it was `up` before, or not.
    Maintenance {
        /// It took requests before.
        was_up: bool,
        /// Only because the server went that it follows, `pool/server`.
        via: Option<String>,
    },
    /// Left maintenance.
    Ready {
        /// It takes requests now; otherwise checks must pass first.
        up: bool,
        /// It was there only because the server was that it follows.
        followed: bool,
    },
    /// Went into drain: no new requests.
    Drain {
        /// Only because the server did that it follows, `pool/server`.
        via: Option<String>,
    },
    /// Left drain.
    DrainEnd {
        /// It takes requests now.
        up: bool,
    },
    /// The address changed.
    Address {
        /// `address:port` before.
        from: String,
        /// `address:port` now.
        to: String,
        /// Who said so.
        by: String,
    },
    /// Its name leads to no address any more.
    Unresolved {
        /// Why.
        reason: String,
    },
    /// Its name leads to an address again.
    Resolved {
        /// The name.
        host: String,
        /// It takes requests now; otherwise checks must pass first.
        up: bool,
    },
}

/// Why a server changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A check, an agent or passive observation found something.
    Check(CheckText),
    /// The operator said so on a runtime socket.
    Operator,
    /// The same, told just before on a line of its own.
    Told,
    /// The server changed that it follows: `pool/server`.
    Followed(String),
    /// Another cause, in words.
    Other(String),
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckText {
    /// `Layer4 connection problem`, `Layer7 check passed`, …
    pub reason: String,
    /// Status or error code of the protocol.
    pub code: Option<u32>,
    /// Further text; may come from the server.
    pub info: String,
    /// How long it took.
    pub duration_ms: Option<u32>,
}

/// What a pool has after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usable {
    /// Usable servers.
    pub active: usize,
    /// Usable backup servers.
    pub backup: usize,
    /// Requests in progress at the server.
    pub sessions: usize,
    /// Requests that went back from its queue to the pool's.
    pub requeued: usize,
    /// Requests waiting in the pool.
    pub queued: usize,
}

impl Event {
    /// How severe it is.
    pub fn severity(&self) -> Severity {
        match self {
            Event::Server { change, .. } => change.severity(),
            Event::Check { .. }
            | Event::Started { .. }
            | Event::Reloaded { .. }
            | Event::Retired { .. }
            | Event::Stopping { .. } => Severity::Notice,
            Event::PoolEmpty { .. } => Severity::Emergency,
            Event::SitePaused { .. } | Event::SiteResumed { .. } | Event::LogDropped { .. } => {
                Severity::Warning
            }
            Event::ListenerFailed { .. } => Severity::Alert,
            Event::ReloadFailed { .. } => Severity::Error,
            Event::TaskDied { .. } => Severity::Critical,
        }
    }

    /// One line of text, without control bytes.
    pub fn text(&self) -> String {
        let text = self.to_string();
        if !text.contains(|c: char| c.is_control()) {
            return text;
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

impl ServerChange {
    fn severity(&self) -> Severity {
        match self {
            ServerChange::Down(_)
            | ServerChange::Maintenance { was_up: true, .. }
            | ServerChange::Unresolved { .. } => Severity::Alert,
            _ => Severity::Notice,
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Event::Server { pool, server, backup, change, usable } => {
                let kind = if *backup { "Backup Server" } else { "Server" };
                write!(f, "{kind} {pool}/{server} ")?;
                write_change(change, usable, f)
            }
            Event::Check {
                pool,
                server,
                backup,
                agent,
                passed,
                conditional,
                outcome,
                count: (n, of),
                up,
            } => {
                let check = if *agent { "Agent" } else { "Health" };
                let kind = if *backup { "backup server" } else { "server" };
                let word = match (passed, conditional) {
                    (false, _) => "failed",
                    (true, false) => "succeeded",
                    (true, true) => "conditionally succeeded",
                };
                let state = if *up { "UP" } else { "DOWN" };
                write!(
                    f,
                    "{check} check for {kind} {pool}/{server} {word}{outcome}, status: {n}/{of} {state}."
                )
            }
            Event::PoolEmpty { pool, listen } => {
                write!(f, "{} {pool} has no server available!", if *listen { "proxy" } else { "backend" })
            }
            Event::SitePaused { site } => write!(f, "Paused frontend {site}."),
            Event::SiteResumed { site } => write!(f, "Resumed frontend {site}."),
            Event::ListenerFailed { address, reason } => write!(f, "Cannot listen on {address}: {reason}"),
            Event::Started { version, sites, pools } => {
                write!(f, "Mainstay {version} started: {sites} sites, {pools} pools.")
            }
            Event::Reloaded { took_ms } => write!(f, "New configuration in force after {took_ms}ms."),
            Event::Retired { pid } => write!(f, "worker process {pid} exited with code 0"),
            Event::ReloadFailed { reason } => {
                write!(f, "New configuration refused, the old one stays in force: {reason}")
            }
            Event::Stopping { connections } => write!(f, "Stopping; {connections} connections are open."),
            Event::LogDropped { lines } => {
                write!(f, "{lines} log lines were lost: a log target is too slow.")
            }
            Event::TaskDied { task, reason } => write!(f, "Task {task} died and was started again: {reason}"),
        }
    }
}

fn write_change(change: &ServerChange, usable: &Usable, f: &mut Formatter<'_>) -> fmt::Result {
    let state = |up: &bool| if *up { "UP" } else { "DOWN" };
    match change {
        ServerChange::Down(why) => write!(f, "is DOWN{why}. {}", Left(usable)),
        ServerChange::Up(why) => write!(f, "is UP{why}. {}", Online(usable)),
        ServerChange::Stopping(why) => write!(f, "is stopping{why}. {}", Online(usable)),
        ServerChange::Maintenance { was_up: true, via } => {
            write!(f, "is going DOWN for maintenance{}. {}", Via(via), Left(usable))
        }
        ServerChange::Maintenance { was_up: false, via } => {
            write!(f, "was DOWN and now enters maintenance{}.", Via(via))
        }
        ServerChange::Ready { up, followed } => {
            let forced = if *followed { "" } else { "forced " };
            write!(f, "is {}/READY (leaving {forced}maintenance).", state(up))
        }
        ServerChange::Drain { via } => write!(f, "enters drain state{}. {}", Via(via), Online(usable)),
        ServerChange::DrainEnd { up } => write!(f, "is {} (leaving forced drain).", state(up)),
        ServerChange::Address { from, to, by } => write!(f, "changed its IP from {from} to {to} by {by}."),
        ServerChange::Unresolved { reason } => {
            write!(f, "is going DOWN for maintenance ({reason}). {}", Left(usable))
        }
        ServerChange::Resolved { host, up } => {
            write!(f, "('{host}') is {}/READY (resolves again).", state(up))
        }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Why::Check(outcome) => outcome.fmt(f),
            Why::Operator => f.write_str(", changed from CLI"),
            Why::Told => Ok(()),
            Why::Followed(server) => write!(f, " via {server}"),
            Why::Other(text) => write!(f, ", {text}"),
        }
    }
}

impl Display for CheckText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, ", reason: {}", self.reason)?;
        if let Some(code) = self.code {
            write!(f, ", code: {code}")?;
        }
        if !self.info.is_empty() {
            f.write_str(", info: \"")?;
            self.info.chars().filter(|c| !c.is_control()).try_for_each(|c| f.write_char(c))?;
            f.write_char('"')?;
        }
        match self.duration_ms {
            Some(ms) => write!(f, ", check duration: {ms}ms"),
            None => Ok(()),
        }
    }
}

/// ` via pool/server`, or nothing.
struct Via<'v>(&'v Option<String>);

impl Display for Via<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |server| write!(f, " via {server}"))
    }
}

/// What is left after a loss.
struct Left<'u>(&'u Usable);

impl Display for Left<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Usable { active, backup, sessions, requeued, queued } = self.0;
        let fallen_back = if *active == 0 && *backup > 0 { " Running on backup." } else { "" };
        write!(f, "{active} active and {backup} backup servers left.{fallen_back} ")?;
        write!(f, "{sessions} sessions active, {requeued} requeued, {queued} remaining in queue.")
    }
}

/// What is there after a gain.
struct Online<'u>(&'u Usable);

impl Display for Online<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Usable { active, backup, requeued, queued, .. } = self.0;
        let fallen_back = if *active == 0 && *backup > 0 { " Running on backup." } else { "" };
        write!(f, "{active} active and {backup} backup servers online.{fallen_back} ")?;
        write!(f, "{requeued} sessions requeued, {queued} total in queue.")
    }
}

/// An event with its time and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Number, from 1.
    pub number: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
}

/// The last events, for pages.
#[derive(Debug)]
pub struct Events {
    capacity: usize,
    kept: Mutex<(u64, VecDeque<Dated>)>,
}

impl Events {
    /// Keeps so many.
    pub fn new(capacity: usize) -> Events {
        Events { capacity: capacity.max(1), kept: Mutex::new((0, VecDeque::new())) }
    }

    /// Adds one, forgetting the oldest when full; gives its number.
    pub fn push(&self, at_ms: u64, event: Event) -> u64 {
        let mut kept = self.kept.lock();
        kept.0 += 1;
        let number = kept.0;
        if kept.1.len() == self.capacity {
            kept.1.pop_front();
        }
        kept.1.push_back(Dated { number, at_ms, event });
        number
    }

    /// At most `count` of the events after number `after`, newest first.
    pub fn recent(&self, after: u64, count: usize) -> Vec<Dated> {
        let kept = self.kept.lock();
        kept.1.iter().rev().take_while(|e| e.number > after).take(count).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(change: ServerChange, active: usize, backup: usize) -> Event {
        let usable = Usable { active, backup, sessions: 3, requeued: 2, queued: 1 };
        Event::Server { pool: "be".into(), server: "s1".into(), backup: false, change, usable }
    }

    fn refused() -> CheckText {
        CheckText {
            reason: "Layer4 connection problem".into(),
            code: None,
            info: "Connection\nrefused".into(),
            duration_ms: Some(0),
        }
    }

    #[test]
    fn wording_and_severity() {
        let check = |passed, up| Event::Check {
            pool: "be".into(),
            server: "s1".into(),
            backup: false,
            agent: false,
            passed,
            conditional: false,
            outcome: CheckText {
                reason: "Layer7 check passed".into(),
                code: Some(200),
                info: String::new(),
                duration_ms: Some(12),
            },
            count: (3, 3),
            up,
        };
        for (event, severity, text) in [
            (
                server(ServerChange::Down(Why::Check(refused())), 2, 0),
                Severity::Alert,
                "Server be/s1 is DOWN, reason: Layer4 connection problem, info: \"Connectionrefused\", check \
                 duration: 0ms. 2 active and 0 backup servers left. 3 sessions active, 2 requeued, 1 remaining \
                 in queue.",
            ),
            (
                server(ServerChange::Down(Why::Operator), 0, 1),
                Severity::Alert,
                "Server be/s1 is DOWN, changed from CLI. 0 active and 1 backup servers left. Running on backup. \
                 3 sessions active, 2 requeued, 1 remaining in queue.",
            ),
            (
                server(ServerChange::Up(Why::Operator), 3, 0),
                Severity::Notice,
                "Server be/s1 is UP, changed from CLI. 3 active and 0 backup servers online. 2 sessions \
                 requeued, 1 total in queue.",
            ),
            (
                server(ServerChange::Ready { up: true, followed: false }, 1, 0),
                Severity::Notice,
                "Server be/s1 is UP/READY (leaving forced maintenance).",
            ),
            (
                check(true, true),
                Severity::Notice,
                "Health check for server be/s1 succeeded, reason: Layer7 check passed, code: 200, check \
                 duration: 12ms, status: 3/3 UP.",
            ),
            (
                Event::PoolEmpty { pool: "be".into(), listen: false },
                Severity::Emergency,
                "backend be has no server available!",
            ),
        ] {
            assert_eq!(event.text(), text);
            assert_eq!(event.severity(), severity);
        }
    }

    #[test]
    fn texts_from_outside_cannot_break_a_line() {
        let event = Event::ReloadFailed { reason: "a\r\nb\u{85}\u{0}c".into() };
        assert!(!event.text().contains(|c: char| c.is_control()));
    }

    #[test]
    fn the_ring_forgets_the_oldest() {
        let events = Events::new(2);
        for ms in 1..=3 {
            events.push(ms, Event::Reloaded { took_ms: ms });
        }
        let numbers = |after, count| events.recent(after, count).iter().map(|e| e.number).collect::<Vec<_>>();
        assert_eq!(numbers(0, 10), [3, 2]);
        assert_eq!(numbers(2, 10), [3]);
        assert_eq!(numbers(0, 1), [3]);
    }
}
