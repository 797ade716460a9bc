//! A byte stream to a client or a server: TCP or unix.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A byte stream to a client or a server.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    /// Waits until bytes (or the end) can be read, without taking any.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(s) => s.poll_read_ready(cx),
            Stream::Unix(s) => s.poll_read_ready(cx),
        }
    }

    /// Runs a non-blocking system call on the socket; keeps the readiness true (see tokio's `try_io`).
    pub fn try_io<R>(&self, interest: Interest, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Stream::Tcp(s) => s.try_io(interest, call),
            Stream::Unix(s) => s.try_io(interest, call),
        }
    }

    /// Waits for readiness.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Stream::Tcp(s) => s.ready(interest).await,
            Stream::Unix(s) => s.ready(interest).await,
        }
    }

    /// Waits until bytes can be written.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(s) => s.poll_write_ready(cx),
            Stream::Unix(s) => s.poll_write_ready(cx),
        }
    }

    /// Reads without waiting; `WouldBlock` when nothing is there.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.try_read(into),
            Stream::Unix(s) => s.try_read(into),
        }
    }

    /// Asks the system, not the runtime, whether nothing at all waits to be read, not even the end. A byte that came
    /// after the runtime last looked is seen. One system call.
    pub fn is_silent(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let (mut byte, flags) = ([0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        let seen = match self {
            Stream::Tcp(s) => recv(s, &mut byte[..], flags),
            Stream::Unix(s) => recv(s, &mut byte[..], flags),
        };
        matches!(seen, Err(rustix::io::Errno::AGAIN))
    }

    /// Writes without waiting; `WouldBlock` when the socket is full.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.try_write(bytes),
            Stream::Unix(s) => s.try_write(bytes),
        }
    }

    /// The TCP stream, if it is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(s) => Some(s),
            Stream::Unix(_) => None,
        }
    }

    /// The same stream, watched by the runtime of the caller from now on, which may be another one than before. `None` when
    /// bytes or the end wait to be read.
    pub fn move_here(self) -> io::Result<Option<Stream>> {
        let quiet = |seen: io::Result<usize>| matches!(seen, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        match self {
            Stream::Tcp(stream) => {
                let stream = stream.into_std()?;
                let still = quiet(stream.peek(&mut [0]));
                if still { TcpStream::from_std(stream).map(|s| Some(Stream::Tcp(s))) } else { Ok(None) }
            }
            Stream::Unix(stream) => Ok(Some(Stream::Unix(UnixStream::from_std(stream.into_std()?)?))),
        }
    }

    /// Closing will reset the connection instead of ending it in order.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(s) = self {
            let _ = s.set_zero_linger();
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(s) => s.as_fd(),
            Stream::Unix(s) => s.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, bytes),
            Stream::Unix(s) => Pin::new(s).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write_vectored(cx, parts),
            Stream::Unix(s) => Pin::new(s).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
