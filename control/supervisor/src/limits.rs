//! Descriptor limit: raised as far as the system lets us, and checked against what the plan needs.

use plan::{Place, Plan, Problem};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not client or server connections: listeners, logs, checks, pipes.
const OTHERS: u64 = 512;
/// Client connections when the plan says nothing and the system sets no limit.
const MOST: u64 = 1_000_000;

/// Raises the limit; gives how many client connections fit. Each may need a server connection too.
/// `threads` = worker threads.
pub(crate) fn connections(plan: &Plan, threads: usize) -> Result<u32, Problem> {
    let asked = plan.process.max_connections.map(u64::from);
    let wished = plan.process.connections_per_thread.map(|n| u64::from(n) * threads as u64);
    let needed = plan.process.descriptors.or(asked.or(wished).map(|n| 2 * n + 64 + servers(plan)));
    let limit = raise(needed);
    match (asked, limit) {
        (Some(asked), Some(limit)) if 2 * asked + 64 > limit => Err(Problem::new(
            Place::none(),
            format!("maxconn {asked} needs {} file descriptors, but the limit is {limit}", 2 * asked + 64),
        )
        .hint(format!(
            "lower maxconn to {} or raise the limit (ulimit -n, LimitNOFILE=)",
            limit.saturating_sub(64) / 2
        ))),
        (Some(asked), _) => Ok(asked as u32),
        (None, limit) => {
            let fit = limit.map_or(MOST, |limit| limit.saturating_sub(OTHERS.min(limit / 2)) / 2);
            let fit = fit.min(wished.unwrap_or(MOST));
            Ok(fit.clamp(1, MOST) as u32)
        }
    }
}

fn servers(plan: &Plan) -> u64 {
    plan.pools.iter().map(|pool| pool.servers.len() as u64).sum()
}

/// The soft limit after raising it towards `needed` (or the hard limit); `None` = no limit.
fn raise(needed: Option<u64>) -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    let soft = now.current?;
    let wish = needed.or(now.maximum).unwrap_or(soft);
    if wish <= soft {
        return Some(soft);
    }
    // A privileged process may raise the hard limit too; others get up to it.
    let above =
        Rlimit { current: Some(wish), maximum: Some(now.maximum.map_or(wish, |hard| hard.max(wish))) };
    let up_to =
        Rlimit { current: Some(now.maximum.map_or(wish, |hard| hard.min(wish))), maximum: now.maximum };
    if setrlimit(Resource::Nofile, above).is_err() {
        let _ = setrlimit(Resource::Nofile, up_to);
    }
    getrlimit(Resource::Nofile).current
}
