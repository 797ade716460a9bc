//! What connections of clients do, counted exactly (nginx: `stub_status`).

use super::{Reply, reply};
use crate::local::Site;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

/// Connections that read or are answered now, of all sites with virtual hosts.
#[derive(Debug, Default)]
pub struct Visitors {
    reading: AtomicI64,
    writing: AtomicI64,
}

/// One moment's counts.
pub(crate) struct Counts {
    pub active: i64,
    pub reading: i64,
    pub writing: i64,
    pub waiting: i64,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Reading,
    Writing,
}

/// Counts a connection while it does something.
pub(crate) struct Busy {
    process: std::sync::Arc<crate::local::Process>,
    doing: Doing,
}

impl Busy {
    /// From now on it reads a head.
    pub fn reads(process: &std::sync::Arc<crate::local::Process>) -> Busy {
        process.visitors.reading.fetch_add(1, Relaxed);
        Busy { process: std::sync::Arc::clone(process), doing: Doing::Reading }
    }

    /// From now on it is answered.
    pub fn writes(&mut self) {
        if self.doing == Doing::Reading {
            self.doing = Doing::Writing;
            self.process.visitors.reading.fetch_sub(1, Relaxed);
            self.process.visitors.writing.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let visitors = &self.process.visitors;
        let counter = if self.doing == Doing::Reading { &visitors.reading } else { &visitors.writing };
        counter.fetch_sub(1, Relaxed);
    }
}

/// Counts of a site now.
pub(crate) fn counts(site: &Site) -> Counts {
    let visitors = &site.process.visitors;
    let (active, reading) = (i64::from(site.stats.current.now()), visitors.reading.load(Relaxed));
    let writing = visitors.writing.load(Relaxed);
    Counts { active, reading, writing, waiting: (active - reading - writing).max(0) }
}

/// The page, in the lines that monitoring scripts read.
pub(super) fn page(site: &Site) -> Reply {
    let counts = counts(site);
    let accepted = site.stats.sum(|cell| &cell.sessions);
    let requests = site.stats.sum(|cell| &cell.requests);
    let body = format!(
        "Active connections: {} \nserver accepts handled requests\n {accepted} {accepted} {requests} \n\
         Reading: {} Writing: {} Waiting: {} \n",
        counts.active, counts.reading, counts.writing, counts.waiting
    );
    let mut head = reply::head(200);
    head.fields.append(b"Content-Type", b"text/plain");
    Reply::new(head, body.into_bytes())
}
