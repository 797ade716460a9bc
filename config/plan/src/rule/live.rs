//! Facts about what runs now: the connection, pools and servers, and the first bytes of a TCP connection.

/// A fact without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Name of the bind that took the connection.
    BindName,
    /// Number of that bind, from 1.
    BindId,
    /// Number of the site.
    SiteId,
    /// Name of the site's pool without a matching route.
    SiteDefaultPool,
    /// Milliseconds a client may be silent.
    SiteClientTimeout,
    /// Number of the server.
    ServerId,
    /// Address of the server.
    ServerAddress,
    /// Port of the server.
    ServerPort,
    /// Address used towards the server.
    PoolAddress,
    /// Port used towards the server.
    PoolPort,
    /// A random UUID (version 4).
    Uuid,
    /// The client is on this machine.
    ClientIsLocal,
    /// The client connected from this machine to itself.
    LocalIsLocal,
    /// Lines of the request's head, each with its end, and the empty line.
    RequestLines,
    /// The same of the response.
    ResponseLines,
    /// Microseconds of the current second.
    DateMicroseconds,
    /// Number of this process.
    ProcessId,
    /// Major version of HTTP towards the client.
    HttpMajor,
}

/// What of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFact {
    /// Its number.
    Id,
    /// Requests or connections in progress.
    Connections,
    /// Requests waiting, at servers too.
    Queue,
    /// Requests waiting per usable server, rounded up.
    AverageQueue,
    /// Connections that servers may still take; -1 without a limit.
    FreeConnections,
    /// Places and places in queues that are free; -1 without a limit.
    FreeSlots,
    /// Milliseconds a server may be silent.
    ServerTimeout,
    /// Milliseconds a tunnel may be silent.
    TunnelTimeout,
}

/// What of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFact {
    /// Connections in progress.
    Connections,
    /// Connections it may still take; -1 without a limit.
    FreeConnections,
    /// It is up.
    IsUp,
    /// Requests that wait for it.
    Queue,
    /// Weight that counts now.
    Weight,
    /// Weight of the configuration.
    InitialWeight,
    /// Weight asked for by an operator or the configuration.
    UserWeight,
}

/// Something of the first bytes that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlyFetch {
    /// Bytes from an offset; a length of 0 means all that are there.
    Payload {
        /// Offset.
        offset: usize,
        /// Length.
        length: usize,
    },
    /// Bytes behind their length.
    Counted {
        /// Where the length stands.
        offset: usize,
        /// How many bytes it takes.
        size: usize,
        /// Where the bytes stand; `None` = behind the length. Relative to the end of the length when the flag
        /// says so.
        at: Option<(i64, bool)>,
    },
    /// 1 for a TLS greeting of a client, 2 for one of a server.
    HelloKind,
    /// Version of the greeting: major * 65536 + minor.
    HelloVersion,
    /// The newest protocol that the greeting offers: `TLSv1.3`, `TLSv1.2`, …, `SSLv3`.
    HelloProtocol,
    /// Name of the server that the greeting asks for.
    HelloServerName,
    /// Protocols that the greeting offers, with commas.
    HelloProtocols,
    /// 0 without the extension of session tickets, 1 when it is empty, 2 with a ticket.
    HelloTicket,
    /// True with the extension of elliptic curves.
    HelloCurves,
    /// A cookie of the Remote Desktop Protocol, of any name or this one.
    RdpCookie(Option<Box<[u8]>>),
}

impl EarlyFetch {
    /// Bytes of a payload, when all are there.
    pub fn slice<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        match self {
            EarlyFetch::Payload { offset, length: 0 } => bytes.get(*offset..).filter(|b| !b.is_empty()),
            EarlyFetch::Payload { offset, length } => bytes.get(*offset..offset.checked_add(*length)?),
            EarlyFetch::Counted { offset, size, at } => {
                let end = offset.checked_add(*size)?;
                let length = bytes
                    .get(*offset..end)?
                    .iter()
                    .try_fold(0usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)))?;
                let from = match at {
                    None => end,
                    Some((at, true)) => usize::try_from(i64::try_from(end).ok()?.checked_add(*at)?).ok()?,
                    Some((at, false)) => usize::try_from(*at).ok()?,
                };
                bytes.get(from..from.checked_add(length)?)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_cut_from_what_is_there() {
        let check = |fetch: EarlyFetch, expected: Option<&[u8]>| {
            assert_eq!(fetch.slice(b"\x00\x03abcdef"), expected, "{fetch:?}");
        };
        check(EarlyFetch::Payload { offset: 2, length: 3 }, Some(b"abc"));
        check(EarlyFetch::Payload { offset: 6, length: 0 }, Some(b"ef"));
        check(EarlyFetch::Payload { offset: 8, length: 0 }, None);
        check(EarlyFetch::Payload { offset: 6, length: 3 }, None);
        check(EarlyFetch::Payload { offset: usize::MAX, length: usize::MAX }, None);
        check(EarlyFetch::Counted { offset: 0, size: 2, at: None }, Some(b"abc"));
        check(EarlyFetch::Counted { offset: 0, size: 2, at: Some((1, true)) }, Some(b"bcd"));
        check(EarlyFetch::Counted { offset: 0, size: 2, at: Some((4, false)) }, Some(b"cde"));
        check(EarlyFetch::Counted { offset: 0, size: 2, at: Some((-9, true)) }, None);
        check(EarlyFetch::Counted { offset: 0, size: 200, at: None }, None);
    }
}
