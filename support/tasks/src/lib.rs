//! What a task on a worker stands on: streams, deadlines, buffers, a cheap clock. No protocol knowledge.
//!
//! A worker is one thread with one current-thread runtime. Nothing here is shared between workers.

pub mod buffer;
pub mod clock;
pub mod copy;
pub mod deadline;
pub mod file;
pub mod pace;
pub mod stream;

pub use buffer::{Buffer, Buffers};
pub use deadline::{Deadline, Deadlines, Fired};
pub use file::FilePart;
pub use pace::{Paced, Pacer};
pub use stream::Stream;

use std::rc::Rc;

/// One worker's own things. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    /// Its number, from 0: the index of its counters.
    pub index: usize,
    /// Deadlines of its connections.
    pub deadlines: Deadlines,
    /// Buffers not in use.
    pub buffers: Rc<Buffers>,
    /// Pipes not in use.
    pub pipes: Rc<copy::Pipes>,
}

impl Worker {
    /// A worker; call from its thread, then run [`Deadlines::sweep`] there as a task.
    pub fn new(index: usize) -> Worker {
        Worker { index, deadlines: Deadlines::default(), buffers: Rc::default(), pipes: Rc::default() }
    }
}
