//! What the readers of lines work on: the settings of all sections, and the one proxy being read.

use super::acl::Acls;
use super::check::CheckDraft;
use super::environment::Environment;
use super::said::{Done, Said};
use super::server::ServerSettings;
use super::source::Line;
use crate::{MAX_FILE_BYTES, Options, Sources};
use plan::rule::{Rule, Rules, Template, Userlist};
use plan::site::Statistics;
use plan::{LogTarget, Mode, Note, Place, Pool, Problem, Process, Site};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// What all sections share.
pub(super) struct Shared<'s> {
    /// Files and addresses.
    pub sources: &'s dyn Sources,
    /// How to read.
    pub options: Options,
    /// Variables.
    pub environment: Environment<'s>,
    /// Problems so far.
    pub problems: Vec<Problem>,
    /// Notes so far.
    pub notes: Vec<Note>,
    /// Settings of the process.
    pub process: Process,
    /// Files of server states.
    pub states: super::states::Files,
    /// Lists of users by name.
    pub userlists: HashMap<String, Users>,
    /// `http-errors` sections by name.
    pub http_errors: HashMap<String, super::pages::ErrorFiles>,
    /// `mailers` sections by name.
    pub mailers: HashMap<String, super::mailers::Mailers>,
    /// Checks by a program are allowed; true when they inherit the environment.
    pub external_checks: Option<bool>,
    /// Name servers.
    pub resolvers: Vec<plan::Resolvers>,
    /// Sections that are named before it is known whether they exist.
    pub references: RefCell<Vec<Reference>>,
    /// Stick tables.
    pub tables: Vec<plan::Table>,
    /// Stick tables that are named before it is known whether they exist.
    pub table_uses: RefCell<Vec<super::tables::Use>>,
    /// Groups of peers.
    pub peers: Vec<plan::peers::PeerGroup>,
    /// Our name among them.
    pub local_peer: Option<String>,
    /// Slots that a connection can track (`tune.stick-counters`).
    pub stick_counters: u8,
    /// Files of ACLs and maps.
    pub lists: super::lists::Known,
}

/// A section named by an expression.
pub(super) struct Reference {
    /// Where.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// It must have servers; otherwise it must have listeners.
    pub pool: bool,
}

/// A list of users and its groups.
pub(super) struct Users {
    /// The users.
    pub users: Arc<Userlist>,
    /// Members by group.
    pub groups: HashMap<String, BTreeSet<String>>,
}

impl Shared<'_> {
    /// Reports something wrong with a line.
    pub fn problem(&mut self, said: Said, line: &Line) {
        self.problems.push(said.problem(line));
    }

    /// Remarks something that HAProxy does not warn about.
    pub fn note(&mut self, place: Place, what: impl Into<String>) {
        self.notes.push(Note { place, what: what.into(), warning: false });
    }

    /// Remarks something that HAProxy warns about.
    pub fn warn(&mut self, place: Place, what: impl Into<String>) {
        self.notes.push(Note { place, what: what.into(), warning: true });
    }

    /// Remarks old syntax and what it was taken for; a problem when reading strictly.
    pub fn old(&mut self, line: &Line, old: &str, taken_for: &str) -> Done {
        if self.options.strict {
            return Err(Said::new(format!("'{old}' is no longer understood by HAProxy"))
                .hint(format!("write: {taken_for}")));
        }
        self.note(line.place(0), format!("'{old}' is old syntax, taken for: {taken_for}"));
        Ok(())
    }

    /// Bytes of a file that the configuration names.
    pub fn file(&self, path: &Path) -> Done<Vec<u8>> {
        let bytes = self
            .sources
            .read(path)
            .map_err(|error| Said::new(format!("cannot read the file '{}': {error}", path.display())))?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(Said::new(format!(
                "the file '{}' is larger than {} MiB",
                path.display(),
                MAX_FILE_BYTES >> 20
            )));
        }
        Ok(bytes)
    }
}

/// Kind of a section that describes a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the sections after it begin with.
    Defaults,
    /// A site.
    Frontend,
    /// A pool.
    Backend,
    /// A site and a pool of the same name.
    Listen,
}

impl Kind {
    /// True when clients come in here (or may, for defaults).
    pub fn has_site(self) -> bool {
        self != Kind::Backend
    }

    /// True when servers stand here (or may, for defaults).
    pub fn has_pool(self) -> bool {
        self != Kind::Frontend
    }

    /// The word that opens such a section.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Defaults => "defaults",
            Kind::Frontend => "frontend",
            Kind::Backend => "backend",
            Kind::Listen => "listen",
        }
    }
}

/// A proxy as its lines have described it so far. A section begins with a copy of its defaults.
#[derive(Clone)]
pub(super) struct Proxy {
    /// Kind of the section.
    pub kind: Kind,
    /// Line that opens it.
    pub place: Place,
    /// Name; may be empty for defaults.
    pub name: String,
    /// What it speaks.
    pub mode: Mode,
    /// Number asked for.
    pub id: Option<u32>,
    /// The side towards clients.
    pub site: Site,
    /// The side towards servers.
    pub pool: Pool,
    /// Log targets.
    pub logs: Vec<Log>,
    /// What a log line holds.
    pub line: LineFormat,
    /// Health checks.
    pub check: CheckDraft,
    /// Alert mails.
    pub alert: super::mailers::AlertDraft,
    /// What every server line begins with.
    pub server: ServerSettings,
    /// Statistics page.
    pub statistics: Option<Statistics>,
    /// Rules in the order in which they run.
    pub rules: ProxyRules,
    /// Length of the kernel's queue for binds that do not say it.
    pub backlog: Option<u32>,
    /// `compression`.
    pub compression: super::compression::Settings,
    /// Where server states are loaded from.
    pub states: super::states::Load,
    /// Where a setting was said that only HTTP knows, with its words.
    pub http_only: Vec<(Place, &'static str)>,
}

/// A log target.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Log {
    /// Target.
    pub target: LogTarget,
    /// It came by `log global`.
    pub global: bool,
}

/// What a log line holds.
#[derive(Clone, Default)]
pub(super) enum LineFormat {
    /// Source and destination.
    #[default]
    Short,
    /// `option tcplog`.
    Tcp,
    /// `option httpslog`.
    Https,
    /// `option httplog`.
    Http,
    /// `option httplog clf`.
    Clf,
    /// `log-format`.
    Custom(Template),
}

/// Rules; those that HAProxy runs before or after the `http-request` rules stand apart.
#[derive(Clone, Default)]
pub(super) struct ProxyRules {
    /// `block`, `monitor-net`.
    pub early: Vec<Rule>,
    /// The usual ones, by phase.
    pub main: Rules,
    /// `reqadd` and its like.
    pub late: Vec<Rule>,
    /// `redirect`.
    pub redirects: Vec<Rule>,
    /// `rspadd` and its like.
    pub late_response: Vec<Rule>,
    /// `stats http-request`, for requests to the page.
    pub statistics: Vec<Rule>,
}

impl ProxyRules {
    /// The rules in the order in which they run.
    pub fn in_order(self) -> Rules {
        let mut rules = self.main;
        rules.request = [self.early, rules.request, self.late, self.redirects, self.statistics].concat();
        rules.response.extend(self.late_response);
        rules
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        let main = &self.main;
        [&self.early, &self.late, &self.redirects, &self.late_response, &self.statistics]
            .iter()
            .all(|l| l.is_empty())
            && [
                &main.connection,
                &main.session,
                &main.content,
                &main.response_content,
                &main.request,
                &main.response,
                &main.after_response,
            ]
            .iter()
            .all(|l| l.is_empty())
    }
}

impl Proxy {
    /// HAProxy's own defaults.
    pub fn new() -> Proxy {
        Proxy {
            kind: Kind::Defaults,
            place: Place::none(),
            name: String::new(),
            mode: Mode::Tcp,
            id: None,
            site: Site::default(),
            pool: Pool::default(),
            logs: Vec::new(),
            line: LineFormat::Short,
            check: CheckDraft::default(),
            alert: super::mailers::AlertDraft::default(),
            server: ServerSettings::default(),
            statistics: None,
            rules: ProxyRules::default(),
            backlog: None,
            states: Default::default(),
            compression: Default::default(),
            http_only: Vec::new(),
        }
    }
}

/// When something happens, which decides what values are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A connection was accepted.
    Connection,
    /// The first bytes are there.
    Content,
    /// The request head is there.
    Request,
    /// The response head is there.
    Response,
    /// All is over.
    Log,
    /// A health check runs.
    Check,
}

/// `no` or `default` before a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Nothing.
    Plain,
    /// `no`.
    No,
    /// `default`.
    Default,
}

/// The proxy being read.
pub(super) struct Scene<'a, 's> {
    /// What all sections share.
    pub shared: &'a mut Shared<'s>,
    /// The proxy.
    pub proxy: &'a mut Proxy,
    /// Its ACLs.
    pub acls: Acls,
    /// Index of the line being read.
    pub index: usize,
    /// Place of the line being read.
    pub here: Place,
    /// `no` or `default` before the keyword of the line.
    pub prefix: Prefix,
    /// Warnings about the line being read.
    pub warnings: Vec<String>,
}

impl<'a, 's> Scene<'a, 's> {
    /// A proxy of which nothing was read yet.
    pub fn new(shared: &'a mut Shared<'s>, proxy: &'a mut Proxy) -> Scene<'a, 's> {
        let here = proxy.place.clone();
        let acls = Acls::default();
        Scene { shared, proxy, acls, index: 0, here, prefix: Prefix::Plain, warnings: Vec::new() }
    }

    /// Goes to a line.
    pub fn go_to(&mut self, index: usize, line: &Line) {
        self.index = index;
        self.here = line.place(0);
    }

    /// Reports something wrong with a line.
    pub fn problem(&mut self, said: Said, line: &Line) {
        self.shared.problem(said, line);
        self.warnings.clear();
    }

    /// Remarks something about the line that HAProxy warns about.
    pub fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }

    /// Turns the warnings about a line into notes.
    pub fn end_line(&mut self, line: &Line) {
        for what in std::mem::take(&mut self.warnings) {
            self.shared.warn(line.place(0), what);
        }
    }

    /// Remarks that a setting of the line changes nothing here, and why.
    pub fn no_effect(&mut self, line: &Line, word: usize, why: &str) {
        let what = format!("'{}' has no effect here: {why}", line.text(word));
        self.shared.note(line.place(word), what);
    }

    /// True unless `no` or `default` stands before the keyword.
    pub fn on(&self) -> bool {
        self.prefix == Prefix::Plain
    }
}
