//! Stories about the harness itself: one that sees no failure proves nothing.

use std::time::Duration;

use e2e::load::{Outcome, Report, Sample};
use e2e::scripted::answer;
use e2e::{Client, Failure, Load, Port, Scripted, Step};

/// How one GET ends, on a fresh connection and on one that was used before, when the server does this.
fn endings(steps: Vec<Step>) -> [Failure; 2] {
    let server = Scripted::start(move |seen| match seen.target.as_str() {
        "/good" => vec![Step::send(&answer(200, "", "good"))],
        _ => steps.clone(),
    });
    let mut client = Client::to(server.address).patience(Duration::from_millis(300));
    let fresh = client.get("/").unwrap_err();
    client.get("/good").unwrap();
    [fresh, client.get("/").unwrap_err()]
}

#[test]
fn the_client_tells_failures_apart() {
    let half = || Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(endings(vec![Step::Close]), [Failure::Reset, Failure::ReuseRace]);
    assert_eq!(endings(vec![Step::Reset]), [Failure::Reset, Failure::ReuseRace]);
    assert_eq!(endings(vec![half(), Step::Close]), [Failure::Truncated, Failure::Truncated]);
    assert_eq!(endings(vec![half(), Step::Reset]), [Failure::Truncated, Failure::Truncated]);
    assert_eq!(endings(vec![Step::send("nonsense\r\n\r\n")]), [Failure::Garbage, Failure::Garbage]);
    assert_eq!(endings(vec![Step::Wait(Duration::from_secs(1))]), [Failure::Timeout, Failure::Timeout]);
    assert_eq!(Client::to(Port::free().address()).get("/").unwrap_err(), Failure::Refused);
}

#[test]
fn the_load_counts_every_kind_of_end() {
    let server = Scripted::start(|seen| {
        let number: u64 =
            seen.header("x-request-id").and_then(|id| id.split('-').nth(1)?.parse().ok()).unwrap();
        match number % 4 {
            1 => vec![Step::send(&answer(503, "", "no"))],
            2 => vec![Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Step::Close],
            3 => {
                vec![Step::send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n")]
            }
            _ => vec![Step::send(&answer(200, "", "yes"))],
        }
    });
    let load = Load::post(server.address, "/").connections(2).start();
    load.wait_for(100);
    let report = load.stop();
    assert_eq!(report.samples.len(), server.seen().len(), "nothing was sent twice");
    let kinds: Vec<_> = report.outcomes().into_keys().collect();
    let expected = [Outcome::Status(200), Outcome::Status(503), Outcome::Failed(Failure::Truncated)];
    assert_eq!(kinds, expected);
    assert_eq!(report.failed() + report.count(&Outcome::Status(200)), report.samples.len());
}

#[test]
fn the_longest_gap_is_between_successes_of_all_connections() {
    let at = |sent_ms, took_ms, status| Sample {
        sent: Duration::from_millis(sent_ms),
        took: Duration::from_millis(took_ms),
        outcome: Outcome::Status(status),
    };
    let samples = vec![at(0, 10, 200), at(0, 20, 200), at(20, 5, 503), at(20, 50, 200)];
    let report = Report { samples, time: Duration::from_millis(80) };
    assert_eq!(report.longest_gap(), Duration::from_millis(50));
    assert_eq!(report.quantile(0.5), Duration::from_millis(10));
    assert_eq!(report.quantile(1.0), Duration::from_millis(50));
}
