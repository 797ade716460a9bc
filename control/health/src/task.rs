//! The one task that checks all servers: observe, decide, act, again. Runs on the control thread, for the whole life of
//! the process; cycles come and go under it.
//!
//! ```text
//!   heap of due times ──► probe (a small task each) ──► Entry ──► pool, events
//!   Inbox ───────────────────────────────────────────────▲
//! ```

use crate::entry::{Done, Entry};
use crate::inbox::{Inbox, Mail, Pools};
use crate::machine::{Input, Job, PassiveError, Setup, first_check};
use crate::probe::{self, Finding, Target};
use crate::steps::Subject;
use plan::check::Probe;
use pool::{CheckStatus, Observer, Pool, Server};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::Event;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Where events go. The pool tells the log targets; a [`Event::PoolEmpty`] is always said of a `backend`.
pub type Emit = Box<dyn Fn(&Arc<Pool>, Event) + Send>;

/// The checks of a process, as others see them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Checks {
    inbox: Arc<Inbox>,
}

impl Checks {
    /// The checks, and the task that does them: to be spawned on a tokio runtime. It ends after [`Checks::stop`].
    pub fn new(emit: Emit) -> (Checks, impl Future<Output = ()> + Send + 'static) {
        let checks = Checks::default();
        let seed = fastrand::u64(..);
        let task = Task::new(Arc::clone(&checks.inbox), emit, seed);
        (checks, task.run())
    }

    /// Hears what happens at servers; to be given to [`Pool::build`].
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.inbox) as Arc<dyn Observer>
    }

    /// These pools are checked from now on. Servers known by uid keep what is known about them, others start, those
    /// that are gone are let go. Each interval is varied by up to `spread_percent`, either way. `node` is told to
    /// servers that ask how they are seen.
    pub fn replace(&self, pools: &[Arc<Pool>], spread_percent: u8, node: &str) {
        self.inbox.follow(pools);
        let pools = Pools { pools: pools.to_vec(), spread_percent, node: node.to_owned() };
        self.inbox.put(|mail| mail.pools = Some(pools));
    }

    /// Enables or disables the active checks of a server; false when it has none.
    pub fn enable_checks(&self, server: &Server, on: bool) -> bool {
        self.inbox.switch(server, Job::Check, on)
    }

    /// Enables or disables the agent checks of a server; false when it has none.
    pub fn enable_agent(&self, server: &Server, on: bool) -> bool {
        self.inbox.switch(server, Job::Agent, on)
    }

    /// Whether a server has active checks and they are enabled.
    pub fn checks_enabled(&self, server: &Server) -> bool {
        self.inbox.is_enabled(server, Job::Check)
    }

    /// Whether a server has an agent and it is enabled.
    pub fn agent_enabled(&self, server: &Server) -> bool {
        self.inbox.is_enabled(server, Job::Agent)
    }

    /// Ends the task; checks in progress are dropped.
    pub fn stop(&self) {
        self.inbox.put(|mail| mail.stop = true);
    }
}

struct Task {
    inbox: Arc<Inbox>,
    emit: Emit,
    began: Instant,
    rng: fastrand::Rng,
    phase: f64,
    spread: f64,
    node: String,
    /// Servers by the server that they follow.
    followers: HashMap<u32, Vec<u32>>,
    entries: HashMap<u32, Entry>,
    pools: HashMap<String, Watched>,
    /// When to look at which server; its check may have moved to later meanwhile.
    due: BinaryHeap<Reverse<(Duration, u32)>>,
    /// At most two checks of a server at once: its own and its agent's.
    running: JoinSet<Done>,
    asked: HashMap<Id, (u32, Job)>,
}

/// A pool, and what was last told about it.
struct Watched {
    pool: Arc<Pool>,
    /// No server that can be trusted: down ones are asked more often.
    none: bool,
    /// No server at all; said once.
    empty: bool,
}

/// Why the loop turns.
enum Turn {
    Due,
    Mail,
    Ended(Result<(Id, Done), JoinError>),
}

impl Task {
    fn new(inbox: Arc<Inbox>, emit: Emit, seed: u64) -> Task {
        let mut rng = fastrand::Rng::with_seed(seed);
        Task {
            inbox,
            emit,
            began: Instant::now(),
            phase: rng.f64(),
            rng,
            spread: 0.0,
            node: String::new(),
            followers: HashMap::new(),
            entries: HashMap::new(),
            pools: HashMap::new(),
            due: BinaryHeap::new(),
            running: JoinSet::new(),
            asked: HashMap::new(),
        }
    }

    async fn run(mut self) {
        loop {
            match self.turn().await {
                Turn::Due => self.begin_due(),
                Turn::Mail => {
                    let mail = self.inbox.empty();
                    if mail.stop {
                        return;
                    }
                    self.open(mail);
                }
                Turn::Ended(ended) => self.ended(ended),
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let next = self.due.peek().map(|Reverse((at, _))| self.began + *at);
        // A day, when nothing is due: any end of the sleep is harmless.
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        tokio::select! {
            () = self.inbox.arrived.notified() => Turn::Mail,
            Some(ended) = self.running.join_next_with_id() => Turn::Ended(ended),
            () = sleep_until(next) => Turn::Due,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn begin_due(&mut self) {
        let now = self.now();
        while let Some(Reverse((at, uid))) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.due.pop();
            let Some(entry) = self.entries.get_mut(&uid) else { continue };
            if entry.queued == Some(at) {
                entry.queued = None;
            }
            if let Some((_, job)) = entry.machine.next_at().filter(|(due, _)| *due <= now) {
                entry.machine.begin(now, job);
                let (pool, server) = (Arc::clone(&entry.pool), Arc::clone(&entry.server));
                let subject = subject(entry, &self.node);
                let handle = self.running.spawn(ask(pool, server, subject, entry.limits(job), job));
                self.asked.insert(handle.id(), (uid, job));
            }
            self.schedule(uid);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Done), JoinError>) {
        let (id, done) = match ended {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        let Some((uid, job)) = self.asked.remove(&id) else { return };
        // A check that died of a fault of ours says nothing about the server.
        let done = done.unwrap_or_else(|| Done::of_fault(job));
        let spread = 1.0 + self.spread * (self.rng.f64() * 2.0 - 1.0);
        let now = self.now();
        self.with(uid, |entry| entry.done(now, &done, spread));
    }

    fn open(&mut self, mail: Mail) {
        if let Some(pools) = mail.pools {
            self.replace(&pools);
        }
        let now = self.now();
        for (uid, job, on) in mail.switches {
            let input = if job == Job::Check { Input::Checks(on) } else { Input::Agent(on) };
            self.with(uid, |entry| entry.apply(now, input));
        }
        for (uid, input) in mail.outcomes {
            self.with(uid, |entry| entry.apply(now, input));
        }
        for uid in mail.unreached {
            self.with(uid, |entry| entry.apply(now, Input::PassiveError(PassiveError::Connect)));
        }
        for uid in mail.answered {
            self.with(uid, |entry| entry.apply(now, Input::PassiveOk));
        }
        for uid in mail.changed {
            self.with(uid, |_| Vec::new());
            // What changed may matter to the pool without being news of ours, as a weight of 0.
            if let Some(name) = self.entries.get(&uid).map(|entry| entry.pool.plan.name.clone()) {
                self.look_at(&name);
            }
        }
    }

    /// Does something with a server, tells what came of it, and looks at its pool and its next check again. What others
    /// changed meanwhile comes first: an operator's word must not be overwritten by what we find next.
    fn with(&mut self, uid: u32, act: impl FnOnce(&mut Entry) -> Vec<Event>) {
        let now = self.now();
        let Some(entry) = self.entries.get_mut(&uid) else { return };
        let was = standing(&entry.server);
        let mut events = entry.catch_up(now);
        events.extend(act(entry));
        let pool = Arc::clone(&entry.pool);
        let moved = was != standing(&entry.server) || !events.is_empty();
        for event in events {
            (self.emit)(&pool, event);
        }
        self.schedule(uid);
        if moved {
            self.look_at(&pool.plan.name);
            self.lead(uid);
        }
    }

    /// Servers that follow this one become as it is. Chains end: the plan knows no circles.
    fn lead(&mut self, uid: u32) {
        let Some(followers) = self.followers.get(&uid).cloned() else { return };
        let Some(server) = self.entries.get(&uid).map(|entry| Arc::clone(&entry.server)) else { return };
        let now = self.now();
        for follower in followers {
            self.with(follower, |entry| entry.follow_server(now, &server));
        }
    }

    /// Puts the next check of a server into the heap, unless an earlier time of it is there already.
    fn schedule(&mut self, uid: u32) {
        let Some(entry) = self.entries.get_mut(&uid) else { return };
        let Some((at, _)) = entry.machine.next_at() else { return };
        if entry.queued.is_none_or(|queued| at < queued) {
            entry.queued = Some(at);
            self.due.push(Reverse((at, uid)));
        }
    }

    /// Tells the servers of a pool when none can be trusted, and the world when none is left.
    fn look_at(&mut self, name: &str) {
        let now = self.now();
        let Some(watched) = self.pools.get_mut(name) else { return };
        let pool = Arc::clone(&watched.pool);
        let empty = pool.usable() + pool.usable_backups() == 0;
        let was_empty = std::mem::replace(&mut watched.empty, empty);
        let none = !pool.servers().iter().any(|server| server.is_usable() && !server.suspect());
        let was_none = std::mem::replace(&mut watched.none, none);
        if empty && !was_empty {
            (self.emit)(&pool, Event::PoolEmpty { pool: name.to_string(), listen: false });
        }
        if none != was_none {
            for server in &*pool.servers() {
                if let Some(entry) = self.entries.get_mut(&server.uid) {
                    entry.apply(now, Input::PoolHasNone(none));
                }
                self.schedule(server.uid);
            }
        }
    }

    fn replace(&mut self, new: &Pools) {
        self.spread = f64::from(new.spread_percent.min(50)) / 100.0;
        self.node.clone_from(&new.node);
        let now = self.now();
        let of_pool = |pool: &Arc<Pool>| {
            pool.servers().iter().map(|s| (Arc::clone(pool), Arc::clone(s))).collect::<Vec<_>>()
        };
        let servers: Vec<_> = new.pools.iter().flat_map(of_pool).collect();
        let known: HashSet<u32> = servers.iter().map(|(_, server)| server.uid).collect();
        self.entries.retain(|uid, _| known.contains(uid));
        let checked =
            servers.iter().filter(|(_, s)| s.plan.check.is_some() || s.plan.agent.is_some()).count();
        let mut index = 0;
        for (pool, server) in servers {
            self.take_in(now, &pool, &server, index, checked);
            index += usize::from(server.plan.check.is_some() || server.plan.agent.is_some());
        }
        self.watch(new);
        self.find_followers();
    }

    fn find_followers(&mut self) {
        let named: HashMap<(String, String), u32> = self
            .entries
            .iter()
            .map(|(uid, e)| ((e.pool.plan.name.clone(), e.server.plan.name.clone()), *uid))
            .collect();
        self.followers.clear();
        for (uid, entry) in &self.entries {
            let tracked = entry.server.plan.track.as_ref();
            let tracked = tracked.and_then(|t| named.get(&(t.pool.clone(), t.server.clone())));
            if let Some(tracked) = tracked {
                self.followers.entry(*tracked).or_default().push(*uid);
            }
        }
        let leaders: Vec<u32> = self.followers.keys().copied().collect();
        for leader in leaders {
            self.lead(leader);
        }
    }

    fn take_in(&mut self, now: Duration, pool: &Arc<Pool>, server: &Arc<Server>, index: usize, count: usize) {
        let (check, agent) = (server.plan.check.as_ref(), server.plan.agent.as_ref());
        let interval = check.map(|c| c.interval).or(agent.map(|a| a.interval)).unwrap_or_default();
        let setup = Setup {
            check,
            agent,
            observe: server.plan.observe,
            phase: (index as f64 / count.max(1) as f64 + self.phase).fract(),
            first_at: now + first_check(index, count, interval, self.phase),
        };
        match self.entries.get_mut(&server.uid) {
            Some(entry) => {
                let mut events = entry.catch_up(now);
                events.extend(entry.follow(pool, server, &setup));
                for event in events {
                    (self.emit)(pool, event);
                }
            }
            None => {
                let mut entry = Entry::new(pool, server, &setup);
                entry.start_in(now, server.admin());
                self.entries.insert(server.uid, entry);
            }
        }
        self.schedule(server.uid);
    }

    fn watch(&mut self, new: &Pools) {
        let mut before = std::mem::take(&mut self.pools);
        for pool in &new.pools {
            let name = pool.plan.name.clone();
            let (none, empty) = before.remove(&name).map_or((false, false), |w| (w.none, w.empty));
            // A pool of which nobody expects anything is not announced.
            let empty = empty || pool.servers().is_empty() || pool.plan.disabled;
            self.pools.insert(name, Watched { pool: Arc::clone(pool), none, empty });
        }
        for pool in &new.pools {
            self.look_at(&pool.plan.name);
        }
    }
}

/// What of a server matters to its pool.
fn standing(server: &Server) -> (bool, bool) {
    (server.is_usable(), server.suspect())
}

/// One check of a server, from beginning to end.
async fn ask(
    pool: Arc<Pool>,
    server: Arc<Server>,
    subject: Subject,
    limits: probe::Limits,
    job: Job,
) -> Done {
    let began = Instant::now();
    let before = server.last_answer_ms();
    let mut check = pin!(ask_now(&pool, &server, &subject, limits, job));
    let half = limits.wait() / 2;
    let ((finding, agent), late, before) = match timeout(half, &mut check).await {
        Ok(found) => (found, Duration::ZERO, before),
        Err(_) => {
            // Answers from here on prove life; earlier ones may be older than the fault.
            let late = began.elapsed().saturating_sub(half);
            let before = server.last_answer_ms();
            (check.await, late, before)
        }
    };
    let overdue = began.elapsed().saturating_sub(limits.connect + limits.answer.unwrap_or_default());
    let stalled = late.max(finding.overrun).max(overdue);
    Done { answered: server.last_answer_ms() != before, stalled, finding, agent }
}

async fn ask_now(
    pool: &Pool,
    server: &Server,
    subject: &Subject,
    limits: probe::Limits,
    job: Job,
) -> (Finding, Option<probe::AgentAnswer>) {
    let address = server.address();
    match (job, &server.plan.check, &server.plan.agent) {
        (Job::Agent, _, Some(agent)) => {
            let target = Target {
                source: server.plan.source,
                ..Target::new(&address, agent.address, Some(agent.port))
            };
            let (finding, answer) = probe::ask_agent(&target, agent.send.as_deref(), limits).await;
            (finding, Some(answer))
        }
        (_, check, _) => {
            let own = check.as_ref();
            let target = Target {
                source: server.plan.source,
                send_proxy: own.and_then(|check| check.send_proxy),
                ..Target::new(&address, own.and_then(|c| c.address), own.and_then(|c| c.port))
            };
            let probe = pool.plan.probe.as_ref().unwrap_or(&Probe::Tcp);
            (probe::check(&target, probe, subject, limits).await, None)
        }
    }
}

/// What the check's texts can know of the server.
fn subject(entry: &Entry, node: &str) -> Subject {
    let (pool, server) = (&entry.pool, &entry.server);
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Subject {
        pool: pool.plan.name.clone(),
        server: server.plan.name.clone(),
        pool_id: pool.plan.id,
        server_id: server.plan.id,
        connections: server.stats.current.now(),
        max_connections: server.max_connections().unwrap_or(0),
        http: pool.plan.mode == plan::Mode::Http,
        host: server.address().to_string(),
        down: !server.is_up(),
        state: match &pool.plan.probe {
            Some(Probe::Script(script)) if script.send_state => entry.state_text(node),
            _ => String::new(),
        },
        unix: since_1970.as_secs() as i64,
        random: fastrand::u64(..),
    }
}

impl Done {
    fn of_fault(job: Job) -> Done {
        let finding = Finding {
            status: CheckStatus::SockErr,
            text: "the check failed by a fault of our own".into(),
            ours: true,
            ..Finding::default()
        };
        let agent = (job == Job::Agent).then(probe::AgentAnswer::default);
        Done { finding, agent, answered: false, stalled: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;
