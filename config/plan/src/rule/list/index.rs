//! Entries of a list made ready for one way of comparing.

use super::{Entries, Entry, List};
use crate::network::{Network, canonical};
use crate::place::Place;
use crate::rule::{IntRange, TextMatch, Value, accepts_text, expand};
use arc_swap::ArcSwap;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// How values are compared with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// As text.
    Text {
        /// In which way.
        how: TextMatch,
        /// ASCII letters compare without case.
        ignore_case: bool,
    },
    /// Keys are bytes in hexadecimal.
    Bytes,
    /// By expressions.
    Regex {
        /// ASCII letters compare without case.
        ignore_case: bool,
    },
    /// As numbers; keys may be ranges `1:5`.
    Int,
    /// By the length of the text.
    Length,
    /// As addresses; keys may be networks.
    Address,
}

impl Compare {
    /// True when keys are looked up by an index however many there are.
    pub fn is_indexed(self) -> bool {
        match self {
            Compare::Text { how, .. } => matches!(how, TextMatch::Exact | TextMatch::Prefix),
            Compare::Bytes | Compare::Address => true,
            Compare::Regex { .. } | Compare::Int | Compare::Length => false,
        }
    }
}

/// What comes out when a key matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That it does.
    Nothing,
    /// The value as text.
    Text,
    /// The value as a number.
    Int,
    /// The value as an address.
    Address,
    /// The key.
    Key,
    /// The value, in which `\1` … stand for groups of the expression.
    Expanded,
}

/// A use of a list.
pub struct Index {
    list: Arc<List>,
    /// How values are compared.
    pub compare: Compare,
    /// What comes out.
    pub wanted: Wanted,
    built: ArcSwap<Built>,
}

/// An entry that matches.
#[derive(Clone, Debug)]
pub struct Found {
    /// The entry.
    pub entry: Arc<Entry>,
    /// What comes out of it; nothing for an index that only says whether.
    pub value: Option<Value<'static>>,
}

struct Built {
    entries: Vec<(Arc<Entry>, Option<Value<'static>>)>,
    keys: Keys,
}

/// Keys by the way they are looked up. Numbers are places in the list of entries.
enum Keys {
    /// The first of each text.
    Exact(HashMap<Box<[u8]>, usize>),
    /// The longest that a text begins with.
    Prefix(Prefixes),
    /// The narrowest network.
    Networks(BTreeMap<(bool, std::cmp::Reverse<u8>), HashMap<IpAddr, usize>>),
    /// One after another.
    Texts(Vec<Box<[u8]>>),
    Regexes(Vec<Regex>),
    Ranges(Vec<IntRange>),
}

/// Texts in order, each with the place of the longest other one that it begins with.
#[derive(Default)]
struct Prefixes {
    sorted: Vec<(Box<[u8]>, usize, Option<usize>)>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({:?}, {:?}, {:?})", self.list, self.compare, self.wanted)
    }
}

impl Index {
    pub(super) fn new(
        list: Arc<List>,
        compare: Compare,
        wanted: Wanted,
        entries: &Entries,
    ) -> Result<Index, (Place, String)> {
        let built = ArcSwap::from_pointee(Built::new(compare, wanted, &entries.list)?);
        Ok(Index { list, compare, wanted, built })
    }

    /// The list it stands on.
    pub fn list(&self) -> &Arc<List> {
        &self.list
    }

    pub(super) fn replace(&self, entries: &Entries) -> Result<(), (Place, String)> {
        self.built.store(Arc::new(Built::new(self.compare, self.wanted, &entries.list)?));
        Ok(())
    }

    /// Says what is wrong with an entry here.
    pub(super) fn check(&self, entry: &Entry) -> Result<(), String> {
        check_key(self.compare, &entry.key)?;
        output(self.wanted, entry).map(drop)
    }

    /// True when a key matches.
    pub fn accepts(&self, value: &Value<'_>) -> bool {
        self.built.load().find(self.compare, value).is_some()
    }

    /// The entry that matches.
    pub fn find(&self, value: &Value<'_>) -> Option<Found> {
        let built = self.built.load();
        let (entry, output) = &built.entries[built.find(self.compare, value)?];
        Some(Found { entry: Arc::clone(entry), value: output.clone() })
    }

    /// What comes out for a value.
    pub fn look_up(&self, value: &Value<'_>) -> Option<Value<'static>> {
        let built = self.built.load();
        let at = built.find(self.compare, value)?;
        let (entry, output) = &built.entries[at];
        match (&built.keys, self.wanted) {
            (Keys::Regexes(list), Wanted::Expanded) => {
                let text = value.clone().into_text();
                let groups = list[at].captures(&text)?;
                let mut out = Vec::new();
                expand(entry.value.as_deref().unwrap_or_default(), &groups, &mut out);
                Some(Value::owned(out))
            }
            _ => output.clone(),
        }
    }
}

fn output(wanted: Wanted, entry: &Entry) -> Result<Option<Value<'static>>, String> {
    let value = entry.value.as_deref().unwrap_or_default();
    let shown = || String::from_utf8_lossy(value).into_owned();
    let text = std::str::from_utf8(value).unwrap_or_default();
    Ok(Some(match wanted {
        Wanted::Nothing => return Ok(None),
        Wanted::Text | Wanted::Expanded => Value::owned(value),
        Wanted::Key => Value::owned(&*entry.key),
        Wanted::Int => Value::Int(text.parse().map_err(|_| format!("'{}' is no number", shown()))?),
        Wanted::Address => Value::Address(text.parse().map_err(|_| format!("'{}' is no address", shown()))?),
    }))
}

fn check_key(compare: Compare, key: &[u8]) -> Result<(), String> {
    match compare {
        Compare::Text { .. } => Ok(()),
        Compare::Bytes => bytes(key).map(drop),
        Compare::Regex { ignore_case } => regex(key, ignore_case).map(drop),
        Compare::Int | Compare::Length => range(key).map(drop),
        Compare::Address => network(key).map(drop),
    }
}

fn bytes(key: &[u8]) -> Result<Box<[u8]>, String> {
    let digits: Option<Vec<u32>> = key.iter().map(|b| (*b as char).to_digit(16)).collect();
    let digits = digits.filter(|d| d.len().is_multiple_of(2));
    let wrong = || format!("'{}' is no row of hexadecimal digits", String::from_utf8_lossy(key));
    Ok(digits.ok_or_else(wrong)?.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

fn regex(key: &[u8], ignore_case: bool) -> Result<Regex, String> {
    let pattern = String::from_utf8_lossy(key);
    RegexBuilder::new(&pattern)
        .unicode(false)
        .case_insensitive(ignore_case)
        .size_limit(4 << 20)
        .build()
        .map_err(|error| {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            format!("regex '{pattern}' is invalid ({reason})")
        })
}

/// `5`, `1:5`, `:5`, `5:`.
fn range(key: &[u8]) -> Result<IntRange, String> {
    let text = String::from_utf8_lossy(key);
    let wrong = || format!("'{text}' is not a number");
    let end =
        |text: &str, open: i64| if text.is_empty() { Ok(open) } else { text.parse().map_err(|_| wrong()) };
    match text.split_once(':') {
        Some((from, to)) => Ok(IntRange { from: end(from, i64::MIN)?, to: end(to, i64::MAX)? }),
        None => text.parse().map(|n| IntRange { from: n, to: n }).map_err(|_| wrong()),
    }
}

fn network(key: &[u8]) -> Result<Network, String> {
    let text = String::from_utf8_lossy(key);
    text.parse().map_err(|_| format!("'{text}' is not a valid IPv4 or IPv6 address."))
}

impl Built {
    fn new(compare: Compare, wanted: Wanted, list: &[Arc<Entry>]) -> Result<Built, (Place, String)> {
        let mut entries = Vec::with_capacity(list.len());
        for entry in list {
            let output = output(wanted, entry).map_err(|what| (entry.place.clone(), what))?;
            entries.push((Arc::clone(entry), output));
        }
        Ok(Built { keys: Keys::new(compare, list)?, entries })
    }

    fn find(&self, compare: Compare, value: &Value<'_>) -> Option<usize> {
        match (&self.keys, compare) {
            (Keys::Ranges(list), Compare::Length) => {
                let length = value.clone().into_text().len() as i64;
                list.iter().position(|range| range.holds(length))
            }
            (Keys::Ranges(list), _) => {
                let n = value.to_int()?;
                list.iter().position(|range| range.holds(n))
            }
            (Keys::Networks(lengths), _) => narrowest(lengths, canonical(value.to_address()?)),
            (_, Compare::Text { how, ignore_case }) => {
                with_text(value, ignore_case, |text| self.find_text(how, text))
            }
            _ => with_text(value, false, |text| self.find_text(TextMatch::Exact, text)),
        }
    }

    fn find_text(&self, how: TextMatch, text: &[u8]) -> Option<usize> {
        match &self.keys {
            Keys::Exact(map) => map.get(text).copied(),
            Keys::Prefix(prefixes) => prefixes.longest(text),
            Keys::Texts(list) => list.iter().position(|key| accepts_text(how, key, text)),
            Keys::Regexes(list) => list.iter().position(|re| re.is_match(text)),
            Keys::Networks(_) | Keys::Ranges(_) => None,
        }
    }
}

fn with_text(
    value: &Value<'_>,
    ignore_case: bool,
    find: impl FnOnce(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let text = match value {
        Value::Text(text) => text.as_ref(),
        other => return find(&other.clone().into_text()),
    };
    if ignore_case && text.iter().any(u8::is_ascii_uppercase) {
        return find(&text.to_ascii_lowercase());
    }
    find(text)
}

fn narrowest(
    lengths: &BTreeMap<(bool, std::cmp::Reverse<u8>), HashMap<IpAddr, usize>>,
    address: IpAddr,
) -> Option<usize> {
    lengths
        .iter()
        .filter(|((v4, _), _)| *v4 == address.is_ipv4())
        .find_map(|((_, bits), networks)| networks.get(&Network::new(address, bits.0)?.address()).copied())
}

impl Keys {
    fn new(compare: Compare, list: &[Arc<Entry>]) -> Result<Keys, (Place, String)> {
        fn each<T>(
            list: &[Arc<Entry>],
            read: impl Fn(&[u8]) -> Result<T, String>,
        ) -> Result<Vec<T>, (Place, String)> {
            list.iter().map(|entry| read(&entry.key).map_err(|what| (entry.place.clone(), what))).collect()
        }
        Ok(match compare {
            Compare::Text { how, ignore_case } => {
                let fold =
                    |key: &[u8]| Ok(if ignore_case { key.to_ascii_lowercase().into() } else { key.into() });
                let keys: Vec<Box<[u8]>> = each(list, fold)?;
                match how {
                    TextMatch::Exact => Keys::Exact(first_of_each(keys)),
                    TextMatch::Prefix => Keys::Prefix(Prefixes::new(keys)),
                    _ => Keys::Texts(keys),
                }
            }
            Compare::Bytes => Keys::Exact(first_of_each(each(list, bytes)?)),
            Compare::Regex { ignore_case } => Keys::Regexes(each(list, |key| regex(key, ignore_case))?),
            Compare::Int | Compare::Length => Keys::Ranges(each(list, range)?),
            Compare::Address => {
                let mut lengths: BTreeMap<_, HashMap<IpAddr, usize>> = BTreeMap::new();
                for (at, network) in each(list, network)?.into_iter().enumerate() {
                    let length = (network.is_ipv4(), std::cmp::Reverse(network.prefix()));
                    lengths.entry(length).or_default().entry(network.address()).or_insert(at);
                }
                Keys::Networks(lengths)
            }
        })
    }
}

fn first_of_each(keys: Vec<Box<[u8]>>) -> HashMap<Box<[u8]>, usize> {
    let mut map = HashMap::with_capacity(keys.len());
    for (at, key) in keys.into_iter().enumerate() {
        map.entry(key).or_insert(at);
    }
    map
}

impl Prefixes {
    fn new(keys: Vec<Box<[u8]>>) -> Prefixes {
        let mut keys: Vec<(Box<[u8]>, usize)> = keys.into_iter().zip(0..).collect();
        keys.sort();
        keys.dedup_by(|later, first| later.0 == first.0);
        let mut sorted: Vec<(Box<[u8]>, usize, Option<usize>)> = Vec::with_capacity(keys.len());
        for (key, at) in keys {
            let mut parent = sorted.len().checked_sub(1);
            while let Some(index) = parent.filter(|index| !key.starts_with(&sorted[*index].0)) {
                parent = sorted[index].2;
            }
            sorted.push((key, at, parent));
        }
        Prefixes { sorted }
    }

    /// Whatever sorts between a text and the longest key it begins with begins with that key too, so the way up
    /// from the last key not behind the text leads there.
    fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut index = self.sorted.partition_point(|(key, ..)| **key <= *text).checked_sub(1);
        while let Some(at) = index {
            let (key, entry, parent) = &self.sorted[at];
            if text.starts_with(key) {
                return Some(*entry);
            }
            index = *parent;
        }
        None
    }
}
