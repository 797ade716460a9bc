//! TLS greetings as they stand in the first bytes of a connection (RFC 8446, 4.1.2; RFC 6066; RFC 7301): enough to
//! choose a server by the name that the client asks for, without decrypting anything.

/// Largest greeting that is looked at, bytes.
pub const MAX_HELLO: usize = 64 << 10;

/// Why there is no greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// It may come when more bytes do.
    Incomplete,
    /// This is none.
    NotHello,
}

/// Sort of a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloKind {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// What a greeting says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Whose it is.
    pub kind: HelloKind,
    /// Version in its body: major and minor, TLS 1.2 and 1.3 are 3.3.
    pub version: (u8, u8),
    /// Newest version of its list of versions (RFC 8446, 4.2.1), when that is newer: TLS 1.3 and its drafts are 3.4.
    pub offered: (u8, u8),
    /// Name of the server that is asked for.
    pub server_name: Option<Vec<u8>>,
    /// Protocols offered, the best first.
    pub protocols: Vec<Vec<u8>>,
    /// Length of the session ticket; `None` without that extension.
    pub ticket: Option<usize>,
    /// It has the extension of elliptic curves.
    pub curves: bool,
}

/// Reads a greeting from the first bytes of a connection, over as many records as it takes.
///
/// # Errors
/// [`HelloError::Incomplete`] while it may still become one.
pub fn parse(bytes: &[u8]) -> Result<Hello, HelloError> {
    read(bytes, false)
}

/// `cut`: an extension that is longer than the greeting ends with it.
fn read(bytes: &[u8], cut: bool) -> Result<Hello, HelloError> {
    let message = handshake(bytes)?;
    let mut body = Reader(&message);
    let kind = match body.u8()? {
        1 => HelloKind::Client,
        2 => HelloKind::Server,
        _ => return Err(HelloError::NotHello),
    };
    let length = body.number(3)?;
    let mut body = Reader(body.take(length).map_err(|_| HelloError::NotHello)?);
    body.hello(kind, cut).map_err(|_| HelloError::NotHello)
}

/// The first handshake message, its records put together.
fn handshake(bytes: &[u8]) -> Result<Vec<u8>, HelloError> {
    let mut message: Vec<u8> = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [] => return Err(HelloError::Incomplete),
            [22, ..] => {}
            _ => return Err(HelloError::NotHello),
        }
        let [_, major, _, high, low, after @ ..] = rest else {
            let odd = rest.get(1).is_some_and(|major| *major != 3);
            return Err(if odd { HelloError::NotHello } else { HelloError::Incomplete });
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *major != 3 || length == 0 || length > (16 << 10) + 256 {
            return Err(HelloError::NotHello);
        }
        message.extend_from_slice(after.get(..length).unwrap_or(after));
        if message.first().is_some_and(|kind| !matches!(kind, 1 | 2)) {
            return Err(HelloError::NotHello);
        }
        if let [_, a, b, c, body @ ..] = message.as_slice() {
            let needed = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if needed > MAX_HELLO {
                return Err(HelloError::NotHello);
            }
            if body.len() >= needed {
                return Ok(message);
            }
        }
        rest = after.get(length..).ok_or(HelloError::Incomplete)?;
    }
}

/// Takes bytes from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(HelloError::Incomplete)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, HelloError> {
        self.number(1).map(|n| n as u8)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, HelloError> {
        Ok(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    /// Bytes behind their length.
    fn vector(&mut self, length_bytes: usize) -> Result<Reader<'b>, HelloError> {
        let length = self.number(length_bytes)?;
        self.take(length).map(Reader)
    }

    fn hello(&mut self, kind: HelloKind, cut: bool) -> Result<Hello, HelloError> {
        let version = (self.u8()?, self.u8()?);
        self.take(32)?; // random
        self.vector(1)?; // session
        match kind {
            HelloKind::Client => {
                self.vector(2)?; // cipher suites
                self.vector(1)?; // compression methods
            }
            HelloKind::Server => drop(self.take(3)?),
        }
        let mut hello = Hello {
            kind,
            version,
            offered: version,
            server_name: None,
            protocols: Vec::new(),
            ticket: None,
            curves: false,
        };
        if self.0.is_empty() {
            return Ok(hello);
        }
        let mut extensions = self.vector(2)?;
        while !extensions.0.is_empty() {
            let number = extensions.number(2)?;
            let length = extensions.number(2)?;
            let length = if cut { length.min(extensions.0.len()) } else { length };
            let content = Reader(extensions.take(length)?);
            hello.extension(number, content)?;
        }
        Ok(hello)
    }
}

impl Hello {
    fn extension(&mut self, number: usize, mut content: Reader<'_>) -> Result<(), HelloError> {
        match number {
            0 if self.kind == HelloKind::Client => {
                let mut list = content.vector(2)?;
                while !list.0.is_empty() {
                    let kind = list.u8()?;
                    let name = list.vector(2)?.0;
                    if kind == 0 && self.server_name.is_none() {
                        self.server_name = Some(name.to_vec());
                    }
                }
            }
            10 => self.curves = true,
            16 => {
                let mut list = content.vector(2)?;
                while !list.0.is_empty() {
                    self.protocols.push(list.vector(1)?.0.to_vec());
                }
            }
            43 if self.kind == HelloKind::Client => {
                let mut list = content.vector(1)?;
                while !list.0.is_empty() {
                    match (list.u8()?, list.u8()?) {
                        (3, minor) => self.offered = self.offered.max((3, minor)),
                        (0x7f, _) => self.offered = self.offered.max((3, 4)),
                        _ => {}
                    }
                }
            }
            35 => self.ticket = Some(content.0.len()),
            _ => {}
        }
        Ok(())
    }
}

/// Name of the newest protocol that a client's greeting offers. Greetings in the form of SSL 2 count too.
///
/// # Errors
/// [`HelloError`] as for greetings, and for versions without a name.
pub fn protocol(bytes: &[u8]) -> Result<&'static str, HelloError> {
    let version = match bytes {
        [first, _, 1, major @ (0 | 3), minor, ..] if first & 0x80 != 0 => (*major, *minor),
        _ => read(bytes, true)?.offered,
    };
    match version {
        (0, 2) => Ok("SSLv2"),
        (3, 0) => Ok("SSLv3"),
        (3, 1) => Ok("TLSv1"),
        (3, 2) => Ok("TLSv1.1"),
        (3, 3) => Ok("TLSv1.2"),
        (3, 4) => Ok("TLSv1.3"),
        _ => Err(HelloError::NotHello),
    }
}

/// The cookie of a connection request of the Remote Desktop Protocol ([MS-RDPBCGR], 2.2.1.1): the value behind
/// `Cookie: NAME=`, of any name when none is given. `Err` while it may still come.
///
/// # Errors
/// [`HelloError`] as for greetings.
pub fn rdp_cookie(bytes: &[u8], name: Option<&[u8]>) -> Result<Vec<u8>, HelloError> {
    let mut reader = Reader(bytes);
    let head = reader.take(11)?;
    let [3, _, _, _, _, 0xe0, ..] = head else { return Err(HelloError::NotHello) };
    let rest = reader.0;
    let word = b"Cookie: ";
    let common = word.len().min(rest.len());
    if !rest[..common].eq_ignore_ascii_case(&word[..common]) {
        return Err(HelloError::NotHello);
    }
    let line_end = memchr::memchr(b'\r', rest).ok_or(HelloError::Incomplete)?;
    let line = rest.get(word.len()..line_end).ok_or(HelloError::NotHello)?;
    let equals = memchr::memchr(b'=', line).ok_or(HelloError::NotHello)?;
    match name {
        Some(name) if !line[..equals].eq_ignore_ascii_case(name) => Err(HelloError::NotHello),
        _ => Ok(line[equals + 1..].to_vec()),
    }
}

/// Any bytes, for the fuzz target: never panics, and more bytes never take back what was read.
pub fn check_any(bytes: &[u8]) {
    let whole = parse(bytes);
    for length in 0..bytes.len().min(600) {
        if let Ok(hello) = parse(&bytes[..length]) {
            assert_eq!(Ok(hello), whole, "more bytes change a greeting");
        }
    }
    let _ = protocol(bytes);
    let _ = rdp_cookie(bytes, None);
    let _ = rdp_cookie(bytes, Some(b"mstshash"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with_length(bytes: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - bytes..], content].concat()
    }

    fn extension(number: u16, content: &[u8]) -> Vec<u8> {
        [&number.to_be_bytes()[..], &with_length(2, content)].concat()
    }

    /// A client's greeting for this name, in records of so many bytes.
    fn client_hello(name: &str, record: usize) -> Vec<u8> {
        let names = with_length(2, &[&[0][..], &with_length(2, name.as_bytes())].concat());
        let protocols = with_length(2, b"\x02h2\x08http/1.1");
        let extensions = [extension(0, &names), extension(16, &protocols), extension(35, b"")].concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &with_length(1, &[1; 32]),
            &with_length(2, &[0x13, 0x01]),
            &with_length(1, &[0]),
            &with_length(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &with_length(3, &body)].concat();
        message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &with_length(2, part)].concat()).collect()
    }

    #[test]
    fn a_greeting_is_read_over_any_records() {
        for record in [16_384, 50, 3, 1] {
            let hello = parse(&client_hello("www.example.com", record)).unwrap();
            assert_eq!(hello.kind, HelloKind::Client);
            assert_eq!(hello.version, (3, 3));
            assert_eq!(hello.server_name.as_deref(), Some(&b"www.example.com"[..]));
            assert_eq!(hello.protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
            assert_eq!(hello.ticket, Some(0));
        }
    }

    #[test]
    fn what_is_not_whole_is_waited_for() {
        let bytes = client_hello("a.test", 40);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Err(HelloError::Incomplete), "{length}");
        }
        check_any(&bytes);
    }

    #[test]
    fn hostile_bytes_are_no_greeting() {
        let check = |bytes: &[u8]| assert_eq!(parse(bytes), Err(HelloError::NotHello), "{bytes:?}");
        check(b"GET / HTTP/1.1\r\n");
        check(&[22, 2, 1, 0, 4, 1]);
        check(&[22, 3, 1, 0, 0, 1]);
        check(&[22, 3, 1, 0xff, 0xff, 1]);
        check(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]);
        check(&[22, 3, 1, 0, 4, 16, 0, 0, 0]);
        check(&[22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3]);
        let mut bytes = client_hello("a.test", 16_384);
        let last = bytes.len() - 1;
        bytes[last] = 0xff; // a length that leads out of its list
        assert!(parse(&bytes).is_err());
    }

    #[test]
    fn a_cookie_of_remote_desktop_is_found() {
        let bytes = b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=user\r\n";
        assert_eq!(rdp_cookie(bytes, None).unwrap(), b"user");
        assert_eq!(rdp_cookie(bytes, Some(b"MSTSHASH")).unwrap(), b"user");
        assert_eq!(rdp_cookie(bytes, Some(b"msts")), Err(HelloError::NotHello));
        assert_eq!(rdp_cookie(&bytes[..20], None), Err(HelloError::Incomplete));
        assert_eq!(rdp_cookie(b"GET / HTTP/1.1", None), Err(HelloError::NotHello));
    }
}
