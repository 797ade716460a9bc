//! Gives up root after the listeners are open: chroot, then group, then user; and no way back.

use plan::{Place, Plan, Problem, Problems};
use rustix::process::{Gid, Uid};
use std::path::Path;

/// Who to become.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    user: Option<u32>,
    group: Option<u32>,
}

/// Looks the names up; problems name the ones that do not exist.
pub(crate) fn identity(plan: &Plan) -> Result<Identity, Problems> {
    let mut problems = Problems::new();
    let mut find = |kind: &str, name: &Option<String>, look_up: fn(&str) -> std::io::Result<u32>| {
        let name = name.as_ref()?;
        look_up(name)
            .map_err(|error| {
                problems.push(
                    Problem::new(Place::none(), format!("find {kind} '{name}': {error}"))
                        .hint(format!("create it (useradd --system {name}) or name another {kind}")),
                );
            })
            .ok()
    };
    let user = find("user", &plan.process.user, listener::user_id);
    let group = find("group", &plan.process.group, listener::group_id);
    if problems.is_empty() { Ok(Identity { user, group }) } else { Err(problems) }
}

impl Identity {
    /// The user it has; `None` = that of the process.
    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// The group it has; `None` = that of the process.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Becomes it. A process that is not root stays who it is.
    pub fn become_it(&self, root: Option<&Path>) -> Result<(), Problem> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let tried =
            |what: &str, error: rustix::io::Errno| Problem::new(Place::none(), format!("{what}: {error}"));
        if let Some(root) = root {
            rustix::process::chroot(root).map_err(|e| tried(&format!("chroot to {}", root.display()), e))?;
            rustix::process::chdir("/").map_err(|e| tried("enter the new root", e))?;
        }
        if self.user.is_none() && self.group.is_none() {
            return Ok(());
        }
        let group = Gid::from_raw(self.group.unwrap_or_else(|| rustix::process::getgid().as_raw()));
        // The thread calls act on the calling thread only, so this must run before any other thread starts.
        rustix::thread::set_thread_groups(&[group]).map_err(|e| tried("drop supplementary groups", e))?;
        rustix::thread::set_thread_res_gid(group, group, group).map_err(|e| tried("set group", e))?;
        if let Some(user) = self.user.map(Uid::from_raw) {
            rustix::thread::set_thread_res_uid(user, user, user).map_err(|e| tried("set user", e))?;
        }
        rustix::thread::set_no_new_privs(true).map_err(|e| tried("set no_new_privs", e))
    }
}
