//! As much of TLS (RFC 5246) as a health check needs: a greeting that servers of any age answer, and whether what they
//! answer is TLS. No session is ever made of it. Called by `health`.

/// Content type of a handshake record.
const HANDSHAKE: u8 = 0x16;
/// Content type of an alert record.
const ALERT: u8 = 0x15;

/// Cipher suites offered: forward-secret AEAD first, then what old servers know. Whichever is chosen, the answer counts.
const SUITES: [u16; 16] = [
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009e, 0x009f, 0xc009, 0xc013, 0xc00a, 0xc014, 0x0033,
    0x002f, 0x0035, 0x000a,
];

/// Curves offered: x25519, secp256r1, secp384r1.
const GROUPS: [u16; 3] = [0x001d, 0x0017, 0x0018];

/// Signatures offered: RSA-PSS, ECDSA, Ed25519 and RSA with SHA-256 and up, RSA and ECDSA with SHA-1.
const SIGNATURES: [u16; 11] =
    [0x0804, 0x0403, 0x0807, 0x0401, 0x0805, 0x0503, 0x0501, 0x0806, 0x0601, 0x0203, 0x0201];

/// What a server sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Too few bytes to tell.
    Partial,
    /// A handshake or an alert of TLS or SSL 3.
    Tls,
    /// Anything else.
    Other,
}

/// Writes a record with a ClientHello of TLS 1.2. `random` makes it new.
pub fn write_hello(out: &mut Vec<u8>, random: &[u8; 32]) {
    let mut hello = vec![0x03, 0x03];
    hello.extend_from_slice(random);
    hello.push(0); // No session to resume.
    list(&mut hello, &SUITES);
    hello.extend_from_slice(&[1, 0]); // No compression.
    let mut extensions = Vec::new();
    extension(&mut extensions, 0x000a, &listed(&GROUPS));
    extension(&mut extensions, 0x000b, &[1, 0]); // Uncompressed points.
    extension(&mut extensions, 0x000d, &listed(&SIGNATURES));
    extension(&mut extensions, 0xff01, &[0]); // Renegotiation is spoken of safely (RFC 5746).
    short(&mut hello, extensions.len());
    hello.extend_from_slice(&extensions);
    out.extend_from_slice(&[HANDSHAKE, 0x03, 0x01]);
    short(out, hello.len() + 4);
    out.extend_from_slice(&[1, 0]);
    short(out, hello.len());
    out.extend_from_slice(&hello);
}

/// Looks at the header of the first record.
pub fn parse_answer(buf: &[u8]) -> Answer {
    match buf {
        [] | [HANDSHAKE | ALERT] => Answer::Partial,
        [HANDSHAKE | ALERT, 3, ..] if buf.len() < 5 => Answer::Partial,
        [HANDSHAKE | ALERT, 3, ..] => Answer::Tls,
        _ => Answer::Other,
    }
}

fn short(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as u16).to_be_bytes());
}

fn list(out: &mut Vec<u8>, numbers: &[u16]) {
    short(out, numbers.len() * 2);
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
}

fn listed(numbers: &[u16]) -> Vec<u8> {
    let mut out = Vec::new();
    list(&mut out, numbers);
    out
}

fn extension(out: &mut Vec<u8>, number: u16, content: &[u8]) {
    out.extend_from_slice(&number.to_be_bytes());
    short(out, content.len());
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_of_a_hello_agree() {
        let mut out = Vec::new();
        write_hello(&mut out, &[7; 32]);
        let at = |i: usize| usize::from(u16::from_be_bytes([out[i], out[i + 1]]));
        assert_eq!(at(3) + 5, out.len());
        assert_eq!(at(7) + 9, out.len());
        let suites = 5 + 4 + 2 + 32 + 1;
        assert_eq!(at(suites), SUITES.len() * 2);
        let extensions = suites + 2 + SUITES.len() * 2 + 2;
        assert_eq!(at(extensions) + extensions + 2, out.len());
    }

    #[test]
    fn answers() {
        let cases: &[(&[u8], Answer)] = &[
            (b"", Answer::Partial),
            (b"\x16", Answer::Partial),
            (b"\x16\x03\x03\0", Answer::Partial),
            (b"\x16\x03\x03\0\x2a", Answer::Tls),
            (b"\x15\x03\x00\0\x02\x02\x28", Answer::Tls),
            (b"HTTP/1.0 400", Answer::Other),
            (b"\x16H", Answer::Other),
        ];
        for (input, expected) in cases {
            assert_eq!(parse_answer(input), *expected, "{}", input.escape_ascii());
        }
    }
}
