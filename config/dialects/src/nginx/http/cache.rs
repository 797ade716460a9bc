//! Caches of answers: `proxy_cache_path` and how locations use them.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::values;
use super::Http;
use plan::cache::{
    Cache, CacheIgnore, CacheLock, CacheName, CacheStore, CacheValid, CacheZone, Turns, UseStale,
};
use plan::rule::{Expr, Fetch, HeaderFetch, Piece, Template, VisitFact};
use plan::{Draft, Problem};
use std::sync::Arc;
use std::time::Duration;

/// Reads the caches of `http {}`.
pub(super) fn zones(scope: &Scope<'_>, draft: &mut Draft) {
    for directive in scope.own_named("proxy_cache_path") {
        let Some(zone) = scope.keep(zone(directive, scope)) else { continue };
        if draft.caches.iter().any(|before| before.name == zone.name) {
            let what = format!("duplicate zone \"{}\"", zone.name);
            scope.problem(directive.problem(what));
        } else {
            draft.caches.push(zone);
        }
    }
}

/// `proxy_cache_path PATH keys_zone=NAME:SIZE …`.
fn zone(directive: &Directive, scope: &Scope<'_>) -> Result<CacheZone, Problem> {
    let (mut levels, mut keys, mut min_free) = (Vec::new(), None, 0);
    let (mut loader, mut manager) = (Turns::default(), Turns::default());
    let mut zone = CacheZone {
        name: Box::default(),
        place: directive.place.clone(),
        keys: 0,
        store: CacheStore::Memory,
        inactive: Duration::from_secs(600),
        max_size: None,
        loader,
        manager,
    };
    for text in directive.arguments.iter().skip(1) {
        let (name, value) = text.split_once('=').ok_or_else(|| directive.invalid_parameter(text))?;
        let wrong = |what: &str| directive.problem(format!("invalid {what} value \"{value}\" in \"{text}\""));
        let number = |value: &str| {
            values::number(value).and_then(|n| u32::try_from(n).ok()).ok_or_else(|| wrong(name))
        };
        let time = || values::time(value).ok_or_else(|| wrong(name));
        match name {
            "levels" => levels = self::levels(value).ok_or_else(|| wrong("levels"))?,
            "keys_zone" => keys = Some(keys_zone(directive, value)?),
            "inactive" => zone.inactive = time()?,
            "max_size" => zone.max_size = Some(values::offset(value).ok_or_else(|| wrong("max_size"))?),
            "min_free" => min_free = values::offset(value).ok_or_else(|| wrong("min_free"))?,
            // Files are always begun beside the others, so that giving them their name is one step.
            "use_temp_path" if matches!(value, "on" | "off") => {}
            "loader_files" => loader.files = number(value)?,
            "loader_sleep" => loader.sleep = time()?,
            "loader_threshold" => loader.threshold = time()?,
            "manager_files" => manager.files = number(value)?,
            "manager_sleep" => manager.sleep = time()?,
            "manager_threshold" => manager.threshold = time()?,
            "purger" if value == "off" => {}
            "purger" => {
                return Err(directive
                    .problem("\"purger\" is not supported")
                    .hint("remove files of the directory, or use 'proxy_cache_bypass' to fetch anew"));
            }
            _ => return Err(directive.invalid_parameter(text)),
        }
    }
    let (name, size) = keys.ok_or_else(|| {
        directive.problem(format!("\"{}\" must have \"keys_zone\" parameter", directive.name))
    })?;
    (zone.name, zone.keys, zone.loader, zone.manager) = (name.into(), size, loader, manager);
    let path = scope.ground.path(directive.argument(0));
    zone.store = CacheStore::Disk { path, levels, min_free };
    Ok(zone)
}

fn keys_zone<'d>(directive: &Directive, said: &'d str) -> Result<(&'d str, u64), Problem> {
    let wrong = || directive.problem(format!("invalid keys zone size \"keys_zone={said}\""));
    let (name, size) = said.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let size = values::size(size).filter(|size| *size > 8191).ok_or_else(wrong)?;
    Ok((name, size))
}

/// Up to three numbers of 1 or 2, separated by colons.
fn levels(said: &str) -> Option<Vec<u8>> {
    let levels: Vec<u8> =
        said.split(':').map(|one| one.parse().ok().filter(|n| matches!(n, 1 | 2))).collect::<Option<_>>()?;
    (levels.len() <= 3).then_some(levels)
}

/// The cache in force in the scope; `None` without one.
pub(super) fn read(scope: &Scope<'_>, http: &Http<'_>) -> Option<Arc<Cache>> {
    let directive = scope.find("proxy_cache").filter(|directive| directive.argument(0) != "off")?;
    let zone = scope.keep(name(directive, http))?;
    let unsaid = Cache::of("");
    let key = scope
        .find("proxy_cache_key")
        .and_then(|directive| scope.keep(http.variables.template(directive, directive.argument(0))));
    let guard_authorization =
        !key.as_ref().is_some_and(names_authorization) && !replaces_authorization(scope);
    let templates = |name: &str| -> Vec<Template> {
        let of = |directive: &Directive| {
            let read = |text: &String| scope.keep(http.variables.template(directive, text));
            directive.arguments.iter().filter_map(read).collect::<Vec<_>>()
        };
        scope.all(name).into_iter().flat_map(of).collect()
    };
    Some(Arc::new(Cache {
        zone,
        key,
        methods: methods(scope),
        valid: valid(scope),
        bypass: templates("proxy_cache_bypass"),
        no_store: templates("proxy_no_cache"),
        min_uses: scope.number("proxy_cache_min_uses").map_or(unsaid.min_uses, clamped),
        lock: lock(scope),
        use_stale: use_stale(scope),
        background_update: scope.flag("proxy_cache_background_update", false),
        revalidate: scope.flag("proxy_cache_revalidate", false),
        convert_head: scope.flag("proxy_cache_convert_head", true),
        max_range_offset: scope.offset("proxy_cache_max_range_offset"),
        ignore: ignore(scope),
        guard_authorization,
    }))
}

fn clamped(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn name(directive: &Directive, http: &Http<'_>) -> Result<CacheName, Problem> {
    let text = directive.argument(0);
    if text.contains('$') {
        return Ok(CacheName::Computed(http.variables.template(directive, text)?));
    }
    match http.has_cache(text) {
        true => Ok(CacheName::Fixed(text.into())),
        false => Err(directive
            .problem(format!("\"proxy_cache\" zone \"{text}\" is unknown"))
            .hint("define it in http with \"proxy_cache_path\"")),
    }
}

/// True when the client's `Authorization` is part of a key.
fn names_authorization(key: &Template) -> bool {
    key.0.iter().any(|piece| match piece {
        Piece::Value(Expr { fetch: Fetch::Visit(VisitFact::Header(name)), .. }, _) => {
            &**name == "authorization"
        }
        Piece::Value(Expr { fetch: Fetch::Header(HeaderFetch { name, .. }), .. }, _) => {
            &**name == "authorization"
        }
        _ => false,
    })
}

/// True when the server never sees the client's `Authorization`.
fn replaces_authorization(scope: &Scope<'_>) -> bool {
    scope.all("proxy_set_header").iter().any(|directive| {
        directive.argument(0).eq_ignore_ascii_case("authorization") && !directive.argument(1).contains('$')
    })
}

fn methods(scope: &Scope<'_>) -> Vec<Box<str>> {
    const KNOWN: [(&str, &str); 11] = [
        ("GET", ""),
        ("HEAD", ""),
        ("POST", "POST"),
        ("PUT", "PUT"),
        ("DELETE", "DELETE"),
        ("MKCOL", "MKCOL"),
        ("COPY", "COPY"),
        ("MOVE", "MOVE"),
        ("OPTIONS", "OPTIONS"),
        ("PROPFIND", "PROPFIND"),
        ("PATCH", "PATCH"),
    ];
    let mut all = Vec::new();
    for directive in scope.all("proxy_cache_methods") {
        for index in 0..directive.arguments.len() {
            if let Some(name) = scope.keep(directive.choice(index, &KNOWN)).filter(|name| !name.is_empty()) {
                all.push(name.into());
            }
        }
    }
    all
}

fn valid(scope: &Scope<'_>) -> Vec<CacheValid> {
    scope
        .all("proxy_cache_valid")
        .into_iter()
        .filter_map(|directive| scope.keep(valid_one(directive)))
        .collect()
}

/// `proxy_cache_valid [STATUS … | any] TIME`.
fn valid_one(directive: &Directive) -> Result<CacheValid, Problem> {
    let last = directive.arguments.len().saturating_sub(1);
    let wrong = || directive.problem(format!("invalid time value \"{}\"", directive.argument(last)));
    let time = values::seconds(directive.argument(last)).ok_or_else(wrong)?;
    let mut statuses = Vec::new();
    for text in &directive.arguments[..last] {
        if text == "any" {
            return Ok(CacheValid { statuses: Vec::new(), time });
        }
        let status = text.parse().ok().filter(|status| (100..=599).contains(status));
        statuses.push(status.ok_or_else(|| directive.problem(format!("invalid status \"{text}\"")))?);
    }
    if statuses.is_empty() {
        statuses = vec![200, 301, 302];
    }
    Ok(CacheValid { statuses, time })
}

fn lock(scope: &Scope<'_>) -> Option<CacheLock> {
    let unsaid = CacheLock::default();
    scope.flag("proxy_cache_lock", false).then(|| CacheLock {
        timeout: scope.time("proxy_cache_lock_timeout").unwrap_or(unsaid.timeout),
        age: scope.time("proxy_cache_lock_age").unwrap_or(unsaid.age),
    })
}

fn use_stale(scope: &Scope<'_>) -> UseStale {
    let mut stale = UseStale::default();
    for directive in scope.all("proxy_cache_use_stale") {
        for text in &directive.arguments {
            match text.as_str() {
                "error" => stale.error = true,
                "timeout" => stale.timeout = true,
                "invalid_header" => stale.invalid_header = true,
                "updating" => stale.updating = true,
                "off" => stale = UseStale::default(),
                text => match text.strip_prefix("http_").and_then(|status| status.parse().ok()) {
                    Some(status @ (403 | 404 | 429 | 500 | 502 | 503 | 504)) => stale.statuses.push(status),
                    _ => scope.problem(directive.problem(format!("invalid value \"{text}\""))),
                },
            }
        }
    }
    stale
}

/// `proxy_ignore_headers`, as far as it is about keeping answers.
fn ignore(scope: &Scope<'_>) -> CacheIgnore {
    let mut ignore = CacheIgnore::default();
    for text in scope.all("proxy_ignore_headers").iter().flat_map(|directive| &directive.arguments) {
        match text.to_ascii_lowercase().as_str() {
            "x-accel-expires" => ignore.x_accel_expires = true,
            "expires" => ignore.expires = true,
            "cache-control" => ignore.cache_control = true,
            "set-cookie" => ignore.set_cookie = true,
            "vary" => ignore.vary = true,
            _ => {}
        }
    }
    ignore
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ones_and_twos() {
        for (text, expected) in [
            ("1:2", Some(vec![1, 2])),
            ("2", Some(vec![2])),
            ("1:2:2:1", None),
            ("3", None),
            ("", None),
            ("1:", None),
        ] {
            assert_eq!(levels(text), expected, "{text}");
        }
    }
}
