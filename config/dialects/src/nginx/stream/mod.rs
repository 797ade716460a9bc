//! `stream {}`: TCP and UDP. Each `server` becomes a site of its own, each `upstream` a pool.
//!
//! ```text
//!   mod (servers, pools, where they pass to) ─► listen ─► settings ─► limits, logs
//! ```

mod limits;
mod listen;
mod logs;
mod settings;

use super::http::variables::Variables;
use super::scope::Scope;
use super::tree::Directive;
use super::{resolver, upstream};
use plan::stream::{Content, StreamSettings};
use plan::{BindAddress, Draft, Mode, Pool, Problem, Site, Template};
use std::cell::RefCell;
use std::sync::Arc;

/// What compiling the parts of `stream {}` stands on.
struct Streams<'t> {
    variables: Variables<'t>,
    /// Pools made so far: those of `upstream {}`, and of addresses that are passed to.
    pools: RefCell<Vec<Pool>>,
    /// Names of the zones that count sessions.
    zones: Vec<Box<str>>,
}

/// Reads the block whose scope this is.
pub(super) fn read(scope: &Scope<'_>, draft: &mut Draft) {
    let variables = Variables::new(scope);
    let zones = limits::zones(scope, &variables, draft);
    logs::check(scope, &variables);
    let streams = Streams { variables, pools: RefCell::default(), zones };
    upstreams(scope, &streams, draft);
    resolver::all(scope, &mut draft.resolvers);
    let mut taken: Vec<BindAddress> = Vec::new();
    for server in scope.own_named("server") {
        let site = read_server(&scope.inside(server), server, &streams);
        for bind in &site.binds {
            if taken.contains(&bind.address) {
                scope.problem(twice(server, &bind.address));
            }
            taken.push(bind.address.clone());
        }
        draft.sites.push(Site { id: next_site(draft), ..site });
    }
    for pool in streams.pools.into_inner() {
        if let Some(other) = draft.pools.iter().find(|other| other.name == pool.name) {
            let what = format!("upstream \"{}\" has the name of another one, at {}", pool.name, other.place);
            scope.problem(Problem::new(pool.place, what).hint("names of http and stream are one list here"));
            continue;
        }
        let id = draft.pools.iter().map(|pool| pool.id).max().unwrap_or(1) + 1;
        draft.pools.push(Pool { id, ..pool });
    }
}

fn next_site(draft: &Draft) -> u32 {
    draft.sites.iter().map(|site| site.id).max().unwrap_or(0) + 1
}

fn twice(server: &Directive, address: &BindAddress) -> Problem {
    server
        .problem(format!("duplicate \"{address}\" address and port pair"))
        .hint("servers on one address are chosen by the name in TLS; terminate TLS elsewhere, or use ssl_preread and map")
}

fn upstreams(scope: &Scope<'_>, streams: &Streams<'_>, draft: &mut Draft) {
    let texts = |directive: &Directive, text: &str| streams.variables.template(directive, text);
    for directive in scope.own_named("upstream") {
        let found = upstream::read(scope, directive, Mode::Tcp, &texts);
        streams.pools.borrow_mut().push(found.pool);
        draft.resolvers.extend(found.resolvers);
    }
}

/// A `server {}`.
fn read_server(scope: &Scope<'_>, server: &Directive, streams: &Streams<'_>) -> Site {
    let mut settings = settings::read(scope, streams);
    let binds = listen::of_server(scope, server);
    let mut site =
        Site { place: server.place.clone(), name: name(&binds, server), mode: Mode::Tcp, ..Site::default() };
    site.log.line = plan::LogFormat::None;
    let text = scope
        .own_named("return")
        .next()
        .and_then(|directive| scope.keep(streams.variables.template(directive, directive.argument(0))));
    let passed = scope.own_named("proxy_pass").next();
    match (text, passed) {
        (Some(text), _) => settings.content = Content::Text(text),
        (None, Some(directive)) => {
            let passed = scope.keep(pass(directive, streams));
            passed.into_iter().for_each(|passed| go(passed, &mut site, &mut settings));
        }
        (None, None) => {
            scope.problem(server.problem("no handler for server").hint("add proxy_pass or return"));
        }
    }
    if binds.iter().any(|bind| bind.address.is_datagrams()) {
        refuse_for_datagrams(scope, &settings, &site, streams);
    }
    site.binds = binds;
    site.stream = Some(Arc::new(settings));
    site
}

/// The name of a site tells where it listens.
fn name(binds: &[plan::Bind], server: &Directive) -> String {
    match binds.first() {
        Some(bind) => format!("stream:{}", bind.address),
        None => format!("stream:{}", server.place.line),
    }
}

/// Where a server passes to.
enum Passed {
    /// A pool by name.
    Pool(String),
    /// What a text says.
    Target(Template),
}

fn go(passed: Passed, site: &mut Site, settings: &mut StreamSettings) {
    match passed {
        Passed::Pool(name) => site.default_pool = Some(name),
        Passed::Target(target) => settings.content = Content::Target(target),
    }
}

fn pass(directive: &Directive, streams: &Streams<'_>) -> Result<Passed, Problem> {
    let text = directive.argument(0);
    if text.contains('$') {
        return Ok(Passed::Target(streams.variables.template(directive, text)?));
    }
    let mut pools = streams.pools.borrow_mut();
    if pools.iter().any(|pool| pool.name == text) {
        return Ok(Passed::Pool(text.to_owned()));
    }
    let name = format!("stream:{text}");
    if !pools.iter().any(|pool| pool.name == name) {
        let address = upstream::address(directive, text, None)?;
        let mut pool = upstream::implicit(&directive.place, &name, address, Mode::Tcp);
        pool.servers.iter_mut().for_each(|server| server.name = text.to_owned());
        pools.push(pool);
    }
    Ok(Passed::Pool(name))
}

/// What datagrams cannot have.
fn refuse_for_datagrams(scope: &Scope<'_>, settings: &StreamSettings, site: &Site, streams: &Streams<'_>) {
    if let Some(directive) = scope.find("proxy_protocol").filter(|_| settings.send_proxy.is_some()) {
        let what = "\"proxy_protocol\" for datagrams is not supported";
        scope.problem(directive.problem(what).hint("switch it off in the server that listens on UDP"));
    }
    let pools = streams.pools.borrow();
    let pool = site.default_pool.as_ref().and_then(|name| pools.iter().find(|pool| pool.name == *name));
    let local = pool.into_iter().flat_map(|pool| &pool.servers);
    for server in local.filter(|server| matches!(server.address, plan::ServerAddress::Unix(_))) {
        let what = "datagrams cannot be passed to a unix socket";
        scope.problem(Problem::new(server.place.clone(), what).hint("give the server an address and a port"));
    }
}
