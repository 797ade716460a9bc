//! Compression of bodies on their way: what is compressed, and how.

/// What a site or a pool compresses. Where both say something, the pool's word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// Bodies of answers, for clients that ask for it (`Accept-Encoding`).
    pub responses: Squeeze,
    /// Bodies of requests, towards servers; of several codings the first counts.
    pub requests: Squeeze,
    /// Servers are not told that the client takes compressed answers, so that they do not compress.
    pub offload: bool,
}

/// What is compressed in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Squeeze {
    /// Codings that may be used, the preferred one first; empty = nothing is compressed.
    pub codings: Vec<Coding>,
    /// Beginnings of the content types that are compressed; empty = all but `multipart`.
    pub types: Vec<String>,
    /// Bodies known to be shorter are left as they are, bytes.
    pub least_bytes: u64,
}

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not compressed, but sent in chunks all the same.
    Identity,
    /// `gzip` (RFC 1952).
    Gzip,
    /// `deflate` as it is meant: in the format of zlib (RFC 1950).
    Deflate,
    /// `deflate` as some browsers take it: without a frame (RFC 1951).
    RawDeflate,
}

impl Coding {
    /// Its name in `Content-Encoding` and `Accept-Encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate | Coding::RawDeflate => "deflate",
        }
    }
}

/// Limits of compression in the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionLimits {
    /// Effort, 1 to 9; `None` = 1.
    pub level: Option<u32>,
    /// Bytes into compression per second above which bodies are left as they are; `None` = no limit.
    pub bytes_per_second: Option<u64>,
}
