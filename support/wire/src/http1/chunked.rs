//! The chunked transfer coding (RFC 9112 section 7.1). Read by `web` for both directions.
//!
//! ```text
//!            digits      ;ext          CRLF            all data        CRLF
//!  Size ───► Size ──► Extension ──► SizeLf ──► Data ──► DataCr ──► DataLf ──► Size
//!                                     │ size 0
//!                                     └──────► Trailer (one line after another) ──► End
//! ```

use super::bytes::{is_space, is_token_byte, trim};
use super::framing::LONGEST_BODY;
use super::scan::field_name;
use super::{Fields, Name};

/// What a sender may waste on chunk extensions in one message, in bytes.
pub const EXTENSION_BYTES: usize = 16 * 1024;
/// Longest trailer section, in bytes.
pub const TRAILER_BYTES: usize = 8 * 1024;
/// Most trailer fields.
pub const TRAILER_FIELDS: usize = 100;
/// What follows the data of each chunk.
pub const DATA_END: &[u8] = b"\r\n";

const SIZE_DIGITS: u8 = 16;

/// A decoder that walks the input and keeps none of the data.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_lines: usize,
    line: Vec<u8>,
    trailers: Fields,
}

/// What the decoder found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// All input was framing and is used up; give more.
    Need {
        /// The length of the input.
        consumed: usize,
    },
    /// Data lies at `input[skip..skip + len]`; go on behind it.
    Data {
        /// Framing in front of the data.
        skip: usize,
        /// Bytes of data, at least one.
        len: usize,
    },
    /// The message is over; what follows belongs to the next one.
    End {
        /// Bytes of the input that belonged to this message.
        consumed: usize,
    },
}

/// A body that cannot be trusted. The message is cut and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkError {
    /// The answer for a client, if none was sent yet: 400, 413 or 431.
    pub status: u16,
    /// For the log, in words.
    pub reason: &'static str,
    /// The cause, for counting.
    pub kind: ChunkErrorKind,
}

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkErrorKind {
    /// The size is not 1 to 16 hex digits, or not followed by what must follow.
    BadSize,
    /// The size is over 2^63-1.
    TooBig,
    /// A malformed extension.
    BadExtension,
    /// More extension bytes than [`EXTENSION_BYTES`].
    ExtensionsTooBig,
    /// A line does not end in CRLF, or data is not followed by CRLF.
    BadLineEnd,
    /// A malformed trailer field.
    BadTrailer,
    /// More trailers than [`TRAILER_BYTES`] or [`TRAILER_FIELDS`].
    TrailersTooBig,
}

/// Writes the line in front of a chunk's data. Behind the data belongs [`DATA_END`]. Never write a chunk of length 0.
pub fn write_chunk_size(out: &mut Vec<u8>, len: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[len >> (digit * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk, the trailers that are allowed there, and the final empty line.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.iter().filter(|field| field.id.is_trailer(trailers.name(field))) {
        super::write::write_field(out, trailers.name(field), trailers.value(field));
    }
    out.extend_from_slice(b"\r\n");
}

impl Chunked {
    /// At the start of a body.
    pub fn new() -> Chunked {
        Chunked::default()
    }

    /// Back to the start of a body, keeping the memory.
    pub fn clear(&mut self) {
        self.line.clear();
        self.trailers.clear();
        *self = Chunked {
            line: std::mem::take(&mut self.line),
            trailers: std::mem::take(&mut self.trailers),
            ..Chunked::default()
        };
    }

    /// Has the whole body been read?
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// The trailer fields read so far, without those that may not be trailers.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Walks the input up to the next data, the end, or its own end. Give what follows the consumed part next time.
    ///
    /// # Errors
    /// At the first byte that does not belong. The decoder is then of no use.
    #[allow(clippy::should_implement_trait)] // it takes input, so it is no iterator
    pub fn next(&mut self, input: &[u8]) -> Result<Chunk, ChunkError> {
        let mut at = 0;
        while at < input.len() {
            match &mut self.state {
                State::Data { left } => {
                    let len =
                        usize::try_from(*left).map_or(input.len() - at, |left| left.min(input.len() - at));
                    *left -= len as u64;
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Chunk::Data { skip: at, len });
                }
                State::End => return Ok(Chunk::End { consumed: at }),
                _ => self.state = self.step(input[at])?,
            }
            at += 1;
        }
        match self.state {
            State::End => Ok(Chunk::End { consumed: at }),
            _ => Ok(Chunk::Need { consumed: at }),
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size { digits, size } => size_byte(digits, size, byte),
            State::Extension { part, size } => self.extension_byte(part, size, byte),
            State::SizeLf { size: 0 } => line_feed(byte, State::Trailer),
            State::SizeLf { size } => line_feed(byte, State::Data { left: size }),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataCr => Err(ChunkErrorKind::BadLineEnd.because("data is longer than its chunk")),
            State::DataLf => line_feed(byte, State::default()),
            State::Trailer => self.trailer_byte(byte),
            State::TrailerLf => line_feed(byte, State::Trailer).and_then(|_| self.trailer_line()),
            State::Data { .. } | State::End => Ok(self.state),
        }
    }

    fn extension_byte(&mut self, part: Extension, size: u64, byte: u8) -> Result<State, ChunkError> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES {
            return Err(ChunkErrorKind::ExtensionsTooBig.because("chunk extensions over their limit"));
        }
        if byte == b'\r' && part.may_end() {
            return Ok(State::SizeLf { size });
        }
        match part.next(byte) {
            Some(part) => Ok(State::Extension { part, size }),
            None => Err(ChunkErrorKind::BadExtension.because("malformed chunk extension")),
        }
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES {
            return Err(ChunkErrorKind::TrailersTooBig.because("trailers over their limit"));
        }
        match byte {
            b'\r' => return Ok(State::TrailerLf),
            _ if !super::bytes::is_value_byte(byte) => {
                return Err(ChunkErrorKind::BadTrailer.because("control byte in a trailer"));
            }
            _ if is_space(byte) && self.line.is_empty() => {
                return Err(ChunkErrorKind::BadTrailer.because("trailer starts with white space"));
            }
            _ => self.line.push(byte),
        }
        Ok(State::Trailer)
    }

    fn trailer_line(&mut self) -> Result<State, ChunkError> {
        if self.line.is_empty() {
            return Ok(State::End);
        }
        self.trailer_lines += 1;
        if self.trailer_lines > TRAILER_FIELDS {
            return Err(ChunkErrorKind::TrailersTooBig.because("too many trailers"));
        }
        let name =
            field_name(&self.line).map_err(|error| ChunkErrorKind::BadTrailer.because(error.reason))?;
        if Name::of(name).is_trailer(name) {
            self.trailers.append(name, trim(&self.line[name.len() + 1..]));
        }
        self.line.clear();
        Ok(State::Trailer)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { part: Extension, size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    End,
}

impl Default for State {
    fn default() -> Self {
        State::Size { digits: 0, size: 0 }
    }
}

/// Where in `;name=value` we are; the last byte read decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    Semicolon,
    Name,
    NameSpace,
    Equals,
    Value,
    Quoted,
    Escaped,
    QuoteEnd,
    ValueSpace,
}

impl Extension {
    /// The white space the RFC calls bad is accepted between parts, not at the end of the line.
    fn next(self, byte: u8) -> Option<Extension> {
        use Extension::*;
        Some(match (self, byte) {
            (Quoted, b'"') => QuoteEnd,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, b'\t' | b' '..=b'~') => Quoted,
            (Quoted | Escaped, _) => return None,
            (Semicolon, b' ' | b'\t') => Semicolon,
            (Equals, b' ' | b'\t') => Equals,
            (Name | NameSpace, b' ' | b'\t') => NameSpace,
            (Value | QuoteEnd | ValueSpace, b' ' | b'\t') => ValueSpace,
            (Name | NameSpace | Value | QuoteEnd | ValueSpace, b';') => Semicolon,
            (Name | NameSpace, b'=') => Equals,
            (Equals, b'"') => Quoted,
            (Semicolon | Name, _) if is_token_byte(byte) => Name,
            (Equals | Value, _) if is_token_byte(byte) => Value,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Value | Extension::QuoteEnd)
    }
}

fn size_byte(digits: u8, size: u64, byte: u8) -> Result<State, ChunkError> {
    match (hex(byte), byte) {
        (Some(_), _) if digits == SIZE_DIGITS => {
            Err(ChunkErrorKind::TooBig.because("chunk size over 16 digits"))
        }
        (Some(digit), _) => match size.checked_mul(16).map(|size| size + digit) {
            Some(size) if size <= LONGEST_BODY => Ok(State::Size { digits: digits + 1, size }),
            _ => Err(ChunkErrorKind::TooBig.because("chunk size over 2^63-1")),
        },
        (None, b'\r') if digits > 0 => Ok(State::SizeLf { size }),
        (None, b';') if digits > 0 => Ok(State::Extension { part: Extension::Semicolon, size }),
        _ => Err(ChunkErrorKind::BadSize.because("chunk size is not hexadecimal")),
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn line_feed(byte: u8, then: State) -> Result<State, ChunkError> {
    match byte {
        b'\n' => Ok(then),
        _ => Err(ChunkErrorKind::BadLineEnd.because("CR without LF in a chunked body")),
    }
}

impl ChunkErrorKind {
    fn because(self, reason: &'static str) -> ChunkError {
        let status = match self {
            ChunkErrorKind::TooBig | ChunkErrorKind::ExtensionsTooBig => 413,
            ChunkErrorKind::TrailersTooBig => 431,
            _ => 400,
        };
        ChunkError { status, reason, kind: self }
    }
}

impl std::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for ChunkError {}
