//! `show servers state` and `show servers conn`: lines per server that tools and reloads read.

use crate::checks;
use crate::rows::one_line;
use crate::view::{Admin, CheckView, Health, PoolView, ServerView, Snapshot};
use std::fmt::Write as _;

const STATE_HEAD: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
srv_check_addr srv_agent_addr srv_agent_port";

/// States of a check, as bits.
const CONFIGURED: u32 = 2;
const ENABLED: u32 = 4;
const PAUSED: u32 = 8;
const AGENT: u32 = 16;

/// Administrative states, as bits: by the operator, by the tracked server, by the file; drained by the operator or an
/// agent, by the tracked server; without an address.
const MAINTENANCE: u32 = 1;
const MAINTENANCE_BY_FILE: u32 = 4;
const DRAIN: u32 = 8;
const DRAIN_INHERITED: u32 = 16;
const MAINTENANCE_INHERITED: u32 = 2;
const MAINTENANCE_UNRESOLVED: u32 = 32;

/// `show servers state`: version `1`, a head line, a line per server of all pools or of one.
pub fn servers_state(snapshot: &Snapshot, pool: Option<&str>) -> String {
    let mut out = format!("1\n{STATE_HEAD}\n");
    for pool in wanted(snapshot, pool) {
        for server in &pool.servers {
            let _ = writeln!(out, "{}", state_line(pool, server));
        }
    }
    out
}

/// `show servers conn`.
pub fn servers_conn(snapshot: &Snapshot, pool: Option<&str>) -> String {
    let threads = snapshot.process.threads.max(1);
    let mut out = format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim \
         idle_cur idle_per_thr[{threads}]\n",
    );
    for pool in wanted(snapshot, pool) {
        for s in &pool.servers {
            let limit = s.idle_limit.map_or(-1, |n| n as i64);
            let unsafe_idle = s.idle.saturating_sub(s.idle_safe);
            let _ = writeln!(
                out,
                "{}/{} {}/{} {} {} - 5000 {} {} {} {unsafe_idle} {} {limit} {}{}",
                pool.name,
                s.name,
                pool.id,
                s.id,
                address(s),
                s.port,
                s.used,
                s.flow.current_max,
                s.needed,
                s.idle_safe,
                s.idle,
                (0..threads as usize)
                    .map(|at| format!(" {}", s.idle_by_thread.get(at).unwrap_or(&0)))
                    .collect::<String>(),
            );
        }
    }
    out
}

fn wanted<'s>(snapshot: &'s Snapshot, pool: Option<&'s str>) -> impl Iterator<Item = &'s PoolView> {
    snapshot.pools.iter().filter(move |p| pool.is_none_or(|name| p.name == name))
}

fn state_line(pool: &PoolView, server: &ServerView) -> String {
    let check = server.check.as_ref();
    let status = check.map_or("", |c| c.status.as_str());
    let text =
        |value: Option<&String>| value.map_or_else(|| "-".to_owned(), |v| one_line(v).replace(' ', "_"));
    [
        pool.id.to_string(),
        pool.name.clone(),
        server.id.to_string(),
        server.name.clone(),
        address(server),
        op_state(server).to_string(),
        admin_state(server).to_string(),
        server.user_weight.to_string(),
        server.initial_weight.to_string(),
        server.last_change_s.to_string(),
        checks::number(status).to_string(),
        checks::result(status).to_string(),
        check_health(server).to_string(),
        check_state(server).to_string(),
        agent_state(server).to_string(),
        "0 0".to_owned(), // no forced ids
        text(server.host.as_ref()),
        server.port.to_string(),
        text(server.service.as_ref()),
        "0".to_owned(), // no TLS
        check.map_or(0, |c| c.port).to_string(),
        text(check.and_then(|c| c.address.as_ref())),
        text(server.agent.as_ref().and_then(|a| a.address.as_ref())),
        server.agent.as_ref().map_or(0, |a| a.port).to_string(),
    ]
    .join(" ")
}

fn address(server: &ServerView) -> String {
    if server.address.is_empty() { "-".to_owned() } else { server.address.clone() }
}

/// 0 stopped, 1 starting, 2 running, 3 stopping.
fn op_state(server: &ServerView) -> u32 {
    match (server.admin, server.health) {
        (Admin::Maintenance, _) | (_, Health::Down | Health::GoingUp(..)) => 0,
        (_, Health::Stopping) => 3,
        (_, Health::Up | Health::GoingDown(..)) if server.throttle_percent.is_some_and(|p| p < 100) => 1,
        (_, Health::Up | Health::GoingDown(..)) => 2,
    }
}

fn admin_state(server: &ServerView) -> u32 {
    let by_file = if server.disabled_by_file { MAINTENANCE_BY_FILE } else { 0 };
    let unresolved = if server.unresolved { MAINTENANCE_UNRESOLVED } else { 0 };
    by_file
        | unresolved
        | match server.admin {
            Admin::Ready => 0,
            Admin::Drain if server.inherits => DRAIN_INHERITED,
            Admin::Drain => DRAIN,
            Admin::Maintenance if server.inherits && by_file == 0 => MAINTENANCE_INHERITED,
            Admin::Maintenance if unresolved != 0 && by_file == 0 => 0,
            Admin::Maintenance => MAINTENANCE,
        }
}

/// Without a check: as if it had just passed, unless it is in maintenance.
fn check_health(server: &ServerView) -> u32 {
    match &server.check {
        _ if server.admin == Admin::Maintenance => 0,
        Some(check) => check.health,
        None if server.tracked.is_some() && server.health == Health::Down => 0,
        None => server.told_rise,
    }
}

/// HAProxy pauses checks of a server that the file disabled, or that has some.
fn check_state(server: &ServerView) -> u32 {
    let pausable = server.check.is_some() || server.disabled_by_file;
    let paused = if pausable && server.admin == Admin::Maintenance { PAUSED } else { 0 };
    paused | server.check.as_ref().map_or(0, state_bits)
}

fn agent_state(server: &ServerView) -> u32 {
    server.agent.as_ref().map_or(0, |agent| AGENT | state_bits(agent))
}

fn state_bits(check: &CheckView) -> u32 {
    CONFIGURED | if check.enabled { ENABLED } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn state_lines() {
        let text = servers_state(&sample::snapshot(), Some("app"));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("1"));
        assert_eq!(lines.next(), Some(STATE_HEAD));
        assert_eq!(lines.next(), Some("4 app 1 s1 127.0.0.1 0 0 1 1 0 8 2 0 6 0 0 0 - 8000 - 0 0 - - 0"));
        assert_eq!(lines.next(), Some("4 app 2 s2 127.0.0.1 0 5 1 1 0 1 0 0 8 0 0 0 - 8000 - 0 0 - - 0"));
        assert_eq!(lines.next(), None);
        assert_eq!(STATE_HEAD.split(' ').count(), 1 + 25);
        assert!(
            servers_state(&sample::snapshot(), None)
                .contains("3 both 1 b 127.0.0.1 2 0 1 1 0 1 0 2 0 0 0 0 - 8000")
        );
    }

    #[test]
    fn connection_lines() {
        let text = servers_conn(&sample::snapshot(), Some("both"));
        assert!(text.ends_with("\nboth/b 3/1 127.0.0.1 8000 - 5000 0 0 0 0 0 -1 0 0 0\n"), "{text}");
    }
}
