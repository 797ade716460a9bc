//! The client connections of a worker, for those who list them or end one.

use listener::{Accepted, Arrived, Peer, Seat};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, spawn_local};

/// Time between looks at what was begun before a reload.
const LOOK: Duration = Duration::from_millis(50);

/// A connection at one moment.
#[derive(Clone, Debug)]
pub(crate) struct GuestView {
    /// Its number, unique in the process.
    pub id: u64,
    /// The site's name.
    pub site: Arc<str>,
    /// The client.
    pub client: Peer,
    /// What it connected to.
    pub local: Peer,
    /// Where it is.
    pub at: listener::At,
    /// Requests begun on it.
    pub requests: u64,
    /// Since when it is there.
    pub since: Instant,
}

struct Guest {
    seat: Rc<Seat>,
    site: Arc<str>,
    client: Peer,
    local: Peer,
    since: Instant,
    task: Option<AbortHandle>,
}

/// The client connections of one worker.
#[derive(Clone)]
pub(crate) struct Guests(Rc<Inner>);

struct Inner {
    /// Numbers are `next * workers + worker`, so that no two workers give the same.
    worker: u64,
    workers: u64,
    next: std::cell::Cell<u64>,
    /// In order of their coming.
    here: RefCell<BTreeMap<u64, Guest>>,
}

/// Who is to be listed.
pub(crate) struct Newcomer {
    pub seat: Rc<Seat>,
    pub client: Peer,
    pub local: Peer,
}

impl Newcomer {
    /// A connection's.
    pub fn of(accepted: &Accepted) -> Newcomer {
        let seat = Rc::clone(accepted.ticket.seat());
        Newcomer { seat, client: accepted.client, local: accepted.local }
    }

    /// A flow's.
    pub fn of_flow(arrived: &Arrived) -> Newcomer {
        let seat = Rc::clone(arrived.ticket.seat());
        Newcomer { seat, client: arrived.client, local: arrived.local }
    }
}

/// Takes a connection off the list when it ends.
struct Leaving {
    guests: Guests,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let gone = self.guests.0.here.borrow_mut().remove(&self.id);
        drop(gone);
    }
}

impl Guests {
    /// Of worker `worker` of so many.
    pub fn new(worker: usize, workers: usize) -> Guests {
        Guests(Rc::new(Inner {
            worker: worker as u64,
            workers: workers.max(1) as u64,
            next: std::cell::Cell::new(1),
            here: RefCell::default(),
        }))
    }

    /// Serves a connection in a task of its own and lists it meanwhile.
    pub fn serve(&self, site: &Arc<str>, who: Newcomer, serving: impl Future<Output = ()> + 'static) {
        let next = self.0.next.replace(self.0.next.get() + 1);
        let id = next * self.0.workers + self.0.worker;
        let Newcomer { seat, client, local } = who;
        seat.set_number(id);
        let guest = Guest { seat, site: Arc::clone(site), client, local, since: Instant::now(), task: None };
        self.0.here.borrow_mut().insert(id, guest);
        let leaving = Leaving { guests: self.clone(), id };
        let task = spawn_local(async move {
            serving.await;
            drop(leaving);
        });
        if let Some(guest) = self.0.here.borrow_mut().get_mut(&id) {
            guest.task = Some(task.abort_handle());
        }
    }

    /// All of them, in order of their coming.
    pub fn list(&self) -> Vec<GuestView> {
        let view = |(id, guest): (&u64, &Guest)| GuestView {
            id: *id,
            site: Arc::clone(&guest.site),
            client: guest.client,
            local: guest.local,
            at: guest.seat.at(),
            requests: guest.seat.requests(),
            since: guest.since,
        };
        self.0.here.borrow().iter().map(view).collect()
    }

    /// Waits until what is being served now has ended: a connection is done with when it is gone, when it rests
    /// between requests, or when it serves another one. After `limit` those that are here now are cut off.
    /// `done` is dropped then.
    pub fn retire(
        &self,
        limit: Option<Duration>,
        done: UnboundedSender<()>,
    ) -> impl Future<Output = ()> + use<> {
        let mut left: Vec<(u64, u64)> =
            self.0.here.borrow().iter().map(|(id, guest)| (*id, guest.seat.requests())).collect();
        let guests = self.clone();
        async move {
            let _done = done;
            let begun = Instant::now();
            loop {
                left.retain(|(id, requests)| guests.is_at(*id, *requests, limit.is_some()));
                if left.is_empty() {
                    return;
                }
                if limit.is_some_and(|limit| begun.elapsed() >= limit) {
                    for (id, _) in &left {
                        guests.end(*id);
                    }
                    return;
                }
                let rest = limit.map_or(LOOK, |limit| limit.saturating_sub(begun.elapsed()));
                tokio::time::sleep(rest.min(LOOK)).await;
            }
        }
    }

    /// True while connection `id` serves its request of this number; with `even_idle`, as long as it is there.
    fn is_at(&self, id: u64, requests: u64, even_idle: bool) -> bool {
        self.0
            .here
            .borrow()
            .get(&id)
            .is_some_and(|guest| even_idle || guest.seat.requests() == requests && guest.seat.at().busy)
    }

    /// Ends a connection at once; false when there is none of this number.
    pub fn end(&self, id: u64) -> bool {
        let task = self.0.here.borrow().get(&id).and_then(|guest| guest.task.clone());
        task.inspect(AbortHandle::abort).is_some()
    }
}
