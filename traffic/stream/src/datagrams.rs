//! Sessions of datagrams: what a client sends from one address goes to one server, what that answers goes back.
//!
//! ```text
//! client ──reader of the listening socket──► Up ──► server       (no task is woken, nothing is copied twice)
//! client ◄──────────────── relay ◄──── answers ◄─── server
//! ```
//!
//! The session's task sleeps until the server answers, the silence is over, or [`Up`] has news for it.

use crate::attempt::{Line, Linked};
use crate::session::{Session, Source};
use crate::{Local, Site};
use listener::{MAX_DATAGRAM, Parting, Sink};
use plan::stream::Datagrams;
use pool::{Outcome, Pool, Server};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tasks::{Fired, clock};
use telemetry::Cause;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Answers passed on before other tasks get their turn.
const BATCH: u32 = 64;

/// The way of a session's datagrams to its server.
pub(crate) struct Up {
    socket: UdpSocket,
    ends: Datagrams,
    parting: Parting,
    /// Datagrams sent, and their bytes.
    sent: Cell<u32>,
    bytes: Cell<u64>,
    answered: Cell<u32>,
    /// When something moved last.
    moved: Cell<Duration>,
    failed: Cell<Option<io::ErrorKind>>,
    /// The last datagram, to send it to another server; only while one may be asked and nothing was answered.
    kept: RefCell<Option<Vec<u8>>>,
    waker: RefCell<Option<Waker>>,
    counts: Counts,
}

/// Where bytes are counted.
struct Counts {
    local: Rc<Local>,
    site: Arc<Site>,
    pool: Option<Arc<Pool>>,
    server: Option<Arc<Server>>,
}

impl Counts {
    fn add(&self, up: u64, down: u64) {
        let (pool, server) = (self.pool.as_deref(), self.server.as_deref());
        crate::record::count_bytes(&self.local, &self.site, pool, server, up, down);
    }
}

impl Sink for Up {
    fn take(&self, datagram: &[u8]) {
        if let Some(kept) = &mut *self.kept.borrow_mut() {
            kept.clear();
            kept.extend_from_slice(datagram);
        }
        // Asked of the system itself: the runtime has not heard yet that a new socket can be written to.
        match rustix::net::send(&self.socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            // A full socket loses datagrams, as any router on the way does.
            Err(Errno::AGAIN) | Ok(_) => {}
            Err(error) => self.failed.set(Some(io::Error::from(error).kind())),
        }
        self.moved.set(clock::now());
        self.sent.set(self.sent.get().saturating_add(1));
        self.bytes.set(self.bytes.get() + datagram.len() as u64);
        self.counts.add(datagram.len() as u64, 0);
        if self.ends.requests.is_some_and(|most| self.sent.get() >= most) {
            self.parting.part();
        }
        if self.failed.get().is_some() || self.is_over() {
            self.wake();
        }
    }
}

impl Up {
    pub fn new(session: &Session, socket: UdpSocket, parting: Parting) -> Up {
        let settings = session.site.plan.stream.as_deref();
        let keeps = settings.is_some_and(|settings| settings.next.on && settings.next.datagrams);
        Up {
            socket,
            ends: settings.map(|settings| settings.datagrams).unwrap_or_default(),
            parting,
            sent: Cell::new(0),
            bytes: Cell::new(0),
            answered: Cell::new(0),
            moved: Cell::new(clock::now()),
            failed: Cell::new(None),
            kept: RefCell::new(keeps.then(Vec::new)),
            waker: RefCell::new(None),
            counts: Counts {
                local: Rc::clone(&session.local),
                site: Arc::clone(&session.site),
                pool: session.pool.clone(),
                server: session.server.clone(),
            },
        }
    }

    /// Our own address towards the server.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// The next answer, or what the network says of a datagram that was sent.
    fn receive(&self, block: &mut [u8]) -> io::Result<usize> {
        let receive = || Ok(rustix::net::recv(&self.socket, &mut *block, RecvFlags::DONTWAIT)?.0);
        let came = self.socket.try_io(Interest::READABLE, receive);
        if !matches!(&came, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return came;
        }
        // An error alone does not make a socket readable. It is taken, and the runtime is told that it is.
        let taken = self.socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        drop(taken);
        self.socket.take_error()?.map_or(came, Err)
    }

    fn has_news(&self) -> bool {
        let failed = self.failed.take();
        self.failed.set(failed);
        failed.is_some() || self.is_over()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// All that may still come has come: the answers to the last datagram of the session.
    fn is_over(&self) -> bool {
        let asked = self.ends.requests.is_none_or(|requests| self.sent.get() >= requests);
        asked && self.ends.responses.is_some() && self.has_answers()
    }

    /// As many answers came as are expected.
    fn has_answers(&self) -> bool {
        let Some(responses) = self.ends.responses else { return true };
        u64::from(self.answered.get()) >= u64::from(responses) * u64::from(self.sent.get())
    }

    /// The datagram that no server answered, if it may go to another one.
    fn unanswered(&self) -> Option<Vec<u8>> {
        self.kept.borrow_mut().take().filter(|_| self.answered.get() == 0)
    }
}

/// How a relay ended.
enum End {
    Over,
    /// The server is not there.
    Failed(io::ErrorKind),
    Fired(Fired),
}

/// Passes datagrams on until the session is over. Nothing goes through pipes.
pub(crate) async fn relay(session: &mut Session) -> u64 {
    loop {
        let Some(up) = up_of(session) else { return 0 };
        if let Source::Datagrams(flow) = &session.source {
            flow.attach(Rc::clone(&up) as Rc<dyn Sink>);
        }
        let end = pass_on(session, &up).await;
        session.bytes_in += up.bytes.get();
        if let Some(last) = session.last_try() {
            last.moved(up.bytes.get(), 0);
        }
        match end {
            End::Over => return 0,
            End::Failed(kind) => match again(session, &up, kind).await {
                Ok(()) => {}
                Err(cause) => {
                    session.cause = Some(cause);
                    return 0;
                }
            },
            End::Fired(Fired::Watched) => {
                session.cause = Some(Cause::ServerWentDown);
                return 0;
            }
            End::Fired(_) => {
                // Silence is the usual end; only answers that were promised are missed.
                session.cause = (!up.has_answers()).then_some(match up.answered.get() {
                    0 => Cause::FirstByteTimeout,
                    _ => Cause::BodyTimeout,
                });
                return 0;
            }
        }
    }
}

fn up_of(session: &Session) -> Option<Rc<Up>> {
    match &session.linked {
        Some(Linked { line: Line::Datagrams(up), .. }) => Some(Rc::clone(up)),
        _ => None,
    }
}

/// The server refused: it is told to the pool, and another one is asked when the plan wants that.
async fn again(session: &mut Session, up: &Up, kind: io::ErrorKind) -> Result<(), Cause> {
    let cause = match kind {
        io::ErrorKind::ConnectionRefused => Cause::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Cause::NoRoute,
        _ => Cause::ConnectFailed,
    };
    let (Some(server), Some(pool)) = (session.server.clone(), session.pool.clone()) else {
        return Err(cause);
    };
    if let Some(slot) = session.linked.as_mut().and_then(|linked| linked.slot.as_mut()) {
        slot.fail();
    }
    let unanswered = up.unanswered();
    session.note_failure(&server, cause, unanswered.is_some());
    let Some(datagram) = unanswered else { return Err(cause) };
    let Source::Datagrams(flow) = &session.source else { return Err(cause) };
    flow.detach();
    flow.wait_again(&datagram);
    session.linked = None;
    let linked = crate::attempt::link_again(session, &pool, cause).await?;
    session.linked = Some(linked);
    Ok(())
}

/// Why the relay looks again.
enum Woken {
    /// The socket towards the server has answers or an error.
    Socket,
    /// The way up has news.
    Up,
    Fired(Fired),
}

async fn pass_on(session: &mut Session, up: &Rc<Up>) -> End {
    session.watch_server();
    let silence = session.patience();
    session.deadline.set(silence);
    loop {
        if let Some(end) = answers(session, up) {
            return end;
        }
        match woken(session, up).await {
            Woken::Socket | Woken::Up => {}
            Woken::Fired(Fired::Timeout) => {
                // Datagrams do not move the deadline; it is moved when it fires.
                let silent = clock::exact().saturating_sub(up.moved.get());
                match silence.and_then(|silence| silence.checked_sub(silent)).filter(|left| !left.is_zero()) {
                    Some(left) => session.deadline.set(Some(left)),
                    None => return End::Fired(Fired::Timeout),
                }
            }
            Woken::Fired(Fired::Watched) if session.must_leave_server() => return End::Fired(Fired::Watched),
            Woken::Fired(_) => {
                session.watch_server();
                session.deadline.set(silence);
            }
        }
    }
}

async fn woken(session: &Session, up: &Up) -> Woken {
    let mut ready = pin!(up.socket.ready(Interest::READABLE | Interest::ERROR));
    poll_fn(|cx| {
        *up.waker.borrow_mut() = Some(cx.waker().clone());
        if up.has_news() {
            return Poll::Ready(Woken::Up);
        }
        if ready.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Woken::Socket);
        }
        session.deadline.poll_fired(cx).map(Woken::Fired)
    })
    .await
}

/// Passes on the answers that are there. Gives an end when they were the last, or the server is not there.
fn answers(session: &mut Session, up: &Up) -> Option<End> {
    let local = Rc::clone(&session.local);
    let mut block = local.datagram.borrow_mut();
    block.resize(MAX_DATAGRAM, 0);
    for _ in 0..BATCH {
        if let Some(kind) = up.failed.take() {
            return Some(End::Failed(kind));
        }
        if up.is_over() {
            return Some(End::Over);
        }
        match up.receive(&mut block) {
            Ok(length) => pass_back(session, up, &block[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => return Some(End::Failed(error.kind())),
        }
    }
    None
}

fn pass_back(session: &mut Session, up: &Up, answer: &[u8]) {
    up.moved.set(clock::now());
    up.answered.set(up.answered.get().saturating_add(1));
    up.kept.borrow_mut().take();
    session.note_answer(answer.len() as u64);
    if let Source::Datagrams(flow) = &session.source {
        // Whom it does not reach asks again.
        let _ = flow.answer(answer);
    }
    up.counts.add(0, answer.len() as u64);
}

impl Session {
    /// An answer of the server came.
    fn note_answer(&mut self, bytes: u64) {
        self.bytes_out += bytes;
        if let Some(last) = self.last_try() {
            last.moved(0, bytes);
        }
        if let Some(server) = &self.server
            && server.plan.observe.is_some()
        {
            server.note_outcome(Outcome::Ok);
        }
    }
}
