//! `show sess` and `shutdown session`: workers are asked for their connections.

use crate::control::Desk;
use crate::cycle::Cycle;
use crate::guests::GuestView;
use crate::worker::Command;
use admin::{Answer, Order};
use listener::Peer;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use telemetry::clock::Calendar;
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tokio::time::timeout;

/// A worker that does not answer within this time is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which sessions are shown, and how.
#[derive(Debug, PartialEq)]
enum Wanted {
    /// All, a line each.
    Lines,
    /// All that are at least so old, a line each.
    Older(Duration),
    /// All, with details.
    All,
    /// One, with details.
    One(u64),
}

/// What asks the workers; it borrows nothing of the desk.
pub(crate) struct Asking {
    workers: Vec<UnboundedSender<Command>>,
    cycle: std::sync::Arc<Cycle>,
}

impl Desk {
    /// Somebody who can ask the workers; `None` before the start.
    pub(crate) fn asking(&self) -> Option<Asking> {
        let (_, cycle) = self.running()?;
        Some(Asking { workers: self.worker_senders(), cycle })
    }
}

impl Asking {
    /// `show sess …`.
    pub(crate) async fn show(self, order: Order) -> Answer {
        let Some(wanted) = wanted(&order) else {
            return Answer::error("usage: show sess [<id> | all | older <age>]\n");
        };
        let mut guests = Vec::new();
        for worker in &self.workers {
            let (tell, told) = oneshot::channel();
            if worker.send(Command::Guests(tell)).is_ok()
                && let Ok(Ok(list)) = timeout(PATIENCE, told).await
            {
                guests.extend(list);
            }
        }
        guests.retain(|guest| guest.at.busy || matches!(wanted, Wanted::One(_)));
        guests.sort_by_key(|guest| guest.id);
        let now = Instant::now();
        let all =
            |text: &dyn Fn(&GuestView) -> String| Answer::data(guests.iter().map(text).collect::<String>());
        match wanted {
            Wanted::Lines => all(&|guest| self.line(guest, now)),
            Wanted::Older(age) => all(&|guest| match now.duration_since(guest.since) >= age {
                true => self.line(guest, now),
                false => String::new(),
            }),
            Wanted::All => all(&|guest| self.details(guest, now)),
            Wanted::One(id) => match guests.iter().find(|guest| guest.id == id) {
                Some(guest) => Answer::data(self.details(guest, now)),
                None => Answer::error("Session not found.\n"),
            },
        }
    }

    /// `shutdown session ID`.
    pub(crate) async fn end(self, order: Order) -> Answer {
        let Some(id) = number(order.argument(0)) else {
            return Answer::error("Session pointer expected (use 'show sess').\n");
        };
        for worker in &self.workers {
            let (tell, told) = oneshot::channel();
            if worker.send(Command::End(id, tell)).is_ok() && timeout(PATIENCE, told).await == Ok(Ok(true)) {
                return Answer::done();
            }
        }
        Answer::error("No such session (use 'show sess').\n")
    }

    /// Names of pool and server.
    fn place(&self, guest: &GuestView) -> (Option<&plan::Pool>, Option<std::sync::Arc<pool::Server>>) {
        let pool = self.cycle.plan.pools.iter().find(|pool| pool.id == guest.at.pool);
        let server = pool
            .and_then(|pool| self.cycle.pools.get(&pool.name))
            .and_then(|pool| pool.server_by_id(guest.at.server));
        (pool, server)
    }

    fn line(&self, guest: &GuestView, now: Instant) -> String {
        let (pool, server) = self.place(guest);
        format!(
            "0x{:x}: proto={} src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls={} rate=0 cpu=0 lat=0 \
             rq[f=0h,i=0,an=00h,rx=,wx=,ax=] rp[f=0h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=-1] scb=[8,0h,fd=-1] \
             exp= rc=0 c_exp=\n",
            guest.id,
            protocol(guest.client),
            address(guest.client),
            guest.site,
            pool.map_or("<NONE>", |pool| &pool.name),
            server.as_ref().map_or("<none>", |server| &server.plan.name),
            age(now.duration_since(guest.since)),
            guest.requests,
        )
    }

    fn details(&self, guest: &GuestView, now: Instant) -> String {
        let (pool, server) = self.place(guest);
        let age_of = now.duration_since(guest.since);
        let began = (crate::process::unix_ms() / 1000) as i64 - age_of.as_secs() as i64;
        let site = self.cycle.plan.sites.iter().find(|site| *site.name == *guest.site);
        let mode = |http: bool| if http { "http" } else { "tcp" };
        let (site_id, site_mode) =
            site.map_or((0, "tcp"), |site| (site.id, mode(site.mode == plan::Mode::Http)));
        let mut text = String::new();
        let _ = writeln!(
            text,
            "0x{:x}: [{}] id={} proto={} source={}\n  flags=0x0, conn_retries=0, age={} requests={}\n  \
             frontend={} (id={site_id} mode={site_mode}), addr={}",
            guest.id,
            String::from_utf8_lossy(&Calendar::of(began).log_date()),
            guest.id,
            protocol(guest.client),
            address(guest.client),
            age(age_of),
            guest.requests,
            guest.site,
            address(guest.local),
        );
        let _ = match pool {
            Some(pool) => {
                writeln!(
                    text,
                    "  backend={} (id={} mode={})",
                    pool.name,
                    pool.id,
                    mode(pool.mode == plan::Mode::Http)
                )
            }
            None => writeln!(text, "  backend=<NONE> (id=-1 mode=-)"),
        };
        let _ = match server {
            Some(server) => writeln!(
                text,
                "  server={} (id={}) addr={}",
                server.plan.name,
                server.plan.id,
                server.address()
            ),
            None => writeln!(text, "  server=<NONE> (id=-1)"),
        };
        text
    }
}

fn wanted(order: &Order) -> Option<Wanted> {
    match order.argument(0) {
        "" => Some(Wanted::Lines),
        "all" => Some(Wanted::All),
        "older" => {
            let text = order.argument(1);
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = match &text[digits.len()..] {
                "" | "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return None,
            };
            let age = digits.parse::<u64>().ok()?.checked_mul(unit)?;
            Some(Wanted::Older(Duration::from_secs(age)))
        }
        id => number(id).map(Wanted::One),
    }
}

/// `0x1f`.
fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn protocol(peer: Peer) -> &'static str {
    match peer {
        Peer::Ip(address) if address.is_ipv4() => "tcpv4",
        Peer::Ip(_) => "tcpv6",
        Peer::Unix => "unix_stream",
    }
}

/// IPv6 without brackets, as HAProxy writes it.
fn address(peer: Peer) -> String {
    match peer {
        Peer::Ip(address) => format!("{}:{}", address.ip(), address.port()),
        Peer::Unix => "unix:1".to_owned(),
    }
}

/// `5s`, `3m2s`, `2h5m`, `1d4h`.
fn age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{}h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let order = |text: &str| Order {
            arguments: text.split_whitespace().map(String::from).collect(),
            ..Order::default()
        };
        for (text, expected) in [
            ("", Some(Wanted::Lines)),
            ("all", Some(Wanted::All)),
            ("0x1F", Some(Wanted::One(31))),
            ("31", None),
            ("older 2m", Some(Wanted::Older(Duration::from_secs(120)))),
            ("older", None),
            ("older 99999999999999999999d", None),
        ] {
            assert_eq!(wanted(&order(text)), expected, "{text}");
        }
        assert_eq!(age(Duration::from_secs(3_725)), "1h2m");
    }
}
