//! The words of the runtime socket: one table for finding a command, rights and help.

use crate::command::{Command, Order, ServerChange, SiteChange, Usage};
use crate::parse::{self, change, site};
use dashboard::Admin;
use plan::process::RuntimeLevel;
use std::fmt::Write as _;

/// Makes a command of the words after the matched ones.
pub(crate) type Parser = fn(&[&str]) -> Result<Command, Usage>;

/// What a row does.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Makes a command.
    Parse(Parser),
    /// Goes to the part of the program that the words are about, see [`Order`].
    Part,
    /// Goes there too, but only after `experimental-mode on`.
    Experimental,
    /// Nobody answers it; why.
    Refuse(&'static str),
}

/// A row: words, arguments for help, who may, what it is for, what it does.
pub(crate) struct Word {
    pub words: &'static [&'static str],
    pub arguments: &'static str,
    pub level: RuntimeLevel,
    pub help: &'static str,
    pub act: Act,
}

const fn word(
    words: &'static [&'static str],
    arguments: &'static str,
    level: RuntimeLevel,
    help: &'static str,
    parse: Parser,
) -> Word {
    Word { words, arguments, level, help, act: Act::Parse(parse) }
}

const fn part(
    words: &'static [&'static str],
    arguments: &'static str,
    level: RuntimeLevel,
    help: &'static str,
) -> Word {
    Word { words, arguments, level, help, act: Act::Part }
}

const fn refuse(words: &'static [&'static str], why: &'static str) -> Word {
    Word { words, arguments: "", level: USER, help: "", act: Act::Refuse(why) }
}

use RuntimeLevel::{Admin as ADMIN, Operator as OPERATOR, User as USER};

const INSIDES: &str = "it shows the insides of another program";
const TLS: &str = "there are no certificates to change at run time";

/// All commands, in the order of help. Where one begins the other, the longer one is meant.
///
/// Maps and tables may be changed by operators only: what HAProxy 2.6 allows to everybody who can open the
/// socket is no right of a reader.
pub(crate) const WORDS: &[Word] = &[
    part(&["add", "acl"], "[@<ver>] <acl> <pattern>", OPERATOR, "add a pattern to a list"),
    part(
        &["add", "map"],
        "[@<ver>] <map> <key> <val>",
        OPERATOR,
        "add an entry to a map, or many by payload",
    ),
    word(
        &["add", "server"],
        "<bk>/<srv> <addr> [opts]*",
        ADMIN,
        "make a server, in maintenance at first",
        parse::add_server,
    ),
    part(&["clear", "acl"], "[@<ver>] <acl>", OPERATOR, "empty a list"),
    word(&["clear", "counters"], "[all]", OPERATOR, "forget maxima, or all counters", parse::clear_counters),
    word(
        &["clear", "counters", "server"],
        "<bk>/<srv> [force]",
        ADMIN,
        "forget all counters of one server",
        |w| Ok(Command::ClearServer(parse::target(w.first())?)),
    ),
    part(&["clear", "map"], "[@<ver>] <map>", OPERATOR, "empty a map"),
    part(&["clear", "table"], "<table> [<filter>]*", OPERATOR, "forget entries of a table"),
    part(&["commit", "acl"], "@<ver> <acl>", OPERATOR, "put a prepared list in force"),
    part(&["commit", "map"], "@<ver> <map>", OPERATOR, "put a prepared map in force"),
    part(&["del", "acl"], "<acl> [<key>|#<ref>]", OPERATOR, "delete patterns of a list"),
    part(&["del", "map"], "<map> [<key>|#<ref>]", OPERATOR, "delete entries of a map"),
    word(&["del", "server"], "<bk>/<srv>", ADMIN, "take a server in maintenance away", |w| {
        Ok(Command::DeleteServer(parse::target(w.first())?))
    }),
    word(&["disable", "agent"], "<bk>/<srv>", ADMIN, "switch the agent of a server off", |w| {
        change(w, ServerChange::Agent(false))
    }),
    part(&["disable", "dynamic-cookie", "backend"], "<bk>", ADMIN, "stop to compute cookies of servers"),
    word(&["disable", "frontend"], "<frontend>", ADMIN, "stop listening until enabled again", |w| {
        site(w, SiteChange::Pause)
    }),
    word(&["disable", "health"], "<bk>/<srv>", ADMIN, "switch the checks of a server off", |w| {
        change(w, ServerChange::Checks(false))
    }),
    word(&["disable", "server"], "<bk>/<srv>", ADMIN, "put a server into maintenance", |w| {
        change(w, ServerChange::Admin(Admin::Maintenance))
    }),
    word(&["enable", "agent"], "<bk>/<srv>", ADMIN, "switch the agent of a server on", |w| {
        change(w, ServerChange::Agent(true))
    }),
    part(&["enable", "dynamic-cookie", "backend"], "<bk>", ADMIN, "compute cookies of servers"),
    word(&["enable", "frontend"], "<frontend>", ADMIN, "listen again", |w| site(w, SiteChange::Resume)),
    word(&["enable", "health"], "<bk>/<srv>", ADMIN, "switch the checks of a server on", |w| {
        change(w, ServerChange::Checks(true))
    }),
    word(&["enable", "server"], "<bk>/<srv>", ADMIN, "take a server out of maintenance", |w| {
        change(w, ServerChange::Admin(Admin::Ready))
    }),
    word(&["experimental-mode"], "[on|off]", ADMIN, "allow commands that may still change", |w| {
        Ok(Command::Experimental(parse::switch(w)))
    }),
    word(&["expert-mode"], "[on|off]", ADMIN, "accepted; there are no such commands here", |w| {
        Ok(Command::Expert(parse::switch(w)))
    }),
    part(&["get", "acl"], "<acl> <value>", USER, "look a value up in a list"),
    part(&["get", "map"], "<map> <value>", USER, "look a value up in a map"),
    part(&["get", "var"], "<name>", OPERATOR, "value of a variable of the process"),
    word(&["get", "weight"], "<bk>/<srv>", USER, "weight of a server now and in the file", |w| {
        Ok(Command::GetWeight(parse::target(w.first())?))
    }),
    word(&["operator"], "", OPERATOR, "lower the rights of this session to operator", |_| {
        Ok(Command::LowerLevel(OPERATOR))
    }),
    part(&["prepare", "acl"], "<acl>", OPERATOR, "begin a new version of a list"),
    part(&["prepare", "map"], "<map>", OPERATOR, "begin a new version of a map"),
    part(
        &["set", "dynamic-cookie-key", "backend"],
        "<bk> <k>",
        ADMIN,
        "secret that cookies of servers are computed with",
    ),
    part(&["set", "map"], "<map> [<key>|#<ref>] <value>", OPERATOR, "change an entry of a map"),
    word(
        &["set", "maxconn", "frontend"],
        "<frontend> <value>",
        ADMIN,
        "connection limit of a frontend",
        parse::set_site_limit,
    ),
    word(
        &["set", "maxconn", "global"],
        "<value>",
        ADMIN,
        "connection limit of the process",
        parse::set_process_limit,
    ),
    word(
        &["set", "maxconn", "server"],
        "<bk>/<srv> <value>",
        ADMIN,
        "request limit of a server",
        parse::set_server_limit,
    ),
    word(&["set", "rate-limit"], "<setting> <value>", ADMIN, "limit of a rate", parse::set_rate_limit),
    word(
        &["set", "server"],
        "<bk>/<srv> [opts]",
        ADMIN,
        "change state, weight, address or health",
        parse::set_server,
    ),
    word(
        &["set", "severity-output"],
        "[none|number|string]",
        USER,
        "begin answers with their severity",
        parse::severity_output,
    ),
    part(&["set", "table"], "<table> key <k> [data.* <v>]*", OPERATOR, "make or change an entry of a table"),
    word(&["set", "timeout"], "cli <delay>", USER, "longest silence of this session", parse::set_timeout),
    Word {
        words: &["set", "var"],
        arguments: "<name> [fmt|expr] <value>",
        level: OPERATOR,
        help: "set a variable of the process",
        act: Act::Experimental,
    },
    word(&["set", "weight"], "<bk>/<srv> <weight>[%]", ADMIN, "weight of a server", |w| {
        let target = parse::target(w.first())?;
        parse::weight(target, w.get(1))
    }),
    part(&["show", "acl"], "[[@<ver>] <acl>]", USER, "lists of patterns, or one of them"),
    part(&["show", "activity"], "", USER, "what each thread did"),
    word(&["show", "backend"], "", USER, "names of the backends", |_| Ok(Command::ShowBackend)),
    part(&["show", "cache"], "", OPERATOR, "state of the caches"),
    word(&["show", "cli", "level"], "", USER, "rights of this session", |_| Ok(Command::ShowLevel)),
    part(&["show", "cli", "sockets"], "", USER, "runtime sockets"),
    part(&["show", "env"], "[<var>]", OPERATOR, "environment of the process"),
    word(
        &["show", "errors"],
        "[<px>] [request|response]",
        OPERATOR,
        "last invalid requests and responses",
        parse::show_errors,
    ),
    word(&["show", "events"], "[<sink>] [-w] [-n] [-0]", USER, "rings of events, or one", parse::show_events),
    word(&["show", "info"], "[desc|json|typed|float]*", USER, "numbers of the process", |w| {
        Ok(Command::ShowInfo(parse::form(w)))
    }),
    part(&["show", "map"], "[[@<ver>] <map>]", USER, "maps, or one of them"),
    part(&["show", "peers"], "[dict|-] [<section>]", USER, "state of the peers"),
    part(&["show", "resolvers"], "[<id>]", USER, "counters of name servers"),
    word(&["show", "schema", "json"], "", USER, "form of the JSON answers", |_| Ok(Command::ShowSchema)),
    word(&["show", "servers", "conn"], "[<backend>]", USER, "connections to servers", |w| {
        Ok(Command::ShowServersConn(w.first().map(|s| (*s).to_owned())))
    }),
    word(&["show", "servers", "state"], "[<backend>]", USER, "states of servers", |w| {
        Ok(Command::ShowServersState(w.first().map(|s| (*s).to_owned())))
    }),
    part(&["show", "sess"], "[<id>|all|older <age>]", OPERATOR, "sessions, or one of them"),
    part(&["show", "startup-logs"], "", OPERATOR, "what was said at the start or the last reload"),
    word(
        &["show", "stat"],
        "[desc|json|no-maint|typed|up]*",
        USER,
        "numbers of frontends, backends and servers",
        parse::show_stat,
    ),
    part(&["show", "table"], "[<table> [<filter>]*]", USER, "tables, or entries of one"),
    part(&["show", "threads"], "", USER, "worker threads"),
    word(&["show", "version"], "", USER, "version of this process", |_| Ok(Command::ShowVersion)),
    word(&["shutdown", "frontend"], "<frontend>", ADMIN, "stop a frontend for good", |w| {
        site(w, SiteChange::Shutdown)
    }),
    part(&["shutdown", "session"], "<id>", ADMIN, "end a session"),
    word(
        &["shutdown", "sessions", "server"],
        "<bk>/<srv>",
        ADMIN,
        "end what is in progress at a server",
        |w| change(w, ServerChange::ShutdownSessions),
    ),
    word(&["user"], "", USER, "lower the rights of this session to user", |_| Ok(Command::LowerLevel(USER))),
    word(
        &["wait"],
        "<delay> [srv-removable <bk>/<srv>]",
        USER,
        "wait, or until a server can be deleted",
        parse::wait,
    ),
    word(&["help"], "[<command>]", USER, "commands that begin so, or all", |w| {
        Ok(Command::Help((!w.is_empty()).then(|| w.join(" "))))
    }),
    word(&["prompt"], "[help | n | i | p | timed]*", USER, "how the session goes on", parse::prompt),
    word(&["quit"], "", USER, "end this session", |_| Ok(Command::Quit)),
];

/// Known to HAProxy, answered by nobody here.
const REFUSED: &[Word] = &[
    refuse(&["abort", "ssl"], TLS),
    refuse(&["acme"], TLS),
    refuse(&["add", "ssl"], TLS),
    refuse(&["commit", "ssl"], TLS),
    refuse(&["debug"], INSIDES),
    refuse(&["del", "ssl"], TLS),
    refuse(&["dump", "ssl"], TLS),
    refuse(&["dump", "stats-file"], "counters outlive a reload anyway"),
    refuse(&["new", "ssl"], TLS),
    refuse(&["set", "anon"], "nothing is hidden in answers"),
    refuse(&["set", "profiling"], INSIDES),
    refuse(&["set", "ssl"], TLS),
    refuse(&["show", "anon"], "nothing is hidden in answers"),
    refuse(&["show", "fd"], INSIDES),
    refuse(&["show", "libs"], INSIDES),
    refuse(&["show", "pools"], INSIDES),
    refuse(&["show", "profiling"], INSIDES),
    refuse(&["show", "quic"], INSIDES),
    refuse(&["show", "ssl"], TLS),
    refuse(&["show", "tasks"], INSIDES),
    refuse(&["show", "tls-keys"], TLS),
    refuse(&["show", "trace"], INSIDES),
    refuse(&["trace"], INSIDES),
];

/// The rows that stand at the end of every list.
const ALWAYS: usize = 3;

/// Makes a command of words, if the session may give it.
pub(crate) fn find(
    words: &[&str],
    payload: Option<&str>,
    level: RuntimeLevel,
    experimental: bool,
) -> Result<Command, Usage> {
    let begins = |row: &&Word| words.starts_with(row.words);
    let row = WORDS.iter().chain(REFUSED).filter(begins).max_by_key(|row| row.words.len());
    let Some(row) = row else { return Err(unknown(words, level)) };
    if row.level > level {
        return Err(Usage::new("Permission denied\n"));
    }
    let rest = &words[row.words.len()..];
    match row.act {
        Act::Parse(parse) => parse(rest),
        Act::Experimental if !experimental => {
            Err(Usage::new("This command is restricted to experimental mode only.\n"))
        }
        Act::Part | Act::Experimental => Ok(Command::Part(Order {
            words: row.words,
            arguments: rest.iter().map(|word| (*word).to_owned()).collect(),
            payload: payload.map(str::to_owned),
        })),
        Act::Refuse(why) => Err(Usage(format!("'{}' is not available here: {why}.\n", row.words.join(" ")))),
    }
}

/// `help`: the commands of this level that begin with `prefix`.
pub(crate) fn help(prefix: Option<&str>, level: RuntimeLevel) -> String {
    let mut text = String::from("The following commands are valid at this level:\n");
    match prefix {
        None => write_rows(&mut text, allowed(level)),
        Some(prefix) => {
            let words: Vec<&str> = prefix.split(' ').collect();
            write_rows(&mut text, near(&words, level));
            write_rows(&mut text, always());
        }
    }
    text
}

fn allowed(level: RuntimeLevel) -> impl Iterator<Item = &'static Word> {
    WORDS.iter().filter(move |row| row.level <= level)
}

fn always() -> impl Iterator<Item = &'static Word> {
    WORDS[WORDS.len() - ALWAYS..].iter()
}

fn write_rows(text: &mut String, rows: impl IntoIterator<Item = &'static Word>) {
    for row in rows {
        let usage = format!("{} {}", row.words.join(" "), row.arguments);
        let _ = writeln!(text, "  {:40}: {}", usage.trim_end(), row.help);
    }
}

/// Commands that a line may have meant: those it begins, else those with the same first word, else those whose
/// first word is spelled nearly so.
fn near(words: &[&str], level: RuntimeLevel) -> Vec<&'static Word> {
    let rows = || allowed(level).take_while(|row| !always().any(|always| std::ptr::eq(*row, always)));
    let begun = |row: &&Word| words.iter().zip(row.words).all(|(said, word)| word.starts_with(said));
    let first = words.first().copied().unwrap_or("");
    let same = |row: &&Word| row.words[0] == first;
    let alike = |row: &&Word| distance(row.words[0], first) <= first.len() / 3;
    for test in [&begun as &dyn Fn(&&Word) -> bool, &same, &alike] {
        let found: Vec<_> = rows().filter(|row| test(row)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn unknown(words: &[&str], level: RuntimeLevel) -> Usage {
    let near = if words.is_empty() { Vec::new() } else { near(words, level) };
    let mut text;
    if near.is_empty() {
        text = "Unknown command. Please enter one of the following commands only:\n".to_owned();
        write_rows(&mut text, allowed(level));
    } else {
        text = "Unknown command, but maybe one of the following ones is a better match:\n".to_owned();
        write_rows(&mut text, near);
        write_rows(&mut text, always());
    }
    Usage(text)
}

/// Letters to change, add or leave out; words over 32 bytes are far from everything.
fn distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > 32 {
        return usize::MAX;
    }
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str, level: RuntimeLevel) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        find(&words, None, level, false).err().map(|u| u.0).unwrap_or_default()
    }

    #[test]
    fn what_is_unknown_is_answered_by_what_was_meant() {
        let near = said("show sta", USER);
        assert!(near.starts_with("Unknown command, but maybe") && near.contains("  show stat"), "{near}");
        assert!(near.contains("  quit") && !near.contains("show info"), "{near}");
        assert!(said("shwo stat", USER).contains("  show stat"));
        assert!(
            said("set nothing", ADMIN).contains("  set server") && !said("set", USER).contains("set server")
        );
        let far = said("zzzzz", ADMIN);
        assert!(far.starts_with("Unknown command. Please enter") && far.contains("set server"));
        assert!(said("", ADMIN).starts_with("Unknown command. Please enter"));
        assert!(said("show pools", USER).starts_with("'show pools' is not available here: "));
        assert_eq!(
            said("set var proc.a int(1)", OPERATOR),
            "This command is restricted to experimental mode only.\n"
        );
        assert_eq!(said("add map x y z", USER), "Permission denied\n");
    }

    #[test]
    fn help_knows_rights_and_beginnings() {
        let admin = help(None, ADMIN);
        assert!(admin.contains("set server") && !help(None, USER).contains("set server"));
        assert_eq!(admin.lines().count(), 1 + WORDS.len());
        let some = help(Some("show st"), ADMIN);
        assert!(some.contains("show stat") && some.contains("  quit") && !some.contains("show info"));
    }

    #[test]
    fn the_table_is_in_order_and_ends_with_what_is_always_shown() {
        let words: Vec<String> = WORDS.iter().map(|row| row.words.join(" ")).collect();
        let list = &words[..words.len() - ALWAYS];
        assert!(list.is_sorted(), "{list:?}");
        assert_eq!(words[words.len() - ALWAYS..], ["help", "prompt", "quit"]);
    }
}
