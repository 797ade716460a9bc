//! Requests: the same judgement however cut, and what we write is read back as the same request.

use crate::input::{self, Input};
use wire::http1::{
    Connection, HeadError, Limits, Manners, Name, Progress, RequestEdit, RequestHead, parse_request,
    write_request,
};

type Outcome = Option<Result<usize, HeadError>>;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some(input) = input::read(data) else { return };
    let limits = match input.flags & 1 {
        0 => Limits::default(),
        _ => Limits { head_bytes: 300, fields: 4, target_bytes: 40, name_bytes: 20, ..Limits::default() },
    };
    let manners = if input.flags & 2 == 0 { Manners::default() } else { Manners::SERVER };
    let limits = Limits { manners, ..limits };
    let (whole, head) = feed(&input, [input.payload.len()].into_iter(), &limits);
    let (cut, cut_head) = feed(&input, input.arrivals(), &limits);
    same(&whole, &cut, &head, &cut_head);
    if input.payload.len() < 600 {
        let (bytewise, bytewise_head) = feed(&input, input.every_end(), &limits);
        same(&whole, &bytewise, &head, &bytewise_head);
    }
    if let Some(Ok(consumed)) = whole {
        assert!(consumed <= input.payload.len().min(limits.head_bytes));
        written_is_read(&head);
        edited_is_read(head, &input.payload[consumed..]);
    }
}

fn feed(input: &Input<'_>, ends: impl Iterator<Item = usize>, limits: &Limits) -> (Outcome, RequestHead) {
    let mut head = RequestHead::default();
    for end in ends {
        match parse_request(&input.payload[..end], limits, &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { consumed }) => return (Some(Ok(consumed)), head),
            Err(error) => return (Some(Err(error)), head),
        }
    }
    (None, head)
}

fn same(left: &Outcome, right: &Outcome, left_head: &RequestHead, right_head: &RequestHead) {
    assert_eq!(left, right);
    if let Some(Ok(_)) = left {
        assert_eq!(shown(left_head), shown(right_head));
    }
}

fn shown(head: &RequestHead) -> impl PartialEq + std::fmt::Debug + '_ {
    let fields: Vec<_> = head.fields.pairs().collect();
    (
        head.method(),
        head.target(),
        head.version,
        head.framing(),
        head.keep_alive(),
        head.is_absolute(),
        fields,
    )
}

/// Method, target, host, framing and upgrade survive; no field of this hop does; there is at most one framing field.
fn written_is_read(head: &RequestHead) {
    let again = read_back(head, Connection::KeepAlive);
    assert_eq!((again.method(), again.target(), again.host()), (head.method(), head.target(), head.host()));
    assert_eq!(again.framing(), head.framing());
    assert!(again.keep_alive());
    for id in [Name::KeepAlive, Name::ProxyConnection, Name::Proxy, Name::Http2Settings, Name::Upgrade] {
        assert!(again.fields.find(id).is_none(), "{id:?}");
    }
    let framings =
        again.fields.find_all(Name::ContentLength).chain(again.fields.find_all(Name::TransferEncoding));
    assert!(framings.count() <= 1);
    assert!(!read_back(head, Connection::Close).keep_alive());
    if head.is_websocket_upgrade() {
        assert!(read_back(head, Connection::Upgrade).is_websocket_upgrade());
    }
}

/// Whatever a rule puts into path, query and fields, the head stays one head with one more field.
fn edited_is_read(mut head: RequestHead, rest: &[u8]) {
    let before = read_back(&head, Connection::KeepAlive).fields.len();
    let (name, value) = rest.split_at(rest.len().min(9));
    let added = usize::from(head.fields.append(b"X-Fuzz", value));
    head.set_path(rest);
    head.set_query(value);
    let again = read_back(&head, Connection::KeepAlive);
    assert_eq!((again.target(), again.fields.len()), (head.target(), before + added));
    head.fields.set(name, value);
    head.fields.remove(b"X-Fuzz");
    head.set_target(rest);
    if Name::Host.lower() != name.to_ascii_lowercase() {
        assert_eq!(read_back(&head, Connection::KeepAlive).target(), head.target());
    }
}

fn read_back(head: &RequestHead, connection: Connection) -> RequestHead {
    let mut out = Vec::new();
    write_request(head, &mut out, &RequestEdit { connection, ..RequestEdit::default() });
    // A handshake that is not whole may have been let in.
    let manners = Manners { no_handshakes: true, ..Manners::default() };
    let limits = Limits {
        head_bytes: 1 << 20,
        fields: 1000,
        target_bytes: 1 << 20,
        name_bytes: 1 << 20,
        manners,
        ..Limits::default()
    };
    let mut again = RequestHead::default();
    let progress = parse_request(&out, &limits, &mut again);
    assert_eq!(progress, Ok(Progress::Complete { consumed: out.len() }), "{}", out.escape_ascii());
    again
}
