//! What health checks ask and want: `option httpchk` and its like, and what `tcp-check` and `http-check` rules make of
//! them. The rules themselves are read by [`steps`].

mod steps;

pub(super) use steps::{http_check, tcp_check as tcp_check_rule};

use super::format;
use super::said::{Cursor, Done, Said};
use super::scene::{Kind, Phase, Scene};
use plan::check::{
    CheckProgram, HttpCheckRequest, MysqlLogin, MysqlProtocol, Probe, Script, ScriptProtocol, Step, StepAct,
};
use plan::rule::Template;

/// Checks as the lines have described them so far.
#[derive(Clone, Default)]
pub(super) struct CheckDraft {
    protocol: Protocol,
    /// The first request, as far as lines have described it: by `option httpchk` and by the first `http-check send`.
    request: RequestDraft,
    bytes: RuleList,
    http: RuleList,
    send_state: bool,
    stop_on_404: bool,
    command: Option<String>,
    path: String,
    /// `http-check` was used in the section itself.
    pub http_rules: bool,
}

/// Rules of one kind.
#[derive(Clone, Default)]
struct RuleList {
    steps: Vec<Step>,
    /// They come from the defaults: the first one of the section itself replaces them.
    inherited: bool,
}

/// A request of which nothing needs to be said.
#[derive(Clone, Default)]
struct RequestDraft {
    method: Option<String>,
    target: Option<Template>,
    minor: Option<u8>,
    headers: Vec<(String, Template)>,
    body: Option<Template>,
}

/// What checks speak.
#[derive(Clone, Default)]
enum Protocol {
    /// Nothing was said.
    #[default]
    Unsaid,
    Bytes,
    Http,
    Program,
    Known(Probe),
}

impl CheckDraft {
    /// What a section that begins with these checks starts from.
    pub fn inherit(&mut self) {
        self.bytes.inherited = true;
        self.http.inherited = true;
        self.http_rules = false;
    }

    /// True when `option httpchk` is in force.
    pub fn is_http(&self) -> bool {
        matches!(self.protocol, Protocol::Http)
    }

    /// True when a program is asked.
    pub fn is_program(&self) -> bool {
        matches!(self.protocol, Protocol::Program)
    }

    /// What is asked; `None` when nothing was said. `listener` is address and port of the first listener.
    pub fn probe(self, listener: Option<(String, String)>, keep_environment: bool) -> Option<Probe> {
        match self.protocol {
            Protocol::Unsaid => None,
            Protocol::Known(probe) => Some(probe),
            Protocol::Program => Some(Probe::Program(CheckProgram {
                command: self.command?,
                path: self.path,
                keep_environment,
                listener,
            })),
            Protocol::Bytes => Some(Probe::Script(Script {
                protocol: ScriptProtocol::Bytes,
                steps: self.bytes.steps,
                ..Script::default()
            })),
            Protocol::Http => Some(Probe::Script(Script {
                protocol: ScriptProtocol::Http,
                steps: with_request(self.http.steps, self.request),
                send_state: self.send_state,
                stop_on_404: self.stop_on_404,
            })),
        }
    }

    /// True when a program is asked that was not named.
    pub fn lacks_command(&self) -> bool {
        self.is_program() && self.command.is_none()
    }

    /// True when a check says itself where to connect, so that servers need no port.
    pub fn names_port(&self) -> bool {
        let steps = match self.protocol {
            Protocol::Bytes => &self.bytes.steps,
            Protocol::Http => &self.http.steps,
            _ => return self.is_program(),
        };
        let first = steps.iter().find_map(|step| match &step.act {
            StepAct::Connect(connect) => Some(connect.port.is_some()),
            _ => None,
        });
        first.unwrap_or(false)
    }
}

/// Puts the first request where the rules have it, or in front of what is expected first.
fn with_request(mut steps: Vec<Step>, draft: RequestDraft) -> Vec<Step> {
    let request = StepAct::Request(draft.request());
    let first = steps.iter().position(|step| matches!(step.act, StepAct::Request(_)));
    match first {
        Some(at) => steps[at].act = request,
        None => {
            let at = steps.iter().position(|step| matches!(step.act, StepAct::Expect(_)));
            steps.insert(at.unwrap_or(steps.len()), request.into());
        }
    }
    steps
}

impl RequestDraft {
    fn request(self) -> HttpCheckRequest {
        let default = HttpCheckRequest::default();
        HttpCheckRequest {
            method: self.method.unwrap_or(default.method),
            target: self.target.unwrap_or(default.target),
            minor: self.minor.unwrap_or(default.minor),
            headers: self.headers,
            body: self.body.unwrap_or_default(),
        }
    }

    /// What the other one says counts more.
    fn merge(&mut self, other: RequestDraft) {
        let RequestDraft { method, target, minor, headers, body } = other;
        self.method = method.or(self.method.take());
        self.target = target.or(self.target.take());
        self.minor = minor.or(self.minor);
        self.body = body.or(self.body.take());
        if !headers.is_empty() {
            self.headers = headers;
        }
    }
}

/// `option httpchk [URI | METHOD URI [VERSION [HOST]]]`; the cursor stands behind `httpchk`.
pub(super) fn httpchk(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut words = Vec::new();
    while let Some(word) = cursor.next() {
        words.push(word.text.as_str());
    }
    let mut request = RequestDraft::default();
    let fixed = |text: &str| Some(Template::fixed(text));
    match words.as_slice() {
        [] => {}
        [target] => request.target = fixed(target),
        [method, target] => {
            request.method = Some((*method).to_owned());
            request.target = fixed(target);
        }
        [method, target, version, host] if !version.contains('\r') => {
            request.method = Some((*method).to_owned());
            request.target = fixed(target);
            request.minor = Some(minor_version(version)?);
            let host = format::text(scene, host.as_bytes(), Phase::Check)?;
            request.headers.push(("host".to_owned(), host));
        }
        [method, target, version @ ..] => {
            request.method = Some((*method).to_owned());
            request.target = fixed(target);
            version_and_headers(scene, cursor, &version.join(" "), &mut request)?;
        }
    }
    let draft = &mut scene.proxy.check;
    if draft.http.inherited {
        // A check of its own: nothing of the defaults' one is left.
        draft.request = RequestDraft::default();
        draft.http = RuleList::default();
    }
    draft.request.merge(request);
    draft.protocol = Protocol::Http;
    Ok(())
}

/// `HTTP/1.1\r\nHost:\ x`: a version, and in old files header lines and a body behind it.
fn version_and_headers(
    scene: &mut Scene<'_, '_>,
    cursor: &Cursor<'_>,
    text: &str,
    request: &mut RequestDraft,
) -> Done {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.split("\r\n");
    request.minor = Some(minor_version(lines.next().unwrap_or_default().trim())?);
    if !body.is_empty() {
        request.body = Some(Template::fixed(body));
    }
    let mut modern = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Said::new(format!("'{line}' is no header")).hint("write NAME: VALUE"))?;
        modern.push(format!("hdr {} {}", name.trim(), value.trim()));
        let value = format::text(scene, value.trim().as_bytes(), Phase::Check)?;
        request.headers.push((name.trim().to_owned(), value));
    }
    if modern.is_empty() && body.is_empty() {
        return Ok(());
    }
    let modern = format!("http-check send {}", modern.join(" "));
    scene.shared.old(cursor.line, "option httpchk with headers", &modern)
}

fn minor_version(text: &str) -> Done<u8> {
    match text {
        "HTTP/1.0" => Ok(0),
        "HTTP/1.1" => Ok(1),
        "HTTP/2" | "HTTP/2.0" => Err(Said::not_yet("checks by HTTP/2")),
        other => Err(Said::new(format!("'{other}' is no HTTP version")).hint("write HTTP/1.0 or HTTP/1.1")),
    }
}

fn known(scene: &mut Scene<'_, '_>, cursor: &Cursor<'_>, probe: Probe) -> Done {
    scene.proxy.check.protocol = Protocol::Known(probe);
    cursor.end()
}

/// `option tcp-check`.
pub(super) fn tcp_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let draft = &mut scene.proxy.check;
    if draft.bytes.inherited && !matches!(draft.protocol, Protocol::Bytes) {
        draft.bytes = RuleList::default();
    }
    draft.protocol = Protocol::Bytes;
    cursor.end()
}

/// `option redis-check`.
pub(super) fn redis_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    known(scene, cursor, Probe::Redis)
}

/// `option ldap-check`.
pub(super) fn ldap_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    known(scene, cursor, Probe::Ldap)
}

/// `option ssl-hello-chk`.
pub(super) fn ssl_hello_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    known(scene, cursor, Probe::TlsHello)
}

/// `option pgsql-check user NAME`.
pub(super) fn pgsql_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if !cursor.eat("user") {
        return Err(Said::new("'option pgsql-check' needs a user").hint("option pgsql-check user NAME"));
    }
    let user = cursor.text("the name of a user")?.to_owned();
    known(scene, cursor, Probe::Postgres { user })
}

/// `option mysql-check [user NAME [post-41 | pre-41 | post-80]]`.
pub(super) fn mysql_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if cursor.is_end() {
        return known(scene, cursor, Probe::Mysql(None));
    }
    if !cursor.eat("user") {
        return Err(cursor.wrong(cursor.peek(), "user NAME"));
    }
    let user = cursor.text("the name of a user")?.to_owned();
    let protocol = match cursor.next().map_or("post-41", |word| word.text.as_str()) {
        "post-41" => MysqlProtocol::V41,
        "pre-41" => MysqlProtocol::Old,
        "post-80" => MysqlProtocol::V80,
        other => return Err(cursor.wrong(other, "post-41, pre-41 or post-80")),
    };
    known(scene, cursor, Probe::Mysql(Some(MysqlLogin { user, protocol })))
}

/// `option smtpchk [HELO|EHLO DOMAIN]`; another word counts as `HELO localhost`.
pub(super) fn smtpchk(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut hello = "HELO localhost".to_owned();
    if !cursor.is_end() {
        let word = cursor.text("HELO or EHLO")?;
        let domain = cursor.text("a domain")?;
        if matches!(word, "HELO" | "EHLO") {
            hello = format!("{word} {domain}");
        }
    }
    known(scene, cursor, Probe::Smtp { hello })
}

/// `option external-check`.
pub(super) fn external_option(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.check.protocol = Protocol::Program;
    cursor.end()
}

/// `external-check command PROGRAM`, `external-check path PATH`.
pub(super) fn external_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("command or path")? {
        "command" => {
            let command = cursor.text("a program")?.to_owned();
            scene.proxy.check.command = Some(command);
        }
        "path" => scene.proxy.check.path = cursor.text("a path")?.to_owned(),
        other => return Err(cursor.wrong(other, "command or path")),
    }
    cursor.end()
}

/// Marks that the section says something about HTTP checks itself.
fn note_http_rule(scene: &mut Scene<'_, '_>) {
    scene.proxy.check.http_rules = scene.proxy.kind != Kind::Defaults;
}
