//! Health checks: what is asked (of a pool), when (of a pool or a server), and agents.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form};
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::check::{AgentCheck, Check, HttpCheckRequest, HttpCheckStep, HttpExpect, HttpExpectation, Probe};
use regex::bytes::Regex;
use std::time::Duration;

/// Interval of agents that is left out.
const AGENT_INTERVAL: Duration = Duration::from_secs(2);

/// What a pool says about checks: what is asked, and the schedule of servers that say no other.
#[derive(Clone, Default)]
pub(super) struct PoolCheck {
    pub(super) probe: Option<Probe>,
    pub(super) schedule: Check,
    /// Servers are checked only when they say so.
    pub(super) off: bool,
}

impl Fieldset for PoolCheck {
    fn blank() -> PoolCheck {
        PoolCheck::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let mut parts = ProbeParts::of(self.probe.as_ref());
        parts.fields(f);
        match parts.probe() {
            Ok(probe) => self.probe = probe,
            Err(what) => f.refuse(what, ""),
        }
        self.schedule.fields(f);
        f.flag("off", &mut self.off);
    }
}

impl Fieldset for Check {
    fn blank() -> Check {
        Check::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Check { interval, fast_interval, down_interval, rise, fall, address, port, send_proxy } = self;
        let default = Check::default();
        f.value("every", interval, &default.interval);
        f.option("every_while_changing", fast_interval);
        f.option("every_while_down", down_interval);
        f.value("rise", rise, &default.rise);
        f.value("fall", fall, &default.fall);
        f.option("address", address);
        f.option("port", port);
        f.option("send_proxy", send_proxy);
        if *rise == 0 || *fall == 0 {
            f.refuse("'rise' and 'fall' are at least 1", "");
        }
    }
}

/// The ways to say what is asked.
#[derive(Default)]
struct ProbeParts {
    tcp: bool,
    http: Option<HttpCheckRequest>,
    expect: Option<HttpExpect>,
    steps: Option<Vec<HttpCheckStep>>,
    postgres: Option<String>,
    redis: bool,
}

impl ProbeParts {
    fn of(probe: Option<&Probe>) -> ProbeParts {
        let mut parts = ProbeParts::default();
        match probe {
            None => {}
            Some(Probe::Tcp) => parts.tcp = true,
            Some(Probe::Redis) => parts.redis = true,
            Some(Probe::Postgres { user }) => parts.postgres = Some(user.clone()),
            Some(Probe::Http(steps)) => match steps.as_slice() {
                [HttpCheckStep::Send(request)] => parts.http = Some(request.clone()),
                [HttpCheckStep::Expect(expect)] => parts.expect = Some(expect.clone()),
                [HttpCheckStep::Send(request), HttpCheckStep::Expect(expect)] => {
                    parts.http = Some(request.clone());
                    parts.expect = Some(expect.clone());
                }
                steps => parts.steps = Some(steps.to_vec()),
            },
        }
        parts
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.flag("tcp", &mut self.tcp);
        f.option("http", &mut self.http);
        f.option("expect", &mut self.expect);
        f.with(
            "steps",
            &mut self.steps,
            |node, reader| Some(Some(super::form::read_list(node, reader))),
            |steps, writer| steps.as_ref().map(|steps| super::form::write_list(steps, writer).block()),
        );
        f.option("postgres", &mut self.postgres);
        f.flag("redis", &mut self.redis);
    }

    fn probe(self) -> Result<Option<Probe>, &'static str> {
        let http = self.http.is_some() || self.expect.is_some();
        let said = [self.tcp, http, self.steps.is_some(), self.postgres.is_some(), self.redis];
        if said.iter().filter(|said| **said).count() > 1 {
            return Err("a check asks one thing: tcp, http (and expect), steps, postgres or redis");
        }
        if http {
            let send = self.http.map(HttpCheckStep::Send).into_iter();
            return Ok(Some(Probe::Http(send.chain(self.expect.map(HttpCheckStep::Expect)).collect())));
        }
        let others = self.steps.map(Probe::Http).or(self.postgres.map(|user| Probe::Postgres { user }));
        Ok(others.or(self.redis.then_some(Probe::Redis)).or(self.tcp.then_some(Probe::Tcp)))
    }
}

/// `GET /health`, `GET /health HTTP/1.1`, or a map.
impl Form for HttpCheckRequest {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<HttpCheckRequest> {
        match &node.kind {
            Kind::Scalar { .. } => {
                super::leaf::parsed(node, "a request such as 'GET /health'", reader, request_line)
            }
            _ => RequestMap::read(node, reader).map(|map| map.0),
        }
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let line = match self.minor {
            0 => format!("{} {}", self.method, self.target),
            minor => format!("{} {} HTTP/1.{minor}", self.method, self.target),
        };
        match request_line(&line).as_ref() == Some(self) {
            true => Out::Text(line),
            false => RequestMap(self.clone()).written(writer),
        }
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
        target: target.into(),
        minor,
        ..HttpCheckRequest::default()
    })
}

#[derive(Clone)]
struct RequestMap(HttpCheckRequest);

impl Fieldset for RequestMap {
    fn blank() -> RequestMap {
        RequestMap(HttpCheckRequest::default())
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let HttpCheckRequest { method, target, minor, headers, body } = &mut self.0;
        let default = HttpCheckRequest::default();
        f.value("method", method, &default.method);
        f.value("target", target, &default.target);
        f.with(
            "version",
            minor,
            |node, reader| super::leaf::word(node, "1.0 or 1.1", VERSIONS, reader),
            |minor, writer| {
                if *minor > 1 {
                    writer.problem(format!("the version HTTP/1.{minor} of a check cannot be written"), "");
                }
                (*minor != default.minor).then(|| Out::word(super::leaf::name_of(minor, VERSIONS)))
            },
        );
        f.pairs("headers", headers);
        f.value("body", body, &Vec::new());
    }
}

const VERSIONS: &[(&str, u8)] = &[("1.0", 0), ("1.1", 1)];

impl Form for HttpCheckStep {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<HttpCheckStep> {
        if let Kind::Map(entries) = &node.kind
            && let [(key, value)] = entries.as_slice()
        {
            match key.text.as_str() {
                "send" => return HttpCheckRequest::read(value, reader).map(HttpCheckStep::Send),
                "expect" => return HttpExpect::read(value, reader).map(HttpCheckStep::Expect),
                _ => {}
            }
        }
        reader.problem(node.spot, "a step is 'send: …' or 'expect: …'", "");
        None
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let (key, value) = match self {
            HttpCheckStep::Send(request) => ("send", request.written(writer)),
            HttpCheckStep::Expect(expect) => ("expect", expect.written(writer)),
        };
        Out::Map(vec![(key.to_owned(), value)])
    }
}

/// A status, a range `200..299`, a list of them, or a map.
impl Form for HttpExpect {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<HttpExpect> {
        match &node.kind {
            Kind::Map(_) => {
                let map = ExpectMap::read(node, reader)?;
                Some(HttpExpect { negate: map.not, what: map.what? })
            }
            _ => Some(HttpExpect { negate: false, what: HttpExpectation::Status(ranges(node, reader)) }),
        }
    }

    fn written(&self, writer: &mut Writer) -> Out {
        match self {
            HttpExpect { negate: false, what: HttpExpectation::Status(list) } => written_ranges(list),
            HttpExpect { negate, what } => {
                ExpectMap { not: *negate, what: Some(what.clone()) }.written(writer)
            }
        }
    }
}

#[derive(Clone)]
struct ExpectMap {
    not: bool,
    what: Option<HttpExpectation>,
}

impl Fieldset for ExpectMap {
    fn blank() -> ExpectMap {
        ExpectMap { not: false, what: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let (mut status, mut status_matches, mut body, mut body_matches) = (None, None, None, None);
        match self.what.take() {
            None => {}
            Some(HttpExpectation::Status(list)) => status = Some(list),
            Some(HttpExpectation::StatusRegex(regex)) => status_matches = Some(regex),
            Some(HttpExpectation::Body(bytes)) => body = Some(bytes),
            Some(HttpExpectation::BodyRegex(regex)) => body_matches = Some(regex),
        }
        f.flag("not", &mut self.not);
        f.with(
            "status",
            &mut status,
            |node, reader| Some(Some(ranges(node, reader))),
            |list, _| list.as_deref().map(written_ranges),
        );
        f.option::<Regex>("status_matches", &mut status_matches);
        f.option::<Vec<u8>>("body", &mut body);
        f.option::<Regex>("body_matches", &mut body_matches);
        let mut said: Vec<HttpExpectation> = status.map(HttpExpectation::Status).into_iter().collect();
        said.extend(status_matches.map(HttpExpectation::StatusRegex));
        said.extend(body.map(HttpExpectation::Body));
        said.extend(body_matches.map(HttpExpectation::BodyRegex));
        if said.len() != 1 {
            f.refuse("one of status, status_matches, body and body_matches is expected here", "");
        }
        self.what = said.pop();
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
    items.into_iter().filter_map(|item| super::leaf::parsed(item, expected, reader, parse)).collect()
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

impl Fieldset for AgentCheck {
    const MAIN: &'static str = "port";

    fn blank() -> AgentCheck {
        AgentCheck { port: 0, address: None, interval: AGENT_INTERVAL, send: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let AgentCheck { port, address, interval, send } = self;
        f.required("port", port);
        f.option("address", address);
        f.value("every", interval, &AGENT_INTERVAL);
        f.option("send", send);
    }
}
