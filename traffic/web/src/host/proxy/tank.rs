//! An answer that a server sends faster than the client takes it: kept in memory, then in a file, so that the server is
//! free while a slow client takes its time.
//!
//! ```text
//!   server ──► back ──► file ──► front ──► Pump ──► client
//!              newest            oldest
//! ```
//!
//! A tank holds the answer's bytes as they came. It follows their framing only to see the end.

use super::spool::Temporary;
use crate::body::Follow;
use plan::host::{BodyFile, ProxyBuffers};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tasks::Buffer;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are read before others get their turn.
const TURN: usize = 256 * 1024;

/// What a server sent and the client did not take yet.
pub(crate) struct Tank {
    follow: Follow,
    front: Buffer,
    back: Buffer,
    file: Option<Temporary>,
    /// What of the file is still to be read.
    file_from: u64,
    file_to: u64,
    state: State,
    full: bool,
}

/// What is known about the rest of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// More will come.
    Open,
    /// All of it is here; more than all when the second is true.
    Whole { extra: bool },
    /// It broke off.
    Broken,
}

impl Tank {
    /// An empty tank for what follows of an answer.
    pub fn new(follow: Follow, buffers: &ProxyBuffers) -> Tank {
        let half = (buffers.memory / 2).max(4096);
        Tank {
            follow,
            front: Buffer::new(half),
            back: Buffer::new(half),
            file: None,
            file_from: 0,
            file_to: 0,
            state: State::Open,
            full: false,
        }
    }

    /// What is known about the rest.
    pub fn state(&self) -> State {
        self.state
    }

    /// True while nothing more fits.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Reads what the server has, as long as there is room. Pending = all that was there was read, and more may come; ready =
    /// the answer is whole or broken, or the tank is full (`true`).
    pub fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        buffers: &ProxyBuffers,
    ) -> Poll<bool> {
        let mut turn = 0;
        self.full = false;
        while self.state == State::Open {
            if self.back.is_full() && !self.make_room(buffers) {
                self.full = true;
                return Poll::Ready(true);
            }
            if turn > TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = self.back.len();
            match ready!(self.back.poll_fill(from, cx)) {
                Ok(0) if self.follow.ends_with_connection() => self.state = State::Whole { extra: false },
                Ok(0) | Err(_) => self.state = State::Broken,
                Ok(n) => {
                    turn += n;
                    match self.follow.feed(&self.back.bytes()[before..]) {
                        Ok(None) => {}
                        Ok(Some(used)) => self.state = State::Whole { extra: used < n },
                        // The pump finds the same fault when it comes there.
                        Err(_) => self.state = State::Whole { extra: true },
                    }
                }
            }
        }
        Poll::Ready(false)
    }

    /// Moves the newest bytes out of the way; false when there is no room for them.
    fn make_room(&mut self, buffers: &ProxyBuffers) -> bool {
        if self.front.is_empty() && self.file_from == self.file_to {
            std::mem::swap(&mut self.front, &mut self.back);
            return true;
        }
        if self.file_to - self.file_from >= buffers.file {
            return false;
        }
        match self.write_back(buffers) {
            Ok(()) => true,
            // Without a file it goes on in memory.
            Err(_) => false,
        }
    }

    fn write_back(&mut self, buffers: &ProxyBuffers) -> io::Result<()> {
        if self.file_from == self.file_to {
            (self.file_from, self.file_to) = (0, 0);
        }
        if self.file.is_none() {
            self.file = Some(Temporary::new(&buffers.directory, BodyFile::WhenLarge)?);
        }
        if let Some(file) = &self.file {
            file.write_at(self.back.bytes(), self.file_to)?;
        }
        self.file_to += self.back.len() as u64;
        self.back.clear();
        Ok(())
    }

    /// Brings older bytes to the front.
    fn advance(&mut self) -> io::Result<()> {
        if self.file_from < self.file_to
            && let Some(file) = &self.file
        {
            let mut part = vec![0; self.front.size().min((self.file_to - self.file_from) as usize)];
            let n = file.read_at(&mut part, self.file_from)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.front.append(&part[..n]);
            self.file_from += n as u64;
        } else {
            std::mem::swap(&mut self.front, &mut self.back);
        }
        Ok(())
    }
}

impl AsyncRead for Tank {
    /// Gives the oldest bytes; pending means that it has to be filled.
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tank = self.get_mut();
        if tank.front.is_empty() {
            tank.advance()?;
        }
        if tank.front.is_empty() {
            return match tank.state {
                State::Open => Poll::Pending,
                State::Whole { .. } => Poll::Ready(Ok(())),
                State::Broken => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            };
        }
        let n = tank.front.len().min(buf.remaining());
        buf.put_slice(&tank.front.bytes()[..n]);
        tank.front.consume(n);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use wire::http1::BodyFraming;

    /// Fills a tank from `source` while nobody takes anything, then empties it in small steps; gives what came out and
    /// whether it was full before the end.
    fn through(source: &[u8], framing: BodyFraming, memory: usize, file: u64) -> (Vec<u8>, bool, State) {
        let directory = std::env::temp_dir().join(format!("tank-{}-{memory}-{file}", std::process::id()));
        let buffers = ProxyBuffers { on: true, head: 4096, memory, file, directory: directory.clone() };
        let mut tank = Tank::new(Follow::new(framing), &buffers);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut from, mut out, mut was_full) = (source, Vec::new(), false);
        loop {
            while tank.state() == State::Open {
                match tank.poll_fill(&mut cx, &mut from, &buffers) {
                    Poll::Ready(full) => {
                        was_full |= full;
                        break;
                    }
                    Poll::Pending => {}
                }
            }
            let mut part = [0; 1000];
            let mut read = ReadBuf::new(&mut part);
            match Pin::new(&mut tank).poll_read(&mut cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => break,
                Poll::Ready(Ok(())) => out.extend_from_slice(read.filled()),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {}
            }
        }
        let _ = std::fs::remove_dir_all(&directory);
        (out, was_full, tank.state())
    }

    #[test]
    fn nothing_is_lost_or_changes_its_order() {
        let source: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let length = BodyFraming::Length(source.len() as u64);
        for (memory, file, full) in
            [(8192, 0, true), (8192, 40_000, true), (8192, 1 << 30, false), (2 << 20, 0, false)]
        {
            let (out, was_full, state) = through(&source, length, memory, file);
            assert_eq!(state, State::Whole { extra: false });
            assert!(out == source, "memory {memory}, file {file}");
            assert_eq!(was_full, full, "memory {memory}, file {file}");
        }
    }

    #[test]
    fn the_end_is_seen() {
        let check = |source: &str, framing, expected| {
            assert_eq!(through(source.as_bytes(), framing, 8192, 0).2, expected, "{source:?}");
        };
        check("12345", BodyFraming::Length(5), State::Whole { extra: false });
        check("123456", BodyFraming::Length(5), State::Whole { extra: true });
        check("1234", BodyFraming::Length(5), State::Broken);
        check("1234", BodyFraming::UntilClose, State::Whole { extra: false });
        check("1\r\na\r\n0\r\n\r\n", BodyFraming::Chunked, State::Whole { extra: false });
        check("1\r\na\r\n0\r\n\r\nHTTP", BodyFraming::Chunked, State::Whole { extra: true });
        check("1\r\na\r\n", BodyFraming::Chunked, State::Broken);
    }
}
