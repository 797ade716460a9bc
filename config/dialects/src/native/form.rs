//! How a part of the plan looks in the file, said once for reading and writing.
//!
//! [`Form`] is one value; [`Fieldset`] is a map of fields: its `fields` names each field with its default,
//! and [`Fields`] either fills the fields from a node or collects those that differ from their defaults.
//! So the reader and the writer cannot disagree.

use super::emit::Out;
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Key, Kind, Node, Spot, is_nothing};
use plan::log::LogTarget;
use plan::rule::Condition;
use plan::{Place, draft::nearest};

/// A value that can stand in the file.
pub(super) trait Form: Sized {
    /// Reads it; `None` after a problem was told.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
    /// Writes it.
    fn written(&self, writer: &mut Writer) -> Out;
}

/// A map with known keys.
pub(super) trait Fieldset: Clone {
    /// The key that a value which is no map stands for: `listen: "*:80"` is `listen: { address: "*:80" }`.
    const MAIN: &'static str = "";
    /// One with every field at its default.
    fn blank() -> Self;
    /// Names every field.
    fn fields(&mut self, fields: &mut Fields<'_, '_>);
}

impl<T: Fieldset> Form for T {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<T> {
        let mut value = T::blank();
        read_into(&mut value, node, reader).then_some(value)
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let mut entries = written(self, writer);
        match entries.as_slice() {
            [] if T::MAIN.is_empty() => Out::word("true"),
            [(key, Out::Text(_) | Out::Word(_) | Out::List(_))] if key == T::MAIN => entries.remove(0).1,
            _ => Out::Map(entries),
        }
    }
}

/// Fills `value` from `node`; false after a problem that leaves nothing to go on with.
pub(super) fn read_into<T: Fieldset>(value: &mut T, node: &Node, reader: &mut Reader<'_>) -> bool {
    let (entries, main) = match &node.kind {
        Kind::Map(entries) => (entries.as_slice(), None),
        Kind::Scalar { text, plain: true } if T::MAIN.is_empty() && text == "true" => (&[][..], None),
        _ if !T::MAIN.is_empty() && !is_nothing(node) => (&[][..], Some((T::MAIN, node))),
        _ => {
            reader.problem(node.spot, "a map (key: value) is expected here", "");
            return false;
        }
    };
    let mut fields = Fields::Read { reader, spot: node.spot, entries, main, known: Vec::new() };
    value.fields(&mut fields);
    fields.end();
    true
}

/// The entries of a map.
pub(super) fn written<T: Fieldset>(value: &T, writer: &mut Writer) -> Vec<(String, Out)> {
    let mut fields = Fields::Write { writer, entries: Vec::new() };
    value.clone().fields(&mut fields);
    match fields {
        Fields::Write { entries, .. } => entries,
        Fields::Read { .. } => Vec::new(),
    }
}

/// A map that is read, or written.
pub(super) enum Fields<'f, 's> {
    /// Fields are filled from a node.
    Read {
        reader: &'f mut Reader<'s>,
        spot: Spot,
        entries: &'f [(Key, Node)],
        main: Option<(&'static str, &'f Node)>,
        known: Vec<&'static str>,
    },
    /// Fields are collected.
    Write { writer: &'f mut Writer, entries: Vec<(String, Out)> },
}

impl<'f> Fields<'f, '_> {
    /// A field with a default that is left out.
    pub(super) fn value<T: Form + PartialEq>(&mut self, name: &'static str, slot: &mut T, default: &T) {
        let write = |value: &T, writer: &mut Writer| (value != default).then(|| value.written(writer));
        self.with(name, slot, T::read, write);
    }

    /// A field that is always there.
    pub(super) fn required<T: Form>(&mut self, name: &'static str, slot: &mut T) {
        self.must_have(name);
        self.with(name, slot, T::read, |value, writer| Some(value.written(writer)));
    }

    /// A field that is always there and has no value to begin with.
    pub(super) fn needed<T: Form>(&mut self, name: &'static str, slot: &mut Option<T>) {
        self.must_have(name);
        self.option(name, slot);
    }

    fn must_have(&mut self, name: &str) {
        if let Fields::Read { reader, spot, entries, main, .. } = self
            && main.is_none_or(|(key, _)| key != name)
            && !entries.iter().any(|(key, _)| key.text == name)
        {
            reader.problem(*spot, format!("'{name}' is missing here"), "");
        }
    }

    /// The number of a site, pool or server, when it is not the one that its position gives.
    pub(super) fn id(&mut self, slot: &mut u32) {
        let counted = match self {
            Fields::Read { reader, .. } => reader.id,
            Fields::Write { writer, .. } => writer.id,
        };
        if self.reads() {
            *slot = counted;
        }
        self.value("id", slot, &counted);
    }

    /// Log targets of the process.
    pub(super) fn process_logs(&self) -> Vec<LogTarget> {
        match self {
            Fields::Read { reader, .. } => reader.logs.clone(),
            Fields::Write { writer, .. } => writer.logs.clone(),
        }
    }

    /// True when a file is read.
    pub(super) fn reads(&self) -> bool {
        matches!(self, Fields::Read { .. })
    }

    /// A field that may be there.
    pub(super) fn option<T: Form>(&mut self, name: &'static str, slot: &mut Option<T>) {
        let read = |node: &Node, reader: &mut Reader<'_>| T::read(node, reader).map(Some);
        self.with(name, slot, read, |value, writer| value.as_ref().map(|v| v.written(writer)));
    }

    /// A yes or no; no is left out.
    pub(super) fn flag(&mut self, name: &'static str, slot: &mut bool) {
        self.value(name, slot, &false);
    }

    /// A list; an empty one is left out.
    pub(super) fn list<T: Form>(&mut self, name: &'static str, slot: &mut Vec<T>) {
        self.with(
            name,
            slot,
            |node, reader| Some(read_list(node, reader)),
            |list, writer| (!list.is_empty()).then(|| write_list(list, writer)),
        );
    }

    /// As `list`, each part on its own line.
    pub(super) fn lines<T: Form>(&mut self, name: &'static str, slot: &mut Vec<T>) {
        self.with(
            name,
            slot,
            |node, reader| Some(read_list(node, reader)),
            |list, writer| (!list.is_empty()).then(|| write_list(list, writer).block()),
        );
    }

    /// Names with values, in order; an empty list is left out.
    pub(super) fn pairs<T: Form>(&mut self, name: &'static str, slot: &mut Vec<(String, T)>) {
        self.with(name, slot, read_pairs, |pairs, writer| {
            (!pairs.is_empty()).then(|| write_pairs(pairs, writer))
        });
    }

    /// A condition; the one that always holds is left out.
    pub(super) fn condition(&mut self, name: &'static str, slot: &mut Condition) {
        let write = |condition: &Condition, writer: &mut Writer| {
            (!matches!(condition, Condition::Always)).then(|| condition.written(writer))
        };
        self.with(name, slot, Condition::read, write);
    }

    /// A field with forms of its own. `write` says `None` to leave it out.
    pub(super) fn with<T>(
        &mut self,
        name: &'static str,
        slot: &mut T,
        read: impl FnOnce(&Node, &mut Reader<'_>) -> Option<T>,
        write: impl FnOnce(&T, &mut Writer) -> Option<Out>,
    ) {
        if let Fields::Write { writer, entries } = self {
            entries.extend(write(slot, writer).map(|out| (name.to_owned(), out)));
        } else if let Some(node) = self.node(name)
            && let Fields::Read { reader, .. } = self
            && let Some(value) = read(node, reader)
        {
            *slot = value;
        }
    }

    /// Takes over the place of the map, for problems that are found later.
    pub(super) fn place(&mut self, slot: &mut Place) {
        match self {
            Fields::Read { reader, spot, .. } => *slot = reader.place(*spot),
            Fields::Write { writer, .. } => writer.place = slot.clone(),
        }
    }

    /// Tells a problem when the file is read.
    pub(super) fn refuse(&mut self, what: &str, hint: &str) {
        if let Fields::Read { reader, spot, .. } = self {
            reader.problem(*spot, what, hint);
        }
    }

    /// Tells a problem when something is there that the file has no words for yet.
    pub(super) fn unsaid(&mut self, is_there: bool, what: &str) {
        if let Fields::Write { writer, .. } = self
            && is_there
        {
            writer.unsaid(what);
        }
    }

    /// The node of a field; a field without a value is a problem.
    fn node(&mut self, name: &'static str) -> Option<&'f Node> {
        let Fields::Read { reader, entries, main, known, .. } = self else { return None };
        known.push(name);
        let said = entries.iter().find(|(key, _)| key.text == name);
        if let Some((key, node)) = said
            && is_nothing(node)
        {
            reader.problem(key.spot, format!("'{name}' has no value"), "write one, or remove the key");
            return None;
        }
        said.map(|(_, node)| node).or(main.filter(|(key, _)| *key == name).map(|(_, node)| node))
    }

    /// Reports the keys that nobody asked for.
    fn end(self) {
        let Fields::Read { reader, entries, known, .. } = self else { return };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let mut hint = nearest(&key.text, known.iter().copied());
            if hint.is_empty() && known.len() <= 24 {
                hint = format!("known here: {}", known.join(", "));
            }
            reader.problem(key.spot, format!("'{}' is not known here", key.text), hint);
        }
    }
}

/// A list; a value that is no list counts as a list of one.
pub(super) fn read_list<T: Form>(node: &Node, reader: &mut Reader<'_>) -> Vec<T> {
    match &node.kind {
        Kind::List(list) => list.iter().filter_map(|item| T::read(item, reader)).collect(),
        _ => T::read(node, reader).into_iter().collect(),
    }
}

/// A list.
pub(super) fn write_list<T: Form>(list: &[T], writer: &mut Writer) -> Out {
    Out::List(list.iter().map(|item| item.written(writer)).collect())
}

/// Names with values: a map, or a list of maps when a name comes twice.
pub(super) fn read_pairs<T: Form>(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<(String, T)>> {
    let maps: Vec<&Node> = match &node.kind {
        Kind::List(list) => list.iter().collect(),
        _ => vec![node],
    };
    let mut pairs = Vec::new();
    for map in maps {
        let Kind::Map(entries) = &map.kind else {
            reader.problem(map.spot, "names with values (name: value) are expected here", "");
            return None;
        };
        for (key, value) in entries {
            pairs.extend(T::read(value, reader).map(|value| (key.text.clone(), value)));
        }
    }
    Some(pairs)
}

/// Names with values.
pub(super) fn write_pairs<T: Form>(pairs: &[(String, T)], writer: &mut Writer) -> Out {
    let list: Vec<(String, Out)> =
        pairs.iter().map(|(name, value)| (name.clone(), value.written(writer))).collect();
    let mut names = std::collections::HashSet::new();
    if list.iter().all(|(name, _)| names.insert(name.clone())) {
        return Out::Map(list);
    }
    Out::List(list.into_iter().map(|pair| Out::Map(vec![pair])).collect())
}
