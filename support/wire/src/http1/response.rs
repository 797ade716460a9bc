//! Responses: from a server's bytes to a [`ResponseHead`]. Checked as hard as requests; every fault is a 502.

use super::fields::{Fields, Span};
use super::framing::{Framings, announced};
use super::manners::without_end;
use super::request::{Options, drop_look_alikes, keep_alive, options, take_field_lines, take_fields};
use super::scan::{Scan, StartLine};
use super::{BodyFraming, HeadError, HeadErrorKind, Limits, Manners, Name, Progress, Version};

/// What an answer's meaning depends on. See [`super::RequestHead::kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestKind {
    /// The method was HEAD: no body follows, whatever the fields say.
    pub head: bool,
    /// The method was CONNECT: a 2xx opens a tunnel.
    pub connect: bool,
    /// We forwarded an upgrade: 101 is allowed.
    pub upgrade: bool,
    /// It was to WebSocket, so 101 needs `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2).
    pub websocket: bool,
}

/// A response's head, parsed and checked. Owns one copy of the bytes; reuse it with [`ResponseHead::clear`].
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The header fields.
    pub fields: Fields,
    /// 100 to 599.
    pub status: u16,
    /// What the server speaks.
    pub version: Version,
    reason: Span,
    announced: BodyFraming,
    connection: Options,
    last: bool,
    scan: Scan,
}

/// Reads a response head from the start of `buf`; works as [`super::parse_request`].
///
/// Interim answers (1xx) are complete heads too: the caller reads on until another status comes.
///
/// # Errors
/// For everything a client must not see or could misread. The status is always 502.
pub fn parse_response(
    buf: &[u8],
    limits: &Limits,
    request: RequestKind,
    into: &mut ResponseHead,
) -> Result<Progress, HeadError> {
    parse(buf, limits, request, into).map_err(|error| {
        into.scan = Scan::default();
        error.of_server()
    })
}

fn parse(
    buf: &[u8],
    limits: &Limits,
    request: RequestKind,
    into: &mut ResponseHead,
) -> Result<Progress, HeadError> {
    if into.scan.is_fresh()
        && let Some(consumed) = read(buf, limits, request, into)?
    {
        return Ok(Progress::Complete { consumed });
    }
    let Some(end) = into.scan.advance(buf, limits, StartLine::Status)? else {
        return Ok(Progress::Partial);
    };
    if let Some(consumed) = read(buf, limits, request, into)? {
        return Ok(Progress::Complete { consumed });
    }
    if limits.manners.bare_lf && into.take_lines(&buf[..end], limits) {
        into.judge(request, &limits.manners)?;
        return Ok(Progress::Complete { consumed: end });
    }
    Err(HeadError::new(HeadErrorKind::BadSyntax, "malformed head"))
}

/// Reads a whole head without fault of syntax; `None` if it is not whole or not faultless.
fn read(
    buf: &[u8],
    limits: &Limits,
    request: RequestKind,
    into: &mut ResponseHead,
) -> Result<Option<usize>, HeadError> {
    let window = &buf[..buf.len().min(limits.head_bytes)];
    if window.first() != Some(&b'H') {
        return Ok(None);
    }
    let mut few = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut few);
    let mut read = response.parse(window);
    let mut many = Vec::new();
    if read == Err(httparse::Error::TooManyHeaders) {
        many.resize(limits.fields, httparse::EMPTY_HEADER);
        response = httparse::Response::new(&mut many);
        read = response.parse(window);
    }
    let Ok(httparse::Status::Complete(end)) = read else { return Ok(None) };
    if !into.take(&window[..end], &response, limits) {
        return Ok(None);
    }
    into.judge(request, &limits.manners)?;
    Ok(Some(end))
}

impl ResponseHead {
    /// A head made by ourselves, HTTP/1.1. An empty reason is filled in.
    pub fn new(status: u16, reason: &[u8]) -> ResponseHead {
        let mut head = ResponseHead::default();
        head.set_status(status, reason);
        head
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = ResponseHead { fields, ..ResponseHead::default() };
    }

    /// The words behind the status, as sent.
    pub fn reason(&self) -> &[u8] {
        self.fields.bytes(self.reason)
    }

    /// Changes the status. An empty reason becomes the usual words; control bytes become spaces.
    pub fn set_status(&mut self, status: u16, reason: &[u8]) {
        let reason = if reason.is_empty() { reason_of(status).as_bytes() } else { reason };
        let clean: Vec<u8> =
            reason.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect();
        self.status = status;
        self.reason = self.fields.store_text(&clean);
    }

    /// Will the server keep the connection (RFC 9112 section 9.3)? Only meaningful if the body does not end by close.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.version, self.connection)
    }

    /// Must the client's connection end too? So it is after chunks in HTTP/1.0: whoever wrote that cannot be trusted
    /// to know where its message ends.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Is it an interim answer, with the real one still to come?
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// How the body is framed (RFC 9112 section 6.3). After a 101, what follows is no body but the tunnel.
    pub fn framing(&self, request: RequestKind) -> BodyFraming {
        let bodiless = request.head || matches!(self.status, 100..=199 | 204 | 304);
        match (bodiless || (request.connect && self.status / 100 == 2), self.announced) {
            (true, _) => BodyFraming::None,
            (false, BodyFraming::None) => BodyFraming::UntilClose,
            (false, announced) => announced,
        }
    }

    /// The length the fields announce, also where no body follows (HEAD, 304).
    pub fn announced_length(&self) -> Option<u64> {
        match self.announced {
            BodyFraming::Length(length) => Some(length),
            _ => None,
        }
    }

    /// Says how the body is framed, for heads made by ourselves.
    pub fn set_framing(&mut self, framing: BodyFraming) {
        self.announced = framing;
    }

    pub(crate) fn connection_names_fields(&self) -> bool {
        self.connection.names_fields
    }

    /// Copies the head and notes where its parts are. False if there is a fault of syntax.
    fn take(&mut self, head: &[u8], response: &httparse::Response<'_, '_>, limits: &Limits) -> bool {
        let (Some(status), Some(minor)) = (response.code, response.version) else { return false };
        let line_end = memchr::memchr(b'\n', head).map_or(0, |at| at + 1);
        let reason = without_end(&head[..line_end]).get(13..).unwrap_or_default();
        if !(100..=599).contains(&status) || line_end > limits.target_bytes || !is_reason(reason) {
            return false;
        }
        self.fields.clear();
        if !take_fields(&mut self.fields, head, line_end, response.headers, limits) {
            return false;
        }
        self.fields.text.extend_from_slice(head);
        self.status = status;
        self.reason = Span::new(13, reason.len());
        self.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        true
    }

    /// The same for a head that has only faults which the manners forgive, line by line. The scan has judged it.
    #[cold]
    fn take_lines(&mut self, head: &[u8], limits: &Limits) -> bool {
        let line_end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
        let line = without_end(&head[..line_end]);
        let digits = line.get(9..12).unwrap_or_default();
        let reason = line.get(13..).unwrap_or_default();
        if line_end > limits.target_bytes || !digits.iter().all(u8::is_ascii_digit) || !is_reason(reason) {
            return false;
        }
        self.fields.clear();
        self.status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        self.reason = Span::new(13, reason.len());
        self.version = if line.get(7) == Some(&b'0') { Version::Http10 } else { Version::Http11 };
        self.fields.text.extend_from_slice(head);
        take_field_lines(&mut self.fields, head, line_end)
    }

    /// Judges what the head means, once its syntax is good.
    fn judge(&mut self, request: RequestKind, manners: &Manners) -> Result<(), HeadError> {
        self.check(request, manners)?;
        self.scan = Scan::default();
        Ok(())
    }

    fn check(&mut self, request: RequestKind, manners: &Manners) -> Result<(), HeadError> {
        drop_look_alikes(&mut self.fields);
        if manners.first_of_single {
            drop_repeats(&mut self.fields);
        }
        self.connection = options(&self.fields);
        let framings = if manners.one_framing { Framings::ONE_IN_ANSWER } else { Framings::ANSWER };
        let announced = announced(&self.fields, self.version, framings, false)?;
        self.announced = announced.framing;
        self.connection.close |= announced.last;
        self.last = announced.last && self.version == Version::Http10;
        let false_switch = |reason| Err(HeadError::new(HeadErrorKind::FalseSwitch, reason));
        match self.status {
            101 if !request.upgrade => false_switch("101 without an upgrade request"),
            101 if request.websocket
                && !manners.no_handshakes
                && self.fields.find(Name::SecWebSocketAccept).is_none() =>
            {
                false_switch("WebSocket without Sec-WebSocket-Accept")
            }
            _ => Ok(()),
        }
    }
}

/// Of fields that may stand once, the first counts.
fn drop_repeats(fields: &mut Fields) {
    let mut seen = [false; SINGLES.len()];
    fields.list.retain(|field| match SINGLES.iter().position(|single| *single == field.id) {
        Some(at) => !std::mem::replace(&mut seen[at], true),
        None => true,
    });
}

const SINGLES: [Name; 8] = [
    Name::ContentType,
    Name::Date,
    Name::Etag,
    Name::Expires,
    Name::LastModified,
    Name::Location,
    Name::Server,
    Name::ContentEncoding,
];

fn is_reason(reason: &[u8]) -> bool {
    reason.iter().all(|byte| super::bytes::is_value_byte(*byte))
}

/// The usual words for a status (RFC 9110 section 15); empty for one we do not know.
pub fn reason_of(status: u16) -> &'static str {
    REASONS.iter().find(|(known, _)| *known == status).map_or("", |(_, reason)| reason)
}

const REASONS: &[(u16, &str)] = &[
    (100, "Continue"),
    (101, "Switching Protocols"),
    (103, "Early Hints"),
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (204, "No Content"),
    (206, "Partial Content"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (425, "Too Early"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
];
