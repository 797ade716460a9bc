//! Requests: from received bytes to a [`RequestHead`], and the questions and edits `web` needs.

use super::bytes::{is_target_byte, is_token, list_has, tokens, trim};
use super::escape::push_percent;
use super::fields::{Field, Fields, Span};
use super::framing::{Framings, announced};
use super::manners::without_end;
use super::name::is_look_alike;
use super::response::RequestKind;
use super::scan::{METHOD_BYTES, Scan, StartLine, field_name};
use super::target::{Form, Scheme, form};
use super::{BodyFraming, HeadError, HeadErrorKind, Hosts, Limits, Manners, Name, Progress, Version, host};
use std::borrow::Cow;

/// Most heads have fewer fields; these need no allocation.
const USUAL_FIELDS: usize = 32;

/// A request's head, parsed and checked. Owns one copy of the bytes; reuse it with [`RequestHead::clear`].
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The header fields. `Host` is always what the request is for; change it here.
    pub fields: Fields,
    /// What the client speaks.
    pub version: Version,
    method: Span,
    target: Span,
    scheme: Option<Scheme>,
    /// An absolute target as received, without a port that says nothing; empty for other forms.
    received: Span,
    /// The target with fragment and raw bytes, where it was cleaned.
    sent: Span,
    framing: BodyFraming,
    connection: Options,
    expects: bool,
    scan: Scan,
}

/// What `Connection` said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// It names fields to be removed at this hop.
    pub(crate) names_fields: bool,
}

/// Reads a request head from the start of `buf`.
///
/// While the answer is `Partial`, call again with the same bytes, more behind them, and the same `into`: every byte
/// is looked at once. To start on another head before this one was complete, clear `into` first.
///
/// # Errors
/// As soon as the bytes cannot become a request we serve; see [`HeadErrorKind`]. The answer is the same however
/// the bytes were cut. `into` is then of no use but to be cleared.
pub fn parse_request(buf: &[u8], limits: &Limits, into: &mut RequestHead) -> Result<Progress, HeadError> {
    parse(buf, limits, into).map_err(|error| {
        into.scan = Scan::default();
        HeadError { status: limits.manners.status(error.kind, error.status), ..error }
    })
}

fn parse(buf: &[u8], limits: &Limits, into: &mut RequestHead) -> Result<Progress, HeadError> {
    if into.scan.is_fresh()
        && let Some(consumed) = read(buf, limits, into)?
    {
        return Ok(Progress::Complete { consumed });
    }
    let Some(end) = into.scan.advance(buf, limits, StartLine::Request)? else {
        return Ok(Progress::Partial);
    };
    if let Some(consumed) = read(buf, limits, into)? {
        return Ok(Progress::Complete { consumed });
    }
    if limits.manners.bare_lf && into.take_lines(&buf[..end], limits) {
        into.judge(limits)?;
        return Ok(Progress::Complete { consumed: end });
    }
    Err(HeadError::new(HeadErrorKind::BadSyntax, "malformed head"))
}

/// Reads a whole head without fault of syntax; `None` if it is not whole or not faultless.
fn read(buf: &[u8], limits: &Limits, into: &mut RequestHead) -> Result<Option<usize>, HeadError> {
    let window = &buf[..buf.len().min(limits.head_bytes)];
    let skipped = limits.manners.leading_lines(window);
    let window = &window[skipped..];
    if !window.first().is_some_and(|byte| super::bytes::is_token_byte(*byte)) {
        return Ok(None);
    }
    let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
    let mut request = httparse::Request::new(&mut few);
    let mut parser = httparse::ParserConfig::default();
    parser.allow_multiple_spaces_in_request_line_delimiters(true);
    let mut read = parser.parse_request(&mut request, window);
    let mut many = Vec::new();
    if read == Err(httparse::Error::TooManyHeaders) {
        many.resize(limits.fields, httparse::EMPTY_HEADER);
        request = httparse::Request::new(&mut many);
        read = parser.parse_request(&mut request, window);
    }
    let Ok(httparse::Status::Complete(end)) = read else { return Ok(None) };
    if !into.take(&window[..end], &request, limits) {
        return Ok(None);
    }
    into.judge(limits)?;
    Ok(Some(end + skipped))
}

impl RequestHead {
    /// A head made by ourselves: HTTP/1.1, no body. The host may be empty to have no `Host` yet.
    pub fn new(method: &[u8], target: &[u8], host: &[u8]) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_method(method);
        head.set_target(target);
        if !host.is_empty() {
            head.fields.append(b"Host", host);
        }
        head
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = RequestHead { fields, ..RequestHead::default() };
    }

    /// Does the head keep to these limits too? For limits that are known once it is known whom a request is for. Asked
    /// before anything is changed; fields that were dropped do not count.
    ///
    /// # Errors
    /// As [`parse_request`] for a line or a number of fields over its limit.
    pub fn keep_to(&self, limits: &Limits) -> Result<(), HeadError> {
        let line = memchr::memchr(b'\n', &self.fields.text[self.method.start as usize..]).unwrap_or_default();
        let long =
            |field: &Field| field.value.end().saturating_sub(field.name.start as usize) > limits.line_bytes;
        let kind = match line >= limits.line_bytes {
            true => HeadErrorKind::TargetTooLong,
            false if self.fields.len() > limits.fields || self.fields.iter().any(long) => {
                HeadErrorKind::TooBig
            }
            false => return Ok(()),
        };
        let error = HeadError::new(kind, "head over the limits of its host");
        Err(HeadError { status: limits.manners.status(error.kind, error.status), ..error })
    }

    /// The method, as sent.
    #[inline]
    pub fn method(&self) -> &[u8] {
        self.fields.bytes(self.method)
    }

    /// The target as it will be forwarded: path and query, or `*`. The authority of an absolute target is in `Host`.
    #[inline]
    pub fn target(&self) -> &[u8] {
        self.fields.bytes(self.target)
    }

    /// The target without the query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        &target[..query_start(target)]
    }

    /// What follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        target.get(query_start(target) + 1..)
    }

    /// The same as [`RequestHead::target`].
    pub fn path_and_query(&self) -> &[u8] {
        self.target()
    }

    /// Whom the request is for, with port if given; empty if an HTTP/1.0 client did not say.
    pub fn host(&self) -> &[u8] {
        self.fields.find(Name::Host).unwrap_or_default()
    }

    /// The target as the client sent it, until a rule changes it; of an absolute one the port is left out where it
    /// says nothing.
    pub fn received_target(&self) -> &[u8] {
        if self.received.len == 0 { self.target() } else { self.fields.bytes(self.received) }
    }

    /// Path, query and fragment as the client sent them, until a rule changes the target. [`RequestHead::target`] is
    /// the same but where the manners of reading let in what may not be sent on.
    pub fn sent_target(&self) -> &[u8] {
        if self.sent.len == 0 { self.target() } else { self.fields.bytes(self.sent) }
    }

    /// The whole target: for a request that came in absolute form with scheme and host, without the scheme's own port.
    pub fn uri(&self) -> Cow<'_, [u8]> {
        match self.scheme {
            Some(scheme) if self.target() != b"*" && host::is_valid_host(self.host()) => {
                let host = match host::split_port(self.host()) {
                    (name, Some(port)) if port.is_empty() || port == scheme.default_port() => name,
                    _ => self.host(),
                };
                Cow::Owned([scheme.prefix(), host, self.target()].concat())
            }
            _ => Cow::Borrowed(self.target()),
        }
    }

    /// Does it ask for a tunnel to the host that is its target (RFC 9110 section 9.3.6)?
    pub fn is_connect(&self) -> bool {
        self.method() == b"CONNECT"
    }

    /// The scheme of an absolute target.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Did the target come in absolute form?
    pub fn is_absolute(&self) -> bool {
        self.scheme.is_some()
    }

    /// Changes the method. False, and nothing happens, if it is not a token.
    pub fn set_method(&mut self, method: &[u8]) -> bool {
        let good = is_token(method);
        if good {
            self.method = self.fields.store_text(method);
        }
        good
    }

    /// Changes path and query. Bytes a target may not hold, and `\` in the path, are percent-encoded; a missing `/` is
    /// put in front. `*` is a target of OPTIONS only.
    pub fn set_target(&mut self, target: &[u8]) {
        let start = self.fields.text.len();
        let is_whole_server = target == b"*" && self.method() == b"OPTIONS";
        if !target.starts_with(b"/") && !is_whole_server {
            self.fields.text.push(b'/');
        }
        let path_end = query_start(target);
        for (at, byte) in target.iter().enumerate() {
            push_encoded(&mut self.fields.text, *byte, at < path_end);
        }
        self.target = Span::new(start, self.fields.text.len() - start);
    }

    /// Changes the path, keeps the query. A `?` in the path is encoded.
    pub fn set_path(&mut self, path: &[u8]) {
        let mut target = Vec::with_capacity(path.len() + self.target.len as usize);
        for byte in path {
            match byte {
                b'?' => target.extend_from_slice(b"%3F"),
                _ => target.push(*byte),
            }
        }
        if let Some(query) = self.query() {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        self.set_target(&target);
    }

    /// Changes the query, keeps the path. An empty query takes the `?` away.
    pub fn set_query(&mut self, query: &[u8]) {
        let mut target = self.path().to_vec();
        if !query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        self.set_target(&target);
    }

    /// Does doing it twice mean the same as once (RFC 9110 section 9.2.2)? Such a request may be tried again.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
    }

    /// Is the method HEAD?
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Does the client want to keep the connection (RFC 9112 section 9.3)? `close` wins over `keep-alive`.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.version, self.connection)
    }

    /// Does the client wait for `100 Continue` before it sends the body?
    pub fn expects_continue(&self) -> bool {
        self.expects
    }

    /// Is this a WebSocket handshake: GET without a body, offering `websocket` (RFC 6455 section 4.1)?
    pub fn is_websocket_upgrade(&self) -> bool {
        self.connection.upgrade
            && self.version == Version::Http11
            && self.method() == b"GET"
            && matches!(self.framing, BodyFraming::None | BodyFraming::Length(0))
            && self.fields.find_all(Name::Upgrade).any(|list| list_has(list, b"websocket"))
    }

    /// The protocols that are offered to the server: `websocket` alone if it is among those of the client, else all
    /// but those that would let the client leave HTTP behind our back.
    #[inline]
    pub fn offer(&self) -> Option<Cow<'static, [u8]>> {
        match self.connection.upgrade && self.version != Version::Http10 {
            true => self.passed_protocols(),
            false => None,
        }
    }

    fn passed_protocols(&self) -> Option<Cow<'static, [u8]>> {
        if self.is_websocket_upgrade() {
            return Some(Cow::Borrowed(b"websocket"));
        }
        let offered = self.fields.find_all(Name::Upgrade).flat_map(tokens);
        let passed: Vec<&[u8]> = offered.filter(|protocol| is_passed_protocol(protocol)).collect();
        (!passed.is_empty()).then(|| Cow::Owned(passed.join(&b", "[..])))
    }

    /// How the body is framed.
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Says how the body is framed, for heads made by ourselves. The writers write the fields that say so.
    pub fn set_framing(&mut self, framing: BodyFraming) {
        self.framing = framing;
    }

    /// What the parser of the answer must know.
    pub fn kind(&self) -> RequestKind {
        let websocket = self.is_websocket_upgrade();
        RequestKind {
            head: self.is_head(),
            connect: self.is_connect(),
            upgrade: websocket || self.offer().is_some(),
            websocket,
        }
    }

    pub(crate) fn connection_names_fields(&self) -> bool {
        self.connection.names_fields
    }

    /// Copies the head and notes where its parts are. False if there is a fault of syntax.
    fn take(&mut self, head: &[u8], request: &httparse::Request<'_, '_>, limits: &Limits) -> bool {
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
        else {
            return false;
        };
        let line_end = memchr::memchr(b'\n', head).map_or(0, |at| at + 1);
        // More than one space may stand between the parts (RFC 9112, section 3).
        let spaces = head[method.len()..].iter().take_while(|byte| **byte == b' ').count();
        if method.len() > METHOD_BYTES
            || target.len() > limits.target_bytes
            || !(target.is_ascii() || limits.manners.loose_targets)
        {
            return false;
        }
        self.fields.clear();
        if !take_fields(&mut self.fields, head, line_end, request.headers, limits) {
            return false;
        }
        self.fields.text.extend_from_slice(head);
        self.method = Span::new(0, method.len());
        self.target = Span::new(method.len() + spaces, target.len());
        self.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        true
    }

    /// The same for a head that has only faults which the manners forgive, line by line. The scan has judged it.
    #[cold]
    fn take_lines(&mut self, head: &[u8], limits: &Limits) -> bool {
        let skipped = limits.manners.leading_lines(head);
        let line_end = memchr::memchr(b'\n', &head[skipped..]).map_or(head.len(), |at| skipped + at + 1);
        let line = without_end(&head[skipped..line_end]);
        let mut parts = line.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        self.fields.clear();
        self.method = Span::new(skipped, method.len());
        self.target = Span::new(offset(head, target), target.len());
        self.version = if version.ends_with(b"0") { Version::Http10 } else { Version::Http11 };
        self.fields.text.extend_from_slice(head);
        take_field_lines(&mut self.fields, head, line_end)
    }

    /// Judges what the head means, once its syntax is good.
    fn judge(&mut self, limits: &Limits) -> Result<(), HeadError> {
        let manners = &limits.manners;
        check_method(self.method(), manners.plain_methods)?;
        let form = form(self.method(), self.target(), manners.loose_targets)?;
        manners.drop_names(&mut self.fields);
        drop_look_alikes(&mut self.fields);
        self.connection = options(&self.fields);
        let framings = if manners.one_framing { Framings::ONE } else { Framings::REQUEST };
        let announced = announced(&self.fields, self.version, framings, self.keep_alive())?;
        self.framing = announced.framing;
        self.connection.close |= announced.last;
        self.check_handshakes(manners)?;
        self.scheme = None;
        self.received = Span::default();
        self.sent = Span::default();
        if manners.loose_targets {
            self.cut_fragment(form);
        }
        match manners.hosts {
            Hosts::Agreeing => self.check_agreeing(form)?,
            Hosts::Needed => self.check_needed(form)?,
        }
        if manners.loose_targets {
            self.encode_target();
        }
        self.scan = Scan::default();
        Ok(())
    }

    fn check_agreeing(&mut self, form: Form) -> Result<(), HeadError> {
        match form {
            Form::Origin => check_host(&self.fields, false).or_else(|error| self.odd_host(error)),
            Form::Absolute { scheme, authority, path } => self.split_absolute(scheme, authority, path),
            Form::Authority => {
                check_host(&self.fields, false)?;
                self.settle_host(self.target, None)
            }
        }
    }

    /// HTTP/1.1 needs a Host; whatever it says, the authority of an absolute target wins (RFC 9112 section 3.2.2).
    fn check_needed(&mut self, form: Form) -> Result<(), HeadError> {
        let bad = |reason| Err(HeadError::new(HeadErrorKind::BadHost, reason));
        check_host(&self.fields, false)?;
        match self.fields.find(Name::Host) {
            None if self.version == Version::Http11 => return bad("HTTP/1.1 without Host"),
            Some(host) if !host::has_labels(host) => return bad("Host with an empty label"),
            _ => {}
        }
        match form {
            Form::Origin => Ok(()),
            // Nothing behind us may be talked to but through the plan.
            Form::Authority => Err(HeadError::new(HeadErrorKind::RefusedMethod, "CONNECT is off")),
            Form::Absolute { scheme, authority, path } => {
                let stated = Span::new(self.target.start as usize + authority, path - authority);
                let named = self.fields.bytes(self.target)[..authority].contains(&b'@');
                if named || !host::has_labels(self.fields.bytes(stated)) {
                    return bad("target names a user or a host with an empty label");
                }
                self.fields.remove_id(Name::Host);
                self.split_absolute(scheme, authority, path)
            }
        }
    }

    fn check_handshakes(&mut self, manners: &Manners) -> Result<(), HeadError> {
        self.expects = match expects(&self.fields, self.version) {
            Err(_) if manners.no_handshakes => false,
            expects => expects?,
        };
        let whole = manners.no_handshakes || self.fields.find(Name::SecWebSocketKey).is_some();
        match self.is_websocket_upgrade() && !whole {
            true => Err(HeadError::new(HeadErrorKind::BadUpgrade, "WebSocket without Sec-WebSocket-Key")),
            false => Ok(()),
        }
    }

    /// Cuts off the fragment, if one was let in: it is the client's own.
    fn cut_fragment(&mut self, form: Form) {
        let Some(at) = memchr::memchr(b'#', self.target()) else { return };
        if form == Form::Origin {
            self.sent = self.target;
        }
        self.target.len = at as u32;
    }

    /// Encodes bytes that were let in but may not stand in a target.
    fn encode_target(&mut self) {
        let target = self.target();
        if target.is_ascii() {
            return;
        }
        let target = target.to_vec();
        if self.sent.len == 0 {
            self.sent = self.target;
        }
        self.set_target(&target);
    }

    /// A host that is none, such as `:80a`, names nobody; nothing can be confused as long as it has only such
    /// characters as hosts and ports have. HAProxy lets it pass.
    fn odd_host(&self, error: HeadError) -> Result<(), HeadError> {
        let mut hosts = self.fields.find_all(Name::Host);
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if host::is_like_host(host) => Ok(()),
            _ => Err(error),
        }
    }

    /// The authority of an absolute target is the host (RFC 9112 section 3.2.2); what is forwarded is path and query.
    fn split_absolute(&mut self, scheme: Scheme, authority: usize, path: usize) -> Result<(), HeadError> {
        let target = self.target;
        let stated = Span::new(target.start as usize + authority, path - authority);
        let nobody = host::split_port(self.fields.bytes(stated)).0.is_empty();
        check_host(&self.fields, nobody)?;
        self.scheme = Some(scheme);
        self.settle_host(stated, Some(scheme))?;
        let (name, port) = host::split_port(self.fields.bytes(stated));
        let told = port.is_some_and(|port| !port.is_empty() && port != scheme.default_port());
        let authority_end = if told { stated.end() } else { stated.start as usize + name.len() };
        self.received = self.store_received(target, authority_end, stated.end());
        self.target = Span::new(stated.end(), target.end() - stated.end());
        self.complete_path();
        Ok(())
    }

    /// What the log shows of an absolute target: without a port that says nothing, and with a path.
    fn store_received(&mut self, target: Span, authority_end: usize, rest: usize) -> Span {
        let text = &mut self.fields.text;
        let start = text.len();
        text.extend_from_within(target.start as usize..authority_end);
        text.extend_from_within(rest..target.end());
        if rest == target.end() {
            text.push(b'/');
        }
        Span::new(start, text.len() - start)
    }

    /// Makes `Host` and the authority of the target, which must not contradict each other, one thing.
    ///
    /// A port that is empty or the scheme's own says nothing: if the target says such a port, `Host` loses its own;
    /// if the target is silent, `Host` stays as it was sent.
    fn settle_host(&mut self, stated: Span, scheme: Option<Scheme>) -> Result<(), HeadError> {
        let (name, port) = host::split_port(self.fields.bytes(stated));
        let own = match scheme {
            Some(scheme) => scheme.default_port(),
            // A tunnel may lead to either.
            None => port.filter(|port| matches!(*port, b"80" | b"443")).unwrap_or_default(),
        };
        let bare = Span::new(stated.start as usize, name.len());
        let silent = |port: Option<&[u8]>| port.is_none_or(|port| port.is_empty() || port == own);
        let Some(at) = self.fields.list.iter().position(|field| field.id == Name::Host) else {
            let value = if silent(port) { bare } else { stated };
            let name = self.fields.store_text(b"Host");
            self.fields.list.insert(0, Field { name, value, id: Name::Host });
            return Ok(());
        };
        let (given, given_port) = host::split_port(self.fields.bytes(self.fields.list[at].value));
        let agree = match (silent(port), silent(given_port)) {
            (true, true) => true,
            (false, false) => port == given_port,
            _ => false,
        };
        if !agree || !given.eq_ignore_ascii_case(name) {
            return Err(HeadError::new(HeadErrorKind::BadHost, "Host contradicts the target"));
        }
        // `host:` of a tunnel is left as it is, like every Host beside a silent target.
        let shorten = port.is_some() && silent(port) && (scheme.is_some() || given_port == Some(own));
        if shorten || name.is_empty() {
            self.fields.list[at].value = bare;
        }
        Ok(())
    }

    /// An absolute target may lack the path: `/` then, or `*` for OPTIONS (RFC 9112 section 3.2.4).
    fn complete_path(&mut self) {
        match self.target() {
            [b'/', ..] => {}
            [] if self.method() == b"OPTIONS" => self.target = self.fields.store_text(b"*"),
            _ => {
                let query = self.target().to_vec();
                self.set_target(&query);
            }
        }
    }
}

/// Notes where the fields are. False if a line does not end in CRLF or a limit is exceeded.
///
/// `httparse` has checked names and values, but takes a bare LF as the end of a line.
pub(crate) fn take_fields(
    fields: &mut Fields,
    head: &[u8],
    first_line: usize,
    found: &[httparse::Header<'_>],
    limits: &Limits,
) -> bool {
    let tolerant = limits.manners.bare_lf;
    if found.len() > limits.fields
        || (head.len() > limits.line_bytes && has_long_line(head, limits))
        || !(tolerant || (head.ends_with(b"\r\n\r\n") && ends_in_crlf(head, first_line)))
    {
        return false;
    }
    fields.list.reserve(found.len());
    for header in found {
        let (name, value) = (header.name.as_bytes(), header.value);
        let at = offset(head, name);
        if name.len() > limits.name_bytes || !(tolerant || ends_in_crlf(head, at)) {
            return false;
        }
        let value =
            if value.is_empty() { Span::default() } else { Span::new(offset(head, value), value.len()) };
        fields.list.push(Field { name: Span::new(at, name.len()), value, id: Name::of(name) });
    }
    true
}

#[cold]
fn has_long_line(head: &[u8], limits: &Limits) -> bool {
    head.split_inclusive(|byte| *byte == b'\n').any(|line| line.len() > limits.line_bytes)
}

/// Notes where the fields are, lines ended by CR LF or LF. False if a line is no field.
pub(crate) fn take_field_lines(fields: &mut Fields, head: &[u8], first_line: usize) -> bool {
    for line in head[first_line..].split_inclusive(|byte| *byte == b'\n').map(without_end) {
        if line.is_empty() {
            continue;
        }
        let Ok(name) = field_name(line) else { return false };
        let value = trim(&line[name.len() + 1..]);
        let value =
            if value.is_empty() { Span::default() } else { Span::new(offset(head, value), value.len()) };
        let name_span = Span::new(offset(head, name), name.len());
        fields.list.push(Field { name: name_span, value, id: Name::of(name) });
    }
    true
}

/// Drops names that an application could mistake for framing, host or forwarding fields.
pub(crate) fn drop_look_alikes(fields: &mut Fields) {
    let Fields { text, list } = fields;
    list.retain(|field| {
        field.id != Name::Other || !is_look_alike(&text[field.name.start as usize..field.name.end()])
    });
}

/// What all `Connection` fields say together.
pub(crate) fn options(fields: &Fields) -> Options {
    let mut options = Options::default();
    for token in fields.find_all(Name::Connection).flat_map(tokens) {
        match token {
            b"" => {}
            _ if token.eq_ignore_ascii_case(b"close") => options.close = true,
            _ if token.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
            _ if token.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
            _ => options.names_fields = true,
        }
    }
    options
}

pub(crate) fn keep_alive(version: Version, options: Options) -> bool {
    !options.close && (version == Version::Http11 || options.keep_alive)
}

/// TRACE is off. Methods are case-sensitive; a lower-case one is a mistake or a trick.
fn check_method(method: &[u8], plain: bool) -> Result<(), HeadError> {
    let is_plain = |byte: &u8| byte.is_ascii_uppercase() || b"-_".contains(byte);
    match method {
        b"GET" | b"POST" => Ok(()),
        _ if plain && !method.iter().all(is_plain) => {
            Err(HeadError::new(HeadErrorKind::BadMethod, "method is not upper-case letters"))
        }
        b"TRACE" => Err(HeadError::new(HeadErrorKind::RefusedMethod, "TRACE is off")),
        _ if method.iter().any(u8::is_ascii_lowercase) => {
            Err(HeadError::new(HeadErrorKind::UnknownMethod, "method is not in upper case"))
        }
        _ => Ok(()),
    }
}

/// At most one `Host`, a valid one. Without one a request is taken as HAProxy takes it, though RFC 9112 section 3.2
/// wants one in HTTP/1.1; it leaves with an empty one. `nobody`: the target names no host, and is compared
/// with the field later.
fn check_host(fields: &Fields, nobody: bool) -> Result<(), HeadError> {
    let mut hosts = fields.find_all(Name::Host);
    let reason = match (hosts.next(), hosts.next()) {
        (None, _) => return Ok(()),
        (Some(host), None) if nobody || host::is_valid_host(host) => return Ok(()),
        (Some(_), None) => "invalid Host",
        (Some(_), Some(_)) => "several Host fields",
    };
    Err(HeadError::new(HeadErrorKind::BadHost, reason))
}

/// Does it wait for 100? An HTTP/1.0 client cannot (RFC 9110 section 10.1.1). Other expectations cannot be met.
fn expects(fields: &Fields, version: Version) -> Result<bool, HeadError> {
    let mut expects = false;
    for value in fields.find_all(Name::Expect) {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::new(HeadErrorKind::BadExpect, "expectation other than 100-continue"));
        }
        expects = version == Version::Http11;
    }
    Ok(expects)
}

/// HTTP itself is never offered: h2c would smuggle requests past the rules. WebSocket has its own way.
pub(crate) fn is_passed_protocol(protocol: &[u8]) -> bool {
    let (name, version) = match memchr::memchr(b'/', protocol) {
        Some(at) => (&protocol[..at], Some(&protocol[at + 1..])),
        None => (protocol, None),
    };
    let refused: [&[u8]; 6] = [b"h2c", b"h2", b"h3", b"http", b"tls", b"websocket"];
    is_token(name)
        && version.is_none_or(is_token)
        && !refused.iter().any(|one| name.eq_ignore_ascii_case(one))
}

fn query_start(target: &[u8]) -> usize {
    memchr::memchr(b'?', target).unwrap_or(target.len())
}

fn push_encoded(text: &mut Vec<u8>, byte: u8, in_path: bool) {
    match is_target_byte(byte) && !(in_path && byte == b'\\') {
        true => text.push(byte),
        false => push_percent(text, byte),
    }
}

/// Where `part`, a slice of `whole`, starts in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

fn ends_in_crlf(head: &[u8], end: usize) -> bool {
    end.checked_sub(2).and_then(|from| head.get(from..end)) == Some(b"\r\n")
}
