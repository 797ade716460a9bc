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

/// What HAProxy calls an answer of its own, and what we call it: the words of RFC 9110, section 15.
const PHRASES: [(&str, &str); 2] = [("400 Bad request", "400 Bad Request"), ("418 I'm a teapot", "418 ")];

/// Differences that are a fault of ours, found and not yet mended: case, request line, what it is.
/// One that is gone must leave this list.
const FAULTS: [(&str, &str, &str); 0] = [];

#[test]
fn both_do_the_same() {
    let files = cases::all("oracle", "cfg");
    assert!(files.len() >= 20, "the cases are missing");
    let (left, right) = files.split_at(files.len() / 2);
    let differing: Vec<_> = thread::scope(|scope| {
        let halves = [left, right]
            .map(|half| scope.spawn(|| half.iter().filter(|file| differs(file)).collect::<Vec<_>>()));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(differing.is_empty(), "{} of {} cases differ: {differing:#?}", differing.len(), files.len());
}

/// `cases/oracle/later`: what HAProxy does and we do not, yet. Each line that ends with `# later` must be
/// refused with its place, never taken and ignored; a case that we take belongs into the folder above.
#[test]
fn what_we_cannot_do_yet_is_refused() {
    let files = cases::all("oracle/later", "cfg");
    assert!(!files.is_empty(), "no cases: this story may go");
    for file in files {
        let text = without_blanks(&file, 1, ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("haproxy.cfg");
        std::fs::write(&path, &text).unwrap();
        let theirs = Program::oracle().check(&path);
        assert!(theirs.status.success(), "HAProxy takes {}", file.display());
        if !Program::subject().is_mainstay() {
            continue;
        }
        let ours = Program::subject().check(&path);
        let said = String::from_utf8_lossy(&ours.stderr) + String::from_utf8_lossy(&ours.stdout);
        assert_eq!(ours.status.code(), Some(1), "we take {} now: move it up", file.display());
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| line.ends_with("# later")) {
            assert!(said.contains(&format!("haproxy.cfg:{number}:")), "{line} is not named in:\n{said}");
        }
    }
}

/// Whether the two do not do the same, apart from what is known; says what differs.
fn differs(file: &Path) -> bool {
    let theirs = told(&Program::oracle(), file);
    // One case that does not even start must not hide the others.
    let Ok(ours) = std::panic::catch_unwind(|| told(&Program::subject(), file)) else { return true };
    let mut any = false;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let fault = known_fault(file, &ours.request).filter(|_| Program::subject().is_mainstay());
        if (ours != theirs) != fault.is_some() {
            any = true;
            say_difference(file, ours, theirs, fault);
        }
    }
    any
}

fn known_fault(file: &Path, request: &str) -> Option<&'static str> {
    let name = file.file_name().unwrap();
    FAULTS.iter().find(|fault| name == fault.0 && request == fault.1).map(|fault| fault.2)
}

fn say_difference(file: &Path, ours: &Exchange, theirs: &Exchange, fault: Option<&str>) {
    let place = format!("{}: {}", file.display(), ours.request);
    if let Some(fault) = fault {
        return figures(&format!("{place}: this fault is mended, strike it out: {fault}"));
    }
    let [ours, theirs] = [ours, theirs].map(|told| format!("{told:#?}"));
    let only = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|same| same == *line)).map(str::to_owned).collect()
    };
    let (ours_only, theirs_only) = (only(&ours, &theirs), only(&theirs, &ours));
    figures(&format!(
        "{place}\nonly ours: {ours_only:#?}\nonly theirs: {theirs_only:#?}\nours:   {ours}\ntheirs: {theirs}"
    ));
}

/// One exchange as it is compared.
#[derive(Debug, PartialEq, Eq)]
struct Exchange {
    request: String,
    named_by_connection: Vec<String>,
    answer: String,
    answer_fields: Fields,
    body: String,
    /// What the servers were asked for it.
    servers: Vec<(String, Fields, String)>,
}

/// The text of a case with its blanks filled.
fn without_blanks(file: &Path, port: u16, servers: [String; 2]) -> String {
    let [web1, web2] = servers;
    let cases = cases::path("").display().to_string();
    let blanks = [("port", &port.to_string()), ("web1", &web1), ("web2", &web2), ("cases", &cases)];
    let blanks = blanks.map(|(name, value)| (name, value.as_str()));
    cases::fill(&std::fs::read_to_string(file).unwrap(), &blanks)
}

fn told(program: &Program, file: &Path) -> Vec<Exchange> {
    let servers = [web("web1"), web("web2")];
    let port = Port::free();
    let addresses = servers.each_ref().map(|server| server.address.to_string());
    let config = without_blanks(file, port.number(), addresses);
    let _balancer = Balancer::with(&config).program(program).ports([&port]).start();
    let requests = std::fs::read_to_string(file.with_extension("req")).unwrap();
    let mut client = Client::to(port.address());
    let told = requests.split("---\n").map(|request| exchange(&mut client, &port, request, &servers));
    if program.is_mainstay() { told.collect() } else { told.map(as_we_say_it).collect() }
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
        named_by_connection: named_by_connection(request),
        answer: format!("{} {}", answer.status, answer.reason),
        answer_fields: comparable(&answer.headers),
        body: answer.text(),
        servers,
    };
    free_the_words_of_pages(&mut told, method);
    told
}

/// Fields that concern only one connection: those that `Connection` names, and `Proxy-Connection`.
fn named_by_connection(request: &str) -> Vec<String> {
    let options = request.lines().filter_map(|line| line.strip_prefix("Connection:"));
    let named = options.flat_map(|line| line.split(',')).map(|name| name.trim().to_lowercase());
    named.chain(["proxy-connection".to_owned()]).collect()
}

/// What we do otherwise on purpose. Only HAProxy's side is changed, so ours must be exactly this.
fn as_we_say_it(mut theirs: Exchange) -> Exchange {
    if let Some((_, ours)) = PHRASES.iter().find(|(theirs_is, _)| theirs.answer == *theirs_is) {
        (*ours).clone_into(&mut theirs.answer);
    }
    // RFC 9110, 7.6.1: an intermediary MUST remove the fields that `Connection` names, and ought to
    // remove `Proxy-Connection`. HAProxy passes them on.
    for (_, fields, _) in &mut theirs.servers {
        fields.retain(|(name, _)| !theirs.named_by_connection.contains(name));
    }
    theirs
}

/// Each program has its own words on its own pages; only their kind must be the same. The servers of
/// these cases send nothing but plain text.
fn free_the_words_of_pages(told: &mut Exchange, method: &str) {
    let html = told.answer_fields.iter().any(|(name, value)| name == "content-type" && value == "text/html");
    if html && (told.body.to_lowercase().starts_with("<html") || method == "HEAD") {
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
