//! `maps:`: tables that a text is looked up in.

use super::form::{Fields, Fieldset};
use plan::rule::{MapTable, Matcher, Template};

impl Fieldset for MapTable {
    fn blank() -> MapTable {
        MapTable { key: Template::default(), entries: Vec::new(), default: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let MapTable { key, entries, default } = self;
        f.required("key", key);
        let mut list: Vec<MapEntry> =
            std::mem::take(entries).into_iter().map(|(when, to)| MapEntry { when, to }).collect();
        f.lines("entries", &mut list);
        *entries = list.into_iter().map(|entry| (entry.when, entry.to)).collect();
        f.option("default", default);
    }
}

/// `{ when: is "a", to: "b" }`.
#[derive(Clone)]
struct MapEntry {
    when: Matcher,
    to: Template,
}

impl Fieldset for MapEntry {
    fn blank() -> MapEntry {
        MapEntry { when: Matcher::Found, to: Template::default() }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("when", &mut self.when);
        f.required("to", &mut self.to);
    }
}
