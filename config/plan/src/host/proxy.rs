//! How requests of a location reach a server (nginx: `ngx_http_proxy_module`).

use super::Pattern;
use crate::cache::Cache;
use crate::rule::Template;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How requests of a location reach a server, and what becomes of the answers.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where to.
    pub target: ProxyTarget,
    /// What becomes of the path.
    pub uri: ProxyUri,
    /// Method; `None` = the client's.
    pub method: Option<Template>,
    /// HTTP/1.0 towards the server.
    pub old_version: bool,
    /// Fields that are set, in order. They stand in place of the client's of the same name; an empty value leaves
    /// the field out. `Host` and `Connection` are always among them.
    pub set_headers: Vec<HeaderSet>,
    /// The client's fields are passed on.
    pub pass_headers: bool,
    /// The client's body is passed on.
    pub pass_body: bool,
    /// A body in place of the client's.
    pub set_body: Option<Template>,
    /// Names (lower case) of the server's fields that clients do not get.
    pub hide: Vec<Box<str>>,
    /// Fields of the server that have no effect on us, lower case.
    pub ignore: Vec<Box<str>>,
    /// Changes of `Location` and `Refresh`.
    pub redirects: Vec<ProxyRedirect>,
    /// Changes of the domain of cookies.
    pub cookie_domains: Vec<CookieRule>,
    /// Changes of the path of cookies.
    pub cookie_paths: Vec<CookieRule>,
    /// Changes of the flags of cookies.
    pub cookie_flags: Vec<CookieFlags>,
    /// The body of a request is read whole before a server is asked.
    pub buffer_request: bool,
    /// Answers are read as fast as the server sends them.
    pub buffers: ProxyBuffers,
    /// Time-outs.
    pub timeouts: ProxyTimeouts,
    /// Which failures lead to another server.
    pub next: NextUpstream,
    /// Answers of 300 and more that have an error page get it.
    pub intercept_errors: bool,
    /// The server is asked on although the client left.
    pub ignore_client_abort: bool,
    /// Our address towards the server.
    pub bind: Option<Template>,
    /// TCP keep-alive towards the server.
    pub socket_keep_alive: bool,
    /// Bytes in a second from the server; 0 = without limit.
    pub rate: Template,
    /// The cache of answers.
    pub cache: Option<Arc<Cache>>,
    /// Ranges are cut from answers whatever the server said.
    pub force_ranges: bool,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub enum ProxyTarget {
    /// A pool by name; it exists. Second: what the server is called in `Host` (`$proxy_host`), third its port.
    Pool {
        /// Name of the pool.
        pool: String,
        /// `$proxy_host`.
        host: Box<str>,
        /// `$proxy_port`.
        port: Box<str>,
    },
    /// A whole URL that is made for each request: `http://host[:port][/uri]`. The host is a pool, an address, or a name
    /// that is looked up.
    Computed {
        /// The URL.
        url: Template,
        /// Who looks names up, and how long one may take; `None` = nobody.
        resolver: Option<(Box<str>, Duration)>,
    },
}

/// What becomes of the path on its way to the server.
#[derive(Clone, Debug)]
pub enum ProxyUri {
    /// The target as the client sent it, unless steps changed it.
    Same,
    /// So many bytes of the path (the location's) are replaced by this.
    Replaced(usize, Box<str>),
    /// This path and query, whatever the client sent.
    Whole(Template),
}

/// A field that is set.
#[derive(Clone, Debug)]
pub struct HeaderSet {
    /// Name as it is written.
    pub name: Box<str>,
    /// Value.
    pub value: Template,
}

/// A change of `Location` and `Refresh`.
#[derive(Clone, Debug)]
pub struct ProxyRedirect {
    /// What is looked for at the beginning, or a match anywhere.
    pub from: Replace,
    /// What stands there instead.
    pub to: Template,
}

/// A part of a text that is replaced.
#[derive(Clone, Debug)]
pub enum Replace {
    /// The text at the beginning.
    Beginning(Template),
    /// The whole text without regard to case (domains of cookies).
    Whole(Template),
    /// A match; its groups are variables of the replacement.
    Match(Pattern),
}

/// A change of an attribute of cookies.
#[derive(Clone, Debug)]
pub struct CookieRule {
    /// What is looked for.
    pub from: Replace,
    /// What stands there instead.
    pub to: Template,
}

/// A change of the flags of cookies.
#[derive(Clone, Debug)]
pub struct CookieFlags {
    /// Which cookies: their name, or a match of it.
    pub cookie: Replace,
    /// Flags in the words of the directive: `secure`, `nosecure`, `httponly`, `samesite=strict` …
    pub flags: Vec<Template>,
}

/// How answers are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyBuffers {
    /// Answers are read as fast as the server sends them, and kept until the client takes them.
    pub on: bool,
    /// Longest head of an answer, bytes.
    pub head: usize,
    /// So much of an answer is kept in memory.
    pub memory: usize,
    /// So much more is kept in a file.
    pub file: u64,
    /// Where such files are.
    pub directory: PathBuf,
}

/// Time-outs towards servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyTimeouts {
    /// To connect.
    pub connect: Duration,
    /// Silence while we send.
    pub send: Duration,
    /// Silence while we wait or read.
    pub read: Duration,
}

/// Which failures lead to another server (nginx: `proxy_next_upstream`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextUpstream {
    /// Connections that fail or break.
    pub error: bool,
    /// Time-outs.
    pub timeout: bool,
    /// Answers that are no HTTP.
    pub invalid_header: bool,
    /// Answers with these statuses.
    pub statuses: Vec<u16>,
    /// Also requests that may have been done and must not be done twice.
    pub non_idempotent: bool,
    /// Tries at the most; 0 = one for each server.
    pub tries: u32,
    /// No further try after this time; zero = without limit.
    pub timeout_after: Duration,
}
