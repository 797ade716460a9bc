//! Locations: which part of a host's paths a request is in.

use super::{Content, Groups, Pattern, Settings, Step};
use crate::place::Place;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The locations of a host, or those inside another location.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    /// Paths that must be equal (`= /path`).
    exact: BTreeMap<Box<[u8]>, Arc<Location>>,
    /// Beginnings of paths.
    prefixes: BTreeMap<Box<[u8]>, Arc<Location>>,
    /// Lengths of the beginnings, longest first.
    lengths: Vec<usize>,
    /// Expressions in order.
    patterns: Vec<(Pattern, Arc<Location>)>,
    /// Those that only internal redirects reach (`@name`).
    named: BTreeMap<Box<[u8]>, Arc<Location>>,
}

/// A part of a host's paths and all that counts in it.
#[derive(Clone, Debug, Default)]
pub struct Location {
    /// Where it was said.
    pub place: Place,
    /// Its path, expression or name.
    pub name: Box<str>,
    /// Expressions are not looked at when this beginning is the longest (`^~`).
    pub stops_patterns: bool,
    /// Its path ends with `/` and is passed on: the same path without `/` is redirected here.
    pub adds_slash: bool,
    /// Only internal redirects reach it.
    pub internal: bool,
    /// Steps of it.
    pub steps: Box<[Step]>,
    /// What answers.
    pub content: Content,
    /// Everything else.
    pub settings: Arc<Settings>,
    /// For methods other than these, this stands in its place (`limit_except`).
    pub other_methods: Option<(Vec<Box<str>>, Arc<Location>)>,
    /// Locations inside.
    pub inner: Locations,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub enum Found<'l> {
    /// Into this location; with what its expression caught.
    At(&'l Arc<Location>, Option<Groups>),
    /// To the same path with `/` behind it.
    Slash(&'l Arc<Location>),
}

impl Locations {
    /// Adds a location whose path must be equal. False if it is there already.
    #[must_use]
    pub fn add_exact(&mut self, path: &str, location: Arc<Location>) -> bool {
        add(&mut self.exact, path, location)
    }

    /// Adds one for paths that begin so. False if it is there already.
    #[must_use]
    pub fn add_prefix(&mut self, path: &str, location: Arc<Location>) -> bool {
        if !self.lengths.contains(&path.len()) {
            self.lengths.push(path.len());
            self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
        add(&mut self.prefixes, path, location)
    }

    /// Adds one for paths that match.
    pub fn add_pattern(&mut self, pattern: Pattern, location: Arc<Location>) {
        self.patterns.push((pattern, location));
    }

    /// Adds one that only internal redirects reach. False if it is there already.
    #[must_use]
    pub fn add_named(&mut self, name: &str, location: Arc<Location>) -> bool {
        add(&mut self.named, name, location)
    }

    /// The location named `@name` (without the sign).
    pub fn named(&self, name: &[u8]) -> Option<&Arc<Location>> {
        self.named.get(name)
    }

    /// All of them, in no order; inner ones are in theirs.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Location>> {
        let patterns = self.patterns.iter().map(|(_, location)| location);
        self.exact.values().chain(self.prefixes.values()).chain(patterns).chain(self.named.values())
    }

    /// Where `path` leads; `None` when no location is for it.
    pub fn find(&self, path: &[u8]) -> Option<Found<'_>> {
        self.search(path).map(|(found, _)| found)
    }

    /// The same, and whether it is final: an equal path, a redirect, or an expression.
    fn search(&self, path: &[u8]) -> Option<(Found<'_>, bool)> {
        if let Some(location) = self.exact.get(path) {
            return Some((Found::At(location, None), true));
        }
        let longest = self
            .lengths
            .iter()
            .filter(|length| **length <= path.len())
            .find_map(|length| self.prefixes.get(&path[..*length]));
        if let Some(with_slash) = self.wants_slash(path)
            && longest.is_none_or(|location| location.name.len() < path.len())
        {
            return Some((Found::Slash(with_slash), true));
        }
        let mut found = longest.map(|location| Found::At(location, None));
        let mut stops = false;
        if let Some(location) = longest {
            stops = location.stops_patterns;
            match location.inner.search(path) {
                Some((inner, true)) => return Some((inner, true)),
                Some((inner, false)) => {
                    stops = matches!(&inner, Found::At(inner, _) if inner.stops_patterns);
                    found = Some(inner);
                }
                None => {}
            }
        }
        if stops {
            return found.map(|found| (found, false));
        }
        for (pattern, location) in &self.patterns {
            if let Some(groups) = pattern.find(path) {
                let inner = location.inner.search(path).map(|(found, _)| found);
                return Some((inner.unwrap_or(Found::At(location, Some(groups))), true));
            }
        }
        found.map(|found| (found, false))
    }

    /// The location whose path is `path` with `/` behind it, when it redirects there.
    fn wants_slash(&self, path: &[u8]) -> Option<&Arc<Location>> {
        if !self.lengths.contains(&(path.len() + 1)) {
            return None;
        }
        let with_slash = [path, b"/"].concat();
        self.prefixes.get(&with_slash[..]).filter(|location| location.adds_slash)
    }
}

/// Adds a location unless there is one of this name.
fn add(all: &mut BTreeMap<Box<[u8]>, Arc<Location>>, name: &str, location: Arc<Location>) -> bool {
    match all.entry(name.as_bytes().into()) {
        Entry::Vacant(vacant) => {
            vacant.insert(location);
            true
        }
        Entry::Occupied(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use regex::bytes::Regex;

    fn location(name: &str) -> Location {
        Location { name: name.into(), ..Location::default() }
    }

    fn pattern(text: &str) -> Pattern {
        Pattern { regex: Regex::new(text).unwrap(), named: Vec::new() }
    }

    fn sample() -> Locations {
        let mut all = Locations::default();
        assert!(all.add_exact("/", Arc::new(location("="))));
        assert!(all.add_prefix("/", Arc::new(location("/"))));
        assert!(
            all.add_prefix("/images/", Arc::new(Location { stops_patterns: true, ..location("/images/") }))
        );
        assert!(all.add_prefix("/app/", Arc::new(Location { adds_slash: true, ..location("/app/") })));
        let mut inner = Locations::default();
        inner.add_pattern(pattern("inner$"), Arc::new(location("inner")));
        assert!(inner.add_prefix("/docs/deep/", Arc::new(location("/docs/deep/"))));
        assert!(all.add_prefix("/docs/", Arc::new(Location { inner, ..location("/docs/") })));
        all.add_pattern(pattern(r"(?i)\.(gif|jpg)$"), Arc::new(location("gif")));
        assert!(!all.add_exact("/", Arc::new(location("twice"))));
        all
    }

    #[test]
    fn the_right_location_is_found() {
        let all = sample();
        let check = |path: &str, expected: &str| {
            let found = match all.find(path.as_bytes()) {
                Some(Found::At(location, _)) => location.name.to_string(),
                Some(Found::Slash(location)) => format!("slash {}", location.name),
                None => "none".to_owned(),
            };
            assert_eq!(found, expected, "{path}");
        };
        check("/", "=");
        check("/x", "/");
        check("/images/x.gif", "/images/");
        check("/x.GIF", "gif");
        check("/docs/x.gif", "gif");
        check("/docs/x.inner", "inner");
        check("/docs/deep/y", "/docs/deep/");
        check("/app", "slash /app/");
        check("/app/x", "/app/");
        check("", "none");
    }
}
