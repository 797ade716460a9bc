//! PROXY headers: the same judgement at every length once it is made, within bounds, and written as they are read.

use crate::input;
use wire::proxy::{Parsed, Peers, ProxyError, V1_BYTES, V2_BYTES, parse, write_v1, write_v2};

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some(input) = input::read(data) else { return };
    let whole = judged(input.payload);
    let first = (0..=input.payload.len()).map(|end| judged(&input.payload[..end])).find(Option::is_some);
    assert_eq!(first.flatten(), whole);
    if let Some(Ok((peers, consumed))) = whole {
        let longest = if input.payload.starts_with(b"PROXY") { V1_BYTES } else { V2_BYTES };
        assert!(consumed <= input.payload.len().min(longest));
        assert_eq!(judged(&input.payload[..consumed - 1]), None);
        written_is_read(peers);
    }
}

fn judged(bytes: &[u8]) -> Option<Result<(Peers, usize), ProxyError>> {
    match parse(bytes) {
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Complete { header, consumed }) => Some(Ok((header.peers, consumed))),
        Err(error) => Some(Err(error)),
    }
}

fn written_is_read(peers: Peers) {
    for write in [write_v1, write_v2] {
        let mut out = Vec::new();
        write(&mut out, &peers);
        assert_eq!(judged(&out), Some(Ok((peers, out.len()))));
    }
}
