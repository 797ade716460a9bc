//! Questions about entries: what fetches (`sc_*`, `src_*`) and converters (`table_*`) answer.
//!
//! As for HAProxy, what a table does not store has no value, while a key without an entry counts as 0.

use crate::key::Key;
use crate::table::{Entry, Table};
use plan::rule::Value;
use plan::table::{Ask, Counter, Datum};
use std::sync::Arc;

impl Table {
    /// The answer about `key`.
    pub fn answer(&self, key: &Key, ask: Ask, now: u64) -> Option<Value<'static>> {
        let entry = if ask.makes_entry() { self.obtain(key, now) } else { self.find(key, now) };
        self.answer_about(entry.as_ref(), ask, now)
    }

    /// The answer about an entry, or about one that is not there.
    pub fn answer_about(&self, entry: Option<&Arc<Entry>>, ask: Ask, now: u64) -> Option<Value<'static>> {
        let layout = &self.layout;
        let read = |cell| Some(Value::Int(entry.map_or(0, |entry| entry.read(cell, now)) as i64));
        match ask {
            Ask::Value(datum) => self.sized(datum, read(layout.cell(datum, 0)?)?),
            Ask::Element(datum, element) => read(layout.cell(datum, element)?),
            Ask::Kilobytes(datum) => Some(Value::Int(
                read(layout.cell(datum, 0)?)?.to_int()?.cast_unsigned().wrapping_shr(10) as i64,
            )),
            Ask::Tag => read(layout.tag()?),
            Ask::Counter(counter) => read(layout.counter(counter)?),
            Ask::CounterRate(counter) => read(layout.counter_rate(counter)?),
            Ask::Increment(counter) => self.increment(entry, counter, now),
            Ask::Clear(counter) => self.clear_counter(entry, counter, now),
            Ask::Present => Some(Value::Bool(entry.is_some())),
            Ask::Tracked => Some(Value::Bool(entry.is_some())),
            Ask::Trackers => Some(Value::Int(entry.map_or(0, |entry| entry.trackers()).into())),
            Ask::Key => entry.map(|entry| entry.key.value()),
            Ask::Expire(default) => match entry {
                Some(entry) => Some(Value::Int(self.expires_in(entry, now).unwrap_or(0) as i64)),
                None => default.map(Value::Int),
            },
            Ask::Idle(default) => match entry {
                Some(entry) => Some(Value::Int(entry.idle_ms(now) as i64)),
                None => default.map(Value::Int),
            },
            Ask::CountConnection => {
                let (entry, cell) = (entry?, layout.cell(Datum::ConnCnt, 0)?);
                let count = entry.add(cell, 1, now);
                self.changed(entry, now);
                Some(Value::Int(count as i64))
            }
        }
    }

    /// Byte rates count blocks.
    fn sized(&self, datum: Datum, value: Value<'static>) -> Option<Value<'static>> {
        match datum {
            Datum::BytesInRate | Datum::BytesOutRate => {
                Some(Value::Int(value.to_int()?.saturating_mul(self.plan.byte_rate_factor.into())))
            }
            _ => Some(value),
        }
    }

    fn increment(&self, entry: Option<&Arc<Entry>>, counter: Counter, now: u64) -> Option<Value<'static>> {
        let (count, rate) = (self.layout.counter(counter), self.layout.counter_rate(counter));
        if count.is_none() && rate.is_none() {
            return None;
        }
        let Some(entry) = entry else { return Some(Value::Int(0)) };
        let new = self.add_to_counter(entry, counter, 1, now);
        Some(Value::Int(new as i64))
    }

    /// Adds to a general purpose counter and its rate; the new count, or the new rate when only that is kept.
    pub(crate) fn add_to_counter(&self, entry: &Arc<Entry>, counter: Counter, by: u32, now: u64) -> u64 {
        let rate = self.layout.counter_rate(counter).map(|cell| entry.add(cell, by.into(), now));
        let count = self.layout.counter(counter).map(|cell| entry.add(cell, by.into(), now));
        self.changed(entry, now);
        count.or(rate).unwrap_or(0)
    }

    fn clear_counter(
        &self,
        entry: Option<&Arc<Entry>>,
        counter: Counter,
        now: u64,
    ) -> Option<Value<'static>> {
        let cell = self.layout.counter(counter)?;
        let Some(entry) = entry else { return Some(Value::Int(0)) };
        let before = entry.set(cell, 0, now);
        self.changed(entry, now);
        Some(Value::Int(before as i64))
    }
}

/// Questions that make the entry they ask about.
trait MakesEntry {
    fn makes_entry(&self) -> bool;
}

impl MakesEntry for Ask {
    fn makes_entry(&self) -> bool {
        matches!(self, Ask::Increment(_) | Ask::Clear(_) | Ask::CountConnection)
    }
}
