//! Files that must not run: every problem is named with its file and line.
//!
//! `cases/bad/*.cfg`: each line that ends with `# bad` must be named, and `check` and `run` end with 1.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use e2e::{Balancer, Port, Program, cases};

use crate::farm::listen;

fn words(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{stdout}{stderr}")
}

#[test]
fn every_bad_line_is_named() {
    let files = cases::all("bad", "cfg");
    assert!(files.len() >= 5, "the cases are missing");
    for file in files {
        let output = Program::subject().check(&file);
        let said = words(&output);
        assert_eq!(output.status.code(), Some(1), "{}: {said}", file.display());
        for place in bad_places(&file) {
            assert!(said.contains(&place), "{place} is not named in:\n{said}");
        }
    }
}

/// `name.cfg:LINE` for each line marked as bad.
fn bad_places(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.file_name().unwrap().to_string_lossy();
    let numbered = (1..).zip(text.lines());
    let bad = numbered.filter(|(_, line)| line.ends_with("# bad"));
    bad.map(|(number, _)| format!("{name}:{number}")).collect()
}

#[test]
fn a_bad_file_does_not_run() {
    let bad = listen(&Port::free(), "no_such_word", &[], "");
    let mut balancer = Balancer::with(&bad).spawn();
    assert_eq!(balancer.process.wait(Duration::from_secs(5)).code(), Some(1));
    assert!(balancer.process.output().contains("haproxy.cfg:9"), "{}", balancer.process.output());
}

/// Each problem in the form that HAProxy's users and their scripts know, ours behind it.
#[test]
fn called_haproxy_it_complains_as_haproxy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, "frontend in\n  bind 127.0.0.1:1\n  mod http\n  default_backend nowhere\n")
        .unwrap();
    let output = Program::subject().called_haproxy(directory.path()).check(&file);
    let said = words(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let path = file.display();
    for part in [
        format!("config : parsing [{path}:3] : unknown keyword 'mod'"),
        "    hint: did you mean 'mode'?".to_owned(),
        format!("config : parsing [{path}:1] : 'in' sends to 'nowhere', which does not exist"),
        format!("config : Error(s) found in configuration file : {path}"),
        "config : Fatal errors found in configuration.".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in:\n{said}");
    }
    let alerts = said.lines().filter(|line| line.starts_with("[ALERT]    ("));
    assert_eq!(alerts.count(), 4, "{said}");
}

#[test]
fn a_good_file_passes_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, listen(&Port::free(), "balance roundrobin", &[], "")).unwrap();
    let output = Program::subject().check(&file);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
}

#[test]
fn a_missing_file_is_an_error() {
    let output = Program::subject().check(Path::new("/nonexistent/haproxy.cfg"));
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("/nonexistent/haproxy.cfg"));
}

#[test]
fn a_port_in_use_is_named() {
    let port = Port::free();
    let _holder = TcpListener::bind(port.address()).unwrap();
    let mut balancer = Balancer::with(&listen(&port, "", &[], "")).spawn();
    assert_eq!(balancer.process.wait(Duration::from_secs(10)).code(), Some(1));
    let said = balancer.process.output();
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
}
