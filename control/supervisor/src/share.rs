//! Peers: which tables are shared with whom, and the tasks that do it, on the control thread.

use crate::cycle::{Cycle, Opened};
use crate::process::{hostname, say};
use parking_lot::Mutex;
use plan::{Bind, BindAddress, Plan};
use std::collections::HashMap;
use std::sync::Arc;
use tables::journal::Journal;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};

/// What wakes the groups when a table changes: by name, so that it outlives reloads like the tables.
#[derive(Default)]
pub(crate) struct Wakes(Mutex<HashMap<String, Arc<Notify>>>);

impl Wakes {
    /// What wakes the group of that name.
    pub fn of(&self, group: &str) -> Arc<Notify> {
        Arc::clone(self.0.lock().entry(group.to_owned()).or_default())
    }

    /// The journal of a table; none unless it is shared with others.
    pub fn journal(&self, plan: &Plan, table: &plan::Table) -> Option<Journal> {
        let local = local_name(plan);
        let group = plan.peers.iter().find(|group| Some(&group.name) == table.peers.as_ref())?;
        if group.disabled || group.others(&local).is_empty() {
            return None;
        }
        let wake = self.of(&group.name);
        Some(Journal::new(move || wake.notify_waiters()))
    }
}

/// Our name among peers: said on the command line, in the file, or the machine's.
pub(crate) fn local_name(plan: &Plan) -> String {
    plan.local_peer.clone().unwrap_or_else(hostname)
}

/// Sockets that a plan needs for its peers.
pub(crate) fn binds(plan: &Plan) -> Vec<(String, Bind)> {
    let local = local_name(plan);
    let groups = plan.peers.iter().filter(|group| !group.disabled);
    groups.flat_map(|group| group.listeners(&local).into_iter().map(|b| (group.name.clone(), b))).collect()
}

/// The running groups.
#[derive(Default)]
pub(crate) struct Shares {
    tasks: Vec<AbortHandle>,
    sockets: HashMap<BindAddress, Arc<listener::Socket>>,
}

impl Shares {
    /// Ends the groups of before and starts those of the cycle; sockets that are needed further stay open.
    pub fn follow(&mut self, cycle: &Cycle, wakes: &Wakes, opened: &Opened) {
        self.tasks.drain(..).for_each(|task| task.abort());
        let before = std::mem::take(&mut self.sockets);
        let local = local_name(&cycle.plan);
        for group in cycle.plan.peers.iter().filter(|group| !group.disabled) {
            if !group.peers.is_empty() && group.peers.iter().all(|peer| peer.name != local) {
                say(&format!(
                    "peers '{}': none of them is '{local}', so its tables are shared with nobody",
                    group.name
                ));
                continue;
            }
            let mut listeners = Vec::new();
            for bind in group.listeners(&local) {
                let known = before.get(&bind.address).or_else(|| opened.get(&bind.address)).cloned();
                match known.map_or_else(|| listener::bind(&bind, &group.name).map(Arc::new), Ok) {
                    Ok(socket) => {
                        listeners.extend(listening(&socket));
                        self.sockets.insert(bind.address, socket);
                    }
                    Err(error) => say(&error.to_string()),
                }
            }
            let is_shared = |table: &&Arc<tables::Table>| table.plan.peers.as_ref() == Some(&group.name);
            let running = peers::Group {
                local: local.clone(),
                others: group.others(&local),
                tables: cycle.tables.all().iter().filter(is_shared).cloned().collect(),
                wake: wakes.of(&group.name),
                clock: cycle.tables.clock(),
            };
            self.tasks.push(spawn_local(peers::serve(running, listeners)).abort_handle());
        }
    }
}

fn listening(socket: &listener::Socket) -> Option<TcpListener> {
    let fd = socket.duplicate().ok()?;
    TcpListener::from_std(std::net::TcpListener::from(fd)).ok()
}
