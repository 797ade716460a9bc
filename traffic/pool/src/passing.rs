//! Pools made while requests come, for addresses that only a request knows.

use crate::instances::Instance;
use crate::observer::NoObserver;
use crate::pool::Pool;
use parking_lot::Mutex;
use plan::{Mode, Place, ServerAddress};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Pools kept at most; the one that was not asked for longest goes first.
const MAX_POOLS: usize = 1024;

/// Pools by the name that requests gave and the addresses it led to. Turns live as long as the pool is kept.
#[derive(Default)]
pub struct Passing(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    pools: HashMap<String, (u64, Arc<Pool>)>,
    asked: u64,
}

impl Passing {
    /// The pool for `name` with these addresses, at least one. `workers`: how many there are.
    pub fn pool(&self, name: &str, addresses: &[SocketAddr], mode: Mode, workers: usize) -> Arc<Pool> {
        let mut kept = self.0.lock();
        kept.asked += 1;
        let asked = kept.asked;
        if let Some((last, pool)) = kept.pools.get_mut(name) {
            *last = asked;
            let pool = Arc::clone(pool);
            drop(kept);
            follow(&pool, name, addresses);
            return pool;
        }
        if kept.pools.len() >= MAX_POOLS
            && let Some(oldest) = kept.pools.iter().min_by_key(|(_, (last, _))| *last)
        {
            let oldest = oldest.0.clone();
            kept.pools.remove(&oldest);
        }
        let pool = Arc::new(build(name, mode, workers));
        follow(&pool, name, addresses);
        kept.pools.insert(name.to_owned(), (asked, Arc::clone(&pool)));
        pool
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passing({} pools)", self.0.lock().pools.len())
    }
}

/// Names of servers are taken from the first address, so that one name with several becomes several servers.
fn build(name: &str, mode: Mode, workers: usize) -> Pool {
    let address = ServerAddress::Name(name.to_owned(), 0);
    let mut plan = plan::smooth::passing_pool(&Place::none(), name, address, mode);
    // Each request finds its servers anew: none sits out because it failed another request.
    for said in plan.servers.iter_mut().filter_map(|server| server.smooth.as_mut()) {
        said.max_fails = 0;
    }
    Pool::build(&plan, workers, None, &|_| None, Arc::new(NoObserver))
}

fn follow(pool: &Pool, name: &str, addresses: &[SocketAddr]) {
    let mut wanted: Vec<SocketAddr> = addresses.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let known: Vec<SocketAddr> = pool.instances(name).iter().map(|instance| instance.address).collect();
    if known != wanted {
        let wanted: Vec<Instance> = wanted.into_iter().map(Instance::from).collect();
        pool.follow_name(name, &wanted);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pool::{Admission, Ask};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_keeps_its_pool() {
        let passing = Passing::default();
        let first = passing.pool("a:80", &[address("10.0.0.1:80")], Mode::Http, 1);
        let again = passing.pool("a:80", &[address("10.0.0.2:80"), address("10.0.0.1:80")], Mode::Http, 1);
        assert!(Arc::ptr_eq(&first, &again));
        let next = || match again.admit(&Ask::default()) {
            Admission::Served(slot) => slot.server().address().to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!([next(), next(), next()], ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"]);
    }

    #[test]
    fn pools_do_not_fill_the_memory() {
        let passing = Passing::default();
        for n in 0..MAX_POOLS + 5 {
            passing.pool(&format!("n{n}"), &[address("10.0.0.1:80")], Mode::Http, 1);
        }
        assert_eq!(format!("{passing:?}"), format!("Passing({MAX_POOLS} pools)"));
    }
}
