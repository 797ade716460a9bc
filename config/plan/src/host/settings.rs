//! What counts for requests in a location, besides steps and content.

use super::{Delivery, Expires, Step, Symlinks};
use crate::limit::Limits;
use crate::network::Network;
use crate::rule::Template;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All settings of a location, inherited and merged.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where files are.
    pub root: Root,
    /// Files of a directory.
    pub index: Index,
    /// Content types by the end of a file's name.
    pub types: Arc<Types>,
    /// Paths that are tried before the content.
    pub try_files: Option<Arc<TryFiles>>,
    /// What answers failures.
    pub error_pages: Arc<[ErrorPage]>,
    /// Failures on the way to an error page get its error page too (`recursive_error_pages`).
    pub recursive_error_pages: bool,
    /// How often and how many at once may ask; `None` = without limit.
    pub limits: Option<Arc<Limits>>,
    /// Who may come in, by address.
    pub access: Arc<[AccessRule]>,
    /// Whether one way in is enough.
    pub satisfy: Satisfy,
    /// Name and password.
    pub basic_auth: Option<Arc<BasicAuth>>,
    /// Another request of ours decides.
    pub subrequest: Option<Arc<Subrequest>>,
    /// Who may tell the client's address.
    pub real_ip: Option<Arc<RealIp>>,
    /// Fields added to answers.
    pub headers: Arc<AnswerHeaders>,
    /// How answers leave.
    pub delivery: Arc<Delivery>,
    /// The client's side.
    pub client: Client,
    /// How redirects of ours look.
    pub redirects: Redirects,
    /// What we call ourselves.
    pub server: ServerHeader,
    /// Where requests are logged.
    pub logs: Arc<[AccessLog]>,
    /// Where lines about requests go: an index into [`Hosts::error_logs`](super::Hosts::error_logs).
    pub error_log: Option<u16>,
    /// A missing file is told in the error log.
    pub log_missing: bool,
    /// Field that tells the cause of a failure at a server (`mainstay_cause_header`); empty = none.
    pub cause_header: Box<str>,
}

/// An access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where to.
    pub to: AccessTarget,
    /// A line.
    pub line: Template,
    /// Only when this text is neither empty nor `0`.
    pub when: Option<Template>,
}

/// Where the lines of an access log go.
#[derive(Clone, Debug)]
pub enum AccessTarget {
    /// A target that is always open: an index into [`Hosts::access_logs`](super::Hosts::access_logs).
    Open(u16),
    /// A file whose path is made for each request.
    Made(Template, KeepOpen),
}

/// How long files stay open whose paths are made for each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepOpen {
    /// Files at the most; 0 = each is closed after its line.
    pub most: usize,
    /// A file that was not used for so long is closed.
    pub inactive: Duration,
    /// A file is opened again after so long, because another one may stand in its place.
    pub valid: Duration,
    /// Lines until a file is worth keeping open.
    pub uses: u32,
}

/// Where files are.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// The directory; relative ones were made absolute.
    pub path: Template,
    /// So many bytes of the path are replaced by it (`alias`: the length of the location's path); in a location with an
    /// expression all of it ([`Root::WHOLE`]).
    pub alias: Option<usize>,
    /// What symbolic links below may do.
    pub symlinks: Symlinks,
    /// Links in this beginning of the path are followed all the same.
    pub free: Option<Template>,
}

impl Root {
    /// The alias of a location with an expression: it replaces the whole path.
    pub const WHOLE: usize = usize::MAX;
}

/// Files of a directory.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Names that are tried in order; one that begins with `/` is a path of its own.
    pub names: Arc<[Template]>,
    /// Listings of directories without one of them.
    pub listing: Directories,
}

/// Whether and how directories are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directories {
    /// 403.
    #[default]
    Hidden,
    /// As HTML; sizes exact or rounded, times local or UTC.
    Html {
        /// Sizes in bytes.
        exact: bool,
        /// Times of the local zone.
        local: bool,
    },
    /// As JSON.
    Json,
    /// As XML.
    Xml,
}

/// Content types by the end of a file's name.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// By extension, lower case.
    pub by_extension: BTreeMap<Box<[u8]>, Box<str>>,
    /// Of all others.
    pub default: Box<str>,
}

/// Paths that are tried before the content.
#[derive(Clone, Debug)]
pub struct TryFiles {
    /// Paths, and whether a directory is meant.
    pub tries: Vec<(Template, bool)>,
    /// When none is there.
    pub last: Fallback,
}

/// Where a request goes that found nothing.
#[derive(Clone, Debug)]
pub enum Fallback {
    /// An internal redirect to a path, perhaps with a query.
    Path(Template),
    /// A named location.
    Named(Box<str>),
    /// A failure with this status.
    Status(u16),
}

/// What answers failures with these statuses.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// Statuses.
    pub statuses: Vec<u16>,
    /// What answers.
    pub target: ErrorTarget,
    /// Status of the answer; `None` = the failure's.
    pub status: Option<ErrorStatus>,
}

/// Status of an answer to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStatus {
    /// This one (`=200`).
    Fixed(u16),
    /// That of the answer (`=`).
    Answers,
}

/// What answers a failure.
#[derive(Clone, Debug)]
pub enum ErrorTarget {
    /// An internal redirect to a path.
    Path(Template),
    /// A named location.
    Named(Box<str>),
    /// A redirect of the client.
    Redirect(Template),
}

/// Who may come in, by address: the first rule that fits counts.
#[derive(Clone, Debug)]
pub struct AccessRule {
    /// Whom it is about; `None` = all.
    pub who: AccessWho,
    /// Whether they may.
    pub allow: bool,
}

/// Whom a rule of access is about.
#[derive(Clone, Debug)]
pub enum AccessWho {
    /// All.
    All,
    /// Clients of unix sockets.
    Unix,
    /// Addresses of a network.
    Network(Network),
}

/// Whether all ways in must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Satisfy {
    /// All.
    #[default]
    All,
    /// One is enough.
    Any,
}

/// Name and password (RFC 7617).
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// Realm; `off` when the template gives that.
    pub realm: Template,
    /// File of names and hashed passwords, read for each request.
    pub file: Template,
    /// Folder that its name begins at, unless it begins with `/`.
    pub folder: PathBuf,
}

/// Another request of ours decides (`auth_request`).
#[derive(Clone, Debug)]
pub struct Subrequest {
    /// Its path.
    pub path: Box<str>,
    /// What is set from its answer: steps that set variables.
    pub sets: Vec<Step>,
}

/// Who may tell the client's address, and where.
#[derive(Clone, Debug)]
pub struct RealIp {
    /// Networks whose word is believed.
    pub from: Vec<Network>,
    /// Clients of unix sockets are believed.
    pub from_unix: bool,
    /// Where the address is.
    pub source: RealIpSource,
    /// Of a list of addresses the last one that is not believed counts, not the last one.
    pub recursive: bool,
}

/// Where the client's address is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIpSource {
    /// In a field; name in lower case. Only `x-forwarded-for` may hold a list.
    Header(Box<str>),
    /// In the PROXY header of the connection.
    ProxyHeader,
}

/// Fields added to answers.
#[derive(Clone, Debug, Default)]
pub struct AnswerHeaders {
    /// Fields.
    pub add: Vec<AddHeader>,
    /// Trailers of chunked answers.
    pub trailers: Vec<AddHeader>,
    /// `Expires` and `Cache-Control`.
    pub expires: Option<Expires>,
}

/// A field added to answers.
#[derive(Clone, Debug)]
pub struct AddHeader {
    /// Name.
    pub name: Box<str>,
    /// Value; nothing is added when it is empty.
    pub value: Template,
    /// Also to failures.
    pub always: bool,
}

/// The client's side.
#[derive(Clone, Debug)]
pub struct Client {
    /// Largest body of a request, bytes; 0 = without limit.
    pub body_max: u64,
    /// So much of a body is kept in memory.
    pub body_memory: usize,
    /// When a body is in a file.
    pub body_file: BodyFile,
    /// Where such files are.
    pub body_directory: PathBuf,
    /// Silence inside a body.
    pub body_timeout: Duration,
    /// Silence while we send.
    pub send_timeout: Duration,
    /// Kept connections.
    pub keep_alive: KeepAlive,
    /// Bytes in a second of an answer; 0 = without limit.
    pub rate: Template,
    /// Bytes before the rate counts.
    pub rate_after: Template,
    /// Connections whose time is over are reset.
    pub reset_timed_out: bool,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            body_max: 1 << 20,
            body_memory: 16 << 10,
            body_file: BodyFile::WhenLarge,
            body_directory: PathBuf::from("client_body_temp"),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            keep_alive: KeepAlive::default(),
            rate: Template::default(),
            rate_after: Template::default(),
            reset_timed_out: false,
        }
    }
}

/// When the body of a request is in a file (nginx: `client_body_in_file_only`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFile {
    /// When it does not fit into memory. Nobody else can open the file.
    #[default]
    WhenLarge,
    /// Always; the file is removed after the request (`clean`).
    Request,
    /// Always; the file stays (`on`).
    Kept,
}

/// Kept connections of clients.
#[derive(Clone, Debug)]
pub struct KeepAlive {
    /// Silence between requests; zero = connections are not kept.
    pub timeout: Duration,
    /// What `Keep-Alive: timeout=` tells.
    pub told: Option<Duration>,
    /// Requests on one connection.
    pub requests: u64,
    /// Age after which the next answer is the last.
    pub age: Duration,
    /// `Keep-Alive` towards old browsers.
    pub not_for_msie6: bool,
    /// Not for Safari.
    pub not_for_safari: bool,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive {
            timeout: Duration::from_secs(75),
            told: None,
            requests: 1000,
            age: Duration::from_secs(3600),
            not_for_msie6: true,
            not_for_safari: false,
        }
    }
}

/// How redirects of ours look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirects {
    /// With scheme and host.
    pub absolute: bool,
    /// The host is the first name of the server.
    pub server_name: bool,
    /// With the port of the listener.
    pub port: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Redirects { absolute: true, server_name: false, port: true }
    }
}

/// What we call ourselves, in `Server` and at the bottom of error pages.
#[derive(Clone, Debug, Default)]
pub struct ServerHeader {
    /// `Server`; empty = no such field.
    pub header: Box<str>,
    /// Bottom line of error pages.
    pub page: Box<str>,
}
