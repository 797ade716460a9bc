//! Directives about who may do what and how often.

use super::*;

/// One line per directive, sorted by name.
pub(super) const TABLE: &[Entry] = &[
    directive("allow", HTTP | SERVER | LOCATION | LIMIT_EXCEPT, exactly(1), Works).repeat(),
    directive("auth_basic", HTTP | SERVER | LOCATION | LIMIT_EXCEPT, exactly(1), Works),
    directive("auth_basic_user_file", HTTP | SERVER | LOCATION | LIMIT_EXCEPT, exactly(1), Works),
    directive("auth_request", HTTP | SERVER | LOCATION, exactly(1), Works),
    directive("auth_request_set", HTTP | SERVER | LOCATION, exactly(2), Works).repeat(),
    directive("degradation", HTTP, exactly(1), Refused(DEGRADATION)),
    directive("degrade", HTTP | SERVER | LOCATION, exactly(1), Refused(DEGRADATION)),
    directive("deny", HTTP | SERVER | LOCATION | LIMIT_EXCEPT, exactly(1), Works).repeat(),
    directive("limit_conn", HTTP | SERVER | LOCATION, exactly(2), Works).repeat(),
    directive("limit_conn_dry_run", HTTP | SERVER | LOCATION, FLAG, Works),
    directive("limit_conn_log_level", HTTP | SERVER | LOCATION, exactly(1), Works),
    directive("limit_conn_status", HTTP | SERVER | LOCATION, exactly(1), Works),
    directive("limit_conn_zone", HTTP, exactly(2), Works).repeat(),
    directive("limit_req", HTTP | SERVER | LOCATION, between(1, 3), Works).repeat(),
    directive("limit_req_dry_run", HTTP | SERVER | LOCATION, FLAG, Works),
    directive("limit_req_log_level", HTTP | SERVER | LOCATION, exactly(1), Works),
    directive("limit_req_status", HTTP | SERVER | LOCATION, exactly(1), Works),
    directive("limit_req_zone", HTTP, exactly(3), Works).repeat(),
    directive("real_ip_header", HTTP | SERVER | LOCATION, exactly(1), Works),
    directive("real_ip_recursive", HTTP | SERVER | LOCATION, FLAG, Works),
    directive("secure_link", HTTP | SERVER | LOCATION, exactly(1), NotYet),
    directive("secure_link_md5", HTTP | SERVER | LOCATION, exactly(1), NotYet),
    directive("secure_link_secret", HTTP | SERVER | LOCATION, exactly(1), NotYet),
    directive("set_real_ip_from", HTTP | SERVER | LOCATION, exactly(1), Works).repeat(),
];
