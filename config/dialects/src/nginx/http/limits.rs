//! Limits of requests: `limit_req`, `limit_conn` and their zones.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::values;
use super::Http;
use super::variables::Variables;
use plan::limit::{ConnectionLimit, ConnectionZone, Limits, RateZone, Refusal, RequestLimit, ZoneKey};
use plan::{Draft, Problem, Severity};
use std::sync::Arc;

/// Smallest zone, bytes: eight pages.
const SMALLEST: u64 = 32 * 1024;
/// Levels that refusals may be told at.
const LEVELS: &[(&str, Severity)] = &[
    ("info", Severity::Info),
    ("notice", Severity::Notice),
    ("warn", Severity::Warning),
    ("error", Severity::Error),
];

/// Reads the zones of `http {}`.
pub(super) fn zones(scope: &Scope<'_>, http: &Http<'_>, draft: &mut Draft) {
    for directive in scope.own_named("limit_req_zone") {
        if let Some(zone) = scope.keep(rate_zone(directive, http, draft)) {
            draft.rate_zones.push(zone);
        }
    }
    for directive in scope.own_named("limit_conn_zone") {
        if let Some(zone) = scope.keep(connection_zone(directive, http, draft)) {
            draft.connection_zones.push(zone);
        }
    }
}

/// `limit_req_zone KEY zone=NAME:SIZE rate=N r/s`.
fn rate_zone(directive: &Directive, http: &Http<'_>, draft: &Draft) -> Result<RateZone, Problem> {
    let (mut zone, mut rate) = (None, 1000);
    for text in directive.arguments.iter().skip(1) {
        match text.split_once('=') {
            Some(("zone", said)) => zone = Some(name_and_size(directive, said)?),
            Some(("rate", said)) => rate = thousandths(said).ok_or_else(|| wrong_rate(directive, text))?,
            _ => return Err(directive.invalid_parameter(text)),
        }
    }
    let (name, size) = zone.ok_or_else(|| without_zone(directive))?;
    if let Some(before) = draft.rate_zones.iter().find(|before| &*before.name == name) {
        return Err(taken(directive, name, &before.key));
    }
    Ok(RateZone {
        name: name.into(),
        place: directive.place.clone(),
        key: key(directive, &http.variables, size)?,
        rate,
    })
}

/// `limit_conn_zone KEY zone=NAME:SIZE`.
fn connection_zone(directive: &Directive, http: &Http<'_>, draft: &Draft) -> Result<ConnectionZone, Problem> {
    let text = directive.argument(1);
    let said = text.strip_prefix("zone=").ok_or_else(|| directive.invalid_parameter(text))?;
    let (name, size) = name_and_size(directive, said)?;
    if let Some(before) = draft.connection_zones.iter().find(|before| &*before.name == name) {
        return Err(taken(directive, name, &before.key));
    }
    Ok(ConnectionZone {
        name: name.into(),
        place: directive.place.clone(),
        key: key(directive, &http.variables, size)?,
    })
}

pub(in super::super) fn key(
    directive: &Directive,
    variables: &Variables<'_>,
    size: u64,
) -> Result<ZoneKey, Problem> {
    let said = directive.argument(0);
    Ok(ZoneKey { template: variables.template(directive, said)?, said: said.into(), size })
}

pub(in super::super) fn taken(directive: &Directive, name: &str, key: &ZoneKey) -> Problem {
    directive.problem(format!("{} \"{name}\" is already bound to key \"{}\"", directive.name, key.said))
}

/// `NAME:SIZE`.
pub(in super::super) fn name_and_size<'d>(
    directive: &Directive,
    said: &'d str,
) -> Result<(&'d str, u64), Problem> {
    let parts = said.split_once(':').filter(|(name, _)| !name.is_empty());
    let (name, size) = parts.ok_or_else(|| directive.problem(format!("invalid zone size \"{said}\"")))?;
    let size =
        values::size(size).ok_or_else(|| directive.problem(format!("invalid zone size \"{said}\"")))?;
    if size < SMALLEST {
        return Err(directive.problem(format!("zone \"{name}\" is too small")).hint("32k is the least"));
    }
    Ok((name, size))
}

/// Thousandths of a request per second: `5r/s`, `30r/m`.
fn thousandths(said: &str) -> Option<u32> {
    let (number, per) = match said.strip_suffix("r/s") {
        Some(number) => (number, 1),
        None => (said.strip_suffix("r/m")?, 60),
    };
    let rate = values::number(number).filter(|rate| *rate > 0)?.checked_mul(1000)? / per;
    u32::try_from(rate).ok()
}

fn wrong_rate(directive: &Directive, text: &str) -> Problem {
    directive.problem(format!("invalid rate \"{text}\"")).hint("such as rate=5r/s or rate=30r/m")
}

fn without_zone(directive: &Directive) -> Problem {
    directive.problem(format!("\"{}\" must have \"zone\" parameter", directive.name))
}

/// The limits in force in the scope; `None` without any.
pub(super) fn read(scope: &Scope<'_>, http: &Http<'_>) -> Option<Arc<Limits>> {
    let limits = Limits {
        requests: requests(scope, http),
        on_request: refusal(scope, ["limit_req_status", "limit_req_log_level", "limit_req_dry_run"]),
        connections: connections(scope, http),
        on_connection: refusal(scope, ["limit_conn_status", "limit_conn_log_level", "limit_conn_dry_run"]),
    };
    (!limits.is_empty()).then(|| Arc::new(limits))
}

fn requests(scope: &Scope<'_>, http: &Http<'_>) -> Vec<RequestLimit> {
    let mut all: Vec<RequestLimit> = Vec::new();
    for directive in scope.all("limit_req") {
        let Some(limit) = scope.keep(request(directive)) else { continue };
        if all.iter().any(|before| before.zone == limit.zone) {
            scope.problem(directive.problem(format!("limit_req \"{}\" is duplicate", limit.zone)));
        } else if scope.keep(known(directive, &limit.zone, http.has_rate_zone(&limit.zone))).is_some() {
            all.push(limit);
        }
    }
    all
}

/// `limit_req zone=NAME [burst=N] [nodelay | delay=N]`.
fn request(directive: &Directive) -> Result<RequestLimit, Problem> {
    let (mut zone, mut burst, mut delay) = (None, 0, 0);
    let thousands = |said: &str| {
        let number = values::number(said).filter(|n| *n > 0);
        number.and_then(|n| n.checked_mul(1000)).filter(|n| i64::try_from(*n).is_ok())
    };
    for text in &directive.arguments {
        match text.split_once('=') {
            Some(("zone", name)) => zone = Some(name),
            Some(("burst", n)) => {
                let wrong = || directive.problem(format!("invalid burst value \"{text}\""));
                burst = thousands(n).ok_or_else(wrong)?;
            }
            Some(("delay", n)) => {
                let wrong = || directive.problem(format!("invalid delay value \"{text}\""));
                delay = thousands(n).ok_or_else(wrong)?;
            }
            None if text == "nodelay" => delay = u64::MAX,
            _ => return Err(directive.invalid_parameter(text)),
        }
    }
    let zone = zone.ok_or_else(|| without_zone(directive))?;
    Ok(RequestLimit { zone: zone.into(), place: directive.place.clone(), burst, delay })
}

fn connections(scope: &Scope<'_>, http: &Http<'_>) -> Vec<ConnectionLimit> {
    let mut all: Vec<ConnectionLimit> = Vec::new();
    for directive in scope.all("limit_conn") {
        let Some(limit) = scope.keep(connection(directive)) else { continue };
        if all.iter().any(|before| before.zone == limit.zone) {
            scope.problem(directive.problem(format!("limit_conn \"{}\" is duplicate", limit.zone)));
        } else if scope.keep(known(directive, &limit.zone, http.has_connection_zone(&limit.zone))).is_some() {
            all.push(limit);
        }
    }
    all
}

/// `limit_conn NAME N`.
pub(in super::super) fn connection(directive: &Directive) -> Result<ConnectionLimit, Problem> {
    let text = directive.argument(1);
    let most = values::number(text).filter(|n| *n > 0);
    let most = most.ok_or_else(|| directive.problem(format!("invalid number of connections \"{text}\"")))?;
    if most > 65_535 {
        return Err(directive.problem("connection limit must be less 65536"));
    }
    let zone = directive.argument(0).into();
    Ok(ConnectionLimit { zone, place: directive.place.clone(), most: most as u32 })
}

pub(in super::super) fn known(directive: &Directive, zone: &str, known: bool) -> Result<(), Problem> {
    match known {
        true => Ok(()),
        false => Err(directive
            .problem(format!("zero size shared memory zone \"{zone}\""))
            .hint(format!("define it in http with \"{}_zone\"", directive.name))),
    }
}

pub(in super::super) fn refusal(scope: &Scope<'_>, [status, level, dry_run]: [&str; 3]) -> Refusal {
    let unsaid = Refusal::default();
    let said_status = |directive: &Directive| {
        let text = directive.argument(0);
        let range = || directive.problem(format!("value \"{text}\" must be between 400 and 599"));
        text.parse().ok().filter(|status| (400..=599).contains(status)).ok_or_else(range)
    };
    let said_level = |directive: &Directive| directive.choice(0, LEVELS);
    Refusal {
        status: scope.find(status).and_then(|d| scope.keep(said_status(d))).unwrap_or(unsaid.status),
        level: scope.find(level).and_then(|d| scope.keep(said_level(d))).unwrap_or(unsaid.level),
        dry_run: scope.flag(dry_run, unsaid.dry_run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, expected) in [
            ("5r/s", Some(5000)),
            ("30r/m", Some(500)),
            ("1r/m", Some(16)),
            ("0r/s", None),
            ("5", None),
            ("r/s", None),
            ("5r/h", None),
            ("99999999999r/s", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
