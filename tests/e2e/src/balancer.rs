//! The program under test, and the oracle beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port::is_listening;
use crate::process::Process;
use crate::waiting::until;

/// Where Debian puts HAProxy.
const HAPROXY: &str = "/usr/sbin/haproxy";
/// Where Debian puts nginx.
const NGINX: &str = "/usr/sbin/nginx";
/// Limit for a start until all ports listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A balancer program and the command line it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// `mainstay run FILE`.
    Mainstay(PathBuf),
    /// `haproxy -db -f FILE`: the oracle, that is what people run today.
    Haproxy(PathBuf),
    /// `nginx -p FOLDER/ -c FILE`: the oracle for an nginx.conf.
    Nginx(PathBuf),
}

impl Program {
    /// What the stories are about: `E2E_PROGRAM` (a HAProxy or nginx, to try the stories themselves), else
    /// `MAINSTAY_BIN`, else `mainstay` in the directory this test was built into.
    pub fn subject() -> Self {
        if let Some(path) = std::env::var_os("E2E_PROGRAM").map(PathBuf::from) {
            let is_nginx = path.file_name().is_some_and(|name| name == "nginx");
            return if is_nginx { Self::Nginx(path) } else { Self::Haproxy(path) };
        }
        let path = std::env::var_os("MAINSTAY_BIN").map_or_else(|| built("mainstay"), PathBuf::from);
        assert!(path.exists(), "{} is missing: cargo build -p app", path.display());
        Self::Mainstay(path)
    }

    /// Debian's HAProxy.
    pub fn oracle() -> Self {
        assert!(Path::new(HAPROXY).exists(), "{HAPROXY} is missing: apt-get install haproxy");
        Self::Haproxy(HAPROXY.into())
    }

    /// Debian's nginx.
    pub fn oracle_for_nginx() -> Self {
        assert!(Path::new(NGINX).exists(), "{NGINX} is missing: apt-get install nginx-light");
        Self::Nginx(NGINX.into())
    }

    /// Whether this is Mainstay: some promises are stronger than HAProxy's.
    pub fn is_mainstay(&self) -> bool {
        matches!(self, Self::Mainstay(_))
    }

    /// The same program under the name `haproxy`, by a link in this directory: it has HAProxy's command
    /// line then, and calls itself so in its logs.
    pub fn called_haproxy(&self, directory: &Path) -> Self {
        Self::Haproxy(self.link(directory, "haproxy"))
    }

    /// The same program under the name `nginx`.
    pub fn called_nginx(&self, directory: &Path) -> Self {
        Self::Nginx(self.link(directory, "nginx"))
    }

    fn link(&self, directory: &Path, name: &str) -> PathBuf {
        let (Self::Mainstay(path) | Self::Haproxy(path) | Self::Nginx(path)) = self;
        let link = directory.join(name);
        std::os::unix::fs::symlink(path, &link).unwrap();
        link
    }

    /// Checks a file and gives exit status and output.
    pub fn check(&self, file: &Path) -> Output {
        let mut command = match self {
            Self::Mainstay(path) => with_arguments(path, &["check"]),
            Self::Haproxy(path) => with_arguments(path, &["-c", "-f"]),
            Self::Nginx(path) => with_arguments(path, &["-t", "-q", "-c"]),
        };
        command.arg(file).output().unwrap()
    }

    /// The command that runs a file in the foreground.
    pub fn run_command(&self, file: &Path, reloadable: bool) -> Command {
        let mut command = match self {
            Self::Mainstay(path) => with_arguments(path, &["run"]),
            // Only the master of HAProxy's master-worker mode reloads.
            Self::Haproxy(path) if reloadable => with_arguments(path, &["-W", "-f"]),
            Self::Haproxy(path) => with_arguments(path, &["-db", "-f"]),
            Self::Nginx(path) => {
                let mut command = with_arguments(path, &["-p"]);
                command.arg(file.parent().unwrap()).arg("-c");
                command
            }
        };
        command.arg(file);
        command
    }
}

/// The path of a program of this workspace, built beside the running test.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// How to start a balancer. Made by [`Balancer::with`].
pub struct Start {
    program: Program,
    config: String,
    ports: Vec<u16>,
    environment: Vec<(String, String)>,
    reloadable: bool,
    file_name: String,
}

impl Start {
    /// Another program than the subject, such as the oracle.
    pub fn program(mut self, program: &Program) -> Self {
        self.program = program.clone();
        self
    }

    /// Ports that must listen before the start counts as done.
    pub fn ports<P: Into<u16>>(mut self, ports: impl IntoIterator<Item = P>) -> Self {
        self.ports.extend(ports.into_iter().map(Into::into));
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The story will reload it.
    pub fn reloadable(mut self) -> Self {
        self.reloadable = true;
        self
    }

    /// Another file name than haproxy.cfg, such as mainstay.yaml.
    pub fn file_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.file_name);
        self
    }

    /// Starts the program and returns at once.
    pub fn spawn(self) -> Balancer {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(&self.file_name);
        fs::write(&file, &self.config).unwrap();
        let mut command = self.program.run_command(&file, self.reloadable);
        command.envs(self.environment).current_dir(directory.path());
        let process = Process::start("balancer", &mut command);
        Balancer { process, program: self.program, file, _directory: directory }
    }

    /// Starts the program and waits until all its ports listen.
    pub fn start(self) -> Balancer {
        let ports = self.ports.clone();
        assert!(!ports.is_empty(), "a balancer without ports is never ready");
        let mut balancer = self.spawn();
        until("the balancer listens", START_LIMIT, || {
            if let Some(status) = balancer.process.ended() {
                panic!("the balancer ended with {status}:\n{}", balancer.process.output());
            }
            ports.iter().all(|port| is_listening(*port)).then_some(())
        });
        balancer
    }
}

/// A running balancer with its configuration file.
pub struct Balancer {
    /// The process: its output, its signals.
    pub process: Process,
    /// The program that runs.
    pub program: Program,
    /// Its configuration file.
    pub file: PathBuf,
    _directory: TempDir,
}

impl Balancer {
    /// Begins a start of the subject on this configuration text.
    pub fn with(config: &str) -> Start {
        Start {
            program: Program::subject(),
            config: config.to_owned(),
            ports: Vec::new(),
            environment: Vec::new(),
            reloadable: false,
            file_name: "haproxy.cfg".to_owned(),
        }
    }

    /// Replaces the configuration file; [`Balancer::reload`] makes it count.
    pub fn rewrite(&self, config: &str) {
        // In one step, so that a reload that is under way reads the one or the other.
        let beside = self.file.with_extension("next");
        fs::write(&beside, config).unwrap();
        fs::rename(&beside, &self.file).unwrap();
    }

    /// SIGHUP.
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
    }
}

fn with_arguments(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
