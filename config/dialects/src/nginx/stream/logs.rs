//! `access_log` and `log_format` of `stream {}`: read as those of `http {}`.

use super::super::http::logs::{Logs, check_formats};
use super::super::http::variables::Variables;
use super::super::scope::Scope;
use plan::host::AccessTarget;
use plan::stream::{SessionLog, SessionTarget};

/// Looks at all formats, used or not.
pub(super) fn check(scope: &Scope<'_>, variables: &Variables<'_>) {
    check_formats(scope, variables);
}

/// The logs in force in the scope.
pub(super) fn read(scope: &Scope<'_>, variables: &Variables<'_>) -> Vec<SessionLog> {
    // There is no format that goes without saying.
    for directive in scope.all("access_log") {
        if directive.arguments.len() == 1 && directive.argument(0) != "off" {
            scope.problem(directive.problem("log format is not specified"));
        }
    }
    let logs = Logs::default();
    let said = logs.access_logs(scope, variables);
    let (_, open) = logs.all();
    let target = |to| match to {
        AccessTarget::Open(at) => open.get(usize::from(at)).cloned().map(SessionTarget::Open),
        AccessTarget::Made(path, keep) => Some(SessionTarget::Made(path, keep)),
    };
    said.into_iter()
        .filter_map(|log| Some(SessionLog { target: target(log.to)?, line: log.line, when: log.when }))
        .collect()
}
