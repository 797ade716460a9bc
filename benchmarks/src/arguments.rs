//! The flags of `benchmarks`, and what they select. Called by `main`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::Result;
use crate::cases::{CASES, Case};
use crate::program::{Kind, Program};

/// Compare CPU per request of Mainstay, HAProxy and nginx, side by side on this machine.
#[derive(Parser)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Only this case (may be given several times); `--list` shows the names.
    #[arg(long = "case", value_name = "NAME")]
    pub case: Vec<String>,
    /// Print the names of the cases and end.
    #[arg(long)]
    pub list: bool,
    /// How often each program has its turn.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Length of one measured window in seconds.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Which programs take part.
    #[arg(long, value_delimiter = ',', default_value = "haproxy,nginx,mainstay")]
    pub with: Vec<Kind>,
    /// Another binary for a program: `mainstay=target/quick/mainstay`.
    #[arg(long = "program", value_name = "PROGRAM=PATH")]
    pub program: Vec<String>,
    /// Directory for `results.md` and `results.json`.
    #[arg(long, default_value = "benchmarks")]
    pub out: PathBuf,
}

/// What this binary does when it is not the harness itself.
#[derive(Subcommand)]
pub enum Command {
    /// The servers behind the program under test; started by the harness.
    #[command(hide = true)]
    Origin {
        /// Ports that speak HTTP.
        #[arg(long, value_delimiter = ',')]
        http: Vec<u16>,
        /// Port that sends bytes without end.
        #[arg(long)]
        bulk: u16,
    },
}

impl Arguments {
    /// The programs of `--with`, each with the binary of `--program` or its default one.
    pub fn programs(&self) -> Result<Vec<Program>> {
        let overrides = self.program.iter().map(|text| parse_override(text)).collect::<Result<Vec<_>>>()?;
        self.with
            .iter()
            .map(|kind| {
                let path =
                    overrides.iter().rev().find(|(name, _)| name == kind).map(|(_, path)| path.clone());
                Program::find(*kind, path)
            })
            .collect()
    }

    /// The cases of `--case`, or all of them; with `--list` prints them and gives none.
    pub fn cases(&self) -> Result<Vec<&'static Case>> {
        if self.list {
            for case in CASES {
                println!("{:<14} {}", case.name, case.about);
            }
            std::process::exit(0);
        }
        if self.case.is_empty() {
            return Ok(CASES.iter().collect());
        }
        self.case.iter().map(|name| find_case(name)).collect()
    }
}

fn find_case(name: &str) -> Result<&'static Case> {
    CASES.iter().find(|case| case.name == name).ok_or_else(|| format!("no case {name:?}; see --list").into())
}

fn parse_override(text: &str) -> Result<(Kind, PathBuf)> {
    let (name, path) = text.split_once('=').ok_or_else(|| format!("--program {text}: write PROGRAM=PATH"))?;
    let kind = <Kind as clap::ValueEnum>::from_str(name, true)?;
    Ok((kind, PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_can_be_another_binary() {
        let (kind, path) = parse_override("mainstay=/bin/true").unwrap();
        assert_eq!((kind, path), (Kind::Mainstay, PathBuf::from("/bin/true")));
        assert!(parse_override("mainstay").is_err());
        assert!(parse_override("apache=/bin/true").is_err());
    }

    #[test]
    fn an_unknown_case_is_an_error() {
        assert!(find_case("keepalive").is_ok());
        assert!(find_case("no-such-case").is_err());
    }
}
