//! Rules in action: what each action does to a request or a response.

use crate::course::{self, Errand};
use crate::exchange::Exchange;
use crate::scene::Scene;
use listener::Peer;
use plan::pages::Answer;
use plan::rule::{Action, Course, Facts, Redirect, RegexTemplate, Rule, Scope, Template, Value, expand};
use regex::bytes::Regex;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use wire::http1::{Fields, RequestHead, ResponseHead};

/// What a phase decided.
pub(crate) enum Verdict {
    /// Go on.
    Continue,
    /// Our own answer; counted as denied when so marked.
    Answer(Arc<Answer>, Denied),
    /// The counters in Prometheus' text format.
    Metrics,
    /// A redirect to this location.
    Redirect(Arc<Redirect>, Vec<u8>),
    /// 401 with this realm.
    Authenticate(Box<str>),
    /// Hold the client, then this answer.
    Tarpit(Arc<Answer>),
    /// Close.
    Reject,
    /// Forget the connection without a packet.
    SilentDrop,
    /// The target cannot be made regular: 400.
    BadTarget,
    /// A rule could not edit the message although it must: 500.
    Failed,
    /// What a rule waits for did not come in time: 408, 504.
    TooLate,
    /// Do this, then go on with the rule of this number.
    Errand(Errand, usize),
}

/// Whether an answer counts as a denial.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Yes,
    No,
}

/// Runs request rules in order, from number `from`, until one ends the phase.
pub(crate) fn on_request(
    rules: &[Rule],
    from: usize,
    exchange: &mut Exchange,
    request: &mut RequestHead,
) -> Verdict {
    for (index, rule) in rules.iter().enumerate().skip(from) {
        let scene = Scene { exchange, request, response: None };
        if !rule.condition.holds(&scene) {
            continue;
        }
        if let Action::Course(course) = &rule.action
            && let Course::EarlyHint(..) = &**course
        {
            let (hints, count) = course::hints(&rules[index..], exchange, request);
            return Verdict::Errand(Errand::Hints(hints), index + count);
        }
        let failed = exchange.failed_rewrites;
        match request_action(&rule.action, exchange, request) {
            ControlFlow::Break(Verdict::Errand(errand, _)) => return Verdict::Errand(errand, index + 1),
            ControlFlow::Break(verdict) => return verdict,
            ControlFlow::Continue(()) => {}
        }
        if exchange.failed_rewrites != failed && is_strict(&rules[..index]) {
            return Verdict::Failed;
        }
    }
    Verdict::Continue
}

/// True when the last word before a rule is that edits must succeed. Asked only when one did not.
fn is_strict(before: &[Rule]) -> bool {
    let said = before.iter().rev().find_map(|rule| match &rule.action {
        Action::Course(course) => match **course {
            Course::Strict(on) => Some(on),
            _ => None,
        },
        _ => None,
    });
    said.unwrap_or(false)
}

/// Runs response rules in order, from number `from`, until one ends the phase.
pub(crate) fn on_response(
    rules: &[Rule],
    from: usize,
    exchange: &mut Exchange,
    request: &RequestHead,
    response: &mut ResponseHead,
) -> Verdict {
    for (index, rule) in rules.iter().enumerate().skip(from) {
        let scene = Scene { exchange, request, response: Some(response) };
        if !rule.condition.holds(&scene) {
            continue;
        }
        let failed = exchange.failed_rewrites;
        match response_action(&rule.action, exchange, request, response) {
            ControlFlow::Break(Verdict::Errand(errand, _)) => return Verdict::Errand(errand, index + 1),
            ControlFlow::Break(verdict) => return verdict,
            ControlFlow::Continue(()) => {}
        }
        if exchange.failed_rewrites != failed && is_strict(&rules[..index]) {
            return Verdict::Failed;
        }
    }
    Verdict::Continue
}

fn request_action(
    action: &Action,
    exchange: &mut Exchange,
    request: &mut RequestHead,
) -> ControlFlow<Verdict> {
    let text = |template: &Template, exchange: &Exchange, request: &RequestHead| {
        template.text(&Scene { exchange, request, response: None })
    };
    if changes_target(action) {
        exchange.keep_target(request);
    }
    match action {
        Action::Redirect(redirect) => return redirection(redirect, exchange, request),
        Action::SetHeader(name, value) => {
            let value = text(value, exchange, request);
            edit(exchange, request.fields.set(name.as_bytes(), &value));
        }
        Action::AddHeader(name, value) => {
            let value = text(value, exchange, request);
            edit(exchange, request.fields.append(name.as_bytes(), &value));
        }
        Action::SetMethod(value) => {
            let value = text(value, exchange, request);
            edit(exchange, request.set_method(&value));
        }
        Action::SetPath(value) => {
            let value = text(value, exchange, request);
            request.set_path(&value);
        }
        Action::SetPathAndQuery(value) => {
            let value = text(value, exchange, request);
            set_path_and_query(request, &value);
        }
        Action::SetQuery(value) => {
            let value = text(value, exchange, request);
            request.set_query(&value);
        }
        Action::SetTarget(value) => {
            let value = text(value, exchange, request);
            request.set_target(&value);
        }
        Action::ReplacePath(regex, with) => {
            if let Some(path) = replace(regex, with, request.path(), &scene(exchange, request)) {
                request.set_path(&path);
            }
        }
        Action::ReplacePathAndQuery(regex, with) => {
            if let Some(path) = replace(regex, with, request.path_and_query(), &scene(exchange, request)) {
                set_path_and_query(request, &path);
            }
        }
        Action::ReplaceTarget(regex, with) => {
            if let Some(target) = replace(regex, with, request.target(), &scene(exchange, request)) {
                request.set_target(&target);
            }
        }
        Action::ReplaceHeader(name, regex, with) => {
            let edits = replaced_lines(&request.fields, name, regex, with, &scene(exchange, request));
            apply(&mut request.fields, edits);
        }
        Action::ReplaceValue(name, regex, with) => {
            let edits = replaced_values(&request.fields, name, regex, with, &scene(exchange, request));
            apply(&mut request.fields, edits);
        }
        Action::SetClientAddress(expr) => {
            let value = expr.value(&scene(exchange, request));
            if let Some(address) = value.and_then(|v| v.to_address()) {
                let port = exchange.client.ip().map_or(0, |client| client.port());
                exchange.client = Peer::from(SocketAddr::new(address, port));
            }
        }
        Action::Capture(expr, slot) => {
            let length =
                exchange.site.plan.request_captures.get(*slot).map_or(usize::MAX, |(_, length)| *length);
            let value = expr.value(&scene(exchange, request)).map(|v| v.into_text().into_owned());
            exchange.capture_request(*slot, value.map(|v| v[..v.len().min(length)].to_vec()));
        }
        Action::Course(course) => {
            return match **course {
                Course::Normalize(step) => course::normalize_target(step, exchange, request),
                _ => course::act(course, exchange, request, None),
            };
        }
        Action::DelHeader(header) => {
            request.fields.remove_where(|name, _| header.pattern.accepts(name));
        }
        other => return shared_action(other, exchange, request, None),
    }
    ControlFlow::Continue(())
}

fn response_action(
    action: &Action,
    exchange: &mut Exchange,
    request: &RequestHead,
    response: &mut ResponseHead,
) -> ControlFlow<Verdict> {
    let text = |template: &Template, exchange: &Exchange, response: &ResponseHead| {
        template.text(&Scene { exchange, request, response: Some(response) })
    };
    match action {
        Action::SetHeader(name, value) => {
            let value = text(value, exchange, response);
            edit(exchange, response.fields.set(name.as_bytes(), &value));
        }
        Action::AddHeader(name, value) => {
            let value = text(value, exchange, response);
            edit(exchange, response.fields.append(name.as_bytes(), &value));
        }
        Action::DelHeader(header) => {
            response.fields.remove_where(|name, _| header.pattern.accepts(name));
        }
        Action::ReplaceHeader(name, regex, with) => {
            let scene = Scene { exchange, request, response: Some(response) };
            let edits = replaced_lines(&response.fields, name, regex, with, &scene);
            apply(&mut response.fields, edits);
        }
        Action::ReplaceValue(name, regex, with) => {
            let scene = Scene { exchange, request, response: Some(response) };
            let edits = replaced_values(&response.fields, name, regex, with, &scene);
            apply(&mut response.fields, edits);
        }
        Action::SetStatus(status, reason) => {
            let reason = reason.as_deref().unwrap_or_else(|| wire::http1::reason_of(*status));
            response.set_status(*status, reason.as_bytes());
        }
        Action::Redirect(redirect) => return redirection(redirect, exchange, request),
        Action::Course(course) => return course::act(course, exchange, request, Some(response)),
        other => return shared_action(other, exchange, request, Some(response)),
    }
    ControlFlow::Continue(())
}

/// Actions that are the same on both sides.
fn shared_action(
    action: &Action,
    exchange: &mut Exchange,
    request: &RequestHead,
    response: Option<&ResponseHead>,
) -> ControlFlow<Verdict> {
    let scene = Scene { exchange, request, response };
    match action {
        Action::Allow => return ControlFlow::Break(Verdict::Continue),
        Action::Deny(answer) => return ControlFlow::Break(Verdict::Answer(Arc::clone(answer), Denied::Yes)),
        Action::Answer(answer) => return ControlFlow::Break(Verdict::Answer(Arc::clone(answer), Denied::No)),
        Action::Metrics => return ControlFlow::Break(Verdict::Metrics),
        Action::Tarpit(answer) => return ControlFlow::Break(Verdict::Tarpit(Arc::clone(answer))),
        Action::Reject => return ControlFlow::Break(Verdict::Reject),
        Action::SilentDrop => return ControlFlow::Break(Verdict::SilentDrop),
        Action::Authenticate { realm } => return ControlFlow::Break(Verdict::Authenticate(realm.clone())),
        Action::SetVariable(scope, name, expr) => {
            // Without a value it keeps the one it has.
            if let Some(value) = expr.value(&scene) {
                exchange.variables.set(*scope, name, Some(value));
            }
        }
        Action::SetVariableText(scope, name, template) => {
            let value = Value::Text(template.text(&scene).into());
            exchange.variables.set(*scope, name, Some(value));
        }
        Action::UnsetVariable(scope, name) => exchange.variables.set(*scope, name, None),
        Action::ChangeList(change) => change.make(&scene),
        Action::SetLogLevel(level) => exchange.log_level = Some(*level),
        Action::Track(track) => {
            if let Some(value) = track.key.value(&scene) {
                exchange.track(track, &value, response.map(|head| head.status));
            }
        }
        Action::ChangeTracked(change) => {
            exchange.site.tables.change(&exchange.tracked, change, |expr| expr.value(&scene));
        }
        // Actions of the other side: the dialect puts them into the right phase.
        _ => debug_assert!(false, "action in the wrong phase: {action:?}"),
    }
    ControlFlow::Continue(())
}

fn scene<'a>(exchange: &'a Exchange, request: &'a RequestHead) -> Scene<'a> {
    Scene { exchange, request, response: None }
}

fn changes_target(action: &Action) -> bool {
    matches!(
        action,
        Action::SetMethod(_)
            | Action::SetPath(_)
            | Action::SetPathAndQuery(_)
            | Action::SetQuery(_)
            | Action::SetTarget(_)
            | Action::ReplacePath(..)
            | Action::ReplacePathAndQuery(..)
            | Action::ReplaceTarget(..)
    )
}

/// Counts an edit that the codec refused because its text would break the message.
fn edit(exchange: &mut Exchange, done: bool) {
    if !done {
        exchange.failed_rewrites += 1;
    }
}

fn set_path_and_query(request: &mut RequestHead, text: &[u8]) {
    let (path, query) = crate::scene::split_once(text, b'?').unwrap_or((text, b""));
    let (path, query) = (path.to_vec(), query.to_vec());
    request.set_path(&path);
    request.set_query(&query);
}

fn redirection(redirect: &Arc<Redirect>, exchange: &Exchange, request: &RequestHead) -> ControlFlow<Verdict> {
    let location = crate::answer::location(redirect, &scene(exchange, request), request);
    if location.is_empty() && redirect.ignore_empty {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(Verdict::Redirect(Arc::clone(redirect), location))
}

/// The text after replacing the first match; `None` without a match.
fn replace(regex: &Regex, with: &RegexTemplate, text: &[u8], facts: &dyn Facts) -> Option<Vec<u8>> {
    let found = regex.captures(text)?;
    let whole = found.get(0)?;
    let mut out = text[..whole.start()].to_vec();
    expand(&with.0.text(facts), &found, &mut out);
    out.extend_from_slice(&text[whole.end()..]);
    Some(out)
}

type Edits = Vec<(usize, Vec<u8>)>;

fn replaced_lines(
    fields: &Fields,
    name: &str,
    regex: &Regex,
    with: &RegexTemplate,
    facts: &dyn Facts,
) -> Edits {
    each_line(fields, name, |line| replace(regex, with, line, facts))
}

fn replaced_values(
    fields: &Fields,
    name: &str,
    regex: &Regex,
    with: &RegexTemplate,
    facts: &dyn Facts,
) -> Edits {
    each_line(fields, name, |line| {
        let new = |part: &[u8]| replace(regex, with, part, facts);
        in_each_part(line, new)
    })
}

/// Puts new text in place of the parts between commas. A part that is replaced loses the white space
/// around it, the others stay as they are: HAProxy does the same.
fn in_each_part(line: &[u8], new: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut changed = false;
    let part = |whole: &[u8]| {
        let new = new(whole.trim_ascii());
        changed |= new.is_some();
        new.unwrap_or_else(|| whole.to_vec())
    };
    let parts: Vec<Vec<u8>> = line.split(|byte| *byte == b',').map(part).collect();
    changed.then(|| parts.join(&b","[..]))
}

fn each_line(fields: &Fields, name: &str, mut new: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Edits {
    fields
        .iter()
        .enumerate()
        .filter(|(_, field)| fields.name(field).eq_ignore_ascii_case(name.as_bytes()))
        .filter_map(|(index, field)| Some((index, new(fields.value(field))?)))
        .collect()
}

fn apply(fields: &mut Fields, edits: Edits) {
    for (index, value) in edits {
        fields.replace_value(index, &value);
    }
}

/// Variables of a request.
#[derive(Default)]
pub(crate) struct Variables(Vec<(Scope, Box<str>, Value<'static>)>);

impl Variables {
    /// The value of a variable.
    pub fn get(&self, scope: Scope, name: &str) -> Option<Value<'_>> {
        self.0.iter().find(|(s, n, _)| *s == scope && **n == *name).map(|(_, _, value)| value.clone())
    }

    /// Sets a variable, or removes it.
    pub fn set(&mut self, scope: Scope, name: &str, value: Option<Value<'static>>) {
        self.0.retain(|(s, n, _)| *s != scope || **n != *name);
        if let Some(value) = value {
            self.0.push((scope, name.into(), value));
        }
    }

    /// Keeps only what lives as long as the connection.
    pub fn into_session(mut self) -> Variables {
        self.0.retain(|(scope, ..)| *scope == Scope::Session);
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn groups_of_a_match_are_put_in() {
        let regex = Regex::new("^/old/(.*)").unwrap();
        let found = regex.captures(b"/old/a/b").unwrap();
        let mut out = Vec::new();
        expand(br"/new/\1?x=\\1", &found, &mut out);
        assert_eq!(out, br"/new/a/b?x=\1");
    }

    #[test]
    fn a_part_is_replaced_where_it_stands() {
        let new = |part: &[u8]| (part == b"a").then(|| b"new".to_vec());
        assert_eq!(in_each_part(b"a, b , a,c", new).as_deref(), Some(&b"new, b ,new,c"[..]));
        assert_eq!(in_each_part(b"b,c", new), None);
    }

    #[test]
    fn variables_live_by_scope() {
        let mut variables = Variables::default();
        variables.set(Scope::Session, "a", Some(Value::Int(1)));
        variables.set(Scope::Request, "a", Some(Value::Int(2)));
        assert_eq!(variables.get(Scope::Request, "a"), Some(Value::Int(2)));
        let session = variables.into_session();
        assert_eq!(session.get(Scope::Session, "a"), Some(Value::Int(1)));
        assert_eq!(session.get(Scope::Request, "a"), None);
    }
}
