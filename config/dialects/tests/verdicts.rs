//! The same verdict as Debian's HAProxy (2.6) on hundreds of small configurations, good and bad.
//!
//! Each line of `cases/verdicts.txt` is `KIND LINE [;; LINE…]`; KIND says which section the lines stand in.
//! Where we differ on purpose the line ends with ` ## WHY`. Needs `haproxy` (a package of every
//! distribution); the test fails without it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use dialects::{Options, Sources};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The real files, and no variables but one.
struct Real;

impl Sources for Real {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, _folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env(&self, name: &str) -> Option<String> {
        (name == "SET").then(|| "x".to_owned())
    }

    fn lookup(&self, host: &str) -> Option<std::net::IpAddr> {
        (host == "localhost").then(|| std::net::Ipv4Addr::LOCALHOST.into())
    }
}

/// Verdict on a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Warned,
    Bad,
}

#[test]
fn verdicts_are_haproxys() {
    let list =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/verdicts.txt")).unwrap();
    let lines: Vec<&str> = list.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    assert!(lines.len() > 60);
    let parts = lines.chunks(lines.len().div_ceil(4));
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| check_all(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

fn check_all(lines: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    lines.iter().filter_map(|line| check(line, folder.path())).collect()
}

fn check(line: &str, folder: &Path) -> Option<String> {
    let (said, differs) = line.split_once(" ## ").map_or((line, None), |(said, why)| (said, Some(why)));
    let (kind, lines) = said.split_once(' ').unwrap();
    let text = configuration(kind, lines);
    let path = folder.join("test.cfg");
    std::fs::write(&path, &text).unwrap();
    let (theirs, ours) = (haproxy(&path), mainstay(&text));
    match (theirs.0 == ours.0, differs) {
        (false, None) => {
            Some(format!("{line}\n    HAProxy {:?} {}\n    ours {:?} {}", theirs.0, theirs.1, ours.0, ours.1))
        }
        (true, Some(_)) => Some(format!("{line}\n    is marked as a difference, and there is none")),
        _ => None,
    }
}

fn configuration(kind: &str, lines: &str) -> String {
    let defaults = |mode: &str, name: &str| {
        format!("defaults{name}\n mode {mode}\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n")
    };
    let body = format!(" {}\n", lines.replace(" ;; ", "\n "));
    let frontend = "frontend a\n bind :1\n";
    match kind {
        "f" => defaults("http", "") + frontend + &body,
        "b" => defaults("http", "") + frontend + "backend b\n" + &body,
        "l" => defaults("http", "") + "listen a\n bind :1\n" + &body,
        "t" => defaults("tcp", "") + "listen a\n bind :1\n" + &body,
        "d" => defaults("tcp", "") + &body + frontend,
        "n" => defaults("http", " base") + &body + frontend,
        "g" => defaults("http", "") + frontend + "global\n" + &body,
        "w" => lines.replace(" ;; ", "\n") + "\n",
        other => panic!("unknown kind {other}"),
    }
}

fn haproxy(path: &Path) -> (Verdict, String) {
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg("-c").arg("-f").arg(path).env_clear().env("SET", "x");
    let output = command.output().unwrap_or_else(|e| panic!("haproxy is needed for this test: {e}"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let telling =
        text.lines().find(|l| l.contains("[ALERT]") || l.contains("[WARNING]")).unwrap_or("").to_owned();
    let verdict = match output.status.code() {
        Some(1) => Verdict::Bad,
        _ if text.contains("[WARNING]") => Verdict::Warned,
        _ => Verdict::Good,
    };
    (verdict, telling)
}

fn mainstay(text: &str) -> (Verdict, String) {
    let files = [("test.cfg".to_owned(), text.as_bytes().to_vec())];
    let draft = dialects::read(&files, None, &Real, &Options { strict: true, ..Options::default() });
    let warning = draft.notes.iter().find(|n| n.warning).map(ToString::to_string);
    match (draft.resolve(), warning) {
        (Err(problems), _) => (Verdict::Bad, problems[0].to_string()),
        (Ok(_), Some(warning)) => (Verdict::Warned, warning),
        (Ok(_), None) => (Verdict::Good, String::new()),
    }
}
