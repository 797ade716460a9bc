//! System errors in the words of check log lines.

use super::Verdict;
use pool::CheckStatus;
use std::io::{self, ErrorKind};

/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `EADDRNOTAVAIL`, `EADDRINUSE`: the same numbers on all our systems.
const OUR_SHORTAGES: [i32; 6] = [24, 23, 105, 12, 99, 98];

/// The connection was not made.
pub(super) fn of_connect(error: &io::Error) -> Verdict {
    let ours = is_ours(error);
    let status = if ours { CheckStatus::SockErr } else { CheckStatus::L4Con };
    Verdict { ours, ..Verdict::new(status, None, text(error)) }
}

/// The connection broke while we talked.
pub(super) fn of_talk(error: &io::Error) -> Verdict {
    Verdict::new(CheckStatus::SockErr, None, text(error))
}

/// We have no descriptor, port or memory left: that says nothing about the server.
fn is_ours(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|n| OUR_SHORTAGES.contains(&n))
}

fn text(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "ECONNREFUSED returned by OS".into(),
        ErrorKind::ConnectionReset => "ECONNRESET returned by OS".into(),
        ErrorKind::AddrNotAvailable if error.raw_os_error().is_none() => error.to_string(),
        _ => format!("General socket error ({})", plain(error)),
    }
}

/// Without the number that the standard library adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}
