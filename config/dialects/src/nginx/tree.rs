//! Words to a tree of directives: blocks, `include`, and what the table says about each of them.

use super::directives::{self, Class, Contexts, Entry, FOREIGN, Found, MAIN, RAW};
use super::glob;
use super::text::{Reader, Said, Words};
use crate::{MAX_FILE_BYTES, Sources};
use plan::draft::nearest;
use plan::{Note, Place, Problem, Problems};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Deepest nesting of blocks.
const MAX_NESTING: usize = 64;
/// Deepest nesting of `include`.
const MAX_INCLUDES: usize = 32;
/// Most directives of all files together.
const MAX_DIRECTIVES: usize = 1_000_000;
/// Bytes of all files together.
const MAX_BYTES: usize = 128 << 20;
/// Problems after which reading stops.
const MAX_PROBLEMS: usize = 1000;

/// A directive with its arguments and, when it has one, its block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directive {
    /// Where it begins.
    pub place: Place,
    /// Its name; in a block of its own kind (`map`, `types`) the first word of a line.
    pub name: String,
    /// What follows the name.
    pub arguments: Vec<String>,
    /// What stands in its block.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// An argument; empty when there are fewer.
    pub fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// What stands in its block; nothing when it has none.
    pub fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// A problem at its place.
    pub fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::new(self.place.clone(), what)
    }

    /// `invalid value "x" in "name" directive`.
    pub fn invalid(&self, index: usize) -> Problem {
        self.problem(format!("invalid value \"{}\" in \"{}\" directive", self.argument(index), self.name))
    }

    /// `invalid parameter "x"`.
    pub fn invalid_parameter(&self, text: &str) -> Problem {
        self.problem(format!("invalid parameter \"{text}\""))
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// Its path, as `-T` shows it.
    pub path: String,
    /// What it holds.
    pub text: Vec<u8>,
}

/// What all files together say.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Directives outside any block.
    pub directives: Vec<Directive>,
    /// Files in the order they were read first, each once.
    pub files: Vec<ReadFile>,
    /// Problems found so far.
    pub problems: Problems,
    /// Remarks: what is taken without effect.
    pub notes: Vec<Note>,
}

/// Where the parts of the configuration are.
pub(super) struct Grower<'s> {
    sources: &'s dyn Sources,
    /// Folder that relative `include`s start from.
    folder: PathBuf,
    tree: Tree,
    seen: HashSet<String>,
    noted: HashSet<&'static str>,
    directives: usize,
    bytes: usize,
}

/// Where in the nesting a text is read.
#[derive(Clone, Copy)]
struct Level {
    context: Contexts,
    /// Blocks around it.
    depth: usize,
    /// Files around it.
    includes: usize,
}

impl Level {
    const TOP: Level = Level { context: MAIN, depth: 0, includes: 0 };
}

/// How a run of directives ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// By `}`, here.
    Brace(Place),
    /// With the text, here.
    Text(Place),
    /// By a problem that leaves nothing to go on with.
    Broken,
}

/// Grows the tree of a main file. `globals` is the text of `-g`.
pub(super) fn grow(file: &Arc<str>, text: &[u8], globals: &str, sources: &dyn Sources) -> Tree {
    let folder = Path::new(&**file).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut grower = Grower {
        sources,
        folder,
        tree: Tree::default(),
        seen: HashSet::new(),
        noted: HashSet::new(),
        directives: 0,
        bytes: 0,
    };
    let mut directives = Vec::new();
    let command_line = Arc::from(COMMAND_LINE);
    let mut reader = Reader::parameter(&command_line, globals.as_bytes());
    grower.run(&mut reader, Level::TOP, &mut directives);
    grower.keep_file(file, text);
    let mut reader = Reader::new(file, text);
    if let Ended::Brace(place) = grower.run(&mut reader, Level::TOP, &mut directives) {
        grower.problem(Problem::new(place, "unexpected \"}\""));
    }
    grower.tree.directives = directives;
    grower.tree
}

/// The "file" of directives given by `-g`.
pub const COMMAND_LINE: &str = "command line";

impl Grower<'_> {
    fn problem(&mut self, problem: Problem) {
        self.tree.problems.push(problem);
    }

    fn keep_file(&mut self, path: &str, text: &[u8]) {
        self.bytes += text.len();
        if self.seen.insert(path.to_owned()) {
            self.tree.files.push(ReadFile { path: path.to_owned(), text: text.to_vec() });
        }
    }

    /// Reads directives until the block or the text ends.
    fn run(&mut self, reader: &mut Reader<'_>, level: Level, out: &mut Vec<Directive>) -> Ended {
        loop {
            if self.tree.problems.len() >= MAX_PROBLEMS {
                return Ended::Broken;
            }
            match reader.next() {
                Ok(Said::Words(words)) => {
                    if let Some(ended) = self.said(reader, words, level, out) {
                        return ended;
                    }
                }
                Ok(Said::BlockEnd(place)) => return Ended::Brace(place),
                Ok(Said::End(place)) => return Ended::Text(place),
                Err(problem) => {
                    self.problem(problem);
                    return Ended::Broken;
                }
            }
        }
    }

    /// One directive; something when reading ends with it.
    fn said(
        &mut self,
        reader: &mut Reader<'_>,
        words: Words,
        level: Level,
        out: &mut Vec<Directive>,
    ) -> Option<Ended> {
        let Words { place, mut words, opens_block } = words;
        self.directives += 1;
        if self.directives > MAX_DIRECTIVES || level.depth > MAX_NESTING {
            self.problem(Problem::new(place, "too many directives, or blocks nested too deeply"));
            return Some(Ended::Broken);
        }
        let name = words.remove(0);
        let mut directive = Directive { place, name, arguments: words, block: None };
        if directive.name == "include" && !opens_block && directive.arguments.len() == 1 {
            return self.include(&directive, level, out);
        }
        let (keep, opens) = self.judge(&directive, opens_block, level.context, out);
        let mut ended = Ended::Brace(directive.place.clone());
        if opens_block && is_code(&directive.name) {
            reader.skip_code();
        } else if opens_block {
            let mut inner = Vec::new();
            ended = self.run(reader, Level { context: opens, depth: level.depth + 1, ..level }, &mut inner);
            directive.block = Some(inner);
        }
        if keep {
            out.push(directive);
        }
        self.unclosed(ended)
    }

    /// Something when a block did not end with `}`.
    fn unclosed(&mut self, ended: Ended) -> Option<Ended> {
        match ended {
            Ended::Brace(_) => None,
            Ended::Text(place) => {
                self.problem(Problem::new(place, "unexpected end of file, expecting \"}\""));
                Some(Ended::Broken)
            }
            Ended::Broken => Some(Ended::Broken),
        }
    }

    /// Whether a directive is to be kept, and the context in its block. Complains when it is wrong here.
    fn judge(
        &mut self,
        directive: &Directive,
        opens_block: bool,
        context: Contexts,
        before: &[Directive],
    ) -> (bool, Contexts) {
        match context {
            FOREIGN => return (false, FOREIGN),
            RAW if opens_block => {
                self.problem(directive.problem("unexpected \"{\""));
                return (false, FOREIGN);
            }
            RAW => return (true, RAW),
            _ => {}
        }
        match directives::find(&directive.name, context) {
            Found::Here(entry) => {
                let problem = wrong(directive, opens_block, entry, before);
                let right = problem.is_none();
                self.tree.problems.extend(problem);
                if let (true, Class::Knob(why)) = (right, entry.class) {
                    self.knob(directive, entry.name, why);
                }
                let opens = if entry.opens == 0 || is_refused(entry) { FOREIGN } else { entry.opens };
                (right, if opens_block { opens } else { 0 })
            }
            Found::Elsewhere => {
                let what = format!("\"{}\" directive is not allowed here", directive.name);
                self.problem(directive.problem(what));
                (false, FOREIGN)
            }
            Found::Nowhere(hint) => {
                let hint = hint.map_or_else(|| nearest(&directive.name, directives::names()), String::from);
                let what = format!("unknown directive \"{}\"", directive.name);
                self.problem(directive.problem(what).hint(hint));
                (false, FOREIGN)
            }
        }
    }

    /// Remarks once that a directive has no effect.
    fn knob(&mut self, directive: &Directive, name: &'static str, why: &'static str) {
        if self.noted.insert(name) {
            let what = format!("'{name}' has no effect: {why}");
            self.tree.notes.push(Note { place: directive.place.clone(), what, warning: false });
        }
    }

    fn include(&mut self, directive: &Directive, level: Level, out: &mut Vec<Directive>) -> Option<Ended> {
        let path = self.folder.join(directive.argument(0));
        let paths = if glob::is_pattern(directive.argument(0)) {
            glob::expand(&path, self.sources).unwrap_or_default()
        } else {
            vec![path]
        };
        for path in paths {
            if level.includes >= MAX_INCLUDES {
                let what = format!("\"include\" is nested more than {MAX_INCLUDES} times");
                self.problem(directive.problem(what).hint("a file includes itself"));
                return Some(Ended::Broken);
            }
            let name = path.display().to_string();
            match self.sources.read(&path) {
                Ok(text) if text.len() <= MAX_FILE_BYTES && self.bytes + text.len() <= MAX_BYTES => {
                    if self.included(&name, &text, level, out) {
                        return Some(Ended::Broken);
                    }
                }
                Ok(_) => self.problem(directive.problem(format!("\"{name}\" is too large"))),
                Err(error) => {
                    let what = format!("open() \"{name}\" failed ({})", super::values::told(&error));
                    self.problem(directive.problem(what));
                }
            }
        }
        None
    }

    /// Reads an included file; true when nothing more can be read.
    fn included(&mut self, name: &str, text: &[u8], level: Level, out: &mut Vec<Directive>) -> bool {
        self.keep_file(name, text);
        let file = Arc::from(name);
        let mut reader = Reader::new(&file, text);
        match self.run(&mut reader, Level { includes: level.includes + 1, ..level }, out) {
            Ended::Brace(place) => {
                self.problem(Problem::new(place, "unexpected \"}\""));
                false
            }
            Ended::Text(_) => false,
            // What is wrong inside one file leaves the others readable.
            Ended::Broken => self.tree.problems.len() >= MAX_PROBLEMS || self.directives > MAX_DIRECTIVES,
        }
    }
}

fn is_refused(entry: &Entry) -> bool {
    matches!(entry.class, Class::Refused(_) | Class::NotYet)
}

/// A block that holds another language: braces are counted there, nothing else.
fn is_code(name: &str) -> bool {
    name.contains("_by_lua_block")
}

/// What is wrong with a directive that may stand here.
fn wrong(directive: &Directive, opens_block: bool, entry: &Entry, before: &[Directive]) -> Option<Problem> {
    let name = &directive.name;
    let problem = |what: String| Some(directive.problem(what));
    match entry.class {
        Class::Refused(hint) => {
            return problem(format!("\"{name}\" directive is not supported")).map(|p| p.hint(hint));
        }
        Class::NotYet => {
            let problem = problem(format!("\"{name}\" directive is not supported yet"));
            return problem.map(|p| p.hint("remove it, or keep nginx for what needs it"));
        }
        Class::Works | Class::Knob(_) => {}
    }
    if entry.opens == 0 && opens_block {
        return problem(format!("directive \"{name}\" is not terminated by \";\""));
    }
    if entry.opens != 0 && !opens_block {
        return problem(format!("directive \"{name}\" has no opening \"{{\""));
    }
    if !entry.takes(directive.arguments.len()) {
        return problem(format!("invalid number of arguments in \"{name}\" directive"));
    }
    if entry.arguments == directives::Arguments::Flag && !super::values::is_flag(directive.argument(0)) {
        let value = directive.argument(0);
        let what = format!("invalid value \"{value}\" in \"{name}\" directive, it must be \"on\" or \"off\"");
        return problem(what);
    }
    if !entry.repeats && before.iter().any(|other| other.name == *name) {
        return problem(format!("\"{name}\" directive is duplicate"));
    }
    None
}
