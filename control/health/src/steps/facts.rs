//! What texts and expressions of a check can know: the server's names, what came from it, variables of this run.

use super::machine::Machine;
use plan::rule::{Facts, Fetch, HeaderFetch, Occurrence, Scope, Value};
use std::borrow::Cow;
use std::ops::ControlFlow;
use wire::http1::Fields;

type Each<'e> = &'e mut dyn FnMut(Value<'_>) -> ControlFlow<()>;

impl Facts for Machine<'_> {
    fn each(&self, fetch: &Fetch, each: Each<'_>) {
        if let Fetch::ResponseHeader(header) = fetch {
            return self.fields().map_or((), |fields| values(fields, header, each));
        }
        if let Some(value) = self.one(fetch) {
            let _ = each(value);
        }
    }
}

impl Machine<'_> {
    fn one(&self, fetch: &Fetch) -> Option<Value<'_>> {
        Some(match fetch {
            Fetch::PoolName => Value::text(self.subject.pool.as_bytes()),
            Fetch::ServerName => Value::text(self.subject.server.as_bytes()),
            Fetch::Variable(scope, name) => self.variable(*scope, name)?,
            Fetch::Status => Value::Int(self.answer.as_ref().filter(|a| a.has_head())?.head.status.into()),
            Fetch::ResponseHeaderCount(header) => Value::Int(all(self.fields()?, header).count() as i64),
            Fetch::ReceivedBytes => Value::Int(self.received.len() as i64),
            Fetch::Date(offset) => Value::Int(self.subject.unix.saturating_add(*offset)),
            Fetch::DateParts(parts, offset) => {
                Value::Int(self.subject.unix.saturating_mul(*parts).saturating_add(*offset))
            }
            Fetch::Random(below) => Value::Int((self.subject.random % u64::from((*below).max(1))) as i64),
            _ => return None,
        })
    }

    fn variable(&self, scope: Scope, name: &str) -> Option<Value<'_>> {
        let (_, _, value) = self.variables.iter().find(|(s, n, _)| *s == scope && **n == *name)?;
        Some(match value {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        })
    }

    fn fields(&self) -> Option<&Fields> {
        self.answer.as_ref().filter(|answer| answer.has_head()).map(|answer| &answer.head.fields)
    }
}

fn values(fields: &Fields, header: &HeaderFetch, each: Each<'_>) {
    match header.occurrence {
        Occurrence::Any => {
            let _ = all(fields, header).try_for_each(|value| each(Value::text(value)));
        }
        Occurrence::Nth(n) => {
            let found: Vec<&[u8]> = all(fields, header).collect();
            let far = n.unsigned_abs() as usize;
            let index = if n > 0 { far - 1 } else { found.len().wrapping_sub(far) };
            if let Some(value) = found.get(index) {
                let _ = each(Value::text(value));
            }
        }
    }
}

fn all<'f>(fields: &'f Fields, header: &'f HeaderFetch) -> impl Iterator<Item = &'f [u8]> {
    fields.find_str(header.name.as_bytes()).flat_map(|line| parts(line, header.whole_line))
}

/// The whole line, or its parts between commas (quoted strings respected, RFC 9110, 5.6.1).
pub(super) fn parts(line: &[u8], whole: bool) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let was_escaped = escaped;
        escaped = quoted && *byte == b'\\' && !was_escaped;
        if *byte == b'"' && !was_escaped {
            quoted = !quoted;
        }
        *byte == b',' && !quoted && !whole
    })
    .map(<[u8]>::trim_ascii)
}
