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
pub(crate) struct Targets(RefCell<HashMap<Box<str>, Arc<Pool>>>);

impl Targets {
    /// Most that are kept. Beyond that all are forgotten: addresses that clients choose shall not fill the memory.
    const KEPT: usize = 256;

    /// The pool of servers at these addresses.
    fn find(&self, addresses: &[ServerAddress], workers: usize) -> Arc<Pool> {
        let name: Vec<String> = addresses.iter().map(ServerAddress::to_string).collect();
        let name = name.join(" ");
        if let Some(pool) = self.0.borrow().get(name.as_str()) {
            return Arc::clone(pool);
        }
        let pool = Arc::new(pool_of(&name, addresses, workers));
        let mut kept = self.0.borrow_mut();
        if kept.len() >= Self::KEPT {
            kept.clear();
        }
        kept.insert(name.into(), Arc::clone(&pool));
        pool
    }
}

fn pool_of(name: &str, addresses: &[ServerAddress], workers: usize) -> Pool {
    let server = |(at, address): (usize, &ServerAddress)| {
        let id = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let mut server = plan::Server::new(Place::none(), format!("{address}#{id}"), id, address.clone());
        server.smooth = Some(Box::new(SmoothServer::new(address.to_string())));
        server
    };
    let plan = plan::Pool {
        name: name.to_owned(),
        servers: addresses.iter().enumerate().map(server).collect(),
        balance: Balance::Smooth(Box::default()),
        ..plan::Pool::default()
    };
    Pool::build(&plan, workers, None, &|_| None, Arc::new(NoObserver))
}

/// The pool that the session goes to.
pub(crate) async fn pool(session: &Session) -> Result<Arc<Pool>, Cause> {
    let settings = session.site.plan.stream.as_ref();
    let Some(Content::Target(target)) = settings.map(|settings| &settings.content) else {
        return attempt::route(session).ok_or(Cause::NoPool);
    };
    let text = target.text(&Scene { session, over: true });
    let text = std::str::from_utf8(&text).map_err(|_| Cause::NoPool)?;
    if let Some(pool) = session.site.pools.get(text) {
        return Ok(Arc::clone(pool));
    }
    let addresses = addresses(session, text).await.ok_or(Cause::NoPool)?;
    Ok(session.local.targets.find(&addresses, session.local.worker.index + 1))
}

/// The addresses of a text: `unix:` and a path, or an address or a name with a port.
async fn addresses(session: &Session, text: &str) -> Option<Vec<ServerAddress>> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(vec![ServerAddress::Unix(PathBuf::from(path))]);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(vec![ServerAddress::Tcp(address)]);
    }
    let (name, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let asked = session.site.plan.stream.as_ref()?.resolver.as_ref()?;
    let found = session.local.names.lookup(&asked.group, name, asked.patience).await.ok()?;
    Some(found.iter().map(|ip| ServerAddress::Tcp(SocketAddr::new(*ip, port))).collect())
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
