//! Rules as they were written before version 2.1: `block`, `reqadd`, `rspadd`, `reqrep` and their like.
//!
//! Each becomes the rule of today, with a note that shows it. What cannot be said today is a problem.

use super::super::acl;
use super::super::proxy::needs_http;
use super::super::said::{Cursor, Done, Said};
use super::super::scene::{Phase, Scene};
use super::super::units;
use plan::pages::{Answer, AnswerBody};
use plan::rule::{Action, Fetch, HeaderMatch, Matcher, RegexTemplate, Rule, Template, Test, TextPattern};
use plan::rule::{HeaderFetch, Occurrence};
use plan::{Condition, Expr, Networks};
use std::sync::Arc;

/// `block if …`.
pub(in super::super) fn block(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if !cursor.is_condition() {
        return Err(Said::new("'block' needs 'if …' or 'unless …'"));
    }
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    scene.shared.old(cursor.line, "block", "http-request deny if …")?;
    let rule = rule(cursor, condition, Action::Deny(page(403)));
    scene.proxy.rules.early.push(rule);
    needs_http(scene, cursor, "block");
    Ok(())
}

/// `monitor-net NETWORK`.
pub(in super::super) fn monitor_net(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let text = cursor.text("a network")?;
    let network = text.parse().map_err(|what: String| Said::new(what).at(1))?;
    cursor.end()?;
    scene.shared.old(
        cursor.line,
        "monitor-net",
        &format!("http-request return status 200 if {{ src {text} }}"),
    )?;
    let matcher = Matcher::Address(Networks(vec![network]));
    let condition = Condition::Test(Test { expr: Expr::of(Fetch::ClientAddress), matcher });
    let answer = Answer { status: 200, body: AnswerBody::Empty, ..Answer::default() };
    let rule = rule(cursor, condition, Action::Answer(Arc::new(answer)));
    scene.proxy.rules.early.push(rule);
    needs_http(scene, cursor, "monitor-net");
    Ok(())
}

/// `reqadd NAME:\ VALUE [if …]`.
pub(in super::super) fn reqadd(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let (name, value) = header_line(cursor)?;
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    scene.shared.old(cursor.line, "reqadd", &format!("http-request add-header {name} \"{value}\""))?;
    let action = Action::AddHeader(name.into(), Template::fixed(value));
    late(scene, cursor, condition, action)
}

/// `rspadd NAME:\ VALUE [if …]`.
pub(in super::super) fn rspadd(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let (name, value) = header_line(cursor)?;
    let condition = acl::condition(scene, cursor, Phase::Response)?;
    scene.shared.old(cursor.line, "rspadd", &format!("http-response add-header {name} \"{value}\""))?;
    let action = Action::AddHeader(name.into(), Template::fixed(value));
    late_response(scene, cursor, condition, action)
}

/// `reqdel EXPRESSION [if …]`, `reqidel …`.
pub(in super::super) fn reqdel(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let (pattern, name) = deleted(cursor)?;
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    scene.shared.old(cursor.line, cursor.line.text(0), &format!("http-request del-header {name}"))?;
    late(scene, cursor, condition, Action::DelHeader(HeaderMatch { pattern }))
}

/// `rspdel EXPRESSION [if …]`, `rspidel …`.
pub(in super::super) fn rspdel(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let (pattern, name) = deleted(cursor)?;
    let condition = acl::condition(scene, cursor, Phase::Response)?;
    scene.shared.old(cursor.line, cursor.line.text(0), &format!("http-response del-header {name}"))?;
    late_response(scene, cursor, condition, Action::DelHeader(HeaderMatch { pattern }))
}

/// `reqdeny EXPRESSION [if …]`, `reqtarpit …`, with `i` for "without case".
pub(in super::super) fn reqdeny(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.line.text(0);
    let pattern = cursor.text("an expression")?;
    let matched = on_head(pattern, is_caseless(word)).ok_or_else(|| not_mechanical(word, pattern).at(1))?;
    let rest = acl::condition(scene, cursor, Phase::Request)?;
    let (verb, action) = match word.contains("tarpit") {
        true => ("tarpit", Action::Tarpit(page(500))),
        false => ("deny", Action::Deny(page(403))),
    };
    scene.shared.old(cursor.line, word, &format!("http-request {verb} if the head matches '{pattern}'"))?;
    let condition = match rest {
        Condition::Always => matched,
        rest => Condition::All(vec![matched, rest]),
    };
    late(scene, cursor, condition, action)
}

/// `reqrep EXPRESSION TEXT [if …]`, `reqirep …`.
pub(in super::super) fn reqrep(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.line.text(0);
    let (pattern, text) = (cursor.text("an expression and a text")?, cursor.text("a text")?);
    let action = replaced_header(pattern, text, is_caseless(word))?
        .or(replaced_target(pattern, text, is_caseless(word))?)
        .ok_or_else(|| not_mechanical(word, pattern).at(1))?;
    let modern = match &action {
        Action::ReplaceHeader(name, ..) => format!("http-request replace-header {name} …"),
        _ => "http-request replace-uri …".to_owned(),
    };
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    scene.shared.old(cursor.line, word, &modern)?;
    late(scene, cursor, condition, action)
}

/// `rsprep EXPRESSION TEXT [if …]`, `rspirep …`.
pub(in super::super) fn rsprep(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.line.text(0);
    let (pattern, text) = (cursor.text("an expression and a text")?, cursor.text("a text")?);
    let action = replaced_header(pattern, text, is_caseless(word))?
        .ok_or_else(|| not_mechanical(word, pattern).at(1))?;
    let condition = acl::condition(scene, cursor, Phase::Response)?;
    scene.shared.old(cursor.line, word, "http-response replace-header …")?;
    late_response(scene, cursor, condition, action)
}

/// What has no counterpart today.
pub(in super::super) fn refused(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    Err(not_mechanical(cursor.line.text(0), cursor.peek()))
}

fn not_mechanical(word: &str, pattern: &str) -> Said {
    Said::new(format!("'{word} {pattern}' has no counterpart today"))
        .hint("say it with http-request rules: deny, allow, replace-header, replace-path, replace-uri")
}

fn rule(cursor: &Cursor<'_>, condition: Condition, action: Action) -> Rule {
    Rule { place: cursor.line.place(0), condition, action }
}

fn late(scene: &mut Scene<'_, '_>, cursor: &Cursor<'_>, condition: Condition, action: Action) -> Done {
    let rule = rule(cursor, condition, action);
    scene.proxy.rules.late.push(rule);
    needs_http(scene, cursor, "reqadd and its like");
    Ok(())
}

fn late_response(
    scene: &mut Scene<'_, '_>,
    cursor: &Cursor<'_>,
    condition: Condition,
    action: Action,
) -> Done {
    let rule = rule(cursor, condition, action);
    scene.proxy.rules.late_response.push(rule);
    needs_http(scene, cursor, "rspadd and its like");
    Ok(())
}

fn page(status: u16) -> Arc<Answer> {
    Arc::new(Answer { status, ..Answer::default() })
}

fn is_caseless(word: &str) -> bool {
    word.starts_with("reqi") || word.starts_with("rspi")
}

/// `NAME: VALUE`.
fn header_line(cursor: &mut Cursor<'_>) -> Done<(String, String)> {
    let line = cursor.text("a header line")?;
    let (name, value) = line.split_once(':').ok_or_else(|| cursor.wrong(line, "NAME:\\ VALUE"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// The header that an expression such as `^Server:.*` removes.
fn deleted(cursor: &mut Cursor<'_>) -> Done<(TextPattern, String)> {
    let pattern = cursor.text("an expression")?;
    let name = header_of(pattern).filter(|(_, rest)| matches!(*rest, "" | ".*" | "[ ]*" | ".*$"));
    match name {
        Some((name, _)) => Ok((TextPattern::Exact(name.into()), name.to_owned())),
        None => Err(not_mechanical(cursor.line.text(0), pattern).at(1)),
    }
}

/// Name and rest of `^NAME:REST`, the blank behind the colon taken away.
fn header_of(pattern: &str) -> Option<(&str, &str)> {
    let (name, rest) = pattern.strip_prefix('^')?.split_once(':')?;
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let rest =
        rest.strip_prefix("\\ ").or(rest.strip_prefix("[ ]*")).or(rest.strip_prefix(' ')).unwrap_or(rest);
    valid.then_some((name, rest))
}

fn whole_value(rest: &str, ignore_case: bool) -> Option<regex::bytes::Regex> {
    units::expression(&format!("^{rest}"), ignore_case).ok()
}

fn on_head(pattern: &str, ignore_case: bool) -> Option<Condition> {
    let (fetch, regex) = match header_of(pattern) {
        Some((name, rest)) => {
            let name = name.to_ascii_lowercase().into();
            let header = HeaderFetch { name, occurrence: Occurrence::Any, whole_line: true };
            (Fetch::Header(header), whole_value(rest, ignore_case)?)
        }
        None => {
            let target = target_part(pattern)?;
            (Fetch::Target, units::expression(&target, ignore_case).ok()?)
        }
    };
    Some(Condition::Test(Test { expr: Expr::of(fetch), matcher: Matcher::Regex(vec![regex]) }))
}

/// The part of an expression on the request line that concerns the target: `^[^\ :]*\ /x` gives `^/x`.
fn target_part(pattern: &str) -> Option<String> {
    const METHODS: &[&str] =
        &["^[^\\ :]*\\ ", "^[^\\ ]*\\ ", "^[^ :]* ", "^[^ ]* ", "^GET\\ ", "^GET ", "^[A-Z]*\\ ", "^[A-Z]* "];
    let rest = METHODS.iter().find_map(|m| pattern.strip_prefix(m))?;
    Some(format!("^{rest}"))
}

/// `^Name:\ (.*)` to `Name:\ \1`: the same header on both sides.
fn replaced_header(pattern: &str, text: &str, ignore_case: bool) -> Done<Option<Action>> {
    let Some((name, rest)) = header_of(pattern) else { return Ok(None) };
    let Some((new_name, value)) = text.split_once(':') else { return Ok(None) };
    if !new_name.trim().eq_ignore_ascii_case(name) {
        return Ok(None);
    }
    let regex = units::expression(&format!("^{rest}"), ignore_case)?;
    let template = RegexTemplate(Template::fixed(value.trim_start()));
    Ok(Some(Action::ReplaceHeader(name.into(), regex, template)))
}

/// `^([^\ :]*)\ /a/(.*)` to `\1\ /\2`: the method is kept, so the groups count from the second one.
fn replaced_target(pattern: &str, text: &str, ignore_case: bool) -> Done<Option<Action>> {
    const METHODS: &[&str] = &["^([^\\ :]*)\\ ", "^([^\\ ]*)\\ ", "^([^ :]*) ", "^([^ ]*) "];
    let Some(rest) = METHODS.iter().find_map(|m| pattern.strip_prefix(m)) else { return Ok(None) };
    let Some(new) = text.strip_prefix("\\1\\ ").or(text.strip_prefix("\\1 ")) else { return Ok(None) };
    let regex = units::expression(&format!("^{}", rest.replace("\\ ", " ")), ignore_case)?;
    Ok(Some(Action::ReplaceTarget(regex, RegexTemplate(Template::fixed(lower_groups(new))))))
}

/// `\2` becomes `\1`, and so on.
fn lower_groups(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\'
            && let Some(digit) = chars.next_if(|d| ('2'..='9').contains(d)).and_then(|d| d.to_digit(10))
        {
            out.push_str(&(digit - 1).to_string());
        }
    }
    out
}
