//! What is said on a line: a cursor over its words, and what is wrong with them.

use super::source::Line;
use super::text::Word;
use super::units;
use plan::{Place, Problem};
use std::str::FromStr;
use std::time::Duration;

/// Something wrong with a line.
#[derive(Clone, Debug)]
pub(super) struct Said {
    what: String,
    hint: String,
    word: Option<usize>,
}

/// Outcome of reading a part of a line.
pub(super) type Done<T = ()> = Result<T, Said>;

impl Said {
    /// Something wrong, without a hint.
    pub fn new(what: impl Into<String>) -> Said {
        Said { what: what.into(), hint: String::new(), word: None }
    }

    /// Something known that cannot be run yet.
    pub fn not_yet(what: impl std::fmt::Display) -> Said {
        Said::new(format!("{what} is not supported yet"))
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Said {
        self.hint = hint.into();
        self
    }

    /// The same about a word of the line, unless a word was named before.
    pub fn at(mut self, word: usize) -> Said {
        self.word = self.word.or(Some(word));
        self
    }

    /// The problem, placed.
    pub fn problem(self, line: &Line) -> Problem {
        let place: Place = line.place(self.word.unwrap_or(0));
        Problem::new(place, self.what).hint(self.hint)
    }
}

impl From<String> for Said {
    fn from(what: String) -> Said {
        Said::new(what)
    }
}

/// The words of a line that are still to be read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'l> {
    /// The line.
    pub line: &'l Line,
    /// The next word.
    pub at: usize,
}

impl<'l> Cursor<'l> {
    /// At a word of a line.
    pub fn new(line: &'l Line, at: usize) -> Cursor<'l> {
        Cursor { line, at }
    }

    /// Text of the next word, without taking it; empty at the end.
    pub fn peek(&self) -> &'l str {
        self.line.text(self.at)
    }

    /// True when no word is left.
    pub fn is_end(&self) -> bool {
        self.at >= self.line.words.len()
    }

    /// True when the next word begins a condition.
    pub fn is_condition(&self) -> bool {
        matches!(self.peek(), "if" | "unless")
    }

    /// Takes the next word.
    pub fn next(&mut self) -> Option<&'l Word> {
        let word = self.line.words.get(self.at);
        self.at += usize::from(word.is_some());
        word
    }

    /// Takes the next word when it is this one.
    pub fn eat(&mut self, word: &str) -> bool {
        let found = !self.is_end() && self.peek() == word;
        self.at += usize::from(found);
        found
    }

    /// Takes a word that must be there. `what` completes "'…' needs …".
    pub fn need(&mut self, what: &str) -> Done<&'l Word> {
        let before = self.line.text(self.at.saturating_sub(1));
        self.next().ok_or_else(|| Said::new(format!("'{before}' needs {what}")).at(self.at.saturating_sub(1)))
    }

    /// Takes the text of a word that must be there.
    pub fn text(&mut self, what: &str) -> Done<&'l str> {
        self.need(what).map(|w| w.text.as_str())
    }

    /// Takes a number that must be there.
    pub fn number<T: FromStr>(&mut self, what: &str) -> Done<T> {
        let word = self.text(what)?;
        word.parse().map_err(|_| self.wrong(word, what))
    }

    /// Takes a number between `least` and `most`.
    pub fn number_in(&mut self, what: &str, least: u64, most: u64) -> Done<u64> {
        let value: u64 = self.number(what)?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(Said::new(format!("'{value}' is out of range: {what} from {least} to {most} is expected"))
            .at(self.at - 1))
    }

    /// Takes a time that must be there; a bare number counts milliseconds.
    pub fn time(&mut self) -> Done<Duration> {
        self.time_in(1)
    }

    /// Takes a time whose bare number counts `unit_ms` milliseconds.
    pub fn time_in(&mut self, unit_ms: u64) -> Done<Duration> {
        let word = self.text("a time such as 5s or 100ms")?;
        units::time(word, unit_ms).map_err(|what| Said::new(what).at(self.at - 1))
    }

    /// Takes a size that must be there.
    pub fn size(&mut self) -> Done<u64> {
        let word = self.text("a size such as 16384 or 16k")?;
        units::size(word).map_err(|what| Said::new(what).at(self.at - 1))
    }

    /// An error unless all words were taken.
    pub fn end(&self) -> Done {
        if self.is_end() {
            return Ok(());
        }
        let first = self.line.text(0);
        Err(Said::new(format!("'{first}' does not expect '{}' here", self.peek())).at(self.at))
    }

    /// An error about the word taken last.
    pub fn wrong(&self, word: &str, what: &str) -> Said {
        Said::new(format!("'{word}' is wrong here: {what} is expected")).at(self.at.saturating_sub(1))
    }

    /// Takes all words that are left.
    pub fn skip_all(&mut self) {
        self.at = self.line.words.len();
    }
}

/// The name of a section that must have one, and nothing behind it.
pub(super) fn section_name(head: &Line) -> Done<String> {
    let mut cursor = Cursor::new(head, 1);
    let name = cursor.text("a name")?;
    cursor.end()?;
    match units::bad_in_name(name) {
        Some(bad) => Err(Said::new(format!("'{bad}' may not stand in the name '{name}'")).at(1)),
        None => Ok(name.to_owned()),
    }
}
