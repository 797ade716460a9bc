//! Rules of `tidy` about files and names: each a small function from what there is to what is to be mended.
//!
//! The words looked for are put together by `concat!`, so that this file does not find itself.

use crate::source::{File, Problem};
use crate::tidy::Crate;

/// Crates that decide and compute: their input comes as arguments, what they want done goes back to the caller.
const PURE: &[&str] = &[
    "config/plan",
    "config/dialects",
    "support/wire",
    "observe/telemetry",
    "observe/dashboard",
    "traffic/tables",
];

/// File names that are pure in every crate.
const PURE_NAMES: &[&str] = &["machine.rs", "decide.rs"];

/// Modules of pure crates that may touch the world, with the reason.
const IMPURE: &[(&str, &str)] =
    &[("observe/telemetry/src/sink", "writes the log lines: the doing beside the deciding")];

/// Runtime, sockets, files, clock, environment, threads, randomness. Types that only carry data
/// (`SocketAddr`, `Instant` as an argument) are not among them.
const IMPURE_WORDS: &[&str] = &[
    "tokio::",
    "async fn",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    ".elapsed()",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "File::open",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "rand::",
    "fastrand::",
    "getrandom::",
    "RandomState",
];

/// The only files with `unsafe`, each with the reason.
const UNSAFE: &[(&str, &str)] = &[];

/// Nothing of the outside world in what decides.
pub fn pure(files: &[File]) -> Vec<Problem> {
    let subjects = files.iter().filter(|file| must_be_pure(file));
    subjects.flat_map(|file| found(file, file.code(), IMPURE_WORDS, "is not for pure code")).collect()
}

fn must_be_pure(file: &File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let excused = IMPURE.iter().any(|(path, _)| {
        file.path.starts_with(&format!("{path}.")) || file.path.starts_with(&format!("{path}/"))
    });
    let test = name == "tests.rs" || file.path.contains("/src/") && file.path.contains("/tests/");
    !excused && !test && (PURE_NAMES.contains(&name) || PURE.iter().any(|folder| file.is_source_of(folder)))
}

/// Every Rust file opens with `//!`: what it is for, who calls it.
pub fn opens_with_purpose(files: &[File]) -> Vec<Problem> {
    let silent = files.iter().filter(|file| file.is_rust() && !file.text.starts_with("//! "));
    silent.map(|file| format!("{}: open with `//!`: what it is for, who calls it", file.path)).collect()
}

/// `unsafe` only where the list says so, and no stale line on the list.
pub fn unsafe_is_listed(files: &[File]) -> Vec<Problem> {
    let listed = |file: &File| UNSAFE.iter().any(|(path, _)| *path == file.path);
    let stray = files.iter().filter(|file| file.is_rust() && !listed(file)).flat_map(unsafe_in);
    let stale = UNSAFE
        .iter()
        .filter(|(path, _)| !files.iter().any(|file| file.path == *path && !unsafe_in(file).is_empty()));
    stray.chain(stale.map(|(path, _)| format!("{path}: on the list of unsafe files, but has none"))).collect()
}

fn unsafe_in(file: &File) -> Vec<Problem> {
    let words = [
        concat!("un", "safe {"),
        concat!("un", "safe fn"),
        concat!("un", "safe impl"),
        concat!("un", "safe extern"),
        concat!("#[un", "safe("),
        concat!("allow(un", "safe_code"),
    ];
    found(file, file.all_code(), &words, "needs a line on the list of unsafe files")
}

/// In the root manifest each dependency has its reason beside its name.
pub fn dependencies_say_why(files: &[File]) -> Vec<Problem> {
    let Some(manifest) = files.iter().find(|file| file.path == "Cargo.toml") else {
        return vec!["Cargo.toml: not there".into()];
    };
    let after =
        manifest.text.lines().skip_while(|line| !line.starts_with("[workspace.dependencies]")).skip(1);
    let section = after.take_while(|line| !line.starts_with('['));
    let dependencies = section.filter(|line| line.contains('=') && !line.starts_with('#'));
    let silent = dependencies.filter(|line| !line.contains("path = ") && !line.contains("# "));
    silent.map(|line| format!("Cargo.toml: say why beside its name: {line}")).collect()
}

/// No place-holders, no tests that never run.
pub fn nothing_unfinished(files: &[File]) -> Vec<Problem> {
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore]"),
        concat!("#[ig", "nore ="),
        concat!("#[ig", "nore="),
    ];
    let rust = files.iter().filter(|file| file.is_rust());
    rust.flat_map(|file| found(file, file.all_code(), &words, "is unfinished")).collect()
}

/// No paths of somebody's machine, no registry mirrors: the project must build elsewhere.
pub fn no_machine_names(files: &[File]) -> Vec<Problem> {
    let mirror = concat!("://index", ".crates");
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut problems = Vec::new();
    for file in files {
        for (n, line) in file.text.lines().enumerate() {
            let folder = folders.iter().find(|folder| is_absolute_in(line, folder));
            if let Some(word) = folder.copied().or(line.contains(mirror).then_some(mirror)) {
                problems.push(format!("{}:{}: {word} names a machine", file.path, n + 1));
            }
        }
    }
    problems
}

/// `folder` starts a path in `line`, and is not in the middle of one.
fn is_absolute_in(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')'))
    })
}

/// Folder name = crate name.
pub fn folder_is_name(crates: &[Crate]) -> Vec<Problem> {
    let stray = crates.iter().filter(|known| known.folder.rsplit('/').next() != Some(&known.name));
    stray.map(|known| format!("{}: holds a crate named {}", known.folder, known.name)).collect()
}

/// The map of the project shows every crate.
pub fn architecture_names_all(crates: &[Crate], files: &[File]) -> Vec<Problem> {
    let Some(map) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md: not there".into()];
    };
    let missing = crates.iter().filter(|known| !map.text.contains(&known.folder));
    missing.map(|known| format!("ARCHITECTURE.md: does not name {}", known.folder)).collect()
}

fn found<'a>(
    file: &File,
    lines: impl Iterator<Item = (usize, &'a str)>,
    words: &[&str],
    what: &str,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (n, line) in lines {
        if let Some(word) = words.iter().find(|word| has_word(line, word)) {
            problems.push(format!("{}:{n}: `{word}` {what}", file.path));
        }
    }
    problems
}

/// `word` in `line`, not as the tail of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let own_start = !word.starts_with(|c: char| c.is_alphanumeric());
        own_start || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<File> {
        vec![File { path: path.into(), text: text.into() }]
    }

    fn check(rule: fn(&[File]) -> Vec<Problem>, path: &str, text: &str, problems: usize) {
        let given = rule(&file(path, text));
        assert_eq!(given.len(), problems, "{path}: {text:?} gives {given:?}");
    }

    #[test]
    fn pure_code_touches_nothing() {
        check(pure, "config/plan/src/lib.rs", "let now = Instant::now();", 1);
        check(pure, "config/plan/src/lib.rs", "use std::net::SocketAddr; // not std::fs", 0);
        check(pure, "config/dialects/src/lib.rs", "use std::fs;\nuse std::env;", 2);
        check(pure, "config/dialects/src/lib.rs", "#[cfg(test)]\nuse std::fs;", 0);
        check(pure, "config/dialects/tests/cases.rs", "use std::fs;", 0);
        check(pure, "control/health/src/machine.rs", "let x = fastrand::u8(..);\nrand::random()", 2);
        check(pure, "control/health/src/task.rs", "Instant::now()", 0);
        check(pure, "observe/telemetry/src/sink.rs", "std::fs::write()", 0);
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        check(opens_with_purpose, "a/src/lib.rs", "//! Why.\n", 0);
        check(opens_with_purpose, "a/src/lib.rs", "use x;\n//! Why.\n", 1);
        check(opens_with_purpose, "a/README.md", "text", 0);
    }

    #[test]
    fn stray_unsafe_is_found() {
        check(unsafe_is_listed, "a/src/lib.rs", concat!("let x = un", "safe { y };"), 1);
        check(unsafe_is_listed, "a/src/lib.rs", concat!("#![allow(un", "safe_code)]"), 1);
        check(unsafe_is_listed, "a/src/lib.rs", concat!("#![forbid(un", "safe_code)]"), 0);
        check(unsafe_is_listed, "a/src/lib.rs", concat!("// un", "safe { in words }"), 0);
    }

    #[test]
    fn a_dependency_needs_its_reason() {
        let manifest = "[workspace.dependencies]\n# Ours.\nplan = { path = \"config/plan\" }\nlibc = \"0.2\" # calls\nx = \"1\"\n[other]\ny = \"1\"\n";
        check(dependencies_say_why, "Cargo.toml", manifest, 1);
        check(dependencies_say_why, "Other.toml", manifest, 1);
    }

    #[test]
    fn unfinished_things_are_found() {
        check(nothing_unfinished, "a/src/lib.rs", concat!("to", "do!()"), 1);
        check(nothing_unfinished, "a/tests/x.rs", concat!("#[ig", "nore]\n#[ig", "nore = \"slow\"]"), 2);
        check(nothing_unfinished, "a/src/lib.rs", "mastodo!()", 0);
    }

    #[test]
    fn machines_are_not_named() {
        check(no_machine_names, "docs/x.md", concat!("see /ro", "ot/notes"), 1);
        check(no_machine_names, "docs/x.md", concat!("https://index", ".crates.example"), 1);
        check(no_machine_names, "docs/x.md", concat!("in build/wo", "rk/ and ${x}/ro", "ot/"), 0);
    }

    #[test]
    fn folder_and_map_know_the_crate() {
        let stray = Crate { name: "plans".into(), folder: "config/plan".into(), ours: vec![] };
        assert_eq!(folder_is_name(&[stray]).len(), 1);
        let known = [Crate { name: "plan".into(), folder: "config/plan".into(), ours: vec![] }];
        assert!(folder_is_name(&known).is_empty());
        assert_eq!(architecture_names_all(&known, &file("ARCHITECTURE.md", "traffic/web")).len(), 1);
        assert!(
            architecture_names_all(&known, &file("ARCHITECTURE.md", "`config/plan`: meaning")).is_empty()
        );
        assert_eq!(architecture_names_all(&known, &[]).len(), 1);
    }
}
