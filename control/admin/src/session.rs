//! One session on a runtime socket: lines in, answers out. Pure but for [`Control`].

use crate::command::{self, Command, Output, ServerChange, ServerWord, StatRequest, Target, kind_bits};
use crate::control::Control;
use dashboard::{PoolView, Selection, ServerView, Snapshot, info, rows, servers};
use plan::process::RuntimeLevel;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;
use telemetry::clock::Calendar;

/// State of a session.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it may do; commands can lower it.
    pub level: RuntimeLevel,
    /// It stays open and shows `> ` when it waits.
    pub prompt: bool,
    /// Longest silence.
    pub timeout: Duration,
    /// It asked to be closed.
    pub closed: bool,
}

/// What a command says: text that ends in a line end, or nothing.
type Answer = String;

impl Session {
    /// A session that begins.
    pub fn new(level: RuntimeLevel, timeout: Duration) -> Session {
        Session { level, prompt: false, timeout, closed: false }
    }

    /// Runs the commands of one line and gives what to send. `payload` is what followed `<<`; no command takes
    /// one yet, so it is read and ignored as HAProxy does.
    pub fn line(&mut self, line: &str, payload: Option<&str>, control: &dyn Control) -> String {
        let _ = payload;
        let mut out = String::new();
        for part in command::commands(line) {
            if self.closed {
                break;
            }
            if part.trim().is_empty() && (self.prompt || part.len() != line.len()) {
                continue;
            }
            let answer = match command::parse(part, self.level) {
                Ok(command) => self.run(command, control),
                Err(usage) => usage.0,
            };
            if !self.closed {
                out.push_str(&answer);
                out.push('\n');
            }
        }
        // In HAProxy's interactive mode an empty line is answered by a new prompt only.
        out
    }

    fn run(&mut self, command: Command, control: &dyn Control) -> Answer {
        match command {
            Command::Help(prefix) => command::help(prefix.as_deref(), self.level),
            Command::Prompt => {
                self.prompt = !self.prompt;
                String::new()
            }
            Command::Quit => {
                self.closed = true;
                String::new()
            }
            Command::LowerLevel(level) => {
                self.level = self.level.min(level);
                String::new()
            }
            Command::ShowLevel => format!("{}\n", level_name(self.level)),
            Command::SetTimeout(seconds) => {
                self.timeout = Duration::from_secs(seconds);
                String::new()
            }
            Command::ClearCounters { all } => {
                control.clear_counters(all);
                String::new()
            }
            Command::SetProcessLimit(limit) => done(control.set_process_limit(limit)),
            Command::Server(target, word) => change_server(&target, word, control),
            Command::Site(name, change) => {
                let snapshot = control.snapshot();
                match snapshot.sites.iter().find(|s| is_named(&name, &s.name, s.id)) {
                    Some(site) => done(control.change_site(&site.name, change)),
                    None => "No such frontend.\n".to_owned(),
                }
            }
            show => self.show(show, &control.snapshot()),
        }
    }

    fn show(&self, command: Command, snapshot: &Snapshot) -> Answer {
        match command {
            Command::ShowInfo(Output::Plain) => info::info(snapshot),
            Command::ShowInfo(Output::Typed) => info::info_typed(snapshot),
            Command::ShowInfo(Output::Json) => info::info_json(snapshot),
            Command::ShowStat(request) => show_stat(&request, snapshot),
            Command::ShowServersState(pool) => {
                of_pool(snapshot, pool.as_deref(), |name| servers::servers_state(snapshot, name))
            }
            Command::ShowServersConn(pool) => {
                of_pool(snapshot, pool.as_deref(), |name| servers::servers_conn(snapshot, name))
            }
            Command::ShowBackend => {
                snapshot.pools.iter().fold("# name\n".to_owned(), |text, pool| text + &pool.name + "\n")
            }
            Command::ShowVersion => format!("{}\n", snapshot.process.version),
            Command::ShowErrors(proxy) => show_errors(proxy.as_deref(), snapshot),
            Command::ShowEvents => show_events(snapshot),
            Command::GetWeight(target) => match find(&target, snapshot) {
                Ok((_, server)) => format!("{} (initial {})\n", server.user_weight, server.initial_weight),
                Err(text) => text,
            },
            _ => String::new(),
        }
    }
}

/// Name of a level.
pub fn level_name(level: RuntimeLevel) -> &'static str {
    match level {
        RuntimeLevel::User => "user",
        RuntimeLevel::Operator => "operator",
        RuntimeLevel::Admin => "admin",
    }
}

fn done(result: Result<(), crate::control::Refusal>) -> Answer {
    match result {
        Ok(()) => String::new(),
        Err(refusal) => format!("{}\n", refusal.0.trim_end()),
    }
}

/// A word is a name, or `#` and a number.
fn is_named(word: &str, name: &str, id: u32) -> bool {
    word == name || word.strip_prefix('#').is_some_and(|number| number.parse() == Ok(id))
}

fn find<'s>(target: &Target, snapshot: &'s Snapshot) -> Result<(&'s PoolView, &'s ServerView), Answer> {
    let pool = snapshot.pools.iter().find(|p| is_named(&target.pool, &p.name, p.id));
    let pool = pool.ok_or_else(|| "No such backend.\n".to_owned())?;
    let server = pool.servers.iter().find(|s| is_named(&target.server, &s.name, s.id));
    server.map(|server| (pool, server)).ok_or_else(|| "No such server.\n".to_owned())
}

fn of_pool(snapshot: &Snapshot, word: Option<&str>, text: impl Fn(Option<&str>) -> String) -> Answer {
    match word.map(|word| snapshot.pools.iter().find(|p| is_named(word, &p.name, p.id))) {
        None => text(None),
        Some(Some(pool)) => text(Some(&pool.name)),
        Some(None) => "Can't find backend.\n".to_owned(),
    }
}

fn change_server(target: &Target, word: ServerWord, control: &dyn Control) -> Answer {
    let snapshot = control.snapshot();
    let (pool, server) = match find(target, &snapshot) {
        Ok(found) => found,
        Err(text) => return text,
    };
    match word {
        ServerWord::Change(change) => done(control.change_server(&pool.name, &server.name, change)),
        ServerWord::Weight(text) => match weight(&text, server.initial_weight) {
            Ok(weight) => done(control.change_server(&pool.name, &server.name, ServerChange::Weight(weight))),
            Err(text) => text,
        },
        ServerWord::Address(address, port) => {
            change_address(pool, server, &address, port.as_deref(), control)
        }
    }
}

/// `N` or `N%` of the weight of the file, at most 256.
fn weight(text: &str, initial: u64) -> Result<u16, Answer> {
    const MOST: u64 = 256;
    let (digits, relative) = match text.strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let bad = || "Empty weight string empty or preceded by garbage\n".to_owned();
    let number: i64 = digits.parse().map_err(|_| bad())?;
    match (relative, u64::try_from(number)) {
        (true, Ok(percent)) => Ok((initial * percent.min(100 * MOST) / 100).min(MOST) as u16),
        (true, Err(_)) => Err("Relative weight must be positive.\n".to_owned()),
        (false, Ok(weight)) if weight <= MOST => Ok(weight as u16),
        (false, _) => Err("Absolute weight can only be between 0 and 256 inclusive.\n".to_owned()),
    }
}

/// The answer tells what was changed and what was so already. Unlike HAProxy, nothing is changed when one of
/// both is wrong.
fn change_address(
    pool: &PoolView,
    server: &ServerView,
    address: &str,
    port: Option<&str>,
    control: &dyn Control,
) -> Answer {
    const BY: &str = " by 'stats socket command'\n";
    let Ok(ip) = address.parse::<IpAddr>() else { return format!("Invalid addr '{address}'{BY}") };
    let new_port = match port.map(str::parse::<u16>) {
        Some(Err(_)) => {
            return format!("problem converting port '{}' to an int{BY}", port.unwrap_or_default());
        }
        Some(Ok(port)) => Some(port),
        None => None,
    };
    let same = server.address.parse() == Ok(ip);
    let mut text = match same {
        true => "no need to change the addr".to_owned(),
        false => format!("IP changed from '{}' to '{ip}'", server.address),
    };
    match new_port {
        Some(port) if port == server.port => text.push_str(", no need to change the port"),
        Some(port) => drop(write!(text, ", port changed from '{}' to '{port}'", server.port)),
        None => {}
    }
    let moved = new_port.filter(|port| *port != server.port);
    if !same || moved.is_some() {
        let change = ServerChange::Address(ip, moved);
        if let Err(refusal) = control.change_server(&pool.name, &server.name, change) {
            return format!("{}\n", refusal.0.trim_end());
        }
    }
    text + BY
}

fn show_stat(request: &StatRequest, snapshot: &Snapshot) -> Answer {
    let mut selection =
        Selection { only_up: request.up, no_maintenance: request.no_maintenance, ..Selection::default() };
    if let Some((proxy, kinds, server)) = &request.only {
        selection.kinds = kind_bits(*kinds);
        selection.server = u32::try_from(*server).ok();
        match proxy.parse::<i64>() {
            Ok(number) => selection.proxy = u32::try_from(number).ok(),
            Err(_) if has_proxy(snapshot, proxy) => selection.names = vec![proxy.clone()],
            Err(_) => return "No such proxy.\n".to_owned(),
        }
    }
    let rows = rows::rows(snapshot, &selection);
    match request.output {
        Output::Plain => rows::csv(&rows),
        Output::Typed => rows::typed(&rows),
        Output::Json => rows::json(&rows),
    }
}

fn has_proxy(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.sites.iter().any(|s| s.name == name) || snapshot.pools.iter().any(|p| p.name == name)
}

/// Invalid requests and responses are not kept (their causes are counted): the empty form.
fn show_errors(proxy: Option<&str>, snapshot: &Snapshot) -> Answer {
    if proxy.is_some_and(|name| name != "-1" && !has_proxy(snapshot, name)) {
        return "No such proxy.\n".to_owned();
    }
    let date = Calendar::of((snapshot.now_ms / 1000) as i64).log_date();
    let (date, ms) = (String::from_utf8_lossy(&date), snapshot.now_ms % 1000);
    format!("Total events captured on [{date}.{ms:03}] : 0\n")
}

fn show_events(snapshot: &Snapshot) -> Answer {
    let mut text = String::new();
    for (at_ms, severity, event) in &snapshot.events {
        let date = Calendar::of((at_ms / 1000) as i64).iso_date();
        let _ =
            writeln!(text, "{}.{:03}Z <{severity}> {event}", String::from_utf8_lossy(&date), at_ms % 1000);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::command::SiteChange;
    use crate::control::Refusal;
    use dashboard::{ProcessView, SiteView};
    use parking_lot::Mutex;

    /// Remembers what it was asked to do.
    #[derive(Default)]
    pub(crate) struct Recorder(pub(crate) Mutex<Vec<String>>);

    impl Control for Recorder {
        fn snapshot(&self) -> Snapshot {
            let server = |name: &str, id| ServerView {
                name: name.into(),
                id,
                address: "127.0.0.1".into(),
                port: 80,
                weight: 10,
                user_weight: 7,
                initial_weight: 10,
                ..ServerView::default()
            };
            let pool = PoolView {
                name: "be".into(),
                id: 4,
                servers: vec![server("s1", 1), server("s2", 2)],
                ..PoolView::default()
            };
            Snapshot {
                now_ms: 1_795_165_884_123,
                process: ProcessView { version: "1.2.3".into(), ..ProcessView::default() },
                sites: vec![SiteView { name: "fe".into(), id: 2, ..SiteView::default() }],
                pools: vec![pool],
                events: vec![(1_795_165_884_123, 5, "Server be/s1 is UP.".into())],
            }
        }

        fn change_server(&self, pool: &str, server: &str, change: ServerChange) -> Result<(), Refusal> {
            if matches!(change, ServerChange::Agent(_)) {
                return Err(Refusal::new("Agent was not configured on this server, cannot enable."));
            }
            self.0.lock().push(format!("{pool}/{server} {change:?}"));
            Ok(())
        }

        fn add_server(&self, pool: &str, server: &str, words: &str) -> Result<u32, Refusal> {
            self.0.lock().push(format!("add {pool}/{server} {words}"));
            Ok(3)
        }

        fn remove_server(&self, pool: &str, server: &str) -> Result<(), Refusal> {
            self.0.lock().push(format!("remove {pool}/{server}"));
            Ok(())
        }

        fn change_site(&self, site: &str, change: SiteChange) -> Result<(), Refusal> {
            self.0.lock().push(format!("{site} {change:?}"));
            Ok(())
        }

        fn set_process_limit(&self, limit: u32) -> Result<(), Refusal> {
            self.0.lock().push(format!("limit {limit}"));
            Ok(())
        }

        fn clear_counters(&self, all: bool) {
            self.0.lock().push(format!("clear {all}"));
        }
    }

    fn check(line: &str, answer: &str, done: &[&str]) {
        let control = Recorder::default();
        let mut session = Session::new(RuntimeLevel::Admin, Duration::from_secs(1));
        assert_eq!(session.line(line, None, &control), answer, "{line}");
        assert_eq!(*control.0.lock(), done, "{line}");
    }

    #[test]
    fn answers_end_in_an_empty_line() {
        for (line, answer) in [
            ("show version", "1.2.3\n\n"),
            ("show version;show backend", "1.2.3\n\n# name\nbe\n\n"),
            (";show version; ", "1.2.3\n\n"),
            (
                "show cli level;operator;show cli level;user;show stat nope -1 -1",
                "admin\n\n\noperator\n\n\nNo such proxy.\n\n",
            ),
            ("show errors", "Total events captured on [20/Nov/2026:09:11:24.123] : 0\n\n"),
            ("show errors nope", "No such proxy.\n\n"),
            ("show servers state nope", "Can't find backend.\n\n"),
            ("show stat nope -1 -1", "No such proxy.\n\n"),
            ("show events", "2026-11-20T09:11:24.123Z <5> Server be/s1 is UP.\n\n"),
            ("get weight be/s1", "7 (initial 10)\n\n"),
            ("get weight be/nope", "No such server.\n\n"),
            ("set server nope/s1 state ready", "No such backend.\n\n"),
            ("disable frontend nope", "No such frontend.\n\n"),
            ("enable agent be/s1", "Agent was not configured on this server, cannot enable.\n\n"),
            ("show version;quit;show version", "1.2.3\n\n"),
        ] {
            check(line, answer, &[]);
        }
        let control = Recorder::default();
        let mut session = Session::new(RuntimeLevel::User, Duration::from_secs(1));
        let stat = session.line("show stat be 4 2", None, &control);
        assert_eq!(stat.lines().count(), 3, "{stat}");
        assert!(stat.starts_with("# pxname,") && stat.lines().nth(1).unwrap().starts_with("be,s2,"));
        assert!(session.line("show info", None, &control).ends_with("Tainted: 0\n\n"));
        assert_eq!(session.line("show servers state #4", None, &control).lines().count(), 5);
    }

    #[test]
    fn changes_reach_the_control() {
        for (line, answer, done) in [
            ("set server be/s1 state maint", "\n", "be/s1 Admin(Maintenance)"),
            ("set server #4/#2 state ready", "\n", "be/s2 Admin(Ready)"),
            ("set server be/s1 weight 50%", "\n", "be/s1 Weight(5)"),
            ("set weight be/s1 256", "\n", "be/s1 Weight(256)"),
            ("set weight be/s1 999999%", "\n", "be/s1 Weight(256)"),
            ("set maxconn frontend fe 5", "\n", "fe Limit(5)"),
            ("set maxconn global 100", "\n", "limit 100"),
            ("enable frontend fe", "\n", "fe Resume"),
            ("clear counters", "\n", "clear false"),
            (
                "set server be/s1 addr 127.0.0.2 port 81",
                "IP changed from '127.0.0.1' to '127.0.0.2', port changed from '80' to '81' by 'stats socket command'\n\n",
                "be/s1 Address(127.0.0.2, Some(81))",
            ),
            (
                "set server be/s1 addr 127.0.0.2",
                "IP changed from '127.0.0.1' to '127.0.0.2' by 'stats socket command'\n\n",
                "be/s1 Address(127.0.0.2, None)",
            ),
        ] {
            check(line, answer, &[done]);
        }
        for (line, answer) in [
            ("set weight be/s1 300", "Absolute weight can only be between 0 and 256 inclusive.\n\n"),
            ("set weight be/s1 -1%", "Relative weight must be positive.\n\n"),
            ("set weight be/s1 x", "Empty weight string empty or preceded by garbage\n\n"),
            ("set server be/s1 addr foo", "Invalid addr 'foo' by 'stats socket command'\n\n"),
            (
                "set server be/s1 addr 127.0.0.1 port 80",
                "no need to change the addr, no need to change the port by 'stats socket command'\n\n",
            ),
            (
                "set server be/s1 addr 1.1.1.1 port x",
                "problem converting port 'x' to an int by 'stats socket command'\n\n",
            ),
        ] {
            check(line, answer, &[]);
        }
    }
}
