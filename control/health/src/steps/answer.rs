//! An HTTP answer as it comes in. The codec is `wire`'s, as strict as for clients' traffic: an answer that would be a
//! 502 for a client is no pass.

use wire::http1::{BodyFraming, Chunk, Chunked, Limits, Progress, RequestKind, ResponseHead, parse_response};

/// An HTTP answer, as much of it as has come.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub head: ResponseHead,
    pub body: Vec<u8>,
    kind: RequestKind,
    state: State,
    chunked: Chunked,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(BodyFraming),
    Whole,
}

impl Answer {
    /// The answer to a request with this method.
    pub fn to(method: &str) -> Answer {
        // An upgrade may have been asked for: the expectation judges a 101.
        let kind = RequestKind { head: method == "HEAD", connect: false, upgrade: true, websocket: false };
        Answer { kind, ..Answer::default() }
    }

    /// The head is there.
    pub fn has_head(&self) -> bool {
        self.state != State::Head
    }

    /// Head and body are there.
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Takes bytes out of `received`, as many as it understands; an error in words when they are no answer.
    pub fn take(&mut self, received: &mut Vec<u8>) -> Result<(), String> {
        while self.state == State::Head {
            match parse_response(received, &Limits::response(), self.kind, &mut self.head) {
                Ok(Progress::Complete { consumed }) => {
                    received.drain(..consumed);
                    if self.head.is_interim() && self.head.status != 101 {
                        self.head.clear();
                        continue;
                    }
                    self.state = match self.head.framing(self.kind) {
                        BodyFraming::None | BodyFraming::Length(0) => State::Whole,
                        framing => State::Body(framing),
                    };
                }
                Ok(Progress::Partial) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        match self.state {
            State::Body(BodyFraming::Length(length)) => {
                let left = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(self.body.len());
                self.body.extend(received.drain(..left.min(received.len())));
                if self.body.len() as u64 >= length {
                    self.state = State::Whole;
                }
            }
            State::Body(BodyFraming::Chunked) => self.unchunk(received)?,
            State::Body(_) => self.body.append(received),
            State::Head | State::Whole => {}
        }
        Ok(())
    }

    /// The server closed: what came of the body is all there is.
    pub fn close(&mut self) {
        if self.has_head() {
            self.state = State::Whole;
        }
    }

    fn unchunk(&mut self, received: &mut Vec<u8>) -> Result<(), String> {
        let mut at = 0;
        loop {
            match self.chunked.next(&received[at..]).map_err(|error| error.reason.to_string())? {
                Chunk::Need { consumed } => {
                    at += consumed;
                    break;
                }
                Chunk::Data { skip, len } => {
                    self.body.extend_from_slice(&received[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Chunk::End { .. } => {
                    self.state = State::Whole;
                    break;
                }
            }
        }
        received.drain(..at.min(received.len()));
        Ok(())
    }
}
