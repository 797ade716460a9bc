//! A small HTTP client and a steady load that notices every failure and every stall. Used by `demo`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Result;

/// Clients at a time.
const CLIENTS: usize = 4;
/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(4);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One connection to a port of this machine.
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connect to 127.0.0.1.
    pub fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Client { stream })
    }

    /// Status and body of one GET.
    pub fn get(&mut self, target: &str) -> Result<(u16, String)> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: demo.test\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let length = self.stream.read(&mut buffer)?;
            if length == 0 {
                return Err("connection closed before the answer".into());
            }
            bytes.extend_from_slice(&buffer[..length]);
            if let Some(answer) = whole_answer(&String::from_utf8_lossy(&bytes)) {
                return Ok(answer);
            }
        }
    }
}

/// Status and body, once all is there. Answers without Content-Length end at the head.
fn whole_answer(text: &str) -> Option<(u16, String)> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let length = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0);
    (body.len() >= length).then(|| (status, body.to_owned()))
}

/// Clients that ask on and on, each on its own connection.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

/// What happened, over all clients.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests sent.
    pub requests: usize,
    /// Those without a 200, each with its reason.
    pub failures: Vec<String>,
    /// Longest time in which no client got an answer.
    pub longest_gap: Duration,
    /// Longest time from a request to its answer.
    pub slowest: Duration,
}

#[derive(Default)]
struct Seen {
    answers: Vec<Instant>,
    slowest: Duration,
    failures: Vec<String>,
}

impl Load {
    /// Start asking for `target`.
    pub fn start(port: u16, target: &'static str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || ask_on(port, target, &stop))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Load { stop, clients }
    }

    /// Stop and add up.
    pub fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        outcome(self.clients.into_iter().filter_map(|client| client.join().ok()).collect())
    }
}

fn outcome(seen: Vec<Seen>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut answers = Vec::new();
    for client in seen {
        outcome.requests += client.answers.len() + client.failures.len();
        outcome.slowest = outcome.slowest.max(client.slowest);
        outcome.failures.extend(client.failures);
        answers.extend(client.answers);
    }
    answers.sort();
    outcome.longest_gap = answers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    outcome
}

fn ask_on(port: u16, target: &str, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        match ask(&mut client, port, target) {
            Ok(()) => {
                seen.slowest = seen.slowest.max(started.elapsed());
                seen.answers.push(Instant::now());
            }
            Err(error) => {
                client = None;
                seen.failures.push(error.to_string());
            }
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

fn ask(client: &mut Option<Client>, port: u16, target: &str) -> Result<()> {
    if client.is_none() {
        *client = Some(Client::connect(port)?);
    }
    let (status, _) = client.as_mut().ok_or("no connection")?.get(target)?;
    if status == 200 { Ok(()) } else { Err(format!("status {status}").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        assert_eq!(whole_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nweb"), None);
        let answer = whole_answer("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nweb1");
        assert_eq!(answer, Some((200, "web1".to_owned())));
    }

    #[test]
    fn the_gap_is_seen_over_all_clients() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let one =
            Seen { answers: vec![at(0), at(50)], failures: vec!["status 503".into()], ..Seen::default() };
        let two = Seen { answers: vec![at(20), at(200)], ..Seen::default() };
        let outcome = outcome(vec![one, two]);
        assert_eq!((outcome.requests, outcome.failures.len()), (5, 1));
        assert_eq!(outcome.longest_gap, Duration::from_millis(150));
    }
}
