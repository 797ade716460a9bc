//! UDP: one reader per socket, and a flow for each client (address and port) that sent something.
//!
//! ```text
//! socket ──datagram──► known client? ──yes──► its flow's sink, else its short waiting list
//!                            └──no──► place at the gates? ──yes──► Arrived ──► handler
//!                                             └──no──► dropped and counted
//! ```
//!
//! A datagram of a client that is known costs no allocation and no wake-up: the reader gives it to the flow's [`Sink`]
//! itself. What comes is read by the worker that owns the socket (see [`crate::Socket::reader`]), so all datagrams of a
//! client meet in one place.
//!
//! Anybody can send datagrams with made-up addresses. What that can cost is bounded: flows by the gates and by
//! [`MAX_FLOWS`], what waits for each by [`WAITING`].

use crate::datagram::{self, MAX_DATAGRAM};
use crate::{Accepting, Gates, Peer, Socket, Ticket, Trouble};
use plan::Bind;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tasks::Worker;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// Flows of one socket and worker at once, whatever the gates allow.
pub const MAX_FLOWS: usize = 65_536;
/// Datagrams of a flow that wait while no server is there to take them. Later ones are dropped.
pub const WAITING: usize = 16;
/// Datagrams taken before other tasks get their turn.
const BATCH: u32 = 64;

/// Who takes a flow's datagrams.
pub trait Sink {
    /// A datagram of the client came.
    fn take(&self, datagram: &[u8]);
}

/// The first datagram of a client that was not known.
pub struct Arrived {
    /// The datagrams of this client from now on; the first one waits in it.
    pub flow: Flow,
    /// The client.
    pub client: Peer,
    /// Where it sent to.
    pub local: Peer,
    /// Index of the bind in the site.
    pub bind: usize,
    /// Its place among the limits. Keep it as long as the flow.
    pub ticket: Ticket,
}

/// What one worker needs to read one UDP socket.
pub struct DatagramIntake {
    /// The worker.
    pub worker: Worker,
    /// The socket.
    pub socket: Arc<Socket>,
    /// The bind it was made from.
    pub plan: Arc<Bind>,
    /// Index of the bind in the site.
    pub bind: usize,
    /// Limits.
    pub gates: Rc<Gates>,
    /// Gets each new client; starts its task.
    pub handler: Rc<dyn Fn(Arrived)>,
    /// Gets what goes wrong.
    pub report: Rc<dyn Fn(Trouble)>,
    /// What to do. When draining, flows that exist still get datagrams; when the sender is gone, nobody does.
    pub command: watch::Receiver<Accepting>,
}

/// The datagrams of one client. Dropping it forgets the client: what it sends next begins a new flow.
pub struct Flow {
    table: Rc<Flows>,
    shared: Rc<Shared>,
}

/// A flow as the reader sees it.
#[derive(Default)]
struct Shared {
    sink: RefCell<Option<Rc<dyn Sink>>>,
    waiting: RefCell<VecDeque<Box<[u8]>>>,
    key: Cell<Option<Key>>,
}

/// Who sends to which address of ours. (A socket may have many.)
type Key = (SocketAddr, Option<IpAddr>);

/// All flows of one socket on one worker.
struct Flows {
    intake: DatagramIntake,
    socket: UdpSocket,
    /// The kernel tells where datagrams were sent to.
    told: bool,
    known: RefCell<HashMap<Key, Rc<Shared>>>,
}

impl Flow {
    /// Gives what waits and what comes from now on to `sink`. What it leaves by parting begins a new flow.
    pub fn attach(&self, sink: Rc<dyn Sink>) {
        let waiting = std::mem::take(&mut *self.shared.waiting.borrow_mut());
        let Some(key) = self.shared.key.get() else { return };
        let before = self.table.knows(&self.shared, key);
        for datagram in waiting {
            match before && !self.table.knows(&self.shared, key) {
                true => pass_on(&self.table, key, &datagram),
                false => sink.take(&datagram),
            }
        }
        *self.shared.sink.borrow_mut() = Some(sink);
    }

    /// Datagrams wait again until there is another sink.
    pub fn detach(&self) {
        self.shared.sink.borrow_mut().take();
    }

    /// Takes back what waits, with another datagram in front of it.
    pub fn wait_again(&self, datagram: &[u8]) {
        self.shared.waiting.borrow_mut().push_front(datagram.into());
    }

    /// The first datagram that waits.
    pub fn first<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.shared.waiting.borrow().front().map(|datagram| look(datagram))
    }

    /// For a sink, which may want no more.
    pub fn parting(&self) -> Parting {
        Parting { table: Rc::clone(&self.table), shared: Rc::clone(&self.shared) }
    }

    /// Answers the client. The datagram is lost when the socket is full, as it would be anywhere else.
    ///
    /// # Errors
    /// The kernel refuses it, or the socket is full; nothing is wrong with the next one.
    pub fn answer(&self, datagram: &[u8]) -> io::Result<()> {
        let Some((client, from)) = self.shared.key.get() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        datagram::send(&self.table.socket, datagram, client, from)
    }
}

/// Lets a sink end the stream of datagrams to itself.
pub struct Parting {
    table: Rc<Flows>,
    shared: Rc<Shared>,
}

impl Parting {
    /// Forgets the client: its next datagram begins a new flow. This one may still answer.
    pub fn part(&self) {
        self.table.forget(&self.shared);
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.table.forget(&self.shared);
        self.shared.sink.borrow_mut().take();
    }
}

impl Flows {
    /// What the client sends next is for this flow.
    fn knows(&self, shared: &Rc<Shared>, key: Key) -> bool {
        self.known.borrow().get(&key).is_some_and(|other| Rc::ptr_eq(other, shared))
    }

    fn forget(&self, shared: &Rc<Shared>) {
        let Some(key) = shared.key.get() else { return };
        // Another flow of the same client may have begun since.
        if self.knows(shared, key) {
            self.known.borrow_mut().remove(&key);
        }
    }
}

impl Shared {
    fn take(&self, datagram: &[u8]) {
        let sink = self.sink.borrow().clone();
        match sink {
            Some(sink) => sink.take(datagram),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                if waiting.len() < WAITING {
                    waiting.push_back(datagram.into());
                }
            }
        }
    }
}

/// Reads datagrams until told to drain and no flow is left. Runs inside a `LocalSet` of the worker's runtime.
///
/// # Errors
/// The socket cannot be duplicated or watched.
pub async fn serve_datagrams(intake: DatagramIntake) -> io::Result<()> {
    let std = std::net::UdpSocket::from(intake.socket.duplicate_for(intake.worker.index)?);
    let mut command = intake.command.clone();
    let table = Rc::new(Flows {
        socket: UdpSocket::from_std(std)?,
        told: intake.socket.is_wildcard(),
        known: RefCell::default(),
        intake,
    });
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let told = match command.has_changed() {
            Ok(_) => *command.borrow_and_update(),
            Err(_) => return Ok(()),
        };
        if told == Accepting::Drain {
            return Ok(());
        }
        tokio::select! {
            biased;
            changed = command.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            ready = table.socket.readable(), if told == Accepting::Yes => {
                ready?;
                read_some(&table, &mut buffer);
                tokio::task::yield_now().await;
            }
        }
    }
}

fn read_some(table: &Rc<Flows>, buffer: &mut [u8]) {
    for _ in 0..BATCH {
        let came =
            table.socket.try_io(Interest::READABLE, || datagram::receive(&table.socket, table.told, buffer));
        match came {
            Ok(came) => pass_on(table, (came.from, came.to), &buffer[..came.length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // What went wrong with one datagram says nothing about the next.
            Err(_) => {}
        }
    }
}

fn pass_on(table: &Rc<Flows>, key: Key, bytes: &[u8]) {
    let intake = &table.intake;
    let known = table.known.borrow().get(&key).map(Rc::clone);
    if let Some(shared) = known {
        return shared.take(bytes);
    }
    // Port 0 cannot be answered; who sends from it is up to no good.
    if key.0.port() == 0 {
        return;
    }
    let full = table.known.borrow().len() >= MAX_FLOWS;
    let place = if full { None } else { intake.gates.reserve() };
    match place.and_then(|place| place.fill(intake.worker.index)) {
        Some(ticket) => begin(table, key, bytes, ticket),
        None if intake.gates.may_complain() => (intake.report)(Trouble::DatagramsDropped),
        None => {}
    }
}

fn begin(table: &Rc<Flows>, key: Key, bytes: &[u8], ticket: Ticket) {
    let intake = &table.intake;
    let shared = Rc::new(Shared { key: Cell::new(Some(key)), ..Shared::default() });
    shared.take(bytes);
    table.known.borrow_mut().insert(key, Rc::clone(&shared));
    let own = intake.socket.local();
    let local = match (own.ip(), key.1) {
        (Some(own), Some(ip)) => Peer::from(SocketAddr::new(ip, own.port())),
        _ => own,
    };
    (intake.handler)(Arrived {
        flow: Flow { table: Rc::clone(table), shared },
        client: Peer::from(key.0),
        local,
        bind: intake.bind,
        ticket,
    });
}
