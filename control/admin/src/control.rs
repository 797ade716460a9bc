//! What runtime commands do: the supervisor implements this.

use crate::answer::Answer;
use crate::command::{ErrorSide, Order, RateLimit, ServerChange, SiteChange};
use dashboard::Snapshot;
use std::pin::Pin;
use tokio::sync::oneshot;

/// Why something was not done; a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    /// From a sentence.
    pub fn new(text: impl Into<String>) -> Refusal {
        Refusal(text.into())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// A ring of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingView {
    /// Name.
    pub name: String,
    /// What is in it, for people.
    pub description: String,
    /// Events that could not be kept.
    pub dropped: u64,
}

/// Events of a ring, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingPart {
    /// One line each, without an end.
    pub lines: Vec<String>,
    /// Ask for what comes after these with this number.
    pub next: u64,
}

/// How a reload on request went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The new configuration is in force.
    pub ok: bool,
    /// What was said, as lines.
    pub log: String,
}

/// The running cycle as runtime commands see it. Calls do not block; names exist in the last snapshot, but may
/// be gone when the call comes: then it is refused.
pub trait Control: Send + Sync {
    /// One moment of everything.
    fn snapshot(&self) -> Snapshot;

    /// Changes a server. Refused when it makes no sense for this one (no check, static balancing, …).
    fn change_server(&self, pool: &str, server: &str, change: ServerChange) -> Result<(), Refusal>;

    /// Adds a server to a pool, in maintenance and unchecked. `words` is what follows its name on a `server`
    /// line. Gives its number.
    fn add_server(&self, pool: &str, server: &str, words: &str) -> Result<u32, Refusal>;

    /// Takes a server out of a pool for good: refused unless it is in maintenance and has no connections.
    fn remove_server(&self, pool: &str, server: &str) -> Result<(), Refusal>;

    /// Changes a site.
    fn change_site(&self, site: &str, change: SiteChange) -> Result<(), Refusal>;

    /// Connection limit of the process; 0 = that of the start.
    fn set_process_limit(&self, limit: u32) -> Result<(), Refusal>;

    /// A rate limit of the process; 0 = none.
    fn set_rate_limit(&self, which: RateLimit, limit: u32) -> Result<(), Refusal>;

    /// Forgets maxima, or all counters.
    fn clear_counters(&self, all: bool);

    /// Forgets all counters of one server.
    fn clear_server(&self, pool: &str, server: &str);

    /// True when the server can be deleted now; refused when it never will be as things are.
    fn removable(&self, pool: &str, server: &str) -> Result<bool, Refusal>;

    /// The last invalid request and response of each proxy (or of one), printed.
    fn invalid(&self, proxy: Option<u32>, side: Option<ErrorSide>) -> Vec<String>;

    /// Rings of events.
    fn rings(&self) -> Vec<RingView>;

    /// Events of a ring from number `from` on (0 = all that are kept); `None` = no such ring.
    fn ring(&self, name: &str, from: u64) -> Option<RingPart>;

    /// The same as [`Control::part`] for a part that has to ask others first; `None`: it need not.
    fn later(&self, order: &Order) -> Option<Pin<Box<dyn Future<Output = Answer>>>>;

    /// A command that one part of the program answers by itself.
    fn part(&self, order: &Order) -> Answer;

    /// Reads the configuration again; the answer comes when it is in force or refused.
    fn reload(&self) -> Option<oneshot::Receiver<Reloaded>>;
}
