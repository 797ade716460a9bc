//! Bodies of requests that were read whole: in memory, or in a file when they are large. They can be sent again and again.

use plan::host::BodyFile;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// A temporary file. Its name is gone at once, with its request, or never.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: File,
    path: PathBuf,
    /// Its name is taken away when nobody needs it any more.
    removes: bool,
}

/// Names of temporary files are numbers, as with nginx.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Temporary {
    /// A new file in `directory`, which is made when it is missing.
    pub fn new(directory: &Path, life: BodyFile) -> io::Result<Temporary> {
        let mut made = false;
        loop {
            let path = directory.join(format!("{:010}", NEXT.fetch_add(1, Relaxed)));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    if life == BodyFile::WhenLarge {
                        std::fs::remove_file(&path)?;
                    }
                    return Ok(Temporary { file, path, removes: life == BodyFile::Request });
                }
                // Left by a process before us.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound && !made => {
                    made = true;
                    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is, or was.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of `bytes` at a place.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Reads once from a place. 0 = its end.
    pub fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(into, at) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.removes {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A body that was read whole.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    file: Option<Temporary>,
    length: u64,
}

impl Spool {
    /// A body that is in memory already.
    pub fn of(memory: Vec<u8>) -> Spool {
        Spool { length: memory.len() as u64, memory, file: None }
    }

    /// Bytes of it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The body when all of it is in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.memory)
    }

    /// Where it is when it is in a file.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(Temporary::path)
    }

    /// Puts bytes behind it. What does not fit into `memory` bytes goes into a file, all of it.
    pub fn append(&mut self, bytes: &[u8], memory: usize, directory: &Path) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > memory {
            self.move_to_file(directory, BodyFile::WhenLarge)?;
        }
        match &self.file {
            Some(file) => file.write_at(bytes, self.length)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// From now on all of it is in a file.
    pub fn move_to_file(&mut self, directory: &Path, life: BodyFile) -> io::Result<()> {
        if self.file.is_none() {
            let file = Temporary::new(directory, life)?;
            file.write_at(&self.memory, 0)?;
            self.file = Some(file);
            self.memory = Vec::new();
        }
        Ok(())
    }
}

/// Reads a body from its beginning.
#[derive(Debug)]
pub(crate) struct Reader {
    spool: Rc<Spool>,
    at: u64,
}

impl Reader {
    /// From the beginning.
    pub fn new(spool: Rc<Spool>) -> Reader {
        Reader { spool, at: 0 }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = match &self.spool.file {
            Some(file) => file.read_at(into, self.at)?,
            None => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX).min(self.spool.memory.len());
                let rest = &self.spool.memory[from..];
                let n = rest.len().min(into.len());
                into[..n].copy_from_slice(&rest[..n]);
                n
            }
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = self.get_mut().read(buf.initialize_unfilled())?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn whole(spool: Spool) -> Vec<u8> {
        let mut reader = Reader::new(Rc::new(spool));
        let (mut all, mut part) = (Vec::new(), [0; 7]);
        loop {
            match reader.read(&mut part).unwrap() {
                0 => return all,
                n => all.extend_from_slice(&part[..n]),
            }
        }
    }

    #[test]
    fn what_does_not_fit_into_memory_goes_into_a_file_without_a_name() {
        let directory = std::env::temp_dir().join(format!("spool-{}", std::process::id()));
        let mut spool = Spool::default();
        for part in [&b"12345"[..], b"678", b"90", b"abcdef"] {
            spool.append(part, 8, &directory).unwrap();
        }
        assert_eq!((spool.in_memory(), spool.length()), (None, 16));
        let path = spool.path().unwrap().to_path_buf();
        assert!(!path.exists());
        assert_eq!(whole(spool), b"1234567890abcdef");
        let mut spool = Spool::of(b"x".to_vec());
        spool.append(b"y", 8, &directory).unwrap();
        assert_eq!(spool.in_memory(), Some(&b"xy"[..]));
        spool.move_to_file(&directory, BodyFile::Request).unwrap();
        let path = spool.path().unwrap().to_path_buf();
        assert_eq!(std::fs::read(&path).unwrap(), b"xy");
        assert_eq!(whole(spool), b"xy");
        assert!(!path.exists());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
