//! What a session gets when no rule ended it: a text of ours, or the pool that its server is in.

use crate::attempt;
use crate::scene::Scene;
use crate::session::{Session, Source};
use plan::rule::Template;
use plan::smooth::SmoothServer;
use plan::stream::Content;
use plan::{Balance, Place, ServerAddress};
use pool::{NoObserver, Pool};
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use telemetry::Cause;
use tokio::io::AsyncWrite;

/// Pools made for addresses that were computed, kept for the next session.
#[derive(Default)]
pub(crate) struct Targets(RefCell<HashMap<Box<[u8]>, Arc<Pool>>>);

impl Targets {
    /// Most that are kept. Beyond that all are forgotten: addresses that clients choose shall not fill the memory.
    const KEPT: usize = 256;

    /// The pool of one server at the address that the text says.
    fn find(&self, text: &[u8], workers: usize) -> Option<Arc<Pool>> {
        if let Some(pool) = self.0.borrow().get(text) {
            return Some(Arc::clone(pool));
        }
        let pool = Arc::new(pool_of(std::str::from_utf8(text).ok()?, workers)?);
        let mut kept = self.0.borrow_mut();
        if kept.len() >= Self::KEPT {
            kept.clear();
        }
        kept.insert(text.into(), Arc::clone(&pool));
        Some(pool)
    }
}

fn pool_of(text: &str, workers: usize) -> Option<Pool> {
    let address = match text.strip_prefix("unix:") {
        Some(path) => ServerAddress::Unix(PathBuf::from(path)),
        None => ServerAddress::Tcp(text.parse::<SocketAddr>().ok()?),
    };
    let mut server = plan::Server::new(Place::none(), text, 1, address);
    server.smooth = Some(Box::new(SmoothServer::new(text)));
    let plan = plan::Pool {
        name: text.to_owned(),
        servers: vec![server],
        balance: Balance::Smooth(Box::default()),
        ..plan::Pool::default()
    };
    Some(Pool::build(&plan, workers, None, &|_| None, Arc::new(NoObserver)))
}

/// The pool that the session goes to.
pub(crate) fn pool(session: &Session) -> Result<Arc<Pool>, Cause> {
    let settings = session.site.plan.stream.as_ref();
    let Some(Content::Target(target)) = settings.map(|settings| &settings.content) else {
        return attempt::route(session).ok_or(Cause::NoPool);
    };
    let text = target.text(&Scene { session, over: true });
    let named = std::str::from_utf8(&text).ok().and_then(|name| session.site.pools.get(name));
    match named {
        Some(pool) => Ok(Arc::clone(pool)),
        None => {
            let workers = session.local.worker.index + 1;
            session.local.targets.find(&text, workers).ok_or(Cause::NoPool)
        }
    }
}

/// Sends the text to the client.
pub(crate) async fn answer(session: &mut Session, text: &Template) -> Result<(), Cause> {
    let text = text.text(&Scene { session, over: true });
    session.deadline.set(session.site.plan.stream.as_ref().map(|settings| settings.silence));
    let sent = match &mut session.source {
        Source::Bytes(_) => send(session, &text).await,
        Source::Datagrams(flow) => flow.answer(&text).map_err(|_| Cause::ClientAbortData),
    };
    session.site.stats.at(session.local.worker.index).intercepted.add(1);
    if sent.is_ok() {
        let down = text.len() as u64;
        session.bytes_out += down;
        crate::record::count_bytes(&session.local, &session.site, None, None, 0, down);
    }
    sent
}

async fn send(session: &mut Session, text: &[u8]) -> Result<(), Cause> {
    let Session { source: Source::Bytes(stream), deadline, .. } = session else { return Ok(()) };
    let mut sent = 0;
    poll_fn(|cx| {
        while sent < text.len() {
            match Pin::new(&mut *stream).poll_write(cx, &text[sent..]) {
                Poll::Ready(Ok(length)) if length > 0 => sent += length,
                Poll::Ready(_) => return Poll::Ready(Err(Cause::ClientAbortData)),
                Poll::Pending => {
                    ready!(deadline.poll_fired(cx));
                    return Poll::Ready(Err(Cause::ClientTimeoutData));
                }
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
