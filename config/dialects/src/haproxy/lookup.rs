//! Words of server lines about names: `resolvers`, `resolve-prefer`, `resolve-opts`, `resolve-net`, `init-addr`.

use super::said::{Cursor, Done, Said};
use plan::network::{Network, Networks};
use plan::resolver::{Family, FirstAddress, Lookup};
use std::net::IpAddr;

/// `resolvers NAME`.
pub(super) fn resolvers(lookup: &mut Lookup, cursor: &mut Cursor<'_>) -> Done {
    lookup.resolvers = Some(cursor.text("the name of a resolvers section")?.to_owned());
    Ok(())
}

/// `resolve-prefer ipv4|ipv6`.
pub(super) fn prefer(lookup: &mut Lookup, cursor: &mut Cursor<'_>) -> Done {
    lookup.prefer = match cursor.text("ipv4 or ipv6")? {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
        other => return Err(cursor.wrong(other, "ipv4 or ipv6")),
    };
    Ok(())
}

/// `resolve-opts OPTION[,OPTION…]`.
pub(super) fn options(lookup: &mut Lookup, cursor: &mut Cursor<'_>) -> Done {
    for option in cursor.text("allow-dup-ip, prevent-dup-ip or ignore-weight")?.split(',') {
        match option {
            "allow-dup-ip" => lookup.shared = true,
            "prevent-dup-ip" => lookup.shared = false,
            "ignore-weight" => lookup.ignore_weight = true,
            other => return Err(cursor.wrong(other, "allow-dup-ip, prevent-dup-ip or ignore-weight")),
        }
    }
    Ok(())
}

/// `resolve-net NETWORK[,NETWORK…]`.
pub(super) fn networks(lookup: &mut Lookup, cursor: &mut Cursor<'_>) -> Done {
    let text = cursor.text("networks such as 10.0.0.0/8")?;
    let read: Result<Vec<Network>, String> = text.split(',').map(str::parse).collect();
    lookup.networks = Networks(read.map_err(|what| Said::new(what).at(cursor.at - 1))?);
    Ok(())
}

/// `init-addr WAY[,WAY…]`.
pub(super) fn first(lookup: &mut Lookup, cursor: &mut Cursor<'_>) -> Done {
    let list = cursor.text("a list of last, libc, none or an address")?;
    let way = |word: &str| match word {
        "last" => Ok(FirstAddress::Last),
        "libc" => Ok(FirstAddress::System),
        "none" => Ok(FirstAddress::None),
        other => match other.parse::<IpAddr>() {
            Ok(address) => Ok(FirstAddress::Fixed(address)),
            Err(_) => Err(cursor.wrong(other, "last, libc, none or an address")),
        },
    };
    lookup.first = list.split(',').map(way).collect::<Done<_>>()?;
    Ok(())
}
