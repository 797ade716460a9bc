//! Signals as values.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Read the configuration again.
    Reload,
    /// Serve what is open, then end.
    Graceful,
    /// End now; by the signal of this number.
    Hard(i32),
}

/// Numbers of the signals that end a process.
pub(crate) const INTERRUPT: i32 = 2;
pub(crate) const TERMINATE: i32 = 15;

/// The signals the process listens to.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    user1: Signal,
    user2: Signal,
    /// What SIGTERM means: graceful for us, hard on HAProxy's command line.
    terminate_is: Asked,
}

impl Signals {
    /// Starts listening.
    pub fn new(terminate_is: Asked) -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            terminate_is,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user2.recv() => Asked::Reload,
            _ = self.user1.recv() => Asked::Graceful,
            _ = self.terminate.recv() => self.terminate_is,
            _ = self.interrupt.recv() => Asked::Hard(INTERRUPT),
        }
    }
}
