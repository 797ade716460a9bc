//! Answers of name servers: read without a panic, and never taken for the answer to another question.

/// Checks one input: the bytes of a message.
pub fn check(data: &[u8]) {
    let taken = discovery::read_any(data);
    let plain = discovery::read_plain(data, id(data));
    // Whoever cannot read our question cannot answer it: with another id nothing is taken.
    let mut other = data.to_vec();
    if let Some(first) = other.first_mut() {
        *first ^= 0x80;
        assert!(taken == 0 || discovery::read_as(&other, id(data)) == 0);
        assert!(plain == 0 || discovery::read_plain(&other, id(data)) == 0);
    }
}

fn id(data: &[u8]) -> u16 {
    data.first_chunk().map_or(0, |id| u16::from_be_bytes(*id))
}
