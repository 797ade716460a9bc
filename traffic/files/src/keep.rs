//! Small files kept in memory, one keeper per worker. A file is looked at before each use, so what is given is what an
//! open would have given; what is saved are opening, reading and closing.

use super::open::{Facts, Kind, Opened, open, read_at};
use plan::host::Symlinks;
use std::collections::HashMap;
use std::rc::Rc;

/// Files up to this length are kept, bytes.
pub const LARGEST: u64 = 32 * 1024;
/// Bytes of one keeper; it starts anew when they are full.
const ROOM: usize = 8 * 1024 * 1024;
/// What a file costs besides its bytes.
const OVERHEAD: usize = 256;

/// The bytes of a file, in the state in which it was read.
pub type Kept = (Facts, Rc<[u8]>);

/// Small files by name.
#[derive(Debug, Default)]
pub struct Keeper {
    files: HashMap<Box<[u8]>, Kept>,
    bytes: usize,
}

impl Keeper {
    /// The bytes of a file in this state, if it is kept.
    pub fn get(&self, name: &[u8], facts: &Facts) -> Option<Rc<[u8]>> {
        let (kept, bytes) = self.files.get(name)?;
        (kept == facts).then(|| Rc::clone(bytes))
    }

    /// Reads a file and keeps it, when it is small and has not changed just now. `None` = read it as any other file.
    pub fn take(&mut self, name: &[u8], now_s: i64) -> Option<Kept> {
        let Opened { file, facts } = open(name, Symlinks::Follow, 0).ok()?;
        if facts.kind != Kind::File || facts.length > LARGEST || !facts.identity.is_settled(now_s) {
            return None;
        }
        let mut bytes = vec![0; facts.length as usize];
        if read_at(&file, &mut bytes, 0).ok()? != bytes.len() {
            return None;
        }
        let bytes: Rc<[u8]> = bytes.into();
        let cost = bytes.len() + name.len() + OVERHEAD;
        if self.bytes + cost > ROOM {
            *self = Keeper::default();
        }
        self.bytes += cost;
        self.files.insert(name.into(), (facts, Rc::clone(&bytes)));
        Some((facts, bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::open::look;
    use std::os::unix::ffi::OsStrExt;

    const LATER: i64 = i32::MAX as i64;

    #[test]
    fn a_file_is_kept_as_long_as_it_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let name = path.as_os_str().as_bytes();
        std::fs::write(&path, "hello").unwrap();
        let mut keeper = Keeper::default();
        let before = look(name).unwrap();
        assert!(keeper.get(name, &before).is_none());
        assert!(keeper.take(name, before.modified_s).is_none(), "it may change again in this second");
        let (facts, bytes) = keeper.take(name, LATER).unwrap();
        assert_eq!((facts, &bytes[..]), (before, &b"hello"[..]));
        assert_eq!(keeper.get(name, &look(name).unwrap()).as_deref(), Some(&b"hello"[..]));
        std::fs::write(&path, "other words").unwrap();
        assert!(keeper.get(name, &look(name).unwrap()).is_none());
        let (_, bytes) = keeper.take(name, LATER).unwrap();
        assert_eq!(&bytes[..], b"other words");
    }

    #[test]
    fn large_files_folders_and_the_rest_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        std::fs::write(&large, vec![0; LARGEST as usize + 1]).unwrap();
        let mut keeper = Keeper::default();
        for path in [large.as_path(), dir.path(), &dir.path().join("none")] {
            assert!(keeper.take(path.as_os_str().as_bytes(), LATER).is_none(), "{path:?}");
        }
    }

    #[test]
    fn the_room_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![0; LARGEST as usize]).unwrap();
        let mut keeper = Keeper::default();
        for n in 0..600 {
            let link = dir.path().join(n.to_string());
            std::fs::hard_link(&path, &link).unwrap();
            keeper.take(link.as_os_str().as_bytes(), LATER).unwrap();
            assert!(keeper.bytes <= ROOM);
        }
        assert!(keeper.files.len() < 600);
    }
}
