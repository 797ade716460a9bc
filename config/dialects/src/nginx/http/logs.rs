//! `log_format`, `access_log` and `error_log` of `http {}`, its servers and locations.

use super::super::logs;
use super::super::scope::Scope;
use super::super::tree::Directive;
use super::super::values;
use super::variables::Variables;
use plan::Problem;
use plan::host::{AccessLog, AccessTarget, KeepOpen};
use plan::log::{GzipFile, LogAddress, LogTarget};
use plan::rule::{Piece, Style, Template};
use std::cell::RefCell;
use std::time::Duration;

/// The format that needs no `log_format`.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" \
                        $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// Lines that are compressed together when nobody says how many, bytes; and the most.
const GATHERED: usize = 64 << 10;
const MOST_GATHERED: u64 = 64 << 20;

/// Ways to write values: the word, and the style.
const ESCAPES: &[(&str, Style)] = &[("default", DEFAULT), ("json", JSON), ("none", NONE)];

const NONE: Style = Style {
    quoted: false,
    escaped: false,
    hex: false,
    dash: false,
    printable: false,
    backslash: false,
    json: false,
};
const JSON: Style = Style { json: true, ..NONE };
const DEFAULT: Style = Style { backslash: true, dash: true, ..NONE };

/// Logs said so far; locations hold their numbers.
#[derive(Default)]
pub(in super::super) struct Logs {
    errors: RefCell<Vec<Vec<LogTarget>>>,
    accesses: RefCell<Vec<LogTarget>>,
}

impl Logs {
    /// All error logs and all access logs.
    pub fn all(&self) -> (Vec<Vec<LogTarget>>, Vec<LogTarget>) {
        (self.errors.borrow().clone(), self.accesses.borrow().clone())
    }

    /// Number of the error logs in force.
    pub fn error_log(&self, scope: &Scope<'_>) -> Option<u16> {
        let read = |directive| scope.keep(logs::error_log(directive, scope.ground));
        let mut targets: Vec<LogTarget> = scope.all("error_log").into_iter().filter_map(read).collect();
        if targets.is_empty() {
            targets.push(logs::unsaid(scope.ground));
        }
        number(&self.errors, targets)
    }

    /// The access logs in force; none when nobody says any.
    pub fn access_logs(&self, scope: &Scope<'_>, variables: &Variables<'_>) -> Vec<AccessLog> {
        let said = scope.all("access_log");
        let off = |directive: &&Directive| directive.argument(0) == "off" && directive.arguments.len() == 1;
        if said.iter().any(off) {
            return Vec::new();
        }
        let read = |directive| scope.keep(self.access_log(directive, scope, variables));
        said.into_iter().filter_map(read).collect()
    }

    fn access_log(
        &self,
        directive: &Directive,
        scope: &Scope<'_>,
        variables: &Variables<'_>,
    ) -> Result<AccessLog, Problem> {
        let name = directive.arguments.get(1).map_or("combined", String::as_str);
        let line = format(directive, name, scope, variables)?;
        let mut when = None;
        let mut gathering = Gathering::default();
        for option in directive.arguments.iter().skip(2) {
            match option.split_once('=') {
                Some(("if", text)) => when = Some(variables.template(directive, text)?),
                _ => gathering.take(directive, option)?,
            }
        }
        let file = directive.argument(0);
        if file.starts_with("syslog:") {
            let target = logs::syslog(directive, scope.ground, plan::Severity::Info)?;
            return Ok(AccessLog { to: self.open(target, directive)?, line, when });
        }
        gathering.check(directive, file.contains('$'))?;
        let path = scope.ground.path(file);
        if !file.contains('$') {
            let target = logs::plain(gathering.target(logs::file(&path)));
            return Ok(AccessLog { to: self.open(target, directive)?, line, when });
        }
        let made = variables.template(directive, &path.display().to_string())?;
        Ok(AccessLog { to: AccessTarget::Made(made, kept_open(scope)?), line, when })
    }

    fn open(&self, target: LogTarget, directive: &Directive) -> Result<AccessTarget, Problem> {
        let number = number(&self.accesses, target);
        number.map(AccessTarget::Open).ok_or_else(|| directive.problem("too many different access logs"))
    }
}

/// Where a value stands in a list that keeps each once; `None` = the list is full.
fn number<T: PartialEq>(list: &RefCell<Vec<T>>, value: T) -> Option<u16> {
    let mut list = list.borrow_mut();
    let at = list.iter().position(|known| *known == value).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    });
    u16::try_from(at).ok()
}

/// How lines are gathered and compressed before they go out.
#[derive(Default)]
struct Gathering {
    bytes: Option<usize>,
    flush: Option<Duration>,
    /// Level of gzip.
    gzip: Option<u8>,
}

impl Gathering {
    /// Reads an option; true when it was one of these. Without compression they change nothing: lines leave in
    /// batches whatever is said.
    fn take(&mut self, directive: &Directive, option: &str) -> Result<(), Problem> {
        match option.split_once('=') {
            Some(("buffer", size)) => {
                let bytes = values::size(size).filter(|size| *size > 0);
                let wrong = || directive.problem(format!("invalid buffer size \"{size}\""));
                self.bytes = Some(bytes.ok_or_else(wrong)?.min(MOST_GATHERED) as usize);
            }
            Some(("flush", time)) => {
                let flush = values::time(time).filter(|time| !time.is_zero());
                let wrong = || directive.problem(format!("invalid flush time \"{time}\""));
                self.flush = Some(flush.ok_or_else(wrong)?);
            }
            Some(("gzip", level)) => {
                let known = values::number(level).filter(|level| (1..=9).contains(level));
                let wrong = || directive.problem(format!("invalid compression level \"{level}\""));
                self.gzip = Some(known.ok_or_else(wrong)? as u8);
            }
            None if option == "gzip" => self.gzip = Some(1),
            _ => return Err(directive.invalid_parameter(option)),
        }
        Ok(())
    }

    fn target(&self, address: LogAddress) -> LogAddress {
        match (address, self.gzip) {
            (LogAddress::File(path), Some(level)) => LogAddress::Gzip(GzipFile {
                path,
                level,
                bytes: self.bytes.unwrap_or(GATHERED),
                flush: self.flush,
            }),
            (address, _) => address,
        }
    }

    fn check(&self, directive: &Directive, made: bool) -> Result<(), Problem> {
        let gathers = self.bytes.is_some() || self.gzip.is_some();
        if self.flush.is_some() && !gathers {
            let name = directive.argument(0);
            return Err(directive.problem(format!("no buffer is defined for access_log \"{name}\"")));
        }
        if gathers && made {
            return Err(directive.problem("buffered logs cannot have variables in name"));
        }
        Ok(())
    }
}

/// How long files stay open whose paths have variables.
fn kept_open(scope: &Scope<'_>) -> Result<KeepOpen, Problem> {
    let mut keep =
        KeepOpen { most: 0, inactive: Duration::from_secs(10), valid: Duration::from_secs(60), uses: 1 };
    let Some(directive) = scope.find("open_log_file_cache") else { return Ok(keep) };
    if directive.argument(0) == "off" {
        return Ok(keep);
    }
    for option in &directive.arguments {
        let wrong = || directive.problem(format!("invalid \"open_log_file_cache\" parameter \"{option}\""));
        let (name, value) = option.split_once('=').ok_or_else(wrong)?;
        match name {
            "max" => keep.most = values::number(value).filter(|n| *n > 0).ok_or_else(wrong)? as usize,
            "inactive" => keep.inactive = values::seconds(value).ok_or_else(wrong)?,
            "valid" => keep.valid = values::seconds(value).ok_or_else(wrong)?,
            "min_uses" => {
                let uses = values::number(value).and_then(|n| u32::try_from(n).ok());
                keep.uses = uses.filter(|n| *n > 0).ok_or_else(wrong)?;
            }
            _ => return Err(wrong()),
        }
    }
    if keep.most == 0 {
        return Err(directive.problem("\"open_log_file_cache\" must have \"max\" parameter"));
    }
    Ok(keep)
}

/// The line of a `log_format`.
fn format(
    directive: &Directive,
    name: &str,
    scope: &Scope<'_>,
    variables: &Variables<'_>,
) -> Result<Template, Problem> {
    let Some(format) = scope.all("log_format").into_iter().find(|format| format.argument(0) == name) else {
        return match name {
            "combined" => Ok(styled(variables.template(directive, COMBINED)?, DEFAULT)),
            _ => Err(directive.problem(format!("unknown log format \"{name}\""))),
        };
    };
    let (style, text) = escape(format)?;
    Ok(styled(variables.template(format, &text)?, style))
}

/// How values of a `log_format` are written, and its text.
fn escape(format: &Directive) -> Result<(Style, String), Problem> {
    let texts = &format.arguments[1..];
    match texts.first().and_then(|first| first.strip_prefix("escape=")) {
        None => Ok((DEFAULT, texts.concat())),
        Some(word) => match ESCAPES.iter().find(|(name, _)| *name == word) {
            Some((_, style)) => Ok((*style, texts[1..].concat())),
            None => Err(format.problem(format!("unknown log format escaping \"{word}\""))),
        },
    }
}

/// The same text with all values in a style.
fn styled(template: Template, style: Style) -> Template {
    let piece = |piece| match piece {
        Piece::Value(expr, _) => Piece::Value(expr, style),
        text @ Piece::Text(_) => text,
    };
    Template(template.0.into_iter().map(piece).collect())
}

/// Formats are said once, and all of them are looked at, used or not.
pub(in super::super) fn check_formats(scope: &Scope<'_>, variables: &Variables<'_>) {
    let mut names: Vec<&str> = Vec::new();
    for format in scope.own_named("log_format") {
        let name = format.argument(0);
        if names.contains(&name) || name == "combined" {
            scope.problem(format.problem(format!("duplicate \"log_format\" name \"{name}\"")));
        }
        names.push(name);
        if let Some((_, text)) = scope.keep(escape(format)) {
            scope.keep(variables.template(format, &text));
        }
    }
}
