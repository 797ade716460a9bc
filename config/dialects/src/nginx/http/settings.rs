//! What counts in a location besides steps and content: found from the inside out and merged.

use super::super::VERSION;
use super::super::scope::Scope;
use super::super::tree::Directive;
use super::{Http, delivery, limits};
use plan::host::{
    AccessRule, AccessWho, AddHeader, AnswerHeaders, BasicAuth, BodyFile, Client, ErrorPage, ErrorStatus,
    ErrorTarget, Expires, Fallback, RealIp, RealIpSource, Redirects, Root, Satisfy, ServerHeader, Settings,
    Subrequest, TryFiles, Types,
};
use plan::rule::Template;
use plan::{Network, Problem, Site};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What kind of block settings are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// A server, outside its locations.
    Server,
    /// A location with a path of so many bytes.
    Path(usize),
    /// A location with an expression.
    Pattern,
    /// A named location.
    Named,
}

/// Settings of the site itself: what counts before a host is known.
pub(super) fn of_site(scope: &Scope<'_>, site: &mut Site) {
    let head = scope.time("client_header_timeout").unwrap_or(Duration::from_secs(60));
    site.timeouts.request = Some(head);
    site.timeouts.client = Some(scope.time("client_body_timeout").unwrap_or(Duration::from_secs(60)));
    site.timeouts.keep_alive = Some(scope.time("keepalive_timeout").unwrap_or(Duration::from_secs(75)));
    site.http.ignore_probes = true;
}

/// All settings in force in the scope.
pub(super) fn read(scope: &Scope<'_>, http: &Http<'_>, place: Where) -> Settings {
    Settings {
        root: root(scope, http, place),
        index: delivery::index(scope, http),
        delivery: Arc::new(delivery::read(scope, http)),
        types: Arc::new(types(scope)),
        try_files: scope
            .own_named("try_files")
            .next()
            .and_then(|d| scope.keep(try_files(d, http)))
            .map(Arc::new),
        error_pages: error_pages(scope, http).into(),
        recursive_error_pages: scope.flag("recursive_error_pages", false),
        limits: limits::read(scope, http),
        access: access(scope).into(),
        satisfy: satisfy(scope),
        basic_auth: basic_auth(scope, http).map(Arc::new),
        subrequest: subrequest(scope, http).map(Arc::new),
        real_ip: real_ip(scope).map(Arc::new),
        headers: Arc::new(headers(scope, http)),
        client: client(scope, http),
        redirects: Redirects {
            absolute: scope.flag("absolute_redirect", true),
            server_name: scope.flag("server_name_in_redirect", false),
            port: scope.flag("port_in_redirect", true),
        },
        server: server(scope),
        logs: http.logs.access_logs(scope, &http.variables).into(),
        error_log: http.logs.error_log(scope),
        log_missing: scope.flag("log_not_found", true),
        cause_header: scope
            .text("mainstay_cause_header")
            .filter(|name| *name != "off")
            .unwrap_or_default()
            .into(),
    }
}

/// `root` or `alias`, whichever is nearer.
fn root(scope: &Scope<'_>, http: &Http<'_>, place: Where) -> Root {
    let directive = scope.first_level_with(&["root", "alias"]).into_iter().next();
    // A server has no path that an alias could replace.
    let alias = directive.filter(|directive| directive.name == "alias" && place != Where::Server);
    let text = directive.map_or("html", |directive| directive.argument(0));
    let made =
        if text.starts_with('$') { text.to_owned() } else { scope.ground.path(text).display().to_string() };
    // A slash at the end of an alias is a part of it; a path of the file system drops it.
    let made = match text.ends_with('/') && !made.ends_with('/') && alias.is_some() {
        true => format!("{made}/"),
        false if alias.is_none() => made.trim_end_matches('/').to_owned(),
        false => made,
    };
    let path = match directive {
        Some(directive) => scope.keep(http.variables.template(directive, &made)).unwrap_or_default(),
        None => Template::fixed(made.into_bytes()),
    };
    // What an alias replaces is the path of the location that says it, also for locations inside.
    let alias = alias.map(|_| match scope.holder("alias").and_then(super::location::prefix_of) {
        Some(prefix) => prefix.len(),
        None => Root::WHOLE,
    });
    let (symlinks, free) = delivery::symlinks(scope, http);
    Root { path, alias, symlinks, free }
}

/// `types` and `default_type`; without the former a few that everybody knows.
fn types(scope: &Scope<'_>) -> Types {
    let default = scope.text("default_type").unwrap_or("text/plain").into();
    let blocks = scope.all("types");
    let mut by_extension: BTreeMap<Box<[u8]>, Box<str>> = BTreeMap::new();
    if blocks.is_empty() {
        for (extension, kind) in [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")] {
            by_extension.insert(extension.as_bytes().into(), kind.into());
        }
    }
    for line in blocks.iter().flat_map(|block| block.inner()) {
        for extension in &line.arguments {
            by_extension
                .insert(extension.to_ascii_lowercase().into_bytes().into(), line.name.as_str().into());
        }
    }
    Types { by_extension, default }
}

fn try_files(directive: &Directive, http: &Http<'_>) -> Result<TryFiles, Problem> {
    let Some((last, tries)) = directive.arguments.split_last() else {
        return Err(directive.problem("invalid number of arguments in \"try_files\" directive"));
    };
    let tried = |text: &String| {
        // A slash at the end asks for a directory.
        let (text, is_directory) = match text.strip_suffix('/') {
            Some(text) => (text, true),
            None => (text.as_str(), false),
        };
        Ok((http.variables.template(directive, text)?, is_directory))
    };
    let last = match last.as_bytes() {
        [b'=', status @ ..] => {
            let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            Fallback::Status(status.ok_or_else(|| directive.problem(format!("invalid code \"{last}\"")))?)
        }
        [b'@', ..] => Fallback::Named(last[1..].into()),
        _ => Fallback::Path(http.variables.template(directive, last)?),
    };
    Ok(TryFiles { tries: tries.iter().map(tried).collect::<Result<_, Problem>>()?, last })
}

fn error_pages(scope: &Scope<'_>, http: &Http<'_>) -> Vec<ErrorPage> {
    let read = |directive| scope.keep(error_page(directive, http));
    scope.all("error_page").into_iter().filter_map(read).collect()
}

fn error_page(directive: &Directive, http: &Http<'_>) -> Result<ErrorPage, Problem> {
    let mut arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
    let target = arguments.pop().unwrap_or_default();
    let mut status = None;
    if let Some(said) = arguments.last().and_then(|last| last.strip_prefix('=')) {
        arguments.pop();
        status = Some(match said {
            "" => ErrorStatus::Answers,
            said => ErrorStatus::Fixed(
                said.parse().map_err(|_| directive.problem(format!("invalid value \"={said}\"")))?,
            ),
        });
    }
    let mut statuses = Vec::new();
    for text in arguments {
        let code = text.parse::<u16>().ok().filter(|code| (300..=599).contains(code));
        let code =
            code.ok_or_else(|| directive.problem(format!("value \"{text}\" must be between 300 and 599")))?;
        if code == 499 {
            return Err(directive.problem("value \"499\" must not be used: nobody is there to be answered"));
        }
        // 497 is told as 400 and may have a page of its own.
        statuses.push(if code == 494 { 494 } else { code });
    }
    let target = match target.as_bytes() {
        [b'@', ..] => ErrorTarget::Named(target[1..].into()),
        [b'/', ..] => ErrorTarget::Path(http.variables.template(directive, target)?),
        _ => ErrorTarget::Redirect(http.variables.template(directive, target)?),
    };
    Ok(ErrorPage { statuses, target, status })
}

/// `allow` and `deny`, in order.
pub(in super::super) fn access(scope: &Scope<'_>) -> Vec<AccessRule> {
    let rules: Vec<&Directive> = scope.first_level_with(&["allow", "deny"]);
    let read = |directive: &&Directive| scope.keep(access_rule(directive));
    rules.iter().filter_map(read).collect()
}

fn access_rule(directive: &Directive) -> Result<AccessRule, Problem> {
    let text = directive.argument(0);
    let who = match text {
        "all" => AccessWho::All,
        "unix:" => AccessWho::Unix,
        text => AccessWho::Network(network(text).ok_or_else(|| directive.invalid_parameter(text))?),
    };
    Ok(AccessRule { who, allow: directive.name == "allow" })
}

/// A network or an address.
pub(in super::super) fn network(text: &str) -> Option<Network> {
    let (host, bits) = text.split_once('/').map_or((text, None), |(host, bits)| (host, Some(bits)));
    let host: IpAddr = host.parse().ok()?;
    let bits = match bits {
        Some(bits) => bits.parse().ok()?,
        None if host.is_ipv4() => 32,
        None => 128,
    };
    Network::new(host, bits)
}

fn satisfy(scope: &Scope<'_>) -> Satisfy {
    let choice = |directive: &Directive| directive.choice(0, &[("all", Satisfy::All), ("any", Satisfy::Any)]);
    scope.find("satisfy").and_then(|directive| scope.keep(choice(directive))).unwrap_or_default()
}

fn basic_auth(scope: &Scope<'_>, http: &Http<'_>) -> Option<BasicAuth> {
    let realm = scope.find("auth_basic").filter(|realm| realm.argument(0) != "off")?;
    let file = scope.find("auth_basic_user_file")?;
    Some(BasicAuth {
        realm: scope.keep(http.variables.template(realm, realm.argument(0)))?,
        file: scope.keep(http.variables.template(file, file.argument(0)))?,
        folder: scope.ground.folder.clone(),
    })
}

/// `auth_request` and `auth_request_set`.
fn subrequest(scope: &Scope<'_>, http: &Http<'_>) -> Option<Subrequest> {
    let directive = scope.find("auth_request").filter(|directive| directive.argument(0) != "off")?;
    let set = |directive: &Directive| super::rewrite::set(directive, http);
    let sets = scope.all("auth_request_set").into_iter().filter_map(|directive| scope.keep(set(directive)));
    Some(Subrequest { path: directive.argument(0).into(), sets: sets.collect() })
}

/// `set_real_ip_from`, `real_ip_header`, `real_ip_recursive`.
fn real_ip(scope: &Scope<'_>) -> Option<RealIp> {
    let said = scope.all("set_real_ip_from");
    let source = match scope.text("real_ip_header").unwrap_or("X-Real-IP") {
        "proxy_protocol" => RealIpSource::ProxyHeader,
        name => RealIpSource::Header(name.to_ascii_lowercase().into()),
    };
    let mut real = RealIp {
        from: Vec::new(),
        from_unix: false,
        source,
        recursive: scope.flag("real_ip_recursive", false),
    };
    for directive in &said {
        let text = directive.argument(0);
        match (text, network(text)) {
            ("unix:", _) => real.from_unix = true,
            (_, Some(network)) => real.from.push(network),
            (name, None) => {
                match scope.ground.sources.lookup(name).and_then(|address| network(&address.to_string())) {
                    Some(network) => real.from.push(network),
                    None => scope
                        .problem(directive.problem(format!("host not found in set_real_ip_from \"{name}\""))),
                }
            }
        }
    }
    (!said.is_empty()).then_some(real)
}

fn headers(scope: &Scope<'_>, http: &Http<'_>) -> AnswerHeaders {
    let read = |directive| scope.keep(header(directive, http));
    AnswerHeaders {
        add: scope.all("add_header").into_iter().filter_map(read).collect(),
        trailers: scope.all("add_trailer").into_iter().filter_map(read).collect(),
        expires: scope.find("expires").and_then(|directive| scope.keep(expires(directive, http))).flatten(),
    }
}

fn header(directive: &Directive, http: &Http<'_>) -> Result<AddHeader, Problem> {
    let always = match directive.argument(2) {
        "" => false,
        "always" => true,
        other => return Err(directive.invalid_parameter(other)),
    };
    let name = directive.argument(0);
    if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') || name.is_empty() {
        return Err(directive.problem(format!("invalid header name \"{name}\"")));
    }
    let value = http.variables.template(directive, directive.argument(1))?;
    Ok(AddHeader { name: name.into(), value, always })
}

fn expires(directive: &Directive, http: &Http<'_>) -> Result<Option<Expires>, Problem> {
    let (text, after_change) = match directive.arguments.as_slice() {
        [first, time] if first == "modified" => (time, true),
        [time] => (time, false),
        _ => return Err(directive.invalid(0)),
    };
    if text.contains('$') {
        return Ok(Some(Expires::Said { text: http.variables.template(directive, text)?, after_change }));
    }
    Expires::parse(text.as_bytes(), after_change)
        .map_err(|_| directive.invalid(directive.arguments.len() - 1))
}

fn client(scope: &Scope<'_>, http: &Http<'_>) -> Client {
    let template = |name: &str| {
        let directive = scope.find(name)?;
        scope.keep(http.variables.template(directive, directive.argument(0)))
    };
    let unsaid = Client::default();
    Client {
        body_max: scope.offset("client_max_body_size").unwrap_or(unsaid.body_max),
        body_memory: scope.size("client_body_buffer_size").map_or(unsaid.body_memory, |size| size as usize),
        body_file: body_file(scope),
        body_directory: scope.ground.path(scope.text("client_body_temp_path").unwrap_or("client_body_temp")),
        body_timeout: scope.time("client_body_timeout").unwrap_or(unsaid.body_timeout),
        send_timeout: scope.time("send_timeout").unwrap_or(unsaid.send_timeout),
        keep_alive: super::super::client::keep_alive(scope),
        rate: template("limit_rate").unwrap_or_default(),
        rate_after: template("limit_rate_after").unwrap_or_default(),
        reset_timed_out: scope.flag("reset_timedout_connection", false),
    }
}

/// `client_body_in_file_only`.
fn body_file(scope: &Scope<'_>) -> BodyFile {
    let choices = [("off", BodyFile::WhenLarge), ("clean", BodyFile::Request), ("on", BodyFile::Kept)];
    let said = scope.find("client_body_in_file_only");
    said.and_then(|directive| scope.keep(directive.choice(0, &choices))).unwrap_or_default()
}

/// `server_tokens`.
fn server(scope: &Scope<'_>) -> ServerHeader {
    let whole = format!("nginx/{VERSION}");
    match scope.text("server_tokens") {
        Some("off") => ServerHeader { header: "nginx".into(), page: "nginx".into() },
        _ => ServerHeader { header: whole.clone().into(), page: whole.into() },
    }
}
