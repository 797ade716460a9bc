//! Log files whose paths are made for each line: opened for it, and kept open as far as one is told.

use super::header::write_line;
use plan::host::KeepOpen;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Files kept open at the most, whatever is said.
const MOST: usize = 1024;

/// Files that are known, the one used last in front.
#[derive(Debug, Default)]
pub(super) struct MadeFiles {
    known: VecDeque<Known>,
    line: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    /// Open, once it was used often enough.
    file: Option<File>,
    uses: u32,
    opened: Instant,
    used: Instant,
}

impl MadeFiles {
    /// Writes one line; false when it is lost.
    pub fn write(&mut self, path: &Path, keep: KeepOpen, text: &[u8], now: Instant) -> bool {
        self.line.clear();
        write_line(text, &mut self.line);
        self.line.push(b'\n');
        let most = keep.most.min(MOST);
        if most == 0 {
            return open(path).and_then(|mut file| file.write_all(&self.line)).is_ok();
        }
        self.known.retain(|known| now.saturating_duration_since(known.used) < keep.inactive);
        let known = match self.known.iter().position(|known| known.path == path) {
            Some(at) => self.known.remove(at),
            None => None,
        };
        let mut known = known.unwrap_or_else(|| Known {
            path: path.to_path_buf(),
            file: None,
            uses: 0,
            opened: now,
            used: now,
        });
        // What cannot be opened pushes nothing out.
        if known.write(keep, &self.line, now).is_err() {
            return false;
        }
        self.known.truncate(most - 1);
        self.known.push_front(known);
        true
    }
}

impl Known {
    fn write(&mut self, keep: KeepOpen, line: &[u8], now: Instant) -> io::Result<()> {
        (self.uses, self.used) = (self.uses.saturating_add(1), now);
        let fresh = now.saturating_duration_since(self.opened) < keep.valid;
        let mut file = match self.file.take() {
            Some(file) if fresh => file,
            _ => {
                self.opened = now;
                open(&self.path)?
            }
        };
        let written = file.write_all(line);
        self.file = (self.uses >= keep.uses).then_some(file);
        written
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_files_used_last_and_often_stay_open() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir(&before).unwrap();
        let minute = Duration::from_secs(60);
        let keep = KeepOpen { most: 3, inactive: minute, valid: minute, uses: 2 };
        let mut files = MadeFiles::default();
        let now = Instant::now();
        let mut write = |name: &str| files.write(&before.join(name), keep, b"x\ny", now);
        for name in ["old", "old", "once", "first", "first", "second", "second"] {
            assert!(write(name), "{name}");
        }
        std::fs::rename(&before, &after).unwrap();
        let written = ["old", "once", "first", "second"].map(&mut write);
        assert_eq!(written, [false, false, true, true]);
        assert_eq!(std::fs::read_to_string(after.join("first")).unwrap(), "x#0Ay\n".repeat(3));
        let later = now + minute;
        assert!(!files.write(&before.join("second"), keep, b"x", later), "it is opened again");
    }
}
