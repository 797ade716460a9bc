//! Where connections come in.

use crate::network::Networks;
use crate::place::Place;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One listening address of a site.
#[derive(Clone, Debug)]
pub struct Bind {
    /// Where it was said.
    pub place: Place,
    /// Name for statistics, when given.
    pub name: Option<String>,
    /// Address.
    pub address: BindAddress,
    /// PROXY protocol header required before anything else.
    pub accept_proxy: bool,
    /// Peers whose PROXY header is believed; `None` = all.
    pub proxy_from: Option<Networks>,
    /// Addresses in the header are only told: client and listener stay what the socket says.
    pub proxy_only_tells: bool,
    /// One socket for each worker, between which the kernel spreads what comes (SO_REUSEPORT). UDP.
    pub socket_per_worker: bool,
    /// Size asked for the kernel's receive buffer, bytes.
    pub receive_buffer: Option<u32>,
    /// Size asked for the kernel's send buffer, bytes.
    pub send_buffer: Option<u32>,
    /// Connections at once; `None` = the site's.
    pub max_connections: Option<u32>,
    /// Length of the kernel's queue of unaccepted connections.
    pub backlog: Option<u32>,
    /// IPv6 socket that takes no IPv4.
    pub v6_only: bool,
    /// Bind although the address is not on this machine (IP_FREEBIND).
    pub transparent: bool,
    /// Network interface to bind to.
    pub interface: Option<String>,
    /// Accept only once data has come (TCP_DEFER_ACCEPT).
    pub defer_accept: bool,
    /// Permissions of a unix socket.
    pub mode: Option<u32>,
    /// Owner of a unix socket.
    pub user: Option<String>,
    /// Group of a unix socket.
    pub group: Option<String>,
}

impl Bind {
    /// A plain listener on `address`.
    pub fn new(place: Place, address: BindAddress) -> Bind {
        Bind {
            place,
            name: None,
            address,
            accept_proxy: false,
            proxy_from: None,
            proxy_only_tells: false,
            socket_per_worker: false,
            receive_buffer: None,
            send_buffer: None,
            max_connections: None,
            backlog: None,
            v6_only: false,
            transparent: false,
            interface: None,
            defer_accept: false,
            mode: None,
            user: None,
            group: None,
        }
    }
}

/// What a listener is bound to. Equal addresses are the same socket across reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// TCP. `[::]` takes IPv4 too unless `v6_only`.
    Tcp(SocketAddr),
    /// UDP. `[::]` takes IPv4 too unless `v6_only`.
    Udp(SocketAddr),
    /// Unix stream socket.
    Unix(PathBuf),
    /// Unix stream socket in the abstract name space (Linux, unix(7)).
    Abstract(String),
    /// A listening socket inherited from the parent under this descriptor number.
    Inherited(i32),
}

impl BindAddress {
    /// Datagrams come in, not connections.
    pub fn is_datagrams(&self) -> bool {
        matches!(self, BindAddress::Udp(_))
    }
}

impl std::fmt::Display for BindAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BindAddress::Tcp(address) => write!(f, "{address}"),
            BindAddress::Udp(address) => write!(f, "udp@{address}"),
            BindAddress::Unix(path) => write!(f, "unix@{}", path.display()),
            BindAddress::Abstract(name) => write!(f, "abns@{name}"),
            BindAddress::Inherited(fd) => write!(f, "fd@{fd}"),
        }
    }
}

/// Version of the PROXY protocol header sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text form.
    V1,
    /// Binary form.
    V2,
}
