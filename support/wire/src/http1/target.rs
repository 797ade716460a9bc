//! The request target (RFC 9112 section 3.2): which form it has, and where its authority and path are.
//! Used by the request parser.

use super::bytes::is_target_byte;
use super::host::{is_valid_host, split_port};
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
    /// The scheme with what parts it from the host.
    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Scheme::Http => b"http://",
            Scheme::Https => b"https://",
        }
    }

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
    /// `http://authority/path?query`; the path may be missing. User information lies before the authority.
    Absolute { scheme: Scheme, authority: usize, path: usize },
    /// `host:port` of CONNECT.
    Authority,
}

/// Which form is it? `*` only with OPTIONS; the authority form always and only with CONNECT. `loose`: fragments and bytes
/// from 0x80 are let in.
pub(crate) fn form(method: &[u8], target: &[u8], loose: bool) -> Result<Form, HeadError> {
    let is_good = |byte: &u8| is_target_byte(*byte) || (loose && matches!(*byte, b'#' | 0x80..));
    if !target.iter().all(is_good) {
        return Err(bad("forbidden byte in the target"));
    }
    if method == b"CONNECT" {
        return is_tunnel_end(target)
            .then_some(Form::Authority)
            .ok_or(bad("CONNECT needs a host and a port"));
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
    let path =
        memchr::memchr3(b'/', b'?', b'#', &target[authority..]).map_or(target.len(), |at| at + authority);
    let authority = authority + user_information(&target[authority..path]);
    let host = &target[authority..path];
    (host == b":" || is_valid_host(host)).then_some(Form::Absolute { scheme, authority, path })
}

/// Length of `user:password@`. It is never forwarded (RFC 9110 section 4.2.4).
fn user_information(authority: &[u8]) -> usize {
    memchr::memrchr(b'@', authority).map_or(0, |at| at + 1)
}

fn is_tunnel_end(target: &[u8]) -> bool {
    is_valid_host(target) && split_port(target).1.is_some_and(|port| !port.is_empty())
}

/// Some servers read `\` as `/`; a route could be dodged with it. In a query it means nothing.
fn has_backslash(target: &[u8]) -> bool {
    memchr::memchr3(b'\\', b'?', b'#', target).is_some_and(|at| target[at] == b'\\')
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

const fn bad(reason: &'static str) -> HeadError {
    HeadError::new(HeadErrorKind::BadTarget, reason)
}
