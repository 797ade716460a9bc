//! Content from servers of a pool.

use super::{Turn, Visit};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use plan::host::{Proxy, ProxyTarget};
use plan::rule::{Value, VisitFact};
use std::sync::Arc;
use telemetry::Cause;

/// Answers by a server.
pub(super) async fn serve(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    proxy: &Arc<Proxy>,
) -> Turn {
    let ProxyTarget::Pool { pool, .. } = &proxy.target else {
        exchange.fail(Cause::NoPool);
        return Turn::Fail(502);
    };
    let Some(pool) = conn.site.pools.get(pool).cloned() else {
        exchange.fail(Cause::NoPool);
        return Turn::Fail(502);
    };
    exchange.pool = Some(Arc::clone(&pool));
    Turn::Done(crate::attempt::proxy(conn, work, exchange, &pool).await)
}

/// Facts about servers.
pub(super) fn fact<'s>(scene: &'s Scene<'_>, visit: &'s Visit, fact: &VisitFact) -> Option<Value<'s>> {
    let _ = (scene, visit, fact);
    None
}
