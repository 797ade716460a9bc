//! Entry point of the target; what it checks is in `src/conditions.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainstay_fuzz::conditions::check(data));
