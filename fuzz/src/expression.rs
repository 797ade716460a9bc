//! Expressions of rules: whatever stands in one and whatever it works on, it ends without a panic, gives the same
//! twice, and no converter makes much of little.

use dialects::{Dialect, NoSources, Options};
use plan::rule::{Action, Facts, Fetch, Value};
use std::ops::ControlFlow;

/// Facts of which each is the same bytes.
struct Given<'v>(&'v [u8]);

impl Facts for Given<'_> {
    fn each(&self, _: &Fetch, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let _ = each(Value::text(self.0));
    }
}

/// Checks one input: an expression, a line end, the bytes it works on.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (expression, value) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let head = b"frontend f\n mode http\n bind 127.0.0.1:1\n http-request set-header x ";
    let text = [&head[..], b"%[", expression, b"]\n"].concat();
    let files = [("fuzz.cfg".to_owned(), text)];
    let draft = dialects::read(&files, Some(Dialect::Haproxy), &NoSources, &Options::default());
    for rule in draft.sites.iter().flat_map(|site| &site.rules.request) {
        if let Action::SetHeader(_, template) = &rule.action {
            let made = template.text(&Given(value));
            assert_eq!(made, template.text(&Given(value)), "a value changes by itself");
            assert!(made.len() <= (value.len() + expression.len() + 64) << 16, "too much is made of little");
        }
    }
}
