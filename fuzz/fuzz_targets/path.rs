//! Entry point of the target; what it checks is in `src/path.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainstay_fuzz::path::check(data));
