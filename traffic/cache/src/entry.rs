//! An answer that is kept.

use crate::Key;
use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;
use wire::http1::{Name, ResponseHead};

/// An answer that is kept; it never changes, a newer one takes its place.
#[derive(Debug)]
pub struct Entry {
    /// All but the body.
    pub record: Record,
    /// Its body.
    pub body: Body,
}

impl Deref for Entry {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// All of an answer but its body.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What it is kept under, whole.
    pub key: Box<[u8]>,
    /// Status and fields, without those of one connection.
    pub head: ResponseHead,
    /// How long it holds.
    pub life: Life,
    /// Names of the request's fields that it depends on, or empty.
    pub vary: Box<[u8]>,
    /// What these fields said when it was fetched.
    pub variant: Key,
}

/// A body that is kept.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Memory(Arc<[u8]>),
    /// In an open file; it stays readable when the file is removed.
    File {
        /// The file.
        file: Arc<File>,
        /// First byte in it.
        start: u64,
        /// Bytes.
        length: u64,
    },
}

impl Body {
    /// Bytes.
    pub fn length(&self) -> u64 {
        match self {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File { length, .. } => *length,
        }
    }
}

/// How long an answer holds; milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// When it came.
    pub stored: u64,
    /// Its age when it came.
    pub age: u64,
    /// Fresh before this.
    pub fresh: u64,
    /// Before this it may be used while it is fetched anew (RFC 5861, 3).
    pub updating: u64,
    /// Before this it may be used when the server fails (RFC 5861, 4).
    pub error: u64,
    /// The answer itself said how long it is fresh: then clients learn its age.
    pub said: bool,
}

impl Life {
    /// Its age in seconds at `now`, for the field `Age` (RFC 9111, 4.2.3).
    pub fn age_at(&self, now: u64) -> u64 {
        (self.age + now.saturating_sub(self.stored)) / 1000
    }
}

impl Record {
    /// True before it becomes stale.
    pub fn is_fresh(&self, now: u64) -> bool {
        now < self.life.fresh
    }

    /// True while it may be used because somebody fetches it anew.
    pub fn may_serve_updating(&self, now: u64) -> bool {
        now < self.life.updating
    }

    /// True while it may be used because the server fails.
    pub fn may_serve_error(&self, now: u64) -> bool {
        now < self.life.error
    }

    /// `ETag` to ask with, of answers that can be asked about.
    pub fn etag(&self) -> Option<&[u8]> {
        (self.head.status == 200).then(|| self.head.fields.find(Name::Etag))?
    }

    /// `Last-Modified` to ask with, of answers that can be asked about.
    pub fn last_modified(&self) -> Option<&[u8]> {
        (self.head.status == 200).then(|| self.head.fields.find(Name::LastModified))?
    }

    /// Memory besides the body.
    pub(crate) fn head_bytes(&self) -> u64 {
        let fields: usize = self.head.fields.pairs().map(|(name, value)| name.len() + value.len() + 24).sum();
        (fields + self.key.len() + self.vary.len() + 256) as u64
    }
}
