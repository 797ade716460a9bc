//! `listen` of a server in `stream {}`.

use super::super::http::listen::addresses;
use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::values;
use plan::{Bind, BindAddress, Problem};

/// Listeners of a server; there must be one.
pub(super) fn of_server(scope: &Scope<'_>, server: &Directive) -> Vec<Bind> {
    let mut all = Vec::new();
    for directive in scope.own_named("listen") {
        match read(directive, scope) {
            Ok(binds) => all.extend(binds),
            Err(problem) => scope.problem(problem),
        }
    }
    if scope.own_named("listen").next().is_none() {
        let what = "no \"listen\" is defined for server";
        scope.problem(server.problem(what).hint("add 'listen ADDRESS:PORT;'"));
    }
    all
}

fn read(directive: &Directive, scope: &Scope<'_>) -> Result<Vec<Bind>, Problem> {
    let mut datagrams = false;
    let mut model = Bind::new(directive.place.clone(), BindAddress::Inherited(0));
    // On Linux an IPv6 socket takes IPv4 too unless told otherwise; nginx tells it so.
    model.v6_only = true;
    for parameter in directive.arguments.iter().skip(1) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let size = || {
            let size = values::size(value).and_then(|size| u32::try_from(size).ok()).filter(|size| *size > 0);
            size.ok_or_else(|| directive.problem(format!("invalid {name} \"{value}\"")))
        };
        match (name, value) {
            ("udp", "") => datagrams = true,
            ("reuseport", "") => model.socket_per_worker = true,
            ("proxy_protocol", "") => (model.accept_proxy, model.proxy_only_tells) = (true, true),
            ("default_server", "") => {}
            ("backlog", value) => {
                let backlog = values::number(value).and_then(|n| u32::try_from(n).ok());
                let wrong = || directive.problem(format!("invalid backlog \"{value}\""));
                model.backlog = Some(backlog.ok_or_else(wrong)?);
            }
            ("rcvbuf", _) => model.receive_buffer = Some(size()?),
            ("sndbuf", _) => model.send_buffer = Some(size()?),
            ("ipv6only", "on") => model.v6_only = true,
            ("ipv6only", "off") => model.v6_only = false,
            ("deferred", "") => model.defer_accept = true,
            ("ssl", "") => {
                return Err(directive
                    .problem("\"listen ... ssl\" is not supported yet")
                    .hint("take TLS away in front of Mainstay, or pass it on and choose by ssl_preread"));
            }
            ("bind" | "multipath", "") | ("fastopen" | "setfib" | "so_keepalive", _) => {
                scope.ground.told.note(directive, format!("\"{name}\" has no effect here"));
            }
            _ => return Err(directive.invalid_parameter(parameter)),
        }
    }
    if datagrams && model.accept_proxy {
        return Err(directive.problem("\"udp\" parameter is incompatible with \"proxy_protocol\""));
    }
    let mut binds = Vec::new();
    for address in addresses(directive, scope, None)? {
        let address = match (address, datagrams) {
            (BindAddress::Tcp(address), true) => BindAddress::Udp(address),
            (BindAddress::Unix(_), true) => {
                return Err(directive.problem("datagrams on unix sockets are not supported"));
            }
            (address, _) => address,
        };
        binds.push(Bind { address, ..model.clone() });
    }
    Ok(binds)
}
