//! Hears what happens at servers: passes it to the checks, and wakes requests that wait for a lost server.

use crate::worker::Command;
use parking_lot::{Mutex, RwLock};
use pool::{AdminState, Change, Observer, Outcome, Server};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Hears what happens at servers.
#[derive(Default)]
pub(crate) struct Watcher {
    workers: RwLock<Vec<UnboundedSender<Command>>>,
    next: Mutex<Option<Arc<dyn Observer>>>,
}

impl Watcher {
    /// These workers are told.
    pub fn set_workers(&self, workers: Vec<UnboundedSender<Command>>) {
        *self.workers.write() = workers;
    }

    /// This one hears everything too: the checks.
    pub fn set_next(&self, next: Arc<dyn Observer>) {
        *self.next.lock() = Some(next);
    }

    fn next(&self) -> Option<Arc<dyn Observer>> {
        self.next.lock().clone()
    }
}

impl Observer for Watcher {
    fn outcome(&self, server: &Server, outcome: Outcome) {
        if let Some(next) = self.next() {
            next.outcome(server, outcome);
        }
    }

    fn changed(&self, server: &Server, change: Change) {
        if let Some(next) = self.next() {
            next.changed(server, change);
        }
        let lost = matches!(
            change,
            Change::Down | Change::AgentDown | Change::Suspect(true) | Change::Admin(AdminState::Maintenance)
        );
        if lost {
            for worker in &*self.workers.read() {
                let _ = worker.send(Command::Look(server.uid));
            }
        }
    }
}
