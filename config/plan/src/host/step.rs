//! Steps: what is done to a request before its content is looked for (nginx: `ngx_http_rewrite_module`).

use super::{Location, Pattern, VariableId};
use crate::place::Place;
use crate::rule::Template;
use std::sync::Arc;

/// One step of a host or a location.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sets a variable.
    Set(VariableId, Template),
    /// Sets the query.
    SetArguments(Template),
    /// Sets the rate of the answer, bytes in a second.
    SetRate(Template),
    /// Changes the path when it matches.
    Rewrite {
        /// Where it was said.
        place: Place,
        /// What the path must match.
        pattern: Pattern,
        /// The new path, or where a redirect leads. Groups of the match are variables in it.
        to: Template,
        /// A query of its own: what stood behind the first `?`.
        query: Option<Template>,
        /// True when the old query is not put behind the new one.
        drops_query: bool,
        /// What follows.
        end: RewriteEnd,
        /// Whether it is told in the error log.
        logged: bool,
    },
    /// Ends the request: status and text, or the place of a redirect.
    Return {
        /// Status; 444 ends the connection without an answer.
        status: u16,
        /// Text of the answer, or where a redirect leads; `None` for the page of the status.
        text: Option<Template>,
    },
    /// Ends the steps of this level.
    Break,
    /// Steps under a condition, in what is then another location.
    If {
        /// When.
        question: Question,
        /// What then.
        steps: Box<[Step]>,
        /// What counts from then on; `None` on the level of a host when it changes nothing.
        location: Option<Arc<Location>>,
    },
}

/// What follows a path that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewriteEnd {
    /// The next step; at the end a location is looked for again.
    Next,
    /// A location is looked for at once (`last`).
    Locate,
    /// The steps end, the location stays (`break`).
    Stay,
    /// A redirect with this status (`redirect`, `permanent`, or a target with a scheme).
    Redirect(u16),
}

/// What an `if` asks.
#[derive(Clone, Debug)]
pub enum Question {
    /// The text is neither empty nor `0`.
    IsTrue(Template),
    /// Both texts are the same.
    Same(Template, Template),
    /// The text matches; groups are kept.
    Matches(Template, Pattern),
    /// Something is in the file system.
    File(FileTest, Template),
    /// The opposite.
    Not(Box<Question>),
}

/// What must be in the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTest {
    /// A regular file (`-f`).
    File,
    /// A directory (`-d`).
    Directory,
    /// Anything (`-e`).
    Exists,
    /// Something that may be executed (`-x`).
    Executable,
}
