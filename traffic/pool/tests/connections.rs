//! Connections to real sockets: made, kept, shared, thrown away.

#![allow(clippy::unwrap_used, clippy::panic)]

use plan::pool::Reuse;
use plan::{Place, ServerAddress};
use pool::{Connection, Idle, IdleLimits, NoObserver, Pool, Server, ServerEndpoint, connect, connect_for};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Cause;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

fn pool_of(address: ServerAddress, change: impl FnOnce(&mut plan::Server)) -> Pool {
    let mut server = plan::Server::new(Place::none(), "s1", 1, address);
    change(&mut server);
    let plan = plan::Pool { servers: vec![server], tcp_keep_alive: true, ..plan::Pool::default() };
    Pool::build(&plan, 1, None, &|_| None, Arc::new(NoObserver))
}

/// A listening server and the pool that leads to it.
struct Site {
    listener: TcpListener,
    server: Arc<Server>,
}

impl Site {
    async fn open(change: impl FnOnce(&mut plan::Server)) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool_of(ServerAddress::Tcp(listener.local_addr().unwrap()), change);
        Site { listener, server: Arc::clone(&pool.servers()[0]) }
    }

    /// A connection used by `client`, and its other end.
    async fn connection(&self, client: u64) -> (Box<Connection>, TcpStream) {
        let (made, accepted) = tokio::join!(connect(&self.server, b""), self.listener.accept());
        let mut made = made.unwrap();
        made.owner = client;
        (made, accepted.unwrap().0)
    }
}

/// Waits until the runtime knows that something can be read.
async fn noticed(idle_end: &Connection) {
    std::future::poll_fn(|cx| idle_end.stream.poll_readable(cx)).await.unwrap();
}

#[tokio::test]
async fn the_header_goes_first() {
    let site = Site::open(|_| ()).await;
    let (made, accepted) = tokio::join!(connect(&site.server, b"PROXY UNKNOWN\r\n"), site.listener.accept());
    let made = made.unwrap();
    assert_eq!((made.uses, made.stream.tcp().unwrap().nodelay().unwrap()), (1, true));
    let mut header = [0; 15];
    accepted.unwrap().0.read_exact(&mut header).await.unwrap();
    assert_eq!(&header, b"PROXY UNKNOWN\r\n");
}

#[tokio::test]
async fn connections_come_from_the_source_address() {
    let site = Site::open(|s| s.source = Some("127.0.0.9:0".parse().unwrap())).await;
    let (_made, other_end) = site.connection(1).await;
    assert_eq!(other_end.peer_addr().unwrap().ip().to_string(), "127.0.0.9");
}

#[tokio::test]
async fn failures_have_causes() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let cause = |address: ServerAddress| async move {
        let pool = pool_of(address, |_| ());
        connect(&pool.servers()[0], b"").await.unwrap_err().cause
    };
    assert_eq!(cause(ServerAddress::Tcp(closed)).await, Cause::ConnectRefused);
    assert_eq!(cause(ServerAddress::Unix("/nowhere/at/all.sock".into())).await, Cause::ConnectRefused);
    assert_eq!(cause(ServerAddress::Transparent).await, Cause::Internal);
    let foreign = pool_of(ServerAddress::Tcp(closed), |s| s.source = Some("192.0.2.77:0".parse().unwrap()));
    let error = connect(&foreign.servers()[0], b"").await.unwrap_err();
    assert_eq!(error.cause, Cause::NoLocalResource, "{}", error.error);
}

#[tokio::test]
async fn unix_sockets_are_servers_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let pool = pool_of(ServerAddress::Unix(path), |_| ());
    let servers = pool.servers();
    let (made, accepted) = tokio::join!(connect(&servers[0], b""), listener.accept());
    made.unwrap().stream.write_all(b"x").await.unwrap();
    assert_eq!(accepted.unwrap().0.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn where_the_client_wanted_to_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to: SocketAddr = listener.local_addr().unwrap();
    let pool = pool_of(ServerAddress::Transparent, |_| ());
    let servers = pool.servers();
    let (made, _accepted) = tokio::join!(connect_for(&servers[0], Some(to), b""), listener.accept());
    let mut made = made.unwrap();
    assert!(made.private, "it must not serve a client that wanted to go elsewhere");
    made.owner = 1;
    let mut idle = Idle::new(IdleLimits::default());
    idle.put(made, Reuse::Always);
    assert!(idle.take(&pool.servers()[0], 2, Reuse::Always, false).is_none());
    assert!(idle.take(&pool.servers()[0], 1, Reuse::Always, false).is_some());
}

/// Who may take an idle connection that client 1 used `uses` times: the first and later requests of client
/// 2, and client 1 itself.
async fn check_reuse(reuse: Reuse, uses: u32, first: bool, later: bool, own: bool) {
    let site = Site::open(|_| ()).await;
    for (client, first_request, expected) in [(2, true, first), (2, false, later), (1, false, own)] {
        let (mut made, _other_end) = site.connection(1).await;
        made.uses = uses;
        let mut idle = Idle::new(IdleLimits::default());
        idle.put(made, reuse);
        let taken = idle.take(&site.server, client, reuse, first_request);
        assert_eq!(taken.is_some(), expected, "{reuse:?} uses {uses} client {client} first {first_request}");
        assert_eq!(idle.len(), usize::from(!expected));
        if let Some(taken) = taken {
            assert_eq!((taken.uses, taken.owner), (uses + 1, client));
        }
    }
}

#[tokio::test]
async fn who_may_reuse() {
    check_reuse(Reuse::Never, 1, false, false, true).await;
    check_reuse(Reuse::Never, 2, false, false, true).await;
    check_reuse(Reuse::Safe, 1, false, true, true).await;
    check_reuse(Reuse::Safe, 2, false, true, true).await;
    check_reuse(Reuse::Aggressive, 1, false, true, true).await;
    check_reuse(Reuse::Aggressive, 2, true, true, true).await;
    check_reuse(Reuse::Always, 1, true, true, true).await;
}

#[tokio::test]
async fn closed_and_talking_connections_are_not_reused() {
    let site = Site::open(|_| ()).await;
    let mut idle = Idle::new(IdleLimits::default());
    let (closed, other_end) = site.connection(1).await;
    drop(other_end);
    noticed(&closed).await;
    let (talking, mut other_end) = site.connection(1).await;
    other_end.write_all(b"HTTP/1.1 200 unasked").await.unwrap();
    noticed(&talking).await;
    idle.put(closed, Reuse::Always);
    idle.put(talking, Reuse::Always);
    assert!(idle.is_empty());
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_passed_over() {
    let site = Site::open(|_| ()).await;
    let mut idle = Idle::new(IdleLimits::default());
    let (older, _end) = site.connection(1).await;
    let (newer, other_end) = site.connection(1).await;
    let port = older.stream.tcp().unwrap().local_addr().unwrap();
    idle.put(older, Reuse::Always);
    idle.put(newer, Reuse::Always);
    drop(other_end);
    // The end is known once a later event on another connection is.
    let (after, mut end) = site.connection(1).await;
    end.write_all(b"x").await.unwrap();
    noticed(&after).await;
    let taken = idle.take(&site.server, 2, Reuse::Always, true).unwrap();
    assert_eq!(taken.stream.tcp().unwrap().local_addr().unwrap(), port);
    assert!(idle.is_empty());
}

#[tokio::test]
async fn a_distrusted_connection_is_shared_when_it_was_silent_for_a_moment() {
    for talks in [false, true] {
        let site = Site::open(|_| ()).await;
        let mut idle = Idle::new(IdleLimits::default());
        let (mut made, end) = site.connection(1).await;
        made.distrust();
        idle.put(made, Reuse::Always);
        assert!(idle.take(&site.server, 2, Reuse::Always, true).is_none(), "too early");
        assert_eq!(idle.len(), 1);
        if talks {
            end.try_write(b"x").unwrap();
        }
        // The thread sleeps, not the task: the runtime does not hear of the byte.
        std::thread::sleep(Duration::from_millis(60));
        let mut taken = idle.take(&site.server, 2, Reuse::Always, true);
        assert_eq!(taken.is_none(), talks);
        assert!(idle.is_empty());
        if let Some(trusted) = taken.take() {
            idle.put(trusted, Reuse::Always);
            assert!(idle.take(&site.server, 3, Reuse::Always, true).is_some(), "it has proved itself");
        }
    }
}

#[tokio::test]
async fn limits_close_the_newest_of_a_server_and_the_oldest_of_all() {
    let site = Site::open(|s| s.idle_connections = Some(2)).await;
    let mut idle = Idle::new(IdleLimits::default());
    let mut ends = Vec::new();
    for client in 1..=3 {
        let (made, end) = site.connection(client).await;
        ends.push(end);
        idle.put(made, Reuse::Always);
    }
    assert_eq!((idle.len(), idle.count(&site.server)), (2, 2));
    assert_eq!(ends[2].read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    let mut small = Idle::new(IdleLimits { total: 1, ..IdleLimits::default() });
    for client in 1..=2 {
        let (made, end) = site.connection(client).await;
        ends.push(end);
        small.put(made, Reuse::Never);
    }
    assert_eq!(small.len(), 1);
}

#[tokio::test]
async fn a_worker_takes_what_another_keeps() {
    let rooms = pool::IdleRooms::new(2, IdleLimits::default());
    let site = Site::open(|s| (s.idle_low, s.max_reuse) = (Some(2), Some(1))).await;
    let (one, _end) = site.connection(1).await;
    let (two, other_end) = site.connection(1).await;
    rooms.room(0).put(one, Reuse::Always);
    assert!(rooms.take(1, &site.server, 2, Reuse::Always, true).is_none(), "there is but one");
    rooms.room(0).put(two, Reuse::Safe);
    assert!(rooms.take(1, &site.server, 2, Reuse::Never, false).is_none());
    assert!(rooms.take(1, &site.server, 2, Reuse::Safe, true).is_none());
    drop(other_end);
    let taken = rooms.take(1, &site.server, 2, Reuse::Safe, false).unwrap();
    assert_eq!((taken.uses, taken.owner, rooms.room(0).len()), (2, 2, 0));
    rooms.room(1).put(taken, Reuse::Safe);
    assert!(rooms.room(1).is_empty(), "it was used again once, and may not be more often");
}

#[tokio::test]
async fn connections_of_servers_that_moved_or_are_gone_are_closed() {
    let site = Site::open(|_| ()).await;
    let mut idle = Idle::new(IdleLimits::default());
    let (one, _end) = site.connection(1).await;
    idle.put(one, Reuse::Always);
    idle.purge(|_| true);
    assert_eq!(idle.len(), 1);
    site.server.set_address(ServerEndpoint::Tcp(([127, 0, 0, 1], 1).into()));
    assert!(idle.take(&site.server, 1, Reuse::Always, false).is_none());
    let (two, _end) = {
        site.server.set_address(ServerEndpoint::Tcp(site.listener.local_addr().unwrap()));
        site.connection(1).await
    };
    idle.put(two, Reuse::Always);
    idle.purge(|_| false);
    assert!(idle.is_empty());
}

#[tokio::test]
async fn clients_that_leave_take_their_private_ones_along() {
    let site = Site::open(|_| ()).await;
    let mut idle = Idle::new(IdleLimits::default());
    let (one, _end) = site.connection(1).await;
    let (two, _other) = site.connection(2).await;
    idle.put(one, Reuse::Never);
    idle.put(two, Reuse::Never);
    idle.forget_client(1);
    assert_eq!(idle.len(), 1);
}

#[tokio::test]
async fn old_ones_expire() {
    let site = Site::open(|_| ()).await;
    let mut idle = Idle::new(IdleLimits { max_idle: Duration::ZERO, ..IdleLimits::default() });
    let (one, _end) = site.connection(1).await;
    idle.put(one, Reuse::Always);
    idle.close_expired();
    assert!(idle.is_empty());
}
