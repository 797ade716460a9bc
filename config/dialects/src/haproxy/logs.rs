//! `log`, `log-format`, `log-tag` and what `option httplog` and its like choose.

use super::address::{self, Ports, Written};
use super::format;
use super::said::{Cursor, Done, Said};
use super::scene::{LineFormat, Log, Prefix, Scene, Shared};
use plan::log::{LogAddress, LogHeader, LogTarget, Severity};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Most log targets of a section.
const MAX_TARGETS: usize = 100;
/// Longest line unless said otherwise, bytes.
const LINE_LENGTH: usize = 1024;

/// Names of facilities; their place is their number (RFC 5424, 6.2.1).
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// Names of levels, most severe first.
const LEVELS: &[(&str, Severity)] = &[
    ("emerg", Severity::Emergency),
    ("alert", Severity::Alert),
    ("crit", Severity::Critical),
    ("err", Severity::Error),
    ("warning", Severity::Warning),
    ("notice", Severity::Notice),
    ("info", Severity::Info),
    ("debug", Severity::Debug),
];

/// Names of header forms.
const HEADERS: &[(&str, LogHeader)] = &[
    ("iso", LogHeader::Rfc5424),
    ("local", LogHeader::Rfc3164),
    ("priority", LogHeader::Priority),
    ("raw", LogHeader::Raw),
    ("rfc3164", LogHeader::Rfc3164),
    ("rfc5424", LogHeader::Rfc5424),
    ("short", LogHeader::Short),
    ("timed", LogHeader::Timed),
];

/// `log global`, `log ADDRESS …`, `no log`.
pub(super) fn log(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if scene.prefix == Prefix::No {
        scene.proxy.logs.clear();
        return cursor.end();
    }
    if cursor.peek() == "global" && cursor.line.words.len() == cursor.at + 1 {
        let known = &scene.proxy.logs;
        let fresh: Vec<Log> = scene
            .shared
            .process
            .logs
            .iter()
            .map(|target| Log { target: target.clone(), global: true })
            .filter(|log| !known.contains(log))
            .collect();
        scene.proxy.logs.extend(fresh);
        return Ok(());
    }
    let target = target(scene.shared, cursor)?;
    if scene.proxy.logs.len() >= MAX_TARGETS {
        return Err(Said::new("too many log targets"));
    }
    scene.proxy.logs.push(Log { target, global: false });
    Ok(())
}

/// `log` in the section `global`.
pub(super) fn global_log(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done {
    let target = target(shared, cursor)?;
    if shared.process.logs.len() >= MAX_TARGETS {
        return Err(Said::new("too many log targets"));
    }
    shared.process.logs.push(target);
    Ok(())
}

/// `ADDRESS [len N] [format F] [sample R:N] FACILITY [LEVEL [MINLEVEL]]`.
fn target(shared: &mut Shared<'_>, cursor: &mut Cursor<'_>) -> Done<LogTarget> {
    let at = cursor.at;
    let text = cursor.text("an address and a facility, or 'global'")?;
    let address = log_address(shared, text, cursor).map_err(|said| said.at(at))?;
    let mut target = LogTarget {
        address,
        header: LogHeader::default(),
        facility: 0,
        level: Severity::Debug,
        max_level: Severity::Emergency,
        length: LINE_LENGTH,
        sample: None,
        tag: None,
    };
    loop {
        match cursor.peek() {
            "len" => {
                cursor.next();
                target.length = cursor.number_in("a length", 80, 65535)? as usize;
            }
            "format" => {
                cursor.next();
                let word = cursor.text("a format")?;
                target.header = named(HEADERS, word)
                    .ok_or_else(|| cursor.wrong(word, "a format such as rfc5424 or raw"))?;
            }
            "sample" => {
                cursor.next();
                let word = cursor.text("ranges and a size, as 1:10")?;
                target.sample = Some(sample(word, cursor)?);
            }
            "profile" => return Err(Said::not_yet("'profile' on a log line").at(cursor.at)),
            _ => break,
        }
    }
    levels(&mut target, cursor)?;
    Ok(target)
}

fn levels(target: &mut LogTarget, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("a facility such as local0")?;
    let facility = FACILITIES.iter().position(|name| *name == word);
    target.facility = facility.ok_or_else(|| {
        Said::new(format!("'{word}' is no facility"))
            .hint("the facilities are local0 … local7, daemon, user, …")
            .at(cursor.at - 1)
    })? as u8;
    if let Some(word) = cursor.next() {
        target.level =
            named(LEVELS, &word.text).ok_or_else(|| cursor.wrong(&word.text, "a level such as info"))?;
    }
    if let Some(word) = cursor.next() {
        target.max_level =
            named(LEVELS, &word.text).ok_or_else(|| cursor.wrong(&word.text, "a level such as err"))?;
    }
    cursor.end()
}

fn log_address(shared: &mut Shared<'_>, text: &str, cursor: &Cursor<'_>) -> Done<LogAddress> {
    match text {
        "stdout" => return Ok(LogAddress::Stdout),
        "stderr" => return Ok(LogAddress::Stderr),
        _ => {}
    }
    if text.starts_with("ring@") || text.starts_with("backend@") {
        return Err(
            Said::not_yet(format!("the log target '{text}'")).hint("log to an address, stdout or a socket")
        );
    }
    let read = address::read(text, &shared.environment)?;
    for name in read.missing {
        let place = cursor.line.place(cursor.at - 1);
        shared.note(place, format!("the variable '{name}' is not set and counts as empty"));
    }
    match read.written {
        Written::Unix(_) if read.stream => Err(Said::not_yet("a unix stream socket as a log target")),
        Written::Unix(path) => Ok(LogAddress::Unix(PathBuf::from(path))),
        Written::Descriptor(fd) => Ok(LogAddress::Descriptor(fd)),
        Written::Abstract(_) => Err(Said::not_yet("an abstract unix socket as a log target")),
        Written::Host(host, ports) => {
            let port = match ports {
                Ports::Missing | Ports::Range(0, 0) => 514,
                Ports::Range(low, high) if low == high => low,
                _ => return Err(Said::new(format!("'{text}': a log target has one port"))),
            };
            let address = SocketAddr::new(address::resolve(&host, shared.sources)?, port);
            Ok(if read.stream { LogAddress::Tcp(address) } else { LogAddress::Udp(address) })
        }
    }
}

/// `1:10`, `2-3:10`: (first, last, size of the round).
fn sample(text: &str, cursor: &Cursor<'_>) -> Done<(u32, u32, u32)> {
    let wrong = || cursor.wrong(text, "ranges and a size, as 1:10 or 2-3:10");
    let (ranges, size) = text.split_once(':').ok_or_else(wrong)?;
    if ranges.contains(',') {
        return Err(Said::not_yet("'sample' with several ranges").at(cursor.at - 1));
    }
    let (first, last) = ranges.split_once('-').unwrap_or((ranges, ranges));
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let (first, last, size) = (number(first)?, number(last)?, number(size)?);
    if first == 0 || first > last || last > size { Err(wrong()) } else { Ok((first, last, size)) }
}

fn named<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

/// The level of that name.
pub(super) fn severity(word: &str) -> Option<Severity> {
    named(LEVELS, word)
}

/// `log-tag NAME`.
pub(super) fn log_tag(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.site.log.tag = Some(cursor.text("a tag")?.to_owned());
    cursor.end()
}

/// `log-format FORMAT`.
pub(super) fn log_format(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.line = LineFormat::Custom(format_word(scene, cursor)?);
    Ok(())
}

/// `error-log-format FORMAT`.
pub(super) fn error_log_format(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    format_word(scene, cursor)?;
    // It is for connections that end before there is a request, as in a TLS handshake.
    scene.no_effect(cursor.line, 0, "connections that fail before a request leave no line");
    Ok(())
}

fn format_word(scene: &Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done<plan::Template> {
    let word = cursor.need("a format")?;
    let at = cursor.at - 1;
    if !cursor.is_end() {
        return Err(Said::new("a log format is one word").hint("put it in double quotes").at(cursor.at));
    }
    format::log_line(scene, &word.bytes).map_err(|said| said.at(at))
}

/// The words that are left, joined by spaces.
pub(super) fn rest(cursor: &mut Cursor<'_>) -> String {
    let words: Vec<&str> = cursor.line.words[cursor.at..].iter().map(|w| w.text.as_str()).collect();
    cursor.skip_all();
    words.join(" ")
}
