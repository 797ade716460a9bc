//! Opening files, and what is known of them then. Blocks for as long as the file system needs, as a page fault does.

use plan::host::Symlinks;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has bytes to send.
    File,
    /// A folder.
    Folder,
    /// A device, a pipe, a socket: nothing to send.
    Other,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Length, bytes.
    pub length: u64,
    /// Time of the last change of its bytes, Unix seconds.
    pub modified_s: i64,
    /// What tells this state of this file from others: device, number, and the nanoseconds of both times of change.
    pub identity: Identity,
}

/// Tells one state of one file from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    number: u64,
    modified_ns: i128,
    changed_ns: i128,
    length: u64,
}

impl Identity {
    /// True when the last change is so long ago that another one would show: file systems keep time in ticks.
    pub fn is_settled(&self, now_s: i64) -> bool {
        const TICK_S: i64 = 2;
        let now_ns = i128::from(now_s - TICK_S) * 1_000_000_000;
        self.modified_ns < now_ns && self.changed_ns < now_ns
    }
}

/// An open file.
#[derive(Debug)]
pub struct Opened {
    /// To read from.
    pub file: OwnedFd,
    /// What is known of it.
    pub facts: Facts,
}

/// Why a file could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there, or no file can have such a name.
    NotFound(Errno),
    /// We may not.
    Forbidden(Errno),
    /// Something is wrong with the system.
    Broken(Errno),
}

impl Fault {
    /// The status a client gets.
    pub fn status(self) -> u16 {
        match self {
            Fault::NotFound(_) => 404,
            Fault::Forbidden(_) => 403,
            Fault::Broken(_) => 500,
        }
    }

    /// The system's own number for it.
    pub fn errno(self) -> i32 {
        match self {
            Fault::NotFound(errno) | Fault::Forbidden(errno) | Fault::Broken(errno) => errno.raw_os_error(),
        }
    }

    /// We may not look there.
    pub fn is_denied(self) -> bool {
        self == Fault::Forbidden(Errno::ACCESS)
    }

    /// It is not there, but the folder it would be in is.
    pub fn is_missing_entry(self) -> bool {
        self == Fault::NotFound(Errno::NOENT)
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL => Fault::NotFound(errno),
            Errno::ACCESS | Errno::MLINK | Errno::LOOP | Errno::XDEV => Fault::Forbidden(errno),
            other => Fault::Broken(other),
        }
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Opens a file or a folder. Links in the first `free` bytes of the name are followed whatever `symlinks` says.
///
/// # Errors
/// It cannot be opened.
pub fn open(name: &[u8], symlinks: Symlinks, free: usize) -> Result<Opened, Fault> {
    let file = match symlinks {
        Symlinks::Follow => rustix::fs::open(name, FLAGS, Mode::empty())?,
        Symlinks::Refuse => {
            let (folder, rest) = start(name, free)?;
            let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            rustix::fs::openat2(folder, rest, FLAGS, Mode::empty(), how)?
        }
        Symlinks::SameOwner => {
            let (folder, rest) = start(name, free)?;
            open_same_owner(folder, rest)?
        }
    };
    let facts = facts_of(&rustix::fs::fstat(&file)?);
    Ok(Opened { file, facts })
}

/// What is known of a file, without opening it. Follows links.
///
/// # Errors
/// It is not there or cannot be reached.
pub fn look(name: &[u8]) -> Result<Facts, Fault> {
    Ok(facts_of(&rustix::fs::stat(name)?))
}

/// What is known of a link itself.
///
/// # Errors
/// It is not there or cannot be reached.
pub fn look_at_link(name: &[u8]) -> Result<Facts, Fault> {
    Ok(facts_of(&rustix::fs::lstat(name)?))
}

/// Reads up to `into.len()` bytes from this place of the file.
///
/// # Errors
/// The file system failed.
pub fn read_at(file: impl AsFd, into: &mut [u8], at: u64) -> Result<usize, Fault> {
    let mut done = 0;
    while done < into.len() {
        match rustix::io::pread(&file, &mut into[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(done)
}

/// The folder where looking at links begins, and the name from there.
fn start(name: &[u8], free: usize) -> Result<(OwnedFd, &[u8]), Errno> {
    let (folder, rest) = name.split_at(free.min(name.len()));
    let root: &[u8] = if name.starts_with(b"/") { b"/" } else { b"." };
    let folder = if folder.is_empty() { root } else { folder };
    let opened = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let rest = &rest[rest.iter().take_while(|byte| **byte == b'/').count()..];
    Ok((opened, if rest.is_empty() { b"." } else { rest }))
}

/// Opens part by part. A link counts as none when it and what it leads to have one owner.
fn open_same_owner(mut folder: OwnedFd, rest: &[u8]) -> Result<OwnedFd, Errno> {
    let mut parts = rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let entry = rustix::fs::statat(&folder, part, AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = if parts.peek().is_some() { OFlags::PATH | OFlags::CLOEXEC } else { FLAGS };
        let next = rustix::fs::openat(&folder, part, flags, Mode::empty())?;
        let is_link = FileType::from_raw_mode(entry.st_mode) == FileType::Symlink;
        if is_link && rustix::fs::fstat(&next)?.st_uid != entry.st_uid {
            return Err(Errno::LOOP);
        }
        folder = next;
    }
    Ok(folder)
}

fn facts_of(stat: &Stat) -> Facts {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    };
    let ns = |seconds: i64, parts: i128| i128::from(seconds) * 1_000_000_000 + parts;
    let length = u64::try_from(stat.st_size).unwrap_or_default();
    Facts {
        kind,
        length,
        modified_s: stat.st_mtime,
        identity: Identity {
            device: stat.st_dev,
            number: stat.st_ino,
            modified_ns: ns(stat.st_mtime, i128::from(stat.st_mtime_nsec)),
            changed_ns: ns(stat.st_ctime, i128::from(stat.st_ctime_nsec)),
            length,
        },
    }
}

impl Facts {
    /// Its entity tag: time of change and length, in hexadecimal.
    pub fn tag(&self) -> String {
        format!("\"{:x}-{:x}\"", self.modified_s, self.length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn name(path: &Path) -> Vec<u8> {
        path.as_os_str().as_bytes().to_vec()
    }

    #[track_caller]
    fn check(path: &Path, symlinks: Symlinks, free: usize, expected: Result<Kind, u16>) {
        let found = open(&name(path), symlinks, free).map(|o| o.facts.kind).map_err(Fault::status);
        assert_eq!(found, expected, "{path:?} {symlinks:?} {free}");
    }

    #[test]
    fn files_folders_and_what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a"), "hello").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let follow = Symlinks::Follow;
        check(&at("a"), follow, 0, Ok(Kind::File));
        check(dir.path(), follow, 0, Ok(Kind::Folder));
        check(&at("pipe"), follow, 0, Ok(Kind::Other));
        check(&at("b"), follow, 0, Err(404));
        check(&at("a/b"), follow, 0, Err(404));
        check(&at(&"x".repeat(300)), follow, 0, Err(404));
        check(&at("a\0b"), follow, 0, Err(404));
        let opened = open(&name(&at("a")), follow, 0).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(read_at(&opened.file, &mut bytes, 1), Ok(4));
        assert_eq!((&bytes[..4], opened.facts.length), (&b"ello"[..], 5));
        assert_eq!(look(&name(&at("a"))).unwrap(), opened.facts);
        assert!(opened.facts.tag().ends_with("-5\""), "{}", opened.facts.tag());
        assert!(!opened.facts.identity.is_settled(opened.facts.modified_s));
        assert!(opened.facts.identity.is_settled(opened.facts.modified_s + 10));
    }

    #[test]
    fn links_are_followed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("d/a"), "").unwrap();
        symlink(at("d/a"), at("link")).unwrap();
        symlink(at("d"), at("dlink")).unwrap();
        symlink(at("nothing"), at("broken")).unwrap();
        let free = name(&root).len();
        for rule in [Symlinks::Follow, Symlinks::SameOwner] {
            check(&at("link"), rule, 0, Ok(Kind::File));
            check(&at("dlink/a"), rule, free, Ok(Kind::File));
            check(&at("broken"), rule, free, Err(404));
        }
        check(&at("d/a"), Symlinks::Refuse, 0, Ok(Kind::File));
        check(&root, Symlinks::Refuse, free, Ok(Kind::Folder));
        check(&at("link"), Symlinks::Refuse, 0, Err(403));
        check(&at("dlink/a"), Symlinks::Refuse, free, Err(403));
        check(&at("dlink/a"), Symlinks::Refuse, name(&at("dlink")).len(), Ok(Kind::File));
        check(&at("d/b"), Symlinks::Refuse, free, Err(404));
    }
}
