//! How many connections may begin in a second.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A limit of beginnings per second, shared by all workers; it may change while it runs. Without one it costs
/// a single load.
#[derive(Debug)]
pub struct Pace {
    /// 0 = no limit.
    limit: AtomicU32,
    /// The second since `born` in the upper half, how many began in it in the lower.
    counted: AtomicU64,
    born: Instant,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { limit: AtomicU32::new(0), counted: AtomicU64::new(0), born: Instant::now() }
    }
}

impl Pace {
    /// The limit; 0 = none.
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Changes the limit; 0 = none.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
    }

    /// True when one more may begin now; it is counted.
    pub(crate) fn take(&self) -> bool {
        match self.limit() {
            0 => true,
            limit => self.take_at(self.born.elapsed().as_secs() as u32, limit),
        }
    }

    fn take_at(&self, second: u32, limit: u32) -> bool {
        let next = |counted: u64| {
            let (then, count) = ((counted >> 32) as u32, counted as u32);
            let count = if then == second { count } else { 0 };
            (count < limit).then_some(u64::from(second) << 32 | u64::from(count + 1))
        };
        self.counted.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    /// True when nothing more may begin in this second.
    pub(crate) fn is_spent(&self) -> bool {
        let counted = self.counted.load(Relaxed);
        let limit = self.limit();
        limit > 0
            && counted >> 32 == u64::from(self.born.elapsed().as_secs() as u32)
            && counted as u32 >= limit
    }

    /// One that was counted did not begin.
    pub(crate) fn give_back(&self) {
        if self.limit() > 0 {
            let _ = self.counted.fetch_update(Relaxed, Relaxed, |n| (n as u32 > 0).then(|| n - 1));
        }
    }

    /// Time until the count begins anew.
    pub(crate) fn rest(&self) -> Duration {
        let elapsed = self.born.elapsed();
        Duration::from_secs(elapsed.as_secs() + 1).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_takes_so_many_and_the_next_as_many_again() {
        let pace = Pace::default();
        let taken = |second| (0..5).filter(|_| pace.take_at(second, 3)).count();
        assert_eq!((taken(7), taken(7), taken(8)), (3, 0, 3));
        pace.set_limit(3);
        pace.give_back();
        assert!(pace.take_at(8, 3) && !pace.take_at(8, 3));
        pace.set_limit(0);
        assert!((0..100).all(|_| pace.take()));
        assert!(pace.rest() <= Duration::from_secs(1));
    }
}
