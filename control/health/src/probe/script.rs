//! Does what the steps of a check say: one connection at a time, one thing after the other.

use super::{Attempt, Verdict};
use crate::steps::{Connect, Machine, Outcome, Subject, Todo, prepare};
use plan::check::Probe;
use pool::CheckStatus;
use tasks::Stream;

/// Runs the steps of a probe.
pub(super) async fn check(
    attempt: &mut Attempt<'_>,
    probe: &Probe,
    subject: &Subject,
) -> Result<Verdict, Verdict> {
    let Some(prepared) = prepare(probe, subject.random) else {
        return Err(Verdict::new(CheckStatus::ProcErr, None, "a program is no talk"));
    };
    let mut machine = Machine::new(&prepared, subject);
    let mut line = Line { stream: None, linger: false };
    let mut todo = machine.begin();
    let mut buffer = Vec::new();
    loop {
        todo = match todo {
            Todo::Connect(connect) => {
                line.open(attempt, &connect).await.map_err(|verdict| told(&machine, verdict, true))?;
                machine.connected()
            }
            Todo::Send(bytes) => {
                let stream = line.stream()?;
                attempt.send(stream, &bytes).await.map_err(|verdict| told(&machine, verdict, false))?;
                machine.sent()
            }
            Todo::Read => {
                let stream = line.stream()?;
                buffer.clear();
                match attempt.read(stream, &mut buffer).await.map_err(|v| told(&machine, v, false))? {
                    0 => machine.closed(),
                    _ => machine.received(&buffer),
                }
            }
            Todo::Done(outcome) => return Ok(outcome.into()),
        };
    }
}

/// The open connection, if any.
struct Line {
    stream: Option<Stream>,
    linger: bool,
}

impl Line {
    async fn open(&mut self, attempt: &mut Attempt<'_>, connect: &Connect) -> Result<(), Verdict> {
        self.close();
        self.linger = connect.linger;
        self.stream = Some(attempt.connect_as(connect).await?);
        Ok(())
    }

    fn stream(&mut self) -> Result<&mut Stream, Verdict> {
        self.stream.as_mut().ok_or_else(|| Verdict::new(CheckStatus::SockErr, None, "no connection"))
    }

    /// A reset leaves nothing behind on either side; there is nothing to lose.
    fn close(&mut self) {
        if let Some(stream) = self.stream.take().filter(|_| !self.linger) {
            stream.reset_on_close();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection that failed, in the words of the step that needed it.
fn told(machine: &Machine<'_>, verdict: Verdict, connecting: bool) -> Verdict {
    let late =
        matches!(verdict.status, CheckStatus::L4Timeout | CheckStatus::L6Timeout | CheckStatus::L7Timeout);
    let outcome = match late {
        true => machine.late(connecting),
        false => {
            machine.at_this_step(Outcome { status: verdict.status, code: verdict.code, text: verdict.text })
        }
    };
    Verdict { ours: verdict.ours, ..outcome.into() }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Verdict {
        let Outcome { status, code, text } = outcome;
        Verdict { status, code, text, ours: false }
    }
}
