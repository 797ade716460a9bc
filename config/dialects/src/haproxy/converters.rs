//! Converters of HAProxy: which function of the plan each one is, what it takes and what it gives.
//!
//! [`super::sample`] calls [`append`] for each word behind a fetch. The tables also feed hints and listings.

use super::keywords::{self, Entry};
use super::said::{Done, Said};
use super::sample::{Kind, Sample, Words, variable_name};
use super::scene::Scene;
use plan::rule::{Argument, Converter, Fetch, function_named};

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
}

/// Appends the converter of that name.
pub(super) fn append(scene: &Scene<'_, '_>, sample: &mut Sample, words: &Words<'_>) -> Done {
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
        (K::Bool, K::Int | K::Text) | (K::Int, K::Bool) => true,
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

use Kind::{Address, Binary, Bool, Int, Text};
use Parameter as P;

/// Converters of HAProxy that are known and not there yet; the beginning of a name is enough.
const NOT_YET: &[&str] =
    &["jwt_", "aes_", "fix_", "mqtt_", "protobuf", "ungrpc", "x509_", "lua.", "debug", "table_"];

/// All converters.
pub(super) const CONVERTERS: &[Entry<ConvertAct>] = &[
    entry!("add", with(Int, Int, "add", &[P::IntOrVariable]), "adds a number or variable"),
    entry!("base64", plain(Binary, Text, "base64"), "base64"),
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
    entry!(
        "field",
        with(Text, Text, "field", &[P::Int, P::Text, P::OptionalInt]),
        "the part between separators, empty parts count"
    ),
    entry!("hex", plain(Binary, Text, "hex"), "hexadecimal"),
    entry!("host_only", plain(Text, Text, "host_only"), "host without the port"),
    entry!("ipmask", made(Address, Address, ip_mask), "prefix of an address"),
    entry!("length", plain(Text, Int, "length"), "length in bytes"),
    entry!("lower", plain(Text, Text, "lower"), "lower case"),
    entry!("mod", with(Int, Int, "modulo", &[P::IntOrVariable]), "remainder of a division"),
    entry!("not", plain(Int, Bool, "not"), "logical not"),
    entry!("strcmp", with(Text, Int, "compare", &[P::Variable]), "compares with a variable, 0 when equal"),
    entry!("sub", with(Int, Int, "subtract", &[P::IntOrVariable]), "subtracts a number or variable"),
    entry!("upper", plain(Text, Text, "upper"), "upper case"),
    entry!("url_dec", made(Text, Text, url_dec), "percent-decoding"),
    entry!(
        "word",
        with(Text, Text, "word", &[P::Int, P::Text, P::OptionalInt]),
        "the part between separators, empty parts do not count"
    ),
];

fn url_dec(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    match words.text(0).as_str() {
        "" | "0" => Ok(vec![call(words, "percent_decode", vec![])?]),
        _ => Err(Said::not_yet("'url_dec' for forms")),
    }
}

fn ip_mask(_: &Scene<'_, '_>, words: &Words<'_>) -> Done<Vec<Converter>> {
    let v4 = mask_bits(&words.text(0), 32).ok_or_else(|| wrong_mask(words))?;
    let v6 = match words.arguments().len() {
        0 | 1 => 128,
        _ => mask_bits(&words.text(1), 128).ok_or_else(|| wrong_mask(words))?,
    };
    let bits = |n: u8| Argument::Int(n.into());
    Ok(vec![call(words, "mask", vec![bits(v4), bits(v6)])?])
}

fn wrong_mask(words: &Words<'_>) -> Said {
    Said::new(format!("'{}' needs a prefix length such as 24 or 24,64", words.name()))
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
