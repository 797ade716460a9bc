//! The body of a request, read whole before a server is asked.

use super::spool::Spool;
use crate::client::{Conn, Interrupted};
use crate::exchange::Exchange;
use crate::local::Workspace;
use plan::host::{BodyFile, Client};
use std::rc::Rc;
use std::sync::Arc;
use telemetry::Cause;
use wire::http1::{BodyFraming, Chunk, Chunked};

/// Why a body could not be read.
#[derive(Clone, Copy)]
pub(super) enum Unread {
    /// The failure with this status is answered.
    Failed(u16),
    /// Nobody is there to be answered; the log has this status.
    Gone(u16),
}

/// Reads the body that the client sends, and keeps it with the visit. Does nothing when it was read before.
///
/// From then on the request has no body as far as its connection is concerned.
pub(super) async fn whole(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &mut Exchange,
) -> Result<(), Unread> {
    let Some(visit) = exchange.visit.as_deref() else { return Err(Unread::Failed(500)) };
    let framing = work.request.framing();
    if visit.proxy.body.is_some() || framing == BodyFraming::None {
        return Ok(());
    }
    let location = Arc::clone(&visit.location);
    let client = &location.settings.client;
    go_on(conn, work, exchange).await?;
    let mut intake = Intake { spool: Spool::default(), client };
    let read = match framing {
        BodyFraming::Length(length) => intake.length(conn, work, exchange, length).await,
        _ => intake.chunks(conn, work, exchange).await,
    };
    if let Err(unread) = read {
        exchange.body_spent = true;
        return Err(unread);
    }
    work.request.set_framing(BodyFraming::None);
    let mut spool = intake.spool;
    if client.body_file != BodyFile::WhenLarge && spool.path().is_none() && spool.length() > 0 {
        spool.move_to_file(&client.body_directory, client.body_file).map_err(|_| broken(exchange))?;
    }
    if let Some(visit) = exchange.visit.as_deref_mut() {
        visit.proxy.body = Some(Rc::new(spool));
    }
    Ok(())
}

/// Tells a client that waits for it to send its body.
pub(super) async fn go_on(conn: &mut Conn, work: &Workspace, exchange: &mut Exchange) -> Result<(), Unread> {
    if work.request.expects_continue() && !exchange.continued && work.buffer.is_empty() {
        exchange.continued = true;
        let before = exchange.bytes_out;
        let told = conn.write_all(b"HTTP/1.1 100 Continue\r\n\r\n", exchange).await;
        exchange.bytes_out = before;
        if !told {
            exchange.body_spent = true;
            return Err(Unread::Gone(499));
        }
    }
    Ok(())
}

struct Intake<'c> {
    spool: Spool,
    client: &'c Client,
}

impl Intake<'_> {
    async fn length(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
        length: u64,
    ) -> Result<(), Unread> {
        self.allow(exchange, length)?;
        let mut left = length;
        while left > 0 {
            if work.buffer.is_empty() {
                self.fill(conn, work, exchange).await?;
            }
            let n = usize::try_from(left).map_or(work.buffer.len(), |left| left.min(work.buffer.len()));
            self.keep(exchange, &work.buffer.bytes()[..n])?;
            work.buffer.consume(n);
            exchange.bytes_in += n as u64;
            left -= n as u64;
        }
        Ok(())
    }

    async fn chunks(
        &mut self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
    ) -> Result<(), Unread> {
        let mut decoder = Chunked::new();
        loop {
            while !work.buffer.is_empty() {
                let chunk = decoder.next(work.buffer.bytes()).map_err(|error| {
                    exchange.fail(Cause::BadRequest);
                    Unread::Failed(if error.status == 413 { 413 } else { 400 })
                })?;
                let used = match chunk {
                    Chunk::Need { consumed } | Chunk::End { consumed } => consumed,
                    Chunk::Data { skip, len } => {
                        self.allow(exchange, self.spool.length() + len as u64)?;
                        self.keep(exchange, &work.buffer.bytes()[skip..skip + len])?;
                        skip + len
                    }
                };
                work.buffer.consume(used);
                exchange.bytes_in += used as u64;
                if matches!(chunk, Chunk::End { .. }) {
                    return Ok(());
                }
            }
            self.fill(conn, work, exchange).await?;
        }
    }

    /// A body has its limit.
    fn allow(&self, exchange: &mut Exchange, length: u64) -> Result<(), Unread> {
        if self.client.body_max > 0 && length > self.client.body_max {
            exchange.fail(Cause::RequestTooBig);
            return Err(Unread::Failed(413));
        }
        Ok(())
    }

    fn keep(&mut self, exchange: &mut Exchange, bytes: &[u8]) -> Result<(), Unread> {
        let client = self.client;
        let kept = match (client.body_file, self.spool.path()) {
            (BodyFile::WhenLarge, _) | (_, Some(_)) => {
                self.spool.append(bytes, client.body_memory, &client.body_directory)
            }
            (life, None) => self
                .spool
                .move_to_file(&client.body_directory, life)
                .and_then(|()| self.spool.append(bytes, client.body_memory, &client.body_directory)),
        };
        kept.map_err(|_| broken(exchange))
    }

    /// Reads from the client, which may be silent for a while.
    async fn fill(
        &self,
        conn: &mut Conn,
        work: &mut Workspace,
        exchange: &mut Exchange,
    ) -> Result<(), Unread> {
        conn.deadline.set(Some(self.client.body_timeout));
        match conn.fill(work).await {
            Ok(n) if n > 0 => Ok(()),
            Ok(_) | Err(Interrupted::Io) => {
                exchange.client_left = true;
                exchange.fail(Cause::ClientAbortRequest);
                Err(Unread::Gone(400))
            }
            Err(Interrupted::Fired(_)) => {
                exchange.fail(Cause::RequestTimeout);
                Err(Unread::Gone(408))
            }
        }
    }
}

/// The body could not be kept: no room, no right to write.
fn broken(exchange: &mut Exchange) -> Unread {
    exchange.fail(Cause::Internal);
    Unread::Failed(500)
}
