//! Log files that are compressed: lines are gathered, and go out as one member of a gzip file (RFC 1952).

use flate2::{Compression, write::GzEncoder};
use plan::log::GzipFile;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// A compressed file and the lines that wait for company.
#[derive(Debug)]
pub(super) struct Gzip {
    plan: GzipFile,
    file: File,
    lines: Vec<u8>,
    /// When the first of them came.
    since: Instant,
}

impl Gzip {
    pub fn new(plan: GzipFile, file: File) -> Gzip {
        Gzip { plan, file, lines: Vec::new(), since: Instant::now() }
    }

    /// Keeps a line; false when it, or those before it, are lost.
    pub fn take(&mut self, line: &[u8]) -> bool {
        let full = self.lines.len() + line.len() > self.plan.bytes && !self.lines.is_empty();
        let lost = if full { self.flush(true) } else { 0 };
        if self.lines.is_empty() {
            self.since = Instant::now();
        }
        self.lines.extend_from_slice(line);
        lost == 0
    }

    /// Writes what waits when it is time, or at once; gives the lines lost.
    pub fn flush(&mut self, at_once: bool) -> u64 {
        if self.lines.is_empty() || !(at_once || self.pause() == Some(Duration::ZERO)) {
            return 0;
        }
        let lines = std::mem::take(&mut self.lines);
        match self.write(&lines) {
            Ok(()) => 0,
            Err(_) => lines.iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let level = Compression::new(u32::from(self.plan.level.clamp(1, 9)));
        let mut member = GzEncoder::new(Vec::new(), level);
        member.write_all(lines)?;
        // In one piece: whoever reads the file meanwhile finds whole members.
        self.file.write_all(&member.finish()?)
    }

    /// Time until what waits must go; `None` = nothing waits, or without limit.
    pub fn pause(&self) -> Option<Duration> {
        let flush = self.plan.flush.filter(|_| !self.lines.is_empty())?;
        Some(flush.saturating_sub(self.since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read as _;

    #[test]
    fn lines_go_out_together_when_they_are_many_or_late() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.gz");
        let plan = GzipFile { path: path.clone(), level: 1, bytes: 8, flush: Some(Duration::from_secs(60)) };
        let mut gzip = Gzip::new(plan, File::create(&path).unwrap());
        let written = || {
            let mut text = String::new();
            if path.metadata().unwrap().len() == 0 {
                return text;
            }
            flate2::read::MultiGzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
            text
        };
        assert!(gzip.take(b"one\n") && gzip.take(b"two\n"));
        assert_eq!((gzip.flush(false), written()), (0, String::new()));
        assert!(gzip.take(b"three\n"), "the first two make room");
        assert_eq!(written(), "one\ntwo\n");
        assert_eq!((gzip.flush(true), written()), (0, "one\ntwo\nthree\n".into()));
        assert_eq!(gzip.pause(), None);
        gzip.plan.flush = Some(Duration::ZERO);
        assert!(gzip.take(b"four\n"));
        assert_eq!((gzip.flush(false), written()), (0, "one\ntwo\nthree\nfour\n".into()));
    }
}
