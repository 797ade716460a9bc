//! `pools:` and their servers.

use super::check::PoolCheck;
use super::emit::Out;
use super::form::{Fields, Fieldset, Form, write_list};
use super::leaf;
use super::log;
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::alert::MailAlerts;
use plan::check::Check;
use plan::draft::nearest;
use plan::pages::ErrorPages;
use plan::pool::{
    Balance, Cookie, CookieMode, HashFunction, HashKind, HashMethod, Observe, ObserveAction, ObserveLayer,
    Pool, PoolTimeouts, Redispatch, Retry, RetryOn, Reuse, Server, ServerAddress, Tracked, UriHash,
};
use plan::smooth::{Smooth, SmoothServer};
use plan::{Mode, Place, Severity};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Errors in a row that act, when nothing is said.
const ERROR_LIMIT: u32 = 10;
/// Longest time for an alert mail, when nothing is said.
const MAIL_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers drawn by `balance: random`, when nothing is said.
const DRAWS: u32 = 2;

impl Fieldset for Pool {
    fn blank() -> Pool {
        Pool::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Pool {
            place,
            name: _,
            id,
            mode,
            disabled,
            description,
            servers,
            balance,
            hash,
            timeouts,
            retry,
            cookie,
            stick,
            stick_response,
            persist_to_down,
            persistence_rules,
            server_rules,
            probe,
            log_checks,
            alerts,
            http,
            reuse,
            keep,
            rules,
            pages,
            statistics,
            full_connections,
            state_file,
            all_backups,
            tcp_keep_alive,
            hold,
            event_logs,
        } = self;
        f.place(place);
        f.id(id);
        f.value("mode", mode, &Mode::Tcp);
        f.flag("disabled", disabled);
        f.option("description", description);
        f.with("balance", balance, Balance::read, |balance, writer| {
            (!matches!(balance, Balance::RoundRobin)).then(|| balance.written(writer))
        });
        f.value("hash", hash, &HashKind::default());
        f.option("cookie", cookie);
        f.unsaid(*persist_to_down, "persistence to servers that are down");
        f.unsaid(!persistence_rules.is_empty(), "rules about persistence");
        f.unsaid(!server_rules.is_empty(), "a rule that chooses a server");
        f.unsaid(!stick.is_empty() || !stick_response.is_empty(), "persistence by stick table");
        f.value("timeouts", timeouts, &PoolTimeouts::default());
        f.value("retry", retry, &Retry::default());
        f.option("hold", hold);
        f.value("reuse", reuse, &Reuse::default());
        f.option("keep", keep);
        f.option("full_connections", full_connections);
        f.option("state_file", state_file);
        f.flag("all_backups", all_backups);
        f.flag("tcp_keep_alive", tcp_keep_alive);
        f.part("http", http);
        f.flag("log_checks", log_checks);
        f.with(
            "mail_alerts",
            alerts,
            |node, reader| MailForm::read(node, reader).map(|form| Some(Arc::new(form.0))),
            |alerts, writer| {
                alerts.as_ref().map(|alerts| MailForm(MailAlerts::clone(alerts)).written(writer))
            },
        );
        let process_logs = f.process_logs();
        if f.reads() {
            event_logs.clone_from(&process_logs);
        }
        f.with(
            "event_log",
            event_logs,
            |node, reader| Some(log::read_targets(node, reader)),
            |targets, writer| (*targets != process_logs).then(|| write_list(targets, writer)),
        );
        f.shared("statistics", statistics);
        f.with("pages", pages, ErrorPages::read, |pages, writer| {
            (!pages.0.is_empty()).then(|| pages.written(writer))
        });
        f.part("rules", rules);
        let mut check = (!f.reads()).then(|| pool_check(probe.clone(), servers)).flatten();
        f.with("check", &mut check, read_pool_check, |check, writer| {
            check.as_ref().map(|c| c.written(writer))
        });
        *probe = check.as_ref().and_then(|check| check.probe.clone());
        let schedule = check.filter(|check| !check.off).map(|check| check.schedule);
        f.with(
            "servers",
            servers,
            |node, reader| read_servers(node, schedule.as_ref(), reader),
            |servers, writer| {
                (!servers.is_empty()).then(|| write_servers(servers, schedule.as_ref(), writer))
            },
        );
    }
}

/// `check: true`, `check: false` or a map.
fn read_pool_check(node: &Node, reader: &mut Reader<'_>) -> Option<Option<PoolCheck>> {
    match &node.kind {
        Kind::Scalar { text, .. } if text == "false" => Some(None),
        _ => PoolCheck::read(node, reader).map(Some),
    }
}

/// What the pool says for its servers: the schedule that most of them have.
fn pool_check(probe: Option<plan::Probe>, servers: &[Server]) -> Option<PoolCheck> {
    let checks: Vec<&Check> = servers.iter().filter_map(|server| server.check.as_ref()).collect();
    let uses = |check: &Check| checks.iter().filter(|other| **other == check).count();
    let most = checks.iter().map(|check| uses(check)).max().unwrap_or(0);
    let common = checks.iter().find(|check| uses(check) == most);
    match common.filter(|_| checks.len() * 2 > servers.len()) {
        Some(common) => Some(PoolCheck { probe, schedule: Check::clone(common), off: false }),
        None if probe.is_some() => {
            Some(PoolCheck { probe, schedule: Check::default(), off: !servers.is_empty() })
        }
        None => None,
    }
}

fn read_servers(node: &Node, schedule: Option<&Check>, reader: &mut Reader<'_>) -> Option<Vec<Server>> {
    let Kind::Map(entries) = &node.kind else {
        reader.problem(node.spot, "servers by name (web1: 10.0.0.1:80) are expected here", "");
        return None;
    };
    let mut servers = Vec::new();
    for ((key, node), id) in entries.iter().zip(1..) {
        reader.id = id;
        let mut form = ServerForm { server: blank_server(), schedule: schedule.cloned() };
        if super::form::read_into(&mut form, node, reader) {
            let place = reader.place(key.spot);
            servers.push(Server { place, name: key.text.clone(), ..form.server });
        }
    }
    Some(servers)
}

fn write_servers(servers: &[Server], schedule: Option<&Check>, writer: &mut Writer) -> Out {
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    for (server, id) in servers.iter().zip(1..) {
        writer.id = id;
        writer.place = server.place.clone();
        if !names.insert(&server.name) {
            writer.problem(
                format!("there are two servers '{}' in one pool", server.name),
                "rename one of them",
            );
        }
        let form = ServerForm { server: server.clone(), schedule: schedule.cloned() };
        entries.push((server.name.clone(), form.written(writer)));
    }
    Out::Map(entries).block()
}

fn blank_server() -> Server {
    Server::new(Place::none(), "", 0, ServerAddress::Transparent)
}

/// A server among the checks of its pool.
#[derive(Clone)]
struct ServerForm {
    server: Server,
    /// The schedule when the server says none.
    schedule: Option<Check>,
}

impl Fieldset for ServerForm {
    const MAIN: &'static str = "address";

    fn blank() -> ServerForm {
        ServerForm { server: blank_server(), schedule: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Server {
            place: _,
            name: _,
            id,
            address,
            lookup,
            check,
            agent,
            weight,
            backup,
            disabled,
            max_connections,
            min_connections,
            max_queue,
            slow_start,
            cookie,
            send_proxy,
            track,
            told_rise,
            observe,
            source,
            cut_when_down,
            cut_backups_when_up,
            idle_connections,
            idle_low,
            idle_life,
            max_reuse,
            redirect_prefix,
            non_stick,
            smooth,
        } = &mut self.server;
        f.unsaid(*non_stick, "a server that stick tables never remember");
        f.required("address", address);
        f.value("lookup", lookup, &plan::Lookup::default());
        f.id(id);
        f.value("weight", weight, &1);
        f.flag("backup", backup);
        f.flag("disabled", disabled);
        f.option("max_connections", max_connections);
        f.option("min_connections", min_connections);
        f.option("max_queue", max_queue);
        f.option("slow_start", slow_start);
        f.option("cookie", cookie);
        f.option("send_proxy", send_proxy);
        f.option("track", track);
        f.value("told_rise", told_rise, &2);
        f.option("observe", observe);
        f.option("source", source);
        f.flag("cut_when_down", cut_when_down);
        f.flag("cut_backups_when_up", cut_backups_when_up);
        f.option("idle_connections", idle_connections);
        f.option("idle_low", idle_low);
        f.option("idle_life", idle_life);
        f.option("max_reuse", max_reuse);
        f.option("redirect_prefix", redirect_prefix);
        f.with(
            "smooth",
            smooth,
            |node, reader| SmoothServer::read(node, reader).map(|said| Some(Box::new(said))),
            |said, writer| said.as_ref().map(|said| said.written(writer)),
        );
        let schedule = self.schedule.clone();
        if f.reads() {
            check.clone_from(&schedule);
        }
        f.with("check", check, read_check, |check, writer| match check {
            check if *check == schedule => None,
            Some(check) => Some(check.written(writer)),
            None => Some(Out::word("false")),
        });
        f.option("agent", agent);
        if *weight > 256 && smooth.is_none() {
            f.refuse("a weight is at most 256", "with 'smooth' at the server, 65535");
        }
    }
}

fn read_check(node: &Node, reader: &mut Reader<'_>) -> Option<Option<Check>> {
    match &node.kind {
        Kind::Scalar { text, .. } if text == "false" => Some(None),
        _ => Check::read(node, reader).map(Some),
    }
}

/// A word, or a map with what the word needs.
impl Form for Balance {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Balance> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ => {
                return leaf::word(node, "a way to choose a server such as round_robin", &balances(), reader);
            }
        };
        let Some((key, value)) = entries.first() else {
            reader.problem(
                node.spot,
                "a way to choose a server is expected here",
                "as in 'balance: round_robin'",
            );
            return None;
        };
        Some(match key.text.as_str() {
            "uri" => Balance::Uri(UriHash::read(value, reader)?),
            "query" => Balance::QueryParameter(String::read(value, reader)?),
            "header" | "domain_only" => {
                let header = HeaderBalance::read(node, reader)?;
                return Some(Balance::Header { name: header.header, domain_only: header.domain_only });
            }
            "hash" => Balance::Hash(Form::read(value, reader)?),
            "random" => Balance::Random(Form::read(value, reader)?),
            "smooth" => Balance::Smooth(Box::new(Smooth::read(value, reader)?)),
            other => {
                let hint = nearest(other, ["uri", "query", "header", "hash", "random", "smooth"].into_iter());
                reader.problem(
                    key.spot,
                    format!("'{other}' is no way to choose a server with more to say"),
                    hint,
                );
                return None;
            }
        })
        .filter(|_| one_entry(node, entries.len(), reader))
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let one = |key: &str, value: Out| Out::Map(vec![(key.to_owned(), value)]);
        match self {
            Balance::Uri(hash) if *hash != UriHash::default() => one("uri", hash.written(writer)),
            Balance::QueryParameter(name) => one("query", name.written(writer)),
            Balance::Header { name, domain_only } => {
                HeaderBalance { header: name.clone(), domain_only: *domain_only }.written(writer)
            }
            Balance::Hash(expr) => one("hash", expr.written(writer)),
            Balance::Random(draws) if *draws != DRAWS => one("random", draws.written(writer)),
            Balance::Smooth(smooth) => one("smooth", smooth.written(writer)),
            word => {
                let same = |known: &Balance| std::mem::discriminant(known) == std::mem::discriminant(word);
                let table = balances();
                Out::word(table.iter().find(|(_, known)| same(known)).map_or("", |(name, _)| name))
            }
        }
    }
}

fn one_entry(node: &Node, count: usize, reader: &mut Reader<'_>) -> bool {
    if count > 1 {
        reader.problem(node.spot, "there is one way to choose a server", "remove the others");
    }
    count == 1
}

fn balances() -> [(&'static str, Balance); 7] {
    [
        ("round_robin", Balance::RoundRobin),
        ("static_round_robin", Balance::StaticRoundRobin),
        ("least_connections", Balance::LeastConnections),
        ("first", Balance::First),
        ("source", Balance::Source),
        ("uri", Balance::Uri(UriHash::default())),
        ("random", Balance::Random(DRAWS)),
    ]
}

#[derive(Clone)]
struct HeaderBalance {
    header: String,
    domain_only: bool,
}

impl Fieldset for HeaderBalance {
    fn blank() -> HeaderBalance {
        HeaderBalance { header: String::new(), domain_only: false }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("header", &mut self.header);
        f.flag("domain_only", &mut self.domain_only);
        if f.reads() {
            self.header.make_ascii_lowercase();
        }
    }
}

impl Fieldset for UriHash {
    fn blank() -> UriHash {
        UriHash::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let UriHash { length, depth, whole, path_only } = self;
        f.option("length", length);
        f.option("depth", depth);
        f.flag("whole", whole);
        f.flag("path_only", path_only);
    }
}

impl Fieldset for HashKind {
    fn blank() -> HashKind {
        HashKind::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let HashKind { method, function, avalanche, balance_factor } = self;
        f.value("method", method, &HashMethod::default());
        f.value("function", function, &HashFunction::default());
        f.flag("avalanche", avalanche);
        f.option("balance_factor", balance_factor);
    }
}

impl Fieldset for PoolTimeouts {
    fn blank() -> PoolTimeouts {
        PoolTimeouts::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let PoolTimeouts { connect, server, server_fin, queue, tunnel, check } = self;
        f.option("connect", connect);
        f.option("server", server);
        f.option("server_fin", server_fin);
        f.option("queue", queue);
        f.option("tunnel", tunnel);
        f.option("check", check);
    }
}

impl Fieldset for Retry {
    const MAIN: &'static str = "tries";

    fn blank() -> Retry {
        Retry::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Retry { tries, redispatch, on, budget_percent } = self;
        f.value("tries", tries, &Retry::default().tries);
        f.value("redispatch", redispatch, &Redispatch::default());
        f.value("on", on, &RetryOn::default());
        f.option("budget_percent", budget_percent);
    }
}

type Part = (&'static str, fn(&mut RetryOn) -> &mut bool);

/// Words of `on`; statuses stand beside them.
const RETRY_ON: &[Part] = &[
    ("connect_failure", |on| &mut on.connect_failure),
    ("empty_response", |on| &mut on.empty_response),
    ("junk_response", |on| &mut on.junk_response),
    ("response_timeout", |on| &mut on.response_timeout),
];

impl Form for RetryOn {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<RetryOn> {
        let mut on = RetryOn { connect_failure: false, empty_response: false, ..RetryOn::default() };
        for word in super::form::read_list::<String>(node, reader) {
            if let Some((_, part)) = RETRY_ON.iter().find(|(name, _)| *name == word) {
                *part(&mut on) = true;
            } else if let Ok(status) = word.parse() {
                on.statuses.push(status);
            } else {
                let hint = nearest(&word, RETRY_ON.iter().map(|(name, _)| *name));
                reader.problem(node.spot, format!("'{word}' is no failure and no status"), hint);
            }
        }
        Some(on)
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let mut on = self.clone();
        let mut list: Vec<Out> =
            RETRY_ON.iter().filter(|(_, part)| *part(&mut on)).map(|(name, _)| Out::word(*name)).collect();
        list.extend(self.statuses.iter().map(|status| status.written(writer)));
        Out::List(list)
    }
}

impl Fieldset for Cookie {
    fn blank() -> Cookie {
        Cookie {
            name: String::new(),
            mode: CookieMode::Insert,
            indirect: false,
            no_cache: false,
            post_only: false,
            preserve: false,
            http_only: false,
            secure: false,
            domains: Vec::new(),
            attributes: Vec::new(),
            max_life: None,
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Cookie {
            name,
            mode,
            indirect,
            no_cache,
            post_only,
            preserve,
            http_only,
            secure,
            domains,
            attributes,
            max_life,
        } = self;
        f.required("name", name);
        f.required("mode", mode);
        f.flag("indirect", indirect);
        f.flag("no_cache", no_cache);
        f.flag("post_only", post_only);
        f.flag("preserve", preserve);
        f.flag("http_only", http_only);
        f.flag("secure", secure);
        f.list("domains", domains);
        f.list("attributes", attributes);
        f.option("max_life", max_life);
    }
}

impl Fieldset for Observe {
    const MAIN: &'static str = "layer";

    fn blank() -> Observe {
        Observe {
            layer: ObserveLayer::Connection,
            error_limit: ERROR_LIMIT,
            action: ObserveAction::default(),
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Observe { layer, error_limit, action } = self;
        f.required("layer", layer);
        f.value("error_limit", error_limit, &ERROR_LIMIT);
        f.value("action", action, &ObserveAction::default());
    }
}

/// `pool/server`
impl Form for Tracked {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Tracked> {
        super::leaf::parsed(node, "a server such as pool/server", reader, |text| {
            let (pool, server) = text.split_once('/')?;
            let named = !pool.is_empty() && !server.is_empty();
            named.then(|| Tracked { pool: pool.into(), server: server.into() })
        })
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::Text(self.to_string())
    }
}

#[derive(Clone)]
struct MailForm(MailAlerts);

impl Fieldset for MailForm {
    fn blank() -> MailForm {
        MailForm(MailAlerts {
            mailers: Vec::new(),
            timeout: MAIL_TIMEOUT,
            from: String::new(),
            to: String::new(),
            level: Severity::Alert,
            hostname: None,
        })
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let MailAlerts { mailers, timeout, from, to, level, hostname } = &mut self.0;
        f.list("mailers", mailers);
        f.value("timeout", timeout, &MAIL_TIMEOUT);
        f.required("from", from);
        f.required("to", to);
        f.value("level", level, &Severity::Alert);
        f.option("hostname", hostname);
        let words = [Some(&*from), Some(&*to), hostname.as_ref()];
        let bad = |text: &str| {
            text.is_empty() || text.bytes().any(|b| b <= b' ' || matches!(b, b'<' | b'>' | 0x7f))
        };
        if words.into_iter().flatten().any(|word| bad(word)) {
            f.refuse("addresses of mails hold no blanks and no angle brackets", "");
        }
    }
}
