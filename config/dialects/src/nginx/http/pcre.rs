//! Regular expressions of PCRE in the form that we read.

/// The same expression: groups named in quotes, `\Q…\E`, `\p{…}`, and signs that were escaped for no reason.
pub(super) fn rust_form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, put) = piece(rest, first);
        out.push_str(&put);
        rest = &rest[taken..];
    }
    out
}

/// What stands at the beginning: its length, and what it is here.
fn piece(rest: &str, first: char) -> (usize, String) {
    if let Some(named) = rest.strip_prefix("(?'") {
        return match named.find('\'') {
            Some(end) => (3 + end + 1, format!("(?P<{}>", &named[..end])),
            None => (3, "(?'".to_owned()),
        };
    }
    if let Some(quoted) = rest.strip_prefix("\\Q") {
        let end = quoted.find("\\E");
        let literal = regex::escape(&quoted[..end.unwrap_or(quoted.len())]);
        return (end.map_or(rest.len(), |end| end + 4), literal);
    }
    if (rest.starts_with("\\p{") || rest.starts_with("\\P{"))
        && let Some(end) = rest.find('}')
    {
        // Texts are bytes, but this asks for characters.
        return (end + 1, format!("(?u:{})", &rest[..=end]));
    }
    if first == '\\' {
        let second = rest[1..].chars().next();
        let length = 1 + second.map_or(0, char::len_utf8);
        // Signs may be escaped always there.
        return (length, escaped(second, &rest[..length]));
    }
    (first.len_utf8(), first.to_string())
}

fn escaped(second: Option<char>, both: &str) -> String {
    match second {
        Some(sign) if sign.is_ascii_punctuation() && !is_meta(sign) => sign.to_string(),
        _ => both.to_owned(),
    }
}

fn is_meta(sign: char) -> bool {
    r"\.+*?()|[]{}^$#&-~".contains(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_say_the_same() {
        for (pcre, ours) in [
            (r"^/a\/b$", r"^/a/b$"),
            (r"(?'name'a)(?<b>c)(?P<d>e)", r"(?P<name>a)(?<b>c)(?P<d>e)"),
            (r"^(?P<name>[a-z]+)\Q.example.com\E$", r"^(?P<name>[a-z]+)\.example\.com$"),
            (r"\Qa.b", r"a\.b"),
            (r"\p{N}+\.\d", r"(?u:\p{N})+\.\d"),
            (r"\.\-\'\@", r"\.\-'@"),
            (r"a\", r"a\"),
        ] {
            assert_eq!(rust_form(pcre), ours, "{pcre}");
        }
    }
}
