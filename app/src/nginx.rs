//! nginx's command line, for service files, scripts and its own test harness (its manual page, nginx(8)).

use crate::{background, run, say};
use plan::Problem;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use supervisor::{Input, Manner, Options};

/// Where the configuration is when nothing is said.
const FILE: &str = "/etc/nginx/nginx.conf";
/// Where errors go when neither the command line nor the file says.
const ERROR_LOG: &str = "/var/log/nginx/error.log";

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Asked {
    help: bool,
    version: bool,
    configured: bool,
    test: bool,
    dump: bool,
    quiet: bool,
    prefix: Option<String>,
    error_log: Option<String>,
    file: Option<String>,
    globals: String,
    signal: Option<Order>,
}

/// What `-s` tells the running process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Stop,
    Quit,
    Reopen,
    Reload,
}

/// Runs nginx's command line. `arguments` are those after the program's name.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let asked = match parse(arguments) {
        Ok(asked) => asked,
        Err(message) => {
            say::err(&format!("nginx: {message}"));
            return ExitCode::from(1);
        }
    };
    if asked.help || asked.version || asked.configured {
        return tell(&asked);
    }
    // As nginx: the log is there before anything else can go wrong.
    touch(&asked);
    let check = asked.test || asked.dump;
    match &asked.signal {
        Some(order) => send(&asked, *order),
        None if check => test(&asked),
        None => start(&asked),
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let Some(letters) = argument.strip_prefix('-') else {
            return Err(format!("invalid option: \"{argument}\""));
        };
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            match letter {
                '?' | 'h' => (asked.help, asked.version) = (true, true),
                'v' => asked.version = true,
                'V' => (asked.version, asked.configured) = (true, true),
                't' => asked.test = true,
                'T' => (asked.test, asked.dump) = (true, true),
                'q' => asked.quiet = true,
                'p' | 'e' | 'c' | 'g' | 's' => {
                    let attached = (!rest.is_empty()).then(|| rest.to_owned());
                    let value = attached.or_else(|| arguments.next()).filter(|value| !value.is_empty());
                    set(&mut asked, letter, value)?;
                    rest = "";
                }
                other => return Err(format!("invalid option: \"{other}\"")),
            }
        }
    }
    Ok(asked)
}

fn set(asked: &mut Asked, letter: char, value: Option<String>) -> Result<(), String> {
    let needs = |what: &str| format!("option \"-{letter}\" requires {what}");
    match letter {
        'p' => asked.prefix = Some(value.ok_or_else(|| needs("directory name"))?),
        'e' => asked.error_log = Some(value.ok_or_else(|| needs("file name"))?),
        'c' => asked.file = Some(value.ok_or_else(|| needs("file name"))?),
        'g' => asked.globals = value.ok_or_else(|| needs("parameter"))?,
        _ => {
            let value = value.ok_or_else(|| needs("parameter"))?;
            asked.signal = Some(match value.as_str() {
                "stop" => Order::Stop,
                "quit" => Order::Quit,
                "reopen" => Order::Reopen,
                "reload" => Order::Reload,
                _ => return Err(format!("invalid option: \"-s {value}\"")),
            });
        }
    }
    Ok(())
}

fn tell(asked: &Asked) -> ExitCode {
    say::err(&format!(
        "nginx version: nginx/{} (mainstay {})",
        dialects::nginx::VERSION,
        env!("CARGO_PKG_VERSION")
    ));
    if asked.configured {
        say::err(&format!("configure arguments: {}", dialects::nginx::directives::configure_arguments()));
    }
    if asked.help {
        say::err(USAGE);
    }
    ExitCode::SUCCESS
}

const USAGE: &str =
    "Usage: nginx [-?hvVtTq] [-s signal] [-p prefix] [-e filename] [-c filename] [-g directives]

Options:
  -?,-h         : this help
  -v            : show version
  -V            : show version and what is built in
  -t            : test the configuration
  -T            : test the configuration and write out its files
  -q            : say nothing but errors when testing
  -s signal     : tell the running process: stop, quit, reopen, reload
  -p prefix     : folder that relative paths begin at
  -e filename   : where errors go unless the configuration says (default: /var/log/nginx/error.log)
  -c filename   : configuration (default: /etc/nginx/nginx.conf)
  -g directives : directives besides those of the configuration";

impl Asked {
    /// The configuration: relative to the prefix when there is one.
    fn path(&self) -> PathBuf {
        let file = self.file.as_deref().unwrap_or(FILE);
        self.prefix().map_or_else(|| PathBuf::from(file), |prefix| prefix.join(file))
    }

    fn prefix(&self) -> Option<PathBuf> {
        // A path must stay right when the working folder changes.
        self.prefix.as_ref().map(|prefix| std::path::absolute(prefix).unwrap_or_else(|_| prefix.into()))
    }

    fn input(&self) -> Input {
        Input {
            files: vec![self.path()],
            dialect: Some(dialects::Dialect::Nginx),
            nginx: dialects::nginx::Start {
                prefix: self.prefix(),
                error_log: self.error_log.clone(),
                globals: self.globals.clone(),
            },
            ..Input::default()
        }
    }

    /// The log of what goes wrong before the configuration is known; `None` = standard error only.
    fn early_log(&self) -> Option<File> {
        let name = self.error_log.as_deref().unwrap_or(ERROR_LOG);
        if name == "stderr" {
            return None;
        }
        let path = self.prefix().unwrap_or_default().join(name);
        OpenOptions::new().append(true).create(true).mode(0o644).open(path).ok()
    }
}

/// Makes the log of the command line when it was named there; nginx only complains when it cannot.
fn touch(asked: &Asked) {
    if let (Some(name), None) = (&asked.error_log, asked.early_log())
        && name != "stderr"
    {
        say::err(&format!("nginx: [alert] could not open error log file: \"{name}\""));
    }
}

/// Problems on standard error and in the log, as nginx tells them; but all of them.
fn refuse(asked: &Asked, problems: &[Problem]) {
    let mut log = asked.early_log();
    for problem in problems {
        let text = dialects::nginx::emergency(problem);
        say::err(&format!("nginx: [emerg] {text}"));
        if !problem.hint.is_empty() {
            say::err(&format!("    hint: {}", problem.hint));
        }
        if let Some(log) = &mut log {
            let now = jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
            let pid = std::process::id();
            // A full disk must not hide what is told on standard error.
            let _ = writeln!(log, "{now} [emerg] {pid}#{pid}: {text}");
        }
    }
}

fn test(asked: &Asked) -> ExitCode {
    let file = asked.path().display().to_string();
    let plan = match supervisor::load(&asked.input()) {
        Ok(plan) => plan,
        Err(problems) => {
            refuse(asked, &problems);
            say::err(&format!("nginx: configuration file {file} test failed"));
            return ExitCode::from(1);
        }
    };
    for note in plan.notes.iter().filter(|note| note.warning) {
        let problem = Problem::new(note.place.clone(), &*note.what);
        say::err(&format!("nginx: [warn] {}", dialects::nginx::emergency(&problem)));
    }
    if !asked.quiet {
        say::err(&format!("nginx: the configuration file {file} syntax is ok"));
        say::err(&format!("nginx: configuration file {file} test is successful"));
    }
    if asked.dump { dump(asked) } else { ExitCode::SUCCESS }
}

/// All files of the configuration, each below its name, on standard output.
fn dump(asked: &Asked) -> ExitCode {
    let files = match supervisor::nginx_files(&asked.input()) {
        Ok(files) => files,
        Err(problems) => {
            refuse(asked, &problems);
            return ExitCode::from(1);
        }
    };
    let mut out = std::io::stdout().lock();
    for file in files {
        let parts = [b"# configuration file ", file.path.as_bytes(), b":\n", &file.text, b"\n"];
        if parts.iter().try_for_each(|part| out.write_all(part)).is_err() {
            return ExitCode::from(1);
        }
    }
    if out.flush().is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn start(asked: &Asked) -> ExitCode {
    background::settle();
    if !background::is_child() && supervisor::load(&asked.input()).is_ok_and(|plan| plan.process.daemon) {
        return background::start("nginx");
    }
    let options = Options {
        input: asked.input(),
        name: "nginx".into(),
        manner: Manner::NGINX,
        // Whoever started the child waits for its word.
        quiet: !background::is_child(),
        ..Options::default()
    };
    run::with(&options, |problems| refuse(asked, problems))
}

/// Tells the running process, found by its pid file.
fn send(asked: &Asked, order: Order) -> ExitCode {
    use rustix::process::Signal;
    let signal = match order {
        Order::Stop => Signal::TERM,
        Order::Quit => Signal::QUIT,
        Order::Reopen => Signal::USR1,
        Order::Reload => Signal::HUP,
    };
    let pid = match running(asked) {
        Ok(pid) => pid,
        Err(text) => {
            say::err(&format!("nginx: [error] {text}"));
            return ExitCode::from(1);
        }
    };
    match rustix::process::kill_process(pid, signal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = dialects::nginx::values::told(&error.into());
            let (pid, number) = (pid.as_raw_nonzero(), signal.as_raw());
            say::err(&format!("nginx: [alert] kill({pid}, {number}) failed ({error})"));
            ExitCode::from(1)
        }
    }
}

/// The process that the configuration's pid file names.
fn running(asked: &Asked) -> Result<rustix::process::Pid, String> {
    let plan = supervisor::load(&asked.input()).map_err(|problems| {
        refuse(asked, &problems);
        format!("configuration file {} cannot be used", asked.path().display())
    })?;
    let path =
        plan.process.pid_file.clone().ok_or("the configuration names no pid file (\"pid\" directive)")?;
    let failed =
        |error| format!("open() \"{}\" failed ({})", path.display(), dialects::nginx::values::told(&error));
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let number = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    number.ok_or_else(|| invalid_pid(&text, &path))
}

fn invalid_pid(text: &str, path: &Path) -> String {
    format!("invalid PID number \"{}\" in \"{}\"", text.trim_end(), path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Asked, String> {
        parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn options_as_nginx_takes_them() {
        let asked = |asked: Asked| Ok(asked);
        let base = Asked::default;
        assert_eq!(
            parsed(&["-p", "/x/", "-c", "a.conf", "-e", "err"]),
            asked(Asked {
                prefix: Some("/x/".into()),
                file: Some("a.conf".into()),
                error_log: Some("err".into()),
                ..base()
            })
        );
        assert_eq!(
            parsed(&["-tqc", "a.conf"]),
            asked(Asked { test: true, quiet: true, file: Some("a.conf".into()), ..base() })
        );
        assert_eq!(parsed(&["-ca.conf"]), asked(Asked { file: Some("a.conf".into()), ..base() }));
        assert_eq!(parsed(&["-T"]), asked(Asked { test: true, dump: true, ..base() }));
        assert_eq!(parsed(&["-s", "reload"]), asked(Asked { signal: Some(Order::Reload), ..base() }));
        assert_eq!(parsed(&["-g", "daemon off;"]), asked(Asked { globals: "daemon off;".into(), ..base() }));
    }

    #[test]
    fn options_as_nginx_refuses_them() {
        for (words, expected) in [
            (&["-x"][..], "invalid option: \"x\""),
            (&["x"], "invalid option: \"x\""),
            (&["-s", "what"], "invalid option: \"-s what\""),
            (&["-c"], "option \"-c\" requires file name"),
            (&["-p", ""], "option \"-p\" requires directory name"),
            (&["-g"], "option \"-g\" requires parameter"),
        ] {
            assert_eq!(parsed(words), Err(expected.into()));
        }
    }

    #[test]
    fn a_configuration_is_found_below_the_prefix() {
        let path = |words: &[&str]| parsed(words).unwrap_or_default().path();
        assert_eq!(path(&[]), Path::new(FILE));
        assert_eq!(path(&["-p", "/srv", "-c", "a.conf"]), Path::new("/srv/a.conf"));
        assert_eq!(path(&["-p", "/srv", "-c", "/a.conf"]), Path::new("/a.conf"));
    }
}
