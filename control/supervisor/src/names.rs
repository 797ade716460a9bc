//! Servers known by name when a cycle begins: which address each starts with.

use plan::resolver::{FirstAddress, Lookup};
use plan::{Problem, Problems};
use pool::{Pool, ServerEndpoint};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// First addresses of the servers of a pool, by name. `None` = it waits for one.
pub(crate) struct FirstAddresses {
    found: HashMap<String, Option<SocketAddr>>,
    of_the_system: HashMap<String, IpAddr>,
}

impl FirstAddresses {
    /// Looks names up, which may take as long as the system's resolver takes. A name that none of the ways said
    /// leads to an address is a problem.
    pub fn of(pool: &plan::Pool, before: Option<&Pool>, problems: &mut Problems) -> FirstAddresses {
        let mut asked: HashMap<String, Vec<IpAddr>> = HashMap::new();
        let mut first =
            FirstAddresses { found: HashMap::new(), of_the_system: of_the_system(pool, before, &mut asked) };
        for server in &pool.servers {
            let Some(name) = server.address.name() else { continue };
            if pool::is_template(server) {
                continue;
            }
            match first.find(server, before, &mut asked) {
                Ok(ip) => {
                    let address = ip.map(|ip| SocketAddr::new(ip, server.address.port()));
                    first.found.insert(server.name.clone(), address);
                }
                Err(NoWay) => problems.push(
                    Problem::new(
                        server.place.clone(),
                        format!("look up '{name}' for server '{}': no address", server.name),
                    )
                    .hint("correct the name, add it to /etc/hosts, give an address, or let it start without one"),
                ),
            }
        }
        first
    }

    /// For [`Pool::build`].
    pub fn get(&self, server: &plan::Server) -> Option<SocketAddr> {
        self.found.get(&server.name).copied().flatten()
    }

    /// Names that are as many servers as they have addresses: what the system knows of them. Those it does not know are
    /// asked for later.
    pub fn spread(pool: &Pool) {
        let mut asked = HashMap::new();
        for template in pool.templates().filter(|template| template.lookup.resolvers.is_none()) {
            let known = system(template.address.name().unwrap_or_default(), &mut asked);
            let port = template.address.port();
            let instances: Vec<_> = known.into_iter().map(|ip| SocketAddr::new(ip, port).into()).collect();
            // A name service that is away takes no server away.
            if !instances.is_empty() {
                pool.follow_name(&template.name, &instances);
            }
        }
    }

    /// Servers that are looked up at the start only, and have moved since the last one.
    pub fn moved(&self, pool: &Pool) -> Vec<(std::sync::Arc<pool::Server>, ServerEndpoint)> {
        let moved = |server: &std::sync::Arc<pool::Server>| {
            let ip = self.of_the_system.get(&server.plan.name)?;
            let new = ServerEndpoint::Tcp(SocketAddr::new(*ip, server.plan.address.port()));
            (server.address() != new).then(|| (std::sync::Arc::clone(server), new))
        };
        pool.servers().iter().filter_map(moved).collect()
    }

    fn find(
        &self,
        server: &plan::Server,
        before: Option<&Pool>,
        asked: &mut HashMap<String, Vec<IpAddr>>,
    ) -> Result<Option<IpAddr>, NoWay> {
        let last = || last_address(before?, server);
        for way in server.lookup.first_addresses() {
            match way {
                // Without name servers to ask later, the system may know better.
                FirstAddress::Last if server.lookup.resolvers.is_some() => {
                    if let Some(ip) = last() {
                        return Ok(Some(ip));
                    }
                }
                FirstAddress::Last => {}
                FirstAddress::System => {
                    let known = self.of_the_system.get(&server.name).copied();
                    if let Some(ip) = known.or_else(|| by_the_system(server, asked)) {
                        return Ok(Some(ip));
                    }
                }
                FirstAddress::None => return Ok(last()),
                FirstAddress::Fixed(ip) => return Ok(Some(ip)),
            }
        }
        // A name service that is away must not refuse a reload.
        last().map(Some).ok_or(NoWay)
    }
}

/// No way led to an address.
struct NoWay;

/// Servers of one name each get an address of their own, as far as there are enough; but without name servers to
/// ask later all get the first, as in HAProxy.
fn of_the_system(
    pool: &plan::Pool,
    before: Option<&Pool>,
    asked: &mut HashMap<String, Vec<IpAddr>>,
) -> HashMap<String, IpAddr> {
    let mut groups: HashMap<&str, Vec<&plan::Server>> = HashMap::new();
    let alone = |server: &&plan::Server| !pool::is_template(server);
    for server in pool.servers.iter().filter(alone).filter(|server| asks_the_system(server, before)) {
        groups.entry(server.address.name().unwrap_or_default()).or_default().push(server);
    }
    let mut found = HashMap::new();
    for (name, servers) in groups {
        let known = system(name, asked);
        let lookups: Vec<Lookup> = servers.iter().map(|server| lookup(server, &known)).collect();
        let lookups: Vec<&Lookup> = lookups.iter().collect();
        let given = discovery::spread(&lookups, &vec![None; servers.len()], &known);
        let both = servers.iter().zip(given);
        found.extend(both.filter_map(|(server, ip)| Some((server.name.clone(), ip?))));
    }
    found
}

fn asks_the_system(server: &plan::Server, before: Option<&Pool>) -> bool {
    let ways = server.lookup.first_addresses();
    let said = ways.iter().take_while(|way| !matches!(way, FirstAddress::None | FirstAddress::Fixed(_)));
    let known =
        server.lookup.resolvers.is_some() && before.is_some_and(|b| last_address(b, server).is_some());
    server.address.name().is_some_and(|name| !name.starts_with('_'))
        && said.clone().any(|way| *way == FirstAddress::System)
        && !known
}

/// IPv4 first when nobody said otherwise, as most servers listen there only.
fn lookup(server: &plan::Server, known: &[IpAddr]) -> Lookup {
    if server.lookup.resolvers.is_some() {
        return server.lookup.clone();
    }
    let prefer =
        if known.iter().any(IpAddr::is_ipv4) { plan::resolver::Family::V4 } else { server.lookup.prefer };
    let first = known.iter().find(|ip| prefer.has(**ip));
    let networks = first.and_then(|ip| plan::Network::new(*ip, if ip.is_ipv4() { 32 } else { 128 }));
    let networks = plan::Networks(networks.into_iter().collect());
    Lookup { prefer, shared: true, networks, ..server.lookup.clone() }
}

fn by_the_system(server: &plan::Server, asked: &mut HashMap<String, Vec<IpAddr>>) -> Option<IpAddr> {
    // More servers than addresses: the others wait, or share when nobody will tell of more.
    match &server.lookup.resolvers {
        Some(_) if !server.lookup.shared => None,
        _ => system(server.address.name()?, asked).first().copied(),
    }
}

fn system(name: &str, asked: &mut HashMap<String, Vec<IpAddr>>) -> Vec<IpAddr> {
    if let Some(known) = asked.get(name) {
        return known.clone();
    }
    let found = (name, 0).to_socket_addrs().map(|found| found.map(|a| a.ip()).collect());
    let mut found: Vec<IpAddr> = found.unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    found.retain(|ip| seen.insert(*ip));
    asked.insert(name.to_owned(), found.clone());
    found
}

/// The address that a server of this name had so far.
fn last_address(before: &Pool, server: &plan::Server) -> Option<IpAddr> {
    let old = before.server(&server.name).filter(|old| old.plan.address == server.address)?;
    match old.address() {
        ServerEndpoint::Tcp(address) => Some(address.ip()).filter(|ip| !ip.is_unspecified()),
        ServerEndpoint::Unix(_) => None,
    }
}
