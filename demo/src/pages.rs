//! The plain routes: who answered, bodies of a chosen size, echo, delay.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::application::Shared;

/// Largest body that GET /bytes gives.
const MOST_BYTES: usize = 1 << 30;

/// GET /: a page for people.
pub async fn home(State(application): State<Shared>) -> Html<String> {
    let name = escaped(&application.name);
    Html(format!(
        "<!DOCTYPE html>\n<html>\n<head><title>HA Web Application</title></head>\n<body>\n\
         <h1>High Availability Web Application</h1>\n<p>Served by: <strong>{name}</strong></p>\n</body>\n</html>\n"
    ))
}

/// GET /whoami: the name alone.
pub async fn whoami(State(application): State<Shared>) -> String {
    application.name.clone()
}

/// GET /bytes/{count}: a body of that many bytes; the byte at place `i` is `'a' + i % 23`.
pub async fn bytes(Path(count): Path<usize>) -> Response {
    if count > MOST_BYTES {
        return (StatusCode::BAD_REQUEST, "more bytes than this server gives\n").into_response();
    }
    let block: Vec<u8> = (b'a'..b'a' + 23).cycle().take(23 * 1024).collect();
    let mut body = block.repeat(count.div_ceil(block.len()));
    body.truncate(count);
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

/// POST /echo: the body as it came, while it comes.
pub async fn echo(headers: HeaderMap, request: Request) -> Response {
    let body = Body::new(request.into_body());
    match headers.get(header::CONTENT_TYPE) {
        Some(kind) => ([(header::CONTENT_TYPE, kind.clone())], body).into_response(),
        None => body.into_response(),
    }
}

/// GET /slow/{ms}: the name, after a delay.
pub async fn slow(State(application): State<Shared>, Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    application.name.clone()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
