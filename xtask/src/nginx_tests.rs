//! `make nginx-tests CHECKOUT=DIR`: nginx's own tests from a checkout, with our binary in its place.
//!
//! The tests stay where they are; the project holds their names only (`tests/peers/nginx.txt`). A test counts
//! when what it writes (the Test Anything Protocol) says that all planned parts ran and none failed: a binary that
//! admits to nothing would else skip its way to a green run.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::Result;
use crate::peers::{self, Ending, Entry, Outcome, judge, parse};

/// Flags of `cargo xtask nginx-tests`.
#[derive(clap::Args)]
pub struct Options {
    /// A checkout of nginx-tests.
    checkout: PathBuf,
    /// The binary under test.
    #[arg(long, default_value = "target/debug/mainstay")]
    binary: PathBuf,
    /// Names of tests with the number of their parts, one a line; behind `|` why one is known to fail.
    #[arg(long, default_value = "tests/peers/nginx.txt")]
    list: PathBuf,
    /// Tests at once. They mostly sleep, so more than the machine has cores is well.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Who runs the tests when we are root: nginx's own fail as root, and so would not be comparable.
    #[arg(long, default_value = "nobody")]
    user: String,
    /// Tries of a test that fails and is not known to.
    #[arg(long, default_value_t = 2)]
    tries: usize,
    /// Print what a failing test writes.
    #[arg(long)]
    logs: bool,
    /// Only these tests; without any, the whole list.
    names: Vec<String>,
}

/// Longest a test may take, seconds.
const TEST_LIMIT: &str = "120";

/// Where the parts of a run are, and who runs it.
struct Bench<'o> {
    options: &'o Options,
    checkout: PathBuf,
    program: PathBuf,
    folder: PathBuf,
    user: Option<(u32, u32)>,
}

/// Run the list; an error when a test fails that is not known to, or passes against what the list says.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let list = root.join(&options.list);
    let text = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let chosen = |entry: &Entry| options.names.is_empty() || options.names.contains(&entry.name);
    let entries: Vec<Entry> = parse(&text).filter(chosen).collect();
    // Short: the length of socket paths is limited. A copy: the user may not see our folders.
    let folder = tempfile::Builder::new().prefix("nt").tempdir()?;
    let program = folder.path().join("nginx");
    fs::copy(root.join(&options.binary), &program)
        .map_err(|e| format!("{}: {e}", options.binary.display()))?;
    let user = if rustix::process::geteuid().is_root() { Some(look_up(&options.user)?) } else { None };
    let work = folder.path().join("t");
    fs::create_dir(&work)?;
    if let Some((uid, gid)) = user {
        chown(&work, Some(uid), Some(gid))?;
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    let checkout = fs::canonicalize(&options.checkout)?;
    let bench = Bench { options, checkout, program, folder: work, user };
    let outcomes = peers::run_all(&entries, options.jobs, |entry| bench.outcome(entry))?;
    let (good, parts) = outcomes.iter().fold((0, 0), |(g, p), o| (g + o.good, p + o.entry.parts));
    println!("{good} of {parts} parts are good ({:.1} %)", 100.0 * good as f64 / parts.max(1) as f64);
    judge(&outcomes)
}

/// Numbers of a user and of its group.
fn look_up(user: &str) -> Result<(u32, u32)> {
    let output = Command::new("getent").args(["passwd", user]).output()?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut fields = line.trim().split(':').skip(2).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
        _ => Err(format!("there is no user '{user}' to run the tests as; name one with --user").into()),
    }
}

impl Bench<'_> {
    fn outcome(&self, entry: &Entry) -> std::io::Result<Outcome> {
        let start = Instant::now();
        let mut output = self.try_once(entry)?;
        for _ in 1..self.options.tries.max(1) {
            if score(&output).0 != Ending::Failed || entry.reason.is_some() {
                break;
            }
            output = self.try_once(entry)?;
        }
        let (ending, good) = score(&output);
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8_lossy(&log).into_owned();
        let outcome = Outcome { entry: entry.clone(), ending, good, log, took: start.elapsed() };
        outcome.tell();
        if outcome.ending != Ending::Passed && (self.options.logs || entry.reason.is_none()) {
            let most = if self.options.logs { usize::MAX } else { 5 };
            let told = |line: &&str| self.options.logs || line.contains("not ok") || line.contains("[emerg]");
            outcome.log.lines().filter(told).take(most).for_each(|line| println!("     {line}"));
        }
        Ok(outcome)
    }

    fn try_once(&self, entry: &Entry) -> std::io::Result<Output> {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", TEST_LIMIT, "perl"])
            .arg(format!("{}.t", entry.name))
            .current_dir(&self.checkout)
            .env("TMPDIR", &self.folder)
            .env("HOME", &self.folder)
            .env("TEST_NGINX_BINARY", &self.program);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.output()
    }
}

/// How a test ended and how many of its parts were good, from what it wrote.
fn score(output: &Output) -> (Ending, usize) {
    score_of(&String::from_utf8_lossy(&output.stdout), output.status.success())
}

fn score_of(text: &str, exit_ok: bool) -> (Ending, usize) {
    let (mut planned, mut good, mut bad) = (None, 0, 0);
    for line in text.lines() {
        let todo = line.contains("# TODO");
        if let Some(count) = line.strip_prefix("1..") {
            let number = count.split_whitespace().next().unwrap_or_default();
            planned = number.parse::<usize>().ok();
        } else if line.starts_with("not ok ") {
            bad += usize::from(!todo);
            good += usize::from(todo);
        } else if line.starts_with("ok ") {
            good += 1;
        }
    }
    let ending = match planned {
        Some(0) => Ending::Skipped,
        Some(count) if exit_ok && bad == 0 && good == count => Ending::Passed,
        _ => Ending::Failed,
    };
    (ending, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_writes_is_its_score() {
        for (text, exit_ok, expected) in [
            ("1..2\nok 1 - a\nok 2 - b\n", true, (Ending::Passed, 2)),
            ("ok 1 - a\nnot ok 2 - b # TODO not yet\n1..2\n", true, (Ending::Passed, 2)),
            ("1..2\nok 1\nok 2\n", false, (Ending::Failed, 2)),
            ("1..2\nok 1\n", true, (Ending::Failed, 1)),
            ("1..2\nok 1\nnot ok 2\n", true, (Ending::Failed, 1)),
            ("1..0 # SKIP no ssl available\n", true, (Ending::Skipped, 0)),
            ("", true, (Ending::Failed, 0)),
        ] {
            assert_eq!(score_of(text, exit_ok), expected, "{text}");
        }
    }
}
