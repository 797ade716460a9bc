//! Chunked bodies: what is data, what is refused. Every case is read whole and in every cut.

#![allow(clippy::unwrap_used)]

use wire::http1::{
    Chunk, ChunkError, ChunkErrorKind, ChunkErrorKind::*, Chunked, DATA_END, Fields, TRAILER_FIELDS,
    write_chunk_size, write_last_chunk,
};

/// The data, the bytes used if the end was found, and the trailers.
type Body = (Vec<u8>, Option<usize>, Vec<String>);

fn feed(input: &[u8], cuts: impl Iterator<Item = usize>) -> Result<Body, ChunkError> {
    let mut decoder = Chunked::new();
    let (mut data, mut at, mut end) = (Vec::new(), 0, None);
    for until in cuts.chain([input.len()]) {
        while at < until && end.is_none() {
            match decoder.next(&input[at..until])? {
                Chunk::Need { consumed } => at += consumed,
                Chunk::Data { skip, len } => {
                    assert!(len > 0);
                    data.extend_from_slice(&input[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Chunk::End { consumed } => {
                    assert!(decoder.is_done());
                    end = Some(at + consumed);
                }
            }
        }
    }
    let trailers = decoder.trailers();
    let trailers = trailers.pairs().map(|(n, v)| format!("{}={}", n.escape_ascii(), v.escape_ascii()));
    Ok((data, end, trailers.collect()))
}

fn read(input: &[u8]) -> Result<Body, ChunkError> {
    let whole = feed(input, std::iter::empty());
    assert_eq!(feed(input, 0..input.len()), whole, "byte by byte: {}", input.escape_ascii());
    if input.len() < 300 {
        for cut in 0..input.len() {
            assert_eq!(feed(input, [cut].into_iter()), whole, "cut at {cut}: {}", input.escape_ascii());
        }
    }
    whole
}

fn good(input: &str, data: &str, trailers: &[&str]) {
    let (found, end, fields) = read(input.as_bytes()).unwrap();
    assert_eq!((found.as_slice(), end), (data.as_bytes(), Some(input.len())), "{input:?}");
    assert_eq!(fields, trailers, "{input:?}");
    let with_next = [input.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read(&with_next).unwrap().1, Some(input.len()));
}

fn refused(input: impl AsRef<[u8]>, kind: ChunkErrorKind) {
    let input = input.as_ref();
    assert_eq!(read(input).map_err(|error| error.kind), Err(kind), "{}", input.escape_ascii());
}

#[test]
fn legal_bodies() {
    good("0\r\n\r\n", "", &[]);
    good("5\r\nhello\r\n0\r\n\r\n", "hello", &[]);
    good("1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", "a0123456789", &[]);
    good("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", &[]);
    good("2;a\r\nhi\r\n0;b=c\r\n\r\n", "hi", &[]);
    good("2; a = \"q;\\\"\t\\\\ \" ;b\r\nhi\r\n0\r\n\r\n", "hi", &[]);
    good("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", &[]);
    good("0\r\nX-Sum: 1 \r\nY:\r\n\r\n", "", &["X-Sum=1", "Y="]);
}

#[test]
fn a_cut_body_never_ends() {
    let whole = b"5;x=\"y\"\r\nhello\r\n0\r\nX: y\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end]).unwrap().1, None, "{end}");
    }
}

#[test]
fn trailers_that_may_not_be_trailers_are_dropped() {
    let forbidden = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: x\r\nX-Forwarded-For: 1\r\n\
        x-forwarded-ssl: on\r\nX_Forwarded_For: 1\r\nCookie: a\r\nSet-Cookie: a\r\nTrailer: a\r\nConnection: close\r\n\
        Content-Type: a\r\nContent-Encoding: gzip\r\nForwarded: a\r\nX-Real-IP: 1\r\nLocation: /\r\n";
    good(&format!("0\r\n{forbidden}X: POST / HTTP/1.1\r\n\r\n"), "", &["X=POST / HTTP/1.1"]);
}

#[test]
fn bad_sizes() {
    for size in [
        "", "+5", "-5", "-0x0", "0x5", "5_0", "g", "5g", " 5", "5 ", "5\t", "\t5", "5\0", "5\x0b", "\n",
        "5\n", "hello",
    ] {
        refused(format!("{size}\r\nhello\r\n0\r\n\r\n"), BadSize);
    }
    refused("8000000000000000\r\n", TooBig);
    refused("ffffffffffffffff\r\n", TooBig);
    refused("10000000000000005\r\n", TooBig);
    refused(format!("{}5\r\n", "0".repeat(5000)), TooBig);
    assert_eq!(read(b"7fffffffffffffff\r\nx").unwrap().0, b"x");
}

#[test]
fn bad_line_ends() {
    refused("5\nhello\r\n0\r\n\r\n", BadSize);
    refused("5\r\r\nhello\r\n0\r\n\r\n", BadLineEnd);
    refused("5\rhello\r\n0\r\n\r\n", BadLineEnd);
    refused("5\r\nhello\n0\r\n\r\n", BadLineEnd);
    refused("5\r\nhelloXX0\r\n\r\n", BadLineEnd);
    refused("5\r\nhello!\r\n0\r\n\r\n", BadLineEnd);
    refused("5\r\nhello\r0\r\n\r\n", BadLineEnd);
    refused("5\r\nhello\r\n\r\n0\r\n\r\n", BadSize);
    refused("\r\n5\r\nhello\r\n0\r\n\r\n", BadSize);
    refused("5\r\nhello\r\n0\n\r\n", BadSize);
    refused("5\r\nhello\r\n0\r\n\n", BadTrailer);
    refused("5\r\nhello\r\n0\r\n\rX", BadLineEnd);
}

#[test]
fn bad_extensions() {
    for extension in [
        ";",
        "; ",
        ";;a",
        ";=a",
        ";a=",
        ";a b",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\"c",
        ";a ",
        ";a=b ",
        ";a\n",
        ";a\0",
        ";a=\"\n\"",
        ";a=\"\u{e9}\"",
        ";(a)",
    ] {
        refused(format!("5{extension}\r\nhello\r\n0\r\n\r\n"), BadExtension);
    }
    refused("5;a=\"\r\nGET /smuggled HTTP/1.1\r\n\"\r\nhello\r\n0\r\n\r\n", BadExtension);
    refused("5;a\rb\r\nhello", BadLineEnd);
    refused(format!("5;{}\r\n", "a".repeat(70_000)), ExtensionsTooBig);
    refused(format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(2000), ExtensionsTooBig);
}

#[test]
fn bad_trailers() {
    refused("0\r\nno colon\r\n\r\n", BadTrailer);
    refused("0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", BadTrailer);
    refused("0\r\n: x\r\n\r\n", BadTrailer);
    refused("0\r\nX : y\r\n\r\n", BadTrailer);
    refused("0\r\n X: y\r\n\r\n", BadTrailer);
    refused("0\r\nX: y\r\n z\r\n\r\n", BadTrailer);
    refused("0\r\nX: \0\r\n\r\n", BadTrailer);
    refused("0\r\nX: y\nZ: a\r\n\r\n", BadTrailer);
    refused("0\r\nX: y\rZ: a\r\n\r\n", BadLineEnd);
    refused(format!("0\r\nX: {}\r\n\r\n", "y".repeat(70_000)), TrailersTooBig);
    refused(format!("0\r\n{}\r\n", "X: y\r\n".repeat(TRAILER_FIELDS + 1)), TrailersTooBig);
    assert_eq!(
        read(format!("0\r\n{}\r\n", "X: y\r\n".repeat(TRAILER_FIELDS)).as_bytes()).unwrap().2.len(),
        100
    );
}

#[test]
fn what_is_written_is_read() {
    let mut out = Vec::new();
    for len in [1, 9, 10, 15, 16, 255, 256, 65_536] {
        write_chunk_size(&mut out, len);
        out.resize(out.len() + len, b'x');
        out.extend_from_slice(DATA_END);
    }
    let mut trailers = Fields::new();
    trailers.append(b"X-Sum", b"1");
    trailers.append(b"Content-Length", b"1");
    write_last_chunk(&mut out, &trailers);
    let (data, end, trailers) = read(&out).unwrap();
    assert_eq!((data.len(), end), (1 + 9 + 10 + 15 + 16 + 255 + 256 + 65_536, Some(out.len())));
    assert_eq!(trailers, ["X-Sum=1"]);
    let mut sizes = Vec::new();
    write_chunk_size(&mut sizes, 0xabc);
    write_chunk_size(&mut sizes, usize::MAX);
    assert_eq!(sizes, b"abc\r\nffffffffffffffff\r\n");
}

#[test]
fn a_decoder_is_reused() {
    let mut decoder = Chunked::new();
    assert_eq!(decoder.next(b"0\r\nX: y\r\n\r\n"), Ok(Chunk::End { consumed: 11 }));
    decoder.clear();
    assert!(decoder.trailers().is_empty() && !decoder.is_done());
    assert_eq!(decoder.next(b"1\r\na"), Ok(Chunk::Data { skip: 3, len: 1 }));
}
