//! What we say ourselves: error pages, fixed answers, redirects, requests for a password.

use crate::scene::Scene;
use plan::pages::{Answer, AnswerBody, ErrorPage, ErrorPages};
use plan::rule::{Redirect, RedirectKind};
use std::borrow::Cow;
use wire::http1::{
    BodyFraming, Connection, Limits, Progress, RequestHead, RequestKind, ResponseEdit, ResponseHead, Version,
    parse_response, reason_of, write_response,
};

/// An answer of our own, ready to be written.
pub(crate) enum Own {
    /// Head and body.
    Message(ResponseHead, Vec<u8>),
    /// The same as the operator wrote it whole: without a length in it, the end of the connection ends it.
    Whole(ResponseHead, Vec<u8>),
    /// The connection ends without a byte.
    Nothing,
}

/// The error page of `status`: the pool's, the site's, or the built-in one.
pub(crate) fn error_page(status: u16, pages: &[&ErrorPages], scene: Option<&Scene<'_>>) -> Own {
    match pages.iter().find_map(|pages| pages.0.get(&status)) {
        Some(ErrorPage::Raw(bytes)) => whole(bytes, status),
        // Its own status may be another one: a redirect in place of the page.
        Some(ErrorPage::Built(answer)) => built(answer, answer.status, scene),
        None => built_in(status),
    }
}

/// The answer that a rule asks for.
pub(crate) fn fixed(answer: &Answer, pages: &[&ErrorPages], scene: &Scene<'_>) -> Own {
    match &answer.body {
        AnswerBody::ErrorPage if answer.headers.is_empty() => error_page(answer.status, pages, Some(scene)),
        AnswerBody::Message(bytes) => whole(bytes, answer.status),
        _ => built(answer, answer.status, Some(scene)),
    }
}

/// A redirect.
pub(crate) fn redirect(redirect: &Redirect, location: &[u8], scene: &Scene<'_>) -> Own {
    let mut head = head(redirect.status);
    head.fields.append(b"location", location);
    if let Some(cookie) = &redirect.set_cookie {
        head.fields.append(b"set-cookie", &cookie.text(scene));
    }
    // Permanent ones may be kept (RFC 9110, 15.4.2 and 15.4.9).
    if !matches!(redirect.status, 301 | 308) {
        head.fields.append(b"cache-control", b"no-cache");
    }
    Own::Message(head, Vec::new())
}

/// 401 that asks for a password (RFC 7617).
pub(crate) fn authenticate(realm: &str, pages: &[&ErrorPages]) -> Own {
    let mut own = error_page(401, pages, None);
    if let Own::Message(head, _) | Own::Whole(head, _) = &mut own {
        let quoted = realm.replace(['"', '\\'], "");
        head.fields.append(b"www-authenticate", format!("Basic realm=\"{quoted}\"").as_bytes());
    }
    own
}

/// The location of a redirect.
pub(crate) fn location(redirect: &Redirect, scene: &Scene<'_>, request: &RequestHead) -> Vec<u8> {
    let target = || {
        let target = if redirect.drop_query { request.path() } else { request.path_and_query() };
        if redirect.append_slash { with_slash(target) } else { Cow::Borrowed(target) }
    };
    match &redirect.kind {
        RedirectKind::Location(template) if redirect.keep_query => {
            with_query(template.text(scene), request.query())
        }
        RedirectKind::Location(template) => template.text(scene),
        RedirectKind::Prefix(template) => {
            let prefix = template.text(scene);
            // "/" as a prefix means none, so that an absolute form becomes a path.
            let prefix = if prefix == b"/" { Vec::new() } else { prefix };
            [&prefix[..], &target()].concat()
        }
        RedirectKind::Scheme(template) => {
            [&template.text(scene)[..], b"://", request.host(), &target()].concat()
        }
    }
}

/// Writes an answer of our own.
pub(crate) fn write(
    head: &ResponseHead,
    body: &[u8],
    framing: BodyFraming,
    keep: bool,
    headless: bool,
    version: Version,
    out: &mut Vec<u8>,
) {
    let edit = ResponseEdit {
        connection: if keep { Connection::KeepAlive } else { Connection::Close },
        version_to_client: version,
        framing,
        ..ResponseEdit::default()
    };
    write_response(head, out, &edit);
    if !headless {
        out.extend_from_slice(body);
    }
}

/// A location with the query of the request behind its own.
fn with_query(mut location: Vec<u8>, query: Option<&[u8]>) -> Vec<u8> {
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        location.push(if location.contains(&b'?') { b'&' } else { b'?' });
        location.extend_from_slice(query);
    }
    location
}

fn with_slash(target: &[u8]) -> Cow<'_, [u8]> {
    let query = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    if query > 0 && target[query - 1] == b'/' {
        return Cow::Borrowed(target);
    }
    Cow::Owned([&target[..query], b"/", &target[query..]].concat())
}

/// A whole message as the operator wrote it, taken apart so that rules may edit it. What is no message
/// becomes the built-in page.
fn whole(bytes: &[u8], status: u16) -> Own {
    if bytes.is_empty() {
        return Own::Nothing;
    }
    let mut head = ResponseHead::default();
    match parse_response(bytes, &Limits::response(), RequestKind::default(), &mut head) {
        Ok(Progress::Complete { consumed }) => {
            // Only a said `Connection: close` ends the connection.
            head.version = Version::Http11;
            Own::Whole(head, bytes[consumed..].to_vec())
        }
        _ => built_in(status),
    }
}

fn built(answer: &Answer, status: u16, scene: Option<&Scene<'_>>) -> Own {
    let (body, default_type): (Vec<u8>, _) = match &answer.body {
        AnswerBody::Empty => (Vec::new(), None),
        AnswerBody::Fixed(bytes) => (bytes.to_vec(), Some("text/plain")),
        AnswerBody::Template(template) => {
            (scene.map(|scene| template.text(scene)).unwrap_or_default(), Some("text/plain"))
        }
        AnswerBody::ErrorPage => (page_text(status), Some("text/html")),
        AnswerBody::Message(bytes) => return whole(bytes, status),
    };
    let mut head = head(status);
    for (name, value) in &answer.headers {
        let value = scene.map(|scene| value.text(scene)).unwrap_or_default();
        if !value.is_empty() {
            head.fields.append(name.as_bytes(), &value);
        }
    }
    if let Some(content_type) = answer.content_type.as_deref().or(default_type) {
        head.fields.append(b"content-type", content_type.as_bytes());
    }
    Own::Message(head, body)
}

/// The built-in page: fixed text, nothing of the request in it.
fn built_in(status: u16) -> Own {
    let mut head = head(status);
    head.fields.append(b"cache-control", b"no-cache");
    head.fields.append(b"content-type", b"text/html");
    Own::Message(head, page_text(status))
}

fn page_text(status: u16) -> Vec<u8> {
    let (reason, sentence) = (reason_of(status), sentence(status));
    format!("<html><body><h1>{status} {reason}</h1>\n{sentence}\n</body></html>\n").into_bytes()
}

pub(crate) fn head(status: u16) -> ResponseHead {
    ResponseHead::new(status, reason_of(status).as_bytes())
}

fn sentence(status: u16) -> &'static str {
    match status {
        200 => "All is well.",
        400 => "The request is not valid HTTP.",
        401 => "A name and a password are needed.",
        403 => "The rules of this site forbid the request.",
        404 => "There is nothing here.",
        405 => "The method is not served here.",
        408 => "The request did not arrive in time.",
        410 => "It was here and is gone.",
        413 => "The request body is too large.",
        414 => "The address is too long.",
        417 => "The expectation cannot be met.",
        421 => "This server does not answer for that host.",
        422 => "The request cannot be processed.",
        425 => "It is too early for this request.",
        429 => "Too many requests; please wait.",
        431 => "The request head is too large.",
        500 => "Something failed inside the balancer.",
        501 => "The request needs something that is not implemented.",
        502 => "A server answered wrongly or not at all.",
        503 => "No server can take the request right now.",
        504 => "A server did not answer in time.",
        505 => "This version of HTTP is not served.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_put_before_the_query() {
        assert_eq!(&*with_slash(b"/a?x=1"), b"/a/?x=1");
        assert_eq!(&*with_slash(b"/a/?x=1"), b"/a/?x=1");
        assert_eq!(&*with_slash(b"/a"), b"/a/");
    }
}
