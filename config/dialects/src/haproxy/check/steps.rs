//! `tcp-check …` and `http-check …` rules: the steps of a check.

use super::{RequestDraft, RuleList, minor_version, note_http_rule};
use crate::haproxy::address::{self, Host, Ports, Written};
use crate::haproxy::said::{Cursor, Done, Said};
use crate::haproxy::scene::{Phase, Scene};
use crate::haproxy::{format, sample, units};
use plan::check::{
    CheckConnect, Expect, Expectation, FailAs, HeaderExpectation, LateAs, PassAs, Step, StepAct,
    TextExpectation,
};
use plan::rule::{Expr, Fetch, Scope, Template, TextMatch, Value};

/// Most steps of a check.
const MAX_STEPS: usize = 1000;

/// Which rules are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Bytes,
    Http,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Family::Bytes => "tcp-check",
            Family::Http => "http-check",
        }
    }

    fn list<'a>(self, scene: &'a mut Scene<'_, '_>) -> &'a mut RuleList {
        let draft = &mut scene.proxy.check;
        let list = match self {
            Family::Bytes => &mut draft.bytes,
            Family::Http => &mut draft.http,
        };
        if std::mem::take(&mut list.inherited) {
            list.steps.clear();
        }
        list
    }
}

/// `tcp-check connect|send|expect …`; the cursor stands behind `tcp-check`.
pub(in crate::haproxy) fn tcp_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("connect, send, expect, comment or set-var")?;
    let act = match word {
        "send" => Some(StepAct::Send(Template::fixed(cursor.need("a text")?.bytes.clone()))),
        "send-lf" => Some(StepAct::Send(template(scene, cursor)?)),
        "send-binary" => Some(StepAct::Send(Template::fixed(hex(cursor)?))),
        "send-binary-lf" => Some(StepAct::SendHex(template(scene, cursor)?)),
        _ => None,
    };
    match act {
        Some(act) => {
            let comment = comment(cursor)?;
            push(scene, Family::Bytes, Step { act, comment })
        }
        None => common(scene, cursor, Family::Bytes, word),
    }
}

/// `http-check connect|send|expect …`; the cursor stands behind `http-check`.
pub(in crate::haproxy) fn http_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("connect, send, expect, comment or set-var")? {
        "send" => send(scene, cursor)?,
        "send-state" => {
            cursor.end()?;
            scene.proxy.check.send_state = true;
        }
        "disable-on-404" => {
            cursor.end()?;
            scene.proxy.check.stop_on_404 = true;
        }
        word => common(scene, cursor, Family::Http, word)?,
    }
    note_http_rule(scene);
    Ok(())
}

/// Rules that both kinds have.
fn common(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family, word: &str) -> Done {
    let name = word.split_once('(').map_or(word, |(name, _)| name);
    let act = match name {
        "connect" => return connect(scene, cursor, family),
        "expect" => return expect(scene, cursor, family),
        "comment" => {
            let comment = Some(cursor.text("a text")?.to_owned());
            return push(scene, family, Step { act: StepAct::Remark, comment });
        }
        "set-var" => {
            let (scope, variable) = own_variable(cursor)?;
            StepAct::Set(scope, variable, expression(scene, cursor)?)
        }
        "set-var-fmt" => {
            let (scope, variable) = own_variable(cursor)?;
            StepAct::SetText(scope, variable, template(scene, cursor)?)
        }
        "unset-var" => {
            let (scope, variable) = own_variable(cursor)?;
            StepAct::Unset(scope, variable)
        }
        other => {
            let what = "connect, send, expect, comment, set-var, set-var-fmt or unset-var";
            return Err(cursor.wrong(other, what));
        }
    };
    cursor.end()?;
    push(scene, family, act.into())
}

fn push(scene: &mut Scene<'_, '_>, family: Family, step: Step) -> Done {
    let list = family.list(scene);
    if list.steps.len() >= MAX_STEPS {
        return Err(Said::new(format!("too many '{}' lines", family.word())));
    }
    list.steps.push(step);
    Ok(())
}

/// `comment TEXT` at the end of a rule.
fn comment(cursor: &mut Cursor<'_>) -> Done<Option<String>> {
    let comment = match cursor.eat("comment") {
        true => Some(cursor.text("a text")?.to_owned()),
        false => None,
    };
    cursor.end()?;
    Ok(comment)
}

fn template(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<Template> {
    let word = cursor.need("a text")?;
    if word.bytes.is_empty() {
        return Err(
            Said::new(format!("'{}' needs a text", cursor.line.text(cursor.at - 2))).at(cursor.at - 1)
        );
    }
    format::text(scene, &word.bytes, Phase::Check).map_err(|said| said.at(cursor.at - 1))
}

fn expression(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<Expr> {
    let word = cursor.need("an expression")?;
    let found = sample::read_whole(scene, &word.bytes).map_err(|said| said.at(cursor.at - 1))?;
    sample::check_phase(&found, Phase::Check).map_err(|said| said.at(cursor.at - 1))?;
    Ok(found.expr)
}

/// What stands in the parentheses of the rule's own word.
fn own_variable(cursor: &Cursor<'_>) -> Done<(Scope, Box<str>)> {
    let at = cursor.at - 1;
    let word = cursor.line.text(at);
    let inner = word.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).ok_or_else(|| {
        Said::new(format!("'{word}' needs a variable in parentheses"))
            .hint("as in set-var(check.name)")
            .at(at)
    })?;
    if inner.contains(',') {
        return Err(Said::not_yet("a condition in 'set-var' of a check").at(at));
    }
    let (scope, name) = sample::variable_name(inner).map_err(|said| said.at(at))?;
    match scope {
        Scope::Check | Scope::Session => Ok((scope, name)),
        Scope::Process => Err(Said::not_yet("the scope 'proc' in a check").hint("use check.NAME").at(at)),
        _ => Err(Said::new(format!("'{inner}': checks know the scopes check and sess only")).at(at)),
    }
}

/// Bytes written as hexadecimal digits.
fn hex(cursor: &mut Cursor<'_>) -> Done<Vec<u8>> {
    let text = cursor.text("hexadecimal digits")?;
    let wrong = || {
        Said::new(format!("'{text}' is no even number of hexadecimal digits"))
            .hint("write 50494e47")
            .at(cursor.at - 1)
    };
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .filter(|digits: &Vec<u8>| !digits.is_empty() && digits.len().is_multiple_of(2))
        .ok_or_else(wrong)?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// `connect [default] [port EXPR] [addr IP] [send-proxy] [linger] [comment TEXT]`.
fn connect(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done {
    let mut connect = CheckConnect::default();
    let mut comment = None;
    while let Some(word) = cursor.next() {
        let at = cursor.at - 1;
        match word.text.as_str() {
            "default" => connect.as_server = true,
            "port" => connect.port = Some(port(scene, cursor)?),
            "addr" => address_of(scene, cursor, &mut connect)?,
            "send-proxy" => connect.send_proxy = true,
            "linger" => connect.linger = true,
            "comment" => comment = Some(cursor.text("a text")?.to_owned()),
            "ssl" | "sni" | "alpn" => {
                return Err(Said::not_yet(format!(
                    "'{} connect {}': checks by TLS",
                    family.word(),
                    word.text
                ))
                .hint("check a plain port")
                .at(at));
            }
            "via-socks4" => return Err(Said::not_yet("'via-socks4': checks through a SOCKS proxy").at(at)),
            "proto" => match cursor.text("a protocol")? {
                "h1" if family == Family::Http => {}
                "none" if family == Family::Bytes => {}
                "h2" => return Err(Said::not_yet("checks by HTTP/2 ('proto h2')").at(at)),
                other => return Err(cursor.wrong(other, "h1")),
            },
            other => return Err(cursor.wrong(other, "default, port, addr, send-proxy, linger or comment")),
        }
    }
    first_must_connect(&family.list(scene).steps, family)?;
    push(scene, family, Step { act: StepAct::Connect(connect), comment })
}

fn first_must_connect(steps: &[Step], family: Family) -> Done {
    use StepAct::{Connect, Expect, Request, Send, SendHex};
    let first = steps
        .iter()
        .find(|step| matches!(step.act, Connect(_) | Expect(_) | Request(_) | Send(_) | SendHex(_)));
    if first.is_some_and(|step| !matches!(step.act, Connect(_))) {
        return Err(Said::new(format!(
            "the first '{}' rule must connect when a later one does",
            family.word()
        ))
        .hint(format!("put '{} connect' in front of them", family.word())));
    }
    if family == Family::Http {
        let (connected, asked, judged) = since_connect(steps);
        if connected && asked && !judged {
            return Err(Said::new("nothing is expected of the request before this 'http-check connect'")
                .hint("put 'http-check expect' between them"));
        }
    }
    Ok(())
}

/// Whether there was a connecting rule, and a request and an expectation behind the last one.
fn since_connect(steps: &[Step]) -> (bool, bool, bool) {
    let at = steps.iter().rposition(|step| matches!(step.act, StepAct::Connect(_)));
    let rest = &steps[at.unwrap_or(0)..];
    let has = |find: fn(&StepAct) -> bool| rest.iter().any(|step| find(&step.act));
    (
        at.is_some(),
        has(|act| matches!(act, StepAct::Request(_))),
        has(|act| matches!(act, StepAct::Expect(_))),
    )
}

fn port(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<Expr> {
    let text = cursor.peek();
    match text.parse::<u32>() {
        Ok(port @ 1..=65535) => {
            cursor.next();
            Ok(Expr::of(Fetch::Constant(Value::Int(port.into()))))
        }
        Ok(_) => Err(Said::new(format!("'{text}' is no port: 1 to 65535 is expected")).at(cursor.at)),
        Err(_) => expression(scene, cursor),
    }
}

/// `addr 10.0.0.1` or `addr 10.0.0.1:80`.
fn address_of(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>, connect: &mut CheckConnect) -> Done {
    let at = cursor.at;
    let text = cursor.text("an address")?;
    let read = address::read(text, &scene.shared.environment).map_err(|said| said.at(at))?;
    let Written::Host(host @ (Host::Address(_) | Host::Name(_)), ports) = read.written else {
        return Err(Said::not_yet(format!("a check at '{text}'")).hint("name an IP address").at(at));
    };
    connect.address = Some(address::resolve(&host, scene.shared.sources).map_err(|said| said.at(at))?);
    match ports {
        Ports::Missing => {}
        Ports::Range(low, high) if low == high && low > 0 => {
            connect.port.get_or_insert(Expr::of(Fetch::Constant(Value::Int(low.into()))));
        }
        _ => return Err(Said::new(format!("'{text}': a check goes to one port")).at(at)),
    }
    Ok(())
}

/// `send [meth M] [uri U | uri-lf F] [ver V] [hdr NAME F]* [body B | body-lf F] [comment C]`.
fn send(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut request = RequestDraft::default();
    let mut comment = None;
    while let Some(word) = cursor.next() {
        match word.text.as_str() {
            "meth" => request.method = Some(cursor.text("a method")?.to_owned()),
            "uri" => request.target = Some(Template::fixed(cursor.need("a path")?.bytes.clone())),
            "uri-lf" => request.target = Some(template(scene, cursor)?),
            "ver" => {
                let minor = minor_version(cursor.text("a version")?).map_err(|s| s.at(cursor.at - 1))?;
                request.minor = Some(minor);
            }
            "hdr" => {
                let name = cursor.text("a name and a value")?.to_owned();
                let value = cursor.need("a value")?;
                let value =
                    format::text(scene, &value.bytes, Phase::Check).map_err(|s| s.at(cursor.at - 1))?;
                request.headers.push((name, value));
            }
            "body" => request.body = Some(Template::fixed(cursor.need("a text")?.bytes.clone())),
            "body-lf" => request.body = Some(template(scene, cursor)?),
            "comment" => comment = Some(cursor.text("a text")?.to_owned()),
            other => return Err(cursor.wrong(other, "meth, uri, uri-lf, ver, hdr, body, body-lf or comment")),
        }
    }
    // The request of the defaults is no part of a check of one's own.
    if scene.proxy.check.http.inherited {
        scene.proxy.check.request = RequestDraft::default();
    }
    let steps = &Family::Http.list(scene).steps;
    if since_connect(steps).1 {
        return Err(Said::new("one connection of a check serves one request")
            .hint("put 'http-check connect' in front of a second 'http-check send'"));
    }
    let is_first = !steps.iter().any(|step| matches!(step.act, StepAct::Request(_)));
    let act = StepAct::Request(request.clone().request());
    if is_first {
        scene.proxy.check.request.merge(request);
    }
    push(scene, Family::Http, Step { act, comment })
}

/// `expect [options] [!] MATCH PATTERN`.
fn expect(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, family: Family) -> Done {
    let mut negate = false;
    let mut comment = None;
    // What stands before the match; the match itself replaces `what`.
    let mut expect = Expect::from(Expectation::Text(Vec::new()));
    let mut matched = false;
    while !matched || !cursor.is_end() {
        let at = cursor.at;
        match cursor.text("what is expected: string, rstring, status …")? {
            "!" if !matched => negate = !negate,
            "min-recv" => {
                let least: i64 = cursor.number("a number of bytes, or -1")?;
                expect.least = u32::try_from(least).ok();
            }
            "comment" => comment = Some(cursor.text("a text")?.to_owned()),
            "ok-status" => expect.passes_as = pass_as(cursor)?,
            "error-status" => expect.fails_as = Some(fail_as(cursor)?),
            "tout-status" => expect.late_as = late_as(cursor)?,
            "on-success" => expect.on_success = Some(template(scene, cursor)?),
            "on-error" => expect.on_error = Some(template(scene, cursor)?),
            "status-code" => expect.code = Some(expression(scene, cursor)?),
            kind if !matched => {
                let bare = kind.trim_start_matches('!');
                negate ^= (kind.len() - bare.len()) % 2 == 1;
                expect.what = expectation(scene, cursor, family, bare).map_err(|said| said.at(at))?;
                matched = true;
            }
            other => return Err(cursor.wrong(other, "comment, on-error or another option")),
        }
    }
    expect.negate = negate;
    if family == Family::Http {
        let (connected, asked, _) = since_connect(&Family::Http.list(scene).steps);
        if connected && !asked {
            return Err(Said::new("nothing was asked since 'http-check connect'")
                .hint("put 'http-check send' between them"));
        }
    }
    push(scene, family, Step { act: StepAct::Expect(expect), comment })
}

fn pass_as(cursor: &mut Cursor<'_>) -> Done<PassAs> {
    Ok(match cursor.text("L7OK, L7OKC, L6OK or L4OK")? {
        "L7OK" => PassAs::Layer7,
        "L7OKC" => PassAs::Conditional,
        "L6OK" => PassAs::Layer6,
        "L4OK" => PassAs::Layer4,
        other => return Err(cursor.wrong(other, "L7OK, L7OKC, L6OK or L4OK")),
    })
}

fn fail_as(cursor: &mut Cursor<'_>) -> Done<FailAs> {
    Ok(match cursor.text("L7RSP, L7STS, L7OKC, L6RSP or L4CON")? {
        "L7OKC" => FailAs::Conditional,
        "L7RSP" => FailAs::Invalid,
        "L7STS" => FailAs::WrongStatus,
        "L6RSP" => FailAs::Layer6,
        "L4CON" => FailAs::Layer4,
        other => return Err(cursor.wrong(other, "L7RSP, L7STS, L7OKC, L6RSP or L4CON")),
    })
}

fn late_as(cursor: &mut Cursor<'_>) -> Done<LateAs> {
    Ok(match cursor.text("L7TOUT, L6TOUT or L4TOUT")? {
        "L7TOUT" => LateAs::Layer7,
        "L6TOUT" => LateAs::Layer6,
        "L4TOUT" => LateAs::Layer4,
        other => return Err(cursor.wrong(other, "L7TOUT, L6TOUT or L4TOUT")),
    })
}

fn expectation(
    scene: &Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    family: Family,
    kind: &str,
) -> Done<Expectation> {
    use Family::{Bytes, Http};
    Ok(match (kind, family) {
        ("string", _) => Expectation::Text(cursor.need("a text")?.bytes.clone()),
        ("rstring", _) => Expectation::Regex(units::expression(cursor.text("an expression")?, false)?),
        ("string-lf", _) => Expectation::Template(template(scene, cursor)?),
        ("binary", Bytes) => Expectation::Binary(hex(cursor)?),
        ("rbinary", Bytes) => Expectation::HexRegex(units::expression(cursor.text("an expression")?, false)?),
        ("binary-lf", Bytes) => Expectation::HexTemplate(template(scene, cursor)?),
        ("status", Http) => Expectation::Status(statuses(cursor.text("statuses")?)?),
        ("rstatus", Http) => {
            Expectation::StatusRegex(units::expression(cursor.text("an expression")?, false)?)
        }
        ("hdr", Http) => Expectation::Header(header(scene, cursor, false)?),
        ("fhdr", Http) => Expectation::Header(header(scene, cursor, true)?),
        (other, Http) => {
            return Err(cursor.wrong(other, "status, rstatus, hdr, fhdr, string, rstring or string-lf"));
        }
        (other, Bytes) => {
            return Err(cursor.wrong(other, "string, rstring, string-lf, binary, rbinary or binary-lf"));
        }
    })
}

/// `{name|name-lf} [-m METHOD] NAME [{value|value-lf} [-m METHOD] VALUE]`.
fn header(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>, whole_line: bool) -> Done<HeaderExpectation> {
    let name = match cursor.text("name or name-lf")? {
        "name" => pattern(scene, cursor, false, true)?,
        "name-lf" => pattern(scene, cursor, true, true)?,
        other => return Err(cursor.wrong(other, "name or name-lf")),
    };
    let value = match cursor.peek() {
        "value" | "value-lf" => {
            let filled = cursor.text("value")? == "value-lf";
            Some(pattern(scene, cursor, filled, false)?)
        }
        _ => None,
    };
    Ok(HeaderExpectation { name, value, whole_line })
}

fn pattern(
    scene: &Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    filled: bool,
    ignore_case: bool,
) -> Done<TextExpectation> {
    let method = if cursor.eat("-m") { cursor.text("str, beg, end, sub or reg")? } else { "str" };
    let how = match method {
        "str" => TextMatch::Exact,
        "beg" => TextMatch::Prefix,
        "end" => TextMatch::Suffix,
        "sub" => TextMatch::Substring,
        "reg" if filled => {
            return Err(Said::new("'-m reg' cannot be used with a text that holds values").at(cursor.at - 1));
        }
        "reg" => {
            let text = cursor.text("an expression")?;
            return Ok(TextExpectation::Regex(units::expression(text, ignore_case)?));
        }
        other => return Err(cursor.wrong(other, "str, beg, end, sub or reg")),
    };
    let text = match filled {
        true => template(scene, cursor)?,
        false => Template::fixed(cursor.need("a text")?.bytes.clone()),
    };
    Ok(TextExpectation::Text(how, text))
}

/// `200`, `200-399`, `200,204,300-399`.
fn statuses(text: &str) -> Done<Vec<(u16, u16)>> {
    let one = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?);
        (low <= high && (100..=999).contains(&low) && high <= 999).then_some((low, high))
    };
    text.split(',')
        .map(|part| {
            one(part.trim()).ok_or_else(|| {
                Said::new(format!("'{part}' is no status")).hint("write 200, 200-399 or 200,404")
            })
        })
        .collect()
}
