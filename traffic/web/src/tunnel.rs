//! After a switch of protocols (WebSocket and others): bytes both ways, unread.

use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use tasks::copy::{Copy, End, Side, Silence, Tunnel, both};
use tasks::{Buffer, Fired, Stream};
use telemetry::Cause;

/// Moves bytes until both sides ended, one broke, or one was silent too long.
pub(crate) async fn run(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    server: &mut Stream,
    read_before: &mut Buffer,
) {
    let up = Copy::to_end().after(std::mem::take(&mut work.buffer));
    let down = Copy::to_end().after(std::mem::take(read_before));
    let mut tunnel = Tunnel::new(up, down);
    let silence = silence(exchange);
    let (mut sent, mut received) = (0, 0);
    loop {
        conn.deadline.watch(exchange.server.as_ref().map(|server| server.uid));
        let ends = (&mut conn.stream, &mut *server);
        let end = both(&mut tunnel, &conn.local.worker, ends, &silence, &conn.deadline, |up, down| {
            sent += down;
            received += up;
        })
        .await;
        match end {
            End::Fired(Fired::Watched) if exchange.must_leave_server() => {
                exchange.letters = Some(*b"DD");
                exchange.fail(Cause::ServerWentDown);
            }
            // Long-lived tunnels outlive reloads and a graceful stop, up to the hard stop.
            End::Fired(Fired::Watched | Fired::Stop) => continue,
            End::Done | End::Fired(Fired::Timeout) => {}
            End::Broken(Side::Client, _) => exchange.fail(Cause::ClientAbortData),
            End::Broken(Side::Server, _) => exchange.fail(Cause::TruncatedBody),
            End::Silent(Side::Client) => exchange.fail(Cause::ClientTimeoutData),
            End::Silent(Side::Server) => exchange.fail(Cause::BodyTimeout),
        }
        break;
    }
    conn.deadline.watch(None);
    exchange.bytes_out += sent;
    exchange.bytes_in += received;
    work.buffer = conn.local.worker.buffers.take();
}

fn silence(exchange: &Exchange) -> Silence {
    let client = &exchange.site.plan.timeouts;
    let server = exchange.pool.as_ref().map(|pool| pool.plan.timeouts).unwrap_or_default();
    Silence {
        client: exchange.client_timeout(),
        client_fin: client.client_fin,
        server: exchange.server_timeout(),
        server_fin: server.server_fin,
        tunnel: exchange.said_timeout(plan::rule::TimeoutKind::Tunnel).or(server.tunnel),
    }
}
