//! `cargo xtask tidy`: every rule over every file, all problems at once. Called by `make test`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::source::{self, File, Problem};
use crate::{Result, leaning, rules};

/// A crate of the workspace, from `cargo metadata`.
pub struct Crate {
    /// Package name.
    pub name: String,
    /// Its folder from the root, such as `config/plan`.
    pub folder: String,
    /// Crates of this workspace that it depends on, in any way.
    pub ours: Vec<String>,
}

/// Check the workspace in `root`; an error when anything is to be mended.
pub fn run(root: &Path) -> Result<()> {
    let crates = crates(root)?;
    let files = source::files(root)?;
    let problems = problems(&crates, &files);
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => {
            println!("tidy: {} crates, {} files, nothing to mend", crates.len(), files.len());
            Ok(())
        }
        count => Err(format!("tidy: {count} things to mend").into()),
    }
}

fn problems(crates: &[Crate], files: &[File]) -> Vec<Problem> {
    let over_files = [
        rules::pure,
        rules::opens_with_purpose,
        rules::unsafe_is_listed,
        rules::dependencies_say_why,
        rules::nothing_unfinished,
        rules::no_machine_names,
    ];
    let mut problems = leaning::check(crates);
    problems.extend(rules::folder_is_name(crates));
    problems.extend(rules::architecture_names_all(crates, files));
    problems.extend(over_files.iter().flat_map(|rule| rule(files)));
    problems
}

fn crates(root: &Path) -> Result<Vec<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().map(|package| read_crate(package, root)).collect())
}

fn read_crate(package: &Value, root: &str) -> Crate {
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let folder = manifest.trim_start_matches(root).trim_start_matches('/').trim_end_matches("/Cargo.toml");
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let ours = dependencies.filter(|dependency| dependency["path"].is_string());
    Crate {
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        folder: folder.to_owned(),
        ours: ours.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_crate_is_read_from_metadata() {
        let package = serde_json::json!({
            "name": "web", "manifest_path": "/x/y/traffic/web/Cargo.toml",
            "dependencies": [{"name": "plan", "path": "/x/y/config/plan"}, {"name": "tokio"}],
        });
        let web = read_crate(&package, "/x/y");
        assert_eq!((web.folder.as_str(), web.ours), ("traffic/web", vec!["plan".to_owned()]));
    }

    #[test]
    fn the_workspace_has_crates_and_files() {
        let root = crate::root();
        assert!(crates(&root).unwrap().iter().any(|known| known.folder == "config/plan"));
        assert!(source::files(&root).unwrap().iter().any(|file| file.path == "xtask/src/tidy.rs"));
    }
}
