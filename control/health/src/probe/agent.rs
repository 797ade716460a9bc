//! The agent's text protocol: words about state, weight and limit on one line, and a reason.

use super::{Attempt, Verdict, words};
use pool::CheckStatus;

/// Longest answer of an agent we look at, in bytes.
const LINE_BYTES: usize = 1024;

/// What an agent said. Nothing said = nothing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentAnswer {
    /// Up or down, as checks decide.
    pub state: Option<AgentState>,
    /// Ready, drain or maintenance, as operators decide.
    pub admin: Option<pool::AdminState>,
    /// Weight.
    pub weight: Option<AgentWeight>,
    /// Requests at once.
    pub max_connections: Option<u32>,
}

/// Weight, in the agent's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentWeight {
    /// Percent of the configured weight; may be above 100.
    Percent(u32),
    /// The weight itself, at most 256.
    Absolute(u16),
}

/// Up or down, in the agent's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// `up`
    Up,
    /// `down`, `stopped` or `fail`
    Down,
}

/// Sends `send`, reads a line, understands it.
pub(super) async fn ask(
    attempt: &mut Attempt<'_>,
    send: Option<&[u8]>,
) -> Result<(Verdict, AgentAnswer), Verdict> {
    let mut stream = attempt.connect().await?;
    if let Some(send) = send {
        attempt.send(&mut stream, send).await?;
    }
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < LINE_BYTES {
        if attempt.read(&mut stream, &mut line).await? == 0 {
            break;
        }
    }
    line.truncate(LINE_BYTES);
    let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    Ok(understand(&words(line)))
}

/// `up 75% maxconn:30 ready #reason` and the like; separated by spaces, tabs or commas. Unknown words are passed over.
fn understand(line: &str) -> (Verdict, AgentAnswer) {
    let (said, reason) = line.split_once('#').unwrap_or((line, ""));
    let mut answer = AgentAnswer::default();
    let (mut named, mut reason) = (None, reason.trim());
    for word in said.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "up" => (answer.state, named) = (Some(AgentState::Up), Some("up")),
            "down" => (answer.state, named) = (Some(AgentState::Down), Some("down")),
            "stopped" => (answer.state, named) = (Some(AgentState::Down), Some("stopped")),
            "fail" => (answer.state, named) = (Some(AgentState::Down), Some("fail")),
            "ready" => answer.admin = Some(pool::AdminState::Ready),
            "drain" => answer.admin = Some(pool::AdminState::Drain),
            "maint" => answer.admin = Some(pool::AdminState::Maintenance),
            other => number(other, &mut answer),
        }
    }
    if reason.is_empty() && answer.state == Some(AgentState::Down) {
        // The old form: the reason follows the word.
        reason = named.and_then(|named| said.split_once(named)).map_or("", |(_, rest)| rest.trim());
    }
    (verdict(answer, line, named, reason), answer)
}

fn number(word: &str, answer: &mut AgentAnswer) {
    let weight = word.strip_prefix("weight:").unwrap_or(word);
    if let Some(percent) = weight.strip_suffix('%').and_then(|n| n.parse().ok()) {
        answer.weight = Some(AgentWeight::Percent(percent));
    } else if let Some(weight) = word.strip_prefix("weight:").and_then(|n| n.parse().ok()) {
        answer.weight = Some(AgentWeight::Absolute(weight)).filter(|_| weight <= 256);
    } else if let Some(limit) = word.strip_prefix("maxconn:").and_then(|n| n.parse().ok()) {
        answer.max_connections = Some(limit);
    }
}

fn verdict(answer: AgentAnswer, said: &str, named: Option<&str>, reason: &str) -> Verdict {
    if answer == AgentAnswer::default() {
        // An agent that says nothing we know has not said "down": the state stays.
        return Verdict::new(CheckStatus::Checked, None, format!("agent reports an error : {said}"));
    }
    let status = match answer.state {
        Some(AgentState::Down) => CheckStatus::L7Status,
        Some(AgentState::Up) => CheckStatus::L7Ok,
        None => return Verdict::new(CheckStatus::Checked, None, ""),
    };
    let mut text = named.map(|word| format!("via agent : {word}")).unwrap_or_default();
    if !reason.is_empty() {
        text = format!("{text} ({reason})");
    }
    Verdict::new(status, 0, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::AdminState;

    #[test]
    fn answers() {
        let up = AgentAnswer { state: Some(AgentState::Up), ..AgentAnswer::default() };
        let down = AgentAnswer { state: Some(AgentState::Down), ..AgentAnswer::default() };
        let weight = |weight| AgentAnswer { weight: Some(weight), ..AgentAnswer::default() };
        let cases: [(&str, AgentAnswer, &str); 12] = [
            ("weight:50%", weight(AgentWeight::Percent(50)), ""),
            ("weight:7", weight(AgentWeight::Absolute(7)), ""),
            ("weight:257", AgentAnswer::default(), "agent reports an error : weight:257"),
            ("up", up, "via agent : up"),
            ("UP", up, "via agent : up"),
            ("down #why not", down, "via agent : down (why not)"),
            ("stopped hello", down, "via agent : stopped (hello)"),
            ("fail", down, "via agent : fail"),
            ("75%", AgentAnswer { weight: Some(AgentWeight::Percent(75)), ..AgentAnswer::default() }, ""),
            (
                "ready up 50% maxconn:30",
                AgentAnswer {
                    admin: Some(AdminState::Ready),
                    weight: Some(AgentWeight::Percent(50)),
                    max_connections: Some(30),
                    ..up
                },
                "via agent : up",
            ),
            (
                "75%,maxconn:30,maint,down",
                AgentAnswer {
                    admin: Some(AdminState::Maintenance),
                    weight: Some(AgentWeight::Percent(75)),
                    max_connections: Some(30),
                    ..down
                },
                "via agent : down",
            ),
            (
                "-1% maxconn:x gibberish",
                AgentAnswer::default(),
                "agent reports an error : -1% maxconn:x gibberish",
            ),
        ];
        for (line, answer, text) in cases {
            let (verdict, got) = understand(line);
            assert_eq!((got, verdict.text.as_str()), (answer, text), "{line}");
        }
    }
}
