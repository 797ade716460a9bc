//! Actions on the course of a request: waits, time-outs, tries, addresses.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form};
use super::leaf;
use super::reader::Reader;
use super::rules::{one, pair_of, scoped, unscoped};
use super::writer::Writer;
use super::yaml::Node;
use plan::Fetch;
use plan::rule::{
    Course, Expr, NewValue, Normalizer, SetVariable, TimeoutKind, VariableCondition, WaitForBody,
};
use std::time::Duration;

/// Names of the actions.
pub(super) const NAMES: &[&str] = &[
    "set_client_port",
    "set_local_address",
    "set_local_port",
    "wait_for_body",
    "pause",
    "early_hint",
    "set_timeout",
    "set_tries",
    "no_retry",
    "strict",
    "set_client_mark",
    "set_client_tos",
    "normalize",
    "capture_response",
    "set_variable_if",
];

const TIMEOUTS: &[(&str, TimeoutKind)] = &[
    ("client", TimeoutKind::Client),
    ("connect", TimeoutKind::Connect),
    ("queue", TimeoutKind::Queue),
    ("server", TimeoutKind::Server),
    ("tarpit", TimeoutKind::Tarpit),
    ("tunnel", TimeoutKind::Tunnel),
];

const NORMALIZERS: &[(&str, Normalizer)] = &[
    ("fragment_encode", Normalizer::FragmentEncode),
    ("fragment_strip", Normalizer::FragmentStrip),
    ("merge_slashes", Normalizer::MergeSlashes),
    ("strip_dot", Normalizer::StripDot),
    ("strip_dotdot", Normalizer::StripDotDot { full: false }),
    ("strip_dotdot_full", Normalizer::StripDotDot { full: true }),
    ("decode_unreserved", Normalizer::DecodeUnreserved { strict: false }),
    ("decode_unreserved_strict", Normalizer::DecodeUnreserved { strict: true }),
    ("upper_case_escapes", Normalizer::UpperCaseEscapes { strict: false }),
    ("upper_case_escapes_strict", Normalizer::UpperCaseEscapes { strict: true }),
    ("sort_query", Normalizer::SortQuery),
];

const CONDITIONS: &[(&str, VariableCondition)] = &[
    ("set", VariableCondition::Set),
    ("not_set", VariableCondition::NotSet),
    ("empty", VariableCondition::Empty),
    ("not_empty", VariableCondition::NotEmpty),
    ("greater", VariableCondition::Greater),
    ("less", VariableCondition::Less),
];

/// Reads the argument of the action `name`.
pub(super) fn read(name: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Course> {
    Some(match name {
        "set_client_port" => Course::ClientPort(Form::read(node, reader)?),
        "set_local_address" => Course::LocalAddress(Form::read(node, reader)?),
        "set_local_port" => Course::LocalPort(Form::read(node, reader)?),
        "wait_for_body" => Course::WaitForBody(Form::read(node, reader)?),
        "pause" => Course::Pause(Form::read(node, reader)?),
        "early_hint" => {
            let (name, text) = pair_of(node, reader)?;
            Course::EarlyHint(name.into(), text)
        }
        "set_timeout" => {
            let (name, value) = pair_of(node, reader)?;
            let found = TIMEOUTS.iter().find(|(known, _)| *known == name);
            let Some((_, kind)) = found else {
                reader.problem(node.spot, format!("'{name}' is no time-out of a request"), "");
                return None;
            };
            Course::Timeout(*kind, value)
        }
        "set_tries" => Course::Tries(Form::read(node, reader)?),
        "no_retry" => {
            bool::read(node, reader)?;
            Course::NoRetry
        }
        "strict" => Course::Strict(Form::read(node, reader)?),
        "set_client_mark" => Course::ClientMark(Form::read(node, reader)?),
        "set_client_tos" => Course::ClientTos(Form::read(node, reader)?),
        "normalize" => Course::Normalize(Form::read(node, reader)?),
        "capture_response" => {
            let capture = Capture::read(node, reader)?;
            Course::CaptureResponse(capture.value, capture.slot)
        }
        _ => Course::SetVariable(Box::new(variable(node, reader)?)),
    })
}

/// The name of the action and its argument.
pub(super) fn written(course: &Course, writer: &mut Writer) -> (&'static str, Out) {
    match course {
        Course::ClientPort(value) => ("set_client_port", value.written(writer)),
        Course::LocalAddress(value) => ("set_local_address", value.written(writer)),
        Course::LocalPort(value) => ("set_local_port", value.written(writer)),
        Course::WaitForBody(wait) => ("wait_for_body", wait.written(writer)),
        Course::Pause(value) => ("pause", value.written(writer)),
        Course::EarlyHint(name, text) => ("early_hint", one(name, text.written(writer))),
        Course::Timeout(kind, value) => {
            ("set_timeout", one(leaf::name_of(kind, TIMEOUTS), value.written(writer)))
        }
        Course::Tries(value) => ("set_tries", value.written(writer)),
        Course::NoRetry => ("no_retry", Out::word("true")),
        Course::Strict(on) => ("strict", on.written(writer)),
        Course::ClientMark(value) => ("set_client_mark", value.written(writer)),
        Course::ClientTos(value) => ("set_client_tos", value.written(writer)),
        Course::Normalize(step) => ("normalize", step.written(writer)),
        Course::CaptureResponse(value, slot) => {
            ("capture_response", Capture { value: value.clone(), slot: *slot }.written(writer))
        }
        Course::SetVariable(set) => ("set_variable_if", written_variable(set, writer)),
    }
}

impl Form for Normalizer {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Normalizer> {
        leaf::word(node, "a way to normalise", NORMALIZERS, reader)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::word(leaf::name_of(self, NORMALIZERS))
    }
}

impl Form for VariableCondition {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<VariableCondition> {
        leaf::word(node, "a condition of a variable", CONDITIONS, reader)
    }

    fn written(&self, _: &mut Writer) -> Out {
        Out::word(leaf::name_of(self, CONDITIONS))
    }
}

impl Fieldset for WaitForBody {
    fn blank() -> WaitForBody {
        WaitForBody::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let WaitForBody { longest, at_least } = self;
        f.value("longest", longest, &Duration::ZERO);
        f.value("at_least", at_least, &0);
    }
}

/// A value and the number of a slot.
#[derive(Clone)]
struct Capture {
    value: Expr,
    slot: usize,
}

impl Fieldset for Capture {
    fn blank() -> Capture {
        Capture { value: Expr::of(Fetch::Path), slot: 0 }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("value", &mut self.value);
        f.required("slot", &mut self.slot);
    }
}

/// `set_variable_if: { variable: txn.a, value: …, when: [set, …] }`.
#[derive(Clone, Default)]
struct Variable {
    variable: String,
    value: Option<Expr>,
    text: Option<plan::Template>,
    when: Vec<VariableCondition>,
}

impl Fieldset for Variable {
    const MAIN: &'static str = "variable";

    fn blank() -> Variable {
        Variable::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        f.required("variable", &mut self.variable);
        f.option("value", &mut self.value);
        f.option("text", &mut self.text);
        f.list("conditions", &mut self.when);
    }
}

fn variable(node: &Node, reader: &mut Reader<'_>) -> Option<SetVariable> {
    let said = Variable::read(node, reader)?;
    let value = match (said.value, said.text) {
        (Some(value), None) => NewValue::Value(value),
        (None, Some(text)) => NewValue::Text(text),
        _ => {
            reader.problem(node.spot, "a variable gets one of value and text", "");
            return None;
        }
    };
    let Some((scope, name)) = scoped(&said.variable) else {
        reader.problem(node.spot, format!("'{}' is no variable", said.variable), "write SCOPE.NAME");
        return None;
    };
    Some(SetVariable { scope, name, value, when: said.when })
}

fn written_variable(set: &SetVariable, writer: &mut Writer) -> Out {
    let mut said =
        Variable { variable: unscoped(set.scope, &set.name), when: set.when.clone(), ..Variable::default() };
    match &set.value {
        NewValue::Value(value) => said.value = Some(value.clone()),
        NewValue::Text(text) => said.text = Some(text.clone()),
    }
    said.written(writer)
}
