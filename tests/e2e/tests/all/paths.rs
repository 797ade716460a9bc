//! Paths that try to leave the root: none of them shows a byte of what lies outside.
//!
//! Cases are lines of `cases/hostile/paths.txt`; the configuration beside it has every way from a path to a file.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use e2e::oracle::tree;
use e2e::{Balancer, Port, Program, cases};

/// What stands in files outside of the root.
const SECRETS: [&str; 2] = ["outside the root", "root:x:0"];

#[test]
fn no_path_leaves_the_root() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    tree::make(&root);
    let port = Port::free();
    let blanks = [("port", port.to_string()), ("root", root.display().to_string())];
    let blanks: Vec<_> = blanks.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = cases::fill(&cases::read("hostile/paths.conf"), &blanks);
    let config = format!("daemon off; pid {}/pid; {config}", directory.path().display());
    let program = Program::subject().called_nginx(directory.path());
    let _server = Balancer::with(&config).file_name("nginx.conf").program(&program).ports([&port]).start();
    let inside = ask(&port, "/a.txt");
    assert!(inside.starts_with("HTTP/1.1 200"), "{inside}");
    let text = cases::read("hostile/paths.txt");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() >= 60, "the cases are missing");
    let bad: Vec<_> = lines.iter().filter_map(|line| verdict(&port, line)).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert_eq!(ask(&port, "/a.txt").lines().next(), inside.lines().next());
}

/// What is wrong with the answer to a case.
fn verdict(port: &Port, line: &str) -> Option<String> {
    let (expected, target) = line.split_once('\t').unwrap();
    let answer = ask(port, target);
    let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
    let shown: String = target.chars().take(80).collect();
    if SECRETS.iter().any(|secret| answer.contains(secret)) {
        return Some(format!("{shown}: the secret is out"));
    }
    let fits = match expected {
        "*" => !status.starts_with('5') || status == "500" && target.contains("name="),
        "4xx" => status.starts_with('4'),
        expected => status == expected,
    };
    (!fits).then(|| format!("{shown}: {status} instead of {expected}"))
}

/// The whole answer to a target, sent as it stands.
fn ask(port: &Port, target: &str) -> String {
    let mut client = TcpStream::connect(port.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is fine: what came is judged.
    let _ = client.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
