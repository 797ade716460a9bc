//! Sample expressions: a fetch, its arguments and its converters (`req.hdr(host),lower`).
//!
//! [`super::acl`] and [`super::format`] call [`read`]; the tables also feed hints and the keyword list.

use super::keywords::{self, Entry};
use super::said::{Done, Said};
use super::scene::{Phase, Reference, Scene};
use plan::Condition;
use plan::rule::{Converter, Expr, Fetch, HeaderFetch, Occurrence, RecordField, Scope, Userlist, Value};
use std::sync::Arc;

/// Most converters behind a fetch.
const MAX_CONVERTERS: usize = 64;

/// What kind of value comes out, which decides how it is matched unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes or no.
    Bool,
    /// A number.
    Int,
    /// Text.
    Text,
    /// An address.
    Address,
    /// Known at run time only.
    Any,
}

/// Where a fetch has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Everywhere.
    Anywhere,
    /// While the request head is there.
    Request,
    /// While the response head is there, and in logs.
    Status,
    /// While the response head is there.
    Response,
    /// In TCP content rules.
    Content,
}

/// An expression and what is known about it.
pub(super) struct Sample {
    /// The expression.
    pub expr: Expr,
    /// Kind of its value.
    pub kind: Kind,
    /// Where it has a value.
    pub from: Origin,
    /// Name of the fetch.
    pub name: String,
}

/// Arguments between parentheses.
type Arguments = Vec<Vec<u8>>;
type Make = fn(&Scene<'_, '_>, &Words<'_>) -> Done<Fetch>;

/// What a fetch is: where it works, what it gives and how it is made.
pub(super) struct FetchAct {
    from: Origin,
    kind: Kind,
    /// Least and most arguments.
    arguments: (usize, usize),
    make: Make,
    extra: fn() -> Vec<Converter>,
}

/// Name and arguments of a fetch or converter.
pub(super) struct Words<'a> {
    name: &'a str,
    arguments: &'a Arguments,
}

impl Words<'_> {
    fn text(&self, index: usize) -> String {
        self.arguments.get(index).map(|a| String::from_utf8_lossy(a).into_owned()).unwrap_or_default()
    }

    fn int<T: std::str::FromStr>(&self, index: usize) -> Done<T> {
        let text = self.text(index);
        text.trim().parse().map_err(|_| Said::new(format!("'{}' needs a number, not '{text}'", self.name)))
    }
}

/// Reads an expression from `text[at..]`; gives it and where it ends.
pub(super) fn read(scene: &Scene<'_, '_>, text: &[u8], at: usize) -> Done<(Sample, usize)> {
    let (name, arguments, mut at) = call(text, at)?;
    let mut sample = fetch(scene, &name, &arguments)?;
    while text.get(at) == Some(&b',') {
        let (name, arguments, end) = call(text, at + 1)?;
        if name.is_empty() {
            return Err(Said::new(format!("a converter is expected after ',' behind '{}'", sample.name)));
        }
        convert(&mut sample, &Words { name: &name, arguments: &arguments })?;
        if sample.expr.converters.len() > MAX_CONVERTERS {
            return Err(Said::new("too many converters"));
        }
        at = end;
    }
    Ok((sample, at))
}

/// Reads an expression that takes up the whole word.
pub(super) fn read_whole(scene: &Scene<'_, '_>, text: &[u8]) -> Done<Sample> {
    let (sample, end) = read(scene, text, 0)?;
    if end == text.len() {
        return Ok(sample);
    }
    Err(Said::new(format!("unexpected '{}' behind '{}'", String::from_utf8_lossy(&text[end..]), sample.name)))
}

/// The fetch of that name, if there is one.
pub(super) fn known(name: &str) -> Option<&'static Entry<FetchAct>> {
    FETCHES.iter().find(|f| f.name == name)
}

/// `name` or `name(arguments)` and where it ends.
fn call(text: &[u8], start: usize) -> Done<(String, Arguments, usize)> {
    let length = text[start..].iter().take_while(|b| is_name(**b)).count();
    let name = String::from_utf8_lossy(&text[start..start + length]).into_owned();
    let at = start + length;
    if text.get(at) != Some(&b'(') {
        return Ok((name, Vec::new(), at));
    }
    let (arguments, at) =
        arguments(text, at + 1).ok_or_else(|| Said::new(format!("'{name}(' has no ')'")))?;
    Ok((name, arguments, at))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn arguments(text: &[u8], mut at: usize) -> Option<(Arguments, usize)> {
    let mut list = vec![Vec::new()];
    let mut quote = None;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        let last = list.last_mut()?;
        match (byte, quote) {
            (b')', None) => break,
            (b',', None) => list.push(Vec::new()),
            (b'"' | b'\'', None) => quote = Some(byte),
            (b'"', Some(b'"')) | (b'\'', Some(b'\'')) => quote = None,
            (b'\\', None | Some(b'"')) => match text.get(at) {
                Some(b @ (b'\\' | b'"' | b'\'' | b' ' | b',' | b')' | b'(')) => {
                    last.push(*b);
                    at += 1;
                }
                _ => last.push(b'\\'),
            },
            _ => last.push(byte),
        }
    }
    if list.len() == 1 && list[0].is_empty() {
        list.clear();
    }
    Some((list, at))
}

fn fetch(scene: &Scene<'_, '_>, name: &str, arguments: &Arguments) -> Done<Sample> {
    let entry = known(name).ok_or_else(|| unknown_fetch(name))?;
    let act = &entry.act;
    let (least, most) = act.arguments;
    if arguments.len() < least {
        return Err(Said::new(format!("'{name}' needs {least} argument(s) in parentheses")));
    }
    if arguments.len() > most {
        return Err(Said::new(format!("'{name}' takes no more than {most} argument(s)")));
    }
    let expr = Expr { fetch: (act.make)(scene, &Words { name, arguments })?, converters: (act.extra)() };
    Ok(Sample { expr, kind: act.kind, from: act.from, name: name.to_owned() })
}

/// An error when the value is never there in this phase.
pub(super) fn check_phase(sample: &Sample, phase: Phase) -> Done {
    if available(sample.from, phase) {
        return Ok(());
    }
    let (needs, hint) = match sample.from {
        Origin::Request => {
            ("the request head", "keep the value in a variable or a capture while the request is there")
        }
        Origin::Response | Origin::Status => ("the response head", "use it in http-response rules"),
        Origin::Content | Origin::Anywhere => ("buffered bytes", "use it in tcp-request content rules"),
    };
    Err(Said::new(format!("'{}' needs {needs}, which is not there here", sample.name)).hint(hint))
}

/// True when values of this origin are there in the phase.
pub(super) fn available(from: Origin, phase: Phase) -> bool {
    match from {
        Origin::Anywhere => true,
        Origin::Request => matches!(phase, Phase::Request | Phase::Content),
        Origin::Response => matches!(phase, Phase::Response),
        Origin::Status => matches!(phase, Phase::Response | Phase::Log),
        Origin::Content => matches!(phase, Phase::Content | Phase::Request),
    }
}

fn unknown_fetch(name: &str) -> Said {
    if NOT_YET_FETCHES.iter().any(|p| name.starts_with(p)) {
        return Said::not_yet(format!("the fetch '{name}'"));
    }
    Said::new(format!("unknown fetch '{name}'")).hint(keywords::nearest(name, FETCHES.iter().map(|f| f.name)))
}

fn convert(sample: &mut Sample, words: &Words<'_>) -> Done {
    let Some(entry) = CONVERTERS.iter().find(|c| c.name == words.name) else {
        let near = keywords::nearest(words.name, CONVERTERS.iter().map(|c| c.name));
        let known = CONVERTERS.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
        let hint = if near.is_empty() { format!("these are: {known}") } else { near };
        return Err(Said::not_yet(format!("the converter '{}'", words.name)).hint(hint));
    };
    let (kind, make) = &entry.act;
    sample.expr.converters.extend(make(words)?);
    sample.kind = *kind;
    Ok(())
}

/// Fetches of HAProxy that are known and not there yet; the beginning of a name is enough.
const NOT_YET_FETCHES: &[&str] = &[
    "sc_",
    "sc0_",
    "sc1_",
    "sc2_",
    "src_",
    "ssl_",
    "req.ssl_",
    "req_ssl_",
    "rep_ssl_",
    "res.ssl_",
    "table_",
    "payload",
    "req.payload",
    "req.rdp_",
    "rdp_",
    "req.body",
    "req.hdrs",
    "res.hdrs",
    "req.cook_",
    "res.cook_",
    "cook_",
    "scook_",
    "fc_",
    "bc_",
    "be_",
    "fe_",
    "srv_",
    "so_",
    "avg_queue",
    "connslots",
    "queue",
    "uuid",
    "nbproc",
    "nbthread",
    "proc",
    "thread",
    "stopping",
    "lat_ns",
    "cpu_",
    "date_us",
    "distcc",
    "wait_",
    "lua.",
    "internal.",
    "last_rule",
    "unique",
    "url32",
    "base32",
    "url_ip",
    "url_port",
    "http_auth_",
    "dst_",
    "req.hdr_names",
    "res.hdr_names",
    "quic_",
    "rep_",
];

const fn make(from: Origin, kind: Kind, arguments: (usize, usize), make: Make) -> FetchAct {
    FetchAct { from, kind, arguments, make, extra: Vec::new }
}

const fn with(
    from: Origin,
    kind: Kind,
    arguments: (usize, usize),
    make: Make,
    extra: fn() -> Vec<Converter>,
) -> FetchAct {
    FetchAct { from, kind, arguments, make, extra }
}

fn as_number() -> Vec<Converter> {
    vec![Converter::Add(0)]
}

fn as_address() -> Vec<Converter> {
    vec![Converter::Mask(32, 128)]
}

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: keywords::ANY, act: $act, manual: $manual }
    };
}

use Kind::{Address, Any, Bool, Int, Text};
use Origin::{Anywhere, Content, Request, Response, Status};

/// All fetches.
pub(super) const FETCHES: &[Entry<FetchAct>] = &[
    entry!("acl", make(Anywhere, Bool, (1, 100), acl), "true when all named ACLs hold"),
    entry!("always_false", make(Anywhere, Bool, (0, 0), |_, _| constant(Value::Bool(false))), "never"),
    entry!("always_true", make(Anywhere, Bool, (0, 0), |_, _| constant(Value::Bool(true))), "always"),
    entry!("base", make(Request, Text, (0, 0), |_, _| Ok(Fetch::Base)), "host and path"),
    entry!("be_name", make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::PoolName)), "name of the backend"),
    entry!("bin", make(Anywhere, Text, (1, 1), bin), "constant bytes in hexadecimal"),
    entry!("bool", make(Anywhere, Bool, (1, 1), boolean), "constant yes or no"),
    entry!(
        "capture.req.hdr",
        make(Anywhere, Text, (1, 1), |_, w| w.int(0).map(Fetch::RequestCapture)),
        "a captured request header by index"
    ),
    entry!(
        "capture.req.method",
        make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::Method)),
        "method of the request"
    ),
    entry!(
        "capture.req.uri",
        make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::Target)),
        "target of the request"
    ),
    entry!(
        "capture.req.ver",
        with(Anywhere, Text, (0, 0), |_, _| record(RecordField::Version), Vec::new),
        "version of the request as HTTP/1.1"
    ),
    entry!(
        "capture.res.hdr",
        make(Anywhere, Text, (1, 1), |_, w| w.int(0).map(Fetch::ResponseCapture)),
        "a captured response header by index"
    ),
    entry!("cook", make(Request, Text, (1, 1), cookie), "value of a request cookie"),
    entry!(
        "cook_val",
        with(Request, Int, (1, 1), cookie, as_number),
        "value of a request cookie as a number"
    ),
    entry!("date", make(Anywhere, Int, (0, 2), date), "seconds since 1970, plus an offset"),
    entry!(
        "dst",
        make(Anywhere, Address, (0, 0), |_, _| Ok(Fetch::LocalAddress)),
        "address the client connected to"
    ),
    entry!(
        "dst_port",
        make(Anywhere, Int, (0, 0), |_, _| Ok(Fetch::LocalPort)),
        "port the client connected to"
    ),
    entry!("env", make(Anywhere, Text, (1, 1), env), "an environment variable when the file was read"),
    entry!(
        "fe_conn",
        make(Anywhere, Int, (0, 1), |s, w| site_name(s, w).map(Fetch::SiteConnections)),
        "connections of a frontend"
    ),
    entry!("fe_name", make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::SiteName)), "name of the frontend"),
    entry!("hdr", make(Request, Text, (0, 2), header), "each value of a request header"),
    entry!("hdr_cnt", make(Request, Int, (1, 1), header_count), "number of values of a request header"),
    entry!(
        "hdr_ip",
        with(Request, Address, (1, 2), header, as_address),
        "value of a request header as an address"
    ),
    entry!("hdr_val", with(Request, Int, (1, 2), header, as_number), "value of a request header as a number"),
    entry!(
        "hostname",
        make(Anywhere, Text, (0, 0), |_, _| record(RecordField::Hostname)),
        "name of this machine"
    ),
    entry!("http_auth", make(Request, Bool, (1, 1), auth), "true when a user of the list has authenticated"),
    entry!("http_auth_group", make(Request, Bool, (1, 1), auth), "groups of the user that has authenticated"),
    entry!(
        "http_first_req",
        make(Anywhere, Bool, (0, 0), |_, _| Ok(Fetch::FirstRequest)),
        "first request on its connection"
    ),
    entry!("int", make(Anywhere, Int, (1, 1), |_, w| constant(Value::Int(w.int(0)?))), "constant number"),
    entry!("ipv4", make(Anywhere, Address, (1, 1), address), "constant address"),
    entry!("ipv6", make(Anywhere, Address, (1, 1), address), "constant address"),
    entry!("method", make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::Method)), "method of the request"),
    entry!(
        "nbsrv",
        make(Anywhere, Int, (0, 1), |s, w| pool_name(s, w).map(Fetch::UsableServers)),
        "usable servers of a backend"
    ),
    entry!("path", make(Request, Text, (0, 0), |_, _| Ok(Fetch::Path)), "path without the query"),
    entry!("pathq", make(Request, Text, (0, 0), |_, _| Ok(Fetch::PathAndQuery)), "path with the query"),
    entry!("query", make(Request, Text, (0, 0), |_, _| Ok(Fetch::Query)), "query without the question mark"),
    entry!("rand", make(Anywhere, Int, (0, 1), rand), "random number below a bound"),
    entry!(
        "req.body_size",
        make(Request, Int, (0, 0), |_, _| Ok(Fetch::BodyLength)),
        "length of the request body by its head"
    ),
    entry!("req.cook", make(Request, Text, (1, 1), cookie), "value of a request cookie"),
    entry!(
        "req.cook_val",
        with(Request, Int, (1, 1), cookie, as_number),
        "value of a request cookie as a number"
    ),
    entry!("req.fhdr", make(Request, Text, (0, 2), full_header), "each line of a request header"),
    entry!(
        "req.fhdr_cnt",
        make(Request, Int, (1, 1), full_header_count),
        "number of lines of a request header"
    ),
    entry!("req.hdr", make(Request, Text, (0, 2), header), "each value of a request header"),
    entry!("req.hdr_cnt", make(Request, Int, (1, 1), header_count), "number of values of a request header"),
    entry!(
        "req.hdr_ip",
        with(Request, Address, (1, 2), header, as_address),
        "value of a request header as an address"
    ),
    entry!(
        "req.hdr_val",
        with(Request, Int, (1, 2), header, as_number),
        "value of a request header as a number"
    ),
    entry!(
        "req.len",
        make(Content, Int, (0, 0), |_, _| Ok(Fetch::ReceivedBytes)),
        "bytes in the request buffer"
    ),
    entry!("req.proto_http", make(Content, Bool, (0, 0), proto_http), "true when the request is HTTP"),
    entry!(
        "req.ver",
        make(Request, Text, (0, 0), |_, _| Ok(Fetch::Version)),
        "version of the request as 1.1"
    ),
    entry!(
        "req_len",
        make(Content, Int, (0, 0), |_, _| Ok(Fetch::ReceivedBytes)),
        "bytes in the request buffer"
    ),
    entry!(
        "req_ver",
        make(Request, Text, (0, 0), |_, _| Ok(Fetch::Version)),
        "version of the request as 1.1"
    ),
    entry!("res.cook", make(Response, Text, (1, 1), response_cookie), "value of a response cookie"),
    entry!(
        "res.cook_val",
        with(Response, Int, (1, 1), response_cookie, as_number),
        "value of a response cookie as a number"
    ),
    entry!("res.fhdr", make(Response, Text, (0, 2), response_full_header), "each line of a response header"),
    entry!(
        "res.fhdr_cnt",
        make(Response, Int, (1, 1), response_full_header_count),
        "number of lines of a response header"
    ),
    entry!("res.hdr", make(Response, Text, (0, 2), response_header), "each value of a response header"),
    entry!(
        "res.hdr_cnt",
        make(Response, Int, (1, 1), response_header_count),
        "number of values of a response header"
    ),
    entry!(
        "res.hdr_ip",
        with(Response, Address, (1, 2), response_header, as_address),
        "value of a response header as an address"
    ),
    entry!(
        "res.hdr_val",
        with(Response, Int, (1, 2), response_header, as_number),
        "value of a response header as a number"
    ),
    entry!("scook", make(Response, Text, (1, 1), response_cookie), "value of a response cookie"),
    entry!("shdr", make(Response, Text, (0, 2), response_header), "each value of a response header"),
    entry!("src", make(Anywhere, Address, (0, 0), |_, _| Ok(Fetch::ClientAddress)), "address of the client"),
    entry!("src_port", make(Anywhere, Int, (0, 0), |_, _| Ok(Fetch::ClientPort)), "port of the client"),
    entry!("srv_name", make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::ServerName)), "name of the server"),
    entry!(
        "ssl_fc",
        make(Anywhere, Bool, (0, 0), |_, _| Ok(Fetch::Encrypted)),
        "true when the client's connection is encrypted"
    ),
    entry!("status", make(Status, Int, (0, 0), |_, _| Ok(Fetch::Status)), "status of the response"),
    entry!(
        "str",
        make(Anywhere, Text, (0, 1), |_, w| constant(Value::Text(
            w.arguments.first().cloned().unwrap_or_default().into()
        ))),
        "constant text"
    ),
    entry!(
        "unique-id",
        make(Anywhere, Text, (0, 0), |_, _| record(RecordField::UniqueId)),
        "unique id of the request"
    ),
    entry!("url", make(Request, Text, (0, 0), |_, _| Ok(Fetch::Target)), "target of the request"),
    entry!("url_param", make(Request, Text, (1, 2), query_parameter), "value of a query parameter"),
    entry!("urlp", make(Request, Text, (1, 2), query_parameter), "value of a query parameter"),
    entry!(
        "urlp_val",
        with(Request, Int, (1, 2), query_parameter, as_number),
        "value of a query parameter as a number"
    ),
    entry!("var", make(Anywhere, Any, (1, 2), variable), "value of a variable"),
    entry!(
        "wait_end",
        make(Content, Bool, (0, 0), |_, _| Ok(Fetch::InspectionOver)),
        "true once the inspection delay is over"
    ),
];

type MakeConverters = fn(&Words<'_>) -> Done<Vec<Converter>>;

/// All converters.
pub(super) const CONVERTERS: &[Entry<(Kind, MakeConverters)>] = &[
    entry!("add", (Int, |w| Ok(vec![Converter::Add(w.int(0)?)])), "adds a number"),
    entry!("base64", (Text, |w| plain(w, Converter::Base64)), "base64"),
    entry!("bool", (Bool, |w| plain(w, Converter::Not).map(|n| [n.clone(), n].concat())), "true unless 0"),
    entry!("field", (Text, |w| parts(w, Converter::Field)), "the part between separators, empty parts count"),
    entry!("hex", (Text, |w| plain(w, Converter::Hex)), "hexadecimal"),
    entry!("host_only", (Text, |w| plain(w, Converter::HostOnly)), "host without the port"),
    entry!("ipmask", (Address, ip_mask), "prefix of an address"),
    entry!("length", (Int, |w| plain(w, Converter::Length)), "length in bytes"),
    entry!("lower", (Text, |w| plain(w, Converter::Lower)), "lower case"),
    entry!("mod", (Int, modulo), "remainder of a division"),
    entry!("not", (Bool, |w| plain(w, Converter::Not)), "logical not"),
    entry!("sub", (Int, |w| Ok(vec![Converter::Add(w.int::<i64>(0)?.wrapping_neg())])), "subtracts a number"),
    entry!("upper", (Text, |w| plain(w, Converter::Upper)), "upper case"),
    entry!("url_dec", (Text, url_dec), "percent-decoding"),
    entry!(
        "word",
        (Text, |w| parts(w, Converter::Word)),
        "the part between separators, empty parts do not count"
    ),
];

fn constant(value: Value<'static>) -> Done<Fetch> {
    Ok(Fetch::Constant(value))
}

fn record(field: RecordField) -> Done<Fetch> {
    Ok(Fetch::Record(field))
}

/// The frontend that is named, or the current one.
fn site_name(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Option<Box<str>>> {
    named_section(scene, words, scene.proxy.kind.has_site())
}

/// The backend that is named, or the current one.
fn pool_name(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Option<Box<str>>> {
    named_section(scene, words, scene.proxy.kind.has_pool())
}

fn named_section(scene: &Scene<'_, '_>, words: &Words<'_>, here: bool) -> Done<Option<Box<str>>> {
    if words.arguments.is_empty() {
        let hint = format!("name the section: {}(NAME)", words.name);
        return if here {
            Ok(None)
        } else {
            Err(Said::new(format!("'{}' means another section", words.name)).hint(hint))
        };
    }
    let (name, pool) = (words.text(0), words.name == "nbsrv");
    scene.shared.references.borrow_mut().push(Reference {
        place: scene.here.clone(),
        name: name.clone(),
        pool,
    });
    Ok(Some(name.into()))
}

fn header_fetch(words: &Words<'_>, whole_line: bool) -> Done<HeaderFetch> {
    let name = words.text(0).to_ascii_lowercase();
    if name.is_empty() {
        return Err(Said::not_yet(format!("'{}' without the name of a header", words.name)));
    }
    let occurrence = match words.arguments.len() {
        0 | 1 => Occurrence::Any,
        _ => match words.int::<i32>(1)? {
            0 => Occurrence::Any,
            n => Occurrence::Nth(n),
        },
    };
    Ok(HeaderFetch { name: name.into(), occurrence, whole_line })
}

fn header(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, false).map(Fetch::Header)
}

fn full_header(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, true).map(Fetch::Header)
}

fn header_count(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, false).map(Fetch::HeaderCount)
}

fn full_header_count(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, true).map(Fetch::HeaderCount)
}

fn response_header(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, false).map(Fetch::ResponseHeader)
}

fn response_full_header(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, true).map(Fetch::ResponseHeader)
}

fn response_header_count(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, false).map(Fetch::ResponseHeaderCount)
}

fn response_full_header_count(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    header_fetch(words, true).map(Fetch::ResponseHeaderCount)
}

fn cookie(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    Ok(Fetch::Cookie(words.text(0).into()))
}

fn response_cookie(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    Ok(Fetch::ResponseCookie(words.text(0).into()))
}

fn query_parameter(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    if words.arguments.len() > 1 && words.text(1) != "?" {
        return Err(Said::not_yet(format!("'{}' with a delimiter of its own", words.name)));
    }
    Ok(Fetch::QueryParameter(words.text(0).into()))
}

fn proto_http(scene: &Scene<'_, '_>, _: &Words<'_>) -> Done<Fetch> {
    match scene.proxy.mode {
        plan::Mode::Http => constant(Value::Bool(true)),
        plan::Mode::Tcp => Err(Said::not_yet("recognising HTTP in 'mode tcp'").hint("use 'mode http'")),
    }
}

fn acl(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let all = (0..words.arguments.len()).map(|i| {
        let word = words.text(i);
        let bare = word.trim_start_matches('!');
        let condition = super::acl::named(scene, bare)?;
        let negated = (word.len() - bare.len()) % 2 == 1;
        Ok(if negated { Condition::Not(Box::new(condition)) } else { condition })
    });
    Ok(Fetch::Holds(Box::new(Condition::All(all.collect::<Done<Vec<_>>>()?))))
}

fn bin(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let bytes = super::acl::from_hex(&words.text(0)).ok_or_else(|| {
        Said::new(format!("'bin' needs pairs of hexadecimal digits, not '{}'", words.text(0)))
    })?;
    constant(Value::Text(bytes.into()))
}

fn boolean(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    match words.text(0).to_ascii_lowercase().as_str() {
        "true" | "1" => constant(Value::Bool(true)),
        "false" | "0" => constant(Value::Bool(false)),
        other => Err(Said::new(format!("'bool' needs true or false, not '{other}'"))),
    }
}

fn address(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let text = words.text(0);
    let address = text.parse().map_err(|_| Said::new(format!("'{text}' is no address")))?;
    constant(Value::Address(address))
}

fn env(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let value = scene.shared.environment.get(&words.text(0)).unwrap_or_default();
    constant(Value::Text(value.into_bytes().into()))
}

fn rand(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    Ok(Fetch::Random(if words.arguments.is_empty() { u32::MAX } else { words.int(0)? }))
}

fn date(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    if words.arguments.len() > 1 && words.text(1) != "s" {
        return Err(Said::not_yet("'date' in another unit than seconds"));
    }
    Ok(Fetch::Date(if words.arguments.is_empty() { 0 } else { words.int(0)? }))
}

fn variable(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    if words.arguments.len() > 1 {
        return Err(Said::not_yet("'var' with a default value"));
    }
    let (scope, name) = variable_name(&words.text(0))?;
    Ok(Fetch::Variable(scope, name))
}

/// Scope and name of a variable written as `scope.name`.
pub(super) fn variable_name(text: &str) -> Done<(Scope, Box<str>)> {
    let (scope, name) = text
        .split_once('.')
        .ok_or_else(|| Said::new(format!("'{text}' is no variable")).hint("write scope.name, as txn.host"))?;
    let scope = match scope {
        "proc" => Scope::Process,
        "sess" => Scope::Session,
        "txn" => Scope::Transaction,
        "req" => Scope::Request,
        "res" => Scope::Response,
        "check" => return Err(Said::not_yet("the variable scope 'check'")),
        other => {
            return Err(Said::new(format!("'{other}' is no scope of variables"))
                .hint("the scopes are proc, sess, txn, req and res"));
        }
    };
    let valid =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if !valid {
        return Err(Said::new(format!("'{text}' is no name of a variable")));
    }
    Ok((scope, name.into()))
}

fn auth(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let name = words.text(0);
    let list = scene.shared.userlists.get(&name).ok_or_else(|| {
        let names = scene.shared.userlists.keys().map(String::as_str);
        Said::new(format!("there is no userlist '{name}'")).hint(keywords::nearest(&name, names))
    })?;
    Ok(Fetch::Authenticated(Arc::clone(&list.users)))
}

/// Those users of a list that are in one of the groups.
pub(super) fn users_of_groups(scene: &Scene<'_, '_>, list: &Userlist, groups: &[String]) -> Arc<Userlist> {
    let members = scene.shared.userlists.get(&list.name).map(|l| &l.groups);
    let is_member = |user: &str| {
        members.is_some_and(|m| groups.iter().any(|g| m.get(g).is_some_and(|users| users.contains(user))))
    };
    let users = list.users.iter().filter(|(user, _)| is_member(user)).cloned().collect();
    Arc::new(Userlist { name: list.name.clone(), users })
}

fn plain(words: &Words<'_>, converter: Converter) -> Done<Vec<Converter>> {
    if words.arguments.is_empty() {
        return Ok(vec![converter]);
    }
    Err(Said::not_yet(format!("the converter '{}' with arguments", words.name)))
}

fn parts(words: &Words<'_>, make: fn(i32, Box<[u8]>) -> Converter) -> Done<Vec<Converter>> {
    if words.arguments.len() > 2 {
        return Err(Said::not_yet(format!("the converter '{}' with a count", words.name)));
    }
    let separators = words.arguments.get(1).filter(|s| !s.is_empty()).ok_or_else(|| {
        Said::new(format!("the converter '{}' needs a number and separators", words.name))
            .hint(format!("as in {}(1,/)", words.name))
    })?;
    match words.int::<i32>(0)? {
        0 => Err(Said::new(format!("'{}' counts from 1, or from -1 backwards", words.name))),
        n => Ok(vec![make(n, separators.clone().into())]),
    }
}

fn modulo(words: &Words<'_>) -> Done<Vec<Converter>> {
    match words.int(0)? {
        0 => Err(Said::new("'mod' cannot divide by 0")),
        n => Ok(vec![Converter::Modulo(n)]),
    }
}

fn url_dec(words: &Words<'_>) -> Done<Vec<Converter>> {
    match words.text(0).as_str() {
        "" | "0" => Ok(vec![Converter::PercentDecode]),
        _ => Err(Said::not_yet("'url_dec' for forms")),
    }
}

fn ip_mask(words: &Words<'_>) -> Done<Vec<Converter>> {
    let v4 = mask_bits(&words.text(0), 32).ok_or_else(|| wrong_mask(words))?;
    let v6 = match words.arguments.len() {
        0 | 1 => 128,
        _ => mask_bits(&words.text(1), 128).ok_or_else(|| wrong_mask(words))?,
    };
    Ok(vec![Converter::Mask(v4, v6)])
}

fn wrong_mask(words: &Words<'_>) -> Said {
    Said::new(format!("'{}' needs a prefix length such as 24 or 24,64", words.name))
}

fn mask_bits(text: &str, most: u8) -> Option<u8> {
    if let Ok(bits) = text.parse::<u8>() {
        return (bits <= most).then_some(bits);
    }
    let (ones, zeros, length) = match text.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(mask) => (u32::from(mask).leading_ones(), u32::from(mask).trailing_zeros(), 32),
        std::net::IpAddr::V6(mask) => {
            (u128::from(mask).leading_ones(), u128::from(mask).trailing_zeros(), 128)
        }
    };
    (length == u32::from(most) && ones + zeros >= length).then_some(ones as u8)
}
