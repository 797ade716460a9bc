//! Golden files: each `cases/haproxy/NAME.cfg` gives the plan in `NAME.plan`, or the problems in
//! `NAME.problems`. `UPDATE=1 cargo test -p dialects` writes them anew; look at the difference.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use dialects::{Options, Sources};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Files beside the cases, and a few variables.
struct Beside(PathBuf);

impl Sources for Beside {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("/dev/null") { Ok(Vec::new()) } else { std::fs::read(self.0.join(path)) }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(self.0.join(folder))?.map(|entry| entry.map(|e| e.path())).collect()
    }

    fn env(&self, name: &str) -> Option<String> {
        let value = match name {
            "WEB1_IP" => "10.0.0.11",
            "WEB2_IP" => "10.0.0.12",
            "WEB3_IP" => "10.0.0.13",
            "LIST" => "roundrobin leastconn",
            "fe1" => "7",
            "cli" => "8",
            "VTC_SOCK_TYPE" => "stream",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn lookup(&self, host: &str) -> Option<IpAddr> {
        (host == "localhost").then(|| "127.0.0.1".parse().unwrap())
    }
}

#[test]
fn every_case_gives_its_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/haproxy");
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "cfg") {
            count += 1;
            wrong.extend(check(&path, update));
        }
    }
    assert!(count > 10, "cases are missing");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A message when the case gives something else than its golden file.
fn check(path: &Path, update: bool) -> Option<String> {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = [(name.clone(), std::fs::read(path).unwrap())];
    let sources = Beside(path.parent().unwrap().to_owned());
    let draft = dialects::read(&files, None, &sources, &Options::default());
    let notes: String = draft.notes.iter().map(|n| format!("{}{n}\n", if n.warning { "warning " } else { "note " })).collect();
    let (extension, text) = match draft.resolve() {
        Ok(plan) => ("plan", format!("{}\n{notes}", compact(&format!("{:#?}", *plan)))),
        Err(problems) => ("problems", problems.iter().map(|p| format!("{p}\n")).collect::<String>()),
    };
    let golden = path.with_extension(extension);
    let other = path.with_extension(if extension == "plan" { "problems" } else { "plan" });
    if update {
        let _ = std::fs::remove_file(other);
        std::fs::write(golden, text).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    let line = text.lines().zip(expected.lines()).position(|(a, b)| a != b);
    (text != expected).then(|| {
        let at = line.unwrap_or_else(|| text.lines().count().min(expected.lines().count()));
        let show = |text: &str| text.lines().nth(at).unwrap_or("(end)").trim().to_owned();
        format!("{name}, line {}: now `{}`, golden `{}`", at + 1, show(&text), show(&expected))
    })
}

/// A debug print without what is absent, with texts as texts and places as line numbers.
fn compact(debug: &str) -> String {
    let lines: Vec<&str> = debug.lines().collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let indent = line.len() - line.trim_start().len();
        let block = lines[at + 1..].iter().take_while(|l| l.len() - l.trim_start().len() > indent).count();
        let inner = &lines[at + 1..at + 1 + block];
        if line.trim() == "notes: [" || line.trim() == "problems: [" {
            at += block + 2;
        } else if line.ends_with("place: Place {") {
            let number = inner[1].trim().trim_start_matches("line: ").trim_end_matches(',');
            out.push(format!("{}line {number}", &line[..indent]));
            at += block + 2;
        } else if let Some(text) = line.ends_with('[').then(|| bytes(inner)).flatten() {
            out.push(format!("{}{text:?}", line.trim_end_matches('[')));
            at += block + 2;
        } else {
            if !is_absent(line) {
                out.push(line.to_owned());
            }
            at += 1;
        }
    }
    short_braces(&out).join("\n")
}

fn is_absent(line: &str) -> bool {
    [": None,", ": [],", ": false,", ": {},", ": \"\","].iter().any(|end| line.ends_with(end))
}

fn bytes(lines: &[&str]) -> Option<String> {
    let numbers: Option<Vec<u8>> = lines.iter().map(|l| l.trim().trim_end_matches(',').parse().ok()).collect();
    numbers.filter(|n| !n.is_empty()).map(|n| String::from_utf8_lossy(&n).into_owned())
}

/// Puts `Some(`, a line and `),` on one line, again and again.
fn short_braces(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    loop {
        let before = lines.len();
        let mut out: Vec<String> = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let three = lines.get(at..at + 3).filter(|three| {
                let close = three[2].trim();
                three[0].ends_with(['(', '[', '{'])
                    && matches!(close, ")" | ")," | "]" | "]," | "}" | "},")
                    && !three[1].trim_end().ends_with(['(', '[', '{'])
                    && three[0].trim_end().len() + three[1].trim().len() < 110
            });
            match three {
                Some(three) => {
                    let inner = three[1].trim().trim_end_matches(',');
                    out.push(format!("{}{inner}{}", three[0], three[2].trim()));
                    at += 3;
                }
                None => {
                    out.push(lines[at].clone());
                    at += 1;
                }
            }
        }
        lines = out;
        if lines.len() == before {
            return lines;
        }
    }
}
