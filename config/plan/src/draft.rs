//! From what was said to what is meant.

use crate::cache::CacheZone;
use crate::limit::{ConnectionZone, RateZone};
use crate::peers::PeerGroup;
use crate::place::{Note, Problem, Problems};
use crate::pool::{Pool, Server, ServerTarget};
use crate::process::Process;
use crate::resolver::Resolvers;
use crate::rule::{Action, Lists};
use crate::site::{RouteTarget, Site};
use crate::table::Table;
use crate::{Mode, Place};
use std::collections::HashMap;

/// What was said, by one or several files together. Names may still lead nowhere.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Settings of the process.
    pub process: Process,
    /// Sites in order.
    pub sites: Vec<Site>,
    /// Pools in order.
    pub pools: Vec<Pool>,
    /// Tables in order.
    pub tables: Vec<Table>,
    /// Zones that count requests for limits.
    pub rate_zones: Vec<RateZone>,
    /// Zones that count what is in progress for limits.
    pub connection_zones: Vec<ConnectionZone>,
    /// Caches of answers.
    pub caches: Vec<CacheZone>,
    /// Lists that rules use and commands may change.
    pub lists: Lists,
    /// Groups of name servers.
    pub resolvers: Vec<Resolvers>,
    /// Groups of peers.
    pub peers: Vec<PeerGroup>,
    /// Our name among peers; `None` = the machine's.
    pub local_peer: Option<String>,
    /// Remarks.
    pub notes: Vec<Note>,
    /// Problems that the dialect found.
    pub problems: Problems,
}

/// What is meant: every name leads somewhere, every mode fits. Made by [`Draft::resolve`] only.
#[derive(Clone, Debug)]
pub struct Plan {
    draft: Draft,
}

impl std::ops::Deref for Plan {
    type Target = Draft;

    fn deref(&self) -> &Draft {
        &self.draft
    }
}

impl Plan {
    /// Targets of all logs: the process's, the sites' and the pools'.
    pub fn log_files(&self) -> impl Iterator<Item = &crate::LogAddress> {
        let sites = &self.draft.sites;
        let of_sites = sites.iter().flat_map(|site| &site.log.targets);
        let hosts = sites.iter().filter_map(|site| site.hosts.as_deref());
        let of_hosts = hosts.flat_map(|hosts| hosts.error_logs.iter().flatten().chain(&hosts.access_logs));
        let streams = sites.iter().filter_map(|site| site.stream.as_deref());
        let of_streams =
            streams.flat_map(|settings| settings.logs.iter().filter_map(|log| log.target.open()));
        let all = self.draft.process.logs.iter().chain(of_sites).chain(of_hosts).chain(of_streams);
        all.map(|target| &target.address)
    }

    /// What was said, to add to it and resolve again.
    pub fn into_draft(self) -> Draft {
        self.draft
    }
}

impl Draft {
    /// Adds what another file said.
    pub fn merge(&mut self, other: Draft) {
        self.sites.extend(other.sites);
        self.pools.extend(other.pools);
        self.tables.extend(other.tables);
        self.rate_zones.extend(other.rate_zones);
        self.connection_zones.extend(other.connection_zones);
        self.caches.extend(other.caches);
        self.lists.0.extend(other.lists.0);
        self.resolvers.extend(other.resolvers);
        self.peers.extend(other.peers);
        self.local_peer = other.local_peer.or(self.local_peer.take());
        self.notes.extend(other.notes);
        self.problems.extend(other.problems);
        self.process.merge(other.process);
    }

    /// The plan, or all problems: the dialect's and those found here.
    pub fn resolve(mut self) -> Result<Plan, Problems> {
        let mut problems = std::mem::take(&mut self.problems);
        self.check_sites(&mut problems);
        self.check_pools(&mut problems);
        same_names("table", self.tables.iter().map(|t| (&t.name, &t.place)), &mut problems);
        same_names("cache", self.caches.iter().map(|c| (&c.name, &c.place)), &mut problems);
        self.check_resolvers(&mut problems);
        if problems.is_empty() { Ok(Plan { draft: self }) } else { Err(problems) }
    }

    fn check_sites(&self, problems: &mut Problems) {
        same_names("site (frontend, listen)", self.sites.iter().map(|s| (&s.name, &s.place)), problems);
        let pools: HashMap<&str, Mode> = self.pools.iter().map(|p| (p.name.as_str(), p.mode)).collect();
        for site in &self.sites {
            let named = site.routes.iter().filter_map(|r| match &r.target {
                RouteTarget::Pool(name) => Some((name, &r.place)),
                RouteTarget::Computed(_) => None,
            });
            for (name, place) in named.chain(site.default_pool.iter().map(|name| (name, &site.place))) {
                check_reference(site, name, place, &pools, problems);
            }
            check_http_rules(site.mode, &site.rules, problems);
        }
    }

    fn check_resolvers(&self, problems: &mut Problems) {
        same_names("resolvers", self.resolvers.iter().map(|r| (&r.name, &r.place)), problems);
        let known: Vec<&str> = self.resolvers.iter().map(|r| r.name.as_str()).collect();
        for server in self.pools.iter().flat_map(|pool| &pool.servers) {
            check_lookup(server, &known, problems);
        }
    }

    fn check_pools(&self, problems: &mut Problems) {
        same_names("pool (backend, listen)", self.pools.iter().map(|p| (&p.name, &p.place)), problems);
        for pool in &self.pools {
            let owner = format!("server of '{}'", pool.name);
            same_names(&owner, pool.servers.iter().map(|s| (&s.name, &s.place)), problems);
            check_http_rules(pool.mode, &pool.rules, problems);
            check_server_rules(pool, problems);
        }
        let tracking = self.pools.iter().flat_map(|pool| &pool.servers).filter(|s| s.track.is_some());
        problems.extend(tracking.filter_map(|server| {
            let (what, hint) = self.wrong_track(server)?;
            Some(Problem::new(server.place.clone(), what).hint(hint))
        }));
    }

    /// What is wrong with following another server: the chain must end at one that is checked.
    fn wrong_track(&self, server: &Server) -> Option<(String, &'static str)> {
        let name = &server.name;
        if server.check.is_some() || server.agent.is_some() {
            return Some((
                format!("the server '{name}' is checked and tracks another one"),
                "remove one of them",
            ));
        }
        let mut next = server.track.as_ref();
        for _ in 0..self.pools.len() + 1_000 {
            let tracked = next?;
            let pool = self.pools.iter().find(|pool| pool.name == tracked.pool);
            let Some(found) = pool.and_then(|pool| pool.servers.iter().find(|s| s.name == tracked.server))
            else {
                return Some((format!("'{name}' tracks '{tracked}', which does not exist"), ""));
            };
            if found.track.is_none() && found.check.is_none() && found.agent.is_none() {
                let what = format!("'{name}' tracks '{tracked}', which is not checked");
                return Some((what, "add 'check' to the server at the end of the chain"));
            }
            if std::ptr::eq(found, server) {
                break;
            }
            next = found.track.as_ref();
        }
        Some((
            format!("the server '{name}' tracks itself in the end"),
            "end the chain at a server that is checked",
        ))
    }
}

fn check_server_rules(pool: &Pool, problems: &mut Problems) {
    for rule in &pool.server_rules {
        let ServerTarget::Named(name) = &rule.target else { continue };
        let mut names = pool.servers.iter().map(|server| server.name.as_str());
        if !names.clone().any(|other| other == name) {
            let what = format!("'{}' has no server '{name}'", pool.name);
            problems.push(Problem::new(rule.place.clone(), what).hint(nearest(name, names.by_ref())));
        }
    }
}

/// A server may name name servers that are not there.
fn check_lookup(server: &crate::pool::Server, known: &[&str], problems: &mut Problems) {
    if let Some(name) = &server.lookup.resolvers
        && !known.contains(&name.as_str())
    {
        let what = format!("there are no resolvers '{name}' for server '{}'", server.name);
        problems.push(Problem::new(server.place.clone(), what).hint(nearest(name, known.iter().copied())));
    }
}

fn check_reference(
    site: &Site,
    name: &str,
    place: &Place,
    pools: &HashMap<&str, Mode>,
    problems: &mut Problems,
) {
    match pools.get(name) {
        None => problems.push(
            Problem::new(place.clone(), format!("'{}' sends to '{name}', which does not exist", site.name))
                .hint(nearest(name, pools.keys().copied())),
        ),
        Some(mode) if *mode != site.mode && !site.disabled => problems.push(
            Problem::new(place.clone(), format!("'{}' and '{name}' have different modes", site.name))
                .hint("set the same mode (tcp or http) in both, or once in defaults"),
        ),
        Some(_) => {}
    }
}

fn check_http_rules(mode: Mode, rules: &crate::rule::Rules, problems: &mut Problems) {
    if mode == Mode::Http {
        return;
    }
    for rule in rules.request.iter().chain(&rules.response).chain(&rules.after_response) {
        if !matches!(rule.action, Action::Allow) {
            problems.push(
                Problem::new(rule.place.clone(), "an HTTP rule needs 'mode http'")
                    .hint("set 'mode http' here or in defaults, or remove the rule"),
            );
        }
    }
}

fn same_names<'a, N: AsRef<str> + ?Sized + 'a>(
    kind: &str,
    names: impl Iterator<Item = (&'a N, &'a Place)>,
    problems: &mut Problems,
) {
    let names = names.map(|(name, place)| (name.as_ref(), place));
    let mut first: HashMap<&str, &Place> = HashMap::new();
    for (name, place) in names {
        if let Some(before) = first.insert(name, place) {
            problems.push(
                Problem::new(place.clone(), format!("{kind} '{name}' is defined twice"))
                    .hint(format!("the first one is at {before}; rename one of them")),
            );
        }
    }
}

/// "did you mean …" for the nearest of `names`, or an empty text.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| (distance(word, name), name))
        .filter(|(d, name)| *d <= 1 + name.len() / 4)
        .min()
        .map_or_else(String::new, |(_, name)| format!("did you mean '{name}'?"))
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
