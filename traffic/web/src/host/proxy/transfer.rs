//! The body of an answer on its way to the client. The server is let go as soon as it has sent everything, however
//! slowly the client takes it.

use super::line::{Line, Metered};
use super::tank::{State as TankState, Tank};
use crate::attempt::{ClientWatch, response_cause};
use crate::body::{Pump, PumpError, Rest, Side};
use crate::client::Conn;
use crate::local::Workspace;
use plan::host::{Proxy, ProxyBuffers};
use pool::{Connection, Slot};
use std::task::{Context, Poll};
use std::time::Duration;
use tasks::{Buffer, Fired, Paced, Pacer, Stream, clock};
use telemetry::Cause;
use tokio::io::AsyncWrite;

/// The server while it still has something to send.
pub(super) struct Held {
    pub line: Line,
    pub slot: Slot,
}

/// What the server had done when it was let go.
pub(super) struct Released {
    pub connection: Box<Connection>,
    pub memory: Vec<u8>,
    /// Its answer was whole, and nothing came behind it.
    pub clean: bool,
    /// The request was sent whole.
    pub sent_whole: bool,
    pub received: u64,
    pub sent: u64,
    /// Bytes taken from the client.
    pub taken: u64,
    pub at: Duration,
}

/// An answer on its way.
pub(super) struct Transfer<'t> {
    pub down: Pump,
    /// The server's bytes in front of the pump.
    pub buffer: Buffer,
    pub held: Option<Held>,
    pub released: Option<Released>,
    tank: Option<Tank>,
    buffers: &'t ProxyBuffers,
    /// The server may be faster than the client.
    buffered: bool,
    watch: ClientWatch,
    /// Bytes leave no faster than this.
    pub pacer: Option<Pacer>,
    read: Duration,
    send: Duration,
    /// The client has left, or never wanted it: only the cache takes the rest.
    left: Option<Cause>,
    /// All of the answer came.
    pub whole: bool,
}

impl<'t> Transfer<'t> {
    /// The head of the answer is in `down`.
    pub fn new(
        down: Pump,
        buffer: Buffer,
        held: Held,
        proxy: &'t Proxy,
        buffered: bool,
        send: Duration,
    ) -> Transfer<'t> {
        Transfer {
            down,
            buffer,
            held: Some(held),
            released: None,
            tank: None,
            buffers: &proxy.buffers,
            buffered,
            // Who half-closes here still reads; who resets is gone.
            watch: ClientWatch::new(false),
            pacer: None,
            read: proxy.timeouts.read,
            send,
            left: None,
            whole: false,
        }
    }

    /// Moves everything.
    pub async fn run(&mut self, conn: &mut Conn, work: &mut Workspace) -> Result<(), Cause> {
        let mut clocks = Clocks::new(self.read, self.send);
        let moved = std::future::poll_fn(|cx| {
            match self.poll_step(cx, conn, work) {
                Poll::Ready(result) => return Poll::Ready(result),
                Poll::Pending => {}
            }
            clocks.follow(self, conn);
            match conn.deadline.poll_fired(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Fired::Timeout) => {
                    let due = clocks.due();
                    if due == Cause::ClientTimeoutData && self.go_on_without(due) {
                        clocks.follow(self, conn);
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(due))
                }
                Poll::Ready(Fired::Watched | Fired::Stop) => {
                    clocks.set(conn);
                    conn.deadline.poll_fired(cx).map(|_| Err(clocks.due()))
                }
            }
        })
        .await;
        if self.held.is_some() {
            let clean = moved.is_ok() && self.buffer.is_empty();
            self.release(clean);
        }
        self.whole = moved.is_ok();
        match self.left {
            Some(cause) => Err(cause),
            None => moved,
        }
    }

    /// Nobody but the cache takes the answer.
    pub fn alone(&mut self) {
        let _ = self.go_on_without(Cause::ClientAbortData);
    }

    /// The client is gone: the rest still comes when it is to be kept. False when it is not.
    fn go_on_without(&mut self, cause: Cause) -> bool {
        if self.down.keeper.is_none() || self.left.is_some() {
            return false;
        }
        self.left = Some(cause);
        self.down.forget_sink(&mut self.buffer);
        true
    }

    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        work: &mut Workspace,
    ) -> Poll<Result<(), Cause>> {
        let client = &mut conn.stream;
        if let Some(held) = &mut self.held
            && !held.line.is_sent()
        {
            match held.line.poll_up(cx, client, &mut work.buffer) {
                Poll::Ready(Err(PumpError::Sink)) => held.line.up_failed = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(held.line.up_cause(&error))),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        let request_is_over = self.held.as_ref().is_none_or(|held| held.line.is_sent());
        if request_is_over
            && self.left.is_none()
            && self.watch.poll_gone(cx, client, &mut work.buffer)
            && !self.go_on_without(Cause::ClientAbortData)
        {
            return Poll::Ready(Err(Cause::ClientAbortData));
        }
        loop {
            let full = self.fill_tank(cx);
            let before = self.down.moved;
            let moved = match &mut self.pacer {
                _ if self.left.is_some() => self.poll_down(cx, &mut tokio::io::sink()),
                None => self.poll_down(cx, client),
                Some(_) => self.poll_paced(cx, client),
            };
            match moved {
                Poll::Ready(Err(PumpError::Sink)) if self.go_on_without(Cause::ClientAbortData) => {}
                Poll::Ready(result) => return Poll::Ready(result.map_err(|error| self.cause(&error))),
                // The tank has room again.
                Poll::Pending if full && self.down.moved != before => {}
                Poll::Pending if self.begin_tank() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Moves what is there to the client.
    fn poll_down<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut W,
    ) -> Poll<Result<(), PumpError>> {
        match (&mut self.tank, &mut self.held) {
            (Some(tank), _) => self.down.poll(cx, tank, &mut self.buffer, client),
            (None, Some(held)) => {
                let line = &mut held.line;
                let mut stream = Metered { stream: &mut line.connection.stream, read: &mut line.received };
                self.down.poll(cx, &mut stream, &mut self.buffer, client)
            }
            (None, None) => self.down.poll(cx, &mut tokio::io::empty(), &mut self.buffer, client),
        }
    }

    fn poll_paced(&mut self, cx: &mut Context<'_>, client: &mut Stream) -> Poll<Result<(), PumpError>> {
        let Some(mut pacer) = self.pacer.take() else { return self.poll_down(cx, client) };
        let moved = self.poll_down(cx, &mut Paced::new(client, &mut pacer));
        self.pacer = Some(pacer);
        moved
    }

    /// True when the client is who has to move; while its answer is held back for its pace, it is not.
    fn waits_for_client(&self) -> bool {
        self.down.waits_for == Side::Sink && !self.pacer.as_ref().is_some_and(Pacer::is_waiting)
    }

    /// True when the tank is full.
    fn fill_tank(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(tank), Some(held)) = (&mut self.tank, &mut self.held) else { return false };
        let line = &mut held.line;
        let mut stream = Metered { stream: &mut line.connection.stream, read: &mut line.received };
        let full = tank.poll_fill(cx, &mut stream, self.buffers) == Poll::Ready(true);
        match tank.state() {
            TankState::Open => {}
            TankState::Whole { extra } => self.release(!extra),
            TankState::Broken => self.release(false),
        }
        full
    }

    /// The client is slower than the server: what comes is kept. False when there is nothing to be kept.
    fn begin_tank(&mut self) -> bool {
        let slow = self.buffered && self.down.waits_for == Side::Sink;
        if !slow || self.tank.is_some() || self.held.is_none() {
            return false;
        }
        match self.down.rest(&self.buffer) {
            Rest::IsHere { extra } => {
                // An unfinished request needs its server.
                if self.held.as_ref().is_some_and(|held| held.line.is_sent()) {
                    self.release(!extra);
                }
                false
            }
            Rest::Comes(follow) => {
                self.tank = Some(Tank::new(follow, self.buffers));
                true
            }
        }
    }

    /// Lets the server go.
    fn release(&mut self, clean: bool) {
        let Some(Held { line, slot }) = self.held.take() else { return };
        drop(slot);
        let sent_whole = line.up.is_done() && !line.up_failed;
        let (received, sent, taken) = (line.received, line.up.written, line.taken());
        let (connection, memory) = line.split();
        self.released =
            Some(Released { connection, memory, clean, sent_whole, received, sent, taken, at: clock::now() });
    }

    fn cause(&self, error: &PumpError) -> Cause {
        response_cause(error)
    }

    /// Whether we wait for bytes of the server.
    fn waits_for_server(&self) -> bool {
        match (&self.tank, &self.held) {
            (_, None) => false,
            (None, Some(_)) => self.down.waits_for == Side::Source,
            (Some(tank), Some(_)) => !tank.is_full(),
        }
    }

    fn received(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.line.received)
    }
}

/// Two silences, watched with one deadline.
struct Clocks {
    read: Duration,
    send: Duration,
    /// When the server was silent for too long; `None` while nothing is expected of it.
    server: Option<Duration>,
    /// When the client was.
    client: Option<Duration>,
    seen: (u64, u64),
}

impl Clocks {
    fn new(read: Duration, send: Duration) -> Clocks {
        Clocks { read, send, server: None, client: None, seen: (u64::MAX, u64::MAX) }
    }

    fn follow(&mut self, transfer: &Transfer<'_>, conn: &Conn) {
        let now = clock::now();
        let seen = (transfer.received(), transfer.down.written);
        let renew = |clock: &mut Option<Duration>, runs: bool, moved: bool, patience: Duration| {
            *clock = match (runs, *clock) {
                (false, _) => None,
                (true, Some(at)) if !moved => Some(at),
                (true, _) => Some(now + patience),
            };
        };
        let before = (self.server, self.client);
        renew(&mut self.server, transfer.waits_for_server(), seen.0 != self.seen.0, self.read);
        renew(&mut self.client, transfer.waits_for_client(), seen.1 != self.seen.1, self.send);
        self.seen = seen;
        if before != (self.server, self.client) {
            self.set(conn);
        }
    }

    fn set(&self, conn: &Conn) {
        let next = self.server.into_iter().chain(self.client).min();
        conn.deadline.prolong(next.map(|at| at.saturating_sub(clock::now())));
    }

    /// Who was silent.
    fn due(&self) -> Cause {
        match (self.server, self.client) {
            (Some(server), Some(client)) if client < server => Cause::ClientTimeoutData,
            (None, Some(_)) => Cause::ClientTimeoutData,
            _ => Cause::BodyTimeout,
        }
    }
}
