//! Where a setting comes from: the block it is asked for in, then the blocks around it.

use super::tree::Directive;
use crate::Sources;
use plan::{Note, Problem, Problems};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

/// Problems and remarks found while compiling.
#[derive(Debug, Default)]
pub struct Told {
    problems: RefCell<Problems>,
    notes: RefCell<Vec<Note>>,
}

impl Told {
    /// Keeps a problem. Settings are looked at once for each block that inherits them, so the same one may come
    /// again.
    pub fn problem(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// The value, or its problem is kept.
    pub fn keep<T>(&self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.problem(problem)).ok()
    }

    /// Keeps a remark.
    pub fn note(&self, directive: &Directive, what: impl Into<String>) {
        let note = Note { place: directive.place.clone(), what: what.into(), warning: false };
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// All that was kept.
    pub fn into_parts(self) -> (Problems, Vec<Note>) {
        (self.problems.into_inner(), self.notes.into_inner())
    }
}

/// What compiling stands on: the files beside the configuration, where paths begin, where problems go.
pub struct Ground<'t> {
    /// Files and names outside the text.
    pub sources: &'t dyn Sources,
    /// Folder of logs, the pid file and documents that are named relatively (`-p`).
    pub prefix: PathBuf,
    /// Folder of the configuration file: includes, certificates and password files are named relative to it.
    pub folder: PathBuf,
    /// Where errors go when the file does not say (`-e`); `None` = standard error.
    pub error_log: Option<String>,
    /// Problems and remarks.
    pub told: Told,
}

impl Ground<'_> {
    /// The path of a log, a document, the pid file.
    pub fn path(&self, text: &str) -> PathBuf {
        self.prefix.join(text)
    }

    /// The path of a file that belongs to the configuration.
    pub fn beside(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }
}

/// A block and the blocks around it, up to the file. Cheap to make; settings are found from the inside out.
#[derive(Clone)]
pub struct Scope<'t> {
    /// From the outermost to the innermost.
    levels: Vec<&'t [Directive]>,
    /// Files, paths, problems.
    pub ground: &'t Ground<'t>,
}

impl<'t> Scope<'t> {
    /// The file itself.
    pub fn new(directives: &'t [Directive], ground: &'t Ground<'t>) -> Scope<'t> {
        Scope { levels: vec![directives], ground }
    }

    /// The block of a directive of this scope.
    pub fn inside(&self, directive: &'t Directive) -> Scope<'t> {
        let mut levels = self.levels.clone();
        levels.push(directive.inner());
        Scope { levels, ground: self.ground }
    }

    /// The value, or its problem is kept.
    pub fn keep<T>(&self, result: Result<T, Problem>) -> Option<T> {
        self.ground.told.keep(result)
    }

    /// Keeps a problem.
    pub fn problem(&self, problem: Problem) {
        self.ground.told.problem(problem);
    }

    /// What stands in the innermost block, in order.
    pub fn own(&self) -> &'t [Directive] {
        self.levels.last().copied().unwrap_or_default()
    }

    /// Directives of this name in the innermost block.
    pub fn own_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'t Directive> + use<'t, 'n> {
        self.own().iter().filter(move |directive| directive.name == name)
    }

    /// The setting in force: that of the innermost block that has it.
    pub fn find(&self, name: &str) -> Option<&'t Directive> {
        self.levels.iter().rev().find_map(|level| level.iter().find(|directive| directive.name == name))
    }

    /// The block in which the setting in force is said; `None` when nobody says it, or the file itself does.
    pub fn holder(&self, name: &str) -> Option<&'t Directive> {
        let level = self.levels.iter().rposition(|level| level.iter().any(|said| said.name == name))?;
        let (outer, block) = (self.levels.get(level.checked_sub(1)?)?, self.levels.get(level)?);
        outer.iter().find(|directive| std::ptr::eq(directive.inner(), *block))
    }

    /// The settings in force of one that may be said several times: all of the innermost block that has any.
    /// Blocks around it add nothing, as with `add_header` and `proxy_set_header`.
    pub fn all(&self, name: &str) -> Vec<&'t Directive> {
        let of = |level: &&'t [Directive]| level.iter().filter(|directive| directive.name == name).collect();
        self.levels.iter().rev().map(of).find(|found: &Vec<_>| !found.is_empty()).unwrap_or_default()
    }

    /// As [`Scope::all`], for directives that are one list together, in the order they were said.
    pub fn first_level_with(&self, names: &[&str]) -> Vec<&'t Directive> {
        let of = |level: &&'t [Directive]| {
            level.iter().filter(|directive| names.contains(&directive.name.as_str())).collect()
        };
        self.levels.iter().rev().map(of).find(|found: &Vec<_>| !found.is_empty()).unwrap_or_default()
    }

    /// `on` is true; `unsaid` when nobody says anything.
    pub fn flag(&self, name: &str, unsaid: bool) -> bool {
        self.find(name).and_then(|directive| self.keep(directive.flag(0))).unwrap_or(unsaid)
    }

    /// The time of a directive with one.
    pub fn time(&self, name: &str) -> Option<Duration> {
        self.keep(self.find(name)?.time(0))
    }

    /// The size of a directive with one (`k`, `m`).
    pub fn size(&self, name: &str) -> Option<u64> {
        self.keep(self.find(name)?.size(0))
    }

    /// The size of a directive with one (`k`, `m`, `g`).
    pub fn offset(&self, name: &str) -> Option<u64> {
        self.keep(self.find(name)?.offset(0))
    }

    /// The number of a directive with one.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.keep(self.find(name)?.number(0))
    }

    /// The text of a directive with one.
    pub fn text(&self, name: &str) -> Option<&'t str> {
        self.find(name).map(|directive| directive.argument(0))
    }
}
