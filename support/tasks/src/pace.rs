//! How fast bytes may leave: so many a second, after some that may leave at once.
//!
//! [`Pace`] decides, [`Paced`] is a stream that waits. Used by `web` for answers whose rate is limited; what has no
//! limit is never wrapped.

use crate::{Stream, clock};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A rate, and what has left so far. A second's worth may leave at once, so that there are few and full packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second; above 0.
    rate: u64,
    /// Bytes that leave before it counts.
    after: u64,
    /// When it began, on the worker's clock.
    began: Duration,
    /// Bytes that have left.
    sent: u64,
}

/// What may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes, at least one.
    Bytes(u64),
    /// Nothing for so long.
    Wait(Duration),
}

impl Pace {
    /// A pace from now on; `None` when `rate` is 0, which means no limit.
    pub fn new(rate: u64, after: u64, now: Duration) -> Option<Pace> {
        (rate > 0).then_some(Pace { rate, after, began: now, sent: 0 })
    }

    /// What may leave at `now`.
    pub fn turn(&self, now: Duration) -> Turn {
        let elapsed = now.saturating_sub(self.began).as_millis();
        let elapsed_ms = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1000);
        let earned = self.rate.saturating_mul(elapsed_ms) / 1000;
        let allowed = earned.saturating_add(self.after);
        match allowed.checked_sub(self.sent) {
            Some(bytes) if bytes > 0 => Turn::Bytes(bytes),
            _ => Turn::Wait(
                Duration::from_millis((self.sent - allowed).saturating_mul(1000) / self.rate)
                    .saturating_add(Duration::from_millis(1)),
            ),
        }
    }

    /// So many bytes left. Gives how long to wait before the next ones: what left in one go shall take its time.
    pub fn sent(&mut self, bytes: u64) -> Duration {
        let before = self.sent.saturating_sub(self.after);
        self.sent = self.sent.saturating_add(bytes);
        let counted = self.sent.saturating_sub(self.after) - before;
        Duration::from_millis(counted.saturating_mul(1000) / self.rate)
    }
}

/// A pace with its alarm clock.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pacer {
    /// One that begins now; `None` without a limit.
    pub fn new(rate: u64, after: u64) -> Option<Pacer> {
        Pace::new(rate, after, clock::exact()).map(|pace| Pacer { pace, sleep: None })
    }

    /// True while it waits for its time: the other side is not to blame for the silence.
    pub fn is_waiting(&self) -> bool {
        self.sleep.is_some()
    }

    /// How many bytes may leave now; pending while none may.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.pace.turn(clock::exact()) {
                Turn::Bytes(bytes) => return Poll::Ready(bytes),
                Turn::Wait(time) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
            }
        }
    }

    /// So many bytes left.
    pub fn sent(&mut self, bytes: u64) {
        let time = self.pace.sent(bytes);
        if !time.is_zero() {
            self.sleep = Some(Box::pin(tokio::time::sleep(time)));
        }
    }
}

/// A stream whose bytes leave at a pace. Reading is not touched.
#[derive(Debug)]
pub struct Paced<'a> {
    stream: &'a mut Stream,
    pacer: &'a mut Pacer,
}

impl<'a> Paced<'a> {
    /// This stream, at this pace.
    pub fn new(stream: &'a mut Stream, pacer: &'a mut Pacer) -> Paced<'a> {
        Paced { stream, pacer }
    }
}

impl AsyncRead for Paced<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Paced<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let may = usize::try_from(ready!(self.pacer.poll_turn(cx))).unwrap_or(usize::MAX);
        let part = &bytes[..bytes.len().min(may)];
        let written = ready!(Pin::new(&mut *self.stream).poll_write(cx, part))?;
        self.pacer.sent(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = parts.iter().find(|part| !part.is_empty());
        self.poll_write(cx, first.map_or(&[], |part| part))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_second_ahead_and_no_more() {
        let start = Duration::from_secs(100);
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(1000, 500, start).unwrap();
        assert_eq!(pace.turn(at(0)), Turn::Bytes(1500));
        assert_eq!(pace.sent(500), Duration::ZERO, "what may leave before costs no time");
        assert_eq!(pace.sent(1000), Duration::from_secs(1));
        assert_eq!(pace.turn(at(0)), Turn::Wait(Duration::from_millis(1)));
        assert_eq!(pace.turn(at(1000)), Turn::Bytes(1000));
        pace.sent(3000);
        assert_eq!(pace.turn(at(1000)), Turn::Wait(Duration::from_millis(2001)));
        assert_eq!(Pace::new(0, 500, start), None);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut pace = Pace::new(u64::MAX, u64::MAX, Duration::ZERO).unwrap();
        assert_eq!(pace.turn(Duration::MAX), Turn::Bytes(u64::MAX));
        pace.sent(u64::MAX);
        pace.sent(u64::MAX);
        let mut slow = Pace::new(1, 0, Duration::ZERO).unwrap();
        slow.sent(u64::MAX);
        assert!(matches!(slow.turn(Duration::ZERO), Turn::Wait(_)));
    }
}
