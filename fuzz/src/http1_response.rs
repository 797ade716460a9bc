//! Responses: the same judgement however cut, a cut head is never whole, and what we write is read back the same.

use crate::input::{self, Input};
use wire::http1::{
    BodyFraming, Connection, HeadError, Limits, Manners, Name, Progress, RequestKind, ResponseEdit,
    ResponseHead, parse_response, write_response,
};

type Outcome = Option<Result<usize, HeadError>>;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some(input) = input::read(data) else { return };
    let kind = RequestKind {
        head: input.flags & 1 != 0,
        connect: false,
        upgrade: input.flags & 2 != 0,
        websocket: false,
    };
    let limits = match input.flags & 4 {
        0 => Limits::response(),
        _ => Limits { head_bytes: 300, fields: 4, target_bytes: 40, name_bytes: 20, ..Limits::default() },
    };
    let manners = if input.flags & 8 == 0 { Manners::default() } else { Manners::SERVER };
    let limits = Limits { manners, ..limits };
    let (whole, head) = feed(&input, [input.payload.len()].into_iter(), &limits, kind);
    same(&whole, &head, feed(&input, input.arrivals(), &limits, kind));
    if input.payload.len() < 600 {
        same(&whole, &head, feed(&input, input.every_end(), &limits, kind));
    }
    if let Some(Ok(consumed)) = whole {
        let cut = Input { flags: 0, cuts: Vec::new(), payload: &input.payload[..consumed - 1] };
        assert_eq!(feed(&cut, cut.arrivals(), &limits, kind).0, None);
        written_is_read(&head, kind);
    }
}

fn feed(
    input: &Input<'_>,
    ends: impl Iterator<Item = usize>,
    limits: &Limits,
    kind: RequestKind,
) -> (Outcome, ResponseHead) {
    let mut head = ResponseHead::default();
    for end in ends {
        match parse_response(&input.payload[..end], limits, kind, &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { consumed }) => return (Some(Ok(consumed)), head),
            Err(error) => return (Some(Err(error)), head),
        }
    }
    (None, head)
}

fn same(left: &Outcome, left_head: &ResponseHead, right: (Outcome, ResponseHead)) {
    assert_eq!(*left, right.0);
    if let Some(Ok(_)) = left {
        assert_eq!(shown(left_head), shown(&right.1));
    }
}

fn shown(head: &ResponseHead) -> impl PartialEq + std::fmt::Debug + '_ {
    let fields: Vec<_> = head.fields.pairs().collect();
    let get = head.framing(RequestKind::default());
    (head.status, head.reason(), head.version, get, head.announced_length(), head.keep_alive(), fields)
}

/// Status, words and framing survive; there is at most one framing field.
fn written_is_read(head: &ResponseHead, kind: RequestKind) {
    let framing = head.framing(kind);
    let connection = if head.status == 101 { Connection::Upgrade } else { Connection::KeepAlive };
    let mut out = Vec::new();
    write_response(head, &mut out, &ResponseEdit { connection, framing, ..ResponseEdit::default() });
    let limits = Limits {
        head_bytes: 1 << 20,
        fields: 1000,
        target_bytes: 1 << 20,
        name_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut again = ResponseHead::default();
    let progress = parse_response(&out, &limits, kind, &mut again);
    assert_eq!(progress, Ok(Progress::Complete { consumed: out.len() }), "{}", out.escape_ascii());
    assert_eq!((again.status, again.reason(), again.framing(kind)), (head.status, head.reason(), framing));
    assert_eq!(again.keep_alive(), framing != BodyFraming::UntilClose);
    let framings =
        again.fields.find_all(Name::ContentLength).chain(again.fields.find_all(Name::TransferEncoding));
    assert!(framings.count() <= 1);
}
