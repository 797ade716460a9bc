//! Chunked bodies: the same data however cut, as many bytes as the sizes say, and what we write is read back.

use crate::input::{self, Input};
use wire::http1::{Chunk, ChunkError, Chunked, DATA_END, write_chunk_size, write_last_chunk};

#[derive(Debug, PartialEq)]
struct Body {
    data: Vec<u8>,
    /// Bytes used, if the end was found.
    end: Option<usize>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some(input) = input::read(data) else { return };
    let whole = feed(&input, [input.payload.len()].into_iter());
    assert_eq!(feed(&input, input.arrivals()), whole);
    if input.payload.len() < 600 {
        assert_eq!(feed(&input, input.every_end()), whole);
    }
    if let Ok(Body { data, end: Some(end), .. }) = &whole {
        assert_eq!(sum_of_sizes(&input.payload[..*end]), data.len());
    }
    written_is_read(input.payload);
}

fn feed(input: &Input<'_>, ends: impl Iterator<Item = usize>) -> Result<Body, ChunkError> {
    let mut decoder = Chunked::new();
    let mut body = Body { data: Vec::new(), end: None, trailers: Vec::new() };
    let mut at = 0;
    for until in ends {
        while at < until && body.end.is_none() {
            match decoder.next(&input.payload[at..until])? {
                Chunk::Need { consumed } => {
                    assert_eq!(consumed, until - at);
                    at += consumed;
                }
                Chunk::Data { skip, len } => {
                    assert!(len > 0);
                    body.data.extend_from_slice(&input.payload[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Chunk::End { consumed } => body.end = Some(at + consumed),
            }
        }
    }
    let trailers = decoder.trailers();
    body.trailers = trailers.pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    Ok(body)
}

/// Another reader, as plain as can be, for bodies that were accepted.
fn sum_of_sizes(mut body: &[u8]) -> usize {
    let mut sum = 0;
    loop {
        let digits = body.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = str::from_utf8(&body[..digits]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size else { panic!("no size: {}", body.escape_ascii()) };
        if size == 0 {
            return sum;
        }
        let line = body.windows(2).position(|pair| pair == b"\r\n");
        let Some(line) = line else { panic!("no line: {}", body.escape_ascii()) };
        sum += size;
        body = &body[line + 2 + size + 2..];
    }
}

fn written_is_read(data: &[u8]) {
    let mut out = Vec::new();
    for piece in data.chunks(1 + data.len() / 3) {
        write_chunk_size(&mut out, piece.len());
        out.extend_from_slice(piece);
        out.extend_from_slice(DATA_END);
    }
    write_last_chunk(&mut out, Chunked::new().trailers());
    let input = Input { flags: 0, cuts: Vec::new(), payload: &out };
    let body = feed(&input, input.arrivals());
    assert_eq!(body, Ok(Body { data: data.to_vec(), end: Some(out.len()), trailers: Vec::new() }));
}
