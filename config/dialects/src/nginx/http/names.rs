//! `server_name`, and tables by name with wildcards and expressions.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::Http;
use plan::Problem;
use plan::host::{NameTable, Pattern};

/// One name as it was said, and what it means.
pub(super) struct Name {
    pub text: String,
    kind: Kind,
}

enum Kind {
    Exact(Vec<u8>),
    /// `.example.com`: the name itself and all below.
    Both(Vec<u8>),
    Ending(Vec<u8>),
    Beginning(Vec<u8>),
    Pattern(Pattern),
}

/// Names of a server; the empty name when it has none.
pub(super) fn of_server(scope: &Scope<'_>, http: &Http<'_>) -> Vec<Name> {
    let mut all = Vec::new();
    for directive in scope.own_named("server_name") {
        for text in &directive.arguments {
            match read(directive, text, http) {
                Ok(name) => all.push(name),
                Err(problem) => scope.problem(problem),
            }
        }
    }
    if scope.own_named("server_name").next().is_none() {
        all.push(Name { text: String::new(), kind: Kind::Exact(Vec::new()) });
    }
    all
}

/// A name of a server or of a table of host names.
pub(super) fn read(directive: &Directive, text: &str, http: &Http<'_>) -> Result<Name, Problem> {
    let wrong = || directive.problem(format!("invalid server name or wildcard \"{text}\""));
    let lower = text.to_ascii_lowercase();
    let kind = if let Some(pattern) = text.strip_prefix('~') {
        // Names in requests are lower case, and so is what they are compared with.
        Kind::Pattern(http.variables.pattern(directive, pattern, true)?)
    } else if let Some(rest) = lower.strip_prefix("*.") {
        let ending = format!(".{rest}");
        if rest.is_empty() || rest.contains('*') {
            return Err(wrong());
        }
        Kind::Ending(ending.into_bytes())
    } else if let Some(rest) = lower.strip_suffix(".*") {
        if rest.is_empty() || rest.contains('*') {
            return Err(wrong());
        }
        Kind::Beginning(format!("{rest}.").into_bytes())
    } else if lower.len() > 1 && lower.starts_with('.') {
        Kind::Both(lower.into_bytes())
    } else if lower.contains('*') {
        return Err(wrong());
    } else {
        Kind::Exact(lower.into_bytes())
    };
    Ok(Name { text: text.to_owned(), kind })
}

/// Adds a value under a name; false when the name is there already.
pub(super) fn add<T: Clone>(table: &mut NameTable<T>, name: &Name, value: &T) -> bool {
    let value = value.clone();
    match &name.kind {
        Kind::Exact(name) => insert(&mut table.exact, name, value),
        Kind::Ending(name) => insert(&mut table.endings, name, value),
        Kind::Beginning(name) => insert(&mut table.beginnings, name, value),
        Kind::Both(name) => {
            insert(&mut table.endings, name, value.clone()) && insert(&mut table.exact, &name[1..], value)
        }
        Kind::Pattern(pattern) => {
            table.patterns.push((pattern.clone(), value));
            true
        }
    }
}

fn insert<T>(map: &mut std::collections::BTreeMap<Box<[u8]>, T>, name: &[u8], value: T) -> bool {
    if map.contains_key(name) {
        return false;
    }
    map.insert(name.into(), value);
    true
}
