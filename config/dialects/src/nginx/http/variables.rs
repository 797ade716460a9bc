//! Variables: names to facts, texts with `$name` in them to templates.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::computed;
use super::pcre;
use plan::Problem;
use plan::host::{Computed, Pattern, VariableId};
use plan::rule::{
    EarlyFetch, Expr, Fact, Fetch, Piece, RecordField, Style, Template, UpstreamFact, VisitFact,
};
use regex::bytes::RegexBuilder;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Variables that steps and expressions may set.
const MOST: usize = 4096;

/// All variables of a configuration.
pub(in super::super) struct Variables<'t> {
    /// Those that steps, named groups and `auth_request_set` set.
    settable: RefCell<Vec<Box<str>>>,
    /// Names that something sets somewhere, found before anything is compiled.
    announced: Vec<String>,
    /// Those made by `map`, `geo`, `split_clients`, by name.
    makers: HashMap<&'t str, &'t Directive>,
    made: RefCell<HashMap<&'t str, Option<Arc<Computed>>>>,
    in_making: RefCell<Vec<&'t str>>,
}

impl<'t> Variables<'t> {
    /// Looks for all names that are set or computed anywhere in the block.
    pub fn new(scope: &Scope<'t>) -> Variables<'t> {
        let mut makers = HashMap::new();
        for directive in scope.own() {
            if let Some(name) = computed::name_of(directive) {
                makers.insert(name, directive);
            }
        }
        let mut announced = Vec::new();
        announce(scope.own(), &mut announced);
        Variables {
            settable: RefCell::default(),
            announced,
            makers,
            made: RefCell::default(),
            in_making: RefCell::default(),
        }
    }

    /// Names of the variables that can be set, by number.
    pub fn names(&self) -> Vec<Box<str>> {
        self.settable.borrow().clone()
    }

    /// Number of a variable that is set.
    pub fn settable(&self, directive: &Directive, name: &str) -> Result<VariableId, Problem> {
        if builtin(name).is_some() {
            return Err(directive.problem(format!("the duplicate \"{name}\" variable")));
        }
        self.number(directive, name)
    }

    fn number(&self, directive: &Directive, name: &str) -> Result<VariableId, Problem> {
        let mut all = self.settable.borrow_mut();
        let at = match all.iter().position(|known| &**known == name) {
            Some(at) => at,
            None if all.len() >= MOST => return Err(directive.problem("too many variables")),
            None => {
                all.push(name.into());
                all.len() - 1
            }
        };
        Ok(VariableId(at as u16))
    }

    /// A regular expression and the variables that its named groups set.
    pub fn pattern(&self, directive: &Directive, text: &str, ignore_case: bool) -> Result<Pattern, Problem> {
        let regex =
            RegexBuilder::new(&pcre::rust_form(text)).case_insensitive(ignore_case).unicode(false).build();
        let regex = regex.map_err(|error| {
            let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            directive
                .problem(format!("the regular expression \"{text}\" cannot be used: {why}"))
                .hint("look-around and back-references are not supported; say it with two conditions")
        })?;
        let mut named = Vec::new();
        for (group, name) in regex.capture_names().enumerate() {
            if let Some(name) = name {
                named.push((group, self.number(directive, name)?));
            }
        }
        Ok(Pattern { regex, named })
    }

    /// A text with `$name`, `${name}` and `$1` in it.
    pub fn template(&self, directive: &Directive, text: &str) -> Result<Template, Problem> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        for part in parts(text) {
            match part {
                Part::Text(text) => plain.push_str(text),
                Part::Variable("") => return Err(directive.problem("invalid variable name")),
                Part::Variable(name) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain).into_bytes().into()));
                    }
                    pieces.push(Piece::Value(Expr::of(self.fetch(directive, name)?), Style::default()));
                }
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into_bytes().into()));
        }
        Ok(Template(pieces))
    }

    /// What a variable is.
    pub fn fetch(&self, directive: &Directive, name: &str) -> Result<Fetch, Problem> {
        if let Some(fetch) = builtin(name) {
            return Ok(fetch);
        }
        if let Some(computed) = self.computed(directive, name)? {
            let computed = Fetch::Computed(computed);
            if !self.announced.iter().any(|known| known == name) {
                return Ok(computed);
            }
            // What is set counts for more than what would be computed.
            let set = Fetch::Visit(VisitFact::Variable(self.number(directive, name)?));
            return Ok(Fetch::Either(Box::new(Expr::of(set)), Box::new(Expr::of(computed))));
        }
        if self.announced.iter().any(|known| known == name) {
            return Ok(Fetch::Visit(VisitFact::Variable(self.number(directive, name)?)));
        }
        let known = self.announced.iter().map(String::as_str).chain(self.makers.keys().copied());
        let names = known.chain(BUILTIN.iter().map(|(name, _)| *name));
        let hint = plan::draft::nearest(name, names);
        Err(directive.problem(format!("unknown \"{name}\" variable")).hint(hint))
    }

    fn computed(&self, directive: &Directive, name: &str) -> Result<Option<Arc<Computed>>, Problem> {
        let Some((name, maker)) = self.makers.get_key_value(name) else { return Ok(None) };
        if let Some(made) = self.made.borrow().get(name) {
            return Ok(made.clone());
        }
        if self.in_making.borrow().contains(name) {
            return Err(directive.problem(format!("the variable \"{name}\" is made of itself")));
        }
        self.in_making.borrow_mut().push(name);
        let made = computed::make(maker, self);
        self.in_making.borrow_mut().pop();
        let made = Arc::new(made?);
        self.made.borrow_mut().insert(name, Some(Arc::clone(&made)));
        Ok(Some(made))
    }
}

/// Names that are set anywhere below.
fn announce(directives: &[Directive], names: &mut Vec<String>) {
    for directive in directives {
        if matches!(directive.name.as_str(), "set" | "auth_request_set") {
            names.extend(directive.argument(0).strip_prefix('$').map(str::to_owned));
        }
        for text in [&directive.name].into_iter().chain(&directive.arguments) {
            names.extend(group_names(text));
        }
        announce(directive.inner(), names);
    }
}

/// Names of the groups of an expression: `(?<name>`, `(?P<name>`, `(?'name'`.
fn group_names(text: &str) -> Vec<String> {
    let starts = text.match_indices("(?").map(|(at, _)| &text[at + 2..]);
    let name = |rest: &str| {
        let rest = rest.strip_prefix('P').unwrap_or(rest);
        let (rest, end) = match rest.strip_prefix('<') {
            Some(rest) => (rest, '>'),
            None => (rest.strip_prefix('\'')?, '\''),
        };
        let name = &rest[..rest.find(end)?];
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then(|| name.to_owned())
    };
    starts.filter_map(name).collect()
}

/// A part of a text.
enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// A text cut at its variables. A `$` without a name behind it is an empty name.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        all.push(Part::Text(&rest[..at]));
        rest = &rest[at + 1..];
        let (name, after) = if let Some(inner) = rest.strip_prefix('{') {
            match inner.find('}') {
                Some(end) => (&inner[..end], &inner[end + 1..]),
                None => ("", ""),
            }
        } else if rest.starts_with(|sign: char| sign.is_ascii_digit()) {
            rest.split_at(1)
        } else {
            let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
            rest.split_at(rest.find(|sign| !is_name(sign)).unwrap_or(rest.len()))
        };
        all.push(Part::Variable(name));
        rest = after;
    }
    all.push(Part::Text(rest));
    all
}

/// What a variable of nginx's own is.
pub(in super::super) fn builtin(name: &str) -> Option<Fetch> {
    if let Ok(group) = name.parse::<usize>()
        && group < 10
    {
        return Some(Fetch::Visit(VisitFact::Group(group)));
    }
    if let Some((_, make)) = BUILTIN.iter().find(|(known, _)| *known == name) {
        return Some(make());
    }
    let prefixes: [(&str, Named); 8] = [
        ("http_", VisitFact::Header),
        ("sent_http_", VisitFact::SentHeader),
        ("sent_trailer_", VisitFact::SentTrailer),
        ("upstream_http_", VisitFact::UpstreamHeader),
        ("upstream_cookie_", VisitFact::UpstreamCookie),
        ("upstream_trailer_", VisitFact::UpstreamTrailer),
        ("cookie_", VisitFact::Cookie),
        ("arg_", VisitFact::Argument),
    ];
    let named = prefixes.iter().find_map(|(prefix, make)| {
        let rest = name.strip_prefix(prefix)?;
        Some(make(rest.to_ascii_lowercase().into()))
    });
    named.map(Fetch::Visit)
}

type Make = fn() -> Fetch;
/// Makes the fact whose name begins with a prefix.
type Named = fn(Box<str>) -> VisitFact;

macro_rules! visit {
    ($fact:ident) => {
        || Fetch::Visit(VisitFact::$fact)
    };
}

macro_rules! upstream {
    ($fact:ident) => {
        || Fetch::Visit(VisitFact::Upstream(UpstreamFact::$fact))
    };
}

macro_rules! header {
    ($name:literal) => {
        || Fetch::Visit(VisitFact::Header($name.into()))
    };
}

/// Variables with a fixed name, sorted.
const BUILTIN: &[(&str, Make)] = &[
    ("args", visit!(Arguments)),
    ("binary_remote_addr", visit!(ClientAddressBinary)),
    ("body_bytes_sent", visit!(BodyBytesSent)),
    ("bytes_received", visit!(BytesReceived)),
    ("bytes_sent", visit!(BytesSent)),
    ("connection", visit!(Connection)),
    ("connection_requests", visit!(ConnectionRequests)),
    ("connection_time", visit!(ConnectionTime)),
    ("connections_active", visit!(ConnectionsActive)),
    ("connections_reading", visit!(ConnectionsReading)),
    ("connections_waiting", visit!(ConnectionsWaiting)),
    ("connections_writing", visit!(ConnectionsWriting)),
    ("content_length", header!("content-length")),
    ("content_type", header!("content-type")),
    ("document_root", visit!(Root)),
    ("document_uri", visit!(Path)),
    ("host", visit!(Host)),
    ("hostname", || Fetch::Record(RecordField::Hostname)),
    ("https", visit!(Https)),
    ("is_args", visit!(QuestionMark)),
    ("limit_conn_status", visit!(ConnectionLimit)),
    ("limit_rate", visit!(Rate)),
    ("limit_req_status", visit!(RequestLimit)),
    ("mainstay_cause", || Fetch::Record(RecordField::Cause)),
    ("msec", visit!(UnixTime)),
    ("nginx_version", visit!(Version)),
    ("pid", || Fetch::Fact(Fact::ProcessId)),
    ("pipe", visit!(Pipelined)),
    ("protocol", visit!(Protocol)),
    ("proxy_add_x_forwarded_for", visit!(ForwardedFor)),
    ("proxy_host", visit!(ProxyHost)),
    ("proxy_port", visit!(ProxyPort)),
    ("proxy_protocol_addr", visit!(ToldClientAddress)),
    ("proxy_protocol_port", visit!(ToldClientPort)),
    ("proxy_protocol_server_addr", visit!(ToldServerAddress)),
    ("proxy_protocol_server_port", visit!(ToldServerPort)),
    ("query_string", visit!(Arguments)),
    ("realip_remote_addr", visit!(PeerAddress)),
    ("realip_remote_port", visit!(PeerPort)),
    ("realpath_root", visit!(RealRoot)),
    ("remote_addr", visit!(ClientAddress)),
    ("remote_port", visit!(ClientPort)),
    ("remote_user", visit!(User)),
    ("request", visit!(RequestLine)),
    ("request_body", visit!(Body)),
    ("request_body_file", visit!(BodyFile)),
    ("request_completion", visit!(Completion)),
    ("request_filename", visit!(FileName)),
    ("request_id", visit!(RequestId)),
    ("request_length", visit!(RequestLength)),
    ("request_method", || Fetch::Method),
    ("request_time", visit!(RequestTime)),
    ("request_uri", visit!(RequestTarget)),
    ("scheme", visit!(Scheme)),
    ("server_addr", || Fetch::LocalAddress),
    ("server_name", visit!(ServerName)),
    ("server_port", || Fetch::LocalPort),
    ("server_protocol", || Fetch::Record(RecordField::Version)),
    ("session_time", visit!(SessionTime)),
    ("ssl_preread_alpn_protocols", || Fetch::Early(Box::new(EarlyFetch::HelloProtocols))),
    ("ssl_preread_protocol", || Fetch::Early(Box::new(EarlyFetch::HelloProtocol))),
    ("ssl_preread_server_name", || Fetch::Early(Box::new(EarlyFetch::HelloServerName))),
    ("status", visit!(Status)),
    ("time_iso8601", visit!(TimeIso)),
    ("time_local", visit!(TimeLocal)),
    ("upstream_addr", upstream!(Address)),
    ("upstream_bytes_received", upstream!(BytesReceived)),
    ("upstream_bytes_sent", upstream!(BytesSent)),
    ("upstream_cache_last_modified", upstream!(CacheLastModified)),
    ("upstream_cache_status", upstream!(CacheStatus)),
    ("upstream_connect_time", upstream!(ConnectTime)),
    ("upstream_first_byte_time", upstream!(FirstByteTime)),
    ("upstream_header_time", upstream!(HeaderTime)),
    ("upstream_response_length", upstream!(ResponseLength)),
    ("upstream_response_time", upstream!(ResponseTime)),
    ("upstream_session_time", upstream!(SessionTime)),
    ("upstream_status", upstream!(Status)),
    ("uri", visit!(Path)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_once() {
        assert!(BUILTIN.windows(2).all(|two| two[0].0 < two[1].0));
    }

    #[test]
    fn expressions_are_read_as_pcre_means_them() {
        assert_eq!(pcre::rust_form(r"^/a\/b(?'x'\d+)\.html$"), r"^/a/b(?P<x>\d+)\.html$");
        assert_eq!(pcre::rust_form(r"\:\,\w"), r":,\w");
        assert_eq!(group_names("~^(?<one>a)(?P<two>b)(?:c)(?'three'd)"), ["one", "two", "three"]);
    }
}
