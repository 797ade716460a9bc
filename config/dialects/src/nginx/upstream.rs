//! `upstream {}` of `http` and `stream`: a pool with smooth balancing. Also the pool behind an address that is passed to
//! without one.

use super::resolver;
use super::scope::Scope;
use super::tree::Directive;
use super::values;
use plan::smooth::{
    self, CookieLife, Keep, Smooth, SmoothMethod, SmoothServer, Sticky, StickyCookie, StickyLearn,
};
use plan::{Balance, Mode, Place, Pool, Problem, Resolvers, Server, ServerAddress, Template};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest `route=`, bytes.
const MAX_ROUTE: usize = 32;
/// Sessions that fit into each byte of a zone, at 8000 a megabyte.
const BYTES_PER_SESSION: usize = 131;
/// Time in the queue, when `queue` says none.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes a text with variables in it.
pub type Texts<'f> = &'f dyn Fn(&Directive, &str) -> Result<Template, Problem>;

/// A pool, and the name servers that its own `resolver` names.
pub struct Upstream {
    /// The pool.
    pub pool: Pool,
    /// Its own name servers.
    pub resolvers: Option<Resolvers>,
}

/// Reads `upstream NAME {}`. `scope` is that of the block around it.
pub fn read(scope: &Scope<'_>, directive: &Directive, mode: Mode, texts: Texts<'_>) -> Upstream {
    let inside = scope.inside(directive);
    let mut reader = Reader {
        scope: &inside,
        mode,
        texts,
        method: Method::default(),
        smooth: Smooth::default(),
        servers: Vec::new(),
        queue_timeout: None,
    };
    for own in inside.own() {
        if let Err(problem) = reader.read(own) {
            inside.problem(problem);
        }
    }
    let resolvers =
        inside.own_named("resolver").next().and_then(|own| inside.keep(resolver::read(&inside, own)));
    let resolver = resolvers.as_ref().map(|group| group.name.clone()).or_else(|| resolver::in_force(scope));
    reader.point_at(resolver.as_deref());
    if !reader.servers.iter().any(|server| !server.backup) {
        let what = format!("no servers are inside upstream \"{}\"", directive.argument(0));
        scope.problem(directive.problem(what).hint("add 'server ADDRESS;'"));
    }
    let mut pool = smooth::pool(directive.place.clone(), directive.argument(0), mode);
    pool.timeouts.queue = reader.queue_timeout;
    pool.keep = (mode == Mode::Http).then(|| keep(&inside));
    pool.servers = reader.servers;
    pool.balance = Balance::Smooth(Box::new(Smooth { method: reader.method.said, ..reader.smooth }));
    Upstream { pool, resolvers }
}

/// The pool behind an address that is passed to without an upstream. Its connections are not kept.
pub fn implicit(place: &Place, name: &str, address: ServerAddress, mode: Mode) -> Pool {
    smooth::passing_pool(place, name, address, mode)
}

/// `keepalive` and its companions; 32 connections when nothing is said.
fn keep(scope: &Scope<'_>) -> Keep {
    let own = |name| scope.own_named(name).next();
    let number = |name| {
        let number = scope.keep(own(name)?.number(0))?;
        Some(u32::try_from(number).unwrap_or(u32::MAX))
    };
    let time = |name| scope.keep(own(name)?.time(0));
    let usual = Keep::default();
    if let Some(directive) = own("keepalive")
        && directive.arguments.len() > 1
        && directive.argument(1) != "local"
    {
        scope.problem(directive.invalid_parameter(directive.argument(1)));
    }
    Keep {
        connections: number("keepalive").unwrap_or(usual.connections),
        requests: number("keepalive_requests").unwrap_or(usual.requests),
        idle: time("keepalive_timeout").unwrap_or(usual.idle),
        age: time("keepalive_time").unwrap_or(usual.age),
    }
}

/// The way of choosing, and what it does not know.
#[derive(Default)]
struct Method {
    said: SmoothMethod,
    without_backups: bool,
    without_slow_start: bool,
    redefined: bool,
}

struct Reader<'r> {
    scope: &'r Scope<'r>,
    mode: Mode,
    texts: Texts<'r>,
    method: Method,
    smooth: Smooth,
    servers: Vec<Server>,
    queue_timeout: Option<Duration>,
}

impl Reader<'_> {
    fn read(&mut self, directive: &Directive) -> Result<(), Problem> {
        match directive.name.as_str() {
            "server" => self.server(directive)?,
            "least_conn" => self.choose(directive, SmoothMethod::LeastConnections, false),
            "ip_hash" => self.choose(directive, SmoothMethod::ClientNetwork, true),
            "hash" => {
                let ring = match directive.argument(1) {
                    "" => false,
                    "consistent" => true,
                    other => return Err(directive.invalid_parameter(other)),
                };
                let key = (self.texts)(directive, directive.argument(0))?;
                self.choose(directive, SmoothMethod::Key { key, ring }, true);
            }
            "random" => {
                let method = match (directive.argument(0), directive.argument(1)) {
                    ("", _) => SmoothMethod::Random,
                    ("two", "" | "least_conn") => SmoothMethod::RandomOfTwo,
                    ("two", other) | (other, _) => return Err(directive.invalid_parameter(other)),
                };
                self.choose(directive, method, true);
            }
            "sticky" => self.smooth.sticky = Some(self.sticky(directive)?),
            "queue" => self.queue(directive)?,
            // Read where they count: `keepalive…`, `resolver`. State is always shared, so a zone adds nothing.
            _ => {}
        }
        Ok(())
    }

    fn choose(&mut self, directive: &Directive, said: SmoothMethod, simple: bool) {
        if std::mem::replace(&mut self.method.redefined, true) {
            self.scope.ground.told.note(directive, "load balancing method redefined");
        }
        let redefined = true;
        self.method = Method { said, without_backups: simple, without_slow_start: simple, redefined };
    }

    fn queue(&mut self, directive: &Directive) -> Result<(), Problem> {
        let most = directive.number(0)?;
        self.smooth.queue = Some(u32::try_from(most).unwrap_or(u32::MAX));
        self.queue_timeout = Some(match directive.argument(1).split_once('=') {
            None if directive.argument(1).is_empty() => QUEUE_TIMEOUT,
            Some(("timeout", text)) => values::time(text).ok_or_else(|| directive.invalid(1))?,
            _ => return Err(directive.invalid_parameter(directive.argument(1))),
        });
        Ok(())
    }

    fn server(&mut self, directive: &Directive) -> Result<(), Problem> {
        let written = directive.argument(0);
        let port = (self.mode == Mode::Http).then_some(80);
        let mut said = SmoothServer::new(written);
        let id = u32::try_from(self.servers.len() + 1).unwrap_or(u32::MAX);
        let mut server =
            Server::new(directive.place.clone(), self.free_name(written), id, ServerAddress::Transparent);
        let (mut resolve, mut service) = (false, None);
        for parameter in &directive.arguments[1..] {
            let wrong = || directive.invalid_parameter(parameter);
            match parameter.split_once('=') {
                Some(("weight", text)) => server.weight = weight(text).ok_or_else(wrong)?,
                Some(("max_conns", text)) => {
                    let most = values::number(text).ok_or_else(wrong)?;
                    server.max_connections = u32::try_from(most).ok().filter(|most| *most > 0);
                }
                Some(("max_fails", text)) => {
                    let fails = values::number(text).ok_or_else(wrong)?;
                    said.max_fails = u32::try_from(fails).unwrap_or(u32::MAX);
                }
                Some(("fail_timeout", text)) => said.window = values::seconds(text).ok_or_else(wrong)?,
                Some(("slow_start", text)) if !self.method.without_slow_start => {
                    server.slow_start = Some(values::time(text).ok_or_else(wrong)?);
                }
                Some(("slow_start", _)) => return Err(unsupported(directive, parameter)),
                Some(("route", text)) if self.mode == Mode::Http => {
                    said.route = Some(route(directive, text)?);
                }
                Some(("service", text)) => service = Some(text),
                None if parameter == "backup" && self.method.without_backups => {
                    return Err(unsupported(directive, parameter));
                }
                None if parameter == "backup" => server.backup = true,
                None if parameter == "down" => (server.disabled, said.drained) = (true, false),
                None if parameter == "drain" => (server.disabled, said.drained) = (false, true),
                None if parameter == "resolve" => resolve = true,
                _ => return Err(wrong()),
            }
        }
        server.address = match service {
            Some(service) => {
                let host = service_host(directive, service, resolve)?;
                ServerAddress::Service(host)
            }
            None => address(directive, written, port)?,
        };
        said.every_address = server.address.name().is_some();
        if resolve && said.every_address {
            // Which name servers, is known when the whole block is read.
            server.lookup.resolvers = Some(String::new());
        }
        server.smooth = Some(Box::new(said));
        self.servers.push(server);
        Ok(())
    }

    /// Servers may be written alike; their names may not be.
    fn free_name(&self, written: &str) -> String {
        let taken = |name: &str| self.servers.iter().any(|server| server.name == name);
        if !taken(written) {
            return written.to_owned();
        }
        let numbered = (2..=self.servers.len() + 2).map(|n| format!("{written}#{n}"));
        numbered.into_iter().find(|name| !taken(name)).unwrap_or_default()
    }

    /// Servers with `resolve` ask these name servers.
    fn point_at(&mut self, resolver: Option<&str>) {
        for server in self.servers.iter_mut().filter(|server| server.lookup.resolvers.is_some()) {
            server.lookup.resolvers = resolver.map(str::to_owned);
            if resolver.is_none() {
                let what = "no resolver defined to resolve names at run time";
                self.scope.problem(
                    Problem::new(server.place.clone(), what)
                        .hint("add 'resolver ADDRESS;' here or in the block around it"),
                );
            }
        }
    }

    fn sticky(&self, directive: &Directive) -> Result<Sticky, Problem> {
        if self.smooth.sticky.is_some() {
            return Err(directive.problem("\"sticky\" directive is duplicate"));
        }
        let variable = |text: &str| match text.strip_prefix('$') {
            Some(_) => (self.texts)(directive, text),
            None => Err(directive.problem(format!("invalid variable name \"{text}\""))),
        };
        let rest = directive.arguments.get(1..).unwrap_or_default();
        match directive.argument(0) {
            "cookie" => {
                let cookie = self.cookie(directive, rest)?;
                let lookup = vec![variable(&format!("$cookie_{}", cookie.name))?];
                Ok(Sticky { lookup, cookie: Some(cookie), learn: None })
            }
            "route" => {
                let lookup = rest.iter().map(|text| variable(text)).collect::<Result<_, _>>()?;
                Ok(Sticky { lookup, cookie: None, learn: None })
            }
            "learn" => learn(directive, rest, &variable),
            other => Err(directive.problem(format!("unknown parameter \"{other}\""))),
        }
    }

    fn cookie(&self, directive: &Directive, rest: &[String]) -> Result<StickyCookie, Problem> {
        let name = rest.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| directive.wrong("has an empty cookie name"))?;
        let mut cookie = StickyCookie {
            name: name.clone(),
            domain: None,
            path: None,
            life: None,
            http_only: false,
            secure: false,
            same_site: None,
        };
        for parameter in &rest[1..] {
            match parameter.split_once('=') {
                Some((key @ ("domain" | "path"), "")) => {
                    return Err(directive.wrong(&format!("has no value for \"{key}\"")));
                }
                Some(("domain", text)) => cookie.domain = Some((self.texts)(directive, text)?),
                Some(("path", text)) => cookie.path = Some(text.to_owned()),
                Some(("expires", "max")) => cookie.life = Some(CookieLife::Forever),
                Some(("expires", text)) => {
                    let life = values::seconds(text);
                    let what = "has an invalid \"expires\" parameter value";
                    cookie.life = Some(CookieLife::For(life.ok_or_else(|| directive.wrong(what))?));
                }
                Some(("samesite", text)) => {
                    let words = ["strict", "lax", "none"];
                    let known = words.iter().any(|word| text.eq_ignore_ascii_case(word));
                    let template = (self.texts)(directive, text)?;
                    if template.as_fixed().is_some() && !known {
                        return Err(directive.wrong("has an invalid \"samesite\" parameter value"));
                    }
                    cookie.same_site = Some(template);
                }
                None if parameter == "httponly" => cookie.http_only = true,
                None if parameter == "secure" => cookie.secure = true,
                _ => return Err(directive.problem(format!("unknown parameter \"{parameter}\""))),
            }
        }
        Ok(cookie)
    }
}

/// `sticky learn`.
fn learn(
    directive: &Directive,
    rest: &[String],
    variable: &dyn Fn(&str) -> Result<Template, Problem>,
) -> Result<Sticky, Problem> {
    let (mut lookup, mut create) = (Vec::new(), Vec::new());
    let (mut zone, mut timeout, mut at_head) = (None, Duration::from_secs(600), false);
    for parameter in rest {
        match parameter.split_once('=') {
            Some(("zone", text)) => {
                let (name, size) = text.split_once(':').unwrap_or((text, ""));
                let size = values::size(size).filter(|_| !name.is_empty());
                let size = size.ok_or_else(|| directive.wrong("has an invalid zone size"))?;
                if size < 8 * 4096 {
                    return Err(directive.wrong("has a zone that is too small").hint("at least 32k"));
                }
                zone = Some((name.to_owned(), usize::try_from(size).unwrap_or(usize::MAX)));
            }
            Some(("timeout", text)) => {
                let time = values::time(text).filter(|time| !time.is_zero());
                timeout = time.ok_or_else(|| directive.wrong("has an invalid timeout"))?;
            }
            Some(("create", text)) => create.push(variable(text)?),
            Some(("lookup", text)) => lookup.push(variable(text)?),
            None if parameter == "header" => at_head = true,
            _ => return Err(directive.problem(format!("unknown parameter \"{parameter}\""))),
        }
    }
    let missing = |what: &str| directive.wrong(&format!("has no \"{what}\" parameter"));
    if lookup.is_empty() {
        return Err(missing("lookup"));
    }
    if create.is_empty() {
        return Err(missing("create"));
    }
    let (zone, size) = zone.ok_or_else(|| missing("zone"))?;
    let max_sessions = size / BYTES_PER_SESSION;
    let learn = StickyLearn { zone, max_sessions, timeout, create, at_head };
    Ok(Sticky { lookup, cookie: None, learn: Some(learn) })
}

fn unsupported(directive: &Directive, parameter: &str) -> Problem {
    directive.problem(format!("balancing method does not support parameter \"{parameter}\""))
}

fn weight(text: &str) -> Option<u16> {
    values::number(text).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
}

fn route(directive: &Directive, text: &str) -> Result<String, Problem> {
    match text.len() {
        0 => Err(directive.problem("route is empty")),
        n if n > MAX_ROUTE => Err(directive.problem(format!("route is longer than {MAX_ROUTE}"))),
        _ => Ok(text.to_owned()),
    }
}

/// Where a server's service records are.
fn service_host(directive: &Directive, service: &str, resolve: bool) -> Result<String, Problem> {
    let written = directive.argument(0);
    let wrong = |what: &str| Err(directive.problem(format!("service upstream \"{written}\" {what}")));
    if service.is_empty() {
        return Err(directive.problem("service is empty"));
    }
    if !resolve {
        return wrong("requires \"resolve\" parameter");
    }
    match address(directive, written, Some(0))? {
        ServerAddress::Name(host, 0) if service.contains('.') => Ok(format!("{service}.{host}")),
        ServerAddress::Name(host, 0) => Ok(format!("_{service}._tcp.{host}")),
        ServerAddress::Name(..) => wrong("may not have port"),
        _ => wrong("requires domain name"),
    }
}

/// An address as nginx writes it: `host`, `host:port`, `[::1]:port`, `unix:/path`. Without `port`, one must be said.
pub fn address(directive: &Directive, text: &str, port: Option<u16>) -> Result<ServerAddress, Problem> {
    let wrong = |what: &str| directive.problem(format!("{what} in upstream \"{text}\""));
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err(wrong("no path in the unix domain socket")),
            path => Ok(ServerAddress::Unix(path.into())),
        };
    }
    let (host, said) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("invalid host"))?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) })
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(['/', '?', ' ']) || (!text.starts_with('[') && host.contains(':')) {
        return Err(wrong(if host.is_empty() { "no host" } else { "invalid host" }));
    }
    let port = match said {
        Some(said) => values::number(said).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
        None => port,
    };
    let port = port.ok_or_else(|| wrong(if said.is_some() { "invalid port" } else { "no port" }))?;
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv6() != text.starts_with('[') => Err(wrong("invalid host")),
        Ok(ip) => Ok(ServerAddress::Tcp(SocketAddr::new(ip, port))),
        Err(_) if text.starts_with('[') => Err(wrong("invalid IPv6 address")),
        Err(_) => Ok(ServerAddress::Name(host.trim_end_matches('.').to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::scope::{Ground, Told};
    use super::super::tree;
    use super::*;
    use crate::Sources;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    struct Nothing;

    impl Sources for Nothing {
        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }

        fn env(&self, _: &str) -> Option<String> {
            None
        }

        fn lookup(&self, _: &str) -> Option<IpAddr> {
            None
        }
    }

    /// What the upstream `u` of an `http {}` becomes, or the problems.
    fn read_upstream(around: &str, inside: &str) -> Result<Upstream, String> {
        let text = format!("http {{ {around}\nupstream u {{ {inside} }} }}");
        let tree = tree::grow(&Arc::from("n.conf"), text.as_bytes(), "", &Nothing);
        assert!(tree.problems.is_empty(), "{:?}", tree.problems);
        let ground = Ground {
            error_log: None,
            sources: &Nothing,
            prefix: PathBuf::new(),
            folder: PathBuf::new(),
            told: Told::default(),
        };
        let scope = Scope::new(&tree.directives, &ground);
        let http = scope.inside(&tree.directives[0]);
        let directive = http.own_named("upstream").next().unwrap();
        let texts = |_: &Directive, text: &str| Ok(Template::fixed(text));
        let upstream = read(&http, directive, Mode::Http, &texts);
        let (problems, _) = ground.told.into_parts();
        match problems.first() {
            None => Ok(upstream),
            Some(problem) => Err(problem.what.clone()),
        }
    }

    fn servers(inside: &str) -> Vec<Server> {
        read_upstream("", inside).map_err(|what| format!("{inside}: {what}")).unwrap().pool.servers
    }

    fn problem(inside: &str) -> String {
        read_upstream("", inside).map(|_| ()).unwrap_err()
    }

    #[test]
    fn addresses_of_servers() {
        let address = |text: &str| servers(&format!("server {text};")).remove(0).address.to_string();
        assert_eq!(address("10.0.0.1"), "10.0.0.1:80");
        assert_eq!(address("10.0.0.1:8080"), "10.0.0.1:8080");
        assert_eq!(address("[::1]"), "[::1]:80");
        assert_eq!(address("[::1]:81"), "[::1]:81");
        assert_eq!(address("app.test:81"), "app.test:81");
        assert_eq!(address("unix:/run/app.sock"), "unix@/run/app.sock");
        for text in
            ["10.0.0.1:0", "10.0.0.1:x", "a:b:1", "[::1", "unix:", "a/b", ":80", "[10.0.0.1]:80", "a:70000"]
        {
            assert!(
                problem(&format!("server {text};")).ends_with(&format!(" in upstream \"{text}\"")),
                "{text}"
            );
        }
    }

    #[test]
    fn what_a_server_says() {
        let all = servers(
            "server a:1 weight=500 max_conns=7 max_fails=0 fail_timeout=1m30s slow_start=5s route=r;
             server a:1 backup; server 10.0.0.1 down; server 10.0.0.2 drain max_conns=0;",
        );
        let said = |at: usize| all[at].smooth.clone().unwrap();
        assert_eq!(
            (all[0].weight, all[0].max_connections, all[0].slow_start),
            (500, Some(7), Some(Duration::from_secs(5)))
        );
        assert_eq!(
            (said(0).max_fails, said(0).window, said(0).route.as_deref()),
            (0, Duration::from_secs(90), Some("r"))
        );
        assert_eq!((all[1].name.as_str(), all[1].backup, said(1).written.as_str()), ("a:1#2", true, "a:1"));
        assert_eq!((said(0).every_address, said(2).every_address), (true, false));
        assert_eq!((all[2].disabled, said(3).drained, all[3].max_connections), (true, true, None));
    }

    #[test]
    fn names_that_are_resolved_while_it_runs() {
        let read = |inside| read_upstream("resolver 127.0.0.1:5353 valid=3s ipv6=off;", inside).unwrap();
        let outer = read("server app.test:81 resolve; server 10.0.0.1 resolve;");
        assert_eq!(outer.pool.servers[0].lookup.resolvers.as_deref(), Some("resolver n.conf:1:8"));
        assert_eq!(outer.pool.servers[1].lookup.resolvers, None);
        let own = read(
            "server app.test service=http resolve; server app.test service=_x._udp resolve; resolver [::1] 10.0.0.3;",
        );
        let names: Vec<String> = own.pool.servers.iter().map(|s| s.address.to_string()).collect();
        assert_eq!(names, ["_http._tcp.app.test", "_x._udp.app.test"]);
        let group = own.resolvers.unwrap();
        let addresses: Vec<String> = group.servers.iter().map(|s| s.address.to_string()).collect();
        assert_eq!(addresses, ["[::1]:53", "10.0.0.3:53"]);
        assert_eq!(own.pool.servers[0].lookup.resolvers, Some(group.name));
        assert!(problem("server app.test resolve;").starts_with("no resolver defined"));
        assert!(problem("server app.test service=http;").contains("requires \"resolve\""));
    }

    #[test]
    fn ways_of_choosing() {
        let smooth = |inside: &str| match read_upstream("", inside).unwrap().pool.balance {
            Balance::Smooth(smooth) => format!("{:?}", smooth.method),
            other => format!("{other:?}"),
        };
        assert_eq!(smooth("server a;"), "Turns");
        assert_eq!(smooth("least_conn; server a;"), "LeastConnections");
        assert_eq!(smooth("ip_hash; server a;"), "ClientNetwork");
        assert_eq!(smooth("random two least_conn; server a;"), "RandomOfTwo");
        assert!(smooth("hash $uri consistent; server a;").ends_with("ring: true }"));
        assert_eq!(
            problem("hash a; server a backup;"),
            "balancing method does not support parameter \"backup\""
        );
        assert_eq!(problem("random three; server a;"), "invalid parameter \"three\"");
        assert_eq!(problem("server a weight=0;"), "invalid parameter \"weight=0\"");
        assert_eq!(problem("server a backup;"), "no servers are inside upstream \"u\"");
    }

    #[test]
    fn connections_queues_and_sessions() {
        let pool = read_upstream("", "server a; queue 5 timeout=7s; keepalive 3; keepalive_timeout 9s;")
            .unwrap()
            .pool;
        let keep = pool.keep.unwrap();
        assert_eq!((keep.connections, keep.requests, keep.idle), (3, 1000, Duration::from_secs(9)));
        assert_eq!(pool.timeouts.queue, Some(Duration::from_secs(7)));
        let sticky = |inside: &str| match read_upstream("", &format!("server a; sticky {inside};")) {
            Ok(Upstream { pool, .. }) => match pool.balance {
                Balance::Smooth(smooth) => Ok(smooth.sticky.unwrap()),
                _ => Err(String::new()),
            },
            Err(what) => Err(what),
        };
        let cookie =
            sticky("cookie srv \"expires=1h 3m\" domain=.a.test path=/ secure httponly samesite=lax")
                .unwrap();
        let cookie = cookie.cookie.unwrap();
        assert_eq!(cookie.life, Some(CookieLife::For(Duration::from_secs(3780))));
        assert!(cookie.secure && cookie.http_only && cookie.path.as_deref() == Some("/"));
        assert_eq!(sticky("route $a $b").unwrap().lookup.len(), 2);
        let learn = sticky("learn create=$a lookup=$b zone=z:1m timeout=1h header").unwrap().learn.unwrap();
        assert_eq!((learn.max_sessions, learn.at_head), (8004, true));
        assert!(sticky("learn create=$a lookup=$b").is_err());
        assert!(sticky("cookie a samesite=x").is_err());
        assert!(sticky("route a").is_err());
    }
}
