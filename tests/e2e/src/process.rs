//! A child process whose output is kept, and that does not outlive its story.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::waiting::until;

/// How long a process may take to stop when asked to, before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running (or ended) child process.
pub struct Process {
    child: Child,
    name: String,
    output: Arc<Output>,
    ended: Option<ExitStatus>,
    readers: Vec<JoinHandle<()>>,
}

/// Lines of stdout and stderr together, in the order in which they came.
#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    came: Condvar,
}

impl Output {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts the command with its output captured.
    pub fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let output = Arc::new(Output::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), &output),
            collect(child.stderr.take().unwrap(), &output),
        ];
        Self { child, name: name.to_owned(), output, ended: None, readers }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, to this process only.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    /// The exit status if the process has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Waits for the end and for all it said; panics when it does not come within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let status = until(&what, limit, || self.ended());
        // Its last words may still be on their way.
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status
    }

    /// SIGTERM, and the status with which the process ended.
    pub fn stop(&mut self) -> ExitStatus {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
        self.wait(STOP_LIMIT)
    }

    /// All output so far.
    pub fn output(&self) -> String {
        self.output.lines().join("\n")
    }

    /// Number of output lines so far, to look only at later ones with [`Process::line_after`].
    pub fn lines(&self) -> usize {
        self.output.lines().len()
    }

    /// Waits for an output line that contains `text` and comes after the first `skip` lines.
    pub fn line_after(&self, skip: usize, text: &str, limit: Duration) -> String {
        let line = self.hears(skip, text, limit);
        line.unwrap_or_else(|| panic!("{} did not say {text:?}, but:\n{}", self.name, self.output()))
    }

    /// The same, but gives `None` when no such line comes.
    pub fn hears(&self, skip: usize, text: &str, limit: Duration) -> Option<String> {
        let started = Instant::now();
        let mut lines = self.output.lines();
        loop {
            if let Some(line) = lines.iter().skip(skip).find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            let left = limit.checked_sub(started.elapsed())?;
            lines = self.output.came.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // A frozen process does not hear SIGTERM.
            self.signal(Signal::CONT);
            self.signal(Signal::TERM);
            let started = Instant::now();
            while self.ended().is_none() && started.elapsed() < Duration::from_secs(3) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill();
        if thread::panicking() {
            crate::figures(&format!("output of {}:\n{}", self.name, self.output()));
        }
    }
}

fn collect(source: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            output.lines().push(String::from_utf8_lossy(&line).into_owned());
            output.came.notify_all();
        }
    })
}
