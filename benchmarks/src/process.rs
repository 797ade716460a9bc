//! Processes of the harness: started, pinned, looked at through /proc, stopped by their id.

use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Result;

/// Where load generator and servers run.
pub const LOAD_CORE: usize = 0;
/// Where the program under test runs.
pub const TEST_CORE: usize = 1;
/// How long a program may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// What the kernel's scheduler knows about a program.
#[derive(Clone, Copy, Default)]
pub struct Times {
    /// Running on a core.
    pub cpu: Duration,
    /// Ready to run while another process had the core.
    pub waiting: Duration,
}

impl Times {
    /// What was added since `before`.
    pub fn since(self, before: Times) -> Times {
        Times {
            cpu: self.cpu.saturating_sub(before.cpu),
            waiting: self.waiting.saturating_sub(before.waiting),
        }
    }
}

/// A started program; stopped when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Start `command`; its output goes to the harness's standard error.
    pub fn start(command: &mut Command) -> Result<Running> {
        let child = command.spawn().map_err(|error| format!("start {command:?}: {error}"))?;
        Ok(Running { child })
    }

    /// The exit status, if it has ended already.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Times of all threads of it and its descendants so far, exact to the nanosecond.
    pub fn times(&self) -> Result<Times> {
        let mut times = Times::default();
        for pid in self.family()? {
            add_threads(pid, &mut times)?;
        }
        Ok(times)
    }

    /// Resident memory of it and its descendants in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let kibibytes = self.family()?.into_iter().map(resident_kibibytes).sum::<io::Result<u64>>()?;
        Ok(kibibytes * 1024)
    }

    fn family(&self) -> io::Result<Vec<u32>> {
        let parents = parents()?;
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        Ok(family)
    }

    fn stop(&mut self) {
        let family = self.family().unwrap_or_default();
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in family {
            signal(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Let this process and what it starts run on one core only.
pub fn pin_self(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)?;
    Ok(())
}

/// As many open files as the system allows without privileges.
pub fn raise_file_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Every process with its parent.
fn parents() -> io::Result<Vec<(u32, u32)>> {
    let processes =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(
            |pid: u32| Some((pid, parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)),
        );
    Ok(processes.collect())
}

/// The parent's id in /proc/PID/stat; the command name before it may hold spaces and parentheses.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

fn add_threads(pid: u32, times: &mut Times) -> io::Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while we look; its time is then lost for us.
        if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
            let mut numbers = text.split_whitespace().map(|word| Duration::from_nanos(first_number(word)));
            times.cpu += numbers.next().unwrap_or_default();
            times.waiting += numbers.next().unwrap_or_default();
        }
    }
    Ok(())
}

fn resident_kibibytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(text.lines().find_map(|line| line.strip_prefix("Rss:")).map_or(0, first_number))
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_parent_is_found_behind_a_strange_name() {
        assert_eq!(parent_in("77 (a) b (c) S 12 77 77"), Some(12));
        assert_eq!(parent_in("77 no name"), None);
    }

    #[test]
    fn cpu_time_and_memory_of_a_family_are_seen() {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done & wait"]);
        let running = Running::start(&mut command).unwrap();
        while running.family().unwrap().len() < 2 {}
        let before = running.times().unwrap().cpu;
        while running.times().unwrap().cpu <= before {}
        assert!(running.resident_bytes().unwrap() > 0);
        let worker = running.family().unwrap()[1];
        drop(running);
        signal(worker, Signal::KILL);
    }
}
