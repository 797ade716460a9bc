//! `make demo`: three instances of the sample application on port 80 of a second network, Mainstay with an
//! unchanged haproxy.cfg in front of them, and one instance killed under load.
//!
//! As root with ports 80 and 8404 free, Mainstay runs in the machine's own network and everybody can open the
//! addresses. Otherwise all of it runs in a network of its own, and the demo shows the answers itself.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{Client, Load};
use crate::network::{Network, Process, Watchdog, bound};

/// Flags of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Options {
    /// End after the checks instead of running until Ctrl-C; fail when a request was lost.
    #[arg(long)]
    once: bool,
    /// Another balancer that understands `run FILE`; builds only the sample application.
    #[arg(long, value_name = "PATH")]
    balancer: Option<PathBuf>,
    /// We are in a network of our own already.
    #[arg(long, hide = true)]
    inside: bool,
}

/// An instance: name, address in the second network, the variable that haproxy.cfg knows it by.
struct Instance {
    name: &'static str,
    address: &'static str,
    variable: &'static str,
}

const INSTANCES: [Instance; 3] = [
    Instance { name: "web1", address: "10.77.4.11", variable: "WEB1_IP" },
    Instance { name: "web2", address: "10.77.4.12", variable: "WEB2_IP" },
    Instance { name: "web3", address: "10.77.4.13", variable: "WEB3_IP" },
];
/// The instance that is killed.
const VICTIM: usize = 1;
const WEB_PORT: u16 = 80;
const STATISTICS_PORT: u16 = 8404;
/// How long things may take to be up, and an instance to come back through its checks.
const UP_LIMIT: Duration = Duration::from_secs(20);
/// Load before and after the kill.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(5);

/// Build, start, check, show; then run until Ctrl-C or, with `--once`, end.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    if !options.inside {
        build(root, options)?;
        if let Err(reason) = can_run_here() {
            println!("{reason}: the demo runs in a network of its own");
            return run_inside(options);
        }
    }
    let mut demo = Demo::start(root, options)?;
    demo.wait_until_up()?;
    demo.print_addresses(options.inside);
    print_round()?;
    let lost = demo.kill_one_under_load()?;
    demo.bring_back()?;
    match (options.once, lost) {
        (true, 0) => Ok(()),
        (true, lost) => Err(format!("{lost} requests were lost").into()),
        (false, _) => {
            println!("\nRunning. Ctrl-C ends everything.");
            demo.balancer.wait()
        }
    }
}

struct Demo {
    // Dropped in this order: nobody watches any more, the balancer ends, the network goes last.
    _watchdog: Watchdog,
    balancer: Process,
    instances: Vec<Process>,
    network: Network,
    application: PathBuf,
}

impl Demo {
    fn start(root: &Path, options: &Options) -> Result<Demo> {
        let built = built_folder(root)?;
        let application = built.join("demo");
        let network = Network::start(&INSTANCES.each_ref().map(|instance| instance.address))?;
        let start = |instance| start_instance(&network, &application, instance);
        let instances = INSTANCES.iter().map(start).collect::<Result<Vec<_>>>()?;
        let mut command = bound(options.balancer.clone().unwrap_or_else(|| built.join("mainstay")));
        command.arg("run").arg(root.join("demo/haproxy.cfg"));
        command.envs(INSTANCES.iter().map(|instance| (instance.variable, instance.address)));
        let balancer = Process::start(&mut command)?;
        Ok(Demo { _watchdog: Watchdog::start(&balancer)?, balancer, instances, network, application })
    }

    fn check(&mut self) -> Result<()> {
        self.balancer.check().map_err(|error| format!("the balancer: {error}"))?;
        for (process, instance) in self.instances.iter_mut().zip(&INSTANCES) {
            process.check().map_err(|error| format!("{}: {error}", instance.name))?;
        }
        Ok(())
    }

    /// Until each instance has answered through the balancer.
    fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + UP_LIMIT;
        let mut seen = BTreeSet::new();
        while seen.len() < INSTANCES.len() {
            self.check()?;
            if Instant::now() > deadline {
                return Err(format!("after {UP_LIMIT:?} only {seen:?} have answered").into());
            }
            match whoami() {
                Ok(name) => seen.insert(name),
                Err(_) => false,
            };
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn print_addresses(&self, inside: bool) {
        println!("\n  application   http://127.0.0.1/");
        println!(
            "  statistics    http://127.0.0.1:{STATISTICS_PORT}/stats   (admin, password admin, as the file says)"
        );
        println!("  balancer      process {}, file demo/haproxy.cfg", self.balancer.id());
        for (process, instance) in self.instances.iter().zip(&INSTANCES) {
            println!("  {}          http://{}/   process {}", instance.name, instance.address, process.id());
        }
        if inside {
            let (id, user) = (self.balancer.id(), user_namespace_flags());
            println!("\n  From outside: nsenter -t {id} {user}-n curl http://127.0.0.1/");
        }
    }

    /// Number of requests that were lost.
    fn kill_one_under_load(&mut self) -> Result<usize> {
        let load = Load::start(WEB_PORT, "/whoami");
        std::thread::sleep(BEFORE);
        println!("\nkill -9 {} while clients are asking …", INSTANCES[VICTIM].name);
        self.instances[VICTIM].kill();
        std::thread::sleep(AFTER);
        let outcome = load.finish();
        println!(
            "  requests {}   failed {}   longest gap without an answer {:.0?}   slowest answer {:.0?}",
            outcome.requests,
            outcome.failures.len(),
            outcome.longest_gap,
            outcome.slowest
        );
        for reason in outcome.failures.iter().collect::<BTreeSet<_>>() {
            println!("  failed: {reason}");
        }
        Ok(outcome.failures.len())
    }

    /// Start the killed instance again and wait until it gets requests.
    fn bring_back(&mut self) -> Result<()> {
        let started = Instant::now();
        self.instances[VICTIM] = start_instance(&self.network, &self.application, &INSTANCES[VICTIM])?;
        self.wait_until_up()?;
        println!(
            "{} started again; it gets requests after {:.1?}",
            INSTANCES[VICTIM].name,
            started.elapsed()
        );
        Ok(())
    }
}

fn start_instance(network: &Network, application: &Path, instance: &Instance) -> Result<Process> {
    let mut command = network.command(application);
    Process::start(command.args(["--listen", &format!("{}:80", instance.address), "--name", instance.name]))
}

fn print_round() -> Result<()> {
    let names = (0..6).map(|_| whoami()).collect::<Result<Vec<_>>>()?;
    println!("\nsix requests were answered by {}", names.join(" "));
    Ok(())
}

fn whoami() -> Result<String> {
    match Client::connect(WEB_PORT)?.get("/whoami")? {
        (200, name) => Ok(name.trim().to_owned()),
        (status, _) => Err(format!("status {status}").into()),
    }
}

fn build(root: &Path, options: &Options) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--profile", "quick", "--bin", "demo"]).current_dir(root);
    if options.balancer.is_none() {
        command.args(["--bin", "mainstay"]);
    }
    if command.status()?.success() { Ok(()) } else { Err("the build failed".into()) }
}

/// Where the profile `quick` puts its binaries; we were put next to it.
fn built_folder(root: &Path) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = root.join(target).join("quick");
    if folder.join("demo").is_file() {
        Ok(folder)
    } else {
        Err(format!("no demo in {}", folder.display()).into())
    }
}

/// Whether Mainstay can have the ports of its file in the machine's own network; otherwise why not.
fn can_run_here() -> std::result::Result<(), String> {
    if !is_root() {
        return Err("not root".into());
    }
    for port in [WEB_PORT, STATISTICS_PORT] {
        TcpListener::bind(("0.0.0.0", port))
            .map_err(|error| format!("port {port} cannot be had ({error})"))?;
    }
    Ok(())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// What nsenter needs besides `-n` to find a user namespace that is not the machine's.
fn user_namespace_flags() -> &'static str {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().next_back() == Some("4294967295") { "" } else { "-U --preserve-credentials " }
}

/// Start ourselves again in a new network (and, without root, a new user namespace).
fn run_inside(options: &Options) -> Result<()> {
    let mut command = Command::new("unshare");
    // Without root: a user of our own in it, with its rights, so that giving up rights works as for root.
    let flags: &[&str] = if is_root() { &["-n"] } else { &["-Un", "--map-current-user", "--keep-caps"] };
    command.args(flags);
    command.args(["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c"]);
    command.args(["ip link set lo up && exec \"$@\"", "sh"]).arg(std::env::current_exe()?);
    command.args(["demo", "--inside"]);
    if options.once {
        command.arg("--once");
    }
    if let Some(balancer) = &options.balancer {
        command.arg("--balancer").arg(balancer);
    }
    if command.status()?.success() {
        return Ok(());
    }
    Err("the demo in its own network failed; see above (without root it needs user namespaces)".into())
}
