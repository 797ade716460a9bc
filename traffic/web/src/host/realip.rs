//! The client's address as trusted proxies tell it (nginx: `ngx_http_realip_module`).

use crate::exchange::Exchange;
use crate::local::Workspace;
use listener::Peer;
use plan::host::{RealIp, RealIpSource};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::http1::RequestHead;

/// Takes the client's address from what a trusted proxy says, once.
pub(super) fn follow(work: &Workspace, exchange: &mut Exchange) {
    let Some(visit) = exchange.visit.as_deref() else { return };
    let Some(real) = visit.location.settings.real_ip.clone().filter(|_| !visit.real_ip_known) else { return };
    let Some(found) = find(&real, exchange, &work.request) else { return };
    if let Some(visit) = exchange.visit.as_deref_mut() {
        visit.real_ip_known = true;
    }
    exchange.client = found;
}

fn find(real: &Arc<RealIp>, exchange: &Exchange, request: &RequestHead) -> Option<Peer> {
    let trusted = |peer: Option<IpAddr>| match peer {
        Some(address) => real.from.iter().any(|network| network.contains(address)),
        None => real.from_unix,
    };
    if !trusted(exchange.client.ip().map(|client| client.ip())) {
        return None;
    }
    let told = match &real.source {
        RealIpSource::ProxyHeader => return exchange.told.map(|told| Peer::from(told.source)),
        RealIpSource::Header(name) => {
            request.fields.find_str(name.as_bytes()).map(<[u8]>::to_vec).collect::<Vec<_>>()
        }
    };
    let list = told.join(&b","[..]);
    let is_list = matches!(&real.source, RealIpSource::Header(name) if &**name == "x-forwarded-for");
    let mut found = None;
    let mut words: Vec<&[u8]> =
        list.split(|byte| matches!(byte, b',' | b' ')).filter(|word| !word.is_empty()).collect();
    if !is_list {
        words.truncate(1);
    }
    for word in words.into_iter().rev() {
        let Some(address) = address(word) else { break };
        found = Some(address);
        if !real.recursive || !trusted(Some(address.ip())) {
            break;
        }
    }
    found.map(Peer::from)
}

/// An address with or without a port.
fn address(word: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(word).ok()?;
    let with_port = text.parse::<SocketAddr>().ok();
    let bare = || {
        text.trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
            .map(|ip: IpAddr| SocketAddr::new(ip, 0))
    };
    with_port.or_else(bare)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_come_with_or_without_ports() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                address(text.as_bytes()).map(|a| a.to_string()).unwrap_or_default(),
                expected,
                "{text}"
            );
        };
        check("192.0.2.1", "192.0.2.1:0");
        check("192.0.2.1:80", "192.0.2.1:80");
        check("[2001:db8::1]:80", "[2001:db8::1]:80");
        check("2001:db8::1", "[2001:db8::1]:0");
        check("unknown", "");
    }
}
