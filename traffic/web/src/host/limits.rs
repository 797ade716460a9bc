//! Limits of requests per time and at once, before a location is entered. Once per request, wherever it is sent
//! inside.

use super::{Turn, tell::tell};
use crate::attempt::ClientWatch;
use crate::client::Conn;
use crate::exchange::{After, Exchange};
use crate::local::Workspace;
use crate::scene::Scene;
use plan::limit::{LimitStatus, Limits};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tables::limit::{Held, Ruling};
use telemetry::Cause;

/// What limits decided about a request.
#[derive(Default)]
pub(crate) struct Limited {
    /// Requests per time.
    pub request: Option<LimitStatus>,
    /// Requests at once.
    pub connection: Option<LimitStatus>,
    /// Where it counts until it is over.
    held: Vec<Held>,
}

/// Asks the limits of the location; `Turn::Access` when the request may go on, perhaps after a while.
pub(super) async fn check(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let limits = match exchange.visit.as_deref() {
        Some(visit) => visit.location.settings.limits.clone(),
        None => return Turn::Done(After::Close),
    };
    match limits {
        None => Turn::Access,
        Some(limits) => under(conn, work, exchange, &limits).await,
    }
}

async fn under(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange, limits: &Arc<Limits>) -> Turn {
    let limited = exchange.visit.as_deref().map(|visit| (visit.limited.request, visit.limited.connection));
    let Some((request, connection)) = limited else { return Turn::Done(After::Close) };
    if request.is_none() && !limits.requests.is_empty() {
        let ruling = {
            let scene = Scene { exchange, request: &work.request, response: None };
            let tables = &conn.site.tables;
            tables.limits.request(&limits.requests, &limits.on_request, &scene, tables.now())
        };
        if let Some(visit) = exchange.visit.as_deref_mut() {
            visit.limited.request = ruling.status;
        }
        if let Some(status) = told(conn, work, exchange, &ruling) {
            return Turn::Fail(status);
        }
        if let Some(wait) = ruling.wait
            && !pause(conn, work, wait).await
        {
            exchange.fail(Cause::ClientAbortQueue);
            exchange.status = Some(499);
            return Turn::Done(After::Close);
        }
    }
    if connection.is_none() && !limits.connections.is_empty() {
        let mut held = Vec::new();
        let ruling = {
            let scene = Scene { exchange, request: &work.request, response: None };
            let zones = &conn.site.tables.limits;
            zones.connection(&limits.connections, &limits.on_connection, &scene, &mut held)
        };
        if let Some(visit) = exchange.visit.as_deref_mut() {
            visit.limited.connection = ruling.status;
            visit.limited.held = held;
        }
        if let Some(status) = told(conn, work, exchange, &ruling) {
            return Turn::Fail(status);
        }
    }
    Turn::Access
}

/// Writes the lines of a ruling; the status when the request is refused.
fn told(conn: &Conn, work: &Workspace, exchange: &mut Exchange, ruling: &Ruling) -> Option<u16> {
    for line in &ruling.lines {
        tell(conn, work, exchange, line.level, &line.text);
    }
    let status = ruling.refused?;
    exchange.denied = true;
    exchange.fail(Cause::Denied);
    Some(status)
}

/// Waits; false when the client left meanwhile.
async fn pause(conn: &mut Conn, work: &mut Workspace, time: Duration) -> bool {
    conn.deadline.set(Some(time));
    let mut watch = ClientWatch::new(true);
    let (stream, deadline, buffer) = (&mut conn.stream, &conn.deadline, &mut work.buffer);
    std::future::poll_fn(|cx| match watch.poll_gone(cx, stream, buffer) {
        true => Poll::Ready(false),
        false => deadline.poll_fired(cx).map(|_| true),
    })
    .await
}
