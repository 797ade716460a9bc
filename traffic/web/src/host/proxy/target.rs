//! Where a request goes: a pool that the plan names, or a URL that is made for each request.

use crate::client::Conn;
use crate::exchange::Exchange;
use crate::host::{Turn, text};
use crate::local::Workspace;
use plan::Mode;
use plan::host::{Proxy, ProxyTarget};
use pool::Pool;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Cause;

/// Where a request goes.
pub(super) struct Target {
    pub pool: Arc<Pool>,
    /// `$proxy_host`.
    pub name: Vec<u8>,
    /// `$proxy_port`.
    pub port: Vec<u8>,
    /// Path and query, when the URL said them.
    pub uri: Option<Vec<u8>>,
}

/// Finds the pool.
///
/// # Errors
/// What follows when there is none.
pub(super) async fn find(
    conn: &Conn,
    work: &Workspace,
    exchange: &mut Exchange,
    proxy: &Proxy,
) -> Result<Target, Turn> {
    let pool_named = |name: &str| conn.site.pools.get(name).cloned();
    match &proxy.target {
        ProxyTarget::Pool { pool, host, port } => {
            let Some(pool) = pool_named(pool) else {
                exchange.fail(Cause::NoPool);
                return Err(Turn::Fail(502));
            };
            Ok(Target { pool, name: host.as_bytes().to_vec(), port: port.as_bytes().to_vec(), uri: None })
        }
        ProxyTarget::Computed { url, resolver } => {
            let url = text(exchange, work, url);
            let Some(parts) = Parts::of(&url) else {
                exchange.fail(Cause::Internal);
                return Err(Turn::Fail(500));
            };
            let authority = std::str::from_utf8(parts.authority).unwrap_or_default();
            let (host, port) = parts.host_and_port();
            let pool = match pool_named(authority) {
                Some(pool) => pool,
                None => {
                    let addresses =
                        addresses(conn, resolver.as_ref(), host, port).await.ok_or_else(|| {
                            exchange.fail(Cause::NoRoute);
                            Turn::Fail(502)
                        })?;
                    let process = &conn.site.process;
                    let workers = process.stats.workers.len();
                    process.passing.pool(authority, &addresses, Mode::Http, workers)
                }
            };
            let uri = (!parts.uri.is_empty()).then(|| parts.whole_uri());
            Ok(Target { pool, name: parts.authority.to_vec(), port: port.to_string().into_bytes(), uri })
        }
    }
}

/// Addresses of a host; `None` when nobody knows it.
async fn addresses(
    conn: &Conn,
    resolver: Option<&(Box<str>, Duration)>,
    host: &str,
    port: u16,
) -> Option<Vec<SocketAddr>> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(address, port)]);
    }
    let (group, patience) = resolver?;
    let found = conn.site.process.names.lookup(group, host, *patience).await.ok()?;
    Some(found.iter().map(|address| SocketAddr::new(*address, port)).collect())
}

/// A URL taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'u> {
    authority: &'u [u8],
    uri: &'u [u8],
}

impl<'u> Parts<'u> {
    /// `None` when it is no URL of HTTP.
    fn of(url: &'u [u8]) -> Option<Parts<'u>> {
        let scheme = b"http://";
        let rest = url
            .get(..scheme.len())
            .filter(|start| start.eq_ignore_ascii_case(scheme))
            .map(|_| &url[scheme.len()..])?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, uri) = rest.split_at(end);
        (!authority.is_empty()).then_some(Parts { authority, uri })
    }

    /// The host, in brackets when it is an IPv6 address, and its port.
    fn host_and_port(&self) -> (&'u str, u16) {
        let authority = std::str::from_utf8(self.authority).unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(0)),
            _ => (authority, 80),
        }
    }

    /// With a slash in front.
    fn whole_uri(&self) -> Vec<u8> {
        if self.uri.starts_with(b"?") { [b"/", self.uri].concat() } else { self.uri.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let check = |url: &'static str, expected: Option<(&str, &str)>| {
            let found = Parts::of(url.as_bytes());
            let expected = expected.map(|(a, u)| Parts { authority: a.as_bytes(), uri: u.as_bytes() });
            assert_eq!(found, expected, "{url}");
        };
        check("http://a", Some(("a", "")));
        check("HTTP://a:81/x?y", Some(("a:81", "/x?y")));
        check("http://a?y", Some(("a", "?y")));
        check("http://", None);
        check("https://a/", None);
        check("a/", None);
    }
}
