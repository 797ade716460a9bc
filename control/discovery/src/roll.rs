//! The servers that are known by name, and how answers become their addresses, ports and weights.

use crate::machine::{Kind, Machine, Query, Standing, Status};
use crate::seats::{self, Instance};
use plan::ServerAddress;
use plan::resolver::Lookup;
use pool::{Pool, Server, ServerEndpoint};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Servers of one pool that share a name, in order of the pool.
pub(crate) struct Table {
    pub pool: Arc<Pool>,
    pub query: Query,
    seats: Vec<Seat>,
}

struct Seat {
    server: Arc<Server>,
    /// The instance of the service it holds.
    instance: Option<Instance>,
}

/// Something that changed at a server.
pub(crate) enum News {
    /// It moved.
    Address { server: Arc<Server>, from: String, to: String },
}

/// Tables of the servers in `pool` that this group of name servers is asked for.
pub(crate) fn tables(pool: &Arc<Pool>, resolvers: &str, before: &[Table]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for server in &*pool.servers() {
        let asks = server.plan.lookup.resolvers.as_deref() == Some(resolvers);
        let Some(query) = asks.then(|| query_of(server)).flatten() else { continue };
        let seat = Seat { server: Arc::clone(server), instance: instance_before(server, before) };
        match tables.iter_mut().find(|table| table.query == query) {
            Some(table) => table.seats.push(seat),
            None => tables.push(Table { pool: Arc::clone(pool), query, seats: vec![seat] }),
        }
    }
    tables
}

fn query_of(server: &Server) -> Option<Query> {
    let host = server.host()?;
    let kind = match server.plan.address {
        ServerAddress::Service(_) if host.starts_with('_') => Kind::Service,
        _ => Kind::Host(server.plan.lookup.prefer),
    };
    Some(Query::new(&host, kind))
}

fn instance_before(server: &Server, before: &[Table]) -> Option<Instance> {
    let mut seats = before.iter().flat_map(|table| &table.seats);
    seats.find(|seat| seat.server.uid == server.uid)?.instance.clone()
}

impl Table {
    /// All that must be known for these servers.
    pub fn queries(&self, machine: &Machine) -> BTreeSet<Query> {
        let mut queries = BTreeSet::from([self.query.clone()]);
        if self.query.kind == Kind::Service
            && let Some(seat) = self.seats.first()
        {
            let kind = Kind::Host(seat.server.plan.lookup.prefer);
            queries.extend(machine.hosts_wanted().into_iter().map(|name| Query { name, kind }));
        }
        queries
    }

    /// Makes the servers follow what is known. Doing it twice changes nothing.
    pub fn follow(&mut self, now: Duration, machine: &Machine) -> Vec<News> {
        match machine.standing(now, &self.query) {
            Standing::Kept => self.follow_hosts(now, machine),
            Standing::Lost(status) => {
                self.seats.iter_mut().for_each(|seat| {
                    seat.hold(None);
                    seat.server.lose_address(words(status));
                });
                Vec::new()
            }
            Standing::Known(known) if self.query.kind == Kind::Service => {
                let services: Vec<_> = known.services.iter().map(|(service, _)| service.clone()).collect();
                let held: Vec<_> = self.seats.iter().map(|seat| seat.instance.clone()).collect();
                let mut news = Vec::new();
                for (seat, service) in self.seats.iter_mut().zip(seats::instances(&held, &services)) {
                    let Some(service) = service else {
                        seat.hold(None);
                        seat.server.lose_address("no instance of the service for it");
                        continue;
                    };
                    seat.hold(Some((service.target.clone(), service.port)));
                    if !seat.server.plan.lookup.ignore_weight {
                        seat.server.set_weight(seats::weight(service));
                    }
                    news.extend(seat.find_host(now, machine, service.port, &service.addresses));
                }
                news
            }
            Standing::Known(known) => {
                let known: Vec<IpAddr> = known.hosts.iter().map(|(ip, _)| *ip).collect();
                let lookups: Vec<&Lookup> = self.seats.iter().map(|seat| &seat.server.plan.lookup).collect();
                let held: Vec<Option<IpAddr>> = self.seats.iter().map(Seat::address).collect();
                let given = seats::spread(&lookups, &held, &known);
                self.seats.iter().zip(given).filter_map(|(seat, ip)| seat.take(ip, None)).collect()
            }
        }
    }

    /// The service is as it was, but its hosts may have moved.
    fn follow_hosts(&mut self, now: Duration, machine: &Machine) -> Vec<News> {
        let seats = self.seats.iter().filter(|seat| seat.instance.is_some());
        seats.filter_map(|seat| seat.find_host(now, machine, seat.instance.as_ref()?.1, &[])).collect()
    }
}

impl Seat {
    fn hold(&mut self, instance: Option<Instance>) {
        self.server.set_target(instance.as_ref().map(|(target, _)| target.as_str()));
        self.instance = instance;
    }

    fn address(&self) -> Option<IpAddr> {
        match self.server.address() {
            ServerEndpoint::Tcp(address) => Some(address.ip()).filter(|ip| !ip.is_unspecified()),
            ServerEndpoint::Unix(_) => None,
        }
    }

    /// The address of the host of its service instance: one that came along, or one asked for.
    fn find_host(&self, now: Duration, machine: &Machine, port: u16, along: &[IpAddr]) -> Option<News> {
        let lookup = &self.server.plan.lookup;
        if !along.is_empty() {
            let ip = seats::spread(&[lookup], &[self.address()], along).into_iter().next().flatten();
            return self.take(ip, Some(port));
        }
        let (target, _) = self.instance.as_ref()?;
        let query = Query { name: target.clone(), kind: Kind::Host(lookup.prefer) };
        match machine.standing(now, &query) {
            Standing::Known(known) => {
                let known: Vec<IpAddr> = known.hosts.iter().map(|(ip, _)| *ip).collect();
                let ip = seats::spread(&[lookup], &[self.address()], &known).into_iter().next().flatten();
                self.take(ip, Some(port))
            }
            Standing::Lost(status) => {
                self.server.lose_address(words(status));
                None
            }
            Standing::Kept => None,
        }
    }

    /// `port`: that of a service instance; the configured one otherwise.
    fn take(&self, ip: Option<IpAddr>, port: Option<u16>) -> Option<News> {
        let Some(ip) = ip else {
            self.server.lose_address("no address for it");
            return None;
        };
        let before = self.server.address();
        let port = port.unwrap_or_else(|| self.server.plan.address.port());
        let now = ServerEndpoint::Tcp(SocketAddr::new(ip, port));
        self.server.set_address(now.clone());
        (before != now && self.address_was_known(&before)).then(|| News::Address {
            server: Arc::clone(&self.server),
            from: bare(&before),
            to: bare(&now),
        })
    }

    fn address_was_known(&self, before: &ServerEndpoint) -> bool {
        !matches!(before, ServerEndpoint::Tcp(address) if address.ip().is_unspecified())
    }
}

fn bare(endpoint: &ServerEndpoint) -> String {
    match endpoint {
        ServerEndpoint::Tcp(address) => address.to_string(),
        ServerEndpoint::Unix(path) => path.display().to_string(),
    }
}

/// As HAProxy names the cause in its logs.
fn words(status: Status) -> &'static str {
    match status {
        Status::Missing => "DNS NX status",
        Status::Silent => "DNS timeout status",
        Status::Refused => "DNS refused status",
        Status::Other | Status::Unknown | Status::Valid => "unspecified DNS error",
    }
}
