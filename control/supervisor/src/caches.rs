//! Caches of a cycle: their directories, made while there are rights to make them, and the thread that looks after them.

use crate::privileges::Identity;
use cache::{Caches, Keeper};
use plan::cache::CacheStore;
use plan::{Plan, Problem, Problems};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Makes the directories of caches, which belong to the user that the process becomes.
pub(crate) fn make_directories(plan: &Plan, identity: &Identity) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for zone in &plan.caches {
        let CacheStore::Disk { path, .. } = &zone.store else { continue };
        if path.is_dir() {
            continue;
        }
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| chown(path, identity.user(), identity.group()));
        if let Err(error) = made {
            let what = format!("make the directory {} of a cache: {error}", path.display());
            problems.push(Problem::new(zone.place.clone(), what));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The caches of a plan.
pub(crate) fn build(plan: &Plan, previous: Option<&Arc<Caches>>, problems: &mut Problems) -> Arc<Caches> {
    match Caches::build(&plan.caches, previous.map(|caches| &**caches)) {
        Ok(caches) => Arc::new(caches),
        Err(what) => {
            problems.push(Problem::new(plan::Place::none(), what));
            Arc::default()
        }
    }
}

/// The thread that takes in what lies on disk and removes what is unused. It ends when this is dropped, at the latest
/// after the turn at hand.
#[derive(Default)]
pub(crate) struct Caretaker {
    stop: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Caretaker {
    /// Looks after these caches; without any there is no thread.
    pub fn start(caches: &Caches) -> Caretaker {
        let keepers: Vec<Keeper> = caches.all().map(|zone| Keeper::new(Arc::clone(zone))).collect();
        if keepers.is_empty() {
            return Caretaker::default();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let started = std::thread::Builder::new().name("caches".into()).spawn(move || run(keepers, &seen));
        let thread = started.ok().map(|handle: JoinHandle<()>| handle.thread().clone());
        Caretaker { stop, thread }
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// Gives each keeper its turn when it is due.
fn run(keepers: Vec<Keeper>, stop: &AtomicBool) {
    let mut due: Vec<(Instant, Keeper)> =
        keepers.into_iter().map(|keeper| (Instant::now(), keeper)).collect();
    while !stop.load(Relaxed) {
        let now = Instant::now();
        for (at, keeper) in due.iter_mut().filter(|(at, _)| *at <= now) {
            *at = Instant::now() + keeper.turn(unix_ms());
        }
        let next = due.iter().map(|(at, _)| *at).min();
        let wait = next.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        std::thread::park_timeout(wait);
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
