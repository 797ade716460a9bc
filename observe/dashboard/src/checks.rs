//! Outcomes of checks as HAProxy names and numbers them.

/// An outcome: label, number in server-state lines, description, result in server-state lines.
struct Outcome {
    label: &'static str,
    number: u32,
    description: &'static str,
    result: u32,
}

const fn outcome(label: &'static str, number: u32, description: &'static str, result: u32) -> Outcome {
    Outcome { label, number, description, result }
}

const FAILED: u32 = 2;
const PASSED: u32 = 3;
const PASSED_IF: u32 = 4;

const OUTCOMES: [Outcome; 19] = [
    outcome("", 0, "", 0),
    outcome("INI", 1, "Initializing", 0),
    outcome("CHECKED", 3, "No status change", 0),
    outcome("HANA", 4, "Health analyze", FAILED),
    outcome("SOCKERR", 5, "Socket error", FAILED),
    outcome("L4OK", 6, "Layer4 check passed", PASSED),
    outcome("L4TOUT", 7, "Layer4 timeout", FAILED),
    outcome("L4CON", 8, "Layer4 connection problem", FAILED),
    outcome("L6OK", 9, "Layer6 check passed", PASSED),
    outcome("L6TOUT", 10, "Layer6 timeout", FAILED),
    outcome("L6RSP", 11, "Layer6 invalid response", FAILED),
    outcome("L7TOUT", 12, "Layer7 timeout", FAILED),
    outcome("L7RSP", 13, "Layer7 invalid response", FAILED),
    outcome("L7OK", 15, "Layer7 check passed", PASSED),
    outcome("L7OKC", 16, "Layer7 check conditionally passed", PASSED_IF),
    outcome("L7STS", 17, "Layer7 wrong status", FAILED),
    outcome("PROCERR", 18, "External check error", FAILED),
    outcome("PROCTOUT", 19, "External check timeout", FAILED),
    outcome("PROCOK", 20, "External check passed", PASSED),
];

/// States of the `server_check_status` metric, in HAProxy's order.
pub(crate) const STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK",
    "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

fn find(label: &str) -> &'static Outcome {
    OUTCOMES.iter().find(|o| o.label == label).unwrap_or(&OUTCOMES[0])
}

/// What the statistics show for a label; `INI` before the first outcome.
pub fn shown(label: &str) -> &str {
    if label.is_empty() { "INI" } else { label }
}

/// Description of an outcome.
pub fn description(label: &str) -> &'static str {
    find(shown(label)).description
}

/// Number of an outcome in server-state lines.
pub fn number(label: &str) -> u32 {
    find(shown(label)).number
}

/// Result of an outcome in server-state lines: 0 unknown, 2 failed, 3 passed, 4 passed with a condition.
pub fn result(label: &str) -> u32 {
    find(shown(label)).result
}
