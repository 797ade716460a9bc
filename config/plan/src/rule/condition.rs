//! What must hold: boolean combinations of tests on values.

use super::{Expr, Facts, Index, Value};
use crate::network::Networks;
use regex::bytes::Regex;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What must hold for a rule or a route.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Always holds.
    Always,
    /// Never holds.
    Never,
    /// The inner one does not hold.
    Not(Box<Condition>),
    /// All hold; evaluated in order until one does not.
    All(Vec<Condition>),
    /// One holds; evaluated in order until one does.
    Any(Vec<Condition>),
    /// A test on a value.
    Test(Test),
    /// One that several rules use: a named ACL, whose list of patterns may be long.
    Shared(Arc<Condition>),
}

impl Condition {
    /// True when it holds for these facts. A missing value fails its test.
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Condition::Always => true,
            Condition::Never => false,
            Condition::Not(inner) => !inner.holds(facts),
            Condition::All(list) => list.iter().all(|c| c.holds(facts)),
            Condition::Any(list) => list.iter().any(|c| c.holds(facts)),
            Condition::Test(test) => test.holds(facts),
            Condition::Shared(shared) => shared.holds(facts),
        }
    }
}

/// A value and what it is held against.
#[derive(Clone, Debug)]
pub struct Test {
    /// The value.
    pub expr: Expr,
    /// What it is held against.
    pub matcher: Matcher,
}

impl Test {
    fn holds(&self, facts: &dyn Facts) -> bool {
        let mut found = false;
        self.expr.each(facts, &mut |value| {
            found = self.matcher.accepts(&value);
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }
}

/// What a value is held against.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Any value will do.
    Found,
    /// A true boolean or a number other than 0.
    True,
    /// A number in one of the ranges.
    Int(Vec<IntRange>),
    /// Length in one of the ranges.
    Length(Vec<IntRange>),
    /// Text.
    Text(TextPatterns),
    /// One of the expressions matches somewhere in the text.
    Regex(Vec<Regex>),
    /// An address in one of the networks.
    Address(Networks),
    /// A key of a list that may be long and may change.
    List(Arc<Index>),
    /// What one of these accepts.
    Any(Vec<Matcher>),
}

impl Matcher {
    /// True when `value` is accepted.
    pub fn accepts(&self, value: &Value<'_>) -> bool {
        match self {
            Matcher::Found => true,
            Matcher::True => value.to_int().is_some_and(|n| n != 0),
            Matcher::Int(ranges) => value.to_int().is_some_and(|n| ranges.iter().any(|r| r.holds(n))),
            Matcher::Length(ranges) => {
                let length = value.clone().into_text().len() as i64;
                ranges.iter().any(|r| r.holds(length))
            }
            Matcher::Text(patterns) => with_text(value, |text| patterns.accept(text)),
            Matcher::Regex(list) => with_text(value, |text| list.iter().any(|re| re.is_match(text))),
            Matcher::Any(list) => list.iter().any(|matcher| matcher.accepts(value)),
            Matcher::List(index) => index.accepts(value),
            Matcher::Address(networks) => value.to_address().is_some_and(|a| networks.contains(a)),
        }
    }
}

fn with_text(value: &Value<'_>, test: impl FnOnce(&[u8]) -> bool) -> bool {
    match value {
        Value::Text(text) => test(text),
        other => test(&other.clone().into_text()),
    }
}

/// A range of numbers, both ends included; an open end is `i64::MIN` or `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntRange {
    /// Least number.
    pub from: i64,
    /// Greatest number.
    pub to: i64,
}

impl IntRange {
    /// True when `n` lies in the range.
    pub fn holds(&self, n: i64) -> bool {
        (self.from..=self.to).contains(&n)
    }
}

/// How text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// The whole text.
    Exact,
    /// Its beginning.
    Prefix,
    /// Its end.
    Suffix,
    /// Any part.
    Substring,
    /// Whole parts between `/` (and `?`).
    Directory,
    /// Whole parts between `.` (and `/`, `?`, `:`).
    Domain,
}

/// Patterns of one kind. Exact patterns are looked up by hash however many there are.
#[derive(Clone, Debug)]
pub struct TextPatterns {
    /// How text is compared.
    pub how: TextMatch,
    /// ASCII letters compare without case.
    pub ignore_case: bool,
    list: Vec<Box<[u8]>>,
    exact: HashSet<Box<[u8]>>,
}

impl TextPatterns {
    /// Patterns from texts.
    pub fn new(how: TextMatch, ignore_case: bool, texts: impl IntoIterator<Item = Vec<u8>>) -> TextPatterns {
        let list: Vec<Box<[u8]>> = texts
            .into_iter()
            .map(|t| if ignore_case { t.to_ascii_lowercase() } else { t }.into_boxed_slice())
            .collect();
        let exact = if how == TextMatch::Exact && list.len() > 8 {
            list.iter().cloned().collect()
        } else {
            HashSet::new()
        };
        TextPatterns { how, ignore_case, list, exact }
    }

    /// The patterns (lower case when case is ignored).
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|p| &**p)
    }

    /// True when one pattern accepts `text`.
    pub fn accept(&self, text: &[u8]) -> bool {
        if self.ignore_case && text.iter().any(u8::is_ascii_uppercase) {
            return self.accept_folded(&text.to_ascii_lowercase());
        }
        self.accept_folded(text)
    }

    fn accept_folded(&self, text: &[u8]) -> bool {
        if !self.exact.is_empty() {
            return self.exact.contains(text);
        }
        self.list.iter().any(|pattern| accepts_text(self.how, pattern, text))
    }
}

/// True when a pattern accepts a text, compared in this way.
pub fn accepts_text(how: TextMatch, pattern: &[u8], text: &[u8]) -> bool {
    match how {
        TextMatch::Exact => pattern == text,
        TextMatch::Prefix => text.starts_with(pattern),
        TextMatch::Suffix => text.ends_with(pattern),
        TextMatch::Substring => contains(text, pattern),
        TextMatch::Directory => contains_whole(text, pattern, b"/?"),
        TextMatch::Domain => contains_whole(text, pattern, b"/?.:"),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|w| w == part)
}

/// True when `part`, its own delimiters trimmed, stands in `text` between delimiters or ends.
fn contains_whole(text: &[u8], part: &[u8], delimiters: &[u8]) -> bool {
    let edge = |b: &u8| delimiters.contains(b);
    let from = part.iter().position(|b| !edge(b)).unwrap_or(part.len());
    let to = part.iter().rposition(|b| !edge(b)).map_or(from, |i| i + 1);
    let part = &part[from..to];
    if part.is_empty() {
        return false;
    }
    text.windows(part.len()).enumerate().any(|(at, w)| {
        w == part && (at == 0 || edge(&text[at - 1])) && text.get(at + part.len()).is_none_or(edge)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_compared_in_its_way() {
        let check = |how, pattern: &str, text: &str, expected: bool| {
            let patterns = TextPatterns::new(how, false, [pattern.as_bytes().to_vec()]);
            assert_eq!(patterns.accept(text.as_bytes()), expected, "{how:?} {pattern} {text}");
        };
        check(TextMatch::Exact, "/a", "/a", true);
        check(TextMatch::Exact, "/a", "/A", false);
        check(TextMatch::Prefix, "/a", "/ab", true);
        check(TextMatch::Suffix, ".png", "/x.png", true);
        check(TextMatch::Substring, "bc", "abcd", true);
        check(TextMatch::Directory, "img", "/x/img/y", true);
        check(TextMatch::Directory, "img", "/x/imgs/y", false);
        check(TextMatch::Domain, "example", "www.example.com", true);
        check(TextMatch::Domain, "exam", "www.example.com", false);
    }

    #[test]
    fn case_is_ignored_when_asked_and_long_lists_work() {
        let texts = (0..100).map(|i| format!("/Path{i}").into_bytes());
        let patterns = TextPatterns::new(TextMatch::Exact, true, texts);
        assert!(patterns.accept(b"/pAth42"));
        assert!(!patterns.accept(b"/path100"));
    }
}
