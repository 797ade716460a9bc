//! The servers behind the program under test: one thread, epoll, prepared answers. Started by the harness as a
//! process of its own on the load core. It must cost much less than any proxy, so it looks at nothing but
//! the target's first letters and the end of each head; it is no HTTP server for anybody else.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use memchr::memmem;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Result;

/// Bytes of the large answer's body.
pub const LARGE: usize = 1 << 20;
/// Bytes that one turn of the bulk server offers to the kernel.
const BULK_BLOCK: usize = 256 << 10;

/// The body of the small answer of one server, counted from 1.
pub fn small_body(server: usize) -> String {
    format!("hello from web{server}\n")
}

/// Serve until killed: HTTP on `http`, bytes without end on `bulk`.
pub fn run(http: &[u16], bulk: u16) -> Result<()> {
    let answers = (1..=http.len()).map(Answers::new).collect::<Vec<_>>();
    let ports = http.iter().chain([&bulk]);
    let listeners = ports.map(|port| listen(*port)).collect::<Result<Vec<_>>>()?;
    let mut origin = Origin {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        connections: Vec::new(),
        free: Vec::new(),
        bulk: vec![b'x'; BULK_BLOCK],
    };
    for (n, listener) in listeners.iter().enumerate() {
        epoll::add(&origin.epoll, listener, EventData::new_u64(LISTENER | n as u64), EventFlags::IN)?;
    }
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&origin.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            match key & LISTENER {
                0 => origin.ready(usize::try_from(key)?, &answers),
                _ => origin.accept(&listeners, usize::try_from(key & !LISTENER)?, answers.len())?,
            }
        }
    }
}

/// Marks the key of a listener among the keys of connections.
const LISTENER: u64 = 1 << 32;

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

impl Answers {
    fn new(server: usize) -> Answers {
        Answers { small: answer(small_body(server).as_bytes()), large: answer(&vec![b'x'; LARGE]) }
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

enum Service {
    /// Answers of this server.
    Http(usize),
    Bulk,
}

struct Connection {
    stream: TcpStream,
    service: Service,
    /// Start of a head whose end has not come yet.
    partial: Vec<u8>,
    /// What of the current answer is still to be sent.
    pending: Pending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// This much of the large answer is sent; close afterwards?
    Large {
        sent: usize,
        close: bool,
    },
}

struct Origin {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    bulk: Vec<u8>,
}

impl Origin {
    fn accept(&mut self, listeners: &[TcpListener], listener: usize, http: usize) -> Result<()> {
        while let Ok((stream, _)) = listeners[listener].accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let (service, interest) = if listener < http {
                (Service::Http(listener), EventFlags::IN)
            } else {
                (Service::Bulk, EventFlags::OUT)
            };
            let key = self.free.pop().unwrap_or(self.connections.len());
            epoll::add(&self.epoll, &stream, EventData::new_u64(key as u64), interest)?;
            let connection =
                Some(Connection { stream, service, partial: Vec::new(), pending: Pending::Nothing });
            match self.connections.get_mut(key) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
        Ok(())
    }

    fn ready(&mut self, key: usize, answers: &[Answers]) {
        let Some(connection) = self.connections.get_mut(key).and_then(Option::as_mut) else { return };
        let before = connection.pending;
        let goes_on = match connection.service {
            Service::Bulk => connection.send_bulk(&self.bulk),
            Service::Http(server) => connection.serve(&answers[server]),
        };
        if !goes_on {
            self.connections[key] = None;
            self.free.push(key);
            return;
        }
        if (before == Pending::Nothing) != (connection.pending == Pending::Nothing) {
            let idle = connection.pending == Pending::Nothing;
            let interest = if idle { EventFlags::IN } else { EventFlags::OUT };
            let _ = epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(key as u64), interest);
        }
    }
}

/// Each function says whether the connection goes on.
impl Connection {
    fn send_bulk(&mut self, block: &[u8]) -> bool {
        match self.stream.write(block) {
            Ok(length) => length > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn serve(&mut self, answers: &Answers) -> bool {
        if let Pending::Large { sent, close } = self.pending {
            return self.send_large(&answers.large, sent, close);
        }
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => self.received(&buffer[..length], answers),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn received(&mut self, bytes: &[u8], answers: &Answers) -> bool {
        if self.partial.is_empty() && bytes.ends_with(b"\r\n\r\n") {
            return self.heads(bytes, answers);
        }
        self.partial.extend_from_slice(bytes);
        if !self.partial.ends_with(b"\r\n\r\n") {
            return true;
        }
        let bytes = std::mem::take(&mut self.partial);
        self.heads(&bytes, answers)
    }

    /// One or several complete heads without bodies.
    fn heads(&mut self, bytes: &[u8], answers: &Answers) -> bool {
        let mut rest = bytes;
        while let Some(end) = memmem::find(rest, b"\r\n\r\n") {
            let (head, next) = rest.split_at(end + 4);
            rest = next;
            let close = wants_close(head);
            if head.starts_with(b"GET /1m") {
                return self.send_large(&answers.large, 0, close);
            }
            if self.stream.write_all(&answers.small).is_err() || close {
                return false;
            }
        }
        true
    }

    fn send_large(&mut self, large: &[u8], mut sent: usize, close: bool) -> bool {
        while sent < large.len() {
            match self.stream.write(&large[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.pending = Pending::Large { sent, close };
                    return true;
                }
                Err(_) => return false,
            }
        }
        self.pending = Pending::Nothing;
        !close
    }
}

fn wants_close(head: &[u8]) -> bool {
    memmem::find(head, b"HTTP/1.0\r\n").is_some() || memmem::find(head, b"onnection: close\r\n").is_some()
}

fn listen(port: u16) -> Result<TcpListener> {
    let listener =
        TcpListener::bind(("127.0.0.1", port)).map_err(|e| format!("listen on port {port}: {e}"))?;
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
