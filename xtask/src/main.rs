//! The project's own chores, called as `cargo xtask …` by people and by the Makefile.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line tool: its output is its purpose.

mod audit;
mod corpus;
mod demo;
mod fuzz;
mod leaning;
mod load;
mod network;
mod nginx_tests;
mod peers;
mod regtests;
mod rules;
mod source;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Errors here end the run and are read by a person, so a sentence is enough.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the rules that no compiler checks: walls between crates, purity, comments, names.
    Tidy,
    /// Start three instances of the sample application and Mainstay in front of them.
    Demo(demo::Options),
    /// Check licences, bans, sources and known advisories of all dependencies.
    Audit(audit::Options),
    /// Play a corpus of hostile byte streams against the binary and hold it to the gate.
    Corpus(corpus::Options),
    /// Run HAProxy's own tests from a checkout with our binary in its place; a skip is a failure.
    HaproxyTests(regtests::Options),
    /// Run nginx's own tests from a checkout with our binary in its place; a skip is a failure.
    NginxTests(nginx_tests::Options),
    /// Build the fuzz targets and run each for a while.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Tidy => tidy::run(&root()),
        Chore::Demo(options) => demo::run(&root(), &options),
        Chore::Audit(options) => audit::run(&root(), &options),
        Chore::Corpus(options) => corpus::run(&options),
        Chore::Fuzz(options) => fuzz::run(&root(), &options),
        Chore::HaproxyTests(options) => regtests::run(&root(), &options),
        Chore::NginxTests(options) => nginx_tests::run(&root(), &options),
    };
    outcome.map_or_else(
        |error| {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// The folder of the workspace; cargo names our own folder when it starts us.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    own.and_then(|own| own.parent().map(Path::to_path_buf)).unwrap_or_else(|| PathBuf::from("."))
}
