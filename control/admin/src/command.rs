//! What can be said on the runtime socket, as values. The words are in `words`.

use crate::words;
use dashboard::{Admin, FormAction};
use plan::process::RuntimeLevel;
use std::net::IpAddr;
use std::time::Duration;

/// A runtime command, understood but for names of pools, servers and sites, which are looked up when it runs.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the words of the socket, see `words`
pub enum Command {
    Help(Option<String>),
    Prompt(Vec<PromptWord>),
    Quit,
    LowerLevel(RuntimeLevel),
    ShowLevel,
    ShowInfo(Printing),
    ShowStat(StatRequest),
    ShowSchema,
    ShowServersState(Option<String>),
    ShowServersConn(Option<String>),
    ShowBackend,
    ShowVersion,
    ShowErrors(ErrorsRequest),
    ShowEvents(EventsRequest),
    SetTimeout(u64),
    SetSeverity(SeverityOutput),
    SetProcessLimit(u32),
    SetRateLimit(RateLimit, u32),
    Experimental(Option<bool>),
    Expert(Option<bool>),
    ClearCounters {
        all: bool,
    },
    GetWeight(Target),
    Server(Target, ServerWord),
    AddServer(Target, Vec<String>),
    DeleteServer(Target),
    ClearServer(Target),
    Site(String, SiteWord),
    Wait(Wait),
    /// For a part of the program of its own.
    Part(Order),
}

/// A command that a part of the program answers by itself: maps, tables, caches, resolvers, sessions …
/// [`crate::Control::part`] gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The words of the table, such as `["show", "table"]`.
    pub words: &'static [&'static str],
    /// The words after them.
    pub arguments: Vec<String>,
    /// Lines that came after `<<`, each with its end.
    pub payload: Option<String>,
}

impl Order {
    /// An argument, `""` when there is none.
    pub fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Printing {
    /// Form.
    pub output: Output,
    /// With a description of each value.
    pub description: bool,
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

/// Arguments of `prompt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words themselves
pub enum PromptWord {
    Help,
    Once,
    Interactive,
    Prompt,
    Timed,
}

/// Whether answers begin with their severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeverityOutput {
    /// No.
    #[default]
    None,
    /// `[3]: `.
    Number,
    /// `[err]: `.
    Word,
}

/// Rates of the process that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// Connections per second.
    Connections,
    /// Sessions per second.
    Sessions,
    /// New encrypted sessions per second.
    EncryptedSessions,
    /// Kilobytes per second into compression.
    Compression,
}

/// `wait`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// At most so long.
    pub delay: Duration,
    /// Until this server can be deleted.
    pub removable: Option<Target>,
}

/// `show errors`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorsRequest {
    /// Name or number of a proxy; `None` = all.
    pub proxy: Option<String>,
    /// Requests only, responses only, or both.
    pub side: Option<ErrorSide>,
}

/// What was invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorSide {
    /// A request.
    Request,
    /// A response.
    Response,
}

/// `show events`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsRequest {
    /// Name of a ring; `None` = their list.
    pub ring: Option<String>,
    /// Go on with what comes.
    pub wait: bool,
    /// Leave out what is there.
    pub new: bool,
    /// Events end in NUL.
    pub nul: bool,
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
    /// With descriptions of the columns.
    pub description: bool,
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
    /// Address that checks go to, and port if it changes.
    CheckAddress(IpAddr, Option<u16>),
    /// Port that checks go to.
    CheckPort(u16),
    /// Address of the agent, and port if it changes.
    AgentAddress(IpAddr, Option<u16>),
    /// Port of the agent.
    AgentPort(u16),
    /// What is sent to the agent.
    AgentSend(String),
    /// Connections and requests in progress are cut.
    ShutdownSessions,
    /// Name that its address is looked up from.
    HostName(String),
    /// Its name.
    Name(String),
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

/// What is said about a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteWord {
    /// A change that needs nothing but the site.
    Change(SiteChange),
    /// A connection limit, not yet understood.
    Limit(Option<String>),
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
    pub(crate) fn new(text: &str) -> Usage {
        Usage(text.to_owned())
    }
}

/// Makes a command of a line (without `;` and line end), if the session may give it.
pub fn parse(line: &str, level: RuntimeLevel) -> Result<Command, Usage> {
    parse_with(line, None, level, false)
}

/// The same with what came after `<<`, and with the commands that need `experimental-mode on`.
pub fn parse_with(
    line: &str,
    payload: Option<&str>,
    level: RuntimeLevel,
    experimental: bool,
) -> Result<Command, Usage> {
    let words = split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    words::find(&words, payload, level, experimental)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::SET_SERVER;
    use crate::words::WORDS;
    use RuntimeLevel::{Admin as ADMIN, Operator as OPERATOR, User as USER};

    fn server(change: ServerChange) -> Result<Command, Usage> {
        let target = Target { pool: "be".into(), server: "s1".into() };
        Ok(Command::Server(target, ServerWord::Change(change)))
    }

    #[test]
    fn lines_that_are_commands() {
        let stat = StatRequest::default();
        for (line, expected) in [
            ("show info", Ok(Command::ShowInfo(Printing::default()))),
            (
                " show  info\ttyped ",
                Ok(Command::ShowInfo(Printing { output: Output::Typed, description: false })),
            ),
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
            ("set maxconn frontend fe 9", Ok(Command::Site("fe".into(), SiteWord::Limit(Some("9".into()))))),
            ("disable frontend fe", Ok(Command::Site("fe".into(), SiteWord::Change(SiteChange::Pause)))),
            ("set rate-limit sessions global 9", Ok(Command::SetRateLimit(RateLimit::Sessions, 9))),
            ("wait 2s", Ok(Command::Wait(Wait { delay: Duration::from_secs(2), removable: None }))),
            ("prompt timed i", Ok(Command::Prompt(vec![PromptWord::Timed, PromptWord::Interactive]))),
            (
                "set server be/s1 check-addr ::1 port 7",
                server(ServerChange::CheckAddress([0, 0, 0, 0, 0, 0, 0, 1].into(), Some(7))),
            ),
            (
                "show table t data.gpc0 gt 1",
                Ok(Command::Part(Order {
                    words: &["show", "table"],
                    arguments: ["t", "data.gpc0", "gt", "1"].map(String::from).to_vec(),
                    payload: None,
                })),
            ),
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
            ("set maxconn server be/s1 x", ADMIN, "maxconn string empty or preceded by garbage"),
            ("set maxconn global x", ADMIN, "Expects an integer value.\n"),
            ("set rate-limit sessions global", ADMIN, "Expects an integer value.\n"),
            ("set timeout", ADMIN, "'set timeout' only supports 'cli'.\n"),
            ("set timeout cli", ADMIN, "Expects an integer value.\n"),
            ("set server be/s1 check-addr x", ADMIN, "invalid addr 'x'"),
            ("set server be/s1 check-port", ADMIN, "set server <b>/<s> check-port requires a port.\n"),
            ("set server be/s1 check-port x", ADMIN, "provided port is not an integer"),
            ("set server be/s1 agent-port 70000", ADMIN, "provided port is invalid"),
            ("show events ring -x", ADMIN, "unknown option\n"),
            ("show stat domain tea", ADMIN, "Invalid statistics domain.\n"),
            ("enable frontend", ADMIN, "A frontend name is expected.\n"),
            ("set server be/s1 state ready", OPERATOR, "Permission denied\n"),
            ("set timeout cli 99999999999999999999d", USER, "Invalid timeout value.\n"),
        ] {
            assert_eq!(parse(line, level), Err(Usage::new(answer)), "{line}");
        }
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
