//! `proxy_pass` and its companions: what a location does with requests that servers answer.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::{resolver, upstream};
use super::Http;
use plan::host::{
    CookieFlags, CookieRule, HeaderSet, NextUpstream, Proxy, ProxyBuffers, ProxyRedirect, ProxyTarget,
    ProxyTimeouts, ProxyUri, Replace,
};
use plan::rule::Template;
use plan::{Mode, Problem};
use std::sync::Arc;
use std::time::Duration;

/// Fields of servers that clients do not get, unless `proxy_pass_header` says so.
const HIDDEN: [&str; 8] = [
    "date",
    "server",
    "x-pad",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
];

/// Size of a buffer when nothing is said.
const PAGE: u64 = 4096;

/// What the innermost block says about passing on; `None` when it has no `proxy_pass`. `path` is that of the location;
/// `None` where the path that is replaced is not known: expressions, names, `if`, `limit_except`.
pub(super) fn read(scope: &Scope<'_>, path: Option<&str>, http: &Http<'_>) -> Option<Arc<Proxy>> {
    let directive = scope.own_named("proxy_pass").next()?;
    let reader = Reader { scope, http };
    let url = scope.keep(reader.url(directive))?;
    let uri = scope.keep(reader.uri(directive, &url, path))?;
    let target = scope.keep(reader.target(directive, &url))?;
    Some(Arc::new(reader.proxy(directive, &url, path, target, uri)))
}

/// The argument of `proxy_pass`, taken apart.
enum Url<'t> {
    /// With variables in it.
    Computed(&'t str),
    /// Host with port, and what follows.
    Fixed { authority: &'t str, uri: &'t str },
}

struct Reader<'r, 't, 'h> {
    scope: &'r Scope<'t>,
    http: &'r Http<'h>,
}

impl<'t> Reader<'_, 't, '_> {
    fn template(&self, directive: &Directive, text: &str) -> Result<Template, Problem> {
        self.http.variables.template(directive, text)
    }

    fn url(&self, directive: &'t Directive) -> Result<Url<'t>, Problem> {
        let text = directive.argument(0);
        let starts = |start: &str| text.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start));
        if starts("https://") {
            return Err(directive
                .problem("servers are not reached over TLS yet")
                .hint("use 'http://' inside your network, or a TLS tunnel beside the server"));
        }
        if text.contains('$') {
            return Ok(Url::Computed(text));
        }
        if !starts("http://") {
            return Err(directive.problem("invalid URL prefix").hint("begin with 'http://'"));
        }
        let rest = &text["http://".len()..];
        let end = match rest.strip_prefix("unix:") {
            Some(path) => path.find(':').map(|at| at + "unix:".len()),
            None => rest.find(['/', '?']),
        };
        let (authority, uri) = rest.split_at(end.unwrap_or(rest.len()));
        let uri = if authority.starts_with("unix:") { uri.strip_prefix(':').unwrap_or(uri) } else { uri };
        if authority.is_empty() {
            return Err(directive.problem(format!("no host in upstream \"{text}\"")));
        }
        Ok(Url::Fixed { authority, uri })
    }

    fn uri(&self, directive: &Directive, url: &Url<'_>, path: Option<&str>) -> Result<ProxyUri, Problem> {
        match (url, path) {
            (Url::Computed(_) | Url::Fixed { uri: "", .. }, _) => Ok(ProxyUri::Same),
            (Url::Fixed { .. }, None) => Err(directive
                .problem(
                    "\"proxy_pass\" cannot have URI part in location given by regular expression, \
                     or inside named location, or inside \"if\" statement, or inside \"limit_except\" block",
                )
                .hint("use 'rewrite … break;' and 'proxy_pass' without a path")),
            (Url::Fixed { uri, .. }, Some(path)) => {
                let uri = if uri.starts_with('?') { format!("/{uri}") } else { (*uri).to_owned() };
                Ok(ProxyUri::Replaced(path.len(), uri.into()))
            }
        }
    }

    fn target(&self, directive: &Directive, url: &Url<'_>) -> Result<ProxyTarget, Problem> {
        let authority = match url {
            Url::Computed(text) => {
                let group = resolver::in_force(self.scope).map(String::into_boxed_str);
                return Ok(ProxyTarget::Computed {
                    url: self.template(directive, text)?,
                    resolver: group.map(|group| (group, resolver::timeout(self.scope))),
                });
            }
            Url::Fixed { authority, .. } => *authority,
        };
        let upstreams = self.scope.all("upstream");
        let is_upstream = |name: &str| upstreams.iter().any(|one| one.argument(0) == name);
        if is_upstream(authority) {
            let pool = authority.to_owned();
            return Ok(ProxyTarget::Pool { pool, host: authority.into(), port: "80".into() });
        }
        if let Some((name, port)) = authority.rsplit_once(':')
            && is_upstream(name)
        {
            return Err(directive.problem(format!("upstream \"{name}\" may not have port {port}")));
        }
        let address = upstream::address(directive, authority, Some(80))?;
        let mut pools = self.http.pools.borrow_mut();
        if !pools.iter().any(|pool| pool.name == authority) {
            pools.push(upstream::implicit(&directive.place, authority, address, Mode::Http));
        }
        let (host, port) = shown(authority);
        Ok(ProxyTarget::Pool { pool: authority.to_owned(), host: host.into(), port: port.into() })
    }

    fn proxy(
        &self,
        directive: &Directive,
        url: &Url<'_>,
        path: Option<&str>,
        target: ProxyTarget,
        uri: ProxyUri,
    ) -> Proxy {
        let scope = self.scope;
        let one = |name: &str| {
            let directive = scope.find(name)?;
            scope.keep(self.template(directive, directive.argument(0)))
        };
        let old_version = self.is_old_version();
        let time = |name: &str| scope.time(name).unwrap_or(Duration::from_secs(60));
        Proxy {
            target,
            uri,
            method: one("proxy_method"),
            old_version,
            set_headers: self.set_headers(directive, old_version),
            pass_headers: scope.flag("proxy_pass_request_headers", true),
            pass_body: scope.flag("proxy_pass_request_body", true),
            set_body: one("proxy_set_body"),
            hide: self.hidden(),
            ignore: self.ignored(),
            redirects: self.redirects(url, path),
            cookie_domains: self.cookies("proxy_cookie_domain"),
            cookie_paths: self.cookies("proxy_cookie_path"),
            cookie_flags: self.cookie_flags(),
            buffer_request: scope.flag("proxy_request_buffering", true),
            buffers: self.buffers(),
            timeouts: ProxyTimeouts {
                connect: time("proxy_connect_timeout"),
                send: time("proxy_send_timeout"),
                read: time("proxy_read_timeout"),
            },
            next: self.next(),
            intercept_errors: scope.flag("proxy_intercept_errors", false),
            ignore_client_abort: scope.flag("proxy_ignore_client_abort", false),
            bind: None,
            socket_keep_alive: false,
            rate: Template::default(),
            cache: super::cache::read(scope, self.http),
            force_ranges: false,
        }
    }

    fn is_old_version(&self) -> bool {
        let Some(directive) = self.scope.find("proxy_http_version") else { return false };
        match directive.argument(0) {
            "1.0" => true,
            "1.1" => false,
            "2" | "2.0" => {
                self.scope.problem(
                    directive
                        .problem("servers are not spoken to in HTTP/2 yet")
                        .hint("use 'proxy_http_version 1.1;'"),
                );
                false
            }
            _ => {
                self.scope.problem(directive.invalid(0).hint("one of: 1.0, 1.1"));
                false
            }
        }
    }

    /// Fields that are set; `Host` and `Connection` are always among them.
    fn set_headers(&self, directive: &Directive, old_version: bool) -> Vec<HeaderSet> {
        let mut all = Vec::new();
        for own in self.scope.all("proxy_set_header") {
            if let Some(value) = self.scope.keep(self.template(own, own.argument(1))) {
                all.push(HeaderSet { name: own.argument(0).into(), value });
            }
        }
        let usual = [("Host", "$proxy_host"), ("Connection", if old_version { "close" } else { "" })];
        for (name, text) in usual {
            let said = all.iter().position(|set: &HeaderSet| set.name.eq_ignore_ascii_case(name));
            let is_needed = |at: usize| name == "Host" && all[at].value.as_fixed() == Some(&b""[..]);
            let Some(value) = self.scope.keep(self.template(directive, text)) else { continue };
            match said {
                // HTTP/1.1 has no request without a host.
                Some(at) if is_needed(at) && !old_version => all[at].value = value,
                Some(_) => {}
                None => all.insert(0, HeaderSet { name: name.into(), value }),
            }
        }
        all
    }

    fn hidden(&self) -> Vec<Box<str>> {
        let passed: Vec<String> = self.names("proxy_pass_header");
        let mut hidden: Vec<Box<str>> = HIDDEN
            .iter()
            .filter(|name| !passed.iter().any(|p| p == *name))
            .map(|name| (*name).into())
            .collect();
        hidden.extend(self.names("proxy_hide_header").into_iter().map(String::into_boxed_str));
        hidden
    }

    fn ignored(&self) -> Vec<Box<str>> {
        let known = [
            "x-accel-redirect",
            "x-accel-expires",
            "x-accel-limit-rate",
            "x-accel-buffering",
            "x-accel-charset",
            "expires",
            "cache-control",
            "set-cookie",
            "vary",
        ];
        let mut all = Vec::new();
        for directive in self.scope.all("proxy_ignore_headers") {
            for name in &directive.arguments {
                let lower = name.to_ascii_lowercase();
                match known.contains(&lower.as_str()) {
                    true => all.push(lower.into_boxed_str()),
                    false => self.scope.problem(
                        directive
                            .problem(format!("invalid value \"{name}\""))
                            .hint(format!("one of: {}", known.join(", "))),
                    ),
                }
            }
        }
        all
    }

    /// First arguments, lower case.
    fn names(&self, name: &str) -> Vec<String> {
        self.scope.all(name).iter().map(|directive| directive.argument(0).to_ascii_lowercase()).collect()
    }

    fn redirects(&self, url: &Url<'_>, path: Option<&str>) -> Vec<ProxyRedirect> {
        let said = self.scope.all("proxy_redirect");
        let mut all = Vec::new();
        for directive in &said {
            match (directive.arguments.len(), directive.argument(0)) {
                (1, "off") => return Vec::new(),
                (1, "default") if matches!(url, Url::Computed(_)) => self.scope.problem(directive.problem(
                    "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables",
                )),
                (1, "default") => all.extend(usual_redirect(url, path)),
                (1, _) => self.scope.problem(directive.invalid_parameter(directive.argument(0))),
                _ => all.extend(self.scope.keep(self.redirect(directive))),
            }
        }
        if said.is_empty() {
            all.extend(usual_redirect(url, path));
        }
        all
    }

    fn redirect(&self, directive: &Directive) -> Result<ProxyRedirect, Problem> {
        let from = match pattern_of(directive.argument(0)) {
            Some((text, ignore_case)) => {
                Replace::Match(self.http.variables.pattern(directive, text, ignore_case)?)
            }
            None => Replace::Beginning(self.template(directive, directive.argument(0))?),
        };
        Ok(ProxyRedirect { from, to: self.template(directive, directive.argument(1))? })
    }

    fn cookies(&self, name: &str) -> Vec<CookieRule> {
        let mut all = Vec::new();
        for directive in self.scope.all(name) {
            match (directive.arguments.len(), directive.argument(0)) {
                (1, "off") => return Vec::new(),
                (1, other) => self.scope.problem(directive.invalid_parameter(other)),
                _ => all.extend(self.scope.keep(self.cookie(directive))),
            }
        }
        all
    }

    fn cookie(&self, directive: &Directive) -> Result<CookieRule, Problem> {
        let of_domain = directive.name == "proxy_cookie_domain";
        // A dot in front of a domain says nothing.
        let strip = |text: &str| match text.strip_prefix('.') {
            Some(rest) if of_domain => rest.to_owned(),
            _ => text.to_owned(),
        };
        let from = match pattern_of(directive.argument(0)) {
            Some((text, ignore_case)) => {
                Replace::Match(self.http.variables.pattern(directive, text, ignore_case || of_domain)?)
            }
            None => {
                let text = self.template(directive, &strip(directive.argument(0)))?;
                if of_domain { Replace::Whole(text) } else { Replace::Beginning(text) }
            }
        };
        Ok(CookieRule { from, to: self.template(directive, &strip(directive.argument(1)))? })
    }

    fn cookie_flags(&self) -> Vec<CookieFlags> {
        let mut all = Vec::new();
        for directive in self.scope.all("proxy_cookie_flags") {
            if directive.arguments.len() == 1 {
                match directive.argument(0) {
                    "off" => return Vec::new(),
                    other => self.scope.problem(directive.invalid_parameter(other)),
                }
                continue;
            }
            all.extend(self.scope.keep(self.flags_of(directive)));
        }
        all
    }

    fn flags_of(&self, directive: &Directive) -> Result<CookieFlags, Problem> {
        const FLAGS: [&str; 8] = [
            "secure",
            "nosecure",
            "httponly",
            "nohttponly",
            "samesite=strict",
            "samesite=lax",
            "samesite=none",
            "nosamesite",
        ];
        let cookie = match pattern_of(directive.argument(0)) {
            Some((text, _)) => Replace::Match(self.http.variables.pattern(directive, text, true)?),
            None => Replace::Whole(self.template(directive, directive.argument(0))?),
        };
        let mut flags = Vec::new();
        for word in &directive.arguments[1..] {
            if !word.contains('$') && !FLAGS.contains(&word.to_ascii_lowercase().as_str()) {
                return Err(directive
                    .problem(format!("invalid flag \"{word}\""))
                    .hint(format!("one of: {}", FLAGS.join(", "))));
            }
            flags.push(self.template(directive, word)?);
        }
        Ok(CookieFlags { cookie, flags })
    }

    fn buffers(&self) -> ProxyBuffers {
        let scope = self.scope;
        let directory = scope.text("proxy_temp_path").unwrap_or("proxy_temp");
        let (number, size) = match scope.find("proxy_buffers") {
            Some(directive) => {
                (scope.keep(directive.number(0)).unwrap_or(8), scope.keep(directive.size(1)).unwrap_or(PAGE))
            }
            None => (8, PAGE),
        };
        let memory = number.saturating_mul(size).min(1 << 30);
        ProxyBuffers {
            on: scope.flag("proxy_buffering", true),
            head: usize::try_from(scope.size("proxy_buffer_size").unwrap_or(PAGE)).unwrap_or(usize::MAX),
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            file: scope.offset("proxy_max_temp_file_size").unwrap_or(1 << 30),
            directory: scope.ground.path(directory),
        }
    }

    fn next(&self) -> NextUpstream {
        let scope = self.scope;
        let mut next = NextUpstream {
            error: false,
            timeout: false,
            invalid_header: false,
            statuses: Vec::new(),
            non_idempotent: false,
            tries: scope
                .number("proxy_next_upstream_tries")
                .map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            timeout_after: scope.time("proxy_next_upstream_timeout").unwrap_or_default(),
        };
        let said = scope.all("proxy_next_upstream");
        (next.error, next.timeout) = (said.is_empty(), said.is_empty());
        for directive in said {
            for word in &directive.arguments {
                match word.as_str() {
                    "error" => next.error = true,
                    "timeout" => next.timeout = true,
                    "invalid_header" => next.invalid_header = true,
                    "non_idempotent" => next.non_idempotent = true,
                    "off" => (next.error, next.timeout) = (false, false),
                    word => match word.strip_prefix("http_").and_then(|status| status.parse().ok()) {
                        Some(status @ (500 | 502 | 503 | 504 | 403 | 404 | 429)) => {
                            next.statuses.push(status);
                        }
                        _ => scope.problem(directive.problem(format!("invalid value \"{word}\""))),
                    },
                }
            }
        }
        next
    }
}

/// `~` and `~*` begin an expression; the second one is blind for case.
fn pattern_of(text: &str) -> Option<(&str, bool)> {
    let rest = text.strip_prefix('~')?;
    Some(rest.strip_prefix('*').map_or((rest, false), |rest| (rest, true)))
}

/// Places of the server become places of the location.
fn usual_redirect(url: &Url<'_>, path: Option<&str>) -> Option<ProxyRedirect> {
    let Url::Fixed { authority, uri } = url else { return None };
    let (from, to) = match (*uri, path) {
        ("", _) => (format!("http://{authority}/"), "/".to_owned()),
        (uri, path) => (format!("http://{authority}{uri}"), path.unwrap_or("/").to_owned()),
    };
    Some(ProxyRedirect { from: Replace::Beginning(Template::fixed(from)), to: Template::fixed(to) })
}

/// Host and port as `$proxy_host` and `$proxy_port` tell them.
fn shown(authority: &str) -> (&str, &str) {
    if authority.starts_with("unix:") {
        return ("localhost", "");
    }
    match authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((host, "80")) => (host, "80"),
        Some((_, port)) => (authority, port),
        None => (authority, "80"),
    }
}
