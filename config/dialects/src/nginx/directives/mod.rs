//! The table of all directives: where each may stand, what it takes, and what becomes of it here.
//!
//! One line per directive, grouped by topic, sorted by name. [`super::tree`] checks every directive of a file
//! against it, so whoever compiles one finds its arguments counted and its block there. Who makes a directive
//! work turns its line from [`Class::NotYet`] to [`Class::Works`]; nothing is ever ignored in silence.

mod access;
mod files;
mod filters;
mod foreign;
mod gateways;
mod http;
mod logs;
mod mail;
mod modules;
mod process;
mod proxy;
mod rewrite;
mod stream;
mod tls;
mod upstream;

pub use modules::configure_arguments;
pub(super) use modules::module_is_built_in;

/// Places where a directive may stand, one bit each.
pub type Contexts = u32;

/// The file itself, outside any block.
pub const MAIN: Contexts = 1;
/// `events {}`.
pub const EVENTS: Contexts = 1 << 1;
/// `http {}`.
pub const HTTP: Contexts = 1 << 2;
/// `server {}` in `http`.
pub const SERVER: Contexts = 1 << 3;
/// `location {}`.
pub const LOCATION: Contexts = 1 << 4;
/// `if {}` in a server.
pub const SERVER_IF: Contexts = 1 << 5;
/// `if {}` in a location.
pub const LOCATION_IF: Contexts = 1 << 6;
/// `limit_except {}`.
pub const LIMIT_EXCEPT: Contexts = 1 << 7;
/// `upstream {}` in `http`.
pub const UPSTREAM: Contexts = 1 << 8;
/// `stream {}`.
pub const STREAM: Contexts = 1 << 9;
/// `server {}` in `stream`.
pub const STREAM_SERVER: Contexts = 1 << 10;
/// `upstream {}` in `stream`.
pub const STREAM_UPSTREAM: Contexts = 1 << 11;
/// `mail {}`.
pub const MAIL: Contexts = 1 << 12;
/// `server {}` in `mail`.
pub const MAIL_SERVER: Contexts = 1 << 13;
/// Lines of the block's own: `map`, `geo`, `types`. Every first word is allowed, blocks are not.
pub const RAW: Contexts = 1 << 14;
/// Inside a block that is refused as a whole: nothing in it is looked at.
pub const FOREIGN: Contexts = 1 << 15;

/// Every context that has directives of nginx's own.
const ANYWHERE: Contexts = RAW - 1;

/// What a directive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `on` or `off`.
    Flag,
    /// At least and at most so many.
    Between(u8, u8),
    /// At least so many.
    AtLeast(u8),
}

/// `on` or `off`.
const FLAG: Arguments = Arguments::Flag;

const fn exactly(count: u8) -> Arguments {
    Arguments::Between(count, count)
}

const fn between(least: u8, most: u8) -> Arguments {
    Arguments::Between(least, most)
}

const fn at_least(least: u8) -> Arguments {
    Arguments::AtLeast(least)
}

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It does here what it does in nginx.
    Works,
    /// Taken without effect, because what it tunes is not there or needs no tuning. The text says why.
    Knob(&'static str),
    /// Known to nginx and not taken. The text says what to do instead.
    Refused(&'static str),
    /// Known to nginx, meant to work here, and not there yet.
    NotYet,
}

use Class::{Knob, NotYet, Refused, Works};

/// A directive.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: Contexts,
    /// What it takes.
    pub arguments: Arguments,
    /// What becomes of it.
    pub class: Class,
    /// The context inside its block; 0 = it has none.
    pub opens: Contexts,
    /// It may be said again in the same block.
    pub repeats: bool,
}

const fn directive(name: &'static str, contexts: Contexts, arguments: Arguments, class: Class) -> Entry {
    Entry { name, contexts, arguments, class, opens: 0, repeats: false }
}

impl Entry {
    const fn block(mut self, opens: Contexts) -> Entry {
        self.opens = opens;
        self
    }

    const fn repeat(mut self) -> Entry {
        self.repeats = true;
        self
    }

    /// True when the directive takes that many arguments.
    pub fn takes(&self, count: usize) -> bool {
        match self.arguments {
            Arguments::Flag => count == 1,
            Arguments::Between(least, most) => (usize::from(least)..=usize::from(most)).contains(&count),
            Arguments::AtLeast(least) => count >= usize::from(least),
        }
    }
}

const TABLES: &[&[Entry]] = &[
    process::TABLE,
    http::TABLE,
    files::TABLE,
    rewrite::TABLE,
    access::TABLE,
    filters::TABLE,
    logs::TABLE,
    proxy::TABLE,
    upstream::TABLE,
    tls::TABLE,
    stream::TABLE,
    gateways::TABLE,
    mail::TABLE,
];

/// All directives of nginx itself, topic by topic.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// What the table says about a name in a context.
pub(super) enum Found {
    /// It may stand here.
    Here(&'static Entry),
    /// It may stand elsewhere only.
    Elsewhere,
    /// Nobody's here; what to do instead, when that is known.
    Nowhere(Option<&'static str>),
}

/// Looks a name up. A name may have several lines, for different contexts.
pub(super) fn find(name: &str, context: Contexts) -> Found {
    let mut entries = TABLES.iter().flat_map(|table| of_name(table, name)).peekable();
    if entries.peek().is_none() {
        return foreign::find(name);
    }
    entries.find(|entry| entry.contexts & context != 0).map_or(Found::Elsewhere, Found::Here)
}

/// The lines of a name in a sorted table.
fn of_name<'t>(table: &'t [Entry], name: &str) -> &'t [Entry] {
    let start = table.partition_point(|entry| entry.name < name);
    let length = table[start..].partition_point(|entry| entry.name == name);
    &table[start..start + length]
}

/// All names, to find the one that was meant.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|entry| entry.name)
}

// Why a directive has no effect.
const THREADS: &str = "one process with one thread per core shares listeners by itself";
const BUILD: &str = "concerns nginx's own debugging or build";
const HASHES: &str = "tables here size themselves";
const MEMORY: &str = "memory and buffers are managed without it";
const SENDING: &str = "files are always sent the cheapest way the system has";
const SENT_AT_ONCE: &str = "what is written leaves at once, always";
const CLOSING: &str =
    "unread bytes are read for two seconds before a connection is closed, so that the answer arrives";
const OLD_BROWSERS: &str = "pages of errors are the same for all browsers";
const NO_GATEWAY: &str = "there is no such gateway here, so nothing is stored for it";

// What to do instead of a directive that is refused.
const ADDITION: &str = "let the application add the text, or keep nginx for this location";
const BROWSER: &str = "use 'map $http_user_agent $modern_browser { … }'";
const DAV: &str = "keep a WebDAV server for this path and 'proxy_pass' to it";
const DEGRADATION: &str = "remove it; limits of connections and requests protect better";
const ENGINE: &str = "remove it; there are no OpenSSL engines here";
const FASTCGI: &str = "run the application behind an HTTP server (php-fpm: with its own nginx or Caddy, uWSGI: 'http-socket') and use 'proxy_pass'";
const GEOIP: &str = "use 'geo $country { include country.geo; }' with a list of networks";
const GIF: &str = "use a file, or 'return 204'";
const GRPC: &str = "gRPC needs HTTP/2 to servers, which is not there yet; keep nginx for this location";
const HTTP3: &str = "HTTP/3 is not there yet; remove it, clients fall back to HTTP/1.1";
const IMAGE: &str = "let the application or an image service scale pictures";
const NO_MAIL: &str = "mail is not proxied here; use 'stream { … proxy_pass … }', or keep nginx for it";
const MEMCACHED: &str = "let the application read memcached, or use 'proxy_cache'";
const MIRROR: &str = "mirroring is not there yet; remove it or keep nginx for this location";
const PERL: &str = "use 'map' and 'if', or move the logic to the application";
const RANDOM_INDEX: &str = "name the file with 'index'";
const SSI: &str = "let the application put pages together, or keep nginx for this location";
const HTTP2: &str = "HTTP/2 is not there yet; remove it, clients then speak HTTP/1.1";
const TLS: &str =
    "TLS is not there yet; let what stands in front of Mainstay end it, and listen without 'ssl'";
const TUNNEL: &str = "CONNECT is not tunnelled here; use a forward proxy";
const USERID: &str = "let the application set the cookie, or use 'add_header Set-Cookie'";
const VIDEO: &str = "remove it: players ask for byte ranges, which are served; or keep nginx for it";
const WINDOWS: &str = "for Windows only; remove it";
const XSLT: &str = "let the application transform pages, or keep nginx for this location";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    #[test]
    fn tables_are_sorted_and_say_each_thing_once() {
        for table in TABLES {
            for pair in table.windows(2) {
                assert!(pair[0].name <= pair[1].name, "{} stands before {}", pair[0].name, pair[1].name);
            }
        }
        let entries: Vec<&Entry> = all().collect();
        for (index, entry) in entries.iter().enumerate() {
            let twice = |other: &&&Entry| other.name == entry.name && other.contexts & entry.contexts != 0;
            assert!(entries[index + 1..].iter().find(twice).is_none(), "{} is there twice", entry.name);
        }
    }

    /// Nothing may claim to work that no code reads.
    #[test]
    fn what_works_is_read_by_somebody() {
        let code = code_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nginx"));
        for entry in all().filter(|entry| entry.class == Works) {
            let word = format!("\"{}\"", entry.name);
            assert!(code.contains(&word), "'{}' is said to work, and nobody reads it", entry.name);
        }
    }

    fn code_of(folder: &Path) -> String {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let tables = |path: &Path| path.ends_with("directives");
        paths
            .filter(|path| !tables(path))
            .map(|path| if path.is_dir() { code_of(&path) } else { std::fs::read_to_string(path).unwrap() })
            .collect()
    }

    /// Every directive of the ranked list works, has no effect and says so, or is refused with what to do.
    #[test]
    fn what_people_use_most_has_a_word() {
        let ranks = include_str!("../../../cases/nginx-ranks.txt");
        let names = ranks.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let mut count = 0;
        for name in names {
            count += 1;
            // The include is the reader's own.
            let known: Vec<&Entry> = all().filter(|entry| entry.name == name).collect();
            assert!(!known.is_empty() || name == "include", "{name} is not in the table");
            let http = known
                .iter()
                .filter(|entry| entry.contexts & (MAIN | EVENTS | HTTP | SERVER | LOCATION | UPSTREAM) != 0);
            for entry in http {
                assert!(entry.class != Class::NotYet, "{name} has no word");
            }
        }
        assert_eq!(count, 90);
    }
}
