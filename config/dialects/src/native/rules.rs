//! `rules:`: actions by phase.

use super::course;
use super::emit::Out;
use super::form::{Fields, Fieldset, Form, read_pairs};
use super::leaf::{self, SEVERITIES};
use super::pages::answer_map;
use super::reader::Reader;
use super::values::SCOPES;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::Place;
use plan::draft::nearest;
use plan::pages::Answer;
use plan::rule::{
    Action, Condition, Expr, HeaderMatch, Redirect, RedirectKind, RegexTemplate, Rule, Rules, Scope,
    Template, TextPattern,
};
use regex::bytes::Regex;
use std::sync::Arc;

/// Names of the actions, for reading and for hints.
pub(super) const ACTIONS: &[&str] = &[
    "allow",
    "deny",
    "tarpit",
    "answer",
    "redirect",
    "reject",
    "silent_drop",
    "authenticate",
    "set_header",
    "add_header",
    "del_header",
    "replace_header",
    "replace_value",
    "set_method",
    "set_path",
    "set_path_and_query",
    "set_query",
    "set_target",
    "replace_path",
    "replace_path_and_query",
    "replace_target",
    "set_status",
    "set_variable",
    "set_variable_text",
    "unset_variable",
    "set_log_level",
    "set_client_address",
    "capture",
    "metrics",
];

impl Fieldset for Rules {
    fn blank() -> Rules {
        Rules::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Rules { connection, session, content, response_content, request, response, after_response } =
            self;
        f.lines("connection", connection);
        f.lines("session", session);
        f.lines("content", content);
        f.lines("response_content", response_content);
        f.lines("request", request);
        f.lines("response", response);
        f.lines("after_response", after_response);
    }
}

/// An action, alone as a word or `action: arguments` with `when: condition`.
impl Form for Rule {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Rule> {
        let place = reader.place(node.spot);
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            Kind::Scalar { text, .. } => {
                let action = read_action(text, node, node, reader)?;
                return Some(Rule { place, condition: Condition::Always, action });
            }
            Kind::List(_) => {
                reader.problem(node.spot, "a rule (action: …) is expected here, not a list", "");
                return None;
            }
        };
        let condition = match entries.iter().find(|(key, _)| key.text == "when") {
            Some((_, node)) => Condition::read(node, reader),
            None => Some(Condition::Always),
        };
        let mut actions = entries.iter().filter(|(key, _)| key.text != "when");
        let Some((key, value)) = actions.next() else {
            reader.problem(node.spot, "this rule says no action", "write one, as 'deny: 403'");
            return None;
        };
        for (key, _) in actions {
            let hint = nearest(&key.text, std::iter::once("when"));
            let hint = if hint.is_empty() { "a rule has one action and 'when'".to_owned() } else { hint };
            reader.problem(key.spot, format!("'{}' is one word too many here", key.text), hint);
        }
        let named = Node { spot: key.spot, kind: Kind::Scalar { text: key.text.clone(), plain: true } };
        let action = read_action(&key.text, &named, value, reader)?;
        Some(Rule { place, condition: condition?, action })
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let Rule { place, condition, action } = self;
        writer.place = place.clone();
        let (name, argument) = write_action(action, writer);
        let when = (!matches!(condition, Condition::Always)).then(|| condition.written(writer));
        match (argument, when) {
            (None, None) => Out::word(name),
            (argument, when) => {
                let argument = argument.unwrap_or_else(|| Out::word("true"));
                let entries = std::iter::once((name.to_owned(), argument));
                Out::Map(entries.chain(when.map(|when| ("when".to_owned(), when))).collect())
            }
        }
    }
}

fn read_action(name: &str, named: &Node, node: &Node, reader: &mut Reader<'_>) -> Option<Action> {
    Some(match name {
        "allow" => bare(Action::Allow, name, named, node, reader)?,
        "reject" => bare(Action::Reject, name, named, node, reader)?,
        "silent_drop" => bare(Action::SilentDrop, name, named, node, reader)?,
        "metrics" => bare(Action::Metrics, name, named, node, reader)?,
        "deny" => Action::Deny(Arc::new(Answer::read(node, reader)?)),
        "tarpit" => Action::Tarpit(Arc::new(Answer::read(node, reader)?)),
        "answer" => Action::Answer(Arc::new(Answer::read(node, reader)?)),
        "redirect" => Action::Redirect(Arc::new(Redirect::read(node, reader)?)),
        "authenticate" => Action::Authenticate { realm: Form::read(node, reader)? },
        "set_header" => pair(node, reader, Action::SetHeader)?,
        "add_header" => pair(node, reader, Action::AddHeader)?,
        "del_header" => Action::DelHeader(HeaderMatch { pattern: TextPattern::read(node, reader)? }),
        "replace_header" => Replace::read(node, reader)?.with_name(Action::ReplaceHeader, node, reader)?,
        "replace_value" => Replace::read(node, reader)?.with_name(Action::ReplaceValue, node, reader)?,
        "set_method" => Action::SetMethod(Form::read(node, reader)?),
        "set_path" => Action::SetPath(Form::read(node, reader)?),
        "set_path_and_query" => Action::SetPathAndQuery(Form::read(node, reader)?),
        "set_query" => Action::SetQuery(Form::read(node, reader)?),
        "set_target" => Action::SetTarget(Form::read(node, reader)?),
        "replace_path" => Replace::read(node, reader)?.without_name(Action::ReplacePath, node, reader)?,
        "replace_path_and_query" => {
            Replace::read(node, reader)?.without_name(Action::ReplacePathAndQuery, node, reader)?
        }
        "replace_target" => Replace::read(node, reader)?.without_name(Action::ReplaceTarget, node, reader)?,
        "set_status" => {
            let status = Status::read(node, reader)?;
            Action::SetStatus(status.status, status.reason)
        }
        "set_variable" => variable(node, reader, Action::SetVariable)?,
        "set_variable_text" => variable(node, reader, Action::SetVariableText)?,
        "unset_variable" => {
            let (scope, name) = leaf::parsed(node, "a variable such as req.name", reader, scoped)?;
            Action::UnsetVariable(scope, name)
        }
        "set_log_level" => {
            Action::SetLogLevel(leaf::word(node, "a level such as info, or silent", &levels(), reader)?)
        }
        "set_client_address" => Action::SetClientAddress(Form::read(node, reader)?),
        "capture" => {
            let capture = Capture::read(node, reader)?;
            Action::Capture(capture.value, capture.slot)
        }
        other if course::NAMES.contains(&other) => {
            Action::Course(Box::new(course::read(other, node, reader)?))
        }
        other => {
            let hint = nearest(other, ACTIONS.iter().chain(course::NAMES).copied());
            reader.problem(named.spot, format!("'{other}' is no action"), hint);
            return None;
        }
    })
}

/// The name of an action and what it is given.
fn write_action(action: &Action, writer: &mut Writer) -> (&'static str, Option<Out>) {
    let replace = |name: Option<&str>, pattern: &Regex, with: &RegexTemplate, writer: &mut Writer| {
        Replace { header: name.map(str::to_owned), pattern: Some(pattern.clone()), with: with.clone() }
            .written(writer)
    };
    let (name, out) = match action {
        Action::Allow => return ("allow", None),
        Action::Reject => return ("reject", None),
        Action::SilentDrop => return ("silent_drop", None),
        Action::Metrics => return ("metrics", None),
        Action::Deny(answer) => ("deny", answer_map(answer, writer)),
        Action::Tarpit(answer) => ("tarpit", answer_map(answer, writer)),
        Action::Answer(answer) => ("answer", answer_map(answer, writer)),
        Action::Redirect(redirect) => ("redirect", redirect.written(writer)),
        Action::Authenticate { realm } => ("authenticate", realm.written(writer)),
        Action::SetHeader(name, text) => ("set_header", one(name, text.written(writer))),
        Action::AddHeader(name, text) => ("add_header", one(name, text.written(writer))),
        Action::DelHeader(HeaderMatch { pattern }) => ("del_header", pattern.written(writer)),
        Action::ReplaceHeader(name, re, with) => ("replace_header", replace(Some(name), re, with, writer)),
        Action::ReplaceValue(name, re, with) => ("replace_value", replace(Some(name), re, with, writer)),
        Action::SetMethod(text) => ("set_method", text.written(writer)),
        Action::SetPath(text) => ("set_path", text.written(writer)),
        Action::SetPathAndQuery(text) => ("set_path_and_query", text.written(writer)),
        Action::SetQuery(text) => ("set_query", text.written(writer)),
        Action::SetTarget(text) => ("set_target", text.written(writer)),
        Action::ReplacePath(re, with) => ("replace_path", replace(None, re, with, writer)),
        Action::ReplacePathAndQuery(re, with) => ("replace_path_and_query", replace(None, re, with, writer)),
        Action::ReplaceTarget(re, with) => ("replace_target", replace(None, re, with, writer)),
        Action::SetStatus(status, reason) => {
            ("set_status", Status { status: *status, reason: reason.clone() }.written(writer))
        }
        Action::SetVariable(scope, name, expr) => {
            ("set_variable", one(&unscoped(*scope, name), expr.written(writer)))
        }
        Action::SetVariableText(scope, name, text) => {
            ("set_variable_text", one(&unscoped(*scope, name), text.written(writer)))
        }
        Action::UnsetVariable(scope, name) => ("unset_variable", Out::Text(unscoped(*scope, name))),
        Action::SetLogLevel(level) => ("set_log_level", Out::word(leaf::name_of(level, &levels()))),
        Action::SetClientAddress(expr) => ("set_client_address", expr.written(writer)),
        Action::Course(course) => course::written(course, writer),
        Action::Capture(value, slot) => {
            ("capture", Capture { value: value.clone(), slot: *slot }.written(writer))
        }
        Action::Track(_) | Action::ChangeTracked(_) => {
            writer.unsaid("tracking in a stick table");
            return ("track", None);
        }
        Action::ChangeList(change) => {
            writer.problem(format!("a change of the list '{}' cannot be said here", change.list.name), "");
            return ("allow", None);
        }
    };
    (name, Some(out))
}

/// An action without arguments: `- allow`, or `allow: true` beside `when`.
fn bare(action: Action, name: &str, named: &Node, node: &Node, reader: &mut Reader<'_>) -> Option<Action> {
    match &node.kind {
        Kind::Scalar { text, .. } if text == "true" || (text == name && named.spot == node.spot) => {
            Some(action)
        }
        _ => {
            reader.problem(node.spot, format!("'{name}' takes nothing"), format!("write '{name}: true'"));
            None
        }
    }
}

pub(super) fn one(name: &str, value: Out) -> Out {
    Out::Map(vec![(name.to_owned(), value)])
}

/// `{ name: value }` with one name.
pub(super) fn pair_of<T: Form>(node: &Node, reader: &mut Reader<'_>) -> Option<(String, T)> {
    let mut pairs = read_pairs(node, reader)?;
    if pairs.len() > 1 {
        reader.problem(node.spot, "one name with one value is expected here", "write a rule for each");
        return None;
    }
    pairs.pop()
}

fn pair<T: Form>(node: &Node, reader: &mut Reader<'_>, make: fn(Box<str>, T) -> Action) -> Option<Action> {
    pair_of(node, reader).map(|(name, value)| make(name.into(), value))
}

fn variable<T: Form>(
    node: &Node,
    reader: &mut Reader<'_>,
    make: fn(Scope, Box<str>, T) -> Action,
) -> Option<Action> {
    let (name, value) = pair_of(node, reader)?;
    let Some((scope, name)) = scoped(&name) else {
        let scopes: Vec<&str> = SCOPES.iter().map(|(name, _)| *name).collect();
        reader.problem(
            node.spot,
            format!("'{name}' is no variable"),
            format!("write SCOPE.NAME; the scopes are {}", scopes.join(", ")),
        );
        return None;
    };
    Some(make(scope, name, value))
}

pub(super) fn scoped(text: &str) -> Option<(Scope, Box<str>)> {
    let (scope, name) = text.split_once('.').filter(|(_, name)| !name.is_empty())?;
    let (_, scope) = SCOPES.iter().find(|(known, _)| *known == scope)?;
    Some((*scope, name.into()))
}

pub(super) fn unscoped(scope: Scope, name: &str) -> String {
    format!("{}.{name}", leaf::name_of(&scope, SCOPES))
}

fn levels() -> Vec<(&'static str, Option<plan::Severity>)> {
    let levels = SEVERITIES.iter().map(|(name, level)| (*name, Some(*level)));
    levels.chain(std::iter::once(("silent", None))).collect()
}

/// A rewriting by expression.
#[derive(Clone)]
struct Replace {
    header: Option<String>,
    pattern: Option<Regex>,
    with: RegexTemplate,
}

impl Replace {
    fn with_name(
        self,
        make: fn(Box<str>, Regex, RegexTemplate) -> Action,
        node: &Node,
        reader: &mut Reader<'_>,
    ) -> Option<Action> {
        if self.header.is_none() {
            reader.problem(node.spot, "'header' is missing here", "");
        }
        Some(make(self.header?.into(), self.pattern?, self.with))
    }

    fn without_name(
        self,
        make: fn(Regex, RegexTemplate) -> Action,
        node: &Node,
        reader: &mut Reader<'_>,
    ) -> Option<Action> {
        if self.header.is_some() {
            reader.problem(node.spot, "'header' has no meaning here", "remove it");
        }
        Some(make(self.pattern?, self.with))
    }
}

impl Fieldset for Replace {
    fn blank() -> Replace {
        Replace { header: None, pattern: None, with: RegexTemplate(Template::default()) }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.option("header", &mut self.header);
        f.needed("match", &mut self.pattern);
        f.required("with", &mut self.with);
    }
}

#[derive(Clone)]
struct Status {
    status: u16,
    reason: Option<Box<str>>,
}

impl Fieldset for Status {
    const MAIN: &'static str = "status";

    fn blank() -> Status {
        Status { status: 0, reason: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("status", &mut self.status);
        f.option("reason", &mut self.reason);
    }
}

#[derive(Clone)]
struct Capture {
    value: Expr,
    slot: usize,
}

impl Fieldset for Capture {
    fn blank() -> Capture {
        Capture { value: Expr::of(plan::Fetch::Path), slot: 0 }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("value", &mut self.value);
        f.required("slot", &mut self.slot);
    }
}

impl Fieldset for Redirect {
    fn blank() -> Redirect {
        Redirect {
            status: 302,
            kind: RedirectKind::Location(Template::default()),
            drop_query: false,
            append_slash: false,
            keep_query: false,
            set_cookie: None,
            ignore_empty: false,
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Redirect { status, kind, drop_query, append_slash, keep_query, set_cookie, ignore_empty } = self;
        let (mut location, mut prefix, mut scheme) = match kind.clone() {
            _ if f.reads() => (None, None, None),
            RedirectKind::Location(text) => (Some(text), None, None),
            RedirectKind::Prefix(text) => (None, Some(text), None),
            RedirectKind::Scheme(text) => (None, None, Some(text)),
        };
        f.option("location", &mut location);
        f.option("prefix", &mut prefix);
        f.option("scheme", &mut scheme);
        match (location, prefix, scheme) {
            (Some(text), None, None) => *kind = RedirectKind::Location(text),
            (None, Some(text), None) => *kind = RedirectKind::Prefix(text),
            (None, None, Some(text)) => *kind = RedirectKind::Scheme(text),
            _ => f.refuse("a redirect has one of location, prefix and scheme", ""),
        }
        f.value("status", status, &302);
        f.flag("drop_query", drop_query);
        f.flag("append_slash", append_slash);
        f.flag("keep_query", keep_query);
        f.option("set_cookie", set_cookie);
        f.flag("ignore_empty", ignore_empty);
    }
}

/// A name, or how names are compared and with what.
impl Form for TextPattern {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<TextPattern> {
        let Kind::Map(entries) = &node.kind else { return Form::read(node, reader).map(TextPattern::Exact) };
        let [(key, value)] = entries.as_slice() else {
            reader.problem(node.spot, "one of starts, ends, contains and matches is expected here", "");
            return None;
        };
        Some(match key.text.as_str() {
            "starts" => TextPattern::Prefix(Form::read(value, reader)?),
            "ends" => TextPattern::Suffix(Form::read(value, reader)?),
            "contains" => TextPattern::Substring(Form::read(value, reader)?),
            "matches" => TextPattern::Regex(Form::read(value, reader)?),
            other => {
                let hint = nearest(other, ["starts", "ends", "contains", "matches"].into_iter());
                reader.problem(key.spot, format!("'{other}' is no way to compare names"), hint);
                return None;
            }
        })
    }

    fn written(&self, writer: &mut Writer) -> Out {
        match self {
            TextPattern::Exact(name) => name.written(writer),
            TextPattern::Prefix(text) => one("starts", text.written(writer)),
            TextPattern::Suffix(text) => one("ends", text.written(writer)),
            TextPattern::Substring(text) => one("contains", text.written(writer)),
            TextPattern::Regex(regex) => one("matches", regex.written(writer)),
        }
    }
}

/// A route's place, condition and target are fields of a map.
impl Fieldset for plan::Route {
    fn blank() -> plan::Route {
        plan::Route {
            place: Place::none(),
            condition: Condition::Always,
            target: plan::RouteTarget::Pool(String::new()),
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let plan::Route { place, condition, target } = self;
        f.place(place);
        f.condition("when", condition);
        let (mut pool, mut computed) = match target.clone() {
            _ if f.reads() => (None, None),
            plan::RouteTarget::Pool(name) => (Some(name), None),
            plan::RouteTarget::Computed(text) => (None, Some(text)),
        };
        f.option("pool", &mut pool);
        f.option("computed_pool", &mut computed);
        match (pool, computed) {
            (Some(name), None) => *target = plan::RouteTarget::Pool(name),
            (None, Some(text)) => *target = plan::RouteTarget::Computed(text),
            _ => f.refuse("a route has one of pool and computed_pool", ""),
        }
    }
}
