//! Heads of files in a cache: read without a panic, bounded, and what was read is written and read again as it was.

use cache::format::{self, PREFIX};

/// Checks one input: the bytes of a file.
pub fn check(data: &[u8]) {
    once(data);
    // With a right frame around it, the record itself is reached.
    let length = data.len().min(format::LONGEST);
    let framed = format::frame(&data[..length]);
    assert_eq!(format::body_start(&framed), Some(PREFIX + length));
    once(&framed);
}

fn once(data: &[u8]) {
    let Some((record, body)) = format::decode(data) else { return };
    let again = format::encode(&record, body, 0).expect("it was short enough to be read");
    let (other, length) = format::decode(&again).expect("what is written is read");
    assert_eq!((length, other.life, other.variant), (body, record.life, record.variant));
    assert_eq!((&other.key, &other.vary), (&record.key, &record.vary));
    assert!(other.head.fields.pairs().eq(record.head.fields.pairs()));
}
