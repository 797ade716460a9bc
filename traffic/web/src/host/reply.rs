//! Answers of our own in sites with virtual hosts, and what every answer gets before it leaves.

use super::Visit;
use super::send::Body;
use crate::client::Conn;
use crate::exchange::{After, Exchange};
use crate::local::Workspace;
use crate::scene::Scene;
use plan::host::Settings;
use plan::rule::Template;
use std::sync::Arc;
use std::time::Duration;
use tasks::clock;
use wire::http1::{BodyFraming, Keep, Name, ResponseHead, date, reason_of};

/// An answer of our own.
pub(crate) struct Reply {
    /// Status and fields of its own.
    pub head: ResponseHead,
    /// Body.
    pub body: Body,
    /// Parts of it may be asked for.
    pub ranges: bool,
    /// Its length is not told beforehand.
    pub streamed: bool,
    /// Other clients may get other bytes.
    pub varies: bool,
}

impl Reply {
    /// An answer with these bytes.
    pub fn new(head: ResponseHead, body: Vec<u8>) -> Reply {
        Reply { head, body: Body::from(body), ranges: false, streamed: false, varies: false }
    }
}

/// The page of a failure or a redirect.
pub(crate) fn error_page(exchange: &Exchange, status: u16) -> Reply {
    // Statuses of ours that clients do not know are told as what they are a kind of.
    let told = if (494..=498).contains(&status) { 400 } else { status };
    let mut head = head(told);
    let body = page(exchange, status);
    if !body.is_empty() {
        head.fields.append(b"Content-Type", b"text/html");
    }
    if let Some(to) = exchange.visit.as_deref().and_then(|visit| visit.redirect_to.as_deref())
        && matches!(status, 201 | 301..=308)
    {
        head.fields.append(b"Location", &location(exchange, to));
    }
    if let Some(challenge) =
        exchange.visit.as_deref().and_then(|visit| visit.challenge.as_deref()).filter(|_| status == 401)
    {
        head.fields.append(b"WWW-Authenticate", challenge);
    }
    if let Some(realm) =
        exchange.visit.as_deref().and_then(|visit| visit.realm.as_deref()).filter(|_| status == 401)
    {
        let quoted: Vec<u8> = realm.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\\')).collect();
        head.fields.append(b"WWW-Authenticate", &[b"Basic realm=\"", &quoted[..], b"\""].concat());
    }
    if let Some(length) =
        exchange.visit.as_deref().and_then(|visit| visit.unsatisfied).filter(|_| status == 416)
    {
        ::files::range::into_nothing(&mut head, length);
    }
    Reply::new(head, body)
}

/// A text that the configuration says.
pub(crate) fn said(exchange: &Exchange, status: u16, body: Vec<u8>) -> Reply {
    let mut head = head(status);
    let visit = exchange.visit.as_deref().filter(|_| status != 204);
    let kind = visit.map_or("", |visit| content_type(&visit.location.settings, &visit.path));
    if !kind.is_empty() {
        head.fields.append(b"Content-Type", kind.as_bytes());
    }
    Reply::new(head, if status == 204 { Vec::new() } else { body })
}

pub(crate) fn head(status: u16) -> ResponseHead {
    ResponseHead::new(status, reason(status).as_bytes())
}

/// Reasons as nginx's users know them.
fn reason(status: u16) -> &'static str {
    match status {
        302 => "Moved Temporarily",
        402 => "Payment Required",
        405 => "Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        416 => "Requested Range Not Satisfiable",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        507 => "Insufficient Storage",
        _ => reason_of(status),
    }
}

/// The built-in page; empty for statuses that have none.
fn page(exchange: &Exchange, status: u16) -> Vec<u8> {
    // What the client did wrong, where the status does not say it.
    let more = match status {
        494 => "Request Header Or Cookie Too Large",
        495 => "The SSL certificate error",
        496 => "No required SSL certificate was sent",
        497 => "The plain HTTP request was sent to HTTPS port",
        301..=303 | 307 | 308 | 400..=406 | 408..=416 | 421 | 429 | 500..=505 | 507 => "",
        _ => return Vec::new(),
    };
    let heading = match status {
        302 => "302 Found".to_owned(),
        401 => "401 Authorization Required".to_owned(),
        494..=497 => "400 Bad Request".to_owned(),
        _ => format!("{status} {}", reason(status)),
    };
    let (title, line) = match more {
        "" => (heading.clone(), String::new()),
        _ => (format!("400 {more}"), format!("<center>{more}</center>\r\n")),
    };
    let us = exchange.visit.as_deref().map(|visit| visit.location.settings.server.page.clone());
    let us = us.unwrap_or_default();
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n\
         {line}<hr><center>{us}</center>\r\n</body>\r\n</html>\r\n"
    )
    .into_bytes()
}

/// Content type by the end of the path.
pub(crate) fn content_type<'s>(settings: &'s Settings, path: &[u8]) -> &'s str {
    ::files::types::of(&settings.types, path)
}

/// Where a redirect of ours leads, with scheme and host when wanted.
pub(super) fn location(exchange: &Exchange, to: &[u8]) -> Vec<u8> {
    let Some(visit) = exchange.visit.as_deref() else { return to.to_vec() };
    let redirects = visit.location.settings.redirects;
    if !to.starts_with(b"/") || !redirects.absolute {
        return to.to_vec();
    }
    let mut out = b"http://".to_vec();
    let local = exchange.local.ip();
    match (redirects.server_name, visit.name.is_empty(), local) {
        (true, _, _) if !visit.host.name.is_empty() => out.extend_from_slice(visit.host.name.as_bytes()),
        (_, false, _) => out.extend_from_slice(&visit.name),
        (_, true, Some(local)) => out.extend_from_slice(local.ip().to_string().as_bytes()),
        (_, true, None) => return to.to_vec(),
    }
    if let Some(port) = local.map(|local| local.port()).filter(|port| redirects.port && *port != 80) {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    out.extend_from_slice(to);
    out
}

/// What every answer gets before it leaves: the status of the failure it tells of, who we are, the date, fields of
/// the location. The head stands in `work.response`.
pub(crate) fn dress(exchange: &mut Exchange, work: &mut Workspace, conn: &Conn) {
    let Some(visit) = exchange.visit.as_deref() else { return };
    let location = Arc::clone(&visit.location);
    let settings = &location.settings;
    if let Some(status) = visit.failure {
        work.response
            .set_status(if (494..=498).contains(&status) { 400 } else { status }, reason(status).as_bytes());
    }
    let status = work.response.status;
    // A redirect stays one when its page comes from elsewhere.
    if let Some(to) = visit.redirect_to.as_deref().filter(|_| matches!(status, 301..=308))
        && work.response.fields.find(Name::Location).is_none()
    {
        work.response.fields.append(b"Location", &self::location(exchange, to));
    }
    super::proxy::add_kept(visit, &mut work.response);
    if let Some(charset) = &settings.delivery.charset {
        ::files::types::name_charset(charset, &mut work.response.fields);
    }
    if !settings.server.header.is_empty() && work.response.fields.find(Name::Server).is_none() {
        work.response.fields.append(b"Server", settings.server.header.as_bytes());
    }
    let now = conn.local.wall_us(clock::now()).div_euclid(1_000_000).max(0) as u64;
    if work.response.fields.find(Name::Date).is_none() {
        work.response.fields.append(b"Date", &date::format(now));
    }
    if let Some(cause) = exchange.cause.filter(|_| !settings.cause_header.is_empty() && status >= 500) {
        work.response.fields.append(settings.cause_header.as_bytes(), cause.label().as_bytes());
    }
    let headers = &settings.headers;
    if let Some(expires) = headers.expires.as_ref().filter(|_| ::files::freshness::is_addable(status)) {
        let (request, zone) = (&work.request, exchange.zone_s.into());
        let text = |template: &Template| template.text(&Scene { exchange, request, response: None });
        ::files::freshness::say(expires, &mut work.response.fields, now as i64, zone, text);
    }
    for field in headers.add.iter().filter(|field| field.always || ::files::freshness::is_addable(status)) {
        let value = answer_text(exchange, work, &field.value);
        ::files::freshness::add_one(&mut work.response.fields, &field.name, &value);
    }
}

/// The text of a template that may ask for the answer.
pub(crate) fn answer_text(exchange: &Exchange, work: &Workspace, template: &Template) -> Vec<u8> {
    template.text(&Scene { exchange, request: &work.request, response: Some(&work.response) })
}

/// What clients hear of a connection that is kept.
pub(crate) fn told(exchange: &Exchange) -> Keep {
    let visit = exchange.visit.as_deref();
    let seconds = visit.and_then(|visit| visit.location.settings.client.keep_alive.told);
    seconds.map_or(Keep::Said, |told| Keep::SaidFor(told.as_secs()))
}

/// What becomes of the connection behind an answer of ours.
pub(super) fn settle(
    conn: &mut Conn,
    work: &mut Workspace,
    exchange: &Exchange,
    sent: bool,
    keep: bool,
) -> After {
    let here = !exchange.bad_request && !exchange.body_spent && body_is_here(work);
    if sent && here {
        drop_body(work);
    }
    let keep_alive = keep_open(conn, exchange);
    match (sent, keep) {
        (false, _) => After::Cut,
        (true, true) => keep_alive,
        (true, false) if here && work.buffer.is_empty() => After::End,
        (true, false) => After::Close,
    }
}

/// The connection waits for another request, as long as the location says.
pub(super) fn keep_open(conn: &mut Conn, exchange: &Exchange) -> After {
    conn.idle_time = exchange.visit.as_deref().map(|visit| visit.location.settings.client.keep_alive.timeout);
    After::KeepAlive
}

/// Whether the client's connection may serve another request.
pub(crate) fn keeps(conn: &Conn, work: &Workspace, exchange: &Exchange) -> bool {
    let Some(visit) = exchange.visit.as_deref() else { return false };
    let keep_alive = &visit.location.settings.client.keep_alive;
    let agent = work.request.fields.find_str(b"user-agent").next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(agent, word).is_some();
    let old_browser = keep_alive.not_for_msie6
        && work.request.method() == b"POST"
        && (has(b"MSIE 4.") || has(b"MSIE 5.") || has(b"MSIE 6."));
    let safari = keep_alive.not_for_safari && has(b"Safari/") && has(b"Mac OS X") && !has(b"Chrom");
    let status = work.response.status;
    conn.may_keep(&work.request)
        && !exchange.bad_request
        && !exchange.body_spent
        && keep_alive.timeout > Duration::ZERO
        && exchange.number < keep_alive.requests
        && clock::now().saturating_sub(conn.accepted) < keep_alive.age
        && !matches!(status, 400 | 413 | 414 | 500 | 501)
        && !old_browser
        && !safari
}

/// True when all of the request's body already lies in the buffer.
pub(super) fn body_is_here(work: &Workspace) -> bool {
    match work.request.framing() {
        BodyFraming::None => true,
        BodyFraming::Length(n) => work.buffer.len() as u64 >= n,
        BodyFraming::Chunked | BodyFraming::UntilClose => false,
    }
}

fn drop_body(work: &mut Workspace) {
    if let BodyFraming::Length(n) = work.request.framing() {
        work.buffer.consume(n as usize);
    }
}

impl Visit {
    /// Silence of the client that is borne while we send.
    pub fn send_timeout(&self) -> Duration {
        self.location.settings.client.send_timeout
    }
}
