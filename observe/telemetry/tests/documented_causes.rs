//! The operator's table of causes in docs/operating.md says what the code says.

use telemetry::Cause;

const MANUAL: &str = include_str!("../../../docs/operating.md");

#[test]
fn every_cause_stands_in_the_manual_as_it_is() {
    for cause in Cause::all() {
        let status = match cause.status() {
            0 => "–".to_owned(),
            status => status.to_string(),
        };
        let row = format!("| `{}` | {} | {status} | {} |", cause.label(), cause.letters(), cause.advice());
        assert!(MANUAL.lines().any(|line| line == row), "docs/operating.md lacks the row\n{row}");
    }
}

#[test]
fn the_manual_has_no_cause_of_its_own() {
    let known: Vec<&str> = Cause::all().map(Cause::label).collect();
    let table =
        MANUAL.split("## Causes").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let labels: Vec<&str> = table.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(labels.len(), Cause::COUNT);
    assert!(labels.iter().all(|label| known.contains(label)), "{labels:?}");
}
