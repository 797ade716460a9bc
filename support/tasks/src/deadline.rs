//! Deadlines of connections: one slot each, moved by a store, watched by one sleeping task per worker.
//!
//! A timer per phase of each request would be inserted and removed a dozen times while nothing ever
//! expires. Here moving a deadline is a store into a slot; the sweeper sleeps until the earliest deadline
//! it knows, looks at all slots then, and wakes those that are due. It is woken early only when somebody
//! sets a deadline before that moment. Deadlines are kept to the millisecond.

use crate::clock;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// Why a slot woke its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The deadline passed.
    Timeout,
    /// The watched thing (a server, by number) changed: stop waiting for it.
    Watched,
    /// The worker is stopping: idle connections should end.
    Stop,
}

/// All deadlines of one worker. Cheap to clone.
#[derive(Clone, Default)]
pub struct Deadlines(Rc<Shared>);

#[derive(Default)]
struct Shared {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    /// The sweeper sleeps until then; `Duration::MAX` = until told.
    armed: Cell<Duration>,
    rearm: Notify,
}

#[derive(Debug)]
struct Slot {
    at: Duration,
    watch: Option<u32>,
    idle: bool,
    fired: Option<Fired>,
    waker: Option<Waker>,
}

/// The slot of one connection. Dropping it gives the slot back.
pub struct Deadline {
    shared: Rc<Shared>,
    index: u32,
}

impl Deadlines {
    /// A slot without a deadline.
    pub fn slot(&self) -> Deadline {
        let slot = Slot { at: Duration::MAX, watch: None, idle: false, fired: None, waker: None };
        let mut slots = self.0.slots.borrow_mut();
        let index = match self.0.free.borrow_mut().pop() {
            Some(index) => {
                slots[index as usize] = slot;
                index
            }
            None => {
                slots.push(slot);
                slots.len() as u32 - 1
            }
        };
        Deadline { shared: Rc::clone(&self.0), index }
    }

    /// Wakes every connection that watches `number`.
    pub fn wake_watching(&self, number: u32) {
        self.fire(Fired::Watched, |slot| slot.watch == Some(number));
    }

    /// Wakes every idle connection so that it ends.
    pub fn wake_idle(&self) {
        self.fire(Fired::Stop, |slot| slot.idle);
    }

    /// Runs for the life of the worker: wakes the connections whose deadline passed.
    pub async fn sweep(self) {
        loop {
            let next = self.expire(clock::exact());
            self.0.armed.set(next);
            let told = self.0.rearm.notified();
            match next.checked_sub(clock::now()) {
                _ if next == Duration::MAX => told.await,
                None => tokio::task::yield_now().await,
                Some(wait) => {
                    // A millisecond more: the runtime's timer may fire a little early.
                    let _ = tokio::time::timeout(wait + Duration::from_millis(1), told).await;
                }
            }
        }
    }

    /// Fires what is due at `now`; gives the earliest deadline left.
    fn expire(&self, now: Duration) -> Duration {
        self.fire(Fired::Timeout, |slot| slot.at <= now);
        self.0.slots.borrow().iter().map(|slot| slot.at).min().unwrap_or(Duration::MAX)
    }

    fn fire(&self, fired: Fired, due: impl Fn(&Slot) -> bool) {
        for slot in self.0.slots.borrow_mut().iter_mut().filter(|slot| due(slot)) {
            slot.at = Duration::MAX;
            slot.watch = None;
            slot.fired = Some(fired);
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
        }
    }
}

impl Deadline {
    /// Moves the deadline to `wait` from now; `None` = no deadline. Forgets what fired before.
    #[inline]
    pub fn set(&self, wait: Option<Duration>) {
        let at = wait.map_or(Duration::MAX, |wait| clock::now().saturating_add(wait));
        self.with(|slot| {
            slot.at = at;
            slot.fired = None;
        });
        if at < self.shared.armed.get() {
            self.shared.armed.set(at);
            self.shared.rearm.notify_one();
        }
    }

    /// The same because things go on: news that is not about time and was not looked at yet is kept.
    #[inline]
    pub fn prolong(&self, wait: Option<Duration>) {
        let news = self.fired().filter(|fired| *fired != Fired::Timeout);
        self.set(wait);
        self.with(|slot| slot.fired = news);
    }

    /// Watches a number (a server's); see [`Deadlines::wake_watching`].
    #[inline]
    pub fn watch(&self, number: Option<u32>) {
        self.with(|slot| slot.watch = number);
    }

    /// Marks the connection as idle: a stop wakes it.
    #[inline]
    pub fn set_idle(&self, idle: bool) {
        self.with(|slot| slot.idle = idle);
    }

    /// Ready once it fired, until set again. Keeps the task's waker.
    #[inline]
    pub fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<Fired> {
        self.with(|slot| {
            if let Some(fired) = slot.fired {
                return Poll::Ready(fired);
            }
            if !slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                slot.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// What fired, if anything did since it was last set.
    pub fn fired(&self) -> Option<Fired> {
        self.with(|slot| slot.fired)
    }

    /// Waits for `future`, or until this fires.
    pub async fn guard<F: Future + Unpin>(&self, mut future: F) -> Result<F::Output, Fired> {
        std::future::poll_fn(|cx| match std::pin::Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_fired(cx).map(Err),
        })
        .await
    }

    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut Slot) -> R) -> R {
        act(&mut self.shared.slots.borrow_mut()[self.index as usize])
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.with(|slot| {
            slot.at = Duration::MAX;
            slot.watch = None;
            slot.idle = false;
            slot.waker = None;
        });
        self.shared.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(story: impl AsyncFnOnce(Deadlines)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .on_thread_unpark(clock::refresh)
            .build_local(Default::default())
            .unwrap();
        runtime.block_on(async {
            let deadlines = Deadlines::default();
            let sweeper = tokio::task::spawn_local(deadlines.clone().sweep());
            story(deadlines).await;
            sweeper.abort();
        });
    }

    #[test]
    fn a_deadline_fires_once_it_passed_and_not_before() {
        run(async |deadlines| {
            let slot = deadlines.slot();
            slot.set(Some(Duration::from_secs(60)));
            let begin = clock::exact();
            slot.set(Some(Duration::from_millis(20)));
            let fired = slot.guard(std::future::pending::<()>()).await;
            assert_eq!(fired, Err(Fired::Timeout));
            let took = clock::exact() - begin;
            assert!(took >= Duration::from_millis(20), "{took:?}");
        });
    }

    #[test]
    fn watchers_and_idlers_are_woken() {
        run(async |deadlines| {
            let (watching, idle) = (deadlines.slot(), deadlines.slot());
            watching.watch(Some(7));
            idle.set_idle(true);
            deadlines.wake_watching(8);
            assert_eq!((watching.fired(), idle.fired()), (None, None));
            deadlines.wake_watching(7);
            deadlines.wake_idle();
            assert_eq!((watching.fired(), idle.fired()), (Some(Fired::Watched), Some(Fired::Stop)));
            watching.prolong(None);
            assert_eq!(watching.fired(), Some(Fired::Watched));
            watching.set(None);
            assert_eq!(watching.fired(), None);
        });
    }
}
