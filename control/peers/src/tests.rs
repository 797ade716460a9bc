//! Two machines that talk to each other without a connection.

#![allow(clippy::unwrap_used)]

use crate::machine::Machine;
use plan::table::{Datum, KeyKind, ServerKey, Stored};
use std::sync::Arc;
use std::time::Duration;
use tables::journal::Journal;
use tables::{Key, Table};
use wire::peers::Message;

fn table(name: &str, key: KeyKind) -> Arc<Table> {
    let stored = |datum, period_ms, count| Stored { datum, period_ms, count };
    let plan = plan::Table {
        place: plan::Place::none(),
        name: name.into(),
        key,
        size: 1000,
        expire: Some(Duration::from_secs(60)),
        purge: true,
        store: vec![
            stored(Datum::ServerId, 0, 1),
            stored(Datum::ConnRate, 10_000, 1),
            stored(Datum::ConnCur, 0, 1),
            stored(Datum::ServerKey, 0, 1),
            stored(Datum::Gpt, 0, 2),
            stored(Datum::GpcRate, 5000, 2),
        ],
        server_key: ServerKey::Name,
        byte_rate_factor: 1,
        peers: Some("p".into()),
    };
    Arc::new(Table::new(plan, Some(Journal::new(|| {}))))
}

/// Passes what each says to the other until both are silent.
fn converse(one: &mut Machine, other: &mut Machine, mut begun: [Vec<u8>; 2], now: u64) {
    loop {
        let [from_one, from_other] = &mut begun;
        one.tell(now, from_one);
        other.tell(now, from_other);
        if from_one.is_empty() && from_other.is_empty() {
            return;
        }
        let (said, answered) = (std::mem::take(from_one), std::mem::take(from_other));
        assert_eq!(other.hear(&said, now, from_other), Ok(said.len()));
        assert_eq!(one.hear(&answered, now, from_one), Ok(answered.len()));
    }
}

fn fill(table: &Table, key: &Key, now: u64) {
    let entry = table.obtain(key, now).unwrap();
    table.set(&entry, Datum::ServerId, 0, 7, now);
    table.set(&entry, Datum::ConnRate, 0, 12, now);
    table.set(&entry, Datum::ConnCur, 0, 3, now);
    table.set(&entry, Datum::ServerKey, 0, table.number_of("web1"), now);
    table.set(&entry, Datum::Gpt, 1, 99, now);
    table.set(&entry, Datum::GpcRate, 1, 5, now);
    table.changed(&entry, now);
}

fn check(table: &Table, key: &Key, now: u64) {
    let entry = table.find(key, now).unwrap();
    let read = |datum, element| table.value(&entry, datum, element, now).unwrap();
    assert_eq!(read(Datum::ServerId, 0), 7);
    assert_eq!(read(Datum::ConnRate, 0), 12);
    assert_eq!(read(Datum::ConnCur, 0), 0, "what is so there only stays there");
    assert_eq!(table.word(read(Datum::ServerKey, 0)).as_deref(), Some("web1"));
    assert_eq!((read(Datum::Gpt, 0), read(Datum::Gpt, 1)), (0, 99));
    assert_eq!(read(Datum::GpcRate, 1), 5);
}

#[test]
fn what_is_made_on_one_side_is_found_on_the_other() {
    let keys = [
        (KeyKind::Ipv4, Key::V4([10, 0, 0, 1].into())),
        (KeyKind::Ipv6, Key::V6("2001:db8::1".parse().unwrap())),
        (KeyKind::Integer, Key::Integer(7)),
        (KeyKind::Text(8), Key::Bytes(b"abc".as_slice().into())),
        (KeyKind::Binary(4), Key::binary(b"ab".to_vec(), 4)),
    ];
    for (kind, key) in keys {
        // The clocks of the two are not the same.
        let (here, there) = (table("t", kind), table("t", kind));
        fill(&here, &key, 100_000);
        let mut begun = [Vec::new(), Vec::new()];
        let mut one = Machine::new(&[Arc::clone(&here)], true, true, &mut begun[0]);
        let mut other = Machine::new(&[Arc::clone(&there)], true, true, &mut begun[1]);
        converse(&mut one, &mut other, begun, 100_000);
        check(&there, &key, 100_000);
        assert_eq!(there.expires_in(&there.find(&key, 100_000).unwrap(), 100_000), Some(60_000));
        let journal = there.journal.as_ref().unwrap();
        assert_eq!(journal.last(), 0, "what was learned is not told again");
    }
}

#[test]
fn all_is_taught_to_who_asks_however_much() {
    let (here, there) = (table("p/t", KeyKind::Integer), table("p/t", KeyKind::Integer));
    for n in 0..900 {
        // Not in the journal: learned from somebody else.
        here.obtain(&Key::Integer(n), 1).unwrap();
    }
    let mut begun = [Vec::new(), Vec::new()];
    let mut one = Machine::new(&[Arc::clone(&here)], true, true, &mut begun[0]);
    let mut other = Machine::new(&[Arc::clone(&there)], true, false, &mut begun[1]);
    converse(&mut one, &mut other, begun, 1);
    assert_eq!(there.used(), 900);
    assert!(other.complete);
}

#[test]
fn tables_that_do_not_fit_are_left_alone() {
    let (here, there) = (table("t", KeyKind::Integer), table("t", KeyKind::Ipv4));
    fill(&here, &Key::Integer(1), 1);
    let mut begun = [Vec::new(), Vec::new()];
    let mut one = Machine::new(&[here], true, true, &mut begun[0]);
    let mut other = Machine::new(&[Arc::clone(&there)], true, true, &mut begun[1]);
    converse(&mut one, &mut other, begun, 1);
    assert_eq!(there.used(), 0);
}

#[test]
fn nonsense_ends_the_conversation() {
    let machine = || Machine::new(&[table("t", KeyKind::Ipv4)], true, true, &mut Vec::new());
    for bytes in [
        &[10, 0x83, 1, 5][..],                // a table that was never told
        &[10, 0x80, 3, 0, 0, 0],              // an update without a number
        &[10, 0x86, 6, 0, 0, 0, 1, 9, 9],     // an update without a table
        &[10, 0x82, 2, 1, 200],               // a definition that is cut
        &[10, 0x80, 255, 255, 255, 255, 127], // a message that is too long
    ] {
        assert!(machine().hear(bytes, 1, &mut Vec::new()).is_err(), "{bytes:?}");
    }
    let mut error = Vec::new();
    Message::Error.write(&mut error);
    assert!(machine().hear(&error, 1, &mut Vec::new()).is_err());
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3000 {
        let table = table("t", KeyKind::Ipv4);
        let mut machine = Machine::new(&[Arc::clone(&table)], true, true, &mut Vec::new());
        let mut bytes = vec![10, 0x82, 10, 1, 1, b't', 4, 4, 1, 0, 0, 0, 0];
        bytes.truncate(13 - random.usize(0..4));
        bytes.extend((0..200).map(|_| random.u8(..)));
        let _ = machine.hear(&bytes, 1, &mut Vec::new());
        assert!(table.used() <= 200);
    }
}
