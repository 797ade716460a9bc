//! Ports for listeners that start later, in another process.
//!
//! Taking a port from `bind(0)` and closing it again is a race: that number is in the range from
//! which the kernel serves every outgoing connection of every other story. So we choose below that
//! range, and a locked file per number keeps stories that run at the same time apart.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, flock};

const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;
/// Far from each other, so that stories started together do not try the same numbers.
const STRIDE: u32 = 7_919;

/// A TCP port of 127.0.0.1 that nobody else in these tests uses while this value lives.
#[derive(Clone, Debug)]
pub struct Port {
    number: u16,
    _lock: Arc<File>,
}

impl Port {
    /// Finds and locks a free port.
    pub fn free() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        (0..COUNT)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id());
                let number = FIRST + step.wrapping_mul(STRIDE) % COUNT;
                Self::lock(u16::try_from(number).unwrap())
            })
            .expect("a free port")
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 with this port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }

    fn lock(number: u16) -> Option<Self> {
        let directory = lock_directory();
        let file = File::create(directory.join(number.to_string())).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        TcpListener::bind(("0.0.0.0", number)).ok()?;
        Some(Self { number, _lock: Arc::new(file) })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(formatter)
    }
}

impl From<&Port> for u16 {
    fn from(port: &Port) -> Self {
        port.number
    }
}

/// Whether some process of this network listens on the port. Asked of the kernel, because a
/// connection made to find out would itself be balanced, counted and logged.
pub fn is_listening(port: u16) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let suffix = format!(":{port:04X}");
    tables.iter().flat_map(|table| table.lines()).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        let listens = fields.nth(1) == Some("0A");
        listens && local.ends_with(&suffix)
    })
}

fn lock_directory() -> PathBuf {
    // One for each user: a lock file of root's could not be opened by others.
    let user = rustix::process::geteuid().as_raw();
    let directory = std::env::temp_dir().join(format!("e2e-ports-{user}"));
    fs::create_dir_all(&directory).unwrap();
    directory
}
