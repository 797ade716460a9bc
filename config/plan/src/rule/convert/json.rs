//! JSON: escaping texts for it, and looking into it.

use super::Parameter::{OptionalText, Text};
use super::{Argument, Call, Function, function};
use crate::rule::{Value, leading_number};

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("json", &[OptionalText], escaped).checked(coding),
    function("json_query", &[Text, OptionalText], query).checked(path_checked),
];

/// Deepest nesting that is looked into.
const MAX_DEPTH: usize = 64;

fn coding(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments.first() {
        Some(Argument::Text(name))
            if !matches!(&**name, b"ascii" | b"utf8" | b"utf8s" | b"utf8p" | b"utf8ps") =>
        {
            Err("the codings are ascii, utf8, utf8s, utf8p and utf8ps")
        }
        _ => Ok(()),
    }
}

/// The text as it stands between quotes in JSON, in ASCII. Wrong UTF-8 gives nothing, or with an `s` is left out;
/// with a `p` overlong forms count.
fn escaped<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let (text, coding) = (value.into_text(), call.text(0));
    let coding = coding.as_deref().unwrap_or(b"ascii");
    let (skip, permissive) = (coding.ends_with(b"s"), coding.contains(&b'p'));
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut rest = &*text;
    while let [first, ..] = rest {
        let (code, length) = match coding {
            b"ascii" => (Some(u32::from(*first)), 1),
            _ => decode(rest, permissive),
        };
        rest = &rest[length..];
        match code {
            Some(code) if code <= 0xffff => escape(code, &mut out),
            _ if skip => {}
            _ => return None,
        }
    }
    Some(Value::owned(out))
}

fn escape(code: u32, out: &mut Vec<u8>) {
    let short = match code {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x22 => b'"',
        0x2f => b'/',
        0x5c => b'\\',
        0x20..0x7f => return out.push(code as u8),
        _ => return out.extend_from_slice(format!("\\u{code:04x}").as_bytes()),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The first character of a text that is not empty, `None` when it is wrong, and how many bytes it takes.
fn decode(text: &[u8], permissive: bool) -> (Option<u32>, usize) {
    let first = text[0];
    let (length, mut code) = match first {
        0..0x80 => return (Some(first.into()), 1),
        0xc0..0xe0 => (2, u32::from(first & 0x1f)),
        0xe0..0xf0 => (3, u32::from(first & 0x0f)),
        0xf0..0xf8 => (4, u32::from(first & 0x07)),
        _ => return (None, 1),
    };
    for at in 1..length {
        match text.get(at) {
            Some(byte @ 0x80..0xc0) => code = code << 6 | u32::from(byte & 0x3f),
            _ => return (None, at),
        }
    }
    let overlong = code < [0, 0, 0x80, 0x800, 0x1_0000][length];
    let prohibited = matches!(code, 0xd800..0xe000 | 0xfffe | 0xffff) || code > 0x10_ffff;
    (((permissive || !overlong) && !prohibited).then_some(code), length)
}

fn path_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [Argument::Text(path), ..] if steps(path).is_none() => Err("a path such as '$.a.b[0]' is expected"),
        [_, Argument::Text(kind)] if !matches!(&**kind, b"int" | b"str") => Err("the type is 'int' or 'str'"),
        _ => Ok(()),
    }
}

/// A step of a path.
enum Step {
    Key(Vec<u8>),
    Index(usize),
}

/// Steps of `$.a.b[0]`; a backslash before a dot makes it part of the key.
fn steps(path: &[u8]) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix(b"$")?;
    let mut list = Vec::new();
    while let Some((first, more)) = rest.split_first() {
        match first {
            b'.' => {
                let mut key = Vec::new();
                let mut at = 0;
                while let Some(byte) = more.get(at).filter(|b| !matches!(b, b'.' | b'[')) {
                    let escaped = *byte == b'\\' && at + 1 < more.len();
                    at += usize::from(escaped);
                    key.push(more[at]);
                    at += 1;
                }
                rest = &more[at..];
                list.push(Step::Key(Some(key).filter(|k| !k.is_empty())?));
            }
            b'[' => {
                let end = more.iter().position(|b| *b == b']')?;
                list.push(Step::Index(std::str::from_utf8(&more[..end]).ok()?.parse().ok()?));
                rest = &more[end + 1..];
            }
            _ => return None,
        }
    }
    (list.len() <= MAX_DEPTH).then_some(list)
}

/// What stands at a path: a string without its quotes, a boolean, a number (a text unless `int` is asked for and
/// when it has decimals), an array or object as its text.
fn query<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let mut at = Reader { text: &text, at: 0 };
    for step in steps(&call.text(0)?)? {
        match step {
            Step::Key(key) => at.enter_key(&key)?,
            Step::Index(index) => at.enter_index(index)?,
        }
    }
    at.blanks();
    let start = at.at;
    at.skip(0)?;
    found(&text[start..at.at], call.text(1).as_deref() == Some(b"int"))
}

fn found(raw: &[u8], int: bool) -> Option<Value<'static>> {
    match raw.first()? {
        b'"' => {
            let text = unquoted(raw)?;
            Some(if int { Value::Int(leading_number(&text)) } else { Value::owned(text) })
        }
        b't' => Some(Value::Bool(true)),
        b'f' => Some(Value::Bool(false)),
        b'[' if !int => Some(Value::owned(raw)),
        b'-' | b'0'..=b'9' if int => Some(Value::Int(leading_number(raw))),
        b'-' | b'0'..=b'9' => Some(Value::owned(raw)),
        _ => None,
    }
}

/// Characters of a quoted string.
fn unquoted(raw: &[u8]) -> Option<Vec<u8>> {
    let inner = raw.get(1..raw.len() - 1)?;
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let letter = *inner.get(at)?;
        at += 1;
        match letter {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'"' | b'\\' | b'/' => out.push(letter),
            b'u' => {
                let digits = std::str::from_utf8(inner.get(at..at + 4)?).ok()?;
                at += 4;
                let code = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                out.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Goes through a text of JSON without keeping it.
struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found.then_some(())
    }

    /// To the value of a key.
    fn enter_key(&mut self, key: &[u8]) -> Option<()> {
        self.take(b'{')?;
        loop {
            self.blanks();
            let start = self.at;
            self.string()?;
            let matches = unquoted(&self.text[start..self.at]).is_some_and(|k| k == key);
            self.take(b':')?;
            if matches {
                return Some(());
            }
            self.skip(0)?;
            self.take(b',')?;
        }
    }

    /// To an element.
    fn enter_index(&mut self, index: usize) -> Option<()> {
        self.take(b'[')?;
        for _ in 0..index {
            self.skip(0)?;
            self.take(b',')?;
        }
        (self.peek()? != b']').then_some(())
    }

    /// Over a string.
    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1 + usize::from(byte == b'\\');
            if byte == b'"' {
                return Some(());
            }
        }
    }

    /// Over a value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            open @ (b'{' | b'[') if depth < MAX_DEPTH => self.skip_list(open, depth),
            b'{' | b'[' => None,
            _ => {
                let rest = &self.text[self.at..];
                let length =
                    rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
                self.at += length;
                (length > 0).then_some(())
            }
        }
    }

    fn skip_list(&mut self, open: u8, depth: usize) -> Option<()> {
        let close = open + 2; // `{` and `}`, `[` and `]`
        self.take(open)?;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            if open == b'{' {
                self.blanks();
                self.string()?;
                self.take(b':')?;
            }
            self.skip(depth + 1)?;
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }
}
