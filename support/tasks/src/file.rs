//! Files on their way to a stream: copied by the kernel (sendfile(2)), or read and written.
//!
//! Used by `web` for answers made from files. Reading a file may wait for the disk, as with any program that sends
//! files; the kernel reads ahead.

use crate::{Buffer, Stream, Worker};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, Interest};

/// Most bytes of one call: other connections want their turn, too.
const PART: u64 = 512 * 1024;
/// Rounds before other tasks get their turn.
const ROUNDS: u32 = 4;

/// How bytes of a file get to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The kernel copies them.
    Sendfile,
    /// They are read into a buffer and written.
    Buffer,
}

/// A part of a file on its way.
#[derive(Debug)]
pub struct FilePart {
    file: Rc<OwnedFd>,
    at: u64,
    left: u64,
    way: Way,
    buffer: Option<Buffer>,
}

impl FilePart {
    /// `length` bytes of `file` from `at` on.
    pub fn new(file: Rc<OwnedFd>, at: u64, length: u64, way: Way) -> FilePart {
        FilePart { file, at, left: length, way, buffer: None }
    }

    /// Bytes to come.
    pub fn left(&self) -> u64 {
        self.left + self.buffer.as_ref().map_or(0, |buffer| buffer.len() as u64)
    }

    /// Sends once, at most `most` bytes; how many went. 0 only when nothing is left.
    ///
    /// # Errors
    /// The stream takes no bytes any more, the file cannot be read, or it has become shorter (`UnexpectedEof`).
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        to: &mut Stream,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        match (self.way, &*to) {
            (Way::Sendfile, Stream::Tcp(_) | Stream::Unix(_)) if self.buffer.is_none() => {
                self.poll_sendfile(cx, to, most)
            }
            _ => self.poll_copy(cx, worker, to, most),
        }
    }

    /// Sends all of it; `sent` is told how much went each time.
    ///
    /// # Errors
    /// As [`FilePart::poll_send`].
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        to: &mut Stream,
        mut sent: impl FnMut(u64),
    ) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            if self.left() == 0 {
                return Poll::Ready(Ok(()));
            }
            sent(ready!(self.poll_send(cx, worker, to, PART))?);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_sendfile(&mut self, cx: &mut Context<'_>, to: &Stream, most: u64) -> Poll<io::Result<u64>> {
        let most = most.min(self.left).min(PART);
        loop {
            let mut at = self.at;
            let call = || Ok(rustix::fs::sendfile(to, &*self.file, Some(&mut at), most as usize)?);
            match to.try_io(Interest::WRITABLE, call) {
                Ok(0) if most > 0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(sent) => {
                    self.went(sent as u64);
                    return Poll::Ready(Ok(sent as u64));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(to.poll_writable(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not every file system can do it.
                Err(error) if is_unable(&error) => {
                    self.way = Way::Buffer;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        to: &mut Stream,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        if self.buffer.is_none() {
            if self.left == 0 {
                return Poll::Ready(Ok(0));
            }
            let mut buffer = worker.buffers.take();
            let room = self.left.min(buffer.size() as u64) as usize;
            let read = buffer.fill_with(room, |into| read_at(&*self.file, into, self.at))?;
            if read == 0 {
                worker.buffers.give(buffer);
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.went(read as u64);
            self.buffer = Some(buffer);
        }
        let Some(buffer) = &mut self.buffer else { return Poll::Ready(Ok(0)) };
        let part = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let written = ready!(Pin::new(to).poll_write(cx, &buffer.bytes()[..part]))?;
        buffer.consume(written);
        if buffer.is_empty()
            && let Some(buffer) = self.buffer.take()
        {
            worker.buffers.give(buffer);
        }
        match written {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(written as u64)),
        }
    }

    fn went(&mut self, bytes: u64) {
        self.at += bytes;
        self.left -= bytes;
    }
}

fn is_unable(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn read_at(file: impl AsFd, into: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(&file, &mut *into, at) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    const LENGTH: usize = 3_000_001;

    /// A nameless file with a pattern in it.
    fn pattern() -> (Rc<OwnedFd>, Vec<u8>) {
        let bytes: Vec<u8> =
            (0..LENGTH as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = rustix::fs::memfd_create("pattern", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut at = 0;
        while at < LENGTH {
            at += rustix::io::pwrite(&file, &bytes[at..], at as u64).unwrap();
        }
        (Rc::new(file), bytes)
    }

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Stream::Tcp(near.unwrap()), far.unwrap().0)
    }

    fn alone(story: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, story());
    }

    #[test]
    fn a_part_arrives_undamaged_on_both_ways() {
        alone(async || {
            let (file, bytes) = pattern();
            for way in [Way::Sendfile, Way::Buffer] {
                let worker = Worker::new(0);
                let (mut to, mut far) = pair().await;
                let (from, length) = (17, LENGTH - 30);
                let mut part = FilePart::new(Rc::clone(&file), from as u64, length as u64, way);
                let reader = tokio::task::spawn_local(async move {
                    let mut got = Vec::new();
                    far.read_to_end(&mut got).await.unwrap();
                    got
                });
                let mut sent = 0;
                poll_fn(|cx| part.poll(cx, &worker, &mut to, |n| sent += n)).await.unwrap();
                assert_eq!((part.left(), sent), (0, length as u64));
                drop(to);
                assert!(reader.await.unwrap() == bytes[from..from + length], "{way:?}");
            }
        });
    }

    #[test]
    fn a_file_that_became_shorter_is_told() {
        alone(async || {
            let (file, _) = pattern();
            for way in [Way::Sendfile, Way::Buffer] {
                let worker = Worker::new(0);
                let (mut to, _far) = pair().await;
                let mut part = FilePart::new(Rc::clone(&file), LENGTH as u64, 5, way);
                let end = poll_fn(|cx| part.poll(cx, &worker, &mut to, |_| {})).await;
                assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{way:?}");
            }
        });
    }
}
