//! Tables by name with wildcards and expressions: hosts by their names, values of `map`.

use regex::bytes::Regex;
use std::collections::BTreeMap;

/// Number of a variable that requests may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariableId(pub u16);

/// A regular expression and the variables that its named groups set.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The expression.
    pub regex: Regex,
    /// Named groups: number of the group, variable.
    pub named: Vec<(usize, VariableId)>,
}

impl Pattern {
    /// What it catches in `text`; `None` when it does not match.
    pub fn find(&self, text: &[u8]) -> Option<Groups> {
        let found = self.regex.captures(text)?;
        let spans = found.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect();
        Some(Groups { text: text.to_vec(), spans, named: self.named.clone() })
    }
}

/// What an expression caught.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    text: Vec<u8>,
    spans: Vec<Option<(usize, usize)>>,
    named: Vec<(usize, VariableId)>,
}

impl Groups {
    /// Group `n`; 0 is the whole match.
    pub fn get(&self, n: usize) -> Option<&[u8]> {
        let (from, to) = (*self.spans.get(n)?)?;
        self.text.get(from..to)
    }

    /// Where the whole match lies in the text.
    pub fn span(&self) -> (usize, usize) {
        self.spans.first().copied().flatten().unwrap_or_default()
    }

    /// Number of groups, the whole match included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True when nothing was caught yet.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Named groups that took part, with the variable that each sets.
    pub fn named(&self) -> impl Iterator<Item = (VariableId, &[u8])> {
        self.named.iter().map(|(group, variable)| (*variable, self.get(*group).unwrap_or_default()))
    }
}

/// Values by name. Exact names win, then the longest wildcard at the front, the longest at the end, then the first
/// expression that matches.
#[derive(Clone, Debug)]
pub struct NameTable<T> {
    /// By the whole name.
    pub exact: BTreeMap<Box<[u8]>, T>,
    /// `*.example.com` as `.example.com`.
    pub endings: BTreeMap<Box<[u8]>, T>,
    /// `www.example.*` as `www.example.`.
    pub beginnings: BTreeMap<Box<[u8]>, T>,
    /// Expressions in order.
    pub patterns: Vec<(Pattern, T)>,
    /// Names compare without case.
    pub fold: bool,
}

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        NameTable {
            exact: BTreeMap::new(),
            endings: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            patterns: Vec::new(),
            fold: false,
        }
    }
}

impl<T> NameTable<T> {
    /// All values, each as often as it has names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let tables = [&self.exact, &self.endings, &self.beginnings];
        tables.into_iter().flat_map(BTreeMap::values).chain(self.patterns.iter().map(|(_, value)| value))
    }

    /// The value for `name`, and what its expression caught.
    pub fn find(&self, name: &[u8]) -> Option<(&T, Option<Groups>)> {
        let folded;
        let key = if self.fold && name.iter().any(u8::is_ascii_uppercase) {
            folded = name.to_ascii_lowercase();
            &folded[..]
        } else {
            name
        };
        if let Some(value) = self.exact.get(key).or_else(|| self.wildcard(key)) {
            return Some((value, None));
        }
        self.patterns.iter().find_map(|(pattern, value)| Some((value, Some(pattern.find(name)?))))
    }

    fn wildcard(&self, name: &[u8]) -> Option<&T> {
        let dots = || name.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        if !self.endings.is_empty()
            && let Some(value) = dots().find_map(|at| self.endings.get(&name[at..]))
        {
            return Some(value);
        }
        if self.beginnings.is_empty() {
            return None;
        }
        let longest_first: Vec<usize> = dots().collect();
        longest_first.into_iter().rev().find_map(|at| self.beginnings.get(&name[..=at]))
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.endings.is_empty()
            && self.beginnings.is_empty()
            && self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_nearest_name_wins() {
        let mut table = NameTable::default();
        table.exact.insert(b"www.a.org".as_slice().into(), 1);
        table.endings.insert(b".a.org".as_slice().into(), 2);
        table.endings.insert(b".b.a.org".as_slice().into(), 3);
        table.beginnings.insert(b"www.".as_slice().into(), 4);
        table.beginnings.insert(b"www.c.".as_slice().into(), 5);
        table.patterns.push((Pattern { regex: Regex::new("^(x+)").unwrap(), named: Vec::new() }, 6));
        table.fold = true;
        let check = |name: &str, value: Option<i32>| {
            assert_eq!(table.find(name.as_bytes()).map(|(value, _)| *value), value, "{name}");
        };
        check("www.a.org", Some(1));
        check("WWW.a.org", Some(1));
        check("x.a.org", Some(2));
        check("x.b.a.org", Some(3));
        check("www.c.net", Some(5));
        check("www.d.net", Some(4));
        check("xx.net", Some(6));
        check("a.org", None);
        assert_eq!(table.find(b"xxy").unwrap().1.unwrap().get(1), Some(&b"xx"[..]));
    }
}
