//! The native file, `mainstay.yaml`: reader and the writer behind `mainstay convert`.
//!
//! Nothing is here yet: [`crate::read`] answers such a file with a problem. The reader will turn the
//! file into a [`plan::Draft`] as the other dialects do; the writer will turn a [`plan::Plan`] back into
//! the briefest file that says the same.
