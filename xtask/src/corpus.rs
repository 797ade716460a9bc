//! `make corpus CORPUS=DIR`: the corpus's own player against our binary, whole and byte by byte, held to the gate.
//!
//! The player (`run_raw.py`) is the client and the strict server; we start Mainstay between them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::network::{Process, bound};

/// Flags of `cargo xtask corpus`.
#[derive(clap::Args)]
pub struct Options {
    /// Folder with `run_raw.py`, `index.tsv` and the streams.
    corpus: PathBuf,
    /// The binary under test.
    #[arg(long, default_value = "target/quick/mainstay")]
    binary: PathBuf,
    /// Only the streams whose name matches.
    #[arg(long, value_name = "REGEX", default_value = ".")]
    only: String,
    /// Only this configuration.
    #[arg(long, value_name = "haproxy.cfg|nginx.conf")]
    config: Option<String>,
}

/// Writes a configuration that listens at these ports.
type Written = fn(&Ports) -> String;

/// The configurations that are played to: every dialect reads bytes of clients in its own manner.
const CONFIGURATIONS: [(&str, Written); 2] = [("haproxy.cfg", haproxy), ("nginx.conf", nginx)];

/// How long the binary may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Ports of one run.
struct Ports {
    plain: u16,
    proxied: u16,
    server: u16,
}

/// Play everything; an error when the gate is missed.
pub fn run(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.config.as_deref().is_none_or(|config| config == name);
    let mut missed = Vec::new();
    let mut played = 0;
    for (name, text) in CONFIGURATIONS.iter().filter(|(name, _)| wanted(name)) {
        missed.extend(play_all(options, name, *text)?);
        played += 1;
    }
    match (played, missed.len()) {
        (0, _) => Err("there is no such configuration".into()),
        (_, 0) => Ok(()),
        (_, count) => Err(format!(
            "the gate (0 DANGER, 0 HARD, no +open) is missed {count} times: {}",
            missed.join(", ")
        )
        .into()),
    }
}

/// Plays everything to one configuration, whole and byte by byte; what missed the gate.
fn play_all(options: &Options, name: &str, text: fn(&Ports) -> String) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let ports = free_ports()?;
    let config = folder.path().join(name);
    fs::write(&config, text(&ports))?;
    let mut balancer = Process::start(bound(&options.binary).arg("run").arg(&config))?;
    wait_for(ports.plain, &mut balancer)?;
    let mut missed = Vec::new();
    for split in [false, true] {
        for (protocols, port) in [("h1,resp,ws", ports.plain), ("pp", ports.proxied)] {
            let out = folder.path().join("out.json");
            play(options, protocols, port, &ports, split, &out)?;
            balancer.check()?;
            let results: Value = serde_json::from_slice(&fs::read(&out)?)?;
            let cut = if split { ", byte by byte" } else { "" };
            println!("{name}: {protocols}{cut}: {:?}", grades(&results));
            missed.extend(misses(&results).into_iter().map(|miss| format!("{name}: {miss}")));
        }
    }
    Ok(missed)
}

fn play(options: &Options, protocols: &str, port: u16, ports: &Ports, split: bool, out: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    command.arg(options.corpus.join("run_raw.py"));
    command.args(["--lb", &format!("127.0.0.1:{port}"), "--origin-port", &ports.server.to_string()]);
    command.args(["--proto", protocols, "--only", &options.only, "--json"]).arg(out);
    if split {
        command.arg("--split");
    }
    if command.status()?.success() { Ok(()) } else { Err("the player stopped; see above".into()) }
}

fn haproxy(ports: &Ports) -> String {
    let Ports { plain, proxied, server } = ports;
    format!(
        "defaults
    mode http
    retries 0
    timeout connect 3s
    timeout client 3s
    timeout server 3s
    timeout http-request 3s
    timeout http-keep-alive 3s

frontend plain
    bind 127.0.0.1:{plain}
    default_backend strict

frontend proxied
    bind 127.0.0.1:{proxied} accept-proxy
    default_backend strict

backend strict
    server player 127.0.0.1:{server}
"
    )
}

fn nginx(ports: &Ports) -> String {
    let Ports { plain, proxied, server } = ports;
    format!(
        "pid mainstay.pid;
daemon off;
events {{ }}
http {{
    access_log off;
    client_header_timeout 3s;
    client_body_timeout 3s;
    send_timeout 3s;
    keepalive_timeout 3s;
    proxy_connect_timeout 3s;
    proxy_send_timeout 3s;
    proxy_read_timeout 3s;
    proxy_next_upstream off;
    server {{
        listen 127.0.0.1:{plain};
        location / {{ proxy_pass http://127.0.0.1:{server}; }}
    }}
    server {{
        listen 127.0.0.1:{proxied} proxy_protocol;
        location / {{ proxy_pass http://127.0.0.1:{server}; }}
    }}
}}
"
    )
}

fn grades(results: &Value) -> BTreeMap<&str, usize> {
    let mut grades = BTreeMap::new();
    for result in results.as_array().into_iter().flatten() {
        *grades.entry(grade(result)).or_default() += 1;
    }
    grades
}

fn misses(results: &Value) -> Vec<String> {
    let missed = results.as_array().into_iter().flatten().filter(|result| {
        let grade = grade(result);
        grade == "DANGER" || grade == "HARD" || grade.ends_with("+open")
    });
    missed.map(|result| format!("{} {}", grade(result), result["file"].as_str().unwrap_or("?"))).collect()
}

fn grade(result: &Value) -> &str {
    result["verdict"].as_str().unwrap_or("?")
}

fn free_ports() -> Result<Ports> {
    let open = || TcpListener::bind("127.0.0.1:0");
    let listeners = [open()?, open()?, open()?];
    let [plain, proxied, server] = listeners.each_ref().map(|l| l.local_addr().map(|address| address.port()));
    Ok(Ports { plain: plain?, proxied: proxied?, server: server? })
}

fn wait_for(port: u16, balancer: &mut Process) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        balancer.check()?;
        if Instant::now() > deadline {
            return Err(format!("nothing listens after {START_LIMIT:?}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_can_be_missed() {
        let results = serde_json::json!([
            {"file": "a", "verdict": "ok"}, {"file": "b", "verdict": "DANGER"}, {"file": "c", "verdict": "HARD"},
            {"file": "d", "verdict": "ok+open"}, {"file": "e", "verdict": "LAX"}, {"file": "f", "verdict": "ok"},
        ]);
        assert_eq!(misses(&results), ["DANGER b", "HARD c", "ok+open d"]);
        assert_eq!(grades(&results)["ok"], 2);
    }
}
