//! One try at a server: the request out, the head of the answer in.

use super::head::Outgoing;
use super::spool::{Reader, Spool};
use crate::attempt::{ClientWatch, head_cause};
use crate::body::{Pump, PumpError, Side};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use plan::host::Proxy;
use pool::Connection;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tasks::{Buffer, Buffers, Fired, Stream};
use telemetry::Cause;
use tokio::io::{AsyncRead, ReadBuf};
use wire::http1::{BodyFraming, Limits, Manners, Name, Progress, ResponseHead, parse_response};

/// Interim answers (1xx) of one request before the server is taken for broken.
const INTERIM_ANSWERS: u32 = 100;

/// The body that follows a request's head.
#[derive(Clone)]
pub(super) enum Sending {
    /// None.
    Nothing,
    /// One that was read whole.
    Kept(Rc<Spool>),
    /// As the client sends it.
    Streamed(BodyFraming),
}

/// The server's side of one try.
pub(super) struct Line {
    pub connection: Box<Connection>,
    /// Moves the request.
    pub up: Pump,
    source: Source,
    /// The server does not take the rest of the request.
    pub up_failed: bool,
    /// Bytes from the server.
    pub received: u64,
}

/// Where the request's body comes from.
enum Source {
    Client,
    Kept(Reader, Buffer),
}

/// Why a try led to no answer.
pub(super) struct Lost {
    pub cause: Cause,
    pub kind: Kind,
}

/// What of it counts for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection failed or broke.
    Error,
    /// Silence.
    Timeout,
    /// The answer is no HTTP.
    Invalid,
    /// An answer with this status, which the plan does not want.
    Status(u16),
    /// The client's fault, or its end: nobody else is asked. With the status of the log; true when it can be answered.
    Client(u16, bool),
    /// Our own fault.
    Ours,
}

impl Lost {
    pub fn new(cause: Cause) -> Lost {
        use Cause as C;
        let kind = match cause {
            C::ConnectTimeout | C::FirstByteTimeout | C::BodyTimeout => Kind::Timeout,
            C::InvalidHead | C::WrongProtocol | C::HeadTooBig | C::Unexpected101 => Kind::Invalid,
            C::ClientAbortConnect | C::ClientAbortWait | C::ClientAbortData | C::ClientAbortQueue => {
                Kind::Client(499, false)
            }
            C::RequestTimeout => Kind::Client(408, false),
            C::BadRequest => Kind::Client(400, true),
            C::RequestTooBig => Kind::Client(413, true),
            C::Internal => Kind::Ours,
            _ => Kind::Error,
        };
        Lost { cause, kind }
    }
}

impl Line {
    /// Writes the head, and a small body with it, into a pump.
    pub fn begin(
        buffers: &Buffers,
        memory: Vec<u8>,
        outgoing: &Outgoing,
        body: &Sending,
        connection: Box<Connection>,
    ) -> Line {
        let mut out = memory;
        out.clear();
        out.extend_from_slice(&outgoing.bytes);
        let (framing, source) = match body {
            Sending::Nothing => (BodyFraming::None, Source::Client),
            Sending::Streamed(framing) => (*framing, Source::Client),
            Sending::Kept(spool) => match spool.in_memory().filter(|body| body.len() <= Buffers::SIZE) {
                Some(body) => {
                    out.extend_from_slice(body);
                    (BodyFraming::None, Source::Client)
                }
                None => {
                    let reader = Reader::new(Rc::clone(spool));
                    (BodyFraming::Length(spool.length()), Source::Kept(reader, buffers.take()))
                }
            },
        };
        Line { connection, up: Pump::new(out, framing, framing), source, up_failed: false, received: 0 }
    }

    /// Moves the request on.
    pub fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        buffer: &mut Buffer,
    ) -> Poll<Result<(), PumpError>> {
        let to = &mut self.connection.stream;
        match &mut self.source {
            Source::Client => self.up.poll(cx, client, buffer, to),
            Source::Kept(reader, buffer) => self.up.poll(cx, reader, buffer, to),
        }
    }

    /// True when nothing of the request is left to be sent, or can be.
    pub fn is_sent(&self) -> bool {
        self.up_failed || self.up.is_done()
    }

    /// True when the client is who has to send.
    fn waits_for_client(&self) -> bool {
        matches!(self.source, Source::Client) && self.up.waits_for == Side::Source
    }

    /// What a fault of the request's way means.
    pub fn up_cause(&self, error: &PumpError) -> Cause {
        match (error, &self.source) {
            (PumpError::Source | PumpError::Truncated, Source::Kept(..)) => Cause::Internal,
            (PumpError::Invalid, _) => Cause::BadRequest,
            (PumpError::Sink, _) => Cause::ResetBeforeHead,
            _ => Cause::ClientAbortData,
        }
    }

    /// Bytes taken from the client since the head.
    pub fn taken(&self) -> u64 {
        if matches!(self.source, Source::Client) { self.up.moved } else { 0 }
    }

    /// The connection, and memory for the next head.
    pub fn split(self) -> (Box<Connection>, Vec<u8>) {
        (self.connection, self.up.into_memory())
    }
}

/// A server's stream, counting what comes.
pub(super) struct Metered<'s> {
    pub stream: &'s mut Stream,
    pub read: &'s mut u64,
}

impl AsyncRead for Metered<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut *this.stream).poll_read(cx, buf);
        *this.read += (buf.filled().len() - before) as u64;
        result
    }
}

/// Sends the request and reads until the head of the final answer is there, into `answer`. What follows it lies in
/// `buffer`.
pub(super) async fn answer_head(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &Exchange,
    (proxy, outgoing): (&Proxy, &Outgoing),
    line: &mut Line,
    buffer: &mut Buffer,
    answer: &mut ResponseHead,
) -> Result<(), Lost> {
    let head_bytes = proxy.buffers.head.max(64);
    let limits =
        Limits { head_bytes, target_bytes: head_bytes, manners: Manners::SERVER, ..Limits::response() };
    let mut wait = Wait::new(exchange, proxy, outgoing);
    let mut interim = 0;
    answer.clear();
    loop {
        if !buffer.is_empty() {
            match parse_response(buffer.bytes(), &limits, outgoing.kind, answer) {
                Ok(Progress::Complete { consumed }) => {
                    buffer.consume(consumed);
                    if !answer.is_interim() {
                        return sound(answer);
                    }
                    interim += 1;
                    if interim > INTERIM_ANSWERS {
                        return Err(Lost::new(Cause::InvalidHead));
                    }
                    answer.clear();
                    continue;
                }
                Ok(Progress::Partial) => {}
                Err(error) => {
                    conn.keep_invalid(exchange, buffer.bytes(), true);
                    return Err(Lost::new(head_cause(error.kind, buffer.bytes())));
                }
            }
            if buffer.is_full() {
                buffer.grow(limits.head_bytes + 1024);
            }
        }
        let first = buffer.is_empty();
        match wait.more(conn, work, line, buffer).await? {
            0 if !first => return Err(Lost::new(Cause::ClosedInHead)),
            0 if line.connection.uses > 1 => return Err(Lost::new(Cause::KeepAliveRace)),
            0 => return Err(Lost::new(Cause::ResetBeforeHead)),
            _ => {}
        }
    }
}

/// Two words about the length of an answer are no word.
fn sound(answer: &ResponseHead) -> Result<(), Lost> {
    let count = |id| answer.fields.find_all(id).count();
    match count(Name::ContentLength) + count(Name::TransferEncoding) {
        0 | 1 => Ok(()),
        _ => Err(Lost::new(Cause::InvalidHead)),
    }
}

/// Waiting for a head.
struct Wait {
    watch: Option<ClientWatch>,
    read: Duration,
    send: Duration,
    client: Duration,
}

impl Wait {
    fn new(exchange: &Exchange, proxy: &Proxy, outgoing: &Outgoing) -> Wait {
        let client = exchange.visit.as_deref().map(|visit| visit.location.settings.client.body_timeout);
        Wait {
            watch: (!proxy.ignore_client_abort && !outgoing.goes_on).then(|| ClientWatch::new(true)),
            read: proxy.timeouts.read,
            send: proxy.timeouts.send,
            client: client.unwrap_or(proxy.timeouts.send),
        }
    }

    /// How long what it waits for may take.
    fn patience(&self, line: &Line) -> Option<Duration> {
        Some(match line.is_sent() {
            true => self.read,
            false if line.waits_for_client() => self.client,
            false => self.send,
        })
    }

    /// Reads once from the server, moving the request meanwhile. 0 = closed or reset.
    async fn more(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        line: &mut Line,
        buffer: &mut Buffer,
    ) -> Result<usize, Lost> {
        let (client, deadline) = (&mut conn.stream, &conn.deadline);
        let mut moved = (u64::MAX, 0);
        std::future::poll_fn(|cx| {
            if !line.is_sent() {
                match line.poll_up(cx, client, &mut work.buffer) {
                    Poll::Ready(Err(PumpError::Sink)) => line.up_failed = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Lost::new(line.up_cause(&error)))),
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
            if moved != (line.up.moved, line.up.written) {
                moved = (line.up.moved, line.up.written);
                deadline.set(self.patience(line));
            }
            if line.is_sent()
                && let Some(watch) = &mut self.watch
                && watch.poll_gone(cx, client, &mut work.buffer)
            {
                return Poll::Ready(Err(Lost::new(Cause::ClientAbortWait)));
            }
            let mut stream = Metered { stream: &mut line.connection.stream, read: &mut line.received };
            match buffer.poll_fill(&mut stream, cx) {
                Poll::Ready(Ok(n)) => return Poll::Ready(Ok(n)),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(0)),
                Poll::Pending => {}
            }
            match deadline.poll_fired(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Fired::Timeout) if !line.is_sent() && line.waits_for_client() => {
                    Poll::Ready(Err(Lost::new(Cause::RequestTimeout)))
                }
                Poll::Ready(Fired::Timeout) => Poll::Ready(Err(Lost::new(Cause::FirstByteTimeout))),
                Poll::Ready(Fired::Watched | Fired::Stop) => {
                    deadline.set(self.patience(line));
                    deadline.poll_fired(cx).map(|_| Err(Lost::new(Cause::FirstByteTimeout)))
                }
            }
        })
        .await
    }
}
