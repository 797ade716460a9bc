//! `server` and `default-server` lines.

use super::address::{self, Host, Ports, Written};
use super::keywords::{self, ANY, Entry};
use super::lookup;
use super::said::{Cursor, Done, Said};
use super::scene::{Scene, Shared};
use super::units;
use plan::Lookup;
use plan::check::{AgentCheck, Check};
use plan::listener::ProxyVersion;
use plan::pool::{Observe, ObserveAction, ObserveLayer, Server, ServerAddress, Tracked};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What the words of a server line have said so far. A server begins with a copy of `default-server`.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerSettings {
    /// Local address to connect from.
    pub source: Option<SocketAddr>,
    check: bool,
    schedule: Check,
    check_proxy: bool,
    agent: bool,
    agent_port: Option<u16>,
    agent_address: Option<IpAddr>,
    agent_interval: Option<Duration>,
    agent_send: Option<Vec<u8>>,
    weight: Option<u16>,
    backup: bool,
    disabled: bool,
    max_connections: Option<u32>,
    min_connections: Option<u32>,
    max_queue: Option<u32>,
    slow_start: Option<Duration>,
    cookie: Option<String>,
    send_proxy: Option<ProxyVersion>,
    track: Option<String>,
    observe: Option<ObserveLayer>,
    error_limit: Option<u32>,
    on_error: ObserveAction,
    cut_when_down: bool,
    cut_backups_when_up: bool,
    idle_connections: Option<u32>,
    idle_low: Option<u32>,
    idle_life: Option<Duration>,
    max_reuse: Option<u32>,
    redirect_prefix: Option<String>,
    non_stick: bool,
    id: Option<u32>,
    lookup: Lookup,
}

type Set = fn(&mut Scene<'_, '_>, &mut ServerSettings, &mut Cursor<'_>) -> Done;

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: ANY, act: $act, manual: $manual }
    };
}

/// All options of `server` and `default-server`.
pub(super) const SERVER: &[Entry<Set>] = &[
    entry!("addr", |s, v, c| ip(s, &mut v.schedule.address, c), "address to check instead of the server's"),
    entry!("agent-addr", |s, v, c| ip(s, &mut v.agent_address, c), "address of the agent"),
    entry!("agent-check", |_, v, _| set(&mut v.agent, true), "asks an agent for weight and state"),
    entry!("agent-inter", |_, v, c| time(&mut v.agent_interval, c), "time between questions to the agent"),
    entry!("agent-port", |_, v, c| port(&mut v.agent_port, c), "port of the agent"),
    entry!("agent-send", agent_send, "text sent to the agent"),
    entry!("backup", |_, v, _| set(&mut v.backup, true), "used when no other server is usable"),
    entry!("check", |_, v, _| set(&mut v.check, true), "is checked"),
    entry!(
        "check-send-proxy",
        |_, v, _| set(&mut v.check_proxy, true),
        "PROXY protocol header before checks"
    ),
    entry!("cookie", |_, v, c| word(&mut v.cookie, c), "value of the persistence cookie"),
    entry!("disabled", |_, v, _| set(&mut v.disabled, true), "starts in maintenance"),
    entry!("downinter", |_, v, c| time(&mut v.schedule.down_interval, c), "time between checks while down"),
    entry!("enabled", |_, v, _| set(&mut v.disabled, false), "against 'disabled' in default-server"),
    entry!("error-limit", |_, v, c| number(&mut v.error_limit, c), "errors seen in traffic that act"),
    entry!(
        "fall",
        |_, v, c| c.number_in("a number", 1, 1000).map(|n| v.schedule.fall = n as u32),
        "failed checks that take it down"
    ),
    entry!(
        "fastinter",
        |_, v, c| time(&mut v.schedule.fast_interval, c),
        "time between checks while changing"
    ),
    entry!("id", |_, v, c| number(&mut v.id, c), "number in statistics"),
    entry!("init-addr", |_, v, c| lookup::first(&mut v.lookup, c), "how its address is found at the start"),
    entry!("inter", inter, "time between checks"),
    entry!("log-proto", tuning_with_word, "syslog transport"),
    entry!("max-reuse", max_reuse, "times a connection is used again"),
    entry!("maxconn", |_, v, c| limit(&mut v.max_connections, c), "requests or connections at once"),
    entry!("maxqueue", |_, v, c| limit(&mut v.max_queue, c), "requests that may wait for it"),
    entry!("minconn", |_, v, c| limit(&mut v.min_connections, c), "least dynamic limit"),
    entry!("no-agent-check", |_, v, _| set(&mut v.agent, false), "against 'agent-check' in default-server"),
    entry!("no-backup", |_, v, _| set(&mut v.backup, false), "against 'backup' in default-server"),
    entry!("no-check", |_, v, _| set(&mut v.check, false), "against 'check' in default-server"),
    entry!(
        "no-check-send-proxy",
        |_, v, _| set(&mut v.check_proxy, false),
        "against 'check-send-proxy' in default-server"
    ),
    entry!("no-send-proxy", |_, v, _| proxy(v, None), "against 'send-proxy' in default-server"),
    entry!("no-send-proxy-v2", |_, v, _| proxy(v, None), "against 'send-proxy-v2' in default-server"),
    entry!("no-tfo", |s, _, c| tuning(s, c), "TCP fast open"),
    entry!("non-stick", |_, v, _| set(&mut v.non_stick, true), "is never remembered in stick tables"),
    entry!("observe", observe, "watches its answers in traffic: layer4 or layer7"),
    entry!("on-error", on_error, "what happens at the error limit"),
    entry!("on-marked-down", on_marked_down, "shutdown-sessions: connections are cut when it goes down"),
    entry!(
        "on-marked-up",
        on_marked_up,
        "shutdown-backup-sessions: connections to backups are cut when it comes up"
    ),
    entry!("pool-conn-name", tuning_with_word, "name of its idle connections"),
    entry!(
        "pool-low-conn",
        |_, v, c| c.number_in("a number", 0, u64::from(u32::MAX)).map(|n| v.idle_low = Some(n as u32)),
        "idle connections below which threads keep their own"
    ),
    entry!("pool-max-conn", pool_max_conn, "idle connections kept at most"),
    entry!("pool-purge-delay", |_, v, c| time(&mut v.idle_life, c), "longest idle time of a connection"),
    entry!("port", |_, v, c| port(&mut v.schedule.port, c), "port to check instead of the server's"),
    entry!("proto", proto, "protocol spoken"),
    entry!("redir", |_, v, c| word(&mut v.redirect_prefix, c), "redirects there instead of proxying"),
    entry!(
        "resolve-net",
        |_, v, c| lookup::networks(&mut v.lookup, c),
        "preferred networks of a looked up address"
    ),
    entry!(
        "resolve-opts",
        |_, v, c| lookup::options(&mut v.lookup, c),
        "allow-dup-ip, ignore-weight, prevent-dup-ip"
    ),
    entry!(
        "resolve-prefer",
        |_, v, c| lookup::prefer(&mut v.lookup, c),
        "preferred family of a looked up address"
    ),
    entry!(
        "resolvers",
        |_, v, c| lookup::resolvers(&mut v.lookup, c),
        "name servers that are asked at run time"
    ),
    entry!(
        "rise",
        |_, v, c| c.number_in("a number", 1, 1000).map(|n| v.schedule.rise = n as u32),
        "passed checks that take it up"
    ),
    entry!("send-proxy", |_, v, _| proxy(v, Some(ProxyVersion::V1)), "PROXY protocol header, text form"),
    entry!("send-proxy-v2", |_, v, _| proxy(v, Some(ProxyVersion::V2)), "PROXY protocol header, binary form"),
    entry!("slowstart", |_, v, c| time(&mut v.slow_start, c), "time over which load grows after it came up"),
    entry!(
        "source",
        |s, v, c| source_address(s.shared, c).map(|a| v.source = a),
        "local address to connect from"
    ),
    entry!("stick", |_, v, _| set(&mut v.non_stick, false), "against 'non-stick' in default-server"),
    entry!("tcp-ut", tuning_with_word, "longest time unacknowledged"),
    entry!("tfo", |s, _, c| tuning(s, c), "TCP fast open"),
    entry!("track", |_, v, c| word(&mut v.track, c), "[BACKEND/]SERVER: follows another server's checks"),
    entry!(
        "weight",
        |_, v, c| c.number_in("a weight", 0, 256).map(|n| v.weight = Some(n as u16)),
        "share of the load, 0 to 256"
    ),
];

/// Options that have a meaning with `ssl` only, with the number of words behind them.
const TLS_OPTIONS: &[(&str, usize)] = &[
    ("allow-0rtt", 0),
    ("alpn", 1),
    ("ca-file", 1),
    ("check-alpn", 1),
    ("check-sni", 1),
    ("ciphers", 1),
    ("ciphersuites", 1),
    ("client-sigalgs", 1),
    ("crl-file", 1),
    ("crt", 1),
    ("curves", 1),
    ("force-sslv3", 0),
    ("force-tlsv10", 0),
    ("force-tlsv11", 0),
    ("force-tlsv12", 0),
    ("force-tlsv13", 0),
    ("no-check-ssl", 0),
    ("no-ssl", 0),
    ("no-ssl-reuse", 0),
    ("no-sslv3", 0),
    ("no-tls-tickets", 0),
    ("no-tlsv10", 0),
    ("no-tlsv11", 0),
    ("no-tlsv12", 0),
    ("no-tlsv13", 0),
    ("no-verifyhost", 0),
    ("npn", 1),
    ("renegotiate", 0),
    ("sigalgs", 1),
    ("sni", 1),
    ("ssl-max-ver", 1),
    ("ssl-min-ver", 1),
    ("ssl-reuse", 0),
    ("tls-tickets", 0),
    ("verify", 1),
    ("verifyhost", 1),
];

/// Options that are known and not there yet, with what may help.
const NOT_YET: &[(&str, &str)] = &[
    ("cc", ""),
    ("check-proto", ""),
    ("check-ssl", "TLS to servers comes later; check a plain port"),
    ("check-via-socks4", ""),
    ("enable", ""),
    ("guid", ""),
    ("hash-key", ""),
    ("idle-ping", ""),
    ("log-bufsize", ""),
    ("namespace", ""),
    ("no-sni-auto", ""),
    ("proxy-v2-options", "use 'send-proxy-v2'"),
    ("send-proxy-v2-ssl", "use 'send-proxy-v2'"),
    ("send-proxy-v2-ssl-cn", "use 'send-proxy-v2'"),
    ("set-proxy-v2-tlv-fmt", ""),
    ("shard", ""),
    ("sni-auto", ""),
    ("socks4", ""),
    ("ssl", "TLS to servers comes later; use a plain port"),
    ("strict-maxconn", ""),
    ("ws", ""),
];

/// `default-server OPTIONS…`.
pub(super) fn default_server(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut settings = scene.proxy.server.clone();
    read_options(scene, &mut settings, cursor)?;
    scene.proxy.server = settings;
    Ok(())
}

/// `server NAME ADDRESS[:PORT] OPTIONS…`.
pub(super) fn server(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let name = cursor.text("a name and an address")?;
    if let Some(bad) = units::bad_in_name(name) {
        return Err(Said::new(format!("'{bad}' may not stand in the server name '{name}'")).at(1));
    }
    let address = read_address(scene, cursor)?;
    let mut settings = scene.proxy.server.clone();
    read_options(scene, &mut settings, cursor)?;
    let server = settings.server(cursor, &scene.proxy.name, name, address)?;
    scene.proxy.pool.servers.push(server);
    Ok(())
}

/// `server-template PREFIX NUMBER|LOW-HIGH NAME[:PORT] OPTIONS…`: so many servers of one name.
pub(super) fn server_template(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let prefix = cursor.text("a prefix, a number and a host name")?;
    if let Some(bad) = units::bad_in_name(prefix) {
        return Err(Said::new(format!("'{bad}' may not stand in the server name '{prefix}'")).at(1));
    }
    let range = cursor.text("a number of servers")?;
    let (low, high) = template_range(range).ok_or_else(|| {
        cursor.wrong(range, &format!("a number up to {MAX_TEMPLATE}, or a range such as 1-3"))
    })?;
    let address = read_address(scene, cursor)?;
    let mut settings = scene.proxy.server.clone();
    read_options(scene, &mut settings, cursor)?;
    if settings.id.is_some() {
        return Err(Said::new("the servers of a template cannot share one 'id'").hint("remove it"));
    }
    for number in low..=high {
        let server = settings.clone().server(
            cursor,
            &scene.proxy.name,
            &format!("{prefix}{number}"),
            address.clone(),
        )?;
        scene.proxy.pool.servers.push(server);
    }
    Ok(())
}

/// Servers that one template may make: a slip of the pen must not fill the memory.
const MAX_TEMPLATE: u32 = 10_000;

fn template_range(text: &str) -> Option<(u32, u32)> {
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (low.parse().ok()?, high.parse().ok()?),
        None => (1, text.parse().ok()?),
    };
    (low <= high && high > 0 && high - low < MAX_TEMPLATE).then_some((low, high))
}

fn read_address(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<ServerAddress> {
    let at = cursor.at;
    let text = cursor.text("an address such as 10.0.0.1:80")?;
    let read = address::read(text, &scene.shared.environment).map_err(|said| said.at(at))?;
    for variable in read.missing {
        let what = format!("the variable '{variable}' is not set and counts as empty");
        scene.shared.note(cursor.line.place(at), what);
    }
    server_address(read.written, text).map_err(|said| said.at(at))
}

fn server_address(written: Written, text: &str) -> Done<ServerAddress> {
    let (host, ports) = match written {
        Written::Host(host, ports) => (host, ports),
        Written::Unix(path) => return Ok(ServerAddress::Unix(PathBuf::from(path))),
        Written::Abstract(_) => return Err(Said::not_yet("an abstract unix socket as a server")),
        Written::Descriptor(_) => return Err(Said::not_yet("an inherited descriptor as a server")),
    };
    let any = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    match (host, ports) {
        (Host::Any(_), Ports::Missing) => Ok(ServerAddress::Transparent),
        (_, Ports::Range(low, high)) if low != high => {
            Err(Said::new(format!("'{text}': a server has one port, not a range")))
        }
        (Host::Any(_), Ports::Range(port, _)) => Ok(ServerAddress::Tcp(SocketAddr::new(any, port))),
        (Host::Any(_), Ports::Offset(offset)) => Ok(ServerAddress::MappedPort(any, offset)),
        (Host::Address(ip), Ports::Range(0, _) | Ports::Missing) => Ok(ServerAddress::MappedPort(ip, 0)),
        (Host::Address(ip), Ports::Range(port, _)) => Ok(ServerAddress::Tcp(SocketAddr::new(ip, port))),
        (Host::Address(ip), Ports::Offset(offset)) => Ok(ServerAddress::MappedPort(ip, offset)),
        (Host::Name(name), _) if name.starts_with('_') => Ok(ServerAddress::Service(name)),
        (Host::Name(name), Ports::Range(port, _)) if port > 0 => Ok(ServerAddress::Name(name, port)),
        (Host::Name(name), Ports::Offset(offset)) => Ok(ServerAddress::MappedName(name, offset)),
        (Host::Name(name), _) => Ok(ServerAddress::MappedName(name, 0)),
    }
}

impl ServerSettings {
    fn server(self, cursor: &Cursor<'_>, pool: &str, name: &str, address: ServerAddress) -> Done<Server> {
        if self.agent && self.agent_port.is_none() {
            return Err(Said::new(format!("the server '{name}' has 'agent-check' but no 'agent-port'")));
        }
        let mut schedule = self.schedule.clone();
        // A check that goes elsewhere than the traffic carries the header only when told so.
        if self.check_proxy {
            schedule.send_proxy = self.send_proxy.or(Some(ProxyVersion::V1));
        } else if schedule.port.is_none() && schedule.address.is_none() {
            schedule.send_proxy = self.send_proxy;
        }
        let mut server = Server::new(cursor.line.place(0), name, self.id.unwrap_or(0), address);
        server.agent = self.agent_check();
        server.lookup = self.lookup;
        server.check = self.check.then_some(schedule);
        server.weight = self.weight.unwrap_or(1);
        server.backup = self.backup;
        server.disabled = self.disabled;
        server.max_connections = self.max_connections;
        server.min_connections = self.min_connections;
        server.max_queue = self.max_queue;
        server.slow_start = self.slow_start;
        server.observe = self.observe.map(|layer| Observe {
            layer,
            error_limit: self.error_limit.unwrap_or(10),
            action: self.on_error,
        });
        server.told_rise = self.schedule.rise;
        server.track = self.track.as_deref().map(|tracked| {
            let (pool, server) = tracked.split_once('/').unwrap_or((pool, tracked));
            Tracked { pool: pool.to_owned(), server: server.to_owned() }
        });
        server.source = self.source;
        server.cookie = self.cookie;
        server.send_proxy = self.send_proxy;
        server.cut_when_down = self.cut_when_down;
        server.cut_backups_when_up = self.cut_backups_when_up;
        server.idle_connections = self.idle_connections;
        server.idle_low = self.idle_low;
        server.idle_life = self.idle_life;
        server.max_reuse = self.max_reuse;
        server.redirect_prefix = self.redirect_prefix;
        server.non_stick = self.non_stick;
        Ok(server)
    }

    fn agent_check(&self) -> Option<AgentCheck> {
        let port = self.agent_port.filter(|_| self.agent)?;
        Some(AgentCheck {
            port,
            address: self.agent_address,
            interval: self.agent_interval.unwrap_or(Duration::from_secs(2)),
            send: self.agent_send.clone(),
        })
    }
}

fn read_options(scene: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    while let Some(word) = cursor.next() {
        let at = cursor.at - 1;
        let name = word.text.as_str();
        if let Some(entry) = SERVER.iter().find(|e| e.name == name) {
            (entry.act)(scene, settings, cursor)?;
        } else if let Some((_, words)) = TLS_OPTIONS.iter().find(|(n, _)| *n == name) {
            let tls = cursor.line.words.iter().any(|w| w.text == "ssl" || w.text == "check-ssl");
            if !tls {
                scene.no_effect(cursor.line, at, "without 'ssl' it changes nothing");
            }
            for _ in 0..*words {
                cursor.text("a value")?;
            }
        } else if let Some((_, hint)) = NOT_YET.iter().find(|(n, _)| *n == name) {
            return Err(Said::not_yet(format!("'{name}' on a server line")).hint(*hint).at(at));
        } else {
            let hint = keywords::nearest(name, SERVER.iter().map(|e| e.name));
            return Err(Said::new(format!("unknown option '{name}' on a server line")).hint(hint).at(at));
        }
    }
    Ok(())
}

/// Reads the local address behind `source`; `0.0.0.0` means "any".
pub(super) fn source_address(shared: &Shared<'_>, cursor: &mut Cursor<'_>) -> Done<Option<SocketAddr>> {
    let at = cursor.at;
    let text = cursor.text("an address")?;
    if matches!(cursor.peek(), "usesrc" | "interface") {
        return Err(Said::not_yet(format!("'source … {}'", cursor.peek())).at(cursor.at));
    }
    let Written::Host(host, ports) = address::read(text, &shared.environment).map_err(|s| s.at(at))?.written
    else {
        return Err(Said::new(format!("'{text}' is no network address")).at(at));
    };
    let port = match ports {
        Ports::Missing => 0,
        Ports::Range(low, high) if low == high => low,
        _ => return Err(Said::not_yet("'source' with a range of ports").at(at)),
    };
    let ip = address::resolve(&host, shared.sources).map_err(|said| said.at(at))?;
    Ok((!ip.is_unspecified() || port > 0).then(|| SocketAddr::new(ip, port)))
}

fn set(flag: &mut bool, value: bool) -> Done {
    *flag = value;
    Ok(())
}

fn proxy(settings: &mut ServerSettings, version: Option<ProxyVersion>) -> Done {
    settings.send_proxy = version;
    Ok(())
}

fn word(field: &mut Option<String>, cursor: &mut Cursor<'_>) -> Done {
    *field = Some(cursor.text("a word")?.to_owned());
    Ok(())
}

fn time(field: &mut Option<Duration>, cursor: &mut Cursor<'_>) -> Done {
    *field = units::limit(cursor.time()?);
    Ok(())
}

fn number(field: &mut Option<u32>, cursor: &mut Cursor<'_>) -> Done {
    *field = Some(cursor.number_in("a number", 1, i32::MAX as u64)? as u32);
    Ok(())
}

/// A limit; 0 means none.
fn limit(field: &mut Option<u32>, cursor: &mut Cursor<'_>) -> Done {
    let value = cursor.number_in("a number", 0, i32::MAX as u64)? as u32;
    *field = (value > 0).then_some(value);
    Ok(())
}

fn port(field: &mut Option<u16>, cursor: &mut Cursor<'_>) -> Done {
    *field = Some(cursor.number_in("a port", 1, 65535)? as u16);
    Ok(())
}

fn ip(scene: &mut Scene<'_, '_>, field: &mut Option<IpAddr>, cursor: &mut Cursor<'_>) -> Done {
    let at = cursor.at;
    let text = cursor.text("an address")?;
    let read = address::read(text, &scene.shared.environment).map_err(|said| said.at(at))?;
    let Written::Host(host, Ports::Missing) = read.written else {
        return Err(Said::new(format!("'{text}' is no plain address")).at(at));
    };
    *field = Some(address::resolve(&host, scene.shared.sources).map_err(|said| said.at(at))?);
    Ok(())
}

fn inter(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    let time = cursor.time()?;
    if time.is_zero() {
        return Err(Said::new("the time between checks cannot be 0").at(cursor.at - 1));
    }
    settings.schedule.interval = time;
    Ok(())
}

fn agent_send(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    settings.agent_send = Some(cursor.need("a text")?.bytes.clone());
    Ok(())
}

fn pool_max_conn(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    let count: i64 = cursor.number("a number, or -1 for no limit")?;
    settings.idle_connections = u32::try_from(count).ok();
    Ok(())
}

fn max_reuse(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    let count: i64 = cursor.number("a number, or -1 for no limit")?;
    settings.max_reuse = u32::try_from(count).ok();
    Ok(())
}

fn observe(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    settings.observe = match cursor.text("layer4 or layer7")? {
        "none" => None,
        "layer4" => Some(ObserveLayer::Connection),
        "layer7" => Some(ObserveLayer::Http),
        other => return Err(cursor.wrong(other, "layer4 or layer7")),
    };
    Ok(())
}

fn on_error(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    settings.on_error = match cursor.text("fastinter, fail-check, sudden-death or mark-down")? {
        "fastinter" => ObserveAction::FastInter,
        "fail-check" => ObserveAction::FailCheck,
        "sudden-death" => ObserveAction::SuddenDeath,
        "mark-down" => ObserveAction::MarkDown,
        other => return Err(cursor.wrong(other, "fastinter, fail-check, sudden-death or mark-down")),
    };
    Ok(())
}

fn on_marked_down(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("shutdown-sessions")? {
        "shutdown-sessions" => set(&mut settings.cut_when_down, true),
        other => Err(cursor.wrong(other, "shutdown-sessions")),
    }
}

fn on_marked_up(_: &mut Scene<'_, '_>, settings: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("shutdown-backup-sessions")? {
        "shutdown-backup-sessions" => set(&mut settings.cut_backups_when_up, true),
        other => Err(cursor.wrong(other, "shutdown-backup-sessions")),
    }
}

fn proto(_: &mut Scene<'_, '_>, _: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("h1")? {
        "h1" => Ok(()),
        "h2" => Err(Said::not_yet("HTTP/2 to servers ('proto h2')").at(cursor.at - 1)),
        "fcgi" => Err(Said::not_yet("FastCGI ('proto fcgi')").at(cursor.at - 1)),
        other => Err(cursor.wrong(other, "h1")),
    }
}

fn tuning(scene: &mut Scene<'_, '_>, cursor: &Cursor<'_>) -> Done {
    scene.no_effect(cursor.line, cursor.at - 1, "it tunes HAProxy's insides");
    Ok(())
}

fn tuning_with_word(scene: &mut Scene<'_, '_>, _: &mut ServerSettings, cursor: &mut Cursor<'_>) -> Done {
    tuning(scene, cursor)?;
    cursor.text("a value").map(|_| ())
}
