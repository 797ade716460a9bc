//! Signals as values, and what each means to whoever called the program by which name.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Read the configuration again.
    Reload,
    /// Serve what is open, then end.
    Graceful,
    /// End now; by the signal of this number.
    Hard(i32),
    /// Open the log files again.
    ReopenLogs,
    /// Nothing: the text says why.
    Nothing(&'static str),
}

/// Numbers of the signals that end a process.
const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

/// What each signal means. Of those that are `None` the system's own meaning stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meanings {
    /// SIGHUP.
    pub hangup: Asked,
    /// SIGINT.
    pub interrupt: Asked,
    /// SIGTERM.
    pub terminate: Asked,
    /// SIGUSR1.
    pub user1: Asked,
    /// SIGUSR2.
    pub user2: Asked,
    /// SIGQUIT.
    pub quit: Option<Asked>,
    /// SIGWINCH.
    pub window: Option<Asked>,
}

impl Meanings {
    /// Of `mainstay run`.
    pub const OWN: Meanings = Meanings {
        hangup: Asked::Reload,
        interrupt: Asked::Hard(INTERRUPT),
        terminate: Asked::Graceful,
        user1: Asked::Graceful,
        user2: Asked::Reload,
        quit: None,
        window: None,
    };

    /// Of HAProxy (management manual, section 4).
    pub const HAPROXY: Meanings = Meanings { terminate: Asked::Hard(TERMINATE), ..Meanings::OWN };

    /// Of nginx (its document "Controlling nginx").
    pub const NGINX: Meanings = Meanings {
        hangup: Asked::Reload,
        interrupt: Asked::Hard(INTERRUPT),
        terminate: Asked::Hard(TERMINATE),
        user1: Asked::ReopenLogs,
        user2: Asked::Nothing(
            "SIGUSR2: the program is not replaced in place; start the new one and stop this one",
        ),
        quit: Some(Asked::Graceful),
        window: Some(Asked::Nothing("SIGWINCH: there are no worker processes to stop; use SIGQUIT")),
    };
}

/// The signals the process listens to.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    user1: Signal,
    user2: Signal,
    quit: Option<Signal>,
    window: Option<Signal>,
    meanings: Meanings,
}

impl Signals {
    /// Starts listening.
    pub fn new(meanings: Meanings) -> std::io::Result<Signals> {
        let wanted = |meaning: Option<Asked>, kind| meaning.map(|_| signal(kind)).transpose();
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            quit: wanted(meanings.quit, SignalKind::quit())?,
            window: wanted(meanings.window, SignalKind::window_change())?,
            meanings,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        let meanings = self.meanings;
        tokio::select! {
            _ = self.hangup.recv() => meanings.hangup,
            _ = self.user2.recv() => meanings.user2,
            _ = self.user1.recv() => meanings.user1,
            _ = self.terminate.recv() => meanings.terminate,
            _ = self.interrupt.recv() => meanings.interrupt,
            Some(asked) = heard(&mut self.quit, meanings.quit) => asked,
            Some(asked) = heard(&mut self.window, meanings.window) => asked,
        }
    }
}

/// The meaning of a signal when it comes; nothing at once when it is not listened to.
async fn heard(signal: &mut Option<Signal>, meaning: Option<Asked>) -> Option<Asked> {
    signal.as_mut()?.recv().await?;
    meaning
}
