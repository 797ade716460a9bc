//! `resolvers:` of the file, and how a server's name becomes its address.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form};
use super::leaf;
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::Node;
use plan::Place;
use plan::network::Networks;
use plan::resolver::{Family, FirstAddress, Hold, Lookup, NameServer, OnDemand, Resolvers, Transport};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Patience with a lookup, when nothing is said.
const PATIENCE: Duration = Duration::from_secs(30);

impl Fieldset for Resolvers {
    fn blank() -> Resolvers {
        Resolvers::new(Place::none(), "")
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let usual = Resolvers::blank();
        let Resolvers { place, name: _, servers, tries, interval, patience, hold, payload_bytes, on_demand } =
            self;
        f.place(place);
        f.list("servers", servers);
        f.value("tries", tries, &usual.tries);
        f.value("interval", interval, &usual.interval);
        f.value("patience", patience, &usual.patience);
        f.value("hold", hold, &usual.hold);
        f.value("payload_bytes", payload_bytes, &usual.payload_bytes);
        f.option("on_demand", on_demand);
    }
}

impl Fieldset for OnDemand {
    fn blank() -> OnDemand {
        OnDemand { valid: None, v4: true, v6: true, timeout: PATIENCE }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let OnDemand { valid, v4, v6, timeout } = self;
        f.option("valid", valid);
        f.value("v4", v4, &true);
        f.value("v6", v6, &true);
        f.value("timeout", timeout, &PATIENCE);
    }
}

impl Fieldset for NameServer {
    const MAIN: &'static str = "address";

    fn blank() -> NameServer {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        NameServer { name: String::new(), address, transport: Transport::default() }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let NameServer { name, address, transport } = self;
        f.required("address", address);
        if f.reads() {
            *name = address.ip().to_string();
        }
        let usual = address.ip().to_string();
        f.value("name", name, &usual);
        f.value("transport", transport, &Transport::default());
    }
}

impl Fieldset for Hold {
    fn blank() -> Hold {
        Hold::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let usual = Hold::default();
        let Hold { valid, missing, silent, refused, other, obsolete } = self;
        f.value("valid", valid, &usual.valid);
        f.value("missing", missing, &usual.missing);
        f.option("silent", silent);
        f.option("refused", refused);
        f.option("other", other);
        f.value("obsolete", obsolete, &usual.obsolete);
    }
}

impl Fieldset for Lookup {
    const MAIN: &'static str = "resolvers";

    fn blank() -> Lookup {
        Lookup::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Lookup { resolvers, prefer, networks, shared, ignore_weight, first } = self;
        f.option("resolvers", resolvers);
        f.value("prefer", prefer, &Family::default());
        f.value("networks", networks, &Networks::default());
        f.flag("shared", shared);
        f.flag("ignore_weight", ignore_weight);
        f.list("first", first);
    }
}

impl Form for Family {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Family> {
        leaf::word(node, "ipv4 or ipv6", FAMILIES, reader)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::word(leaf::name_of(self, FAMILIES))
    }
}

const FAMILIES: &[(&str, Family)] = &[("ipv4", Family::V4), ("ipv6", Family::V6)];

impl Form for Transport {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Transport> {
        leaf::word(node, "udp or tcp", TRANSPORTS, reader)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::word(leaf::name_of(self, TRANSPORTS))
    }
}

const TRANSPORTS: &[(&str, Transport)] = &[("udp", Transport::Udp), ("tcp", Transport::Tcp)];

impl Form for FirstAddress {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<FirstAddress> {
        leaf::parsed(node, "last, system, none or an address", reader, first_address)
    }

    fn written(&self, _: &mut Writer) -> Out {
        match self {
            FirstAddress::Last => Out::word("last"),
            FirstAddress::System => Out::word("system"),
            FirstAddress::None => Out::word("none"),
            FirstAddress::Fixed(address) => Out::word(address.to_string()),
        }
    }
}

fn first_address(text: &str) -> Option<FirstAddress> {
    match text {
        "last" => Some(FirstAddress::Last),
        "system" => Some(FirstAddress::System),
        "none" => Some(FirstAddress::None),
        address => address.parse().ok().map(FirstAddress::Fixed),
    }
}
