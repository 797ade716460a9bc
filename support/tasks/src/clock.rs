//! A cheap monotonic clock for one thread.
//!
//! Reading the real clock several times per request costs as much as parsing its head. Within one round
//! of the runtime the time hardly moves, so it is read once and kept until the thread has slept, or for
//! at most `USES` readings.

use std::cell::Cell;
use std::time::{Duration, Instant};

const USES: u32 = 32;

thread_local! {
    static CLOCK: Clock = Clock { epoch: Instant::now(), now: Cell::new(Duration::ZERO), left: Cell::new(0) };
}

struct Clock {
    epoch: Instant,
    now: Cell<Duration>,
    left: Cell<u32>,
}

/// Time since this thread first asked. Never goes back.
#[inline]
pub fn now() -> Duration {
    CLOCK.with(|clock| {
        match clock.left.get() {
            0 => {
                clock.now.set(clock.epoch.elapsed());
                clock.left.set(USES);
            }
            left => clock.left.set(left - 1),
        }
        clock.now.get()
    })
}

/// The thread has slept: the next reading is a real one. Give it to the runtime's `on_thread_unpark`.
#[inline]
pub fn refresh() {
    CLOCK.with(|clock| clock.left.set(0));
}

/// An exact reading, on the same scale as [`now`].
pub fn exact() -> Duration {
    refresh();
    now()
}
