//! The binary `mainstay`: command line and wiring, one file per subcommand.
//!
//! Called through a link named `haproxy` or `nginx` it takes the command line of that program instead.
//! Exit codes: 0 done or valid · 1 problems in the configuration or at the start · 2 wrong usage.

mod alerts;
mod background;
mod check;
mod convert;
mod haproxy;
mod nginx;
mod run;
mod say;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use supervisor::Input;

/// Memory of connections that end goes back to the system; the default allocator keeps it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps a web application and its PostgreSQL database available.
///
/// Runs haproxy.cfg or nginx.conf as they are, or one mainstay.yaml.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the configuration in the foreground. SIGHUP reloads, SIGTERM stops gracefully, SIGINT at once.
    Run(Files),
    /// Check the configuration: exit 0 when it is valid, 1 with all problems otherwise.
    Check(Files),
    /// Write the configuration as mainstay.yaml on standard output.
    Convert(Files),
}

/// Files to read.
#[derive(Args)]
struct Files {
    /// Configuration files; a folder stands for the files in it.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Language of the files, when their names and texts do not tell.
    #[arg(long)]
    dialect: Option<DialectName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DialectName {
    Haproxy,
    Native,
    Nginx,
}

impl Files {
    fn input(self) -> Input {
        let dialect = self.dialect.map(|name| match name {
            DialectName::Haproxy => dialects::Dialect::Haproxy,
            DialectName::Native => dialects::Dialect::Native,
            DialectName::Nginx => dialects::Dialect::Nginx,
        });
        Input { files: self.files, dialect, ..Input::default() }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().map(PathBuf::from).unwrap_or_default();
    if name.file_name() == Some(Path::new("haproxy").as_os_str()) {
        return haproxy::main(arguments.map(|a| a.to_string_lossy().into_owned()));
    }
    if name.file_name() == Some(Path::new("nginx").as_os_str()) {
        return nginx::main(arguments.map(|a| a.to_string_lossy().into_owned()));
    }
    match Cli::parse().command {
        Command::Run(files) => run::run(files.input()),
        Command::Check(files) => check::check(&files.input()),
        Command::Convert(files) => convert::convert(&files.input()),
    }
}
