//! What runtime commands do: the supervisor implements this.

use crate::command::{ServerChange, SiteChange};
use dashboard::Snapshot;

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

    /// Connection limit of the process.
    fn set_process_limit(&self, limit: u32) -> Result<(), Refusal>;

    /// Forgets maxima, or all counters.
    fn clear_counters(&self, all: bool);
}
