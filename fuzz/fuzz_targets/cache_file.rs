//! Entry point of the target; what it checks is in `src/cache_file.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainstay_fuzz::cache_file::check(data));
