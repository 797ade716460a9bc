//! One server under check: its machine, what was last seen, and the events drawn from them. Used by `task`.

use crate::machine::{Action, AgentWord, CheckDone, Health, Input, Job, Machine, Setup, Verdict, Why};
use crate::probe::{AgentAnswer, AgentState, AgentWeight, Finding, Limits};
use pool::{AdminCause, AdminState, CheckReport, CheckStatus, Pool, Server};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Event;
use telemetry::event::{CheckText, ServerChange, Usable, Why as Reason};

/// One server under check.
pub(crate) struct Entry {
    pub pool: Arc<Pool>,
    pub server: Arc<Server>,
    pub machine: Machine,
    /// The earliest time of it that waits in the heap.
    pub queued: Option<Duration>,
    admin: AdminState,
    /// A check passed on a condition only, or an operator said so.
    stopping: bool,
    /// It is out of service only because the server is that it follows.
    was_inherited: bool,
    agent_status: CheckStatus,
    unresolved: bool,
    failures: u64,
    status: CheckStatus,
    /// What the last check and the last agent check found.
    check_text: CheckText,
    agent_text: CheckText,
}

/// How a check ended, and in which circumstances.
#[derive(Debug)]
pub(crate) struct Done {
    pub finding: Finding,
    /// The agent's words, if the agent was asked.
    pub agent: Option<AgentAnswer>,
    /// The server answered requests meanwhile.
    pub answered: bool,
    /// Our own loop stood still so long.
    pub stalled: Duration,
}

impl Entry {
    /// A server not seen before. `setup` is of the same server.
    pub fn new(pool: &Arc<Pool>, server: &Arc<Server>, setup: &Setup<'_>) -> Entry {
        let mut machine = Machine::new(setup);
        if server.health() == pool::Health::Down {
            machine.start_as(Health::Down);
        }
        let entry = Entry {
            pool: Arc::clone(pool),
            server: Arc::clone(server),
            machine,
            queued: None,
            admin: AdminState::Ready,
            stopping: false,
            was_inherited: false,
            agent_status: CheckStatus::Initializing,
            unresolved: server.is_unresolved(),
            failures: 0,
            status: CheckStatus::Initializing,
            check_text: CheckText::default(),
            agent_text: CheckText::default(),
        };
        if server.plan.check.is_some() {
            server.set_report(entry.report(CheckStatus::Initializing, &Default::default(), None));
        }
        if server.plan.agent.is_some() {
            server.set_agent_report(CheckReport { status: CheckStatus::Initializing, ..agent_report(true) });
        }
        entry
    }

    /// It is in maintenance from the start: nothing to tell.
    pub fn start_in(&mut self, now: Duration, admin: AdminState) {
        self.admin = self.admin_of_others();
        self.stopping = self.server.admin_by(AdminCause::Health) == AdminState::Drain;
        if admin == AdminState::Maintenance {
            self.machine.apply(now, Input::Maintenance(true));
        }
    }

    /// The same server in a new cycle.
    pub fn follow(&mut self, pool: &Arc<Pool>, server: &Arc<Server>, setup: &Setup<'_>) -> Vec<Event> {
        (self.pool, self.server) = (Arc::clone(pool), Arc::clone(server));
        let actions = self.machine.reconfigure(setup);
        self.publish();
        self.events(&actions)
    }

    /// How long its check or agent check may take.
    pub fn limits(&self, job: Job) -> Limits {
        let timeouts = &self.pool.plan.timeouts;
        let interval = match job {
            Job::Check => self.server.plan.check.as_ref().map(|check| check.interval),
            Job::Agent => self.server.plan.agent.as_ref().map(|agent| agent.interval),
        };
        Limits::new(interval.unwrap_or(Duration::from_secs(2)), timeouts.connect, timeouts.check)
    }

    /// Takes in how a check ended.
    pub fn done(&mut self, now: Duration, done: &Done, spread: f64) -> Vec<Event> {
        match done.agent {
            Some(answer) => self.agent_done(now, done, answer),
            None => self.check_done(now, done, spread),
        }
    }

    /// Takes in anything else; gives what is to be told.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Event> {
        let actions = self.machine.apply(now, input);
        if actions.is_empty() {
            return Vec::new();
        }
        if self.server.plan.check.is_some() {
            let observed = actions.contains(&Action::ErrorLimit).then_some(CheckStatus::Hana);
            let report = self.server.report();
            let status = observed.unwrap_or(report.status);
            self.server.set_report(CheckReport { health: self.machine.counter(), status, ..report });
        }
        self.publish();
        self.events(&actions)
    }

    /// Somebody changed something about the server: takes over what we did not do ourselves.
    pub fn catch_up(&mut self, now: Duration) -> Vec<Event> {
        let mut events = self.admin_news(now, &Reason::Operator);
        if to_own(self.server.health()) != self.check_health() {
            events.extend(self.apply(now, Input::Force(to_own(self.server.health()))));
        }
        if to_own(self.server.agent_health()) != self.agent_health() {
            events.extend(self.apply(now, Input::ForceAgent(to_own(self.server.agent_health()))));
        }
        events
    }

    /// Becomes as the server that it follows.
    pub fn follow_server(&mut self, now: Duration, tracked: &Server) -> Vec<Event> {
        let health = if tracked.is_up() { Health::Up } else { Health::Down };
        let mut events = match self.machine.is_up() == tracked.is_up() {
            true => Vec::new(),
            false => self.apply(now, Input::Follow(health)),
        };
        let stops = tracked.admin_by(AdminCause::Health) == AdminState::Drain;
        let held = [AdminCause::Config, AdminCause::Operator, AdminCause::Agent, AdminCause::Tracked];
        let held = held.into_iter().map(|cause| tracked.admin_by(cause)).max().unwrap_or_default();
        self.server.set_admin(held, AdminCause::Tracked);
        self.server.set_admin(if stops { AdminState::Drain } else { AdminState::Ready }, AdminCause::Health);
        events.extend(self.admin_news(now, &self.followed()));
        events
    }

    /// What others said about it since the last look. `why` is told when it begins or ends to be stopping.
    fn admin_news(&mut self, now: Duration, why: &Reason) -> Vec<Event> {
        let mut events = Vec::new();
        let stopping = self.server.admin_by(AdminCause::Health) == AdminState::Drain;
        let was_stopping = std::mem::replace(&mut self.stopping, stopping);
        let admin = self.admin_of_others();
        if admin != self.admin {
            let before = std::mem::replace(&mut self.admin, admin);
            events.extend(self.admin_changed(now, before, admin));
        }
        if stopping != was_stopping && admin == AdminState::Ready && self.machine.is_up() {
            let change =
                if stopping { ServerChange::Stopping(why.clone()) } else { ServerChange::Up(why.clone()) };
            events.push(self.event(change));
        }
        events
    }

    /// What is said about it, but for what checks say.
    fn admin_of_others(&self) -> AdminState {
        use AdminCause::{Agent, Config, Operator, Resolution, Tracked};
        let causes = [Config, Operator, Agent, Resolution, Tracked];
        causes.into_iter().map(|cause| self.server.admin_by(cause)).max().unwrap_or_default()
    }

    fn check_done(&mut self, now: Duration, done: &Done, spread: f64) -> Vec<Event> {
        let finding = &done.finding;
        let verdict = verdict(finding);
        let before = self.machine.counter();
        let input = CheckDone { verdict, stalled: done.stalled, answered: done.answered, spread };
        let actions = self.machine.apply(now, Input::CheckDone(input));
        if actions.contains(&Action::Repeated) {
            return Vec::new();
        }
        self.failures +=
            u64::from(verdict == Verdict::Failed || verdict == Verdict::TimedOut) * u64::from(before > 0);
        self.check_text = text(finding);
        let news = actions.contains(&Action::Counted) || finding.status != self.status;
        self.status = finding.status;
        self.server.set_report(self.report(finding.status, finding, Some(finding.duration)));
        self.publish();
        let mut events = Vec::new();
        if news && self.pool.plan.log_checks {
            events.push(self.check_event());
        }
        events.extend(self.events(&actions));
        if verdict != Verdict::Unproven {
            let stops = finding.status == CheckStatus::L7OkCond;
            let admin = if stops { AdminState::Drain } else { AdminState::Ready };
            self.server.set_admin(admin, AdminCause::Health);
            events.extend(self.admin_news(now, &self.check_reason()));
        }
        events
    }

    fn check_event(&self) -> Event {
        Event::Check {
            agent: false,
            conditional: self.status == CheckStatus::L7OkCond,
            pool: self.pool.plan.name.clone(),
            server: self.server.plan.name.clone(),
            backup: self.server.plan.backup,
            passed: self.status.passed(),
            outcome: self.check_text.clone(),
            count: self.machine.progress(),
            up: self.check_health() == Health::Up,
        }
    }

    fn agent_done(&mut self, now: Duration, done: &Done, answer: AgentAnswer) -> Vec<Event> {
        // An agent that cannot be reached says nothing: the regular check tests that.
        if done.finding.ours || done.finding.status.is_no_answer() {
            self.machine.apply(now, Input::AgentDone(AgentWord::Silent));
            return Vec::new();
        }
        let word = match answer.state {
            Some(AgentState::Up) => AgentWord::Up,
            Some(AgentState::Down) => AgentWord::Down,
            None => AgentWord::Silent,
        };
        self.agent_text = text(&done.finding);
        let mut events = Vec::new();
        if self.machine.agent_enabled() {
            self.obey(answer);
            events.extend(self.admin_news(now, &Reason::Operator));
        }
        let actions = self.machine.apply(now, Input::AgentDone(word));
        let status = done.finding.status;
        self.server.set_agent_report(CheckReport {
            status,
            code: done.finding.code.unwrap_or(0),
            duration: Some(done.finding.duration),
            text: done.finding.text.as_str().into(),
            ..agent_report(self.agent_health() == Health::Up)
        });
        self.publish();
        let news = std::mem::replace(&mut self.agent_status, status) != status;
        if news && word != AgentWord::Silent && self.pool.plan.log_checks {
            events.push(self.agent_event(word == AgentWord::Up));
        }
        events.extend(self.events(&actions));
        events
    }

    fn agent_event(&self, passed: bool) -> Event {
        let up = self.agent_health() == Health::Up;
        Event::Check {
            pool: self.pool.plan.name.clone(),
            server: self.server.plan.name.clone(),
            backup: self.server.plan.backup,
            agent: true,
            passed,
            conditional: false,
            outcome: self.agent_text.clone(),
            count: (u32::from(up), 1),
            up,
        }
    }

    /// Weight, limit and administrative state as the agent wishes.
    fn obey(&self, answer: AgentAnswer) {
        let initial = u64::from(self.server.plan.weight);
        let weight = match answer.weight {
            Some(AgentWeight::Percent(percent)) => Some((initial * u64::from(percent)).div_ceil(100)),
            Some(AgentWeight::Absolute(weight)) => Some(weight.into()),
            None => None,
        };
        if let Some(weight) = weight {
            self.server.set_weight(u16::try_from(weight).unwrap_or(256).min(256));
        }
        if let Some(limit) = answer.max_connections {
            self.server.set_max_connections(Some(limit));
        }
        if let Some(admin) = answer.admin {
            self.server.set_admin(admin, AdminCause::Agent);
            if admin == AdminState::Ready {
                self.server.set_admin(admin, AdminCause::Operator);
            }
        }
    }

    fn admin_changed(&mut self, now: Duration, before: AdminState, after: AdminState) -> Vec<Event> {
        use AdminState::{Drain, Maintenance, Ready};
        let was_up = self.machine.is_up();
        let mut events = self.apply(now, Input::Maintenance(after == Maintenance));
        let up = self.machine.is_up();
        let tracked = self.server.plan.track.as_ref().map(ToString::to_string);
        let by_tracked = self.server.admin_by(AdminCause::Tracked) == after;
        let via = tracked.clone().filter(|_| by_tracked);
        let unresolved = self.server.is_unresolved();
        let was_unresolved = std::mem::replace(&mut self.unresolved, unresolved);
        let change = match (before, after) {
            (_, Maintenance) if unresolved && !was_unresolved => {
                ServerChange::Unresolved { reason: self.server.unresolved_reason().to_owned() }
            }
            (Maintenance, Ready) if was_unresolved => {
                ServerChange::Resolved { host: self.server.host().unwrap_or_default(), up }
            }
            (_, Maintenance) => ServerChange::Maintenance { was_up, via },
            (Maintenance, Ready) => {
                let followed = tracked.is_some() && self.server.admin_by(AdminCause::Operator) == Ready;
                ServerChange::Ready { up, followed: followed && self.was_inherited }
            }
            (_, Drain) => ServerChange::Drain { via },
            (_, Ready) => ServerChange::DrainEnd { up },
        };
        self.was_inherited = by_tracked && after != Ready;
        events.push(self.event(change));
        events
    }

    /// The head of requests that tell the server how it is seen: `UP 2/3; address=…`.
    pub fn state_text(&self, node: &str) -> String {
        let (n, of) = self.machine.progress();
        let up = self.machine.is_up();
        let state = match (self.stopping && up, up, n) {
            (true, ..) => "NOLB".to_owned(),
            (_, true, n) if n == of && self.status != CheckStatus::Initializing => "UP".to_owned(),
            (_, true, n) => format!("UP {n}/{of}"),
            (_, false, 0) => "DOWN".to_owned(),
            (_, false, n) => format!("DOWN {n}/{of}"),
        };
        let (address, port) = match self.server.address() {
            pool::ServerEndpoint::Tcp(address) => (address.ip().to_string(), address.port().to_string()),
            pool::ServerEndpoint::Unix(_) => ("unix".to_owned(), "unix".to_owned()),
        };
        let servers = self.pool.servers();
        let usable = servers.iter().filter(|server| server.is_usable());
        let total: u64 = usable.map(|server| u64::from(server.effective_weight())).sum();
        let in_use: u32 = servers.iter().map(|server| server.stats.current.now()).sum();
        format!(
            "{state}; address={address}; port={port}; name={}/{}; node={node}; weight={}/{total}; scur={}/{in_use}; \
             qcur={}",
            self.pool.plan.name,
            self.server.plan.name,
            self.server.effective_weight(),
            self.server.stats.current.now(),
            self.server.stats.queue.now(),
        )
    }

    /// Tells the pool; telling it twice changes nothing.
    fn publish(&self) {
        self.server.set_health(to_pool(self.check_health()));
        self.server.set_agent_health(to_pool(self.agent_health()));
        self.server.set_suspect(self.machine.is_suspect());
        self.server.set_rising(self.machine.is_rising());
    }

    fn check_health(&self) -> Health {
        self.machine.check_health()
    }

    fn agent_health(&self) -> Health {
        self.machine.agent_health()
    }

    fn events(&self, actions: &[Action]) -> Vec<Event> {
        let change = |action: &Action| match action {
            // Leaving maintenance has an event of its own; what happens inside of it is no news.
            Action::SetUp(_) | Action::SetDown(_) if self.admin == AdminState::Maintenance => None,
            Action::SetUp(Why::Maintenance) => None,
            Action::SetUp(why) => Some(ServerChange::Up(self.reason(*why))),
            Action::SetDown(why) => Some(ServerChange::Down(self.reason(*why))),
            _ => None,
        };
        actions.iter().filter_map(change).map(|change| self.event(change)).collect()
    }

    fn reason(&self, why: Why) -> Reason {
        match why {
            Why::Check | Why::Maintenance => self.check_reason(),
            Why::Agent if self.pool.plan.log_checks => Reason::Told,
            Why::Agent => Reason::Check(self.agent_text.clone()),
            Why::Followed => self.followed(),
            Why::Operator => Reason::Operator,
            Why::Observed => Reason::Check(CheckText {
                reason: CheckStatus::Hana.description().into(),
                info: "too many errors of requests in a row".into(),
                ..CheckText::default()
            }),
        }
    }

    /// The last check, unless it has a line of its own.
    fn check_reason(&self) -> Reason {
        if self.pool.plan.log_checks { Reason::Told } else { Reason::Check(self.check_text.clone()) }
    }

    fn followed(&self) -> Reason {
        Reason::Followed(self.server.plan.track.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    fn event(&self, change: ServerChange) -> Event {
        let usable = Usable {
            active: self.pool.usable(),
            backup: self.pool.usable_backups(),
            sessions: self.server.stats.current.now() as usize,
            requeued: 0,
            queued: self.pool.stats.queue.now() as usize,
        };
        Event::Server {
            pool: self.pool.plan.name.clone(),
            server: self.server.plan.name.clone(),
            backup: self.server.plan.backup,
            change,
            usable,
        }
    }

    fn report(&self, status: CheckStatus, finding: &Finding, duration: Option<Duration>) -> CheckReport {
        let check = self.server.plan.check.as_ref();
        CheckReport {
            status,
            code: finding.code.unwrap_or(0),
            duration,
            text: finding.text.as_str().into(),
            rise: check.map_or(1, |check| check.rise),
            fall: check.map_or(1, |check| check.fall),
            health: self.machine.counter(),
            failures: self.failures,
        }
    }
}

fn verdict(finding: &Finding) -> Verdict {
    match finding.status {
        _ if finding.ours => Verdict::Unproven,
        CheckStatus::L4Timeout
        | CheckStatus::L6Timeout
        | CheckStatus::L7Timeout
        | CheckStatus::ProcTimeout => Verdict::TimedOut,
        status if status.passed() => Verdict::Passed,
        _ => Verdict::Failed,
    }
}

fn text(finding: &Finding) -> CheckText {
    CheckText {
        reason: finding.status.description().into(),
        code: finding.code.map(u32::from),
        info: finding.text.clone(),
        duration_ms: Some(u32::try_from(finding.duration.as_millis()).unwrap_or(u32::MAX)),
    }
}

fn agent_report(up: bool) -> CheckReport {
    CheckReport { rise: 1, fall: 1, health: u32::from(up), ..CheckReport::default() }
}

fn to_pool(health: Health) -> pool::Health {
    match health {
        Health::Up => pool::Health::Up,
        Health::Down => pool::Health::Down,
    }
}

fn to_own(health: pool::Health) -> Health {
    match health {
        pool::Health::Up => Health::Up,
        pool::Health::Down => Health::Down,
    }
}
