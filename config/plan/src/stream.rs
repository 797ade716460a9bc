//! What a site of bytes or datagrams does with a connection where rules, routes and pools leave room.
//!
//! A session walks: realip → connection rules → content rules → limits → variables → access → preread → [`Content`]. Sites
//! without these settings take everything from their pool.

use crate::host::{AccessRule, AccessWho, KeepOpen, VariableId};
use crate::limit::Limits;
use crate::listener::ProxyVersion;
use crate::log::LogTarget;
use crate::network::Networks;
use crate::rule::Template;
use std::net::IpAddr;
use std::time::Duration;

/// Settings of a site's sessions.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// Who may come in, by address: the first that fits counts.
    pub access: Vec<AccessRule>,
    /// How many sessions may be there at once, by a key.
    pub limits: Limits,
    /// Variables that are set before the content is chosen, in order.
    pub set: Vec<(VariableId, Template)>,
    /// Lines that are written at the end of a session, besides those of the site's log.
    pub logs: Vec<SessionLog>,
    /// What becomes of a session that no rule ended.
    pub content: Content,
    /// The client's TLS greeting is waited for before the content is chosen.
    pub preread: Option<Preread>,
    /// Peers whose PROXY header tells the client's address; `None` = none. For binds whose header only tells.
    pub real_ip_from: Option<Trusted>,
    /// Time to connect to a server.
    pub connect_timeout: Duration,
    /// Longest silence of both sides; the end of a session of datagrams.
    pub silence: Duration,
    /// Who is asked for the names of [`Content::Target`]; `None` = nobody.
    pub resolver: Option<Asked>,
    /// Tries at further servers.
    pub next: NextServer,
    /// The end of one side leaves the other one open.
    pub half_close: bool,
    /// PROXY header towards servers.
    pub send_proxy: Option<ProxyVersion>,
    /// Our address towards servers, with or without a port; empty = the system's choice.
    pub source: Option<Template>,
    /// TCP keep-alive towards servers.
    pub keep_alive: bool,
    /// Small segments leave at once (TCP_NODELAY), on both sides.
    pub no_delay: bool,
    /// Bytes a second from the client; empty and 0 = no limit.
    pub upload_rate: Option<Template>,
    /// Bytes a second to the client; empty and 0 = no limit.
    pub download_rate: Option<Template>,
    /// Sessions of datagrams.
    pub datagrams: Datagrams,
}

impl StreamSettings {
    /// True when a client may come in; `None` = one on a unix socket.
    pub fn admits(&self, client: Option<IpAddr>) -> bool {
        let fits = |who: &AccessWho| match (who, client) {
            (AccessWho::All, _) | (AccessWho::Unix, None) => true,
            (AccessWho::Network(network), Some(client)) => network.contains(client),
            (AccessWho::Unix, Some(_)) | (AccessWho::Network(_), None) => false,
        };
        self.access.iter().find(|rule| fits(&rule.who)).is_none_or(|rule| rule.allow)
    }
}

impl Default for StreamSettings {
    fn default() -> StreamSettings {
        StreamSettings {
            access: Vec::new(),
            limits: Limits::default(),
            set: Vec::new(),
            logs: Vec::new(),
            content: Content::Pool,
            preread: None,
            real_ip_from: None,
            connect_timeout: Duration::from_secs(60),
            silence: Duration::from_secs(600),
            resolver: None,
            next: NextServer::default(),
            half_close: false,
            send_proxy: None,
            source: None,
            keep_alive: false,
            no_delay: true,
            upload_rate: None,
            download_rate: None,
            datagrams: Datagrams::default(),
        }
    }
}

/// Where such a line goes.
#[derive(Clone, Debug)]
pub enum SessionTarget {
    /// A target that is always open.
    Open(LogTarget),
    /// A file whose path is made for each session.
    Made(Template, KeepOpen),
}

impl SessionTarget {
    /// The target that is always open.
    pub fn open(&self) -> Option<&LogTarget> {
        match self {
            SessionTarget::Open(target) => Some(target),
            SessionTarget::Made(..) => None,
        }
    }
}

/// Name servers, and the patience with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Name of the group.
    pub group: String,
    /// Longest wait for an answer.
    pub patience: Duration,
}

/// A line that is written at the end of a session.
#[derive(Clone, Debug)]
pub struct SessionLog {
    /// Where to.
    pub target: SessionTarget,
    /// The line.
    pub line: Template,
    /// Only when this text is neither empty nor `0`.
    pub when: Option<Template>,
}

/// Who is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Peers with these addresses.
    pub networks: Networks,
    /// Peers on unix sockets.
    pub unix: bool,
}

impl Trusted {
    /// True when a peer is believed; `None` = one on a unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |address| self.networks.contains(address))
    }
}

/// What becomes of a session that no rule ended.
#[derive(Clone, Debug, Default)]
pub enum Content {
    /// It goes to a server of the pool that routes choose.
    #[default]
    Pool,
    /// It goes where this text says: the name of a pool, or address (or name) and port, or `unix:` and a path. Names are
    /// asked of the site's name servers.
    Target(Template),
    /// The client gets this text, and the session ends.
    Text(Template),
}

/// Waiting for a TLS greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preread {
    /// Longest greeting, bytes.
    pub buffer: usize,
    /// Longest wait.
    pub timeout: Duration,
}

impl Default for Preread {
    fn default() -> Preread {
        Preread { buffer: 16 << 10, timeout: Duration::from_secs(30) }
    }
}

/// Tries at further servers after one that could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextServer {
    /// There are such tries.
    pub on: bool,
    /// Tries in all; `None` = each server once.
    pub tries: Option<u32>,
    /// Time in which they may begin; `None` = no limit.
    pub time: Option<Duration>,
    /// A datagram that a server refused goes to another one, while nothing was answered.
    pub datagrams: bool,
}

impl Default for NextServer {
    fn default() -> NextServer {
        NextServer { on: true, tries: None, time: None, datagrams: false }
    }
}

/// When a session of datagrams is over, besides silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// After so many datagrams of the client the next one begins a new session; `None` = never.
    pub requests: Option<u32>,
    /// Answers that are expected for each of them; `None` = any number.
    pub responses: Option<u32>,
}
