//! Health checks: what is asked, how often, and when the answer counts.

use crate::listener::ProxyVersion;
use regex::bytes::Regex;
use std::net::IpAddr;
use std::time::Duration;

/// Schedule and address of a server's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Time between checks of a server whose state is settled.
    pub interval: Duration,
    /// Time between checks while the state is changing; `None` = `interval`.
    pub fast_interval: Option<Duration>,
    /// Time between checks while down; `None` = `interval`.
    pub down_interval: Option<Duration>,
    /// Passed checks in a row that make a down server up. At least 1.
    pub rise: u32,
    /// Failed checks in a row that make an up server down. At least 1.
    pub fall: u32,
    /// Address to check instead of the server's.
    pub address: Option<IpAddr>,
    /// Port to check instead of the server's.
    pub port: Option<u16>,
    /// PROXY protocol header before the check.
    pub send_proxy: Option<ProxyVersion>,
}

impl Default for Check {
    fn default() -> Check {
        Check {
            interval: Duration::from_secs(2),
            fast_interval: None,
            down_interval: None,
            rise: 2,
            fall: 3,
            address: None,
            port: None,
            send_proxy: None,
        }
    }
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub enum Probe {
    /// A TCP connection is enough.
    Tcp,
    /// HTTP requests and expectations, in order.
    Http(Vec<HttpCheckStep>),
    /// PostgreSQL start-up packet for this user; any authentication request passes.
    Postgres {
        /// User named in the start-up packet.
        user: String,
    },
    /// Redis `PING`, answered by `+PONG`.
    Redis,
}

/// One step of an HTTP check.
#[derive(Clone, Debug)]
pub enum HttpCheckStep {
    /// Send a request.
    Send(HttpCheckRequest),
    /// Judge the answer.
    Expect(HttpExpect),
}

/// Request of an HTTP check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheckRequest {
    /// Method.
    pub method: String,
    /// Target.
    pub target: String,
    /// Minor version: 0 or 1 of HTTP/1.x.
    pub minor: u8,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Default for HttpCheckRequest {
    fn default() -> HttpCheckRequest {
        HttpCheckRequest {
            method: "OPTIONS".into(),
            target: "/".into(),
            minor: 0,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// Expectation on the answer of an HTTP check.
#[derive(Clone, Debug)]
pub struct HttpExpect {
    /// The match is turned round.
    pub negate: bool,
    /// What is looked at.
    pub what: HttpExpectation,
}

/// What an HTTP check looks at. Without any expectation 2xx and 3xx pass.
#[derive(Clone, Debug)]
pub enum HttpExpectation {
    /// Status in one of these ranges, both ends included.
    Status(Vec<(u16, u16)>),
    /// Status text matches.
    StatusRegex(Regex),
    /// Body contains these bytes.
    Body(Vec<u8>),
    /// Body matches.
    BodyRegex(Regex),
}

/// Agent check: a text protocol by which a server tells its own weight and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCheck {
    /// Port of the agent.
    pub port: u16,
    /// Address of the agent; `None` = the server's.
    pub address: Option<IpAddr>,
    /// Time between checks.
    pub interval: Duration,
    /// Text sent after connecting.
    pub send: Option<Vec<u8>>,
}
