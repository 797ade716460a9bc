//! Hears what happens at servers: passes it to the checks, and wakes requests that wait for a lost server.

use crate::worker::Command;
use parking_lot::RwLock;
use pool::{AdminState, Change, Observer, Outcome, Server};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::UnboundedSender;

/// Hears what happens at servers.
#[derive(Default)]
pub(crate) struct Watcher {
    workers: RwLock<Vec<UnboundedSender<Command>>>,
    next: OnceLock<Arc<dyn Observer>>,
}

impl Watcher {
    /// These workers are told.
    pub fn set_workers(&self, workers: Vec<UnboundedSender<Command>>) {
        *self.workers.write() = workers;
    }

    /// This one hears everything too: the checks.
    pub fn set_next(&self, next: Arc<dyn Observer>) {
        let _ = self.next.set(next);
    }
}

impl Observer for Watcher {
    fn outcome(&self, server: &Server, outcome: Outcome) {
        if let Some(next) = self.next.get() {
            next.outcome(server, outcome);
        }
    }

    fn changed(&self, server: &Server, change: Change) {
        if let Some(next) = self.next.get() {
            next.changed(server, change);
        }
        let lost = matches!(
            change,
            Change::Down
                | Change::AgentDown
                | Change::Suspect(true)
                | Change::Admin(AdminState::Maintenance)
                | Change::Cut
        );
        if lost {
            for worker in &*self.workers.read() {
                let _ = worker.send(Command::Look(server.uid));
            }
        }
    }
}
