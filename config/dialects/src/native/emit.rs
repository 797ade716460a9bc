//! Values to YAML text, as a person would write it: short ones on one line, long ones as blocks.
//! Called by the writer.

/// Widest line that is aimed at.
const WIDTH: usize = 110;

/// A value to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// A word or number that needs no quotes in block style.
    Word(String),
    /// Any text.
    Text(String),
    /// A condition: may be broken at blanks outside its quotes.
    Condition(String),
    /// A list.
    List(Vec<Out>),
    /// A map.
    Map(Vec<(String, Out)>),
    /// A list or map whose parts stand on lines of their own.
    Block(Box<Out>),
}

impl Out {
    /// A word.
    pub(super) fn word(text: impl Into<String>) -> Out {
        Out::Word(text.into())
    }

    /// On lines of its own.
    pub(super) fn block(self) -> Out {
        Out::Block(Box::new(self))
    }
}

/// The text of a map.
pub(super) fn document(entries: &[(String, Out)]) -> String {
    let mut out = String::new();
    for (key, value) in entries {
        entry(key, value, 0, &mut out);
    }
    out
}

fn entry(key: &str, value: &Out, indent: usize, out: &mut String) {
    let key = scalar(key, true);
    blanks(indent, out);
    out.push_str(&key);
    out.push(':');
    let (value, forced) = opened(value);
    if !forced
        && let Some(line) = flow(value)
        && indent + key.len() + 2 + line.len() <= WIDTH
    {
        out.push(' ');
        out.push_str(&line);
        out.push('\n');
        return;
    }
    block(value, indent, out);
}

/// A value after `key:` that gets lines of its own.
fn block(value: &Out, indent: usize, out: &mut String) {
    match value {
        Out::List(list) if !list.is_empty() => {
            out.push('\n');
            list.iter().for_each(|item| self::item(item, indent + 2, out));
        }
        Out::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            entries.iter().for_each(|(key, value)| entry(key, value, indent + 2, out));
        }
        Out::Text(text) if is_literal(text) => literal(text, indent + 2, out),
        Out::Condition(text) if text.len() > WIDTH / 2 => folded(text, indent + 2, out),
        other => {
            out.push(' ');
            out.push_str(&line(other));
            out.push('\n');
        }
    }
}

fn item(value: &Out, indent: usize, out: &mut String) {
    blanks(indent, out);
    out.push('-');
    let (value, forced) = opened(value);
    if !forced
        && let Some(line) = flow_item(value)
        && indent + 2 + line.len() <= WIDTH
    {
        out.push(' ');
        out.push_str(&line);
        out.push('\n');
        return;
    }
    match value {
        Out::Map(entries) if !entries.is_empty() => {
            let mut inner = String::new();
            entries.iter().for_each(|(key, value)| entry(key, value, indent + 2, &mut inner));
            out.push(' ');
            out.push_str(&inner[indent + 2..]);
        }
        other => block(other, indent, out),
    }
}

/// One line for an item; a map of one short entry is written `- key: value`.
fn flow_item(value: &Out) -> Option<String> {
    match value {
        Out::Map(entries) if !entries.is_empty() => match entries.as_slice() {
            [(key, value)] => {
                let (value, forced) = opened(value);
                if forced {
                    return None;
                }
                Some(format!("{}: {}", scalar(key, true), flow(value)?))
            }
            entries if entries.iter().any(|(key, _)| key == "when") => None,
            _ => flow(value),
        },
        _ => flow(value),
    }
}

fn opened(value: &Out) -> (&Out, bool) {
    match value {
        Out::Block(inner) => (opened(inner).0, true),
        other => (other, false),
    }
}

/// The value after a key on the same line; `None` when it needs a block.
fn flow(value: &Out) -> Option<String> {
    match value {
        Out::Block(_) => None,
        Out::Text(text) if is_literal(text) => None,
        Out::List(_) | Out::Map(_) => inside(value),
        other => Some(line(other)),
    }
}

/// The value inside brackets.
fn inside(value: &Out) -> Option<String> {
    Some(match value {
        Out::Block(_) => return None,
        Out::Text(text) if is_literal(text) => return None,
        Out::List(list) => {
            let parts: Option<Vec<String>> = list.iter().map(inside).collect();
            format!("[{}]", parts?.join(", "))
        }
        Out::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Out::Map(entries) => {
            let one =
                |(key, value): &(String, Out)| Some(format!("{}: {}", scalar(key, false), inside(value)?));
            let parts: Option<Vec<String>> = entries.iter().map(one).collect();
            format!("{{ {} }}", parts?.join(", "))
        }
        Out::Word(text) if is_plain(text, false, true) => text.clone(),
        Out::Word(text) => quoted(text),
        Out::Text(text) | Out::Condition(text) => scalar(text, false),
    })
}

/// The value on one line, whatever its length.
fn line(value: &Out) -> String {
    match value {
        Out::Word(text) if is_plain(text, true, true) => text.clone(),
        Out::Word(text) => quoted(text),
        Out::Text(text) | Out::Condition(text) => scalar(text, true),
        other => inside(other).unwrap_or_default(),
    }
}

fn scalar(text: &str, block: bool) -> String {
    if is_plain(text, block, false) { text.to_owned() } else { quoted(text) }
}

/// True when `text` needs no quotes; `number`: it may look like a number or a boolean.
fn is_plain(text: &str, block: bool, number: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let fitting = |c: char| (' '..='~').contains(&c) && (block || !matches!(c, ',' | '[' | ']' | '{' | '}'));
    let starts = first.is_ascii_alphanumeric() || matches!(first, '/' | '_' | '$' | '.' | '(' | '+');
    starts
        && (first != '.' || !text.starts_with("..."))
        && text.chars().all(fitting)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && (number || !looks_typed(text))
}

/// True for texts that other readers of YAML take for numbers, booleans or nothing.
fn looks_typed(text: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", ".nan", ".inf"];
    let number = text.bytes().all(|b| b.is_ascii_hexdigit() || b"+-._:xXoO".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    number || words.iter().any(|w| text.eq_ignore_ascii_case(w))
}

fn quoted(text: &str) -> String {
    let simple = |c: char| (' '..='~').contains(&c);
    if text.contains(['"', '\\']) && text.chars().all(simple) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if simple(c) || c.is_alphanumeric() => out.push(c),
            c if u32::from(c) > 0xffff => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// True when `text` reads best as a literal block, which keeps it exactly.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !body.is_empty()
        && !body.ends_with('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| {
            (' '..='~').contains(&c) || c == '\n' || c == '\t' || (c.is_alphanumeric() && u32::from(c) > 0xa0)
        })
        && body.split('\n').all(|line| !line.starts_with('\t') && (line.is_empty() || line.trim() != ""))
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            blanks(indent, out);
        }
        out.push_str(line);
        out.push('\n');
    }
}

/// A condition over several lines: broken at single blanks outside quotes, which the reader joins again.
fn folded(text: &str, indent: usize, out: &mut String) {
    let mut lines = vec![String::new()];
    for word in words(text) {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && indent + last + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    if !text.chars().all(|c| (' '..='~').contains(&c)) || lines.len() < 2 {
        out.push(' ');
        out.push_str(&scalar(text, true));
        out.push('\n');
        return;
    }
    out.push_str(" >-\n");
    for line in lines {
        blanks(indent, out);
        out.push_str(&line);
        out.push('\n');
    }
}

/// The parts between blanks that stand outside quotes.
fn words(text: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let (mut start, mut quote, mut skip) = (0, None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            _ if skip => skip = false,
            (Some(b'"'), b'\\') => skip = true,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b' ') => {
                list.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    list.push(&text[start..]);
    list
}

fn blanks(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}
