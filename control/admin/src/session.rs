//! One session on a runtime socket: commands in, answers out. Pure but for [`Control`].

use crate::answer::Answer;
use crate::command::{
    self, Command, ErrorsRequest, EventsRequest, Output, Printing, PromptWord, ServerChange, ServerWord,
    SeverityOutput, SiteChange, SiteWord, StatRequest, Target, Wait,
};
use crate::control::Control;
use crate::master::Master;
use crate::parse::{PROMPT, kind_bits};
use crate::words;
use dashboard::{PoolView, Selection, ServerView, Snapshot, info, rows, schema, servers};
use plan::log::Severity;
use plan::process::RuntimeLevel;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;
use telemetry::clock::Calendar;

/// How a session goes on after a line.
///
/// ```text
///            prompt p, prompt            prompt i
///   Once ──────────────────► Prompt ◄──────────────► Interactive
///    ▲                          │
///    └──────────────────────────┘ prompt n, prompt
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It ends when the lines that came together are answered.
    #[default]
    Once,
    /// It waits for more lines.
    Interactive,
    /// The same, and shows when it waits.
    Prompt,
}

/// State of a session.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it may do; commands can lower it.
    pub level: RuntimeLevel,
    /// How it goes on.
    pub mode: Mode,
    /// The prompt shows the time.
    pub timed: bool,
    /// Longest silence.
    pub timeout: Duration,
    /// It asked to be closed.
    pub closed: bool,
    /// Sentences begin with their severity.
    pub severity: SeverityOutput,
    /// On the socket of a master: where commands go.
    pub(crate) master: Option<Master>,
    experimental: bool,
    expert: bool,
}

/// What is to be done for a command.
pub(crate) enum Step {
    /// Send this; it holds the empty line already.
    Say(String),
    /// Wait, then say how it went.
    Wait(Wait),
    /// Send events as they come, until the client says anything.
    Follow {
        /// Ring.
        ring: String,
        /// Number of the next event.
        next: u64,
        /// What ends each.
        end: char,
    },
    /// The answer comes when others were asked.
    Later(Pin<Box<dyn Future<Output = Answer>>>),
    /// Reload, say how it went, close.
    Reload,
    /// Nothing.
    Nothing,
}

impl Session {
    /// A session that begins.
    pub fn new(level: RuntimeLevel, timeout: Duration) -> Session {
        Session {
            level,
            mode: Mode::Once,
            timed: false,
            timeout,
            closed: false,
            severity: SeverityOutput::None,
            master: None,
            experimental: false,
            expert: false,
        }
    }

    /// A session on the socket of a master, which is always interactive.
    pub fn of_master(level: RuntimeLevel, timeout: Duration) -> Session {
        Session { master: Some(Master::default()), ..Session::new(level, timeout) }
    }

    /// Runs the commands of one line and gives all that is said at once: nothing is waited for.
    pub fn line(&mut self, line: &str, payload: Option<&str>, control: &dyn Control) -> String {
        let mut out = String::new();
        for part in command::commands(line) {
            if let Step::Say(text) = self.step(part, line, payload, control) {
                out.push_str(&text);
            }
        }
        out
    }

    /// Runs one command of a line.
    pub(crate) fn step(
        &mut self,
        part: &str,
        line: &str,
        payload: Option<&str>,
        control: &dyn Control,
    ) -> Step {
        // An empty line is answered by a new prompt; without prompts it is an unknown command, as in HAProxy.
        if self.closed || part.trim().is_empty() && (self.mode != Mode::Once || part.len() != line.len()) {
            return Step::Nothing;
        }
        if let Some(step) = self.master_step(part, control) {
            return step;
        }
        self.worker_step(part, payload, control)
    }

    pub(crate) fn worker_step(&mut self, part: &str, payload: Option<&str>, control: &dyn Control) -> Step {
        match command::parse_with(part, payload, self.level, self.experimental) {
            Ok(Command::Wait(wait)) => Step::Wait(wait),
            Ok(Command::Part(order)) => match control.later(&order) {
                Some(answer) => Step::Later(answer),
                None => self.say(&control.part(&order)),
            },
            Ok(Command::ShowEvents(request)) => self.show_events(&request, control),
            Ok(command) => {
                let answer = self.run(command, control);
                if self.closed { Step::Nothing } else { self.say(&answer) }
            }
            Err(usage) => self.say(&Answer::error(usage.0)),
        }
    }

    /// What is sent for an answer.
    pub(crate) fn say(&self, answer: &Answer) -> Step {
        Step::Say(answer.printed(self.severity) + "\n")
    }

    /// The prompt, with its line end before it left to the empty line of the answer.
    pub(crate) fn prompt(&self, control: &dyn Control) -> String {
        let time = match self.timed {
            true => {
                let s = control.snapshot().process.uptime_s;
                format!("[{}:{:02}:{:02}:{:02}] ", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
            }
            false => String::new(),
        };
        let place = self.master.as_ref().map_or_else(String::new, |master| master.prompt(control));
        // HAProxy leaves the blank out where there is only the time.
        let time = if place.is_empty() { time.trim_end() } else { &time };
        format!("{time}{place}> ")
    }

    fn run(&mut self, command: Command, control: &dyn Control) -> Answer {
        match command {
            Command::Help(prefix) => Answer::said(Severity::Info, words::help(prefix.as_deref(), self.level)),
            Command::Prompt(words) => self.change_prompt(&words),
            Command::Quit => {
                self.closed = true;
                Answer::done()
            }
            Command::LowerLevel(level) => {
                self.level = self.level.min(level);
                (self.experimental, self.expert) = (false, false);
                Answer::done()
            }
            Command::Experimental(switch) => mode(&mut self.experimental, switch, "experimental-mode"),
            Command::Expert(switch) => mode(&mut self.expert, switch, "expert-mode"),
            Command::ShowLevel => Answer::said(Severity::Info, format!("{}\n", level_name(self.level))),
            Command::SetTimeout(seconds) => {
                self.timeout = Duration::from_secs(seconds);
                Answer::done()
            }
            Command::SetSeverity(output) => {
                self.severity = output;
                Answer::done()
            }
            Command::ClearCounters { all: true } if self.level < RuntimeLevel::Admin => {
                Answer::error("Permission denied\n")
            }
            Command::ClearCounters { all } => {
                control.clear_counters(all);
                Answer::done()
            }
            Command::SetProcessLimit(limit) => control.set_process_limit(limit).into(),
            Command::SetRateLimit(which, limit) => control.set_rate_limit(which, limit).into(),
            Command::Server(target, word) => change_server(&target, word, control),
            Command::AddServer(target, words) => add_server(&target, &words, control),
            Command::DeleteServer(target) => delete_server(&target, control),
            Command::ClearServer(target) => {
                let snapshot = control.snapshot();
                match find(&target, &snapshot) {
                    Ok((pool, server)) => {
                        control.clear_server(&pool.name, &server.name);
                        Answer::said(Severity::Info, "Server counters cleared.\n")
                    }
                    Err(answer) => answer,
                }
            }
            Command::Site(name, word) => change_site(&name, word, control),
            Command::ShowErrors(request) => show_errors(&request, control),
            show => show_snapshot(show, &control.snapshot()),
        }
    }

    fn change_prompt(&mut self, words: &[PromptWord]) -> Answer {
        if words.contains(&PromptWord::Help) {
            return Answer::said(Severity::Info, PROMPT);
        }
        if !words.iter().any(|word| *word != PromptWord::Timed) {
            self.mode = match self.mode {
                Mode::Prompt if words.is_empty() => Mode::Once,
                _ => Mode::Prompt,
            };
        }
        for word in words {
            match word {
                PromptWord::Once => self.mode = Mode::Once,
                PromptWord::Interactive => self.mode = Mode::Interactive,
                PromptWord::Prompt => self.mode = Mode::Prompt,
                PromptWord::Timed => self.timed = !self.timed,
                PromptWord::Help => {}
            }
        }
        Answer::done()
    }

    fn show_events(&self, request: &EventsRequest, control: &dyn Control) -> Step {
        let Some(name) = &request.ring else { return self.say(&Answer::data(rings(control))) };
        if self.level < RuntimeLevel::Operator {
            return self.say(&Answer::error("Permission denied\n"));
        }
        let Some(part) = control.ring(name, 0) else {
            return self.say(&Answer::error("No such event sink"));
        };
        let end = if request.nul { '\0' } else { '\n' };
        match (request.wait, request.new) {
            (false, true) => self.say(&Answer::done()),
            (false, false) => self.say(&Answer::data(ended(&part.lines, end))),
            (true, new) => Step::Follow { ring: name.clone(), next: if new { part.next } else { 0 }, end },
        }
    }
}

/// Lines, each with its end.
pub(crate) fn ended(lines: &[String], end: char) -> String {
    lines.iter().fold(String::new(), |text, line| text + line + &end.to_string())
}

fn rings(control: &dyn Control) -> String {
    let mut text =
        String::from("Rings of events; -w waits for more, -n leaves out what is there. Any input ends it.\n");
    for ring in control.rings() {
        let _ = writeln!(
            text,
            "    {:<10} : type=buffer, {} dropped, {}",
            ring.name, ring.dropped, ring.description
        );
    }
    text
}

fn mode(flag: &mut bool, switch: Option<bool>, name: &str) -> Answer {
    match switch {
        Some(on) => {
            *flag = on;
            Answer::done()
        }
        None => Answer::said(Severity::Info, format!("{name} is {}\n", if *flag { "ON" } else { "OFF" })),
    }
}

fn show_snapshot(command: Command, snapshot: &Snapshot) -> Answer {
    let text = match command {
        Command::ShowInfo(Printing { output: Output::Plain, description }) => {
            info::info(snapshot, description)
        }
        Command::ShowInfo(Printing { output: Output::Typed, description }) => {
            info::info_typed(snapshot, description)
        }
        Command::ShowInfo(Printing { output: Output::Json, .. }) => info::info_json(snapshot),
        Command::ShowSchema => schema::schema(),
        Command::ShowStat(request) => return show_stat(&request, snapshot),
        Command::ShowServersState(pool) => {
            return of_pool(snapshot, pool.as_deref(), |name| servers::servers_state(snapshot, name));
        }
        Command::ShowServersConn(pool) => {
            return of_pool(snapshot, pool.as_deref(), |name| servers::servers_conn(snapshot, name));
        }
        Command::ShowBackend => {
            snapshot.pools.iter().fold("# name\n".to_owned(), |text, pool| text + &pool.name + "\n")
        }
        Command::ShowVersion => {
            return Answer::said(Severity::Info, format!("{}\n", snapshot.process.version));
        }
        Command::GetWeight(target) => match find(&target, snapshot) {
            Ok((_, server)) => format!("{} (initial {})\n", server.user_weight, server.initial_weight),
            Err(answer) => return answer,
        },
        _ => String::new(),
    };
    Answer::data(text)
}

/// Name of a level.
pub fn level_name(level: RuntimeLevel) -> &'static str {
    match level {
        RuntimeLevel::User => "user",
        RuntimeLevel::Operator => "operator",
        RuntimeLevel::Admin => "admin",
    }
}

/// A word is a name, or `#` and a number.
fn is_named(word: &str, name: &str, id: u32) -> bool {
    word == name || word.strip_prefix('#').is_some_and(|number| number.parse() == Ok(id))
}

pub(crate) fn find<'s>(
    target: &Target,
    snapshot: &'s Snapshot,
) -> Result<(&'s PoolView, &'s ServerView), Answer> {
    let pool = snapshot.pools.iter().find(|p| is_named(&target.pool, &p.name, p.id));
    let pool = pool.ok_or_else(|| Answer::error("No such backend.\n"))?;
    let server = pool.servers.iter().find(|s| is_named(&target.server, &s.name, s.id));
    server.map(|server| (pool, server)).ok_or_else(|| Answer::error("No such server.\n"))
}

fn of_pool(snapshot: &Snapshot, word: Option<&str>, text: impl Fn(Option<&str>) -> String) -> Answer {
    match word.map(|word| snapshot.pools.iter().find(|p| is_named(word, &p.name, p.id))) {
        None => Answer::data(text(None)),
        Some(Some(pool)) => Answer::data(text(Some(&pool.name))),
        Some(None) => Answer::error("Can't find backend.\n"),
    }
}

fn change_site(name: &str, word: SiteWord, control: &dyn Control) -> Answer {
    let snapshot = control.snapshot();
    let Some(site) = snapshot.sites.iter().find(|s| is_named(name, &s.name, s.id)) else {
        return Answer::error("No such frontend.\n");
    };
    let change = match word {
        SiteWord::Change(change) => change,
        SiteWord::Limit(None) => return Answer::error("Integer value expected.\n"),
        SiteWord::Limit(Some(text)) => match text.parse::<i64>().map(u32::try_from) {
            Ok(Ok(limit)) => SiteChange::Limit(limit),
            Ok(Err(_)) => return Answer::error("Value out of range.\n"),
            Err(_) => return Answer::error("Integer value expected.\n"),
        },
    };
    control.change_site(&site.name, change).into()
}

fn change_server(target: &Target, word: ServerWord, control: &dyn Control) -> Answer {
    let snapshot = control.snapshot();
    let (pool, server) = match find(target, &snapshot) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    match word {
        ServerWord::Change(ServerChange::HostName(host)) => change_host(pool, server, host, control),
        ServerWord::Change(change) => control.change_server(&pool.name, &server.name, change).into(),
        ServerWord::Weight(text) => match weight(&text, server.initial_weight) {
            Ok(weight) if !pool.dynamic && weight != 0 && u64::from(weight) != server.initial_weight => {
                Answer::error(
                    "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n",
                )
            }
            Ok(weight) => {
                control.change_server(&pool.name, &server.name, ServerChange::Weight(weight)).into()
            }
            Err(text) => Answer::error(text),
        },
        ServerWord::Address(address, port) => {
            change_address(pool, server, &address, port.as_deref(), control)
        }
    }
}

fn add_server(target: &Target, words: &[String], control: &dyn Control) -> Answer {
    let snapshot = control.snapshot();
    let Some(pool) = snapshot.pools.iter().find(|p| is_named(&target.pool, &p.name, p.id)) else {
        return Answer::error("No such backend.\n");
    };
    if !pool.dynamic {
        return Answer::error(format!(
            "backend '{}' uses a non dynamic load balancing method: servers cannot be added.\n",
            pool.name
        ));
    }
    if words.is_empty() {
        return Answer::error("'server' expects <name> and <addr>[:<port>] as arguments.\n");
    }
    let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    match control.add_server(&pool.name, &quoted(&target.server), &line) {
        Ok(_) => Answer::said(Severity::Info, "New server registered.\n"),
        Err(refusal) => Err(refusal).into(),
    }
}

/// A word of a configuration that stands for exactly this text.
fn quoted(word: &str) -> String {
    let special = |c: char| matches!(c, ' ' | '\t' | '\\' | '"' | '\'' | '#' | '$');
    word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn delete_server(target: &Target, control: &dyn Control) -> Answer {
    let snapshot = control.snapshot();
    let (pool, server) = match find(target, &snapshot) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    match control.remove_server(&pool.name, &server.name) {
        Ok(()) => Answer::said(Severity::Info, "Server deleted.\n"),
        Err(refusal) => Err(refusal).into(),
    }
}

/// `N` or `N%` of the weight of the file, at most 256.
fn weight(text: &str, initial: u64) -> Result<u16, String> {
    const MOST: u64 = 256;
    let (digits, relative) = match text.strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let bad = || "Empty weight string empty or preceded by garbage".to_owned();
    let number: i64 = digits.parse().map_err(|_| bad())?;
    match (relative, u64::try_from(number)) {
        (true, Ok(percent)) => Ok((initial * percent.min(100 * MOST) / 100).min(MOST) as u16),
        (true, Err(_)) => Err("Relative weight must be positive.\n".to_owned()),
        (false, Ok(weight)) if weight <= MOST => Ok(weight as u16),
        (false, _) => Err("Absolute weight can only be between 0 and 256 inclusive.\n".to_owned()),
    }
}

/// Another name is looked up from now on.
fn change_host(pool: &PoolView, server: &ServerView, host: String, control: &dyn Control) -> Answer {
    let (name, before) = (format!("{}/{}", pool.name, server.name), server.host.clone().unwrap_or_default());
    let text = match before == host {
        true => "no need to change the FQDN".to_owned(),
        false => format!("{name} changed its FQDN from {before} to {host}"),
    };
    match control.change_server(&pool.name, &server.name, ServerChange::HostName(host)) {
        Ok(()) => Answer::said(Severity::Warning, format!("{text} by 'stats socket command'\n")),
        Err(refusal) => Err(refusal).into(),
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
    let by = |text: String| Answer::said(Severity::Warning, format!("{text} by 'stats socket command'\n"));
    let Ok(ip) = address.parse::<IpAddr>() else { return by(format!("Invalid addr '{address}'")) };
    let new_port = match port.map(str::parse::<u16>) {
        Some(Err(_)) => {
            return by(format!("problem converting port '{}' to an int", port.unwrap_or_default()));
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
            return Err(refusal).into();
        }
    }
    by(text)
}

fn show_stat(request: &StatRequest, snapshot: &Snapshot) -> Answer {
    let mut selection =
        Selection { only_up: request.up, no_maintenance: request.no_maintenance, ..Selection::default() };
    if let Some((proxy, kinds, server)) = &request.only {
        selection.kinds = kind_bits(*kinds);
        selection.server = u32::try_from(*server).ok();
        match proxy.parse::<i64>() {
            Ok(number) => selection.proxy = u32::try_from(number).ok(),
            Err(_) if proxy_id(snapshot, proxy).is_some() => selection.names = vec![proxy.clone()],
            Err(_) => return Answer::error("No such proxy.\n"),
        }
    }
    let rows = rows::rows(snapshot, &selection);
    Answer::data(match request.output {
        Output::Plain => rows::csv(&rows),
        Output::Typed => rows::typed(&rows, request.description),
        Output::Json => rows::json(&rows),
    })
}

/// Number of the site or pool of this name or number.
fn proxy_id(snapshot: &Snapshot, word: &str) -> Option<u32> {
    let number = word.trim_start_matches('#').parse().ok();
    let sites = snapshot.sites.iter().map(|s| (&s.name, s.id));
    let mut all = sites.chain(snapshot.pools.iter().map(|p| (&p.name, p.id)));
    all.find(|(name, id)| *name == word || Some(*id) == number).map(|(_, id)| id)
}

fn show_errors(request: &ErrorsRequest, control: &dyn Control) -> Answer {
    let snapshot = control.snapshot();
    let proxy = match &request.proxy {
        None => None,
        Some(name) => match proxy_id(&snapshot, name) {
            Some(id) => Some(id),
            None => return Answer::error("No such proxy.\n"),
        },
    };
    let invalid = control.invalid(proxy, request.side);
    let date = Calendar::of((snapshot.now_ms / 1000) as i64).log_date();
    let (date, ms) = (String::from_utf8_lossy(&date), snapshot.now_ms % 1000);
    let head = format!("Total events captured on [{date}.{ms:03}] : {}\n", snapshot.invalid_total);
    Answer::data(invalid.into_iter().fold(head, |text, capture| text + &capture))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::command::{ErrorSide, Order, RateLimit};
    use crate::control::{Refusal, Reloaded, RingPart, RingView};
    use dashboard::{ProcessView, SiteView};
    use parking_lot::Mutex;
    use tokio::sync::oneshot;

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
                dynamic: true,
                servers: vec![server("s1", 1), server("s2", 2)],
                ..PoolView::default()
            };
            Snapshot {
                now_ms: 1_795_165_884_123,
                process: ProcessView { version: "1.2.3".into(), ..ProcessView::default() },
                sites: vec![SiteView { name: "fe".into(), id: 2, ..SiteView::default() }],
                pools: vec![pool],
                ..Snapshot::default()
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

        fn set_rate_limit(&self, which: RateLimit, limit: u32) -> Result<(), Refusal> {
            self.0.lock().push(format!("{which:?} {limit}"));
            Ok(())
        }

        fn clear_counters(&self, all: bool) {
            self.0.lock().push(format!("clear {all}"));
        }

        fn clear_server(&self, pool: &str, server: &str) {
            self.0.lock().push(format!("clear {pool}/{server}"));
        }

        fn removable(&self, _: &str, server: &str) -> Result<bool, Refusal> {
            match server {
                "s1" => Ok(true),
                _ => Err(Refusal::new("Only servers in maintenance mode can be deleted.")),
            }
        }

        fn invalid(&self, proxy: Option<u32>, _: Option<ErrorSide>) -> Vec<String> {
            proxy.map(|id| format!("of {id}\n")).into_iter().collect()
        }

        fn rings(&self) -> Vec<RingView> {
            vec![RingView { name: "events".into(), description: "what happened".into(), dropped: 0 }]
        }

        fn ring(&self, name: &str, from: u64) -> Option<RingPart> {
            let lines = if from < 2 { vec!["one".to_owned(), "two".to_owned()] } else { Vec::new() };
            (name == "events").then_some(RingPart { lines, next: 2 })
        }

        fn later(&self, order: &Order) -> Option<Pin<Box<dyn Future<Output = Answer>>>> {
            let wanted = order.words == ["show", "sess"];
            wanted.then(|| Box::pin(async { Answer::data("sessions\n") }) as Pin<Box<_>>)
        }

        fn part(&self, order: &Order) -> Answer {
            self.0.lock().push(format!(
                "{} {:?} {:?}",
                order.words.join(" "),
                order.arguments,
                order.payload
            ));
            Answer::done()
        }

        fn reload(&self) -> Option<oneshot::Receiver<Reloaded>> {
            let (send, receive) = oneshot::channel();
            let _ = send.send(Reloaded { ok: true, log: "reloaded\n".into() });
            Some(receive)
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
            ("show errors fe request", "Total events captured on [20/Nov/2026:09:11:24.123] : 0\nof 2\n\n"),
            ("show events events", "one\ntwo\n\n"),
            ("show events events -n", "\n"),
            ("show events tea", "No such event sink\n"),
            (
                "experimental-mode;experimental-mode on;experimental-mode",
                "experimental-mode is OFF\n\n\nexperimental-mode is ON\n\n",
            ),
            ("user;clear counters", "\nPermission denied\n\n"),
            ("operator;clear counters all", "\nPermission denied\n\n"),
            (
                "set severity-output number;get weight be/nope;set severity-output string;get weight be/nope;get weight be/s1",
                "\n[3]: No such server.\n\n\n[err]: No such server.\n\n7 (initial 10)\n\n",
            ),
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
            ("set rate-limit connections global 7", "\n", "Connections 7"),
            (
                "add server be/s3 10.0.0.1:80 weight\\ 5",
                "New server registered.\n\n",
                "add be/s3 10.0.0.1:80 weight\\ 5",
            ),
            ("del server be/#1", "Server deleted.\n\n", "remove be/s1"),
            ("clear counters server be/s1 force", "Server counters cleared.\n\n", "clear be/s1"),
            ("show table t", "\n", "show table [\"t\"] None"),
            ("experimental-mode on;set var proc.a int(1)", "\n\n", "set var [\"proc.a\", \"int(1)\"] None"),
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
            ("set weight be/s1 x", "Empty weight string empty or preceded by garbage\n"),
            ("set maxconn frontend nope", "No such frontend.\n\n"),
            ("set maxconn frontend fe -1", "Value out of range.\n\n"),
            ("set maxconn frontend fe", "Integer value expected.\n\n"),
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
