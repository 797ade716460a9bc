//! Error pages and the answers of rules: `errorfile`, `errorloc`, `http-error`, `return`, `deny`.

use super::format;
use super::said::{Cursor, Done, Said};
use super::scene::{Phase, Scene};
use plan::pages::{Answer, AnswerBody, ErrorPage};
use plan::rule::Template;
use std::path::Path;
use std::sync::Arc;

/// Statuses that have an error page.
const STATUSES: &[u16] = &[
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504,
];
/// Longest error page, bytes.
const MAX_PAGE: usize = 1 << 20;

/// `errorfile STATUS FILE`.
pub(super) fn errorfile(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let status = status(cursor)?;
    let page = page_file(scene, cursor)?;
    cursor.end()?;
    set_page(scene, status, page);
    Ok(())
}

/// `errorloc STATUS URL`, `errorloc302 STATUS URL`.
pub(super) fn errorloc302(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    errorloc(scene, cursor, 302)
}

/// `errorloc303 STATUS URL`.
pub(super) fn errorloc303(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    errorloc(scene, cursor, 303)
}

fn errorloc(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, redirect: u16) -> Done {
    let status = status(cursor)?;
    let location = cursor.need("a URL")?.bytes.clone();
    cursor.end()?;
    let answer = Answer {
        status: redirect,
        content_type: None,
        headers: vec![
            ("cache-control".to_owned(), Template::fixed("no-cache")),
            ("location".to_owned(), Template::fixed(location)),
        ],
        body: AnswerBody::Empty,
    };
    set_page(scene, status, ErrorPage::Built(Arc::new(answer)));
    Ok(())
}

/// `http-error status STATUS …`.
pub(super) fn http_error(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if cursor.peek() != "status" {
        return Err(Said::new("'http-error' needs 'status' and a number"));
    }
    let at = cursor.at + 1;
    let reply = reply(scene, cursor, 0, Phase::Request)?;
    cursor.end()?;
    let status = reply.status();
    if !STATUSES.contains(&status) {
        return Err(no_page(status).at(at));
    }
    match reply {
        Reply::Raw(page, _) => set_page(scene, status, page),
        Reply::Built(answer) if matches!(answer.body, AnswerBody::ErrorPage) => {}
        Reply::Built(answer) => set_page(scene, status, ErrorPage::Built(Arc::new(answer))),
    }
    Ok(())
}

fn set_page(scene: &mut Scene<'_, '_>, status: u16, page: ErrorPage) {
    scene.proxy.site.pages.0.insert(status, page.clone());
    scene.proxy.pool.pages.0.insert(status, page);
}

fn status(cursor: &mut Cursor<'_>) -> Done<u16> {
    let status: u16 = cursor.number("a status")?;
    if STATUSES.contains(&status) { Ok(status) } else { Err(no_page(status).at(cursor.at - 1)) }
}

fn no_page(status: u16) -> Said {
    let list: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
    Said::new(format!("there is no error page for the status {status}"))
        .hint(format!("there is one for: {}", list.join(" ")))
}

/// A whole message from the file that the next word names. An empty file closes without a byte.
fn page_file(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<ErrorPage> {
    let path = cursor.text("a file")?;
    let at = cursor.at - 1;
    let bytes = scene.shared.file(Path::new(path)).map_err(|said| said.at(at))?;
    if bytes.len() > MAX_PAGE {
        return Err(Said::new(format!("'{path}' is larger than {} KiB", MAX_PAGE >> 10)).at(at));
    }
    if !bytes.is_empty() {
        message(&bytes).ok_or_else(|| {
            Said::new(format!("'{path}' is no HTTP response"))
                .hint("first a status line as HTTP/1.0 503 Service Unavailable, then headers, an empty line, the body")
                .at(at)
        })?;
    }
    Ok(ErrorPage::Raw(bytes.into()))
}

/// A whole message taken apart.
fn message(bytes: &[u8]) -> Option<Answer> {
    let (head, body) = split_head(bytes)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split_ascii_whitespace();
    first.next().filter(|version| version.starts_with("HTTP/"))?;
    let status = first.next()?.parse().ok().filter(|s| (100..600).contains(s))?;
    let mut answer = Answer { status, content_type: None, headers: Vec::new(), body: AnswerBody::Empty };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" | "connection" | "transfer-encoding" => {}
            "content-type" => answer.content_type = Some(value.trim().to_owned()),
            _ => answer.headers.push((name.to_owned(), Template::fixed(value.trim()))),
        }
    }
    if !body.is_empty() {
        answer.body = AnswerBody::Fixed(body.into());
    }
    Some(answer)
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let find = |end: &[u8]| bytes.windows(end.len()).position(|w| w == end).map(|at| (at, at + end.len()));
    let (head, body) = [find(b"\r\n\r\n"), find(b"\n\n")].into_iter().flatten().min()?;
    Some((&bytes[..head], &bytes[body..]))
}

/// What a rule answers.
pub(super) enum Reply {
    /// Built from parts.
    Built(Answer),
    /// A whole message, and what it says.
    Raw(ErrorPage, Answer),
}

impl Reply {
    /// Its status.
    pub fn status(&self) -> u16 {
        match self {
            Reply::Built(answer) | Reply::Raw(_, answer) => answer.status,
        }
    }

    /// The answer.
    pub fn answer(self) -> Answer {
        match self {
            Reply::Built(answer) | Reply::Raw(_, answer) => answer,
        }
    }
}

/// Reads `[status N] [content-type T] [hdr NAME FORMAT]… [string|lf-string|file|lf-file|errorfile X]`.
/// `preset` is the status without one said; 0 means it must be said.
pub(super) fn reply(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    preset: u16,
    phase: Phase,
) -> Done<Reply> {
    let mut parts =
        Parts { status: None, content_type: None, headers: Vec::new(), body: None, bare_status: false };
    let mut raw = None;
    while !cursor.is_end() && !cursor.is_condition() {
        let at = cursor.at;
        match cursor.text("a word")? {
            "errorfile" => {
                raw = Some(page_file(scene, cursor)?);
                parts.body = Some(AnswerBody::ErrorPage);
            }
            word => parts.word(scene, cursor, word, phase).map_err(|said| said.at(at))?,
        }
    }
    let status = parts.status.or((preset > 0).then_some(preset));
    let status = status.ok_or_else(|| Said::new("a 'status' is missing"))?;
    if let Some(page) = raw {
        let ErrorPage::Raw(bytes) = &page else { return Err(Said::new("the error file is unreadable")) };
        let answer =
            message(bytes).unwrap_or(Answer { status, body: AnswerBody::Empty, ..Answer::default() });
        return Ok(Reply::Raw(page, Answer { status: parts.status.unwrap_or(answer.status), ..answer }));
    }
    parts.finish(scene, status).map(Reply::Built)
}

struct Parts {
    status: Option<u16>,
    content_type: Option<String>,
    headers: Vec<(String, Template)>,
    body: Option<AnswerBody>,
    /// The status was given by `status`: then there is no body unless one is said.
    bare_status: bool,
}

impl Parts {
    fn word(&mut self, scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>, word: &str, phase: Phase) -> Done {
        match word {
            "status" | "deny_status" => {
                self.status = Some(cursor.number_in("a status", 200, 599)? as u16);
                self.bare_status = word == "status";
            }
            "content-type" => self.content_type = Some(cursor.text("a content type")?.to_owned()),
            "hdr" => {
                let name = cursor.text("a name and a value")?.to_owned();
                let value = cursor.need("a value")?;
                self.headers.push((name, format::text(scene, &value.bytes, phase)?));
            }
            "default-errorfiles" => self.set_body(AnswerBody::ErrorPage)?,
            "errorfiles" => return Err(Said::not_yet("'errorfiles'").hint("use 'errorfile FILE'")),
            "string" => {
                let text = cursor.need("a text")?.bytes.clone();
                if text.is_empty() {
                    return Err(Said::new("'string' needs a text"));
                }
                self.set_body(AnswerBody::Fixed(text.into()))?;
            }
            "lf-string" => {
                let text = cursor.need("a text")?;
                self.set_body(AnswerBody::Template(format::text(scene, &text.bytes, phase)?))?;
            }
            "file" | "lf-file" => self.file(scene, cursor, word, phase)?,
            other => {
                return Err(Said::new(format!("'{other}' is wrong here")).hint(
                    "status, content-type, hdr, string, lf-string, file, lf-file or errorfile may stand here",
                ));
            }
        }
        Ok(())
    }

    fn file(&mut self, scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>, word: &str, phase: Phase) -> Done {
        let path = cursor.text("a file")?;
        let bytes = scene.shared.file(Path::new(path))?;
        if bytes.len() > MAX_PAGE {
            return Err(Said::new(format!("'{path}' is larger than {} KiB", MAX_PAGE >> 10)));
        }
        self.set_body(match (word, bytes.is_empty()) {
            ("lf-file", _) => AnswerBody::Template(format::text(scene, &bytes, phase)?),
            (_, true) => AnswerBody::Empty,
            _ => AnswerBody::Fixed(bytes.into()),
        })
    }

    fn set_body(&mut self, body: AnswerBody) -> Done {
        if self.body.is_some() {
            return Err(Said::new("an answer has one body"));
        }
        self.body = Some(body);
        Ok(())
    }

    fn finish(self, scene: &mut Scene<'_, '_>, status: u16) -> Done<Answer> {
        let has_body = matches!(self.body, Some(AnswerBody::Fixed(_) | AnswerBody::Template(_)));
        if has_body && self.content_type.is_none() {
            return Err(
                Said::new("an answer with a body needs a content type").hint("add: content-type text/plain")
            );
        }
        if !has_body && self.content_type.is_some() {
            scene.warn("'content-type' is ignored in an answer without a body");
        }
        let content_type = self.content_type.filter(|_| has_body);
        // Without any body said the caller's own rule decides; the error page stands for that.
        let unsaid = if self.bare_status { AnswerBody::Empty } else { AnswerBody::ErrorPage };
        let body = self.body.unwrap_or(unsaid);
        Ok(Answer { status, content_type, headers: self.headers, body })
    }
}

/// True when there is an error page for the status.
pub(super) fn has_page(status: u16) -> bool {
    STATUSES.contains(&status)
}

/// An answer of a `deny`-like rule: needs an error page for its status unless it brings a body.
pub(super) fn check_page(answer: &Answer) -> Done {
    if matches!(answer.body, AnswerBody::ErrorPage) && !has_page(answer.status) {
        return Err(no_page(answer.status));
    }
    Ok(())
}
