//! Health checks: what is asked, how often, and when the answer counts.

use crate::listener::ProxyVersion;
use crate::rule::{Expr, Scope, Template};
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
    /// Questions and expectations, in order.
    Script(Script),
    /// PostgreSQL start-up packet for this user; any authentication request passes.
    Postgres {
        /// User named in the start-up packet.
        user: String,
    },
    /// Redis `PING`, answered by `+PONG`.
    Redis,
    /// MySQL: its greeting is read, and a user logs in and leaves again when one is named.
    Mysql(Option<MysqlLogin>),
    /// SMTP: greeting, `HELO` or `EHLO`, `QUIT`.
    Smtp {
        /// `HELO localhost`, without the end of the line.
        hello: String,
    },
    /// LDAPv3: an anonymous bind.
    Ldap,
    /// A TLS ClientHello, answered by a ServerHello or an alert.
    TlsHello,
    /// A program that judges by its exit status.
    Program(CheckProgram),
}

/// How a MySQL check logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlLogin {
    /// User, who has no password.
    pub user: String,
    /// Which form of the login packet.
    pub protocol: MysqlProtocol,
}

/// Forms of MySQL's login packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MysqlProtocol {
    /// Before MySQL 4.1.
    Old,
    /// Since MySQL 4.1.
    #[default]
    V41,
    /// The same, naming the plug-in `mysql_native_password`.
    V80,
}

/// A program that is run as a check, without a shell. It is told of the server by its arguments (address and port of
/// the site, address and port of the server) and by variables; exit status 0 passes. It is killed at the time-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckProgram {
    /// The program.
    pub command: String,
    /// Its `PATH`; empty without one.
    pub path: String,
    /// It inherits our environment, which is kept from it otherwise.
    pub keep_environment: bool,
    /// Address and port of the first listener, where the pool is one half of a section with listeners.
    pub listener: Option<(String, String)>,
}

/// Questions and expectations of a check, in order. Without a connecting step first, it connects where traffic goes.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What is spoken.
    pub protocol: ScriptProtocol,
    /// The steps. After the last question of an HTTP script without an expectation, 2xx and 3xx are expected.
    pub steps: Vec<Step>,
    /// Requests tell the server's state in a header `X-Haproxy-Server-State`.
    pub send_state: bool,
    /// A 404 means: only requests bound to this server by persistence.
    pub stop_on_404: bool,
}

/// What the steps of a check speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScriptProtocol {
    /// Bytes.
    Bytes,
    /// HTTP/1.x.
    #[default]
    Http,
}

/// A step of a check.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub act: StepAct,
    /// A word for the log when it fails here.
    pub comment: Option<String>,
}

impl From<StepAct> for Step {
    fn from(act: StepAct) -> Step {
        Step { act, comment: None }
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepAct {
    /// Opens a connection, closing the one before.
    Connect(CheckConnect),
    /// Sends bytes.
    Send(Template),
    /// Sends the bytes that a text of hexadecimal digits stands for.
    SendHex(Template),
    /// Sends an HTTP request.
    Request(HttpCheckRequest),
    /// Judges what came.
    Expect(Expect),
    /// Sets a variable from an expression.
    Set(Scope, Box<str>, Expr),
    /// Sets a variable from a template.
    SetText(Scope, Box<str>, Template),
    /// Removes a variable.
    Unset(Scope, Box<str>),
    /// Nothing: it only counts as a step.
    Remark,
}

/// Where a step connects.
#[derive(Clone, Debug, Default)]
pub struct CheckConnect {
    /// As the server's own checks do, where nothing else is said.
    pub as_server: bool,
    /// Address instead of the server's.
    pub address: Option<IpAddr>,
    /// Port instead of the server's.
    pub port: Option<Expr>,
    /// PROXY protocol header first, text form.
    pub send_proxy: bool,
    /// Closes in the regular way, not by a reset.
    pub linger: bool,
}

/// Request of an HTTP check.
#[derive(Clone, Debug)]
pub struct HttpCheckRequest {
    /// Method.
    pub method: String,
    /// Target; `/` when it comes out empty.
    pub target: Template,
    /// Minor version: 0 or 1 of HTTP/1.x.
    pub minor: u8,
    /// Header fields in order.
    pub headers: Vec<(String, Template)>,
    /// Body.
    pub body: Template,
}

impl Default for HttpCheckRequest {
    fn default() -> HttpCheckRequest {
        HttpCheckRequest {
            method: "OPTIONS".into(),
            target: Template::fixed("/"),
            minor: 0,
            headers: Vec::new(),
            body: Template::default(),
        }
    }
}

/// Expectation on what a server sent since the last question; in HTTP scripts, on its answer.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The match is turned round.
    pub negate: bool,
    /// What is looked at.
    pub what: Expectation,
    /// Bytes that must be there before it is judged for good; `None` = it waits for a match until the server closes.
    pub least: Option<u32>,
    /// What a check that ends well here is called.
    pub passes_as: PassAs,
    /// What a failure is called; `None` = as the expectation has it.
    pub fails_as: Option<FailAs>,
    /// What a time-out is called.
    pub late_as: LateAs,
    /// Text of the log when it ends well here.
    pub on_success: Option<Template>,
    /// Text of the log when it fails.
    pub on_error: Option<Template>,
    /// Code of the log.
    pub code: Option<Expr>,
}

impl From<Expectation> for Expect {
    fn from(what: Expectation) -> Expect {
        Expect {
            negate: false,
            what,
            least: None,
            passes_as: PassAs::Layer7,
            fails_as: None,
            late_as: LateAs::Layer7,
            on_success: None,
            on_error: None,
            code: None,
        }
    }
}

/// What a check looks at: all bytes, or the body of an HTTP answer, where nothing else is said.
#[derive(Clone, Debug)]
pub enum Expectation {
    /// HTTP status in one of these ranges, both ends included.
    Status(Vec<(u16, u16)>),
    /// HTTP status as text matches.
    StatusRegex(Regex),
    /// An HTTP header field.
    Header(HeaderExpectation),
    /// Contains this text.
    Text(Vec<u8>),
    /// The same, told in hexadecimal.
    Binary(Vec<u8>),
    /// Matches.
    Regex(Regex),
    /// Its hexadecimal digits (upper case) match.
    HexRegex(Regex),
    /// Contains this text.
    Template(Template),
    /// Contains the bytes that a text of hexadecimal digits stands for.
    HexTemplate(Template),
}

/// A header field that must be there.
#[derive(Clone, Debug)]
pub struct HeaderExpectation {
    /// Name; letters compare without case.
    pub name: TextExpectation,
    /// Value; any will do without it.
    pub value: Option<TextExpectation>,
    /// True: whole lines count as values. False: lines are split at commas.
    pub whole_line: bool,
}

/// How a text is compared.
#[derive(Clone, Debug)]
pub enum TextExpectation {
    /// With a text that may hold values.
    Text(crate::rule::TextMatch, Template),
    /// With an expression.
    Regex(Regex),
}

/// What a passed check is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassAs {
    /// Connected.
    Layer4,
    /// Secured.
    Layer6,
    /// The answer is right.
    #[default]
    Layer7,
    /// The answer is right for requests bound by persistence only.
    Conditional,
}

/// What a failed check is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAs {
    /// Not connected.
    Layer4,
    /// Not secured.
    Layer6,
    /// The answer is not valid.
    Invalid,
    /// The answer says no.
    WrongStatus,
    /// It passes, for requests bound by persistence only.
    Conditional,
}

/// What a check that came to no end is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateAs {
    /// Not connected in time.
    Layer4,
    /// Not secured in time.
    Layer6,
    /// Not answered in time.
    #[default]
    Layer7,
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
