//! Lists of patterns in `mainstay.yaml`: they are written as what they hold, a map as an entry of `maps:`.
//!
//! What commands may change while HAProxy's file runs stands fixed in the file that is written.

use plan::network::Networks;
use plan::rule::{
    Compare, Converter, Entry, Expr, Fetch, Index, IntRange, MapTable, Matcher, Piece, Style, Template,
    TextMatch, TextPatterns, Value, Wanted,
};
use regex::bytes::RegexBuilder;
use std::sync::Arc;

/// The same as a matcher without a list; `None` when a key cannot be written.
pub(super) fn plain(index: &Index) -> Option<Matcher> {
    let entries = index.list().entries();
    matcher(index.compare, entries.list.iter().map(Arc::as_ref))
}

fn matcher<'e>(compare: Compare, entries: impl Iterator<Item = &'e Entry>) -> Option<Matcher> {
    let keys = entries.map(|entry| &*entry.key);
    let texts = |key: &'e [u8]| std::str::from_utf8(key).ok();
    Some(match compare {
        Compare::Text { how, ignore_case } => {
            Matcher::Text(TextPatterns::new(how, ignore_case, keys.map(<[u8]>::to_vec)))
        }
        Compare::Bytes => {
            let bytes: Option<Vec<Vec<u8>>> = keys.map(bytes).collect();
            Matcher::Text(TextPatterns::new(TextMatch::Exact, false, bytes?))
        }
        Compare::Regex { ignore_case } => {
            let prefix = if ignore_case { "(?i)" } else { "" };
            let compile = |key| {
                RegexBuilder::new(&format!("{prefix}{}", texts(key)?))
                    .unicode(false)
                    .size_limit(4 << 20)
                    .build()
                    .ok()
            };
            Matcher::Regex(keys.map(compile).collect::<Option<_>>()?)
        }
        Compare::Int => Matcher::Int(keys.map(|key| range(texts(key)?)).collect::<Option<_>>()?),
        Compare::Length => Matcher::Length(keys.map(|key| range(texts(key)?)).collect::<Option<_>>()?),
        Compare::Address => {
            let networks: Option<_> = keys.map(|key| texts(key)?.parse().ok()).collect();
            Matcher::Address(Networks(networks?))
        }
    })
}

fn bytes(key: &[u8]) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    key.chunks(2).map(pair).collect()
}

fn range(text: &str) -> Option<IntRange> {
    let end = |text: &str, open: i64| if text.is_empty() { Some(open) } else { text.parse().ok() };
    match text.split_once(':') {
        Some((from, to)) => Some(IntRange { from: end(from, i64::MIN)?, to: end(to, i64::MAX)? }),
        None => text.parse().ok().map(|n| IntRange { from: n, to: n }),
    }
}

/// A map as a table looked up by what stands before it, and what makes its value of the kind that is wanted;
/// `None` when it cannot be written.
pub(super) fn table(
    before: Expr,
    index: &Index,
    default: Option<&Value<'static>>,
) -> Option<(MapTable, Option<Converter>)> {
    let kind = match index.wanted {
        Wanted::Int => Some(Converter::plain("number")?),
        Wanted::Address => Some(Converter::plain("address")?),
        Wanted::Text | Wanted::Key => None,
        Wanted::Nothing | Wanted::Expanded => return None,
    };
    let snapshot = index.list().entries();
    let mut entries: Vec<&Entry> = snapshot.list.iter().map(Arc::as_ref).collect();
    match index.compare {
        Compare::Text { how: TextMatch::Prefix, .. } => {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.key.len()));
        }
        Compare::Address => entries.sort_by_key(|entry| std::cmp::Reverse(prefix(&entry.key))),
        _ => {}
    }
    let line = |entry: &&Entry| {
        let value = if index.wanted == Wanted::Key { &entry.key } else { entry.value.as_ref()? };
        Some((matcher(index.compare, std::iter::once(*entry))?, Template::fixed(value.to_vec())))
    };
    let table = MapTable {
        key: Template(vec![Piece::Value(before, Style::default())]),
        entries: entries.iter().map(line).collect::<Option<_>>()?,
        default: default.map(|value| Template::fixed(value.clone().into_text().into_owned())),
    };
    Some((table, kind))
}

fn prefix(key: &[u8]) -> u8 {
    let network = std::str::from_utf8(key).ok().and_then(|text| text.parse::<plan::Network>().ok());
    network.map_or(0, |network| network.prefix())
}

/// The same expression with tables instead of maps; `None` when one cannot be written.
pub(super) fn without_maps(expr: &Expr) -> Option<Expr> {
    let mut done = Expr { fetch: expr.fetch.clone(), converters: Vec::new() };
    for converter in &expr.converters {
        if let Converter::LookUp(index, default) = converter {
            let (table, kind) = table(done, index, default.as_ref())?;
            done = Expr { fetch: Fetch::Map(Arc::new(table)), converters: kind.into_iter().collect() };
        } else {
            done.converters.push(converter.clone());
        }
    }
    Some(done)
}
