//! A zone of rates: for each key a bucket that leaks, in thousandths of a request.

use super::{cost, room, shard_of, shards};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// No slot.
const NONE: u32 = u32::MAX;
/// What an entry takes besides its key, bytes, as nginx counts.
const OVERHEAD: usize = 80;
/// An unused empty bucket is forgotten after this time, milliseconds.
const IDLE: u64 = 60_000;

/// Buckets by key.
pub(crate) struct Rates {
    shards: Vec<Mutex<Shard>>,
    room: u64,
}

/// One limit as it applies to one request.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// Where it is counted.
    pub(crate) rates: &'a Rates,
    /// Whose bucket.
    pub key: &'a [u8],
    /// Leaks, thousandths per second.
    pub rate: u32,
    /// Refused above this excess, thousandths.
    pub burst: u64,
    /// Delayed above this excess, thousandths.
    pub delay: u64,
}

/// What limits say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on at once.
    Passed,
    /// It goes on after a while.
    Delayed {
        /// How long, milliseconds.
        wait: u64,
        /// By how much it was too much, thousandths.
        excess: u64,
        /// Which of the limits said so.
        by: usize,
    },
    /// It is too much.
    Refused {
        /// By how much, thousandths.
        excess: u64,
        /// Which of the limits said so.
        by: usize,
    },
    /// There is no memory to count it.
    Full {
        /// In the zone of which of the limits.
        by: usize,
    },
}

/// Looks at one request under several limits and counts it, unless one of them refuses it: then nobody counts
/// it. `now` in milliseconds, never 0.
///
/// As nginx does it: the last limit is counted when it is looked at, those before it afterwards; the longest
/// wait counts. Buckets that were looked at are pinned until then.
pub fn judge(limits: &[Account<'_>], now: u64) -> Verdict {
    let Some((last, before)) = limits.split_last() else { return Verdict::Passed };
    let mut pinned = Pinned { limits: before, done: 0 };
    for (by, limit) in before.iter().enumerate() {
        match limit.rates.look(limit, now, Look::Pin) {
            Seen::Within(_) => pinned.done = by + 1,
            Seen::TooMuch(excess) => return Verdict::Refused { excess, by },
            Seen::NoRoom => return Verdict::Full { by },
        }
    }
    let by = before.len();
    let mut worst = match last.rates.look(last, now, Look::Count) {
        Seen::Within(excess) => Worst::of(last, excess, by),
        Seen::TooMuch(excess) => return Verdict::Refused { excess, by },
        Seen::NoRoom => return Verdict::Full { by },
    };
    pinned.done = 0; // counting unpins
    for (by, limit) in before.iter().enumerate().rev() {
        let other = Worst::of(limit, limit.rates.count_pinned(limit, now), by);
        if other.wait > worst.wait {
            worst = other;
        }
    }
    match worst {
        Worst { wait: 0, .. } => Verdict::Passed,
        Worst { wait, excess, by } => Verdict::Delayed { wait, excess, by },
    }
}

/// Buckets that wait for the others' word.
struct Pinned<'a> {
    limits: &'a [Account<'a>],
    done: usize,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        for limit in &self.limits[..self.done] {
            limit.rates.unpin(limit.key);
        }
    }
}

/// The longest wait so far.
struct Worst {
    wait: u64,
    excess: u64,
    by: usize,
}

impl Worst {
    fn of(limit: &Account<'_>, excess: u64, by: usize) -> Worst {
        let wait = match excess.saturating_sub(limit.delay) {
            0 => 0,
            over => over.saturating_mul(1000) / u64::from(limit.rate.max(1)),
        };
        Worst { wait, excess, by }
    }
}

/// What looking at a bucket does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is counted if it is within the limit.
    Count,
    /// It is kept from being forgotten until the others have spoken.
    Pin,
}

enum Seen {
    Within(u64),
    TooMuch(u64),
    NoRoom,
}

impl Rates {
    /// An empty zone of so many bytes.
    pub fn new(size: u64) -> Rates {
        let count = shards(size);
        let shards = (0..count).map(|_| Mutex::new(Shard::default())).collect();
        Rates { shards, room: room(size) / count as u64 }
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        match self.shards.as_slice() {
            [one] => one,
            many => &many[shard_of(key, many.len())],
        }
    }

    fn look(&self, limit: &Account<'_>, now: u64, how: Look) -> Seen {
        let mut shard = self.shard(limit.key).lock();
        let Some(at) = shard.index.get(limit.key).copied() else {
            return shard.begin(limit, now, how, self.room);
        };
        shard.freshen(at);
        let slot = &mut shard.slots[at as usize];
        let (excess, passed) = slot.excess_at(limit.rate, now);
        if excess > limit.burst {
            return Seen::TooMuch(excess);
        }
        match how {
            Look::Count => slot.count(excess, passed, now),
            Look::Pin => slot.pins += 1,
        }
        Seen::Within(excess)
    }

    /// Counts in a bucket that was pinned, and unpins it; its excess.
    fn count_pinned(&self, limit: &Account<'_>, now: u64) -> u64 {
        let mut shard = self.shard(limit.key).lock();
        let Some(slot) = shard.slot(limit.key) else { return 0 };
        let (excess, passed) = slot.excess_at(limit.rate, now);
        slot.count(excess, passed, now);
        slot.pins = slot.pins.saturating_sub(1);
        excess
    }

    fn unpin(&self, key: &[u8]) {
        if let Some(slot) = self.shard(key).lock().slot(key) {
            slot.pins = slot.pins.saturating_sub(1);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().index.len()).sum()
    }

    #[cfg(test)]
    pub fn used(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().used).sum()
    }
}

/// A part of the zone: buckets by key, and in order of their last use.
struct Shard {
    index: HashMap<Arc<[u8]>, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    used: u64,
}

impl Default for Shard {
    fn default() -> Shard {
        let (index, slots, free) = Default::default();
        Shard { index, slots, free, newest: NONE, oldest: NONE, used: 0 }
    }
}

/// A bucket.
struct Slot {
    key: Arc<[u8]>,
    /// Thousandths of a request in it, at `last`.
    excess: u64,
    /// Milliseconds; 0 = it was never counted in.
    last: u64,
    rate: u32,
    pins: u32,
    newer: u32,
    older: u32,
}

impl Slot {
    /// What is in it with this request, and the milliseconds since the last one. A clock that other threads
    /// read later may be behind: no time has passed then.
    fn excess_at(&self, rate: u32, now: u64) -> (u64, u64) {
        if self.last == 0 {
            return (0, now);
        }
        let passed = now.saturating_sub(self.last);
        let leaked = u64::from(rate).saturating_mul(passed) / 1000;
        ((self.excess + 1000).saturating_sub(leaked), passed)
    }

    /// The time moves on only with whole milliseconds, so that what leaks in parts of one is not lost.
    fn count(&mut self, excess: u64, passed: u64, now: u64) {
        self.excess = excess;
        if passed > 0 {
            self.last = now;
        }
    }

    fn is_idle(&self, now: u64) -> bool {
        let passed = now.saturating_sub(self.last);
        passed >= IDLE && self.excess <= u64::from(self.rate).saturating_mul(passed) / 1000
    }
}

impl Shard {
    fn slot(&mut self, key: &[u8]) -> Option<&mut Slot> {
        let at = *self.index.get(key)?;
        self.slots.get_mut(at as usize)
    }

    /// A new bucket with nothing in it: the first request is free.
    fn begin(&mut self, limit: &Account<'_>, now: u64, how: Look, room: u64) -> Seen {
        self.forget(now);
        let bytes = cost(OVERHEAD + limit.key.len());
        if self.used + bytes > room && !self.make_room(bytes, room) {
            return Seen::NoRoom;
        }
        let key: Arc<[u8]> = limit.key.into();
        let (last, pins) = if how == Look::Count { (now, 0) } else { (0, 1) };
        let slot =
            Slot { key: Arc::clone(&key), excess: 0, last, rate: limit.rate, pins, newer: NONE, older: NONE };
        let at = self.place(slot);
        self.index.insert(key, at);
        self.used += bytes;
        self.link(at);
        Seen::Within(0)
    }

    /// Forgets the oldest until so many bytes are free. A short key after a long one may take several.
    fn make_room(&mut self, bytes: u64, room: u64) -> bool {
        while self.used + bytes > room {
            match self.slots.get(self.oldest as usize) {
                Some(slot) if slot.pins == 0 => self.remove(self.oldest),
                _ => return false,
            }
        }
        true
    }

    /// Forgets up to two of the oldest that are empty and unused: faster than they come.
    fn forget(&mut self, now: u64) {
        for _ in 0..2 {
            match self.slots.get(self.oldest as usize) {
                Some(slot) if slot.pins == 0 && slot.is_idle(now) => self.remove(self.oldest),
                _ => return,
            }
        }
    }

    fn place(&mut self, slot: Slot) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        }
    }

    fn remove(&mut self, at: u32) {
        self.unlink(at);
        let key = std::mem::replace(&mut self.slots[at as usize].key, Arc::from([]));
        self.index.remove(&key);
        self.used -= cost(OVERHEAD + key.len());
        self.free.push(at);
    }

    fn freshen(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        self.slots[at as usize].older = before;
        self.slots[at as usize].newer = NONE;
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limit<'a>(rates: &'a Rates, key: &'a [u8], rate: u32, burst: u64, delay: u64) -> Account<'a> {
        Account { rates, key, rate, burst, delay }
    }

    fn refused(excess: u64) -> Verdict {
        Verdict::Refused { excess, by: 0 }
    }

    fn delayed(wait: u64, excess: u64) -> Verdict {
        Verdict::Delayed { wait, excess, by: 0 }
    }

    #[test]
    fn a_bucket_leaks_with_time() {
        let rates = Rates::new(MIB);
        let check = |now, expected| {
            assert_eq!(judge(&[limit(&rates, b"k", 2000, 1000, u64::MAX)], now), expected, "at {now}");
        };
        check(1000, Verdict::Passed);
        check(1000, Verdict::Passed); // burst
        check(1001, refused(1998));
        check(1250, refused(1500)); // what is refused does not count
        check(1499, refused(1002));
        check(1500, Verdict::Passed);
        check(9000, Verdict::Passed);
    }

    #[test]
    fn what_is_above_the_delay_waits_for_its_turn() {
        let rates = Rates::new(MIB);
        let check = |now, expected| {
            assert_eq!(judge(&[limit(&rates, b"k", 500, 2000, 1000)], now), expected, "at {now}");
        };
        check(1000, Verdict::Passed);
        check(1000, Verdict::Passed); // 1.000, not above the delay
        check(1000, delayed(2000, 2000));
        check(1000, refused(3000));
        check(1100, refused(2950));
    }

    #[test]
    fn parts_of_a_millisecond_are_not_lost() {
        let rates = Rates::new(MIB);
        let hit = |now| judge(&[limit(&rates, b"k", 1_000_000, 100_000, u64::MAX)], now);
        for _ in 0..100 {
            assert_eq!(hit(5000), Verdict::Passed);
        }
        assert_eq!(hit(5001), Verdict::Passed);
        // Behind the others' clock: no time has passed.
        assert_eq!(hit(4000), Verdict::Passed);
    }

    #[test]
    fn a_refusal_counts_in_none_of_the_zones() {
        let (fast, slow) = (Rates::new(MIB), Rates::new(MIB));
        let both =
            |now| judge(&[limit(&fast, b"a", 100, 1000, u64::MAX), limit(&slow, b"a", 16, 0, u64::MAX)], now);
        assert_eq!(both(1000), Verdict::Passed);
        for _ in 0..9 {
            assert_eq!(both(1000), Verdict::Refused { excess: 1000, by: 1 });
        }
        // The first zone had room for one more all the time.
        let alone = || judge(&[limit(&fast, b"a", 100, 1000, u64::MAX)], 1000);
        assert_eq!(alone(), Verdict::Passed);
        assert_eq!(alone(), refused(2000));
    }

    #[test]
    fn the_longest_wait_counts() {
        let (fast, slow) = (Rates::new(MIB), Rates::new(MIB));
        let pair = |now| judge(&[limit(&slow, b"a", 500, 9000, 0), limit(&fast, b"a", 1000, 9000, 0)], now);
        assert_eq!(pair(1000), Verdict::Passed);
        assert_eq!(pair(1000), delayed(2000, 1000));
        assert_eq!(pair(1000), delayed(4000, 2000));
    }

    #[test]
    fn the_oldest_makes_room() {
        let rates = Rates::new(32 * 1024);
        let hit = |key: &[u8], now| judge(&[limit(&rates, key, 1, 0, u64::MAX)], now);
        assert_eq!(hit(b"first", 1000), Verdict::Passed);
        for n in 0..10_000u32 {
            assert_eq!(hit(&n.to_be_bytes(), 1001), Verdict::Passed);
            assert!(rates.used() <= 32 * 1024);
        }
        assert!((150..=256).contains(&rates.len()), "{}", rates.len());
        assert_eq!(hit(b"first", 1002), Verdict::Passed, "it was forgotten");
        assert_eq!(hit(&9999u32.to_be_bytes(), 1002), refused(1000));
    }

    #[test]
    fn empty_buckets_are_forgotten_after_a_minute() {
        let rates = Rates::new(MIB);
        let hit = |key: &[u8], now| judge(&[limit(&rates, key, 1000, 0, u64::MAX)], now);
        hit(b"a", 1000);
        hit(b"b", 1000);
        hit(b"c", 2000);
        assert_eq!(rates.len(), 3);
        hit(b"d", 61_500);
        let held = rates.len();
        assert!(held <= 4);
        for n in 0..100u32 {
            hit(&n.to_be_bytes(), 200_000);
        }
        assert!(rates.index_lacks(b"a") && rates.index_lacks(b"c"));
    }

    #[test]
    fn a_zone_too_small_for_a_key_refuses() {
        let rates = Rates::new(32 * 1024);
        let key = vec![b'x'; 60_000];
        assert_eq!(judge(&[limit(&rates, &key, 1, 0, 0)], 5), Verdict::Full { by: 0 });
    }

    #[test]
    fn no_interleaving_of_workers_lets_more_through() {
        let rates = Rates::new(MIB);
        let passed: usize = std::thread::scope(|scope| {
            let worker = || {
                let limits = [limit(&rates, b"k", 1, 99_000, u64::MAX)];
                (0..1000).filter(|_| judge(&limits, 77) == Verdict::Passed).count()
            };
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }

    impl Rates {
        fn index_lacks(&self, key: &[u8]) -> bool {
            !self.shard(key).lock().index.contains_key(key)
        }
    }
}
