//! Arguments of commands: from words to values. Texts of refusals are those that scripts know from HAProxy.

use crate::command::{
    Command, ErrorSide, ErrorsRequest, EventsRequest, HealthWord, Output, Printing, PromptWord, RateLimit,
    ServerChange, ServerWord, SeverityOutput, SiteChange, SiteWord, StatRequest, Target, Usage, Wait,
};
use dashboard::{Admin, RowKind};
use std::net::IpAddr;
use std::time::Duration;

pub(crate) fn clear_counters(words: &[&str]) -> Result<Command, Usage> {
    Ok(Command::ClearCounters { all: words.first() == Some(&"all") })
}

/// `on`, `off`, or neither: a question.
pub(crate) fn switch(words: &[&str]) -> Option<bool> {
    match words.first() {
        Some(&"on") => Some(true),
        Some(_) => Some(false),
        None => None,
    }
}

pub(crate) fn target(word: Option<&&str>) -> Result<Target, Usage> {
    word.and_then(|w| w.split_once('/'))
        .map(|(pool, server)| Target { pool: pool.to_owned(), server: server.to_owned() })
        .ok_or_else(|| Usage::new("Require 'backend/server'.\n"))
}

pub(crate) fn add_server(words: &[&str]) -> Result<Command, Usage> {
    let target = target(words.first())?;
    Ok(Command::AddServer(target, words[1..].iter().map(|word| (*word).to_owned()).collect()))
}

pub(crate) fn change(words: &[&str], change: ServerChange) -> Result<Command, Usage> {
    Ok(Command::Server(target(words.first())?, ServerWord::Change(change)))
}

fn site_name(words: &[&str]) -> Result<String, Usage> {
    words.first().map(|name| (*name).to_owned()).ok_or_else(|| Usage::new("A frontend name is expected.\n"))
}

pub(crate) fn site(words: &[&str], change: SiteChange) -> Result<Command, Usage> {
    Ok(Command::Site(site_name(words)?, SiteWord::Change(change)))
}

pub(crate) fn set_site_limit(words: &[&str]) -> Result<Command, Usage> {
    Ok(Command::Site(site_name(words)?, SiteWord::Limit(words.get(1).map(|word| (*word).to_owned()))))
}

pub(crate) fn set_process_limit(words: &[&str]) -> Result<Command, Usage> {
    match words.first().and_then(|n| n.parse().ok()) {
        Some(limit) => Ok(Command::SetProcessLimit(limit)),
        None => Err(Usage::new("Expects an integer value.\n")),
    }
}

pub(crate) fn set_server_limit(words: &[&str]) -> Result<Command, Usage> {
    let target = target(words.first())?;
    let text = words.get(1).ok_or_else(|| Usage::new("Require <maxconn>.\n"))?;
    let limit = text.parse().map_err(|_| Usage::new("maxconn string empty or preceded by garbage"))?;
    Ok(Command::Server(target, ServerWord::Change(ServerChange::Limit(limit))))
}

const RATE_LIMITS: [(&str, RateLimit); 4] = [
    ("connections", RateLimit::Connections),
    ("sessions", RateLimit::Sessions),
    ("ssl-sessions", RateLimit::EncryptedSessions),
    ("http-compression", RateLimit::Compression),
];

pub(crate) fn set_rate_limit(words: &[&str]) -> Result<Command, Usage> {
    let known = || {
        Usage::new(
            "'set rate-limit' takes one of 'connections global', 'sessions global', 'ssl-sessions global' and \
             'http-compression global', and a number.\n",
        )
    };
    let [name, "global", rest @ ..] = words else { return Err(known()) };
    let (_, which) = RATE_LIMITS.iter().find(|(word, _)| word == name).ok_or_else(known)?;
    match rest.first().and_then(|n| n.parse().ok()) {
        Some(limit) => Ok(Command::SetRateLimit(*which, limit)),
        None => Err(Usage::new("Expects an integer value.\n")),
    }
}

pub(crate) fn severity_output(words: &[&str]) -> Result<Command, Usage> {
    match words.first() {
        Some(&"none") => Ok(Command::SetSeverity(SeverityOutput::None)),
        Some(&"number") => Ok(Command::SetSeverity(SeverityOutput::Number)),
        Some(&"string") => Ok(Command::SetSeverity(SeverityOutput::Word)),
        _ => Err(Usage::new("one of 'none', 'number', 'string' is a required argument\n")),
    }
}

pub(crate) fn set_timeout(words: &[&str]) -> Result<Command, Usage> {
    match words {
        ["cli"] => Err(Usage::new("Expects an integer value.\n")),
        ["cli", text, ..] => time(text, Duration::from_secs(1))
            .map(|time| time.as_secs())
            .filter(|s| *s > 0)
            .map(Command::SetTimeout)
            .ok_or_else(|| Usage::new("Invalid timeout value.\n")),
        _ => Err(Usage::new("'set timeout' only supports 'cli'.\n")),
    }
}

/// `90`, `90s`, `5m`, `20ms`; without a unit it is `unit`.
fn time(text: &str, unit: Duration) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number = digits.parse::<u64>().ok()?;
    match &text[digits.len()..] {
        "" => unit.checked_mul(u32::try_from(number).ok()?),
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}

/// Longest `wait`.
const LONGEST: Duration = Duration::from_secs(86_400);

pub(crate) fn wait(words: &[&str]) -> Result<Command, Usage> {
    let usage = || Usage::new("usage: wait <delay>[us|ms|s|m|h|d] [srv-removable <proxy>/<server>]\n");
    let (first, rest) = words.split_first().ok_or_else(usage)?;
    let delay = time(first, Duration::from_millis(1)).ok_or_else(usage)?.min(LONGEST);
    let removable = match rest {
        [] => None,
        ["srv-removable", ..] => Some(target(rest.get(1))?),
        _ => return Err(usage()),
    };
    Ok(Command::Wait(Wait { delay, removable }))
}

pub(crate) fn prompt(words: &[&str]) -> Result<Command, Usage> {
    let word = |word: &&str| match *word {
        "help" => Some(PromptWord::Help),
        "n" => Some(PromptWord::Once),
        "i" => Some(PromptWord::Interactive),
        "p" => Some(PromptWord::Prompt),
        "timed" => Some(PromptWord::Timed),
        _ => None,
    };
    let known: Option<Vec<_>> = words.iter().map(word).collect();
    known.map(Command::Prompt).ok_or_else(|| Usage::new(PROMPT))
}

/// What `prompt help` says.
pub(crate) const PROMPT: &str = "usage: prompt [help | n | i | p | timed]*\n\
                                 n: one line, then the end; i: more lines, no prompt; p: more lines, with a prompt; \
                                 timed: uptime in the prompt, on or off\n";

pub(crate) fn weight(target: Target, word: Option<&&str>) -> Result<Command, Usage> {
    match word {
        Some(text) => Ok(Command::Server(target, ServerWord::Weight((*text).to_owned()))),
        None => Err(Usage::new("Require <weight> or <weight%>.\n")),
    }
}

pub(crate) const SET_SERVER: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | \
agent-send | check-addr | check-port | fqdn | health | name | ssl | state | weight\n";

pub(crate) fn set_server(words: &[&str]) -> Result<Command, Usage> {
    let target = target(words.first())?;
    let value = words.get(2).copied();
    let rest = words.get(3..).unwrap_or(&[]);
    let change = match words.get(1).copied() {
        Some("weight") => return weight(target, words.get(2)),
        Some("addr") => return set_address(target, &words[2..]),
        Some("fqdn") => match value {
            Some(name) => ServerChange::HostName(name.to_owned()),
            None => return Err(Usage::new("set server <b>/<s> fqdn requires a FQDN.\n")),
        },
        Some("name") => match value {
            Some(name) => ServerChange::Name(name.to_owned()),
            None => return Err(Usage::new("set server <b>/<s> name requires a new name.\n")),
        },
        Some("state") => state(value)?,
        Some("health") => health(value)?,
        Some("agent") => agent(value)?,
        Some("agent-send") => match value {
            Some(text) => ServerChange::AgentSend(text.to_owned()),
            None => return Err(Usage::new("set server <b>/<s> agent-send requires a string.\n")),
        },
        Some("agent-addr") => {
            ServerChange::AgentAddress(address("agent-addr", value)?, port_after("agent-addr", rest)?)
        }
        Some("agent-port") => ServerChange::AgentPort(port("agent-port", value)?),
        Some("check-addr") => {
            ServerChange::CheckAddress(address("check-addr", value)?, port_after("check-addr", rest)?)
        }
        Some("check-port") => ServerChange::CheckPort(port("check-port", value)?),
        Some("ssl") => {
            return Err(Usage::new(
                "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n",
            ));
        }
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

fn address(what: &str, word: Option<&str>) -> Result<IpAddr, Usage> {
    let expects = || format!("set server <b>/<s> {what} requires an address and optionally a port.\n");
    let word = word.ok_or_else(|| Usage(expects()))?;
    word.parse().map_err(|_| Usage(format!("invalid addr '{word}'")))
}

fn port(what: &str, word: Option<&str>) -> Result<u16, Usage> {
    let word = word.ok_or_else(|| Usage(format!("set server <b>/<s> {what} requires a port.\n")))?;
    let number: i64 = word.parse().map_err(|_| Usage::new("provided port is not an integer"))?;
    u16::try_from(number).map_err(|_| Usage::new("provided port is invalid"))
}

fn port_after(what: &str, words: &[&str]) -> Result<Option<u16>, Usage> {
    match words {
        ["port", rest @ ..] => port(what, rest.first().copied()).map(Some),
        _ => Ok(None),
    }
}

pub(crate) fn form(words: &[&str]) -> Printing {
    // As in HAProxy the last one counts.
    let output = words.iter().fold(Output::Plain, |before, word| match *word {
        "json" => Output::Json,
        "typed" => Output::Typed,
        _ => before,
    });
    Printing { output, description: words.contains(&"desc") }
}

pub(crate) fn show_stat(words: &[&str]) -> Result<Command, Usage> {
    let words = match words {
        ["domain", "proxy", rest @ ..] => rest,
        ["domain", ..] => return Err(Usage::new("Invalid statistics domain.\n")),
        all => all,
    };
    let only = match words {
        [proxy, kinds, server, ..] => match (kinds.parse(), server.parse()) {
            (Ok(kinds), Ok(server)) => Some(((*proxy).to_owned(), kinds, server)),
            _ => None,
        },
        _ => None,
    };
    let Printing { output, description } = form(words);
    Ok(Command::ShowStat(StatRequest {
        only,
        output,
        up: words.contains(&"up"),
        no_maintenance: words.contains(&"no-maint"),
        description,
    }))
}

/// Bits of `show stat`'s kinds, as HAProxy counts them: 1 sites, 2 pools, 4 servers; -1 all.
pub(crate) fn kind_bits(kinds: i64) -> u32 {
    let all =
        [RowKind::Site, RowKind::Pool, RowKind::Server].iter().fold(0, |bits, kind| bits | 1 << *kind as u32);
    if kinds < 0 { all } else { (kinds as u32) & all }
}

pub(crate) fn show_errors(words: &[&str]) -> Result<Command, Usage> {
    let proxy = words.first().filter(|word| **word != "-1").map(|word| (*word).to_owned());
    let side = match words.get(1) {
        Some(&"request") => Some(ErrorSide::Request),
        Some(&"response") => Some(ErrorSide::Response),
        _ => None,
    };
    Ok(Command::ShowErrors(ErrorsRequest { proxy, side }))
}

pub(crate) fn show_events(words: &[&str]) -> Result<Command, Usage> {
    let Some((ring, flags)) = words.split_first() else {
        return Ok(Command::ShowEvents(EventsRequest::default()));
    };
    let mut request = EventsRequest { ring: Some((*ring).to_owned()), ..EventsRequest::default() };
    for flag in flags {
        let Some(letters) = flag.strip_prefix('-') else { return Err(Usage::new("unknown option\n")) };
        for letter in letters.chars() {
            match letter {
                'w' => request.wait = true,
                'n' => request.new = true,
                '0' => request.nul = true,
                _ => return Err(Usage::new("unknown option\n")),
            }
        }
    }
    Ok(Command::ShowEvents(request))
}
