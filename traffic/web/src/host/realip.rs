//! The client's address as trusted proxies tell it (nginx: `ngx_http_realip_module`).

use crate::exchange::Exchange;
use crate::local::Workspace;
use listener::Peer;
use plan::host::{RealIp, RealIpSource};
use std::net::IpAddr;
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
    let is_list = matches!(&real.source, RealIpSource::Header(name) if &**name == "x-forwarded-for");
    let mut list = told.join(&b","[..]);
    if !is_list {
        list.truncate(list.iter().position(|byte| *byte == b',').unwrap_or(list.len()));
    }
    plan::network::told(&list, real.recursive && is_list, |address| trusted(Some(address))).map(Peer::from)
}
