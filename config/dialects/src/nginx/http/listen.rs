//! `listen`: addresses, ports and their parameters.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::values;
use plan::{Bind, BindAddress, Problem};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One listener that a server asks for.
pub(super) struct Listen<'t> {
    pub bind: Bind,
    /// It serves names that nobody has.
    pub default: bool,
    pub directive: &'t Directive,
}

/// Listeners of a server; port 80 when it names none.
pub(super) fn of_server<'t>(scope: &Scope<'t>, server: &'t Directive) -> Vec<Listen<'t>> {
    let mut all = Vec::new();
    for directive in scope.own_named("listen") {
        match read(directive, scope) {
            Ok(listens) => all.extend(listens),
            Err(problem) => scope.problem(problem),
        }
    }
    if scope.own_named("listen").next().is_none() {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);
        let bind = Bind::new(server.place.clone(), BindAddress::Tcp(any));
        all.push(Listen { bind, default: false, directive: server });
    }
    all
}

fn read<'t>(directive: &'t Directive, scope: &Scope<'_>) -> Result<Vec<Listen<'t>>, Problem> {
    let addresses = addresses(directive, scope, Some(80))?;
    let mut default = false;
    let mut model = Bind::new(directive.place.clone(), BindAddress::Inherited(0));
    // On Linux an IPv6 socket takes IPv4 too unless told otherwise; nginx tells it so.
    model.v6_only = true;
    // The client stays who connected until `real_ip_header` says otherwise.
    model.proxy_only_tells = true;
    for parameter in directive.arguments.iter().skip(1) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name, value) {
            ("default_server" | "default", "") => default = true,
            ("proxy_protocol", "") => model.accept_proxy = true,
            ("backlog", value) => {
                let backlog = values::number(value).and_then(|n| u32::try_from(n).ok());
                model.backlog =
                    Some(backlog.ok_or_else(|| directive.problem(format!("invalid backlog \"{value}\"")))?);
            }
            ("ipv6only", "on") => model.v6_only = true,
            ("ipv6only", "off") => model.v6_only = false,
            ("deferred", "") => model.defer_accept = true,
            ("ssl" | "quic" | "http2" | "spdy", "") => {
                let what = format!("\"listen ... {name}\" is not supported yet");
                return Err(directive
                    .problem(what)
                    .hint("take TLS away in front of Mainstay, or listen without it"));
            }
            ("bind" | "reuseport" | "multipath", "")
            | ("rcvbuf" | "sndbuf" | "fastopen" | "setfib" | "accept_filter" | "so_keepalive", _) => {
                scope.ground.told.note(directive, format!("\"{name}\" has no effect here"));
            }
            _ => return Err(directive.invalid_parameter(parameter)),
        }
    }
    let listen = |address| Listen { bind: Bind { address, ..model.clone() }, default, directive };
    Ok(addresses.into_iter().map(listen).collect())
}

/// The addresses of a `listen`: a range of ports gives several, a name all that it has. `port` is that of one that names
/// none; `None` = it must.
pub(in super::super) fn addresses(
    directive: &Directive,
    scope: &Scope<'_>,
    port: Option<u16>,
) -> Result<Vec<BindAddress>, Problem> {
    let text = directive.argument(0);
    let wrong = |why: &str| directive.problem(format!("{why} in \"{text}\" of the \"listen\" directive"));
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err(wrong("no path")),
            path => Ok(vec![BindAddress::Unix(path.into())]),
        };
    }
    let (host, ports) = split(text);
    let ports = match ports {
        None => port.map(|port| (port, port)).ok_or_else(|| wrong("no port"))?,
        Some(ports) => range(ports).ok_or_else(|| wrong("invalid port"))?,
    };
    let hosts: Vec<IpAddr> = match host {
        "" | "*" => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        "[::]" => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        host => match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => vec![address],
            Err(_) => scope.ground.sources.lookup(host).into_iter().collect(),
        },
    };
    if hosts.is_empty() {
        return Err(directive.problem(format!("host not found in \"{text}\" of the \"listen\" directive")));
    }
    let all = hosts.iter().flat_map(|host| (ports.0..=ports.1).map(|port| SocketAddr::new(*host, port)));
    Ok(all.map(BindAddress::Tcp).collect())
}

/// Host and port of `host:port`, `host`, `port`, `[address]:port`.
fn split(text: &str) -> (&str, Option<&str>) {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if text.starts_with('[') {
        return match text.split_once("]:") {
            Some((host, port)) => (&text[..=host.len()], Some(port)),
            None => (text, None),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None if digits(text) && !text.is_empty() => ("", Some(text)),
        None => (text, None),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
    (from > 0 && from <= to).then_some((from, to))
}
