//! Answers of our own: `pages:` and the answers of rules.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form, read_into, written};
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::pages::{Answer, AnswerBody, ErrorPage, ErrorPages};
use plan::rule::Template;
use std::sync::Arc;

impl Fieldset for Answer {
    const MAIN: &'static str = "status";

    fn blank() -> Answer {
        Answer::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Answer { status, content_type, headers, body } = self;
        f.required("status", status);
        f.option("content_type", content_type);
        f.pairs("headers", headers);
        let mut parts = BodyParts::from(&*body);
        f.option("body", &mut parts.fixed);
        f.option("template", &mut parts.template);
        f.flag("no_body", &mut parts.none);
        f.option("message", &mut parts.message);
        match parts.body() {
            Some(said) => *body = said,
            None => f.refuse("an answer has one of body, template, message and no_body", "remove the others"),
        }
    }
}

/// The ways to say a body.
#[derive(Default)]
struct BodyParts {
    fixed: Option<Vec<u8>>,
    template: Option<Template>,
    none: bool,
    message: Option<Vec<u8>>,
}

impl BodyParts {
    fn from(body: &AnswerBody) -> BodyParts {
        match body {
            AnswerBody::ErrorPage => BodyParts::default(),
            AnswerBody::Empty => BodyParts { none: true, ..BodyParts::default() },
            AnswerBody::Fixed(bytes) => BodyParts { fixed: Some(bytes.to_vec()), ..BodyParts::default() },
            AnswerBody::Template(template) => {
                BodyParts { template: Some(template.clone()), ..BodyParts::default() }
            }
            AnswerBody::Message(bytes) => BodyParts { message: Some(bytes.to_vec()), ..BodyParts::default() },
        }
    }

    fn body(self) -> Option<AnswerBody> {
        match (self.fixed, self.template, self.message, self.none) {
            (None, None, None, false) => Some(AnswerBody::ErrorPage),
            (None, None, None, true) => Some(AnswerBody::Empty),
            (Some(bytes), None, None, false) => Some(AnswerBody::Fixed(bytes.into())),
            (None, Some(template), None, false) => Some(AnswerBody::Template(template)),
            (None, None, Some(bytes), false) => Some(AnswerBody::Message(bytes.into())),
            _ => None,
        }
    }
}

/// An answer as a map, `status` in it, whatever else is said.
pub(super) fn answer_map(answer: &Answer, writer: &mut Writer) -> Out {
    Out::Map(written(answer, writer))
}

impl Form for ErrorPages {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ErrorPages> {
        let Kind::Map(entries) = &node.kind else {
            reader.problem(node.spot, "error pages by status (503: …) are expected here", "");
            return None;
        };
        let mut pages = ErrorPages::default();
        for (key, value) in entries {
            match key.text.parse::<u16>() {
                Ok(status) => pages.0.extend(ErrorPage::read(value, reader).map(|page| (status, page))),
                Err(_) => reader.problem(key.spot, format!("'{}' is no status", key.text), ""),
            }
        }
        Some(pages)
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let page = |(status, page): (&u16, &ErrorPage)| (status.to_string(), page.written(writer));
        Out::Map(self.0.iter().map(page).collect()).block()
    }
}

impl Form for ErrorPage {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ErrorPage> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        match entries {
            [(key, value)] if key.text == "message" => {
                let text = String::read(value, reader)?;
                Some(ErrorPage::Raw(with_wire_head(&text).into_bytes().into()))
            }
            [(key, _)] if key.text == "base64" => raw(node, reader),
            [] => raw(node, reader),
            _ => {
                let mut answer = Answer::blank();
                read_into(&mut answer, node, reader).then(|| ErrorPage::Built(Arc::new(answer)))
            }
        }
    }

    fn written(&self, writer: &mut Writer) -> Out {
        let bytes = match self {
            ErrorPage::Built(answer) => return answer_map(answer, writer),
            ErrorPage::Raw(bytes) => bytes,
        };
        match std::str::from_utf8(bytes).ok().and_then(without_wire_head) {
            Some(text) => Out::Map(vec![("message".to_owned(), Out::Text(text))]),
            None => bytes.to_vec().written(writer),
        }
    }
}

fn raw(node: &Node, reader: &mut Reader<'_>) -> Option<ErrorPage> {
    Vec::<u8>::read(node, reader).map(|bytes| ErrorPage::Raw(bytes.into()))
}

/// The head's line ends become CR LF, as they go out.
fn with_wire_head(text: &str) -> String {
    match text.split_once("\n\n") {
        Some((head, body)) => format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n")),
        None => text.replace('\n', "\r\n"),
    }
}

/// The inverse, when there is one.
fn without_wire_head(raw: &str) -> Option<String> {
    let text = match raw.split_once("\r\n\r\n") {
        Some((head, body)) => format!("{}\n\n{body}", head.replace("\r\n", "\n")),
        None => raw.replace("\r\n", "\n"),
    };
    (text.contains('\n') && with_wire_head(&text) == raw).then_some(text)
}
