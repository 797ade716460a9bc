//! Waiting for something that shows itself only when asked. Used by the harness and by stories.

use std::thread;
use std::time::{Duration, Instant};

/// How often a question is asked again.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Asks until the answer is `Some`, and gives it; panics with `what` when `limit` has passed.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(ASK_EVERY);
    }
}

/// Asks until the answer is yes; panics with `what` when ten seconds have passed.
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, Duration::from_secs(10), || ask().then_some(()));
}
