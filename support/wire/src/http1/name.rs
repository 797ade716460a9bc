//! The field names the proxy itself looks at, found by a hash and one comparison. Used by `Fields` and the writers.

/// Builds the enum and its table from one list.
macro_rules! names {
    ($($id:ident = $text:literal,)*) => {
        /// A field name that means something to the proxy. All other names are [`Name::Other`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            /// A name the proxy only passes on.
            #[default]
            Other,
            $(#[doc = concat!("`", $text, "`")] $id,)*
        }

        const TABLE: &[(Name, &[u8])] = &[$((Name::$id, $text.as_bytes()),)*];
    };
}

names! {
    Te = "te",
    Age = "age",
    Via = "via",
    Date = "date",
    Etag = "etag",
    Host = "host",
    Vary = "vary",
    Proxy = "proxy",
    Range = "range",
    Accept = "accept",
    Cookie = "cookie",
    Expect = "expect",
    Origin = "origin",
    Server = "server",
    AltSvc = "alt-svc",
    Expires = "expires",
    Referer = "referer",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Location = "location",
    Forwarded = "forwarded",
    XRealIp = "x-real-ip",
    Connection = "connection",
    KeepAlive = "keep-alive",
    SetCookie = "set-cookie",
    UserAgent = "user-agent",
    RetryAfter = "retry-after",
    ContentType = "content-type",
    MaxForwards = "max-forwards",
    Authorization = "authorization",
    CacheControl = "cache-control",
    ContentRange = "content-range",
    IfNoneMatch = "if-none-match",
    LastModified = "last-modified",
    ContentLength = "content-length",
    Http2Settings = "http2-settings",
    AcceptEncoding = "accept-encoding",
    XForwardedFor = "x-forwarded-for",
    ContentEncoding = "content-encoding",
    ProxyConnection = "proxy-connection",
    WwwAuthenticate = "www-authenticate",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    IfModifiedSince = "if-modified-since",
    SecWebSocketKey = "sec-websocket-key",
    TransferEncoding = "transfer-encoding",
    XForwardedProto = "x-forwarded-proto",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    SecWebSocketAccept = "sec-websocket-accept",
    SecWebSocketVersion = "sec-websocket-version",
    SecWebSocketProtocol = "sec-websocket-protocol",
    SecWebSocketExtensions = "sec-websocket-extensions",
}

impl Name {
    /// Which name is it, in whatever case it is spelled? `name` must be a token.
    #[inline]
    pub fn of(name: &[u8]) -> Name {
        if name.len() < 2 || name.len() > LONGEST {
            return Name::Other;
        }
        let slot = SLOTS[hash(name)];
        match TABLE.get(slot as usize) {
            Some((id, text)) if is_spelling_of(name, text) => *id,
            _ => Name::Other,
        }
    }

    /// The name in lower case; empty for [`Name::Other`].
    pub fn lower(self) -> &'static [u8] {
        TABLE.iter().find(|(id, _)| *id == self).map_or(b"", |(_, text)| *text)
    }

    /// Fields that end at this hop whatever `Connection` says (RFC 9110 section 7.6.1, and httpoxy's `Proxy`).
    pub(crate) fn ends_here(self) -> bool {
        matches!(
            self,
            Name::Connection | Name::KeepAlive | Name::ProxyConnection | Name::Proxy | Name::Http2Settings
        )
    }

    /// Fields that `Connection` cannot remove, whatever a client writes into it: the message would change its
    /// meaning, its owner or its length.
    pub(crate) fn outlives_connection(self) -> bool {
        self.is_forwarding()
            || matches!(
                self,
                Name::Host
                    | Name::ContentLength
                    | Name::TransferEncoding
                    | Name::Te
                    | Name::Authorization
                    | Name::Cookie
                    | Name::SetCookie
            )
    }

    fn is_forwarding(self) -> bool {
        matches!(
            self,
            Name::Forwarded
                | Name::XRealIp
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedPort
                | Name::XForwardedProto
        )
    }

    fn is_framing(self) -> bool {
        matches!(self, Name::ContentLength | Name::TransferEncoding | Name::Connection | Name::Host)
    }

    /// May it stand behind a chunked body (RFC 9110 section 6.5.1)? Nothing that frames, routes, authenticates or
    /// describes the content may come after the head was acted upon.
    pub(crate) fn is_trailer(self, name: &[u8]) -> bool {
        matches!(self, Name::Other | Name::Etag | Name::Date | Name::Server)
            && !is_forwarding_text(name)
            && !is_look_alike(name)
            && !name.eq_ignore_ascii_case(b"content-disposition")
    }
}

/// Is it an `X-Forwarded-…` field, also one without a [`Name`] of its own?
pub(crate) fn is_forwarding_text(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    name.len() > PREFIX.len() && name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
}

/// Does the name become a framing, host or forwarding name once `_` (or, for `X-Forwarded-…`, `.`) is read as `-`?
///
/// Applications behind us that turn names into variables cannot tell the two apart, so the look-alike is dropped.
pub(crate) fn is_look_alike(name: &[u8]) -> bool {
    if name.len() > 64 || memchr::memchr2(b'_', b'.', name).is_none() {
        return false;
    }
    let dashed = |marks: &[u8]| -> Vec<u8> {
        name.iter().map(|byte| if marks.contains(byte) { b'-' } else { *byte }).collect()
    };
    let (bars, both) = (dashed(b"_"), dashed(b"_."));
    let id = Name::of(&bars);
    id.is_framing()
        || id.is_forwarding()
        || id.ends_here()
        || id == Name::ProxyAuthorization
        || (Name::of(&both).is_forwarding() || is_forwarding_text(&both))
}

/// Is `name` the same as `lower` but for its case? Eight bytes at a time, the last eight overlapping: this runs for
/// every field of every head. Setting bit 5 makes letters small and leaves the other bytes of the table's names alone.
#[inline]
fn is_spelling_of(name: &[u8], lower: &[u8]) -> bool {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    if name.len() != lower.len() {
        return false;
    }
    let (Some(name_end), Some(lower_end)) = (name.last_chunk(), lower.last_chunk()) else {
        return name.iter().zip(lower).all(|(byte, small)| byte | 0x20 == *small);
    };
    let (names, lowers) = (name.as_chunks::<8>().0, lower.as_chunks::<8>().0);
    names.iter().zip(lowers).all(|(name, lower)| word(name) | SMALL == word(lower))
        && word(name_end) | SMALL == word(lower_end)
}

/// The longest name of the table.
const LONGEST: usize = {
    let mut longest = 0;
    let mut at = 0;
    while at < TABLE.len() {
        if TABLE[at].1.len() > longest {
            longest = TABLE[at].1.len();
        }
        at += 1;
    }
    longest
};

/// Where in `TABLE` the name with this hash is; over its end if there is none.
const SLOTS: [u8; 256] = {
    let mut slots = [u8::MAX; 256];
    let mut at = 0;
    while at < TABLE.len() {
        let hash = hash(TABLE[at].1);
        assert!(slots[hash] == u8::MAX, "two names share a hash: choose other factors in `hash`");
        slots[hash] = at as u8;
        at += 1;
    }
    slots
};

/// No two names of the table share a hash; the compiler checks it. Upper and lower case letters are the same.
const fn hash(name: &[u8]) -> usize {
    let len = name.len();
    let (first, third_quarter, last) = (name[0] | 32, name[len * 3 / 4] | 32, name[len - 1] | 32);
    (len * 8 + first as usize * 43 + third_quarter as usize * 53 + last as usize * 42) & 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (id, text) in TABLE {
            assert_eq!(Name::of(text), *id);
            assert_eq!(Name::of(&text.to_ascii_uppercase()), *id);
            assert_eq!(id.lower(), *text);
        }
        assert_eq!(Name::of(b""), Name::Other);
        assert_eq!(Name::of(b"hosts"), Name::Other);
    }

    #[test]
    fn look_alikes_are_seen_and_others_pass() {
        for bad in [
            "content_length",
            "Transfer_Encoding",
            "X_Forwarded_For",
            "x.forwarded.for",
            "X-Forwarded_Ssl",
            "x_real_ip",
            "X.Real.IP",
        ] {
            assert!(is_look_alike(bad.as_bytes()), "{bad}");
        }
        for good in ["x_custom", "content.length", "x-forwarded-for", "host", "a_b.c"] {
            assert!(!is_look_alike(good.as_bytes()), "{good}");
        }
    }
}
