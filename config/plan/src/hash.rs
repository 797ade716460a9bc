//! Hash functions of keys, for balancing and for converters. They give the same numbers as HAProxy's.

/// Robert Jenkins' 32-bit integer hash with full avalanche (public domain), spread once more over the whole
/// range by an odd factor near three quarters of it.
pub fn avalanche(value: u32) -> u32 {
    let a = value.wrapping_add(0x7ed5_5d16).wrapping_add(value << 12);
    let a = a ^ 0xc761_c23c ^ (a >> 19);
    let a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    let a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    let a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    (a ^ 0xb55a_4f09 ^ (a >> 16)).wrapping_mul(0xc000_0001)
}

/// Ozan Yigit's sdbm: multiplier 65599.
pub fn sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &byte| hash.wrapping_mul(65_599).wrapping_add(byte.into()))
}

/// Daniel J. Bernstein's: times 33, from 5381.
pub fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
}

/// Two registers that rotate each other by amounts taken from the data.
pub fn wt6(key: &[u8]) -> u32 {
    let (mut low, mut high) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut left, mut right) = (6, 18);
    for &byte in key {
        let mixed = !(low ^ u32::from(byte));
        let summed = !high.wrapping_add(byte.into());
        (low, high) = (summed.rotate_left(left), mixed.rotate_left(right));
        let steps = ((low >> 16) ^ high) & 0xffff;
        (left, right) = (steps & 31, steps >> 11);
    }
    low ^ high
}

/// Austin Appleby's MurmurHash2, seed 0 (public domain).
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut chunks = key.chunks_exact(4);
    let mut hash = key.len() as u32;
    for chunk in chunks.by_ref() {
        let word = chunk.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

/// CRC-32 of ISO 3309, reflected polynomial 0xedb88320.
pub fn crc32(key: &[u8]) -> u32 {
    crc(key, 0xedb8_8320)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78.
pub fn crc32c(key: &[u8]) -> u32 {
    crc(key, 0x82f6_3b78)
}

fn crc(key: &[u8], polynomial: u32) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
    !key.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(djb2(b""), 5381);
        assert_eq!(djb2(b"a"), 177_670);
        assert_eq!(sdbm(b"a"), 97);
        assert_eq!(wt6(b"abc"), 2_483_038_440);
        assert_eq!(avalanche(wt6(b"abc")), 266_135_527);
    }
}
