//! `server {}`: a virtual host.

use super::super::client;
use super::super::scope::Scope;
use super::super::tree::Directive;
use super::{Http, location, rewrite};
use plan::host::{Host, Location};
use std::sync::Arc;

/// Reads the server whose scope this is.
pub(super) fn read(scope: &Scope<'_>, server: &Directive, http: &Http<'_>) -> Host {
    let outside = location::outside(scope, server, http);
    let first =
        scope.own_named("server_name").next().map(|directive| directive.argument(0)).unwrap_or_default();
    Host {
        place: server.place.clone(),
        // A leading dot is no part of a name; an expression is shown as it was said.
        name: match first.starts_with('~') {
            true => first.into(),
            false => first.strip_prefix('.').unwrap_or(first).to_ascii_lowercase().into(),
        },
        heads: client::heads(scope),
        steps: rewrite::steps(scope, http, None),
        locations: location::all(scope, http),
        outside: Arc::<Location>::new(outside),
    }
}
