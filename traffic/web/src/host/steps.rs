//! Steps of hosts and locations (nginx: `set`, `if`, `rewrite`, `return`, `break`).

use super::{Turn, Visit, text};
use crate::exchange::{After, Exchange};
use crate::local::Workspace;
use crate::scene::Scene;
use plan::host::{FileTest, Groups, Pattern, Question, RewriteEnd, Step};
use plan::rule::Template;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use telemetry::Cause;
use wire::http1::unescape_redirect;

/// Where steps led.
enum End {
    /// To the end of the list.
    Through,
    /// No further step of this level; whether a location is to be looked for.
    Over,
    /// To an answer or a failure.
    Turn(Turn),
}

/// Steps before a location is looked for.
pub(super) fn of_host(work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Done(After::Close) };
    let host = Arc::clone(&visit.host);
    let mut state = State::default();
    match state.run(&host.steps, work, exchange) {
        End::Turn(turn) => turn,
        // Whether the path changed or not: a location is looked for next.
        End::Through | End::Over => Turn::Locate,
    }
}

/// Steps of the location; when they change the path, another location is looked for.
pub(super) fn of_location(work: &mut Workspace, exchange: &mut Exchange) -> Turn {
    let Some(visit) = exchange.visit.as_deref() else { return Turn::Done(After::Close) };
    let location = Arc::clone(&visit.location);
    if location.steps.is_empty() {
        return Turn::Limits;
    }
    let mut state = State::default();
    match state.run(&location.steps, work, exchange) {
        End::Turn(turn) => turn,
        End::Through | End::Over if state.changed => {
            let Some(visit) = exchange.visit.as_deref_mut() else { return Turn::Done(After::Close) };
            if visit.may_change() {
                visit.location = Arc::clone(&visit.host.outside);
                return Turn::Locate;
            }
            exchange.fail(Cause::Internal);
            Turn::Fail(500)
        }
        End::Through | End::Over => Turn::Limits,
    }
}

/// What steps of one level did so far.
#[derive(Default)]
struct State {
    /// The path was changed, and a location is to be looked for again.
    changed: bool,
}

impl State {
    fn run(&mut self, steps: &[Step], work: &mut Workspace, exchange: &mut Exchange) -> End {
        for step in steps {
            let end = match step {
                Step::Break => End::Over,
                Step::Set(variable, template) => {
                    let value = text(exchange, work, template);
                    if let Some(visit) = exchange.visit.as_deref() {
                        visit.set(*variable, &value);
                    }
                    End::Through
                }
                Step::SetArguments(template) => {
                    let value = text(exchange, work, template);
                    if let Some(visit) = exchange.visit.as_deref_mut() {
                        (visit.arguments, visit.untouched) = (value, false);
                    }
                    End::Through
                }
                Step::SetRate(template) => {
                    let value = text(exchange, work, template);
                    if let Some(visit) = exchange.visit.as_deref_mut() {
                        visit.rate = Some(value);
                    }
                    End::Through
                }
                Step::Return { status, text: said } => {
                    End::Turn(answer(work, exchange, *status, said.as_ref()))
                }
                Step::If { question, steps, location } => {
                    if !holds(question, work, exchange) {
                        continue;
                    }
                    if let (Some(location), Some(visit)) = (location, exchange.visit.as_deref_mut()) {
                        visit.location = Arc::clone(location);
                    }
                    self.run(steps, work, exchange)
                }
                Step::Rewrite { pattern, to, query, drops_query, end, .. } => {
                    let rewrite =
                        Rewrite { pattern, to, query: query.as_ref(), drops_query: *drops_query, end: *end };
                    self.rewrite(&rewrite, work, exchange)
                }
            };
            match end {
                End::Through => {}
                end => return end,
            }
        }
        End::Through
    }

    fn rewrite(&mut self, rewrite: &Rewrite<'_>, work: &mut Workspace, exchange: &mut Exchange) -> End {
        let Some(groups) = exchange.visit.as_deref().and_then(|visit| rewrite.pattern.find(&visit.path))
        else {
            return End::Through;
        };
        keep(exchange, groups);
        if let RewriteEnd::Redirect(status) = rewrite.end {
            let to = rewrite.redirect_target(work, exchange);
            if let Some(visit) = exchange.visit.as_deref_mut() {
                visit.redirect_to = Some(to);
            }
            return End::Turn(Turn::Fail(status));
        }
        let path = text(exchange, work, rewrite.to);
        let query = rewrite.query.map(|query| escaped(work, exchange, query));
        let Some(visit) = exchange.visit.as_deref_mut() else { return End::Over };
        if path.is_empty() {
            exchange.fail(Cause::Internal);
            return End::Turn(Turn::Fail(500));
        }
        visit.take_path(path, query, rewrite.drops_query);
        match rewrite.end {
            RewriteEnd::Stay => {
                (self.changed, visit.fits_location) = (false, false);
                End::Over
            }
            RewriteEnd::Locate => {
                self.changed = true;
                End::Over
            }
            RewriteEnd::Next | RewriteEnd::Redirect(_) => {
                self.changed = true;
                End::Through
            }
        }
    }
}

/// One step that changes the path.
struct Rewrite<'s> {
    pattern: &'s Pattern,
    to: &'s Template,
    query: Option<&'s Template>,
    drops_query: bool,
    end: RewriteEnd,
}

impl Rewrite<'_> {
    /// Where the redirect leads: what is encoded twice is decoded once, the query is put behind it.
    fn redirect_target(&self, work: &Workspace, exchange: &Exchange) -> Vec<u8> {
        let mut to = escaped(work, exchange, self.to);
        if let Some(query) = self.query {
            to.push(b'?');
            to.extend_from_slice(&escaped(work, exchange, query));
        }
        let mut to = unescape_redirect(&to);
        let arguments = exchange.visit.as_deref().map(|visit| visit.arguments.as_slice()).unwrap_or_default();
        if !self.drops_query && !arguments.is_empty() {
            to.push(if self.query.is_some() { b'&' } else { b'?' });
            to.extend_from_slice(arguments);
        }
        to
    }
}

impl Visit {
    fn take_path(&mut self, path: Vec<u8>, query: Option<Vec<u8>>, drops_query: bool) {
        self.path = path;
        (self.internal, self.untouched) = (true, false);
        match query {
            Some(mut query) => {
                if !drops_query && !self.arguments.is_empty() {
                    query.push(b'&');
                    query.extend_from_slice(&self.arguments);
                }
                self.arguments = query;
            }
            None if drops_query => self.arguments.clear(),
            None => {}
        }
    }
}

/// A text in which groups are escaped, because it becomes a query or a redirect.
fn escaped(work: &Workspace, exchange: &Exchange, template: &Template) -> Vec<u8> {
    let escapes = exchange.visit.as_deref().map(|visit| &visit.escapes_groups);
    escapes.inspect(|escapes| escapes.set(true));
    let text = text(exchange, work, template);
    escapes.inspect(|escapes| escapes.set(false));
    text
}

fn keep(exchange: &Exchange, groups: Groups) {
    if let Some(visit) = exchange.visit.as_deref() {
        visit.keep(groups);
    }
}

/// What a `return` answers.
fn answer(work: &Workspace, exchange: &mut Exchange, status: u16, said: Option<&Template>) -> Turn {
    exchange.intercepted = true;
    let said = match said {
        Some(template) => text(exchange, work, template),
        None if status < 300 && status != 0 => Vec::new(),
        None => return Turn::Fail(status),
    };
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        if let Some(visit) = exchange.visit.as_deref_mut() {
            visit.redirect_to = Some(said);
        }
        return Turn::Fail(status);
    }
    if status == 444 {
        return Turn::Fail(status);
    }
    Turn::Reply(Box::new(super::reply::said(exchange, status, said)))
}

/// Whether the answer to a question is yes. Groups of a match are kept.
fn holds(question: &Question, work: &Workspace, exchange: &Exchange) -> bool {
    let text =
        |template: &Template| template.text(&Scene { exchange, request: &work.request, response: None });
    match question {
        Question::IsTrue(template) => !matches!(text(template).as_slice(), b"" | b"0"),
        Question::Same(a, b) => text(a) == text(b),
        Question::Matches(template, pattern) => match pattern.find(&text(template)) {
            Some(groups) => {
                keep(exchange, groups);
                true
            }
            None => false,
        },
        Question::File(test, template) => is_so(*test, &text(template)),
        Question::Not(question) => !holds(question, work, exchange),
    }
}

fn is_so(test: FileTest, path: &[u8]) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::metadata(std::ffi::OsStr::from_bytes(path)) else { return false };
    match test {
        FileTest::File => found.is_file(),
        FileTest::Directory => found.is_dir(),
        FileTest::Exists => true,
        FileTest::Executable => found.permissions().mode() & 0o100 != 0,
    }
}
