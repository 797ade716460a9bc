//! Bytes from outside never panic the reader: mutated cases, and inputs made to be expensive.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

/// A small generator of numbers, so that every run tries the same inputs.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn cases(dialect: &str, kind: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(dialect);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let is_case = |p: &&std::path::PathBuf| p.extension().is_some_and(|e| e == kind);
    paths.iter().filter(is_case).map(|p| std::fs::read(p).unwrap()).collect()
}

#[test]
fn mutated_cases_never_panic() {
    play(&cases("haproxy", "cfg"), dialects::read_any);
    play(&cases("nginx", "conf"), dialects::read_any_nginx);
}

fn play(cases: &[Vec<u8>], read: fn(&[u8])) {
    let mut numbers = Numbers(1);
    for round in 0..400 {
        let mut bytes = cases[round % cases.len()].clone();
        for _ in 0..1 + numbers.below(20) {
            mutate(&mut bytes, &mut numbers, cases);
        }
        read(&bytes);
    }
}

fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers, cases: &[Vec<u8>]) {
    const TELLING: &[&[u8]] = &[
        b"\"",
        b"'",
        b"\\",
        b"${",
        b"%[",
        b"%{",
        b"{",
        b"}",
        b"(",
        b")",
        b"!",
        b" ",
        b"\n",
        b",",
        b":",
        b"\xff",
        b"-",
        b"0",
        b"99999999999",
        b".if ",
        b"from ",
    ];
    let at = numbers.below(bytes.len());
    match numbers.below(5) {
        0 if !bytes.is_empty() => drop(bytes.remove(at)),
        1 => bytes.truncate(at),
        2 => {
            let other = &cases[numbers.below(cases.len())];
            let from = numbers.below(other.len());
            let to = (from + numbers.below(80)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        3 if !bytes.is_empty() => bytes[at] = numbers.below(256) as u8,
        _ => {
            let word = TELLING[numbers.below(TELLING.len())];
            bytes.splice(at..at, word.iter().copied());
        }
    }
}

#[test]
fn expensive_inputs_end_soon() {
    let inputs = [
        ".if 1\n".repeat(100_000),
        ".elif 1\n.else\n.endif\n".repeat(10_000),
        "!".repeat(1 << 20),
        format!("frontend f\n http-request deny if {}", "! ".repeat(200_000)),
        format!("frontend f\n http-request deny if {}", "TRUE or ".repeat(60_000)),
        format!("frontend f\n acl a src {}", "10.0.0.0/8 ".repeat(60_000)),
        format!(
            "frontend f\n acl a path {}\n{}",
            "/x ".repeat(50_000),
            " use_backend b if a\n".repeat(20_000)
        ),
        format!("frontend f\n log-format \"{}\"", "%ci ".repeat(100_000)),
        format!("frontend f\n http-request set-header a %[src{}]", ",lower".repeat(100_000)),
        format!("frontend f\n bind {}", ":1-65535,".repeat(1000)),
        format!(
            "global\n setenv A {}\n{}",
            "x".repeat(100_000),
            " description \"$A$A$A$A$A\"\n".repeat(10_000)
        ),
        "a ".repeat(500_000),
        "frontend f\n".repeat(50_000),
        format!("frontend f\n acl r path_reg {}", "(a{1000}){1000}"),
        format!("{}\n frontend f\n", "x".repeat(1 << 20)),
        "\\".repeat(1 << 20),
        "\"".repeat((1 << 20) + 1),
    ];
    for input in &inputs {
        dialects::read_any(input.as_bytes());
    }
    let inputs = [
        "http{".repeat(100_000),
        "pid a;".repeat(200_000),
        "user a;\n".repeat(100_000) + "x;",
        "a ".repeat(500_000),
        format!("pid {};", "x".repeat(1 << 20)),
        format!("events {{ {} }}", "debug_connection 10.0.0.0/8;".repeat(50_000)),
        format!("worker_shutdown_timeout {};", "1s".repeat(1000)),
        "x_by_lua_block {".repeat(50_000),
        "include *;".repeat(50_000),
        "\"\\".repeat(1 << 19),
    ];
    for input in &inputs {
        dialects::read_any_nginx(input.as_bytes());
    }
}
