//! `make haproxy-tests CHECKOUT=DIR`: HAProxy's own tests from a checkout, with our binary in its place.
//!
//! The tests stay where they are; the project holds their names only (`tests/peers/haproxy.txt`). A skipped test
//! counts as failed: a binary that answers "no" to every question would else skip its way to a green run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::Result;
use crate::peers::{self, Ending, Entry, Outcome, judge, parse};

/// Flags of `cargo xtask haproxy-tests`.
#[derive(clap::Args)]
pub struct Options {
    /// A checkout of HAProxy's source, for its `reg-tests` folder.
    checkout: PathBuf,
    /// The binary under test.
    #[arg(long, default_value = "target/debug/mainstay")]
    binary: PathBuf,
    /// Names of tests, one a line; behind `|` the reason why one is known to fail.
    #[arg(long, default_value = "tests/peers/haproxy.txt")]
    list: PathBuf,
    /// The runner: `varnishtest` of Debian's package varnish, or a newer VTest.
    #[arg(long, default_value = "varnishtest")]
    runner: String,
    /// Tests at once. More than the machine has cores makes tests fail that pass alone.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Tries of a test: some fail now and then with HAProxy itself.
    #[arg(long, default_value_t = 3)]
    tries: usize,
    /// Only tests whose path contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Print the whole log of each test that fails.
    #[arg(long)]
    logs: bool,
}

/// Longest a test may take, in seconds, as HAProxy's own script has it.
const TEST_LIMIT: &str = "10";
/// The runner's exit code of a test that skipped itself.
const SKIPPED: i32 = 77;

/// Where the parts of a run are.
struct Bench<'o> {
    options: &'o Options,
    checkout: PathBuf,
    program: PathBuf,
    folder: PathBuf,
}

/// Run the list; an error when a test fails that is not known to, or passes against what the list says.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let list = root.join(&options.list);
    let text = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let entries: Vec<Entry> = parse(&text).filter(|e| e.name.contains(&options.only)).collect();
    let folder = tempfile::Builder::new().prefix("hr").tempdir()?; // short: the length of socket paths is limited
    let program = folder.path().join("haproxy");
    let binary = fs::canonicalize(root.join(&options.binary))
        .map_err(|e| format!("{}: {e}", options.binary.display()))?;
    symlink(binary, &program)?;
    let checkout = fs::canonicalize(&options.checkout)?;
    let bench = Bench { options, checkout, program, folder: folder.path().to_path_buf() };
    judge(&peers::run_all(&entries, options.jobs, |entry| bench.outcome(entry))?)
}

impl Bench<'_> {
    fn outcome(&self, entry: &Entry) -> std::io::Result<Outcome> {
        let start = Instant::now();
        let mut output = self.try_once(entry)?;
        for _ in 1..self.options.tries.max(1) {
            if ending(&output) != Ending::Failed || entry.reason.is_some() {
                break;
            }
            output = self.try_once(entry)?;
        }
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcome =
            Outcome { entry: entry.clone(), ending: ending(&output), good: 0, log, took: start.elapsed() };
        tell(&outcome, self.options.logs);
        Ok(outcome)
    }

    /// The arguments that HAProxy's own script gives.
    fn try_once(&self, entry: &Entry) -> std::io::Result<Output> {
        Command::new(&self.options.runner)
            .args(["-b", "2097152", "-k", "-t", TEST_LIMIT])
            .arg(&entry.name)
            .current_dir(&self.checkout)
            .env("TMPDIR", &self.folder)
            .env("HAPROXY_PROGRAM", &self.program)
            .env("HAPROXY_ARGS", "-dM -dI -dW")
            .output()
    }
}

fn ending(output: &Output) -> Ending {
    match output.status.code() {
        Some(0) => Ending::Passed,
        Some(SKIPPED) => Ending::Skipped,
        _ => Ending::Failed,
    }
}

fn tell(outcome: &Outcome, logs: bool) {
    outcome.tell();
    let Outcome { entry, ending, log, .. } = outcome;
    if *ending != Ending::Passed && entry.reason.is_none() {
        log.lines().filter(|line| line.starts_with("----")).take(3).for_each(|line| println!("     {line}"));
    }
    if logs && *ending == Ending::Failed {
        println!("{log}");
    }
}
