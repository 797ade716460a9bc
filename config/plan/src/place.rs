//! Places in configuration files, and what is said about them: problems (errors) and notes.

use std::fmt;
use std::sync::Arc;

/// Where something was said. Line and column count from 1; 0 means "not known".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File name as the user gave it.
    pub file: Arc<str>,
    /// Line, from 1; 0 when not known.
    pub line: u32,
    /// Column in bytes, from 1; 0 when not known.
    pub column: u32,
}

impl Place {
    /// A place in `file`.
    pub fn new(file: &Arc<str>, line: u32, column: u32) -> Place {
        Place { file: Arc::clone(file), line, column }
    }

    /// The place of things that nobody wrote: defaults.
    pub fn none() -> Place {
        Place { file: Arc::from(""), line: 0, column: 0 }
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::none()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// Something in a configuration that cannot be run. All problems of a load are reported together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub place: Place,
    /// What is wrong, naming the offending text.
    pub what: String,
    /// What to do about it; empty when there is nothing to add.
    pub hint: String,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(place: Place, what: impl Into<String>) -> Problem {
        Problem { place, what: what.into(), hint: String::new() }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.file.is_empty() {
            write!(f, "{}", self.what)?;
        } else {
            write!(f, "{}: {}", self.place, self.what)?;
        }
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n    hint: {}", self.hint) }
    }
}

/// All problems found in one load; never empty when returned as an error.
pub type Problems = Vec<Problem>;

/// A remark that does not stop a start: old syntax and what it was taken for, a setting without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it was said.
    pub place: Place,
    /// What is remarked.
    pub what: String,
    /// True when a start that refuses warnings must fail on it.
    pub warning: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
