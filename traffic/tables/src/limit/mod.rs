//! Limits: requests per time and things in progress at once, by a key, over all workers (nginx `limit_req`,
//! `limit_conn`).
//!
//! | file | what |
//! |---|---|
//! | [`rate`] | a zone that counts requests as leaking buckets, the longest unused forgotten first |
//! | [`connections`] | a zone that counts what is in progress; a [`Held`] takes itself back |
//! | [`judge`] | what several limits say together about a request or connection, and the line about it |
//!
//! Web and stream ask [`Zones`]; the supervisor builds it for each cycle, and zones of the same name, key and
//! size go on counting over a reload. Zones are cut into shards with a small lock each; nothing here reads a
//! clock.

mod connections;
mod judge;
mod rate;

pub use connections::Held;
pub use judge::{Line, Ruling};
pub use rate::{Account, Verdict};

use plan::limit::ZoneKey;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Longest key of a rate, bytes; requests with longer ones are not counted.
pub const LONGEST_RATE_KEY: usize = 65_535;
/// Longest key of what is in progress, bytes.
pub const LONGEST_CONNECTION_KEY: usize = 255;

/// All zones of a configuration by name.
#[derive(Default)]
pub struct Zones {
    rates: HashMap<Box<str>, RateZone>,
    connections: HashMap<Box<str>, ConnectionZone>,
}

/// A zone of rates, as this configuration has it; what it counted is shared with the one before.
pub(crate) struct RateZone {
    plan: plan::RateZone,
    counts: Arc<rate::Rates>,
}

/// A zone of what is in progress.
pub(crate) struct ConnectionZone {
    plan: plan::ConnectionZone,
    counts: Arc<connections::Connections>,
}

impl Zones {
    /// The zones of a plan; what was counted before goes on when key and size are the same.
    pub fn build(
        rates: &[plan::RateZone],
        connections: &[plan::ConnectionZone],
        previous: Option<&Zones>,
    ) -> Zones {
        let rate = |zone: &plan::RateZone| {
            let before = previous.and_then(|zones| zones.rates.get(&zone.name));
            let kept = before.filter(|before| goes_on(&before.plan.key, &zone.key));
            let counts =
                kept.map_or_else(|| Arc::new(rate::Rates::new(zone.key.size)), |b| Arc::clone(&b.counts));
            (zone.name.clone(), RateZone { plan: zone.clone(), counts })
        };
        let connection = |zone: &plan::ConnectionZone| {
            let before = previous.and_then(|zones| zones.connections.get(&zone.name));
            let kept = before.filter(|before| goes_on(&before.plan.key, &zone.key));
            let counts = kept.map_or_else(
                || Arc::new(connections::Connections::new(zone.key.size)),
                |b| Arc::clone(&b.counts),
            );
            (zone.name.clone(), ConnectionZone { plan: zone.clone(), counts })
        };
        Zones {
            rates: rates.iter().map(rate).collect(),
            connections: connections.iter().map(connection).collect(),
        }
    }
}

fn goes_on(before: &ZoneKey, now: &ZoneKey) -> bool {
    before.said == now.said && before.size == now.size
}

/// Shards of a zone of so many bytes: small zones have one, so that all of their memory is everybody's.
fn shards(size: u64) -> usize {
    (size / (256 * 1024)).clamp(1, 16).next_power_of_two() as usize
}

/// The shard of a key among so many, a power of two.
fn shard_of(key: &[u8], count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as usize & (count - 1)
}

/// What an entry of so many bytes takes of a zone's memory: zones hold as many keys as nginx's, which gives out
/// powers of two.
fn cost(bytes: usize) -> u64 {
    match bytes {
        0..=2048 => bytes.next_power_of_two().max(8) as u64,
        more => more.next_multiple_of(4096) as u64,
    }
}

/// What is left of a zone's memory for entries.
fn room(size: u64) -> u64 {
    size.saturating_sub(4096 + size / 64)
}
