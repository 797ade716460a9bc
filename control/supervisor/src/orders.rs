//! Runtime commands that one part of the program answers by itself, and the rings of events.

use crate::control::Desk;
use crate::cycle::Cycle;
use crate::process::Process;
use admin::{Answer, Order, RingPart, RingView};
use plan::process::RuntimeLevel;
use std::fmt::Write as _;
use telemetry::clock::Calendar;

/// The ring of the process's own events.
const EVENTS: &str = "events";

impl Desk {
    /// Answers `order`. Each part of the program has its lines here.
    pub(crate) fn answer_order(&self, order: &Order) -> Answer {
        let Some((process, cycle)) = self.running() else { return Answer::error("Starting.\n") };
        if let Some(answer) = admin::patterns::answer(&cycle.plan.lists, order) {
            return answer;
        }
        match order.words {
            ["show", "env"] => environment(order.argument(0)),
            ["show", "cli", "sockets"] => Answer::data(sockets(&cycle)),
            ["show", "startup-logs"] => Answer::data(format!("{}\n", process.startup_log())),
            ["show", "activity"] => Answer::data(activity(&process)),
            ["show", "threads"] => Answer::data(threads(&process)),
            ["show", "table"] => table_answer(tables::orders::show, &cycle, order),
            ["set", "table"] => table_answer(tables::orders::set, &cycle, order),
            ["clear", "table"] => table_answer(tables::orders::clear, &cycle, order),
            ["show", "cache" | "peers"] if order.arguments.is_empty() => Answer::done(),
            ["show", "resolvers"] => resolvers(&cycle, &self.name_servers(), order.argument(0)),
            ["get", "var"] if order.arguments.is_empty() => {
                Answer::error("Missing process-wide variable identifier.\n")
            }
            words => Answer::error(nothing(words)),
        }
    }

    pub(crate) fn event_rings(&self) -> Vec<RingView> {
        vec![RingView {
            name: EVENTS.into(),
            description: "what happened in this process".into(),
            dropped: 0,
        }]
    }

    pub(crate) fn event_ring(&self, name: &str, from: u64) -> Option<RingPart> {
        let (process, _) = self.running()?;
        (name == EVENTS).then(|| events(&process, from))
    }
}

fn table_answer(
    run: fn(&tables::Tables, &[&str]) -> Result<String, String>,
    cycle: &Cycle,
    order: &Order,
) -> Answer {
    let words: Vec<&str> = order.arguments.iter().map(String::as_str).collect();
    match run(&cycle.tables, &words) {
        Ok(text) => Answer::data(text),
        Err(what) => Answer::error(what),
    }
}

/// There is nothing that the command could be about.
fn nothing(words: &[&str]) -> String {
    match words.last() {
        Some(&"map") => "Unknown map identifier. Please use #<id> or <file>.\n".into(),
        Some(&"acl") => "Unknown ACL identifier. Please use #<id> or <file>.\n".into(),
        Some(&"peers") => "No such peers\n".into(),
        Some(&"var") => "Variable not found.\n".into(),
        _ => format!("'{}' has nothing to work on here.\n", words.join(" ")),
    }
}

/// `show resolvers [NAME]`: counters of each name server.
fn resolvers(cycle: &Cycle, counts: &[discovery::NameServerCounts], name: &str) -> Answer {
    let mut text = String::new();
    for group in cycle.plan.resolvers.iter().filter(|group| name.is_empty() || group.name == name) {
        let _ = writeln!(text, "Resolvers section {}", group.name);
        for server in counts.iter().filter(|server| server.resolvers == group.name) {
            let _ = writeln!(text, " nameserver {}:", server.name);
            name_server(&mut text, &server.counts);
        }
    }
    match text.is_empty() && !name.is_empty() {
        true => Answer::error("Can't find that resolvers section\n"),
        false => Answer::data(text),
    }
}

/// As HAProxy prints them. It counts aliases that lead nowhere and questions of type ANY apart; here the first
/// are answers without records, and the others are not asked.
fn name_server(text: &mut String, counts: &discovery::Counts) {
    let lines = [
        ("sent", counts.sent),
        ("snd_error", counts.send_errors),
        ("valid", counts.valid),
        ("update", counts.updates),
        ("cname", 0),
        ("cname_error", 0),
        ("any_err", 0),
        ("nx", counts.missing),
        ("timeout", counts.silent),
        ("refused", counts.refused),
        ("other", counts.other),
        ("invalid", counts.invalid),
        ("too_big", 0),
        ("truncated", counts.cut),
        ("outdated", counts.late),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "  {:<12} {value}", format!("{name}:"));
    }
}

fn environment(name: &str) -> Answer {
    let line = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        format!("{}={}\n", name.to_string_lossy(), value.to_string_lossy())
            .replace('\n', " ")
            .trim_end()
            .to_owned()
            + "\n"
    };
    match name {
        "" => Answer::data(std::env::vars_os().map(line).collect::<String>()),
        name => match std::env::var_os(name) {
            Some(value) => Answer::data(line((name.into(), value))),
            None => Answer::error("Variable not found\n"),
        },
    }
}

fn sockets(cycle: &Cycle) -> String {
    let mut text = String::from("# socket lvl processes\n");
    for socket in &cycle.plan.process.runtime_sockets {
        let level = match socket.level {
            RuntimeLevel::User => "user",
            RuntimeLevel::Operator => "operator",
            RuntimeLevel::Admin => "admin",
        };
        let address = match &socket.address {
            plan::BindAddress::Tcp(address) if address.is_ipv4() => format!("ipv4@{address}"),
            plan::BindAddress::Tcp(address) => format!("ipv6@{address}"),
            other => other.to_string(),
        };
        let _ = writeln!(text, "{address} {level} all");
    }
    text
}

/// A line per counter: the sum, then each thread.
fn activity(process: &Process) -> String {
    let now = crate::process::unix_ms();
    let mut text =
        format!("thread_id: 1 (1..{})\ndate_now: {}.{:03}000\n", process.workers, now / 1000, now % 1000);
    type Read = fn(&telemetry::ProcessCell) -> u64;
    let counters: [(&str, Read); 5] = [
        ("accepted", |c| c.connections.read()),
        ("requests", |c| c.requests.read()),
        ("bytes_in", |c| c.bytes_in.read()),
        ("bytes_out", |c| c.bytes_out.read()),
        ("spliced_bytes_out", |c| c.spliced_bytes_out.read()),
    ];
    for (name, read) in counters {
        let values: Vec<u64> = process.stats.workers.iter().map(|cell| read(&cell.0)).collect();
        let each = values.iter().fold(String::new(), |text, n| format!("{text} {n}"));
        let _ = writeln!(text, "{name}: {} [{each} ]", values.iter().sum::<u64>());
    }
    text
}

fn threads(process: &Process) -> String {
    let line = |(at, cell): (usize, &telemetry::counters::Padded<telemetry::ProcessCell>)| {
        let cell = &cell.0;
        let (accepted, requests) = (cell.connections.read(), cell.requests.read());
        format!("  Thread {:<2}: id=worker-{at} accepted={accepted} requests={requests}\n", at + 1)
    };
    process.stats.workers.iter().enumerate().map(line).collect()
}

fn events(process: &Process, from: u64) -> RingPart {
    let kept = process.events.lock();
    let mut events = kept.recent(from.saturating_sub(1), usize::MAX);
    events.reverse();
    let next = events.last().map_or(from, |last| last.number + 1);
    let line = |event: telemetry::event::Dated| {
        let date = Calendar::of((event.at_ms / 1000) as i64).iso_date();
        let severity = event.event.severity() as u8;
        let (date, ms) = (String::from_utf8_lossy(&date), event.at_ms % 1000);
        format!("{date}.{ms:03}Z <{severity}> {}", event.event.text())
    };
    RingPart { lines: events.into_iter().map(line).collect(), next }
}
