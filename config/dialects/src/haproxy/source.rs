//! Files to sections: conditional blocks (`.if`), messages (`.notice`), and the lines of each section.
//!
//! [`super::read`] calls [`Source::add`] for each file; the sections come out in order of the files.

use super::check_condition::condition_check;
use super::environment::Environment;
use super::keywords::SECTIONS;
use super::text::{self, Word};
use crate::Sources;
use plan::{Note, Place, Problem};
use std::sync::Arc;

/// Deepest nesting of `.if` blocks.
const MAX_NESTING: usize = 64;
/// Bytes of all lines together after variables are put in.
const MAX_EXPANDED: usize = 64 << 20;
/// Problems after which reading stops.
const MAX_PROBLEMS: usize = 1000;

/// A line with words on it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Name of the file.
    pub file: Arc<str>,
    /// Number, from 1.
    pub number: u32,
    /// Words; at least one.
    pub words: Vec<Word>,
}

impl Line {
    /// Place of a word; of the line when there is no such word.
    pub fn place(&self, word: usize) -> Place {
        Place::new(&self.file, self.number, self.words.get(word).map_or(0, |w| w.column))
    }

    /// Text of a word; empty when there is no such word.
    pub fn text(&self, word: usize) -> &str {
        self.words.get(word).map_or("", |w| w.text.as_str())
    }
}

/// A section: the line that opens it and the lines in it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// The line that opens it.
    pub head: Line,
    /// The lines in it.
    pub body: Vec<Line>,
}

/// What the files say, cut into sections.
pub(super) struct Source<'s> {
    /// Sections in order.
    pub sections: Vec<Section>,
    /// Problems found so far.
    pub problems: Vec<Problem>,
    /// Notes found so far.
    pub notes: Vec<Note>,
    /// Variables as the last line left them.
    pub environment: Environment<'s>,
    expanded: usize,
}

/// State of an `.if` block.
///
/// ```text
///   .if true ──► Taken ──.elif/.else──► Over        .if false ──► Waiting ──.elif true/.else──► Taken
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branch {
    /// Its lines count.
    Taken,
    /// No branch was taken yet.
    Waiting,
    /// A branch was taken before.
    Over,
}

struct Block {
    branch: Branch,
    after_else: bool,
    place: Place,
}

impl<'s> Source<'s> {
    /// Nothing read yet.
    pub fn new(sources: &'s dyn Sources) -> Source<'s> {
        Source {
            sections: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            environment: Environment::new(sources),
            expanded: 0,
        }
    }

    /// Adds a file. Each file starts outside any section.
    pub fn add(&mut self, file: &Arc<str>, bytes: &[u8]) {
        let mut blocks: Vec<Block> = Vec::new();
        let mut inside = false;
        for (index, bytes) in bytes.split(|b| *b == b'\n').enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            if self.problems.len() >= MAX_PROBLEMS || self.expanded > MAX_EXPANDED {
                return self.give_up(file, number);
            }
            let skipped = blocks.iter().any(|b| b.branch != Branch::Taken);
            let directive = bytes.trim_ascii_start().first() == Some(&b'.');
            if skipped && !directive {
                continue;
            }
            let Some(line) = self.line(file, number, bytes) else { continue };
            if directive {
                self.directive(&line, &mut blocks, skipped);
            } else {
                self.keep(line, &mut inside);
            }
        }
        for block in blocks {
            self.problems.push(Problem::new(block.place, "this '.if' has no '.endif'"));
        }
    }

    fn give_up(&mut self, file: &Arc<str>, number: u32) {
        let what = if self.expanded > MAX_EXPANDED { "the text is too long" } else { "too many problems" };
        self.problems.push(Problem::new(Place::new(file, number, 0), format!("{what}; reading stops here")));
    }

    fn line(&mut self, file: &Arc<str>, number: u32, bytes: &[u8]) -> Option<Line> {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match text::split(bytes, &|name| self.environment.get(name)) {
            Ok(words) if words.is_empty() => None,
            Ok(words) => {
                self.expanded += words.iter().map(|w| w.bytes.len() + 16).sum::<usize>();
                Some(Line { file: Arc::clone(file), number, words })
            }
            Err(error) => {
                let place = Place::new(file, number, error.column);
                self.problems.push(Problem::new(place, error.what));
                None
            }
        }
    }

    fn keep(&mut self, line: Line, inside: &mut bool) {
        if SECTIONS.iter().any(|s| s.name == line.text(0)) {
            *inside = true;
            self.sections.push(Section { head: line, body: Vec::new() });
            return;
        }
        match self.sections.last_mut() {
            Some(section) if *inside => {
                if section.head.text(0) == "global" {
                    self.environment.apply(&line);
                }
                section.body.push(line);
            }
            _ => self.problems.push(
                Problem::new(line.place(0), format!("'{}' stands outside any section", line.text(0)))
                    .hint(section_hint(line.text(0))),
            ),
        }
    }

    fn directive(&mut self, line: &Line, blocks: &mut Vec<Block>, skipped: bool) {
        match line.text(0) {
            ".if" => self.open_block(line, blocks, skipped),
            ".elif" | ".else" => self.next_branch(line, blocks),
            ".endif" => {
                if blocks.pop().is_none() {
                    self.problem(line, "this '.endif' has no '.if'");
                }
            }
            _ if skipped => {}
            ".notice" | ".diag" => self.note(line, false),
            ".warning" => self.note(line, true),
            ".alert" => self.problem(line, line.text(1)),
            other => self.problem(line, &format!("unknown directive '{other}'")),
        }
    }

    fn open_block(&mut self, line: &Line, blocks: &mut Vec<Block>, skipped: bool) {
        if blocks.len() >= MAX_NESTING {
            self.problem(line, &format!("'.if' is nested more than {MAX_NESTING} deep"));
        }
        let branch = match skipped {
            true => Branch::Over,
            false if self.condition(line) => Branch::Taken,
            false => Branch::Waiting,
        };
        if blocks.len() < 2 * MAX_NESTING {
            blocks.push(Block { branch, after_else: false, place: line.place(0) });
        }
    }

    fn next_branch(&mut self, line: &Line, blocks: &mut [Block]) {
        let is_else = line.text(0) == ".else";
        let Some((block, outer)) = blocks.split_last_mut() else {
            return self.problem(line, &format!("this '{}' has no '.if'", line.text(0)));
        };
        if block.after_else {
            return self.problem(line, &format!("'{}' after '.else'", line.text(0)));
        }
        block.after_else = is_else;
        let outer_taken = outer.iter().all(|b| b.branch == Branch::Taken);
        block.branch = match block.branch {
            Branch::Waiting if outer_taken && (is_else || self.condition(line)) => Branch::Taken,
            Branch::Waiting => Branch::Waiting,
            Branch::Taken | Branch::Over => Branch::Over,
        };
    }

    fn condition(&mut self, line: &Line) -> bool {
        let words: Vec<&str> = line.words[1..].iter().map(|w| w.text.as_str()).collect();
        match condition_check(&words.join(" "), &|name| self.environment.get(name)) {
            Ok(value) => value,
            Err(what) => {
                self.problem(line, &what);
                false
            }
        }
    }

    fn problem(&mut self, line: &Line, what: &str) {
        self.problems.push(Problem::new(line.place(0), what));
    }

    fn note(&mut self, line: &Line, warning: bool) {
        self.notes.push(Note { place: line.place(0), what: line.text(1).to_owned(), warning });
    }
}

fn section_hint(word: &str) -> String {
    let near = super::keywords::nearest(word, SECTIONS.iter().map(|s| s.name));
    if near.is_empty() {
        "a line belongs to a section: global, defaults, frontend, backend, listen, …".into()
    } else {
        near
    }
}
