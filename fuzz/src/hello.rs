//! TLS greetings: more bytes never change one that was read, and hostile lengths lead nowhere.

/// Checks one input.
pub fn check(data: &[u8]) {
    wire::hello::check_any(data);
}
