//! Another request of ours that decides about this one (nginx: `auth_request`).
//!
//! It walks through the same host as any request, without the guards, and its answer goes to one end of a pair of
//! sockets, whose other end is read here and forgotten: its status and fields are what counts.

use super::{Turn, reply, walk};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use plan::host::{Step, Subrequest};
use std::sync::Arc;
use tasks::Stream;
use telemetry::Cause;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use wire::http1::BodyFraming;

/// What the other request says.
pub(super) enum Said {
    /// The client may.
    Yes,
    /// It may not.
    No(u16),
}

/// Asks.
pub(super) async fn ask(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
    subrequest: &Arc<Subrequest>,
) -> Said {
    let Ok((ours, theirs)) = UnixStream::pair() else {
        exchange.fail(Cause::NoLocalResource);
        return Said::No(500);
    };
    let mut inner = conn.local.workspace();
    inner.request = work.request.clone();
    inner.request.set_method(b"GET");
    inner.request.set_framing(BodyFraming::None);
    let mut asked = exchange.beside(conn, &work.request);
    if !super::begin_beside(exchange, &mut asked, subrequest.path.as_bytes()) {
        conn.local.give_back(inner);
        return Said::No(500);
    }
    let client = std::mem::replace(&mut conn.stream, Stream::Unix(ours));
    let idle_time = conn.idle_time;
    {
        let answered = Box::pin(walk(conn, &mut inner, &mut asked, Turn::Host));
        let mut drained = Box::pin(drain(theirs));
        tokio::select! {
            _ = answered => {}
            () = &mut drained => {}
        }
    }
    conn.stream = client;
    conn.idle_time = idle_time;
    let said = judge(exchange, &asked, &inner);
    for step in &subrequest.sets {
        let Some(visit) = exchange.visit.as_deref_mut() else { break };
        match step {
            Step::Set(variable, template) => {
                visit.set(*variable, &reply::answer_text(&asked, &inner, template));
            }
            Step::SetArguments(template) => visit.arguments = reply::answer_text(&asked, &inner, template),
            Step::SetRate(template) => visit.rate = Some(reply::answer_text(&asked, &inner, template)),
            _ => {}
        }
    }
    conn.local.give_back(inner);
    said
}

/// Reads to the end.
async fn drain(mut stream: UnixStream) {
    let mut sink = [0u8; 4096];
    while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
}

fn judge(exchange: &mut Exchange, asked: &Exchange, inner: &Workspace) -> Said {
    match asked.status {
        Some(200..=299) => Said::Yes,
        Some(401) => {
            if let Some(visit) = exchange.visit.as_deref_mut() {
                let challenge = inner.response.fields.find_str(b"www-authenticate").next();
                visit.challenge = challenge.map(<[u8]>::to_vec);
            }
            Said::No(401)
        }
        Some(403) => Said::No(403),
        _ => {
            exchange.fail(asked.cause.unwrap_or(Cause::Internal));
            Said::No(500)
        }
    }
}
