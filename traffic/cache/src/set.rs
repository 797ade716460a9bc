//! All caches of a configuration by name, over reloads.

use crate::zone::Zone;
use plan::cache::{CacheStore, CacheZone};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Caches by name.
#[derive(Debug, Default)]
pub struct Caches {
    by_name: HashMap<Box<str>, Arc<Zone>>,
}

impl Caches {
    /// The caches of a plan; one that stays as it was goes on with what it has.
    ///
    /// # Errors
    /// A directory cannot be made: which one, and why.
    pub fn build(plans: &[CacheZone], previous: Option<&Caches>) -> Result<Caches, String> {
        let zone = |plan: &CacheZone| {
            let before = previous.and_then(|caches| caches.by_name.get(&plan.name));
            let zone = match before.filter(|before| is_same(&before.plan, plan)) {
                Some(before) => Arc::clone(before),
                None => Arc::new(Zone::new(plan.clone()).map_err(|error| problem(plan, &error))?),
            };
            Ok((plan.name.clone(), zone))
        };
        Ok(Caches { by_name: plans.iter().map(zone).collect::<Result<_, String>>()? })
    }

    /// A cache by name.
    pub fn get(&self, name: &str) -> Option<&Arc<Zone>> {
        self.by_name.get(name)
    }

    /// All, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.by_name.values()
    }
}

fn is_same(before: &CacheZone, now: &CacheZone) -> bool {
    let placeless = CacheZone { place: before.place.clone(), ..now.clone() };
    *before == placeless
}

fn problem(plan: &CacheZone, error: &io::Error) -> String {
    match &plan.store {
        CacheStore::Disk { path, .. } => {
            format!(
                "{}: make the directory of the cache '{}', {}: {error}",
                plan.place,
                plan.name,
                path.display()
            )
        }
        CacheStore::Memory => format!("{}: make the cache '{}': {error}", plan.place, plan.name),
    }
}
