//! `log:` of the process and of sites.

use super::emit::Out;
use super::form::{Fields, Fieldset, read_list, write_list};
use super::leaf;
use super::reader::Reader;
use super::template;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use crate::formats::{self, LOG_STYLE};
use plan::draft::nearest;
use plan::log::{LogAddress, LogFormat, LogHeader, LogPlan, LogTarget, Severity};
use plan::rule::Template;

/// Names of facilities; their place is their number (RFC 5424, 6.2.1).
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
/// The facility that is left out: daemon.
const FACILITY: u8 = 3;
/// The length that is left out, bytes.
const LENGTH: usize = 1024;
/// Names of log lines that are built in.
const FORMATS: &[&str] = &["http", "tcp", "short", "json", "none"];

impl Fieldset for LogTarget {
    const MAIN: &'static str = "to";

    fn blank() -> LogTarget {
        LogTarget {
            address: LogAddress::Stdout,
            header: LogHeader::default(),
            facility: FACILITY,
            level: Severity::Debug,
            max_level: Severity::Emergency,
            length: LENGTH,
            sample: None,
            tag: None,
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let LogTarget { address, header, facility, level, max_level, length, sample, tag } = self;
        f.required("to", address);
        f.with("facility", facility, read_facility, |facility, writer| write_facility(*facility, writer));
        f.value("level", level, &Severity::Debug);
        f.value("max_level", max_level, &Severity::Emergency);
        f.value("header", header, &LogHeader::default());
        f.value("length", length, &LENGTH);
        f.option("tag", tag);
        f.with("sample", sample, read_sample, |sample, _| {
            sample.map(|(first, last, size)| Out::word(format!("{first}..{last}/{size}")))
        });
    }
}

impl Fieldset for LogPlan {
    const MAIN: &'static str = "to";

    fn blank() -> LogPlan {
        LogPlan::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let LogPlan { targets, line, error_line, tag, skip_empty, only_errors, errors_at_err, early, when } =
            self;
        f.with(
            "to",
            targets,
            |node, reader| Some(read_targets(node, reader)),
            |targets, writer| write_targets(targets, writer),
        );
        f.with("format", line, read_format, write_format);
        f.with(
            "error_format",
            error_line,
            |node, reader| read_line(node, reader).map(Some),
            |line, writer| line.as_ref().map(|line| write_line(line, writer)),
        );
        f.option("tag", tag);
        f.flag("skip_empty", skip_empty);
        f.flag("only_errors", only_errors);
        f.flag("errors_at_err", errors_at_err);
        f.flag("early", early);
        f.option("when", when);
    }
}

/// `process`, or a list of targets.
pub(super) fn read_targets(node: &Node, reader: &mut Reader<'_>) -> Vec<LogTarget> {
    match &node.kind {
        Kind::Scalar { text, .. } if text == "process" => reader.logs.clone(),
        _ => read_list(node, reader),
    }
}

/// `process`, or a list of targets; `None` without any.
pub(super) fn write_targets(targets: &[LogTarget], writer: &mut Writer) -> Option<Out> {
    match targets {
        [] => None,
        targets if targets == writer.logs => Some(Out::word("process")),
        targets => Some(write_list(targets, writer)),
    }
}

/// A name of a built-in line, a text with values, or `{ text: … }` for any text.
fn read_format(node: &Node, reader: &mut Reader<'_>) -> Option<LogFormat> {
    let name = match &node.kind {
        Kind::Scalar { text, .. } => text.as_str(),
        _ => "",
    };
    Some(match name {
        "none" => LogFormat::None,
        "short" => LogFormat::Short,
        "json" => LogFormat::Json,
        _ => LogFormat::Text(read_line(node, reader)?),
    })
}

fn read_line(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
    match &node.kind {
        Kind::Scalar { text, .. } => match text.as_str() {
            "http" => Some(formats::http_log()),
            "tcp" => Some(formats::tcp_log()),
            text if text.contains("${") => template::read(node, LOG_STYLE, reader),
            text => {
                let hint = match nearest(text, FORMATS.iter().copied()) {
                    hint if hint.is_empty() => "for a fixed text write { text: … }".to_owned(),
                    hint => hint,
                };
                reader.problem(
                    node.spot,
                    format!("'{text}' is no log line: it has no name that is known and no value in it"),
                    hint,
                );
                None
            }
        },
        Kind::Map(entries) if entries.len() == 1 && entries[0].0.text == "text" => {
            template::read(&entries[0].1, LOG_STYLE, reader)
        }
        _ => {
            reader.problem(
                node.spot,
                "a log line is expected here",
                format!("one of {}, or a text with values", FORMATS.join(", ")),
            );
            None
        }
    }
}

fn write_format(line: &LogFormat, writer: &mut Writer) -> Option<Out> {
    match line {
        LogFormat::Short => None,
        LogFormat::None => Some(Out::word("none")),
        LogFormat::Json => Some(Out::word("json")),
        LogFormat::Text(line) => Some(write_line(line, writer)),
    }
}

fn write_line(line: &Template, writer: &mut Writer) -> Out {
    // Templates hold expressions, which compare by what they show.
    let shown = format!("{line:?}");
    if shown == format!("{:?}", formats::http_log()) {
        return Out::word("http");
    }
    if shown == format!("{:?}", formats::tcp_log()) {
        return Out::word("tcp");
    }
    let text = template::write(line, LOG_STYLE, writer);
    match text.contains("${") {
        true => Out::Text(text),
        false => Out::Map(vec![("text".to_owned(), Out::Text(text))]),
    }
}

fn read_facility(node: &Node, reader: &mut Reader<'_>) -> Option<u8> {
    let numbered: Vec<(&str, u8)> = FACILITIES.iter().zip(0..).map(|(name, n)| (*name, n)).collect();
    leaf::word(node, "a facility such as local0 or daemon", &numbered, reader)
}

fn write_facility(facility: u8, writer: &mut Writer) -> Option<Out> {
    if facility == FACILITY {
        return None;
    }
    let name = FACILITIES.get(usize::from(facility));
    if name.is_none() {
        writer.problem(format!("the facility {facility} has no name"), "");
    }
    name.map(|name| Out::word(*name))
}

fn read_sample(node: &Node, reader: &mut Reader<'_>) -> Option<Option<(u32, u32, u32)>> {
    let parse = |text: &str| {
        let (range, size) = text.split_once('/')?;
        let (first, last) = range.split_once("..").unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
    };
    leaf::parsed(node, "a sample such as 1/10 or 2..3/10", reader, parse).map(Some)
}
