//! Hash functions of keys. They give the same numbers as HAProxy's, so that a key lands on the same server.

use plan::hash::{crc32, djb2, sdbm, wt6};
use plan::pool::{HashFunction, HashKind};

pub use plan::hash::avalanche;

/// Hash of `key` as `kind` says.
pub fn hash(kind: HashKind, key: &[u8]) -> u32 {
    let hash = match kind.function {
        HashFunction::Sdbm => sdbm(key),
        HashFunction::Djb2 => djb2(key),
        HashFunction::Wt6 => wt6(key),
        HashFunction::Crc32 => crc32(key),
        HashFunction::None => number(key),
    };
    if kind.avalanche { avalanche(hash) } else { hash }
}

/// Hash of a client address: its 32-bit words folded into one. The hash function does not apply.
pub fn address(kind: HashKind, octets: &[u8]) -> u32 {
    let fold = |hash: u32, word: &[u8; 4]| hash ^ u32::from_be_bytes(*word);
    let hash = octets.as_chunks::<4>().0.iter().fold(0, fold);
    if kind.avalanche { avalanche(hash) } else { hash }
}

/// The key read as a decimal number, as far as it is one.
fn number(key: &[u8]) -> u32 {
    let digits = key.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n: u32, b| n.wrapping_mul(10).wrapping_add(u32::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(number(b"123x"), 123);
        assert_eq!(address(HashKind::default(), &[127, 0, 0, 1]), 0x7f00_0001);
        assert_eq!(address(HashKind::default(), &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 8]), 15);
    }
}
