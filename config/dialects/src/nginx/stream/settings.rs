//! What counts in a server of `stream {}`: found from the inside out.

use super::super::http::settings::{access, network};
use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::{resolver, values};
use super::{Streams, limits, logs};
use plan::listener::ProxyVersion;
use plan::network::Network;
use plan::stream::{Asked, Datagrams, NextServer, Preread, StreamSettings, Trusted};
use plan::{Problem, Template};

/// All settings in force in the scope.
pub(super) fn read(scope: &Scope<'_>, streams: &Streams<'_>) -> StreamSettings {
    let usual = StreamSettings::default();
    StreamSettings {
        access: access(scope),
        limits: limits::read(scope, &streams.zones),
        set: set(scope, streams),
        logs: logs::read(scope, &streams.variables),
        preread: scope.flag("ssl_preread", false).then(|| preread(scope)),
        real_ip_from: real_ip(scope),
        connect_timeout: scope.time("proxy_connect_timeout").unwrap_or(usual.connect_timeout),
        silence: scope.time("proxy_timeout").unwrap_or(usual.silence),
        resolver: resolver::in_force(scope).map(|group| Asked { group, patience: resolver::timeout(scope) }),
        next: next(scope),
        half_close: scope.flag("proxy_half_close", usual.half_close),
        send_proxy: scope.find("proxy_protocol").and_then(|d| scope.keep(d.choice(0, PROXY))).flatten(),
        source: scope.find("proxy_bind").and_then(|d| scope.keep(source(d, streams))).flatten(),
        keep_alive: scope.flag("proxy_socket_keepalive", usual.keep_alive),
        no_delay: scope.flag("tcp_nodelay", usual.no_delay),
        upload_rate: scope.find("proxy_upload_rate").and_then(|d| scope.keep(rate(d, streams))),
        download_rate: scope.find("proxy_download_rate").and_then(|d| scope.keep(rate(d, streams))),
        datagrams: Datagrams {
            requests: count(scope, "proxy_requests").filter(|requests| *requests > 0),
            responses: count(scope, "proxy_responses"),
        },
        ..usual
    }
}

/// Words of `proxy_protocol`.
const PROXY: &[(&str, Option<ProxyVersion>)] =
    &[("on", Some(ProxyVersion::V1)), ("v2", Some(ProxyVersion::V2)), ("off", None)];

fn count(scope: &Scope<'_>, name: &str) -> Option<u32> {
    scope.number(name).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn set(scope: &Scope<'_>, streams: &Streams<'_>) -> Vec<(plan::host::VariableId, Template)> {
    let one = |directive: &Directive| {
        let name = directive.argument(0);
        let wrong = || directive.problem(format!("invalid variable name \"{name}\""));
        let name = name.strip_prefix('$').filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        let id = streams.variables.settable(directive, name)?;
        Ok((id, streams.variables.template(directive, directive.argument(1))?))
    };
    scope.own_named("set").filter_map(|directive| scope.keep(one(directive))).collect()
}

fn preread(scope: &Scope<'_>) -> Preread {
    let usual = Preread::default();
    let size = scope.size("preread_buffer_size").and_then(|size| usize::try_from(size).ok());
    Preread {
        buffer: size.unwrap_or(usual.buffer),
        timeout: scope.time("preread_timeout").unwrap_or(usual.timeout),
    }
}

fn next(scope: &Scope<'_>) -> NextServer {
    let time = scope.time("proxy_next_upstream_timeout").filter(|time| !time.is_zero());
    let on = scope.flag("proxy_next_upstream", true);
    NextServer {
        on,
        tries: count(scope, "proxy_next_upstream_tries").filter(|tries| *tries > 0),
        time,
        // nginx gives a refused datagram up. Who asks for the next server gets it here.
        datagrams: on && scope.find("proxy_next_upstream").is_some(),
    }
}

fn real_ip(scope: &Scope<'_>) -> Option<Trusted> {
    let all = scope.all("set_real_ip_from");
    if all.is_empty() {
        return None;
    }
    let mut trusted = Trusted::default();
    for directive in all {
        match directive.argument(0) {
            "unix:" => trusted.unix = true,
            text => trusted.networks.0.extend(scope.keep(trusted_network(scope, directive, text))),
        }
    }
    Some(trusted)
}

fn trusted_network(scope: &Scope<'_>, directive: &Directive, text: &str) -> Result<Network, Problem> {
    let named = || {
        let address = scope.ground.sources.lookup(text)?;
        Network::new(address, if address.is_ipv4() { 32 } else { 128 })
    };
    let found = network(text).or_else(named);
    found.ok_or_else(|| directive.problem(format!("host not found in set_real_ip_from \"{text}\"")))
}

fn source(directive: &Directive, streams: &Streams<'_>) -> Result<Option<Template>, Problem> {
    if directive.argument(1) == "transparent" {
        return Err(directive
            .problem("\"proxy_bind ... transparent\" is not supported")
            .hint("tell servers the client's address with proxy_protocol"));
    }
    if directive.arguments.len() > 1 {
        return Err(directive.invalid_parameter(directive.argument(1)));
    }
    match directive.argument(0) {
        "off" => Ok(None),
        text => Ok(Some(streams.variables.template(directive, text)?)),
    }
}

/// Bytes a second: a size, or a text that says one.
fn rate(directive: &Directive, streams: &Streams<'_>) -> Result<Template, Problem> {
    let text = directive.argument(0);
    if text.contains('$') {
        return streams.variables.template(directive, text);
    }
    let rate = values::size(text).ok_or_else(|| directive.wrong("invalid value"))?;
    Ok(Template::fixed(rate.to_string()))
}
