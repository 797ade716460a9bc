//! `bind` lines: addresses and options of listeners.

use super::address::{self, Family, Host, Ports, Written};
use super::keywords::{self, ANY, Entry};
use super::said::{Cursor, Done, Said};
use super::scene::{Scene, Shared};
use super::units;
use plan::{Bind, BindAddress};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Most listeners that one section may open, against ranges of ports written by mistake.
const MAX_LISTENERS: usize = 10_000;

/// What an option does to the listeners of its line.
type Set = fn(&mut Scene<'_, '_>, &mut Bind, &mut Cursor<'_>) -> Done;

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: ANY, act: $act, manual: $manual }
    };
}

/// All options of `bind`.
pub(super) const BIND: &[Entry<Set>] = &[
    entry!("accept-proxy", |_, b, _| set(&mut b.accept_proxy, true), "a PROXY protocol header comes first"),
    entry!("alpn", tls_only, "protocols offered by TLS"),
    entry!("backlog", |_, b, c| number(&mut b.backlog, c), "connections that may wait for acceptance"),
    entry!("defer-accept", |_, b, _| set(&mut b.defer_accept, true), "accept once data has come"),
    entry!("expose-fd", tuning_with_word, "passes listeners on by the runtime socket"),
    entry!("gid", |_, b, c| word(&mut b.group, c), "group of a unix socket, as a number"),
    entry!("group", |_, b, c| word(&mut b.group, c), "group of a unix socket"),
    entry!("id", tuning_with_word, "number of the listener in statistics"),
    entry!("interface", |_, b, c| word(&mut b.interface, c), "network interface"),
    entry!("maxconn", |_, b, c| number(&mut b.max_connections, c), "connections at once"),
    entry!("mode", |_, b, c| permissions(&mut b.mode, c), "permissions of a unix socket"),
    entry!("mss", tuning_with_word, "largest TCP segment"),
    entry!("name", |_, b, c| word(&mut b.name, c), "name in statistics"),
    entry!("nice", tuning_with_word, "priority"),
    entry!("proto", proto, "protocol spoken"),
    entry!("process", process, "old: threads that serve it"),
    entry!("shards", tuning_with_word, "number of sockets"),
    entry!("tcp-ut", tuning_with_word, "longest time unacknowledged"),
    entry!("tfo", |s, _, c| tuning(s, c), "TCP fast open"),
    entry!("thread", tuning_with_word, "threads that serve it"),
    entry!("transparent", |_, b, _| set(&mut b.transparent, true), "binds an address that is not here"),
    entry!("uid", |_, b, c| word(&mut b.user, c), "owner of a unix socket, as a number"),
    entry!("user", |_, b, c| word(&mut b.user, c), "owner of a unix socket"),
    entry!("v4v6", |_, b, _| set(&mut b.v6_only, false), "IPv6 socket that takes IPv4 too"),
    entry!("v6only", |_, b, _| set(&mut b.v6_only, true), "IPv6 socket that takes no IPv4"),
];

/// Options that have a meaning with `ssl` only, with the number of words behind them.
const TLS_OPTIONS: &[(&str, usize)] = &[
    ("allow-0rtt", 0),
    ("ca-file", 1),
    ("ca-ignore-err", 1),
    ("ca-sign-file", 1),
    ("ca-sign-pass", 1),
    ("ca-verify-file", 1),
    ("ciphers", 1),
    ("ciphersuites", 1),
    ("client-sigalgs", 1),
    ("crl-file", 1),
    ("crt", 1),
    ("crt-ignore-err", 1),
    ("crt-list", 1),
    ("curves", 1),
    ("default-crt", 1),
    ("ecdhe", 1),
    ("force-sslv3", 0),
    ("force-tlsv10", 0),
    ("force-tlsv11", 0),
    ("force-tlsv12", 0),
    ("force-tlsv13", 0),
    ("generate-certificates", 0),
    ("no-alpn", 0),
    ("no-ca-names", 0),
    ("no-sslv3", 0),
    ("no-tls-tickets", 0),
    ("no-tlsv10", 0),
    ("no-tlsv11", 0),
    ("no-tlsv12", 0),
    ("no-tlsv13", 0),
    ("npn", 1),
    ("ocsp-update", 1),
    ("prefer-client-ciphers", 0),
    ("sigalgs", 1),
    ("ssl-max-ver", 1),
    ("ssl-min-ver", 1),
    ("strict-sni", 0),
    ("tls-ticket-keys", 1),
    ("tls-tickets", 0),
    ("verify", 1),
];

/// Options that are known and not there yet.
const NOT_YET: &[&str] = &[
    "accept-netscaler-cip",
    "cc",
    "idle-ping",
    "ktls",
    "label",
    "namespace",
    "nbconn",
    "quic-cc-algo",
    "quic-force-retry",
    "quic-socket",
    "guid-prefix",
    "severity-output",
    "level",
];

/// `bind ADDRESS[,ADDRESS…] OPTIONS…`; the cursor stands at the addresses.
pub(super) fn bind(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let at = cursor.at;
    let addresses = cursor.text("an address such as :80 or 10.0.0.1:80")?;
    let list = addresses_of(scene.shared, addresses, cursor).map_err(|said| said.at(at))?;
    let place = cursor.line.place(at);
    let mut pattern = Bind::new(place, BindAddress::Inherited(0));
    read_options(scene, &mut pattern, cursor)?;
    if scene.proxy.site.binds.len() + list.len() > MAX_LISTENERS {
        return Err(Said::new(format!("more than {MAX_LISTENERS} listeners in one section")));
    }
    pattern.backlog = pattern.backlog.or(scene.proxy.backlog);
    let binds = list.into_iter().map(|address| Bind { address, ..pattern.clone() });
    scene.proxy.site.binds.extend(binds);
    Ok(())
}

/// All addresses of a list separated by commas, ranges of ports spread out.
pub(super) fn addresses_of(
    shared: &mut Shared<'_>,
    text: &str,
    cursor: &Cursor<'_>,
) -> Done<Vec<BindAddress>> {
    let mut list = Vec::new();
    for part in text.split(',') {
        let read = address::read(part, &shared.environment)?;
        for name in read.missing {
            let what = format!("the variable '{name}' is not set and counts as empty");
            shared.note(cursor.line.place(cursor.at - 1), what);
        }
        match read.written {
            Written::Unix(path) => list.push(BindAddress::Unix(PathBuf::from(path))),
            Written::Abstract(name) => list.push(BindAddress::Abstract(name)),
            Written::Descriptor(fd) => list.push(BindAddress::Inherited(fd)),
            Written::Host(host, ports) => network(shared, &host, ports, part, &mut list)?,
        }
    }
    Ok(list)
}

fn network(shared: &Shared<'_>, host: &Host, ports: Ports, text: &str, list: &mut Vec<BindAddress>) -> Done {
    let ip = match host {
        Host::Any(Family::V6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        host => address::resolve(host, shared.sources)?,
    };
    let (low, high) = match ports {
        Ports::Range(low, high) if low > 0 => (low, high),
        Ports::Range(..) => return Err(Said::new(format!("'{text}': a listener cannot have the port 0"))),
        Ports::Missing => {
            return Err(Said::new(format!("'{text}' has no port")).hint("add one: ADDRESS:PORT"));
        }
        Ports::Offset(_) => return Err(Said::new(format!("'{text}': a listener's port is a number"))),
    };
    if usize::from(high - low) >= MAX_LISTENERS {
        return Err(Said::new(format!("'{text}' opens more than {MAX_LISTENERS} listeners")));
    }
    list.extend((low..=high).map(|port| BindAddress::Tcp(SocketAddr::new(ip, port))));
    Ok(())
}

fn read_options(scene: &mut Scene<'_, '_>, bind: &mut Bind, cursor: &mut Cursor<'_>) -> Done {
    let tls = cursor.line.words[cursor.at..].iter().any(|w| w.text == "ssl");
    if tls {
        let at = cursor.line.words.iter().position(|w| w.text == "ssl").unwrap_or(cursor.at);
        let said =
            Said::not_yet("TLS ('ssl' on a bind line)").hint("terminate TLS before this listener for now");
        return Err(said.at(at));
    }
    while let Some(word) = cursor.next() {
        let at = cursor.at - 1;
        let name = word.text.as_str();
        if let Some(entry) = BIND.iter().find(|e| e.name == name) {
            (entry.act)(scene, bind, cursor)?;
        } else if let Some((_, words)) = TLS_OPTIONS.iter().find(|(n, _)| *n == name) {
            scene.no_effect(cursor.line, at, "without 'ssl' it changes nothing");
            for _ in 0..*words {
                cursor.text("a value")?;
            }
        } else if NOT_YET.contains(&name) {
            return Err(Said::not_yet(format!("'{name}' on a bind line")).at(at));
        } else {
            let hint = keywords::nearest(name, BIND.iter().map(|e| e.name));
            return Err(Said::new(format!("unknown option '{name}' on a bind line")).hint(hint).at(at));
        }
    }
    Ok(())
}

fn set(flag: &mut bool, value: bool) -> Done {
    *flag = value;
    Ok(())
}

fn word(field: &mut Option<String>, cursor: &mut Cursor<'_>) -> Done {
    *field = Some(cursor.text("a word")?.to_owned());
    Ok(())
}

fn number(field: &mut Option<u32>, cursor: &mut Cursor<'_>) -> Done {
    *field = Some(cursor.number_in("a number", 1, u64::from(u32::MAX))? as u32);
    Ok(())
}

/// Reads permissions in octal.
pub(super) fn permissions(field: &mut Option<u32>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("permissions such as 660")?;
    *field = Some(
        units::permissions(word).ok_or_else(|| cursor.wrong(word, "permissions in octal, such as 660"))?,
    );
    Ok(())
}

fn tls_only(scene: &mut Scene<'_, '_>, _: &mut Bind, cursor: &mut Cursor<'_>) -> Done {
    cursor.text("a list of protocols")?;
    scene.no_effect(cursor.line, cursor.at - 2, "without 'ssl' it changes nothing");
    Ok(())
}

fn tuning(scene: &mut Scene<'_, '_>, cursor: &Cursor<'_>) -> Done {
    scene.no_effect(cursor.line, cursor.at - 1, "it tunes HAProxy's insides");
    Ok(())
}

fn tuning_with_word(scene: &mut Scene<'_, '_>, _: &mut Bind, cursor: &mut Cursor<'_>) -> Done {
    tuning(scene, cursor)?;
    cursor.text("a value").map(|_| ())
}

fn process(scene: &mut Scene<'_, '_>, _: &mut Bind, cursor: &mut Cursor<'_>) -> Done {
    cursor.text("a set of processes")?;
    scene.shared.old(cursor.line, "process", "nothing, all threads serve all listeners")
}

fn proto(_: &mut Scene<'_, '_>, _: &mut Bind, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("h1")? {
        "h1" => Ok(()),
        "h2" => Err(Said::not_yet("HTTP/2 ('proto h2')").at(cursor.at - 1)),
        other => Err(cursor.wrong(other, "h1")),
    }
}
