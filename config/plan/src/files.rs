//! Answers made from files, and what is done to the head of any answer before it leaves: freshness, added fields,
//! conditions, ranges, compression by content type, pace.
//!
//! Read by the crate `files`, which decides, and by `web`, which sends. Dialects fill it in, with inheritance done.

use crate::rule::Template;
use regex::bytes::Regex;
use std::collections::HashMap;
use std::sync::Arc;

/// Where the files of a location are and how they are given.
#[derive(Clone, Debug)]
pub struct Files {
    /// Where they are.
    pub root: Root,
    /// Names tried in a folder, in order. One that begins with `/` leads to that path instead of being tried.
    pub index: Arc<[Template]>,
    /// Folders without an index are listed.
    pub listing: Option<Listing>,
    /// Content types by the ending of the name.
    pub types: Arc<Types>,
    /// Answers get an entity tag made of time and length.
    pub tags: bool,
    /// A file that is not there is worth a line in the error log.
    pub log_missing: bool,
    /// A compressed file lies beside the file.
    pub precompressed: Precompressed,
    /// What symbolic links below the root may do.
    pub symlinks: Symlinks,
    /// The kernel copies from the file to the socket (sendfile(2)).
    pub sendfile: bool,
}

/// From a path to a file.
#[derive(Clone, Debug)]
pub enum Root {
    /// The path is put behind this folder.
    Below(Template),
    /// The first `replaced` bytes of the path are replaced by this text.
    Instead {
        /// The text.
        folder: Template,
        /// Length of the location's name, bytes.
        replaced: usize,
    },
    /// This is the file, whatever the path is.
    Exactly(Template),
}

/// How folders are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The format.
    pub format: ListingFormat,
    /// Lengths in bytes, not in K, M and G.
    pub exact_lengths: bool,
    /// Times in the server's zone, not in UTC.
    pub local_times: bool,
}

/// The format of a list of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingFormat {
    /// A page.
    Html,
    /// An array of objects.
    Json,
    /// A list of elements.
    Xml,
}

/// Content types.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// By the ending of the file's name, in small letters and without the dot.
    pub by_ending: HashMap<Box<[u8]>, Box<[u8]>>,
    /// For all other endings.
    pub other: Box<[u8]>,
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

/// How long an answer is fresh: `Expires` and `Cache-Control`.
#[derive(Clone, Debug, Default)]
pub enum Freshness {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// As said.
    Fixed(Fresh),
    /// Read from this text when the answer leaves; text that is no such word says nothing.
    Computed {
        /// The text.
        text: Template,
        /// Counted from the date of the last change.
        from_change: bool,
    },
}

/// How long an answer is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// Nothing is said.
    Off,
    /// It was stale in 1970.
    Epoch,
    /// Ten years.
    Max,
    /// Seconds from now; negative: stale.
    FromNow(i64),
    /// Seconds from the date of the last change, from now without one.
    FromChange(i64),
    /// Until this second of the day, in the server's zone.
    Daily(u32),
}

/// A field added to answers.
#[derive(Clone, Debug)]
pub struct AddedField {
    /// Its name.
    pub name: Box<str>,
    /// Its value; when empty the field is not added.
    pub value: Template,
    /// Added whatever the status is; otherwise to successes and redirects.
    pub always: bool,
}

/// What is added to the heads of answers.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Freshness.
    pub freshness: Freshness,
    /// Fields, in order.
    pub fields: Vec<AddedField>,
    /// Fields behind the body, in order.
    pub trailers: Vec<AddedField>,
}

impl Additions {
    /// Nothing is added.
    pub fn is_empty(&self) -> bool {
        matches!(self.freshness, Freshness::Unsaid) && self.fields.is_empty() && self.trailers.is_empty()
    }
}

/// Compression of answers by content type.
#[derive(Clone, Debug)]
pub struct Gzip {
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

/// How fast a body leaves.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Bytes a second; 0 or no number = as fast as can be.
    pub rate: Template,
    /// Bytes that leave before, as fast as can be.
    pub after: Template,
}
