//! `balance`, `hash-type` and `hash-balance-factor`.

use super::keywords::{self, ANY, Entry};
use super::proxy::needs_http;
use super::said::{Cursor, Done, Said};
use super::sample;
use super::scene::{Phase, Scene};
use plan::Balance;
use plan::pool::{HashFunction, HashMethod, UriHash};

type Read = fn(&mut Scene<'_, '_>, &mut Cursor<'_>, &str) -> Done<Balance>;

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: ANY, act: $act, manual: $manual }
    };
}

/// All algorithms; some take an argument in parentheses.
pub(super) const ALGORITHMS: &[Entry<Read>] = &[
    entry!("first", |_, _, _| Ok(Balance::First), "the first server with a free slot"),
    entry!("hash", hash, "hash of an expression"),
    entry!("hdr", header, "hdr(NAME): hash of a header"),
    entry!("leastconn", |_, _, _| Ok(Balance::LeastConnections), "the server with the fewest connections"),
    entry!("random", random, "random[(DRAWS)]: the least loaded of some drawn at random"),
    entry!("roundrobin", |_, _, _| Ok(Balance::RoundRobin), "in turn, by weight"),
    entry!("source", |_, _, _| Ok(Balance::Source), "hash of the client's address"),
    entry!("static-rr", |_, _, _| Ok(Balance::StaticRoundRobin), "in turn over a fixed table"),
    entry!("uri", uri, "hash of the path"),
    entry!("url_param", query_parameter, "hash of a query parameter"),
];

/// `balance ALGORITHM …`.
pub(super) fn balance(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("an algorithm such as roundrobin or leastconn")?;
    let (name, argument) = match word.split_once('(') {
        None => (word, ""),
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').ok_or_else(|| cursor.wrong(word, "a ')' at the end"))?;
            (name, inner)
        }
    };
    let Some(entry) = ALGORITHMS.iter().find(|e| e.name == name) else {
        return Err(unknown(name).at(cursor.at - 1));
    };
    let balance = (entry.act)(scene, cursor, argument)?;
    cursor.end()?;
    if matches!(balance, Balance::Uri(_) | Balance::QueryParameter(_) | Balance::Header { .. }) {
        needs_http(scene, cursor, "balance");
    }
    scene.proxy.pool.balance = balance;
    Ok(())
}

fn unknown(name: &str) -> Said {
    match name {
        "rdp-cookie" | "sticky" => Said::not_yet(format!("'balance {name}'")),
        _ => Said::new(format!("unknown algorithm '{name}'"))
            .hint(keywords::nearest(name, ALGORITHMS.iter().map(|e| e.name))),
    }
}

fn uri(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: &str) -> Done<Balance> {
    let mut hash = UriHash::default();
    while let Some(word) = cursor.next() {
        match word.text.as_str() {
            "len" => hash.length = Some(cursor.number_in("a number of bytes", 1, 65536)? as usize),
            "depth" => hash.depth = Some(cursor.number_in("a number of folders", 1, 65536)? as usize),
            "whole" => hash.whole = true,
            "path-only" => hash.path_only = true,
            other => return Err(cursor.wrong(other, "len N, depth N, whole or path-only")),
        }
    }
    Ok(Balance::Uri(hash))
}

fn query_parameter(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: &str) -> Done<Balance> {
    let name = cursor.text("the name of a parameter")?.to_owned();
    if cursor.eat("check_post") {
        scene
            .shared
            .note(cursor.line.place(cursor.at - 1), "'check_post' has no effect: bodies are not searched");
        if cursor.peek().parse::<u32>().is_ok() {
            cursor.next();
        }
    }
    Ok(Balance::QueryParameter(name))
}

fn header(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, argument: &str) -> Done<Balance> {
    if argument.is_empty() {
        return Err(Said::new("'balance hdr' needs the name of a header")
            .hint("as in hdr(host)")
            .at(cursor.at - 1));
    }
    let domain_only = cursor.eat("use_domain_only");
    Ok(Balance::Header { name: argument.to_ascii_lowercase(), domain_only })
}

fn random(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, argument: &str) -> Done<Balance> {
    if argument.is_empty() {
        return Ok(Balance::Random(2));
    }
    match argument.parse() {
        Ok(draws) if draws > 0 => Ok(Balance::Random(draws)),
        _ => Err(cursor.wrong(argument, "a number of draws from 1")),
    }
}

fn hash(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, _: &str) -> Done<Balance> {
    let at = cursor.at;
    let word = cursor.need("an expression such as src or req.hdr(host)")?;
    let found = sample::read_whole(scene, &word.bytes).map_err(|said| said.at(at))?;
    sample::check_phase(&found, Phase::Request).map_err(|said| said.at(at))?;
    Ok(Balance::Hash(found.expr))
}

/// `hash-type map-based|consistent [FUNCTION [avalanche]]`.
pub(super) fn hash_type(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let method = match cursor.text("map-based or consistent")? {
        "map-based" => HashMethod::Map,
        "consistent" => HashMethod::Consistent,
        "avalanche" => {
            return Err(
                Said::new("'avalanche' stands behind a function").hint("hash-type map-based sdbm avalanche")
            );
        }
        other => return Err(cursor.wrong(other, "map-based or consistent")),
    };
    let hash = &mut scene.proxy.pool.hash;
    hash.method = method;
    hash.function = HashFunction::Sdbm;
    // A ring with nothing said about its function avalanches; with a function it is as said.
    hash.avalanche = method == HashMethod::Consistent && cursor.is_end();
    if !cursor.is_end() {
        hash.function = match cursor.text("a function")? {
            "sdbm" => HashFunction::Sdbm,
            "djb2" => HashFunction::Djb2,
            "wt6" => HashFunction::Wt6,
            "crc32" => HashFunction::Crc32,
            "none" => HashFunction::None,
            other => return Err(cursor.wrong(other, "sdbm, djb2, wt6, crc32 or none")),
        };
        hash.avalanche = cursor.eat("avalanche");
    }
    cursor.end()
}

/// `hash-balance-factor PERCENT`; 0 switches it off.
pub(super) fn hash_balance_factor(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let factor: u32 = cursor.number("a percentage above 100, or 0")?;
    if factor > 0 && factor <= 100 {
        return Err(cursor.wrong(&factor.to_string(), "a percentage above 100, or 0"));
    }
    scene.proxy.pool.hash.balance_factor = (factor > 0).then_some(factor);
    cursor.end()
}
