//! Groups of peers: balancers that share stick tables (configuration.txt, 11.2).

use crate::listener::Bind;
use crate::place::Place;
use std::net::SocketAddr;

/// Balancers that share tables. One of them is this process, by its name.
#[derive(Clone, Debug, Default)]
pub struct PeerGroup {
    /// Where it was said.
    pub place: Place,
    /// Name.
    pub name: String,
    /// It is not kept up.
    pub disabled: bool,
    /// Where this process listens; without any, at the address of the peer that it is.
    pub binds: Vec<Bind>,
    /// The peers, this process among them.
    pub peers: Vec<Peer>,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it was said.
    pub place: Place,
    /// Name.
    pub name: String,
    /// Address; this process may go without.
    pub address: Option<SocketAddr>,
}

impl PeerGroup {
    /// Where the process of that name listens; empty when it is no member.
    pub fn listeners(&self, local: &str) -> Vec<Bind> {
        let Some(own) = self.peers.iter().find(|peer| peer.name == local) else { return Vec::new() };
        match own.address {
            Some(address) if self.binds.is_empty() => {
                vec![Bind::new(own.place.clone(), crate::BindAddress::Tcp(address))]
            }
            _ => self.binds.clone(),
        }
    }

    /// The others, as the process of that name sees them.
    pub fn others(&self, local: &str) -> Vec<(String, SocketAddr)> {
        let others = self.peers.iter().filter(|peer| peer.name != local);
        others.filter_map(|peer| Some((peer.name.clone(), peer.address?))).collect()
    }
}
