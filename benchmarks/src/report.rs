//! Turns samples into a table for people and JSON for machines. Called by `main` after each case and at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Result;
use crate::arguments::Arguments;
use crate::cases::Case;
use crate::measure::Sample;
use crate::program::{Kind, Program, Variant};

/// One program in one variant, with the sample of each round.
pub struct Row {
    /// The program.
    pub program: Program,
    /// In which way it competed.
    pub variant: Variant,
    /// One per successful round.
    pub samples: Vec<Sample>,
}

/// All rows of one case.
pub struct CaseResult {
    case: &'static Case,
    rows: Vec<Row>,
}

/// The whole run.
pub struct Report {
    machine: BTreeMap<&'static str, String>,
    versions: BTreeMap<&'static str, String>,
    command: String,
    results: Vec<CaseResult>,
    failures: Vec<String>,
}

/// Middle of the rounds and how far they lie apart.
struct Figure {
    median: f64,
    /// (largest − smallest) / median.
    spread: f64,
}

impl Row {
    /// Program and variant for people.
    pub fn name(&self) -> String {
        format!("{}{}", self.program.kind.name(), self.variant.suffix())
    }

    fn cost(&self) -> Option<Figure> {
        Figure::of(self.samples.iter().map(|sample| sample.cost).collect())
    }

    fn median(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        Figure::of(self.samples.iter().filter_map(value).collect()).map(|figure| figure.median)
    }
}

impl Figure {
    fn of(mut values: Vec<f64>) -> Option<Figure> {
        values.sort_by(f64::total_cmp);
        let (first, last) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Figure { median, spread: (last - first) / median })
    }
}

impl CaseResult {
    /// The rows of one case after all rounds.
    pub fn new(case: &'static Case, rows: Vec<Row>) -> CaseResult {
        CaseResult { case, rows }
    }

    /// The cheapest row of the peers.
    fn best_peer(&self) -> Option<&Row> {
        let peers = self.rows.iter().filter(|row| row.program.kind != Kind::Mainstay);
        let costs = peers.filter_map(|row| Some((row, row.cost()?.median)));
        costs.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(row, _)| row)
    }

    /// Cost relative to the best peer, round by round.
    fn ratio(&self, row: &Row) -> Option<Figure> {
        let peer = &self.best_peer()?.samples;
        Figure::of(row.samples.iter().zip(peer).map(|(ours, theirs)| ours.cost / theirs.cost).collect())
    }

    fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "program": row.program.kind.name(), "variant": row.variant.suffix().trim(),
                "cost": row.cost().map(|f| f.median), "spread": row.cost().map(|f| f.spread),
                "ratio_to_best_peer": self.ratio(row).map(|f| f.median),
                "ratio_spread": self.ratio(row).map(|f| f.spread), "samples": row.samples,
            })
        });
        json!({
            "case": self.case.name, "about": self.case.about, "cost_unit": self.case.load.cost_unit(),
            "rate_unit": self.case.load.rate_unit(), "rows": rows.collect::<Vec<_>>(),
        })
    }
}

/// One case as a Markdown table.
pub fn case_table(result: &CaseResult) -> String {
    let case = result.case;
    let mut text = format!(
        "### {}\n{}.\n\n| program | {} | spread | ÷ best peer | spread | {} | p99 ms | cores used | disturbed | log lines/request |\n|---|---|---|---|---|---|---|---|---|---|\n",
        case.name,
        case.about,
        case.load.cost_unit(),
        case.load.rate_unit()
    );
    for row in &result.rows {
        text.push_str(&table_row(result, row));
    }
    text
}

fn table_row(result: &CaseResult, row: &Row) -> String {
    let Some(cost) = row.cost() else {
        return format!("| {} | failed |  |  |  |  |  |  |  |  |\n", row.name());
    };
    let ratio = result.ratio(row);
    format!(
        "| {} | {:.2} | {:.1} % | {} | {} | {} | {} | {} | {} | {} |\n",
        row.name(),
        cost.median,
        cost.spread * 100.0,
        cell(ratio.as_ref().map(|f| f.median), 3),
        ratio.map_or_else(String::new, |f| format!("{:.1} %", f.spread * 100.0)),
        cell(row.median(|s| Some(s.rate)), 0),
        cell(row.median(|s| s.p99_ms), 2),
        cell(row.median(|s| s.cores), 2),
        row.median(|s| s.disturbed).map_or_else(String::new, |part| format!("{:.1} %", part * 100.0)),
        cell(row.median(|s| s.log_lines), 2),
    )
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

impl Report {
    /// Everything that a reader needs to repeat the run.
    pub fn new(
        programs: &[Program],
        arguments: &Arguments,
        results: Vec<CaseResult>,
        failures: Vec<String>,
    ) -> Report {
        let versions = programs.iter().map(|program| (program.kind.name(), program.version())).collect();
        let command = format!("{} rounds of {} s", arguments.rounds, arguments.seconds);
        Report { machine: machine(), versions, command, results, failures }
    }

    /// Write `results.md` and `results.json` into `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("results.md"), self.markdown())?;
        fs::write(dir.join("results.json"), format!("{:#}\n", self.json()))?;
        Ok(())
    }

    /// An error when a turn failed, so that `make bench` fails too.
    pub fn verdict(&self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        Err(format!("{} turns failed:\n  {}", self.failures.len(), self.failures.join("\n  ")).into())
    }

    fn markdown(&self) -> String {
        let mut text = String::from("# Side by side\n\nWritten by `make bench`; do not edit.\n\n");
        for (name, value) in self.machine.iter().chain(&self.versions) {
            let _ = writeln!(text, "- {name}: {value}");
        }
        let _ = writeln!(text, "- turns: {}\n\n{METHOD}", self.command);
        for result in &self.results {
            let _ = writeln!(text, "{}", case_table(result));
        }
        text.push_str(&self.threads_line());
        for failure in &self.failures {
            let _ = writeln!(text, "- FAILED: {failure}");
        }
        text
    }

    /// CPU per request with two threads, relative to one thread.
    fn threads_line(&self) -> String {
        let find = |name| self.results.iter().find(|result| result.case.name == name);
        let (Some(one), Some(two)) = (find("keepalive"), find("threads-2")) else { return String::new() };
        let mut text = String::from("2 threads against 1, CPU per request: ");
        for (a, b) in one.rows.iter().zip(&two.rows) {
            if let (Some(a_cost), Some(b_cost)) = (a.cost(), b.cost()) {
                let _ = write!(text, "{} {:.2}  ", a.name(), b_cost.median / a_cost.median);
            }
        }
        text.push('\n');
        text
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "machine": self.machine, "versions": self.versions, "turns": self.command,
            "cases": self.results.iter().map(CaseResult::json).collect::<Vec<_>>(), "failures": self.failures,
        })
    }
}

const METHOD: &str = "Each program has its turn in each round (A B C A B C …) with a fresh start, checked answers and one second of
warm-up. Cost is the CPU time of all its threads and child processes in the window, from the kernel's scheduler in
nanoseconds, divided by the work that the clients counted. Program on core 1; clients and servers on core 0 (with two
threads: program on both). Figures are medians of the rounds; spread is (largest − smallest) ÷ median; the ratio is taken
round by round against the cheapest peer. Disturbed is the part of the window in which the program had to wait for its core because some
other process had it: above a few percent, the figures are not to be trusted. Mainstay runs HAProxy's file.
";

fn machine() -> BTreeMap<&'static str, String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(|_| "?".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    BTreeMap::from([
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("cpu", model.map_or("?", |(_, name)| name).to_owned()),
        ("cores", cpuinfo.lines().filter(|line| line.starts_with("processor")).count().to_string()),
        ("kernel", said("uname", &["-sr"])),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cases::CASES;

    fn row(kind: Kind, costs: &[f64]) -> Row {
        let sample = |cost: &f64| Sample {
            cost: *cost,
            rate: 1.0,
            p99_ms: None,
            cores: None,
            disturbed: None,
            log_lines: None,
        };
        let program = Program { kind, path: "x".into() };
        Row { program, variant: Variant::Usual, samples: costs.iter().map(sample).collect() }
    }

    #[test]
    fn ours_is_compared_with_the_better_peer_round_by_round() {
        let rows = vec![
            row(Kind::Haproxy, &[10.0, 11.0, 12.0]),
            row(Kind::Nginx, &[20.0, 20.0, 20.0]),
            row(Kind::Mainstay, &[5.0, 5.5, 9.0]),
        ];
        let result = CaseResult::new(&CASES[0], rows);
        let ratio = result.ratio(&result.rows[2]).unwrap();
        assert_eq!((ratio.median, ratio.spread), (0.5, 0.5));
        assert!(case_table(&result).contains("| mainstay | 5.50 | 72.7 % | 0.500 | 50.0 % |"));
    }

    #[test]
    fn a_program_that_failed_is_no_peer() {
        let result = CaseResult::new(&CASES[0], vec![row(Kind::Haproxy, &[]), row(Kind::Nginx, &[7.0])]);
        assert_eq!(result.best_peer().unwrap().program.kind, Kind::Nginx);
        assert!(case_table(&result).contains("| haproxy | failed |"));
    }
}
