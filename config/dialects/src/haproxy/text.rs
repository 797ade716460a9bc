//! Lines to words: quotes, escapes, comments and variables, as HAProxy's manual 2.2 and 2.3 have them.
//!
//! [`super::source`] calls [`split`] for each line; addresses go through [`expand`] once more.

/// Longest line after expansion, bytes.
const MAX_LINE: usize = 1 << 20;
/// Most words on a line.
const MAX_WORDS: usize = 64 << 10;

/// A word of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Its bytes as text; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it starts on the line, from 1.
    pub column: u32,
}

/// Why a line cannot be split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextError {
    /// What is wrong.
    pub what: String,
    /// Where, from 1.
    pub column: u32,
}

/// A reader of variables.
pub(super) type Variables<'v> = dyn Fn(&str) -> Option<String> + 'v;

/// The words of a line.
pub(super) fn split(line: &[u8], variables: &Variables<'_>) -> Result<Vec<Word>, TextError> {
    let mut splitter = Splitter { line, at: 0, quote: None, words: Vec::new(), word: None, total: 0 };
    splitter.run(variables)?;
    Ok(splitter.words)
}

/// Replaces `$NAME` and `${NAME}` in a text outside quotes, as addresses are. Also names the variables
/// that were not set.
pub(super) fn expand(text: &str, variables: &Variables<'_>) -> Result<(String, Vec<String>), String> {
    let (mut out, mut missing) = (String::new(), Vec::new());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'$' {
            let end = memchr_dollar(bytes, at);
            out.push_str(&text[at..end]);
            at = end;
            continue;
        }
        let variable = Variable::read(bytes, at).map_err(|e| e.what)?;
        match variables(&variable.name) {
            Some(value) => out.push_str(&value),
            None if variable.default.is_some() => out.push_str(&variable.default_text()),
            None => missing.push(variable.name),
        }
        if out.len() > MAX_LINE {
            return Err("the text is too long after its variables are put in".into());
        }
        at = variable.end;
    }
    Ok((out, missing))
}

fn memchr_dollar(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| *b == b'$').map_or(bytes.len(), |i| from + i)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    Single,
    Double,
}

struct Splitter<'l> {
    line: &'l [u8],
    at: usize,
    quote: Option<(Quote, usize)>,
    words: Vec<Word>,
    word: Option<Word>,
    total: usize,
}

impl Splitter<'_> {
    fn run(&mut self, variables: &Variables<'_>) -> Result<(), TextError> {
        while let Some(&byte) = self.line.get(self.at) {
            match (byte, self.quote.map(|(q, _)| q)) {
                (b'#', None) => break,
                (b' ' | b'\t' | b'\r', None) => {
                    self.end_word()?;
                    self.at += 1;
                }
                (b'\'', None) => self.open(Quote::Single),
                (b'"', None) => self.open(Quote::Double),
                (b'\'', Some(Quote::Single)) | (b'"', Some(Quote::Double)) => self.close(),
                (b'\\', None | Some(Quote::Double)) => self.escape()?,
                (b'$', Some(Quote::Double)) => self.variable(variables)?,
                (0, _) => return Err(self.error("the line holds a NUL byte")),
                _ => {
                    self.push(byte)?;
                    self.at += 1;
                }
            }
        }
        match self.quote {
            Some((_, at)) => Err(TextError { what: "unmatched quote".into(), column: column(at) }),
            None => self.end_word(),
        }
    }

    fn open(&mut self, quote: Quote) {
        self.current();
        self.quote = Some((quote, self.at));
        self.at += 1;
    }

    fn close(&mut self) {
        self.quote = None;
        self.at += 1;
    }

    fn current(&mut self) -> &mut Word {
        let column = column(self.at);
        self.word.get_or_insert_with(|| Word { column, ..Word::default() })
    }

    fn push(&mut self, byte: u8) -> Result<(), TextError> {
        self.total += 1;
        if self.total > MAX_LINE {
            return Err(self.error("the line is too long"));
        }
        self.current().bytes.push(byte);
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), TextError> {
        if let Some(mut word) = self.word.take() {
            word.text = String::from_utf8_lossy(&word.bytes).into_owned();
            self.words.push(word);
        }
        if self.words.len() > MAX_WORDS { Err(self.error("the line has too many words")) } else { Ok(()) }
    }

    /// A backslash that escapes nothing stays, so that expressions such as `\.` need no second one.
    fn escape(&mut self) -> Result<(), TextError> {
        let in_double = self.quote.is_some();
        let (byte, length) = match self.line.get(self.at + 1) {
            Some(b' ') => (b' ', 2),
            Some(b'\\') => (b'\\', 2),
            Some(b'#') => (b'#', 2),
            Some(b'"') => (b'"', 2),
            Some(b'\'') => (b'\'', 2),
            Some(b'$') if in_double => (b'$', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'x') => (self.hexadecimal()?, 4),
            _ => (b'\\', 1),
        };
        self.push(byte)?;
        self.at += length;
        Ok(())
    }

    fn hexadecimal(&self) -> Result<u8, TextError> {
        let digit = |i: usize| self.line.get(self.at + i).and_then(|b| (*b as char).to_digit(16));
        match (digit(2), digit(3)) {
            (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
            _ => Err(self.error("'\\x' needs two hexadecimal digits")),
        }
    }

    fn variable(&mut self, variables: &Variables<'_>) -> Result<(), TextError> {
        let variable = Variable::read(self.line, self.at)?;
        let default = || variable.default.is_some().then(|| variable.default_text());
        let value = variables(&variable.name).or_else(default).unwrap_or_default();
        for byte in value.bytes() {
            if variable.split && byte.is_ascii_whitespace() {
                self.end_word()?;
            } else {
                self.push(byte)?;
            }
        }
        if value.is_empty() && variable.split && self.word.as_ref().is_some_and(|w| w.bytes.is_empty()) {
            self.word = None;
        }
        self.at = variable.end;
        Ok(())
    }

    fn error(&self, what: &str) -> TextError {
        TextError { what: what.into(), column: column(self.at) }
    }
}

/// `$NAME`, `${NAME}`, `${NAME-default}` or `${NAME[*]}`.
struct Variable {
    name: String,
    default: Option<Vec<u8>>,
    split: bool,
    end: usize,
}

impl Variable {
    fn read(text: &[u8], dollar: usize) -> Result<Variable, TextError> {
        let error = |what: &str, at: usize| TextError { what: what.into(), column: column(at) };
        let braces = text.get(dollar + 1) == Some(&b'{');
        let start = dollar + 1 + usize::from(braces);
        let length = text[start.min(text.len())..].iter().take_while(|b| is_name(**b)).count();
        if length == 0 || text[start].is_ascii_digit() {
            return Err(error("a variable's name starts with a letter or '_'", start));
        }
        let name = String::from_utf8_lossy(&text[start..start + length]).into_owned();
        let mut variable = Variable { name, default: None, split: false, end: start + length };
        if !braces {
            return Ok(variable);
        }
        if text[variable.end..].starts_with(b"[*]") {
            variable.split = true;
            variable.end += 3;
        }
        let close = text[variable.end..].iter().position(|b| *b == b'}');
        let close = variable.end + close.ok_or_else(|| error("unmatched '{' of a variable", dollar + 1))?;
        match &text[variable.end..close] {
            [] => {}
            [b'-', default @ ..] => variable.default = Some(default.to_vec()),
            _ => return Err(error("unknown character in a variable's name", variable.end)),
        }
        variable.end = close + 1;
        Ok(variable)
    }

    fn default_text(&self) -> String {
        String::from_utf8_lossy(self.default.as_deref().unwrap_or_default()).into_owned()
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn column(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "V" => Some("a b".into()),
            "E" => Some(String::new()),
            _ => None,
        }
    }

    fn check(line: &str, expected: &[&str]) {
        let words = split(line.as_bytes(), &env).unwrap();
        let words: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(words, expected, "{line}");
    }

    #[test]
    fn words_follow_the_quoting_rules() {
        check("  a  b\tc # d", &["a", "b", "c"]);
        check("a#b c", &["a"]);
        check(r#"ab"cd"ef "x#y""#, &["abcdef", "x#y"]);
        check(r"one\.two a\ b \# \\", &["one\\.two", "a b", "#", "\\"]);
        check(r#"'a\b "$V"' "\$V""#, &[r#"a\b "$V""#, "$V"]);
        check(r#""$V" ${V} \$V"#, &["a b", "${V}", "\\$V"]);
        check(r#""${V[*]}" "${NO[*]}" x"#, &["a", "b", "x"]);
        check(r#""${NO-d e}f" "a${E-def}b" "" "$NO""#, &["d ef", "ab", "", ""]);
        check(r"\x41\r\nB", &["A\r\nB"]);
    }

    #[test]
    fn wrong_lines_are_refused_with_their_column() {
        for (line, column) in [("a \"b", 3), ("a \\xzz", 3), ("\"${V\"", 3), ("\"$\"", 3), ("a\0", 2)] {
            assert_eq!(split(line.as_bytes(), &env).unwrap_err().column, column, "{line}");
        }
    }

    #[test]
    fn addresses_are_expanded_outside_quotes() {
        assert_eq!(expand("${V}:$E:80", &env).unwrap(), ("a b::80".into(), vec![]));
        assert_eq!(expand("${U}:1", &env).unwrap(), (":1".into(), vec!["U".into()]));
    }
}
