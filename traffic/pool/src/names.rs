//! Names that are looked up when a request needs them: the side that asks. The `discovery` crate answers.
//!
//! ```text
//!   Names::lookup ──known──► addresses
//!        └──not known──► Request ──► discovery (on the control thread) ──► Names::learn, addresses or NameError
//! ```

use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Answers kept at most, so that names from requests cannot fill the memory.
const MAX_KNOWN: usize = 10_000;
/// Questions that wait at most.
const MAX_WAITING: usize = 10_000;

/// Names and their addresses, for all workers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Names(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: RwLock<HashMap<Key, Known>>,
    waiting: Mutex<VecDeque<Request>>,
    arrived: Notify,
}

/// Group of name servers and name.
type Key = (Arc<str>, Arc<str>);

struct Known {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is no such name, or it has no address.
    Missing,
    /// Nobody answered in time.
    TimedOut,
    /// The name servers failed.
    Failed,
    /// The name servers refuse.
    Refused,
    /// The answer could not be read, or the name cannot be asked for.
    Malformed,
    /// There are no such name servers, or too many questions wait.
    NotAsked,
}

impl NameError {
    /// The number and the words that resolvers have for it.
    pub fn words(self) -> &'static str {
        match self {
            NameError::Missing => "3: Host not found",
            NameError::TimedOut => "110: Operation timed out",
            NameError::Failed => "2: Server failure",
            NameError::Refused => "5: Operation refused",
            NameError::Malformed => "1: Format error",
            NameError::NotAsked => "no resolver",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "look up a name: {}", self.words())
    }
}

impl std::error::Error for NameError {}

/// A question of a request.
#[derive(Debug)]
pub struct Request {
    /// Group of name servers.
    pub group: Arc<str>,
    /// In lower case, without a dot at the end.
    pub name: Arc<str>,
    /// How long it waits.
    pub patience: Duration,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Arc<[IpAddr]>, NameError>>,
}

impl Names {
    /// The addresses of a name, at least one; from memory, or from the name servers of `group` within `patience`.
    ///
    /// Addresses as text are their own. Drop the future to give up.
    pub async fn lookup(
        &self,
        group: &str,
        name: &str,
        patience: Duration,
    ) -> Result<Arc<[IpAddr]>, NameError> {
        if let Ok(ip) = name.parse() {
            return Ok(Arc::from([ip]));
        }
        let key = (Arc::from(group), Arc::from(name.trim_end_matches('.').to_ascii_lowercase()));
        if let Some(addresses) = self.known(&key) {
            return Ok(addresses);
        }
        let (answer, answered) = oneshot::channel();
        self.ask(Request { group: key.0, name: key.1, patience, answer })?;
        answered.await.unwrap_or(Err(NameError::NotAsked))
    }

    fn ask(&self, request: Request) -> Result<(), NameError> {
        let mut waiting = self.0.waiting.lock();
        if waiting.len() >= MAX_WAITING {
            return Err(NameError::NotAsked);
        }
        waiting.push_back(request);
        self.0.arrived.notify_one();
        Ok(())
    }

    fn known(&self, key: &Key) -> Option<Arc<[IpAddr]>> {
        let known = self.0.known.read();
        let known = known.get(key).filter(|known| known.until > Instant::now())?;
        Some(Arc::clone(&known.addresses))
    }

    /// The next question; waits until there is one. One task calls it.
    pub async fn next(&self) -> Request {
        loop {
            let next = self.0.waiting.lock().pop_front();
            if let Some(request) = next {
                return request;
            }
            self.0.arrived.notified().await;
        }
    }

    /// What is remembered of a name, as long as it counts.
    pub fn recall(&self, group: &Arc<str>, name: &str) -> Option<Arc<[IpAddr]>> {
        self.known(&(Arc::clone(group), Arc::from(name)))
    }

    /// These are the addresses of a name for so long.
    pub fn learn(&self, group: &Arc<str>, name: &Arc<str>, addresses: &Arc<[IpAddr]>, life: Duration) {
        let now = Instant::now();
        let mut known = self.0.known.write();
        if known.len() >= MAX_KNOWN {
            known.retain(|_, known| known.until > now);
        }
        if known.len() < MAX_KNOWN
            && let Some(until) = now.checked_add(life)
        {
            let key = (Arc::clone(group), Arc::clone(name));
            known.insert(key, Known { addresses: Arc::clone(addresses), until });
        }
    }

    /// Nothing is known of these name servers any more.
    pub fn forget(&self, group: &str) {
        self.0.known.write().retain(|(of, _), _| &**of != group);
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names({} known)", self.0.known.read().len())
    }
}
