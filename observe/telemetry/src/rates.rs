//! Rates per second, sampled once a second from counters. Pure: the sampler tells the time.

use std::collections::HashMap;

/// Counters of one site, pool, server or the process, as read now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Connections so far.
    pub connections: u64,
    /// Sessions so far.
    pub sessions: u64,
    /// Requests so far.
    pub requests: u64,
    /// Bytes to clients so far.
    pub bytes_out: u64,
}

/// A rate: its present and its greatest value, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Over the last sample interval.
    pub now: u64,
    /// Greatest so far.
    pub max: u64,
}

impl Rate {
    fn take(&mut self, before: u64, after: u64, elapsed_ms: u64) {
        // A counter that went back was cleared: what it counted since then is known.
        let grown = if after >= before { after - before } else { after };
        self.now = (u128::from(grown) * 1000 / u128::from(elapsed_ms.max(1))) as u64;
        self.max = self.max.max(self.now);
    }
}

/// Rates of one site, pool, server or the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSet {
    /// Connections per second.
    pub connections: Rate,
    /// Sessions per second.
    pub sessions: Rate,
    /// Requests per second.
    pub requests: Rate,
    /// Bytes to clients per second.
    pub bytes_out: Rate,
    last: Option<(u64, Readings)>,
}

impl RateSet {
    /// Takes the readings of `now_ms` (any clock that does not go back). The first call only remembers them.
    pub fn sample(&mut self, now_ms: u64, readings: Readings) {
        if let Some((then_ms, before)) = self.last {
            let elapsed = now_ms.saturating_sub(then_ms);
            if elapsed == 0 {
                return;
            }
            self.connections.take(before.connections, readings.connections, elapsed);
            self.sessions.take(before.sessions, readings.sessions, elapsed);
            self.requests.take(before.requests, readings.requests, elapsed);
            self.bytes_out.take(before.bytes_out, readings.bytes_out, elapsed);
        }
        self.last = Some((now_ms, readings));
    }

    /// Forgets the greatest values (`clear counters`).
    pub fn clear_max(&mut self) {
        for rate in [&mut self.connections, &mut self.sessions, &mut self.requests, &mut self.bytes_out] {
            rate.max = rate.now;
        }
    }
}

/// Whose rates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// The process.
    Process,
    /// A site.
    Site(String),
    /// A pool.
    Pool(String),
    /// A server: pool and name.
    Server(String, String),
}

/// Rates of everything.
#[derive(Debug, Default)]
pub struct Rates {
    sets: HashMap<RateKey, RateSet>,
}

impl Rates {
    /// Takes all readings of one moment; what is not among them any more is forgotten.
    pub fn sample(&mut self, now_ms: u64, readings: impl IntoIterator<Item = (RateKey, Readings)>) {
        let mut before = std::mem::take(&mut self.sets);
        for (key, reading) in readings {
            let mut set = before.remove(&key).unwrap_or_default();
            set.sample(now_ms, reading);
            self.sets.insert(key, set);
        }
    }

    /// Rates of one; zeros when it is not known.
    pub fn of(&self, key: &RateKey) -> RateSet {
        self.sets.get(key).copied().unwrap_or_default()
    }

    /// Forgets the greatest values.
    pub fn clear_max(&mut self) {
        self.sets.values_mut().for_each(RateSet::clear_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(n: u64) -> Readings {
        Readings { connections: n, sessions: n / 2, requests: n * 10, bytes_out: n * 1000 }
    }

    #[test]
    fn rates_rise_fall_and_keep_their_greatest_value() {
        let mut set = RateSet::default();
        for (now_ms, n, rate, max) in [
            (0, 5, 0, 0),
            (1000, 105, 100, 100),
            (3000, 145, 20, 100),
            (3000, 900, 20, 100),
            (4000, 145, 0, 100),
        ] {
            set.sample(now_ms, readings(n));
            assert_eq!(set.connections, Rate { now: rate, max }, "at {now_ms}");
        }
        set.sample(5000, readings(7));
        assert_eq!(set.connections.now, 7, "cleared counters");
        set.clear_max();
        assert_eq!(set.requests, Rate { now: 70, max: 70 });
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (site, server) = (RateKey::Site("a".into()), RateKey::Server("p".into(), "s".into()));
        let mut rates = Rates::default();
        rates.sample(0, [(site.clone(), readings(0)), (server.clone(), readings(0))]);
        rates.sample(1000, [(site.clone(), readings(4))]);
        assert_eq!(rates.of(&site).connections.now, 4);
        assert_eq!(rates.of(&server), RateSet::default());
    }
}
