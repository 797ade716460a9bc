//! The servers of a case.
//!
//! A server speaks HTTP and does what the parts of the target's path say, one after the other:
//!
//! ```text
//! /status/404      this status                      /size/100000     a body of that many bytes
//! /slow/300        after so many milliseconds       /chunked         … in chunks
//! /hold/           when the case says `> release`   /pausing/300     waits between head and body
//! /close /reset    instead of an answer             /type/html       Content-Type: text/html
//! /garbage         no HTTP at all                   /field/Name/val  a header field
//! /cut             closes in the body               /bye             Connection: close
//! /upgrade         101, and echoes from then on     /none            no Content-Length, closes
//! /long            a header field of 20,000 bytes   /once/503        this status the first time only
//! ```
//!
//! With `NAME.srv` a server speaks whatever that file says. It has a line with the server's name and
//! below it, indented, `start ACTIONS` for the beginning of a connection and `on "bytes" ACTIONS` for when
//! these bytes have come. Actions: `send "bytes"`, `wait 300ms`, `hold`, `echo` (what came), `close`,
//! `reset`. Bytes up to the end of a match are used up by it. The first rule that matches counts.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::PATIENCE;
use super::escape::{Word, words};
use crate::http::{Framing, Reader, field};
use crate::scripted::{Seen, close_in_order, parse};
use crate::{Port, until};

/// A server that can be stopped and started again.
pub struct Actor {
    /// Its name in the case.
    pub name: String,
    port: Port,
    stage: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    name: String,
    rules: Option<Rules>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    told: usize,
    checks: Vec<Seen>,
    received: Vec<Vec<u8>>,
    open: HashMap<usize, TcpStream>,
    held: usize,
    releases: usize,
    ill: bool,
    stopped: bool,
}

/// What a server does that does not speak HTTP.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    start: Vec<Action>,
    on: Vec<(Vec<u8>, Vec<Action>)>,
}

#[derive(Clone, Debug)]
enum Action {
    Send(Vec<u8>),
    Wait(Duration),
    Hold,
    Echo,
    Close,
    Reset,
}

impl Rules {
    /// The file `NAME.srv`: servers and their rules. No file, no rules.
    pub fn read(file: &Path) -> HashMap<String, Self> {
        let Ok(text) = std::fs::read_to_string(file) else { return HashMap::new() };
        let mut servers: HashMap<String, Self> = HashMap::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if line.starts_with(' ') {
                let server = servers.get_mut(&current).expect("rules stand below the name of a server");
                server.add(line);
            } else {
                line.trim().clone_into(&mut current);
                servers.insert(current.clone(), Self::default());
            }
        }
        servers
    }

    fn add(&mut self, line: &str) {
        match words(line).as_slice() {
            [Word::Bare(start), actions @ ..] if start == "start" => self.start = actions_of(actions, line),
            [Word::Bare(on), Word::Bytes(bytes), actions @ ..] if on == "on" => {
                self.on.push((bytes.clone(), actions_of(actions, line)));
            }
            _ => panic!("neither start nor on: {line}"),
        }
    }
}

fn actions_of(words: &[Word], line: &str) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Word::Bare(verb) = word else { panic!("bytes without a verb: {line}") };
        actions.push(match (verb.as_str(), verb.as_str()) {
            ("hold", _) => Action::Hold,
            ("echo", _) => Action::Echo,
            ("close", _) => Action::Close,
            ("reset", _) => Action::Reset,
            ("send", _) => match rest.next() {
                Some(Word::Bytes(bytes)) => Action::Send(bytes.clone()),
                _ => panic!("send what? {line}"),
            },
            ("wait", _) => match rest.next() {
                Some(Word::Bare(time)) => Action::Wait(milliseconds(time.trim_end_matches("ms"))),
                _ => panic!("wait how long? {line}"),
            },
            (other, _) => panic!("no action {other}: {line}"),
        });
    }
    actions
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap_or_else(|_| panic!("milliseconds: {text}")))
}

impl Actor {
    /// Starts a server.
    pub fn start(name: &str, rules: Option<Rules>) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let stage = Arc::new(Shared { name: name.to_owned(), rules, state, changed });
        let free = std::iter::repeat_with(Port::free).take(100);
        let found = free.into_iter().find_map(|port| Some((TcpListener::bind(port.address()).ok()?, port)));
        let (listener, port) = found.expect("a port that nobody else takes at the same moment");
        let mut actor = Self { name: name.to_owned(), port, stage, listening: None };
        actor.accept_from(listener);
        actor
    }

    /// Where it listens, or did.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Listens, again.
    pub fn listen(&mut self) {
        let listener = TcpListener::bind(self.address()).unwrap();
        self.accept_from(listener);
    }

    fn accept_from(&mut self, listener: TcpListener) {
        self.stage.state().stopped = false;
        let stage = Arc::clone(&self.stage);
        self.listening = Some(thread::spawn(move || stage.accept(&listener)));
    }

    /// Closes the port and all connections.
    pub fn stop(&mut self) {
        let Some(listening) = self.listening.take() else { return };
        self.stage.state().stopped = true;
        self.stage.changed.notify_all();
        // Wakes the accepting thread up.
        let _ = TcpStream::connect(self.address());
        listening.join().unwrap();
        for (_, stream) in self.stage.state().open.drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How checks are answered from now on.
    pub fn set_health(&self, well: bool) {
        self.stage.state().ill = !well;
    }

    /// One answer that is held goes out.
    pub fn release(&self) {
        self.stage.state().releases += 1;
        self.stage.changed.notify_all();
    }

    /// Waits until it has been asked that often (or, without HTTP, for that many connections).
    pub fn wait_for_requests(&self, count: usize) {
        let what = format!("{} has got {count} requests", self.name);
        until(&what, PATIENCE, || {
            let state = self.stage.state();
            let got = if self.stage.rules.is_some() { state.received.len() } else { state.seen.len() };
            (got >= count).then_some(())
        });
    }

    /// The requests that came since this was asked last.
    pub fn news(&self) -> Vec<Seen> {
        let mut state = self.stage.state();
        let news = state.seen[state.told..].to_vec();
        state.told = state.seen.len();
        news
    }

    /// The last check; waits for the first one.
    pub fn last_check(&self) -> Seen {
        let what = format!("{} is checked", self.name);
        until(&what, PATIENCE, || self.stage.state().checks.last().cloned())
    }

    /// What came on each connection.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.stage.state().received.clone()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    More,
    Closed,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut state = self.state();
            if state.stopped {
                return;
            }
            let number = state.received.len();
            state.received.push(Vec::new());
            state.open.insert(number, stream.try_clone().unwrap());
            drop(state);
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let mut reader = Reader::new(stream);
                let _ = reader.stream.set_nodelay(true);
                match &shared.rules {
                    Some(rules) => shared.speak(&mut reader, number, rules),
                    None => shared.converse(&mut reader, number),
                }
                shared.state().open.remove(&number);
            });
        }
    }

    /// Reads more and keeps what came; `false` at the end.
    fn fill(&self, reader: &mut Reader<TcpStream>, number: usize) -> bool {
        let before = reader.ahead.len();
        let more = reader.fill().unwrap_or(false);
        self.state().received[number].extend_from_slice(&reader.ahead[before..]);
        more
    }

    fn hold(&self) {
        let mut state = self.state();
        // First come, first released.
        let turn = state.held;
        state.held += 1;
        while state.releases <= turn && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn speak(&self, reader: &mut Reader<TcpStream>, number: usize, rules: &Rules) {
        if self.act(reader, number, &rules.start, b"") == Next::Closed {
            return;
        }
        loop {
            let found = rules.on.iter().find_map(|(bytes, actions)| {
                let place = reader.ahead.windows(bytes.len()).position(|part| part == bytes)?;
                Some((place + bytes.len(), actions))
            });
            match found {
                Some((length, actions)) => {
                    let used: Vec<u8> = reader.ahead.drain(..length).collect();
                    if self.act(reader, number, actions, &used) == Next::Closed {
                        return;
                    }
                }
                None if !self.fill(reader, number) => return,
                None => {}
            }
        }
    }

    fn act(&self, reader: &mut Reader<TcpStream>, number: usize, actions: &[Action], used: &[u8]) -> Next {
        for action in actions {
            let sent = match action {
                Action::Send(bytes) => reader.stream.write_all(bytes),
                Action::Echo => reader.stream.write_all(used),
                Action::Wait(time) => {
                    thread::sleep(*time);
                    Ok(())
                }
                Action::Hold => {
                    self.hold();
                    Ok(())
                }
                Action::Close => {
                    close_in_order(reader);
                    return Next::Closed;
                }
                Action::Reset => {
                    self.reset(reader, number);
                    return Next::Closed;
                }
            };
            if sent.is_err() {
                return Next::Closed;
            }
        }
        Next::More
    }

    fn reset(&self, reader: &Reader<TcpStream>, number: usize) {
        let _ = set_socket_linger(&reader.stream, Some(Duration::ZERO));
        self.state().open.remove(&number);
    }

    fn converse(&self, reader: &mut Reader<TcpStream>, number: usize) {
        let proxy = match self.proxy_header(reader, number) {
            Ok(proxy) => proxy,
            Err(()) => return,
        };
        while let Some(mut request) = self.request(reader, number) {
            request.headers.extend(proxy.clone().map(|text| ("(proxy)".to_owned(), text)));
            let body = reader.body(Framing::of_request(&request.headers));
            let whole = body.is_ok();
            (request.body, request.trailers) = body.unwrap_or_default();
            let ill = self.remember(&request);
            if !whole || self.answer(reader, number, &request, ill) == Next::Closed {
                return;
            }
        }
    }

    /// Remembers the request and tells whether it is a check that must fail.
    fn remember(&self, request: &Seen) -> bool {
        let mut state = self.state();
        if is_check(request) {
            state.checks.push(request.clone());
            state.ill
        } else {
            state.seen.push(request.clone());
            false
        }
    }

    fn request(&self, reader: &mut Reader<TcpStream>, number: usize) -> Option<Seen> {
        loop {
            if let Some((request, length)) = parse(&reader.ahead, number + 1)? {
                reader.ahead.drain(..length);
                return Some(request);
            }
            if !self.fill(reader, number) {
                return None;
            }
        }
    }

    /// A header of the PROXY protocol before the first request, in words.
    fn proxy_header(&self, reader: &mut Reader<TcpStream>, number: usize) -> Result<Option<String>, ()> {
        while reader.ahead.len() < 16 {
            if !self.fill(reader, number) {
                return Err(());
            }
        }
        if reader.ahead.starts_with(b"PROXY ") {
            return reader.line().map(Some).map_err(|_| ());
        }
        if !reader.ahead.starts_with(super::normal::PROXY_V2) {
            return Ok(None);
        }
        let length = 16 + usize::from(u16::from_be_bytes([reader.ahead[14], reader.ahead[15]]));
        let header = reader.take(length).map_err(|_| ())?;
        Ok(Some(super::normal::proxy_v2(&header)))
    }

    fn answer(&self, reader: &mut Reader<TcpStream>, number: usize, request: &Seen, ill: bool) -> Next {
        let mut answer = Answer::new(format!("{} {}", self.name, request.target), ill);
        let path = request.target.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.split('/');
        while let Some(part) = parts.next() {
            let mut argument = || parts.next().unwrap_or_default();
            match part {
                "status" => answer.status = argument().parse().unwrap_or(200),
                "once" => {
                    let status = argument().parse().unwrap_or(503);
                    let before =
                        self.state().seen.iter().filter(|seen| seen.target == request.target).count();
                    answer.status = if before > 1 { 200 } else { status };
                }
                "slow" => thread::sleep(milliseconds(argument())),
                "hold" => self.hold(),
                "size" => answer.body = "0123456789".repeat(argument().parse::<usize>().unwrap() / 10),
                "chunked" => answer.framing = Framing::Chunked,
                "none" => answer.framing = Framing::UntilClose,
                "pausing" => answer.pause = milliseconds(argument()),
                "type" => answer.kind = format!("text/{}", argument()),
                "field" => answer.fields.push_str(&format!("{}: {}\r\n", argument(), argument())),
                "long" => answer.fields.push_str(&format!("X-Long: {}\r\n", "x".repeat(20_000))),
                "bye" => {
                    answer.fields.push_str("Connection: close\r\n");
                    answer.last = true;
                }
                "cut" => answer.cut = true,
                "close" => {
                    close_in_order(reader);
                    return Next::Closed;
                }
                "reset" => {
                    self.reset(reader, number);
                    return Next::Closed;
                }
                "garbage" => {
                    let _ = reader.stream.write_all(b"nonsense\r\n\r\n");
                    close_in_order(reader);
                    return Next::Closed;
                }
                "upgrade" => {
                    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                    return self.echo(reader, number, head);
                }
                _ => {}
            }
        }
        answer.send(reader, request)
    }

    fn echo(&self, reader: &mut Reader<TcpStream>, number: usize, head: &str) -> Next {
        let mut sent = reader.stream.write_all(head.as_bytes());
        while sent.is_ok() {
            let came = std::mem::take(&mut reader.ahead);
            sent = reader.stream.write_all(&came);
            if !self.fill(reader, number) {
                break;
            }
        }
        Next::Closed
    }
}

fn is_check(request: &Seen) -> bool {
    request.method == "OPTIONS" || request.target.contains("/check")
}

struct Answer {
    status: u16,
    fields: String,
    kind: String,
    body: String,
    framing: Framing,
    pause: Duration,
    cut: bool,
    last: bool,
}

impl Answer {
    fn new(body: String, ill: bool) -> Self {
        Self {
            status: if ill { 503 } else { 200 },
            fields: String::new(),
            kind: "text/plain".to_owned(),
            body,
            framing: Framing::Length(0),
            pause: Duration::ZERO,
            cut: false,
            last: false,
        }
    }

    fn send(mut self, reader: &mut Reader<TcpStream>, request: &Seen) -> Next {
        let length = if self.cut { self.body.len() + 100 } else { self.body.len() };
        let framing = match self.framing {
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::UntilClose => "Connection: close\r\n".to_owned(),
            _ => format!("Content-Length: {length}\r\n"),
        };
        if self.framing == Framing::Chunked {
            self.body = format!("{:x}\r\n{}\r\n0\r\n\r\n", self.body.len(), self.body);
        }
        let head = format!(
            "HTTP/1.1 {} Said\r\nServer: origin\r\nX-Powered-By: origin\r\nContent-Type: {}\r\n\
             Cache-Control: max-age=5\r\n{}{framing}\r\n",
            self.status, self.kind, self.fields
        );
        let bodiless = request.method == "HEAD" || matches!(self.status, 100..200 | 204 | 304);
        let body = if bodiless { "" } else { self.body.as_str() };
        let sent = if self.pause.is_zero() {
            reader.stream.write_all((head + body).as_bytes())
        } else {
            let head = reader.stream.write_all(head.as_bytes());
            thread::sleep(self.pause);
            head.and_then(|()| reader.stream.write_all(body.as_bytes()))
        };
        let asked = field(&request.headers, "connection").unwrap_or_default().to_lowercase();
        let keeps =
            if request.version == 0 { asked.contains("keep-alive") } else { !asked.contains("close") };
        if sent.is_err() || self.cut || self.last || self.framing == Framing::UntilClose || !keeps {
            close_in_order(reader);
            return Next::Closed;
        }
        Next::More
    }
}
