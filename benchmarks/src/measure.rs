//! Runs one case: starts each program in turn, checks its answers, loads it, reads what it cost.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cases::{Case, Load};
use crate::client::{self, Readers};
use crate::configs::{self, Ports};
use crate::process::{Running, TEST_CORE};
use crate::program::{Kind, Program, Variant};
use crate::report::{CaseResult, Row};
use crate::sink::Sink;
use crate::{Result, origin, wrk};

/// How long a program may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Load before the measured window: connections open, code and caches warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// Quiet time before memory is read, longer than the peers' clean-up of idle server connections.
const SETTLE: Duration = Duration::from_secs(8);
/// Connections of the bulk case.
const BULK_CONNECTIONS: usize = 8;

/// What one turn of one program gave.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Sample {
    /// In the case's unit; see [`Load::cost_unit`].
    pub cost: f64,
    /// In the case's unit; see [`Load::rate_unit`].
    pub rate: f64,
    /// 99th percentile in milliseconds, where requests are timed.
    pub p99_ms: Option<f64>,
    /// CPU used in the window, in cores: near the number of threads means that the program was the bottleneck.
    pub cores: Option<f64>,
    /// Part of the window in which it was ready but another process had its core: near 0 on a quiet machine.
    pub disturbed: Option<f64>,
    /// Log lines that arrived per request.
    pub log_lines: Option<f64>,
}

/// The servers, the syslog receiver and the length of a window.
pub struct Bench {
    seconds: u64,
    ports: Ports,
    sink: Sink,
    _origin: Running,
}

impl Bench {
    /// Start what all programs under test share.
    pub fn start(seconds: u64) -> Result<Bench> {
        let sink = Sink::start()?;
        let [front, stats, a, b, c, bulk] = free_ports()?;
        let ports = Ports { front, stats, servers: [a, b, c], bulk, syslog: sink.port };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["origin", "--http", &format!("{a},{b},{c}"), "--bulk", &bulk.to_string()]);
        let mut origin = Running::start(&mut command)?;
        for port in ports.servers {
            wait_for_port(port, &mut origin)?;
        }
        Ok(Bench { seconds, ports, sink, _origin: origin })
    }

    /// All rounds of one case. A failed turn goes to `failures`, the others go on.
    pub fn case(
        &self,
        case: &'static Case,
        programs: &[Program],
        rounds: usize,
        failures: &mut Vec<String>,
    ) -> CaseResult {
        let mut rows = contenders(case, programs);
        for round in 1..=rounds {
            for row in &mut rows {
                match self.turn(case, &row.program, row.variant) {
                    Ok(sample) => {
                        eprintln!(
                            "   round {round} {:<24} {:>10.2} {}",
                            row.name(),
                            sample.cost,
                            case.load.cost_unit()
                        );
                        row.samples.push(sample);
                    }
                    Err(error) => {
                        failures.push(format!("{}, round {round}, {}: {error}", case.name, row.name()));
                    }
                }
            }
        }
        CaseResult::new(case, rows)
    }

    fn turn(&self, case: &Case, program: &Program, variant: Variant) -> Result<Sample> {
        let dir = tempfile::tempdir()?;
        let config = configs::write(program.kind, variant, case, &self.ports, dir.path())?;
        let cores = if case.threads == 1 { TEST_CORE.to_string() } else { format!("0-{TEST_CORE}") };
        let mut command = program.command(&config, &cores);
        if variant == Variant::FileLog && program.kind != Kind::Nginx {
            command.stdout(std::fs::File::create(configs::access_log(dir.path()))?);
        }
        let mut running = Running::start(&mut command)?;
        wait_for_port(self.ports.front, &mut running)?;
        self.check_answers(case)?;
        match case.load {
            Load::KeepAlive { target } => self.requests(case, &running, target, false, dir.path()),
            Load::Close => self.requests(case, &running, "/small", true, dir.path()),
            Load::Bulk => self.bulk(&running),
            Load::Idle { connections } => self.idle(&running, connections),
        }
    }

    /// A fast wrong answer is worth nothing: every server must be seen, each with its own body.
    fn check_answers(&self, case: &Case) -> Result<()> {
        if case.load == Load::Bulk {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        let mut stream = client::connect(self.ports.front)?;
        for _ in 0..30 {
            let answer = client::get(&mut stream, "/small")?;
            if answer.status != 200 {
                return Err(format!("status {} before the load", answer.status).into());
            }
            seen.insert(String::from_utf8_lossy(&answer.body).into_owned());
        }
        let expected = (1..=self.ports.servers.len()).map(origin::small_body).collect::<BTreeSet<_>>();
        if seen != expected {
            return Err(format!("answers {seen:?} instead of {expected:?}").into());
        }
        let large = client::get(&mut stream, "/1m")?;
        if large.status != 200
            || large.body.len() != origin::LARGE
            || large.body.iter().any(|byte| *byte != b'x')
        {
            return Err("the large answer is not what the server sent".into());
        }
        self.check_rules(case)
    }

    fn check_rules(&self, case: &Case) -> Result<()> {
        if case.rules == 0 {
            return Ok(());
        }
        let target = format!("/forbidden{}/x", case.rules - 1);
        match client::get(&mut client::connect(self.ports.front)?, &target)?.status {
            403 => Ok(()),
            status => Err(format!("the last rule gives {status} instead of 403").into()),
        }
    }

    fn requests(
        &self,
        case: &Case,
        running: &Running,
        target: &str,
        close: bool,
        dir: &Path,
    ) -> Result<Sample> {
        let url = format!("http://127.0.0.1:{}{target}", self.ports.front);
        wrk::run(&url, WARM_UP.as_secs(), close)?;
        let lines_before = self.log_lines(dir);
        let started = Instant::now();
        let before = running.times()?;
        let outcome = wrk::run(&url, self.seconds, close)?;
        let times = running.times()?.since(before);
        let wall = started.elapsed();
        if let Some(errors) = outcome.errors {
            return Err(errors.into());
        }
        let log_lines = (self.log_lines(dir) - lines_before) as f64 / outcome.requests as f64;
        if case.log && log_lines == 0.0 {
            return Err("no log line arrived".into());
        }
        Ok(Sample {
            cost: times.cpu.as_secs_f64() * 1e6 / outcome.requests as f64,
            rate: outcome.per_second,
            p99_ms: Some(outcome.p99_ms),
            cores: Some(times.cpu.as_secs_f64() / wall.as_secs_f64()),
            disturbed: Some(times.waiting.as_secs_f64() / wall.as_secs_f64()),
            log_lines: case.log.then_some(log_lines),
        })
    }

    fn log_lines(&self, dir: &Path) -> u64 {
        let file = fs::read(configs::access_log(dir)).unwrap_or_default();
        self.sink.lines() + memchr::memchr_iter(b'\n', &file).count() as u64
    }

    fn bulk(&self, running: &Running) -> Result<Sample> {
        let readers = Readers::start(self.ports.front, BULK_CONNECTIONS)?;
        std::thread::sleep(WARM_UP);
        let (bytes_before, before, started) = (readers.bytes(), running.times()?, Instant::now());
        std::thread::sleep(Duration::from_secs(self.seconds));
        let bytes = (readers.bytes() - bytes_before) as f64;
        let times = running.times()?.since(before);
        let cpu = times.cpu.as_secs_f64();
        let wall = started.elapsed().as_secs_f64();
        if bytes == 0.0 || !readers.all_alive() {
            return Err("a connection ended or nothing came".into());
        }
        Ok(Sample {
            cost: cpu * 1e3 / (bytes / 1e9),
            rate: bytes / 1e6 / wall,
            p99_ms: None,
            cores: Some(cpu / wall),
            disturbed: Some(times.waiting.as_secs_f64() / wall),
            log_lines: None,
        })
    }

    fn idle(&self, running: &Running, connections: usize) -> Result<Sample> {
        let before = running.resident_bytes()?;
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut stream = client::connect(self.ports.front)?;
            client::get(&mut stream, "/small")?;
            open.push(stream);
        }
        std::thread::sleep(SETTLE);
        let after = running.resident_bytes()?;
        still_open(&open)?;
        Ok(Sample {
            cost: after.saturating_sub(before) as f64 / connections as f64,
            rate: after as f64 / 1e6,
            p99_ms: None,
            cores: None,
            disturbed: None,
            log_lines: None,
        })
    }
}

/// The row of each program and variant, in the order in which they take turns.
fn contenders(case: &'static Case, programs: &[Program]) -> Vec<Row> {
    let row = |program: &Program, variant| Row { program: program.clone(), variant, samples: Vec::new() };
    programs
        .iter()
        .flat_map(|program| program.kind.variants(case).iter().map(move |variant| row(program, *variant)))
        .collect()
}

/// A closed connection would cost no memory, so make sure that none is.
fn still_open(streams: &[TcpStream]) -> Result<()> {
    for stream in streams {
        stream.set_nonblocking(true)?;
        if stream.peek(&mut [0]).is_ok() {
            return Err("an idle connection was closed".into());
        }
    }
    Ok(())
}

fn wait_for_port(port: u16, running: &mut Running) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = running.ended() {
            return Err(format!("ended at start: {status}").into());
        }
        if Instant::now() > deadline {
            return Err(format!("does not listen on port {port} after {START_LIMIT:?}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Ports that were free a moment ago; held together so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    let ports = listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<std::io::Result<Vec<_>>>()?;
    ports.try_into().map_err(|_| "too few ports".into())
}
