//! What happened with each name server, for `show resolvers`. Written by the task, read by whoever wants a page.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($field:ident: $doc:literal),* $(,)?) => {
        /// Counters of one name server at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $(#[doc = $doc] pub $field: u64,)*
        }

        /// The same while they run.
        #[derive(Debug, Default)]
        pub(crate) struct Running {
            $(pub(crate) $field: AtomicU64,)*
        }

        impl Running {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($field: self.$field.load(Relaxed),)* }
            }
        }
    };
}

counts! {
    sent: "Questions sent.",
    send_errors: "Questions that could not be sent.",
    valid: "Good answers.",
    updates: "Good answers that changed a server.",
    missing: "Answers that the name, or such records of it, do not exist.",
    silent: "Questions without an answer in time.",
    refused: "Answers that refuse.",
    other: "Other failures.",
    invalid: "Bytes that were no answer to the question.",
    cut: "Answers that did not fit and were asked for again over a connection.",
    late: "Answers after another name server's.",
}

/// A name server and what happened with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServerCounts {
    /// Group.
    pub resolvers: String,
    /// Name server.
    pub name: String,
    /// Its counters.
    pub counts: Counts,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
