//! Plays a directory of hostile streams with verdicts through the codecs, whole and cut in every way.
//!
//! The directory is named by `MAINSTAY_CORPUS`; without it there is nothing to play. Its `index.tsv` has a verdict
//! (`accept`, `reject`), a protocol, the most requests that may be complete, and a second safe verdict if there is one.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use wire::http1::{
    BodyFraming, Chunk, Chunked, Limits, Progress, RequestHead, RequestKind, ResponseHead, parse_request,
    parse_response,
};
use wire::proxy;

/// What came of a stream: complete messages, and why it ended before its bytes did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    complete: usize,
    fault: Option<String>,
}

#[test]
fn verdicts_hold_whole_and_cut() {
    let Ok(directory) = std::env::var("MAINSTAY_CORPUS") else { return };
    let directory = Path::new(&directory);
    let index = std::fs::read_to_string(directory.join("index.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut played = 0;
    for line in index.lines().skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let (file, verdict, proto, most, also) = (columns[0], columns[1], columns[3], columns[5], columns[6]);
        if !matches!(proto, "h1" | "resp" | "ws" | "pp") {
            continue;
        }
        played += 1;
        let bytes = std::fs::read(directory.join(file)).unwrap();
        let outcome = play(proto, file, &bytes, &[]);
        for cuts in cuts(bytes.len()) {
            let cut = play(proto, file, &bytes, &cuts);
            assert_eq!(cut, outcome, "{file} cut at {cuts:?}");
        }
        let ours = if outcome.fault.is_some() { "reject" } else { "accept" };
        if outcome.complete > most.parse().unwrap() || ours != verdict {
            eprintln!("{file}: {ours}, verdict {verdict}, also {also:?}: {outcome:?}");
            if ours != also {
                wrong.push(file.to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(played > 100, "only {played} streams");
}

/// Byte by byte, and for short streams every cut in two.
fn cuts(len: usize) -> Vec<Vec<usize>> {
    let mut all = vec![(0..len).collect()];
    if len < 1000 {
        all.extend((0..len).map(|at| vec![at]));
    }
    all
}

fn play(proto: &str, file: &str, bytes: &[u8], cuts: &[usize]) -> Outcome {
    match proto {
        "resp" => play_response(file, bytes, cuts),
        "pp" => play_proxied(bytes, cuts),
        _ => play_requests(bytes, cuts),
    }
}

/// The ends of what has arrived, one after another.
fn arrivals(cuts: &[usize], len: usize) -> impl Iterator<Item = usize> {
    cuts.iter().copied().chain([len])
}

fn play_proxied(bytes: &[u8], cuts: &[usize]) -> Outcome {
    for end in arrivals(cuts, bytes.len()) {
        match proxy::parse(&bytes[..end]) {
            Ok(proxy::Parsed::Partial) => {}
            Ok(proxy::Parsed::Complete { consumed, .. }) => {
                let cuts: Vec<_> = cuts.iter().filter_map(|cut| cut.checked_sub(consumed)).collect();
                return play_requests(&bytes[consumed..], &cuts);
            }
            Err(error) => return Outcome { complete: 0, fault: Some(error.to_string()) },
        }
    }
    Outcome { complete: 0, fault: Some("silence".into()) }
}

fn play_requests(bytes: &[u8], cuts: &[usize]) -> Outcome {
    let mut outcome = Outcome { complete: 0, fault: None };
    let mut start = 0;
    let mut head = RequestHead::default();
    while start < bytes.len() {
        match one_request(&bytes[start..], start, cuts, &mut head) {
            Ok(used) => start += used,
            Err(fault) => return Outcome { fault: Some(fault), ..outcome },
        }
        outcome.complete += 1;
        if !head.keep_alive() || head.is_websocket_upgrade() {
            break;
        }
    }
    outcome
}

fn one_request(bytes: &[u8], start: usize, cuts: &[usize], head: &mut RequestHead) -> Result<usize, String> {
    let cuts: Vec<_> = cuts.iter().filter_map(|cut| cut.checked_sub(start)).collect();
    for end in arrivals(&cuts, bytes.len()) {
        match parse_request(&bytes[..end], &Limits::default(), head) {
            Ok(Progress::Partial) => {}
            // Readable, but only a rule may answer it: `web` opens no tunnels.
            Ok(Progress::Complete { .. }) if head.is_connect() => return Err("CONNECT".into()),
            Ok(Progress::Complete { consumed }) => {
                return Ok(consumed + body(&bytes[consumed..], &cuts, consumed, head.framing())?);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("head cut short".into())
}

fn play_response(file: &str, bytes: &[u8], cuts: &[usize]) -> Outcome {
    let request = RequestKind { head: file == "resp_head_body.raw", ..RequestKind::default() };
    let mut start = 0;
    loop {
        match one_response(&bytes[start..], start, cuts, request) {
            Err(fault) => return Outcome { complete: 1, fault: Some(fault) },
            Ok((used, false)) => start += used,
            Ok((_, true)) => return Outcome { complete: 1, fault: None },
        }
    }
}

fn one_response(
    bytes: &[u8],
    start: usize,
    cuts: &[usize],
    request: RequestKind,
) -> Result<(usize, bool), String> {
    let cuts: Vec<_> = cuts.iter().filter_map(|cut| cut.checked_sub(start)).collect();
    let mut head = ResponseHead::default();
    for end in arrivals(&cuts, bytes.len()) {
        match parse_response(&bytes[..end], &Limits::response(), request, &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { consumed }) => {
                let body = body(&bytes[consumed..], &cuts, consumed, head.framing(request))?;
                return Ok((consumed + body, !head.is_interim()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("head cut short".into())
}

fn body(bytes: &[u8], cuts: &[usize], start: usize, framing: BodyFraming) -> Result<usize, String> {
    match framing {
        BodyFraming::None => Ok(0),
        BodyFraming::UntilClose => Ok(bytes.len()),
        BodyFraming::Length(length) if length as usize <= bytes.len() => Ok(length as usize),
        BodyFraming::Length(_) => Err("body cut short".into()),
        BodyFraming::Chunked => chunked(bytes, cuts, start),
    }
}

fn chunked(bytes: &[u8], cuts: &[usize], start: usize) -> Result<usize, String> {
    let mut decoder = Chunked::new();
    let mut at = 0;
    let ends: Vec<_> = cuts.iter().filter_map(|cut| cut.checked_sub(start)).collect();
    for end in arrivals(&ends, bytes.len()) {
        while at < end {
            match decoder.next(&bytes[at..end]).map_err(|error| error.to_string())? {
                Chunk::Need { consumed } => at += consumed,
                Chunk::Data { skip, len } => at += skip + len,
                Chunk::End { consumed } => return Ok(at + consumed),
            }
        }
    }
    Err("body cut short".into())
}
