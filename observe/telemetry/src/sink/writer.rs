//! The log thread: takes what is in the queues, every few milliseconds while there is something.

use super::header::{Dates, Route};
use super::made::MadeFiles;
use super::out::Out;
use super::{Batch, Command, Queue, Shared, local_offset_s};
use plan::log::LogAddress;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Time between two looks at the queues while there is something to do.
const ACTIVE_PAUSE: Duration = Duration::from_millis(5);
/// Looks without a line until the thread sleeps.
const IDLE_AFTER: u32 = 10;
/// Longest sleep; then the time zone is looked at.
const IDLE_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait per look for one datagram socket whose buffer is full.
const FULL_WAIT: Duration = Duration::from_millis(20);

/// The log thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    outs: HashMap<LogAddress, Out>,
    made: MadeFiles,
    routes: HashMap<u32, Route>,
    retired: Vec<u32>,
    flushes: Vec<Sender<()>>,
    stop: bool,
    spare: Batch,
    line: Vec<u8>,
    dates: Dates,
    zone_read: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Writer {
        Writer {
            shared,
            outs: HashMap::new(),
            made: MadeFiles::default(),
            routes: HashMap::new(),
            retired: Vec::new(),
            flushes: Vec::new(),
            stop: false,
            spare: Batch::default(),
            line: Vec::new(),
            dates: Dates::new(),
            zone_read: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        let mut quiet = 0;
        loop {
            self.refresh_zone();
            let busy = self.pass();
            if self.stop {
                return;
            }
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet < IDLE_AFTER {
                std::thread::park_timeout(ACTIVE_PAUSE);
            } else {
                self.sleep();
            }
        }
    }

    /// Sleeps until woken, unless a line came in the meantime.
    fn sleep(&self) {
        self.shared.asleep.store(true, SeqCst);
        let waiting = self.shared.queues.lock().iter().any(|q| !q.batch.lock().lines.is_empty());
        if !waiting && self.shared.commands.lock().list.iter().all(|c| matches!(c, Command::Retire(_))) {
            let pause = self.outs.values().filter_map(Out::pause).min().unwrap_or(IDLE_PAUSE);
            std::thread::park_timeout(pause.min(IDLE_PAUSE));
        }
        self.shared.asleep.store(false, SeqCst);
    }

    /// Takes what is in the queues and writes it; true when there was something or something is left.
    fn pass(&mut self) -> bool {
        self.take_commands();
        // What mid-pass commands add waits for the next pass: lines pushed before them may still be queued.
        let retired = std::mem::take(&mut self.retired);
        let flushes = std::mem::take(&mut self.flushes);
        self.dates.update(self.shared.zone.offset_s());
        let queues: Vec<Arc<Queue>> = self.shared.queues.lock().clone();
        let mut lines = 0;
        for queue in &queues {
            std::mem::swap(&mut *queue.batch.lock(), &mut self.spare);
            lines += self.spare.lines.len();
            self.write_spare();
        }
        drop(queues);
        self.drop_unused_queues();
        let send = if flushes.is_empty() { Out::flush } else { Out::finish };
        let lost: u64 = self.outs.values_mut().map(send).sum();
        self.count_lost(lost);
        let clear = self.outs.values().all(Out::is_clear);
        for id in retired {
            self.routes.remove(&id);
        }
        if clear {
            flushes.into_iter().for_each(|done| done.send(()).unwrap_or_default());
        } else {
            self.flushes.extend(flushes);
        }
        lines > 0 || !clear || !self.flushes.is_empty()
    }

    fn take_commands(&mut self) {
        let commands = std::mem::take(&mut self.shared.commands.lock().list);
        for command in commands {
            match command {
                Command::Open(address, mut out) => {
                    if let Some(before) = self.outs.remove(&address) {
                        out.inherit(before);
                    }
                    self.outs.insert(address, out);
                }
                Command::Route(id, route) => drop(self.routes.insert(id, route)),
                Command::Append(path, keep, line) => {
                    if !self.made.write(&path, keep, &line, Instant::now()) {
                        self.count_lost(1);
                    }
                }
                Command::Retire(id) => self.retired.push(id),
                Command::Flush(done) => self.flushes.push(done),
                Command::Stop => self.stop = true,
            }
        }
    }

    fn write_spare(&mut self) {
        let mut batch = std::mem::take(&mut self.spare);
        let mut lost = 0;
        let mut budget = FULL_WAIT;
        for entry in &batch.lines {
            let text = &batch.bytes[entry.start as usize..entry.end as usize];
            if !self.routes.contains_key(&entry.route) {
                self.take_commands(); // a route made after this pass began
            }
            let Some(route) = self.routes.get_mut(&entry.route) else { continue };
            for target in &mut route.targets {
                if !target.takes(entry.severity) {
                    continue;
                }
                self.line.clear();
                target.write(entry.severity, text, &self.dates, &mut self.line);
                let out = self.outs.get_mut(&target.address);
                lost += u64::from(!out.is_some_and(|out| out.take(&self.line, &mut budget)));
            }
        }
        self.count_lost(lost);
        batch.bytes.clear();
        batch.lines.clear();
        self.spare = batch;
    }

    fn count_lost(&self, lines: u64) {
        if lines > 0 {
            self.shared.dropped.fetch_add(lines, Relaxed);
        }
    }

    /// Queues whose `LogQueue` is gone and that are empty.
    fn drop_unused_queues(&self) {
        let mut queues = self.shared.queues.lock();
        queues.retain(|q| Arc::strong_count(q) > 1 || !q.batch.lock().lines.is_empty());
    }

    fn refresh_zone(&mut self) {
        if self.zone_read.elapsed() >= Duration::from_secs(1) {
            self.shared.zone.set(local_offset_s());
            self.zone_read = Instant::now();
        }
    }
}
