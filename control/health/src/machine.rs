//! The health of one server, decided. Pure: inputs with the time since start, out come actions and the next deadline.
//! `task` feeds it what probes, requests and operators report, and does what it says.
//!
//! ```text
//!            failed                failed, rise + fall - 1 … rise left
//!   ┌──────────────────────┐   ┌───────┐
//!   │  0   DOWN            ▼   ▼       │
//!   │  1 … rise-1  rising ──► rise … rise+fall-1   UP ──► suspect: a check timed out and requests are silent too
//!   └──────────────────────────┘  passed: straight to rise+fall-1
//! ```
//! The counter is HAProxy's: below `rise` the server is down, and any failure falls back to 0; from `rise` on it is up,
//! and any pass jumps to the top. A server never seen before starts at `rise`, so its very first failed check takes it
//! down: nothing has ever spoken for it.

use plan::check::{AgentCheck, Check};
use plan::pool::{Observe, ObserveAction, ObserveLayer};
use std::time::Duration;

/// Longest pause between checks of a down server while its pool has no usable one. HAProxy waits out `inter`, so a pool
/// that is back answers seconds late; when nothing is left to serve, four small probes a second cost nobody anything.
pub const URGENT: Duration = Duration::from_millis(250);

/// Pause before a suspect server is asked again. It is out of rotation after one time-out only, so we owe it a quick
/// second look. Such extra failures do not count towards `fall`: the schedule of the operator decides about "down".
pub const RECHECK: Duration = Duration::from_millis(250);

/// A request that could not connect brings the next check forward, at most once in this time per server.
pub const HURRY_PAUSE: Duration = Duration::from_millis(100);

/// A failed check during which our own loop stood still for this long proves nothing (SIGSTOP, suspend, a starved CPU).
pub const STALL: Duration = Duration::from_millis(100);

/// So many checks in a row may be repeated for that reason; a loop that is always late must still find dead servers.
pub const STALLED_CHECKS: u32 = 3;

/// What a machine is made from.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Active checks, if any.
    pub check: Option<&'a Check>,
    /// Agent, if any.
    pub agent: Option<&'a AgentCheck>,
    /// Passive observation, if any. Without active checks it is ignored, as nothing would bring the server back.
    pub observe: Option<Observe>,
    /// Place of this server among the others, 0 … 1; see [`first_check`]. Keeps hurried checks apart.
    pub phase: f64,
    /// When the first check is due.
    pub first_at: Duration,
}

/// When server `index` of `count` is first checked, after start.
///
/// A few servers are asked almost at once (a dead one should not wait a whole interval to be found); many are spread
/// evenly over the interval, and stay so. `phase` (0 … 1) turns the order, so that several balancers differ.
pub fn first_check(index: usize, count: usize, interval: Duration, phase: f64) -> Duration {
    const STEP: Duration = Duration::from_millis(20);
    let count = count.max(1);
    let window = interval.min(STEP.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)));
    let place = (index as f64 / count as f64 + phase).fract();
    window.mul_f64(place.clamp(0.0, 1.0))
}

/// What the machine is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// The check begun last ended.
    CheckDone(CheckDone),
    /// The agent check begun last ended.
    AgentDone(AgentWord),
    /// A request or connection failed at this server.
    PassiveError(PassiveError),
    /// A request was answered well.
    PassiveOk,
    /// Whether the pool is left without any usable server.
    PoolHasNone(bool),
    /// The operator enables or disables active checks.
    Checks(bool),
    /// The operator enables or disables the agent.
    Agent(bool),
    /// The server enters or leaves maintenance.
    Maintenance(bool),
    /// The operator says up or down; checks go on from there.
    Force(Health),
    /// The same in place of the agent.
    ForceAgent(Health),
    /// The server changed that this one follows.
    Follow(Health),
}

/// How a check ended, and in which circumstances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckDone {
    /// Passed, or how it failed.
    pub verdict: Verdict,
    /// Longest time our own loop stood still since the check began.
    pub stalled: Duration,
    /// The server answered some request since the check began.
    pub answered: bool,
    /// The next interval is multiplied by this; 1.0 = not spread.
    pub spread: f64,
}

/// Passed, or how it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// No connection or no answer in time.
    TimedOut,
    /// Anything else: refused, reset, a wrong answer.
    Failed,
    /// It could not be done for want of our own descriptors, ports or memory: nothing is learnt.
    Unproven,
}

/// What the agent said about the state. Weights and limits go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentWord {
    /// Up.
    Up,
    /// Down, stopped or failed.
    Down,
    /// Nothing about the state, or it could not be reached; the state stays.
    Silent,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassiveError {
    /// No connection.
    Connect,
    /// A connection, but no good answer.
    Answer,
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Health {
    Up,
    Down,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The server may be used.
    SetUp(Why),
    /// The server may not be used.
    SetDown(Why),
    /// Requests should go elsewhere, and idempotent ones waiting there be sent again.
    Suspect(bool),
    /// A down server whose last check passed: better than none at all.
    Rising(bool),
    /// The counter moved: worth a line where each check is logged.
    Counted,
    /// The check proves nothing and is done again: our own loop stood still.
    Repeated,
    /// Errors of requests reached their limit and acted.
    ErrorLimit,
}

/// Who changed the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Active checks.
    Check,
    /// The agent.
    Agent,
    /// Errors of requests.
    Observed,
    /// The operator, by force.
    Operator,
    /// The server that this one follows.
    Followed,
    /// The end of maintenance: back as a server never seen before.
    Maintenance,
}

/// A check to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// The active check.
    Check,
    /// The agent check.
    Agent,
}

/// The health of one server.
#[derive(Clone, Debug)]
pub struct Machine {
    schedule: Option<Schedule>,
    agent: Option<Agent>,
    observe: Option<Observe>,
    phase: f64,
    /// 0 … rise + fall - 1.
    counter: u32,
    up: bool,
    suspect: bool,
    rising: bool,
    maintenance: bool,
    pool_has_none: bool,
    /// Errors of requests in a row.
    errors: u32,
    stalled_checks: u32,
    last_hurry: Option<Duration>,
}

/// Active checks: their numbers and the one to come.
#[derive(Clone, Debug)]
struct Schedule {
    interval: Duration,
    fast: Duration,
    down: Duration,
    rise: u32,
    fall: u32,
    enabled: bool,
    /// When the next check begins.
    next: Duration,
    /// When it would without hurry; failures before that do not count.
    regular: Duration,
    /// `next` was brought forward by a failed request.
    hurried: bool,
    running: Option<Running>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    /// A failure counts.
    counts: bool,
    /// A request failed to connect just before: a failure counts, unless it is a time-out, as those are slow enough
    /// to come by the schedule.
    hurried: bool,
    /// The state was changed from outside meanwhile: the outcome belongs to the past.
    stale: bool,
    /// Another check is due as soon as this one ends.
    again: bool,
}

#[derive(Clone, Debug)]
struct Agent {
    interval: Duration,
    enabled: bool,
    down: bool,
    next: Duration,
    running: bool,
}

impl Machine {
    /// A server never seen before: up, on probation.
    pub fn new(setup: &Setup<'_>) -> Machine {
        let schedule = setup.check.map(|check| Schedule::new(check, setup.first_at));
        let agent = setup.agent.map(|agent| Agent::new(agent, setup.first_at));
        Machine {
            observe: setup.observe.filter(|_| schedule.is_some()),
            counter: schedule.as_ref().map_or(1, |s| s.rise),
            schedule,
            agent,
            phase: setup.phase.clamp(0.0, 1.0),
            up: true,
            suspect: false,
            rising: false,
            maintenance: false,
            pool_has_none: false,
            errors: 0,
            stalled_checks: 0,
            last_hurry: None,
        }
    }

    /// Starts from what another process knew: down, or up with the counter at the top.
    pub fn start_as(&mut self, health: Health) {
        self.counter = if health == Health::Up { self.top() } else { 0 };
        self.up = health == Health::Up;
    }

    /// Takes over new numbers after a reload; what is known of the server stays. A check that runs is forgotten and
    /// done again in the new way.
    pub fn reconfigure(&mut self, setup: &Setup<'_>) -> Vec<Action> {
        let (was_top, was_up) = (self.counter == self.top(), self.counter >= self.rise());
        let old = std::mem::replace(self, Machine::new(setup));
        self.counter = match (was_up, was_top) {
            _ if self.schedule.is_none() => self.top(),
            (true, true) => self.top(),
            (true, false) => self.rise(),
            (false, _) => old.counter.min(self.rise() - 1),
        };
        (self.up, self.rising, self.suspect) = (old.up, old.rising, old.suspect);
        (self.maintenance, self.pool_has_none) = (old.maintenance, old.pool_has_none);
        if let (Some(new), Some(was)) = (&mut self.schedule, &old.schedule) {
            new.enabled = was.enabled;
            // The old times hold, unless the new interval is shorter: many reloads must not mean many checks.
            let latest = setup.first_at + new.interval;
            (new.next, new.regular) = (was.next.min(latest), was.regular.min(latest));
            new.running = was.running;
        }
        if let (Some(new), Some(was)) = (&mut self.agent, &old.agent) {
            (new.enabled, new.down, new.running) = (was.enabled, was.down, was.running);
            new.next = was.next.min(setup.first_at + new.interval);
        }
        self.forget_running(true);
        let mut actions = Vec::new();
        if self.schedule.is_none() {
            self.set_suspect(false, &mut actions);
        }
        self.settle(Why::Check, &mut actions);
        actions
    }

    /// The next check to begin and when; `None` = nothing to do until something is told.
    pub fn next_at(&self) -> Option<(Duration, Job)> {
        let check =
            self.schedule.as_ref().filter(|s| s.enabled && s.running.is_none()).map(|s| (s.next, Job::Check));
        let agent = self.agent.as_ref().filter(|a| a.enabled && !a.running).map(|a| (a.next, Job::Agent));
        let first = match (check, agent) {
            (Some(check), Some(agent)) => Some(if check.0 <= agent.0 { check } else { agent }),
            (check, agent) => check.or(agent),
        };
        // The agent goes on in maintenance: it may be the one that ends it.
        if self.maintenance { agent } else { first }
    }

    /// A check begins now. Each `begin` is followed by one `CheckDone` or `AgentDone`.
    pub fn begin(&mut self, now: Duration, job: Job) {
        match job {
            Job::Check => {
                if let Some(s) = &mut self.schedule {
                    s.running = Some(Running {
                        counts: now >= s.regular,
                        hurried: std::mem::take(&mut s.hurried),
                        stale: false,
                        again: false,
                    });
                }
            }
            Job::Agent => {
                if let Some(a) = &mut self.agent {
                    a.running = true;
                }
            }
        }
    }

    /// Takes in what happened; gives what to do.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::CheckDone(done) => self.check_done(now, done, &mut actions),
            Input::AgentDone(word) => self.agent_done(now, word, &mut actions),
            Input::PassiveError(error) => self.passive_error(now, error, &mut actions),
            Input::PassiveOk => self.passive_ok(&mut actions),
            Input::PoolHasNone(none) => self.pool_has_none(now, none),
            Input::Checks(on) => self.enable_checks(now, on, &mut actions),
            Input::Agent(on) => self.enable_agent(now, on, &mut actions),
            Input::Maintenance(on) => self.set_maintenance(now, on, &mut actions),
            Input::Force(health) => self.force(health, Why::Operator, &mut actions),
            Input::Follow(health) => self.force(health, Why::Followed, &mut actions),
            Input::ForceAgent(health) => self.force_agent(health, &mut actions),
        }
        actions
    }

    /// Whether the server counts as up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// What the checks alone say.
    pub fn check_health(&self) -> Health {
        if self.counter >= self.rise() { Health::Up } else { Health::Down }
    }

    /// What the agent alone says; up without one.
    pub fn agent_health(&self) -> Health {
        if self.agent.as_ref().is_some_and(|a| a.down) { Health::Down } else { Health::Up }
    }

    /// Whether requests should avoid it although it is up.
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether it is down and its last check passed.
    pub fn is_rising(&self) -> bool {
        self.rising
    }

    /// Whether active checks are configured and enabled.
    pub fn checks_enabled(&self) -> bool {
        self.schedule.as_ref().is_some_and(|s| s.enabled)
    }

    /// Whether agent checks are configured and enabled.
    pub fn agent_enabled(&self) -> bool {
        self.agent.as_ref().is_some_and(|a| a.enabled)
    }

    /// The counter as HAProxy prints it: failures left of `fall` while up, passes so far of `rise` while down.
    pub fn progress(&self) -> (u32, u32) {
        if self.counter >= self.rise() {
            (self.counter - self.rise() + 1, self.fall())
        } else {
            (self.counter, self.rise())
        }
    }

    /// HAProxy's raw counter, 0 … rise + fall - 1.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    fn check_done(&mut self, now: Duration, done: CheckDone, actions: &mut Vec<Action>) {
        let running = self.schedule.as_mut().and_then(|s| s.running.take());
        let Some(running) = running else { return };
        let current = !running.stale && !self.maintenance && self.checks_enabled();
        if current && self.is_excused(done) {
            self.stalled_checks += 1;
            actions.push(Action::Repeated);
            // Due again at once, and as the same check: the schedule does not move.
            if let Some(s) = &mut self.schedule {
                (s.next, s.regular) = (now, if running.counts { now } else { s.regular });
            }
            return;
        }
        self.stalled_checks = 0;
        if running.again {
            self.due(now);
            return;
        }
        if current {
            self.judge(done, running, actions);
        }
        self.settle(Why::Check, actions);
        let moves = running.counts || running.hurried || done.verdict == Verdict::Passed;
        self.reschedule(now, done.spread, moves);
    }

    fn is_excused(&self, done: CheckDone) -> bool {
        done.verdict != Verdict::Passed && done.stalled >= STALL && self.stalled_checks < STALLED_CHECKS
    }

    fn judge(&mut self, done: CheckDone, running: Running, actions: &mut Vec<Action>) {
        match done.verdict {
            Verdict::Passed => {
                self.set_suspect(false, actions);
                self.count_pass(actions);
            }
            Verdict::TimedOut if done.answered => {
                // A slow health page on a busy machine is not a dead server: while requests are answered, a time-out
                // does not take the last step. Wrong or refused answers do, as ever.
                self.set_suspect(false, actions);
                if running.counts && self.counter != self.rise() {
                    self.count_failure(actions);
                }
            }
            Verdict::Unproven => {}
            verdict => {
                let hard = running.hurried && verdict == Verdict::Failed;
                if running.counts || hard || !self.up {
                    self.count_failure(actions);
                }
                let silent = verdict == Verdict::TimedOut && self.up && self.counter >= self.rise();
                if silent {
                    self.set_suspect(true, actions);
                }
            }
        }
    }

    fn agent_done(&mut self, now: Duration, word: AgentWord, actions: &mut Vec<Action>) {
        let Some(agent) = &mut self.agent else { return };
        agent.running = false;
        agent.next = now + agent.interval;
        if !agent.enabled {
            return;
        }
        match word {
            AgentWord::Up => agent.down = false,
            AgentWord::Down => agent.down = true,
            AgentWord::Silent => {}
        }
        self.settle(Why::Agent, actions);
    }

    fn passive_error(&mut self, now: Duration, error: PassiveError, actions: &mut Vec<Action>) {
        if !self.up || self.maintenance || !self.checks_enabled() {
            return;
        }
        self.observe_error(now, error, actions);
        if error == PassiveError::Connect && self.up {
            self.hurry(now);
        }
    }

    fn observe_error(&mut self, now: Duration, error: PassiveError, actions: &mut Vec<Action>) {
        let Some(observe) = self.observe else { return };
        if observe.layer == ObserveLayer::Connection && error == PassiveError::Answer {
            return;
        }
        self.errors += 1;
        if self.errors < observe.error_limit.max(1) {
            return;
        }
        self.errors = 0;
        actions.push(Action::ErrorLimit);
        self.punish(observe.action, actions);
        self.settle(Why::Observed, actions);
        if let Some(s) = &mut self.schedule {
            (s.next, s.regular) = (s.next.min(now + s.fast), s.regular.min(now + s.fast));
        }
    }

    fn punish(&mut self, action: ObserveAction, actions: &mut Vec<Action>) {
        match action {
            ObserveAction::FastInter => {}
            ObserveAction::FailCheck => self.count_failure(actions),
            ObserveAction::SuddenDeath => self.counter = self.counter.min(self.rise()),
            ObserveAction::MarkDown => {
                self.counter = self.counter.min(self.rise());
                self.count_failure(actions);
            }
        }
    }

    fn passive_ok(&mut self, actions: &mut Vec<Action>) {
        self.errors = 0;
        self.set_suspect(false, actions);
    }

    /// A request that could not connect is hard evidence: look now, not at the end of the interval. HAProxy would send
    /// requests into the void for `fall` intervals.
    fn hurry(&mut self, now: Duration) {
        let recently = self.last_hurry.is_some_and(|last| now < last + HURRY_PAUSE);
        if let (false, Some(s)) = (recently, &mut self.schedule)
            && s.running.is_none()
            && s.next > now
        {
            (s.next, s.hurried) = (now, true);
            self.last_hurry = Some(now);
        }
    }

    /// Acts on the change only: told again and again, it must not bring the check forward again and again.
    fn pool_has_none(&mut self, now: Duration, none: bool) {
        if std::mem::replace(&mut self.pool_has_none, none) == none {
            return;
        }
        let hurried = now + URGENT.mul_f64(self.phase);
        if let (true, false, Some(s)) = (none, self.up, &mut self.schedule) {
            s.next = s.next.min(hurried);
        }
    }

    fn enable_checks(&mut self, now: Duration, on: bool, actions: &mut Vec<Action>) {
        let Some(s) = &mut self.schedule else { return };
        if s.enabled == on {
            return;
        }
        (s.next, s.regular) = (now, now);
        s.enabled = on;
        self.forget_running(on);
        if !on {
            self.set_suspect(false, actions);
        }
        self.settle(Why::Operator, actions);
    }

    fn enable_agent(&mut self, now: Duration, on: bool, actions: &mut Vec<Action>) {
        let Some(agent) = &mut self.agent else { return };
        if on && !agent.enabled {
            agent.next = now;
        }
        agent.enabled = on;
        self.settle(Why::Operator, actions);
    }

    fn set_maintenance(&mut self, now: Duration, on: bool, actions: &mut Vec<Action>) {
        if self.maintenance == on {
            return;
        }
        self.maintenance = on;
        self.errors = 0;
        self.forget_running(!on);
        self.set_suspect(false, actions);
        if !on {
            // As HAProxy: the operator says it is good, so it serves at once, and one failed check takes it out.
            self.counter = self.rise();
            self.due(now);
        }
        self.settle(Why::Maintenance, actions);
    }

    fn force(&mut self, health: Health, why: Why, actions: &mut Vec<Action>) {
        self.counter = if health == Health::Up { self.top() } else { 0 };
        self.forget_running(false);
        self.set_suspect(false, actions);
        self.settle(why, actions);
    }

    fn force_agent(&mut self, health: Health, actions: &mut Vec<Action>) {
        if let Some(agent) = &mut self.agent {
            agent.down = health == Health::Down;
        }
        self.settle(Why::Operator, actions);
    }

    fn forget_running(&mut self, again: bool) {
        if let Some(running) = self.schedule.as_mut().and_then(|s| s.running.as_mut()) {
            (running.stale, running.again) = (true, again);
        }
    }

    fn due(&mut self, now: Duration) {
        if let Some(s) = &mut self.schedule {
            (s.next, s.regular) = (now, now);
        }
    }

    fn count_pass(&mut self, actions: &mut Vec<Action>) {
        let before = self.counter;
        self.counter = if self.counter + 1 >= self.rise() { self.top() } else { self.counter + 1 };
        if self.counter != before {
            actions.push(Action::Counted);
        }
    }

    fn count_failure(&mut self, actions: &mut Vec<Action>) {
        let before = self.counter;
        let less = self.counter.saturating_sub(1);
        self.counter = if less >= self.rise() { less } else { 0 };
        if self.counter != before {
            actions.push(Action::Counted);
        }
    }

    fn set_suspect(&mut self, suspect: bool, actions: &mut Vec<Action>) {
        if self.suspect != suspect {
            self.suspect = suspect;
            actions.push(Action::Suspect(suspect));
        }
    }

    /// Draws up, down, suspect and rising from the counter and the agent; says what changed.
    fn settle(&mut self, why: Why, actions: &mut Vec<Action>) {
        let agent_down = self.agent.as_ref().is_some_and(|a| a.down);
        let up = self.counter >= self.rise() && !agent_down;
        let rising = !up && self.counter > 0 && !agent_down && !self.maintenance && self.checks_enabled();
        if !up {
            self.set_suspect(false, actions);
        }
        if up != self.up {
            self.up = up;
            self.errors = 0;
            actions.push(if up { Action::SetUp(why) } else { Action::SetDown(why) });
        }
        if rising != self.rising {
            self.rising = rising;
            actions.push(Action::Rising(rising));
        }
    }

    /// Sets the next check. The regular one moves on only when the last one counted.
    fn reschedule(&mut self, now: Duration, spread: f64, counted: bool) {
        let urgent = !self.up && self.pool_has_none;
        let (suspect, settled, flat) = (self.suspect, self.counter == self.top(), self.counter == 0);
        let Some(s) = &mut self.schedule else { return };
        let interval = if settled {
            s.interval
        } else if flat {
            s.down
        } else {
            s.fast
        };
        if counted {
            s.regular = now + interval.mul_f64(spread.clamp(0.5, 1.5));
        }
        s.next = match (urgent, suspect) {
            (true, _) => s.regular.min(now + URGENT),
            (_, true) => s.regular.min(now + RECHECK),
            _ => s.regular.max(now),
        };
    }

    fn rise(&self) -> u32 {
        self.schedule.as_ref().map_or(1, |s| s.rise)
    }

    fn fall(&self) -> u32 {
        self.schedule.as_ref().map_or(1, |s| s.fall)
    }

    fn top(&self) -> u32 {
        self.rise() + self.fall() - 1
    }
}

impl Schedule {
    fn new(check: &Check, first_at: Duration) -> Schedule {
        // An interval of zero would never let the loop rest.
        let interval = check.interval.max(Duration::from_millis(1));
        Schedule {
            interval,
            fast: check.fast_interval.unwrap_or(interval),
            down: check.down_interval.unwrap_or(interval),
            rise: check.rise.max(1),
            fall: check.fall.max(1),
            enabled: true,
            next: first_at,
            regular: first_at,
            hurried: false,
            running: None,
        }
    }
}

impl Agent {
    fn new(agent: &AgentCheck, first_at: Duration) -> Agent {
        let interval = agent.interval.max(Duration::from_millis(1));
        Agent { interval, enabled: true, down: false, next: first_at, running: false }
    }
}

#[cfg(test)]
mod tests;
