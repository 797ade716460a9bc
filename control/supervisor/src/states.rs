//! States of servers from a file that `show servers state` wrote: applied once, at the start.

use crate::cycle::Cycle;
use crate::process::say;
use pool::{AdminCause, AdminState, Health, Pool, ServerEndpoint};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Fields of a line that are read.
const FIELDS: usize = 19;
/// Bits of the administrative state: by the operator into maintenance, and drained.
const MAINTENANCE: u32 = 1;
const DRAIN: u32 = 8;

/// A line: what was known of a server.
#[derive(Debug, PartialEq)]
struct State<'t> {
    pool: &'t str,
    server: &'t str,
    address: Option<IpAddr>,
    /// 0 stopped, 1 starting, 2 running, 3 stopping.
    operational: u32,
    admin: u32,
    weight: u16,
    initial_weight: u16,
    port: u16,
}

/// Reads the files that the pools name and applies what they say. A file that cannot be read is told of and left
/// out, as HAProxy does: the first start has none.
pub(crate) fn apply(cycle: &Cycle) {
    let mut read: HashMap<&PathBuf, Option<String>> = HashMap::new();
    for plan in &cycle.plan.pools {
        let (Some(file), Some(pool)) = (&plan.state_file, cycle.pools.get(&plan.name)) else { continue };
        let text = read.entry(file).or_insert_with(|| match std::fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error) => {
                say(&format!("server states of {} are not loaded: {error}", file.display()));
                None
            }
        });
        if let Some(text) = text {
            lines(text).filter(|state| state.pool == plan.name).for_each(|state| one(pool, &state));
        }
    }
}

fn one(pool: &Pool, state: &State<'_>) {
    let Some(server) = pool.server(state.server) else { return };
    if let (Some(ip), ServerEndpoint::Tcp(now)) = (state.address, server.address()) {
        let port = if state.port == 0 { now.port() } else { state.port };
        server.set_address(ServerEndpoint::Tcp(SocketAddr::new(ip, port)));
    }
    // A weight that the file changed since then is the newer word.
    if server.plan.weight == state.initial_weight {
        server.set_weight(state.weight);
    }
    if state.admin & MAINTENANCE != 0 {
        server.set_admin(AdminState::Maintenance, AdminCause::Operator);
    } else if state.admin & DRAIN != 0 {
        server.set_admin(AdminState::Drain, AdminCause::Operator);
    } else if state.operational == 0 && server.plan.check.is_some() {
        server.set_health(Health::Down);
    }
}

fn lines(text: &str) -> impl Iterator<Item = State<'_>> {
    let version = text.lines().next().map(str::trim);
    let known = version == Some("1");
    text.lines().skip(1).filter(move |line| known && !line.starts_with('#')).filter_map(line)
}

fn line(line: &str) -> Option<State<'_>> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    if words.len() < FIELDS {
        return None;
    }
    Some(State {
        pool: words[1],
        server: words[3],
        address: words[4].parse().ok(),
        operational: words[5].parse().ok()?,
        admin: words[6].parse().ok()?,
        weight: words[7].parse().ok().filter(|weight| *weight <= 256)?,
        initial_weight: words[8].parse().ok()?,
        port: words[18].parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LINE: &str = "4 be 1 s1 127.0.0.2 0 1 5 10 30 1 0 2 0 0 0 0 - 5001 - 0 0 - - 0";

    #[test]
    fn lines_are_read_or_left_out() {
        let text = format!("1\n# be_id be_name\n{LINE}\nnonsense\n4 be 1 s1 x y z\n");
        let states: Vec<_> = lines(&text).collect();
        let expected = State {
            pool: "be",
            server: "s1",
            address: Some("127.0.0.2".parse().unwrap()),
            operational: 0,
            admin: 1,
            weight: 5,
            initial_weight: 10,
            port: 5001,
        };
        assert_eq!(states, [expected]);
        assert_eq!(lines(&format!("2\n{LINE}\n")).count(), 0);
        assert_eq!(lines("").count(), 0);
        assert_eq!(line(&LINE.replace(" 5 10 ", " 999 10 ")), None);
    }
}
