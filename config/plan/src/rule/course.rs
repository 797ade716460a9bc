//! Actions on the course of a request or connection: who it is from, what it waits for, how long, how often.

use super::{Expr, Scope, Template};
use std::time::Duration;

/// An action on the course of a request.
#[derive(Clone, Debug)]
pub enum Course {
    /// Takes the client's port from this value.
    ClientPort(Expr),
    /// Takes the address the client connected to from this value.
    LocalAddress(Expr),
    /// Takes the port the client connected to from this value.
    LocalPort(Expr),
    /// Waits until the body of the message is there.
    WaitForBody(WaitForBody),
    /// Waits for so many milliseconds.
    Pause(Expr),
    /// Adds a field to the 103 answer that is sent ahead (RFC 8297). Rules of this kind that follow each other
    /// make one answer.
    EarlyHint(Box<str>, Template),
    /// Another time-out for this request, milliseconds.
    Timeout(TimeoutKind, Expr),
    /// Another number of further tries for this request.
    Tries(Expr),
    /// No further try after anything but a failed connection.
    NoRetry,
    /// True: a later rule of this list that cannot edit the message fails the request.
    Strict(bool),
    /// Mark of the packets to the client, for the firewall and routing.
    ClientMark(Expr),
    /// Type of service of the packets to the client.
    ClientTos(Expr),
    /// Normalises the target of the request.
    Normalize(Normalizer),
    /// Keeps a value in a response capture slot.
    CaptureResponse(Expr, usize),
    /// Sets a variable when all of this holds.
    SetVariable(Box<SetVariable>),
}

/// Waiting for a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitForBody {
    /// Longest wait.
    pub longest: Duration,
    /// So many bytes are enough; 0 = the whole body, as far as the buffer goes.
    pub at_least: u64,
}

/// Which time-out a rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutKind {
    /// Longest silence of the client.
    Client,
    /// To connect.
    Connect,
    /// In a queue.
    Queue,
    /// Longest silence of the server.
    Server,
    /// How long a tarpitted client is held.
    Tarpit,
    /// Longest silence of both sides of an upgraded connection.
    Tunnel,
}

/// How a target is normalised. What is said of RFC 3986 holds for the path unless another part is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalizer {
    /// `#` becomes `%23`.
    FragmentEncode,
    /// The fragment is cut off.
    FragmentStrip,
    /// Several slashes become one.
    MergeSlashes,
    /// Segments `.` are removed.
    StripDot,
    /// Segments `..` are removed with the one before; with `full` also at the beginning.
    StripDotDot {
        /// Those at the beginning are removed as well.
        full: bool,
    },
    /// Escaped characters that need no escape are decoded, in path and query.
    DecodeUnreserved {
        /// A broken escape refuses the request.
        strict: bool,
    },
    /// Escapes are written in upper case, in path and query.
    UpperCaseEscapes {
        /// A broken escape refuses the request.
        strict: bool,
    },
    /// Parameters of the query are sorted by name.
    SortQuery,
}

/// A variable that is set under conditions.
#[derive(Clone, Debug)]
pub struct SetVariable {
    /// Its life.
    pub scope: Scope,
    /// Its name.
    pub name: Box<str>,
    /// Its new value.
    pub value: NewValue,
    /// What must hold.
    pub when: Vec<VariableCondition>,
}

/// The new value of a variable.
#[derive(Clone, Debug)]
pub enum NewValue {
    /// A value; none leaves the variable as it is.
    Value(Expr),
    /// A text.
    Text(Template),
}

/// What must hold of a variable and its new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableCondition {
    /// The variable has a value.
    Set,
    /// The variable has no value.
    NotSet,
    /// The new value is an empty text.
    Empty,
    /// The new value is no empty text.
    NotEmpty,
    /// The variable is a number greater than the new one, or one of them is no number.
    Greater,
    /// The variable is a number less than the new one, or one of them is no number.
    Less,
}

impl VariableCondition {
    /// True when it holds for the value that is there and the new one.
    pub fn holds(self, old: Option<&super::Value<'_>>, new: &super::Value<'_>) -> bool {
        use super::Value::{Int, Text};
        match self {
            VariableCondition::Set => old.is_some(),
            VariableCondition::NotSet => old.is_none(),
            VariableCondition::Empty => matches!(new, Text(text) if text.is_empty()),
            VariableCondition::NotEmpty => !matches!(new, Text(text) if text.is_empty()),
            VariableCondition::Greater => !matches!((old, new), (Some(Int(old)), Int(new)) if old <= new),
            VariableCondition::Less => !matches!((old, new), (Some(Int(old)), Int(new)) if old >= new),
        }
    }
}
