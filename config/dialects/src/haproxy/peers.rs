//! `peers` sections: the balancers that share stick tables, and tables of their own.

use super::address::{self, Host, Ports, Written};
use super::bind;
use super::said::{Cursor, Done, Said, section_name};
use super::scene::Shared;
use super::source::{Line, Section};
use super::tables;
use plan::Bind;
use plan::peers::{Peer, PeerGroup};
use std::net::SocketAddr;

/// Reads a section.
pub(super) fn read(shared: &mut Shared<'_>, section: &Section) {
    let name = match section_name(&section.head) {
        Ok(name) => name,
        Err(said) => return shared.problem(said, &section.head),
    };
    if shared.peers.iter().any(|group| group.name == name) {
        let said =
            Said::new(format!("the peers section '{name}' is defined twice")).hint("rename one of them");
        return shared.problem(said, &section.head);
    }
    let mut group = PeerGroup { place: section.head.place(0), name, ..PeerGroup::default() };
    for line in &section.body {
        if let Err(said) = read_line(shared, line, &mut group) {
            shared.problem(said, line);
        }
    }
    shared.peers.push(group);
}

fn read_line(shared: &mut Shared<'_>, line: &Line, group: &mut PeerGroup) -> Done {
    let mut cursor = Cursor::new(line, 1);
    match line.text(0) {
        "peer" => peer(shared, &mut cursor, group, true),
        "server" => peer(shared, &mut cursor, group, false),
        "bind" => listener(shared, &mut cursor, group),
        "table" => {
            let name = cursor.text("a name")?;
            let name = format!("{}/{name}", group.name);
            let mut table = tables::declaration(&mut cursor, name, false)?;
            table.peers = Some(group.name.clone());
            tables::declare(shared, table)
        }
        "disabled" | "enabled" => {
            group.disabled = line.text(0) == "disabled";
            cursor.end()
        }
        word @ ("default-bind" | "default-server" | "log" | "shards") => {
            Err(Said::not_yet(format!("'{word}' in a peers section")))
        }
        other => Err(Said::new(format!("unknown keyword '{other}' in a peers section"))
            .hint("write 'peer NAME ADDRESS:PORT', 'server NAME ADDRESS:PORT', 'bind ADDRESS:PORT' or 'table NAME …'")),
    }
}

/// `peer NAME ADDRESS:PORT`, `server NAME [ADDRESS:PORT]`.
fn peer(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>, group: &mut PeerGroup, needs: bool) -> Done {
    let place = cursor.line.place(1);
    let name = cursor.text("a name and an address")?.to_owned();
    let address = if cursor.is_end() && !needs { None } else { Some(socket(shared, cursor)?) };
    if !cursor.is_end() {
        return Err(Said::not_yet(format!("'{}' of a peer", cursor.peek())).at(cursor.at));
    }
    if group.peers.iter().any(|other| other.name == name) {
        return Err(Said::new(format!("the peer '{name}' is listed twice")).at(1));
    }
    group.peers.push(Peer { place, name, address });
    Ok(())
}

fn socket(shared: &Shared<'_>, cursor: &mut Cursor<'_>) -> Done<SocketAddr> {
    let at = cursor.at;
    let text = cursor.text("an address such as 10.0.0.2:10000")?;
    let read = address::read(text, &shared.environment).map_err(|said| said.at(at))?;
    let wrong = || Said::new(format!("'{text}': a peer has an address and a port")).at(at);
    match read.written {
        Written::Host(host @ (Host::Address(_) | Host::Name(_)), Ports::Range(port, to))
            if port == to && port > 0 =>
        {
            let ip = address::resolve(&host, shared.sources).map_err(|said| said.at(at))?;
            Ok(SocketAddr::new(ip, port))
        }
        Written::Host(..) => Err(wrong()),
        _ => Err(Said::not_yet("a peer without an IP address").at(at)),
    }
}

fn listener(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>, group: &mut PeerGroup) -> Done {
    let place = cursor.line.place(1);
    let text = cursor.text("an address")?;
    let addresses = bind::addresses_of(shared, text, cursor).map_err(|said| said.at(1))?;
    if !cursor.is_end() {
        return Err(Said::not_yet(format!("'{}' on a bind line of peers", cursor.peek())).at(cursor.at));
    }
    group.binds.extend(addresses.into_iter().map(|address| Bind::new(place.clone(), address)));
    Ok(())
}
