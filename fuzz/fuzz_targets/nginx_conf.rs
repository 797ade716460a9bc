//! Entry point of the target: any bytes read as an `nginx.conf`. What it calls is in `dialects`; good seeds are
//! the cases in `config/dialects/cases/nginx`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialects::read_any_nginx(data));
