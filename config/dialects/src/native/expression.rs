//! The language of conditions and values.
//!
//! ```text
//! path starts "/admin" and not client.address in 10.0.0.0/8 192.168.0.0/16
//! header.host | lower | field(1, ":")
//! ```
//!
//! `and` binds tighter than `or`, `not` tighter than both. [`Parser`] reads, [`condition`], [`expr`] and
//! [`matcher`] write; the tables below and in `values` serve both.

use super::form::Form;
use super::reader::{Meant, Named, Reader};
use super::values::{self, NAMED, NameKind, PLAIN, RECORD, WITH_ARGUMENTS};
use super::writer::Writer;
use super::yaml::Node;
use super::{emit::Out, leaf, lists};
use plan::draft::nearest;
use plan::network::{Network, Networks};
use plan::rule::{
    Argument, Condition, Converter, Expr, Fetch, Function, IntRange, Matcher, Occurrence, Replacement, Test,
    TextMatch, TextPatterns, Value, function_named, function_names,
};
use regex::bytes::Regex;
use std::sync::Arc;

/// Deepest nesting of conditions and values, named ones included.
pub(super) const MAX_NESTING: u32 = 64;

/// Most `not` in a row.
const MAX_NOT: u32 = 4;

/// Ways to compare text; `-i` behind one ignores case.
const TEXT_MATCHES: &[(&str, TextMatch)] = &[
    ("is", TextMatch::Exact),
    ("starts", TextMatch::Prefix),
    ("ends", TextMatch::Suffix),
    ("contains", TextMatch::Substring),
    ("dir", TextMatch::Directory),
    ("domain", TextMatch::Domain),
];
/// Other matchers.
const MATCHES: &[&str] = &["matches", "matches-i", "in", "length", "found", "true"];
/// Words of the language that cannot name a condition.
const WORDS: &[&str] = &["and", "or", "not", "always", "never", "all", "any", "nothing"];
/// What is wrong in a text, and at which byte.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) hint: String,
}

impl Fault {
    pub(super) fn new(at: usize, what: impl Into<String>, hint: &str) -> Fault {
        Fault { at, what: what.into(), hint: hint.to_owned() }
    }
}

type Parsed<T> = Result<T, Fault>;

/// True when no condition may have this name.
pub(super) fn is_reserved(name: &str) -> bool {
    WORDS.contains(&name)
        || MATCHES.contains(&name)
        || TEXT_MATCHES.iter().any(|(word, _)| name.strip_suffix("-i").unwrap_or(name) == *word)
        || value_names().any(|value| value == name)
}

/// Names that values begin with, for hints.
pub(super) fn value_names() -> impl Iterator<Item = &'static str> {
    PLAIN
        .iter()
        .map(|(name, _)| *name)
        .chain(NAMED.iter().map(|(name, _)| *name))
        .chain(WITH_ARGUMENTS.iter().copied())
}

impl Form for Condition {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Condition> {
        whole(node, reader, |parser| parser.condition())
    }

    fn written(&self, writer: &mut Writer) -> Out {
        Out::Condition(condition(self, writer))
    }
}

impl Form for Expr {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Expr> {
        whole(node, reader, |parser| parser.expr())
    }

    fn written(&self, writer: &mut Writer) -> Out {
        Out::Condition(expr(self, writer))
    }
}

impl Form for Matcher {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Matcher> {
        whole(node, reader, |parser| {
            let missing = parser.unexpected("a matcher such as 'is'");
            parser.matcher()?.ok_or(missing)
        })
    }

    fn written(&self, writer: &mut Writer) -> Out {
        Out::Condition(match matcher(self, writer) {
            text if text.is_empty() => "true".to_owned(),
            text => text,
        })
    }
}

fn whole<T>(
    node: &Node,
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Parser<'_, '_, '_>) -> Parsed<T>,
) -> Option<T> {
    let text = leaf::text(node, "a condition or value", reader)?;
    let mut parser = Parser::new(text, 0, reader);
    let end = |parser: &mut Parser<'_, '_, '_>| {
        if parser.is_end() { Ok(()) } else { Err(parser.unexpected("the end")) }
    };
    match read(&mut parser).and_then(|value| end(&mut parser).map(|()| value)) {
        Ok(value) => Some(value),
        Err(fault) => {
            reader.fault(node, text, fault);
            None
        }
    }
}

/// Reads a text from left to right.
pub(super) struct Parser<'t, 'r, 's> {
    text: &'t str,
    at: usize,
    reader: &'r mut Reader<'s>,
}

impl<'t, 'r, 's> Parser<'t, 'r, 's> {
    /// Begins at the byte `at`.
    pub(super) fn new(text: &'t str, at: usize, reader: &'r mut Reader<'s>) -> Parser<'t, 'r, 's> {
        Parser { text, at, reader }
    }

    /// The byte that comes next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// `a and b or not c`.
    fn condition(&mut self) -> Parsed<Condition> {
        self.reader.nesting += 1;
        let done = if self.reader.nesting > MAX_NESTING {
            Err(Fault::new(
                self.at,
                "conditions are nested too deeply",
                "give parts of them a name under 'conditions'",
            ))
        } else {
            self.either()
        };
        self.reader.nesting -= 1;
        done
    }

    fn either(&mut self) -> Parsed<Condition> {
        let mut list = vec![self.both()?];
        while self.take_word("or") {
            list.push(self.both()?);
        }
        Ok(single(list, Condition::Any))
    }

    fn both(&mut self) -> Parsed<Condition> {
        let mut list = vec![self.operand()?];
        while self.take_word("and") {
            list.push(self.operand()?);
        }
        Ok(single(list, Condition::All))
    }

    fn operand(&mut self) -> Parsed<Condition> {
        let mut turns = 0;
        while self.take_word("not") {
            turns += 1;
            if turns > MAX_NOT {
                return Err(Fault::new(self.at, "too many 'not'", ""));
            }
        }
        let mut condition = self.primary()?;
        for _ in 0..turns {
            condition = Condition::Not(Box::new(condition));
        }
        Ok(condition)
    }

    fn primary(&mut self) -> Parsed<Condition> {
        if self.take("(") {
            let inner = self.condition()?;
            self.close()?;
            return Ok(inner);
        }
        let before = self.at;
        let (start, word) = self.word();
        match word {
            "always" => return Ok(Condition::Always),
            "never" => return Ok(Condition::Never),
            "all" => return Ok(Condition::All(self.conditions()?)),
            "any" => return Ok(Condition::Any(self.conditions()?)),
            word if !word.is_empty() && !word.contains('.') && !value_names().any(|value| value == word) => {
                return self.named_condition(start, word);
            }
            _ => self.at = before,
        }
        let expr = self.expr()?;
        let matcher = self.matcher()?.unwrap_or(Matcher::True);
        Ok(Condition::Test(Test { expr, matcher }))
    }

    fn named_condition(&mut self, at: usize, name: &str) -> Parsed<Condition> {
        match self.reader.named(Named::Condition, name) {
            Ok(Some(Meant::Condition(condition))) => Ok(Condition::Shared(condition)),
            Ok(_) => Ok(Condition::Never), // its problem is told already
            Err((what, hint)) => Err(Fault::new(at, what, &hint)),
        }
    }

    /// `(a, b, …)`.
    fn conditions(&mut self) -> Parsed<Vec<Condition>> {
        self.open()?;
        let mut list = Vec::new();
        if self.take(")") {
            return Ok(list);
        }
        loop {
            list.push(self.condition()?);
            if !self.take(",") {
                break;
            }
        }
        self.close()?;
        Ok(list)
    }

    /// `fetch | converter | …`.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        let fetch = self.fetch()?;
        let mut converters = Vec::new();
        while self.take("|") {
            converters.push(self.converter()?);
        }
        Ok(Expr { fetch, converters })
    }

    fn fetch(&mut self) -> Parsed<Fetch> {
        match self.peek() {
            Some(b'"' | b'\'') => return Ok(Fetch::Constant(Value::Text(self.string()?.into()))),
            Some(b'-' | b'0'..=b'9') => return Ok(Fetch::Constant(Value::Int(self.number()?))),
            _ => {}
        }
        let (at, word) = self.word();
        if word.is_empty() {
            return Err(self.unexpected("a value such as path"));
        }
        if let Some(kind) = NAMED.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind) {
            if self.peek_raw() == Some(b'(') {
                return self.named_fetch(kind, None);
            }
            if let Some(fetch) = values::plain(word).or_else(|| values::make(kind, None, Occurrence::Any)) {
                return Ok(fetch);
            }
        }
        if let Some(fetch) = values::plain(word) {
            return Ok(fetch);
        }
        if WITH_ARGUMENTS.contains(&word) {
            return self.fetch_with_arguments(word);
        }
        let prefix = |name: &str| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).is_some();
        let longest = NAMED.iter().filter(|(name, _)| prefix(name)).max_by_key(|(name, _)| name.len());
        match longest {
            Some((prefix, kind)) if word.len() > prefix.len() + 1 => {
                self.named_fetch(*kind, Some(&word[prefix.len() + 1..]))
            }
            _ => Err(unknown_value(at, word)),
        }
    }

    /// The rest of `header.NAME[N]` or `header("NAME")[N]`.
    fn named_fetch(&mut self, kind: NameKind, name: Option<&str>) -> Parsed<Fetch> {
        let at = self.at;
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                self.open()?;
                let bytes = self.string()?;
                self.close()?;
                String::from_utf8(bytes).map_err(|_| Fault::new(at, "a name must be text (UTF-8)", ""))?
            }
        };
        let mut occurrence = Occurrence::Any;
        if matches!(kind, NameKind::Header(..)) && self.peek_raw() == Some(b'[') {
            self.at += 1;
            occurrence = Occurrence::Nth(self.fitting()?);
            if !self.take("]") {
                return Err(self.unexpected("']'"));
            }
        }
        values::make(kind, Some(&name), occurrence).ok_or_else(|| Fault::new(at, "a name is missing", ""))
    }

    fn fetch_with_arguments(&mut self, word: &str) -> Parsed<Fetch> {
        match word {
            "true" => return Ok(Fetch::Constant(Value::Bool(true))),
            "false" => return Ok(Fetch::Constant(Value::Bool(false))),
            "date" if self.peek_raw() != Some(b'(') => return Ok(Fetch::Date(0)),
            _ => self.open()?,
        }
        let fetch = match word {
            "address" => {
                let (at, text) = self.raw();
                let address =
                    text.parse().map_err(|_| Fault::new(at, format!("'{text}' is no address"), ""))?;
                Fetch::Constant(Value::Address(address))
            }
            "holds" => Fetch::Holds(Box::new(self.condition()?)),
            "capture.request" => Fetch::RequestCapture(self.fitting()?),
            "capture.response" => Fetch::ResponseCapture(self.fitting()?),
            "random" => Fetch::Random(self.fitting()?),
            "date" => Fetch::Date(self.number()?),
            "map" => self.map()?,
            _ => self.authenticated()?,
        };
        self.close()?;
        Ok(fetch)
    }

    fn map(&mut self) -> Parsed<Fetch> {
        let (at, name) = self.name()?;
        match self.reader.named(Named::Map, &name) {
            Ok(Some(Meant::Map(table))) => Ok(Fetch::Map(table)),
            Ok(_) => Ok(Fetch::Constant(Value::Bool(false))), // its problem is told already
            Err((what, hint)) => Err(Fault::new(at, what, &hint)),
        }
    }

    fn authenticated(&mut self) -> Parsed<Fetch> {
        let (at, name) = self.name()?;
        match self.reader.named(Named::Users, &name) {
            Ok(Some(Meant::Users(list))) => Ok(Fetch::Authenticated(list)),
            Ok(_) => Ok(Fetch::Constant(Value::Bool(false))), // its problem is told already
            Err((what, hint)) => Err(Fault::new(at, what, &hint)),
        }
    }

    /// A name, in quotes when it is no plain word.
    fn name(&mut self) -> Parsed<(usize, String)> {
        if matches!(self.peek(), Some(b'"' | b'\'')) {
            let at = self.at;
            return Ok((at, String::from_utf8_lossy(&self.string()?).into_owned()));
        }
        let (at, word) = self.word();
        if word.is_empty() { Err(self.unexpected("a name")) } else { Ok((at, word.to_owned())) }
    }

    fn converter(&mut self) -> Parsed<Converter> {
        let (at, word) = self.word();
        if word == "replace" {
            return self.replacement();
        }
        let function = function_named(word).ok_or_else(|| {
            Fault::new(at, format!("'{word}' is no converter"), &nearest(word, function_names()))
        })?;
        let arguments = if self.take("(") { self.arguments(function)? } else { Vec::new() };
        Converter::call(function, arguments).map_err(|what| Fault::new(at, format!("'{word}': {what}"), ""))
    }

    /// `replace("EXPRESSION", "WITH", all)`.
    fn replacement(&mut self) -> Parsed<Converter> {
        self.open()?;
        let at = self.at;
        let regex = regex(at, "", self.string()?)?;
        if !self.take(",") {
            return Err(self.unexpected("',' and what to put there, in quotes"));
        }
        let with = self.string()?.into();
        let all = self.take(",") && self.take_word("all");
        self.close()?;
        Ok(Converter::Replace(Arc::new(Replacement { regex, with, all })))
    }

    /// `a, "b", _)`: arguments of a converter, `_` for one that is left out.
    fn arguments(&mut self, function: &Function) -> Parsed<Vec<Argument>> {
        let mut list = Vec::new();
        if self.take(")") {
            return Ok(list);
        }
        loop {
            let number = function.parameters.get(list.len()).is_some_and(|p| p.is_number());
            list.push(self.argument(number)?);
            if !self.take(",") {
                break;
            }
        }
        self.close()?;
        Ok(list)
    }

    fn argument(&mut self, number: bool) -> Parsed<Argument> {
        match self.peek() {
            Some(b'"' | b'\'') if !number => return Ok(Argument::Text(self.string()?.into())),
            Some(b'-' | b'0'..=b'9') if number => return Ok(Argument::Int(self.number()?)),
            _ => {}
        }
        if self.take_word("_") {
            return Ok(Argument::None);
        }
        let before = self.at;
        match self.fetch()? {
            Fetch::Constant(_) => {
                let what =
                    if number { "a number is expected here" } else { "a text in quotes is expected here" };
                Err(Fault::new(before, what, ""))
            }
            fetch => Ok(Argument::Value(Box::new(fetch))),
        }
    }

    /// `is "a" "b"`, `in 200..299`; `None` when no matcher stands here.
    fn matcher(&mut self) -> Parsed<Option<Matcher>> {
        let before = self.at;
        let (at, word) = self.word();
        let (bare, ignore_case) = word.strip_suffix("-i").map_or((word, false), |bare| (bare, true));
        if let Some((_, how)) = TEXT_MATCHES.iter().find(|(name, _)| *name == bare) {
            return Ok(Some(Matcher::Text(TextPatterns::new(*how, ignore_case, self.strings()?))));
        }
        Ok(Some(match word {
            "matches" => Matcher::Regex(self.regexes("")?),
            "matches-i" => Matcher::Regex(self.regexes("(?i)")?),
            "in" => self.ranges_or_networks()?,
            "length" => Matcher::Length(self.ranges()?),
            "found" => Matcher::Found,
            "true" => Matcher::True,
            "" | "and" | "or" => {
                self.at = before;
                return Ok(None);
            }
            other => {
                let known = TEXT_MATCHES.iter().map(|(name, _)| *name).chain(MATCHES.iter().copied());
                let hint = match nearest(other, known.chain(["and", "or"])) {
                    hint if hint.is_empty() => {
                        "matchers are is, starts, ends, contains, matches, in, found, …".into()
                    }
                    hint => hint,
                };
                return Err(Fault::new(at, format!("'{other}' is no way to compare"), &hint));
            }
        }))
    }

    fn strings(&mut self) -> Parsed<Vec<Vec<u8>>> {
        let mut list = Vec::new();
        if self.take_word("nothing") {
            return Ok(list);
        }
        while matches!(self.peek(), Some(b'"' | b'\'')) {
            list.push(self.string()?);
        }
        if list.is_empty() { Err(self.unexpected("a text in quotes")) } else { Ok(list) }
    }

    fn regexes(&mut self, prefix: &str) -> Parsed<Vec<Regex>> {
        let at = self.at;
        self.strings()?.into_iter().map(|bytes| regex(at, prefix, bytes)).collect()
    }

    fn ranges_or_networks(&mut self) -> Parsed<Matcher> {
        if self.take_word("no-networks") {
            return Ok(Matcher::Address(Networks(Vec::new())));
        }
        let before = self.at;
        let (_, first) = self.raw();
        self.at = before;
        if first.parse::<Network>().is_err() {
            return Ok(Matcher::Int(self.ranges()?));
        }
        let mut list = Vec::new();
        while let Some((at, text)) = self.raw_item() {
            list.push(text.parse().map_err(|what: String| Fault::new(at, what, ""))?);
        }
        Ok(Matcher::Address(Networks(list)))
    }

    /// `200..299 304 500..`.
    fn ranges(&mut self) -> Parsed<Vec<IntRange>> {
        let mut list = Vec::new();
        if self.take_word("no-numbers") {
            return Ok(list);
        }
        while let Some((at, text)) = self.raw_item() {
            let range = range(text).ok_or_else(|| {
                Fault::new(
                    at,
                    format!("'{text}' is no network and no number"),
                    "write as 10.0.0.0/8, 404 or 500..599",
                )
            })?;
            list.push(range);
        }
        if list.is_empty() {
            Err(self.unexpected("a number, a range (200..299) or a network"))
        } else {
            Ok(list)
        }
    }

    fn raw_item(&mut self) -> Option<(usize, &'t str)> {
        let before = self.at;
        let (at, text) = self.raw();
        if matches!(text, "" | "and" | "or") {
            self.at = before;
            return None;
        }
        Some((at, text))
    }

    /// Letters, digits and what else stands in numbers, ranges and addresses.
    fn raw(&mut self) -> (usize, &'t str) {
        self.skip_blanks();
        self.span(|b| b.is_ascii_alphanumeric() || b".:/+-".contains(&b))
    }

    /// A word with dots and dashes in it, or an empty one.
    pub(super) fn word(&mut self) -> (usize, &'t str) {
        self.skip_blanks();
        match self.peek_raw() {
            Some(b) if b.is_ascii_alphabetic() || b == b'_' => {
                self.span(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            }
            _ => (self.at, ""),
        }
    }

    fn span(&mut self, accepts: impl Fn(u8) -> bool) -> (usize, &'t str) {
        let start = self.at;
        let length = self.text.as_bytes()[start..].iter().take_while(|b| accepts(**b)).count();
        self.at += length;
        (start, &self.text[start..self.at])
    }

    fn take_word(&mut self, expected: &str) -> bool {
        let before = self.at;
        let found = self.word().1 == expected;
        if !found {
            self.at = before;
        }
        found
    }

    /// Takes `expected` if it comes next, blanks before it too.
    pub(super) fn take(&mut self, expected: &str) -> bool {
        self.skip_blanks();
        let found = self.text[self.at..].starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    fn open(&mut self) -> Parsed<()> {
        if self.take("(") { Ok(()) } else { Err(self.unexpected("'('")) }
    }

    fn close(&mut self) -> Parsed<()> {
        if self.take(")") { Ok(()) } else { Err(self.unexpected("')'")) }
    }

    fn number(&mut self) -> Parsed<i64> {
        let (at, text) = self.raw();
        text.parse().map_err(|_| Fault::new(at, format!("a number is expected here, not '{text}'"), ""))
    }

    fn fitting<T: TryFrom<i64>>(&mut self) -> Parsed<T> {
        let at = self.at;
        let number = self.number()?;
        T::try_from(number).map_err(|_| Fault::new(at, format!("{number} is out of range here"), ""))
    }

    /// `"text"` with escapes, or `'text'` as it is.
    fn string(&mut self) -> Parsed<Vec<u8>> {
        let quote = self.peek();
        let start = self.at;
        let unended = || Fault::new(start, "this text has no closing quote", "");
        match quote {
            Some(b'\'') => {
                let rest = &self.text[start + 1..];
                let end = rest.find('\'').ok_or_else(unended)?;
                self.at = start + end + 2;
                Ok(rest.as_bytes()[..end].to_vec())
            }
            Some(b'"') => {
                self.at += 1;
                self.escaped().ok_or_else(unended)?
            }
            _ => Err(self.unexpected("a text in quotes")),
        }
    }

    /// Up to the closing quote; `None` when there is none.
    fn escaped(&mut self) -> Option<Parsed<Vec<u8>>> {
        let bytes = self.text.as_bytes();
        let mut out = Vec::new();
        loop {
            let byte = *bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return Some(Ok(out)),
                b'\\' => {
                    let at = self.at - 1;
                    let letter = *bytes.get(self.at)?;
                    self.at += 1;
                    out.push(match letter {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'"' | b'\\' => letter,
                        b'x' => match self.hex() {
                            Some(byte) => byte,
                            None => return Some(Err(Fault::new(at, "'\\x' needs two hexadecimal digits", ""))),
                        },
                        _ => {
                            let hint = "escapes are \\\" \\\\ \\n \\r \\t \\xNN; in single quotes nothing is escaped";
                            return Some(Err(Fault::new(at, "this escape is not known", hint)));
                        }
                    });
                }
                byte => out.push(byte),
            }
        }
    }

    fn hex(&mut self) -> Option<u8> {
        let digits =
            self.text.get(self.at..self.at + 2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += 2;
        u8::from_str_radix(digits, 16).ok()
    }

    fn skip_blanks(&mut self) {
        self.span(|b| b.is_ascii_whitespace());
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.peek_raw()
    }

    fn peek_raw(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn is_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Something else than `expected` stands here.
    pub(super) fn unexpected(&mut self, expected: &str) -> Fault {
        self.skip_blanks();
        let rest: String = self.text[self.at..].chars().take(20).collect();
        let found = if rest.is_empty() { "the end".to_owned() } else { format!("'{rest}'") };
        Fault::new(self.at, format!("{expected} is expected here, not {found}"), "")
    }
}

fn unknown_value(at: usize, word: &str) -> Fault {
    let hint = match word.strip_prefix("log.") {
        _ if NAMED.iter().any(|(name, _)| *name == word) => format!("say which, as in {word}.NAME"),
        Some(field) => nearest(field, RECORD.iter().map(|(name, _)| *name)),
        None => nearest(word, value_names()),
    };
    Fault::new(at, format!("'{word}' is no value"), &hint)
}

fn regex(at: usize, prefix: &str, bytes: Vec<u8>) -> Parsed<Regex> {
    let text = String::from_utf8(bytes).map_err(|_| "an expression must be text (UTF-8)".to_owned());
    text.and_then(|text| leaf::regex(&format!("{prefix}{text}"))).map_err(|what| Fault::new(at, what, ""))
}

fn single(mut list: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match list.len() {
        1 => list.remove(0),
        _ => many(list),
    }
}

fn range(text: &str) -> Option<IntRange> {
    let end = |text: &str, open: i64| if text.is_empty() { Some(open) } else { text.parse().ok() };
    match text.split_once("..") {
        Some((from, to)) if text.len() > 2 => {
            Some(IntRange { from: end(from, i64::MIN)?, to: end(to, i64::MAX)? })
        }
        Some(_) => Some(IntRange { from: i64::MIN, to: i64::MAX }),
        None => text.parse().ok().map(|n| IntRange { from: n, to: n }),
    }
}

/// The text of a condition.
pub(super) fn condition(condition: &Condition, writer: &mut Writer) -> String {
    match peeled(condition, writer) {
        Ok(condition) => unshared(condition, writer),
        Err(name) => name,
    }
}

/// The condition under shared ones that stand where they are used, or the name of one that has a name.
fn peeled<'c>(mut condition: &'c Condition, writer: &mut Writer) -> Result<&'c Condition, String> {
    while let Condition::Shared(shared) = condition {
        match writer.shared(shared) {
            Some(name) => return Err(name),
            None => condition = shared,
        }
    }
    Ok(condition)
}

fn unshared(condition: &Condition, writer: &mut Writer) -> String {
    match condition {
        Condition::Always => "always".to_owned(),
        Condition::Never => "never".to_owned(),
        Condition::Not(inner) => format!("not {}", operand(inner, false, writer)),
        Condition::All(list) if list.len() > 1 => joined(list, " and ", false, writer),
        Condition::Any(list) if list.len() > 1 => joined(list, " or ", true, writer),
        Condition::All(list) => format!("all({})", joined(list, ", ", false, writer)),
        Condition::Any(list) => format!("any({})", joined(list, ", ", false, writer)),
        Condition::Test(Test { expr, matcher: Matcher::Any(list) }) => {
            let test =
                |matcher: &Matcher| Condition::Test(Test { expr: expr.clone(), matcher: matcher.clone() });
            unshared(&Condition::Any(list.iter().map(test).collect()), writer)
        }
        Condition::Test(test) => match matcher(&test.matcher, writer) {
            text if text.is_empty() => expr(&test.expr, writer),
            text => format!("{} {text}", expr(&test.expr, writer)),
        },
        Condition::Shared(shared) => self::condition(shared, writer),
    }
}

/// The text of a condition where only one operand may stand; with `all_bare`, `a and b` may stand too.
fn operand(condition: &Condition, all_bare: bool, writer: &mut Writer) -> String {
    let condition = match peeled(condition, writer) {
        Ok(condition) => condition,
        Err(name) => return name,
    };
    let text = unshared(condition, writer);
    match condition {
        Condition::All(list) if list.len() > 1 && !all_bare => format!("({text})"),
        Condition::Any(list) if list.len() > 1 => format!("({text})"),
        _ => text,
    }
}

fn joined(list: &[Condition], separator: &str, all_bare: bool, writer: &mut Writer) -> String {
    let parts: Vec<String> = list.iter().map(|c| operand(c, all_bare, writer)).collect();
    parts.join(separator)
}

/// The text of a value and its converters.
pub(super) fn expr(expr: &Expr, writer: &mut Writer) -> String {
    if expr.converters.iter().any(|c| matches!(c, Converter::LookUp(..))) {
        return match lists::without_maps(expr) {
            Some(expr) => self::expr(&expr, writer),
            None => {
                writer.problem("this map cannot be said here", "write its entries as conditions");
                String::new()
            }
        };
    }
    let mut text = fetch(&expr.fetch, writer);
    for converter in &expr.converters {
        text.push_str(" | ");
        text.push_str(&self::converter(converter, writer));
    }
    text
}

fn fetch(fetch: &Fetch, writer: &mut Writer) -> String {
    if let Some((kind, name, occurrence)) = values::taken_apart(fetch) {
        return named(kind, name, occurrence);
    }
    match fetch {
        Fetch::Constant(Value::Text(text)) => string(text),
        Fetch::Constant(Value::Int(n)) => n.to_string(),
        Fetch::Constant(Value::Bool(yes)) => yes.to_string(),
        Fetch::Constant(Value::Address(address)) => format!("address({address})"),
        Fetch::Holds(inner) => format!("holds({})", condition(inner, writer)),
        Fetch::RequestCapture(at) => format!("capture.request({at})"),
        Fetch::ResponseCapture(at) => format!("capture.response({at})"),
        Fetch::Authenticated(list) => format!("authenticated({})", name(&writer.users(list))),
        Fetch::Random(bound) => format!("random({bound})"),
        Fetch::Date(0) => "date".to_owned(),
        Fetch::Date(offset) => format!("date({offset})"),
        Fetch::Map(table) => format!("map({})", writer.map(table)),
        Fetch::Table(_) | Fetch::TableUsed(_) | Fetch::TableFree(_) => {
            writer.unsaid("a question to a stick table");
            String::new()
        }
        Fetch::Parameter(_) => {
            writer.unsaid("a parameter behind a sign of its own");
            String::new()
        }
        Fetch::DateParts(..) => {
            writer.unsaid("the time in parts of a second");
            String::new()
        }
        Fetch::Otherwise(..) | Fetch::Either(..) => {
            writer.unsaid("a value with another one when it is missing");
            String::new()
        }
        other => values::plain_name(other).unwrap_or_else(|| {
            writer.problem(format!("the value {other:?} has no name"), "");
            String::new()
        }),
    }
}

fn named(kind: NameKind, name: Option<&str>, occurrence: Occurrence) -> String {
    let prefix = NAMED.iter().find(|(_, known)| *known == kind).map_or("", |(prefix, _)| prefix);
    let mut text = match name {
        None => prefix.to_owned(),
        Some(name) if is_part(name) && !is_ambiguous(prefix, name) => format!("{prefix}.{name}"),
        Some(name) => format!("{prefix}({})", string(name.as_bytes())),
    };
    if let Occurrence::Nth(n) = occurrence {
        text.push_str(&format!("[{n}]"));
    }
    text
}

fn is_part(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// True when `prefix.name` would be read as something else.
fn is_ambiguous(prefix: &str, name: &str) -> bool {
    let whole = format!("{prefix}.{name}");
    let known =
        |known: &str| whole == known || whole.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'));
    value_names().any(|value| value.len() > prefix.len() && known(value))
}

/// A name, in quotes when it is no plain word.
fn name(name: &str) -> String {
    let plain = is_part(name) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if plain { name.to_owned() } else { string(name.as_bytes()) }
}

fn converter(converter: &Converter, writer: &mut Writer) -> String {
    match converter {
        Converter::Call(function, arguments) if arguments.is_empty() => function.name.to_owned(),
        Converter::Call(function, arguments) => {
            let list: Vec<String> = arguments.iter().map(|a| argument(a, writer)).collect();
            format!("{}({})", function.name, list.join(", "))
        }
        Converter::LookUp(index, _) => format!("{index:?}"), // written as a table before it comes here
        Converter::Replace(replacement) => {
            let all = if replacement.all { ", all" } else { "" };
            let regex = string(replacement.regex.as_str().as_bytes());
            format!("replace({regex}, {}{all})", string(&replacement.with))
        }
        Converter::Table(_) => {
            writer.unsaid("a question to a stick table");
            String::new()
        }
    }
}

fn argument(argument: &Argument, writer: &mut Writer) -> String {
    match argument {
        Argument::None => "_".to_owned(),
        Argument::Int(n) => n.to_string(),
        Argument::Text(text) => string(text),
        Argument::Value(value) => fetch(value, writer),
    }
}

/// The text of a matcher; empty for the one that is true when nothing is said.
fn matcher(matcher: &Matcher, writer: &mut Writer) -> String {
    match matcher {
        Matcher::Found => "found".to_owned(),
        Matcher::True => String::new(),
        Matcher::List(index) => match lists::plain(index) {
            Some(matcher) => self::matcher(&matcher, writer),
            None => {
                writer.problem("a pattern of this list cannot be said here", "");
                String::new()
            }
        },
        Matcher::Any(list) => {
            writer.problem(format!("{} lists cannot be said at once here", list.len()), "");
            String::new()
        }
        Matcher::Int(list) => format!("in {}", ranges(list)),
        Matcher::Length(list) => format!("length {}", ranges(list)),
        Matcher::Text(patterns) => {
            let word = TEXT_MATCHES.iter().find(|(_, how)| *how == patterns.how).map_or("", |(word, _)| word);
            let case = if patterns.ignore_case { "-i" } else { "" };
            format!("{word}{case} {}", strings(patterns.texts()))
        }
        Matcher::Regex(list) => {
            let folded: Option<Vec<&str>> = list.iter().map(|re| re.as_str().strip_prefix("(?i)")).collect();
            match folded.filter(|list| !list.is_empty()) {
                Some(list) => format!("matches-i {}", strings(list.into_iter().map(str::as_bytes))),
                None => format!("matches {}", strings(list.iter().map(|re| re.as_str().as_bytes()))),
            }
        }
        Matcher::Address(Networks(list)) if list.is_empty() => "in no-networks".to_owned(),
        Matcher::Address(Networks(list)) => {
            let list: Vec<String> = list.iter().map(|network| leaf::network(network, writer)).collect();
            format!("in {}", list.join(" "))
        }
    }
}

fn ranges(list: &[IntRange]) -> String {
    if list.is_empty() {
        return "no-numbers".to_owned();
    }
    let one = |range: &IntRange| match (range.from, range.to) {
        (from, to) if from == to => from.to_string(),
        (i64::MIN, i64::MAX) => "..".to_owned(),
        (from, i64::MAX) => format!("{from}.."),
        (i64::MIN, to) => format!("..{to}"),
        (from, to) => format!("{from}..{to}"),
    };
    list.iter().map(one).collect::<Vec<String>>().join(" ")
}

fn strings<'p>(list: impl Iterator<Item = &'p [u8]>) -> String {
    let list: Vec<String> = list.map(string).collect();
    if list.is_empty() { "nothing".to_owned() } else { list.join(" ") }
}

/// A text in quotes: single ones when it has backslashes, so that expressions stay readable.
fn string(bytes: &[u8]) -> String {
    let raw = bytes.contains(&b'\\') && bytes.iter().all(|b| matches!(b, b' '..=b'~') && *b != b'\'');
    if raw {
        return format!("'{}'", String::from_utf8_lossy(bytes));
    }
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u8)),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('"');
    out
}
