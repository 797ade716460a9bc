//! What reaches the checks from outside: outcomes of requests, changes of servers, words of operators, new pools.
//! Filled on any thread, emptied by `task`. Everything in it is bounded: sets by the number of servers, the one list
//! by [`OUTCOMES`].

use crate::machine::{Input, Job, PassiveError};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use plan::pool::{Observe, ObserveLayer};
use pool::{Change, Observer, Outcome, Pool, Server};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::Notify;

/// Most outcomes at observed servers that wait to be counted; more are dropped, there is plenty of evidence then.
pub const OUTCOMES: usize = 4096;

/// The inbox, and the observer that fills it.
#[derive(Default)]
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    /// Woken when there is mail, or the end.
    pub arrived: Notify,
    /// Observed servers, and whether they have errors that a good answer would clear.
    erring: ArcSwap<HashMap<u32, AtomicBool>>,
    disabled: Mutex<HashSet<(u32, Job)>>,
}

/// What came since the last look.
#[derive(Default)]
pub(crate) struct Mail {
    /// The pools to check from now on.
    pub pools: Option<Pools>,
    /// Servers about which something was changed.
    pub changed: HashSet<u32>,
    /// Suspect servers that answered.
    pub answered: HashSet<u32>,
    /// Servers that a request could not connect to.
    pub unreached: HashSet<u32>,
    /// Outcomes at observed servers, in order.
    pub outcomes: Vec<(u32, Input)>,
    /// Checks and agents to be enabled or disabled.
    pub switches: Vec<(u32, Job, bool)>,
    /// No more checks.
    pub stop: bool,
}

/// The pools of a cycle.
pub(crate) struct Pools {
    pub pools: Vec<Arc<Pool>>,
    pub spread_percent: u8,
    /// Name of this machine, for servers that are told how they are seen.
    pub node: String,
}

impl Inbox {
    /// Takes all there is.
    pub fn empty(&self) -> Mail {
        std::mem::take(&mut self.mail.lock())
    }

    /// Puts something in.
    pub fn put(&self, put: impl FnOnce(&mut Mail)) {
        put(&mut self.mail.lock());
        self.arrived.notify_one();
    }

    /// These servers are there now.
    pub fn follow(&self, pools: &[Arc<Pool>]) {
        let servers = || pools.iter().flat_map(|pool| pool.servers().to_vec());
        let observed = servers().filter(|s| s.plan.observe.is_some() && s.plan.check.is_some());
        self.erring.store(Arc::new(observed.map(|s| (s.uid, AtomicBool::new(true))).collect()));
        let known: HashSet<u32> = servers().map(|s| s.uid).collect();
        self.disabled.lock().retain(|(uid, _)| known.contains(uid));
    }

    /// Enables or disables; false when the server has no such check.
    pub fn switch(&self, server: &Server, job: Job, on: bool) -> bool {
        let exists = match job {
            Job::Check => server.plan.check.is_some(),
            Job::Agent => server.plan.agent.is_some(),
        };
        if exists {
            let key = (server.uid, job);
            let mut disabled = self.disabled.lock();
            let _ = if on { disabled.remove(&key) } else { disabled.insert(key) };
            drop(disabled);
            self.put(|mail| mail.switches.push((server.uid, job, on)));
        }
        exists
    }

    /// Whether such checks exist and are enabled.
    pub fn is_enabled(&self, server: &Server, job: Job) -> bool {
        let exists = match job {
            Job::Check => server.plan.check.is_some(),
            Job::Agent => server.plan.agent.is_some(),
        };
        exists && !self.disabled.lock().contains(&(server.uid, job))
    }

    fn good(&self, server: &Server) {
        if server.suspect() {
            self.put(|mail| {
                mail.answered.insert(server.uid);
            });
        }
        if server.plan.observe.is_some()
            && let Some(erring) = self.erring.load().get(&server.uid)
            && erring.load(Relaxed)
            && erring.swap(false, Relaxed)
        {
            self.outcome_counts(server.uid, Input::PassiveOk);
        }
    }

    fn bad(&self, server: &Server, error: PassiveError) {
        if let Some(observe) = server.plan.observe
            && let Some(erring) = self.erring.load().get(&server.uid)
            && counts(observe, error)
        {
            erring.store(true, Relaxed);
            return self.outcome_counts(server.uid, Input::PassiveError(error));
        }
        if error == PassiveError::Connect && server.plan.check.is_some() && server.is_up() {
            self.put(|mail| {
                mail.unreached.insert(server.uid);
            });
        }
    }

    fn outcome_counts(&self, uid: u32, input: Input) {
        self.put(|mail| {
            if mail.outcomes.len() < OUTCOMES {
                mail.outcomes.push((uid, input));
            }
        });
    }
}

impl Observer for Inbox {
    fn outcome(&self, server: &Server, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.good(server),
            // As HAProxy: 501 and 505 are about the request.
            Outcome::Status(status) if status < 500 || matches!(status, 501 | 505) => self.good(server),
            Outcome::Status(_) => {
                if server.suspect() {
                    // Not a good answer, but an answer: it does not hang.
                    self.put(|mail| {
                        mail.answered.insert(server.uid);
                    });
                }
                self.bad(server, PassiveError::Answer);
            }
            Outcome::BadAnswer => self.bad(server, PassiveError::Answer),
            Outcome::ConnectFailed => self.bad(server, PassiveError::Connect),
        }
    }

    fn changed(&self, server: &Server, _: Change) {
        // What changed is read from the server when the mail is opened: the last state counts, not the way there.
        self.put(|mail| {
            mail.changed.insert(server.uid);
        });
    }
}

fn counts(observe: Observe, error: PassiveError) -> bool {
    observe.layer == ObserveLayer::Http || error == PassiveError::Connect
}
