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
use tokio::net::{TcpSocket, UdpSocket, UnixStream};

/// A connection to a server. Handed on in a box: it goes from hand to hand with every request.
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
pub async fn connect(server: &Arc<Server>, proxy_header: &[u8]) -> Result<Box<Connection>, ConnectError> {
    connect_for(server, None, proxy_header).await
}

/// How a connection is made, where the one who makes it says it and not the server.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Our address; port 0 = any.
    pub source: Option<SocketAddr>,
    /// TCP keep-alive.
    pub keep_alive: bool,
    /// Small segments leave at once.
    pub no_delay: bool,
}

impl Manner {
    /// What the server says.
    pub fn of(server: &Server) -> Manner {
        Manner { source: server.plan.source, keep_alive: server.tcp_keep_alive, no_delay: true }
    }
}

/// The same for a client that asked for `destination`: for servers whose address depends on it.
pub async fn connect_for(
    server: &Arc<Server>,
    destination: Option<SocketAddr>,
    proxy_header: &[u8],
) -> Result<Box<Connection>, ConnectError> {
    connect_as(server, destination, proxy_header, Manner::of(server)).await
}

/// The same in a manner of the caller's.
pub async fn connect_as(
    server: &Arc<Server>,
    destination: Option<SocketAddr>,
    proxy_header: &[u8],
    manner: Manner,
) -> Result<Box<Connection>, ConnectError> {
    let endpoint = server.endpoint_for(destination).ok_or_else(no_destination)?;
    let mut stream = open(&endpoint, manner).await.map_err(classify)?;
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
    Ok(Box::new(Connection {
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
    }))
}

/// A socket for datagrams to and from a server, and where it leads. What a server refuses is told by a later call.
///
/// # Errors
/// The server's address is no IP address, or there is no way to it.
pub fn open_datagrams(
    server: &Server,
    destination: Option<SocketAddr>,
    source: Option<SocketAddr>,
) -> Result<(UdpSocket, SocketAddr), ConnectError> {
    let Some(ServerEndpoint::Tcp(address)) = server.endpoint_for(destination) else {
        return Err(no_destination());
    };
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)),
    };
    let opened = || {
        let socket = std::net::UdpSocket::bind(source.unwrap_or(any))?;
        socket.set_nonblocking(true)?;
        socket.connect(address)?;
        UdpSocket::from_std(socket)
    };
    Ok((opened().map_err(classify)?, address))
}

async fn open(endpoint: &ServerEndpoint, manner: Manner) -> io::Result<Stream> {
    match endpoint {
        ServerEndpoint::Tcp(address) => {
            Ok(Stream::Tcp(tcp_socket(*address, manner)?.connect(*address).await?))
        }
        ServerEndpoint::Unix(path) => open_unix(path).await,
    }
}

async fn open_unix(path: &Path) -> io::Result<Stream> {
    Ok(Stream::Unix(UnixStream::connect(path).await?))
}

fn tcp_socket(to: SocketAddr, manner: Manner) -> io::Result<TcpSocket> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(manner.no_delay)?;
    socket.set_keepalive(manner.keep_alive)?;
    if let Some(source) = manner.source {
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
