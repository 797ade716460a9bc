//! Golden files: each `cases/haproxy/NAME.cfg` and `cases/nginx/NAME.conf` gives the plan in `NAME.plan`, or the
//! problems in `NAME.problems`. `UPDATE=1 cargo test -p dialects` writes them anew; look at the difference.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use dialects::{Dialect, Options, Sources};
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
    run("cases/haproxy", "cfg");
    run("cases/nginx", "conf");
}

fn run(folder: &str, kind: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == kind) {
            count += 1;
            wrong.extend(check(&path, update));
        }
    }
    assert!(count > 3, "cases are missing");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A message when the case gives something else than its golden file.
fn check(path: &Path, update: bool) -> Option<String> {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = [(name.clone(), std::fs::read(path).unwrap())];
    let sources = Beside(path.parent().unwrap().to_owned());
    let dialect = name.ends_with(".conf").then_some(Dialect::Nginx);
    let draft = dialects::read(&files, dialect, &sources, &Options::default());
    let notes: String = draft
        .notes
        .iter()
        .map(|n| format!("{}{n}\n", if n.warning { "warning " } else { "note " }))
        .collect();
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

/// A debug print without what is absent; what fits on a line stands on one; templates read as text.
fn compact(debug: &str) -> String {
    let lines: Vec<&str> = debug.lines().collect();
    let mut out = Vec::new();
    print(&lines, &mut out);
    out.join("\n")
}

/// Prints blocks (a line, deeper lines, a closing line) and plain lines.
fn print(lines: &[&str], out: &mut Vec<String>) {
    let mut at = 0;
    while at < lines.len() {
        let indent = depth(lines[at]);
        let inner = lines[at + 1..].iter().take_while(|l| depth(l) > indent).count();
        let is_block = lines[at].ends_with(['(', '[', '{']);
        let block = &lines[at..(at + if is_block { inner + 2 } else { 1 }).min(lines.len())];
        at += block.len();
        let flat = flatten(block);
        let is_template = block[0].ends_with("Template(")
            || (block.len() > 2 && bytes(&block[1..block.len() - 1]).is_some());
        if flat.is_empty() {
            continue;
        }
        if is_template || indent + flat.len() < 110 || block.len() < 3 {
            out.push(format!("{}{flat}", " ".repeat(indent)));
            continue;
        }
        out.push(block[0].to_owned());
        print(&block[1..block.len() - 1], out);
        out.push(block[block.len() - 1].to_owned());
    }
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// A block on one line; empty when there is nothing in it worth a line.
fn flatten(block: &[&str]) -> String {
    let first = block[0].trim();
    if is_absent(first) || first == "notes: [" || first == "problems: [" {
        return String::new();
    }
    if block.len() < 3 {
        return first.to_owned();
    }
    let inner = &block[1..block.len() - 1];
    let close = block[block.len() - 1].trim();
    if first.ends_with("place: Place {") {
        return format!("@{}", inner[1].trim().trim_start_matches("line: "));
    }
    if let Some(text) = first.ends_with('[').then(|| bytes(inner)).flatten() {
        return format!("{}{text:?}{}", first.trim_end_matches('['), close.trim_start_matches(']'));
    }
    let mut parts = String::new();
    let mut at = 0;
    while at < inner.len() {
        let deeper = inner[at + 1..].iter().take_while(|l| depth(l) > depth(inner[at])).count();
        let length = if inner[at].ends_with(['(', '[', '{']) { deeper + 2 } else { 1 };
        let part = flatten(&inner[at..(at + length).min(inner.len())]);
        if !part.is_empty() {
            parts.push_str(if parts.is_empty() { "" } else { " " });
            parts.push_str(&part);
        }
        at += length;
    }
    if parts.is_empty() && first.contains(": ") {
        return String::new();
    }
    shorten(format!("{first}{}{close}", parts.trim_end_matches(',')))
}

/// Words that come again and again.
fn shorten(text: String) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("Style {dash: true, printable: true}", "log"),
        ("Style {quoted: true, dash: true, printable: true}", "quoted"),
        ("Style {}", "plain"),
    ];
    if let Some(network) = network(&text) {
        return network;
    }
    let text = WORDS.iter().fold(text, |text, (long, short)| text.replace(long, short));
    let record = text.strip_prefix("Value(Expr {fetch: Record(").and_then(|t| t.strip_suffix(")}, log),"));
    record.map_or(text.clone(), |field| format!("%{field},"))
}

/// `Network {address: N, …, prefix: P}` as `A/P`.
fn network(text: &str) -> Option<String> {
    let inner = text.trim_end_matches(',').strip_prefix("Network {")?.strip_suffix('}')?;
    let field = |name: &str| {
        let value = inner.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix(": "))?;
        value.parse::<u128>().ok()
    };
    let (address, prefix) = (field("address")?, field("prefix")?);
    let address = match inner.contains("v4: true") {
        true => IpAddr::V4((address as u32).into()),
        false => IpAddr::V6(address.into()),
    };
    Some(format!("{address}/{prefix},"))
}

fn is_absent(line: &str) -> bool {
    [": None,", ": [],", ": false,", ": {},", ": \"\",", ": ErrorPages({}),", "percent: 0,"]
        .iter()
        .any(|end| line.ends_with(end))
}

fn bytes(lines: &[&str]) -> Option<String> {
    let numbers: Option<Vec<u8>> =
        lines.iter().map(|l| l.trim().trim_end_matches(',').parse().ok()).collect();
    numbers.filter(|n| !n.is_empty()).map(|n| String::from_utf8_lossy(&n).into_owned())
}
