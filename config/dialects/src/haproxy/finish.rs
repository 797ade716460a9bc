//! From what the sections said to sites and pools: numbers, time-outs that are missing, log lines, and
//! settings that HTTP alone knows.

use super::check::CheckDraft;
use super::resolvers;
use super::scene::{Kind, LineFormat, Proxy, Scene, Shared};
use super::{format, mailers};
use crate::formats;
use plan::listener::BindAddress;
use plan::log::LogFormat;
use plan::rule::{Action, Course, Rules};
use plan::{Balance, Draft, Mode, Pool, Problem, RouteTarget, Site};
use std::collections::HashSet;
use std::sync::Arc;

/// The draft of all that was read.
pub(super) fn draft(mut shared: Shared<'_>, mut proxies: Vec<Proxy>) -> Draft {
    number(&mut shared, &mut proxies);
    let mut draft = Draft::default();
    for proxy in proxies {
        let (site, pool) = finish(&mut shared, proxy);
        draft.sites.extend(site);
        draft.pools.extend(pool);
    }
    draft.tables = super::tables::finish(&mut shared);
    finish_resolvers(&mut shared, &mut draft);
    draft.peers = std::mem::take(&mut shared.peers);
    draft.local_peer = shared.local_peer.take();
    draft.process = shared.process;
    draft.lists = shared.lists.take();
    draft.notes = shared.notes;
    draft.problems = shared.problems;
    check_references(&mut draft, shared.references.into_inner());
    draft.problems.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    draft
}

/// Name servers that servers ask, also those that are there without being written.
fn finish_resolvers(shared: &mut Shared<'_>, draft: &mut Draft) {
    let mut servers = draft.pools.iter().flat_map(|pool| &pool.servers);
    let wanted = servers.any(|server| server.lookup.resolvers.as_deref() == Some("default"));
    resolvers::add_by_itself(shared, wanted);
    resolvers::warn_about_empty(shared);
    draft.resolvers = std::mem::take(&mut shared.resolvers);
}

/// Sections named by expressions must exist.
fn check_references(draft: &mut Draft, references: Vec<super::scene::Reference>) {
    for reference in references {
        let name = &reference.name;
        let names: Vec<&str> = match reference.pool {
            true => draft.pools.iter().map(|p| p.name.as_str()).collect(),
            false => draft.sites.iter().map(|s| s.name.as_str()).collect(),
        };
        if !names.contains(&name.as_str()) {
            let kind = if reference.pool { "backend" } else { "frontend" };
            let hint = super::keywords::nearest(name, names.into_iter());
            let problem = Problem::new(reference.place, format!("there is no {kind} '{name}'")).hint(hint);
            draft.problems.push(problem);
        }
    }
}

/// Numbers for those that did not ask for one, in the order of the file. The runtime socket's own proxy
/// takes the first.
fn number(shared: &mut Shared<'_>, proxies: &mut [Proxy]) {
    let mut taken = HashSet::new();
    for proxy in proxies.iter() {
        if let Some(id) = proxy.id.filter(|id| !taken.insert(*id)) {
            let what = format!("'{}' asks for the number {id}, which another section has", proxy.name);
            shared.problems.push(Problem::new(proxy.place.clone(), what).hint("change one 'id'"));
        }
    }
    let mut next = if shared.process.runtime_sockets.is_empty() { 1 } else { 2 };
    for proxy in proxies.iter_mut().filter(|p| p.id.is_none()) {
        while taken.contains(&next) {
            next += 1;
        }
        proxy.id = Some(next);
        next += 1;
    }
}

fn finish(shared: &mut Shared<'_>, mut proxy: Proxy) -> (Option<Site>, Option<Pool>) {
    if proxy.mode == Mode::Tcp {
        drop_http(shared, &mut proxy);
    }
    warn_about(shared, &proxy);
    finish_statistics(shared, &mut proxy);
    let line = log_line(shared, &mut proxy);
    number_servers(shared, &mut proxy);
    let rules = std::mem::take(&mut proxy.rules).in_order();
    let (site_rules, pool_rules) = match proxy.kind {
        Kind::Backend => (Rules::default(), rules),
        _ => (rules, Rules::default()),
    };
    check_checks(shared, &proxy);
    let compression = proxy.compression.compression();
    proxy.site.http.compression.clone_from(&compression);
    proxy.pool.http.compression = compression;
    check_loops(shared, &proxy);
    check_captures(shared, &proxy, &site_rules);
    let site = proxy.kind.has_site().then(|| site(&proxy, site_rules, line));
    proxy.pool.state_file = super::states::file(&shared.states, &proxy);
    let keep_environment = shared.external_checks.unwrap_or(false);
    let alerts = mailers::alerts(shared, &proxy);
    let mut pool = proxy.kind.has_pool().then(|| pool(proxy, pool_rules, keep_environment));
    if let Some(pool) = &mut pool {
        pool.alerts = alerts;
    }
    (site, pool)
}

/// Checks must know where to connect, and programs must be named and allowed.
fn check_checks(shared: &mut Shared<'_>, proxy: &Proxy) {
    if !proxy.kind.has_pool() {
        return;
    }
    let mut wrong = |place: &plan::Place, what: String, hint: &str| {
        shared.problems.push(Problem::new(place.clone(), what).hint(hint));
    };
    let checked: Vec<_> = proxy.pool.servers.iter().filter(|server| server.check.is_some()).collect();
    if proxy.check.is_program() && !checked.is_empty() {
        if shared.external_checks.is_none() {
            let what =
                format!("'option external-check' of '{}' needs 'external-check' in global", proxy.name);
            wrong(&proxy.place, what, "add 'external-check' to the global section to allow programs");
        } else if proxy.check.lacks_command() {
            let what = format!("'option external-check' of '{}' needs 'external-check command'", proxy.name);
            wrong(&proxy.place, what, "add 'external-check command PROGRAM'");
        }
    }
    if proxy.check.names_port() {
        return;
    }
    for server in checked {
        use plan::ServerAddress::{Name, Service, Tcp, Unix};
        let ported = matches!(server.address, Tcp(_) | Name(..) | Service(_) | Unix(_));
        if !ported && server.check.as_ref().is_some_and(|check| check.port.is_none()) {
            let what = format!("the server '{}' is checked but has no port", server.name);
            wrong(&server.place, what, "give its address a port, or add 'port N' for the checks");
        }
    }
}

/// A `listen` section that sends to itself would never get anywhere.
fn check_loops(shared: &mut Shared<'_>, proxy: &Proxy) {
    let is_self = |name: &String| proxy.kind == Kind::Listen && *name == proxy.name;
    let routes = proxy.site.routes.iter().filter_map(|route| match &route.target {
        RouteTarget::Pool(name) => Some((name, &route.place)),
        RouteTarget::Computed(_) => None,
    });
    let default = proxy.site.default_pool.iter().map(|name| (name, &proxy.place));
    for (name, place) in routes.chain(default).filter(|(name, _)| is_self(name)) {
        let problem = Problem::new(place.clone(), format!("'{name}' sends to itself"));
        shared
            .problems
            .push(problem.hint("its own servers are used without 'use_backend' or 'default_backend'"));
    }
}

/// Slots that rules fill must be there.
fn check_captures(shared: &mut Shared<'_>, proxy: &Proxy, rules: &Rules) {
    let slots = proxy.site.request_captures.len();
    let answers = proxy.site.response_captures.len();
    for rule in [&rules.request, &rules.content, &rules.response, &rules.after_response].into_iter().flatten()
    {
        let missing = match &rule.action {
            Action::Capture(_, slot) if *slot >= slots => Some(slot),
            Action::Course(course) => match &**course {
                Course::CaptureResponse(_, slot) if *slot >= answers => Some(slot),
                _ => None,
            },
            _ => None,
        };
        if let Some(slot) = missing {
            let problem = Problem::new(rule.place.clone(), format!("there is no capture number {slot}"));
            shared.problems.push(problem.hint("write 'len N' instead of 'id N'"));
        }
    }
}

fn site(proxy: &Proxy, rules: Rules, line: LogFormat) -> Site {
    let mut site = proxy.site.clone();
    site.place = proxy.place.clone();
    site.name.clone_from(&proxy.name);
    site.id = proxy.id.unwrap_or_default();
    site.mode = proxy.mode;
    site.rules = rules;
    site.log.targets = proxy.logs.iter().map(|log| log.target.clone()).collect();
    site.log.line = line;
    site.statistics = proxy.statistics.clone().map(Arc::new);
    if proxy.kind == Kind::Listen && site.default_pool.is_none() {
        site.default_pool = Some(proxy.name.clone());
    }
    site
}

/// Address and port of the first listener, as checks by programs are told.
fn first_listener(site: &Site) -> Option<(String, String)> {
    site.binds.iter().find_map(|bind| match &bind.address {
        BindAddress::Tcp(address) | BindAddress::Udp(address) => {
            Some((address.ip().to_string(), address.port().to_string()))
        }
        BindAddress::Unix(path) => Some((path.display().to_string(), "NOT_USED".to_owned())),
        _ => None,
    })
}

fn pool(proxy: Proxy, rules: Rules, keep_environment: bool) -> Pool {
    let listener = first_listener(&proxy.site).filter(|_| proxy.kind == Kind::Listen);
    let mut pool = proxy.pool;
    pool.place = proxy.place;
    pool.name = proxy.name;
    pool.id = proxy.id.unwrap_or_default();
    pool.mode = proxy.mode;
    pool.rules = rules;
    pool.probe = proxy.check.probe(listener, keep_environment);
    pool.event_logs = proxy.logs.into_iter().map(|log| log.target).collect();
    pool.statistics = proxy.statistics.filter(|_| proxy.kind == Kind::Backend).map(Arc::new);
    pool
}

/// Numbers of servers count from 1; a number asked for stays.
fn number_servers(shared: &mut Shared<'_>, proxy: &mut Proxy) {
    let mut taken = HashSet::new();
    for server in proxy.pool.servers.iter().filter(|s| s.id > 0) {
        if !taken.insert(server.id) {
            let what = format!("two servers of '{}' ask for the number {}", proxy.name, server.id);
            shared.problems.push(Problem::new(server.place.clone(), what).hint("change one 'id'"));
        }
    }
    let mut next = 1;
    for server in proxy.pool.servers.iter_mut().filter(|s| s.id == 0) {
        while taken.contains(&next) {
            next += 1;
        }
        server.id = next;
        next += 1;
    }
}

/// In `mode tcp` nothing is known of HTTP: what was said about it is put away, with a warning.
fn drop_http(shared: &mut Shared<'_>, proxy: &mut Proxy) {
    let mut told = HashSet::new();
    for (place, what) in std::mem::take(&mut proxy.http_only) {
        let elsewhere = match what {
            "cookie" | "balance" => !proxy.kind.has_pool(),
            "monitor-uri" => !proxy.kind.has_site(),
            _ => false,
        };
        if !elsewhere && told.insert(what) {
            shared.warn(place, format!("'{what}' is ignored in '{}': it needs 'mode http'", proxy.name));
        }
    }
    refuse_persistence(shared, proxy);
    let rules = &mut proxy.rules;
    rules.main.request.clear();
    rules.main.response.clear();
    rules.main.after_response.clear();
    for list in [&mut rules.early, &mut rules.late, &mut rules.redirects, &mut rules.late_response] {
        list.clear();
    }
    proxy.statistics = None;
    proxy.site.monitor_path = None;
    proxy.compression = super::compression::Settings::default();
    proxy.pool.cookie = None;
    proxy.site.http.forwarded_for = None;
    proxy.pool.http.forwarded_for = None;
    proxy.site.http.original_to = None;
    proxy.pool.http.original_to = None;
    if matches!(proxy.pool.balance, Balance::Uri(_) | Balance::QueryParameter(_) | Balance::Header { .. }) {
        proxy.pool.balance = Balance::RoundRobin;
    }
}

/// In `mode tcp` only stick tables bind, and nothing there asks yet how much that counts.
fn refuse_persistence(shared: &mut Shared<'_>, proxy: &mut Proxy) {
    let pool = &mut proxy.pool;
    let rules = std::mem::take(&mut pool.persistence_rules);
    let persists = std::mem::take(&mut pool.persist_to_down);
    if pool.stick.is_empty() {
        return;
    }
    let option = persists.then(|| pool.place.clone());
    for place in option.into_iter().chain(rules.into_iter().map(|rule| rule.place)) {
        let what = format!("persistence to servers that are down in '{}' is not supported yet", proxy.name);
        shared.problems.push(Problem::new(place, what).hint("use 'mode http', or take the line out"));
    }
}

fn warn_about(shared: &mut Shared<'_>, proxy: &Proxy) {
    let kind = proxy.kind.word();
    if let Some(missing) = missing_timeouts(proxy) {
        let what = format!(
            "the {kind} '{}' has no 'timeout {missing}': connections that went silent stay for ever",
            proxy.name
        );
        shared.warn(proxy.place.clone(), what);
    }
    if proxy.kind.has_site() && proxy.site.binds.is_empty() {
        shared.warn(proxy.place.clone(), format!("the {kind} '{}' has no 'bind' line", proxy.name));
    }
    if proxy.kind.has_site() && proxy.logs.is_empty() && !matches!(proxy.line, LineFormat::Short) {
        let what = format!("the log format of '{}' is ignored: it has no 'log' line", proxy.name);
        shared.warn(proxy.place.clone(), what);
    }
    if has_unused_expectations(&proxy.check) && proxy.kind.has_pool() {
        let what = format!("the 'http-check' lines of '{}' are ignored without 'option httpchk'", proxy.name);
        shared.warn(proxy.place.clone(), what);
    }
}

fn has_unused_expectations(check: &CheckDraft) -> bool {
    check.http_rules && !check.is_http()
}

fn missing_timeouts(proxy: &Proxy) -> Option<&'static str> {
    let (site, pool) = (&proxy.site.timeouts, &proxy.pool.timeouts);
    let serves = proxy.kind.has_pool() && !proxy.pool.servers.is_empty();
    if proxy.kind.has_site() && site.client.is_none() {
        return Some("client");
    }
    if serves && pool.connect.is_none() {
        return Some("connect");
    }
    let tunnel_suffices = proxy.mode == Mode::Tcp && pool.tunnel.is_some();
    (serves && pool.server.is_none() && !tunnel_suffices).then_some("server")
}

fn finish_statistics(shared: &mut Shared<'_>, proxy: &mut Proxy) {
    let global = shared.process.description.clone();
    if let Some(page) = &mut proxy.statistics {
        if page.node.as_deref() == Some("") {
            page.node = Some(shared.process.node.clone().unwrap_or_default());
        }
        if page.description.as_deref() == Some("") {
            page.description = Some(proxy.site.description.clone().or(global).unwrap_or_default());
        }
        let rules = std::mem::take(&mut proxy.rules.statistics);
        proxy.rules.statistics = rules.into_iter().map(|rule| super::stats::for_page(page, rule)).collect();
    }
}

/// What a log line holds; the HTTP line in `mode tcp` falls back to the TCP one.
fn log_line(shared: &mut Shared<'_>, proxy: &mut Proxy) -> LogFormat {
    if !proxy.kind.has_site() {
        return LogFormat::Short;
    }
    let is_http = matches!(proxy.line, LineFormat::Http | LineFormat::Https | LineFormat::Clf);
    if is_http && proxy.mode == Mode::Tcp {
        let option = if matches!(proxy.line, LineFormat::Https) { "httpslog" } else { "httplog" };
        let what =
            format!("'option {option}' needs 'mode http': '{}' logs as by 'option tcplog'", proxy.name);
        shared.warn(proxy.place.clone(), what);
        proxy.line = LineFormat::Tcp;
    }
    match std::mem::take(&mut proxy.line) {
        LineFormat::Short => LogFormat::Short,
        LineFormat::Custom(template) => LogFormat::Text(template),
        LineFormat::Tcp => LogFormat::Text(formats::tcp_log()),
        LineFormat::Http => LogFormat::Text(formats::http_log()),
        LineFormat::Https => built_in(shared, proxy, format::HTTPS_LOG),
        LineFormat::Clf => built_in(shared, proxy, format::CLF_LOG),
    }
}

fn built_in(shared: &mut Shared<'_>, proxy: &mut Proxy, text: &str) -> LogFormat {
    let place = proxy.place.clone();
    let scene = Scene::new(shared, proxy);
    match format::log_line(&scene, text.as_bytes()) {
        Ok(template) => LogFormat::Text(template),
        Err(_) => {
            shared.problems.push(Problem::new(place, "a built-in log format is wrong: this is a bug"));
            LogFormat::Short
        }
    }
}
