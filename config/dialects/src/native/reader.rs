//! What the reader knows while it reads: the file, the problems, and the parts that have names.

use super::expression::{self, Fault};
use super::form::Form;
use super::yaml::{Node, Spot};
use plan::draft::nearest;
use plan::log::LogTarget;
use plan::rule::{Condition, MapTable, Userlist};
use plan::{Place, Problem, Problems};
use std::collections::HashMap;
use std::sync::Arc;

/// How many named parts may stand on one another.
const MAX_HEIGHT: u32 = 16;
/// Most problems that are told of a file.
const MAX_PROBLEMS: usize = 1000;
/// Longest text of a problem, characters.
const MAX_WHAT: usize = 400;
/// Most names that are compared for a hint.
const MAX_COMPARED: usize = 1000;

/// What the reader knows.
pub(super) struct Reader<'s> {
    file: Arc<str>,
    text: &'s str,
    /// What is wrong so far.
    pub(super) problems: Problems,
    /// Log targets of the process.
    pub(super) logs: Vec<LogTarget>,
    /// Number of the site, pool or server that is read, unless it says another.
    pub(super) id: u32,
    names: HashMap<(Named, String), State<'s>>,
    /// How deep the conditions that are being read stand in one another.
    pub(super) nesting: u32,
    /// How many named parts stand on one another in what was read last.
    height: u32,
}

/// Kinds of parts with names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    Condition,
    Map,
    Users,
}

enum State<'s> {
    Unread(&'s Node),
    /// It is being read: to ask for it now means that it rests on itself.
    Busy,
    Read(Option<Meant>, u32),
}

/// A part with a name.
#[derive(Clone)]
pub(super) enum Meant {
    Condition(Arc<Condition>),
    Map(Arc<MapTable>),
    Users(Arc<Userlist>),
}

impl<'s> Reader<'s> {
    pub(super) fn new(file: Arc<str>, text: &'s str) -> Reader<'s> {
        Reader {
            file,
            text,
            problems: Vec::new(),
            logs: Vec::new(),
            id: 0,
            names: HashMap::new(),
            nesting: 0,
            height: 0,
        }
    }

    /// The place of `spot`.
    pub(super) fn place(&self, spot: Spot) -> Place {
        Place::new(&self.file, spot.line, spot.column)
    }

    /// Tells a problem.
    pub(super) fn problem(&mut self, spot: Spot, what: impl Into<String>, hint: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            let what: String = what.into().chars().take(MAX_WHAT).collect();
            self.problems.push(Problem::new(self.place(spot), what).hint(hint));
        }
    }

    /// Tells a problem at a byte of a text.
    pub(super) fn fault(&mut self, node: &Node, text: &str, fault: Fault) {
        let mut spot = node.spot;
        let rest = self.text.get(spot.offset..).unwrap_or_default();
        let quote = usize::from(rest.starts_with(['"', '\'']));
        if rest.get(quote..).is_some_and(|r| r.starts_with(text)) {
            spot.column += (quote + fault.at) as u32;
        }
        self.problem(spot, fault.what, fault.hint);
    }

    /// Makes a part known by its name.
    pub(super) fn name(&mut self, kind: Named, name: &str, node: &'s Node) {
        self.names.insert((kind, name.to_owned()), State::Unread(node));
    }

    /// The part of that name, read now if it was not before.
    pub(super) fn named(&mut self, kind: Named, name: &str) -> Result<Option<Meant>, (String, String)> {
        let key = (kind, name.to_owned());
        match self.names.get(&key) {
            None => Err(self.unknown(kind, name)),
            Some(State::Busy) => Err((format!("'{name}' rests on itself"), String::new())),
            Some(State::Read(meant, height)) => {
                self.height = self.height.max(*height);
                Ok(meant.clone())
            }
            Some(State::Unread(node)) => {
                let node = *node;
                self.names.insert(key.clone(), State::Busy);
                let before = std::mem::take(&mut self.height);
                let meant = self.read_named(kind, name, node);
                let height = self.height + 1;
                self.height = before.max(height);
                let meant = meant.filter(|_| self.is_low_enough(height, node));
                self.names.insert(key, State::Read(meant.clone(), height));
                Ok(meant)
            }
        }
    }

    fn is_low_enough(&mut self, height: u32, node: &Node) -> bool {
        if height > MAX_HEIGHT {
            self.problem(node.spot, format!("more than {MAX_HEIGHT} names rest on one another"), "");
        }
        height <= MAX_HEIGHT
    }

    fn read_named(&mut self, kind: Named, name: &str, node: &Node) -> Option<Meant> {
        Some(match kind {
            Named::Condition => Meant::Condition(Arc::new(Condition::read(node, self)?)),
            Named::Map => Meant::Map(Arc::new(MapTable::read(node, self)?)),
            Named::Users => {
                let name = name.split('#').next().unwrap_or_default().to_owned();
                Meant::Users(Arc::new(Userlist { name, users: super::form::read_pairs(node, self)? }))
            }
        })
    }

    fn unknown(&self, kind: Named, name: &str) -> (String, String) {
        let mut known: Vec<&str> = Vec::new();
        let of_kind = self.names.keys().filter(|(k, _)| *k == kind).map(|(_, name)| name.as_str());
        known.extend(of_kind.take(MAX_COMPARED));
        let what = match kind {
            Named::Condition => {
                expression::value_names().for_each(|name| known.push(name));
                format!("'{name}' is no value and no condition")
            }
            Named::Map => format!("there is no map '{name}'"),
            Named::Users => format!("there is no list of users '{name}'"),
        };
        let is_told = self.problems.len() < MAX_PROBLEMS;
        (what, if is_told { nearest(name, known.into_iter()) } else { String::new() })
    }
}
