//! One case played with one program: servers, clients, a syslog server, an operator.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use tempfile::TempDir;

use super::actor::{Actor, Rules};
use super::escape::shown;
use super::normal;
use super::script::{Block, Command, Script};
use super::tree;
use super::{PATIENCE, Told};
use crate::http::{Failure, Fields, Response, field};
use crate::runtime::cell;
use crate::{Balancer, Client, Port, Program, RuntimeSocket, Seen, cases, until};

/// How long our counters may lag behind the oracle's before they count as different.
const LAG: Duration = Duration::from_secs(5);

/// Header fields that may differ, because HAProxy says that it is free to choose them.
const FREE: [&str; 3] = ["date", "connection", "keep-alive"];

/// What HAProxy calls an answer of its own, and what we call it: the words of RFC 9110, section 15.
const PHRASES: [(&str, &str); 4] = [
    ("400 Bad request", "400 Bad Request"),
    ("408 Request Time-out", "408 Request Timeout"),
    ("418 I'm a teapot", "418 "),
    ("504 Gateway Time-out", "504 Gateway Timeout"),
];

/// Cells of `show stat` that are compared when they hold something. Not here: bytes (HAProxy counts its
/// own inner form), connections to servers (we share idle ones in more cases), times, rates, maxima.
const CELLS: [&str; 37] = [
    "stot",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "qlimit",
    "lbtot",
    "type",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "req_tot",
    "cli_abrt",
    "srv_abrt",
    "comp_rsp",
    "mode",
    "algo",
    "cookie",
    "dcon",
    "dses",
    "conn_tot",
    "intercepted",
    "wrew",
    "eint",
    "throttle",
    "tracked",
    "addr",
];

/// The text of a configuration with its blanks filled by anything, to be checked only.
pub fn filled_by_anything(file: &Path, directory: &Path) -> String {
    let text = text_of(file);
    let values = blanks(&text).into_iter().enumerate().map(|(number, name)| {
        let port = 20_000 + number;
        let value = match kind(&name) {
            Kind::Port | Kind::ServerPort(_) => port.to_string(),
            Kind::Cases => cases::path("").display().to_string(),
            Kind::Dir => directory.display().to_string(),
            Kind::Root => directory.join("root").display().to_string(),
            Kind::Cli => directory.join("cli").display().to_string(),
            _ => format!("127.0.0.1:{port}"),
        };
        (name, value)
    });
    fill(&text, &values.collect::<Vec<_>>())
}

/// Put before an nginx.conf: in the foreground, as whoever plays it, and with all its traces in the folder of the case.
const NGINX_PRELUDE: &str = "daemon off; pid {{dir}}/nginx.pid; error_log {{dir}}/error.log info; ";
/// Its worker gives up the rights of root otherwise, and then cannot enter the folder of the case.
const NGINX_AS_ROOT: &str = "user root; ";

/// Whether a case is for nginx.
pub fn is_nginx(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "conf")
}

/// The text of a case's configuration. The prelude takes no line of its own, so that lines keep their numbers.
fn text_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    if !is_nginx(file) {
        return text;
    }
    let as_root = if rustix::process::geteuid().is_root() { NGINX_AS_ROOT } else { "" };
    format!("{NGINX_PRELUDE}{as_root}{text}")
}

/// What a blank stands for.
enum Kind {
    Root,
    Port,
    Closed,
    Log,
    Cli,
    Dir,
    Cases,
    ServerPort(String),
    Server,
}

fn kind(name: &str) -> Kind {
    match name {
        "cli" => Kind::Cli,
        "dir" => Kind::Dir,
        "root" => Kind::Root,
        "cases" => Kind::Cases,
        _ if name.starts_with("port") => Kind::Port,
        _ if name.starts_with("closed") => Kind::Closed,
        _ if name.starts_with("log") => Kind::Log,
        _ => match name.strip_suffix("-port") {
            Some(server) => Kind::ServerPort(server.to_owned()),
            None => Kind::Server,
        },
    }
}

/// Names of the blanks, each once, in order.
fn blanks(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in text.split("{{").skip(1) {
        let name = part.split("}}").next().unwrap_or_default().to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn fill(text: &str, values: &[(String, String)]) -> String {
    let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    cases::fill(text, &values)
}

/// Everything that a case needs, running.
pub struct Stage {
    balancer: Balancer,
    /// Whether this is Mainstay, and HAProxy is what it is compared with.
    is_ours: bool,
    /// The case is one of nginx.
    is_nginx: bool,
    directory: TempDir,
    ports: BTreeMap<String, Port>,
    /// Ports that no other story may take while this one runs, such as those where nobody listens.
    _taken: Vec<Port>,
    servers: BTreeMap<String, Actor>,
    logs: Vec<UdpSocket>,
    lines: Vec<String>,
    cli: Option<RuntimeSocket>,
    /// Values and the names that they get back.
    names: Vec<(String, String)>,
    strict: bool,
    cells: Option<Vec<String>>,
    compare_logs: bool,
}

/// Clients by name, and where they go to.
struct Clients {
    all: BTreeMap<String, Client>,
    current: String,
    to: BTreeMap<String, SocketAddr>,
    from: BTreeMap<String, Ipv4Addr>,
    default: SocketAddr,
}

impl Clients {
    fn renew(&mut self) {
        let name = &self.current;
        let mut client = Client::to(*self.to.get(name).unwrap_or(&self.default)).patience(PATIENCE);
        if let Some(from) = self.from.get(name) {
            client = client.from(*from);
        }
        self.all.insert(name.clone(), client);
    }

    fn current(&mut self) -> &mut Client {
        if !self.all.contains_key(&self.current) {
            self.renew();
        }
        self.all.get_mut(&self.current).unwrap()
    }
}

impl Stage {
    /// Starts everything.
    pub fn set(program: &Program, file: &Path) -> Self {
        let text = text_of(file);
        let directory = tempfile::tempdir().unwrap();
        let (is_ours, is_nginx) = (program.is_mainstay(), is_nginx(file));
        let program = match is_nginx {
            true => program.called_nginx(directory.path()),
            false => program.called_haproxy(directory.path()),
        };
        let rules = Rules::read(&file.with_extension("srv"));
        let (mut ports, mut servers, mut logs) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (mut values, mut cli, mut taken) = (Vec::new(), None, Vec::new());
        let names = blanks(&text);
        for name in &names {
            let value = match kind(name) {
                Kind::Port => ports.entry(name.clone()).or_insert_with(Port::free).to_string(),
                Kind::Closed => {
                    let port = Port::free();
                    let address = port.address().to_string();
                    taken.push(port);
                    address
                }
                Kind::Log => {
                    let (port, log) = syslog_socket();
                    let address = port.address().to_string();
                    taken.push(port);
                    logs.push(log);
                    address
                }
                Kind::Cli => {
                    let path = directory.path().join("cli");
                    cli = Some(RuntimeSocket::at(&path));
                    path.display().to_string()
                }
                Kind::Dir => directory.path().display().to_string(),
                Kind::Root => {
                    let root = directory.path().join("root");
                    tree::make(&root);
                    root.display().to_string()
                }
                Kind::Cases => cases::path("").display().to_string(),
                Kind::ServerPort(server) => actor(&mut servers, &server, &rules).port().to_string(),
                Kind::Server => actor(&mut servers, name, &rules).to_string(),
            };
            values.push((name.clone(), value));
        }
        let config = fill(&text, &values);
        let file_name = if is_nginx { "nginx.conf" } else { "haproxy.cfg" };
        let start = Balancer::with(&config).file_name(file_name).program(&program);
        let balancer = start.ports(ports.values()).start();
        if cli.is_some() {
            until("the runtime socket is there", PATIENCE, || {
                directory.path().join("cli").exists().then_some(())
            });
        }
        let names = names_back(&values);
        let compare_logs = !logs.is_empty();
        let cells = Some(Vec::new());
        let lines = Vec::new();
        Self {
            balancer,
            is_ours,
            is_nginx,
            directory,
            ports,
            _taken: taken,
            servers,
            logs,
            lines,
            cli,
            names,
            strict: false,
            cells,
            compare_logs,
        }
    }

    /// Plays the script; `theirs` is what the oracle told of it, to know what to wait for.
    pub fn play(mut self, script: &Script, theirs: Option<&[Told]>) -> Vec<Told> {
        let default = self.ports.get("port").or_else(|| self.ports.values().next()).unwrap().address();
        let mut clients = Clients {
            all: BTreeMap::new(),
            current: "main".to_owned(),
            to: BTreeMap::new(),
            from: BTreeMap::new(),
            default,
        };
        let mut told = Vec::new();
        for block in &script.blocks {
            self.play_block(block, &mut clients, &mut told);
        }
        drop(clients);
        self.statistics(&mut told, theirs);
        if self.compare_logs {
            told.push(self.log());
        }
        told.into_iter().map(|told| self.named(told)).collect()
    }

    fn named(&self, told: Told) -> Told {
        let own = |line: &String| {
            let line = normal::any_line(line, &self.names);
            if self.is_nginx { normal::nginx_line(&line) } else { line }
        };
        let lines = told.lines.iter().map(own).collect();
        Told { about: told.about, lines }
    }

    fn play_block(&mut self, block: &Block, clients: &mut Clients, told: &mut Vec<Told>) {
        let (mut send_only, mut times, mut shares, mut quiet) = (false, 1, None, false);
        for command in &block.commands {
            match command {
                Command::Send => send_only = true,
                Command::Repeat(count) => times = *count,
                Command::Shares(share) => shares = Some(*share),
                Command::Quiet => quiet = true,
                other => self.act(other, clients, told),
            }
        }
        if block.request.is_empty() {
            return;
        }
        if let Some(share) = shares {
            return told.push(self.shares(block, clients, times, share));
        }
        for _ in 0..times {
            let request = self.with_names_filled(&block.request);
            clients
                .current()
                .send(wire_form(&request).as_bytes())
                .unwrap_or_else(|e| panic!("{e:?}: {request}"));
            if send_only {
                continue;
            }
            let exchange = self.exchange(clients.current(), &request);
            if !quiet {
                told.push(self.told(exchange));
            }
        }
    }

    fn act(&mut self, command: &Command, clients: &mut Clients, told: &mut Vec<Told>) {
        match command {
            Command::Client(name) => name.clone_into(&mut clients.current),
            Command::New => clients.renew(),
            Command::To(name) => {
                let address = match self.ports.get(name) {
                    Some(port) => port.address(),
                    None => self.server(name).address(),
                };
                clients.to.insert(clients.current.clone(), address);
                clients.renew();
            }
            Command::From(address) => {
                clients.from.insert(clients.current.clone(), address.parse().unwrap());
                clients.renew();
            }
            Command::Answer(method) => {
                let exchange = self.exchange(clients.current(), &format!("{method} (sent before)"));
                told.push(self.told(exchange));
            }
            Command::Bytes(bytes) => clients.current().send(bytes).unwrap(),
            Command::Until(bytes) => told.push(read_until(clients.current(), bytes)),
            Command::Closed => {
                told.push(read_to_end(clients.current()));
                clients.renew();
            }
            Command::Silent(time) => told.push(silence(clients.current(), *time)),
            Command::Finish => clients.current().finish(),
            Command::Close => clients.renew(),
            Command::Reset => {
                set_socket_linger(&clients.current().connection().stream, Some(Duration::ZERO)).unwrap();
                clients.renew();
            }
            Command::Strict => self.strict = true,
            Command::Pause(time) => thread::sleep(*time),
            Command::Requests(server, count) => self.server(server).wait_for_requests(*count),
            Command::Release(server) => self.server(server).release(),
            Command::Stop(server) => self.servers.get_mut(server).unwrap().stop(),
            Command::Start(server) => self.servers.get_mut(server).unwrap().listen(),
            Command::Health(server, well) => self.server(server).set_health(*well),
            Command::Received(server) => {
                let lines = self.server(server).received().iter().map(|bytes| shown(bytes)).collect();
                told.push(Told { about: format!("received by {server}"), lines });
            }
            Command::Checked(server) => {
                let mut lines = Vec::new();
                self.request_lines(&self.server(server).last_check(), &[], &mut lines);
                told.push(Told { about: format!("check of {server}"), lines });
            }
            Command::Stat { row, cell, begins } => self.wait_for_cell(row, cell, begins),
            Command::Log(count) => {
                until(&format!("{count} log lines"), PATIENCE, || {
                    (self.log_lines().len() >= *count).then_some(())
                });
            }
            Command::Cli(words) => {
                let answer = self.cli().ask(&self.with_names_filled(words));
                told.push(Told {
                    about: format!("cli {words}"),
                    lines: answer.lines().map(str::to_owned).collect(),
                });
            }
            Command::Do(words) => drop(self.cli().ask(&self.with_names_filled(words))),
            Command::Write { file, text } => {
                fs::write(self.directory.path().join(file), format!("{text}\n")).unwrap();
            }
            Command::Touch { file, unix_s } => tree::touch(&self.directory.path().join(file), *unix_s),
            Command::Fill { file, bytes } => {
                fs::write(self.directory.path().join(file), tree::numbered(*bytes)).unwrap();
            }
            Command::Folder(name) => fs::create_dir_all(self.directory.path().join(name)).unwrap(),
            Command::Link { name, to } => {
                std::os::unix::fs::symlink(to, self.directory.path().join(name)).unwrap();
            }
            Command::Remove(file) => fs::remove_file(self.directory.path().join(file)).unwrap(),
            Command::File(file) => told.push(self.file(file)),
            Command::Process => told.push(self.process()),
            Command::Stats(more) => self.cells.get_or_insert_default().extend(more.iter().cloned()),
            Command::NoStats => self.cells = None,
            Command::NoLog => self.compare_logs = false,
            Command::Send | Command::Repeat(_) | Command::Shares(_) | Command::Quiet => {}
        }
    }

    fn server(&self, name: &str) -> &Actor {
        self.servers.get(name).unwrap_or_else(|| panic!("no server {name}"))
    }

    fn cli(&self) -> &RuntimeSocket {
        self.cli.as_ref().expect("{{cli}} in the configuration")
    }

    fn with_names_filled(&self, text: &str) -> String {
        let filled = self.names.iter().map(|(value, name)| (name.trim_matches(['{', '}']), value.as_str()));
        cases::fill(text, &filled.collect::<Vec<_>>())
    }

    /// Reads the answer to a request that was sent.
    fn exchange(&self, client: &mut Client, request: &str) -> Exchange {
        let method = request.split(' ').next().unwrap();
        let answer = if client.is_open() { client.answer(method) } else { Err(Failure::Reset) };
        let mut told = Exchange {
            request: request.lines().next().unwrap().to_owned(),
            named_by_connection: named_by_connection(request),
            ..Exchange::default()
        };
        match answer {
            Ok(answer) => {
                told.answer = format!("{} {}", answer.status, answer.reason);
                told.interim = answer.interim.iter().map(|(status, _)| *status).collect();
                told.fields = self.comparable(&answer.headers);
                told.body = body(&answer);
            }
            Err(Failure::Reset | Failure::ReuseRace) => {
                "closed without an answer".clone_into(&mut told.answer);
            }
            Err(failure) => told.answer = format!("{failure:?}"),
        }
        told.servers = self.servers.values().flat_map(Actor::news).collect();
        if !self.is_nginx {
            free_the_words_of_pages(&mut told, method);
        }
        told
    }

    fn told(&self, mut exchange: Exchange) -> Told {
        if !self.is_ours && !self.is_nginx && Program::subject().is_mainstay() {
            as_we_say_it(&mut exchange);
        }
        let mut lines: Vec<_> = exchange.interim.iter().map(|status| format!("interim {status}")).collect();
        lines.push(format!("answer {}", exchange.answer));
        lines.extend(exchange.fields.iter().map(|(name, value)| format!("answer {name}: {value}")));
        lines.push(format!("body {}", exchange.body));
        for seen in &exchange.servers {
            self.request_lines(seen, &exchange.dropped, &mut lines);
        }
        Told { about: exchange.request, lines }
    }

    /// What a server was asked, without the fields that are only HAProxy's mistake.
    fn request_lines(&self, seen: &Seen, without: &[String], lines: &mut Vec<String>) {
        // No version: who passes a message on speaks its own (RFC 9112, 2.3); HAProxy takes the client's.
        lines.push(format!("server {} {}", seen.method, seen.target));
        let fields = self.comparable(&seen.headers).into_iter().filter(|(name, _)| !without.contains(name));
        lines.extend(fields.map(|(name, value)| format!("server {name}: {value}")));
        if !seen.body.is_empty() {
            lines.push(format!("server body {}", String::from_utf8_lossy(&seen.body)));
        }
    }

    fn comparable(&self, fields: &Fields) -> Fields {
        let lower = fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        let free = if self.strict { &FREE[..1] } else { &FREE };
        let mut kept: Fields = lower.filter(|(name, _)| !free.contains(&name.as_str())).collect();
        // Fields of one name keep their order.
        kept.sort_by(|one, other| one.0.cmp(&other.0));
        kept
    }

    fn shares(&self, block: &Block, clients: &mut Clients, times: usize, share: usize) -> Told {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..times {
            clients.current().send(wire_form(&block.request).as_bytes()).unwrap();
            let answer = self.exchange(clients.current(), &block.request);
            let who = answer.body.split(' ').next().unwrap_or_default().to_owned();
            *counts.entry(who).or_default() += 1;
        }
        let enough = counts.into_iter().filter(|(_, count)| count * 100 >= share * times);
        let lines = enough.map(|(who, _)| format!("{who} has its share")).collect();
        Told { about: format!("shares of {times} requests"), lines }
    }

    fn wait_for_cell(&self, row: &str, column: &str, begins: &str) {
        let (proxy, server) = row.split_once('/').expect("PROXY/SERVER");
        let mut last = String::new();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            last = cell(&self.cli().ask("show stat"), proxy, server, column);
            if last.starts_with(begins) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{row} {column} is {last:?}, not {begins:?}");
    }

    /// The counters, when nobody is connected any more.
    fn statistics(&self, told: &mut Vec<Told>, theirs: Option<&[Told]>) {
        let (Some(cli), Some(more)) = (&self.cli, &self.cells) else { return };
        let _ = until_or_last(
            || cli.ask("show stat"),
            |table| rows(table).iter().all(|row| ["0", ""].contains(&value(row, "scur"))),
        );
        let about = "show stat".to_owned();
        let expected = theirs.and_then(|theirs| theirs.iter().find(|told| told.about == about));
        let table = until_or_last(
            || self.named(Told { about: about.clone(), lines: cells(&cli.ask("show stat"), more) }),
            |told| expected.is_none_or(|expected| expected.lines == told.lines),
        );
        told.push(table);
    }

    /// The lines of a file, once it has some.
    fn file(&self, name: &str) -> Told {
        let path = self.directory.path().join(name);
        let text = until_or_last(|| fs::read_to_string(&path).unwrap_or_default(), |text| !text.is_empty());
        let lines = text.lines().map(normal::log_line).collect();
        Told { about: format!("file {name}"), lines }
    }

    /// Lines about traffic, servers and checks, in no order: workers write at the same time.
    fn log(&mut self) -> Told {
        self.balancer.process.signal(if self.is_nginx { Signal::QUIT } else { Signal::USR1 });
        self.balancer.process.wait(PATIENCE);
        let mut lines: Vec<_> = self.log_lines().iter().map(|line| format!("log {line}")).collect();
        lines.sort();
        Told { about: "log".to_owned(), lines }
    }

    fn log_lines(&mut self) -> &[String] {
        let mut bytes = [0; 65_536];
        for log in &self.logs {
            loop {
                match log.recv(&mut bytes) {
                    Ok(length) => {
                        let line = String::from_utf8_lossy(&bytes[..length]);
                        let line = normal::log_line(line.trim_end_matches(['\n', '\0']));
                        self.lines.extend(Some(line).filter(|line| !is_of_the_program(line)));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("syslog: {error}"),
                }
            }
        }
        &self.lines
    }

    fn process(&self) -> Told {
        let id = self.balancer.process.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let wanted = status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:"));
        let mut lines: Vec<_> = wanted.map(|line| line.replace('\t', " ")).collect();
        let root = fs::read_link(format!("/proc/{id}/root")).unwrap();
        lines.push(format!("root {}", root.display()));
        Told { about: "process".to_owned(), lines }
    }
}

/// A syslog server. Its port is not one that the kernel gives to clients: `127.0.0.1:PORT` in a log line
/// must not be taken for it.
fn syslog_socket() -> (Port, UdpSocket) {
    let free = std::iter::repeat_with(Port::free).take(100);
    let mut bound = free.filter_map(|port| Some((UdpSocket::bind(port.address()).ok()?, port)));
    let (socket, port) = bound.next().expect("a UDP port that nobody else has");
    socket.set_nonblocking(true).unwrap();
    (port, socket)
}

fn actor(
    servers: &mut BTreeMap<String, Actor>,
    name: &str,
    rules: &std::collections::HashMap<String, Rules>,
) -> SocketAddr {
    let start = || Actor::start(name, rules.get(name).cloned());
    servers.entry(name.to_owned()).or_insert_with(start).address()
}

/// Values with the names that they get back: longer ones first, ports by themselves, too.
fn names_back(values: &[(String, String)]) -> Vec<(String, String)> {
    let mut names: Vec<_> =
        values.iter().map(|(name, value)| (value.clone(), format!("{{{{{name}}}}}"))).collect();
    for (name, value) in values {
        if let Some((_, port)) = value.rsplit_once(':') {
            names.push((port.to_owned(), format!("{{{{{name}-port}}}}")));
        }
    }
    names.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    names
}

/// Asks until the answer is good, no longer than [`LAG`]; gives the last answer.
fn until_or_last<T>(mut ask: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let started = Instant::now();
    loop {
        let answer = ask();
        if good(&answer) || started.elapsed() > LAG {
            return answer;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Cells of a line; one in quotes may hold commas.
fn csv_cells(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let separates = |letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    };
    line.split(separates).collect()
}

/// Rows of a table as pairs of title and value.
fn rows(table: &str) -> Vec<Vec<(&str, &str)>> {
    let titles: Vec<_> =
        table.lines().next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let lines = table.lines().skip(1).filter(|line| !line.is_empty());
    lines.map(|line| titles.iter().copied().zip(csv_cells(line)).collect()).collect()
}

/// Whether a log line tells of the program's own life; each has its own words for that.
fn is_of_the_program(line: &str) -> bool {
    let behind = |mark: &str| line.split_once(mark).map(|(_, message)| message);
    let message = behind("[PID]: ").or_else(|| behind(" PID - - ")).unwrap_or(line);
    [
        "Proxy ",
        "Stopping ",
        "Stopping; ",
        "Pausing ",
        "Loading ",
        "haproxy version",
        "New worker",
        "Listener ",
        "Mainstay ",
    ]
    .iter()
    .any(|word| message.starts_with(word))
}

fn value<'a>(row: &[(&str, &'a str)], title: &str) -> &'a str {
    row.iter().find(|(name, _)| *name == title).map_or("", |(_, value)| value)
}

/// Cells that hold something other than nothing or 0, one a line.
fn cells(table: &str, more: &[String]) -> Vec<String> {
    let wanted = |title: &str| CELLS.contains(&title) || more.iter().any(|name| name == title);
    let mut lines = Vec::new();
    for row in rows(table) {
        let place = format!("{}/{}", value(&row, "pxname"), value(&row, "svname"));
        let full = row.iter().filter(|(title, value)| wanted(title) && !["", "0"].contains(value));
        lines.extend(full.map(|(title, value)| format!("{place} {title}={value}")));
    }
    lines
}

/// One exchange as it is compared.
#[derive(Debug, Default)]
struct Exchange {
    request: String,
    named_by_connection: Vec<String>,
    interim: Vec<u16>,
    answer: String,
    fields: Fields,
    body: String,
    /// What the servers were asked for it.
    servers: Vec<Seen>,
    /// Fields that we, rightly, do not pass on.
    dropped: Vec<String>,
}

/// What we do otherwise on purpose. Only HAProxy's side is changed, so ours must be exactly this.
fn as_we_say_it(theirs: &mut Exchange) {
    if let Some((_, ours)) = PHRASES.iter().find(|(theirs_is, _)| theirs.answer == *theirs_is) {
        (*ours).clone_into(&mut theirs.answer);
    }
    // RFC 9110, 7.6.1: an intermediary MUST remove the fields that `Connection` names, and ought to
    // remove `Proxy-Connection`. HAProxy passes them on.
    theirs.dropped.clone_from(&theirs.named_by_connection);
}

/// Fields that concern only one connection: those that `Connection` names, and `Proxy-Connection`.
fn named_by_connection(request: &str) -> Vec<String> {
    let options = request.lines().filter_map(|line| line.strip_prefix("Connection:"));
    let named = options.flat_map(|line| line.split(',')).map(|name| name.trim().to_lowercase());
    let kept = ["upgrade", "close", "keep-alive"];
    named.filter(|name| !kept.contains(&name.as_str())).chain(["proxy-connection".to_owned()]).collect()
}

/// Each program has its own words on its own pages; only their kind must be the same.
fn free_the_words_of_pages(told: &mut Exchange, method: &str) {
    let html = told.fields.iter().any(|(name, value)| {
        name == "content-type" && (value == "text/html" || value == "text/html; charset=utf-8")
    });
    let start = told.body.to_lowercase();
    let page = start.starts_with("<html") || start.starts_with("<!doctype");
    if html && (page || method == "HEAD") {
        "(our own words)".clone_into(&mut told.body);
        told.fields.retain(|(name, _)| {
            !["content-length", "transfer-encoding", "content-type"].contains(&name.as_str())
        });
    }
}

/// The body as text: unpacked when it is compressed, its beginning and a sum when it is long.
fn body(answer: &Response) -> String {
    let packed = field(&answer.headers, "content-encoding") == Some("gzip");
    let mut bytes = answer.body.clone();
    if packed && !bytes.is_empty() {
        bytes.clear();
        if let Err(error) = MultiGzDecoder::new(&answer.body[..]).read_to_end(&mut bytes) {
            return format!("not gzip: {error}");
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let mark = if packed { "unpacked " } else { "" };
    if text.len() <= 2_000 || text.to_lowercase().starts_with("<!doctype") {
        return format!("{mark}{text}");
    }
    let start: String = text.chars().take(40).collect();
    let sum = bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("{mark}{} bytes, sum {sum:x}: {start}…", bytes.len())
}

/// The head's lines end with CRLF; the body stays as it is, without the file's last line end.
fn wire_form(request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    format!("{}\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end())
}

fn read_until(client: &mut Client, bytes: &[u8]) -> Told {
    let about = format!("until {}", shown(bytes));
    // A server may be the one that speaks first.
    client.connect().unwrap();
    let connection = client.connection();
    loop {
        if let Some(place) = connection.ahead.windows(bytes.len()).position(|part| part == bytes) {
            let read: Vec<_> = connection.ahead.drain(..place + bytes.len()).collect();
            return Told { about, lines: vec![format!("came {}", shown(&read))] };
        }
        match connection.fill() {
            Ok(true) => {}
            other => {
                let came = shown(&connection.ahead);
                return Told { about, lines: vec![format!("came {came}, then {}", end(&other))] };
            }
        }
    }
}

fn read_to_end(client: &mut Client) -> Told {
    let about = "closed".to_owned();
    if !client.is_open() {
        return Told { about, lines: vec!["was closed".to_owned()] };
    }
    let connection = client.connection();
    let mut last = connection.fill();
    while matches!(last, Ok(true)) {
        last = connection.fill();
    }
    let mut lines = vec![end(&last).to_owned()];
    if !connection.ahead.is_empty() {
        let came = std::mem::take(&mut connection.ahead);
        lines.push(format!("came {}", page_or_bytes(&came)));
    }
    Told { about, lines }
}

/// Bytes before an end, with the words of an error page left free.
fn page_or_bytes(came: &[u8]) -> String {
    let text = String::from_utf8_lossy(came);
    match text.split_once("\r\n\r\n") {
        Some((head, page)) if page.to_lowercase().starts_with("<html") => {
            let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("content-length"));
            let mut lines: Vec<_> = lines.map(str::to_lowercase).collect();
            lines.sort();
            format!("page {}", lines.join(" | ").replace("time-out", "timeout"))
        }
        _ => shown(came),
    }
}

fn end(last: &std::io::Result<bool>) -> &'static str {
    match last {
        Ok(_) => "closed",
        Err(error) if crate::http::cut(error) == Failure::Timeout => "still open",
        Err(_) => "reset",
    }
}

fn silence(client: &mut Client, time: Duration) -> Told {
    let about = format!("silence of {time:?}");
    if !client.is_open() {
        return Told { about, lines: vec!["was closed".to_owned()] };
    }
    let connection = client.connection();
    connection.stream.set_read_timeout(Some(time)).unwrap();
    let came = connection.fill();
    connection.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let what = match came {
        Ok(true) => format!("came {}", page_or_bytes(&connection.ahead)),
        other => end(&other).to_owned(),
    };
    Told { about, lines: vec![what] }
}
