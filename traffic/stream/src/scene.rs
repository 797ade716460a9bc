//! What rules, routes and log lines can know about a connection: the facts. HTTP fetches have no value here.

use crate::session::Session;
use plan::host::Groups;
use plan::rule::{Condition, EarlyFetch, Expr, Fact, Facts, Fetch, Test, Value};
use plan::table::TableLookup;
use std::ops::ControlFlow;
use wire::hello::HelloKind;

/// A connection as rules see it.
pub(crate) struct Scene<'a> {
    pub session: &'a Session,
    /// No more bytes will be waited for.
    pub over: bool,
}

/// Outcome of a condition while bytes may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Yes,
    No,
    /// Not yet, but more bytes may change that.
    Later,
}

type Each<'e> = &'e mut dyn FnMut(Value<'_>) -> ControlFlow<()>;

impl Facts for Scene<'_> {
    fn each(&self, fetch: &Fetch, each: Each<'_>) {
        if let Fetch::Record(field) = fetch {
            return self.session.as_record().field(*field, each);
        }
        if let Some(value) = self.one(fetch) {
            let _ = each(value);
        }
    }

    fn look_up(&self, lookup: &TableLookup, value: &Value<'_>) -> Option<Value<'static>> {
        self.session.site.tables.look_up(lookup, value)
    }

    fn keep(&self, groups: Groups) {
        if let Some(visit) = &self.session.visit {
            visit.notes.borrow_mut().keep(groups);
        }
    }

    fn client(&self) -> Option<std::net::IpAddr> {
        Some(self.session.client.ip()?.ip())
    }

    fn zone_offset(&self, _unix: i64) -> i32 {
        self.session.local.clock.offset_s()
    }
}

impl Scene<'_> {
    fn one(&self, fetch: &Fetch) -> Option<Value<'_>> {
        let session = self.session;
        Some(match fetch {
            Fetch::ClientAddress => Value::Address(session.client.ip()?.ip()),
            Fetch::ClientPort => Value::Int(session.client.ip()?.port().into()),
            Fetch::LocalAddress => Value::Address(session.own.ip()?.ip()),
            Fetch::LocalPort => Value::Int(session.own.ip()?.port().into()),
            Fetch::Encrypted => Value::Bool(false),
            Fetch::SiteName => Value::text(session.site.plan.name.as_bytes()),
            Fetch::PoolName => Value::text(session.pool.as_ref()?.plan.name.as_bytes()),
            Fetch::ServerName => Value::text(session.server.as_ref()?.plan.name.as_bytes()),
            Fetch::UsableServers(name) => {
                let named = name.as_ref().map(|name| session.site.pools.get(&**name));
                Value::Int(named.unwrap_or(session.pool.as_ref())?.usable() as i64)
            }
            Fetch::SiteConnections(None) => Value::Int(session.site.stats.current.now().into()),
            Fetch::SiteConnections(Some(name)) if **name == session.site.plan.name => {
                Value::Int(session.site.stats.current.now().into())
            }
            Fetch::Fact(fact) => return self.fact(*fact),
            Fetch::OfPool(fact, name) => {
                let named = name.as_ref().map(|name| session.site.pools.get(&**name));
                return pool::facts::of_pool(named.unwrap_or(session.pool.as_ref())?, *fact);
            }
            Fetch::OfServer(fact, pool, server) => {
                let named = pool.as_ref().map(|name| session.site.pools.get(&**name));
                let pool = named.unwrap_or(session.pool.as_ref())?;
                pool::facts::of_server(&*pool.server(server)?, *fact)
            }
            Fetch::Early(early) => {
                return early_value(early, session.early.as_ref().map_or(&[], |buffer| buffer.bytes()));
            }
            Fetch::Variable(scope, name) => session.kept.as_ref()?.variables.get(*scope, name)?,
            Fetch::RequestCapture(index) => Value::text(session.kept.as_ref()?.captures.get(*index)?),
            Fetch::ReceivedBytes => Value::Int(session.early.as_ref().map_or(0, |b| b.len() as i64)),
            Fetch::InspectionOver => Value::Bool(self.over),
            Fetch::Random(bound) => Value::Int(i64::from(random(*bound))),
            Fetch::DateParts(parts, offset) => {
                Value::Int((crate::session::wall_us() / (1_000_000 / parts)).saturating_add(*offset))
            }
            Fetch::Date(offset) => Value::Int(crate::session::wall_us() / 1_000_000 + offset),
            Fetch::Table(fetch) => {
                let client = session.client.ip().map(|client| client.ip());
                session.site.tables.fetch(fetch, client, &session.tracked)?
            }
            Fetch::TableUsed(name) => Value::Int(session.site.tables.count_of(name, false)?),
            Fetch::Visit(fact) => return self.visit(fact),
            Fetch::TableFree(name) => Value::Int(session.site.tables.count_of(name, true)?),
            _ => return None,
        })
    }

    fn fact(&self, fact: Fact) -> Option<Value<'_>> {
        let session = self.session;
        let site = &session.site.plan;
        Some(match fact {
            Fact::BindName => {
                Value::text(site.binds.get(usize::from(session.bind))?.name.as_deref()?.as_bytes())
            }
            Fact::BindId => Value::Int(i64::from(session.bind) + 1),
            Fact::SiteId => Value::Int(site.id.into()),
            Fact::SiteDefaultPool => Value::text(site.default_pool.as_deref()?.as_bytes()),
            Fact::SiteClientTimeout => {
                Value::Int(i64::try_from(site.timeouts.client.unwrap_or_default().as_millis()).ok()?)
            }
            Fact::ServerId => Value::Int(session.server.as_ref()?.plan.id.into()),
            Fact::ServerAddress => Value::Address(session.server_address?.ip()),
            Fact::ServerPort => Value::Int(session.server_address?.port().into()),
            Fact::Uuid => Value::owned(pool::facts::uuid()),
            Fact::ClientIsLocal => Value::Bool(session.client.ip()?.ip() == session.own.ip()?.ip()),
            Fact::LocalIsLocal => Value::Bool(session.own.ip()?.ip().is_loopback()),
            Fact::DateMicroseconds => Value::Int(crate::session::wall_us().rem_euclid(1_000_000)),
            Fact::ProcessId => Value::Int(std::process::id().into()),
            Fact::PoolAddress => Value::Address(session.pool_address()?.ip()),
            Fact::PoolPort => Value::Int(session.pool_address()?.port().into()),
            Fact::RequestLines | Fact::ResponseLines | Fact::HttpMajor => return None,
        })
    }

    /// As [`Condition::holds`], but says when the answer may still change: a test that fails on bytes that
    /// have not come yet decides nothing before the inspection is over.
    pub fn truth(&self, condition: &Condition) -> Truth {
        match condition {
            Condition::Always => Truth::Yes,
            Condition::Never => Truth::No,
            Condition::Not(inner) => match self.truth(inner) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Later => Truth::Later,
            },
            Condition::All(list) => {
                list.iter().map(|c| self.truth(c)).find(|t| *t != Truth::Yes).unwrap_or(Truth::Yes)
            }
            Condition::Any(list) => self.any(list),
            Condition::Shared(inner) => self.truth(inner),
            Condition::Test(test) => self.test(condition, test),
        }
    }

    fn any(&self, list: &[Condition]) -> Truth {
        let mut result = Truth::No;
        for condition in list {
            match self.truth(condition) {
                Truth::Yes => return Truth::Yes,
                Truth::Later => result = Truth::Later,
                Truth::No => {}
            }
        }
        result
    }

    fn test(&self, condition: &Condition, test: &Test) -> Truth {
        match condition.holds(self) {
            true => Truth::Yes,
            false if !self.over && depends_on_bytes(&test.expr) => Truth::Later,
            false => Truth::No,
        }
    }
}

/// Something of the first bytes of a connection.
fn early_value<'b>(fetch: &EarlyFetch, bytes: &'b [u8]) -> Option<Value<'b>> {
    if let EarlyFetch::RdpCookie(name) = fetch {
        return wire::hello::rdp_cookie(bytes, name.as_deref()).ok().map(Value::owned);
    }
    if let EarlyFetch::Payload { .. } | EarlyFetch::Counted { .. } = fetch {
        return fetch.slice(bytes).map(Value::text);
    }
    if let EarlyFetch::HelloProtocol = fetch {
        return wire::hello::protocol(bytes).ok().map(|name| Value::text(name.as_bytes()));
    }
    let hello = wire::hello::parse(bytes).ok()?;
    Some(match fetch {
        EarlyFetch::HelloKind => Value::Int(if hello.kind == HelloKind::Client { 1 } else { 2 }),
        EarlyFetch::HelloVersion => Value::Int(i64::from(hello.version.0) << 16 | i64::from(hello.version.1)),
        EarlyFetch::HelloServerName => Value::owned(hello.server_name?),
        EarlyFetch::HelloProtocols if hello.protocols.is_empty() => return None,
        EarlyFetch::HelloProtocols => Value::owned(hello.protocols.join(&b',')),
        EarlyFetch::HelloTicket => Value::Int(match hello.ticket {
            None => 0,
            Some(0) => 1,
            Some(_) => 2,
        }),
        EarlyFetch::HelloCurves => Value::Bool(hello.curves),
        EarlyFetch::HelloProtocol => return None,
        EarlyFetch::Payload { .. } | EarlyFetch::Counted { .. } | EarlyFetch::RdpCookie(_) => return None,
    })
}

/// True when more bytes may change the value.
fn depends_on_bytes(expr: &Expr) -> bool {
    use Fetch as F;
    match &expr.fetch {
        F::ReceivedBytes | F::InspectionOver | F::Early(_) => true,
        F::Method | F::Version | F::Target | F::Path | F::PathAndQuery | F::Query | F::Base => true,
        F::Header(_) | F::HeaderCount(_) | F::Cookie(_) | F::QueryParameter(_) | F::BodyLength => true,
        F::Holds(condition) => condition_depends_on_bytes(condition),
        _ => false,
    }
}

fn condition_depends_on_bytes(condition: &Condition) -> bool {
    match condition {
        Condition::Always | Condition::Never => false,
        Condition::Not(inner) => condition_depends_on_bytes(inner),
        Condition::All(list) | Condition::Any(list) => list.iter().any(condition_depends_on_bytes),
        Condition::Shared(inner) => condition_depends_on_bytes(inner),
        Condition::Test(test) => depends_on_bytes(&test.expr),
    }
}

/// Spreads load; nothing secret hangs on it.
fn random(bound: u32) -> u32 {
    fastrand::u32(0..bound.max(1))
}
