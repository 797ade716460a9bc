//! Where log lines go: the one module of this crate with I/O, on a thread of its own.
//!
//! ```text
//!  worker 0 ─ LogQueue ┐                       ┌ UDP, unix datagram: one line each, never waits long
//!  worker 1 ─ LogQueue ┼─ thread `log` ─ route ┼ file: whole batches; TCP: as far as it takes them
//!  checks   ─ LogQueue ┘  (every 5 ms)         └ stdout, stderr, descriptor: as far as they take it
//! ```
//!
//! A worker formats straight into its own queue; it waits for nobody but, for the time of a swap of two
//! vectors, for the log thread. A full queue or a slow target costs lines, which are counted, and never time
//! of traffic.

mod gzip;
mod header;
mod made;
mod out;
mod stream;
mod writer;

use crate::clock::Zone;
use header::Route;
use out::Out;
use parking_lot::Mutex;
use plan::host::KeepOpen;
use plan::log::{LogAddress, LogTarget, Severity};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread::Thread;
use std::time::Duration;
use writer::Writer;

/// Lines for files of their own that may wait.
const APPENDS: usize = 10_000;

/// Bytes that may wait in one queue.
const QUEUE_BYTES: usize = 1 << 20;

/// Who lines are said to come from.
#[derive(Clone, Debug, Default)]
pub struct LogIdentity {
    /// Tag, usually the name of the program.
    pub tag: String,
    /// Host name: `None` = left out, empty = the machine's.
    pub hostname: Option<String>,
    /// Process id.
    pub pid: u32,
}

/// A log target could not be opened.
#[derive(Debug)]
pub struct SinkError {
    /// What was tried.
    pub what: String,
    /// What the system said.
    pub source: io::Error,
}

impl std::fmt::Display for SinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The log thread and what belongs to it. One per process; it outlives reloads.
#[derive(Debug)]
pub struct LogHub {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Vec<Arc<Queue>>>,
    commands: Mutex<Commands>,
    next_route: AtomicU32,
    /// The thread sleeps until it is woken.
    asleep: AtomicBool,
    thread: Mutex<Option<Thread>>,
    dropped: AtomicU64,
    zone: Arc<Zone>,
}

#[derive(Debug, Default)]
struct Commands {
    list: Vec<Command>,
    /// Targets that the thread has or will have.
    known: Vec<LogAddress>,
}

#[derive(Debug)]
enum Command {
    Open(LogAddress, Out),
    Route(u32, Route),
    /// All handles of the route are gone.
    Retire(u32),
    /// A line for a file whose path was made for it.
    Append(PathBuf, KeepOpen, Vec<u8>),
    /// Answer when everything pushed before is out.
    Flush(Sender<()>),
    Stop,
}

#[derive(Debug, Default)]
struct Queue {
    batch: Mutex<Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    route: u32,
    severity: Severity,
    start: u32,
    end: u32,
}

/// Log files that are open before there is a log thread: the process may have more rights then.
#[derive(Debug, Default)]
pub struct LogFiles(Vec<(LogAddress, Out)>);

impl LogFiles {
    /// Opens each file among the addresses once, or tells of all that cannot be opened.
    pub fn open<'a>(addresses: impl Iterator<Item = &'a LogAddress>) -> Result<LogFiles, Vec<SinkError>> {
        let (mut files, mut errors) = (LogFiles::default(), Vec::new());
        for address in addresses.filter(|address| is_file(address)) {
            if files.0.iter().any(|(known, _)| known == address) {
                continue;
            }
            match Out::open(address) {
                Ok(out) => files.0.push((address.clone(), out)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(files) } else { Err(errors) }
    }
}

/// A set of targets that lines of one site or pool go to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogRoute(Option<Arc<Handle>>);

#[derive(Debug)]
struct Handle {
    id: u32,
    /// The least severe level that any of the targets takes.
    level: Severity,
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.commands.lock().list.push(Command::Retire(self.id));
    }
}

impl LogRoute {
    /// A route to nowhere.
    pub fn none() -> LogRoute {
        LogRoute(None)
    }

    /// True when a line of this severity goes somewhere; if not, it need not be made.
    #[inline]
    pub fn wants(&self, severity: Severity) -> bool {
        self.0.as_ref().is_some_and(|handle| severity <= handle.level)
    }
}

/// The end of a queue that lines are pushed into. One per worker; others (checks, supervisor) have their own.
#[derive(Debug)]
pub struct LogQueue {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

impl LogQueue {
    /// Adds one line, made by `line` straight in the queue, without header and newline. Never waits; a line
    /// that finds the queue full is counted as dropped.
    #[inline]
    pub fn write(&self, route: &LogRoute, severity: Severity, line: impl FnOnce(&mut Vec<u8>)) {
        let Some(handle) = route.0.as_ref().filter(|h| severity <= h.level) else { return };
        {
            let mut batch = self.queue.batch.lock();
            if batch.bytes.len() >= QUEUE_BYTES {
                self.shared.dropped.fetch_add(1, Relaxed);
                return;
            }
            let start = batch.bytes.len() as u32;
            line(&mut batch.bytes);
            let end = batch.bytes.len() as u32;
            batch.lines.push(Entry { route: handle.id, severity, start, end });
        }
        self.shared.wake();
    }

    /// Has the log thread look at once, instead of a few milliseconds later: a person may look at what it writes as
    /// soon as the answer is there. For rare lines only.
    pub fn hurry(&self) {
        self.shared.asleep.store(false, SeqCst);
        if let Some(thread) = self.shared.thread.lock().as_ref() {
            thread.unpark();
        }
    }

    /// Adds a line that is there already.
    pub fn push(&self, route: &LogRoute, severity: Severity, text: &[u8]) {
        self.write(route, severity, |out| out.extend_from_slice(text));
    }

    /// Adds a line for the file of this path, which is opened for it unless it is kept open. A line that finds too
    /// many others waiting is counted as dropped.
    pub fn append(&self, path: PathBuf, keep: KeepOpen, line: Vec<u8>) {
        let waiting = {
            let mut commands = self.shared.commands.lock();
            let waiting = commands.list.len();
            if waiting < APPENDS {
                commands.list.push(Command::Append(path, keep, line));
            }
            waiting
        };
        if waiting >= APPENDS {
            self.shared.dropped.fetch_add(1, Relaxed);
        }
        self.hurry();
    }

    /// Adds the line of an event at its severity.
    pub fn event(&self, route: &LogRoute, event: &crate::Event) {
        if route.wants(event.severity()) {
            self.push(route, event.severity(), event.text().as_bytes());
        }
    }
}

impl Shared {
    /// Wakes the thread if it sleeps. Its order: it sets `asleep`, then looks into each queue under the
    /// queue's lock; so whoever pushed after that look sees `asleep` set.
    #[inline]
    fn wake(&self) {
        if self.asleep.load(Relaxed)
            && self.asleep.swap(false, SeqCst)
            && let Some(thread) = self.thread.lock().as_ref()
        {
            thread.unpark();
        }
    }
}

impl LogHub {
    /// Starts the log thread.
    pub fn start() -> io::Result<LogHub> {
        let zone = Arc::new(Zone::fixed(local_offset_s()));
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            commands: Mutex::default(),
            next_route: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            thread: Mutex::default(),
            dropped: AtomicU64::new(0),
            zone,
        });
        let mine = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || Writer::new(mine).run())?;
        let thread = thread.thread().clone();
        *shared.thread.lock() = Some(thread.clone());
        Ok(LogHub { shared, thread })
    }

    /// The local time zone, kept right by the log thread.
    pub fn zone(&self) -> Arc<Zone> {
        Arc::clone(&self.shared.zone)
    }

    /// A new queue.
    pub fn queue(&self) -> LogQueue {
        let queue = Arc::new(Queue::default());
        self.shared.queues.lock().push(Arc::clone(&queue));
        LogQueue { queue, shared: Arc::clone(&self.shared) }
    }

    /// Opens targets (those that are open already are shared) and gives the route to them.
    ///
    /// Fails when a file or descriptor cannot be opened. A syslog daemon that is not there is no error: it is
    /// tried again every second while lines for it are dropped.
    pub fn route(&self, targets: &[LogTarget], identity: &LogIdentity) -> Result<LogRoute, SinkError> {
        let Some(level) = targets.iter().map(|t| t.level).max() else { return Ok(LogRoute::none()) };
        for target in targets {
            self.open(&target.address)?;
        }
        let id = self.shared.next_route.fetch_add(1, Relaxed);
        let route = Route::new(targets, identity);
        self.shared.commands.lock().list.push(Command::Route(id, route));
        Ok(LogRoute(Some(Arc::new(Handle { id, level, shared: Arc::clone(&self.shared) }))))
    }

    /// Takes over files that are open already.
    pub fn adopt(&self, files: LogFiles) {
        let mut commands = self.shared.commands.lock();
        for (address, out) in files.0 {
            commands.known.push(address.clone());
            commands.list.push(Command::Open(address, out));
        }
    }

    fn open(&self, address: &LogAddress) -> Result<(), SinkError> {
        if self.shared.commands.lock().known.contains(address) {
            return Ok(());
        }
        let out = Out::open(address)?;
        let mut commands = self.shared.commands.lock();
        commands.known.push(address.clone());
        commands.list.push(Command::Open(address.clone(), out));
        Ok(())
    }

    /// Opens all log files again (after rotation). Those that cannot be opened stay as they are and are told.
    pub fn reopen(&self) -> Vec<SinkError> {
        let known = self.shared.commands.lock().known.clone();
        let mut problems = Vec::new();
        for address in known.iter().filter(|address| is_file(address)) {
            match Out::open(address) {
                Ok(out) => self.shared.commands.lock().list.push(Command::Open(address.clone(), out)),
                Err(problem) => problems.push(problem),
            }
        }
        self.poke();
        problems
    }

    /// Lines lost so far: queue full, target slow or gone.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until what was pushed before is out, at most so long; false when it was not.
    pub fn flush(&self, within: Duration) -> bool {
        let (done, wait) = channel();
        self.shared.commands.lock().list.push(Command::Flush(done));
        self.poke();
        wait.recv_timeout(within).is_ok()
    }

    /// Flushes, at most so long, and ends the thread.
    pub fn stop(self, within: Duration) {
        self.flush(within);
        self.shared.commands.lock().list.push(Command::Stop);
        self.poke();
    }

    fn poke(&self) {
        self.shared.asleep.store(false, SeqCst);
        self.thread.unpark();
    }
}

/// A target that a rotation renames.
fn is_file(address: &LogAddress) -> bool {
    matches!(address, LogAddress::File(_) | LogAddress::Gzip(_))
}

/// Offset of the local time zone now, seconds east of UTC; UTC when it is not known.
fn local_offset_s() -> i32 {
    jiff::tz::TimeZone::system().to_offset(jiff::Timestamp::now()).seconds()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::log::LogHeader;
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    const WAIT: Duration = Duration::from_secs(10);

    fn target(address: LogAddress, header: LogHeader) -> LogTarget {
        LogTarget {
            address,
            header,
            facility: 16,
            level: Severity::Info,
            max_level: Severity::Emergency,
            length: 1024,
            sample: None,
            tag: None,
        }
    }

    fn identity() -> LogIdentity {
        LogIdentity { tag: "mainstay".into(), hostname: Some("node1".into()), pid: 42 }
    }

    fn receiver() -> (UdpSocket, LogAddress) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let address = LogAddress::Udp(socket.local_addr().unwrap());
        (socket, address)
    }

    fn received(socket: &UdpSocket) -> String {
        let mut bytes = [0u8; 4096];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    }

    #[test]
    fn headers_of_datagrams() {
        let hub = LogHub::start().unwrap();
        let queue = hub.queue();
        for (header, expected) in [
            (
                LogHeader::Rfc3164,
                r"^<134>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d node1 mainstay\[42\]: a\tb#0Ac\n$",
            ),
            (
                LogHeader::Rfc5424,
                r"^<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d node1 mainstay 42 - - a\tb#0Ac\n$",
            ),
            (LogHeader::Priority, r"^<134>a\tb#0Ac\n$"),
            (LogHeader::Short, r"^<6>a\tb#0Ac\n$"),
            (LogHeader::Timed, r"^<6>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d a\tb#0Ac\n$"),
            (LogHeader::Bracketed, r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[info\] 42#42: a\tb#0Ac\n$"),
            (LogHeader::Raw, r"^a\tb#0Ac\n$"),
            (LogHeader::HostTag, r"^<134>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ mainstay: a\tb#0Ac\n$"),
            (LogHeader::Tag, r"^<134>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d mainstay: a\tb#0Ac\n$"),
            (LogHeader::Plain, r"^a\tb#0Ac\n$"),
        ] {
            let (socket, address) = receiver();
            let route = hub.route(&[target(address, header)], &identity()).unwrap();
            queue.push(&route, Severity::Info, b"a\tb\nc");
            let line = received(&socket);
            assert!(matches(expected, &line), "{header:?}: {line:?}");
        }
        hub.stop(WAIT);
    }

    fn matches(pattern: &str, line: &str) -> bool {
        regex::Regex::new(pattern).unwrap().is_match(line)
    }

    #[test]
    fn levels_lengths_and_samples() {
        let hub = LogHub::start().unwrap();
        let queue = hub.queue();
        let (socket, address) = receiver();
        let chosen = LogTarget {
            level: Severity::Warning,
            max_level: Severity::Error,
            length: 8,
            sample: Some((1, 1, 2)),
            ..target(address, LogHeader::Priority)
        };
        let route = hub.route(&[chosen], &identity()).unwrap();
        assert!(!route.wants(Severity::Info) && route.wants(Severity::Error));
        for (severity, text) in [
            (Severity::Info, "not severe enough"),
            (Severity::Emergency, "123456"),
            (Severity::Emergency, "not in the sample"),
            (Severity::Warning, "x"),
        ] {
            queue.push(&route, severity, text.as_bytes());
        }
        assert_eq!(received(&socket), "<131>12\n");
        assert_eq!(received(&socket), "<132>x\n");
        hub.stop(WAIT);
    }

    fn connection(listener: &TcpListener) -> BufReader<TcpStream> {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        BufReader::new(stream)
    }

    #[test]
    fn lines_wait_for_a_server_by_tcp_that_is_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        drop(listener);
        let hub = LogHub::start().unwrap();
        let queue = hub.queue();
        let route = hub.route(&[target(LogAddress::Tcp(place), LogHeader::Raw)], &identity()).unwrap();
        queue.push(&route, Severity::Info, b"one");
        queue.push(&route, Severity::Info, b"two");
        assert!(hub.flush(WAIT), "what waits for a server that is away keeps nobody");
        let listener = TcpListener::bind(place).unwrap();
        let mut stream = connection(&listener);
        let mut lines = String::new();
        (0..2).for_each(|_| assert!(stream.read_line(&mut lines).unwrap() > 0));
        assert_eq!(lines, "one\ntwo\n");
        drop(stream);
        queue.push(&route, Severity::Info, b"three");
        let mut stream = connection(&listener);
        lines.clear();
        stream.read_line(&mut lines).unwrap();
        assert_eq!((lines.as_str(), hub.dropped()), ("three\n", 0));
        hub.stop(WAIT);
    }

    #[test]
    fn files_are_appended_to_and_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let hub = LogHub::start().unwrap();
        let route =
            hub.route(&[target(LogAddress::File(path.clone()), LogHeader::Raw)], &identity()).unwrap();
        let queues: Vec<LogQueue> = (0..3).map(|_| hub.queue()).collect();
        queues.iter().for_each(|queue| queue.push(&route, Severity::Info, b"one"));
        assert!(hub.flush(WAIT));
        assert_eq!(read(&path), "one\none\none\n");
        let rotated = directory.path().join("log.1");
        std::fs::rename(&path, &rotated).unwrap();
        queues[0].push(&route, Severity::Info, b"two");
        assert!(hub.reopen().is_empty());
        queues[0].push(&route, Severity::Info, b"three");
        drop(route); // what was pushed before is still written
        assert!(hub.flush(WAIT));
        assert_eq!(read(&rotated) + &read(&path), "one\none\none\ntwo\nthree\n");
        assert!(read(&path).ends_with("three\n"));
        let missing = LogAddress::File(directory.path().join("no/such"));
        assert!(hub.route(&[target(missing, LogHeader::Raw)], &identity()).is_err());
        hub.stop(WAIT);
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_not_time() {
        use std::os::fd::AsRawFd as _;
        let (mut reader, writer) = std::io::pipe().unwrap();
        let hub = LogHub::start().unwrap();
        let address = LogAddress::Descriptor(writer.as_raw_fd());
        let route = hub.route(&[target(address, LogHeader::Raw)], &identity()).unwrap();
        drop(writer);
        let queue = hub.queue();
        let line = vec![b'x'; 1000];
        let mut pushed: usize = 0;
        while hub.dropped() == 0 {
            queue.push(&route, Severity::Info, &line);
            pushed += 1;
            assert!(pushed < 100_000, "nothing is dropped");
        }
        assert!(!hub.flush(Duration::from_millis(20)), "the pipe is full");
        let got = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        assert!(hub.flush(WAIT));
        let dropped = hub.dropped() as usize;
        hub.stop(WAIT);
        let bytes = got.join().unwrap();
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count() + dropped, pushed);
        assert!(bytes.split(|b| *b == b'\n').all(|l| l.is_empty() || l.len() == 1000), "torn lines");
    }

    #[test]
    fn a_target_that_is_gone_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("syslog");
        let hub = LogHub::start().unwrap();
        let route =
            hub.route(&[target(LogAddress::Unix(path.clone()), LogHeader::Raw)], &identity()).unwrap();
        let queue = hub.queue();
        queue.push(&route, Severity::Info, b"lost");
        assert!(hub.flush(WAIT));
        assert_eq!(hub.dropped(), 1);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut bytes = [0u8; 64];
        let found = (0..100).find_map(|_| {
            queue.push(&route, Severity::Info, b"found");
            socket.recv(&mut bytes).ok()
        });
        assert_eq!(found.map(|n| &bytes[..n]), Some(&b"found\n"[..]));
        hub.stop(WAIT);
    }

    #[test]
    fn events_go_out_at_their_severity() {
        let hub = LogHub::start().unwrap();
        let (socket, address) = receiver();
        let route = hub.route(&[target(address, LogHeader::Priority)], &identity()).unwrap();
        hub.queue().event(&route, &crate::Event::PoolEmpty { pool: "be".into(), listen: false });
        assert_eq!(received(&socket), "<128>backend be has no server available!\n");
        hub.stop(WAIT);
    }
}
