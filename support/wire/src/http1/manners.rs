//! How strictly heads are read. Strict is the default; what else is let in is said here by name, and leaves re-written.
//! Part of `Limits`; chosen by the plan for each listener and each pool.

use super::{Fields, HeadErrorKind, Name};

/// What a reader lets in, and how it answers what it does not. Framing is never guessed, whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// LF alone ends a line of a head, and empty lines may stand in front of a request. Chunks keep their CRLF.
    pub bare_lf: bool,
    /// A target may hold a fragment and bytes from 0x80. The fragment is cut off, the bytes leave percent-encoded.
    pub loose_targets: bool,
    /// Which names of request fields count.
    pub names: Names,
    /// Who a request is for.
    pub hosts: Hosts,
    /// A method is upper-case letters, `-` and `_`; CONNECT is refused with 405.
    pub plain_methods: bool,
    /// Content-Length or Transfer-Encoding said twice, both of them, or Transfer-Encoding in a request of HTTP/1.0 are
    /// errors even where RFC 9112 would let the connection end instead.
    pub one_framing: bool,
    /// Expectations other than `100-continue` and WebSocket handshakes that are not whole are passed on.
    pub no_handshakes: bool,
    /// Of a field that may stand once in an answer, the first counts and the others are dropped.
    pub first_of_single: bool,
    /// Statuses of refusals.
    pub statuses: Statuses,
}

/// Which names of request fields count. A name that is no token is refused in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// All of them.
    #[default]
    Any,
    /// Letters, digits and `-`, and `_` where it is allowed; a field with another name is dropped.
    Plain {
        /// `_` is allowed.
        underscores: bool,
    },
}

/// What is asked of `Host`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// It may be missing; an absolute target must not contradict it.
    #[default]
    Agreeing,
    /// HTTP/1.1 needs one, without empty labels; an absolute target wins over it, and may not name a user.
    Needed,
}

/// Which statuses refusals have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statuses {
    /// 431 for heads over their limits, 501 for methods, 422 for codings.
    #[default]
    Fine,
    /// 494 for heads over their limits (shown as 400), 400 for methods, 501 for codings.
    Coarse,
}

impl Manners {
    /// As a web server reads requests that come from anywhere.
    pub const SERVER: Manners = Manners {
        bare_lf: true,
        loose_targets: true,
        names: Names::Plain { underscores: false },
        hosts: Hosts::Needed,
        plain_methods: true,
        one_framing: true,
        no_handshakes: true,
        first_of_single: true,
        statuses: Statuses::Coarse,
    };

    pub(crate) fn status(&self, kind: HeadErrorKind, status: u16) -> u16 {
        match (self.statuses, kind) {
            (Statuses::Fine, _) => status,
            (_, HeadErrorKind::TooBig) => 494,
            (_, HeadErrorKind::UnknownMethod | HeadErrorKind::BodyTooBig) => 400,
            (_, HeadErrorKind::UnknownCoding) => 501,
            _ => status,
        }
    }

    /// Where the head starts: behind the empty lines that may stand in front of a request.
    pub(crate) fn leading_lines(&self, head: &[u8]) -> usize {
        if !self.bare_lf {
            return if head.starts_with(b"\r\n") { 2 } else { 0 };
        }
        let mut at = 0;
        loop {
            match &head[at..] {
                [b'\n', ..] => at += 1,
                [b'\r', b'\n', ..] => at += 2,
                _ => return at,
            }
        }
    }

    /// Drops the fields whose names do not count, and half of an h2c handshake (RFC 9113 section 3.1: it is of this hop).
    pub(crate) fn drop_names(&self, fields: &mut Fields) {
        if self.no_handshakes {
            fields.remove_id(Name::Http2Settings);
        }
        let Names::Plain { underscores } = self.names else { return };
        let plain =
            |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || (underscores && *byte == b'_');
        let Fields { text, list } = fields;
        list.retain(|field| {
            field.id != Name::Other || text[field.name.start as usize..field.name.end()].iter().all(plain)
        });
    }
}

/// A line without its end, CR LF or LF.
pub(crate) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
