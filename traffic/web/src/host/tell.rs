//! Lines about a request for the error log of its location.

use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use plan::Severity;
use plan::rule::{Value, VisitFact};
use std::ops::ControlFlow;

/// Longest part of a client's that a line holds, bytes.
const LONGEST: usize = 2048;

/// Writes a line, with who asked for what, when the location's error log wants such lines.
pub(crate) fn tell(conn: &Conn, work: &Workspace, exchange: &Exchange, level: Severity, text: &str) {
    let Some(visit) = exchange.visit.as_deref() else { return };
    let at = visit.location.settings.error_log;
    let Some(route) = at.and_then(|at| conn.site.error_routes.get(usize::from(at))) else { return };
    if !route.wants(level) {
        return;
    }
    let queue = conn.local.log.borrow();
    queue.write(route, level, |out| {
        out.extend_from_slice(format!("*{} {text}", exchange.connection + 1).as_bytes());
        let scene = Scene { exchange, request: &work.request, response: None };
        for (name, fact, quoted) in [
            (", client: ", VisitFact::ClientAddress, false),
            (", server: ", VisitFact::ServerName, false),
            (", request: ", VisitFact::RequestLine, true),
            (", host: ", VisitFact::Header("host".into()), true),
        ] {
            put(&scene, name, &fact, quoted, out);
        }
    });
    queue.hurry();
}

/// One fact, when there is one. The client's bytes cannot make a line of their own.
fn put(scene: &Scene<'_>, name: &str, fact: &VisitFact, quoted: bool, out: &mut Vec<u8>) {
    super::each_fact(scene, fact, &mut |value: Value<'_>| {
        let value = value.into_text();
        if value.is_empty() && quoted {
            return ControlFlow::Break(());
        }
        out.extend_from_slice(name.as_bytes());
        let mark: &[u8] = if quoted { b"\"" } else { b"" };
        out.extend_from_slice(mark);
        let shown = &value[..value.len().min(LONGEST)];
        out.extend(shown.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
        out.extend_from_slice(mark);
        ControlFlow::Break(())
    });
}
