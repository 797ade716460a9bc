//! Settings of the whole process.

use crate::compression::CompressionLimits;
use crate::listener::BindAddress;
use crate::log::LogTarget;
use crate::place::Place;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the whole process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Worker threads; `None` = one per usable core.
    pub threads: Option<u16>,
    /// Connections at once over all listeners; `None` = from the descriptor limit.
    pub max_connections: Option<u32>,
    /// Connections at once for each worker thread, as far as descriptors allow; `None` = no such limit.
    pub connections_per_thread: Option<u32>,
    /// Client connections that may begin in a second; `None` = no limit.
    pub connection_rate: Option<u32>,
    /// Sessions that may begin in a second; `None` = no limit.
    pub session_rate: Option<u32>,
    /// User to become after binding.
    pub user: Option<String>,
    /// Group to become after binding.
    pub group: Option<String>,
    /// Directory to confine the process to after binding.
    pub chroot: Option<PathBuf>,
    /// File that holds the process id while running.
    pub pid_file: Option<PathBuf>,
    /// True when the file asks to leave the foreground (honoured by the `haproxy` command line only).
    pub daemon: bool,
    /// Runtime sockets.
    pub runtime_sockets: Vec<RuntimeSocket>,
    /// Time after which an idle runtime connection is closed.
    pub runtime_timeout: Option<Duration>,
    /// Log targets that proxies may ask for by `log global`.
    pub logs: Vec<LogTarget>,
    /// Tag of log lines; `None` = program name.
    pub log_tag: Option<String>,
    /// Host name in log lines: `None` = left out, empty = the machine's.
    pub log_hostname: Option<String>,
    /// Node name of the statistics page; `None` = host name.
    pub node: Option<String>,
    /// Description of the statistics page.
    pub description: Option<String>,
    /// Longest graceful stop; `None` = until the last connection ends.
    pub hard_stop_after: Option<Duration>,
    /// Connections that were there before a reload are cut off after this time; `None` = they go on.
    pub cut_after_reload: Option<Duration>,
    /// Random part of check intervals, percent.
    pub spread_checks_percent: u8,
    /// Largest request or response head, bytes; `None` = the codec's default.
    pub head_bytes: Option<usize>,
    /// Idle server connections serve only requests of the worker that opened them.
    pub own_idle_connections: bool,
    /// Effort and limits of compression.
    pub compression: CompressionLimits,
    /// Descriptor limit asked for.
    pub descriptors: Option<u64>,
    /// Prometheus listener of its own (`address` → path `/metrics`), from the native file.
    pub metrics: Vec<BindAddress>,
}

/// A socket that takes runtime commands.
#[derive(Clone, Debug)]
pub struct RuntimeSocket {
    /// Where it was said.
    pub place: Place,
    /// Address: a unix path, a TCP address or an inherited descriptor.
    pub address: BindAddress,
    /// What its users may do.
    pub level: RuntimeLevel,
    /// Permissions of a unix socket.
    pub mode: Option<u32>,
    /// Owner of a unix socket.
    pub user: Option<String>,
    /// Group of a unix socket.
    pub group: Option<String>,
}

/// Rights on a runtime socket, each including the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RuntimeLevel {
    /// Read-only, without sensitive details.
    User,
    /// Read-only, all.
    #[default]
    Operator,
    /// Everything.
    Admin,
}

impl Process {
    /// Takes over what `other` says; lists add up.
    pub fn merge(&mut self, other: Process) {
        fn take<T>(mine: &mut Option<T>, theirs: Option<T>) {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        take(&mut self.threads, other.threads);
        take(&mut self.max_connections, other.max_connections);
        take(&mut self.connections_per_thread, other.connections_per_thread);
        take(&mut self.connection_rate, other.connection_rate);
        take(&mut self.session_rate, other.session_rate);
        take(&mut self.user, other.user);
        take(&mut self.group, other.group);
        take(&mut self.chroot, other.chroot);
        take(&mut self.pid_file, other.pid_file);
        take(&mut self.runtime_timeout, other.runtime_timeout);
        take(&mut self.log_tag, other.log_tag);
        take(&mut self.log_hostname, other.log_hostname);
        take(&mut self.node, other.node);
        take(&mut self.description, other.description);
        take(&mut self.hard_stop_after, other.hard_stop_after);
        take(&mut self.cut_after_reload, other.cut_after_reload);
        take(&mut self.head_bytes, other.head_bytes);
        take(&mut self.descriptors, other.descriptors);
        if other.compression != CompressionLimits::default() {
            self.compression = other.compression;
        }
        self.daemon |= other.daemon;
        self.own_idle_connections |= other.own_idle_connections;
        self.spread_checks_percent = self.spread_checks_percent.max(other.spread_checks_percent);
        self.runtime_sockets.extend(other.runtime_sockets);
        self.logs.extend(other.logs);
        self.metrics.extend(other.metrics);
    }
}
