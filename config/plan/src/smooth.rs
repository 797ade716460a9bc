//! Balancing that learns from failures where they happen: smooth turns by weight, each server at most once per request,
//! and servers that sit out for a while after they failed. nginx's upstreams are of this kind.
//!
//! Pools with [`Balance::Smooth`](crate::pool::Balance) read these; servers of other pools leave
//! [`Server::smooth`](crate::pool::Server) empty.

use crate::pool::{Balance, Pool, Redispatch, Retry, RetryOn, Reuse, Server, ServerAddress};
use crate::rule::Template;
use crate::{Mode, Place};
use std::time::Duration;

/// How a server is chosen, and what goes with it.
#[derive(Clone, Debug, Default)]
pub struct Smooth {
    /// The way of choosing.
    pub method: SmoothMethod,
    /// Requests that belong to a server.
    pub sticky: Option<Sticky>,
    /// Requests that may wait while every server is full; `None` = they fail at once. How long, says
    /// [`PoolTimeouts::queue`](crate::pool::PoolTimeouts).
    pub queue: Option<u32>,
}

/// The way of choosing. Whatever it is, servers that sit out, are full or were tried by the same request are passed over, and
/// turns are taken when no other way leads to a server.
#[derive(Clone, Debug, Default)]
pub enum SmoothMethod {
    /// In turn; the shares of heavy servers are spread evenly over time.
    #[default]
    Turns,
    /// The one with the fewest requests per weight; in turn among equals.
    LeastConnections,
    /// Hash of the first three octets of an IPv4 address, or of a whole IPv6 address, of the client.
    ClientNetwork,
    /// Hash of a text; without it, in turn.
    Key {
        /// What is hashed.
        key: Template,
        /// On a ring of 160 points per weight: few keys move when a server leaves.
        ring: bool,
    },
    /// Drawn by weight.
    Random,
    /// The one with fewer requests per weight of two that are drawn.
    RandomOfTwo,
}

/// What a server says in a pool with [`Smooth`] balancing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmoothServer {
    /// Failures that take it out for `window`; 0 = they are not counted. A server without others never sits out.
    pub max_fails: u32,
    /// Time in which failures are counted, and for which it then sits out. Whole seconds.
    pub window: Duration,
    /// Takes only requests that stick to it.
    pub drained: bool,
    /// Its value in sticky cookies and routes; `None` = the MD5 digest of its address in hexadecimal.
    pub route: Option<String>,
    /// Address as it was written. Servers written alike have their points on the ring in common.
    pub written: String,
    /// Each address that its name has (each instance of its service) is a server of its own.
    pub every_address: bool,
}

impl SmoothServer {
    /// With the usual tolerance: one failure, ten seconds.
    pub fn new(written: impl Into<String>) -> SmoothServer {
        SmoothServer {
            max_fails: 1,
            window: Duration::from_secs(10),
            drained: false,
            route: None,
            written: written.into(),
            every_address: false,
        }
    }
}

/// Requests that belong to a server.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// Where a request says its server (or its session, with `learn`): the first that is not empty counts.
    pub lookup: Vec<Template>,
    /// A cookie that tells the client its server.
    pub cookie: Option<StickyCookie>,
    /// Sessions that are learnt from answers.
    pub learn: Option<StickyLearn>,
}

/// A cookie that tells the client its server.
#[derive(Clone, Debug)]
pub struct StickyCookie {
    /// Name.
    pub name: String,
    /// `domain`, left out when empty.
    pub domain: Option<Template>,
    /// `path`.
    pub path: Option<String>,
    /// How long it lives; `None` = as long as the browser runs.
    pub life: Option<CookieLife>,
    /// `httponly`.
    pub http_only: bool,
    /// `secure`.
    pub secure: bool,
    /// `samesite`, left out when empty; what is none of its values becomes `strict`.
    pub same_site: Option<Template>,
}

/// How long a cookie lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieLife {
    /// So long. Whole seconds.
    For(Duration),
    /// For ever, as far as dates go.
    Forever,
}

/// Sessions that are learnt from answers.
#[derive(Clone, Debug)]
pub struct StickyLearn {
    /// Name of the memory that holds them; a reload with the same name goes on with it.
    pub zone: String,
    /// Most sessions; the one that was silent for the longest time goes first.
    pub max_sessions: usize,
    /// Silence that ends a session.
    pub timeout: Duration,
    /// What in an answer begins a session: the first that is not empty counts.
    pub create: Vec<Template>,
    /// Learnt when the head of an answer is there, not when it ended.
    pub at_head: bool,
}

/// Idle connections of a whole pool, kept for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Most that a worker keeps; the one that was idle for the longest time goes first. 0 = none.
    pub connections: u32,
    /// Requests of one connection in all.
    pub requests: u32,
    /// Longest idle time.
    pub idle: Duration,
    /// Age from which a connection is not kept any more.
    pub age: Duration,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep {
            connections: 32,
            requests: 1000,
            idle: Duration::from_secs(60),
            age: Duration::from_secs(3600),
        }
    }
}

/// A pool without servers whose servers are all tried before a request fails, and whose connections serve any client.
pub fn pool(place: Place, name: &str, mode: Mode) -> Pool {
    let on = RetryOn {
        connect_failure: true,
        empty_response: true,
        junk_response: true,
        response_timeout: true,
        statuses: Vec::new(),
    };
    Pool {
        place,
        name: name.to_owned(),
        mode,
        balance: Balance::Smooth(Box::default()),
        retry: Retry { tries: u32::MAX, redispatch: Redispatch::Always, on, budget_percent: None },
        reuse: Reuse::Always,
        ..Pool::default()
    }
}

/// The pool behind one address, or behind all addresses of one name. Its connections are not kept.
pub fn passing_pool(place: &Place, name: &str, address: ServerAddress, mode: Mode) -> Pool {
    let mut pool = pool(place.clone(), name, mode);
    pool.keep = (mode == Mode::Http).then(|| Keep { connections: 0, ..Keep::default() });
    let mut server = Server::new(place.clone(), name, 1, address);
    let said = SmoothServer { every_address: server.address.name().is_some(), ..SmoothServer::new(name) };
    server.smooth = Some(Box::new(said));
    pool.servers.push(server);
    pool
}
