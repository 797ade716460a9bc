//! The load generator `wrk`: started for one window, its report read.

use std::process::{Command, Stdio};

use crate::Result;

/// Client connections at a time.
pub const CONNECTIONS: usize = 64;

/// What wrk saw.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Answers received.
    pub requests: u64,
    /// Answers per second.
    pub per_second: f64,
    /// 99th percentile of the time to the whole answer, in milliseconds.
    pub p99_ms: f64,
    /// wrk's own words about errors, if there were any.
    pub errors: Option<String>,
}

/// Load `url` for `seconds`; `close` opens a new connection for each request.
pub fn run(url: &str, seconds: u64, close: bool) -> Result<Outcome> {
    let mut command = Command::new("wrk");
    command.args(["--latency", "-t1", "--timeout", "10s"]);
    command.arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
    if close {
        command.args(["-H", "Connection: close"]);
    }
    let output =
        command.arg(url).stderr(Stdio::inherit()).output().map_err(|error| format!("start wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("wrk gave no figures:\n{text}").into())
}

fn parse(text: &str) -> Option<Outcome> {
    let line = |start: &str| text.lines().map(str::trim).find_map(|line| line.strip_prefix(start));
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    let errors =
        text.lines().map(str::trim).filter(|l| l.starts_with("Socket errors") || l.starts_with("Non-2xx"));
    let errors = errors.collect::<Vec<_>>().join("; ");
    Some(Outcome {
        requests: requests.split_whitespace().next()?.parse().ok()?,
        per_second: line("Requests/sec:")?.trim().parse().ok()?,
        p99_ms: milliseconds(line("99%")?.trim())?,
        errors: (!errors.is_empty()).then_some(errors),
    })
}

/// `812.00us`, `1.50ms`, `2.00s`, `1.00m`.
fn milliseconds(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..)? {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REPORT: &str = "Running 5s test @ http://127.0.0.1:1/
  Latency Distribution
     50%    1.02ms
     99%    812.00us
  250123 requests in 5.00s, 40.1MB read
  Non-2xx or 3xx responses: 3
Requests/sec:  50021.50
Transfer/sec:      8.02MB
";

    #[test]
    fn figures_and_errors_are_read() {
        let outcome = parse(REPORT).unwrap();
        assert_eq!((outcome.requests, outcome.per_second, outcome.p99_ms), (250_123, 50_021.5, 0.812));
        assert_eq!(outcome.errors.unwrap(), "Non-2xx or 3xx responses: 3");
        assert_eq!(parse("unable to connect"), None);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(milliseconds("1.50s"), Some(1500.0));
        assert_eq!(milliseconds("2.00m"), Some(120_000.0));
        assert_eq!(milliseconds("2"), None);
    }
}
