//! What is known of each key, in order of use, in shards; and which answers are held in memory.

use crate::entry::{Body, Entry};
use md5::{Digest, Md5};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// No slot.
const NONE: u32 = u32::MAX;
/// What a key takes of the memory for keys, bytes, as nginx counts.
pub(crate) const KEY_BYTES: u64 = 128;
/// Oldest keys that are looked at when room is needed.
const LOOK: usize = 32;
/// What an open file counts in the memory for answers: it bounds how many are open.
const OPEN_FILE: u64 = 32 * 1024;

/// A key: the MD5 of its text, as files are named by nginx. Two texts with one key are told apart by the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The key of a text.
    pub fn of(text: &[u8]) -> Key {
        Key(Md5::digest(text).into())
    }
}

/// What is known of a key.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub key: Key,
    /// How often it was asked for.
    pub uses: u32,
    /// There is an answer.
    pub exists: bool,
    /// What the answer takes of the cache, bytes.
    pub size: u64,
    /// The answer, when it is held in memory.
    pub hot: Option<Hot>,
    /// The server failed with this status, which holds before this time.
    pub failed: Option<(u16, u64)>,
    /// Forgotten after this time.
    pub expires: u64,
    /// Somebody fetches it.
    pub updating: Option<Updating>,
    newer: u32,
    older: u32,
}

/// An answer in memory.
#[derive(Debug)]
pub(crate) struct Hot {
    pub entry: Arc<Entry>,
    /// Its file, to see whether that is still the one in the directory.
    pub inode: u64,
    /// When that was looked at last.
    pub checked: u64,
    /// Used since its turn came.
    used: bool,
    cost: u64,
}

/// Somebody fetches an answer.
#[derive(Debug)]
pub(crate) struct Updating {
    /// Who.
    pub token: u64,
    /// After this time somebody else may, too.
    pub until: u64,
    /// Closed when it is over.
    pub gate: Arc<Semaphore>,
}

/// A part of the index.
#[derive(Debug)]
pub(crate) struct Shard {
    index: HashMap<Key, u32>,
    slots: Vec<Node>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    /// Keys at most.
    most: usize,
    /// Keys of answers in memory, in the order of their turns.
    turns: VecDeque<Key>,
    hot: u64,
    hot_most: u64,
}

/// What went away: an answer that took so much.
pub(crate) struct Gone {
    pub key: Key,
    pub existed: bool,
    pub size: u64,
}

impl Shard {
    /// An empty one for so many keys, with so much memory for answers.
    pub fn new(most: usize, hot_most: u64) -> Shard {
        Shard {
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            most: most.max(1),
            turns: VecDeque::new(),
            hot: 0,
            hot_most,
        }
    }

    /// Keys.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of answers in memory.
    pub fn hot_bytes(&self) -> u64 {
        self.hot
    }

    /// What is known of a key.
    pub fn get(&mut self, key: &Key) -> Option<&mut Node> {
        let at = *self.index.get(key)?;
        self.slots.get_mut(at as usize)
    }

    /// The same; it is the newest from now on, and made if it was not there. `None` when there is no room.
    pub fn touch(&mut self, key: &Key, gone: &mut Vec<Gone>) -> Option<&mut Node> {
        let at = match self.index.get(key).copied() {
            Some(at) => {
                if self.newest != at {
                    self.unlink(at);
                    self.link(at);
                }
                at
            }
            None => {
                if self.index.len() >= self.most {
                    gone.push(self.evict()?);
                }
                self.insert(*key)
            }
        };
        self.slots.get_mut(at as usize)
    }

    fn insert(&mut self, key: Key) -> u32 {
        let node = Node { key, newer: NONE, older: NONE, ..Node::default() };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = node;
                at
            }
            None => {
                self.slots.push(node);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(key, at);
        self.link(at);
        at
    }

    /// Takes out the oldest that nobody fetches.
    pub fn evict(&mut self) -> Option<Gone> {
        let mut at = self.oldest;
        for _ in 0..LOOK {
            let node = self.slots.get(at as usize)?;
            if node.updating.is_none() {
                let key = node.key;
                return self.remove(&key);
            }
            at = node.newer;
        }
        None
    }

    /// When the oldest with an answer was due to be forgotten: the older, the sooner.
    pub fn oldest_expiry(&self) -> Option<u64> {
        self.slots.get(self.oldest as usize).map(|node| node.expires)
    }

    /// Takes out the oldest if it was not asked for long enough.
    pub fn expire(&mut self, now: u64) -> Option<Gone> {
        let node = self.slots.get(self.oldest as usize)?;
        if node.expires > now || node.updating.is_some() {
            return None;
        }
        let key = node.key;
        self.remove(&key)
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &Key) -> Option<Gone> {
        let at = self.index.remove(key)?;
        self.unlink(at);
        self.free.push(at);
        self.cool(at);
        let node = std::mem::take(&mut self.slots[at as usize]);
        if let Some(updating) = node.updating {
            updating.gate.close();
        }
        Some(Gone { key: node.key, existed: node.exists, size: node.size })
    }

    /// The answer of a key is not there any more; what it took.
    pub fn lose(&mut self, key: &Key) -> u64 {
        let Some(at) = self.index.get(key).copied() else { return 0 };
        self.cool(at);
        let node = &mut self.slots[at as usize];
        node.exists = false;
        std::mem::take(&mut node.size)
    }

    /// Holds an answer in memory; others leave for it when their turn has come. False when it is too large.
    pub fn heat(&mut self, key: &Key, entry: &Arc<Entry>, inode: u64, now: u64) -> bool {
        let cost = cost_of(entry);
        let Some(at) = self.index.get(key).copied().filter(|_| cost <= self.hot_most) else { return false };
        let had = self.cool(at);
        while self.hot + cost > self.hot_most && self.cool_one() {}
        if !had {
            self.tidy_turns();
            self.turns.push_back(*key);
        }
        self.hot += cost;
        let hot = Hot { entry: Arc::clone(entry), inode, checked: now, used: false, cost };
        self.slots[at as usize].hot = Some(hot);
        true
    }

    /// The answer in memory.
    pub fn hot_of(&mut self, key: &Key) -> Option<&mut Hot> {
        let hot = self.get(key)?.hot.as_mut()?;
        hot.used = true;
        Some(hot)
    }

    /// Holds an answer no more; true when it did.
    fn cool(&mut self, at: u32) -> bool {
        let Some(hot) = self.slots.get_mut(at as usize).and_then(|node| node.hot.take()) else {
            return false;
        };
        self.hot -= hot.cost;
        true
    }

    /// Forgets turns of answers that are gone, before there are too many.
    fn tidy_turns(&mut self) {
        if self.turns.len() <= 2 * self.index.len() + 64 {
            return;
        }
        let mut seen = HashSet::new();
        let (index, slots) = (&self.index, &self.slots);
        let is_hot = |key: &Key| index.get(key).is_some_and(|at| slots[*at as usize].hot.is_some());
        self.turns.retain(|key| is_hot(key) && seen.insert(*key));
    }

    /// Lets the first go that was not used since its last turn; false when there is none.
    fn cool_one(&mut self) -> bool {
        let rounds = self.turns.len() * 2;
        for _ in 0..rounds {
            let Some(key) = self.turns.pop_front() else { return false };
            let Some(at) = self.index.get(&key).copied() else { continue };
            match &mut self.slots[at as usize].hot {
                None => {}
                Some(hot) if hot.used => {
                    hot.used = false;
                    self.turns.push_back(key);
                }
                Some(_) => return self.cool(at),
            }
        }
        false
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        self.slots[at as usize].older = before;
        self.slots[at as usize].newer = NONE;
        match self.slots.get_mut(before as usize) {
            Some(node) => node.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}

/// What an answer takes in memory.
pub(crate) fn cost_of(entry: &Entry) -> u64 {
    let body = match &entry.body {
        Body::Memory(bytes) => bytes.len() as u64,
        Body::File { .. } => OPEN_FILE,
    };
    entry.head_bytes() + body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::entry::Record;

    fn key(n: u32) -> Key {
        Key::of(&n.to_be_bytes())
    }

    fn entry(bytes: usize) -> Arc<Entry> {
        Arc::new(Entry { record: Record::default(), body: Body::Memory(vec![0; bytes].into()) })
    }

    #[test]
    fn the_oldest_key_makes_room() {
        let mut shard = Shard::new(3, 0);
        let mut gone = Vec::new();
        for n in 0..3 {
            shard.touch(&key(n), &mut gone).unwrap().exists = true;
        }
        shard.touch(&key(0), &mut gone);
        assert!(gone.is_empty());
        shard.touch(&key(3), &mut gone);
        assert!(gone.iter().map(|g| (g.key, g.existed)).eq([(key(1), true)]));
        // What is being fetched stays.
        let gate = Arc::new(Semaphore::new(0));
        shard.get(&key(2)).unwrap().updating = Some(Updating { token: 1, until: 9, gate });
        shard.touch(&key(4), &mut gone);
        assert!(shard.get(&key(2)).is_some() && shard.get(&key(0)).is_none());
        assert_eq!(shard.len(), 3);
    }

    #[test]
    fn answers_in_memory_are_bounded_and_used_ones_stay() {
        let mut shard = Shard::new(100, 10_000);
        let mut gone = Vec::new();
        for n in 0..50 {
            shard.touch(&key(n), &mut gone);
            assert!(shard.heat(&key(n), &entry(1000), 0, 0));
            assert!(shard.hot_bytes() <= 10_000);
            assert!(shard.hot_of(&key(0)).is_some(), "{n}");
        }
        assert!(shard.hot_of(&key(49)).is_some() && shard.hot_of(&key(20)).is_none());
        assert!(!shard.heat(&key(1), &entry(20_000), 0, 0));
        for n in 0..50 {
            shard.remove(&key(n));
        }
        assert_eq!((shard.hot_bytes(), shard.len()), (0, 0));
    }

    /// Whatever happens, what is counted is what is there.
    #[test]
    fn counts_hold_under_any_order() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut shard = Shard::new(20, 30_000);
            let mut gone = Vec::new();
            for now in 0..2000u64 {
                let key = key(random.u32(0..40));
                match random.u32(0..5) {
                    0 => drop(shard.remove(&key)),
                    1 => drop(shard.expire(now)),
                    2 => drop(shard.hot_of(&key)),
                    3 => drop(shard.heat(&key, &entry(random.usize(0..9000)), 0, now)),
                    _ => shard.touch(&key, &mut gone).unwrap().expires = now + 100,
                }
                let held: u64 = shard.slots.iter().filter_map(|node| Some(node.hot.as_ref()?.cost)).sum();
                assert_eq!(held, shard.hot, "seed {seed}");
                assert!(shard.len() <= 20 && shard.hot <= 30_000 && shard.turns.len() <= 200, "seed {seed}");
            }
        }
    }
}
