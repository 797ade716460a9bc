//! How many connections may be open at once, and the places of those that are.

use crate::{Pace, Seat};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::time::{Duration, Instant};
use telemetry::{ProcessStats, SiteStats};
use tokio::sync::Notify;

/// Places for connections, shared by all workers. The limit may change while it runs.
#[derive(Debug)]
pub struct Quota {
    taken: AtomicU32,
    limit: AtomicU32,
    /// A place became free. Whoever is woken and leaves places over passes it on (see [`Quota::pass_on`]).
    free: Notify,
    born: Instant,
    complained_ms: AtomicU64,
}

impl Quota {
    /// Places for `limit` connections; `None` = no limit.
    pub fn new(limit: Option<u32>) -> Quota {
        Quota {
            taken: AtomicU32::new(0),
            limit: AtomicU32::new(limit.unwrap_or(u32::MAX)),
            free: Notify::new(),
            born: Instant::now(),
            complained_ms: AtomicU64::new(0),
        }
    }

    /// The limit; `u32::MAX` = none.
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Changes the limit. Connections above a lower one stay.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
        self.free.notify_one();
    }

    /// Places taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.taken.load(Acquire) >= self.limit()
    }

    fn take(&self) -> bool {
        let limit = self.limit();
        self.taken.fetch_update(AcqRel, Acquire, |n| (n < limit).then_some(n + 1)).is_ok()
    }

    fn leave(&self) {
        let before = self.taken.fetch_sub(1, AcqRel);
        debug_assert!(before > 0, "a place was given back twice");
        if before >= self.limit() {
            self.free.notify_one();
        }
    }

    /// Waits until there may be a place. The caller tries again and then calls [`Quota::pass_on`].
    async fn wait(&self) {
        while self.is_full() {
            self.free.notified().await;
        }
    }

    /// Wakes the next one that waits, if there is still a place: one free place wakes one waiter, not all.
    fn pass_on(&self) {
        if !self.is_full() {
            self.free.notify_one();
        }
    }

    /// True at most once per `pause`, over all workers.
    fn may_complain(&self, pause: Duration) -> bool {
        let now = self.born.elapsed().as_millis() as u64 + 1;
        let last = self.complained_ms.load(Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= pause.as_millis() as u64;
        due && self.complained_ms.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}

/// What a connection must pass to be accepted: the limits of process, site and bind. One per worker and bind.
#[derive(Debug)]
pub struct Gates {
    /// Of the process.
    pub process: Arc<Quota>,
    /// Of the site.
    pub site: Arc<Quota>,
    /// Of the bind.
    pub bind: Arc<Quota>,
    /// Beginnings per second: connections and sessions of the process, sessions of the site.
    pub paces: [Arc<Pace>; 3],
    /// The site's counters.
    pub stats: Arc<SiteStats>,
    /// The process's counters.
    pub process_stats: Arc<ProcessStats>,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    gates: Rc<Gates>,
    seat: Rc<Seat>,
}

impl Ticket {
    /// What is known of the connection.
    pub fn seat(&self) -> &Rc<Seat> {
        &self.seat
    }
}

impl Gates {
    fn quotas(&self) -> [&Quota; 3] {
        [&self.process, &self.site, &self.bind]
    }

    /// A place at every gate, or none at all.
    pub(crate) fn reserve(self: &Rc<Gates>) -> Option<Place> {
        for (passed, quota) in self.quotas().into_iter().enumerate() {
            if !quota.take() {
                self.quotas().into_iter().take(passed).for_each(Quota::leave);
                return None;
            }
        }
        for (passed, pace) in self.paces.iter().enumerate() {
            if !pace.take() {
                self.paces.iter().take(passed).for_each(|pace| pace.give_back());
                self.quotas().into_iter().for_each(Quota::leave);
                return None;
            }
        }
        Some(Place(Some(Rc::clone(self))))
    }

    /// Waits until there may be a place at every gate.
    pub(crate) async fn wait(&self) {
        while let Some(full) = self.quotas().into_iter().find(|q| q.is_full()) {
            full.wait().await;
        }
        while let Some(spent) = self.paces.iter().find(|pace| pace.is_spent()) {
            tokio::time::sleep(spent.rest()).await;
        }
    }

    /// Lets others that wait have what is left.
    pub(crate) fn pass_on(&self) {
        self.quotas().into_iter().for_each(Quota::pass_on);
    }

    pub(crate) fn may_complain(&self) -> bool {
        self.process.may_complain(Duration::from_secs(1))
    }
}

/// A reserved place that no connection has taken yet.
pub(crate) struct Place(Option<Rc<Gates>>);

impl Place {
    /// A connection came: it is counted from now on.
    pub(crate) fn fill(mut self, worker: usize) -> Option<Ticket> {
        let gates = self.0.take()?;
        gates.stats.current.enter();
        gates.stats.at(worker).connections.add(1);
        gates.process_stats.current.enter();
        gates.process_stats.at(worker).connections.add(1);
        Some(Ticket { gates, seat: Rc::default() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gates) = &self.0 {
            gates.quotas().into_iter().for_each(Quota::leave);
            gates.paces.iter().for_each(|pace| pace.give_back());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gates.stats.current.leave();
        self.gates.process_stats.current.leave();
        self.gates.quotas().into_iter().for_each(Quota::leave);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gates(process: u32, site: u32) -> Rc<Gates> {
        Rc::new(Gates {
            process: Arc::new(Quota::new(Some(process))),
            site: Arc::new(Quota::new(Some(site))),
            bind: Arc::new(Quota::new(None)),
            paces: Default::default(),
            stats: Arc::new(SiteStats::new(1)),
            process_stats: Arc::new(ProcessStats::new(1, 0)),
        })
    }

    #[test]
    fn a_connection_takes_a_place_at_every_gate_or_none() {
        let gates = gates(5, 1);
        let first = gates.reserve().unwrap().fill(0);
        assert!(gates.reserve().is_none());
        assert_eq!((gates.process.taken(), gates.stats.current.now()), (1, 1));
        drop(first);
        drop(gates.reserve().unwrap());
        assert_eq!((gates.process.taken(), gates.site.taken(), gates.stats.current.now()), (0, 0, 0));
        assert_eq!(gates.stats.sum(|c| &c.connections), 1);
        assert_eq!(gates.process_stats.sum(|c| &c.connections), 1);
    }

    #[test]
    fn complaints_are_rare() {
        let quota = Quota::new(None);
        assert!(quota.may_complain(Duration::from_secs(60)));
        assert!(!quota.may_complain(Duration::from_secs(60)));
    }
}
