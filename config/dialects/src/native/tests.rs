//! What is written is read back; wrong files say what is wrong and where; no bytes make the reader panic.

#![allow(clippy::unwrap_used, clippy::panic)]

mod every;

use super::write;
use crate::{Dialect, NoSources, Options, Sources, read};
use plan::Draft;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

fn read_text(text: &str) -> Draft {
    let files = [("mainstay.yaml".to_owned(), text.as_bytes().to_vec())];
    read(&files, Some(Dialect::Native), &NoSources, &Options::default())
}

fn shown(problems: &[plan::Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

/// What a draft means, as text: without places, and without what does not change the meaning (notes, the
/// sharing of conditions, the look-up table beside a list).
fn meaning(draft: &Draft) -> String {
    let draft = Draft { notes: Vec::new(), problems: Vec::new(), ..draft.clone() };
    let text = format!("{draft:?}");
    let text = without(&text, "Place { ", b'{', b'}', false);
    let text = without(&text, "exact: {", b'{', b'}', false);
    without(&text, "Shared(", b'(', b')', true)
}

/// `text` with what `opening` opens cut out, or (`inner`) with only its inside left.
fn without(text: &str, opening: &str, open: u8, close: u8, inner: bool) -> String {
    let mut out = text.to_owned();
    while let Some(start) = out.rfind(opening) {
        let end = closing(&out, start + opening.rfind(char::from(open)).unwrap(), open, close);
        let inside = if inner { out[start + opening.len()..end].to_owned() } else { String::new() };
        out.replace_range(start..=end, &inside);
    }
    out
}

fn closing(text: &str, start: usize, open: u8, close: u8) -> usize {
    let (mut depth, mut quoted, mut skip) = (0, false, false);
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if skip => skip = false,
            b'\\' if quoted => skip = true,
            b'"' => quoted = !quoted,
            b if !quoted && b == open => depth += 1,
            b if !quoted && b == close => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    panic!("nothing closes {start}")
}

/// Writes, reads and compares; gives the text.
fn round_trip(name: &str, draft: &Draft) -> String {
    let text = write(draft).unwrap_or_else(|problems| panic!("{name}: {}", shown(&problems)));
    let again = read_text(&text);
    assert!(again.problems.is_empty(), "{name}:\n{text}\n{}", shown(&again.problems));
    let (said, meant) = (meaning(draft), meaning(&again));
    if said != meant {
        let at = said.bytes().zip(meant.bytes()).position(|(a, b)| a != b).unwrap_or(0);
        let near = |text: &str| {
            String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..(at + 200).min(text.len())])
                .into_owned()
        };
        panic!("{name}:\n{text}\nwas  …{}…\nnow  …{}…", near(&said), near(&meant));
    }
    assert_eq!(write(&again).map_err(|p| shown(&p)), Ok(text.clone()), "{name} again");
    text
}

/// Files beside the HAProxy cases, and their variables.
struct Beside;

impl Sources for Beside {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("/dev/null") {
            Ok(Vec::new())
        } else {
            std::fs::read(Path::new(CASES).join("haproxy").join(path))
        }
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn env(&self, name: &str) -> Option<String> {
        let value = match name {
            "WEB1_IP" | "WEB2_IP" | "WEB3_IP" => "10.0.0.11",
            "LIST" => "roundrobin leastconn",
            "fe1" => "7",
            "cli" => "8",
            "VTC_SOCK_TYPE" => "stream",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn lookup(&self, _: &str) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, 1]))
    }
}

#[test]
fn every_part_of_a_plan_can_be_written_and_read() {
    let text = round_trip("every part", &every::plan());
    golden(&Path::new(CASES).join("native/every.yaml"), &text);
}

#[test]
fn passwords_are_kept() {
    let (before, text) = (every::plan(), write(&every::plan()).unwrap());
    let users = |draft: &Draft| draft.sites[0].statistics.as_ref().unwrap().users.clone();
    assert_eq!(users(&read_text(&text)), users(&before));
}

#[test]
fn every_haproxy_case_can_be_converted() {
    let mut converted = 0;
    for entry in std::fs::read_dir(Path::new(CASES).join("haproxy")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "cfg") {
            continue;
        }
        let files = [(path.display().to_string(), std::fs::read(&path).unwrap())];
        let draft = read(&files, Some(Dialect::Haproxy), &Beside, &Options::default());
        if draft.problems.is_empty() {
            let text = round_trip(&path.display().to_string(), &draft);
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name.starts_with("seed") {
                golden(&Path::new(CASES).join(format!("native/from-haproxy-{name}.yaml")), &text);
            }
            converted += 1;
        }
    }
    assert!(converted >= 5, "cases are missing");
}

/// `cases/native/NAME.yaml` gives `NAME.problems`, or stands again in `NAME.again` when written.
#[test]
fn every_native_case_gives_its_golden_file() {
    for entry in std::fs::read_dir(Path::new(CASES).join("native")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let files = [(name.clone(), std::fs::read(&path).unwrap())];
        let draft = read(&files, None, &NoSources, &Options::default());
        let generated = name.starts_with("from-haproxy") || name == "every.yaml";
        match shown(&draft.problems) {
            problems if problems.is_empty() && generated => {}
            problems if problems.is_empty() => {
                let again = round_trip(&name, &draft);
                golden(&path.with_extension("again"), &again);
                draft.resolve().map_err(|p| shown(&p)).unwrap();
            }
            problems => golden(&path.with_extension("problems"), &problems),
        }
    }
}

/// `UPDATE=1` writes golden files anew; look at the difference.
fn golden(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().zip(expected.lines()).position(|(a, b)| a != b).map_or(0, |at| at + 1);
    assert!(text == expected, "{} differs from line {line}:\n{text}", path.display());
}

#[test]
fn the_named_log_lines_are_those_of_haproxy() {
    let check = |option: &str, name: &str| {
        let cfg = format!(
            "frontend f\n mode {name}\n log stdout local0\n option {option}\n bind :80\n timeout client 1s\n"
        );
        let files = [("x.cfg".to_owned(), cfg.into_bytes())];
        let draft = read(&files, Some(Dialect::Haproxy), &NoSources, &Options::default());
        assert!(write(&draft).unwrap().contains(&format!("format: {name} ")), "{}", write(&draft).unwrap());
    };
    check("httplog", "http");
    check("tcplog", "tcp");
}

#[test]
fn what_cannot_be_said_is_a_problem() {
    let check = |change: fn(&mut Draft), expected: &str| {
        let mut draft = every::plan();
        change(&mut draft);
        let problems = write(&draft).err().unwrap_or_default();
        assert!(problems.iter().any(|p| p.what.contains(expected)), "{expected}: {}", shown(&problems));
    };
    check(|d| d.sites[1].name = d.sites[0].name.clone(), "two sites");
    check(|d| d.pools[0].servers[1].name = d.pools[0].servers[0].name.clone(), "two servers");
    check(|d| d.process.logs[0].facility = 77, "facility 77");
    check(|d| d.pools[0].timeouts.connect = Some(std::time::Duration::MAX), "cannot be written");
    check(
        |d| d.pools[0].servers[0].address = plan::ServerAddress::Name("10.0.0.1".into(), 80),
        "cannot be written",
    );
    check(|d| d.problems.push(plan::Problem::new(plan::Place::none(), "wrong before")), "wrong before");
}

#[test]
fn large_deep_and_odd_files_are_refused_with_their_place() {
    let check = |text: &str, expected: &str| {
        let draft = read_text(text);
        let told = shown(&draft.problems);
        assert!(told.contains(expected), "{expected} in {told:?}");
    };
    check(&format!("sites: {}{}", "[".repeat(100), "]".repeat(100)), "nested too deeply");
    check(&format!("sites: {}a{}", "{b: ".repeat(100), "}".repeat(100)), "nested too deeply");
    check("a: &x [1]\nb: [*x, *x]\n", "mainstay.yaml:1:");
    check("a: &x [1]\nb: [*x, *x]\n", "anchors");
    check("sites: !tag {}\n", "tags");
    check("sites: {}\n---\nsites: {}\n", "second document");
    check("sites: {a: {pool: x}}\nsites: {}\n", "stands here twice");
    check("- a\n", "a map is expected");
    check("sites:\n  a: [1\n", "no YAML");
    check("x: 1\n", "'x' is not known");
    let deep = format!(
        "sites: {{a: {{routes: [{{pool: p, when: '{}path{}'}}]}}}}",
        "(".repeat(500),
        ")".repeat(500)
    );
    check(&deep, "nested too deeply");
    let many: String = (1..400).map(|n| format!("  c{n}: c{} found\n", n + 1)).collect();
    check(&format!("conditions:\n{many}  c400: path found\n"), "expected");
    let chain: String = (1..400).map(|n| format!("  c{n}: not c{}\n", n - 1)).collect();
    check(&format!("conditions:\n  c0: path found\n{chain}"), "rest on one another");
    let chain: String = (1..400).map(|n| format!("  c{n}: not c{}\n", n + 1)).collect();
    check(&format!("conditions:\n{chain}  c400: path found\n"), "nested too deeply");
    check("conditions:\n  a: b\n  b: a\n", "rests on itself");
    let files = [("x.yaml".to_owned(), vec![0xff, 0xfe])];
    assert!(
        shown(&read(&files, None, &NoSources, &Options::default()).problems)
            .contains("x.yaml:1: the file is not text")
    );
    assert!(read_text("").problems.is_empty());
    assert!(read_text("# nothing\nsites:\n").problems.is_empty());
}

#[test]
fn the_manual_has_a_correct_example_and_every_name() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mainstay-yaml.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, rest) = manual.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let draft = read_text(example);
    round_trip("the manual", &draft);
    draft.resolve().map_err(|p| shown(&p)).unwrap();
    for name in super::words() {
        assert!(manual.contains(&format!("`{name}")), "'{name}' is missing in the manual");
    }
}

/// A generator of numbers that is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let text = write(&every::plan()).unwrap().into_bytes();
    let words: [&[u8]; 16] = [
        b"${", b"}", b"\"", b"'", b"\\x", b"(", b")", b" not ", b" | ", b"[", b"]", b": ", b"\n", b"\xff",
        b"..", b"0x",
    ];
    let mut numbers = Numbers(7);
    for _ in 0..300 {
        let mut bytes = text.clone();
        for _ in 0..=numbers.below(6) {
            let at = numbers.below(bytes.len());
            match numbers.below(4) {
                0 => bytes[at] = numbers.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.drain(at..(at + numbers.below(20)).min(bytes.len() - 1).max(at))),
                _ => drop(bytes.splice(at..at, words[numbers.below(words.len())].iter().copied())),
            }
        }
        let files = [("x.yaml".to_owned(), bytes)];
        let draft = read(&files, None, &NoSources, &Options::default());
        if draft.problems.is_empty() {
            let _ = write(&draft);
        }
    }
}

/// Any text survives in any position: names, texts, templates, patterns.
#[test]
fn any_text_survives() {
    let parts = [
        "a",
        " ",
        "\"",
        "'",
        "\\",
        "${",
        "$",
        "{",
        "}",
        ":",
        ": ",
        "#",
        " #",
        "\n",
        "\r",
        "\t",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "é",
        "漢",
        "\u{1f600}",
        "\u{0}",
        "\u{7f}",
        "-",
        "- ",
        "?",
        "[",
        "]",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "~",
        "null",
        "true",
        "0x1f",
        "1e3",
        "---",
        "...",
        "=",
        "<<",
        "\u{a0}",
        "\u{fffe}",
        "\u{1b}",
    ];
    let mut numbers = Numbers(1);
    for round in 0..600 {
        let text: String = (0..=numbers.below(6)).map(|_| parts[numbers.below(parts.len())]).collect();
        let mut bytes = text.clone().into_bytes();
        if numbers.below(3) == 0 {
            bytes.push(0x80 + numbers.below(0x7f) as u8);
        }
        round_trip(&format!("text {round} {text:?}"), &every::with_text(&text, &bytes));
    }
}
