//! Whether a client may: by address, by name and password, by another request of ours.

use super::subrequest::{self, Said};
use super::{Turn, text};
use crate::client::Conn;
use crate::exchange::{After, Exchange};
use crate::local::Workspace;
use listener::Peer;
use plan::host::{AccessRule, AccessWho, BasicAuth, Satisfy};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use telemetry::Cause;

/// What a guard says.
enum Verdict {
    /// It has nothing to say.
    Silent,
    /// The client may.
    Passes,
    /// It may not; the status says why.
    Refuses(u16),
}

/// Asks the guards of the location; `Turn::Content` when the client may.
pub(super) async fn check(conn: &mut Conn, work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Done(After::Close) };
    let location = Arc::clone(&visit.location);
    let settings = &location.settings;
    if visit.is_beside
        || settings.access.is_empty() && settings.basic_auth.is_none() && settings.subrequest.is_none()
    {
        return Turn::Content;
    }
    let any = settings.satisfy == Satisfy::Any;
    let mut refused = None;
    for guard in 0..3 {
        let verdict = match guard {
            0 => by_address(&settings.access, exchange.client),
            1 => match &settings.basic_auth {
                Some(auth) => by_password(auth, work, exchange),
                None => Verdict::Silent,
            },
            _ => match &settings.subrequest {
                Some(asked) => match subrequest::ask(conn, work, exchange, asked).await {
                    Said::Yes => Verdict::Passes,
                    Said::No(status) => Verdict::Refuses(status),
                },
                None => Verdict::Silent,
            },
        };
        match verdict {
            Verdict::Silent => {}
            Verdict::Passes if any => {
                refused = None;
                break;
            }
            Verdict::Passes => {}
            Verdict::Refuses(status @ (401 | 403)) if any => {
                refused = Some(if refused == Some(401) { 401 } else { status });
            }
            Verdict::Refuses(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    match refused {
        None => Turn::Content,
        Some(status) => {
            exchange.denied = true;
            exchange.fail(Cause::Denied);
            Turn::Fail(status)
        }
    }
}

/// The first rule that fits.
fn by_address(rules: &[AccessRule], client: Peer) -> Verdict {
    let address = client.ip().map(|client| client.ip());
    let fits = |rule: &&AccessRule| match &rule.who {
        AccessWho::All => true,
        AccessWho::Unix => address.is_none(),
        AccessWho::Network(network) => address.is_some_and(|address| network.contains(address)),
    };
    match rules.iter().find(fits) {
        None => Verdict::Silent,
        Some(rule) if rule.allow => Verdict::Passes,
        Some(_) => Verdict::Refuses(403),
    }
}

/// Name and password against a file.
fn by_password(auth: &Arc<BasicAuth>, work: &mut Workspace, exchange: &mut Exchange) -> Verdict {
    let realm = text(exchange, work, &auth.realm);
    if realm == b"off" {
        return Verdict::Silent;
    }
    let Some((name, password)) = crate::auth::given(&work.request) else { return ask(exchange, realm) };
    let file = text(exchange, work, &auth.file);
    let Ok(users) = std::fs::read(auth.folder.join(std::ffi::OsStr::from_bytes(&file))) else {
        return Verdict::Refuses(403);
    };
    let hash = users.split(|byte| *byte == b'\n').find_map(|line| hash_of(line, &name));
    match hash.is_some_and(|hash| crate::htpasswd::matches(&hash, &password)) {
        true => Verdict::Passes,
        false => ask(exchange, realm),
    }
}

/// The hash behind `name:` in a line.
fn hash_of(line: &[u8], name: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    let rest = line.strip_prefix(name)?.strip_prefix(b":")?;
    let hash = rest.split(|byte| *byte == b':').next()?;
    (!line.starts_with(b"#")).then(|| String::from_utf8_lossy(hash).into_owned())
}

fn ask(exchange: &mut Exchange, realm: Vec<u8>) -> Verdict {
    if let Some(visit) = exchange.visit.as_deref_mut() {
        visit.realm = Some(realm);
    }
    Verdict::Refuses(401)
}
