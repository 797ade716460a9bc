//! Takes in what lies on disk at the start, and removes what is unused or too much. Done in turns by a thread of the
//! supervisor.

use crate::disk::Listed;
use crate::zone::Zone;
use plan::cache::CacheStore;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

/// Longest pause between two looks at what is unused.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Looks after one cache.
#[derive(Debug)]
pub struct Keeper {
    zone: Arc<Zone>,
    /// Directories to look into yet, with their depth; `None` when all is taken in.
    load: Option<Load>,
}

#[derive(Debug, Default)]
struct Load {
    directories: Vec<(PathBuf, usize)>,
    files: Vec<(crate::Key, u64)>,
}

impl Keeper {
    /// A keeper that begins with what is on disk.
    pub fn new(zone: Arc<Zone>) -> Keeper {
        let root = zone.directory.as_ref().map(|directory| directory.root().to_owned());
        let load = root.filter(|_| zone.cold.load(Relaxed));
        let load = load.map(|root| Load { directories: vec![(root, 0)], files: Vec::new() });
        Keeper { zone, load }
    }

    /// True while what is on disk is not all known.
    pub fn is_loading(&self) -> bool {
        self.load.is_some()
    }

    /// One turn of what is due; how long to wait for the next. `now` in milliseconds since 1970.
    pub fn turn(&mut self, now: u64) -> Duration {
        if self.load.is_some() {
            self.load_some(now);
            return self.zone.plan.loader.sleep;
        }
        self.remove_some(now)
    }

    fn load_some(&mut self, now: u64) {
        let (zone, turns) = (&self.zone, self.zone.plan.loader);
        let (Some(load), Some(directory)) = (&mut self.load, &zone.directory) else { return };
        let begun = Instant::now();
        for _ in 0..turns.files.max(1) {
            while load.files.is_empty() {
                let Some((path, depth)) = load.directories.pop() else {
                    zone.cold.store(false, Relaxed);
                    self.load = None;
                    return;
                };
                let files = &mut load.files;
                let below = directory.list(&path, depth, &mut |file| take(&file, files));
                load.directories.extend(below.into_iter().map(|path| (path, depth + 1)));
            }
            if let Some((key, size)) = load.files.pop() {
                zone.learn(&key, size, now);
            }
            if begun.elapsed() >= turns.threshold {
                return;
            }
        }
    }

    /// Removes what is unused, and the oldest while there is too much.
    fn remove_some(&self, now: u64) -> Duration {
        let turns = self.zone.plan.manager;
        let begun = Instant::now();
        for _ in 0..turns.files.max(1) {
            if !self.remove_one(now) {
                return LONGEST_PAUSE.min(self.zone.plan.inactive).max(turns.sleep);
            }
            if begun.elapsed() >= turns.threshold {
                break;
            }
        }
        turns.sleep
    }

    fn remove_one(&self, now: u64) -> bool {
        let expired = self.zone.shards().iter().find_map(|shard| shard.lock().expire(now));
        let gone = match expired {
            Some(gone) => Some(gone),
            None if self.is_too_much() => self.oldest(),
            None => None,
        };
        gone.map(|gone| self.zone.clear_away(&gone)).is_some()
    }

    fn is_too_much(&self) -> bool {
        let plan = &self.zone.plan;
        let too_large = plan.max_size.is_some_and(|most| self.zone.bytes() > most);
        let too_full = match (&plan.store, &self.zone.directory) {
            (CacheStore::Disk { min_free, .. }, Some(directory)) if *min_free > 0 => {
                directory.free().is_some_and(|free| free < *min_free)
            }
            _ => false,
        };
        too_large || too_full
    }

    /// Takes out the oldest of all shards.
    fn oldest(&self) -> Option<crate::index::Gone> {
        let age = |shard: &&parking_lot::Mutex<crate::index::Shard>| shard.lock().oldest_expiry();
        let shard = self.zone.shards().iter().filter(|s| age(s).is_some()).min_by_key(age)?;
        shard.lock().evict()
    }
}

fn take(file: &Listed, files: &mut Vec<(crate::Key, u64)>) {
    match file.key {
        Some(key) => files.push((key, file.size)),
        None if file.is_abandoned(SystemTime::now()) => {
            let _ = fs::remove_file(&file.path);
        }
        None => {}
    }
}
