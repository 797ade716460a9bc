//! Closed-loop load: N kept connections, each sending its next request when its last one is answered.
//!
//! Every request is kept as a [`Sample`]; all figures are drawn from the samples afterwards.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::client::{head, keeps_open};
use crate::http::{Failure, Framing, response_head};

/// What to send, and how often.
#[derive(Clone, Debug)]
pub struct Load {
    address: SocketAddr,
    connections: usize,
    method: &'static str,
    path: String,
    patience: Duration,
    pause: Duration,
}

impl Load {
    /// GET `path` on 50 connections.
    pub fn get(address: SocketAddr, path: &str) -> Self {
        let patience = Duration::from_secs(10);
        Self {
            address,
            connections: 50,
            method: "GET",
            path: path.to_owned(),
            patience,
            pause: Duration::ZERO,
        }
    }

    /// POST `path` on 50 connections, each request with an `X-Request-Id` of its own.
    pub fn post(address: SocketAddr, path: &str) -> Self {
        Self { method: "POST", ..Self::get(address, path) }
    }

    /// Another number of connections.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// A pause after each answer, for a load that leaves the processor time for others.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Starts the load in a thread of its own.
    pub fn start(self) -> RunningLoad {
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), done: AtomicU64::new(0) });
        let started = Instant::now();
        let inner = Arc::clone(&shared);
        let thread = thread::spawn(move || run(self, inner, started));
        RunningLoad { started, shared, thread }
    }
}

struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
}

/// A load that runs.
pub struct RunningLoad {
    /// The moment from which samples count their time.
    pub started: Instant,
    shared: Arc<Shared>,
    thread: JoinHandle<Report>,
}

impl RunningLoad {
    /// Requests that have ended, well or not.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until that many more requests have ended.
    pub fn wait_for(&self, more: u64) {
        let goal = self.done() + more;
        crate::until("the load goes on", Duration::from_secs(120), || (self.done() >= goal).then_some(()));
    }

    /// Lets it run for a time.
    pub fn run_for(&self, time: Duration) {
        thread::sleep(time);
    }

    /// The time since the start, as samples count it.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets open requests finish and gives the figures.
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// With a complete answer of this status.
    Status(u16),
    /// Without one.
    Failed(Failure),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was sent, since the start of the load.
    pub sent: Duration,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

impl Sample {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Status(200..=299))
    }

    /// When it ended, since the start of the load.
    pub fn ended(&self) -> Duration {
        self.sent + self.took
    }
}

/// All requests of a load, in the order in which they ended.
#[derive(Debug)]
pub struct Report {
    /// The requests.
    pub samples: Vec<Sample>,
    /// How long the load ran.
    pub time: Duration,
}

impl Report {
    /// How many requests ended in which way.
    pub fn outcomes(&self) -> BTreeMap<Outcome, usize> {
        let mut counts = BTreeMap::new();
        for sample in &self.samples {
            *counts.entry(sample.outcome.clone()).or_default() += 1;
        }
        counts
    }

    /// Requests that did not end with 2xx.
    pub fn failed(&self) -> usize {
        self.samples.iter().filter(|sample| !sample.is_success()).count()
    }

    /// Requests that ended that way.
    pub fn count(&self, outcome: &Outcome) -> usize {
        self.samples.iter().filter(|sample| sample.outcome == *outcome).count()
    }

    /// Kept connections that were closed under a request.
    pub fn reuse_races(&self) -> usize {
        self.count(&Outcome::Failed(Failure::ReuseRace))
    }

    /// The longest time in which no request succeeded on any connection.
    pub fn longest_gap(&self) -> Duration {
        let mut last = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for sample in self.samples.iter().filter(|sample| sample.is_success()) {
            longest = longest.max(sample.ended().saturating_sub(last));
            last = sample.ended();
        }
        longest.max(self.time.saturating_sub(last))
    }

    /// The time that this share (0.0 to 1.0) of the requests did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut times: Vec<_> = self.samples.iter().map(|sample| sample.took).collect();
        times.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
        times.get(place).copied().unwrap_or_default()
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let mut line = format!("{} requests in {:.1} s:", self.samples.len(), self.time.as_secs_f64());
        for (outcome, count) in self.outcomes() {
            let _ = write!(line, " {outcome:?}={count}");
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| self.quantile(share));
        let gap = self.longest_gap();
        let _ = write!(line, " p50={p50:.1?} p99={p99:.1?} p99.9={p999:.1?} longest gap={gap:.1?}");
        line
    }
}

/// What the connections of one load have in common; they all live on one thread.
struct Loop {
    load: Load,
    shared: Arc<Shared>,
    started: Instant,
    next_id: Cell<u64>,
    samples: RefCell<Vec<Sample>>,
}

fn run(load: Load, shared: Arc<Shared>, started: Instant) -> Report {
    let connections = load.connections;
    let samples = RefCell::default();
    let all = Rc::new(Loop { load, shared, started, next_id: Cell::new(0), samples });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let loops: Vec<_> =
            (0..connections).map(|_| tokio::task::spawn_local(client(Rc::clone(&all)))).collect();
        for one in loops {
            one.await.unwrap();
        }
    });
    Report { samples: all.samples.take(), time: started.elapsed() }
}

async fn client(all: Rc<Loop>) {
    let mut connection = None;
    while !all.shared.stop.load(Ordering::Relaxed) {
        let request = all.next_request();
        let sent = all.started.elapsed();
        let exchange = tokio::time::timeout(all.load.patience, exchange(&all, &mut connection, &request));
        let ended = exchange.await.unwrap_or(Err(Failure::Timeout));
        if ended.is_err() {
            connection = None;
        }
        all.record(sent, ended);
        if !all.load.pause.is_zero() {
            tokio::time::sleep(all.load.pause).await;
        }
    }
}

impl Loop {
    fn next_request(&self) -> Vec<u8> {
        let Load { method, path, .. } = &self.load;
        if *method == "GET" {
            return head(method, path, &[], 0).into_bytes();
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        head(method, path, &[("X-Request-Id", &format!("request-{id}"))], 0).into_bytes()
    }

    fn record(&self, sent: Duration, ended: Result<u16, Failure>) {
        let took = self.started.elapsed() - sent;
        let outcome = ended.map_or_else(Outcome::Failed, Outcome::Status);
        self.samples.borrow_mut().push(Sample { sent, took, outcome });
        self.shared.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection with the bytes read ahead, and whether it has served a request before.
struct Connection {
    stream: TcpStream,
    ahead: Vec<u8>,
    used: bool,
}

async fn exchange(all: &Loop, kept: &mut Option<Connection>, request: &[u8]) -> Result<u16, Failure> {
    // An end that came while the connection was idle is known before we send: no failure, no race.
    if kept.as_ref().is_some_and(Connection::is_closed) {
        *kept = None;
    }
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(all.load.address).await?,
    };
    let _ = connection.stream.write_all(request).await;
    let (status, keep) = connection.read_answer().await?;
    if keep {
        connection.used = true;
        *kept = Some(connection);
    }
    Ok(status)
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::Refused)?;
        stream.set_nodelay(true).map_err(|_| Failure::Refused)?;
        Ok(Self { stream, ahead: Vec::with_capacity(4096), used: false })
    }

    fn is_closed(&self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    async fn read_answer(&mut self) -> Result<(u16, bool), Failure> {
        let answer = loop {
            if let Some(head) = response_head(&self.ahead)? {
                self.ahead.drain(..head.length);
                break head.response;
            }
            let nothing_yet = self.ahead.is_empty();
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ if !nothing_yet => return Err(Failure::Truncated),
                _ if self.used => return Err(Failure::ReuseRace),
                _ => return Err(Failure::Reset),
            }
        };
        match Framing::of_response(answer.status, &answer.headers, false) {
            Framing::None => {}
            Framing::Length(length) => self.skip(length).await?,
            Framing::Chunked => self.skip_chunks().await?,
            Framing::UntilClose => while self.more().await.is_ok() {},
        }
        Ok((answer.status, keeps_open(&answer)))
    }

    async fn skip(&mut self, length: usize) -> Result<(), Failure> {
        while self.ahead.len() < length {
            self.more().await?;
        }
        self.ahead.drain(..length);
        Ok(())
    }

    async fn skip_chunks(&mut self) -> Result<(), Failure> {
        loop {
            let line = loop {
                match self.ahead.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break self.ahead.drain(..end + 2).take(end).collect::<Vec<_>>(),
                    None => self.more().await?,
                }
            };
            let digits = std::str::from_utf8(&line).map_err(|_| Failure::Garbage)?;
            let length = usize::from_str_radix(digits, 16).map_err(|_| Failure::Garbage)?;
            self.skip(length + 2).await?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.ahead).await {
            Ok(1..) => Ok(()),
            _ => Err(Failure::Truncated),
        }
    }
}
