//! What is known of a request's tries at servers: `$upstream_addr`, `$upstream_status` and their like.

use plan::rule::UpstreamFact;
use std::io::Write;
use std::time::Duration;

/// One try at a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Try {
    /// Whom it was at; the name of the pool when nobody was there.
    pub address: Box<str>,
    /// Status of the answer, or of the failure; 0 = none.
    pub status: u16,
    /// When it began, on the worker's clock.
    pub begun: Duration,
    /// Until the connection stood.
    pub connect: Option<Duration>,
    /// Until the head was there.
    pub header: Option<Duration>,
    /// Until its end.
    pub response: Option<Duration>,
    /// Bytes of the body.
    pub length: u64,
    /// Bytes from the server.
    pub received: u64,
    /// Bytes to it.
    pub sent: u64,
}

/// All tries of a request, by the visits to locations that made them.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    /// `None` stands between the tries of two locations.
    list: Vec<Option<Try>>,
}

impl Tries {
    /// Another location begins to try.
    pub fn begin_location(&mut self) {
        if !self.list.is_empty() {
            self.list.push(None);
        }
    }

    /// Another try.
    pub fn begin(&mut self, address: &str, now: Duration) {
        self.list.push(Some(Try { address: address.into(), begun: now, ..Try::default() }));
    }

    /// The try at hand.
    pub fn now(&mut self) -> Option<&mut Try> {
        self.list.last_mut()?.as_mut()
    }

    /// The value of a variable; `None` when no server was asked.
    pub fn fact(&self, fact: UpstreamFact) -> Option<Vec<u8>> {
        if self.list.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        let mut separator: &[u8] = b"";
        for one in &self.list {
            match one {
                None => separator = b" : ",
                Some(one) => {
                    out.extend_from_slice(separator);
                    one.write(fact, &mut out);
                    separator = b", ";
                }
            }
        }
        Some(out)
    }
}

impl Try {
    fn write(&self, fact: UpstreamFact, out: &mut Vec<u8>) {
        match fact {
            UpstreamFact::Address => out.extend_from_slice(self.address.as_bytes()),
            UpstreamFact::Status if self.status == 0 => out.push(b'-'),
            UpstreamFact::Status => number(self.status.into(), out),
            UpstreamFact::ConnectTime => seconds(self.connect, out),
            UpstreamFact::HeaderTime => seconds(self.header, out),
            UpstreamFact::ResponseTime => seconds(self.response, out),
            UpstreamFact::ResponseLength => number(self.length, out),
            UpstreamFact::BytesReceived => number(self.received, out),
            UpstreamFact::BytesSent => number(self.sent, out),
            // Those of streams and of the cache are answered by whoever has them.
            UpstreamFact::FirstByteTime
            | UpstreamFact::SessionTime
            | UpstreamFact::CacheStatus
            | UpstreamFact::CacheLastModified => out.push(b'-'),
        }
    }
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Seconds with milliseconds; `-` for what was not reached.
fn seconds(time: Option<Duration>, out: &mut Vec<u8>) {
    match time {
        // Into memory.
        Some(time) => drop(write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis())),
        None => out.push(b'-'),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tries_are_told_in_order_and_by_location() {
        let mut tries = Tries::default();
        assert_eq!(tries.fact(UpstreamFact::Status), None);
        tries.begin_location();
        tries.begin("10.0.0.1:80", Duration::from_secs(1));
        tries.now().unwrap().status = 502;
        tries.begin("10.0.0.2:80", Duration::from_secs(2));
        tries.begin_location();
        tries.begin("unix:/a", Duration::from_secs(3));
        let last = tries.now().unwrap();
        (last.status, last.connect, last.response) =
            (200, Some(Duration::from_millis(7)), Some(Duration::from_millis(1234)));
        let check = |fact, expected: &str| {
            let found = tries.fact(fact).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        };
        check(UpstreamFact::Address, "10.0.0.1:80, 10.0.0.2:80 : unix:/a");
        check(UpstreamFact::Status, "502, - : 200");
        check(UpstreamFact::ConnectTime, "-, - : 0.007");
        check(UpstreamFact::ResponseTime, "-, - : 1.234");
        check(UpstreamFact::ResponseLength, "0, 0 : 0");
    }
}
