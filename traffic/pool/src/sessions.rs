//! Sessions that were learnt from answers: which session belongs to which server. Shared by all workers; a reload goes on
//! with them.

use md5::{Digest, Md5};
use parking_lot::Mutex;
use plan::smooth::StickyLearn;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Sessions by the digest of their names.
#[derive(Debug)]
pub struct Sessions {
    max: usize,
    timeout_ms: u64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<[u8; 16], Session>,
    /// By when they were last of use; the number makes each one unique.
    by_age: BTreeMap<(u64, u64), [u8; 16]>,
    numbers: u64,
}

#[derive(Debug)]
struct Session {
    sid: Arc<str>,
    age: (u64, u64),
}

impl Sessions {
    pub(crate) fn new(learn: &StickyLearn) -> Sessions {
        Sessions {
            max: learn.max_sessions.max(1),
            timeout_ms: u64::try_from(learn.timeout.as_millis()).unwrap_or(u64::MAX),
            table: Mutex::default(),
        }
    }

    /// What was learnt under other limits.
    pub(crate) fn taking_over(learn: &StickyLearn, before: &Sessions) -> Sessions {
        let sessions = Sessions::new(learn);
        std::mem::swap(&mut *sessions.table.lock(), &mut *before.table.lock());
        sessions
    }

    /// The value of the server that a session belongs to.
    pub fn find(&self, session: &[u8], now_ms: u64) -> Option<Arc<str>> {
        let mut table = self.table.lock();
        table.expire(now_ms, self.timeout_ms);
        table.known.get(&digest(session)).map(|session| Arc::clone(&session.sid))
    }

    /// A session was of use at a server: it belongs there from now on. `create`: also when it is new.
    pub fn learn(&self, session: &[u8], sid: &str, create: bool, now_ms: u64) {
        let key = digest(session);
        let mut table = self.table.lock();
        table.expire(now_ms, self.timeout_ms);
        let known = table.known.remove(&key);
        if let Some(old) = &known {
            table.by_age.remove(&old.age);
        } else if !create {
            return;
        }
        while table.known.len() >= self.max {
            let Some((_, oldest)) = table.by_age.pop_first() else { break };
            table.known.remove(&oldest);
        }
        table.numbers += 1;
        let age = (now_ms, table.numbers);
        let sid = known.map(|old| old.sid).filter(|old| **old == *sid).unwrap_or_else(|| sid.into());
        table.by_age.insert(age, key);
        table.known.insert(key, Session { sid, age });
    }
}

impl Table {
    fn expire(&mut self, now_ms: u64, timeout_ms: u64) {
        while let Some(((last, _), key)) = self.by_age.first_key_value() {
            if now_ms.saturating_sub(*last) < timeout_ms {
                return;
            }
            let key = *key;
            self.by_age.pop_first();
            self.known.remove(&key);
        }
    }
}

fn digest(session: &[u8]) -> [u8; 16] {
    Md5::digest(session).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn sessions(max_sessions: usize) -> Sessions {
        let timeout = Duration::from_secs(10);
        Sessions::new(&StickyLearn {
            zone: "z".into(),
            max_sessions,
            timeout,
            create: Vec::new(),
            at_head: false,
        })
    }

    #[test]
    fn sessions_are_learnt_and_forgotten() {
        let sessions = sessions(9);
        sessions.learn(b"a", "s1", false, 0);
        assert_eq!(sessions.find(b"a", 0), None, "nobody began it");
        sessions.learn(b"a", "s1", true, 0);
        sessions.learn(b"a", "s2", false, 5_000);
        assert_eq!(sessions.find(b"a", 14_999).as_deref(), Some("s2"));
        assert_eq!(sessions.find(b"a", 15_000), None);
    }

    #[test]
    fn the_one_that_was_silent_the_longest_makes_room() {
        let sessions = sessions(2);
        for (session, now) in [(b"a", 1), (b"b", 2), (b"a", 3), (b"c", 4)] {
            sessions.learn(session, "s", true, now);
        }
        let known = [b"a", b"b", b"c"].map(|session| sessions.find(session, 5).is_some());
        assert_eq!(known, [true, false, true]);
    }
}
