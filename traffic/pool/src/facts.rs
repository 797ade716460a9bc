//! What rules can know about pools and servers, and what else `web` and `stream` answer in the same way.

use crate::{Pool, Server};
use plan::rule::{PoolFact, ServerFact, Value};
use std::time::Duration;

/// A fact about a pool.
pub fn of_pool(pool: &Pool, fact: PoolFact) -> Option<Value<'static>> {
    Some(Value::Int(match fact {
        PoolFact::Id => pool.plan.id.into(),
        PoolFact::Connections => pool.stats.current.now().into(),
        PoolFact::Queue => queued(pool),
        PoolFact::AverageQueue => {
            let usable = pool.usable() as i64;
            if usable == 0 { queued(pool) } else { (queued(pool) + usable - 1) / usable }
        }
        PoolFact::FreeConnections => free(pool, |server| Some(server.limit_now()?.into()), in_use),
        PoolFact::FreeSlots => free(pool, places, |server| in_use(server) + waiting(server)),
        PoolFact::ServerTimeout => milliseconds(pool.plan.timeouts.server.unwrap_or_default()),
        PoolFact::TunnelTimeout => milliseconds(pool.plan.timeouts.tunnel.unwrap_or_default()),
    }))
}

/// A fact about a server.
pub fn of_server(server: &Server, fact: ServerFact) -> Value<'static> {
    Value::Int(match fact {
        ServerFact::Connections => in_use(server),
        ServerFact::FreeConnections => match server.limit_now() {
            None => -1,
            Some(limit) => (i64::from(limit) - in_use(server)).max(0),
        },
        ServerFact::IsUp => return Value::Bool(server.is_up()),
        ServerFact::Queue => waiting(server),
        ServerFact::Weight => server.effective_weight().into(),
        ServerFact::InitialWeight => server.plan.weight.into(),
        ServerFact::UserWeight => server.weight().into(),
    })
}

/// A random UUID (RFC 9562, version 4).
pub fn uuid() -> String {
    let n = fastrand::u128(..) & !(0xf << 76) & !(0xc << 60) | 4 << 76 | 8 << 60;
    let digits = format!("{n:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

fn queued(pool: &Pool) -> i64 {
    i64::from(pool.stats.queue.now()) + pool.servers().iter().map(|server| waiting(server)).sum::<i64>()
}

fn in_use(server: &Server) -> i64 {
    server.stats.current.now().into()
}

fn waiting(server: &Server) -> i64 {
    server.stats.queue.now().into()
}

/// Places at a server and in its queue; `None` without a limit.
fn places(server: &Server) -> Option<i64> {
    let queue = server.plan.max_queue.map_or(0, i64::from);
    Some(i64::from(server.limit_now()?) + queue)
}

/// What is left of the limits of all usable servers; -1 when one has none.
fn free(pool: &Pool, limit: fn(&Server) -> Option<i64>, used: fn(&Server) -> i64) -> i64 {
    let mut sum = 0;
    for server in pool.servers().iter().filter(|server| server.is_usable()) {
        match limit(server) {
            None => return -1,
            Some(limit) => sum += (limit - used(server)).max(0),
        }
    }
    sum
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_says_its_version() {
        let text = super::uuid();
        assert_eq!((text.len(), &text[14..15]), (36, "4"), "{text}");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
    }
}
