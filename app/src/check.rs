//! `mainstay check`: is the configuration valid?

use crate::say;
use std::process::ExitCode;
use supervisor::Input;

/// Exit 0 and a summary, or 1 and all problems.
pub fn check(input: &Input) -> ExitCode {
    match supervisor::load(input) {
        Ok(plan) => {
            for note in &plan.notes {
                say::out(&format!("{}: {note}", if note.warning { "warning" } else { "note" }));
            }
            let servers: usize = plan.pools.iter().map(|pool| pool.servers.len()).sum();
            let (sites, pools) = (plan.sites.len(), plan.pools.len());
            say::out(&format!("valid: {sites} sites, {pools} pools, {servers} servers"));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            say::problems(&problems);
            ExitCode::FAILURE
        }
    }
}
