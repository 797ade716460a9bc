//! Steps: `set`, `if`, `rewrite`, `return`, `break`, in the order they were said.

use super::super::scope::Scope;
use super::super::tree::Directive;
use super::{Http, location, settings};
use plan::Problem;
use plan::host::{FileTest, Location, Question, RewriteEnd, Step};
use std::sync::Arc;

/// Where `if` stands: the location it makes another one of.
type Base<'b> = Option<(&'b Location, settings::Where)>;

/// The steps of the innermost block.
pub(super) fn steps(scope: &Scope<'_>, http: &Http<'_>, base: Base<'_>) -> Box<[Step]> {
    let one = |directive| scope.keep(step(scope, directive, http, base)).flatten();
    scope.own().iter().filter_map(one).collect()
}

fn step(
    scope: &Scope<'_>,
    directive: &Directive,
    http: &Http<'_>,
    base: Base<'_>,
) -> Result<Option<Step>, Problem> {
    Ok(Some(match directive.name.as_str() {
        "break" => Step::Break,
        "set" => set(directive, http)?,
        "return" => answer(directive, http)?,
        "rewrite" => rewrite(scope, directive, http)?,
        "if" => {
            let question = question(directive, http)?;
            let inside = scope.inside(directive);
            let location = base.map(|(base, place)| location::derived(&inside, directive, base, place, http));
            Step::If { question, steps: steps(&inside, http, base), location: location.map(Arc::new) }
        }
        _ => return Ok(None),
    }))
}

/// A variable that is set.
pub(super) fn set(directive: &Directive, http: &Http<'_>) -> Result<Step, Problem> {
    let text = directive.argument(0);
    let Some(name) = text.strip_prefix('$').filter(|name| !name.is_empty()) else {
        return Err(directive.problem(format!("invalid variable name \"{text}\"")));
    };
    let value = http.variables.template(directive, directive.argument(1))?;
    Ok(match name {
        "args" => Step::SetArguments(value),
        "limit_rate" => Step::SetRate(value),
        name => Step::Set(http.variables.settable(directive, name)?, value),
    })
}

fn answer(directive: &Directive, http: &Http<'_>) -> Result<Step, Problem> {
    let (first, second) = (directive.argument(0), directive.arguments.get(1));
    let is_target =
        first.starts_with("http://") || first.starts_with("https://") || first.starts_with("$scheme");
    match (first.parse::<u16>(), second) {
        (Err(_), None) if is_target => {
            Ok(Step::Return { status: 302, text: Some(http.variables.template(directive, first)?) })
        }
        (Ok(status @ 0..=999), text) => {
            let text = text.map(|text| http.variables.template(directive, text)).transpose()?;
            Ok(Step::Return { status, text })
        }
        _ => Err(directive.problem(format!("invalid return code \"{first}\""))),
    }
}

fn rewrite(scope: &Scope<'_>, directive: &Directive, http: &Http<'_>) -> Result<Step, Problem> {
    let pattern = http.variables.pattern(directive, directive.argument(0), false)?;
    let target = directive.argument(1);
    let is_redirect = ["http://", "https://", "$scheme"].iter().any(|start| target.starts_with(start));
    let end = match directive.argument(2) {
        "last" if !is_redirect => RewriteEnd::Locate,
        "break" if !is_redirect => RewriteEnd::Stay,
        "" if !is_redirect => RewriteEnd::Next,
        "" | "redirect" | "last" | "break" => RewriteEnd::Redirect(302),
        "permanent" => RewriteEnd::Redirect(301),
        other => return Err(directive.invalid_parameter(other)),
    };
    // A question mark at the end keeps the old query away.
    let (target, drops_query) = match target.strip_suffix('?') {
        Some(rest) => (rest, true),
        None => (target, false),
    };
    let (to, query) = match target.split_once('?') {
        Some((to, query)) => (to, Some(http.variables.template(directive, query)?)),
        None => (target, None),
    };
    Ok(Step::Rewrite {
        place: directive.place.clone(),
        pattern,
        to: http.variables.template(directive, to)?,
        query,
        drops_query,
        end,
        logged: scope.flag("rewrite_log", false),
    })
}

/// The question in the brackets of an `if`.
fn question(directive: &Directive, http: &Http<'_>) -> Result<Question, Problem> {
    let all = directive.arguments.join("\u{0}");
    let wrong = || directive.problem(format!("invalid condition \"{}\"", directive.arguments.join(" ")));
    let inner = all.strip_prefix('(').and_then(|all| all.strip_suffix(')')).ok_or_else(wrong)?;
    let words: Vec<&str> = inner.split('\u{0}').filter(|word| !word.is_empty()).collect();
    // An empty text in quotes is a word too; the brackets may touch the first and the last one.
    let has_empty = directive.arguments.iter().any(String::is_empty) || inner.ends_with('\u{0}');
    let text = |text: &str| http.variables.template(directive, text);
    match words.as_slice() {
        [one] if one.starts_with('$') => Ok(Question::IsTrue(text(one)?)),
        [test, path] if test.starts_with('-') || test.starts_with("!-") => {
            let (negated, test) = test.strip_prefix('!').map_or((false, *test), |test| (true, test));
            let test = match test {
                "-f" => FileTest::File,
                "-d" => FileTest::Directory,
                "-e" => FileTest::Exists,
                "-x" => FileTest::Executable,
                _ => return Err(wrong()),
            };
            Ok(not(negated, Question::File(test, text(path)?)))
        }
        [variable, operator] if variable.starts_with('$') && has_empty => {
            compare(directive, http, variable, operator, "").unwrap_or_else(|| Err(wrong()))
        }
        [variable, operator, value] if variable.starts_with('$') => {
            compare(directive, http, variable, operator, value).unwrap_or_else(|| Err(wrong()))
        }
        _ => Err(wrong()),
    }
}

fn compare(
    directive: &Directive,
    http: &Http<'_>,
    variable: &str,
    operator: &str,
    value: &str,
) -> Option<Result<Question, Problem>> {
    let (negated, operator) =
        operator.strip_prefix('!').map_or((false, operator), |operator| (true, operator));
    let make = || {
        let left = http.variables.template(directive, variable)?;
        Ok(match operator {
            "=" => Question::Same(left, http.variables.template(directive, value)?),
            _ => Question::Matches(left, http.variables.pattern(directive, value, operator == "~*")?),
        })
    };
    matches!(operator, "=" | "~" | "~*").then(|| make().map(|question| not(negated, question)))
}

fn not(negated: bool, question: Question) -> Question {
    if negated { Question::Not(Box::new(question)) } else { question }
}
