//! Tokens of the sample application: signed claims in the form of a JSON Web Token (RFC 7519), HS256 only.
//!
//! Written out, because all that is needed is one algorithm (RFC 7515, Appendix A.1); a library for all of
//! them brings RSA along. Used by [`crate::accounts`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The only header we write, and the only one we read: whoever signs cannot choose the algorithm.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The key that signs and checks.
pub struct Key(Vec<u8>);

/// What a token says: who, and until when (Unix seconds; the moment itself is too late, RFC 7519, 4.1.4).
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

impl Key {
    /// A key from a secret of any length.
    pub fn new(secret: Vec<u8>) -> Self {
        Self(secret)
    }

    /// A token for `user` that is good for `life` from now.
    pub fn sign(&self, user: &str, life: Duration) -> Option<String> {
        self.sign_until(user, (now()? + life).as_secs())
    }

    /// The user of a token that we signed and that has not expired.
    pub fn check(&self, token: &str) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL.decode(signature).ok()?;
        // Compares in constant time.
        self.mac(signed)?.verify_slice(&signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if header != URL.encode(HEADER) {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&URL.decode(claims).ok()?).ok()?;
        (now()?.as_secs() < claims.exp).then_some(claims.sub)
    }

    fn sign_until(&self, user: &str, exp: u64) -> Option<String> {
        let claims = serde_json::to_vec(&Claims { sub: user.to_owned(), exp }).ok()?;
        let signed = format!("{}.{}", URL.encode(HEADER), URL.encode(claims));
        let signature = URL.encode(self.mac(&signed)?.finalize().into_bytes());
        Some(format!("{signed}.{signature}"))
    }

    fn mac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }
}

fn now() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(secret: &str) -> Key {
        Key::new(secret.as_bytes().to_vec())
    }

    /// The signature of the example in RFC 7515, Appendix A.1.
    #[test]
    fn the_signature_is_the_standard_s() {
        let key = Key::new(
            URL.decode(
                "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            )
            .unwrap(),
        );
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = URL.encode(key.mac(signed).unwrap().finalize().into_bytes());
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_is_good_for_its_key_and_its_time_only() {
        let token = key("one").sign("john", HOUR).unwrap();
        assert_eq!(key("one").check(&token).as_deref(), Some("john"));
        assert_eq!(key("two").check(&token), None);
        let expired = key("one").sign_until("john", now().unwrap().as_secs()).unwrap();
        assert_eq!(key("one").check(&expired), None);
    }

    #[test]
    fn nothing_of_a_token_may_be_changed() {
        let token = key("one").sign("john", HOUR).unwrap();
        for (index, old) in token.bytes().enumerate() {
            let mut other = token.clone().into_bytes();
            other[index] = if old == b'A' { b'B' } else { b'A' };
            assert_eq!(key("one").check(&String::from_utf8(other).unwrap()), None, "byte {index}");
        }
        let (signed, _) = token.rsplit_once('.').unwrap();
        for forged in [String::new(), "..".to_owned(), format!("{signed}."), signed.to_owned()] {
            assert_eq!(key("one").check(&forged), None, "{forged}");
        }
    }

    #[test]
    fn a_token_without_an_algorithm_is_refused_even_when_signed() {
        let key = key("one");
        let claims = r#"{"sub":"john","exp":99999999999}"#;
        let signed = format!("{}.{}", URL.encode(r#"{"alg":"none"}"#), URL.encode(claims));
        let signature = URL.encode(key.mac(&signed).unwrap().finalize().into_bytes());
        assert_eq!(key.check(&format!("{signed}.{signature}")), None);
    }
}
