//! Peers: tables that are shared with other balancers, of ours or HAProxy's own. Started by the supervisor on
//! the control thread; a peer that is away costs a try to connect now and then, and no traffic.
//!
//! [`machine`] is what is said; here are the connections. Each side connects to the other; when both did, the
//! connection that came last stays, as for HAProxy.

#![forbid(unsafe_code)]

pub mod machine;
#[cfg(test)]
mod tests;

use machine::{Machine, accepted};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::{Clock, Table};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wire::peers::{Hello, LONGEST, Malformed, Message};

/// A peer that is silent for so long is taken as gone.
const SILENCE: Duration = Duration::from_secs(5);
/// So often we say that we are there.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// To connect and to greet.
const GREETING: Duration = Duration::from_secs(5);
/// Rest before the next try, and a random time on top.
const REST: Duration = Duration::from_millis(50);
const REST_SPREAD_MS: u64 = 2000;
/// After so long without an answer nothing more is expected from others.
const LEARNING: Duration = Duration::from_secs(5);
/// Connections of peers that have not greeted yet.
const GREETING_CONNECTIONS: usize = 32;

/// A group of peers, and the tables that they share.
pub struct Group {
    /// Our name among them.
    pub local: String,
    /// The others: name and address.
    pub others: Vec<(String, SocketAddr)>,
    /// The tables.
    pub tables: Vec<Arc<Table>>,
    /// Told when a table has changed.
    pub wake: Arc<Notify>,
    /// The tables' clock.
    pub clock: Clock,
}

/// A running group.
struct Running {
    group: Group,
    /// Conversations by peer.
    talks: RefCell<HashMap<String, Talk>>,
    /// Nothing is left to be learned from others.
    complete: Cell<bool>,
    ended: Notify,
}

struct Talk {
    id: u64,
    task: AbortHandle,
}

/// Keeps conversations with all others until it is dropped.
pub async fn serve(group: Group, listeners: Vec<TcpListener>) {
    let running = Rc::new(Running {
        talks: RefCell::default(),
        complete: Cell::new(group.others.is_empty()),
        ended: Notify::new(),
        group,
    });
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn_local(accept(Rc::clone(&running), listener));
    }
    for at in 0..running.group.others.len() {
        tasks.spawn_local(seek(Rc::clone(&running), at));
    }
    let _end = EndTalks(Rc::clone(&running));
    sleep(LEARNING).await;
    running.complete.set(true);
    while tasks.join_next().await.is_some() {}
}

/// Ends all conversations when the group goes.
struct EndTalks(Rc<Running>);

impl Drop for EndTalks {
    fn drop(&mut self) {
        self.0.talks.borrow().values().for_each(|talk| talk.task.abort());
    }
}

async fn accept(running: Rc<Running>, listener: TcpListener) {
    let mut greeting = JoinSet::new();
    loop {
        while greeting.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) if greeting.len() < GREETING_CONNECTIONS => {
                greeting.spawn_local(greet(Rc::clone(&running), stream));
            }
            Ok(_) => {}
            Err(_) => sleep(REST).await,
        }
    }
}

/// A connection that came: the other side says who it is.
async fn greet(running: Rc<Running>, mut stream: TcpStream) {
    let Ok(Some((hello, rest))) = timeout(GREETING, read_hello(&mut stream)).await else { return };
    let status: &[u8] = if hello.minor > 1 {
        b"502\n"
    } else if hello.remote != running.group.local {
        b"503\n"
    } else if !running.group.others.iter().any(|(name, _)| *name == hello.local) {
        b"504\n"
    } else {
        b"200\n"
    };
    if stream.write_all(status).await.is_ok() && status == b"200\n" {
        running.begin(hello.local, stream, rest, hello.minor > 0);
    }
}

async fn read_hello(stream: &mut TcpStream) -> Option<(Hello, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        match Hello::read(&bytes) {
            Ok(Some((hello, length))) => return Some((hello, bytes.split_off(length))),
            Ok(None) => {}
            Err(Malformed) => {
                let _ = stream.write_all(b"501\n").await;
                return None;
            }
        }
    }
}

/// Connects to a peer whenever there is no conversation with it.
async fn seek(running: Rc<Running>, at: usize) {
    let (name, address) = &running.group.others[at];
    loop {
        while running.talks.borrow().contains_key(name) {
            running.ended.notified().await;
        }
        if let Ok(Some((stream, rest))) = timeout(GREETING, knock(&running, name, *address)).await
            && !running.talks.borrow().contains_key(name)
        {
            running.begin(name.clone(), stream, rest, true);
            continue;
        }
        sleep(REST + Duration::from_millis(fastrand::u64(0..REST_SPREAD_MS))).await;
    }
}

async fn knock(running: &Running, name: &str, address: SocketAddr) -> Option<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let hello = Hello { minor: 1, remote: name.to_owned(), local: running.group.local.clone() };
    stream.write_all(&hello.write(std::process::id())).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(length) = accepted(&bytes).ok()? {
            return Some((stream, bytes.split_off(length)));
        }
    }
}

impl Running {
    /// Begins a conversation; one that there was ends.
    fn begin(self: &Rc<Self>, name: String, stream: TcpStream, rest: Vec<u8>, modern: bool) {
        let id = fastrand::u64(..);
        let (running, own) = (Rc::clone(self), name.clone());
        let task = spawn_local(async move {
            let _ = stream.set_nodelay(true);
            // Whatever ended it, the peer is sought again.
            let _ = talk(&running, stream, rest, modern).await;
            running.talks.borrow_mut().retain(|name, talk| *name != own || talk.id != id);
            running.ended.notify_waiters();
        });
        if let Some(before) = self.talks.borrow_mut().insert(name, Talk { id, task: task.abort_handle() }) {
            before.task.abort();
        }
    }
}

/// A conversation until one side ends it.
async fn talk(running: &Running, stream: TcpStream, rest: Vec<u8>, modern: bool) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let group = &running.group;
    let (mut inbox, mut out) = (rest, Vec::new());
    let mut machine = Machine::new(&group.tables, modern, running.complete.get(), &mut out);
    let (mut heard, mut told) = (Instant::now(), Instant::now());
    loop {
        let changed = group.wake.notified();
        let mut changed = std::pin::pin!(changed);
        changed.as_mut().enable();
        if !inbox.is_empty() {
            let Ok(taken) = machine.hear(&inbox, (group.clock)(), &mut out) else {
                Message::Error.write(&mut out);
                return writer.write_all(&out).await;
            };
            inbox.drain(..taken);
            running.complete.set(running.complete.get() || machine.complete);
            if inbox.len() > 2 * LONGEST {
                return Ok(());
            }
        }
        if out.is_empty() {
            machine.complete |= running.complete.get();
            machine.tell((group.clock)(), &mut out);
        }
        let beat = if machine.is_modern() { told + HEARTBEAT } else { heard + SILENCE };
        tokio::select! {
            read = reader.read_buf(&mut inbox) => {
                if read? == 0 {
                    return Ok(());
                }
                heard = Instant::now();
            }
            wrote = writer.write(&out), if !out.is_empty() => {
                out.drain(..wrote?);
                told = Instant::now();
            }
            () = changed, if out.is_empty() => {}
            () = sleep_until(beat.min(heard + SILENCE)) => {
                if !machine.is_modern() {
                    // Older ones say nothing when there is nothing to say.
                    heard = Instant::now();
                    continue;
                }
                if heard.elapsed() >= SILENCE {
                    return Ok(());
                }
                told = Instant::now();
                if out.is_empty() {
                    Message::Heartbeat.write(&mut out);
                }
            }
        }
    }
}
