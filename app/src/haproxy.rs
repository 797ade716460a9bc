//! HAProxy's command line, for service files and its own test harness (management manual of HAProxy, section 3).

use crate::{alerts, background, run, say};
use std::path::PathBuf;
use std::process::ExitCode;
use supervisor::{Input, Manner, Options, Replaces};

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
    /// Limit of frontends that set none.
    site_connections: Option<u32>,
    memory_mb: Option<u32>,
    /// Socket of a process whose listeners are to be taken over.
    old_socket: Option<String>,
    replaces: Option<Replaces>,
    /// Master and worker.
    master: bool,
    master_socket: Option<String>,
    /// Our name among peers.
    local_peer: Option<String>,
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
        asked if leaves_foreground(&asked) => background::start("haproxy"),
        asked => start(asked),
    }
}

const USAGE: &str = "usage: haproxy [-f FILE|DIR]… [-c] [-d] [-D] [-W] [-Ws] [-db] [-p PIDFILE] [-m MB] [-n MAXCONN] \
                     [-N MAXCONN] [-S SOCKET] [-sf|-st PID…] [-L NAME] [-C DIR] [-q] [-V] [-v] [-vv] [-cc CONDITION] [-- FILE…]";

fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        let mut value = |what: &str| arguments.next().ok_or_else(|| format!("{argument} needs {what}"));
        match argument.as_str() {
            "-f" => asked.files.push(value("a file")?.into()),
            "-c" => asked.check = true,
            "-cc" => asked.condition = Some(value("a condition")?),
            "-p" => asked.pid_file = Some(value("a file")?.into()),
            "-C" => asked.folder = Some(value("a folder")?.into()),
            "-S" => asked.master_socket = Some(value("an address")?),
            "-L" => asked.local_peer = Some(value("a name")?),
            "-n" => asked.max_connections = Some(number(&argument, &value("a number")?)?),
            "-N" => asked.site_connections = Some(number(&argument, &value("a number")?)?),
            "-m" => asked.memory_mb = Some(number(&argument, &value("a number")?)?),
            "-x" => asked.old_socket = Some(value("a socket")?),
            "-sf" | "-st" => {
                let mut processes = Vec::new();
                while let Some(pid) = arguments.next_if(|next| next.parse::<i32>().is_ok_and(|pid| pid > 0)) {
                    processes.extend(pid.parse::<i32>());
                }
                // Without a number there is nobody to replace: scripts write `-sf $(cat PIDFILE)`.
                let replaces = Replaces { processes, gracefully: argument == "-sf" };
                asked.replaces = Some(replaces).filter(|replaces| !replaces.processes.is_empty());
            }
            "-V" => asked.verbose = true,
            "-v" => asked.version = Some(Detail::Short),
            "-vv" => asked.version = Some(Detail::Long),
            "-q" => asked.quiet = true,
            "-dW" => asked.zero_warning = true,
            "--" => asked.files.extend(arguments.by_ref().map(PathBuf::from)),
            "-D" => asked.daemon = true,
            "-d" | "-db" => asked.foreground = true,
            "-W" => asked.master = true,
            "-Ws" => (asked.master, asked.foreground) = (true, true),
            "-dI" | "-dD" | "-dr" | "-dR" | "-dS" | "-dF" | "-dZ" | "-de" | "-dp" | "-dV" | "-dG" | "-dC"
            | "-dL" | "-dT" | "-dk" => {}
            other if other.starts_with("-dM") || other.starts_with("-dK") => {}
            other => return Err(format!("unknown option '{other}'")),
        }
    }
    Ok(asked)
}

fn number(option: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{option}: '{text}' is not a number"))
}

fn input(asked: &Asked) -> Input {
    Input {
        files: asked.files.clone(),
        dialect: Some(dialects::Dialect::Haproxy),
        zero_warning: asked.zero_warning,
        local_peer: asked.local_peer.clone(),
        ..Input::default()
    }
}

fn check(asked: &Asked) -> ExitCode {
    match supervisor::load(&input(asked)) {
        Ok(plan) => {
            let warned = plan.notes.iter().filter(|note| note.warning);
            warned.for_each(alerts::warning);
            if asked.verbose {
                say::out("Configuration file is valid");
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            alerts::problems(&problems);
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
    notices(&asked);
    let master_socket = match asked.master_socket.as_deref().map(dialects::haproxy::master_socket).transpose()
    {
        Ok(socket) => socket.filter(|_| asked.master),
        Err(problems) => {
            alerts::problems(&problems);
            return ExitCode::from(1);
        }
    };
    let options = Options {
        master: asked.master,
        master_socket,
        replaces: asked.replaces.clone(),
        site_connections: asked.site_connections,
        input: input(&asked),
        name: "haproxy".into(),
        pid_file: asked.pid_file,
        manner: Manner::HAPROXY,
        max_connections: asked.max_connections,
        quiet: asked.quiet,
    };
    run::with(&options, alerts::problems)
}

/// What the command line asks for and does not get.
fn notices(asked: &Asked) {
    if asked.quiet {
        return;
    }
    if let Some(mb) = asked.memory_mb {
        alerts::notice(&format!(
            "-m {mb}: memory is not limited here; let the service manager do it (MemoryMax=)"
        ));
    }
    if let Some(socket) = asked.old_socket.as_ref().filter(|socket| *socket != "/dev/null") {
        alerts::notice(&format!(
            "-x {socket}: listeners are not taken over; reload in place (SIGHUP) loses nothing"
        ));
    }
    if asked.master_socket.is_some() && !asked.master {
        alerts::notice("-S: there is a master's socket with -W or -Ws only");
    }
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
        let replaces = |line: &str| parsed(line).unwrap_or_default().replaces;
        let pids = Replaces { processes: vec![12, 34], gracefully: true };
        assert_eq!(replaces("-f a -sf 12 34 -dW"), Some(pids.clone()));
        assert_eq!(replaces("-st 12 34"), Some(Replaces { gracefully: false, ..pids }));
        assert_eq!(replaces("-f a -sf"), None);
        assert_eq!(
            parsed("-W -S /run/m.sock").map(|a| (a.master, a.master_socket)),
            Ok((true, Some("/run/m.sock".into())))
        );
        assert!(parsed("-f").is_err());
        assert!(parsed("--frobnicate").is_err());
    }
}
