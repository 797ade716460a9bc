//! The outcome of the last check, for statistics. Written by the health crate, read by the dashboard.

use std::sync::Arc;
use std::time::Duration;

/// What the last check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Outcome.
    pub status: CheckStatus,
    /// HTTP status or error number; 0 = none.
    pub code: u16,
    /// How long it took; `None` before the first.
    pub duration: Option<Duration>,
    /// What the server said or what failed, in words.
    pub text: Arc<str>,
    /// Passed checks needed to come up.
    pub rise: u32,
    /// Failed checks needed to go down.
    pub fall: u32,
    /// Position between 0 and `rise + fall - 1`; up from `rise` on.
    pub health: u32,
    /// Checks failed so far while up.
    pub failures: u64,
}

/// Outcome of a check by layer, in HAProxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckStatus {
    /// Not checked.
    #[default]
    Unknown,
    /// Not checked yet.
    Initializing,
    /// The agent said nothing about up or down.
    Checked,
    /// Our own socket failed.
    SockErr,
    /// Passed: connected.
    L4Ok,
    /// Not connected in time.
    L4Timeout,
    /// Not connected: refused, no route.
    L4Con,
    /// Passed: secured (TLS).
    L6Ok,
    /// Not secured in time.
    L6Timeout,
    /// Securing failed.
    L6Rsp,
    /// No answer in time.
    L7Timeout,
    /// The answer is not valid.
    L7Rsp,
    /// Passed: the answer is right.
    L7Ok,
    /// Passed, but for persistent requests only.
    L7OkCond,
    /// The answer is valid and says no.
    L7Status,
    /// Decided by the health of live traffic.
    Hana,
    /// The check program failed to run.
    ProcErr,
    /// The check program did not end in time.
    ProcTimeout,
    /// Passed: the check program said so.
    ProcOk,
}

impl CheckStatus {
    /// All, in the order in which the metrics list them.
    pub const ALL: [CheckStatus; 19] = [
        CheckStatus::Unknown,
        CheckStatus::Initializing,
        CheckStatus::Checked,
        CheckStatus::SockErr,
        CheckStatus::L4Ok,
        CheckStatus::L4Timeout,
        CheckStatus::L4Con,
        CheckStatus::L6Ok,
        CheckStatus::L6Timeout,
        CheckStatus::L6Rsp,
        CheckStatus::L7Timeout,
        CheckStatus::L7Rsp,
        CheckStatus::L7Ok,
        CheckStatus::L7OkCond,
        CheckStatus::L7Status,
        CheckStatus::Hana,
        CheckStatus::ProcErr,
        CheckStatus::ProcTimeout,
        CheckStatus::ProcOk,
    ];

    /// Short name, as in the `check_status` column.
    pub fn label(self) -> &'static str {
        self.words().0
    }

    /// What it means, as in the `check_desc` column.
    pub fn description(self) -> &'static str {
        self.words().1
    }

    /// True for the outcomes that count as passed.
    pub fn passed(self) -> bool {
        use CheckStatus::*;
        matches!(self, L4Ok | L6Ok | L7Ok | L7OkCond | ProcOk)
    }

    /// True when nothing came of the other side: no connection, or no answer in time.
    pub fn is_no_answer(self) -> bool {
        use CheckStatus::*;
        matches!(self, SockErr | L4Timeout | L4Con | L6Timeout | L6Rsp | L7Timeout)
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            CheckStatus::Unknown => ("UNK", "Unknown"),
            CheckStatus::Initializing => ("INI", "Initializing"),
            CheckStatus::Checked => ("CHECKED", "No status change"),
            CheckStatus::SockErr => ("SOCKERR", "Socket error"),
            CheckStatus::L4Ok => ("L4OK", "Layer4 check passed"),
            CheckStatus::L4Timeout => ("L4TOUT", "Layer4 timeout"),
            CheckStatus::L4Con => ("L4CON", "Layer4 connection problem"),
            CheckStatus::L6Ok => ("L6OK", "Layer6 check passed"),
            CheckStatus::L6Timeout => ("L6TOUT", "Layer6 timeout"),
            CheckStatus::L6Rsp => ("L6RSP", "Layer6 invalid response"),
            CheckStatus::L7Timeout => ("L7TOUT", "Layer7 timeout"),
            CheckStatus::L7Rsp => ("L7RSP", "Layer7 invalid response"),
            CheckStatus::L7Ok => ("L7OK", "Layer7 check passed"),
            CheckStatus::L7OkCond => ("L7OKC", "Layer7 check conditionally passed"),
            CheckStatus::L7Status => ("L7STS", "Layer7 wrong status"),
            CheckStatus::Hana => ("HANA", "Health analyze"),
            CheckStatus::ProcErr => ("PROCERR", "External check error"),
            CheckStatus::ProcTimeout => ("PROCTOUT", "External check timeout"),
            CheckStatus::ProcOk => ("PROCOK", "External check passed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct() {
        let mut labels: Vec<_> = CheckStatus::ALL.iter().map(|s| s.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), CheckStatus::ALL.len());
    }
}
