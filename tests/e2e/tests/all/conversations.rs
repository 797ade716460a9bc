//! The same conversation on the runtime sockets of Mainstay and of Debian's HAProxy: both must answer the same.
//!
//! A conversation is a file `cases/conversations/*.talk`: a line per connection, `\n` in it stands for a line
//! end. `= user` goes on at the socket for readers. A first word `csv`, `typed`, `info` or `json` says what of
//! the answer is compared; else it is all but numbers that belong to one process.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use e2e::{Balancer, Port, Program, RuntimeSocket, cases, eventually, figures};
use tempfile::TempDir;

/// The farm of `farm.cfg`, run by one program.
struct Farm {
    directory: TempDir,
    _balancer: Balancer,
    _ports: [Port; 2],
}

impl Farm {
    fn start(program: &Program) -> Farm {
        let directory = tempfile::tempdir().unwrap();
        let ports = [Port::free(), Port::free()];
        let [admin, user] = ["admin", "user"].map(|name| directory.path().join(name));
        let numbers = ports.each_ref().map(|port| port.number().to_string());
        let config = cases::fill(
            &cases::read("conversations/farm.cfg"),
            &[
                ("admin", &admin.display().to_string()),
                ("user", &user.display().to_string()),
                ("port", &numbers[0]),
                ("port2", &numbers[1]),
            ],
        );
        let balancer = Balancer::with(&config).program(program).ports(&ports).start();
        let admin = RuntimeSocket::at(admin);
        eventually("the first check has failed", || admin.cell("be", "s2", "status") == "DOWN");
        Farm { directory, _balancer: balancer, _ports: ports }
    }

    fn answer(&self, reader: bool, line: &str) -> String {
        let path = self.directory.path().join(if reader { "user" } else { "admin" });
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        // A prompt waits for more: this is all.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{line}: {error}"));
        answer.replace(&self.directory.path().display().to_string(), "DIR")
    }
}

#[test]
fn both_answer_the_same() {
    let files = cases::all("conversations", "talk");
    assert!(files.len() >= 15, "the conversations are missing");
    let differing: Vec<_> = files.iter().filter(|file| !same(file)).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

fn same(file: &Path) -> bool {
    let theirs = Farm::start(&Program::oracle());
    let ours = Farm::start(&Program::subject());
    let text = std::fs::read_to_string(file).unwrap();
    let mut reader = false;
    let mut same = true;
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        if line == "= user" {
            reader = true;
            continue;
        }
        let (part, command) = match line.split_once(' ') {
            Some((word @ ("csv" | "typed" | "info" | "json"), rest)) => (word, rest),
            _ => ("", line),
        };
        let command = command.replace("\\n", "\n");
        let answers = [&theirs, &ours].map(|farm| compared(part, &farm.answer(reader, &command)));
        if answers[0] != answers[1] {
            same = false;
            let [theirs, ours] = answers;
            figures(&format!("{}: {line}\n- {theirs}\n+ {ours}", file.display()));
        }
    }
    same
}

/// What of an answer is compared.
fn compared(part: &str, answer: &str) -> String {
    match part {
        "csv" => table(answer),
        "typed" => kinds(answer),
        "info" => answer.lines().filter_map(|line| line.split(':').next()).collect::<Vec<_>>().join("\n"),
        "json" => places(answer),
        _ => plain(answer),
    }
}

/// Without places in memory, times and the texts of lists of commands, which are each program's own.
fn plain(answer: &str) -> String {
    let mut lines = Vec::new();
    for line in answer.trim_end().lines() {
        let listed =
            line.starts_with("  ") && line.contains(" : ") || line.starts_with("  ") && line.contains(": ");
        if listed && lines.last().is_some_and(|last: &String| last.starts_with("LIST")) {
            continue;
        }
        if line.contains("Unknown command") || line.starts_with("The following commands") {
            lines.push("LIST".to_owned());
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        lines.push(match words[..] {
            // A state of a server: without the seconds since its last change, and without the count of a
            // check that is not there.
            [..] if words.len() == 25 => {
                let count = if words[13] == "0" { "-" } else { words[12] };
                [&words[..9], &words[10..12], &[count], &words[13..]].concat().join(" ")
            }
            ["Total", "events", ..] => format!("events {}", words.last().unwrap_or(&"")),
            _ => line.to_owned(),
        });
    }
    lines.join("\n")
}

/// Columns that tell of times, of the agent's first check (which HAProxy lets wait), or that only one has.
const LEFT_OUT: [&str; 11] = [
    "lastchg",
    "downtime",
    "last_chk",
    "last_agt",
    "check_duration",
    "agent_status",
    "agent_duration",
    "agent_desc",
    "agent_health",
    "need_conn_est",
    "addr",
];

/// The columns that HAProxy 2.6 has, but for some.
fn table(answer: &str) -> String {
    let mut lines = answer.lines().skip_while(|line| !line.starts_with("# pxname"));
    let head: Vec<&str> = lines.next().unwrap_or("").trim_start_matches("# ").split(',').collect();
    let last = head.iter().position(|title| *title == "agg_check_status").unwrap_or(0);
    let kept: Vec<usize> = (0..=last).filter(|at| !LEFT_OUT.contains(&head[*at])).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        kept.iter()
            .map(|at| format!("{}={}", head[*at], cells.get(*at).unwrap_or(&"-")))
            .collect::<Vec<_>>()
            .join(",")
    };
    lines.filter(|line| !line.is_empty()).map(row).collect::<Vec<_>>().join("\n")
}

/// Place, tags and type of each value, where both know the place.
fn kinds(answer: &str) -> String {
    let known = |line: &&str| {
        let place = line.split('.').nth(if line.starts_with(|c: char| c.is_alphabetic()) { 3 } else { 0 });
        place.and_then(|place| place.parse::<u32>().ok()).is_some_and(|place| place < 103)
    };
    let kind = |line: &str| line.split(':').take(3).collect::<Vec<_>>().join(":");
    let kinds: BTreeSet<String> = answer
        .lines()
        .filter(known)
        .filter(|line| !LEFT_OUT.iter().any(|name| line.contains(name)))
        .map(kind)
        .collect();
    kinds.into_iter().collect::<Vec<_>>().join("\n")
}

/// The same of a JSON answer.
fn places(answer: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(answer).unwrap();
    let flat: Vec<&serde_json::Value> = match parsed[0].is_array() {
        true => parsed.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap()).collect(),
        false => parsed.as_array().unwrap().iter().collect(),
    };
    let kinds: BTreeSet<String> = flat
        .into_iter()
        .filter(|value| value["field"]["pos"].as_u64().unwrap() < 103)
        .filter(|value| !LEFT_OUT.contains(&value["field"]["name"].as_str().unwrap()))
        .map(|value| {
            format!(
                "{} {} {} {} {}",
                value["objType"], value["proxyId"], value["field"], value["tags"], value["value"]["type"]
            )
        })
        .collect();
    kinds.into_iter().collect::<Vec<_>>().join("\n")
}
