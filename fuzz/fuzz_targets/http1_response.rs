//! Entry point of the target; what it checks is in `src/http1_response.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainstay_fuzz::http1_response::check(data));
