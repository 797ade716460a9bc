//! Converters by table.

#![allow(clippy::unwrap_used)]

use super::*;

/// Facts with one variable, `v`.
struct Known(Option<Value<'static>>);

impl Facts for Known {
    fn each(&self, fetch: &Fetch, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        if let (Fetch::Variable(..), Some(value)) = (fetch, &self.0) {
            let _ = each(value.clone());
        }
    }
}

fn variable() -> Argument {
    Argument::Value(Box::new(Fetch::Variable(crate::rule::Scope::Transaction, "v".into())))
}

fn n(number: i64) -> Argument {
    Argument::Int(number)
}

fn t(text: &str) -> Argument {
    Argument::Text(text.as_bytes().into())
}

/// Runs a function on a text; its value as text.
fn run(name: &str, arguments: &[Argument], value: &str, facts: &Known) -> Option<String> {
    let converter = Converter::call(function_named(name).unwrap(), arguments.to_vec()).unwrap();
    let value = converter.apply(Value::text(value.as_bytes()), facts)?;
    Some(String::from_utf8_lossy(&value.into_text()).into_owned())
}

fn check(name: &str, arguments: &[Argument], value: &str, expected: Option<&str>) {
    let found = run(name, arguments, value, &Known(Some(Value::Int(2))));
    assert_eq!(found.as_deref(), expected, "{value},{name}({arguments:?})");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = function_names().collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn required_parameters_come_first() {
    for function in FUNCTIONS.iter().copied().flatten() {
        assert!(function.parameters.is_sorted_by_key(|p| !p.is_required()), "{}", function.name);
    }
}

#[test]
fn texts_are_cut() {
    check("bytes", &[n(1)], "abc", Some("bc"));
    check("bytes", &[n(1), n(1)], "abc", Some("b"));
    check("bytes", &[n(3)], "abc", Some(""));
    check("bytes", &[variable(), n(9)], "abc", Some("c"));
    check("field", &[n(1), t("/")], "/a/b", Some(""));
    check("field", &[n(4), t("/")], "/a/b", None);
    check("field", &[n(-1), t("/")], "/a/b", Some("b"));
    check("field", &[n(2), t("/"), n(0)], "/a/b", Some("a/b"));
    check("field", &[n(-1), t("/"), n(2)], "/a/b", Some("a/b"));
    check("word", &[n(1), t("/")], "//a//b", Some("a"));
    check("word", &[n(1), t("/"), n(2)], "//a//b", Some("a//b"));
    check("word", &[n(3), t("/")], "//a//b", None);
}

#[test]
fn texts_are_joined_and_compared() {
    check("concat", &[t("<"), variable(), t(">")], "a", Some("a<2>"));
    check("concat", &[], "a", Some("a"));
    check("compare", &[variable()], "2", Some("0"));
    check("compare", &[variable()], "1", Some("-1"));
    check("compare", &[variable()], "22", Some("1"));
    assert_eq!(run("compare", &[variable()], "a", &Known(None)), None);
}

#[test]
fn numbers_are_counted_with() {
    check("add", &[variable()], "40", Some("42"));
    check("subtract", &[n(2)], "1", Some("-1"));
    check("modulo", &[variable()], "5", Some("1"));
    check("modulo", &[n(0)], "5", Some("0"));
    check("add", &[n(1)], "", None);
}

#[test]
fn wrong_arguments_are_refused() {
    let refused = |name: &str, arguments: &[Argument]| {
        let made = Converter::call(function_named(name).unwrap(), arguments.to_vec());
        assert!(made.is_err(), "{name} {arguments:?}");
    };
    refused("bytes", &[n(-1)]);
    refused("bytes", &[n(1), n(0)]);
    refused("bytes", &[]);
    refused("lower", &[n(1)]);
    refused("field", &[n(0), t("/")]);
    refused("word", &[n(1), t("")]);
    refused("mask", &[n(33)]);
}
