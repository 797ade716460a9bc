//! `location {}`: parts of a host's paths.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::{Http, proxy, rewrite, settings};
use plan::host::{Content, Location, Locations};
use std::sync::Arc;

/// How the path of a location is said.
enum Kind<'t> {
    Exact(&'t str),
    Prefix(&'t str, bool),
    Pattern(&'t str, bool),
    Named(&'t str),
}

/// What counts outside of all locations of a server.
pub(super) fn outside(scope: &Scope<'_>, server: &Directive, http: &Http<'_>) -> Location {
    Location {
        place: server.place.clone(),
        settings: Arc::new(settings::read(scope, http, settings::Where::Server)),
        ..Location::default()
    }
}

/// The locations of a server, or those inside another one.
pub(super) fn all(scope: &Scope<'_>, http: &Http<'_>) -> Locations {
    let mut all = Locations::default();
    for directive in scope.own_named("location") {
        let Some(kind) = scope.keep(kind(directive)) else { continue };
        let location = Arc::new(read(scope, directive, &kind, http));
        let new = match kind {
            Kind::Exact(path) => all.add_exact(path, location),
            Kind::Prefix(path, _) => all.add_prefix(path, location),
            Kind::Named(name) => all.add_named(name, location),
            Kind::Pattern(text, ignore_case) => {
                if let Some(pattern) = scope.keep(http.variables.pattern(directive, text, ignore_case)) {
                    all.add_pattern(pattern, location);
                }
                true
            }
        };
        if !new {
            scope.problem(
                directive.problem(format!("duplicate location \"{}\"", directive.arguments.join(" "))),
            );
        }
    }
    all
}

/// The path of a location that has one.
pub(super) fn prefix_of(directive: &Directive) -> Option<&str> {
    let is_location = directive.name == "location";
    match kind(directive).ok().filter(|_| is_location)? {
        Kind::Exact(path) | Kind::Prefix(path, _) => Some(path),
        Kind::Pattern(..) | Kind::Named(_) => None,
    }
}

fn kind(directive: &Directive) -> Result<Kind<'_>, plan::Problem> {
    let (first, second) = (directive.argument(0), directive.argument(1));
    if directive.arguments.len() == 2 {
        return match first {
            "=" => Ok(Kind::Exact(second)),
            "^~" => Ok(Kind::Prefix(second, true)),
            "~" => Ok(Kind::Pattern(second, false)),
            "~*" => Ok(Kind::Pattern(second, true)),
            _ => Err(directive.problem(format!("invalid location modifier \"{first}\""))),
        };
    }
    // The modifier may stand without a space.
    Ok(match first {
        text if text.starts_with('=') => Kind::Exact(&text[1..]),
        text if text.starts_with("^~") => Kind::Prefix(&text[2..], true),
        text if text.starts_with("~*") => Kind::Pattern(&text[2..], true),
        text if text.starts_with('~') => Kind::Pattern(&text[1..], false),
        text if text.starts_with('@') => Kind::Named(&text[1..]),
        text => Kind::Prefix(text, false),
    })
}

fn read(scope: &Scope<'_>, directive: &Directive, kind: &Kind<'_>, http: &Http<'_>) -> Location {
    let inside = scope.inside(directive);
    let (name, path) = match kind {
        Kind::Exact(path) | Kind::Prefix(path, _) => ((*path).to_owned(), Some(*path)),
        Kind::Pattern(text, _) => ((*text).to_owned(), None),
        Kind::Named(name) => (format!("@{name}"), None),
    };
    let content = content(&inside, path, http);
    let place = match kind {
        Kind::Pattern(..) => settings::Where::Pattern,
        Kind::Named(_) => settings::Where::Named,
        Kind::Exact(path) | Kind::Prefix(path, _) => settings::Where::Path(path.len()),
    };
    let settings = Arc::new(settings::read(&inside, http, place));
    let base = Location {
        place: directive.place.clone(),
        stops_patterns: matches!(kind, Kind::Prefix(_, true)),
        adds_slash: matches!(content, Content::Proxy(_))
            && path.is_some_and(|path| path.ends_with('/') && path.len() > 1),
        internal: inside.own_named("internal").next().is_some() || matches!(kind, Kind::Named(_)),
        name: name.into(),
        content,
        settings,
        ..Location::default()
    };
    Location {
        steps: rewrite::steps(&inside, http, Some((&base, place))),
        other_methods: other_methods(&inside, &base, place, http),
        inner: all(&inside, http),
        ..base
    }
}

/// What answers in a location: what its own block says; an `if` without a word of its own has that around it.
fn content(scope: &Scope<'_>, path: Option<&str>, http: &Http<'_>) -> Content {
    match scope.own_named("stub_status").next() {
        Some(_) => Content::Counters,
        None => proxy::read(scope, path, http).map_or(Content::Files, Content::Proxy),
    }
}

/// The location inside an `if` or a `limit_except` of `base`.
pub(super) fn derived(
    scope: &Scope<'_>,
    directive: &Directive,
    base: &Location,
    place: settings::Where,
    http: &Http<'_>,
) -> Location {
    let own = content(scope, None, http);
    Location {
        place: directive.place.clone(),
        content: if matches!(own, Content::Files) { base.content.clone() } else { own },
        settings: Arc::new(settings::read(scope, http, place)),
        steps: Box::default(),
        inner: Locations::default(),
        other_methods: None,
        ..base.clone()
    }
}

/// `limit_except`: GET means HEAD too.
fn other_methods(
    scope: &Scope<'_>,
    base: &Location,
    place: settings::Where,
    http: &Http<'_>,
) -> Option<(Vec<Box<str>>, Arc<Location>)> {
    let directive = scope.own_named("limit_except").next()?;
    let mut methods: Vec<Box<str>> =
        directive.arguments.iter().map(|name| name.to_ascii_uppercase().into()).collect();
    if methods.iter().any(|method| &**method == "GET") {
        methods.push("HEAD".into());
    }
    let location = derived(&scope.inside(directive), directive, base, place, http);
    Some((methods, Arc::new(location)))
}
