//! Conditions of `.if` lines and of the `-cc` option: a small boolean language.
//!
//! ```text
//! expr = and { "||" and }      and = term { "&&" term }
//! term = "!" term | "(" expr ")" | number | predicate "(" arguments ")"
//! ```
//!
//! An empty text is false.

use super::text::Variables;

/// The version that configurations and scripts are told, in HAProxy's count.
pub const VERSION: &str = "3.5-dev5";
/// Features answered with yes: only what is really there.
pub const FEATURES: &[&str] = &["EPOLL", "GETADDRINFO", "NETFILTER", "POLL", "PCRE2", "THREAD", "ZLIB"];
/// Run-time switches answered with yes.
const ENABLED: &[&str] = &["EPOLL", "GETADDRINFO"];
/// Deepest nesting of parentheses and negations.
const MAX_DEPTH: u32 = 200;

/// Predicates with their smallest and largest number of arguments.
const PREDICATES: &[(&str, usize, usize)] = &[
    ("awslc_api_atleast", 1, 1),
    ("awslc_api_before", 1, 1),
    ("awslc_api_version_atleast", 1, 1),
    ("defined", 1, 1),
    ("enabled", 1, 1),
    ("feature", 1, 1),
    ("fips_mode", 0, 0),
    ("openssl_version_atleast", 1, 1),
    ("openssl_version_before", 1, 1),
    ("ssllib_name_startswith", 1, 1),
    ("streq", 2, 2),
    ("strneq", 2, 2),
    ("strstr", 2, 2),
    ("version_atleast", 1, 1),
    ("version_before", 1, 1),
];

/// True or false for a condition of `.if` or `-cc`; an error for what is none.
pub fn condition_check(expr: &str, env: &Variables<'_>) -> Result<bool, String> {
    let mut parser = Parser { text: expr.as_bytes(), at: 0, depth: 0, env };
    let value = parser.any()?;
    parser.skip_blanks();
    if parser.at < parser.text.len() {
        return Err(format!("unexpected '{}' in the condition", parser.rest()));
    }
    Ok(value)
}

struct Parser<'t, 'v> {
    text: &'t [u8],
    at: usize,
    depth: u32,
    env: &'t Variables<'v>,
}

impl Parser<'_, '_> {
    fn any(&mut self) -> Result<bool, String> {
        let mut value = self.all()?;
        while self.eat("||") {
            value |= self.all()?;
        }
        Ok(value)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut value = self.term()?;
        while self.eat("&&") {
            value &= self.term()?;
        }
        Ok(value)
    }

    fn term(&mut self) -> Result<bool, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the condition is nested too deeply".into());
        }
        let value = if self.eat("!") {
            !self.term()?
        } else if self.eat("(") {
            self.inner()?
        } else {
            self.leaf()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn inner(&mut self) -> Result<bool, String> {
        let value = self.any()?;
        if self.eat(")") { Ok(value) } else { Err("a ')' is missing in the condition".into()) }
    }

    fn leaf(&mut self) -> Result<bool, String> {
        self.skip_blanks();
        match self.text.get(self.at) {
            None if self.text.trim_ascii().is_empty() => Ok(false),
            None => Err("the condition ends too early".into()),
            Some(b'-' | b'+' | b'0'..=b'9') => self.number(),
            Some(b) if b.is_ascii_alphabetic() => self.predicate(),
            Some(_) => Err(format!("unexpected '{}' in the condition", self.rest())),
        }
    }

    fn number(&mut self) -> Result<bool, String> {
        let word = self.take(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'_'));
        let digits = word.trim_start_matches(['-', '+']);
        if let Some(hexadecimal) = digits.strip_prefix("0x")
            && let Ok(value) = u64::from_str_radix(hexadecimal, 16)
        {
            return Ok(value != 0);
        }
        if digits.is_empty() || word.len() > digits.len() + 1 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("'{word}' is no number"));
        }
        Ok(digits.bytes().any(|b| b != b'0'))
    }

    fn predicate(&mut self) -> Result<bool, String> {
        let name = self.take(|b| b.is_ascii_alphanumeric() || b == b'_');
        let known = PREDICATES.iter().find(|(n, ..)| *n == name);
        let Some((_, least, most)) = known else {
            return Err(format!("unknown predicate '{name}' in the condition"));
        };
        let arguments = if self.text.get(self.at) == Some(&b'(') { self.arguments()? } else { Vec::new() };
        if arguments.len() < *least || arguments.len() > *most {
            return Err(format!("'{name}' takes {least} argument(s), not {}", arguments.len()));
        }
        evaluate(&name, &arguments, self.env)
    }

    fn arguments(&mut self) -> Result<Vec<String>, String> {
        self.at += 1;
        let mut list = vec![String::new()];
        let mut quote: Option<u8> = None;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            let Some(last) = list.last_mut() else { break };
            match (byte, quote) {
                (b')', None) => return Ok(trim_arguments(list)),
                (b',', None) => list.push(String::new()),
                (b'\'' | b'"', None) => quote = Some(byte),
                (b'"', Some(b'"')) | (b'\'', Some(b'\'')) => quote = None,
                (b'$', Some(b'"')) => {
                    let rest = String::from_utf8_lossy(&self.text[self.at - 1..]).into_owned();
                    let (value, length) = variable(&rest, self.env)?;
                    last.push_str(&value);
                    self.at += length - 1;
                }
                (b'\\', Some(b'"')) if self.at < self.text.len() => {
                    last.push(char::from(self.text[self.at]));
                    self.at += 1;
                }
                _ => last.push(char::from(byte)),
            }
        }
        Err(if quote.is_some() {
            "unmatched quote in the condition"
        } else {
            "a ')' is missing in the condition"
        }
        .into())
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|b| belongs(*b)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let found = self.text[self.at..].starts_with(token.as_bytes());
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn skip_blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.text[self.at..]).chars().take(40).collect()
    }
}

fn trim_arguments(list: Vec<String>) -> Vec<String> {
    if list.len() == 1 && list[0].is_empty() { Vec::new() } else { list }
}

/// Value and length of the variable that `text` begins with.
fn variable(text: &str, env: &Variables<'_>) -> Result<(String, usize), String> {
    let length = match text.as_bytes().get(1) {
        Some(b'{') => text.find('}').ok_or("unmatched '{' of a variable in the condition")? + 1,
        _ => 1 + text[1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count(),
    };
    super::text::expand(&text[..length], env).map(|(value, _)| (value, length))
}

fn evaluate(name: &str, arguments: &[String], env: &Variables<'_>) -> Result<bool, String> {
    let first = arguments.first().map_or("", String::as_str);
    let second = arguments.get(1).map_or("", String::as_str);
    Ok(match name {
        "feature" => FEATURES.contains(&first),
        "enabled" => ENABLED.contains(&first),
        "defined" => env(first).is_some(),
        "streq" => first == second,
        "strneq" => first != second,
        "strstr" => first.contains(second),
        "version_atleast" => version_order(VERSION, first)? != std::cmp::Ordering::Less,
        "version_before" => version_order(VERSION, first)? == std::cmp::Ordering::Less,
        // No TLS library yet: none of these holds.
        _ => false,
    })
}

/// Compares versions such as `2.4`, `2.4.1`, `2.5-dev3`: a development version comes before its release.
fn version_order(ours: &str, theirs: &str) -> Result<std::cmp::Ordering, String> {
    let numbers = version_numbers(theirs).ok_or_else(|| format!("'{theirs}' is no version"))?;
    Ok(version_numbers(ours).unwrap_or_default().cmp(&numbers))
}

fn version_numbers(version: &str) -> Option<[u32; 5]> {
    let (numbers, tail) = version.split_once('-').map_or((version, ""), |(n, t)| (n, t));
    let mut parts = numbers.split('.').map(|p| p.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let patch = parts.next().unwrap_or(Some(0))?;
    let (released, development) = match tail.strip_prefix("dev") {
        Some(n) => (0, n.split('-').next().unwrap_or("").parse().unwrap_or(0)),
        None => (1, 0),
    };
    Some([major, minor, released, development, patch])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expr: &str, expected: Option<bool>) {
        let env = |name: &str| (name == "X").then(|| "yes".to_owned());
        assert_eq!(condition_check(expr, &env).ok(), expected, "{expr:?}");
    }

    #[test]
    fn conditions_are_evaluated() {
        for (expr, value) in [
            ("", false),
            ("0", false),
            ("1", true),
            ("-5", true),
            ("!1", false),
            ("!!1", true),
            ("00", false),
            ("1&&0||1", true),
            (" 1 && ( 0 || ! 0 ) ", true),
            ("(1)", true),
            ("!(1&&1)", false),
            ("0x1", true),
            ("feature(THREAD)", true),
            ("!feature(OPENSSL)", true),
            ("version_atleast(3.0-dev0)", true),
            ("version_atleast(1024)", false),
            ("version_before(3.5)", true),
            ("version_atleast(3.5-dev4)", true),
            ("streq(a,a)", true),
            ("streq(\"$X\",yes)", true),
            ("streq('$X',yes)", false),
            ("streq(\"${X}\",yes)", true),
            ("streq(a, a)", false),
            ("strneq(a,b)&&strstr(abc,b)", true),
            ("defined(X)", true),
            ("defined(Y) || enabled(SPLICE)", false),
            ("streq(\"a,b\",'a,b')", true),
            ("fips_mode()", false),
        ] {
            check(expr, Some(value));
        }
    }

    #[test]
    fn wrong_conditions_are_refused() {
        for expr in [
            "1)",
            "(1",
            "((1)",
            "streq(a,b",
            "streq(a",
            "1a",
            "-",
            "nope(1)",
            "streq(a)",
            "\"a",
            "1 1",
            "&",
            "()",
            "!",
            "1&&",
            "||",
            "1.5",
        ] {
            check(expr, None);
        }
        check(&"!".repeat(100_000), None);
        check("streq(\"a,b)", None);
    }
}
