//! Making connections to servers. Called by `web` and `stream`; time-outs are theirs.

use crate::idle::IdleMark;
use crate::server::{Server, ServerEndpoint};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tasks::Stream;
use telemetry::Cause;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, UnixStream};

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// The server at the other end.
    pub server: Arc<Server>,
    /// Times it was taken into use: 1 for a new one.
    pub uses: u32,
    /// The client connection that used it last.
    pub owner: u64,
    /// Never shared with another client, whatever the pool says.
    pub private: bool,
    /// Where it leads; the server may have another address by now.
    pub endpoint: ServerEndpoint,
    /// Our own address on it; `None` on a Unix socket.
    pub local_address: Option<SocketAddr>,
    /// When it was made, on the worker's clock.
    pub(crate) made_at: Duration,
    /// On the worker's clock.
    pub(crate) idle_since: Duration,
    /// Since when bytes nobody asked for may come.
    pub(crate) distrusted: Option<Instant>,
    /// It is kept and counted as idle.
    pub(crate) mark: Option<IdleMark>,
}

impl Connection {
    /// The server may send more than it should: its answer to HEAD announced a body, and some send it. The next client
    /// would read that as its answer, so other clients get this connection only after it was silent for a moment.
    pub fn distrust(&mut self) {
        self.distrusted = Some(Instant::now());
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
pub struct ConnectError {
    /// The cause for log, status and metrics.
    pub cause: Cause,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connect: {}", self.cause.label())
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Connects to a server and sends `proxy_header` (nothing when empty). Drop the future to give up.
pub async fn connect(server: &Arc<Server>, proxy_header: &[u8]) -> Result<Connection, ConnectError> {
    connect_for(server, None, proxy_header).await
}

/// The same for a client that asked for `destination`: for servers whose address depends on it.
pub async fn connect_for(
    server: &Arc<Server>,
    destination: Option<SocketAddr>,
    proxy_header: &[u8],
) -> Result<Connection, ConnectError> {
    let endpoint = server.endpoint_for(destination).ok_or_else(no_destination)?;
    let keep_alive = server.tcp_keep_alive;
    let mut stream = open(&endpoint, server.plan.source, keep_alive).await.map_err(classify)?;
    if !proxy_header.is_empty() {
        stream
            .write_all(proxy_header)
            .await
            .map_err(|error| ConnectError { cause: Cause::ConnectFailed, error })?;
    }
    let server = Arc::clone(server);
    // One that leads where this client wanted to go must never serve another client.
    let private = server.follows_client();
    let local_address = stream.tcp().and_then(|tcp| tcp.local_addr().ok());
    Ok(Connection {
        local_address,
        stream,
        server,
        uses: 1,
        owner: 0,
        private,
        endpoint,
        made_at: tasks::clock::now(),
        idle_since: Duration::ZERO,
        distrusted: None,
        mark: None,
    })
}

async fn open(endpoint: &ServerEndpoint, source: Option<SocketAddr>, keep_alive: bool) -> io::Result<Stream> {
    match endpoint {
        ServerEndpoint::Tcp(address) => {
            Ok(Stream::Tcp(tcp_socket(*address, source, keep_alive)?.connect(*address).await?))
        }
        ServerEndpoint::Unix(path) => open_unix(path).await,
    }
}

async fn open_unix(path: &Path) -> io::Result<Stream> {
    Ok(Stream::Unix(UnixStream::connect(path).await?))
}

fn tcp_socket(to: SocketAddr, source: Option<SocketAddr>, keep_alive: bool) -> io::Result<TcpSocket> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.set_keepalive(keep_alive)?;
    if let Some(source) = source {
        socket.set_reuseaddr(true)?;
        socket.bind(source)?;
    }
    Ok(socket)
}

fn no_destination() -> ConnectError {
    let error = io::Error::new(io::ErrorKind::AddrNotAvailable, "the client's destination is not known");
    ConnectError { cause: Cause::Internal, error }
}

fn classify(error: io::Error) -> ConnectError {
    use rustix::io::Errno;
    let cause = match Errno::from_io_error(&error) {
        Some(Errno::CONNREFUSED | Errno::NOENT) => Cause::ConnectRefused,
        Some(Errno::TIMEDOUT) => Cause::ConnectTimeout,
        Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN) => Cause::NoRoute,
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE | Errno::MFILE | Errno::NFILE) => Cause::NoLocalResource,
        Some(Errno::NOBUFS | Errno::NOMEM) => Cause::NoLocalResource,
        _ => Cause::ConnectFailed,
    };
    ConnectError { cause, error }
}
