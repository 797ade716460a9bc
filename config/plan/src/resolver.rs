//! Name servers that are asked at run time, and what is done with their answers. HAProxy's `resolvers`.

use crate::network::Networks;
use crate::place::Place;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A group of name servers: all are asked at once, the first good answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// Where it was said.
    pub place: Place,
    /// Name, unique.
    pub name: String,
    /// The name servers.
    pub servers: Vec<NameServer>,
    /// Questions sent before the name servers count as silent.
    pub tries: u32,
    /// Rest between an answer and the next question.
    pub interval: Duration,
    /// How long an answer to one question may take.
    pub patience: Duration,
    /// How long what was known goes on to count.
    pub hold: Hold,
    /// Largest answer that we announce to take, bytes.
    pub payload_bytes: u16,
    /// Asked when a request or a server needs a name, and answers count as long as they say; `None` = as the times above
    /// say.
    pub on_demand: Option<OnDemand>,
}

/// Names are looked up when they are needed, and answers are kept as long as they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// How long an answer is kept; `None` = as long as it says.
    pub valid: Option<Duration>,
    /// IPv4 addresses are looked for.
    pub v4: bool,
    /// IPv6 addresses are looked for.
    pub v6: bool,
    /// Patience with a lookup.
    pub timeout: Duration,
}

impl Resolvers {
    /// A group without name servers and with HAProxy's times.
    pub fn new(place: Place, name: impl Into<String>) -> Resolvers {
        Resolvers {
            place,
            name: name.into(),
            servers: Vec::new(),
            tries: 3,
            interval: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            hold: Hold::default(),
            payload_bytes: 512,
            on_demand: None,
        }
    }
}

/// One name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Name in statistics.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is asked.
    pub transport: Transport,
}

/// How a name server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A datagram; over TCP when the answer does not fit (RFC 7766).
    #[default]
    Udp,
    /// A connection.
    Tcp,
}

/// How long what was known goes on to count once something else is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// An answer is used again for the same question of a rule.
    pub valid: Duration,
    /// The name does not exist.
    pub missing: Duration,
    /// Nobody answers. `None` = for ever: a name service that is away takes no server away.
    pub silent: Option<Duration>,
    /// The name servers refuse. `None` = for ever.
    pub refused: Option<Duration>,
    /// Any other failure. `None` = for ever.
    pub other: Option<Duration>,
    /// A good answer no longer holds an address.
    pub obsolete: Duration,
}

impl Default for Hold {
    fn default() -> Hold {
        Hold {
            valid: Duration::from_secs(10),
            missing: Duration::from_secs(30),
            silent: None,
            refused: None,
            other: None,
            obsolete: Duration::ZERO,
        }
    }
}

/// How a server's name becomes its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Name servers asked at run time; `None` = the name is looked up at the start only.
    pub resolvers: Option<String>,
    /// Family that is asked for first.
    pub prefer: Family,
    /// Addresses in these networks come first.
    pub networks: Networks,
    /// Servers of one name may share an address.
    pub shared: bool,
    /// Weights of service records do not count.
    pub ignore_weight: bool,
    /// Where the first address comes from: the first that works. Empty = nothing was said.
    pub first: Vec<FirstAddress>,
}

impl Lookup {
    /// Where the first address comes from, in order: what was said, or the one before, the system, and with
    /// name servers to ask later, none.
    pub fn first_addresses(&self) -> Vec<FirstAddress> {
        if !self.first.is_empty() {
            return self.first.clone();
        }
        let later = self.resolvers.is_some().then_some(FirstAddress::None);
        [FirstAddress::Last, FirstAddress::System].into_iter().chain(later).collect()
    }
}

/// Family of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    #[default]
    V6,
}

impl Family {
    /// The other one.
    pub fn other(self) -> Family {
        match self {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        }
    }

    /// True when the address is of this family.
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Family::V4)
    }
}

/// Where a server's first address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAddress {
    /// The one it had before.
    Last,
    /// The system's resolver.
    System,
    /// It waits without one.
    None,
    /// This one.
    Fixed(IpAddr),
}
