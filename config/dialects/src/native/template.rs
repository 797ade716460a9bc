//! Texts with values: `${client.address}`, `${log.request_line:quoted}`, `$${` for a plain `${`.
//!
//! `${0x0d0a}` stands for bytes that cannot be written otherwise.

use super::expression::{self, Fault, Parser};
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::Node;
use plan::rule::{Piece, Style, Template};

type Part = (&'static str, fn(&mut Style) -> &mut bool);

/// Words behind the colon; `no-` in front turns one off.
const STYLES: &[Part] = &[
    ("quoted", |style| &mut style.quoted),
    ("escaped", |style| &mut style.escaped),
    ("hex", |style| &mut style.hex),
    ("dash", |style| &mut style.dash),
    ("printable", |style| &mut style.printable),
    ("backslash", |style| &mut style.backslash),
    ("json", |style| &mut style.json),
];

/// Reads a template whose values have the style `base` unless they say otherwise.
pub(super) fn read(node: &Node, base: Style, reader: &mut Reader<'_>) -> Option<Template> {
    let text = super::leaf::text(node, "a text", reader)?;
    match pieces(text, base, reader) {
        Ok(template) => Some(template),
        Err(fault) => {
            reader.fault(node, text, fault);
            None
        }
    }
}

/// The text of a template.
pub(super) fn write(template: &Template, base: Style, writer: &mut Writer) -> String {
    let mut out = String::new();
    for (at, piece) in template.0.iter().enumerate() {
        match piece {
            Piece::Text(text) => {
                let before_value = matches!(template.0.get(at + 1), Some(Piece::Value(..)));
                write_fixed(text, before_value, &mut out);
            }
            Piece::Value(expr, style) => {
                out.push_str("${");
                out.push_str(&expression::expr(expr, writer));
                out.push_str(&written_style(*style, base));
                out.push('}');
            }
        }
    }
    out
}

fn pieces(text: &str, base: Style, reader: &mut Reader<'_>) -> Result<Template, Fault> {
    let mut pieces = Vec::new();
    let mut fixed = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${").map(|found| at + found) {
        if found > at && text.as_bytes()[found - 1] == b'$' {
            fixed.extend_from_slice(&text.as_bytes()[at..found - 1]);
            fixed.extend_from_slice(b"${");
            at = found + 2;
            continue;
        }
        fixed.extend_from_slice(&text.as_bytes()[at..found]);
        at = match bytes(text, found + 2, &mut fixed)? {
            Some(end) => {
                if fixed.is_empty() {
                    pieces.push(Piece::Text(Box::default()));
                }
                end
            }
            None => {
                end_fixed(&mut fixed, &mut pieces);
                let (piece, end) = value(text, found + 2, base, reader)?;
                pieces.push(piece);
                end
            }
        };
    }
    fixed.extend_from_slice(&text.as_bytes()[at..]);
    end_fixed(&mut fixed, &mut pieces);
    Ok(Template(pieces))
}

fn end_fixed(fixed: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !fixed.is_empty() {
        pieces.push(Piece::Text(std::mem::take(fixed).into_boxed_slice()));
    }
}

/// Reads `0x…}`; gives the place behind it.
fn bytes(text: &str, at: usize, fixed: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    let Some(digits) = text[at..].strip_prefix("0x") else { return Ok(None) };
    let wrong = || Fault::new(at, "'${0x…}' needs two hexadecimal digits for each byte", "");
    let end = digits.find('}').ok_or_else(wrong)?;
    let digits = digits.as_bytes().get(..end).unwrap_or_default();
    for pair in digits.chunks(2) {
        let pair = std::str::from_utf8(pair).ok().filter(|p| p.len() == 2 && !p.starts_with('+'));
        fixed.push(pair.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(wrong)?);
    }
    Ok(Some(at + 2 + end + 1))
}

fn value(text: &str, at: usize, base: Style, reader: &mut Reader<'_>) -> Result<(Piece, usize), Fault> {
    let mut parser = Parser::new(text, at, reader);
    let expr = parser.expr()?;
    let mut style = base;
    if parser.take(":") {
        loop {
            let (at, word) = parser.word();
            let (name, on) = word.strip_prefix("no-").map_or((word, true), |name| (name, false));
            let part = STYLES.iter().find(|(known, _)| *known == name);
            let (_, part) = part.ok_or_else(|| {
                let known: Vec<&str> = STYLES.iter().map(|(name, _)| *name).collect();
                Fault::new(
                    at,
                    format!("'{word}' is no style"),
                    &format!("the styles are {}", known.join(", ")),
                )
            })?;
            *part(&mut style) = on;
            if !parser.take(",") {
                break;
            }
        }
    }
    if !parser.take("}") {
        return Err(parser.unexpected("'}'"));
    }
    Ok((Piece::Value(expr, style), parser.at()))
}

fn write_fixed(text: &[u8], before_value: bool, out: &mut String) {
    if text.is_empty() {
        return out.push_str("${0x}");
    }
    let (text, dollar) = match text {
        [rest @ .., b'$'] if before_value => (rest, true),
        text => (text, false),
    };
    for chunk in text.utf8_chunks() {
        out.push_str(&chunk.valid().replace("${", "$${"));
        if !chunk.invalid().is_empty() {
            if out.ends_with('$') {
                out.pop();
                out.push_str("${0x24}");
            }
            let digits: String = chunk.invalid().iter().map(|b| format!("{b:02x}")).collect();
            out.push_str(&format!("${{0x{digits}}}"));
        }
    }
    if dollar {
        out.push_str("${0x24}");
    }
}

fn written_style(style: Style, base: Style) -> String {
    let (mut style, mut base) = (style, base);
    let mut words = Vec::new();
    for (name, part) in STYLES {
        match (*part(&mut style), *part(&mut base)) {
            (true, false) => words.push((*name).to_owned()),
            (false, true) => words.push(format!("no-{name}")),
            _ => {}
        }
    }
    if words.is_empty() { String::new() } else { format!(":{}", words.join(",")) }
}
