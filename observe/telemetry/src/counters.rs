//! Counters per worker, added up when read; gauges shared by all workers.
//!
//! A [`Counter`] has one writer (its worker), so adding costs a load and a store without a lock prefix.

use crate::cause::Cause;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A sum with one writing thread and any readers.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The sum so far.
    #[inline]
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Keeps the greater of the two.
    #[inline]
    pub fn raise(&self, n: u64) {
        if n > self.read() {
            self.0.store(n, Relaxed);
        }
    }

    /// Sets it; for clearing statistics.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

/// A number that goes up and down, with its greatest value. Shared by all workers.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicU32,
    max: AtomicU32,
}

impl Gauge {
    /// Adds one; gives the new value.
    #[inline]
    pub fn enter(&self) -> u32 {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
        now
    }

    /// Takes one away. Each `leave` belongs to one `enter`.
    #[inline]
    pub fn leave(&self) {
        let before = self.now.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "leave without enter");
    }

    /// Adds one unless that would pass `limit`; false when full.
    #[inline]
    pub fn try_enter(&self, limit: u32) -> bool {
        let entered = self.now.fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1));
        if let Ok(before) = entered {
            self.max.fetch_max(before + 1, Relaxed);
        }
        entered.is_ok()
    }

    /// The present value.
    #[inline]
    pub fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// The greatest value so far.
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// Forgets the greatest value.
    pub fn clear_max(&self) {
        self.max.store(self.now(), Relaxed);
    }
}

/// On its own cache lines, so that workers do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

/// What one worker counts for a site (a HAProxy FRONTEND row).
#[derive(Debug, Default)]
pub struct SiteCell {
    /// Connections accepted.
    pub connections: Counter,
    /// Sessions: connections that passed the connection rules.
    pub sessions: Counter,
    /// HTTP requests received.
    pub requests: Counter,
    /// Bytes from clients.
    pub bytes_in: Counter,
    /// Bytes to clients.
    pub bytes_out: Counter,
    /// Requests denied by rules.
    pub denied_requests: Counter,
    /// Responses denied by rules.
    pub denied_responses: Counter,
    /// Connections denied by rules.
    pub denied_connections: Counter,
    /// Sessions denied by rules.
    pub denied_sessions: Counter,
    /// Invalid or aborted requests.
    pub request_errors: Counter,
    /// Requests that we answered ourselves.
    pub intercepted: Counter,
    /// Responses by class: 1xx … 5xx, other.
    pub responses: [Counter; 6],
    /// Compression of answers: bytes in, bytes out, bytes that passed for lack of time, answers.
    pub compression: [Counter; 4],
    /// Header edits that failed.
    pub failed_rewrites: Counter,
    /// Our own faults.
    pub internal_errors: Counter,
}

/// What one worker counts for a server or a pool (a HAProxy server or BACKEND row).
#[derive(Debug, Default)]
pub struct FlowCell {
    /// Requests (HTTP) or connections (TCP) sent here.
    pub sessions: Counter,
    /// HTTP requests.
    pub requests: Counter,
    /// Times it was chosen by balancing (not by persistence).
    pub balanced: Counter,
    /// Connections opened or tried.
    pub connects: Counter,
    /// Requests on a connection that was used before.
    pub reuses: Counter,
    /// Bytes from clients.
    pub bytes_in: Counter,
    /// Bytes to clients.
    pub bytes_out: Counter,
    /// Requests denied by rules.
    pub denied_requests: Counter,
    /// Responses denied by rules.
    pub denied_responses: Counter,
    /// Failed connections.
    pub connect_errors: Counter,
    /// Failed responses.
    pub response_errors: Counter,
    /// Retries.
    pub retries: Counter,
    /// Changes to another server after a failure.
    pub redispatches: Counter,
    /// Transfers ended by the client.
    pub client_aborts: Counter,
    /// Transfers ended by the server.
    pub server_aborts: Counter,
    /// Responses by class: 1xx … 5xx, other.
    pub responses: [Counter; 6],
    /// Compression of answers: bytes in, bytes out, bytes that passed for lack of time, answers.
    pub compression: [Counter; 4],
    /// Header edits that failed.
    pub failed_rewrites: Counter,
    /// Our own faults.
    pub internal_errors: Counter,
    /// Idle connections kept, as of the last second; not a sum over time.
    pub idle: Counter,
    /// Unix milliseconds of the last request, 0 = never.
    pub last_session_ms: Counter,
    /// Time in queues.
    pub queue_time: Timing,
    /// Time to connect.
    pub connect_time: Timing,
    /// Time until the response head.
    pub response_time: Timing,
    /// Whole time.
    pub total_time: Timing,
}

/// Average over about the last 1024 values, and the greatest. Milliseconds.
#[derive(Debug, Default)]
pub struct Timing {
    /// Sliding sum over `WINDOW` values.
    sum: Counter,
    seen: Counter,
    max: Counter,
}

impl Timing {
    const WINDOW: u64 = 1024;

    /// Takes in one value. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, ms: u64) {
        let sum = self.sum.read();
        let seen = self.seen.read();
        self.sum.set(if seen < Self::WINDOW { sum + ms } else { sum - sum / Self::WINDOW + ms });
        self.seen.set(seen + 1);
        self.max.raise(ms);
    }

    fn weighted(&self) -> (u64, u64) {
        (self.sum.read(), self.seen.read().min(Self::WINDOW))
    }
}

/// Counters of a site.
#[derive(Debug)]
pub struct SiteStats {
    /// Connections at once.
    pub current: Gauge,
    /// By worker.
    pub workers: Box<[Padded<SiteCell>]>,
    /// Failures by cause.
    pub causes: Causes,
}

/// Counters of a server or a pool.
#[derive(Debug)]
pub struct FlowStats {
    /// Requests (HTTP) or connections (TCP) at once.
    pub current: Gauge,
    /// Requests waiting.
    pub queue: Gauge,
    /// By worker.
    pub workers: Box<[Padded<FlowCell>]>,
    /// Failures by cause.
    pub causes: Causes,
}

/// Failures by cause. Rare, so shared.
#[derive(Debug)]
pub struct Causes([AtomicU64; Cause::COUNT]);

impl Causes {
    /// Counts one.
    pub fn count(&self, cause: Cause) {
        self.0[cause.index()].fetch_add(1, Relaxed);
    }

    /// How often so far.
    pub fn read(&self, cause: Cause) -> u64 {
        self.0[cause.index()].load(Relaxed)
    }
}

impl Default for Causes {
    fn default() -> Causes {
        Causes(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl SiteStats {
    /// Zeroed counters for so many workers.
    pub fn new(workers: usize) -> SiteStats {
        SiteStats { current: Gauge::default(), workers: cells(workers), causes: Causes::default() }
    }

    /// The cell of worker `index`; only that worker writes to it.
    #[inline]
    pub fn at(&self, index: usize) -> &SiteCell {
        &self.workers[index].0
    }

    /// Sum of a counter over the workers.
    pub fn sum(&self, counter: impl Fn(&SiteCell) -> &Counter) -> u64 {
        self.workers.iter().map(|w| counter(&w.0).read()).sum()
    }
}

impl FlowStats {
    /// Zeroed counters for so many workers.
    pub fn new(workers: usize) -> FlowStats {
        FlowStats {
            current: Gauge::default(),
            queue: Gauge::default(),
            workers: cells(workers),
            causes: Causes::default(),
        }
    }

    /// The cell of worker `index`; only that worker writes to it.
    #[inline]
    pub fn at(&self, index: usize) -> &FlowCell {
        &self.workers[index].0
    }

    /// Sum of a counter over the workers.
    pub fn sum(&self, counter: impl Fn(&FlowCell) -> &Counter) -> u64 {
        self.workers.iter().map(|w| counter(&w.0).read()).sum()
    }

    /// Greatest value of a counter over the workers.
    pub fn greatest(&self, counter: impl Fn(&FlowCell) -> &Counter) -> u64 {
        self.workers.iter().map(|w| counter(&w.0).read()).max().unwrap_or(0)
    }

    /// Average of a time over the workers' last values, milliseconds.
    pub fn average_ms(&self, timing: impl Fn(&FlowCell) -> &Timing) -> u64 {
        let (sum, seen) =
            self.workers.iter().map(|w| timing(&w.0).weighted()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        sum.checked_div(seen).unwrap_or(0)
    }

    /// Greatest time so far, milliseconds.
    pub fn max_ms(&self, timing: impl Fn(&FlowCell) -> &Timing) -> u64 {
        self.workers.iter().map(|w| timing(&w.0).max.read()).max().unwrap_or(0)
    }
}

impl SiteCell {
    fn counters(&self) -> impl Iterator<Item = &Counter> {
        [
            &self.connections,
            &self.sessions,
            &self.requests,
            &self.bytes_in,
            &self.bytes_out,
            &self.denied_requests,
            &self.denied_responses,
            &self.denied_connections,
            &self.denied_sessions,
            &self.request_errors,
            &self.intercepted,
            &self.failed_rewrites,
            &self.internal_errors,
        ]
        .into_iter()
        .chain(&self.responses)
        .chain(&self.compression)
    }
}

impl FlowCell {
    fn counters(&self) -> impl Iterator<Item = &Counter> {
        [
            &self.sessions,
            &self.requests,
            &self.balanced,
            &self.connects,
            &self.reuses,
            &self.bytes_in,
            &self.bytes_out,
            &self.denied_requests,
            &self.denied_responses,
            &self.connect_errors,
            &self.response_errors,
            &self.retries,
            &self.redispatches,
            &self.client_aborts,
            &self.server_aborts,
            &self.failed_rewrites,
            &self.internal_errors,
        ]
        .into_iter()
        .chain(&self.responses)
        .chain(&self.compression)
    }

    fn timings(&self) -> [&Timing; 4] {
        [&self.queue_time, &self.connect_time, &self.response_time, &self.total_time]
    }
}

impl SiteStats {
    /// Forgets the greatest value, or with `all` every counter. A worker that counts at this very moment
    /// may keep one of its old sums.
    pub fn clear(&self, all: bool) {
        self.current.clear_max();
        if all {
            self.workers.iter().flat_map(|w| w.0.counters()).for_each(|counter| counter.set(0));
        }
    }
}

impl FlowStats {
    /// As [`SiteStats::clear`].
    pub fn clear(&self, all: bool) {
        self.current.clear_max();
        self.queue.clear_max();
        let cells = || self.workers.iter().map(|w| &w.0);
        cells().flat_map(FlowCell::timings).for_each(|timing| timing.max.set(0));
        if all {
            cells().flat_map(FlowCell::counters).for_each(|counter| counter.set(0));
        }
    }
}

fn cells<T: Default>(workers: usize) -> Box<[Padded<T>]> {
    (0..workers.max(1)).map(|_| Padded::default()).collect()
}

/// Index into `responses` for a status.
#[inline]
pub fn class(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100) - 1,
        _ => 5,
    }
}
