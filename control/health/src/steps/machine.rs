//! One check made of steps, decided. Pure: bytes of the server in, what to do out. Bytes are hostile: at most
//! [`ANSWER_BYTES`](crate::probe::ANSWER_BYTES) are kept of a connection, and every step is taken once.
//!
//! ```text
//!   next() ─► Connect ─► connected() ─► … ─► Send ─► sent() ─► … ─► Read ─► received() ┐
//!               ▲                             ▲                       ▲──── not enough ─┤
//!               └─────────────────────────────┴──────── the next step ──────────────────┤
//!                                                         Done(outcome) ◄── all, or one failed
//! ```

use super::Subject;
use super::answer::Answer;
use super::judge::{self, Standing};
use super::prepare::{Act, Prepared, Ready, plain_connect};
use super::talk::{Heard, Talk};
use crate::probe::{ANSWER_BYTES, TEXT_BYTES};
use plan::check::{CheckConnect, Expect, FailAs, HttpCheckRequest, LateAs, PassAs, StepAct};
use plan::rule::{Expr, Scope, Template, Value};
use pool::CheckStatus;
use std::net::IpAddr;

/// Most variables of a run.
const VARIABLES: usize = 1000;

/// One run of a check.
#[derive(Debug)]
pub struct Machine<'p> {
    prepared: &'p Prepared<'p>,
    pub(super) subject: &'p Subject,
    /// The step that is being taken.
    at: usize,
    /// Something was sent, so what a passed check is called no longer is "connected".
    spoke: bool,
    /// What came since the last question, as far as no HTTP answer took it.
    pub(super) received: Vec<u8>,
    pub(super) answer: Option<Answer>,
    closed: bool,
    /// Bytes that may still be kept of this connection.
    room: usize,
    pub(super) variables: Vec<(Scope, Box<str>, Value<'static>)>,
    /// What the last expectation that held is called.
    passed: Option<Outcome>,
    /// A word kept for the end: the version that a server told in its greeting.
    kept: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Close what is open and connect; then [`Machine::connected`].
    Connect(Connect),
    /// Send these bytes; then [`Machine::sent`].
    Send(Vec<u8>),
    /// Read some bytes; then [`Machine::received`] or [`Machine::closed`].
    Read,
    /// It is over.
    Done(Outcome),
}

/// Where to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// As the server's own checks do, where nothing else is said.
    pub as_server: bool,
    /// Address instead of the server's.
    pub address: Option<IpAddr>,
    /// Port instead of the server's.
    pub port: Option<u16>,
    /// PROXY protocol header first.
    pub send_proxy: bool,
    /// Closes in the regular way, not by a reset.
    pub linger: bool,
}

/// How a check ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it is called.
    pub status: CheckStatus,
    /// Status or error code of the protocol.
    pub code: Option<u16>,
    /// In words; may come from the server.
    pub text: String,
}

impl Outcome {
    /// An outcome.
    pub(crate) fn new(status: CheckStatus, code: impl Into<Option<u16>>, text: impl Into<String>) -> Outcome {
        Outcome { status, code: code.into(), text: text.into() }
    }
}

impl<'p> Machine<'p> {
    /// A run that has not begun.
    pub fn new(prepared: &'p Prepared<'p>, subject: &'p Subject) -> Machine<'p> {
        Machine {
            prepared,
            subject,
            at: 0,
            spoke: false,
            received: Vec::new(),
            answer: None,
            closed: false,
            room: ANSWER_BYTES,
            variables: Vec::new(),
            passed: None,
            kept: String::new(),
        }
    }

    /// What to do first.
    pub fn begin(&mut self) -> Todo {
        self.advance()
    }

    /// The connection is made.
    pub fn connected(&mut self) -> Todo {
        (self.closed, self.room) = (false, ANSWER_BYTES);
        self.received.clear();
        self.answer = None;
        self.at += 1;
        self.advance()
    }

    /// All is sent.
    pub fn sent(&mut self) -> Todo {
        self.at += 1;
        self.advance()
    }

    /// Bytes came.
    pub fn received(&mut self, bytes: &[u8]) -> Todo {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.received.extend_from_slice(&bytes[..taken]);
        // What we have no room for is not looked at: it counts as the end.
        self.closed |= self.room == 0;
        self.advance()
    }

    /// No more bytes will come.
    pub fn closed(&mut self) -> Todo {
        self.closed = true;
        self.advance()
    }

    /// The deadline passed at this step; `connecting` when there was no connection yet.
    pub fn late(&self, connecting: bool) -> Outcome {
        let status = match self.step().map(|step| &step.act) {
            _ if connecting => CheckStatus::L4Timeout,
            Some(Act::Said(StepAct::Expect(expect))) => late_as(expect.late_as),
            Some(Act::Talk(talk)) => talk.when_late(),
            _ => CheckStatus::L7Timeout,
        };
        Outcome::new(status, None, self.where_it_failed())
    }

    /// The same outcome with the step at which it came, where such is told.
    pub fn at_this_step(&self, mut outcome: Outcome) -> Outcome {
        outcome.text.push_str(&self.where_it_failed());
        outcome
    }

    fn step(&self) -> Option<&'p Ready<'p>> {
        self.prepared.steps.get(self.at)
    }

    /// Number of the present step as users count them.
    fn number(&self) -> usize {
        self.prepared.steps.iter().take(self.at + 1).filter(|step| !step.implied).count()
    }

    /// ` at step 2 of tcp-check (connect port 1) comment: 'x'`
    fn where_it_failed(&self) -> String {
        let Some(step) = self.step().filter(|_| self.prepared.tells_steps) else { return String::new() };
        if step.implied {
            return " at initial connection step of tcp-check".into();
        }
        let what = match &step.act {
            Act::Said(StepAct::Connect(connect)) => match self.port(connect.port.as_ref()) {
                Some(port) => format!(" (connect port {port})"),
                None => " (connect)".into(),
            },
            Act::Said(StepAct::Expect(expect)) => {
                format!(" (expect {})", judge::named(&expect.what, self.prepared.http))
            }
            _ => " (send)".into(),
        };
        let comment = step.comment.map(|comment| format!(" comment: '{comment}'")).unwrap_or_default();
        format!(" at step {} of tcp-check{what}{comment}", self.number())
    }

    /// Takes steps until something is to be done outside.
    fn advance(&mut self) -> Todo {
        while let Some(step) = self.step() {
            let todo = match &step.act {
                Act::Connect => Some(self.connect(&plain_connect())),
                Act::Bytes(bytes) => Some(self.send(bytes.clone())),
                Act::DefaultRequest(request) => Some(self.ask(request)),
                Act::DefaultExpect(expect) => self.expect(expect, step),
                Act::Talk(talk) => self.talk(*talk),
                Act::Said(act) => self.said(act, step),
            };
            match todo {
                Some(todo) => return todo,
                None => self.at += 1,
            }
        }
        Todo::Done(self.end())
    }

    fn said(&mut self, act: &StepAct, step: &Ready<'p>) -> Option<Todo> {
        match act {
            StepAct::Connect(connect) => return Some(self.connect(connect)),
            StepAct::Send(template) => return Some(self.send(template.text(self))),
            StepAct::SendHex(template) => {
                return Some(match judge::unhex(&template.text(self)) {
                    Some(bytes) => self.send(bytes),
                    None => {
                        let number = self.number();
                        let text =
                            format!("tcp-check send : failed to build log-format string at step {number}");
                        Todo::Done(Outcome::new(CheckStatus::L7Rsp, None, text))
                    }
                });
            }
            StepAct::Request(request) => return Some(self.ask(request)),
            StepAct::Expect(expect) => return self.expect(expect, step),
            StepAct::Set(scope, name, expr) => {
                let value = expr.value(self);
                self.set(*scope, name, value);
            }
            StepAct::SetText(scope, name, template) => {
                let text = template.text(self);
                self.set(*scope, name, Some(Value::Text(text.into())));
            }
            StepAct::Unset(scope, name) => self.set(*scope, name, None),
            StepAct::Remark => {}
        }
        None
    }

    /// What it is called when all steps are done.
    fn end(&mut self) -> Outcome {
        let told = self.prepared.tells_steps && self.prepared.steps.iter().any(|step| !step.implied);
        let text = if told { "(tcp-check)" } else { "" };
        let last_expects = self.prepared.steps.iter().rev().find(|step| !step.is_quiet());
        match self.passed.take().filter(|_| last_expects.is_some_and(Ready::expects)) {
            Some(outcome) if outcome.text.is_empty() && outcome.status == CheckStatus::L7Ok => {
                Outcome { text: text.into(), ..outcome }
            }
            Some(outcome) => outcome,
            None if self.spoke => Outcome::new(CheckStatus::L7Ok, 0, text),
            None => Outcome::new(CheckStatus::L4Ok, None, text),
        }
    }

    fn connect(&self, connect: &CheckConnect) -> Todo {
        Todo::Connect(Connect {
            as_server: connect.as_server,
            address: connect.address,
            port: self.port(connect.port.as_ref()),
            send_proxy: connect.send_proxy,
            linger: connect.linger,
        })
    }

    fn port(&self, expr: Option<&Expr>) -> Option<u16> {
        let number = expr?.value(self)?.to_int()?;
        u16::try_from(number).ok().filter(|port| *port > 0)
    }

    /// A question: what came before it is no answer to it.
    fn send(&mut self, bytes: Vec<u8>) -> Todo {
        self.spoke = true;
        self.received.clear();
        Todo::Send(bytes)
    }

    fn ask(&mut self, request: &HttpCheckRequest) -> Todo {
        self.answer = Some(Answer::to(&request.method));
        let state =
            Some(self.subject.state.as_str()).filter(|state| self.prepared.send_state && !state.is_empty());
        let bytes = written(self, request, state);
        self.send(bytes)
    }

    fn set(&mut self, scope: Scope, name: &str, value: Option<Value<'static>>) {
        self.variables.retain(|(s, n, _)| !(*s == scope && **n == *name));
        if let Some(value) = value
            && self.variables.len() < VARIABLES
        {
            self.variables.push((scope, name.into(), value));
        }
    }

    fn expect(&mut self, expect: &Expect, step: &Ready<'p>) -> Option<Todo> {
        if self.prepared.http { self.expect_http(expect, step) } else { self.expect_bytes(expect, step) }
    }

    fn expect_bytes(&mut self, expect: &Expect, step: &Ready<'p>) -> Option<Todo> {
        if self.received.is_empty() && self.closed {
            return Some(Todo::Done(self.empty(expect.fails_as.unwrap_or(FailAs::Invalid))));
        }
        let standing =
            if self.received.is_empty() { Standing::Open } else { judge::bytes(self, expect, self.closed) };
        match standing {
            Standing::Open => Some(Todo::Read),
            Standing::Holds => {
                self.hold(expect, 0, String::new());
                None
            }
            Standing::Fails => {
                let fails_as = expect.fails_as.unwrap_or(FailAs::Invalid);
                let text = judge::failure_of_bytes(expect, self.number());
                Some(Todo::Done(self.failed(expect, fails_as, 0, text, step)))
            }
        }
    }

    fn expect_http(&mut self, expect: &Expect, step: &Ready<'p>) -> Option<Todo> {
        let Some(mut answer) = self.answer.take() else {
            return Some(Todo::Done(invalid("nothing was asked")));
        };
        let taken = answer.take(&mut self.received);
        if self.closed {
            answer.close();
        }
        self.answer = Some(answer);
        let answer = self.answer.as_ref()?;
        if let Err(error) = taken
            && (!answer.has_head() || judge::is_of_body(&expect.what))
        {
            return Some(Todo::Done(invalid(error)));
        }
        if !answer.has_head() {
            return Some(match (self.closed, self.received.is_empty()) {
                (false, _) => Todo::Read,
                (true, true) => Todo::Done(invalid("closed without an answer")),
                (true, false) => Todo::Done(invalid("no whole head")),
            });
        }
        let status = answer.head.status;
        if self.prepared.stop_on_404 && status == 404 && !self.subject.down {
            return Some(Todo::Done(Outcome::new(CheckStatus::L7OkCond, 404, "")));
        }
        match judge::http(self, expect, answer, self.closed) {
            Standing::Open => Some(Todo::Read),
            Standing::Holds => {
                self.hold(expect, status, String::new());
                None
            }
            Standing::Fails => {
                let of_body = judge::is_of_body(&expect.what);
                let usual = if of_body { FailAs::Invalid } else { FailAs::WrongStatus };
                let text = match of_body {
                    true => judge::failure_of_body(expect, answer).to_string(),
                    false => words(answer.head.reason()),
                };
                let fails_as = expect.fails_as.unwrap_or(usual);
                Some(Todo::Done(self.failed(expect, fails_as, status, text, step)))
            }
        }
    }

    fn talk(&mut self, talk: Talk) -> Option<Todo> {
        if self.received.is_empty() {
            return Some(if self.closed { Todo::Done(self.empty(talk.when_empty())) } else { Todo::Read });
        }
        match talk.hear(&self.received, self.closed) {
            Heard::Wait => Some(Todo::Read),
            Heard::Fail(outcome) => Some(Todo::Done(outcome)),
            Heard::Pass(mut outcome) => {
                match talk {
                    Talk::MysqlGreeting => {
                        self.kept.clone_from(&outcome.text);
                        self.received.drain(..wire::mysql::packet_length(&self.received));
                    }
                    Talk::MysqlResult => outcome.text = std::mem::take(&mut self.kept),
                    _ => {}
                }
                self.passed = Some(outcome);
                None
            }
        }
    }

    /// The server closed without a word.
    fn empty(&self, fails_as: FailAs) -> Outcome {
        let text = format!("TCPCHK got an empty response at step {}", self.number());
        let status = fails(fails_as);
        Outcome::new(status, (status == CheckStatus::L7Status).then_some(0), text)
    }

    /// An expectation holds: remembers what that is called if the check ends with it.
    fn hold(&mut self, expect: &Expect, code: u16, text: String) {
        let status = match expect.passes_as {
            PassAs::Layer4 => CheckStatus::L4Ok,
            PassAs::Layer6 => CheckStatus::L6Ok,
            PassAs::Layer7 => CheckStatus::L7Ok,
            PassAs::Conditional => CheckStatus::L7OkCond,
        };
        let code = self.code(expect, status, code);
        let text = expect.on_success.as_ref().map_or(text, |template| self.line(template));
        self.passed = Some(Outcome { status, code, text });
    }

    fn failed(&self, expect: &Expect, as_: FailAs, code: u16, text: String, step: &Ready<'_>) -> Outcome {
        let status = fails(as_);
        let code = self.code(expect, status, code);
        let mut text = expect.on_error.as_ref().map_or(text, |template| self.line(template));
        if let Some(comment) = step.comment {
            text.push_str(" comment: ");
            text.push_str(comment);
        }
        Outcome { status, code, text: text.trim_start().to_string() }
    }

    /// Only some outcomes have a code.
    fn code(&self, expect: &Expect, status: CheckStatus, code: u16) -> Option<u16> {
        use CheckStatus::{L7Ok, L7OkCond, L7Status};
        matches!(status, L7Ok | L7OkCond | L7Status).then(|| {
            let said = expect.code.as_ref().and_then(|expr| expr.value(self)?.to_int());
            said.map_or(code, |code| u16::try_from(code).unwrap_or(0))
        })
    }

    fn line(&self, template: &Template) -> String {
        words(&template.text(self))
    }
}

impl Ready<'_> {
    fn expects(&self) -> bool {
        matches!(self.act, Act::DefaultExpect(_) | Act::Talk(_) | Act::Said(StepAct::Expect(_)))
    }

    /// It neither asks nor judges.
    fn is_quiet(&self) -> bool {
        use StepAct::{Remark, Set, SetText, Unset};
        matches!(self.act, Act::Said(Remark | Set(..) | SetText(..) | Unset(..)))
    }
}

/// The bytes of a request. Content-Length and, in HTTP/1.1, `Connection: close` are added where missing; framing that
/// was said is left out, for ours to be right.
fn written(machine: &Machine<'_>, request: &HttpCheckRequest, state: Option<&str>) -> Vec<u8> {
    let HttpCheckRequest { method, target, minor, headers, body } = request;
    let target = target.text(machine);
    let target = if target.is_empty() { b"/".to_vec() } else { target };
    let body = body.text(machine);
    let mut out = Vec::with_capacity(256 + body.len());
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    // A blank or a line end that a value brought in would make another request of it.
    out.extend(target.iter().map(|byte| if byte.is_ascii_control() || *byte == b' ' { b'+' } else { *byte }));
    out.extend_from_slice(format!(" HTTP/1.{minor}\r\n").as_bytes());
    let mut field = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.to_ascii_lowercase().as_bytes());
        out.extend_from_slice(b": ");
        out.extend(value.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
        out.extend_from_slice(b"\r\n");
    };
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    if *minor > 0 && !has_host && !machine.subject.host.is_empty() {
        field("host", machine.subject.host.as_bytes());
    }
    let mut closes = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding") {
            continue;
        }
        closes |= name.eq_ignore_ascii_case("connection");
        field(name, &value.text(machine));
    }
    if let Some(state) = state {
        field("x-haproxy-server-state", state.as_bytes());
    }
    if !body.is_empty() || matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
        field("content-length", body.len().to_string().as_bytes());
    }
    if *minor > 0 && !closes {
        field("connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}

fn fails(fails_as: FailAs) -> CheckStatus {
    match fails_as {
        FailAs::Layer4 => CheckStatus::L4Con,
        FailAs::Layer6 => CheckStatus::L6Rsp,
        FailAs::Invalid => CheckStatus::L7Rsp,
        FailAs::WrongStatus => CheckStatus::L7Status,
        FailAs::Conditional => CheckStatus::L7OkCond,
    }
}

fn late_as(late: LateAs) -> CheckStatus {
    match late {
        LateAs::Layer4 => CheckStatus::L4Timeout,
        LateAs::Layer6 => CheckStatus::L6Timeout,
        LateAs::Layer7 => CheckStatus::L7Timeout,
    }
}

fn invalid(text: impl Into<String>) -> Outcome {
    Outcome::new(CheckStatus::L7Rsp, None, text)
}

/// Text of a server: bytes that are no UTF-8 replaced, and not too long.
pub(crate) fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES)]).trim_end().to_string()
}
