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
    /// Percent of the configured weight; may be above 100.
    pub weight_percent: Option<u32>,
    /// Requests at once.
    pub max_connections: Option<u32>,
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
    (verdict(answer, named, reason), answer)
}

fn number(word: &str, answer: &mut AgentAnswer) {
    if let Some(percent) = word.strip_suffix('%').and_then(|n| n.parse().ok()) {
        answer.weight_percent = Some(percent);
    } else if let Some(limit) = word.strip_prefix("maxconn:").and_then(|n| n.parse().ok()) {
        answer.max_connections = Some(limit);
    }
}

fn verdict(answer: AgentAnswer, named: Option<&str>, reason: &str) -> Verdict {
    if answer == AgentAnswer::default() {
        // An agent that says nothing we know has not said "down": the state stays.
        return Verdict::invalid("the agent says nothing we know");
    }
    let status = match answer.state {
        Some(AgentState::Down) => CheckStatus::L7Status,
        _ => CheckStatus::L7Ok,
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
        let cases: [(&str, AgentAnswer, &str); 9] = [
            ("up", up, "via agent : up"),
            ("UP", up, "via agent : up"),
            ("down #why not", down, "via agent : down (why not)"),
            ("stopped hello", down, "via agent : stopped (hello)"),
            ("fail", down, "via agent : fail"),
            ("75%", AgentAnswer { weight_percent: Some(75), ..AgentAnswer::default() }, ""),
            (
                "ready up 50% maxconn:30",
                AgentAnswer {
                    admin: Some(AdminState::Ready),
                    weight_percent: Some(50),
                    max_connections: Some(30),
                    ..up
                },
                "via agent : up",
            ),
            (
                "75%,maxconn:30,maint,down",
                AgentAnswer {
                    admin: Some(AdminState::Maintenance),
                    weight_percent: Some(75),
                    max_connections: Some(30),
                    ..down
                },
                "via agent : down",
            ),
            ("-1% maxconn:x gibberish", AgentAnswer::default(), "the agent says nothing we know"),
        ];
        for (line, answer, text) in cases {
            let (verdict, got) = understand(line);
            assert_eq!((got, verdict.text.as_str()), (answer, text), "{line}");
        }
    }
}
