//! Directives about groups of servers.

use super::*;

/// One line per directive, sorted by name.
pub(super) const TABLE: &[Entry] = &[
    directive("hash", UPSTREAM, between(1, 2), Works),
    directive("ip_hash", UPSTREAM, exactly(0), Works).repeat(),
    directive("keepalive", UPSTREAM, between(1, 2), Works),
    directive("keepalive_requests", UPSTREAM, exactly(1), Works),
    directive("keepalive_time", UPSTREAM, exactly(1), Works),
    directive("keepalive_timeout", UPSTREAM, exactly(1), Works),
    directive("least_conn", UPSTREAM, exactly(0), Works).repeat(),
    directive(
        "least_time",
        UPSTREAM,
        between(1, 2),
        Refused("servers are not compared by time here; use 'least_conn'"),
    ),
    directive("queue", UPSTREAM, between(1, 2), Works),
    directive("random", UPSTREAM, between(0, 2), Works),
    directive("resolver", UPSTREAM, at_least(1), Works),
    directive("resolver_timeout", UPSTREAM, exactly(1), Works),
    directive("server", UPSTREAM, at_least(1), Works).repeat(),
    directive("sticky", UPSTREAM, at_least(2), Works),
    directive("upstream", HTTP, exactly(1), Works).block(UPSTREAM).repeat(),
    directive("zone", UPSTREAM, between(1, 2), Works),
];
