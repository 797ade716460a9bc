//! Each kind of check against real sockets, friendly and hostile.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::steps::Subject;
use plan::check::{Expect, Expectation, HttpCheckRequest, Script, Step, StepAct};
use plan::rule::Template;
use std::future::Future;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

const SOON: Limits = Limits { connect: Duration::from_secs(20), answer: Some(Duration::from_millis(300)) };
const PATIENT: Limits = Limits { connect: Duration::from_secs(20), answer: Some(Duration::from_secs(20)) };

/// A server that does `serve` with each connection; where it listens.
async fn server<F, S>(serve: S) -> Target
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Target::new(&ServerEndpoint::Tcp(address), None, None)
}

/// A server that reads a request, writes `answer` and closes.
async fn answering(answer: &'static [u8]) -> Target {
    server(move |mut stream| async move {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer).await;
    })
    .await
}

/// A server that reads a request, writes `answer` and never closes.
async fn hanging(answer: &'static [u8]) -> Target {
    server(move |mut stream| async move {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer).await;
        std::future::pending::<()>().await;
    })
    .await
}

async fn refusing() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Target::new(&ServerEndpoint::Tcp(listener.local_addr().unwrap()), None, None)
}

async fn check(target: &Target, probe: &Probe, limits: Limits) -> Finding {
    super::check(target, probe, &Subject::default(), limits).await
}

fn http(acts: &[StepAct]) -> Probe {
    Probe::Script(Script { steps: acts.iter().cloned().map(Step::from).collect(), ..Script::default() })
}

fn expect(negate: bool, what: Expectation) -> StepAct {
    StepAct::Expect(Expect { negate, ..Expect::from(what) })
}

/// `code` as the log prints it, -1 for none.
fn summary(finding: &Finding) -> (CheckStatus, i32, &str) {
    (finding.status, finding.code.map_or(-1, i32::from), &finding.text)
}

#[tokio::test]
async fn tcp() {
    let target = hanging(b"").await;
    assert_eq!(summary(&check(&target, &Probe::Tcp, PATIENT).await), (CheckStatus::L4Ok, -1, ""));
    let target = refusing().await;
    let expected = (CheckStatus::L4Con, -1, "ECONNREFUSED returned by OS");
    assert_eq!(summary(&check(&target, &Probe::Tcp, PATIENT).await), expected);
}

#[tokio::test]
async fn connecting_ends_at_its_deadline() {
    // A listener whose queue is full answers no more SYN.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    let full = async {
        loop {
            let connect = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address));
            match connect.await {
                Ok(stream) => filling.push(stream.unwrap()),
                Err(_) => break,
            }
        }
    };
    full.await;
    let target = Target::new(&ServerEndpoint::Tcp(address), None, None);
    let limits = Limits { connect: Duration::from_millis(50), answer: None };
    let finding = check(&target, &Probe::Tcp, limits).await;
    assert_eq!(summary(&finding), (CheckStatus::L4Timeout, -1, ""));
    assert!(finding.duration >= Duration::from_millis(50), "{:?}", finding.duration);
}

#[tokio::test]
async fn servers_without_an_address_of_their_own() {
    let nowhere = ServerEndpoint::Tcp("0.0.0.0:0".parse().unwrap());
    let finding = check(&Target::new(&nowhere, None, None), &Probe::Tcp, PATIENT).await;
    assert_eq!(summary(&finding), (CheckStatus::SockErr, -1, "the check has no address"));
    let ServerEndpoint::Tcp(real) = answering(b"").await.endpoint else { panic!("unix") };
    let target = Target::new(&nowhere, Some(real.ip()), Some(real.port()));
    assert_eq!(check(&target, &Probe::Tcp, PATIENT).await.status, CheckStatus::L4Ok);
}

#[tokio::test]
async fn unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let endpoint = ServerEndpoint::Unix(Arc::from(path.as_path()));
    let target = Target::new(&endpoint, None, None);
    assert_eq!(check(&target, &Probe::Tcp, PATIENT).await.status, CheckStatus::L4Con);
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    assert_eq!(check(&target, &Probe::Tcp, PATIENT).await.status, CheckStatus::L4Ok);
}

#[tokio::test]
async fn http_answers() {
    use CheckStatus::{L7Ok, L7Rsp, L7Status};
    let cases: [(&'static [u8], CheckStatus, i32, &str); 10] = [
        (b"HTTP/1.0 200 OK\r\n\r\n", L7Ok, 200, ""),
        (b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", L7Ok, 301, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", L7Ok, 204, ""),
        (b"HTTP/1.0 500 Internal Bang\r\n\r\n", L7Status, 500, "Internal Bang"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", L7Status, 404, "Not Found"),
        (b"", L7Rsp, -1, "closed without an answer"),
        (b"HTTP/1.0 200 OK\r\nX: y\r\n", L7Rsp, -1, "no whole head"),
        (b"SSH-2.0-OpenSSH\r\n", L7Rsp, -1, "*"),
        (b"HTTP/1.0 2xx OK\r\n\r\n", L7Rsp, -1, "*"),
        (b"\0\0\0\0\xff\xff\xff", L7Rsp, -1, "*"),
    ];
    for (answer, status, code, text) in cases {
        let finding = check(&answering(answer).await, &http(&[]), PATIENT).await;
        let text = if text == "*" { finding.text.as_str() } else { text };
        assert_eq!(summary(&finding), (status, code, text), "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn http_expectations() {
    use CheckStatus::{L7Ok, L7Rsp, L7Status};
    use Expectation::{Regex as BodyRegex, Status, StatusRegex, Text as Body};
    let regex = |text: &str| regex::bytes::Regex::new(text).unwrap();
    let cases: Vec<(StepAct, CheckStatus, &str)> = vec![
        (expect(false, Status(vec![(200, 299)])), L7Ok, ""),
        (expect(false, Status(vec![(100, 199), (500, 599)])), L7Status, "OK"),
        (expect(true, Status(vec![(200, 200)])), L7Status, "OK"),
        (expect(false, StatusRegex(regex("^2"))), L7Ok, ""),
        (expect(false, StatusRegex(regex("^5"))), L7Status, "OK"),
        (expect(false, Body(b"all well".to_vec())), L7Ok, ""),
        (expect(false, Body(b"sick".to_vec())), L7Rsp, "HTTP content check did not match"),
        (expect(true, Body(b"well".to_vec())), L7Rsp, "HTTP check matched unwanted content"),
        (expect(false, BodyRegex(regex("w.ll$"))), L7Ok, ""),
    ];
    let answers: [&'static [u8]; 3] = [
        b"HTTP/1.0 200 OK\r\n\r\nall well",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall well and more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n4\r\nwell\r\n0\r\n\r\n",
    ];
    for answer in answers {
        let target = answering(answer).await;
        for (step, status, text) in &cases {
            let finding = check(&target, &http(std::slice::from_ref(step)), PATIENT).await;
            assert_eq!((finding.status, finding.text.as_str()), (*status, *text), "{step:?}");
        }
    }
}

#[tokio::test]
async fn http_steps_run_in_order_and_all_must_hold() {
    let send = |target: &str| {
        StepAct::Request(HttpCheckRequest {
            method: "GET".into(),
            target: Template::fixed(target),
            ..Default::default()
        })
    };
    let status = |n| expect(false, Expectation::Status(vec![(n, n)]));
    let target = server(|mut stream| async move {
        let mut request = [0; 4096];
        let n = stream.read(&mut request).await.unwrap();
        let good = request[..n].starts_with(b"GET /one ");
        let answer: &[u8] = if good { b"HTTP/1.0 200 OK\r\n\r\n" } else { b"HTTP/1.0 503 No\r\n\r\n" };
        let _ = stream.write_all(answer).await;
    })
    .await;
    let passes = http(&[send("/one"), status(200), send("/two"), status(503)]);
    assert_eq!(check(&target, &passes, PATIENT).await.status, CheckStatus::L7Ok);
    let fails = http(&[send("/one"), status(200), send("/two")]);
    assert_eq!(summary(&check(&target, &fails, PATIENT).await), (CheckStatus::L7Status, 503, "No"));
}

#[tokio::test]
async fn postgres_and_redis() {
    use CheckStatus::{L7Ok, L7Rsp, L7Status};
    let postgres = Probe::Postgres { user: "probe".into() };
    let cases: [(&Probe, &'static [u8], CheckStatus, &str); 9] = [
        (&postgres, b"R\0\0\0\x08\0\0\0\0", L7Ok, "PostgreSQL server is ok"),
        (&postgres, b"E\0\0\0\x1dSFATAL\0C57P03\0Mstarting\0\0", L7Rsp, "FATAL"),
        (&postgres, b"HTTP/1.0 200 OK\r\n\r\n", L7Status, "PostgreSQL unknown error"),
        (&postgres, b"", L7Rsp, "TCPCHK got an empty response at step 3"),
        (&postgres, b"R\0\0", L7Status, "PostgreSQL unknown error"),
        (&Probe::Redis, b"+PONG\r\n", L7Ok, "Redis server is ok"),
        (
            &Probe::Redis,
            b"-NOAUTH Authentication required.\r\n",
            L7Status,
            "-NOAUTH Authentication required.",
        ),
        (&Probe::Redis, b"HTTP/1.0 200 OK\r\n\r\n", L7Status, "HTTP/1.0 200 OK"),
        (&Probe::Redis, b"+PO", L7Status, "+PO"),
    ];
    for (probe, answer, status, text) in cases {
        let finding = check(&answering(answer).await, probe, PATIENT).await;
        assert_eq!((finding.status, finding.text.as_str()), (status, text), "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_at_the_deadline() {
    let postgres = Probe::Postgres { user: "probe".into() };
    for (probe, start) in [
        (&http(&[]), &b""[..]),
        (&http(&[]), b"HTTP/1.0 20"),
        (&http(&[expect(false, Expectation::Text(b"x".to_vec()))]), b"HTTP/1.0 200 OK\r\n\r\nabc"),
        (&postgres, b"R\0"),
        (&Probe::Redis, b"+P"),
    ] {
        let finding = check(&hanging(start).await, probe, SOON).await;
        assert_eq!((finding.status, finding.text.as_str()), (CheckStatus::L7Timeout, ""), "{probe:?}");
        assert!(finding.duration >= Duration::from_millis(300) && finding.duration < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn dripping_bytes_do_not_move_the_deadline() {
    let target = server(|mut stream| async move {
        while stream.write_all(b"H").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let finding = check(&target, &Probe::Redis, SOON).await;
    // Redis knows at once that this is no answer; HTTP waits for more and must not wait for ever.
    assert_eq!(finding.status, CheckStatus::L7Status);
    let drip = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let finding = check(&drip, &http(&[]), SOON).await;
    assert_eq!(finding.status, CheckStatus::L7Timeout);
    assert!(finding.duration < Duration::from_secs(10));
}

#[tokio::test]
async fn never_more_than_the_limit_is_read() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let heads: [&'static [u8]; 4] = [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
    ];
    for head in heads {
        let tell = tell.clone();
        let target = server(move |mut stream| {
            let tell = tell.clone();
            async move {
                let _ = stream.write_all(head).await;
                let filler = [b'a'; 16 * 1024];
                while stream.write_all(&filler).await.is_ok() {}
                tell.send(()).unwrap();
            }
        })
        .await;
        let body = expect(false, Expectation::Text(b"needle".to_vec()));
        let mut attempt = Attempt::new(&target, PATIENT);
        let verdict = super::script::check(&mut attempt, &http(&[body]), &Subject::default()).await;
        let finding = attempt.finding(verdict);
        assert_eq!(finding.status, CheckStatus::L7Rsp, "{}", head.escape_ascii());
        assert_eq!(attempt.left, 0, "{}", head.escape_ascii());
        // The server sees the end of the connection.
        told.recv().await.unwrap();
    }
}

#[tokio::test]
async fn endless_interim_answers_end_at_the_limit() {
    let target = server(|mut stream| async move {
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
    })
    .await;
    let finding = check(&target, &http(&[]), PATIENT).await;
    assert_eq!(finding.status, CheckStatus::L7Rsp);
}

#[tokio::test]
async fn text_of_a_server_is_cut_and_clean() {
    let target = server(|mut stream| async move {
        let mut request = [0; 100];
        let _ = stream.read(&mut request).await;
        let line = [&b"-"[..], &[b'a'; 900], b"\r\n"].concat();
        let _ = stream.write_all(&line).await;
    })
    .await;
    let finding = check(&target, &Probe::Redis, PATIENT).await;
    assert_eq!(finding.status, CheckStatus::L7Status);
    assert_eq!(finding.text.len(), TEXT_BYTES);
}

#[tokio::test]
async fn proxy_header_comes_first() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut target = server(move |mut stream| {
        let tell = tell.clone();
        async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"PING\r\n") && stream.read_buf(&mut seen).await.unwrap() > 0 {}
            let _ = stream.write_all(b"+PONG\r\n").await;
            tell.send(seen).unwrap();
        }
    })
    .await;
    for (version, start) in [
        (ProxyVersion::V1, &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
        (ProxyVersion::V2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
    ] {
        target.send_proxy = Some(version);
        assert_eq!(check(&target, &Probe::Redis, PATIENT).await.status, CheckStatus::L7Ok);
        let seen = told.recv().await.unwrap();
        assert!(seen.starts_with(start), "{}", seen.escape_ascii());
    }
}

#[tokio::test]
async fn agent_talks() {
    let target = answering(b"up 75%\nnever read").await;
    let (finding, answer) = ask_agent(&target, Some(b"hello\n"), PATIENT).await;
    assert_eq!((answer.state, answer.weight), (Some(AgentState::Up), Some(AgentWeight::Percent(75))));
    assert_eq!(summary(&finding), (CheckStatus::L7Ok, 0, "via agent : up"));
    for target in [refusing().await, answering(b"").await] {
        let (finding, answer) = ask_agent(&target, Some(b"x"), PATIENT).await;
        assert_eq!(answer, AgentAnswer::default());
        assert!(!finding.status.passed());
    }
    let silent = hanging(b"up").await;
    let (finding, answer) = ask_agent(&silent, Some(b"x"), SOON).await;
    assert_eq!((finding.status, answer), (CheckStatus::L7Timeout, AgentAnswer::default()));
}

#[test]
fn limits_as_configured() {
    let s = Duration::from_secs;
    for (interval, connect, answer, expected) in [
        (2, None, None, (2, None)),
        (2, Some(5), None, (2, None)),
        (2, Some(1), None, (2, None)),
        (2, Some(1), Some(4), (1, Some(4))),
        (2, Some(5), Some(4), (2, Some(4))),
        (2, None, Some(4), (2, Some(4))),
    ] {
        let limits = Limits::new(s(interval), connect.map(s), answer.map(s));
        assert_eq!((limits.connect, limits.answer), (s(expected.0), expected.1.map(s)));
    }
}
