//! `resolver`: name servers that are asked while requests come.

use super::scope::Scope;
use super::tree::Directive;
use super::values;
use plan::resolver::{NameServer, OnDemand, Transport};
use plan::{Problem, Resolvers};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where name servers listen, when no port is said.
const PORT: u16 = 53;
/// Patience with a lookup, when `resolver_timeout` is not said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Name of the group of name servers in force in a scope; `None` = nobody named any.
pub fn in_force(scope: &Scope<'_>) -> Option<String> {
    scope.find("resolver").map(name)
}

/// A group is known by the place of its directive.
fn name(directive: &Directive) -> String {
    format!("resolver {}", directive.place)
}

/// `resolver_timeout` in force in a scope.
pub fn timeout(scope: &Scope<'_>) -> Duration {
    scope.time("resolver_timeout").unwrap_or(TIMEOUT)
}

/// All groups that a block and the blocks in it name, for [`plan::Draft`]; those of upstreams come with them.
pub fn all(scope: &Scope<'_>, found: &mut Vec<Resolvers>) {
    for own in scope.own() {
        if own.name == "resolver" {
            found.extend(scope.keep(read(scope, own)));
        } else if own.block.is_some() && own.name != "upstream" {
            all(&scope.inside(own), found);
        }
    }
}

/// Reads one.
pub fn read(scope: &Scope<'_>, directive: &Directive) -> Result<Resolvers, Problem> {
    let mut group = Resolvers::new(directive.place.clone(), name(directive));
    let mut asked = OnDemand { valid: None, v4: true, v6: true, timeout: timeout(scope) };
    for argument in &directive.arguments {
        let wrong = || directive.problem(format!("invalid parameter: {argument}"));
        let switch = |text: &str| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(wrong()),
        };
        match argument.split_once('=') {
            Some(("valid", text)) => asked.valid = Some(values::seconds(text).ok_or_else(wrong)?),
            Some(("ipv4", text)) => asked.v4 = switch(text)?,
            Some(("ipv6", text)) => asked.v6 = switch(text)?,
            Some(("status_zone", _)) => {}
            _ => group.servers.extend(name_servers(scope, directive, argument)?),
        }
    }
    if !asked.v4 && !asked.v6 {
        return Err(directive.problem("\"ipv4\" and \"ipv6\" cannot both be \"off\""));
    }
    if group.servers.is_empty() {
        return Err(directive.problem("no name servers defined"));
    }
    group.payload_bytes = 1232;
    group.on_demand = Some(asked);
    Ok(group)
}

fn name_servers(scope: &Scope<'_>, directive: &Directive, text: &str) -> Result<Vec<NameServer>, Problem> {
    let wrong = || directive.problem(format!("host not found in resolver \"{text}\""));
    let address = match (text.parse::<SocketAddr>(), text.trim_matches(['[', ']']).parse::<IpAddr>()) {
        (Ok(address), _) => address,
        (_, Ok(ip)) => SocketAddr::new(ip, PORT),
        _ => {
            let (host, port) = match text.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
                None => (text, PORT),
            };
            let ip = scope.ground.sources.lookup(host).ok_or_else(wrong)?;
            SocketAddr::new(ip, port)
        }
    };
    Ok(vec![NameServer { name: text.to_owned(), address, transport: Transport::Udp }])
}
