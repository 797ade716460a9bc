//! Basic authentication (RFC 7617) against a list of users.

use plan::rule::{Password, Userlist};
use subtle::ConstantTimeEq;
use wire::http1::{Name, RequestHead};

/// True when the request names a user of the list with the right password.
pub(crate) fn is_user(users: &Userlist, request: &RequestHead) -> bool {
    request.fields.find(Name::Authorization).is_some_and(|value| is_user_by(users, value))
}

/// Name that the request gives, whoever sent it.
pub(crate) fn user(request: &RequestHead) -> Option<Vec<u8>> {
    credentials(request.fields.find(Name::Authorization)?).map(|(name, _)| name)
}

/// Name and password that the request gives.
pub(crate) fn given(request: &RequestHead) -> Option<(Vec<u8>, Vec<u8>)> {
    credentials(request.fields.find(Name::Authorization)?)
}

fn is_user_by(users: &Userlist, authorization: &[u8]) -> bool {
    let Some((name, password)) = credentials(authorization) else { return false };
    // Every user is looked at whatever matches, so that time tells nothing.
    users.users.iter().fold(false, |found, (user, expected)| {
        let same_name: bool = user.as_bytes().ct_eq(&name).into();
        let right = same_name && password_matches(expected, &password);
        found | right
    })
}

fn credentials(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    use base64::Engine;
    let (scheme, encoded) = crate::scene::split_once(authorization, b' ')?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim_ascii()).ok()?;
    let (name, password) = crate::scene::split_once(&decoded, b':')?;
    Some((name.to_vec(), password.to_vec()))
}

/// True when `given` is the password. Hashes are crypt(5) SHA-256 and SHA-512 (`$5$`, `$6$`).
pub fn password_matches(expected: &Password, given: &[u8]) -> bool {
    match expected {
        Password::Plain(plain) => plain.as_bytes().ct_eq(given).into(),
        Password::Hashed(hash) => {
            use sha_crypt::{PasswordVerifier, ShaCrypt};
            ShaCrypt::default().verify_password(given, hash.as_str()).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Userlist {
        let admin = ("admin".to_string(), Password::Plain("s3cret:x".to_string()));
        Userlist { name: "u".to_string(), users: vec![admin] }
    }

    #[test]
    fn only_the_right_password_opens() {
        let check =
            |value: &str, expected| assert_eq!(is_user_by(&users(), value.as_bytes()), expected, "{value}");
        check("Basic YWRtaW46czNjcmV0Ong=", true);
        check("basic YWRtaW46czNjcmV0Ong=", true);
        check("Basic YWRtaW46d3Jvbmc=", false);
        check("Basic !!!", false);
        check("Bearer YWRtaW46czNjcmV0Ong=", false);
        check("Basic", false);
    }
}
