//! The running pool: admits requests, keeps its tables in step with what is known about servers.

use crate::budget::Budget;
use crate::choice::{Choice, Table, Turns, Want, Wish, hash_of};
use crate::clock::Clock;
use crate::observer::Observer;
use crate::queue::{Entry, Lobby, WaitReason, Waiting};
use crate::roster::{AddError, RemoveError, Roster};
use crate::server::{AdminCause, AdminState, Household, Record, Server, ServerEndpoint};
use crate::sessions::Sessions;
use crate::slot::{Member, Slot};
use crate::smooth::{Call, Crew, Journey, Nobody, Waiter};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use plan::ServerAddress;
use plan::pool::{Balance, HashMethod, ServerRule, ServerTarget};
use plan::rule::Facts;
use plan::table::ServerKey;
use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use telemetry::counters::Padded;
use telemetry::{Cause, Counter, FlowStats};

/// A running pool.
pub struct Pool {
    /// What was configured.
    pub plan: Arc<plan::Pool>,
    /// Counters of the whole pool.
    pub stats: Arc<FlowStats>,
    pub(crate) core: Arc<Core>,
    pub(crate) house: Household,
    sessions: Option<Arc<Sessions>>,
    /// Servers are added and removed one at a time.
    pub(crate) changing: Mutex<()>,
}

/// A request that asks for a place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Bytes that are hashed; for `balance source` the 4 or 16 octets of the address. `None` = in turn.
    pub key: Option<&'a [u8]>,
    /// The server that persistence binds it to.
    pub bound: Option<&'a Arc<Server>>,
    /// It goes there or nowhere, even when the server is down.
    pub force_bound: bool,
    /// Uids of servers that failed this request already.
    pub tried: &'a [u32],
    /// Its way through servers with smooth balancing, the same one for all its tries.
    pub journey: Option<&'a RefCell<Journey>>,
    /// The value of the server that it sticks to, with smooth balancing.
    pub hint: Option<&'a [u8]>,
    /// Index of the worker that asks.
    pub worker: usize,
    /// It may wait; otherwise it is refused when no place is free.
    pub may_wait: bool,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Admission {
    /// Here is a place.
    Served(Slot),
    /// There will be one.
    Wait(Waiting),
    /// There is none: `AllDown`, `Empty`, `Drained` or `QueueFull`.
    Refused(Cause),
}

/// What tickets and servers need of a pool.
pub(crate) struct Core {
    plan: Arc<plan::Pool>,
    pub(crate) roster: ArcSwap<Roster>,
    pub(crate) stats: Arc<FlowStats>,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) lobby: Arc<Lobby>,
    turn: Padded<AtomicUsize>,
    alone: Mutex<u64>,
    /// For smooth balancing only.
    crew: Option<Mutex<Crew>>,
    /// One table at a time is made, so that the last one made knows all.
    refreshing: Mutex<()>,
    budget: Mutex<Budget>,
    asked: Box<[Padded<Counter>]>,
    record: Arc<Mutex<Record>>,
    clock: Clock,
}

impl Pool {
    /// Builds the running pool; the cycle before does not notice.
    ///
    /// `previous` is the pool of the same name in the cycle before: servers with the same name and address
    /// keep what is known about them (health, admin state, weight set at run time, counters, requests in
    /// flight); others start fresh, and all do when the number of workers is another. `resolve` gives the
    /// address of a server with a name; without one the server waits in maintenance for
    /// [`Server::set_address`].
    pub fn build(
        plan: &plan::Pool,
        workers: usize,
        previous: Option<&Pool>,
        resolve: &dyn Fn(&plan::Server) -> Option<SocketAddr>,
        observer: Arc<dyn Observer>,
    ) -> Pool {
        Pool::build_with_clock(plan, workers, previous, resolve, observer, Clock::system())
    }

    /// The same with another clock, for tests and simulations. The clock of `previous` goes on.
    pub fn build_with_clock(
        plan: &plan::Pool,
        workers: usize,
        previous: Option<&Pool>,
        resolve: &dyn Fn(&plan::Server) -> Option<SocketAddr>,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Pool {
        let workers = workers.max(1);
        let previous = previous.filter(|pool| pool.stats.workers.len() == workers);
        let clock = previous.map_or(clock, |pool| pool.core.clock.clone());
        let house = household(plan, workers, previous, observer, clock);
        let server = |plan: &plan::Server| {
            let before = previous.and_then(|pool| pool.server(&plan.name));
            Arc::new(Server::new(plan, &house, before.as_deref(), endpoint(plan, resolve)))
        };
        let servers: Vec<_> = plan.servers.iter().map(server).collect();
        let pool = Pool::over(Arc::new(plan.clone()), &servers, house, previous);
        if let Some(previous) = previous {
            pool.keep_instances(previous);
        }
        pool
    }

    fn over(
        plan: Arc<plan::Pool>,
        servers: &[Arc<Server>],
        house: Household,
        previous: Option<&Pool>,
    ) -> Pool {
        let now_ms = house.clock.now_ms();
        let record = || Arc::new(Mutex::new(Record::new(now_ms)));
        let members: Vec<Member> = servers.iter().map(|server| Member::new(server, house.workers)).collect();
        let core = Arc::new(Core {
            table: ArcSwap::from_pointee(Table::build(&plan, &members, now_ms)),
            plan: Arc::clone(&plan),
            roster: ArcSwap::from_pointee(Roster::new(members)),
            stats: Arc::clone(&house.pool_stats),
            lobby: Arc::clone(&house.lobby),
            turn: Padded::default(),
            alone: Mutex::new(1),
            crew: Crew::of(&plan).map(Mutex::new),
            refreshing: Mutex::new(()),
            budget: Mutex::default(),
            asked: (0..house.workers).map(|_| Padded::default()).collect(),
            record: previous.map_or_else(record, |pool| Arc::clone(&pool.core.record)),
            clock: house.clock.clone(),
        });
        for server in servers {
            server.state.join(Arc::downgrade(&core));
        }
        // A change between the first table and joining would be missed.
        core.refresh();
        let sessions = sessions(&plan, previous);
        Pool { stats: Arc::clone(&house.pool_stats), plan, core, house, sessions, changing: Mutex::default() }
    }

    /// Asks for a place at a server.
    #[inline]
    pub fn admit(self: &Arc<Pool>, ask: &Ask<'_>) -> Admission {
        self.core.asked[ask.worker].0.add(1);
        if let Some(bound) = ask.bound
            && let Some(admission) = self.core.admit_bound(bound, ask)
        {
            return admission;
        }
        match &self.core.crew {
            Some(crew) => self.core.admit_smooth(crew, ask),
            None => self.core.admit_balanced(ask),
        }
    }

    /// Tries that a request has with smooth balancing; `None` with other ways.
    pub fn chances(&self) -> Option<u32> {
        self.core.crew.is_some().then(|| self.core.table.load().chances)
    }

    /// Sessions learnt from answers; `None` = none are to be learnt.
    pub fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_deref()
    }

    /// Time on the pool's clock.
    pub fn now_ms(&self) -> u64 {
        self.core.clock.now_ms()
    }

    /// Usable servers that are no backups.
    pub fn usable(&self) -> usize {
        self.core.table.load().usable
    }

    /// Usable backups.
    pub fn usable_backups(&self) -> usize {
        self.core.table.load().usable_backups
    }

    /// True when requests find a server.
    pub fn is_up(&self) -> bool {
        !self.core.table.load().is_empty()
    }

    /// Why it is not up; `None` when it is.
    pub fn why_down(&self) -> Option<Cause> {
        let table = self.core.table.load();
        table.is_empty().then_some(table.empty)
    }

    /// Weights of the servers in use, together.
    pub fn total_weight(&self) -> u32 {
        self.core.table.load().total_weight
    }

    /// True when this server is among those that balancing chooses from now.
    pub fn in_use(&self, server: &Server) -> bool {
        self.core.table.load().serves(server.uid).is_some()
    }

    /// All servers at this moment: in order of the file, then those added since.
    pub fn servers(&self) -> Arc<[Arc<Server>]> {
        Arc::clone(&self.core.roster.load().servers)
    }

    /// A server by name.
    pub fn server(&self, name: &str) -> Option<Arc<Server>> {
        self.core.roster.load().by_name(name).map(|member| Arc::clone(member))
    }

    /// A server by number.
    pub fn server_by_id(&self, id: u32) -> Option<Arc<Server>> {
        self.core.roster.load().by_id(id).map(|member| Arc::clone(member))
    }

    /// The server that a stick table means by this text.
    pub fn server_by_key(&self, kind: ServerKey, key: &str) -> Option<Arc<Server>> {
        match kind {
            ServerKey::Name => self.server(key),
            ServerKey::Address => self.servers().iter().find(|s| s.stick_key(kind) == key).cloned(),
        }
    }

    /// The server with this value of the persistence cookie.
    pub fn server_by_cookie(&self, value: &[u8]) -> Option<Arc<Server>> {
        self.core.roster.load().by_cookie(value).map(|member| Arc::clone(member))
    }

    /// The server that the pool's rules choose for a request, as long as it takes any; before persistence and
    /// balancing do.
    pub fn chosen(&self, facts: &dyn Facts) -> Option<Arc<Server>> {
        for rule in self.plan.server_rules.iter().filter(|rule| rule.condition.holds(facts)) {
            let server = match &rule.target {
                ServerTarget::Named(name) => self.server(name)?,
                ServerTarget::Computed(name) => self.server(std::str::from_utf8(&name.text(facts)).ok()?)?,
            };
            if server.takes_bound() {
                return Some(server);
            }
        }
        None
    }

    /// False when the way of balancing is defined over a fixed table: keys would move to other servers, or
    /// turns be lost, if servers came and went.
    pub fn is_dynamic(&self) -> bool {
        match self.plan.balance {
            Balance::RoundRobin | Balance::LeastConnections | Balance::First | Balance::Random(_) => true,
            Balance::Smooth(_) => true,
            Balance::StaticRoundRobin => false,
            _ => self.plan.hash.method == HashMethod::Consistent,
        }
    }

    /// Adds a server behind the others. It begins in maintenance by the operator. Number 0 = the lowest that
    /// is free. Checks follow when they are told of the pool again.
    pub fn add(&self, mut plan: plan::Server) -> Result<Arc<Server>, AddError> {
        let _alone = self.changing.lock();
        let roster = self.core.roster.load_full();
        if !self.is_dynamic() {
            return Err(AddError::FixedTable);
        }
        if roster.by_name(&plan.name).is_some() {
            return Err(AddError::NameTaken);
        }
        if plan.id == 0 {
            plan.id = roster.free_id();
        } else if roster.by_id(plan.id).is_some() {
            return Err(AddError::IdTaken);
        }
        let server = Arc::new(Server::new(&plan, &self.house, None, endpoint(&plan, &|_| None)));
        server.set_admin(AdminState::Maintenance, AdminCause::Operator);
        server.state.join(Arc::downgrade(&self.core));
        let member = Member::new(&server, self.house.workers);
        self.core.roster.store(Arc::new(roster.with(member)));
        self.core.refresh();
        Ok(server)
    }

    /// Takes a server away for good. Refused unless it is in maintenance and nothing is at it or waits for
    /// it. Idle connections to it are found by [`Idle::purge`](crate::Idle::purge).
    pub fn remove(&self, name: &str) -> Result<Arc<Server>, RemoveError> {
        let _alone = self.changing.lock();
        let roster = self.core.roster.load_full();
        let server = roster.by_name(name).ok_or(RemoveError::Unknown)?;
        let named = |rule: &ServerRule| matches!(&rule.target, ServerTarget::Named(other) if other == name);
        if self.plan.server_rules.iter().any(named) {
            return Err(RemoveError::Named);
        }
        if server.admin() != AdminState::Maintenance {
            return Err(RemoveError::InService);
        }
        if server.stats.current.now() + server.stats.queue.now() > 0 {
            return Err(RemoveError::Busy);
        }
        self.core.roster.store(Arc::new(roster.without(server.uid)));
        self.core.refresh();
        Ok(Arc::clone(server))
    }

    /// True when this server belongs to the pool now, in use or not.
    pub fn has(&self, server: &Server) -> bool {
        self.core.roster.load().by_uid(server.uid).is_some()
    }

    /// Makes the tables anew. The setters of [`Server`] do it by themselves.
    pub fn refresh(&self) {
        self.core.refresh();
    }

    /// True when a retry is within the budget (`budget_percent` of the requests, and always 10 per second).
    /// Each true is one retry taken.
    pub fn retry_allowed(&self) -> bool {
        let Some(percent) = self.plan.retry.budget_percent else { return true };
        let requests = self.core.asked.iter().map(|asked| asked.0.read()).sum();
        self.core.budget.lock().take(percent, requests, self.core.clock.now_ms())
    }

    /// All requests that wait fail with `cause`; for the end of a cycle.
    pub fn fail_waiting(&self, cause: Cause) {
        self.core.lobby.fail_all(&self.core, cause);
    }

    /// Time since it last came up or went down as a whole.
    pub fn last_change(&self) -> Duration {
        self.core.record.lock().since(self.core.clock.now_ms())
    }

    /// How often it went down as a whole.
    pub fn downs(&self) -> u64 {
        self.core.record.lock().downs()
    }

    /// Time spent down as a whole, the present one included.
    pub fn down_time(&self) -> Duration {
        self.core.record.lock().down_time(self.core.clock.now_ms())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.plan.name).field("servers", &self.servers()).finish()
    }
}

impl Core {
    /// Makes the table anew, then serves those who wait.
    pub(crate) fn refresh(self: &Arc<Core>) {
        let one_at_a_time = self.refreshing.lock();
        let now_ms = self.clock.now_ms();
        let roster = self.roster.load();
        let mut table = Table::build(&self.plan, &roster.members, now_ms);
        if let (Some(crew), Balance::Smooth(smooth)) = (&self.crew, &self.plan.balance) {
            let mut crew = crew.lock();
            crew.follow(smooth, &roster.members, now_ms);
            table.chances = crew.chances();
        }
        drop(roster);
        let mut record = self.record.lock();
        if record.note(!table.is_empty(), now_ms) && table.is_empty() {
            record.count_down();
        }
        drop(record);
        self.table.store(Arc::new(table));
        drop(one_at_a_time);
        self.lobby.settle(self);
    }

    pub(crate) fn by_uid(&self, uid: u32) -> Option<Arc<Server>> {
        self.roster.load().by_uid(uid).map(|member| Arc::clone(member))
    }

    pub(crate) fn cut_backups(&self) {
        let servers = Arc::clone(&self.roster.load().servers);
        servers.iter().filter(|server| server.plan.backup).for_each(|server| server.cut_connections());
    }

    /// Counts a choice of balancing. On the worker that asked.
    #[inline]
    pub(crate) fn count_choice(&self, slot: &Slot, worker: usize) {
        if slot.balanced {
            slot.server().stats.at(worker).balanced.add(1);
            self.stats.at(worker).balanced.add(1);
        }
    }

    /// True when balancing may give this server of the table to anyone.
    pub(crate) fn may_choose(&self, server: &Server) -> bool {
        self.crew.is_none() || server.is_usable()
    }

    /// A server for a request that waited.
    pub(crate) fn choose_waiting(&self, table: &Table, wish: &Wish) -> Choice {
        let (Some(crew), Some(waiter)) = (&self.crew, &wish.smooth) else {
            return table.choose(wish.want(), self);
        };
        let call = Call { key: waiter.key.as_deref(), hint: waiter.hint.as_deref(), worker: wish.worker };
        let now = self.clock.now_ms() / 1000;
        match crew.lock().choose(&mut waiter.journey.clone(), &call, now) {
            Ok(server) => Choice::Entered(server),
            Err(_) => Choice::Full(None),
        }
    }

    /// `None`: its server does not take it, another may.
    fn admit_bound(self: &Arc<Core>, bound: &Arc<Server>, ask: &Ask<'_>) -> Option<Admission> {
        // The caller's may be of the cycle before: this cycle's form of the same server counts.
        let roster = self.roster.load();
        let bound = roster.by_uid(bound.uid)?;
        let failed = ask.tried.contains(&bound.uid) || !bound.takes_bound();
        if failed && !ask.force_bound {
            return None;
        }
        if (!bound.is_limited() || bound.stats.queue.now() == 0) && bound.try_enter() {
            return Some(Admission::Served(Slot::entered(bound.hold(ask.worker), false)));
        }
        match (bound.queue_is_full() || !ask.may_wait, ask.force_bound || !ask.may_wait) {
            (true, true) => Some(Admission::Refused(Cause::QueueFull)),
            (true, false) => None,
            (false, _) => Some(self.wait(ask, Some(Arc::clone(bound)), false, WaitReason::Full)),
        }
    }

    #[inline]
    fn admit_balanced(self: &Arc<Core>, ask: &Ask<'_>) -> Admission {
        let mut table = self.table.load();
        if table.next_step_ms.is_some_and(|next| self.clock.now_ms() >= next) {
            drop(table);
            self.refresh();
            table = self.table.load();
        }
        if table.is_empty() {
            return self.admit_without_servers(table.empty, ask);
        }
        if table.limited && self.stats.queue.now() > 0 && ask.may_wait {
            return self.wait(ask, None, true, WaitReason::Full);
        }
        let hash = hash_of(&self.plan, ask.key);
        match table.choose(Want { hash, tried: ask.tried, worker: ask.worker, queued: false }, &**self) {
            Choice::Entered(server) => {
                let slot = Slot::entered(server, true);
                self.count_choice(&slot, ask.worker);
                Admission::Served(slot)
            }
            Choice::Full(at) if ask.may_wait => self.wait(ask, at, true, WaitReason::Full),
            Choice::Full(_) | Choice::QueuesFull => Admission::Refused(Cause::QueueFull),
        }
    }

    fn admit_smooth(self: &Arc<Core>, crew: &Mutex<Crew>, ask: &Ask<'_>) -> Admission {
        let table = self.table.load();
        let now_ms = self.clock.now_ms();
        if table.next_step_ms.is_some_and(|next| now_ms >= next) {
            self.refresh();
        }
        if table.is_empty() {
            return self.admit_without_servers(table.empty, ask);
        }
        let call = Call { key: ask.key, hint: ask.hint, worker: ask.worker };
        let chosen = match ask.journey {
            Some(journey) => crew.lock().choose(&mut journey.borrow_mut(), &call, now_ms / 1000),
            None => crew.lock().choose(&mut Journey::default(), &call, now_ms / 1000),
        };
        let nobody = match chosen {
            Ok(server) => {
                let slot = Slot::entered(server, true);
                self.count_choice(&slot, ask.worker);
                return Admission::Served(slot);
            }
            Err(nobody) => nobody,
        };
        let Balance::Smooth(smooth) = &self.plan.balance else { return Admission::Refused(Cause::Internal) };
        match (nobody, smooth.queue) {
            (Nobody::Full, Some(most)) if ask.may_wait && self.stats.queue.now() < most => {
                self.wait(ask, None, true, WaitReason::Full)
            }
            (Nobody::Full, _) => Admission::Refused(Cause::QueueFull),
            (Nobody::None, _) => Admission::Refused(Cause::AllDown),
        }
    }

    #[cold]
    fn admit_without_servers(self: &Arc<Core>, cause: Cause, ask: &Ask<'_>) -> Admission {
        if self.plan.hold.is_some() && ask.may_wait && cause != Cause::Empty {
            return self.wait(ask, None, true, WaitReason::NoServer);
        }
        Admission::Refused(cause)
    }

    #[cold]
    fn wait(
        self: &Arc<Core>,
        ask: &Ask<'_>,
        at: Option<Arc<Server>>,
        balanced: bool,
        reason: WaitReason,
    ) -> Admission {
        let journey = ask.journey.map(|journey| journey.borrow().clone()).unwrap_or_default();
        let tried = if self.crew.is_some() { journey.tried() } else { ask.tried }.into();
        let smooth = self.crew.is_some().then(|| {
            Box::new(Waiter { journey, key: ask.key.map(Box::from), hint: ask.hint.map(Box::from) })
        });
        let wish = Wish { hash: hash_of(&self.plan, ask.key), tried, worker: ask.worker, smooth };
        let forced = ask.force_bound && !balanced;
        let entry = Entry { wish, at, balanced, forced, reason };
        Admission::Wait(self.lobby.join(self, entry))
    }
}

impl Turns for Core {
    #[inline]
    fn next(&self) -> usize {
        self.turn.0.fetch_add(1, Relaxed)
    }

    fn alone<R>(&self, choose: impl FnOnce(u64) -> R) -> R {
        let mut turn = self.alone.lock();
        *turn += 1;
        choose(*turn)
    }

    fn random(&self, n: usize) -> usize {
        fastrand::usize(0..n.max(1))
    }

    fn in_flight(&self) -> u64 {
        self.stats.current.now().into()
    }
}

/// The memory of sessions; that of the cycle before as long as it has the same name.
fn sessions(plan: &plan::Pool, previous: Option<&Pool>) -> Option<Arc<Sessions>> {
    let learn = |plan: &plan::Pool| match &plan.balance {
        Balance::Smooth(smooth) => smooth.sticky.as_ref()?.learn.clone(),
        _ => None,
    };
    let ours = learn(plan)?;
    let before = previous.and_then(|pool| Some((learn(&pool.plan)?, pool.sessions.as_ref()?)));
    Some(Arc::new(match before.filter(|(old, _)| old.zone == ours.zone) {
        Some((_, before)) => Sessions::taking_over(&ours, before),
        None => Sessions::new(&ours),
    }))
}

fn household(
    plan: &plan::Pool,
    workers: usize,
    previous: Option<&Pool>,
    observer: Arc<dyn Observer>,
    clock: Clock,
) -> Household {
    let stats = previous.map_or_else(|| Arc::new(FlowStats::new(workers)), |pool| Arc::clone(&pool.stats));
    Household {
        pool_name: plan.name.as_str().into(),
        pool_stats: stats,
        lobby: previous.map_or_else(Arc::default, |pool| Arc::clone(&pool.core.lobby)),
        observer,
        clock,
        full_connections: plan.full_connections,
        tcp_keep_alive: plan.tcp_keep_alive,
        keep: plan.keep,
        workers,
    }
}

fn endpoint(
    server: &plan::Server,
    resolve: &dyn Fn(&plan::Server) -> Option<SocketAddr>,
) -> Option<ServerEndpoint> {
    if crate::instances::is_template(server) {
        return None;
    }
    match &server.address {
        ServerAddress::Tcp(address) => Some(ServerEndpoint::Tcp(*address)),
        ServerAddress::Unix(path) => Some(ServerEndpoint::Unix(path.as_path().into())),
        ServerAddress::Name(..) | ServerAddress::MappedName(..) | ServerAddress::Service(_) => {
            resolve(server).map(ServerEndpoint::Tcp)
        }
        ServerAddress::MappedPort(ip, _) => Some(ServerEndpoint::Tcp(SocketAddr::new(*ip, 0))),
        ServerAddress::Transparent => {
            Some(ServerEndpoint::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)))
        }
    }
}
