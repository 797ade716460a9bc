//! Changes of a table in order, for peers: each entry stands once, at its last change.

use crate::table::Entry;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Entries that changed, by the number of their last change.
pub struct Journal {
    changes: Mutex<Changes>,
    /// Told after every change.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Changes {
    last: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
}

impl Journal {
    /// An empty journal; `wake` is called after every change and must be quick.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Journal {
        Journal { changes: Mutex::default(), wake: Box::new(wake) }
    }

    /// An entry changed.
    pub(crate) fn note(&self, entry: &Arc<Entry>) {
        {
            let mut changes = self.changes.lock();
            changes.last += 1;
            let number = changes.last;
            let before = entry.change.swap(number, Relaxed);
            changes.entries.remove(&before);
            changes.entries.insert(number, Arc::clone(entry));
        }
        (self.wake)();
    }

    /// An entry is gone.
    pub(crate) fn forget(&self, entry: &Entry) {
        let mut changes = self.changes.lock();
        let before = entry.change.swap(0, Relaxed);
        changes.entries.remove(&before);
    }

    /// The number of the last change.
    pub fn last(&self) -> u64 {
        self.changes.lock().last
    }

    /// Up to `most` changes behind number `after`, in order.
    pub fn after(&self, after: u64, most: usize) -> Vec<(u64, Arc<Entry>)> {
        let changes = self.changes.lock();
        let behind = changes.entries.range(after + 1..);
        behind.take(most).map(|(number, entry)| (*number, Arc::clone(entry))).collect()
    }
}
