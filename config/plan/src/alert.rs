//! Alert mails about servers: who sends them, to whom, and from which severity on.

use crate::log::Severity;
use std::net::SocketAddr;
use std::time::Duration;

/// Alert mails of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAlerts {
    /// Mail servers (plain SMTP); each gets every mail.
    pub mailers: Vec<SocketAddr>,
    /// Longest time to connect and send a mail.
    pub timeout: Duration,
    /// Sender.
    pub from: String,
    /// Receiver.
    pub to: String,
    /// Events at least as severe are told.
    pub level: Severity,
    /// Name given in `EHLO`; `None` = the machine's.
    pub hostname: Option<String>,
}
