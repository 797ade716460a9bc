//! Variables of a configuration: the caller's, changed by `setenv` and its like in `global`.

use super::source::Line;
use crate::Sources;
use std::collections::{BTreeSet, HashMap};

/// Variables as the lines read so far left them.
pub(super) struct Environment<'s> {
    sources: &'s dyn Sources,
    set: HashMap<String, Option<String>>,
    only: Option<BTreeSet<String>>,
}

impl<'s> Environment<'s> {
    /// The caller's variables.
    pub fn new(sources: &'s dyn Sources) -> Environment<'s> {
        Environment { sources, set: HashMap::new(), only: None }
    }

    /// Value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        match self.set.get(name) {
            Some(value) => value.clone(),
            None if self.only.as_ref().is_some_and(|only| !only.contains(name)) => None,
            None => self.sources.env(name),
        }
    }

    /// Obeys `setenv`, `presetenv`, `unsetenv` and `resetenv`; other lines change nothing.
    pub fn apply(&mut self, line: &Line) {
        let names = || line.words[1..].iter().map(|w| w.text.clone());
        let value = || Some(line.text(2).to_owned());
        match line.text(0) {
            "setenv" if line.words.len() == 3 => {
                self.set.insert(line.text(1).to_owned(), value());
            }
            "presetenv" if line.words.len() == 3 && self.get(line.text(1)).is_none() => {
                self.set.insert(line.text(1).to_owned(), value());
            }
            "unsetenv" => self.set.extend(names().map(|name| (name, None))),
            "resetenv" => {
                let keep: BTreeSet<String> = names().collect();
                self.set.retain(|name, _| keep.contains(name));
                self.only = Some(keep);
            }
            _ => {}
        }
    }
}
