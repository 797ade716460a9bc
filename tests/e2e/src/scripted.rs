//! Servers inside the test that answer exactly what a story wants, hostile answers included.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::http::{Fields, Framing, Reader, field, owned};

/// A TCP server that hands each connection to a function in a thread of its own.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Peer {
    /// Listens on a free port; `serve` gets each connection and its number, counted from 1.
    pub fn start(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let (count, stop) = (Arc::clone(&connections), Arc::clone(&stopped));
        thread::spawn(move || accept(&listener, &count, &stop, &Arc::new(serve)));
        Self { address, connections, stopped }
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread up.
        let _ = TcpStream::connect(self.address);
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Number of the connection, counted from 1.
    pub connection: usize,
    /// Method.
    pub method: String,
    /// Target as it stood in the request line.
    pub target: String,
    /// Minor version.
    pub version: u8,
    /// Header fields.
    pub headers: Fields,
    /// The head, byte for byte.
    pub head: String,
    /// Body with its transfer coding undone; what had come when it was cut.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Fields,
}

impl Seen {
    /// First value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.headers, name)
    }
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Do nothing for a while.
    Wait(Duration),
    /// Close in order (FIN).
    Close,
    /// Close hard (RST).
    Reset,
}

impl Step {
    /// Bytes of a text.
    pub fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

/// An HTTP/1 server that follows a script and remembers what it was asked.
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    peer: Peer,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scripted {
    /// The same bytes for every request.
    pub fn answering(text: &str) -> Self {
        let steps = vec![Step::send(text)];
        Self::start(move |_| steps.clone())
    }

    /// Reads each request completely, then does what `script` says.
    pub fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::staged(|_| Vec::new(), script)
    }

    /// Does what `early` says when the head is there, reads the body, then does what `script` says.
    pub fn staged(
        early: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
        script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let peer = Peer::start(move |stream, number| converse(stream, number, &record, &early, &script));
        Self { address: peer.address, peer, seen }
    }

    /// Requests so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request that came, or the last of them.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.peer.connections()
    }
}

/// An answer of this status with a body.
pub fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn accept<F>(listener: &TcpListener, count: &AtomicUsize, stop: &AtomicBool, serve: &Arc<F>)
where
    F: Fn(TcpStream, usize) + Send + Sync + 'static,
{
    for stream in listener.incoming().map_while(Result::ok) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let serve = Arc::clone(serve);
        thread::spawn(move || serve(stream, number));
    }
}

fn converse(
    stream: TcpStream,
    number: usize,
    seen: &Mutex<Vec<Seen>>,
    early: &impl Fn(&Seen) -> Vec<Step>,
    script: &impl Fn(&Seen) -> Vec<Step>,
) {
    let _ = stream.set_nodelay(true);
    let mut reader = Reader::new(stream);
    while let Some(mut request) = read_head(&mut reader, number) {
        if !play(&mut reader, early(&request)) {
            seen.lock().unwrap().push(request);
            return;
        }
        let body = reader.body(Framing::of_request(&request.headers));
        let complete = body.is_ok();
        match body {
            Ok((body, trailers)) => (request.body, request.trailers) = (body, trailers),
            Err(_) => request.body = std::mem::take(&mut reader.ahead),
        }
        seen.lock().unwrap().push(request.clone());
        if !complete || !play(&mut reader, script(&request)) {
            return;
        }
    }
}

/// Plays the steps; `false` when the connection is no more.
fn play(reader: &mut Reader<TcpStream>, steps: Vec<Step>) -> bool {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if reader.stream.write_all(&bytes).is_err() {
                    return false;
                }
            }
            Step::Wait(time) => thread::sleep(time),
            Step::Close => {
                close_in_order(reader);
                return false;
            }
            Step::Reset => {
                let _ = set_socket_linger(&reader.stream, Some(Duration::ZERO));
                return false;
            }
        }
    }
    true
}

/// FIN first, then waits for the other side's: closing with unread bytes would send RST.
pub(crate) fn close_in_order(reader: &mut Reader<TcpStream>) {
    let _ = reader.stream.shutdown(Shutdown::Write);
    let _ = reader.stream.set_read_timeout(Some(Duration::from_secs(2)));
    while reader.fill().unwrap_or(false) {}
}

fn read_head(reader: &mut Reader<TcpStream>, connection: usize) -> Option<Seen> {
    loop {
        if let Some((request, length)) = parse(&reader.ahead, connection)? {
            reader.ahead.drain(..length);
            return Some(request);
        }
        if !reader.fill().ok()? {
            return None;
        }
    }
}

/// `None` for what is no request at all, `Some(None)` for one that is incomplete.
pub(crate) fn parse(bytes: &[u8], connection: usize) -> Option<Option<(Seen, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return Some(None) };
    let seen = Seen {
        connection,
        method: head.method?.to_owned(),
        target: head.path?.to_owned(),
        version: head.version?,
        headers: owned(head.headers),
        head: String::from_utf8_lossy(&bytes[..length]).into_owned(),
        ..Seen::default()
    };
    Some(Some((seen, length)))
}
