//! Lists by their stories.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::rule::{TextMatch, Value};

fn list(lines: &[(&str, &str)]) -> Arc<List> {
    let entry =
        |(key, value): &(&str, &str)| (key.as_bytes().into(), Some(value.as_bytes().into()), Place::none());
    List::new(0, "/etc/x.map", lines.iter().map(entry))
}

fn text(how: TextMatch) -> Compare {
    Compare::Text { how, ignore_case: false }
}

fn found(index: &Index, value: &str) -> Option<String> {
    let value = index.look_up(&Value::text(value.as_bytes()))?;
    Some(String::from_utf8_lossy(&value.into_text()).into_owned())
}

#[test]
fn each_way_of_comparing_finds_its_entry() {
    let check = |compare, wanted, lines: &[(&str, &str)], value: &str, expected: Option<&str>| {
        let index = list(lines).used(compare, wanted, &Place::none()).unwrap();
        assert_eq!(found(&index, value).as_deref(), expected, "{compare:?} {lines:?} {value}");
    };
    let words = [("a", "1"), ("ab", "2"), ("a", "3"), ("abcd", "4")];
    check(text(TextMatch::Exact), Wanted::Text, &words, "a", Some("1"));
    check(text(TextMatch::Exact), Wanted::Key, &words, "ab", Some("ab"));
    check(text(TextMatch::Exact), Wanted::Text, &words, "b", None);
    check(text(TextMatch::Prefix), Wanted::Int, &words, "abc", Some("2"));
    check(text(TextMatch::Prefix), Wanted::Int, &words, "abce", Some("2"));
    check(text(TextMatch::Prefix), Wanted::Int, &words, "azz", Some("1"));
    check(text(TextMatch::Prefix), Wanted::Int, &words, "b", None);
    check(text(TextMatch::Suffix), Wanted::Text, &words, "xab", Some("2"));
    check(text(TextMatch::Domain), Wanted::Text, &[("b.c", "x")], "a.b.c", Some("x"));
    let folded = Compare::Text { how: TextMatch::Exact, ignore_case: true };
    check(folded, Wanted::Text, &[("AB", "x")], "aB", Some("x"));
    let networks = [("10.0.0.0/8", "wide"), ("10.1.0.0/16", "narrow"), ("2001:db8::/32", "six")];
    check(Compare::Address, Wanted::Text, &networks, "10.1.2.3", Some("narrow"));
    check(Compare::Address, Wanted::Text, &networks, "::ffff:10.2.2.3", Some("wide"));
    check(Compare::Address, Wanted::Text, &networks, "2001:db8::9", Some("six"));
    check(Compare::Address, Wanted::Text, &networks, "11.0.0.1", None);
    check(Compare::Int, Wanted::Address, &[("1:5", "1.1.1.1"), ("7", "2.2.2.2")], "7", Some("2.2.2.2"));
    check(Compare::Length, Wanted::Text, &[("3", "three")], "abc", Some("three"));
    check(Compare::Bytes, Wanted::Text, &[("6162", "x")], "ab", Some("x"));
    let regexes = [("^/(.*)/x", "\\1!"), ("b", "c")];
    check(Compare::Regex { ignore_case: false }, Wanted::Expanded, &regexes, "/q/x", Some("q!"));
    check(Compare::Regex { ignore_case: false }, Wanted::Text, &regexes, "/q/x", Some("\\1!"));
}

#[test]
fn what_does_not_fit_is_told() {
    let refused = |compare, wanted, line: (&str, &str)| {
        assert!(list(&[line]).used(compare, wanted, &Place::none()).is_err(), "{compare:?} {line:?}");
    };
    refused(Compare::Address, Wanted::Text, ("x", "y"));
    refused(Compare::Int, Wanted::Text, ("x", "y"));
    refused(Compare::Regex { ignore_case: false }, Wanted::Text, ("(", "y"));
    refused(Compare::Bytes, Wanted::Text, ("abc", "y"));
    refused(text(TextMatch::Exact), Wanted::Int, ("a", "y"));
    refused(text(TextMatch::Exact), Wanted::Address, ("a", "y"));
}

#[test]
fn changes_are_seen_by_all_uses() {
    let list = list(&[("a", "1")]);
    let exact = list.used(text(TextMatch::Exact), Wanted::Text, &Place::none()).unwrap();
    let number = list.used(text(TextMatch::Prefix), Wanted::Int, &Place::none()).unwrap();
    list.add(None, [(b"b"[..].into(), Some(b"2"[..].into()))]).unwrap();
    assert_eq!((found(&exact, "b").as_deref(), found(&number, "bx").as_deref()), (Some("2"), Some("2")));
    let unfit = list.add(None, [(b"c"[..].into(), Some(b"no number"[..].into()))]);
    assert!(matches!(unfit, Err(ListError::Unfit(_))));
    assert_eq!(found(&exact, "c"), None);
    list.set(Which::Key(b"a"), b"9").unwrap();
    assert_eq!(found(&exact, "a").as_deref(), Some("9"));
    assert_eq!(list.set(Which::Key(b"z"), b"9"), Err(ListError::NotFound));
    let id = list.entries().list[0].id;
    list.remove(Which::Id(id)).unwrap();
    assert_eq!(found(&exact, "a"), None);
    assert_eq!(list.remove(Which::Key(b"a")), Err(ListError::NotFound));
    list.clear(None);
    assert!(list.entries().list.is_empty());
}

#[test]
fn a_version_is_prepared_aside() {
    let list = list(&[("a", "1")]);
    let exact = list.used(text(TextMatch::Exact), Wanted::Text, &Place::none()).unwrap();
    let line = || [(b"a"[..].into(), Some(b"2"[..].into()))];
    assert_eq!(list.add(Some(1), line()), Err(ListError::VersionUnknown));
    assert_eq!(list.prepare(), 1);
    list.add(Some(1), line()).unwrap();
    assert_eq!(found(&exact, "a").as_deref(), Some("1"));
    assert_eq!(list.entries_of(1).len(), 1);
    assert_eq!(list.commit(2), Err(ListError::VersionUnknown));
    list.commit(1).unwrap();
    assert_eq!(found(&exact, "a").as_deref(), Some("2"));
    assert_eq!(list.entries().version, 1);
}
