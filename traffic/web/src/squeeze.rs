//! Compression of bodies: which ones, by which coding, and the streaming compressor.
//!
//! Whether an answer may be compressed is decided in two steps: [`wish`] when the request leaves, [`of_response`] when
//! the answer's head is here. A [`Squeezer`] sits in the [`crate::body::Pump`].

use crate::exchange::Exchange;
use flate2::{Compress, Compression as Level, FlushCompress};
use plan::compression::{Coding, CompressionLimits, Squeeze};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use wire::http1::{BodyFraming, Fields, Name, RequestHead, ResponseHead, Version, tokens};

/// Room that is made for compressed bytes at a time.
const STEP: usize = 4096;
/// Base-two logarithm of the window.
const WINDOW_BITS: u8 = 15;

/// Compresses one body.
pub(crate) struct Squeezer {
    /// `None` = bytes pass as they are.
    compress: Option<Compress>,
    /// Compressed bytes that were not taken yet.
    pub out: Vec<u8>,
    /// Bytes went in that a reader of `out` cannot see yet.
    hidden: bool,
}

impl Squeezer {
    /// One for a body.
    pub fn new(coding: Coding, limits: CompressionLimits) -> Squeezer {
        let level = Level::new(limits.level.unwrap_or(1).clamp(1, 9));
        let compress = match coding {
            Coding::Identity => None,
            Coding::Gzip => Some(Compress::new_gzip(level, WINDOW_BITS)),
            Coding::Deflate => Some(Compress::new(level, true)),
            Coding::RawDeflate => Some(Compress::new(level, false)),
        };
        Squeezer { compress, out: Vec::new(), hidden: false }
    }

    /// Takes bytes in. False when the compressor failed.
    pub fn feed(&mut self, data: &[u8]) -> bool {
        self.hidden = true;
        match self.compress {
            None => {
                self.out.extend_from_slice(data);
                true
            }
            Some(_) => self.run(data, FlushCompress::None),
        }
    }

    /// Makes everything that was taken in visible; called when the sender pauses.
    pub fn flush(&mut self) -> bool {
        !std::mem::take(&mut self.hidden) || self.compress.is_none() || self.run(b"", FlushCompress::Sync)
    }

    /// The end of the body.
    pub fn finish(&mut self) -> bool {
        self.hidden = false;
        self.compress.is_none() || self.run(b"", FlushCompress::Finish)
    }

    fn run(&mut self, mut data: &[u8], how: FlushCompress) -> bool {
        let Some(compress) = &mut self.compress else { return true };
        loop {
            self.out.reserve(STEP);
            let before = compress.total_in();
            let Ok(status) = compress.compress_vec(data, &mut self.out, how) else { return false };
            data = &data[(compress.total_in() - before) as usize..];
            let has_room = self.out.len() < self.out.capacity();
            match how {
                FlushCompress::Finish if status != flate2::Status::StreamEnd => {}
                _ if data.is_empty() && (has_room || status == flate2::Status::StreamEnd) => return true,
                _ => {}
            }
        }
    }
}

/// What goes into compression in the whole process, second by second.
#[derive(Debug, Default)]
pub struct Meter {
    second: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// Counts bytes at this second of the clock; roughly, when several workers change the second at once.
    fn add(&self, second: u64, bytes: u64) {
        if self.second.swap(second, Relaxed) != second {
            self.bytes.store(0, Relaxed);
        }
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn now(&self, second: u64) -> u64 {
        if self.second.load(Relaxed) == second { self.bytes.load(Relaxed) } else { 0 }
    }
}

/// The coding wanted for the answer, and what must be done to the request; called once, before it leaves.
pub(crate) fn wish(exchange: &mut Exchange, request: &mut RequestHead) {
    exchange.squeeze_request = of_request(exchange, request);
    if let Some(coding) = exchange.squeeze_request.filter(|coding| *coding != Coding::Identity) {
        request.fields.append(b"content-encoding", coding.token().as_bytes());
    }
    let Some(squeeze) = said(exchange, |said| &said.responses) else { return };
    if request.version == Version::Http10 || is_confused(request) {
        return;
    }
    exchange.squeeze_answer = chosen(&request.fields, &squeeze.codings);
    if exchange.squeeze_answer.is_some() && offloads(exchange) {
        request.fields.remove_id(Name::AcceptEncoding);
    }
}

/// The compressor for this answer, whose head is changed to say so; `None` when it is left as it is.
pub(crate) fn of_response(
    exchange: &Exchange,
    request: &RequestHead,
    response: &mut ResponseHead,
    now: Duration,
) -> Option<Box<Squeezer>> {
    let coding = exchange.squeeze_answer?;
    let squeeze = said(exchange, |said| &said.responses)?;
    let fields = &response.fields;
    let framing = response.framing(request.kind());
    let fits = response.version == Version::Http11
        && matches!(response.status, 200..=203)
        && long_enough(framing, squeeze)
        && fields.find(Name::ContentEncoding).is_none()
        && !fields.find_all(Name::CacheControl).flat_map(tokens).any(is_no_transform)
        && is_wanted_type(fields.find(Name::ContentType), &squeeze.types);
    let tag = entity_tag(fields)?;
    if !fits {
        return None;
    }
    if has_no_time(exchange, now) {
        return None;
    }
    if coding != Coding::Identity {
        mark(response, coding, tag);
    }
    Some(Box::new(Squeezer::new(coding, exchange.site.compression)))
}

/// Counts what one answer put through a compressor.
pub(crate) fn count(exchange: &Exchange, worker: usize, now: Duration, bytes_in: u64, bytes_out: u64) {
    exchange.site.process.compressed.add(now.as_secs(), bytes_in);
    let site = &exchange.site.stats.at(worker).compression;
    let pool = exchange.pool.as_ref().map(|pool| &pool.stats.at(worker).compression);
    for counters in std::iter::once(site).chain(pool) {
        counters[0].add(bytes_in);
        counters[1].add(bytes_out);
        counters[3].add(1);
    }
}

/// Counts what would have been compressed, had there been time.
pub(crate) fn count_bypassed(exchange: &Exchange, worker: usize, now: Duration, bytes: u64) {
    if exchange.squeeze_answer.is_none() || !has_no_time(exchange, now) {
        return;
    }
    exchange.site.stats.at(worker).compression[2].add(bytes);
    if let Some(pool) = &exchange.pool {
        pool.stats.at(worker).compression[2].add(bytes);
    }
}

fn has_no_time(exchange: &Exchange, now: Duration) -> bool {
    let limit = exchange.site.compression.bytes_per_second;
    limit.is_some_and(|limit| exchange.site.process.compressed.now(now.as_secs()) >= limit)
}

/// The part that counts: the pool's word before the site's.
fn said(exchange: &Exchange, part: fn(&plan::compression::Compression) -> &Squeeze) -> Option<&Squeeze> {
    let pool = exchange.pool.as_ref().and_then(|pool| pool.plan.http.compression.as_ref());
    let all = [pool, exchange.site.plan.http.compression.as_ref()];
    all.into_iter().flatten().map(part).find(|squeeze| !squeeze.codings.is_empty())
}

fn offloads(exchange: &Exchange) -> bool {
    let pool = exchange.pool.as_ref().and_then(|pool| pool.plan.http.compression.as_ref());
    [pool, exchange.site.plan.http.compression.as_ref()].into_iter().flatten().any(|said| said.offload)
}

fn of_request(exchange: &Exchange, request: &RequestHead) -> Option<Coding> {
    let squeeze = said(exchange, |said| &said.requests)?;
    let fits = long_enough(request.framing(), squeeze)
        && request.fields.find(Name::ContentEncoding).is_none()
        && is_wanted_type(request.fields.find(Name::ContentType), &squeeze.types);
    squeeze.codings.first().copied().filter(|_| fits)
}

fn long_enough(framing: BodyFraming, squeeze: &Squeeze) -> bool {
    match framing {
        BodyFraming::None | BodyFraming::UntilClose => false,
        BodyFraming::Length(length) => length > 0 && length >= squeeze.least_bytes,
        BodyFraming::Chunked => true,
    }
}

/// Old browsers that say they are Mozilla 4 and cannot decompress: all but MSIE 7 and later, and 6 with SP2.
fn is_confused(request: &RequestHead) -> bool {
    let agent = request.fields.find(Name::UserAgent).unwrap_or_default();
    if !agent.starts_with(b"Mozilla/4") {
        return false;
    }
    let version = find(agent, b"MSIE ").map_or(&b""[..], |at| &agent[at + 5..]);
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match &version[..digits] {
        b"6" => find(version, b"SV1").is_none(),
        [digit] => *digit < b'7',
        digits => digits.is_empty(),
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The coding that the client likes best; among equals the one it names first (RFC 9110, 12.5.3).
fn chosen(fields: &Fields, codings: &[Coding]) -> Option<Coding> {
    let mut best = (0, None);
    for element in fields.find_all(Name::AcceptEncoding).flat_map(tokens) {
        let (name, parameters) = element.split_at(memchr::memchr(b';', element).unwrap_or(element.len()));
        let quality = quality(parameters);
        let name = name.trim_ascii();
        let named = |coding: &&Coding| name == b"*" || name.eq_ignore_ascii_case(coding.token().as_bytes());
        if quality > best.0
            && let Some(coding) = codings.iter().find(named)
        {
            best = (quality, Some(*coding));
        }
    }
    best.1.or_else(|| codings.contains(&Coding::Identity).then_some(Coding::Identity))
}

/// Thousandths of `;q=0.5`; 1000 without it, 0 for nonsense.
fn quality(parameters: &[u8]) -> u32 {
    let text = parameters.trim_ascii().strip_prefix(b";").unwrap_or_default().trim_ascii();
    let Some(value) = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q=")) else { return 1000 };
    let value = &value[..memchr::memchr(b';', value).unwrap_or(value.len())];
    let number: Option<f32> = std::str::from_utf8(value.trim_ascii()).ok().and_then(|text| text.parse().ok());
    number.filter(|number| (0.0..=1.0).contains(number)).map_or(0, |number| (number * 1000.0) as u32)
}

fn is_no_transform(directive: &[u8]) -> bool {
    directive.eq_ignore_ascii_case(b"no-transform")
}

/// Without a list everything is compressed but what has parts of its own.
fn is_wanted_type(content_type: Option<&[u8]>, wanted: &[String]) -> bool {
    let begins = |beginning: &[u8]| {
        let start = content_type.and_then(|found| found.get(..beginning.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    };
    match begins(b"multipart") {
        true => false,
        false if wanted.is_empty() => true,
        false => wanted.iter().any(|one| begins(one.as_bytes())),
    }
}

/// What the entity tag becomes.
#[derive(Clone, Copy)]
enum Tag {
    None,
    Weak,
    /// It promises the same bytes, so it must be weakened (RFC 9110, 8.8.1).
    Strong,
}

/// `None` when it is not one tag, well formed.
fn entity_tag(fields: &Fields) -> Option<Tag> {
    let mut tags = fields.find_all(Name::Etag);
    let Some(tag) = tags.next() else { return Some(Tag::None) };
    if tags.next().is_some() {
        return None;
    }
    let quoted = |text: &[u8]| text.len() >= 2 && text.starts_with(b"\"") && text.ends_with(b"\"");
    match tag.strip_prefix(b"W/") {
        Some(opaque) if quoted(opaque) => Some(Tag::Weak),
        None if quoted(tag) => Some(Tag::Strong),
        _ => None,
    }
}

/// Says in the head that the body is compressed.
fn mark(response: &mut ResponseHead, coding: Coding, tag: Tag) {
    let fields = &mut response.fields;
    fields.set(b"content-encoding", coding.token().as_bytes());
    if matches!(tag, Tag::Strong)
        && let Some(strong) = fields.find(Name::Etag)
    {
        let weak = [b"W/", strong].concat();
        fields.set(b"etag", &weak);
    }
    let varies =
        |list: &[u8]| tokens(list).any(|one| one == b"*" || one.eq_ignore_ascii_case(b"accept-encoding"));
    if !fields.find_all(Name::Vary).any(varies) {
        let said = fields.find_all(Name::Vary).filter(|value| !value.is_empty());
        let all: Vec<&[u8]> = said.chain([&b"Accept-Encoding"[..]]).collect();
        let joined = all.join(&b","[..]);
        fields.set(b"vary", &joined);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;

    fn squeezed(coding: Coding, parts: &[&[u8]], pause: bool) -> Vec<u8> {
        let mut squeezer = Squeezer::new(coding, CompressionLimits::default());
        for part in parts {
            assert!(squeezer.feed(part));
            assert!(!pause || squeezer.flush());
        }
        assert!(squeezer.finish());
        squeezer.out
    }

    #[test]
    fn every_coding_can_be_read_back() {
        let large: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for pause in [false, true] {
            for parts in [&[&b"hello"[..], b" world"][..], &[&large, b"", b"x"], &[]] {
                let whole = parts.concat();
                let mut back = Vec::new();
                let gzip = squeezed(Coding::Gzip, parts, pause);
                flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
                let deflate = squeezed(Coding::Deflate, parts, pause);
                flate2::read::ZlibDecoder::new(&deflate[..]).read_to_end(&mut back).unwrap();
                let raw = squeezed(Coding::RawDeflate, parts, pause);
                flate2::read::DeflateDecoder::new(&raw[..]).read_to_end(&mut back).unwrap();
                back.extend(squeezed(Coding::Identity, parts, pause));
                assert!(back == whole.repeat(4));
            }
        }
    }

    #[test]
    fn a_pause_shows_what_was_sent() {
        let mut squeezer = Squeezer::new(Coding::RawDeflate, CompressionLimits::default());
        assert!(squeezer.feed(b"event") && squeezer.flush());
        let mut back = vec![0; 5];
        flate2::read::DeflateDecoder::new(&squeezer.out[..]).read_exact(&mut back).unwrap();
        assert_eq!(back, b"event");
        let length = squeezer.out.len();
        assert!(squeezer.flush());
        assert_eq!(squeezer.out.len(), length, "nothing new, nothing to show");
    }

    fn choice(accepted: &str, codings: &[Coding]) -> Option<Coding> {
        let mut fields = Fields::new();
        fields.append(b"Accept-Encoding", accepted.as_bytes());
        chosen(&fields, codings)
    }

    #[test]
    fn the_client_chooses() {
        use Coding::{Deflate, Gzip, Identity};
        let both = [Gzip, Deflate];
        assert_eq!(choice("deflate, gzip", &both), Some(Deflate));
        assert_eq!(choice("*;q=0, gzip;q=0.750, deflate;q=0.500", &both), Some(Gzip));
        assert_eq!(choice("*;q=0, gzip;q=0.500, deflate ; q=0.750", &both), Some(Deflate));
        assert_eq!(choice("*", &both), Some(Gzip));
        assert_eq!(choice("br, GZIP;q=0.1", &both), Some(Gzip));
        for none in ["", "br", "gzip;q=0", "gzip;q=0.000", "gzip;q=nan", "gzip;q=2"] {
            assert_eq!(choice(none, &both), None, "{none}");
        }
        assert_eq!(choice("br", &[Identity, Gzip]), Some(Identity));
    }

    #[test]
    fn old_browsers_are_spared() {
        let confused = |agent: &str| {
            let mut head = RequestHead::new(b"GET", b"/", b"a");
            head.fields.append(b"User-Agent", agent.as_bytes());
            is_confused(&head)
        };
        for agent in
            ["Mozilla/4", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "Mozilla/4.0 (MSIE 5.5)"]
        {
            assert!(confused(agent), "{agent}");
        }
        for agent in
            ["Mozilla/5.0", "", "Mozilla/4.0 (compatible; MSIE 7.0)", "Mozilla/4.0 (compatible; MSIE 10.0)"]
        {
            assert!(!confused(agent), "{agent}");
        }
        assert!(!confused("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)"));
    }

    #[test]
    fn heads_tell_what_was_done() {
        let marked = |lines: &[(&str, &str)]| {
            let mut head = ResponseHead::new(200, b"");
            for (name, value) in lines {
                head.fields.append(name.as_bytes(), value.as_bytes());
            }
            let tag = entity_tag(&head.fields)?;
            mark(&mut head, Coding::Gzip, tag);
            let text =
                |name| String::from_utf8_lossy(head.fields.find(name).unwrap_or_default()).into_owned();
            Some((text(Name::Etag), text(Name::Vary)))
        };
        let both = |tag: &str, vary: &str| Some((tag.to_owned(), vary.to_owned()));
        assert_eq!(marked(&[("ETag", "\"1\"")]), both("W/\"1\"", "Accept-Encoding"));
        assert_eq!(marked(&[("ETag", "W/\"1\""), ("Vary", "A, B")]), both("W/\"1\"", "A, B,Accept-Encoding"));
        assert_eq!(marked(&[("Vary", "A"), ("Vary", "ACCEPT-ENCODING")]), both("", "A"));
        assert_eq!(marked(&[("Vary", "*")]), both("", "*"));
        for bad in ["\"a", "a\"", "a", "W/a", "\"", "w/\"a\""] {
            assert_eq!(marked(&[("ETag", bad)]), None, "{bad}");
        }
        assert_eq!(marked(&[("ETag", "\"1\""), ("ETag", "\"1\"")]), None);
    }
}
