//! Answers of ours on their way out: conditions, compression, ranges, and the bytes.
//!
//! ```text
//!   Reply ──► conditions ──► dress ──► gzip ──► ranges ──► head and body
//!                 │                                │
//!                 └──► Fail(412)                   └──► Fail(416)
//! ```

use super::reply::{Reply, body_is_here, dress, keeps, settle, told};
use super::{Turn, text};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::squeeze::Squeezer;
use ::files::{condition, gzip, open, range};
use plan::compression::{Coding, CompressionLimits};
use plan::host::Delivery;
use plan::rule::Template;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use tasks::file::{FilePart, Way};
use tasks::{Pacer, clock};
use telemetry::Cause;
use wire::http1::{
    BodyFraming, Connection, DATA_END, Fields, ResponseEdit, Version, write_chunk_size, write_last_chunk,
    write_response,
};

/// A body of so many bytes leaves in one call with its head.
const SMALL: u64 = 32 * 1024;
/// Bytes of a file that are read at a time when they are not copied by the kernel.
const BLOCK: usize = 32 * 1024;
/// Most bytes of a file in one call.
const STEP: u64 = 512 * 1024;
/// Calls before other connections get their turn.
const ROUNDS: usize = 4;

/// Numbers the boundaries of answers with several ranges.
static BOUNDARY: AtomicU64 = AtomicU64::new(1);

/// The body of an answer of ours: parts, one after the other.
#[derive(Default)]
pub(crate) struct Body(Vec<Part>);

/// A part of a body.
pub(crate) enum Part {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file that is kept in memory.
    Kept(Rc<[u8]>),
    /// Bytes of a file.
    File {
        /// The file.
        file: Rc<OwnedFd>,
        /// The first byte.
        at: u64,
        /// How many.
        length: u64,
    },
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(if bytes.is_empty() { Vec::new() } else { vec![Part::Bytes(bytes)] })
    }
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Kept(bytes) => bytes.len() as u64,
            Part::File { length, .. } => *length,
        }
    }
}

impl Body {
    /// A whole file.
    pub fn file(file: OwnedFd, length: u64) -> Body {
        Body(vec![Part::File { file: Rc::new(file), at: 0, length }])
    }

    /// A file that is kept in memory.
    pub fn kept(bytes: Rc<[u8]>) -> Body {
        Body(vec![Part::Kept(bytes)])
    }

    /// A part of a file.
    pub fn part(file: OwnedFd, at: u64, length: u64) -> Body {
        Body(vec![Part::File { file: Rc::new(file), at, length }])
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.0.iter().map(Part::length).sum()
    }

    /// One range of a body of one part.
    fn range(&self, range: &std::ops::Range<u64>) -> Part {
        let of = |bytes: &[u8]| {
            let (from, to) = (range.start as usize, range.end as usize);
            Part::Bytes(bytes.get(from..to).unwrap_or_default().to_vec())
        };
        match self.0.first() {
            Some(Part::File { file, at, .. }) => {
                Part::File { file: Rc::clone(file), at: at + range.start, length: range.end - range.start }
            }
            Some(Part::Bytes(bytes)) => of(bytes),
            Some(Part::Kept(bytes)) => of(bytes),
            None => Part::Bytes(Vec::new()),
        }
    }
}

/// How a body leaves.
struct Plan {
    body: Body,
    framing: BodyFraming,
    squeezer: Option<Squeezer>,
    trailers: Fields,
    way: Way,
}

/// Sends an answer of ours; a failure when the request's conditions do not hold or no range lies in it.
pub(super) async fn send(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    reply: Reply,
) -> Turn {
    let Reply { head, mut body, ranges, mut streamed, varies } = reply;
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Done(crate::exchange::After::Close) };
    let delivery = Arc::clone(&visit.location.settings.delivery);
    let is_failure = visit.failure.is_some();
    work.response = head;
    if work.response.status == 200 && !is_failure {
        let since = delivery.partial.modified_since;
        match condition::judge(&work.request.fields, &work.response.fields, since) {
            condition::Verdict::Send => {}
            condition::Verdict::Failed => return Turn::Fail(412),
            condition::Verdict::NotModified => {
                condition::into_not_modified(&mut work.response);
                (body, streamed) = (Body::default(), false);
            }
        }
    }
    dress(exchange, work, conn);
    let squeezer = squeeze(&delivery, work, conn, (&body, streamed, varies));
    if ranges && squeezer.is_none() && work.response.status == 200 {
        body = match in_ranges(&delivery, work, body) {
            Ok(body) => body,
            Err(length) => {
                if let Some(visit) = exchange.visit.as_deref_mut() {
                    visit.unsatisfied = Some(length);
                }
                return Turn::Fail(416);
            }
        };
    }
    let trailers = trailers(exchange, work);
    let streamed = streamed || squeezer.is_some();
    let framing = framing(work, body.length(), streamed, !trailers.is_empty(), delivery.chunks);
    let way = if delivery.sendfile { Way::Sendfile } else { Way::Buffer };
    write(conn, work, exchange, Plan { body, framing, squeezer, trailers, way }).await
}

/// How the end of the body is told.
fn framing(work: &Workspace, length: u64, streamed: bool, has_trailers: bool, chunks: bool) -> BodyFraming {
    let head = work.request.method() == b"HEAD";
    match (work.response.status, work.request.version) {
        (100..=199 | 204 | 304, _) => BodyFraming::None,
        _ if streamed && head => BodyFraming::None,
        (_, Version::Http11) if chunks && (streamed || has_trailers && !head) => BodyFraming::Chunked,
        _ if streamed => BodyFraming::UntilClose,
        _ => BodyFraming::Length(length),
    }
}

/// The compressor for a server's answer that the client takes in chunks; the head is changed to say so.
pub(super) fn squeezer(exchange: &Exchange, work: &mut Workspace, conn: &Conn) -> Option<Squeezer> {
    let settings = &exchange.visit.as_deref()?.location.settings.delivery.gzip;
    if !settings.on || work.request.version != Version::Http11 {
        return None;
    }
    let now_s = conn.local.wall_us(clock::now()).div_euclid(1_000_000);
    let length = work.response.announced_length();
    let verdict = gzip::judge(settings, &work.request, &work.response, length, now_s);
    if settings.vary && verdict != gzip::Verdict::Never {
        gzip::say_vary(&mut work.response);
    }
    if verdict != gzip::Verdict::Compress {
        return None;
    }
    gzip::into_compressed(&mut work.response);
    let limits = CompressionLimits { level: Some(settings.level), bytes_per_second: None };
    Some(Squeezer::new(Coding::Gzip, limits))
}

/// The compressor for an answer, whose head is changed to say so.
fn squeeze(
    delivery: &Delivery,
    work: &mut Workspace,
    conn: &Conn,
    (body, streamed, varies): (&Body, bool, bool),
) -> Option<Squeezer> {
    let settings = &delivery.gzip;
    if !settings.on {
        if varies && settings.vary {
            gzip::say_vary(&mut work.response);
        }
        return None;
    }
    let length = (!streamed).then(|| body.length());
    let now_s = conn.local.wall_us(clock::now()).div_euclid(1_000_000);
    let verdict = gzip::judge(settings, &work.request, &work.response, length, now_s);
    if settings.vary && (varies || verdict != gzip::Verdict::Never) {
        gzip::say_vary(&mut work.response);
    }
    if verdict != gzip::Verdict::Compress {
        return None;
    }
    gzip::into_compressed(&mut work.response);
    let limits = CompressionLimits { level: Some(settings.level), bytes_per_second: None };
    Some(Squeezer::new(Coding::Gzip, limits))
}

/// The part that the client wants, or the length of a body in which it does not lie.
fn in_ranges(delivery: &Delivery, work: &mut Workspace, body: Body) -> Result<Body, u64> {
    let (length, answer) = (body.length(), &mut work.response);
    let most = delivery.partial.most_ranges;
    if most == Some(0) {
        return Ok(body);
    }
    match range::wanted(&work.request.fields, &answer.fields, length, most) {
        range::Wanted::Whole => {
            range::offer(answer);
            Ok(body)
        }
        range::Wanted::Nothing => Err(length),
        range::Wanted::One(one) => {
            range::into_one(answer, &one, length);
            answer.set_status(206, b"Partial Content");
            Ok(Body(vec![body.range(&one)]))
        }
        range::Wanted::Many(ranges) => {
            let frame = range::into_many(answer, &ranges, length, BOUNDARY.fetch_add(1, Relaxed));
            let mut parts = Vec::with_capacity(ranges.len() * 2 + 1);
            for (before, range) in frame.before.into_iter().zip(&ranges) {
                parts.push(Part::Bytes(before));
                parts.push(body.range(range));
            }
            parts.push(Part::Bytes(frame.end));
            Ok(Body(parts))
        }
    }
}

/// Fields behind the body. They are there as soon as the location names some, so that the framing does not depend on
/// their values.
fn trailers(exchange: &Exchange, work: &Workspace) -> Fields {
    let mut fields = Fields::new();
    let Some(visit) = exchange.visit.as_deref() else { return fields };
    let usual = ::files::freshness::is_addable(work.response.status);
    for field in visit.location.settings.headers.trailers.iter().filter(|field| field.always || usual) {
        let value = super::reply::answer_text(exchange, work, &field.value);
        if !value.is_empty() {
            fields.append(field.name.as_bytes(), &value);
        }
    }
    fields
}

/// Head and body, and what becomes of the connection.
async fn write(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, plan: Plan) -> Turn {
    let keep = keeps(conn, work, exchange) && body_is_here(work) && plan.framing != BodyFraming::UntilClose;
    exchange.status = Some(work.response.status);
    let headless = work.request.method() == b"HEAD" && !exchange.bad_request;
    let mut out = std::mem::take(&mut work.out);
    out.clear();
    let edit = ResponseEdit {
        connection: if keep { Connection::KeepAlive } else { Connection::Close },
        version_to_client: work.request.version,
        framing: plan.framing,
        keep: told(exchange),
        ..ResponseEdit::default()
    };
    write_response(&work.response, &mut out, &edit);
    let mut pacer = pacer(work, exchange);
    if let Some(visit) = exchange.visit.as_deref_mut() {
        visit.head_bytes = out.len() as u64;
    }
    let sent = if headless || plan.framing == BodyFraming::None {
        conn.write_all(&out, exchange).await
    } else {
        body(conn, exchange, &mut out, plan, &mut pacer).await
    };
    work.out = out;
    Turn::Done(settle(conn, work, exchange, sent, keep))
}

/// The pace of an answer; `None` without a limit.
pub(crate) fn pacer(work: &Workspace, exchange: &Exchange) -> Option<Pacer> {
    let visit = exchange.visit.as_deref()?;
    let client = &visit.location.settings.client;
    let size = |template: &Template| match template.0.is_empty() {
        true => 0,
        false => size_of(&text(exchange, work, template)),
    };
    let rate = visit.rate.as_deref().map_or_else(|| size(&client.rate), size_of);
    if rate == 0 {
        return None;
    }
    Pacer::new(rate, size(&client.rate_after))
}

/// `12k`, `1m`, `512`; 0 for what is no size.
fn size_of(text: &[u8]) -> u64 {
    let (digits, unit) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        digits => (digits, 1),
    };
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    number.and_then(|number| number.checked_mul(unit)).unwrap_or(0)
}

/// The body behind the head in `out`.
async fn body(
    conn: &mut Conn,
    exchange: &mut Exchange,
    out: &mut Vec<u8>,
    plan: Plan,
    pacer: &mut Option<Pacer>,
) -> bool {
    let Plan { body, framing, squeezer, trailers, way } = plan;
    if squeezer.is_some() || framing == BodyFraming::Chunked {
        let chunked = framing == BodyFraming::Chunked;
        return Blocks { out, squeezer, chunked }.send(conn, exchange, body, &trailers, pacer).await;
    }
    if body.length() <= SMALL {
        let whole = body.0.iter().all(|part| append(part, out));
        return write_all(conn, exchange, out, pacer).await && short(exchange, whole);
    }
    let mut sent = true;
    for part in body.0 {
        sent = sent
            && match part {
                Part::Bytes(_) | Part::Kept(_) => append(&part, out),
                Part::File { file, at, length } => {
                    let head = write_all(conn, exchange, out, pacer).await;
                    out.clear();
                    head && send_file(conn, exchange, FilePart::new(file, at, length, way), pacer).await
                }
            };
    }
    sent && write_all(conn, exchange, out, pacer).await
}

/// Puts a part behind the bytes of `out`. False when the file has become shorter.
fn append(part: &Part, out: &mut Vec<u8>) -> bool {
    match part {
        Part::Bytes(bytes) => {
            out.extend_from_slice(bytes);
            true
        }
        Part::Kept(bytes) => {
            out.extend_from_slice(bytes);
            true
        }
        Part::File { file, at, length } => {
            let start = out.len();
            out.resize(start + *length as usize, 0);
            let read = open::read_at(&**file, &mut out[start..], *at).unwrap_or_default();
            out.truncate(start + read);
            read as u64 == *length
        }
    }
}

/// Notes that a body is not what its head promised; passes `whole` on.
fn short(exchange: &mut Exchange, whole: bool) -> bool {
    if !whole {
        exchange.fail(Cause::Internal);
    }
    whole
}

/// Bytes at the pace of the answer.
async fn write_all(
    conn: &mut Conn,
    exchange: &mut Exchange,
    mut bytes: &[u8],
    pacer: &mut Option<Pacer>,
) -> bool {
    let Some(pacer) = pacer else { return conn.write_all(bytes, exchange).await };
    while !bytes.is_empty() {
        let most = turn(conn, pacer).await;
        let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
        if !conn.write_all(now, exchange).await {
            return false;
        }
        pacer.sent(now.len() as u64);
        bytes = later;
    }
    true
}

/// How many bytes may leave; waits while none may, and that is not the client's silence.
async fn turn(conn: &Conn, pacer: &mut Pacer) -> u64 {
    conn.deadline.set(None);
    poll_fn(|cx| pacer.poll_turn(cx)).await
}

/// A part of a file.
async fn send_file(
    conn: &mut Conn,
    exchange: &mut Exchange,
    mut part: FilePart,
    pacer: &mut Option<Pacer>,
) -> bool {
    let mut rounds = 0;
    while part.left() > 0 {
        let most = match pacer {
            Some(pacer) => turn(conn, pacer).await,
            None => STEP,
        };
        conn.deadline.set(exchange.client_timeout());
        let (stream, deadline, worker) = (&mut conn.stream, &conn.deadline, &conn.local.worker);
        let sent = poll_fn(|cx| match part.poll_send(cx, worker, stream, most) {
            Poll::Ready(Ok(sent)) => Poll::Ready(Ok(sent)),
            Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Err(Cause::Internal))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Cause::ClientAbortData)),
            Poll::Pending => deadline.poll_fired(cx).map(|_| Err(Cause::ClientTimeoutData)),
        });
        match sent.await {
            Ok(sent) => {
                exchange.bytes_out += sent;
                if let Some(pacer) = pacer {
                    pacer.sent(sent);
                }
            }
            Err(cause) => {
                exchange.fail(cause);
                return false;
            }
        }
        rounds += 1;
        if rounds % ROUNDS == 0 {
            tokio::task::yield_now().await;
        }
    }
    true
}

/// A body in blocks: compressed, in chunks, or both.
struct Blocks<'o> {
    out: &'o mut Vec<u8>,
    squeezer: Option<Squeezer>,
    chunked: bool,
}

impl Blocks<'_> {
    async fn send(
        mut self,
        conn: &mut Conn,
        exchange: &mut Exchange,
        body: Body,
        trailers: &Fields,
        pacer: &mut Option<Pacer>,
    ) -> bool {
        let mut block = Vec::new();
        for part in body.0 {
            let mut done = 0;
            while done < part.length() {
                if !read_block(&part, done, &mut block) {
                    return short(exchange, false);
                }
                done += block.len() as u64;
                if !self.add(&block) {
                    return short(exchange, false);
                }
                if self.out.len() >= BLOCK {
                    if !write_all(conn, exchange, self.out, pacer).await {
                        return false;
                    }
                    self.out.clear();
                    tokio::task::yield_now().await;
                }
            }
        }
        if !self.end(trailers) {
            return short(exchange, false);
        }
        write_all(conn, exchange, self.out, pacer).await
    }

    /// Takes a block of the body; false when the compressor failed.
    fn add(&mut self, block: &[u8]) -> bool {
        let Some(squeezer) = &mut self.squeezer else {
            self.chunk(block);
            return true;
        };
        let fed = squeezer.feed(block);
        self.take_squeezed();
        fed
    }

    fn take_squeezed(&mut self) {
        let squeezed = self.squeezer.as_mut().map(|squeezer| std::mem::take(&mut squeezer.out));
        if let Some(squeezed) = squeezed {
            self.chunk(&squeezed);
        }
    }

    fn chunk(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.chunked {
            write_chunk_size(self.out, bytes.len());
        }
        self.out.extend_from_slice(bytes);
        if self.chunked {
            self.out.extend_from_slice(DATA_END);
        }
    }

    fn end(&mut self, trailers: &Fields) -> bool {
        let finished = self.squeezer.as_mut().is_none_or(Squeezer::finish);
        self.take_squeezed();
        if self.chunked {
            write_last_chunk(self.out, trailers);
        }
        finished
    }
}

/// The next block of a part; false when the file has become shorter.
fn read_block(part: &Part, done: u64, block: &mut Vec<u8>) -> bool {
    let room = (part.length() - done).min(BLOCK as u64) as usize;
    block.clear();
    let from = done as usize;
    match part {
        Part::Bytes(bytes) => block.extend_from_slice(bytes.get(from..from + room).unwrap_or_default()),
        Part::Kept(bytes) => block.extend_from_slice(bytes.get(from..from + room).unwrap_or_default()),
        Part::File { file, at, .. } => {
            block.resize(room, 0);
            let read = open::read_at(&**file, block, at + done).unwrap_or_default();
            block.truncate(read);
        }
    }
    !block.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [("12k", 12_288), ("1M", 1 << 20), ("512", 512), ("", 0), ("k", 0), ("-1", 0)] {
            assert_eq!(size_of(text.as_bytes()), size, "{text}");
        }
    }
}
