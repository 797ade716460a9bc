//! `timeout NAME TIME`, and the three words it had before.

use super::keywords::{self, ANY, B, D, Entry, F};
use super::said::{Cursor, Done, Said};
use super::scene::{Kind, Proxy, Scene};
use super::units;
use std::time::Duration;

type Set = fn(&mut Proxy, Option<Duration>);

macro_rules! entry {
    ($name:literal, $sections:expr, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: $sections, act: $act, manual: $manual }
    };
}

/// All time-outs.
pub(super) const TIMEOUTS: &[Entry<Set>] = &[
    entry!("check", D | B, |p, t| p.pool.timeouts.check = t, "for the answer to a check, once connected"),
    entry!("client", D | F, |p, t| p.site.timeouts.client = t, "longest silence of the client"),
    entry!("client-fin", D | F, |p, t| p.site.timeouts.client_fin = t, "the same, half closed"),
    entry!("connect", D | B, |p, t| p.pool.timeouts.connect = t, "to connect to a server"),
    entry!(
        "http-keep-alive",
        ANY,
        |p, t| p.site.timeouts.keep_alive = t,
        "from a response to the next request"
    ),
    entry!(
        "http-request",
        ANY,
        |p, t| p.site.timeouts.request = t,
        "from the first byte of a request to the end of its head"
    ),
    entry!("queue", D | B, |p, t| p.pool.timeouts.queue = t, "in a queue for a server"),
    entry!("server", D | B, |p, t| p.pool.timeouts.server = t, "longest silence of the server"),
    entry!("server-fin", D | B, |p, t| p.pool.timeouts.server_fin = t, "the same, half closed"),
    entry!("tarpit", ANY, |p, t| p.site.timeouts.tarpit = t, "how long a tarpitted client is held"),
    entry!(
        "tunnel",
        D | B,
        |p, t| p.pool.timeouts.tunnel = t,
        "longest silence of both sides after an upgrade"
    ),
];

/// `timeout NAME TIME`.
pub(super) fn timeout(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let name = cursor.text("a name")?;
    let Some(entry) = TIMEOUTS.iter().find(|e| e.name == name) else {
        let hint = keywords::nearest(name, TIMEOUTS.iter().map(|e| e.name));
        let known = TIMEOUTS.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
        let hint = if hint.is_empty() { format!("these are: {known}") } else { hint };
        return Err(Said::new(format!("there is no time-out '{name}'")).hint(hint).at(1));
    };
    let time = cursor.time()?;
    cursor.end()?;
    let kind = scene.proxy.kind;
    if entry.sections & keywords::sections_of(kind, false) == 0 {
        scene.warn(format!("'timeout {name}' is ignored in a {} section", kind.word()));
        return Ok(());
    }
    if kind == Kind::Backend && entry.sections == ANY {
        scene.no_effect(cursor.line, 1, "it is taken from the frontend");
    }
    (entry.act)(scene.proxy, units::limit(time));
    Ok(())
}

/// `clitimeout TIME`.
pub(super) fn old_client(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    old(scene, cursor, "timeout client", |p, t| p.site.timeouts.client = t)
}

/// `srvtimeout TIME`.
pub(super) fn old_server(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    old(scene, cursor, "timeout server", |p, t| p.pool.timeouts.server = t)
}

/// `contimeout TIME`.
pub(super) fn old_connect(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    old(scene, cursor, "timeout connect", |p, t| p.pool.timeouts.connect = t)
}

fn old(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, modern: &str, set: Set) -> Done {
    let time = cursor.time()?;
    cursor.end()?;
    scene.shared.old(cursor.line, cursor.line.text(0), modern)?;
    set(scene.proxy, units::limit(time));
    Ok(())
}
