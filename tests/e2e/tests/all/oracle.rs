//! The same input to Mainstay and to Debian's HAProxy or nginx: both must do the same.
//!
//! Cases are files; `e2e::oracle` says how they are written. `ORACLE=NAME` plays only some.

use std::path::Path;

use e2e::oracle::{play_all, stage};
use e2e::{Program, cases};

#[test]
fn both_do_the_same() {
    let files = cases::all("oracle", "cfg");
    assert!(files.len() >= 20, "the cases are missing");
    play_all(&files);
}

/// `cases/nginx`: the same with an nginx.conf and Debian's nginx.
#[test]
fn both_do_the_same_with_an_nginx_conf() {
    let files = cases::all("nginx", "conf");
    assert!(!files.is_empty(), "the cases are missing");
    play_all(&files);
}

/// `cases/real`: whole configurations as operators write them.
#[test]
fn real_configurations_do_the_same() {
    let files = cases::all("real", "cfg");
    assert!(files.len() >= 20, "the cases are missing");
    play_all(&files);
}

/// `cases/oracle/later`: what HAProxy does and we do not, yet. Each line that ends with `# later` must be
/// refused with its place, never taken and ignored; a case that we take belongs into the folder above.
#[test]
fn what_we_cannot_do_yet_is_refused() {
    for file in cases::all("oracle/later", "cfg") {
        refused(&file);
    }
}

fn refused(file: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let text = stage::filled_by_anything(file, directory.path());
    let path = directory.path().join("haproxy.cfg");
    std::fs::write(&path, &text).unwrap();
    let theirs = Program::oracle().check(&path);
    assert!(theirs.status.success(), "HAProxy takes {}", file.display());
    if !Program::subject().is_mainstay() {
        return;
    }
    let ours = Program::subject().check(&path);
    let said = String::from_utf8_lossy(&ours.stderr) + String::from_utf8_lossy(&ours.stdout);
    assert_eq!(ours.status.code(), Some(1), "we take {} now: move it up", file.display());
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| line.ends_with("# later")) {
        assert!(said.contains(&format!("haproxy.cfg:{number}:")), "{line} is not named in:\n{said}");
    }
}
