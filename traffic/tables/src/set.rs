//! All tables of a configuration by name, and the questions of fetches and converters to them.

use crate::journal::Journal;
use crate::key::Key;
use crate::limit::Zones;
use crate::table::Table;
use crate::tracked::{Event, Level, Tracked};
use plan::rule::{Expr, Value};
use plan::table::{Amount, Ask, Change, TableFetch, TableKey, TableLookup, Track, TrackedChange};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Milliseconds on one scale for the whole process; never 0, never back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Tables by name.
pub struct Tables {
    by_name: HashMap<String, Arc<Table>>,
    /// In the order of the configuration.
    order: Vec<Arc<Table>>,
    clock: Clock,
    /// Zones that limits count in.
    pub limits: Zones,
}

impl Tables {
    /// The tables of a plan. One that was there before with the same key and data keeps its entries; `journal`
    /// makes the journal of a table that is shared.
    pub fn build(
        plans: &[plan::Table],
        previous: Option<&Tables>,
        clock: Clock,
        journal: impl Fn(&plan::Table) -> Option<Journal>,
    ) -> Tables {
        let table = |plan: &plan::Table| match previous.and_then(|tables| tables.get(&plan.name)) {
            Some(before) if before.plan.same_but_for_place(plan) => Arc::clone(before),
            _ => Arc::new(Table::new(plan.clone(), journal(plan))),
        };
        let order: Vec<Arc<Table>> = plans.iter().map(table).collect();
        let by_name = order.iter().map(|table| (table.plan.name.clone(), Arc::clone(table))).collect();
        Tables { by_name, order, clock, limits: Zones::default() }
    }

    /// With the zones of a plan, which go on counting what those before counted.
    pub fn with_limits(
        mut self,
        rates: &[plan::RateZone],
        connections: &[plan::ConnectionZone],
        previous: Option<&Tables>,
    ) -> Tables {
        self.limits = Zones::build(rates, connections, previous.map(|tables| &tables.limits));
        self
    }

    /// No tables.
    pub fn none() -> Arc<Tables> {
        let (by_name, order, limits) = Default::default();
        Arc::new(Tables { by_name, order, clock: Arc::new(|| 1), limits })
    }

    /// The present time.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// What tells the time.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// A table by name.
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.by_name.get(name)
    }

    /// All, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Table>] {
        &self.order
    }

    /// Clears away what has expired.
    pub fn sweep(&self) {
        let now = self.now();
        self.order.iter().for_each(|table| table.sweep(now));
    }

    /// Answers a fetch about what is tracked, or about the client.
    pub fn fetch(
        &self,
        fetch: &TableFetch,
        client: Option<IpAddr>,
        tracked: &Tracked,
    ) -> Option<Value<'static>> {
        let slot = match fetch.key {
            TableKey::Client => {
                let table = self.get(fetch.table.as_deref()?)?;
                let key = Key::of_address(table.plan.key, client?)?;
                return table.answer(&key, fetch.ask, self.now());
            }
            TableKey::Tracked(slot) => tracked.entry(slot),
        };
        if fetch.ask == Ask::Tracked && (slot.is_none() || fetch.table.is_none()) {
            return Some(Value::Bool(slot.is_some()));
        }
        let (own, entry) = slot?;
        match &fetch.table {
            None => own.answer_about(Some(entry), fetch.ask, self.now()),
            Some(name) => self.elsewhere(name, &entry.key, fetch.ask),
        }
    }

    /// The key that is tracked in one table, looked up in another.
    fn elsewhere(&self, name: &str, key: &Key, ask: Ask) -> Option<Value<'static>> {
        let table = self.get(name)?;
        let (key, now) = (Key::of(table.plan.key, &key.value())?, self.now());
        // As for HAProxy, no entry is made in the other table.
        table.answer_about(table.find(&key, now).as_ref(), ask, now)
    }

    /// Answers a converter.
    pub fn look_up(&self, lookup: &TableLookup, value: &Value<'_>) -> Option<Value<'static>> {
        let table = self.get(&lookup.table)?;
        let key = Key::of(table.plan.key, value)?;
        table.answer(&key, lookup.ask, self.now())
    }

    /// Begins to track the key of `value`, unless the slot is in use, the table is full or this is no key.
    pub fn track(&self, tracked: &mut Tracked, level: Level, track: &Track, value: &Value<'_>) -> bool {
        let Some(table) = self.get(&track.table) else { return false };
        let Some(key) = Key::of(table.plan.key, value) else { return false };
        tracked.begin(level, track.slot, table, &key, self.now())
    }

    /// Changes what the entry of a slot keeps; `compute` gives the value of an expression.
    pub fn change(
        &self,
        tracked: &Tracked,
        change: &TrackedChange,
        compute: impl FnOnce(&Expr) -> Option<Value<'static>>,
    ) {
        let amount = |amount: &Amount| match amount {
            Amount::Fixed(number) => Some(*number),
            Amount::Computed(expr) => Some(compute(expr)?.to_int()? as u32),
        };
        let now = self.now();
        match &change.change {
            Change::Add(counter, by) => {
                if let Some(by) = amount(by) {
                    tracked.add(change.slot, *counter, by, now);
                }
            }
            Change::SetTag(value) => {
                if let Some(value) = amount(value) {
                    tracked.set_tag(change.slot, None, value, now);
                }
            }
            Change::SetElement(element, value) => {
                if let Some(value) = amount(value) {
                    tracked.set_tag(change.slot, Some(*element), value, now);
                }
            }
        }
    }

    /// Counts an event in what is tracked; costs nothing when nothing is.
    pub fn count(&self, tracked: &Tracked, event: Event) {
        if !tracked.is_empty() {
            tracked.count(event, self.now());
        }
    }

    /// Entries of a table, or places that are left in it.
    pub fn count_of(&self, name: &str, free: bool) -> Option<i64> {
        let table = self.get(name)?;
        let used = table.used() as i64;
        Some(if free { i64::from(table.plan.size) - used } else { used })
    }
}
