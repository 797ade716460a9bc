//! What is meant: the plan that every dialect compiles to and that everything after it reads.
//!
//! A dialect writes a [`Draft`]: what was said, with the place of each part. [`Draft::resolve`] turns it
//! into a [`Plan`]: what is meant, every name known to exist, or a list of all [`Problem`]s at once.
//! Nothing here opens a file or a socket, reads a clock or the environment; after the plan nobody knows
//! which dialect it came from. Formats, error pages and defaults are data in it.

pub mod alert;
pub mod cache;
pub mod check;
pub mod compression;
pub mod draft;
pub mod hash;
pub mod host;
pub mod limit;
pub mod listener;
pub mod log;
pub mod network;
pub mod pages;
pub mod peers;
pub mod place;
pub mod pool;
pub mod process;
pub mod resolver;
pub mod rule;
pub mod site;
pub mod smooth;
pub mod stream;
pub mod table;

pub use cache::{Cache, CacheStatus, CacheZone};
pub use check::{AgentCheck, Check, Probe, Script};
pub use draft::{Draft, Plan};
pub use limit::{ConnectionZone, LimitStatus, Limits, RateZone};
pub use listener::{Bind, BindAddress, ProxyVersion};
pub use log::{GzipFile, LogAddress, LogFormat, LogPlan, LogTarget, Severity};
pub use network::{Network, Networks};
pub use pages::{Answer, AnswerBody, ErrorPages};
pub use place::{Note, Place, Problem, Problems};
pub use pool::{Balance, HashKind, HashMethod, Pool, Server, ServerAddress, Tracked};
pub use process::{Process, RuntimeSocket};
pub use resolver::{Lookup, Resolvers};
pub use rule::{Action, Condition, Expr, Fetch, Rule, Rules, Template, Value};
pub use site::{Route, RouteTarget, Site};
pub use table::Table;

/// What a site or a pool speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bytes are passed on unread.
    #[default]
    Tcp,
    /// HTTP/1.1 (RFC 9112).
    Http,
}
