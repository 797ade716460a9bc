//! Limits of requests per time and of connections at once, counted by a key (nginx `limit_req`, `limit_conn`).
//!
//! A zone counts and outlives reloads; a place in the configuration (a location, a TCP site) names the zones
//! that it obeys. Rates and excesses are in thousandths of a request, so that slow rates need no fractions.

use crate::place::Place;
use crate::rule::Template;
use crate::{Draft, Problem, Severity};

/// Counts requests by a key, as a bucket that leaks at a rate.
#[derive(Clone, Debug)]
pub struct RateZone {
    /// Name.
    pub name: Box<str>,
    /// Where it was said.
    pub place: Place,
    /// What is counted.
    pub key: ZoneKey,
    /// Thousandths of a request that leak each second, at least 1.
    pub rate: u32,
}

/// Counts by a key what is in progress at this moment.
#[derive(Clone, Debug)]
pub struct ConnectionZone {
    /// Name.
    pub name: Box<str>,
    /// Where it was said.
    pub place: Place,
    /// What is counted.
    pub key: ZoneKey,
}

/// The key of a zone, and the memory for its keys.
#[derive(Clone, Debug)]
pub struct ZoneKey {
    /// The key; a request whose key is empty is not counted.
    pub template: Template,
    /// The key as it was written: while it and the size stay the same, a reload keeps what was counted.
    pub said: Box<str>,
    /// Memory, bytes.
    pub size: u64,
}

/// What requests obey in one place.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Rates, in order.
    pub requests: Vec<RequestLimit>,
    /// What happens to requests that are too many.
    pub on_request: Refusal,
    /// Numbers at once, in order.
    pub connections: Vec<ConnectionLimit>,
    /// What happens to requests that are too many at once.
    pub on_connection: Refusal,
}

/// A rate to keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimit {
    /// Name of a [`RateZone`].
    pub zone: Box<str>,
    /// Where it was said.
    pub place: Place,
    /// Above this excess a request is refused; thousandths.
    pub burst: u64,
    /// Up to this excess a request goes on at once; thousandths, `u64::MAX` = nothing is delayed.
    pub delay: u64,
}

/// A number at once to keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// Name of a [`ConnectionZone`].
    pub zone: Box<str>,
    /// Where it was said.
    pub place: Place,
    /// As many may be in progress.
    pub most: u32,
}

/// What happens to what is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer (HTTP).
    pub status: u16,
    /// Level of the line about it.
    pub level: Severity,
    /// Only say what would happen.
    pub dry_run: bool,
}

impl Default for Refusal {
    fn default() -> Refusal {
        Refusal { status: 503, level: Severity::Error, dry_run: false }
    }
}

impl Refusal {
    /// Level of a line about a delay: one less than that of a refusal, `info` at the least.
    pub fn delay_level(&self) -> Severity {
        match self.level {
            Severity::Error => Severity::Warning,
            Severity::Warning => Severity::Notice,
            _ => Severity::Info,
        }
    }
}

impl Limits {
    /// True when nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.connections.is_empty()
    }
}

/// What became of a request at limits, for `$limit_req_status` and `$limit_conn_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitStatus {
    /// Within the limits.
    Passed,
    /// Had to wait.
    Delayed,
    /// Was refused.
    Rejected,
    /// Would have had to wait.
    DelayedDryRun,
    /// Would have been refused.
    RejectedDryRun,
}

impl LimitStatus {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            LimitStatus::Passed => "PASSED",
            LimitStatus::Delayed => "DELAYED",
            LimitStatus::Rejected => "REJECTED",
            LimitStatus::DelayedDryRun => "DELAYED_DRY_RUN",
            LimitStatus::RejectedDryRun => "REJECTED_DRY_RUN",
        }
    }
}

impl Draft {
    /// Problems of limits that name zones which are not there.
    pub fn unknown_zones(&self, limits: &Limits) -> Vec<Problem> {
        let rates = |name: &str| self.rate_zones.iter().any(|zone| &*zone.name == name);
        let counts = |name: &str| self.connection_zones.iter().any(|zone| &*zone.name == name);
        let requests = limits.requests.iter().map(|limit| (&limit.zone, &limit.place, rates(&limit.zone)));
        let connections =
            limits.connections.iter().map(|limit| (&limit.zone, &limit.place, counts(&limit.zone)));
        requests
            .chain(connections)
            .filter(|(_, _, known)| !known)
            .map(|(name, place, _)| {
                Problem::new(place.clone(), format!("there is no zone '{name}' to count in"))
                    .hint("define it once, where zones are defined, with a key and a size")
            })
            .collect()
    }
}
