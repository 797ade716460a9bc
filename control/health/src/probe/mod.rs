//! One check, done: connects, asks, judges, within its deadlines. Called by `task`, which decides when and what follows.
//!
//! The words of a [`Finding`] are those that readers of HAProxy's check log lines look for.

mod agent;
mod errors;
mod program;
mod script;

pub use agent::{AgentAnswer, AgentState, AgentWeight};

use crate::steps::machine::words;

use crate::steps::{Connect, Subject};
use plan::check::Probe;
use plan::listener::ProxyVersion;
use pool::{CheckStatus, ServerEndpoint};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tasks::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::{Instant, timeout_at};
use wire::proxy::Peers;

/// Most bytes read of any answer; what comes after is not looked at.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// Longest text kept of what a server said, in bytes.
pub const TEXT_BYTES: usize = 256;

/// Whom to ask, from where.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to connect.
    pub endpoint: ServerEndpoint,
    /// Local address to connect from.
    pub source: Option<SocketAddr>,
    /// PROXY protocol header first.
    pub send_proxy: Option<ProxyVersion>,
}

impl Target {
    /// The endpoint with a check's own address and port in place of the server's.
    pub fn new(server: &ServerEndpoint, address: Option<IpAddr>, port: Option<u16>) -> Target {
        let endpoint = match (server, address, port) {
            (ServerEndpoint::Tcp(own), _, _) => {
                let (address, port) = (address.unwrap_or(own.ip()), port.unwrap_or(own.port()));
                ServerEndpoint::Tcp(SocketAddr::new(address, port))
            }
            (ServerEndpoint::Unix(_), Some(address), Some(port)) => {
                ServerEndpoint::Tcp(SocketAddr::new(address, port))
            }
            (unix @ ServerEndpoint::Unix(_), _, _) => unix.clone(),
        };
        Target { endpoint, source: None, send_proxy: None }
    }
}

/// How long a check may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until connected; without `answer`, for the whole check.
    pub connect: Duration,
    /// From then until judged.
    pub answer: Option<Duration>,
}

impl Limits {
    /// As HAProxy: with `timeout check`, connecting takes at most `timeout connect` and `inter`, and the answer
    /// `timeout check` from then on; without it, all together takes at most `inter`.
    pub fn new(interval: Duration, connect: Option<Duration>, answer: Option<Duration>) -> Limits {
        let connect = match answer {
            Some(_) => connect.map_or(interval, |connect| connect.min(interval)),
            None => interval,
        };
        Limits { connect, answer }
    }

    /// The part of a check that a living server usually needs; for looking on at half of it.
    pub fn wait(&self) -> Duration {
        self.answer.unwrap_or(self.connect)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Outcome.
    pub status: CheckStatus,
    /// Status of the answer, where there is one.
    pub code: Option<u16>,
    /// What the server said or what failed, in words. May come from the server; at most [`TEXT_BYTES`].
    pub text: String,
    /// How long it took.
    pub duration: Duration,
    /// How late our own loop was when the deadline had passed.
    pub overrun: Duration,
    /// It failed for want of our own descriptors, ports or memory, which says nothing about the server.
    pub ours: bool,
}

/// A judgement before the time is known.
#[derive(Debug)]
struct Verdict {
    status: CheckStatus,
    code: Option<u16>,
    text: String,
    ours: bool,
}

impl Verdict {
    fn new(status: CheckStatus, code: impl Into<Option<u16>>, text: impl Into<String>) -> Verdict {
        Verdict { status, code: code.into(), text: text.into(), ours: false }
    }
}

/// Asks a server what `probe` says.
pub async fn check(target: &Target, probe: &Probe, subject: &Subject, limits: Limits) -> Finding {
    let mut attempt = Attempt::new(target, limits);
    let verdict = match probe {
        Probe::Program(program) => program::check(&mut attempt, program, subject).await,
        probe => script::check(&mut attempt, probe, subject).await,
    };
    attempt.finding(verdict)
}

/// Asks an agent.
pub async fn ask_agent(target: &Target, send: Option<&[u8]>, limits: Limits) -> (Finding, AgentAnswer) {
    let mut attempt = Attempt::new(target, limits);
    match agent::ask(&mut attempt, send).await {
        Ok((verdict, answer)) => (attempt.finding(Ok(verdict)), answer),
        Err(verdict) => (attempt.finding(Err(verdict)), AgentAnswer::default()),
    }
}

/// One check in progress: its deadlines, and where it stands when they pass.
struct Attempt<'a> {
    target: &'a Target,
    limits: Limits,
    began: Instant,
    /// Where the deadline of the present step lies.
    deadline: Instant,
    /// What it is called when that passes.
    late: CheckStatus,
    overrun: Duration,
    /// Bytes that may still be read on this connection.
    left: usize,
}

impl<'a> Attempt<'a> {
    fn new(target: &'a Target, limits: Limits) -> Attempt<'a> {
        let began = Instant::now();
        let deadline = began + limits.connect;
        Attempt {
            target,
            limits,
            began,
            deadline,
            late: CheckStatus::L4Timeout,
            overrun: Duration::ZERO,
            left: ANSWER_BYTES,
        }
    }

    /// Connects, and sends the PROXY header. From then on the time for the answer runs.
    async fn connect(&mut self) -> Result<Stream, Verdict> {
        self.connect_to(self.target.clone()).await
    }

    /// The same as a step of a script says.
    async fn connect_as(&mut self, connect: &Connect) -> Result<Stream, Verdict> {
        let mut target = self.target.clone();
        let elsewhere = Target::new(&target.endpoint, connect.address, connect.port);
        target.endpoint = elsewhere.endpoint;
        if !connect.as_server {
            target.send_proxy = None;
        }
        if connect.send_proxy {
            target.send_proxy = Some(ProxyVersion::V1);
        }
        self.connect_to(target).await
    }

    async fn connect_to(&mut self, target: Target) -> Result<Stream, Verdict> {
        self.late = CheckStatus::L4Timeout;
        if self.limits.answer.is_some() {
            self.deadline = Instant::now() + self.limits.connect;
        }
        let opened = self.within(open(&target)).await?;
        let mut stream = opened.map_err(|error| errors::of_connect(&error))?;
        self.late = CheckStatus::L7Timeout;
        self.left = ANSWER_BYTES;
        if let Some(answer) = self.limits.answer {
            self.deadline = Instant::now() + answer;
        }
        if let Some(version) = target.send_proxy {
            let header = proxy_header(version, &stream);
            self.send(&mut stream, &header).await?;
        }
        Ok(stream)
    }

    async fn send(&mut self, stream: &mut Stream, bytes: &[u8]) -> Result<(), Verdict> {
        self.within(stream.write_all(bytes)).await?.map_err(|error| errors::of_talk(&error))
    }

    /// Reads some more behind `into`. 0 = the server closed, or the limit is reached.
    async fn read(&mut self, stream: &mut Stream, into: &mut Vec<u8>) -> Result<usize, Verdict> {
        const STEP: usize = 4096;
        let room = STEP.min(self.left);
        if room == 0 {
            return Ok(0);
        }
        let start = into.len();
        into.resize(start + room, 0);
        let read = self.within(stream.read(&mut into[start..])).await;
        let count = match &read {
            Ok(Ok(count)) => *count,
            _ => 0,
        };
        into.truncate(start + count);
        self.left -= count;
        read?.map_err(|error| errors::of_talk(&error))
    }

    async fn within<F: Future>(&mut self, step: F) -> Result<F::Output, Verdict> {
        match timeout_at(self.deadline, step).await {
            Ok(output) => Ok(output),
            Err(_) => {
                self.overrun = Instant::now().saturating_duration_since(self.deadline);
                Err(Verdict::new(self.late, None, ""))
            }
        }
    }

    fn finding(&self, verdict: Result<Verdict, Verdict>) -> Finding {
        let Verdict { status, code, text, ours } = verdict.unwrap_or_else(|failed| failed);
        let duration = self.began.elapsed();
        Finding { status, code, text: shortened(text), duration, overrun: self.overrun, ours }
    }
}

async fn open(target: &Target) -> io::Result<Stream> {
    match &target.endpoint {
        ServerEndpoint::Tcp(address) if address.port() == 0 || address.ip().is_unspecified() => {
            // `*` and client-dependent servers have no address of their own: the check must name one.
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the check has no address"))
        }
        ServerEndpoint::Tcp(address) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_nodelay(true)?;
            if let Some(source) = target.source {
                socket.set_reuseaddr(true)?;
                // The port of `source` is for requests; a check never competes for it.
                socket.bind(SocketAddr::new(source.ip(), 0))?;
            }
            Ok(Stream::Tcp(socket.connect(*address).await?))
        }
        ServerEndpoint::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

/// As HAProxy: version 1 tells the addresses of the check's own connection, version 2 says `LOCAL`.
fn proxy_header(version: ProxyVersion, stream: &Stream) -> Vec<u8> {
    let own = stream.tcp().and_then(|tcp| {
        Some(Peers::Told { source: tcp.local_addr().ok()?, destination: tcp.peer_addr().ok()? })
    });
    let mut header = Vec::new();
    match version {
        ProxyVersion::V1 => wire::proxy::write_v1(&mut header, &own.unwrap_or(Peers::OfSocket)),
        ProxyVersion::V2 => wire::proxy::write_v2(&mut header, &Peers::OfSocket),
    }
    header
}

fn shortened(mut text: String) -> String {
    while text.len() > TEXT_BYTES {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests;
