//! When to ask a group of name servers what, and what is known from their answers. Pure: replies and the time in,
//! questions out.
//!
//! ```text
//!            ┌──────────────── rest over ─────────────────┐
//!            ▼                                            │
//!   Asking(try 1) ──silent, or all failed──► Asking(try n) ──last try──► Resting (failure)
//!            │                                            ▲
//!            ├── all failed: the other family at once ────┘
//!            └── good answer ───────────────────────────────────────► Resting (valid)
//! ```

use crate::message::{Reply, Service, Wanted};
use plan::resolver::{Family, Resolvers};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Questions in the air at once for one group; the others wait for their turn.
const MAX_ASKING: usize = 128;

/// What is to be known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Query {
    /// In lower case, without a dot at the end.
    pub name: String,
    /// Addresses, or instances of a service.
    pub kind: Kind,
}

/// What kind of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Addresses; this family first, the other when there is none.
    Host(Family),
    /// Instances of a service.
    Service,
}

impl Query {
    /// A name as configured.
    pub fn new(name: &str, kind: Kind) -> Query {
        Query { name: name.trim_end_matches('.').to_ascii_lowercase(), kind }
    }

    fn wanted(&self, other_family: bool) -> Wanted {
        let of = |family| if family == Family::V4 { Wanted::A } else { Wanted::Aaaa };
        match self.kind {
            Kind::Service => Wanted::Srv,
            Kind::Host(family) => of(if other_family { family.other() } else { family }),
        }
    }
}

/// Ask all name servers of the group this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub query: Query,
    /// To be given back with the replies.
    pub attempt: u64,
    pub wanted: Wanted,
}

/// How the last question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not yet.
    Unknown,
    Valid,
    /// No such name.
    Missing,
    /// Nobody answered.
    Silent,
    Refused,
    Other,
}

/// What is to be made of a query just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'m> {
    /// This is known.
    Known(&'m Known),
    /// Nothing new: what was made of it before stays.
    Kept,
    /// It failed for longer than is tolerated.
    Lost(Status),
}

/// What is known of a query, with the time it was last heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub hosts: Vec<(IpAddr, Duration)>,
    pub services: Vec<(Service, Duration)>,
}

/// One group of name servers.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: Resolvers,
    states: BTreeMap<Query, State>,
    attempts: u64,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    status: Status,
    /// Last good answer, or when it all began.
    valid_at: Duration,
    known: Known,
}

#[derive(Debug)]
enum Phase {
    Resting { until: Duration },
    Asking(Asking),
}

#[derive(Debug)]
struct Asking {
    attempt: u64,
    other_family: bool,
    tries_left: u32,
    deadline: Duration,
    /// Name servers that failed this attempt, by index.
    failed: BTreeSet<usize>,
    failure: Option<Status>,
    /// All failed: nothing to hear before the deadline.
    over: bool,
}

impl Machine {
    /// A group that knows nothing yet.
    pub fn new(settings: &Resolvers) -> Machine {
        Machine { settings: settings.clone(), states: BTreeMap::new(), attempts: 0 }
    }

    /// The same group with other times and name servers; questions in the air are asked anew.
    pub fn reconfigure(&mut self, now: Duration, settings: &Resolvers) {
        if self.settings == *settings {
            return;
        }
        self.settings = settings.clone();
        self.states.values_mut().for_each(|state| state.phase = Phase::Resting { until: now });
    }

    /// Just these queries are of interest; new ones are asked at once.
    pub fn follow(&mut self, now: Duration, queries: &BTreeSet<Query>) {
        self.states.retain(|query, _| queries.contains(query));
        for query in queries {
            let fresh = || State {
                phase: Phase::Resting { until: now },
                status: Status::Unknown,
                valid_at: now,
                known: Known::default(),
            };
            self.states.entry(query.clone()).or_insert_with(fresh);
        }
    }

    /// What is known of a query.
    pub fn standing(&self, now: Duration, query: &Query) -> Standing<'_> {
        let Some(state) = self.states.get(query) else { return Standing::Kept };
        let hold = &self.settings.hold;
        let hold = match state.status {
            Status::Unknown => return Standing::Kept,
            Status::Valid => return Standing::Known(&state.known),
            Status::Missing => Some(hold.missing),
            Status::Silent => hold.silent,
            Status::Refused => hold.refused,
            Status::Other => hold.other,
        };
        match hold {
            Some(hold) if now >= state.valid_at + hold => Standing::Lost(state.status),
            _ => Standing::Kept,
        }
    }

    /// The next moment at which [`due`](Machine::due) has something to do.
    pub fn next_at(&self) -> Option<Duration> {
        let asking = self.asking();
        let at = |state: &State| match &state.phase {
            Phase::Asking(asking) => Some(asking.deadline),
            Phase::Resting { until } => (asking < MAX_ASKING).then_some(*until),
        };
        self.states.values().filter_map(at).min()
    }

    /// The time has come for these questions.
    pub fn due(&mut self, now: Duration) -> Vec<Ask> {
        let mut asks = Vec::new();
        let mut room = MAX_ASKING.saturating_sub(self.asking());
        for (query, state) in &mut self.states {
            match &state.phase {
                Phase::Resting { until } if *until <= now && room > 0 => {
                    room -= 1;
                    let tries = self.settings.tries.max(1);
                    asks.push(state.ask(now, query, &mut self.attempts, &self.settings, tries, false));
                }
                Phase::Asking(asking) if asking.deadline <= now => {
                    let turn = asking.next(query, &self.settings, true);
                    asks.extend(state.go_on(now, query, &mut self.attempts, &self.settings, turn));
                }
                Phase::Resting { .. } | Phase::Asking(_) => {}
            }
        }
        asks
    }

    /// A name server of the group replied. Gives false when the reply came too late to matter.
    pub fn reply(
        &mut self,
        now: Duration,
        query: &Query,
        attempt: u64,
        server: usize,
        reply: Reply,
    ) -> (bool, Option<Ask>) {
        let Some(state) = self.states.get_mut(query) else { return (false, None) };
        let Phase::Asking(asking) = &mut state.phase else { return (false, None) };
        if asking.attempt != attempt {
            return (false, None);
        }
        let failure = match reply {
            Reply::Hosts(hosts) => {
                state.learn(now, &self.settings, |known| renew(&mut known.hosts, hosts, now, PartialEq::eq));
                return (true, None);
            }
            Reply::Services(services) => {
                let same = |a: &Service, b: &Service| a.target == b.target && a.port == b.port;
                state.learn(now, &self.settings, |known| renew(&mut known.services, services, now, same));
                return (true, None);
            }
            Reply::Empty | Reply::Missing => Status::Missing,
            Reply::Refused => Status::Refused,
            Reply::Failed => Status::Other,
        };
        asking.failed.insert(server);
        asking.failure = Some(failure);
        if asking.failed.len() < self.settings.servers.len() {
            return (true, None);
        }
        let turn = asking.next(query, &self.settings, false);
        (true, state.go_on(now, query, &mut self.attempts, &self.settings, turn))
    }

    /// Hosts of services that came without an address: they are to be asked for.
    pub fn hosts_wanted(&self) -> BTreeSet<String> {
        let services = self.states.values().flat_map(|state| &state.known.services);
        services.filter(|(s, _)| s.addresses.is_empty()).map(|(s, _)| s.target.clone()).collect()
    }

    fn asking(&self) -> usize {
        self.states.values().filter(|state| matches!(state.phase, Phase::Asking(_))).count()
    }
}

/// How it goes on after an attempt without a good answer.
#[derive(Clone, Copy)]
enum Turn {
    /// The other family, at once.
    OtherFamily { tries_left: u32 },
    /// The same question from the start.
    Again { tries_left: u32 },
    /// Later: only the deadline of this attempt begins the next try.
    Wait,
    /// Given up.
    Over(Status),
}

impl Asking {
    fn next(&self, query: &Query, settings: &Resolvers, deadline: bool) -> Turn {
        let failed = self.failure.is_some();
        let may_turn = matches!(query.kind, Kind::Host(_)) && failed && !self.other_family && !self.over;
        match self.tries_left {
            tries_left if may_turn => Turn::OtherFamily { tries_left },
            0 | 1 => Turn::Over(self.failure.unwrap_or(Status::Silent)),
            // A name that all name servers say is not there is not asked for again at once.
            _ if self.failure == Some(Status::Missing) && self.failed.len() >= settings.servers.len() => {
                Turn::Over(Status::Missing)
            }
            tries_left if deadline => Turn::Again { tries_left: tries_left - 1 },
            _ => Turn::Wait,
        }
    }
}

impl State {
    fn ask(
        &mut self,
        now: Duration,
        query: &Query,
        attempts: &mut u64,
        settings: &Resolvers,
        tries_left: u32,
        other_family: bool,
    ) -> Ask {
        *attempts += 1;
        self.phase = Phase::Asking(Asking {
            attempt: *attempts,
            other_family,
            tries_left,
            deadline: now + settings.patience,
            failed: BTreeSet::new(),
            failure: None,
            over: false,
        });
        Ask { query: query.clone(), attempt: *attempts, wanted: query.wanted(other_family) }
    }

    fn go_on(
        &mut self,
        now: Duration,
        query: &Query,
        attempts: &mut u64,
        settings: &Resolvers,
        turn: Turn,
    ) -> Option<Ask> {
        match turn {
            Turn::OtherFamily { tries_left } => {
                Some(self.ask(now, query, attempts, settings, tries_left, true))
            }
            Turn::Again { tries_left } => Some(self.ask(now, query, attempts, settings, tries_left, false)),
            Turn::Wait => {
                if let Phase::Asking(asking) = &mut self.phase {
                    asking.over = true;
                }
                None
            }
            Turn::Over(status) => {
                self.status = status;
                self.phase = Phase::Resting { until: now + settings.interval };
                None
            }
        }
    }

    fn learn(&mut self, now: Duration, settings: &Resolvers, take_in: impl FnOnce(&mut Known)) {
        take_in(&mut self.known);
        // What this answer holds was heard now; what it lacks goes when it has been missing for too long.
        let held = |heard: Duration| heard == now || now < heard + settings.hold.obsolete;
        self.known.hosts.retain(|(_, heard)| held(*heard));
        self.known.services.retain(|(_, heard)| held(*heard));
        self.status = Status::Valid;
        self.valid_at = now;
        self.phase = Phase::Resting { until: now + settings.interval };
    }
}

fn renew<T>(list: &mut Vec<(T, Duration)>, heard: Vec<T>, now: Duration, same: impl Fn(&T, &T) -> bool) {
    list.retain(|(old, _)| !heard.iter().any(|new| same(old, new)));
    list.extend(heard.into_iter().map(|new| (new, now)));
}

#[cfg(test)]
mod tests;
