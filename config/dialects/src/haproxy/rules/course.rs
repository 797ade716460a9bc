//! Actions on the course of a request: waits, time-outs, tries, addresses, packets.

use super::super::format;
use super::super::said::{Cursor, Done, Said};
use super::super::scene::{Kind, Scene};
use super::{Family, REQUEST, expression, header_name, own_argument, text};
use plan::rule::{
    Action, Course, Expr, Fetch, NewValue, Normalizer, SetVariable, TimeoutKind, Value, VariableCondition,
    WaitForBody,
};
use std::time::Duration;

/// Most conditions of one `set-var`.
const MAX_CONDITIONS: usize = 4;

fn action(course: Course) -> Done<Action> {
    Ok(Action::Course(Box::new(course)))
}

/// `set-src-port EXPRESSION`, `set-dst EXPRESSION`, `set-dst-port EXPRESSION`.
pub(super) fn address(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    let word = cursor.line.text(cursor.at - 1);
    let value = expression(scene, cursor, family)?;
    action(match word {
        "set-src-port" => Course::ClientPort(value),
        "set-dst" => Course::LocalAddress(value),
        _ => Course::LocalPort(value),
    })
}

/// `wait-for-body time TIME [at-least SIZE]`.
pub(super) fn wait_for_body(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    let (mut longest, mut at_least) = (None, 0);
    while !cursor.is_end() && !cursor.is_condition() {
        match cursor.text("time or at-least")? {
            "time" => longest = Some(cursor.time()?),
            "at-least" => at_least = cursor.size()?,
            "use-large-buffer" => return Err(Said::not_yet("'use-large-buffer'").at(cursor.at - 1)),
            other => return Err(cursor.wrong(other, "time or at-least")),
        }
    }
    let longest = longest.ok_or_else(|| {
        Said::new("'wait-for-body' needs a time").hint("as in: wait-for-body time 1s at-least 1k")
    })?;
    action(Course::WaitForBody(WaitForBody { longest, at_least }))
}

/// `pause TIME|EXPRESSION`.
pub(super) fn pause(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    action(Course::Pause(milliseconds(scene, cursor, family)?))
}

/// A time, or an expression that counts milliseconds.
fn milliseconds(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Expr> {
    if !cursor.peek().starts_with(|c: char| c.is_ascii_digit()) {
        return expression(scene, cursor, family);
    }
    let time: Duration = cursor.time()?;
    Ok(constant(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

fn constant(number: i64) -> Expr {
    Expr::of(Fetch::Constant(Value::Int(number)))
}

/// `early-hint NAME TEXT`.
pub(super) fn early_hint(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    let name = header_name(cursor)?;
    action(Course::EarlyHint(name, text(scene, cursor, family)?))
}

const TIMEOUTS: &[(&str, TimeoutKind)] = &[
    ("client", TimeoutKind::Client),
    ("connect", TimeoutKind::Connect),
    ("queue", TimeoutKind::Queue),
    ("server", TimeoutKind::Server),
    ("tarpit", TimeoutKind::Tarpit),
    ("tunnel", TimeoutKind::Tunnel),
];

/// `set-timeout NAME TIME|EXPRESSION`.
pub(super) fn set_timeout(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Done<Action> {
    const NAMES: &str = "client, connect, queue, server, tarpit or tunnel";
    let word = cursor.text(NAMES)?;
    let Some((_, kind)) = TIMEOUTS.iter().find(|(name, _)| *name == word) else {
        return Err(cursor.wrong(word, NAMES));
    };
    let fits = match kind {
        TimeoutKind::Client => scene.proxy.kind.has_site(),
        TimeoutKind::Tarpit => true,
        _ => scene.proxy.kind.has_pool(),
    };
    if !fits {
        let (here, there) =
            (scene.proxy.kind.word(), if *kind == TimeoutKind::Client { "frontend" } else { "backend" });
        return Err(Said::new(format!("'set-timeout {word}' may not stand in a {here} section"))
            .hint(format!("move it to the {there}"))
            .at(cursor.at - 1));
    }
    let value = milliseconds(scene, cursor, family)?;
    if matches!(value.fetch, Fetch::Constant(Value::Int(0))) {
        return Err(Said::new("a time-out of 0 would never let anything through").at(cursor.at - 1));
    }
    action(Course::Timeout(*kind, value))
}

/// `set-retries N|EXPRESSION`.
pub(super) fn set_retries(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Done<Action> {
    if !scene.proxy.kind.has_pool() {
        return Err(
            Said::new("'set-retries' may not stand in a frontend section").hint("move it to the backend")
        );
    }
    if scene.proxy.kind == Kind::Defaults {
        return Err(Said::new("'set-retries' may not stand in a defaults section"));
    }
    action(Course::Tries(number(scene, cursor, family, 100)?))
}

/// `disable-l7-retry`.
pub(super) fn no_retry(_: &mut Scene<'_, '_>, _: &mut Cursor<'_>, _: Family) -> Done<Action> {
    action(Course::NoRetry)
}

/// A number up to `most`, or an expression.
fn number(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family, most: u64) -> Done<Expr> {
    let word = cursor.peek();
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let parsed = match hex {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    match parsed {
        Some(value) if value <= most => {
            cursor.next();
            Ok(constant(value as i64))
        }
        Some(value) => Err(Said::new(format!("'{value}' is out of range: at most {most}")).at(cursor.at)),
        None => expression(scene, cursor, family),
    }
}

/// `set-fc-mark N`, old `set-mark N`.
pub(super) fn mark(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    action(Course::ClientMark(number(scene, cursor, family, u64::from(u32::MAX))?))
}

/// `set-fc-tos N`, old `set-tos N`.
pub(super) fn tos(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    action(Course::ClientTos(number(scene, cursor, family, 255)?))
}

/// `strict-mode on|off`.
pub(super) fn strict_mode(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    match cursor.text("on or off")? {
        "on" => action(Course::Strict(true)),
        "off" => action(Course::Strict(false)),
        other => Err(cursor.wrong(other, "on or off")),
    }
}

/// `normalize-uri NORMALIZER [full|strict]`.
pub(super) fn normalize_uri(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: Family) -> Done<Action> {
    let word = cursor.text("a normalizer such as path-merge-slashes")?;
    let step = match word {
        "fragment-encode" => Normalizer::FragmentEncode,
        "fragment-strip" => Normalizer::FragmentStrip,
        "path-merge-slashes" => Normalizer::MergeSlashes,
        "path-strip-dot" => Normalizer::StripDot,
        "path-strip-dotdot" => Normalizer::StripDotDot { full: cursor.eat("full") },
        "percent-decode-unreserved" => Normalizer::DecodeUnreserved { strict: cursor.eat("strict") },
        "percent-to-uppercase" => Normalizer::UpperCaseEscapes { strict: cursor.eat("strict") },
        "query-sort-by-name" => Normalizer::SortQuery,
        other => return Err(cursor.wrong(other, "a normalizer such as path-merge-slashes")),
    };
    action(Course::Normalize(step))
}

/// `capture EXPRESSION len N`, `capture EXPRESSION id N`. With `len` a slot is opened; its name is empty, so no
/// header fills it.
pub(super) fn capture(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done<Action> {
    let expr = expression(scene, cursor, family)?;
    let of_request = matches!(family.bit, REQUEST | super::CONTENT);
    match cursor.text("'len N' or 'id N'")? {
        "len" if of_request => {
            if !scene.proxy.kind.has_site() {
                return Err(Said::new("'capture … len' may stand in frontend and listen sections only")
                    .hint("declare the slot in the frontend with 'declare capture' and use 'id N'"));
            }
            let length = cursor.number_in("a length", 1, 65_536)? as usize;
            let slots = &mut scene.proxy.site.request_captures;
            slots.push((String::new(), length));
            Ok(Action::Capture(expr, slots.len() - 1))
        }
        "id" => {
            let slot = cursor.number_in("the number of a capture", 0, 1000)? as usize;
            if of_request {
                Ok(Action::Capture(expr, slot))
            } else {
                action(Course::CaptureResponse(expr, slot))
            }
        }
        other => Err(cursor.wrong(other, if of_request { "'len N' or 'id N'" } else { "'id N'" })),
    }
}

/// `declare capture request|response len N`: a slot for rules in backends.
pub(in super::super) fn declare(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    const FORM: &str = "capture request len N, or capture response len N";
    if cursor.text(FORM)? != "capture" {
        return Err(Said::new("'declare' needs 'capture'").hint(format!("write: declare {FORM}")));
    }
    let site = &mut scene.proxy.site;
    let list = match cursor.text("request or response")? {
        "request" => &mut site.request_captures,
        "response" => &mut site.response_captures,
        other => return Err(cursor.wrong(other, "request or response")),
    };
    if !cursor.eat("len") {
        return Err(Said::new("'len' and a number are missing").at(cursor.at));
    }
    list.push((String::new(), cursor.number_in("a length", 1, 65_536)? as usize));
    cursor.end()
}

/// `set-var(NAME,CONDITION…) EXPRESSION`, `set-var-fmt(NAME,CONDITION…) TEXT`, with at least one condition.
pub(super) fn set_variable_when(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Done<Action> {
    let at = cursor.at - 1;
    let word = cursor.line.text(at);
    let mut parts = own_argument(cursor)?.split(',').map(str::trim);
    let (scope, name) =
        super::sample::variable_name(parts.next().unwrap_or_default()).map_err(|s| s.at(at))?;
    let when = parts.map(condition).collect::<Done<Vec<_>>>().map_err(|said| said.at(at))?;
    if when.len() > MAX_CONDITIONS {
        return Err(Said::new(format!("at most {MAX_CONDITIONS} conditions may stand in 'set-var'")).at(at));
    }
    let value = if word.starts_with("set-var-fmt") {
        let at = cursor.at;
        let word = cursor.need("a text")?;
        NewValue::Text(format::text(scene, &word.bytes, family.phase).map_err(|said| said.at(at))?)
    } else {
        NewValue::Value(expression(scene, cursor, family)?)
    };
    action(Course::SetVariable(Box::new(SetVariable { scope, name, value, when })))
}

/// A variable of the process would exist before it is set; all others exist when they are set.
fn condition(word: &str) -> Done<VariableCondition> {
    Ok(match word {
        "ifexists" | "ifset" => VariableCondition::Set,
        "ifnotexists" | "ifnotset" => VariableCondition::NotSet,
        "ifempty" => VariableCondition::Empty,
        "ifnotempty" => VariableCondition::NotEmpty,
        "ifgt" => VariableCondition::Greater,
        "iflt" => VariableCondition::Less,
        other => {
            return Err(Said::new(format!("'{other}' is no condition of 'set-var'")).hint(
                "the conditions are ifexists, ifnotexists, ifempty, ifnotempty, ifset, ifnotset, ifgt, iflt",
            ));
        }
    })
}

/// Actions that are always done already, or change nothing here, with the reason.
pub(super) fn without_effect(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    name: &str,
    family: Family,
) -> Done<bool> {
    let at = cursor.at - 1;
    match (name, family.word) {
        ("wait-for-handshake", "http-request") => {
            scene.no_effect(cursor.line, at, "a request is read when the handshake is over");
        }
        ("set-nice", "http-request" | "http-response" | "tcp-request content" | "tcp-response content") => {
            let word = cursor.text("a number from -1024 to 1024")?;
            let nice: i64 = word.parse().map_err(|_| cursor.wrong(word, "a number from -1024 to 1024"))?;
            if !(-1024..=1024).contains(&nice) {
                return Err(cursor.wrong(word, "a number from -1024 to 1024"));
            }
            scene.no_effect(cursor.line, at, "requests take turns on their worker");
        }
        _ => return Ok(false),
    }
    Ok(true)
}
