//! The files of the project as `tidy` sees them: read once, with helpers to look past comments and tests.

use std::fs;
use std::path::Path;

use crate::Result;

/// Folders that hold nothing we wrote.
const SKIPPED: &[&str] = &["target", ".git", "artifacts", "coverage"];

/// A text file.
pub struct File {
    /// From the root of the workspace, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Something to mend, as `path: what`.
pub type Problem = String;

impl File {
    /// Whether its name ends so.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether a file of `folder`'s library or binary (not of its tests).
    pub fn is_source_of(&self, folder: &str) -> bool {
        self.is_rust() && self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with("/src/"))
    }

    /// Lines of code with their number from 1: no comments, nothing after the test module's start.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        lines.enumerate().map(|(n, line)| (n + 1, without_comment(line)))
    }

    /// All lines, also of tests, without comments.
    pub fn all_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, without_comment(line)))
    }
}

/// All text files below `root`. Files that are not UTF-8 are no text.
pub fn files(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if SKIPPED.iter().any(|name| entry.file_name() == *name) {
            continue; // also a file: .git of a linked work tree
        }
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push(File { path, text });
        }
    }
    Ok(())
}

/// A `//` inside a string would be cut as well; for the words that tidy looks for this does no harm.
fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_are_no_code() {
        let text = "//! Doc.\nlet a = 1; // why\n#[cfg(test)]\nmod tests {}\n".to_owned();
        let file = File { path: "config/plan/src/lib.rs".into(), text };
        assert_eq!(file.code().collect::<Vec<_>>(), [(1, ""), (2, "let a = 1; ")]);
        assert!(file.is_source_of("config/plan"));
        assert!(!file.is_source_of("config/pla"));
    }
}
