//! The socket of a master process: `@1 …` goes to the worker, `show proc` and `reload` to the master.
//!
//! Master and worker are one process here, so both have the same number.

use crate::answer::Answer;
use crate::command;
use crate::control::Control;
use crate::session::{Mode, Session, Step};
use dashboard::Snapshot;
use plan::process::RuntimeLevel;

/// Where commands without a prefix go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Master {
    worker: bool,
    /// Modes that the prompt shows.
    flags: Vec<char>,
}

impl Master {
    /// `master`, `master[ReloadFailed]` or the number of the worker.
    pub fn prompt(&self, control: &dyn Control) -> String {
        let process = control.snapshot().process;
        let flags: String = match self.flags.is_empty() {
            true => String::new(),
            false => format!("({})", self.flags.iter().collect::<String>()),
        };
        match (self.worker, process.last_reload_ok) {
            (true, _) => format!("{}{flags}", process.pid),
            (false, true) => format!("master{flags}"),
            (false, false) => format!("master[ReloadFailed]{flags}"),
        }
    }
}

impl Session {
    /// What the master does with a command; `None`: it goes to the worker.
    pub(crate) fn master_step(&mut self, part: &str, control: &dyn Control) -> Option<Step> {
        let master = self.master.as_mut()?;
        let line = part.trim_start();
        let Some(prefixed) = line.strip_prefix('@') else {
            return if master.worker { None } else { Some(self.own_step(line, control)) };
        };
        let (place, rest) = prefixed.split_once([' ', '\t']).unwrap_or((prefixed, ""));
        let worker = match place.trim_start_matches('@') {
            "" | "master" | "0" => false,
            "1" => true,
            number => match number.strip_prefix('!') {
                Some(pid) if pid.parse() == Ok(control.snapshot().process.pid) => true,
                _ => {
                    return Some(self.say(&Answer::error(format!(
                        "Can't find the target PID matching the prefix '@{place}'\n"
                    ))));
                }
            },
        };
        if rest.trim().is_empty() {
            master.worker = worker;
            return Some(Step::Nothing);
        }
        Some(if worker { self.worker_step(rest, None, control) } else { self.own_step(rest.trim(), control) })
    }

    fn own_step(&mut self, line: &str, control: &dyn Control) -> Step {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["reload" | "hard-reload"] if self.level < RuntimeLevel::Operator => {
                self.say(&Answer::error("Permission denied\n"))
            }
            ["reload" | "hard-reload"] => Step::Reload,
            ["show", "proc", ..] => self.say(&Answer::data(processes(&control.snapshot()))),
            ["show", "version" | "startup-logs" | "cli", ..]
            | ["prompt" | "quit" | "operator" | "user" | "set", ..]
            | ["show", "env", ..] => self.worker_step(line, None, control),
            [mode @ ("expert-mode" | "experimental-mode" | "mcli-debug-mode"), ..] => {
                self.flag(mode, words.get(1).copied());
                if mode == "mcli-debug-mode" {
                    self.say(&Answer::done())
                } else {
                    self.worker_step(line, None, control)
                }
            }
            ["help", ..] => self.say(&Answer::data(format!("{HEAD}{HELP}"))),
            _ => self.say(&Answer::error(format!("Unknown command. {HEAD}{HELP}"))),
        }
    }

    fn flag(&mut self, mode: &str, switch: Option<&str>) {
        let letter = match mode {
            "experimental-mode" => 'x',
            "expert-mode" => 'e',
            _ => 'd',
        };
        if let (Some(master), Some(switch)) = (self.master.as_mut(), switch) {
            master.flags.retain(|flag| *flag != letter);
            if switch == "on" {
                master.flags.push(letter);
            }
        }
    }

    /// Commands of the line, for the master: everything behind `@@…` belongs together.
    pub(crate) fn parts<'l>(&self, line: &'l str) -> Vec<&'l str> {
        command::commands(line)
    }

    /// Nothing more comes after the lines that are here.
    pub(crate) fn ends_after_input(&self) -> bool {
        self.mode == Mode::Once && self.master.is_none()
    }
}

const HEAD: &str = "The following commands are valid at this level:\n";

const HELP: &str = "  @1 [<command>]                          : the worker, for this command or from now on
  @!<pid> [<command>]                     : the process with this number
  @master                                 : back to the master
  experimental-mode [on|off]              : allow commands that may still change
  expert-mode [on|off]                    : accepted; there are no such commands here
  hard-reload                             : reload; connections go on as with reload
  operator                                : lower the rights of this session to operator
  reload                                  : read the configuration again
  show cli level                          : rights of this session
  show cli sockets                        : runtime sockets
  show env [<var>]                        : environment of the process
  show proc                               : processes
  show startup-logs                       : what was said at the start or the last reload
  show version                            : version of this process
  user                                    : lower the rights of this session to user
  help                                    : this list
  prompt [help | n | i | p | timed]*      : how the session goes on
  quit                                    : end this session
";

/// `show proc`.
fn processes(snapshot: &Snapshot) -> String {
    let process = &snapshot.process;
    let uptime = |s: u64| format!("{}d{:02}h{:02}m{:02}s", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
    let mut text = format!(
        "{:<15} {:<15} {:<15} {:<15} {:<15}\n",
        "#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"
    );
    let reloads = format!("{} [failed: {}]", process.reloads, process.failed_reloads);
    let (up, version) = (process.uptime_s, &process.version);
    text += &format!("{:<15} {:<15} {reloads:<15} {:<15} {version:<15}\n", process.pid, "master", uptime(up));
    text += "# workers\n";
    let since = uptime(process.reloaded_s);
    text += &format!("{:<15} {:<15} {:<15} {since:<15} {version:<15}\n", process.pid, "worker", 0);
    text
}
