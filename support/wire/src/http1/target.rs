//! The request target (RFC 9112 section 3.2): which form it has, and where its authority and path are.
//! Used by the request parser.

use super::bytes::is_target_byte;
use super::host::is_valid_host;
use super::{HeadError, HeadErrorKind};

/// The scheme of an absolute target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The port that may be left out.
    pub fn default_port(self) -> &'static [u8] {
        match self {
            Scheme::Http => b"80",
            Scheme::Https => b"443",
        }
    }
}

/// A target taken apart; offsets are bytes from the target's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `/path?query`, or `*` for OPTIONS.
    Origin,
    /// `http://authority/path?query`; the path may be missing.
    Absolute { scheme: Scheme, authority: usize, path: usize },
}

/// Which form is it? `*` only with OPTIONS; authority form is never accepted.
pub(crate) fn form(method: &[u8], target: &[u8]) -> Result<Form, HeadError> {
    if !target.iter().all(|byte| is_target_byte(*byte)) {
        return Err(bad("forbidden byte in the target"));
    }
    let form = match target {
        [b'/', ..] => Form::Origin,
        b"*" if method == b"OPTIONS" => Form::Origin,
        _ => absolute(target).ok_or(bad("target is neither a path nor an http URL"))?,
    };
    if has_backslash(target) {
        return Err(bad("backslash in the path"));
    }
    Ok(form)
}

fn absolute(target: &[u8]) -> Option<Form> {
    let (scheme, authority) = if starts_with(target, b"http://") {
        (Scheme::Http, 7)
    } else if starts_with(target, b"https://") {
        (Scheme::Https, 8)
    } else {
        return None;
    };
    let path = memchr::memchr2(b'/', b'?', &target[authority..]).map_or(target.len(), |at| at + authority);
    is_valid_host(&target[authority..path]).then_some(Form::Absolute { scheme, authority, path })
}

/// Some servers read `\` as `/`; a route could be dodged with it. In a query it means nothing.
fn has_backslash(target: &[u8]) -> bool {
    memchr::memchr2(b'\\', b'?', target).is_some_and(|at| target[at] == b'\\')
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

const fn bad(reason: &'static str) -> HeadError {
    HeadError::new(HeadErrorKind::BadTarget, reason)
}
