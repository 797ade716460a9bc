//! `make fuzz`: the fuzz targets, built by the compiler at hand with the engine's instrumentation and run for a while each.
//!
//! `make test` runs those of text from outside for a minute each, `make fuzz` runs all. What the engine finds worth
//! keeping goes to `fuzz/corpus/<target>`; an input that fails is written to `fuzz/artifacts/<target>-…`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Result;

/// Flags of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Options {
    /// Targets; none = all.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Targets at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// What the engine counts: edges, tables of program counters, compared values.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// Named to the compiler, so that build scripts and macros are built without the instrumentation.
const PLATFORM: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
/// Longest one input may take, in seconds, on a machine that has other work.
const INPUT_LIMIT: &str = "20";

/// Builds and runs; an error names the targets that found something, and the files with the inputs.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let folder = root.join("fuzz");
    let targets = if options.targets.is_empty() { all(&folder)? } else { options.targets.clone() };
    let built = build(&folder, &targets)?;
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut found = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let output = fuzz(&folder, &built, target, options.seconds)?;
            let words = String::from_utf8_lossy(&output.stderr);
            println!("fuzz {target}: {}", words.lines().last().unwrap_or("no word"));
            if !output.status.success() {
                println!("{words}");
                found.push(format!("{target}: {}", input(&words)));
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(found)
    };
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            found.extend(worker.join().map_err(|_| "a worker panicked")?.map_err(|e| e.to_string())?);
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("fuzzing found something:\n  {}", found.join("\n  ")).into())
    }
}

/// Names of all targets: one file each.
fn all(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("fuzz_targets"))? {
        names.extend(entry?.path().file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Builds the targets; gives the folder of the programs.
fn build(folder: &Path, targets: &[String]) -> Result<PathBuf> {
    let built = folder.join("target");
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(["build", "--profile", "fuzz", "--target", PLATFORM]);
    command.env("RUSTFLAGS", INSTRUMENTATION).env("CARGO_TARGET_DIR", &built);
    for target in targets {
        command.args(["--bin", target]);
    }
    if !command.status()?.success() {
        return Err("the fuzz targets do not build; see above".into());
    }
    Ok(built.join(PLATFORM).join("fuzz"))
}

fn fuzz(folder: &Path, built: &Path, target: &str, seconds: u32) -> std::io::Result<Output> {
    let corpus = folder.join("corpus").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(folder.join("artifacts"))?;
    let mut command = Command::new(built.join(target));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_LIMIT}"));
    command.arg(format!("-artifact_prefix={}/{target}-", folder.join("artifacts").display()));
    command.arg(&corpus).args(seeds(folder, target));
    command.stdin(Stdio::null()).stdout(Stdio::null()).output()
}

/// The file that the engine wrote its finding to.
fn input(words: &str) -> &str {
    let written = words.lines().find_map(|line| line.split_once("Test unit written to "));
    written.map_or("it ended without an input, see above", |(_, file)| file.trim())
}

/// Inputs to begin with: those of the target, and for configurations the cases of the dialect.
fn seeds(folder: &Path, target: &str) -> Vec<PathBuf> {
    let own = folder.join("seeds").join(target);
    let cases = match target {
        "haproxy_cfg" => folder.join("../config/dialects/cases/haproxy"),
        "nginx_conf" => folder.join("../config/dialects/cases/nginx"),
        _ => PathBuf::new(),
    };
    let all = [own, cases];
    all.into_iter().filter(|path| path.is_dir()).collect()
}
