//! Single values: numbers, times, addresses, paths, words, texts, bytes.

use super::emit::Out;
use super::form::Form;
use super::reader::Reader;
use super::template;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plan::Mode;
use plan::compression::Coding;
use plan::draft::nearest;
use plan::listener::{BindAddress, ProxyVersion};
use plan::log::{GzipFile, LogAddress, LogHeader, Severity};
use plan::network::Network;
use plan::pool::{
    CookieMode, HashFunction, HashMethod, ObserveAction, ObserveLayer, Redispatch, Reuse, ServerAddress,
};
use plan::process::RuntimeLevel;
use plan::rule::{RegexTemplate, Style, Template};
use plan::site::{ConnectionMode, OddNames};
use regex::bytes::{Regex, RegexBuilder};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time, days. Longer ones are taken for slips.
const MAX_DAYS: u64 = 365;
/// Largest compiled expression, bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

/// The text of a scalar.
pub(super) fn text<'n>(node: &'n Node, expected: &str, reader: &mut Reader<'_>) -> Option<&'n str> {
    let found = match &node.kind {
        Kind::Scalar { text, .. } => return Some(text),
        Kind::List(_) => "a list",
        Kind::Map(_) => "a map",
    };
    reader.problem(node.spot, format!("{expected} is expected here, not {found}"), "");
    None
}

/// Reads a scalar by `parse`, which says `None` when it is not `expected`.
pub(super) fn parsed<T>(
    node: &Node,
    expected: &str,
    reader: &mut Reader<'_>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = text(node, expected, reader)?;
    let value = parse(text);
    if value.is_none() {
        let shown: String = text.chars().take(60).collect();
        reader.problem(node.spot, format!("'{shown}' is not {expected}"), "");
    }
    value
}

/// Writes a value as `text` if `parse` gives the value back; otherwise it cannot be said.
fn checked<T: PartialEq + std::fmt::Debug>(
    value: &T,
    text: String,
    writer: &mut Writer,
    parse: impl FnOnce(&str) -> Option<T>,
) -> String {
    if parse(&text).as_ref() != Some(value) {
        writer.problem(format!("{value:?} cannot be written"), "");
    }
    text
}

/// Values written as one word: `leaf!(TYPE, "what is expected", text of a value, value of a text)`.
macro_rules! leaf {
    ($type:ty, $expected:literal, $say:expr, $parse:expr) => {
        impl Form for $type {
            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<$type> {
                parsed(node, $expected, reader, $parse)
            }

            fn written(&self, writer: &mut Writer) -> Out {
                let say: fn(&$type) -> String = $say;
                Out::word(checked(self, say(self), writer, $parse))
            }
        }
    };
}

/// Values written as words of a table.
macro_rules! words {
    ($type:ty, $expected:literal, $table:expr) => {
        impl Form for $type {
            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<$type> {
                word(node, $expected, $table, reader)
            }

            fn written(&self, writer: &mut Writer) -> Out {
                let _ = writer;
                Out::word(name_of(self, $table))
            }
        }
    };
}

leaf!(u8, "a number up to 255", u8::to_string, |t| t.parse().ok());
leaf!(u16, "a number up to 65535", u16::to_string, |t| t.parse().ok());
leaf!(u32, "a number", u32::to_string, |t| t.parse().ok());
leaf!(u64, "a number", u64::to_string, |t| t.parse().ok());
leaf!(usize, "a number or a size such as 16k", size_text, size);
leaf!(bool, "true or false", bool::to_string, yes_or_no);
leaf!(Duration, "a time such as 5s, 500ms or 2h (at most a year)", time_text, time);
leaf!(IpAddr, "an address such as 10.0.0.1", IpAddr::to_string, |t| t.parse().ok());
leaf!(SocketAddr, "an address with a port such as 10.0.0.1:80", SocketAddr::to_string, |t| t.parse().ok());
leaf!(Network, "a network such as 10.0.0.0/8", network_text, |t| t.parse().ok());
leaf!(BindAddress, "an address such as *:80, [::]:443, unix:/run/x.sock or fd:3", bind_text, bind);
leaf!(ServerAddress, "a server such as 10.0.0.1:80, app.test:80, unix:/run/x.sock or *", server_text, server);
leaf!(LogAddress, "a log target such as /dev/log, 127.0.0.1:514, file:/var/log/x or stdout", log_text, log);

words!(Mode, "tcp or http", &[("tcp", Mode::Tcp), ("http", Mode::Http)]);
words!(ProxyVersion, "v1 or v2", &[("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)]);
words!(
    OddNames,
    "keep, delete or refuse",
    &[("keep", OddNames::Keep), ("delete", OddNames::Delete), ("refuse", OddNames::Refuse)]
);
words!(
    ConnectionMode,
    "keep_alive, server_close or close",
    &[
        ("keep_alive", ConnectionMode::KeepAlive),
        ("server_close", ConnectionMode::ServerClose),
        ("close", ConnectionMode::Close),
    ]
);
words!(
    Coding,
    "gzip, deflate, raw_deflate or identity",
    &[
        ("gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
        ("raw_deflate", Coding::RawDeflate),
        ("identity", Coding::Identity),
    ]
);
words!(
    RuntimeLevel,
    "user, operator or admin",
    &[("user", RuntimeLevel::User), ("operator", RuntimeLevel::Operator), ("admin", RuntimeLevel::Admin)]
);
words!(Severity, "a level such as info", SEVERITIES);
words!(
    LogHeader,
    "a header form such as rfc5424",
    &[
        ("rfc3164", LogHeader::Rfc3164),
        ("host_tag", LogHeader::HostTag),
        ("tag", LogHeader::Tag),
        ("rfc5424", LogHeader::Rfc5424),
        ("priority", LogHeader::Priority),
        ("short", LogHeader::Short),
        ("timed", LogHeader::Timed),
        ("bracketed", LogHeader::Bracketed),
        ("raw", LogHeader::Raw),
        ("plain", LogHeader::Plain),
    ]
);
words!(HashMethod, "map or consistent", &[("map", HashMethod::Map), ("consistent", HashMethod::Consistent)]);
words!(
    HashFunction,
    "a hash function: sdbm, djb2, wt6, crc32 or none",
    &[
        ("sdbm", HashFunction::Sdbm),
        ("djb2", HashFunction::Djb2),
        ("wt6", HashFunction::Wt6),
        ("crc32", HashFunction::Crc32),
        ("none", HashFunction::None),
    ]
);
words!(
    Redispatch,
    "unless_bound, always or never",
    &[("unless_bound", Redispatch::Unsaid), ("always", Redispatch::Always), ("never", Redispatch::Never)]
);
words!(
    Reuse,
    "auto, never, safe, aggressive or always",
    &[
        ("auto", Reuse::Unsaid),
        ("never", Reuse::Never),
        ("safe", Reuse::Safe),
        ("aggressive", Reuse::Aggressive),
        ("always", Reuse::Always),
    ]
);
words!(
    CookieMode,
    "insert, prefix or rewrite",
    &[("insert", CookieMode::Insert), ("prefix", CookieMode::Prefix), ("rewrite", CookieMode::Rewrite)]
);
words!(
    ObserveLayer,
    "connection or http",
    &[("connection", ObserveLayer::Connection), ("http", ObserveLayer::Http)]
);
words!(
    ObserveAction,
    "fast_checks, fail_check, sudden_death or mark_down",
    &[
        ("fast_checks", ObserveAction::FastInter),
        ("fail_check", ObserveAction::FailCheck),
        ("sudden_death", ObserveAction::SuddenDeath),
        ("mark_down", ObserveAction::MarkDown),
    ]
);

/// Levels by name.
pub(super) const SEVERITIES: &[(&str, Severity)] = &[
    ("emergency", Severity::Emergency),
    ("alert", Severity::Alert),
    ("critical", Severity::Critical),
    ("error", Severity::Error),
    ("warning", Severity::Warning),
    ("notice", Severity::Notice),
    ("info", Severity::Info),
    ("debug", Severity::Debug),
];

/// Reads a word of a table.
pub(super) fn word<T: Clone>(
    node: &Node,
    expected: &str,
    table: &[(&str, T)],
    reader: &mut Reader<'_>,
) -> Option<T> {
    let text = text(node, expected, reader)?;
    let found = table.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone());
    if found.is_none() {
        let hint = nearest(text, table.iter().map(|(name, _)| *name));
        reader.problem(node.spot, format!("'{text}' is not {expected}"), hint);
    }
    found
}

/// The word of a value.
pub(super) fn name_of<T: PartialEq>(value: &T, table: &[(&'static str, T)]) -> &'static str {
    table.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

impl Form for String {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        text(node, "a text", reader).map(str::to_owned)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::Text(self.clone())
    }
}

impl Form for Box<str> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Box<str>> {
        text(node, "a text", reader).map(Box::from)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::Text(self.to_string())
    }
}

impl Form for PathBuf {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
        text(node, "a path", reader).map(PathBuf::from)
    }

    fn written(&self, writer: &mut Writer) -> Out {
        Out::Text(checked(self, self.to_string_lossy().into_owned(), writer, |t| Some(PathBuf::from(t))))
    }
}

/// Bytes: a text when they are one, otherwise `{ base64: … }`.
impl Form for Vec<u8> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
        match &node.kind {
            Kind::Map(entries) if entries.len() == 1 && entries[0].0.text == "base64" => {
                parsed(&entries[0].1, "base64", reader, |text| {
                    STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()
                })
            }
            Kind::Scalar { text, .. } => Some(text.clone().into_bytes()),
            _ => {
                reader.problem(node.spot, "a text or { base64: … } is expected here", "");
                None
            }
        }
    }

    fn written(&self, _: &mut Writer) -> Out {
        match std::str::from_utf8(self) {
            Ok(text) => Out::Text(text.to_owned()),
            Err(_) => Out::Map(vec![("base64".to_owned(), Out::Text(STANDARD.encode(self)))]),
        }
    }
}

impl Form for Regex {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Regex> {
        match regex(text(node, "an expression", reader)?) {
            Ok(regex) => Some(regex),
            Err(what) => {
                reader.problem(node.spot, what, "");
                None
            }
        }
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::Text(self.as_str().to_owned())
    }
}

impl Form for Template {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        template::read(node, Style::default(), reader)
    }

    fn written(&self, writer: &mut Writer) -> Out {
        Out::Text(template::write(self, Style::default(), writer))
    }
}

impl Form for RegexTemplate {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<RegexTemplate> {
        Template::read(node, reader).map(RegexTemplate)
    }

    fn written(&self, writer: &mut Writer) -> Out {
        self.0.written(writer)
    }
}

/// An expression on bytes.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).unicode(false).size_limit(MAX_REGEX_BYTES).build().map_err(|error| {
        let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        format!("'{text}' is no expression that is understood here: {reason}")
    })
}

/// Permissions in octal.
pub(super) fn permissions(node: &Node, reader: &mut Reader<'_>) -> Option<Option<u32>> {
    let octal = |t: &str| u32::from_str_radix(t, 8).ok().filter(|mode| *mode <= 0o7777);
    parsed(node, "permissions in octal such as 660", reader, octal).map(Some)
}

/// Permissions in octal.
pub(super) fn permissions_text(mode: Option<u32>, writer: &mut Writer) -> Option<Out> {
    let text = format!("{:03o}", mode?);
    if mode > Some(0o7777) {
        writer.problem(format!("the permissions {text} cannot be written"), "");
    }
    Some(Out::word(text))
}

/// The text of a network, inside a condition.
pub(super) fn network(network: &Network, writer: &mut Writer) -> String {
    checked(network, network_text(network), writer, |t| t.parse().ok())
}

/// A network of one address is written as the address.
fn network_text(network: &Network) -> String {
    let text = network.to_string();
    let host = if text.contains(':') { "/128" } else { "/32" };
    text.strip_suffix(host).unwrap_or(&text).to_owned()
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

const NANOS: u64 = 1_000_000_000;
/// Units of time in nanoseconds, longest first.
const UNITS: &[(&str, u64)] = &[
    ("d", 86400 * NANOS),
    ("h", 3600 * NANOS),
    ("m", 60 * NANOS),
    ("s", NANOS),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

fn time(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let (_, nanos) = UNITS.iter().find(|(unit, _)| *unit == &text[digits..])?;
    let nanos = number.checked_mul(*nanos).filter(|n| *n <= MAX_DAYS * 86400 * NANOS)?;
    Some(Duration::from_nanos(nanos))
}

fn time_text(time: &Duration) -> String {
    let nanos = time.as_nanos();
    let exact = |unit: &&(&str, u64)| nanos.is_multiple_of(u128::from(unit.1));
    match UNITS.iter().find(exact) {
        Some((unit, length)) if nanos > 0 => format!("{}{unit}", nanos / u128::from(*length)),
        _ => "0s".to_owned(),
    }
}

fn size(text: &str) -> Option<usize> {
    let (digits, shift) = match text.strip_suffix('k') {
        Some(digits) => (digits, 10),
        None => text.strip_suffix('M').map_or((text, 0), |digits| (digits, 20)),
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

fn size_text(size: &usize) -> String {
    match *size {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{}M", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{}k", n >> 10),
        n => n.to_string(),
    }
}

fn bind(text: &str) -> Option<BindAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(BindAddress::Unix(path.into()));
    }
    if let Some(name) = text.strip_prefix("abstract:") {
        return Some(BindAddress::Abstract(name.to_owned()));
    }
    if let Some(number) = text.strip_prefix("fd:") {
        return number.parse().ok().map(BindAddress::Inherited);
    }
    if let Some(address) = text.strip_prefix("udp:") {
        return match bind(address)? {
            BindAddress::Tcp(address) => Some(BindAddress::Udp(address)),
            _ => None,
        };
    }
    if let Some(port) = text.strip_prefix("*:") {
        return Some(BindAddress::Tcp((Ipv4Addr::UNSPECIFIED, port.parse::<u16>().ok()?).into()));
    }
    text.parse().ok().map(BindAddress::Tcp)
}

fn bind_text(address: &BindAddress) -> String {
    match address {
        BindAddress::Tcp(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => format!("*:{}", v4.port()),
        BindAddress::Tcp(address) => address.to_string(),
        BindAddress::Udp(address) => format!("udp:{}", bind_text(&BindAddress::Tcp(*address))),
        BindAddress::Unix(path) => format!("unix:{}", path.display()),
        BindAddress::Abstract(name) => format!("abstract:{name}"),
        BindAddress::Inherited(number) => format!("fd:{number}"),
    }
}

fn server(text: &str) -> Option<ServerAddress> {
    if text == "*" {
        return Some(ServerAddress::Transparent);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(ServerAddress::Unix(path.into()));
    }
    if let Ok(address) = text.parse() {
        return Some(ServerAddress::Tcp(address));
    }
    if text.starts_with('_') && is_name(text) {
        return Some(ServerAddress::Service(text.to_owned()));
    }
    let (host, port) = text.rsplit_once(':')?;
    if port.starts_with(['+', '-']) && is_name(host) && host.parse::<IpAddr>().is_err() {
        return Some(ServerAddress::MappedName(host.to_owned(), port.parse().ok()?));
    }
    if port.starts_with(['+', '-']) {
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        return Some(ServerAddress::MappedPort(host.parse().ok()?, port.parse().ok()?));
    }
    if is_name(host) && host.parse::<IpAddr>().is_err() {
        return Some(ServerAddress::Name(host.to_owned(), port.parse().ok()?));
    }
    None
}

fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn server_text(address: &ServerAddress) -> String {
    match address {
        ServerAddress::MappedPort(IpAddr::V6(ip), offset) => format!("[{ip}]:{offset:+}"),
        ServerAddress::Unix(path) => format!("unix:{}", path.display()),
        other => other.to_string(),
    }
}

fn log(text: &str) -> Option<LogAddress> {
    match text {
        "stdout" => return Some(LogAddress::Stdout),
        "stderr" => return Some(LogAddress::Stderr),
        text if text.starts_with('/') => return Some(LogAddress::Unix(text.into())),
        _ => {}
    }
    match text.split_once(':') {
        Some(("unix", path)) => Some(LogAddress::Unix(path.into())),
        Some(("file", path)) => Some(LogAddress::File(path.into())),
        Some(("gzip", rest)) => gzip(rest).map(LogAddress::Gzip),
        Some(("tcp", address)) => address.parse().ok().map(LogAddress::Tcp),
        Some(("fd", number)) => number.parse().ok().map(LogAddress::Descriptor),
        _ => text.parse().ok().map(LogAddress::Udp),
    }
}

/// `LEVEL:BYTES:FLUSH:PATH`, the time in milliseconds or left out.
fn gzip(text: &str) -> Option<GzipFile> {
    let mut parts = text.splitn(4, ':');
    let level = parts.next()?.parse().ok().filter(|level| (1..=9).contains(level))?;
    let bytes = parts.next()?.parse().ok()?;
    let flush = match parts.next()? {
        "" => None,
        flush => Some(Duration::from_millis(flush.parse().ok()?)),
    };
    Some(GzipFile { path: parts.next()?.into(), level, bytes, flush })
}

fn log_text(address: &LogAddress) -> String {
    match address {
        LogAddress::Udp(address) => address.to_string(),
        LogAddress::Tcp(address) => format!("tcp:{address}"),
        LogAddress::Unix(path) if path.is_absolute() => path.display().to_string(),
        LogAddress::Unix(path) => format!("unix:{}", path.display()),
        LogAddress::File(path) => format!("file:{}", path.display()),
        LogAddress::Gzip(GzipFile { path, level, bytes, flush }) => {
            let flush = flush.map_or(String::new(), |flush| flush.as_millis().to_string());
            format!("gzip:{level}:{bytes}:{flush}:{}", path.display())
        }
        LogAddress::Stdout => "stdout".to_owned(),
        LogAddress::Stderr => "stderr".to_owned(),
        LogAddress::Descriptor(number) => format!("fd:{number}"),
    }
}
