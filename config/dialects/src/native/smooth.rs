//! `balance: smooth`: turns that learn from failures, requests that stick to a server, idle connections of a pool.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form};
use super::leaf;
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::Template;
use plan::smooth::{CookieLife, Keep, Smooth, SmoothMethod, SmoothServer, Sticky, StickyCookie, StickyLearn};
use std::time::Duration;

/// The ways to choose, without what they hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Turns,
    LeastConnections,
    ClientNetwork,
    Key,
    Ring,
    Random,
    RandomOfTwo,
}

const WAYS: &[(&str, Way)] = &[
    ("turns", Way::Turns),
    ("least_connections", Way::LeastConnections),
    ("client_network", Way::ClientNetwork),
    ("key", Way::Key),
    ("ring", Way::Ring),
    ("random", Way::Random),
    ("random_of_two", Way::RandomOfTwo),
];

impl Form for Way {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Way> {
        leaf::word(node, "a way to choose such as turns or least_connections", WAYS, reader)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::word(WAYS.iter().find(|(_, way)| way == self).map_or("", |(name, _)| name))
    }
}

fn way(method: &SmoothMethod) -> (Way, Option<Template>) {
    match method {
        SmoothMethod::Turns => (Way::Turns, None),
        SmoothMethod::LeastConnections => (Way::LeastConnections, None),
        SmoothMethod::ClientNetwork => (Way::ClientNetwork, None),
        SmoothMethod::Key { key, ring: false } => (Way::Key, Some(key.clone())),
        SmoothMethod::Key { key, ring: true } => (Way::Ring, Some(key.clone())),
        SmoothMethod::Random => (Way::Random, None),
        SmoothMethod::RandomOfTwo => (Way::RandomOfTwo, None),
    }
}

fn method(way: Way, key: Option<Template>) -> SmoothMethod {
    let key = key.unwrap_or_default();
    match way {
        Way::Turns => SmoothMethod::Turns,
        Way::LeastConnections => SmoothMethod::LeastConnections,
        Way::ClientNetwork => SmoothMethod::ClientNetwork,
        Way::Key => SmoothMethod::Key { key, ring: false },
        Way::Ring => SmoothMethod::Key { key, ring: true },
        Way::Random => SmoothMethod::Random,
        Way::RandomOfTwo => SmoothMethod::RandomOfTwo,
    }
}

impl Fieldset for Smooth {
    const MAIN: &'static str = "method";

    fn blank() -> Smooth {
        Smooth::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let (mut word, mut key) = way(&self.method);
        f.required("method", &mut word);
        f.option("key", &mut key);
        if matches!(word, Way::Key | Way::Ring) != key.is_some() {
            f.refuse("a key belongs to the methods 'key' and 'ring', and to no other", "");
        }
        if f.reads() {
            self.method = method(word, key);
        }
        f.option("sticky", &mut self.sticky);
        f.option("queue", &mut self.queue);
    }
}

impl Fieldset for Sticky {
    fn blank() -> Sticky {
        Sticky { lookup: Vec::new(), cookie: None, learn: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Sticky { lookup, cookie, learn } = self;
        f.list("lookup", lookup);
        f.option("cookie", cookie);
        f.option("learn", learn);
    }
}

impl Fieldset for StickyCookie {
    const MAIN: &'static str = "name";

    fn blank() -> StickyCookie {
        StickyCookie {
            name: String::new(),
            domain: None,
            path: None,
            life: None,
            http_only: false,
            secure: false,
            same_site: None,
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let StickyCookie { name, domain, path, life, http_only, secure, same_site } = self;
        f.required("name", name);
        f.option("domain", domain);
        f.option("path", path);
        f.option("life", life);
        f.flag("http_only", http_only);
        f.flag("secure", secure);
        f.option("same_site", same_site);
    }
}

/// A time, or `forever`.
impl Form for CookieLife {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<CookieLife> {
        match &node.kind {
            Kind::Scalar { text, .. } if text == "forever" => Some(CookieLife::Forever),
            _ => Duration::read(node, reader).map(CookieLife::For),
        }
    }

    fn written(&self, writer: &mut Writer) -> Out {
        match self {
            CookieLife::Forever => Out::word("forever"),
            CookieLife::For(time) => time.written(writer),
        }
    }
}

impl Fieldset for StickyLearn {
    fn blank() -> StickyLearn {
        StickyLearn {
            zone: String::new(),
            max_sessions: 8000,
            timeout: Duration::from_secs(600),
            create: Vec::new(),
            at_head: false,
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let blank = StickyLearn::blank();
        let StickyLearn { zone, max_sessions, timeout, create, at_head } = self;
        f.required("zone", zone);
        f.value("max_sessions", max_sessions, &blank.max_sessions);
        f.value("timeout", timeout, &blank.timeout);
        f.list("create", create);
        f.flag("at_head", at_head);
    }
}

/// What a server says; without a word the usual tolerance, and its own address as it is written.
impl Fieldset for SmoothServer {
    fn blank() -> SmoothServer {
        SmoothServer::new("")
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let usual = SmoothServer::new("");
        let SmoothServer { max_fails, window, drained, route, written, every_address } = self;
        f.value("max_fails", max_fails, &usual.max_fails);
        f.value("window", window, &usual.window);
        f.flag("drained", drained);
        f.option("route", route);
        f.value("written", written, &usual.written);
        f.flag("every_address", every_address);
    }
}

impl Fieldset for Keep {
    const MAIN: &'static str = "connections";

    fn blank() -> Keep {
        Keep::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let usual = Keep::default();
        let Keep { connections, requests, idle, age } = self;
        f.required("connections", connections);
        f.value("requests", requests, &usual.requests);
        f.value("idle", idle, &usual.idle);
        f.value("age", age, &usual.age);
    }
}
