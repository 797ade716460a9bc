//! Entry point of the target: any bytes read as a `haproxy.cfg`. What it calls is in `dialects`; good seeds are
//! the cases in `config/dialects/cases/haproxy`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialects::read_any(data));
