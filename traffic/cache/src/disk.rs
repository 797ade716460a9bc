//! Files of a cache: names, reading, writing beside and renaming, what is there.
//!
//! Calls wait for the disk, as nginx's do; what is read often lies in the kernel's memory.

use crate::Key;
use crate::entry::{Body, Record};
use crate::format;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// Bodies up to this are held in memory with their head.
pub(crate) const SMALL: u64 = 64 * 1024;
/// What is read at first: most heads, and small answers whole.
const FIRST_READ: usize = 8 * 1024;
/// Files that were begun and never finished are removed after this time.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How files begin that are being written.
const BEGUN: &str = ".begun-";

/// The directory of a cache.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    levels: Vec<u8>,
    begun: AtomicU64,
}

/// An answer as it was found on disk.
pub(crate) struct OnDisk {
    pub record: Record,
    pub body: Body,
    pub inode: u64,
    /// What it takes there.
    pub size: u64,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Begun {
    path: PathBuf,
    pub file: File,
    renamed: bool,
}

/// A file that is there at the start.
pub(crate) struct Listed {
    pub path: PathBuf,
    pub size: u64,
    pub key: Option<Key>,
    pub modified: SystemTime,
}

impl Directory {
    /// A directory with so many levels below it; made when it is missing.
    pub fn open(root: &Path, levels: &[u8]) -> io::Result<Directory> {
        make_directory(root)?;
        Ok(Directory { root: root.to_owned(), levels: levels.to_owned(), begun: AtomicU64::new(0) })
    }

    /// Where the file of a key is: directories by the last digits of its name, as nginx has them.
    pub fn path(&self, key: &Key) -> PathBuf {
        let name = hex(key);
        let mut path = self.root.clone();
        let mut end = name.len();
        for level in &self.levels {
            let start = end - usize::from(*level).min(end);
            path.push(&name[start..end]);
            end = start;
        }
        path.push(name);
        path
    }

    /// Reads the answer of a key; `None` when there is none that can be trusted. Those are removed.
    pub fn read(&self, key: &Key) -> Option<OnDisk> {
        let path = self.path(key);
        let file = File::open(&path).ok()?;
        match read(file) {
            Ok(found) => Some(found),
            Err(_) => {
                let _ = fs::remove_file(path);
                None
            }
        }
    }

    /// The file of a key as it lies there now: its inode.
    pub fn inode(&self, key: &Key) -> Option<u64> {
        fs::symlink_metadata(self.path(key)).ok().map(|data| data.ino())
    }

    /// Begins to write a file beside the others.
    pub fn begin(&self) -> io::Result<Begun> {
        let number = self.begun.fetch_add(1, Relaxed);
        let path = self.root.join(format!("{BEGUN}{}-{number}", std::process::id()));
        let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = match options {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(&self.root)?;
                OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?
            }
            other => other?,
        };
        Ok(Begun { path, file, renamed: false })
    }

    /// Gives a finished file its name.
    pub fn finish(&self, begun: &mut Begun, key: &Key) -> io::Result<()> {
        let path = self.path(key);
        if let Err(error) = fs::rename(&begun.path, &path) {
            let (io::ErrorKind::NotFound, Some(parent)) = (error.kind(), path.parent()) else {
                return Err(error);
            };
            make_directory(parent)?;
            fs::rename(&begun.path, &path)?;
        }
        begun.renamed = true;
        Ok(())
    }

    /// Writes a new head over that of a file, when it has the same length.
    pub fn rewrite(&self, key: &Key, record: &Record, body: &Body) -> bool {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(self.path(key)) else { return false };
        let mut prefix = [0; format::PREFIX];
        let known = file.read_exact_at(&mut prefix, 0).ok().and_then(|()| format::body_start(&prefix));
        let Some(start) = known else { return false };
        match format::encode(record, body.length(), start) {
            Some(head) if head.len() == start => file.write_all_at(&head, 0).is_ok(),
            _ => false,
        }
    }

    /// Removes the file of a key.
    pub fn remove(&self, key: &Key) {
        let _ = fs::remove_file(self.path(key));
    }

    /// Free bytes of the file system.
    pub fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.root).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Lists what is in a directory: files, and directories to look into. Names that no cache gives are left alone.
    pub fn list(&self, directory: &Path, depth: usize, each: &mut dyn FnMut(Listed)) -> Vec<PathBuf> {
        let mut below = Vec::new();
        let Ok(list) = fs::read_dir(directory) else { return below };
        for item in list.flatten() {
            let Ok(kind) = item.file_type() else { continue };
            let name = item.file_name();
            let name = name.to_string_lossy();
            if kind.is_dir() && depth < self.levels.len() && is_hex(&name) {
                below.push(item.path());
            } else if kind.is_file()
                && (name.starts_with(BEGUN) || parse(&name).is_some())
                && let Ok(data) = item.metadata()
            {
                let modified = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                each(Listed { path: item.path(), size: on_disk(data.len()), key: parse(&name), modified });
            }
        }
        below
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Listed {
    /// True for a file that somebody began and never finished.
    pub fn is_abandoned(&self, now: SystemTime) -> bool {
        self.key.is_none() && now.duration_since(self.modified).is_ok_and(|age| age > ABANDONED)
    }
}

impl Begun {
    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a file takes of the disk: whole blocks, as nginx counts.
pub(crate) fn on_disk(length: u64) -> u64 {
    length.next_multiple_of(4096)
}

/// Reads a file: head, and the body when it is small.
fn read(file: File) -> io::Result<OnDisk> {
    let data = file.metadata()?;
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let mut first = vec![0; FIRST_READ.min(usize::try_from(data.len()).unwrap_or(FIRST_READ))];
    file.read_exact_at(&mut first, 0)?;
    let start = format::body_start(&first).ok_or_else(wrong)?;
    if start as u64 > data.len() {
        return Err(wrong());
    }
    let known = first.len();
    if start > known {
        first.resize(start, 0);
        file.read_exact_at(&mut first[known..], known as u64)?;
    }
    // A head that is being written over is read again.
    let found = format::decode(&first).or_else(|| {
        file.read_exact_at(&mut first[..start], 0).ok()?;
        format::decode(&first)
    });
    let (record, length) = found.ok_or_else(wrong)?;
    if (start as u64).checked_add(length) != Some(data.len()) {
        return Err(wrong());
    }
    let body = match length {
        0..=SMALL => {
            let mut body = vec![0; length as usize];
            let here = first.len().saturating_sub(start).min(body.len());
            body[..here].copy_from_slice(&first[start..start + here]);
            file.read_exact_at(&mut body[here..], (start + here) as u64)?;
            Body::Memory(body.into())
        }
        _ => Body::File { file: Arc::new(file), start: start as u64, length },
    };
    Ok(OnDisk { record, body, inode: data.ino(), size: on_disk(data.len()) })
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn hex(key: &Key) -> String {
    key.0.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_hex(name: &str) -> bool {
    matches!(name.len(), 1 | 2) && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn parse(name: &str) -> Option<Key> {
    if name.len() != 32 || !name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some(Key(u128::from_str_radix(name, 16).ok()?.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_are_named_as_nginx_names_them() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path(), &[1, 2]).unwrap();
        let key = parse("b7f54b2df7773722d382f4809d65029c").unwrap();
        let path = directory.path(&key);
        assert_eq!(path, home.path().join("c/29/b7f54b2df7773722d382f4809d65029c"));
        assert_eq!(hex(&key), "b7f54b2df7773722d382f4809d65029c");
        assert!(parse("b7f54b2df7773722d382f4809d65029C").is_none());
    }

    #[test]
    fn what_is_begun_and_dropped_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path(), &[]).unwrap();
        let mut begun = directory.begin().unwrap();
        begun.write(b"x").unwrap();
        drop(begun);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
