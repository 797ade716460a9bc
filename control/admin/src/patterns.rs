//! Commands about lists of patterns: `show`, `get`, `add`, `set`, `del`, `clear`, `prepare` and `commit`, each for
//! `map` and `acl`. Answers are HAProxy's.

use crate::{Answer, Order};
use plan::rule::{Compare, Entry, Index, List, ListError, Lists, TextMatch, Value, Wanted, Which};
use std::fmt::Write as _;
use std::sync::Arc;

/// The two families of commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Map,
    Acl,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Family::Map => "map",
            Family::Acl => "acl",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Family::Map => "map",
            Family::Acl => "ACL",
        }
    }

    /// True for lists that this family shows. A list that nothing uses is shown by both.
    fn has(self, list: &List) -> bool {
        let uses = list.uses();
        match self {
            Family::Map => {
                list.entries().list.iter().any(|e| e.value.is_some()) || uses.iter().any(|u| u.is_map)
            }
            Family::Acl => uses.is_empty() || uses.iter().any(|u| !u.is_map),
        }
    }
}

/// Answers an order about maps or ACLs; `None` when it is about something else.
pub fn answer(lists: &Lists, order: &Order) -> Option<Answer> {
    let [verb, family] = order.words else { return None };
    let family = match *family {
        "map" => Family::Map,
        "acl" => Family::Acl,
        _ => return None,
    };
    let mut arguments: Vec<&str> = order.arguments.iter().map(String::as_str).collect();
    let version = match arguments.first().and_then(|word| word.strip_prefix('@')) {
        Some(text) if !matches!(*verb, "get" | "set" | "del" | "prepare") => {
            let Ok(version) = text.parse::<u32>() else { return Some(error("Invalid version number.")) };
            arguments.remove(0);
            Some(version)
        }
        _ => None,
    };
    let request =
        Request { lists, family, version, arguments: &arguments, payload: order.payload.as_deref() };
    Some(match *verb {
        "show" => request.show(),
        "get" => request.get(),
        "add" => request.add(),
        "set" => request.set(),
        "del" => request.del(),
        "clear" => request.clear(),
        "prepare" => request.prepare(),
        "commit" => request.commit(),
        _ => return None,
    })
}

/// A key and, in maps, its value.
type Line = (Box<[u8]>, Option<Box<[u8]>>);

fn error(text: &str) -> Answer {
    Answer::error(format!("{text}\n"))
}

struct Request<'o> {
    lists: &'o Lists,
    family: Family,
    version: Option<u32>,
    arguments: &'o [&'o str],
    payload: Option<&'o str>,
}

impl Request<'_> {
    fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).copied().unwrap_or_default()
    }

    /// The list that the first argument names.
    fn list(&self) -> Result<&Arc<List>, Answer> {
        let name = self.argument(0);
        let fitting = self.lists.0.iter().filter(|list| self.family.has(list));
        let found = match name.strip_prefix('#') {
            Some(number) => {
                let number = number.parse::<u32>().ok();
                fitting.into_iter().find(|list| Some(list.id) == number)
            }
            None => fitting.into_iter().find(|list| !name.is_empty() && *list.name == *name),
        };
        let unknown =
            || error(&format!("Unknown {} identifier. Please use #<id> or <file>.", self.family.name()));
        found.ok_or_else(unknown)
    }

    fn show(&self) -> Answer {
        if self.arguments.is_empty() && self.version.is_none() {
            return self.show_all();
        }
        let list = match self.list() {
            Ok(list) => list,
            Err(answer) => return answer,
        };
        let entries = list.entries_of(self.version.unwrap_or_else(|| list.entries().version));
        let mut text = String::new();
        for entry in entries {
            let _ = write!(text, "0x{:012x} {}", address(list, &entry), entry.key.escape_text());
            if let Some(value) = &entry.value {
                let _ = write!(text, " {}", value.escape_text());
            }
            text.push('\n');
        }
        Answer::data(text)
    }

    fn show_all(&self) -> Answer {
        let mut text = String::from("# id (file) description\n");
        for list in self.lists.0.iter().filter(|list| self.family.has(list)) {
            let uses: Vec<String> = list.uses().iter().map(|u| used_by(u.is_map, &u.place)).collect();
            let entries = list.entries();
            let from = if list.name.is_empty() {
                uses.join(", ")
            } else if uses.is_empty() {
                format!("pattern loaded from file '{}'", list.name)
            } else {
                format!("pattern loaded from file '{}' used {}", list.name, uses.join(", "))
            };
            let _ = writeln!(
                text,
                "{} ({}) {from}. curr_ver={} next_ver={} entry_cnt={}",
                list.id,
                list.name,
                entries.version,
                list.next_version(),
                entries.list.len()
            );
        }
        Answer::data(text)
    }

    fn get(&self) -> Answer {
        if self.arguments.len() < 2 {
            let word = self.family.word();
            return error(&format!(
                "'get {word}' expects two parameters: {} identifier and key.",
                self.family.name()
            ));
        }
        let list = match self.list() {
            Ok(list) => list,
            Err(answer) => return answer,
        };
        let value = Value::text(self.argument(1).as_bytes());
        let mut text = String::new();
        for index in list.uses().iter().map(|u| &u.index) {
            text.push_str(&self.looked_up(index, &value));
            text.push('\n');
        }
        Answer::data(text)
    }

    fn looked_up(&self, index: &Index, value: &Value<'_>) -> String {
        let (kind, case) = kind_of(index.compare);
        let mut line = format!("type={kind}, case={case}, ");
        let (found, key) = match self.family {
            Family::Map => ("found", "key"),
            Family::Acl => ("match", "pattern"),
        };
        let Some(hit) = index.find(value) else { return line + found + "=no" };
        let held = if is_tree(index.compare) { "tree" } else { "list" };
        let _ = write!(line, "{found}=yes, idx={held}, {key}=\"{}\"", hit.entry.key.escape_text());
        if self.family == Family::Map {
            match hit.value.filter(|_| index.wanted != Wanted::Nothing) {
                None => line.push_str(", value=none"),
                Some(value) => {
                    let kind = match value {
                        Value::Int(_) => "sint",
                        Value::Address(address) if address.is_ipv4() => "ipv4",
                        Value::Address(_) => "ipv6",
                        _ => "str",
                    };
                    let value = value.into_text();
                    let _ = write!(line, ", value=\"{}\", type=\"{kind}\"", (*value).escape_text());
                }
            }
        }
        line
    }

    fn add(&self) -> Answer {
        let word = self.family.word();
        let name = self.family.name();
        let usage = match self.family {
            Family::Map => format!(
                "'add {word}' expects three parameters ({name} identifier, key and value) or one parameter ({name} identifier) and a payload"
            ),
            Family::Acl => format!("'add {word}' expects two parameters: {name} identifier and pattern."),
        };
        let enough = match (self.family, self.payload) {
            (_, Some(_)) => !self.arguments.is_empty(),
            (Family::Map, None) => self.arguments.len() >= 3,
            (Family::Acl, None) => self.arguments.len() >= 2,
        };
        if !enough {
            return error(&usage);
        }
        let list = match self.list() {
            Ok(list) => list,
            Err(answer) => return answer,
        };
        match self.entries().map(|entries| list.add(self.version, entries)) {
            Err(what) => error(&what),
            Ok(Err(ListError::VersionUnknown))
                if self.version.is_some_and(|v| v < list.entries().version) =>
            {
                error("Version number is too old.")
            }
            Ok(Err(ListError::VersionUnknown)) => {
                error(&format!("Version number in the future, please use 'prepare {word}' before."))
            }
            Ok(Err(other)) => told(other),
            Ok(Ok(())) => Answer::done(),
        }
    }

    /// Keys and values of the arguments or the payload.
    fn entries(&self) -> Result<Vec<Line>, String> {
        let boxed = |text: &str| Box::<[u8]>::from(text.as_bytes());
        let Some(payload) = self.payload else {
            let value = (self.family == Family::Map).then(|| boxed(self.argument(2)));
            return Ok(vec![(boxed(self.argument(1)), value)]);
        };
        let lines = payload.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| match self.family {
                Family::Acl => Ok((boxed(line), None)),
                Family::Map => {
                    let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
                    match value.trim_start() {
                        "" => Err(format!("Missing value for key '{key}'.")),
                        value => Ok((boxed(key), Some(boxed(value)))),
                    }
                }
            })
            .collect()
    }

    fn set(&self) -> Answer {
        if self.arguments.len() < 3 {
            return error("'set map' expects three parameters: map identifier, key and value.");
        }
        let list = match self.list() {
            Ok(list) => list,
            Err(answer) => return answer,
        };
        match list.set(which(list, self.argument(1)), self.argument(2).as_bytes()) {
            Ok(()) => Answer::done(),
            Err(ListError::NotFound) => error("entry not found."),
            Err(other) => told(other),
        }
    }

    fn del(&self) -> Answer {
        let list = match self.list() {
            Ok(list) => list,
            Err(answer) => return answer,
        };
        if self.arguments.len() < 2 {
            return error("This command expects two parameters: ACL identifier and key.");
        }
        match list.remove(which(list, self.argument(1))) {
            Ok(()) => Answer::done(),
            Err(ListError::NotFound) => error("Key not found."),
            Err(other) => told(other),
        }
    }

    fn clear(&self) -> Answer {
        if self.arguments.is_empty() {
            return error(&format!("Missing {} identifier.", self.family.name()));
        }
        match self.list() {
            Ok(list) => {
                list.clear(self.version);
                Answer::done()
            }
            Err(answer) => answer,
        }
    }

    fn prepare(&self) -> Answer {
        match self.list() {
            Ok(list) => Answer::data(format!("New version created: {}\n", list.prepare())),
            Err(answer) => answer,
        }
    }

    fn commit(&self) -> Answer {
        let Some(version) = self.version else { return error("Missing version number.") };
        match self.list().map(|list| list.commit(version)) {
            Ok(Ok(())) => Answer::done(),
            Ok(Err(ListError::VersionUnknown)) => error("Version number out of range."),
            Ok(Err(other)) => told(other),
            Err(answer) => answer,
        }
    }
}

fn told(what: ListError) -> Answer {
    match what {
        ListError::Unfit(what) => error(&what),
        ListError::NotFound => error("Key not found."),
        ListError::VersionUnknown => error("Version number out of range."),
    }
}

fn used_by(is_map: bool, place: &plan::Place) -> String {
    let by = if is_map { "map" } else { "acl" };
    format!("by {by} at file '{}' line {}", place.file, place.line)
}

/// What stands for the address of an entry: it is different for each entry of all lists.
fn address(list: &List, entry: &Entry) -> u64 {
    (u64::from(list.id) + 1) << 32 | entry.id << 4
}

/// A key, or the address of an entry behind `#0x`.
fn which<'k>(list: &List, text: &'k str) -> Which<'k> {
    let number = text.strip_prefix("#0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match number {
        Some(number) if number >> 32 == u64::from(list.id) + 1 => Which::Id((number & 0xffff_ffff) >> 4),
        Some(_) => Which::Id(0),
        None => Which::Key(text.as_bytes()),
    }
}

/// Word for the way of comparing, and for the case.
fn kind_of(compare: Compare) -> (&'static str, &'static str) {
    let case = |ignored: bool| if ignored { "insensitive" } else { "sensitive" };
    match compare {
        Compare::Text { how, ignore_case } => {
            let kind = match how {
                TextMatch::Exact => "str",
                TextMatch::Prefix => "beg",
                TextMatch::Suffix => "end",
                TextMatch::Substring => "sub",
                TextMatch::Directory => "dir",
                TextMatch::Domain => "dom",
            };
            (kind, case(ignore_case))
        }
        Compare::Regex { ignore_case } => ("reg", case(ignore_case)),
        Compare::Bytes => ("bin", "sensitive"),
        Compare::Int => ("int", "sensitive"),
        Compare::Length => ("len", "sensitive"),
        Compare::Address => ("ip", "sensitive"),
    }
}

/// Where HAProxy keeps such patterns.
fn is_tree(compare: Compare) -> bool {
    match compare {
        Compare::Text { how, ignore_case } => {
            !ignore_case && matches!(how, TextMatch::Exact | TextMatch::Prefix)
        }
        Compare::Address => true,
        _ => false,
    }
}

/// Bytes as text for an answer.
trait EscapeText {
    /// Lossy, without line ends.
    fn escape_text(&self) -> String;
}

impl EscapeText for [u8] {
    fn escape_text(&self) -> String {
        String::from_utf8_lossy(self).replace(['\n', '\r'], " ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::Place;

    const EXACT: Compare = Compare::Text { how: TextMatch::Exact, ignore_case: false };

    /// A map and an ACL with one use each.
    fn lists() -> (Lists, Vec<Arc<Index>>) {
        let entry = |key: &str, value: Option<&str>| {
            (key.as_bytes().into(), value.map(|v| v.as_bytes().into()), Place::none())
        };
        let place = Place::new(&Arc::from("x.cfg"), 7, 1);
        let map = List::new(5, "a.map", [entry("k1", Some("v1")), entry("k2", Some("v 2"))]);
        let acl = List::new(44, "", [entry("10.0.0.1", None)]);
        let uses = vec![
            map.used(EXACT, Wanted::Text, &place).unwrap(),
            acl.used(Compare::Address, Wanted::Nothing, &place).unwrap(),
        ];
        (Lists(vec![map, acl]), uses)
    }

    fn say(lists: &Lists, words: &'static [&'static str], arguments: &str, payload: Option<&str>) -> String {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        let order = Order { words, arguments, payload: payload.map(str::to_owned) };
        answer(lists, &order).unwrap().text
    }

    #[test]
    fn a_session_about_lists() {
        let (lists, _uses) = lists();
        let check = |words: &'static [&'static str], arguments: &str, expected: &str| {
            assert_eq!(say(&lists, words, arguments, None), expected, "{words:?} {arguments}");
        };
        let head = "# id (file) description\n";
        check(
            &["show", "map"],
            "",
            &format!(
                "{head}5 (a.map) pattern loaded from file 'a.map' used by map at file 'x.cfg' line 7. curr_ver=0 next_ver=0 entry_cnt=2\n"
            ),
        );
        check(&["show", "acl"], "#44", "0x002d00000010 10.0.0.1\n");
        check(&["show", "map"], "a.map", "0x000600000010 k1 v1\n0x000600000020 k2 v 2\n");
        check(&["show", "map"], "nosuch", "Unknown map identifier. Please use #<id> or <file>.\n");
        check(
            &["get", "map"],
            "a.map k1",
            "type=str, case=sensitive, found=yes, idx=tree, key=\"k1\", value=\"v1\", type=\"str\"\n",
        );
        check(&["get", "map"], "a.map zz", "type=str, case=sensitive, found=no\n");
        check(
            &["get", "acl"],
            "#44 10.0.0.1",
            "type=ip, case=sensitive, match=yes, idx=tree, pattern=\"10.0.0.1\"\n",
        );
        check(&["add", "acl"], "#44 nope", "'nope' is not a valid IPv4 or IPv6 address.\n");
        check(&["add", "map"], "a.map k3 v3", "");
        check(&["set", "map"], "a.map nokey new", "entry not found.\n");
        check(&["set", "map"], "a.map #0x000600000010 new", "");
        check(&["del", "map"], "a.map k2", "");
        check(&["del", "map"], "a.map k2", "Key not found.\n");
        check(&["show", "map"], "a.map", "0x000600000010 k1 new\n0x000600000030 k3 v3\n");
        check(&["prepare", "map"], "a.map", "New version created: 1\n");
        check(
            &["add", "map"],
            "@3 a.map k v",
            "Version number in the future, please use 'prepare map' before.\n",
        );
        check(&["add", "map"], "@1 a.map k9 v9", "");
        check(&["show", "map"], "@1 a.map", "0x000600000040 k9 v9\n");
        check(&["commit", "map"], "a.map", "Missing version number.\n");
        check(&["commit", "map"], "@2 a.map", "Version number out of range.\n");
        check(&["commit", "map"], "@1 a.map", "");
        check(&["show", "map"], "a.map", "0x000600000040 k9 v9\n");
        check(&["clear", "map"], "a.map", "");
        check(&["show", "map"], "a.map", "");
        assert_eq!(
            say(&lists, &["add", "map"], "a.map", Some("k5 v5\nk6 v6 v7\n")),
            "",
            "a payload adds several"
        );
        assert_eq!(say(&lists, &["add", "map"], "a.map", Some("k7\n")), "Missing value for key 'k7'.\n");
        check(
            &["get", "map"],
            "a.map k6",
            "type=str, case=sensitive, found=yes, idx=tree, key=\"k6\", value=\"v6 v7\", type=\"str\"\n",
        );
    }
}
