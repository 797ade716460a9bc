//! The client connections of a worker, for those who list them or end one.

use listener::{Accepted, Peer, Seat};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::{AbortHandle, spawn_local};

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
    pub fn serve<F>(&self, site: &Arc<str>, accepted: Accepted, serve: impl FnOnce(Accepted) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let next = self.0.next.replace(self.0.next.get() + 1);
        let id = next * self.0.workers + self.0.worker;
        let guest = Guest {
            seat: Rc::clone(accepted.ticket.seat()),
            site: Arc::clone(site),
            client: accepted.client,
            local: accepted.local,
            since: Instant::now(),
            task: None,
        };
        self.0.here.borrow_mut().insert(id, guest);
        let leaving = Leaving { guests: self.clone(), id };
        let serving = serve(accepted);
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

    /// Ends a connection at once; false when there is none of this number.
    pub fn end(&self, id: u64) -> bool {
        let task = self.0.here.borrow().get(&id).and_then(|guest| guest.task.clone());
        task.inspect(AbortHandle::abort).is_some()
    }
}
