//! Leaving the foreground, for HAProxy's `-D` and `daemon` and nginx's `daemon on`: the program starts itself once more and waits until
//! that child is ready or has said why it is not.

use crate::say;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Set for the child.
const MARK: &str = "MAINSTAY_BACKGROUND";

/// True in the child.
pub fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the child with the same arguments, called by `name`; exit 0 once it is ready, 1 with its words otherwise.
pub fn start(name: &str) -> ExitCode {
    match spawn(name) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say::err(&format!("{name}: start in the background: {error}"));
            ExitCode::from(1)
        }
    }
}

fn spawn(name: &str) -> std::io::Result<bool> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(words) = child.stderr.take() else { return Ok(false) };
    for line in BufReader::new(words).lines() {
        let line = line?;
        if line == "mainstay: ready" {
            return Ok(true);
        }
        say::err(&line);
    }
    Ok(false)
}

/// In the child: a session of its own, so that the terminal's signals do not reach it.
pub fn settle() {
    if is_child() {
        let _ = rustix::process::setsid();
    }
}
