//! Case files under `cases/`, and the blanks in them.

use std::fs;
use std::path::{Path, PathBuf};

/// The path of a file or folder of `cases/`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name)
}

/// The text of a file of `cases/`.
pub fn read(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Fills each `{{name}}` of a text.
pub fn fill(text: &str, blanks: &[(&str, &str)]) -> String {
    let filled = blanks
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
    assert!(!filled.contains("{{"), "a blank is left in:\n{filled}");
    filled
}

/// Files of a folder of `cases/` with this extension, sorted by name.
pub fn all(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|file| file.extension().is_some_and(|end| end == extension)).collect();
    files.sort();
    files
}
