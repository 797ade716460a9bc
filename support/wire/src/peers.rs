//! The peers protocol 2.1, by which HAProxy shares stick tables (doc/peers-v2.0.txt of HAProxy).
//!
//! A connection begins with lines ([`Hello`], a status), then messages follow. Numbers have a form of their own
//! ([`put_int`]), most others are in network order. What a table stores is told once by [`Definition`]; updates
//! hold the values in the order of its bits. Pure: bytes in, values out; every length is checked.

/// Longest message that is taken, bytes.
pub const LONGEST: usize = 65_536;
/// Longest line of a greeting, bytes.
const LONGEST_LINE: usize = 1024;
/// Numbers of the dictionary of server keys.
pub const DICTIONARY: usize = 128;

/// What cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Outcome of reading bytes that may not all be there.
pub type Read<T> = Result<Option<T>, Malformed>;

/// Appends a number: below 240 one byte, then 4 bits and 7 in each further byte.
pub fn put_int(mut value: u64, out: &mut Vec<u8>) {
    if value < 240 {
        return out.push(value as u8);
    }
    out.push(value as u8 | 240);
    value = (value - 240) >> 4;
    while value >= 128 {
        out.push(value as u8 | 128);
        value = (value - 128) >> 7;
    }
    out.push(value as u8);
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'b>(pub &'b [u8]);

impl<'b> Cursor<'b> {
    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next bytes.
    pub fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number in network order.
    pub fn u32(&mut self) -> Option<u32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    }

    /// A number in the protocol's own form; at most 10 bytes.
    pub fn int(&mut self) -> Option<u64> {
        let mut value = u64::from(self.byte()?);
        if value < 240 {
            return Some(value);
        }
        let mut shift = 4;
        loop {
            let byte = u64::from(self.byte()?);
            value = value.checked_add(byte.checked_shl(shift).filter(|n| n >> shift == byte)?)?;
            shift += 7;
            if byte < 128 {
                return Some(value);
            }
            if shift > 60 {
                return None;
            }
        }
    }

    /// A length and so many bytes.
    pub fn sized(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.int()?).ok()?;
        self.take(length)
    }
}

/// How a client begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Minor version of protocol 2.
    pub minor: u32,
    /// Name of whom it wants to reach.
    pub remote: String,
    /// Its own name.
    pub local: String,
}

impl Hello {
    /// The three lines.
    pub fn write(&self, pid: u32) -> Vec<u8> {
        format!("HAProxyS 2.{}\n{}\n{} {pid} 1\n", self.minor, self.remote, self.local).into_bytes()
    }

    /// Reads the lines; gives how many bytes they took.
    ///
    /// # Errors
    /// It is another protocol or version, or a line is too long.
    pub fn read(bytes: &[u8]) -> Read<(Hello, usize)> {
        let mut lines = Lines { bytes, at: 0 };
        let Some(version) = lines.next()? else { return Ok(None) };
        let minor = version.strip_prefix("HAProxyS 2.").and_then(|n| n.parse().ok()).ok_or(Malformed)?;
        let Some(remote) = lines.next()? else { return Ok(None) };
        let Some(own) = lines.next()? else { return Ok(None) };
        let local = own.split(' ').next().unwrap_or_default().to_owned();
        Ok(Some((Hello { minor, remote: remote.to_owned(), local }, lines.at)))
    }
}

/// Reads the line of a status; gives how many bytes it took.
///
/// # Errors
/// It is no number.
pub fn read_status(bytes: &[u8]) -> Read<(u16, usize)> {
    let mut lines = Lines { bytes, at: 0 };
    let Some(line) = lines.next()? else { return Ok(None) };
    Ok(Some((line.parse().map_err(|_| Malformed)?, lines.at)))
}

struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Lines<'b> {
    fn next(&mut self) -> Read<&'b str> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().take(LONGEST_LINE).position(|b| *b == b'\n') else {
            return if rest.len() < LONGEST_LINE { Ok(None) } else { Err(Malformed) };
        };
        self.at += end + 1;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| Malformed)?;
        Ok(Some(line.trim_end_matches('\r')))
    }
}

/// A message, its data not yet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// Wants all entries.
    ResyncRequest,
    /// All were sent, and the sender knows all.
    ResyncFinished,
    /// All were sent, but the sender does not know all.
    ResyncPartial,
    /// The last two were heard.
    ResyncConfirm,
    /// Nothing but being there.
    Heartbeat,
    /// The other side could not understand us, and closes.
    Error,
    /// A table is told: [`Definition`].
    Define(&'b [u8]),
    /// What follows is about the table of this number.
    Switch(u32),
    /// The table of this number was heard up to this update.
    Ack(u32, u32),
    /// An entry.
    Update(Update<'b>),
    /// Something that is not known.
    Other,
}

/// An entry that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'b> {
    /// Its number; `None` = the one after the last.
    pub number: Option<u32>,
    /// Milliseconds until it expires, when told.
    pub expires_ms: Option<u32>,
    /// Key and values.
    pub data: &'b [u8],
}

const CONTROL: u8 = 0;
const ERRORS: u8 = 1;
const TABLES: u8 = 10;

impl<'b> Message<'b> {
    /// Reads a message; gives how many bytes it took.
    ///
    /// # Errors
    /// A length is too large, or does not fit what is inside.
    pub fn read(bytes: &'b [u8]) -> Read<(Message<'b>, usize)> {
        let [class, kind, rest @ ..] = bytes else { return Ok(None) };
        if *kind < 128 {
            return Ok(Some((Message::short(*class, *kind), 2)));
        }
        let mut cursor = Cursor(rest);
        let Some(length) = cursor.int() else {
            return if rest.len() < 10 { Ok(None) } else { Err(Malformed) };
        };
        let length = usize::try_from(length).ok().filter(|n| *n <= LONGEST).ok_or(Malformed)?;
        let head = rest.len() - cursor.0.len();
        let Some(data) = cursor.take(length) else { return Ok(None) };
        let message = if *class == TABLES { Message::long(*kind, data)? } else { Message::Other };
        Ok(Some((message, 2 + head + length)))
    }

    fn short(class: u8, kind: u8) -> Message<'b> {
        match (class, kind) {
            (CONTROL, 0) => Message::ResyncRequest,
            (CONTROL, 1) => Message::ResyncFinished,
            (CONTROL, 2) => Message::ResyncPartial,
            (CONTROL, 3) => Message::ResyncConfirm,
            (CONTROL, 4) => Message::Heartbeat,
            (ERRORS, _) => Message::Error,
            _ => Message::Other,
        }
    }

    fn long(kind: u8, data: &'b [u8]) -> Result<Message<'b>, Malformed> {
        let mut cursor = Cursor(data);
        let number =
            |cursor: &mut Cursor<'_>| cursor.int().and_then(|n| u32::try_from(n).ok()).ok_or(Malformed);
        Ok(match kind {
            0x80 | 0x81 | 0x85 | 0x86 => {
                let numbered = matches!(kind, 0x80 | 0x85);
                let timed = kind >= 0x85;
                let next = |cursor: &mut Cursor<'_>| cursor.u32().map(Some).ok_or(Malformed);
                let number = if numbered { next(&mut cursor)? } else { None };
                let expires_ms = if timed { next(&mut cursor)? } else { None };
                Message::Update(Update { number, expires_ms, data: cursor.0 })
            }
            0x82 => Message::Define(data),
            0x83 => Message::Switch(number(&mut cursor)?),
            0x84 => {
                let table = number(&mut cursor)?;
                Message::Ack(table, cursor.u32().ok_or(Malformed)?)
            }
            _ => Message::Other,
        })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let kind = match self {
            Message::ResyncRequest => return out.extend_from_slice(&[CONTROL, 0]),
            Message::ResyncFinished => return out.extend_from_slice(&[CONTROL, 1]),
            Message::ResyncPartial => return out.extend_from_slice(&[CONTROL, 2]),
            Message::ResyncConfirm => return out.extend_from_slice(&[CONTROL, 3]),
            Message::Heartbeat => return out.extend_from_slice(&[CONTROL, 4]),
            Message::Error | Message::Other => return out.extend_from_slice(&[ERRORS, 0]),
            Message::Define(bytes) => {
                data.extend_from_slice(bytes);
                0x82
            }
            Message::Switch(table) => {
                put_int((*table).into(), &mut data);
                0x83
            }
            Message::Ack(table, update) => {
                put_int((*table).into(), &mut data);
                data.extend_from_slice(&update.to_be_bytes());
                0x84
            }
            Message::Update(update) => {
                data.extend(update.number.iter().chain(&update.expires_ms).flat_map(|n| n.to_be_bytes()));
                data.extend_from_slice(update.data);
                match (update.number.is_some(), update.expires_ms.is_some()) {
                    (true, false) => 0x80,
                    (false, false) => 0x81,
                    (true, true) => 0x85,
                    (false, true) => 0x86,
                }
            }
        };
        out.extend_from_slice(&[TABLES, kind]);
        put_int(data.len() as u64, out);
        out.extend_from_slice(&data);
    }
}

/// What a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The sender's number of it.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Type of its keys: 2 number, 4 IPv4, 5 IPv6, 6 text, 7 bytes.
    pub key_type: u32,
    /// Length of its keys; of texts one more.
    pub key_length: u32,
    /// Kinds of data by bit.
    pub data: u64,
    /// Life of its entries, milliseconds; 0 = no end.
    pub expire_ms: u32,
    /// Kinds of data with elements and period, each 0 when it has none.
    pub parameters: Vec<(u8, u32, u32)>,
}

/// How a kind of data travels, by its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number.
    Number,
    /// Age of the period, events in it, events in the one before.
    Rate,
    /// A text by a dictionary.
    Word,
    /// Several numbers.
    Numbers,
    /// Several rates.
    Rates,
}

/// The shape of a kind of data; `None` for what is not known.
pub fn shape(bit: u8) -> Option<Shape> {
    Some(match bit {
        3 | 5 | 8 | 10 | 12 | 14 | 16 | 18 | 21 | 26 => Shape::Rate,
        19 => Shape::Word,
        22 | 23 => Shape::Numbers,
        24 => Shape::Rates,
        0..=25 => Shape::Number,
        _ => return None,
    })
}

impl Definition {
    /// Appends the data of a `Define` message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_int(self.number.into(), out);
        put_int(self.name.len() as u64, out);
        out.extend_from_slice(self.name.as_bytes());
        for value in [self.key_type.into(), self.key_length.into(), self.data, self.expire_ms.into()] {
            put_int(value, out);
        }
        for (bit, elements, period_ms) in &self.parameters {
            put_int((*bit).into(), out);
            for value in [*elements, *period_ms].into_iter().filter(|value| *value > 0) {
                put_int(value.into(), out);
            }
        }
    }

    /// Reads the data of a `Define` message.
    ///
    /// # Errors
    /// Something is missing or too large, or a kind of data is not known, so that updates could not be read.
    pub fn read(data: &[u8]) -> Result<Definition, Malformed> {
        Definition::parse(&mut Cursor(data)).ok_or(Malformed)
    }

    fn parse(cursor: &mut Cursor<'_>) -> Option<Definition> {
        let u32_of = |cursor: &mut Cursor<'_>| u32::try_from(cursor.int()?).ok();
        let number = u32_of(cursor)?;
        let name = std::str::from_utf8(cursor.sized()?).ok()?.to_owned();
        let (key_type, key_length) = (u32_of(cursor)?, u32_of(cursor)?);
        let data = cursor.int()?;
        // Older ones do not tell the rest.
        let expire_ms = if cursor.0.is_empty() { 0 } else { u32_of(cursor)? };
        let mut parameters = Vec::new();
        while !cursor.0.is_empty() {
            let bit = u8::try_from(cursor.int()?).ok()?;
            let shape = shape(bit)?;
            let array = matches!(shape, Shape::Numbers | Shape::Rates);
            let elements = if array { u32_of(cursor).filter(|n| (1..=100).contains(n))? } else { 0 };
            let period_ms = if matches!(shape, Shape::Rate | Shape::Rates) { u32_of(cursor)? } else { 0 };
            parameters.push((bit, elements, period_ms));
        }
        let known = (0..64).filter(|bit| data >> bit & 1 == 1).all(|bit| shape(bit).is_some());
        let definition = Definition { number, name, key_type, key_length, data, expire_ms, parameters };
        known.then_some(definition)
    }

    /// Elements of an array; 1 for what is none.
    pub fn elements(&self, bit: u8) -> u32 {
        self.parameters.iter().find(|(b, ..)| *b == bit).map_or(1, |(_, n, _)| (*n).max(1))
    }

    /// Takes the key of an update from the front of its data.
    pub fn key<'b>(&self, cursor: &mut Cursor<'b>) -> Option<&'b [u8]> {
        match self.key_type {
            6 => cursor.sized(),
            2 => cursor.take(4),
            _ => cursor.take(self.key_length as usize),
        }
    }

    /// Takes the values of an update, in order; each is given to `each` with its bit and element.
    ///
    /// # Errors
    /// They end before the last one.
    pub fn values<'b>(
        &self,
        cursor: &mut Cursor<'b>,
        mut each: impl FnMut(u8, u8, Wire<'b>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for bit in (0..64).filter(|bit| self.data >> bit & 1 == 1) {
            let shape = shape(bit).ok_or(Malformed)?;
            for element in 0..self.elements(bit) {
                let value = Wire::read(shape, cursor).ok_or(Malformed)?;
                each(bit, element as u8, value)?;
            }
        }
        Ok(())
    }
}

/// A value of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire<'b> {
    /// A number.
    Number(u64),
    /// A rate.
    Rate {
        /// Milliseconds since its period began.
        age_ms: u32,
        /// Events in it.
        current: u32,
        /// Events in the one before.
        previous: u32,
    },
    /// No text.
    NoWord,
    /// The text of this number of the sender's dictionary.
    Known(u8),
    /// A text, which has this number from now on.
    Word(u8, &'b [u8]),
}

impl<'b> Wire<'b> {
    fn read(shape: Shape, cursor: &mut Cursor<'b>) -> Option<Wire<'b>> {
        let small = |cursor: &mut Cursor<'_>| cursor.int().map(|n| n as u32);
        Some(match shape {
            Shape::Number | Shape::Numbers => Wire::Number(cursor.int()?),
            Shape::Rate | Shape::Rates => {
                Wire::Rate { age_ms: small(cursor)?, current: small(cursor)?, previous: small(cursor)? }
            }
            Shape::Word => {
                let data = cursor.sized()?;
                if data.is_empty() {
                    return Some(Wire::NoWord);
                }
                let mut inner = Cursor(data);
                let number = inner.int().filter(|n| (1..=DICTIONARY as u64).contains(n))? as u8;
                if inner.0.is_empty() {
                    return Some(Wire::Known(number));
                }
                Wire::Word(number, inner.sized()?)
            }
        })
    }

    /// Appends the value.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Wire::Number(n) => put_int(*n, out),
            Wire::Rate { age_ms, current, previous } => {
                [*age_ms, *current, *previous].iter().for_each(|n| put_int((*n).into(), out));
            }
            Wire::NoWord => put_int(0, out),
            Wire::Known(number) => out.extend_from_slice(&[1, *number]),
            Wire::Word(number, text) => {
                let mut inner = vec![*number];
                put_int(text.len() as u64, &mut inner);
                inner.extend_from_slice(text);
                put_int(inner.len() as u64, out);
                out.extend_from_slice(&inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_have_the_lengths_of_the_document() {
        for (value, length) in [
            (0, 1),
            (239, 1),
            (240, 2),
            (2287, 2),
            (2288, 3),
            (264_431, 3),
            (264_432, 4),
            (33_818_863, 4),
            (33_818_864, 5),
            (u64::from(u32::MAX), 5),
            (u64::MAX, 10),
        ] {
            let mut out = Vec::new();
            put_int(value, &mut out);
            assert_eq!(out.len(), length, "{value}");
            let mut cursor = Cursor(&out);
            assert_eq!(cursor.int(), Some(value));
            assert!(cursor.0.is_empty());
            assert_eq!(Cursor(&out[..length - 1]).int(), None);
        }
    }

    #[test]
    fn hostile_numbers_do_not_overflow() {
        assert_eq!(Cursor(&[255; 64]).int(), None);
        assert_eq!(Cursor(&[250, 255, 255, 255, 255, 255, 255, 255, 255, 127]).int(), None);
    }

    #[test]
    fn greetings_are_read_and_refused() {
        let hello = Hello { minor: 1, remote: "B".into(), local: "A".into() };
        let bytes = hello.write(7);
        assert_eq!(bytes, b"HAProxyS 2.1\nB\nA 7 1\n");
        assert_eq!(Hello::read(&bytes), Ok(Some((hello, bytes.len()))));
        for end in 0..bytes.len() {
            assert_eq!(Hello::read(&bytes[..end]), Ok(None));
        }
        assert_eq!(Hello::read(b"GET / HTTP/1.1\r\n"), Err(Malformed));
        assert_eq!(Hello::read(&[b'x'; 2000]), Err(Malformed));
        assert_eq!(read_status(b"200\nrest"), Ok(Some((200, 4))));
        assert_eq!(read_status(b"ok\n"), Err(Malformed));
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let update = |number, expires_ms| Message::Update(Update { number, expires_ms, data: b"key" });
        for message in [
            Message::ResyncRequest,
            Message::ResyncFinished,
            Message::ResyncPartial,
            Message::ResyncConfirm,
            Message::Heartbeat,
            Message::Error,
            Message::Define(b"whatever"),
            Message::Switch(1000),
            Message::Ack(3, u32::MAX),
            update(Some(9), Some(5)),
            update(Some(9), None),
            update(None, Some(5)),
            update(None, None),
        ] {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            assert_eq!(Message::read(&bytes), Ok(Some((message, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(Message::read(&bytes[..end]), Ok(None), "{message:?} cut at {end}");
            }
        }
        assert_eq!(Message::read(&[10, 0x80, 255, 255, 255, 255, 7]), Err(Malformed));
        assert_eq!(Message::read(&[10, 0x80, 2, 0, 0]), Err(Malformed));
    }

    #[test]
    fn tables_and_their_values_come_back() {
        let definition = Definition {
            number: 1,
            name: "t".into(),
            key_type: 6,
            key_length: 33,
            data: 1 << 0 | 1 << 5 | 1 << 19 | 1 << 24,
            expire_ms: 60_000,
            parameters: vec![(5, 0, 10_000), (24, 2, 5000)],
        };
        let mut bytes = Vec::new();
        definition.write(&mut bytes);
        assert_eq!(Definition::read(&bytes).as_ref(), Ok(&definition));
        let rate = Wire::Rate { age_ms: 5, current: 6, previous: 7 };
        let values = [
            Wire::Number(300),
            rate,
            Wire::Word(1, b"web1"),
            rate,
            Wire::Rate { age_ms: u32::MAX, current: 0, previous: 0 },
        ];
        let mut data = Vec::new();
        put_int(3, &mut data);
        data.extend_from_slice(b"abc");
        values.iter().for_each(|value| value.write(&mut data));
        let mut cursor = Cursor(&data);
        assert_eq!(definition.key(&mut cursor), Some(&b"abc"[..]));
        let mut seen = Vec::new();
        let done = definition.values(&mut cursor, |bit, element, value| {
            seen.push((bit, element, value));
            Ok(())
        });
        assert_eq!(done, Ok(()));
        let places = [(0, 0), (5, 0), (19, 0), (24, 0), (24, 1)];
        assert_eq!(seen, places.iter().zip(values).map(|((b, e), v)| (*b, *e, v)).collect::<Vec<_>>());
        let mut short = Cursor(&data[4..data.len() - 1]);
        assert_eq!(definition.values(&mut short, |_, _, _| Ok(())), Err(Malformed));
    }

    #[test]
    fn a_kind_of_data_that_is_not_known_is_refused() {
        let mut bytes = Vec::new();
        [1, 1].iter().for_each(|n| put_int(*n, &mut bytes));
        bytes.push(b't');
        [4, 4, 1 << 40, 0].iter().for_each(|n| put_int(*n, &mut bytes));
        assert_eq!(Definition::read(&bytes), Err(Malformed));
    }
}
