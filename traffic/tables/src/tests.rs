//! The store in simulated time.

#![allow(clippy::unwrap_used)]

use crate::{Event, Key, Level, Table, Tables, Tracked};
use plan::rule::Value;
use plan::table::{Ask, Counter, Datum, KeyKind, ServerKey, Stored, TableFetch, TableKey, TableLookup};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn stored(datum: Datum, period_ms: u32, count: u16) -> Stored {
    Stored { datum, period_ms, count }
}

fn plan(size: u32, expire_ms: u64, store: &[Stored]) -> plan::Table {
    plan::Table {
        place: plan::Place::none(),
        name: "t".into(),
        key: KeyKind::Ipv4,
        size,
        expire: (expire_ms > 0).then(|| Duration::from_millis(expire_ms)),
        purge: true,
        store: store.to_vec(),
        server_key: ServerKey::Name,
        byte_rate_factor: 1,
        peers: None,
    }
}

fn table(size: u32, expire_ms: u64, store: &[Stored]) -> Arc<Table> {
    Arc::new(Table::new(plan(size, expire_ms, store), None))
}

fn key(n: u32) -> Key {
    Key::V4(Ipv4Addr::from(n))
}

#[test]
fn the_oldest_by_last_use_goes_when_the_table_is_full() {
    let table = table(3, 0, &[]);
    for n in 1..=3 {
        assert!(table.obtain(&key(n), u64::from(n)).is_some());
    }
    table.obtain(&key(1), 10).unwrap();
    table.obtain(&key(4), 11).unwrap();
    let keys: HashSet<Key> = table.entries().iter().map(|e| e.key.clone()).collect();
    assert_eq!(keys, HashSet::from([key(1), key(3), key(4)]));
    assert_eq!(table.used(), 3);
}

#[test]
fn a_full_table_that_does_not_purge_refuses() {
    let plan = plan::Table { purge: false, ..plan(2, 100, &[]) };
    let table = Table::new(plan, None);
    table.obtain(&key(1), 0).unwrap();
    table.obtain(&key(2), 50).unwrap();
    assert!(table.obtain(&key(3), 60).is_none());
    // What has expired makes room.
    assert!(table.obtain(&key(3), 100).is_some());
    assert_eq!(table.used(), 2);
}

#[test]
fn what_is_tracked_stays() {
    let table = table(2, 100, &[stored(Datum::ConnCur, 0, 1)]);
    let mut tracked = Tracked::default();
    assert!(tracked.begin(Level::Connection, 0, &table, &key(1), 0));
    assert!(tracked.begin(Level::Content, 0, &table, &key(2), 0));
    assert!(!tracked.begin(Level::Content, 0, &table, &key(3), 0), "the slot is in use");
    table.sweep(1000);
    assert!(table.obtain(&key(3), 1000).is_none(), "both are tracked");
    drop(tracked);
    table.sweep(1100);
    assert_eq!(table.used(), 0);
}

#[test]
fn entries_expire_after_their_last_use() {
    let table = table(10, 100, &[]);
    table.obtain(&key(1), 0).unwrap();
    table.obtain(&key(2), 0).unwrap();
    table.obtain(&key(1), 60).unwrap();
    assert!(table.find(&key(2), 99).is_some());
    assert!(table.find(&key(2), 100).is_none());
    table.sweep(120);
    assert_eq!(table.used(), 1);
    assert!(table.find(&key(1), 159).is_some());
    // A change keeps it alive although its place in the order is old.
    table.changed(&table.find(&key(1), 150).unwrap(), 150);
    table.sweep(240);
    assert_eq!(table.used(), 1);
    table.sweep(350);
    assert_eq!(table.used(), 0);
}

#[test]
fn events_are_counted_where_they_are_stored() {
    use Datum as D;
    let store = [
        stored(D::ConnCnt, 0, 1),
        stored(D::ConnRate, 1000, 1),
        stored(D::ConnCur, 0, 1),
        stored(D::SessCnt, 0, 1),
        stored(D::HttpReqRate, 1000, 1),
        stored(D::HttpErrCnt, 0, 1),
        stored(D::BytesInCnt, 0, 1),
        stored(D::BytesOutRate, 1000, 1),
    ];
    let table = table(10, 0, &store);
    let mut tracked = Tracked::default();
    tracked.begin(Level::Connection, 0, &table, &key(1), 5000);
    tracked.begin(Level::Content, 1, &table, &key(2), 5000);
    for event in [Event::Session, Event::Request, Event::Request, Event::Error, Event::Bytes(10, 20)] {
        tracked.count(event, 5000);
    }
    let read = |n, datum| table.value(&table.find(&key(n), 5000).unwrap(), datum, 0, 5000);
    for (datum, value) in [
        (D::ConnCnt, Some(1)),
        (D::ConnRate, Some(1)),
        (D::ConnCur, Some(1)),
        (D::HttpReqRate, Some(2)),
        (D::HttpErrCnt, Some(1)),
        (D::BytesInCnt, Some(10)),
        (D::BytesOutRate, Some(20)),
        (D::HttpReqCnt, None),
    ] {
        assert_eq!(read(1, datum), value, "{datum:?}");
        assert_eq!(read(2, datum), value, "{datum:?}");
    }
    let tracked = tracked.into_connection();
    assert_eq!((read(1, D::ConnCur), read(2, D::ConnCur)), (Some(1), Some(0)));
    drop(tracked);
    assert_eq!(read(1, D::ConnCur), Some(0));
}

#[test]
fn what_a_request_tracks_hides_what_its_connection_tracks() {
    let table = table(10, 0, &[stored(Datum::HttpReqCnt, 0, 1)]);
    let mut tracked = Tracked::default();
    tracked.begin(Level::Connection, 0, &table, &key(1), 1);
    tracked.begin(Level::Content, 0, &table, &key(2), 1);
    tracked.count(Event::Request, 1);
    let read = |n| table.value(&table.find(&key(n), 1).unwrap(), Datum::HttpReqCnt, 0, 1);
    assert_eq!((read(1), read(2)), (Some(0), Some(1)));
    assert_eq!(tracked.entry(0).unwrap().1.key, key(2));
}

#[test]
fn questions_have_haproxys_answers() {
    let store = [stored(Datum::Gpc0, 0, 1), stored(Datum::Gpc0Rate, 1000, 1), stored(Datum::Gpt, 0, 3)];
    let now = Arc::new(AtomicU64::new(10_000));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let tables = Tables::build(&[plan(10, 500, &store)], None, clock, |_| None);
    let look_up = |ask| {
        let lookup = TableLookup { table: "t".into(), ask };
        tables.look_up(&lookup, &Value::text(b"10.0.0.1"))
    };
    assert_eq!(look_up(Ask::Present), Some(Value::Bool(false)));
    assert_eq!(look_up(Ask::Counter(Counter::Single(0))), Some(Value::Int(0)));
    assert_eq!(look_up(Ask::Value(Datum::ConnCnt)), None, "not stored");
    assert_eq!(look_up(Ask::Expire(None)), None);
    assert_eq!(look_up(Ask::Expire(Some(-1))), Some(Value::Int(-1)));
    assert_eq!(look_up(Ask::Increment(Counter::Single(0))), Some(Value::Int(1)));
    assert_eq!(look_up(Ask::Increment(Counter::Single(0))), Some(Value::Int(2)));
    now.fetch_add(100, Ordering::Relaxed);
    assert_eq!(look_up(Ask::Expire(None)), Some(Value::Int(400)));
    assert_eq!(look_up(Ask::Idle(None)), Some(Value::Int(100)));
    assert_eq!(look_up(Ask::CounterRate(Counter::Single(0))), Some(Value::Int(2)));
    assert_eq!(look_up(Ask::Clear(Counter::Single(0))), Some(Value::Int(2)));
    assert_eq!(look_up(Ask::Counter(Counter::Single(0))), Some(Value::Int(0)));
    assert_eq!(look_up(Ask::Element(Datum::Gpt, 2)), Some(Value::Int(0)));
    assert_eq!(look_up(Ask::Element(Datum::Gpt, 3)), None);

    let fetch = |key, ask, table: Option<&str>, tracked: &Tracked| {
        let fetch = TableFetch { key, table: table.map(Into::into), ask };
        tables.fetch(&fetch, Some(Ipv4Addr::new(10, 0, 0, 1).into()), tracked)
    };
    let mut tracked = Tracked::default();
    let slot = TableKey::Tracked(1);
    assert_eq!(fetch(slot, Ask::Tracked, None, &tracked), Some(Value::Bool(false)));
    assert_eq!(fetch(slot, Ask::Trackers, None, &tracked), None);
    assert_eq!(fetch(TableKey::Client, Ask::Present, Some("t"), &tracked), Some(Value::Bool(true)));
    tracked.begin(Level::Content, 1, tables.get("t").unwrap(), &key(7), 10_100);
    tracked.add(1, Counter::Single(0), 5, 10_100);
    tracked.set_tag(1, None, 9, 10_100);
    assert_eq!(fetch(slot, Ask::Trackers, None, &tracked), Some(Value::Int(1)));
    assert_eq!(fetch(slot, Ask::Counter(Counter::Single(0)), Some("t"), &tracked), Some(Value::Int(5)));
    assert_eq!(fetch(slot, Ask::Tag, None, &tracked), Some(Value::Int(9)));
    assert_eq!(fetch(slot, Ask::Key, None, &tracked), Some(Value::Address(Ipv4Addr::from(7).into())));
}

#[test]
fn a_reload_keeps_the_entries_of_a_table_that_did_not_change() {
    let clock: crate::Clock = Arc::new(|| 1);
    let build = |size, previous: Option<&Tables>| {
        Tables::build(&[plan(size, 0, &[])], previous, Arc::clone(&clock), |_| None)
    };
    let first = build(10, None);
    first.get("t").unwrap().obtain(&key(1), 1).unwrap();
    let same = build(10, Some(&first));
    assert_eq!(same.get("t").unwrap().used(), 1);
    let other = build(20, Some(&same));
    assert_eq!(other.get("t").unwrap().used(), 0);
}

/// However keys come and go, there are never more entries than places, and the count is right.
#[test]
fn there_are_never_more_entries_than_places() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let size = random.u32(1..50);
        let plan = plan::Table { purge: random.bool(), ..plan(size, random.u64(0..200), &[]) };
        let table = Arc::new(Table::new(plan, None));
        let mut tracked: Vec<Tracked> = Vec::new();
        let mut now = 1;
        for _ in 0..5000 {
            now += random.u64(0..5);
            let key = key(random.u32(0..200));
            match random.u32(0..10) {
                0 => drop(tracked.pop()),
                1 => {
                    let mut new = Tracked::default();
                    new.begin(Level::Content, 0, &table, &key, now);
                    tracked.push(new);
                }
                2 => drop(table.remove(&key)),
                3 => table.sweep(now),
                _ => drop(table.obtain(&key, now)),
            }
            assert!(table.used() <= size as usize, "seed {seed}");
            assert_eq!(table.entries().len(), table.used(), "seed {seed}");
        }
    }
}

#[test]
fn workers_at_once_keep_to_the_size() {
    let table = table(5000, 0, &[stored(Datum::Gpc0, 0, 1)]);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let table = &table;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(worker);
                for now in 0..20_000 {
                    let entry = table.obtain(&key(random.u32(0..20_000)), now).unwrap();
                    table.add(&entry, Datum::Gpc0, 1, now);
                    assert!(table.used() <= 5000);
                }
            });
        }
    });
    assert_eq!(table.entries().len(), table.used());
}

/// Entries that must have gone are not held by the journal.
#[test]
fn the_journal_holds_each_entry_once_and_no_dead_ones() {
    let woken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&woken);
    let journal = crate::journal::Journal::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let table = Table::new(plan(2, 0, &[]), Some(journal));
    for n in [1, 2, 1, 3] {
        let entry = table.obtain(&key(n), n.into()).unwrap();
        table.changed(&entry, n.into());
    }
    let journal = table.journal.as_ref().unwrap();
    let changes: Vec<(u64, Key)> = journal.after(0, 10).iter().map(|(n, e)| (*n, e.key.clone())).collect();
    assert_eq!(changes, [(3, key(1)), (4, key(3))]);
    assert_eq!(journal.after(3, 10).len(), 1);
    assert_eq!(woken.load(Ordering::Relaxed), 4);
}
