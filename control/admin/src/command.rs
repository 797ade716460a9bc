//! The words of the runtime socket: one table for parsing, rights and help.

use dashboard::{Admin, FormAction, RowKind};
use plan::process::RuntimeLevel;
use std::net::IpAddr;

/// A runtime command, understood but for names of pools, servers and sites, which are looked up when it runs.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the words of the socket, see `WORDS`
pub enum Command {
    Help(Option<String>),
    Prompt,
    Quit,
    LowerLevel(RuntimeLevel),
    ShowLevel,
    ShowInfo(Output),
    ShowStat(StatRequest),
    ShowServersState(Option<String>),
    ShowServersConn(Option<String>),
    ShowBackend,
    ShowVersion,
    ShowErrors(Option<String>),
    ShowEvents,
    SetTimeout(u64),
    SetProcessLimit(u32),
    ClearCounters { all: bool },
    GetWeight(Target),
    Server(Target, ServerWord),
    Site(String, SiteChange),
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Lines or CSV.
    #[default]
    Plain,
    /// Lines with types.
    Typed,
    /// JSON.
    Json,
}

/// What `show stat` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatRequest {
    /// Number or name of a proxy, kinds as bits, number of a server; -1 = all.
    pub only: Option<(String, i64, i64)>,
    /// Form.
    pub output: Output,
    /// Only what is up.
    pub up: bool,
    /// No servers in maintenance.
    pub no_maintenance: bool,
}

/// `pool/server`, each a name or `#` and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Pool.
    pub pool: String,
    /// Server.
    pub server: String,
}

/// What is said about a server.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerWord {
    /// A change that needs nothing but the server.
    Change(ServerChange),
    /// `weight N` or `weight N%`, not yet related to the weight of the file.
    Weight(String),
    /// `addr IP [port P]`: the answer tells what was before.
    Address(String, Option<String>),
}

/// A change of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerChange {
    /// Administrative state.
    Admin(Admin),
    /// Health as if checks had said so.
    Health(HealthWord),
    /// Health checks on or off.
    Checks(bool),
    /// Agent on or off.
    Agent(bool),
    /// As if the agent had said so.
    AgentUp(bool),
    /// Weight, 0 … 256.
    Weight(u16),
    /// Address, and port if it changes.
    Address(IpAddr, Option<u16>),
    /// Requests at once; 0 = no limit.
    Limit(u32),
    /// Address that checks go to.
    CheckAddress(IpAddr),
    /// Port that checks go to.
    CheckPort(u16),
    /// Address of the agent.
    AgentAddress(IpAddr),
    /// Port of the agent.
    AgentPort(u16),
    /// What is sent to the agent.
    AgentSend(String),
    /// Connections and requests in progress are cut.
    ShutdownSessions,
}

/// Health as if checks had said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthWord {
    /// Up.
    Up,
    /// Up, but only for requests bound to it.
    Stopping,
    /// Down.
    Down,
}

/// A change of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteChange {
    /// Connections at once.
    Limit(u32),
    /// Stops listening until it is resumed.
    Pause,
    /// Listens again.
    Resume,
    /// Stops for good.
    Shutdown,
}

impl ServerChange {
    /// What an action of the statistics page means.
    pub fn of(action: FormAction) -> ServerChange {
        match action {
            FormAction::Ready => ServerChange::Admin(Admin::Ready),
            FormAction::Drain => ServerChange::Admin(Admin::Drain),
            FormAction::Maintenance => ServerChange::Admin(Admin::Maintenance),
            FormAction::EnableHealth => ServerChange::Checks(true),
            FormAction::DisableHealth => ServerChange::Checks(false),
            FormAction::HealthUp => ServerChange::Health(HealthWord::Up),
            FormAction::HealthStopping => ServerChange::Health(HealthWord::Stopping),
            FormAction::HealthDown => ServerChange::Health(HealthWord::Down),
            FormAction::EnableAgent => ServerChange::Agent(true),
            FormAction::DisableAgent => ServerChange::Agent(false),
            FormAction::AgentUp => ServerChange::AgentUp(true),
            FormAction::AgentDown => ServerChange::AgentUp(false),
            FormAction::Shutdown => ServerChange::ShutdownSessions,
        }
    }
}

/// Why a line is no command. The text is the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub String);

impl Usage {
    fn new(text: &str) -> Usage {
        Usage(text.to_owned())
    }
}

/// Makes a command of the words after the matched ones.
type Parser = fn(&[&str]) -> Result<Command, Usage>;

/// A row: words, arguments for help, who may, what it does, parser.
struct Word {
    words: &'static [&'static str],
    arguments: &'static str,
    level: RuntimeLevel,
    help: &'static str,
    parse: Parser,
}

const fn word(
    words: &'static [&'static str],
    arguments: &'static str,
    level: RuntimeLevel,
    help: &'static str,
    parse: Parser,
) -> Word {
    Word { words, arguments, level, help, parse }
}

use RuntimeLevel::{Admin as ADMIN, Operator as OPERATOR, User as USER};

/// All commands. More words come before fewer where one begins the other.
const WORDS: &[Word] = &[
    word(&["clear", "counters"], "[all]", OPERATOR, "forget maxima, or all counters", clear_counters),
    word(&["disable", "agent"], "<pool>/<server>", ADMIN, "switch the agent of a server off", |w| {
        change(w, ServerChange::Agent(false))
    }),
    word(&["disable", "frontend"], "<site>", ADMIN, "stop listening until enabled again", |w| {
        site(w, SiteChange::Pause)
    }),
    word(&["disable", "health"], "<pool>/<server>", ADMIN, "switch the checks of a server off", |w| {
        change(w, ServerChange::Checks(false))
    }),
    word(&["disable", "server"], "<pool>/<server>", ADMIN, "put a server into maintenance", |w| {
        change(w, ServerChange::Admin(Admin::Maintenance))
    }),
    word(&["enable", "agent"], "<pool>/<server>", ADMIN, "switch the agent of a server on", |w| {
        change(w, ServerChange::Agent(true))
    }),
    word(&["enable", "frontend"], "<site>", ADMIN, "listen again", |w| site(w, SiteChange::Resume)),
    word(&["enable", "health"], "<pool>/<server>", ADMIN, "switch the checks of a server on", |w| {
        change(w, ServerChange::Checks(true))
    }),
    word(&["enable", "server"], "<pool>/<server>", ADMIN, "take a server out of maintenance", |w| {
        change(w, ServerChange::Admin(Admin::Ready))
    }),
    word(&["get", "weight"], "<pool>/<server>", USER, "weight of a server now and in the file", |w| {
        Ok(Command::GetWeight(target(w.first())?))
    }),
    word(&["operator"], "", OPERATOR, "lower the rights of this session to operator", |_| {
        Ok(Command::LowerLevel(OPERATOR))
    }),
    word(&["set", "maxconn", "frontend"], "<site> <n>", ADMIN, "connection limit of a site", set_site_limit),
    word(&["set", "maxconn", "global"], "<n>", ADMIN, "connection limit of the process", set_process_limit),
    word(
        &["set", "maxconn", "server"],
        "<pool>/<server> <n>",
        ADMIN,
        "request limit of a server",
        set_server_limit,
    ),
    word(
        &["set", "server"],
        "<pool>/<server> …",
        ADMIN,
        "change state, weight, address or health",
        set_server,
    ),
    word(&["set", "timeout", "cli"], "<time>", USER, "longest silence of this session", set_timeout),
    word(&["set", "weight"], "<pool>/<server> <n>[%]", ADMIN, "weight of a server", |w| {
        let target = target(w.first())?;
        weight(target, w.get(1))
    }),
    word(&["show", "backend"], "", USER, "names of the pools", |_| Ok(Command::ShowBackend)),
    word(&["show", "cli", "level"], "", USER, "rights of this session", |_| Ok(Command::ShowLevel)),
    word(&["show", "errors"], "[<proxy>]", OPERATOR, "last invalid requests and responses", |w| {
        Ok(Command::ShowErrors(w.first().map(|s| (*s).to_owned())))
    }),
    word(&["show", "events"], "", OPERATOR, "last events, newest first", |_| Ok(Command::ShowEvents)),
    word(&["show", "info"], "[json|typed]*", USER, "numbers of the process", |w| {
        Ok(Command::ShowInfo(output(w)))
    }),
    word(&["show", "servers", "conn"], "[<pool>]", USER, "connections to servers", |w| {
        Ok(Command::ShowServersConn(w.first().map(|s| (*s).to_owned())))
    }),
    word(&["show", "servers", "state"], "[<pool>]", USER, "states of servers", |w| {
        Ok(Command::ShowServersState(w.first().map(|s| (*s).to_owned())))
    }),
    word(
        &["show", "stat"],
        "[json|no-maint|typed|up]*",
        USER,
        "numbers of sites, pools and servers",
        show_stat,
    ),
    word(&["show", "version"], "", USER, "version of this process", |_| Ok(Command::ShowVersion)),
    word(&["shutdown", "frontend"], "<site>", ADMIN, "stop a site for good", |w| {
        site(w, SiteChange::Shutdown)
    }),
    word(
        &["shutdown", "sessions", "server"],
        "<pool>/<server>",
        ADMIN,
        "cut what is in progress at a server",
        |w| change(w, ServerChange::ShutdownSessions),
    ),
    word(&["user"], "", USER, "lower the rights of this session to user", |_| Ok(Command::LowerLevel(USER))),
    word(&["help"], "[<command>]", USER, "commands that begin so, or all", |w| {
        Ok(Command::Help((!w.is_empty()).then(|| w.join(" "))))
    }),
    word(&["prompt"], "", USER, "switch the prompt on or off", |_| Ok(Command::Prompt)),
    word(&["quit"], "", USER, "end this session", |_| Ok(Command::Quit)),
];

/// Makes a command of a line (without `;` and line end), if the session may give it.
pub fn parse(line: &str, level: RuntimeLevel) -> Result<Command, Usage> {
    let words = split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let found = WORDS.iter().find(|row| words.starts_with(row.words));
    match found {
        Some(row) if row.level > level => Err(Usage::new("Permission denied\n")),
        Some(row) => (row.parse)(&words[row.words.len()..]),
        None => Err(unknown(&words, level)),
    }
}

/// `help`: the commands of this level that begin with `prefix`.
pub fn help(prefix: Option<&str>, level: RuntimeLevel) -> String {
    let wanted =
        |row: &&Word| row.level <= level && prefix.is_none_or(|p| row.words.join(" ").starts_with(p));
    let mut text = String::from("The following commands are valid at this level:\n");
    WORDS.iter().filter(wanted).for_each(|row| text.push_str(&row.line()));
    text
}

impl Word {
    fn line(&self) -> String {
        format!("  {:40}: {}\n", format!("{} {}", self.words.join(" "), self.arguments).trim_end(), self.help)
    }
}

/// Commands that begin with the same word, or all.
fn unknown(words: &[&str], level: RuntimeLevel) -> Usage {
    let alike = |row: &&Word| {
        row.level <= level
            && words.first().is_some_and(|first| row.words[0] == *first || row.words.len() == 1)
    };
    let near = WORDS.iter().any(|row| words.first() == row.words.first());
    let mut text = match near {
        true => "Unknown command, but maybe one of the following ones is a better match:\n".to_owned(),
        false => "Unknown command. Please enter one of the following commands only:\n".to_owned(),
    };
    let rows = WORDS.iter().filter(|row| if near { alike(row) } else { row.level <= level });
    rows.for_each(|row| text.push_str(&row.line()));
    Usage(text)
}

/// Words between blanks; a backslash takes the next character as it is.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            ' ' | '\t' | '\r' if word.is_empty() => {}
            ' ' | '\t' | '\r' => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Commands of a line: parts between semicolons that no backslash precedes.
pub fn commands(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b';' if !escaped => {
                parts.push(&line[start..at]);
                start = at + 1;
            }
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    parts.push(&line[start..]);
    parts
}

fn clear_counters(words: &[&str]) -> Result<Command, Usage> {
    Ok(Command::ClearCounters { all: words.first() == Some(&"all") })
}

fn target(word: Option<&&str>) -> Result<Target, Usage> {
    word.and_then(|w| w.split_once('/'))
        .map(|(pool, server)| Target { pool: pool.to_owned(), server: server.to_owned() })
        .ok_or_else(|| Usage::new("Require 'backend/server'.\n"))
}

fn change(words: &[&str], change: ServerChange) -> Result<Command, Usage> {
    Ok(Command::Server(target(words.first())?, ServerWord::Change(change)))
}

fn site(words: &[&str], change: SiteChange) -> Result<Command, Usage> {
    match words.first() {
        Some(name) => Ok(Command::Site((*name).to_owned(), change)),
        None => Err(Usage::new("A frontend name is expected.\n")),
    }
}

fn set_site_limit(words: &[&str]) -> Result<Command, Usage> {
    let Some(name) = words.first() else { return Err(Usage::new("A frontend name is expected.\n")) };
    let limit = words.get(1).and_then(|n| n.parse().ok());
    let limit = limit.ok_or_else(|| Usage::new("Integer value expected.\n"))?;
    Ok(Command::Site((*name).to_owned(), SiteChange::Limit(limit)))
}

fn set_process_limit(words: &[&str]) -> Result<Command, Usage> {
    match words.first().and_then(|n| n.parse().ok()) {
        Some(limit) => Ok(Command::SetProcessLimit(limit)),
        None => Err(Usage::new("Expects an integer value.\n")),
    }
}

fn set_server_limit(words: &[&str]) -> Result<Command, Usage> {
    let target = target(words.first())?;
    let text = words.get(1).ok_or_else(|| Usage::new("Require <maxconn>.\n"))?;
    let limit = text.parse().map_err(|_| Usage::new("maxconn string empty or preceded by garbage\n"))?;
    Ok(Command::Server(target, ServerWord::Change(ServerChange::Limit(limit))))
}

fn set_timeout(words: &[&str]) -> Result<Command, Usage> {
    let seconds = words.first().and_then(|text| time_s(text)).filter(|s| *s > 0);
    seconds.map(Command::SetTimeout).ok_or_else(|| Usage::new("Invalid timeout value.\n"))
}

/// Seconds of `90`, `90s`, `5m`, `1h`, `1d`.
fn time_s(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn weight(target: Target, word: Option<&&str>) -> Result<Command, Usage> {
    match word {
        Some(text) => Ok(Command::Server(target, ServerWord::Weight((*text).to_owned()))),
        None => Err(Usage::new("Require <weight> or <weight%>.\n")),
    }
}

const SET_SERVER: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | \
check-addr | check-port | health | state | weight\n";

fn set_server(words: &[&str]) -> Result<Command, Usage> {
    let target = target(words.first())?;
    let value = words.get(2).copied();
    let change = match words.get(1).copied() {
        Some("weight") => return weight(target, words.get(2)),
        Some("addr") => return set_address(target, &words[2..]),
        Some("state") => state(value)?,
        Some("health") => health(value)?,
        Some("agent") => agent(value)?,
        Some("agent-send") => ServerChange::AgentSend(value.unwrap_or("").to_owned()),
        Some("agent-addr") => ServerChange::AgentAddress(address(value)?),
        Some("agent-port") => ServerChange::AgentPort(port(value)?),
        Some("check-addr") => ServerChange::CheckAddress(address(value)?),
        Some("check-port") => ServerChange::CheckPort(port(value)?),
        Some("fqdn" | "ssl") => return Err(Usage::new("Not supported by this version.\n")),
        _ => return Err(Usage::new(SET_SERVER)),
    };
    Ok(Command::Server(target, ServerWord::Change(change)))
}

fn state(word: Option<&str>) -> Result<ServerChange, Usage> {
    match word {
        Some("ready") => Ok(ServerChange::Admin(Admin::Ready)),
        Some("drain") => Ok(ServerChange::Admin(Admin::Drain)),
        Some("maint") => Ok(ServerChange::Admin(Admin::Maintenance)),
        _ => Err(Usage::new("'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n")),
    }
}

fn health(word: Option<&str>) -> Result<ServerChange, Usage> {
    match word {
        Some("up") => Ok(ServerChange::Health(HealthWord::Up)),
        Some("stopping") => Ok(ServerChange::Health(HealthWord::Stopping)),
        Some("down") => Ok(ServerChange::Health(HealthWord::Down)),
        _ => Err(Usage::new("'set server <srv> health' expects 'up', 'stopping', or 'down'.\n")),
    }
}

fn agent(word: Option<&str>) -> Result<ServerChange, Usage> {
    match word {
        Some("up") => Ok(ServerChange::AgentUp(true)),
        Some("down") => Ok(ServerChange::AgentUp(false)),
        _ => Err(Usage::new("'set server <srv> agent' expects 'up' or 'down'.\n")),
    }
}

fn set_address(target: Target, words: &[&str]) -> Result<Command, Usage> {
    let expects = "set server <b>/<s> addr requires an address and optionally a port.\n";
    let (address, port) = match words {
        [address] => (*address, None),
        [address, "port"] => (*address, Some(String::new())),
        [address, "port", port, ..] => (*address, Some((*port).to_owned())),
        _ => return Err(Usage::new(expects)),
    };
    Ok(Command::Server(target, ServerWord::Address(address.to_owned(), port)))
}

fn address(word: Option<&str>) -> Result<IpAddr, Usage> {
    word.and_then(|w| w.parse().ok()).ok_or_else(|| Usage::new("An IP address is expected.\n"))
}

fn port(word: Option<&str>) -> Result<u16, Usage> {
    word.and_then(|w| w.parse().ok()).ok_or_else(|| Usage::new("A port is expected.\n"))
}

fn output(words: &[&str]) -> Output {
    match words {
        _ if words.contains(&"json") => Output::Json,
        _ if words.contains(&"typed") => Output::Typed,
        _ => Output::Plain,
    }
}

fn show_stat(words: &[&str]) -> Result<Command, Usage> {
    let only = match words {
        [proxy, kinds, server, ..] => match (kinds.parse(), server.parse()) {
            (Ok(kinds), Ok(server)) => Some(((*proxy).to_owned(), kinds, server)),
            _ => None,
        },
        _ => None,
    };
    Ok(Command::ShowStat(StatRequest {
        only,
        output: output(words),
        up: words.contains(&"up"),
        no_maintenance: words.contains(&"no-maint"),
    }))
}

/// Bits of `show stat`'s kinds, as HAProxy counts them: 1 sites, 2 pools, 4 servers; -1 all.
pub(crate) fn kind_bits(kinds: i64) -> u32 {
    let all =
        [RowKind::Site, RowKind::Pool, RowKind::Server].iter().fold(0, |bits, kind| bits | 1 << *kind as u32);
    if kinds < 0 { all } else { (kinds as u32) & all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(change: ServerChange) -> Result<Command, Usage> {
        let target = Target { pool: "be".into(), server: "s1".into() };
        Ok(Command::Server(target, ServerWord::Change(change)))
    }

    #[test]
    fn lines_that_are_commands() {
        let stat = StatRequest::default();
        for (line, expected) in [
            ("show info", Ok(Command::ShowInfo(Output::Plain))),
            (" show  info\ttyped ", Ok(Command::ShowInfo(Output::Typed))),
            ("show stat", Ok(Command::ShowStat(stat.clone()))),
            ("show stat 4", Ok(Command::ShowStat(stat.clone()))),
            (
                "show stat be -1 2 json up",
                Ok(Command::ShowStat(StatRequest {
                    only: Some(("be".into(), -1, 2)),
                    output: Output::Json,
                    up: true,
                    ..stat
                })),
            ),
            ("set server be/s1 state drain", server(ServerChange::Admin(Admin::Drain))),
            ("enable server be/s1", server(ServerChange::Admin(Admin::Ready))),
            ("disable health be/s1", server(ServerChange::Checks(false))),
            ("set server be/s1 health stopping", server(ServerChange::Health(HealthWord::Stopping))),
            ("set server be/s1 agent-send a\\ b\\;", server(ServerChange::AgentSend("a b;".into()))),
            ("set maxconn server be/s1 5", server(ServerChange::Limit(5))),
            ("shutdown sessions server be/s1", server(ServerChange::ShutdownSessions)),
            ("set maxconn frontend fe 9", Ok(Command::Site("fe".into(), SiteChange::Limit(9)))),
            ("disable frontend fe", Ok(Command::Site("fe".into(), SiteChange::Pause))),
            ("clear counters all", Ok(Command::ClearCounters { all: true })),
            ("set timeout cli 5m", Ok(Command::SetTimeout(300))),
        ] {
            assert_eq!(parse(line, ADMIN), expected, "{line}");
        }
    }

    #[test]
    fn lines_that_are_not() {
        for (line, level, answer) in [
            ("set server", ADMIN, "Require 'backend/server'.\n"),
            ("set server be", ADMIN, "Require 'backend/server'.\n"),
            ("set server be/s1", ADMIN, SET_SERVER),
            ("set server be/s1 weight", ADMIN, "Require <weight> or <weight%>.\n"),
            (
                "set server be/s1 state foo",
                ADMIN,
                "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n",
            ),
            (
                "set server be/s1 health",
                ADMIN,
                "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n",
            ),
            ("set maxconn server be/s1", ADMIN, "Require <maxconn>.\n"),
            ("set maxconn frontend fe", ADMIN, "Integer value expected.\n"),
            ("enable frontend", ADMIN, "A frontend name is expected.\n"),
            ("set server be/s1 state ready", OPERATOR, "Permission denied\n"),
            ("set timeout cli 99999999999999999999d", USER, "Invalid timeout value.\n"),
        ] {
            assert_eq!(parse(line, level), Err(Usage::new(answer)), "{line}");
        }
        let near = parse("show foo", USER).err().map(|u| u.0).unwrap_or_default();
        assert!(near.starts_with("Unknown command, but maybe") && near.contains("  show stat"));
        assert!(near.contains("  quit"));
        let far = parse("foo", ADMIN).err().map(|u| u.0).unwrap_or_default();
        assert!(far.starts_with("Unknown command. Please enter") && far.contains("set server"));
        assert!(
            help(Some("show st"), ADMIN).contains("show stat")
                && !help(Some("show st"), ADMIN).contains("quit")
        );
    }

    #[test]
    fn semicolons_part_commands() {
        assert_eq!(commands("a;b\\;c; d;"), ["a", "b\\;c", " d", ""]);
        assert_eq!(commands(""), [""]);
    }

    #[test]
    fn no_line_makes_the_parser_fail() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5000 {
            let words: Vec<String> = (0..random.usize(..6))
                .map(|_| match random.u8(..4) {
                    0 => (0..random.usize(..6)).map(|_| random.char(..)).collect(),
                    1 => random
                        .choice(["-1", "%", "/", "a/b", "\\", "99999999999", "300%", "<<"])
                        .unwrap_or("")
                        .into(),
                    _ => random
                        .choice(WORDS)
                        .and_then(|w| w.words.get(random.usize(..2)))
                        .unwrap_or(&"")
                        .to_string(),
                })
                .collect();
            for line in commands(&words.join(" ")) {
                let _ = parse(line, ADMIN);
            }
        }
    }
}
