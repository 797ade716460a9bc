//! The same input to Mainstay and to Debian's HAProxy or nginx: both must do the same.
//!
//! A case is files, and adding a case is adding files:
//!
//! - `NAME.cfg` (HAProxy) or `NAME.conf` (nginx), a configuration with blanks. `{{port}}`, `{{port2}}`, `{{port-any}}` are free ports;
//!   `{{log}}` is a syslog server; `{{cli}}` a path for the runtime socket; `{{dir}}` a folder of the
//!   case's own; `{{root}}` a folder of files that are always the same (see [`tree`]); `{{cases}}` the folder of
//!   all cases; `{{closed}}` an address where nobody listens. Every
//!   other name, such as `{{web1}}`, is a server of ours at that address (`{{web1-port}}`: its port only).
//! - `NAME.req`, what clients do: requests between lines of `---`, each after lines `> command`. Without
//!   commands a request is sent on the kept connection and its answer is read. See [`script`].
//! - `NAME.srv`, if there: what servers do that do not speak HTTP. See [`actor`]; there stands as well
//!   what the HTTP servers do for which target.
//! - `NAME.differs`, if there: lines that only one of the two tells, `- ` the oracle's and `+ ` ours, below
//!   the reason in lines of `# `. What is listed and does not happen is a failure, too.
//!
//! Compared is what clients and servers saw and, when the configuration has `{{log}}`, the log lines, when
//! it has `{{cli}}`, the counters of `show stat` at the end. nginx's pages are compared word for word, but for its
//! version. What every nginx.conf here needs to run in the foreground of a test is put before it: see [`stage`].

pub mod actor;
pub mod escape;
pub mod normal;
pub mod script;
pub mod stage;
pub mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Program, figures};
use script::Script;
use stage::Stage;

/// How many cases run at the same time: they wait more than they work.
const TOGETHER: usize = 5;
/// How often a case that differs is played again, alone. What is really different differs every time;
/// a machine that stood still for a moment does not.
const AGAIN: usize = 2;
/// How long an event may take to come. Longer than any time-out of a configuration that is played, so
/// that a slow machine shows what the program did and never what this harness did not wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// One thing that was seen, by a client, a server, a syslog server or an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it was about, such as the request line.
    pub about: String,
    /// What was seen.
    pub lines: Vec<String>,
}

/// Plays all the cases and panics with all that differs. `ORACLE=NAME` plays only cases whose name
/// contains that.
pub fn play_all(files: &[PathBuf]) {
    let wanted = std::env::var("ORACLE").unwrap_or_default();
    let chosen = files.iter().filter(|file| file.file_stem().unwrap().to_string_lossy().contains(&wanted));
    let left: Mutex<Vec<&PathBuf>> = Mutex::new(chosen.rev().collect());
    let doubtful = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(file) = next(&left) {
                    if !same(file) {
                        doubtful.lock().unwrap().push(file);
                    }
                }
            });
        }
    });
    let mut differing = doubtful.into_inner().unwrap();
    differing.retain(|file| !same_when_alone(file));
    assert!(differing.is_empty(), "{} of {} cases differ: {differing:#?}", differing.len(), files.len());
}

fn next<'a>(left: &Mutex<Vec<&'a PathBuf>>) -> Option<&'a PathBuf> {
    left.lock().unwrap().pop()
}

/// Plays a case and prints what differs.
fn same(file: &Path) -> bool {
    let started = Instant::now();
    // One case that does not even start must not hide the others.
    let found = std::panic::catch_unwind(|| differences(file))
        .unwrap_or_else(|_| vec!["it could not be played".to_owned()]);
    if !found.is_empty() {
        figures(&format!("{} differs after {:?}:\n{}", file.display(), started.elapsed(), found.join("\n")));
    }
    found.is_empty()
}

/// Plays a case that differed again.
fn same_when_alone(file: &Path) -> bool {
    let needed = (1..=AGAIN).find(|_| same(file));
    if let Some(count) = needed {
        figures(&format!("{} is the same when played again alone, time {count}", file.display()));
    }
    needed.is_some()
}

/// What one of the two tells and the other does not, apart from what `NAME.differs` lists.
fn differences(file: &Path) -> Vec<String> {
    let script = Script::read(&file.with_extension("req"));
    let is_nginx = stage::is_nginx(file);
    let oracle = if is_nginx { Program::oracle_for_nginx() } else { Program::oracle() };
    let theirs = Stage::set(&oracle, file).play(&script, None);
    let ours = Stage::set(&Program::subject(), file).play(&script, Some(&theirs));
    let known = known(&file.with_extension("differs"));
    against_known(&only_one_tells(&theirs, &ours), known)
}

/// Lines `about: - theirs` and `about: + ours`, in order.
fn only_one_tells(theirs: &[Told], ours: &[Told]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for place in 0..theirs.len().max(ours.len()) {
        let (theirs, ours) = (theirs.get(place), ours.get(place));
        let about = theirs.or(ours).map(|told| told.about.clone()).unwrap_or_default();
        let lines = |told: Option<&Told>| told.map(|told| told.lines.clone()).unwrap_or_default();
        let (mut theirs, ours) = (lines(theirs), lines(ours));
        let mut ours_only = Vec::new();
        for line in ours {
            match theirs.iter().position(|same| *same == line) {
                Some(place) => drop(theirs.remove(place)),
                None => ours_only.push(line),
            }
        }
        found.extend(theirs.into_iter().map(|line| (about.clone(), format!("- {line}"))));
        found.extend(ours_only.into_iter().map(|line| (about.clone(), format!("+ {line}"))));
    }
    found
}

/// The known differences of a case, and how often each is listed.
fn known(file: &Path) -> BTreeMap<String, usize> {
    let Ok(text) = fs::read_to_string(file) else { return BTreeMap::new() };
    let mut reason = false;
    let mut known = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with("# ") {
            reason = true;
            continue;
        }
        assert!(reason, "{}: differences need a reason", file.display());
        assert!(line.starts_with("- ") || line.starts_with("+ "), "{}: {line:?}", file.display());
        *known.entry(line.to_owned()).or_default() += 1;
    }
    // The oracle may be the one that the stories are told of; then there is nothing to know.
    if Program::subject().is_mainstay() { known } else { BTreeMap::new() }
}

fn against_known(found: &[(String, String)], mut known: BTreeMap<String, usize>) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut last = "";
    for (about, line) in found {
        match known.get_mut(line).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None if last == about => unknown.push(format!("    {line}")),
            None => {
                last = about;
                unknown.push(format!("  {about}\n    {line}"));
            }
        }
    }
    let mended = known.into_iter().filter(|(_, count)| *count > 0);
    unknown.extend(mended.map(|(line, _)| format!("  listed as a difference, but there is none: {line}")));
    unknown
}
