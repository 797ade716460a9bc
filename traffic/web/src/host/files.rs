//! Content from files below the root of a location: the index of a folder, its listing, the file itself.

use super::send::Body;
use super::tell::tell;
use super::{Reply, Turn, Visit, reply, text};
use crate::client::Conn;
use crate::exchange::Exchange;
use crate::local::Workspace;
use crate::scene::Scene;
use ::files::keep::LARGEST;
use ::files::{Facts, Fault, Kind, Opened, gzip, listing, open, path};
use plan::Severity;
use plan::host::{Directories, Location, Precompressed, Root, Symlinks};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use tasks::clock;
use wire::http1::{Escape, RequestHead, date, escape};

/// Answers with what the path stands for.
pub(super) async fn serve(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Fail(500) };
    let location = Arc::clone(&visit.location);
    let method = work.request.method();
    let (reads, posts) = (matches!(method, b"GET" | b"HEAD"), method == b"POST");
    if !visit.path.ends_with(b"/") {
        return if reads || posts { file(conn, work, exchange, &location) } else { Turn::Fail(405) };
    }
    if (reads || posts)
        && let Some(turn) = index(conn, work, exchange, &location)
    {
        return turn;
    }
    let how = location.settings.index.listing;
    match () {
        () if reads && how != Directories::Hidden => list(conn, work, exchange, how),
        () if reads || posts => {
            let path = exchange.visit.as_deref().map(|visit| visit.path.clone()).unwrap_or_default();
            let folder = file_name(exchange, &work.request, &path).unwrap_or_default();
            let name = String::from_utf8_lossy(&folder);
            let line = format!("directory index of \"{name}\" is forbidden");
            tell(conn, work, exchange, Severity::Error, &line);
            Turn::Fail(403)
        }
        () => Turn::Fail(405),
    }
}

/// The first index that is there, as an internal redirect.
fn index(conn: &Conn, work: &Workspace, exchange: &mut Exchange, location: &Location) -> Option<Turn> {
    let names = Arc::clone(&location.settings.index.names);
    let default = [plan::Template::fixed("index.html")];
    let names = if names.is_empty() { &default[..] } else { &names[..] };
    let mut folder_is_there = false;
    for template in names {
        let name = text(exchange, work, template);
        let path = match name.first() {
            None => continue,
            Some(b'/') => name,
            Some(_) => {
                let folder = file_name(exchange, &work.request, &exchange.visit.as_deref()?.path)?;
                let path = [&exchange.visit.as_deref()?.path[..], &name].concat();
                let Some(file) = file_name(exchange, &work.request, &path) else { continue };
                match open::look(&file) {
                    Ok(_) => path,
                    Err(fault) if fault.is_missing_entry() => {
                        if !folder_is_there && let Err(fault) = look_into(&folder) {
                            return Some(failed(conn, work, exchange, "is not found", &folder, fault));
                        }
                        folder_is_there = true;
                        continue;
                    }
                    Err(fault) => return Some(failed(conn, work, exchange, "is not found", &folder, fault)),
                }
            }
        };
        let visit = exchange.visit.as_deref_mut()?;
        let arguments = std::mem::take(&mut visit.arguments);
        return Some(visit.redirect(path, Some(arguments)));
    }
    None
}

/// Is it a folder, as far as can be seen?
fn look_into(folder: &[u8]) -> Result<(), Fault> {
    match open::look(folder) {
        // An entry was looked for in it, so that searching it is allowed.
        Err(fault) if !fault.is_denied() => Err(fault),
        _ => Ok(()),
    }
}

/// A file or folder that cannot be had: told in the error log, unless a missing one is not worth it.
fn failed(conn: &Conn, work: &Workspace, exchange: &Exchange, what: &str, name: &[u8], fault: Fault) -> Turn {
    let status = fault.status();
    let log_missing = exchange.visit.as_deref().is_some_and(|visit| visit.location.settings.log_missing);
    if status != 404 || log_missing {
        let errno = fault.errno();
        let why = std::io::Error::from_raw_os_error(errno).to_string();
        let why = why.split(" (os error").next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let level = if status == 500 { Severity::Critical } else { Severity::Error };
        tell(conn, work, exchange, level, &format!("\"{name}\" {what} ({errno}: {why})"));
    }
    Turn::Fail(status)
}

/// The list of a folder.
fn list(conn: &Conn, work: &Workspace, exchange: &Exchange, how: Directories) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Fail(500) };
    let Some(mut folder) = file_name(exchange, &work.request, &visit.path) else { return Turn::Fail(404) };
    while folder.len() > 1 && folder.ends_with(b"/") {
        folder.pop();
    }
    let entries = match listing::read(&folder) {
        Ok(entries) => entries,
        Err(fault) => return failed(conn, work, exchange, "cannot be listed", &folder, fault),
    };
    let body = listing::render(how, &visit.path, &entries, |_| conn.local.clock.offset_s().into());
    let mut head = reply::head(200);
    head.fields.append(b"Content-Type", listing::content_type(how).as_bytes());
    Turn::Reply(Box::new(Reply { streamed: true, ..Reply::new(head, body) }))
}

/// The file itself, or a redirect to the folder.
fn file(conn: &Conn, work: &Workspace, exchange: &mut Exchange, location: &Location) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Fail(500) };
    let Some(name) = file_name(exchange, &work.request, &visit.path) else { return Turn::Fail(404) };
    let posts = work.request.method() == b"POST";
    let mut varies = false;
    if location.settings.delivery.precompressed != Precompressed::No && !posts {
        match packed(conn, work, exchange, location, &name) {
            Packed::Here(opened) => return answer(visit, location, opened.into(), true),
            Packed::ForOthers => varies = true,
            Packed::No => {}
        }
    }
    let opened = match source(conn, exchange, work, location, &name) {
        Ok(opened) => opened,
        Err(fault) => return failed(conn, work, exchange, "cannot be opened", &name, fault),
    };
    match opened.facts.kind {
        Kind::Folder => to_folder(exchange),
        Kind::Other => Turn::Fail(404),
        Kind::File if posts => Turn::Fail(405),
        Kind::File => match answer(visit, location, opened, false) {
            Turn::Reply(reply) => Turn::Reply(Box::new(Reply { varies, ..*reply })),
            turn => turn,
        },
    }
}

/// A file that is there: what is known of it, and its bytes.
struct Source {
    facts: Facts,
    body: Body,
}

impl From<Opened> for Source {
    fn from(opened: Opened) -> Source {
        Source { facts: opened.facts, body: Body::file(opened.file, opened.facts.length) }
    }
}

/// The file with this name, from memory when it is small and unchanged.
fn source(
    conn: &Conn,
    exchange: &Exchange,
    work: &Workspace,
    location: &Location,
    name: &[u8],
) -> Result<Source, Fault> {
    if location.settings.root.symlinks == Symlinks::Follow {
        let facts = open::look(name)?;
        if facts.kind != Kind::File {
            return Ok(Source { facts, body: Body::default() });
        }
        if facts.length <= LARGEST {
            let kept = conn.local.files.borrow().get(name, &facts).map(|bytes| (facts, bytes));
            let now_s = conn.local.wall_us(clock::now()).div_euclid(1_000_000);
            let kept = kept.or_else(|| conn.local.files.borrow_mut().take(name, now_s));
            if let Some((facts, bytes)) = kept {
                return Ok(Source { facts, body: Body::kept(bytes) });
            }
        }
    }
    open_file(exchange, work, location, name).map(Source::from)
}

/// A compressed file beside the file.
enum Packed {
    /// It is sent.
    Here(Opened),
    /// It is there, but not for this client.
    ForOthers,
    /// There is none.
    No,
}

fn packed(conn: &Conn, work: &Workspace, exchange: &Exchange, location: &Location, name: &[u8]) -> Packed {
    let delivery = &location.settings.delivery;
    let now_s = conn.local.wall_us(clock::now()).div_euclid(1_000_000);
    let may = delivery.precompressed == Precompressed::Always
        || gzip::may_have(&delivery.gzip, &work.request, None, now_s);
    if !may && !delivery.gzip.vary {
        return Packed::No;
    }
    match open_file(exchange, work, location, &[name, b".gz"].concat()) {
        Ok(opened) if opened.facts.kind == Kind::File && may => Packed::Here(opened),
        Ok(opened) if opened.facts.kind == Kind::File => Packed::ForOthers,
        _ => Packed::No,
    }
}

fn open_file(
    exchange: &Exchange,
    work: &Workspace,
    location: &Location,
    name: &[u8],
) -> Result<Opened, Fault> {
    let root = &location.settings.root;
    if root.symlinks == Symlinks::Follow {
        return ::files::open(name, Symlinks::Follow, 0);
    }
    let free = root.free.as_ref().map(|free| text(exchange, work, free)).unwrap_or_default();
    let free = if name.starts_with(&free) { free.len() } else { 0 };
    ::files::open(name, root.symlinks, free)
}

/// The answer with an open file.
fn answer(visit: &Visit, location: &Location, source: Source, is_packed: bool) -> Turn {
    let (settings, Source { facts, body }) = (&location.settings, source);
    let mut head = reply::head(200);
    let kind = reply::content_type(settings, &visit.path);
    if !kind.is_empty() {
        head.fields.append(b"Content-Type", kind.as_bytes());
    }
    head.fields.append(b"Last-Modified", &date::format(facts.modified_s.max(0) as u64));
    if settings.delivery.tags {
        head.fields.append(b"ETag", facts.tag().as_bytes());
    }
    if is_packed {
        head.fields.append(b"Content-Encoding", b"gzip");
    }
    let varies = is_packed && settings.delivery.precompressed == Precompressed::Accepted;
    Turn::Reply(Box::new(Reply { head, body, ranges: true, streamed: false, varies }))
}

/// The same path with a slash behind it, as a redirect.
fn to_folder(exchange: &mut Exchange) -> Turn {
    let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Fail(500) };
    let mut to = escape(&visit.path, Escape::Path).into_owned();
    to.push(b'/');
    if !visit.arguments.is_empty() {
        to.push(b'?');
        to.extend_from_slice(&visit.arguments);
    }
    visit.redirect_to = Some(to);
    Turn::Fail(301)
}

/// The file that `path` stands for; `None` when it could lead out of the root.
pub(super) fn file_name(exchange: &Exchange, request: &RequestHead, path: &[u8]) -> Option<Vec<u8>> {
    let visit = exchange.visit.as_deref()?;
    let scene = Scene { exchange, request, response: None };
    path::of(&visit.location.settings.root, path, visit.tried, |template| template.text(&scene)).ok()
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

/// The path of the request when the file, or the folder, that is tried is there.
pub(super) fn found(exchange: &Exchange, work: &Workspace, tried: &[u8], is_folder: bool) -> Option<Vec<u8>> {
    let visit = exchange.visit.as_deref()?;
    let root = &visit.location.settings.root;
    // With an alias what is tried counts from the alias on, also when it repeats the path of the location.
    let replaced = root.alias.filter(|alias| *alias != Root::WHOLE).unwrap_or(0);
    let own = visit.path.get(..replaced).unwrap_or_default();
    let rest = tried.strip_prefix(own).unwrap_or(tried);
    let path = [own, rest].concat();
    let scene = Scene { exchange, request: &work.request, response: None };
    let name = path::of(root, &path, true, |template| template.text(&scene)).ok()?;
    let wanted = if is_folder { Kind::Folder } else { Kind::File };
    open::look(&name).ok().filter(|facts| facts.kind == wanted)?;
    Some(path)
}
