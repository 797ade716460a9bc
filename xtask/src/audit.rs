//! `make audit`: what we depend on, held against deny.toml by cargo-deny.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Where cargo-deny looks for advisories.
const REMOTE: &str = "https://github.com/rustsec/advisory-db";

/// Flags of `cargo xtask audit`.
#[derive(clap::Args)]
pub struct Options {
    /// A clone of the RustSec advisory database, for machines that cannot fetch it.
    #[arg(long, value_name = "DIR")]
    advisory_db: Option<PathBuf>,
}

/// Licences, bans and sources always; advisories with the database given, else fetched. Where it cannot be
/// fetched this is said plainly, and only findings make it an error.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    deny(root, &["check", "bans", "licenses", "sources"], None)?;
    let database = options.advisory_db.as_deref();
    if deny(root, &["fetch", "db"], database).is_err() {
        println!(
            "audit: NOT CHECKED: advisories. Their database could not be fetched; give a clone: ADVISORY_DB=DIR"
        );
        return if database.is_none() { Ok(()) } else { Err("the given clone could not be read".into()) };
    }
    deny(root, &["--offline", "check", "advisories"], None)
}

/// cargo-deny fetches with git; a given clone stands in for the remote one by git's own means.
fn deny(root: &Path, arguments: &[&str], database: Option<&Path>) -> Result<()> {
    let mut command = Command::new("cargo-deny");
    command.args(arguments).current_dir(root);
    if let Some(database) = database {
        let key = format!("url.file://{}.insteadOf", database.canonicalize()?.display());
        command.envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", &key), ("GIT_CONFIG_VALUE_0", REMOTE)]);
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo-deny: {error} (cargo install --locked cargo-deny)"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo deny {}: failed", arguments.join(" ")).into()) }
}
