//! The main context and `events {}`: user, threads, limits, pid file, the log of the process.

use super::directives::module_is_built_in;
use super::logs;
use super::scope::Scope;
use super::tree::Directive;
use plan::{Draft, Problem};

/// Connections per worker when nobody says.
const CONNECTIONS: u32 = 512;

/// Reads what stands outside `http` and `stream`.
pub(super) fn read(scope: &Scope<'_>, draft: &mut Draft) {
    let process = &mut draft.process;
    process.daemon = scope.flag("daemon", true);
    process.threads = match scope.find("worker_processes") {
        Some(directive) => scope.keep(threads(directive)).flatten(),
        None => Some(1),
    };
    process.pid_file = scope.text("pid").map(|path| scope.ground.path(path));
    process.hard_stop_after = scope.time("worker_shutdown_timeout");
    process.cut_after_reload = process.hard_stop_after;
    process.descriptors = scope.number("worker_rlimit_nofile");
    if let Some(user) = scope.find("user") {
        process.user = Some(user.argument(0).to_owned());
        // Without a group it is the one of the user's name.
        process.group = user.arguments.get(1).or(user.arguments.first()).cloned();
    }
    for directive in scope.own_named("load_module") {
        scope.keep(module(directive));
    }
    let targets = scope.own_named("error_log").filter_map(|d| scope.keep(logs::error_log(d, scope.ground)));
    process.logs = targets.collect();
    if scope.own_named("error_log").next().is_none() {
        process.logs.push(logs::unsaid(scope.ground));
    }
    process.connections_per_thread = Some(connections(scope));
}

fn threads(directive: &Directive) -> Result<Option<u16>, Problem> {
    match directive.argument(0) {
        "auto" => Ok(None),
        _ => match directive.number(0).map(u16::try_from) {
            Ok(Ok(count)) if (1..=1024).contains(&count) => Ok(Some(count)),
            _ => Err(directive.wrong("invalid number")),
        },
    }
}

fn connections(scope: &Scope<'_>) -> u32 {
    let Some(events) = scope.own_named("events").next() else {
        // An included file of another kind may be checked by itself.
        return CONNECTIONS;
    };
    let said = scope.inside(events).number("worker_connections");
    said.map_or(CONNECTIONS, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

fn module(directive: &Directive) -> Result<(), Problem> {
    let file = directive.argument(0);
    if module_is_built_in(file) {
        return Ok(());
    }
    Err(directive
        .problem(format!("the module \"{file}\" cannot be loaded"))
        .hint("what is supported is built in; remove the line and the directives of this module"))
}
