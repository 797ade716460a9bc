//! What a connection and its requests track, and what is counted there.

use crate::key::Key;
use crate::table::{Entry, Table};
use plan::table::{Counter, Datum};
use std::sync::Arc;

/// How long something is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As long as the connection (`tcp-request connection`, `tcp-request session`).
    Connection,
    /// As long as the request, or the connection in TCP.
    Content,
}

/// What is counted in the entries that are tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection was accepted by the rules on connections: a session.
    Session,
    /// An HTTP request came.
    Request,
    /// It was the client's fault: an invalid request, or a status of 4xx.
    Error,
    /// The server failed: a status of 5xx, but for 501 and 505.
    Failure,
    /// Bytes from the client, and to it.
    Bytes(u64, u64),
}

/// What is tracked. Nothing for most, and then it is one word.
#[derive(Default)]
#[allow(clippy::box_collection)] // a thin pointer, because every idle connection has one
pub struct Tracked(Option<Box<Vec<Hold>>>);

/// An entry that counts as long as this value lives.
struct Hold {
    slot: u8,
    level: Level,
    table: Arc<Table>,
    entry: Arc<Entry>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(cell) = self.table.layout.cell(Datum::ConnCur, 0) {
            self.entry.take_one(cell);
            if let Some(journal) = &self.table.journal {
                journal.note(&self.entry);
            }
        }
        self.entry.untrack();
    }
}

impl Tracked {
    /// True when nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.holds().is_empty()
    }

    fn holds(&self) -> &[Hold] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Begins to track `key`, unless the slot is in use on this level or the table is full. True when it did.
    pub fn begin(&mut self, level: Level, slot: u8, table: &Arc<Table>, key: &Key, now: u64) -> bool {
        if self.holds().iter().any(|hold| hold.slot == slot && hold.level == level) {
            return false;
        }
        let Some(entry) = table.obtain(key, now) else { return false };
        entry.track();
        for datum in [Datum::ConnCur, Datum::ConnCnt, Datum::ConnRate] {
            table.add(&entry, datum, 1, now);
        }
        table.changed(&entry, now);
        self.0.get_or_insert_default().push(Hold { slot, level, table: Arc::clone(table), entry });
        true
    }

    /// The entry of a slot: that of the request before that of the connection.
    pub fn entry(&self, slot: u8) -> Option<(&Arc<Table>, &Arc<Entry>)> {
        let in_slot = |level| self.holds().iter().find(move |hold| hold.slot == slot && hold.level == level);
        let hold = in_slot(Level::Content).or_else(|| in_slot(Level::Connection))?;
        Some((&hold.table, &hold.entry))
    }

    /// Counts an event in every slot.
    pub fn count(&self, event: Event, now: u64) {
        for hold in self.holds() {
            let shadowed = hold.level == Level::Connection && self.is_in_use(hold.slot);
            if !shadowed || event == Event::Session {
                hold.count(event, now);
            }
        }
    }

    /// Counts an event in one slot only.
    pub fn count_in(&self, slot: u8, event: Event, now: u64) {
        if let Some(hold) = self.holds().iter().rev().find(|hold| hold.slot == slot) {
            hold.count(event, now);
        }
    }

    fn is_in_use(&self, slot: u8) -> bool {
        self.holds().iter().any(|hold| hold.slot == slot && hold.level == Level::Content)
    }

    /// Adds to a general purpose counter of a slot.
    pub fn add(&self, slot: u8, counter: Counter, by: u32, now: u64) {
        if let Some((table, entry)) = self.entry(slot) {
            table.add_to_counter(entry, counter, by, now);
        }
    }

    /// Sets a tag of a slot: an element, or `gpt0`.
    pub fn set_tag(&self, slot: u8, element: Option<u8>, value: u32, now: u64) {
        let Some((table, entry)) = self.entry(slot) else { return };
        let cell = match element {
            Some(element) => table.layout.cell(Datum::Gpt, element),
            None => table.layout.tag(),
        };
        if let Some(cell) = cell {
            entry.set(cell, value.into(), now);
            table.changed(entry, now);
        }
    }

    /// Ends what was tracked for one request.
    pub fn into_connection(mut self) -> Tracked {
        if let Some(holds) = &mut self.0 {
            holds.retain(|hold| hold.level == Level::Connection);
        }
        self
    }
}

impl Hold {
    fn count(&self, event: Event, now: u64) {
        use Datum as D;
        let factor = u64::from(self.table.plan.byte_rate_factor.max(1));
        let additions: [(D, u64); 4] = match event {
            Event::Session => [(D::SessCnt, 1), (D::SessRate, 1), (D::SessCnt, 0), (D::SessCnt, 0)],
            Event::Request => [(D::HttpReqCnt, 1), (D::HttpReqRate, 1), (D::SessCnt, 0), (D::SessCnt, 0)],
            Event::Error => [(D::HttpErrCnt, 1), (D::HttpErrRate, 1), (D::SessCnt, 0), (D::SessCnt, 0)],
            Event::Failure => [(D::HttpFailCnt, 1), (D::HttpFailRate, 1), (D::SessCnt, 0), (D::SessCnt, 0)],
            Event::Bytes(up, down) => [
                (D::BytesInCnt, up),
                (D::BytesInRate, up.div_ceil(factor)),
                (D::BytesOutCnt, down),
                (D::BytesOutRate, down.div_ceil(factor)),
            ],
        };
        let mut some = false;
        for (datum, by) in additions.into_iter().filter(|(_, by)| *by > 0) {
            if let Some(cell) = self.table.layout.cell(datum, 0) {
                self.entry.add(cell, by, now);
                some = true;
            }
        }
        if some {
            self.table.changed(&self.entry, now);
        }
    }
}
