//! How answers leave, and what folders show: conditions, ranges, gzip, index, listings, links.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::Http;
use plan::Problem;
use plan::host::{
    Charset, Delivery, Directories, Gzip, Index, ModifiedSince, Partial, Precompressed, Proxied, Symlinks,
};
use plan::rule::Template;
use regex::bytes::Regex;
use std::sync::Arc;

/// How answers leave.
pub(super) fn read(scope: &Scope<'_>, http: &Http<'_>) -> Delivery {
    let since =
        [("off", ModifiedSince::Ignored), ("exact", ModifiedSince::Exact), ("before", ModifiedSince::Before)];
    let packed =
        [("off", Precompressed::No), ("on", Precompressed::Accepted), ("always", Precompressed::Always)];
    let most_ranges = scope.number("max_ranges").map(|most| u32::try_from(most).unwrap_or(u32::MAX));
    Delivery {
        partial: Partial { modified_since: choice(scope, "if_modified_since", &since), most_ranges },
        tags: scope.flag("etag", true),
        sendfile: scope.flag("sendfile", false),
        precompressed: choice(scope, "gzip_static", &packed),
        gzip: Arc::new(gzip(scope, http)),
        chunks: scope.flag("chunked_transfer_encoding", true),
        charset: charset(scope),
    }
}

fn choice<T: Copy + Default>(scope: &Scope<'_>, name: &str, choices: &[(&str, T)]) -> T {
    let read = |directive: &Directive| scope.keep(directive.choice(0, choices));
    scope.find(name).and_then(read).unwrap_or_default()
}

fn gzip(scope: &Scope<'_>, http: &Http<'_>) -> Gzip {
    let unsaid = Gzip::default();
    let level = scope.find("gzip_comp_level").and_then(|directive| scope.keep(level(directive)));
    let proxied = scope.find("gzip_proxied").and_then(|directive| scope.keep(proxied(directive)));
    let disable = scope.all("gzip_disable");
    let words =
        || disable.iter().flat_map(|directive| directive.arguments.iter().map(|word| (*directive, word)));
    let regex = |(directive, word): (&Directive, &String)| -> Option<Regex> {
        scope.keep(http.variables.pattern(directive, word, true)).map(|pattern| pattern.regex)
    };
    Gzip {
        on: scope.flag("gzip", false),
        types: types(scope, "gzip_types", &["text/html"]),
        least_bytes: scope.size("gzip_min_length").unwrap_or(unsaid.least_bytes),
        level: level.unwrap_or(unsaid.level),
        http10: choice(scope, "gzip_http_version", &[("1.0", true), ("1.1", false)]),
        proxied: proxied.unwrap_or_default(),
        vary: scope.flag("gzip_vary", false),
        spared: words().filter(|(_, word)| *word != "msie6").filter_map(regex).collect(),
        spare_old_msie: words().any(|(_, word)| word == "msie6"),
    }
}

/// Content types of a directive; `*` is all of them. Those `always` count are in the list whatever is said.
fn types(scope: &Scope<'_>, name: &str, always: &[&str]) -> Option<Arc<[Box<str>]>> {
    let said = scope.all(name);
    let words = || said.iter().flat_map(|directive| directive.arguments.iter());
    if words().any(|word| word == "*") {
        return None;
    }
    let always = always.iter().map(|word| Box::from(*word));
    Some(always.chain(words().map(|word| word.to_ascii_lowercase().into())).collect())
}

fn level(directive: &Directive) -> Result<u32, Problem> {
    let level = directive.number(0)?;
    match level {
        1..=9 => Ok(level as u32),
        _ => Err(directive.problem("value must be equal to or greater than 1 and less than or equal to 9")),
    }
}

fn proxied(directive: &Directive) -> Result<Proxied, Problem> {
    let mut proxied = Proxied::default();
    for (index, word) in directive.arguments.iter().enumerate() {
        let place = match word.as_str() {
            "off" => continue,
            "any" => &mut proxied.any,
            "expired" => &mut proxied.expired,
            "no-cache" => &mut proxied.no_cache,
            "no-store" => &mut proxied.no_store,
            "private" => &mut proxied.private,
            "no_last_modified" => &mut proxied.no_last_modified,
            "no_etag" => &mut proxied.no_tag,
            "auth" => &mut proxied.auth,
            _ => return Err(directive.invalid(index)),
        };
        *place = true;
    }
    Ok(proxied)
}

/// `charset`: named in the content type; bytes are not recoded.
fn charset(scope: &Scope<'_>) -> Option<Arc<Charset>> {
    let directive = scope.find("charset").filter(|directive| directive.argument(0) != "off")?;
    let name = directive.argument(0);
    if name.contains('$') {
        scope.problem(
            directive.problem("a charset with variables is not supported").hint("name the charset itself"),
        );
        return None;
    }
    const USUAL: &[&str] =
        &["text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"];
    let said = scope.find("charset_types").is_some();
    let mut types = types(scope, "charset_types", &["text/html"]);
    if !said {
        types = types
            .map(|types| types.iter().cloned().chain(USUAL.iter().map(|word| Box::from(*word))).collect());
    }
    Some(Arc::new(Charset { name: name.into(), types }))
}

/// `index` and `autoindex`.
pub(super) fn index(scope: &Scope<'_>, http: &Http<'_>) -> Index {
    let names: Vec<Template> = scope
        .all("index")
        .into_iter()
        .flat_map(|directive| directive.arguments.iter().map(move |name| (directive, name)))
        .filter_map(|(directive, name)| scope.keep(http.variables.template(directive, name)))
        .collect();
    Index { names: names.into(), listing: listing(scope) }
}

fn listing(scope: &Scope<'_>) -> Directories {
    let html = Directories::Html {
        exact: scope.flag("autoindex_exact_size", true),
        local: scope.flag("autoindex_localtime", false),
    };
    let formats = [("html", html), ("json", Directories::Json), ("xml", Directories::Xml)];
    let format =
        scope.find("autoindex_format").and_then(|directive| scope.keep(directive.choice(0, &formats)));
    if scope.flag("autoindex", false) { format.unwrap_or(html) } else { Directories::Hidden }
}

/// `disable_symlinks`: the rule, and the part of the path for which it does not count.
pub(super) fn symlinks(scope: &Scope<'_>, http: &Http<'_>) -> (Symlinks, Option<Template>) {
    let Some(directive) = scope.find("disable_symlinks") else { return (Symlinks::Follow, None) };
    let rules = [("off", Symlinks::Follow), ("on", Symlinks::Refuse), ("if_not_owner", Symlinks::SameOwner)];
    let rule = scope.keep(directive.choice(0, &rules)).unwrap_or_default();
    let from = match (directive.argument(1), directive.argument(1).strip_prefix("from=")) {
        ("", _) => None,
        (_, Some(from)) => scope.keep(http.variables.template(directive, from)),
        _ => {
            scope.problem(directive.invalid(1));
            None
        }
    };
    (rule, from)
}
