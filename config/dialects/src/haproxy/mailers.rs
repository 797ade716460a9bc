//! `mailers` sections and `email-alert` lines: alert mails about servers.

use super::address::{self, Host, Ports, Written};
use super::logs;
use super::said::{Cursor, Done, Said};
use super::scene::{Proxy, Scene, Shared};
use super::source::{Line, Section};
use super::{keywords, units};
use plan::Problem;
use plan::alert::MailAlerts;
use plan::log::Severity;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Time for a mail when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most mailers of a section.
const MAX_MAILERS: usize = 64;

/// A list of mail servers.
#[derive(Clone)]
pub(super) struct Mailers {
    servers: Vec<SocketAddr>,
    timeout: Duration,
}

/// What `email-alert` lines have said so far.
#[derive(Clone, Default)]
pub(super) struct AlertDraft {
    mailers: Option<(plan::Place, String)>,
    from: Option<String>,
    to: Option<String>,
    level: Option<Severity>,
    hostname: Option<String>,
}

/// Reads a `mailers` section.
pub(super) fn read(shared: &mut Shared<'_>, section: &Section) {
    let name = section.head.text(1).to_owned();
    if name.is_empty() || section.head.words.len() > 2 || units::bad_in_name(&name).is_some() {
        return shared.problem(Said::new("a 'mailers' section needs a name").at(1), &section.head);
    }
    let mut mailers = Mailers { servers: Vec::new(), timeout: TIMEOUT };
    for line in &section.body {
        if let Err(said) = read_line(shared, line, &mut mailers) {
            shared.problem(said, line);
        }
    }
    if shared.mailers.insert(name.clone(), mailers).is_some() {
        let said = Said::new(format!("the 'mailers' section '{name}' is defined twice"));
        shared.problem(said.at(1), &section.head);
    }
}

fn read_line(shared: &mut Shared<'_>, line: &Line, mailers: &mut Mailers) -> Done {
    let mut cursor = Cursor::new(line, 0);
    match cursor.text("mailer or timeout")? {
        "mailer" => {
            cursor.text("a name and an address")?;
            let at = cursor.at;
            let text = cursor.text("an address with a port, as 10.0.0.1:25")?;
            let server = server(shared, text).map_err(|said| said.at(at))?;
            if mailers.servers.len() >= MAX_MAILERS {
                return Err(Said::new("too many mailers"));
            }
            mailers.servers.push(server);
        }
        "timeout" => {
            if !cursor.eat("mail") {
                return Err(cursor.wrong(cursor.peek(), "mail"));
            }
            mailers.timeout = cursor.time()?;
        }
        other => return Err(cursor.wrong(other, "mailer or timeout")),
    }
    cursor.end()
}

fn server(shared: &Shared<'_>, text: &str) -> Done<SocketAddr> {
    let read = address::read(text, &shared.environment)?;
    match read.written {
        Written::Host(host @ (Host::Address(_) | Host::Name(_)), Ports::Range(low, high))
            if low == high && low > 0 =>
        {
            Ok(SocketAddr::new(address::resolve(&host, shared.sources)?, low))
        }
        _ => Err(Said::new(format!("'{text}' is no address with a port")).hint("write 10.0.0.1:25")),
    }
}

/// `email-alert from|to|level|mailers|myhostname VALUE`.
pub(super) fn email_alert(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("from, to, level, mailers or myhostname")?;
    let at = cursor.at;
    let value = cursor.text("a value")?;
    let safe = |value: &str| {
        let bad = value.bytes().any(|b| b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>'));
        if bad || value.is_empty() {
            return Err(
                Said::new(format!("'{value}' cannot stand in a mail: no blanks, no '<', no '>'")).at(at)
            );
        }
        Ok(Some(value.to_owned()))
    };
    let draft = &mut scene.proxy.alert;
    match word {
        "from" => draft.from = safe(value)?,
        "to" => draft.to = safe(value)?,
        "myhostname" => draft.hostname = safe(value)?,
        "mailers" => draft.mailers = Some((cursor.line.place(at), value.to_owned())),
        "level" => {
            let level =
                logs::severity(value).ok_or_else(|| cursor.wrong(value, "emerg, alert … info or debug"))?;
            draft.level = Some(level);
        }
        other => return Err(cursor.wrong(other, "from, to, level, mailers or myhostname").at(at - 1)),
    }
    cursor.end()
}

/// The alerts of a proxy; with a warning when something is missing.
pub(super) fn alerts(shared: &mut Shared<'_>, proxy: &Proxy) -> Option<Arc<MailAlerts>> {
    let AlertDraft { mailers, from, to, level, hostname } = proxy.alert.clone();
    let said = mailers.is_some() || from.is_some() || to.is_some() || level.is_some() || hostname.is_some();
    let (Some((place, name)), Some(from), Some(to)) = (mailers, from, to) else {
        if said {
            let what = format!(
                "'email-alert' of '{}' is ignored: it needs 'email-alert mailers', 'from' and 'to'",
                proxy.name
            );
            shared.warn(proxy.place.clone(), what);
        }
        return None;
    };
    let Some(found) = shared.mailers.get(&name).cloned() else {
        let hint = keywords::nearest(&name, shared.mailers.keys().map(String::as_str));
        let what = format!("there is no 'mailers' section '{name}'");
        shared.problems.push(Problem::new(place, what).hint(hint));
        return None;
    };
    Some(Arc::new(MailAlerts {
        mailers: found.servers,
        timeout: found.timeout,
        from,
        to,
        level: level.unwrap_or(Severity::Alert),
        hostname,
    }))
}
