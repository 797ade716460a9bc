//! Bytes written as text between quotation marks: `"PING\r\n"`, `"\x00\xff"`.

/// The bytes of all quoted texts of a line, and the bare words between them, in order.
pub fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, left) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(quoted).unwrap_or_else(|| panic!("no end of a quotation: {line}")),
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Word::Bare(rest[..end].to_owned()), &rest[end..])
            }
        };
        words.push(word);
        rest = left.trim_start();
    }
    words
}

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// As it stands.
    Bare(String),
    /// What a quotation means.
    Bytes(Vec<u8>),
}

fn quoted_word(text: &str) -> Option<(Word, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text.char_indices();
    while let Some((place, letter)) = rest.next() {
        match letter {
            '"' => return Some((Word::Bytes(bytes), &text[place + 1..])),
            '\\' => match rest.next()?.1 {
                'r' => bytes.push(b'\r'),
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                '0' => bytes.push(0),
                'x' => {
                    let digits: String = [rest.next()?.1, rest.next()?.1].iter().collect();
                    bytes.push(u8::from_str_radix(&digits, 16).ok()?);
                }
                other => bytes.extend(other.to_string().bytes()),
            },
            other => bytes.extend(other.to_string().bytes()),
        }
    }
    None
}

/// Bytes as text, in the same way.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            0x20..0x7f => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text + "\""
}
