//! Does what came fit an expectation? And how a failure is told.

use super::answer::Answer;
use super::facts::parts;
use super::machine::Machine;
use plan::check::{Expect, Expectation, HeaderExpectation, TextExpectation};
use plan::rule::{Template, TextMatch, TextPatterns};
use std::borrow::Cow;

/// How an expectation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may still come.
    Open,
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
}

/// An expectation on bytes. `last` when no more will come.
pub(super) fn bytes(machine: &Machine<'_>, expect: &Expect, last: bool) -> Standing {
    let received = &machine.received;
    // Fewer bytes than an exact text has say nothing yet, whatever the least is.
    let least = exact_length(&expect.what).unwrap_or(expect.least.unwrap_or(0) as usize);
    if !last && received.len() < least {
        return Standing::Open;
    }
    let matched = contains(machine, &expect.what, received);
    settle(matched, expect.negate, last || expect.least.is_some())
}

/// An expectation on an HTTP answer whose head is there.
pub(super) fn http(machine: &Machine<'_>, expect: &Expect, answer: &Answer, last: bool) -> Standing {
    let status = answer.head.status;
    let matched = match &expect.what {
        Expectation::Status(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&status)),
        Expectation::StatusRegex(regex) => regex.is_match(status.to_string().as_bytes()),
        Expectation::Header(header) => has_header(machine, header, answer),
        body => {
            let enough = expect.least.is_some_and(|least| answer.body.len() >= least as usize);
            let found = contains(machine, body, &answer.body);
            return settle(found, expect.negate, last || answer.is_whole() || enough);
        }
    };
    settle(matched, expect.negate, true)
}

/// True when the expectation is on the body, not on the head.
pub(super) fn is_of_body(what: &Expectation) -> bool {
    !matches!(what, Expectation::Status(_) | Expectation::StatusRegex(_) | Expectation::Header(_))
}

/// What is said of an expectation on bytes that failed.
pub(super) fn failure_of_bytes(expect: &Expect, step: usize) -> String {
    let what = if expect.negate { "TCPCHK matched unwanted content" } else { "TCPCHK did not match content" };
    let detail = match &expect.what {
        Expectation::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        Expectation::Binary(_) => "(binary)".into(),
        Expectation::Regex(_) => "(regex)".into(),
        Expectation::HexRegex(_) => "(binary regex)".into(),
        Expectation::Template(_) => "(log-format string)".into(),
        Expectation::HexTemplate(_) => "(log-format binary)".into(),
        Expectation::Status(_) | Expectation::StatusRegex(_) => "(status codes)".into(),
        Expectation::Header(_) => "(header pattern)".into(),
    };
    format!("{what} {detail} at step {step}")
}

/// What is said of an expectation on a body that failed.
pub(super) fn failure_of_body(expect: &Expect, answer: &Answer) -> &'static str {
    match (expect.negate, answer.body.is_empty()) {
        (_, true) => "HTTP content check could not find a response body",
        (true, false) => "HTTP check matched unwanted content",
        (false, false) => "HTTP content check did not match",
    }
}

/// The expectation as log texts name it.
pub(super) fn named(what: &Expectation, http: bool) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (what, http) {
        (Expectation::Text(bytes), true) => format!("HTTP body content '{}'", text(bytes)),
        (Expectation::Text(bytes), false) => format!("string '{}'", text(bytes)),
        (Expectation::Binary(bytes), _) => format!("binary '{}'", text(bytes)),
        (Expectation::Regex(_), true) => "HTTP body regex".into(),
        (Expectation::Regex(_), false) => "regex".into(),
        (Expectation::HexRegex(_), _) => "binary regex".into(),
        (Expectation::Template(_), true) => "log-format HTTP body".into(),
        (Expectation::Template(_), false) => "log-format string".into(),
        (Expectation::HexTemplate(_), _) => "log-format binary".into(),
        (Expectation::Status(_), _) => "HTTP status codes".into(),
        (Expectation::StatusRegex(_), _) => "HTTP status regex".into(),
        (Expectation::Header(_), _) => "HTTP header pattern".into(),
    }
}

/// The bytes that hexadecimal digits stand for; blanks between them are passed over. `None` when they are no such
/// digits, or an odd number of them.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = digits
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| (*byte as char).to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn settle(matched: bool, negate: bool, conclusive: bool) -> Standing {
    match (matched, negate) {
        (true, false) => Standing::Holds,
        (true, true) => Standing::Fails,
        (false, _) if !conclusive => Standing::Open,
        (false, true) => Standing::Holds,
        (false, false) => Standing::Fails,
    }
}

fn exact_length(what: &Expectation) -> Option<usize> {
    match what {
        Expectation::Text(text) | Expectation::Binary(text) => Some(text.len()),
        _ => None,
    }
}

fn contains(machine: &Machine<'_>, what: &Expectation, received: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(received, part).is_some();
    match what {
        Expectation::Text(text) | Expectation::Binary(text) => holds(text),
        Expectation::Regex(regex) => regex.is_match(received),
        Expectation::HexRegex(regex) => regex.is_match(hex(received).as_bytes()),
        Expectation::Template(template) => holds(&template.text(machine)),
        Expectation::HexTemplate(template) => {
            unhex(&template.text(machine)).is_some_and(|bytes| holds(&bytes))
        }
        Expectation::Status(_) | Expectation::StatusRegex(_) | Expectation::Header(_) => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn has_header(machine: &Machine<'_>, header: &HeaderExpectation, answer: &Answer) -> bool {
    let name = Pattern::of(machine, &header.name, true);
    let value = header.value.as_ref().map(|value| Pattern::of(machine, value, false));
    answer.head.fields.pairs().filter(|(field, _)| name.accepts(field)).any(|(_, line)| match &value {
        None => true,
        Some(value) => parts(line, header.whole_line).any(|part| value.accepts(part)),
    })
}

/// A text to compare with, its values filled in once.
enum Pattern<'e> {
    Text(TextPatterns),
    Regex(&'e regex::bytes::Regex),
}

impl<'e> Pattern<'e> {
    fn of(machine: &Machine<'_>, expectation: &'e TextExpectation, ignore_case: bool) -> Pattern<'e> {
        match expectation {
            TextExpectation::Text(how, template) => {
                Pattern::Text(TextPatterns::new(*how, ignore_case, [filled(machine, template)]))
            }
            TextExpectation::Regex(regex) => Pattern::Regex(regex),
        }
    }

    fn accepts(&self, text: &[u8]) -> bool {
        match self {
            // An empty pattern, as of a variable that is not set, fits nothing but the whole of nothing.
            Pattern::Text(patterns) if patterns.texts().all(<[u8]>::is_empty) => {
                patterns.how == TextMatch::Exact && text.is_empty()
            }
            Pattern::Text(patterns) => patterns.accept(text),
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

fn filled(machine: &Machine<'_>, template: &Template) -> Vec<u8> {
    match template.as_fixed() {
        Some(text) => Cow::Borrowed(text).into_owned(),
        None => template.text(machine),
    }
}
