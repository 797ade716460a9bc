//! Error pages and the answers of rules: `errorfile`, `errorloc`, `http-error`, `return`, `deny`.

use super::format;
use super::keywords;
use super::said::{Cursor, Done, Said, section_name};
use super::scene::{Phase, Scene, Shared};
use super::source::{Line, Section};
use plan::pages::{Answer, AnswerBody, ErrorPage};
use plan::rule::Template;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Statuses that have an error page.
const STATUSES: &[u16] = &[
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504,
];
/// Longest error page, bytes.
const MAX_PAGE: usize = 1 << 20;

/// Whole messages by status, as an `http-errors` section names them.
pub(super) type ErrorFiles = BTreeMap<u16, Arc<[u8]>>;

/// Reads an `http-errors` section.
pub(super) fn read(shared: &mut Shared<'_>, section: &Section) {
    let name = match section_name(&section.head) {
        Ok(name) => name,
        Err(said) => return shared.problem(said, &section.head),
    };
    if shared.http_errors.contains_key(&name) {
        let said = Said::new(format!("the http-errors section '{name}' is defined twice"));
        return shared.problem(said.hint("rename one of them").at(1), &section.head);
    }
    let mut files = ErrorFiles::new();
    for line in &section.body {
        match section_line(shared, line) {
            Ok((status, bytes)) => drop(files.insert(status, bytes)),
            Err(said) => shared.problem(said, line),
        }
    }
    shared.http_errors.insert(name, files);
}

fn section_line(shared: &Shared<'_>, line: &Line) -> Done<(u16, Arc<[u8]>)> {
    let mut cursor = Cursor::new(line, 0);
    match cursor.text("errorfile")? {
        "errorfile" => {}
        other => {
            return Err(Said::new(format!("unknown keyword '{other}' in an http-errors section"))
                .hint("only 'errorfile STATUS FILE' may stand here")
                .at(0));
        }
    }
    let status = status(&mut cursor)?;
    let bytes = message_file(shared, &mut cursor)?;
    cursor.end()?;
    Ok((status, bytes))
}

/// `errorfile STATUS FILE`.
pub(super) fn errorfile(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let status = status(cursor)?;
    let bytes = message_file(scene.shared, cursor)?;
    cursor.end()?;
    set_page(scene, status, ErrorPage::Raw(bytes));
    Ok(())
}

/// `errorfiles NAME [STATUS…]`: pages of an `http-errors` section, all or those named.
pub(super) fn errorfiles(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let files = named_files(scene.shared, cursor)?.clone();
    let mut wanted = Vec::new();
    while !cursor.is_end() {
        wanted.push((status(cursor)?, cursor.at - 1));
    }
    for (status, at) in &wanted {
        if !files.contains_key(status) {
            return Err(Said::new(format!("the section has no page for the status {status}")).at(*at));
        }
    }
    let chosen = |status: &u16| wanted.is_empty() || wanted.iter().any(|(one, _)| one == status);
    for (status, bytes) in files.into_iter().filter(|(status, _)| chosen(status)) {
        set_page(scene, status, ErrorPage::Raw(bytes));
    }
    Ok(())
}

/// The `http-errors` section that the next word names.
fn named_files<'s>(shared: &'s Shared<'_>, cursor: &mut Cursor<'_>) -> Done<&'s ErrorFiles> {
    let name = cursor.text("the name of an http-errors section")?;
    shared.http_errors.get(name).ok_or_else(|| {
        Said::new(format!("there is no http-errors section '{name}'"))
            .hint(keywords::nearest(name, shared.http_errors.keys().map(String::as_str)))
            .at(cursor.at - 1)
    })
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
    let answer = reply(scene, cursor, None, Phase::Request)?;
    cursor.end()?;
    let status = answer.status;
    if !STATUSES.contains(&status) {
        return Err(no_page(status).at(at));
    }
    match answer.body {
        AnswerBody::ErrorPage => {
            scene.proxy.site.pages.0.remove(&status);
            scene.proxy.pool.pages.0.remove(&status);
        }
        AnswerBody::Message(bytes) => set_page(scene, status, ErrorPage::Raw(bytes)),
        _ => set_page(scene, status, ErrorPage::Built(Arc::new(answer))),
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
fn message_file(shared: &Shared<'_>, cursor: &mut Cursor<'_>) -> Done<Arc<[u8]>> {
    let path = cursor.text("a file")?;
    let at = cursor.at - 1;
    let bytes = page_bytes(shared, path).map_err(|said| said.at(at))?;
    if bytes.is_empty() {
        return Ok(bytes.into());
    }
    let message = message(&bytes).ok_or_else(|| {
        Said::new(format!("'{path}' is no HTTP response"))
            .hint(
                "first a status line as HTTP/1.0 503 Service Unavailable, then headers, an empty line, the body",
            )
            .at(at)
    })?;
    Ok(message.into())
}

fn page_bytes(shared: &Shared<'_>, path: &str) -> Done<Vec<u8>> {
    let bytes = shared.file(Path::new(path))?;
    if bytes.len() > MAX_PAGE {
        return Err(Said::new(format!("'{path}' is larger than {} KiB", MAX_PAGE >> 10)));
    }
    Ok(bytes)
}

/// A whole message as it goes out: its head's lines end with CR LF. `None` when it is none.
fn message(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = split_head(bytes)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut first = lines.clone().next()?.split_ascii_whitespace();
    first.next().filter(|version| matches!(*version, "HTTP/1.0" | "HTTP/1.1"))?;
    first.next()?.parse().ok().filter(|status: &u16| (100..600).contains(status))?;
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let status_line = lines.next()?;
    out.extend_from_slice(status_line.as_bytes());
    if status_line.split_ascii_whitespace().count() == 2 {
        out.push(b' ');
    }
    out.extend_from_slice(b"\r\n");
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        let keep = match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" => false,
            // A wrong length would cut the page, or keep clients waiting.
            "content-length" => value.parse() == Ok(body.len()),
            _ => true,
        };
        if keep {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Some(out)
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let find = |end: &[u8]| bytes.windows(end.len()).position(|w| w == end).map(|at| (at, at + end.len()));
    let (head, body) = [find(b"\r\n\r\n"), find(b"\n\n")].into_iter().flatten().min()?;
    Some((&bytes[..head], &bytes[body..]))
}

/// The answer of a `deny`-like rule: without words, or with `deny_status` alone, the error page is meant.
pub(super) fn refusal(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    preset: u16,
    phase: Phase,
) -> Done<Answer> {
    let start = cursor.at;
    let mut answer = reply(scene, cursor, Some(preset), phase)?;
    let words = cursor.at - start;
    if words == 0 || (words == 2 && cursor.line.text(start) == "deny_status") {
        answer.body = AnswerBody::ErrorPage;
        check_page(&answer)?;
    }
    Ok(answer)
}

/// Reads `[status N] [content-type T] [hdr NAME FORMAT]… [string|lf-string|file|lf-file|errorfile …]`.
/// `preset` is the status without one said; `None` = it must be said.
pub(super) fn reply(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    preset: Option<u16>,
    phase: Phase,
) -> Done<Answer> {
    let mut parts = Parts::default();
    while !cursor.is_end() && !cursor.is_condition() {
        let at = cursor.at;
        let word = cursor.text("a word")?;
        parts.word(scene, cursor, word, phase).map_err(|said| said.at(at))?;
    }
    let status = parts.status.or(preset).ok_or_else(|| Said::new("a 'status' is missing"))?;
    parts.finish(scene, status)
}

#[derive(Default)]
struct Parts {
    status: Option<u16>,
    content_type: Option<String>,
    headers: Vec<(String, Template)>,
    body: Option<Body>,
}

/// What was said about the body.
enum Body {
    Said(AnswerBody),
    /// `errorfiles`: the page of the status, which may be said later.
    Named(ErrorFiles),
}

impl Parts {
    fn word(&mut self, scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>, word: &str, phase: Phase) -> Done {
        match word {
            "status" | "deny_status" => {
                self.status = Some(cursor.number_in("a status", 200, 599)? as u16);
            }
            "content-type" => self.content_type = Some(cursor.text("a content type")?.to_owned()),
            "hdr" => {
                let name = cursor.text("a name and a value")?.to_owned();
                let value = cursor.need("a value")?;
                self.headers.push((name, format::text(scene, &value.bytes, phase)?));
            }
            "default-errorfiles" => self.set_body(Body::Said(AnswerBody::ErrorPage))?,
            "errorfile" => {
                let bytes = message_file(scene.shared, cursor)?;
                self.set_body(Body::Said(AnswerBody::Message(bytes)))?;
            }
            "errorfiles" => {
                let files = named_files(scene.shared, cursor)?.clone();
                self.set_body(Body::Named(files))?;
            }
            "string" => {
                let text = cursor.need("a text")?.bytes.clone();
                if text.is_empty() {
                    return Err(Said::new("'string' needs a text"));
                }
                self.set_body(Body::Said(AnswerBody::Fixed(text.into())))?;
            }
            "lf-string" => {
                let text = cursor.need("a text")?;
                let template = format::text(scene, &text.bytes, phase)?;
                self.set_body(Body::Said(AnswerBody::Template(template)))?;
            }
            "file" | "lf-file" => self.file(scene, cursor, word, phase)?,
            other => {
                return Err(Said::new(format!("'{other}' is wrong here")).hint(
                    "status, content-type, hdr, string, lf-string, file, lf-file, errorfile, errorfiles or \
                     default-errorfiles may stand here",
                ));
            }
        }
        Ok(())
    }

    fn file(&mut self, scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>, word: &str, phase: Phase) -> Done {
        let bytes = page_bytes(scene.shared, cursor.text("a file")?)?;
        self.set_body(Body::Said(match (word, bytes.is_empty()) {
            (_, true) => AnswerBody::Empty,
            ("lf-file", _) => AnswerBody::Template(format::text(scene, &bytes, phase)?),
            _ => AnswerBody::Fixed(bytes.into()),
        }))
    }

    fn set_body(&mut self, body: Body) -> Done {
        if self.body.is_some() {
            return Err(Said::new("an answer has one body"));
        }
        self.body = Some(body);
        Ok(())
    }

    fn finish(self, scene: &mut Scene<'_, '_>, status: u16) -> Done<Answer> {
        let body = match self.body {
            None => AnswerBody::Empty,
            Some(Body::Said(body)) => body,
            Some(Body::Named(files)) => match files.get(&status) {
                Some(bytes) => AnswerBody::Message(Arc::clone(bytes)),
                None => {
                    scene.warn(format!("the http-errors section has no page for the status {status}"));
                    AnswerBody::ErrorPage
                }
            },
        };
        let has_body = matches!(body, AnswerBody::Fixed(_) | AnswerBody::Template(_));
        if has_body && self.content_type.is_none() {
            return Err(
                Said::new("an answer with a body needs a content type").hint("add: content-type text/plain")
            );
        }
        if !has_body && self.content_type.is_some() {
            scene.warn("'content-type' is ignored in an answer without a body");
        }
        let is_page = matches!(body, AnswerBody::ErrorPage | AnswerBody::Message(_));
        if is_page && !self.headers.is_empty() {
            scene.warn("'hdr' is ignored in an answer that is an error file");
        }
        let answer = Answer {
            status,
            content_type: self.content_type.filter(|_| has_body),
            headers: if is_page { Vec::new() } else { self.headers },
            body,
        };
        if is_page {
            check_page(&answer)?;
        }
        Ok(answer)
    }
}

/// There must be an error page for the status.
fn check_page(answer: &Answer) -> Done {
    if STATUSES.contains(&answer.status) { Ok(()) } else { Err(no_page(answer.status)) }
}
