//! A small HTTP/1 client that shows every step and says how an exchange ended.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};

use crate::http::{Failure, Framing, Reader, Response, response_head};

/// How long a client waits for bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client with at most one connection, which it keeps while it can.
pub struct Client {
    address: SocketAddr,
    connection: Option<Reader<TcpStream>>,
    answered: u64,
    received: usize,
    patience: Duration,
    from: Option<Ipv4Addr>,
}

impl Client {
    /// A client of this address; it connects when it sends.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, connection: None, answered: 0, received: 0, patience: PATIENCE, from: None }
    }

    /// Waits no longer than this for bytes.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects from this address of the machine.
    pub fn from(mut self, address: Ipv4Addr) -> Self {
        self.from = Some(address);
        self
    }

    /// GET.
    pub fn get(&mut self, path: &str) -> Result<Response, Failure> {
        self.request("GET", path, &[], b"")
    }

    /// GET with header fields.
    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Response, Failure> {
        self.request("GET", path, headers, b"")
    }

    /// POST with Content-Length.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, Failure> {
        self.request("POST", path, headers, body)
    }

    /// Any request, on the kept connection if there is one. `Host` is added when it is not given.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, Failure> {
        let mut bytes = head(method, path, headers, body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)?;
        self.answer(method)
    }

    /// Sends bytes as they are, connecting first if need be.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.connect()?;
        let connection = self.connection.as_mut().ok_or(Failure::Refused)?;
        // A server may answer and close before it has read everything: the answer still counts.
        let _ = connection.stream.write_all(bytes);
        Ok(())
    }

    /// Connects, unless a connection is open and not closed by the other side.
    pub fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.as_ref().is_some_and(|kept| kept.ahead.is_empty() && was_closed(&kept.stream)) {
            self.connection = None;
        }
        if self.connection.is_none() {
            let stream = self.stream().map_err(|_| Failure::Refused)?;
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(self.patience)).unwrap();
            self.connection = Some(Reader::new(stream));
            self.answered = 0;
        }
        Ok(())
    }

    fn stream(&self) -> std::io::Result<TcpStream> {
        let Some(from) = self.from else {
            return TcpStream::connect_timeout(&self.address, self.patience);
        };
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
        rustix::net::connect(&socket, &self.address)?;
        Ok(TcpStream::from(socket))
    }

    /// Reads the answer to a request of this method, interim answers included.
    pub fn answer(&mut self, method: &str) -> Result<Response, Failure> {
        let result = self.read_answer(method);
        self.received = self.connection().came;
        let keep = result.as_ref().is_ok_and(keeps_open);
        if !keep {
            self.connection = None;
        }
        self.answered += 1;
        result
    }

    /// Bytes that had come on its connection at the end of the last answer.
    pub fn received(&self) -> usize {
        self.received
    }

    /// The open connection, for stories that go on byte by byte.
    pub fn connection(&mut self) -> &mut Reader<TcpStream> {
        self.connection.as_mut().expect("an open connection")
    }

    /// Gives the open connection away, for stories that speak another protocol on it.
    pub fn into_stream(self) -> TcpStream {
        self.connection.expect("an open connection").stream
    }

    /// Whether a connection is open, as far as this side knows.
    pub fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// Half-closes: no more bytes will be sent.
    pub fn finish(&mut self) {
        self.connection().stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether the other side closes now: waits for that end, and throws bytes away before it.
    pub fn sees_close(&mut self) -> bool {
        let connection = self.connection();
        loop {
            match connection.fill() {
                Ok(true) => connection.ahead.clear(),
                Ok(false) => return true,
                Err(error) => return crate::http::cut(&error) != Failure::Timeout,
            }
        }
    }

    fn read_answer(&mut self, method: &str) -> Result<Response, Failure> {
        let first_request = self.answered == 0;
        let connection = self.connection.as_mut().expect("an open connection");
        let mut interim = Vec::new();
        loop {
            let mut response = read_head(connection, first_request)?;
            // 101 is the last answer of HTTP on this connection.
            if response.status < 200 && response.status != 101 {
                interim.push((response.status, response.headers));
                continue;
            }
            let framing = Framing::of_response(response.status, &response.headers, method == "HEAD");
            (response.body, response.trailers) = connection.body(framing)?;
            response.interim = interim;
            return Ok(response);
        }
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Result<Response, Failure> {
    Client::to(address).get(path)
}

/// The head of a request with an optional body.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], body: usize) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: app.example\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if body > 0 || method == "POST" {
        text.push_str(&format!("Content-Length: {body}\r\n"));
    }
    text + "\r\n"
}

/// Whether an answer leaves the connection usable, RFC 9112 §9.3.
pub fn keeps_open(response: &Response) -> bool {
    let framed = Framing::of_response(response.status, &response.headers, false) != Framing::UntilClose;
    let options = response.header("connection").unwrap_or_default().to_ascii_lowercase();
    let wanted =
        if response.version == 0 { options.contains("keep-alive") } else { !options.contains("close") };
    wanted && (framed || response.body.is_empty())
}

fn read_head(connection: &mut Reader<TcpStream>, first_request: bool) -> Result<Response, Failure> {
    loop {
        if let Some(head) = response_head(&connection.ahead)? {
            connection.ahead.drain(..head.length);
            return Ok(head.response);
        }
        let nothing_yet = connection.ahead.is_empty();
        match connection.fill() {
            Ok(true) => {}
            Ok(false) if nothing_yet => return Err(closed_early(first_request)),
            Ok(false) => return Err(Failure::Truncated),
            Err(error) if crate::http::cut(&error) == Failure::Timeout => return Err(Failure::Timeout),
            Err(_) if nothing_yet => return Err(closed_early(first_request)),
            Err(_) => return Err(Failure::Truncated),
        }
    }
}

/// Whether an end or a reset has come on an idle connection.
fn was_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn closed_early(first_request: bool) -> Failure {
    if first_request { Failure::Reset } else { Failure::ReuseRace }
}
