//! The programs under test: where their binary is, how they are started, in which variants they compete.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::Result;
use crate::cases::{Case, Load};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// HAProxy, as the distribution ships it.
    Haproxy,
    /// nginx, as the distribution ships it.
    Nginx,
    /// Ours, running HAProxy's file.
    Mainstay,
}

/// A peer may do the same job in two ways; both run and the cheaper one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The usual way; an access log goes to syslog over UDP.
    Usual,
    /// The access log goes to a file; HAProxy and Mainstay write it to their standard output.
    FileLog,
    /// HAProxy: bytes are moved inside the kernel.
    Splice,
    /// HAProxy: idle server connections serve new clients at once.
    Reuse,
}

/// One program and the binary that stands for it.
#[derive(Clone)]
pub struct Program {
    /// Which of them.
    pub kind: Kind,
    /// The file that is started.
    pub path: PathBuf,
}

impl Kind {
    /// Name in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Haproxy => "haproxy",
            Kind::Nginx => "nginx",
            Kind::Mainstay => "mainstay",
        }
    }

    /// The variants in which it competes in this case; the cheapest one counts.
    pub fn variants(self, case: &Case) -> &'static [Variant] {
        match (self, case.load) {
            (Kind::Haproxy, Load::Bulk | Load::KeepAlive { target: "/1m" }) => {
                &[Variant::Usual, Variant::Splice]
            }
            (Kind::Haproxy, Load::Close) => &[Variant::Usual, Variant::Reuse],
            _ if case.log => &[Variant::Usual, Variant::FileLog],
            _ => &[Variant::Usual],
        }
    }
}

impl Variant {
    /// Suffix for the report.
    pub fn suffix(self) -> &'static str {
        match self {
            Variant::Usual => "",
            Variant::FileLog => " (file log)",
            Variant::Splice => " (splice)",
            Variant::Reuse => " (reuse always)",
        }
    }
}

impl Program {
    /// The binary at `path`, or where this program usually is.
    pub fn find(kind: Kind, path: Option<PathBuf>) -> Result<Program> {
        let path = path.unwrap_or_else(|| default_path(kind));
        if path.is_file() {
            return Ok(Program { kind, path });
        }
        let hint = match kind {
            Kind::Mainstay => "build it: cargo build --release -p app",
            Kind::Haproxy => "apt-get install haproxy",
            Kind::Nginx => "apt-get install nginx libnginx-mod-stream",
        };
        Err(format!("no {} at {} ({hint}, or leave it out: --with)", kind.name(), path.display()).into())
    }

    /// The command that runs `config` in the foreground on these cores (`1` or `0,1`).
    pub fn command(&self, config: &Path, cores: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(&self.path);
        match self.kind {
            Kind::Haproxy => command.args(["-db", "-f"]).arg(config),
            Kind::Nginx => command.arg("-c").arg(config).args(["-g", "daemon off;"]),
            Kind::Mainstay => command.arg("run").arg(config),
        };
        command
    }

    /// First line of what the program says about its version.
    pub fn version(&self) -> String {
        let flag = if self.kind == Kind::Mainstay { "--version" } else { "-v" };
        let Ok(output) = Command::new(&self.path).arg(flag).output() else { return "?".into() };
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        String::from_utf8_lossy(&text).lines().next().unwrap_or("?").to_owned()
    }
}

fn default_path(kind: Kind) -> PathBuf {
    match kind {
        Kind::Haproxy => "/usr/sbin/haproxy".into(),
        Kind::Nginx => "/usr/sbin/nginx".into(),
        Kind::Mainstay => "target/release/mainstay".into(),
    }
}
