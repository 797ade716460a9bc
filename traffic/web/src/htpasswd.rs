//! Passwords in files of `htpasswd` (nginx: `auth_basic_user_file`): every form that such files have.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use plan::rule::Password;
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// Rounds of Apache's MD5 form.
const ROUNDS: usize = 1000;

/// True when `given` is the password that `said` stands for: `$5$`, `$6$`, `$apr1$`, `{PLAIN}`, `{SHA}`, `{SSHA}`, and
/// what crypt(3) knows besides.
pub(crate) fn matches(said: &str, given: &[u8]) -> bool {
    if said.starts_with("$5$") || said.starts_with("$6$") {
        return crate::auth::password_matches(&Password::Hashed(said.to_owned()), given);
    }
    if let Some(rest) = said.strip_prefix("$apr1$") {
        let (salt, hash) = rest.split_once('$').unwrap_or((rest, ""));
        let salt = salt.get(..8).unwrap_or(salt);
        return apr1(salt.as_bytes(), given).as_bytes().ct_eq(hash.as_bytes()).into();
    }
    if let Some(plain) = said.strip_prefix("{PLAIN}") {
        return plain.as_bytes().ct_eq(given).into();
    }
    if let Some(encoded) = said.strip_prefix("{SSHA}") {
        let Ok(bytes) = STANDARD.decode(encoded) else { return false };
        let Some((hash, salt)) = bytes.split_at_checked(20) else { return false };
        return Sha1::new().chain_update(given).chain_update(salt).finalize().as_slice().ct_eq(hash).into();
    }
    if let Some(encoded) = said.strip_prefix("{SHA}") {
        let Ok(bytes) = STANDARD.decode(encoded) else { return false };
        return Sha1::digest(given).as_slice().ct_eq(bytes.as_slice()).into();
    }
    pwhash::unix::verify(given, said)
}

/// The hash of Apache's MD5 form, as it stands behind the salt.
fn apr1(salt: &[u8], password: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut start = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    for at in (0..password.len()).step_by(16) {
        start.update(&inner[..(password.len() - at).min(16)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        start.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    let mut hash = start.finalize();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        next.update(if round % 2 == 1 { password } else { hash.as_slice() });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round % 2 == 1 { hash.as_slice() } else { password });
        hash = next.finalize();
    }
    let mut out = String::with_capacity(22);
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        letters(u32::from(hash[a]) << 16 | u32::from(hash[b]) << 8 | u32::from(hash[c]), 4, &mut out);
    }
    letters(u32::from(hash[11]), 2, &mut out);
    out
}

/// Six bits a letter, the lowest first.
fn letters(mut bits: u32, count: usize, out: &mut String) {
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..count {
        out.push(char::from(LETTERS[(bits & 63) as usize]));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_opens_for_its_password_only() {
        let check = |said: &str| {
            assert!(matches(said, b"password"), "{said}");
            assert!(!matches(said, b"passwort"), "{said}");
        };
        check("{PLAIN}password");
        check("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=");
        check("$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.");
        check("$1$salt$qJH7.N4xYta3aEG/dfqo/0");
        check("sa3tHJ3/KuYvI");
        assert!(!matches("$1$", b"1"));
        assert!(!matches("{SSHA}x", b"x"));
        assert!(!matches("", b""));
    }
}
