//! What public configurations use, by rank: each word is taken, or refused by name with the reason.
//!
//! `cases/ranks.txt` has one small configuration for each; ranks 1 to 110 must all be there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use dialects::{Options, Sources};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The real files, and no variables.
struct Real;

impl Sources for Real {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, _folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn lookup(&self, _host: &str) -> Option<std::net::IpAddr> {
        None
    }
}

#[test]
fn every_rank_is_taken_or_refused_by_name() {
    let list = include_str!("../cases/ranks.txt");
    let mut ranks = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let (said, refusal) = line.split_once(" => ").map_or((line, None), |(said, why)| (said, Some(why)));
        let mut words = said.splitn(3, ' ');
        let (rank, kind, lines) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        ranks.insert(rank.parse::<u32>().unwrap());
        let problems = problems(&configuration(kind, lines));
        let as_told = match refusal {
            None => problems.is_empty(),
            Some(why) => problems.iter().any(|problem| problem.contains(why)),
        };
        if !as_told {
            wrong.push(format!("{line}\n    {problems:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<u32> = (1..=110).filter(|rank| !ranks.contains(rank)).collect();
    assert!(missing.is_empty(), "ranks without a case: {missing:?}");
}

fn configuration(kind: &str, lines: &str) -> String {
    let defaults = |mode: &str| {
        format!("defaults\n mode {mode}\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n")
    };
    let body = format!(" {}\n", lines.replace(" ;; ", "\n "));
    let frontend = "frontend a\n bind :1\n";
    match kind {
        "f" => defaults("http") + frontend + &body,
        "b" => defaults("http") + frontend + "backend b\n" + &body,
        "l" => defaults("http") + "listen a\n bind :1\n" + &body,
        "t" => defaults("tcp") + "listen a\n bind :1\n" + &body,
        "g" => defaults("http") + frontend + "global\n" + &body,
        "w" => lines.replace(" ;; ", "\n") + "\n",
        other => panic!("unknown kind {other}"),
    }
}

fn problems(text: &str) -> Vec<String> {
    let files = [("test.cfg".to_owned(), text.as_bytes().to_vec())];
    let draft = dialects::read(&files, None, &Real, &Options::default());
    match draft.resolve() {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}
