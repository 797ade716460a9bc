//! How answers leave: conditions, parts, compression by content type, ways out of a file.
//!
//! Read by the crate `files`, which decides, and by `web`, which sends.

use regex::bytes::Regex;
use std::sync::Arc;

/// How answers leave.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Conditions and parts.
    pub partial: Partial,
    /// Answers from files get an entity tag made of time and length.
    pub tags: bool,
    /// The kernel copies from the file to the socket (sendfile(2)).
    pub sendfile: bool,
    /// A compressed file lies beside the file.
    pub precompressed: Precompressed,
    /// Compression on the way, and who may have compressed content at all.
    pub gzip: Arc<Gzip>,
    /// Bodies of unknown length go in chunks to clients that speak HTTP/1.1; otherwise the end of the connection ends
    /// them.
    pub chunks: bool,
    /// The charset that content types name.
    pub charset: Option<Arc<Charset>>,
}

/// The charset that content types name.
#[derive(Clone, Debug)]
pub struct Charset {
    /// Its name.
    pub name: Box<str>,
    /// For these types, in small letters; `None` = all.
    pub types: Option<Arc<[Box<str>]>>,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            partial: Partial::default(),
            tags: true,
            sendfile: false,
            precompressed: Precompressed::No,
            gzip: Arc::default(),
            chunks: true,
            charset: None,
        }
    }
}

/// Use of `NAME.gz` beside `NAME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precompressed {
    /// None.
    #[default]
    No,
    /// For clients that take it.
    Accepted,
    /// For all clients.
    Always,
}

/// What symbolic links below the root may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// They are followed.
    #[default]
    Follow,
    /// A path with one is forbidden.
    Refuse,
    /// A path with one is forbidden when link and target have different owners.
    SameOwner,
}

/// Which answers need not be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModifiedSince {
    /// `If-Modified-Since` is not looked at.
    Ignored,
    /// Only the very same date.
    #[default]
    Exact,
    /// This date or a later one.
    Before,
}

/// Conditions and parts of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// How `If-Modified-Since` is understood.
    pub modified_since: ModifiedSince,
    /// Most ranges in one answer; 0 = ranges are not given, `None` = no limit.
    pub most_ranges: Option<u32>,
}

/// Compression of answers by content type.
#[derive(Clone, Debug)]
pub struct Gzip {
    /// Answers are compressed on the way.
    pub on: bool,
    /// Content types, without parameters and in small letters; `None` = all.
    pub types: Option<Arc<[Box<str>]>>,
    /// Bodies known to be shorter are left as they are, bytes.
    pub least_bytes: u64,
    /// Effort, 1 to 9.
    pub level: u32,
    /// Clients that speak HTTP/1.0 get it, too.
    pub http10: bool,
    /// For requests with `Via`: what of it may be compressed.
    pub proxied: Proxied,
    /// `Vary: Accept-Encoding` is said.
    pub vary: bool,
    /// Clients whose `User-Agent` matches are spared.
    pub spared: Vec<Regex>,
    /// Microsoft's browsers in versions 4 to 6 are spared.
    pub spare_old_msie: bool,
}

impl Default for Gzip {
    fn default() -> Self {
        Gzip {
            on: false,
            types: Some(["text/html".into()].into()),
            least_bytes: 20,
            level: 1,
            http10: false,
            proxied: Proxied::default(),
            vary: false,
            spared: Vec::new(),
            spare_old_msie: false,
        }
    }
}

/// Which answers to requests through proxies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// All.
    pub any: bool,
    /// Those that have expired.
    pub expired: bool,
    /// Those with `Cache-Control: no-cache`.
    pub no_cache: bool,
    /// Those with `Cache-Control: no-store`.
    pub no_store: bool,
    /// Those with `Cache-Control: private`.
    pub private: bool,
    /// Not those with a date of the last change.
    pub no_last_modified: bool,
    /// Not those with an entity tag.
    pub no_tag: bool,
    /// Those to requests with credentials.
    pub auth: bool,
}
