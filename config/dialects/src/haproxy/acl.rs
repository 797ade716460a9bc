//! ACLs and conditions: `acl NAME …`, `{ … }`, `if` and `unless`.
//!
//! A condition is an OR of ANDs; each term may be negated by `!`. The lines of one ACL name add up by OR.

use super::fetches;
use super::keywords;
use super::lists;
use super::said::{Cursor, Done, Said};
use super::sample::{self, Kind, Sample};
use super::scene::{Phase, Scene};
use super::source::Line;
use super::text::Word;
use super::units;
use plan::rule::{Compare, Fetch, IntRange, Matcher, Test, TextMatch, TextPatterns, Wanted};
use plan::{Condition, Network, Networks};
use std::collections::HashMap;
use std::sync::Arc;

/// Named ACLs of a section.
#[derive(Default)]
pub(super) struct Acls {
    named: HashMap<String, Acl>,
}

struct Acl {
    /// Index of the line that names it first.
    first: usize,
    condition: Arc<Condition>,
}

impl Acls {
    /// Reads the `acl` lines of a section. They are read before everything else because all lines of one
    /// name count wherever it is used; those that refer to others by `acl()` come last.
    pub fn read(scene: &mut Scene<'_, '_>, lines: &[Line]) {
        let mut tests: HashMap<String, (usize, Vec<Condition>)> = HashMap::new();
        let all = || lines.iter().enumerate().filter(|(_, line)| line.text(0) == "acl");
        for (index, line) in all().filter(|(_, line)| !refers(line)) {
            let (name, condition) = definition_or_problem(scene, index, line);
            tests.entry(name).or_insert_with(|| (index, Vec::new())).1.extend(condition);
        }
        let shared = tests.into_iter().map(|(name, (first, list))| {
            (name, Acl { first, condition: Arc::new(single(list, Condition::Any)) })
        });
        scene.acls.named = shared.collect();
        for (index, line) in all().filter(|(_, line)| refers(line)) {
            let (name, condition) = definition_or_problem(scene, index, line);
            scene.acls.add(name, index, condition);
        }
    }

    fn add(&mut self, name: String, index: usize, condition: Option<Condition>) {
        let before = self.named.remove(&name);
        let first = before.as_ref().map_or(index, |acl| acl.first.min(index));
        let list = before.map(|acl| Condition::Shared(acl.condition)).into_iter().chain(condition).collect();
        self.named.insert(name, Acl { first, condition: Arc::new(single(list, Condition::Any)) });
    }
}

/// True when the line uses other ACLs by `acl(…)`.
fn refers(line: &Line) -> bool {
    line.text(2).starts_with("acl(")
}

/// Name and condition of a line. A wrong line gives its name all the same, so that its uses give no further
/// problems.
fn definition_or_problem(
    scene: &mut Scene<'_, '_>,
    index: usize,
    line: &Line,
) -> (String, Option<Condition>) {
    scene.go_to(index, line);
    let done = match definition(scene, line) {
        Ok((name, condition)) => (name, Some(condition)),
        Err(said) => {
            scene.problem(said, line);
            (line.text(1).to_owned(), None)
        }
    };
    scene.end_line(line);
    done
}

/// The condition of a named or predefined ACL.
pub(super) fn named(scene: &Scene<'_, '_>, name: &str) -> Done<Condition> {
    match scene.acls.named.get(name) {
        Some(acl) if acl.first <= scene.index => return Ok(Condition::Shared(Arc::clone(&acl.condition))),
        Some(_) => {
            return Err(Said::new(format!("the ACL '{name}' is used before it is defined"))
                .hint("move its 'acl' line up"));
        }
        None => {}
    }
    if let Some((_, _, definition)) = PREDEFINED.iter().find(|(n, ..)| *n == name) {
        return predefined(scene, definition);
    }
    let names = scene.acls.named.keys().map(String::as_str).chain(PREDEFINED.iter().map(|(n, ..)| *n));
    let near = keywords::nearest(name, names);
    let hint = if near.is_empty() { format!("define it: acl {name} …, or write {{ … }}") } else { near };
    Err(Said::new(format!("there is no ACL '{name}'")).hint(hint))
}

/// Reads `if …` or `unless …` up to the end of the line; without it the condition always holds.
pub(super) fn condition(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, phase: Phase) -> Done<Condition> {
    if cursor.is_end() {
        return Ok(Condition::Always);
    }
    if !cursor.is_condition() {
        let first = cursor.line.text(0);
        return Err(Said::new(format!("'{first}' does not expect '{}' here", cursor.peek()))
            .hint("'if' or 'unless' and a condition may follow")
            .at(cursor.at));
    }
    let unless = cursor.peek() == "unless";
    cursor.at += 1;
    let condition = alternatives(scene, cursor, phase)?;
    Ok(if unless { negate(condition) } else { condition })
}

fn alternatives(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, phase: Phase) -> Done<Condition> {
    let mut any: Vec<Vec<Condition>> = Vec::new();
    let mut all: Vec<Condition> = Vec::new();
    let mut negated = false;
    while let Some(word) = cursor.next() {
        let at = cursor.at - 1;
        let bare = word.text.trim_start_matches('!');
        negated ^= (word.text.len() - bare.len()) % 2 == 1;
        if bare.is_empty() {
            continue;
        }
        if bare == "||" || bare.eq_ignore_ascii_case("or") {
            any.push(std::mem::take(&mut all));
            negated = false;
            continue;
        }
        let term = if bare == "{" { anonymous(scene, cursor, phase) } else { named(scene, bare) };
        let term = term.map_err(|said| said.at(at))?;
        all.push(if std::mem::take(&mut negated) { negate(term) } else { term });
    }
    any.push(all);
    any.retain(|list| !list.is_empty());
    let mut any: Vec<Condition> = any.into_iter().map(|list| single(list, Condition::All)).collect();
    Ok(if any.is_empty() { Condition::Never } else { single(std::mem::take(&mut any), Condition::Any) })
}

fn single(mut list: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    if list.len() == 1 { list.remove(0) } else { many(list) }
}

fn negate(condition: Condition) -> Condition {
    match condition {
        Condition::Always => Condition::Never,
        Condition::Never => Condition::Always,
        Condition::Not(inner) => *inner,
        other => Condition::Not(Box::new(other)),
    }
}

fn anonymous(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, phase: Phase) -> Done<Condition> {
    let start = cursor.at;
    let words = &cursor.line.words[start..];
    let length = words.iter().position(|w| w.text == "}");
    let length = length.ok_or_else(|| Said::new("a '}' is missing in the condition"))?;
    cursor.at = start + length + 1;
    let (condition, sample_from, name) = test(scene, &words[..length]).map_err(|said| said.at(start))?;
    if !sample::available(sample_from, phase) {
        let what = format!("'{name}' has no value here, so this condition never holds");
        scene.warn(what);
    }
    Ok(condition)
}

fn definition(scene: &mut Scene<'_, '_>, line: &Line) -> Done<(String, Condition)> {
    let mut cursor = Cursor::new(line, 1);
    let name = cursor.text("a name")?;
    if let Some(bad) = units::bad_in_name(name) {
        return Err(Said::new(format!("'{bad}' may not stand in the name '{name}'")).at(1));
    }
    if name.eq_ignore_ascii_case("or") {
        return Err(Said::new("an ACL cannot be named 'or': it joins conditions").at(1));
    }
    let (condition, ..) = test(scene, &line.words[2..]).map_err(|said| said.at(2))?;
    Ok((name.to_owned(), condition))
}

/// A test as in `path_beg -i /a /b`.
fn test(scene: &mut Scene<'_, '_>, words: &[Word]) -> Done<(Condition, sample::Origin, String)> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Said::new("a fetch is missing in the condition"));
    };
    let (mut sample, how) = subject(scene, &first.bytes)?;
    let mut patterns = Patterns::read(rest)?;
    let how = patterns.how.or(how).map_or_else(|| by_kind(&sample), Ok)?;
    if let Fetch::Authenticated(list) = &sample.expr.fetch
        && sample.name == "http_auth_group"
    {
        let groups: Vec<String> = patterns.texts().map(|t| String::from_utf8_lossy(t).into_owned()).collect();
        sample.expr.fetch = Fetch::Authenticated(fetches::users_of_groups(scene, list, &groups));
        patterns.list.clear();
    }
    if patterns.is_empty() && rest.is_empty() && !matches!(how, How::Bool | How::Found) {
        let what = format!("'{}' is compared with nothing, so it never holds", sample.name);
        scene.warn(what);
    }
    let matcher = patterns.matcher(scene, how)?;
    let from = sample.from;
    Ok((Condition::Test(Test { expr: sample.expr, matcher }), from, sample.name))
}

/// The expression and, when the word's ending says it, how to compare: `path_beg`, `hdr_reg(host)`.
fn subject(scene: &Scene<'_, '_>, word: &[u8]) -> Done<(Sample, Option<How>)> {
    let length = word.iter().position(|b| matches!(b, b'(' | b',')).unwrap_or(word.len());
    let name = String::from_utf8_lossy(&word[..length]).into_owned();
    if sample::known(&name).is_some() {
        return sample::read_whole(scene, word).map(|sample| (sample, None));
    }
    for (ending, how) in ENDINGS {
        if let Some(base) = name.strip_suffix(ending).filter(|base| sample::known(base).is_some()) {
            let word = [base.as_bytes(), &word[length..]].concat();
            return sample::read_whole(scene, &word).map(|sample| (sample, Some(*how)));
        }
    }
    sample::read_whole(scene, word).map(|sample| (sample, None))
}

fn by_kind(sample: &Sample) -> Done<How> {
    Ok(match sample.kind {
        Kind::Bool => How::Bool,
        Kind::Int => How::Int,
        Kind::Address | Kind::Ipv4 | Kind::Ipv6 => How::Address,
        Kind::Text | Kind::Method => How::Text(TextMatch::Exact),
        Kind::Any | Kind::Same | Kind::Binary => {
            return Err(Said::new(format!("'{}' needs a way of comparing", sample.name))
                .hint("add -m str, -m int, -m found, -m beg, …"));
        }
    })
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Found,
    Bool,
    Int,
    Length,
    Address,
    Bytes,
    Text(TextMatch),
    Regex,
}

/// Endings of fetch names that say how to compare.
const ENDINGS: &[(&str, How)] = &[
    ("_beg", How::Text(TextMatch::Prefix)),
    ("_dir", How::Text(TextMatch::Directory)),
    ("_dom", How::Text(TextMatch::Domain)),
    ("_end", How::Text(TextMatch::Suffix)),
    ("_len", How::Length),
    ("_reg", How::Regex),
    ("_str", How::Text(TextMatch::Exact)),
    ("_sub", How::Text(TextMatch::Substring)),
];

/// Words behind `-m`.
const METHODS: &[(&str, How)] = &[
    ("beg", How::Text(TextMatch::Prefix)),
    ("bin", How::Bytes),
    ("bool", How::Bool),
    ("dir", How::Text(TextMatch::Directory)),
    ("dom", How::Text(TextMatch::Domain)),
    ("end", How::Text(TextMatch::Suffix)),
    ("found", How::Found),
    ("int", How::Int),
    ("ip", How::Address),
    ("len", How::Length),
    ("reg", How::Regex),
    ("str", How::Text(TextMatch::Exact)),
    ("sub", How::Text(TextMatch::Substring)),
];

/// ACLs that are always there: name, meaning for the reader, definition.
const PREDEFINED: &[(&str, &str, &[&str])] = &[
    ("FALSE", "never", &["always_false"]),
    ("HTTP", "the request is HTTP", &["req.proto_http"]),
    ("HTTP_1.0", "version 1.0", &["req.ver", "1.0"]),
    ("HTTP_1.1", "version 1.1", &["req.ver", "1.1"]),
    ("HTTP_2.0", "version 2.0", &["req.ver", "2.0"]),
    ("HTTP_3.0", "version 3.0", &["req.ver", "3.0"]),
    ("HTTP_CONTENT", "the request announces a body", &["req.hdr_val(content-length)", "gt", "0"]),
    ("HTTP_URL_ABS", "the target is absolute", &["url_reg", "^[^/:]*://"]),
    ("HTTP_URL_SLASH", "the target begins with a slash", &["url_beg", "/"]),
    ("HTTP_URL_STAR", "the target is a star", &["url", "*"]),
    ("LOCALHOST", "the client is this machine", &["src", "127.0.0.1/8", "::1"]),
    ("METH_CONNECT", "method CONNECT", &["method", "CONNECT"]),
    ("METH_DELETE", "method DELETE", &["method", "DELETE"]),
    ("METH_GET", "method GET or HEAD", &["method", "GET", "HEAD"]),
    ("METH_HEAD", "method HEAD", &["method", "HEAD"]),
    ("METH_OPTIONS", "method OPTIONS", &["method", "OPTIONS"]),
    ("METH_POST", "method POST", &["method", "POST"]),
    ("METH_PUT", "method PUT", &["method", "PUT"]),
    ("METH_TRACE", "method TRACE", &["method", "TRACE"]),
    ("REQ_CONTENT", "bytes have come", &["req.len", "gt", "0"]),
    ("TRUE", "always", &["always_true"]),
    ("WAIT_END", "the inspection delay is over", &["wait_end"]),
];

fn predefined(scene: &Scene<'_, '_>, definition: &[&str]) -> Done<Condition> {
    match definition {
        ["always_true"] => return Ok(Condition::Always),
        ["always_false"] => return Ok(Condition::Never),
        _ => {}
    }
    let (sample, how) = subject(scene, definition[0].as_bytes())?;
    let how = how.map_or_else(|| by_kind(&sample), Ok)?;
    let list = definition[1..].iter().map(|d| d.as_bytes().to_vec()).collect();
    let matcher = Patterns { list, ..Patterns::default() }.matcher(scene, how)?;
    Ok(Condition::Test(Test { expr: sample.expr, matcher }))
}

/// Flags and patterns behind a fetch.
#[derive(Default)]
struct Patterns {
    how: Option<How>,
    ignore_case: bool,
    /// Number given by `-u`.
    number: Option<u32>,
    /// Files, each with whether its lines have values.
    files: Vec<(String, bool)>,
    list: Vec<Vec<u8>>,
}

/// From so many patterns on they are looked up by an index.
const INDEXED: usize = 16;

impl Patterns {
    fn read(words: &[Word]) -> Done<Patterns> {
        let mut patterns = Patterns::default();
        let mut values = false;
        let mut words = words.iter().peekable();
        while let Some(word) = words.next_if(|w| w.text.starts_with('-') && !is_number(&w.text)) {
            let mut argument = || {
                words
                    .next()
                    .ok_or_else(|| Said::new(format!("the flag '{}' needs a word behind it", word.text)))
            };
            match word.text.as_str() {
                "-i" => patterns.ignore_case = true,
                "-n" => {}
                "-m" => patterns.how = Some(method(&argument()?.text)?),
                "-f" => patterns.files.push((argument()?.text.clone(), values)),
                "-u" => patterns.number = Some(number(&argument()?.text)?),
                "-M" => values = true,
                "--" => break,
                other => {
                    return Err(Said::new(format!("unknown flag '{other}'"))
                        .hint("the flags are -i -f FILE -m METHOD -M -n -u ID --"));
                }
            }
        }
        patterns.list.extend(words.map(|w| w.bytes.clone()));
        Ok(patterns)
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.list.is_empty()
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(Vec::as_slice)
    }

    fn matcher(self, scene: &Scene<'_, '_>, how: How) -> Done<Matcher> {
        let Some(compare) = how.compare(self.ignore_case) else {
            return Ok(if how == How::Found { Matcher::Found } else { Matcher::True });
        };
        let mut all = Vec::new();
        for (name, values) in &self.files {
            let list = lists::of_file(scene.shared, name, *values)?;
            all.push(Matcher::List(lists::used(scene, &list, compare, Wanted::Nothing)?));
        }
        if self.number.is_some() || (self.list.len() > INDEXED && compare.is_indexed()) {
            let list = lists::inline(scene.shared, self.number, &self.list, &scene.here);
            all.push(Matcher::List(lists::used(scene, &list, compare, Wanted::Nothing)?));
        } else {
            scene.shared.lists.next_number();
            if !self.list.is_empty() || all.is_empty() {
                all.push(self.plain(how)?);
            }
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Matcher::Any(all) })
    }

    fn plain(self, how: How) -> Done<Matcher> {
        Ok(match how {
            How::Found => Matcher::Found,
            How::Bool => Matcher::True,
            How::Int => Matcher::Int(ranges(&self.list)?),
            How::Length => Matcher::Length(ranges(&self.list)?),
            How::Address => Matcher::Address(Networks(self.texts().map(network).collect::<Done<Vec<_>>>()?)),
            How::Text(how) => Matcher::Text(TextPatterns::new(how, self.ignore_case, self.list)),
            How::Bytes => {
                let bytes = self.texts().map(hex_pattern).collect::<Done<Vec<_>>>()?;
                Matcher::Text(TextPatterns::new(TextMatch::Exact, false, bytes))
            }
            How::Regex => {
                let ignore_case = self.ignore_case;
                let compile = |text: &[u8]| units::expression(&String::from_utf8_lossy(text), ignore_case);
                Matcher::Regex(self.texts().map(compile).collect::<Result<Vec<_>, _>>()?)
            }
        })
    }
}

impl How {
    /// The same for a list; `None` when no patterns are compared.
    fn compare(self, ignore_case: bool) -> Option<Compare> {
        Some(match self {
            How::Found | How::Bool => return None,
            How::Int => Compare::Int,
            How::Length => Compare::Length,
            How::Address => Compare::Address,
            How::Bytes => Compare::Bytes,
            How::Text(how) => Compare::Text { how, ignore_case },
            How::Regex => Compare::Regex { ignore_case },
        })
    }
}

fn number(text: &str) -> Done<u32> {
    text.parse().map_err(|_| Said::new(format!("'-u' needs a number, not '{text}'")))
}

fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

fn method(word: &str) -> Done<How> {
    METHODS.iter().find(|(name, _)| *name == word).map(|(_, how)| *how).ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
        Said::new(format!("unknown way of comparing '-m {word}'"))
            .hint(format!("these are: {}", names.join(", ")))
    })
}

/// `gt 5`, `10:20`, `:5`, `7`: an operator holds for the numbers that follow it.
fn ranges(list: &[Vec<u8>]) -> Done<Vec<IntRange>> {
    let mut operator = "eq";
    let mut ranges = Vec::new();
    for word in list {
        let text = std::str::from_utf8(word).unwrap_or("?");
        if let Some(op) = ["eq", "ge", "gt", "le", "lt"].into_iter().find(|op| *op == text) {
            operator = op;
            continue;
        }
        ranges.push(range(text, operator).ok_or_else(|| {
            Said::new(format!("'{text}' is no number or range")).hint("write 5, 5:10, or gt 5")
        })?);
    }
    Ok(ranges)
}

/// A number, or a version `3.1` as major * 65536 + minor.
fn whole_number(text: &str) -> Option<i64> {
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((major, minor)) => {
            Some(i64::from(major.parse::<u16>().ok()?) << 16 | i64::from(minor.parse::<u16>().ok()?))
        }
    }
}

fn range(text: &str, operator: &str) -> Option<IntRange> {
    if let Some((from, to)) = text.split_once(':') {
        let from = if from.is_empty() { Some(i64::MIN) } else { whole_number(from) };
        let to = if to.is_empty() { Some(i64::MAX) } else { whole_number(to) };
        let (from, to) = (from?, to?);
        return (operator == "eq" && from <= to).then_some(IntRange { from, to });
    }
    let n = whole_number(text)?;
    let (from, to) = match operator {
        "ge" => (n, i64::MAX),
        "gt" => (n.checked_add(1)?, i64::MAX),
        "le" => (i64::MIN, n),
        "lt" => (i64::MIN, n.checked_sub(1)?),
        _ => (n, n),
    };
    Some(IntRange { from, to })
}

fn network(text: &[u8]) -> Done<Network> {
    let text = String::from_utf8_lossy(text);
    text.parse().map_err(|what: String| {
        Said::new(what).hint("write addresses in numbers: 10.0.0.0/8 or 2001:db8::/32")
    })
}

fn hex_pattern(text: &[u8]) -> Done<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    from_hex(&text).ok_or_else(|| Said::new(format!("'{text}' is no row of hexadecimal digits")))
}

/// Bytes of a row of hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// Names of the ACLs that are always there, for listings.
pub(super) fn predefined_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    PREDEFINED.iter().map(|(name, manual, _)| (*name, *manual))
}
