//! The same requests to Mainstay and to Debian's HAProxy: both must do the same.
//!
//! `cases/oracle/NAME.cfg` is a configuration with the blanks `{{port}}`, `{{web1}}`, `{{web2}}` and
//! `{{cases}}`; `NAME.req` holds requests between lines of `---`, each sent on one connection after the
//! other. `> new` before a request asks for a new connection. The servers are ours: `/status/404` makes
//! them answer so, and every answer tells the request's target. Adding a case is adding two files.

use std::path::Path;
use std::thread;

use e2e::http::Fields;
use e2e::{Balancer, Client, Port, Program, Scripted, Seen, Step, cases, figures};

/// Header fields that may differ, because HAProxy says that it is free to choose them.
const FREE: [&str; 3] = ["date", "connection", "keep-alive"];

#[test]
fn both_do_the_same() {
    let files = cases::all("oracle", "cfg");
    assert!(files.len() >= 10, "the cases are missing");
    let (left, right) = files.split_at(files.len() / 2);
    let differing: Vec<_> = thread::scope(|scope| {
        let halves = [left, right]
            .map(|half| scope.spawn(|| half.iter().filter(|file| differs(file)).collect::<Vec<_>>()));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(differing.is_empty(), "{} of {} cases differ: {differing:#?}", differing.len(), files.len());
}

/// Whether the two do not do the same; says what differs.
fn differs(file: &Path) -> bool {
    let theirs = told(&Program::oracle(), file);
    // One case that does not even start must not hide the others.
    let Ok(ours) = std::panic::catch_unwind(|| told(&Program::subject(), file)) else { return true };
    let mut differences = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).peekable();
    let any = differences.peek().is_some();
    for (ours, theirs) in differences {
        figures(&format!("{}:\nours:   {ours:#?}\ntheirs: {theirs:#?}", file.display()));
    }
    any
}

/// One exchange as it is compared.
#[derive(Debug, PartialEq, Eq)]
struct Exchange {
    request: String,
    answer: String,
    answer_fields: Fields,
    body: String,
    /// What the servers were asked for it.
    servers: Vec<(String, Fields, String)>,
}

fn told(program: &Program, file: &Path) -> Vec<Exchange> {
    let servers = [web("web1"), web("web2")];
    let port = Port::free();
    let blanks = [
        ("port", port.to_string()),
        ("web1", servers[0].address.to_string()),
        ("web2", servers[1].address.to_string()),
        ("cases", cases::path("").display().to_string()),
    ];
    let blanks = blanks.each_ref().map(|(name, value)| (*name, value.as_str()));
    let config = cases::fill(&std::fs::read_to_string(file).unwrap(), &blanks);
    let _balancer = Balancer::with(&config).program(program).ports([&port]).start();
    let requests = std::fs::read_to_string(file.with_extension("req")).unwrap();
    let mut client = Client::to(port.address());
    requests.split("---\n").map(|request| exchange(&mut client, &port, request, &servers)).collect()
}

fn exchange(client: &mut Client, port: &Port, request: &str, servers: &[Scripted]) -> Exchange {
    let request = match request.strip_prefix("> new\n") {
        Some(rest) => {
            *client = Client::to(port.address());
            rest
        }
        None => request,
    };
    let before: Vec<_> = servers.iter().map(|server| server.seen().len()).collect();
    client.send(wire_form(request).as_bytes()).unwrap();
    let method = request.split(' ').next().unwrap();
    let answer = client.answer(method).unwrap_or_else(|failure| panic!("{failure:?}: {request}"));
    let seen = servers.iter().zip(before).flat_map(|(server, skip)| server.seen().split_off(skip));
    let servers: Vec<_> = seen.map(|seen| summary(&seen)).collect();
    let mut told = Exchange {
        request: request.lines().next().unwrap().to_owned(),
        answer: format!("{} {}", answer.status, answer.reason),
        answer_fields: comparable(&answer.headers),
        body: answer.text(),
        servers,
    };
    free_the_words_of_errors(&mut told, answer.status);
    told
}

/// Each program has its own words on its own error pages; only their kind must be the same.
fn free_the_words_of_errors(told: &mut Exchange, status: u16) {
    if status >= 400 && told.servers.is_empty() && told.body.to_lowercase().starts_with("<html") {
        "(our own words)".clone_into(&mut told.body);
        told.answer_fields.retain(|(name, _)| name != "content-length");
    }
}

/// The head's lines end with CRLF; the body stays as it is, without the file's last line end.
fn wire_form(request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    format!("{}\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end())
}

fn summary(seen: &Seen) -> (String, Fields, String) {
    let line = format!("{} {} HTTP/1.{}", seen.method, seen.target, seen.version);
    (line, comparable(&seen.headers), String::from_utf8_lossy(&seen.body).into_owned())
}

fn comparable(fields: &Fields) -> Fields {
    let lower = fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    let mut kept: Fields = lower.filter(|(name, _)| !FREE.contains(&name.as_str())).collect();
    // Fields of one name keep their order.
    kept.sort_by(|one, other| one.0.cmp(&other.0));
    kept
}

/// A server that answers as its path says.
fn web(name: &'static str) -> Scripted {
    Scripted::start(move |seen| {
        let status =
            seen.target.split("/status/").nth(1).and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(200);
        let headers = "Server: origin\r\nX-Powered-By: origin\r\nContent-Type: text/plain\r\nCache-Control: max-age=5\r\n";
        vec![Step::send(&e2e::scripted::answer(status, headers, &format!("{name} {}", seen.target)))]
    })
}
