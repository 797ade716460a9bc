//! The machine told as data (counter tables), and as a world of servers that die, hang and flap, by seed.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use plan::pool::Observe;

const MS: Duration = Duration::from_millis(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn check(interval: u64, rise: u32, fall: u32) -> Check {
    Check { interval: ms(interval), rise, fall, ..Check::default() }
}

fn machine(check: &Check) -> Machine {
    Machine::new(&setup(check))
}

fn setup(check: &Check) -> Setup<'_> {
    Setup { check: Some(check), agent: None, observe: None, phase: 0.5, first_at: Duration::ZERO }
}

fn done(verdict: Verdict) -> CheckDone {
    CheckDone { verdict, stalled: Duration::ZERO, answered: false, spread: 1.0 }
}

/// Runs the next check; gives when it began and what followed.
fn run(machine: &mut Machine, done: CheckDone) -> (Duration, Vec<Action>) {
    let (at, job) = machine.next_at().unwrap();
    assert_eq!(job, Job::Check);
    machine.begin(at, job);
    (at, machine.apply(at, Input::CheckDone(done)))
}

/// `script`: `+` passes, `-` fails, `t` times out. `expected`: what HAProxy prints as `status:` after each.
fn check_progress(rise: u32, fall: u32, script: &str, expected: &str) {
    let mut machine = machine(&check(1000, rise, fall));
    let mut seen = Vec::new();
    for step in script.chars() {
        let verdict = match step {
            '+' => Verdict::Passed,
            't' => Verdict::TimedOut,
            _ => Verdict::Failed,
        };
        // Far apart, so that every check is a regular one.
        let at = machine.next_at().unwrap().0 + ms(10_000);
        machine.begin(at, Job::Check);
        machine.apply(at, Input::CheckDone(done(verdict)));
        let (n, m) = machine.progress();
        seen.push(format!("{n}/{m}{}", if machine.is_up() { "U" } else { "D" }));
    }
    assert_eq!(seen.join(" "), expected, "{script}");
}

#[test]
fn counter_goes_as_haproxy_prints_it() {
    check_progress(2, 3, "-", "0/2D");
    check_progress(2, 3, "+", "3/3U");
    check_progress(2, 3, "+-+--+---", "3/3U 2/3U 3/3U 2/3U 1/3U 3/3U 2/3U 1/3U 0/2D");
    check_progress(2, 3, "-+-++", "0/2D 1/2D 0/2D 1/2D 3/3U");
    check_progress(1, 1, "+-+", "1/1U 0/1D 1/1U");
    check_progress(2, 2, "+t+tt++", "2/2U 1/2U 2/2U 1/2U 0/2D 1/2D 2/2U");
}

#[test]
fn interval_follows_the_state() {
    let check = Check { fast_interval: Some(ms(100)), down_interval: Some(ms(5000)), ..check(1000, 2, 2) };
    let mut m = machine(&check);
    let mut starts = Vec::new();
    for verdict in ["+", "-", "+", "-", "-", "-", "+", "+", "+"] {
        let verdict = if verdict == "+" { Verdict::Passed } else { Verdict::Failed };
        starts.push(run(&mut m, done(verdict)).0.as_millis());
    }
    assert_eq!(starts, [0, 1000, 1100, 2100, 2200, 7200, 12_200, 12_300, 13_300]);
}

#[test]
fn suspect_is_asked_again_soon_but_falls_by_the_schedule() {
    let mut m = machine(&check(2000, 2, 2));
    run(&mut m, done(Verdict::Passed));
    let (_, actions) = run(&mut m, done(Verdict::TimedOut));
    assert_eq!(actions, [Action::Counted, Action::Suspect(true)]);
    for extra in 1..8 {
        let (at, actions) = run(&mut m, done(Verdict::TimedOut));
        assert_eq!((at, actions), (ms(2000) + RECHECK * extra, vec![]));
    }
    let (at, actions) = run(&mut m, done(Verdict::TimedOut));
    assert_eq!(at, ms(4000));
    assert_eq!(actions, [Action::Counted, Action::Suspect(false), Action::SetDown(Why::Check)]);
}

#[test]
fn suspect_is_cleared_by_a_pass_or_an_answer() {
    for by_answer in [false, true] {
        let mut m = machine(&check(2000, 2, 3));
        run(&mut m, done(Verdict::Passed));
        run(&mut m, done(Verdict::TimedOut));
        assert!(m.is_suspect());
        let actions = if by_answer {
            m.apply(ms(2001), Input::PassiveOk)
        } else {
            run(&mut m, done(Verdict::Passed)).1
        };
        assert!(actions.contains(&Action::Suspect(false)));
        assert!(!m.is_suspect() && m.is_up());
    }
}

#[test]
fn slow_health_page_of_a_busy_server_is_no_death() {
    let mut m = machine(&check(1000, 2, 3));
    run(&mut m, done(Verdict::Passed));
    for _ in 0..1800 {
        run(&mut m, CheckDone { answered: true, ..done(Verdict::TimedOut) });
        assert!(m.is_up() && !m.is_suspect());
    }
    assert_eq!(m.progress(), (1, 3));
    run(&mut m, CheckDone { answered: true, ..done(Verdict::Failed) });
    assert!(!m.is_up(), "a wrong answer counts, whatever requests say");
}

#[test]
fn refused_requests_bring_the_check_forward() {
    let mut m = machine(&check(2000, 2, 3));
    run(&mut m, done(Verdict::Passed));
    let mut down_at = None;
    // One refused request each millisecond from 500 ms on.
    for at in 500..2000 {
        m.apply(ms(at), Input::PassiveError(PassiveError::Connect));
        while let Some((due, job)) = m.next_at().filter(|(due, _)| *due <= ms(at)) {
            m.begin(due.max(ms(at)), job);
            let actions = m.apply(ms(at), Input::CheckDone(done(Verdict::Failed)));
            if actions.contains(&Action::SetDown(Why::Check)) {
                down_at = Some(at);
            }
        }
    }
    assert_eq!(down_at, Some(700), "three checks, 100 ms apart, instead of three intervals");
}

#[test]
fn pool_without_servers_is_probed_four_times_a_second_and_uses_rising_ones() {
    let mut m = machine(&check(10_000, 3, 1));
    run(&mut m, done(Verdict::Failed));
    m.apply(ms(100), Input::PoolHasNone(true));
    let (at, _) = run(&mut m, done(Verdict::Failed));
    assert_eq!(at, ms(225));
    let (at, actions) = run(&mut m, done(Verdict::Passed));
    assert_eq!((at, actions), (ms(475), vec![Action::Counted, Action::Rising(true)]));
    run(&mut m, done(Verdict::Passed));
    let (at, actions) = run(&mut m, done(Verdict::Passed));
    assert_eq!(at, ms(975));
    assert_eq!(actions, [Action::Counted, Action::SetUp(Why::Check), Action::Rising(false)]);
}

#[test]
fn checks_during_a_stall_of_our_own_are_repeated() {
    let mut m = machine(&check(1000, 2, 1));
    run(&mut m, done(Verdict::Passed));
    let stalled = CheckDone { stalled: ms(10_000), ..done(Verdict::TimedOut) };
    for _ in 0..STALLED_CHECKS {
        let (at, actions) = run(&mut m, stalled);
        assert_eq!((at, actions), (ms(1000), vec![Action::Repeated]));
    }
    let (_, actions) = run(&mut m, stalled);
    assert!(
        actions.contains(&Action::SetDown(Why::Check)),
        "a loop that is always late still finds the dead"
    );
}

#[test]
fn shortage_of_our_own_takes_nobody_down() {
    let mut m = machine(&check(1000, 2, 1));
    for round in 0..100 {
        let (at, actions) = run(&mut m, done(Verdict::Unproven));
        assert_eq!((at, actions), (ms(1000 * round), vec![]));
    }
}

#[test]
fn maintenance_ends_in_probation() {
    let mut m = machine(&check(1000, 2, 3));
    run(&mut m, done(Verdict::Failed));
    m.apply(ms(10), Input::Maintenance(true));
    assert_eq!(m.next_at(), None);
    assert_eq!(m.apply(ms(5000), Input::Maintenance(false)), [Action::SetUp(Why::Maintenance)]);
    let (at, actions) = run(&mut m, done(Verdict::Failed));
    assert_eq!(at, ms(5000));
    assert!(actions.contains(&Action::SetDown(Why::Check)));
}

#[test]
fn outcome_of_a_check_from_before_the_operators_word_is_dropped() {
    let mut m = machine(&check(1000, 2, 1));
    m.begin(MS, Job::Check);
    m.apply(MS * 2, Input::Force(Health::Up));
    assert!(m.apply(MS * 3, Input::CheckDone(done(Verdict::Failed))).is_empty());
    assert!(m.is_up());
    m.begin(ms(2000), Job::Check);
    m.apply(ms(2001), Input::Checks(false));
    assert!(m.apply(ms(2002), Input::CheckDone(done(Verdict::Failed))).is_empty());
    assert_eq!(m.next_at(), None);
    assert!(m.is_up());
}

#[test]
fn force_holds_until_checks_say_otherwise() {
    let mut m = machine(&check(1000, 2, 2));
    assert_eq!(m.apply(MS, Input::Force(Health::Down)), [Action::SetDown(Why::Operator)]);
    run(&mut m, done(Verdict::Passed));
    let (_, actions) = run(&mut m, done(Verdict::Passed));
    assert!(actions.contains(&Action::SetUp(Why::Check)));
    m.apply(ms(3000), Input::Checks(false));
    m.apply(ms(3000), Input::Force(Health::Down));
    assert_eq!(m.next_at(), None);
    assert!(!m.is_up());
}

fn observed(action: ObserveAction, layer: ObserveLayer) -> Machine {
    let check = Check { fast_interval: Some(ms(50)), ..check(1000, 2, 3) };
    let observe = Some(Observe { layer, error_limit: 5, action });
    let mut m = Machine::new(&Setup { observe, ..setup(&check) });
    run(&mut m, done(Verdict::Passed));
    m
}

#[test]
fn errors_of_requests_act_at_their_limit() {
    use ObserveAction::{FailCheck, FastInter, MarkDown, SuddenDeath};
    for (action, progress, up, next) in [
        (FastInter, (3, 3), true, 60),
        (FailCheck, (2, 3), true, 60),
        (SuddenDeath, (1, 3), true, 60),
        (MarkDown, (0, 2), false, 60),
    ] {
        let mut m = observed(action, ObserveLayer::Http);
        for _ in 0..4 {
            assert!(m.apply(ms(10), Input::PassiveError(PassiveError::Answer)).is_empty());
        }
        assert!(m.apply(ms(10), Input::PassiveError(PassiveError::Answer)).contains(&Action::ErrorLimit));
        assert_eq!((m.progress(), m.is_up()), (progress, up), "{action:?}");
        assert_eq!(m.next_at().unwrap().0, ms(next), "{action:?}");
    }
}

#[test]
fn good_answers_and_other_layers_do_not_count_as_errors() {
    let mut m = observed(ObserveAction::MarkDown, ObserveLayer::Http);
    for _ in 0..20 {
        m.apply(MS, Input::PassiveError(PassiveError::Connect));
        m.apply(MS, Input::PassiveOk);
    }
    assert!(m.is_up());
    let mut m = observed(ObserveAction::MarkDown, ObserveLayer::Connection);
    for _ in 0..20 {
        m.apply(MS, Input::PassiveError(PassiveError::Answer));
    }
    assert!(m.is_up());
}

#[test]
fn agent_and_check_must_both_agree() {
    let check = check(1000, 1, 1);
    let agent = AgentCheck { port: 1, address: None, interval: ms(500), send: None };
    let mut m = Machine::new(&Setup { agent: Some(&agent), ..setup(&check) });
    let says = |m: &mut Machine, word| {
        m.begin(MS, Job::Agent);
        m.apply(MS, Input::AgentDone(word))
    };
    assert_eq!(says(&mut m, AgentWord::Down), [Action::SetDown(Why::Agent)]);
    assert!(says(&mut m, AgentWord::Silent).is_empty());
    run(&mut m, done(Verdict::Passed));
    assert!(!m.is_up());
    assert_eq!(says(&mut m, AgentWord::Up), [Action::SetUp(Why::Agent)]);
}

#[test]
fn reload_keeps_what_is_known() {
    let old = check(1000, 2, 3);
    let new = check(500, 3, 2);
    for (script, up, progress) in
        [("+", true, (2, 2)), ("+-", true, (1, 2)), ("-", false, (0, 3)), ("-+", false, (1, 3))]
    {
        let mut m = machine(&old);
        for step in script.chars() {
            run(&mut m, done(if step == '+' { Verdict::Passed } else { Verdict::Failed }));
        }
        assert!(m.reconfigure(&setup(&new)).is_empty());
        assert_eq!((m.is_up(), m.progress()), (up, progress), "{script}");
    }
    let mut m = machine(&old);
    run(&mut m, done(Verdict::Failed));
    let unchecked = Setup { check: None, ..setup(&old) };
    assert_eq!(m.reconfigure(&unchecked), [Action::SetUp(Why::Check)], "nobody would ever bring it back");
}

#[test]
fn first_checks_are_soon_for_few_and_spread_for_many() {
    let latest = |count| (0..count).map(|i| first_check(i, count, ms(2000), 0.3)).max().unwrap();
    assert!(latest(3) <= ms(60));
    let mut slots = [0; 20];
    for i in 0..1000 {
        slots[(first_check(i, 1000, ms(2000), 0.3).as_millis() / 100) as usize] += 1;
    }
    assert!(slots.iter().all(|n| *n <= 100), "{slots:?}");
}

// ---- The world ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Alive,
    Dead,
    Hung,
}

/// What a server is from when on.
struct Life(Vec<(Duration, Body)>);

impl Life {
    fn at(&self, t: Duration) -> Body {
        self.0.iter().rev().find(|(from, _)| *from <= t).map_or(Body::Alive, |(_, body)| *body)
    }

    fn random(rng: &mut fastrand::Rng, end: Duration, calm: u64) -> Life {
        let mut life = vec![(Duration::ZERO, Body::Alive)];
        let mut t = Duration::ZERO;
        loop {
            t += ms(rng.u64(calm / 4..calm));
            if t >= end {
                return Life(life);
            }
            life.push((t, [Body::Alive, Body::Dead, Body::Hung][rng.usize(0..3)]));
        }
    }

    /// How long the server was in this state without a break up to `t`.
    fn since(&self, t: Duration) -> Duration {
        let now = self.at(t);
        let mut since = t;
        for (from, body) in self.0.iter().rev().filter(|(from, _)| *from <= t) {
            if *body != now {
                break;
            }
            since = *from;
        }
        t - since
    }
}

struct Citizen {
    machine: Machine,
    life: Life,
    /// When the running check ends and how.
    ends: Option<(Duration, Verdict)>,
    passes: u32,
    fails: u32,
    transitions: usize,
    seen: bool,
}

struct World {
    check: Check,
    timeout: Duration,
    citizens: Vec<Citizen>,
    now: Duration,
    seed: u64,
}

impl World {
    fn random(seed: u64, calm: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut check = check(rng.u64(100..2000), rng.u32(1..4), rng.u32(1..4));
        check.fast_interval = rng.bool().then(|| check.interval / 2);
        check.down_interval = rng.bool().then(|| check.interval * 2);
        let count = rng.usize(1..5);
        let citizens = (0..count)
            .map(|i| Citizen {
                machine: Machine::new(&Setup {
                    first_at: first_check(i, count, check.interval, rng.f64()),
                    phase: i as f64 / count as f64,
                    ..setup(&check)
                }),
                life: Life::random(&mut rng, ms(120_000), calm),
                ends: None,
                passes: 0,
                fails: 0,
                transitions: 0,
                seen: false,
            })
            .collect();
        let timeout = ms(rng.u64(50..check.interval.as_millis() as u64 + 1));
        World { timeout, check, citizens, now: Duration::ZERO, seed }
    }

    fn run(&mut self, end: Duration) {
        while let Some((at, who)) = self.next().filter(|(at, _)| *at <= end) {
            assert!(at >= self.now, "seed {}: time runs backwards", self.seed);
            self.now = at;
            self.step(who);
            self.tell_pool();
            self.watch();
        }
    }

    fn next(&self) -> Option<(Duration, usize)> {
        let at = |c: &Citizen| c.ends.map(|(at, _)| at).or(c.machine.next_at().map(|(at, _)| at));
        (0..self.citizens.len()).filter_map(|i| Some((at(&self.citizens[i])?.max(self.now), i))).min()
    }

    fn step(&mut self, who: usize) {
        let (now, timeout, seed) = (self.now, self.timeout, self.seed);
        let (rise, fall) = (self.check.rise, self.check.fall);
        let citizen = &mut self.citizens[who];
        let Some((_, verdict)) = citizen.ends.take() else {
            citizen.machine.begin(now, Job::Check);
            citizen.ends = Some(match citizen.life.at(now) {
                Body::Alive => (now + MS, Verdict::Passed),
                Body::Dead => (now, Verdict::Failed),
                Body::Hung => (now + timeout, Verdict::TimedOut),
            });
            return;
        };
        let passed = verdict == Verdict::Passed;
        citizen.passes = if passed { citizen.passes + 1 } else { 0 };
        citizen.fails = if passed { 0 } else { citizen.fails + 1 };
        let was_up = citizen.machine.is_up();
        for action in citizen.machine.apply(now, Input::CheckDone(done(verdict))) {
            match action {
                Action::SetUp(_) => {
                    assert!(!was_up && citizen.passes == rise, "seed {seed}: up too early or late");
                }
                Action::SetDown(_) => {
                    assert!(was_up, "seed {seed}: down twice");
                    assert!(citizen.fails >= fall || !citizen.seen, "seed {seed}: down too early");
                }
                _ => {}
            }
        }
        citizen.seen = true;
        citizen.transitions += usize::from(was_up != citizen.machine.is_up());
    }

    fn tell_pool(&mut self) {
        let none = !self.citizens.iter().any(|c| c.machine.is_up() && !c.machine.is_suspect());
        let now = self.now;
        for c in &mut self.citizens {
            let actions = c.machine.apply(now, Input::PoolHasNone(none));
            assert!(actions.is_empty());
        }
    }

    /// What must hold at any time.
    fn watch(&self) {
        let longest = self.check.interval * 2 + self.timeout + ms(10);
        for c in &self.citizens {
            let (body, since) = (c.life.at(self.now), c.life.since(self.now));
            let m = &c.machine;
            let story = || {
                format!("seed {} at {:?}: {body:?} for {since:?}, {:?}", self.seed, self.now, m.progress())
            };
            assert!(!m.is_up() || !m.is_rising(), "{}", story());
            assert!(m.is_up() || !m.is_suspect(), "{}", story());
            assert!(m.next_at().is_some() || c.ends.is_some(), "{}: forgotten", story());
            match body {
                Body::Alive => assert!(
                    m.is_up() || since <= longest * (self.check.rise + 1),
                    "{}: not found up",
                    story()
                ),
                Body::Dead => assert!(
                    !m.is_up() || since <= longest * (self.check.fall + 1),
                    "{}: not found down",
                    story()
                ),
                Body::Hung => assert!(
                    !m.is_up() || m.is_suspect() || since <= self.check.interval + self.timeout * 2 + ms(10),
                    "{}: not suspected",
                    story()
                ),
            }
        }
    }
}

#[test]
fn world_keeps_its_promises() {
    for seed in 0..120 {
        World::random(seed, if seed % 2 == 0 { 2000 } else { 30_000 }).run(ms(120_000));
    }
}

#[test]
fn flapping_makes_at_most_one_change_of_ours_per_change_of_theirs() {
    for seed in 0..30 {
        let mut world = World::random(seed, 500);
        world.run(ms(60_000));
        for c in &world.citizens {
            assert!(c.transitions <= c.life.0.len(), "seed {seed}");
        }
    }
}

#[test]
fn all_dead_and_one_returns_is_usable_within_a_second() {
    for seed in 0..60 {
        let mut world = World::random(seed, 1000);
        for c in &mut world.citizens {
            c.life = Life(vec![(ms(0), Body::Alive), (ms(5000), Body::Dead)]);
        }
        world.citizens[0].life.0.push((ms(60_000), Body::Alive));
        world.run(ms(60_000) + URGENT + ms(5));
        let first = &world.citizens[0].machine;
        assert!(first.is_rising() || first.is_up(), "seed {seed}");
    }
}
