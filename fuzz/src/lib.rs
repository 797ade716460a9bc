//! What the fuzz targets check, as plain functions: `fuzz_targets/` calls them with made-up input, the test below with
//! the seeds.

pub mod cache_file;
pub mod chunked;
pub mod cli;
pub mod conditions;
pub mod dns;
pub mod expression;
pub mod hello;
pub mod http1_request;
pub mod http1_response;
mod input;
pub mod path;
pub mod peers;
pub mod proxy;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every target with its seeds. A new target adds a line.
    const TARGETS: &[(&str, fn(&[u8]))] = &[
        ("cache_file", crate::cache_file::check),
        ("cli", crate::cli::check),
        ("conditions", crate::conditions::check),
        ("http1_request", crate::http1_request::check),
        ("http1_response", crate::http1_response::check),
        ("chunked", crate::chunked::check),
        ("proxy", crate::proxy::check),
        ("dns", crate::dns::check),
        ("peers", crate::peers::check),
        ("expression", crate::expression::check),
        ("hello", crate::hello::check),
        ("path", crate::path::check),
    ];

    #[test]
    fn seeds_hold() {
        for (target, check) in TARGETS {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
            let files = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path());
            let seeds: Vec<_> = files.map(|path| std::fs::read(path).unwrap()).collect();
            assert!(!seeds.is_empty(), "no seeds for {target}");
            for seed in &seeds {
                (0..=seed.len()).for_each(|end| check(&seed[..end]));
            }
        }
    }
}
