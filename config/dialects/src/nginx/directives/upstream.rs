//! Directives about groups of servers.

use super::*;

/// One line per directive, sorted by name.
pub(super) const TABLE: &[Entry] = &[
    directive("hash", UPSTREAM, between(1, 2), NotYet),
    directive("ip_hash", UPSTREAM, exactly(0), NotYet).repeat(),
    directive("keepalive", UPSTREAM, between(1, 2), NotYet),
    directive("keepalive_requests", UPSTREAM, exactly(1), NotYet),
    directive("keepalive_time", UPSTREAM, exactly(1), NotYet),
    directive("keepalive_timeout", UPSTREAM, exactly(1), NotYet),
    directive("least_conn", UPSTREAM, exactly(0), NotYet).repeat(),
    directive("least_time", UPSTREAM, between(1, 2), NotYet),
    directive("random", UPSTREAM, between(0, 2), NotYet),
    directive("resolver", UPSTREAM, at_least(1), NotYet),
    directive("resolver_timeout", UPSTREAM, exactly(1), NotYet),
    directive("server", UPSTREAM, at_least(1), NotYet).repeat(),
    directive("sticky", UPSTREAM, at_least(2), NotYet),
    directive("upstream", HTTP, exactly(1), NotYet).block(UPSTREAM).repeat(),
    directive("zone", UPSTREAM, between(1, 2), NotYet),
];
