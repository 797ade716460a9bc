//! Lists of patterns that may change while they are used: files of ACLs and maps.
//!
//! A [`List`] keeps what was said, in order: keys, and values of maps. Each use of it is an [`Index`]: the same
//! entries made ready for one way of comparing. Readers take the snapshot of an index without a lock; a change
//! makes new snapshots of all uses of the list, or none when an entry fits one of them not.

mod index;

use crate::place::Place;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

pub use index::{Compare, Found, Index, Wanted};

/// A key and, in maps, its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names the entry as long as it lives.
    pub id: u64,
    /// What is compared.
    pub key: Box<[u8]>,
    /// What it is mapped to.
    pub value: Option<Box<[u8]>>,
    /// Where it was said.
    pub place: Place,
}

/// The entries of a list at one moment.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Version in use.
    pub version: u32,
    /// In order.
    pub list: Vec<Arc<Entry>>,
}

/// A list of patterns with a name.
pub struct List {
    /// Number, for commands.
    pub id: u32,
    /// Name: the file it was read from; empty for one that has only its number.
    pub name: Box<str>,
    current: ArcSwap<Entries>,
    writer: Mutex<Writer>,
}

/// What writers share.
#[derive(Default)]
struct Writer {
    next_id: u64,
    /// The version asked for last.
    next_version: u32,
    /// Entries of versions that are not in use yet.
    prepared: BTreeMap<u32, Vec<Arc<Entry>>>,
    uses: Vec<Use>,
}

struct Use {
    index: Weak<Index>,
    place: Place,
    is_map: bool,
}

/// A use of a list, for listings.
#[derive(Clone, Debug)]
pub struct UseView {
    /// Where.
    pub place: Place,
    /// By a map, otherwise by an ACL.
    pub is_map: bool,
    /// The index.
    pub index: Arc<Index>,
}

/// Which entries are meant.
#[derive(Clone, Copy, Debug)]
pub enum Which<'k> {
    /// Those with this key.
    Key(&'k [u8]),
    /// The one of this number.
    Id(u64),
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// An entry does not fit the way in which the list is compared; the reason.
    Unfit(String),
    /// No such entry.
    NotFound,
    /// The version was never asked for.
    VersionUnknown,
}

/// Most entries of all versions of a list.
pub const MAX_ENTRIES: usize = 4_000_000;

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "List(#{} {})", self.id, self.name)
    }
}

impl Which<'_> {
    fn means(self, entry: &Entry) -> bool {
        match self {
            Which::Key(key) => *entry.key == *key,
            Which::Id(id) => entry.id == id,
        }
    }
}

impl List {
    /// A list of these entries: key, value, place.
    pub fn new(
        id: u32,
        name: &str,
        entries: impl IntoIterator<Item = (Box<[u8]>, Option<Box<[u8]>>, Place)>,
    ) -> Arc<List> {
        let list: Vec<Arc<Entry>> = entries
            .into_iter()
            .zip(1..)
            .map(|((key, value, place), id)| Arc::new(Entry { id, key, value, place }))
            .collect();
        let writer = Writer { next_id: list.len() as u64 + 1, ..Writer::default() };
        let current = ArcSwap::from_pointee(Entries { version: 0, list });
        Arc::new(List { id, name: name.into(), current, writer: Mutex::new(writer) })
    }

    /// A use of this list.
    ///
    /// # Errors
    /// The first entry that does not fit, and why.
    pub fn used(
        self: &Arc<List>,
        compare: Compare,
        wanted: Wanted,
        place: &Place,
    ) -> Result<Arc<Index>, (Place, String)> {
        let mut writer = self.writer.lock();
        let is_map = wanted != Wanted::Nothing;
        let index = Arc::new(Index::new(Arc::clone(self), compare, wanted, &self.current.load())?);
        writer.uses.push(Use { index: Arc::downgrade(&index), place: place.clone(), is_map });
        Ok(index)
    }

    /// The entries in use.
    pub fn entries(&self) -> Arc<Entries> {
        self.current.load_full()
    }

    /// The entries of a version; none when it has none.
    pub fn entries_of(&self, version: u32) -> Vec<Arc<Entry>> {
        let current = self.entries();
        if current.version == version {
            return current.list.clone();
        }
        self.writer.lock().prepared.get(&version).cloned().unwrap_or_default()
    }

    /// The version asked for last.
    pub fn next_version(&self) -> u32 {
        self.writer.lock().next_version
    }

    /// All uses that are still there.
    pub fn uses(&self) -> Vec<UseView> {
        let view =
            |u: &Use| Some(UseView { place: u.place.clone(), is_map: u.is_map, index: u.index.upgrade()? });
        self.writer.lock().uses.iter().filter_map(view).collect()
    }

    /// Adds entries at the end, to the version in use or to one being prepared.
    ///
    /// # Errors
    /// An entry that fits not, or an unknown version; then nothing is added.
    pub fn add(
        &self,
        version: Option<u32>,
        entries: impl IntoIterator<Item = (Box<[u8]>, Option<Box<[u8]>>)>,
    ) -> Result<(), ListError> {
        let mut writer = self.writer.lock();
        let current = self.entries();
        let version = version.unwrap_or(current.version);
        if version > writer.next_version || version < current.version {
            return Err(ListError::VersionUnknown);
        }
        let mut new = Vec::new();
        for (key, value) in entries {
            let entry = Entry { id: writer.next_id, key, value, place: Place::none() };
            writer.next_id += 1;
            writer.check(&entry)?;
            new.push(Arc::new(entry));
        }
        let prepared: usize = writer.prepared.values().map(Vec::len).sum();
        if current.list.len() + prepared + new.len() > MAX_ENTRIES {
            return Err(ListError::Unfit("the list is full".to_owned()));
        }
        if version != current.version {
            writer.prepared.entry(version).or_default().extend(new);
            return Ok(());
        }
        let mut list = current.list.clone();
        list.extend(new);
        self.put(&writer, version, list)
    }

    /// Gives entries in use another value.
    ///
    /// # Errors
    /// No such entry, or a value that fits not.
    pub fn set(&self, which: Which<'_>, value: &[u8]) -> Result<(), ListError> {
        let writer = self.writer.lock();
        let current = self.entries();
        let mut found = false;
        let mut list = current.list.clone();
        for entry in list.iter_mut().filter(|entry| which.means(entry)) {
            found = true;
            *entry = Arc::new(Entry { value: Some(value.into()), ..Entry::clone(entry) });
            writer.check(entry)?;
        }
        if found { self.put(&writer, current.version, list) } else { Err(ListError::NotFound) }
    }

    /// Gives entries in use another value, or adds one.
    ///
    /// # Errors
    /// An entry that fits not.
    pub fn set_or_add(&self, key: &[u8], value: &[u8]) -> Result<(), ListError> {
        match self.set(Which::Key(key), value) {
            Err(ListError::NotFound) => self.add(None, [(key.into(), Some(value.into()))]),
            done => done,
        }
    }

    /// Adds a key without a value unless it is there.
    ///
    /// # Errors
    /// A key that fits not.
    pub fn add_missing(&self, key: &[u8]) -> Result<(), ListError> {
        if self.entries().list.iter().any(|entry| *entry.key == *key) {
            return Ok(());
        }
        self.add(None, [(key.into(), None)])
    }

    /// Removes entries from the version in use.
    ///
    /// # Errors
    /// No such entry.
    pub fn remove(&self, which: Which<'_>) -> Result<(), ListError> {
        let writer = self.writer.lock();
        let current = self.entries();
        let kept: Vec<Arc<Entry>> =
            current.list.iter().filter(|entry| !which.means(entry)).cloned().collect();
        if kept.len() == current.list.len() {
            return Err(ListError::NotFound);
        }
        self.put(&writer, current.version, kept)
    }

    /// Removes all entries of a version; of the one in use when none is given.
    pub fn clear(&self, version: Option<u32>) {
        let mut writer = self.writer.lock();
        let current = self.entries();
        match version {
            Some(version) if version != current.version => drop(writer.prepared.remove(&version)),
            _ => drop(self.put(&writer, current.version, Vec::new())), // nothing cannot fit not
        }
    }

    /// Begins a new version; its number.
    pub fn prepare(&self) -> u32 {
        let mut writer = self.writer.lock();
        writer.next_version += 1;
        writer.next_version
    }

    /// Puts a version in place of the one in use; those before it go.
    ///
    /// # Errors
    /// The version was never asked for or is older than the one in use.
    pub fn commit(&self, version: u32) -> Result<(), ListError> {
        let mut writer = self.writer.lock();
        let current = self.entries();
        if version > writer.next_version || version < current.version {
            return Err(ListError::VersionUnknown);
        }
        if version == current.version {
            return Ok(());
        }
        let list = writer.prepared.remove(&version).unwrap_or_default();
        writer.prepared.retain(|prepared, _| *prepared > version);
        self.put(&writer, version, list)
    }

    /// Makes new snapshots of all uses, then shows them.
    fn put(&self, writer: &Writer, version: u32, list: Vec<Arc<Entry>>) -> Result<(), ListError> {
        let entries = Entries { version, list };
        for use_ in writer.uses.iter().filter_map(|u| u.index.upgrade()) {
            use_.replace(&entries).map_err(|(_, what)| ListError::Unfit(what))?;
        }
        self.current.store(Arc::new(entries));
        Ok(())
    }
}

impl Writer {
    fn check(&self, entry: &Entry) -> Result<(), ListError> {
        let uses = self.uses.iter().filter_map(|u| u.index.upgrade());
        uses.into_iter().try_for_each(|index| index.check(entry)).map_err(ListError::Unfit)
    }
}

/// Lists by name and number, for commands and actions.
#[derive(Clone, Debug, Default)]
pub struct Lists(pub Vec<Arc<List>>);

impl Lists {
    /// The list of that name, or of the number behind a `#`.
    pub fn named(&self, name: &str) -> Option<&Arc<List>> {
        match name.strip_prefix('#') {
            Some(id) => {
                let id: u32 = id.parse().ok()?;
                self.0.iter().find(|list| list.id == id)
            }
            None => self.0.iter().find(|list| !name.is_empty() && *list.name == *name),
        }
    }
}

#[cfg(test)]
mod tests;
