//! Lines in the access logs of a request's location.

use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use plan::Severity;
use plan::host::{AccessLog, AccessTarget, KeepOpen};
use plan::rule::Template;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, PathBuf};

/// Longest path that a request may make.
const LONGEST: usize = 4096;

/// Writes a line to each log that wants one.
pub(crate) fn log(conn: &Conn, work: &Workspace, exchange: &Exchange, logs: &[AccessLog]) {
    if logs.is_empty() {
        return;
    }
    let scene = Scene { exchange, request: &work.request, response: Some(&work.response) };
    for log in logs {
        if log.when.as_ref().is_some_and(|when| matches!(&*when.text(&scene), b"" | b"0")) {
            continue;
        }
        match &log.to {
            AccessTarget::Open(at) => {
                if let Some(route) = conn.site.access_routes.get(usize::from(*at)) {
                    let queue = conn.local.log.borrow();
                    // Most severe: a syslog target lowers it to what it was told.
                    queue.write(route, Severity::Emergency, |out| log.line.write(&scene, out));
                }
            }
            AccessTarget::Made(path, keep) => append(conn, &scene, &log.line, path, *keep),
        }
    }
}

/// A line for a file whose path the request makes. What the client wrote must not lead out of the folder.
fn append(conn: &Conn, scene: &Scene<'_>, line: &Template, path: &Template, keep: KeepOpen) {
    let path = path.text(scene);
    if path.is_empty() || path.len() > LONGEST || path.contains(&0) {
        return;
    }
    let path = PathBuf::from(OsString::from_vec(path));
    if path.components().any(|part| part == Component::ParentDir) {
        return;
    }
    conn.local.log.borrow().append(path, keep, line.text(scene));
}
