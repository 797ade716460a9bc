//! A network of its own for one story: only `lo`, every port free, nobody else listening.

use std::process::Command;
use std::time::Duration;

use crate::process::Process;

/// Set in the process that already is inside.
const INSIDE: &str = "E2E_INSIDE_NAMESPACE";

/// Runs the story in a new network namespace.
///
/// The test executable starts itself again below `unshare`, with only the test `test_name` chosen
/// (its full path, such as `rotation::seed_004`); there the story runs. Root needs nothing more; others
/// get a user namespace too, in which they are root, but the only user there is (a file that says
/// `user haproxy` needs the real root). Panics when the story failed, or when no namespace can be made.
pub fn inside(test_name: &str, story: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return story();
    }
    let test = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(if rustix::process::geteuid().is_root() { ["-n", "--"] } else { ["-Urn", "--"] })
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(test)
        .args(["--exact", test_name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("run unshare (package util-linux)");
    let output = String::from_utf8_lossy(&status.stdout) + String::from_utf8_lossy(&status.stderr);
    for line in output.lines().filter(|line| line.starts_with("figures: ")) {
        crate::figures(line.trim_start_matches("figures: "));
    }
    assert!(
        output.contains("1 passed"),
        "the story {test_name} in its own network: {}\n{output}",
        status.status
    );
}

/// A second network beside the story's own, joined to it by one cable: 10.0.4.1 here, servers there.
///
/// Servers that listen on the same port as the balancer need it: `*:80` and `10.0.4.11:80` exclude
/// each other on one machine.
pub struct Neighbour {
    holder: Process,
}

impl Neighbour {
    /// Makes the network with these addresses in it, all of 10.0.4.0/24. Only inside a namespace.
    pub fn with_addresses(addresses: &[&str]) -> Self {
        assert!(std::env::var_os(INSIDE).is_some(), "a neighbour is for stories in a network of their own");
        let script = "ip link set lo up && echo ready && exec sleep 600";
        let holder = Process::start("neighbour", Command::new("unshare").args(["-n", "sh", "-c", script]));
        holder.line_after(0, "ready", Duration::from_secs(5));
        let here = format!(
            "ip link add web type veth peer name uplink netns {}; \
             ip addr add 10.0.4.1/24 dev web; ip link set web up",
            holder.id()
        );
        let there = addresses.iter().map(|address| format!("ip addr add {address}/24 dev uplink; "));
        let neighbour = Self { holder };
        run(Command::new("sh").args(["-ec", &here]));
        let mut enter = neighbour.entering();
        enter.extend(["sh", "-ec"].map(str::to_owned));
        enter.push(there.collect::<String>() + "ip link set uplink up");
        run(Command::new(&enter[0]).args(&enter[1..]));
        neighbour
    }

    /// The words before a command that make it run there.
    pub fn entering(&self) -> Vec<String> {
        ["nsenter".to_owned(), "-t".to_owned(), self.holder.id().to_string(), "-n".to_owned()].to_vec()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
