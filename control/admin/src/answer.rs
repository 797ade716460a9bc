//! What a command answers: data, or a sentence with a severity that `set severity-output` makes visible.

use crate::command::SeverityOutput;
use crate::control::Refusal;
use plan::log::Severity;

/// What a command answers. An empty line is added when it is sent, so the text of a whole answer ends in a line
/// end, or is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Severity of a sentence; `None` for data.
    pub severity: Option<Severity>,
    /// The text.
    pub text: String,
}

impl Answer {
    /// Done, nothing to tell.
    pub fn done() -> Answer {
        Answer::default()
    }

    /// Data that was asked for.
    pub fn data(text: impl Into<String>) -> Answer {
        Answer { severity: None, text: text.into() }
    }

    /// A sentence.
    pub fn said(severity: Severity, text: impl Into<String>) -> Answer {
        Answer { severity: Some(severity), text: text.into() }
    }

    /// A mistake, as a whole line.
    pub fn error(text: impl Into<String>) -> Answer {
        Answer::said(Severity::Error, text)
    }

    /// What is sent, without the empty line.
    pub(crate) fn printed(&self, output: SeverityOutput) -> String {
        match (self.severity, output) {
            (Some(severity), SeverityOutput::Number) => format!("[{}]: {}", severity as u8, self.text),
            (Some(severity), SeverityOutput::Word) => format!("[{}]: {}", label(severity), self.text),
            _ => self.text.clone(),
        }
    }
}

/// A refusal is a sentence of its own: without a line end it would run into the empty line.
impl From<Result<(), Refusal>> for Answer {
    fn from(result: Result<(), Refusal>) -> Answer {
        match result {
            Ok(()) => Answer::done(),
            Err(refusal) => Answer::error(format!("{}\n", refusal.0.trim_end())),
        }
    }
}

/// Names of severities as syslog has them.
fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Emergency => "emerg",
        Severity::Alert => "alert",
        Severity::Critical => "crit",
        Severity::Error => "err",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
        Severity::Info => "info",
        Severity::Debug => "debug",
    }
}
