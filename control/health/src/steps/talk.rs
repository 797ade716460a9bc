//! What servers of known protocols answer, and what it is called. The codecs are `wire`'s.

use super::machine::{Outcome, words};
use plan::check::FailAs;
use pool::CheckStatus;
use wire::{ldap, mysql, postgres, redis, smtp, tls_hello};

/// An expected word of a known protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// The answer to a start-up packet.
    Postgres,
    /// The answer to `PING`.
    Redis,
    /// A MySQL server's first packet.
    MysqlGreeting,
    /// Its answer to a login.
    MysqlResult,
    /// A line of SMTP.
    SmtpLine,
    /// A friendly one, from a server that greets.
    SmtpGreeting,
    /// A friendly answer to our greeting.
    SmtpHello,
    /// A friendly answer to `QUIT`.
    SmtpQuit,
    /// The answer to an anonymous bind.
    Ldap,
    /// A ServerHello or an alert.
    TlsHello,
}

/// What was heard.
pub(super) enum Heard {
    /// Not enough yet.
    Wait,
    /// As expected.
    Pass(Outcome),
    /// Not as expected.
    Fail(Outcome),
}

impl Talk {
    /// What it is called when the server says nothing at all.
    pub fn when_empty(self) -> FailAs {
        match self {
            Talk::Redis | Talk::SmtpHello | Talk::SmtpQuit | Talk::SmtpGreeting => FailAs::WrongStatus,
            Talk::TlsHello => FailAs::Layer6,
            _ => FailAs::Invalid,
        }
    }

    /// What a time-out is called.
    pub fn when_late(self) -> CheckStatus {
        match self {
            Talk::TlsHello => CheckStatus::L6Timeout,
            _ => CheckStatus::L7Timeout,
        }
    }

    /// Listens to what came; `closed` when no more will.
    pub fn hear(self, received: &[u8], closed: bool) -> Heard {
        match self {
            Talk::Postgres => of_postgres(received, closed),
            Talk::Redis => of_redis(received, closed),
            Talk::MysqlGreeting => of_mysql(&mysql::parse_greeting(received), closed),
            Talk::MysqlResult => of_mysql(&mysql::parse_result(received), closed),
            Talk::SmtpLine => of_smtp(received, closed, |_| true),
            Talk::SmtpGreeting | Talk::SmtpHello | Talk::SmtpQuit => {
                of_smtp(received, closed, |code| (200..300).contains(&code))
            }
            Talk::Ldap => of_ldap(received, closed),
            Talk::TlsHello => match tls_hello::parse_answer(received) {
                tls_hello::Answer::Tls => Heard::Pass(Outcome::new(CheckStatus::L6Ok, None, "")),
                tls_hello::Answer::Partial if !closed => Heard::Wait,
                _ => Heard::Fail(Outcome::new(CheckStatus::L6Rsp, None, "")),
            },
        }
    }
}

fn pass(text: impl Into<String>) -> Heard {
    Heard::Pass(Outcome::new(CheckStatus::L7Ok, 0, text))
}

fn wrong(code: u16, text: impl Into<String>) -> Heard {
    Heard::Fail(Outcome::new(CheckStatus::L7Status, code, text))
}

fn invalid(text: impl Into<String>) -> Heard {
    Heard::Fail(Outcome::new(CheckStatus::L7Rsp, None, text))
}

fn of_postgres(received: &[u8], closed: bool) -> Heard {
    // The kind of error is told even when the rest of it does not hold together.
    if let Some(severity) = received.strip_prefix(b"E").and_then(|rest| rest.get(4..))
        && let Some(severity) = severity.strip_prefix(b"S")
        && let Some(end) = severity.iter().position(|byte| *byte == 0)
    {
        return invalid(words(&severity[..end]));
    }
    match postgres::parse_answer(received) {
        Ok(postgres::Answer::Authentication) => pass("PostgreSQL server is ok"),
        Ok(postgres::Answer::Partial) if !closed => Heard::Wait,
        _ => wrong(0, "PostgreSQL unknown error"),
    }
}

fn of_redis(received: &[u8], closed: bool) -> Heard {
    match redis::parse_answer(received) {
        Ok(redis::Answer::Pong) => pass("Redis server is ok"),
        Ok(redis::Answer::Error(text)) => wrong(0, format!("-{}", words(text))),
        Ok(redis::Answer::Partial) if !closed => Heard::Wait,
        _ => wrong(0, words(first_line(received))),
    }
}

fn of_mysql(answer: &Result<mysql::Answer<'_>, mysql::AnswerError>, closed: bool) -> Heard {
    match answer {
        Ok(mysql::Answer::Greeting(version)) => pass(words(version)),
        Ok(mysql::Answer::Accepted) => pass(""),
        Ok(mysql::Answer::Error { code, message }) => wrong(*code, words(message)),
        Ok(mysql::Answer::Partial) if !closed => Heard::Wait,
        Ok(mysql::Answer::Partial) | Err(_) => invalid("no packet of MySQL"),
    }
}

fn of_smtp(received: &[u8], closed: bool, friendly: impl Fn(u16) -> bool) -> Heard {
    match smtp::parse_reply(received) {
        Ok(smtp::Reply::Whole { code, text, .. }) if friendly(code) => {
            Heard::Pass(Outcome::new(CheckStatus::L7Ok, code, words(text)))
        }
        Ok(smtp::Reply::Whole { code, text, .. }) => wrong(code, words(text)),
        Ok(smtp::Reply::Partial) if !closed => Heard::Wait,
        // A reply that was cut off is told by the digits that came.
        Ok(smtp::Reply::Partial) => {
            let mut line = [first_line(received), b"\n"].concat();
            if let Some(dash @ b'-') = line.get_mut(3) {
                *dash = b' ';
            }
            match smtp::parse_reply(&line) {
                Ok(smtp::Reply::Whole { code, text, .. }) => wrong(code, words(text)),
                _ => invalid(words(first_line(received))),
            }
        }
        Err(smtp::NoReply(line)) => invalid(words(line)),
    }
}

fn of_ldap(received: &[u8], closed: bool) -> Heard {
    match ldap::parse_answer(received) {
        Ok(ldap::Answer::Result(0)) => pass("Success"),
        Ok(ldap::Answer::Result(code)) => {
            wrong(code.into(), "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9")
        }
        Ok(ldap::Answer::Partial) if !closed => Heard::Wait,
        Ok(ldap::Answer::Partial) => invalid(""),
        Err(ldap::NotLdap) => invalid("Not LDAPv3 protocol"),
    }
}

fn first_line(received: &[u8]) -> &[u8] {
    received.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}
