//! The words of the language as data: parsing, hints and listings all read these tables.

use super::proxy::{self};
use super::said::{Cursor, Done};
use super::scene::{Kind, Scene};
use super::{
    acl, balance, bind, check, compression, converters, fetches, global, live, logs, mailers, options, pages,
    rules, server, states, stats, tables, timeouts,
};

/// In which sections a word may stand.
pub(super) type Sections = u8;
/// `defaults`.
pub(super) const D: Sections = 1;
/// `defaults` with a name.
pub(super) const N: Sections = 2;
/// `frontend` (and `listen`).
pub(super) const F: Sections = 4;
/// `backend` (and `listen`).
pub(super) const B: Sections = 8;
/// Anywhere.
pub(super) const ANY: Sections = D | N | F | B;
/// Sections with a name, not `defaults`.
const P: Sections = F | B;

/// A word of the language.
pub(super) struct Entry<A: 'static> {
    /// The word.
    pub name: &'static str,
    /// Where it may stand.
    pub sections: Sections,
    /// What it does.
    pub act: A,
    /// One line for the reader.
    pub manual: &'static str,
}

/// What a line of a proxy does.
pub(super) type Act = fn(&mut Scene<'_, '_>, &mut Cursor<'_>) -> Done;

/// Bits of the sections of that kind.
pub(super) fn sections_of(kind: Kind, named: bool) -> Sections {
    match kind {
        Kind::Defaults => D | if named { N } else { 0 },
        Kind::Frontend => F,
        Kind::Backend => B,
        Kind::Listen => F | B,
    }
}

/// "did you mean …" for a word, or nothing.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    if word.len() > 64 {
        String::new()
    } else {
        plan::draft::nearest(word, names.take(10_000).filter(|n| n.len() <= 64))
    }
}

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectionKind {
    /// Settings of the process.
    Global,
    /// A proxy, or defaults of proxies.
    Proxy(Kind),
    /// Users.
    Userlist,
    /// Error pages by name.
    HttpErrors,
    /// Name servers.
    Resolvers,
    /// Mail servers.
    Mailers,
    /// Balancers that share tables.
    Peers,
    /// Known, not there yet.
    NotYet,
}

macro_rules! entry {
    ($name:literal, $sections:expr, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: $sections, act: $act, manual: $manual }
    };
}

/// Words that open a section.
pub(super) const SECTIONS: &[Entry<SectionKind>] = &[
    entry!("backend", ANY, SectionKind::Proxy(Kind::Backend), "servers and how one is chosen"),
    entry!("cache", ANY, SectionKind::NotYet, "a cache of responses"),
    entry!("crt-store", ANY, SectionKind::NotYet, "certificates"),
    entry!("defaults", ANY, SectionKind::Proxy(Kind::Defaults), "what the sections after it begin with"),
    entry!("fcgi-app", ANY, SectionKind::NotYet, "a FastCGI application"),
    entry!("frontend", ANY, SectionKind::Proxy(Kind::Frontend), "where clients come in"),
    entry!("global", ANY, SectionKind::Global, "settings of the process"),
    entry!("http-errors", ANY, SectionKind::HttpErrors, "error pages by name"),
    entry!("listen", ANY, SectionKind::Proxy(Kind::Listen), "a frontend and a backend in one"),
    entry!("log-forward", ANY, SectionKind::NotYet, "a relay of log lines"),
    entry!("log-profile", ANY, SectionKind::NotYet, "formats of log lines"),
    entry!("mailers", ANY, SectionKind::Mailers, "mail servers for alerts"),
    entry!("peers", ANY, SectionKind::Peers, "other balancers that share tables"),
    entry!("program", ANY, SectionKind::NotYet, "a program to run beside"),
    entry!("resolvers", ANY, SectionKind::Resolvers, "name servers"),
    entry!("ring", ANY, SectionKind::NotYet, "a buffer of log lines"),
    entry!("traces", ANY, SectionKind::NotYet, "traces"),
    entry!("userlist", ANY, SectionKind::Userlist, "users that may authenticate"),
];

/// Words of `defaults`, `frontend`, `backend` and `listen`.
pub(super) const PROXY: &[Entry<Act>] = &[
    entry!("acl", N | P, |_, _| Ok(()), "acl NAME FETCH [FLAGS] [VALUES…]: names a condition"),
    entry!("backlog", D | F, proxy::backlog, "backlog N: connections that may wait for acceptance"),
    entry!("balance", D | B, balance::balance, "balance ALGORITHM: how a server is chosen"),
    entry!("bind", F, bind::bind, "bind ADDRESS:PORT[,…] [OPTIONS…]: where to listen"),
    entry!("bind-process", ANY, proxy::bind_process, "old: processes that serve this section"),
    entry!("block", P, rules::old::block, "old: http-request deny"),
    entry!(
        "capture",
        F,
        proxy::capture,
        "capture request|response header NAME len N, capture cookie NAME len N"
    ),
    entry!("clitimeout", D | F, timeouts::old_client, "old: timeout client"),
    entry!(
        "compression",
        D | F | B,
        compression::compression,
        "compression algo|type|offload|…: compresses bodies on their way"
    ),
    entry!("contimeout", D | B, timeouts::old_connect, "old: timeout connect"),
    entry!("cookie", D | B, proxy::cookie, "cookie NAME rewrite|insert|prefix …: persistence by cookie"),
    entry!(
        "declare",
        F,
        rules::course::declare,
        "declare capture request|response len N: a slot for rules to fill"
    ),
    entry!(
        "default-server",
        D | B,
        server::default_server,
        "default-server OPTIONS…: what every server line begins with"
    ),
    entry!(
        "default_backend",
        D | F,
        proxy::default_backend,
        "default_backend NAME: backend without a matching use_backend"
    ),
    entry!("description", P, proxy::description, "description TEXT: shown on the statistics page"),
    entry!("disabled", ANY, proxy::disabled, "does not run"),
    entry!(
        "email-alert",
        ANY,
        mailers::email_alert,
        "email-alert mailers|from|to|level|myhostname VALUE: mails about servers"
    ),
    entry!("enabled", ANY, proxy::enabled, "runs, against 'disabled' in defaults"),
    entry!("errorfile", ANY, pages::errorfile, "errorfile STATUS FILE: a whole message as an error page"),
    entry!(
        "errorfiles",
        ANY,
        pages::errorfiles,
        "errorfiles NAME [STATUS…]: error pages of an http-errors section"
    ),
    entry!(
        "error-log-format",
        D | F,
        logs::error_log_format,
        "error-log-format FORMAT: line for failed requests"
    ),
    entry!(
        "errorloc",
        ANY,
        pages::errorloc302,
        "errorloc STATUS URL: redirects instead of an error page (302)"
    ),
    entry!(
        "errorloc302",
        ANY,
        pages::errorloc302,
        "errorloc302 STATUS URL: redirects instead of an error page"
    ),
    entry!(
        "errorloc303",
        ANY,
        pages::errorloc303,
        "errorloc303 STATUS URL: redirects instead of an error page"
    ),
    entry!(
        "external-check",
        D | B,
        check::external_check,
        "external-check command|path: the program of checks"
    ),
    entry!("filter", F | B, compression::filter, "filter compression|comp-req|comp-res"),
    entry!("fullconn", D | B, proxy::fullconn, "fullconn N: load at which dynamic limits are reached"),
    entry!("grace", D | F, proxy::grace, "old: time to keep listening while stopping"),
    entry!(
        "hash-balance-factor",
        D | B,
        balance::hash_balance_factor,
        "hash-balance-factor PERCENT: bounds the load of consistent hashing"
    ),
    entry!("hash-type", D | B, balance::hash_type, "hash-type map-based|consistent [FUNCTION [avalanche]]"),
    entry!(
        "http-after-response",
        N | P,
        rules::http_after_response,
        "http-after-response ACTION [if …]: on every response"
    ),
    entry!(
        "http-check",
        D | B,
        check::http_check,
        "http-check connect|send|expect …: what a check asks and wants"
    ),
    entry!("http-error", ANY, pages::http_error, "http-error status STATUS …: an error page"),
    entry!("http-request", N | P, rules::http_request, "http-request ACTION [if …]: on every request"),
    entry!(
        "http-response",
        N | P,
        rules::http_response,
        "http-response ACTION [if …]: on every response of a server"
    ),
    entry!("http-reuse", D | B, proxy::http_reuse, "http-reuse never|safe|aggressive|always"),
    entry!("id", P, proxy::id, "id N: number in statistics"),
    entry!("log", ANY, logs::log, "log global | log ADDRESS [len N] [format F] FACILITY [LEVEL [MINLEVEL]]"),
    entry!("log-format", D | F, logs::log_format, "log-format FORMAT: what a log line holds"),
    entry!(
        "load-server-state-from-file",
        D | B,
        states::load,
        "load-server-state-from-file global|local|none: states of servers at the start"
    ),
    entry!("log-tag", ANY, logs::log_tag, "log-tag NAME: tag of log lines"),
    entry!("maxconn", D | F, proxy::maxconn, "maxconn N: connections at once"),
    entry!("mode", ANY, proxy::mode, "mode tcp|http: what is spoken"),
    entry!("monitor", F, proxy::monitor, "monitor fail if …: when the monitor path answers 503"),
    entry!("monitor-net", D | F, rules::old::monitor_net, "old: answers 200 to these clients"),
    entry!(
        "monitor-uri",
        D | F,
        proxy::monitor_uri,
        "monitor-uri PATH: answered 200 without a server or a log line"
    ),
    entry!("option", ANY, options::option, "option NAME: switches a behaviour on"),
    entry!(
        "force-persist",
        B,
        super::use_server::force_persist,
        "force-persist if …: also to a server that is down"
    ),
    entry!("ignore-persist", B, super::use_server::ignore_persist, "ignore-persist if …: no persistence"),
    entry!("persist", D | B, proxy::persist, "persist rdp-cookie"),
    entry!(
        "rate-limit",
        D | F,
        proxy::rate_limit,
        "rate-limit sessions N: sessions that may begin in a second"
    ),
    entry!("redirect", P, rules::redirect_line, "redirect location|prefix|scheme TEXT …: redirects"),
    entry!("redispatch", D | B, options::old_redispatch, "old: option redispatch"),
    entry!("reqadd", P, rules::old::reqadd, "old: http-request add-header"),
    entry!("reqallow", P, rules::old::refused, "old: http-request allow"),
    entry!("reqdel", P, rules::old::reqdel, "old: http-request del-header"),
    entry!("reqdeny", P, rules::old::reqdeny, "old: http-request deny"),
    entry!("reqiallow", P, rules::old::refused, "old: http-request allow"),
    entry!("reqidel", P, rules::old::reqdel, "old: http-request del-header"),
    entry!("reqideny", P, rules::old::reqdeny, "old: http-request deny"),
    entry!("reqirep", P, rules::old::reqrep, "old: http-request replace-header or replace-uri"),
    entry!("reqitarpit", P, rules::old::reqdeny, "old: http-request tarpit"),
    entry!("reqrep", P, rules::old::reqrep, "old: http-request replace-header or replace-uri"),
    entry!("reqtarpit", P, rules::old::reqdeny, "old: http-request tarpit"),
    entry!("retries", D | B, proxy::retries, "retries N: further tries after a failure to connect"),
    entry!("retry-on", D | B, proxy::retry_on, "retry-on EVENTS…: what is tried again"),
    entry!("rspadd", P, rules::old::rspadd, "old: http-response add-header"),
    entry!("rspdel", P, rules::old::rspdel, "old: http-response del-header"),
    entry!("rspidel", P, rules::old::rspdel, "old: http-response del-header"),
    entry!("rspirep", P, rules::old::rsprep, "old: http-response replace-header"),
    entry!("rsprep", P, rules::old::rsprep, "old: http-response replace-header"),
    entry!(
        "server-state-file-name",
        D | B,
        states::file_name,
        "server-state-file-name [FILE]: file of server states of this section"
    ),
    entry!("server", B, server::server, "server NAME ADDRESS[:PORT] [OPTIONS…]"),
    entry!(
        "server-template",
        B,
        server::server_template,
        "server-template PREFIX NUMBER NAME[:PORT] [OPTIONS…]: so many servers of one name"
    ),
    entry!("source", D | B, proxy::source, "source ADDRESS[:PORT]: local address towards servers"),
    entry!("srvtimeout", D | B, timeouts::old_server, "old: timeout server"),
    entry!("stats", ANY, stats::stats, "stats enable | uri | auth | …: the statistics page"),
    entry!(
        "stick",
        B,
        tables::stick,
        "stick on|match|store-request|store-response KEY [table T] [if …]: persistence by table"
    ),
    entry!(
        "stick-table",
        P,
        tables::stick_table,
        "stick-table type T size N [expire TIME] [store DATA,…]: what is kept for each key"
    ),
    entry!(
        "tcp-check",
        D | B,
        check::tcp_check_rule,
        "tcp-check connect|send|expect …: what a check says and wants"
    ),
    entry!(
        "tcp-request",
        N | P,
        rules::tcp_request,
        "tcp-request connection|session|content ACTION [if …], tcp-request inspect-delay TIME"
    ),
    entry!(
        "tcp-response",
        N | B,
        rules::tcp_response,
        "tcp-response content ACTION [if …]: on the first bytes of an answer"
    ),
    entry!("timeout", ANY, timeouts::timeout, "timeout NAME TIME"),
    entry!("transparent", D | B, proxy::transparent, "old: option transparent"),
    entry!("unique-id-format", D | F, proxy::unique_id_format, "unique-id-format FORMAT: id of each request"),
    entry!(
        "unique-id-header",
        D | F,
        proxy::unique_id_header,
        "unique-id-header NAME: header that carries the id"
    ),
    entry!("use-server", B, super::use_server::use_server, "use-server NAME if …: chooses a server"),
    entry!("use_backend", F, proxy::use_backend, "use_backend NAME [if …]: chooses a backend"),
];

/// Words of proxies that are known and not there yet, with what may help.
pub(super) const PROXY_NOT_YET: &[(&str, &str)] = &[
    ("appsession", "use 'cookie NAME insert' for persistence"),
    ("clitcpka-cnt", ""),
    ("clitcpka-idle", ""),
    ("clitcpka-intvl", ""),
    ("crt", ""),
    ("dispatch", "write 'server NAME ADDRESS:PORT'"),
    ("dynamic-cookie-key", "give each server a 'cookie'"),
    ("force-be-switch", ""),
    ("hash-preserve-affinity", ""),
    ("hash-key", ""),
    ("http-send-name-header", "use 'http-request set-header NAME %s' where the server is known"),
    ("log-format-sd", ""),
    ("log-steps", ""),
    ("max-keep-alive-queue", ""),
    ("max-session-srv-conns", ""),
    ("quic-initial", ""),
    ("reqipass", "use 'http-request allow if …'"),
    ("reqpass", "use 'http-request allow if …'"),
    ("rspdeny", "use 'http-response deny if …'"),
    ("rspideny", "use 'http-response deny if …'"),
    ("srvtcpka-cnt", ""),
    ("srvtcpka-idle", ""),
    ("srvtcpka-intvl", ""),
    ("use-fcgi-app", ""),
    ("guid", ""),
];

/// A word of the language and what it does, for listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyword {
    /// Where it stands: `section`, `global`, `proxy`, `option`, `bind`, …
    pub place: &'static str,
    /// The word.
    pub name: &'static str,
    /// One line for the reader.
    pub manual: &'static str,
}

/// All words that are understood, table by table.
pub fn keywords() -> Vec<Keyword> {
    fn list<A>(place: &'static str, table: &'static [Entry<A>]) -> impl Iterator<Item = Keyword> {
        table.iter().map(move |e| Keyword { place, name: e.name, manual: e.manual })
    }
    let acls = acl::predefined_names().map(|(name, manual)| Keyword { place: "acl", name, manual });
    list("section", SECTIONS)
        .chain(list("global", global::GLOBAL))
        .chain(list("proxy", PROXY))
        .chain(list("timeout", timeouts::TIMEOUTS))
        .chain(list("option", options::OPTIONS))
        .chain(list("stats", stats::STATS))
        .chain(list("bind", bind::BIND))
        .chain(list("server", server::SERVER))
        .chain(list("balance", balance::ALGORITHMS))
        .chain(list("action", rules::ACTIONS))
        .chain(list("fetch", fetches::FETCHES))
        .chain(list("fetch", live::LIVE))
        .chain(list("fetch behind sc_, sc0_ … and src_", tables::FETCHES))
        .chain(list("converter", converters::CONVERTERS))
        .chain(list("converter", tables::CONVERTERS))
        .chain(acls)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_listed_once_and_explained() {
        let mut seen = std::collections::BTreeSet::new();
        for word in keywords() {
            assert!(seen.insert((word.place, word.name)), "{} {} twice", word.place, word.name);
            assert!(!word.manual.is_empty(), "{}", word.name);
        }
        for (name, _) in PROXY_NOT_YET {
            assert!(PROXY.iter().all(|e| e.name != *name), "{name} is there");
        }
    }
}
