//! Checks made of steps, in words of server and outcome: no socket, no time.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use plan::check::{
    CheckConnect, Expect, Expectation, FailAs, HeaderExpectation, HttpCheckRequest, LateAs, MysqlLogin,
    MysqlProtocol, PassAs, Probe, Script, ScriptProtocol, Step, StepAct, TextExpectation,
};
use plan::rule::{Expr, Fetch, HeaderFetch, Occurrence, Piece, Scope, Style, Template, TextMatch, Value};
use pool::CheckStatus;
use regex::bytes::Regex;

/// What a server does, in order; then it says no more, or closes.
#[derive(Clone, Copy)]
enum Server {
    Says(&'static [u8]),
    Closes,
}
use Server::{Closes, Says};

/// Runs a check against a server that does one thing for each question or silence; gives what was sent to it, the
/// connections, and the outcome (that of a time-out when the server leaves it waiting).
fn run(probe: &Probe, server: &[Server]) -> (Vec<u8>, Vec<Connect>, Outcome) {
    run_as(probe, server, &Subject { pool: "be".into(), server: "s".into(), ..Subject::default() })
}

fn run_as(probe: &Probe, server: &[Server], subject: &Subject) -> (Vec<u8>, Vec<Connect>, Outcome) {
    let prepared = prepare(probe, 7).unwrap();
    let mut machine = Machine::new(&prepared, subject);
    let (mut sent, mut connects, mut script) = (Vec::new(), Vec::new(), server.iter());
    let mut todo = machine.begin();
    for _ in 0..10_000 {
        todo = match todo {
            Todo::Connect(connect) => {
                connects.push(connect);
                machine.connected()
            }
            Todo::Send(bytes) => {
                sent.extend(bytes);
                machine.sent()
            }
            Todo::Read => match script.next() {
                Some(Says(bytes)) => machine.received(bytes),
                Some(Closes) => machine.closed(),
                None => return (sent, connects, machine.late(false)),
            },
            Todo::Done(outcome) => return (sent, connects, outcome),
        };
    }
    panic!("the check never ends");
}

fn bytes(steps: Vec<Step>) -> Probe {
    Probe::Script(Script { protocol: ScriptProtocol::Bytes, steps, ..Script::default() })
}

fn http(acts: Vec<StepAct>) -> Probe {
    Probe::Script(Script { steps: acts.into_iter().map(Step::from).collect(), ..Script::default() })
}

fn expect(what: Expectation) -> Step {
    StepAct::Expect(Expect::from(what)).into()
}

fn text(text: &str) -> Expectation {
    Expectation::Text(text.into())
}

fn regex(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

fn value(fetch: Fetch) -> Template {
    Template(vec![Piece::Value(Expr::of(fetch), Style::default())])
}

/// `STATUS code text` as in the log.
fn told(outcome: &Outcome) -> String {
    let code = outcome.code.map_or(String::from("-"), |code| code.to_string());
    format!("{} {code} {}", outcome.status.label(), outcome.text)
}

#[test]
fn expectations_on_bytes_are_told_as_haproxy_tells_them() {
    let not = |what| Step::from(StepAct::Expect(Expect { negate: true, ..Expect::from(what) }));
    let least = |least, negate, what| {
        Step::from(StepAct::Expect(Expect { negate, least: Some(least), ..Expect::from(what) }))
    };
    let commented = |step: Step, comment: &str| Step { comment: Some(comment.into()), ..step };
    let rx = |text| Expectation::Regex(regex(text));
    let xyz = Says(b"xyz");
    let cases: Vec<(Vec<Step>, Vec<Server>, &str)> = vec![
        (vec![expect(text("xyz"))], vec![xyz], "L7OK 0 (tcp-check)"),
        (vec![expect(text("xyz"))], vec![Says(b"x"), Says(b"yz")], "L7OK 0 (tcp-check)"),
        (vec![expect(text("no"))], vec![xyz], "L7TOUT -  at step 1 of tcp-check (expect string 'no')"),
        (vec![expect(text("no"))], vec![xyz, Closes], "L7RSP - TCPCHK did not match content 'no' at step 1"),
        (
            vec![commented(expect(text("no")), "why")],
            vec![xyz, Closes],
            "L7RSP - TCPCHK did not match content 'no' at step 1 comment: why",
        ),
        (
            vec![commented(expect(rx("no")), "why")],
            vec![xyz],
            "L7TOUT -  at step 1 of tcp-check (expect regex) comment: 'why'",
        ),
        (
            vec![expect(rx("^no"))],
            vec![xyz, Closes],
            "L7RSP - TCPCHK did not match content (regex) at step 1",
        ),
        (
            vec![expect(Expectation::Binary(b"AB".to_vec()))],
            vec![xyz, Closes],
            "L7RSP - TCPCHK did not match content (binary) at step 1",
        ),
        (vec![expect(Expectation::HexRegex(regex("^78797A$")))], vec![xyz], "L7OK 0 (tcp-check)"),
        (vec![not(text("xyz"))], vec![xyz], "L7RSP - TCPCHK matched unwanted content 'xyz' at step 1"),
        (vec![not(rx("^a"))], vec![xyz], "L7TOUT -  at step 1 of tcp-check (expect regex)"),
        (vec![not(rx("^a"))], vec![xyz, Closes], "L7OK 0 (tcp-check)"),
        (vec![not(rx("^a"))], vec![Closes], "L7RSP - TCPCHK got an empty response at step 1"),
        (vec![least(0, true, rx("^a"))], vec![xyz], "L7OK 0 (tcp-check)"),
        (vec![least(3, true, rx("^a"))], vec![Says(b"xy"), Says(b"z")], "L7OK 0 (tcp-check)"),
        (vec![least(0, false, rx("a"))], vec![xyz], "L7RSP - TCPCHK did not match content (regex) at step 1"),
        (vec![not(rx("^a")), expect(text("xyz"))], vec![xyz, Closes], "L7OK 0 (tcp-check)"),
        (vec![StepAct::Send(Template::fixed("x")).into()], vec![], "L7OK 0 (tcp-check)"),
        (vec![StepAct::Connect(CheckConnect::default()).into()], vec![], "L4OK - (tcp-check)"),
        (vec![], vec![], "L4OK - "),
    ];
    for (steps, server, expected) in cases {
        let (_, _, outcome) = run(&bytes(steps.clone()), &server);
        assert_eq!(told(&outcome), expected, "{steps:?}");
    }
}

#[test]
fn a_question_forgets_what_came_before_it() {
    let steps = vec![
        expect(text("hello")),
        StepAct::Send(Template::fixed("PING")).into(),
        StepAct::SendHex(Template::fixed("0d 0A")).into(),
        expect(text("hello")),
    ];
    let (sent, connects, outcome) = run(&bytes(steps.clone()), &[Says(b"hello"), Says(b"other"), Closes]);
    assert_eq!((sent.as_slice(), connects.len()), (&b"PING\r\n"[..], 1));
    assert_eq!(told(&outcome), "L7RSP - TCPCHK did not match content 'hello' at step 4");
    let (_, _, outcome) = run(&bytes(steps), &[Says(b"hello"), Says(b"hello")]);
    assert_eq!(outcome.status, CheckStatus::L7Ok);
}

#[test]
fn several_connections_and_variables() {
    let port = Expr::of(Fetch::Variable(Scope::Check, "port".into()));
    let constant = |n| Expr::of(Fetch::Constant(Value::Int(n)));
    let steps = vec![
        StepAct::Set(Scope::Check, "port".into(), constant(81)).into(),
        StepAct::Connect(CheckConnect { port: Some(port.clone()), ..CheckConnect::default() }).into(),
        StepAct::Send(value(Fetch::Variable(Scope::Check, "port".into()))).into(),
        StepAct::Unset(Scope::Check, "port".into()).into(),
        StepAct::Connect(CheckConnect { port: Some(port), as_server: true, ..CheckConnect::default() })
            .into(),
        StepAct::Send(Template(vec![
            Piece::Text(b"/".as_slice().into()),
            Piece::Value(Expr::of(Fetch::ServerName), Style::default()),
            Piece::Value(Expr::of(Fetch::Variable(Scope::Check, "port".into())), Style::default()),
        ]))
        .into(),
    ];
    let (sent, connects, outcome) = run(&bytes(steps), &[]);
    assert_eq!(sent, b"81/s");
    assert_eq!(
        connects.iter().map(|c| (c.port, c.as_server)).collect::<Vec<_>>(),
        [(Some(81), false), (None, true)]
    );
    assert_eq!(outcome.status, CheckStatus::L7Ok);
}

#[test]
fn a_failed_connection_names_its_step() {
    let connect = |port: Option<i64>| {
        StepAct::Connect(CheckConnect {
            port: port.map(|port| Expr::of(Fetch::Constant(Value::Int(port)))),
            ..CheckConnect::default()
        })
    };
    let refused = || Outcome { status: CheckStatus::L4Con, code: None, text: "refused".into() };
    let check = |probe: &Probe, expected: &str| {
        let prepared = prepare(probe, 0).unwrap();
        let subject = Subject::default();
        let mut machine = Machine::new(&prepared, &subject);
        assert!(matches!(machine.begin(), Todo::Connect(_)));
        assert_eq!(machine.at_this_step(refused()).text, expected);
        assert_eq!(machine.late(true).status, CheckStatus::L4Timeout);
    };
    let commented = Step { act: connect(Some(1)), comment: Some("why".into()) };
    check(&bytes(vec![commented]), "refused at step 1 of tcp-check (connect port 1) comment: 'why'");
    check(&bytes(vec![connect(None).into()]), "refused at step 1 of tcp-check (connect)");
    check(&bytes(vec![]), "refused at initial connection step of tcp-check");
    check(&Probe::Tcp, "refused");
    check(&http(vec![]), "refused");
    check(&Probe::Redis, "refused");
}

#[test]
fn outcomes_are_called_as_the_rules_say() {
    let base = || Expect::from(text("xyz"));
    let check = |expect: Expect, server: &[Server], expected: &str| {
        let (_, _, outcome) = run(&bytes(vec![StepAct::Expect(expect).into()]), server);
        assert_eq!(told(&outcome), expected);
    };
    let code = Some(Expr::of(Fetch::Constant(Value::Int(42))));
    let good = [Says(b"xyz")];
    let bad = [Says(b"abc"), Closes];
    check(Expect { passes_as: PassAs::Layer6, code: code.clone(), ..base() }, &good, "L6OK - ");
    check(Expect { passes_as: PassAs::Conditional, ..base() }, &good, "L7OKC 0 ");
    check(
        Expect { on_success: Some(Template::fixed("well")), code: code.clone(), ..base() },
        &good,
        "L7OK 42 well",
    );
    check(
        Expect {
            on_error: Some(Template::fixed("ill")),
            fails_as: Some(FailAs::WrongStatus),
            code,
            ..base()
        },
        &bad,
        "L7STS 42 ill",
    );
    let conditional = Expect { fails_as: Some(FailAs::Conditional), ..base() };
    check(conditional, &bad, "L7OKC 0 TCPCHK did not match content 'xyz' at step 1");
    let late = Expect { late_as: LateAs::Layer4, ..base() };
    check(late, &[], "L4TOUT -  at step 1 of tcp-check (expect string 'xyz')");
}

#[test]
fn requests_are_written_in_full() {
    let sent = |request: HttpCheckRequest, subject: &Subject| {
        let (sent, ..) = run_as(&http(vec![StepAct::Request(request)]), &[], subject);
        String::from_utf8(sent).unwrap()
    };
    let subject = Subject { server: "s\r\n1".into(), host: "10.0.0.1:80".into(), ..Subject::default() };
    assert_eq!(sent(HttpCheckRequest::default(), &subject), "OPTIONS / HTTP/1.0\r\n\r\n");
    let full = HttpCheckRequest {
        method: "POST".into(),
        target: value(Fetch::ServerName),
        minor: 1,
        headers: vec![
            ("Host".into(), Template::fixed("foo")),
            ("X".into(), value(Fetch::ServerName)),
            ("Content-Length".into(), Template::fixed("99")),
        ],
        body: Template::fixed("hello"),
    };
    let expected =
        "POST s++1 HTTP/1.1\r\nhost: foo\r\nx: s  1\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    assert_eq!(sent(full, &subject), expected);
    let bare = HttpCheckRequest { minor: 1, target: Template::default(), ..HttpCheckRequest::default() };
    let expected = "OPTIONS / HTTP/1.1\r\nhost: 10.0.0.1:80\r\nconnection: close\r\n\r\n";
    assert_eq!(sent(bare, &subject), expected);
}

#[test]
fn answers_of_http_are_judged() {
    const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\nX-Test1: true, next value\r\nx-hdr: x-test1\r\n\
        content-length: 5\r\n\r\nhello";
    let named = |how, name: &str, value: Option<(TextMatch, Template)>, whole_line| {
        Expectation::Header(HeaderExpectation {
            name: TextExpectation::Text(how, Template::fixed(name)),
            value: value.map(|(how, text)| TextExpectation::Text(how, text)),
            whole_line,
        })
    };
    let fixed = |text: &str| Template::fixed(text);
    let header = || {
        Fetch::ResponseHeader(HeaderFetch {
            name: "x-hdr".into(),
            occurrence: Occurrence::Nth(-1),
            whole_line: true,
        })
    };
    use TextMatch::{Exact, Prefix, Suffix};
    let cases: Vec<(Expectation, bool, &str)> = vec![
        (Expectation::Status(vec![(200, 399)]), false, "L7OK 202 "),
        (Expectation::Status(vec![(200, 200)]), false, "L7STS 202 Accepted"),
        (Expectation::StatusRegex(regex("^20")), true, "L7STS 202 Accepted"),
        (named(Exact, "x-TEST1", None, false), false, "L7OK 202 "),
        (named(Suffix, "-Test1", Some((Exact, fixed("true"))), false), false, "L7OK 202 "),
        (named(Suffix, "-Test1", Some((Exact, fixed("true"))), true), false, "L7STS 202 Accepted"),
        (named(Prefix, "x-", Some((Exact, fixed("true, next value"))), true), false, "L7OK 202 "),
        (named(Prefix, "x-", Some((Exact, value(header()))), false), false, "L7OK 202 "),
        (text("ell"), false, "L7OK 202 "),
        (text("ell"), true, "L7RSP - HTTP check matched unwanted content"),
        (text("no"), false, "L7RSP - HTTP content check did not match"),
        (Expectation::Template(value(Fetch::PoolName)), false, "L7RSP - HTTP content check did not match"),
    ];
    for (what, negate, expected) in cases {
        let act = StepAct::Expect(Expect { negate, ..Expect::from(what.clone()) });
        let (_, _, outcome) = run(&http(vec![act]), &[Says(ANSWER)]);
        assert_eq!(told(&outcome), expected, "{what:?}");
    }
    let empty = StepAct::Expect(Expect::from(text("x")));
    let (_, _, outcome) = run(&http(vec![empty]), &[Says(b"HTTP/1.0 204 No Content\r\n\r\n")]);
    assert_eq!(told(&outcome), "L7RSP - HTTP content check could not find a response body");
}

#[test]
fn a_404_stops_a_server_only_while_it_is_up() {
    let probe = Probe::Script(Script { stop_on_404: true, ..Script::default() });
    for (down, expected) in [(false, "L7OKC 404 "), (true, "L7STS 404 No")] {
        let subject = Subject { down, ..Subject::default() };
        let (_, _, outcome) = run_as(&probe, &[Says(b"HTTP/1.0 404 No\r\n\r\n")], &subject);
        assert_eq!(told(&outcome), expected);
    }
}

#[test]
fn known_protocols() {
    const GREETING: &[u8] = b"\x0f\0\0\0\x0a8.0.19\0abcdefg";
    let login = |protocol| Probe::Mysql(Some(MysqlLogin { user: "u".into(), protocol }));
    let mysql = login(MysqlProtocol::V41);
    let smtp = Probe::Smtp { hello: "HELO localhost".into() };
    let postgres = Probe::Postgres { user: "u".into() };
    let cases: &[(&Probe, &[Server], &str)] = &[
        (&Probe::Mysql(None), &[Says(GREETING)], "L7OK 0 8.0.19"),
        (&mysql, &[Says(GREETING), Says(b"\x03\0\0\x02\0\0\0")], "L7OK 0 8.0.19"),
        (&mysql, &[Says(GREETING), Says(b"\x07\0\0\x02\xff\xe3\x04none")], "L7STS 1251 none"),
        (&mysql, &[Says(b"\x07\0\0\0\xff\x15\x04none")], "L7STS 1045 none"),
        (&mysql, &[Closes], "L7RSP - TCPCHK got an empty response at step 3"),
        (&mysql, &[Says(b"\xff\xff"), Closes], "L7RSP - no packet of MySQL"),
        (&smtp, &[Says(b"220 a\r\n"), Says(b"250-b\r\n250 c\r\n"), Says(b"221 bye\r\n")], "L7OK 221 bye"),
        (&smtp, &[Says(b"421 later\r\n")], "L7STS 421 later"),
        (&smtp, &[Says(b"hello\r\n")], "L7RSP - hello"),
        (&smtp, &[Says(b"220 a\r\n"), Says(b"512 no\r\n")], "L7STS 512 no"),
        (&smtp, &[Closes], "L7RSP - TCPCHK got an empty response at step 2"),
        (&smtp, &[Says(b"220 a\r\n"), Closes], "L7STS 0 TCPCHK got an empty response at step 5"),
        (&smtp, &[Says(b"220 a")], "L7TOUT - "),
        (
            &Probe::Ldap,
            &[Says(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00")],
            "L7OK 0 Success",
        ),
        (&Probe::Ldap, &[Says(b"no")], "L7RSP - Not LDAPv3 protocol"),
        (&Probe::TlsHello, &[Says(b"\x15\x03\x03\0\x02\x02\x28")], "L6OK - "),
        (&Probe::TlsHello, &[Says(b"HTTP/1.0 400")], "L6RSP - "),
        (&Probe::TlsHello, &[Closes], "L6RSP - TCPCHK got an empty response at step 2"),
        (&Probe::TlsHello, &[], "L6TOUT - "),
        (&postgres, &[Says(b"R\0\0\0\x08\0\0\0\0")], "L7OK 0 PostgreSQL server is ok"),
        (&postgres, &[Says(b"E\0\0\0\x0bSFATAL\0")], "L7RSP - FATAL"),
        (&postgres, &[Closes], "L7RSP - TCPCHK got an empty response at step 3"),
        (&Probe::Redis, &[Says(b"-NOAUTH x\r\n")], "L7STS 0 -NOAUTH x"),
        (&Probe::Redis, &[Closes], "L7STS 0 TCPCHK got an empty response at step 2"),
        (&Probe::Redis, &[Says(b"+PONG\r\n")], "L7OK 0 Redis server is ok"),
    ];
    for (probe, server, expected) in cases {
        assert_eq!(told(&run(probe, server).2), *expected, "{probe:?}");
    }
}

#[test]
fn an_endless_answer_is_cut() {
    const MUCH: &[u8] = &[b'x'; 60_000];
    let (_, _, outcome) = run(&bytes(vec![expect(text("never"))]), &[Says(MUCH); 4]);
    assert_eq!(told(&outcome), "L7RSP - TCPCHK did not match content 'never' at step 1");
    let head: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let act = StepAct::Expect(Expect::from(text("never")));
    let (_, _, outcome) = run(&http(vec![act]), &[Says(head), Says(MUCH), Says(MUCH), Says(MUCH)]);
    assert_eq!(told(&outcome), "L7RSP - HTTP content check did not match");
}
