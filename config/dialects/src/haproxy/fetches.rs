//! Fetches of HAProxy: what each one is in the plan, where it has a value and of what kind.
//!
//! [`super::sample`] reads expressions with these tables; they also feed hints and listings.

use super::keywords::{self, Entry};
use super::said::{Done, Said};
use super::sample::{FetchAct, Kind, Make, Origin, Words, variable_name};
use super::scene::{Reference, Scene};
use plan::Condition;
use plan::rule::{
    Converter, Expr, Fetch, HeaderFetch, Occurrence, ParameterFetch, RecordField, Userlist, Value,
};
use std::sync::Arc;

/// Fetches of HAProxy that are known and not there yet; the beginning of a name is enough.
pub(super) const NOT_YET_FETCHES: &[&str] = &[
    "bc_",
    "be_",
    "bs.",
    "cpu_",
    "cur_",
    "dst_",
    "distcc",
    "fc.",
    "fc_",
    "fe_",
    "fs.",
    "http_auth_",
    "internal.",
    "last_",
    "lat_ns",
    "lua.",
    "nbproc",
    "nbthread",
    "prio_",
    "proc",
    "quic_",
    "rep_",
    "req.body",
    "req.bytes",
    "req.ssl_",
    "req.timer",
    "req_ssl_",
    "res.",
    "srv_",
    "ssl_",
    "stopping",
    "term_",
    "tgroup",
    "thread",
    "txn.",
    "unique",
    "uptime",
    "url_ip",
    "url_port",
    "wait",
    "acce",
    "act_conn",
    "bytes_",
    "dump_all",
];

const fn make(from: Origin, kind: Kind, arguments: (usize, usize), make: Make) -> FetchAct {
    FetchAct { from, kind, arguments, make, extra: Vec::new }
}

pub(super) const fn with(
    from: Origin,
    kind: Kind,
    arguments: (usize, usize),
    make: Make,
    extra: fn() -> Vec<Converter>,
) -> FetchAct {
    FetchAct { from, kind, arguments, make, extra }
}

fn as_number() -> Vec<Converter> {
    Converter::plain("number").into_iter().collect()
}

/// The hash SDBM, mixed once more.
fn hashed() -> Vec<Converter> {
    let mixed = plan::rule::Argument::Int(1);
    plan::rule::function_named("sdbm").and_then(|f| Converter::call(f, [mixed]).ok()).into_iter().collect()
}

fn as_address() -> Vec<Converter> {
    Converter::plain("address").into_iter().collect()
}

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: keywords::ANY, act: $act, manual: $manual }
    };
}

use Kind::{Address, Any, Binary, Bool, Int, Ipv4, Ipv6, Method, Text};
use Origin::{Anywhere, Content, Request, Response, Status};

/// All fetches.
pub(super) const FETCHES: &[Entry<FetchAct>] = &[
    entry!("acl", make(Anywhere, Bool, (1, 100), acl), "true when all named ACLs hold"),
    entry!("always_false", make(Anywhere, Bool, (0, 0), |_, _| constant(Value::Bool(false))), "never"),
    entry!("always_true", make(Anywhere, Bool, (0, 0), |_, _| constant(Value::Bool(true))), "always"),
    entry!("base", make(Request, Text, (0, 0), |_, _| Ok(Fetch::Base)), "host and path"),
    entry!("base32", with(Request, Int, (0, 0), |_, _| Ok(Fetch::Base), hashed), "hash of host and path"),
    entry!("be_name", make(Anywhere, Text, (0, 0), |_, _| Ok(Fetch::PoolName)), "name of the backend"),
    entry!("bin", make(Anywhere, Binary, (1, 1), bin), "constant bytes in hexadecimal"),
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
    entry!("cook", make(Request, Text, (0, 1), cookie), "value of a request cookie"),
    entry!(
        "cook_val",
        with(Request, Int, (0, 1), cookie, as_number),
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
    entry!("hdr_cnt", make(Request, Int, (0, 1), header_count), "number of values of a request header"),
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
    entry!("ipv4", make(Anywhere, Ipv4, (1, 1), address), "constant address"),
    entry!("ipv6", make(Anywhere, Ipv6, (1, 1), address), "constant address"),
    entry!("method", make(Anywhere, Method, (0, 0), |_, _| Ok(Fetch::Method)), "method of the request"),
    entry!(
        "nbsrv",
        make(Anywhere, Int, (0, 1), |s, w| named_pool(s, w).map(Fetch::UsableServers)),
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
    entry!("req.cook", make(Request, Text, (0, 1), cookie), "value of a request cookie"),
    entry!(
        "req.cook_val",
        with(Request, Int, (0, 1), cookie, as_number),
        "value of a request cookie as a number"
    ),
    entry!("req.fhdr", make(Request, Text, (0, 2), full_header), "each line of a request header"),
    entry!(
        "req.fhdr_cnt",
        make(Request, Int, (0, 1), full_header_count),
        "number of lines of a request header"
    ),
    entry!("req.hdr", make(Request, Text, (0, 2), header), "each value of a request header"),
    entry!("req.hdr_cnt", make(Request, Int, (0, 1), header_count), "number of values of a request header"),
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
    entry!("res.cook", make(Response, Text, (0, 1), response_cookie), "value of a response cookie"),
    entry!(
        "res.cook_val",
        with(Response, Int, (1, 1), response_cookie, as_number),
        "value of a response cookie as a number"
    ),
    entry!("res.fhdr", make(Response, Text, (0, 2), response_full_header), "each line of a response header"),
    entry!(
        "res.fhdr_cnt",
        make(Response, Int, (0, 1), response_full_header_count),
        "number of lines of a response header"
    ),
    entry!("res.hdr", make(Response, Text, (0, 2), response_header), "each value of a response header"),
    entry!(
        "res.hdr_cnt",
        make(Response, Int, (0, 1), response_header_count),
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
    entry!("scook", make(Response, Text, (0, 1), response_cookie), "value of a response cookie"),
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
            w.arguments().first().cloned().unwrap_or_default().into()
        ))),
        "constant text"
    ),
    entry!(
        "unique-id",
        make(Anywhere, Text, (0, 0), |_, _| record(RecordField::UniqueId)),
        "unique id of the request"
    ),
    entry!("url", make(Request, Text, (0, 0), |_, _| Ok(Fetch::Target)), "target of the request"),
    entry!("url_param", make(Request, Text, (0, 3), query_parameter), "value of a query parameter"),
    entry!("urlp", make(Request, Text, (0, 3), query_parameter), "value of a query parameter"),
    entry!(
        "urlp_val",
        with(Request, Int, (0, 3), query_parameter, as_number),
        "value of a query parameter as a number"
    ),
    entry!("var", make(Anywhere, Any, (1, 2), variable), "value of a variable"),
    entry!(
        "wait_end",
        make(Content, Bool, (0, 0), |_, _| Ok(Fetch::InspectionOver)),
        "true once the inspection delay is over"
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
pub(super) fn named_pool(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Option<Box<str>>> {
    named_section(scene, words, scene.proxy.kind.has_pool())
}

fn named_section(scene: &Scene<'_, '_>, words: &Words<'_>, here: bool) -> Done<Option<Box<str>>> {
    if words.arguments().is_empty() {
        let hint = format!("name the section: {}(NAME)", words.name());
        return if here {
            Ok(None)
        } else {
            Err(Said::new(format!("'{}' means another section", words.name())).hint(hint))
        };
    }
    let (name, pool) = (words.text(0), words.name() != "fe_conn");
    scene.shared.references.borrow_mut().push(Reference {
        place: scene.here.clone(),
        name: name.clone(),
        pool,
    });
    Ok(Some(name.into()))
}

fn header_fetch(words: &Words<'_>, whole_line: bool) -> Done<HeaderFetch> {
    let name = words.text(0).to_ascii_lowercase();
    let occurrence = match words.arguments().len() {
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
    let (name, sign, flag) = (words.text(0), words.text(1), words.text(2));
    let ignore_case = match flag.as_str() {
        "" => false,
        "i" => true,
        other => {
            return Err(Said::new(format!("'{}' knows no flag '{other}'", words.name()))
                .hint("'i' takes capital and small letters of the name as the same"));
        }
    };
    let delimiter = match sign.as_bytes() {
        [] => b'?',
        [one] => *one,
        _ => {
            return Err(Said::new(format!("'{}' needs one character before the parameters", words.name()))
                .hint("the second argument is that character: '?', ';'"));
        }
    };
    if !name.is_empty() && delimiter == b'?' && !ignore_case {
        return Ok(Fetch::QueryParameter(name.into()));
    }
    let name = name.into_bytes().into();
    Ok(Fetch::Parameter(Box::new(ParameterFetch { name, delimiter, ignore_case })))
}

fn proto_http(scene: &Scene<'_, '_>, _: &Words<'_>) -> Done<Fetch> {
    match scene.proxy.mode {
        plan::Mode::Http => constant(Value::Bool(true)),
        plan::Mode::Tcp => Err(Said::not_yet("recognising HTTP in 'mode tcp'").hint("use 'mode http'")),
    }
}

fn acl(scene: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let all = (0..words.arguments().len()).map(|i| {
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
    Ok(Fetch::Random(if words.arguments().is_empty() { u32::MAX } else { words.int(0)? }))
}

fn date(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let offset = if words.text(0).is_empty() { 0 } else { words.int(0)? };
    match words.text(1).as_str() {
        "" | "s" => Ok(Fetch::Date(offset)),
        "ms" => Ok(Fetch::DateParts(1000, offset)),
        "us" => Ok(Fetch::DateParts(1_000_000, offset)),
        other => Err(Said::new(format!("'{other}' is no unit of 'date'")).hint("the units are s, ms and us")),
    }
}

fn variable(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Fetch> {
    let (scope, name) = variable_name(&words.text(0))?;
    let variable = Fetch::Variable(scope, name);
    Ok(match words.arguments().get(1) {
        None => variable,
        Some(other) => Fetch::Otherwise(Box::new(Expr::of(variable)), Value::Text(other.clone().into())),
    })
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
