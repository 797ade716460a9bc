//! What the runners of peers' tests share: the list of names and reasons, running several at once, the verdict.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Result;

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The test.
    pub name: String,
    /// Parts of it that a good run has, when the list says.
    pub parts: usize,
    /// Why it is known to fail.
    pub reason: Option<String>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Passed,
    /// It said that it cannot run here; counts as failed.
    Skipped,
    /// Not as it should.
    Failed,
}

/// A test that has ended.
pub struct Outcome {
    /// Its line.
    pub entry: Entry,
    /// How it ended.
    pub ending: Ending,
    /// Parts that were good.
    pub good: usize,
    /// What it wrote.
    pub log: String,
    /// How long it took.
    pub took: Duration,
}

/// Lines of a list: `NAME [PARTS] [| REASON]`; `#` begins a remark.
pub fn parse(text: &str) -> impl Iterator<Item = Entry> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (test, reason) = line.split_once('|').map_or((line, None), |(test, why)| (test, Some(why)));
        let (name, parts) = test.trim().split_once(' ').unwrap_or((test.trim(), ""));
        Entry {
            name: name.to_owned(),
            parts: parts.trim().parse().unwrap_or(0),
            reason: reason.map(|why| why.trim().to_owned()),
        }
    })
}

/// Runs all tests, several at once.
pub fn run_all(
    entries: &[Entry],
    jobs: usize,
    run: impl Fn(&Entry) -> io::Result<Outcome> + Sync,
) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(run(entry)?);
        }
        Ok::<_, io::Error>(done)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a worker panicked")??);
        }
        Ok(all)
    })
}

impl Outcome {
    /// One line about it.
    pub fn tell(&self) {
        let word = match self.ending {
            Ending::Passed => "ok",
            Ending::Skipped => "SKIP",
            Ending::Failed => "FAIL",
        };
        let Entry { name, parts, reason } = &self.entry;
        let share = if *parts > 0 { format!(" {}/{parts}", self.good) } else { String::new() };
        let known = reason.as_ref().map(|why| format!("  (known: {why})")).unwrap_or_default();
        println!("{word:4} {name}{share} {:.1} s{known}", self.took.as_secs_f64());
    }
}

/// The last lines, and an error when something ended otherwise than the list says.
pub fn judge(outcomes: &[Outcome]) -> Result<()> {
    let passed = outcomes.iter().filter(|o| o.ending == Ending::Passed).count();
    println!("{passed} of {} passed", outcomes.len());
    let surprises = surprises(outcomes);
    if surprises.is_empty() { Ok(()) } else { Err(format!("not as listed: {}", surprises.join(", ")).into()) }
}

/// Tests that end otherwise than the list says.
fn surprises(outcomes: &[Outcome]) -> Vec<&str> {
    let surprising = |o: &&Outcome| (o.ending == Ending::Passed) == o.entry.reason.is_some();
    outcomes.iter().filter(surprising).map(|o| o.entry.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, reason: Option<&str>, ending: Ending) -> Outcome {
        let entry = Entry { name: name.into(), parts: 0, reason: reason.map(str::to_owned) };
        Outcome { entry, ending, good: 0, log: String::new(), took: Duration::ZERO }
    }

    #[test]
    fn a_list_is_names_parts_and_reasons() {
        let found: Vec<Entry> = parse("# remark\n\na.vtc\nb.t 12 | needs HTTP/2\n").collect();
        assert_eq!(found[0], Entry { name: "a.vtc".into(), parts: 0, reason: None });
        assert_eq!(found[1], Entry { name: "b.t".into(), parts: 12, reason: Some("needs HTTP/2".into()) });
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
