//! `option NAME`: switches of proxies.

use super::check;
use super::keywords::{self, B, D, Entry, F};
use super::proxy::needs_http;
use super::said::{Cursor, Done, Said};
use super::scene::{LineFormat, Prefix, Proxy, Scene};
use plan::pool::Redispatch;
use plan::site::{ConnectionMode, ForwardedFor, HttpOptions, OddNames};

type Switch = fn(&mut Proxy, bool);
type Read = fn(&mut Scene<'_, '_>, &mut Cursor<'_>) -> Done;

/// What an option does.
pub(super) enum OptionAct {
    /// On or off; `no` may stand before it.
    Switch(Switch),
    /// A setting with words of its own.
    Read(Read),
    /// Chooses between behaviours; `no` may stand before it.
    ReadOrNo(Read),
    /// Changes nothing here, and why.
    NoEffect(&'static str),
    /// Known, not there yet, and what may help.
    NotYet(&'static str),
    /// Old: taken for this.
    Old(&'static str, Switch),
}

use OptionAct::{NoEffect, NotYet, Old, Read as Words, ReadOrNo, Switch as OnOff};

const FB: u8 = D | F | B;

macro_rules! entry {
    ($name:literal, $sections:expr, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: $sections, act: $act, manual: $manual }
    };
}

const KERNEL: &str = "bytes are passed on in the cheapest way anyway";
const TUNING: &str = "it tunes HAProxy's insides";
const COUNTERS: &str = "counters are always up to date";

/// All options.
pub(super) const OPTIONS: &[Entry<OptionAct>] = &[
    entry!(
        "abortonclose",
        FB,
        OnOff(|p, on| both(p, |h| h.abort_on_close = Some(on))),
        "a half-closed client that waits counts as gone"
    ),
    entry!(
        "accept-invalid-http-request",
        D | F,
        NotYet("invalid requests are always refused; remove it"),
        "accepts invalid requests"
    ),
    entry!(
        "accept-invalid-http-response",
        D | B,
        NotYet("invalid responses are always refused; remove it"),
        "accepts invalid responses"
    ),
    entry!(
        "accept-unsafe-violations-in-http-request",
        D | F,
        NotYet("invalid requests are always refused; remove it"),
        "accepts invalid requests"
    ),
    entry!(
        "accept-unsafe-violations-in-http-response",
        D | B,
        NotYet("invalid responses are always refused; remove it"),
        "accepts invalid responses"
    ),
    entry!(
        "allbackups",
        D | B,
        OnOff(|p, on| p.pool.all_backups = on),
        "all backup servers are used at once"
    ),
    entry!("checkcache", D | B, NotYet(""), "refuses cacheable cookies"),
    entry!("clitcpka", D | F, OnOff(|p, on| p.site.tcp_keep_alive = on), "TCP keep-alive towards clients"),
    entry!("contstats", D | F, NoEffect(COUNTERS), "counts while a transfer runs"),
    entry!(
        "disable-h2-upgrade",
        D | F,
        NoEffect("there is no HTTP/2 to upgrade to"),
        "no HTTP/2 by its preface"
    ),
    entry!("dontlog-normal", D | F, OnOff(|p, on| p.site.log.only_errors = on), "logs failures only"),
    entry!(
        "dontlognull",
        D | F,
        OnOff(|p, on| p.site.log.skip_empty = on),
        "does not log connections without a byte"
    ),
    entry!("external-check", D | B, Words(check::external_option), "checks by a program"),
    entry!(
        "forceclose",
        FB,
        Old("option httpclose", |p, on| connection(p, ConnectionMode::Close, on)),
        "old: option httpclose"
    ),
    entry!(
        "forwardfor",
        FB,
        Words(forwardfor),
        "forwardfor [except NETWORK] [header NAME] [if-none]: adds X-Forwarded-For"
    ),
    entry!("forwarded", D | B, NotYet("use 'option forwardfor'"), "adds Forwarded (RFC 7239)"),
    entry!("h1-case-adjust-bogus-client", D | F, NotYet(""), "header case for clients"),
    entry!("h1-case-adjust-bogus-server", D | B, NotYet(""), "header case for servers"),
    entry!(
        "http-buffer-request",
        FB,
        OnOff(|p, on| both(p, |h| h.buffer_request = on)),
        "waits for the body before a server is chosen"
    ),
    entry!("http-drop-request-trailers", D | B, NotYet(""), "drops trailers"),
    entry!("http-drop-response-trailers", D | F, NotYet(""), "drops trailers"),
    entry!(
        "http-ignore-probes",
        D | F,
        OnOff(|p, on| both(p, |h| h.ignore_probes = on)),
        "probes that send nothing are no errors"
    ),
    entry!(
        "http-keep-alive",
        FB,
        OnOff(|p, on| connection(p, ConnectionMode::KeepAlive, on)),
        "keeps both sides open"
    ),
    entry!("http-no-delay", FB, NoEffect("data is always passed on at once"), "passes data on at once"),
    entry!(
        "http-pretend-keepalive",
        FB,
        OnOff(|p, on| both(p, |h| h.pretend_keep_alive = on)),
        "hides the closing from servers"
    ),
    entry!(
        "http-restrict-req-hdr-names",
        FB,
        Words(odd_names),
        "http-restrict-req-hdr-names preserve|delete|reject: names with more than letters, digits and '-'"
    ),
    entry!(
        "http-server-close",
        FB,
        OnOff(|p, on| connection(p, ConnectionMode::ServerClose, on)),
        "closes the server side"
    ),
    entry!("http-tunnel", FB, Old("nothing, keep-alive does what it was for", |_, _| {}), "old: nothing"),
    entry!("http-use-htx", FB, Old("nothing, it was switched on for good", |_, _| {}), "old: nothing"),
    entry!("http-use-proxy-header", D | F, NotYet(""), "Proxy-Connection"),
    entry!("httpchk", D | B, Words(check::httpchk), "httpchk [METHOD] [URI] [VERSION]: checks by HTTP"),
    entry!("httpclose", FB, OnOff(|p, on| connection(p, ConnectionMode::Close, on)), "closes both sides"),
    entry!("httplog", D | F, Words(httplog), "httplog [clf]: the HTTP log line"),
    entry!("httpslog", D | F, Words(httpslog), "the HTTPS log line"),
    entry!(
        "idle-close-on-response",
        D | F,
        OnOff(|p, on| both(p, |h| h.idle_close_on_response = on)),
        "tells idle clients of a stop with a response"
    ),
    entry!("independant-streams", FB, NoEffect(TUNING), "time-outs of each side count alone"),
    entry!("independent-streams", FB, NoEffect(TUNING), "time-outs of each side count alone"),
    entry!("ldap-check", D | B, Words(check::ldap_check), "checks by LDAP"),
    entry!(
        "log-health-checks",
        D | B,
        OnOff(|p, on| p.pool.log_checks = on),
        "logs each check that changes something"
    ),
    entry!(
        "log-separate-errors",
        D | F,
        OnOff(|p, on| p.site.log.errors_at_err = on),
        "logs failures at level err"
    ),
    entry!("logasap", D | F, OnOff(|p, on| p.site.log.early = on), "logs once the response head is there"),
    entry!(
        "mysql-check",
        D | B,
        Words(check::mysql_check),
        "mysql-check [user NAME [post-41|pre-41|post-80]]: checks by MySQL"
    ),
    entry!("nolinger", FB, NoEffect("connections close in the regular way"), "resets connections"),
    entry!(
        "originalto",
        FB,
        Words(originalto),
        "originalto [except NETWORK] [header NAME]: adds X-Original-To"
    ),
    entry!("persist", D | B, OnOff(|p, on| p.pool.persist_to_down = on), "sends to servers that are down"),
    entry!("pgsql-check", D | B, Words(check::pgsql_check), "pgsql-check user NAME: checks by PostgreSQL"),
    entry!(
        "prefer-last-server",
        D | B,
        NoEffect("a connection is reused where it can be"),
        "stays with the last server"
    ),
    entry!("redis-check", D | B, Words(check::redis_check), "checks by Redis PING"),
    entry!("redispatch", D | B, ReadOrNo(redispatch), "redispatch [N]: another server may be tried"),
    entry!("smtpchk", D | B, Words(check::smtpchk), "smtpchk [HELO|EHLO DOMAIN]: checks by SMTP"),
    entry!(
        "socket-stats",
        D | F,
        NoEffect("statistics are kept for the whole section"),
        "statistics of each listener"
    ),
    entry!("splice-auto", FB, NoEffect(KERNEL), "splicing when it pays"),
    entry!("splice-request", FB, NoEffect(KERNEL), "splicing of requests"),
    entry!("splice-response", FB, NoEffect(KERNEL), "splicing of responses"),
    entry!("spop-check", D | B, NotYet(""), "checks by SPOP"),
    entry!("srvtcpka", D | B, OnOff(|p, on| p.pool.tcp_keep_alive = on), "TCP keep-alive towards servers"),
    entry!("ssl-hello-chk", D | B, Words(check::ssl_hello_check), "checks by a TLS greeting"),
    entry!("tcp-check", D | B, Words(check::tcp_check), "checks by a TCP connection"),
    entry!("tcp-smart-accept", D | F, NoEffect(TUNING), "saves a packet on acceptance"),
    entry!("tcp-smart-connect", D | B, NoEffect(TUNING), "saves a packet on connecting"),
    entry!(
        "tcpka",
        FB,
        OnOff(|p, on| {
            p.site.tcp_keep_alive = on;
            p.pool.tcp_keep_alive = on;
        }),
        "TCP keep-alive on both sides"
    ),
    entry!("tcplog", D | F, Words(tcplog), "the TCP log line"),
    entry!(
        "transparent",
        D | B,
        NotYet("write 'server NAME *' to go where the client wanted to go"),
        "connects where the client wanted to"
    ),
];

/// `option NAME …`; the cursor stands behind `option`.
pub(super) fn option(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let name = cursor.text("a name")?;
    let at = cursor.at - 1;
    let Some(entry) = OPTIONS.iter().find(|e| e.name == name) else {
        let hint = keywords::nearest(name, OPTIONS.iter().map(|e| e.name));
        return Err(Said::new(format!("unknown option '{name}'")).hint(hint).at(at));
    };
    if scene.prefix != Prefix::Plain && matches!(entry.act, Words(_)) {
        let word = cursor.line.text(0);
        return Err(Said::new(format!("'{word}' cannot stand before 'option {name}'"))
            .hint("only switches can be switched off; set another value instead"));
    }
    if entry.sections & keywords::sections_of(scene.proxy.kind, false) == 0 {
        let kind = scene.proxy.kind.word();
        scene.warn(format!("'option {name}' is ignored in a {kind} section"));
        return Ok(());
    }
    act(scene, cursor, entry, at)
}

fn act(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, entry: &Entry<OptionAct>, at: usize) -> Done {
    let (name, on) = (entry.name, scene.prefix == Prefix::Plain);
    match &entry.act {
        OnOff(switch) => {
            cursor.end()?;
            switch(scene.proxy, on);
        }
        Words(read) | ReadOrNo(read) => read(scene, cursor)?,
        NoEffect(why) => {
            cursor.end()?;
            scene.no_effect(cursor.line, at, why);
        }
        // Switched off is what is there.
        NotYet(_) if !on => cursor.end()?,
        NotYet(hint) => return Err(Said::not_yet(format!("'option {name}'")).hint(*hint).at(at)),
        Old(modern, switch) => {
            cursor.end()?;
            scene.shared.old(cursor.line, &format!("option {name}"), modern)?;
            switch(scene.proxy, on);
        }
    }
    Ok(())
}

/// `redispatch`, the word before `option redispatch`.
pub(super) fn old_redispatch(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    cursor.end()?;
    scene.shared.old(cursor.line, "redispatch", "option redispatch")?;
    scene.proxy.pool.retry.redispatch = Redispatch::Always;
    Ok(())
}

/// HTTP behaviour of both sides.
fn both(proxy: &mut Proxy, set: impl Fn(&mut HttpOptions)) {
    if proxy.kind.has_site() {
        set(&mut proxy.site.http);
    }
    if proxy.kind.has_pool() {
        set(&mut proxy.pool.http);
    }
}

/// The modes are exclusive: a later one replaces an earlier one; `no` falls back to keep-alive.
fn connection(proxy: &mut Proxy, mode: ConnectionMode, on: bool) {
    both(proxy, |http| {
        if on {
            http.connection = mode;
        } else if http.connection == mode {
            http.connection = ConnectionMode::KeepAlive;
        }
    });
}

fn redispatch(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if scene.prefix != Prefix::Plain {
        scene.proxy.pool.retry.redispatch = match scene.prefix {
            Prefix::No => Redispatch::Never,
            _ => Redispatch::Unsaid,
        };
        return cursor.end();
    }
    if !cursor.is_end() {
        let every: i64 = cursor.number("a number of tries")?;
        if every == 0 {
            scene.proxy.pool.retry.redispatch = Redispatch::Never;
            return cursor.end();
        }
        scene.no_effect(cursor.line, cursor.at - 1, "another server is tried as soon as that helps");
    }
    scene.proxy.pool.retry.redispatch = Redispatch::Always;
    cursor.end()
}

fn httplog(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.line = if cursor.eat("clf") { LineFormat::Clf } else { LineFormat::Http };
    cursor.end()
}

fn httpslog(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.line = LineFormat::Https;
    cursor.end()
}

fn tcplog(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.line = LineFormat::Tcp;
    cursor.end()
}

fn odd_names(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let what = "preserve, delete or reject";
    let odd = match cursor.text(what)? {
        "preserve" => OddNames::Keep,
        "delete" => OddNames::Delete,
        "reject" => OddNames::Refuse,
        other => return Err(cursor.wrong(other, what)),
    };
    both(scene.proxy, |http| http.odd_names = odd);
    cursor.end()
}

fn forwardfor(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let option = address_field(cursor, "X-Forwarded-For", true)?;
    both(scene.proxy, |http| http.forwarded_for = Some(option.clone()));
    needs_http(scene, cursor, "option forwardfor");
    Ok(())
}

fn originalto(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let option = address_field(cursor, "X-Original-To", false)?;
    both(scene.proxy, |http| http.original_to = Some(option.clone()));
    needs_http(scene, cursor, "option originalto");
    Ok(())
}

/// `[except NETWORK] [header NAME] [if-none]`.
fn address_field(cursor: &mut Cursor<'_>, name: &str, may_skip: bool) -> Done<ForwardedFor> {
    let mut option =
        ForwardedFor { header: name.to_owned(), except: plan::Networks::default(), if_none: false };
    while let Some(word) = cursor.next() {
        match word.text.as_str() {
            "except" => {
                let network = cursor.text("a network")?;
                let network = network.parse().map_err(|what: String| Said::new(what).at(cursor.at - 1))?;
                option.except.0.push(network);
            }
            "header" => option.header = cursor.text("the name of a header")?.to_owned(),
            "if-none" if may_skip => option.if_none = true,
            other if may_skip => return Err(cursor.wrong(other, "except, header or if-none")),
            other => return Err(cursor.wrong(other, "except or header")),
        }
    }
    Ok(option)
}
