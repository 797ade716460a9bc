//! What health checks ask and want: `option httpchk`, `http-check`, and the checks of other protocols.

use super::said::{Cursor, Done, Said};
use super::scene::{Kind, Scene};
use super::units;
use plan::check::{HttpCheckRequest, HttpCheckStep, HttpExpect, HttpExpectation, Probe};

/// Most steps of a check.
const MAX_STEPS: usize = 1000;

/// Checks as the lines have described them so far.
#[derive(Clone, Default)]
pub(super) struct CheckDraft {
    protocol: Protocol,
    request: HttpCheckRequest,
    steps: Vec<HttpCheckStep>,
    /// Expectations come from the defaults: the first one of the section itself replaces them.
    inherited: bool,
    /// `http-check` was used.
    pub http_rules: bool,
}

/// What checks speak.
#[derive(Clone, Default)]
enum Protocol {
    /// Nothing was said.
    #[default]
    Unsaid,
    Tcp,
    Http,
    Postgres(String),
    Redis,
}

impl CheckDraft {
    /// What a section that begins with these checks starts from.
    pub fn inherit(&mut self) {
        self.inherited = true;
        self.http_rules = false;
    }

    /// True when `option httpchk` is in force.
    pub fn is_http(&self) -> bool {
        matches!(self.protocol, Protocol::Http)
    }

    /// What is asked; `None` when nothing was said.
    pub fn probe(self) -> Option<Probe> {
        match self.protocol {
            Protocol::Unsaid => None,
            Protocol::Tcp => Some(Probe::Tcp),
            Protocol::Redis => Some(Probe::Redis),
            Protocol::Postgres(user) => Some(Probe::Postgres { user }),
            Protocol::Http => {
                let first = HttpCheckStep::Send(self.request);
                Some(Probe::Http(std::iter::once(first).chain(self.steps).collect()))
            }
        }
    }
}

/// `option httpchk [URI | METHOD URI [VERSION [HOST]]]`; the cursor stands behind `httpchk`.
pub(super) fn httpchk(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut words = Vec::new();
    while let Some(word) = cursor.next() {
        words.push(word.text.as_str());
    }
    let mut request = HttpCheckRequest::default();
    match words.as_slice() {
        [] => {}
        [target] => request.target = (*target).to_owned(),
        [method, target] => {
            request.method = (*method).to_owned();
            request.target = (*target).to_owned();
        }
        [method, target, version, host] if !version.contains('\r') => {
            request.method = (*method).to_owned();
            request.target = (*target).to_owned();
            request.minor = minor_version(version)?;
            request.headers.push(("Host".to_owned(), (*host).to_owned()));
        }
        [method, target, version @ ..] => {
            request.method = (*method).to_owned();
            request.target = (*target).to_owned();
            version_and_headers(scene, cursor, &version.join(" "), &mut request)?;
        }
    }
    let draft = &mut scene.proxy.check;
    draft.request = request;
    draft.protocol = Protocol::Http;
    Ok(())
}

/// `HTTP/1.1\r\nHost:\ x`: a version, and in old files header lines and a body behind it.
fn version_and_headers(
    scene: &mut Scene<'_, '_>,
    cursor: &Cursor<'_>,
    text: &str,
    request: &mut HttpCheckRequest,
) -> Done {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.split("\r\n");
    request.minor = minor_version(lines.next().unwrap_or_default().trim())?;
    request.body = body.as_bytes().to_vec();
    let mut modern = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Said::new(format!("'{line}' is no header")).hint("write NAME: VALUE"))?;
        modern.push(format!("hdr {} {}", name.trim(), value.trim()));
        request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
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

/// `option tcp-check`.
pub(super) fn tcp_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.check.protocol = Protocol::Tcp;
    cursor.end()
}

/// `option redis-check`.
pub(super) fn redis_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.check.protocol = Protocol::Redis;
    cursor.end()
}

/// `option pgsql-check user NAME`.
pub(super) fn pgsql_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if !cursor.eat("user") {
        return Err(Said::new("'option pgsql-check' needs a user").hint("option pgsql-check user NAME"));
    }
    let user = cursor.text("the name of a user")?.to_owned();
    scene.proxy.check.protocol = Protocol::Postgres(user);
    cursor.end()
}

/// `http-check send …`, `http-check expect …`.
pub(super) fn http_check(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if scene.proxy.check.steps.len() >= MAX_STEPS {
        return Err(Said::new("too many 'http-check' lines"));
    }
    match cursor.text("send or expect")? {
        "send" => send(scene, cursor)?,
        "expect" => {
            let expect = expect(scene, cursor)?;
            let draft = &mut scene.proxy.check;
            if std::mem::take(&mut draft.inherited) {
                draft.steps.clear();
            }
            draft.steps.push(HttpCheckStep::Expect(expect));
        }
        "comment" => cursor.skip_all(),
        other @ ("connect" | "send-state" | "disable-on-404" | "set-var" | "set-var-fmt" | "unset-var") => {
            return Err(Said::not_yet(format!("'http-check {other}'")).at(1));
        }
        other => return Err(cursor.wrong(other, "send or expect")),
    }
    scene.proxy.check.http_rules = scene.proxy.kind != Kind::Defaults;
    Ok(())
}

/// Before any expectation it completes the request of `option httpchk`; after one it is a request more.
fn send(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let draft = &mut scene.proxy.check;
    let completes = draft.inherited || draft.steps.is_empty();
    let mut request = if completes { draft.request.clone() } else { HttpCheckRequest::default() };
    if completes {
        request.headers.clear();
    }
    while let Some(word) = cursor.next() {
        match word.text.as_str() {
            "meth" => request.method = cursor.text("a method")?.to_owned(),
            "uri" => request.target = cursor.text("a path")?.to_owned(),
            "ver" => {
                request.minor = minor_version(cursor.text("a version")?).map_err(|s| s.at(cursor.at - 1))?;
            }
            "hdr" => {
                let name = cursor.text("a name and a value")?;
                let value = cursor.text("a value")?;
                if value.contains("%[") {
                    return Err(Said::not_yet("values in headers of checks ('%[…]')").at(cursor.at - 1));
                }
                request.headers.push((name.to_owned(), value.replace("%%", "%")));
            }
            "body" => request.body = cursor.need("a text")?.bytes.clone(),
            "comment" => drop(cursor.text("a text")?),
            other @ ("uri-lf" | "body-lf") => {
                return Err(Said::not_yet(format!("'{other}' in checks"))
                    .hint(format!("use '{}'", &other[..4.min(other.len())].trim_end_matches('-')))
                    .at(cursor.at - 1));
            }
            other => return Err(cursor.wrong(other, "meth, uri, ver, hdr or body")),
        }
    }
    let draft = &mut scene.proxy.check;
    match completes {
        true => draft.request = request,
        false => draft.steps.push(HttpCheckStep::Send(request)),
    }
    Ok(())
}

fn expect(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<HttpExpect> {
    let mut negate = false;
    loop {
        match cursor.text("status, string, rstatus or rstring")? {
            "!" => negate = !negate,
            "min-recv" | "ok-status" | "error-status" | "tout-status" | "on-success" | "on-error"
            | "status-code" => {
                let word = cursor.at - 1;
                cursor.text("a value")?;
                scene.no_effect(cursor.line, word, "the log says what the check saw");
            }
            "comment" => drop(cursor.text("a text")?),
            kind => {
                let kind_at = cursor.at - 1;
                let bare = kind.trim_start_matches('!');
                negate ^= (kind.len() - bare.len()) % 2 == 1;
                let pattern = cursor.need("a pattern")?;
                let what =
                    expectation(bare, &pattern.text, &pattern.bytes).map_err(|said| said.at(kind_at))?;
                cursor.end()?;
                return Ok(HttpExpect { negate, what });
            }
        }
    }
}

fn expectation(kind: &str, text: &str, bytes: &[u8]) -> Done<HttpExpectation> {
    Ok(match kind {
        "status" => HttpExpectation::Status(statuses(text)?),
        "rstatus" => HttpExpectation::StatusRegex(units::expression(text, false)?),
        "string" => HttpExpectation::Body(bytes.to_vec()),
        "rstring" => HttpExpectation::BodyRegex(units::expression(text, false)?),
        "hdr" | "fhdr" | "string-lf" => return Err(Said::not_yet(format!("'http-check expect {kind}'"))),
        other => {
            return Err(Said::new(format!(
                "'{other}' is wrong here: status, string, rstatus or rstring is expected"
            )));
        }
    })
}

/// `200`, `200-399`, `200,204,300-399`.
fn statuses(text: &str) -> Done<Vec<(u16, u16)>> {
    let one = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?);
        (low <= high && (100..=999).contains(&low) && high <= 999).then_some((low, high))
    };
    text.split(',')
        .map(|part| {
            one(part.trim()).ok_or_else(|| {
                Said::new(format!("'{part}' is no status")).hint("write 200, 200-399 or 200,404")
            })
        })
        .collect()
}
