//! What the writer knows while it writes: the problems, and the parts that got names.

use super::emit::Out;
use super::expression;
use super::form::{Form, write_pairs};
use super::reader::Named;
use plan::log::LogTarget;
use plan::rule::{Condition, MapTable, Userlist};
use plan::{Place, Problem, Problems};
use std::collections::HashMap;
use std::sync::Arc;

/// Longest name made up for a part.
const MAX_NAME: usize = 32;

/// What the writer knows.
///
/// A plan is written twice: the first time counts how often each shared condition is used, the second
/// time those that are used once stand where they are used, the others get names.
#[derive(Default)]
pub(super) struct Writer {
    /// Where what is written now was said.
    pub(super) place: Place,
    /// What cannot be said.
    pub(super) problems: Problems,
    /// Log targets of the process.
    pub(super) logs: Vec<LogTarget>,
    /// Number that the site, pool or server gets when it says none.
    pub(super) id: u32,
    /// Uses of shared conditions by address.
    uses: HashMap<usize, usize>,
    /// True the first time.
    counting: bool,
    conditions: Vec<(String, Out)>,
    maps: Vec<(String, Out)>,
    users: Vec<(String, Userlist)>,
    /// Names of conditions and maps by address.
    names: HashMap<usize, String>,
    /// How often each name was made up.
    made_up: HashMap<(Named, String), u32>,
}

impl Writer {
    /// For the first time.
    pub(super) fn counting() -> Writer {
        Writer { counting: true, ..Writer::default() }
    }

    /// For the second time.
    pub(super) fn after(counter: Writer) -> Writer {
        Writer { uses: counter.uses, ..Writer::default() }
    }

    /// Tells that something cannot be said.
    pub(super) fn problem(&mut self, what: impl Into<String>, hint: &str) {
        self.problems.push(Problem::new(self.place.clone(), what).hint(hint));
    }

    /// Something that this file format has no words for yet.
    pub(super) fn unsaid(&mut self, what: &str) {
        self.problem(format!("{what} cannot be written in this form yet"), "keep the haproxy.cfg for it");
    }

    /// The name of a shared condition; `None` when it stands where it is used.
    pub(super) fn shared(&mut self, condition: &Arc<Condition>) -> Option<String> {
        let address = Arc::as_ptr(condition) as usize;
        let uses = self.uses.entry(address).or_default();
        if self.counting {
            *uses += 1;
            return (*uses > 1).then(String::new);
        }
        if *uses < 2 {
            return None;
        }
        if let Some(name) = self.names.get(&address) {
            return Some(name.clone());
        }
        let text = expression::condition(condition, self);
        let name = self.free_name(Named::Condition, &text);
        self.names.insert(address, name.clone());
        self.conditions.push((name.clone(), Out::Condition(text)));
        Some(name)
    }

    /// The name of a map.
    pub(super) fn map(&mut self, table: &Arc<MapTable>) -> String {
        let address = Arc::as_ptr(table) as usize;
        if let Some(name) = self.names.get(&address) {
            return name.clone();
        }
        let out = table.written(self);
        let key = super::template::write(&table.key, plan::rule::Style::default(), self);
        let name = self.free_name(Named::Map, &format!("by {key}"));
        self.names.insert(address, name.clone());
        self.maps.push((name.clone(), out));
        name
    }

    /// The name of a list of users. Lists of one name are told apart by `#2`, `#3`, …
    pub(super) fn users(&mut self, list: &Userlist) -> String {
        if let Some((key, _)) = self.users.iter().find(|(_, known)| known == list) {
            return key.clone();
        }
        if list.name.contains('#') {
            self.problem(
                format!("a list of users cannot be named '{}'", list.name),
                "take the '#' out of the name",
            );
        }
        let taken = |key: &str| self.users.iter().any(|(other, _)| other == key);
        let numbered = (2..).map(|n| format!("{}#{n}", list.name));
        let key =
            std::iter::once(list.name.clone()).chain(numbered).find(|key| !taken(key)).unwrap_or_default();
        self.users.push((key.clone(), list.clone()));
        key
    }

    /// A name made of the words of `text` that nothing else of its kind has.
    fn free_name(&mut self, kind: Named, text: &str) -> String {
        let base = name_of(text);
        loop {
            let times = self.made_up.entry((kind, base.clone())).or_default();
            *times += 1;
            let name = if *times == 1 { base.clone() } else { format!("{base}_{times}") };
            let is_first = *times == 1 || self.made_up.insert((kind, name.clone()), 1).is_none();
            if is_first && !expression::is_reserved(&name) {
                return name;
            }
        }
    }

    /// The sections of the parts that got names.
    pub(super) fn sections(&mut self) -> Vec<(String, Out)> {
        let users = std::mem::take(&mut self.users);
        let users = users.into_iter().map(|(key, list)| (key, write_pairs(&list.users, self))).collect();
        let conditions = std::mem::take(&mut self.conditions);
        let maps = std::mem::take(&mut self.maps);
        let sections: [(&str, Vec<(String, Out)>); 3] =
            [("users", users), ("conditions", conditions), ("maps", maps)];
        let said = sections.into_iter().filter(|(_, entries)| !entries.is_empty());
        said.map(|(key, entries)| (key.to_owned(), Out::Map(entries).block())).collect()
    }
}

/// A name made of the words of `text`.
fn name_of(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        if !(c == '_' && (name.is_empty() || name.ends_with('_'))) {
            name.push(c);
        }
        if name.len() >= MAX_NAME {
            break;
        }
    }
    let name = name.trim_end_matches('_');
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name.to_owned() } else { format!("c_{name}") }
}
