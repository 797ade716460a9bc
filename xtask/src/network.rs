//! A second network on this machine, for servers that listen on the same port as the balancer. Used by `demo`.
//!
//! Everything here is held by processes that the kernel kills when we die, and a network goes with its last
//! process: nothing is left behind, however we end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Name of the cable's end on our side; tells whether another demo runs.
const CABLE: &str = "mainstay-demo";
/// Our own address on the cable.
const HERE: &str = "10.77.4.1";
/// How long an ended demo's network may take to vanish.
const VANISH_LIMIT: Duration = Duration::from_secs(3);

/// A child process that is killed when dropped, and by the kernel when we die.
pub struct Process {
    child: Child,
}

impl Process {
    /// Start it; its output goes where ours goes.
    pub fn start(command: &mut Command) -> Result<Process> {
        let child =
            command.stdin(Stdio::null()).spawn().map_err(|error| format!("start {command:?}: {error}"))?;
        Ok(Process { child })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, as a crash would look.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Wait for its end, which is never asked for.
    pub fn wait(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        Err(format!("process {} ended: {status}", self.id()).into())
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("process {} ended: {status}", self.id()).into()),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a process when we end in whatever way. For programs that change their user: the kernel then forgets
/// that it was to kill them with us.
pub struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Watch over a process: the shell waits for the end of a pipe that only we hold.
    pub fn start(process: &Process) -> Result<Watchdog> {
        let script = format!("trap '' INT TERM HUP; read _; kill -9 {}", process.id());
        let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn()?;
        Ok(Watchdog { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// A command that the kernel kills with us.
pub fn bound(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.as_ref());
    command
}

/// The second network, joined to ours by one cable.
pub struct Network {
    holder: Process,
}

impl Network {
    /// Make it, with these addresses of 10.77.4.0/24 in it. Needs the rights of root in our own network.
    pub fn start(addresses: &[&str]) -> Result<Network> {
        wait_for_no_other()?;
        let mut command = Command::new("unshare");
        let script = "ip link set lo up && echo ready && exec sleep infinity";
        command.args(["-n", "setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", script]);
        let mut holder = Process::start(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        if let Some(output) = holder.child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line != "ready\n" {
            return Err("cannot make a network (packages util-linux and iproute2, rights of root)".into());
        }
        let network = Network { holder };
        network.plug(addresses)?;
        Ok(network)
    }

    /// A command that runs inside.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.enter();
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    fn plug(&self, addresses: &[&str]) -> Result<()> {
        let holder = self.holder.id();
        shell(
            &mut Command::new("sh"),
            &format!(
                "ip link add {CABLE} type veth peer name uplink netns {holder}
             ip addr add {HERE}/24 dev {CABLE}
             ip link set {CABLE} up"
            ),
        )?;
        let add = addresses.iter().map(|address| format!("ip addr add {address}/24 dev uplink\n"));
        shell(self.enter().arg("sh"), &format!("{}ip link set uplink up", add.collect::<String>()))
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-n", "--"]);
        command
    }
}

fn wait_for_no_other() -> Result<()> {
    let deadline = Instant::now() + VANISH_LIMIT;
    while Path::new("/proc/sys/net/ipv4/conf").join(CABLE).exists() {
        if Instant::now() > deadline {
            return Err(format!("another demo runs on this machine (network device {CABLE})").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Run a script with `sh -e`; its errors are ours.
fn shell(sh: &mut Command, script: &str) -> Result<()> {
    let output = sh.args(["-ec", script]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("network: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
