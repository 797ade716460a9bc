//! What becomes of `Location`, `Refresh` and `Set-Cookie` of a server on their way to the client.

use plan::host::{CookieFlags, CookieRule, Groups, ProxyRedirect, Replace};
use plan::rule::{Facts, Template};
use std::borrow::Cow;

/// Keeps what an expression caught, so that the template behind it can use it. Called by the rules here.
pub(crate) trait Keep {
    /// From now on `$1` and named groups are these.
    fn keep(&self, groups: Groups);
    /// Facts for templates.
    fn facts(&self) -> &dyn Facts;
}

/// `Location` by the first rule that fits; `None` when none does.
pub(crate) fn location(rules: &[ProxyRedirect], value: &[u8], keep: &dyn Keep) -> Option<Vec<u8>> {
    rules.iter().find_map(|rule| replaced(&rule.from, &rule.to, value, keep))
}

/// `Refresh`: the place behind `url=`.
pub(crate) fn refresh(rules: &[ProxyRedirect], value: &[u8], keep: &dyn Keep) -> Option<Vec<u8>> {
    let at = value.windows(4).position(|part| part.eq_ignore_ascii_case(b"url="))? + 4;
    let changed = location(rules, &value[at..], keep)?;
    Some([&value[..at], &changed].concat())
}

/// The text with its beginning replaced, or all of it where an expression matches; `None` when it does not fit.
fn replaced(from: &Replace, to: &Template, text: &[u8], keep: &dyn Keep) -> Option<Vec<u8>> {
    match from {
        Replace::Beginning(beginning) => {
            let rest = text.strip_prefix(&beginning.text(keep.facts())[..])?;
            Some([&to.text(keep.facts())[..], rest].concat())
        }
        Replace::Whole(whole) => {
            let is_it = text.eq_ignore_ascii_case(&whole.text(keep.facts()));
            is_it.then(|| to.text(keep.facts()))
        }
        Replace::Match(pattern) => {
            keep.keep(pattern.find(text)?);
            Some(to.text(keep.facts()))
        }
    }
}

/// Everything about cookies.
pub(crate) struct Cookies<'p> {
    /// Changes of the domain.
    pub domains: &'p [CookieRule],
    /// Changes of the path.
    pub paths: &'p [CookieRule],
    /// Changes of flags.
    pub flags: &'p [CookieFlags],
}

impl Cookies<'_> {
    /// True when nothing is ever changed.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.paths.is_empty() && self.flags.is_empty()
    }

    /// A `Set-Cookie` as it goes to the client; `None` when nothing changes.
    pub fn rewrite(&self, line: &[u8], keep: &dyn Keep) -> Option<Vec<u8>> {
        let mut parts: Vec<Cow<'_, [u8]>> = line.split(|b| *b == b';').map(Cow::Borrowed).collect();
        let mut changed = self.attribute(&mut parts, b"domain", self.domains, keep);
        changed |= self.attribute(&mut parts, b"path", self.paths, keep);
        changed |= self.flag(&mut parts, keep);
        changed.then(|| parts.join(&b';'))
    }

    fn attribute(
        &self,
        parts: &mut [Cow<'_, [u8]>],
        name: &[u8],
        rules: &[CookieRule],
        keep: &dyn Keep,
    ) -> bool {
        if rules.is_empty() {
            return false;
        }
        let mut changed = false;
        for part in parts.iter_mut().skip(1) {
            let Some(value) = value_of(part, name) else { continue };
            // A dot in front of a domain says nothing (RFC 6265, 5.2.3). A path never begins with one.
            let value = value.strip_prefix(b".").unwrap_or(value);
            let found = rules.iter().find_map(|rule| replaced(&rule.from, &rule.to, value, keep));
            if let Some(found) = found {
                let front = part.len() - value.len();
                *part = Cow::Owned([&part[..front], &found].concat());
                changed = true;
            }
        }
        changed
    }

    /// The first rule for the cookie's name says which flags it gets and loses.
    fn flag(&self, parts: &mut Vec<Cow<'_, [u8]>>, keep: &dyn Keep) -> bool {
        if self.flags.is_empty() {
            return false;
        }
        let first = parts.first().map(|part| part.trim_ascii()).unwrap_or_default();
        let name = first.split(|b| *b == b'=').next().unwrap_or_default().to_vec();
        let Some(rule) = self.flags.iter().find(|rule| is_for(&rule.cookie, &name, keep)) else {
            return false;
        };
        let words: Vec<Vec<u8>> = rule.flags.iter().map(|flag| flag.text(keep.facts())).collect();
        for word in words.iter().filter(|word| !word.is_empty()) {
            set_flag(parts, &word.to_ascii_lowercase());
        }
        true
    }
}

/// The value of an attribute in a part like ` Path=/x`.
fn value_of<'p>(part: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let at = part.iter().position(|b| *b == b'=')?;
    part[..at].trim_ascii().eq_ignore_ascii_case(name).then(|| part[at + 1..].trim_ascii_start())
}

fn is_for(cookie: &Replace, name: &[u8], keep: &dyn Keep) -> bool {
    match cookie {
        Replace::Beginning(text) | Replace::Whole(text) => text.text(keep.facts()).eq_ignore_ascii_case(name),
        Replace::Match(pattern) => match pattern.find(name) {
            Some(groups) => {
                keep.keep(groups);
                true
            }
            None => false,
        },
    }
}

/// Does what a word of `proxy_cookie_flags` says.
fn set_flag(parts: &mut Vec<Cow<'_, [u8]>>, word: &[u8]) {
    let (flag, value) = match word.iter().position(|b| *b == b'=') {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    };
    let (flag, removes) = match flag.strip_prefix(b"no") {
        Some(rest) => (rest, true),
        None => (flag, false),
    };
    let names =
        |part: &[u8]| part.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let mut index = 0;
    parts.retain(|part| {
        index += 1;
        index == 1 || names(part) != flag
    });
    if removes {
        return;
    }
    let text: &[u8] = match (flag, value) {
        (b"secure", _) => b" Secure",
        (b"httponly", _) => b" HttpOnly",
        (b"samesite", Some(b"strict")) => b" SameSite=Strict",
        (b"samesite", Some(b"lax")) => b" SameSite=Lax",
        (b"samesite", Some(b"none")) => b" SameSite=None",
        _ => return,
    };
    parts.push(Cow::Owned(text.to_vec()));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::host::Pattern;
    use plan::rule::{Fetch, Value};
    use std::ops::ControlFlow;

    struct Nothing;

    impl Facts for Nothing {
        fn each(&self, _: &Fetch, _: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {}
    }

    impl Keep for Nothing {
        fn keep(&self, _: Groups) {}
        fn facts(&self) -> &dyn Facts {
            self
        }
    }

    fn begins(from: &str, to: &str) -> ProxyRedirect {
        ProxyRedirect { from: Replace::Beginning(Template::fixed(from)), to: Template::fixed(to) }
    }

    fn matches(text: &str) -> Replace {
        Replace::Match(Pattern { regex: regex::bytes::Regex::new(text).unwrap(), named: Vec::new() })
    }

    #[test]
    fn redirects_follow_the_first_rule_that_fits() {
        let rules = [
            begins("http://a:81/one/", "/two/"),
            begins("http://a:81/", "/"),
            ProxyRedirect { from: matches("(?i)^https?://b/"), to: Template::fixed("/b/") },
        ];
        let check = |value: &str, expected: Option<&str>| {
            let found = location(&rules, value.as_bytes(), &Nothing);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        };
        check("http://a:81/one/x", Some("/two/x"));
        check("http://a:81/x?y", Some("/x?y"));
        check("HTTPS://B/x", Some("/b/"));
        check("http://c/", None);
        let changed = refresh(&rules, b"7; Url=http://a:81/q", &Nothing).unwrap();
        assert_eq!(changed, b"7; Url=/q");
        assert_eq!(refresh(&rules, b"7", &Nothing), None);
    }

    #[test]
    fn cookies_change_domain_path_and_flags() {
        let domains = [CookieRule {
            from: Replace::Whole(Template::fixed("www.example.org")),
            to: Template::fixed("example.com"),
        }];
        let paths =
            [CookieRule { from: Replace::Beginning(Template::fixed("/path/")), to: Template::fixed("/") }];
        let flags = [
            CookieFlags {
                cookie: Replace::Whole(Template::fixed("one")),
                flags: vec![Template::fixed("httponly"), Template::fixed("nosecure")],
            },
            CookieFlags {
                cookie: matches("^t"),
                flags: vec![Template::fixed("samesite=Lax"), Template::fixed("secure")],
            },
        ];
        let cookies = Cookies { domains: &domains, paths: &paths, flags: &flags };
        let check = |line: &str, expected: Option<&str>| {
            let found = cookies.rewrite(line.as_bytes(), &Nothing);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{line}");
        };
        check("a=1; domain=.WWW.example.org; Path=/path/x", Some("a=1; domain=.example.com; Path=/x"));
        check("a=1; domain=www.Example.org", Some("a=1; domain=example.com"));
        check("a=1; Domain=b.org; Path=/other", None);
        check("a=domain=www.example.org", None);
        check("one=1; Secure; Path=/", Some("one=1; Path=/; HttpOnly"));
        check("two=1; SameSite=Strict; HttpOnly", Some("two=1; HttpOnly; SameSite=Lax; Secure"));
    }
}
