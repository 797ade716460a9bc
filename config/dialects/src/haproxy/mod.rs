//! HAProxy's language, `haproxy.cfg`, as its users wrote it from version 1.4 to today.
//!
//! [`read`] is the main road:
//!
//! ```text
//! bytes ──text──► words ──source──► sections ──► userlists first, then in order:
//!      global ──► Process        defaults/frontend/backend/listen ──► Proxy ──finish──► Site, Pool
//! ```
//!
//! What a word does stands in the tables of [`keywords`]. A `listen` becomes a site and a pool of one name:
//! rules, captures and the statistics page go to the site; servers and what concerns them go to the pool;
//! error pages and HTTP behaviour go to both.

mod acl;
mod address;
mod balance;
mod bind;
mod check;
mod check_condition;
mod compression;
mod converters;
mod environment;
mod fetches;
mod finish;
mod format;
mod global;
mod keywords;
mod lists;
mod live;
mod logs;
mod lookup;
mod mailers;
mod options;
mod pages;
mod peers;
mod proxy;
mod resolvers;
mod rules;
mod said;
mod sample;
mod scene;
mod server;
mod source;
mod states;
mod stats;
mod tables;
mod text;
mod timeouts;
mod units;
mod use_server;
mod userlist;

pub use check_condition::{FEATURES, VERSION, condition_check};
pub use keywords::{Keyword, keywords};

use crate::{Options, Sources};
use acl::Acls;
use keywords::{Entry, PROXY, PROXY_NOT_YET, SECTIONS, SectionKind};
use plan::{Draft, Process};
use said::{Cursor, Done, Said};
use scene::{Kind, Prefix, Proxy, Scene, Shared};
use source::{Line, Section, Source};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Reads files one after another, as one text cut into pieces; sections do not reach over files.
pub(crate) fn read(files: &[(Arc<str>, &[u8])], sources: &dyn Sources, options: &Options) -> Draft {
    let mut source = Source::new(sources);
    for (name, bytes) in files {
        source.add(name, bytes);
    }
    let Source { sections, problems, notes, environment, .. } = source;
    let shared = Shared {
        sources,
        options: options.clone(),
        environment,
        problems,
        notes,
        process: Process::default(),
        states: Default::default(),
        userlists: HashMap::new(),
        http_errors: HashMap::new(),
        external_checks: None,
        resolvers: Vec::new(),
        mailers: HashMap::new(),
        references: RefCell::new(Vec::new()),
        tables: Vec::new(),
        table_uses: RefCell::new(Vec::new()),
        stick_counters: 3,
        peers: Vec::new(),
        local_peer: None,
        lists: lists::Known::default(),
    };
    let mut reader = Reader { shared, defaults: Vec::new(), named: HashMap::new(), proxies: Vec::new() };
    for section in sections.iter().filter(|s| s.head.text(0) == "userlist") {
        userlist::read(&mut reader.shared, section);
    }
    for section in sections.iter().filter(|s| s.head.text(0) == "mailers") {
        mailers::read(&mut reader.shared, section);
    }
    for section in sections.iter().filter(|s| s.head.text(0) == "http-errors") {
        pages::read(&mut reader.shared, section);
    }
    for section in &sections {
        reader.section(section);
    }
    finish::draft(reader.shared, reader.proxies)
}

/// Reads the value of the option `-S`: an address, then options of `stats socket` after commas. Its users may do
/// everything unless `level` says otherwise.
pub fn master_socket(text: &str) -> Result<plan::RuntimeSocket, Vec<plan::Problem>> {
    let words = text.replace(['\n', '\r', ' '], "").replacen(',', " level admin ", 1).replace(',', " ");
    let words = if text.contains(',') { words } else { format!("{words} level admin") };
    let text = format!("global\nstats socket {words}\n");
    let draft = read(&[(Arc::from("-S"), text.as_bytes())], &crate::NoSources, &Options::default());
    match draft.process.runtime_sockets.into_iter().next() {
        Some(socket) if draft.problems.is_empty() => Ok(socket),
        _ => Err(draft.problems),
    }
}

/// Reads one server as a `server` line without that word describes it: for a server added at run time.
/// `default-server` does not apply. Number 0 = none was said.
pub fn server_line(text: &str, mode: plan::Mode) -> Result<plan::Server, Vec<plan::Problem>> {
    let mode = if mode == plan::Mode::Http { "http" } else { "tcp" };
    let text = format!("backend at-run-time\nmode {mode}\nserver {}\n", text.replace(['\n', '\r'], " "));
    let mut source = Source::new(&crate::NoSources);
    source.add(&Arc::from("runtime"), text.as_bytes());
    let Source { sections, problems, notes, environment, .. } = source;
    let shared = Shared {
        sources: &crate::NoSources,
        options: Options::default(),
        environment,
        problems,
        notes,
        process: Process::default(),
        states: Default::default(),
        userlists: HashMap::new(),
        http_errors: HashMap::new(),
        external_checks: None,
        resolvers: Vec::new(),
        mailers: HashMap::new(),
        references: RefCell::new(Vec::new()),
        tables: Vec::new(),
        table_uses: RefCell::new(Vec::new()),
        stick_counters: 3,
        peers: Vec::new(),
        local_peer: None,
        lists: lists::Known::default(),
    };
    let mut reader = Reader { shared, defaults: Vec::new(), named: HashMap::new(), proxies: Vec::new() };
    sections.iter().for_each(|section| reader.section(section));
    let server = reader.proxies.pop().and_then(|proxy| proxy.pool.servers.into_iter().next());
    server.filter(|_| reader.shared.problems.is_empty()).ok_or(reader.shared.problems)
}

/// True when this word opens a section of the language.
pub(crate) fn is_section(word: &str) -> bool {
    SECTIONS.iter().any(|s| s.name == word)
}

struct Reader<'s> {
    shared: Shared<'s>,
    /// All defaults; the last one is in force.
    defaults: Vec<Defaults>,
    /// Those with a name.
    named: HashMap<String, usize>,
    /// Proxies in order.
    proxies: Vec<Proxy>,
}

/// A `defaults` section.
struct Defaults {
    proxy: Proxy,
    /// Another one of the same name stands elsewhere.
    ambiguous: bool,
    /// Kind of the section that took rules from it: they differ for clients and servers.
    used_by: Option<Kind>,
}

impl Reader<'_> {
    fn section(&mut self, section: &Section) {
        let kind = SECTIONS.iter().find(|s| s.name == section.head.text(0)).map(|s| s.act);
        match kind {
            Some(SectionKind::Global) => global::read(&mut self.shared, section),
            Some(SectionKind::Proxy(kind)) => self.proxy(kind, section),
            Some(SectionKind::Resolvers) => resolvers::read(&mut self.shared, section),
            Some(SectionKind::Peers) => peers::read(&mut self.shared, section),
            Some(SectionKind::Userlist | SectionKind::HttpErrors | SectionKind::Mailers) | None => {}
            Some(SectionKind::NotYet) => {
                let what = format!("the section '{}'", section.head.text(0));
                self.shared
                    .problem(Said::not_yet(what).hint("remove it, or keep HAProxy for it"), &section.head);
            }
        }
    }

    fn proxy(&mut self, kind: Kind, section: &Section) {
        let mut proxy = match self.open(kind, section) {
            Ok(proxy) => proxy,
            Err(said) => {
                self.shared.problem(said, &section.head);
                let mut proxy = self.defaults.last().map_or_else(Proxy::new, |d| d.proxy.clone());
                proxy.kind = kind;
                proxy
            }
        };
        let mut scene = Scene::new(&mut self.shared, &mut proxy);
        read_lines(&mut scene, section);
        match kind {
            Kind::Defaults => self.keep_defaults(proxy),
            _ => self.proxies.push(proxy),
        }
    }

    /// A proxy that begins with its defaults and has read its first line.
    fn open(&mut self, kind: Kind, section: &Section) -> Done<Proxy> {
        let head = &section.head;
        let mut cursor = Cursor::new(head, 1);
        let name = match cursor.peek() {
            "from" if kind == Kind::Defaults => "",
            _ if kind == Kind::Defaults && cursor.is_end() => "",
            _ => cursor.text("a name")?,
        };
        if let Some(bad) = units::bad_in_name(name) {
            return Err(Said::new(format!("'{bad}' may not stand in the name '{name}'")).at(1));
        }
        let mut proxy = self.base(kind, &mut cursor)?;
        proxy.kind = kind;
        proxy.name = name.to_owned();
        proxy.place = head.place(0);
        if !cursor.is_end() {
            self.old_listen(&mut proxy, &mut cursor)?;
        }
        Ok(proxy)
    }

    /// What the section begins with: the defaults named by `from`, or those in force.
    fn base(&mut self, kind: Kind, cursor: &mut Cursor<'_>) -> Done<Proxy> {
        if !cursor.eat("from") {
            return match (kind, self.defaults.last_mut()) {
                (Kind::Defaults, _) | (_, None) => Ok(Proxy::new()),
                (_, Some(defaults)) => defaults.take(kind),
            };
        }
        let from = cursor.text("the name of a defaults section")?;
        let Some(defaults) = self.named.get(from).and_then(|index| self.defaults.get_mut(*index)) else {
            let hint = keywords::nearest(from, self.named.keys().map(String::as_str));
            return Err(Said::new(format!("there is no defaults section '{from}'"))
                .hint(hint)
                .at(cursor.at - 1));
        };
        if defaults.ambiguous {
            return Err(Said::new(format!("there are several defaults sections '{from}'"))
                .hint("rename one of them")
                .at(cursor.at - 1));
        }
        defaults.take(kind).map_err(|said| said.at(cursor.at - 1))
    }

    fn keep_defaults(&mut self, proxy: Proxy) {
        let index = self.defaults.len();
        let before = if proxy.name.is_empty() { None } else { self.named.insert(proxy.name.clone(), index) };
        self.defaults.push(Defaults { proxy, ambiguous: before.is_some(), used_by: None });
    }

    /// `listen NAME ADDRESS:PORT OPTIONS…`, as before `bind` existed.
    fn old_listen(&mut self, proxy: &mut Proxy, cursor: &mut Cursor<'_>) -> Done {
        let (word, name) = (cursor.line.text(0).to_owned(), proxy.name.clone());
        if !matches!(proxy.kind, Kind::Frontend | Kind::Listen) {
            return cursor.end();
        }
        let rest: Vec<&str> = cursor.line.words[cursor.at..].iter().map(|w| w.text.as_str()).collect();
        let modern = format!("a line 'bind {}'", rest.join(" "));
        self.shared.old(cursor.line, &format!("{word} {name} ADDRESS"), &modern)?;
        let mut scene = Scene::new(&mut self.shared, proxy);
        bind::bind(&mut scene, cursor)
    }
}

impl Defaults {
    /// What a section of that kind begins with.
    fn take(&mut self, kind: Kind) -> Done<Proxy> {
        if kind != Kind::Defaults && !self.proxy.rules.is_empty() {
            let other = *self.used_by.get_or_insert(kind);
            if kind == Kind::Listen || other != kind {
                return Err(Said::new(format!("the defaults section '{}' holds rules", self.proxy.name))
                    .hint(
                        "rules of defaults serve frontends only, or backends only, and no listen section",
                    ));
            }
        }
        let mut proxy = self.proxy.clone();
        proxy.check.inherit();
        Ok(proxy)
    }
}

fn read_lines(scene: &mut Scene<'_, '_>, section: &Section) {
    let modes = section.body.iter().filter(|l| l.text(0) == "mode");
    for mode in modes {
        // Read beforehand because conditions above it depend on it; its errors are told in their turn.
        let _ = proxy::mode(scene, &mut Cursor::new(mode, 1));
    }
    if !(scene.proxy.kind == Kind::Defaults && scene.proxy.name.is_empty()) {
        Acls::read(scene, &section.body);
    }
    for (index, line) in section.body.iter().enumerate() {
        scene.go_to(index, line);
        if let Err(said) = read_line(scene, line) {
            scene.problem(said, line);
        }
        scene.end_line(line);
    }
}

fn read_line(scene: &mut Scene<'_, '_>, line: &Line) -> Done {
    let mut cursor = Cursor::new(line, 0);
    scene.prefix = match cursor.peek() {
        "no" => Prefix::No,
        "default" => Prefix::Default,
        _ => Prefix::Plain,
    };
    cursor.at += usize::from(!scene.on());
    let at = cursor.at;
    let word = cursor.text("a keyword")?;
    let entry = PROXY.iter().find(|e| e.name == word).ok_or_else(|| unknown(scene, word).at(at))?;
    if !scene.on() && !matches!(word, "option" | "log") {
        return Err(Said::new(format!("'{}' cannot stand before '{word}'", line.text(0)))
            .hint("it is for 'option' and 'log' only"));
    }
    if !allowed(scene, entry)? {
        return Ok(());
    }
    (entry.act)(scene, &mut cursor)
}

/// False when the word has no effect in this kind of section, which HAProxy warns about.
fn allowed<A>(scene: &mut Scene<'_, '_>, entry: &Entry<A>) -> Done<bool> {
    let (kind, name) = (scene.proxy.kind, entry.name);
    let here = keywords::sections_of(kind, !scene.proxy.name.is_empty());
    if entry.sections & here != 0 {
        return Ok(true);
    }
    let wanted = match entry.sections & (keywords::F | keywords::B) {
        keywords::F => "frontend or listen",
        keywords::B => "backend or listen",
        _ => "frontend, backend or listen",
    };
    if kind == Kind::Defaults || matches!(name, "server" | "default-server") {
        let hint = match entry.sections & keywords::N {
            0 => format!("move it to a {wanted} section"),
            _ => {
                format!("move it to a {wanted} section, or give this defaults section a name and use 'from'")
            }
        };
        return Err(Said::new(format!("'{name}' may not stand in a {} section", kind.word())).hint(hint));
    }
    scene.warn(format!("'{name}' is ignored in a {} section: it belongs in a {wanted} section", kind.word()));
    Ok(false)
}

fn unknown(scene: &Scene<'_, '_>, word: &str) -> Said {
    if let Some((name, hint)) = PROXY_NOT_YET.iter().find(|(name, _)| *name == word) {
        return Said::not_yet(format!("'{name}'")).hint(*hint);
    }
    let section = scene.proxy.kind.word();
    if global::GLOBAL.iter().any(|e| e.name == word) {
        return Said::new(format!("'{word}' may not stand in a {section} section"))
            .hint("move it to 'global'");
    }
    let hint = keywords::nearest(word, PROXY.iter().map(|e| e.name));
    Said::new(format!("unknown keyword '{word}' in a {section} section")).hint(hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_socket_of_a_master() {
        let socket = master_socket("/run/m.sock,mode,600").unwrap();
        assert_eq!((socket.level, socket.mode), (plan::process::RuntimeLevel::Admin, Some(0o600)));
        let socket = master_socket("fd@7").unwrap();
        assert_eq!(
            (socket.level, socket.address),
            (plan::process::RuntimeLevel::Admin, plan::BindAddress::Inherited(7))
        );
        assert_eq!(master_socket("127.0.0.1:9,level,user").unwrap().level, plan::process::RuntimeLevel::User);
        assert!(master_socket("/run/m.sock,colour,red").is_err());
        assert!(master_socket("").is_err());
    }

    #[test]
    fn a_server_is_described_at_run_time() {
        let server = server_line("s3 10.0.0.3:80 weight 7 check", plan::Mode::Http).unwrap();
        assert_eq!((server.name.as_str(), server.id, server.weight), ("s3", 0, 7));
        assert!(server.check.is_some());
        assert_eq!(server_line("s3 10.0.0.3:80 id 9", plan::Mode::Tcp).unwrap().id, 9);
        assert!(server_line("s3 10.0.0.3:80 wheight 7", plan::Mode::Http).is_err());
        assert!(server_line("s3\nbind :80", plan::Mode::Http).is_err());
    }
}
