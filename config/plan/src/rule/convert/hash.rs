//! Hashes of bytes: numbers that spread keys, and digests.

use super::Parameter::{OptionalInt, Text};
use super::{Argument, Call, Function, function};
use crate::hash;
use crate::rule::Value;
use digest::{Digest, KeyInit};
use hmac::{Hmac, Mac};
use twox_hash::{XxHash3_64, XxHash32, XxHash64};

/// Functions of this topic. Those with an avalanche mix the number once more when it is not 0.
pub(super) const FUNCTIONS: &[Function] = &[
    function("crc32", &[OptionalInt], |c, v| mixed(c, hash::crc32(&v.into_bytes()))),
    function("crc32c", &[OptionalInt], |c, v| mixed(c, hash::crc32c(&v.into_bytes()))),
    function("digest", &[Text], digested).checked(algorithm_checked),
    function("djb2", &[OptionalInt], |c, v| mixed(c, hash::djb2(&v.into_bytes()))),
    function("hmac", &[Text, Text], authenticated).checked(algorithm_checked),
    function("sdbm", &[OptionalInt], |c, v| mixed(c, hash::sdbm(&v.into_bytes()))),
    function("wt6", &[OptionalInt], |c, v| mixed(c, hash::wt6(&v.into_bytes()))),
    function("xxh3", &[OptionalInt], |c, v| int(XxHash3_64::oneshot_with_seed(seed(c), &v.into_bytes()))),
    function("xxh32", &[OptionalInt], |c, v| int(XxHash32::oneshot(seed(c) as u32, &v.into_bytes()).into())),
    function("xxh64", &[OptionalInt], |c, v| int(XxHash64::oneshot(seed(c), &v.into_bytes()))),
];

fn mixed(call: &Call<'_>, hash: u32) -> Option<Value<'static>> {
    let hash = if call.int(0).unwrap_or(0) != 0 { hash::avalanche(hash) } else { hash };
    Some(Value::Int(hash.into()))
}

fn seed(call: &Call<'_>) -> u64 {
    call.int(0).unwrap_or(0) as u64
}

fn int(n: u64) -> Option<Value<'static>> {
    Some(Value::Int(n as i64))
}

fn algorithm_checked(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments.first() {
        Some(Argument::Text(name)) if digest(name, b"").is_none() => {
            Err("the algorithms are md5, sha1, sha224, sha256, sha384 and sha512")
        }
        _ => Ok(()),
    }
}

fn digested<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    digest(&call.text(0)?, &value.into_bytes()).map(Value::owned)
}

/// Digest of `bytes` by the algorithm of that name.
fn digest(name: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match name.to_ascii_lowercase().as_slice() {
        b"md5" => md5::Md5::digest(bytes).to_vec(),
        b"sha1" => sha1::Sha1::digest(bytes).to_vec(),
        b"sha224" => sha2::Sha224::digest(bytes).to_vec(),
        b"sha256" => sha2::Sha256::digest(bytes).to_vec(),
        b"sha384" => sha2::Sha384::digest(bytes).to_vec(),
        b"sha512" => sha2::Sha512::digest(bytes).to_vec(),
        _ => return None,
    })
}

/// Keyed hash (RFC 2104); the key comes in Base64.
fn authenticated<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    let key = super::encode::unbase64(&call.text(1)?)?;
    let (name, bytes) = (call.text(0)?, value.into_bytes());
    macro_rules! mac {
        ($digest:ty) => {{
            let mut mac = Hmac::<$digest>::new_from_slice(&key).ok()?;
            mac.update(&bytes);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    Some(Value::owned(match name.to_ascii_lowercase().as_slice() {
        b"md5" => mac!(md5::Md5),
        b"sha1" => mac!(sha1::Sha1),
        b"sha224" => mac!(sha2::Sha224),
        b"sha256" => mac!(sha2::Sha256),
        b"sha384" => mac!(sha2::Sha384),
        b"sha512" => mac!(sha2::Sha512),
        _ => return None,
    }))
}
