//! Why a head was refused: one cause, one status. Made by the parsers of this module, answered and logged by `web`.

use std::fmt;

/// The cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadErrorKind {
    /// Bare CR or LF, folded line, control byte, no colon: not HTTP/1 at all, or an attack.
    BadSyntax,
    /// A method that is not a token.
    BadMethod,
    /// A method we do not know how to treat (lower case, absurdly long).
    UnknownMethod,
    /// TRACE is off.
    RefusedMethod,
    /// The target has none of the allowed forms, or forbidden bytes.
    BadTarget,
    /// The target is over its limit.
    TargetTooLong,
    /// Not `HTTP/1.0` or `HTTP/1.1`, though it looks like a version.
    BadVersion,
    /// A field name that is empty or not a token.
    BadName,
    /// No Host, several, or an invalid one; or an absolute target that contradicts it.
    BadHost,
    /// Content-Length and Transfer-Encoding do not say one clear thing.
    BadFraming,
    /// A transfer coding we do not decode.
    UnknownCoding,
    /// A WebSocket handshake that is not whole.
    BadUpgrade,
    /// A body larger than 2^63-1 bytes was announced.
    BodyTooBig,
    /// An expectation other than `100-continue`.
    BadExpect,
    /// Too many bytes or fields in the head.
    TooBig,
    /// A status that is not 100 to 599.
    BadStatus,
    /// 101 though nobody asked to switch protocols.
    FalseSwitch,
}

/// A head that must not be served. The connection ends after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadError {
    /// The answer for the client: 400, 405, 413, 414, 417, 422, 431, 501 or 505; by other [`super::Statuses`] also 494.
    /// Always 502 when a server's head was bad.
    pub status: u16,
    /// For the log, in words.
    pub reason: &'static str,
    /// The cause, for counting.
    pub kind: HeadErrorKind,
}

impl HeadError {
    pub(crate) const fn new(kind: HeadErrorKind, reason: &'static str) -> Self {
        HeadError { status: kind.status(), reason, kind }
    }

    /// The same fault in a server's answer: the client is told 502.
    pub(crate) const fn of_server(self) -> Self {
        HeadError { status: 502, ..self }
    }
}

impl HeadErrorKind {
    const fn status(self) -> u16 {
        match self {
            HeadErrorKind::RefusedMethod => 405,
            HeadErrorKind::BodyTooBig => 413,
            HeadErrorKind::TargetTooLong => 414,
            HeadErrorKind::BadExpect => 417,
            HeadErrorKind::TooBig => 431,
            HeadErrorKind::UnknownCoding => 422,
            HeadErrorKind::UnknownMethod => 501,
            HeadErrorKind::BadStatus | HeadErrorKind::FalseSwitch => 502,
            HeadErrorKind::BadVersion => 505,
            HeadErrorKind::BadSyntax
            | HeadErrorKind::BadMethod
            | HeadErrorKind::BadTarget
            | HeadErrorKind::BadName
            | HeadErrorKind::BadHost
            | HeadErrorKind::BadUpgrade
            | HeadErrorKind::BadFraming => 400,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for HeadError {}
