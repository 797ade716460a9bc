//! Which server gets which of the known addresses or service instances. Pure; servers keep what they have as long as it
//! is known.

use crate::message::Service;
use plan::resolver::Lookup;
use std::collections::HashMap;
use std::net::IpAddr;

/// Gives each server of one name an address; `None` = there is none for it.
///
/// `now` holds what each has. Preferred family and networks come first, then addresses that no other server has,
/// then the one it has. Unless `lookup.shared`, no two servers get the same.
pub fn spread(lookups: &[&Lookup], now: &[Option<IpAddr>], known: &[IpAddr]) -> Vec<Option<IpAddr>> {
    // Of several that hold an address, the first has it.
    let mut holders: HashMap<IpAddr, usize> = HashMap::new();
    for (seat, ip) in now.iter().enumerate() {
        if let Some(ip) = ip.filter(|ip| known.contains(ip)) {
            holders.entry(ip).or_insert(seat);
        }
    }
    let mut given = Vec::with_capacity(now.len());
    for (seat, lookup) in lookups.iter().enumerate() {
        let best = best(lookup, seat, now.get(seat).copied().flatten(), known, &holders);
        if let Some(ip) = best {
            // What it leaves is free for those behind it.
            holders.retain(|other, holder| *holder != seat || *other == ip);
            holders.entry(ip).or_insert(seat);
        }
        given.push(best);
    }
    given
}

fn best(
    lookup: &Lookup,
    seat: usize,
    now: Option<IpAddr>,
    known: &[IpAddr],
    holders: &HashMap<IpAddr, usize>,
) -> Option<IpAddr> {
    let mut best: Option<(u32, IpAddr)> = None;
    for &ip in known {
        let taken = holders.get(&ip).is_some_and(|holder| *holder != seat);
        if taken && !lookup.shared {
            continue;
        }
        let score = 8 * u32::from(lookup.prefer.has(ip))
            + 4 * u32::from(lookup.networks.contains(ip))
            + 2 * u32::from(!taken)
            + u32::from(now == Some(ip));
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, ip));
        }
    }
    best.map(|(_, ip)| ip)
}

/// A service instance as a server holds it.
pub(crate) type Instance = (String, u16);

/// Gives each server of one service an instance: those that hold one of `known` keep it, the others get what is left,
/// in order.
pub(crate) fn instances<'k>(now: &[Option<Instance>], known: &'k [Service]) -> Vec<Option<&'k Service>> {
    let is = |service: &Service, held: &Instance| service.target == held.0 && service.port == held.1;
    let mut taken = vec![false; known.len()];
    let mut given: Vec<Option<&Service>> = Vec::with_capacity(now.len());
    for held in now {
        let at = held.as_ref().and_then(|held| {
            known.iter().enumerate().position(|(at, service)| !taken[at] && is(service, held))
        });
        if let Some(at) = at {
            taken[at] = true;
        }
        given.push(at.map(|at| &known[at]));
    }
    let mut free = (0..known.len()).filter(|at| !taken[*at]);
    for seat in given.iter_mut().filter(|seat| seat.is_none()) {
        *seat = free.next().map(|at| &known[at]);
    }
    given
}

/// The weight of a server for the weight of its record: from 1, so that it is used.
pub(crate) fn weight(service: &Service) -> u16 {
    service.weight / 256 + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::network::Networks;
    use plan::resolver::Family;

    fn ip(text: &str) -> Option<IpAddr> {
        (text != "-").then(|| text.parse().unwrap())
    }

    fn check(lookup: &Lookup, now: &[&str], known: &[&str], expected: &[&str]) {
        let list = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect::<Vec<_>>();
        let known: Vec<IpAddr> = list(known).into_iter().flatten().collect();
        let lookups = vec![lookup; now.len()];
        assert_eq!(spread(&lookups, &list(now), &known), list(expected), "{now:?} {known:?}");
    }

    #[test]
    fn addresses_are_spread() {
        let plain = Lookup::default();
        check(&plain, &["-", "-", "-"], &["10.0.0.1", "10.0.0.2"], &["10.0.0.1", "10.0.0.2", "-"]);
        check(&plain, &["10.0.0.2", "-"], &["10.0.0.1", "10.0.0.2"], &["10.0.0.2", "10.0.0.1"]);
        check(&plain, &["10.0.0.9", "10.0.0.2"], &["10.0.0.2"], &["-", "10.0.0.2"]);
        check(&plain, &["10.0.0.1", "10.0.0.1"], &["10.0.0.1", "10.0.0.2"], &["10.0.0.1", "10.0.0.2"]);
        check(&plain, &["10.0.0.1"], &[], &["-"]);
        let shared = Lookup { shared: true, ..Lookup::default() };
        check(&shared, &["-", "-", "-"], &["10.0.0.1", "10.0.0.2"], &["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
    }

    #[test]
    fn preferred_families_and_networks_come_first() {
        let known = ["10.0.0.1", "10.1.0.1", "::1"];
        let v4 = Lookup { prefer: Family::V4, ..Lookup::default() };
        check(&v4, &["-"], &known, &["10.0.0.1"]);
        check(&v4, &["::1"], &known, &["10.0.0.1"]);
        check(&Lookup::default(), &["10.0.0.1"], &known, &["::1"]);
        let near = Lookup { networks: Networks(vec!["10.1.0.0/16".parse().unwrap()]), ..v4 };
        check(&near, &["10.0.0.1", "-"], &known, &["10.1.0.1", "10.0.0.1"]);
    }

    #[test]
    fn instances_stay_with_their_servers() {
        let service =
            |target: &str, port| Service { target: target.into(), port, weight: 0, addresses: vec![] };
        let known = [service("a", 80), service("b", 80), service("b", 81)];
        let given = |now: &[Option<Instance>]| {
            instances(now, &known)
                .iter()
                .map(|s| s.map(|s| format!("{}{}", s.target, s.port)))
                .collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(given(&[None, Some(("a".into(), 80)), None]), [some("b80"), some("a80"), some("b81")]);
        assert_eq!(
            given(&[Some(("gone".into(), 1)), None, None, None]),
            [some("a80"), some("b80"), some("b81"), None]
        );
    }

    #[test]
    fn weights_of_records() {
        let of =
            |weight| super::weight(&Service { target: String::new(), port: 1, weight, addresses: vec![] });
        assert_eq!([of(0), of(255), of(256), of(65535)], [1, 1, 2, 256]);
    }
}
