//! Where a request goes: a pool that the plan names, or a URL that is made for each request.

use crate::client::Conn;
use crate::exchange::Exchange;
use crate::host::{Turn, text};
use crate::local::Workspace;
use plan::host::{Proxy, ProxyTarget};
use pool::Pool;
use std::sync::Arc;
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
        ProxyTarget::Computed(template) => {
            let url = text(exchange, work, template);
            let Some(parts) = Parts::of(&url) else {
                exchange.fail(Cause::Internal);
                return Err(Turn::Fail(500));
            };
            let pool = std::str::from_utf8(parts.authority).ok().and_then(pool_named);
            let Some(pool) = pool else {
                exchange.fail(Cause::NoPool);
                return Err(Turn::Fail(502));
            };
            let uri = (!parts.uri.is_empty()).then(|| parts.whole_uri());
            Ok(Target { pool, name: parts.authority.to_vec(), port: b"80".to_vec(), uri })
        }
    }
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
