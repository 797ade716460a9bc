//! Caches of answers: where they are kept, and when a place in the configuration uses one (nginx `proxy_cache`).

use crate::place::Place;
use crate::rule::Template;
use std::path::PathBuf;
use std::time::Duration;

/// A store of answers, shared by all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheZone {
    /// Name.
    pub name: Box<str>,
    /// Where it was said.
    pub place: Place,
    /// Memory for keys, bytes.
    pub keys: u64,
    /// Where answers are kept.
    pub store: CacheStore,
    /// What nobody asks for during this time is forgotten, be it fresh or not.
    pub inactive: Duration,
    /// Most bytes of answers; `None` = without limit.
    pub max_size: Option<u64>,
    /// How answers that are there at the start are taken in.
    pub loader: Turns,
    /// How answers are removed.
    pub manager: Turns,
}

/// Where a cache keeps answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheStore {
    /// In memory only.
    Memory,
    /// In files.
    Disk {
        /// Directory, made when it is missing.
        path: PathBuf,
        /// Lengths of the names of directories below it, up to three, 1 or 2 each.
        levels: Vec<u8>,
        /// Bytes of the file system that stay free.
        min_free: u64,
    },
}

/// Work that is done in turns, so that it does not stand in the way of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Files in one turn at most.
    pub files: u32,
    /// Pause between turns.
    pub sleep: Duration,
    /// A turn ends after this time.
    pub threshold: Duration,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns { files: 100, sleep: Duration::from_millis(50), threshold: Duration::from_millis(200) }
    }
}

/// How a place uses a cache.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Which one.
    pub zone: CacheName,
    /// What answers are kept under; `None` = the whole URL that the server would be asked for.
    pub key: Option<Template>,
    /// Methods besides GET and HEAD whose answers are kept and used.
    pub methods: Vec<Box<str>>,
    /// How long answers are fresh that do not say so themselves; the first that fits counts.
    pub valid: Vec<CacheValid>,
    /// The server is asked when one of these is neither empty nor `0`.
    pub bypass: Vec<Template>,
    /// The answer is not kept when one of these is neither empty nor `0`.
    pub no_store: Vec<Template>,
    /// The answer is kept when it is asked for so often.
    pub min_uses: u32,
    /// One request at a time asks the server for what is not there.
    pub lock: Option<CacheLock>,
    /// When an answer that is not fresh any more may be used.
    pub use_stale: UseStale,
    /// What is not fresh is used and fetched anew beside it.
    pub background_update: bool,
    /// What is not fresh is asked for with its validators.
    pub revalidate: bool,
    /// The server is asked with GET for HEAD.
    pub convert_head: bool,
    /// Requests for a part that begins behind this byte go to the server as they are.
    pub max_range_offset: Option<u64>,
    /// What in answers has no say.
    pub ignore: CacheIgnore,
    /// Answers may depend on the client's `Authorization`, which is not part of the key. They are kept only when
    /// they say that it is right (RFC 9111, 3.5).
    pub guard_authorization: bool,
}

/// Name of a cache.
#[derive(Clone, Debug)]
pub enum CacheName {
    /// This one.
    Fixed(Box<str>),
    /// Made for each request; without a name there is none, and an unknown one is a fault.
    Computed(Template),
}

/// How long answers are fresh that do not say so themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheValid {
    /// Their status; empty = any.
    pub statuses: Vec<u16>,
    /// How long.
    pub time: Duration,
}

/// One request at a time asks the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLock {
    /// Others wait so long, then ask, too; their answers are not kept.
    pub timeout: Duration,
    /// After this time another one asks.
    pub age: Duration,
}

impl Default for CacheLock {
    fn default() -> CacheLock {
        CacheLock { timeout: Duration::from_secs(5), age: Duration::from_secs(5) }
    }
}

/// When an answer that is not fresh any more may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UseStale {
    /// The server cannot be reached, or breaks off.
    pub error: bool,
    /// The server is too slow.
    pub timeout: bool,
    /// The server answers what is no HTTP.
    pub invalid_header: bool,
    /// While somebody fetches it anew.
    pub updating: bool,
    /// The server answers with one of these.
    pub statuses: Vec<u16>,
}

/// What in answers has no say in their keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CacheIgnore {
    pub x_accel_expires: bool,
    pub expires: bool,
    pub cache_control: bool,
    pub set_cookie: bool,
    pub vary: bool,
}

impl Cache {
    /// A cache with nginx's defaults.
    pub fn of(zone: &str) -> Cache {
        Cache {
            zone: CacheName::Fixed(zone.into()),
            key: None,
            methods: Vec::new(),
            valid: Vec::new(),
            bypass: Vec::new(),
            no_store: Vec::new(),
            min_uses: 1,
            lock: None,
            use_stale: UseStale::default(),
            background_update: false,
            revalidate: false,
            convert_head: true,
            max_range_offset: None,
            ignore: CacheIgnore::default(),
            guard_authorization: true,
        }
    }

    /// How long an answer of this status is fresh when it does not say so itself.
    pub fn valid_for(&self, status: u16) -> Option<Duration> {
        let fits = |valid: &&CacheValid| valid.statuses.is_empty() || valid.statuses.contains(&status);
        self.valid.iter().find(fits).map(|valid| valid.time)
    }

    /// True when answers to this method may be kept and used.
    pub fn takes(&self, method: &[u8]) -> bool {
        matches!(method, b"GET" | b"HEAD") || self.methods.iter().any(|known| known.as_bytes() == method)
    }
}

/// What the cache had to do with an answer (`$upstream_cache_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// It was not there; the server answered.
    Miss,
    /// It was not asked.
    Bypass,
    /// It was not fresh any more; the server answered.
    Expired,
    /// It was not fresh any more, and was used all the same.
    Stale,
    /// The same, while somebody fetches it anew.
    Updating,
    /// The server said that it still holds.
    Revalidated,
    /// It was there.
    Hit,
}

impl CacheStatus {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            CacheStatus::Miss => "MISS",
            CacheStatus::Bypass => "BYPASS",
            CacheStatus::Expired => "EXPIRED",
            CacheStatus::Stale => "STALE",
            CacheStatus::Updating => "UPDATING",
            CacheStatus::Revalidated => "REVALIDATED",
            CacheStatus::Hit => "HIT",
        }
    }
}
