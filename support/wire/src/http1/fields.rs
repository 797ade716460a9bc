//! Header fields as spans over one owned text. Filled by the parsers, edited by `web`'s rules, read by the writers.

use super::Name;
use super::bytes::{is_token, is_value_byte};

/// A stretch of a head's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    pub(crate) fn new(start: usize, len: usize) -> Span {
        Span { start: start as u32, len: len as u32 }
    }

    pub(crate) fn end(self) -> usize {
        (self.start + self.len) as usize
    }
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as spelled.
    pub name: Span,
    /// The value without white space around it.
    pub value: Span,
    /// What the name means to the proxy.
    pub id: Name,
}

/// The fields of a head, in order, with the text they point into.
///
/// Edits append to the text, so a head costs one copy however many rules touch it.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub(crate) text: Vec<u8>,
    pub(crate) list: Vec<Field>,
}

impl Fields {
    /// No fields.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.list.clear();
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// No field at all?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The bytes of a span; empty when the span is not of this text.
    #[inline]
    pub fn bytes(&self, span: Span) -> &[u8] {
        self.text.get(span.start as usize..span.end()).unwrap_or_default()
    }

    /// The name of a field, as spelled.
    #[inline]
    pub fn name(&self, field: &Field) -> &[u8] {
        self.bytes(field.name)
    }

    /// The value of a field.
    #[inline]
    pub fn value(&self, field: &Field) -> &[u8] {
        self.bytes(field.value)
    }

    /// All fields, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.list.iter()
    }

    /// All names and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|field| (self.name(field), self.value(field)))
    }

    /// The first value of a known name.
    #[inline]
    pub fn find(&self, id: Name) -> Option<&[u8]> {
        self.list.iter().find(|field| field.id == id).map(|field| self.value(field))
    }

    /// All values of a known name, in order.
    pub fn find_all(&self, id: Name) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.list.iter().filter(move |field| field.id == id).map(|field| self.value(field))
    }

    /// All values of a name in any case, in order.
    pub fn find_str<'a, 'n>(
        &'a self,
        lower_name: &'n [u8],
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        self.list
            .iter()
            .filter(move |field| self.name(field).eq_ignore_ascii_case(lower_name))
            .map(|field| self.value(field))
    }

    /// Adds a field at the end. False, and nothing happens, if the name is not a token.
    ///
    /// Bytes that may not stand in a value (CR, LF, NUL and other control bytes) become spaces, so no rule can
    /// inject a line.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_token(name) {
            return false;
        }
        let field = self.store(name, value);
        self.list.push(field);
        true
    }

    /// As [`Fields::append`] for an answer's field that the configuration says: only what ends lines or texts (CR, LF,
    /// NUL) becomes a space, other control bytes stay.
    pub fn append_said(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_token(name) {
            return false;
        }
        let name_span = self.store_text(name);
        let span = self.store_text(value.trim_ascii_start());
        for byte in &mut self.text[span.start as usize..] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        self.list.push(Field { name: name_span, value: span, id: Name::of(name) });
        true
    }

    /// Makes this the only field of its name, at the place of the first one. False if the name is not a token.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some(place) = self.position(name) else { return self.append(name, value) };
        let field = self.store(name, value);
        self.list[place] = field;
        let mut index = 0;
        self.retain(|fields, other| {
            index += 1;
            index <= place + 1 || !fields.name(other).eq_ignore_ascii_case(name)
        });
        true
    }

    /// Removes all fields of a name, in any case; how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        self.remove_where(|other, _| other.eq_ignore_ascii_case(name))
    }

    /// Removes all fields of a known name; how many there were.
    pub fn remove_id(&mut self, id: Name) -> usize {
        let before = self.list.len();
        self.list.retain(|field| field.id != id);
        before - self.list.len()
    }

    /// Removes the fields whose name and value match; how many there were.
    pub fn remove_where(&mut self, mut matches: impl FnMut(&[u8], &[u8]) -> bool) -> usize {
        let before = self.list.len();
        self.retain(|fields, field| !matches(fields.name(field), fields.value(field)));
        before - self.list.len()
    }

    /// Gives the field at this place another value, cleaned as in [`Fields::append`]. Nothing happens out of range.
    pub fn replace_value(&mut self, index: usize, value: &[u8]) {
        if index < self.list.len() {
            self.list[index].value = self.store_value(value);
        }
    }

    /// Where the first field of this name is, in any case.
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        self.list.iter().position(|field| self.name(field).eq_ignore_ascii_case(name))
    }

    pub(crate) fn store_text(&mut self, text: &[u8]) -> Span {
        let span = Span::new(self.text.len(), text.len());
        self.text.extend_from_slice(text);
        span
    }

    fn store(&mut self, name: &[u8], value: &[u8]) -> Field {
        let id = Name::of(name);
        Field { name: self.store_text(name), value: self.store_value(value), id }
    }

    /// White space before a value is not part of it (RFC 9110, 5.5); behind it, it is sent as HAProxy sends it.
    fn store_value(&mut self, value: &[u8]) -> Span {
        let span = self.store_text(value.trim_ascii_start());
        for byte in &mut self.text[span.start as usize..] {
            if !is_value_byte(*byte) {
                *byte = b' ';
            }
        }
        span
    }

    fn retain(&mut self, mut keep: impl FnMut(&Fields, &Field) -> bool) {
        let mut list = std::mem::take(&mut self.list);
        list.retain(|field| keep(self, field));
        self.list = list;
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            assert!(fields.append(name.as_bytes(), value.as_bytes()));
        }
        fields
    }

    fn shown(fields: &Fields) -> String {
        let all = fields.pairs().map(|(name, value)| {
            format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        });
        all.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn set_keeps_the_first_place() {
        let mut fields = fields(&[("A", "1"), ("B", "2"), ("C", "3"), ("b", "4")]);
        fields.set(b"b", b"9");
        assert_eq!(shown(&fields), "A=1 b=9 C=3");
        fields.set(b"D", b"5");
        assert_eq!(shown(&fields), "A=1 b=9 C=3 D=5");
    }

    #[test]
    fn removing_counts() {
        let mut fields = fields(&[("Cookie", "a"), ("X", "1"), ("cookie", "b")]);
        assert_eq!(fields.find_all(Name::Cookie).count(), 2);
        assert_eq!(fields.remove_id(Name::Cookie), 2);
        assert_eq!(fields.remove(b"x"), 1);
        assert_eq!(fields.remove(b"x"), 0);
        assert!(fields.is_empty());
    }

    #[test]
    fn no_rule_can_inject_a_line() {
        let mut fields = fields(&[("A", "1")]);
        fields.append(b"B", b" x\r\nEvil: 1\0 ");
        assert!(!fields.append(b"B\r\n", b"x"));
        assert!(!fields.append(b"", b"x"));
        fields.replace_value(0, b"1\n2");
        fields.replace_value(7, b"nothing happens");
        assert_eq!(shown(&fields), "A=1 2 B=x  Evil: 1  ");
    }

    #[test]
    fn said_values_keep_what_ends_no_line() {
        let mut fields = Fields::new();
        assert!(fields.append_said(b"A", b" 1\x02\r\nB: 2\0"));
        assert!(!fields.append_said(b"A b", b"1"));
        assert_eq!(shown(&fields), "A=1\x02  B: 2 ");
    }

    #[test]
    fn names_are_found_in_any_case() {
        let fields = fields(&[("X-Tag", "1"), ("HOST", "a"), ("x-tag", "2")]);
        assert_eq!(fields.find_str(b"x-tag").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(fields.find(Name::Host), Some(&b"a"[..]));
        assert_eq!(fields.find(Name::Cookie), None);
    }
}
