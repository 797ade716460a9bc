//! `map`, `geo`, `split_clients`: variables made from others.

use super::super::tree::Directive;
use super::super::values;
use super::variables::Variables;
use plan::Problem;
use plan::host::{Computed, Geo, NameTable, Share};
use plan::rule::Template;
use std::net::IpAddr;

/// Name of the variable that a directive makes.
pub(super) fn name_of(directive: &Directive) -> Option<&str> {
    let last = match directive.name.as_str() {
        "map" | "split_clients" => directive.argument(1),
        "geo" => directive.arguments.last()?,
        _ => return None,
    };
    last.strip_prefix('$')
}

/// Makes the variable of a directive.
pub(super) fn make(directive: &Directive, variables: &Variables<'_>) -> Result<Computed, Problem> {
    match directive.name.as_str() {
        "map" => map(directive, variables),
        "geo" => geo(directive, variables),
        _ => split(directive, variables),
    }
}

fn map(directive: &Directive, variables: &Variables<'_>) -> Result<Computed, Problem> {
    let mut table = NameTable { fold: true, ..NameTable::default() };
    let mut default = Template::default();
    let hostnames =
        directive.inner().iter().any(|line| line.name == "hostnames" && line.arguments.is_empty());
    for line in directive.inner() {
        match (line.name.as_str(), line.arguments.len()) {
            ("hostnames" | "volatile", 0) => continue,
            ("default", 1) => default = variables.template(line, line.argument(0))?,
            (_, 1) => {
                let value = variables.template(line, line.argument(0))?;
                if !add(&mut table, line, &value, hostnames, variables)? {
                    return Err(line.problem(format!("conflicting parameter \"{}\"", line.name)));
                }
            }
            _ => return Err(line.problem("invalid number of the map parameters")),
        }
    }
    let key = variables.template(directive, directive.argument(0))?;
    Ok(Computed::Map { key, table, default, hostnames })
}

/// Adds a line of a map; false when its key is there already.
fn add(
    table: &mut NameTable<Template>,
    line: &Directive,
    value: &Template,
    hostnames: bool,
    variables: &Variables<'_>,
) -> Result<bool, Problem> {
    let key = line.name.as_str();
    if let Some(pattern) = key.strip_prefix('~') {
        let (pattern, ignore_case) = pattern.strip_prefix('*').map_or((pattern, false), |rest| (rest, true));
        table.patterns.push((variables.pattern(line, pattern, ignore_case)?, value.clone()));
        return Ok(true);
    }
    // A backslash makes a word of what would mean something else.
    let key = key.strip_prefix('\\').unwrap_or(key).to_ascii_lowercase();
    if hostnames {
        if let Some(rest) = key.strip_prefix("*.") {
            return Ok(table.endings.insert(format!(".{rest}").into_bytes().into(), value.clone()).is_none());
        }
        if let Some(rest) = key.strip_suffix(".*") {
            return Ok(table
                .beginnings
                .insert(format!("{rest}.").into_bytes().into(), value.clone())
                .is_none());
        }
        if let Some(rest) = key.strip_prefix('.') {
            let below = table.endings.insert(key.as_bytes().into(), value.clone()).is_none();
            return Ok(below && table.exact.insert(rest.as_bytes().into(), value.clone()).is_none());
        }
    }
    Ok(table.exact.insert(key.into_bytes().into(), value.clone()).is_none())
}

fn split(directive: &Directive, variables: &Variables<'_>) -> Result<Computed, Problem> {
    let mut shares = Vec::new();
    let mut sum = 0u64;
    for line in directive.inner() {
        let value = variables.template(line, line.argument(0))?;
        if line.name == "*" {
            shares.push(Share { below: None, value });
            continue;
        }
        let percent = line.name.strip_suffix('%').and_then(hundredths);
        let Some(percent) = percent.filter(|percent| *percent > 0) else {
            return Err(line.problem(format!("invalid percent value \"{}\"", line.name)));
        };
        sum += percent;
        if sum > 10_000 {
            return Err(directive.problem("percent total is greater than 100%"));
        }
        let below = sum * u64::from(u32::MAX) / 10_000;
        shares.push(Share { below: Some(below as u32), value });
    }
    Ok(Computed::Split { key: variables.template(directive, directive.argument(0))?, shares })
}

/// `12.34` in hundredths.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 2 {
        return None;
    }
    let part = if part.is_empty() { 0 } else { values::number(&format!("{part:0<2}"))? };
    values::number(whole)?.checked_mul(100)?.checked_add(part)
}

/// A range of addresses, both ends included.
#[derive(Clone, Copy)]
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

fn geo(directive: &Directive, variables: &Variables<'_>) -> Result<Computed, Problem> {
    let address = match directive.arguments.len() {
        2 => Some(variables.template(directive, directive.argument(0))?),
        _ => None,
    };
    let ranges = directive.inner().iter().any(|line| line.name == "ranges" && line.arguments.is_empty());
    // Without a value: what is there goes away.
    let mut all: Vec<(Range, Option<Box<[u8]>>)> = Vec::new();
    let mut default: Box<[u8]> = Box::default();
    let (mut proxies, mut recursive) = (Vec::new(), false);
    for line in directive.inner() {
        let value: Box<[u8]> = line.argument(0).as_bytes().into();
        match (line.name.as_str(), line.arguments.len()) {
            ("ranges", 0) => {}
            ("default", 1) => default = value,
            ("delete", 1) if ranges => all.push((range(line, line.argument(0), ranges)?, None)),
            ("delete", 1) => {
                let gone = range(line, line.argument(0), ranges)?;
                all.retain(|(range, _)| !same(*range, gone));
            }
            ("proxy_recursive", 0) => recursive = true,
            ("proxy", 1) => match super::settings::network(line.argument(0)) {
                Some(network) => proxies.push(network),
                None => return Err(line.problem(format!("invalid network \"{}\"", line.argument(0)))),
            },
            (text, 1) => all.push((range(line, text, ranges)?, Some(value))),
            _ => return Err(line.problem("invalid number of the geo parameters")),
        }
    }
    // Of networks inside each other the smaller one counts, of ranges the later one.
    if !ranges {
        all.sort_by_key(|(range, _)| std::cmp::Reverse(size(*range)));
    }
    let mut table = Geo { default, ..Geo::default() };
    for (range, value) in all {
        match range {
            Range::V4(from, to) => lay(&mut table.v4, from, to, value),
            Range::V6(from, to) => lay(&mut table.v6, from, to, value),
        }
    }
    Ok(Computed::Geo { address, table, proxies, recursive })
}

/// Puts a range over those that are there: what it covers of them is cut away.
fn lay<N>(all: &mut Vec<(N, N, Box<[u8]>)>, from: N, to: N, value: Option<Box<[u8]>>)
where
    N: Ord + Copy + std::ops::Add<Output = N> + std::ops::Sub<Output = N> + From<u8>,
{
    let mut out = Vec::with_capacity(all.len() + 2);
    for (low, high, old) in all.drain(..) {
        if high < from || low > to {
            out.push((low, high, old));
            continue;
        }
        if low < from {
            out.push((low, from - N::from(1), old.clone()));
        }
        if high > to {
            out.push((to + N::from(1), high, old));
        }
    }
    out.extend(value.map(|value| (from, to, value)));
    out.sort_by_key(|(from, ..)| *from);
    *all = out;
}

fn size(range: Range) -> u128 {
    match range {
        Range::V4(from, to) => u128::from(to - from),
        Range::V6(from, to) => to - from,
    }
}

fn same(a: Range, b: Range) -> bool {
    match (a, b) {
        (Range::V4(a, b), Range::V4(c, d)) => (a, b) == (c, d),
        (Range::V6(a, b), Range::V6(c, d)) => (a, b) == (c, d),
        _ => false,
    }
}

fn range(line: &Directive, text: &str, ranges: bool) -> Result<Range, Problem> {
    let wrong = || line.problem(format!("invalid network \"{text}\""));
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| wrong());
    let (from, to) = if ranges {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        (address(from)?, address(to)?)
    } else {
        let (host, bits) = text.split_once('/').map_or((text, None), |(host, bits)| (host, Some(bits)));
        let host = address(host)?;
        let all = if host.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(all), |bits| bits.parse().ok().filter(|bits| *bits <= all));
        bounds(host, bits.ok_or_else(wrong)?)
    };
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) if from <= to => Ok(Range::V4(from.into(), to.into())),
        (IpAddr::V6(from), IpAddr::V6(to)) if from <= to => Ok(Range::V6(from.into(), to.into())),
        _ => Err(wrong()),
    }
}

/// First and last address of a network.
fn bounds(host: IpAddr, bits: u32) -> (IpAddr, IpAddr) {
    match host {
        IpAddr::V4(host) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let from = u32::from(host) & mask;
            (IpAddr::V4(from.into()), IpAddr::V4((from | !mask).into()))
        }
        IpAddr::V6(host) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let from = u128::from(host) & mask;
            (IpAddr::V6(from.into()), IpAddr::V6((from | !mask).into()))
        }
    }
}
