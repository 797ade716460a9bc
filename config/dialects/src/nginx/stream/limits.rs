//! `limit_conn` of `stream {}` and its zones.

use super::super::http::limits::{connection, key, known, name_and_size, refusal, taken};
use super::super::http::variables::Variables;
use super::super::scope::Scope;
use super::super::tree::Directive;
use plan::limit::{ConnectionLimit, ConnectionZone, Limits};
use plan::{Draft, Problem};

/// Reads the zones of `stream {}`; gives their names.
pub(super) fn zones(scope: &Scope<'_>, variables: &Variables<'_>, draft: &mut Draft) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for directive in scope.own_named("limit_conn_zone") {
        if let Some(zone) = scope.keep(zone(directive, variables, draft)) {
            names.push(zone.name.clone());
            draft.connection_zones.push(zone);
        }
    }
    names
}

/// `limit_conn_zone KEY zone=NAME:SIZE`.
fn zone(directive: &Directive, variables: &Variables<'_>, draft: &Draft) -> Result<ConnectionZone, Problem> {
    let text = directive.argument(1);
    let said = text.strip_prefix("zone=").ok_or_else(|| directive.invalid_parameter(text))?;
    let (name, size) = name_and_size(directive, said)?;
    if let Some(before) = draft.connection_zones.iter().find(|before| &*before.name == name) {
        return Err(taken(directive, name, &before.key));
    }
    let key = key(directive, variables, size)?;
    Ok(ConnectionZone { name: name.into(), place: directive.place.clone(), key })
}

/// The limits in force in the scope.
pub(super) fn read(scope: &Scope<'_>, zones: &[Box<str>]) -> Limits {
    let mut all: Vec<ConnectionLimit> = Vec::new();
    for directive in scope.all("limit_conn") {
        let Some(limit) = scope.keep(connection(directive)) else { continue };
        if all.iter().any(|before| before.zone == limit.zone) {
            scope.problem(directive.problem(format!("limit_conn \"{}\" is duplicate", limit.zone)));
        } else if scope.keep(known(directive, &limit.zone, zones.contains(&limit.zone))).is_some() {
            all.push(limit);
        }
    }
    let words = ["limit_conn_status", "limit_conn_log_level", "limit_conn_dry_run"];
    Limits { connections: all, on_connection: refusal(scope, words), ..Limits::default() }
}
