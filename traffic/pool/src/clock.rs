//! Time as milliseconds since a fixed moment, so that tests can turn it by hand.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Gives the milliseconds since some fixed moment. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// Time of the machine, counted from now. Never goes back.
    pub fn system() -> Clock {
        let start = Instant::now();
        // One day before `start`, so that 0 can mean "never".
        Clock(Arc::new(move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX) + 86_400_000))
    }

    /// Any source of milliseconds, for tests and simulations.
    pub fn from_fn(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now_ms))
    }

    /// The present time.
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({} ms)", self.now_ms())
    }
}
