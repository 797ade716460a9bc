//! Read buffers: taken while a connection is busy, given back while it is idle.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes received and not yet used: a window that moves through a fixed block.
#[derive(Debug, Default)]
pub struct Buffer {
    block: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer of so many bytes.
    pub fn new(size: usize) -> Buffer {
        Buffer { block: vec![0; size].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The bytes in it.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    /// How many bytes are in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True when nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// True when no byte more fits, even after moving.
    pub fn is_full(&self) -> bool {
        self.len() == self.block.len()
    }

    /// The first `n` bytes were used.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consumed more than there is");
        self.start += n;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Forgets all bytes.
    #[inline]
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Puts bytes behind those in it; false when they do not fit.
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        self.make_room(bytes.len());
        let Some(free) = self.block.get_mut(self.end..self.end + bytes.len()) else { return false };
        free.copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }

    /// Makes the block larger; the bytes stay.
    pub fn grow(&mut self, size: usize) {
        if size > self.block.len() {
            let mut larger = Buffer::new(size);
            larger.append(self.bytes());
            *self = larger;
        }
    }

    /// Size of the block.
    pub fn size(&self) -> usize {
        self.block.len()
    }

    /// Reads once from `stream`. 0 = the end of the stream. The buffer must not be full.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room(1);
        let mut free = ReadBuf::new(&mut self.block[self.end..]);
        debug_assert!(free.remaining() > 0, "filling a full buffer");
        ready!(Pin::new(stream).poll_read(cx, &mut free))?;
        let n = free.filled().len();
        self.end += n;
        Poll::Ready(Ok(n))
    }

    /// Lets `read` put up to `most` bytes behind those in it; how many it put.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill_with(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.make_room(most);
        let end = self.block.len().min(self.end + most);
        let n = read(&mut self.block[self.end..end])?;
        self.end += n.min(end - self.end);
        Ok(n)
    }

    /// Moves the bytes to the front when fewer than `wanted` fit behind them.
    fn make_room(&mut self, wanted: usize) {
        if self.block.len() - self.end < wanted && self.start > 0 {
            self.block.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
    }
}

/// Buffers of one worker that are not in use. A bounded number is kept.
#[derive(Debug)]
pub struct Buffers {
    size: usize,
    keep: usize,
    free: RefCell<Vec<Buffer>>,
}

impl Buffers {
    /// Bytes in a buffer.
    pub const SIZE: usize = 16 * 1024;
    const KEEP: usize = 256;

    /// An empty buffer.
    pub fn take(&self) -> Buffer {
        self.free.borrow_mut().pop().unwrap_or_else(|| Buffer::new(self.size))
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Buffer) {
        let mut free = self.free.borrow_mut();
        if buffer.size() == self.size && free.len() < self.keep {
            buffer.clear();
            free.push(buffer);
        }
    }
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { size: Self::SIZE, keep: Self::KEEP, free: RefCell::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_moves_and_room_is_made() {
        let mut buffer = Buffer::new(8);
        assert!(buffer.append(b"abcdefgh"));
        assert!(!buffer.append(b"i"));
        buffer.consume(3);
        assert!(buffer.append(b"ijk"));
        assert_eq!(buffer.bytes(), b"defghijk");
        buffer.grow(16);
        assert!(buffer.append(b"lm"));
        assert_eq!(buffer.bytes(), b"defghijklm");
        buffer.consume(10);
        assert!(buffer.is_empty());
    }
}
