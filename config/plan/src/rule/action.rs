//! What is done: actions, in the order of their rules, by phase.

use super::{Condition, Expr, List, Template, Which};
use crate::log::Severity;
use crate::pages::Answer;
use crate::place::Place;
use crate::table::{Track, TrackedChange};
use regex::bytes::Regex;
use std::sync::Arc;

/// Rules of a site or a pool by phase.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// When a connection was accepted, before any byte is read.
    pub connection: Vec<Rule>,
    /// When it is known who connected: behind PROXY header and handshakes.
    pub session: Vec<Rule>,
    /// When the first bytes are there (TCP), up to the inspection delay.
    pub content: Vec<Rule>,
    /// When the first bytes of a server's answer are there.
    pub response_content: Vec<Rule>,
    /// When a request head was read.
    pub request: Vec<Rule>,
    /// When a response head came from a server.
    pub response: Vec<Rule>,
    /// On every response, also our own, just before it leaves.
    pub after_response: Vec<Rule>,
}

/// An action under a condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it was said.
    pub place: Place,
    /// When.
    pub condition: Condition,
    /// What.
    pub action: Action,
}

/// What a rule does. Actions that end the phase say so.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ends the phase: go on.
    Allow,
    /// Ends the request: our own answer, counted as denied.
    Deny(Arc<Answer>),
    /// As `Deny`, after holding the client for the tarpit time-out.
    Tarpit(Arc<Answer>),
    /// Ends the request: our own answer.
    Answer(Arc<Answer>),
    /// Ends the request: the counters in Prometheus' text format.
    Metrics,
    /// Ends the request: a redirect.
    Redirect(Arc<Redirect>),
    /// Ends the connection without an answer.
    Reject,
    /// Ends the connection without telling the client.
    SilentDrop,
    /// Ends the request with 401 until the client authenticates (RFC 7617).
    Authenticate {
        /// Realm shown to the user.
        realm: Box<str>,
    },
    /// Replaces all values of a header.
    SetHeader(Box<str>, Template),
    /// Adds a header.
    AddHeader(Box<str>, Template),
    /// Removes headers.
    DelHeader(HeaderMatch),
    /// Rewrites each line of a header that matches.
    ReplaceHeader(Box<str>, Regex, RegexTemplate),
    /// Rewrites each comma-separated value of a header that matches.
    ReplaceValue(Box<str>, Regex, RegexTemplate),
    /// Sets the method.
    SetMethod(Template),
    /// Sets the path, keeping the query.
    SetPath(Template),
    /// Sets path and query.
    SetPathAndQuery(Template),
    /// Sets the query.
    SetQuery(Template),
    /// Sets the whole target.
    SetTarget(Template),
    /// Rewrites the path when it matches.
    ReplacePath(Regex, RegexTemplate),
    /// Rewrites path and query when they match.
    ReplacePathAndQuery(Regex, RegexTemplate),
    /// Rewrites the whole target when it matches.
    ReplaceTarget(Regex, RegexTemplate),
    /// Sets the response status and, when given, the reason.
    SetStatus(u16, Option<Box<str>>),
    /// Sets a variable from an expression.
    SetVariable(Scope, Box<str>, Expr),
    /// Sets a variable from a template.
    SetVariableText(Scope, Box<str>, Template),
    /// Removes a variable.
    UnsetVariable(Scope, Box<str>),
    /// Level of the log line; `None` = no log line.
    SetLogLevel(Option<Severity>),
    /// Takes the client's address from this value.
    SetClientAddress(Expr),
    /// Keeps a value in a request capture slot.
    Capture(Expr, usize),
    /// Begins to track a key in a table.
    Track(Box<Track>),
    /// Changes what the entry keeps that is tracked.
    ChangeTracked(Box<TrackedChange>),
    /// Changes the course of the request.
    Course(Box<super::Course>),
    /// Changes a list of patterns.
    ChangeList(ListChange),
}

/// A change of a list of patterns.
#[derive(Clone, Debug)]
pub struct ListChange {
    /// The list.
    pub list: Arc<List>,
    /// What happens to the entry.
    pub act: ListAct,
    /// Its key.
    pub key: Template,
}

/// What happens to an entry of a list.
#[derive(Clone, Debug)]
pub enum ListAct {
    /// It is added unless it is there.
    Add,
    /// It is removed.
    Remove,
    /// It gets this value, or is added with it.
    Set(Template),
}

impl ListChange {
    /// Makes the change. Entries that do not fit the list's uses change nothing.
    pub fn make(&self, facts: &dyn super::Facts) {
        let key = self.key.text(facts);
        let done = match &self.act {
            ListAct::Add => self.list.add_missing(&key),
            ListAct::Remove => self.list.remove(Which::Key(&key)),
            ListAct::Set(value) => self.list.set_or_add(&key, &value.text(facts)),
        };
        let _ = done; // what the client sent may well not fit
    }
}

/// Which headers to remove.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// How names are compared.
    pub pattern: TextPattern,
}

/// A pattern on a header name; letters compare without case.
#[derive(Clone, Debug)]
pub enum TextPattern {
    /// The whole name.
    Exact(Box<str>),
    /// Its beginning.
    Prefix(Box<str>),
    /// Its end.
    Suffix(Box<str>),
    /// Any part.
    Substring(Box<str>),
    /// An expression.
    Regex(Regex),
}

impl TextPattern {
    /// True when `name` matches.
    pub fn accepts(&self, name: &[u8]) -> bool {
        let folded = name.to_ascii_lowercase();
        let lower = |p: &str| p.to_ascii_lowercase().into_bytes();
        match self {
            TextPattern::Exact(p) => name.eq_ignore_ascii_case(p.as_bytes()),
            TextPattern::Prefix(p) => folded.starts_with(&lower(p)),
            TextPattern::Suffix(p) => folded.ends_with(&lower(p)),
            TextPattern::Substring(p) => {
                p.is_empty() || folded.windows(p.len()).any(|w| w == lower(p).as_slice())
            }
            TextPattern::Regex(re) => re.is_match(name),
        }
    }
}

/// A template in which `\1` … `\9` stand for groups of a match.
#[derive(Clone, Debug)]
pub struct RegexTemplate(pub Template);

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// Status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// How the location is made.
    pub kind: RedirectKind,
    /// The query is left out.
    pub drop_query: bool,
    /// A missing `/` is put at the end of the path.
    pub append_slash: bool,
    /// The query is put behind a location that is said whole.
    pub keep_query: bool,
    /// A `Set-Cookie` value to add.
    pub set_cookie: Option<Template>,
    /// When the location is empty, go on instead.
    pub ignore_empty: bool,
}

/// How the location of a redirect is made.
#[derive(Clone, Debug)]
pub enum RedirectKind {
    /// This text.
    Location(Template),
    /// This text followed by path and query.
    Prefix(Template),
    /// This scheme, the request's host, path and query.
    Scheme(Template),
}

/// Life of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The process.
    Process,
    /// The connection.
    Session,
    /// Request and response.
    Transaction,
    /// The request.
    Request,
    /// The response.
    Response,
    /// One run of a health check.
    Check,
}

/// Users that may authenticate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Userlist {
    /// Name.
    pub name: String,
    /// User name and password, hashed as crypt(5) unless `insecure`.
    pub users: Vec<(String, Password)>,
}

/// A password as the configuration has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// As it is.
    Plain(String),
    /// Hashed, crypt(5).
    Hashed(String),
}

impl std::fmt::Debug for Password {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}
