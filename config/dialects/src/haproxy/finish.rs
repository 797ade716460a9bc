//! From what the sections said to sites and pools: numbers, time-outs that are missing, log lines, and
//! settings that HTTP alone knows.

use super::check::CheckDraft;
use super::format;
use super::scene::{Kind, LineFormat, Prefix, Proxy, Scene, Shared};
use super::acl::Acls;
use plan::log::LogFormat;
use plan::rule::Rules;
use plan::{Balance, Draft, Mode, Pool, Problem, Site};
use std::collections::HashSet;
use std::sync::Arc;

/// The draft of all that was read.
pub(super) fn draft(mut shared: Shared<'_>, mut proxies: Vec<Proxy>) -> Draft {
    number(&shared, &mut proxies);
    let mut draft = Draft::default();
    for proxy in proxies {
        let (site, pool) = finish(&mut shared, proxy);
        draft.sites.extend(site);
        draft.pools.extend(pool);
    }
    draft.process = shared.process;
    draft.notes = shared.notes;
    draft.problems = shared.problems;
    draft.problems.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    draft
}

/// Numbers for those that did not ask for one, in the order of the file. The runtime socket's own proxy
/// takes the first.
fn number(shared: &Shared<'_>, proxies: &mut [Proxy]) {
    let taken: HashSet<u32> = proxies.iter().filter_map(|p| p.id).collect();
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
    let site = proxy.kind.has_site().then(|| site(&proxy, site_rules, line));
    let pool = proxy.kind.has_pool().then(|| pool(proxy, pool_rules));
    (site, pool)
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

fn pool(proxy: Proxy, rules: Rules) -> Pool {
    let mut pool = proxy.pool;
    pool.place = proxy.place;
    pool.name = proxy.name;
    pool.id = proxy.id.unwrap_or_default();
    pool.mode = proxy.mode;
    pool.rules = rules;
    pool.probe = proxy.check.probe();
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
        if told.insert(what) {
            shared.warn(place, format!("'{what}' is ignored in '{}': it needs 'mode http'", proxy.name));
        }
    }
    let rules = &mut proxy.rules;
    rules.main.request.clear();
    rules.main.response.clear();
    rules.main.after_response.clear();
    for list in [&mut rules.early, &mut rules.late, &mut rules.redirects, &mut rules.late_response] {
        list.clear();
    }
    proxy.statistics = None;
    proxy.metrics = None;
    proxy.site.monitor_path = None;
    proxy.pool.cookie = None;
    proxy.site.http.forwarded_for = None;
    proxy.pool.http.forwarded_for = None;
    if matches!(proxy.pool.balance, Balance::Uri(_) | Balance::QueryParameter(_) | Balance::Header { .. }) {
        proxy.pool.balance = Balance::RoundRobin;
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
    }
    let Some((path, place)) = proxy.metrics.take() else { return };
    match &mut proxy.statistics {
        Some(page) => page.metrics_path = Some(path),
        None => shared.problems.push(
            Problem::new(place, "'prometheus-exporter' is not supported yet without a statistics page")
                .hint("add 'stats enable' and 'stats uri /stats' to this section"),
        ),
    }
}

/// What a log line holds; the HTTP line in `mode tcp` falls back to the TCP one.
fn log_line(shared: &mut Shared<'_>, proxy: &mut Proxy) -> LogFormat {
    if !proxy.kind.has_site() {
        return LogFormat::Short;
    }
    let is_http = matches!(proxy.line, LineFormat::Http | LineFormat::Clf);
    if is_http && proxy.mode == Mode::Tcp {
        let what = format!("'option httplog' needs 'mode http': '{}' logs as by 'option tcplog'", proxy.name);
        shared.warn(proxy.place.clone(), what);
        proxy.line = LineFormat::Tcp;
    }
    let text = match std::mem::take(&mut proxy.line) {
        LineFormat::Short => return LogFormat::Short,
        LineFormat::Custom(template) => return LogFormat::Text(template),
        LineFormat::Tcp => format::TCP_LOG,
        LineFormat::Http => format::HTTP_LOG,
        LineFormat::Clf => format::CLF_LOG,
    };
    built_in(shared, proxy, text)
}

fn built_in(shared: &mut Shared<'_>, proxy: &mut Proxy, text: &str) -> LogFormat {
    let place = proxy.place.clone();
    let scene = Scene { shared, proxy, acls: Acls::default(), index: 0, prefix: Prefix::Plain, warnings: Vec::new() };
    match format::log_line(&scene, text.as_bytes()) {
        Ok(template) => LogFormat::Text(template),
        Err(_) => {
            shared.problems.push(Problem::new(place, "a built-in log format is wrong: this is a bug"));
            LogFormat::Short
        }
    }
}
