//! A table: entries are found, made, changed, and go when their time is over or room is needed.

use crate::journal::Journal;
use crate::key::Key;
use crate::layout::{Cell, Layout};
use crate::rate::Rate;
use crate::shard::Shard;
use parking_lot::Mutex;
use plan::table::{Datum, Form};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

/// Tables with fewer entries are not cut: in them the very oldest entry goes first.
const SMALL: u32 = 4096;
const SHARDS: usize = 32;
/// Expired entries that an insertion clears away at most.
const CLEAR: usize = 8;
/// Words (server keys) in the dictionary of a table.
const MOST_WORDS: usize = 65_536;

/// A running table. Shared by all workers; kept over reloads as long as its declaration fits.
pub struct Table {
    /// What is meant.
    pub plan: plan::Table,
    /// Where data lies.
    pub layout: Layout,
    /// Changes for peers; `None` when there are none.
    pub journal: Option<Journal>,
    shards: Box<[Mutex<Shard>]>,
    used: AtomicUsize,
    numbers: AtomicU64,
    words: Mutex<Words>,
}

/// One key and its data.
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its number in the table, never used again.
    pub id: u64,
    cells: Mutex<Box<[u64]>>,
    trackers: AtomicU32,
    /// Last use, milliseconds.
    pub(crate) touched: AtomicU64,
    /// Last use when it took its place in the order.
    pub(crate) placed: AtomicU64,
    /// Its number in the journal; 0 = not there.
    pub(crate) change: AtomicU64,
}

/// Texts by number, for server keys.
#[derive(Default)]
struct Words {
    list: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u64>,
}

impl Table {
    /// An empty table.
    pub fn new(plan: plan::Table, journal: Option<Journal>) -> Table {
        let shards = if plan.size < SMALL { 1 } else { SHARDS };
        Table {
            layout: Layout::new(&plan.store),
            journal,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            used: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            words: Mutex::default(),
            plan,
        }
    }

    /// Entries.
    pub fn used(&self) -> usize {
        self.used.load(Acquire)
    }

    /// Memory of one entry at most, bytes: what `size` is to be multiplied with.
    pub fn entry_bytes(&self) -> usize {
        const INDEX: usize = 48; // slot, index and the counts of the shared pointer
        let key = match self.plan.key {
            plan::table::KeyKind::Text(length) | plan::table::KeyKind::Binary(length) => length as usize,
            _ => 0,
        };
        size_of::<Entry>() + INDEX + key + 8 * self.layout.words()
    }

    /// The entry of a key, without using it.
    pub fn find(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let shard = self.shard(key).lock();
        shard.get(key).filter(|entry| !entry.has_expired(self.life_ms(), now)).cloned()
    }

    /// The entry of a key, used now.
    pub fn find_and_use(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let mut shard = self.shard(key).lock();
        let entry = self.touch(&mut shard, key, now)?;
        drop(shard);
        Some(entry)
    }

    /// The entry of a key, used now; made if there is none. `None` when the table is full and nothing may go.
    pub fn obtain(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let mut gone = Vec::new();
        let entry = self.obtain_in(key, now, &mut gone);
        self.forget(&gone);
        entry
    }

    fn obtain_in(&self, key: &Key, now: u64, gone: &mut Vec<Arc<Entry>>) -> Option<Arc<Entry>> {
        let mut shard = self.shard(key).lock();
        if let Some(entry) = self.touch(&mut shard, key, now) {
            return Some(entry);
        }
        // One that has expired makes room by itself.
        if let Some(expired) = shard.remove(key) {
            self.used.fetch_sub(1, AcqRel);
            gone.push(expired);
        }
        if let Some(life) = self.life_ms() {
            self.clear(&mut shard, life, now, gone);
        }
        if !self.reserve() {
            let evicted = if self.plan.purge { shard.evict() } else { None };
            match evicted {
                // Its place is ours.
                Some(evicted) => gone.push(evicted),
                None => {
                    drop(shard);
                    if !self.make_room(key, now, gone) {
                        return None;
                    }
                    shard = self.shard(key).lock();
                    if let Some(entry) = self.touch(&mut shard, key, now) {
                        self.used.fetch_sub(1, AcqRel);
                        return Some(entry);
                    }
                }
            }
        }
        let entry = Arc::new(self.entry(key.clone(), now));
        shard.insert(Arc::clone(&entry));
        Some(entry)
    }

    fn entry(&self, key: Key, now: u64) -> Entry {
        Entry {
            key,
            id: self.numbers.fetch_add(1, Relaxed) + 1,
            cells: Mutex::new(vec![0; self.layout.words()].into()),
            trackers: AtomicU32::new(0),
            touched: AtomicU64::new(now),
            placed: AtomicU64::new(now),
            change: AtomicU64::new(0),
        }
    }

    fn touch(&self, shard: &mut Shard, key: &Key, now: u64) -> Option<Arc<Entry>> {
        if shard.get(key)?.has_expired(self.life_ms(), now) {
            return None;
        }
        let entry = shard.touch(key)?;
        entry.touched.store(now, Relaxed);
        entry.placed.store(now, Relaxed);
        Some(entry)
    }

    /// Takes a place for an entry; false when all are taken.
    fn reserve(&self) -> bool {
        let size = self.plan.size as usize;
        self.used.fetch_update(AcqRel, Acquire, |used| (used < size).then_some(used + 1)).is_ok()
    }

    /// Takes a place that an entry of another shard leaves.
    fn make_room(&self, key: &Key, now: u64, gone: &mut Vec<Arc<Entry>>) -> bool {
        let own = self.shard_of(key);
        for other in (0..self.shards.len()).map(|n| (own + n) % self.shards.len()) {
            let mut shard = self.shards[other].lock();
            if let Some(life) = self.life_ms() {
                self.clear(&mut shard, life, now, gone);
                if self.reserve() {
                    return true;
                }
            }
            if self.plan.purge
                && let Some(evicted) = shard.evict()
            {
                gone.push(evicted);
                return true;
            }
        }
        false
    }

    /// True when there may be more to clear away.
    fn clear(&self, shard: &mut Shard, life_ms: u64, now: u64, gone: &mut Vec<Arc<Entry>>) -> bool {
        let before = gone.len();
        let more = shard.expire(life_ms, now, CLEAR, gone);
        self.used.fetch_sub(gone.len() - before, AcqRel);
        more
    }

    /// Clears away what has expired. Called every second, and before the table is shown.
    pub fn sweep(&self, now: u64) {
        let Some(life) = self.life_ms() else { return };
        for shard in &self.shards {
            let mut more = true;
            while more {
                let mut gone = Vec::new();
                more = self.clear(&mut shard.lock(), life, now, &mut gone);
                self.forget(&gone);
            }
        }
    }

    /// Removes an entry; false when it is tracked or not there.
    pub fn remove(&self, key: &Key) -> bool {
        let mut shard = self.shard(key).lock();
        let free = shard.get(key).is_some_and(|entry| !entry.is_tracked());
        let gone = if free { shard.remove(key) } else { None };
        drop(shard);
        let Some(gone) = gone else { return false };
        self.used.fetch_sub(1, AcqRel);
        self.forget(&[gone]);
        true
    }

    /// All entries of now, sorted by nothing.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.shards.iter().flat_map(|shard| shard.lock().all().cloned().collect::<Vec<_>>()).collect()
    }

    fn forget(&self, gone: &[Arc<Entry>]) {
        if let Some(journal) = &self.journal {
            gone.iter().for_each(|entry| journal.forget(entry));
        }
    }

    fn shard_of(&self, key: &Key) -> usize {
        if self.shards.len() == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish() as usize % self.shards.len()
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[self.shard_of(key)]
    }

    pub(crate) fn life_ms(&self) -> Option<u64> {
        self.plan.expire.map(|life| life.as_millis() as u64)
    }

    /// The entry changed here: it lives longer, and peers are to hear of it.
    pub fn changed(&self, entry: &Arc<Entry>, now: u64) {
        entry.touched.fetch_max(now, Relaxed);
        if let Some(journal) = &self.journal {
            journal.note(entry);
        }
    }

    /// Milliseconds until an entry expires; `None` when it does not.
    pub fn expires_in(&self, entry: &Entry, now: u64) -> Option<u64> {
        Some((entry.touched.load(Relaxed) + self.life_ms()?).saturating_sub(now))
    }

    /// Sets when an entry expires, for those that come from peers.
    pub fn set_expiry(&self, entry: &Entry, left_ms: u64, now: u64) {
        if let Some(life) = self.life_ms() {
            entry.touched.store((now + left_ms.min(life)).saturating_sub(life), Relaxed);
        }
    }

    /// What an element holds: the count, or the events of the period.
    pub fn value(&self, entry: &Entry, datum: Datum, element: u8, now: u64) -> Option<u64> {
        self.layout.cell(datum, element).map(|cell| entry.read(cell, now))
    }

    /// Adds to an element, if it is stored. The caller then says that the entry has [`changed`](Self::changed).
    pub fn add(&self, entry: &Entry, datum: Datum, by: u64, now: u64) {
        if let Some(cell) = self.layout.cell(datum, 0) {
            entry.add(cell, by, now);
        }
    }

    /// Sets an element, if it is stored: a rate then says so many events in this period.
    pub fn set(&self, entry: &Entry, datum: Datum, element: u8, value: u64, now: u64) -> bool {
        let cell = self.layout.cell(datum, element);
        cell.map(|cell| entry.set(cell, value, now)).is_some()
    }

    /// The text of a server key.
    pub fn word(&self, number: u64) -> Option<Arc<str>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.words.lock().list.get(at).cloned()
    }

    /// The number of a server key; 0 when the dictionary is full.
    pub fn number_of(&self, word: &str) -> u64 {
        let mut words = self.words.lock();
        if let Some(number) = words.index.get(word) {
            return *number;
        }
        if words.list.len() >= MOST_WORDS {
            return 0;
        }
        let shared: Arc<str> = word.into();
        words.list.push(Arc::clone(&shared));
        let number = words.list.len() as u64;
        words.index.insert(shared, number);
        number
    }
}

impl Entry {
    /// True while a connection or request tracks it.
    pub fn is_tracked(&self) -> bool {
        self.trackers.load(Acquire) > 0
    }

    /// Connections and requests that track it.
    pub fn trackers(&self) -> u32 {
        self.trackers.load(Acquire)
    }

    pub(crate) fn track(&self) {
        self.trackers.fetch_add(1, AcqRel);
    }

    pub(crate) fn untrack(&self) {
        self.trackers.fetch_sub(1, AcqRel);
    }

    /// Milliseconds since it was used.
    pub fn idle_ms(&self, now: u64) -> u64 {
        now.saturating_sub(self.touched.load(Relaxed))
    }

    pub(crate) fn has_expired(&self, life_ms: Option<u64>, now: u64) -> bool {
        life_ms.is_some_and(|life| self.touched.load(Relaxed).saturating_add(life) <= now)
            && !self.is_tracked()
    }

    /// Reads a place.
    pub fn read(&self, cell: Cell, now: u64) -> u64 {
        let cells = self.cells.lock();
        match cell.form {
            Form::Rate => {
                Rate::from_words([cells[cell.word], cells[cell.word + 1]]).read(cell.period_ms, now)
            }
            _ => cells[cell.word],
        }
    }

    /// Adds to a place; the new value.
    pub(crate) fn add(&self, cell: Cell, by: u64, now: u64) -> u64 {
        let mut cells = self.cells.lock();
        let word = &mut cells[cell.word..];
        match cell.form {
            Form::Rate => {
                let mut rate = Rate::from_words([word[0], word[1]]);
                rate.add(u32::try_from(by).unwrap_or(u32::MAX), cell.period_ms, now);
                word[..2].copy_from_slice(&rate.words());
                rate.read(cell.period_ms, now)
            }
            Form::Number => {
                // HAProxy's counters have 32 bits and begin again.
                word[0] = u64::from((word[0] as u32).wrapping_add(by as u32));
                word[0]
            }
            Form::Long | Form::Word => {
                word[0] = word[0].wrapping_add(by);
                word[0]
            }
        }
    }

    /// Takes one from a number, not below 0.
    pub(crate) fn take_one(&self, cell: Cell) {
        let mut cells = self.cells.lock();
        cells[cell.word] = cells[cell.word].saturating_sub(1);
    }

    /// Sets a place; the value before.
    pub(crate) fn set(&self, cell: Cell, value: u64, now: u64) -> u64 {
        let mut cells = self.cells.lock();
        let word = &mut cells[cell.word..];
        match cell.form {
            Form::Rate => {
                let before = Rate::from_words([word[0], word[1]]).read(cell.period_ms, now);
                let current = u32::try_from(value).unwrap_or(u32::MAX);
                word[..2].copy_from_slice(&Rate { began: now, current, previous: 0 }.words());
                before
            }
            Form::Number => std::mem::replace(&mut word[0], value & u64::from(u32::MAX)),
            Form::Long | Form::Word => std::mem::replace(&mut word[0], value),
        }
    }

    /// The whole rate, for peers.
    pub fn rate(&self, cell: Cell) -> Rate {
        let cells = self.cells.lock();
        Rate::from_words([cells[cell.word], cells[cell.word + 1]])
    }

    /// Sets the whole rate, for peers.
    pub fn set_rate(&self, cell: Cell, rate: Rate) {
        self.cells.lock()[cell.word..][..2].copy_from_slice(&rate.words());
    }

    /// Memory that hangs on the entry.
    pub fn heap_bytes(&self) -> usize {
        self.key.heap_bytes() + self.cells.lock().len() * 8
    }
}
