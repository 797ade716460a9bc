//! The machine in simulated time: name servers that answer, fail, lie and say nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use plan::Place;
use plan::resolver::{NameServer, Transport};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn settings(servers: usize, change: impl FnOnce(&mut Resolvers)) -> Resolvers {
    let server = |n: usize| NameServer {
        name: format!("ns{n}"),
        address: ([127, 0, 0, 1], 53).into(),
        transport: Transport::Udp,
    };
    let mut settings = Resolvers::new(Place::none(), "dns");
    settings.servers = (0..servers).map(server).collect();
    change(&mut settings);
    settings
}

fn host(name: &str) -> Query {
    Query::new(name, Kind::Host(Family::V6))
}

fn hosts(last: &[u8]) -> Reply {
    Reply::Hosts(last.iter().map(|n| IpAddr::from([10, 0, 0, *n])).collect())
}

fn following(settings: &Resolvers, queries: &[Query]) -> Machine {
    let mut machine = Machine::new(settings);
    machine.follow(ms(0), &queries.iter().cloned().collect());
    machine
}

/// The one question that is due.
fn asked(machine: &mut Machine, at: u64) -> Ask {
    let asks = machine.due(ms(at));
    assert_eq!(asks.len(), 1, "at {at} ms");
    asks.into_iter().next().unwrap()
}

fn known(machine: &Machine, at: u64) -> Vec<u8> {
    match machine.standing(ms(at), &host("app.test")) {
        Standing::Known(known) => {
            known.hosts.iter().map(|(ip, _)| ip.to_string()[7..].parse().unwrap()).collect()
        }
        other => panic!("{other:?} at {at} ms"),
    }
}

#[test]
fn the_first_good_answer_counts_and_the_next_question_rests() {
    let mut machine = following(&settings(2, |_| ()), &[host("App.test.")]);
    let ask = asked(&mut machine, 0);
    assert_eq!((ask.query.name.as_str(), ask.wanted), ("app.test", Wanted::Aaaa));
    assert!(machine.due(ms(1)).is_empty(), "one question at a time");
    let (in_time, next) = machine.reply(ms(5), &ask.query, ask.attempt, 1, hosts(&[1, 2]));
    assert!(in_time && next.is_none());
    let (in_time, _) = machine.reply(ms(6), &ask.query, ask.attempt, 0, hosts(&[9]));
    assert!(!in_time, "the slower one is too late");
    assert_eq!(known(&machine, 7), [1, 2]);
    assert_eq!(machine.next_at(), Some(ms(1005)));
    assert!(machine.due(ms(1004)).is_empty());
    asked(&mut machine, 1005);
}

#[test]
fn the_other_family_is_asked_for_when_all_failed() {
    let mut machine = following(&settings(2, |_| ()), &[host("app.test")]);
    let ask = asked(&mut machine, 0);
    assert_eq!(machine.reply(ms(1), &ask.query, ask.attempt, 0, Reply::Empty), (true, None));
    let (_, next) = machine.reply(ms(2), &ask.query, ask.attempt, 1, Reply::Missing);
    let next = next.unwrap();
    assert_eq!(next.wanted, Wanted::A);
    let (late, _) = machine.reply(ms(3), &ask.query, ask.attempt, 0, hosts(&[9]));
    assert!(!late, "an answer to the question before");
    machine.reply(ms(4), &next.query, next.attempt, 0, hosts(&[3]));
    assert_eq!(known(&machine, 5), [3]);
}

#[test]
fn a_good_answer_after_a_bad_one_of_another_server_counts() {
    let mut machine = following(&settings(2, |_| ()), &[host("app.test")]);
    let ask = asked(&mut machine, 0);
    machine.reply(ms(1), &ask.query, ask.attempt, 0, Reply::Missing);
    machine.reply(ms(900), &ask.query, ask.attempt, 1, hosts(&[4]));
    assert_eq!(known(&machine, 901), [4]);
}

#[test]
fn silence_is_asked_again_then_tolerated_as_long_as_said() {
    let words = settings(1, |s| s.hold.silent = Some(ms(10_000)));
    let mut machine = following(&words, &[host("app.test")]);
    let ask = asked(&mut machine, 0);
    machine.reply(ms(0), &ask.query, ask.attempt, 0, hosts(&[1]));
    for at in [1000, 2000, 3000] {
        assert_eq!(asked(&mut machine, at).wanted, Wanted::Aaaa, "no other family for the silent");
    }
    assert!(machine.due(ms(4000)).is_empty(), "given up after three tries");
    assert_eq!(machine.standing(ms(4001), &host("app.test")), Standing::Kept);
    assert_eq!(machine.standing(ms(9_999), &host("app.test")), Standing::Kept);
    assert_eq!(machine.standing(ms(10_000), &host("app.test")), Standing::Lost(Status::Silent));
    let ask = asked(&mut machine, 10_000);
    machine.reply(ms(10_001), &ask.query, ask.attempt, 0, hosts(&[1]));
    assert_eq!(known(&machine, 10_002), [1]);
}

#[test]
fn nothing_said_about_silence_means_for_ever() {
    let mut machine = following(&settings(1, |s| s.tries = 1), &[host("app.test")]);
    let ask = asked(&mut machine, 0);
    machine.reply(ms(0), &ask.query, ask.attempt, 0, hosts(&[1]));
    for reply in [None, Some(Reply::Refused), Some(Reply::Failed)] {
        let at = machine.next_at().unwrap();
        let asks = machine.due(at);
        for ask in asks {
            let next = reply.clone().and_then(|r| machine.reply(at, &ask.query, ask.attempt, 0, r).1);
            if let (Some(next), Some(reply)) = (next, reply.clone()) {
                machine.reply(at, &next.query, next.attempt, 0, reply);
            }
        }
        machine.due(machine.next_at().unwrap());
        assert_eq!(machine.standing(Duration::from_secs(86_400), &host("app.test")), Standing::Kept);
    }
}

#[test]
fn a_missing_name_is_tolerated_for_its_time() {
    let mut machine = following(&settings(1, |_| ()), &[host("app.test")]);
    let ask = asked(&mut machine, 0);
    machine.reply(ms(0), &ask.query, ask.attempt, 0, hosts(&[1]));
    let ask = asked(&mut machine, 1000);
    let (_, next) = machine.reply(ms(1000), &ask.query, ask.attempt, 0, Reply::Missing);
    let next = next.unwrap();
    machine.reply(ms(1000), &next.query, next.attempt, 0, Reply::Missing);
    assert_eq!(machine.next_at(), Some(ms(2000)), "not asked three times");
    assert_eq!(machine.standing(ms(29_999), &host("app.test")), Standing::Kept);
    assert_eq!(machine.standing(ms(30_000), &host("app.test")), Standing::Lost(Status::Missing));
}

#[test]
fn what_an_answer_lacks_goes_after_its_time() {
    let mut machine = following(&settings(1, |s| s.hold.obsolete = ms(2_500)), &[host("app.test")]);
    for (at, heard, expected) in [
        (0, &[1_u8, 2][..], &[1_u8, 2][..]),
        (1000, &[2], &[1, 2]),
        (2000, &[2], &[1, 2]),
        (3000, &[2], &[2]),
    ] {
        let ask = asked(&mut machine, at);
        machine.reply(ms(at), &ask.query, ask.attempt, 0, hosts(heard));
        assert_eq!(known(&machine, at), expected, "at {at} ms");
    }
}

#[test]
fn services_lead_to_hosts_that_came_without_an_address() {
    let query = Query::new("_http._tcp.app.test", Kind::Service);
    let mut machine = following(&settings(1, |_| ()), std::slice::from_ref(&query));
    let ask = asked(&mut machine, 0);
    assert_eq!(ask.wanted, Wanted::Srv);
    let service = |target: &str, addresses| Service { target: target.into(), port: 80, weight: 1, addresses };
    let along = vec![IpAddr::from([10, 0, 0, 1])];
    let reply = Reply::Services(vec![service("a.test", vec![]), service("b.test", along)]);
    machine.reply(ms(1), &query, ask.attempt, 0, reply);
    assert_eq!(machine.hosts_wanted(), BTreeSet::from(["a.test".to_owned()]));
    let ask = asked(&mut machine, 1001);
    assert_eq!(
        machine.reply(ms(1002), &query, ask.attempt, 0, Reply::Missing),
        (true, None),
        "no other family"
    );
    assert_eq!(machine.standing(ms(1003), &query), Standing::Kept);
}

#[test]
fn many_names_are_asked_for_in_turns() {
    let queries: Vec<Query> = (0..300).map(|n| host(&format!("h{n}.test"))).collect();
    let mut machine = following(&settings(1, |_| ()), &queries);
    let first = machine.due(ms(0));
    assert_eq!(first.len(), MAX_ASKING);
    assert_eq!(machine.next_at(), Some(ms(1000)), "nothing to do while all seats are taken");
    for ask in &first {
        machine.reply(ms(1), &ask.query, ask.attempt, 0, hosts(&[1]));
    }
    assert_eq!(machine.due(ms(1)).len(), MAX_ASKING);
}

#[test]
fn other_times_count_at_once_and_what_is_known_stays() {
    let mut machine = following(&settings(1, |_| ()), &[host("app.test")]);
    let ask = asked(&mut machine, 0);
    machine.reply(ms(0), &ask.query, ask.attempt, 0, hosts(&[1]));
    machine.reconfigure(ms(10), &settings(2, |_| ()));
    assert_eq!(known(&machine, 10), [1]);
    asked(&mut machine, 10);
}

/// Whatever comes, and whenever: no panic, no question without an end, never more questions than seats.
#[test]
fn any_order_of_events() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let servers = random.usize(1..4);
        let words = settings(servers, |s| s.tries = random.u32(1..4));
        let queries = [host("a.test"), Query::new("_s._tcp.test", Kind::Service), host("b.test")];
        let mut machine = following(&words, &queries);
        let (mut now, mut open) = (0, Vec::new());
        for _ in 0..200 {
            open.extend(machine.due(ms(now)));
            assert!(machine.next_at().is_some_and(|at| at <= ms(now + 1000)), "someone is always due soon");
            if !open.is_empty() && random.bool() {
                let ask: Ask = open.swap_remove(random.usize(0..open.len()));
                let reply = match random.u8(0..6) {
                    0 => Reply::Missing,
                    1 => Reply::Empty,
                    2 => Reply::Refused,
                    3 => Reply::Failed,
                    4 => hosts(&[random.u8(..)]),
                    _ => Reply::Services(Vec::new()),
                };
                open.extend(
                    machine.reply(ms(now), &ask.query, ask.attempt, random.usize(0..servers), reply).1,
                );
            }
            now += random.u64(0..400);
        }
    }
}
