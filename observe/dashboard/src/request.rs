//! What a browser or tool asks the statistics page for, and the form it posts.

use crate::rows::Selection;

/// Form of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageForm {
    /// HTML.
    #[default]
    Html,
    /// `;csv`.
    Csv,
    /// `;json`.
    Json,
    /// `;typed`.
    Typed,
}

/// A request for the statistics page.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Form.
    pub form: PageForm,
    /// `;norefresh`.
    pub no_refresh: bool,
    /// `;up`.
    pub only_up: bool,
    /// `;no-maint`.
    pub no_maintenance: bool,
    /// `scope=…`: part of a name.
    pub scope: String,
    /// `st=…`: outcome of the post before.
    pub outcome: Option<Outcome>,
}

/// Longest scope that is looked at, characters.
const SCOPE_LENGTH: usize = 64;

impl PageRequest {
    /// Reads what follows the page's own path in the request target: `;csv;norefresh`, `?;csv;scope=a`,
    /// `?scope=a&…`. Unknown words are ignored.
    pub fn parse(rest: &str) -> PageRequest {
        let mut request = PageRequest::default();
        for word in rest.split([';', '?', '&']) {
            match word.split_once('=') {
                Some(("scope", scope)) => request.scope = decode(scope).chars().take(SCOPE_LENGTH).collect(),
                Some(("st", word)) => request.outcome = Outcome::ALL.into_iter().find(|o| o.word() == word),
                _ => request.take_word(word),
            }
        }
        request
    }

    fn take_word(&mut self, word: &str) {
        match word {
            "csv" => self.form = PageForm::Csv,
            "json" => self.form = PageForm::Json,
            "typed" => self.form = PageForm::Typed,
            "norefresh" => self.no_refresh = true,
            "up" => self.only_up = true,
            "no-maint" => self.no_maintenance = true,
            _ => {}
        }
    }

    /// Which rows this asks for; `names` are those the page may show, empty = all.
    pub fn selection(&self, names: &[String]) -> Selection {
        Selection {
            scope: self.scope.clone(),
            only_up: self.only_up,
            no_maintenance: self.no_maintenance,
            names: names.to_vec(),
            ..Selection::default()
        }
    }

    /// Where the browser is sent after a post, relative to the page's path.
    pub fn location(&self, path: &str, outcome: Outcome) -> String {
        let mut location = format!("{path};st={}", outcome.word());
        for (set, word) in
            [(self.only_up, ";up"), (self.no_refresh, ";norefresh"), (self.no_maintenance, ";no-maint")]
        {
            if set {
                location.push_str(word);
            }
        }
        if !self.scope.is_empty() {
            location.push_str("?scope=");
            location.push_str(&encode(&self.scope));
        }
        location
    }
}

/// How a post ended; the word goes into the location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All done.
    Done,
    /// Nothing was to be done.
    Nothing,
    /// Some done.
    Partly,
    /// The form was not understood.
    Error,
    /// It was too long.
    Exceeded,
    /// Not allowed.
    Denied,
}

impl Outcome {
    const ALL: [Outcome; 6] = [
        Outcome::Done,
        Outcome::Nothing,
        Outcome::Partly,
        Outcome::Error,
        Outcome::Exceeded,
        Outcome::Denied,
    ];

    /// Word of the location.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Done => "DONE",
            Outcome::Nothing => "NONE",
            Outcome::Partly => "PART",
            Outcome::Error => "ERRP",
            Outcome::Exceeded => "EXCD",
            Outcome::Denied => "DENY",
        }
    }

    /// What the page tells the user.
    pub fn text(self) -> &'static str {
        match self {
            Outcome::Done => "Done.",
            Outcome::Nothing => "Nothing was changed.",
            Outcome::Partly => "Only some servers were changed.",
            Outcome::Error => "The form was not understood: pool, servers or action are wrong.",
            Outcome::Exceeded => "The form was too long.",
            Outcome::Denied => "You may not change servers here.",
        }
    }
}

/// What is to be done to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormAction {
    /// Back to what checks say.
    Ready,
    /// No new requests.
    Drain,
    /// No requests.
    Maintenance,
    /// Health checks on.
    EnableHealth,
    /// Health checks off.
    DisableHealth,
    /// Taken as up.
    HealthUp,
    /// Taken as stopping.
    HealthStopping,
    /// Taken as down.
    HealthDown,
    /// Agent on.
    EnableAgent,
    /// Agent off.
    DisableAgent,
    /// Agent taken as up.
    AgentUp,
    /// Agent taken as down.
    AgentDown,
    /// Connections to it are cut.
    Shutdown,
}

/// Words of the form and what they mean; also the select of the page.
pub(crate) const ACTIONS: [(&str, FormAction, &str); 13] = [
    ("ready", FormAction::Ready, "Set state to READY"),
    ("drain", FormAction::Drain, "Set state to DRAIN"),
    ("maint", FormAction::Maintenance, "Set state to MAINT"),
    ("dhlth", FormAction::DisableHealth, "Health: disable checks"),
    ("ehlth", FormAction::EnableHealth, "Health: enable checks"),
    ("hrunn", FormAction::HealthUp, "Health: force UP"),
    ("hnolb", FormAction::HealthStopping, "Health: force NOLB"),
    ("hdown", FormAction::HealthDown, "Health: force DOWN"),
    ("dagent", FormAction::DisableAgent, "Agent: disable checks"),
    ("eagent", FormAction::EnableAgent, "Agent: enable checks"),
    ("arunn", FormAction::AgentUp, "Agent: force UP"),
    ("adown", FormAction::AgentDown, "Agent: force DOWN"),
    ("shutdown", FormAction::Shutdown, "Kill sessions"),
];

/// Words that older pages posted.
const OLD_ACTIONS: [(&str, FormAction); 4] = [
    ("enable", FormAction::Ready),
    ("disable", FormAction::Maintenance),
    ("stop", FormAction::HealthStopping),
    ("start", FormAction::HealthUp),
];

/// A posted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Pool: a name, or `#` and its number.
    pub pool: String,
    /// Names of servers.
    pub servers: Vec<String>,
    /// What is to be done.
    pub action: FormAction,
}

/// Longest form that is read, bytes.
pub const FORM_BYTES: usize = 16 << 10;

impl Form {
    /// Reads `s=…&s=…&action=…&b=…`. The error goes into the location.
    pub fn parse(body: &[u8]) -> Result<Form, Outcome> {
        if body.len() > FORM_BYTES {
            return Err(Outcome::Exceeded);
        }
        let body = std::str::from_utf8(body).map_err(|_| Outcome::Error)?;
        let (mut pool, mut servers, mut action) = (None, Vec::new(), None);
        for (name, value) in body.trim().split('&').filter_map(|part| part.split_once('=')) {
            match name {
                "s" => servers.push(decode(value)),
                "b" => pool = Some(decode(value)),
                "action" => action = find_action(value),
                _ => {}
            }
        }
        match (pool, action) {
            (Some(pool), Some(action)) if !servers.is_empty() => Ok(Form { pool, servers, action }),
            (Some(_), _) if servers.is_empty() => Err(Outcome::Nothing),
            _ => Err(Outcome::Error),
        }
    }

    /// True when this form means the pool of this name and number.
    pub fn means(&self, name: &str, id: u32) -> bool {
        match self.pool.strip_prefix('#') {
            Some(number) => number.parse() == Ok(id),
            None => self.pool == name,
        }
    }
}

fn find_action(word: &str) -> Option<FormAction> {
    let old = OLD_ACTIONS.iter().find(|(w, _)| *w == word).map(|(_, a)| *a);
    ACTIONS.iter().find(|(w, ..)| *w == word).map(|(_, a, _)| *a).or(old)
}

/// Percent-decoding with `+` as a space; what is not UTF-8 is replaced.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encoding of all but letters, digits and `-._~`.
pub(crate) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_after_the_path() {
        for (rest, form, scope, quiet, up) in [
            ("", PageForm::Html, "", false, false),
            (";csv", PageForm::Csv, "", false, false),
            ("?;csv;scope=fe", PageForm::Csv, "fe", false, false),
            (";up;norefresh?scope=a%20b+c", PageForm::Html, "a b c", true, true),
            ("?scope=%zz&json;json", PageForm::Json, "%zz", false, false),
            (";typed;what=ever", PageForm::Typed, "", false, false),
        ] {
            let request = PageRequest::parse(rest);
            let got = (request.form, request.scope.as_str(), request.no_refresh, request.only_up);
            assert_eq!(got, (form, scope, quiet, up), "{rest}");
        }
        assert_eq!(PageRequest::parse(";st=DENY").outcome, Some(Outcome::Denied));
        let back = PageRequest::parse(";up?scope=a\"<b").location("/stats", Outcome::Done);
        assert_eq!(back, "/stats;st=DONE;up?scope=a%22%3Cb");
        assert_eq!(PageRequest::parse(&back["/stats".len()..]).scope, "a\"<b");
    }

    #[test]
    fn forms() {
        let form = |pool: &str, servers: &[&str], action| {
            Ok(Form { pool: pool.into(), servers: servers.iter().map(|s| (*s).to_owned()).collect(), action })
        };
        for (body, expected) in [
            ("s=s1&s=s%202&action=maint&b=%234", form("#4", &["s1", "s 2"], FormAction::Maintenance)),
            ("b=be&action=stop&s=a\r\n", form("be", &["a"], FormAction::HealthStopping)),
            ("b=be&action=maint", Err(Outcome::Nothing)),
            ("s=a&b=be&action=foo", Err(Outcome::Error)),
            ("s=a&action=ready", Err(Outcome::Error)),
            ("\u{0}", Err(Outcome::Error)),
        ] {
            assert_eq!(Form::parse(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(Form::parse(&vec![b'a'; FORM_BYTES + 1]), Err(Outcome::Exceeded));
        let numbered = Form { pool: "#4".into(), servers: Vec::new(), action: FormAction::Ready };
        assert!(numbered.means("be", 4) && !numbered.means("#4", 5));
    }
}
