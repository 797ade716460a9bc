//! `http {}`: one site with all listeners, its virtual hosts, and pools.
//!
//! ```text
//!   mod (listeners, hosts by name) ─► host (server) ─► location ─► settings, rewrite
//!                                         variables ─► computed (map, geo, split_clients)
//! ```

mod cache;
mod computed;
mod delivery;
mod host;
pub(super) mod limits;
pub(super) mod listen;
mod location;
pub(super) mod logs;
mod names;
mod pcre;
mod proxy;
mod rewrite;
pub(super) mod settings;
pub(super) mod variables;

use super::scope::Scope;
use super::tree::Directive;
use super::{resolver, upstream};
use listen::Listen;
use plan::host::{Host, Hosts, HostsOfBind, NameTable};
use plan::{Bind, Draft, Mode, Site};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use variables::Variables;

/// Name of the site that `http {}` becomes.
pub(super) const SITE: &str = "http";

/// What compiling the parts of `http {}` stands on.
pub(super) struct Http<'t> {
    /// Variables of requests.
    pub variables: Variables<'t>,
    /// Logs that locations name.
    pub logs: logs::Logs,
    /// Pools made so far: those of `upstream {}`, and of addresses that are passed to.
    pub pools: RefCell<Vec<plan::Pool>>,
    /// Names of zones: of rates, of what is in progress.
    zones: [HashSet<Box<str>>; 2],
    /// Names of caches.
    caches: HashSet<Box<str>>,
}

impl Http<'_> {
    fn has_rate_zone(&self, name: &str) -> bool {
        self.zones[0].contains(name)
    }

    fn has_cache(&self, name: &str) -> bool {
        self.caches.contains(name)
    }

    fn has_connection_zone(&self, name: &str) -> bool {
        self.zones[1].contains(name)
    }
}

/// Reads the block whose scope this is.
pub(super) fn read(scope: &Scope<'_>, draft: &mut Draft) {
    let mut http = Http {
        variables: Variables::new(scope),
        logs: logs::Logs::default(),
        pools: RefCell::default(),
        zones: Default::default(),
        caches: HashSet::new(),
    };
    cache::zones(scope, draft);
    http.caches = draft.caches.iter().map(|zone| zone.name.clone()).collect();
    limits::zones(scope, &http, draft);
    http.zones = [
        draft.rate_zones.iter().map(|zone| zone.name.clone()).collect(),
        draft.connection_zones.iter().map(|zone| zone.name.clone()).collect(),
    ];
    let mut site = Site { name: SITE.to_owned(), mode: Mode::Http, tcp_keep_alive: false, ..Site::default() };
    upstreams(scope, &http, draft);
    resolver::all(scope, &mut draft.resolvers);
    let mut binds: Vec<Shared> = Vec::new();
    for server in scope.own_named("server") {
        site.place = if site.binds.is_empty() { server.place.clone() } else { site.place };
        let inside = scope.inside(server);
        let host = Arc::new(host::read(&inside, server, &http));
        let names = names::of_server(&inside, &http);
        for listen in listen::of_server(&inside, server) {
            add(&mut binds, &listen, &host, &names, scope);
        }
    }
    logs::check_formats(scope, &http.variables);
    (site.binds, site.hosts) = finish(binds, &http);
    settings::of_site(scope, &mut site);
    if !site.binds.is_empty() {
        draft.sites.push(site);
    }
    draft.pools.extend(http.pools.into_inner());
}

fn upstreams(scope: &Scope<'_>, http: &Http<'_>, draft: &mut Draft) {
    let texts = |directive: &Directive, text: &str| http.variables.template(directive, text);
    for directive in scope.own_named("upstream") {
        let mut found = upstream::read(scope, directive, Mode::Http, &texts);
        let mut pools = http.pools.borrow_mut();
        found.pool.id = u32::try_from(pools.len() + 2).unwrap_or(u32::MAX);
        pools.push(found.pool);
        draft.resolvers.extend(found.resolvers);
    }
}

/// A listener and the hosts that share it.
struct Shared {
    bind: Bind,
    default: Option<Arc<Host>>,
    first: Arc<Host>,
    names: NameTable<Arc<Host>>,
}

/// Adds a host to its listener. Of the same name the first one counts.
fn add(
    binds: &mut Vec<Shared>,
    listen: &Listen<'_>,
    host: &Arc<Host>,
    names: &[names::Name],
    scope: &Scope<'_>,
) {
    let at = binds.iter().position(|shared| shared.bind.address == listen.bind.address);
    let at = at.unwrap_or_else(|| {
        let names = NameTable { fold: true, ..NameTable::default() };
        let (bind, first) = (listen.bind.clone(), Arc::clone(host));
        binds.push(Shared { bind, default: None, first, names });
        binds.len() - 1
    });
    let Some(shared) = binds.get_mut(at) else { return };
    shared.bind.accept_proxy |= listen.bind.accept_proxy;
    shared.bind.backlog = shared.bind.backlog.or(listen.bind.backlog);
    if listen.default {
        match &shared.default {
            Some(_) => scope.problem(
                listen
                    .directive
                    .problem(format!("a duplicate default server for {}", listen.directive.argument(0))),
            ),
            None => shared.default = Some(Arc::clone(host)),
        }
    }
    for name in names {
        if !names::add(&mut shared.names, name, host) {
            let what = format!(
                "conflicting server name \"{}\" on {}, ignored",
                name.text,
                listen.directive.argument(0)
            );
            scope.ground.told.note(listen.directive, what);
        }
    }
}

fn finish(binds: Vec<Shared>, http: &Http<'_>) -> (Vec<Bind>, Option<Arc<Hosts>>) {
    let (mut listeners, mut of_binds) = (Vec::new(), Vec::new());
    for shared in binds {
        listeners.push(shared.bind);
        let default = shared.default.unwrap_or(shared.first);
        of_binds.push(HostsOfBind { default, names: shared.names });
    }
    let (error_logs, access_logs) = http.logs.all();
    let hosts = Hosts { binds: of_binds, variables: http.variables.names(), error_logs, access_logs };
    (listeners, Some(Arc::new(hosts)))
}
