//! How heads of requests are read where hosts share a bind.

use super::HostsOfBind;
use std::time::Duration;

/// How heads of requests are read for a host (nginx: `large_client_header_buffers`, `ignore_invalid_headers` and their
/// neighbours). Whose words count before the host is known: [`HostsOfBind::heads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Bytes of a head before larger buffers are taken.
    pub first: usize,
    /// So many larger buffers.
    pub buffers: usize,
    /// Bytes of each of them, and of the longest line.
    pub buffer: usize,
    /// Fields at the most.
    pub fields: usize,
    /// Which names of fields count.
    pub names: FieldNames,
    /// Slashes that follow each other in a path are one. Those of the default host count: the target is read first.
    pub merge_slashes: bool,
    /// From the first byte of a head to its end.
    pub timeout: Duration,
}

/// Which names of request fields count; the others are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldNames {
    /// Letters, digits and `-`.
    #[default]
    Plain,
    /// `_` too.
    Underscores,
    /// All tokens.
    All,
}

impl Default for Heads {
    fn default() -> Self {
        Heads {
            first: 1 << 10,
            buffers: 4,
            buffer: 8 << 10,
            fields: 1000,
            names: FieldNames::default(),
            merge_slashes: true,
            timeout: Duration::from_secs(60),
        }
    }
}

impl Heads {
    /// Bytes of a whole head at the most.
    pub fn bytes(&self) -> usize {
        self.first.saturating_add(self.buffers.saturating_mul(self.buffer))
    }

    /// Bytes of a line with its end at the most.
    pub fn line(&self) -> usize {
        self.first.max(self.buffer)
    }
}

impl HostsOfBind {
    /// What counts before the host is known: the words of the default host, and of sizes the largest of all hosts,
    /// because the head may turn out to be for that one. Look again once the host is known.
    pub fn heads(&self) -> Heads {
        let mut heads = self.default.heads;
        for host in self.names.values() {
            heads.first = heads.first.max(host.heads.first);
            heads.buffers = heads.buffers.max(host.heads.buffers);
            heads.buffer = heads.buffer.max(host.heads.buffer);
            heads.fields = heads.fields.max(host.heads.fields);
        }
        heads
    }
}
