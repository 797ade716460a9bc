//! Requests that wait for a place: one queue per server for those that belong to it, one per pool for the
//! others, first come first served. Servers' queues go before the pool's.

use crate::choice::{Choice, Wish};
use crate::pool::Core;
use crate::server::Server;
use crate::slot::{Held, Slot};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use std::task::{Context, Poll, Waker};
use telemetry::Cause;

/// Why a request waits; says which time-out applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// Every place is taken (queue time-out).
    Full,
    /// No server is usable (`hold` of the pool).
    NoServer,
}

/// All queues of a pool. Goes on in the next cycle, so that it may serve requests of two cycles.
#[derive(Default)]
pub(crate) struct Lobby {
    waiting: AtomicUsize,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    next: u64,
    /// By uid.
    servers: HashMap<u32, Line>,
    /// By cycle.
    pools: Vec<(Arc<Core>, Line)>,
}

type Line = BTreeMap<u64, Arc<Ticket>>;

/// One waiting request.
struct Ticket {
    number: u64,
    core: Arc<Core>,
    wish: Wish,
    /// Chosen by balancing, not by persistence.
    balanced: bool,
    /// Waits for its server only, whatever becomes of it.
    forced: bool,
    turn: Mutex<Turn>,
}

/// ```text
///   Waiting ──► Given ──► Over        Waiting ──► Over (left)
///        └────► Failed ──► Over
/// ```
enum Turn {
    Waiting(Option<Waker>),
    Given(Slot),
    Failed(Cause),
    Over,
}

/// Waits for a place at a server. Dropping it leaves the queue. Deadlines are the caller's business.
pub struct Waiting {
    ticket: Arc<Ticket>,
    reason: WaitReason,
    server_before: usize,
    pool_before: usize,
}

impl Waiting {
    /// Place in the server's queue when it came, counted from 1; 0 = not in that queue. For the log.
    pub fn server_queue_place(&self) -> usize {
        self.server_before
    }

    /// Place in the pool's queue, in the same way.
    pub fn pool_queue_place(&self) -> usize {
        self.pool_before
    }

    /// Why it waits.
    pub fn reason(&self) -> WaitReason {
        self.reason
    }
}

impl Future for Waiting {
    type Output = Result<Slot, Cause>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut turn = self.ticket.turn.lock();
        if let Turn::Waiting(waker) = &mut *turn {
            waker.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
            return Poll::Pending;
        }
        let ended = std::mem::replace(&mut *turn, Turn::Over);
        drop(turn);
        Poll::Ready(match ended {
            Turn::Given(slot) => Ok(slot),
            Turn::Failed(cause) => Err(cause),
            Turn::Waiting(_) | Turn::Over => Err(Cause::Internal),
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if matches!(*self.ticket.turn.lock(), Turn::Over) {
            return;
        }
        self.ticket.core.lobby.leave(&self.ticket);
        // A place given in the meantime goes on to the next request, after the lock is gone.
        let turn = std::mem::replace(&mut *self.ticket.turn.lock(), Turn::Over);
        drop(turn);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting(#{} {:?})", self.ticket.number, self.reason)
    }
}

/// A request that begins to wait.
pub(crate) struct Entry {
    pub wish: Wish,
    /// The server it belongs to; `None` = the pool's queue.
    pub at: Option<Arc<Server>>,
    pub balanced: bool,
    pub forced: bool,
    pub reason: WaitReason,
}

/// Wakes tasks once the lock is gone.
#[derive(Default)]
struct Wake(Vec<Waker>);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Lobby {
    /// Puts a request at the end of its queue. It may be served at once.
    pub(crate) fn join(&self, core: &Arc<Core>, entry: Entry) -> Waiting {
        let mut wake = Wake::default();
        let mut queues = self.queues.lock();
        let (server_before, pool_before) = match &entry.at {
            Some(server) => (server.stats.queue.now() as usize + 1, 0),
            None => (0, core.stats.queue.now() as usize + 1),
        };
        let number = queues.next;
        queues.next += 1;
        let ticket = Arc::new(Ticket {
            number,
            core: Arc::clone(core),
            wish: entry.wish,
            balanced: entry.balanced,
            forced: entry.forced,
            turn: Mutex::new(Turn::Waiting(None)),
        });
        self.add(&mut queues, entry.at.as_deref(), Arc::clone(&ticket));
        // Pairs with the fence in `offer`: either the leaving request sees this one waiting, or this one
        // sees the place it left.
        fence(SeqCst);
        self.settle_locked(&mut queues, core, &mut wake);
        drop(queues);
        Waiting { ticket, reason: entry.reason, server_before, pool_before }
    }

    /// A place at `server` may be free: gives it to those who wait, as long as there is one.
    #[inline]
    pub(crate) fn offer(&self, server: &Server) {
        fence(SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.offer_slowly(server);
        }
    }

    #[cold]
    fn offer_slowly(&self, server: &Server) {
        let mut wake = Wake::default();
        let mut queues = self.queues.lock();
        while self.serve_bound(&mut queues, server.uid, &mut wake)
            || self.serve_any(&mut queues, server.uid, &mut wake)
        {}
        drop(queues);
    }

    /// Something changed in `core`: moves requests whose server is gone, serves all that can be served.
    pub(crate) fn settle(&self, core: &Arc<Core>) {
        fence(SeqCst);
        if self.waiting.load(SeqCst) == 0 {
            return;
        }
        let mut wake = Wake::default();
        let mut queues = self.queues.lock();
        self.move_strays(&mut queues, core);
        self.settle_locked(&mut queues, core, &mut wake);
        drop(queues);
    }

    /// All requests of `core` that wait fail with `cause`.
    pub(crate) fn fail_all(&self, core: &Arc<Core>, cause: Cause) {
        let mut wake = Wake::default();
        let mut queues = self.queues.lock();
        for (at, ticket) in queues.of(core) {
            self.remove(&mut queues, at, &ticket);
            ticket.end(Turn::Failed(cause), &mut wake);
        }
        drop(queues);
    }

    fn settle_locked(&self, queues: &mut Queues, core: &Arc<Core>, wake: &mut Wake) {
        for uid in queues.servers.keys().copied().collect::<Vec<_>>() {
            while self.serve_bound(queues, uid, wake) {}
        }
        while self.serve_next(queues, core, wake) {}
    }

    /// Requests that wait for a server that no longer takes them go to the pool's queue, in their order.
    fn move_strays(&self, queues: &mut Queues, core: &Arc<Core>) {
        let stray = |at: Option<u32>, ticket: &Ticket| {
            let gone = |uid| core.by_uid(uid).is_none_or(|server| !server.takes_bound());
            !ticket.forced && at.is_some_and(gone)
        };
        for (at, ticket) in queues.of(core) {
            if stray(at, &ticket) {
                self.remove(queues, at, &ticket);
                self.add(queues, None, ticket);
            }
        }
    }

    /// Serves the first of a server's own queue; false when nobody waits there or no place is free.
    fn serve_bound(&self, queues: &mut Queues, uid: u32, wake: &mut Wake) -> bool {
        let Some((_, ticket)) = queues.servers.get(&uid).and_then(|line| line.first_key_value()) else {
            return false;
        };
        let ticket = Arc::clone(ticket);
        let Some(server) = ticket.core.by_uid(uid) else { return false };
        if !(ticket.forced || server.takes_bound()) || !server.try_enter() {
            return false;
        }
        self.remove(queues, Some(uid), &ticket);
        ticket.end(Turn::Given(Slot::entered(Held::Own(server), ticket.balanced)), wake);
        true
    }

    /// Gives a place at this server to the first in a pool's queue that may go there.
    fn serve_any(&self, queues: &mut Queues, uid: u32, wake: &mut Wake) -> bool {
        let first = |(core, line): &(Arc<Core>, Line)| {
            let table = core.table.load();
            let server = table.serves(uid).filter(|server| core.may_choose(server))?.clone();
            let fits = |t: &&Arc<Ticket>| !t.wish.tried.contains(&uid) || !table.has_untried(&t.wish.tried);
            line.values().find(fits).map(|ticket| (ticket.number, Arc::clone(ticket), server))
        };
        let mut found: Vec<_> = queues.pools.iter().filter_map(first).collect();
        found.sort_by_key(|(number, ..)| *number);
        // The limits of two cycles may differ: what is full for one may have a place for the other.
        let Some((_, ticket, server)) = found.into_iter().find(|(.., server)| server.try_enter()) else {
            return false;
        };
        self.remove(queues, None, &ticket);
        ticket.end(Turn::Given(Slot::entered(server.hold(ticket.wish.worker), true)), wake);
        true
    }

    /// Chooses a server for the first in the pool's queue. Only one that shuns the server that is free (its
    /// attempt there failed) lets others go first.
    fn serve_next(&self, queues: &mut Queues, core: &Arc<Core>, wake: &mut Wake) -> bool {
        let table = core.table.load();
        let Some(line) = queues.pool(core).filter(|_| !table.is_empty()) else { return false };
        let mut choice = Choice::QueuesFull;
        let mut served = None;
        // The limits of servers may follow the load of the pool, so it leaves the queue after the choice.
        for ticket in line.values() {
            choice = core.choose_waiting(&table, &ticket.wish);
            if matches!(choice, Choice::Entered(_) | Choice::Full(Some(_))) {
                served = Some(Arc::clone(ticket));
            }
            if served.is_some() || ticket.wish.tried.is_empty() {
                break;
            }
        }
        let Some(ticket) = served else { return false };
        self.remove(queues, None, &ticket);
        match choice {
            Choice::Entered(server) => ticket.end(Turn::Given(Slot::entered(server, true)), wake),
            Choice::Full(at) => self.add(queues, at.as_deref(), ticket),
            Choice::QueuesFull => {}
        }
        true
    }

    fn add(&self, queues: &mut Queues, at: Option<&Server>, ticket: Arc<Ticket>) {
        queues.push(at, ticket);
        self.waiting.fetch_add(1, SeqCst);
    }

    fn leave(&self, ticket: &Arc<Ticket>) {
        let mut queues = self.queues.lock();
        if let Some(at) = queues.find(ticket) {
            self.remove(&mut queues, at, ticket);
        }
    }

    fn remove(&self, queues: &mut Queues, at: Option<u32>, ticket: &Arc<Ticket>) {
        queues.remove(at, ticket);
        self.waiting.fetch_sub(1, SeqCst);
    }
}

impl Queues {
    /// In the order of the numbers, which is the order of coming.
    fn push(&mut self, at: Option<&Server>, ticket: Arc<Ticket>) {
        let line = match at {
            Some(server) => {
                server.stats.queue.enter();
                self.servers.entry(server.uid).or_default()
            }
            None => {
                ticket.core.stats.queue.enter();
                self.pool_or_new(&ticket.core)
            }
        };
        line.insert(ticket.number, ticket);
    }

    fn remove(&mut self, at: Option<u32>, ticket: &Arc<Ticket>) {
        match at {
            Some(uid) => {
                let Some(line) = self.servers.get_mut(&uid) else { return };
                line.remove(&ticket.number);
                if line.is_empty() {
                    self.servers.remove(&uid);
                }
                if let Some(server) = ticket.core.by_uid(uid) {
                    server.stats.queue.leave();
                }
            }
            None => {
                self.pool_or_new(&ticket.core).remove(&ticket.number);
                self.pools.retain(|(_, line)| !line.is_empty());
                ticket.core.stats.queue.leave();
            }
        }
    }

    /// Where a ticket waits; `None` when it no longer does.
    fn find(&self, ticket: &Arc<Ticket>) -> Option<Option<u32>> {
        let number = &ticket.number;
        if self.pool(&ticket.core).is_some_and(|line| line.contains_key(number)) {
            return Some(None);
        }
        self.servers.iter().find(|(_, line)| line.contains_key(number)).map(|(&uid, _)| Some(uid))
    }

    /// All tickets of a cycle and where they wait.
    fn of(&self, core: &Arc<Core>) -> Vec<(Option<u32>, Arc<Ticket>)> {
        let bound = self.servers.iter().flat_map(|(&uid, line)| line.values().map(move |t| (Some(uid), t)));
        let others = self.pools.iter().flat_map(|(_, line)| line.values().map(|t| (None, t)));
        let ours = |(at, ticket): (Option<u32>, &Arc<Ticket>)| {
            Arc::ptr_eq(&ticket.core, core).then(|| (at, Arc::clone(ticket)))
        };
        bound.chain(others).filter_map(ours).collect()
    }

    fn pool(&self, core: &Arc<Core>) -> Option<&Line> {
        self.pools.iter().find(|(other, _)| Arc::ptr_eq(other, core)).map(|(_, line)| line)
    }

    fn pool_or_new(&mut self, core: &Arc<Core>) -> &mut Line {
        let at = self.pools.iter().position(|(other, _)| Arc::ptr_eq(other, core)).unwrap_or_else(|| {
            self.pools.push((Arc::clone(core), Line::new()));
            self.pools.len() - 1
        });
        &mut self.pools[at].1
    }
}

impl Ticket {
    fn end(&self, end: Turn, wake: &mut Wake) {
        let before = std::mem::replace(&mut *self.turn.lock(), end);
        if let Turn::Waiting(Some(waker)) = before {
            wake.0.push(waker);
        }
    }
}
