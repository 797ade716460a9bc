//! The desk: statistics pages, metrics and runtime commands look at and change the running cycle here.

use crate::cycle::Cycle;
use crate::process::{Process, node_name};
use crate::view;
use crate::worker::Command;
use admin::{
    Answer, Control, ErrorSide, HealthWord, Order, RateLimit, Refusal, Reloaded, RingPart, RingView,
    ServerChange, SiteChange,
};
use arc_swap::ArcSwapOption;
use dashboard::request::{Form, Outcome, PageForm, PageRequest};
use dashboard::{Admin, PageOptions, Scopes, Snapshot};
use discovery::Discovery;
use health::Checks;
use listener::Accepting;
use plan::site::Statistics;
use pool::{AddError, AdminCause, AdminState, Health, RemoveError, Server, ServerEndpoint};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use web::{PagesAnswer, PagesRequest};

/// Looks at and changes the running cycle.
#[derive(Default)]
pub(crate) struct Desk {
    cycle: ArcSwapOption<Cycle>,
    process: OnceLock<Arc<Process>>,
    checks: OnceLock<Checks>,
    discovery: OnceLock<Discovery>,
    workers: OnceLock<Vec<UnboundedSender<Command>>>,
    reloads: OnceLock<UnboundedSender<ReloadAsked>>,
}

/// A reload is asked for; how it went goes here.
pub(crate) type ReloadAsked = oneshot::Sender<Reloaded>;

impl Desk {
    /// The process begins.
    pub fn begin(
        &self,
        process: &Arc<Process>,
        cycle: &Arc<Cycle>,
        checks: &Checks,
        workers: Vec<UnboundedSender<Command>>,
    ) {
        let _ = self.process.set(Arc::clone(process));
        let _ = self.checks.set(checks.clone());
        let _ = self.workers.set(workers);
        self.show(cycle);
    }

    /// Who looks names up.
    pub fn set_discovery(&self, discovery: &Discovery) {
        let _ = self.discovery.set(discovery.clone());
    }

    /// Counters of name servers.
    pub(crate) fn name_servers(&self) -> Vec<discovery::NameServerCounts> {
        self.discovery.get().map(Discovery::counts).unwrap_or_default()
    }

    /// Who reloads when it is asked for.
    pub fn set_reloads(&self, reloads: UnboundedSender<ReloadAsked>) {
        let _ = self.reloads.set(reloads);
    }

    /// How workers are told something.
    pub(crate) fn worker_senders(&self) -> Vec<UnboundedSender<Command>> {
        self.workers.get().cloned().unwrap_or_default()
    }

    /// The process and its cycle; `None` before the start.
    pub(crate) fn running(&self) -> Option<(Arc<Process>, Arc<Cycle>)> {
        Some((Arc::clone(self.process.get()?), self.cycle.load_full()?))
    }

    /// This is the running cycle from now on.
    pub fn show(&self, cycle: &Arc<Cycle>) {
        self.cycle.store(Some(Arc::clone(cycle)));
    }

    /// Everything at this moment; empty before the start.
    pub fn snapshot(&self) -> Snapshot {
        match (self.process.get(), self.cycle.load_full()) {
            (Some(process), Some(cycle)) => view::snapshot(process, &cycle, self.checks.get()),
            _ => Snapshot::default(),
        }
    }

    /// Names of servers are other ones.
    fn look_again(&self) {
        if let Some(discovery) = self.discovery.get() {
            discovery.look_again();
        }
    }

    /// Servers came or went: checks and idle connections follow.
    fn follow_servers(&self, cycle: &Arc<Cycle>) {
        if let Some(checks) = self.checks.get() {
            let pools: Vec<_> = cycle.pools.values().cloned().collect();
            let process = &cycle.plan.process;
            checks.replace(&pools, process.spread_checks_percent, &node_name(process));
        }
        self.look_again();
        for worker in self.workers.get().into_iter().flatten() {
            let _ = worker.send(Command::Purge(Arc::clone(cycle)));
        }
    }

    fn page(&self, holder: &str, page: &Statistics, request: &PageRequest, admin: bool) -> PagesAnswer {
        let snapshot = self.snapshot();
        let names: Vec<String> =
            page.scope.iter().map(|name| if name == "." { holder.into() } else { name.clone() }).collect();
        let rows = || dashboard::rows::rows(&snapshot, &request.selection(&names));
        let (content_type, body) = match request.form {
            PageForm::Csv => ("text/plain", dashboard::rows::csv(&rows())),
            PageForm::Json => ("application/json", dashboard::rows::json(&rows())),
            PageForm::Typed => ("text/plain", dashboard::rows::typed(&rows(), false)),
            PageForm::Html => {
                let options = PageOptions {
                    path: page.path.clone(),
                    refresh_s: page.refresh.map(|d| d.as_secs()),
                    admin,
                    hide_version: page.hide_version,
                    node: page
                        .node
                        .clone()
                        .map(|node| if node.is_empty() { snapshot.process.node.clone() } else { node }),
                    description: page.description.clone(),
                    legends: page.legends,
                    names,
                    offset_s: self.process.get().map_or(0, |p| p.hub.zone().offset_s()),
                };
                ("text/html; charset=utf-8", dashboard::page::html(&snapshot, request, &options))
            }
        };
        let mut answer = answer(200, content_type, body);
        let seconds = page.refresh.filter(|_| request.form == PageForm::Html && !request.no_refresh);
        answer.headers.extend(seconds.map(|time| ("refresh".to_owned(), time.as_secs().to_string())));
        answer
    }

    fn scrape(&self, query: &str) -> PagesAnswer {
        match Scopes::from_query(query) {
            Some(scopes) => {
                let text = dashboard::metrics::prometheus(&self.snapshot(), scopes);
                answer(200, "text/plain; version=0.0.4", text)
            }
            None => answer(400, "text/plain", "unknown scope\n".into()),
        }
    }

    /// A posted form: what it asks, then back to the page.
    fn post(&self, page: &Statistics, request: &PageRequest, body: &[u8], admin: bool) -> PagesAnswer {
        let outcome = match Form::parse(body) {
            _ if !admin => Outcome::Denied,
            Err(outcome) => outcome,
            Ok(form) => self.carry_out(&form),
        };
        let mut see = answer(303, "text/plain", String::new());
        see.headers.push(("location".into(), request.location(&page.path, outcome)));
        see
    }

    fn carry_out(&self, form: &Form) -> Outcome {
        let Some(cycle) = self.cycle.load_full() else { return Outcome::Error };
        let Some(pool) = cycle.pools.values().find(|p| form.means(&p.plan.name, p.plan.id)) else {
            return Outcome::Error;
        };
        let change =
            |name: &String| self.change(&cycle, &pool.plan.name, name, &ServerChange::of(form.action));
        let done = form.servers.iter().filter(|name| change(name).is_ok()).count();
        match done {
            0 => Outcome::Nothing,
            n if n == form.servers.len() => Outcome::Done,
            _ => Outcome::Partly,
        }
    }

    /// Takes the readings of this second.
    pub fn sample(&self) {
        if let (Some(process), Some(cycle)) = (self.process.get(), self.cycle.load_full()) {
            let readings = view::readings(process, &cycle);
            process.rates.lock().sample(crate::process::unix_ms(), readings);
            cycle.tables.sweep();
        }
    }

    fn change(&self, cycle: &Cycle, pool: &str, server: &str, change: &ServerChange) -> Result<(), Refusal> {
        let gone = || Refusal::new(format!("no server {pool}/{server}"));
        let server = &cycle.pools.get(pool).and_then(|pool| pool.server(server)).ok_or_else(gone)?;
        let checks = self.checks.get();
        let switched = |done: Option<bool>, on: bool, what: &str| match done {
            Some(true) => Ok(()),
            // What is not there is off already.
            _ if !on => Ok(()),
            _ => Err(Refusal::new(format!("{what} was not configured on this server, cannot enable."))),
        };
        match change {
            ServerChange::Admin(state) => server.set_admin(admin_state(*state), AdminCause::Operator),
            ServerChange::Health(word) => {
                let stopping = *word == HealthWord::Stopping;
                let bound = if stopping { AdminState::Drain } else { AdminState::Ready };
                server.set_admin(bound, AdminCause::Health);
                server.set_health(if *word == HealthWord::Down { Health::Down } else { Health::Up });
            }
            ServerChange::AgentUp(_) if server.plan.agent.is_none() => {
                return Err(Refusal::new("agent checks are not enabled on this server."));
            }
            ServerChange::AgentUp(true) => server.set_agent_health(Health::Up),
            ServerChange::AgentUp(false) => server.set_agent_health(Health::Down),
            ServerChange::Checks(on) => {
                return switched(checks.map(|c| c.enable_checks(server, *on)), *on, "Health check");
            }
            ServerChange::Agent(on) => {
                return switched(checks.map(|c| c.enable_agent(server, *on)), *on, "Agent");
            }
            ServerChange::ShutdownSessions => server.cut_connections(),
            ServerChange::Weight(weight) => server.set_weight(*weight),
            ServerChange::Limit(limit) => server.set_max_connections((*limit > 0).then_some(*limit)),
            ServerChange::Address(ip, port) => {
                let port = port.or_else(|| port_of(server)).unwrap_or(0);
                server.set_address(ServerEndpoint::Tcp(SocketAddr::new(*ip, port)));
            }
            ServerChange::CheckAddress(..) | ServerChange::CheckPort(_) if server.plan.check.is_none() => {
                return Err(Refusal::new("health checks are not enabled on this server"));
            }
            ServerChange::AgentAddress(..) | ServerChange::AgentPort(_) | ServerChange::AgentSend(_)
                if server.plan.agent.is_none() =>
            {
                // HAProxy's texts differ by a full stop.
                let stop = if matches!(change, ServerChange::AgentSend(_)) { "." } else { "" };
                return Err(Refusal::new(format!("agent checks are not enabled on this server{stop}")));
            }
            ServerChange::CheckAddress(..)
            | ServerChange::CheckPort(_)
            | ServerChange::AgentAddress(..)
            | ServerChange::AgentPort(_)
            | ServerChange::AgentSend(_)
            | ServerChange::Name(_) => {
                return Err(Refusal::new("this cannot be changed at run time; edit the file and reload"));
            }
            ServerChange::HostName(host) if server.plan.lookup.resolvers.is_some() => {
                server.set_host(host.clone());
                self.look_again();
            }
            ServerChange::HostName(_) => {
                return Err(Refusal::new(
                    "set server <b>/<s> fqdn failed because no resolution is configured.",
                ));
            }
        }
        Ok(())
    }
}

/// The words of HAProxy for what the pool refuses.
fn refused_addition(error: AddError) -> Refusal {
    Refusal::new(match error {
        AddError::NameTaken => "Already exists a server with the same name in backend.",
        AddError::IdTaken => "Cannot attach server with this id: another server has it.",
        AddError::FixedTable => "Backend must use a dynamic load balancing to support dynamic servers.",
    })
}

fn refused_removal(error: RemoveError) -> Refusal {
    Refusal::new(match error {
        RemoveError::Unknown => "No such server.",
        RemoveError::InService => "Only servers in maintenance mode can be deleted.",
        RemoveError::Named => {
            "This server cannot be removed at runtime due to other configuration elements pointing to it."
        }
        RemoveError::Busy => "Server still has connections attached to it, cannot remove it.",
    })
}

fn admin_state(state: Admin) -> AdminState {
    match state {
        Admin::Ready => AdminState::Ready,
        Admin::Drain => AdminState::Drain,
        Admin::Maintenance => AdminState::Maintenance,
    }
}

fn port_of(server: &Arc<Server>) -> Option<u16> {
    match server.address() {
        ServerEndpoint::Tcp(address) => Some(address.port()),
        ServerEndpoint::Unix(_) => None,
    }
}

impl Control for Desk {
    fn snapshot(&self) -> Snapshot {
        Desk::snapshot(self)
    }

    fn change_server(&self, pool: &str, server: &str, change: ServerChange) -> Result<(), Refusal> {
        let cycle = self.cycle.load_full().ok_or_else(|| Refusal::new("starting"))?;
        self.change(&cycle, pool, server, &change)
    }

    fn add_server(&self, pool: &str, server: &str, words: &str) -> Result<u32, Refusal> {
        let cycle = self.cycle.load_full().ok_or_else(|| Refusal::new("starting"))?;
        let pool = cycle.pools.get(pool).ok_or_else(|| Refusal::new("No such backend."))?;
        let line = format!("{server} {words}");
        let plan = dialects::haproxy::server_line(&line, pool.plan.mode)
            .map_err(|problems| Refusal::new(problems.first().map(|p| p.what.clone()).unwrap_or_default()))?;
        let server = pool.add(plan).map_err(refused_addition)?;
        self.follow_servers(&cycle);
        // HAProxy leaves the checks of such a server off until they are asked for.
        if let Some(checks) = self.checks.get() {
            checks.enable_checks(&server, false);
            checks.enable_agent(&server, false);
        }
        Ok(server.plan.id)
    }

    fn remove_server(&self, pool: &str, server: &str) -> Result<(), Refusal> {
        let cycle = self.cycle.load_full().ok_or_else(|| Refusal::new("starting"))?;
        let pool = cycle.pools.get(pool).ok_or_else(|| Refusal::new("No such backend."))?;
        pool.remove(server).map_err(refused_removal)?;
        self.follow_servers(&cycle);
        Ok(())
    }

    fn change_site(&self, site: &str, change: SiteChange) -> Result<(), Refusal> {
        let cycle = self.cycle.load_full().ok_or_else(|| Refusal::new("starting"))?;
        let state = cycle.sites.iter().find(|s| s.name == site);
        let state = state.ok_or_else(|| Refusal::new(format!("no site {site}")))?;
        let accepting = match change {
            SiteChange::Limit(limit) => {
                state.quota.set_limit(if limit == 0 { u32::MAX } else { limit });
                return Ok(());
            }
            SiteChange::Pause => Accepting::Paused,
            SiteChange::Resume => Accepting::Yes,
            SiteChange::Shutdown => Accepting::Drain,
        };
        match (state.accepting(), accepting) {
            (Accepting::Drain, _) => {
                return Err(Refusal::new(match change {
                    SiteChange::Resume => "Frontend was previously shut down, cannot enable.",
                    SiteChange::Pause => "Frontend was previously shut down, cannot disable.",
                    _ => "Frontend was already shut down.",
                }));
            }
            (Accepting::Paused, Accepting::Paused) => {
                return Err(Refusal::new("All sockets are already disabled."));
            }
            (Accepting::Yes, Accepting::Yes) => {
                return Err(Refusal::new("All sockets are already enabled."));
            }
            _ => state.set_accepting(accepting),
        }
        for worker in self.workers.get().into_iter().flatten() {
            let _ = worker.send(Command::Accept(site.to_string(), accepting));
        }
        Ok(())
    }

    fn set_process_limit(&self, limit: u32) -> Result<(), Refusal> {
        let process = self.process.get().ok_or_else(|| Refusal::new("starting"))?;
        if limit > process.initial_limit {
            return Err(Refusal::new("Value out of range."));
        }
        process.quota.set_limit(if limit == 0 { process.initial_limit } else { limit });
        Ok(())
    }

    fn set_rate_limit(&self, which: RateLimit, limit: u32) -> Result<(), Refusal> {
        let process = self.process.get().ok_or_else(|| Refusal::new("starting"))?;
        match which {
            RateLimit::Connections => process.connection_pace.set_limit(limit),
            RateLimit::Sessions => process.session_pace.set_limit(limit),
            RateLimit::EncryptedSessions | RateLimit::Compression if limit == 0 => {}
            RateLimit::EncryptedSessions | RateLimit::Compression => {
                return Err(Refusal::new("This rate cannot be limited here."));
            }
        }
        Ok(())
    }

    fn clear_counters(&self, all: bool) {
        let (Some(process), Some(cycle)) = (self.process.get(), self.cycle.load_full()) else { return };
        process.rates.lock().clear_max();
        cycle.sites.iter().for_each(|site| site.stats.clear(all));
        for pool in cycle.pools.values() {
            pool.stats.clear(all);
            pool.servers().iter().for_each(|server| server.stats.clear(all));
        }
    }

    fn clear_server(&self, pool: &str, server: &str) {
        let Some((_, cycle)) = self.running() else { return };
        if let Some(server) = cycle.pools.get(pool).and_then(|pool| pool.server(server)) {
            server.stats.clear(true);
        }
    }

    fn removable(&self, pool: &str, server: &str) -> Result<bool, Refusal> {
        let gone = || Refusal::new("No such server.");
        let (_, cycle) = self.running().ok_or_else(gone)?;
        let server = cycle.pools.get(pool).and_then(|pool| pool.server(server)).ok_or_else(gone)?;
        match server.admin() {
            AdminState::Maintenance => Ok(server.stats.current.now() + server.stats.queue.now() == 0),
            _ => Err(Refusal::new("Only servers in maintenance mode can be deleted.")),
        }
    }

    fn invalid(&self, proxy: Option<u32>, side: Option<ErrorSide>) -> Vec<String> {
        let response = side.map(|side| side == ErrorSide::Response);
        self.process.get().map_or_else(Vec::new, |process| process.web.invalids.printed(proxy, response))
    }

    fn rings(&self) -> Vec<RingView> {
        self.event_rings()
    }

    fn ring(&self, name: &str, from: u64) -> Option<RingPart> {
        self.event_ring(name, from)
    }

    fn later(&self, order: &Order) -> Option<Pin<Box<dyn Future<Output = Answer>>>> {
        let (asking, order) = (self.asking()?, order.clone());
        match order.words {
            ["show", "sess"] => Some(Box::pin(asking.show(order))),
            ["shutdown", "session"] => Some(Box::pin(asking.end(order))),
            _ => None,
        }
    }

    fn part(&self, order: &Order) -> Answer {
        self.answer_order(order)
    }

    fn reload(&self) -> Option<oneshot::Receiver<Reloaded>> {
        let (tell, told) = oneshot::channel();
        self.reloads.get()?.send(tell).ok()?;
        Some(told)
    }
}

impl web::Pages for Desk {
    fn answer(&self, holder: &str, page: &Statistics, request: &PagesRequest<'_>) -> PagesAnswer {
        if let Some(path) = &page.metrics_path
            && let Some(query) = request.rest.strip_prefix(path.as_str())
        {
            return self.scrape(query.trim_start_matches('?'));
        }
        let asked = PageRequest::parse(request.rest);
        match request.post {
            Some(body) => self.post(page, &asked, body, request.admin),
            None => self.page(holder, page, &asked, request.admin),
        }
    }

    fn metrics(&self, query: &str) -> PagesAnswer {
        self.scrape(query)
    }
}

fn answer(status: u16, content_type: &'static str, body: String) -> PagesAnswer {
    PagesAnswer { status, content_type, headers: Vec::new(), body: body.into_bytes() }
}

/// A socket that takes runtime commands, as a bind.
pub(crate) fn bind_of(socket: &plan::RuntimeSocket) -> (String, plan::Bind) {
    let mut bind = plan::Bind::new(socket.place.clone(), socket.address.clone());
    bind.mode = socket.mode.or(Some(0o600));
    bind.user = socket.user.clone();
    bind.group = socket.group.clone();
    ("runtime socket".to_string(), bind)
}
