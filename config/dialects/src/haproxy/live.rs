//! Fetches about what runs now: connections, pools, servers, the first bytes of a TCP connection.
//!
//! [`super::fetches`] has the rest.

use super::fetches::{named_pool, with};
use super::keywords::{self, Entry};
use super::said::{Done, Said};
use super::sample::{FetchAct, Kind, Origin, Words};
use super::scene::Scene;
use plan::rule::{EarlyFetch, Fact, Fetch, PoolFact, ServerFact};

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: keywords::ANY, act: $act, manual: $manual }
    };
}

macro_rules! fact {
    ($from:ident, $kind:ident, $fact:ident) => {
        with($from, $kind, (0, 0), |_, _| Ok(Fetch::Fact(Fact::$fact)), Vec::new)
    };
}

macro_rules! of_pool {
    ($fact:ident) => {
        with(Anywhere, Int, (0, 1), |s, w| pool(s, w, PoolFact::$fact), Vec::new)
    };
}

macro_rules! of_server {
    ($kind:ident, $fact:ident) => {
        with(Anywhere, $kind, (1, 1), |s, w| server(s, w, ServerFact::$fact), Vec::new)
    };
}

macro_rules! hello {
    ($kind:ident, $fact:ident) => {
        with(Content, $kind, (0, 0), |_, _| early(EarlyFetch::$fact), Vec::new)
    };
}

use Kind::{Address, Binary, Bool, Int, Text};
use Origin::{Anywhere, Content, Request, Response, Server};

/// Fetches of this topic.
pub(super) const LIVE: &[Entry<FetchAct>] = &[
    entry!("avg_queue", of_pool!(AverageQueue), "requests waiting per usable server of a backend"),
    entry!("bc_dst", fact!(Server, Address, ServerAddress), "address of the server"),
    entry!("bc_dst_port", fact!(Server, Int, ServerPort), "port of the server"),
    entry!("bc_src", fact!(Server, Address, PoolAddress), "address used towards the server"),
    entry!("bc_src_port", fact!(Server, Int, PoolPort), "port used towards the server"),
    entry!("be_conn", of_pool!(Connections), "connections of a backend"),
    entry!("be_conn_free", of_pool!(FreeConnections), "connections that servers of a backend still take"),
    entry!(
        "be_id",
        with(Anywhere, Int, (0, 0), |_, _| Ok(Fetch::OfPool(PoolFact::Id, None)), Vec::new),
        "number of the backend"
    ),
    entry!(
        "be_server_timeout",
        with(Anywhere, Int, (0, 0), |_, _| Ok(Fetch::OfPool(PoolFact::ServerTimeout, None)), Vec::new),
        "timeout server of the backend, ms"
    ),
    entry!(
        "be_tunnel_timeout",
        with(Anywhere, Int, (0, 0), |_, _| Ok(Fetch::OfPool(PoolFact::TunnelTimeout, None)), Vec::new),
        "timeout tunnel of the backend, ms"
    ),
    entry!("connslots", of_pool!(FreeSlots), "places and places in queues of a backend that are free"),
    entry!(
        "cook_cnt",
        with(Request, Int, (0, 1), |_, w| cookie_count(w, false), Vec::new),
        "number of request cookies"
    ),
    entry!("date_us", fact!(Anywhere, Int, DateMicroseconds), "microseconds of the current second"),
    entry!(
        "dst_is_local",
        fact!(Anywhere, Bool, LocalIsLocal),
        "true when the client connected to this machine"
    ),
    entry!("fc_http_major", fact!(Anywhere, Int, HttpMajor), "major version of HTTP towards the client"),
    entry!(
        "fe_client_timeout",
        fact!(Anywhere, Int, SiteClientTimeout),
        "timeout client of the frontend, ms"
    ),
    entry!("fe_defbe", fact!(Anywhere, Text, SiteDefaultPool), "default backend of the frontend"),
    entry!("fe_id", fact!(Anywhere, Int, SiteId), "number of the frontend"),
    entry!("payload", with(Content, Binary, (2, 2), payload, Vec::new), "bytes of the buffer"),
    entry!(
        "payload_lv",
        with(Content, Binary, (2, 3), counted, Vec::new),
        "bytes of the buffer behind their length"
    ),
    entry!("pid", fact!(Anywhere, Int, ProcessId), "number of this process"),
    entry!("queue", of_pool!(Queue), "requests waiting in a backend and its servers"),
    entry!(
        "rdp_cookie",
        with(Content, Text, (0, 1), rdp_cookie, Vec::new),
        "cookie of the Remote Desktop Protocol"
    ),
    entry!(
        "req.cook_cnt",
        with(Request, Int, (0, 1), |_, w| cookie_count(w, false), Vec::new),
        "number of request cookies"
    ),
    entry!(
        "req.cook_names",
        with(Request, Text, (0, 1), |_, w| cookie_names(w, false), Vec::new),
        "names of request cookies"
    ),
    entry!(
        "req.hdr_names",
        with(Request, Text, (0, 1), |_, w| header_names(w, false), Vec::new),
        "names of request headers"
    ),
    entry!("req.hdrs", fact!(Request, Text, RequestLines), "all request headers"),
    entry!("req.payload", with(Content, Binary, (2, 2), payload, Vec::new), "bytes of the request buffer"),
    entry!(
        "req.payload_lv",
        with(Content, Binary, (2, 3), counted, Vec::new),
        "bytes of the request buffer behind their length"
    ),
    entry!(
        "req.rdp_cookie",
        with(Content, Text, (0, 1), rdp_cookie, Vec::new),
        "cookie of the Remote Desktop Protocol"
    ),
    entry!("req.ssl_alpn", hello!(Text, HelloProtocols), "protocols offered by the client's TLS greeting"),
    entry!("req.ssl_ec_ext", hello!(Bool, HelloCurves), "true when the TLS greeting names elliptic curves"),
    entry!("req.ssl_hello_type", hello!(Int, HelloKind), "1 for a TLS greeting of a client"),
    entry!("req.ssl_sni", hello!(Text, HelloServerName), "name asked for by the TLS greeting"),
    entry!(
        "req.ssl_st_ext",
        hello!(Int, HelloTicket),
        "session ticket of the TLS greeting: 0 none, 1 empty, 2 there"
    ),
    entry!("req.ssl_ver", hello!(Int, HelloVersion), "version of the TLS greeting"),
    entry!(
        "req_rdp_cookie",
        with(Content, Text, (0, 1), rdp_cookie, Vec::new),
        "cookie of the Remote Desktop Protocol"
    ),
    entry!("req_ssl_hello_type", hello!(Int, HelloKind), "1 for a TLS greeting of a client"),
    entry!("req_ssl_sni", hello!(Text, HelloServerName), "name asked for by the TLS greeting"),
    entry!("req_ssl_ver", hello!(Int, HelloVersion), "version of the TLS greeting"),
    entry!(
        "res.cook_cnt",
        with(Response, Int, (0, 1), |_, w| cookie_count(w, true), Vec::new),
        "number of response cookies"
    ),
    entry!(
        "res.cook_names",
        with(Response, Text, (0, 1), |_, w| cookie_names(w, true), Vec::new),
        "names of response cookies"
    ),
    entry!(
        "res.hdr_names",
        with(Response, Text, (0, 1), |_, w| header_names(w, true), Vec::new),
        "names of response headers"
    ),
    entry!("res.hdrs", fact!(Response, Text, ResponseLines), "all response headers"),
    entry!(
        "scook_cnt",
        with(Response, Int, (0, 1), |_, w| cookie_count(w, true), Vec::new),
        "number of response cookies"
    ),
    entry!("so_id", fact!(Anywhere, Int, BindId), "number of the bind"),
    entry!("so_name", fact!(Anywhere, Text, BindName), "name of the bind"),
    entry!("src_is_local", fact!(Anywhere, Bool, ClientIsLocal), "true when the client is on this machine"),
    entry!("srv_conn", of_server!(Int, Connections), "connections of a server"),
    entry!("srv_conn_free", of_server!(Int, FreeConnections), "connections that a server still takes"),
    entry!("srv_id", fact!(Anywhere, Int, ServerId), "number of the server"),
    entry!("srv_is_up", of_server!(Bool, IsUp), "true when a server is up"),
    entry!("srv_iweight", of_server!(Int, InitialWeight), "weight of a server in the configuration"),
    entry!("srv_queue", of_server!(Int, Queue), "requests waiting for a server"),
    entry!("srv_uweight", of_server!(Int, UserWeight), "weight of a server that was asked for"),
    entry!("srv_weight", of_server!(Int, Weight), "weight of a server that counts now"),
    entry!("uuid", with(Anywhere, Text, (0, 1), uuid, Vec::new), "a random UUID"),
];

fn pool(scene: &Scene<'_, '_>, words: &Words<'_>, fact: PoolFact) -> Done<Fetch> {
    named_pool(scene, words).map(|name| Fetch::OfPool(fact, name))
}

/// `server` or `backend/server`.
fn server(scene: &Scene<'_, '_>, words: &Words<'_>, fact: ServerFact) -> Done<Fetch> {
    let text = words.text(0);
    let (pool, server) = match text.split_once('/') {
        Some((pool, server)) => (Some(pool), server),
        None if scene.proxy.kind.has_pool() => (None, text.as_str()),
        None => {
            return Err(Said::new(format!("'{}' means a server of another section", words.name()))
                .hint(format!("name the section: {}(BACKEND/{text})", words.name())));
        }
    };
    Ok(Fetch::OfServer(fact, pool.or(Some(&scene.proxy.name)).map(Into::into), server.into()))
}

fn early(fetch: EarlyFetch) -> Done<Fetch> {
    Ok(Fetch::Early(Box::new(fetch)))
}

fn payload(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    early(EarlyFetch::Payload { offset: words.int(0)?, length: words.int(1)? })
}

fn counted(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let size = words.int(1)?;
    if size == 0 {
        return Err(Said::new(format!(
            "the length behind which the bytes of '{}' stand has no size",
            words.name()
        )));
    }
    let at = match words.text(2).as_str() {
        "" => None,
        text => Some((words.int(2)?, text.starts_with(['+', '-']))),
    };
    early(EarlyFetch::Counted { offset: words.int(0)?, size, at })
}

fn rdp_cookie(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let name = words.arguments().first().filter(|name| !name.is_empty());
    early(EarlyFetch::RdpCookie(name.map(|name| name.as_slice().into())))
}

fn delimiter(words: &Words<'_>) -> Box<[u8]> {
    words
        .arguments()
        .first()
        .filter(|d| !d.is_empty())
        .map_or_else(|| (*b",").into(), |d| d.as_slice().into())
}

fn header_names(words: &Words<'_>, response: bool) -> Done<Fetch> {
    Ok(Fetch::HeaderNames(response, delimiter(words)))
}

fn cookie_names(words: &Words<'_>, response: bool) -> Done<Fetch> {
    Ok(Fetch::CookieNames(response, delimiter(words)))
}

fn cookie_count(words: &Words<'_>, response: bool) -> Done<Fetch> {
    Ok(Fetch::CookieCount(response, words.text(0).into()))
}

fn uuid(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    match words.text(0).as_str() {
        "" | "4" => Ok(Fetch::Fact(Fact::Uuid)),
        "7" => Err(Said::not_yet("'uuid' of version 7")),
        other => Err(Said::new(format!("'uuid' has no version '{other}'")).hint("4 and 7 are known")),
    }
}
