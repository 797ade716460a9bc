//! Syslog over TCP: lines one after the other, each with its newline (RFC 6587, section 3.4.2).
//!
//! ```text
//!  Down ── a second has passed, a line waits ──► Connecting ──► Up
//!   ▲                                                │           │
//!   └────────────── refused, reset, closed, too slow ┴───────────┘
//! ```
//!
//! Lines wait here while the server is away, up to a bound; nothing here ever waits for the network.

use super::out::{BACKLOG_BYTES, CONNECT_PAUSE, is_writable};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest time for a connection to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A syslog server by TCP and the lines that it has not taken yet.
#[derive(Debug)]
pub(super) struct Stream {
    to: SocketAddr,
    state: State,
    backlog: Vec<u8>,
    /// A part of the first line that waits has been sent on the connection that is up.
    within_line: bool,
}

#[derive(Debug)]
enum State {
    /// Since the last try; `None` = not tried yet.
    Down(Option<Instant>),
    Connecting(TcpStream, Instant),
    Up(TcpStream),
}

impl Stream {
    pub(super) fn new(to: SocketAddr) -> Stream {
        Stream { to, state: State::Down(None), backlog: Vec::new(), within_line: false }
    }

    /// Keeps one line; false when it is lost because too many wait.
    pub(super) fn take(&mut self, line: &[u8]) -> bool {
        let room = self.backlog.len() < BACKLOG_BYTES;
        if room {
            self.backlog.extend_from_slice(line);
        }
        room
    }

    /// Sends what goes out without waiting; gives the lines lost.
    pub(super) fn flush(&mut self) -> u64 {
        if self.backlog.is_empty() {
            return 0;
        }
        let state = std::mem::replace(&mut self.state, State::Down(Some(Instant::now())));
        match self.advanced(state) {
            Ok(state) => {
                self.state = state;
                0
            }
            Err(_) => self.drop_begun_line(),
        }
    }

    /// What waits, such as the address opened again by a reload.
    pub(super) fn inherit(&mut self, before: Stream) {
        *self = before;
    }

    /// Nothing waits that could go out now.
    pub(super) fn is_clear(&self) -> bool {
        self.backlog.is_empty() || self.is_down()
    }

    /// Lines wait for a server that is away.
    pub(super) fn waits(&self) -> bool {
        !self.backlog.is_empty() && self.is_down()
    }

    fn is_down(&self) -> bool {
        matches!(self.state, State::Down(Some(_)))
    }

    fn advanced(&mut self, state: State) -> io::Result<State> {
        match state {
            State::Down(Some(tried)) if tried.elapsed() < CONNECT_PAUSE => Ok(State::Down(Some(tried))),
            State::Down(_) => Ok(State::Connecting(connecting(&self.to)?, Instant::now())),
            State::Connecting(stream, since) if !is_writable(&stream, Duration::ZERO) => {
                let late = since.elapsed() > CONNECT_LIMIT;
                if late { Err(ErrorKind::TimedOut.into()) } else { Ok(State::Connecting(stream, since)) }
            }
            State::Connecting(stream, _) => match stream.take_error()? {
                Some(error) => Err(error),
                None => self.written(stream),
            },
            State::Up(stream) => self.written(stream),
        }
    }

    fn written(&mut self, mut stream: TcpStream) -> io::Result<State> {
        still_open(&mut stream)?;
        let mut done = 0;
        while done < self.backlog.len() {
            match stream.write(&self.backlog[done..]) {
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => {
                    self.sent(done);
                    return Err(e);
                }
            }
        }
        self.sent(done);
        Ok(State::Up(stream))
    }

    fn sent(&mut self, bytes: usize) {
        if let Some(last) = bytes.checked_sub(1) {
            self.within_line = self.backlog[last] != b'\n';
            self.backlog.drain(..bytes);
        }
    }

    /// A new connection begins with a whole line. Gives the lines lost.
    fn drop_begun_line(&mut self) -> u64 {
        if !std::mem::take(&mut self.within_line) {
            return 0;
        }
        let end = self.backlog.iter().position(|b| *b == b'\n').map_or(self.backlog.len(), |at| at + 1);
        self.backlog.drain(..end);
        1
    }
}

/// What such a server says is thrown away; its end is told.
fn still_open(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 256];
    match stream.read(&mut bytes) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Err(e),
        _ => Ok(()),
    }
}

/// A connection that is coming about.
fn connecting(to: &SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}
