//! HTTP/1 on the wire (RFC 9110, RFC 9112): heads in, heads out, chunked bodies. Called by `web`, `health` and `admin`.
//!
//! One parser decides, and what leaves is written from the parsed form: no received head is ever passed on as
//! received. Everything is strict: a head that two readers could understand differently is refused.
//!
//! ```text
//!   bytes ──► parse_request ──► RequestHead ──(rules edit it)──► write_request ──► bytes
//!   bytes ──► Chunked::next ──► where the data lies              write_chunk_size ──► bytes
//! ```

mod bytes;
mod chunked;
pub mod date;
mod error;
mod escape;
mod fields;
mod framing;
mod host;
mod manners;
mod name;
mod path;
mod request;
mod response;
mod scan;
mod target;
mod write;

pub use bytes::{is_token, tokens};
pub use chunked::{
    Chunk, ChunkError, ChunkErrorKind, Chunked, DATA_END, EXTENSION_BYTES, TRAILER_BYTES, TRAILER_FIELDS,
    write_chunk_size, write_last_chunk,
};
pub use error::{HeadError, HeadErrorKind};
pub use escape::{Escape, escape, escape_html, escape_into, unescape, unescape_redirect};
pub use fields::{Field, Fields, Span};
pub use host::{host_name, is_valid_host, split_port};
pub use manners::{Hosts, Manners, Names, Statuses};
pub use name::Name;
pub use path::{BadPath, Internal, Normalized, internal_target, normalize_target};
pub use request::{RequestHead, parse_request};
pub use response::{RequestKind, ResponseHead, parse_response, reason_of};
pub use target::Scheme;
pub use write::{Connection, Keep, RequestEdit, ResponseEdit, write_request, write_response};

/// How much head we are willing to read, and how strictly. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole head, from the first byte to the empty line. Over it: 431.
    pub head_bytes: usize,
    /// Number of header fields. Over it: 431.
    pub fields: usize,
    /// The request target. Over it: 414.
    pub target_bytes: usize,
    /// One field name. Over it: 431.
    pub name_bytes: usize,
    /// One line with its end. Over it: 414 for the first, 431 for a field.
    pub line_bytes: usize,
    /// What is let in beyond the strict grammar.
    pub manners: Manners,
}

impl Limits {
    /// What we accept from a server: twice what we accept from a client.
    pub fn response() -> Self {
        Limits { head_bytes: 65_536, fields: 200, ..Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes: 32_768,
            fields: 100,
            target_bytes: 8_192,
            name_bytes: 256,
            line_bytes: usize::MAX,
            manners: Manners::default(),
        }
    }
}

/// The protocol versions we speak with this module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// One request per connection unless `Connection: keep-alive`; no chunked bodies.
    Http10,
    /// The usual one.
    #[default]
    Http11,
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    #[default]
    None,
    /// This many bytes follow.
    Length(u64),
    /// Chunks follow; see [`Chunked`].
    Chunked,
    /// The body ends when the sender closes. Only in responses.
    UntilClose,
}

/// What a parser found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Good so far, but not the whole head. Call again with the same bytes and more behind them.
    Partial,
    /// The head is read; what follows belongs to the body or the next message.
    Complete {
        /// Bytes of the input that were the head.
        consumed: usize,
    },
}
