//! Runtime commands about tables: `show table`, `set table`, `clear table` (management.txt, 9.3).
//!
//! The supervisor gives the words behind the command; the texts are those of HAProxy.

use crate::key::Key;
use crate::set::Tables;
use crate::table::{Entry, Table};
use plan::table::{Datum, Form, KeyKind};
use std::fmt::Write as _;
use std::sync::Arc;

/// Conditions on data that one command takes.
const MOST_FILTERS: usize = 4;

/// What is sent back, or what was wrong.
type Answer = Result<String, String>;

/// Which entries a command is about.
enum Which {
    All,
    One(Arc<Entry>),
    /// None has that key.
    Nobody,
    Filtered(Vec<Filter>),
}

/// `data.TYPE OPERATOR VALUE`.
struct Filter {
    datum: Datum,
    element: u8,
    holds: fn(&i64, &i64) -> bool,
    value: i64,
}

/// `show table [T [data.… | key K | ptr P]]`.
///
/// # Errors
/// What was wrong with the words.
pub fn show(tables: &Tables, words: &[&str]) -> Answer {
    let now = tables.now();
    tables.sweep();
    let Some((name, words)) = words.split_first() else {
        return Ok(tables.all().iter().rev().map(|table| head(table)).collect());
    };
    let table = find(tables, name)?;
    let only =
        "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and key <key>\n";
    let which = which(table, words, only, now)?;
    let mut text = if matches!(which, Which::Nobody) { String::new() } else { head(table) };
    for entry in which.entries(table, now) {
        write_entry(table, &entry, now, &mut text);
    }
    Ok(text)
}

/// `clear table T [data.… | key K | ptr P]`.
///
/// # Errors
/// What was wrong with the words.
pub fn clear(tables: &Tables, words: &[&str]) -> Answer {
    let usage =
        "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>\n";
    let (name, words) = words.split_first().ok_or(usage)?;
    let table = find(tables, name)?;
    let which = which(table, words, usage, tables.now())?;
    if let Which::One(entry) = &which
        && !table.remove(&entry.key)
    {
        return Err("Entry currently in use, cannot remove\n".into());
    }
    for entry in which.entries(table, tables.now()) {
        table.remove(&entry.key);
    }
    Ok(String::new())
}

/// `set table T key K [data.TYPE VALUE]…`.
///
/// # Errors
/// What was wrong with the words. Nothing is changed then.
pub fn set(tables: &Tables, words: &[&str]) -> Answer {
    let usage = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*\n";
    let (name, words) = words.split_first().ok_or(usage)?;
    let table = find(tables, name)?;
    let now = tables.now();
    let (by, rest) = match words {
        [] => return Ok(String::new()),
        ["key" | "ptr"] => return Err("Key value expected\n".into()),
        ["key" | "ptr", _, rest @ ..] => ((words[0], words[1]), rest),
        [word, ..] if word.starts_with("data.") => {
            return Err(
                "content-based lookup is only supported with the \"show\" and \"clear\" actions\n".into()
            );
        }
        _ => return Err(usage.into()),
    };
    let changes = rest.chunks(2).map(|pair| change(table, pair)).collect::<Result<Vec<_>, _>>()?;
    let entry = match by {
        ("key", text) => {
            let key = key(table, text)?;
            if matches!(table.plan.key, KeyKind::Binary(_)) {
                return Err(
                    "Inserting keys into tables of type other than ip, ipv6, string and integer is not \
                            supported\n"
                        .into(),
                );
            }
            table.obtain(&key, now).ok_or("Unable to allocate a new entry\n")?
        }
        (_, text) => by_number(table, text)?,
    };
    for (datum, element, value) in changes {
        table.set(&entry, datum, element, value, now);
    }
    table.changed(&entry, now);
    Ok(String::new())
}

fn find<'t>(tables: &'t Tables, name: &str) -> Result<&'t Arc<Table>, String> {
    tables.get(name).ok_or_else(|| "No such table\n".into())
}

fn which(table: &Table, words: &[&str], usage: &str, now: u64) -> Result<Which, String> {
    Ok(match words {
        [] => Which::All,
        ["key" | "ptr"] => return Err("Key value expected\n".into()),
        ["key", text, ..] => table.find(&key(table, text)?, now).map_or(Which::Nobody, Which::One),
        ["ptr", text, ..] => Which::One(by_number(table, text)?),
        [word, ..] if word.starts_with("data.") => {
            let filters = words.chunks(3).take(MOST_FILTERS).enumerate();
            let read = |(at, words)| {
                filter(table, words).map_err(|what| format!("Filter entry #{}: {what}", at + 1))
            };
            Which::Filtered(filters.map(read).collect::<Result<_, _>>()?)
        }
        _ => return Err(usage.into()),
    })
}

fn key(table: &Table, text: &str) -> Result<Key, String> {
    let wrong_family = table.plan.key == KeyKind::Ipv6 && text.parse::<std::net::Ipv4Addr>().is_ok();
    let key = Key::parse(table.plan.key, text).filter(|_| !wrong_family);
    key.ok_or_else(|| "Invalid key\n".into())
}

fn by_number(table: &Table, text: &str) -> Result<Arc<Entry>, String> {
    let number = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let found = table.entries().into_iter().find(|entry| Some(entry.id) == number);
    found.ok_or_else(|| "No entry can be found matching ptr.\n".into())
}

fn filter(table: &Table, words: &[&str]) -> Result<Filter, &'static str> {
    let (datum, element) = datum(table, words.first().copied().unwrap_or_default())?;
    let holds: fn(&i64, &i64) -> bool = match words.get(1).copied() {
        Some("eq") => i64::eq,
        Some("ne") => i64::ne,
        Some("le") => i64::le,
        Some("ge") => i64::ge,
        Some("lt") => i64::lt,
        Some("gt") => i64::gt,
        _ => return Err("Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"\n"),
    };
    let value = words.get(2).and_then(|text| text.parse().ok());
    let value = value.ok_or("Require a valid integer value to compare against\n")?;
    Ok(Filter { datum, element, holds, value })
}

/// `data.gpc0`, `data.gpt[1]`.
fn datum(table: &Table, word: &str) -> Result<(Datum, u8), &'static str> {
    let word = word.strip_prefix("data.").ok_or("\"data.<type>\" followed by a value expected\n")?;
    let (name, element) = match word.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']').and_then(|index| index.parse().ok())),
        None => (word, Some(0)),
    };
    let (datum, element) = Datum::of_word(name).zip(element).ok_or("Unknown data type\n")?;
    table.layout.cell(datum, element).ok_or("Data type not stored in this table\n")?;
    Ok((datum, element))
}

fn change(table: &Table, words: &[&str]) -> Result<(Datum, u8, u64), &'static str> {
    let (datum, element) = datum(table, words.first().copied().unwrap_or_default())?;
    let text = words.get(1).copied().unwrap_or_default();
    if datum.form() == Form::Word && !text.is_empty() {
        return Ok((datum, element, table.number_of(text)));
    }
    let value = text.parse().map_err(|_| "Require a valid integer value to store\n")?;
    Ok((datum, element, value))
}

impl Which {
    /// The entries, in the order of their keys.
    fn entries(&self, table: &Table, now: u64) -> Vec<Arc<Entry>> {
        let mut list = match self {
            Which::Nobody => Vec::new(),
            Which::One(entry) => vec![Arc::clone(entry)],
            Which::All => table.entries(),
            Which::Filtered(filters) => {
                let holds =
                    |entry: &Arc<Entry>| filters.iter().all(|filter| filter.accepts(table, entry, now));
                table.entries().into_iter().filter(holds).collect()
            }
        };
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    }
}

impl Filter {
    fn accepts(&self, table: &Table, entry: &Entry, now: u64) -> bool {
        let value = table.value(entry, self.datum, self.element, now).unwrap_or(0);
        (self.holds)(&i64::try_from(value).unwrap_or(i64::MAX), &self.value)
    }
}

/// HAProxy's word for a type of keys.
pub fn kind_word(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Ipv4 => "ip",
        KeyKind::Ipv6 => "ipv6",
        KeyKind::Integer => "integer",
        KeyKind::Text(_) => "string",
        KeyKind::Binary(_) => "binary",
    }
}

fn head(table: &Table) -> String {
    let kind = kind_word(table.plan.key);
    format!("# table: {}, type: {kind}, size:{}, used:{}\n", table.plan.name, table.plan.size, table.used())
}

fn write_entry(table: &Table, entry: &Entry, now: u64, text: &mut String) {
    let key = entry.key.text(table.plan.key);
    let expires = table.expires_in(entry, now).unwrap_or(0);
    let _ = write!(text, "{:#010x}: key={key} use={} exp={expires} shard=0", entry.id, entry.trackers());
    for stored in table.layout.stored() {
        for element in 0..stored.count as u8 {
            text.push(' ');
            write_name(stored.datum, element, text);
            if stored.period_ms > 0 {
                let _ = write!(text, "({})", stored.period_ms);
            }
            let value = table.value(entry, stored.datum, element, now).unwrap_or(0);
            match stored.datum.form() {
                Form::Word => {
                    let word = table.word(value);
                    let _ = write!(text, "={}", word.as_deref().unwrap_or("-"));
                }
                _ => drop(write!(text, "={value}")),
            }
        }
    }
    text.push('\n');
}

/// The number of an element stands before the first `_`: `gpc3_rate`.
fn write_name(datum: Datum, element: u8, text: &mut String) {
    let word = datum.word();
    match (datum.is_array(), word.split_once('_')) {
        (false, _) => text.push_str(word),
        (true, Some((first, rest))) => drop(write!(text, "{first}{element}_{rest}")),
        (true, None) => drop(write!(text, "{word}{element}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::table::{ServerKey, Stored};

    fn tables() -> Tables {
        let stored = |datum, period_ms, count| Stored { datum, period_ms, count };
        let table = |name: &str, key, store: &[Stored]| plan::Table {
            place: plan::Place::none(),
            name: name.into(),
            key,
            size: 3,
            expire: None,
            purge: true,
            store: store.to_vec(),
            server_key: ServerKey::Name,
            byte_rate_factor: 1,
            peers: None,
        };
        let plans = [
            table("f", KeyKind::Ipv4, &[stored(Datum::Gpc0, 0, 1), stored(Datum::ConnRate, 10_000, 1)]),
            table(
                "s",
                KeyKind::Text(8),
                &[stored(Datum::ServerKey, 0, 1), stored(Datum::Gpt, 0, 2), stored(Datum::GpcRate, 5000, 2)],
            ),
        ];
        Tables::build(&plans, None, Arc::new(|| 100_000), |_| None)
    }

    /// Each line is a command; what it answers follows after `>`.
    #[test]
    fn commands_answer_as_haproxy_does() {
        let tables = tables();
        let story = r#"
show
> # table: s, type: string, size:3, used:0
> # table: f, type: ip, size:3, used:0
set f key 1.2.3.4 data.gpc0 5 data.conn_rate 7
set f key 1.2.3.3
show f
> # table: f, type: ip, size:3, used:2
> 0x00000002: key=1.2.3.3 use=0 exp=0 shard=0 gpc0=0 conn_rate(10000)=0
> 0x00000001: key=1.2.3.4 use=0 exp=0 shard=0 gpc0=5 conn_rate(10000)=7
show f data.gpc0 gt 3
> # table: f, type: ip, size:3, used:2
> 0x00000001: key=1.2.3.4 use=0 exp=0 shard=0 gpc0=5 conn_rate(10000)=7
show f data.gpc0 gt 3 data.conn_rate lt 3
> # table: f, type: ip, size:3, used:2
show f ptr 0x2
> # table: f, type: ip, size:3, used:2
> 0x00000002: key=1.2.3.3 use=0 exp=0 shard=0 gpc0=0 conn_rate(10000)=0
show f key 9.9.9.9
show f key
> Key value expected
show f data.gpc1 gt 3
> Filter entry #1: Data type not stored in this table
show f data.foo gt 3
> Filter entry #1: Unknown data type
show f data.gpc0 xx 3
> Filter entry #1: Require and operator among "eq", "ne", "le", "ge", "lt", "gt"
show f data.gpc0 gt 1 data.gpc0 gt x
> Filter entry #2: Require a valid integer value to compare against
show f foo
> Optional argument only supports "data.<store_data_type>" <operator> <value> and key <key>
show nope
> No such table
set f
set f key
> Key value expected
set f key 5.5.5.5 data.gpc0
> Require a valid integer value to store
set f key 5.5.5.5 gpc0 1
> "data.<type>" followed by a value expected
set f data.gpc0 1
> content-based lookup is only supported with the "show" and "clear" actions
set s key tooooooolong data.gpt[1] 5 data.gpc_rate[0] 4 data.server_key web1
show s data.gpt[1] eq 5
> # table: s, type: string, size:3, used:1
> 0x00000001: key=tooooooo use=0 exp=0 shard=0 server_key=web1 gpt0=0 gpt1=5 gpc0_rate(5000)=4 gpc1_rate(5000)=0
clear f data.gpc0 gt 1
show f
> # table: f, type: ip, size:3, used:1
> 0x00000002: key=1.2.3.3 use=0 exp=0 shard=0 gpc0=0 conn_rate(10000)=0
clear f key 1.2.3.3
clear f foo
> Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key>
clear f
show f
> # table: f, type: ip, size:3, used:0
"#;
        let mut lines = story.trim().lines().peekable();
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            let run = match words[0] {
                "show" => show,
                "set" => set,
                _ => clear,
            };
            let answer = run(&tables, &words[1..]);
            let mut expected = String::new();
            while let Some(text) = lines.next_if(|line| line.starts_with("> ")) {
                expected += &text[2..];
                expected += "\n";
            }
            let answer = answer.unwrap_or_else(|what| what);
            assert_eq!(answer, expected, "{line}");
        }
    }
}
