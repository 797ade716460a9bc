//! Content from files below the root of a location.

use super::{Reply, Turn, reply};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use wire::http1::RequestHead;

/// Answers with the file that the path stands for.
pub(super) async fn serve(_conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    if !matches!(work.request.method(), b"GET" | b"HEAD") {
        return Turn::Fail(405);
    }
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Fail(500) };
    if visit.path.ends_with(b"/") {
        return Turn::Fail(403);
    }
    let name = file_name(exchange, &work.request, &visit.path);
    let Ok(body) = std::fs::read(OsStr::from_bytes(&name)) else { return Turn::Fail(404) };
    let mut head = reply::head(200);
    let kind = reply::content_type(&visit.location.settings, &visit.path);
    head.fields.append(b"Content-Type", kind.as_bytes());
    Turn::Reply(Box::new(Reply { head, body }))
}

/// The file that `path` stands for.
pub(super) fn file_name(exchange: &Exchange, request: &RequestHead, path: &[u8]) -> Vec<u8> {
    let mut name = root(exchange, request);
    let alias = exchange.visit.as_deref().and_then(|visit| visit.location.settings.root.alias);
    name.extend_from_slice(path.get(alias.unwrap_or(0)..).unwrap_or_default());
    name
}

/// The root or alias of the location.
pub(super) fn root(exchange: &Exchange, request: &RequestHead) -> Vec<u8> {
    let scene = Scene { exchange, request, response: None };
    let template = exchange.visit.as_deref().map(|visit| &visit.location.settings.root.path);
    template.map(|template| template.text(&scene)).unwrap_or_default()
}

/// The same without symbolic links.
pub(super) fn real_root(exchange: &Exchange, request: &RequestHead) -> Option<Vec<u8>> {
    let path = std::fs::canonicalize(OsStr::from_bytes(&root(exchange, request))).ok()?;
    Some(path.as_os_str().as_bytes().to_vec())
}

/// Whether the file, or the directory, that `path` stands for is there.
pub(super) fn is_there(exchange: &Exchange, work: &Workspace, path: &[u8], is_directory: bool) -> bool {
    let name = file_name(exchange, &work.request, path);
    let found = std::fs::metadata(OsStr::from_bytes(&name));
    found.is_ok_and(|found| if is_directory { found.is_dir() } else { found.is_file() })
}
