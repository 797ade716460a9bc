//! Bytes to directives' words, exactly as nginx reads them: quotes, escapes, `${name}`, comments, `;`, `{`, `}`.
//!
//! [`super::tree`] asks for one [`Said`] after the other.

use plan::{Place, Problem};
use std::sync::Arc;

/// Longest argument, bytes: nginx reads through a buffer of this size.
const MAX_ARGUMENT: usize = 4096;
/// Most arguments of one directive.
const MAX_ARGUMENTS: usize = 100_000;

/// What comes next in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Words up to `;` or `{`.
    Words(Words),
    /// `}`.
    BlockEnd(Place),
    /// The text ended where it may.
    End(Place),
}

/// The words of a directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// Where the first one begins.
    pub place: Place,
    /// At least one.
    pub words: Vec<String>,
    /// True when `{` ended them, not `;`.
    pub opens_block: bool,
}

/// Where a reader is in a word.
///
/// ```text
///   Between ──"──► Quoted ──"──► Closed ──blank, ;, {──► Between
///      └──other──► Plain ──blank, ;, {──► Between
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a word.
    Between,
    /// In a word without quotes.
    Plain,
    /// In a word that this quote ends.
    Quoted(u8),
    /// Just behind a closing quote.
    Closed,
}

/// Reads one text.
pub(super) struct Reader<'t> {
    file: Arc<str>,
    text: &'t [u8],
    at: usize,
    line: u32,
    line_start: usize,
    /// The text of the command line's `-g`.
    parameter: bool,
}

impl<'t> Reader<'t> {
    /// The text of a file.
    pub fn new(file: &Arc<str>, text: &'t [u8]) -> Reader<'t> {
        // Editors of other systems put a mark before the text.
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Reader { file: Arc::clone(file), text, at, line: 1, line_start: 0, parameter: false }
    }

    /// Directives of the command line; blocks are refused.
    pub fn parameter(file: &Arc<str>, text: &'t [u8]) -> Reader<'t> {
        Reader { parameter: true, ..Reader::new(file, text) }
    }

    /// The place of the byte at `at` in the line that is read.
    fn place(&self, at: usize) -> Place {
        if self.parameter {
            return Place::new(&self.file, 0, 0);
        }
        let column = at.saturating_sub(self.line_start) + 1;
        Place::new(&self.file, self.line, u32::try_from(column).unwrap_or(u32::MAX))
    }

    fn here(&self) -> Place {
        self.place(self.at.saturating_sub(1))
    }

    fn unexpected(&self, what: &str) -> Problem {
        Problem::new(self.here(), format!("unexpected {what}"))
    }

    fn take(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        Some(byte)
    }

    /// The next directive, end of a block or end of the text. After an error nothing more can be told.
    pub fn next(&mut self) -> Result<Said, Problem> {
        let mut words = Vec::new();
        let mut first = self.here();
        let mut state = State::Between;
        loop {
            if words.len() > MAX_ARGUMENTS {
                return Err(Problem::new(self.here(), "too many arguments of one directive"));
            }
            let ended = match state {
                State::Between => match self.blank_then(&words)? {
                    Begin::Ended(said) => return Ok(said),
                    Begin::Finished { opens_block } => Some(opens_block),
                    Begin::Word(quote, place) => {
                        if words.is_empty() {
                            first = place;
                        }
                        state = quote.map_or(State::Plain, State::Quoted);
                        None
                    }
                },
                State::Plain | State::Quoted(_) => {
                    let (word, end) = self.word(state)?;
                    words.push(word);
                    state = if end == WordEnd::Quote { State::Closed } else { State::Between };
                    end.ends_directive()
                }
                State::Closed => match self.take() {
                    Some(b' ' | b'\t' | b'\r' | b'\n' | b')') => {
                        // nginx takes `)` for the beginning of the next word: `if ($a = "b")`.
                        if self.text.get(self.at.wrapping_sub(1)) == Some(&b')') {
                            self.at -= 1;
                        }
                        state = State::Between;
                        None
                    }
                    Some(b';') => Some(false),
                    Some(b'{') => Some(true),
                    Some(other) => return Err(self.unexpected(&format!("\"{}\"", char::from(other)))),
                    None => return Err(self.cut_off()),
                },
            };
            if let Some(opens_block) = ended {
                return self.directive(first, words, opens_block);
            }
        }
    }

    /// Skips a block of another language: up to the brace that closes it, quoted text aside.
    pub fn skip_code(&mut self) {
        let (mut depth, mut quote) = (1usize, None);
        while depth > 0
            && let Some(byte) = self.take()
        {
            match (byte, quote) {
                (b'\\', Some(_)) => drop(self.take()),
                (_, Some(open)) if byte == open => quote = None,
                (_, Some(_)) => {}
                (b'"' | b'\'', None) => quote = Some(byte),
                (b'{', None) => depth += 1,
                (b'}', None) => depth -= 1,
                _ => {}
            }
        }
    }

    fn directive(&self, place: Place, words: Vec<String>, opens_block: bool) -> Result<Said, Problem> {
        if opens_block && self.parameter {
            return Err(Problem::new(place, "block directives are not supported in -g option"));
        }
        Ok(Said::Words(Words { place, words, opens_block }))
    }

    /// Skips blanks and comments up to the beginning of a word or an end.
    fn blank_then(&mut self, words: &[String]) -> Result<Begin, Problem> {
        loop {
            let Some(byte) = self.take() else {
                return if words.is_empty() {
                    Ok(Begin::Ended(Said::End(self.here())))
                } else {
                    Err(self.cut_off())
                };
            };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'#' => while !matches!(self.take(), None | Some(b'\n')) {},
                b';' | b'{' if words.is_empty() => {
                    return Err(self.unexpected(&format!("\"{}\"", char::from(byte))));
                }
                b';' => return Ok(Begin::Finished { opens_block: false }),
                b'{' => return Ok(Begin::Finished { opens_block: true }),
                b'}' if words.is_empty() => return Ok(Begin::Ended(Said::BlockEnd(self.here()))),
                b'}' => {
                    return Err(self.unexpected("\"}\"").hint("a ';' is missing before it"));
                }
                b'"' | b'\'' => return Ok(Begin::Word(Some(byte), self.here())),
                _ => {
                    let place = self.here();
                    self.at -= 1;
                    return Ok(Begin::Word(None, place));
                }
            }
        }
    }

    /// A word from its first byte (behind the quote) to its end.
    fn word(&mut self, state: State) -> Result<(String, WordEnd), Problem> {
        let (start, begun) = (self.at, self.place(self.at));
        let mut variable = false;
        loop {
            if self.at - start >= MAX_ARGUMENT && !self.parameter {
                return Err(too_long(begun, state, &self.text[start..self.at]));
            }
            let Some(byte) = self.take() else { return Err(self.cut_off()) };
            if byte == b'{' && variable {
                continue;
            }
            variable = byte == b'$';
            let end = match (byte, state) {
                (b'\\', _) => {
                    self.take();
                    continue;
                }
                (quote, State::Quoted(open)) if quote == open => WordEnd::Quote,
                (_, State::Quoted(_)) => continue,
                (b' ' | b'\t' | b'\r' | b'\n', _) => WordEnd::Blank,
                (b';', _) => WordEnd::Semicolon,
                (b'{', _) => WordEnd::Brace,
                _ => continue,
            };
            let raw = unescaped(&self.text[start..self.at - 1]);
            let text = String::from_utf8(raw).map_err(|_| {
                Problem::new(begun, "the argument is not UTF-8").hint("save the file as UTF-8")
            })?;
            return Ok((text, end));
        }
    }

    fn cut_off(&self) -> Problem {
        let at = Place::new(&self.file, if self.parameter { 0 } else { self.line }, 0);
        let what = if self.parameter {
            "unexpected end of parameter, expecting \";\""
        } else {
            "unexpected end of file, expecting \";\" or \"}\""
        };
        Problem::new(at, what)
    }
}

/// What stands behind blanks.
enum Begin {
    /// End of a block or of the text.
    Ended(Said),
    /// The directive's end.
    Finished { opens_block: bool },
    /// A word, in this quote, beginning there.
    Word(Option<u8>, Place),
}

/// What ended a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WordEnd {
    Quote,
    Blank,
    Semicolon,
    Brace,
}

impl WordEnd {
    /// Whether a block follows, when it ended the directive too.
    fn ends_directive(self) -> Option<bool> {
        match self {
            WordEnd::Semicolon => Some(false),
            WordEnd::Brace => Some(true),
            WordEnd::Quote | WordEnd::Blank => None,
        }
    }
}

fn too_long(place: Place, state: State, text: &[u8]) -> Problem {
    let what = match state {
        State::Quoted(quote) => {
            format!("too long parameter, probably missing terminating \"{}\" character", char::from(quote))
        }
        _ => {
            let start = String::from_utf8_lossy(&text[..text.len().min(10)]).into_owned();
            format!("too long parameter \"{start}...\" started")
        }
    };
    Problem::new(place, what)
}

/// Takes `\` away before quotes and itself, and makes `\t`, `\r`, `\n`; before all else it stays.
fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let escaped = match (raw[at], raw.get(at + 1)) {
            (b'\\', Some(quote @ (b'"' | b'\'' | b'\\'))) => Some(*quote),
            (b'\\', Some(b't')) => Some(b'\t'),
            (b'\\', Some(b'r')) => Some(b'\r'),
            (b'\\', Some(b'n')) => Some(b'\n'),
            _ => None,
        };
        out.push(escaped.unwrap_or(raw[at]));
        at += if escaped.is_some() { 2 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of all directives: `a b;` one per line, `{` and `}` for blocks, a problem as the last line.
    fn read(text: &str) -> String {
        let file = Arc::from("f");
        let mut reader = Reader::new(&file, text.as_bytes());
        let mut out = Vec::new();
        loop {
            match reader.next() {
                Ok(Said::Words(words)) => {
                    let end = if words.opens_block { "{" } else { ";" };
                    out.push(format!("{}{end}", words.words.join("|")));
                }
                Ok(Said::BlockEnd(_)) => out.push("}".into()),
                Ok(Said::End(_)) => break,
                Err(problem) => {
                    out.push(format!("{}: {}", problem.place.line, problem.what));
                    break;
                }
            }
        }
        out.join(" ")
    }

    #[test]
    fn words_quotes_and_escapes() {
        for (text, expected) in [
            ("a b  c;", "a|b|c;"),
            ("a{b c;}", "a{ b|c; }"),
            ("a \"b c\" 'd;{}';", "a|b c|d;{};"),
            (r#"a "b\"c" 'd\'e' f\ g \\h \n;"#, "a|b\"c|d'e|f\\ g|\\h|\n;"),
            ("a ${b}c {d e;}", "a|${b}c{ d|e; }"),
            ("a $b{ }", "a|$b{ }"),
            ("a # b;\n c;", "a|c;"),
            ("a b#c;", "a|b#c;"),
            ("a \"\" '';", "a||;"),
            ("if ($a = \"b\") { }", "if|($a|=|b|){ }"),
            ("a b}c;", "a|b}c;"),
            ("a b\"c;", "a|b\"c;"),
            ("\"a\" b;", "a|b;"),
            ("", ""),
            ("\u{feff}a;", "a;"),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_nginx_refuses() {
        for (text, expected) in [
            ("a b", "1: unexpected end of file, expecting \";\" or \"}\""),
            ("a \"b", "1: unexpected end of file, expecting \";\" or \"}\""),
            ("a;\n;", "a; 2: unexpected \";\""),
            ("{", "1: unexpected \"{\""),
            ("a b }", "1: unexpected \"}\""),
            ("a \"b\"c;", "1: unexpected \"c\""),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        let long = "x".repeat(5000);
        assert_eq!(read(&format!("a {long};")), "1: too long parameter \"xxxxxxxxxx...\" started");
        let quoted = format!("a\n\"{long}\";");
        assert_eq!(read(&quoted), "2: too long parameter, probably missing terminating \"\"\" character");
    }

    #[test]
    fn the_command_line_has_no_blocks() {
        let file = Arc::from("command line");
        let next = |text: &str| {
            let mut reader = Reader::parameter(&file, text.as_bytes());
            reader.next().map_err(|problem| problem.what)
        };
        assert!(matches!(next("daemon off;"), Ok(Said::Words(_))));
        assert_eq!(next("daemon off"), Err("unexpected end of parameter, expecting \";\"".into()));
        assert_eq!(next("http {"), Err("block directives are not supported in -g option".into()));
    }
}
