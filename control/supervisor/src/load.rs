//! From files on disk to a plan, or all problems at once.

use dialects::{Dialect, Sources};
use plan::{Plan, Problem, Problems};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Files, and folders whose files are read in the order of their names.
    pub files: Vec<PathBuf>,
    /// Dialect of all files; `None` = recognised file by file.
    pub dialect: Option<Dialect>,
    /// Warnings are problems (`-dW` of HAProxy).
    pub zero_warning: bool,
}

/// Reads and resolves; nothing is opened but the files.
pub fn load(input: &Input) -> Result<Plan, Problems> {
    let (files, mut problems) = read_files(&input.files);
    let draft = dialects::read(&files, input.dialect, &FileSources, &dialects::Options::default());
    if input.zero_warning {
        let warnings = draft.notes.iter().filter(|note| note.warning);
        problems.extend(warnings.map(|note| {
            Problem::new(note.place.clone(), &*note.what).hint("warnings are refused by the command line (-dW)")
        }));
    }
    match draft.resolve() {
        Ok(plan) if problems.is_empty() => Ok(plan),
        Ok(_) => Err(problems),
        Err(more) => Err([problems, more].concat()),
    }
}

fn read_files(paths: &[PathBuf]) -> (Vec<(String, Vec<u8>)>, Problems) {
    let (mut files, mut problems) = (Vec::new(), Problems::new());
    for path in paths {
        let list = if path.is_dir() { FileSources.list(path) } else { Ok(vec![path.clone()]) };
        for path in list.unwrap_or_else(|_| vec![path.clone()]) {
            match std::fs::read(&path) {
                Ok(text) => files.push((path.display().to_string(), text)),
                Err(error) => problems.push(
                    Problem::new(plan::Place::none(), format!("read configuration {}: {error}", path.display()))
                        .hint("check the path and its permissions"),
                ),
            }
        }
    }
    (files, problems)
}

/// The machine's files, environment and names.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSources;

impl Sources for FileSources {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_file() && !is_hidden(path))
            .collect();
        files.sort();
        Ok(files)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn lookup(&self, host: &str) -> Option<IpAddr> {
        (host, 0).to_socket_addrs().ok()?.next().map(|address| address.ip())
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
