//! Bodies on their way: decoded from one framing, encoded in another, copied at most once.
//!
//! A [`Pump`] moves one message body from a source to a sink. The head of the message is given to it as
//! the first bytes to write, so that head and first data leave in one system call. It never waits by
//! itself: the caller polls it together with the other direction and its deadline.

use crate::squeeze::Squeezer;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tasks::Buffer;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::http1::{BodyFraming, Chunk, Chunked, DATA_END, Fields, write_chunk_size, write_last_chunk};

/// Chunks up to this many bytes are copied together before they are written.
const SMALL_CHUNK: usize = 1024;
/// Data up to this many bytes is copied behind the head it leaves with.
const SMALL_DATA: usize = 4096;
/// So many copied bytes are written before more are decoded.
const GATHERED: usize = 8 * 1024;

/// Moves one body.
pub(crate) struct Pump {
    source: Source,
    encode: Encode,
    /// Framing (at first: the head) to write before the data.
    framing: Vec<u8>,
    framing_at: usize,
    /// Bytes at the front of the buffer to write after the framing.
    data_left: usize,
    /// Data is followed by the end of a chunk.
    end_chunk: bool,
    /// Body bytes taken from the source so far.
    pub moved: u64,
    /// Bytes written to the sink so far, framing included.
    pub written: u64,
    /// What it waits for when pending.
    pub waits_for: Side,
    /// Compresses the body; what leaves is chunked then.
    squeezer: Option<Box<Squeezer>>,
    /// Keeps the body for the cache.
    pub keeper: Option<Box<cache::Writer>>,
    /// Compressed bytes so far.
    pub squeezed: u64,
    /// Bytes of the body, its framing included, were taken from the buffer.
    begun: bool,
    ended: bool,
}

/// Where the body comes from.
#[derive(Clone)]
enum Source {
    Length(u64),
    Chunked(Box<Chunked>),
    UntilClose,
    Nothing,
}

impl Source {
    fn of(framing: BodyFraming) -> Source {
        match framing {
            BodyFraming::None | BodyFraming::Length(0) => Source::Nothing,
            BodyFraming::Length(n) => Source::Length(n),
            BodyFraming::Chunked => Source::Chunked(Box::default()),
            BodyFraming::UntilClose => Source::UntilClose,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encode {
    Plain,
    Chunked,
    /// Read but not written: the body of an answer to HEAD and the like.
    Drop,
}

/// Follows the framing of a body without taking anything from it, to see where it ends.
pub(crate) struct Follow(Source);

impl Follow {
    /// From the beginning of a body.
    #[cfg(test)]
    pub fn new(framing: BodyFraming) -> Follow {
        Follow(Source::of(framing))
    }

    /// True when the end of the connection is the end of the body.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.0, Source::UntilClose)
    }

    /// Takes note of what follows; gives how many of these bytes belong to the body when it ends with them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, PumpError> {
        let used = match &mut self.0 {
            Source::Nothing => Some(0),
            Source::UntilClose => None,
            Source::Length(left) => {
                let used = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= used as u64;
                (*left == 0).then_some(used)
            }
            Source::Chunked(decoder) => end_of_chunks(decoder, bytes)?,
        };
        if used.is_some() {
            self.0 = Source::Nothing;
        }
        Ok(used)
    }
}

/// What is still missing of a body.
pub(crate) enum Rest {
    /// This.
    Comes(Follow),
    /// Nothing; perhaps there is more than it.
    IsHere {
        /// There is.
        extra: bool,
    },
}

fn end_of_chunks(decoder: &mut Chunked, bytes: &[u8]) -> Result<Option<usize>, PumpError> {
    let mut at = 0;
    while at < bytes.len() {
        match decoder.next(&bytes[at..]).map_err(|_| PumpError::Invalid)? {
            Chunk::Need { consumed } => at += consumed,
            Chunk::Data { skip, len } => at += skip + len,
            Chunk::End { consumed } => return Ok(Some(at + consumed)),
        }
    }
    Ok(None)
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

/// Why a body could not be moved whole.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The source ended before the body did.
    Truncated,
    /// Reading failed.
    Source,
    /// The body's framing is not valid.
    Invalid,
    /// Writing failed.
    Sink,
}

impl Pump {
    /// A pump that first writes `head`, then the body.
    pub fn new(head: Vec<u8>, from: BodyFraming, to: BodyFraming) -> Pump {
        Pump {
            source: Source::of(from),
            encode: match to {
                BodyFraming::Chunked => Encode::Chunked,
                BodyFraming::None => Encode::Drop,
                _ => Encode::Plain,
            },
            framing: head,
            framing_at: 0,
            data_left: 0,
            end_chunk: false,
            moved: 0,
            written: 0,
            waits_for: Side::Source,
            squeezer: None,
            keeper: None,
            squeezed: 0,
            begun: false,
            ended: false,
        }
        .begin()
    }

    /// From here on it compresses. Only for chunks, and before it is polled.
    pub fn squeeze(&mut self, squeezer: Box<Squeezer>) {
        debug_assert!(self.encode == Encode::Chunked && !self.begun);
        self.squeezer = Some(squeezer).filter(|_| !self.ended);
    }

    /// The same pump, keeping the body. One that cannot be kept goes by all the same.
    pub fn keeping(mut self, keeper: Option<Box<cache::Writer>>) -> Pump {
        self.keeper = keeper;
        self
    }

    /// Nobody takes the body any more but who keeps it.
    pub fn forget_sink(&mut self, buffer: &mut Buffer) {
        buffer.consume(self.data_left);
        (self.data_left, self.end_chunk, self.framing_at) = (0, false, 0);
        self.framing.clear();
        (self.encode, self.squeezer) = (Encode::Drop, None);
    }

    /// True when it compresses.
    pub fn squeezes(&self) -> bool {
        self.squeezer.is_some()
    }

    fn begin(mut self) -> Pump {
        if matches!(self.source, Source::Nothing) {
            let _ = self.end(None);
        }
        self
    }

    /// True when part of the body, be it only its framing, is gone from the buffer: it cannot be moved once more.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// What its source still has to give, behind what lies in `buffer` already.
    pub fn rest(&self, buffer: &Buffer) -> Rest {
        let bytes = &buffer.bytes()[self.data_left..];
        let mut follow = Follow(self.source.clone());
        match follow.feed(bytes) {
            Ok(None) => Rest::Comes(follow),
            Ok(Some(used)) => Rest::IsHere { extra: used < bytes.len() },
            Err(_) => Rest::IsHere { extra: true },
        }
    }

    /// True when everything was taken from the source.
    pub fn source_done(&self) -> bool {
        matches!(self.source, Source::Nothing | Source::Length(0))
    }

    /// True when everything was written.
    pub fn is_done(&self) -> bool {
        matches!(self.source, Source::Nothing) && self.nothing_to_write()
    }

    /// Gives back the head's memory for the next message.
    pub fn into_memory(self) -> Vec<u8> {
        self.framing
    }

    /// Moves what can be moved. Ready when all was moved, or not more can be.
    pub fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        buffer: &mut Buffer,
        to: &mut W,
    ) -> Poll<Result<(), PumpError>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.may_gather(buffer) {
                self.decode(buffer)?;
            } else if !self.nothing_to_write() {
                self.waits_for = Side::Sink;
                ready!(self.poll_write(cx, buffer, to)).map_err(|_| PumpError::Sink)?;
            } else if matches!(self.source, Source::Length(0)) {
                self.end(None)?;
            } else if self.source_done() {
                return Poll::Ready(Ok(()));
            } else {
                self.waits_for = Side::Source;
                let filled = buffer.poll_fill(from, cx);
                if filled.is_pending() && self.squeezer.is_some() && self.show_squeezed()? {
                    continue;
                }
                if ready!(filled).map_err(|_| PumpError::Source)? == 0 {
                    self.source_closed()?;
                }
            }
        }
    }

    /// True when more data should join what is about to be written, so that it leaves in the same call.
    fn may_gather(&self, buffer: &Buffer) -> bool {
        !buffer.is_empty()
            && !self.source_done()
            && self.data_left == 0
            && !self.end_chunk
            && self.framing.len() < GATHERED
    }

    fn nothing_to_write(&self) -> bool {
        self.framing_at == self.framing.len() && self.data_left == 0 && !self.end_chunk
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        let framing = &self.framing[self.framing_at..];
        let data = &buffer.bytes()[..self.data_left];
        let end: &[u8] = if self.end_chunk { DATA_END } else { b"" };
        let n = if data.is_empty() && end.is_empty() {
            ready!(Pin::new(to).poll_write(cx, framing))?
        } else if framing.is_empty() && end.is_empty() {
            ready!(Pin::new(to).poll_write(cx, data))?
        } else {
            let parts = [IoSlice::new(framing), IoSlice::new(data), IoSlice::new(end)];
            ready!(Pin::new(to).poll_write_vectored(cx, &parts))?
        };
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.wrote(n, buffer);
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, n: usize, buffer: &mut Buffer) {
        self.written += n as u64;
        let of_framing = n.min(self.framing.len() - self.framing_at);
        self.framing_at += of_framing;
        let of_data = (n - of_framing).min(self.data_left);
        self.data_left -= of_data;
        buffer.consume(of_data);
        match n - of_framing - of_data {
            0 => {}
            1 => self.restart_framing(&DATA_END[1..]),
            _ => self.end_chunk = false,
        }
        if self.framing_at == self.framing.len() {
            self.framing.clear();
            self.framing_at = 0;
        }
    }

    /// Half of the end of a chunk was written: the rest becomes framing.
    fn restart_framing(&mut self, rest: &[u8]) {
        self.end_chunk = false;
        self.framing.clear();
        self.framing_at = 0;
        self.framing.extend_from_slice(rest);
    }

    /// Takes from the buffer what the framing allows and queues it for writing.
    fn decode(&mut self, buffer: &mut Buffer) -> Result<(), PumpError> {
        self.begun = true;
        match &mut self.source {
            Source::Nothing => {}
            Source::UntilClose => {
                let len = buffer.len();
                self.data(buffer, len)?;
            }
            Source::Length(left) => {
                let len = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= len as u64;
                self.data(buffer, len)?;
            }
            Source::Chunked(_) => self.decode_chunks(buffer)?,
        }
        Ok(())
    }

    fn decode_chunks(&mut self, buffer: &mut Buffer) -> Result<(), PumpError> {
        while !buffer.is_empty() && self.data_left == 0 && self.framing.len() < GATHERED {
            let Source::Chunked(decoder) = &mut self.source else { return Ok(()) };
            match decoder.next(buffer.bytes()).map_err(|_| PumpError::Invalid)? {
                Chunk::Need { consumed } => buffer.consume(consumed),
                Chunk::Data { skip, len } => {
                    buffer.consume(skip);
                    self.data(buffer, len)?;
                }
                Chunk::End { consumed } => {
                    buffer.consume(consumed);
                    let trailers = decoder.trailers().clone();
                    self.end(Some(&trailers))?;
                }
            }
        }
        Ok(())
    }

    /// The first `len` bytes of the buffer are data.
    fn data(&mut self, buffer: &mut Buffer, len: usize) -> Result<(), PumpError> {
        self.moved += len as u64;
        if let Some(keeper) = &mut self.keeper
            && keeper.write(&buffer.bytes()[..len]).is_err()
        {
            self.keeper = None;
        }
        if let Some(squeezer) = &mut self.squeezer {
            let fed = squeezer.feed(&buffer.bytes()[..len]);
            buffer.consume(len);
            return self.take_squeezed(fed);
        }
        match self.encode {
            Encode::Drop => buffer.consume(len),
            // A short copy is cheaper than a call with two parts.
            Encode::Plain if !self.framing.is_empty() && len <= SMALL_DATA => {
                self.framing.extend_from_slice(&buffer.bytes()[..len]);
                buffer.consume(len);
            }
            Encode::Plain => self.data_left = len,
            Encode::Chunked => {
                write_chunk_size(&mut self.framing, len);
                if len <= SMALL_CHUNK {
                    self.framing.extend_from_slice(&buffer.bytes()[..len]);
                    self.framing.extend_from_slice(DATA_END);
                    buffer.consume(len);
                } else {
                    self.data_left = len;
                    self.end_chunk = true;
                }
            }
        }
        Ok(())
    }

    /// The source pauses: the sink shall see what came so far. True when there is something to write.
    fn show_squeezed(&mut self) -> Result<bool, PumpError> {
        let flushed = self.squeezer.as_mut().is_none_or(|squeezer| squeezer.flush());
        self.take_squeezed(flushed)?;
        Ok(!self.nothing_to_write())
    }

    /// What the compressor gave out becomes a chunk.
    fn take_squeezed(&mut self, sound: bool) -> Result<(), PumpError> {
        let Some(squeezer) = self.squeezer.as_mut().filter(|_| sound) else { return Err(PumpError::Invalid) };
        if !squeezer.out.is_empty() {
            self.squeezed += squeezer.out.len() as u64;
            write_chunk_size(&mut self.framing, squeezer.out.len());
            self.framing.append(&mut squeezer.out);
            self.framing.extend_from_slice(DATA_END);
        }
        Ok(())
    }

    fn source_closed(&mut self) -> Result<(), PumpError> {
        match self.source {
            Source::UntilClose => self.end(None),
            _ => Err(PumpError::Truncated),
        }
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), PumpError> {
        self.source = Source::Nothing;
        if let Some(squeezer) = self.squeezer.as_mut().filter(|_| !self.ended) {
            let finished = squeezer.finish();
            self.take_squeezed(finished)?;
        }
        if self.encode == Encode::Chunked && !self.ended {
            let none = Fields::default();
            write_last_chunk(&mut self.framing, trailers.unwrap_or(&none));
        }
        self.ended = true;
        Ok(())
    }
}
