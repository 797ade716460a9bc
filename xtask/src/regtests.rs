//! `make haproxy-tests CHECKOUT=DIR`: HAProxy's own tests from a checkout, with our binary in its place.
//!
//! The tests stay where they are; the project holds their names only (`tests/peers/haproxy.txt`). A skipped test
//! counts as failed: a binary that answers "no" to every question would else skip its way to a green run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Result;

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

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    /// Why it is known to fail.
    reason: Option<String>,
}

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Passed,
    Skipped,
    Failed,
}

struct Outcome {
    entry: Entry,
    ending: Ending,
    log: String,
    took: Duration,
}

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
    let entries: Vec<Entry> = parse(&text).filter(|e| e.path.contains(&options.only)).collect();
    let folder = tempfile::Builder::new().prefix("hr").tempdir()?; // short: the length of socket paths is limited
    let program = folder.path().join("haproxy");
    let binary = fs::canonicalize(root.join(&options.binary))
        .map_err(|e| format!("{}: {e}", options.binary.display()))?;
    symlink(binary, &program)?;
    let checkout = fs::canonicalize(&options.checkout)?;
    let bench = Bench { options, checkout, program, folder: folder.path().to_path_buf() };
    let outcomes = bench.run_all(&entries)?;
    judge(&outcomes)
}

impl Bench<'_> {
    /// All tests, several at once; each is told when it has ended.
    fn run_all(&self, entries: &[Entry]) -> Result<Vec<Outcome>> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut done = Vec::new();
            while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = self.outcome(entry)?;
                tell(&outcome, self.options.logs);
                done.push(outcome);
            }
            Ok::<_, std::io::Error>(done)
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.options.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
            let mut all = Vec::new();
            for worker in workers {
                all.extend(worker.join().map_err(|_| "a worker panicked")??);
            }
            Ok(all)
        })
    }

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
        Ok(Outcome { entry: entry.clone(), ending: ending(&output), log, took: start.elapsed() })
    }

    /// The arguments that HAProxy's own script gives.
    fn try_once(&self, entry: &Entry) -> std::io::Result<Output> {
        Command::new(&self.options.runner)
            .args(["-b", "2097152", "-k", "-t", TEST_LIMIT])
            .arg(&entry.path)
            .current_dir(&self.checkout)
            .env("TMPDIR", &self.folder)
            .env("HAPROXY_PROGRAM", &self.program)
            .env("HAPROXY_ARGS", "-dM -dI -dW")
            .output()
    }
}

/// Lines of the list; `#` begins a remark.
fn parse(text: &str) -> impl Iterator<Item = Entry> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (path, reason) = line.split_once('|').map_or((line, None), |(path, why)| (path, Some(why)));
        Entry { path: path.trim().to_owned(), reason: reason.map(|why| why.trim().to_owned()) }
    })
}

fn ending(output: &Output) -> Ending {
    match output.status.code() {
        Some(0) => Ending::Passed,
        Some(SKIPPED) => Ending::Skipped,
        _ => Ending::Failed,
    }
}

fn tell(outcome: &Outcome, logs: bool) {
    let Outcome { entry, ending, log, took } = outcome;
    let word = match ending {
        Ending::Passed => "ok",
        Ending::Skipped => "SKIP",
        Ending::Failed => "FAIL",
    };
    let known = entry.reason.as_ref().map(|why| format!("  (known: {why})")).unwrap_or_default();
    println!("{word:4} {} {:.1} s{known}", entry.path, took.as_secs_f64());
    if *ending != Ending::Passed && entry.reason.is_none() {
        log.lines().filter(|line| line.starts_with("----")).take(3).for_each(|line| println!("     {line}"));
    }
    if logs && *ending == Ending::Failed {
        println!("{log}");
    }
}

fn judge(outcomes: &[Outcome]) -> Result<()> {
    let passed = outcomes.iter().filter(|o| o.ending == Ending::Passed).count();
    println!("{passed} of {} passed", outcomes.len());
    let surprises = surprises(outcomes);
    if surprises.is_empty() { Ok(()) } else { Err(format!("not as listed: {}", surprises.join(", ")).into()) }
}

/// Tests that end otherwise than the list says.
fn surprises(outcomes: &[Outcome]) -> Vec<&str> {
    let surprising = |o: &&Outcome| (o.ending == Ending::Passed) == o.entry.reason.is_some();
    outcomes.iter().filter(surprising).map(|o| o.entry.path.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(path: &str, reason: Option<&str>, ending: Ending) -> Outcome {
        let entry = Entry { path: path.into(), reason: reason.map(str::to_owned) };
        Outcome { entry, ending, log: String::new(), took: Duration::ZERO }
    }

    #[test]
    fn a_list_is_names_and_reasons() {
        let found: Vec<Entry> = parse("# remark\n\na.vtc\nb.vtc | needs HTTP/2\n").collect();
        assert_eq!(found[0], Entry { path: "a.vtc".into(), reason: None });
        assert_eq!(found[1], Entry { path: "b.vtc".into(), reason: Some("needs HTTP/2".into()) });
    }

    #[test]
    fn a_skip_is_a_failure_and_a_pass_against_the_list_is_one_too() {
        let outcomes = [
            outcome("good", None, Ending::Passed),
            outcome("skipped", None, Ending::Skipped),
            outcome("failed", None, Ending::Failed),
            outcome("known", Some("TLS"), Ending::Skipped),
            outcome("mended", Some("TLS"), Ending::Passed),
        ];
        assert_eq!(surprises(&outcomes), ["skipped", "failed", "mended"]);
    }
}
