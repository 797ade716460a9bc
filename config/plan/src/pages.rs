//! Answers that the balancer gives itself: error pages, fixed answers.

use crate::rule::Template;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Error pages by status. Pages not listed are the built-in ones.
#[derive(Clone, Debug, Default)]
pub struct ErrorPages(pub BTreeMap<u16, ErrorPage>);

/// One error page.
#[derive(Clone, Debug)]
pub enum ErrorPage {
    /// A whole message as it goes out, head and body. Empty = close without a byte.
    Raw(Arc<[u8]>),
    /// Built from parts.
    Built(Arc<Answer>),
}

/// A fixed answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Content type; `None` with a body = `text/plain` unless a header says it.
    pub content_type: Option<String>,
    /// Further header fields.
    pub headers: Vec<(String, Template)>,
    /// Body.
    pub body: AnswerBody,
}

/// Body of a fixed answer.
#[derive(Clone, Debug, Default)]
pub enum AnswerBody {
    /// The configured or built-in error page of the status.
    #[default]
    ErrorPage,
    /// No body.
    Empty,
    /// These bytes.
    Fixed(Arc<[u8]>),
    /// A template.
    Template(Template),
    /// A whole message as it goes out, head and body; status, content type and headers of the answer do not
    /// count then. Empty = close without a byte.
    Message(Arc<[u8]>),
}
