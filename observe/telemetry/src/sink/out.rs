//! Open targets: sockets, files and pipes. Nothing here waits longer than it is told.

use super::SinkError;
use super::gzip::Gzip;
use super::stream::Stream;
use plan::log::LogAddress;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes that may wait for one slow pipe or one server that is away.
pub(super) const BACKLOG_BYTES: usize = 1 << 20;
/// Time between tries to connect a socket.
pub(super) const CONNECT_PAUSE: Duration = Duration::from_secs(1);
/// What a pipe that is ready takes without blocking (POSIX `PIPE_BUF` on Linux).
const PIPE_CHUNK: usize = 4096;

/// An open target.
#[derive(Debug)]
pub(super) enum Out {
    Udp(Link<SocketAddr, UdpSocket>),
    Unix(Link<PathBuf, UnixDatagram>),
    Tcp(Stream),
    Gzip(Gzip),
    File { file: File, pipe: bool, backlog: Vec<u8> },
}

impl Out {
    pub(super) fn open(address: &LogAddress) -> Result<Out, SinkError> {
        let stream = |what: String, file: io::Result<File>| {
            let file = file.map_err(|source| SinkError { what, source })?;
            let pipe = !file.metadata().is_ok_and(|m| m.is_file());
            Ok(Out::File { file, pipe, backlog: Vec::new() })
        };
        match address {
            LogAddress::Udp(to) => Ok(Out::Udp(Link::new(*to, connect_udp(to)))),
            LogAddress::Tcp(to) => Ok(Out::Tcp(Stream::new(*to))),
            LogAddress::Unix(path) => Ok(Out::Unix(Link::new(path.clone(), connect_unix(path)))),
            LogAddress::File(path) => stream(format!("open log file {}", path.display()), append_to(path)),
            LogAddress::Gzip(plan) => {
                let what = || format!("open log file {}", plan.path.display());
                let file = append_to(&plan.path).map_err(|source| SinkError { what: what(), source })?;
                Ok(Out::Gzip(Gzip::new(plan.clone(), file)))
            }
            LogAddress::Stdout => stream("log to standard output".into(), duplicate(io::stdout())),
            LogAddress::Stderr => stream("log to standard error".into(), duplicate(io::stderr())),
            LogAddress::Descriptor(n) => stream(format!("log to descriptor {n}"), inherited(*n)),
        }
    }

    /// Takes over what an older target of the same address still keeps.
    pub(super) fn inherit(&mut self, mut before: Out) {
        before.finish();
        match (before, self) {
            (Out::File { backlog: kept, .. }, Out::File { backlog, .. }) => *backlog = kept,
            (Out::Tcp(kept), Out::Tcp(stream)) => stream.inherit(kept),
            _ => {}
        }
    }

    /// Sends or keeps one line; false when it is lost.
    pub(super) fn take(&mut self, line: &[u8], budget: &mut Duration) -> bool {
        match self {
            Out::Udp(link) => link.send(connect_udp, |socket| socket.send(line), budget),
            Out::Unix(link) => link.send(|p| connect_unix(p), |socket| socket.send(line), budget),
            Out::Tcp(stream) => stream.take(line),
            Out::Gzip(gzip) => gzip.take(line),
            Out::File { backlog, .. } => {
                let room = backlog.len() < BACKLOG_BYTES;
                if room {
                    backlog.extend_from_slice(line);
                }
                room
            }
        }
    }

    /// Writes what is kept as far as it goes without waiting; gives the lines lost.
    pub(super) fn flush(&mut self) -> u64 {
        let (file, pipe, backlog) = match self {
            Out::File { file, pipe, backlog } => (file, pipe, backlog),
            Out::Tcp(stream) => return stream.flush(),
            Out::Gzip(gzip) => return gzip.flush(false),
            Out::Udp(_) | Out::Unix(_) => return 0,
        };
        if backlog.is_empty() {
            return 0;
        }
        let written =
            if *pipe { write_ready(file, backlog) } else { file.write_all(backlog).map(|()| backlog.len()) };
        match written {
            Ok(n) => drop(backlog.drain(..n)),
            Err(_) => {
                let lost = backlog.iter().filter(|b| **b == b'\n').count() as u64;
                backlog.clear();
                return lost;
            }
        }
        0
    }

    /// Nothing is kept that could go out now.
    pub(super) fn is_clear(&self) -> bool {
        match self {
            Out::File { backlog, .. } => backlog.is_empty(),
            Out::Tcp(stream) => stream.is_clear(),
            // What waits for company goes out when it is time.
            Out::Gzip(_) | Out::Udp(_) | Out::Unix(_) => true,
        }
    }

    /// Time after which it wants to be looked at though no line comes: a server that is away is tried again, lines
    /// that wait for company go.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Out::Tcp(stream) => stream.waits().then_some(CONNECT_PAUSE),
            Out::Gzip(gzip) => gzip.pause(),
            _ => None,
        }
    }

    /// Sends what waits for company; gives the lines lost.
    pub(super) fn finish(&mut self) -> u64 {
        match self {
            Out::Gzip(gzip) => gzip.flush(true),
            _ => self.flush(),
        }
    }
}

/// Writes in pieces that a ready pipe takes without blocking.
fn write_ready(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() && is_writable(&*file, Duration::ZERO) {
        let rest = &bytes[done..];
        let piece = &rest[..rest.len().min(PIPE_CHUNK)];
        let lines = piece.iter().rposition(|b| *b == b'\n').map_or(piece.len(), |at| at + 1);
        match file.write(&piece[..lines]) {
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

pub(super) fn is_writable(file: impl AsFd, wait: Duration) -> bool {
    let mut fds = [PollFd::new(&file, PollFlags::OUT)];
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    // An error of the descriptor also counts as ready: the write then tells it.
    poll(&mut fds, Some(&wait)).is_ok_and(|n| n > 0)
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn duplicate(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// A duplicate of a descriptor known by its number only.
fn inherited(number: i32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(File::from(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?))
}

/// A connected datagram socket that is made again when it breaks.
#[derive(Debug)]
pub(super) struct Link<A, S> {
    to: A,
    socket: Option<S>,
    tried: Instant,
}

impl<A, S: AsFd> Link<A, S> {
    fn new(to: A, socket: io::Result<S>) -> Link<A, S> {
        Link { to, socket: socket.ok(), tried: Instant::now() }
    }

    fn send(
        &mut self,
        connect: impl Fn(&A) -> io::Result<S>,
        send: impl Fn(&S) -> io::Result<usize>,
        budget: &mut Duration,
    ) -> bool {
        if self.socket.is_none() && self.tried.elapsed() >= CONNECT_PAUSE {
            (self.socket, self.tried) = (connect(&self.to).ok(), Instant::now());
        }
        let Some(socket) = &self.socket else { return false };
        match send(socket).map_err(|e| e.kind()) {
            Ok(_) => true,
            Err(io::ErrorKind::WouldBlock) => {
                let before = Instant::now();
                let ready = !budget.is_zero() && is_writable(socket, *budget);
                *budget = budget.saturating_sub(before.elapsed());
                ready && send(socket).is_ok()
            }
            // UDP: tells that an earlier datagram was refused; this one was not sent yet.
            Err(io::ErrorKind::ConnectionRefused) if send(socket).is_ok() => true,
            Err(
                io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge,
            ) => false,
            Err(_) => {
                (self.socket, self.tried) = (connect(&self.to).ok(), Instant::now());
                self.socket.as_ref().is_some_and(|socket| send(socket).is_ok())
            }
        }
    }
}

fn connect_udp(to: &SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(to)?;
    Ok(socket)
}

fn connect_unix(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}
