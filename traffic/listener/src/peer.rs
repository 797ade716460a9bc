//! Who is at the other end of a connection, or at ours.

use rustix::net::SocketAddrAny;
use std::net::{IpAddr, SocketAddr};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An IP address and port. IPv4 seen through an IPv6 socket is written as IPv4.
    Ip(SocketAddr),
    /// A unix socket; its clients have no address.
    Unix,
}

impl Peer {
    /// Address and port, unless it is a unix socket.
    pub fn ip(self) -> Option<SocketAddr> {
        match self {
            Peer::Ip(address) => Some(address),
            Peer::Unix => None,
        }
    }

    pub(crate) fn of(address: Option<SocketAddrAny>) -> Peer {
        match address.and_then(|a| SocketAddr::try_from(a).ok()) {
            Some(address) => Peer::from(address),
            None => Peer::Unix,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => Peer::Ip(SocketAddr::new(v4.into(), address.port())),
            IpAddr::V6(_) => Peer::Ip(address),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Ip(address) => write!(f, "{address}"),
            Peer::Unix => f.write_str("unix"),
        }
    }
}
