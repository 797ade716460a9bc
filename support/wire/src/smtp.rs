//! As much of SMTP (RFC 5321) as a health check and an alert mail need: replies of one or more lines, and the text of
//! a mail made safe. Called by `health`.

/// A reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Not all of it is here.
    Partial,
    /// A whole one.
    Whole {
        /// Three digits.
        code: u16,
        /// Text of its last line, without the end of the line.
        text: &'a [u8],
        /// Bytes of it.
        consumed: usize,
    },
}

/// A line that is no reply: without its end of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReply<'a>(pub &'a [u8]);

/// Reads a reply from the start of `buf`. Lines end with CR LF; a lone LF is taken too.
///
/// # Errors
/// When a line does not begin with three digits and a space or `-`, or the lines disagree about the digits.
pub fn parse_reply(buf: &[u8]) -> Result<Reply<'_>, NoReply<'_>> {
    let mut at = 0;
    let mut first = None;
    while let Some(end) = memchr::memchr(b'\n', &buf[at..]) {
        let line = buf[at..at + end].strip_suffix(b"\r").unwrap_or(&buf[at..at + end]);
        at += end + 1;
        let (code, more, text) = line_of(line).ok_or(NoReply(line))?;
        if *first.get_or_insert(code) != code {
            return Err(NoReply(line));
        }
        if !more {
            return Ok(Reply::Whole { code, text, consumed: at });
        }
    }
    Ok(Reply::Partial)
}

fn line_of(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Some((code, false, rest)),
        [b' ', text @ ..] => Some((code, false, text)),
        [b'-', text @ ..] => Some((code, true, text)),
        _ => None,
    }
}

/// Appends text of a mail: every line ends with CR LF, and one that begins with a dot gets another one (RFC 5321,
/// 4.5.2). Control bytes become spaces.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    for line in text.lines() {
        if line.starts_with('.') {
            out.push(b'.');
        }
        out.extend(line.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        out.extend_from_slice(b"\r\n");
    }
}

/// True when a text can stand between the angle brackets of `MAIL FROM` and `RCPT TO`, or behind `EHLO`: no blanks,
/// no brackets, nothing that could end the line.
pub fn is_safe_word(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || matches!(byte, b'<' | b'>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let whole = |code, text, consumed| Ok(Reply::Whole { code, text, consumed });
        let cases: &[(&[u8], Result<Reply<'_>, NoReply<'_>>)] = &[
            (b"", Ok(Reply::Partial)),
            (b"220 hello", Ok(Reply::Partial)),
            (b"220 hello\r\n", whole(220, b"hello", 11)),
            (b"220\n", whole(220, b"", 4)),
            (b"250-a\r\n250-b\r\n", Ok(Reply::Partial)),
            (b"250-a\r\n250 b\r\nmore", whole(250, b"b", 14)),
            (b"250-a\r\n251 b\r\n", Err(NoReply(b"251 b"))),
            (b"hello\r\n", Err(NoReply(b"hello"))),
            (b"2200 a\r\n", Err(NoReply(b"2200 a"))),
            (b"22\r\n", Err(NoReply(b"22"))),
        ];
        for (input, expected) in cases {
            assert_eq!(parse_reply(input), *expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn text_cannot_end_the_mail_or_forge_a_line() {
        let mut out = Vec::new();
        write_text(&mut out, "a\n.\n..b\rc\n");
        assert_eq!(out, b"a\r\n..\r\n...b c\r\n");
        for (word, safe) in [("a@b", true), ("", false), ("a b", false), ("a>b", false), ("a\r", false)] {
            assert_eq!(is_safe_word(word), safe, "{word}");
        }
    }
}
