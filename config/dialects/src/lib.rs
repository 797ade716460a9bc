//! Text to plan: reads the configuration files people have and writes a [`plan::Draft`].
//!
//! `app` and `supervisor` call [`read`] with the files' bytes; what else a file refers to (error pages,
//! pattern lists, environment variables) comes through [`Sources`], so nothing here touches a file, a
//! clock or the environment. Every dialect reports all its problems at once, with file, line and column.

mod formats;
pub mod haproxy;
pub mod native;
pub mod nginx;

use plan::{Draft, Place, Problem};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file that is read, bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// What a configuration may refer to outside itself. The caller decides what that is.
pub trait Sources {
    /// Bytes of a file named in the configuration.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Files of a folder named in the configuration, in the order they are to be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// What is in a folder, to find the files that a pattern means. Unless it is told more, the files of
    /// [`Sources::list`].
    fn entries(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let files = self.list(folder)?.into_iter().filter_map(name);
        Ok(files.map(|name| Entry { name, is_folder: false }).collect())
    }

    /// Value of an environment variable; `None` when it is not set.
    fn env(&self, name: &str) -> Option<String>;

    /// Address of a host name, where an address is needed at once (listeners, logs). `None` = unknown.
    fn lookup(&self, _host: &str) -> Option<IpAddr> {
        None
    }
}

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name there.
    pub name: String,
    /// It is a folder itself.
    pub is_folder: bool,
}

/// Nothing outside the text: no files, no variables. For tests and for checking a text by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn list(&self, _folder: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// A language of configuration files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `haproxy.cfg`.
    Haproxy,
    /// `mainstay.yaml`.
    Native,
    /// `nginx.conf`.
    Nginx,
}

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Old forms that today's HAProxy refuses are problems instead of notes.
    pub strict: bool,
    /// What nginx's command line says.
    pub nginx: nginx::Start,
}

/// The dialect of a file by its name and text; `None` when neither tells.
pub fn recognise(name: &str, text: &[u8]) -> Option<Dialect> {
    let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension {
        "yaml" | "yml" => return Some(Dialect::Native),
        "cfg" => return Some(Dialect::Haproxy),
        _ if name.ends_with("nginx.conf") => return Some(Dialect::Nginx),
        _ => {}
    }
    let words = text.split(|b| *b == b'\n').filter_map(|line| {
        let line = line.trim_ascii();
        (!line.is_empty() && line[0] != b'#')
            .then(|| line.split(u8::is_ascii_whitespace).next().unwrap_or(line))
    });
    words.take(50).find_map(dialect_of_word)
}

/// Reads all files into one draft. With `dialect` given, every file is read in it.
///
/// Problems are collected in `draft.problems`; the draft is usable only when there are none.
pub fn read(
    files: &[(String, Vec<u8>)],
    dialect: Option<Dialect>,
    sources: &dyn Sources,
    options: &Options,
) -> Draft {
    let mut draft = Draft::default();
    let mut haproxy_files = Vec::new();
    for (name, text) in files {
        let file: Arc<str> = Arc::from(name.as_str());
        if text.len() > MAX_FILE_BYTES {
            draft.problems.push(too_large(&file));
            continue;
        }
        match dialect.or_else(|| recognise(name, text)) {
            Some(Dialect::Haproxy) => haproxy_files.push((file, text.as_slice())),
            Some(Dialect::Native) => draft.merge(native::read(&file, text)),
            Some(Dialect::Nginx) => draft.merge(nginx::read(&file, text, sources, options)),
            None => draft.problems.push(unknown_dialect(&file)),
        }
    }
    draft.merge(haproxy::read(&haproxy_files, sources, options));
    draft
}

/// Reads arbitrary bytes as a configuration: must never panic. The fuzz targets call it.
pub fn read_any(bytes: &[u8]) {
    let files = [("fuzz.cfg".to_owned(), bytes.to_vec())];
    let _ = read(&files, Some(Dialect::Haproxy), &NoSources, &Options::default());
    let _ = read(&files, Some(Dialect::Native), &NoSources, &Options::default());
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = haproxy::condition_check(text, &|_| None);
    }
}

/// Reads arbitrary bytes as an nginx.conf: must never panic. The fuzz target calls it.
pub fn read_any_nginx(bytes: &[u8]) {
    let files = [("fuzz.conf".to_owned(), bytes.to_vec())];
    let _ = read(&files, Some(Dialect::Nginx), &NoSources, &Options::default());
}

fn dialect_of_word(word: &[u8]) -> Option<Dialect> {
    let word = std::str::from_utf8(word).ok()?;
    if haproxy::is_section(word) || matches!(word, ".if" | ".notice" | ".warning" | ".alert" | ".diag") {
        return Some(Dialect::Haproxy);
    }
    if nginx::is_start(word) {
        return Some(Dialect::Nginx);
    }
    (word.ends_with(':') || word == "---").then_some(Dialect::Native)
}

fn too_large(file: &Arc<str>) -> Problem {
    let limit = MAX_FILE_BYTES >> 20;
    Problem::new(Place::new(file, 0, 0), format!("the file is larger than {limit} MiB"))
        .hint("split it, or move long lists into files used by 'acl … -f FILE'")
}

fn unknown_dialect(file: &Arc<str>) -> Problem {
    Problem::new(Place::new(file, 0, 0), "this is no configuration that is known here")
        .hint("name it '….cfg' (HAProxy), 'nginx.conf' or '….yaml' (ours)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognised_by_name_or_text() {
        assert_eq!(recognise("haproxy.cfg", b""), Some(Dialect::Haproxy));
        assert_eq!(recognise("mainstay.yaml", b""), Some(Dialect::Native));
        assert_eq!(recognise("cfg", b"# x\n\n  global\n"), Some(Dialect::Haproxy));
        assert_eq!(recognise("conf", b"sites:\n  - a\n"), Some(Dialect::Native));
        assert_eq!(recognise("x.conf", b"events{}\nhttp {\n}\n"), Some(Dialect::Nginx));
        assert_eq!(recognise("sites/my-nginx.conf", b""), Some(Dialect::Nginx));
        assert_eq!(recognise("x.conf", b"hello"), None);
    }
}
