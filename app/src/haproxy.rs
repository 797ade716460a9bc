//! HAProxy's command line, for service files and its own test harness (management manual of HAProxy, section 3).

use crate::{background, run, say};
use std::path::PathBuf;
use std::process::ExitCode;
use supervisor::{Input, Options};

/// Version whose language is spoken, as `-v` and `-cc` tell it.
const VERSION: &str = dialects::haproxy::VERSION;
const RELEASED: &str = "2026/11/20";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    files: Vec<PathBuf>,
    check: bool,
    verbose: bool,
    version: Option<Detail>,
    condition: Option<String>,
    pid_file: Option<PathBuf>,
    max_connections: Option<u32>,
    zero_warning: bool,
    quiet: bool,
    /// Leave the foreground.
    daemon: bool,
    /// Stay there whatever the file says.
    foreground: bool,
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Detail {
    Short,
    Long,
}

/// Runs HAProxy's command line. `arguments` are those after the program's name.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let asked = match parse(arguments) {
        Ok(asked) => asked,
        Err(message) => {
            say::err(&format!("haproxy: {message}\n{USAGE}"));
            return ExitCode::from(1);
        }
    };
    if let Some(folder) = &asked.folder
        && let Err(error) = std::env::set_current_dir(folder)
    {
        say::err(&format!("haproxy: enter {}: {error}", folder.display()));
        return ExitCode::from(1);
    }
    match asked {
        Asked { version: Some(detail), .. } => version(detail),
        Asked { condition: Some(condition), .. } => evaluate(&condition),
        asked if asked.check => check(&asked),
        asked if leaves_foreground(&asked) => background::start(),
        asked => start(asked),
    }
}

const USAGE: &str = "usage: haproxy [-f FILE|DIR]… [-c] [-d] [-D] [-W] [-Ws] [-db] [-p PIDFILE] [-m MB] [-n MAXCONN] \
                     [-L NAME] [-C DIR] [-q] [-V] [-v] [-vv] [-cc CONDITION] [-- FILE…]";

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(argument) = arguments.next() {
        let mut value = |what: &str| arguments.next().ok_or_else(|| format!("{argument} needs {what}"));
        match argument.as_str() {
            "-f" => asked.files.push(value("a file")?.into()),
            "-c" => asked.check = true,
            "-cc" => asked.condition = Some(value("a condition")?),
            "-p" => asked.pid_file = Some(value("a file")?.into()),
            "-C" => asked.folder = Some(value("a folder")?.into()),
            "-n" => {
                let text = value("a number")?;
                asked.max_connections =
                    Some(text.parse().map_err(|_| format!("-n: '{text}' is not a number"))?);
            }
            "-L" | "-m" | "-N" | "-S" | "-x" => drop(value("a value")?),
            // Process ids of an instance to be replaced: ours reloads in place, so there is none.
            "-sf" | "-st" => break,
            "-V" => asked.verbose = true,
            "-v" => asked.version = Some(Detail::Short),
            "-vv" => asked.version = Some(Detail::Long),
            "-q" => asked.quiet = true,
            "-dW" => asked.zero_warning = true,
            "--" => asked.files.extend(arguments.by_ref().map(PathBuf::from)),
            "-D" => asked.daemon = true,
            "-d" | "-db" | "-Ws" => asked.foreground = true,
            "-W" | "-dI" | "-dD" | "-dr" | "-dR" | "-dS" | "-dF" | "-dZ" | "-de" | "-dp" | "-dV" | "-dG"
            | "-dC" | "-dL" | "-dT" => {}
            other if other.starts_with("-dM") || other.starts_with("-dK") => {}
            other => return Err(format!("unknown option '{other}'")),
        }
    }
    Ok(asked)
}

fn input(asked: &Asked) -> Input {
    Input {
        files: asked.files.clone(),
        dialect: Some(dialects::Dialect::Haproxy),
        zero_warning: asked.zero_warning,
        ..Input::default()
    }
}

fn check(asked: &Asked) -> ExitCode {
    match supervisor::load(&input(asked)) {
        Ok(plan) => {
            let warned = plan.notes.iter().filter(|note| note.warning);
            warned.for_each(|note| say::err(&format!("[WARNING] {note}")));
            if asked.verbose {
                say::out("Configuration file is valid");
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            problems.iter().for_each(|problem| say::err(&format!("[ALERT] {problem}")));
            ExitCode::from(1)
        }
    }
}

fn start(asked: Asked) -> ExitCode {
    background::settle();
    if asked.files.is_empty() {
        say::err(&format!("haproxy: no configuration file\n{USAGE}"));
        return ExitCode::from(1);
    }
    run::with(&Options {
        input: input(&asked),
        name: "haproxy".into(),
        pid_file: asked.pid_file,
        terminate_at_once: true,
        max_connections: asked.max_connections,
        quiet: asked.quiet,
    })
}

/// `-D`, or `daemon` in the file; but the child that was started so stays, and so do `-d`, `-db` and `-Ws`.
fn leaves_foreground(asked: &Asked) -> bool {
    if asked.foreground || background::is_child() {
        return false;
    }
    asked.daemon || supervisor::load(&input(asked)).is_ok_and(|plan| plan.process.daemon)
}

fn version(detail: Detail) -> ExitCode {
    say::out(&format!(
        "HAProxy version {VERSION}-mainstay {RELEASED} - mainstay {}",
        env!("CARGO_PKG_VERSION")
    ));
    if detail == Detail::Long {
        say::out("Build options :\n  TARGET  = linux-glibc\n\nFeature list : +EPOLL +THREAD +LINUX_SPLICE");
    }
    ExitCode::SUCCESS
}

fn evaluate(condition: &str) -> ExitCode {
    match dialects::haproxy::condition_check(condition, &|name| std::env::var(name).ok()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            say::err(&format!("haproxy: -cc: {message}"));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split(' ').map(String::from))
    }

    #[test]
    fn options_may_come_in_any_order() {
        let expected =
            Asked { files: vec!["cfg".into()], check: true, zero_warning: true, ..Asked::default() };
        assert_eq!(parsed("-c -dM -dI -dW -f cfg").as_ref(), Ok(&expected));
        assert_eq!(parsed("-f cfg -dW -dMno-merge -c").as_ref(), Ok(&expected));
    }

    #[test]
    fn values_are_taken_and_missed() {
        assert_eq!(parsed("-f a -- b c").map(|a| a.files.len()), Ok(3));
        assert_eq!(parsed("-n 100").map(|a| a.max_connections), Ok(Some(100)));
        assert!(parsed("-n many").is_err());
        assert!(parsed("-f").is_err());
        assert!(parsed("--frobnicate").is_err());
    }
}
