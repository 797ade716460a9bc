//! The section `global`: settings of the process. Several of them add up.

use super::bind;
use super::keywords::{self, ANY, Entry};
use super::logs;
use super::said::{Cursor, Done, Said};
use super::scene::Shared;
use super::source::{Line, Section};
use super::units;
use plan::process::{Process, RuntimeLevel, RuntimeSocket};
use std::path::PathBuf;

type Read = fn(&mut Shared<'_>, &mut Cursor<'_>) -> Done;

/// What a line of `global` does.
pub(super) enum GlobalAct {
    /// Reads its words.
    Read(Read),
    /// Changes nothing here; why is told unless it is empty.
    NoEffect(&'static str),
    /// Known, not there yet, and what may help.
    NotYet(&'static str),
}

use GlobalAct::{NoEffect, NotYet, Read as Words};

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: ANY, act: $act, manual: $manual }
    };
}

const TUNING: &str = "it tunes HAProxy's insides";
const NO_TLS: &str = "it is used when there are TLS binds or servers";
const LUA: &str = "no Lua runs here: say it with rules, or ask a service of your own behind a backend";
const THREADS: &str = "threads are placed by the operating system";

/// All words of `global`; those that begin with `tune.` are dealt with together.
pub(super) const GLOBAL: &[Entry<GlobalAct>] = &[
    entry!("busy-polling", NoEffect(TUNING), "polls without sleeping"),
    entry!("ca-base", NoEffect(NO_TLS), "folder of authorities"),
    entry!(
        "chroot",
        Words(|s, c| path_once(s, c, |p| &mut p.chroot)),
        "chroot FOLDER: confines the process after binding"
    ),
    entry!(
        "close-spread-time",
        NoEffect("idle connections end at once when a stop begins"),
        "time over which idle connections are closed at a stop"
    ),
    entry!("cluster-secret", NoEffect(TUNING), "secret shared by a cluster"),
    entry!("cpu-map", NoEffect(THREADS), "cores of threads"),
    entry!("cpu-policy", NoEffect(THREADS), "cores of threads"),
    entry!("cpu-set", NoEffect(THREADS), "cores of threads"),
    entry!("crt-base", NoEffect(NO_TLS), "folder of certificates"),
    entry!("daemon", Words(|s, _| set(&mut s.process.daemon)), "leaves the foreground"),
    entry!(
        "dns-accept-family",
        NoEffect("names are looked up by the operating system"),
        "families of looked up addresses"
    ),
    entry!("default-path", NotYet("write whole paths"), "folder of relative paths"),
    entry!(
        "description",
        Words(|s, c| {
            s.process.description = Some(logs::rest(c));
            Ok(())
        }),
        "text on the statistics page"
    ),
    entry!("expose-deprecated-directives", NoEffect(TUNING), "accepts deprecated words"),
    entry!("expose-experimental-directives", NoEffect(TUNING), "accepts experimental words"),
    entry!(
        "external-check",
        Words(external_check),
        "external-check [preserve-env]: allows checks by a program"
    ),
    entry!("fd-hard-limit", NoEffect("descriptors are not set aside"), "largest number of descriptors"),
    entry!("gid", Words(|s, c| word_once(s, c, |p| &mut p.group)), "group to become, as a number"),
    entry!("grace", NoEffect("listeners close when a stop begins"), "time to keep listening while stopping"),
    entry!("group", Words(|s, c| word_once(s, c, |p| &mut p.group)), "group to become"),
    entry!("h1-accept-payload-with-any-method", NoEffect(TUNING), "accepts bodies with any method"),
    entry!("hard-stop-after", Words(hard_stop_after), "longest graceful stop"),
    entry!("harden.reject-privileged-ports.tcp", NoEffect(TUNING), "refuses clients on low ports"),
    entry!("insecure-fork-wanted", NoEffect(TUNING), "allows to start programs"),
    entry!("insecure-setuid-wanted", NoEffect(TUNING), "allows programs with other rights"),
    entry!("issuers-chain-path", NoEffect(NO_TLS), "folder of issuers"),
    entry!("limited-quic", NoEffect(NO_TLS), "QUIC without help of the TLS library"),
    entry!("localpeer", Words(|s, c| word(&mut s.local_peer, c)), "name among peers"),
    entry!("log", Words(logs::global_log), "log ADDRESS [len N] [format F] FACILITY [LEVEL [MINLEVEL]]"),
    entry!("log-send-hostname", Words(log_send_hostname), "host name in log lines"),
    entry!("log-tag", Words(|s, c| word(&mut s.process.log_tag, c)), "tag of log lines"),
    entry!("lua-load", NotYet(LUA), "loads a Lua file"),
    entry!("lua-load-per-thread", NotYet(LUA), "loads a Lua file"),
    entry!("lua-prepend-path", NotYet(LUA), "path of Lua files"),
    entry!("master-worker", Words(master_worker), "old: what the option -W does"),
    entry!(
        "maxcompcpuusage",
        NoEffect("compression is limited by 'maxcomprate' only"),
        "processor share of compression"
    ),
    entry!("maxcomprate", Words(maxcomprate), "most kilobytes into compression in a second"),
    entry!("maxconn", Words(maxconn), "connections at once"),
    entry!(
        "maxconnrate",
        Words(|s, c| rate(c).map(|n| s.process.connection_rate = n)),
        "new connections in a second"
    ),
    entry!("maxpipes", NoEffect(TUNING), "pipes for splicing"),
    entry!(
        "maxsessrate",
        Words(|s, c| rate(c).map(|n| s.process.session_rate = n)),
        "new sessions in a second"
    ),
    entry!("maxsslconn", NoEffect(NO_TLS), "TLS connections at once"),
    entry!("maxsslrate", NoEffect(NO_TLS), "new TLS connections in a second"),
    entry!("maxzlibmem", NoEffect(TUNING), "memory of compression"),
    entry!("nbproc", Words(nbproc), "old: processes"),
    entry!("nbthread", Words(nbthread), "worker threads"),
    entry!("node", Words(|s, c| word(&mut s.process.node, c)), "name of the node on the statistics page"),
    entry!("noepoll", NoEffect(TUNING), "without epoll"),
    entry!("noevports", NoEffect(TUNING), "without event ports"),
    entry!("nogetaddrinfo", NoEffect(TUNING), "without getaddrinfo"),
    entry!("nokqueue", NoEffect(TUNING), "without kqueue"),
    entry!("nopoll", NoEffect(TUNING), "without poll"),
    entry!("noreuseport", NoEffect(TUNING), "without SO_REUSEPORT"),
    entry!("nosplice", NoEffect(TUNING), "without splicing"),
    entry!("numa-cpu-mapping", NoEffect(THREADS), "cores of threads"),
    entry!("pidfile", Words(|s, c| path_once(s, c, |p| &mut p.pid_file)), "file that holds the process id"),
    entry!("pp2-never-send-local", NoEffect(TUNING), "PROXY header of checks"),
    entry!("presetenv", Words(variable), "presetenv NAME VALUE: a variable unless it is set"),
    entry!("profiling.memory", NoEffect(TUNING), "profiling"),
    entry!("profiling.tasks", NoEffect(TUNING), "profiling"),
    entry!("quiet", NoEffect(""), "says nothing at the start"),
    entry!("resetenv", NoEffect(""), "resetenv NAMES…: removes all other variables"),
    entry!(
        "server-state-base",
        Words(|s, c| c.text("a folder").map(|text| s.states.base = Some(text.into()))),
        "folder of state files"
    ),
    entry!(
        "server-state-file",
        Words(|s, c| c.text("a file").map(|text| s.states.file = Some(text.into()))),
        "file of server states"
    ),
    entry!("set-dumpable", NoEffect(TUNING), "allows core dumps"),
    entry!("set-var", NotYet("use 'http-request set-var' with the scope proc"), "a variable of the process"),
    entry!(
        "set-var-fmt",
        NotYet("use 'http-request set-var-fmt' with the scope proc"),
        "a variable of the process"
    ),
    entry!("setcap", NoEffect("capabilities are kept as they are"), "capabilities to keep"),
    entry!("setenv", Words(variable), "setenv NAME VALUE: a variable"),
    entry!("spread-checks", Words(spread_checks), "random part of check intervals, percent"),
    entry!("ssl-default-bind-ciphers", NoEffect(NO_TLS), "ciphers"),
    entry!("ssl-default-bind-ciphersuites", NoEffect(NO_TLS), "ciphers"),
    entry!("ssl-default-bind-client-sigalgs", NoEffect(NO_TLS), "signatures"),
    entry!("ssl-default-bind-curves", NoEffect(NO_TLS), "curves"),
    entry!("ssl-default-bind-options", NoEffect(NO_TLS), "options"),
    entry!("ssl-default-bind-sigalgs", NoEffect(NO_TLS), "signatures"),
    entry!("ssl-default-server-ciphers", NoEffect(NO_TLS), "ciphers"),
    entry!("ssl-default-server-ciphersuites", NoEffect(NO_TLS), "ciphers"),
    entry!("ssl-default-server-client-sigalgs", NoEffect(NO_TLS), "signatures"),
    entry!("ssl-default-server-curves", NoEffect(NO_TLS), "curves"),
    entry!("ssl-default-server-options", NoEffect(NO_TLS), "options"),
    entry!("ssl-default-server-sigalgs", NoEffect(NO_TLS), "signatures"),
    entry!("ssl-dh-param-file", NoEffect(NO_TLS), "parameters"),
    entry!("ssl-engine", NoEffect(NO_TLS), "hardware"),
    entry!("ssl-load-extra-del-ext", NoEffect(NO_TLS), "names of files"),
    entry!("ssl-load-extra-files", NoEffect(NO_TLS), "names of files"),
    entry!("ssl-mode-async", NoEffect(NO_TLS), "hardware"),
    entry!("ssl-propquery", NoEffect(NO_TLS), "providers"),
    entry!("ssl-provider", NoEffect(NO_TLS), "providers"),
    entry!("ssl-provider-path", NoEffect(NO_TLS), "providers"),
    entry!("ssl-security-level", NoEffect(NO_TLS), "strength"),
    entry!("ssl-server-verify", NoEffect(NO_TLS), "verification of servers"),
    entry!("ssl-skip-self-issued-ca", NoEffect(NO_TLS), "chains"),
    entry!("stats", Words(stats), "stats socket ADDRESS [level L] [mode M] …, stats timeout TIME"),
    entry!("stress-level", NoEffect(TUNING), "for developers"),
    entry!(
        "strict-limits",
        NoEffect("limits that cannot be had are problems anyway"),
        "fails when limits cannot be had"
    ),
    entry!("thread-group", NoEffect(THREADS), "groups of threads"),
    entry!("thread-groups", NoEffect(THREADS), "groups of threads"),
    entry!("thread-hard-limit", NoEffect(THREADS), "most threads"),
    entry!("uid", Words(|s, c| word_once(s, c, |p| &mut p.user)), "user to become, as a number"),
    entry!(
        "ulimit-n",
        Words(|s, c| c.number("a number of descriptors").and_then(|n| once(s, c, |p| &mut p.descriptors, n))),
        "descriptor limit"
    ),
    entry!("unix-bind", NotYet("write mode, user and group on the bind lines"), "defaults of unix sockets"),
    entry!("unsetenv", NoEffect(""), "unsetenv NAMES…: removes variables"),
    entry!("user", Words(|s, c| word_once(s, c, |p| &mut p.user)), "user to become"),
    entry!("warn-blocked-traffic-after", NoEffect(TUNING), "for developers"),
    entry!("zero-warning", NoEffect("start with -dW"), "refuses warnings"),
];

/// Words before which `no` may stand.
const NEGATABLE: &[&str] = &[
    "busy-polling",
    "set-dumpable",
    "strict-limits",
    "insecure-fork-wanted",
    "numa-cpu-mapping",
    "zero-warning",
    "quiet",
];

/// Reads a `global` section.
pub(super) fn read(shared: &mut Shared<'_>, section: &Section) {
    for line in std::iter::once(&section.head).chain(&section.body) {
        let done = if line.number == section.head.number {
            Cursor::new(line, 1).end()
        } else {
            read_line(shared, line)
        };
        if let Err(said) = done {
            shared.problem(said, line);
        }
    }
}

fn read_line(shared: &mut Shared<'_>, line: &Line) -> Done {
    let mut cursor = Cursor::new(line, 0);
    let negated = matches!(cursor.peek(), "no" | "default");
    cursor.at += usize::from(negated);
    let at = cursor.at;
    let word = cursor.text("a keyword")?;
    if negated && !NEGATABLE.contains(&word) {
        return Err(Said::new(format!("'{}' cannot stand before '{word}'", line.text(0))));
    }
    if let Some(name) = word.strip_prefix("tune.") {
        return tune(shared, &mut cursor, name);
    }
    let Some(entry) = GLOBAL.iter().find(|e| e.name == word) else { return Err(unknown(word).at(at)) };
    match &entry.act {
        Words(read) => {
            read(shared, &mut cursor)?;
            cursor.end()
        }
        NoEffect("") => Ok(()),
        NoEffect(why) => {
            shared.note(line.place(at), format!("'{word}' has no effect here: {why}"));
            Ok(())
        }
        NotYet(hint) => Err(Said::not_yet(format!("'{word}'")).hint(*hint).at(at)),
    }
}

fn unknown(word: &str) -> Said {
    if keywords::PROXY.iter().any(|e| e.name == word) {
        return Said::new(format!("'{word}' may not stand in 'global'"))
            .hint("move it to 'defaults' or to a proxy section");
    }
    Said::new(format!("unknown keyword '{word}' in 'global'"))
        .hint(keywords::nearest(word, GLOBAL.iter().map(|e| e.name)))
}

/// Names behind `tune.`; one that ends in a dot or a dash stands for all that begin so.
const TUNE: &[&str] = &[
    "applet.",
    "buffers.",
    "bufsize.",
    "chksize",
    "cli.",
    "comp.",
    "defaults.",
    "disable-",
    "epoll.",
    "events.",
    "fail-alloc",
    "fd.",
    "glitches.",
    "h1.",
    "h2.",
    "http.",
    "idle-pool.",
    "idletimer",
    "listener.",
    "lua.",
    "max-checks-per-thread",
    "max-rules-at-once",
    "maxaccept",
    "maxpollevents",
    "maxrewrite",
    "memory.",
    "mux.",
    "notsent-lowat.",
    "pattern.",
    "peers.",
    "pipesize",
    "pool-",
    "pt.",
    "quic.",
    "rcvbuf.",
    "recv_enough",
    "renice.",
    "ring.",
    "runqueue-depth",
    "sched.",
    "sndbuf.",
    "ssl.",
    "stream.",
    "streams.",
    "takeover-",
    "vars.",
    "zlib.",
];

/// Settings of HAProxy's insides. Only the size of the buffer bounds something a user sees: heads.
fn tune(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>, name: &str) -> Done {
    match name {
        "bufsize" => {
            shared.process.head_bytes = Some(cursor.size()?.clamp(1024, 1 << 24) as usize);
            cursor.end()
        }
        "stick-counters" => {
            shared.stick_counters = cursor.number_in("a number of counters", 0, 100)? as u8;
            cursor.end()
        }
        "idle-pool.shared" => {
            shared.process.own_idle_connections = match cursor.text("on, off or auto")? {
                "on" | "auto" | "full" => false,
                "off" => true,
                other => return Err(cursor.wrong(other, "on, off, auto or full")),
            };
            cursor.end()
        }
        "comp.maxlevel" => {
            shared.process.compression.level = Some(cursor.number_in("a level", 1, 9)? as u32);
            cursor.end()
        }
        "maxrewrite" => cursor.size().and_then(|_| cursor.end()),
        _ if !TUNE
            .iter()
            .any(|known| name == *known || (known.ends_with(['.', '-']) && name.starts_with(known))) =>
        {
            Err(Said::new(format!("unknown keyword 'tune.{name}' in 'global'")).hint("remove it"))
        }
        _ => {
            cursor.text("a value")?;
            shared.note(cursor.line.place(0), format!("'tune.{name}' has no effect here: {TUNING}"));
            Ok(())
        }
    }
}

fn maxcomprate(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    let kilobytes = cursor.number_in("kilobytes per second", 0, u64::from(u32::MAX))?;
    shared.process.compression.bytes_per_second = (kilobytes > 0).then_some(kilobytes * 1024);
    Ok(())
}

fn set(flag: &mut bool) -> Done {
    *flag = true;
    Ok(())
}

fn word(field: &mut Option<String>, cursor: &mut Cursor<'_>) -> Done {
    *field = Some(cursor.text("a name")?.to_owned());
    Ok(())
}

/// Says a thing once: as in HAProxy the first one counts.
fn once<T>(
    shared: &mut Shared<'_>,
    cursor: &Cursor<'_>,
    field: fn(&mut Process) -> &mut Option<T>,
    value: T,
) -> Done {
    let field = field(&mut shared.process);
    if field.is_none() {
        *field = Some(value);
    } else {
        let what = format!("'{}' was said before; the first one counts", cursor.line.text(0));
        shared.note(cursor.line.place(0), what);
    }
    Ok(())
}

fn word_once(
    shared: &mut Shared<'_>,
    cursor: &mut Cursor<'_>,
    field: fn(&mut Process) -> &mut Option<String>,
) -> Done {
    let value = cursor.text("a name")?.to_owned();
    once(shared, cursor, field, value)
}

fn path_once(
    shared: &mut Shared<'_>,
    cursor: &mut Cursor<'_>,
    field: fn(&mut Process) -> &mut Option<PathBuf>,
) -> Done {
    let value = PathBuf::from(cursor.text("a path")?);
    once(shared, cursor, field, value)
}

/// `setenv NAME VALUE`, obeyed when the line was cut into words.
fn variable(_: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    cursor.text("a name and a value")?;
    cursor.need("a value").map(|_| ())
}

fn maxconn(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    let limit = cursor.number_in("a number of connections", 0, u64::from(u32::MAX))? as u32;
    if limit == 0 { Ok(()) } else { once(shared, cursor, |p| &mut p.max_connections, limit) }
}

/// Beginnings per second; 0 = no limit.
fn rate(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Said> {
    let limit = cursor.number_in("a number per second", 0, u64::from(u32::MAX))? as u32;
    Ok((limit > 0).then_some(limit))
}

fn nbthread(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    shared.process.threads = Some(cursor.number_in("a number of threads", 1, 4096)? as u16);
    Ok(())
}

/// There is one process: the number is taken as a number of threads unless that was said.
fn nbproc(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    let count = cursor.number_in("a number of processes", 1, 4096)? as u16;
    shared.old(cursor.line, "nbproc", &format!("nbthread {count}"))?;
    shared.process.threads = shared.process.threads.or(Some(count));
    Ok(())
}

fn master_worker(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    cursor.skip_all();
    shared.old(cursor.line, "master-worker", "the option -W")
}

fn hard_stop_after(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    shared.process.hard_stop_after = units::limit(cursor.time()?);
    Ok(())
}

fn external_check(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    shared.external_checks = Some(cursor.eat("preserve-env"));
    cursor.end()
}

fn spread_checks(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    shared.process.spread_checks_percent = cursor.number_in("a percentage", 0, 50)? as u8;
    Ok(())
}

fn log_send_hostname(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    shared.process.log_hostname = Some(cursor.next().map_or_else(String::new, |w| w.text.clone()));
    Ok(())
}

fn stats(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("socket or timeout")? {
        "socket" => socket(shared, cursor),
        "timeout" => {
            shared.process.runtime_timeout = units::limit(cursor.time()?);
            Ok(())
        }
        word @ ("maxconn" | "bind-process") => {
            shared.note(cursor.line.place(1), format!("'stats {word}' has no effect here: {TUNING}"));
            cursor.skip_all();
            Ok(())
        }
        other => Err(cursor.wrong(other, "socket or timeout")),
    }
}

fn socket(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    let at = cursor.at;
    let text = cursor.text("an address")?;
    let addresses = bind::addresses_of(shared, &implied_unix(text), cursor).map_err(|said| said.at(at))?;
    let mut options = SocketOptions::default();
    while let Some(word) = cursor.next() {
        options.word(shared, cursor, &word.text)?;
    }
    let place = cursor.line.place(at);
    shared.process.runtime_sockets.extend(addresses.into_iter().map(|address| RuntimeSocket {
        place: place.clone(),
        address,
        level: options.level,
        mode: options.mode,
        user: options.user.clone(),
        group: options.group.clone(),
    }));
    Ok(())
}

/// A word without a port is a path, also a relative one.
fn implied_unix(text: &str) -> String {
    let plain = !text.contains([':', '@', '$', '/', ',']);
    if plain { format!("unix@{text}") } else { text.to_owned() }
}

#[derive(Default)]
struct SocketOptions {
    level: RuntimeLevel,
    mode: Option<u32>,
    user: Option<String>,
    group: Option<String>,
}

impl SocketOptions {
    fn word(&mut self, shared: &mut Shared<'_>, cursor: &mut Cursor<'_>, name: &str) -> Done {
        match name {
            "level" => {
                self.level = match cursor.text("user, operator or admin")? {
                    "user" => RuntimeLevel::User,
                    "operator" => RuntimeLevel::Operator,
                    "admin" => RuntimeLevel::Admin,
                    other => return Err(cursor.wrong(other, "user, operator or admin")),
                };
            }
            "mode" => bind::permissions(&mut self.mode, cursor)?,
            "user" | "uid" => word(&mut self.user, cursor)?,
            "group" | "gid" => word(&mut self.group, cursor)?,
            "expose-fd" | "severity-output" | "process" | "thread" | "id" | "backlog" | "maxconn"
            | "name" | "nice" => {
                let at = cursor.at - 1;
                cursor.text("a value")?;
                shared.note(cursor.line.place(at), format!("'{name}' has no effect on a runtime socket"));
            }
            other => return Err(cursor.wrong(other, "level, mode, user or group")),
        }
        Ok(())
    }
}
