//! Rules: `http-request`, `http-response`, `http-after-response`, `tcp-request`, `redirect`.
//!
//! One table of actions for all phases; a phase is a bit, as a section is in [`super::keywords`].

pub(super) mod course;
pub(super) mod old;

use super::keywords::{self, Entry};
use super::pages;
use super::proxy::needs_http;
use super::said::{Cursor, Done, Said};
use super::sample;
use super::scene::{Kind, Phase, ProxyRules, Scene};
use super::{acl, format, lists, logs, units};
use plan::rule::{
    Action, HeaderMatch, ListAct, ListChange, Piece, Redirect, RedirectKind, RegexTemplate, Rule, Template,
    TextPattern,
};
use plan::{Expr, Mode};
use std::sync::Arc;

/// Most rules of a section.
const MAX_RULES: usize = 100_000;

/// Phases in which an action may stand.
type Phases = u8;
const CONNECTION: Phases = 1;
const CONTENT: Phases = 2;
const REQUEST: Phases = 4;
const RESPONSE: Phases = 8;
const AFTER: Phases = 16;
const SESSION: Phases = 32;
const RESPONSE_CONTENT: Phases = 64;
const HTTP: Phases = REQUEST | RESPONSE | AFTER;
const TRACKED: Phases = HTTP | CONNECTION | SESSION | CONTENT;
/// Where addresses can be changed.
const ADDRESSED: Phases = REQUEST | CONNECTION | SESSION | CONTENT;
/// Where options of the client's socket can be set.
const PACKETS: Phases = REQUEST | RESPONSE | CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT;

/// Family of rules that is being read.
#[derive(Clone, Copy)]
struct Family {
    /// Its bit.
    bit: Phases,
    /// Where its values come from.
    phase: Phase,
    /// Words before the action.
    word: &'static str,
}

const HTTP_REQUEST: Family = Family { bit: REQUEST, phase: Phase::Request, word: "http-request" };
const HTTP_RESPONSE: Family = Family { bit: RESPONSE, phase: Phase::Response, word: "http-response" };
const HTTP_AFTER: Family = Family { bit: AFTER, phase: Phase::Response, word: "http-after-response" };
const TCP_CONNECTION: Family =
    Family { bit: CONNECTION, phase: Phase::Connection, word: "tcp-request connection" };
const TCP_SESSION: Family = Family { bit: SESSION, phase: Phase::Connection, word: "tcp-request session" };
const TCP_CONTENT: Family = Family { bit: CONTENT, phase: Phase::Content, word: "tcp-request content" };

const TCP_RESPONSE: Family =
    Family { bit: RESPONSE_CONTENT, phase: Phase::Response, word: "tcp-response content" };

type Read = fn(&mut Scene<'_, '_>, &mut Cursor<'_>, Family) -> Done<Action>;

/// An action: where it may stand and how its words are read. `None` = not there yet.
pub(super) struct ActionAct {
    phases: Phases,
    read: Option<Read>,
}

macro_rules! entry {
    ($name:literal, $phases:expr, $read:expr, $manual:literal) => {
        Entry {
            name: $name,
            sections: keywords::ANY,
            act: ActionAct { phases: $phases, read: Some($read) },
            manual: $manual,
        }
    };
}

/// All actions.
pub(super) const ACTIONS: &[Entry<ActionAct>] = &[
    entry!(
        "accept",
        CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT,
        |_, _, _| Ok(Action::Allow),
        "goes on"
    ),
    entry!(
        "add-header",
        HTTP,
        |s, c, f| named_text(s, c, f).map(|(n, t)| Action::AddHeader(n, t)),
        "add-header NAME TEXT"
    ),
    entry!(
        "add-acl",
        HTTP,
        |s, c, f| change_list(s, c, f, Change::Add),
        "add-acl(FILE) TEXT: adds a pattern"
    ),
    entry!("allow", HTTP, |_, _, _| Ok(Action::Allow), "ends the rules: goes on"),
    entry!("auth", REQUEST, auth, "auth [realm TEXT]: asks for a user and a password"),
    entry!(
        "capture",
        HTTP | CONTENT,
        course::capture,
        "capture EXPRESSION len N, or id N: keeps a value for the log"
    ),
    entry!("close", RESPONSE_CONTENT, |_, _, _| Ok(Action::Reject), "closes the connection to the server"),
    entry!(
        "del-acl",
        HTTP,
        |s, c, f| change_list(s, c, f, Change::Remove),
        "del-acl(FILE) TEXT: removes a pattern"
    ),
    entry!("del-header", HTTP, del_header, "del-header NAME [-m METHOD]"),
    entry!(
        "del-map",
        HTTP,
        |s, c, f| change_list(s, c, f, Change::RemoveValue),
        "del-map(FILE) KEY: removes an entry"
    ),
    entry!("deny", REQUEST | RESPONSE, deny, "deny [status N] …: refuses"),
    entry!("redirect", REQUEST | RESPONSE, redirect, "redirect location|prefix|scheme TEXT …"),
    entry!(
        "reject",
        REQUEST | CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT,
        |_, _, _| Ok(Action::Reject),
        "closes without an answer"
    ),
    entry!(
        "replace-header",
        HTTP,
        |s, c, f| named_replacement(s, c, f).map(|(n, r, t)| Action::ReplaceHeader(n, r, t)),
        "replace-header NAME EXPRESSION TEXT"
    ),
    entry!(
        "replace-path",
        REQUEST,
        |s, c, f| replacement(s, c, f).map(|(r, t)| Action::ReplacePath(r, t)),
        "replace-path EXPRESSION TEXT"
    ),
    entry!(
        "replace-pathq",
        REQUEST,
        |s, c, f| replacement(s, c, f).map(|(r, t)| Action::ReplacePathAndQuery(r, t)),
        "replace-pathq EXPRESSION TEXT"
    ),
    entry!(
        "replace-uri",
        REQUEST,
        |s, c, f| replacement(s, c, f).map(|(r, t)| Action::ReplaceTarget(r, t)),
        "replace-uri EXPRESSION TEXT"
    ),
    entry!(
        "replace-value",
        HTTP,
        |s, c, f| named_replacement(s, c, f).map(|(n, r, t)| Action::ReplaceValue(n, r, t)),
        "replace-value NAME EXPRESSION TEXT"
    ),
    entry!("return", REQUEST | RESPONSE, answer, "return [status N] [content-type T] …: answers"),
    entry!(
        "set-header",
        HTTP,
        |s, c, f| named_text(s, c, f).map(|(n, t)| Action::SetHeader(n, t)),
        "set-header NAME TEXT"
    ),
    entry!("set-log-level", HTTP | CONTENT | RESPONSE_CONTENT, set_log_level, "set-log-level LEVEL|silent"),
    entry!(
        "set-map",
        HTTP,
        |s, c, f| change_list(s, c, f, Change::Set),
        "set-map(FILE) KEY VALUE: sets an entry"
    ),
    entry!("set-method", REQUEST, |s, c, f| text(s, c, f).map(Action::SetMethod), "set-method TEXT"),
    entry!("set-path", REQUEST, |s, c, f| text(s, c, f).map(Action::SetPath), "set-path TEXT"),
    entry!("set-pathq", REQUEST, |s, c, f| text(s, c, f).map(Action::SetPathAndQuery), "set-pathq TEXT"),
    entry!("set-query", REQUEST, |s, c, f| text(s, c, f).map(Action::SetQuery), "set-query TEXT"),
    entry!(
        "set-src",
        REQUEST | CONNECTION | SESSION | CONTENT,
        |s, c, f| expression(s, c, f).map(Action::SetClientAddress),
        "set-src EXPRESSION"
    ),
    entry!("set-status", RESPONSE | AFTER, set_status, "set-status N [reason TEXT]"),
    entry!("set-uri", REQUEST, |s, c, f| text(s, c, f).map(Action::SetTarget), "set-uri TEXT"),
    entry!(
        "set-var",
        HTTP | CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT,
        set_var,
        "set-var(SCOPE.NAME) EXPRESSION"
    ),
    entry!(
        "set-var-fmt",
        HTTP | CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT,
        set_var_format,
        "set-var-fmt(SCOPE.NAME) TEXT"
    ),
    entry!(
        "silent-drop",
        REQUEST | RESPONSE | CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT,
        |_, _, _| Ok(Action::SilentDrop),
        "closes without telling the client"
    ),
    entry!(
        "sc-add-gpc",
        TRACKED,
        change_tracked,
        "sc-add-gpc(INDEX,N) VALUE: adds to a counter of the array"
    ),
    entry!("sc-inc-gpc", TRACKED, change_tracked, "sc-inc-gpc(INDEX,N): adds one to a counter of the array"),
    entry!("sc-inc-gpc0", TRACKED, change_tracked, "sc-inc-gpc0(N): adds one to gpc0 of what N tracks"),
    entry!("sc-inc-gpc1", TRACKED, change_tracked, "sc-inc-gpc1(N): adds one to gpc1 of what N tracks"),
    entry!("sc-set-gpt", TRACKED, change_tracked, "sc-set-gpt(INDEX,N) VALUE: sets a tag of the array"),
    entry!("sc-set-gpt0", TRACKED, change_tracked, "sc-set-gpt0(N) VALUE: sets gpt0 of what N tracks"),
    entry!(
        "track-sc",
        REQUEST | RESPONSE | CONNECTION | SESSION | CONTENT,
        |s, c, f| super::tables::track(s, c, f.phase).map(|track| Action::Track(Box::new(track))),
        "track-scN KEY [table T]: counts this connection or request in the key's entry"
    ),
    entry!("tarpit", REQUEST, tarpit, "tarpit [status N]: refuses after the tarpit time-out"),
    entry!(
        "unset-var",
        HTTP | CONNECTION | SESSION | CONTENT | RESPONSE_CONTENT,
        unset_var,
        "unset-var(SCOPE.NAME)"
    ),
    entry!("disable-l7-retry", REQUEST, course::no_retry, "tries again after failed connections only"),
    entry!(
        "early-hint",
        REQUEST,
        course::early_hint,
        "early-hint NAME TEXT: a field of a 103 answer sent ahead"
    ),
    entry!(
        "normalize-uri",
        REQUEST,
        course::normalize_uri,
        "normalize-uri NORMALIZER: writes the target in one way"
    ),
    entry!("pause", REQUEST | RESPONSE, course::pause, "pause TIME|EXPRESSION: waits"),
    entry!("set-dst", ADDRESSED, course::address, "set-dst EXPRESSION: where the client connected to"),
    entry!("set-dst-port", ADDRESSED, course::address, "set-dst-port EXPRESSION"),
    entry!("set-src-port", ADDRESSED, course::address, "set-src-port EXPRESSION"),
    entry!("set-fc-mark", PACKETS, course::mark, "set-fc-mark N: mark of packets to the client"),
    entry!("set-fc-tos", PACKETS, course::tos, "set-fc-tos N: type of service of packets to the client"),
    entry!("set-mark", PACKETS, course::mark, "old: set-fc-mark"),
    entry!("set-tos", PACKETS, course::tos, "old: set-fc-tos"),
    entry!("set-retries", REQUEST, course::set_retries, "set-retries N|EXPRESSION: tries after a failure"),
    entry!(
        "set-timeout",
        REQUEST | RESPONSE,
        course::set_timeout,
        "set-timeout NAME TIME|EXPRESSION: for this request"
    ),
    entry!("strict-mode", HTTP, course::strict_mode, "strict-mode on|off: whether a rewrite must succeed"),
    entry!(
        "wait-for-body",
        REQUEST | RESPONSE,
        course::wait_for_body,
        "wait-for-body time TIME [at-least SIZE]: waits for the body"
    ),
    entry!("use-service", REQUEST, use_service, "use-service prometheus-exporter: answers with the counters"),
];

/// Beginnings of actions that are known and not there yet, with what may help.
const NOT_YET: &[(&str, &str)] = &[
    ("add-headers-bin", ""),
    ("cache-", ""),
    ("del-headers-bin", ""),
    ("do-log", ""),
    ("do-resolve", ""),
    ("expect-", "use 'accept-proxy' on the bind line"),
    ("lua.", ""),
    ("send-spoe-group", ""),
    ("set-bandwidth-limit", ""),
    ("set-bc-", ""),
    ("set-priority-", ""),
    ("set-headers-bin", ""),
    ("switch-mode", ""),
];

/// `http-request ACTION … [if …]`.
pub(super) fn http_request(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let rule = rule(scene, cursor, HTTP_REQUEST)?;
    push(scene, cursor, rule, |rules| &mut rules.main.request)?;
    needs_http(scene, cursor, "http-request");
    Ok(())
}

/// The rule of `stats http-request allow|deny|auth … [if …]`.
pub(super) fn stats_request(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<Rule> {
    let at = cursor.at;
    let fits =
        |action: &Action| matches!(action, Action::Allow | Action::Deny(..) | Action::Authenticate { .. });
    match rule(scene, cursor, HTTP_REQUEST)? {
        Some(rule) if fits(&rule.action) => Ok(rule),
        _ => Err(Said::new("'stats http-request' takes allow, deny or auth").at(at)),
    }
}

/// `http-response ACTION … [if …]`.
pub(super) fn http_response(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let rule = rule(scene, cursor, HTTP_RESPONSE)?;
    push(scene, cursor, rule, |rules| &mut rules.main.response)?;
    needs_http(scene, cursor, "http-response");
    Ok(())
}

/// `http-after-response ACTION … [if …]`.
pub(super) fn http_after_response(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let rule = rule(scene, cursor, HTTP_AFTER)?;
    push(scene, cursor, rule, |rules| &mut rules.main.after_response)?;
    needs_http(scene, cursor, "http-after-response");
    Ok(())
}

/// `redirect …`, which runs behind all `http-request` rules.
pub(super) fn redirect_line(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let place = cursor.line.place(0);
    let action = redirection(cursor, HTTP_REQUEST, &mut |cursor| cursor.text("a text").map(Template::fixed))?;
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    push(scene, cursor, Some(Rule { place, condition, action }), |rules| &mut rules.redirects)?;
    needs_http(scene, cursor, "redirect");
    Ok(())
}

/// `tcp-request connection|session|content ACTION … [if …]`, `tcp-request inspect-delay TIME`.
pub(super) fn tcp_request(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("connection, session, content or inspect-delay")? {
        "inspect-delay" => {
            let delay = cursor.time()?;
            cursor.end()?;
            if scene.proxy.kind == Kind::Backend {
                return Err(Said::not_yet("'tcp-request inspect-delay' in a backend section")
                    .hint("move it to the frontend"));
            }
            scene.proxy.site.inspect_delay = units::limit(delay);
            Ok(())
        }
        "connection" => {
            if scene.proxy.kind == Kind::Backend {
                return Err(Said::new("'tcp-request connection' may not stand in a backend section")
                    .hint("move it to the frontend"));
            }
            let rule = rule(scene, cursor, TCP_CONNECTION)?;
            push(scene, cursor, rule, |rules| &mut rules.main.connection)
        }
        "content" => {
            let rule = rule(scene, cursor, TCP_CONTENT)?;
            push(scene, cursor, rule, |rules| &mut rules.main.content)
        }
        "session" => {
            if scene.proxy.kind == Kind::Backend {
                return Err(Said::new("'tcp-request session' may not stand in a backend section")
                    .hint("move it to the frontend"));
            }
            let rule = rule(scene, cursor, TCP_SESSION)?;
            push(scene, cursor, rule, |rules| &mut rules.main.session)
        }
        other => Err(cursor.wrong(other, "connection, session, content or inspect-delay")),
    }
}

/// `tcp-response content ACTION … [if …]`, `tcp-response inspect-delay TIME`.
pub(super) fn tcp_response(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if scene.proxy.mode != Mode::Http {
        return Err(Said::not_yet("'tcp-response' without 'mode http'").hint("check the server instead"));
    }
    match cursor.text("content or inspect-delay")? {
        "inspect-delay" => {
            cursor.time()?;
            cursor.end()?;
            scene.no_effect(cursor.line, 0, "rules run when the head of the answer is there");
            Ok(())
        }
        "content" => {
            let rule = rule(scene, cursor, TCP_RESPONSE)?;
            push(scene, cursor, rule, |rules| &mut rules.main.response_content)
        }
        other => Err(cursor.wrong(other, "content or inspect-delay")),
    }
}

fn push(
    scene: &mut Scene<'_, '_>,
    cursor: &Cursor<'_>,
    rule: Option<Rule>,
    list: fn(&mut ProxyRules) -> &mut Vec<Rule>,
) -> Done {
    cursor.end()?;
    let list = list(&mut scene.proxy.rules);
    if list.len() >= MAX_RULES {
        return Err(Said::new("too many rules"));
    }
    list.extend(rule);
    Ok(())
}

/// The rule of a line; `None` when its action changes nothing here.
fn rule(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Option<Rule>> {
    let at = cursor.at;
    let place = cursor.line.place(at);
    let word = cursor.text("an action")?;
    let name = word.split('(').next().unwrap_or(word);
    if course::without_effect(scene, cursor, name, family)? {
        acl::condition(scene, cursor, family.phase)?;
        return Ok(None);
    }
    // The number of the counter is a part of the word.
    let name = if name.starts_with("track-sc") { "track-sc" } else { name };
    let entry = ACTIONS.iter().find(|e| e.name == name && e.act.phases & family.bit != 0);
    let Some(read) = entry.and_then(|e| e.act.read) else { return Err(unknown(name, family).at(at)) };
    let action = read(scene, cursor, family)?;
    let condition = acl::condition(scene, cursor, family.phase)?;
    Ok(Some(Rule { place, condition, action }))
}

fn unknown(name: &str, family: Family) -> Said {
    let here = || ACTIONS.iter().filter(|e| e.act.phases & family.bit != 0).map(|e| e.name);
    if let Some((_, hint)) = NOT_YET.iter().find(|(begin, _)| name.starts_with(begin)) {
        return Said::not_yet(format!("'{} {name}'", family.word)).hint(*hint);
    }
    let near = keywords::nearest(name, here());
    let hint = if near.is_empty() {
        format!("the actions are: {}", here().collect::<Vec<_>>().join(", "))
    } else {
        near
    };
    Said::new(format!("unknown action '{} {name}'", family.word)).hint(hint)
}

/// `use-service prometheus-exporter`: the counters, whoever asks.
fn use_service(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    match cursor.text("the name of a service")? {
        "prometheus-exporter" => Ok(Action::Metrics),
        service => Err(Said::not_yet(format!("the service '{service}'")).at(cursor.at - 1)),
    }
}

fn change_tracked(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    super::tables::change(scene, cursor, family.phase).map(|c| Action::ChangeTracked(Box::new(c)))
}

fn text(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Template> {
    let at = cursor.at;
    let word = cursor.need("a text")?;
    format::text(scene, &word.bytes, family.phase).map_err(|said| said.at(at))
}

fn named_text(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Done<(Box<str>, Template)> {
    let name = header_name(cursor)?;
    Ok((name, text(scene, cursor, family)?))
}

/// A header name (RFC 9110, 5.1).
fn header_name(cursor: &mut Cursor<'_>) -> Done<Box<str>> {
    let name = cursor.text("the name of a header")?;
    let valid = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if valid { Ok(name.into()) } else { Err(cursor.wrong(name, "the name of a header")) }
}

fn replacement(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Done<(regex::bytes::Regex, RegexTemplate)> {
    let at = cursor.at;
    let pattern = cursor.text("an expression and a text")?;
    let regex = units::expression(pattern, false).map_err(|what| Said::new(what).at(at))?;
    Ok((regex, RegexTemplate(text(scene, cursor, family)?)))
}

fn named_replacement(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Done<(Box<str>, regex::bytes::Regex, RegexTemplate)> {
    let name = header_name(cursor)?;
    let (regex, template) = replacement(scene, cursor, family)?;
    Ok((name, regex, template))
}

fn expression(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Expr> {
    let at = cursor.at;
    let word = cursor.need("an expression such as src or req.hdr(host)")?;
    let found = sample::read_whole(scene, &word.bytes).map_err(|said| said.at(at))?;
    sample::check_phase(&found, family.phase).map_err(|said| said.at(at))?;
    Ok(found.expr)
}

/// What stands in the parentheses of the action's own word: `set-var(txn.a)`.
fn own_argument<'l>(cursor: &Cursor<'l>) -> Done<&'l str> {
    let word = cursor.line.text(cursor.at - 1);
    let inner = word.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.ok_or_else(|| {
        Said::new(format!("'{word}' needs a word in parentheses"))
            .hint("as in set-var(txn.name)")
            .at(cursor.at - 1)
    })
}

fn set_var(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    if own_argument(cursor)?.contains(',') {
        return course::set_variable_when(scene, cursor, family);
    }
    let (scope, name) = own_variable(cursor)?;
    Ok(Action::SetVariable(scope, name, expression(scene, cursor, family)?))
}

fn set_var_format(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    if own_argument(cursor)?.contains(',') {
        return course::set_variable_when(scene, cursor, family);
    }
    let (scope, name) = own_variable(cursor)?;
    Ok(Action::SetVariableText(scope, name, text(scene, cursor, family)?))
}

fn unset_var(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    let (scope, name) = own_variable(cursor)?;
    Ok(Action::UnsetVariable(scope, name))
}

fn own_variable(cursor: &Cursor<'_>) -> Done<(plan::rule::Scope, Box<str>)> {
    let argument = own_argument(cursor)?;
    sample::variable_name(argument).map_err(|said| said.at(cursor.at - 1))
}

/// What an action does to a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
    RemoveValue,
    Set,
}

fn change_list(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
    change: Change,
) -> Done<Action> {
    let is_map = matches!(change, Change::RemoveValue | Change::Set);
    let list = lists::to_change(scene.shared, own_argument(cursor)?, is_map);
    let key = text(scene, cursor, family)?;
    let act = match change {
        Change::Add => ListAct::Add,
        Change::Remove | Change::RemoveValue => ListAct::Remove,
        Change::Set => ListAct::Set(text(scene, cursor, family)?),
    };
    Ok(Action::ChangeList(ListChange { list, act, key }))
}

fn auth(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    let realm = if cursor.eat("realm") { cursor.text("a text")? } else { "" };
    Ok(Action::Authenticate { realm: realm.into() })
}

fn del_header(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    let name = cursor.text("the name of a header")?.to_owned();
    let pattern = if cursor.eat("-m") {
        match cursor.text("str, beg, end, sub or reg")? {
            "str" => TextPattern::Exact(name.into()),
            "beg" => TextPattern::Prefix(name.into()),
            "end" => TextPattern::Suffix(name.into()),
            "sub" => TextPattern::Substring(name.into()),
            "reg" => TextPattern::Regex(units::expression(&name, true)?),
            other => return Err(cursor.wrong(other, "str, beg, end, sub or reg")),
        }
    } else {
        TextPattern::Exact(name.into())
    };
    Ok(Action::DelHeader(HeaderMatch { pattern }))
}

fn deny(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    let preset = if family.bit == REQUEST { 403 } else { 502 };
    Ok(Action::Deny(Arc::new(pages::refusal(scene, cursor, preset, family.phase)?)))
}

fn tarpit(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    Ok(Action::Tarpit(Arc::new(pages::refusal(scene, cursor, 500, family.phase)?)))
}

fn answer(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    Ok(Action::Answer(Arc::new(pages::reply(scene, cursor, Some(200), family.phase)?)))
}

fn set_log_level(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    match cursor.text("a level")? {
        "silent" => Ok(Action::SetLogLevel(None)),
        word => match logs::severity(word) {
            Some(level) => Ok(Action::SetLogLevel(Some(level))),
            None => Err(cursor.wrong(word, "a level such as info, or silent")),
        },
    }
}

fn set_status(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    let status = cursor.number_in("a status", 100, 999)? as u16;
    let reason = if cursor.eat("reason") { Some(cursor.text("a text")?.into()) } else { None };
    Ok(Action::SetStatus(status, reason))
}

/// `location|prefix|scheme TEXT [code N] [drop-query] …`, with values in the text.
fn redirect(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    redirection(cursor, family, &mut |cursor| text(scene, cursor, family))
}

/// The same; `target` reads the text.
fn redirection<'l>(
    cursor: &mut Cursor<'l>,
    family: Family,
    target_text: &mut dyn FnMut(&mut Cursor<'l>) -> Done<Template>,
) -> Done<Action> {
    let mut redirect = Redirect {
        status: 302,
        kind: RedirectKind::Location(Template::default()),
        drop_query: false,
        append_slash: false,
        keep_query: false,
        set_cookie: None,
        ignore_empty: false,
    };
    let mut target = false;
    while !cursor.is_end() && !cursor.is_condition() {
        match cursor.text("a word")? {
            word @ ("prefix" | "scheme") if family.bit == RESPONSE => {
                return Err(Said::new(format!("'redirect {word}' needs a request"))
                    .hint("answers are redirected by 'location' only")
                    .at(cursor.at - 1));
            }
            word @ ("location" | "prefix" | "scheme") => {
                let template = redirect_target(target_text(cursor)?, word);
                redirect.kind = match word {
                    "location" => RedirectKind::Location(template),
                    "prefix" => RedirectKind::Prefix(template),
                    _ => RedirectKind::Scheme(template),
                };
                target = true;
            }
            "code" => {
                let code: u16 = cursor.number("a status")?;
                if !matches!(code, 301 | 302 | 303 | 307 | 308) {
                    return Err(cursor.wrong(&code.to_string(), "301, 302, 303, 307 or 308"));
                }
                redirect.status = code;
            }
            "drop-query" => redirect.drop_query = true,
            "append-slash" => redirect.append_slash = true,
            "ignore-empty" => redirect.ignore_empty = true,
            "keep-query" => redirect.keep_query = true,
            "set-cookie" => {
                redirect.set_cookie = Some(Template::fixed(format!("{}; path=/;", cookie(cursor)?)));
            }
            "set-cookie-fmt" => {
                let mut cookie = target_text(cursor)?;
                cookie.0.push(Piece::Text((*b"; path=/;").into()));
                redirect.set_cookie = Some(cookie);
            }
            "clear-cookie" => {
                let name = cookie(cursor)?;
                let name = name.trim_end_matches('=');
                redirect.set_cookie = Some(Template::fixed(format!("{name}=; path=/; Max-Age=0;")));
            }
            other => {
                return Err(cursor.wrong(
                    other,
                    "location, prefix, scheme, code, drop-query, keep-query, append-slash, set-cookie or ignore-empty",
                ));
            }
        }
    }
    if !target {
        return Err(Said::new("a redirect needs 'location', 'prefix' or 'scheme' and a text"));
    }
    Ok(Action::Redirect(Arc::new(redirect)))
}

fn cookie<'l>(cursor: &mut Cursor<'l>) -> Done<&'l str> {
    cursor.text("NAME[=VALUE]")
}

/// The prefix `/` alone means no prefix at all.
fn redirect_target(template: Template, word: &str) -> Template {
    let is_root = word == "prefix" && template.as_fixed() == Some(b"/");
    if is_root { Template::default() } else { template }
}
