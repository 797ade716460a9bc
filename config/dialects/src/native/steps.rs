//! Steps of a check: requests, bytes, expectations, variables.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form};
use super::leaf;
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::check::{
    CheckConnect, Expect, Expectation, FailAs, HeaderExpectation, HttpCheckRequest, LateAs, PassAs, Step,
    StepAct, TextExpectation,
};
use plan::rule::{Expr, Scope, Template, TextMatch};
use regex::bytes::Regex;

/// `GET /health`, `GET /health HTTP/1.1`, or a map.
impl Form for HttpCheckRequest {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<HttpCheckRequest> {
        match &node.kind {
            Kind::Scalar { .. } => {
                leaf::parsed(node, "a request such as 'GET /health'", reader, request_line)
            }
            _ => RequestMap::read(node, reader).map(|map| map.0),
        }
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let target = self.target.as_fixed().and_then(|target| std::str::from_utf8(target).ok());
        let plain = self.headers.is_empty() && self.body.0.is_empty();
        if let (Some(target), true) = (target, plain) {
            let line = match self.minor {
                0 => format!("{} {target}", self.method),
                minor => format!("{} {target} HTTP/1.{minor}", self.method),
            };
            let same = request_line(&line).is_some_and(|read| {
                read.method == self.method
                    && read.minor == self.minor
                    && read.target.as_fixed() == self.target.as_fixed()
            });
            if same {
                return Out::Text(line);
            }
        }
        RequestMap(self.clone()).written(writer)
    }
}

fn request_line(text: &str) -> Option<HttpCheckRequest> {
    let words: Vec<&str> = text.split(' ').collect();
    let (method, target, minor) = match words.as_slice() {
        [method, target] | [method, target, "HTTP/1.0"] => (*method, *target, 0),
        [method, target, "HTTP/1.1"] => (*method, *target, 1),
        _ => return None,
    };
    if method.is_empty() || target.is_empty() {
        return None;
    }
    Some(HttpCheckRequest {
        method: method.into(),
        target: Template::fixed(target),
        minor,
        ..HttpCheckRequest::default()
    })
}

#[derive(Clone)]
struct RequestMap(HttpCheckRequest);

const VERSIONS: &[(&str, u8)] = &[("1.0", 0), ("1.1", 1)];

impl Fieldset for RequestMap {
    fn blank() -> RequestMap {
        RequestMap(HttpCheckRequest::default())
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let HttpCheckRequest { method, target, minor, headers, body } = &mut self.0;
        let default = HttpCheckRequest::default();
        f.value("method", method, &default.method);
        f.with("target", target, Template::read, |target, writer| {
            (target.as_fixed() != Some(b"/")).then(|| target.written(writer))
        });
        f.with(
            "version",
            minor,
            |node, reader| leaf::word(node, "1.0 or 1.1", VERSIONS, reader),
            |minor, writer| {
                if *minor > 1 {
                    writer.problem(format!("the version HTTP/1.{minor} of a check cannot be written"), "");
                }
                (*minor != default.minor).then(|| Out::word(leaf::name_of(minor, VERSIONS)))
            },
        );
        f.pairs("headers", headers);
        let read_body = |node: &Node, reader: &mut Reader<'_>| match &node.kind {
            // Bytes that are no text: `{ base64: … }`.
            Kind::Map(_) => Vec::<u8>::read(node, reader).map(Template::fixed),
            _ => Template::read(node, reader),
        };
        f.with("body", body, read_body, |body, writer| (!body.0.is_empty()).then(|| body.written(writer)));
    }
}

/// A step: one act, and perhaps a comment.
impl Fieldset for Step {
    fn blank() -> Step {
        Step { act: StepAct::Remark, comment: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let mut acts = Acts::of(&self.act);
        acts.fields(f);
        f.option("comment", &mut self.comment);
        match acts.act() {
            Some(act) => self.act = act,
            None => f.refuse("a step does one thing: connect, send, send_bytes, send_hex, expect, set, set_text, unset or nothing", ""),
        }
    }
}

/// The acts of a step, of which one is there.
#[derive(Default)]
struct Acts {
    connect: Option<CheckConnect>,
    request: Option<HttpCheckRequest>,
    bytes: Option<Template>,
    hex: Option<Template>,
    expect: Option<Expect>,
    set: Vec<(String, Expr)>,
    set_text: Vec<(String, Template)>,
    unset: Option<Variable>,
    nothing: bool,
}

impl Acts {
    fn of(act: &StepAct) -> Acts {
        let mut acts = Acts::default();
        match act {
            StepAct::Connect(connect) => acts.connect = Some(connect.clone()),
            StepAct::Request(request) => acts.request = Some(request.clone()),
            StepAct::Send(bytes) => acts.bytes = Some(bytes.clone()),
            StepAct::SendHex(hex) => acts.hex = Some(hex.clone()),
            StepAct::Expect(expect) => acts.expect = Some(expect.clone()),
            StepAct::Set(scope, name, expr) => acts.set.push((variable(*scope, name), expr.clone())),
            StepAct::SetText(scope, name, text) => acts.set_text.push((variable(*scope, name), text.clone())),
            StepAct::Unset(scope, name) => acts.unset = Some(Variable(*scope, name.clone())),
            StepAct::Remark => acts.nothing = true,
        }
        acts
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        if f.reads() {
            *self = Acts::default();
        }
        f.option("connect", &mut self.connect);
        f.option("send", &mut self.request);
        f.option("send_bytes", &mut self.bytes);
        f.option("send_hex", &mut self.hex);
        f.option("expect", &mut self.expect);
        f.pairs("set", &mut self.set);
        f.pairs("set_text", &mut self.set_text);
        f.option("unset", &mut self.unset);
        f.flag("nothing", &mut self.nothing);
    }

    fn act(self) -> Option<StepAct> {
        let set = self
            .set
            .into_iter()
            .map(|(name, expr)| scoped(&name).map(|Variable(scope, name)| StepAct::Set(scope, name, expr)));
        let set_text = self.set_text.into_iter().map(|(name, text)| {
            scoped(&name).map(|Variable(scope, name)| StepAct::SetText(scope, name, text))
        });
        let acts = [
            self.connect.map(StepAct::Connect),
            self.request.map(StepAct::Request),
            self.bytes.map(StepAct::Send),
            self.hex.map(StepAct::SendHex),
            self.expect.map(StepAct::Expect),
            self.unset.map(|Variable(scope, name)| StepAct::Unset(scope, name)),
            self.nothing.then_some(StepAct::Remark),
        ];
        let mut acts = acts.into_iter().flatten().map(Some).chain(set).chain(set_text);
        let first = acts.next().flatten();
        if acts.next().is_some() { None } else { first }
    }
}

/// `check.name`
#[derive(Clone)]
struct Variable(Scope, Box<str>);

const SCOPES: &[(&str, Scope)] = &[("check", Scope::Check), ("sess", Scope::Session)];

impl Form for Variable {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Variable> {
        leaf::parsed(node, "a variable such as check.name", reader, scoped)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::Text(variable(self.0, &self.1))
    }
}

fn scoped(text: &str) -> Option<Variable> {
    let (scope, name) = text.split_once('.')?;
    let (_, scope) = SCOPES.iter().find(|(known, _)| *known == scope)?;
    (!name.is_empty()).then(|| Variable(*scope, name.into()))
}

fn variable(scope: Scope, name: &str) -> String {
    let known = SCOPES.iter().find(|(_, known)| *known == scope).map_or("check", |(known, _)| known);
    format!("{known}.{name}")
}

impl Fieldset for CheckConnect {
    fn blank() -> CheckConnect {
        CheckConnect::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let CheckConnect { as_server, address, port, send_proxy, linger } = self;
        f.flag("as_server", as_server);
        f.option("address", address);
        f.option("port", port);
        f.flag("send_proxy", send_proxy);
        f.flag("linger", linger);
    }
}

/// A status, a range `200..299`, a list of them, or a map.
impl Form for Expect {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Expect> {
        match &node.kind {
            Kind::Map(_) => ExpectMap::read(node, reader).map(|map| map.0),
            _ => Some(Expect::from(Expectation::Status(ranges(node, reader)))),
        }
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let plain = Expect::from(self.what.clone());
        let is_plain = !self.negate
            && self.least.is_none()
            && (self.passes_as, self.late_as) == (plain.passes_as, plain.late_as)
            && self.fails_as.is_none()
            && self.on_success.is_none()
            && self.on_error.is_none()
            && self.code.is_none();
        match &self.what {
            Expectation::Status(list) if is_plain => written_ranges(list),
            _ => ExpectMap(self.clone()).written(writer),
        }
    }
}

#[derive(Clone)]
struct ExpectMap(Expect);

const PASS_AS: &[(&str, PassAs)] = &[
    ("layer7", PassAs::Layer7),
    ("layer6", PassAs::Layer6),
    ("layer4", PassAs::Layer4),
    ("conditional", PassAs::Conditional),
];

const FAIL_AS: &[(&str, FailAs)] = &[
    ("invalid", FailAs::Invalid),
    ("wrong-status", FailAs::WrongStatus),
    ("layer6", FailAs::Layer6),
    ("layer4", FailAs::Layer4),
    ("conditional", FailAs::Conditional),
];

const LATE_AS: &[(&str, LateAs)] =
    &[("layer7", LateAs::Layer7), ("layer6", LateAs::Layer6), ("layer4", LateAs::Layer4)];

impl Fieldset for ExpectMap {
    fn blank() -> ExpectMap {
        ExpectMap(Expect::from(Expectation::Status(Vec::new())))
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Expect { negate, what, least, passes_as, fails_as, late_as, on_success, on_error, code } =
            &mut self.0;
        let mut kinds = if f.reads() { Kinds::default() } else { Kinds::of(what) };
        f.flag("not", negate);
        kinds.fields(f);
        f.option("at_least", least);
        f.with(
            "passes_as",
            passes_as,
            |node, reader| leaf::word(node, "layer7, layer6, layer4 or conditional", PASS_AS, reader),
            |value, _| (*value != PassAs::Layer7).then(|| Out::word(leaf::name_of(value, PASS_AS))),
        );
        f.with(
            "fails_as",
            fails_as,
            |node, reader| {
                leaf::word(node, "invalid, wrong-status, layer6, layer4 or conditional", FAIL_AS, reader)
                    .map(Some)
            },
            |value, _| value.as_ref().map(|value| Out::word(leaf::name_of(value, FAIL_AS))),
        );
        f.with(
            "late_as",
            late_as,
            |node, reader| leaf::word(node, "layer7, layer6 or layer4", LATE_AS, reader),
            |value, _| (*value != LateAs::Layer7).then(|| Out::word(leaf::name_of(value, LATE_AS))),
        );
        f.option("on_success", on_success);
        f.option("on_error", on_error);
        f.option("code", code);
        match kinds.expectation() {
            Some(found) => *what = found,
            None => f.refuse(
                "one of status, status_matches, header, body, body_binary, body_matches, body_hex_matches, \
                 body_text and body_hex is expected here",
                "",
            ),
        }
    }
}

/// What may be looked at, of which one is there.
#[derive(Default)]
struct Kinds {
    status: Option<Vec<(u16, u16)>>,
    status_matches: Option<Regex>,
    header: Option<HeaderExpectation>,
    body: Option<Vec<u8>>,
    body_binary: Option<Vec<u8>>,
    body_matches: Option<Regex>,
    body_hex_matches: Option<Regex>,
    body_text: Option<Template>,
    body_hex: Option<Template>,
}

impl Kinds {
    fn of(what: &Expectation) -> Kinds {
        let mut kinds = Kinds::default();
        match what.clone() {
            Expectation::Status(list) => kinds.status = Some(list),
            Expectation::StatusRegex(regex) => kinds.status_matches = Some(regex),
            Expectation::Header(header) => kinds.header = Some(header),
            Expectation::Text(bytes) => kinds.body = Some(bytes),
            Expectation::Binary(bytes) => kinds.body_binary = Some(bytes),
            Expectation::Regex(regex) => kinds.body_matches = Some(regex),
            Expectation::HexRegex(regex) => kinds.body_hex_matches = Some(regex),
            Expectation::Template(text) => kinds.body_text = Some(text),
            Expectation::HexTemplate(text) => kinds.body_hex = Some(text),
        }
        kinds
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.with(
            "status",
            &mut self.status,
            |node, reader| Some(Some(ranges(node, reader))),
            |list, _| list.as_deref().map(written_ranges),
        );
        f.option("status_matches", &mut self.status_matches);
        f.option("header", &mut self.header);
        f.option("body", &mut self.body);
        f.option("body_binary", &mut self.body_binary);
        f.option("body_matches", &mut self.body_matches);
        f.option("body_hex_matches", &mut self.body_hex_matches);
        f.option("body_text", &mut self.body_text);
        f.option("body_hex", &mut self.body_hex);
    }

    fn expectation(self) -> Option<Expectation> {
        let said = [
            self.status.map(Expectation::Status),
            self.status_matches.map(Expectation::StatusRegex),
            self.header.map(Expectation::Header),
            self.body.map(Expectation::Text),
            self.body_binary.map(Expectation::Binary),
            self.body_matches.map(Expectation::Regex),
            self.body_hex_matches.map(Expectation::HexRegex),
            self.body_text.map(Expectation::Template),
            self.body_hex.map(Expectation::HexTemplate),
        ];
        let mut said = said.into_iter().flatten();
        let first = said.next();
        if said.next().is_some() { None } else { first }
    }
}

impl Fieldset for HeaderExpectation {
    const MAIN: &'static str = "name";

    fn blank() -> HeaderExpectation {
        let name = TextExpectation::Text(TextMatch::Exact, Template::default());
        HeaderExpectation { name, value: None, whole_line: false }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("name", &mut self.name);
        f.option("value", &mut self.value);
        f.flag("whole_line", &mut self.whole_line);
    }
}

const MATCHES: &[(&str, TextMatch)] = &[
    ("exact", TextMatch::Exact),
    ("prefix", TextMatch::Prefix),
    ("suffix", TextMatch::Suffix),
    ("substring", TextMatch::Substring),
];

/// A text, or a map of `text` and `match`, or of `matches`.
impl Fieldset for TextExpectation {
    const MAIN: &'static str = "text";

    fn blank() -> TextExpectation {
        TextExpectation::Text(TextMatch::Exact, Template::default())
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let (mut how, mut text, mut regex) = match self.clone() {
            _ if f.reads() => (TextMatch::Exact, None, None),
            TextExpectation::Text(how, text) => (how, Some(text), None),
            TextExpectation::Regex(regex) => (TextMatch::Exact, None, Some(regex)),
        };
        f.option("text", &mut text);
        f.with(
            "match",
            &mut how,
            |node, reader| leaf::word(node, "exact, prefix, suffix or substring", MATCHES, reader),
            |how, _| (*how != TextMatch::Exact).then(|| Out::word(leaf::name_of(how, MATCHES))),
        );
        f.option::<Regex>("matches", &mut regex);
        match (text, regex) {
            (Some(text), None) => *self = TextExpectation::Text(how, text),
            (None, Some(regex)) => *self = TextExpectation::Regex(regex),
            _ => f.refuse("either 'text' or 'matches' is expected here", ""),
        }
    }
}

fn ranges(node: &Node, reader: &mut Reader<'_>) -> Vec<(u16, u16)> {
    let items = match &node.kind {
        Kind::List(list) => list.iter().collect(),
        _ => vec![node],
    };
    let parse = |text: &str| {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    let expected = "a status such as 200 or a range such as 200..399";
    items.into_iter().filter_map(|item| leaf::parsed(item, expected, reader, parse)).collect()
}

fn written_ranges(list: &[(u16, u16)]) -> Out {
    let one = |(from, to): &(u16, u16)| {
        Out::word(if from == to { from.to_string() } else { format!("{from}..{to}") })
    };
    match list {
        [range] => one(range),
        list => Out::List(list.iter().map(one).collect()),
    }
}
