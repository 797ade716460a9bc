//! Clients that wrk cannot be: one checked request, bulk readers, idle connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Result;

/// Longest wait for an answer to a single request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One answer, as far as the harness looks at it.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The body, by its Content-Length.
    pub body: Vec<u8>,
}

/// Connect to a port of this machine.
pub fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Ask for `target` on an open connection and read the whole answer.
pub fn get(stream: &mut TcpStream, target: &str) -> Result<Answer> {
    // One write: pieces would wait for each other (Nagle's algorithm against delayed acknowledgements).
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: bench.test\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err("connection closed before the end of the answer".into());
        }
        bytes.extend_from_slice(&buffer[..length]);
        if let Some(answer) = whole_answer(&bytes)? {
            return Ok(answer);
        }
    }
}

fn whole_answer(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status =
        head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("answer without a status")?;
    let length = head.lines().find_map(content_length).ok_or("answer without Content-Length")?;
    let body = &bytes[end + 4..];
    Ok((body.len() >= length).then(|| Answer { status, body: body.to_vec() }))
}

fn content_length(line: &str) -> Option<usize> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
}

/// Threads that read from the program under test as fast as they can.
pub struct Readers {
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Open `count` connections to `port` and read.
    pub fn start(port: u16, count: usize) -> Result<Readers> {
        let mut readers = Readers { bytes: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        for _ in 0..count {
            let stream = connect(port)?;
            let (bytes, stop) = (Arc::clone(&readers.bytes), Arc::clone(&readers.stop));
            readers.threads.push(std::thread::spawn(move || read_on(stream, &bytes, &stop)));
        }
        Ok(readers)
    }

    /// Bytes read so far by all of them.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether all connections are still being read.
    pub fn all_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn read_on(mut stream: TcpStream, bytes: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = vec![0; 256 << 10];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => bytes.fetch_add(length as u64, Ordering::Relaxed),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        assert!(whole_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").unwrap().is_none());
        let answer = whole_answer(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nok").unwrap().unwrap();
        assert_eq!((answer.status, answer.body), (503, b"ok".to_vec()));
        assert!(whole_answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
