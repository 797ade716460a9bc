//! Texts with values in them: header values, log lines, redirects, bodies.

use super::{Expr, Facts};

/// A text with values in it.
#[derive(Clone, Debug, Default)]
pub struct Template(pub Vec<Piece>);

/// A part of a template.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Fixed text.
    Text(Box<[u8]>),
    /// A value.
    Value(Expr, Style),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Style {
    /// In double quotes; an empty value is `""`.
    pub quoted: bool,
    /// Quotes, backslashes, brackets and control bytes are escaped by a backslash or as `#XX`.
    pub escaped: bool,
    /// Numbers and addresses in hexadecimal.
    pub hex: bool,
    /// A missing or empty value is `-` (access logs) instead of nothing.
    pub dash: bool,
    /// Control and non-ASCII bytes, space and quotes as `#XX` (access logs): no line can be forged.
    pub printable: bool,
    /// Control and non-ASCII bytes, quotes and backslashes as `\xXX` (nginx's access logs).
    pub backslash: bool,
    /// As the inside of a JSON text (RFC 8259, 7).
    pub json: bool,
}

impl Template {
    /// A fixed text.
    pub fn fixed(text: impl Into<Vec<u8>>) -> Template {
        Template(vec![Piece::Text(text.into().into_boxed_slice())])
    }

    /// The text when no value is in it.
    pub fn as_fixed(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text for these facts to `out`.
    pub fn write(&self, facts: &dyn Facts, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(expr, style) => write_value(expr, *style, facts, out),
            }
        }
    }

    /// The text for these facts.
    pub fn text(&self, facts: &dyn Facts) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(facts, &mut out);
        out
    }
}

fn write_value(expr: &Expr, style: Style, facts: &dyn Facts, out: &mut Vec<u8>) {
    if style.quoted {
        out.push(b'"');
    }
    let start = out.len();
    expr.each(facts, &mut |value| {
        out.truncate(start); // the last value counts
        match value {
            super::Value::Text(text) => write_text(&text, style, out),
            super::Value::Int(n) if style.hex => out.extend_from_slice(format!("{n:X}").as_bytes()),
            super::Value::Address(std::net::IpAddr::V4(a)) if style.hex => {
                out.extend_from_slice(format!("{:08X}", u32::from(a)).as_bytes());
            }
            super::Value::Int(n) => write_int(n, out),
            other => out.extend_from_slice(&other.into_text()),
        }
        expr.after_value()
    });
    if out.len() == start && style.dash && !style.quoted {
        out.push(b'-');
    }
    if style.quoted {
        out.push(b'"');
    }
}

fn write_text(text: &[u8], style: Style, out: &mut Vec<u8>) {
    if style.backslash {
        return text.iter().for_each(|b| backslash_hex(*b, out));
    }
    if style.json {
        return text.iter().for_each(|b| json_escape(*b, out));
    }
    if style.escaped {
        return text.iter().for_each(|b| escape(*b, out));
    }
    if !style.printable || text.iter().all(|b| is_printable(*b)) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        if is_printable(*byte) { out.push(*byte) } else { hash_hex(*byte, out) }
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'#' | b'{' | b'|' | b'}')
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' | b']' => out.extend_from_slice(&[b'\\', byte]),
        0x20..=0x7e => out.push(byte),
        other => hash_hex(other, out),
    }
}

fn backslash_hex(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(byte));
        }
        other => out.push(other),
    }
}

fn json_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        0..=0x1f => {
            out.extend_from_slice(b"\\u00");
            return out.extend_from_slice(&hex(byte));
        }
        other => return out.push(other),
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn hash_hex(byte: u8, out: &mut Vec<u8>) {
    out.push(b'#');
    out.extend_from_slice(&hex(byte));
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Decimal digits of `n`, without an allocation.
pub fn write_int(n: i64, out: &mut Vec<u8>) {
    if n < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_break_out_of_a_log_line() {
        let written = |style: Style, text: &str| {
            let mut out = Vec::new();
            write_text(text.as_bytes(), style, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let backslash = Style { backslash: true, ..Style::default() };
        let json = Style { json: true, ..Style::default() };
        assert_eq!(written(backslash, "a\"\\\n\u{1b} ü"), "a\\x22\\x5C\\x0A\\x1B \\xC3\\xBC");
        assert_eq!(written(json, "a\"\\\n\t\u{1b} ü"), "a\\\"\\\\\\n\\t\\u001B ü");
    }
}
