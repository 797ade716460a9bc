//! Checks of protocols that need one question: PostgreSQL and Redis. The codecs are `wire`'s.

use super::{Attempt, Verdict, words};
use pool::CheckStatus;
use wire::{postgres, redis};

/// A startup packet; any authentication request, or its grant, passes.
pub(super) async fn postgres(attempt: &mut Attempt<'_>, user: &str) -> Result<Verdict, Verdict> {
    let mut stream = attempt.connect().await?;
    let mut packet = Vec::new();
    postgres::write_startup(&mut packet, user.as_bytes());
    attempt.send(&mut stream, &packet).await?;
    let mut answer = Vec::new();
    loop {
        let count = attempt.read(&mut stream, &mut answer).await?;
        match postgres::parse_answer(&answer) {
            Ok(postgres::Answer::Authentication) => {
                return Ok(Verdict::new(CheckStatus::L7Ok, 0, "PostgreSQL server is ok"));
            }
            Ok(postgres::Answer::Error { severity, code, message }) => {
                let text = format!("{} {}: {}", words(severity), words(code), words(message));
                return Ok(Verdict::new(CheckStatus::L7Status, 0, text));
            }
            Ok(postgres::Answer::Partial) if count == 0 => return Ok(ended(&answer)),
            Ok(postgres::Answer::Partial) => {}
            Err(_) => return Ok(Verdict::new(CheckStatus::L7Status, 0, "PostgreSQL unknown error")),
        }
    }
}

/// `PING`; only `+PONG` passes.
pub(super) async fn redis(attempt: &mut Attempt<'_>) -> Result<Verdict, Verdict> {
    let mut stream = attempt.connect().await?;
    attempt.send(&mut stream, redis::PING).await?;
    let mut answer = Vec::new();
    loop {
        let count = attempt.read(&mut stream, &mut answer).await?;
        match redis::parse_answer(&answer) {
            Ok(redis::Answer::Pong) => return Ok(Verdict::new(CheckStatus::L7Ok, 0, "Redis server is ok")),
            Ok(redis::Answer::Error(text)) => {
                return Ok(Verdict::new(CheckStatus::L7Status, 0, format!("-{}", words(text))));
            }
            Ok(redis::Answer::Partial) if count == 0 => return Ok(ended(&answer)),
            Ok(redis::Answer::Partial) => {}
            Err(_) => return Ok(Verdict::new(CheckStatus::L7Status, 0, words(first_line(&answer)))),
        }
    }
}

fn ended(answer: &[u8]) -> Verdict {
    Verdict::invalid(if answer.is_empty() { "closed without an answer" } else { "closed inside the answer" })
}

fn first_line(answer: &[u8]) -> &[u8] {
    answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}
