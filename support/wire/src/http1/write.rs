//! Heads out: every head that leaves is written here, from the parsed form, with exactly one framing field at most.
//! Called by `web` for requests to servers and answers to clients.

use super::bytes::{list_has, tokens};
use super::name::is_forwarding_text;
use super::request::is_passed_protocol;
use super::{BodyFraming, Field, Fields, Name, RequestHead, ResponseHead, Version};

/// What happens to the connection after this message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// It stays open.
    #[default]
    KeepAlive,
    /// It ends.
    Close,
    /// It changes its protocol: to one of those the request offers, to the one the answer names.
    Upgrade,
}

/// How a request leaves for a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestEdit {
    /// What we want of the server's connection.
    pub connection: Connection,
    /// Send the body in chunks even if its length was announced.
    pub chunked: bool,
    /// Send the body with this length whatever was announced: it was read whole before. Wins over `chunked`.
    pub length: Option<u64>,
    /// Leave out `Expect`, because we answered it ourselves.
    pub drop_expect: bool,
}

/// What a client hears of a connection that stays open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Nothing, where the version implies it.
    #[default]
    Implied,
    /// `Connection: keep-alive` in any version.
    Said,
    /// And how many seconds it may be idle, in `Keep-Alive`.
    SaidFor(u64),
}

/// How an answer leaves for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseEdit {
    /// What happens to the client's connection. `UntilClose` framing closes it in any case.
    pub connection: Connection,
    /// What the client speaks. HTTP/1.0 clients are told when the connection stays open.
    pub version_to_client: Version,
    /// How we send the body. `None` for HEAD, 1xx, 204 and 304; an empty body is `Length(0)`.
    pub framing: BodyFraming,
    /// Pass on the protocols that the server would switch to (RFC 9110 section 7.8), as far as we would let it.
    pub keeps_upgrade: bool,
    /// What the client hears of a connection that stays open.
    pub keep: Keep,
}

/// Writes a request head for a server, with the empty line.
///
/// Leaves out what ends at this hop (RFC 9110 section 7.6.1) and what `Connection` names, except fields whose loss
/// would change the request: see the field list in `Name::outlives_connection`. A request in HTTP/1.0 stays one, unless
/// its body goes in chunks.
pub fn write_request(head: &RequestHead, out: &mut Vec<u8>, edit: &RequestEdit) {
    let fields = &head.fields;
    let framing = request_framing(head, edit);
    let old = head.version == Version::Http10 && framing != BodyFraming::Chunked;
    out.reserve(fields.text.len() + 64);
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(&head.uri());
    out.extend_from_slice(if old { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
    let mut framed = false;
    let mut te = false;
    for field in fields {
        match field.id {
            Name::Other => write_unless_named(out, fields, field, head.connection_names_fields()),
            Name::ContentLength | Name::TransferEncoding => write_framing_once(out, framing, &mut framed),
            Name::Upgrade | Name::ProxyAuthorization => {}
            Name::Expect if edit.drop_expect || !head.expects_continue() => {}
            Name::Te => te |= list_has(fields.value(field), b"trailers"),
            id if id.ends_here() => {}
            _ => write_unless_named(out, fields, field, head.connection_names_fields()),
        }
    }
    if !old && fields.find(Name::Host).is_none() {
        out.extend_from_slice(b"Host:\r\n");
    }
    write_framing_once(out, framing, &mut framed);
    match (edit.connection, head.offer()) {
        (Connection::Upgrade, Some(offer)) => write_upgrade(out, &offer),
        (connection, _) => {
            write_connection(out, connection, if old { Version::Http10 } else { Version::Http11 }, te);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a response head for a client, with the empty line. One in HTTP/1.0 stays one, unless its body goes in chunks.
pub fn write_response(head: &ResponseHead, out: &mut Vec<u8>, edit: &ResponseEdit) {
    let fields = &head.fields;
    let framing = response_framing(head, edit);
    out.reserve(fields.text.len() + 64);
    let old = head.version == Version::Http10 && edit.framing != BodyFraming::Chunked;
    write_status_line(out, head, old);
    let mut framed = false;
    for field in fields {
        match field.id {
            Name::Other => write_unless_named(out, fields, field, head.connection_names_fields()),
            Name::ContentLength | Name::TransferEncoding => write_framing_once(out, framing, &mut framed),
            Name::Upgrade | Name::Te => {}
            id if id.ends_here() => {}
            _ => write_unless_named(out, fields, field, head.connection_names_fields()),
        }
    }
    write_framing_once(out, framing, &mut framed);
    let connection = match edit.framing {
        BodyFraming::UntilClose => Connection::Close,
        _ => edit.connection,
    };
    if edit.keeps_upgrade && connection != Connection::Upgrade && !head.is_interim() {
        write_invitation(out, fields);
    }
    match connection {
        Connection::Upgrade => write_upgrade(out, fields.find(Name::Upgrade).unwrap_or(b"websocket")),
        _ if head.is_interim() => {}
        Connection::KeepAlive if edit.keep != Keep::Implied => write_kept(out, edit.keep),
        _ => write_connection(
            out,
            connection,
            if old { Version::Http10 } else { edit.version_to_client },
            false,
        ),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line.
#[inline]
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn request_framing(head: &RequestHead, edit: &RequestEdit) -> BodyFraming {
    match (edit.length, edit.chunked, head.framing()) {
        (Some(length), _, _) => BodyFraming::Length(length),
        (None, true, _) | (None, _, BodyFraming::UntilClose) => BodyFraming::Chunked,
        (None, false, framing) => framing,
    }
}

/// Without a body, HEAD and 304 still tell the length the body would have; 1xx and 204 never do.
fn response_framing(head: &ResponseHead, edit: &ResponseEdit) -> BodyFraming {
    match (edit.framing, head.status) {
        (_, 100..=199 | 204) => BodyFraming::None,
        (BodyFraming::None, _) => head.announced_length().map_or(BodyFraming::None, BodyFraming::Length),
        (framing, _) => framing,
    }
}

fn write_status_line(out: &mut Vec<u8>, head: &ResponseHead, old: bool) {
    out.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    write_number(out, u64::from(head.status));
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

/// `named`: `Connection` names fields to be removed; only then is it worth looking which.
#[inline]
fn write_unless_named(out: &mut Vec<u8>, fields: &Fields, field: &Field, named: bool) {
    let name = fields.name(field);
    if named && is_named(fields, field.id, name) {
        return;
    }
    write_field(out, name, fields.value(field));
}

fn is_named(fields: &Fields, id: Name, name: &[u8]) -> bool {
    let named =
        fields.find_all(Name::Connection).flat_map(tokens).any(|token| token.eq_ignore_ascii_case(name));
    named && !id.outlives_connection() && !is_forwarding_text(name)
}

fn write_framing_once(out: &mut Vec<u8>, framing: BodyFraming, done: &mut bool) {
    if std::mem::replace(done, true) {
        return;
    }
    match framing {
        BodyFraming::None | BodyFraming::UntilClose => {}
        BodyFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// `TE: trailers` needs its name in `Connection` (RFC 9110 section 10.1.4).
fn write_connection(out: &mut Vec<u8>, connection: Connection, version: Version, te: bool) {
    let option: &[u8] = match (connection, version, te) {
        (Connection::KeepAlive, Version::Http11, false) => return,
        (Connection::KeepAlive, Version::Http11, true) => b"TE",
        (Connection::KeepAlive, Version::Http10, _) => b"keep-alive",
        (Connection::Close, _, false) => b"close",
        (Connection::Close, _, true) => b"close, TE",
        (Connection::Upgrade, ..) => return,
    };
    if te && option.ends_with(b"TE") {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    write_field(out, b"Connection", option);
}

fn write_upgrade(out: &mut Vec<u8>, protocols: &[u8]) {
    write_field(out, b"Connection", b"upgrade");
    write_field(out, b"Upgrade", protocols);
}

fn write_kept(out: &mut Vec<u8>, keep: Keep) {
    write_field(out, b"Connection", b"keep-alive");
    if let Keep::SaidFor(seconds) = keep {
        out.extend_from_slice(b"Keep-Alive: timeout=");
        write_number(out, seconds);
        out.extend_from_slice(b"\r\n");
    }
}

/// What the server would switch to. `Connection` names it in a field of its own.
fn write_invitation(out: &mut Vec<u8>, fields: &Fields) {
    let offered = fields.find_all(Name::Upgrade).flat_map(tokens);
    let is_ours =
        |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"websocket") || is_passed_protocol(protocol);
    let passed: Vec<&[u8]> = offered.filter(|protocol| is_ours(protocol)).collect();
    if !passed.is_empty() {
        write_upgrade(out, &passed.join(&b", "[..]));
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
