//! Sending one mail by SMTP (RFC 5321), decided: bytes of the server in, what to send out.

use wire::http1::date;
use wire::smtp::{self, Reply};

/// Most bytes of replies that are kept.
const REPLY_BYTES: usize = 16 * 1024;

/// A mail. Addresses and names hold no blanks and no angle brackets: the plan's dialects see to that.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Name of this machine.
    pub hostname: &'a str,
    /// Sender.
    pub from: &'a str,
    /// Receiver.
    pub to: &'a str,
    /// Text; its first line is the subject too.
    pub text: &'a str,
    /// Unix time in seconds.
    pub unix: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Read some bytes.
    Read,
    /// Send these bytes, then read.
    Send(Vec<u8>),
    /// It is over: sent, or refused.
    Done(bool),
}

/// A mail on its way: greeting, `EHLO`, sender, receiver, data, farewell, one reply after the other.
#[derive(Debug)]
pub struct Machine<'a> {
    letter: Letter<'a>,
    received: Vec<u8>,
    step: Step,
}

/// Whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Hello,
    Sender,
    Receiver,
    Data,
    Text,
    Farewell,
}

impl<'a> Machine<'a> {
    /// A mail that has not been sent; the server speaks first.
    pub fn new(letter: &Letter<'a>) -> Machine<'a> {
        Machine { letter: *letter, received: Vec::new(), step: Step::Greeting }
    }

    /// Bytes came.
    pub fn received(&mut self, bytes: &[u8]) -> Todo {
        self.received.extend_from_slice(bytes);
        if self.received.len() > REPLY_BYTES {
            return Todo::Done(false);
        }
        let code = match smtp::parse_reply(&self.received) {
            Ok(Reply::Partial) => return Todo::Read,
            Ok(Reply::Whole { code, consumed, .. }) => {
                self.received.drain(..consumed);
                code
            }
            Err(_) => return Todo::Done(false),
        };
        let expected = if self.step == Step::Data { 3 } else { 2 };
        match (code / 100 == expected, self.step) {
            (_, Step::Farewell) => Todo::Done(true),
            (true, _) => self.next(),
            (false, _) => Todo::Done(false),
        }
    }

    fn next(&mut self) -> Todo {
        let Letter { hostname, from, to, .. } = self.letter;
        let (step, line) = match self.step {
            Step::Greeting => (Step::Hello, format!("EHLO {hostname}\r\n")),
            Step::Hello => (Step::Sender, format!("MAIL FROM:<{from}>\r\n")),
            Step::Sender => (Step::Receiver, format!("RCPT TO:<{to}>\r\n")),
            Step::Receiver => (Step::Data, "DATA\r\n".to_owned()),
            Step::Data => {
                self.step = Step::Text;
                return Todo::Send(self.letter.written());
            }
            Step::Text | Step::Farewell => (Step::Farewell, "QUIT\r\n".to_owned()),
        };
        self.step = step;
        Todo::Send(line.into_bytes())
    }
}

impl Letter<'_> {
    /// Head and text, up to the dot that ends them.
    fn written(&self) -> Vec<u8> {
        let subject = self.text.lines().next().unwrap_or_default();
        let date = date::format(self.unix);
        let head = format!(
            "Date: {}\nFrom: {}\nTo: {}\nSubject: [HAProxy Alert] {subject}\n\n",
            String::from_utf8_lossy(&date),
            self.from,
            self.to
        );
        let mut out = Vec::new();
        smtp::write_text(&mut out, &head);
        smtp::write_text(&mut out, self.text);
        out.extend_from_slice(b".\r\n");
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LETTER: Letter<'_> =
        Letter { hostname: "h", from: "a@b", to: "c@d", text: "Server is DOWN.\n.\nmore", unix: 0 };

    fn run(replies: &[&str]) -> (String, Todo) {
        let mut machine = Machine::new(&LETTER);
        let (mut sent, mut todo) = (Vec::new(), Todo::Read);
        for reply in replies {
            todo = machine.received(reply.as_bytes());
            if let Todo::Send(bytes) = &todo {
                sent.extend_from_slice(bytes);
            }
        }
        (String::from_utf8(sent).unwrap(), todo)
    }

    #[test]
    fn a_mail_is_sent() {
        let replies = [
            "220 hi\r\n",
            "250-a\r\n",
            "250 b\r\n",
            "250 ok\r\n",
            "250 ok\r\n",
            "354 go\r\n",
            "250 ok\r\n",
            "221 bye\r\n",
        ];
        let (sent, todo) = run(&replies);
        assert_eq!(todo, Todo::Done(true));
        let expected = "EHLO h\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
            From: a@b\r\nTo: c@d\r\nSubject: [HAProxy Alert] Server is DOWN.\r\n\r\nServer is DOWN.\r\n..\r\nmore\r\n\
            .\r\nQUIT\r\n";
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_refusal_ends_it() {
        assert_eq!(run(&["554 no\r\n"]).1, Todo::Done(false));
        assert_eq!(run(&["220 hi\r\n", "250 ok\r\n", "550 no\r\n"]).1, Todo::Done(false));
        assert_eq!(run(&["hello\r\n"]).1, Todo::Done(false));
        assert_eq!(run(&["220-a\r\n", &"220-b\r\n".repeat(4000)]).1, Todo::Done(false));
    }
}
