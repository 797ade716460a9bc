//! Reading HTTP/1 messages, for the client, the load and the scripted servers alike.
//!
//! Deliberately small and apart from the product's own code: a fault in one must not hide in the other.

use std::io::{ErrorKind, Read};

/// How an exchange failed, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// The connection could not be made.
    Refused,
    /// A kept connection was closed between our request and the first byte of its answer. RFC 9112
    /// §9.3.1 lets a server close idle connections at any time, so this can be bad luck.
    ReuseRace,
    /// A fresh connection was closed or reset before the first byte of an answer.
    Reset,
    /// The answer began and was cut.
    Truncated,
    /// No complete answer in time.
    Timeout,
    /// What came is not HTTP/1.
    Garbage,
}

/// Header fields in the order in which they came.
pub type Fields = Vec<(String, String)>;

/// A complete answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Minor version: 0 or 1.
    pub version: u8,
    /// The words after the status code.
    pub reason: String,
    /// Header fields.
    pub headers: Fields,
    /// Body with its transfer coding undone.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Fields,
    /// Interim answers (1xx) that came before, with their fields.
    pub interim: Vec<(u16, Fields)>,
}

impl Response {
    /// First value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.headers, name)
    }

    /// All values of a header field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// First value of a field.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// How the length of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// Content-Length.
    Length(usize),
    /// Transfer-Encoding: chunked.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

impl Framing {
    /// Of a request.
    pub fn of_request(headers: &Fields) -> Self {
        Self::declared(headers).unwrap_or(Self::None)
    }

    /// Of an answer, RFC 9112 §6.3.
    pub fn of_response(status: u16, headers: &Fields, to_head: bool) -> Self {
        if to_head || status < 200 || status == 204 || status == 304 {
            return Self::None;
        }
        Self::declared(headers).unwrap_or(Self::UntilClose)
    }

    fn declared(headers: &Fields) -> Option<Self> {
        if field(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Self::Chunked);
        }
        field(headers, "content-length").map(|value| Self::Length(value.parse().unwrap_or(usize::MAX)))
    }
}

/// The parsed head of an answer, and its length in bytes.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status, version, reason and header fields; the body is empty yet.
    pub response: Response,
    /// How many bytes the head took.
    pub length: usize,
}

/// Parses an answer's head; `None` while it is incomplete.
pub fn response_head(bytes: &[u8]) -> Result<Option<ResponseHead>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Failure::Garbage),
        Ok(httparse::Status::Complete(length)) => {
            let response = Response {
                status: head.code.unwrap_or_default(),
                version: head.version.unwrap_or_default(),
                reason: head.reason.unwrap_or_default().to_owned(),
                headers: owned(head.headers),
                ..Response::default()
            };
            Ok(Some(ResponseHead { response, length }))
        }
    }
}

/// Copies fields out of the parser's buffers.
pub fn owned(fields: &[httparse::Header<'_>]) -> Fields {
    let pair =
        |one: &httparse::Header<'_>| (one.name.to_owned(), String::from_utf8_lossy(one.value).into_owned());
    fields.iter().map(pair).collect()
}

/// A stream with the bytes that were read ahead.
pub struct Reader<S> {
    /// The stream itself.
    pub stream: S,
    /// Read but not yet used.
    pub ahead: Vec<u8>,
    /// Bytes that came so far.
    pub came: usize,
}

impl<S: Read> Reader<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), came: 0 }
    }

    /// Reads more; `false` at the end of the stream.
    pub fn fill(&mut self) -> std::io::Result<bool> {
        let mut part = [0; 65_536];
        loop {
            match self.stream.read(&mut part) {
                Ok(count) => {
                    self.ahead.extend_from_slice(&part[..count]);
                    self.came += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a body and its trailers.
    pub fn body(&mut self, framing: Framing) -> Result<(Vec<u8>, Fields), Failure> {
        match framing {
            Framing::None => Ok((Vec::new(), Fields::new())),
            Framing::Length(length) => Ok((self.take(length)?, Fields::new())),
            Framing::Chunked => self.chunks(),
            Framing::UntilClose => {
                while self.fill().map_err(|error| cut(&error))? {}
                Ok((std::mem::take(&mut self.ahead), Fields::new()))
            }
        }
    }

    /// Takes exactly `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        while self.ahead.len() < length {
            self.more()?;
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// Takes a line without its end.
    pub fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let line = self.ahead.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| Failure::Garbage);
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Result<(), Failure> {
        match self.fill() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Truncated),
            Err(error) => Err(cut(&error)),
        }
    }

    fn chunks(&mut self) -> Result<(Vec<u8>, Fields), Failure> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| Failure::Garbage)?;
            if length == 0 {
                return Ok((body, self.trailers()?));
            }
            body.extend(self.take(length)?);
            if !self.line()?.is_empty() {
                return Err(Failure::Garbage);
            }
        }
    }

    fn trailers(&mut self) -> Result<Fields, Failure> {
        let mut fields = Fields::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or(Failure::Garbage)?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// What an error in the middle of an answer means.
pub fn cut(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Timeout,
        _ => Failure::Truncated,
    }
}
