//! Directives about logs and counters.

use super::*;

/// One line per directive, sorted by name.
pub(super) const TABLE: &[Entry] = &[
    directive("access_log", HTTP | SERVER | LOCATION | LOCATION_IF | LIMIT_EXCEPT, at_least(1), Works)
        .repeat(),
    directive("error_log", HTTP | SERVER | LOCATION, at_least(1), Works).repeat(),
    directive("error_log", MAIN, at_least(1), Works).repeat(),
    directive("error_log", STREAM | STREAM_SERVER, at_least(1), NotYet).repeat(),
    directive("log_format", HTTP, at_least(2), Works).repeat(),
    directive("open_log_file_cache", HTTP | SERVER | LOCATION, between(1, 4), Works),
    directive("stub_status", SERVER | LOCATION, between(0, 1), Works).repeat(),
];
