//! A file of the cache: a head with a version and a checksum, then the body.
//!
//! ```text
//!   0  8  "MainCach"
//!   8  4  version, little endian as all numbers
//!  12  4  length of the record: from byte 24 to the body, with zeros at its end
//!  16  8  checksum of the record (XXH3, 64 bits)
//!  24     record: length of the body, times, flags, status, variant, key, vary, reason, fields
//! ```
//!
//! Bytes of a file may be anything: whatever does not fit is no answer of ours, and the file counts as not there.

use crate::Key;
use crate::entry::{Life, Record};
use twox_hash::XxHash3_64;
use wire::http1::ResponseHead;

/// Bytes before the record.
pub const PREFIX: usize = 24;
/// Longest record, bytes.
pub const LONGEST: usize = 1 << 20;
/// Most fields of a head.
const MOST_FIELDS: usize = 4096;
const MAGIC: &[u8; 8] = b"MainCach";
const VERSION: u32 = 1;
/// Records are filled up to a multiple of this, so that a confirmed answer's new fields often fit.
const STEP: usize = 256;
/// The answer itself said how long it is fresh.
const SAID: u32 = 1;

/// All bytes before the body; `None` when the record would be too long. `at_least` = a length of the whole that it must
/// have, if it fits.
pub fn encode(record: &Record, body: u64, at_least: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; PREFIX];
    let life = &record.life;
    for number in [body, life.stored, life.age, life.fresh, life.updating, life.error] {
        out.extend(number.to_le_bytes());
    }
    out.extend((if life.said { SAID } else { 0 }).to_le_bytes());
    out.extend(record.head.status.to_le_bytes());
    out.extend(record.variant.0);
    for text in [&record.key, &record.vary] {
        put(&mut out, text);
    }
    put(&mut out, record.head.reason());
    out.extend((record.head.fields.len() as u32).to_le_bytes());
    for (name, value) in record.head.fields.pairs() {
        put(&mut out, name);
        put(&mut out, value);
    }
    let length = (out.len() - PREFIX).next_multiple_of(STEP).max(at_least.saturating_sub(PREFIX));
    if length > LONGEST || record.head.fields.len() > MOST_FIELDS {
        return None;
    }
    out.resize(PREFIX + length, 0);
    seal(&mut out);
    Some(out)
}

/// Bytes of a record as they stand in a file, be they right or wrong.
pub fn frame(record: &[u8]) -> Vec<u8> {
    let mut out = [&[0; PREFIX], record].concat();
    seal(&mut out);
    out
}

/// Fills in what stands before the record.
fn seal(out: &mut [u8]) {
    let length = (out.len() - PREFIX) as u32;
    let sum = XxHash3_64::oneshot(&out[PREFIX..]);
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&length.to_le_bytes());
    out[16..24].copy_from_slice(&sum.to_le_bytes());
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text);
}

/// Where the body begins, from the first [`PREFIX`] bytes of a file; `None` when it is not one of ours.
pub fn body_start(prefix: &[u8]) -> Option<usize> {
    let mut from = Reader(prefix);
    if from.take(8)? != MAGIC || from.number32()? != VERSION {
        return None;
    }
    let length = from.number32()? as usize;
    (length <= LONGEST).then_some(PREFIX + length)
}

/// Reads all bytes before the body: the record and the length of the body.
pub fn decode(bytes: &[u8]) -> Option<(Record, u64)> {
    let start = body_start(bytes)?;
    let (prefix, record) = (bytes.get(..PREFIX)?, bytes.get(PREFIX..start)?);
    if prefix[16..24] != XxHash3_64::oneshot(record).to_le_bytes() {
        return None;
    }
    read(&mut Reader(record))
}

fn read(from: &mut Reader<'_>) -> Option<(Record, u64)> {
    let body = from.number64()?;
    let (stored, age, fresh) = (from.number64()?, from.number64()?, from.number64()?);
    let (updating, error) = (from.number64()?, from.number64()?);
    let said = from.number32()? & SAID != 0;
    let status = u16::from_le_bytes(*from.take(2)?.first_chunk()?);
    let variant = Key(*from.take(16)?.first_chunk()?);
    let (key, vary) = (from.text()?.into(), from.text()?.into());
    if !(200..=599).contains(&status) {
        return None;
    }
    let mut head = ResponseHead::new(status, from.text()?);
    let count = from.number32()? as usize;
    if count > MOST_FIELDS {
        return None;
    }
    for _ in 0..count {
        let (name, value) = (from.text()?, from.text()?);
        if !head.fields.append(name, value) {
            return None;
        }
    }
    let life = Life { stored, age, fresh, updating, error, said };
    Some((Record { key, head, life, vary, variant }, body))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn number64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number32()? as usize;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Record {
        let mut head = ResponseHead::new(404, b"Nothing here");
        head.fields.append(b"ETag", b"\"x\"");
        head.fields.append(b"X-Empty", b"");
        let life = Life { stored: 1, age: 2, fresh: 3, updating: 4, error: 5, said: true };
        let (key, vary) = (b"http://a/b"[..].into(), b"accept"[..].into());
        Record { key, head, life, vary, variant: Key::of(b"v") }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = encode(&sample(), 77, 0).unwrap();
        assert_eq!(bytes.len(), PREFIX + STEP);
        assert_eq!(body_start(&bytes), Some(bytes.len()));
        let (read, body) = decode(&bytes).unwrap();
        let before = sample();
        assert_eq!((body, read.life, read.variant), (77, before.life, before.variant));
        assert_eq!((read.key, read.vary), (before.key, before.vary));
        assert_eq!((read.head.status, read.head.reason()), (404, &b"Nothing here"[..]));
        assert!(read.head.fields.pairs().eq(before.head.fields.pairs()));
    }

    #[test]
    fn no_other_bytes_are_taken_for_an_answer() {
        let bytes = encode(&sample(), 77, 1000).unwrap();
        assert_eq!(bytes.len(), 1000);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_none(), "{end}");
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x11;
            assert!(decode(&bytes).is_none(), "{at}");
        }
    }

    /// With a right checksum, too.
    #[test]
    fn lies_in_a_record_are_seen() {
        let good = encode(&sample(), 77, 0).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(PREFIX..bytes.len());
                bytes[at] = random.u8(..);
            }
            seal(&mut bytes);
            if let Some((record, body)) = decode(&bytes) {
                let again = encode(&record, body, 0).unwrap();
                assert_eq!(decode(&again).unwrap().1, body);
            }
        }
    }

    /// The seed of the fuzz target is what is written now.
    #[test]
    fn the_seed_is_of_this_version() {
        let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/cache_file/answer");
        assert_eq!(std::fs::read(seed).unwrap(), encode(&sample(), 77, 0).unwrap());
    }

    #[test]
    fn records_are_bounded() {
        let mut record = sample();
        record.key = vec![b'x'; LONGEST].into();
        assert!(encode(&record, 0, 0).is_none());
    }
}
