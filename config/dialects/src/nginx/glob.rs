//! Patterns of `include`: `*`, `?`, `[a-z]`, as glob(3) has them, folder by folder.

use crate::Sources;
use std::io;
use std::path::{Path, PathBuf};

/// True when the text holds what makes it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Files that a pattern means, sorted; none is no error.
pub(super) fn expand(pattern: &Path, sources: &dyn Sources) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    let mut parts = pattern.components().peekable();
    while let Some(part) = parts.next() {
        let text = part.as_os_str().to_string_lossy();
        let last = parts.peek().is_none();
        if !is_pattern(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found =
            found.iter().map(|folder| matching(folder, &text, last, sources)).collect::<Vec<_>>().concat();
    }
    found.sort();
    Ok(found)
}

/// Entries of a folder that fit; a folder that is not there has none.
fn matching(folder: &Path, pattern: &str, last: bool, sources: &dyn Sources) -> Vec<PathBuf> {
    let entries = sources.entries(folder).unwrap_or_default();
    let fitting = entries.into_iter().filter(|entry| {
        let hidden = entry.name.starts_with('.') && !pattern.starts_with('.');
        !hidden && fits(pattern, &entry.name) && (last || entry.is_folder)
    });
    fitting.map(|entry| folder.join(entry.name)).collect()
}

/// Whether a whole name fits a pattern.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last `*` when what follows it does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match step(&pattern[p..], name[n]) {
            Step::Any => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Step::One(length) => (p, n) = (p + length, n + 1),
            Step::No => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

enum Step {
    /// `*`.
    Any,
    /// One character fits; so much of the pattern is used.
    One(usize),
    No,
}

fn step(pattern: &[char], c: char) -> Step {
    match pattern.first() {
        Some('*') => Step::Any,
        Some('?') => Step::One(1),
        Some('[') => match set(pattern, c) {
            Some((true, length)) => Step::One(length),
            Some((false, _)) => Step::No,
            None if c == '[' => Step::One(1),
            None => Step::No,
        },
        Some('\\') if pattern.get(1) == Some(&c) => Step::One(2),
        Some(p) if *p == c => Step::One(1),
        _ => Step::No,
    }
}

/// `[abc]`, `[a-z]`, `[!a]`: whether `c` is in it, and its length. `None` = nothing closes it.
fn set(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let not = matches!(pattern.get(1), Some('!' | '^'));
    let start = if not { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|p| *p == ']')?;
    let (mut at, mut found) = (start, false);
    while at < end {
        let range = pattern.get(at + 1) == Some(&'-') && at + 2 < end;
        let last = if range { pattern[at + 2] } else { pattern[at] };
        found |= (pattern[at]..=last).contains(&c);
        at += if range { 3 } else { 1 };
    }
    Some((found != not, end + 1))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("*", "", true),
            ("a*b*c", "axxbxc", true),
            ("a*b*c", "axxbx", false),
            ("?.x", "a.x", true),
            ("?.x", ".x", false),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[!a-c]1", "d1", true),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("*_by_lua*", "content_by_lua_block", true),
            ("*_by_lua*", "lua_x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
