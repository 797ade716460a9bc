//! What a pool promises, told as stories: who gets which server, who waits, what a reload keeps.

#![allow(clippy::unwrap_used, clippy::panic)]

use plan::pool::{Balance, HashKind, HashMethod, Retry};
use plan::{Check, Place, ServerAddress};
use pool::{
    AdminCause, AdminState, Admission, Ask, Change, Clock, Health, NoObserver, Observer, Outcome, Pool,
    Server, ServerEndpoint, Slot, WaitReason, Waiting,
};
use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use telemetry::Cause;

/// A pool with servers s1, s2 … in turn, changed by `change`.
fn plan(servers: u32, change: impl FnOnce(&mut plan::Pool)) -> plan::Pool {
    let server = |id: u32| {
        let address = ServerAddress::Tcp(([127, 0, 0, 1], 1000 + id as u16).into());
        plan::Server::new(Place::none(), format!("s{id}"), id, address)
    };
    let mut plan = plan::Pool {
        name: "web".into(),
        servers: (1..=servers).map(server).collect(),
        ..plan::Pool::default()
    };
    change(&mut plan);
    plan
}

fn run(plan: &plan::Pool) -> Arc<Pool> {
    Arc::new(Pool::build(plan, 4, None, &|_| None, Arc::new(NoObserver)))
}

fn reload(plan: &plan::Pool, previous: &Pool) -> Arc<Pool> {
    Arc::new(Pool::build(plan, 4, Some(previous), &|_| None, Arc::new(NoObserver)))
}

/// A pool whose clock is turned by hand, from 1 000 000 ms on.
fn run_by_hand(plan: &plan::Pool) -> (Arc<Pool>, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1_000_000));
    let clock = Clock::from_fn({
        let now = Arc::clone(&now);
        move || now.load(Relaxed)
    });
    let pool = Pool::build_with_clock(plan, 4, None, &|_| None, Arc::new(NoObserver), clock);
    (Arc::new(pool), now)
}

const ASK: Ask<'static> = Ask {
    key: None,
    bound: None,
    force_bound: false,
    tried: &[],
    journey: None,
    hint: None,
    worker: 0,
    may_wait: true,
};

fn served(pool: &Arc<Pool>, ask: &Ask<'_>) -> Slot {
    match pool.admit(ask) {
        Admission::Served(slot) => slot,
        other => panic!("not served: {other:?}"),
    }
}

fn waits(pool: &Arc<Pool>, ask: &Ask<'_>) -> Pin<Box<Waiting>> {
    match pool.admit(ask) {
        Admission::Wait(waiting) => Box::pin(waiting),
        other => panic!("does not wait: {other:?}"),
    }
}

fn refused(pool: &Arc<Pool>, ask: &Ask<'_>) -> Cause {
    match pool.admit(ask) {
        Admission::Refused(cause) => cause,
        other => panic!("not refused: {other:?}"),
    }
}

fn poll(waiting: &mut Pin<Box<Waiting>>) -> Poll<Result<Slot, Cause>> {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn name(slot: &Slot) -> &str {
    &slot.server().plan.name
}

/// The next `count` requests, each one after the other.
fn sequence(pool: &Arc<Pool>, count: usize) -> String {
    (0..count).map(|_| name(&served(pool, &ASK))[1..].to_string()).collect()
}

fn server(pool: &Pool, name: &str) -> Arc<Server> {
    pool.server(name).unwrap()
}

#[test]
fn in_turn_from_the_first() {
    assert_eq!(sequence(&run(&plan(3, |_| ())), 7), "1231231");
}

#[test]
fn in_turn_by_weight() {
    let pool = run(&plan(3, |p| p.servers[1].weight = 2));
    let round = sequence(&pool, 40);
    assert_eq!(round.matches('2').count(), 20);
    assert_eq!(round.matches('1').count(), 10);
    server(&pool, "s2").set_weight(1);
    assert_eq!(sequence(&pool, 30).matches('2').count(), 10, "a new weight counts at once");
    server(&pool, "s2").set_weight(0);
    assert_eq!(sequence(&pool, 30).matches('2').count(), 0);
}

#[test]
fn four_threads_get_one_sequence() {
    let pool = run(&plan(3, |p| p.servers[0].weight = 4));
    let counts = Mutex::new(HashMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (pool, counts) = (&pool, &counts);
            scope.spawn(move || {
                for _ in 0..3000 {
                    let slot = served(pool, &Ask { worker, ..ASK });
                    *counts.lock().unwrap().entry(name(&slot).into()).or_default() += 1;
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    assert_eq!((counts["s1"], counts["s2"], counts["s3"]), (8000, 2000, 2000));
    assert_eq!(pool.stats.current.now(), 0);
    assert_eq!(pool.stats.sum(|cell| &cell.balanced), 12_000);
}

#[test]
fn least_connections_under_four_threads() {
    let pool = run(&plan(3, |p| p.balance = Balance::LeastConnections));
    let held: Vec<Slot> = std::thread::scope(|scope| {
        let ask = |worker| (0..150).map(|_| served(&pool, &Ask { worker, ..ASK })).collect::<Vec<_>>();
        let all: Vec<_> = (0..4).map(|worker| scope.spawn(move || ask(worker))).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for server in &*pool.servers() {
        assert_eq!(server.stats.current.now(), 200);
    }
    drop(held);
    assert_eq!(sequence(&pool, 3).len(), 3);
}

#[test]
fn least_connections_prefers_the_free_one() {
    let pool = run(&plan(3, |p| p.balance = Balance::LeastConnections));
    let (_one, two, _three) = (served(&pool, &ASK), served(&pool, &ASK), served(&pool, &ASK));
    drop(two);
    assert_eq!(name(&served(&pool, &ASK)), "s2");
}

#[test]
fn first_fills_one_after_the_other() {
    let pool = run(&plan(2, |p| {
        p.balance = Balance::First;
        p.servers[0].max_connections = Some(2);
    }));
    let held: Vec<Slot> = (0..4).map(|_| served(&pool, &ASK)).collect();
    assert_eq!(held.iter().map(name).collect::<Vec<_>>(), ["s1", "s1", "s2", "s2"]);
}

#[test]
fn random_draws_prefer_the_idle() {
    let pool = run(&plan(2, |p| p.balance = Balance::Random(2)));
    let held: Vec<Slot> = (0..100).map(|_| served(&pool, &ASK)).collect();
    assert_eq!(held.iter().filter(|slot| name(slot) == "s1").count(), 50, "two draws of two see both");
}

#[test]
fn a_server_down_gets_nothing_until_it_is_up() {
    let pool = run(&plan(3, |_| ()));
    server(&pool, "s2").set_health(Health::Down);
    assert_eq!((pool.usable(), pool.is_up()), (2, true));
    assert!(!sequence(&pool, 12).contains('2'));
    server(&pool, "s2").set_health(Health::Up);
    assert!(sequence(&pool, 12).contains('2'));
}

#[test]
fn why_nobody_serves() {
    assert_eq!(refused(&run(&plan(0, |_| ())), &ASK), Cause::Empty);
    let pool = run(&plan(2, |_| ()));
    server(&pool, "s1").set_admin(AdminState::Drain, AdminCause::Operator);
    server(&pool, "s2").set_admin(AdminState::Maintenance, AdminCause::Operator);
    assert_eq!(refused(&pool, &ASK), Cause::Drained);
    server(&pool, "s1").set_health(Health::Down);
    assert_eq!(refused(&pool, &ASK), Cause::AllDown);
    assert_eq!(pool.why_down(), Some(Cause::AllDown));
    assert_eq!(refused(&run(&plan(1, |p| p.disabled = true)), &ASK), Cause::Drained);
}

#[test]
fn backups_serve_when_no_one_else_does() {
    let mut words = plan(4, |p| {
        p.servers[2].backup = true;
        p.servers[3].backup = true;
    });
    let pool = run(&words);
    assert_eq!(sequence(&pool, 4), "1212");
    assert_eq!((pool.usable(), pool.usable_backups()), (2, 2));
    server(&pool, "s1").set_health(Health::Down);
    server(&pool, "s2").set_health(Health::Down);
    assert_eq!(sequence(&pool, 4), "3333", "the first backup only");
    words.all_backups = true;
    let pool = reload(&words, &pool);
    assert_eq!(sequence(&pool, 4), "3434");
}

#[test]
fn suspects_serve_before_backups_only_without_trusted_ones() {
    let pool = run(&plan(3, |p| p.servers[2].backup = true));
    server(&pool, "s1").set_suspect(true);
    assert_eq!(sequence(&pool, 3), "222");
    server(&pool, "s2").set_health(Health::Down);
    assert_eq!(sequence(&pool, 3), "111");
    server(&pool, "s1").set_health(Health::Down);
    assert_eq!(sequence(&pool, 3), "333");
}

#[test]
fn a_rising_server_is_the_last_resort() {
    let pool = run(&plan(2, |_| ()));
    server(&pool, "s1").set_health(Health::Down);
    server(&pool, "s2").set_health(Health::Down);
    assert_eq!(refused(&pool, &ASK), Cause::AllDown);
    server(&pool, "s2").set_rising(true);
    assert_eq!(sequence(&pool, 2), "22");
    server(&pool, "s2").set_health(Health::Up);
    assert!(!server(&pool, "s2").rising());
}

#[test]
fn a_retry_goes_elsewhere() {
    let pool = run(&plan(3, |_| ()));
    let failed = server(&pool, "s1").uid;
    let also = server(&pool, "s2").uid;
    for _ in 0..6 {
        assert_eq!(name(&served(&pool, &Ask { tried: &[failed, also], ..ASK })), "s3");
    }
    let all: Vec<u32> = pool.servers().iter().map(|s| s.uid).collect();
    let _any = served(&pool, &Ask { tried: &all, ..ASK });
}

#[test]
fn persistence_reaches_a_drained_server_but_not_one_that_is_down() {
    let pool = run(&plan(2, |p| p.servers[1].cookie = Some("two".into())));
    let bound = pool.server_by_cookie(b"two").unwrap();
    let ask = Ask { bound: Some(&bound), ..ASK };
    let slot = served(&pool, &ask);
    assert_eq!((name(&slot), slot.balanced), ("s2", false));
    drop(slot);
    bound.set_admin(AdminState::Drain, AdminCause::Operator);
    assert_eq!(name(&served(&pool, &ask)), "s2");
    assert_eq!(sequence(&pool, 2), "11");
    bound.set_health(Health::Down);
    assert_eq!(name(&served(&pool, &ask)), "s1");
    assert_eq!(name(&served(&pool, &Ask { force_bound: true, ..ask })), "s2");
}

#[test]
fn those_who_wait_are_served_in_their_order() {
    let pool = run(&plan(2, |p| p.servers.iter_mut().for_each(|s| s.max_connections = Some(1))));
    let (one, two) = (served(&pool, &ASK), served(&pool, &ASK));
    let (mut first, mut second, mut third) = (waits(&pool, &ASK), waits(&pool, &ASK), waits(&pool, &ASK));
    assert_eq!((first.pool_queue_place(), third.pool_queue_place()), (1, 3));
    assert_eq!((first.reason(), pool.stats.queue.now()), (WaitReason::Full, 3));
    assert!(poll(&mut first).is_pending());
    drop(two);
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    let Poll::Ready(Ok(slot)) = poll(&mut first) else { panic!() };
    assert_eq!(name(&slot), "s2");
    drop(second);
    drop(one);
    let Poll::Ready(Ok(slot)) = poll(&mut third) else { panic!("the one before it left") };
    assert_eq!((name(&slot), pool.stats.queue.now()), ("s1", 0));
    drop((slot, first, third));
    assert_eq!(pool.stats.queue.max(), 3);
}

#[test]
fn a_place_given_to_one_who_left_goes_to_the_next() {
    let pool = run(&plan(1, |p| p.servers[0].max_connections = Some(1)));
    let one = served(&pool, &ASK);
    let (gone, mut next) = (waits(&pool, &ASK), waits(&pool, &ASK));
    drop(one);
    assert!(poll(&mut next).is_pending(), "the first has the place");
    drop(gone);
    assert!(poll(&mut next).is_ready());
}

#[test]
fn bound_requests_wait_for_their_server_and_go_before_others() {
    let pool = run(&plan(2, |p| {
        p.servers.iter_mut().for_each(|s| s.max_connections = Some(1));
        p.servers[0].max_queue = Some(1);
    }));
    let (one, _two) = (served(&pool, &ASK), served(&pool, &ASK));
    let bound = server(&pool, "s1");
    let mut anyone = waits(&pool, &ASK);
    let ask = Ask { bound: Some(&bound), ..ASK };
    let mut own = waits(&pool, &ask);
    assert_eq!((own.server_queue_place(), bound.stats.queue.now()), (1, 1));
    assert_eq!(refused(&pool, &Ask { force_bound: true, ..ask }), Cause::QueueFull);
    assert_eq!(waits(&pool, &ask).pool_queue_place(), 2, "its queue is full: anyone will do");
    drop(one);
    assert!(poll(&mut anyone).is_pending());
    let Poll::Ready(Ok(slot)) = poll(&mut own) else { panic!() };
    assert_eq!((name(&slot), slot.balanced), ("s1", false));
    drop(slot);
    assert!(poll(&mut anyone).is_ready());
}

#[test]
fn when_their_server_fails_bound_requests_go_elsewhere() {
    let pool = run(&plan(2, |p| p.servers[0].max_connections = Some(1)));
    let bound = server(&pool, "s1");
    let ask = Ask { bound: Some(&bound), ..ASK };
    let _one = served(&pool, &ask);
    let mut own = waits(&pool, &ask);
    let mut forced = waits(&pool, &Ask { force_bound: true, ..ask });
    bound.set_health(Health::Down);
    let Poll::Ready(Ok(slot)) = poll(&mut own) else { panic!() };
    assert_eq!((name(&slot), slot.balanced), ("s2", true));
    assert!(poll(&mut forced).is_pending());
}

#[test]
fn hashed_requests_wait_for_their_server() {
    let pool = run(&plan(2, |p| {
        p.balance = Balance::Source;
        p.servers.iter_mut().for_each(|s| s.max_connections = Some(1));
    }));
    let ask = Ask { key: Some(&[127, 0, 0, 2]), ..ASK };
    let one = served(&pool, &ask);
    assert_eq!(name(&one), "s1");
    let mut own = waits(&pool, &ask);
    assert_eq!(server(&pool, "s1").stats.queue.now(), 1);
    drop(one);
    assert!(poll(&mut own).is_ready());
}

#[test]
fn who_may_not_wait_is_refused() {
    let pool = run(&plan(1, |p| p.servers[0].max_connections = Some(1)));
    let _one = served(&pool, &ASK);
    assert_eq!(refused(&pool, &Ask { may_wait: false, ..ASK }), Cause::QueueFull);
}

#[test]
fn a_higher_limit_moves_the_queue() {
    let pool = run(&plan(1, |p| p.servers[0].max_connections = Some(1)));
    let _one = served(&pool, &ASK);
    let (mut first, mut second) = (waits(&pool, &ASK), waits(&pool, &ASK));
    server(&pool, "s1").set_max_connections(Some(2));
    let given = poll(&mut first);
    assert!(given.is_ready() && poll(&mut second).is_pending());
    server(&pool, "s1").set_max_connections(None);
    assert!(poll(&mut second).is_ready());
}

#[test]
fn the_limit_grows_with_the_load() {
    let pool = run(&plan(1, |p| {
        p.full_connections = Some(10);
        p.servers[0].max_connections = Some(10);
        p.servers[0].min_connections = Some(2);
    }));
    let s1 = server(&pool, "s1");
    assert_eq!(s1.limit_now(), Some(2));
    let _held: Vec<Slot> = (0..2).map(|_| served(&pool, &ASK)).collect();
    let mut waiting: Vec<_> = (0..4).map(|_| waits(&pool, &ASK)).collect();
    let given: Vec<_> = waiting.iter_mut().map(poll).filter(Poll::is_ready).collect();
    assert_eq!(given.len(), 4, "load and limit grow together");
    assert_eq!(s1.limit_now(), Some(6));
}

#[test]
fn requests_are_held_while_all_is_down() {
    let pool = run(&plan(2, |p| p.hold = Some(Duration::from_secs(10))));
    pool.servers().iter().for_each(|s| s.set_health(Health::Down));
    let (mut first, mut second) = (waits(&pool, &ASK), waits(&pool, &ASK));
    assert_eq!(first.reason(), WaitReason::NoServer);
    assert!(poll(&mut first).is_pending());
    server(&pool, "s2").set_health(Health::Up);
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    let mut third = {
        pool.servers().iter().for_each(|s| s.set_health(Health::Down));
        waits(&pool, &ASK)
    };
    pool.fail_waiting(Cause::QueueFull);
    assert!(matches!(poll(&mut third), Poll::Ready(Err(Cause::QueueFull))));
}

#[test]
fn slow_start_grows_weight_and_limit() {
    let (pool, now) = run_by_hand(&plan(2, |p| {
        p.servers[0].slow_start = Some(Duration::from_secs(16));
        p.servers[0].max_connections = Some(160);
        p.servers.iter_mut().for_each(|s| s.weight = 16);
    }));
    let s1 = server(&pool, "s1");
    assert_eq!((s1.effective_weight(), s1.throttle_percent()), (16, None), "not at start");
    s1.set_health(Health::Down);
    s1.set_health(Health::Up);
    assert_eq!((s1.effective_weight(), s1.limit_now()), (1, Some(10)));
    assert_eq!(sequence(&pool, 17).matches('1').count(), 1);
    now.fetch_add(7_000, Relaxed);
    assert_eq!((s1.effective_weight(), s1.throttle_percent()), (8, Some(50)));
    assert_eq!(sequence(&pool, 24).matches('1').count(), 8, "the table follows by itself");
    now.fetch_add(9_000, Relaxed);
    assert_eq!(sequence(&pool, 20).matches('1').count(), 10);
    assert_eq!(s1.throttle_percent(), None);
}

#[test]
fn times_of_going_down_are_kept() {
    let (pool, now) = run_by_hand(&plan(1, |_| ()));
    let s1 = server(&pool, "s1");
    s1.set_health(Health::Down);
    s1.set_health(Health::Down);
    now.fetch_add(3_000, Relaxed);
    assert_eq!((s1.downs(), s1.down_time(), pool.downs()), (1, Duration::from_secs(3), 1));
    s1.set_health(Health::Up);
    now.fetch_add(2_000, Relaxed);
    assert_eq!((s1.down_time(), s1.last_change()), (Duration::from_secs(3), Duration::from_secs(2)));
    assert_eq!((pool.down_time(), pool.last_change()), (Duration::from_secs(3), Duration::from_secs(2)));
}

#[test]
fn words_of_operator_agent_and_configuration() {
    let pool = run(&plan(1, |p| p.servers[0].disabled = true));
    let s1 = server(&pool, "s1");
    assert_eq!((s1.admin(), pool.is_up()), (AdminState::Maintenance, false));
    s1.set_admin(AdminState::Drain, AdminCause::Agent);
    s1.set_admin(AdminState::Ready, AdminCause::Agent);
    assert_eq!(s1.admin(), AdminState::Maintenance, "the agent does not speak for the file");
    s1.set_admin(AdminState::Ready, AdminCause::Operator);
    assert_eq!((s1.admin(), pool.is_up()), (AdminState::Ready, true));
    s1.set_agent_health(Health::Down);
    assert_eq!((s1.health(), s1.is_up()), (Health::Up, false));
}

#[test]
fn a_reload_keeps_what_is_known() {
    let mut words = plan(3, |p| p.servers[0].check = Some(Check::default()));
    let old = run(&words);
    server(&old, "s1").set_health(Health::Down);
    server(&old, "s2").set_weight(7);
    server(&old, "s3").set_weight(9);
    let held = served(&old, &ASK);
    words.servers[2].weight = 3;
    words.servers[2].cookie = Some("c".into());
    let new = reload(&words, &old);
    assert_eq!(server(&new, "s1").health(), Health::Down);
    assert_eq!(server(&new, "s2").weight(), 7, "set at run time, and the file says the same as before");
    assert_eq!(server(&new, "s3").weight(), 3, "the file says something new");
    assert_eq!(server(&new, "s2").uid, server(&old, "s2").uid);
    assert_eq!((new.stats.current.now(), held.server().stats.current.now()), (1, 1));
    drop(held);
    assert_eq!(new.stats.current.now(), 0);
    server(&new, "s1").set_health(Health::Up);
    assert_eq!(old.usable(), 3, "both cycles follow");
    assert_eq!(server(&old, "s3").weight(), 9, "the old one did not notice");
}

#[test]
fn a_server_with_another_address_starts_fresh() {
    let mut words = plan(1, |_| ());
    let old = run(&words);
    server(&old, "s1").set_health(Health::Down);
    words.servers[0].address = ServerAddress::Tcp(([127, 0, 0, 1], 9).into());
    let new = reload(&words, &old);
    assert_eq!(server(&new, "s1").health(), Health::Up);
    assert_ne!(server(&new, "s1").uid, server(&old, "s1").uid);
}

#[test]
fn a_server_without_checks_does_not_stay_down() {
    let mut words = plan(1, |p| p.servers[0].check = Some(Check::default()));
    let old = run(&words);
    server(&old, "s1").set_health(Health::Down);
    words.servers[0].check = None;
    assert!(reload(&words, &old).is_up());
}

#[test]
fn places_of_the_old_cycle_go_to_the_new_ones_requests() {
    let words = plan(1, |p| p.servers[0].max_connections = Some(1));
    let old = run(&words);
    let held = served(&old, &ASK);
    let mut before = waits(&old, &ASK);
    let new = reload(&words, &old);
    let mut after = waits(&new, &ASK);
    drop(held);
    assert!(poll(&mut after).is_pending(), "one limit for both cycles, one order");
    let Poll::Ready(Ok(slot)) = poll(&mut before) else { panic!() };
    drop(slot);
    assert!(poll(&mut after).is_ready());
}

#[test]
fn names_wait_for_an_address() {
    let words = plan(1, |p| p.servers[0].address = ServerAddress::Name("app.example".into(), 80));
    let pool = run(&words);
    assert_eq!(refused(&pool, &ASK), Cause::Drained);
    let address = ServerEndpoint::Tcp(([10, 0, 0, 1], 80).into());
    server(&pool, "s1").set_address(address.clone());
    assert_eq!(served(&pool, &ASK).server().address(), address);
    let known = Pool::build(
        &words,
        1,
        None,
        &|s| Some(([10, 0, 0, 2], s.address.port()).into()),
        Arc::new(NoObserver),
    );
    assert_eq!(server(&known, "s1").address().to_string(), "10.0.0.2:80");
}

#[test]
fn addresses_that_follow_the_client() {
    let words = plan(2, |p| {
        p.servers[0].address = ServerAddress::Transparent;
        p.servers[1].address = ServerAddress::MappedPort([10, 0, 0, 1].into(), -80);
    });
    let pool = run(&words);
    let wanted = Some(([192, 0, 2, 1], 8080).into());
    let to = |name| server(&pool, name).endpoint_for(wanted).map(|e| e.to_string());
    assert_eq!(to("s1").as_deref(), Some("192.0.2.1:8080"));
    assert_eq!(to("s2").as_deref(), Some("10.0.0.1:8000"));
    assert_eq!(server(&pool, "s1").endpoint_for(None), None);
}

#[test]
fn bounded_loads_spill_over() {
    let pool = run(&plan(4, |p| {
        p.balance = Balance::Uri(plan::pool::UriHash::default());
        p.hash = HashKind {
            method: HashMethod::Consistent,
            avalanche: true,
            balance_factor: Some(150),
            ..HashKind::default()
        };
    }));
    let held: Vec<Slot> = (0..100).map(|_| served(&pool, &Ask { key: Some(b"/hot"), ..ASK })).collect();
    let most = pool.servers().iter().map(|s| s.stats.current.now()).max().unwrap();
    assert!(most <= 38, "one and a half times the average: {most}");
    drop(held);
}

#[test]
fn retries_have_a_budget() {
    let (pool, now) = run_by_hand(&plan(1, |p| {
        p.retry = Retry { budget_percent: Some(20), ..Retry::default() };
    }));
    let allowed = (0..100).filter(|_| pool.retry_allowed()).count();
    assert_eq!(allowed, 10);
    sequence(&pool, 50);
    assert_eq!((0..100).filter(|_| pool.retry_allowed()).count(), 10, "a fifth of fifty");
    now.fetch_add(500, Relaxed);
    assert_eq!((0..100).filter(|_| pool.retry_allowed()).count(), 5);
    assert!((0..100).all(|_| run(&plan(1, |_| ())).retry_allowed()));
}

#[test]
fn connections_are_cut_as_planned() {
    let pool = run(&plan(3, |p| {
        p.servers[0].cut_when_down = true;
        p.servers[0].cut_backups_when_up = true;
        p.servers[2].backup = true;
    }));
    let (s1, s2, s3) = (server(&pool, "s1"), server(&pool, "s2"), server(&pool, "s3"));
    let cut = || [&s1, &s2, &s3].map(|server| server.cut_count() > 0);
    s2.set_health(Health::Down);
    assert_eq!(cut(), [false, false, false]);
    s1.set_health(Health::Down);
    assert_eq!(cut(), [true, false, false]);
    s1.set_health(Health::Up);
    assert_eq!(cut(), [true, false, true]);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn outcome(&self, server: &Server, outcome: Outcome) {
        self.0.lock().unwrap().push(format!("{} {outcome:?}", server.plan.name));
    }
    fn changed(&self, server: &Server, change: Change) {
        self.0.lock().unwrap().push(format!("{} {change:?}", server.plan.name));
    }
}

#[test]
fn the_observer_hears_each_change_once() {
    let heard = Arc::new(Heard::default());
    let pool = Pool::build(&plan(1, |_| ()), 1, None, &|_| None, heard.clone());
    let s1 = server(&pool, "s1");
    s1.note_outcome(Outcome::Status(503));
    s1.set_health(Health::Down);
    s1.set_health(Health::Down);
    s1.set_suspect(true);
    s1.set_admin(AdminState::Maintenance, AdminCause::Operator);
    s1.set_weight(1);
    s1.set_weight(2);
    let expected = ["s1 Status(503)", "s1 Down", "s1 Suspect(true)", "s1 Admin(Maintenance)", "s1 Weight(2)"];
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_waiting_task_is_woken() {
    let pool = run(&plan(1, |p| p.servers[0].max_connections = Some(1)));
    let one = served(&pool, &ASK);
    let waiting = waits(&pool, &ASK);
    let mut waiting = pin!(waiting);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let free = std::thread::spawn(move || drop(one));
    assert_eq!(name(&waiting.await.unwrap()), "s1");
    free.join().unwrap();
}

/// A server as one would be described at run time.
fn newcomer(name: &str) -> plan::Server {
    plan::Server::new(Place::none(), name, 0, ServerAddress::Tcp(([127, 0, 0, 1], 2000).into()))
}

#[test]
fn a_server_is_added_and_takes_its_turns_once_enabled() {
    let pool = run(&plan(2, |p| p.servers[1].id = 3));
    assert_eq!(sequence(&pool, 2), "12");
    let added = pool.add(newcomer("s9")).unwrap();
    assert_eq!((added.plan.id, added.admin()), (2, AdminState::Maintenance), "the lowest free number");
    assert_eq!(sequence(&pool, 4), "1212");
    added.set_admin(AdminState::Ready, AdminCause::Operator);
    let round = sequence(&pool, 9);
    assert!(["1", "2", "9"].iter().all(|s| round.matches(s).count() == 3), "{round}");
    assert_eq!(added.stats.sum(|cell| &cell.balanced), 3);
    assert_eq!(pool.servers().len(), 3);
}

#[test]
fn an_addition_that_cannot_be_is_refused() {
    let pool = run(&plan(2, |_| ()));
    assert_eq!(pool.add(newcomer("s1")).unwrap_err(), pool::AddError::NameTaken);
    assert_eq!(pool.add(plan::Server { id: 2, ..newcomer("s9") }).unwrap_err(), pool::AddError::IdTaken);
    let fixed = run(&plan(2, |p| p.balance = Balance::StaticRoundRobin));
    assert_eq!(fixed.add(newcomer("s9")).unwrap_err(), pool::AddError::FixedTable);
}

#[test]
fn a_server_leaves_only_when_nothing_is_at_it() {
    let pool = run(&plan(2, |_| ()));
    let slot = served(&pool, &ASK);
    assert_eq!(name(&slot), "s1");
    assert_eq!(pool.remove("s7").unwrap_err(), pool::RemoveError::Unknown);
    assert_eq!(pool.remove("s1").unwrap_err(), pool::RemoveError::InService);
    server(&pool, "s1").set_admin(AdminState::Maintenance, AdminCause::Operator);
    assert_eq!(pool.remove("s1").unwrap_err(), pool::RemoveError::Busy);
    drop(slot);
    let gone = pool.remove("s1").unwrap();
    assert!(!pool.has(&gone) && pool.server("s1").is_none());
    assert_eq!(sequence(&pool, 3), "222");
    assert_eq!(pool.add(newcomer("s1")).unwrap().plan.id, 1, "its number is free again");
}

#[test]
fn servers_come_and_go_while_four_threads_ask() {
    let pool = run(&plan(2, |p| p.balance = Balance::LeastConnections));
    let asked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (pool, asked) = (&pool, &asked);
            scope.spawn(move || {
                for _ in 0..2000 {
                    drop(served(pool, &Ask { worker, ..ASK }));
                    asked.fetch_add(1, Relaxed);
                }
            });
        }
        while asked.load(Relaxed) < 8000 {
            let added = pool.add(newcomer("s9")).unwrap();
            added.set_admin(AdminState::Ready, AdminCause::Operator);
            std::thread::yield_now();
            added.set_admin(AdminState::Maintenance, AdminCause::Operator);
            while pool.remove("s9").is_err() {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(pool.stats.current.now(), 0);
    assert_eq!(pool.stats.sum(|cell| &cell.balanced), 8000);
    assert_eq!(pool.servers().len(), 2);
}
