//! Files of ACLs and maps (`-f`, `-M`, `map_…`), and the actions that change them.
//!
//! A file is read once however often it is named; all its uses share one list, which commands and actions change.

use super::converters::casts;
use super::said::{Done, Said};
use super::sample::{Kind, Sample, Words};
use super::scene::{Scene, Shared};
use plan::Place;
use plan::rule::{Compare, Converter, Index, List, Lists, TextMatch, Value, Wanted};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

/// Lists that were named so far.
#[derive(Default)]
pub(super) struct Known {
    /// Each with whether its lines have values.
    lists: RefCell<Vec<(Arc<List>, bool)>>,
    /// Numbers given so far.
    numbers: Cell<u32>,
}

impl Known {
    /// Number of the next list or ACL.
    pub fn next_number(&self) -> u32 {
        self.numbers.replace(self.numbers.get() + 1)
    }

    /// All of them.
    pub fn take(&self) -> Lists {
        Lists(self.lists.take().into_iter().map(|(list, _)| list).collect())
    }

    fn find(&self, name: &str, is_map: bool) -> Option<Arc<List>> {
        let lists = self.lists.borrow();
        lists
            .iter()
            .find(|(list, map)| *list.name == *name && *map == is_map)
            .map(|(list, _)| Arc::clone(list))
    }

    fn add(&self, list: &Arc<List>, is_map: bool) {
        self.lists.borrow_mut().push((Arc::clone(list), is_map));
    }
}

/// The list of a file.
pub(super) fn of_file(shared: &Shared<'_>, name: &str, is_map: bool) -> Done<Arc<List>> {
    if let Some(list) = shared.lists.find(name, is_map) {
        return Ok(list);
    }
    let bytes = match name.split_once('@') {
        Some(("virt", _)) => Vec::new(),
        Some(("opt", path)) => shared.file(Path::new(path)).unwrap_or_default(),
        Some(("file", path)) => shared.file(Path::new(path))?,
        _ => shared.file(Path::new(name))?,
    };
    let list = List::new(shared.lists.next_number(), name, lines(name, &bytes, is_map));
    shared.lists.add(&list, is_map);
    Ok(list)
}

/// The list that an action changes: its file may be named by a line further down, or not exist.
pub(super) fn to_change(shared: &Shared<'_>, name: &str, is_map: bool) -> Arc<List> {
    of_file(shared, name, is_map).unwrap_or_else(|_| {
        let list = List::new(shared.lists.next_number(), name, []);
        shared.lists.add(&list, is_map);
        list
    })
}

/// A list of patterns that stand in the line itself. With a number, commands can change it.
pub(super) fn inline(
    shared: &Shared<'_>,
    number: Option<u32>,
    patterns: &[Vec<u8>],
    place: &Place,
) -> Arc<List> {
    let entries = patterns.iter().map(|key| (key.as_slice().into(), None, place.clone()));
    let list = List::new(number.unwrap_or_else(|| shared.lists.next_number()), "", entries);
    if number.is_some() {
        shared.lists.add(&list, false);
    }
    list
}

type Line = (Box<[u8]>, Option<Box<[u8]>>, Place);

/// Entries of a file: empty lines and those that begin with `#` do not count.
fn lines(name: &str, bytes: &[u8], is_map: bool) -> Vec<Line> {
    let file: Arc<str> = Arc::from(name);
    let mut list = Vec::new();
    for (line, number) in bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).zip(1..) {
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let place = Place::new(&file, number, 0);
        let end =
            line.iter().position(|b| matches!(b, b' ' | b'\t')).filter(|_| is_map).unwrap_or(line.len());
        let value = is_map.then(|| line[end..].trim_ascii().into());
        list.push((line[..end].into(), value, place));
    }
    list
}

/// A use of a list; a line that does not fit is named by its place.
pub(super) fn used(
    scene: &Scene<'_, '_>,
    list: &Arc<List>,
    compare: Compare,
    wanted: Wanted,
) -> Done<Arc<Index>> {
    list.used(compare, wanted, &scene.here).map_err(|(place, what)| Said::new(format!("{place}: {what}")))
}

/// Middle part of a map's name and how it compares.
const WAYS: &[(&str, Compare, Kind)] = &[
    ("beg", text(TextMatch::Prefix), Kind::Text),
    ("bin", Compare::Bytes, Kind::Binary),
    ("dir", text(TextMatch::Directory), Kind::Text),
    ("dom", text(TextMatch::Domain), Kind::Text),
    ("end", text(TextMatch::Suffix), Kind::Text),
    ("int", Compare::Int, Kind::Int),
    ("ip", Compare::Address, Kind::Address),
    ("len", Compare::Length, Kind::Text),
    ("reg", Compare::Regex { ignore_case: false }, Kind::Text),
    ("str", text(TextMatch::Exact), Kind::Text),
    ("sub", text(TextMatch::Substring), Kind::Text),
];

/// Last part of a map's name, what comes out and its kind.
const OUTPUTS: &[(&str, Wanted, Kind)] = &[
    ("int", Wanted::Int, Kind::Int),
    ("ip", Wanted::Address, Kind::Address),
    ("key", Wanted::Key, Kind::Text),
    ("str", Wanted::Text, Kind::Text),
];

const fn text(how: TextMatch) -> Compare {
    Compare::Text { how, ignore_case: false }
}

/// What a map's name says: how it compares, what kind goes in, what comes out and of what kind.
struct Map {
    compare: Compare,
    input: Kind,
    wanted: Wanted,
    output: Kind,
}

/// `map`, `map_beg`, `map_str_int`; `None` for another name.
fn map(name: &str) -> Option<Map> {
    let exact = text(TextMatch::Exact);
    if name == "map" {
        return Some(Map { compare: exact, input: Kind::Text, wanted: Wanted::Text, output: Kind::Text });
    }
    let rest = name.strip_prefix("map_")?;
    if rest == "regm" {
        let compare = Compare::Regex { ignore_case: false };
        return Some(Map { compare, input: Kind::Text, wanted: Wanted::Expanded, output: Kind::Text });
    }
    let (way, output) = rest.split_once('_').unwrap_or((rest, "str"));
    let (_, compare, input) = WAYS.iter().find(|(name, ..)| *name == way)?;
    let (_, wanted, output) = OUTPUTS.iter().find(|(name, ..)| *name == output)?;
    Some(Map { compare: *compare, input: *input, wanted: *wanted, output: *output })
}

/// Appends the converter of a map; `None` when this is no map's name.
pub(super) fn append_map(scene: &Scene<'_, '_>, sample: &mut Sample, words: &Words<'_>) -> Option<Done> {
    map(words.name()).map(|map| append(scene, sample, words, &map))
}

fn append(scene: &Scene<'_, '_>, sample: &mut Sample, words: &Words<'_>, map: &Map) -> Done {
    let name = words.name();
    if !casts(sample.kind, map.input) {
        let what = format!("the converter '{name}' cannot be applied behind '{}'", sample.name);
        return Err(Said::new(what).hint(format!("it takes {}", map.input.word())));
    }
    let file = words.text(0);
    if file.is_empty() || words.arguments().len() > 2 {
        return Err(Said::new(format!("'{name}' needs a file and, if there is one, a default")));
    }
    let default = match words.arguments().get(1) {
        None => None,
        Some(_) if map.wanted == Wanted::Key => {
            return Err(Said::new(format!("'{name}' takes no default")));
        }
        Some(default) => Some(default_value(map.wanted, default).ok_or_else(|| {
            Said::new(format!(
                "the default of '{name}' is no {}",
                map.output.word().trim_start_matches("an ")
            ))
        })?),
    };
    let list = of_file(scene.shared, &file, true)?;
    let index = used(scene, &list, map.compare, map.wanted)?;
    sample.expr.converters.push(Converter::LookUp(index, default));
    sample.kind = map.output;
    Ok(())
}

fn default_value(wanted: Wanted, text: &[u8]) -> Option<Value<'static>> {
    let number = || std::str::from_utf8(text).ok();
    Some(match wanted {
        Wanted::Int => Value::Int(number()?.parse().ok()?),
        Wanted::Address => Value::Address(number()?.parse().ok()?),
        _ => Value::owned(text),
    })
}
