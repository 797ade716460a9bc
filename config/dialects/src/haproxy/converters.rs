//! Converters of HAProxy: which function of the plan each one is, what it takes and what it gives.
//!
//! [`super::sample`] calls [`append`] for each word behind a fetch. The tables also feed hints and listings.

use super::keywords::{self, Entry};
use super::lists;
use super::said::{Done, Said};
use super::sample::{Kind, Sample, Words, variable_name};
use super::scene::Scene;
use super::units;
use plan::rule::{Argument, Converter, Fetch, Replacement, function_named};
use std::net::IpAddr;
use std::sync::Arc;

/// What a converter is: the kinds of its values and how it is made.
pub(super) struct ConvertAct {
    input: Kind,
    output: Kind,
    make: Make,
}

enum Make {
    /// The function of the plan of that name.
    Function(&'static str, &'static [Parameter]),
    /// Something made for it.
    Made(fn(&Scene<'_, '_>, &Words<'_>) -> Done<Vec<Converter>>),
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    /// A number.
    Int,
    /// A text.
    Text,
    /// A number, or none.
    OptionalInt,
    /// A text, or none.
    OptionalText,
    /// The name of a variable.
    Variable,
    /// The name of a variable, or none.
    OptionalVariable,
    /// A number or the name of a variable.
    IntOrVariable,
    /// A number, the name of a variable, or none.
    OptionalIntOrVariable,
    /// A text, or the name of a variable.
    TextOrVariable,
}

/// Appends the converter of that name.
pub(super) fn append(scene: &Scene<'_, '_>, sample: &mut Sample, words: &Words<'_>) -> Done {
    if let Some(done) = super::tables::convert(scene, sample, words) {
        return done;
    }
    if let Some(done) = lists::append_map(scene, sample, words) {
        return done;
    }
    let entry =
        CONVERTERS.iter().find(|c| c.name == words.name()).ok_or_else(|| unknown(scene, words.name()))?;
    let act = &entry.act;
    if !casts(sample.kind, act.input) {
        let what = format!("the converter '{}' cannot be applied behind '{}'", words.name(), sample.name);
        return Err(Said::new(what).hint(format!("it takes {}", act.input.word())));
    }
    match act.make {
        Make::Function(name, parameters) => sample.expr.converters.push(function(words, name, parameters)?),
        Make::Made(make) => sample.expr.converters.extend(make(scene, words)?),
    }
    if act.output != Kind::Same {
        sample.kind = act.output;
    }
    Ok(())
}

fn unknown(_: &Scene<'_, '_>, name: &str) -> Said {
    let near = keywords::nearest(name, CONVERTERS.iter().map(|c| c.name));
    if NOT_YET.iter().any(|p| name.starts_with(p)) {
        return Said::not_yet(format!("the converter '{name}'")).hint(near);
    }
    Said::new(format!("unknown converter '{name}'")).hint(near)
}

/// True when a value of one kind is taken where another one is needed.
pub(super) fn casts(from: Kind, to: Kind) -> bool {
    use Kind as K;
    match (from, to) {
        (_, K::Any | K::Same) | (K::Any, _) => true,
        (a, b) if a == b => true,
        (K::Bool, K::Int | K::Text | K::Binary) | (K::Int, K::Bool) => true,
        (K::Int, K::Address | K::Ipv4 | K::Ipv6 | K::Text | K::Binary) => true,
        (K::Ipv4, K::Int | K::Address | K::Ipv6 | K::Text | K::Binary) => true,
        (K::Address, K::Int | K::Ipv4 | K::Ipv6 | K::Text | K::Binary) => true,
        (K::Ipv6, K::Address | K::Ipv4 | K::Text | K::Binary) => true,
        (K::Text, _) => true,
        (K::Binary, K::Text | K::Method) => true,
        (K::Method, K::Text | K::Binary) => true,
        _ => false,
    }
}

/// The call of a function of the plan.
fn function(words: &Words<'_>, name: &str, parameters: &[Parameter]) -> Done<Converter> {
    let given = words.arguments();
    if given.len() > parameters.len() {
        let most = parameters.len();
        return Err(Said::new(format!(
            "the converter '{}' takes no more than {most} argument(s)",
            words.name()
        )));
    }
    let mut arguments: Vec<Argument> = Vec::with_capacity(parameters.len());
    for (index, parameter) in parameters.iter().enumerate() {
        arguments.push(argument(words, index, *parameter)?);
    }
    while matches!(arguments.last(), Some(Argument::None)) {
        arguments.pop();
    }
    call(words, name, arguments)
}

/// The call of a function with arguments that were read.
fn call(words: &Words<'_>, name: &str, arguments: Vec<Argument>) -> Done<Converter> {
    let function = function_named(name).ok_or_else(|| Said::new(format!("there is no function '{name}'")))?;
    Converter::call(function, arguments)
        .map_err(|what| Said::new(format!("wrong arguments of the converter '{}': {what}", words.name())))
}

fn argument(words: &Words<'_>, index: usize, parameter: Parameter) -> Done<Argument> {
    use Parameter as P;
    let bytes = words.arguments().get(index).map_or(&b""[..], Vec::as_slice);
    let missing = || {
        let which = index + 1;
        Said::new(format!("the converter '{}' needs an argument number {which}", words.name()))
    };
    match parameter {
        P::OptionalInt | P::OptionalVariable | P::OptionalIntOrVariable | P::OptionalText
            if bytes.is_empty() =>
        {
            Ok(Argument::None)
        }
        P::Text if index < words.arguments().len() => Ok(Argument::Text(bytes.into())),
        _ if bytes.is_empty() => Err(missing()),
        P::Text | P::OptionalText => Ok(Argument::Text(bytes.into())),
        P::TextOrVariable => {
            Ok(variable(&words.text(index)).unwrap_or_else(|_| Argument::Text(bytes.into())))
        }
        P::Int | P::OptionalInt => words.int(index).map(Argument::Int),
        P::Variable | P::OptionalVariable => variable(&words.text(index)),
        P::IntOrVariable | P::OptionalIntOrVariable => match words.int(index) {
            Ok(n) => Ok(Argument::Int(n)),
            Err(_) => variable(&words.text(index)),
        },
    }
}

fn variable(text: &str) -> Done<Argument> {
    let (scope, name) = variable_name(text)?;
    Ok(Argument::Value(Box::new(Fetch::Variable(scope, name))))
}

const fn plain(input: Kind, output: Kind, name: &'static str) -> ConvertAct {
    ConvertAct { input, output, make: Make::Function(name, &[]) }
}

const fn with(input: Kind, output: Kind, name: &'static str, parameters: &'static [Parameter]) -> ConvertAct {
    ConvertAct { input, output, make: Make::Function(name, parameters) }
}

const fn made(
    input: Kind,
    output: Kind,
    make: fn(&Scene<'_, '_>, &Words<'_>) -> Done<Vec<Converter>>,
) -> ConvertAct {
    ConvertAct { input, output, make: Make::Made(make) }
}

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: keywords::ANY, act: $act, manual: $manual }
    };
}

use Kind::{Address, Any, Binary, Bool, Int, Text};
use Parameter as P;

/// Converters of HAProxy that are known and not there yet; the beginning of a name is enough.
const NOT_YET: &[&str] = &["jwt_", "aes_", "fix_", "mqtt_", "protobuf", "ungrpc", "x509_", "lua.", "debug"];

/// Arguments of the hashes.
const AVALANCHE: &[Parameter] = &[P::OptionalInt];

/// All converters.
pub(super) const CONVERTERS: &[Entry<ConvertAct>] = &[
    entry!("add", with(Int, Int, "add", &[P::IntOrVariable]), "adds a number or variable"),
    entry!(
        "add_item",
        with(Text, Text, "append", &[P::Text, P::OptionalVariable, P::OptionalText]),
        "appends a delimiter, a variable, a text"
    ),
    entry!("and", with(Int, Int, "and_bits", &[P::IntOrVariable]), "bitwise and"),
    entry!("b64dec", plain(Text, Binary, "base64_decode"), "bytes of base64"),
    entry!("base2", plain(Binary, Text, "bits"), "binary digits"),
    entry!("base64", plain(Binary, Text, "base64"), "base64"),
    entry!(
        "be2dec",
        with(Binary, Text, "number_chunks", &[P::OptionalText, P::Int, P::OptionalInt]),
        "numbers of big-endian chunks"
    ),
    entry!(
        "be2hex",
        with(Binary, Text, "hex_chunks", &[P::OptionalText, P::OptionalInt, P::OptionalInt]),
        "hexadecimal in chunks"
    ),
    entry!("bool", plain(Int, Bool, "bool"), "true unless 0"),
    entry!(
        "bytes",
        with(Binary, Binary, "bytes", &[P::IntOrVariable, P::OptionalIntOrVariable]),
        "bytes from an offset, up to a length"
    ),
    entry!(
        "concat",
        with(Text, Text, "concat", &[P::OptionalText, P::OptionalVariable, P::OptionalText]),
        "appends a text, a variable, a text"
    ),
    entry!("cpl", plain(Int, Int, "complement"), "bitwise complement"),
    entry!("crc32", with(Binary, Int, "crc32", AVALANCHE), "CRC-32"),
    entry!("crc32c", with(Binary, Int, "crc32c", AVALANCHE), "CRC-32C"),
    entry!("cut_crlf", plain(Text, Text, "before_newline"), "what stands before the first newline"),
    entry!("date", plain(Text, Int, "date_seconds"), "seconds since 1970 of a date of HTTP"),
    entry!("digest", with(Binary, Binary, "digest", &[P::Text]), "digest by the name of its algorithm"),
    entry!("div", with(Int, Int, "divide", &[P::IntOrVariable]), "divides by a number or variable"),
    entry!("djb2", with(Binary, Int, "djb2", AVALANCHE), "hash DJB2"),
    entry!("even", plain(Int, Bool, "even"), "true when even"),
    entry!(
        "field",
        with(Text, Text, "field", &[P::Int, P::Text, P::OptionalInt]),
        "the part between separators, empty parts count"
    ),
    entry!("has_ctl", made(Binary, Bool, has_control), "true with control characters in it"),
    entry!("hex", plain(Binary, Text, "hex"), "hexadecimal"),
    entry!("hex2i", plain(Binary, Int, "hex_number"), "number of hexadecimal digits"),
    entry!("hmac", with(Binary, Binary, "hmac", &[P::Text, P::TextOrVariable]), "keyed hash, key in base64"),
    entry!("host_only", plain(Text, Text, "host_only"), "host without the port"),
    entry!("htonl", plain(Int, Binary, "network_order"), "4 bytes in network order"),
    entry!(
        "http_date",
        with(Int, Text, "http_date", &[P::OptionalInt, P::OptionalText]),
        "date in the form of HTTP"
    ),
    entry!("iif", with(Bool, Text, "choose", &[P::Text, P::Text]), "one of two texts"),
    entry!("ipmask", made(Address, Address, ip_mask), "prefix of an address"),
    entry!("json", with(Text, Text, "json", &[P::OptionalText]), "text for JSON"),
    entry!("json_query", made(Text, Any, json_query), "value at a path in JSON"),
    entry!("language", with(Text, Text, "language", &[P::Text, P::OptionalText]), "the language preferred"),
    entry!(
        "le2dec",
        with(Binary, Text, "number_chunks_le", &[P::OptionalText, P::Int, P::OptionalInt]),
        "numbers of little-endian chunks"
    ),
    entry!("length", plain(Text, Int, "length"), "length in bytes"),
    entry!("lower", plain(Text, Text, "lower"), "lower case"),
    entry!("ltime", with(Int, Text, "local_time", TIME), "local date by a format"),
    entry!("ltrim", with(Text, Text, "trim_start", &[P::Text]), "without these characters in front"),
    entry!("mod", with(Int, Int, "modulo", &[P::IntOrVariable]), "remainder of a division"),
    entry!("ms_ltime", with(Int, Text, "local_time_ms", TIME), "local date of milliseconds by a format"),
    entry!("ms_utime", with(Int, Text, "utc_time_ms", TIME), "date in UTC of milliseconds by a format"),
    entry!("mul", with(Int, Int, "multiply", &[P::IntOrVariable]), "multiplies by a number or variable"),
    entry!("neg", plain(Int, Int, "negate"), "the opposite number"),
    entry!("not", plain(Int, Bool, "not"), "logical not"),
    entry!("odd", plain(Int, Bool, "odd"), "true when odd"),
    entry!("or", with(Int, Int, "or_bits", &[P::IntOrVariable]), "bitwise or"),
    entry!("param", made(Text, Text, param), "value of a parameter"),
    entry!("port_only", plain(Text, Int, "port_only"), "port of a host"),
    entry!("regsub", made(Text, Text, regsub), "replaces what an expression matches"),
    entry!("reverse", plain(Text, Text, "reverse"), "backwards"),
    entry!("reverse_dom", plain(Text, Text, "reverse_domain"), "labels of a host backwards"),
    entry!("rfc7239_field", with(Text, Text, "forwarded_field", &[P::Text]), "a field of Forwarded"),
    entry!("rfc7239_is_valid", plain(Text, Bool, "forwarded_valid"), "true for a value of Forwarded"),
    entry!("rfc7239_n2nn", plain(Text, Any, "forwarded_node_name"), "name of a node"),
    entry!("rfc7239_n2np", plain(Text, Any, "forwarded_node_port"), "port of a node"),
    entry!("rfc7239_nn", plain(Any, Text, "forwarded_node"), "name of a node for Forwarded"),
    entry!("rfc7239_np", plain(Any, Text, "forwarded_port"), "port of a node for Forwarded"),
    entry!("rtrim", with(Text, Text, "trim_end", &[P::Text]), "without these characters at the end"),
    entry!("sdbm", with(Binary, Int, "sdbm", AVALANCHE), "hash SDBM"),
    entry!("secure_memcmp", with(Text, Bool, "same_bytes", &[P::Variable]), "true when equal to a variable"),
    entry!("sha1", made(Binary, Binary, |_, w| sha(w, "sha1")), "digest SHA-1"),
    entry!("sha2", made(Binary, Binary, sha2), "digest SHA-2 of so many bits"),
    entry!("strcmp", with(Text, Int, "compare", &[P::Variable]), "compares with a variable, 0 when equal"),
    entry!("sub", with(Int, Int, "subtract", &[P::IntOrVariable]), "subtracts a number or variable"),
    entry!("ub64dec", plain(Text, Binary, "base64url_decode"), "bytes of base64 for URLs"),
    entry!("ub64enc", plain(Binary, Text, "base64url"), "base64 for URLs"),
    entry!("upper", plain(Text, Text, "upper"), "upper case"),
    entry!("url_dec", with(Text, Text, "percent_decode", &[P::OptionalInt]), "percent-decoding"),
    entry!("url_enc", made(Text, Text, url_enc), "percent-encoding"),
    entry!("us_ltime", with(Int, Text, "local_time_us", TIME), "local date of microseconds by a format"),
    entry!("us_utime", with(Int, Text, "utc_time_us", TIME), "date in UTC of microseconds by a format"),
    entry!("utime", with(Int, Text, "utc_time", TIME), "date in UTC by a format"),
    entry!(
        "word",
        with(Text, Text, "word", &[P::Int, P::Text, P::OptionalInt]),
        "the part between separators, empty parts do not count"
    ),
    entry!("wt6", with(Binary, Int, "wt6", AVALANCHE), "hash WT6"),
    entry!("xor", with(Int, Int, "xor_bits", &[P::IntOrVariable]), "bitwise exclusive or"),
    entry!("xxh3", with(Binary, Int, "xxh3", AVALANCHE), "hash XXH3"),
    entry!("xxh32", with(Binary, Int, "xxh32", AVALANCHE), "hash XXH32"),
    entry!("xxh64", with(Binary, Int, "xxh64", AVALANCHE), "hash XXH64"),
];

/// Arguments of the dates.
const TIME: &[Parameter] = &[P::Text, P::OptionalInt];

fn sha(words: &Words<'_>, name: &str) -> Done<Vec<Converter>> {
    Ok(vec![call(words, "digest", vec![Argument::Text(name.as_bytes().into())])?])
}

fn sha2(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    match words.text(0).as_str() {
        "" | "256" => sha(words, "sha256"),
        "224" => sha(words, "sha224"),
        "384" => sha(words, "sha384"),
        "512" => sha(words, "sha512"),
        other => Err(Said::new(format!("'sha2' has no size of {other} bits")).hint("224, 256, 384 or 512")),
    }
}

fn url_enc(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    match words.text(0).as_str() {
        "" | "query" => Ok(vec![call(words, "percent_encode", vec![])?]),
        other => Err(Said::new(format!("'url_enc' has no type '{other}'")).hint("the only type is query")),
    }
}

fn has_control(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    let mask = match words.text(0).as_str() {
        "" => return Ok(vec![call(words, "has_control", vec![])?]),
        "any" => 0x1_ffff_ffff,
        "http" => 0x2401,
        text => number(text).filter(|mask| (0..=0x1_ffff_ffff).contains(mask)).ok_or_else(|| {
            Said::new(format!("'has_ctl' needs a mask of 33 bits, not '{text}'")).hint("or any, or http")
        })?,
    };
    Ok(vec![call(words, "has_control", vec![Argument::Int(mask)])?])
}

/// A decimal number, or a hexadecimal one after `0x`.
fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn param(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    let name = words.arguments().first().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Said::new("'param' needs the name of a parameter"))?;
    let mut arguments = vec![Argument::Text(name.as_slice().into())];
    if let Some(delimiter) = words.arguments().get(1) {
        let text = words.text(1);
        let byte = match delimiter.as_slice() {
            [byte] => Some(*byte),
            _ if text.len() == 4 => number(&text).and_then(|n| u8::try_from(n).ok()),
            _ => None,
        };
        let byte = byte.ok_or_else(|| Said::new("the delimiter of 'param' is one character or 0xHH"))?;
        arguments.push(Argument::Text([byte].into()));
    }
    Ok(vec![call(words, "parameter", arguments)?])
}

fn json_query(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    let text =
        |index: usize| Argument::Text(words.arguments().get(index).cloned().unwrap_or_default().into());
    let arguments = match words.arguments().len() {
        0 => Vec::new(),
        1 => vec![text(0)],
        _ => vec![text(0), text(1)],
    };
    Ok(vec![call(words, "json_query", arguments)?])
}

fn regsub(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    if words.arguments().len() < 2 {
        return Err(Said::new("'regsub' needs an expression and a replacement"));
    }
    let flags = words.text(2);
    if let Some(other) = flags.chars().find(|c| !matches!(c, 'i' | 'g')) {
        return Err(Said::new(format!("'regsub' has no flag '{other}'")).hint("the flags are i and g"));
    }
    let regex = units::expression(&words.text(0), flags.contains('i'))?;
    let with = words.arguments()[1].as_slice().into();
    Ok(vec![Converter::Replace(Arc::new(Replacement { regex, with, all: flags.contains('g') }))])
}

fn ip_mask(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    let v4 = mask(&words.text(0), 32).ok_or_else(|| wrong_mask(words))?;
    let mut masks = vec![v4];
    if words.arguments().len() > 1 {
        masks.push(mask(&words.text(1), 128).ok_or_else(|| wrong_mask(words))?);
    }
    if let Some(bits) = masks.iter().map(prefix).collect::<Option<Vec<_>>>() {
        return Ok(vec![call(words, "mask", bits.into_iter().map(Argument::Int).collect())?]);
    }
    let text = |mask: &IpAddr| Argument::Text(mask.to_string().into_bytes().into());
    Ok(vec![call(words, "mask_with", masks.iter().map(text).collect())?])
}

fn wrong_mask(words: &Words<'_>) -> Said {
    Said::new(format!("'{}' needs a prefix length such as 24 or 24,64, or masks", words.name()))
}

/// The mask that a prefix length or an address means.
fn mask(text: &str, most: u32) -> Option<IpAddr> {
    let mask = match text.parse::<u32>() {
        Ok(bits) if bits > most => return None,
        Ok(bits) if most == 32 => IpAddr::V4(u32::MAX.checked_shl(32 - bits).unwrap_or(0).into()),
        Ok(bits) => IpAddr::V6(u128::MAX.checked_shl(128 - bits).unwrap_or(0).into()),
        Err(_) => text.parse::<IpAddr>().ok()?,
    };
    (mask.is_ipv4() == (most == 32)).then_some(mask)
}

/// The prefix length that a mask means; `None` when its bits do not stand together.
fn prefix(mask: &IpAddr) -> Option<i64> {
    let (ones, zeros, length) = match mask {
        IpAddr::V4(mask) => (u32::from(*mask).leading_ones(), u32::from(*mask).trailing_zeros(), 32),
        IpAddr::V6(mask) => (u128::from(*mask).leading_ones(), u128::from(*mask).trailing_zeros(), 128),
    };
    (ones + zeros >= length).then_some(i64::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_converter_leads_to_a_function_that_takes_its_arguments() {
        for entry in CONVERTERS {
            let Make::Function(name, parameters) = &entry.act.make else { continue };
            let function = function_named(name);
            assert!(function.is_some(), "{} has no function {name}", entry.name);
            let takes = function.map_or(0, |f| f.parameters.len());
            assert!(parameters.len() <= takes, "{} gives {name} too much", entry.name);
        }
    }
}
