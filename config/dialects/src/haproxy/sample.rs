//! Sample expressions: a fetch, its arguments and its converters (`req.hdr(host),lower`).
//!
//! [`super::acl`] and [`super::format`] call [`read`]; the tables also feed hints and the keyword list.

use super::converters;
use super::fetches::{FETCHES, NOT_YET_FETCHES};
use super::keywords::{self, Entry};
use super::live::LIVE;
use super::said::{Done, Said};
use super::scene::{Phase, Scene};
use plan::rule::{Converter, Expr, Fetch, Scope};

/// Most converters behind a fetch.
const MAX_CONVERTERS: usize = 64;

/// What kind of value comes out, which decides how it is matched unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes or no.
    Bool,
    /// A number.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// An address of either family.
    Address,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A method of HTTP.
    Method,
    /// Known at run time only.
    Any,
    /// Of a converter: what went in.
    Same,
}

impl Kind {
    /// For the reader.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Bool => "yes or no",
            Kind::Int => "a number",
            Kind::Text => "text",
            Kind::Binary => "bytes",
            Kind::Address => "an address",
            Kind::Ipv4 => "an IPv4 address",
            Kind::Ipv6 => "an IPv6 address",
            Kind::Method => "a method",
            Kind::Any | Kind::Same => "anything",
        }
    }
}

/// Where a fetch has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Everywhere.
    Anywhere,
    /// While the request head is there.
    Request,
    /// While the response head is there, and in logs.
    Status,
    /// While the response head is there.
    Response,
    /// While the connection to the server stands, and in logs.
    Server,
    /// In TCP content rules.
    Content,
}

/// An expression and what is known about it.
pub(super) struct Sample {
    /// The expression.
    pub expr: Expr,
    /// Kind of its value.
    pub kind: Kind,
    /// Where it has a value.
    pub from: Origin,
    /// Name of the fetch.
    pub name: String,
}

/// Arguments between parentheses.
pub(super) type Arguments = Vec<Vec<u8>>;
pub(super) type Make = fn(&Scene<'_, '_>, &Words<'_>) -> Done<Fetch>;

/// What a fetch is: where it works, what it gives and how it is made.
pub(super) struct FetchAct {
    /// Where it has a value.
    pub from: Origin,
    /// Kind of its value.
    pub kind: Kind,
    /// Least and most arguments.
    pub arguments: (usize, usize),
    /// Makes it.
    pub make: Make,
    /// What is done to every value of it.
    pub extra: fn() -> Vec<Converter>,
}

/// Name and arguments of a fetch or converter.
pub(super) struct Words<'a> {
    name: &'a str,
    arguments: &'a Arguments,
}

impl Words<'_> {
    /// The name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The arguments.
    pub fn arguments(&self) -> &Arguments {
        self.arguments
    }

    /// An argument as text; empty without one.
    pub fn text(&self, index: usize) -> String {
        self.arguments.get(index).map(|a| String::from_utf8_lossy(a).into_owned()).unwrap_or_default()
    }

    /// An argument as a number.
    pub fn int<T: std::str::FromStr>(&self, index: usize) -> Done<T> {
        let text = self.text(index);
        text.trim().parse().map_err(|_| Said::new(format!("'{}' needs a number, not '{text}'", self.name)))
    }
}

/// Reads an expression from `text[at..]`; gives it and where it ends.
pub(super) fn read(scene: &Scene<'_, '_>, text: &[u8], at: usize) -> Done<(Sample, usize)> {
    let (name, arguments, mut at) = call(text, at)?;
    let mut sample = fetch(scene, &name, &arguments)?;
    while text.get(at) == Some(&b',') {
        let (name, arguments, end) = call(text, at + 1)?;
        if name.is_empty() {
            return Err(Said::new(format!("a converter is expected after ',' behind '{}'", sample.name)));
        }
        converters::append(scene, &mut sample, &Words { name: &name, arguments: &arguments })?;
        if sample.expr.converters.len() > MAX_CONVERTERS {
            return Err(Said::new("too many converters"));
        }
        at = end;
    }
    Ok((sample, at))
}

/// Reads an expression that takes up the whole word.
pub(super) fn read_whole(scene: &Scene<'_, '_>, text: &[u8]) -> Done<Sample> {
    let (sample, end) = read(scene, text, 0)?;
    if end == text.len() {
        return Ok(sample);
    }
    Err(Said::new(format!("unexpected '{}' behind '{}'", String::from_utf8_lossy(&text[end..]), sample.name)))
}

/// The fetch of that name, if there is one.
pub(super) fn known(name: &str) -> Option<&'static Entry<FetchAct>> {
    FETCHES.iter().chain(LIVE).find(|f| f.name == name)
}

/// `name` or `name(arguments)` and where it ends.
fn call(text: &[u8], start: usize) -> Done<(String, Arguments, usize)> {
    let length = text[start..].iter().take_while(|b| is_name(**b)).count();
    let name = String::from_utf8_lossy(&text[start..start + length]).into_owned();
    let at = start + length;
    if text.get(at) != Some(&b'(') {
        return Ok((name, Vec::new(), at));
    }
    let (arguments, at) =
        arguments(text, at + 1).ok_or_else(|| Said::new(format!("'{name}(' has no ')'")))?;
    Ok((name, arguments, at))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn arguments(text: &[u8], mut at: usize) -> Option<(Arguments, usize)> {
    let mut list = vec![Vec::new()];
    let mut quote = None;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        let last = list.last_mut()?;
        match (byte, quote) {
            (b')', None) => break,
            (b',', None) => list.push(Vec::new()),
            (b'"' | b'\'', None) => quote = Some(byte),
            (b'"', Some(b'"')) | (b'\'', Some(b'\'')) => quote = None,
            (b'\\', None | Some(b'"')) => {
                let (escaped, length) = escape(&text[at..]);
                last.push(escaped);
                at += length;
            }
            _ => last.push(byte),
        }
    }
    if list.len() == 1 && list[0].is_empty() {
        list.clear();
    }
    Some((list, at))
}

/// The byte that a backslash before `text` means, and how much of the text that takes; a backslash before
/// anything else stands for itself.
fn escape(text: &[u8]) -> (u8, usize) {
    let hex = |at: usize| text.get(at).and_then(|b| (*b as char).to_digit(16));
    match text.first() {
        Some(b'n') => (b'\n', 1),
        Some(b'r') => (b'\r', 1),
        Some(b't') => (b'\t', 1),
        Some(b @ (b'\\' | b'"' | b'\'' | b' ' | b'#')) => (*b, 1),
        Some(b'x') => match (hex(1), hex(2)) {
            (Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            _ => (b'\\', 0),
        },
        _ => (b'\\', 0),
    }
}

fn fetch(scene: &Scene<'_, '_>, name: &str, arguments: &Arguments) -> Done<Sample> {
    if let Some(sample) = super::tables::fetch(scene, name, arguments) {
        return sample;
    }
    let entry = known(name).ok_or_else(|| unknown_fetch(name))?;
    let act = &entry.act;
    let (least, most) = act.arguments;
    if arguments.len() < least {
        return Err(Said::new(format!("'{name}' needs {least} argument(s) in parentheses")));
    }
    if arguments.len() > most {
        return Err(Said::new(format!("'{name}' takes no more than {most} argument(s)")));
    }
    let expr = Expr { fetch: (act.make)(scene, &Words { name, arguments })?, converters: (act.extra)() };
    Ok(Sample { expr, kind: act.kind, from: act.from, name: name.to_owned() })
}

/// An error when the value is never there in this phase.
pub(super) fn check_phase(sample: &Sample, phase: Phase) -> Done {
    if available(sample.from, phase) {
        return Ok(());
    }
    let (needs, hint) = match sample.from {
        Origin::Request => {
            ("the request head", "keep the value in a variable or a capture while the request is there")
        }
        Origin::Response | Origin::Status => ("the response head", "use it in http-response rules"),
        Origin::Server => ("the connection to the server", "use it in http-response rules and in logs"),
        Origin::Content | Origin::Anywhere => ("buffered bytes", "use it in tcp-request content rules"),
    };
    Err(Said::new(format!("'{}' needs {needs}, which is not there here", sample.name)).hint(hint))
}

/// True when values of this origin are there in the phase.
pub(super) fn available(from: Origin, phase: Phase) -> bool {
    match from {
        Origin::Anywhere => true,
        Origin::Request => matches!(phase, Phase::Request | Phase::Content),
        Origin::Response => matches!(phase, Phase::Response | Phase::Check),
        Origin::Status | Origin::Server => matches!(phase, Phase::Response | Phase::Log | Phase::Check),
        Origin::Content => matches!(phase, Phase::Content | Phase::Request | Phase::Check),
    }
}

fn unknown_fetch(name: &str) -> Said {
    if NOT_YET_FETCHES.iter().any(|p| name.starts_with(p)) {
        return Said::not_yet(format!("the fetch '{name}'"));
    }
    Said::new(format!("unknown fetch '{name}'"))
        .hint(keywords::nearest(name, FETCHES.iter().chain(LIVE).map(|f| f.name)))
}

/// Scope and name of a variable written as `scope.name`.
pub(super) fn variable_name(text: &str) -> Done<(Scope, Box<str>)> {
    let (scope, name) = text
        .split_once('.')
        .ok_or_else(|| Said::new(format!("'{text}' is no variable")).hint("write scope.name, as txn.host"))?;
    let scope = match scope {
        "proc" => Scope::Process,
        "sess" => Scope::Session,
        "txn" => Scope::Transaction,
        "req" => Scope::Request,
        "res" => Scope::Response,
        "check" => Scope::Check,
        other => {
            return Err(Said::new(format!("'{other}' is no scope of variables"))
                .hint("the scopes are proc, sess, txn, req and res"));
        }
    };
    let valid =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if !valid {
        return Err(Said::new(format!("'{text}' is no name of a variable")));
    }
    Ok((scope, name.into()))
}
