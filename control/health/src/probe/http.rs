//! The HTTP check: requests and expectations in order. The codec is `wire`'s, as strict as for clients' traffic:
//! an answer that would be a 502 for a client is no pass.

use super::{Attempt, Verdict, words};
use plan::check::{HttpCheckRequest, HttpCheckStep, HttpExpect, HttpExpectation};
use pool::CheckStatus;
use std::fmt::Write as _;
use tasks::Stream;
use wire::http1::{BodyFraming, Chunk, Chunked, Limits, Progress, RequestKind, ResponseHead, parse_response};

/// Sends each request on a connection of its own and judges its answer. Without any step: `OPTIONS / HTTP/1.0`.
pub(super) async fn check(attempt: &mut Attempt<'_>, steps: &[HttpCheckStep]) -> Result<Verdict, Verdict> {
    let mut last = None;
    for (request, expectations) in rounds(steps) {
        let verdict = round(attempt, &request, &expectations).await?;
        if !verdict.status.passed() {
            return Ok(verdict);
        }
        last = Some(verdict);
    }
    Ok(last.unwrap_or_else(|| Verdict::invalid("nothing to ask")))
}

/// Each request with the expectations that follow it.
fn rounds(steps: &[HttpCheckStep]) -> Vec<(HttpCheckRequest, Vec<&HttpExpect>)> {
    let mut rounds: Vec<(HttpCheckRequest, Vec<&HttpExpect>)> = Vec::new();
    for step in steps {
        match step {
            HttpCheckStep::Send(request) => rounds.push((request.clone(), Vec::new())),
            HttpCheckStep::Expect(expect) => match rounds.last_mut() {
                Some((_, expectations)) => expectations.push(expect),
                None => rounds.push((HttpCheckRequest::default(), vec![expect])),
            },
        }
    }
    if rounds.is_empty() {
        rounds.push((HttpCheckRequest::default(), Vec::new()));
    }
    rounds
}

async fn round(
    attempt: &mut Attempt<'_>,
    request: &HttpCheckRequest,
    expectations: &[&HttpExpect],
) -> Result<Verdict, Verdict> {
    let mut stream = attempt.connect().await?;
    let host = attempt.target.endpoint.to_string();
    attempt.send(&mut stream, &written(request, &host)).await?;
    let kind =
        RequestKind { head: request.method == "HEAD", connect: false, upgrade: true, websocket: false };
    let mut answer = Answer::default();
    answer.read_head(attempt, &mut stream, kind).await?;
    if expectations.iter().any(|expect| needs_body(expect)) {
        answer.read_body(attempt, &mut stream, kind).await?;
    }
    Ok(judge(&answer, expectations))
}

/// The bytes of a request. Content-Length, `Connection: close` (HTTP/1.1) and Host are added where missing: the
/// connection serves one request, and RFC 9112, 3.2 demands a Host of every HTTP/1.1 request.
pub(super) fn written(request: &HttpCheckRequest, host: &str) -> Vec<u8> {
    let HttpCheckRequest { method, target, minor, headers, body } = request;
    let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {target} HTTP/1.{minor}\r\n");
    let mut field = |name: &str, value: &str| {
        let _ = write!(head, "{name}: {value}\r\n");
    };
    if *minor > 0 && !has("host") {
        field("host", host);
    }
    for (name, value) in headers {
        field(name, value);
    }
    let takes_body = matches!(method.as_str(), "POST" | "PUT" | "PATCH");
    if (!body.is_empty() || takes_body) && !has("content-length") && !has("transfer-encoding") {
        field("content-length", &body.len().to_string());
    }
    if *minor > 0 && !has("connection") {
        field("connection", "close");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[derive(Default)]
struct Answer {
    head: ResponseHead,
    /// Received and not yet understood.
    received: Vec<u8>,
    body: Vec<u8>,
}

impl Answer {
    async fn read_head(
        &mut self,
        attempt: &mut Attempt<'_>,
        stream: &mut Stream,
        kind: RequestKind,
    ) -> Result<(), Verdict> {
        loop {
            match parse_response(&self.received, &Limits::response(), kind, &mut self.head) {
                Ok(Progress::Complete { consumed }) => {
                    self.received.drain(..consumed);
                    if !self.head.is_interim() {
                        return Ok(());
                    }
                    self.head.clear();
                    continue;
                }
                Ok(Progress::Partial) => {}
                Err(error) => return Err(Verdict::invalid(error.to_string())),
            }
            if attempt.read(stream, &mut self.received).await? == 0 {
                let silent = self.received.is_empty();
                return Err(Verdict::invalid(if silent {
                    "closed without an answer"
                } else {
                    "no whole head"
                }));
            }
        }
    }

    /// Reads the body up to its end, the end of the connection, or our limit; what came is judged.
    async fn read_body(
        &mut self,
        attempt: &mut Attempt<'_>,
        stream: &mut Stream,
        kind: RequestKind,
    ) -> Result<(), Verdict> {
        let framing = self.head.framing(kind);
        let mut chunked = Chunked::new();
        loop {
            let done = match framing {
                BodyFraming::None => true,
                BodyFraming::UntilClose => false,
                BodyFraming::Length(length) => self.received.len() as u64 >= length,
                BodyFraming::Chunked => self.unchunk(&mut chunked)?,
            };
            if done || attempt.read(stream, &mut self.received).await? == 0 {
                break;
            }
        }
        match framing {
            BodyFraming::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.received.len());
                self.body = self.received[..length].to_vec();
            }
            BodyFraming::UntilClose => self.body = std::mem::take(&mut self.received),
            BodyFraming::None | BodyFraming::Chunked => {}
        }
        Ok(())
    }

    /// Moves the data of whole chunks from `received` to `body`; true at the end of the body.
    fn unchunk(&mut self, chunked: &mut Chunked) -> Result<bool, Verdict> {
        let mut at = 0;
        let done = loop {
            match chunked.next(&self.received[at..]).map_err(|error| Verdict::invalid(error.reason))? {
                Chunk::Need { consumed } => {
                    at += consumed;
                    break false;
                }
                Chunk::Data { skip, len } => {
                    self.body.extend_from_slice(&self.received[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Chunk::End { .. } => break true,
            }
        };
        self.received.drain(..at);
        Ok(done)
    }
}

fn needs_body(expect: &HttpExpect) -> bool {
    matches!(expect.what, HttpExpectation::Body(_) | HttpExpectation::BodyRegex(_))
}

/// All expectations must hold; without any, 2xx and 3xx pass.
fn judge(answer: &Answer, expectations: &[&HttpExpect]) -> Verdict {
    let status = answer.head.status;
    let wrong = || Verdict::new(CheckStatus::L7Status, status, words(answer.head.reason()));
    if expectations.is_empty() && !(200..400).contains(&status) {
        return wrong();
    }
    for expect in expectations {
        if holds(expect, answer) {
            continue;
        }
        return match (needs_body(expect), expect.negate) {
            (false, _) => wrong(),
            (true, false) => Verdict::invalid("HTTP content check did not match"),
            (true, true) => Verdict::invalid("HTTP check matched unwanted content"),
        };
    }
    Verdict::new(CheckStatus::L7Ok, status, "")
}

fn holds(expect: &HttpExpect, answer: &Answer) -> bool {
    let status = answer.head.status;
    let found = match &expect.what {
        HttpExpectation::Status(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&status)),
        HttpExpectation::StatusRegex(regex) => regex.is_match(status.to_string().as_bytes()),
        HttpExpectation::Body(text) => memchr::memmem::find(&answer.body, text).is_some(),
        HttpExpectation::BodyRegex(regex) => regex.is_match(&answer.body),
    };
    found != expect.negate
}
