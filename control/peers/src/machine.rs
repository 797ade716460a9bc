//! One conversation with a peer, without its connection: what comes changes the tables, what changed goes out.

use plan::table::{Datum, KeyKind};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use tables::{Entry, Key, Rate, Table};
use wire::peers::{
    Cursor, DICTIONARY, Definition, Malformed, Message, Shape, Update, Wire, put_int, read_status, shape,
};

/// Updates that are written at once, so that what comes is heard in between.
const BATCH: usize = 200;
/// Tables that a peer may define.
const MOST_TABLES: usize = 1024;

/// A conversation behind its greeting.
pub struct Machine {
    tables: Vec<Ours>,
    theirs: HashMap<u32, Theirs>,
    /// The table that updates from the other side are about.
    hearing: Option<u32>,
    /// The table that our updates are about.
    telling: Option<usize>,
    words: Box<[Option<Box<str>>; DICTIONARY]>,
    teach: Option<Teach>,
    /// The other side understands times and heartbeats.
    modern: bool,
    /// We know all that others know.
    pub complete: bool,
}

/// A table of ours and how far it was told.
struct Ours {
    table: Arc<Table>,
    defined: bool,
    told: u64,
}

/// A table of theirs.
struct Theirs {
    definition: Definition,
    /// Ours of the same name, when keys agree.
    table: Option<Arc<Table>>,
    heard: u32,
    acked: u32,
}

/// Entries that are taught on request: tables that are left, entries of the present one.
struct Teach {
    tables: Vec<usize>,
    present: usize,
    entries: Vec<Arc<Entry>>,
}

impl Machine {
    /// A conversation about these tables. `complete`: nothing is to be learned; otherwise all is asked for.
    pub fn new(tables: &[Arc<Table>], modern: bool, complete: bool, out: &mut Vec<u8>) -> Machine {
        if !complete {
            Message::ResyncRequest.write(out);
        }
        Machine {
            tables: tables
                .iter()
                .map(|table| Ours { table: Arc::clone(table), defined: false, told: 0 })
                .collect(),
            theirs: HashMap::new(),
            hearing: None,
            telling: None,
            words: Box::new([const { None }; DICTIONARY]),
            teach: None,
            modern,
            complete,
        }
    }

    /// Takes messages from the front of `bytes`; gives how many bytes it took.
    ///
    /// # Errors
    /// The other side speaks wrongly, or says that we do: the conversation is over.
    pub fn hear(&mut self, bytes: &[u8], now: u64, out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut at = 0;
        while let Some((message, length)) = Message::read(&bytes[at..])? {
            at += length;
            match message {
                Message::ResyncRequest => self.teach_all(),
                Message::ResyncFinished | Message::ResyncPartial => {
                    self.complete |= message == Message::ResyncFinished;
                    Message::ResyncConfirm.write(out);
                }
                Message::ResyncConfirm | Message::Heartbeat | Message::Other => {}
                Message::Error => return Err(Malformed),
                Message::Define(data) => self.define(Definition::read(data)?)?,
                Message::Switch(number) => {
                    self.hearing = Some(number).filter(|number| self.theirs.contains_key(number));
                    self.hearing.ok_or(Malformed)?;
                }
                Message::Ack(..) => {}
                Message::Update(update) => self.learn(&update, now)?,
            }
        }
        Ok(at)
    }

    fn define(&mut self, definition: Definition) -> Result<(), Malformed> {
        if self.theirs.len() >= MOST_TABLES {
            return Err(Malformed);
        }
        let same = |ours: &&Ours| {
            shared_name(&ours.table) == definition.name
                && key_type(ours.table.plan.key) == (definition.key_type, definition.key_length)
        };
        let table = self.tables.iter().find(same).map(|ours| Arc::clone(&ours.table));
        let number = definition.number;
        let before = self.theirs.remove(&number);
        let (heard, acked) = before.map_or((0, 0), |before| (before.heard, before.acked));
        self.theirs.insert(number, Theirs { definition, table, heard, acked });
        self.hearing = Some(number);
        Ok(())
    }

    fn learn(&mut self, update: &Update<'_>, now: u64) -> Result<(), Malformed> {
        let theirs = self.hearing.and_then(|number| self.theirs.get_mut(&number)).ok_or(Malformed)?;
        theirs.heard = update.number.unwrap_or_else(|| theirs.heard.wrapping_add(1));
        let mut cursor = Cursor(update.data);
        let key = theirs.definition.key(&mut cursor).ok_or(Malformed)?;
        let table = theirs.table.clone();
        let key = table.as_ref().and_then(|table| key_of(table.plan.key, key));
        let entry = table.as_ref().zip(key).and_then(|(table, key)| table.obtain(&key, now));
        let words = &mut self.words;
        let definition = &theirs.definition;
        definition.values(&mut cursor, |bit, element, value| {
            let word = word_of(words, value)?;
            if let (Some(table), Some(entry)) = (&table, &entry) {
                let period = definition.parameters.iter().find(|(b, ..)| *b == bit).map_or(0, |(.., ms)| *ms);
                take_over(table, entry, (bit, element), value, word, period, now);
            }
            Ok(())
        })?;
        if let (Some(table), Some(entry), Some(left)) = (&table, &entry, update.expires_ms) {
            table.set_expiry(entry, left.into(), now);
        }
        Ok(())
    }

    fn teach_all(&mut self) {
        let tables: Vec<usize> = (0..self.tables.len()).collect();
        self.teach = Some(Teach { tables, present: 0, entries: Vec::new() });
    }

    /// Writes what is to be told: acknowledgements, entries that were asked for, changes. A part at a time: call
    /// it again until it writes nothing.
    pub fn tell(&mut self, now: u64, out: &mut Vec<u8>) {
        for (number, theirs) in &mut self.theirs {
            if theirs.heard != theirs.acked {
                theirs.acked = theirs.heard;
                Message::Ack(*number, theirs.heard).write(out);
            }
        }
        if self.teach.is_some() {
            return self.tell_lesson(now, out);
        }
        for index in 0..self.tables.len() {
            self.tell_changes(index, now, out);
        }
    }

    fn tell_lesson(&mut self, now: u64, out: &mut Vec<u8>) {
        let Some(teach) = &mut self.teach else { return };
        if teach.entries.is_empty() {
            match teach.tables.pop() {
                Some(index) => {
                    teach.present = index;
                    teach.entries = self.tables[index].table.entries();
                }
                None => {
                    self.teach = None;
                    let end = if self.complete { Message::ResyncFinished } else { Message::ResyncPartial };
                    return end.write(out);
                }
            }
        }
        let Some(teach) = &mut self.teach else { return };
        let from = teach.entries.len().saturating_sub(BATCH);
        let (index, part) = (teach.present, teach.entries.split_off(from));
        self.name_table(index, out);
        for entry in part {
            self.write_entry(index, &entry, Some(0), now, out);
        }
    }

    fn tell_changes(&mut self, index: usize, now: u64, out: &mut Vec<u8>) {
        let ours = &self.tables[index];
        let Some(journal) = &ours.table.journal else { return };
        let changes = journal.after(ours.told, BATCH);
        if changes.is_empty() {
            return;
        }
        self.name_table(index, out);
        for (number, entry) in changes {
            self.tables[index].told = number;
            self.write_entry(index, &entry, Some(number as u32), now, out);
        }
    }

    /// Says which table follows: by its definition the first time.
    fn name_table(&mut self, index: usize, out: &mut Vec<u8>) {
        let ours = &mut self.tables[index];
        if !ours.defined {
            ours.defined = true;
            let mut data = Vec::new();
            definition(&ours.table, index as u32 + 1).write(&mut data);
            Message::Define(&data).write(out);
        } else if self.telling != Some(index) {
            Message::Switch(index as u32 + 1).write(out);
        }
        self.telling = Some(index);
    }

    fn write_entry(&self, index: usize, entry: &Entry, number: Option<u32>, now: u64, out: &mut Vec<u8>) {
        let table = &self.tables[index].table;
        let mut data = Vec::new();
        write_key(table.plan.key, &entry.key, &mut data);
        for stored in table.layout.stored() {
            for element in 0..stored.count as u8 {
                write_value(table, entry, stored.datum, element, now, &mut data);
            }
        }
        let left = table.expires_in(entry, now).unwrap_or(0);
        let expires_ms = self.modern.then(|| u32::try_from(left).unwrap_or(u32::MAX));
        Message::Update(Update { number, expires_ms, data: &data }).write(out);
    }

    /// True when the other side wants to hear that we are there.
    pub fn is_modern(&self) -> bool {
        self.modern
    }
}

/// Name of a table among peers: of one in a `peers` section the part behind the section's name.
fn shared_name(table: &Table) -> &str {
    let name = &table.plan.name;
    name.find('/').map_or(name, |at| &name[at..])
}

fn key_type(kind: KeyKind) -> (u32, u32) {
    match kind {
        KeyKind::Integer => (2, 4),
        KeyKind::Ipv4 => (4, 4),
        KeyKind::Ipv6 => (5, 16),
        KeyKind::Text(length) => (6, length + 1),
        KeyKind::Binary(length) => (7, length),
    }
}

fn key_of(kind: KeyKind, bytes: &[u8]) -> Option<Key> {
    Some(match kind {
        KeyKind::Integer => Key::Integer(u32::from_be_bytes(bytes.try_into().ok()?)),
        KeyKind::Ipv4 => Key::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        KeyKind::Ipv6 => Key::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        KeyKind::Text(length) => Key::Bytes(bytes[..bytes.len().min(length as usize)].into()),
        KeyKind::Binary(length) => Key::binary(bytes.to_vec(), length as usize),
    })
}

fn write_key(kind: KeyKind, key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::Integer(number) => out.extend_from_slice(&number.to_be_bytes()),
        Key::V4(address) => out.extend_from_slice(&address.octets()),
        Key::V6(address) => out.extend_from_slice(&address.octets()),
        Key::Bytes(bytes) => {
            if matches!(kind, KeyKind::Text(_)) {
                put_int(bytes.len() as u64, out);
            }
            out.extend_from_slice(bytes);
        }
    }
}

fn definition(table: &Table, number: u32) -> Definition {
    let (key_type, key_length) = key_type(table.plan.key);
    let mut definition = Definition {
        number,
        name: shared_name(table).to_owned(),
        key_type,
        key_length,
        data: 0,
        expire_ms: table.plan.expire.map_or(0, |life| life.as_millis() as u32),
        parameters: Vec::new(),
    };
    for stored in table.layout.stored() {
        let bit = stored.datum as u8;
        definition.data |= 1 << bit;
        let elements = if stored.datum.is_array() { stored.count.into() } else { 0 };
        if elements > 0 || stored.period_ms > 0 {
            definition.parameters.push((bit, elements, stored.period_ms));
        }
    }
    definition
}

fn write_value(table: &Table, entry: &Entry, datum: Datum, element: u8, now: u64, out: &mut Vec<u8>) {
    let Some(cell) = table.layout.cell(datum, element) else { return };
    let value = entry.read(cell, now);
    let word;
    let wire = match shape(datum as u8) {
        Some(Shape::Rate | Shape::Rates) => {
            let rate = entry.rate(cell);
            let age = now.saturating_sub(rate.began);
            let age_ms = u32::try_from(age).unwrap_or(u32::MAX >> 1);
            Wire::Rate { age_ms, current: rate.current, previous: rate.previous }
        }
        Some(Shape::Word) => {
            word = table.word(value);
            // Each time with its text: the number then means this one.
            word.as_ref().map_or(Wire::NoWord, |word| Wire::Word(1, word.as_bytes()))
        }
        _ => Wire::Number(value),
    };
    wire.write(out);
}

/// The text of a word, which is remembered by its number.
fn word_of<'w>(
    words: &'w mut [Option<Box<str>>; DICTIONARY],
    value: Wire<'_>,
) -> Result<Option<&'w str>, Malformed> {
    let number = match value {
        Wire::Known(number) => number,
        Wire::Word(number, text) => {
            let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
            let slot = words.get_mut(usize::from(number) - 1).ok_or(Malformed)?;
            *slot = Some(text.into());
            number
        }
        _ => return Ok(None),
    };
    Ok(words.get(usize::from(number) - 1).ok_or(Malformed)?.as_deref())
}

/// Takes a value over, if we store it in the same way. What says how things are here alone stays.
fn take_over(
    table: &Table,
    entry: &Entry,
    (bit, element): (u8, u8),
    value: Wire<'_>,
    word: Option<&str>,
    period_ms: u32,
    now: u64,
) {
    let Some((datum, _)) = Datum::ALL.get(usize::from(bit)).filter(|(datum, _)| !datum.is_local()) else {
        return;
    };
    let Some(cell) = table.layout.cell(*datum, element) else { return };
    match value {
        Wire::Number(number) => drop(table.set(entry, *datum, element, number, now)),
        Wire::Rate { age_ms, current, previous } if cell.period_ms == period_ms => {
            entry.set_rate(cell, Rate { began: now.saturating_sub(age_ms.into()), current, previous });
        }
        Wire::Rate { .. } => {}
        Wire::NoWord => drop(table.set(entry, *datum, element, 0, now)),
        Wire::Known(_) | Wire::Word(..) => {
            if let Some(word) = word {
                table.set(entry, *datum, element, table.number_of(word), now);
            }
        }
    }
}

/// True when a greeting was accepted; `None` until the answer is whole.
///
/// # Errors
/// It was refused, or this is no answer.
pub fn accepted(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match read_status(bytes)? {
        Some((200, length)) => Ok(Some(length)),
        Some(_) => Err(Malformed),
        None => Ok(None),
    }
}
