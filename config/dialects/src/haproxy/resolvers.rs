//! `resolvers` sections: name servers that are asked at run time.

use super::address::{self, Host, Ports, Written};
use super::keywords;
use super::said::{Cursor, Done, Said, section_name};
use super::scene::Shared;
use super::source::{Line, Section};
use plan::Place;
use plan::resolver::{NameServer, Resolvers, Transport};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where the system says who answers names.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The section that is there without being written.
const BY_ITSELF: &str = "default";
/// Port of name servers.
const PORT: u16 = 53;
/// Words of a section.
const WORDS: &[&str] =
    &["accepted_payload_size", "hold", "nameserver", "parse-resolv-conf", "resolve_retries", "timeout"];

/// Reads a section.
pub(super) fn read(shared: &mut Shared<'_>, section: &Section) {
    let name = match section_name(&section.head) {
        Ok(name) => name,
        Err(said) => return shared.problem(said, &section.head),
    };
    let mut resolvers = Resolvers::new(section.head.place(0), name);
    for line in &section.body {
        if let Err(said) = read_line(shared, line, &mut resolvers) {
            shared.problem(said, line);
        }
    }
    shared.resolvers.push(resolvers);
}

/// Servers may name the resolvers `default` that nobody wrote: the name servers of the system.
pub(super) fn add_by_itself(shared: &mut Shared<'_>, wanted: bool) {
    if !wanted || shared.resolvers.iter().any(|r| r.name == BY_ITSELF) {
        return;
    }
    let servers = of_the_system(shared);
    if !servers.is_empty() {
        shared.resolvers.push(Resolvers { servers, ..Resolvers::new(Place::none(), BY_ITSELF) });
    }
}

fn read_line(shared: &mut Shared<'_>, line: &Line, resolvers: &mut Resolvers) -> Done {
    let mut cursor = Cursor::new(line, 1);
    match line.text(0) {
        "nameserver" => return name_server(shared, &mut cursor, resolvers),
        "parse-resolv-conf" => parse_resolv_conf(shared, line, resolvers),
        "accepted_payload_size" => {
            resolvers.payload_bytes = cursor.number_in("a number of bytes", 512, 65535)? as u16;
        }
        "resolve_retries" => resolvers.tries = cursor.number_in("a number of questions", 1, 1000)? as u32,
        "hold" => hold(&mut cursor, resolvers)?,
        "timeout" => timeout(&mut cursor, resolvers)?,
        other => {
            let hint = keywords::nearest(other, WORDS.iter().copied());
            return Err(Said::new(format!("unknown keyword '{other}' in a resolvers section")).hint(hint));
        }
    }
    cursor.end()
}

/// `nameserver NAME [udp@|tcp@]ADDRESS[:PORT]`.
fn name_server(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>, resolvers: &mut Resolvers) -> Done {
    let name = cursor.text("a name and an address")?.to_owned();
    if resolvers.servers.iter().any(|server| server.name == name) {
        return Err(Said::new(format!("there are two name servers '{name}'")).hint("rename one").at(1));
    }
    let at = cursor.at;
    let text = cursor.text("an address such as 10.0.0.1:53")?;
    let transport = match text.split_once('@').map(|(family, _)| family) {
        Some("tcp" | "tcp4" | "tcp6") => Transport::Tcp,
        _ => Transport::Udp,
    };
    let written = address::read(text, &shared.environment).map_err(|said| said.at(at))?.written;
    let (Written::Host(host, ports), false) = (written, text.starts_with("stream+")) else {
        return Err(Said::not_yet(format!("a name server at '{text}'")).at(at));
    };
    let port = match ports {
        Ports::Missing => PORT,
        Ports::Range(low, high) if low == high && low > 0 => low,
        _ => return Err(Said::new(format!("'{text}': a name server has one port")).at(at)),
    };
    if matches!(host, Host::Any(_)) {
        return Err(Said::new(format!("'{text}' names no host")).at(at));
    }
    let ip = address::resolve(&host, shared.sources).map_err(|said| said.at(at))?;
    if !cursor.is_end() {
        return Err(Said::not_yet("options of a name server").at(cursor.at));
    }
    resolvers.servers.push(NameServer { name, address: SocketAddr::new(ip, port), transport });
    Ok(())
}

fn parse_resolv_conf(shared: &mut Shared<'_>, line: &Line, resolvers: &mut Resolvers) {
    let found = of_the_system(shared);
    if found.is_empty() {
        let what = format!("'parse-resolv-conf' finds no name server in {RESOLV_CONF}");
        shared.warn(line.place(0), what);
    }
    let known = |server: &NameServer| resolvers.servers.iter().any(|s| s.name == server.name);
    let new: Vec<NameServer> = found.into_iter().filter(|server| !known(server)).collect();
    resolvers.servers.extend(new);
}

/// resolv.conf(5): each is named by its address.
fn of_the_system(shared: &Shared<'_>) -> Vec<NameServer> {
    let text = shared.sources.read(Path::new(RESOLV_CONF)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim).filter_map(|line| {
        let rest = line.strip_prefix("nameserver")?;
        rest.starts_with([' ', '\t']).then(|| rest.split_whitespace().next()).flatten()
    });
    let server = |text: &str| {
        // A zone behind '%' says which link: not needed for what is reached by routes.
        let ip: IpAddr = text.split('%').next()?.parse().ok()?;
        Some(NameServer {
            name: text.to_owned(),
            address: SocketAddr::new(ip, PORT),
            transport: Transport::Udp,
        })
    };
    lines.filter_map(server).collect()
}

fn hold(cursor: &mut Cursor<'_>, resolvers: &mut Resolvers) -> Done {
    let word = cursor.text("valid, nx, refused, timeout, other or obsolete")?;
    let time = cursor.time()?;
    let hold = &mut resolvers.hold;
    match word {
        "valid" => hold.valid = time,
        "nx" => hold.missing = time,
        "refused" => hold.refused = Some(time),
        "timeout" => hold.silent = Some(time),
        "other" => hold.other = Some(time),
        "obsolete" => hold.obsolete = time,
        other => {
            return Err(Said::new(format!("'{other}' is no outcome of a question"))
                .hint("valid, nx, refused, timeout, other or obsolete")
                .at(1));
        }
    }
    Ok(())
}

fn timeout(cursor: &mut Cursor<'_>, resolvers: &mut Resolvers) -> Done {
    let word = cursor.text("resolve or retry")?;
    let time = cursor.time()?;
    if time.is_zero() {
        return Err(Said::new("this time cannot be 0").at(cursor.at - 1));
    }
    match word {
        "resolve" => resolvers.interval = time,
        "retry" => resolvers.patience = time,
        other => {
            return Err(Said::new(format!("'{other}' is no time-out of resolvers: resolve or retry")).at(1));
        }
    }
    Ok(())
}

/// A group that nobody can be asked in is of no use.
pub(super) fn warn_about_empty(shared: &mut Shared<'_>) {
    let empty: Vec<(Place, String)> = shared
        .resolvers
        .iter()
        .filter(|r| r.servers.is_empty())
        .map(|r| (r.place.clone(), format!("the resolvers '{}' have no name server", r.name)))
        .collect();
    empty.into_iter().for_each(|(place, what)| shared.warn(place, what));
}
