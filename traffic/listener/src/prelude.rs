//! What must come before a connection is served: a PROXY header, or simply its first byte.
//!
//! The header is looked at without taking it and taken once it is whole, so every byte after it stays in
//! the socket for whoever serves the connection.

use crate::Peer;
use crate::accept::{Accepted, Intake, Told, Trouble};
use plan::Bind;
use rustix::net::RecvFlags;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tasks::Stream;
use tokio::io::Interest;
use wire::proxy::{Parsed, Peers, V2_BYTES};

/// Longest wait for a whole PROXY header.
const HEADER_TIME: Duration = Duration::from_secs(3);
/// Longest wait for the first byte when the plan asks for it. The kernel's own way (TCP_DEFER_ACCEPT) gives
/// up after about a minute too; here the connection waits for it in user space.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(60);

/// True when the connection of `client` cannot be served at once.
pub(crate) fn is_needed(bind: &Bind, client: Peer) -> bool {
    bind.defer_accept || expects_header(bind, client)
}

/// A header is read from trusted peers only; what others send is never taken for one.
fn expects_header(bind: &Bind, client: Peer) -> bool {
    bind.accept_proxy
        && match (&bind.proxy_from, client) {
            (Some(trusted), Peer::Ip(address)) => trusted.contains(address.ip()),
            (None, _) | (_, Peer::Unix) => true,
        }
}

/// Waits for what must come, then gives the connection to the handler. A connection without it is closed.
pub(crate) async fn finish(intake: Rc<Intake>, mut accepted: Accepted) {
    let peer = accepted.client;
    let deadline = intake.worker.deadlines.slot();
    let ready = if expects_header(&intake.plan, peer) {
        deadline.set(Some(HEADER_TIME));
        let mut header = Header::default();
        deadline
            .guard(poll_fn(|cx| header.poll(&accepted.stream, cx)))
            .await
            .unwrap_or_else(|_| Err("not whole in time".to_owned()))
    } else {
        deadline.set(Some(FIRST_BYTE_TIME));
        let _ = deadline.guard(poll_fn(|cx| poll_bytes(&accepted.stream, cx, look))).await;
        Ok(Peers::OfSocket)
    };
    match ready {
        Ok(peers) => {
            apply(&mut accepted, peers, intake.plan.proxy_only_tells);
            (intake.handler)(accepted);
        }
        Err(why) => {
            (intake.report)(Trouble::ProxyHeader { peer, why });
            if intake.wants_broken {
                accepted.broken = true;
                (intake.handler)(accepted);
            }
        }
    }
}

fn apply(accepted: &mut Accepted, peers: Peers, only_tells: bool) {
    let Peers::Told { source, destination } = peers else { return };
    accepted.told = Some(Told { source, destination });
    if !only_tells {
        accepted.client = Peer::from(source);
        accepted.local = Peer::from(destination);
    }
}

/// Calls `take` when bytes may be there until it has what it wants. (Readiness is only a hint.)
fn poll_bytes<T>(
    stream: &Stream,
    cx: &mut Context<'_>,
    mut take: impl FnMut(&Stream) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match stream.try_io(Interest::READABLE, || take(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_readable(cx))?,
            other => return Poll::Ready(other),
        }
    }
}

/// Is there a byte (or the end)? It stays where it is.
fn look(stream: &Stream) -> io::Result<()> {
    rustix::net::recv(stream, &mut [0u8; 1][..], RecvFlags::PEEK)?;
    Ok(())
}

/// A PROXY header that comes in pieces.
#[derive(Default)]
struct Header {
    /// Pieces taken so far; no header yet.
    held: Vec<u8>,
}

impl Header {
    /// Ready when the header is whole and taken from the socket, or cannot become whole.
    fn poll(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Result<Peers, String>> {
        loop {
            match ready!(poll_bytes(stream, cx, |stream| self.take(stream))) {
                Ok(Some(peers)) => return Poll::Ready(Ok(peers)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
    }

    /// Takes from the socket what belongs to the header and nothing else; `None` = there must be more.
    fn take(&mut self, stream: &Stream) -> io::Result<Option<Peers>> {
        let (before, mut all) = (self.held.len(), [0u8; V2_BYTES]);
        all[..before].copy_from_slice(&self.held);
        let (length, _) = rustix::net::recv(stream, &mut all[before..], RecvFlags::PEEK)?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before its end"));
        }
        let seen = &all[..before + length];
        let (peers, end) = match wire::proxy::parse(seen).map_err(io::Error::other)? {
            Parsed::Partial => (None, seen.len()),
            Parsed::Complete { header, consumed } => (Some(header.peers), consumed),
        };
        self.held.resize(end, 0);
        rustix::net::recv(stream, &mut self.held[before..], RecvFlags::empty())?;
        Ok(peers)
    }
}
