//! Names that are looked up on demand, and servers that follow a name as long as its answers count. Tasks on the control
//! thread; who asks is in [`pool::Names`].

use crate::plain::{self, Answer, Kind};
use plan::resolver::{OnDemand, Resolvers};
use pool::{Instance, NameError, Names, Pool, Request};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// A name server that is silent for so long is given up for the next one.
const RESEND: Duration = Duration::from_secs(5);
/// Longest search for a name, whoever waits.
const SEARCH: Duration = Duration::from_secs(60);
/// Names that one alias leads to the next.
const MAX_ALIASES: usize = 50;
/// Rest after a name that is not there, when nothing else is said.
const MISSING_REST: Duration = Duration::from_secs(10);
/// Shortest rest between two questions for a server's name.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// Rest before the system is asked again for a name it did not know.
const SYSTEM_REST: Duration = Duration::from_secs(10);

/// A group of name servers that answers on demand.
pub(crate) struct Group {
    name: Arc<str>,
    settings: Resolvers,
    asked: OnDemand,
    /// Whose turn it is.
    turn: AtomicUsize,
}

impl Group {
    /// `None` when the group is not of this kind.
    pub(crate) fn of(settings: &Resolvers) -> Option<Arc<Group>> {
        let asked = settings.on_demand?;
        let name = Arc::from(settings.name.as_str());
        Some(Arc::new(Group { name, settings: settings.clone(), asked, turn: AtomicUsize::new(0) }))
    }
}

/// Addresses and how long they count.
type Found = (Arc<[IpAddr]>, Duration);

/// All that is looked up on demand, of one cycle after the other.
pub(crate) struct Demand {
    names: Names,
    groups: HashMap<Arc<str>, Arc<Group>>,
    /// Requests that wait for the same answer.
    waiting: HashMap<(Arc<str>, Arc<str>), Vec<Waiter>>,
    running: JoinSet<Turn>,
    /// Servers that follow their names; dropped and begun anew with each cycle.
    followers: JoinSet<()>,
    numbers: u64,
}

struct Waiter {
    number: u64,
    answer: tokio::sync::oneshot::Sender<Result<Arc<[IpAddr]>, NameError>>,
}

/// What a small task ended with.
pub(crate) enum Turn {
    Found((Arc<str>, Arc<str>), Result<Found, NameError>),
    Late((Arc<str>, Arc<str>), u64),
}

impl Demand {
    pub(crate) fn new(names: Names) -> Demand {
        Demand {
            names,
            groups: HashMap::new(),
            waiting: HashMap::new(),
            running: JoinSet::new(),
            followers: JoinSet::new(),
            numbers: 0,
        }
    }

    /// Another cycle: its name servers, and its servers with names.
    pub(crate) fn replace(&mut self, pools: &[Arc<Pool>], resolvers: &[Resolvers]) {
        let same = |old: &Arc<Group>, new: &Resolvers| old.settings == *new;
        let mut groups = HashMap::new();
        for settings in resolvers {
            let old = self.groups.remove(settings.name.as_str()).filter(|old| same(old, settings));
            if old.is_none() {
                self.names.forget(&settings.name);
            }
            if let Some(group) = old.or_else(|| Group::of(settings)) {
                groups.insert(Arc::clone(&group.name), group);
            }
        }
        self.groups = groups;
        self.followers = JoinSet::new();
        for pool in pools {
            for template in pool.templates() {
                let (pool, names) = (Arc::downgrade(pool), self.names.clone());
                let template = template.clone();
                match &template.lookup.resolvers {
                    Some(group) => {
                        let Some(group) = self.groups.get(group.as_str()) else { continue };
                        self.followers.spawn(follow(pool, template, Arc::clone(group), names));
                    }
                    None => drop(self.followers.spawn(follow_system(pool, template))),
                }
            }
        }
    }

    /// The next thing to do.
    pub(crate) async fn next(&mut self) -> Work {
        tokio::select! {
            request = self.names.next() => Work::Request(request),
            Some(turn) = self.running.join_next() => turn.map_or(Work::Nothing, Work::Turn),
        }
    }

    pub(crate) fn act(&mut self, work: Work) {
        match work {
            Work::Nothing => {}
            Work::Request(request) => self.ask(request),
            Work::Turn(Turn::Late(key, number)) => {
                let Some(waiters) = self.waiting.get_mut(&key) else { return };
                if let Some(at) = waiters.iter().position(|waiter| waiter.number == number) {
                    let _ = waiters.swap_remove(at).answer.send(Err(NameError::TimedOut));
                }
            }
            Work::Turn(Turn::Found(key, found)) => {
                for waiter in self.waiting.remove(&key).unwrap_or_default() {
                    let _ = waiter.answer.send(found.clone().map(|(addresses, _)| addresses));
                }
            }
        }
    }

    fn ask(&mut self, request: Request) {
        let Request { group, name, patience, answer } = request;
        let Some(group) = self.groups.get(&group).cloned() else {
            let _ = answer.send(Err(NameError::NotAsked));
            return;
        };
        if let Some(addresses) = self.names.recall(&group.name, &name) {
            let _ = answer.send(Ok(addresses));
            return;
        }
        let key = (Arc::clone(&group.name), Arc::clone(&name));
        self.numbers += 1;
        let number = self.numbers;
        let waiters = self.waiting.entry(key.clone()).or_default();
        let is_first = waiters.is_empty();
        waiters.push(Waiter { number, answer });
        let late = key.clone();
        self.running.spawn(async move {
            sleep(patience.min(SEARCH)).await;
            Turn::Late(late, number)
        });
        if is_first {
            let names = self.names.clone();
            self.running.spawn(async move {
                let found = timeout(SEARCH, find(&group, &name, &names)).await;
                Turn::Found(key, found.unwrap_or(Err(NameError::TimedOut)))
            });
        }
    }
}

/// Something to do.
pub(crate) enum Work {
    Request(Request),
    Turn(Turn),
    Nothing,
}

/// Looks a name up, through its aliases, and remembers it.
async fn find(group: &Group, name: &Arc<str>, names: &Names) -> Result<Found, NameError> {
    let mut asked = name.to_string();
    let mut life = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let (v4, v6) = tokio::join!(
            family(group, &asked, Kind::A, group.asked.v4),
            family(group, &asked, Kind::Aaaa, group.asked.v6)
        );
        let mut failure = NameError::Missing;
        let (mut addresses, mut alias) = (Vec::new(), None);
        for answer in [v4, v6].into_iter().flatten() {
            match answer {
                Ok(answer) => {
                    if !answer.addresses.is_empty() || answer.alias.is_some() {
                        life = life.min(answer.ttl);
                    }
                    addresses.extend(answer.addresses);
                    alias = alias.or(answer.alias);
                }
                Err(error) => failure = error,
            }
        }
        if !addresses.is_empty() {
            let addresses: Arc<[IpAddr]> = addresses.into();
            let life = group.asked.valid.unwrap_or(Duration::from_secs(life.into()));
            names.learn(&group.name, name, &addresses, life);
            return Ok((addresses, life));
        }
        match alias.filter(|alias| *alias != asked) {
            Some(alias) => asked = alias,
            None => return Err(failure),
        }
        if let Some(addresses) = names.recall(&group.name, &asked) {
            let life = group.asked.valid.unwrap_or(Duration::from_secs(life.into()));
            names.learn(&group.name, name, &addresses, life);
            return Ok((addresses, life));
        }
    }
    Err(NameError::Malformed)
}

/// One question to the name servers in turn; `None` when it is not to be asked.
async fn family(group: &Group, name: &str, kind: Kind, wanted: bool) -> Option<Result<Answer, NameError>> {
    if !wanted {
        return None;
    }
    let servers = &group.settings.servers;
    // Both families of one name go to the same name server.
    let step = if kind == Kind::Aaaa && group.asked.v4 { 0 } else { 1 };
    let first = group.turn.fetch_add(step, Relaxed);
    let first = if step == 0 { first.wrapping_sub(1) } else { first };
    let mut at = first;
    loop {
        let server = servers.get(at % servers.len().max(1))?;
        at = at.wrapping_add(1);
        match timeout(RESEND, ask(server.address, name, kind)).await {
            Ok(Ok(answer)) => return Some(judge(answer)),
            Ok(Err(Unasked::Name)) => return Some(Err(NameError::Malformed)),
            Ok(Err(Unasked::System)) => sleep(RESEND).await,
            Err(_) => {}
        }
    }
}

fn judge(answer: Answer) -> Result<Answer, NameError> {
    match answer.code {
        0 => Ok(answer),
        2 => Err(NameError::Failed),
        3 => Err(NameError::Missing),
        5 => Err(NameError::Refused),
        _ => Err(NameError::Malformed),
    }
}

/// Why nothing was asked.
enum Unasked {
    /// The name cannot be asked for.
    Name,
    System,
}

impl From<io::Error> for Unasked {
    fn from(_: io::Error) -> Unasked {
        Unasked::System
    }
}

/// Asks one name server by a datagram, and over a connection when the answer does not fit. What does not answer the
/// question, or says that it could not be read, is as if it had not come.
async fn ask(to: SocketAddr, name: &str, kind: Kind) -> Result<Answer, Unasked> {
    let id = crate::ask::random_id();
    let bytes = plain::question(id, name, kind).ok_or(Unasked::Name)?;
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = match socket.recv(&mut buffer).await {
            Ok(length) => length,
            // Nobody listens there now; a name server may come up meanwhile.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::future::pending().await,
            Err(error) => return Err(error.into()),
        };
        match plain::answer(&buffer[..length], id, name, kind) {
            Some(answer) if answer.cut => break,
            Some(answer) if answer.code == 1 => {}
            Some(answer) => return Ok(answer),
            None => {}
        }
    }
    by_connection(to, &bytes, id, name, kind).await
}

async fn by_connection(
    to: SocketAddr,
    bytes: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> Result<Answer, Unasked> {
    let mut stream = TcpStream::connect(to).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| Unasked::Name)?;
    stream.write_all(&[&length.to_be_bytes()[..], bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let answer = plain::answer(&buffer, id, name, kind);
    answer.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData).into())
}

/// A server is what its name says, as long as the pool lives.
async fn follow(pool: std::sync::Weak<Pool>, template: plan::Server, group: Arc<Group>, names: Names) {
    loop {
        let found = timeout(group.asked.timeout, instances(&template, &group, &names)).await;
        let Some(pool) = pool.upgrade() else { return };
        let rest = match found.unwrap_or(Err(NameError::TimedOut)) {
            Ok((instances, life)) => {
                pool.follow_name(&template.name, &instances);
                life + SHORTEST_REST
            }
            Err(NameError::Missing) => {
                pool.follow_name(&template.name, &[]);
                group.asked.valid.unwrap_or(MISSING_REST) + SHORTEST_REST
            }
            // What was known stays known.
            Err(_) => group.asked.timeout,
        };
        drop(pool);
        sleep(rest.max(SHORTEST_REST)).await;
    }
}

async fn instances(
    template: &plan::Server,
    group: &Arc<Group>,
    names: &Names,
) -> Result<(Vec<Instance>, Duration), NameError> {
    let name: Arc<str> = template.address.name().unwrap_or_default().to_ascii_lowercase().into();
    if !matches!(template.address, plan::ServerAddress::Service(_)) {
        let port = template.address.port();
        let (addresses, life) = find(group, &name, names).await?;
        return Ok((addresses.iter().map(|ip| SocketAddr::new(*ip, port).into()).collect(), life));
    }
    let answer = family(group, &name, Kind::Srv, true).await.unwrap_or(Err(NameError::NotAsked))?;
    let mut services = answer.services;
    services.sort_unstable();
    let first = services.first().map(|service| service.priority).ok_or(NameError::Missing)?;
    let mut life = group.asked.valid.unwrap_or(Duration::from_secs(answer.ttl.into()));
    let mut instances = Vec::new();
    for service in services {
        let Ok((addresses, lives)) = find(group, &service.target.as_str().into(), names).await else {
            continue;
        };
        life = life.min(lives);
        instances.extend(addresses.iter().map(|ip| Instance {
            address: SocketAddr::new(*ip, service.port),
            weight: Some(service.weight.max(1)),
            backup: service.priority != first,
        }));
    }
    if instances.is_empty() { Err(NameError::Failed) } else { Ok((instances, life)) }
}

/// Without name servers, the system knows the name, at some time.
async fn follow_system(pool: std::sync::Weak<Pool>, template: plan::Server) {
    let Some(name) = template.address.name().map(str::to_owned) else { return };
    loop {
        let Some(living) = pool.upgrade() else { return };
        if !living.instances(&template.name).is_empty() {
            return;
        }
        drop(living);
        let begun = Instant::now();
        let found = lookup_host((name.as_str(), template.address.port())).await;
        let known: Vec<Instance> = found.map(|all| all.map(Instance::from).collect()).unwrap_or_default();
        if !known.is_empty() {
            if let Some(pool) = pool.upgrade() {
                pool.follow_name(&template.name, &known);
            }
            return;
        }
        sleep(SYSTEM_REST.saturating_sub(begun.elapsed()).max(SHORTEST_REST)).await;
    }
}
