//! The last invalid request of each site and the last invalid response of each pool, for `show errors`.
//!
//! Only the way of a mistake comes here: a valid request never does.

use crate::clock::Calendar;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that are kept of a message.
const KEPT_BYTES: usize = 16 << 10;
/// Messages kept at once; more sites and pools than this are not told apart by anyone.
const KEPT: usize = 1024;

/// A name and a number; `None` where nobody was chosen yet.
pub type Who = Option<(String, u32)>;

/// An invalid message.
#[derive(Clone, Debug, Default)]
pub struct Invalid {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The site that took the request.
    pub site: (String, u32),
    /// The pool it was for.
    pub pool: Who,
    /// The server it was for.
    pub server: Who,
    /// It is the response.
    pub response: bool,
    /// The client.
    pub client: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What was invalid last.
#[derive(Debug, Default)]
pub struct Invalids {
    total: AtomicU64,
    /// By number of the proxy and side.
    kept: Mutex<HashMap<(u32, bool), (u64, Invalid)>>,
}

impl Invalids {
    /// Keeps a message in place of the one before.
    pub fn keep(&self, mut invalid: Invalid) {
        let number = self.total.fetch_add(1, Relaxed);
        invalid.bytes.truncate(KEPT_BYTES);
        let proxy = match (&invalid.pool, invalid.response) {
            (Some((_, id)), true) => *id,
            _ => invalid.site.1,
        };
        let mut kept = self.kept.lock();
        let key = (proxy, invalid.response);
        if kept.len() < KEPT || kept.contains_key(&key) {
            kept.insert(key, (number, invalid));
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Those that are kept, printed as HAProxy does: of one proxy or all, of one side or both.
    pub fn printed(&self, proxy: Option<u32>, response: Option<bool>) -> Vec<String> {
        let kept = self.kept.lock();
        let wanted = |(id, side): &(u32, bool)| {
            proxy.is_none_or(|proxy| proxy == *id) && response.is_none_or(|response| response == *side)
        };
        let mut found: Vec<_> = kept.iter().filter(|(key, _)| wanted(key)).collect();
        found.sort_by_key(|(key, _)| **key);
        found.into_iter().map(|(_, (number, invalid))| invalid.print(*number)).collect()
    }
}

impl Invalid {
    fn print(&self, number: u64) -> String {
        let date = Calendar::of((self.at_ms / 1000) as i64).log_date();
        let (date, ms) = (String::from_utf8_lossy(&date), self.at_ms % 1000);
        let named = |who: &Who| match who {
            Some((name, id)) => format!("{name} (#{id})"),
            None => "<NONE> (#-1)".to_owned(),
        };
        let site = Some(self.site.clone());
        let server = named(&self.server);
        let (head, other) = match self.response {
            true => (
                format!("backend {}: invalid response", named(&self.pool)),
                format!("frontend {}", named(&site)),
            ),
            false => (
                format!("frontend {}: invalid request", named(&site)),
                format!("backend {}", named(&self.pool)),
            ),
        };
        let (position, state) = position(&self.bytes);
        let mut text = format!(
            " \n[{date}.{ms:03}] {head}\n  {other}, server {server}, event #{number}, src {}\n  \
             buffer starts at 0 (including 0 out), {} free,\n  len {}, wraps at {KEPT_BYTES}, error at position {position}\n  \
             H1 connection flags 0x00000000, H1 stream flags 0x00000000\n  \
             H1 msg state {state}, H1 msg flags 0x00000000\n  H1 chunk len 0 bytes, H1 body len 0 bytes :\n  \n",
            self.client,
            KEPT_BYTES.saturating_sub(self.bytes.len()),
            self.bytes.len(),
        );
        write_bytes(&self.bytes, &mut text);
        text
    }
}

/// Where a head is wrong, and HAProxy's name of what it was reading there.
fn position(bytes: &[u8]) -> (usize, &'static str) {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let response = bytes.starts_with(b"HTTP/");
    if let Some(at) = bytes[..end].iter().position(|b| is_wrong(*b)) {
        return (at, if response { "MSG_RPREASON(14)" } else { "MSG_RQURI(4)" });
    }
    let mut at = end + 1;
    while at < bytes.len() {
        let line = &bytes[at..];
        let length = line.iter().position(|b| *b == b'\n').unwrap_or(line.len());
        let name = line[..length].iter().position(|b| *b == b':').unwrap_or(length);
        if let Some(wrong) = line[..name].iter().position(|b| !is_token(*b) && *b != b'\r') {
            return (at + wrong, "MSG_HDR_NAME(17)");
        }
        if name == length && !matches!(&line[..length], b"" | b"\r") {
            return (at + length.saturating_sub(1), "MSG_HDR_NAME(17)");
        }
        if let Some(wrong) = line[name..length].iter().position(|b| is_wrong(*b)) {
            return (at + name + wrong, "MSG_HDR_VAL(22)");
        }
        at += length + 1;
    }
    (0, if response { "MSG_RPVER(10)" } else { "MSG_RQMETH(2)" })
}

fn is_wrong(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\r') || byte >= 0x7f
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Lines of at most so many characters.
const LINE: usize = 70;

/// `  00026  text\r\n`; a `+` instead of the second blank where a line goes on.
fn write_bytes(bytes: &[u8], text: &mut String) {
    let (mut at, mut goes_on) = (0, false);
    while at < bytes.len() {
        let _ = write!(text, "  {at:05}{} ", if goes_on { '+' } else { ' ' });
        let mut written = 0;
        let mut ended = false;
        while at < bytes.len() && written < LINE && !ended {
            let shown = printable(bytes[at]);
            written += shown.len();
            text.push_str(&shown);
            ended = bytes[at] == b'\n';
            at += 1;
        }
        goes_on = !ended;
        text.push('\n');
    }
}

fn printable(byte: u8) -> String {
    match byte {
        b'\n' => "\\n".into(),
        b'\r' => "\\r".into(),
        b'\t' => "\\t".into(),
        b'\\' => "\\\\".into(),
        0x1b => "\\e".into(),
        b' '..=b'~' => (byte as char).to_string(),
        other => format!("\\x{other:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: &[u8]) -> Invalid {
        Invalid {
            at_ms: 1_795_165_884_123,
            site: ("fe".into(), 2),
            client: "127.0.0.1:5".into(),
            bytes: bytes.to_vec(),
            ..Invalid::default()
        }
    }

    #[test]
    fn the_last_one_of_each_is_kept_and_printed() {
        let invalids = Invalids::default();
        invalids.keep(request(b"GET /\x01 HTTP/1.1\r\n\r\n"));
        let long = [&b"GET / HTTP/1.1\r\nBad/ x: "[..], &[b'y'; 80], b"\r\n\r\n"].concat();
        invalids.keep(request(&long));
        let pool = Some(("be".to_owned(), 4));
        invalids.keep(Invalid {
            response: true,
            pool: pool.clone(),
            server: Some(("s1".into(), 1)),
            ..request(b"SSH-2.0\r\n")
        });
        assert_eq!(invalids.total(), 3);
        let all = invalids.printed(None, None);
        assert_eq!(all.len(), 2);
        assert!(
            all[0].starts_with(
                " \n[20/Nov/2026:09:11:24.123] frontend fe (#2): invalid request\n  \
             backend <NONE> (#-1), server <NONE> (#-1), event #1, src 127.0.0.1:5\n"
            ),
            "{}",
            all[0]
        );
        assert!(all[0].contains("error at position 19\n"), "{}", all[0]);
        assert!(all[0].contains("\n  00000  GET / HTTP/1.1\\r\\n\n  00016  Bad/ x: yyy"), "{}", all[0]);
        assert!(all[0].contains("\n  00086+ yyy"), "{}", all[0]);
        assert!(
            all[1]
                .contains("backend be (#4): invalid response\n  frontend fe (#2), server s1 (#1), event #2")
        );
        assert_eq!(invalids.printed(Some(4), Some(false)).len(), 0);
        assert_eq!(invalids.printed(Some(2), None).len(), 1);
    }

    #[test]
    fn the_place_of_the_mistake_is_found() {
        for (bytes, at) in [
            (&b"GET /\x01 HTTP/1.1\r\n\r\n"[..], 5),
            (b"GET / HTTP/1.1\r\nA: b\r\nC d: e\r\n\r\n", 23),
            (b"GET / HTTP/1.1\r\nA: b\x00\r\n\r\n", 20),
            (b"GET / HTTP/1.1\r\nnothing\r\n\r\n", 23),
            (b"nonsense", 0),
            (b"", 0),
        ] {
            assert_eq!(position(bytes).0, at, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let invalids = Invalids::default();
        for id in 0..2000 {
            invalids.keep(Invalid { site: ("x".into(), id), ..request(&vec![b'a'; 20_000]) });
        }
        assert_eq!(invalids.printed(None, None).len(), KEPT);
        assert!(invalids.kept.lock().values().all(|(_, one)| one.bytes.len() == KEPT_BYTES));
    }
}
