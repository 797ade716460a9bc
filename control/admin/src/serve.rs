//! The connection of a runtime socket: reads lines, bounded in length and time, and writes answers.
//!
//! Without `prompt`, a connection is closed when the lines that came together are answered, as scripts expect.

use crate::control::Control;
use crate::session::Session;
use plan::process::RuntimeLevel;
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

/// Serves one connection until it ends. A client that is silent for `silence` (unless the session changes it),
/// or that sends a line over [`LINE_BYTES`], is closed.
pub async fn serve<S>(
    mut stream: S,
    level: RuntimeLevel,
    silence: Duration,
    control: &dyn Control,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session::new(level, silence);
    let mut input = Input::default();
    while !session.closed {
        let Some(line) = next_line(&mut stream, &mut input, &session).await? else { break };
        let (line, payload) = match line.trim_end().strip_suffix("<<") {
            Some(line) => {
                let Some(payload) = read_payload(&mut stream, &mut input, &session).await? else { break };
                (line.to_owned(), Some(payload))
            }
            None => (line, None),
        };
        let mut answer = session.line(&line, payload.as_deref(), control);
        if session.prompt && !session.closed {
            if answer.is_empty() {
                answer.push('\n');
            }
            answer.push_str("> ");
        }
        timeout(session.timeout, stream.write_all(answer.as_bytes())).await??;
        if !session.prompt && !input.has_line() {
            break;
        }
    }
    end(stream).await
}

/// Bytes read and not yet taken.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// Up to here there is no line end.
    searched: usize,
}

impl Input {
    fn has_line(&self) -> bool {
        self.bytes.contains(&b'\n')
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
async fn next_line<S>(stream: &mut S, input: &mut Input, session: &Session) -> io::Result<Option<String>>
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
        let mut piece = [0u8; 4096];
        match timeout(session.timeout, stream.read(&mut piece)).await?? {
            0 => return Ok(None),
            n => input.bytes.extend_from_slice(&piece[..n]),
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "runtime command line too long")
}

/// Lines up to an empty one.
async fn read_payload<S>(stream: &mut S, input: &mut Input, session: &Session) -> io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut payload = String::new();
    loop {
        if session.prompt {
            stream.write_all(b"+ ").await?;
        }
        match next_line(stream, input, session).await? {
            None => return Ok(None),
            Some(line) if line.is_empty() => return Ok(Some(payload)),
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
    use tokio::io::DuplexStream;

    /// Runs one connection; the client sends `input`, ends its side if `half_close`, and reads to the end.
    fn talk(input: &[u8], half_close: bool) -> (io::Result<()>, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, server) = tokio::io::duplex(64 << 10);
            let control = Recorder::default();
            let serving = serve(server, RuntimeLevel::Admin, Duration::from_millis(200), &control);
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
            (b"prompt;set server be/s1 state ready\n\nquit\n", "\n\n> \n> "),
            (b"prompt\nshow version <<\nfoo\n\nquit\n", "\n> + + 1.2.3\n\n> "),
            (b"prompt\nprompt\n", "\n> \n"),
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
