//! Persistence by table: which server a client was sent to before, and remembering where it goes now.

use crate::key::Key;
use crate::set::Tables;
use crate::table::{Entry, Table};
use plan::rule::Facts;
use plan::table::{Datum, ServerKey, StickRule};
use std::sync::Arc;

/// Entries that one request writes at most, as HAProxy.
const MOST_STORES: usize = 8;

/// What an entry remembers of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its key, and what that is.
    pub key: Option<(ServerKey, Arc<str>)>,
    /// Its number.
    pub id: Option<u32>,
}

/// Where the server of a request is to be remembered. Empty for most, and then without memory.
#[derive(Default)]
pub struct Stores(Vec<(Arc<Table>, Key)>);

impl Stores {
    /// True when nothing is to be remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, table: &Arc<Table>, key: Key) {
        let has = self.0.iter().any(|(other, _)| Arc::ptr_eq(other, table));
        if !has && self.0.len() < MOST_STORES {
            self.0.push((Arc::clone(table), key));
        }
    }

    /// Remembers a server in all of them. `key_of` gives its name, or its address and port.
    pub fn remember(&self, id: u32, now: u64, key_of: impl Fn(ServerKey) -> String) {
        for (table, key) in &self.0 {
            let Some(entry) = table.obtain(key, now) else { continue };
            table.set(&entry, Datum::ServerId, 0, id.into(), now);
            let number = table.number_of(&key_of(table.plan.server_key));
            table.set(&entry, Datum::ServerKey, 0, number, now);
            table.changed(&entry, now);
        }
    }
}

impl Tables {
    /// Runs the rules on a request: `found` is told what each entry remembers until it takes one; the keys to
    /// be remembered are added to `stores`.
    pub fn stick(
        &self,
        rules: &[StickRule],
        facts: &dyn Facts,
        stores: &mut Stores,
        found: &mut dyn FnMut(Remembered) -> bool,
    ) {
        let mut taken = false;
        for rule in rules.iter().filter(|rule| rule.condition.holds(facts)) {
            let Some(table) = self.get(&rule.table) else { continue };
            let value = rule.key.value(facts);
            let Some(key) = value.and_then(|value| Key::of(table.plan.key, &value)) else { continue };
            if rule.matches
                && let Some(entry) = table.find_and_use(&key, self.now())
            {
                taken = taken || found(remembered(table, &entry, self.now()));
                table.changed(&entry, self.now());
            }
            if rule.stores {
                stores.push(table, key);
            }
        }
    }
}

fn remembered(table: &Table, entry: &Entry, now: u64) -> Remembered {
    let number = table.value(entry, Datum::ServerKey, 0, now);
    let key = number.and_then(|number| table.word(number)).map(|word| (table.plan.server_key, word));
    let id = table.value(entry, Datum::ServerId, 0, now).filter(|id| *id > 0).map(|id| id as u32);
    Remembered { key, id }
}
