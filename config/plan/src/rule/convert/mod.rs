//! Converters: what is done to a value on its way from a fetch to its use.
//!
//! Most are functions of a table ([`FUNCTIONS`]): a name, parameters, and what they do. Dialects map their own
//! names to these; arguments may be constants or values looked up when the converter runs.

#![allow(clippy::needless_pass_by_value)] // all functions of the table take their value the same way

mod address;
mod date;
mod encode;
mod forwarded;
mod hash;
mod json;
mod number;
mod text;

use super::{Facts, Fetch, Index, Value};
use crate::table::TableLookup;
use regex::bytes::{Captures, Regex};
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

pub use address::host_only;

/// What is done to a value on its way.
#[derive(Clone)]
pub enum Converter {
    /// A function of [`FUNCTIONS`] with its arguments.
    Call(&'static Function, Box<[Argument]>),
    /// Replaces what an expression matches.
    Replace(Arc<Replacement>),
    /// Asks a table about the value.
    Table(Box<TableLookup>),
    /// What a list maps the value to, or the default.
    LookUp(Arc<Index>, Option<Value<'static>>),
}

/// A replacement of matches in a text.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// What is replaced.
    pub regex: Regex,
    /// By what; `\\0` to `\\9` stand for the match and its groups.
    pub with: Box<[u8]>,
    /// Every match, not only the first.
    pub all: bool,
}

impl Replacement {
    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut from = 0;
        for found in self.regex.captures_iter(text).take(if self.all { usize::MAX } else { 1 }) {
            let Some(whole) = found.get(0) else { continue };
            out.extend_from_slice(&text[from..whole.start()]);
            expand(&self.with, &found, &mut out);
            from = whole.end();
        }
        out.extend_from_slice(&text[from..]);
        out
    }
}

/// Appends a text in which `\\0` to `\\9` stand for groups of a match and a backslash before anything else
/// stands for that.
pub fn expand(text: &[u8], found: &Captures<'_>, out: &mut Vec<u8>) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(digit @ b'0'..=b'9')) => {
                let group = found.get(usize::from(digit - b'0'));
                out.extend_from_slice(group.map_or(&b""[..], |group| group.as_bytes()));
                bytes.next();
            }
            (b'\\', Some(other)) => {
                out.push(*other);
                bytes.next();
            }
            (other, _) => out.push(other),
        }
    }
}

/// A function that makes one value of another.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    run: Run,
    check: Check,
}

type Check = fn(&[Argument]) -> Result<(), &'static str>;
type Run = for<'a> fn(&Call<'_>, Value<'a>) -> Option<Value<'a>>;

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Converter::Call(function, arguments) if arguments.is_empty() => f.write_str(function.name),
            Converter::Call(function, arguments) => {
                let list: Vec<String> = arguments.iter().map(|a| format!("{a:?}")).collect();
                write!(f, "{}({})", function.name, list.join(", "))
            }
            Converter::LookUp(index, default) => write!(f, "look_up({index:?}, {default:?})"),
            Converter::Replace(replacement) => {
                let with = replacement.with.escape_ascii();
                let all = if replacement.all { ", all" } else { "" };
                write!(f, "replace(\"{}\", \"{with}\"{all})", replacement.regex)
            }
            Converter::Table(lookup) => lookup.fmt(f),
        }
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What a parameter takes. Those behind the required ones may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A number that must be given.
    Int,
    /// A text that must be given.
    Text,
    /// A number that may be left out.
    OptionalInt,
    /// A text that may be left out.
    OptionalText,
}

impl Parameter {
    /// True when it must be given.
    pub fn is_required(self) -> bool {
        matches!(self, Parameter::Int | Parameter::Text)
    }

    /// True for numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Parameter::Int | Parameter::OptionalInt)
    }
}

/// An argument of a function.
#[derive(Clone)]
pub enum Argument {
    /// Left out.
    None,
    /// A number.
    Int(i64),
    /// A text.
    Text(Box<[u8]>),
    /// A value looked up when the converter runs: a variable.
    Value(Box<Fetch>),
}

const fn function(name: &'static str, parameters: &'static [Parameter], run: Run) -> Function {
    Function { name, parameters, run, check: |_| Ok(()) }
}

impl Function {
    const fn checked(self, check: Check) -> Function {
        Function { check, ..self }
    }
}

impl std::fmt::Debug for Argument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Argument::None => f.write_str("None"),
            Argument::Int(n) => n.fmt(f),
            Argument::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Argument::Value(fetch) => fetch.fmt(f),
        }
    }
}

/// Arguments and facts for one run of a function.
struct Call<'c> {
    arguments: &'c [Argument],
    facts: &'c dyn Facts,
}

impl<'c> Call<'c> {
    fn is_given(&self, index: usize) -> bool {
        !matches!(self.arguments.get(index), None | Some(Argument::None))
    }

    fn value(&self, index: usize) -> Option<Value<'c>> {
        match self.arguments.get(index)? {
            Argument::None => None,
            Argument::Int(n) => Some(Value::Int(*n)),
            Argument::Text(text) => Some(Value::text(text)),
            Argument::Value(fetch) => last(self.facts, fetch),
        }
    }

    fn int(&self, index: usize) -> Option<i64> {
        self.value(index)?.to_int()
    }

    fn text(&self, index: usize) -> Option<Cow<'c, [u8]>> {
        self.value(index).map(Value::into_text)
    }
}

/// The last value of a fetch.
fn last(facts: &dyn Facts, fetch: &Fetch) -> Option<Value<'static>> {
    let mut found = None;
    facts.each(fetch, &mut |value| {
        found = Some(value.into_owned());
        ControlFlow::Continue(())
    });
    found
}

impl Converter {
    /// A function with its arguments.
    ///
    /// # Errors
    /// Says what is wrong when the function cannot work with these arguments.
    pub fn call(
        function: &'static Function,
        arguments: impl Into<Box<[Argument]>>,
    ) -> Result<Converter, &'static str> {
        let arguments = arguments.into();
        let missing = |parameter: &Parameter, index: usize| {
            parameter.is_required() && matches!(arguments.get(index), None | Some(Argument::None))
        };
        if arguments.len() > function.parameters.len() {
            return Err("there are too many arguments");
        }
        if function.parameters.iter().enumerate().any(|(index, p)| missing(p, index)) {
            return Err("an argument is missing");
        }
        (function.check)(&arguments)?;
        Ok(Converter::Call(function, arguments))
    }

    /// A function without arguments; `None` when there is none of that name that needs none.
    pub fn plain(name: &str) -> Option<Converter> {
        Converter::call(function_named(name)?, []).ok()
    }

    /// The converted value; `None` when there is no result (the value then counts as missing).
    pub fn apply<'a>(&self, value: Value<'a>, facts: &dyn Facts) -> Option<Value<'a>> {
        match self {
            Converter::Call(function, arguments) => (function.run)(&Call { arguments, facts }, value),
            Converter::LookUp(index, default) => index.look_up(&value).or_else(|| default.clone()),
            Converter::Replace(replacement) => {
                let text = value.into_text();
                Some(match replacement.regex.is_match(&text) {
                    true => Value::owned(replacement.apply(&text)),
                    false => Value::Text(text),
                })
            }
            Converter::Table(lookup) => facts.look_up(lookup, &value),
        }
    }
}

/// The function of that name.
pub fn function_named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().copied().flatten().find(|f| f.name == name)
}

/// Names of all functions.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().copied().flatten().map(|f| f.name)
}

/// All functions, by topic.
const FUNCTIONS: &[&[Function]] = &[
    text::FUNCTIONS,
    number::FUNCTIONS,
    encode::FUNCTIONS,
    hash::FUNCTIONS,
    address::FUNCTIONS,
    forwarded::FUNCTIONS,
    date::FUNCTIONS,
    json::FUNCTIONS,
];

/// A part of a text without copying what is borrowed.
fn part(text: Cow<'_, [u8]>, range: std::ops::Range<usize>) -> Value<'_> {
    match text {
        Cow::Borrowed(bytes) => Value::text(&bytes[range]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(range.end);
            bytes.drain(..range.start);
            Value::owned(bytes)
        }
    }
}

#[cfg(test)]
mod tests;
