//! The connection of a runtime socket: reads lines, bounded in length and time, and writes answers.
//!
//! Without `prompt`, a connection is closed when the lines that came together are answered, as scripts expect.

use crate::answer::Answer;
use crate::command::Wait;
use crate::control::{Control, Reloaded};
use crate::session::{Mode, Session, Step, ended, find};
use plan::log::Severity;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Longest line, bytes.
pub const LINE_BYTES: usize = 16 << 10;
/// Longest payload, bytes.
pub const PAYLOAD_BYTES: usize = 256 << 10;
/// Longest silence when nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Time in which the client takes note of the end, so that no reset overtakes the answer.
const LINGER: Duration = Duration::from_secs(1);

/// How often a waiting command looks again.
const LOOK: Duration = Duration::from_millis(50);

/// Serves one connection until it ends. A client that is silent for its session's time, or that sends a line
/// over [`LINE_BYTES`], is closed.
pub async fn serve<S>(mut stream: S, mut session: Session, control: &dyn Control) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Input::default();
    while !session.closed {
        let Some(line) = next_line(&mut stream, &mut input, session.timeout).await? else { break };
        let (line, payload) = match payload_end(&line) {
            Some((line, end)) => {
                let payload = read_payload(&mut stream, &mut input, &session, end).await?;
                let Some(payload) = payload else { break };
                (line.to_owned(), Some(payload))
            }
            None => (line, None),
        };
        let mut talk = Talk { stream: &mut stream, input: &mut input, out: String::new() };
        talk.line(&line, payload.as_deref(), &mut session, control).await?;
        talk.flush(session.timeout).await?;
        if session.ends_after_input() && !input.has_line() {
            break;
        }
    }
    end(stream).await
}

/// The line before `<<` and what ends the payload: an empty line, or the word glued to `<<`.
fn payload_end(line: &str) -> Option<(&str, &str)> {
    /// Longest word that ends a payload, bytes.
    const END_BYTES: usize = 64;
    let line = line.trim_end();
    let (before, end) = line.rsplit_once("<<")?;
    let glued = !before.is_empty() && !before.ends_with([' ', '\t']);
    (!glued && end.len() <= END_BYTES && !end.contains([' ', '\t'])).then_some((before, end))
}

/// The answers to one line on their way out.
struct Talk<'s, S> {
    stream: &'s mut S,
    input: &'s mut Input,
    out: String,
}

impl<S> Talk<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    async fn line(
        &mut self,
        line: &str,
        payload: Option<&str>,
        session: &mut Session,
        control: &dyn Control,
    ) -> io::Result<()> {
        for part in session.parts(line) {
            match session.step(part, line, payload, control) {
                Step::Nothing if session.mode == Mode::Prompt && !session.closed => self.out.push('\n'),
                Step::Nothing => {}
                Step::Say(text) => self.out.push_str(&text),
                Step::Wait(wait) => self.wait(&wait, session, control).await?,
                Step::Follow { ring, next, end } => {
                    self.follow(&ring, next, end, session.timeout, control).await?;
                }
                Step::Later(answer) => {
                    if let Step::Say(text) = session.say(&answer.await) {
                        self.out.push_str(&text);
                    }
                }
                Step::Reload => self.reload(session, control).await,
            }
            // Each command is followed by a prompt.
            if session.mode == Mode::Prompt && !session.closed {
                self.out.push_str(&session.prompt(control));
            }
        }
        Ok(())
    }

    async fn flush(&mut self, limit: Duration) -> io::Result<()> {
        timeout(limit, self.stream.write_all(self.out.as_bytes())).await??;
        self.out.clear();
        Ok(())
    }

    /// `wait`: the time, or until a server can be deleted, or the client is gone.
    async fn wait(&mut self, wait: &Wait, session: &Session, control: &dyn Control) -> io::Result<()> {
        self.flush(session.timeout).await?;
        let end = tokio::time::Instant::now() + wait.delay;
        let answer = loop {
            let now = tokio::time::Instant::now();
            match state(wait, control) {
                State::Met => break Answer::said(Severity::Info, "Done.\n"),
                State::Never(answer) => break answer,
                State::NotYet if now >= end && wait.removable.is_none() => break Answer::done(),
                State::NotYet if now >= end => break Answer::error("Wait delay expired.\n"),
                State::NotYet => {}
            }
            let look = if wait.removable.is_some() { end.min(now + LOOK) } else { end };
            tokio::select! {
                () = tokio::time::sleep_until(look) => {}
                more = self.input.fill(self.stream), if !self.input.ended => if more? == 0 { self.input.ended = true },
            }
        };
        if let Step::Say(text) = session.say(&answer) {
            self.out.push_str(&text);
        }
        Ok(())
    }

    /// `show events … -w`: what is there and what comes, until the client says anything or ends.
    async fn follow(
        &mut self,
        ring: &str,
        mut next: u64,
        end: char,
        limit: Duration,
        control: &dyn Control,
    ) -> io::Result<()> {
        while let Some(part) = control.ring(ring, next) {
            self.out.push_str(&ended(&part.lines, end));
            next = part.next;
            if !self.out.is_empty() {
                self.flush(limit).await?;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = self.input.fill(self.stream) => break,
            }
        }
        self.input.discard();
        self.out.push('\n');
        Ok(())
    }

    /// `reload`: the last thing on this connection.
    async fn reload(&mut self, session: &mut Session, control: &dyn Control) {
        let reloaded = match control.reload() {
            Some(answer) => answer.await.unwrap_or_default(),
            None => Reloaded::default(),
        };
        self.out.push_str(&format!("Success={}\n--\n{}\n", u8::from(reloaded.ok), reloaded.log));
        session.closed = true;
    }
}

/// What `wait` waits for.
enum State {
    Met,
    NotYet,
    Never(Answer),
}

fn state(wait: &Wait, control: &dyn Control) -> State {
    let Some(target) = &wait.removable else { return State::NotYet };
    let snapshot = control.snapshot();
    let (pool, server) = match find(target, &snapshot) {
        Ok(found) => found,
        Err(answer) => return State::Never(answer),
    };
    match control.removable(&pool.name, &server.name) {
        Ok(true) => State::Met,
        Ok(false) => State::NotYet,
        Err(refusal) => State::Never(Err(refusal).into()),
    }
}

/// Bytes read and not yet taken.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// Up to here there is no line end.
    searched: usize,
    /// The client ended its side.
    ended: bool,
}

impl Input {
    fn has_line(&self) -> bool {
        self.bytes.contains(&b'\n')
    }

    /// Reads more; 0 = the client ended its side. While a command waits, what comes in is bounded too.
    async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        let mut piece = [0u8; 4096];
        let n = stream.read(&mut piece).await?;
        self.bytes.extend_from_slice(&piece[..n]);
        if self.bytes.len() > PAYLOAD_BYTES { Err(too_long()) } else { Ok(n) }
    }

    fn discard(&mut self) {
        self.bytes.clear();
        self.searched = 0;
    }

    /// The next whole line, without its end.
    fn take_line(&mut self) -> Option<String> {
        let found = self.bytes[self.searched..].iter().position(|b| *b == b'\n');
        let Some(at) = found.map(|at| at + self.searched) else {
            self.searched = self.bytes.len();
            return None;
        };
        let line = String::from_utf8_lossy(&self.bytes[..at]).trim_end_matches('\r').to_owned();
        self.bytes.drain(..=at);
        self.searched = 0;
        Some(line)
    }
}

/// `None`: the client ended, with or without a part of a line.
async fn next_line<S>(stream: &mut S, input: &mut Input, silence: Duration) -> io::Result<Option<String>>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(line) = input.take_line() {
            return if line.len() > LINE_BYTES { Err(too_long()) } else { Ok(Some(line)) };
        }
        if input.bytes.len() > LINE_BYTES {
            return Err(too_long());
        }
        if input.ended || timeout(silence, input.fill(stream)).await?? == 0 {
            return Ok(None);
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "runtime command line too long")
}

/// Lines up to the one that ends them.
async fn read_payload<S>(
    stream: &mut S,
    input: &mut Input,
    session: &Session,
    end: &str,
) -> io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut payload = String::new();
    loop {
        if session.mode == Mode::Prompt {
            stream.write_all(b"+ ").await?;
        }
        match next_line(stream, input, session.timeout).await? {
            None => return Ok(None),
            Some(line) if line == end => return Ok(Some(payload)),
            Some(line) => payload.extend([line.as_str(), "\n"]),
        }
        if payload.len() > PAYLOAD_BYTES {
            return Err(too_long());
        }
    }
}

/// Ends our side, then waits a little for the client's end.
async fn end<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.shutdown().await?;
    let drained = async {
        let mut rest = [0u8; 4096];
        let mut bytes = 0;
        while let Ok(n) = stream.read(&mut rest).await {
            bytes += n;
            if n == 0 || bytes > LINE_BYTES {
                break;
            }
        }
    };
    let _ = timeout(LINGER, drained).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::session::tests::Recorder;
    use plan::process::RuntimeLevel;
    use tokio::io::DuplexStream;

    /// Runs one connection; the client sends `input`, ends its side if `half_close`, and reads to the end.
    fn talk(input: &[u8], half_close: bool) -> (io::Result<()>, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, server) = tokio::io::duplex(64 << 10);
            let control = Recorder::default();
            let session = Session::new(RuntimeLevel::Admin, Duration::from_millis(200));
            let serving = serve(server, session, &control);
            tokio::join!(serving, ask(client, input, half_close))
        })
    }

    async fn ask(mut client: DuplexStream, input: &[u8], half_close: bool) -> String {
        let _ = client.write_all(input).await;
        if half_close {
            client.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_script_gets_its_answers_and_the_end() {
        for (input, half_close, answer) in [
            (&b"show version\n"[..], true, "1.2.3\n\n"),
            (b"show version\r\n", false, "1.2.3\n\n"),
            (b"show version\nshow version;show backend\n", false, "1.2.3\n\n1.2.3\n\n# name\nbe\n\n"),
            (b"show version", true, ""),
            (b"show sess;show version\n", true, "sessions\n\n1.2.3\n\n"),
            (b"show version <<END\na\n\nEND\nshow backend\n", false, "1.2.3\n\n# name\nbe\n\n"),
            (b"wait 1ms;show version\n", true, "\n1.2.3\n\n"),
            (b"wait 1s srv-removable be/s1\n", true, "Done.\n\n"),
            (b"wait 1s srv-removable be/s2\n", true, "Only servers in maintenance mode can be deleted.\n\n"),
            (b"wait 1s srv-removable be/s3\n", true, "No such server.\n\n"),
            (b"show events events -w\n\n", true, "one\ntwo\n\n"),
            (b"show version <<\na\nb\n\n", false, "1.2.3\n\n"),
            (b"quit\n", false, ""),
        ] {
            let (result, got) = talk(input, half_close);
            assert_eq!(got, answer, "{}", String::from_utf8_lossy(input));
            assert!(result.is_ok());
        }
    }

    #[test]
    fn a_person_gets_a_prompt_until_the_end() {
        for (input, answer) in [
            (&b"prompt\nshow version\nquit\n"[..], "\n> 1.2.3\n\n> "),
            (b"prompt;set server be/s1 state ready\n\nquit\n", "\n> \n> \n> "),
            (b"prompt\nshow version <<\nfoo\n\nquit\n", "\n> + + 1.2.3\n\n> "),
            (b"prompt\nprompt\n", "\n> \n"),
            (b"prompt i\nshow version\nquit\n", "\n1.2.3\n\n"),
            (b"prompt timed\nquit\n", "\n[0:00:00:00]> "),
            (b"prompt i timed\nprompt p\nquit\n", "\n\n[0:00:00:00]> "),
        ] {
            assert_eq!(talk(input, false).1, answer, "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn silence_and_endless_lines_end_a_connection() {
        let (result, answer) = talk(b"prompt\nshow ver", false);
        assert_eq!((result.unwrap_err().kind(), answer.as_str()), (io::ErrorKind::TimedOut, "\n> "));
        let (result, answer) = talk(&vec![b'x'; LINE_BYTES + 5000], false);
        assert_eq!((result.unwrap_err().kind(), answer.as_str()), (io::ErrorKind::InvalidData, ""));
    }
}
