//! A part of a table: entries by key, and in order of their last use.

use crate::key::Key;
use crate::table::Entry;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// No slot.
const NONE: u32 = u32::MAX;
/// Oldest entries that are looked at when room is needed: if all are tracked, there is none.
const LOOK: usize = 64;

/// Entries of a part of a table.
#[derive(Default)]
pub(crate) struct Shard {
    index: HashMap<ByKey, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    ends: Ends,
}

/// The list from the newest to the oldest.
struct Ends {
    newest: u32,
    oldest: u32,
}

impl Default for Ends {
    fn default() -> Ends {
        Ends { newest: NONE, oldest: NONE }
    }
}

struct Slot {
    entry: Option<Arc<Entry>>,
    newer: u32,
    older: u32,
}

/// An entry in the index, found by its key: the key is kept once.
struct ByKey(Arc<Entry>);

impl Borrow<Key> for ByKey {
    fn borrow(&self) -> &Key {
        &self.0.key
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &ByKey) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Shard {
    /// The entry of a key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.slots.get(*self.index.get(key)? as usize)?.entry.as_ref()
    }

    /// The entry of a key, which is the newest from now on.
    pub fn touch(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let at = *self.index.get(key)?;
        self.unlink(at);
        self.link(at);
        self.slots.get(at as usize)?.entry.clone()
    }

    /// Adds the newest entry.
    pub fn insert(&mut self, entry: Arc<Entry>) {
        let slot = Slot { entry: Some(Arc::clone(&entry)), newer: NONE, older: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(ByKey(entry), at);
        self.link(at);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let at = self.index.remove(key)?;
        self.take(at)
    }

    /// Takes out the oldest entry that nobody tracks.
    pub fn evict(&mut self) -> Option<Arc<Entry>> {
        for _ in 0..LOOK {
            let at = self.ends.oldest;
            let entry = self.slots.get(at as usize)?.entry.clone()?;
            if !entry.is_tracked() {
                self.index.remove(&entry.key);
                return self.take(at);
            }
            self.unlink(at);
            self.link(at);
        }
        None
    }

    /// Takes out those of the oldest entries that have expired, looking at up to `most`. True when there may
    /// be more.
    pub fn expire(&mut self, life_ms: u64, now: u64, most: usize, gone: &mut Vec<Arc<Entry>>) -> bool {
        for _ in 0..most {
            let at = self.ends.oldest;
            let Some(entry) = self.slots.get(at as usize).and_then(|slot| slot.entry.clone()) else {
                return false;
            };
            if entry.placed.load(Relaxed).saturating_add(life_ms) > now {
                return false;
            }
            if entry.has_expired(Some(life_ms), now) {
                self.index.remove(&entry.key);
                gone.extend(self.take(at));
                continue;
            }
            // It was changed since, or is tracked: its turn comes again.
            let again = if entry.is_tracked() { now } else { entry.touched.load(Relaxed) };
            entry.placed.store(again.max(now.saturating_sub(life_ms) + 1), Relaxed);
            self.unlink(at);
            self.link(at);
        }
        true
    }

    /// All entries, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let mut at = self.ends.newest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            at = slot.older;
            slot.entry.as_ref()
        })
    }

    fn take(&mut self, at: u32) -> Option<Arc<Entry>> {
        self.unlink(at);
        self.free.push(at);
        self.slots.get_mut(at as usize)?.entry.take()
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.ends.newest, at);
        self.slots[at as usize].older = before;
        self.slots[at as usize].newer = NONE;
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = at,
            None => self.ends.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.ends.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.ends.oldest = newer,
        }
    }
}
