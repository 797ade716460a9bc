//! Counters of the whole process: `show info`, the head of the statistics page, the process metrics.

use crate::counters::{Counter, Gauge, Padded};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one worker counts for the process.
#[derive(Debug, Default)]
pub struct ProcessCell {
    /// Client connections accepted.
    pub connections: Counter,
    /// Encrypted client connections accepted.
    pub encrypted_connections: Counter,
    /// Requests received.
    pub requests: Counter,
    /// Bytes from clients.
    pub bytes_in: Counter,
    /// Bytes to clients.
    pub bytes_out: Counter,
    /// Of these, bytes that were spliced inside the kernel.
    pub spliced_bytes_out: Counter,
    /// Lines that the log queue of this worker had no room for are counted there, see
    /// [`crate::sink::LogHub::dropped`]; this counts tasks of the worker that died.
    pub dead_tasks: Counter,
}

/// Counters of the whole process.
#[derive(Debug)]
pub struct ProcessStats {
    /// Client connections at once.
    pub current: Gauge,
    /// Encrypted client connections at once.
    pub current_encrypted: Gauge,
    /// By worker.
    pub workers: Box<[Padded<ProcessCell>]>,
    /// Start, Unix milliseconds.
    pub started_ms: u64,
    /// Requests so far, for `%rt` and unique ids.
    numbers: AtomicU64,
}

impl ProcessStats {
    /// Zeroed counters for so many workers, of a process that started at `started_ms` (Unix).
    pub fn new(workers: usize, started_ms: u64) -> ProcessStats {
        ProcessStats {
            current: Gauge::default(),
            current_encrypted: Gauge::default(),
            workers: (0..workers.max(1)).map(|_| Padded::default()).collect(),
            started_ms,
            numbers: AtomicU64::new(0),
        }
    }

    /// The cell of worker `index`; only that worker writes to it.
    #[inline]
    pub fn at(&self, index: usize) -> &ProcessCell {
        &self.workers[index].0
    }

    /// Sum of a counter over the workers.
    pub fn sum(&self, counter: impl Fn(&ProcessCell) -> &Counter) -> u64 {
        self.workers.iter().map(|w| counter(&w.0).read()).sum()
    }

    /// Takes so many request numbers; gives the first. Workers take some at a time.
    pub fn take_numbers(&self, count: u64) -> u64 {
        self.numbers.fetch_add(count, Relaxed)
    }

    /// Whole seconds since the start.
    pub fn uptime_s(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.started_ms) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_workers_and_counts_time() {
        let stats = ProcessStats::new(2, 10_000);
        stats.at(0).requests.add(3);
        stats.at(1).requests.add(4);
        assert_eq!(stats.sum(|c| &c.requests), 7);
        assert_eq!(stats.take_numbers(10), 0);
        assert_eq!(stats.take_numbers(1), 10);
        assert_eq!(stats.uptime_s(13_999), 3);
        assert_eq!(stats.uptime_s(0), 0);
    }
}
